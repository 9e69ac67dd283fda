/* The wheel against a list that does the same slowly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/base/rng.h"
#include "sbc/loop/timers.h"

#define TICK 1024
#define DAY_US ((int64_t)86400 * 1000000)

struct fire {
	struct timer t;
	const struct clock *clock;
	int64_t at;
	unsigned count;
	unsigned order;
	unsigned *counter;
};

static void fired(struct timer *t)
{
	struct fire *f = container_of(t, struct fire, t);

	assert_false(timer_running(t));
	f->at = f->clock->mono_us;
	f->count++;
	if (f->counter)
		f->order = ++*f->counter;
}

/* Goes to `to` the way a loop does: from wake-up to wake-up as timers_next_us() says. Returns the wake-ups. */
static unsigned advance_to(struct clock *c, struct timers *w, int64_t to)
{
	unsigned wakes = 0;

	for (;;) {
		int64_t next = timers_next_us(w);

		if (next > to)
			break;
		if (next > c->mono_us)
			c->mono_us = next;
		timers_advance(w);
		wakes++;
	}
	c->mono_us = to;
	timers_advance(w);
	return wakes;
}

static void a_timer_is_never_early_and_at_most_a_tick_late(void **state)
{
	static const int64_t delays[] = {0, 1, 1023, 1024, 1025, 500000, 262143, 262144, 262145, 4000000, 32000000,
	    67108863, 67108864, 67109000, 3600000000, 86400000000, 17179869184, 17179869183, 30 * DAY_US};
	static const int64_t starts[] = {0, 1, 1024, 255 * 1024, 256 * 1024 - 1, 256 * 1024, 65535 * 1024LL,
	    65536 * 1024LL + 77, ((int64_t)1 << 34) - 5, 123456789012345};

	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(starts); s++)
		for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
			struct clock c = {.mono_us = starts[s]};
			static struct timers w;
			struct fire f = {.clock = &c};

			timers_init(&w, &c);
			timer_start_us(&w, &f.t, delays[i], fired);
			assert_true(timer_running(&f.t));
			if (delays[i]) {
				advance_to(&c, &w, starts[s] + delays[i] - 1);
				assert_int_equal(f.count, 0);
			}
			advance_to(&c, &w, starts[s] + delays[i] + TICK);
			assert_int_equal(f.count, 1);
			assert_true(f.at >= starts[s] + delays[i]);
			assert_int_equal(w.n, 0);
			assert_true(timers_next_us(&w) == INT64_MAX);
		}
}

/* beyond what the four levels reach (50 days): waits in the last slot and is put in again */
static void far_timers_fire_at_their_time(void **state)
{
	static const int64_t days[] = {49, 50, 51, 60, 99, 101, 151, 365};
	struct clock c = {.mono_us = 987654321};
	static struct timers w;
	struct fire f[ARRAY_LEN(days)], endless = {.clock = &c};
	int64_t start = c.mono_us;

	(void)state;
	memset(f, 0, sizeof(f));
	timers_init(&w, &c);
	for (size_t i = 0; i < ARRAY_LEN(days); i++) {
		f[i].clock = &c;
		timer_start_us(&w, &f[i].t, days[i] * DAY_US, fired);
	}
	timer_start_us(&w, &endless.t, INT64_MAX, fired);
	for (size_t i = 0; i < ARRAY_LEN(days); i++) {
		advance_to(&c, &w, start + days[i] * DAY_US - 1);
		assert_int_equal(f[i].count, 0);
		advance_to(&c, &w, start + days[i] * DAY_US + TICK);
		assert_int_equal(f[i].count, 1);
	}
	assert_true(timer_running(&endless.t));
	timer_stop(&w, &endless.t);
	timer_start_ms(&w, &endless.t, INT64_MAX, fired); /* no overflow on the way */
	timer_start_ms(&w, &endless.t, INT64_MIN, fired);
	c.mono_us += TICK;
	timers_advance(&w);
	assert_int_equal(endless.count, 1);
}

