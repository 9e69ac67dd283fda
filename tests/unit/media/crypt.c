/* SRTP keys at work: suites, sizes on the wire, counters over wraps and new keys, replays, sequences that begin again,
 * SSRCs, memory. Packets are checked against libsrtp's own sessions, which stand for a far end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <srtp2/srtp.h>

#include "media/crypt.h"

/* counted allocations: those of libsrtp do not come through here, those of our ciphers and contexts do */
static unsigned allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t n)
{
	allocations++;
	return __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size)
{
	allocations++;
	return __real_calloc(n, size);
}

static struct crypt_key key_of(uint8_t suite, uint8_t first)
{
	struct crypt_key k = {.suite = suite};

	for (unsigned i = 0; i < crypt_suites[suite].key_len; i++)
		k.key[i] = (uint8_t)(first + i * 3);
	return k;
}

static size_t rtp(uint8_t *d, uint32_t ssrc, uint16_t seq, size_t payload)
{
	const uint8_t head[12] = {0x80, 8, (uint8_t)(seq >> 8), (uint8_t)seq, 0, 0, 1, 0, (uint8_t)(ssrc >> 24),
	    (uint8_t)(ssrc >> 16), (uint8_t)(ssrc >> 8), (uint8_t)ssrc};

	memcpy(d, head, 12);
	for (size_t i = 0; i < payload; i++)
		d[12 + i] = (uint8_t)(seq + i);
	return 12 + payload;
}

static size_t report(uint8_t *d, uint32_t ssrc)
{
	const uint8_t rr[8] = {0x80, 201, 0, 1, (uint8_t)(ssrc >> 24), (uint8_t)(ssrc >> 16), (uint8_t)(ssrc >> 8), (uint8_t)ssrc};

	memcpy(d, rr, 8);
	return 8;
}

#define ROOM 400

/* one packet through both; the result of opening. What comes out must be what went in. */
static enum crypt_result through(struct crypt *seal, struct crypt *open, struct crypt *before, uint32_t ssrc, uint16_t seq)
{
	uint8_t d[ROOM], plain[ROOM];
	size_t n = rtp(d, ssrc, seq, 160), was = n;
	enum crypt_result r;

	assert_int_equal(crypt_seal_rtp(seal, NULL, d, &n, ROOM), CRYPT_OK);
	r = crypt_open_rtp(open, before, d, &n);
	if (r == CRYPT_OK) {
		assert_int_equal(n, was);
		rtp(plain, ssrc, seq, 160);
		assert_memory_equal(d, plain, was);
	}
	return r;
}

static srtp_t far_end(const struct crypt_key *k, bool sends)
{
	static void (*const set[CRYPT_SUITES])(srtp_crypto_policy_t *) = {
	    [CRYPT_CM128_80] = srtp_crypto_policy_set_rtp_default,
	    [CRYPT_CM128_32] = srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32,
	    [CRYPT_CM256_80] = srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80,
	    [CRYPT_CM256_32] = srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32,
	    [CRYPT_GCM128] = srtp_crypto_policy_set_aes_gcm_128_16_auth,
	    [CRYPT_GCM256] = srtp_crypto_policy_set_aes_gcm_256_16_auth,
	};
	srtp_policy_t p;
	srtp_t s;

	memset(&p, 0, sizeof(p));
	set[k->suite](&p.rtp);
	set[k->suite == CRYPT_CM128_32 ? CRYPT_CM128_80 : k->suite == CRYPT_CM256_32 ? CRYPT_CM256_80 : k->suite](&p.rtcp);
	p.ssrc.type = sends ? ssrc_any_outbound : ssrc_any_inbound;
	p.key = (unsigned char *)(uintptr_t)k->key;
	assert_int_equal(srtp_create(&s, &p), srtp_err_status_ok);
	return s;
}

