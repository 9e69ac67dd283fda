/* world.h - a whole daemon without sockets of its own but the control socket, for the tests of this folder: loop with
 * a clock the test moves, seeded randomness, B2BUA on a network that is an array, media without workers, a real
 * database in a directory of its own. */
#ifndef TESTS_CTL_WORLD_H
#define TESTS_CTL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbc/ctl/server.h"
#include "sbc/net/guard.h"
#include "sbc/net/tap.h"
#include "sbc/policy/compile.h"

#define START_WALL_US ((int64_t)1764093600 * 1000000) /* 2025-11-25 18:00:00 UTC */

struct sent {
	struct net_path path;
	char bytes[4096];
	size_t n;
};

struct world {
	struct clock clock; /* what the loop reads */
	struct loop loop;
	struct env env;
	struct rng rng;
	struct logger logger;
	struct metrics metrics;
	struct conf *conf;
	struct pol_realm realms[2];
	struct net net;
	struct net_local local[2];
	struct media *media;
	struct db *db;
	struct guard *guard;
	struct tap *tap;
	struct b2b *b2b;
	struct ctl_server *ctl;
	struct sent sent[32];
	unsigned n_sent, n_records;
	uint32_t grace_s;        /* what ops.gruu_rotate was given */
	enum reason reload_why;  /* what ops.reload answers */
	const char *reload_text;
	struct ctl_tls tls;      /* what ops.tls shows */
	enum reason tls_why;     /* what ops.tls_reload answers */
	bool hold_changes;       /* policy_changed waits for release_change() */
	ctl_done_fn *held;
	void *held_arg;
	unsigned policy_swaps;
	bool gone;
	char dir[64], path[96], file[96];
};

static inline void w_read_clock(void *ctx, struct clock *c)
{
	*c = ((struct world *)ctx)->clock;
}

static inline int w_send(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct world *w = container_of(n, struct world, net);
	struct sent *s = &w->sent[w->n_sent++ % ARRAY_LEN(w->sent)];

	(void)owner;
	s->path = *path;
	s->n = len < sizeof(s->bytes) ? len : sizeof(s->bytes);
	memcpy(s->bytes, p, s->n);
	return 0;
}

static inline const struct net_local *w_local(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	struct world *w = container_of(n, struct world, net);

	return realm < 2 && proto <= NET_TCP && family == AF_INET ? &w->local[realm] : NULL;
}

static inline void w_close(struct net *n, const struct net_path *path, bool now)
{
	(void)n;
	(void)path;
	(void)now;
}

static inline void w_record(void *ctx, const struct call_record *rec)
{
	struct world *w = ctx;
	struct db_cdr c = {.id = rec->id,
	    .start_us = rec->start_wall_us,
	    .answer_us = rec->answer_wall_us,
	    .end_us = rec->end_wall_us,
	    .trunk_a_name = str_z(rec->trunk_a),
	    .trunk_b_name = str_z(rec->trunk_b),
	    .calling = str_z(rec->calling),
	    .called = str_z(rec->called),
	    .route = str_z(rec->route),
	    .peer_a = S("UDP 127.0.0.1:25070"),
	    .status = rec->status,
	    .reason = rec->reason,
	    .released_by = rec->released_by,
	    .tries = S("[{\"trunk\":\"acme\",\"target\":\"UDP 127.0.0.2:25080\",\"status\":486,\"reason\":\"PSN-E2108\","
		       "\"after_ms\":1}]")};

	w->n_records++;
	assert_true(db_cdr_write(w->db, &c));
	if (w->ctl)
		ctl_server_cdr(w->ctl, rec);
}

static inline void w_answered(void *ctx, const struct call_record *rec)
{
	(void)ctx;
	(void)rec;
}

static inline bool w_is_local(void *ctx, unsigned realm, const struct addr *a)
{
	struct world *w = ctx;

	return realm < 2 && addr_eq_ip(a, &w->local[realm].bound);
}

static inline void w_wire(void *ctx, bool out, const struct net_path *path, struct str call_id, struct str bytes)
{
	struct world *w = ctx;

	tap_add(w->tap, &w->loop.clock, out, path, b2b_wire_key(&w->env, call_id), bytes);
}

static inline void w_post(void *ctx, void (*fn)(void *arg), void *arg)
{
	struct world *w = ctx;

	assert_int_equal(loop_post_any(&w->loop, fn, arg), 0);
}

