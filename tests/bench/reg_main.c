/* reg_main.c - the registrar: REGISTER with digest, stored before the 200; from a number to a contact; a restart.
 * links: sbc_reg sbc_policy db
 *
 *     bench_reg [DIRECTORY [TRUNKS [NUMBERS]]]     default: the current directory, 1000 trunks, 1,000,000 numbers
 *
 * Registrations: each trunk refreshes its bulk contact with an MD5 response to a nonce it has (count going up), 512
 * under way; parser, transaction layer, registrar and store thread are the real ones, the network is memory. The
 * client's own hashing is taken out by measuring it alone. Look-up: number -> block -> trunk -> contact made for it, at
 * 100 numbers and at all of them. Restart: bindings read back from the file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "sbc/base/arena.h"
#include "sbc/loop/loop.h"
#include "sbc/policy/compile.h"
#include "sbc/reg/reg.h"

#define UNDER_WAY 512
#define REALM "sbc.example.net"

static double clock_s(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "bench_reg: %s\n", what);
	exit(1);
}

struct pbx {
	char user[16], nonce[40];
	uint32_t nc, cseq;
	struct digest_hex ha1;
	struct net_path from;
};

struct bench {
	struct loop loop;
	struct rng rng;
	struct metrics metrics;
	struct env env;
	struct net net;
	struct net_local local;
	struct txn_layer *txn;
	struct reg *reg;
	struct db *db;
	struct pbx *pbx;
	unsigned n_pbx, answered, ok, refused, under_way;
	struct pbx *asking; /* whose nonce the next 401 holds */
	char path[4096];
};

/* ------------------------------------------------------------------ a network of memory */

static int on_send(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct bench *b = container_of(n, struct bench, net);
	struct str m = str_n(p, len), at;
	ptrdiff_t i;

	(void)path;
	(void)owner;
	b->under_way -= b->under_way > 0;
	b->answered++;
	if (str_prefix(m, S("SIP/2.0 200"))) {
		b->ok++;
	} else if (str_prefix(m, S("SIP/2.0 401")) && b->asking) {
		i = str_find(m, S("algorithm=MD5")); /* the last line: its nonce stands before it */
		at = str_head(m, i > 0 ? (size_t)i : 0);
		for (i = -1; str_find(str_from(at, (size_t)(i + 1)), S("nonce=\"")) >= 0;)
			i += 1 + str_find(str_from(at, (size_t)(i + 1)), S("nonce=\""));
		memcpy(b->asking->nonce, at.p + i + 7, 32);
	} else {
		b->refused++;
	}
	return 0;
}

static const struct net_local *on_local(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	(void)realm;
	(void)proto;
	(void)family;
	return &container_of(n, struct bench, net)->local;
}

static void on_close(struct net *n, const struct net_path *path, bool now)
{
	(void)n;
	(void)path;
	(void)now;
}

static const struct net_ops net_ops = {.send = on_send, .local = on_local, .close = on_close};

static void on_request(void *ctx, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct bench *b = ctx;

	reg_request(b->reg, t, m, from);
}

static const struct txn_user txn_user = {.on_request = on_request};

/* ------------------------------------------------------------------ the store */

struct store_req {
	struct db_req req;
	struct bench *b;
	uint64_t token;
	struct db_binding put;
	char text[512];
};

static enum reason store_run(struct db_handle *h, struct db_req *r, struct db_err *err)
{
	return db_binding_put(h, &container_of(r, struct store_req, req)->put, err);
}

static void store_done(struct db_req *r)
{
	struct store_req *s = container_of(r, struct store_req, req);

	reg_stored(s->b->reg, s->token, r->err.reason);
	free(s);
}

