/* client_ask.c - what calls and the command line ask of our registrations. */
#include "sbc/reg/client_internal.h"

#include <errno.h>

#include "sbc/reg/gin.h"

bool reg_client_holds(const struct reg_clients *cs, uint32_t trunk_id)
{
	const struct account *a = account_find(cs, trunk_id);

	for (const struct client *c = a ? account_next(a, NULL) : NULL; c; c = account_next(a, c))
		if (client_holds(c))
			return true;
	return false;
}

static bool is_up(const struct client *c)
{
	return !c->down && !c->suspect;
}

static bool add_way(const struct client *c, struct reg_client_way *ways, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (ways[i].path.proto == c->at.proto && addr_eq(&ways[i].path.remote, &c->at.remote))
			return false;
	ways[n] = (struct reg_client_way){.path = c->at,
	    .route = str_n(c->route, c->route_n),
	    .up = is_up(c),
	    .outbound = c->account->outbound == OUTBOUND_ACCEPTED};
	return true;
}

unsigned reg_client_ways(
    const struct reg_clients *cs, uint32_t trunk_id, struct str number, struct reg_client_way ways[REG_FLOWS_MAX])
{
	const struct account *a = account_find(cs, trunk_id);
	const struct client *own = a && a->n_numbers && number.n ? number_find(cs, trunk_id, number) : NULL;
	unsigned n = 0, max = a && a->n_numbers && number.n ? 1 : REG_FLOWS_MAX;

	if (own && client_holds(own)) {
		(void)add_way(own, ways, 0);
		return 1;
	}
	for (int up = 1; a && up >= 0; up--)
		for (const struct client *c = account_next(a, NULL); c && n < max; c = account_next(a, c))
			if (client_holds(c) && is_up(c) == (up != 0))
				n += add_way(c, ways, n);
	return n;
}

bool reg_client_moves(const struct reg_clients *cs, uint32_t trunk_id, struct str number)
{
	const struct account *a = account_find(cs, trunk_id);
	const struct client *own = a && a->n_numbers && number.n ? number_find(cs, trunk_id, number) : NULL;
	bool moves = false;

	for (const struct client *c = own ? own : a ? account_next(a, NULL) : NULL; c; c = own ? NULL : account_next(a, c)) {
		if (!client_runs(c) || c->state == REG_CLIENT_REMOVING)
			continue;
		if (client_holds(c) && is_up(c))
			return false;
		moves = moves || c->cli ||
		        (timer_running(&c->timer) && c->timer.due_us - cs->env->clock->mono_us < SOON_US);
	}
	return moves;
}

/* A registration that holds and has a GRUU */
static const struct client *with_gruu(const struct reg_clients *cs, uint32_t trunk_id, struct sip_uri *ret)
{
	const struct account *a = account_find(cs, trunk_id);

	for (unsigned i = 0; a && i < REG_FLOWS_MAX; i++) {
		const struct client *c = a->flow[i];

		if (c && c->gruu_n && client_holds(c) && sip_uri_parse(str_n(c->gruu, c->gruu_n), ret) == 0)
			return c;
	}
	return NULL;
}

int reg_client_gruu(const struct reg_clients *cs, uint32_t trunk_id, struct str number, struct str sg, struct buf *ret)
{
	struct sip_uri u;

	return with_gruu(cs, trunk_id, &u) ? gin_expand(&u, number, sg, ret) : -ENOENT;
}

/* What PAs are made with: the box's secret, for this alone. */
static struct gin_secret pa_secret(const struct reg_clients *cs)
{
	struct gin_secret s;

	memcpy(s.key, cs->secret.key, sizeof(s.key));
	s.key[0] ^= 0x5a; /* instance names come from the other one */
	return s;
}

int reg_client_temp_gruu(const struct reg_clients *cs, uint32_t trunk_id, struct str gr, struct buf *ret)
{
	struct sip_uri u;
	const struct client *c = with_gruu(cs, trunk_id, &u);
	struct gin_secret pa = pa_secret(cs);
	struct gin_rsa *key;
	int e;

	if (!c || !c->temp_cookie_n || !c->t->reg.gruu_key.n)
		return -ENOENT;
	key = gin_rsa_from_line(c->t->reg.gruu_key);
	if (!key)
		return -ENOENT;
	buf_str(ret, u.scheme == SIP_SCHEME_SIPS ? S("sips:") : S("sip:"));
	e = gin_temp_gruu(key, &pa, str_n(c->temp_cookie, c->temp_cookie_n), cs->env->rng, ret);
	gin_rsa_free(key);
	explicit_bzero(&pa, sizeof(pa));
	if (e < 0)
		return e;
	buf_chr(ret, '@');
	buf_str(ret, u.host);
	if (u.port) {
		buf_chr(ret, ':');
		buf_u64(ret, u.port);
	}
	buf_lit(ret, ";gr=");
	buf_str(ret, gr);
	return buf_err(ret);
}

bool reg_client_made_temp(const struct reg_clients *cs, struct str user)
{
	struct gin_secret pa = pa_secret(cs);
	bool made = gin_temp_gruu_mine(&pa, user);

	explicit_bzero(&pa, sizeof(pa));
	return made;
}

bool reg_client_has_gruu(const struct reg_clients *cs, uint32_t trunk_id)
{
	const struct account *a = account_find(cs, trunk_id);

	return a && a->gruus;
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

void client_view(const struct client *c, struct reg_client_view *ret)
{
	const struct account *a = c->account;

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
	    .gruu = str_n(c->gruu, c->gruu_n),
	    .aor = str_n(c->aor, c->aor_n),
	    .contact = str_n(c->contact, c->contact_n),
	    .route = str_n(c->route, c->route_n),
	    .call_id = str_z(c->call_id),
	    .realm = str_n(c->realm, c->realm_n)};
}

bool reg_client_view(const struct reg_clients *cs, uint32_t trunk_id, unsigned reg_id, struct reg_client_view *ret)
{
	const struct account *a = account_find(cs, trunk_id);
	const struct client *c = a && reg_id >= 1 && reg_id <= REG_FLOWS_MAX ? a->flow[reg_id - 1] : NULL;
	struct reg_client_view sums = {0};

	if (!c && a && reg_id == 1)
		numbers_view(a, &sums, &c);
	if (!c)
		return false;
	client_view(c, ret);
	if (sums.numbers) {
		ret->numbers = sums.numbers;
		ret->numbers_held = sums.numbers_held;
		ret->more_numbers = sums.more_numbers;
		ret->sent = sums.sent;
		ret->accepted = sums.accepted;
	}
	return true;
}
