/* layer.c - the transaction layer: what arrives, what fails, the tables, beginning and end.
 *
 * Happy path: parse, then a request goes to server.c and a response to client.c, which find or make the
 * transaction and step its machine (ict.c, nict.c, ist.c, nist.c).
 * What does not parse is answered with the parser's status, without state, when the user lets us answer that
 * source; a line in the log says why, at most once a second.
 *
 * Ownership: each transaction lives in its own arena; a second arena holds the bytes to send again and goes as
 * soon as nothing can ask for them. All nodes have a slot (failures of the network name it) and hang by key in the
 * table of their side. Nothing is keyed by a peer's bytes without the process's secret.
 */
#include <errno.h>
#include <stdlib.h>

#include "sbc/base/big.h"
#include "sbc/txn/impl.h"

#define KEPT_FREE_MAX ((size_t)1 << 20) /* bytes */

static const char *const metric_names[TXN_METRICS] = {
    [TXN_RX_REQUEST] = "rx_request",
    [TXN_RX_RESPONSE] = "rx_response",
    [TXN_RX_BAD] = "rx_bad",
    [TXN_RX_RETRANS] = "rx_retrans",
    [TXN_RX_STRAY] = "rx_stray",
    [TXN_RX_MERGED] = "rx_merged",
    [TXN_TX_REQUEST] = "tx_request",
    [TXN_TX_RESPONSE] = "tx_response",
    [TXN_TX_RETRANS] = "tx_retrans",
    [TXN_TX_FAILED] = "tx_failed",
    [TXN_TIMEOUT] = "timeout",
    [TXN_TO_TCP] = "to_tcp",
    [TXN_BACK_TO_UDP] = "back_to_udp",
    [TXN_UNEXPECTED] = "unexpected",
    [TXN_RX_DROPPED] = "rx_dropped",
};

/* ------------------------------------------------------------------ what all share */

void txn_resend_after(struct txn_layer *l, struct timer *t, uint32_t interval_ms, timer_fn *fn)
{
	timer_start_us(l->env->timers, t, t->due_us + (int64_t)interval_ms * 1000 - l->env->clock->mono_us, fn);
}

void txn_kept_drop(struct kept *k)
{
	if (k->p) {
		k->l->kept_bytes -= k->bytes.n;
		block_put(&k->l->kept, k->p, k->bytes.n);
	}
	*k = (struct kept){0};
}

int txn_kept_set(struct txn_layer *l, struct kept *k, struct str bytes)
{
	char *p = block_get(&l->kept, bytes.n);

	if (p)
		memcpy(p, bytes.p, bytes.n); /* bytes may be what k holds */
	txn_kept_drop(k);
	if (!p)
		return -ENOMEM;
	*k = (struct kept){.l = l, .p = p, .bytes = str_n(p, bytes.n)};
	l->kept_bytes += bytes.n;
	return 0;
}

int txn_send(struct txn_layer *l, struct net_path *path, struct str bytes, struct str call_id, uint64_t owner,
    enum txn_metric counts_as)
{
	int err = net_send(l->net, path, bytes.p, bytes.n, owner);

	if (err) {
		txn_metric_inc(l, TXN_TX_FAILED);
		return err;
	}
	txn_metric_inc(l, counts_as);
	if (l->user->on_wire)
		l->user->on_wire(l->ctx, true, path, bytes, call_id);
	return 0;
}

static int slots_grow(struct txn_layer *l)
{
	size_t cap = l->cap_slots ? (size_t)l->cap_slots * 2 : 1024;
	struct txn_slot *s;

	if (cap > UINT32_MAX)
		return -ENOMEM;
	s = l->slot ? big_grow(l->slot, l->cap_slots * sizeof(*s), cap * sizeof(*s)) : big_alloc(cap * sizeof(*s));
	if (!s)
		return -ENOMEM;
	l->slot = s;
	l->cap_slots = (uint32_t)cap;
	return 0;
}

int txn_node_link(struct txn_layer *l, struct txn_node *n, enum txn_kind kind)
{
	uint32_t at = l->free_slot;
	struct txn_slot *s;

	if (!at) {
		if (l->n_slots == l->cap_slots && slots_grow(l) < 0)
			return -ENOMEM;
		at = ++l->n_slots;
	}
	s = &l->slot[at - 1];
	l->free_slot = s->next_free;
	s->next_free = 0;
	s->node = n;
	s->taken++;
	n->l = l;
	n->kind = (uint8_t)kind;
	n->id = (uint64_t)s->taken << 32 | at;
	l->n_nodes++;
	return 0;
}

void txn_node_unlink(struct txn_node *n)
{
	struct txn_layer *l = n->l;
	uint32_t at = (uint32_t)n->id;

	l->slot[at - 1].node = NULL;
	l->slot[at - 1].next_free = l->free_slot;
	l->free_slot = at;
	l->n_nodes--;
}

static struct txn_node *node_by_id(struct txn_layer *l, uint64_t id)
{
	uint32_t at = (uint32_t)id;
	struct txn_node *n = at && at <= l->n_slots ? l->slot[at - 1].node : NULL;

	return n && n->id == id ? n : NULL;
}

/* ------------------------------------------------------------------ what arrives and what fails */

#define BAD_QUIET_US 1000000

