/* world.h - a netio on loopback for the tests of this folder, and plain sockets as its peers.
 *
 * The frame function here knows a toy protocol, so that these tests do not need SIP: a message is "Lnnnn:" and
 * nnnn bytes; CRLFCRLF is a ping, CRLF padding; anything else has lost its framing.
 */
#ifndef TEST_NET_WORLD_H
#define TEST_NET_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sbc/net/netio.h"

#define GOT_MAX 4096

struct got {
	struct net_path path;
	enum reason bad;
	size_t len;
	char text[200];
};

struct lost {
	struct net_path path;
	uint64_t owner;
	int err;
	size_t sent_n;
	char sent[64];
	int64_t at_us;
};

struct world {
	struct loop loop;
	struct rng rng;
	struct logger logger;
	struct metrics metrics;
	struct env env;
	struct netio *io;
	struct net *net;
	struct netio_cfg cfg;
	struct net_listener_cfg lines[4];
	bool deny;
	bool closed;
	struct got *got;
	unsigned n_got;
	struct lost lost[256];
	unsigned n_lost;
	unsigned n_flows_up;
	struct net_path flow_up;
	unsigned n_flows_lost;
	struct net_path flow_lost;
	int flow_err;
	unsigned n_unproven;
	int unproven_err;
	char unproven_text[300];
	int64_t ahead_us; /* w_skip() */
	/* called for each message when set */
	void (*on)(struct world *w, const struct net_path *from, char *p, size_t n, enum reason bad);
};

static enum net_frame_kind toy_frame(
    struct net_framer *f, const char *p, size_t n, size_t *ret_len, enum reason *ret_reason)
{
	uint32_t len;

	if (p[0] == '\r') {
		if (n < 2)
			return NET_FRAME_MORE;
		if (p[1] != '\n')
			goto bad;
		if (n < 4 && (n < 3 || p[2] == '\r')) {
			if (n == 2 && f->state[0]++ == 0)
				return NET_FRAME_MORE;
			if (n == 3)
				return NET_FRAME_MORE;
			*ret_len = 2;
			return NET_FRAME_SKIP;
		}
		if (p[2] == '\r' && p[3] == '\n') {
			*ret_len = 4;
			return NET_FRAME_PING;
		}
		*ret_len = 2;
		return NET_FRAME_SKIP;
	}
	if (p[0] != 'L')
		goto bad;
	if (n < 6)
		return NET_FRAME_MORE;
	if (p[5] != ':' || str_u32(str_n(p + 1, 4), 9999, &len) < 0)
		goto bad;
	if (n < 6 + len)
		return NET_FRAME_MORE;
	*ret_len = 6 + len;
	return NET_FRAME_MSG;
bad:
	*ret_len = n < 10 ? n : 10;
	*ret_reason = REASON_BAD_LENGTH;
	return NET_FRAME_BAD;
}

static bool w_admit(void *ctx, const struct net_path *from)
{
	struct world *w = ctx;

	assert_false(addr_none(&from->remote));
	return !w->deny;
}

static void w_message(void *ctx, const struct net_path *from, char *p, size_t n, enum reason bad)
{
	struct world *w = ctx;
	struct got *g = &w->got[w->n_got % GOT_MAX];

	w->n_got++;
	g->path = *from;
	g->bad = bad;
	g->len = n;
	memset(g->text, 0, sizeof(g->text));
	memcpy(g->text, p, n < sizeof(g->text) ? n : sizeof(g->text) - 1);
	if (w->on)
		w->on(w, from, p, n, bad);
	memset(p, 0xee, n); /* the buffer is ours to change */
}

static void w_failure(void *ctx, const struct net_path *to, uint64_t owner, int err, struct str sent)
{
	struct world *w = ctx;
	struct lost *l;

	assert_true(w->n_lost < ARRAY_LEN(w->lost));
	l = &w->lost[w->n_lost++];
	*l = (struct lost){.path = *to, .owner = owner, .err = err, .sent_n = sent.n, .at_us = w->loop.clock.mono_us};
	memcpy(l->sent, sent.p ? sent.p : "", sent.n < sizeof(l->sent) ? sent.n : sizeof(l->sent));
}

static void w_flow_lost(void *ctx, const struct net_path *flow, int err)
{
	struct world *w = ctx;

	w->n_flows_lost++;
	w->flow_lost = *flow;
	w->flow_err = err;
}

static void w_flow_up(void *ctx, const struct net_path *flow)
{
	struct world *w = ctx;

	w->n_flows_up++;
	w->flow_up = *flow;
}

static void w_unproven(void *ctx, const struct net_path *from, int err, struct str text)
{
	struct world *w = ctx;

	assert_false(addr_none(&from->remote));
	w->n_unproven++;
	w->unproven_err = err;
	snprintf(w->unproven_text, sizeof(w->unproven_text), "%.*s", STR(text));
}

static const struct net_user w_user = {w_admit, w_message, w_failure, w_flow_up, w_flow_lost, w_unproven};

/* the real time and what tests skipped */
static void w_clock(void *ctx, struct clock *c)
{
	const struct world *w = ctx;

	clock_refresh(c);
	c->mono_us += w->ahead_us;
	c->wall_us += w->ahead_us;
}

