/* Slices. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sbc/base/arena.h"

static void equality_and_prefixes(void **state)
{
	(void)state;
	assert_true(str_eq(STR_NONE, S("")));
	assert_true(str_eq(S("abc"), str_n("abcd", 3)));
	assert_false(str_eq(S("abc"), S("abd")));
	assert_false(str_eq(S("abc"), S("ab")));
	assert_true(str_ieq(S("Via-[z]"), S("vIA-[Z]")));
	assert_false(str_ieq(S("a@"), S("a`"))); /* only letters have a case */
	assert_false(str_ieq(S("a@z"), S("a`z")));
	assert_false(str_ieq(S("PCMA"), S("PCMU")));
	assert_true(str_ieq(STR_NONE, STR_NONE));
	assert_true(str_prefix(S("sip:x"), S("sip:")));
	assert_true(str_prefix(S("x"), STR_NONE));
	assert_false(str_prefix(S("si"), S("sip:")));
	assert_false(str_prefix(S("SIP:x"), S("sip:")));
	assert_true(str_iprefix(S("SIP:x"), S("sip:")));
	assert_false(str_iprefix(S("si"), S("sip:")));
	assert_true(str_cmp(S("a"), S("b")) < 0);
	assert_true(str_cmp(S("ab"), S("a")) > 0);
	assert_true(str_cmp(S("a"), STR_NONE) > 0);
	assert_int_equal(str_cmp(S("a"), S("a")), 0);
	assert_true(str_cmp(S("\xff"), S("a")) > 0); /* bytes, not chars */
	assert_true(str_empty(STR_NONE));
	assert_false(str_empty(S("a")));
	assert_int_equal(str_z(NULL).n, 0);
	assert_int_equal(str_z("four").n, 4);
}

static void cutting(void **state)
{
	struct str s = S("name=value=x"), head, rest;

	(void)state;
	rest = str_cut(s, '=', &head);
	assert_true(str_eq(head, S("name")));
	assert_true(str_eq(rest, S("value=x")));
	rest = str_cut(S("name"), '=', &head);
	assert_true(str_eq(head, S("name")));
	assert_true(str_empty(rest));
	rest = str_cut(S("="), '=', &head);
	assert_true(str_empty(head) && str_empty(rest));
	rest = str_cut(STR_NONE, '=', &head);
	assert_true(str_empty(head) && str_empty(rest));
	assert_true(str_eq(str_from(s, 5), S("value=x")));
	assert_true(str_empty(str_from(s, 12)));
	assert_true(str_empty(str_from(s, 99)));
	assert_true(str_from(s, 99).p == s.p + s.n);
	assert_true(str_eq(str_head(s, 4), S("name")));
	assert_true(str_eq(str_head(s, 99), s));
	assert_true(str_eq(str_trim(S(" \t\r\n a b \r\n")), S("a b")));
	assert_true(str_empty(str_trim(S(" \r\n\t"))));
	assert_true(str_empty(str_trim(STR_NONE)));
}

static void finding(void **state)
{
	(void)state;
	assert_int_equal(str_chr(S("abc"), 'c'), 2);
	assert_int_equal(str_chr(S("abc"), 'd'), -1);
	assert_int_equal(str_chr(STR_NONE, 'd'), -1);
	assert_int_equal(str_chr(str_n("abc", 2), 'c'), -1); /* not past the end */
	assert_int_equal(str_find(S("xabab"), S("ab")), 1);
	assert_int_equal(str_find(S("xab"), S("abc")), -1);
	assert_int_equal(str_find(S("x"), STR_NONE), 0);
	assert_int_equal(str_find(STR_NONE, S("a")), -1);
}

