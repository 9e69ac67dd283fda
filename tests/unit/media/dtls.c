/* Handshakes of DTLS between two of us, over an air that loses what the test says: keys that match, cookies, certificates that
 * are not the ones, ends, and what strangers throw in. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <poll.h>
#include <string.h>
#include <malloc.h>
#include <stdlib.h>
#include <cmocka.h>

#include <openssl/crypto.h>

#include "media/dtls.h"

/* what OpenSSL holds */
static size_t held;

static void *count_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	held -= p ? malloc_usable_size(p) : 0;
	p = realloc(p, n);
	held += p ? malloc_usable_size(p) : 0;
	return p;
}

static void *count_malloc(size_t n, const char *file, int line)
{
	return count_realloc(NULL, n, file, line);
}

static void count_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	held -= p ? malloc_usable_size(p) : 0;
	free(p);
}

static struct dtls_cert *cert[2];
static struct addr at[2];

static struct dtls_said said_of(const struct dtls_cert *c)
{
	struct dtls_said s = {.n = 1};

	s.print[0] = *dtls_cert_print(c);
	return s;
}

static const uint8_t all[] = {CRYPT_CM128_80, CRYPT_GCM256, CRYPT_GCM128, CRYPT_CM128_32};

/* side 0 is the client */
static void start(struct dtls *d[2], const struct dtls_said said[2], const uint8_t *suites[2], const unsigned n[2])
{
	for (unsigned i = 0; i < 2; i++) {
		d[i] = dtls_new(cert[i], i == 0, &said[i], suites[i], n[i], &at[!i]);
		assert_non_null(d[i]);
	}
}

static void usual(struct dtls *d[2])
{
	const struct dtls_said said[2] = {said_of(cert[1]), said_of(cert[0])};
	const uint8_t *suites[2] = {all, all};
	const unsigned n[2] = {4, 4};

	start(d, said, suites, n);
}

static void end(struct dtls *d[2])
{
	dtls_free(d[0]);
	dtls_free(d[1]);
}

static bool put(struct dtls *d, const uint8_t *p, size_t n)
{
	return dtls_batch_put(&d->in, p, n);
}

/* what one has to send reaches the other, but for those of the bits of lose; how many were sent */
static unsigned carry(struct dtls *from, struct dtls *to, unsigned lose)
{
	unsigned n = from->out.n;

	for (unsigned i = 0, pos = 0; i < n; pos += from->out.len[i++]) {
		assert_in_range(from->out.len[i], 1, DTLS_MTU);
		if (!(lose >> i & 1) && to)
			assert_true(put(to, from->out.d + pos, from->out.len[i]));
	}
	from->out.n = 0;
	return n;
}

/* until both are through or one has nothing more to say */
static void run(struct dtls *d[2])
{
	dtls_step(d[0]);
	for (unsigned turn = 0; turn < 40; turn++) {
		unsigned from = turn % 2;

		if (!carry(d[from], d[!from], 0))
			break;
		dtls_step(d[!from]);
	}
}

static void assert_same_keys(struct dtls *d[2], uint8_t suite)
{
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(d[i]->state, DTLS_UP);
		assert_int_equal(d[i]->ours.suite, suite);
		assert_memory_equal(&d[i]->ours, &d[!i]->theirs, sizeof(d[i]->ours));
	}
	assert_memory_not_equal(&d[0]->ours, &d[1]->ours, sizeof(d[0]->ours));
}

/* DTL-03: what the answering side likes best, in all four; RFC 5764 4.1.2 */
static void test_profiles(void **state)
{
	static const uint8_t turned[] = {CRYPT_CM128_32, CRYPT_GCM128, CRYPT_GCM256, CRYPT_CM128_80};
	const struct dtls_said said[2] = {said_of(cert[1]), said_of(cert[0])};
	uint8_t got[CRYPT_SUITES];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *suites[2] = {all, turned + i};
		const unsigned n[2] = {4, 4 - i};
		struct dtls *d[2];

		start(d, said, suites, n);
		run(d);
		assert_same_keys(d, turned[i]);
		end(d);
	}
	assert_int_equal(dtls_suites((const uint8_t[]){CRYPT_CM256_80, CRYPT_GCM128, CRYPT_CM256_32, CRYPT_CM128_32}, 4, got), 2);
	assert_int_equal(got[0], CRYPT_GCM128);
	assert_int_equal(got[1], CRYPT_CM128_32);
	{
		const uint8_t *suites[2] = {all, all + 1};
		const unsigned n[2] = {1, 1};
		struct dtls *d[2];

		start(d, said, suites, n);
		run(d);
		assert_int_equal(d[0]->state, DTLS_FAILED);
		assert_int_equal(d[0]->why, REASON_DTLS_HANDSHAKE);
		assert_non_null(strstr(d[0]->text, "profile"));
		end(d);
	}
}

