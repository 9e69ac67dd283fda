/* rig.h - a registrar behind a real transaction layer, a PBX that answers challenges, and a store that is told when to
 * say yes.
 *
 * Two trunks in realm 0: "acme" (GIN, aor trunk42, numbers +493012345x) and "plain" (register, aor 300, number
 * +4940777). Both have the password "a long secret". Trunk "still" is static.
 */
#ifndef TESTS_UNIT_SBC_REG_RIG_H
#define TESTS_UNIT_SBC_REG_RIG_H

#include "../policy/fixture.h"

#include "sbc/auth/answer.h"
#include "sbc/base/arena.h"
#include "sbc/reg/reg.h"
#include "sbc/sip/header.h"

#define UNUSED __attribute__((unused))
#define RIG_STORED_MAX 64

struct rig_stored {
	uint64_t token;
	unsigned n_put, n_del;
	struct str uri; /* of the first put */
};

struct rig {
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct metrics metrics;
	struct env env;
	struct net net;
	struct net_local local;
	struct fix fix;
	struct txn_layer *txn;
	struct reg *reg;
	struct arena_pool pool;
	struct arena *arena;
	/* what the store was asked */
	struct rig_stored stored[RIG_STORED_MAX];
	unsigned n_stored;
	bool sips;             /* what REGISTERs are sent to */
	bool hold;             /* stored is told later, by rig_release() */
	enum reason store_says;
	bool store_full;       /* no memory for what it is asked */
	uint64_t waiting[RIG_STORED_MAX];
	unsigned n_waiting;
	/* what went out */
	char sent[64][8192];
	struct net_path sent_to[64];
	unsigned n_sent;
	uint32_t n_peers;
	/* events, a line each */
	char events[4096];
	size_t n_events;
	/* the PBX */
	struct auth_session session;
	struct auth_credential cred;
	struct net_path from;
	unsigned cseq, branch;
	const char *call_id;
	/* for tests of what stands beside the registrar; NULL: nothing */
	void (*other)(struct rig *r, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from);
	void (*note)(struct rig *r, uint32_t trunk_id, const struct reg_contact *c, enum reason why);
};

static int rig_send(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct rig *r = container_of(n, struct rig, net);

	(void)owner;
	r->sent_to[r->n_sent % ARRAY_LEN(r->sent)] = *path;
	assert_true(r->n_sent < ARRAY_LEN(r->sent) && len < sizeof(r->sent[0]));
	memcpy(r->sent[r->n_sent], p, len);
	r->sent[r->n_sent++][len] = '\0';
	return 0;
}

static const struct net_local *rig_local(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	struct rig *r = container_of(n, struct rig, net);

	(void)realm;
	(void)proto;
	(void)family;
	return &r->local;
}

static void rig_close(struct net *n, const struct net_path *path, bool now)
{
	(void)n;
	(void)path;
	(void)now;
}

static int rig_peer_set(struct net *n, uint32_t *id, const struct net_peer *cfg)
{
	struct rig *r = container_of(n, struct rig, net);

	(void)cfg;
	if (!*id)
		*id = ++r->n_peers;
	return 0;
}

static const struct net_ops rig_net_ops = {
    .send = rig_send, .local = rig_local, .close = rig_close, .peer_set = rig_peer_set};

static void rig_request(void *ctx, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct rig *r = ctx;

	if (t && m->method == SIP_REGISTER)
		reg_request(r->reg, t, m, from);
	else if (t && r->other)
		r->other(r, t, m, from);
	else if (t)
		txn_srv_drop(t);
}

static const struct txn_user rig_txn_user = {.on_request = rig_request};

static int rig_store(void *ctx, const struct reg_change *ch, uint64_t token)
{
	struct rig *r = ctx;

	assert_true(r->n_stored < RIG_STORED_MAX);
	if (r->store_full)
		return -ENOMEM;
	r->stored[r->n_stored++] = (struct rig_stored){.token = token,
	    .n_put = ch->n_put,
	    .n_del = ch->n_del,
	    .uri = ch->n_put ? str_dup(r->arena, ch->put[0].uri) : STR_NONE};
	if (token)
		r->waiting[r->n_waiting++] = token;
	return 0;
}

