/* Tests of sbc/ctl/print.c and text.c: widths, alignment, order, what is left out, wrapping, CSV. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sbc/ctl/print.h"

static const struct print_col cols[] = {
    {"name", "NAME", PK_TEXT, 0},
    {"n", "CALLS", PK_NUM, 0},
    {"asr", "ASR", PK_PCT, 2},
    {"when", "WHEN", PK_WHEN, 1},
    {"note", "NOTE", PK_TEXT, 0},
};

static json_t *rows(void)
{
	return json_loads("[{\"name\":\"healthy\",\"n\":3,\"asr\":97.4,\"when\":880000000,\"note\":\"\",\"level\":0},"
			  "{\"name\":\"ill\",\"n\":12345,\"asr\":0.4,\"when\":0,\"level\":1,"
			  "\"note\":\"403 on 14 of 36 calls since this morning: provider refused the caller identity\"},"
			  "{\"name\":\"dead\",\"n\":0,\"level\":2,\"note\":\"no answer\"}]",
	    0, NULL);
}

static void table_is(unsigned columns, const char *want)
{
	const struct print_opts o = {.columns = columns, .now_us = 1000000000};
	struct text t = {0};
	json_t *r = rows();

	assert_non_null(r);
	print_table(&t, r, cols, ARRAY_LEN(cols), &o);
	assert_string_equal(text_z(&t), want);
	text_fini(&t);
	json_decref(r);
}

/* Trouble first, numbers right, empty cells empty, no blanks at the end of a line. */
static void wide(void **state)
{
	(void)state;
	table_is(140, "NAME     CALLS    ASR        WHEN  NOTE\n"
		      "dead         0                     no answer\n"
		      "ill      12345  0.4 %  16 min ago  403 on 14 of 36 calls since this morning: provider refused the "
		      "caller identity\n"
		      "healthy      3   97 %   2 min ago\n");
}

static void narrow(void **state)
{
	(void)state;
	/* the columns that matter less go, the highest number first; then the last one wraps */
	table_is(60, "NAME     CALLS  NOTE\n"
		     "dead         0  no answer\n"
		     "ill      12345  403 on 14 of 36 calls since this morning:\n"
		     "                provider refused the caller identity\n"
		     "healthy      3\n");
	/* and nothing is ever cut, however narrow */
	table_is(20, "NAME     CALLS  NOTE\n"
		     "dead         0  no answer\n"
		     "ill      12345  403 on 14 of 36 calls since this morning: provider refused the caller identity\n"
		     "healthy      3\n");
}

static void empty_and_many(void **state)
{
	const struct print_opts o = {.columns = 80};
	struct text t = {0};
	json_t *none = json_array(), *many = json_array();

	(void)state;
	print_table(&t, none, cols, ARRAY_LEN(cols), &o);
	assert_string_equal(text_z(&t), "NAME  CALLS  ASR  WHEN  NOTE\n");
	t.n = 0;
	for (int i = 0; i < 10000; i++)
		json_array_append_new(many, json_pack("{s:i}", "n", i));
	print_table(&t, many, cols, ARRAY_LEN(cols), &o);
	assert_false(t.failed);
	assert_non_null(strstr(text_z(&t), "9999\n"));
	text_fini(&t);
	json_decref(none);
	json_decref(many);
}

static void value_is(const char *json, enum print_kind kind, bool abs, const char *want)
{
	const struct print_opts o = {.columns = 80, .abs = abs, .now_us = (int64_t)1764093600 * 1000000};
	json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);
	struct text t = {0};

	assert_non_null(v);
	print_value(&t, v, kind, &o);
	assert_string_equal(text_z(&t), want);
	text_fini(&t);
	json_decref(v);
}

