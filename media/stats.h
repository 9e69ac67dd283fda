/* stats.h - what a receiver measures of an RTP stream: loss, order, jitter (RFC 3550 6.4.1, A.3, A.8), gaps, and how fast
 * the sender's clock runs. Pure. */
#ifndef MEDIA_STATS_H
#define MEDIA_STATS_H

#include "media/rtp.h"

/* Zeroed memory is a stream of which nothing came yet. Written by one thread. */
struct rtp_rx {
	int64_t base, top;      /* first and highest sequence number, counted on over wraps */
	int64_t past_lost;      /* of sources and sequences that are over */
	uint64_t received;      /* of the current one, with duplicates */
	uint32_t ssrc;
	uint32_t bad_seq;       /* a stray packet's successor; 65536: none */
	uint32_t transit;       /* arrival - timestamp, in ticks */
	uint32_t timestamp;
	uint32_t jitter_16;     /* ticks, times 16 */
	uint8_t clock_khz;      /* of the last packet */
	bool started, timed;
	uint64_t seen;          /* which of the 64 numbers up to top came; bit 0: top */
	uint32_t reordered;     /* came after one with a higher number */
	uint32_t doubled;
	uint32_t gap_us;        /* longest time between two packets that the sender did not make itself */
	int64_t arrived_us;     /* last packet, 0: none */
	/* Clock of the sender: the quickest packet of each window of two seconds, against that of the first window. */
	struct rtp_drift {
		int64_t began_us;       /* the first window, 0: none yet */
		int64_t window_us;      /* end of the running window */
		uint32_t transit;       /* what differences are taken from */
		int32_t quickest;       /* of the running window, in ticks */
		int32_t first, last;    /* of the first window and the last full one */
		uint16_t windows, up, down; /* full ones; those later, and earlier, than the one before */
	} drift;
};

/* One packet has come.
 *
 * @khz     RTP clock of its payload type in 1000 Hz; 0: 8
 * @now_us  when, on any clock that does not jump
 * @since_us  when the direction was opened, on the same clock; 0: not known
 * A new SSRC, or two packets in a row that are far from the sequence (A.1), begin a new count; what was lost before
 * stays lost. Packets that repeat a timestamp (updates of a telephone event, parts of a video frame) say nothing
 * about the network's delay and leave the jitter alone. A pause that the sender made itself (the marker after it, and no
 * number missing) is no gap, and what was before since_us counts for none. */
void rtp_rx_packet(struct rtp_rx *s, const struct rtp_head *h, uint8_t khz, int64_t now_us,
    int64_t since_us);

/* expected - received so far; negative when packets came twice (A.3) */
int64_t rtp_rx_lost(const struct rtp_rx *s);
uint32_t rtp_rx_jitter_us(const struct rtp_rx *s);
/* How much faster the sender's clock runs than ours, in parts per million; negative: slower. 0 until it is sure: the way
 * became shorter or longer by 100 ms, steadily, over at least five windows. */
int32_t rtp_rx_drift_ppm(const struct rtp_rx *s);

#endif
