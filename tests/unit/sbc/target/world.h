/* world.h - targets on a network made of text, with a locator made of a table and a clock that jumps.
 *
 * Trunk "itsp" (id 1) in realm 0, which has UDP, TCP and TLS in both families. Its targets and settings are typed by
 * the test before world_policy(). OPTIONS that are sent are remembered; world_answer() answers one.
 */
#ifndef TESTS_TARGET_WORLD_H
#define TESTS_TARGET_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sbc/policy/compile.h"
#include "sbc/target/internal.h"

#define W_SENT 4096
#define W_LOCATIONS 16
#define UNUSED __attribute__((unused))

struct w_sent {
	struct net_path to;
	char text[1500];
	int64_t at_us;
	uint64_t owner;
};

struct location {
	struct world *w;
	struct locate_dest d;
	char host[64];
	locate_fn *fn;
	void *ctx;
	struct w_plan *plan;
	bool used;
};

/* A plan typed by hand. */
struct w_plan {
	struct locate_plan p;
	struct locate_server s[8];
	struct addr a[32];
};

struct world {
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct metrics metrics;
	struct logger logger;
	struct env env;
	struct net net;
	struct net_local local[2];
	bool no_v6, no_udp;
	uint32_t n_peers;
	struct net_peer peer[64]; /* as set last; names are not copied */
	char peer_name[64][64];
	unsigned peers_deleted;
	struct txn_layer *txn;
	struct locator locator;
	struct location loc[W_LOCATIONS];
	struct w_plan plan[W_LOCATIONS];
	unsigned n_plans;
	struct targets *ts;
	struct policy *p;
	struct w_sent *sent;
	unsigned n_sent, at;
	int send_err;
	uint32_t send_conn; /* connection that requests go out by, 0: not said */
	int prepare_result; /* of net_prepare() */
	uint32_t n_conns;
	const char *leads_to; /* where what is up leads */
	struct db_trunk trunk[4];
	struct db_setting setting[4][16];
	struct db_target target[4][4];
	struct db_rows rows;
	unsigned n_trunks;
};

static int w_send(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct world *w = container_of(n, struct world, net);
	struct w_sent *s;

	if (w->send_err)
		return w->send_err;
	assert_true(w->n_sent < W_SENT);
	if (w->send_conn)
		path->conn = w->send_conn;
	s = &w->sent[w->n_sent++];
	s->to = *path;
	s->at_us = w->clock.mono_us;
	s->owner = owner;
	snprintf(s->text, sizeof(s->text), "%.*s", (int)len, (const char *)p);
	return 0;
}

static const struct net_local *w_local(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	struct world *w = container_of(n, struct world, net);

	if (realm != 0 || proto > NET_TLS || (w->no_v6 && family == AF_INET6) || (w->no_udp && proto == NET_UDP))
		return NULL;
	return &w->local[family == AF_INET6];
}

static int w_peer_set(struct net *n, uint32_t *id, const struct net_peer *cfg)
{
	struct world *w = container_of(n, struct world, net);

	if (!*id)
		*id = ++w->n_peers;
	w->peer[*id] = *cfg;
	snprintf(w->peer_name[*id], sizeof(w->peer_name[*id]), "%.*s", STR(cfg->name));
	return 0;
}

static void w_peer_del(struct net *n, uint32_t id)
{
	(void)id;
	container_of(n, struct world, net)->peers_deleted++;
}

static struct addr w_addr(const char *text);

static int w_prepare(struct net *n, struct net_path *path, const struct addr *alt)
{
	struct world *w = container_of(n, struct world, net);

	(void)alt;
	path->conn = 100 + w->n_conns++;
	if (w->leads_to)
		path->remote = w_addr(w->leads_to);
	return w->prepare_result;
}

static void w_close(struct net *n, const struct net_path *path, bool now)
{
	(void)n;
	(void)path;
	(void)now;
}

