/* The ring of events: what is kept, what is not, and that strangers cannot flush it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sbc/reg/history.h"

#define S0 1795000000000000

static void refusals_once_a_minute(void **state)
{
	struct reg_history *h = reg_history_new(8);
	struct reg_contact c = {.uri = S("sip:a\x01@h"), .since_wall_us = S0};

	(void)state;
	assert_true(reg_history_note(h, S0, 1, &c, REASON_NONE));
	assert_false(reg_history_note(h, S0 + 1, 1, &c, REASON_NONE)); /* a refresh */
	/* two kinds in turns, a hundred times: two lines */
	for (int i = 0; i < 100; i++) {
		assert_int_equal(reg_history_note(h, S0 + i * 1000, 1, NULL, REASON_REG_REJECTED), i == 0);
		assert_int_equal(reg_history_note(h, S0 + i * 1000, 1, NULL, REASON_MALFORMED), i == 0);
	}
	assert_true(reg_history_note(h, S0 + 1000, 2, NULL, REASON_MALFORMED)); /* another trunk */
	assert_true(reg_history_note(h, S0 + 61000000, 1, NULL, REASON_MALFORMED));
	/* ends of bindings are kept each */
	assert_true(reg_history_note(h, S0 + 61000001, 1, &c, REASON_REG_REMOVED));
	assert_true(reg_history_note(h, S0 + 61000002, 1, &c, REASON_REG_REMOVED));
	assert_int_equal(reg_history_at(h, 1, 0)->why, REASON_REG_REMOVED);
	assert_int_equal(reg_history_at(h, 1, 2)->why, REASON_MALFORMED);
	assert_int_equal(reg_history_at(h, 2, 0)->why, REASON_MALFORMED);
	assert_null(reg_history_at(h, 2, 1));
	assert_int_equal(reg_history_at(h, 1, 5)->why, REASON_NONE);
	assert_string_equal(reg_history_at(h, 1, 5)->contact, "sip:a\\x01@h");
	assert_null(reg_history_at(h, 1, 6));
	/* a clock that was set back does not silence it for long */
	assert_true(reg_history_note(h, S0 - 5000000, 1, NULL, REASON_MALFORMED));
	reg_history_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(refusals_once_a_minute)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
