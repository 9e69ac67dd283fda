/* loop.h - the signalling thread's heart: one libuv loop, one clock, one timer wheel.
 *
 * A turn is: wait for the kernel, run the callbacks of what is ready, run due timers, run the end-of-turn hooks
 * (batches go out), wait again. The clock is read when the turn wakes and again after each callback, never in
 * between, so all of one message is handled at one time.
 *
 * Every libuv callback on this loop begins with loop_enter() and ends with loop_leave(): this is what refreshes
 * the clock after the wait and what lets the watchdog name a callback that held the others up. `postern metrics loop`
 * counts long turns, `postern metrics loop_long_turns` says which callback took the longest of each.
 */
#ifndef SBC_LOOP_LOOP_H
#define SBC_LOOP_LOOP_H

#include <uv.h>

#include "sbc/base/log.h"
#include "sbc/base/metric.h"
#include "sbc/loop/timers.h"
#include "sbc/loop/waker.h"

struct loop;

typedef void loop_fn(void *arg);

/* Embedded in its owner. Zeroed memory is a hook that is not scheduled. */
struct loop_hook {
	struct list node;
	void (*fn)(struct loop_hook *h);
};

enum loop_count {
	LOOP_TURNS,       /* waits for the kernel */
	LOOP_POSTS,       /* functions run for other threads */
	LOOP_SLOW,        /* callbacks that took longer than slow_us */
	LOOP_CLOCK_JUMPS, /* jumps of the wall clock */
	LOOP_LONGEST_US,  /* the longest callback so far */
	LOOP_OVER_500US,  /* turns that kept others waiting for longer */
	LOOP_OVER_1MS,
	LOOP_OVER_5MS,
	LOOP_OVER_PREEMPTED, /* of those over 500 us: the system had just taken the core away from this thread */
	LOOP_COUNTS
};

#define LOOP_CULPRITS 32

struct loop_cfg {
	struct logger *logger;   /* NULL logs nowhere */
	struct metrics *metrics; /* NULL: not registered */
	int64_t slow_us;         /* a callback that takes longer is named in the log; 0: 50 ms */
	int64_t jump_us;         /* how far the wall clock must leave the other one to be a jump; 0: 1 s */
	/* NULL: clock_refresh(). For tests. */
	void (*read_clock)(void *ctx, struct clock *c);
	void *read_ctx;
};

struct loop_post {
	loop_fn *fn;
	void *arg;
};

/* Open so that it can be embedded; written by loop.c alone, clock and timers are for everybody. */
struct loop {
	uv_loop_t uv;
	struct clock clock;
	struct timers timers;

	struct loop_cfg cfg;
	struct log log;
	uint64_t counts[LOOP_COUNTS];
	struct metric_set metrics;
	uv_prepare_t turn;
	uv_timer_t wake;
	uv_poll_t set;    /* of set_fd: readable when the clock was set, or the machine woke up */
	int set_fd;       /* own; -1: the kernel has none */
	int64_t slept_us; /* by the machine, all in all */
	struct waker posted;
	int64_t armed_us; /* when wake is due, INT64_MAX: not armed */
	struct list hooks, last_hooks;
	bool fresh; /* the clock was read since the last wait */
	bool stopping;
	bool single, woken; /* within loop_turn(); wake fired in it */
	unsigned depth;      /* loop_enter() without its loop_leave() */
	const char *running; /* name given to loop_enter() */
	int64_t entered_us;
	int64_t turn_us; /* when this turn's wait was over */
	const char *turn_longest; /* the callback that took the longest of this turn, NULL: none yet */
	int64_t turn_longest_us;
	long preempted;       /* of this thread, by the system's count, when it was read last */
	int64_t preempted_us; /* when that was */
	/* turns over 500 us, by the name of the callback that took the longest of each; the last are all further names */
	const char *culprits[LOOP_CULPRITS];
	uint64_t culprit_counts[LOOP_CULPRITS];
	struct metric_set culprit_metrics;
	int64_t wall_offset_us;      /* wall - mono at the last reading */
	struct log_gate slow_gate; /* lines about slow callbacks */

	pthread_mutex_t post_lock;
	struct loop_post *post; /* own: ring of post_cap, a power of two */
	size_t post_cap, post_head, post_n;
	bool post_closed;
};

/* 0 or -errno. The loop must not be moved after this. */
MUST_USE int loop_init(struct loop *l, const struct loop_cfg *cfg);
/* Every handle that others opened on l->uv must have been closed (uv_close called) before. Functions posted and
 * not yet run are run here. Returns 0, or -EBUSY when somebody left a handle open (it is logged). */
int loop_fini(struct loop *l);

/* Runs until loop_stop(). Hooks and timers that are due when it stops have been run when it returns. */
void loop_run(struct loop *l);
/* One turn: waits at most wait_ms (-1: until something happens), for tests and for the end of the daemon. */
void loop_turn(struct loop *l, int wait_ms);
/* The turn that is running becomes the last one. Of the loop's thread; others post it. */
void loop_stop(struct loop *l);

/* Any thread: fn(arg) will run on the loop's thread, in the order of posting. 0, -ENOMEM, or -ESHUTDOWN after
 * loop_fini() began; on failure arg stays the caller's. */
MUST_USE int loop_post_any(struct loop *l, loop_fn *fn, void *arg);

/* h->fn(h) runs once at the end of this turn, before the next wait; scheduled twice it runs once. */
void loop_at_turn_end(struct loop *l, struct loop_hook *h);
/* As the last thing before the wait, when all that is due has been sent. For waking other threads: who shares this core
 * with one of them may lose it at once. */
void loop_before_wait(struct loop *l, struct loop_hook *h);
static inline void loop_hook_cancel(struct loop_hook *h)
{
	list_del(&h->node);
}

/* Around the body of every libuv callback; name is a literal. May nest (the outer name counts). */
void loop_enter(struct loop *l, const char *name);
void loop_leave(struct loop *l);

#endif
