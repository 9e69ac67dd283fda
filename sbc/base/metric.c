/* metric.c - the registry of counters. */
#include "sbc/base/metric.h"

void metrics_init(struct metrics *m)
{
	list_init(&m->sets);
}

void metrics_add(struct metrics *m, struct metric_set *set)
{
	list_push(&m->sets, &set->node);
}

void metrics_del(struct metric_set *set)
{
	list_del(&set->node);
}

uint64_t metrics_get(const struct metrics *m, const char *area, const char *name)
{
	for (const struct list *l = m->sets.next; l != &m->sets; l = l->next) {
		const struct metric_set *set = container_of((struct list *)l, struct metric_set, node);

		if (strcmp(set->area, area) != 0)
			continue;
		for (unsigned i = 0; i < set->n; i++)
			if (strcmp(set->names[i], name) == 0)
				return set->values[i];
	}
	return 0;
}
