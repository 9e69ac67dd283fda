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

	rtp_rx_packet(s, &h, HZ, now_us, 0);
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
	rtp_rx_packet(&s, &h, 48, 1000 * 20000, 0);
	assert_in_range(rtp_rx_jitter_us(&s), before - 130, before + 130);
}

/* QOS-01 */
static void qos_01_order_and_doubles(void **state)
{
	static const unsigned seq[] = {10, 11, 13, 12, 14, 14, 13, 17, 15, 16, 16, 18};
	struct rtp_rx s = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(seq); i++)
		come(&s, 1, seq[i], seq[i] * 160, (int64_t)(i + 1) * 20000);
	assert_int_equal(s.reordered, 3); /* 12, 15, 16 */
	assert_int_equal(s.doubled, 3);   /* 14, 13, 16 */
	assert_int_equal(rtp_rx_lost(&s), -3);
	/* far behind: too old to know whether it was here; counted as late */
	run(&s, 1, 19, 90);
	come(&s, 1, 20, 20 * 160, 109 * 20000);
	assert_int_equal(s.reordered, 4);
	/* another source begins with a clean sheet, the counters go on */
	come(&s, 2, 5, 0, 110 * 20000);
	come(&s, 2, 5, 0, 110 * 20000);
	assert_int_equal(s.doubled, 4);
	assert_int_equal(s.reordered, 4);
}

static void gap(struct rtp_rx *s, unsigned seq, bool marker, int64_t now_us, int64_t since_us)
{
	struct rtp_head h = {.ssrc = 1, .seq = (uint16_t)seq, .timestamp = (uint32_t)(now_us / 125), .marker = marker};

	rtp_rx_packet(s, &h, HZ, now_us, since_us);
}

static void qos_01_longest_gap(void **state)
{
	struct rtp_rx s = {0};

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		gap(&s, i, false, 1000000 + i * 20000, 0);
	assert_int_equal(s.gap_us, 20000);
	gap(&s, 12, false, 1000000 + 12 * 20000, 0); /* two lost */
	assert_int_equal(s.gap_us, 60000);
	gap(&s, 13, true, 9000000, 0); /* said nothing for a while: silence suppression */
	assert_int_equal(s.gap_us, 60000);
	gap(&s, 15, true, 9100000, 0); /* the marker, but one is missing */
	assert_int_equal(s.gap_us, 100000);
	gap(&s, 16, false, 60000000, 59000000); /* was held in between */
	assert_int_equal(s.gap_us, 100000);
	gap(&s, 17, false, 60500000, 59000000);
	assert_int_equal(s.gap_us, 500000);
}

/* n packets of 20 ms by a clock that is off by ppm, each late by up to jitter_us; gives what is known then */
static int32_t drifting(struct rtp_rx *s, unsigned n, int64_t ppm, unsigned jitter_us, int64_t step_us)
{
	for (unsigned i = 0; i < n; i++) {
		int64_t sent = 1000000 + (int64_t)i * 20000 * 1000000 / (1000000 + ppm);

		come(s, 1, i, 0xffff0000u + i * 160, sent + (i * 7919u) % (jitter_us + 1) + (i > n / 2 ? step_us : 0));
	}
	return rtp_rx_drift_ppm(s);
}

static void drift_is_told_when_it_is_sure(void **state)
{
	static const struct {
		unsigned n;
		int64_t ppm;
		unsigned jitter_us;
		int64_t step_us;
		int32_t low, high;
	} t[] = {
		{15000, 0, 0, 0, 0, 0},          /* five minutes with a good clock */
		{15000, 0, 30000, 0, 0, 0},      /* and a bad network */
		{15000, 100, 5000, 0, 0, 0},     /* crystals do that: 30 ms in five minutes */
		{15000, 500, 5000, 0, 480, 520}, /* 150 ms */
		{15000, -500, 5000, 0, -520, -480},
		{600, 100000, 5000, 0, 90000, 110000}, /* 8.8 kHz called 8 kHz */
		{600, -500000, 0, 0, -520000, -480000}, /* 4 of 8: 40 ms packets numbered as 20 ms */
		{300, 100000, 0, 0, 0, 0},       /* six seconds say nothing */
		{15000, 0, 5000, 150000, 0, 0},  /* another route, once */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct rtp_rx s = {0};
		int32_t ppm = drifting(&s, t[i].n, t[i].ppm, t[i].jitter_us, t[i].step_us);

		if (ppm < t[i].low || ppm > t[i].high)
			fail_msg("row %zu: %d ppm", i, (int)ppm);
	}
}

/* Timestamps that stand still while the phone is muted: later packets seem to take longer, and no clock is wrong. */
static void drift_begins_anew_after_a_pause(void **state)
{
	struct rtp_rx s = {0};
	uint32_t n = 0;

	(void)state;
	for (unsigned talk = 0; talk < 20; talk++)
		for (unsigned i = 0; i < 150; i++, n++)
			come(&s, 1, n, n * 160, 1000000 + (int64_t)n * 20000 + talk * 700000);
	assert_int_equal(rtp_rx_drift_ppm(&s), 0);
	for (unsigned i = 0; i < 10000; i++, n++)
		come(&s, 1, n, n * 160 + i / 10, 1000000 + (int64_t)n * 20000 + 14000000);
	assert_in_range(rtp_rx_drift_ppm(&s), 500, 700); /* 625 */
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
	    cmocka_unit_test(qos_01_order_and_doubles),
	    cmocka_unit_test(qos_01_longest_gap),
	    cmocka_unit_test(drift_is_told_when_it_is_sure),
	    cmocka_unit_test(drift_begins_anew_after_a_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