/* DTL-08: nothing larger than its hello goes to who has not brought the cookie back */
static void test_cookie_first(void **state)
{
	struct dtls *d[2];
	size_t hello;

	(void)state;
	usual(d);
	dtls_step(d[0]);
	assert_int_equal(d[0]->out.n, 1);
	hello = d[0]->out.len[0];
	assert_true(dtls_is_hello(d[0]->out.d, hello));
	for (unsigned i = 0; i < 3; i++) { /* the same hello again and again */
		assert_true(put(d[1], d[0]->out.d, hello));
		dtls_step(d[1]);
		assert_in_range(d[1]->out.n, 0, 1);
		if (d[1]->out.n) {
			assert_in_range(d[1]->out.len[0], 1, hello);
			assert_false(dtls_is_hello(d[1]->out.d, d[1]->out.len[0]));
			assert_int_equal(d[1]->out.d[13], 3); /* HelloVerifyRequest */
		}
	}
	end(d);
	/* a cookie is for one address: the hello that has it gets the flight where it is from, and none of it elsewhere */
	for (unsigned moved = 0; moved < 2; moved++) {
		unsigned flight = 0;

		usual(d);
		dtls_step(d[0]);
		carry(d[0], d[1], 0);
		dtls_step(d[1]);
		assert_int_equal(carry(d[1], d[0], 0), 1);
		dtls_step(d[0]);
		assert_int_equal(d[0]->out.n, 1);
		assert_true(d[0]->out.len[0] > hello); /* with the cookie */
		d[1]->peer.in4.sin_port ^= (uint16_t)moved;
		carry(d[0], d[1], 0);
		dtls_step(d[1]);
		for (unsigned i = 0, pos = 0; i < d[1]->out.n; pos += d[1]->out.len[i++])
			flight += d[1]->out.d[pos] == 22 && d[1]->out.d[pos + 13] == 2; /* ServerHello */
		assert_int_equal(flight, !moved);
		end(d);
	}
}

/* DTL-01: the certificate is the one of the description, on either side, by any of the hashes */
static void test_certificates(void **state)
{
	const uint8_t *suites[2] = {all, all};
	const unsigned n[2] = {4, 4};

	(void)state;
	for (unsigned wrong = 0; wrong < 2; wrong++) {
		struct dtls_said said[2] = {said_of(cert[1]), said_of(cert[0])};
		struct dtls *d[2];

		said[wrong].print[0].digest[31] ^= 1;
		start(d, said, suites, n);
		run(d);
		assert_int_equal(d[wrong]->state, DTLS_FAILED);
		assert_int_equal(d[wrong]->why, REASON_DTLS_FINGERPRINT);
		assert_int_not_equal(d[!wrong]->state, DTLS_UP); /* it is told, and has no keys either */
		assert_int_equal(d[0]->ours.suite, CRYPT_NONE);
		assert_int_equal(d[1]->ours.suite, CRYPT_NONE);
		end(d);
	}
	{ /* one of several */
		struct dtls_said said[2] = {said_of(cert[1]), said_of(cert[0])};
		struct dtls *d[2];

		said[0].print[1] = said[0].print[0];
		said[0].print[0].digest[0] ^= 1;
		said[0].n = 2;
		start(d, said, suites, n);
		run(d);
		assert_same_keys(d, CRYPT_CM128_80);
		end(d);
	}
	{ /* none at all is nobody */
		struct dtls_said said[2] = {{0}, said_of(cert[0])};
		struct dtls *d[2];

		start(d, said, suites, n);
		run(d);
		assert_int_equal(d[0]->why, REASON_DTLS_FINGERPRINT);
		end(d);
	}
	/* each start has its own */
	assert_memory_not_equal(dtls_cert_print(cert[0]), dtls_cert_print(cert[1]), sizeof(struct dtls_print));
}

/* waits until the next step of d is due, as a timer would */
static void due(const struct dtls *d)
{
	assert_in_range(d->again_us, 0, 1000000); /* DTL-08: at first within a second */
	poll(NULL, 0, (int)(d->again_us / 1000) + 1);
}

/* DTL-08: each flight lost once is said again, the last one too */
static void test_lost_flights(void **state)
{
	(void)state;
	for (unsigned lost = 0; lost < 6; lost++) {
		struct dtls *d[2];
		unsigned flight = 0;

		usual(d);
		dtls_step(d[0]);
		for (unsigned turn = 0; turn < 60 && (d[0]->state != DTLS_UP || d[1]->state != DTLS_UP); turn++) {
			bool idle = true;

			for (unsigned from = 0; from < 2; from++)
				if (d[from]->out.n) {
					carry(d[from], d[!from], flight++ == lost ? ~0u : 0);
					dtls_step(d[!from]);
					idle = false;
				}
			if (idle) {
				unsigned who = d[0]->state == DTLS_RUNNING && d[0]->again_us >= 0 ? 0 : 1;

				due(d[who]);
				dtls_step(d[who]);
			}
		}
		assert_same_keys(d, CRYPT_CM128_80);
		end(d);
	}
}

