/* trunks.c - run-time state of trunks: calls in progress, starts per second, outcome.
 *
 * Keyed by the trunk's database id, so it outlives policy snapshots. A limit is checked and taken in one step
 * before leg B exists (B2B-11); a trunk's own limit never answers 503 (OVL-02).
 */
#include "sbc/b2b/internal.h"

#include <stdlib.h>

struct trunk_rt {
	struct hnode node;
	uint32_t id;
	struct b2b_trunk_info info;
	int64_t second; /* the one that starts_last_s counts */
	uint32_t capture_next; /* so many calls to come are captured */
	uint8_t capture;       /* enum media_capture */
};

/* Ids are given by us, one after the other: each is its own hash. */
static struct trunk_rt *find(const struct b2b *b, uint32_t id)
{
	struct hnode *n = htab_first(&b->trunks, id);

	for (; n; n = htab_next(n)) {
		struct trunk_rt *t = container_of(n, struct trunk_rt, node);

		if (t->id == id)
			return t;
	}
	return NULL;
}

struct trunk_rt *trunk_rt(struct b2b *b, uint32_t id)
{
	struct trunk_rt *t = find(b, id);

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->id = id;
	htab_add(&b->trunks, &t->node, id);
	return t;
}

static void roll(const struct b2b *b, struct trunk_rt *t)
{
	int64_t second = b->env->clock->mono_us / 1000000;

	if (second != t->second) {
		t->second = second;
		t->info.starts_last_s = 0;
	}
}

enum reason trunk_take(struct b2b *b, const struct pol_trunk *pol, bool in)
{
	struct trunk_rt *t = trunk_rt(b, pol->id);

	if (!t)
		return REASON_NO_MEMORY;
	roll(b, t);
	if (pol->max_calls && t->info.calls >= pol->max_calls)
		return REASON_LIMIT_CALLS;
	if (pol->max_cps && t->info.starts_last_s >= pol->max_cps)
		return REASON_LIMIT_CPS;
	t->info.calls++;
	t->info.starts_last_s++;
	if (in)
		t->info.calls_in++;
	else
		t->info.calls_out++;
	return REASON_NONE;
}

void trunk_put(struct b2b *b, uint32_t id)
{
	struct trunk_rt *t = find(b, id);

	if (t && t->info.calls)
		t->info.calls--;
}

void trunk_note(struct b2b *b, uint32_t id, enum reason why)
{
	struct trunk_rt *t = find(b, id);

	if (!t)
		return;
	if (why == REASON_NONE) {
		t->info.answered++;
		return;
	}
	t->info.failed++;
	t->info.last_failure = why;
	t->info.last_failure_us = b->env->clock->mono_us;
}

/* Targets of which no address may be used now. */
static unsigned targets_down(const struct b2b *b, uint32_t trunk_id)
{
	struct target_addr_view v;
	struct target_view target;
	unsigned down = 0;

	for (unsigned i = 0; targets_view(b->targets, trunk_id, i, &target); i++) {
		unsigned n = 0, dead = 0;

		for (; targets_addr_view(b->targets, trunk_id, i, n, &v); n++)
			dead += v.state == TARGET_DOWN;
		down += n && dead == n;
	}
	return down;
}

void b2b_trunk_info(const struct b2b *b, uint32_t trunk_id, struct b2b_trunk_info *ret)
{
	struct trunk_rt *t = find(b, trunk_id);

	memset(ret, 0, sizeof(*ret));
	if (t) {
		roll(b, t);
		*ret = t->info;
	}
	ret->targets_down = targets_down(b, trunk_id);
}

enum reason b2b_capture_next(struct b2b *b, uint32_t trunk_id, unsigned n, enum media_capture mode)
{
	struct trunk_rt *t = trunk_rt(b, trunk_id);
	enum reason why = n && mode ? media_capture_start(b->media) : REASON_NONE;

	if (why != REASON_NONE || !t)
		return why != REASON_NONE ? why : REASON_NO_MEMORY;
	t->capture_next = mode ? n : 0;
	t->capture = (uint8_t)mode;
	return REASON_NONE;
}

void trunk_capture(struct call *c, uint32_t trunk_id)
{
	struct trunk_rt *t = find(c->b2b, trunk_id);

	if (!t || !t->capture_next || media_captures(c->media) != MEDIA_CAPTURE_OFF ||
	    media_capture(c->media, (enum media_capture)t->capture, c->id) != REASON_NONE)
		return;
	t->capture_next--;
	log_warn(&c->log, "call_captured", "left=%u", t->capture_next);
}

void trunks_free(struct b2b *b)
{
	struct hnode *n = htab_walk(&b->trunks, NULL), *next;

	for (; n; n = next) {
		next = htab_walk(&b->trunks, n);
		htab_del(&b->trunks, n);
		free(container_of(n, struct trunk_rt, node));
	}
	htab_fini(&b->trunks);
}
