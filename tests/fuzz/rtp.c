/* rtp.c - any bytes as a media datagram: kind, RTP header, RTCP parts and reports, UDPTL.
 *
 * links: media
 *
 * Holds: the parts of an accepted RTP packet make up the packet, and its bounds are those that a second reading
 * written another way finds; accepted RTCP splits into parts that end where the datagram ends; what is accepted begins
 * with version 2, and its reports are read within it; counting such a stream never breaks (loss of one source is less
 * than its sequence numbers).
 */
#include <stdlib.h>

#include "media/rtcp.h"
#include "media/stats.h"
#include "sbc/base/be.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

/* length of header and payload by walking, -1: does not fit */
static long walk_rtp(const uint8_t *p, size_t n, size_t *ret_head)
{
	size_t at = 0, csrc, words;

	if (n < 12)
		return -1;
	csrc = p[0] % 16;
	for (at = 12; csrc; csrc--, at += 4)
		if (at + 4 > n)
			return -1;
	if (p[0] / 16 % 2) {
		if (at + 4 > n)
			return -1;
		words = (size_t)p[at + 2] * 256 + p[at + 3];
		for (at += 4; words; words--, at += 4)
			if (at + 4 > n)
				return -1;
	}
	*ret_head = at;
	if (p[0] / 32 % 2) {
		if (at >= n || p[n - 1] == 0 || p[n - 1] > n - at)
			return -1;
		return (long)(n - p[n - 1]);
	}
	return (long)n;
}

/* Rewritten reports are as well formed as before. */
static void rewrite(const uint8_t *p, size_t n)
{
	static const struct hash_key key = {1, 2};
	uint8_t *copy = malloc(n);

	if (!copy)
		return;
	memcpy(copy, p, n);
	rtcp_hide(copy, n, &key);
	CHECK(rtcp_check(copy, n) == 0);
	for (size_t at = 0; at + 8 <= n; at += 4)
		rtcp_unshift(copy, n, be32(p + at), (uint16_t)(be32(p + at + 4) >> 8));
	CHECK(rtcp_check(copy, n) == 0);
	free(copy);
}

static void one(const uint8_t *p, size_t n, struct rtp_rx *rx, int64_t now_us)
{
	enum rtp_kind kind = rtp_kind(p, n);
	struct rtcp_report r;
	struct rtp_head h;
	size_t head = 0;
	bool ok = rtp_parse(p, n, &h) == 0;

	CHECK(!ok || kind == RTP_KIND_AV);
	if (kind == RTP_KIND_AV) {
		long end = walk_rtp(p, n, &head);

		CHECK(ok == (end >= 0));
		if (ok) {
			CHECK(h.header_len == head && h.header_len + h.payload_len == (size_t)end);
			CHECK((size_t)h.header_len + h.payload_len + h.padding_len == n);
			CHECK(h.pt == p[1] % 128 && h.marker == (p[1] >= 128));
			rtp_rx_packet(rx, &h, p[n - 1], now_us, 0);
			(void)rtp_rx_jitter_us(rx);
			CHECK(rx->top - rx->base < ((int64_t)1 << 40));
		}
	}
	if (rtcp_check(p, n) == 0) {
		size_t at = 0;

		CHECK(kind == RTP_KIND_AV && rtp_looks_rtcp(p, n));
		while (at < n)
			at += 4 * ((size_t)p[at + 2] * 256 + p[at + 3] + 1);
		CHECK(at == n);
		rtcp_read(p, n, &r);
		CHECK(r.n <= ARRAY_LEN(r.block));
		for (unsigned i = 0; i < r.n; i++)
			CHECK(rtcp_round_trip_us(&r.block[i], r.block[i].lsr, 0, now_us) <= 60000000);
		rewrite(p, n);
	}
	(void)udptl_plausible(p, n);
}

/* The input whole, and as a sequence of packets that each say their length. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rtp_rx rx = {0};
	int64_t now_us = 0;

	if (n > 65536)
		return 0;
	one(p, n, &rx, now_us);
	for (size_t at = 0; at + 2 <= n; at += 2) {
		size_t len = p[at];

		now_us += (int64_t)p[at + 1] * 1000;
		if (len > n - at - 2)
			len = n - at - 2;
		one(p + at + 2, len, &rx, now_us);
		at += len;
	}
	return 0;
}
