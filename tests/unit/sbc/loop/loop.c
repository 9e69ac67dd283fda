/* The turn: clock, timers, hooks, posts, watchdog, stop. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "sbc/loop/loop.h"

struct fake {
	struct clock c;
	int64_t add_wall_us;
	int wakes_fd; /* 0: none; when that timer has fired an hour is over */
	bool woken;
};

static void read_fake(void *ctx, struct clock *c)
{
	struct fake *f = ctx;
	struct itimerspec left;

	if (f->wakes_fd && !f->woken && timerfd_gettime(f->wakes_fd, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0) {
		f->woken = true;
		f->c.mono_us += 3600000000ll;
		f->c.wall_us += 3600000000ll;
	}
	*c = f->c;
	c->wall_us += f->add_wall_us;
}

static unsigned log_lines(struct logger *lg, const char *with)
{
	struct log_line *l = calloc(LOG_RING, sizeof(*l));
	unsigned n, found = 0;

	assert_non_null(l);
	n = logger_read_any(lg, 0, l, LOG_RING);
	for (unsigned i = 0; i < n; i++)
		found += strstr(l[i].text, with) != NULL;
	free(l);
	return found;
}

struct tick {
	struct timer t;
	struct loop *l;
	int64_t at_us;
	unsigned n;
	bool stop;
};

static void on_tick(struct timer *t)
{
	struct tick *k = container_of(t, struct tick, t);

	k->at_us = k->l->clock.mono_us;
	k->n++;
	if (k->stop)
		loop_stop(k->l);
}

static void timers_run_at_their_time(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {0};
	struct tick a = {.l = &l}, b = {.l = &l, .stop = true};
	int64_t start;

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	start = l.clock.mono_us;
	timer_start_ms(&l.timers, &b.t, 60, on_tick);
	timer_start_ms(&l.timers, &a.t, 20, on_tick);
	loop_run(&l);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.n, 1);
	assert_true(a.at_us >= start + 20000 && a.at_us < start + 55000);
	assert_true(b.at_us >= start + 60000);
	assert_int_equal(loop_fini(&l), 0);
}

/* a timer that is started earlier than the armed one wakes the loop in time; a stopped one costs a wake-up only */
static void the_wake_up_moves_forward(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {0};
	struct tick a = {.l = &l}, b = {.l = &l};
	int64_t start;

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	timer_start_ms(&l.timers, &a.t, 10000, on_tick);
	loop_turn(&l, 0);
	start = l.clock.mono_us;
	timer_start_ms(&l.timers, &b.t, 15, on_tick);
	while (b.n == 0)
		loop_turn(&l, -1);
	assert_true(l.clock.mono_us - start < 500000);
	timer_stop(&l.timers, &a.t);
	timer_start_ms(&l.timers, &b.t, 15, on_tick);
	timer_stop(&l.timers, &b.t);
	timer_start_ms(&l.timers, &b.t, 40, on_tick);
	while (b.n == 1)
		loop_turn(&l, -1);
	assert_int_equal(a.n, 0);
	assert_int_equal(loop_fini(&l), 0);
}

/* ten thousand timers started and stopped in turns do not touch the uv_timer each time */
static void an_idle_loop_sleeps(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {0};
	struct tick far = {.l = &l}, end = {.l = &l, .stop = true};

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	timer_start_ms(&l.timers, &far.t, 3600000, on_tick);
	timer_start_ms(&l.timers, &end.t, 600, on_tick);
	loop_run(&l);
	assert_true(l.counts[LOOP_TURNS] <= 8);
	timer_stop(&l.timers, &far.t);
	assert_int_equal(loop_fini(&l), 0);
}

/* ---- posts ---- */

#define POSTERS 4
#define POSTS_EACH 20000

struct seen {
	struct loop *l;
	unsigned next[POSTERS];
	unsigned total;
	pthread_t self;
};

struct note {
	struct seen *s;
	unsigned from, n;
};

static void on_note(void *arg)
{
	struct note *p = arg;
	struct seen *s = p->s;

	assert_true(pthread_equal(pthread_self(), s->self));
	assert_int_equal(p->n, s->next[p->from]++); /* in order of posting, per thread */
	if (++s->total == POSTERS * POSTS_EACH)
		loop_stop(s->l);
	free(p);
}

struct poster {
	struct seen *s;
	unsigned from;
};

