/* rtcp.h - what reports of RTCP say about a stream (RFC 3550 6.4), and the round trip a box in the middle can read out
 * of them. Pure.
 *
 * The relay passes reports on; nothing is made by it. What it changes elsewhere is changed in them as well: numbers that
 * sealing shifted (RFC 8079 3.2), and names that would show one side's network to the other. Far end A's sender report leaves at side B, B's next report names it
 * (LSR) and how long B had it (DLSR): now - left - DLSR is the way from this box to B and back (6.4.1). The same block
 * says what B has lost of what was sent to it.
 */
#ifndef MEDIA_RTCP_H
#define MEDIA_RTCP_H

#include "sbc/base/hash.h"

/* One report block. */
struct rtcp_block {
	uint32_t ssrc;         /* of the stream it is about */
	uint32_t highest;      /* sequence number that came, counted on over wraps */
	uint32_t jitter;       /* ticks of its clock */
	uint32_t lsr, dlsr;    /* middle 32 bits of the NTP time of the last SR; 1/65536 s. lsr 0: none came */
	int32_t lost;          /* so far; negative: came twice */
	uint8_t fraction_lost; /* of the last interval, in 1/256 */
};

/* What one compound packet says; blocks beyond the last are ignored by the caller's choice, none is invented. */
struct rtcp_report {
	uint32_t sr_ntp;       /* middle 32 bits of a sender report's NTP time; 0: there is none */
	uint32_t sent;         /* packets its sender has sent, by a sender report */
	bool reports;          /* there is a sender or a receiver report */
	unsigned n;            /* report blocks in all parts */
	struct rtcp_block block[4];
};

/* p has passed rtcp_check(). */
void rtcp_read(const uint8_t *p, size_t n, struct rtcp_report *ret);

/* Round trip of a block about the SR that left at left_us with the given NTP time; 0 when it is about another, or the
 * figures cannot be (more than a minute, less than nothing). At least 1 when it can be said. */
uint32_t rtcp_round_trip_us(const struct rtcp_block *b, uint32_t sr_ntp, int64_t left_us, int64_t now_us);

/* Source descriptions (RFC 3550 6.5) say user@host, names and software. In place, the lengths stay: CNAME becomes a text of
 * base64 that only key and the old one decide (RFC 7022: sources of one far end are still known to belong together), the
 * other items that describe somebody become x. What BUNDLE and layers need (types above 8) stays. p has passed rtcp_check(). */
void rtcp_hide(uint8_t *p, size_t n, const struct hash_key *key);

/* Numbers of packets of that source that a far end speaks of were sent to it higher by `shift`: in report blocks, negative
 * acknowledgements (RFC 4585 6.2.1), and loss, duplicate, receipt time and summary blocks of XR (RFC 3611). In place; p has
 * passed rtcp_check(). */
void rtcp_unshift(uint8_t *p, size_t n, uint32_t ssrc, uint16_t shift);

#endif
