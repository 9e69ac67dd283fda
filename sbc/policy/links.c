/* links.c - trunks that name other trunks: who stands in for whom, whose registration follows whose. */
#include "sbc/policy/internal.h"

void pol_links_build(struct policy *p, pol_link_fn *fn, void *ctx)
{
	for (unsigned i = 0; i < p->n_trunks; i++) {
		struct pol_trunk *t = &p->trunks[i];

		if (t->alternative_name.n) {
			t->alternative = policy_trunk_named(p, t->alternative_name);
			if (!t->alternative || t->alternative == t)
				fn(ctx, t, "alternative", t->alternative_name, t->alternative ? "is the trunk itself" : "does not exist");
		}
		if (t->link_name.n) {
			t->link = policy_trunk_named(p, t->link_name);
			if (!t->link)
				fn(ctx, t, "reg-link", t->link_name, "does not exist");
			else if (t->role != POL_ITSP || t->link->role != POL_PBX || t->link->reg.auth == POL_AUTH_STATIC)
				fn(ctx, t, "reg-link", t->link_name,
				    t->role != POL_ITSP ? "cannot be followed: this trunk is no ITSP" : "is no PBX that registers with us");
		}
	}
}
