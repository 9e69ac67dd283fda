/* world.c - see world.h. A packet is a malloc'ed copy with a timer; it is delivered, or dropped when its
 * connection went down in the meantime. */
#include "world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_CONNECT_MS 3
#define SIM_STAGGER_MS 200

static const char *const sim_addr6[SIM_HOSTS] = {"2001:db8:a::10", "2001:db8:b::20", "2001:db8:b::21"};
static const char *const box_addr6[2] = {"2001:db8:a::1", "2001:db8:b::1"};
const char *const sim_addr[SIM_HOSTS] = {"198.51.100.10", "203.0.113.20", "203.0.113.21"};
static const char *const box_addr[2] = {"198.51.100.1", "203.0.113.1"};

enum packet_kind { TO_BOX, TO_HOST, FAILURE, FLOW_UP, FLOW_LOST };

struct packet {
	struct list node;
	struct timer timer;
	struct world *w;
	enum packet_kind kind;
	struct sim_host *host;
	uint32_t conn; /* id, 0: datagram */
	struct net_path path; /* to a host on a connection: as it was sent. What the box is told: of what */
	uint64_t owner;
	int err;
	size_t n;
	char text[];
};

uint32_t sim_below(struct world *w, uint32_t n)
{
	return rng_below(&w->rng, n);
}

void sim_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	w->failures++;
	printf("FAIL at %lld ms: ", (long long)(w->clock.mono_us / 1000));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static struct addr address(const char *ip, uint16_t port)
{
	struct addr a;

	if (addr_parse_ip(str_z(ip), port, &a))
		abort();
	return a;
}

/* ------------------------------------------------------------------ packets */

static struct sim_conn *conn_by_id(struct world *w, uint32_t id)
{
	list_each(n, &w->conns) {
		struct sim_conn *c = container_of(n, struct sim_conn, node);

		if (c->id == id && c->up)
			return c;
	}
	return NULL;
}

static void trace(const struct packet *p, const char *what)
{
	char text[ADDR_TEXT_MAX];

	if (p->w->verbose)
		printf("%10.3f %s %-22s %s\n%.*s\n", (double)p->w->clock.mono_us / 1000, what,
		    addr_text(&p->host->addr, text), p->conn ? "tcp" : "udp", (int)p->n, p->text);
}

static void lost_by_cut(struct packet *p)
{
	char *copy;

	trace(p, p->kind == TO_BOX ? "<-X-" : "-X->");
	p->w->packets_lost++;
	if (!p->host->on_lost)
		return;
	copy = strndup(p->text, p->n);
	if (!copy)
		abort();
	p->host->on_lost(p->host, copy);
	free(copy);
}

static void deliver(struct timer *t)
{
	struct packet *p = container_of(t, struct packet, timer);
	struct world *w = p->w;
	struct sim_conn *conn = p->conn ? conn_by_id(w, p->conn) : NULL;
	char *copy;

	list_del(&p->node);
	if (p->kind == FLOW_UP || p->kind == FLOW_LOST) {
		trace(p, p->kind == FLOW_UP ? "up" : "lost");
		if (p->kind == FLOW_UP)
			b2b_on_flow_up(w->b2b, &p->path);
		else
			b2b_on_flow_lost(w->b2b, &p->path, p->err);
		free(p);
		return;
	}
	if (p->conn && !conn && p->kind != FAILURE) {
		lost_by_cut(p);
		free(p);
		return;
	}
	if (p->kind == FAILURE) {
		trace(p, p->owner ? "fail" : "icmp");
		b2b_on_failure(w->b2b, &p->path, p->owner, p->err, str_n(p->text, p->n));
		free(p);
		return;
	}
	/* in a block of its size, so that reading too far is seen */
	copy = malloc(p->n + (p->kind == TO_HOST));
	if (!copy)
		abort();
	memcpy(copy, p->text, p->n);
	if (p->kind == TO_BOX) {
		struct net_path from = {.proto = conn ? NET_TCP : NET_UDP,
		    .realm = p->host->realm,
		    .conn = p->conn,
		    .remote = p->host->addr,
		    .local = w->local[p->host->realm].bound};

		if (conn)
			addr_set_port(&from.remote, conn->port);
		trace(p, "<---");
		b2b_on_message(w->b2b, &from, copy, p->n, REASON_NONE);
	} else {
		copy[p->n] = 0;
		trace(p, "--->");
		if (p->host->dead == SIM_ALIVE)
			p->host->on_message(p->host, conn, copy, p->n);
	}
	free(copy);
	free(p);
}

