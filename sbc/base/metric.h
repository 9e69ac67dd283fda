/* metric.h - named counters. A room declares an enum and a name table; the values live in its own state. */
#ifndef SBC_BASE_METRIC_H
#define SBC_BASE_METRIC_H

#include "sbc/base/list.h"

/* One room's counters, hung into the registry so that the CLI can print them all. */
struct metric_set {
	struct list node;
	const char *area;         /* "txn" */
	const char *const *names; /* n of them */
	const uint64_t *values;   /* written by one thread; readers accept a torn moment, not a torn word */
	unsigned n;
};

struct metrics {
	struct list sets;
};

void metrics_init(struct metrics *m);
void metrics_add(struct metrics *m, struct metric_set *set);
void metrics_del(struct metric_set *set);
/* the value of "area.name", or 0 */
uint64_t metrics_get(const struct metrics *m, const char *area, const char *name);

#endif
