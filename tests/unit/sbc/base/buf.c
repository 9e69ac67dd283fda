/* The writer: nothing past the end, nothing after an error. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sbc/base/buf.h"

static void writes_of_each_kind(void **state)
{
	char m[200];
	struct buf b;

	(void)state;
	buf_init(&b, m, sizeof(m));
	buf_lit(&b, "a=");
	buf_u64(&b, 0);
	buf_chr(&b, ',');
	buf_u64(&b, UINT64_MAX);
	buf_str(&b, S(";"));
	buf_str(&b, STR_NONE);
	buf_hex(&b, "\x00\x9f\xff", 3);
	buf_chr(&b, '-');
	buf_hex64(&b, 0);
	buf_hex64(&b, 0x10a);
	buf_hex64(&b, UINT64_MAX);
	buf_fmt(&b, " %d %s", -5, "x");
	assert_int_equal(buf_err(&b), 0);
	assert_string_equal(buf_z(&b), "a=0,18446744073709551615;009fff-010affffffffffffffff -5 x");
	assert_int_equal(b.n, strlen(m));
}

/* each length, at its first and its last number, with room to the byte */
static void numbers_of_each_length(void **state)
{
	uint64_t v = 1;

	(void)state;
	for (size_t n = 1; n <= 20; n++, v *= 10) {
		uint64_t two[] = {v, n < 20 ? v * 10 - 1 : UINT64_MAX};

		for (size_t i = 0; i < ARRAY_LEN(two); i++) {
			char m[24], want[24];
			struct buf b;

			snprintf(want, sizeof(want), "%llu", (unsigned long long)two[i]);
			assert_int_equal(strlen(want), n);
			buf_init(&b, m, n);
			buf_u64(&b, two[i]);
			assert_int_equal(buf_err(&b), 0);
			assert_int_equal(b.n, n);
			assert_memory_equal(m, want, n);
			buf_init(&b, m, n - 1);
			buf_u64(&b, two[i]);
			assert_int_equal(buf_err(&b), -ENOSPC);
			assert_int_equal(b.n, 0);
		}
	}
}

static void the_first_error_stays_and_stops_all(void **state)
{
	char m[16];
	struct buf b;

	(void)state;
	for (size_t cap = 0; cap <= 9; cap++) {
		memset(m, '#', sizeof(m));
		buf_init(&b, m, cap);
		buf_lit(&b, "hello");
		buf_chr(&b, ' ');
		buf_lit(&b, "you");
		buf_u64(&b, 12);
		buf_fmt(&b, "%s", "");
		assert_int_equal(buf_err(&b), -ENOSPC);
		assert_true(b.n <= cap);
		/* never the second word without the first */
		assert_memory_equal(m, "hello you", b.n);
		assert_true(b.n == 0 || b.n == 5 || b.n == 6 || b.n == 9);
		for (size_t i = cap; i < sizeof(m); i++)
			assert_int_equal(m[i], '#');
	}
}

static void it_fits_to_the_byte(void **state)
{
	char m[8];
	struct buf b;

	(void)state;
	memset(m, '#', sizeof(m));
	buf_init(&b, m, 5);
	buf_lit(&b, "12345");
	assert_int_equal(buf_err(&b), 0);
	buf_lit(&b, "");
	assert_int_equal(buf_err(&b), 0);
	buf_chr(&b, '6');
	assert_int_equal(buf_err(&b), -ENOSPC);
	assert_int_equal(m[5], '#');
	/* printf needs room for its NUL while it writes */
	buf_init(&b, m, 5);
	buf_fmt(&b, "%s", "1234");
	assert_int_equal(buf_err(&b), 0);
	buf_init(&b, m, 5);
	buf_fmt(&b, "%s", "12345");
	assert_int_equal(buf_err(&b), -ENOSPC);
	assert_int_equal(b.n, 0);
}

static void c_strings(void **state)
{
	char m[4];
	struct buf b;

	(void)state;
	buf_init(&b, m, sizeof(m));
	buf_lit(&b, "abc");
	assert_string_equal(buf_z(&b), "abc");
	assert_int_equal(buf_err(&b), 0);
	buf_chr(&b, 'd');
	assert_string_equal(buf_z(&b), "abc"); /* cut rather than unterminated, and it is said */
	assert_int_equal(buf_err(&b), -ENOSPC);
	buf_init(&b, NULL, 0);
	assert_string_equal(buf_z(&b), "");
	buf_lit(&b, "x");
	assert_string_equal(buf_z(&b), "");
}

static void peer_bytes_are_escaped_and_clipped(void **state)
{
	char m[100];
	struct buf b;

	(void)state;
	buf_init(&b, m, sizeof(m));
	buf_escaped(&b, str_n("a\"\\\r\n\x1b[2J\xc3\xa4\0z", 13), 100);
	assert_string_equal(buf_z(&b), "a\\x22\\x5c\\x0d\\x0a\\x1b[2J\\xc3\\xa4\\x00z");
	buf_init(&b, m, sizeof(m));
	buf_escaped(&b, S("abcdef"), 3);
	assert_string_equal(buf_z(&b), "abc...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(writes_of_each_kind),
	    cmocka_unit_test(numbers_of_each_length),
	    cmocka_unit_test(the_first_error_stays_and_stops_all),
	    cmocka_unit_test(it_fits_to_the_byte),
	    cmocka_unit_test(c_strings),
	    cmocka_unit_test(peer_bytes_are_escaped_and_clipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
