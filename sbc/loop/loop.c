/* loop.c - the turn.
 *
 * libuv runs: its timers, our prepare callback, the wait, the callbacks of sockets, closing callbacks, and again.
 * The prepare callback is therefore both the end of one turn and the last thing before the wait, and everything
 * that is ours happens there: due timers, then the end-of-turn hooks, then arming.
 *
 * One uv_timer wakes the wait up for the wheel. It is armed anew only when the wheel wants to be woken earlier, or
 * when the old time has passed: under load timers start and stop all the time and the uv_timer stays as it is; the
 * price is a wake-up for nothing when the timer it was armed for was stopped.
 *
 * The uv_timer stands still while the machine sleeps, the wheel's clock does not. A timer of the kernel that is cancelled
 * when the clock is set, which waking up does too, says so: then what came due meanwhile runs, and the wait is armed anew.
 *
 * Posts from other threads go through a ring under a mutex and one waker. A batch of them runs per turn, so that
 * a thread which posts without end delays the sockets only by a batch.
 */
#include "sbc/loop/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "sbc/base/reason.h"

#define SLOW_US 50000
#define JUMP_US 1000000
#define LONG_TURN_US 500
#define PREEMPTED_US 100000 /* how old the count of preemptions may be that a long turn is held against */
#define SLOW_QUIET_US 10000000 /* at most one line about slow callbacks in this time */
#define POST_BATCH 64
#define POST_PER_TURN 256
#define HOOK_ROUNDS 8 /* hooks that schedule hooks: how often in one turn */

static const char *const count_names[LOOP_COUNTS] = {"turns", "posts", "slow_callbacks", "clock_jumps",
    "longest_callback_us", "turns_over_500us", "turns_over_1ms", "turns_over_5ms",
    "turns_over_500us_preempted"};

static void read_clock(struct loop *l)
{
	int64_t offset, jump;
	char code[REASON_CODE_MAX];

	if (l->cfg.read_clock)
		l->cfg.read_clock(l->cfg.read_ctx, &l->clock);
	else
		clock_refresh(&l->clock);
	offset = l->clock.wall_us - l->clock.mono_us;
	jump = offset - l->wall_offset_us;
	l->wall_offset_us = offset; /* also follows a clock that is being slewed */
	if (jump < l->cfg.jump_us && jump > -l->cfg.jump_us)
		return;
	l->counts[LOOP_CLOCK_JUMPS]++;
	log_warn(&l->log, "clock_jump", "code=%s by_ms=%lld", reason_code(REASON_CLOCK_JUMP, code),
	    (long long)(jump / 1000));
}

static void watch(struct loop *l, int64_t took_us)
{
	unsigned unsaid;

	if (took_us > (int64_t)l->counts[LOOP_LONGEST_US])
		l->counts[LOOP_LONGEST_US] = (uint64_t)took_us;
	if (took_us > l->turn_longest_us) {
		l->turn_longest_us = took_us;
		l->turn_longest = l->running;
	}
	if (took_us <= l->cfg.slow_us)
		return;
	l->counts[LOOP_SLOW]++;
	if (log_gate_open(&l->slow_gate, l->clock.mono_us, SLOW_QUIET_US, &unsaid))
		log_warn(&l->log, "slow_callback", "name=%s took_ms=%lld unsaid=%u", l->running, (long long)(took_us / 1000), unsaid);
}

void loop_enter(struct loop *l, const char *name)
{
	if (l->depth++)
		return;
	if (!l->fresh) {
		read_clock(l);
		l->fresh = true;
		l->turn_us = l->clock.mono_us;
	}
	l->entered_us = l->clock.mono_us;
	l->running = name;
}

void loop_leave(struct loop *l)
{
	if (--l->depth)
		return;
	read_clock(l);
	watch(l, l->clock.mono_us - l->entered_us);
}

static void run_timers(struct loop *l)
{
	if (timers_next_us(&l->timers) > l->clock.mono_us)
		return;
	loop_enter(l, "timers");
	timers_advance(&l->timers);
	loop_leave(l);
}