static inline void w_skip(struct world *w, int ms)
{
	w->ahead_us += (int64_t)ms * 1000;
	loop_turn(&w->loop, 0);
	loop_turn(&w->loop, 0);
}

static struct addr at(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(str_z(text), 0, &a), 0);
	return a;
}

static void w_init_bare(struct world *w)
{
	struct loop_cfg cfg = {0};

	memset(w, 0, sizeof(*w));
	w->got = calloc(GOT_MAX, sizeof(*w->got));
	assert_non_null(w->got);
	assert_int_equal(logger_init(&w->logger, -1, LOG_DEBUG), 0);
	metrics_init(&w->metrics);
	rng_init_seeded(&w->rng, 1);
	cfg.logger = &w->logger;
	cfg.metrics = &w->metrics;
	cfg.read_clock = w_clock;
	cfg.read_ctx = w;
	assert_int_equal(loop_init(&w->loop, &cfg), 0);
	w->env = (struct env){.clock = &w->loop.clock, .timers = &w->loop.timers, .rng = &w->rng,
	    .logger = &w->logger, .metrics = &w->metrics, .hash_key = {1, 2}};
	netio_cfg_defaults(&w->cfg);
	w->cfg.socket_buffer = 1 << 20;
}

static inline void w_open(struct world *w)
{
	struct netio_error err;

	w->cfg.listeners = w->lines;
	assert_int_equal(netio_new(&w->loop, &w->env, &w->cfg, &w_user, w, toy_frame, &w->io, &err), 0);
	w->net = netio_net(w->io);
}

/* one UDP listener (and so TCP at the same port) in realm 0 */
static inline void w_init(struct world *w, const char *bound)
{
	w_init_bare(w);
	w->lines[0] = (struct net_listener_cfg){.realm = 0, .proto = NET_UDP, .bound = at(bound)};
	w->cfg.n_listeners = 1;
	w_open(w);
}

static void w_closed(void *arg)
{
	*(bool *)arg = true;
}

static inline void w_fini(struct world *w)
{
	if (w->io) {
		netio_free(w->io, w_closed, &w->closed);
		for (int i = 0; i < 100 && !w->closed; i++)
			loop_turn(&w->loop, 10);
		assert_true(w->closed);
	}
	assert_int_equal(w->loop.timers.n, 0);
	assert_int_equal(loop_fini(&w->loop), 0);
	logger_fini(&w->logger);
	free(w->got);
}

/* turns until the condition holds; fails the test after five seconds */
#define W_UNTIL(w, cond) \
	do { \
		int64_t w_end = (w)->loop.clock.mono_us + 5000000; \
		while (!(cond)) { \
			loop_turn(&(w)->loop, 20); \
			if ((w)->loop.clock.mono_us > w_end) \
				fail_msg("never came true: %s", #cond); \
		} \
	} while (0)

static inline void w_spin(struct world *w, int ms)
{
	int64_t end = w->loop.clock.mono_us + (int64_t)ms * 1000;

	while (w->loop.clock.mono_us < end)
		loop_turn(&w->loop, 2);
}

/* where the n-th listener of this protocol is */
static inline struct addr w_listener(struct world *w, uint8_t proto, unsigned n)
{
	struct net_listener_cfg c;
	unsigned i = 0;

	while (netio_listener_next(w->io, &i, &c))
		if (c.proto == proto && n-- == 0)
			return c.bound;
	fail_msg("no such listener");
	return at("0.0.0.0");
}

/* a peer's socket: non-blocking; type with the usual flags */
static inline int peer(int type, const char *bound, struct addr *ret)
{
	struct addr a = at(bound);
	int fd = socket(a.sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	socklen_t len = sizeof(*ret);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, &a.sa, addr_len(&a)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	if (ret)
		assert_int_equal(getsockname(fd, &ret->sa, &len), 0);
	return fd;
}

/* a peer's TCP connection to our listener; established, since the kernel answers for the backlog */
static inline int peer_connect(struct world *w, const struct addr *to, const char *from)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct addr a;

	assert_true(fd >= 0);
	if (from) {
		a = at(from);
		assert_int_equal(bind(fd, &a.sa, addr_len(&a)), 0);
	}
	assert_int_equal(connect(fd, &to->sa, addr_len(to)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	loop_turn(&w->loop, 0);
	return fd;
}

/* waits for bytes on a peer's socket while the loop turns; n bytes read, 0 at the end, -errno */
static inline ssize_t peer_read(struct world *w, int fd, char *p, size_t n)
{
	int64_t end = w->loop.clock.mono_us + 5000000;

	for (;;) {
		ssize_t r = recv(fd, p, n, 0);

		if (r >= 0)
			return r;
		if (errno != EAGAIN)
			return -errno;
		loop_turn(&w->loop, 5);
		if (w->loop.clock.mono_us > end)
			return -ETIMEDOUT;
	}
}

static inline int peer_accept(struct world *w, int fd)
{
	for (int i = 0; i < 1000; i++) {
		int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (c >= 0)
			return c;
		loop_turn(&w->loop, 5);
	}
	return -1;
}

#endif