static struct packet *packet_new(struct world *w, enum packet_kind kind, struct sim_host *h, const void *text, size_t n)
{
	struct packet *p = calloc(1, sizeof(*p) + n);

	if (!p)
		abort();
	p->w = w;
	p->kind = kind;
	p->host = h;
	p->n = n;
	if (n)
		memcpy(p->text, text, n);
	list_push(&w->packets, &p->node);
	return p;
}

static void on_its_way(struct world *w, struct packet *p, int64_t delay_us)
{
	w->packets_sent++;
	timer_start_us(&w->timers, &p->timer, delay_us, deliver);
}

static int64_t delay_of(struct world *w, uint8_t realm)
{
	const struct sim_weather *s = &w->weather[realm];

	return (int64_t)s->delay_us + (s->jitter_us ? sim_below(w, s->jitter_us) : 0);
}

static void datagram(struct world *w, enum packet_kind kind, struct sim_host *h, const void *text, size_t n)
{
	const struct sim_weather *s = &w->weather[h->realm];
	bool lost = sim_below(w, 1000000) < s->loss_ppm, twice = sim_below(w, 1000000) < s->double_ppm;

	if (lost) {
		w->packets_lost++;
		return;
	}
	on_its_way(w, packet_new(w, kind, h, text, n), delay_of(w, h->realm));
	if (twice)
		on_its_way(w, packet_new(w, kind, h, text, n), delay_of(w, h->realm));
}

static struct packet *stream(struct world *w, enum packet_kind kind, struct sim_conn *c, const void *text, size_t n)
{
	struct packet *p = packet_new(w, kind, c->host, text, n);
	int64_t at = w->clock.mono_us + delay_of(w, c->host->realm), *last = &c->last_us[kind];

	if (at < *last)
		at = *last;
	*last = at;
	p->conn = c->id;
	on_its_way(w, p, at - w->clock.mono_us);
	return p;
}

static void failure(struct world *w, struct sim_host *h, const struct net_path *path, uint64_t owner, int err,
    const void *sent, size_t n, int64_t delay_us)
{
	struct packet *p = packet_new(w, FAILURE, h, sent, n);

	p->path = *path;
	p->owner = owner;
	p->err = err;
	on_its_way(w, p, delay_us);
}

static void flow(struct world *w, enum packet_kind kind, struct sim_host *h, const struct net_path *path, int err,
    int64_t delay_us)
{
	struct packet *p = packet_new(w, kind, h, NULL, 0);

	p->path = *path;
	p->err = err;
	on_its_way(w, p, delay_us);
}

/* ------------------------------------------------------------------ the box's side of the network */

static struct sim_conn *conn_new(struct world *w, struct sim_host *h, uint16_t port)
{
	struct sim_conn *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->id = ++w->next_conn;
	c->host = h;
	c->port = port;
	c->up = true;
	c->last_us[0] = c->last_us[1] = w->clock.mono_us + SIM_CONNECT_MS * 1000;
	list_push(&w->conns, &c->node);
	return c;
}

static struct sim_host *host_at(struct world *w, uint8_t realm, const struct addr *a)
{
	list_each(n, &w->hosts) {
		struct sim_host *h = container_of(n, struct sim_host, node);

		if (h->realm == realm && (addr_eq(&h->addr, a) || (!addr_none(&h->addr6) && addr_eq(&h->addr6, a))))
			return h;
	}
	return NULL;
}