static void run_due(struct list *hooks)
{
	struct list due, *n;

	list_init(&due);
	list_splice(&due, hooks);
	while ((n = list_pop(&due))) {
		struct loop_hook *h = container_of(n, struct loop_hook, node);

		h->fn(h);
	}
}

static void run_hooks(struct loop *l)
{
	if (list_empty(&l->hooks) && list_empty(&l->last_hooks))
		return;
	loop_enter(l, "turn_end");
	for (int i = 0; i < HOOK_ROUNDS && !list_empty(&l->hooks); i++)
		run_due(&l->hooks);
	run_due(&l->last_hooks);
	loop_leave(l);
}

static void on_wake(uv_timer_t *h)
{
	struct loop *l = container_of(h, struct loop, wake);

	l->armed_us = INT64_MAX;
	l->woken = true;
}

static void arm(struct loop *l)
{
	int64_t next = list_empty(&l->hooks) ? timers_next_us(&l->timers) : l->clock.mono_us;
	int64_t wait_us;

	if (next == INT64_MAX || (l->armed_us <= next && l->armed_us > l->clock.mono_us))
		return;
	wait_us = next > l->clock.mono_us ? next - l->clock.mono_us : 0;
	uv_timer_start(&l->wake, on_wake, (uint64_t)(wait_us + 999) / 1000, 0);
	l->armed_us = next;
}

/* ---- the clock is set, or the machine woke up */

