/* session.c - the media session of a call: two sides, their descriptions, ports and programs.
 *
 * Happy path. media_remote_offer(A) reads the offer, decides which streams can be relayed and takes port pairs for A.
 * media_local_offer(B) makes B's offer of it and takes pairs for B. media_remote_answer(B) makes A's answer, publishes
 * the programs of both directions (packets flow from here on, whatever the signalling does next) and prepares what a
 * commit will keep. media_local_answer(A) prints. media_commit() swaps pointers: it cannot fail.
 *
 *     IDLE -offer-> OFFERED -> OFFER_SENT -answer-> ANSWERED -> ANSWER_SENT -commit/rollback-> IDLE
 *                                  ^___________________________| another answer: of a fork, or a 200 that differs
 *     IDLE -media_reoffer()-> OFFER_SENT -answer-> ANSWERED -commit-> IDLE
 *
 * Slots and streams. A stream joins an m= line of A with one of B. Each side's list of m= lines never shrinks; a line
 * whose stream is gone is taken again by the next new stream, before the list grows (RFC 3264 8.1). A side that was
 * opened afresh gets live streams only; answers to the other side still have its own lines.
 *
 * Pairs. A pair belongs to base or to the exchange. Streams keep their index between base and exchange, so what only
 * the exchange has is given back by a rollback, what only base had by a commit. A stream without life after a commit
 * keeps no port (SDP-03).
 *
 * Early packets. From the far end that was offered nothing passes before its answer names a source: such packets are
 * counted as NO_STREAM. The answer opens both directions at once. Until the answer to a re-offer the old programs
 * stand, so the moving side is heard at its old address until it is told ours (SDP-09).
 *
 * Files: links.c DTLS of streams, room.c what calls share, desc.c descriptions and memos, offer.c and answer.c the exchange, publish.c programs; here
 * calls, sides, ports and the end of an exchange.
 *
 * What goes wrong: a refused call leaves everything as it was. Out of memory is a refusal.
 */
#include "media/session.h"

#include <stdlib.h>

#include "media/codec.h"
#include "media/sdes.h"

enum reason media_fax(const struct media_call *mc, enum media_side side)
{
	const struct side *sd = &mc->side[side];

	if (sd->srtp.mode == MEDIA_SRTP_REQUIRED)
		return REASON_FAX_IN_CLEAR;
	if (sd->fax == MEDIA_FAX_REFUSE)
		return REASON_FAX_REFUSED;
	return sd->fax == MEDIA_FAX_AUDIO_FIRST && !mc->up_us ? REASON_FAX_AUDIO_FIRST : REASON_NONE;
}

/* Can this stream of the far end be relayed? MEDIA_REFUSED for port 0 too. */
enum reason media_usable(const struct media_call *mc, enum media_side side, const struct sdp_media *m)
{
	const struct side *sd = &mc->side[side];

	if (m->port == 0)
		return REASON_MEDIA_REFUSED;
	if (m->profile == SDP_PROFILE_OTHER) /* a connection has another life than datagrams: nothing here carries one */
		return str_iprefix(m->proto, S("TCP")) ? REASON_MEDIA_TCP : REASON_MEDIA_REFUSED;
	if (m->conn == SDP_CONN_BAD)
		return REASON_MEDIA_ADDRESS;
	if (m->conn == SDP_CONN_IP) {
		if (addr_none(media_realm_addr(mc->m, sd->realm, m->rtp.sa.sa_family)))
			return REASON_MEDIA_ADDRESS;
		/* nobody far away may point us at ourselves */
		if (addr_is_loopback(&m->rtp) && !addr_none(&sd->signalling) &&
		    !addr_is_loopback(&sd->signalling))
			return REASON_MEDIA_ADDRESS;
	}
	if (!sdp_is_rtp(m))
		return media_fax(mc, side);
	for (unsigned i = 0; i < m->n_formats; i++) {
		const struct sdp_format *f = &m->formats[i];

		if (f->name.n && !codec_is_aux(f) && codec_rank(sd->codecs, f) >= 0)
			return REASON_NONE;
	}
	return REASON_NO_COMMON_CODEC;
}

/* the reason that tells most, of several streams */
enum reason media_worse(enum reason had, enum reason r)
{
	if (had == REASON_NONE || had == REASON_MEDIA_REFUSED)
		return r;
	return r == REASON_NO_COMMON_CODEC ? r : had;
}

/* --- pairs --- */

/* gives back what is in have and not in keep; index by index */
void media_pairs_drop(const struct view *have, const struct view *keep)
{
	for (unsigned i = 0; i < have->n_streams; i++) {
		for (unsigned s = 0; s < 2; s++) {
			struct relay_pair *p = have->streams[i].pair[s];

			if (p && !(i < keep->n_streams && keep->streams[i].pair[s] == p))
				relay_pair_put(p);
		}
	}
}