static const struct net_ops w_net_ops = {
    .send = w_send, .local = w_local, .close = w_close, .prepare = w_prepare, .peer_set = w_peer_set, .peer_del = w_peer_del};

static int w_watch(struct locator *lr, const struct locate_dest *d, locate_fn *fn, void *ctx, struct location **ret)
{
	struct world *w = container_of(lr, struct world, locator);
	struct w_plan *pending = &w->plan[0]; /* plan 0 is empty */

	for (unsigned i = 0; i < W_LOCATIONS; i++) {
		struct location *l = &w->loc[i];

		if (l->used)
			continue;
		*l = (struct location){.w = w, .d = *d, .fn = fn, .ctx = ctx, .plan = pending, .used = true};
		snprintf(l->host, sizeof(l->host), "%.*s", STR(d->host));
		/* somebody may watch it already */
		for (unsigned k = 0; k < W_LOCATIONS; k++)
			if (k != i && w->loc[k].used && strcmp(w->loc[k].host, l->host) == 0)
				l->plan = w->loc[k].plan;
		*ret = l;
		return 0;
	}
	return -ENOMEM;
}

static void w_unwatch(struct location *l)
{
	l->used = false;
}

static const struct locate_plan *w_plan_of(const struct location *l)
{
	return &l->plan->p;
}

static const struct locator_ops w_locator_ops = {w_watch, w_unwatch, w_plan_of};

static void w_on_request(void *ctx, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	(void)ctx;
	(void)t;
	(void)m;
	(void)from;
}

static const struct txn_user w_user = {w_on_request, NULL, NULL};

static struct addr w_addr(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(str_z(text), 5060, &a), 0);
	return a;
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	w->sent = calloc(W_SENT, sizeof(*w->sent));
	w->clock.mono_us = 1000000000;
	w->clock.wall_us = 1700000000000000;
	timers_init(&w->timers, &w->clock);
	rng_init_seeded(&w->rng, 7);
	metrics_init(&w->metrics);
	assert_int_equal(logger_init(&w->logger, getenv("RIG_LOG") ? 2 : -1, LOG_DEBUG), 0);
	w->env = (struct env){.clock = &w->clock, .timers = &w->timers, .rng = &w->rng, .logger = &w->logger,
	    .metrics = &w->metrics, .hash_key = {1, 2}};
	w->net.ops = &w_net_ops;
	w->locator.ops = &w_locator_ops;
	w->plan[0].p = (struct locate_plan){.refs = 1, .state = LOCATE_PENDING, .how = "naptr"};
	w->n_plans = 1;
	w->local[0] = (struct net_local){.bound = w_addr("203.0.113.1"), .host = S("203.0.113.1"), .port = 5060};
	w->local[1] = (struct net_local){.bound = w_addr("[2001:db8:b::1]"), .host = S("[2001:db8:b::1]"), .port = 5060};
	w->txn = txn_new(&w->env, &w->net, &w_user, w);
	w->ts = targets_new(&w->env, &w->net, w->txn, &w->locator);
	assert_non_null(w->ts);
	w->n_trunks = 1;
	for (unsigned i = 0; i < 4; i++) {
		static const struct str names[4] = {{"itsp", 4}, {"two", 3}, {"three", 5}, {"four", 4}};

		w->trunk[i] = (struct db_trunk){.id = i + 1, .name = names[i], .role = S("itsp"), .realm = S("wan"),
		    .admin = DB_ENABLED, .settings = w->setting[i], .targets = w->target[i]};
	}
	return w;
}

static void world_set(struct world *w, unsigned trunk, const char *key, const char *value)
{
	struct db_trunk *t = &w->trunk[trunk];

	for (unsigned i = 0; i < t->n_settings; i++)
		if (str_eq(w->setting[trunk][i].key, str_z(key))) {
			w->setting[trunk][i].value = str_z(value);
			return;
		}
	w->setting[trunk][t->n_settings++] = (struct db_setting){str_z(key), str_z(value)};
}

