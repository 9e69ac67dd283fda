/* look.c - looking at a session of a call: its streams, their figures, the verdict on each direction.
 *
 * Changes nothing. What is shown is the view that packets follow now: that of the last answer, before the first one that
 * of the offer, else what was agreed.
 */
#include "media/session.h"
#include "media/verdict.h"

const char *const media_dtls_names[4] = {"none", "waits", "up", "failed"};

const struct view *media_view(const struct media_call *mc)
{
	const struct exchange *x = mc->x;

	if (x && x->kept.bytes)
		return &x->now;
	return x && mc->base.n_streams == 0 ? &x->offer : &mc->base;
}

unsigned media_stream_count(const struct media_call *mc)
{
	return media_view(mc)->n_streams;
}

bool media_stream(const struct media_call *mc, enum media_side side, unsigned stream,
    struct media_stream_info *ret_info, struct media_stats *ret_stats)
{
	const struct view *v = media_view(mc);
	const struct stream *st;
	enum sdp_dir dir;
	struct buf b;

	if (stream >= v->n_streams)
		return false;
	st = &v->streams[stream];
	memset(ret_info, 0, sizeof(*ret_info));
	memset(ret_stats, 0, sizeof(*ret_stats));
	dir = st->live ? (enum sdp_dir)st->dir : SDP_INACTIVE;
	if (side == MEDIA_B)
		dir = neg_reverse(dir);
	buf_init(&b, ret_info->direction, sizeof(ret_info->direction) - 1);
	buf_str(&b, str_z(sdp_dir_names[dir]));
	memcpy(ret_info->kind, st->kind, sizeof(ret_info->kind));
	memcpy(ret_info->codec, st->live ? st->codec : "-", st->live ? sizeof(ret_info->codec) : 2);
	ret_info->pt = st->live ? st->pt[side] : 0;
	ret_info->active = st->live;
	if (!st->pair[side])
		return true;
	relay_pair_stats(st->pair[side], ret_stats);
	ret_stats->local = *relay_pair_local(st->pair[side]);
	ret_stats->remote = ret_stats->latched ? ret_stats->source : st->remote[side];
	if (st->dtls[side]) {
		static const uint8_t states[] = {[DTLS_RUNNING] = MEDIA_DTLS_WAITS, [DTLS_UP] = MEDIA_DTLS_UP,
			[DTLS_FAILED] = MEDIA_DTLS_FAILED};

		ret_stats->dtls = states[dtls_link_state(st->dtls[side])];
		ret_stats->dtls_why = (uint16_t)dtls_link_why(st->dtls[side]);
	}
	return true;
}

int64_t media_silent_us(const struct media_call *mc, enum media_side side)
{
	const struct view *v = media_view(mc);
	int64_t now = mc->m->env->clock->mono_us, heard = 0;

	if (mc->side[side].timeout_s == 0)
		return 0;
	for (unsigned i = 0; i < v->n_streams; i++) {
		const struct stream *st = &v->streams[i];
		struct media_stats stats;
		int64_t at = st->on_us[side];

		if (!st->live || at == 0 || !st->pair[side])
			continue;
		relay_pair_stats(st->pair[side], &stats);
		if (stats.last_rx_us > at)
			at = stats.last_rx_us;
		if (at > heard)
			heard = at;
	}
	return heard ? now - heard : 0;
}

void media_judge(const struct media_call *mc, enum media_side side, unsigned stream, const struct media_stream_info *info,
    const struct media_stats *stats, struct media_judged *ret)
{
	const struct stream *st = &media_view(mc)->streams[stream];
	struct verdict_case c = {.now_us = mc->m->env->clock->mono_us, .up_us = mc->up_us, .on_us = st->on_us[side],
	    .changed_us = mc->changed_us, .changes = mc->changes, .active = info->active,
	    .by_turns = str_eq(str_z(info->kind), S("image"))};

	memset(ret, 0, sizeof(*ret));
	ret->at_us = c.now_us;
	ret->in = (uint8_t)verdict_in(stats, &c, &ret->in_since_us, &ret->change);
	c.on_us = st->on_us[media_other(side)];
	ret->out = (uint8_t)verdict_out(stats, &c, &ret->out_since_us);
}

bool media_judged_bad(const struct media_judged *j)
{
	return media_verdict_info((enum media_verdict)j->in)->bad || media_verdict_info((enum media_verdict)j->out)->bad;
}

bool media_shown(const struct media *m, unsigned realm, int family, struct addr *ret)
{
	const struct addr *a;

	if (realm >= m->n_realms)
		return false;
	a = family == AF_INET6 ? &m->realms[realm].v6 : &m->realms[realm].v4;
	if (addr_none(a))
		return false;
	*ret = *a;
	return true;
}
