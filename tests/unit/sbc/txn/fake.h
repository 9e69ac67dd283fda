/* fake.h - a network that records what it is given, a clock that stands still, and a transaction user that writes
 * down what it is told. For the tests of this room. */
#ifndef TESTS_UNIT_SBC_TXN_FAKE_H
#define TESTS_UNIT_SBC_TXN_FAKE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sbc/txn/impl.h"

#ifndef FAKE_MALLOC /* the test's own allocations, when those of the code are made to fail */
#define FAKE_MALLOC malloc
#endif
#define FAKE_SENT 512
#define UNUSED __attribute__((unused))

struct fake_sent {
	int64_t at_us;
	struct net_path path;
	uint64_t owner;
	char *text; /* own, with a NUL */
	size_t n;
};

struct fake {
	struct net net;
	struct net_local udp, tcp, tls;
	bool no_tcp, no_udp;
	int send_err[NET_PROTOS]; /* what send() says */
	uint32_t next_conn;
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct metrics metrics;
	struct logger logger;
	struct env env;
	struct txn_layer *l;
	struct fake_sent sent[FAKE_SENT];
	unsigned n_sent;
	unsigned closed; /* close() calls */
	char events[4096];
	size_t n_events;
	struct txn_srv *srv; /* of the last request */
	struct txn_cli *cli;
	unsigned reply_at_once; /* status, 0: none */
	bool drop, detach;      /* what on_request does with it */
	bool answer_nobody;
	unsigned on_wire_in, on_wire_out;
	unsigned cancel_reply;  /* status the user answers in on_cancel, 0: none */
};

/* until the sockets' room is linked in, which has it too */
__attribute__((weak)) struct str net_proto_name(enum net_proto p)
{
	static const struct str names[NET_PROTOS] = {{"UDP", 3}, {"TCP", 3}, {"TLS", 3}, {"WS", 2}, {"WSS", 3}};

	return names[p];
}

static UNUSED int fake_send(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct fake *f = container_of(n, struct fake, net);
	struct fake_sent *s;

	if (f->send_err[path->proto])
		return f->send_err[path->proto];
	assert_true(f->n_sent < FAKE_SENT);
	assert_true(len <= SIP_MSG_MAX);
	s = &f->sent[f->n_sent++];
	if (net_reliable(path->proto) && !path->conn)
		path->conn = f->next_conn++;
	*s = (struct fake_sent){.at_us = f->clock.mono_us, .path = *path, .owner = owner, .n = len};
	s->text = FAKE_MALLOC(len + 1);
	assert_non_null(s->text);
	memcpy(s->text, p, len);
	s->text[len] = 0;
	return 0;
}

static UNUSED const struct net_local *fake_local(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	struct fake *f = container_of(n, struct fake, net);

	(void)realm;
	if (family != AF_INET)
		return NULL;
	switch (proto) {
	case NET_UDP:
		return f->no_udp ? NULL : &f->udp;
	case NET_TCP:
		return f->no_tcp ? NULL : &f->tcp;
	case NET_TLS:
		return &f->tls;
	default:
		return NULL;
	}
}

static UNUSED void fake_close(struct net *n, const struct net_path *path, bool now)
{
	(void)path;
	(void)now;
	container_of(n, struct fake, net)->closed++;
}

static UNUSED void fake_event(struct fake *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static UNUSED void fake_event(struct fake *f, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(f->events + f->n_events, sizeof(f->events) - f->n_events, fmt, ap);
	va_end(ap);
	assert_true(n >= 0 && f->n_events + (size_t)n + 2 < sizeof(f->events));
	f->n_events += (size_t)n;
	f->events[f->n_events++] = ';';
	f->events[f->n_events] = 0;
}

/* what was told since the last call */
#define assert_events(f, text) \
	do { \
		assert_string_equal((f)->events, (text)); \
		(f)->n_events = 0; \
		(f)->events[0] = 0; \
	} while (0)

static UNUSED void fake_on_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	(void)t;
	fake_event(owner, "%u %.*s", (unsigned)m->status, STR(m->to.tag));
}

static UNUSED void fake_on_failed(void *owner, struct txn_cli *t, int err)
{
	(void)t;
	fake_event(owner, "failed %d", err);
}