/* RFC 3711, 6188, 7714: bytes that a suite adds */
static void test_suites(void **state)
{
	static const struct {
		uint8_t suite;
		size_t rtp, rtcp;
	} adds[] = {{CRYPT_CM128_80, 10, 14}, {CRYPT_CM128_32, 4, 14}, {CRYPT_CM256_80, 10, 14}, {CRYPT_CM256_32, 4, 14},
	    {CRYPT_GCM128, 16, 20}, {CRYPT_GCM256, 16, 20}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(adds); i++) {
		struct crypt_key k = key_of(adds[i].suite, (uint8_t)i);
		struct crypt *seal = crypt_new(&k, true), *open = crypt_new(&k, false);
		srtp_t to = far_end(&k, false), from = far_end(&k, true);
		uint8_t d[ROOM], plain[ROOM];
		size_t n = rtp(d, 0x1234, 7, 160);
		int len;

		rtp(plain, 0x1234, 7, 160);
		assert_int_equal(crypt_seal_rtp(seal, NULL, d, &n, ROOM), CRYPT_OK);
		assert_int_equal(n, 172 + adds[i].rtp);
		assert_memory_not_equal(d + 12, plain + 12, 160);
		len = (int)n;
		assert_int_equal(srtp_unprotect(to, d, &len), srtp_err_status_ok);
		assert_memory_equal(d, plain, 172);

		n = report(d, 0x1234);
		assert_int_equal(crypt_seal_rtcp(seal, d, &n, ROOM), CRYPT_OK);
		assert_int_equal(n, 8 + adds[i].rtcp);
		len = (int)n;
		assert_int_equal(srtp_unprotect_rtcp(to, d, &len), srtp_err_status_ok);
		assert_int_equal(len, 8);

		len = (int)rtp(d, 0x77, 9, 160);
		rtp(plain, 0x77, 9, 160);
		assert_int_equal(srtp_protect(from, d, &len), srtp_err_status_ok);
		n = (size_t)len;
		assert_int_equal(crypt_open_rtp(open, NULL, d, &n), CRYPT_OK);
		assert_int_equal(n, 172);
		assert_memory_equal(d, plain, 172);
		/* index and tag of SRTCP count up and are checked */
		for (unsigned k2 = 0; k2 < 3; k2++) {
			uint8_t again[ROOM];

			len = (int)report(d, 0x77);
			assert_int_equal(srtp_protect_rtcp(from, d, &len), srtp_err_status_ok);
			memcpy(again, d, (size_t)len);
			n = (size_t)len;
			assert_int_equal(crypt_open_rtcp(open, NULL, d, &n), CRYPT_OK);
			assert_int_equal(n, 8);
			n = (size_t)len;
			assert_int_equal(crypt_open_rtcp(open, NULL, again, &n), CRYPT_REPLAY);
			again[(size_t)len - 1] ^= 1;
			assert_int_not_equal(crypt_open_rtcp(open, NULL, again, &n), CRYPT_OK);
		}
		srtp_dealloc(to);
		srtp_dealloc(from);
		crypt_free(seal);
		crypt_free(open);
	}
}

/* A packet that is refused is as it was, so another key can be tried; every bit of it is protected. */
static void test_refused_packet_is_left_alone(void **state)
{
	(void)state;
	for (uint8_t s = CRYPT_CM128_80; s < CRYPT_SUITES; s++) {
		struct crypt_key k = key_of(s, 1);
		struct crypt *seal = crypt_new(&k, true), *open = crypt_new(&k, false);
		uint8_t d[ROOM], was[ROOM];
		size_t n = rtp(d, 5, 100, 50), len;

		assert_int_equal(crypt_seal_rtp(seal, NULL, d, &n, ROOM), CRYPT_OK);
		for (size_t at = 0; at < n; at++) {
			if (at == 0 || (at >= 2 && at < 12))
				continue; /* version, lengths; number and SSRC choose the index: below */
			d[at] ^= 0x10;
			memcpy(was, d, n);
			len = n;
			assert_int_equal(crypt_open_rtp(open, NULL, d, &len), CRYPT_AUTH);
			assert_int_equal(len, n);
			assert_memory_equal(d, was, n);
			d[at] ^= 0x10;
		}
		for (size_t at = 2; at < 12; at++) {
			d[at] ^= 1;
			len = n;
			assert_int_equal(crypt_open_rtp(open, NULL, d, &len), CRYPT_AUTH);
			d[at] ^= 1;
		}
		len = n;
		assert_int_equal(crypt_open_rtp(open, NULL, d, &len), CRYPT_OK);
		/* shorter than its tag */
		for (len = 0; len < 28; len++) {
			size_t l = len;

			rtp(d, 5, 101, 50);
			assert_int_not_equal(crypt_open_rtp(open, NULL, d, &l), CRYPT_OK);
			l = len;
			assert_int_not_equal(crypt_open_rtcp(open, NULL, d, &l), CRYPT_OK);
		}
		/* no room for the tag */
		n = rtp(d, 5, 102, 50);
		assert_int_equal(crypt_seal_rtp(seal, NULL, d, &n, n + CRYPT_TAIL - 1), CRYPT_BAD);
		n = report(d, 5);
		assert_int_equal(crypt_seal_rtcp(seal, d, &n, n + CRYPT_TAIL - 1), CRYPT_BAD);
		crypt_free(seal);
		crypt_free(open);
	}
}

