/* target.c - follows the policy and the locator, and says which ways lead to a target.
 *
 * For each trunk of the snapshot and each of its targets: a watched location (names) or a plan of one address
 * (numbers), and a net_peer that says what a connection there has to prove. A new snapshot keeps what it can: the same
 * host, port and transport is the same target, whatever else changed.
 *
 * Order of the ways: the servers of the plan by NAPTR and SRV (RFC 2782), never across them (HE-02); inside one
 * server those known to be alive first, among them the family that worked last (HE-04), else as RFC 6724 has put
 * them. What is down is left out. Over streams two families make one way that races them while connecting; over UDP
 * a family that was never heard gets a short time only, and only when the other one is there to be tried next; while
 * nothing at all is known of either, both are asked before the request is sent (connect.c).
 */
#include "sbc/target/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/net/resolve.h"

const char *const target_state_names[] = {"unknown", "up", "down"};

static const char *const metric_names[TARGET_METRICS] = {
    "probes", "probes_failed", "went_down", "came_up", "last_resort"};

static void on_location(void *ctx, struct location *l);

struct target_cfg target_cfg_of(const struct pol_trunk *t)
{
	return (struct target_cfg){.probe_s = t->admin == POL_DISABLED ? 0 : t->probe.interval_s,
	    .down = t->probe.down ? t->probe.down : 1,
	    .up = t->probe.up ? t->probe.up : 1,
	    .try_ms = t->sip.try_ms,
	    .quarantine_s = t->sip.quarantine_s,
	    .sips = t->sip.scheme_sips,
	    .learn = t->sip.learn_address};
}

/* Given by us, one after the other. */
static uint64_t id_hash(uint32_t id)
{
	return id;
}

struct trunk_state *trunk_state_of(struct targets *ts, uint32_t id)
{
	for (struct hnode *n = htab_first(&ts->trunks, id_hash(id)); n; n = htab_next(n)) {
		struct trunk_state *t = container_of(n, struct trunk_state, by_id);

		if (t->id == id)
			return t;
	}
	return NULL;
}

struct targets *targets_new(
    const struct env *env, struct net *net, struct txn_layer *txn, struct locator *locator)
{
	struct targets *ts = calloc(1, sizeof(*ts));

	if (!ts)
		return NULL;
	if (htab_init(&ts->trunks, 64) < 0 || htab_init(&ts->peers, 64) < 0) {
		htab_fini(&ts->trunks);
		free(ts);
		return NULL;
	}
	ts->env = env;
	ts->net = net;
	ts->txn = txn;
	ts->locator = locator;
	list_init(&ts->probes);
	list_init(&ts->dials);
	ts->log = (struct log){.to = env->logger, .area = LOG_CALL};
	ts->metric_set = (struct metric_set){
	    .area = "target", .names = metric_names, .values = ts->metrics, .n = TARGET_METRICS};
	if (env->metrics)
		metrics_add(env->metrics, &ts->metric_set);
	return ts;
}

void targets_set_user(struct targets *ts, const struct targets_user *user, void *ctx)
{
	ts->user = user;
	ts->user_ctx = ctx;
}

static void tgt_free(struct tgt *g)
{
	if (!g)
		return;
	if (g->loc)
		locate_unwatch(g->t->ts->locator, g->loc);
	if (g->numeric)
		locate_plan_unref(g->numeric);
	if (g->peer)
		htab_del(&g->t->ts->peers, &g->by_peer);
	net_peer_del(g->t->ts->net, g->peer);
	free(g);
}

static void trunk_state_free(struct trunk_state *t)
{
	htab_del(&t->ts->trunks, &t->by_id);
	list_each(n, &t->health)
		health_free(container_of(n, struct health, node));
	for (unsigned i = 0; i < t->n; i++)
		tgt_free(t->tgt[i]);
	net_peer_del(t->ts->net, t->own_peer);
	free(t->tgt);
	free(t->learned);
	free(t);
}

void targets_free(struct targets *ts)
{
	struct hnode *n, *next;

	if (!ts)
		return;
	for (n = htab_walk(&ts->trunks, NULL); n; n = next) {
		next = htab_walk(&ts->trunks, n);
		trunk_state_free(container_of(n, struct trunk_state, by_id));
	}
	dials_free(ts);
	probes_free(ts);
	htab_fini(&ts->trunks);
	htab_fini(&ts->peers);
	metrics_del(&ts->metric_set);
	policy_unref(ts->policy);
	free(ts);
}

