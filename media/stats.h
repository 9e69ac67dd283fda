/* stats.h - what a receiver measures of an RTP stream: loss and jitter (RFC 3550 6.4.1, A.3, A.8). Pure. */
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
};

/* One packet has come.
 *
 * @khz     RTP clock of its payload type in 1000 Hz; 0: 8
 * @now_us  when, on any clock that does not jump
 * A new SSRC, or two packets in a row that are far from the sequence (A.1), begin a new count; what was lost before
 * stays lost. Packets that repeat a timestamp (updates of a telephone event, parts of a video frame) say nothing
 * about the network's delay and leave the jitter alone. */
void rtp_rx_packet(struct rtp_rx *s, const struct rtp_head *h, uint8_t khz, int64_t now_us);

/* expected - received so far; negative when packets came twice (A.3) */
int64_t rtp_rx_lost(const struct rtp_rx *s);
uint32_t rtp_rx_jitter_us(const struct rtp_rx *s);

#endif
