/* body.c - the session description in a body, also in a multipart one (RFC 2046 5.1, RFC 5621).
 *
 * Happy path: the body is application/sdp and that is all. Else it is multipart/mixed, /related or /alternative;
 * its parts are walked, and those of one multipart inside it, until a part is found that is a session
 * description and is meant as one. Writing puts another description into the same place and leaves every other
 * byte, and so the boundary, as it was.
 *
 * What can go wrong: no boundary, no end of the last part, too many parts (-EBADMSG); nothing we understand and
 * no handling=optional (-ENOTSUP, 415). A part beside a session description is not judged: it is relayed or
 * dropped by policy, not understood by us.
 */
#include "sbc/sip/header.h"

#include <errno.h>

#include "sbc/sip/chars.h"

#define PARTS_MAX 32
#define BOUNDARY_MAX 70 /* RFC 2046 5.1.1 */

/* The fields of a body or of a part of one that say what it is. */
struct entity {
	struct str type, disposition, encoding, transfer;
	struct str content;
};

/* One multipart body being walked. */
struct multi {
	struct str body;
	char delim[BOUNDARY_MAX + 2]; /* "--" and the boundary */
	size_t delim_n;
	bool last_wins; /* alternative: the last understood part is the best one */
	const char *at;  /* the delimiter of the next part */
	const char *content; /* behind its line; NULL behind the last one */
	unsigned count;
};

struct part {
	const char *from, *to; /* from its delimiter to the next one */
	struct entity e;
};

/* Where the session description is. */
struct place {
	bool multipart;
	bool found;
	bool required;    /* there is something else that must be understood */
	struct str sdp;
	const char *from, *to; /* what goes when it is dropped */
	const char *first;     /* the first delimiter */
	char delim[BOUNDARY_MAX + 2];
	size_t delim_n;
	unsigned others; /* parts beside [from, to) at the outer level */
};

static struct str media_type(struct str value)
{
	struct str type;

	str_cut(value, ';', &type);
	return str_trim(type);
}

static struct str params_of(struct str value)
{
	struct str type;

	return str_cut(value, ';', &type);
}

bool sip_body_is(const struct sip_msg *m, struct str type)
{
	struct str have = media_type(sip_hdr_value(m, SIP_H_CONTENT_TYPE));

	return m->body.n && (str_eq(have, type) || str_ieq(have, type));
}

static bool is_optional(const struct entity *e)
{
	struct str v;

	return sip_param_get(params_of(e->disposition), S("handling"), &v) && str_ieq(v, S("optional"));
}

static bool is_plain(const struct entity *e)
{
	return (e->encoding.n == 0 || str_ieq(e->encoding, S("identity"))) &&
	       (e->transfer.n == 0 || str_ieq(e->transfer, S("7bit")) ||
	           str_ieq(e->transfer, S("8bit")) || str_ieq(e->transfer, S("binary")));
}

static bool is_session(const struct entity *e)
{
	struct str d = media_type(e->disposition);

	return str_ieq(media_type(e->type), S("application/sdp")) && is_plain(e) &&
	       (d.n == 0 || str_ieq(d, S("session")));
}

/* true when e is a multipart of a kind we look into */
static bool is_multi(const struct entity *e, bool *ret_last_wins)
{
	struct str t = media_type(e->type);

	*ret_last_wins = str_ieq(t, S("multipart/alternative"));
	return is_plain(e) && (*ret_last_wins || str_ieq(t, S("multipart/mixed")) ||
	                          str_ieq(t, S("multipart/related")));
}

/* The next delimiter line at or after p; NULL when there is none. *ret_after: behind its line, NULL for the one
 * that closes. */
static const char *find_delim(const struct multi *mp, const char *p, const char **ret_after)
{
	const char *start = mp->body.p, *end = start + mp->body.n;

	for (;; p++) {
		const char *q;

		p = memmem(p, (size_t)(end - p), mp->delim, mp->delim_n);
		if (!p)
			return NULL;
		if (p > start && (p - start < 2 || p[-1] != '\n' || p[-2] != '\r'))
			continue;
		q = p + mp->delim_n;
		if (end - q >= 2 && q[0] == '-' && q[1] == '-') {
			*ret_after = NULL;
			return p;
		}
		while (q < end && sip_is_ws(*q))
			q++;
		if (end - q >= 2 && q[0] == '\r' && q[1] == '\n') {
			*ret_after = q + 2;
			return p;
		}
	}
}