/* ------------------------------------------------------------------ following the policy */

/* What the realm can send with. */
static void realm_means(const struct targets *ts, uint8_t realm, uint8_t *ret_protos, uint8_t *ret_families)
{
	*ret_protos = *ret_families = 0;
	for (unsigned p = 0; p < NET_PROTOS; p++) {
		bool v4 = net_local(ts->net, realm, (enum net_proto)p, AF_INET) != NULL;
		bool v6 = net_local(ts->net, realm, (enum net_proto)p, AF_INET6) != NULL;

		if (v4 || v6)
			*ret_protos |= (uint8_t)(1u << p);
		*ret_families |= (uint8_t)((v4 ? RESOLVE_V4 : 0) | (v6 ? RESOLVE_V6 : 0));
	}
}

static bool tgt_same(const struct tgt *a, const struct tgt *b)
{
	return strcmp(a->host, b->host) == 0 && a->port == b->port && a->proto == b->proto && a->sips == b->sips &&
	       a->protos == b->protos && a->families == b->families &&
	       (addr_none(&a->addr) ? addr_none(&b->addr) : addr_eq(&a->addr, &b->addr));
}

static int put_peer(struct trunk_state *t, struct str name, uint32_t *peer)
{
	const struct pol_trunk *pol = t->pol;
	struct net_peer cfg = {.name = name,
	    .names = pol->tls.names,
	    .n_names = pol->tls.n_names,
	    .certificate = pol->tls.cert,
	    .verify = (uint8_t)pol->tls.verify,
	    .legacy_ciphers = pol->tls.legacy,
	    .ping_ms = pol->sip.keepalive_s * 1000};
	int e = net_peer_set(t->ts->net, peer, &cfg);

	if (e < 0) {
		t->incomplete = true;
		log_warn(&t->log, "peer_failed", "host=%.*s errno=%d", STR(name), -e);
	}
	return e;
}

static void set_peer(struct trunk_state *t, struct tgt *g)
{
	uint32_t was = g->peer;

	(void)put_peer(t, str_z(g->host), &g->peer);
	if (!was && g->peer)
		htab_add(&t->ts->peers, &g->by_peer, g->peer);
}

/* One that is reached only where it registered: what a connection there has to prove is what its certificate may
 * carry, not the address it happens to have. */
static void set_own_peer(struct trunk_state *t)
{
	const struct pol_trunk *pol = t->pol;
	struct str name = pol->domain.n ? pol->domain : pol->tls.n_names ? pol->tls.names[0] : STR_NONE;

	if (pol->registered && !pol->n_targets && name.n) {
		(void)put_peer(t, name, &t->own_peer);
		return;
	}
	net_peer_del(t->ts->net, t->own_peer);
	t->own_peer = 0;
}

/* Begins to follow a target that was not there before. */
static void tgt_open(struct trunk_state *t, struct tgt *g)
{
	struct locate_dest d = {.host = str_z(g->host),
	    .port = g->port,
	    .proto = g->proto,
	    .sips = g->sips,
	    .protos = g->protos,
	    .families = g->families};
	int e;

	if (!addr_none(&g->addr)) {
		g->numeric = locate_plan_numeric(&g->addr, &d);
		t->incomplete = t->incomplete || !g->numeric;
		return;
	}
	if (!t->ts->locator)
		return;
	e = locate_watch(t->ts->locator, &d, on_location, g, &g->loc);
	if (e < 0) {
		t->incomplete = true;
		log_warn(&t->log, "target_not_watched", "host=%s errno=%d", g->host, -e);
	}
}

/* What the configuration says of a target, for comparing. */
static struct tgt describe(struct trunk_state *t, const struct pol_target *p, bool sips, uint8_t protos, uint8_t families)
{
	struct tgt g = {.t = t,
	    .pol = p,
	    .port = p->port,
	    .proto = p->proto,
	    .sips = sips,
	    .protos = protos,
	    .families = families,
	    .addr = p->addr};
	struct buf b;

