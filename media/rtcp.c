/* rtcp.c - sender and receiver reports read (RFC 3550 6.4.1, 6.4.2); names and numbers rewritten in all parts that have them.
 *
 * All of it works on what rtcp_check() has let through: parts whose lengths add up, with room for the blocks they count. Inside
 * of SDES and XR each step is checked here.
 */
#include "media/rtcp.h"

#include "sbc/base/be.h"

enum { TYPE_SR = 200, TYPE_RR, TYPE_SDES, TYPE_RTPFB = 205, TYPE_XR = 207, BLOCK = 24 };
enum { SDES_CNAME = 1, SDES_PRIV = 8 };
enum { XR_LOSS = 1, XR_DUPLICATE, XR_TIMES, XR_SUMMARY = 6 };
#define RTPFB_NACK 1

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

/* --- rewriting --- */

/* The next part; false: there is none. *ret_len: its bytes without padding. */
static bool part_next(uint8_t *p, size_t n, size_t *at, uint8_t **ret, size_t *ret_len)
{
	size_t len, pad;

	if (*at > n || n - *at < 4)
		return false;
	*ret = p + *at;
	len = 4 + 4 * (size_t)be16(*ret + 2);
	if (len > n - *at)
		return false;
	pad = (*ret)[0] & 0x20 ? (*ret)[len - 1] : 0;
	*at += len;
	*ret_len = pad < len ? len - pad : 0;
	return true;
}

static void hide_name(uint8_t *text, size_t n, const struct hash_key *key)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t word = hash_bytes(key, text, n), bits = word;

	for (size_t i = 0, left = 10; i < n; i++, left--) {
		if (left == 0) {
			word = hash_bytes(key, &word, sizeof(word));
			bits = word;
			left = 10;
		}
		text[i] = (uint8_t)letters[bits & 63];
		bits >>= 6;
	}
}

/* the items of one chunk from at on; returns where the next chunk begins */
static size_t hide_chunk(uint8_t *p, size_t n, size_t at, const struct hash_key *key)
{
	while (at < n && p[at] != 0) {
		size_t len;

		if (n - at < 2) {
			p[at] = 0; /* a type without a length */
			break;
		}
		len = p[at + 1];
		if (len > n - at - 2)
			len = n - at - 2;
		if (p[at] == SDES_CNAME)
			hide_name(p + at + 2, len, key);
		else if (p[at] == SDES_PRIV && len)
			memset(p + at + 3, 'x', len - 1); /* behind the length of its prefix */
		else if (p[at] < SDES_PRIV)
			memset(p + at + 2, 'x', len);
		at += 2 + len;
	}
	return (at | 3) + 1; /* at least one null, to the next word */
}

void rtcp_hide(uint8_t *p, size_t n, const struct hash_key *key)
{
	size_t at = 0, len;
	uint8_t *part;

	while (part_next(p, n, &at, &part, &len)) {
		unsigned chunks = part[0] & 0x1f;

		if (part[1] != TYPE_SDES)
			continue;
		for (size_t in = 4; chunks && in + 4 < len; chunks--)
			in = hide_chunk(part, len, in + 4, key);
	}
}

static void unshift16(uint8_t *p, uint16_t shift)
{
	be16_put(p, (uint16_t)(be16(p) - shift));
}

/* an extended number: one that would be less than nothing is of the first cycle */
static void unshift32(uint8_t *p, uint16_t shift)
{
	uint32_t v = be32(p);

	be32_put(p, v < shift ? v + 0x10000 - shift : v - shift);
}

static void unshift_xr(uint8_t *p, size_t n, uint32_t ssrc, uint16_t shift)
{
	for (size_t at = 8, len; at < n && n - at >= 12; at += len) {
		unsigned type = p[at];

		len = 4 + 4 * (size_t)be16(p + at + 2);
		if (len > n - at)
			return;
		if ((type == XR_LOSS || type == XR_DUPLICATE || type == XR_TIMES || type == XR_SUMMARY) && len >= 12 &&
		    be32(p + at + 4) == ssrc) {
			unshift16(p + at + 8, shift);
			unshift16(p + at + 10, shift);
		}
	}
}

void rtcp_unshift(uint8_t *p, size_t n, uint32_t ssrc, uint16_t shift)
{
	size_t at = 0, len;
	uint8_t *part;

	while (part_next(p, n, &at, &part, &len)) {
		unsigned count = part[0] & 0x1f;

		switch (part[1]) {
		case TYPE_SR:
		case TYPE_RR:
			for (size_t b = part[1] == TYPE_SR ? 28 : 8; count && b + BLOCK <= len; count--, b += BLOCK)
				if (be32(part + b) == ssrc)
					unshift32(part + b + 8, shift);
			break;
		case TYPE_RTPFB:
			for (size_t b = 12; count == RTPFB_NACK && b + 4 <= len && be32(part + 8) == ssrc; b += 4)
				unshift16(part + b, shift);
			break;
		case TYPE_XR:
			if (len > 8)
				unshift_xr(part, len, ssrc, shift);
			break;
		default:
			break;
		}
	}
}