/* what anybody can throw in before the certificate was seen does not end it */
static void test_strangers(void **state)
{
	static const uint8_t alert[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40};
	static const uint8_t junk[] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff, 1};
	static const uint8_t hello[] = {22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 9, 9};
	uint8_t large[DTLS_DATAGRAM_MAX + 1] = {22};
	struct dtls *d[2];

	(void)state;
	usual(d);
	assert_false(put(d[1], large, sizeof(large)));
	assert_false(put(d[1], large, 0));
	for (unsigned i = 0; i < DTLS_BATCH_MAX; i++)
		assert_true(put(d[1], junk, sizeof(junk)));
	assert_false(put(d[1], junk, sizeof(junk))); /* it waits for a step */
	dtls_step(d[1]);
	assert_true(put(d[1], alert, sizeof(alert)));
	assert_true(put(d[1], hello, sizeof(hello)));
	dtls_step(d[1]);
	assert_int_equal(d[1]->state, DTLS_RUNNING);
	d[1]->out.n = 0;
	run(d);
	assert_same_keys(d, CRYPT_CM128_80);
	/* and not afterwards */
	assert_true(put(d[1], alert, sizeof(alert)));
	assert_true(put(d[1], hello, sizeof(hello)));
	dtls_step(d[1]);
	assert_int_equal(d[1]->state, DTLS_UP);
	end(d);
	/* but not for ever: who refuses each time has refused */
	usual(d);
	dtls_step(d[0]);
	for (unsigned i = 0; i < DTLS_ATTEMPTS; i++) {
		assert_int_equal(d[0]->state, DTLS_RUNNING);
		assert_true(put(d[0], alert, sizeof(alert)));
		dtls_step(d[0]);
	}
	assert_int_equal(d[0]->state, DTLS_FAILED);
	assert_int_equal(d[0]->why, REASON_DTLS_HANDSHAKE);
	assert_non_null(strstr(d[0]->text, "refused"));
	end(d);
}

/* a record; @of  bytes of the message that it says it has the first 8 of; 0: nothing can be read in it */
static void put_record(struct dtls *d, unsigned type, unsigned epoch, unsigned seq, unsigned msg, unsigned of)
{
	uint8_t len = of ? 20 : 23 + (seq & 1); /* as short as a sealed one can be, and shorter */
	uint8_t r[13 + 24] = {(uint8_t)type, 0xfe, 0xfd, 0, (uint8_t)epoch, 0, 0, 0, 0, 1, (uint8_t)seq, 0, len, 11, 0,
	    (uint8_t)(of >> 8), (uint8_t)of, 0, (uint8_t)msg, 0, 0, 0, 0, 0, 8};

	assert_true(put(d, r, 13u + len));
	dtls_step(d);
	d->out.n = 0;
}

/* records for later, and pieces of messages that say they are long: only so much of them is kept */
static void test_hoards(void **state)
{
	struct dtls *d[2];
	size_t before;

	(void)state;
	for (unsigned proved = 0; proved < 2; proved++) {
		usual(d);
		dtls_step(d[0]);
		for (unsigned i = 0; i < 3 * proved; i++) { /* hello, cookie, hello */
			carry(d[i % 2], d[!(i % 2)], 0);
			dtls_step(d[!(i % 2)]);
		}
		if (!proved)
			dtls_step(d[1]);
		before = held;
		for (unsigned i = 0; i < 200; i++) {
			put_record(d[1], 22, 1, i, 0, 0);
			put_record(d[1], 22, 2, i, 0, 0);
			put_record(d[1], 23, 1, i, 0, 0);
		}
		assert_in_range(held - before, 0, 100 * 1024);
		end(d);
	}
	usual(d);
	dtls_step(d[1]);
	before = held;
	for (unsigned i = 0; i < 200; i++)
		put_record(d[1], 22, 0, i, 1 + i % 20, 16000);
	assert_in_range(held - before, 0, 250 * 1024);
	end(d);
}

/* and who comes after them is served, when it says its last message again */
static void test_early_junk(void **state)
{
	struct dtls *d[2];

	(void)state;
	usual(d);
	dtls_step(d[1]);
	for (unsigned i = 0; i < 20; i++)
		put_record(d[1], 22, 1, i, 0, 0);
	run(d);
	for (unsigned turn = 0; turn < 8 && d[1]->state != DTLS_UP; turn++) {
		due(d[0]);
		dtls_step(d[0]);
		carry(d[0], d[1], 0);
		dtls_step(d[1]);
		carry(d[1], d[0], 0);
		dtls_step(d[0]);
	}
	assert_same_keys(d, CRYPT_CM128_80);
	end(d);
}

static int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		cert[i] = dtls_cert_new(1700000000000000);
		assert_non_null(cert[i]);
		assert_int_equal(addr_parse_ip(S("192.0.2.1"), (uint16_t)(4000 + i), &at[i]), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dtls_cert_unref(cert[0]);
	dtls_cert_unref(cert[1]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_profiles),
		cmocka_unit_test(test_cookie_first),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_lost_flights),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_hoards),
		cmocka_unit_test(test_early_junk),
	};

	if (!CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free))
		return 1;
	return cmocka_run_group_tests(tests, setup, teardown);
}