	buf_init(&b, g.host, sizeof(g.host) - 1);
	buf_str(&b, p->host); /* checked by the policy: a host name has at most 253 characters */
	if (!addr_none(&g.addr) && addr_port(&g.addr) == 0)
		addr_set_port(&g.addr, p->port);
	return g;
}

static void follow_targets(struct trunk_state *t)
{
	const struct pol_trunk *pol = t->pol;
	bool sips = target_cfg_of(pol).sips;
	struct tgt **now = pol->n_targets ? calloc(pol->n_targets, sizeof(*now)) : NULL;
	unsigned n = 0;
	uint8_t protos, families;

	t->incomplete = false;
	realm_means(t->ts, pol->realm, &protos, &families);
	for (unsigned i = 0; now && i < pol->n_targets; i++) {
		struct tgt like = describe(t, &pol->targets[i], sips, protos, families), *g = NULL;

		for (unsigned k = 0; k < t->n && !g; k++) {
			if (!t->tgt[k] || !tgt_same(t->tgt[k], &like))
				continue;
			g = t->tgt[k]; /* with all that is known, and its watch as it is */
			g->pol = like.pol;
			t->tgt[k] = NULL;
			if (!g->loc && !g->numeric) /* there was no memory for it */
				tgt_open(t, g);
		}
		if (!g) {
			g = malloc(sizeof(*g));
			if (!g)
				break; /* the rest is not followed: reached by number only */
			*g = like;
			tgt_open(t, g);
		}
		now[n++] = g;
		set_peer(t, g);
	}
	if (n < pol->n_targets) {
		t->incomplete = true;
		log_error(&t->log, "no_memory", "for=targets n=%u", pol->n_targets);
	}
	for (unsigned k = 0; k < t->n; k++)
		tgt_free(t->tgt[k]);
	free(t->tgt);
	t->tgt = now;
	t->n = n;
	set_own_peer(t);
	health_plan(t);
}

static struct trunk_state *trunk_state_new(struct targets *ts, const struct pol_trunk *pol)
{
	struct trunk_state *t = calloc(1, sizeof(*t));
	struct buf b;

	if (!t)
		return NULL;
	t->ts = ts;
	t->id = pol->id;
	list_init(&t->health);
	t->log = (struct log){.to = ts->env->logger, .area = LOG_CALL};
	buf_init(&b, t->log.ctx, sizeof(t->log.ctx) - 1);
	buf_lit(&b, "trunk=");
	buf_str(&b, str_head(pol->name, sizeof(t->log.ctx) - 8));
	htab_add(&ts->trunks, &t->by_id, id_hash(t->id));
	return t;
}

void targets_set_policy(struct targets *ts, struct policy *p)
{
	struct policy *old = ts->policy;
	struct hnode *n, *next;

	ts->policy = policy_ref(p);
	ts->mark++;
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *pol = policy_trunk_at(p, i);
		struct trunk_state *t = trunk_state_of(ts, pol->id);

		if (!t)
			t = trunk_state_new(ts, pol);
		if (!t) {
			log_error(&ts->log, "no_memory", "for=trunk name=%.*s", STR(pol->name));
			continue;
		}
		t->mark = ts->mark;
		if (t->pol == pol && !t->incomplete)
			continue; /* only addresses behind names have changed */
		t->pol = pol;
		follow_targets(t);
	}
	for (n = htab_walk(&ts->trunks, NULL); n; n = next) {
		struct trunk_state *t = container_of(n, struct trunk_state, by_id);

		next = htab_walk(&ts->trunks, n);
		if (t->mark != ts->mark)
			trunk_state_free(t);
	}
	policy_unref(old);
}

static void on_location(void *ctx, struct location *l)
{
	struct tgt *g = ctx;

	(void)l;
	health_plan(g->t);
}

const struct locate_plan *tgt_plan(const struct tgt *g)
{
	if (g->numeric)
		return g->numeric;
	return g->loc ? locate_plan(g->t->ts->locator, g->loc) : NULL;
}

/* ------------------------------------------------------------------ ways */

struct candidate {
	const struct addr *addr;
	unsigned rank;
	bool unknown; /* not known to be up */
	bool tried;   /* it was, by a call or a probe, with whatever end */
	bool used;
};