static void *post_all(void *arg)
{
	struct poster *p = arg;

	for (unsigned i = 0; i < POSTS_EACH; i++) {
		struct note *n = malloc(sizeof(*n));

		if (!n)
			abort();
		*n = (struct note){p->s, p->from, i};
		if (loop_post_any(p->s->l, on_note, n) < 0)
			abort();
	}
	return NULL;
}

static void posts_of_many_threads_run_in_order(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {0};
	struct seen s = {.l = &l, .self = pthread_self()};
	struct poster p[POSTERS];
	pthread_t th[POSTERS];

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	for (unsigned i = 0; i < POSTERS; i++) {
		p[i] = (struct poster){&s, i};
		assert_int_equal(pthread_create(&th[i], NULL, post_all, &p[i]), 0);
	}
	loop_run(&l);
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(th[i], NULL);
	assert_int_equal(s.total, POSTERS * POSTS_EACH);
	assert_int_equal(l.counts[LOOP_POSTS], POSTERS * POSTS_EACH);
	assert_int_equal(loop_fini(&l), 0);
}

static void add_one(void *arg)
{
	++*(unsigned *)arg;
}

/* a flood of posts leaves the timers their turn */
static void a_batch_of_posts_per_turn(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {0};
	struct tick t = {.l = &l};
	unsigned n = 0;

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(loop_post_any(&l, add_one, &n), 0);
	timer_start_ms(&l.timers, &t.t, 0, on_tick);
	usleep(2000);
	loop_turn(&l, 0);
	assert_true(n > 0 && n < 1000);
	assert_int_equal(t.n, 1);
	for (int i = 0; i < 20 && n < 1000; i++)
		loop_turn(&l, 100);
	assert_int_equal(n, 1000);
	/* what is posted and not run before the end is run by it; later ones are refused */
	for (int i = 0; i < 700; i++)
		assert_int_equal(loop_post_any(&l, add_one, &n), 0);
	assert_int_equal(loop_fini(&l), 0);
	assert_int_equal(n, 1700);
}

struct refuse {
	struct loop *l;
	int e;
};

static void post_again(void *arg)
{
	struct refuse *r = arg;

	r->e = loop_post_any(r->l, post_again, r);
}

static void a_post_at_the_end_is_refused(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {0};
	struct refuse r = {.l = &l};

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	assert_int_equal(loop_post_any(&l, post_again, &r), 0);
	assert_int_equal(loop_fini(&l), 0);
	assert_int_equal(r.e, -ESHUTDOWN);
}

/* ---- hooks ---- */

struct hook {
	struct loop_hook h;
	struct loop *l;
	unsigned n, again;
};

static void on_hook(struct loop_hook *h)
{
	struct hook *k = container_of(h, struct hook, h);

	k->n++;
	if (k->again) {
		k->again--;
		loop_at_turn_end(k->l, h);
	}
}

static void hooks_run_once_at_the_end_of_the_turn(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {0};
	struct hook h = {.h = {.fn = on_hook}, .l = &l};

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	loop_at_turn_end(&l, &h.h);
	loop_at_turn_end(&l, &h.h);
	assert_int_equal(h.n, 0);
	loop_turn(&l, 0);
	assert_int_equal(h.n, 1);
	loop_turn(&l, 0);
	assert_int_equal(h.n, 1);
	loop_at_turn_end(&l, &h.h);
	loop_hook_cancel(&h.h);
	loop_turn(&l, 0);
	assert_int_equal(h.n, 1);
	/* one that schedules itself for ever does not stop the loop from turning, nor is it left waiting */
	h.again = 1000;
	loop_at_turn_end(&l, &h.h);
	for (int i = 0; i < 1000 && h.again; i++)
		loop_turn(&l, -1);
	assert_int_equal(h.n, 1002);
	assert_int_equal(loop_fini(&l), 0);
}

/* what the callbacks of the last turn wanted to send still goes out */
static void on_stop_post(void *arg)
{
	struct hook *h = arg;

	loop_stop(h->l);
	loop_at_turn_end(h->l, &h->h);
}

static void stopping_finishes_the_turn(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {0};
	struct hook h = {.h = {.fn = on_hook}, .l = &l};

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	for (unsigned i = 1; i <= 3; i++) { /* and it can run again */
		assert_int_equal(loop_post_any(&l, on_stop_post, &h), 0);
		loop_run(&l);
		assert_int_equal(h.n, i);
	}
	assert_int_equal(loop_fini(&l), 0);
}

/* ---- watchdog and clock ---- */

struct spender {
	struct fake *f;
	int64_t us;
};