/* a pair of the family the far end is reached by; one that fits is kept */
enum reason media_pair_need(struct media_call *mc, struct stream *st, enum media_side side, int family)
{
	struct relay_pair *p;
	enum reason reason;

	if (st->pair[side] && (family == 0 || pair_family(st->pair[side]) == family))
		return REASON_NONE;
	reason = relay_pair_get(mc->m->relay, mc->side[side].realm, family ? family : mc->side[side].family, &p);
	if (reason)
		return reason;
	relay_pair_dscp(p, mc->side[side].dscp);
	st->pair[side] = p;
	return REASON_NONE;
}

struct stream *media_streams_copy(struct arena *a, const struct view *v, unsigned room)
{
	struct stream *st = arena_zalloc(a, (v->n_streams + room + 1u) * sizeof(*st));

	if (st && v->n_streams)
		memcpy(st, v->streams, v->n_streams * sizeof(*st));
	return st;
}

/* --- calls and sides --- */

struct media_call *media_call_new(struct media *m, struct str id)
{
	struct media_call *mc = calloc(1, sizeof(*mc));
	struct buf b;

	if (!mc)
		return NULL;
	mc->m = m;
	/* the process's key is secret, and an id is given once */
	mc->cname.k0 = hash_str(&m->env->hash_key, id) | 1;
	mc->cname.k1 = hash_bytes(&m->env->hash_key, &mc->cname.k0, sizeof(mc->cname.k0));
	mc->log = m->log;
	buf_init(&b, mc->log.ctx, sizeof(mc->log.ctx));
	buf_lit(&b, "call=");
	buf_escaped(&b, id, 24);
	buf_z(&b);
	m->n_calls++;
	return mc;
}

struct exchange *media_exchange_new(struct media_call *mc)
{
	struct arena *a = arena_new(&mc->m->exchanges);
	struct exchange *x = a ? arena_zalloc(a, sizeof(*x)) : NULL;

	if (!x) {
		arena_free(a);
		return NULL;
	}
	x->a = a;
	x->offer = mc->base;
	return x;
}

void media_exchange_free(struct media_call *mc)
{
	struct exchange *x = mc->x;

	if (!x)
		return;
	mc->x = NULL;
	mc->state = MEDIA_IDLE;
	mc->reoffer = mc->answered = false;
	if (x->kept.bytes)
		media_links_drop(&x->now);
	arena_free(x->answer);
	arena_free(x->told);
	media_view_drop(mc->m, &x->kept);
	arena_free(x->a); /* x lives in it */
}

void media_call_free(struct media_call *mc)
{
	if (!mc)
		return;
	if (mc->x)
		media_pairs_drop(&mc->x->offer, &mc->base);
	media_pairs_drop(&mc->base, &(struct view){0});
	media_exchange_free(mc);
	media_links_drop(&mc->base);
	for (unsigned s = 0; s < 2; s++)
		dtls_cert_unref(mc->side[s].srtp.cert);
	media_view_drop(mc->m, &mc->base);
	mc->m->n_calls--;
	free(mc);
}

size_t media_call_bytes(const struct media_call *mc)
{
	return sizeof(*mc) + mc->base.bytes;
}

/* what a view knew of a side */
static void view_forget(struct view *v, enum media_side side)
{
	v->side[side] = (struct side_view){0};
	for (unsigned i = 0; i < v->n_streams; i++) {
		struct stream *st = &v->streams[i];

		st->pair[side] = NULL;
		st->dtls[side] = NULL;
		memset(&st->ice[side], 0, sizeof(st->ice[side]));
		st->slot[side] = SLOT_NONE;
		st->remote[side] = (struct addr){0};
		st->on_us[0] = st->on_us[1] = 0;
		st->live = false;
	}
}

static void side_forget(struct media_call *mc, enum media_side side)
{
	struct exchange *x = mc->x;

	for (unsigned i = 0; x && i < x->offer.n_streams; i++) {
		struct relay_pair *p = x->offer.streams[i].pair[side];

		if (p && !(i < mc->base.n_streams && mc->base.streams[i].pair[side] == p))
			relay_pair_put(p);
	}
	for (unsigned i = 0; i < mc->base.n_streams; i++) {
		dtls_link_unref(mc->base.streams[i].dtls[side]);
		relay_pair_put(mc->base.streams[i].pair[side]);
	}
	view_forget(&mc->base, side);
	if (!x)
		return;
	view_forget(&x->offer, side);
	if (x->kept.bytes)
		media_links_drop(&x->now);
	/* what the offerer was told stays told */
	if (mc->answered && !x->told) {
		x->told = x->answer;
		x->answer = NULL;
	}
	arena_free(x->answer);
	media_view_drop(mc->m, &x->kept);
	x->answer = NULL;
	x->answer_text = STR_NONE;
	mc->state = MEDIA_OFFERED;
}

