/* timers.c - the wheel.
 *
 * Level 0 has a slot per tick, level k a slot per 256^k ticks. A timer sits in the lowest level whose span
 * reaches it and is put down a level ("cascade") when the ticks below its slot begin. Ticks are 1024 us, so
 * that the division is a shift. Timers beyond the top level (about 50 days) wait in its last slot and are put
 * in again when it comes round.
 */
#include "sbc/loop/timers.h"

#include <time.h>

#define SHIFT 10

void clock_refresh(struct clock *c)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	c->mono_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	clock_gettime(CLOCK_REALTIME, &ts);
	c->wall_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void timers_init(struct timers *w, const struct clock *clock)
{
	memset(w, 0, sizeof(*w));
	w->clock = clock;
	w->tick = (uint64_t)clock->mono_us >> SHIFT;
	for (int l = 0; l < TIMERS_LEVELS; l++)
		for (int s = 0; s < TIMERS_SLOTS; s++)
			list_init(&w->slot[l][s]);
}

static void place(struct timers *w, struct timer *t, bool cascading)
{
	uint64_t due = ((uint64_t)t->due_us + (1u << SHIFT) - 1) >> SHIFT, delta;
	unsigned level = 0, s;

	if (due < w->tick)
		due = w->tick;
	delta = due - w->tick;
	while (level < TIMERS_LEVELS - 1 && delta >= (uint64_t)1 << (8 * (level + 1)))
		level++;
	if (delta >= (uint64_t)1 << (8 * TIMERS_LEVELS))
		due = w->tick + ((uint64_t)1 << (8 * TIMERS_LEVELS)) - 1;
	s = (unsigned)(due >> (8 * level)) & (TIMERS_SLOTS - 1);
	if (cascading)
		list_push_front(&w->slot[level][s], &t->node);
	else
		list_push(&w->slot[level][s], &t->node);
	w->used[level][s / 64] |= (uint64_t)1 << (s % 64);
}

void timer_start_us(struct timers *w, struct timer *t, int64_t delay_us, timer_fn *fn)
{
	timer_stop(w, t);
	if (delay_us < 0)
		delay_us = 0;
	else if (delay_us > TIMERS_FOREVER_US)
		delay_us = TIMERS_FOREVER_US;
	t->due_us = w->clock->mono_us + delay_us;
	t->fn = fn;
	w->n++;
	place(w, t, false);
}

void timer_stop(struct timers *w, struct timer *t)
{
	if (!timer_running(t))
		return;
	list_del(&t->node);
	w->n--;
}

/* A timer that comes down was started before any that was put into its new slot directly (it was farther away
 * then), so it goes before them: last first, each to the front. */
static void cascade(struct timers *w, unsigned level)
{
	unsigned s = (unsigned)(w->tick >> (8 * level)) & (TIMERS_SLOTS - 1);
	struct list all;

	if (s == 0 && level + 1 < TIMERS_LEVELS)
		cascade(w, level + 1);
	list_init(&all);
	list_splice(&all, &w->slot[level][s]);
	w->used[level][s / 64] &= ~((uint64_t)1 << (s % 64));
	while (!list_empty(&all)) {
		struct list *n = all.prev;

		list_del(n);
		place(w, container_of(n, struct timer, node), true);
	}
}

/* How many slots after s (1..256, the last being s itself, one turn on) the first used one of a level is; 0: none. */
static unsigned used_after(const uint64_t used[TIMERS_SLOTS / 64], unsigned s)
{
	for (unsigned i = 0; i < TIMERS_SLOTS / 64; i++) {
		unsigned at = (s + 1 + i * 64) & (TIMERS_SLOTS - 1), word = at / 64, bit = at % 64;
		uint64_t m = used[word] >> bit;

		/* 64 slots that begin in the middle of a word and end in the next one */
		if (bit)
			m |= used[(word + 1) % (TIMERS_SLOTS / 64)] << (64 - bit);
		if (m)
			return 1 + i * 64 + (unsigned)__builtin_ctzll(m);
	}
	return 0;
}

/* The first tick, from w->tick on, at which a slot of some level begins that may hold a timer: nothing has to be
 * done before. UINT64_MAX: never. */
static uint64_t next_tick(const struct timers *w)
{
	uint64_t first = UINT64_MAX;

	if (w->n == 0)
		return UINT64_MAX;
	for (unsigned l = 0; l < TIMERS_LEVELS; l++) {
		/* tick itself is still to be run at level 0; above, its slot has come down already */
		uint64_t at = l == 0 ? w->tick - 1 : w->tick >> (8 * l);
		unsigned d = used_after(w->used[l], (unsigned)at & (TIMERS_SLOTS - 1));

		if (d && (at + d) << (8 * l) < first)
			first = (at + d) << (8 * l);
	}
	return first;
}

/* Nothing may be skipped: tick is at most next_tick(). */
static void go_to(struct timers *w, uint64_t tick)
{
	w->tick = tick;
	if ((tick & (TIMERS_SLOTS - 1)) == 0)
		cascade(w, 1);
}

static void run_slot(struct timers *w)
{
	unsigned s = (unsigned)w->tick & (TIMERS_SLOTS - 1);
	struct list *l = &w->slot[0][s], due, *n;

	/* handlers may start timers for this very tick; those run on the next one */
	list_init(&due);
	list_splice(&due, l);
	w->used[0][s / 64] &= ~((uint64_t)1 << (s % 64));
	go_to(w, w->tick + 1);
	while ((n = list_pop(&due))) {
		struct timer *t = container_of(n, struct timer, node);

		w->n--;
		t->fn(t);
	}
}

void timers_advance(struct timers *w)
{
	uint64_t now = (uint64_t)w->clock->mono_us >> SHIFT;

	while (w->tick <= now) {
		uint64_t next = next_tick(w);

		if (next > now)
			go_to(w, now + 1);
		else if (next > w->tick)
			go_to(w, next);
		else
			run_slot(w);
	}
}

int64_t timers_next_us(const struct timers *w)
{
	uint64_t next = next_tick(w);

	return next == UINT64_MAX ? INT64_MAX : (int64_t)(next << SHIFT);
}