static bool rig_is_local(void *ctx, unsigned realm, const struct addr *a)
{
	struct addr own;

	(void)ctx;
	(void)realm;
	return addr_parse(S("10.0.0.9:5060"), 5060, &own) == 0 && addr_eq_ip(&own, a);
}

static void rig_event(void *ctx, uint32_t trunk_id, const struct reg_contact *c, enum reason why)
{
	struct rig *r = ctx;
	struct str uri = c ? c->uri : STR_NONE;

	if (r->note)
		r->note(r, trunk_id, c, why);
	r->n_events += (size_t)snprintf(r->events + r->n_events, sizeof(r->events) - r->n_events, "%u %s %.*s\n", trunk_id,
	    why == REASON_NONE ? "ok" : reason_info(why)->name, STR(uri));
}

static const struct reg_user rig_user = {rig_store, rig_is_local, rig_event};

/* what waits is said to be stored, in order, what follows from it too */
static UNUSED void rig_release(struct rig *r)
{
	while (r->n_waiting) {
		uint64_t token = r->waiting[0];

		memmove(r->waiting, r->waiting + 1, --r->n_waiting * sizeof(r->waiting[0]));
		reg_stored(r->reg, token, r->store_says);
	}
}

static void rig_ha1(struct rig *r, unsigned trunk, const char *user, const char *realm, const char *password)
{
	static const size_t len[] = {32, 64, 64};
	struct db_credential *c = &r->fix.trunks[trunk].credential;
	struct str *to[] = {&c->md5, &c->sha256, &c->sha512_256};

	c->user = str_z(user);
	c->realm = str_z(realm);
	for (int i = 0; i < DIGEST_ALGS; i++) {
		struct digest_hex h;

		assert_int_equal(digest_ha1((enum digest_alg)i, c->user, c->realm, str_z(password), &h), 0);
		assert_int_equal(h.n, len[i]);
		*to[i] = str_dup(r->arena, digest_str(&h));
	}
}

static UNUSED void rig_pbx(struct rig *r, const char *user, const char *password, const char *ip)
{
	memset(&r->session, 0, sizeof(r->session));
	r->cred = (struct auth_credential){.realm = S("sbc.example.net"), .username = str_z(user), .password = str_z(password)};
	r->from = (struct net_path){.proto = NET_UDP, .realm = 1};
	assert_int_equal(addr_parse(str_z(ip), 5060, &r->from.remote), 0);
}

static UNUSED void rig_compile(struct rig *r)
{
	reg_set_policy(r->reg, fix_compile(&r->fix));
}

static UNUSED void rig_init(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->clock.mono_us = 5000000000;
	r->clock.wall_us = 1795000000000000; /* 2026-11-18 */
	timers_init(&r->timers, &r->clock);
	rng_init_seeded(&r->rng, 3);
	metrics_init(&r->metrics);
	r->env = (struct env){
	    .clock = &r->clock, .timers = &r->timers, .rng = &r->rng, .metrics = &r->metrics, .hash_key = {5, 6}};
	r->net.ops = &rig_net_ops;
	r->local = (struct net_local){.host = S("10.0.0.9"), .port = 5060};
	arena_pool_init(&r->pool, 8192, 8);
	r->arena = arena_new(&r->pool);
	r->call_id = "reg1@pbx";
	fix_init(&r->fix);
	fix_trunk(&r->fix, "acme", "role=pbx realm=wan target=192.0.2.10 auth=gin aor=trunk42 max-contacts=3");
	fix_trunk(&r->fix, "plain", "role=pbx realm=wan target=192.0.2.20 auth=register aor=300");
	fix_trunk(&r->fix, "still", "role=pbx realm=wan target=192.0.2.30");
	rig_ha1(r, 0, "trunk42", "sbc.example.net", "a long secret");
	rig_ha1(r, 1, "user300", "sbc.example.net", "a long secret");
	fix_number(&r->fix, "+4940777", 2);
	fix_number(&r->fix, "+4930123450..+4930123459", 1);
	r->txn = txn_new(&r->env, &r->net, &rig_txn_user, r);
	r->reg = reg_new(&r->env, &(struct reg_cfg){.realm = S("sbc.example.net"), .net = &r->net}, &rig_user, r);
	assert_non_null(r->txn);
	assert_non_null(r->reg);
	rig_compile(r);
	rig_pbx(r, "trunk42", "a long secret", "192.0.2.10");
}

