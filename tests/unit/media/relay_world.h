/* relay_world.h - a relay with a clock of the test's, and far ends on loopback addresses. */
#ifndef TESTS_RELAY_WORLD_H
#define TESTS_RELAY_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "media/relay.h"
#include "media/rtp.h"
#include "sbc/loop/loop.h"

#define REALMS 2

struct world {
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct logger logger;
	struct metrics metrics;
	struct env env;
	struct media_realm_cfg realm[REALMS];
	struct media_cfg cfg;
	struct relay *relay;
};

static inline struct addr ip(const char *text, unsigned port)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(str_z(text), (uint16_t)port, &a), 0);
	return a;
}

/* Two realms on addresses of this process alone: other test programs may run beside. */
static inline void world_init(struct world *w, unsigned workers)
{
	unsigned pid = (unsigned)getpid();
	char text[32];

	memset(w, 0, sizeof(*w));
	w->clock = (struct clock){1000000000, 1700000000000000};
	timers_init(&w->timers, &w->clock);
	rng_init_seeded(&w->rng, 7);
	assert_int_equal(logger_init(&w->logger, -1, LOG_INFO), 0);
	metrics_init(&w->metrics);
	w->env = (struct env){.clock = &w->clock, .timers = &w->timers, .rng = &w->rng, .logger = &w->logger,
	    .metrics = &w->metrics};
	snprintf(text, sizeof(text), "127.77.%u.%u", pid >> 8 & 0x7f, pid & 0xff);
	w->realm[0] = (struct media_realm_cfg){.name = S("wan"), .ip4 = ip(text, 0), .ip6 = ip("::1", 0),
	    .port_min = (uint16_t)(20000 + pid % 100 * 40), .port_max = (uint16_t)(20000 + pid % 100 * 40 + 39),
	    .dscp = 46};
	snprintf(text, sizeof(text), "127.78.%u.%u", pid >> 8 & 0x7f, pid & 0xff);
	w->realm[1] = w->realm[0];
	w->realm[1].name = S("lan");
	w->realm[1].ip4 = ip(text, 0);
	w->realm[1].ip6 = (struct addr){0};
	w->realm[1].dscp = 0;
	w->cfg = (struct media_cfg){.realms = w->realm, .n_realms = REALMS, .workers = workers};
}

static inline void world_start(struct world *w)
{
	enum reason why = REASON_INTERNAL;

	w->relay = relay_new(&w->env, &w->cfg, &why);
	assert_non_null(w->relay);
	assert_int_equal(why, REASON_NONE);
}

/* with a loop that hears what workers send up; a pair that is given back may be taken again soon */
static inline void world_start_on(struct world *w, struct loop *loop)
{
	struct loop_cfg cfg = {0};

	assert_int_equal(loop_init(loop, &cfg), 0);
	w->cfg.loop = loop;
	w->cfg.quarantine_ms = 1;
	world_start(w);
}

static inline void world_fini(struct world *w)
{
	relay_free(w->relay);
	assert_true(w->metrics.sets.next == &w->metrics.sets);
	assert_int_equal(w->timers.n, 0);
	logger_fini(&w->logger);
}

static inline bool world_logged(struct world *w, const char *needle)
{
	static struct log_line lines[256];
	unsigned n = logger_read_any(&w->logger, 0, lines, ARRAY_LEN(lines));

	for (unsigned i = 0; i < n; i++)
		if (strstr(lines[i].text, needle))
			return true;
	return false;
}

/* a second of the test's time: the relay's own timer runs */
static inline void world_advance(struct world *w, int64_t us)
{
	w->clock.mono_us += us;
	timers_advance(&w->timers);
}

static inline uint64_t metric(struct world *w, const char *name)
{
	world_advance(w, 1100000);
	return metrics_get(&w->metrics, "relay", name);
}

static inline struct relay_pair *take(struct world *w, unsigned realm, int family)
{
	struct relay_pair *p = NULL;

	assert_int_equal(relay_pair_get(w->relay, realm, family, &p), REASON_NONE);
	return p;
}

/* --- far ends --- */

