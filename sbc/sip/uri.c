/* uri.c - SIP, SIPS and TEL URIs (RFC 3261 19.1, RFC 3966, RFC 5954, RFC 5118).
 *
 * Parsing walks the text once: the first '@' ends the user part (a host can hold none, a user may hold ';',
 * '?' and '/'), then host, port, parameters, headers. Nothing is decoded while parsing; comparison and number
 * look-up decode octet by octet, so that "%2B1555" and "+1555" dial the same number while what is relayed stays
 * as it was written.
 *
 * What can go wrong is a wrong byte in a place: -EBADMSG and no more. White space, controls, brackets and
 * quotes never pass, since each of them would mean something else in the header the URI stands in.
 */
#include "sbc/sip/uri.h"

#include <arpa/inet.h>
#include <errno.h>

#include "sbc/sip/chars.h"

/* Comparing parameters is quadratic; a URI with more than these is compared byte by byte. */
#define EQ_PARAMS_MAX 32

bool sip_ipv6(struct str bracketed, uint8_t ret[16])
{
	char z[INET6_ADDRSTRLEN + 1];
	struct in6_addr in6;
	ptrdiff_t extra;
	size_t n;

	if (bracketed.n < 4 || bracketed.p[0] != '[' || bracketed.p[bracketed.n - 1] != ']')
		return false;
	n = bracketed.n - 2;
	if (n >= sizeof(z) || memchr(bracketed.p, '\0', bracketed.n))
		return false;
	memcpy(z, bracketed.p + 1, n);
	z[n] = '\0';
	if (inet_pton(AF_INET6, z, &in6) != 1) {
		extra = str_find(str_n(z, n), S(":::"));
		if (extra < 0)
			return false;
		memmove(z + extra, z + extra + 1, n - (size_t)extra); /* with the NUL */
		if (inet_pton(AF_INET6, z, &in6) != 1)
			return false;
	}
	memcpy(ret, &in6, 16);
	return true;
}

static const char *skip_ws(const char *p, const char *end)
{
	while (p < end && sip_is_ws(*p))
		p++;
	return p;
}

const char *sip_hostport(const char *base, const char *p, const char *end, bool lws, struct str *ret_host,
    uint16_t *ret_port)
{
	const char *start = p, *colon, *digits;
	uint8_t in6[16];
	uint32_t port = 0;

	if (p < end && *p == '[') {
		p = memchr(p, ']', (size_t)(end - p));
		if (!p)
			return NULL;
		p++;
		if (!sip_ipv6(str_n(start, (size_t)(p - start)), in6))
			return NULL;
	} else {
		p = sip_span(base, p, end, SIP_C_HOST);
		if (p == start)
			return NULL;
	}
	*ret_host = str_n(start, (size_t)(p - start));
	colon = lws ? skip_ws(p, end) : p;
	if (colon == end || *colon != ':')
		return colon;
	digits = p = lws ? skip_ws(colon + 1, end) : colon + 1;
	for (; p < end && chr_digit(*p); p++) {
		port = port * 10 + (uint32_t)(*p - '0');
		if (port > 65535)
			return NULL;
	}
	if (p == digits || port == 0)
		return NULL;
	*ret_port = (uint16_t)port;
	return lws ? skip_ws(p, end) : p;
}

static int parse_sip(const char *p, const char *end, struct sip_uri *u)
{
	const char *base = p, *at = memchr(p, '@', (size_t)(end - p)), *q;

	/* an '@' behind '?' without one before it belongs to a header: "sip:host?Replaces=a@b" has no user,
	 * but a user may hold '?' as well; the grammar gives it to the user */
	if (at) {
		const char *user_end = sip_span(base, p, at, SIP_C_USER);

		if (user_end == p)
			return -EBADMSG;
		u->user = str_n(p, (size_t)(user_end - p));
		if (user_end < at) {
			if (*user_end != ':')
				return -EBADMSG;
			u->password = str_n(user_end + 1, (size_t)(at - user_end - 1));
			for (q = user_end + 1; q < at; q++)
				if (!sip_is(*q, SIP_C_USER))
					return -EBADMSG;
		}
		p = at + 1;
	}
	q = sip_hostport(base, p, end, false, &u->host, &u->port);
	if (!q)
		return -EBADMSG;
	if (q < end && *q == ';') {
		p = ++q;
		while (q < end && *q != '?' && sip_is(*q, SIP_C_PARAM))
			q++;
		u->params = str_n(p, (size_t)(q - p));
	}
	if (q < end && *q == '?') {
		p = ++q;
		q = sip_span(base, q, end, SIP_C_PARAM);
		u->headers = str_n(p, (size_t)(q - p));
	}
	return q == end ? 0 : -EBADMSG;
}