static int multi_open(const struct entity *e, bool last_wins, struct multi *ret)
{
	struct multi *mp = ret;
	struct str b;

	if (!sip_param_get(params_of(e->type), S("boundary"), &b))
		return -EBADMSG;
	if (b.n >= 2 && b.p[0] == '"' && b.p[b.n - 1] == '"')
		b = str_n(b.p + 1, b.n - 2);
	if (b.n == 0 || b.n > BOUNDARY_MAX || str_chr(b, '\\') >= 0 || str_chr(b, '"') >= 0)
		return -EBADMSG;
	memset(mp, 0, sizeof(*mp));
	mp->body = e->content;
	mp->last_wins = last_wins;
	mp->delim[0] = mp->delim[1] = '-';
	memcpy(mp->delim + 2, b.p, b.n);
	mp->delim_n = b.n + 2;
	mp->at = mp->body.n ? find_delim(mp, mp->body.p, &mp->content) : NULL;
	return mp->at && mp->content ? 0 : -EBADMSG;
}

/* Next header of a part; lines may be folded. false at the empty line, behind which *rest then stands. */
static bool part_header(struct str *rest, struct str *ret_name, struct str *ret_value)
{
	size_t end = 0;
	struct str line;

	for (;;) {
		ptrdiff_t at = str_find(str_from(*rest, end), S("\r\n"));

		if (at < 0) {
			end = rest->n;
			break;
		}
		end += (size_t)at + 2;
		if (end == 2 || end == rest->n || !sip_is_ws(rest->p[end]))
			break;
	}
	line = str_trim(str_head(*rest, end));
	*rest = str_from(*rest, end);
	if (line.n == 0)
		return false;
	*ret_value = str_trim(str_cut(line, ':', ret_name));
	*ret_name = str_trim(*ret_name);
	return true;
}

/* 1: *ret is the next part; 0: no more; -EBADMSG */
static int multi_next(struct multi *mp, struct part *ret)
{
	const char *after, *next, *end;
	struct str rest, name, value;

	if (!mp->content)
		return 0;
	if (++mp->count > PARTS_MAX)
		return -EBADMSG;
	next = find_delim(mp, mp->content, &after);
	if (!next)
		return -EBADMSG;
	/* the line end before a delimiter is part of it; an empty part has the line end of its own delimiter */
	end = next - mp->content >= 2 ? next - 2 : mp->content;
	memset(ret, 0, sizeof(*ret));
	ret->from = mp->at;
	ret->to = next;
	rest = str_n(mp->content, (size_t)(end - mp->content));
	while (rest.n && part_header(&rest, &name, &value)) {
		if (str_ieq(name, S("Content-Type")) || str_ieq(name, S("c")))
			ret->e.type = value;
		else if (str_ieq(name, S("Content-Disposition")))
			ret->e.disposition = value;
		else if (str_ieq(name, S("Content-Encoding")) || str_ieq(name, S("e")))
			ret->e.encoding = value;
		else if (str_ieq(name, S("Content-Transfer-Encoding")))
			ret->e.transfer = value;
	}
	ret->e.content = rest;
	mp->at = next;
	mp->content = after;
	return 1;
}

/* Looks for a session description in the parts of the multipart in `outer`. 0 (*ret_found or not), -EBADMSG. */
static int find_inner(const struct part *outer, bool last_wins, bool *ret_found, struct part *ret,
    unsigned *ret_count)
{
	struct multi inner;
	struct part p;
	int e = multi_open(&outer->e, last_wins, &inner);

	if (e < 0)
		return e;
	*ret_found = false;
	while ((e = multi_next(&inner, &p)) > 0) {
		if (is_session(&p.e) && (!*ret_found || last_wins)) {
			*ret = p;
			*ret_found = true;
		}
	}
	*ret_count = inner.count;
	return e;
}

