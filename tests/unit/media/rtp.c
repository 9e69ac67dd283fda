/* Kinds, headers and bounds of media datagrams. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "media/rtp.h"
#include "sbc/base/rng.h"

static void first_byte_decides_the_kind(void **state)
{
	(void)state;
	assert_int_equal(rtp_kind(NULL, 0), RTP_KIND_JUNK);
	for (unsigned b = 0; b < 256; b++) {
		uint8_t p = (uint8_t)b;
		enum rtp_kind want = RTP_KIND_VERSION;

		if (b <= 3)
			want = RTP_KIND_STUN;
		else if (b <= 15)
			want = RTP_KIND_JUNK;
		else if (b <= 19)
			want = RTP_KIND_ZRTP;
		else if (b <= 63)
			want = RTP_KIND_DTLS;
		else if (b <= 79)
			want = RTP_KIND_TURN;
		else if (b >= 128 && b <= 191)
			want = RTP_KIND_AV;
		assert_int_equal(rtp_kind(&p, 1), want);
	}
}

static void second_byte_tells_rtcp(void **state)
{
	uint8_t p[2] = {0x80, 0};

	(void)state;
	assert_false(rtp_looks_rtcp(p, 1));
	for (unsigned b = 0; b < 256; b++) {
		p[1] = (uint8_t)b;
		assert_int_equal(rtp_looks_rtcp(p, 2), b >= 192 && b <= 223);
	}
}

static void header_fields_are_read(void **state)
{
	/* 2 CSRC, extension of 1 word, 3 bytes of payload, 2 of padding */
	static const uint8_t p[] = {0xb2, 0xe5, 0x12, 0x34, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 5, 5, 5, 6, 6, 6, 6,
	    0xbe, 0xde, 0, 1, 7, 7, 7, 7, 'a', 'b', 'c', 0, 2};
	struct rtp_head h;

	(void)state;
	assert_int_equal(rtp_parse(p, sizeof(p), &h), 0);
	assert_int_equal(h.pt, 101);
	assert_true(h.marker);
	assert_int_equal(h.seq, 0x1234);
	assert_int_equal(h.timestamp, 0xdeadbeef);
	assert_int_equal(h.ssrc, 0x01020304);
	assert_int_equal(h.header_len, 28);
	assert_int_equal(h.payload_len, 3);
	assert_int_equal(h.padding_len, 2);
}

static void header_bounds_hold(void **state)
{
	uint8_t p[80] = {0x80, 8};
	struct rtp_head h;

	(void)state;
	for (size_t n = 0; n < 12; n++)
		assert_int_equal(rtp_parse(p, n, &h), -EBADMSG);
	assert_int_equal(rtp_parse(p, 12, &h), 0);
	for (unsigned v = 0; v < 4; v++) {
		p[0] = (uint8_t)(v << 6);
		assert_int_equal(rtp_parse(p, 12, &h), v == 2 ? 0 : -EBADMSG);
	}
	for (unsigned cc = 0; cc < 16; cc++) { /* CSRC overrun */
		p[0] = (uint8_t)(0x80 | cc);
		assert_int_equal(rtp_parse(p, 12 + 4 * cc, &h), 0);
		assert_int_equal(h.payload_len, 0);
		if (cc)
			assert_int_equal(rtp_parse(p, 12 + 4 * cc - 1, &h), -EBADMSG);
	}
	p[0] = 0x90; /* extension: its head, then its length */
	p[15] = 2;
	assert_int_equal(rtp_parse(p, 15, &h), -EBADMSG);
	assert_int_equal(rtp_parse(p, 23, &h), -EBADMSG);
	assert_int_equal(rtp_parse(p, 24, &h), 0);
	p[14] = p[15] = 0xff;
	assert_int_equal(rtp_parse(p, sizeof(p), &h), -EBADMSG);
	p[0] = 0xa0; /* padding: 0, all, one too much, no room for the count */
	assert_int_equal(rtp_parse(p, 12, &h), -EBADMSG);
	p[19] = 0;
	assert_int_equal(rtp_parse(p, 20, &h), -EBADMSG);
	p[19] = 8;
	assert_int_equal(rtp_parse(p, 20, &h), 0);
	assert_int_equal(h.payload_len, 0);
	p[19] = 9;
	assert_int_equal(rtp_parse(p, 20, &h), -EBADMSG);
}