static int on_store(void *ctx, const struct reg_change *ch, uint64_t token)
{
	struct store_req *s = calloc(1, sizeof(*s));
	const struct reg_contact *c = ch->put;
	struct bench *b = ctx;
	char at[ADDR_TEXT_MAX];
	struct buf t;

	if (!s || ch->n_put != 1)
		die("store");
	*s = (struct store_req){.req = {.kind = DB_WRITE, .run = store_run, .done = store_done}, .b = b, .token = token};
	buf_init(&t, s->text, sizeof(s->text));
	buf_str(&t, c->uri);
	buf_str(&t, c->call_id);
	buf_str(&t, str_z(addr_text(&c->flow.remote, at)));
	s->put = (struct db_binding){.id = c->id, .trunk_id = c->trunk_id, .cseq = c->cseq, .q = c->q, .bulk = c->bulk,
	    .uri = str_n(s->text, c->uri.n), .call_id = str_n(s->text + c->uri.n, c->call_id.n), .realm = S("lan"),
	    .transport = S("UDP"), .received = str_n(s->text + c->uri.n + c->call_id.n, t.n - c->uri.n - c->call_id.n),
	    .since_us = c->since_wall_us, .expires_us = c->expires_wall_us};
	db_submit_any(b->db, &s->req);
	return 0;
}

static bool is_local(void *ctx, unsigned realm, const struct addr *a)
{
	(void)ctx;
	(void)realm;
	(void)a;
	return true;
}

static void on_event(void *ctx, uint32_t trunk, const struct reg_contact *c, enum reason why)
{
	(void)ctx;
	(void)trunk;
	(void)c;
	(void)why;
}

static const struct reg_user reg_user = {on_store, is_local, on_event};

static void post(void *ctx, void (*fn)(void *arg), void *arg)
{
	struct bench *b = ctx;

	if (loop_post_any(&b->loop, fn, arg) < 0)
		die("post");
}

/* ------------------------------------------------------------------ rows */

struct rows {
	struct db_rows rows;
	struct db_trunk *trunks;
	struct db_setting *settings;
	struct db_number *numbers;
	char (*names)[16];
	char (*hash)[33];
};

static struct policy *compile(struct bench *b, struct rows *r, unsigned trunks, unsigned numbers)
{
	static const struct str domain = {REALM, sizeof(REALM) - 1};
	static struct pol_realm realm = {.name = {"lan", 3}, .domains = &domain, .n_domains = 1};
	static struct policy_errors errs;
	struct policy_input in = {.realms = &realm, .n_realms = 1, .rows = &r->rows, .hash_key = {1, 2}};
	struct policy *p;

	r->trunks = calloc(trunks, sizeof(*r->trunks));
	r->settings = calloc(trunks, 2 * sizeof(*r->settings));
	r->numbers = calloc(numbers, sizeof(*r->numbers));
	r->names = calloc(trunks, sizeof(*r->names));
	r->hash = calloc(trunks, sizeof(*r->hash));
	for (unsigned i = 0; i < trunks; i++) {
		snprintf(r->names[i], sizeof(r->names[i]), "pbx%u", i);
		memcpy(r->hash[i], b->pbx[i].ha1.hex, 32);
		r->settings[2 * i] = (struct db_setting){S("aor"), str_z(r->names[i])};
		r->settings[2 * i + 1] = (struct db_setting){S("auth"), S("gin")};
		r->trunks[i] = (struct db_trunk){.id = i + 1, .name = str_z(r->names[i]), .role = S("pbx"), .realm = S("lan"),
		    .settings = &r->settings[2 * i], .n_settings = 2,
		    .credential = {.user = str_z(r->names[i]), .realm = S(REALM), .md5 = str_n(r->hash[i], 32)}};
	}
	for (unsigned i = 0; i < numbers; i++) {
		snprintf(r->numbers[i].first, sizeof(r->numbers[i].first), "+49%09u", i);
		memcpy(r->numbers[i].last, r->numbers[i].first, sizeof(r->numbers[i].last));
		r->numbers[i].trunk_id = i % trunks + 1;
	}
	r->rows = (struct db_rows){.revision = 1, .trunks = r->trunks, .n_trunks = trunks, .numbers = r->numbers, .n_numbers = numbers};
	if (policy_compile(&in, &p, &errs) < 0)
		die(errs.e[0].text);
	return p;
}