/* How the addresses of a server that may be used are looked at. */
struct picking {
	struct trunk_state *t;
	const struct tgt *g;
	struct target_way *ways;
	unsigned n;
	bool take;     /* a call will go there: takes trials */
	bool any;      /* those that are down as well */
	bool down, no_listener; /* some were left out for that */
	bool named;    /* for a request in a dialog: nothing is asked ahead */
	uint16_t port; /* instead of that of the plan, 0: none */
	uint32_t try_ms;
};

static int family_of(const struct addr *a)
{
	return a->sa.sa_family;
}

static const struct candidate *other_family(const struct candidate *c, unsigned n, int family)
{
	for (unsigned i = 0; i < n; i++)
		if (!c[i].used && family_of(c[i].addr) != family)
			return &c[i];
	return NULL;
}

static void server_ways(struct picking *k, const struct locate_plan *plan, const struct locate_server *s)
{
	struct trunk_state *t = k->t;
	struct targets *ts = t->ts;
	struct candidate c[SERVER_ADDRS_MAX];
	unsigned n = 0;
	int64_t now = ts->env->clock->mono_us;
	int liked = k->g->family && now < k->g->family_until_us ? k->g->family : 0;

	for (unsigned i = 0; i < s->n && n < ARRAY_LEN(c); i++) {
		const struct addr *a = &plan->addrs[s->first + i];
		struct health *h = health_find(t, a, s->proto);
		struct candidate x = {.addr = a};
		unsigned at = n;

		if (!net_local(ts->net, t->pol->realm, (enum net_proto)s->proto, family_of(a))) {
			k->no_listener = true;
			continue;
		}
		if (h && !k->any && !health_usable(h, k->take)) {
			k->down = true;
			continue;
		}
		x.unknown = !h || health_state(h) != TARGET_UP;
		x.tried = h && (h->ok || h->failed);
		x.rank = (x.unknown ? 2u : 0u) + (liked && family_of(a) != liked ? 1u : 0u);
		for (; at > 0 && c[at - 1].rank > x.rank; at--)
			c[at] = c[at - 1];
		c[at] = x;
		n++;
	}
	for (unsigned i = 0; i < n && k->n < TARGET_WAYS_MAX; i++) {
		struct target_way *w = &k->ways[k->n];
		const struct candidate *other;

		if (c[i].used)
			continue;
		c[i].used = true;
		*w = (struct target_way){.try_ms = k->try_ms, .server = s->name};
		w->path = (struct net_path){
		    .proto = s->proto, .realm = t->pol->realm, .peer = k->g->peer, .remote = *c[i].addr};
		if (k->port)
			addr_set_port(&w->path.remote, k->port);
		other = other_family(c, n, family_of(c[i].addr));
		if (other && net_reliable((enum net_proto)s->proto)) {
			w->alt = *other->addr;
			if (k->port)
				addr_set_port(&w->alt, k->port);
			c[other - c].used = true;
		} else if (other && c[i].unknown && !k->named) {
			w->try_ms = FAMILY_TRY_MS; /* HE-03 */
			if (i == 0 && !c[i].tried && !other->tried) {
				w->alt = *other->addr;
				if (k->port)
					addr_set_port(&w->alt, k->port);
			}
		}
		k->n++;
	}
}

static struct tgt *tgt_of(struct trunk_state *t, const struct pol_hop *hop)
{
	const struct pol_target *p = hop->target;
	size_t i = (size_t)(p - hop->trunk->targets);

	if (hop->trunk == t->pol && i < t->n)
		return t->tgt[i];
	/* a call that began on an older snapshot */
	for (unsigned k = 0; k < t->n; k++) {
		struct tgt *g = t->tgt[k];

		if (g->port == p->port && g->proto == p->proto && str_eq(str_z(g->host), p->host) &&
		    (addr_none(&p->addr) || addr_eq_ip(&p->addr, &g->addr)))
			return g;
	}
	return NULL;
}

/* A target that is not followed (any more): its number, when it has one. */
static unsigned way_by_number(
    struct targets *ts, const struct pol_hop *hop, struct target_way *ways, enum reason *ret_why)
{
	const struct pol_target *p = hop->target;
	uint8_t proto = p->proto < NET_PROTOS ? p->proto : NET_UDP;

