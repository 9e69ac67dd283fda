/* The catalogue: what every entry owes the people who read it. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/base/reason.h"

static void numbers_ascend_and_are_unique(void **state)
{
	unsigned last = 0;

	(void)state;
	for (unsigned i = 1; i < REASON_COUNT; i++) {
		const struct reason_info *r = reason_info((enum reason)i);

		if (r->number <= last)
			fail_msg("%s: %u after %u", r->name, r->number, last);
		assert_true(r->number >= 1001 && r->number <= 6999);
		last = r->number;
	}
}

static void each_has_a_text_and_a_remedy(void **state)
{
	(void)state;
	for (unsigned i = 1; i < REASON_COUNT; i++) {
		const struct reason_info *r = reason_info((enum reason)i);
		size_t n = strlen(r->text);

		if (n < 5 || n > 70 || strlen(r->remedy) < 10)
			fail_msg("%s says too little or too much", r->name);
		/* fit for a header: no quotes, no controls, one line; lower case unless a name; no full stop */
		for (size_t k = 0; k < n; k++)
			if (r->text[k] < 0x20 || r->text[k] > 0x7e || r->text[k] == '"' || r->text[k] == '\\')
				fail_msg("%s: character %d", r->name, r->text[k]);
		if (r->text[n - 1] == '.' || (isupper((unsigned char)r->text[0]) && islower((unsigned char)r->text[1]) &&
		                                 strncmp(r->text, "Content", 7) && strncmp(r->text, "Max-", 4)))
			fail_msg("%s: \"%s\"", r->name, r->text);
		for (const char *p = r->remedy; *p; p++)
			if (*p < 0x20 || *p > 0x7e)
				fail_msg("%s: remedy is not plain text", r->name);
		for (unsigned k = 1; k < i; k++)
			if (strcmp(reason_info((enum reason)k)->text, r->text) == 0)
				fail_msg("%s and %s say the same", r->name, reason_info((enum reason)k)->name);
	}
}

static void status_and_cause_are_real_ones(void **state)
{
	(void)state;
	for (unsigned i = 1; i < REASON_COUNT; i++) {
		const struct reason_info *r = reason_info((enum reason)i);

		if (r->sip && (r->sip < 400 || r->sip > 699))
			fail_msg("%s: status %u", r->name, r->sip);
		if (r->q850 > 127)
			fail_msg("%s: cause %u", r->name, r->q850);
		/* what we answer with has a cause, but for the refusals of a change inside a call */
		if (r->sip && !r->q850 && r->number / 1000 != 1)
			fail_msg("%s: status without cause", r->name);
	}
}

static void codes_both_ways(void **state)
{
	char t[REASON_CODE_MAX], z[32];

	(void)state;
	for (unsigned i = 1; i < REASON_COUNT; i++) {
		const char *code = reason_code((enum reason)i, t);

		assert_int_equal(strlen(code), 9);
		assert_int_equal(reason_parse(str_z(code)), i);
		assert_int_equal(reason_parse(str_z(code + 4)), i);
		assert_int_equal(reason_parse(str_z(code + 5)), i);
		snprintf(z, sizeof(z), "psn-e%s", code + 5);
		assert_int_equal(reason_parse(str_z(z)), i);
	}
	assert_string_equal(reason_code(REASON_NO_ROUTE, t), "PSN-E2104");
	assert_string_equal(reason_code(REASON_NONE, t), "-");
	assert_int_equal(reason_parse(S("PSN-E0000")), REASON_NONE);
	assert_int_equal(reason_parse(S("PSN-E9999")), REASON_NONE);
	assert_int_equal(reason_parse(S("PSN-E21044")), REASON_NONE);
	assert_int_equal(reason_parse(S("")), REASON_NONE);
	assert_int_equal(reason_parse(S("PSN-E")), REASON_NONE);
	assert_string_equal(reason_info(REASON_NONE)->text, "ok");
	/* out of range (our own bug) still has something to print */
	assert_string_equal(reason_info((enum reason)9999)->text, "ok");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_ascend_and_are_unique),
	    cmocka_unit_test(each_has_a_text_and_a_remedy),
	    cmocka_unit_test(status_and_cause_are_real_ones),
	    cmocka_unit_test(codes_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