static void spend(void *arg)
{
	struct spender *s = arg;

	s->f->c.mono_us += s->us;
	s->f->c.wall_us += s->us;
}

/* Many quick callbacks keep others waiting as one slow one does. */
static void long_turns_are_counted(void **state)
{
	struct loop l;
	struct fake f = {.c = {1000000, 5000000}};
	struct loop_cfg cfg = {.read_clock = read_fake, .read_ctx = &f};
	struct spender s = {&f, 400};
	static const struct {
		unsigned posts;
		int64_t us;
		unsigned over[3];
	} turns[] = {{1, 400, {0, 0, 0}}, {2, 400, {1, 0, 0}}, {3, 400, {2, 1, 0}}, {13, 400, {3, 2, 1}}, {0, 0, {3, 2, 1}}};

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	for (unsigned i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		s.us = turns[i].us;
		for (unsigned n = 0; n < turns[i].posts; n++)
			assert_int_equal(loop_post_any(&l, spend, &s), 0);
		f.c.mono_us += 100000; /* waiting is no turn */
		loop_turn(&l, 0);
		for (unsigned n = 0; n < 3; n++)
			assert_int_equal(l.counts[LOOP_OVER_500US + n], turns[i].over[n]);
	}
	assert_int_equal(loop_fini(&l), 0);
}

static void takes(struct loop *l, struct fake *f, const char *name, int64_t us)
{
	loop_enter(l, name);
	f->c.mono_us += us;
	f->c.wall_us += us;
	loop_leave(l);
}

static void long_turns_name_what_took_the_longest(void **state)
{
	static const char *const more[LOOP_CULPRITS] = {"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10", "n11",
	    "n12", "n13", "n14", "n15", "n16", "n17", "n18", "n19", "n20", "n21", "n22", "n23", "n24", "n25", "n26", "n27", "n28",
	    "n29", "n30", "n31"};
	struct loop l;
	struct metrics m;
	struct fake f = {.c = {1000000, 5000000}};
	struct loop_cfg cfg = {.metrics = &m, .read_clock = read_fake, .read_ctx = &f};

	(void)state;
	metrics_init(&m);
	assert_int_equal(loop_init(&l, &cfg), 0);
	takes(&l, &f, "quick", 100);
	takes(&l, &f, "udp", 300);
	takes(&l, &f, "tcp", 200);
	loop_turn(&l, 0);
	takes(&l, &f, "tcp", 400); /* not long */
	loop_turn(&l, 0);
	takes(&l, &f, "udp", 501);
	loop_turn(&l, 0);
	takes(&l, &f, "tcp", 700);
	loop_turn(&l, 0);
	assert_int_equal(metrics_get(&m, "loop", "turns_over_500us"), 3);
	assert_int_equal(metrics_get(&m, "loop_long_turns", "udp"), 2);
	assert_int_equal(metrics_get(&m, "loop_long_turns", "tcp"), 1);
	assert_int_equal(metrics_get(&m, "loop_long_turns", "quick"), 0);
	for (unsigned i = 0; i < LOOP_CULPRITS; i++) {
		takes(&l, &f, more[i], 600);
		loop_turn(&l, 0);
	}
	assert_int_equal(metrics_get(&m, "loop_long_turns", "n28"), 1);
	assert_int_equal(metrics_get(&m, "loop_long_turns", "others"), 3);
	assert_int_equal(loop_fini(&l), 0);
	assert_true(list_empty(&m.sets));
}

struct say {
	struct loop_hook hook;
	struct loop *l;
	struct say *then;
	unsigned *order, at;
};

static void on_say(struct loop_hook *h)
{
	struct say *s = container_of(h, struct say, hook);

	s->at = ++*s->order;
	if (s->then)
		loop_at_turn_end(s->l, &s->then->hook);
}

/* whom it wakes may take the core: what was to be sent on this turn has been */
static void what_comes_before_the_wait_comes_last(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {0};
	unsigned order = 0;
	struct say last = {{.fn = on_say}, &l, NULL, &order, 0}, second = last, first = last;

	(void)state;
	first.then = &second;
	assert_int_equal(loop_init(&l, &cfg), 0);
	loop_before_wait(&l, &last.hook);
	loop_before_wait(&l, &last.hook);
	loop_at_turn_end(&l, &first.hook);
	loop_turn(&l, 0);
	assert_int_equal(first.at, 1);
	assert_int_equal(second.at, 2);
	assert_int_equal(last.at, 3);
	loop_before_wait(&l, &last.hook);
	loop_hook_cancel(&last.hook);
	loop_turn(&l, 0);
	assert_int_equal(order, 3);
	assert_int_equal(loop_fini(&l), 0);
}

