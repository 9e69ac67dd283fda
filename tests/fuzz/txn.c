/* txn.c - any sequence of messages, failures, user actions and time through the transaction layer: no crash, no
 * leak, nothing left at the end.
 *
 * links: sbc_txn
 *
 * The input is a list of steps, each a byte that chooses and operands as below; a message step carries its bytes.
 * Steps that answer a request of ours, or repeat and change a request seen before, take branch and tags from what
 * was sent, so that the fuzzer gets past the matching without guessing 80 random bits.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sbc/txn/txn.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define SRV_MAX 16
#define CLI_MAX 16

struct world {
	struct net net;
	struct net_local local;
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct env env;
	struct txn_layer *l;
	const uint8_t *p, *end;
	struct txn_srv *srv[SRV_MAX];
	struct txn_cli *cli[CLI_MAX];
	struct txn_ack *ack;
	char sent[70000]; /* the last request of ours, with a NUL */
	size_t n_sent;
	uint64_t sent_owner;
	struct net_path sent_path;
	bool closing;
};

static unsigned take(struct world *w)
{
	return w->p < w->end ? *w->p++ : 0;
}

static int net_out(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct world *w = container_of(n, struct world, net);

	CHECK(len > 0 && len <= SIP_MSG_MAX);
	if (!w->closing && take(w) == 255)
		return -ENOBUFS;
	if (memcmp(p, "SIP/2.0 ", 8) != 0) {
		memcpy(w->sent, p, len);
		w->sent[len] = 0;
		w->n_sent = len;
		w->sent_owner = owner;
		w->sent_path = *path;
	}
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

static void on_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct world *w = owner;

	CHECK(!m->is_request && m->method == t->method);
	if (take(w) == 1)
		txn_cli_cancel(t, S("Reason: SIP;cause=200\r\n"));
}

static void on_failed(void *owner, struct txn_cli *t, int err)
{
	(void)owner;
	(void)t;
	CHECK(err < 0);
}

static void on_gone(void *owner, struct txn_cli *t)
{
	struct world *w = owner;

	for (unsigned i = 0; i < CLI_MAX; i++)
		if (w->cli[i] == t)
			w->cli[i] = NULL;
}

static const struct txn_cli_ops cli_ops = {on_response, on_failed, on_gone};

static void on_cancel(void *owner, struct txn_srv *t, const struct sip_msg *cancel)
{
	struct world *w = owner;

	CHECK(cancel->method == SIP_CANCEL && t->method == SIP_INVITE);
	if (take(w) & 1)
		(void)txn_srv_reply(t, &(struct txn_reply){.status = 487});
}

static void on_end(void *owner, struct txn_srv *t, int err)
{
	struct world *w = owner;

	(void)err;
	for (unsigned i = 0; i < SRV_MAX; i++)
		if (w->srv[i] == t)
			w->srv[i] = NULL;
}

static const struct txn_srv_ops srv_ops = {on_cancel, on_end};

static void on_request(void *ctx, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct world *w = ctx;

	(void)from;
	CHECK(m->is_request && (t || m->method == SIP_ACK));
	if (!t)
		return;
	for (unsigned i = 0; i < SRV_MAX; i++) {
		if (w->srv[i])
			continue;
		w->srv[i] = t;
		txn_srv_bind(t, &srv_ops, w);
		return;
	}
	if (take(w) & 1)
		txn_srv_drop(t);
	else
		txn_srv_detach(t);
}

static const struct txn_user user = {on_request, NULL, NULL};

static struct net_path path_of(unsigned v)
{
	struct net_path p = {.proto = v & 1 ? NET_TCP : NET_UDP, .realm = v >> 1 & 1, .conn = v & 1 ? 1 + (v >> 2 & 3) : 0};

	CHECK(addr_parse_ip(S("192.0.2.9"), (uint16_t)(5060 + (v >> 4)), &p.remote) == 0);
	return p;
}

static void deliver(struct world *w, const struct net_path *from, const char *text, size_t n, enum reason bad)
{
	char *copy = malloc(n ? n : 1);

	CHECK(copy);
	memcpy(copy, text, n);
	txn_on_message(w->l, from, copy, n, bad);
	free(copy);
}

/* a response to the last request of ours, with its own lines up to Content-Length */
static void answer(struct world *w)
{
	unsigned status = 100 + (take(w) << 1) % 600, v = take(w);
	struct str sent = str_n(w->sent, w->n_sent);
	ptrdiff_t line = str_find(sent, S("\r\n")), body = str_find(sent, S("\r\n\r\n"));
	struct net_path from = path_of(w->sent_path.proto == NET_TCP ? 1 : 0);
	char *text;
	int n;

	if (w->n_sent == 0 || line < 0 || body < line)
		return;
	text = malloc((size_t)body + 200);
	CHECK(text);
	n = snprintf(text, (size_t)body + 200, "SIP/2.0 %u X%.*s\r\n%s\r\n", status, (int)(body - line), w->sent + line,
	    v & 1 ? "v: SIP/2.0/UDP two\r\n" : "");
	CHECK(n > 0);
	deliver(w, &from, text, (size_t)n, REASON_NONE);
	free(text);
}