static inline const struct conf *w_conf(void *ctx)
{
	return ((struct world *)ctx)->conf;
}

static inline enum reason w_load_run(struct db_handle *h, struct db_req *q, struct db_err *err);
struct w_load {
	struct db_req req;
	struct db_rows *rows;
};
static inline enum reason w_load_run(struct db_handle *h, struct db_req *q, struct db_err *err)
{
	return db_load(h, &container_of(q, struct w_load, req)->rows, err);
}

/* Reads the rows and swaps; waits, which a daemon would not. */
static inline void w_compile(struct world *w)
{
	struct w_load l = {.req = {.kind = DB_READ, .run = w_load_run}};
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	struct policy *p = NULL;

	assert_non_null(errs);
	assert_int_equal(db_call(w->db, &l.req), REASON_NONE);
	assert_int_equal(policy_compile(&(struct policy_input){.realms = w->realms,
					    .n_realms = 2,
					    .rows = l.rows,
					    .hash_key = w->env.hash_key},
			     &p, errs),
	    0);
	b2b_set_policy(w->b2b, p);
	policy_unref(p);
	db_rows_free(l.rows);
	free(errs);
	w->policy_swaps++;
}

static inline void w_changed(void *ctx, ctl_done_fn *done, void *arg)
{
	struct world *w = ctx;

	w_compile(w);
	if (w->hold_changes) {
		w->held = done;
		w->held_arg = arg;
	} else {
		done(arg, REASON_NONE, NULL);
	}
}

static inline void w_reload(void *ctx, ctl_done_fn *done, void *arg)
{
	struct world *w = ctx;

	done(arg, w->reload_why, w->reload_text);
}

static inline const struct ctl_tls *w_tls(void *ctx)
{
	return &((struct world *)ctx)->tls;
}

static inline void w_tls_reload(void *ctx, ctl_done_fn *done, void *arg)
{
	struct world *w = ctx;

	done(arg, w->tls_why, w->reload_text);
}

static inline void w_gruu_rotate(void *ctx, uint32_t grace_s, ctl_done_fn *done, void *arg)
{
	struct world *w = ctx;

	w->grace_s = grace_s;
	done(arg, w->reload_why, w->reload_text);
}

static inline void w_closed(void *arg)
{
	((struct world *)arg)->gone = true;
}

static inline void w_advance(struct world *w, int64_t us)
{
	w->clock.mono_us += us;
	w->clock.wall_us += us;
	loop_turn(&w->loop, 0);
	loop_turn(&w->loop, 0);
}

static inline struct ctl_backend w_backend(struct world *w)
{
	static const struct ctl_ops ops = {w_conf, w_changed, w_reload, w_tls, w_tls_reload, w_gruu_rotate};

	return (struct ctl_backend){.ops = &ops,
	    .ctx = w,
	    .env = &w->env,
	    .loop = &w->loop,
	    .b2b = w->b2b,
	    .media = w->media,
	    .db = w->db,
	    .guard = w->guard,
	    .tap = w->tap,
	    .conf_file = w->file,
	    /* up for long, so that the processor time of the test is nothing */
	    .start_us = w->clock.mono_us - (int64_t)41 * 86400 * 1000000,
	    .start_wall_us = w->clock.wall_us - (int64_t)41 * 86400 * 1000000};
}