/* a socket at that address; *addr gets its port when it was 0 */
static inline int peer_open(struct addr *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 1 << 20;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &addr->sa, addr_len(addr)), 0);
	assert_int_equal(getsockname(fd, &addr->sa, &len), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static inline void peer_send(int fd, const struct addr *to, const void *p, size_t n)
{
	assert_int_equal(sendto(fd, p, n, 0, &to->sa, addr_len(to)), (ssize_t)n);
}

/* bytes of the next datagram, -1 when none comes within wait_ms */
static inline ssize_t peer_recv(int fd, void *p, size_t cap, struct addr *from, int wait_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	socklen_t len = sizeof(*from);

	if (poll(&pfd, 1, wait_ms) <= 0)
		return -1;
	return recvfrom(fd, p, cap, 0, from ? &from->sa : NULL, from ? &len : NULL);
}

#define ARRIVES 5000 /* ms that a packet which must come may take on a busy machine */

static inline struct addr port_after(struct addr a)
{
	addr_set_port(&a, (uint16_t)(addr_port(&a) + 1));
	return a;
}

/* RTP header and n_payload bytes counting up; returns the length */
static inline size_t rtp_make(uint8_t *p, unsigned pt, unsigned seq, uint32_t ts, uint32_t ssrc, size_t n_payload)
{
	const uint8_t head[12] = {0x80, (uint8_t)pt, (uint8_t)(seq >> 8), (uint8_t)seq, (uint8_t)(ts >> 24),
	    (uint8_t)(ts >> 16), (uint8_t)(ts >> 8), (uint8_t)ts, (uint8_t)(ssrc >> 24), (uint8_t)(ssrc >> 16),
	    (uint8_t)(ssrc >> 8), (uint8_t)ssrc};

	memcpy(p, head, 12);
	for (size_t i = 0; i < n_payload; i++)
		p[12 + i] = (uint8_t)i;
	return 12 + n_payload;
}

/* receiver report without blocks */
static const uint8_t rtcp_rr[8] = {0x80, 201, 0, 1, 1, 2, 3, 4};

/* --- one call --- */

struct end {
	struct addr rtp_addr, rtcp_addr;
	int rtp, rtcp;
};

struct call {
	struct world *w;
	struct end end[2];        /* far ends: 127.0.0.2 and 127.0.0.3, or ::1 */
	struct relay_pair *pair[2];
	struct addr local[2];     /* our RTP address towards end[i] */
	struct relay_program prog[2]; /* of packets from end[i] */
};

static inline void end_open(struct end *e, const char *address)
{
	/* an even port with its odd one: try until both are free */
	for (int i = 0; i < 200; i++) {
		e->rtp_addr = ip(address, 0);
		e->rtp = peer_open(&e->rtp_addr);
		e->rtcp_addr = port_after(e->rtp_addr);
		e->rtcp = socket(e->rtcp_addr.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (addr_port(&e->rtp_addr) % 2 == 0 &&
		    bind(e->rtcp, &e->rtcp_addr.sa, addr_len(&e->rtcp_addr)) == 0)
			return;
		close(e->rtp);
		close(e->rtcp);
	}
	fail_msg("no pair of ports for a far end");
}

/* PCMA 8 and telephone-event 101 pass as they are */
static inline void program_fill(struct relay_program *p, const struct end *from, const struct end *to)
{
	memset(p, 0, sizeof(*p));
	memset(p->pt_map, RELAY_PT_DROP, sizeof(p->pt_map));
	p->pt_map[8] = 8;
	p->pt_map[101] = 101;
	p->source_rtp = from->rtp_addr;
	p->source_rtcp = from->rtcp_addr;
	p->dest_rtp = to->rtp_addr;
	p->dest_rtcp = to->rtcp_addr;
	p->rtp_on = true;
}

static inline void call_publish(struct call *c)
{
	for (unsigned s = 0; s < 2; s++)
		assert_int_equal(relay_program_set(c->pair[s], c->pair[!s], &c->prog[s]), REASON_NONE);
}

static inline void call_open_at(struct call *c, struct world *w, const char *a, const char *b)
{
	const char *at[2] = {a, b};

	memset(c, 0, sizeof(*c));
	c->w = w;
	for (unsigned s = 0; s < 2; s++) {
		end_open(&c->end[s], at[s]);
		c->pair[s] = take(w, s == 1 && c->end[s].rtp_addr.sa.sa_family == AF_INET ? 1 : 0,
		    c->end[s].rtp_addr.sa.sa_family);
		c->local[s] = *relay_pair_local(c->pair[s]);
	}
	for (unsigned s = 0; s < 2; s++)
		program_fill(&c->prog[s], &c->end[s], &c->end[!s]);
	call_publish(c);
}

static inline void call_open(struct call *c, struct world *w)
{
	call_open_at(c, w, "127.0.0.2", "127.0.0.3");
}

static inline void call_close(struct call *c)
{
	for (unsigned s = 0; s < 2; s++) {
		relay_pair_put(c->pair[s]);
		close(c->end[s].rtp);
		close(c->end[s].rtcp);
	}
}

static inline struct media_stats stats(const struct call *c, unsigned s)
{
	struct media_stats st;

	relay_pair_stats(c->pair[s], &st);
	return st;
}

/* Waits until a drop counter of side s has the value; packets that go nowhere show in nothing else. */
static inline void wait_drops(const struct call *c, unsigned s, enum relay_drop why, uint64_t n)
{
	for (int i = 0; i < ARRIVES && stats(c, s).drops[why] < n; i++)
		poll(NULL, 0, 1);
	assert_int_equal(stats(c, s).drops[why], n);
}

/* What was sent is counted after it was sent. */
static inline void wait_sent(const struct call *c, unsigned s, uint64_t n)
{
	for (int i = 0; i < ARRIVES && stats(c, s).tx_packets < n; i++)
		poll(NULL, 0, 1);
	assert_int_equal(stats(c, s).tx_packets, n);
}

/* A PCMA packet from `fd` to our port of side s must come out at the other far end; marker and pt as sent. */
static inline void passes(struct call *c, int fd, unsigned s, unsigned seq)
{
	uint8_t out[64], in[64];
	size_t n = rtp_make(out, 8, seq, seq * 160, 77, 40);

	peer_send(fd, &c->local[s], out, n);
	assert_int_equal(peer_recv(c->end[!s].rtp, in, sizeof(in), NULL, ARRIVES), (ssize_t)n);
	assert_memory_equal(in, out, n);
}

/* nothing waits at that socket, now that what was sent before has been handled */
static inline void silent(int fd)
{
	uint8_t b[64];

	assert_int_equal(peer_recv(fd, b, sizeof(b), NULL, 20), -1);
}

#endif
