/* Reports read, and the round trip out of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "media/rtcp.h"
#include "media/rtp.h"
#include "sbc/base/be.h"

static size_t w32(uint8_t *p, size_t at, uint32_t v)
{
	p[at] = (uint8_t)(v >> 24);
	p[at + 1] = (uint8_t)(v >> 16);
	p[at + 2] = (uint8_t)(v >> 8);
	p[at + 3] = (uint8_t)v;
	return at + 4;
}

static size_t block(uint8_t *p, size_t at, uint32_t ssrc, uint8_t fraction, int32_t lost, uint32_t lsr, uint32_t dlsr)
{
	at = w32(p, at, ssrc);
	at = w32(p, at, (uint32_t)fraction << 24 | ((uint32_t)lost & 0xffffff));
	at = w32(p, at, 70000);
	at = w32(p, at, 33);
	at = w32(p, at, lsr);
	return w32(p, at, dlsr);
}

static size_t head(uint8_t *p, size_t at, unsigned type, unsigned count, unsigned words)
{
	return w32(p, at, 0x80000000u | (uint32_t)count << 24 | (uint32_t)type << 16 | words);
}

static size_t sender(uint8_t *p, size_t at, uint32_t ntp_high, uint32_t ntp_low, unsigned blocks)
{
	at = head(p, at, 200, blocks, 6 + 6 * blocks);
	at = w32(p, at, 1);
	at = w32(p, at, ntp_high);
	at = w32(p, at, ntp_low);
	at = w32(p, at, 0);
	at = w32(p, at, 4711);
	return w32(p, at, 0);
}

static void sender_and_receiver_reports(void **state)
{
	uint8_t p[512];
	struct rtcp_report r;
	size_t n = sender(p, 0, 0x1234abcd, 0x56780000, 1);

	(void)state;
	n = block(p, n, 7, 64, -3, 0xabcd5678, 65536);
	n = head(p, n, 201, 2, 1 + 12);
	n = w32(p, n, 9);
	n = block(p, n, 8, 0, 8388607, 1, 2);
	n = block(p, n, 9, 255, -8388608, 0, 0);
	n = head(p, n, 202, 1, 2); /* SDES */
	n = w32(p, n, 9);
	n = w32(p, n, 0);
	assert_int_equal(rtcp_check(p, n), 0);
	rtcp_read(p, n, &r);
	assert_int_equal(r.sr_ntp, 0xabcd5678);
	assert_int_equal(r.sent, 4711);
	assert_true(r.reports);
	assert_int_equal(r.n, 3);
	assert_int_equal(r.block[0].highest, 70000);
	assert_int_equal(r.block[0].ssrc, 7);
	assert_int_equal(r.block[0].fraction_lost, 64);
	assert_int_equal(r.block[0].lost, -3);
	assert_int_equal(r.block[0].jitter, 33);
	assert_int_equal(r.block[0].dlsr, 65536);
	assert_int_equal(r.block[1].lost, 8388607);
	assert_int_equal(r.block[2].lost, -8388608);
	assert_int_equal(r.block[2].lsr, 0);
}

/* Every packet that the check lets through can be read: all lengths and counts, nothing beyond the bytes. */
static void whatever_passed_the_check(void **state)
{
	uint8_t full[1024];
	struct rtcp_report r;
	size_t passed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(full); i++)
		full[i] = (uint8_t)(i * 37);
	for (unsigned type = 192; type <= 223; type++)
		for (unsigned count = 0; count < 32; count++)
			for (unsigned words = 0; words < 200; words += words < 12 ? 1 : 47) {
				size_t n = 4 + 4 * (size_t)words;
				uint8_t *p = full + sizeof(full) - n; /* the sanitizer sees one byte more */

				head(p, 0, type, count, words);
				if (rtcp_check(p, n) == 0) {
					passed++;
					rtcp_read(p, n, &r);
					assert_true(r.n <= 4 && r.n <= count);
				}
			}
	assert_true(passed > 100);
	rtcp_read(full, 0, &r);
	assert_int_equal(r.n, 0);
	assert_false(r.reports);
}

static void round_trips(void **state)
{
	struct rtcp_block b = {.lsr = 0xabcd5678, .dlsr = 65536 / 2};
	int64_t left = 1000000;

	(void)state;
	assert_int_equal(rtcp_round_trip_us(&b, 0xabcd5678, left, left + 500000 + 40000), 40000);
	assert_int_equal(rtcp_round_trip_us(&b, 0xabcd5679, left, left + 540000), 0); /* of another report */
	assert_int_equal(rtcp_round_trip_us(&b, 0xabcd5678, left, left + 499999), 1); /* rounded */
	assert_int_equal(rtcp_round_trip_us(&b, 0xabcd5678, left, left + 100000), 0); /* it lies */
	assert_int_equal(rtcp_round_trip_us(&b, 0xabcd5678, left, left - 1), 0);
	assert_int_equal(rtcp_round_trip_us(&b, 0xabcd5678, left, left + 61000000), 0);
	b.lsr = 0;
	assert_int_equal(rtcp_round_trip_us(&b, 0, left, left + 540000), 0); /* no report ever came */
	b = (struct rtcp_block){.lsr = 5, .dlsr = UINT32_MAX};
	assert_int_equal(rtcp_round_trip_us(&b, 5, left, left + 540000), 0);
}