static inline struct world *w_new(void)
{
	static const struct net_ops net_ops = {.send = w_send, .local = w_local, .close = w_close};
	static const struct b2b_user user = {.on_record = w_record, .on_answered = w_answered, .is_local = w_is_local, .on_wire = w_wire};
	static const char text[] =
	    "box \"edge1\" { }\n"
	    "realm \"lan\" { listen = { \"udp 127.0.0.1:25060\" } media = { \"127.0.0.1 26000-26099\" } }\n"
	    "realm \"wan\" { listen = { \"udp 127.0.0.2:25060\" } media = { \"127.0.0.2 26000-26099\" }\n"
	    "  strangers = refuse }\n"
	    "limits { max-calls = 200 }\n";
	struct world *w = calloc(1, sizeof(*w));
	struct media_realm_cfg mr[2] = {{.name = S("lan")}, {.name = S("wan")}};
	struct conf_report rep;
	struct guard_cfg gcfg;
	struct ctl_error err;
	struct ctl_backend be;
	struct db_err derr;
	enum reason why;

	assert_non_null(w);
	setenv("TZ", "UTC", 1);
	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	snprintf(w->dir, sizeof(w->dir), "/tmp/postern-ctl-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/ctl", w->dir);
	snprintf(w->file, sizeof(w->file), "%s/postern.db", w->dir);
	w->clock = (struct clock){.mono_us = (int64_t)50 * 86400 * 1000000, .wall_us = START_WALL_US};
	metrics_init(&w->metrics);
	assert_int_equal(logger_init(&w->logger, -1, LOG_INFO), 0);
	assert_int_equal(loop_init(&w->loop, &(struct loop_cfg){.logger = &w->logger,
						 .metrics = &w->metrics,
						 .read_clock = w_read_clock,
						 .read_ctx = w}),
	    0);
	rng_init_seeded(&w->rng, 7);
	w->env = (struct env){.clock = &w->loop.clock,
	    .timers = &w->loop.timers,
	    .rng = &w->rng,
	    .logger = &w->logger,
	    .metrics = &w->metrics,
	    .hash_key = {1, 2}};
	w->conf = conf_load(str_n(text, sizeof(text) - 1), "/etc/postern/postern.conf", &rep);
	assert_non_null(w->conf);
	conf_report_fini(&rep);
	for (int i = 0; i < 2; i++) {
		w->realms[i] = (struct pol_realm){.name = w->conf->realms[i].name,
		    .strangers = (enum pol_stranger)w->conf->realms[i].strangers};
		w->local[i].bound = w->conf->realms[i].listen[0].bind;
		w->local[i].host = i ? S("127.0.0.2") : S("127.0.0.1");
		w->local[i].port = 25060;
		mr[i].ip4 = w->conf->realms[i].media4.bind;
		mr[i].port_min = 26000;
		mr[i].port_max = 26099;
		mr[i].dscp = 46;
	}
	w->net.ops = &net_ops;
	w->media = media_new(&w->env, &(struct media_cfg){.realms = mr, .n_realms = 2}, &why);
	assert_non_null(w->media);
	assert_int_equal(
	    db_open(&(struct db_cfg){.path = w->file, .post = w_post, .post_ctx = w, .window_ms = 1}, &w->db, &derr),
	    REASON_NONE);
	guard_cfg_defaults(&gcfg);
	assert_int_equal(guard_new(&w->env, &gcfg, NULL, NULL, &w->guard), 0);
	assert_int_equal(tap_new(1 << 18, 0, &w->tap), 0);
	w->b2b = b2b_new(&w->env, &w->net, w->media,
	    &(struct b2b_cfg){.max_calls = 200, .user_agent = S("Postern/0")}, &user, w);
	assert_non_null(w->b2b);
	w_compile(w);
	be = w_backend(w);
	assert_int_equal(ctl_server_new(&be, w->path, &w->ctl, &err), 0);
	return w;
}

static inline void w_free(struct world *w)
{
	char cmd[128];

	if (w->ctl) {
		ctl_server_free(w->ctl, w_closed, w);
		w->ctl = NULL;
		for (int i = 0; i < 100 && !w->gone; i++)
			loop_turn(&w->loop, 10);
		assert_true(w->gone);
	}
	b2b_free(w->b2b);
	db_close(w->db);
	loop_turn(&w->loop, 0);
	media_free(w->media);
	guard_free(w->guard);
	tap_free(w->tap);
	assert_int_equal(loop_fini(&w->loop), 0);
	logger_fini(&w->logger);
	conf_unref(w->conf);
	snprintf(cmd, sizeof(cmd), "%s/", w->dir);
	for (const char *const *n = (const char *const[]){"postern.db", "postern.db-wal", "postern.db-shm", "ctl",
		 "backup.db", "cli.csv", NULL};
	     *n; n++) {
		char path[160];

		snprintf(path, sizeof(path), "%s/%s", w->dir, *n);
		unlink(path);
	}
	rmdir(w->dir);
	free(w);
}

/* -------------------------------------------------------------------- a client */

