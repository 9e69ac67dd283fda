/* timers.h - hierarchical timer wheel: start and stop O(1), one tick is 1.024 ms.
 *
 * A timer never fires early and at most one tick late. Order among timers due in one tick is the order in
 * which they were started. The wheel is pure: the loop (or the simulation) calls timers_advance().
 */
#ifndef SBC_LOOP_TIMERS_H
#define SBC_LOOP_TIMERS_H

#include "sbc/base/list.h"
#include "sbc/loop/clock.h"

struct timer;
typedef void timer_fn(struct timer *t);

/* Embedded in its owner and found back with container_of. Zeroed memory is a stopped timer. */
struct timer {
	struct list node;
	int64_t due_us;
	timer_fn *fn;
};

/* longer delays are cut to this (about 146 thousand years) */
#define TIMERS_FOREVER_US ((int64_t)1 << 62)

#define TIMERS_LEVELS 4
#define TIMERS_SLOTS 256

struct timers {
	const struct clock *clock; /* borrow: process */
	uint64_t tick;             /* next tick to run */
	unsigned n;                /* running timers */
	struct list slot[TIMERS_LEVELS][TIMERS_SLOTS];
	uint64_t used[TIMERS_LEVELS][TIMERS_SLOTS / 64]; /* may be set for an empty slot */
};

void timers_init(struct timers *w, const struct clock *clock);
/* restarts a running timer; delay_us < 0 counts as 0 */
void timer_start_us(struct timers *w, struct timer *t, int64_t delay_us, timer_fn *fn);
static inline void timer_start_ms(struct timers *w, struct timer *t, int64_t delay_ms, timer_fn *fn)
{
	if (delay_ms < 0)
		delay_ms = 0;
	else if (delay_ms > TIMERS_FOREVER_US / 1000)
		delay_ms = TIMERS_FOREVER_US / 1000;
	timer_start_us(w, t, delay_ms * 1000, fn);
}
void timer_stop(struct timers *w, struct timer *t);
static inline bool timer_running(const struct timer *t)
{
	return list_linked(&t->node);
}
/* Runs all timers due at clock->mono_us. A handler may start and stop any timer, its own too. */
void timers_advance(struct timers *w);
/* When timers_advance() should be called next: mono_us, never later than the first due timer's tick; may be
 * earlier. INT64_MAX when no timer runs. */
int64_t timers_next_us(const struct timers *w);

#endif
