/* link.c - registrations at providers that follow those of PBXs (trunk setting reg-link).
 *
 * Some providers send the calls of a customer elsewhere when he is not registered. So we are registered there only while
 * the PBX is registered with us. What changed is looked at a moment later, when the bindings have changed too; only a
 * change of that acts, so an operator's unregister stays until the PBX comes or goes.
 */
#include "sbc/app/app.h"

#include <stdlib.h>

#define SETTLE_MS 20

struct app_link {
	uint32_t itsp, pbx;
	bool down; /* taken back by us, because the PBX is gone */
};

static bool is_there(const struct app *a, uint32_t pbx)
{
	const struct bindings *bs = reg_bindings(a->reg);
	const struct reg_contact *c = bindings_next(bs, pbx, STR_NONE, NULL);

	if (c)
		return true;
	/* none of its own address: perhaps numbers that registered one by one */
	for (c = bindings_walk(bs, NULL); c; c = bindings_walk(bs, c))
		if (c->trunk_id == pbx)
			return true;
	return false;
}

static void look(struct app *a)
{
	for (unsigned i = 0; i < a->n_links; i++) {
		struct app_link *l = &a->links[i];
		bool there = is_there(a, l->pbx);

		if (there != l->down)
			continue;
		l->down = !there;
		log_info(&a->log, "reg_link", "itsp=%u pbx=%u %s", l->itsp, l->pbx, there ? "registers" : "unregisters");
		if (there)
			(void)reg_client_register(a->clients, l->itsp);
		else
			(void)reg_client_unregister(a->clients, l->itsp);
	}
}

static void on_settled(struct timer *t)
{
	look(container_of(t, struct app, link_timer));
}

void app_link_changed(struct app *a)
{
	if (a->n_links && !timer_running(&a->link_timer))
		timer_start_ms(&a->loop.timers, &a->link_timer, SETTLE_MS, on_settled);
}

void app_link_follow(struct app *a)
{
	const struct policy *p = b2b_policy(a->b2b);
	struct app_link *links = calloc(policy_trunk_count(p) + 1, sizeof(*links));
	unsigned n = 0;

	if (!links)
		return; /* those there were stay */
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);

		if (!t->link)
			continue;
		links[n] = (struct app_link){.itsp = t->id, .pbx = t->link->id};
		for (unsigned k = 0; k < a->n_links; k++)
			if (a->links[k].itsp == t->id)
				links[n].down = a->links[k].down;
		n++;
	}
	/* one that is not linked any more registers by itself */
	for (unsigned k = 0; k < a->n_links; k++) {
		const struct pol_trunk *t = policy_trunk(p, a->links[k].itsp);

		if (a->links[k].down && t && !t->link)
			(void)reg_client_register(a->clients, t->id);
	}
	free(a->links);
	a->links = links;
	a->n_links = n;
	look(a);
}

void app_link_free(struct app *a)
{
	timer_stop(&a->loop.timers, &a->link_timer);
	free(a->links);
	a->links = NULL;
	a->n_links = 0;
}