static int parse_tel(const char *p, const char *end, struct sip_uri *u)
{
	const char *q = p;

	while (q < end && *q != ';' && sip_is(*q, SIP_C_PARAM))
		q++;
	u->user = str_n(p, (size_t)(q - p));
	if (q < end && *q == ';') {
		p = ++q;
		q = sip_span(p, q, end, SIP_C_PARAM);
		u->params = str_n(p, (size_t)(q - p));
	}
	return q == end && u->user.n ? 0 : -EBADMSG;
}

/* the four bytes at p, lower case where they are letters */
static bool starts(const char *p, char a, char b, char c, char d)
{
	return chr_lower(p[0]) == a && chr_lower(p[1]) == b && chr_lower(p[2]) == c &&
	       chr_lower(p[3]) == d;
}

int sip_uri_parse(struct str s, struct sip_uri *ret)
{
	struct sip_uri u = {.scheme = SIP_SCHEME_OTHER, .raw = s};
	const char *end = s.p + s.n, *p;
	int e = 0;

	if (s.n < 3)
		return -EBADMSG;
	if (s.n > 4 && starts(s.p, 's', 'i', 'p', ':')) {
		u.scheme = SIP_SCHEME_SIP;
		e = parse_sip(s.p + 4, end, &u);
	} else if (s.n > 5 && starts(s.p, 's', 'i', 'p', 's') && s.p[4] == ':') {
		u.scheme = SIP_SCHEME_SIPS;
		e = parse_sip(s.p + 5, end, &u);
	} else if (s.n > 4 && starts(s.p, 't', 'e', 'l', ':')) {
		u.scheme = SIP_SCHEME_TEL;
		e = parse_tel(s.p + 4, end, &u);
	} else {
		char c = chr_lower(s.p[0]);
		struct str name;

		p = sip_span(s.p, s.p, end, SIP_C_SCHEME);
		name = str_n(s.p, (size_t)(p - s.p));
		if (c < 'a' || c > 'z' || p == end || *p != ':' || p + 1 == end)
			return -EBADMSG;
		/* "sip:" with nothing behind it */
		if (str_ieq(name, S("sip")) || str_ieq(name, S("sips")) || str_ieq(name, S("tel")))
			return -EBADMSG;
		if (sip_span(p + 1, p + 1, end, SIP_C_PARAM) != end)
			return -EBADMSG;
	}
	if (e == 0)
		*ret = u;
	return e;
}

bool sip_param_next(struct str *rest, struct str *ret_name, struct str *ret_value)
{
	const char *p = rest->p, *end;

	if (rest->n == 0)
		return false;
	for (end = p + rest->n;;) {
		const char *start = p, *eq = NULL;
		struct str name;

		if (p == end) {
			*rest = STR_NONE;
			return false;
		}
		while (p < end && *p != ';') {
			if (*p == '"') {
				const char *q = sip_skip_quoted(p, end);

				p = q ? q : end;
				continue;
			}
			if (*p == '=' && !eq)
				eq = p;
			p++;
		}
		name = str_trim(str_n(start, (size_t)((eq ? eq : p) - start)));
		if (name.n || eq) {
			*ret_name = name;
			*ret_value = eq ? str_trim(str_n(eq + 1, (size_t)(p - eq - 1))) : STR_NONE;
			if (p < end)
				p++;
			*rest = str_n(p, (size_t)(end - p));
			return true;
		}
		if (p < end)
			p++;
	}
}

bool sip_param_get(struct str params, struct str name, struct str *ret_value)
{
	struct str n, v;

	while (sip_param_next(&params, &n, &v)) {
		if (str_ieq(n, name)) {
			if (ret_value)
				*ret_value = v;
			return true;
		}
	}
	return false;
}