static void rtcp_is_checked_part_by_part(void **state)
{
	/* SR with a block, SDES with a CNAME "a", BYE with padding */
	uint8_t p[] = {0x81, 200, 0, 12, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2,
	    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 202, 0, 2, 1, 1, 1, 1, 1, 1, 'a', 0,
	    0xa1, 203, 0, 2, 1, 1, 1, 1, 0, 0, 0, 4};
	size_t n = sizeof(p);

	(void)state;
	assert_int_equal(rtcp_check(p, n), 0);
	for (size_t k = 0; k < n; k++) /* a length that does not fit, in every place but between two parts */
		assert_int_equal(rtcp_check(p, k), k == 52 || k == 64 ? 0 : -EBADMSG);
	p[0] = 0x41;
	assert_int_equal(rtcp_check(p, n), -EBADMSG);
	p[0] = 0x82; /* two blocks said, one there */
	assert_int_equal(rtcp_check(p, n), -EBADMSG);
	p[0] = 0xa1; /* padding of a part that is not the last */
	assert_int_equal(rtcp_check(p, n), -EBADMSG);
	p[0] = 0x81;
	p[1] = 191;
	assert_int_equal(rtcp_check(p, n), -EBADMSG);
	p[1] = 224;
	assert_int_equal(rtcp_check(p, n), -EBADMSG);
	p[1] = 200;
	p[n - 1] = 0;
	assert_int_equal(rtcp_check(p, n), -EBADMSG);
	p[n - 1] = 3; /* RFC 3550 6.4.1: a multiple of four */
	assert_int_equal(rtcp_check(p, n), -EBADMSG);
	p[n - 1] = 8; /* would eat what BYE must have */
	assert_int_equal(rtcp_check(p, n), -EBADMSG);
	p[n - 1] = 12;
	assert_int_equal(rtcp_check(p, n), -EBADMSG);
	p[n - 1] = 4;
	assert_int_equal(rtcp_check(p, n), 0);
}

static void only_the_last_part_is_padded(void **state)
{
	static const uint8_t rr_bye[] = {0xa0, 201, 0, 2, 1, 1, 1, 1, 0, 0, 0, 4, 0x81, 203, 0, 1, 1, 1, 1, 1};

	(void)state;
	assert_int_equal(rtcp_check(rr_bye, 12), 0);
	assert_int_equal(rtcp_check(rr_bye + 12, 8), 0);
	assert_int_equal(rtcp_check(rr_bye, sizeof(rr_bye)), -EBADMSG);
}

static void short_and_single_rtcp(void **state)
{
	static const uint8_t bare[4] = {0x80, 200, 0, 0}, bye[4] = {0x80, 203, 0, 0}, sdes[4] = {0x81, 202, 0, 0};
	static const uint8_t app[8] = {0x80, 204, 0, 1, 1, 1, 1, 1};
	static const uint8_t nack[16] = {0x81, 205, 0, 3, 1, 1, 1, 1, 2, 2, 2, 2, 0, 9, 0, 0};

	(void)state;
	assert_int_equal(rtcp_check(bare, 0), -EBADMSG);
	for (size_t n = 1; n <= 4; n++)
		assert_int_equal(rtcp_check(bare, n), -EBADMSG);
	assert_int_equal(rtcp_check(bye, 4), 0); /* a BYE of nobody is allowed */
	assert_int_equal(rtcp_check(sdes, 4), -EBADMSG);
	assert_int_equal(rtcp_check(app, 8), -EBADMSG);
	assert_int_equal(rtcp_check(nack, 16), 0); /* RFC 5506 */
}

static void random_bytes_never_read_too_far(void **state)
{
	struct rng rng;
	unsigned rtp = 0, rtcp = 0;

	(void)state;
	rng_init_seeded(&rng, 3);
	for (unsigned i = 0; i < 300000; i++) {
		size_t n = rng_below(&rng, 64);
		uint8_t *p = malloc(n ? n : 1); /* exact size: a byte too far is seen by the sanitizer */
		struct rtp_head h;

		rng_bytes(&rng, p, n);
		if (n)
			p[0] = (uint8_t)(0x80 | (p[0] & 0x3f));
		if (n > 3 && i % 2) {
			p[1] = (uint8_t)(200 + p[1] % 8);
			p[2] = 0;
			p[3] &= 7;
		}
		if (rtp_parse(p, n, &h) == 0) {
			rtp++;
			assert_int_equal((size_t)h.header_len + h.payload_len + h.padding_len, n);
		}
		rtcp += rtcp_check(p, n) == 0;
		free(p);
	}
	/* both answers were seen often */
	assert_true(rtp > 10000 && rtcp > 100);
}

static void udptl_is_told_from_probes(void **state)
{
	static const uint8_t t38[] = {0, 1, 2, 0xc0, 0x01, 0, 0}, probe[] = {0, 1, 9, 1, 0, 0};
	static const uint8_t zero[] = {0, 1, 0, 0, 0, 0}, frag[] = {0, 1, 0xc1, 0, 0, 0, 0, 0};
	uint8_t large[3 + 1 + 300 + 2] = {0, 1, 0x81, 0x2c};

	(void)state;
	assert_true(udptl_plausible(t38, sizeof(t38)));
	for (size_t n = 0; n < 6; n++)
		assert_false(udptl_plausible(t38, n));
	assert_false(udptl_plausible(probe, sizeof(probe)));
	assert_false(udptl_plausible(zero, sizeof(zero)));
	assert_false(udptl_plausible(frag, sizeof(frag)));
	assert_true(udptl_plausible(large, sizeof(large)));
	assert_false(udptl_plausible(large, sizeof(large) - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_byte_decides_the_kind),
	    cmocka_unit_test(second_byte_tells_rtcp),
	    cmocka_unit_test(header_fields_are_read),
	    cmocka_unit_test(header_bounds_hold),
	    cmocka_unit_test(rtcp_is_checked_part_by_part),
	    cmocka_unit_test(only_the_last_part_is_padded),
	    cmocka_unit_test(short_and_single_rtcp),
	    cmocka_unit_test(random_bytes_never_read_too_far),
	    cmocka_unit_test(udptl_is_told_from_probes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
