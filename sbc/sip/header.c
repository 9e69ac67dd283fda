/* header.c - values of single header fields (RFC 3261 20, 25.1), read when somebody asks.
 *
 * Every function takes a value that sip_parse() has trimmed and unfolded, and hands out slices of it. Lists are
 * cut at commas outside of quotes and angle brackets; name-addr and Via are read strictly, since what is
 * ambiguous there (a comma or '?' in a URI without brackets, a display name that is no token) has been used to
 * make two readers see two different callers.
 */
#include "sbc/sip/header.h"

#include <errno.h>

#include "sbc/sip/chars.h"

bool sip_value_next(struct str *rest, struct str *ret_value)
{
	const char *p = rest->p, *end;

	if (rest->n == 0)
		return false;
	end = p + rest->n;
	while (p < end) {
		const char *start = p;
		struct str v;

		while (p < end && *p != ',') {
			const char *q = p + 1;

			if (sip_is(*p, SIP_C_TOKEN)) { /* nearly all bytes of most lists */
				p = q;
				continue;
			}
			if (*p == '"')
				q = sip_skip_quoted(p, end);
			else if (*p == '<')
				q = memchr(p, '>', (size_t)(end - p));
			p = q ? q : end;
		}
		v = sip_trim(str_n(start, (size_t)(p - start)));
		if (p < end)
			p++;
		if (v.n) {
			*ret_value = v;
			*rest = str_n(p, (size_t)(end - p));
			return true;
		}
	}
	*rest = STR_NONE;
	return false;
}

struct sip_values sip_values(const struct sip_msg *m, enum sip_hdr_id id)
{
	const struct sip_hdr *h = sip_hdr(m, id);

	return (struct sip_values){.m = m, .h = h, .rest = h ? h->value : STR_NONE};
}

bool sip_values_next(struct sip_values *w, struct str *ret_value)
{
	while (w->h) {
		enum sip_hdr_id id = (enum sip_hdr_id)w->h->id;
		bool found;

		if (id == SIP_H_AUTHORIZATION || id == SIP_H_PROXY_AUTHORIZATION ||
		    id == SIP_H_WWW_AUTHENTICATE || id == SIP_H_PROXY_AUTHENTICATE) {
			/* commas separate parameters here (RFC 3261 7.3.1) */
			found = w->rest.n > 0;
			if (found)
				*ret_value = w->rest;
			w->rest = STR_NONE;
		} else {
			found = sip_value_next(&w->rest, ret_value);
		}
		if (found)
			return true;
		w->h = sip_hdr_next(w->m, w->h);
		w->rest = w->h ? w->h->value : STR_NONE;
	}
	return false;
}

bool sip_has_token(const struct sip_msg *m, enum sip_hdr_id id, struct str token)
{
	struct sip_values w = sip_values(m, id);
	struct str v;

	while (sip_values_next(&w, &v))
		if (str_ieq(v, token))
			return true;
	return false;
}

/* ------------------------------------------------------------------ parameters of a header */

/* Checks and steps over one parameter at p, which stands behind its ';', in a text that begins at base. Empty name: nothing
 * before the next ';'. Behind the parameter and white space, at ';' or end; NULL when it is malformed. */
static const char *param_step(const char *base, const char *p, const char *end, struct str *ret_name,
    struct str *ret_value)
{
	const char *start;

	while (p < end && sip_is_ws(*p))
		p++;
	start = p;
	while (p < end && sip_is(*p, SIP_C_TOKEN)) /* a few */
		p++;
	*ret_name = str_n(start, (size_t)(p - start));
	*ret_value = STR_NONE;
	while (p < end && sip_is_ws(*p))
		p++;
	if (p < end && *p == '=') {
		if (ret_name->n == 0)
			return NULL;
		p++;
		while (p < end && sip_is_ws(*p))
			p++;
		start = p;
		if (p < end && *p == '"') {
			p = sip_skip_quoted(p, end);
			if (!p)
				return NULL;
		} else {
			p = sip_span(base, p, end, SIP_C_VALUE);
		}
		*ret_value = str_n(start, (size_t)(p - start));
		while (p < end && sip_is_ws(*p))
			p++;
	}
	return p == end || *p == ';' ? p : NULL;
}

/* ------------------------------------------------------------------ name-addr and addr-spec */

/* Display tokens; octets of UTF-8 without quotes are no tokens but are met often and harm nobody. */
static bool is_display(char c)
{
	return sip_is(c, SIP_C_TOKEN) || sip_is_ws(c) || (unsigned char)c >= 0x80;
}

static int parse_params(const char *base, const char *p, const char *end, struct sip_addr *a)
{
	while (p < end && sip_is_ws(*p))
		p++;
	if (p == end)
		return 0;
	if (*p != ';')
		return -EBADMSG;
	a->params = str_n(p + 1, (size_t)(end - p - 1));
	while (p < end) {
		struct str name, value;

		p = param_step(base, p + 1, end, &name, &value);
		if (!p)
			return -EBADMSG;
		if (a->tag.n == 0 && sip_name_is(name, "tag")) {
			/* '=' and the like are met in the wild and cannot be mistaken for anything */
			if (value.n == 0 || value.p[0] == '"')
				return -EBADMSG;
			a->tag = value;
		}
	}
	return 0;
}

