/* guard.c - bans, budgets of strangers, buckets per source.
 *
 * A bucket is one number: the time at which it would be empty again ("theoretical arrival time"). A message moves
 * it on by the interval of its rate and is refused when it would run ahead of now by more than the burst.
 *
 * The table of sources is an array made once, with a list by last use. An entry that is taken from the end of the
 * list starts again with a full bucket: what somebody gains who makes up sources to push his own entry out is
 * bounded by the budget that all strangers share.
 *
 * Bans are looked up by hash once per prefix length that is in use (one or two as a rule). They end by the
 * monotonic clock; the wall clock only says so to people. One that has run out goes when it is met, when bans are
 * listed, or when room is needed.
 */
#include "sbc/net/guard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_QUIET_US 1000000

struct source {
	struct hnode node;
	struct list by_use; /* guard->by_use, most recent last */
	uint8_t len;
	uint8_t ip[8];
	int64_t rate_ns, strike_ns; /* buckets */
};

struct ban {
	struct hnode node;
	struct guard_ban pub;
	int64_t until_us; /* mono; INT64_MAX: until lifted */
	uint8_t len, bits; /* of the address bytes: an IPv4-mapped range is an IPv4 range */
	uint8_t ip[16];
};

/* Reasons that have a counter of their own; all others share the last. */
static const struct {
	enum reason why;
	const char *name;
} event_kinds[] = {
    {REASON_TLS_HANDSHAKE, "tls_handshake"},
    {REASON_TLS_UNTRUSTED, "tls_untrusted"},
    {REASON_TLS_EXPIRED, "tls_expired"},
    {REASON_TLS_NAME_MISMATCH, "tls_name"},
    {REASON_TLS_NO_CERT, "tls_no_certificate"},
    {REASON_TLS_REVOKED, "tls_revoked"},
    {REASON_TLS_PURPOSE, "tls_purpose"},
    {REASON_NO_TRUNK, "no_trunk"},
    {REASON_NONE, "other"},
};
#define EVENT_KINDS ARRAY_LEN(event_kinds)

struct guard {
	const struct env *env;
	struct guard_cfg cfg;
	guard_ban_fn *on_ban;
	void *ctx;
	struct log log;
	struct log_gate ban_gate;
	uint64_t counts[GUARD_VERDICTS];
	struct metric_set metrics;

	struct source *source; /* own: max_sources */
	struct guard_event event[GUARD_EVENTS]; /* latest first */
	unsigned n_events;
	uint64_t event_counts[EVENT_KINDS];
	const char *event_names[EVENT_KINDS];
	struct metric_set event_metrics;

	unsigned n_sources, max_sources;
	struct htab sources;
	struct list by_use;
	int64_t strangers_ns;

	struct ban **ban; /* own: oldest first */
	unsigned n_bans, cap_bans;
	struct htab bans;
	unsigned bits_used[2][129]; /* bans by family and prefix length */
	uint8_t bits[2][129];       /* the lengths in use, in no order */
	unsigned n_bits[2];
};

static const char *const count_names[GUARD_VERDICTS] = {
    "passed", "banned", "known_over_rate", "stranger_over_rate", "strangers_over_budget"};

void guard_cfg_defaults(struct guard_cfg *cfg)
{
	*cfg = (struct guard_cfg){
	    .max_sources = 65536,
	    .max_bans = 10000,
	    .known = {0, 1},
	    .stranger = {5, 20},
	    .strangers = {500, 1000},
	    .strikes = {1, 200},
	    .ban_s = 3600,
	};
}

/* ---- buckets ---- */

static bool take(int64_t *at_ns, const struct guard_rate *r, int64_t now_us)
{
	int64_t now_ns = now_us * 1000, step, next;

	if (r->per_s == 0)
		return true;
	step = 1000000000 / (int64_t)r->per_s;
	next = (*at_ns > now_ns ? *at_ns : now_ns) + step;
	if (next - now_ns > step * (r->burst ? (int64_t)r->burst : 1))
		return false;
	*at_ns = next;
	return true;
}

/* ---- sources ---- */

static struct source *source_of(struct guard *g, const struct addr *from)
{
	struct str key = str_head(addr_ip_bytes(from), 8);
	uint64_t hash = hash_str(&g->env->hash_key, key);
	struct source *s;