static inline int w_dial(struct world *w)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	memcpy(sa.sun_path, w->path, strlen(w->path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

struct answer {
	struct text out, err, bin, raw;
	int code;     /* -1: none came */
	bool closed;  /* by the server */
};

static inline void answer_fini(struct answer *a)
{
	text_fini(&a->out);
	text_fini(&a->err);
	text_fini(&a->bin);
	text_fini(&a->raw);
	*a = (struct answer){.code = -1};
}

static inline void w_take_lines(struct answer *a)
{
	char *nl;

	while (a->raw.n && (nl = memchr(a->raw.p, '\n', a->raw.n))) {
		size_t len = (size_t)(nl - a->raw.p), n = 0;
		char *text = NULL, kind = proto_read_answer(str_n(a->raw.p, len), &text, &n, &a->code);

		assert_int_not_equal(kind, 0);
		if (kind != 'x')
			text_put(kind == 'o' ? &a->out : kind == 'e' ? &a->err : &a->bin, text, n);
		free(text);
		memmove(a->raw.p, nl + 1, a->raw.n - len - 1);
		a->raw.n -= len + 1;
	}
}

/* Turns the loop until the server has closed, or for so many turns. */
static inline void w_listen(struct world *w, int fd, struct answer *a, int turns)
{
	for (int i = 0; i < turns && !a->closed; i++) {
		char chunk[65536];
		ssize_t n;

		loop_turn(&w->loop, 5);
		while ((n = read(fd, chunk, sizeof(chunk))) > 0)
			text_put(&a->raw, chunk, (size_t)n);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			a->closed = true;
		w_take_lines(a);
	}
}

static inline void w_write(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t r = send(fd, at, n, MSG_NOSIGNAL);

		if (r < 0 && errno == EAGAIN)
			return;
		if (r <= 0)
			return;
		at += r;
		n -= (size_t)r;
	}
}

/* "trunk list --realm wan": words separated by blanks; '_' stands for a blank inside of a word. */
static inline int w_split(char *line, char **argv)
{
	int n = 0;

	for (char *p = line; *p;) {
		while (*p == ' ')
			*p++ = '\0';
		if (!*p)
			break;
		argv[n++] = p;
		while (*p && *p != ' ')
			p++;
	}
	return n;
}

struct how {
	unsigned columns;
	bool json, abs;
	const char *input;
};

static inline void w_request(struct world *w, int fd, const char *line, struct how how)
{
	char copy[2048], *argv[64], *p;
	size_t n;
	int argc;

	(void)w;
	snprintf(copy, sizeof(copy), "%s", line);
	argc = w_split(copy, argv);
	p = proto_write_request(argc, argv, how.columns ? how.columns : 100, how.json, how.abs,
	    how.input ? str_z(how.input) : STR_NONE, &n);
	assert_non_null(p);
	w_write(fd, p, n);
	free(p);
}

static inline void w_run_how(struct world *w, const char *line, struct how how, struct answer *a)
{
	int fd = w_dial(w);

	*a = (struct answer){.code = -1};
	w_request(w, fd, line, how);
	w_listen(w, fd, a, 6000);
	close(fd);
	loop_turn(&w->loop, 0);
	assert_true(a->closed);
}

/* Runs a command that must end with that code. */
static inline void w_ok(struct world *w, const char *line)
{
	struct answer a;

	w_run_how(w, line, (struct how){0}, &a);
	if (a.code != 0)
		print_error("%s: exit %d\n%s%s", line, a.code, text_z(&a.out), text_z(&a.err));
	assert_int_equal(a.code, 0);
	answer_fini(&a);
}

/* -------------------------------------------------------------------- calls */

/* An INVITE from the PBX at 127.0.0.1:25070. */
static inline void w_invite(struct world *w, const char *called, const char *id)
{
	static const char sdp[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
				  "m=audio 30000 RTP/AVP 8 0\r\n";
	struct net_path from = {.proto = NET_UDP, .realm = 0, .local = w->local[0].bound};
	char m[2048];
	int n;

	assert_int_equal(addr_parse(S("127.0.0.1:25070"), 0, &from.remote), 0);
	n = snprintf(m, sizeof(m),
	    "INVITE sip:%s@127.0.0.1:25060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:25070;branch=z9hG4bK%s\r\n"
	    "Max-Forwards: 70\r\nFrom: <sip:17@127.0.0.1>;tag=a%s\r\nTo: <sip:%s@127.0.0.1>\r\n"
	    "Call-ID: %s@pbx\r\nCSeq: 1 INVITE\r\nContact: <sip:17@127.0.0.1:25070>\r\n"
	    "Content-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s",
	    called, id, id, called, id, sizeof(sdp) - 1, sdp);
	assert_true(n > 0 && (size_t)n < sizeof(m));
	b2b_on_message(w->b2b, &from, m, (size_t)n, REASON_NONE);
	w_advance(w, 1000);
}

static inline struct str w_header(struct str m, const char *name)
{
	char want[64];
	struct str line;
	ptrdiff_t at;

	snprintf(want, sizeof(want), "\r\n%s: ", name);
	at = str_find(m, str_z(want));
	assert_true(at >= 0);
	str_cut(str_from(m, (size_t)at + strlen(want)), '\r', &line);
	return line;
}

/* The far end answers the last request that went out to it. */
static inline void w_answer(struct world *w, const char *status, bool sdp)
{
	static const char body[] = "v=0\r\no=- 2 2 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
				   "m=audio 31000 RTP/AVP 8\r\n";
	struct net_path from = {.proto = NET_UDP, .realm = 1, .local = w->local[1].bound};
	struct str req = STR_NONE;
	char m[2048];
	int n;

	for (unsigned i = w->n_sent; i > 0 && !req.n; i--) {
		const struct sent *s = &w->sent[(i - 1) % ARRAY_LEN(w->sent)];

		if (s->path.realm == 1 && str_prefix(str_n(s->bytes, s->n), S("INVITE ")))
			req = str_n(s->bytes, s->n);
	}
	assert_true(req.n > 0);
	assert_int_equal(addr_parse(S("127.0.0.2:25080"), 0, &from.remote), 0);
	n = snprintf(m, sizeof(m),
	    "SIP/2.0 %s\r\nVia: %.*s\r\nFrom: %.*s\r\nTo: %.*s;tag=far\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n"
	    "Contact: <sip:127.0.0.2:25080>\r\n%sContent-Length: %zu\r\n\r\n%s",
	    status, STR(w_header(req, "Via")), STR(w_header(req, "From")), STR(w_header(req, "To")),
	    STR(w_header(req, "Call-ID")), STR(w_header(req, "CSeq")),
	    sdp ? "Content-Type: application/sdp\r\n" : "", sdp ? sizeof(body) - 1 : 0, sdp ? body : "");
	assert_true(n > 0 && (size_t)n < sizeof(m));
	b2b_on_message(w->b2b, &from, m, (size_t)n, REASON_NONE);
	w_advance(w, 1000);
}

/* The PBX acknowledges the 200 it got for that call. */
static inline void w_ack(struct world *w, const char *id)
{
	struct net_path from = {.proto = NET_UDP, .realm = 0, .local = w->local[0].bound};
	struct str ok = STR_NONE;
	char m[1024];
	int n;

	for (unsigned i = w->n_sent; i > 0 && !ok.n; i--) {
		const struct sent *s = &w->sent[(i - 1) % ARRAY_LEN(w->sent)];

		if (s->path.realm == 0 && str_prefix(str_n(s->bytes, s->n), S("SIP/2.0 200 ")))
			ok = str_n(s->bytes, s->n);
	}
	assert_true(ok.n > 0);
	assert_int_equal(addr_parse(S("127.0.0.1:25070"), 0, &from.remote), 0);
	n = snprintf(m, sizeof(m),
	    "ACK sip:127.0.0.1:25060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:25070;branch=z9hG4bKack%s\r\n"
	    "Max-Forwards: 70\r\nFrom: %.*s\r\nTo: %.*s\r\nCall-ID: %s@pbx\r\nCSeq: 1 ACK\r\n"
	    "Content-Length: 0\r\n\r\n",
	    id, STR(w_header(ok, "From")), STR(w_header(ok, "To")), id);
	assert_true(n > 0 && (size_t)n < sizeof(m));
	b2b_on_message(w->b2b, &from, m, (size_t)n, REASON_NONE);
	w_advance(w, 1000);
}

/* Two trunks, numbers, routes: what most tests begin with. */
static inline void w_provision(struct world *w)
{
	w_ok(w, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070");
	w_ok(w, "trunk add acme role=itsp realm=wan target=127.0.0.2:25080 country=49 max-calls=30");
	w_ok(w, "number add +493012345xx pbx");
	w_ok(w, "route add out --from pbx --to +* --via acme");
	w_ok(w, "route add emergency --to 112 --via acme --before out");
}

#endif