static int box_send_tcp(struct world *w, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct sim_conn *c = path->conn ? conn_by_id(w, path->conn) : NULL;
	struct packet *sent;

	if (!c) {
		list_each(n, &w->conns) {
			struct sim_conn *x = container_of(n, struct sim_conn, node);

			if (x->up && x->host->realm == path->realm && addr_eq_ip(&x->host->addr, &path->remote) &&
			    x->port == addr_port(&path->remote))
				c = x;
		}
	}
	path->conn = 0;
	if (!c) {
		struct sim_host *h = host_at(w, path->realm, &path->remote);

		if (h && (!h->tcp || h->dead == SIM_ICMP || (addr_is6(&path->remote)))) {
			bool silent = h->tcp && h->dead != SIM_ICMP;

			w->refused = true;
			failure(w, h, path, owner, silent ? -ETIMEDOUT : -ECONNREFUSED, NULL, 0,
			    silent ? 4000000 : 2 * delay_of(w, h->realm));
			return 0;
		}
		if (h) {
			c = conn_new(w, h, addr_port(&h->addr));
			c->ours = true;
		}
	}
	if (!c)
		return -EHOSTUNREACH;
	path->conn = c->id;
	sent = stream(w, TO_HOST, c, p, len);
	sent->path = *path;
	sent->owner = owner;
	return 0;
}

/* One of the two is up after SIM_CONNECT_MS, if anybody listens there; the second begins SIM_STAGGER_MS later, or when
 * the first is refused. */
static int box_prepare(struct net *n, struct net_path *path, const struct addr *alt)
{
	struct world *w = container_of(n, struct world, net);
	struct sim_host *h = host_at(w, path->realm, &path->remote), *other = alt ? host_at(w, path->realm, alt) : NULL;
	int64_t after_us = SIM_CONNECT_MS * 1000;
	struct sim_conn *c;

	SIM_CHECK(w, path->proto == NET_TCP && h && (!other || other == h), "a race to nowhere");
	if (!h)
		return -EHOSTUNREACH;
	list_each(cn, &w->conns) {
		c = container_of(cn, struct sim_conn, node);
		if (c->up && c->host == h && c->ours) {
			path->conn = c->id;
			path->remote = h->addr;
			if (c->last_us[TO_HOST] <= w->clock.mono_us)
				return 1;
			flow(w, FLOW_UP, h, path, 0, c->last_us[TO_HOST] - w->clock.mono_us);
			return 0;
		}
	}
	w->races++;
	path->conn = ++w->next_conn;
	if (!h->tcp || h->dead == SIM_ICMP) {
		flow(w, FLOW_LOST, h, path, -ECONNREFUSED, 2 * delay_of(w, h->realm));
		return 0;
	}
	if (addr_is6(&path->remote)) {
		if (!other) {
			flow(w, FLOW_LOST, h, path, -ETIMEDOUT, 4000000);
			return 0;
		}
		path->remote = *alt; /* as it is told at the end */
		after_us += SIM_STAGGER_MS * 1000;
	}
	w->next_conn--;
	c = conn_new(w, h, addr_port(&h->addr));
	c->ours = true;
	c->last_us[0] = c->last_us[1] = w->clock.mono_us + after_us;
	flow(w, FLOW_UP, h, path, 0, after_us);
	return 0;
}

static int box_send(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct world *w = container_of(n, struct world, net);
	struct sim_host *h;

	SIM_CHECK(w, len > 0 && len <= SIP_MSG_MAX, "%zu bytes to send", len);
	SIM_CHECK(w, path->realm < 2, "realm %u", path->realm);
	if (path->proto == NET_TCP)
		return box_send_tcp(w, path, p, len, owner);
	SIM_CHECK(w, path->proto == NET_UDP, "protocol %u", path->proto);
	h = host_at(w, path->realm, &path->remote);
	if (!h)
		sim_fail(w, "a datagram to an address where nobody lives");
	else if (h->dead == SIM_ICMP)
		failure(w, h, path, 0, -ECONNREFUSED, p, len < 500 ? len : 500, 2 * delay_of(w, h->realm));
	else if (!addr_is6(&path->remote))
		datagram(w, TO_HOST, h, p, len);
	return 0;
}

static const struct net_local *box_local(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	struct world *w = container_of(n, struct world, net);

	if (realm >= 2 || (proto != NET_UDP && proto != NET_TCP))
		return NULL;
	return family == AF_INET ? &w->local[realm] : &w->local6[realm];
}

static void box_close(struct net *n, const struct net_path *path, bool now)
{
	struct world *w = container_of(n, struct world, net);
	struct sim_conn *c = conn_by_id(w, path->conn);

	(void)now;
	if (c)
		c->up = false;
}