/* Anything a packet can trigger is logged at most once a second. */
static void log_bad(struct txn_layer *l, const struct net_path *from, enum reason why, const char *text, size_t at)
{
	char addr[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	unsigned unsaid;

	txn_metric_inc(l, TXN_RX_BAD);
	if (log_gate_open(&l->bad_gate, l->env->clock->mono_us, BAD_QUIET_US, &unsaid))
		log_info(&l->log, "bad_message", "from=%s reason=%s at=%zu why=\"%s\" unsaid=%u",
		    addr_text(&from->remote, addr), reason_code(why, code), at, text ? text : reason_info(why)->text, unsaid);
}

void txn_on_message(struct txn_layer *l, const struct net_path *from, char *buf, size_t len, enum reason bad)
{
	struct sip_msg *m = NULL;
	struct sip_perr e = {0};
	unsigned status;
	int r;

	arena_reset(l->msg);
	r = sip_parse(l->msg, buf, len, &m, &e);
	if (r == -ENOMEM) {
		txn_metric_inc(l, TXN_RX_DROPPED);
		return;
	}
	if (l->user->on_wire)
		l->user->on_wire(l->ctx, false, from, str_n(buf, len),
		    r == 0 && bad == REASON_NONE ? m->call_id : STR_NONE);
	if (r == 0 && bad == REASON_NONE) {
		if (m->is_request)
			srv_on_request(l, m, from);
		else
			cli_on_response(l, m, from);
		return;
	}
	log_bad(l, from, r ? e.reason : bad, r ? e.why : NULL, r ? e.at : 0);
	if (r)
		status = e.status;
	else /* head is fine, the stream is not; net closes it */
		status = m->is_request && m->method != SIP_ACK ? reason_info(bad)->sip : 0;
	if (status && txn_may_answer(l, from))
		txn_answer_stateless(l, m, from, status, r ? str_z(e.why) : STR_NONE, STR_NONE);
	if (r && e.close && bad == REASON_NONE && net_reliable(from->proto))
		l->net->ops->close(l->net, from, false);
}

void txn_on_failure(struct txn_layer *l, const struct net_path *to, uint64_t owner, int err, struct str sent)
{
	struct txn_node *n;

	txn_metric_inc(l, TXN_TX_FAILED);
	if (owner == 0) {
		cli_on_icmp(l, to, err, sent);
		return;
	}
	n = node_by_id(l, owner);
	if (!n)
		return;
	switch ((enum txn_kind)n->kind) {
	case TXN_CLI:
		cli_broken(container_of(n, struct cli, n), err);
		break;
	case TXN_SRV:
		srv_broken(container_of(n, struct srv, n));
		break;
	case TXN_ACK: {
		struct txn_ack *k = container_of(n, struct txn_ack, n);

		if (k->moved)
			txn_ack_back_to_udp(k);
		break;
	}
	}
}

void txn_on_flow_lost(struct txn_layer *l, const struct net_path *flow, int err)
{
	struct hnode *h;

	/* each leaves the table: what follows from it may end others */
	while (flow->conn && (h = htab_first(&l->flows, flow->conn)))
		cli_flow_lost(container_of(h, struct cli, by_flow), err);
}

/* ------------------------------------------------------------------ the layer */

struct txn_layer *txn_new(const struct env *env, struct net *net, const struct txn_user *user, void *ctx)
{
	struct txn_layer *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->env = env;
	l->net = net;
	l->user = user;
	l->ctx = ctx;
	l->log = (struct log){.to = env->logger, .area = LOG_SIP};
	/* a transaction with its key and branch; a long Call-ID or a CANCEL's headers take a little more */
	arena_pool_init_more(&l->srv_pool, 688, 176, 1024);
	arena_pool_init_more(&l->cli_pool, 520, 176, 1024);
	block_pool_init(&l->kept, KEPT_FREE_MAX);
	arena_pool_init(&l->msg_pool, 16384, 4);
	l->msg = arena_new(&l->msg_pool);
	if (!l->msg || htab_init(&l->cli, 1024) || htab_init(&l->srv, 1024) || htab_init(&l->merged, 1024) ||
	    htab_init(&l->flows, 64)) {
		txn_free(l);
		return NULL;
	}
	l->set = (struct metric_set){
	    .area = "txn", .names = metric_names, .values = l->metric, .n = TXN_METRICS};
	if (env->metrics)
		metrics_add(env->metrics, &l->set);
	return l;
}

static void node_close(struct txn_node *n)
{
	struct cli *c;
	struct srv *s;

	switch ((enum txn_kind)n->kind) {
	case TXN_CLI:
		c = container_of(n, struct cli, n);
		c->err = -ECANCELED;
		if (c->pub.method == SIP_INVITE ? ict_may_fail(c) : nict_may_fail(c))
			cli_report(c);
		cli_gone(c);
		break;
	case TXN_SRV:
		s = container_of(n, struct srv, n);
		srv_report(s, -ECANCELED);
		srv_gone(s);
		break;
	case TXN_ACK: /* the dialog's; it may not touch it after the layer */
		txn_ack_free(container_of(n, struct txn_ack, n));
		break;
	}
}

void txn_free(struct txn_layer *l)
{
	if (!l)
		return;
	l->closing = true;
	for (uint32_t i = 0; i < l->n_slots; i++)
		if (l->slot[i].node)
			node_close(l->slot[i].node);
	if (l->set.values && list_linked(&l->set.node))
		metrics_del(&l->set);
	htab_fini(&l->cli);
	htab_fini(&l->srv);
	htab_fini(&l->merged);
	htab_fini(&l->flows);
	big_free(l->slot, l->cap_slots * sizeof(*l->slot));
	arena_free(l->msg);
	arena_pool_fini(&l->srv_pool);
	arena_pool_fini(&l->cli_pool);
	arena_pool_fini(&l->msg_pool);
	block_pool_fini(&l->kept);
	free(l);
}

unsigned txn_count_srv(const struct txn_layer *l)
{
	return l->n_srv;
}

unsigned txn_count_cli(const struct txn_layer *l)
{
	return l->n_cli;
}
