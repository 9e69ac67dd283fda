/* offer.c - offers: taken from one side, made for the other, repeated, refused (RFC 3264 5, 8).
 *
 * media_remote_offer() reads what a far end offered and binds its lines to streams; media_local_offer() makes of it what the
 * other side is offered; media_reoffer() says to a side again what it should know by now. A refused call leaves the
 * session as it was: pairs that were taken on the way are given back.
 */
#include "media/session.h"

/* --- an offer comes in --- */

/* binds the offered lines to streams and takes pairs for the offerer */
static enum reason take_offer(struct media_call *mc, struct exchange *x, enum media_side side, struct sdp *s)
{
	struct view *v = &x->offer;
	unsigned offered = 0, good = 0;
	enum reason why = REASON_NONE;

	v->streams = media_streams_copy(x->a, &mc->base, s->n_media);
	if (!v->streams)
		return REASON_NO_MEMORY;
	for (unsigned i = 0; i < s->n_media; i++) {
		struct sdp_media *m = &s->media[i];
		struct stream *st = stream_of(v, side, i);
		enum reason r = media_usable(mc, side, m);
		struct buf b;

		if (!r)
			r = media_secure_offered(mc, side, m);
		if (!r && media_secure_alternative(mc, side, s, i))
			r = REASON_MEDIA_REFUSED;

		if (!st) {
			st = &v->streams[v->n_streams++];
			st->slot[side] = (uint8_t)i;
			st->slot[media_other(side)] = SLOT_NONE;
		}
		offered += m->port != 0;
		if (r) {
			if (m->port)
				why = media_worse(why, r);
			m->port = 0;
			continue;
		}
		good++;
		buf_init(&b, st->kind, sizeof(st->kind));
		buf_str(&b, str_head(m->kind, sizeof(st->kind) - 1));
		buf_z(&b);
		r = media_pair_need(mc, st, side, m->conn == SDP_CONN_IP ? m->rtp.sa.sa_family : 0);
		if (r)
			return r;
		r = neg_hist_add(x->a, &v->side[side].hist, (uint8_t)i, m, false);
		if (r)
			return r;
	}
	if (offered && !good)
		return why;
	v->side[side].remote = (struct desc){.sdp = s};
	if (s->n_media > v->side[side].n_slots)
		v->side[side].n_slots = (uint8_t)s->n_media;
	return REASON_NONE;
}

enum reason media_remote_offer(struct media_call *mc, enum media_side side, struct str text)
{
	struct exchange *x;
	struct sdp *s = NULL;
	struct str copy;
	enum reason reason;

	if (mc->state != MEDIA_IDLE)
		return REASON_GLARE;
	if (!mc->side[side].open)
		return REASON_INTERNAL;
	x = media_exchange_new(mc);
	if (!x)
		return REASON_NO_MEMORY;
	reason = media_desc_parse(mc, side, x->a, text, &copy, &s);
	if (!reason)
		reason = take_offer(mc, x, side, s);
	if (reason) {
		if (x->offer.streams != mc->base.streams && x->offer.streams)
			media_pairs_drop(&x->offer, &mc->base);
		arena_free(x->a);
		return reason;
	}
	mc->x = x;
	mc->offerer = (uint8_t)side;
	mc->state = MEDIA_OFFERED;
	return REASON_NONE;
}

/* --- an offer goes out --- */

/* a line of that side that no stream of this offer holds, and none that this offer ends; n_slots when there is none */
static uint8_t free_slot(const struct media_call *mc, const struct view *v, enum media_side side,
    const struct sdp *offer, uint8_t n_slots)
{
	enum media_side from = media_other(side);
	uint8_t slot = 0;

	for (; slot < n_slots; slot++) {
		bool held = false;

		for (unsigned i = 0; i < v->n_streams; i++)
			held |= v->streams[i].slot[side] == slot &&
			        (live_at(offer, v->streams[i].slot[from]) ||
			         (i < mc->base.n_streams && mc->base.streams[i].live));
		if (!held)
			break;
	}
	return slot;
}

