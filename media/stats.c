/* stats.c - loss, order, jitter, gaps and clock of a received RTP stream (RFC 3550 A.1, A.3, A.8).
 *
 * The relay forwards whatever is valid; here it only counts. So there is no probation of a new source (A.1): its
 * first packet counts. Sequence numbers are extended by the wraps; a jump of more than MAX_DROPOUT forward or
 * MAX_MISORDER back is a restart when the next packet goes on from there, and one stray packet otherwise.
 *
 * Drift. Each packet's way is known but for a constant; its quickest one in two seconds is nearly free of jitter. A clock
 * that is off moves it by the same bit in every window, another route moves it once: half of the windows have to agree. A
 * sender that pauses, restarts its timestamps or changes its clock begins anew.
 */
#include "media/stats.h"

#define SEQ_MOD 65536u
#define MAX_DROPOUT 3000u
#define MAX_MISORDER 100u
#define WINDOW_US 2000000
#define WINDOWS_MIN 5
#define WINDOWS_MAX 30000     /* half a day: then the first one is taken anew */
#define DRIFT_US 100000       /* a way that much longer or shorter */
#define PAUSE_US 500000       /* senders may stop their timestamps for so long a pause */

int64_t rtp_rx_lost(const struct rtp_rx *s)
{
	return s->started ? s->past_lost + s->top - s->base + 1 - (int64_t)s->received : s->past_lost;
}

uint32_t rtp_rx_jitter_us(const struct rtp_rx *s)
{
	return s->clock_khz ? (uint32_t)((uint64_t)(s->jitter_16 >> 4) * 1000 / s->clock_khz) : 0;
}

static void begin(struct rtp_rx *s, const struct rtp_head *h)
{
	s->past_lost = rtp_rx_lost(s);
	s->started = true;
	s->timed = false;
	s->ssrc = h->ssrc;
	s->base = s->top = h->seq;
	s->bad_seq = SEQ_MOD;
	s->received = 0;
	s->seen = 0;
	s->drift.began_us = 0;
}

/* The number is `back` behind the highest; once it was noted before: it came twice. */
static void note_late(struct rtp_rx *s, uint32_t back)
{
	uint64_t bit = back < 64 ? UINT64_C(1) << back : 0;

	if (s->seen & bit)
		s->doubled += s->doubled < UINT32_MAX;
	else
		s->reordered += s->reordered < UINT32_MAX;
	s->seen |= bit;
}

/* false: a stray packet that belongs to no sequence */
static bool count(struct rtp_rx *s, const struct rtp_head *h)
{
	uint32_t ahead;

	if (!s->started || h->ssrc != s->ssrc)
		begin(s, h);
	ahead = (uint16_t)(h->seq - (uint64_t)s->top);
	if (ahead == 0 && s->seen) {
		note_late(s, 0);
	} else if (ahead < MAX_DROPOUT) {
		s->top += ahead;
		s->seen = (ahead < 64 ? s->seen << ahead : 0) | 1;
	} else if (ahead > SEQ_MOD - MAX_MISORDER) {
		int64_t seq = s->top - (SEQ_MOD - ahead);

		if (seq < s->base) /* overtaken by the one that came first */
			s->base = seq;
		note_late(s, SEQ_MOD - ahead);
	} else if (h->seq != s->bad_seq) {
		s->bad_seq = (h->seq + 1u) % SEQ_MOD;
		return false;
	} else {
		begin(s, h); /* the stray one before was of this sequence; it came, so no loss either way */
		s->seen = 1;
	}
	s->received++;
	return true;
}

static void note_drift(struct rtp_rx *s, uint32_t transit, int64_t now_us, bool paused)
{
	struct rtp_drift *w = &s->drift;
	int32_t d;

	if (!w->began_us || paused || w->windows >= WINDOWS_MAX) {
		*w = (struct rtp_drift){.began_us = now_us, .window_us = now_us + WINDOW_US, .transit = transit,
		    .quickest = INT32_MAX};
	}
	if (now_us >= w->window_us) {
		if (w->windows == 0)
			w->first = w->quickest;
		else if (w->quickest > w->last)
			w->up++;
		else if (w->quickest < w->last)
			w->down++;
		w->last = w->quickest;
		w->windows++;
		w->quickest = INT32_MAX;
		w->window_us = now_us + WINDOW_US;
	}
	d = (int32_t)(transit - w->transit);
	if (d < w->quickest)
		w->quickest = d;
}

int32_t rtp_rx_drift_ppm(const struct rtp_rx *s)
{
	const struct rtp_drift *w = &s->drift;
	int64_t moved = (int64_t)w->last - w->first, ticks;

	if (w->windows < WINDOWS_MIN || s->clock_khz == 0 ||
	    (moved < 0 ? -moved : moved) * 1000 < (int64_t)DRIFT_US * s->clock_khz ||
	    2u * (moved > 0 ? w->up : w->down) < w->windows)
		return 0;
	ticks = (int64_t)(w->windows - 1) * WINDOW_US * s->clock_khz / 1000;
	return (int32_t)(-moved * 1000000 / ticks);
}

static void note_gap(struct rtp_rx *s, const struct rtp_head *h, int64_t top_before, int64_t now_us, int64_t since_us)
{
	bool pause = h->marker && s->top == top_before + 1;
	int64_t gap = now_us - s->arrived_us;

	if (s->arrived_us && s->arrived_us >= since_us && !pause && gap > s->gap_us)
		s->gap_us = gap > UINT32_MAX ? UINT32_MAX : (uint32_t)gap;
}

void rtp_rx_packet(struct rtp_rx *s, const struct rtp_head *h, uint8_t khz, int64_t now_us, int64_t since_us)
{
	int64_t top = s->top;
	bool paused = now_us - s->arrived_us > PAUSE_US;
	uint32_t transit;
	int32_t d;

	if (!count(s, h))
		return;
	note_gap(s, h, top, now_us, since_us);
	s->arrived_us = now_us;
	if (khz == 0)
		khz = 8;
	/* ticks modulo 2^32, as timestamps are */
	transit = (uint32_t)((uint64_t)now_us * khz / 1000) - h->timestamp;
	if (khz != s->clock_khz) {
		/* another clock: what is known of the jitter counts on, in its ticks */
		if (s->clock_khz)
			s->jitter_16 = (uint32_t)((uint64_t)s->jitter_16 * khz / s->clock_khz);
		s->clock_khz = khz;
		s->timed = false;
		s->drift.began_us = 0;
	}
	if (s->timed && h->timestamp == s->timestamp)
		return;
	if (s->timed) {
		d = (int32_t)(transit - s->transit);
		if (d < 0)
			d = d == INT32_MIN ? INT32_MAX : -d;
		/* A sender that restarts its timestamps is no jitter: more than two seconds are taken as a new base. */
		if (d < khz * 2000)
			s->jitter_16 += (uint32_t)d - ((s->jitter_16 + 8) >> 4);
		else
			s->drift.began_us = 0;
	}
	note_drift(s, transit, now_us, paused);
	s->transit = transit;
	s->timestamp = h->timestamp;
	s->timed = true;
}
