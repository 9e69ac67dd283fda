/* Randomness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/base/rng.h"

static void a_seed_repeats_and_another_does_not(void **state)
{
	struct rng a, b, c;
	unsigned same = 0;

	(void)state;
	rng_init_seeded(&a, 7);
	rng_init_seeded(&b, 7);
	rng_init_seeded(&c, 8);
	for (int i = 0; i < 10000; i++) {
		uint32_t x = rng_u32(&a);

		assert_int_equal(x, rng_u32(&b));
		same += x == rng_u32(&c);
	}
	assert_true(same < 5);
	rng_init_seeded(&a, 0); /* no seed is a bad one */
	assert_true(rng_u32(&a) | rng_u32(&a) | rng_u32(&a));
}

static void the_systems_does_not_repeat(void **state)
{
	static uint32_t seen[4096];
	struct rng a, b;
	unsigned same = 0;

	(void)state;
	rng_init_system(&a);
	rng_init_system(&b);
	for (int i = 0; i < 4096; i++) {
		seen[i] = rng_u32(&a);
		same += seen[i] == rng_u32(&b);
	}
	assert_true(same < 4);
	for (int i = 1; i < 4096; i++)
		same += seen[i] == seen[i - 1];
	assert_true(same < 8);
}

/* pieces of all sizes: none is handed out twice, used ones do not stay in memory */
static void bytes_across_the_pool(void **state)
{
	struct rng r;
	uint8_t p[1500], last[8] = {0};
	unsigned ones = 0, total = 0;

	(void)state;
	rng_init_system(&r);
	for (size_t n = 0; n < sizeof(p); n += 13) {
		memset(p, 0, sizeof(p));
		rng_bytes(&r, p, n);
		for (size_t i = n; i < sizeof(p); i++)
			assert_int_equal(p[i], 0);
		for (size_t i = 0; i < n; i++)
			ones += (unsigned)__builtin_popcount(p[i]);
		total += (unsigned)n * 8;
		if (n >= 8) {
			assert_memory_not_equal(p, last, 8);
			memcpy(last, p, 8);
		}
	}
	assert_true(ones > total * 49 / 100 && ones < total * 51 / 100);
	for (size_t i = 0; i < sizeof(r.pool) - r.left; i++)
		assert_int_equal(r.pool[i], 0);
}

static void below_is_even(void **state)
{
	unsigned count[10] = {0};
	struct rng r;

	(void)state;
	rng_init_seeded(&r, 3);
	for (int i = 0; i < 100000; i++) {
		uint32_t v = rng_below(&r, 10);

		assert_true(v < 10);
		count[v]++;
	}
	for (int i = 0; i < 10; i++)
		assert_true(count[i] > 9500 && count[i] < 10500);
	for (int i = 0; i < 100; i++)
		assert_int_equal(rng_below(&r, 1), 0);
}

static void tokens_are_of_32_letters(void **state)
{
	char m[100];
	bool seen[256] = {0};
	unsigned kinds = 0;
	struct buf b;
	struct rng r;

	(void)state;
	rng_init_system(&r);
	for (int i = 0; i < 200; i++) {
		buf_init(&b, m, sizeof(m));
		rng_put_token(&r, &b, 20);
		assert_int_equal(b.n, 20);
		for (size_t k = 0; k < b.n; k++) {
			assert_true((m[k] >= 'a' && m[k] <= 'z') || (m[k] >= '2' && m[k] <= '7'));
			seen[(unsigned char)m[k]] = true;
		}
	}
	for (int i = 0; i < 256; i++)
		kinds += seen[i];
	assert_int_equal(kinds, 32);
	buf_init(&b, m, sizeof(m));
	rng_put_token(&r, &b, 1000); /* clipped to what it promises */
	assert_int_equal(b.n, 64);
	buf_init(&b, m, 5);
	rng_put_token(&r, &b, 20);
	assert_true(buf_err(&b) < 0);
	assert_int_equal(b.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_seed_repeats_and_another_does_not),
	    cmocka_unit_test(the_systems_does_not_repeat),
	    cmocka_unit_test(bytes_across_the_pool),
	    cmocka_unit_test(below_is_even),
	    cmocka_unit_test(tokens_are_of_32_letters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
