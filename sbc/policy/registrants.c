/* registrants.c - who registers with us, by realm and name.
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

int pol_registrants_build(struct policy *p, const struct pol_trunk **ret_a, const struct pol_trunk **ret_b)
{
	struct registrant *r = pol_array(p, (size_t)p->n_trunks * 2, sizeof(*r));
	unsigned n = 0, kept = 0;

	if (p->n_trunks && !r)
		return -ENOMEM;
	for (unsigned i = 0; i < p->n_trunks; i++) {
		const struct pol_trunk *t = &p->trunks[i];

		if (t->role != POL_PBX || t->reg.auth == POL_AUTH_STATIC)
			continue;
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

const struct pol_trunk *policy_registrant(const struct policy *p, unsigned realm, struct str user)
{
	struct registrant key = {.realm = (uint8_t)realm, .user = user}, *r;

	if (realm >= p->n_realms || !p->n_registrants || !user.n)
		return NULL;
	r = bsearch(&key, p->registrants, p->n_registrants, sizeof(key), compare);
	return r ? r->trunk : NULL;
}

bool policy_has_registrants(const struct policy *p, unsigned realm)
{
	size_t lo = 0, hi = p->n_registrants;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->registrants[mid].realm < realm)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < p->n_registrants && p->registrants[lo].realm == realm;
}
