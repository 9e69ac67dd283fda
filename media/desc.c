/* desc.c - descriptions of a session: parsed, printed, and kept as memos.
 *
 * A description is parsed while an exchange runs and a memo text afterwards (session.h). view_compact writes the six
 * of a view with all it points to in one piece of memory; the lines that are ours to fill in - addresses, refused lines,
 * the o= line - are made here too.
 */
#include "media/session.h"

#include <stdlib.h>

/* the parsed form, read from the memo when there is none; NULL: no such description, or (ret_oom) no memory */
const struct sdp *media_desc_open(struct desc *d, struct arena *a, bool *ret_oom)
{
	struct sdp_error err;
	struct sdp *s;

	if (d->sdp || !d->memo.p)
		return d->sdp;
	if (sdp_parse(a, d->memo, UINT8_MAX, &s, &err)) {
		*ret_oom = true; /* a memo is our own text: nothing else can be wrong with it */
		return NULL;
	}
	d->sdp = s;
	return s;
}

/* the memo of a description, copied into a. false: no memory */
bool media_desc_memo(struct media *m, struct arena *a, const struct desc *d, struct str *ret)
{
	struct buf b;

	*ret = STR_NONE;
	if (!d->sdp && !d->memo.p)
		return true;
	buf_init(&b, m->text, MEDIA_TEXT);
	if (d->memo.p)
		buf_str(&b, d->memo);
	else
		sdp_memo(&b, d->sdp);
	if (buf_err(&b))
		return false;
	*ret = str_dup(a, buf_text(&b));
	return ret->p != NULL;
}

/* out with exactly the o= line of this side; out untouched when it does not fit */
enum reason media_desc_print(struct media_call *mc, enum media_side side, const struct sdp *s, uint32_t version,
    struct buf *out)
{
	const struct side *sd = &mc->side[side];
	struct sdp_origin o = {
		.session = sd->session,
		.version = version,
		.addr = *media_realm_addr(mc->m, sd->realm, sd->family),
	};
	size_t n = out->n;

	sdp_print(out, s, &o);
	if (!buf_err(out))
		return REASON_NONE;
	out->n = n;
	return REASON_SDP_TOO_LARGE;
}

enum reason media_desc_parse(struct media_call *mc, enum media_side side, struct arena *a, struct str text,
    struct str *ret_text, struct sdp **ret)
{
	struct sdp_error err = {.reason = REASON_SDP_TOO_LARGE, .why = "larger than 64 KiB"};
	enum reason reason = REASON_SDP_TOO_LARGE;

	if (text.n <= SDP_TEXT_MAX) {
		*ret_text = str_dup(a, text);
		if (text.n && !ret_text->p)
			return REASON_NO_MEMORY;
		reason = sdp_parse(a, *ret_text, mc->m->max_streams, ret, &err);
	}
	if (reason)
		log_info(&mc->log, "sdp_refused", "side=%c line=%u why=\"%s\"", side == MEDIA_A ? 'a' : 'b',
		    err.line, err.why);
	return reason;
}

/* Writes the memo of a description to b; *ret lies there. */
static void put_memo(struct buf *b, const struct desc *d, struct str *ret)
{
	size_t at = b->n;

	*ret = STR_NONE;
	if (desc_none(d))
		return;
	if (d->memo.p)
		buf_str(b, d->memo);
	else
		sdp_memo(b, d->sdp);
	*ret = str_n(b->p + at, b->n - at);
}

/* copies a view with all it points to, as memos, in one block of just that size. false: no memory */
bool media_view_compact(struct media *m, const struct view *v, struct view *ret)
{
	size_t streams = v->n_streams * sizeof(*v->streams), n = streams;
	struct buf b;
	char *at;

	*ret = *v;
	ret->bytes = 0; /* until there is a block */
	buf_init(&b, m->text, MEDIA_TEXT);
	for (unsigned s = 0; s < 2; s++) {
		const struct side_view *from = &v->side[s];
		struct side_view *to = &ret->side[s];

		to->remote = to->local = to->told = (struct desc){0};
		put_memo(&b, &from->remote, &to->remote.memo);
		put_memo(&b, &from->local, &to->local.memo);
		if (!desc_same(&from->local, &from->told))
			put_memo(&b, &from->told, &to->told.memo);
		n += from->hist.n * sizeof(*from->hist.v);
	}
	if (buf_err(&b))
		return false;
	at = malloc(n + b.n);
	if (!at)
		return false;
	ret->bytes = (uint32_t)(n + b.n);
	m->view_bytes += ret->bytes;
	/* objects first, they are aligned; then the text */
	ret->streams = (struct stream *)(void *)at;
	if (streams)
		memcpy(at, v->streams, streams);
	at += streams;
	for (unsigned s = 0; s < 2; s++) {
		struct neg_hist *h = &ret->side[s].hist;
		size_t size = h->n * sizeof(*h->v);

		if (size)
			memcpy(at, h->v, size);
		h->v = size ? (struct neg_seen *)(void *)at : NULL;
		at += size;
	}
	memcpy(at, b.p, b.n);
	for (unsigned s = 0; s < 2; s++) {
		struct side_view *to = &ret->side[s];
		struct str *memo[] = {&to->remote.memo, &to->local.memo, &to->told.memo};

		for (unsigned i = 0; i < ARRAY_LEN(memo); i++)
			if (memo[i]->p)
				memo[i]->p = at + (memo[i]->p - b.p);
		if (desc_same(&v->side[s].local, &v->side[s].told))
			to->told = to->local;
	}
	return true;
}

void media_view_drop(struct media *m, struct view *v)
{
	if (!v->bytes)
		return;
	m->view_bytes -= v->bytes;
	free(v->streams);
	v->bytes = 0;
}

/* a refused line, as the side knows it from earlier */
void media_dead_line(struct sdp_media *m, const struct sdp *before, uint8_t slot)
{
	const struct sdp_media *was = media_at(before, slot);

	*m = (struct sdp_media){.kind = S("audio"), .proto = S("RTP/AVP"), .fmts = S("0"),
	    .profile = SDP_PROFILE_AVP};
	if (was) {
		m->kind = was->kind;
		m->proto = was->proto;
		m->fmts = was->fmts;
		m->profile = was->profile;
	}
}

void media_line_address(struct sdp_media *m, const struct relay_pair *p)
{
	m->conn = SDP_CONN_IP;
	m->rtp = *relay_pair_local(p);
	m->port = addr_port(&m->rtp);
	m->rtcp = m->rtp;
	addr_set_port(&m->rtcp, (uint16_t)(m->port + 1));
}

/* the session-level c=: that of the first live stream */
void media_session_address(struct media_call *mc, enum media_side side, struct sdp *s)
{
	s->conn = *media_realm_addr(mc->m, mc->side[side].realm, mc->side[side].family);
	for (unsigned i = 0; i < s->n_media; i++) {
		if (s->media[i].port == 0)
			continue;
		s->conn = s->media[i].rtp;
		break;
	}
	addr_set_port(&s->conn, 0);
}

/* for an o= line: a number others can hold in a signed one */
uint64_t media_new_session(const struct media *m)
{
	uint64_t n;

	rng_bytes(m->env->rng, &n, sizeof(n));
	return (n >> 2) | 1;
}
