/* rtp.c - kind, header and bounds of a media datagram (RFC 3550, 5761, 7983).
 *
 * A relay does not decode media, but it must never pass on what would trip a decoder, and never learn an address
 * from what is not media. Each check reads only bytes that a check before it has proved to be there.
 */
#include "media/rtp.h"

#include <errno.h>

#include "sbc/base/be.h"

enum { RTCP_SR = 200, RTCP_RR, RTCP_SDES, RTCP_BYE, RTCP_APP, RTCP_RTPFB, RTCP_PSFB };

enum rtp_kind rtp_kind(const uint8_t *p, size_t n)
{
	uint8_t b;

	if (n == 0)
		return RTP_KIND_JUNK;
	b = p[0];
	if (b >= 128)
		return b <= 191 ? RTP_KIND_AV : RTP_KIND_VERSION;
	if (b >= 80)
		return RTP_KIND_VERSION;
	if (b >= 64)
		return RTP_KIND_TURN;
	if (b >= 20)
		return RTP_KIND_DTLS;
	if (b >= 16)
		return RTP_KIND_ZRTP;
	return b <= 3 ? RTP_KIND_STUN : RTP_KIND_JUNK;
}

int rtp_header(const uint8_t *p, size_t n, size_t *ret_len)
{
	size_t head;

	if (n < RTP_HEADER_MIN || p[0] >> 6 != 2)
		return -EBADMSG;
	head = RTP_HEADER_MIN + 4 * (size_t)(p[0] & 0x0f);
	if (head > n)
		return -EBADMSG;
	if (p[0] & 0x10) {
		if (n - head < 4)
			return -EBADMSG;
		head += 4 + 4 * (size_t)be16(p + head + 2);
		if (head > n)
			return -EBADMSG;
	}
	*ret_len = head;
	return 0;
}

int rtp_parse(const uint8_t *p, size_t n, struct rtp_head *ret)
{
	size_t head, pad = 0;

	if (rtp_header(p, n, &head) < 0)
		return -EBADMSG;
	if (p[0] & 0x20) {
		/* with no byte after the header the count itself has no place */
		if (head == n)
			return -EBADMSG;
		pad = p[n - 1];
		if (pad == 0 || pad > n - head)
			return -EBADMSG;
	}
	*ret = (struct rtp_head){
	    .timestamp = be32(p + 4),
	    .ssrc = be32(p + 8),
	    .header_len = (uint32_t)head,
	    .payload_len = (uint32_t)(n - head - pad),
	    .padding_len = (uint32_t)pad,
	    .seq = (uint16_t)be16(p + 2),
	    .pt = p[1] & 0x7f,
	    .marker = p[1] >> 7,
	};
	return 0;
}

/* bytes that a part of this type has at least, with the count field of its header */
static size_t part_min(unsigned type, unsigned count)
{
	switch (type) {
	case RTCP_SR:
		return 28 + 24 * (size_t)count;
	case RTCP_RR:
		return 8 + 24 * (size_t)count;
	case RTCP_SDES: /* a chunk is an SSRC and at least the null item */
		return 4 + 8 * (size_t)count;
	case RTCP_BYE:
		return 4 + 4 * (size_t)count;
	case RTCP_APP:
	case RTCP_RTPFB:
	case RTCP_PSFB:
		return 12;
	default:
		return RTCP_HEADER_MIN;
	}
}

int rtcp_check(const uint8_t *p, size_t n)
{
	size_t at = 0;

	do {
		size_t len;

		if (n - at < RTCP_HEADER_MIN || p[at] >> 6 != 2)
			return -EBADMSG;
		if (p[at + 1] < 192 || p[at + 1] > 223)
			return -EBADMSG;
		len = 4 + 4 * (size_t)be16(p + at + 2);
		if (len > n - at)
			return -EBADMSG;
		if (p[at] & 0x20) {
			size_t pad = p[at + len - 1];

			if (at + len != n || pad == 0 || pad % 4 != 0 || pad > len - RTCP_HEADER_MIN)
				return -EBADMSG;
			if (len - pad < part_min(p[at + 1], p[at] & 0x1f))
				return -EBADMSG;
		} else if (len < part_min(p[at + 1], p[at] & 0x1f)) {
			return -EBADMSG;
		}
		at += len;
	} while (at < n);
	return 0;
}

bool udptl_plausible(const uint8_t *p, size_t n)
{
	size_t primary;

	/* sequence number, length of the primary packet (one or two octets), kind of the error recovery, its count */
	if (n < 6)
		return false;
	if (p[2] < 0x80)
		return p[2] > 0 && (size_t)3 + p[2] + 2 <= n;
	if (p[2] >= 0xc0)
		return false; /* fragments: not used by UDPTL */
	primary = (size_t)(p[2] & 0x3f) << 8 | p[3];
	return 4 + primary + 2 <= n;
}