/* RTP-08: who is who stays known, and nothing is told of the network behind. */
static void rtp_08_names_are_hidden(void **state)
{
	static const struct hash_key key = {1, 2}, other = {1, 3};
	/* SDES of two sources of one far end: CNAME, TOOL, MID; CNAME, PRIV. A receiver report before, BYE behind. */
	static const char text[] =
	    "\x80\xc9\0\1AAAA"
	    "\x82\xca\0\x11" "AAAA" "\1\x10" "bob@192.168.1.77" "\6\5" "phone" "\x0f\1" "0" "\0\0\0\0"
	    "BBBB" "\1\x10" "bob@192.168.1.77" "\x08\x07" "\3" "abcdef" "\0"
	    "\x81\xcb\0\1AAAA";
	uint8_t p[sizeof(text) - 1], q[sizeof(p)];
	size_t a = 8 + 8 + 2, tool = a + 16 + 2, mid = tool + 5 + 2, b = mid + 1 + 4 + 4 + 2, priv = b + 16 + 2;

	(void)state;
	memcpy(p, text, sizeof(p));
	assert_int_equal(rtcp_check(p, sizeof(p)), 0);
	rtcp_hide(p, sizeof(p), &key);
	assert_memory_equal(p, text, a);
	assert_null(memmem(p, sizeof(p), "bob", 3));
	assert_null(memmem(p, sizeof(p), "192", 3));
	assert_memory_equal(p + a, p + b, 16);
	for (unsigned i = 0; i < 16; i++)
		assert_true((p[a + i] >= '0' && p[a + i] <= '9') || (p[a + i] >= 'A' && p[a + i] <= 'Z') ||
		            (p[a + i] >= 'a' && p[a + i] <= 'z') || p[a + i] == '+' || p[a + i] == '/');
	assert_memory_equal(p + a + 16, "\6\5xxxxx\x0f\1" "0\0\0\0\0BBBB\1\x10", 20);
	assert_memory_equal(p + tool, "xxxxx", 5);
	assert_int_equal(p[mid], '0');
	assert_memory_equal(p + priv - 2, "\x08\x07\3xxxxxx\0", 10);
	assert_memory_equal(p + sizeof(p) - 8, text + sizeof(p) - 8, 8);
	/* the same in the next report, another in another call */
	memcpy(q, text, sizeof(q));
	rtcp_hide(q, sizeof(q), &key);
	assert_memory_equal(p, q, sizeof(p));
	memcpy(q, text, sizeof(q));
	rtcp_hide(q, sizeof(q), &other);
	assert_memory_not_equal(p + a, q + a, 16);
}

/* RTP-03: every part that speaks of numbers */
static void rtp_03_numbers_follow(void **state)
{
	static const uint16_t shift = 1000;
	uint8_t p[512], was[512];
	size_t n = 0, sr, rr, nack, xr, voip;

	(void)state;
	n = sender(p, 0, 1, 2, 2);
	sr = n;
	n = block(p, n, 7, 0, 0, 0, 0); /* 70000 */
	n = block(p, n, 8, 0, 0, 0, 0); /* of another */
	n = head(p, n, 201, 1, 7);
	n = w32(p, n, 1);
	rr = n;
	n = block(p, n, 7, 0, 0, 0, 0);
	w32(p, rr + 8, 400); /* less than the shift: first cycle */
	nack = n;
	n = head(p, n, 205, 1, 4);
	n = w32(p, n, 1);
	n = w32(p, n, 7);
	n = w32(p, n, 999u << 16 | 0xffff);
	n = w32(p, n, 5000u << 16 | 1);
	xr = n;
	n = head(p, n, 207, 0, 1 + 3 + 9 + 1);
	n = w32(p, n, 1);
	n = w32(p, n, 1u << 24 | 2);
	n = w32(p, n, 7);
	n = w32(p, n, 2000u << 16 | 3000);
	voip = n;
	n = w32(p, n, 7u << 24 | 8);
	n = w32(p, n, 7);
	for (unsigned i = 0; i < 7; i++)
		n = w32(p, n, 0x11111111u * i);
	n = w32(p, n, 4u << 24); /* too short for what it may be: left alone */
	assert_int_equal(rtcp_check(p, n), 0);
	memcpy(was, p, n);
	rtcp_unshift(p, n, 7, shift);
	assert_int_equal(be32(p + sr + 8), 69000);
	assert_int_equal(be32(p + sr + 24 + 8), 70000);
	assert_int_equal(be32(p + rr + 8), 65536 + 400 - 1000);
	assert_int_equal(be16(p + nack + 12), 65535);
	assert_int_equal(be16(p + nack + 14), 0xffff); /* the mask stays */
	assert_int_equal(be16(p + nack + 16), 4000);
	assert_int_equal(be16(p + xr + 16), 1000);
	assert_int_equal(be16(p + xr + 18), 2000);
	assert_memory_equal(p + voip, was + voip, n - voip);
	assert_memory_equal(p, was, sr + 8);
	/* nobody else's */
	memcpy(p, was, n);
	rtcp_unshift(p, n, 9, shift);
	assert_memory_equal(p, was, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sender_and_receiver_reports),
		cmocka_unit_test(whatever_passed_the_check),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(rtp_08_names_are_hidden),
		cmocka_unit_test(rtp_03_numbers_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