static UNUSED void rig_fini(struct rig *r)
{
	reg_free(r->reg);
	txn_free(r->txn);
	fix_fini(&r->fix);
	arena_free(r->arena);
	arena_pool_fini(&r->pool);
}

static UNUSED void rig_run(struct rig *r, int64_t seconds)
{
	int64_t until = r->clock.mono_us + seconds * 1000000;

	while (r->clock.mono_us < until) {
		int64_t next = timers_next_us(&r->timers), step;

		next = next < until ? next : until;
		step = next > r->clock.mono_us ? next - r->clock.mono_us : 2000;
		r->clock.mono_us += step;
		r->clock.wall_us += step;
		timers_advance(&r->timers);
	}
}

/* One REGISTER as it stands; the last thing that was sent, or "". lines: complete header lines. */
static UNUSED const char *rig_send_register(struct rig *r, const char *to, const char *lines, const char *credentials)
{
	char text[8192];
	unsigned before = r->n_sent;
	int n = snprintf(text, sizeof(text),
	    "REGISTER %s:sbc.example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK%u;rport\r\n"
	    "Max-Forwards: 70\r\nFrom: <%s>;tag=p7a1\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: %u REGISTER\r\n%s%s"
	    "Content-Length: 0\r\n\r\n",
	    r->sips ? "sips" : "sip", ++r->branch, to, to, r->call_id, ++r->cseq, lines, credentials);

	txn_on_message(r->txn, &r->from, text, (size_t)n, REASON_NONE);
	if (!r->hold)
		rig_release(r);
	return r->n_sent > before ? r->sent[r->n_sent - 1] : "";
}

static UNUSED const struct sip_msg *rig_parse(struct rig *r, const char *text)
{
	size_t n = strlen(text);
	char *copy = arena_alloc(r->arena, n + 1);
	struct sip_perr err;
	struct sip_msg *m;

	memcpy(copy, text, n + 1);
	assert_int_equal(sip_parse(r->arena, copy, n, &m, &err), 0);
	return m;
}

static UNUSED const char *rig_credentials(struct rig *r)
{
	char *text = arena_alloc(r->arena, 2048);
	struct buf b;

	buf_init(&b, text, 2047);
	assert_int_equal(auth_put(&r->session, &r->rng, S("REGISTER"), r->sips ? S("sips:sbc.example.net") : S("sip:sbc.example.net"), STR_NONE, &b), 0);
	return buf_z(&b);
}

/* With credentials, after a challenge if need be: the answer. */
static UNUSED const char *rig_register(struct rig *r, const char *to, const char *lines)
{
	const char *a;

	r->n_sent = r->n_stored = 0; /* waiting ones stay */
	r->n_events = 0;
	r->events[0] = '\0';
	a = rig_send_register(r, to, lines, r->session.n ? rig_credentials(r) : "");
	if (strncmp(a, "SIP/2.0 401", 11) == 0) {
		assert_int_equal(auth_take(&r->session, rig_parse(r, a), &r->cred, 1), REASON_NONE);
		a = rig_send_register(r, to, lines, rig_credentials(r));
	}
	return a;
}

static UNUSED unsigned rig_status(const char *answer)
{
	return strncmp(answer, "SIP/2.0 ", 8) == 0 ? (unsigned)atoi(answer + 8) : 0;
}

#define assert_status(answer, want) \
	do { \
		const char *as_a = (answer); \
		if (rig_status(as_a) != (want)) \
			fail_msg("expected %d: %s", (want), as_a); \
	} while (0)

static UNUSED unsigned rig_count(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

#define AOR "sip:trunk42@sbc.example.net"
#define BULK "Require: gin\r\nProxy-Require: gin\r\nSupported: path\r\nContact: <sip:192.0.2.10:5060;transport=tcp;tk=c41f;bnc>"

#endif
