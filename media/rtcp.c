/* rtcp.c - sender and receiver reports read (RFC 3550 6.4.1, 6.4.2). */
#include "media/rtcp.h"

#include "sbc/base/be.h"

enum { TYPE_SR = 200, TYPE_RR = 201, BLOCK = 24 };

#define ROUND_TRIP_MAX_US 60000000

static void read_block(const uint8_t *p, struct rtcp_block *ret)
{
	uint32_t lost = be32(p + 4) & 0xffffff;

	*ret = (struct rtcp_block){
	    .ssrc = be32(p),
	    .fraction_lost = p[4],
	    .lost = lost & 0x800000 ? (int32_t)(lost | 0xff000000) : (int32_t)lost,
	    .highest = be32(p + 8),
	    .jitter = be32(p + 12),
	    .lsr = be32(p + 16),
	    .dlsr = be32(p + 20),
	};
}

void rtcp_read(const uint8_t *p, size_t n, struct rtcp_report *ret)
{
	ret->sr_ntp = ret->sent = 0;
	ret->reports = false;
	ret->n = 0;
	for (size_t at = 0, len; n - at >= 4; at += len) {
		unsigned type = p[at + 1], count = p[at] & 0x1f;
		size_t block = at + (type == TYPE_SR ? 28 : 8);

		len = 4 + 4 * (size_t)be16(p + at + 2);
		if (type != TYPE_SR && type != TYPE_RR)
			continue;
		ret->reports = true;
		if (type == TYPE_SR) {
			ret->sr_ntp = be32(p + at + 10);
			ret->sent = be32(p + at + 20);
		}
		for (unsigned i = 0; i < count && ret->n < ARRAY_LEN(ret->block); i++, block += BLOCK)
			read_block(p + block, &ret->block[ret->n++]);
	}
}

uint32_t rtcp_round_trip_us(const struct rtcp_block *b, uint32_t sr_ntp, int64_t left_us, int64_t now_us)
{
	int64_t held = (int64_t)((uint64_t)b->dlsr * 1000000 / 65536), trip = now_us - left_us - held;

	if (b->lsr == 0 || b->lsr != sr_ntp || now_us < left_us || trip > ROUND_TRIP_MAX_US)
		return 0;
	/* DLSR is rounded to 15 us, and a far end next door may be quicker than that */
	if (trip < 1)
		return trip > -1000 ? 1 : 0;
	return (uint32_t)trip;
}