static void world_target(struct world *w, unsigned trunk, const char *host, uint16_t port, const char *transport)
{
	struct db_trunk *t = &w->trunk[trunk];

	w->target[trunk][t->n_targets] = (struct db_target){.host = str_z(host), .port = port, .transport = str_z(transport),
	    .priority = (uint16_t)(1 + t->n_targets), .weight = 1};
	t->n_targets++;
}

static void world_policy(struct world *w)
{
	static const struct pol_realm realms[1] = {{.name = {"wan", 3}, .strangers = POL_STRANGER_DROP}};
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	struct policy *p = NULL;
	int e;

	w->rows = (struct db_rows){.revision = 1, .trunks = w->trunk, .n_trunks = w->n_trunks};
	e = policy_compile(
	    &(struct policy_input){.realms = realms, .n_realms = 1, .rows = &w->rows, .hash_key = w->env.hash_key}, &p, errs);
	if (e < 0)
		print_error("policy: %s: %s\n", errs->e[0].object, errs->e[0].text);
	assert_int_equal(e, 0);
	free(errs);
	targets_set_policy(w->ts, p);
	policy_unref(w->p);
	w->p = p;
}

static void world_pass(struct world *w, int64_t ms)
{
	int64_t end = w->clock.mono_us + ms * 1000;

	for (;;) {
		int64_t next = timers_next_us(&w->timers);

		if (next > end)
			break;
		if (next > w->clock.mono_us)
			w->clock.mono_us = next;
		timers_advance(&w->timers);
	}
	w->clock.mono_us = end;
	timers_advance(&w->timers);
}

static void world_free(struct world *w)
{
	targets_free(w->ts);
	txn_free(w->txn);
	assert_int_equal(w->timers.n, 0);
	for (unsigned i = 0; i < W_LOCATIONS; i++)
		assert_false(w->loc[i].used);
	assert_int_equal(w->n_peers, w->peers_deleted);
	policy_unref(w->p);
	logger_fini(&w->logger);
	free(w->sent);
	free(w);
}

/* A plan for a name: "server=proto/prio/weight:addr,addr ..." as a list of servers. */
struct w_server {
	const char *name;
	uint8_t proto;
	uint16_t priority, weight;
	const char *addrs[6];
};

UNUSED static void world_plan(struct world *w, const char *host, const struct w_server *s, unsigned n, enum reason why)
{
	struct w_plan *x = &w->plan[w->n_plans++];
	unsigned at = 0;

	assert_true(w->n_plans <= W_LOCATIONS);
	memset(x, 0, sizeof(*x));
	x->p = (struct locate_plan){.refs = 1, .state = n ? LOCATE_GOOD : LOCATE_EMPTY, .reason = why, .how = "srv",
	    .fresh_until_us = INT64_MAX, .stale_until_us = INT64_MAX, .servers = x->s, .n_servers = n, .addrs = x->a};
	for (unsigned i = 0; i < n; i++) {
		x->s[i] = (struct locate_server){.name = str_z(s[i].name), .proto = s[i].proto, .priority = s[i].priority,
		    .weight = s[i].weight, .first = at};
		for (unsigned k = 0; k < 6 && s[i].addrs[k]; k++, x->s[i].n++)
			x->a[at++] = w_addr(s[i].addrs[k]);
	}
	x->p.n_addrs = at;
	for (unsigned i = 0; i < W_LOCATIONS; i++) {
		if (!w->loc[i].used || strcmp(w->loc[i].host, host) != 0)
			continue;
		w->loc[i].plan = x;
		w->loc[i].fn(w->loc[i].ctx, &w->loc[i]);
	}
}

UNUSED static struct pol_hop world_hop(const struct world *w, unsigned trunk, unsigned target)
{
	const struct pol_trunk *t = policy_trunk(w->p, trunk + 1);

	assert_non_null(t);
	assert_true(target < t->n_targets);
	return (struct pol_hop){t, &t->targets[target]};
}

