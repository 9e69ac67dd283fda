/* register.c - any sequence of REGISTERs, answers of the store, changes of the policy and time through a registrar
 * behind a transaction layer.
 *
 * links: sbc_reg sbc_policy sbc_txn sbc_auth db
 *
 * The input is a list of steps. Most REGISTERs carry good credentials of one of two trunks, for a fuzzer cannot guess a
 * digest; what stands in their header lines comes from the input. Checked: no crash, no leak; what is sent can be
 * parsed, and a 200 has the Contacts that it should have, so nobody writes lines of his own into it; the same for the
 * request of a call to the registered; and the database has the bindings that are in force, no more and no less.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sbc/auth/answer.h"
#include "sbc/base/arena.h"
#include "sbc/policy/internal.h"
#include "sbc/reg/reg.h"
#include "sbc/sip/header.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define POLICIES 4
#define ROWS_MAX 512
#define CHANGES_MAX 256
#define IDS_MAX 132

struct change {
	uint64_t token, put[IDS_MAX], del[IDS_MAX];
	unsigned n_put, n_del;
};

struct world {
	struct net net;
	struct net_local local;
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct env env;
	struct txn_layer *txn;
	struct reg *reg;
	struct arena_pool pool;
	struct arena *arena;
	const uint8_t *p, *end;
	struct auth_session session[2];
	struct change changes[CHANGES_MAX]; /* what the store has to do, in order */
	unsigned n_changes;
	uint64_t rows[ROWS_MAX];            /* ids in the database */
	unsigned n_rows, branch, cseq;
	bool store_full;                    /* no memory for a change */
	const struct sip_msg *last; /* the last answer; in the arena */
};

static struct policy *policies[POLICIES];
static const char *const users[2] = {"trunk42", "user300"};

static unsigned take(struct world *w)
{
	return w->p < w->end ? *w->p++ : 0;
}

/* ------------------------------------------------------------------ the world */

static unsigned contacts(const struct sip_msg *m)
{
	struct sip_values v = sip_values(m, SIP_H_CONTACT);
	struct str one;
	unsigned n = 0;

	while (sip_values_next(&v, &one))
		n++;
	return n;
}

/* NULL: it cannot be */
static const struct sip_msg *parse(struct world *w, const char *p, size_t n)
{
	char *copy = arena_alloc(w->arena, n + 1);
	struct sip_perr err;
	struct sip_msg *m;

	CHECK(copy);
	memcpy(copy, p, n);
	return sip_parse(w->arena, copy, n, &m, &err) == 0 ? m : NULL;
}

static int net_out(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct world *w = container_of(n, struct world, net);

	(void)path;
	(void)owner;
	CHECK(len > 0 && len <= SIP_MSG_MAX);
	CHECK(memcmp(p, "SIP/2.0 ", 8) == 0);
	w->last = parse(w, p, len);
	/* what could not be parsed gets a 4xx of the transaction layer, with what was readable of it */
	if (!w->last)
		CHECK(((const char *)p)[8] > '3' && memcmp((const char *)p + 8, "401", 3) != 0 &&
		      memcmp((const char *)p + 8, "42", 2) != 0);
	if (w->last && w->last->method == SIP_REGISTER && w->last->status == 200)
		CHECK(!sip_hdr(w->last, SIP_H_ROUTE) && !sip_hdr(w->last, SIP_H_RECORD_ROUTE) &&
		      contacts(w->last) <= bindings_count(reg_bindings(w->reg)));
	return 0;
}

static const struct net_local *net_where(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	(void)realm;
	(void)family;
	return proto <= NET_TCP ? &container_of(n, struct world, net)->local : NULL;
}

static void net_shut(struct net *n, const struct net_path *path, bool now)
{
	(void)n;
	(void)path;
	(void)now;
}

static const struct net_ops net_ops = {.send = net_out, .local = net_where, .close = net_shut};

static void on_request(void *ctx, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct world *w = ctx;

	if (t && m->method == SIP_REGISTER)
		reg_request(w->reg, t, m, from);
	else if (t)
		txn_srv_drop(t);
}

static const struct txn_user txn_user = {on_request, NULL, NULL};

static void row_del(struct world *w, uint64_t id)
{
	for (unsigned i = 0; i < w->n_rows; i++)
		if (w->rows[i] == id)
			w->rows[i--] = w->rows[--w->n_rows];
}

