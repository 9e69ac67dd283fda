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
 * What goes wrong: a refused call leaves everything as it was. Out of memory is a refusal.
 */
#include "media/session.h"

#include <stdlib.h>

#include "media/codec.h"

#define EXCHANGE_CHUNK 4096
#define VIEW_CHUNK 48 /* the arena itself: what a view holds is one piece of its own size */

/* --- the room --- */

static bool realms_copy(struct media *m, const struct media_cfg *cfg)
{
	m->realms = calloc(cfg->n_realms ? cfg->n_realms : 1, sizeof(*m->realms));
	if (!m->realms)
		return false;
	m->n_realms = cfg->n_realms;
	for (unsigned i = 0; i < cfg->n_realms; i++) {
		const struct media_realm_cfg *r = &cfg->realms[i];

		if (!addr_none(&r->ip4))
			m->realms[i].v4 = addr_none(&r->advertise4) ? r->ip4 : r->advertise4;
		if (!addr_none(&r->ip6))
			m->realms[i].v6 = addr_none(&r->advertise6) ? r->ip6 : r->advertise6;
	}
	return true;
}

struct media *media_new(const struct env *env, const struct media_cfg *cfg, enum reason *ret_reason)
{
	struct media *m = calloc(1, sizeof(*m));
	enum reason reason = REASON_NO_MEMORY;

	if (!m)
		goto fail;
	m->env = env;
	m->log = (struct log){.to = env->logger, .area = LOG_MEDIA};
	m->max_streams = cfg->max_streams ? cfg->max_streams : 16;
	if (m->max_streams > 64)
		m->max_streams = 64;
	arena_pool_init(&m->exchanges, EXCHANGE_CHUNK, 256);
	arena_pool_init(&m->views, VIEW_CHUNK, 4096);
	m->text = malloc(MEDIA_TEXT);
	if (!m->text || !realms_copy(m, cfg))
		goto fail;
	m->relay = relay_new(env, cfg, &reason);
	if (!m->relay)
		goto fail;
	return m;
fail:
	*ret_reason = reason;
	media_free(m);
	return NULL;
}

void media_free(struct media *m)
{
	if (!m)
		return;
	relay_free(m->relay);
	arena_pool_fini(&m->exchanges);
	arena_pool_fini(&m->views);
	free(m->realms);
	free(m->text);
	free(m);
}

static const struct addr *realm_addr(const struct media *m, unsigned realm, int family)
{
	static const struct addr none = {.sa = {.sa_family = AF_UNSPEC}};

	if (realm >= m->n_realms)
		return &none;
	return family == AF_INET6 ? &m->realms[realm].v6 : &m->realms[realm].v4;
}

bool media_port_use(const struct media *m, unsigned realm, struct media_port_use *ret)
{
	return relay_port_use(m->relay, realm, ret);
}

unsigned media_call_count(const struct media *m)
{
	return m->n_calls;
}

unsigned media_pairs_in_use(const struct media *m)
{
	return relay_pairs_in_use(m->relay);
}

/* --- small helpers --- */

static const struct sdp_media *media_at(const struct sdp *s, uint8_t slot)
{
	return s && slot < s->n_media ? &s->media[slot] : NULL;
}

static bool live_at(const struct sdp *s, uint8_t slot)
{
	const struct sdp_media *m = media_at(s, slot);

	return m && m->port != 0;
}

/* the parsed form, read from the memo when there is none; NULL: no such description, or (ret_oom) no memory */
static const struct sdp *desc_open(struct desc *d, struct arena *a, bool *ret_oom)
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
static bool desc_memo(struct media *m, struct arena *a, const struct desc *d, struct str *ret)
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

static bool desc_same(const struct desc *d, const struct desc *e)
{
	return d->sdp == e->sdp && d->memo.p == e->memo.p;
}

static bool desc_none(const struct desc *d)
{
	return !d->sdp && !d->memo.p;
}