static UNUSED void fake_on_gone(void *owner, struct txn_cli *t)
{
	struct fake *f = owner;

	if (f->cli == t)
		f->cli = NULL;
	fake_event(f, "gone");
}

static UNUSED const struct txn_cli_ops fake_cli_ops = {fake_on_response, fake_on_failed, fake_on_gone};

static UNUSED void fake_on_cancel(void *owner, struct txn_srv *t, const struct sip_msg *cancel)
{
	struct fake *f = owner;

	(void)cancel;
	fake_event(f, "cancel");
	if (f->cancel_reply)
		assert_int_equal(txn_srv_reply(t, &(struct txn_reply){.status = (uint16_t)f->cancel_reply}), 0);
}

static UNUSED void fake_on_end(void *owner, struct txn_srv *t, int err)
{
	struct fake *f = owner;

	if (f->srv == t)
		f->srv = NULL;
	fake_event(f, "end %d", err);
}

static UNUSED const struct txn_srv_ops fake_srv_ops = {fake_on_cancel, fake_on_end};

static UNUSED void fake_on_request(void *ctx, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct fake *f = ctx;

	(void)from;
	fake_event(f, "%.*s%s", STR(m->method_name), t ? "" : " up");
	if (!t)
		return;
	if (f->drop) {
		txn_srv_drop(t);
		return;
	}
	txn_srv_bind(t, &fake_srv_ops, f);
	f->srv = t;
	if (f->reply_at_once)
		assert_int_equal(txn_srv_reply(t, &(struct txn_reply){.status = (uint16_t)f->reply_at_once}), 0);
	if (f->detach) {
		f->srv = NULL;
		txn_srv_detach(t);
	}
}

static UNUSED void fake_on_wire(void *ctx, bool out, const struct net_path *path, struct str bytes,
    struct str call_id)
{
	struct fake *f = ctx;

	(void)path;
	assert_true(bytes.n > 0);
	assert_true(call_id.n == 0 || str_find(bytes, call_id) > 0);
	if (out)
		f->on_wire_out++;
	else
		f->on_wire_in++;
}

static UNUSED bool fake_may_answer(void *ctx, const struct net_path *from)
{
	(void)from;
	return !((struct fake *)ctx)->answer_nobody;
}

static UNUSED const struct net_ops fake_net_ops = {.send = fake_send, .local = fake_local, .close = fake_close};
static UNUSED const struct txn_user fake_user = {fake_on_request, fake_on_wire, fake_may_answer};

/* The start lies on a tick of the wheel, so that a timer fires at most one tick (1.024 ms) late. */
#define FAKE_START_US ((int64_t)1024 * 1000000)

static UNUSED void fake_init(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	f->net.ops = &fake_net_ops;
	f->udp = (struct net_local){.host = S("sbc.example"), .port = 5060};
	f->tcp = (struct net_local){.host = S("sbc.example"), .port = 5060};
	f->tls = (struct net_local){.host = S("sbc.example"), .port = 5061};
	f->next_conn = 100;
	f->clock.mono_us = FAKE_START_US;
	timers_init(&f->timers, &f->clock);
	rng_init_seeded(&f->rng, 1);
	metrics_init(&f->metrics);
	f->env = (struct env){.clock = &f->clock,
	    .timers = &f->timers,
	    .rng = &f->rng,
	    .metrics = &f->metrics,
	    .hash_key = {1, 2}};
	f->l = txn_new(&f->env, &f->net, &fake_user, f);
	assert_non_null(f->l);
}

static UNUSED void fake_forget_sent(struct fake *f)
{
	for (unsigned i = 0; i < f->n_sent; i++)
		free(f->sent[i].text);
	f->n_sent = 0;
}

/* Nothing may be left: neither transaction, nor timer, nor a byte of theirs. */
static UNUSED void assert_idle(struct fake *f)
{
	assert_int_equal(txn_count_cli(f->l), 0);
	assert_int_equal(txn_count_srv(f->l), 0);
	assert_int_equal(f->timers.n, 0);
	assert_int_equal(f->l->srv_pool.live_bytes + f->l->cli_pool.live_bytes, 0);
	assert_int_equal(f->l->kept_bytes, 0);
	assert_int_equal(f->l->cli.n + f->l->srv.n + f->l->merged.n + f->l->flows.n + f->l->n_nodes, 0);
}