/* before: what that side was told last */
static enum reason offer_stream(struct media_call *mc, struct view *v, struct stream *st, enum media_side to,
    const struct sdp *offer, const struct sdp *before, struct sdp *out)
{
	struct exchange *x = mc->x;
	enum media_side from = media_other(to);
	struct side_view *sv = &v->side[to];
	uint8_t slot = st->slot[to];
	struct sdp_media m;
	enum reason r;

	if (slot == SLOT_NONE)
		slot = free_slot(mc, v, to, offer, sv->n_slots);
	if (slot >= mc->m->max_streams)
		return REASON_TOO_MANY_STREAMS;
	r = sdp_is_rtp(media_at(offer, st->slot[from])) ? REASON_NONE : media_fax(mc, to);
	if (r)
		return r;
	r = neg_offer(x->a, offer, media_at(offer, st->slot[from]), mc->side[from].codecs,
	    mc->side[to].codecs, &sv->hist, slot, &m);
	if (!r)
		r = media_dtmf_offer(mc, to, &sv->hist, slot, x->a, &m);
	if (!r)
		r = media_secure_offer(mc, to, media_at(before, slot), x->a, &m);
	if (!r)
		r = media_pair_need(mc, st, to, 0);
	if (r)
		return r;
	r = media_transport_offer(mc, to, relay_pair_local(st->pair[to]), media_at(before, slot), x->a, &m);
	if (r)
		return r;
	media_line_address(&m, st->pair[to]);
	if (dtls_is_said(&m) && !mc->side[to].ice) /* with ICE nobody begins before a check was answered */
		relay_pair_expect(st->pair[to]);
	r = neg_hist_add(x->a, &sv->hist, slot, &m, false);
	if (r)
		return r;
	for (unsigned i = 0; i < v->n_streams; i++)
		if (v->streams[i].slot[to] == slot)
			v->streams[i].slot[to] = SLOT_NONE; /* whoever had the line before */
	st->slot[to] = slot;
	out->media[slot] = m;
	if (slot >= sv->n_slots)
		sv->n_slots = (uint8_t)(slot + 1);
	return REASON_NONE;
}

/* o= version of a description that goes to a side after base's told */
static bool next_version(struct media_call *mc, enum media_side side, struct arena *a, const struct desc *d,
    uint32_t *ret)
{
	const struct side_view *before = &mc->base.side[side];
	struct str memo = STR_NONE;

	if (!desc_none(&before->told)) {
		if (!media_desc_memo(mc->m, a, d, &memo))
			return false;
		if (str_eq(memo, before->told.memo) && !before->refused) {
			*ret = before->version;
			return true;
		}
	}
	*ret = mc->side[side].version + 1;
	return true;
}

static enum reason make_offer(struct media_call *mc, enum media_side to, struct view *v, struct sdp *out)
{
	enum media_side from = media_other(to);
	struct exchange *x = mc->x;
	const struct sdp *offer = v->side[from].remote.sdp, *before;
	unsigned offered = 0, good = 0;
	enum reason why = REASON_NONE, r;
	bool oom = false;

	before = media_desc_open(&v->side[to].told, x->a, &oom);
	r = oom ? REASON_NO_MEMORY : neg_session_attrs(x->a, offer, &out->attrs);
	if (r)
		return r;
	out->media = arena_zalloc(x->a, (v->side[to].n_slots + v->n_streams + 1u) * sizeof(*out->media));
	if (!out->media)
		return REASON_NO_MEMORY;
	for (unsigned i = 0; i < v->n_streams; i++) {
		struct stream *st = &v->streams[i];

		if (!live_at(offer, st->slot[from]))
			continue;
		offered++;
		r = offer_stream(mc, v, st, to, offer, before, out);
		if (r == REASON_NO_COMMON_CODEC || r == REASON_TOO_MANY_STREAMS || r == REASON_SRTP_IN_CLEAR || r == REASON_SRTP_DTLS ||
		    r == REASON_FAX_REFUSED || r == REASON_FAX_AUDIO_FIRST || r == REASON_FAX_IN_CLEAR)
			why = media_worse(why, r);
		else if (r)
			return r;
		else
			good++;
	}
	if (offered && !good)
		return why;
	out->n_media = v->side[to].n_slots;
	for (unsigned i = 0; i < out->n_media; i++)
		if (out->media[i].port == 0)
			media_dead_line(&out->media[i], before, (uint8_t)i);
	media_session_address(mc, to, out);
	return REASON_NONE;
}

