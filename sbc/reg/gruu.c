/* gruu.c - reading temporary GRUUs: keys, memory of the last ones, shares. */
#include "sbc/reg/gruu.h"

#include <string.h>

#define SHARE_S 10u  /* readings a second, of one trunk; and as many at once */
#define ALL_S 50u    /* of all together: 5 % of a core */

void gruu_init(struct gruu *g, const struct env *env)
{
	memset(g, 0, sizeof(*g));
	g->env = env;
	rng_bytes(env->rng, g->secret.key, sizeof(g->secret.key));
	rng_bytes(env->rng, g->seen_key, sizeof(g->seen_key));
	for (unsigned i = 0; i < ARRAY_LEN(g->share); i++)
		g->share[i].tokens = SHARE_S * 1000;
	g->all.tokens = ALL_S * 1000;
}

static void forget(struct gruu *g)
{
	memset(g->seen, 0, sizeof(g->seen));
	memset(g->bad, 0, sizeof(g->bad));
}

static void drop_keys(struct gruu *g)
{
	for (unsigned i = 0; i < g->n; i++)
		gin_rsa_free(g->key[i]);
	g->n = 0;
}

void gruu_fini(struct gruu *g)
{
	drop_keys(g);
}

void gruu_set_keys(struct gruu *g, const struct reg_key *keys, unsigned n)
{
	drop_keys(g);
	for (unsigned i = 0; i < n; i++) {
		if (g->n == GRUU_KEYS_MAX) {
			gin_rsa_free(keys[i].rsa);
			continue;
		}
		g->since_wall_us[g->n] = keys[i].since_wall_us;
		g->until_wall_us[g->n] = keys[i].until_wall_us;
		g->key[g->n++] = keys[i].rsa;
	}
	forget(g);
}

const struct gin_rsa *gruu_key(const struct gruu *g)
{
	return g->n && !g->until_wall_us[0] ? g->key[0] : NULL;
}

/* Keys whose grace is over: what they made is read no more, remembered or not. */
static void expire(struct gruu *g)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < g->n; i++) {
		if (g->until_wall_us[i] && g->until_wall_us[i] <= g->env->clock->wall_us) {
			gin_rsa_free(g->key[i]);
			forget(g);
			continue;
		}
		g->key[kept] = g->key[i];
		g->since_wall_us[kept] = g->since_wall_us[i];
		g->until_wall_us[kept++] = g->until_wall_us[i];
	}
	g->n = kept;
}

static bool take(int64_t *at_us, uint32_t *tokens, int64_t now, uint32_t per_s)
{
	int64_t passed = now - *at_us;
	uint64_t more = passed > 0 ? (uint64_t)passed * per_s / 1000 : 0;

	if (more) {
		*tokens = more > per_s * 1000u - *tokens ? per_s * 1000u : *tokens + (uint32_t)more;
		*at_us = now;
	}
	return *tokens >= 1000;
}

static bool may_read(struct gruu *g, uint32_t trunk)
{
	unsigned i = trunk % ARRAY_LEN(g->share);
	int64_t now = g->env->clock->mono_us;

	if (!take(&g->share[i].at_us, &g->share[i].tokens, now, SHARE_S) || !take(&g->all.at_us, &g->all.tokens, now, ALL_S))
		return false;
	g->share[i].tokens -= 1000;
	g->all.tokens -= 1000;
	return true;
}

enum reason gruu_open(struct gruu *g, uint32_t from_trunk, struct str user, uint8_t ret[GIN_COOKIE_RAW])
{
	uint64_t a = hash_str(&g->seen_key[0], user), b = hash_str(&g->seen_key[1], user);
	unsigned at = a % ARRAY_LEN(g->seen), bad = a % ARRAY_LEN(g->bad);

	expire(g);
	if (!g->n || (g->bad[bad].a == a && g->bad[bad].b == b))
		return REASON_GRUU_UNKNOWN;
	if (g->seen[at].a != a || g->seen[at].b != b) {
		uint8_t cookie[GIN_COOKIE_RAW];

		if (!may_read(g, from_trunk))
			return REASON_GRUU_RATE;
		if (gin_temp_gruu_open(g->key, g->n, user, cookie) < 0) {
			g->bad[bad].a = a;
			g->bad[bad].b = b;
			return REASON_GRUU_UNKNOWN;
		}
		g->seen[at].a = a;
		g->seen[at].b = b;
		memcpy(g->seen[at].cookie, cookie, sizeof(cookie));
	}
	memcpy(ret, g->seen[at].cookie, GIN_COOKIE_RAW);
	return REASON_NONE;
}