/* RFC 3261 19.1.4: an escape equals its octet unless the octet is reserved. fold: case-blind. */
static bool eq_escaped(struct str a, struct str b, bool fold)
{
	static const char reserved[] = ";/?:@&=+$,";

	while (a.n && b.n) {
		bool ea, eb;
		unsigned char x = sip_unescape_next(&a, &ea), y = sip_unescape_next(&b, &eb);

		if (fold) {
			x = (unsigned char)chr_lower((char)x);
			y = (unsigned char)chr_lower((char)y);
		}
		if (x != y)
			return false;
		if (ea != eb && x && strchr(reserved, x))
			return false;
	}
	return a.n == b.n;
}

static bool is_separator(char c)
{
	return c == '-' || c == '.' || c == '(' || c == ')';
}

/* May be compared without its separators. A '+' that is not the first character makes it no global number, and an
 * escape is not looked into. */
static bool is_plain_number(struct str s)
{
	return s.n == 0 || (str_chr(s, '%') < 0 && str_chr(str_from(s, 1), '+') < 0);
}

/* digits without separators, both sides */
static bool eq_number(struct str a, struct str b)
{
	size_t i = 0, j = 0;

	if (!is_plain_number(a) || !is_plain_number(b))
		return eq_escaped(a, b, true);
	for (;;) {
		while (i < a.n && is_separator(a.p[i]))
			i++;
		while (j < b.n && is_separator(b.p[j]))
			j++;
		if (i == a.n || j == b.n)
			return i == a.n && j == b.n;
		if (chr_lower(a.p[i++]) != chr_lower(b.p[j++]))
			return false;
	}
}

static unsigned count_params(struct str params)
{
	struct str n, v;
	unsigned count = 0;

	while (count <= EQ_PARAMS_MAX && sip_param_next(&params, &n, &v))
		count++;
	return count;
}

/* Parameters that must not stand in one URI only. */
static bool param_must_match(enum sip_scheme scheme, struct str name)
{
	static const struct str names[] = {
	    {"user", 4}, {"ttl", 3}, {"method", 6}, {"maddr", 5}, {"transport", 9}};

	if (scheme == SIP_SCHEME_TEL)
		return true; /* RFC 3966 4 */
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieq(name, names[i]))
			return true;
	return false;
}

static bool params_cover(enum sip_scheme scheme, struct str a, struct str b)
{
	struct str name, va, vb;

	while (sip_param_next(&a, &name, &va)) {
		if (!sip_param_get(b, name, &vb)) {
			if (param_must_match(scheme, name))
				return false;
			continue;
		}
		if (scheme == SIP_SCHEME_TEL && str_ieq(name, S("phone-context"))) {
			if (!eq_number(va, vb))
				return false;
		} else if (!eq_escaped(va, vb, true)) {
			return false;
		}
	}
	return true;
}

/* true when each header of a is in b, with the same value */
static bool headers_cover(struct str a, struct str b)
{
	struct str one, other, name, value, name2, value2, rest;

	while (a.n) {
		bool found = false;

		a = str_cut(a, '&', &one);
		value = str_cut(one, '=', &name);
		for (rest = b; rest.n && !found;) {
			rest = str_cut(rest, '&', &other);
			value2 = str_cut(other, '=', &name2);
			found = eq_escaped(name, name2, true) && eq_escaped(value, value2, false);
		}
		if (!found)
			return false;
	}
	return true;
}

/* Headers never differ: the same names with the same values, in any order. */
static bool headers_eq(struct str a, struct str b)
{
	unsigned na = 0, nb = 0;
	struct str one, rest;

	for (rest = a; rest.n; na++)
		rest = str_cut(rest, '&', &one);
	for (rest = b; rest.n; nb++)
		rest = str_cut(rest, '&', &one);
	return na == nb && na <= EQ_PARAMS_MAX && headers_cover(a, b) && headers_cover(b, a);
}

static bool host_eq(struct str a, struct str b)
{
	uint8_t x[16], y[16];

	if (a.n && b.n && a.p[0] == '[' && b.p[0] == '[')
		return sip_ipv6(a, x) && sip_ipv6(b, y) && memcmp(x, y, 16) == 0;
	return str_ieq(a, b);
}

