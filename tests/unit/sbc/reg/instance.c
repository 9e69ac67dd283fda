/* Instances: one per trunk and box. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sbc/reg/instance.h"

static const struct reg_secret secret = {{1, 2, 3}}, other = {{1, 2, 4}};

/* GINP-09 */
static void instances(void **state)
{
	char x[64], y[64];
	struct buf b;

	(void)state;
	buf_init(&b, x, sizeof(x));
	assert_int_equal(instance_put(&secret, 7, &b), 0);
	assert_int_equal(b.n, INSTANCE_TEXT);
	assert_memory_equal(x, "urn:uuid:610c56f5-e973-862f-9f02-e320d83cf4a0", INSTANCE_TEXT); /* of the next release too */
	buf_init(&b, y, sizeof(y));
	assert_int_equal(instance_put(&secret, 7, &b), 0);
	assert_memory_equal(x, y, INSTANCE_TEXT);
	buf_init(&b, y, sizeof(y));
	assert_int_equal(instance_put(&secret, 8, &b), 0);
	assert_memory_not_equal(x, y, INSTANCE_TEXT);
	buf_init(&b, y, sizeof(y));
	assert_int_equal(instance_put(&other, 7, &b), 0);
	assert_memory_not_equal(x, y, INSTANCE_TEXT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(instances),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
