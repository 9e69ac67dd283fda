/* Blocks. (Under AddressSanitizer each is a malloc; what a pool keeps is looked at in the other builds.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/base/block.h"

static void blocks_of_all_sizes_are_apart(void **state)
{
	struct block_pool pool;
	unsigned char *p[80];

	(void)state;
	block_pool_init(&pool, (size_t)1 << 20);
	for (int round = 0; round < 3; round++) { /* also in memory that was used before */
		for (size_t i = 0; i < 80; i++) {
			p[i] = block_get(&pool, i * 33);
			assert_non_null(p[i]);
			assert_int_equal((uintptr_t)p[i] % 16, 0);
			memset(p[i], (int)i, i * 33);
		}
		for (size_t i = 0; i < 80; i++)
			for (size_t k = 0; k < i * 33; k++)
				assert_int_equal(p[i][k], i);
		for (size_t i = 0; i < 80; i++)
			block_put(&pool, p[i], i * 33);
	}
	block_put(&pool, NULL, 100);
	block_pool_fini(&pool);
	assert_int_equal(pool.free_bytes, 0);
}

/* sizes next to the borders of a class must not be taken for each other */
static void borders_of_a_class(void **state)
{
	static const size_t sizes[] = {0, 1, 63, 64, 65, 127, 128, 129, BLOCK_MAX - 1, BLOCK_MAX, BLOCK_MAX + 1};
	struct block_pool pool;

	(void)state;
	block_pool_init(&pool, (size_t)1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
			unsigned char *p = block_get(&pool, sizes[i]), *q;

			memset(p, 0x55, sizes[i]);
			block_put(&pool, p, sizes[i]);
			q = block_get(&pool, sizes[k]);
			memset(q, 0xaa, sizes[k]); /* an overrun is seen by the sanitizer, or by malloc */
			block_put(&pool, q, sizes[k]);
		}
	}
	block_pool_fini(&pool);
}

static void no_more_is_kept_than_allowed(void **state)
{
	struct block_pool pool;
	void *p[100];

	(void)state;
	block_pool_init(&pool, 1000);
	for (size_t i = 0; i < 100; i++)
		p[i] = block_get(&pool, 100);
	for (size_t i = 0; i < 100; i++) {
		block_put(&pool, p[i], 100);
		assert_true(pool.free_bytes <= 1000);
	}
	block_pool_fini(&pool);
	/* after the end blocks that were in use are still given back, to malloc */
	p[0] = block_get(&pool, 10);
	assert_non_null(p[0]);
	block_put(&pool, p[0], 10);
	assert_int_equal(pool.free_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(blocks_of_all_sizes_are_apart),
	    cmocka_unit_test(borders_of_a_class),
	    cmocka_unit_test(no_more_is_kept_than_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