/* the first thing the store has to do */
static void store_one(struct world *w, bool ok)
{
	uint64_t token;
	struct change *c = &w->changes[0];

	if (w->n_changes == 0)
		return;
	token = c->token;
	ok = ok || !token;
	for (unsigned i = 0; ok && i < c->n_del; i++)
		row_del(w, c->del[i]);
	for (unsigned i = 0; ok && i < c->n_put; i++) {
		row_del(w, c->put[i]);
		CHECK(w->n_rows < ROWS_MAX);
		w->rows[w->n_rows++] = c->put[i];
	}
	memmove(c, c + 1, --w->n_changes * sizeof(*c));
	if (token)
		reg_stored(w->reg, token, ok ? REASON_NONE : REASON_DB_FULL);
}

static int on_store(void *ctx, const struct reg_change *ch, uint64_t token)
{
	struct world *w = ctx;
	struct change *c = &w->changes[w->n_changes];

	if (token && w->store_full)
		return -ENOMEM;
	w->n_changes++;
	CHECK(w->n_changes < CHANGES_MAX && ch->n_put <= IDS_MAX && ch->n_del <= IDS_MAX && ch->n_put + ch->n_del);
	c->token = token;
	c->n_put = ch->n_put;
	c->n_del = ch->n_del;
	for (unsigned i = 0; i < ch->n_put; i++)
		c->put[i] = ch->put[i].id;
	if (ch->n_del)
		memcpy(c->del, ch->del, ch->n_del * sizeof(c->del[0]));
	return 0;
}

static bool is_local(void *ctx, unsigned realm, const struct addr *a)
{
	(void)ctx;
	(void)realm;
	return addr_port(a) == 0 || addr_port(a) == 5060;
}

static void on_event(void *ctx, uint32_t trunk_id, const struct reg_contact *c, enum reason why)
{
	(void)ctx;
	(void)c;
	CHECK(trunk_id && reason_info(why));
}

static const struct reg_user reg_user = {on_store, is_local, on_event};

/* ------------------------------------------------------------------ policies */

static void hashes(struct db_credential *c, const char *user, struct digest_hex h[DIGEST_ALGS])
{
	for (int i = 0; i < DIGEST_ALGS; i++)
		CHECK(digest_ha1((enum digest_alg)i, str_z(user), S("sbc.example.net"), S("secret"), &h[i]) == 0);
	*c = (struct db_credential){.user = str_z(user), .realm = S("sbc.example.net"), .md5 = digest_str(&h[0]),
	    .sha256 = digest_str(&h[1]), .sha512_256 = digest_str(&h[2])};
}

static void compile(struct policy **ret, const char *one, const char *two, uint32_t number_of)
{
	static struct str domain;
	struct digest_hex h[2][DIGEST_ALGS];
	struct trunk_draft *draft[2];
	struct db_trunk trunks[2];
	struct db_number numbers[2];
	struct policy_errors errs = {.n = 0};
	struct pol_realm realm;
	struct db_rows rows = {.trunks = trunks, .n_trunks = 2, .numbers = numbers, .n_numbers = 2, .revision = 1};
	struct policy_input in = {.realms = &realm, .n_realms = 1, .rows = &rows, .hash_key = {1, 2}};
	struct db_err err;

	domain = S("sbc.example.net");
	realm = (struct pol_realm){.name = S("wan"), .domains = &domain, .n_domains = 1};
	for (unsigned i = 0; i < 2; i++) {
		struct str rest = str_z(i ? two : one), set;

		draft[i] = trunk_draft_new(NULL, i ? S("plain") : S("acme"));
		CHECK(draft[i]);
		while (rest.n) {
			rest = str_cut(rest, ' ', &set);
			CHECK(!trunk_draft_assign(draft[i], set, &err));
		}
		trunks[i] = *trunk_draft_row(draft[i]);
		trunks[i].id = i + 1;
		hashes(&trunks[i].credential, users[i], h[i]);
	}
	CHECK(!db_number_parse(S("+4930123450..+4930123459"), &numbers[1], &err));
	CHECK(!db_number_parse(S("+4940777"), &numbers[0], &err));
	numbers[1].trunk_id = 1;
	numbers[0].trunk_id = number_of;
	if (policy_compile(&in, ret, &errs) < 0) {
		fprintf(stderr, "%s: %s\n", errs.e[0].object, errs.e[0].text);
		abort();
	}
	trunk_draft_free(draft[0]);
	trunk_draft_free(draft[1]);
}

#define ONE "role=pbx realm=wan target=192.0.2.10 auth=gin aor=trunk42 max-contacts=3"
#define TWO "role=pbx realm=wan target=192.0.2.20 auth=register aor=300"

static void compile_all(void)
{
	if (policies[0])
		return;
	compile(&policies[0], ONE, TWO, 2);
	compile(&policies[1], ONE " gin-strict=yes contacts-full=replace nat=yes", TWO " max-contacts=1", 1);
	compile(&policies[2], "role=pbx realm=wan target=192.0.2.10", TWO, 2);
	compile(&policies[3], ONE " max-contacts=1 expires-max=60s", TWO, 2);
}