	for (struct hnode *n = htab_first(&g->sources, hash); n; n = htab_next(n)) {
		s = container_of(n, struct source, node);
		if (str_eq(str_n((const char *)s->ip, s->len), key)) {
			list_del(&s->by_use);
			list_push(&g->by_use, &s->by_use);
			return s;
		}
	}
	if (g->n_sources < g->max_sources) {
		s = &g->source[g->n_sources++];
	} else {
		s = container_of(list_pop(&g->by_use), struct source, by_use);
		htab_del(&g->sources, &s->node);
		memset(s, 0, sizeof(*s));
	}
	s->len = (uint8_t)key.n;
	memcpy(s->ip, key.p, key.n);
	htab_add(&g->sources, &s->node, hash);
	list_push(&g->by_use, &s->by_use);
	return s;
}

/* ---- bans ---- */

struct ban_key {
	uint8_t len, bits;
	uint8_t ip[16];
};

/* the first bits of an address */
static struct ban_key key_of(struct str ip, unsigned bits)
{
	struct ban_key k = {.len = (uint8_t)ip.n, .bits = (uint8_t)bits};

	memcpy(k.ip, ip.p, bits / 8);
	if (bits % 8)
		k.ip[bits / 8] = (uint8_t)((unsigned char)ip.p[bits / 8] & (0xff00u >> (bits % 8)));
	return k;
}

static struct ban_key key_of_net(const struct addr_net *net)
{
	struct str ip = addr_ip_bytes(&net->base);
	unsigned bits = net->bits;

	if (ip.n == 4 && addr_is6(&net->base)) /* IPv4-mapped; a range wider than /96 of it cannot be meant */
		bits = bits > 96 ? bits - 96 : 0;
	if (bits > ip.n * 8)
		bits = (unsigned)ip.n * 8;
	return key_of(ip, bits);
}

static struct ban *ban_find(const struct guard *g, const struct ban_key *k)
{
	uint64_t hash = hash_bytes(&g->env->hash_key, k, sizeof(*k));

	for (struct hnode *n = htab_first(&g->bans, hash); n; n = htab_next(n)) {
		struct ban *b = container_of(n, struct ban, node);

		if (b->len == k->len && b->bits == k->bits && memcmp(b->ip, k->ip, sizeof(b->ip)) == 0)
			return b;
	}
	return NULL;
}

static unsigned family(unsigned len)
{
	return len == 16;
}

static void ban_remove(struct guard *g, struct ban *b)
{
	unsigned f = family(b->len), i;

	for (i = 0; i < g->n_bans && g->ban[i] != b; i++)
		;
	memmove(&g->ban[i], &g->ban[i + 1], (g->n_bans - i - 1) * sizeof(*g->ban));
	g->n_bans--;
	htab_del(&g->bans, &b->node);
	if (--g->bits_used[f][b->bits] == 0) {
		for (i = 0; g->bits[f][i] != b->bits; i++)
			;
		g->bits[f][i] = g->bits[f][--g->n_bits[f]];
	}
	free(b);
}

static void ban_expire(struct guard *g, struct ban *b)
{
	struct guard_ban pub = b->pub;

	ban_remove(g, b);
	if (g->on_ban)
		g->on_ban(g->ctx, &pub, false);
}

static bool expired(const struct guard *g, const struct ban *b)
{
	return b->until_us <= g->env->clock->mono_us;
}

static void ban_sweep(struct guard *g)
{
	for (unsigned i = g->n_bans; i-- > 0;)
		if (expired(g, g->ban[i]))
			ban_expire(g, g->ban[i]);
}

/* The ban that covers these bytes; known sources are only held by the operator's. */
static struct ban *ban_covering(struct guard *g, const struct addr *from, bool known)
{
	struct str ip = addr_ip_bytes(from);
	unsigned f = family((unsigned)ip.n);

	for (unsigned i = 0; i < g->n_bits[f]; i++) {
		struct ban_key k = key_of(ip, g->bits[f][i]);
		struct ban *b = ban_find(g, &k);

		if (!b || (known && b->pub.by_guard))
			continue;
		if (!expired(g, b))
			return b;
		ban_expire(g, b);
		i = UINT32_MAX; /* the lengths have moved: again from the start */
	}
	return NULL;
}

