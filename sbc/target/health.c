/* health.c - what is known of each address of a trunk, from calls and probes.
 *
 *              heard                      N failures in a row
 *   UNKNOWN ----------> UP -------------------------------------> DOWN
 *      |                 ^   N successful probes, a call answered  |
 *      +--- N failures --|-----------------------------------------+---> (its time is over: tried like UNKNOWN, one
 *                        +----------------- heard -----------------+      call a second, and down again at once)
 *
 * Any final answer is life but 503, 408 and silence (DNS-09). A 503 with Retry-After is down at once, for that time
 * (an hour at most), and nothing shortens it (RFC 3261 21.5.4). The one of two families that was never heard needs one
 * failure only while the other one works: there is something better to use.
 */
#include "sbc/target/internal.h"

#include <stdlib.h>

static int64_t now_of(const struct health *h)
{
	return h->t->ts->env->clock->mono_us;
}

struct health *health_find(struct trunk_state *t, const struct addr *a, uint8_t proto)
{
	list_each(n, &t->health) {
		struct health *h = container_of(n, struct health, node);

		if (h->proto == proto && addr_eq(&h->addr, a))
			return h;
	}
	return NULL;
}

void health_free(struct health *h)
{
	probe_stop(h);
	list_del(&h->node);
	h->t->n_health--;
	free(h);
}

/* Room for one more: the one that left the plans first goes. */
static bool make_room(struct trunk_state *t)
{
	struct health *oldest = NULL;

	if (t->n_health < HEALTH_MAX)
		return true;
	list_each(n, &t->health) {
		struct health *h = container_of(n, struct health, node);

		if (!h->planned && (!oldest || h->left_us < oldest->left_us))
			oldest = h;
	}
	if (!oldest)
		return false;
	health_free(oldest);
	return true;
}

struct health *health_get(struct trunk_state *t, const struct addr *a, uint8_t proto)
{
	struct health *h = health_find(t, a, proto);

	if (h || !make_room(t))
		return h;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->t = t;
	h->addr = *a;
	h->proto = proto;
	list_push(&t->health, &h->node);
	t->n_health++;
	return h;
}

enum target_state health_state(const struct health *h)
{
	return h->state == TARGET_DOWN && now_of(h) >= h->down_until_us ? TARGET_UNKNOWN : (enum target_state)h->state;
}

bool health_usable(struct health *h, bool take)
{
	int64_t now = now_of(h);

	if (h->state != TARGET_DOWN)
		return true;
	if (now < h->down_until_us || (h->trial_us && now - h->trial_us < TRIAL_US))
		return false;
	if (take)
		h->trial_us = now;
	return true;
}

static void set_state(struct health *h, enum target_state s, enum reason why)
{
	char text[ADDR_TEXT_MAX], code[REASON_CODE_MAX];

	h->reason = why;
	if (h->state == s)
		return;
	log_at(&h->t->log, s == TARGET_DOWN || h->state == TARGET_DOWN ? LOG_WARN : LOG_INFO, "target_state",
	    "addr=%s proto=%.*s from=%s to=%s reason=%s", addr_text(&h->addr, text),
	    STR(net_proto_name((enum net_proto)h->proto)), target_state_names[h->state], target_state_names[s],
	    reason_code(why, code));
	if (s == TARGET_DOWN)
		h->t->ts->metrics[TARGET_M_WENT_DOWN]++;
	else if (h->state == TARGET_DOWN)
		h->t->ts->metrics[TARGET_M_CAME_UP]++;
	h->state = (uint8_t)s;
	h->since_us = now_of(h);
	if (s == TARGET_DOWN && h->t->ts->user) {
		struct net_path path = {.proto = h->proto, .realm = h->t->pol->realm, .remote = h->addr};

		h->t->ts->user->on_bad(h->t->ts->user_ctx, h->t->id, &path);
	}
}

void health_good(struct health *h, uint16_t status, uint32_t rtt_us, bool call)
{
	struct target_cfg cfg;

	h->ok++;
	h->fails = 0;
	h->last_status = status;
	if (rtt_us)
		h->rtt_us = rtt_us;
	if (h->state == TARGET_UP)
		return;
	if (h->state == TARGET_DOWN) {
		cfg = target_cfg_of(h->t->pol);
		if (h->asked && now_of(h) < h->down_until_us)
			return;
		if (!call && ++h->oks < cfg.up)
			return;
	}
	h->asked = false;
	h->oks = 0;
	h->trial_us = 0;
	set_state(h, TARGET_UP, REASON_NONE);
	probe_schedule(h);
}

/* Does its server have an address of the other family that works? */
static bool twin_works(const struct health *h)
{
	const struct trunk_state *t = h->t;
	const struct locate_plan *plan = h->twin && h->target < t->n ? tgt_plan(t->tgt[h->target]) : NULL;

	for (unsigned s = 0; plan && s < plan->n_servers; s++) {
		const struct locate_server *v = &plan->servers[s];
		const struct addr *a = &plan->addrs[v->first];
		bool here = false, works = false;

		for (unsigned i = 0; v->proto == h->proto && i < v->n; i++) {
			const struct health *x = health_find(h->t, &a[i], v->proto);

			here = here || x == h;
			works = works || (x && x->state == TARGET_UP && addr_is6(&x->addr) != addr_is6(&h->addr));
		}
		if (here && works)
			return true;
	}
	return false;
}

