/* Reports read, and the round trip out of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "media/rtcp.h"
#include "media/rtp.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sender_and_receiver_reports),
		cmocka_unit_test(whatever_passed_the_check),
		cmocka_unit_test(round_trips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