/* RFC 4568 6.1: the identifier stands before the tag, in as many bytes as was said */
static void test_mki(void **state)
{
	static const uint8_t lens[] = {1, 4, 8, 16, CRYPT_MKI_MAX};

	(void)state;
	for (uint8_t s = CRYPT_CM128_80; s < CRYPT_SUITES; s++)
		for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
			struct crypt_key k = key_of(s, 1), other;
			struct crypt *seal, *open, *wrong;
			uint8_t d[ROOM + CRYPT_MKI_MAX];
			size_t n = rtp(d, 5, 100, 50), plain = n, tail;

			k.mki = 0xa1;
			k.mki_len = lens[i];
			other = k;
			other.mki = 0xa2;
			seal = crypt_new(&k, true);
			open = crypt_new(&k, false);
			wrong = crypt_new(&other, false);
			assert_int_equal(crypt_seal_rtp(seal, NULL, d, &n, sizeof(d)), CRYPT_OK);
			tail = s == CRYPT_GCM128 || s == CRYPT_GCM256 ? 16 : s == CRYPT_CM128_32 || s == CRYPT_CM256_32 ? 4 : 10;
			assert_int_equal(n, plain + tail + lens[i]);
			assert_int_equal(d[s >= CRYPT_GCM128 ? n - 1 : n - tail - 1], 0xa1);
			assert_int_equal(crypt_open_rtp(wrong, NULL, d, &n), CRYPT_AUTH);
			assert_int_equal(crypt_open_rtp(open, NULL, d, &n), CRYPT_OK);
			assert_int_equal(n, plain);
			n = report(d, 5);
			assert_int_equal(crypt_seal_rtcp(seal, d, &n, sizeof(d)), CRYPT_OK);
			assert_int_equal(d[s >= CRYPT_GCM128 ? n - 1 : n - 11], 0xa1);
			assert_int_equal(crypt_open_rtcp(wrong, NULL, d, &n), CRYPT_AUTH);
			d[n - 1] ^= 1;
			assert_int_equal(crypt_open_rtcp(open, NULL, d, &n), CRYPT_AUTH);
			d[n - 1] ^= 1;
			assert_int_equal(crypt_open_rtcp(open, NULL, d, &n), CRYPT_OK);
			assert_int_equal(n, 8);
			crypt_free(seal);
			crypt_free(open);
			crypt_free(wrong);
		}
}

/* 3711 3.3.1: the counter goes up at each wrap, on both sides by itself; reordering across a wrap is understood */
static void test_counter_over_two_wraps(void **state)
{
	(void)state;
	for (uint8_t s = CRYPT_CM128_80; s < CRYPT_SUITES; s++) {
		struct crypt_key k = key_of(s, 1);
		struct crypt *seal = crypt_new(&k, true), *open = crypt_new(&k, false);
		uint32_t i;

		/* begins just before a wrap, which must not count as one before it */
		for (i = 65530; i < 65530 + 2 * 65536 + 100; i += i % 65536 > 200 && i % 65536 < 65000 ? 61 : 1)
			assert_int_equal(through(seal, open, NULL, 9, (uint16_t)i), CRYPT_OK);
		/* a packet of before the wrap comes after it */
		{
			uint8_t before[ROOM], after[ROOM];
			size_t nb = rtp(before, 10, 65535, 20), na = rtp(after, 10, 0, 20);

			assert_int_equal(through(seal, open, NULL, 10, 65534), CRYPT_OK);
			assert_int_equal(crypt_seal_rtp(seal, NULL, before, &nb, ROOM), CRYPT_OK);
			assert_int_equal(crypt_seal_rtp(seal, NULL, after, &na, ROOM), CRYPT_OK);
			assert_int_equal(crypt_open_rtp(open, NULL, after, &na), CRYPT_OK);
			assert_int_equal(crypt_open_rtp(open, NULL, before, &nb), CRYPT_OK);
			assert_int_equal(through(seal, open, NULL, 10, 1), CRYPT_OK);
		}
		assert_int_equal(crypt_guess_any(open), CRYPT_GUESS_NONE);
		crypt_free(seal);
		crypt_free(open);
	}
}

