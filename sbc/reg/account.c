/* account.c - challenges made for an account, credentials compared with one. */
#include "sbc/reg/account.h"

#include "sbc/reg/binding.h"

struct judging {
	const struct account_ask *ask;
	const struct account_claim *claim;
	const struct pol_trunk *found;
};

struct str account_realm(const struct account_ask *k)
{
	const struct pol_realm *p = policy_realm(k->policy, k->from->realm);

	if (k->trunk && k->trunk->reg.realm.n)
		return k->trunk->reg.realm;
	return p && p->n_domains ? p->domains[0] : k->realm;
}

bool account_has_password(const struct pol_trunk *t)
{
	for (unsigned i = 0; i < DIGEST_ALGS; i++)
		if (t->reg.ha1[i].n)
			return t->reg.auth_user.n > 0;
	return false;
}

void account_put_challenge(const struct account_ask *k, struct buf *h)
{
	const struct pol_trunk *t = k->trunk && k->trunk->reg.realm.n ? k->trunk : NULL;
	struct auth_ask ask = {.realm = account_realm(k),
	    .source = &k->from->remote,
	    .stale = k->stale,
	    .proxy = k->proxy,
	    .integrity = t ? (enum auth_int)t->reg.integrity : AUTH_INT_OFF};

	for (unsigned i = 0; i < DIGEST_ALGS; i++)
		if (!t || (t->reg.ha1[i].n && i <= t->reg.digest))
			ask.algs |= AUTH_ALG(i);
	auth_challenge(k->auth, &ask, h);
}

static const struct pol_trunk *trunk_of(const struct judging *j, struct str user)
{
	return j->claim->only ? j->ask->trunk : j->claim->find(j->ask->policy, j->ask->from->realm, user);
}

static bool at_home(void *ctx, struct str user)
{
	const struct judging *j = ctx;
	const struct pol_trunk *t = trunk_of(j, user);

	return t && j->ask->bindings && bindings_trunk_at(j->ask->bindings, j->ask->from) == t->id;
}

static bool lookup(void *ctx, struct str user, struct auth_account *ret)
{
	struct judging *j = ctx;
	const struct account_ask *k = j->ask;
	const struct pol_trunk *t = trunk_of(j, user);

	if (!t || !str_eq(t->reg.auth_user, user) || !str_eq(t->reg.realm, account_realm(k)))
		return false;
	for (unsigned i = 0; i < DIGEST_ALGS; i++) {
		ret->ha1[i].n = (uint8_t)t->reg.ha1[i].n;
		if (t->reg.ha1[i].n)
			memcpy(ret->ha1[i].hex, t->reg.ha1[i].p, t->reg.ha1[i].n);
	}
	ret->integrity = (enum auth_int)t->reg.integrity;
	j->found = t;
	return true;
}

static bool uri_ok(void *ctx, struct str host)
{
	const struct judging *j = ctx;

	return j->claim->uri_ok(j->claim->ctx, host);
}

enum auth_verdict account_judge(
    const struct account_ask *k, const struct account_claim *c, struct str *ret_user, const struct pol_trunk **ret)
{
	struct judging j = {.ask = k, .claim = c};
	enum auth_verdict v = auth_check(k->auth,
	    &(struct auth_check){.msg = c->msg,
	        .realm = account_realm(k),
	        .source = &k->from->remote,
	        .algs = AUTH_ALG(DIGEST_MD5) | AUTH_ALG(DIGEST_SHA256) | AUTH_ALG(DIGEST_SHA512_256),
	        .proxy = k->proxy,
	        .allow_no_qop = k->trunk && k->trunk->reg.no_qop,
	        .uri_ok = uri_ok,
	        .lookup = lookup,
	        .at_home = at_home,
	        .ctx = &j},
	    ret_user);

	*ret = v == AUTH_OK ? j.found : NULL;
	return v;
}

void account_credential(const struct pol_trunk *t, struct auth_credential *ret)
{
	*ret = (struct auth_credential){.realm = t->reg.realm,
	    .username = t->reg.auth_user,
	    .integrity = (enum auth_int)t->reg.integrity};
	for (int i = 0; i < DIGEST_ALGS; i++) {
		struct str x = t->reg.ha1[i];

		if (x.n == 0 || x.n > DIGEST_HEX_MAX)
			continue;
		memcpy(ret->ha1[i].hex, x.p, x.n);
		ret->ha1[i].n = (uint8_t)x.n;
	}
}

bool account_uri_ok(void *home, struct str host)
{
	const struct account_home *h = home;
	struct sip_uri u = {.scheme = SIP_SCHEME_SIP, .host = host};
	struct addr a;

	if (h->asked.n && str_ieq(host, h->asked))
		return true;
	if (sip_uri_addr(&u, &a)) {
		addr_set_port(&a, 0);
		if (h->is_local(h->ctx, h->realm, &a))
			return true;
	}
	return policy_host_is_ours(h->policy, h->realm, host);
}