static void a_slow_callback_is_named_once_in_a_while(void **state)
{
	struct loop l;
	struct logger lg;
	struct fake f = {.c = {1000000, 5000000}};
	struct loop_cfg cfg = {.logger = &lg, .read_clock = read_fake, .read_ctx = &f};

	(void)state;
	assert_int_equal(logger_init(&lg, -1, LOG_INFO), 0);
	assert_int_equal(loop_init(&l, &cfg), 0);
	loop_enter(&l, "quick");
	f.c.mono_us += 50000;
	f.c.wall_us += 50000;
	loop_leave(&l);
	assert_int_equal(l.counts[LOOP_SLOW], 0);
	for (int i = 0; i < 5; i++) {
		loop_enter(&l, "database");
		loop_enter(&l, "inner");
		f.c.mono_us += 70000;
		f.c.wall_us += 70000;
		loop_leave(&l);
		loop_leave(&l);
	}
	assert_int_equal(l.counts[LOOP_SLOW], 5);
	assert_int_equal(l.counts[LOOP_LONGEST_US], 70000);
	assert_int_equal(log_lines(&lg, "slow_callback name=database took_ms=70"), 1);
	assert_int_equal(log_lines(&lg, "slow_callback"), 1);
	f.c.mono_us += 11000000;
	f.c.wall_us += 11000000;
	loop_turn(&l, 0);
	loop_enter(&l, "disk");
	f.c.mono_us += 90000;
	f.c.wall_us += 90000;
	loop_leave(&l);
	assert_int_equal(log_lines(&lg, "name=disk took_ms=90 unsaid=4"), 1);
	assert_int_equal(loop_fini(&l), 0);
	logger_fini(&lg);
}