/* Started with long and short delays at different times, due in the same tick. */
static void order_in_a_tick_is_the_order_of_starting(void **state)
{
	struct clock c = {.mono_us = 0};
	static struct timers w;
	struct fire f[8];
	unsigned counter = 0;
	int64_t due = 70000 * (int64_t)TICK; /* past two levels */
	static const int64_t when[] = {0, 0, 3000, 69000, 69760, 69761, 69900, 69999};

	(void)state;
	memset(f, 0, sizeof(f));
	timers_init(&w, &c);
	for (size_t i = 0; i < ARRAY_LEN(when); i++) {
		advance_to(&c, &w, when[i] * TICK);
		f[i].clock = &c;
		f[i].counter = &counter;
		timer_start_us(&w, &f[i].t, due - c.mono_us, fired);
	}
	advance_to(&c, &w, due + TICK);
	for (unsigned i = 0; i < ARRAY_LEN(when); i++) {
		assert_int_equal(f[i].count, 1);
		assert_int_equal(f[i].order, i + 1);
	}
}

struct restarter {
	struct timer t;
	struct timers *w;
	struct timer *other;
	unsigned count;
	int64_t delay_us;
};

static void restart_self(struct timer *t)
{
	struct restarter *r = container_of(t, struct restarter, t);

	r->count++;
	timer_start_us(r->w, t, r->delay_us, restart_self);
}

static void a_handler_may_restart_itself(void **state)
{
	struct clock c = {.mono_us = 5000};
	static struct timers w;
	struct restarter r = {.w = &w, .delay_us = 10 * TICK};

	(void)state;
	timers_init(&w, &c);
	timer_start_us(&w, &r.t, r.delay_us, restart_self);
	advance_to(&c, &w, c.mono_us + 1000 * TICK);
	assert_true(r.count >= 90 && r.count <= 100);
	assert_int_equal(w.n, 1);
	/* without any delay it runs once per tick, not for ever in one call */
	r.delay_us = 0;
	r.count = 0;
	timer_start_us(&w, &r.t, 0, restart_self);
	c.mono_us += 100 * TICK;
	timers_advance(&w);
	assert_true(r.count >= 1 && r.count <= 101);
	timer_stop(&w, &r.t);
	assert_int_equal(w.n, 0);
}

static void stop_other(struct timer *t)
{
	struct restarter *r = container_of(t, struct restarter, t);

	r->count++;
	timer_stop(r->w, r->other);
}

static void a_handler_may_stop_another_that_is_due_too(void **state)
{
	struct clock c = {.mono_us = 5000};
	static struct timers w;
	struct restarter a = {.w = &w}, b = {.w = &w};

	(void)state;
	timers_init(&w, &c);
	a.other = &b.t;
	b.other = &a.t;
	timer_start_us(&w, &a.t, 100, stop_other);
	timer_start_us(&w, &b.t, 100, stop_other);
	advance_to(&c, &w, c.mono_us + 10 * TICK);
	assert_int_equal(a.count, 1);
	assert_int_equal(b.count, 0);
	assert_int_equal(w.n, 0);
	assert_false(timer_running(&b.t));
	timer_stop(&w, &b.t); /* stopping a stopped one does nothing */
	assert_int_equal(w.n, 0);
}

static void a_restart_moves_the_time(void **state)
{
	struct clock c = {.mono_us = 5000};
	static struct timers w;
	struct fire f = {.clock = &c};

	(void)state;
	timers_init(&w, &c);
	timer_start_us(&w, &f.t, 100 * TICK, fired);
	timer_start_us(&w, &f.t, 500 * TICK, fired);
	assert_int_equal(w.n, 1);
	advance_to(&c, &w, 5000 + 499 * TICK);
	assert_int_equal(f.count, 0);
	timer_start_us(&w, &f.t, 2 * TICK, fired);
	advance_to(&c, &w, 5000 + 502 * TICK);
	assert_int_equal(f.count, 1);
}

/* a frozen process: all that was due runs, once, and periodic ones do not catch up */
static void a_long_sleep_makes_no_storm(void **state)
{
	struct clock c = {.mono_us = 5000};
	static struct timers w;
	struct restarter r = {.w = &w, .delay_us = 500000};
	struct fire f[100];

	(void)state;
	memset(f, 0, sizeof(f));
	timers_init(&w, &c);
	timer_start_us(&w, &r.t, r.delay_us, restart_self);
	for (int i = 0; i < 100; i++) {
		f[i].clock = &c;
		timer_start_us(&w, &f[i].t, i * 1000000, fired);
	}
	c.mono_us += DAY_US;
	timers_advance(&w);
	for (int i = 0; i < 100; i++)
		assert_int_equal(f[i].count, 1);
	assert_int_equal(r.count, 1);
	assert_int_equal(w.n, 1);
}