static void test_replay(void **state)
{
	struct crypt_key k = key_of(CRYPT_CM128_80, 1);
	struct crypt *seal = crypt_new(&k, true), *open = crypt_new(&k, false);
	uint8_t kept[200][ROOM], d[ROOM];
	size_t n[200], len;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		n[i] = rtp(kept[i], 3, (uint16_t)(65500 + i), 20);
		assert_int_equal(crypt_seal_rtp(seal, NULL, kept[i], &n[i], ROOM), CRYPT_OK);
	}
	/* late by up to 127 is fine, twice is not, and neither is older than the window */
	for (unsigned i = 0; i < 200; i++) {
		if (i == 50 || i == 100)
			continue;
		memcpy(d, kept[i], n[i]);
		len = n[i];
		assert_int_equal(crypt_open_rtp(open, NULL, d, &len), CRYPT_OK);
	}
	for (unsigned i = 0; i < 200; i++) {
		memcpy(d, kept[i], n[i]);
		len = n[i];
		assert_int_equal(crypt_open_rtp(open, NULL, d, &len), i == 100 ? CRYPT_OK : CRYPT_REPLAY);
	}
	crypt_free(seal);
	crypt_free(open);
}

/* a new key: both are taken while the change is fresh, the old one not for ever (SRT-07) */
static void test_new_key(void **state)
{
	struct crypt_key k1 = key_of(CRYPT_CM128_80, 1), k2 = key_of(CRYPT_GCM256, 2);
	struct crypt *seal1 = crypt_new(&k1, true), *open1 = crypt_new(&k1, false);
	struct crypt *seal2 = crypt_new(&k2, true), *open2 = crypt_new(&k2, false);
	uint16_t seq = 65000;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(through(seal1, open1, NULL, 3, seq++), CRYPT_OK);
	/* the far end takes its time */
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(through(seal1, open2, open1, 3, seq++), CRYPT_OK);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(through(seal2, open2, open1, 3, seq++), CRYPT_OK); /* ROC 0 with the new key */
		assert_int_equal(through(seal1, open2, open1, 3, seq), CRYPT_OK);   /* one that was on its way */
	}
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(through(seal2, open2, open1, 3, seq++), CRYPT_OK);
	assert_int_not_equal(through(seal1, open2, open1, 3, (uint16_t)(seq + 1)), CRYPT_OK);
	crypt_free(seal1);
	crypt_free(seal2);
	crypt_free(open1);
	crypt_free(open2);
}

/* three wraps in, so that counters differ */
static uint16_t far_ahead(struct crypt *seal, struct crypt *open, uint32_t ssrc)
{
	uint32_t i;

	for (i = 1000; i < 3 * 65536 + 1000; i += 16000)
		assert_int_equal(through(seal, open, NULL, ssrc, (uint16_t)i), CRYPT_OK);
	return (uint16_t)i;
}

/* by policy: a counter that goes on through a new key, in both directions */
static void test_counter_is_kept(void **state)
{
	struct crypt_key k1 = key_of(CRYPT_CM128_80, 1), k2 = key_of(CRYPT_CM128_80, 2);
	struct crypt *seal1, *open1, *seal2, *open2;
	uint8_t d[ROOM];
	uint16_t seq;
	size_t n;

	(void)state;
	k1.roc = k2.roc = CRYPT_ROC_KEEP;
	seal1 = crypt_new(&k1, true), open1 = crypt_new(&k1, false);
	seal2 = crypt_new(&k2, true), open2 = crypt_new(&k2, false);
	seq = far_ahead(seal1, open1, 3);
	for (uint32_t i = 0; i < 300000; i += 9000) {
		n = rtp(d, 3, (uint16_t)(seq + i), 160);
		assert_int_equal(crypt_seal_rtp(seal2, seal1, d, &n, ROOM), CRYPT_OK);
		if (i == 0) { /* who counts from 0 cannot read it */
			struct crypt *naive = crypt_new(&k2, false);
			uint8_t copy[ROOM];
			size_t len = n;

			memcpy(copy, d, n);
			assert_int_equal(crypt_open_rtp(naive, NULL, copy, &len), CRYPT_AUTH);
			crypt_free(naive);
		}
		assert_int_equal(crypt_open_rtp(open2, open1, d, &n), CRYPT_OK);
		assert_int_equal(n, 172);
	}
	crypt_free(seal1);
	crypt_free(seal2);
	crypt_free(open1);
	crypt_free(open2);
}

