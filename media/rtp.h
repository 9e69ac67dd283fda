/* rtp.h - what can be known of a media datagram by looking at it: kind, header, bounds. Pure. */
#ifndef MEDIA_RTP_H
#define MEDIA_RTP_H

#include "sbc/base/str.h"

#define RTP_HEADER_MIN 12
#define RTCP_HEADER_MIN 4

/* By the first byte (RFC 7983 7). */
enum rtp_kind {
	RTP_KIND_AV,      /* 128..191: version 2, so RTP or RTCP */
	RTP_KIND_STUN,    /* 0..3 */
	RTP_KIND_ZRTP,    /* 16..19 */
	RTP_KIND_DTLS,    /* 20..63 */
	RTP_KIND_TURN,    /* 64..79: channel data */
	RTP_KIND_JUNK,    /* empty, or 4..15 (keep-alives of CR and LF are here) */
	RTP_KIND_VERSION, /* 80..127 and 192..255: a header of another version */
};
enum rtp_kind rtp_kind(const uint8_t *p, size_t n);

/* RTCP when both arrive at one port: packet types 192..223, which are RTP payload types 64..95 with the marker set
 * (RFC 5761 4). p is RTP_KIND_AV. A single byte is no RTCP. */
static inline bool rtp_looks_rtcp(const uint8_t *p, size_t n)
{
	return n >= 2 && p[1] >= 192 && p[1] <= 223;
}

struct rtp_head {
	uint32_t timestamp, ssrc;
	uint32_t header_len, payload_len, padding_len; /* bytes; the three make up the packet */
	uint16_t seq;
	uint8_t pt;
	bool marker;
};

/* Bounds of the header alone, with CSRC list and extension: what can be known of a packet whose payload is encrypted.
 * 0 or -EBADMSG. */
MUST_USE int rtp_header(const uint8_t *p, size_t n, size_t *ret_len);

/* RTP header of one datagram (RFC 3550 5.1, 5.3.1, A.1): 0, or -EBADMSG when it is no version 2, shorter than its CSRC
 * list or extension says, or has more padding than there is room for. A packet of padding alone is fine. */
MUST_USE int rtp_parse(const uint8_t *p, size_t n, struct rtp_head *ret);

/* One RTCP datagram, whole (RFC 3550 6.4, A.2): every part is of version 2 and a type 192..223, the lengths add up to n
 * exactly, only the last part is padded, and the fixed part of the known types is there. A single part that is
 * neither SR nor RR passes (RFC 5506). 0 or -EBADMSG. */
MUST_USE int rtcp_check(const uint8_t *p, size_t n);

/* Could be UDPTL (T.38 9.1): a sequence number and a primary packet that fits. Only asked before a source is learnt. */
bool udptl_plausible(const uint8_t *p, size_t n);

#endif