/* ------------------------------------------------------------------ registering */

static size_t make(struct bench *b, struct pbx *p, char *text, size_t cap, bool credentials)
{
	char auth[512] = "", nc[9];
	struct digest_hex r;

	p->cseq++;
	if (credentials) {
		snprintf(nc, sizeof(nc), "%08x", ++p->nc);
		if (digest_response(&(struct digest_in){.alg = DIGEST_MD5, .ha1 = p->ha1, .method = S("REGISTER"), .uri = S("sip:" REALM),
		                        .nonce = str_n(p->nonce, 32), .qop = DIGEST_QOP_AUTH, .nc = str_n(nc, 8), .cnonce = S("0a4f113b")},
		        &r) < 0)
			die("digest");
		snprintf(auth, sizeof(auth),
		    "Authorization: Digest username=\"%s\", realm=\"" REALM "\", nonce=\"%s\", uri=\"sip:" REALM
		    "\", response=\"%.32s\", algorithm=MD5, qop=auth, nc=%s, cnonce=\"0a4f113b\"\r\n",
		    p->user, p->nonce, r.hex, nc);
	}
	(void)b;
	return (size_t)snprintf(text, cap,
	    "REGISTER sip:" REALM " SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK%s.%u;rport\r\nMax-Forwards: 70\r\n"
	    "From: <sip:%s@" REALM ">;tag=1\r\nTo: <sip:%s@" REALM ">\r\nCall-ID: %s@pbx\r\nCSeq: %u REGISTER\r\n"
	    "Require: gin\r\nProxy-Require: gin\r\nSupported: path\r\nContact: <sip:10.0.0.1:5060;tk=1;bnc>;expires=3600\r\n%s"
	    "Content-Length: 0\r\n\r\n",
	    p->user, p->cseq, p->user, p->user, p->user, p->cseq, auth);
}

static void one(struct bench *b, struct pbx *p, bool credentials)
{
	char text[2048];
	size_t n = make(b, p, text, sizeof(text), credentials);

	b->asking = credentials ? NULL : p;
	b->under_way++;
	txn_on_message(b->txn, &p->from, text, n, REASON_NONE);
}

static void bench_register(struct bench *b, unsigned n)
{
	double t0, cpu0, all0, wall, cpu, all, own;
	char text[2048];

	for (unsigned i = 0; i < b->n_pbx; i++)
		one(b, &b->pbx[i], false); /* answered at once */
	b->ok = b->refused = b->under_way = 0;
	t0 = clock_s(CLOCK_MONOTONIC);
	cpu0 = clock_s(CLOCK_THREAD_CPUTIME_ID);
	all0 = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	for (unsigned i = 0; i < n;) {
		for (; i < n && b->under_way < UNDER_WAY; i++)
			one(b, &b->pbx[i % b->n_pbx], true);
		loop_turn(&b->loop, 1);
	}
	while (b->under_way)
		loop_turn(&b->loop, 1);
	wall = clock_s(CLOCK_MONOTONIC) - t0;
	cpu = clock_s(CLOCK_THREAD_CPUTIME_ID) - cpu0;
	all = clock_s(CLOCK_PROCESS_CPUTIME_ID) - all0;
	t0 = clock_s(CLOCK_THREAD_CPUTIME_ID);
	for (unsigned i = 0; i < n; i++)
		(void)make(b, &b->pbx[i % b->n_pbx], text, sizeof(text), true);
	own = clock_s(CLOCK_THREAD_CPUTIME_ID) - t0;
	printf("register     %8u REGISTER  %8.0f/s  %5.1f us CPU each on the loop (%.1f more are the client's), %5.1f us in the store; "
	       "200: %u, refused %u\n",
	    n, n / wall, (cpu - own) / n * 1e6, own / n * 1e6, (all - cpu) / n * 1e6, b->ok, b->refused);
	printf("             on one core: %.0f/s;  memory: %zu bytes a binding\n", n / (all - own),
	    bindings_bytes(reg_bindings(b->reg)) / bindings_count(reg_bindings(b->reg)));
}

