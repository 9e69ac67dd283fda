/* Loss and jitter of a received stream. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "media/stats.h"

#define HZ 8

static void come(struct rtp_rx *s, uint32_t ssrc, unsigned seq, uint32_t ts, int64_t now_us)
{
	struct rtp_head h = {.ssrc = ssrc, .seq = (uint16_t)seq, .timestamp = ts};

	rtp_rx_packet(s, &h, HZ, now_us);
}

static void run(struct rtp_rx *s, uint32_t ssrc, unsigned from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		come(s, ssrc, from + i, (from + i) * 160, (int64_t)(from + i) * 20000);
}

static void nothing_is_nothing(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	assert_int_equal(rtp_rx_lost(&s), 0);
	assert_int_equal(rtp_rx_jitter_us(&s), 0);
}

static void loss_over_the_wrap(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	run(&s, 1, 65530, 4);
	run(&s, 1, 65530 + 4 + 5, 200000); /* five lost, three wraps */
	assert_int_equal(rtp_rx_lost(&s), 5);
	assert_int_equal(s.received, 200004);
}

static void late_packets_are_not_lost(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	run(&s, 1, 65535, 1);
	run(&s, 1, 65537, 1); /* 1: 0 is missing */
	assert_int_equal(rtp_rx_lost(&s), 1);
	run(&s, 1, 65536, 1);
	assert_int_equal(rtp_rx_lost(&s), 0);
	run(&s, 1, 65538, 1);
	assert_int_equal(rtp_rx_lost(&s), 0);
}

static void first_packets_in_wrong_order(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	come(&s, 1, 2, 0, 0);
	come(&s, 1, 0, 0, 0);
	come(&s, 1, 1, 0, 0);
	come(&s, 1, 65535, 0, 0);
	come(&s, 1, 3, 0, 0);
	assert_int_equal(rtp_rx_lost(&s), 0);
}

static void duplicates_make_loss_negative(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	run(&s, 1, 100, 10);
	come(&s, 1, 109, 109 * 160, 0);
	assert_int_equal(rtp_rx_lost(&s), -1);
}

static void restart_needs_two_in_a_row(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	run(&s, 1, 100, 10);
	run(&s, 1, 111, 1); /* one lost */
	come(&s, 1, 30000, 0, 0); /* stray */
	run(&s, 1, 112, 1);
	assert_int_equal(rtp_rx_lost(&s), 1);
	run(&s, 1, 40000, 5); /* restart: its first one counts */
	assert_int_equal(rtp_rx_lost(&s), 1);
	run(&s, 1, 40006, 1);
	assert_int_equal(rtp_rx_lost(&s), 2);
	run(&s, 1, 65535 + 65536, 1); /* restart over the wrap */
	run(&s, 1, 65536, 3);
	assert_int_equal(rtp_rx_lost(&s), 2);
}

static void counts_survive_a_new_ssrc(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	run(&s, 1, 10, 2);
	run(&s, 1, 13, 1);
	run(&s, 2, 50000, 100);
	assert_int_equal(rtp_rx_lost(&s), 1);
	run(&s, 1, 20, 5);
	assert_int_equal(rtp_rx_lost(&s), 1);
}

static void even_packets_have_no_jitter(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	run(&s, 1, 65000, 1000);
	assert_int_equal(rtp_rx_jitter_us(&s), 0);
}

/* A.8: an error of the same size at every packet converges to it */
static void jitter_converges(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	for (unsigned i = 0; i < 1000; i++) /* each second one 5 ms late: |D| is always 5 ms */
		come(&s, 1, i, 0xfffff000u + i * 160, 1000000 + (int64_t)i * 20000 + (i % 2 ? 5000 : 0));
	assert_in_range(rtp_rx_jitter_us(&s), 4700, 5100);
}

static void one_late_packet_is_a_sixteenth(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	run(&s, 1, 0, 50);
	come(&s, 1, 50, 50 * 160, 50 * 20000 + 16000);
	assert_in_range(rtp_rx_jitter_us(&s), 875, 1000); /* 16 ms / 16 */
}

static void event_updates_leave_jitter_alone(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	run(&s, 1, 0, 50);
	for (unsigned i = 0; i < 10; i++) /* RFC 4733: all updates carry the timestamp of the beginning */
		come(&s, 1, 50 + i, 50 * 160, (50 + i) * 20000);
	run(&s, 1, 60, 50);
	assert_int_equal(rtp_rx_jitter_us(&s), 0);
	assert_int_equal(rtp_rx_lost(&s), 0);
}

static void new_timestamps_are_no_jitter(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	run(&s, 1, 0, 50);
	for (unsigned i = 0; i < 50; i++)
		come(&s, 1, 50 + i, 0x80000000u + i * 160, (50 + i) * 20000);
	assert_int_equal(rtp_rx_jitter_us(&s), 0);
}

static void jitter_is_kept_over_another_clock(void **state)
{
	struct rtp_rx s = {0};
	struct rtp_head h = {.ssrc = 1};
	uint32_t before;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		come(&s, 1, i, i * 160, (int64_t)i * 20000 + (i % 2 ? 5000 : 0));
	before = rtp_rx_jitter_us(&s);
	h.seq = 1000;
	h.timestamp = 12345;
	rtp_rx_packet(&s, &h, 48, 1000 * 20000);
	assert_in_range(rtp_rx_jitter_us(&s), before - 130, before + 130);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_nothing),
	    cmocka_unit_test(loss_over_the_wrap),
	    cmocka_unit_test(late_packets_are_not_lost),
	    cmocka_unit_test(first_packets_in_wrong_order),
	    cmocka_unit_test(duplicates_make_loss_negative),
	    cmocka_unit_test(restart_needs_two_in_a_row),
	    cmocka_unit_test(counts_survive_a_new_ssrc),
	    cmocka_unit_test(even_packets_have_no_jitter),
	    cmocka_unit_test(jitter_converges),
	    cmocka_unit_test(one_late_packet_is_a_sixteenth),
	    cmocka_unit_test(event_updates_leave_jitter_alone),
	    cmocka_unit_test(new_timestamps_are_no_jitter),
	    cmocka_unit_test(jitter_is_kept_over_another_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