	if (addr_none(&p->addr)) {
		*ret_why = REASON_NAME_UNRESOLVED;
		return 0;
	}
	if (!net_local(ts->net, hop->trunk->realm, (enum net_proto)proto, family_of(&p->addr))) {
		*ret_why = REASON_NO_LISTENER;
		return 0;
	}
	ways[0] = (struct target_way){.server = p->host, .try_ms = target_cfg_of(hop->trunk).try_ms};
	ways[0].path = (struct net_path){.proto = proto, .realm = hop->trunk->realm, .remote = p->addr};
	if (addr_port(&p->addr) == 0)
		addr_set_port(&ways[0].path.remote, p->port ? p->port : proto == NET_TLS ? 5061 : 5060);
	return 1;
}

static unsigned ways_of(struct targets *ts, const struct pol_hop *hop, bool take, bool any, struct target_way *ways,
    enum reason *ret_why)
{
	struct trunk_state *t = trunk_state_of(ts, hop->trunk->id);
	struct tgt *g = t ? tgt_of(t, hop) : NULL;
	const struct locate_plan *plan = g ? tgt_plan(g) : NULL;
	struct picking k = {.t = t, .g = g, .ways = ways, .take = take, .any = any};
	unsigned order[SERVERS_MAX], n;

	if (!plan)
		return way_by_number(ts, hop, ways, ret_why);
	k.try_ms = target_cfg_of(t->pol).try_ms;
	if (plan->n_servers == 1) {
		server_ways(&k, plan, &plan->servers[0]);
	} else if (plan->n_servers <= SERVERS_MAX) {
		n = locate_order(plan, ts->env->rng, order);
		for (unsigned i = 0; i < n && k.n < TARGET_WAYS_MAX; i++)
			server_ways(&k, plan, &plan->servers[order[i]]);
	}
	if (k.n == 0)
		*ret_why = k.down                      ? REASON_TARGET_DOWN
		           : k.no_listener              ? REASON_NO_LISTENER
		           : plan->reason != REASON_NONE ? plan->reason
		                                        : REASON_NAME_UNRESOLVED;
	return k.n;
}

unsigned targets_ways(struct targets *ts, const struct pol_hop *hop, struct target_way *ways, enum reason *ret_why)
{
	return ways_of(ts, hop, true, false, ways, ret_why);
}

unsigned targets_ways_seen(struct targets *ts, const struct pol_hop *hop, struct target_way *ways, enum reason *ret_why)
{
	return ways_of(ts, hop, false, true, ways, ret_why);
}

bool targets_last_resort(struct targets *ts, const struct pol_hop *hop, struct target_way *ret)
{
	struct trunk_state *t = trunk_state_of(ts, hop->trunk->id);
	struct tgt *g = t ? tgt_of(t, hop) : NULL;
	struct target_way ways[TARGET_WAYS_MAX];
	int64_t now = ts->env->clock->mono_us, best = INT64_MAX;
	enum reason why;
	unsigned n;

	if (!g || (g->resort_us && now - g->resort_us < TRIAL_US))
		return false;
	n = ways_of(ts, hop, false, true, ways, &why);
	for (unsigned i = 0; i < n; i++) {
		struct health *h = health_find(t, &ways[i].path.remote, ways[i].path.proto);

		if (!h || h->asked || h->down_until_us >= best)
			continue;
		best = h->down_until_us;
		*ret = ways[i];
	}
	if (best == INT64_MAX)
		return false;
	g->resort_us = now;
	ts->metrics[TARGET_M_LAST_RESORT]++;
	return true;
}

/* ------------------------------------------------------------------ names in dialogs */

unsigned targets_named(struct targets *ts, const struct pol_trunk *trunk, struct str host, uint16_t port, uint8_t proto,
    struct target_way *ways)
{
	struct trunk_state *t = trunk_state_of(ts, trunk->id);
	struct picking k = {.t = t, .ways = ways, .named = true};

	if (!t || host.n == 0)
		return 0;
	k.try_ms = target_cfg_of(t->pol).try_ms;
	for (int any = 0; any < 2 && k.n == 0; any++) { /* those that are down only when there are no others */
		k.any = any;
		for (unsigned i = 0; i < t->n; i++) {
			const struct tgt *g = t->tgt[i];
			const struct locate_plan *plan = tgt_plan(g);
			bool whole;

			if (!plan || g->numeric)
				continue;
			k.g = g;
			whole = str_ieq(host, str_z(g->host)) || (t->pol->domain.n && str_ieq(host, t->pol->domain));
			for (unsigned s = 0; s < plan->n_servers && k.n < TARGET_WAYS_MAX; s++) {
				const struct locate_server *v = &plan->servers[s];
				bool named = str_ieq(host, v->name);

				if ((!whole && !named) || (proto < NET_PROTOS && v->proto != proto))
					continue;
				k.port = named ? port : 0; /* behind a domain each server has its own */
				server_ways(&k, plan, v);
			}
		}
	}
	return k.n;
}