static const struct net_ops box_ops = {
    .send = box_send, .local = box_local, .close = box_close, .prepare = box_prepare};

/* ------------------------------------------------------------------ the hosts' side */

void world_add_host(struct world *w, struct sim_host *h)
{
	h->w = w;
	list_push(&w->hosts, &h->node);
}

void sim_send(struct sim_host *h, struct sim_conn *conn, const char *text, size_t n)
{
	if (h->dead != SIM_ALIVE)
		return;
	if (!conn)
		datagram(h->w, TO_BOX, h, text, n);
	else if (conn->up)
		(void)stream(h->w, TO_BOX, conn, text, n);
}

struct sim_conn *sim_connect(struct sim_host *h)
{
	list_each(n, &h->w->conns) {
		struct sim_conn *c = container_of(n, struct sim_conn, node);

		if (c->up && c->host == h)
			return c;
	}
	return conn_new(h->w, h, (uint16_t)(40000 + h->w->next_conn % 20000));
}

void sim_cut(struct sim_host *h, bool acked, bool told)
{
	list_each(n, &h->w->conns) {
		struct sim_conn *c = container_of(n, struct sim_conn, node);

		if (c->host != h || !c->up)
			continue;
		c->up = false;
		list_each(pn, &h->w->packets) {
			struct packet *p = container_of(pn, struct packet, node);

			if (p->kind == TO_HOST && p->conn == c->id && p->owner && !acked)
				failure(h->w, h, &p->path, p->owner, -ECONNRESET, NULL, 0, delay_of(h->w, h->realm));
		}
		if (told) {
			struct net_path path = {.proto = NET_TCP, .realm = h->realm, .conn = c->id, .remote = h->addr};

			addr_set_port(&path.remote, c->port);
			flow(h->w, FLOW_LOST, h, &path, -ECONNRESET, delay_of(h->w, h->realm));
		}
	}
}

/* ------------------------------------------------------------------ the virtual DNS */

static int dns_watch(struct locator *lr, const struct locate_dest *d, locate_fn *fn, void *ctx, struct location **ret)
{
	struct world *w = container_of(lr, struct world, locator);

	(void)fn;
	(void)ctx;
	SIM_CHECK(w, str_eq(d->host, S(SIM_NAME)), "%.*s is looked up", STR(d->host));
	for (unsigned i = 0; i < ARRAY_LEN(w->loc); i++) {
		if (w->loc[i].used)
			continue;
		w->loc[i] = (struct location){w, true};
		*ret = &w->loc[i];
		return 0;
	}
	return -ENOMEM;
}

static void dns_unwatch(struct location *l)
{
	l->used = false;
}

static const struct locate_plan *dns_plan(const struct location *l)
{
	return &l->w->plan;
}

static const struct locator_ops dns_ops = {dns_watch, dns_unwatch, dns_plan};

void world_dual(struct world *w, struct sim_host *h)
{
	for (unsigned i = 0; i < SIM_HOSTS; i++)
		if (h->addr.in4.sin_addr.s_addr == address(sim_addr[i], 0).in4.sin_addr.s_addr)
			h->addr6 = address(sim_addr6[i], 5060);
	w->addr[0] = h->addr6;
	w->addr[1] = h->addr;
	w->server[0].n = 2;
	w->plan.n_servers = 1;
}

static void dns_fill(struct world *w, unsigned servers, bool tcp)
{
	w->locator.ops = &dns_ops;
	w->plan = (struct locate_plan){.refs = 1,
	    .state = LOCATE_GOOD,
	    .how = "srv",
	    .fresh_until_us = INT64_MAX,
	    .stale_until_us = INT64_MAX,
	    .servers = w->server,
	    .n_servers = servers,
	    .addrs = w->addr,
	    .n_addrs = 2};
	for (unsigned i = 0; i < 2; i++) {
		w->addr[i] = address(sim_addr[SIM_ITSP_1 + i], 5060);
		w->server[i] = (struct locate_server){.name = i ? S("b." SIM_NAME) : S("a." SIM_NAME),
		    .priority = (uint16_t)(i + 1),
		    .proto = tcp ? NET_TCP : NET_UDP,
		    .first = i,
		    .n = servers == 1 ? 2 : 1};
	}
}