/* by policy auto: what a far end does against the rules is found out, said, and costs a few packets */
static void test_counter_is_guessed(void **state)
{
	(void)state;
	for (uint8_t s = CRYPT_CM128_80; s < CRYPT_SUITES; s++) {
		struct crypt_key k1 = key_of(s, 1), k2 = key_of(s, 2), kept;
		struct crypt *seal1 = crypt_new(&k1, true), *open1 = crypt_new(&k1, false), *seal2, *open2;
		uint8_t d[ROOM];
		uint16_t seq = far_ahead(seal1, open1, 3);
		unsigned lost = 0;
		size_t n;

		/* a new key, and the counter goes on */
		kept = k2;
		kept.roc = CRYPT_ROC_KEEP;
		seal2 = crypt_new(&kept, true);
		open2 = crypt_new(&k2, false);
		for (uint32_t i = 0; i < 200000; i += i < 50 ? 1 : 7000) {
			n = rtp(d, 3, (uint16_t)(seq + i), 160);
			assert_int_equal(crypt_seal_rtp(seal2, seal1, d, &n, ROOM), CRYPT_OK);
			lost += crypt_open_rtp(open2, open1, d, &n) != CRYPT_OK;
		}
		assert_in_range(lost, 1, 8);
		assert_int_equal(crypt_guess_any(open2), CRYPT_GUESS_KEPT);
		crypt_free(seal2);
		crypt_free(open2);

		/* the same key, and the counter begins at 0: only after a renegotiation */
		seal2 = crypt_new(&k1, true);
		for (unsigned i = 0; i < 100; i++) {
			n = rtp(d, 3, (uint16_t)(seq + i), 160);
			assert_int_equal(crypt_seal_rtp(seal2, NULL, d, &n, ROOM), CRYPT_OK);
			assert_int_not_equal(crypt_open_rtp(open1, NULL, d, &n), CRYPT_OK);
		}
		assert_int_equal(crypt_guess_any(open1), CRYPT_GUESS_NONE);
		crypt_renegotiated_any(open1);
		lost = 0;
		for (uint32_t i = 100; i < 200000; i += i < 300 ? 1 : 7000) {
			n = rtp(d, 3, (uint16_t)(seq + i), 160);
			assert_int_equal(crypt_seal_rtp(seal2, NULL, d, &n, ROOM), CRYPT_OK);
			lost += crypt_open_rtp(open1, NULL, d, &n) != CRYPT_OK;
		}
		assert_in_range(lost, 1, 64);
		assert_int_equal(crypt_guess_any(open1), CRYPT_GUESS_RESTARTED);
		crypt_free(seal2);

		/* more than half a cycle was lost */
		crypt_free(open1);
		open1 = crypt_new(&k1, false);
		crypt_free(seal1);
		seal1 = crypt_new(&k1, true);
		seq = far_ahead(seal1, open1, 3);
		for (uint32_t i = 0; i < 50000; i += 5000) {
			n = rtp(d, 3, (uint16_t)(seq + i), 160);
			assert_int_equal(crypt_seal_rtp(seal1, NULL, d, &n, ROOM), CRYPT_OK);
		}
		lost = 0;
		for (uint32_t i = 50000; i < 50100; i++) {
			n = rtp(d, 3, (uint16_t)(seq + i), 160);
			assert_int_equal(crypt_seal_rtp(seal1, NULL, d, &n, ROOM), CRYPT_OK);
			lost += crypt_open_rtp(open1, NULL, d, &n) != CRYPT_OK;
		}
		assert_in_range(lost, 0, 8);
		crypt_free(seal1);
		crypt_free(open1);
	}
}

/* SRT-08, 3711 9.1: a source that begins another sequence with its SSRC is renumbered; no index is used twice */
static void test_source_begins_again(void **state)
{
	struct crypt_key k = key_of(CRYPT_CM128_80, 1);
	struct crypt *seal = crypt_new(&k, true), *open = crypt_new(&k, false);
	static const uint16_t begins[] = {40000, 20000, 19900, 65000, 19850, 1};
	unsigned lost = 0;
	uint16_t last = 0;

	(void)state;
	for (size_t b = 0; b < ARRAY_LEN(begins); b++) {
		unsigned here = 0;

		for (unsigned i = 0; i < 300; i++) {
			uint8_t d[ROOM];
			size_t n = rtp(d, 3, (uint16_t)(begins[b] + i), 160);
			enum crypt_result r = crypt_seal_rtp(seal, NULL, d, &n, ROOM);

			if (r != CRYPT_OK) {
				assert_int_equal(r, CRYPT_REPLAY);
				here++;
				continue;
			}
			assert_int_equal(crypt_open_rtp(open, NULL, d, &n), CRYPT_OK);
			assert_true((b == 0 && i == 0) || (int16_t)((d[2] << 8 | d[3]) - last) > 0);
			last = (uint16_t)(d[2] << 8 | d[3]);
		}
		assert_in_range(here, 0, 2);
		lost += here;
	}
	assert_true(lost > 0);
	/* one packet that comes twice is no new sequence */
	for (unsigned i = 0; i < 5; i++) {
		uint8_t d[ROOM];
		size_t n = rtp(d, 4, 77, 160);

		assert_int_equal(crypt_seal_rtp(seal, NULL, d, &n, ROOM), i ? CRYPT_REPLAY : CRYPT_OK);
	}
	crypt_free(seal);
	crypt_free(open);
}