uint32_t targets_peer(struct targets *ts, uint32_t trunk_id)
{
	struct trunk_state *t = trunk_state_of(ts, trunk_id);

	return !t ? 0 : t->n ? t->tgt[0]->peer : t->own_peer;
}

/* ------------------------------------------------------------------ looking at it */

bool targets_view(struct targets *ts, uint32_t trunk_id, unsigned i, struct target_view *ret)
{
	struct trunk_state *t = trunk_state_of(ts, trunk_id);

	if (!t || i >= t->n)
		return false;
	*ret = (struct target_view){.target = t->tgt[i]->pol, .plan = tgt_plan(t->tgt[i])};
	return true;
}

bool targets_addr_view(struct targets *ts, uint32_t trunk_id, unsigned target, unsigned i, struct target_addr_view *ret)
{
	struct trunk_state *t = trunk_state_of(ts, trunk_id);
	const struct locate_plan *plan = t && target < t->n ? tgt_plan(t->tgt[target]) : NULL;
	const struct locate_server *s;
	const struct health *h;

	if (!plan)
		return false;
	for (s = plan->servers; s < plan->servers + plan->n_servers && i >= s->n; s++)
		i -= s->n;
	if (s == plan->servers + plan->n_servers)
		return false;
	*ret = (struct target_addr_view){.server = s->name,
	    .path = {.proto = s->proto,
	        .realm = t->pol->realm,
	        .peer = t->tgt[target]->peer,
	        .remote = plan->addrs[s->first + i]}};
	h = health_find(t, &ret->path.remote, s->proto);
	if (!h)
		return true;
	ret->state = health_state(h);
	ret->reason = ret->state == TARGET_DOWN ? h->reason : REASON_NONE;
	ret->down_until_us = ret->state == TARGET_DOWN ? h->down_until_us : 0;
	ret->since_us = h->since_us;
	ret->rtt_us = h->rtt_us;
	ret->ok = h->ok;
	ret->failed = h->failed;
	ret->last_status = h->last_status;
	return true;
}

enum target_state targets_state(
    struct targets *ts, uint32_t trunk_id, const struct net_path *path, enum reason *ret_why)
{
	struct trunk_state *t = trunk_state_of(ts, trunk_id);
	const struct health *h = t ? health_find(t, &path->remote, path->proto) : NULL;

	if (!h)
		return TARGET_UNKNOWN;
	if (health_state(h) == TARGET_DOWN)
		*ret_why = h->reason;
	return health_state(h);
}

enum target_state targets_trunk_state(struct targets *ts, uint32_t trunk_id, enum reason *ret_why)
{
	struct trunk_state *t = trunk_state_of(ts, trunk_id);
	enum target_state best = TARGET_DOWN;
	enum reason why = REASON_NAME_UNRESOLVED;
	struct target_addr_view v;
	unsigned seen = 0;

	if (!t)
		return TARGET_UNKNOWN;
	for (unsigned i = 0; i < t->n; i++) {
		const struct locate_plan *plan = tgt_plan(t->tgt[i]);

		if (plan && plan->n_addrs == 0 && plan->reason != REASON_NONE && !seen)
			why = plan->reason;
		for (unsigned k = 0; targets_addr_view(ts, trunk_id, i, k, &v); k++) {
			if (v.state == TARGET_UP)
				return TARGET_UP;
			if (v.state == TARGET_UNKNOWN)
				best = TARGET_UNKNOWN;
			else if (!seen)
				why = v.reason;
			seen++;
		}
	}
	if (best == TARGET_UNKNOWN)
		return target_cfg_of(t->pol).probe_s ? TARGET_UNKNOWN : TARGET_UP;
	if (t->n == 0)
		return TARGET_UNKNOWN; /* it only calls us */
	*ret_why = why;
	return TARGET_DOWN;
}