#define ASKS 4000
#define ASK_ROUNDS 250

/* Numbers are written down before the clock starts; the least of the rounds is what other programs on the machine
 * disturbed least. */
static void bench_lookup(struct bench *b, const struct policy *p, unsigned numbers)
{
	char(*ask)[16] = calloc(ASKS, sizeof(*ask));
	struct reg_way ways[REG_WAYS_MAX];
	double all = 0, least = 1;
	unsigned found = 0;
	uint32_t seed = 1;

	if (!ask)
		die("no memory");
	for (unsigned round = 0; round < ASK_ROUNDS; round++) {
		double t;

		for (unsigned i = 0; i < ASKS; i++) {
			seed = seed * 1664525 + 1013904223;
			snprintf(ask[i], sizeof(ask[i]), "+49%09u", (unsigned)((uint64_t)seed * numbers >> 32));
		}
		t = clock_s(CLOCK_THREAD_CPUTIME_ID);
		for (unsigned i = 0; i < ASKS; i++) {
			struct str number = str_n(ask[i], 12);
			uint32_t owner = policy_number_owner(p, number);
			char space[256];
			struct buf s;

			buf_init(&s, space, sizeof(space));
			found += owner && reg_ways(b->reg, owner, &(struct reg_wish){.number = number}, &s, ways) > 0;
		}
		t = clock_s(CLOCK_THREAD_CPUTIME_ID) - t;
		all += t;
		least = t < least ? t : least;
	}
	free(ask);
	printf("look-up      %8u numbers   %8.0f ns from number to contact, %.0f ns in the quietest of %d rounds (%u of %u found)\n",
	    numbers, all / ASK_ROUNDS / ASKS * 1e9, least / ASKS * 1e9, ASK_ROUNDS, found, ASK_ROUNDS * ASKS);
}

struct restore {
	struct db_req req;
	struct bench *b;
	unsigned n;
};

static void restored(void *ctx, const struct db_binding *d)
{
	struct restore *s = ctx;
	struct reg_contact c = {.id = d->id, .trunk_id = d->trunk_id, .bulk = d->bulk, .q = d->q, .cseq = d->cseq, .uri = d->uri,
	    .call_id = d->call_id, .since_wall_us = d->since_us, .expires_wall_us = d->expires_us};

	if (addr_parse(d->received, 5060, &c.flow.remote) < 0 || reg_restore(s->b->reg, &c) < 0)
		die("restore");
	s->n++;
}

static enum reason restore_run(struct db_handle *h, struct db_req *r, struct db_err *err)
{
	struct restore *s = container_of(r, struct restore, req);

	return db_binding_all(h, restored, s, err);
}

static enum reason fill_run(struct db_handle *h, struct db_req *r, struct db_err *err)
{
	struct restore *s = container_of(r, struct restore, req);
	int64_t now = s->b->loop.clock.wall_us;
	enum reason why = REASON_NONE;

	for (unsigned i = 0; i < s->n && !why; i++)
		why = db_binding_put(h, &(struct db_binding){.id = 1000000 + i, .trunk_id = 1, .q = 1000, .bulk = true, .realm = S("lan"),
		                            .uri = S("sip:10.0.0.1:5060;tk=1;bnc"), .call_id = S("pbx1@pbx"), .transport = S("UDP"),
		                            .received = S("10.0.0.1:5060"), .since_us = now, .expires_us = now + 3600000000},
		    err);
	return why;
}