static void values(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	value_is("5", PK_NUM, false, "5");
	value_is("-5", PK_NUM, false, "-5");
	value_is("\"x\"", PK_NUM, false, "x");
	value_is("true", PK_TEXT, false, "yes");
	value_is("null", PK_NUM, false, "-");
	value_is("[\"a\",\"b\"]", PK_TEXT, false, "a, b");
	value_is("[]", PK_TEXT, false, "-");
	value_is("0", PK_PCT, false, "0 %");
	value_is("0.04", PK_PCT, false, "0.0 %");
	value_is("9.96", PK_PCT, false, "10.0 %");
	value_is("99.6", PK_PCT, false, "100 %");
	value_is("999", PK_MS, false, "999 ms");
	value_is("1000", PK_MS, false, "1.0 s");
	value_is("59999", PK_MS, false, "59.9 s");
	value_is("60000", PK_MS, false, "1:00");
	value_is("3753000", PK_MS, false, "1:02:33");
	value_is("3552720000", PK_MS, false, "41d 02:52");
	value_is("2100", PK_US, false, "2.1 ms");
	value_is("512", PK_BYTES, false, "512");
	value_is("12582912", PK_BYTES, false, "12.0M");
	value_is("1764093588000000", PK_WHEN, false, "12 s ago");
	value_is("1764093588000000", PK_WHEN, true, "2025-11-25 17:59:48");
	value_is("1763920800000000", PK_WHEN, false, "2 d ago");
	/* from the future, after a clock was set */
	value_is("1764093700000000", PK_WHEN, false, "0 s ago");
}

static void block(void **state)
{
	static const struct print_col b[] = {
	    {"name", "trunk", PK_TEXT, 0}, {"gone", "gone", PK_TEXT, 0}, {"empty", "empty", PK_TEXT, 0},
	    {"note", "what it says", PK_TEXT, 0}};
	const struct print_opts o = {.columns = 40};
	json_t *j = json_loads(
	    "{\"name\":\"acme\",\"empty\":\"\",\"note\":\"a text that is longer than one line can hold\"}", 0, NULL);
	struct text t = {0};

	(void)state;
	print_block(&t, j, b, ARRAY_LEN(b), &o);
	assert_string_equal(text_z(&t), "trunk         acme\n"
					"what it says  a text that is longer than\n"
					"              one line can hold\n");
	text_fini(&t);
	json_decref(j);
}

static void utf8(void **state)
{
	static const struct print_col c[] = {{"a", "A", PK_TEXT, 0}, {"b", "B", PK_NUM, 0}};
	const struct print_opts o = {.columns = 40};
	json_t *r = json_loads("[{\"a\":\"\\u00e4\\u00f6\",\"b\":1},{\"a\":\"xyz\",\"b\":22}]", 0, NULL), *any;
	struct text t = {0};

	(void)state;
	print_table(&t, r, c, 2, &o);
	assert_string_equal(text_z(&t), "A     B\n\xc3\xa4\xc3\xb6    1\nxyz  22\n");
	text_fini(&t);
	json_decref(r);
	any = print_json(str_n("ok\xff\xfe", 4));
	assert_string_equal(json_string_value(any), "ok??");
	json_decref(any);
}

static void csv_is(const char *in, const char *want)
{
	struct text t = {0};

	print_csv_field(&t, str_z(in));
	assert_string_equal(text_z(&t), want);
	text_fini(&t);
}

static void csv(void **state)
{
	(void)state;
	csv_is("", "");
	csv_is("plain", "plain");
	csv_is("a,b", "\"a,b\"");
	csv_is("a\"b", "\"a\"\"b\"");
	csv_is("a\nb", "\"a\nb\"");
	csv_is("+49301234", "+49301234");
	csv_is("-5", "-5");
	/* what a spreadsheet would run */
	csv_is("=1+1", "\"'=1+1\"");
	csv_is("@SUM(A1)", "\"'@SUM(A1)\"");
	csv_is("+cmd|' /C calc'!A0", "\"'+cmd|' /C calc'!A0\"");
}

static void text_limits(void **state)
{
	struct text t = {.max = 10};

	(void)state;
	text_fmt(&t, "%s", "0123456789");
	assert_false(t.failed);
	text_lit(&t, "x");
	assert_true(t.failed);
	assert_string_equal(text_z(&t), "0123456789");
	text_fini(&t);
	text_wrap(&t, S("averylongword and more"), 0, 2, 8);
	assert_true(t.failed);
	text_fini(&t);
	t.max = 0;
	text_wrap(&t, S("  averylongword and   more"), 0, 2, 8);
	assert_string_equal(text_z(&t), "averylongword\n  and\n  more\n");
	text_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wide),
	    cmocka_unit_test(narrow),
	    cmocka_unit_test(empty_and_many),
	    cmocka_unit_test(values),
	    cmocka_unit_test(block),
	    cmocka_unit_test(utf8),
	    cmocka_unit_test(csv),
	    cmocka_unit_test(text_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