bool sip_uri_eq(const struct sip_uri *a, const struct sip_uri *b)
{
	if (a->scheme != b->scheme)
		return false;
	if (str_eq(a->raw, b->raw))
		return true;
	if (a->scheme == SIP_SCHEME_OTHER)
		return false;
	if (count_params(a->params) > EQ_PARAMS_MAX || count_params(b->params) > EQ_PARAMS_MAX)
		return false;
	if (!params_cover(a->scheme, a->params, b->params) ||
	    !params_cover(a->scheme, b->params, a->params))
		return false;
	if (a->scheme == SIP_SCHEME_TEL)
		return eq_number(a->user, b->user);
	return eq_escaped(a->user, b->user, false) && eq_escaped(a->password, b->password, false) &&
	       host_eq(a->host, b->host) && a->port == b->port && headers_eq(a->headers, b->headers);
}

bool sip_uri_addr(const struct sip_uri *u, struct addr *ret)
{
	uint8_t in6[16];

	if (u->host.n && u->host.p[0] == '[') {
		if (!sip_ipv6(u->host, in6))
			return false;
		memset(ret, 0, sizeof(*ret));
		ret->in6.sin6_family = AF_INET6;
		memcpy(&ret->in6.sin6_addr, in6, 16);
		addr_set_port(ret, u->port);
		return true;
	}
	return addr_parse_ip(u->host, u->port, ret) == 0;
}

/* Digits of s, decoded and without separators. plus: may begin with '+'; letters: a-d are digits.
 * *ret_global: it began with '+'. 0 or -ENOENT. */
static int put_digits(struct buf *b, struct str s, bool letters, bool *ret_global)
{
	bool any = false, first = true, global = false;

	while (s.n) {
		bool escaped;
		char c = chr_lower((char)sip_unescape_next(&s, &escaped));

		if (c == '+' && first) {
			global = true;
			buf_chr(b, c);
		} else if (chr_digit(c) || c == '*' || c == '#' || (letters && c >= 'a' && c <= 'd')) {
			any = true;
			buf_chr(b, c);
		} else if (!is_separator(c)) {
			return -ENOENT;
		}
		first = false;
	}
	*ret_global = global;
	return any ? 0 : -ENOENT;
}

/* "+digits" of a phone-context: *ret gets the value as written. A domain name is no global context. */
static bool global_context(struct str params, struct str *ret)
{
	struct str v;

	if (!sip_param_get(params, S("phone-context"), &v) || v.n == 0)
		return false;
	if (v.p[0] != '+' && !str_iprefix(v, S("%2b")))
		return false;
	*ret = v;
	return true;
}

int sip_uri_number(const struct sip_uri *u, struct buf *ret)
{
	size_t start = ret->n;
	struct str number, user_params, context = STR_NONE;
	bool tel = u->scheme == SIP_SCHEME_TEL, global = false, context_global, phone;
	char text[64];
	struct buf digits;
	struct str v;

	if (u->scheme == SIP_SCHEME_OTHER)
		return -ENOENT;
	user_params = str_cut(u->user, ';', &number);
	phone = tel || (sip_param_get(u->params, S("user"), &v) && str_ieq(v, S("phone")));
	buf_init(&digits, text, sizeof(text));
	if (put_digits(&digits, number, phone, &global) < 0)
		return -ENOENT;
	if (!global) {
		bool has_context = global_context(tel ? u->params : user_params, &context) ||
		                   (!tel && global_context(u->params, &context));

		if (tel && !has_context)
			return -ENOENT;
		if (has_context &&
		    (put_digits(ret, context, false, &context_global) < 0 || !context_global)) {
			ret->n = start;
			return -ENOENT;
		}
	}
	buf_str(ret, buf_text(&digits));
	if (buf_err(&digits) || buf_err(ret)) {
		ret->n = start;
		return -ENOSPC;
	}
	return 0;
}

void sip_unescape(struct buf *b, struct str s)
{
	while (s.n) {
		bool escaped;

		buf_chr(b, (char)sip_unescape_next(&s, &escaped));
	}
}
