/* Arrays keep what is in them and are zero beyond, whichever way their memory comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sbc/base/big.h"

static void grown_arrays_keep_their_content(void **state)
{
	size_t n = 16;
	uint32_t *v = big_alloc(n * sizeof(*v));

	(void)state;
	assert_non_null(v);
	for (; n * sizeof(*v) <= 4 * BIG_BYTES; n *= 2) {
		for (size_t i = n / 2; i < n; i++) {
			assert_int_equal(v[i], 0);
			v[i] = (uint32_t)i + 1;
		}
		v = big_grow(v, n * sizeof(*v), n * 2 * sizeof(*v));
		assert_non_null(v);
		for (size_t i = n / 2; i < n; i++)
			assert_int_equal(v[i], i + 1);
		for (size_t i = n; i < n * 2; i++)
			assert_int_equal(v[i], 0);
	}
	big_free(v, n * sizeof(*v));
	v = big_alloc(2 * BIG_BYTES);
	assert_non_null(v);
	assert_int_equal(v[2 * BIG_BYTES / sizeof(*v) - 1], 0);
	big_free(v, 2 * BIG_BYTES);
	big_free(NULL, 2 * BIG_BYTES);
}

static void what_is_too_large_leaves_the_array(void **state)
{
	uint32_t *v = big_alloc(2 * BIG_BYTES);

	(void)state;
	assert_non_null(v);
	v[7] = 7;
	assert_null(big_grow(v, 2 * BIG_BYTES, (size_t)1 << 60));
	assert_int_equal(v[7], 7);
	big_free(v, 2 * BIG_BYTES);
	assert_null(big_alloc((size_t)1 << 60));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(grown_arrays_keep_their_content),
	    cmocka_unit_test(what_is_too_large_leaves_the_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