/* The ways as "addr[+alt] ...", for comparing; "-REASON" when there are none. */
UNUSED static const char *world_ways(struct world *w, unsigned trunk, unsigned target, char text[512])
{
	struct target_way ways[TARGET_WAYS_MAX];
	struct pol_hop hop = world_hop(w, trunk, target);
	enum reason why = REASON_NONE;
	unsigned n = targets_ways(w->ts, &hop, ways, &why);
	struct buf b;

	buf_init(&b, text, 512);
	for (unsigned i = 0; i < n; i++) {
		if (i)
			buf_chr(&b, ' ');
		addr_put(&b, &ways[i].path.remote);
		if (!addr_none(&ways[i].alt)) {
			buf_chr(&b, '+');
			addr_put(&b, &ways[i].alt);
		}
		if (ways[i].try_ms == FAMILY_TRY_MS)
			buf_chr(&b, '!');
	}
	if (n == 0)
		buf_fmt(&b, "-%s", reason_info(why)->name);
	return buf_z(&b);
}

UNUSED static struct net_path w_path(uint8_t proto, const char *addr)
{
	return (struct net_path){.proto = proto, .remote = w_addr(addr)};
}

UNUSED static void world_report(struct world *w, const char *addr, uint8_t proto, enum target_outcome what, uint32_t retry_s)
{
	struct net_path p = w_path(proto, addr);

	targets_report(w->ts, 1, &p, what, REASON_TRANSPORT, retry_s);
}

UNUSED static enum target_state world_state(struct world *w, const char *addr, uint8_t proto)
{
	struct net_path p = w_path(proto, addr);
	enum reason why;

	return targets_state(w->ts, 1, &p, &why);
}

/* the next request that was sent, to that address; NULL: none */
UNUSED static struct w_sent *world_probe(struct world *w, const char *addr)
{
	struct addr a = w_addr(addr);

	for (; w->at < w->n_sent; w->at++)
		if (addr_eq(&w->sent[w->at].to.remote, &a))
			return &w->sent[w->at++];
	return NULL;
}

UNUSED static unsigned world_count(const struct world *w, unsigned since, const char *addr)
{
	unsigned n = 0;
	struct addr a;

	if (addr)
		a = w_addr(addr);
	for (; since < w->n_sent; since++)
		n += strncmp(w->sent[since].text, "OPTIONS ", 8) == 0 && (!addr || addr_eq(&w->sent[since].to.remote, &a));
	return n;
}

static void w_copy(const struct w_sent *s, const char *name, char *out, size_t cap)
{
	char key[40];
	const char *p;

	snprintf(key, sizeof(key), "\r\n%s: ", name);
	p = strstr(s->text, key);
	assert_non_null(p);
	p += strlen(key);
	snprintf(out, cap, "%.*s", (int)strcspn(p, "\r"), p);
}

/* The far end answers; extra goes behind Via (";received=...") and as lines. */
UNUSED static void world_answer(struct world *w, const struct w_sent *s, const char *status, const char *via, const char *lines)
{
	char v[300], from[200], to[200], id[100], cseq[40], out[2000];
	struct net_path path = s->to;
	int n;

	w_copy(s, "Via", v, sizeof(v));
	w_copy(s, "From", from, sizeof(from));
	w_copy(s, "To", to, sizeof(to));
	w_copy(s, "Call-ID", id, sizeof(id));
	w_copy(s, "CSeq", cseq, sizeof(cseq));
	n = snprintf(out, sizeof(out),
	    "SIP/2.0 %s\r\nVia: %s%s\r\nFrom: %s\r\nTo: %s;tag=x\r\nCall-ID: %s\r\nCSeq: %s\r\n%sContent-Length: 0\r\n\r\n",
	    status, v, via, from, to, id, cseq, lines);
	txn_on_message(w->txn, &path, out, (size_t)n, REASON_NONE);
}

#endif