/* ------------------------------------------------------------------ steps */

static struct net_path path_of(unsigned v)
{
	struct net_path p = {.proto = v & 1 ? NET_TCP : NET_UDP, .conn = v & 1 ? 1 + (v >> 1 & 1) : 0};

	CHECK(addr_parse_ip(S("192.0.2.9"), (uint16_t)(5060 + (v >> 2 & 3)), &p.remote) == 0);
	return p;
}

static void deliver(struct world *w, const struct net_path *from, const char *text, size_t n)
{
	char *copy = malloc(n ? n : 1);

	CHECK(copy);
	memcpy(copy, text, n);
	txn_on_message(w->txn, from, copy, n, REASON_NONE);
	free(copy);
}

/* REGISTER with lines of the input, signed by trunk who */
static void signed_register(struct world *w, unsigned who, unsigned to, struct str lines, const struct net_path *from)
{
	static const char *const tos[] = {"sip:trunk42@sbc.example.net", "sip:300@sbc.example.net",
	    "sip:+4930123451@sbc.example.net;user=phone", "sip:+4940777@sbc.example.net"};
	const struct auth_credential cred = {
	    .realm = S("sbc.example.net"), .username = str_z(users[who]), .password = S("secret")};
	struct auth_session *s = &w->session[who];
	char creds[2048] = "", *text = malloc(lines.n + 4096);
	struct buf b;
	int n;

	CHECK(text);
	for (int tries = 0; tries < 2; tries++) {
		buf_init(&b, creds, sizeof(creds) - 1);
		CHECK(auth_put(s, &w->rng, S("REGISTER"), S("sip:sbc.example.net"), STR_NONE, &b) == 0);
		n = snprintf(text, lines.n + 4096,
		    "REGISTER sip:sbc.example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK%u\r\n"
		    "Max-Forwards: 70\r\nFrom: <sip:x@y>;tag=1\r\nTo: <%s>\r\nCall-ID: c%u\r\nCSeq: %u REGISTER\r\n%s%.*s\r\n",
		    ++w->branch, tos[to % ARRAY_LEN(tos)], to >> 2 & 1, ++w->cseq, buf_z(&b), STR(lines));
		CHECK(n > 0);
		w->last = NULL;
		deliver(w, from, text, (size_t)n);
		if (!w->last || w->last->status != 401)
			break;
		if (auth_take(s, w->last, &cred, 1) != REASON_NONE)
			memset(s, 0, sizeof(*s));
	}
	free(text);
}

/* the request of a call to everybody who is registered: one request line, one Route */
static void call(struct world *w, uint32_t trunk, struct str number)
{
	char space[8192], *text;
	static const struct str asked[] = {
	    {"sip:+4930123450@h", 17}, {"sip:+4930123450@h;sg=ph7", 24}, {"sip:+4930123450@h;gr=urn:uuid:1", 31}, {"sip:tgruu.AAAA.BB@h;gr=x", 24}};
	struct reg_way ways[REG_WAYS_MAX];
	struct sip_uri uri;
	struct buf s;
	unsigned n;

	buf_init(&s, space, sizeof(space));
	CHECK(sip_uri_parse(asked[take(w) % ARRAY_LEN(asked)], &uri) == 0);
	n = reg_ways(w->reg, trunk, &(struct reg_wish){.number = number, .uri = &uri, .msg = w->last}, &s, ways);
	for (unsigned i = 0; i < n; i++) {
		const struct sip_msg *m;
		struct sip_uri u;
		int len;

		CHECK(sip_uri_parse(ways[i].uri, &u) == 0 && !u.headers.p);
		text = malloc(ways[i].uri.n + ways[i].route.n + 512);
		CHECK(text);
		len = sprintf(text, "INVITE %.*s SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n%s%.*s%sFrom: <sip:a@b>;tag=1\r\n"
		                    "To: <sip:c@d>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
		    STR(ways[i].uri), ways[i].route.n ? "Route: " : "", STR(ways[i].route), ways[i].route.n ? "\r\n" : "");
		m = parse(w, text, (size_t)len);
		CHECK(m && str_eq(m->ruri.raw, ways[i].uri) && !!sip_hdr(m, SIP_H_ROUTE) == !!ways[i].route.n && !contacts(m));
		free(text);
	}
}

static void pass_time(struct world *w, int64_t us)
{
	int64_t end = w->clock.mono_us + us, next;

	while ((next = timers_next_us(&w->timers)) <= end) {
		if (next > w->clock.mono_us) {
			w->clock.wall_us += next - w->clock.mono_us;
			w->clock.mono_us = next;
		}
		timers_advance(&w->timers);
	}
	w->clock.wall_us += end - w->clock.mono_us;
	w->clock.mono_us = end;
	timers_advance(&w->timers);
}

