/* client_ask.c - what calls and the command line ask of our registrations. */
#include "sbc/reg/client_internal.h"

bool reg_client_holds(const struct reg_clients *cs, uint32_t trunk_id)
{
	struct reg_client_way ways[REG_FLOWS_MAX];

	return reg_client_ways(cs, trunk_id, ways) > 0;
}

unsigned reg_client_ways(const struct reg_clients *cs, uint32_t trunk_id, struct reg_client_way ways[REG_FLOWS_MAX])
{
	const struct account *a = account_find(cs, trunk_id);
	unsigned n = 0;

	for (int down = 0; a && down < 2; down++) {
		for (unsigned i = 0; i < REG_FLOWS_MAX; i++) {
			const struct client *c = a->flow[i];

			if (!c || !client_holds(c) || (c->down || c->suspect) != (down != 0))
				continue;
			ways[n++] = (struct reg_client_way){.path = c->at,
			    .route = str_n(c->route, c->route_n),
			    .up = !down,
			    .outbound = a->outbound == OUTBOUND_ACCEPTED};
		}
	}
	return n;
}

bool reg_client_moves(const struct reg_clients *cs, uint32_t trunk_id)
{
	const struct account *a = account_find(cs, trunk_id);
	bool moves = false;

	for (unsigned i = 0; a && i < REG_FLOWS_MAX; i++) {
		const struct client *c = a->flow[i];

		if (!c || !client_runs(c) || c->state == REG_CLIENT_REMOVING)
			continue;
		if (client_holds(c) && !c->down && !c->suspect)
			return false;
		moves = moves || c->cli ||
		        (timer_running(&c->timer) && c->timer.due_us - cs->env->clock->mono_us < SOON_US);
	}
	return moves;
}

uint32_t reg_client_of_cookie(const struct reg_clients *cs, struct str cookie)
{
	struct hnode *n = htab_first(&cs->by_cookie, hash_str(&cs->env->hash_key, cookie));

	for (; n; n = htab_next(n)) {
		const struct client *c = container_of(n, struct client, by_cookie);

		if (str_eq(str_z(c->cookie), cookie))
			return c->id;
	}
	return 0;
}

bool reg_client_view(const struct reg_clients *cs, uint32_t trunk_id, unsigned reg_id, struct reg_client_view *ret)
{
	const struct account *a = account_find(cs, trunk_id);
	const struct client *c = a && reg_id >= 1 && reg_id <= REG_FLOWS_MAX ? a->flow[reg_id - 1] : NULL;

	if (!c)
		return false;
	*ret = (struct reg_client_view){.reg_id = c->reg_id,
	    .outbound = a->outbound == OUTBOUND_ACCEPTED,
	    .down = c->down,
	    .pinged = c->kept,
	    .instance = client_outbound(c) ? str_z(a->instance) : STR_NONE,
	    .state = c->state,
	    .why = c->why,
	    .bulk = client_bulk(c),
	    .fallback = a->plain,
	    .at = c->at,
	    .holds = client_holds(c),
	    .expires_us = c->expires_us,
	    .next_us = timer_running(&c->timer) ? c->timer.due_us : 0,
	    .since_wall_us = c->since_wall_us,
	    .registered_wall_us = c->registered_wall_us,
	    .asked_s = c->ask_s,
	    .granted_s = c->granted_s,
	    .status = c->status,
	    .failures = c->fails,
	    .sent = c->sent,
	    .accepted = c->accepted,
	    .events = c->events,
	    .aor = str_n(c->aor, c->aor_n),
	    .contact = str_n(c->contact, c->contact_n),
	    .route = str_n(c->route, c->route_n),
	    .call_id = str_z(c->call_id),
	    .realm = str_n(c->realm, c->realm_n)};
	return true;
}
