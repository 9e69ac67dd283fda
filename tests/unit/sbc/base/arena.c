/* Arenas. (Under AddressSanitizer each allocation is a malloc; the accounting must hold both ways.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/base/arena.h"

static void memory_is_aligned_and_apart(void **state)
{
	struct arena_pool pool;
	struct arena *a;
	char *p[300];
	size_t n[300];

	(void)state;
	arena_pool_init(&pool, 1024, 8);
	a = arena_new(&pool);
	assert_non_null(a);
	for (size_t i = 0; i < 300; i++) {
		n[i] = i % 7 == 0 ? i * 20 : i; /* some larger than a chunk, one of no bytes */
		p[i] = arena_alloc(a, n[i]);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] % 16, 0);
		memset(p[i], (int)(i & 0xff), n[i]);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t k = 0; k < n[i]; k++)
			assert_int_equal((unsigned char)p[i][k], i & 0xff);
	assert_true(arena_bytes(a) >= 300 * 299 / 2);
	assert_int_equal(pool.live_bytes, arena_bytes(a));
	arena_free(a);
	assert_int_equal(pool.live_bytes, 0);
	arena_pool_fini(&pool);
}

static void zeroed_and_typed(void **state)
{
	struct thing {
		uint64_t a, b;
		char c[100];
	} *t;
	struct arena_pool pool;
	struct arena *a;
	char *p;

	(void)state;
	arena_pool_init(&pool, 512, 8);
	for (int round = 0; round < 3; round++) { /* also in memory that was used before */
		a = arena_new(&pool);
		p = arena_alloc(a, 300);
		memset(p, 0xff, 300);
		arena_reset(a);
		t = arena_new_obj(a, struct thing);
		for (size_t i = 0; i < sizeof(*t); i++)
			assert_int_equal(((char *)t)[i], 0);
		arena_free(a);
	}
	arena_pool_fini(&pool);
}

static void reset_gives_back_all_but_one_chunk(void **state)
{
	struct arena_pool pool;
	struct arena *a;
	size_t empty;

	(void)state;
	arena_pool_init(&pool, 1024, 4);
	a = arena_new(&pool);
	empty = arena_bytes(a);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 100; i++)
			memset(arena_alloc(a, 100), 1, 100);
		memset(arena_alloc(a, 5000), 1, 5000);
		assert_true(arena_bytes(a) > empty);
		arena_reset(a);
		assert_int_equal(arena_bytes(a), empty);
		assert_int_equal(pool.live_bytes, empty);
	}
	assert_true(pool.n_free <= 4);
	arena_free(a);
	assert_true(pool.n_free <= 4);
	arena_pool_fini(&pool);
	assert_int_equal(pool.n_free, 0);
}

static void what_is_too_much_is_refused(void **state)
{
	struct arena_pool pool;
	struct arena *a;
	volatile size_t huge = ARENA_MAX + 1, wrap = SIZE_MAX;

	(void)state;
	arena_pool_init(&pool, 1024, 4);
	a = arena_new(&pool);
	assert_null(arena_alloc(a, huge));
	assert_null(arena_alloc(a, wrap));
	assert_null(arena_zalloc(a, huge));
	assert_non_null(arena_alloc(a, ARENA_MAX));
	assert_non_null(arena_alloc(a, 1)); /* and it goes on */
	arena_free(a);
	arena_free(NULL);
	arena_pool_fini(&pool);
}

/* first chunks, further ones, ones of their own size, and texts between objects */
static void chunks_of_several_sizes(void **state)
{
	struct arena_pool pool;
	struct arena *a[8];
	char *text[8][60];
	uint64_t *obj[8][60];

	(void)state;
	arena_pool_init_more(&pool, 512, 240, 16);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 8; i++)
			a[i] = arena_new(&pool);
		for (int k = 0; k < 60; k++) {
			for (int i = 0; i < 8; i++) {
				size_t n = (size_t)(k % 11) * 70 + 1; /* some larger than a further chunk, or than the first */

				text[i][k] = arena_bytes_alloc(a[i], n);
				memset(text[i][k], 'a' + i, n);
				obj[i][k] = arena_alloc(a[i], sizeof(uint64_t));
				assert_int_equal((uintptr_t)obj[i][k] % 16, 0);
				*obj[i][k] = (uint64_t)(i * 1000 + k);
			}
		}
		for (int i = 0; i < 8; i++) {
			for (int k = 0; k < 60; k++) {
				assert_int_equal(*obj[i][k], i * 1000 + k);
				assert_int_equal(text[i][k][0], 'a' + i);
				assert_int_equal(text[i][k][(k % 11) * 70], 'a' + i);
			}
			if (i % 2)
				arena_reset(a[i]);
			arena_free(a[i]);
		}
		assert_int_equal(pool.live_bytes, 0);
		assert_true(pool.n_free <= 16 && pool.others.free_bytes <= 16 * 240);
	}
	arena_pool_fini(&pool);
}

static void many_arenas_of_one_pool(void **state)
{
	struct arena_pool pool;
	struct arena *a[64];

	(void)state;
	arena_pool_init(&pool, 2048, 16);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 64; i++) {
			a[i] = arena_new(&pool);
			memset(arena_alloc(a[i], 1500), i, 1500);
		}
		for (int i = 0; i < 64; i++)
			arena_free(a[(i * 37) % 64]);
		assert_int_equal(pool.live_bytes, 0);
		assert_true(pool.n_free <= 16);
	}
	arena_pool_fini(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(memory_is_aligned_and_apart),
	    cmocka_unit_test(zeroed_and_typed),
	    cmocka_unit_test(reset_gives_back_all_but_one_chunk),
	    cmocka_unit_test(what_is_too_much_is_refused),
	    cmocka_unit_test(chunks_of_several_sizes),
	    cmocka_unit_test(many_arenas_of_one_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