enum reason media_local_offer(struct media_call *mc, enum media_side side, struct buf *out)
{
	struct exchange *x = mc->x;
	struct side_view *sv;
	struct view v;
	struct sdp *s;
	uint32_t version = 0;
	enum reason reason;

	if (!x || mc->offerer == side || !mc->side[side].open)
		return REASON_INTERNAL;
	sv = &x->offer.side[side];
	if (mc->state != MEDIA_OFFERED)
		return media_desc_print(mc, side, sv->local.sdp, sv->version, out);
	v = x->offer;
	v.streams = media_streams_copy(x->a, &x->offer, 0);
	s = arena_zalloc(x->a, sizeof(*s));
	if (!v.streams || !s)
		return REASON_NO_MEMORY;
	reason = make_offer(mc, side, &v, s);
	v.side[side].local = (struct desc){.sdp = s};
	if (!reason && !next_version(mc, side, x->a, &v.side[side].local, &version))
		reason = REASON_NO_MEMORY;
	if (!reason)
		reason = media_desc_print(mc, side, s, version, out);
	if (reason) {
		media_pairs_drop(&v, &x->offer);
		return reason;
	}
	v.side[side].told = v.side[side].local;
	v.side[side].version = version;
	v.side[side].stale = v.side[side].refused = false;
	if (version > mc->side[side].version)
		mc->side[side].version = version;
	x->offer = v;
	mc->state = MEDIA_OFFER_SENT;
	return REASON_NONE;
}

/* a description with fewer lines than the session ever had gets the missing ones. false: no memory */
static bool fill_lines(struct arena *a, struct desc *d, uint8_t n_slots)
{
	const struct sdp *was = d->sdp;
	struct sdp *s;

	if (was->n_media >= n_slots)
		return true;
	s = arena_alloc(a, sizeof(*s));
	if (!s)
		return false;
	*s = *was;
	s->media = arena_zalloc(a, n_slots * sizeof(*s->media));
	if (!s->media)
		return false;
	memcpy(s->media, was->media, was->n_media * sizeof(*s->media));
	for (; s->n_media < n_slots; s->n_media++)
		media_dead_line(&s->media[s->n_media], was, (uint8_t)s->n_media);
	*d = (struct desc){.sdp = s};
	return true;
}

enum reason media_reoffer(struct media_call *mc, enum media_side side, struct buf *out)
{
	enum media_side other = media_other(side);
	struct side_view *sv;
	struct exchange *x;
	uint32_t version = 0;
	bool oom = false;
	enum reason reason = REASON_NO_MEMORY;