static UNUSED void fake_fini(struct fake *f)
{
	txn_free(f->l);
	assert_int_equal(f->timers.n, 0);
	fake_forget_sent(f);
}

/* to that many ms after the start, stepping from timer to timer */
static UNUSED void run_to(struct fake *f, int64_t ms)
{
	int64_t end = FAKE_START_US + ms * 1000, next;

	while ((next = timers_next_us(&f->timers)) <= end) {
		if (next > f->clock.mono_us)
			f->clock.mono_us = next;
		timers_advance(&f->timers);
	}
	f->clock.mono_us = end;
	timers_advance(&f->timers);
}

static UNUSED struct net_path peer_path(enum net_proto proto, const char *ip, uint16_t port, uint32_t conn)
{
	struct net_path p = {.proto = (uint8_t)proto, .conn = conn};

	assert_int_equal(addr_parse_ip(str_z(ip), port, &p.remote), 0);
	assert_int_equal(addr_parse_ip(S("192.0.2.1"), 5060, &p.local), 0);
	return p;
}

/* Hands a copy of text to the layer, so that an overrun is seen. */
static UNUSED void receive_n(struct fake *f, const struct net_path *from, const char *text, size_t n)
{
	char *copy = FAKE_MALLOC(n ? n : 1);

	assert_non_null(copy);
	memcpy(copy, text, n);
	txn_on_message(f->l, from, copy, n, REASON_NONE);
	free(copy);
}