/* next is never later than the first due tick, and a far timer is not woken for by the quarter second */
static void the_next_time_is_right_and_rarely_too_early(void **state)
{
	struct clock c = {.mono_us = 1234567};
	static struct timers w;
	struct fire f = {.clock = &c};
	unsigned wakes;

	(void)state;
	timers_init(&w, &c);
	assert_true(timers_next_us(&w) == INT64_MAX);
	timer_start_us(&w, &f.t, 3600 * (int64_t)1000000, fired);
	wakes = advance_to(&c, &w, c.mono_us + 3601 * (int64_t)1000000);
	assert_int_equal(f.count, 1);
	assert_true(wakes <= 8);
	timer_start_us(&w, &f.t, 20 * TICK, fired);
	assert_true(timers_next_us(&w) <= c.mono_us + 21 * TICK);
	assert_true(timers_next_us(&w) >= c.mono_us + 19 * TICK);
}

/* ---- against a model ---- */

#define MODEL 400

static void random_against_the_model(uint64_t seed, int64_t start, int steps)
{
	static struct fire f[MODEL];
	static int64_t due[MODEL]; /* -1: stopped */
	static struct timers w;
	struct clock c = {.mono_us = start};
	struct rng r;

	rng_init_seeded(&r, seed);
	memset(f, 0, sizeof(f));
	timers_init(&w, &c);
	for (int i = 0; i < MODEL; i++) {
		f[i].clock = &c;
		due[i] = -1;
	}
	for (int s = 0; s < steps; s++) {
		unsigned n = 0;
		int64_t first = INT64_MAX, next;

		for (unsigned k = rng_below(&r, 8); k; k--) {
			unsigned i = rng_below(&r, MODEL);
			int64_t d = (int64_t)rng_u32(&r) >> rng_below(&r, 33);

			if (rng_below(&r, 4) == 0)
				d *= 1 + rng_below(&r, 2000); /* up to 99 days */
			if (rng_below(&r, 5) == 0) {
				timer_stop(&w, &f[i].t);
				due[i] = -1;
			} else {
				timer_start_us(&w, &f[i].t, d, fired);
				due[i] = c.mono_us + d;
			}
		}
		for (int i = 0; i < MODEL; i++)
			if (due[i] >= 0 && due[i] < first)
				first = due[i];
		next = timers_next_us(&w);
		assert_true(first == INT64_MAX ? next == INT64_MAX : next <= first + TICK);
		/* mostly a small step, sometimes to the next timer, sometimes far */
		switch (rng_below(&r, 4)) {
		case 0:
			c.mono_us += rng_below(&r, 3000);
			break;
		case 1:
			c.mono_us += rng_below(&r, 3000000);
			break;
		case 2:
			if (next != INT64_MAX && next > c.mono_us)
				c.mono_us = next;
			break;
		default:
			c.mono_us += (int64_t)rng_u32(&r) >> rng_below(&r, 20);
			break;
		}
		timers_advance(&w);
		for (int i = 0; i < MODEL; i++) {
			if (due[i] < 0) {
				assert_false(timer_running(&f[i].t));
				continue;
			}
			if (due[i] + TICK <= c.mono_us) { /* must have fired */
				assert_false(timer_running(&f[i].t));
				due[i] = -1;
			} else if (due[i] > c.mono_us) { /* must not have */
				assert_true(timer_running(&f[i].t));
				n++;
			} else if (timer_running(&f[i].t)) {
				n++;
			} else {
				due[i] = -1;
			}
		}
		assert_int_equal(w.n, n);
	}
}

static void random_use_agrees_with_a_plain_list(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++)
		random_against_the_model(seed, (int64_t)(seed * 987654321987 % ((uint64_t)1 << 45)), 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_timer_is_never_early_and_at_most_a_tick_late),
	    cmocka_unit_test(far_timers_fire_at_their_time),
	    cmocka_unit_test(order_in_a_tick_is_the_order_of_starting),
	    cmocka_unit_test(a_handler_may_restart_itself),
	    cmocka_unit_test(a_handler_may_stop_another_that_is_due_too),
	    cmocka_unit_test(a_restart_moves_the_time),
	    cmocka_unit_test(a_long_sleep_makes_no_storm),
	    cmocka_unit_test(the_next_time_is_right_and_rarely_too_early),
	    cmocka_unit_test(random_use_agrees_with_a_plain_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