/* db_binding_all() deletes what belongs to no trunk: there must be one */
static enum reason trunk_run(struct db_handle *h, struct db_req *r, struct db_err *err)
{
	struct db_target target = {.host = S("10.0.0.1"), .priority = 1, .weight = 1};
	struct db_trunk t = {.name = S("pbx"), .role = S("pbx"), .realm = S("lan"), .targets = &target, .n_targets = 1};

	(void)r;
	return db_trunk_put(h, &t, NULL, err);
}

static void bench_restart(struct bench *b, unsigned n)
{
	struct restore s = {.req = {.kind = DB_WRITE, .run = trunk_run}, .b = b, .n = n};
	double t0;

	if (db_call(b->db, &s.req))
		die(s.req.err.text);
	s.req.run = fill_run;
	if (db_call(b->db, &s.req))
		die(s.req.err.text);
	s.req.run = restore_run;
	s.n = 0;
	t0 = clock_s(CLOCK_MONOTONIC);
	if (db_call(b->db, &s.req))
		die(s.req.err.text);
	printf("restart      %8u bindings  %8.0f ms\n", s.n, (clock_s(CLOCK_MONOTONIC) - t0) * 1e3);
}

int main(int argc, char **argv)
{
	unsigned numbers = argc > 3 ? (unsigned)atoi(argv[3]) : 1000000;
	struct bench *b = calloc(1, sizeof(*b));
	struct rows small = {.trunks = NULL}, big = {.trunks = NULL};
	struct policy *p100, *p;
	struct db_err err;

	b->n_pbx = argc > 2 ? (unsigned)atoi(argv[2]) : 1000;
	b->pbx = calloc(b->n_pbx, sizeof(*b->pbx));
	if (loop_init(&b->loop, &(struct loop_cfg){0}) < 0)
		die("loop");
	rng_init_system(&b->rng);
	metrics_init(&b->metrics);
	b->env = (struct env){.clock = &b->loop.clock, .timers = &b->loop.timers, .rng = &b->rng, .metrics = &b->metrics, .hash_key = {1, 2}};
	b->net.ops = &net_ops;
	b->local = (struct net_local){.host = S("10.0.0.9"), .port = 5060};
	for (unsigned i = 0; i < b->n_pbx; i++) {
		struct pbx *x = &b->pbx[i];
		char ip[32];

		snprintf(x->user, sizeof(x->user), "pbx%u", i);
		snprintf(ip, sizeof(ip), "10.%u.%u.%u:5060", 1 + i / 65536, i / 256 % 256, i % 256);
		if (digest_ha1(DIGEST_MD5, str_z(x->user), S(REALM), S("a long secret"), &x->ha1) < 0 ||
		    addr_parse(str_z(ip), 5060, &x->from.remote) < 0)
			die("pbx");
	}
	snprintf(b->path, sizeof(b->path), "%s/bench_reg.db", argc > 1 ? argv[1] : ".");
	(void)unlink(b->path);
	if (db_open(&(struct db_cfg){.path = b->path, .post = post, .post_ctx = b}, &b->db, &err))
		die(err.text);
	b->txn = txn_new(&b->env, &b->net, &txn_user, b);
	b->reg = reg_new(&b->env, &(struct reg_cfg){.realm = S(REALM)}, &reg_user, b);
	if (!b->txn || !b->reg)
		die("no memory");
	p100 = compile(b, &small, b->n_pbx, 100);
	reg_set_policy(b->reg, p100);
	bench_register(b, 100000);
	bench_lookup(b, p100, 100);
	p = compile(b, &big, b->n_pbx, numbers);
	reg_set_policy(b->reg, p);
	bench_register(b, 100000);
	bench_lookup(b, p, numbers);
	bench_restart(b, 100000);
	(void)unlink(b->path);
	fflush(stdout);
	_exit(0); /* what is left goes with the process */
}