/* out with exactly the o= line of this side; out untouched when it does not fit */
static enum reason print(struct media_call *mc, enum media_side side, const struct sdp *s, uint32_t version,
    struct buf *out)
{
	const struct side *sd = &mc->side[side];
	struct sdp_origin o = {
		.session = sd->session,
		.version = version,
		.addr = *realm_addr(mc->m, sd->realm, sd->family),
	};
	size_t n = out->n;

	sdp_print(out, s, &o);
	if (!buf_err(out))
		return REASON_NONE;
	out->n = n;
	return REASON_SDP_TOO_LARGE;
}

static enum reason parse(struct media_call *mc, enum media_side side, struct arena *a, struct str text,
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

static int pair_family(const struct relay_pair *p)
{
	return relay_pair_local(p)->sa.sa_family;
}

/* Can this stream of the far end be relayed? MEDIA_REFUSED for port 0 too. */
static enum reason usable(const struct media_call *mc, enum media_side side, const struct sdp_media *m)
{
	const struct side *sd = &mc->side[side];

	if (m->port == 0 || m->profile == SDP_PROFILE_OTHER || m->profile == SDP_PROFILE_SECURE)
		return REASON_MEDIA_REFUSED;
	if (m->conn == SDP_CONN_BAD)
		return REASON_MEDIA_ADDRESS;
	if (m->conn == SDP_CONN_IP) {
		if (addr_none(realm_addr(mc->m, sd->realm, m->rtp.sa.sa_family)))
			return REASON_MEDIA_ADDRESS;
		/* nobody far away may point us at ourselves */
		if (addr_is_loopback(&m->rtp) && !addr_none(&sd->signalling) &&
		    !addr_is_loopback(&sd->signalling))
			return REASON_MEDIA_ADDRESS;
	}
	if (!sdp_is_rtp(m))
		return REASON_NONE;
	for (unsigned i = 0; i < m->n_formats; i++) {
		const struct sdp_format *f = &m->formats[i];

		if (f->name.n && !codec_is_aux(f) && codec_rank(sd->codecs, f) >= 0)
			return REASON_NONE;
	}
	return REASON_NO_COMMON_CODEC;
}

/* the reason that tells most, of several streams */
static enum reason worse(enum reason had, enum reason r)
{
	if (had == REASON_NONE || had == REASON_MEDIA_REFUSED)
		return r;
	return r == REASON_NO_COMMON_CODEC ? r : had;
}

/* --- pairs --- */

/* gives back what is in have and not in keep; index by index */
static void pairs_drop(const struct view *have, const struct view *keep)
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
static enum reason pair_need(struct media_call *mc, struct stream *st, enum media_side side, int family)
{
	struct relay_pair *p;
	enum reason reason;

	if (st->pair[side] && (family == 0 || pair_family(st->pair[side]) == family))
		return REASON_NONE;
	reason = relay_pair_get(mc->m->relay, mc->side[side].realm, family ? family : mc->side[side].family, &p);
	if (reason)
		return reason;
	st->pair[side] = p;
	return REASON_NONE;
}

static struct stream *streams_copy(struct arena *a, const struct view *v, unsigned room)
{
	struct stream *st = arena_zalloc(a, (v->n_streams + room + 1u) * sizeof(*st));

	if (st && v->n_streams)
		memcpy(st, v->streams, v->n_streams * sizeof(*st));
	return st;
}

static struct stream *stream_of(struct view *v, enum media_side side, unsigned slot)
{
	for (unsigned i = 0; i < v->n_streams; i++)
		if (v->streams[i].slot[side] == slot)
			return &v->streams[i];
	return NULL;
}

/* --- calls and sides --- */

struct media_call *media_call_new(struct media *m, struct str id)
{
	struct media_call *mc = calloc(1, sizeof(*mc));
	struct buf b;

	if (!mc)
		return NULL;
	mc->m = m;
	mc->log = m->log;
	buf_init(&b, mc->log.ctx, sizeof(mc->log.ctx));
	buf_lit(&b, "call=");
	buf_escaped(&b, id, 24);
	buf_z(&b);
	m->n_calls++;
	return mc;
}

static void exchange_free(struct media_call *mc)
{
	struct exchange *x = mc->x;

	if (!x)
		return;
	mc->x = NULL;
	mc->state = MEDIA_IDLE;
	mc->reoffer = mc->answered = false;
	arena_free(x->answer);
	arena_free(x->told);
	arena_free(x->keep);
	arena_free(x->a); /* x lives in it */
}

void media_call_free(struct media_call *mc)
{
	if (!mc)
		return;
	if (mc->x)
		pairs_drop(&mc->x->offer, &mc->base);
	pairs_drop(&mc->base, &(struct view){0});
	exchange_free(mc);
	arena_free(mc->arena);
	mc->m->n_calls--;
	free(mc);
}

size_t media_call_bytes(const struct media_call *mc)
{
	return sizeof(*mc) + (mc->arena ? arena_bytes(mc->arena) : 0);
}

/* what a view knew of a side */
static void view_forget(struct view *v, enum media_side side)
{
	v->side[side] = (struct side_view){0};
	for (unsigned i = 0; i < v->n_streams; i++) {
		struct stream *st = &v->streams[i];

		st->pair[side] = NULL;
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
	for (unsigned i = 0; i < mc->base.n_streams; i++)
		relay_pair_put(mc->base.streams[i].pair[side]);
	view_forget(&mc->base, side);
	if (!x)
		return;
	view_forget(&x->offer, side);
	/* what the offerer was told stays told */
	if (mc->answered && !x->told) {
		x->told = x->answer;
		x->answer = NULL;
	}
	arena_free(x->answer);
	arena_free(x->keep);
	x->answer = x->keep = NULL;
	x->answer_text = STR_NONE;
	mc->state = MEDIA_OFFERED;
}

/* for an o= line: a number others can hold in a signed one */
static uint64_t new_session(const struct media *m)
{
	uint64_t n;

	rng_bytes(m->env->rng, &n, sizeof(n));
	return (n >> 2) | 1;
}

enum reason media_side_open(struct media_call *mc, enum media_side side, const struct media_side_cfg *cfg)
{
	struct side *sd = &mc->side[side];

	if (addr_none(realm_addr(mc->m, cfg->realm, cfg->family)))
		return REASON_MEDIA_UNREACHABLE;
	if (mc->x && mc->offerer == side)
		media_rollback(mc);
	side_forget(mc, side);
	*sd = (struct side){
		.signalling = cfg->signalling,
		.codecs = cfg->codecs,
		.timeout_s = cfg->timeout_s,
		.realm = cfg->realm,
		.family = (uint8_t)cfg->family,
		.latch = (uint8_t)cfg->latch,
		.open = true,
	};
	sd->session = new_session(mc->m);
	return REASON_NONE;
}

/* --- an offer comes in --- */

static struct exchange *exchange_new(struct media_call *mc)
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

/* binds the offered lines to streams and takes pairs for the offerer */
static enum reason take_offer(struct media_call *mc, struct exchange *x, enum media_side side, struct sdp *s)
{
	struct view *v = &x->offer;
	unsigned offered = 0, good = 0;
	enum reason why = REASON_NONE;

	v->streams = streams_copy(x->a, &mc->base, s->n_media);
	if (!v->streams)
		return REASON_NO_MEMORY;
	for (unsigned i = 0; i < s->n_media; i++) {
		struct sdp_media *m = &s->media[i];
		struct stream *st = stream_of(v, side, i);
		enum reason r = usable(mc, side, m);
		struct buf b;

		if (!st) {
			st = &v->streams[v->n_streams++];
			st->slot[side] = (uint8_t)i;
			st->slot[media_other(side)] = SLOT_NONE;
		}
		offered += m->port != 0;
		if (r) {
			if (m->port)
				why = worse(why, r);
			m->port = 0;
			continue;
		}
		good++;
		buf_init(&b, st->kind, sizeof(st->kind));
		buf_str(&b, str_head(m->kind, sizeof(st->kind) - 1));
		buf_z(&b);
		r = pair_need(mc, st, side, m->conn == SDP_CONN_IP ? m->rtp.sa.sa_family : 0);
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
	x = exchange_new(mc);
	if (!x)
		return REASON_NO_MEMORY;
	reason = parse(mc, side, x->a, text, &copy, &s);
	if (!reason)
		reason = take_offer(mc, x, side, s);
	if (reason) {
		if (x->offer.streams != mc->base.streams && x->offer.streams)
			pairs_drop(&x->offer, &mc->base);
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

/* a refused line, as the side knows it from earlier */
static void dead_line(struct sdp_media *m, const struct sdp *before, uint8_t slot)
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

static void line_address(struct sdp_media *m, const struct relay_pair *p)
{
	m->conn = SDP_CONN_IP;
	m->rtp = *relay_pair_local(p);
	m->port = addr_port(&m->rtp);
	m->rtcp = m->rtp;
	addr_set_port(&m->rtcp, (uint16_t)(m->port + 1));
}

/* the session-level c=: that of the first live stream */
static void session_address(struct media_call *mc, enum media_side side, struct sdp *s)
{
	s->conn = *realm_addr(mc->m, mc->side[side].realm, mc->side[side].family);
	for (unsigned i = 0; i < s->n_media; i++) {
		if (s->media[i].port == 0)
			continue;
		s->conn = s->media[i].rtp;
		break;
	}
	addr_set_port(&s->conn, 0);
}

static enum reason offer_stream(struct media_call *mc, struct view *v, struct stream *st, enum media_side to,
    const struct sdp *offer, struct sdp *out)
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
	r = neg_offer(x->a, offer, media_at(offer, st->slot[from]), mc->side[from].codecs,
	    mc->side[to].codecs, &sv->hist, slot, &m);
	if (!r)
		r = pair_need(mc, st, to, 0);
	if (r)
		return r;
	line_address(&m, st->pair[to]);
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
		if (!desc_memo(mc->m, a, d, &memo))
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

	before = desc_open(&v->side[to].told, x->a, &oom);
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
		r = offer_stream(mc, v, st, to, offer, out);
		if (r == REASON_NO_COMMON_CODEC || r == REASON_TOO_MANY_STREAMS)
			why = worse(why, r);
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
			dead_line(&out->media[i], before, (uint8_t)i);
	session_address(mc, to, out);
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
		return print(mc, side, sv->local.sdp, sv->version, out);
	v = x->offer;
	v.streams = streams_copy(x->a, &x->offer, 0);
	s = arena_zalloc(x->a, sizeof(*s));
	if (!v.streams || !s)
		return REASON_NO_MEMORY;
	reason = make_offer(mc, side, &v, s);
	v.side[side].local = (struct desc){.sdp = s};
	if (!reason && !next_version(mc, side, x->a, &v.side[side].local, &version))
		reason = REASON_NO_MEMORY;
	if (!reason)
		reason = print(mc, side, s, version, out);
	if (reason) {
		pairs_drop(&v, &x->offer);
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
		dead_line(&s->media[s->n_media], was, (uint8_t)s->n_media);
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
	x = exchange_new(mc);
	if (!x)
		return REASON_NO_MEMORY;
	sv = &x->offer.side[side];
	x->offer.streams = streams_copy(x->a, &mc->base, 0);
	if (!x->offer.streams || !desc_open(&x->offer.side[other].remote, x->a, &oom))
		goto fail;
	mc->x = x;
	mc->offerer = (uint8_t)other;
	mc->reoffer = true;
	mc->state = MEDIA_OFFERED;
	if (desc_none(&sv->local)) { /* a side that was opened afresh: it gets what the other one has */
		reason = media_local_offer(mc, side, out);
		if (reason)
			exchange_free(mc);
		return reason;
	}
	if (desc_open(&sv->local, x->a, &oom) && fill_lines(x->a, &sv->local, sv->n_slots) &&
	    next_version(mc, side, x->a, &sv->local, &version))
		reason = print(mc, side, sv->local.sdp, version, out);
	if (reason) {
		exchange_free(mc);
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
		dead_line(&s.media[i], offer, (uint8_t)i);
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
	    .addr = *realm_addr(mc->m, sd->realm, sd->family)};
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
	struct sdp_origin o = {.version = 1, .addr = *realm_addr(m, realm, family)};
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
	o.session = new_session(m);
	reason = sdp_parse(a, text, UINT8_MAX, &s, &err);
	if (!reason)
		reason = put_refusal(a, s, &o, out);
	arena_free(a);
	return reason;
}

/* --- programs --- */

/* LAT-01, -02: who may take the source over. */
static struct addr latch_source(const struct side *sd, const struct addr *media)
{
	bool nat = addr_none(media) || addr_is_private(media) || !addr_eq_ip(media, &sd->signalling);

	if (addr_none(&sd->signalling) || sd->latch == MEDIA_LATCH_OFF || (sd->latch == MEDIA_LATCH_AUTO && !nat))
		return (struct addr){0};
	return sd->signalling;
}

/* packets from the far end `from` to the other one */
static void make_program(const struct media_call *mc, const struct view *v, const struct stream *st,
    enum media_side from, struct relay_program *p)
{
	enum media_side to = media_other(from);
	const struct sdp_media *rem = media_at(v->side[from].remote.sdp, st->slot[from]);
	const struct sdp_media *loc = media_at(v->side[from].told.sdp, st->slot[from]);
	const struct sdp_media *dest = media_at(v->side[to].remote.sdp, st->slot[to]);

	memset(p, 0, sizeof(*p));
	p->source_rtp = st->remote[from];
	if (rem->conn == SDP_CONN_IP) {
		p->source_rtcp = rem->rtcp;
	} else if (!addr_none(&p->source_rtp) && addr_port(&p->source_rtp) < 65535) {
		p->source_rtcp = p->source_rtp;
		addr_set_port(&p->source_rtcp, (uint16_t)(addr_port(&p->source_rtp) + 1));
	}
	p->latch_ip = latch_source(&mc->side[from], &p->source_rtp);
	if (dest->conn == SDP_CONN_IP) {
		p->dest_rtp = dest->rtp;
		p->dest_rtcp = dest->rtcp;
	}
	p->rtp_on = st->on_us[from] != 0;
	p->raw = !sdp_is_rtp(rem);
	neg_pt_map(loc ? loc : rem, rem, dest, p->pt_map, p->clock_khz);
}

/* Publishes both directions of all streams. On failure some are new and some old. */
static enum reason publish(const struct media_call *mc, const struct view *v)
{
	for (unsigned i = 0; i < v->n_streams; i++) {
		const struct stream *st = &v->streams[i];

		for (unsigned s = 0; s < 2; s++) {
			struct relay_program p;
			enum reason r;

			if (!st->pair[s])
				continue;
			if (!st->live || !st->pair[!s]) {
				r = relay_program_set(st->pair[s], NULL, NULL);
			} else {
				make_program(mc, v, st, (enum media_side)s, &p);
				r = relay_program_set(st->pair[s], st->pair[!s], &p);
			}
			if (r)
				return r;
		}
	}
	return REASON_NONE;
}

/* the programs as base has them; what cannot be restored for want of memory stays as it is and is logged */
static void publish_base(struct media_call *mc)
{
	struct arena *a = arena_new(&mc->m->exchanges);
	struct view v = mc->base;
	bool oom = !a;

	for (unsigned s = 0; s < 2 && !oom; s++) {
		desc_open(&v.side[s].remote, a, &oom);
		if (!oom)
			desc_open(&v.side[s].told, a, &oom);
	}
	if (oom || publish(mc, &v))
		log_error(&mc->log, "media_not_restored", "why=%s", "\"out of memory\"");
	arena_free(a);
}

/* --- an answer comes in --- */

struct answer {
	struct media_call *mc;
	struct arena *a;
	struct view *v;
	enum media_side x, y; /* offerer, answerer */
	const struct sdp *rem_x, *loc_y;
	struct sdp *rem_y, *loc_x;
	unsigned offered, live;
	enum reason why;
};

static void set_codec(struct stream *st, const struct sdp_media *loc, const struct sdp_media *rem_y, enum media_side x)
{
	const struct sdp_format *f = neg_main_codec(loc);
	int y = f ? codec_match(rem_y, f, false, NULL) : -1;
	struct buf b;

	buf_init(&b, st->codec, sizeof(st->codec) - 1);
	if (!f) {
		buf_str(&b, str_head(str_trim(loc->fmts), sizeof(st->codec) - 2));
	} else {
		buf_str(&b, str_head(f->name, 14));
		buf_chr(&b, '/');
		buf_u64(&b, f->clock_hz % 100000000);
		st->pt[x] = f->pt;
		st->pt[!x] = y >= 0 ? rem_y->formats[y].pt : f->pt;
	}
	st->codec[b.n] = '\0';
}

static void set_direction(struct stream *st, const struct answer *an, enum sdp_dir x_sees)
{
	int64_t now = an->mc->m->env->clock->mono_us, was[2] = {st->on_us[0], st->on_us[1]};

	st->dir = (uint8_t)(an->x == MEDIA_A ? x_sees : neg_reverse(x_sees));
	st->on_us[an->x] = x_sees & SDP_SENDONLY ? (was[an->x] ? was[an->x] : now) : 0;
	st->on_us[an->y] = x_sees & SDP_RECVONLY ? (was[an->y] ? was[an->y] : now) : 0;
}

/* one stream that was offered; *r is why the whole answer is refused */
static enum reason answer_stream(struct answer *an, struct stream *st, enum reason *r)
{
	const struct media_call *mc = an->mc;
	const struct sdp_media *off = media_at(an->rem_x, st->slot[an->x]);
	const struct sdp_media *our = media_at(an->loc_y, st->slot[an->y]);
	struct sdp_media *ans = st->slot[an->y] < an->rem_y->n_media ? &an->rem_y->media[st->slot[an->y]] : NULL;
	struct sdp_media m;
	enum reason why;

	if (!ans) /* fewer lines than were offered: the missing ones are refused */
		return REASON_MEDIA_REFUSED;
	if (!str_ieq(ans->kind, our->kind)) {
		*r = REASON_ANSWER_BAD;
		return *r;
	}
	if (ans->port == 0)
		return REASON_MEDIA_REFUSED;
	why = usable(mc, an->y, ans);
	if (!why && sdp_is_rtp(ans) != sdp_is_rtp(our))
		why = REASON_ANSWER_BAD;
	if (!why && ans->conn == SDP_CONN_IP && ans->rtp.sa.sa_family != pair_family(st->pair[an->y]))
		why = REASON_MEDIA_ADDRESS;
	if (!why)
		why = neg_answer(an->a, off, our, an->rem_y, ans, mc->side[an->x].codecs, &m);
	if (why == REASON_NO_MEMORY)
		*r = why;
	if (why)
		return why;
	line_address(&m, st->pair[an->x]);
	an->loc_x->media[st->slot[an->x]] = m;
	if (off->conn == SDP_CONN_IP)
		st->remote[an->x] = off->rtp;
	if (ans->conn == SDP_CONN_IP)
		st->remote[an->y] = ans->rtp;
	set_direction(st, an, neg_reverse((enum sdp_dir)m.dir));
	set_codec(st, &m, ans, an->x);
	return REASON_NONE;
}

/* fills rem_y's unusable lines with port 0, loc_x, and the streams of the view */
static enum reason answer_streams(struct answer *an)
{
	struct view *v = an->v;
	enum reason r;

	if (an->rem_y->n_media > an->loc_y->n_media)
		return REASON_ANSWER_BAD;
	r = neg_session_attrs(an->a, an->rem_y, &an->loc_x->attrs);
	if (r)
		return r;
	an->loc_x->n_media = an->rem_x->n_media;
	an->loc_x->media = arena_zalloc(an->a, (an->rem_x->n_media + 1u) * sizeof(*an->loc_x->media));
	if (!an->loc_x->media)
		return REASON_NO_MEMORY;
	for (unsigned i = 0; i < an->rem_x->n_media; i++)
		dead_line(&an->loc_x->media[i], an->rem_x, (uint8_t)i);
	for (unsigned i = 0; i < v->n_streams; i++) {
		struct stream *st = &v->streams[i];
		enum reason why;

		st->live = false;
		if (!live_at(an->rem_x, st->slot[an->x]) || !live_at(an->loc_y, st->slot[an->y]) || !st->pair[0] ||
		    !st->pair[1]) {
			st->on_us[0] = st->on_us[1] = 0;
			continue;
		}
		an->offered++;
		why = answer_stream(an, st, &r);
		if (r)
			return r;
		if (why) {
			an->why = worse(an->why, why);
			st->on_us[0] = st->on_us[1] = 0;
			if (st->slot[an->y] < an->rem_y->n_media)
				an->rem_y->media[st->slot[an->y]].port = 0;
			continue;
		}
		st->live = true;
		an->live++;
	}
	for (unsigned i = 0; i < an->rem_y->n_media; i++)
		if (!live_at(an->loc_y, (uint8_t)i))
			an->rem_y->media[i].port = 0;
	session_address(an->mc, an->x, an->loc_x);
	return REASON_NONE;
}

/* was the side told something that no longer holds? */
static bool side_differs(const struct sdp *told, const struct sdp *want, const struct sdp *rem)
{
	for (unsigned i = 0; i < rem->n_media; i++)
		if (neg_differs(media_at(told, (uint8_t)i), media_at(want, (uint8_t)i), &rem->media[i]))
			return true;
	return false;
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

/* copies a view with all it points to, as memos, into a, in one piece of just that size. false: no memory */
static bool view_compact(struct media *m, struct arena *a, const struct view *v, struct view *ret)
{
	size_t streams = v->n_streams * sizeof(*v->streams), n = streams;
	struct buf b;
	char *at;

	*ret = *v;
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
	at = arena_alloc(a, n + b.n);
	if (!at)
		return false;
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

/* the new view of an answer, in arena a; *v is a copy of the offer's */
static enum reason take_answer(struct media_call *mc, struct arena *a, struct view *v, struct sdp *rem_y)
{
	struct exchange *x = mc->x;
	enum media_side xs = (enum media_side)mc->offerer, ys = media_other(xs);
	struct side_view *sx = &v->side[xs], *sy = &v->side[ys];
	struct answer an = {
		.mc = mc, .a = a, .v = v, .x = xs, .y = ys,
		.rem_x = sx->remote.sdp, .loc_y = sy->local.sdp, .rem_y = rem_y,
		.loc_x = arena_zalloc(a, sizeof(*an.loc_x)),
	};
	bool oom = false, told_stays = mc->answered || mc->reoffer;
	const struct sdp *told;
	enum reason r;

	v->streams = streams_copy(a, &x->offer, 0);
	if (!v->streams || !an.loc_x)
		return REASON_NO_MEMORY;
	r = answer_streams(&an);
	if (r)
		return r;
	if (an.offered && !an.live && desc_none(&mc->base.side[ys].remote))
		return an.why; /* a first answer without any stream: no call of silence (OFA-08) */
	for (unsigned i = 0; i < rem_y->n_media && !r; i++)
		if (rem_y->media[i].port)
			r = neg_hist_add(a, &sy->hist, (uint8_t)i, &rem_y->media[i], true);
	if (r)
		return r;
	sy->remote = (struct desc){.sdp = rem_y};
	sx->local = (struct desc){.sdp = an.loc_x};
	sx->stale = false;
	if (!told_stays) {
		sx->told = sx->local;
		return REASON_NONE;
	}
	if (mc->answered) {
		sx->told = x->now.side[xs].told;
		sx->version = x->now.side[xs].version;
	}
	told = desc_open(&sx->told, a, &oom);
	if (oom)
		return REASON_NO_MEMORY;
	sx->stale = told && side_differs(told, an.loc_x, an.rem_x);
	if (told && !sx->stale)
		sx->local = sx->told;
	else if (!told) /* a side that never was told anything needs no correction */
		sx->told = sx->local;
	return REASON_NONE;
}

enum reason media_remote_answer(struct media_call *mc, enum media_side side, struct str text)
{
	struct exchange *x = mc->x;
	struct arena *a, *f;
	struct view v, kept;
	struct sdp *s = NULL;
	struct str copy = STR_NONE;
	bool again;
	enum reason reason;

	if (!x || mc->offerer == side || mc->state < MEDIA_OFFER_SENT)
		return REASON_ANSWER_BAD;
	again = x->keep != NULL;
	if (again && x->answer && str_eq(text, x->answer_text))
		return REASON_NONE; /* the 200 repeats the 183 */
	a = arena_new(&mc->m->exchanges);
	f = arena_new(&mc->m->views);
	v = x->offer;
	reason = a && f ? parse(mc, side, a, text, &copy, &s) : REASON_NO_MEMORY;
	if (!reason)
		reason = take_answer(mc, a, &v, s);
	if (!reason && !view_compact(mc->m, f, &v, &kept))
		reason = REASON_NO_MEMORY;
	if (!reason) {
		reason = publish(mc, &v);
		if (reason) {
			if (again)
				(void)publish(mc, &x->now);
			else
				publish_base(mc);
		}
	}
	if (reason) {
		arena_free(a);
		arena_free(f);
		return reason;
	}
	if (mc->answered && !x->told)
		x->told = x->answer; /* sx->told lives in it */
	else
		arena_free(x->answer);
	arena_free(x->keep);
	x->answer = a;
	x->answer_text = copy;
	x->keep = f;
	x->now = v;
	x->kept = kept;
	mc->state = mc->answered ? MEDIA_ANSWER_SENT : MEDIA_ANSWERED;
	return REASON_NONE;
}

/* the version of the answer that is about to be told */
static uint32_t answer_version(const struct media_call *mc, enum media_side side)
{
	const struct side_view *before = &mc->base.side[side];

	if (before->told.memo.p && !before->refused &&
	    str_eq(before->told.memo, mc->x->kept.side[side].local.memo))
		return before->version;
	return mc->side[side].version + 1;
}

static void told_answer(struct media_call *mc, enum media_side side, uint32_t version)
{
	struct exchange *x = mc->x;

	x->now.side[side].version = x->kept.side[side].version = version;
	x->now.side[side].refused = x->kept.side[side].refused = false;
	if (version > mc->side[side].version)
		mc->side[side].version = version;
}

enum reason media_local_answer(struct media_call *mc, enum media_side side, struct buf *out)
{
	struct exchange *x = mc->x;
	struct side_view *sv;
	uint32_t version;
	enum reason reason;

	if (!x || mc->offerer != side || mc->reoffer)
		return REASON_INTERNAL;
	sv = &x->now.side[side];
	if (mc->answered)
		return print(mc, side, sv->told.sdp, sv->version, out);
	if (mc->state != MEDIA_ANSWERED)
		return REASON_ANSWER_MISSING;
	version = answer_version(mc, side);
	reason = print(mc, side, sv->local.sdp, version, out);
	if (reason)
		return reason;
	told_answer(mc, side, version);
	mc->answered = true;
	mc->state = MEDIA_ANSWER_SENT;
	return REASON_NONE;
}

/* --- the end of an exchange --- */

void media_commit(struct media_call *mc)
{
	struct exchange *x = mc->x;
	unsigned n = 0;

	if (!x)
		return;
	if (!x->keep) {
		media_rollback(mc);
		return;
	}
	/* an answer that nobody asked for counts as told */
	if (!mc->answered && !mc->reoffer)
		told_answer(mc, (enum media_side)mc->offerer, answer_version(mc, (enum media_side)mc->offerer));
	pairs_drop(&mc->base, &x->kept);
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
	arena_free(mc->arena);
	mc->arena = x->keep;
	mc->base = x->kept;
	x->keep = NULL;
	exchange_free(mc);
}

void media_rollback(struct media_call *mc)
{
	struct exchange *x = mc->x;

	if (!x)
		return;
	if (x->keep || mc->answered)
		publish_base(mc);
	pairs_drop(&x->offer, &mc->base);
	exchange_free(mc);
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
		return mc->x->keep && mc->x->now.side[side].stale;
	return mc->base.side[side].stale;
}