static void restore(struct world *w)
{
	struct reg_contact c = {.id = (uint64_t)take(w) << 40 | 1, .trunk_id = 1 + (take(w) & 1), .bulk = true, .q = 1000,
	    .uri = S("sip:h;bnc"), .call_id = S("old"), .flow = path_of(0)};

	if (bindings_find(reg_bindings(w->reg), c.id) || w->n_changes)
		return; /* at start only */
	for (unsigned i = 0; i < w->n_rows; i++)
		if (w->rows[i] == c.id)
			return;
	c.expires_wall_us = w->clock.wall_us + 1 + (int64_t)take(w) * 100000000;
	w->rows[w->n_rows++] = c.id;
	if (reg_restore(w->reg, &c) < 0)
		store_one(w, true);
}

static struct str bytes(struct world *w)
{
	size_t n = take(w) << 8;

	n |= take(w);
	if (n > (size_t)(w->end - w->p))
		n = (size_t)(w->end - w->p);
	w->p += n;
	return str_n((const char *)w->p - n, n);
}

static void step(struct world *w)
{
	static const struct {
		uint32_t trunk;
		struct str number;
	} called[] = {{1, S("+4930123451")}, {1, STR_NONE}, {2, S("+4940777")}, {2, STR_NONE}};
	unsigned op = take(w), v = take(w);
	const struct reg_contact *c = NULL;
	struct net_path path;
	struct str text;

	switch (op % 10) {
	case 0:
		path = path_of(v);
		text = bytes(w);
		deliver(w, &path, text.p, text.n);
		break;
	case 1:
	case 2:
	case 3:
		path = path_of(v >> 4);
		signed_register(w, op / 10 & 1, v & 15, bytes(w), &path);
		break;
	case 4:
		pass_time(w, (int64_t)v * v * 100000);
		break;
	case 5:
	case 6:
		store_one(w, v % 8 != 0);
		break;
	case 7:
		w->store_full = v & 128;
		reg_set_policy(w->reg, policies[v % POLICIES]);
		break;
	case 8:
		for (unsigned i = 0; i <= v % 4; i++)
			c = bindings_walk(reg_bindings(w->reg), c);
		if (v & 128)
			restore(w);
		else if (c)
			CHECK(reg_kick(w->reg, c->id));
		break;
	default:
		path = path_of(v);
		(void)bindings_trunk_at(reg_bindings(w->reg), &path);
		call(w, called[v % 4].trunk, called[v % 4].number);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct world *w = calloc(1, sizeof(*w));

	CHECK(w);
	compile_all();
	w->net.ops = &net_ops;
	w->local = (struct net_local){.host = S("sbc.example"), .port = 5060};
	w->clock.mono_us = 1000000;
	w->clock.wall_us = 1795000000000000;
	timers_init(&w->timers, &w->clock);
	rng_init_seeded(&w->rng, 1);
	w->env = (struct env){.clock = &w->clock, .timers = &w->timers, .rng = &w->rng, .hash_key = {1, 2}};
	arena_pool_init(&w->pool, 8192, 8);
	w->arena = arena_new(&w->pool);
	w->txn = txn_new(&w->env, &w->net, &txn_user, w);
	w->reg = reg_new(&w->env, &(struct reg_cfg){.realm = S("sbc.example.net"), .net = &w->net}, &reg_user, w);
	CHECK(w->arena && w->txn && w->reg);
	reg_set_policy(w->reg, policies[0]);
	w->p = p;
	w->end = p + n;
	for (unsigned steps = 0; w->p < w->end && steps < 200 && w->n_changes < CHANGES_MAX / 2; steps++)
		step(w);
	if (n & 1) { /* the end with work under way: clients first, as when the daemon stops */
		txn_free(w->txn);
		reg_free(w->reg);
	} else {
		while (w->n_changes)
			store_one(w, true);
		CHECK(w->n_rows == bindings_count(reg_bindings(w->reg)));
		for (unsigned i = 0; i < w->n_rows; i++)
			CHECK(bindings_find(reg_bindings(w->reg), w->rows[i]));
		pass_time(w, (int64_t)700000 * 1000000);
		while (w->n_changes)
			store_one(w, true);
		CHECK(w->n_rows == 0 && bindings_count(reg_bindings(w->reg)) == 0 && txn_count_srv(w->txn) == 0);
		reg_free(w->reg);
		txn_free(w->txn);
	}
	CHECK(w->timers.n == 0);
	arena_free(w->arena);
	arena_pool_fini(&w->pool);
	free(w);
	return 0;
}