int sip_addr_parse(struct str value, struct sip_addr *ret)
{
	struct sip_addr a = {.display = STR_NONE};
	const char *p, *end, *start;
	struct str uri;
	int e;

	value = sip_trim(value);
	if (value.n == 0)
		return -EBADMSG;
	start = p = value.p;
	end = p + value.n;
	if (*p == '"') {
		p = sip_skip_quoted(p, end);
		if (!p)
			return -EBADMSG;
		a.display = str_n(start, (size_t)(p - start));
		while (p < end && sip_is_ws(*p))
			p++;
		if (p == end || *p != '<')
			return -EBADMSG;
	} else {
		while (p < end && is_display(*p))
			p++;
	}
	if (p < end && *p == '<') {
		const char *close = memchr(p, '>', (size_t)(end - p));

		if (!close)
			return -EBADMSG;
		if (a.display.n == 0)
			a.display = sip_trim(str_n(start, (size_t)(p - start)));
		uri = str_n(p + 1, (size_t)(close - p - 1));
		p = close + 1;
	} else {
		/* no brackets: what follows ';' is of the header, and ',' and '?' must not stand in the URI
		 * (RFC 3261 20.10, 20.39) */
		for (p = start; p < end && *p != ';' && !sip_is_ws(*p); p++)
			if (*p == ',' || *p == '?')
				return -EBADMSG;
		uri = str_n(start, (size_t)(p - start));
	}
	e = sip_uri_parse(uri, &a.uri);
	if (e == 0)
		e = parse_params(start, p, end, &a);
	if (e == 0)
		*ret = a;
	return e;
}

int sip_contact(const struct sip_msg *m, struct sip_addr *ret)
{
	struct sip_values w = sip_values(m, SIP_H_CONTACT);
	struct str v;

	if (!sip_hdr(m, SIP_H_CONTACT))
		return -ENOENT;
	return sip_values_next(&w, &v) ? sip_addr_parse(v, ret) : -EBADMSG;
}

/* ------------------------------------------------------------------ Via */

static const char *skip_ws(const char *p, const char *end)
{
	while (p < end && sip_is_ws(*p))
		p++;
	return p;
}

static const char *via_token(const char *p, const char *end, struct str *ret)
{
	const char *start = p;

	while (p < end && sip_is(*p, SIP_C_TOKEN))
		p++;
	*ret = str_n(start, (size_t)(p - start));
	return ret->n ? p : NULL;
}

/* "SIP / 2.0 / UDP" up to the host; NULL when malformed */
static const char *via_protocol(const char *p, const char *end, struct str *ret_transport)
{
	struct str name, version;

	if (end - p > 8 && memcmp(p, "SIP/2.0/", 8) == 0) {
		p += 8;
	} else {
		p = via_token(p, end, &name);
		p = p ? skip_ws(p, end) : NULL;
		if (!p || p == end || *p != '/')
			return NULL;
		p = via_token(skip_ws(p + 1, end), end, &version);
		p = p ? skip_ws(p, end) : NULL;
		if (!p || p == end || *p != '/')
			return NULL;
		p = skip_ws(p + 1, end);
	}
	p = via_token(p, end, ret_transport);
	if (!p || p == end || !sip_is_ws(*p))
		return NULL;
	return skip_ws(p, end);
}

int sip_via_parse(struct str value, struct sip_via *ret)
{
	struct sip_via v = {.raw = value};
	const char *p, *end, *q;

	if (value.n == 0)
		return -EBADMSG;
	end = value.p + value.n;
	p = via_protocol(value.p, end, &v.transport);
	q = p ? sip_hostport(value.p, p, end, true, &v.host, &v.port) : NULL;
	if (!q || (q < end && *q != ';'))
		return -EBADMSG;
	if (q < end)
		v.params = str_n(q + 1, (size_t)(end - q - 1));
	while (q < end) {
		struct str name, val;
		uint32_t n;

		q = param_step(value.p, q + 1, end, &name, &val);
		if (!q || name.n == 0)
			return -EBADMSG;
		if (sip_name_is(name, "branch")) {
			v.branch = val;
		} else if (sip_name_is(name, "rport")) {
			v.has_rport = true;
			if (val.n && (str_u32(val, 65535, &n) < 0 || n == 0))
				return -EBADMSG;
			v.rport = val.n ? (uint16_t)n : 0;
		} else if (sip_name_is(name, "received")) {
			v.received = val;
		} else if (sip_name_is(name, "maddr")) {
			v.maddr = val;
		}
	}
	*ret = v;
	return 0;
}

/* ------------------------------------------------------------------ numbers */

/* The digits at the start of s, saturated. Behind them, after white space, one of the bytes in then or
 * nothing. 0 or -EBADMSG. */
static int leading_seconds(struct str s, const char *then, uint32_t *ret)
{
	struct str rest;
	size_t n = 0;
	int e;

	while (n < s.n && chr_digit(s.p[n]))
		n++;
	rest = sip_trim(str_from(s, n));
	if (n == 0 || (rest.n && (rest.p[0] == '\0' || !strchr(then, rest.p[0]))))
		return -EBADMSG;
	e = str_u32(str_head(s, n), UINT32_MAX, ret);
	if (e < 0)
		*ret = UINT32_MAX;
	return 0;
}

int sip_delta_seconds(const struct sip_msg *m, enum sip_hdr_id id, uint32_t *ret)
{
	const struct sip_hdr *h = sip_hdr(m, id);

	return h ? leading_seconds(h->value, ";", ret) : -ENOENT;
}

int sip_retry_after(const struct sip_msg *m, uint32_t *ret_s)
{
	const struct sip_hdr *h = sip_hdr(m, SIP_H_RETRY_AFTER);

	return h ? leading_seconds(h->value, ";(", ret_s) : -ENOENT;
}