void health_bad(struct health *h, enum reason why, uint16_t status, uint32_t retry_after_s)
{
	struct target_cfg cfg = target_cfg_of(h->t->pol);
	unsigned need = h->state == TARGET_UNKNOWN && !h->since_us && twin_works(h) ? 1 : cfg.down;
	int64_t now = now_of(h), until;
	bool over;

	h->failed++;
	h->oks = 0;
	h->last_status = status;
	if (h->fails < UINT8_MAX)
		h->fails++;
	if (retry_after_s > RETRY_AFTER_MAX_S)
		retry_after_s = RETRY_AFTER_MAX_S;
	if (retry_after_s == 0 && h->state != TARGET_DOWN && h->fails < need) {
		if (cfg.probe_s)
			probe_schedule(h); /* soon: is it only this call? */
		return;
	}
	over = h->state != TARGET_DOWN || now >= h->down_until_us;
	until = now + (int64_t)(retry_after_s ? retry_after_s : cfg.quarantine_s) * 1000000;
	if (retry_after_s || over) {
		h->asked = retry_after_s != 0;
		h->down_until_us = until;
	} else if (!h->asked && until > h->down_until_us) {
		h->down_until_us = until;
	}
	set_state(h, TARGET_DOWN, why);
	probe_schedule(h);
}

void health_plan(struct trunk_state *t)
{
	int64_t now = t->ts->env->clock->mono_us;
	struct target_cfg cfg = target_cfg_of(t->pol);
	bool learn = cfg.learn && !t->learned, changed = cfg.probe_s != t->probe_s;

	list_each(n, &t->health) {
		struct health *h = container_of(n, struct health, node);

		if (h->planned)
			h->left_us = now;
		h->planned = h->twin = false;
	}
	for (unsigned i = 0; i < t->n; i++) {
		const struct locate_plan *plan = tgt_plan(t->tgt[i]);

		for (unsigned s = 0; plan && s < plan->n_servers; s++) {
			const struct locate_server *v = &plan->servers[s];
			bool v4 = false, v6 = false;

			for (unsigned k = 0; k < v->n; k++) {
				const struct addr *a = &plan->addrs[v->first + k];

				if (!net_local(t->ts->net, t->pol->realm, (enum net_proto)v->proto, a->sa.sa_family))
					continue;
				v4 = v4 || !addr_is6(a);
				v6 = v6 || addr_is6(a);
			}
			for (unsigned k = 0; k < v->n; k++) {
				const struct addr *a = &plan->addrs[v->first + k];
				struct health *h;

				if (!net_local(t->ts->net, t->pol->realm, (enum net_proto)v->proto, a->sa.sa_family))
					continue;
				h = health_get(t, a, v->proto);
				if (!h)
					continue; /* it is used, only nothing is remembered of it */
				h->planned = true;
				h->twin = h->twin || (v4 && v6);
				h->target = i;
			}
		}
	}
	list_each(n, &t->health) {
		struct health *h = container_of(n, struct health, node);

		if (!h->planned) {
			probe_stop(h);
			if (now - h->left_us > HEALTH_KEPT_US)
				health_free(h);
		} else if ((h->twin && h->state == TARGET_UNKNOWN && h->failed == 0) || learn) {
			/* which family works, and who we are to it: asked before the first call needs to know (HE-03) */
			probe_now(h);
		} else if (changed || (!timer_running(&h->timer) && !h->probe)) {
			probe_schedule(h);
		}
	}
	t->probe_s = cfg.probe_s;
}

/* ------------------------------------------------------------------ what came of a try */

void targets_report(struct targets *ts, uint32_t trunk_id, const struct net_path *path, enum target_outcome what,
    enum reason why, uint32_t retry_after_s)
{
	struct trunk_state *t = trunk_state_of(ts, trunk_id);
	struct health *h = t ? health_find(t, &path->remote, path->proto) : NULL;
	int64_t now = ts->env->clock->mono_us;

	if (ts->user && (what == TARGET_SILENT || what == TARGET_UNREACHED))
		ts->user->on_bad(ts->user_ctx, trunk_id, path);
	if (!h)
		return;
	switch (what) {
	case TARGET_ANSWERED:
		health_good(h, 0, 0, true);
		if (h->planned && h->target < t->n) {
			struct tgt *g = t->tgt[h->target];

			/* not renewed by each call: after its time the preferred order gets another chance */
			if (g->family != path->remote.sa.sa_family || now >= g->family_until_us) {
				g->family = (uint8_t)path->remote.sa.sa_family;
				g->family_until_us = now + FAMILY_US;
			}
		}
		break;
	case TARGET_SILENT:
		health_bad(h, REASON_PEER_SILENT, 0, 0);
		break;
	case TARGET_UNREACHED:
		health_bad(h, why != REASON_NONE ? why : REASON_TRANSPORT, 0, 0);
		break;
	case TARGET_503:
		health_bad(h, REASON_PEER_ERROR, 503, retry_after_s);
		break;
	}
}

void targets_note_tcp(struct targets *ts, uint32_t trunk_id, const struct net_path *path, bool refused)
{
	struct trunk_state *t = trunk_state_of(ts, trunk_id);
	struct health *h = t ? health_find(t, &path->remote, NET_UDP) : NULL;

	if (h)
		h->tcp_refused_until_us = refused ? now_of(h) + TCP_REFUSED_US : 0;
}

bool targets_tcp_refused(struct targets *ts, uint32_t trunk_id, const struct net_path *path)
{
	struct trunk_state *t = trunk_state_of(ts, trunk_id);
	const struct health *h = t ? health_find(t, &path->remote, NET_UDP) : NULL;

	return h && now_of(h) < h->tcp_refused_until_us;
}