static int ban_put(struct guard *g, const struct guard_ban *pub, int64_t until_us)
{
	struct ban_key k = key_of_net(&pub->net);
	struct ban *b = ban_find(g, &k);
	unsigned f = family(k.len);

	if (b) {
		uint64_t hits = b->pub.hits;

		b->pub = *pub;
		b->pub.hits = hits;
		b->until_us = until_us;
		return 0;
	}
	if (g->n_bans >= g->cfg.max_bans)
		ban_sweep(g);
	if (g->n_bans >= g->cfg.max_bans)
		return -ENOSPC;
	if (g->n_bans == g->cap_bans) {
		unsigned cap = g->cap_bans ? g->cap_bans * 2 : 16;
		struct ban **p = realloc(g->ban, cap * sizeof(struct ban *));

		if (!p)
			return -ENOMEM;
		g->ban = p;
		g->cap_bans = cap;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->pub = *pub;
	b->until_us = until_us;
	b->len = k.len;
	b->bits = k.bits;
	memcpy(b->ip, k.ip, sizeof(b->ip));
	g->ban[g->n_bans++] = b;
	htab_add(&g->bans, &b->node, hash_bytes(&g->env->hash_key, &k, sizeof(k)));
	if (g->bits_used[f][k.bits]++ == 0)
		g->bits[f][g->n_bits[f]++] = k.bits;
	return 0;
}

static struct guard_ban ban_for(const struct guard *g, const struct addr_net *net, uint32_t seconds, bool by_guard)
{
	return (struct guard_ban){.net = *net,
	    .until_wall_us = seconds ? g->env->clock->wall_us + (int64_t)seconds * 1000000 : INT64_MAX,
	    .by_guard = by_guard};
}

static int64_t until_mono(const struct guard *g, uint32_t seconds)
{
	return seconds ? g->env->clock->mono_us + (int64_t)seconds * 1000000 : INT64_MAX;
}

int guard_ban(struct guard *g, const struct addr_net *net, uint32_t seconds)
{
	struct guard_ban b = ban_for(g, net, seconds, false);

	return ban_put(g, &b, until_mono(g, seconds));
}

int guard_ban_restore(struct guard *g, const struct guard_ban *ban)
{
	int64_t left = INT64_MAX;

	if (ban->until_wall_us != INT64_MAX) {
		left = ban->until_wall_us - g->env->clock->wall_us;
		if (left <= 0)
			return -ETIME;
		left = left < INT64_MAX / 2 ? left + g->env->clock->mono_us : INT64_MAX;
	}
	return ban_put(g, ban, left);
}

bool guard_unban(struct guard *g, const struct addr_net *net)
{
	struct ban_key k = key_of_net(net);
	struct ban *b = ban_find(g, &k);

	if (b)
		ban_remove(g, b);
	return b != NULL;
}

const struct guard_ban *guard_banned(struct guard *g, const struct addr *from)
{
	struct ban *b = ban_covering(g, from, false);

	return b ? &b->pub : NULL;
}

bool guard_ban_next(struct guard *g, unsigned *at, struct guard_ban *ret)
{
	if (*at == 0)
		ban_sweep(g);
	if (*at >= g->n_bans)
		return false;
	*ret = g->ban[(*at)++]->pub;
	return true;
}

/* ---- verdicts ---- */

static bool strike(struct guard *g, struct source *s, const struct addr *from)
{
	const struct clock *now = g->env->clock;
	struct addr_net net = {.base = *from};
	char text[ADDR_TEXT_MAX];
	struct guard_ban b;
	unsigned unsaid;

	if (g->cfg.strikes.per_s == 0 || take(&s->strike_ns, &g->cfg.strikes, now->mono_us))
		return false;
	addr_set_port(&net.base, 0);
	net.bits = 32;
	if (s->len == 8) {
		net.bits = 64;
		memset(&net.base.in6.sin6_addr.s6_addr[8], 0, 8);
	} else if (addr_is6(from)) {
		net.bits = 128; /* IPv4-mapped */
	}
	b = ban_for(g, &net, g->cfg.ban_s, true);
	if (ban_put(g, &b, until_mono(g, g->cfg.ban_s)) < 0)
		return false;
	s->strike_ns = 0;
	if (log_gate_open(&g->ban_gate, now->mono_us, LOG_QUIET_US, &unsaid))
		log_warn(&g->log, "guard_ban", "source=%s bits=%u for_s=%u unsaid=%u", addr_text(&net.base, text), net.bits,
		    g->cfg.ban_s, unsaid);
	if (g->on_ban)
		g->on_ban(g->ctx, &b, true);
	return true;
}

static enum guard_verdict verdict(struct guard *g, const struct addr *from, bool known)
{
	int64_t now = g->env->clock->mono_us;
	struct source *s;
	struct ban *b = g->n_bans ? ban_covering(g, from, known) : NULL;

	if (b) {
		b->pub.hits++;
		return GUARD_BANNED;
	}
	if (known) {
		if (g->cfg.known.per_s == 0)
			return GUARD_PASS;
		s = source_of(g, from);
		return take(&s->rate_ns, &g->cfg.known, now) ? GUARD_PASS : GUARD_KNOWN_RATE;
	}
	s = source_of(g, from);
	if (!take(&s->rate_ns, &g->cfg.stranger, now)) {
		strike(g, s, from);
		return GUARD_STRANGER_RATE;
	}
	return take(&g->strangers_ns, &g->cfg.strangers, now) ? GUARD_PASS : GUARD_STRANGERS;
}

enum guard_verdict guard_check(struct guard *g, const struct addr *from, bool known)
{
	enum guard_verdict v = verdict(g, from, known);

	g->counts[v]++;
	return v;
}

bool guard_strike(struct guard *g, const struct addr *from, bool known)
{
	return !known && strike(g, source_of(g, from), from);
}

/* ---- events ---- */

static size_t event_kind(enum reason why)
{
	size_t i = 0;

	while (i + 1 < EVENT_KINDS && event_kinds[i].why != why)
		i++;
	return i;
}

/* who stands where in the list, and is counted together: its address without a port */
static bool same_event(const struct guard_event *e, const struct addr *from, enum reason why)
{
	return e->why == why && addr_eq_ip(&e->from, from);
}

void guard_event(struct guard *g, const struct addr *from, enum reason why, struct str text)
{
	struct guard_event e = {.why = why, .first_us = g->env->clock->wall_us};
	unsigned i = 0;

	g->event_counts[event_kind(why)]++;
	while (i < g->n_events && !same_event(&g->event[i], from, why))
		i++;
	if (i < g->n_events)
		e = g->event[i];
	else if (g->n_events < GUARD_EVENTS)
		g->n_events++;
	else
		i--; /* the oldest makes room */
	memmove(&g->event[1], &g->event[0], i * sizeof(e));
	e.from = *from;
	e.n++;
	e.last_us = g->env->clock->wall_us;
	text = str_head(text, sizeof(e.text) - 1);
	if (text.n)
		memcpy(e.text, text.p, text.n);
	e.text[text.n] = '\0';
	g->event[0] = e;
}

bool guard_event_next(const struct guard *g, unsigned *at, struct guard_event *ret)
{
	if (*at >= g->n_events)
		return false;
	*ret = g->event[(*at)++];
	return true;
}

/* ---- life ---- */

int guard_new(const struct env *env, const struct guard_cfg *cfg, guard_ban_fn *on_ban, void *ctx,
    struct guard **ret)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->env = env;
	g->cfg = *cfg;
	g->on_ban = on_ban;
	g->ctx = ctx;
	g->log = (struct log){.to = env->logger, .area = LOG_NET};
	g->max_sources = cfg->max_sources ? cfg->max_sources : 1;
	g->source = calloc(g->max_sources, sizeof(*g->source));
	list_init(&g->by_use);
	g->metrics = (struct metric_set){
	    .area = "guard", .names = count_names, .values = g->counts, .n = GUARD_VERDICTS};
	for (size_t i = 0; i < EVENT_KINDS; i++)
		g->event_names[i] = event_kinds[i].name;
	g->event_metrics = (struct metric_set){
	    .area = "refused", .names = g->event_names, .values = g->event_counts, .n = EVENT_KINDS};
	if (env->metrics) {
		metrics_add(env->metrics, &g->metrics);
		metrics_add(env->metrics, &g->event_metrics);
	}
	if (!g->source || htab_init(&g->sources, 1024) < 0 || htab_init(&g->bans, 16) < 0) {
		guard_free(g);
		return -ENOMEM;
	}
	*ret = g;
	return 0;
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	for (unsigned i = 0; i < g->n_bans; i++)
		free(g->ban[i]);
	free(g->ban);
	free(g->source);
	htab_fini(&g->sources);
	htab_fini(&g->bans);
	metrics_del(&g->metrics);
	metrics_del(&g->event_metrics);
	free(g);
}

void guard_reconfigure(struct guard *g, const struct guard_cfg *cfg)
{
	g->cfg = *cfg;
}

uint64_t guard_count(const struct guard *g, enum guard_verdict v)
{
	return (unsigned)v < GUARD_VERDICTS ? g->counts[v] : 0;
}

unsigned guard_sources(const struct guard *g)
{
	return g->n_sources;
}