void sim_named(struct sim_rows *r, const char *transport)
{
	r->targets[1][0] = (struct db_target){
	    .host = S(SIM_NAME), .transport = str_z(transport), .priority = 1, .weight = 1};
	r->trunks[1].n_targets = 1;
	r->trunks[1].sources = r->sources;
	r->trunks[1].n_sources = 2;
	for (unsigned i = 0; i < 2; i++)
		r->sources[i] = (struct db_source){.address = str_z(sim_addr[SIM_ITSP_1 + i])};
}

/* ------------------------------------------------------------------ the world */

static void on_record(void *ctx, const struct call_record *rec)
{
	struct world *w = ctx;

	if (w->n_records == SIM_RECORDS)
		sim_fail(w, "more than %d records", SIM_RECORDS);
	else
		w->records[w->n_records++] = *rec;
}

static void on_answered(void *ctx, const struct call_record *rec)
{
	struct world *w = ctx;

	(void)rec;
	w->n_answered++;
}

static bool is_local(void *ctx, unsigned realm, const struct addr *a)
{
	struct world *w = ctx;

	return realm < 2 && (addr_eq_ip(a, &w->local[realm].bound) || addr_eq_ip(a, &w->local6[realm].bound));
}

static const struct b2b_user box_user = {.on_record = on_record, .on_answered = on_answered, .is_local = is_local, .on_wire = NULL};

void sim_set(struct sim_rows *r, unsigned trunk, const char *key, const char *value)
{
	struct db_trunk *t = &r->trunks[trunk];

	for (unsigned i = 0; i < t->n_settings; i++) {
		if (str_eq(r->settings[trunk][i].key, str_z(key))) {
			r->settings[trunk][i].value = str_z(value);
			return;
		}
	}
	if (t->n_settings == ARRAY_LEN(r->settings[trunk]))
		abort();
	r->settings[trunk][t->n_settings++] = (struct db_setting){str_z(key), str_z(value)};
}

void world_rows(struct sim_rows *r)
{
	memset(r, 0, sizeof(*r));
	for (unsigned i = 0; i < 2; i++) {
		r->trunks[i] = (struct db_trunk){.id = i + 1,
		    .name = i ? S("itsp") : S("pbx"),
		    .role = i ? S("itsp") : S("pbx"),
		    .realm = i ? S("wan") : S("lan"),
		    .admin = DB_ENABLED,
		    .settings = r->settings[i],
		    .targets = r->targets[i],
		    .n_targets = i + 1};
		sim_set(r, i, "failover-codes", "480,500");
		sim_set(r, i, "probe", "off");
	}
	for (unsigned i = 0; i < SIM_HOSTS; i++)
		r->targets[i > 0][i > 1] = (struct db_target){.host = str_z(sim_addr[i]),
		    .port = 5060,
		    .transport = S("udp"),
		    .priority = (uint16_t)(1 + (i > 1)),
		    .weight = 1};
	r->number.trunk_id = 1;
	snprintf(r->number.first, sizeof(r->number.first), "+49301234500");
	snprintf(r->number.last, sizeof(r->number.last), "+49301234599");
	r->via = (struct db_route_via){.trunk_id = 2, .priority = 1, .weight = 1};
	r->route = (struct db_route){.id = 1,
	    .name = S("out"),
	    .position = 1,
	    .from_trunk = 1,
	    .from = S("*"),
	    .to = S("*"),
	    .via = &r->via,
	    .n_via = 1};
	r->rows = (struct db_rows){.revision = 1,
	    .trunks = r->trunks,
	    .n_trunks = 2,
	    .numbers = &r->number,
	    .n_numbers = 1,
	    .routes = &r->route,
	    .n_routes = 1};
}

static void compile(struct world *w, const struct sim_rows *rows)
{
	static const struct pol_realm realms[2] = {
	    {.name = {"lan", 3}, .strangers = POL_STRANGER_DROP}, {.name = {"wan", 3}, .strangers = POL_STRANGER_DROP}};
	struct policy_errors *errs = calloc(1, sizeof(*errs));

	if (!errs)
		abort();
	if (policy_compile(&(struct policy_input){.realms = realms,
	                       .n_realms = 2,
	                       .rows = &rows->rows,
	                       .hash_key = w->env.hash_key},
	        &w->policy, errs)) {
		printf("policy: %s: %s\n", errs->e[0].object, errs->e[0].text);
		abort();
	}
	free(errs);
}