static void numbers(void **state)
{
	uint64_t v = 99;
	uint32_t w = 99;

	(void)state;
	assert_int_equal(str_u64(S("0"), 10, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(str_u64(S("18446744073709551615"), UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(str_u64(S("18446744073709551616"), UINT64_MAX, &v), -ERANGE);
	assert_int_equal(str_u64(S("18446744073709551620"), UINT64_MAX, &v), -ERANGE);
	assert_int_equal(str_u64(S("36893488147419103232"), UINT64_MAX, &v), -ERANGE); /* 2^65: 0 in 64 bits */
	assert_int_equal(str_u64(S("368934881474191032320"), UINT64_MAX, &v), -ERANGE);
	assert_int_equal(str_u64(S("000000000000000000018446744073709551615"), UINT64_MAX, &v), 0);
	assert_int_equal(str_u64(S("99999999999999999999999999"), UINT64_MAX, &v), -ERANGE);
	assert_true(v == UINT64_MAX); /* untouched on failure */
	assert_int_equal(str_u32(S("65535"), 65535, &w), 0);
	assert_int_equal(w, 65535);
	assert_int_equal(str_u32(S("65536"), 65535, &w), -ERANGE);
	assert_int_equal(str_u32(S("00007"), 7, &w), 0);
	assert_int_equal(w, 7);
	assert_int_equal(str_u32(S("8"), 7, &w), -ERANGE);
	assert_int_equal(str_u32(S("10"), 9, &w), -ERANGE);
	assert_int_equal(str_u32(STR_NONE, 7, &w), -EINVAL);
	assert_int_equal(str_u32(S("-1"), 7, &w), -EINVAL);
	assert_int_equal(str_u32(S("+1"), 7, &w), -EINVAL);
	assert_int_equal(str_u32(S(" 1"), 7, &w), -EINVAL);
	assert_int_equal(str_u32(S("1 "), 7, &w), -EINVAL);
	assert_int_equal(str_u32(S("0x1"), 7, &w), -EINVAL);
	assert_int_equal(str_u32(S("9999999999x"), 7, &w), -EINVAL); /* what it is decides, not what it is worth */
	assert_int_equal(str_u32(str_n("1\0", 2), 7, &w), -EINVAL);
	assert_int_equal(w, 7);
	/* each limit is exact */
	for (uint32_t max = 0; max < 300; max++)
		for (uint32_t n = 0; n < 400; n++) {
			char t[4];
			size_t i = sizeof(t);
			uint32_t k = n;

			do
				t[--i] = (char)('0' + k % 10);
			while (k /= 10);
			assert_int_equal(str_u32(str_n(t + i, sizeof(t) - i), max, &w), n <= max ? 0 : -ERANGE);
			if (n <= max)
				assert_int_equal(w, n);
		}
}

static void copies_end_in_a_nul(void **state)
{
	struct arena_pool pool;
	struct arena *a;
	struct str s, d;
	char *z;

	(void)state;
	arena_pool_init(&pool, 4096, 4);
	a = arena_new(&pool);
	s = S("copy me");
	d = str_dup(a, s);
	assert_true(str_eq(d, s));
	assert_true(d.p != s.p);
	assert_int_equal(d.p[d.n], '\0');
	d = str_dup(a, STR_NONE);
	assert_int_equal(d.n, 0);
	assert_int_equal(d.p[0], '\0');
	arena_free(a);
	arena_pool_fini(&pool);
	z = str_strdup(str_n("abcdef", 3));
	assert_string_equal(z, "abc");
	free(z);
	z = str_strdup(STR_NONE);
	assert_string_equal(z, "");
	free(z);
}

static void distance(void **state)
{
	char a[200], b[200];

	(void)state;
	assert_int_equal(str_distance(S("listen"), S("listen"), 3), 0);
	assert_int_equal(str_distance(S("listen"), S("LISTEN"), 3), 0);
	assert_int_equal(str_distance(S("listen"), S("lsiten"), 3), 2);
	assert_int_equal(str_distance(S("listen"), S("liste"), 3), 1);
	assert_int_equal(str_distance(S("listen"), S("glisten"), 3), 1);
	assert_int_equal(str_distance(S("kitten"), S("sitting"), 9), 3);
	assert_int_equal(str_distance(S("abc"), STR_NONE, 9), 3);
	assert_int_equal(str_distance(S("abcdefgh"), S("zyxwvuts"), 3), 4); /* limit + 1 */
	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	assert_int_equal(str_distance(str_n(a, 200), str_n(b, 200), 100), 63); /* clipped, no overrun */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(equality_and_prefixes),
	    cmocka_unit_test(cutting),
	    cmocka_unit_test(finding),
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(copies_end_in_a_nul),
	    cmocka_unit_test(distance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