static void test_ssrcs(void **state)
{
	struct crypt_key k = key_of(CRYPT_GCM128, 1);
	struct crypt *seal = crypt_new(&k, true), *open = crypt_new(&k, false);
	uint8_t d[ROOM];
	size_t n;

	(void)state;
	for (uint32_t s = 0; s < CRYPT_SSRC_MAX; s++)
		for (uint16_t i = 0; i < 2; i++)
			assert_int_equal(through(seal, open, NULL, 1000 + s, i), CRYPT_OK);
	/* those that are there go on, also those whose numbers are not kept any more; no more come in */
	for (uint32_t s = 0; s < CRYPT_SSRC_MAX; s += 50)
		assert_int_equal(through(seal, open, NULL, 1000 + s, 2), CRYPT_OK);
	n = rtp(d, 5, 1, 20);
	assert_int_equal(crypt_seal_rtp(seal, NULL, d, &n, ROOM), CRYPT_SSRCS);
	n = report(d, 5);
	assert_int_equal(crypt_seal_rtcp(seal, d, &n, ROOM), CRYPT_SSRCS);
	assert_int_equal(crypt_open_rtp(open, NULL, d, &(size_t){40}), CRYPT_SSRCS);
	assert_int_equal(crypt_open_rtcp(open, NULL, d, &(size_t){40}), CRYPT_SSRCS);
	/* who cannot authenticate takes no room */
	crypt_free(open);
	open = crypt_new(&k, false);
	for (uint32_t s = 0; s < 2 * CRYPT_SSRC_MAX; s++) {
		n = rtp(d, 7000 + s, 1, 40);
		assert_int_equal(crypt_open_rtp(open, NULL, d, &n), CRYPT_AUTH);
	}
	assert_int_equal(through(seal, open, NULL, 1000, 3), CRYPT_OK);
	crypt_free(seal);
	crypt_free(open);
}

static void test_nothing_is_allocated_per_packet(void **state)
{
	(void)state;
	for (uint8_t s = CRYPT_CM128_80; s < CRYPT_SUITES; s++) {
		struct crypt_key k = key_of(s, 1);
		struct crypt *seal = crypt_new(&k, true), *open = crypt_new(&k, false);
		uint8_t d[ROOM];
		unsigned before;
		size_t n;

		assert_int_equal(through(seal, open, NULL, 3, 1), CRYPT_OK);
		n = report(d, 3);
		assert_int_equal(crypt_seal_rtcp(seal, d, &n, ROOM), CRYPT_OK);
		before = allocations;
		assert_true(before > 0);
		for (uint16_t i = 2; i < 1000; i++)
			assert_int_equal(through(seal, open, NULL, 3, i), CRYPT_OK);
		n = report(d, 3);
		assert_int_equal(crypt_seal_rtcp(seal, d, &n, ROOM), CRYPT_OK);
		assert_int_equal(crypt_open_rtcp(open, NULL, d, &n), CRYPT_OK);
		d[20] ^= 1;
		n = 60;
		(void)crypt_open_rtp(open, NULL, d, &n);
		assert_int_equal(allocations, before);
		crypt_free(seal);
		crypt_free(open);
	}
}

static int start(void **state)
{
	(void)state;
	assert_true(crypt_start());
	assert_true(crypt_start()); /* another room of the same process */
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suites),
		cmocka_unit_test(test_refused_packet_is_left_alone),
		cmocka_unit_test(test_mki),
		cmocka_unit_test(test_counter_over_two_wraps),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_new_key),
		cmocka_unit_test(test_counter_is_kept),
		cmocka_unit_test(test_counter_is_guessed),
		cmocka_unit_test(test_source_begins_again),
		cmocka_unit_test(test_ssrcs),
		cmocka_unit_test(test_nothing_is_allocated_per_packet),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
