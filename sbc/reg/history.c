/* history.c - the ring. */
#include "sbc/reg/history.h"

#include <stdlib.h>

#include "sbc/base/buf.h"

struct reg_history {
	unsigned max;
	uint64_t n; /* ever */
	struct reg_event e[];
};

struct reg_history *reg_history_new(unsigned max)
{
	struct reg_history *h = calloc(1, sizeof(*h) + max * sizeof(h->e[0]));

	if (h)
		h->max = max;
	return h;
}

void reg_history_free(struct reg_history *h)
{
	free(h);
}

bool reg_history_note(struct reg_history *h, int64_t wall_us, uint32_t trunk_id, const struct reg_contact *c, enum reason why)
{
	uint64_t kept = h->n < h->max ? h->n : h->max;
	struct reg_event *e;
	struct buf b;

	/* a refresh: it began to be registered earlier */
	if (why == REASON_NONE && c && c->since_wall_us != wall_us)
		return false;
	for (uint64_t k = 0; k < kept && why != REASON_NONE; k++) {
		e = &h->e[(h->n - 1 - k) % h->max];
		if (wall_us - e->wall_us >= 60000000 || wall_us < e->wall_us)
			break;
		if (e->trunk_id == trunk_id && e->why == why && !c)
			return false;
	}
	e = &h->e[h->n++ % h->max];
	*e = (struct reg_event){.wall_us = wall_us, .trunk_id = trunk_id, .why = why};
	if (!c)
		return true;
	e->from = c->flow.remote;
	buf_init(&b, e->contact, sizeof(e->contact) - 1);
	buf_escaped(&b, c->uri, 88);
	e->contact[b.err ? 0 : b.n] = '\0';
	return true;
}

const struct reg_event *reg_history_at(const struct reg_history *h, uint32_t trunk_id, unsigned i)
{
	uint64_t kept = h->n < h->max ? h->n : h->max;

	for (uint64_t k = 0; k < kept; k++) {
		const struct reg_event *e = &h->e[(h->n - 1 - k) % h->max];

		if (trunk_id && e->trunk_id != trunk_id)
			continue;
		if (i-- == 0)
			return e;
	}
	return NULL;
}