enum reason media_side_open(struct media_call *mc, enum media_side side, const struct media_side_cfg *cfg)
{
	struct side *sd = &mc->side[side];

	if (addr_none(media_realm_addr(mc->m, cfg->realm, cfg->family)))
		return REASON_MEDIA_UNREACHABLE;
	if (mc->x && mc->offerer == side)
		media_rollback(mc);
	side_forget(mc, side);
	dtls_cert_unref(sd->srtp.cert);
	*sd = (struct side){
		.signalling = cfg->signalling,
		.codecs = cfg->codecs,
		.timeout_s = cfg->timeout_s,
		.srtp = {.mode = (uint8_t)cfg->srtp.mode, .roc = (uint8_t)cfg->srtp.roc, .private = cfg->srtp.private,
		    .lifetime = cfg->srtp.lifetime},
		.realm = cfg->realm,
		.family = (uint8_t)cfg->family,
		.latch = (uint8_t)cfg->latch,
		.ice = cfg->ice,
		.dtmf = (uint8_t)cfg->dtmf,
		.fax = (uint8_t)cfg->fax,
		.dscp = cfg->dscp,
		.open = true,
	};
	sd->srtp.n_suites = (uint8_t)sdes_suites(cfg->srtp.suites, sd->srtp.suites);
	sd->srtp.n_dtls = (uint8_t)dtls_suites(sd->srtp.suites, sd->srtp.n_suites, sd->srtp.dtls);
	if (cfg->srtp.mode != MEDIA_SRTP_OFF && sd->srtp.n_dtls)
		sd->srtp.cert = dtls_room_cert(mc->m->dtls);
	sd->session = media_new_session(mc->m);
	return REASON_NONE;
}

/* --- capture --- */

enum reason media_capture(struct media_call *mc, enum media_capture mode, uint64_t key)
{
	const struct view *v = media_view(mc);
	enum reason why = mode == MEDIA_CAPTURE_OFF ? REASON_NONE : relay_capture_start(mc->m->relay);

	if (why)
		return why;
	mc->capture = (uint8_t)mode;
	mc->capture_key = key;
	/* pairs to come are told when their programs are published */
	for (unsigned i = 0; i < v->n_streams; i++)
		for (unsigned s = 0; s < 2; s++)
			if (v->streams[i].pair[s])
				relay_pair_capture(v->streams[i].pair[s], mode, key);
	return REASON_NONE;
}

enum media_capture media_captures(const struct media_call *mc)
{
	return (enum media_capture)mc->capture;
}

/* --- the end of an exchange --- */

void media_commit(struct media_call *mc)
{
	struct exchange *x = mc->x;
	unsigned n = 0;

	if (!x)
		return;
	if (!x->kept.bytes) {
		media_rollback(mc);
		return;
	}
	/* an answer that nobody asked for counts as told */
	if (!mc->answered && !mc->reoffer)
		media_told_answer(mc, (enum media_side)mc->offerer, media_answer_version(mc, (enum media_side)mc->offerer));
	media_links_drop(&mc->base);
	media_pairs_drop(&mc->base, &x->kept);
	for (unsigned i = 0; i < x->kept.n_streams; i++) {
		struct stream st = x->kept.streams[i];

		if (!st.live) {
			relay_pair_put(st.pair[0]);
			relay_pair_put(st.pair[1]);
			st.pair[0] = st.pair[1] = NULL;
		}
		if (st.slot[0] != SLOT_NONE || st.slot[1] != SLOT_NONE)
			x->kept.streams[n++] = st;
	}
	x->kept.n_streams = (uint8_t)n;
	media_view_drop(mc->m, &mc->base);
	mc->base = x->kept;
	if (!mc->up_us) {
		mc->up_us = mc->m->env->clock->mono_us;
	} else {
		mc->changed_us = mc->m->env->clock->mono_us;
		if (mc->changes < UINT16_MAX)
			mc->changes++;
	}
	x->kept.bytes = 0;
	media_exchange_free(mc);
	media_links_confirm(&mc->base);
}

void media_rollback(struct media_call *mc)
{
	struct exchange *x = mc->x;

	if (!x)
		return;
	if (x->kept.bytes || mc->answered)
		media_publish_base(mc);
	media_pairs_drop(&x->offer, &mc->base);
	media_exchange_free(mc);
}

enum media_state media_state(const struct media_call *mc)
{
	return (enum media_state)mc->state;
}

enum media_side media_offerer(const struct media_call *mc)
{
	return (enum media_side)mc->offerer;
}

bool media_needs_reoffer(const struct media_call *mc, enum media_side side)
{
	if (mc->x)
		return mc->x->kept.bytes && mc->x->now.side[side].stale;
	return mc->base.side[side].stale;
}
