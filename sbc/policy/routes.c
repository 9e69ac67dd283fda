/* routes.c - where does a call go.
 *
 * First the number table: a called number that another trunk owns goes there, and behind it to who stands in for that
 * one (alternative, or down-numbers for this number); one of the trunk's own comes back to it when it wants that (hairpin). Else the routes, in order: the first
 * whose trunk, calling and called patterns and hours fit decides, by denying or by its list of trunks. Trunks of
 * one priority are shuffled by weight, and so are the targets of a trunk; the result is one flat list of places to
 * try. A weight of 0 is tried after all others of its priority.
 *
 * A route without `from` never leads a call back to the trunk it came from; one that names that trunk as `from` and
 * as `via` does, since somebody wrote it so.
 */
#include "sbc/policy/internal.h"

#include <time.h>

/* ---------------------------------------------------------------- order by priority and weight */

struct share {
	uint16_t priority, weight;
	uint8_t index;
};

/* share[0..n) becomes the order to try; it comes sorted by priority. */
static void shuffle(struct share *share, unsigned n, struct rng *rng)
{
	for (unsigned i = 0; i + 1 < n; i++) {
		uint32_t total = 0, pick;
		unsigned k = i;
		struct share chosen;

		for (unsigned j = i; j < n && share[j].priority == share[i].priority; j++)
			total += share[j].weight;
		if (total) {
			for (pick = rng_below(rng, total); pick >= share[k].weight; k++)
				pick -= share[k].weight;
		}
		/* moves to the front of what is left; the others keep their order */
		chosen = share[k];
		memmove(&share[i + 1], &share[i], (k - i) * sizeof(*share));
		share[i] = chosen;
	}
}

/* ---------------------------------------------------------------- hops */

static void add_trunk(struct pol_route_result *ret, const struct pol_trunk *t, struct rng *rng)
{
	struct share share[POL_HOPS_MAX];
	unsigned n = 0;

	if (t->admin == POL_DISABLED) {
		ret->reason = REASON_TRUNK_DISABLED;
		return;
	}
	if (t->admin == POL_DRAINING) {
		ret->reason = REASON_TRUNK_DRAINING;
		return;
	}
	if (t->registered && ret->n_hops < POL_HOPS_MAX)
		ret->hops[ret->n_hops++] = (struct pol_hop){t, t->registered};
	/* names too: what stands behind them now is not ours to know (sbc/target) */
	for (unsigned i = 0; i < t->n_targets && n < POL_HOPS_MAX; i++)
		share[n++] = (struct share){t->targets[i].priority, t->targets[i].weight, (uint8_t)i};
	shuffle(share, n, rng);
	for (unsigned i = 0; i < n && ret->n_hops < POL_HOPS_MAX; i++)
		ret->hops[ret->n_hops++] = (struct pol_hop){t, &t->targets[share[i].index]};
}

static void add_vias(struct pol_route_result *ret, const struct route *r, const struct pol_trunk *from, struct rng *rng)
{
	struct share share[POL_HOPS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < r->n_vias && n < POL_HOPS_MAX; i++)
		if (r->vias[i].trunk != from || r->from_trunk == from)
			share[n++] = (struct share){r->vias[i].priority, r->vias[i].weight, (uint8_t)i};
	shuffle(share, n, rng);
	for (unsigned i = 0; i < n; i++)
		add_trunk(ret, r->vias[share[i].index].trunk, rng);
}

/* ---------------------------------------------------------------- matching */

static bool in_hours(const struct db_hours *h, int64_t wall_us)
{
	time_t t = (time_t)(wall_us / 1000000);
	unsigned minute, today, yesterday;
	struct tm tm;

	if (!h->days)
		return true;
	localtime_r(&t, &tm);
	minute = (unsigned)(tm.tm_hour * 60 + tm.tm_min);
	today = (unsigned)(tm.tm_wday + 6) % 7; /* Monday 0 */
	yesterday = (today + 6) % 7;
	if (h->from_min < h->to_min)
		return h->days & 1u << today && minute >= h->from_min && minute < h->to_min;
	/* past midnight: the day named is the one it begins on */
	return (h->days & 1u << today && minute >= h->from_min) || (h->days & 1u << yesterday && minute < h->to_min);
}

static bool matches(const struct route *r, const struct pol_trunk *from, struct str calling, struct str called,
    int64_t wall_us)
{
	return (!r->from_trunk || r->from_trunk == from) && policy_pattern_match(r->to, called) &&
	       policy_pattern_match(r->from, calling) && in_hours(&r->hours, wall_us);
}

void policy_route(const struct policy *p, const struct pol_trunk *from, struct str calling, struct str called,
    int64_t wall_us, struct rng *rng, struct pol_route_result *ret)
{
	uint32_t owner_id = policy_number_owner(p, called);
	const struct route *r = NULL;

	*ret = (struct pol_route_result){.n_hops = 0};
	if (owner_id && (!from || owner_id != from->id || from->hairpin)) {
		const struct pol_trunk *owner = policy_trunk(p, owner_id), *other = owner->alternative;
		const struct pol_down *own = policy_down(owner, called);

		if (own)
			other = own->to;
		ret->route = S("number");
		add_trunk(ret, owner, rng);
		if (other && other != from)
			add_trunk(ret, other, rng);
		if (ret->n_hops)
			ret->reason = REASON_NONE;
		return;
	}
	for (unsigned i = 0; i < p->n_routes && !r; i++)
		if (matches(&p->routes[i], from, calling, called, wall_us))
			r = &p->routes[i];
	if (!r) {
		ret->reason = from && from->role == POL_ITSP ? REASON_NUMBER_UNKNOWN : REASON_NO_ROUTE;
		return;
	}
	ret->route = r->name;
	if (r->deny) {
		ret->deny = true;
		ret->reason = REASON_CLASS_DENIED;
		return;
	}
	add_vias(ret, r, from, rng);
	if (ret->n_hops)
		ret->reason = REASON_NONE;
	else if (ret->reason == REASON_NONE)
		ret->reason = REASON_NO_ROUTE; /* it led only back to where the call came from */
}

unsigned policy_route_count(const struct policy *p)
{
	return p->n_routes;
}

void policy_route_view(const struct policy *p, unsigned i, const struct pol_trunk *from, struct str calling,
    struct str called, int64_t wall_us, struct policy_route_view *ret)
{
	const struct route *r = &p->routes[i];

	*ret = (struct policy_route_view){
	    .name = r->name,
	    .from_trunk = r->from_trunk ? r->from_trunk->name : STR_NONE,
	    .from = r->from,
	    .to = r->to,
	    .deny = r->deny,
	    .from_matches = !r->from_trunk || r->from_trunk == from,
	    .calling_matches = policy_pattern_match(r->from, calling),
	    .called_matches = policy_pattern_match(r->to, called),
	    .hours_match = in_hours(&r->hours, wall_us),
	};
}
