/* Lines, levels, the ring, and what a peer may put into a line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sbc/base/log.h"
#include "sbc/base/metric.h"

static struct log_line *lines;

static int setup(void **state)
{
	(void)state;
	lines = calloc(LOG_RING, sizeof(*lines));
	return lines ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(lines);
	return 0;
}

static void a_line_has_its_parts(void **state)
{
	struct logger lg;
	struct log l = {.to = &lg, .area = LOG_CALL, .ctx = "call=7f3a"}, bare = {.to = &lg, .area = LOG_NET};
	char text[2000];
	int p[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(logger_init(&lg, p[1], LOG_INFO), 0);
	log_info(&l, "leg_state", "from=%s to=%s", "early", "confirmed");
	lg.stamp = false;
	log_warn(&bare, "listen", "%s", "");
	log_debug(&l, "not_seen", "x=%d", 1);
	n = read(p[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	/* 2026-01-02T03:04:05.678Z */
	assert_int_equal(text[4], '-');
	assert_int_equal(text[10], 'T');
	assert_int_equal(text[23], 'Z');
	assert_string_equal(text + 25, "info call leg_state call=7f3a from=early to=confirmed\nwarn net listen \n");
	assert_int_equal(logger_read_any(&lg, 0, lines, LOG_RING), 2);
	assert_string_equal(lines[0].text, "info call leg_state call=7f3a from=early to=confirmed");
	assert_int_equal(lines[0].seq, 1);
	assert_int_equal(lines[0].level, LOG_INFO);
	assert_int_equal(lines[0].area, LOG_CALL);
	logger_fini(&lg);
	close(p[0]);
	close(p[1]);
}

static void levels_are_per_area(void **state)
{
	struct logger lg;
	struct log net = {.to = &lg, .area = LOG_NET}, sip = {.to = &lg, .area = LOG_SIP}, none = {.area = LOG_NET};

	(void)state;
	assert_int_equal(logger_init(&lg, -1, LOG_WARN), 0);
	lg.level[LOG_SIP] = LOG_DEBUG;
	log_debug(&net, "a", "%s", "");
	log_info(&net, "b", "%s", "");
	log_error(&net, "c", "%s", "");
	log_debug(&sip, "d", "%s", "");
	log_error(&none, "e", "%s", ""); /* to nobody */
	assert_int_equal(logger_read_any(&lg, 0, lines, LOG_RING), 2);
	assert_non_null(strstr(lines[0].text, "error net c"));
	assert_non_null(strstr(lines[1].text, "debug sip d"));
	assert_false(log_on(&none, LOG_ERROR));
	assert_int_equal(log_level_parse(S("WARN")), LOG_WARN);
	assert_int_equal(log_level_parse(S("loud")), -EINVAL);
	assert_int_equal(log_area_parse(S("media")), LOG_MEDIA);
	assert_int_equal(log_area_parse(S("")), -EINVAL);
	logger_fini(&lg);
}

static void the_ring_gives_the_newest_in_order(void **state)
{
	struct logger lg;
	struct log l = {.to = &lg, .area = LOG_APP};
	unsigned n;

	(void)state;
	assert_int_equal(logger_init(&lg, -1, LOG_INFO), 0);
	for (int i = 1; i <= LOG_RING + 100; i++)
		log_info(&l, "n", "i=%d", i);
	n = logger_read_any(&lg, 0, lines, LOG_RING);
	assert_int_equal(n, LOG_RING);
	assert_int_equal(lines[0].seq, 101);
	assert_int_equal(lines[n - 1].seq, LOG_RING + 100);
	assert_string_equal(lines[0].text, "info app n i=101");
	n = logger_read_any(&lg, 0, lines, 10); /* the last ten */
	assert_int_equal(n, 10);
	assert_int_equal(lines[9].seq, LOG_RING + 100);
	n = logger_read_any(&lg, LOG_RING + 98, lines, 10); /* what is new */
	assert_int_equal(n, 2);
	assert_int_equal(logger_read_any(&lg, LOG_RING + 100, lines, 10), 0);
	assert_int_equal(logger_read_any(&lg, 5, lines, 10), 10); /* fell behind: from what is left */
	assert_int_equal(lines[0].seq, 101);
	logger_fini(&lg);
}

static void a_long_line_is_cut_not_lost(void **state)
{
	struct logger lg;
	struct log l = {.to = &lg, .area = LOG_APP, .ctx = "call=1"};
	char big[3000];

	(void)state;
	assert_int_equal(logger_init(&lg, -1, LOG_INFO), 0);
	for (size_t n = LOG_LINE_MAX - 60; n < LOG_LINE_MAX + 60; n++) {
		memset(big, 'x', n);
		big[n] = '\0';
		log_info(&l, "long", "text=%s", big);
		assert_int_equal(logger_read_any(&lg, lg.seq - 1, lines, 1), 1);
		assert_true(strlen(lines[0].text) < LOG_LINE_MAX);
		assert_int_equal(strncmp(lines[0].text, "info app long call=1 text=xxx", 29), 0);
		assert_true(strlen(lines[0].text) >= LOG_LINE_MAX - 61);
	}
	logger_fini(&lg);
}