static UNUSED void receive(struct fake *f, const struct net_path *from, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static UNUSED void receive(struct fake *f, const struct net_path *from, const char *fmt, ...)
{
	static char text[70000];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	assert_true(n > 0 && (size_t)n < sizeof(text));
	receive_n(f, from, text, (size_t)n);
}

/* A request of a peer: UDP source 192.0.2.9:5060 unless the path says otherwise. */
#define REQ(method, branch, cseq, cseq_method, more) \
	method " sip:+15550100@sbc.example SIP/2.0\r\n" \
	"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=" branch "\r\n" \
	"Max-Forwards: 70\r\n" \
	"From: <sip:alice@192.0.2.9>;tag=a1\r\n" \
	"To: <sip:+15550100@sbc.example>\r\n" \
	"Call-ID: call-1@192.0.2.9\r\n" \
	"CSeq: " cseq " " cseq_method "\r\n" more "Content-Length: 0\r\n\r\n"

/* first sent message that begins with these words, from index i on; -1 */
static UNUSED int find_sent(const struct fake *f, unsigned i, const char *start)
{
	for (; i < f->n_sent; i++)
		if (strncmp(f->sent[i].text, start, strlen(start)) == 0)
			return (int)i;
	return -1;
}

/* The messages beginning with start were sent at exactly these ms after the start (one tick late at most). */
static UNUSED void assert_times(const struct fake *f, const char *start, const double *ms, unsigned n)
{
	unsigned seen = 0;

	for (int i = find_sent(f, 0, start); i >= 0; i = find_sent(f, (unsigned)i + 1, start)) {
		double at = (double)(f->sent[i].at_us - FAKE_START_US) / 1000;

		if (seen >= n)
			fail_msg("\"%s\": one too many at %.3f ms", start, at);
		if (at < ms[seen] || at > ms[seen] + 1.024)
			fail_msg("\"%s\" no. %u: at %.3f ms, expected %.3f", start, seen, at, ms[seen]);
		seen++;
	}
	if (seen != n)
		fail_msg("\"%s\": %u sent, expected %u", start, seen, n);
}
#define TIMES(...) ((const double[]){__VA_ARGS__}), ARRAY_LEN(((const double[]){__VA_ARGS__}))

/* value of the first line "name: value" of a message, into text */
static UNUSED const char *header_of(const char *msg, const char *name, char *text, size_t cap)
{
	const char *p = msg, *end;
	size_t n = strlen(name);

	text[0] = 0;
	while ((p = strstr(p, "\r\n"))) {
		p += 2;
		if (strncmp(p, name, n) == 0 && p[n] == ':') {
			p += n + 1;
			while (*p == ' ')
				p++;
			end = strstr(p, "\r\n");
			assert_non_null(end);
			snprintf(text, cap, "%.*s", (int)(end - p), p);
			return text;
		}
	}
	return text;
}

static UNUSED unsigned count_of(const char *text, const char *needle)
{
	unsigned n = 0;

	for (; (text = strstr(text, needle)); text += strlen(needle))
		n++;
	return n;
}

/* An answer of the peer to the sent request i: its Via, From, Call-ID, CSeq; To gets ;tag=tag unless tag is "". */
static UNUSED void answer(struct fake *f, const struct net_path *from, unsigned i, const char *status, const char *tag)
{
	char via[256], fr[256], to[256], id[256], cseq[64];
	const char *m = f->sent[i].text;

	header_of(m, "Via", via, sizeof(via));
	header_of(m, "From", fr, sizeof(fr));
	header_of(m, "To", to, sizeof(to));
	header_of(m, "Call-ID", id, sizeof(id));
	header_of(m, "CSeq", cseq, sizeof(cseq));
	receive(f, from,
	    "SIP/2.0 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s%s%s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
	    "Contact: <sip:bob@192.0.2.9>\r\nContent-Length: 0\r\n\r\n",
	    status, via, fr, to, *tag ? ";tag=" : "", tag, id, cseq);
}

static UNUSED struct txn_cli *request_with(struct fake *f, enum sip_method method, enum net_proto proto,
    const struct txn_timers *timers, struct str body)
{
	char headers[512];
	struct txn_req r = {.method = method,
	    .ruri = S("sip:+15550199@192.0.2.9"),
	    .path = peer_path(proto, "192.0.2.9", 5060, 0),
	    .timers = timers,
	    .body = body};

	snprintf(headers, sizeof(headers),
	    "Route: <sip:proxy.example;lr>\r\nFrom: <sip:us@sbc.example>;tag=u1\r\n"
	    "To: <sip:+15550199@192.0.2.9>\r\nCall-ID: leg-b\r\nCSeq: 7 %.*s\r\nMax-Forwards: 70\r\n"
	    "Require: 100rel\r\n",
	    STR(sip_method_name(method)));
	r.headers = str_z(headers);
	return f->cli = txn_request(f->l, &r, &fake_cli_ops, f);
}

static UNUSED struct txn_cli *request(struct fake *f, enum sip_method method, enum net_proto proto)
{
	return request_with(f, method, proto, NULL, STR_NONE);
}

/* A table of edges as data: every state can be reached from 0 and can reach the last one. used(s, e) and next(s, e)
 * look into it. */
struct table {
	unsigned states, events;
	bool (*used)(unsigned state, unsigned event);
	unsigned (*next)(unsigned state, unsigned event);
	bool (*act)(unsigned state, unsigned event);
};

static UNUSED unsigned reach(const struct table *t, unsigned from)
{
	unsigned seen = 1u << from, before;

	do {
		before = seen;
		for (unsigned s = 0; s < t->states; s++)
			for (unsigned e = 0; seen & 1u << s && e < t->events; e++)
				if (t->used(s, e))
					seen |= 1u << t->next(s, e);
	} while (seen != before);
	return seen;
}

static UNUSED void walk_table(const struct table *t)
{
	unsigned last = t->states - 1, events = 0;

	assert_int_equal(reach(t, 0), (1u << t->states) - 1); /* every state can be reached */
	for (unsigned s = 0; s < t->states; s++) {
		assert_true(reach(t, s) & 1u << last); /* and can end */
		for (unsigned e = 0; e < t->events; e++) {
			if (!t->used(s, e))
				continue;
			events |= 1u << e;
			assert_true(t->act(s, e));
			assert_true(t->next(s, e) < t->states);
		}
	}
	assert_int_equal(events, (1u << t->events) - 1); /* no event without an edge */
}

#define TABLE(prefix, PREFIX) \
	static bool table_used(unsigned s, unsigned e) \
	{ \
		return prefix##_edges[s][e].used; \
	} \
	static unsigned table_next(unsigned s, unsigned e) \
	{ \
		return prefix##_edges[s][e].next; \
	} \
	static bool table_act(unsigned s, unsigned e) \
	{ \
		return prefix##_edges[s][e].act != NULL; \
	} \
	static const struct table table = {PREFIX##_STATES, PREFIX##_EVENTS, table_used, table_next, table_act}

#endif