static int locate(const struct sip_msg *m, struct place *pl)
{
	struct entity e = {.type = sip_hdr_value(m, SIP_H_CONTENT_TYPE),
	    .disposition = sip_hdr_value(m, SIP_H_CONTENT_DISPOSITION),
	    .encoding = sip_hdr_value(m, SIP_H_CONTENT_ENCODING),
	    .content = m->body};
	bool last_wins, inner_last, all_optional = true;
	struct multi outer;
	struct part p;
	int r;

	memset(pl, 0, sizeof(*pl));
	if (m->body.n == 0)
		return 0;
	if (e.type.n == 0) /* padding is no body; anything else must say what it is (RFC 3261 20.15) */
		return str_trim(m->body).n ? -EBADMSG : 0;
	if (is_session(&e)) {
		pl->found = true;
		pl->sdp = m->body;
		return 0;
	}
	pl->required = !is_optional(&e);
	if (!is_multi(&e, &last_wins))
		return 0;
	pl->multipart = true;
	r = multi_open(&e, last_wins, &outer);
	if (r < 0)
		return r;
	pl->first = outer.at;
	memcpy(pl->delim, outer.delim, outer.delim_n);
	pl->delim_n = outer.delim_n;
	while ((r = multi_next(&outer, &p)) > 0) {
		struct part in;
		bool found = is_session(&p.e);
		unsigned n_inner = 0;

		in = p;
		if (!found && is_multi(&p.e, &inner_last)) {
			r = find_inner(&p, inner_last, &found, &in, &n_inner);
			if (r < 0)
				return r;
		}
		if (!found && !is_optional(&p.e))
			all_optional = false;
		if (!found || (pl->found && !last_wins))
			continue;
		pl->found = true;
		pl->sdp = in.e.content;
		/* the only part of an inner multipart takes that with it */
		pl->from = n_inner > 1 ? in.from : p.from;
		pl->to = n_inner > 1 ? in.to : p.to;
		pl->others = n_inner > 1 ? 1 : 0;
	}
	if (r < 0)
		return r;
	pl->others += outer.count - 1;
	pl->required = pl->required && !all_optional;
	return 0;
}

int sip_body_sdp(const struct sip_msg *m, struct str *ret_sdp)
{
	struct place pl;
	int e = locate(m, &pl);

	if (e < 0)
		return e;
	if (!pl.found && pl.required)
		return -ENOTSUP;
	*ret_sdp = pl.found ? pl.sdp : STR_NONE;
	return 0;
}

void sip_body_put_sdp(const struct sip_msg *m, struct str sdp, struct buf *b, struct str *ret_type)
{
	struct place pl;
	const char *start = m->body.p, *end = start + m->body.n;

	if (locate(m, &pl) < 0 || !pl.multipart) {
		*ret_type = sdp.n ? S("application/sdp") : STR_NONE;
		buf_str(b, sdp);
		return;
	}
	if (!pl.found && !sdp.n) {
		*ret_type = sip_hdr_value(m, SIP_H_CONTENT_TYPE);
		buf_str(b, m->body);
		return;
	}
	if (pl.found && !sdp.n && pl.others == 0) {
		*ret_type = STR_NONE;
		return;
	}
	*ret_type = sip_hdr_value(m, SIP_H_CONTENT_TYPE);
	if (str_find(sdp, str_n(pl.delim, pl.delim_n)) >= 0) {
		buf_fail(b); /* would be cut in two by the reader */
		return;
	}
	if (!pl.found) {
		buf_put(b, start, (size_t)(pl.first - start));
		buf_put(b, pl.delim, pl.delim_n);
		buf_lit(b, "\r\nContent-Type: application/sdp\r\n\r\n");
		buf_str(b, sdp);
		buf_lit(b, "\r\n");
		buf_put(b, pl.first, (size_t)(end - pl.first));
	} else if (sdp.n) {
		buf_put(b, start, (size_t)(pl.sdp.p - start));
		buf_str(b, sdp);
		buf_put(b, pl.sdp.p + pl.sdp.n, (size_t)(end - pl.sdp.p) - pl.sdp.n);
	} else {
		buf_put(b, start, (size_t)(pl.from - start));
		buf_put(b, pl.to, (size_t)(end - pl.to));
	}
}