static void wait_for_set(const struct loop *l)
{
	const struct itimerspec never = {.it_value = {.tv_sec = (time_t)1 << 32}};

	(void)timerfd_settime(l->set_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

/* How long the machine has slept since the last time this was asked. */
static int64_t slept_us(struct loop *l)
{
	struct timespec boot, mono;
	int64_t before = l->slept_us;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	l->slept_us = (boot.tv_sec - mono.tv_sec) * 1000000ll + (boot.tv_nsec - mono.tv_nsec) / 1000;
	return l->slept_us - before;
}

static void on_set(uv_poll_t *h, int status, int events)
{
	struct loop *l = container_of(h, struct loop, set);
	uint64_t n;
	int64_t us;

	(void)status;
	(void)events;
	loop_enter(l, "clock");
	if (read(l->set_fd, &n, sizeof(n)) < 0 && errno == EAGAIN)
		n = 0;
	wait_for_set(l);
	l->armed_us = INT64_MAX; /* the uv_timer is late by as much as was slept: arm() follows before the wait */
	us = slept_us(l);
	if (us > 1000000)
		log_warn(&l->log, "woke_up", "slept_ms=%lld", (long long)(us / 1000));
	loop_leave(l);
}

static void watch_set(struct loop *l)
{
	(void)slept_us(l);
	l->set_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->set_fd < 0)
		return; /* then it is noticed when the next timer is due */
	wait_for_set(l);
	uv_poll_init(&l->uv, &l->set, l->set_fd);
	uv_poll_start(&l->set, UV_READABLE, on_set);
	uv_unref((uv_handle_t *)&l->set);
}

/* How often the system took the core away from this thread since it was asked last. */
static long preemptions(struct loop *l)
{
	struct rusage r;
	long before = l->preempted;

	if (getrusage(RUSAGE_THREAD, &r) < 0)
		return 0;
	l->preempted = r.ru_nivcsw;
	l->preempted_us = l->clock.mono_us;
	return l->preempted - before;
}

static void blame(struct loop *l)
{
	struct metric_set *m = &l->culprit_metrics;
	const char *name = l->turn_longest ? l->turn_longest : "none";
	unsigned i = 0;

	while (i < m->n && strcmp(l->culprits[i], name) != 0)
		i++;
	if (i == LOOP_CULPRITS)
		i--;
	if (i == m->n) {
		l->culprits[i] = i + 1 < LOOP_CULPRITS ? name : "others";
		m->n++;
	}
	l->culprit_counts[i]++;
}

/* What came in during a turn waited so long at most: no callback alone need be slow for that. */
static void count_turn(struct loop *l)
{
	int64_t took_us = l->clock.mono_us - l->turn_us;

	if (took_us > LONG_TURN_US) {
		l->counts[LOOP_OVER_500US]++;
		l->counts[LOOP_OVER_1MS] += took_us > 1000;
		l->counts[LOOP_OVER_5MS] += took_us > 5000;
		l->counts[LOOP_OVER_PREEMPTED] += preemptions(l) > 0;
		blame(l);
	} else if (l->clock.mono_us - l->preempted_us > PREEMPTED_US) {
		(void)preemptions(l);
	}
	l->turn_longest = NULL;
	l->turn_longest_us = 0;
}

static void finish_turn(struct loop *l)
{
	read_clock(l);
	if (!l->fresh)
		l->turn_us = l->clock.mono_us;
	l->fresh = true;
	run_timers(l);
	run_hooks(l);
	count_turn(l);
	l->fresh = false; /* whoever runs first after the wait reads it anew */
}

static void on_turn(uv_prepare_t *h)
{
	struct loop *l = container_of(h, struct loop, turn);

	l->counts[LOOP_TURNS]++;
	finish_turn(l);
	arm(l);
	/* the time of a single turn may have run out before its wait began: libuv runs timers first */
	if (l->stopping || (l->single && l->woken))
		uv_stop(&l->uv);
}

/* at most max posts; true: some are left */
static bool run_posts(struct loop *l, size_t max)
{
	struct loop_post batch[POST_BATCH];
	bool more = true;

	while (max && more) {
		size_t n = 0;

		pthread_mutex_lock(&l->post_lock);
		while (n < POST_BATCH && n < max && l->post_n) {
			batch[n++] = l->post[l->post_head];
			l->post_head = (l->post_head + 1) & (l->post_cap - 1);
			l->post_n--;
		}
		more = l->post_n > 0;
		pthread_mutex_unlock(&l->post_lock);
		for (size_t i = 0; i < n; i++)
			batch[i].fn(batch[i].arg);
		l->counts[LOOP_POSTS] += n;
		max -= n;
	}
	return more;
}

static void on_posted(struct waker *w)
{
	struct loop *l = container_of(w, struct loop, posted);

	loop_enter(l, "posts");
	if (run_posts(l, POST_PER_TURN))
		waker_wake_any(&l->posted);
	loop_leave(l);
}

static bool post_grow(struct loop *l)
{
	size_t cap = l->post_cap ? l->post_cap * 2 : 64;
	struct loop_post *p = calloc(cap, sizeof(*p));

	if (!p)
		return false;
	for (size_t i = 0; i < l->post_n; i++)
		p[i] = l->post[(l->post_head + i) & (l->post_cap - 1)];
	free(l->post);
	l->post = p;
	l->post_cap = cap;
	l->post_head = 0;
	return true;
}

int loop_post_any(struct loop *l, loop_fn *fn, void *arg)
{
	int e = 0;

	pthread_mutex_lock(&l->post_lock);
	if (l->post_closed) {
		e = -ESHUTDOWN;
	} else if (l->post_n == l->post_cap && !post_grow(l)) {
		e = -ENOMEM;
	} else {
		l->post[(l->post_head + l->post_n) & (l->post_cap - 1)] = (struct loop_post){fn, arg};
		/* under the lock: loop_fini() takes it before it closes the waker */
		if (l->post_n++ == 0)
			waker_wake_any(&l->posted);
	}
	pthread_mutex_unlock(&l->post_lock);
	return e;
}

void loop_at_turn_end(struct loop *l, struct loop_hook *h)
{
	if (!list_linked(&h->node))
		list_push(&l->hooks, &h->node);
}

void loop_before_wait(struct loop *l, struct loop_hook *h)
{
	if (!list_linked(&h->node))
		list_push(&l->last_hooks, &h->node);
}

int loop_init(struct loop *l, const struct loop_cfg *cfg)
{
	int e;

	memset(l, 0, sizeof(*l));
	l->cfg = *cfg;
	if (!l->cfg.slow_us)
		l->cfg.slow_us = SLOW_US;
	if (!l->cfg.jump_us)
		l->cfg.jump_us = JUMP_US;
	l->log = (struct log){.to = cfg->logger, .area = LOG_APP};
	l->armed_us = INT64_MAX;
	list_init(&l->hooks);
	list_init(&l->last_hooks);
	if (cfg->read_clock)
		cfg->read_clock(cfg->read_ctx, &l->clock);
	else
		clock_refresh(&l->clock);
	l->wall_offset_us = l->clock.wall_us - l->clock.mono_us;
	timers_init(&l->timers, &l->clock);
	e = uv_loop_init(&l->uv);
	if (e < 0)
		return e;
	e = waker_init(&l->posted, &l->uv, on_posted);
	if (e < 0) {
		uv_loop_close(&l->uv);
		return e;
	}
	uv_prepare_init(&l->uv, &l->turn);
	uv_prepare_start(&l->turn, on_turn);
	uv_timer_init(&l->uv, &l->wake);
	watch_set(l);
	pthread_mutex_init(&l->post_lock, NULL);
	l->metrics = (struct metric_set){
	    .area = "loop", .names = count_names, .values = l->counts, .n = LOOP_COUNTS};
	l->culprit_metrics =
	    (struct metric_set){.area = "loop_long_turns", .names = l->culprits, .values = l->culprit_counts};
	if (cfg->metrics) {
		metrics_add(cfg->metrics, &l->metrics);
		metrics_add(cfg->metrics, &l->culprit_metrics);
	}
	return 0;
}

static void on_left_open(uv_handle_t *h, void *arg)
{
	struct loop *l = arg;

	if (!uv_is_closing(h))
		log_error(&l->log, "handle_left_open", "type=%s", uv_handle_type_name(h->type));
}

int loop_fini(struct loop *l)
{
	int e;

	pthread_mutex_lock(&l->post_lock);
	l->post_closed = true;
	pthread_mutex_unlock(&l->post_lock);
	while (run_posts(l, POST_PER_TURN))
		;
	run_hooks(l);
	waker_close(&l->posted, NULL);
	uv_close((uv_handle_t *)&l->turn, NULL);
	uv_close((uv_handle_t *)&l->wake, NULL);
	if (l->set_fd >= 0)
		uv_close((uv_handle_t *)&l->set, NULL);
	/* closing callbacks may close more; each run does one round of them */
	for (int i = 0; i < 16 && uv_loop_alive(&l->uv); i++)
		uv_run(&l->uv, UV_RUN_NOWAIT);
	if (l->set_fd >= 0)
		close(l->set_fd);
	l->set_fd = -1;
	e = uv_loop_close(&l->uv);
	if (e < 0)
		uv_walk(&l->uv, on_left_open, l);
	metrics_del(&l->metrics);
	metrics_del(&l->culprit_metrics);
	pthread_mutex_destroy(&l->post_lock);
	free(l->post);
	l->post = NULL;
	return e;
}

void loop_run(struct loop *l)
{
	uv_run(&l->uv, UV_RUN_DEFAULT);
	/* the last wait found sockets ready; what their callbacks wanted to send goes out */
	finish_turn(l);
	l->stopping = false;
}

void loop_turn(struct loop *l, int wait_ms)
{
	if (wait_ms == 0) {
		uv_run(&l->uv, UV_RUN_NOWAIT);
	} else {
		if (wait_ms > 0) {
			uv_update_time(&l->uv);
			uv_timer_start(&l->wake, on_wake, (uint64_t)wait_ms, 0);
			read_clock(l);
			l->armed_us = l->clock.mono_us + (int64_t)wait_ms * 1000;
		}
		l->woken = false;
		l->single = true;
		uv_run(&l->uv, UV_RUN_ONCE);
		l->single = false;
	}
	finish_turn(l);
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}