struct world *world_new(uint64_t seed, const struct sim_rows *rows, unsigned servers, bool tcp, bool verbose)
{
	struct world *w = calloc(1, sizeof(*w));
	struct media_realm_cfg realms[2];
	enum reason why;

	if (!w)
		abort();
	w->verbose = verbose;
	w->clock.mono_us = 1000000000;
	w->clock.wall_us = 1700000000000000;
	timers_init(&w->box_timers, &w->clock);
	timers_init(&w->timers, &w->clock);
	rng_init_seeded(&w->rng, seed);
	rng_init_seeded(&w->box_rng, seed ^ 0x9e3779b97f4a7c15u);
	metrics_init(&w->metrics);
	if (logger_init(&w->logger, verbose ? 1 : -1, verbose ? LOG_DEBUG : LOG_ERROR))
		abort();
	w->env = (struct env){.clock = &w->clock,
	    .timers = &w->box_timers,
	    .rng = &w->box_rng,
	    .logger = &w->logger,
	    .metrics = &w->metrics,
	    .hash_key = {seed, 1}};
	w->net.ops = &box_ops;
	dns_fill(w, servers, tcp);
	list_init(&w->hosts);
	list_init(&w->packets);
	list_init(&w->conns);
	memset(realms, 0, sizeof(realms));
	for (unsigned i = 0; i < 2; i++) {
		w->local[i] = (struct net_local){
		    .bound = address(box_addr[i], 5060), .host = str_z(box_addr[i]), .port = 5060};
		w->local6[i] = (struct net_local){
		    .bound = address(box_addr6[i], 5060), .host = i ? S("[2001:db8:b::1]") : S("[2001:db8:a::1]"), .port = 5060};
		realms[i] = (struct media_realm_cfg){.name = i ? S("wan") : S("lan"),
		    .ip4 = address(box_addr[i], 0),
		    .ip6 = address(box_addr6[i], 0),
		    .port_min = (uint16_t)(20000 + i * 1000),
		    .port_max = (uint16_t)(20099 + i * 1000)};
	}
	w->media = media_new(&w->env, &(struct media_cfg){.realms = realms, .n_realms = 2}, &why);
	w->b2b = w->media ? b2b_new(&w->env, &w->net, w->media, &(struct b2b_cfg){.user_agent = S("Postern/sim"), .locator = &w->locator},
	                        &box_user, w)
	                  : NULL;
	if (!w->b2b)
		abort();
	compile(w, rows);
	b2b_set_policy(w->b2b, w->policy);
	return w;
}

void world_free(struct world *w)
{
	struct list *n;

	b2b_free(w->b2b);
	media_free(w->media);
	policy_unref(w->policy);
	logger_fini(&w->logger);
	while ((n = list_pop(&w->packets)))
		free(container_of(n, struct packet, node));
	while ((n = list_pop(&w->conns)))
		free(container_of(n, struct sim_conn, node));
	free(w);
}

/* What must hold at any moment. */
static void invariants(struct world *w)
{
	unsigned calls = b2b_call_count(w->b2b), legs = b2b_leg_count(w->b2b);

	SIM_CHECK(w, media_call_count(w->media) <= calls, "%u media sessions for %u calls",
	    media_call_count(w->media), calls);
	SIM_CHECK(w, legs <= 2 * calls, "%u legs for %u calls", legs, calls);
	SIM_CHECK(w, media_pairs_in_use(w->media) <= 8 * calls, "%u port pairs for %u calls",
	    media_pairs_in_use(w->media), calls);
}

void world_run(struct world *w, int64_t until_us)
{
	for (;;) {
		int64_t a = timers_next_us(&w->box_timers), b = timers_next_us(&w->timers), next = a < b ? a : b;
		unsigned before = w->failures;

		if (next > until_us)
			break;
		if (next > w->clock.mono_us) {
			w->clock.wall_us += next - w->clock.mono_us;
			w->clock.mono_us = next;
		}
		timers_advance(&w->timers);
		timers_advance(&w->box_timers);
		invariants(w);
		if (w->failures > before + 20)
			return;
	}
}
