/* answer.c - answers: taken from one side, made for the other (RFC 3264 6).
 *
 * media_remote_answer() makes of an answer what the offerer is told, publishes the programs and prepares what a commit
 * keeps; it may come again (forks, a 200 that differs from the 183). media_local_answer() prints, the same bytes each time
 * in one exchange (OFA-04).
 */
#include "media/session.h"

#include "media/codec.h"

struct answer {
	struct media_call *mc;
	struct arena *a;
	struct view *v;
	enum media_side x, y; /* offerer, answerer */
	const struct sdp *rem_x, *loc_y;
	const struct sdp *told_x; /* what the offerer was told last; NULL: nothing */
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
	why = media_usable(mc, an->y, ans);
	if (!why && sdp_is_rtp(ans) != sdp_is_rtp(our))
		why = REASON_ANSWER_BAD;
	if (!why)
		why = media_secure_answered(mc, an->y, our, ans);
	if (!why && ans->conn == SDP_CONN_IP && ans->rtp.sa.sa_family != pair_family(st->pair[an->y]))
		why = REASON_MEDIA_ADDRESS;
	if (!why)
		why = neg_answer(an->a, off, our, an->rem_y, ans, mc->side[an->x].codecs, &m);
	if (!why)
		why = media_dtmf_answer(mc, an->x, off, an->a, &m);
	if (!why)
		why = media_secure_answer(mc, an->x, off, media_at(an->told_x, st->slot[an->x]), st->dtls[an->x], an->a, &m);
	if (!why)
		why = media_transport_answer(mc, an->x, relay_pair_local(st->pair[an->x]), off, media_at(an->told_x, st->slot[an->x]),
		    &st->ice[an->x], an->a, &m);
	if (why == REASON_NO_MEMORY)
		*r = why;
	if (why)
		return why;
	media_line_address(&m, st->pair[an->x]);
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
		media_dead_line(&an->loc_x->media[i], an->rem_x, (uint8_t)i);
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
			an->why = media_worse(an->why, why);
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
	media_session_address(an->mc, an->x, an->loc_x);
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

	v->streams = media_streams_copy(a, &x->offer, 0);
	if (!v->streams || !an.loc_x)
		return REASON_NO_MEMORY;
	if (mc->answered) {
		sx->told = x->now.side[xs].told;
		sx->version = x->now.side[xs].version;
	}
	an.told_x = media_desc_open(&sx->told, a, &oom);
	if (oom)
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
	told = an.told_x;
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
	struct arena *a;
	struct view v, kept = {.bytes = 0};
	struct sdp *s = NULL;
	struct str copy = STR_NONE;
	bool again, linked;
	enum reason reason;

	if (!x || mc->offerer == side || mc->state < MEDIA_OFFER_SENT)
		return REASON_ANSWER_BAD;
	again = x->kept.bytes != 0;
	if (again && x->answer && str_eq(text, x->answer_text))
		return REASON_NONE; /* the 200 repeats the 183 */
	a = arena_new(&mc->m->exchanges);
	v = x->offer;
	reason = a ? media_desc_parse(mc, side, a, text, &copy, &s) : REASON_NO_MEMORY;
	if (!reason)
		reason = take_answer(mc, a, &v, s);
	linked = !reason && !(reason = media_links_agree(mc, &v));
	if (!reason && !media_view_compact(mc->m, &v, &kept))
		reason = REASON_NO_MEMORY;
	if (!reason) {
		reason = media_publish(mc, &v, again ? &x->now : &mc->base);
		if (reason) {
			if (again)
				(void)media_publish(mc, &x->now, &v);
			else
				media_publish_base(mc);
		}
	}
	if (reason) {
		if (linked)
			media_links_drop(&v);
		arena_free(a);
		media_view_drop(mc->m, &kept);
		return reason;
	}
	if (again)
		media_links_drop(&x->now);
	if (mc->answered && !x->told)
		x->told = x->answer; /* sx->told lives in it */
	else
		arena_free(x->answer);
	media_view_drop(mc->m, &x->kept);
	x->answer = a;
	x->answer_text = copy;
	x->now = v;
	x->kept = kept;
	mc->state = mc->answered ? MEDIA_ANSWER_SENT : MEDIA_ANSWERED;
	return REASON_NONE;
}

uint32_t media_answer_version(const struct media_call *mc, enum media_side side)
{
	const struct side_view *before = &mc->base.side[side];

	if (before->told.memo.p && !before->refused &&
	    str_eq(before->told.memo, mc->x->kept.side[side].local.memo))
		return before->version;
	return mc->side[side].version + 1;
}

void media_told_answer(struct media_call *mc, enum media_side side, uint32_t version)
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
		return media_desc_print(mc, side, sv->told.sdp, sv->version, out);
	if (mc->state != MEDIA_ANSWERED)
		return REASON_ANSWER_MISSING;
	version = media_answer_version(mc, side);
	reason = media_desc_print(mc, side, sv->local.sdp, version, out);
	if (reason)
		return reason;
	media_told_answer(mc, side, version);
	mc->answered = true;
	mc->state = MEDIA_ANSWER_SENT;
	return REASON_NONE;
}
