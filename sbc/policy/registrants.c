/* registrants.c - who registers with us, or is recognised by its credentials alone, by realm and name.
 *
 * A trunk is known by the user part of its own address of record and by the user name of its credential, which are
 * often the same. Names are compared as bytes, and no two trunks of a realm may share one.
 */
#include "sbc/policy/internal.h"

#include <errno.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	const struct registrant *x = a, *y = b;

	if (x->realm != y->realm)
		return x->realm < y->realm ? -1 : 1;
	return str_cmp(x->user, y->user);
}

static bool registers(const struct pol_trunk *t)
{
	return t->role == POL_PBX && t->reg.auth != POL_AUTH_STATIC;
}

static bool by_credentials(const struct pol_trunk *t)
{
	return t->role == POL_PBX && t->source.identify == POL_BY_CREDENTIALS;
}

int pol_registrants_build(struct policy *p, const struct pol_trunk **ret_a, const struct pol_trunk **ret_b)
{
	struct registrant *r = pol_array(p, (size_t)p->n_trunks * 2, sizeof(*r));
	unsigned n = 0, kept = 0;

	p->realm_accounts = pol_array(p, p->n_realms, sizeof(*p->realm_accounts));
	if ((p->n_trunks && !r) || !p->realm_accounts)
		return -ENOMEM;
	for (unsigned i = 0; i < p->n_trunks; i++) {
		const struct pol_trunk *t = &p->trunks[i];

		if (!registers(t) && !by_credentials(t))
			continue;
		if (t->realm < p->n_realms && (t->reg.user.n || t->reg.auth_user.n)) {
			p->realm_accounts[t->realm].register_with_us += registers(t);
			p->realm_accounts[t->realm].by_credentials += by_credentials(t) && t->reg.auth_user.n;
		}
		if (t->reg.user.n)
			r[n++] = (struct registrant){t->realm, t->reg.user, t};
		if (t->reg.auth_user.n)
			r[n++] = (struct registrant){t->realm, t->reg.auth_user, t};
	}
	if (n)
		qsort(r, n, sizeof(*r), compare);
	for (unsigned i = 0; i < n; i++) {
		if (kept && compare(&r[kept - 1], &r[i]) == 0) {
			if (r[kept - 1].trunk == r[i].trunk)
				continue;
			*ret_a = r[kept - 1].trunk;
			*ret_b = r[i].trunk;
			return -EEXIST;
		}
		r[kept++] = r[i];
	}
	p->registrants = r;
	p->n_registrants = kept;
	return 0;
}

static const struct pol_trunk *find(const struct policy *p, unsigned realm, struct str user)
{
	struct registrant key = {.realm = (uint8_t)realm, .user = user}, *r;

	if (realm >= p->n_realms || !p->n_registrants || !user.n)
		return NULL;
	r = bsearch(&key, p->registrants, p->n_registrants, sizeof(key), compare);
	return r ? r->trunk : NULL;
}

const struct pol_trunk *policy_registrant(const struct policy *p, unsigned realm, struct str user)
{
	const struct pol_trunk *t = find(p, realm, user);

	return t && registers(t) ? t : NULL;
}

bool policy_has_registrants(const struct policy *p, unsigned realm)
{
	return realm < p->n_realms && p->realm_accounts[realm].register_with_us > 0;
}

const struct pol_trunk *policy_account(const struct policy *p, unsigned realm, struct str user)
{
	const struct pol_trunk *t = find(p, realm, user);

	return t && by_credentials(t) ? t : NULL;
}

bool policy_has_accounts(const struct policy *p, unsigned realm)
{
	return realm < p->n_realms && p->realm_accounts[realm].by_credentials > 0;
}

bool policy_registers_for(const struct pol_trunk *t, const struct pol_trunk *owner)
{
	for (unsigned i = 0; i < t->reg.n_numbers; i++)
		if (str_ieq(t->reg.numbers[i], owner->name))
			return true;
	return false;
}

bool policy_may_watch(const struct pol_trunk *owner, const struct pol_trunk *watcher)
{
	if (owner->id == watcher->id)
		return true;
	for (unsigned i = 0; i < owner->reg.n_watchers; i++)
		if (str_ieq(owner->reg.watchers[i], watcher->name))
			return true;
	return false;
}

bool policy_event_carried(const struct pol_trunk *t, struct str package)
{
	for (unsigned i = 0; i < t->n_events; i++)
		if (str_eq(t->events[i], package))
			return true;
	return false;
}