static void start(struct world *w)
{
	static const enum sip_method methods[] = {SIP_INVITE, SIP_BYE, SIP_OPTIONS, SIP_INVITE};
	static char body[2000];
	unsigned v = take(w), slot = v % CLI_MAX;
	char headers[128];
	struct txn_req r = {.method = methods[v % 4],
	    .ruri = S("sip:x@y"),
	    .path = path_of(take(w)),
	    .body = str_n(body, v & 64 ? sizeof(body) : 0)};

	if (w->cli[slot])
		return;
	memset(body, 'x', sizeof(body));
	snprintf(headers, sizeof(headers), "From: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: c%u\r\nCSeq: 1 %.*s\r\n",
	    slot, STR(sip_method_name(r.method)));
	r.headers = str_z(headers);
	w->cli[slot] = txn_request(w->l, &r, &cli_ops, w);
	CHECK(w->cli[slot]);
}

static void ack(struct world *w)
{
	struct txn_req r = {.method = SIP_ACK,
	    .ruri = S("sip:x@y"),
	    .path = path_of(take(w)),
	    .headers = S("From: <sip:a@b>;tag=1\r\nTo: <sip:x@y>;tag=2\r\nCall-ID: c\r\nCSeq: 1 ACK\r\n")};

	if (w->ack) {
		txn_ack_resend(w->ack);
		txn_ack_free(w->ack);
		w->ack = NULL;
	} else {
		w->ack = txn_ack_new(w->l, &r);
	}
}

static void pass_time(struct world *w, int64_t us)
{
	int64_t end = w->clock.mono_us + us, next;

	while ((next = timers_next_us(&w->timers)) <= end) {
		if (next > w->clock.mono_us)
			w->clock.mono_us = next;
		timers_advance(&w->timers);
	}
	w->clock.mono_us = end;
	timers_advance(&w->timers);
}

static void step(struct world *w)
{
	unsigned op = take(w), v, n;
	struct net_path path;
	struct txn_srv *t;

	switch (op % 10) {
	case 0: /* a message: path, length (two bytes), bytes */
	case 1:
		path = path_of(take(w));
		n = take(w) << 8;
		n |= take(w);
		if (n > (size_t)(w->end - w->p))
			n = (unsigned)(w->end - w->p);
		deliver(w, &path, (const char *)w->p, n, op & 128 ? REASON_TOO_LARGE : REASON_NONE);
		w->p += n;
		break;
	case 2:
		v = take(w);
		pass_time(w, (int64_t)v * v * 1000);
		break;
	case 3:
		answer(w);
		break;
	case 4:
		start(w);
		break;
	case 5:
		v = take(w) % CLI_MAX;
		if (w->cli[v] && op & 128) {
			txn_cli_detach(w->cli[v]);
			w->cli[v] = NULL;
		} else if (w->cli[v]) {
			txn_cli_cancel(w->cli[v], STR_NONE);
		}
		break;
	case 6: /* of the last request: by its id, or by its bytes as from ICMP */
		v = take(w);
		txn_on_failure(w->l, &w->sent_path, v & 1 ? w->sent_owner : 0, -ECONNREFUSED,
		    str_n(w->sent, v & 1 ? 0 : v < w->n_sent ? v : w->n_sent));
		break;
	case 7:
	case 8:
		v = take(w);
		t = w->srv[v % SRV_MAX];
		v = take(w);
		if (t)
			(void)txn_srv_reply(t, &(struct txn_reply){.status = (uint16_t)(100 + v * 2),
			                           .body = str_n("v=0\r\n", v & 1 ? 5 : 0)});
		break;
	default:
		v = take(w);
		t = w->srv[v % SRV_MAX];
		if (v >= 240) {
			ack(w);
		} else if (t && v >= 200) {
			w->srv[v % SRV_MAX] = NULL;
			txn_srv_drop(t);
		} else if (t && v >= 160) {
			w->srv[v % SRV_MAX] = NULL;
			txn_srv_detach(t);
		} else if (t && v >= 120) {
			txn_srv_acked(t);
		} else if (t && v >= 80) {
			txn_srv_set_symmetric(t);
		} else if (t && v >= 40) {
			txn_srv_resend(t);
		} else if (t) {
			(void)txn_srv_refuse(t, REASON_NO_ROUTE, true, STR_NONE);
		}
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct world *w = calloc(1, sizeof(*w));

	CHECK(w);
	w->net.ops = &net_ops;
	w->local = (struct net_local){.host = S("sbc.example"), .port = 5060};
	w->clock.mono_us = 1000000;
	timers_init(&w->timers, &w->clock);
	rng_init_seeded(&w->rng, 1);
	w->env = (struct env){.clock = &w->clock, .timers = &w->timers, .rng = &w->rng, .hash_key = {1, 2}};
	w->l = txn_new(&w->env, &w->net, &user, w);
	CHECK(w->l);
	w->p = p;
	w->end = p + n;
	while (w->p < w->end)
		step(w);
	/* Let go of everything: all that is left must then end by itself. */
	for (unsigned i = 0; i < SRV_MAX; i++)
		if (w->srv[i])
			txn_srv_detach(w->srv[i]);
	for (unsigned i = 0; i < CLI_MAX; i++) {
		if (!w->cli[i])
			continue;
		txn_cli_cancel(w->cli[i], STR_NONE);
		txn_cli_detach(w->cli[i]);
	}
	txn_ack_free(w->ack);
	w->closing = true;
	pass_time(w, (int64_t)200 * 1000000);
	CHECK(txn_count_cli(w->l) == 0 && txn_count_srv(w->l) == 0 && w->timers.n == 0);
	txn_free(w->l);
	CHECK(w->timers.n == 0);
	free(w);
	return 0;
}