/* The machine sleeps for an hour: the clock goes on, and what wakes up says so, however long the wait was to be. */
static void what_came_due_while_it_slept_runs_at_once(void **state)
{
	struct loop l;
	struct fake f = {.c = {1000000, 5000000}};
	struct loop_cfg cfg = {.read_clock = read_fake, .read_ctx = &f};
	struct tick t = {.l = &l};
	/* as when its kernel's timer is cancelled: the descriptor is readable */
	const struct itimerspec soon = {.it_value = {.tv_nsec = 50000000}};
	struct timespec from, to;

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	t.stop = true;
	timer_start_ms(&l.timers, &t.t, 1800000, on_tick);
	loop_turn(&l, 0);
	f.wakes_fd = l.set_fd;
	assert_int_equal(timerfd_settime(l.set_fd, 0, &soon, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	loop_run(&l);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_int_equal(t.n, 1);
	assert_true(to.tv_sec - from.tv_sec < 60);
	assert_int_equal(loop_fini(&l), 0);
}

static void a_jump_of_the_wall_clock_is_said_once_and_moves_no_timer(void **state)
{
	struct loop l;
	struct logger lg;
	struct metrics m;
	struct fake f = {.c = {1000000, 5000000}};
	struct loop_cfg cfg = {.logger = &lg, .metrics = &m, .read_clock = read_fake, .read_ctx = &f};
	struct tick t = {.l = &l};

	(void)state;
	assert_int_equal(logger_init(&lg, -1, LOG_INFO), 0);
	metrics_init(&m);
	assert_int_equal(loop_init(&l, &cfg), 0);
	timer_start_ms(&l.timers, &t.t, 1000, on_tick);
	for (int i = 0; i < 100; i++) { /* being slewed: 40 s in 100 steps, no jump */
		f.add_wall_us += 400000;
		loop_turn(&l, 0);
	}
	assert_int_equal(metrics_get(&m, "loop", "clock_jumps"), 0);
	f.add_wall_us += (int64_t)86400 * 1000000;
	for (int i = 0; i < 5; i++)
		loop_turn(&l, 0);
	assert_int_equal(t.n, 0);
	assert_int_equal(log_lines(&lg, "clock_jump code=PSN-E6008 by_ms=86400000"), 1);
	f.add_wall_us -= (int64_t)2 * 86400 * 1000000;
	for (int i = 0; i < 5; i++)
		loop_turn(&l, 0);
	assert_int_equal(log_lines(&lg, "by_ms=-172800000"), 1);
	assert_int_equal(log_lines(&lg, "clock_jump"), 2);
	assert_int_equal(metrics_get(&m, "loop", "clock_jumps"), 2);
	f.c.mono_us += 1002000;
	f.c.wall_us += 1002000;
	loop_turn(&l, 0);
	assert_int_equal(t.n, 1);
	assert_int_equal(loop_fini(&l), 0);
	assert_int_equal(metrics_get(&m, "loop", "clock_jumps"), 0); /* taken off the registry */
	logger_fini(&lg);
}

struct reader {
	struct loop *l;
	uv_poll_t poll;
	int64_t seen_us;
	int fd;
};

static void on_readable(uv_poll_t *h, int status, int events)
{
	struct reader *r = container_of(h, struct reader, poll);
	char c;

	(void)status;
	(void)events;
	loop_enter(r->l, "reader");
	r->seen_us = r->l->clock.mono_us;
	assert_int_equal(read(r->fd, &c, 1), 1);
	loop_leave(r->l);
}

/* after a long wait the first callback sees the new time */
static void the_clock_is_fresh_after_the_wait(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {0};
	struct reader r = {.l = &l};
	struct timespec ts;
	int p[2];

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	assert_int_equal(pipe(p), 0);
	r.fd = p[0];
	assert_int_equal(uv_poll_init(&l.uv, &r.poll, p[0]), 0);
	uv_poll_start(&r.poll, UV_READABLE, on_readable);
	loop_turn(&l, 0);
	usleep(30000);
	clock_gettime(CLOCK_BOOTTIME, &ts);
	assert_int_equal(write(p[1], "x", 1), 1);
	loop_turn(&l, 1000);
	assert_true(r.seen_us >= (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
	uv_close((uv_handle_t *)&r.poll, NULL);
	assert_int_equal(loop_fini(&l), 0);
	close(p[0]);
	close(p[1]);
}

static void read_late(void *ctx, struct clock *c)
{
	uint64_t until = uv_hrtime() + 3000000;

	(void)ctx;
	while (uv_hrtime() < until)
		;
	clock_refresh(c);
}

/* whoever runs it is held up between setting the time of the turn and the wait: the time is over, there is none */
static void a_turn_whose_time_is_over_does_not_wait(void **state)
{
	struct loop l;
	struct loop_cfg cfg = {.read_clock = read_late};

	(void)state;
	assert_int_equal(loop_init(&l, &cfg), 0);
	alarm(20);
	loop_turn(&l, 1);
	alarm(0);
	assert_int_equal(loop_fini(&l), 0);
}

static void a_handle_left_open_is_told(void **state)
{
	struct loop l;
	struct logger lg;
	struct loop_cfg cfg = {.logger = &lg};
	uv_timer_t left;

	(void)state;
	assert_int_equal(logger_init(&lg, -1, LOG_INFO), 0);
	assert_int_equal(loop_init(&l, &cfg), 0);
	uv_timer_init(&l.uv, &left);
	assert_int_equal(loop_fini(&l), -EBUSY);
	assert_int_equal(log_lines(&lg, "handle_left_open type=timer"), 1);
	/* so that the sanitiser has nothing to say */
	uv_close((uv_handle_t *)&left, NULL);
	uv_run(&l.uv, UV_RUN_NOWAIT);
	assert_int_equal(uv_loop_close(&l.uv), 0);
	logger_fini(&lg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(timers_run_at_their_time),
	    cmocka_unit_test(the_wake_up_moves_forward),
	    cmocka_unit_test(an_idle_loop_sleeps),
	    cmocka_unit_test(posts_of_many_threads_run_in_order),
	    cmocka_unit_test(a_batch_of_posts_per_turn),
	    cmocka_unit_test(a_post_at_the_end_is_refused),
	    cmocka_unit_test(hooks_run_once_at_the_end_of_the_turn),
	    cmocka_unit_test(stopping_finishes_the_turn),
	    cmocka_unit_test(a_slow_callback_is_named_once_in_a_while),
	    cmocka_unit_test(long_turns_are_counted),
	    cmocka_unit_test(what_came_due_while_it_slept_runs_at_once),
	    cmocka_unit_test(long_turns_name_what_took_the_longest),
	    cmocka_unit_test(what_comes_before_the_wait_comes_last),
	    cmocka_unit_test(a_jump_of_the_wall_clock_is_said_once_and_moves_no_timer),
	    cmocka_unit_test(the_clock_is_fresh_after_the_wait),
	    cmocka_unit_test(a_turn_whose_time_is_over_does_not_wait),
	    cmocka_unit_test(a_handle_left_open_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
