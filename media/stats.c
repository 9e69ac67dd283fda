/* stats.c - loss and jitter of a received RTP stream (RFC 3550 A.1, A.3, A.8).
 *
 * The relay forwards whatever is valid; here it only counts. So there is no probation of a new source (A.1): its
 * first packet counts. Sequence numbers are extended by the wraps; a jump of more than MAX_DROPOUT forward or
 * MAX_MISORDER back is a restart when the next packet goes on from there, and one stray packet otherwise.
 */
#include "media/stats.h"

#define SEQ_MOD 65536u
#define MAX_DROPOUT 3000u
#define MAX_MISORDER 100u

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
}

/* false: a stray packet that belongs to no sequence */
static bool count(struct rtp_rx *s, const struct rtp_head *h)
{
	uint32_t ahead;

	if (!s->started || h->ssrc != s->ssrc)
		begin(s, h);
	ahead = (uint16_t)(h->seq - (uint64_t)s->top);
	if (ahead < MAX_DROPOUT) {
		s->top += ahead;
	} else if (ahead > SEQ_MOD - MAX_MISORDER) {
		int64_t seq = s->top - (SEQ_MOD - ahead);

		if (seq < s->base) /* overtaken by the one that came first */
			s->base = seq;
	} else if (h->seq != s->bad_seq) {
		s->bad_seq = (h->seq + 1u) % SEQ_MOD;
		return false;
	} else {
		begin(s, h); /* the stray one before was of this sequence; it came, so no loss either way */
	}
	s->received++;
	return true;
}

void rtp_rx_packet(struct rtp_rx *s, const struct rtp_head *h, uint8_t khz, int64_t now_us)
{
	uint32_t transit;
	int32_t d;

	if (!count(s, h))
		return;
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
	}
	s->transit = transit;
	s->timestamp = h->timestamp;
	s->timed = true;
}