/* neither a new line nor a colour of the terminal */
static void a_peer_cannot_forge_a_line(void **state)
{
	struct logger lg;
	struct log l = {.to = &lg, .area = LOG_SIP};
	struct log_quote q;
	char junk[400];

	(void)state;
	assert_int_equal(logger_init(&lg, -1, LOG_INFO), 0);
	log_info(&l, "from", "user=%s", log_quoted(&q, S("a\"\r\nerror app forged\x1b[31m%s%n")));
	assert_int_equal(logger_read_any(&lg, 0, lines, 10), 1);
	assert_string_equal(
	    lines[0].text, "info sip from user=\"a\\x22\\x0d\\x0aerror app forged\\x1b[31m%s%n\"");
	memset(junk, '\xff', sizeof(junk));
	assert_int_equal(strlen(log_quoted(&q, str_n(junk, sizeof(junk)))), 1 + 80 * 4 + 3 + 1);
	logger_fini(&lg);
}

static void *shout(void *arg)
{
	struct log l = {.to = arg, .area = LOG_MEDIA};

	for (int i = 0; i < 2000; i++)
		log_info(&l, "packet", "i=%d", i);
	return NULL;
}

static void any_thread_may_log(void **state)
{
	struct logger lg;
	pthread_t t[4];

	(void)state;
	assert_int_equal(logger_init(&lg, -1, LOG_INFO), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, shout, &lg), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(lg.seq, 8000);
	assert_int_equal(logger_read_any(&lg, 0, lines, LOG_RING), LOG_RING);
	for (int i = 0; i < LOG_RING; i++)
		assert_int_equal(strncmp(lines[i].text, "info media packet i=", 20), 0);
	logger_fini(&lg);
}

/* a closed pipe must not stop a call */
static void a_dead_descriptor_is_survived(void **state)
{
	struct logger lg;
	struct log l = {.to = &lg, .area = LOG_APP};

	(void)state;
	assert_int_equal(logger_init(&lg, 9999, LOG_INFO), 0);
	log_info(&l, "x", "%s", "");
	assert_int_equal(logger_read_any(&lg, 0, lines, 10), 1);
	logger_fini(&lg);
}

static void what_others_trigger_is_said_once_and_counted(void **state)
{
	struct log_gate g = {0};
	unsigned unsaid = 9;

	(void)state;
	assert_true(log_gate_open(&g, 1000, 500, &unsaid));
	assert_int_equal(unsaid, 0);
	for (int64_t t = 1000; t < 1500; t += 100)
		assert_false(log_gate_open(&g, t, 500, &unsaid));
	assert_true(log_gate_open(&g, 1500, 500, &unsaid));
	assert_int_equal(unsaid, 5);
	assert_true(log_gate_open(&g, 2000, 500, &unsaid));
	assert_int_equal(unsaid, 0);
}

static void counters_by_name(void **state)
{
	static const char *const names[] = {"a", "b"};
	uint64_t v[2] = {1, 2}, w[2] = {7, 8};
	struct metrics m;
	struct metric_set x = {.area = "x", .names = names, .values = v, .n = 2},
	                  y = {.area = "y", .names = names, .values = w, .n = 2};

	(void)state;
	metrics_init(&m);
	assert_int_equal(metrics_get(&m, "x", "a"), 0);
	metrics_add(&m, &x);
	metrics_add(&m, &y);
	assert_int_equal(metrics_get(&m, "x", "b"), 2);
	assert_int_equal(metrics_get(&m, "y", "a"), 7);
	w[0]++;
	assert_int_equal(metrics_get(&m, "y", "a"), 8);
	assert_int_equal(metrics_get(&m, "y", "c"), 0);
	metrics_del(&y);
	metrics_del(&y);
	assert_int_equal(metrics_get(&m, "y", "a"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_line_has_its_parts),
	    cmocka_unit_test(levels_are_per_area),
	    cmocka_unit_test(the_ring_gives_the_newest_in_order),
	    cmocka_unit_test(a_long_line_is_cut_not_lost),
	    cmocka_unit_test(a_peer_cannot_forge_a_line),
	    cmocka_unit_test(any_thread_may_log),
	    cmocka_unit_test(a_dead_descriptor_is_survived),
	    cmocka_unit_test(counters_by_name),
	    cmocka_unit_test(what_others_trigger_is_said_once_and_counted),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