	if (mc->state != MEDIA_IDLE)
		return REASON_GLARE;
	if (!mc->side[side].open || desc_none(&mc->base.side[other].remote))
		return REASON_INTERNAL;
	x = media_exchange_new(mc);
	if (!x)
		return REASON_NO_MEMORY;
	sv = &x->offer.side[side];
	x->offer.streams = media_streams_copy(x->a, &mc->base, 0);
	if (!x->offer.streams || !media_desc_open(&x->offer.side[other].remote, x->a, &oom))
		goto fail;
	mc->x = x;
	mc->offerer = (uint8_t)other;
	mc->reoffer = true;
	mc->state = MEDIA_OFFERED;
	if (desc_none(&sv->local)) { /* a side that was opened afresh: it gets what the other one has */
		reason = media_local_offer(mc, side, out);
		if (reason)
			media_exchange_free(mc);
		return reason;
	}
	if (media_desc_open(&sv->local, x->a, &oom) && fill_lines(x->a, &sv->local, sv->n_slots) &&
	    next_version(mc, side, x->a, &sv->local, &version))
		reason = media_desc_print(mc, side, sv->local.sdp, version, out);
	if (reason) {
		media_exchange_free(mc);
		return reason;
	}
	sv->told = sv->local;
	sv->version = version;
	sv->stale = sv->refused = false;
	if (version > mc->side[side].version)
		mc->side[side].version = version;
	mc->state = MEDIA_OFFER_SENT;
	return REASON_NONE;
fail:
	arena_free(x->a);
	return reason;
}

/* --- an offer that cannot be taken --- */

/* every line of the offer with port 0 */
static enum reason put_refusal(struct arena *a, const struct sdp *offer, const struct sdp_origin *o, struct buf *out)
{
	struct sdp s = {.conn = o->addr, .n_media = offer->n_media,
	    .media = arena_zalloc(a, (offer->n_media + 1u) * sizeof(*s.media))};
	size_t n = out->n;

	if (!s.media)
		return REASON_NO_MEMORY;
	addr_set_port(&s.conn, 0);
	for (unsigned i = 0; i < s.n_media; i++)
		media_dead_line(&s.media[i], offer, (uint8_t)i);
	sdp_print(out, &s, o);
	if (!buf_err(out))
		return REASON_NONE;
	out->n = n;
	return REASON_SDP_TOO_LARGE;
}

enum reason media_refuse_offer(struct media_call *mc, enum media_side side, struct str text, struct buf *out)
{
	struct side *sd = &mc->side[side];
	struct sdp_origin o = {.session = sd->session, .version = sd->version + 1,
	    .addr = *media_realm_addr(mc->m, sd->realm, sd->family)};
	const struct sdp *offer = NULL;
	struct sdp *s = NULL;
	struct sdp_error err;
	struct arena *a;
	enum reason reason = REASON_NONE;

	if (!text.n && (!mc->x || mc->offerer != side || mc->reoffer))
		return REASON_INTERNAL;
	a = arena_new(&mc->m->exchanges);
	if (!a)
		return REASON_NO_MEMORY;
	if (!text.n)
		offer = mc->x->offer.side[side].remote.sdp;
	else if (text.n > SDP_TEXT_MAX)
		reason = REASON_SDP_TOO_LARGE;
	else
		reason = sdp_parse(a, text, UINT8_MAX, &s, &err);
	if (s)
		offer = s;
	if (!reason)
		reason = put_refusal(a, offer, &o, out);
	if (!reason) {
		sd->version++;
		mc->base.side[side].refused = true;
		if (offer->n_media > mc->base.side[side].n_slots) /* its lines exist from now on (RFC 3264 8) */
			mc->base.side[side].n_slots = (uint8_t)offer->n_media;
	}
	arena_free(a);
	return reason;
}

enum reason media_refuse_stray(struct media *m, unsigned realm, int family, struct str text, struct buf *out)
{
	struct sdp_origin o = {.version = 1, .addr = *media_realm_addr(m, realm, family)};
	struct sdp *s = NULL;
	struct sdp_error err;
	struct arena *a;
	enum reason reason;

	if (addr_none(&o.addr))
		return REASON_MEDIA_UNREACHABLE;
	if (text.n > SDP_TEXT_MAX)
		return REASON_SDP_TOO_LARGE;
	a = arena_new(&m->exchanges);
	if (!a)
		return REASON_NO_MEMORY;
	o.session = media_new_session(m);
	reason = sdp_parse(a, text, UINT8_MAX, &s, &err);
	if (!reason)
		reason = put_refusal(a, s, &o, out);
	arena_free(a);
	return reason;
}
