/* layer.c - finding the transaction a message belongs to, building and sending bytes, answers without state.
 *
 * Happy path of a request: parse, look up branch + sent-by + method (17.2.3); no match: copy the few headers every
 * answer needs into an arena of the new transaction, hand the message up. Happy path of a response: look up our
 * own branch, compare sent-by and realm, hand it to the machine.
 *
 * Answered here, without the user: what does not parse (the parser says with which status), a request that came
 * on two paths (482 by a transaction that nobody owns, so that copies and the ACK are absorbed), every CANCEL.
 * CANCEL has no state of its own: its copies get the same answer from the same INVITE.
 * Dropped and counted: responses that match nothing, carry a foreign sent-by or more than our Via.
 *
 * Ownership: each transaction lives in its own arena; a second arena holds the bytes to send again and goes as
 * soon as nothing can ask for them. All nodes hang in one list, by id in one table (failures of the network name
 * the id), and by key in the table of their side. Nothing is keyed by a peer's bytes without the process's secret.
 *
 * Where answers go (18.2.2, RFC 3581 4): always to the source's IP; to its port when Via has rport (or the trunk
 * is symmetric), else to the port of sent-by. On streams the connection the request came on is named in the path,
 * and its port is that of sent-by: net opens a new connection there when the old one is gone. maddr is not even
 * looked at (LOOP-08).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sbc/txn/impl.h"

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

/* ------------------------------------------------------------------ small things */

static uint64_t mix(uint64_t a, uint64_t b)
{
	return (a << 29 | a >> 35) ^ b;
}

static uint16_t default_port(uint8_t proto)
{
	return proto == NET_TLS || proto == NET_WSS ? 5061 : 5060;
}

static uint16_t port_or_default(uint16_t port, uint8_t proto)
{
	return port ? port : default_port(proto);
}

static struct cli *cli_of(struct txn_cli *t)
{
	return container_of(t, struct cli, pub);
}

static struct srv *srv_of(struct txn_srv *t)
{
	return container_of(t, struct srv, pub);
}

void txn_resend_after(struct txn_layer *l, struct timer *t, uint32_t interval_ms, timer_fn *fn)
{
	timer_start_us(l->env->timers, t, t->due_us + (int64_t)interval_ms * 1000 - l->env->clock->mono_us, fn);
}

/* ------------------------------------------------------------------ kept bytes */

static void kept_drop(struct kept *k)
{
	arena_free(k->a);
	*k = (struct kept){0};
}

static int kept_set(struct txn_layer *l, struct kept *k, struct str bytes)
{
	char *p;

	if (k->a)
		arena_reset(k->a);
	else
		k->a = arena_new(&l->bytes_pool);
	p = k->a ? arena_alloc(k->a, bytes.n) : NULL;
	if (!p) {
		kept_drop(k);
		return -ENOMEM;
	}
	memcpy(p, bytes.p, bytes.n);
	k->bytes = str_n(p, bytes.n);
	return 0;
}

static int send_bytes(struct txn_layer *l, struct net_path *path, struct str bytes, uint64_t owner,
    enum txn_metric counts_as)
{
	int err = net_send(l->net, path, bytes.p, bytes.n, owner);

	if (err) {
		txn_metric_inc(l, TXN_TX_FAILED);
		return err;
	}
	txn_metric_inc(l, counts_as);
	if (l->user->on_wire)
		l->user->on_wire(l->ctx, true, path, bytes, NULL);
	return 0;
}

/* ------------------------------------------------------------------ nodes */

static void node_link(struct txn_layer *l, struct txn_node *n, enum txn_kind kind)
{
	n->l = l;
	n->kind = (uint8_t)kind;
	n->id = ++l->next_id;
	htab_add(&l->ids, &n->by_id, n->id);
	list_push(&l->all, &n->all);
}

static void node_unlink(struct txn_node *n)
{
	htab_del(&n->l->ids, &n->by_id);
	list_del(&n->all);
}

static struct txn_node *node_by_id(struct txn_layer *l, uint64_t id)
{
	struct hnode *h = htab_first(&l->ids, id);

	return h ? container_of(h, struct txn_node, by_id) : NULL;
}

/* ------------------------------------------------------------------ client side: building */

/* Next line of a head without its CRLF; false at the end and at the empty line. */
static bool line_next(struct str *rest, struct str *ret_line)
{
	ptrdiff_t at = str_find(*rest, S("\r\n"));

	if (at <= 0)
		return false;
	*ret_line = str_head(*rest, (size_t)at);
	*rest = str_from(*rest, (size_t)at + 2);
	return true;
}

static struct str line_name(struct str line)
{
	struct str name;

	(void)str_cut(line, ':', &name);
	return str_trim(name);
}

/* the sequence number in the lines we were given; they come from our own dialog code */
static uint32_t cseq_of(struct str headers)
{
	struct str line, value, number;
	uint32_t cseq = 0;

	while (line_next(&headers, &line)) {
		if (!str_iprefix(line, S("CSeq")) || !str_ieq(line_name(line), S("CSeq")))
			continue;
		value = str_trim(str_cut(line, ':', &number));
		(void)str_cut(value, ' ', &number);
		if (str_u32(number, INT32_MAX, &cseq) == 0)
			return cseq;
	}
	assert(!"request without CSeq");
	return 0;
}

static void put_via(struct buf *b, enum net_proto proto, struct str host, uint16_t port, struct str branch)
{
	buf_lit(b, "Via: SIP/2.0/");
	buf_str(b, net_proto_name(proto));
	buf_chr(b, ' ');
	buf_str(b, host);
	buf_chr(b, ':');
	buf_u64(b, port);
	buf_lit(b, ";branch=");
	buf_str(b, branch);
	if (proto == NET_UDP)
		buf_lit(b, ";rport");
	buf_lit(b, "\r\n");
}

static struct str method_text(enum sip_method method, struct str name)
{
	return method == SIP_UNKNOWN ? name : sip_method_name(method);
}

static void put_request(struct buf *b, const struct txn_req *r, enum net_proto proto, struct str host,
    uint16_t port, struct str branch)
{
	buf_str(b, method_text(r->method, r->method_name));
	buf_chr(b, ' ');
	buf_str(b, r->ruri);
	buf_lit(b, " SIP/2.0\r\n");
	put_via(b, proto, host, port, branch);
	buf_str(b, r->headers);
	sip_put_body(b, str_empty(r->content_type) ? S("application/sdp") : r->content_type, r->body);
}

void cli_put_derived(const struct cli *t, struct buf *b, enum sip_method method, struct str to,
    struct str headers)
{
	struct str rest = t->sent.bytes, line, first;

	if (!line_next(&rest, &first)) {
		buf_fail(b);
		return;
	}
	buf_str(b, sip_method_name(method));
	buf_str(b, str_from(first, (size_t)str_chr(first, ' ')));
	buf_lit(b, "\r\n");
	if (line_next(&rest, &line)) { /* our Via: same branch */
		buf_str(b, line);
		buf_lit(b, "\r\nMax-Forwards: 70\r\n");
	}
	while (line_next(&rest, &line)) {
		enum sip_hdr_id id = sip_hdr_parse(line_name(line));

		if (id == SIP_H_TO && !str_empty(to)) {
			sip_put_hdr(b, SIP_H_TO, to);
		} else if (id == SIP_H_ROUTE || id == SIP_H_FROM || id == SIP_H_TO || id == SIP_H_CALL_ID) {
			buf_str(b, line);
			buf_lit(b, "\r\n");
		}
	}
	buf_lit(b, "CSeq: ");
	buf_u64(b, t->pub.cseq);
	buf_chr(b, ' ');
	buf_str(b, sip_method_name(method));
	buf_lit(b, "\r\n");
	buf_str(b, headers);
	sip_put_body(b, STR_NONE, STR_NONE);
}

/* The Via line of a kept request written anew for UDP, everything else as it was (18.1.1: the connection never
 * stood, so the peer has seen nothing of this branch). */
static int kept_to_udp(struct txn_layer *l, struct kept *k, struct net_path *path, struct str branch,
    struct arena *a, struct str *ret_host, uint16_t *ret_port)
{
	const struct net_local *local = net_local(l->net, path->realm, NET_UDP, path->remote.sa.sa_family);
	struct str rest = k->bytes, first, via, host;
	struct buf b;
	int err;

	if (!local || !line_next(&rest, &first) || !line_next(&rest, &via))
		return -ENETUNREACH;
	buf_init(&b, l->out, SIP_MSG_MAX);
	buf_str(&b, first);
	buf_lit(&b, "\r\n");
	put_via(&b, NET_UDP, local->host, local->port, branch);
	buf_str(&b, rest);
	if (buf_err(&b))
		return buf_err(&b);
	host = str_dup(a, local->host);
	err = host.p ? kept_set(l, k, buf_text(&b)) : -ENOMEM;
	if (err)
		return err;
	path->proto = NET_UDP;
	path->conn = 0;
	*ret_host = host;
	*ret_port = local->port;
	return 0;
}

/* ------------------------------------------------------------------ client side */

int cli_send_bytes(struct cli *t, struct str bytes)
{
	return send_bytes(t->n.l, &t->pub.path, bytes, t->n.id, TXN_TX_REQUEST);
}

void cli_send(struct cli *t)
{
	(void)send_bytes(t->n.l, &t->pub.path, t->sent.bytes, t->n.id, TXN_TX_RETRANS);
}

int cli_keep(struct cli *t, struct str bytes)
{
	return kept_set(t->n.l, &t->sent, bytes);
}

void cli_forget(struct cli *t)
{
	kept_drop(&t->sent);
}

void cli_pass(struct cli *t, const struct sip_msg *m)
{
	if (m->status > t->pub.status)
		t->pub.status = m->status;
	if (t->ops && t->ops->on_response)
		t->ops->on_response(t->pub.owner, &t->pub, m);
}

void cli_report(struct cli *t)
{
	if (t->err == -ETIMEDOUT)
		txn_metric_inc(t->n.l, TXN_TIMEOUT);
	if (t->ops && t->ops->on_failed)
		t->ops->on_failed(t->pub.owner, &t->pub, t->err);
}

void cli_gone(struct cli *t)
{
	struct txn_layer *l = t->n.l;

	timer_stop(l->env->timers, &t->resend);
	timer_stop(l->env->timers, &t->end);
	htab_del(&l->cli, &t->n.by_key);
	node_unlink(&t->n);
	l->n_cli--;
	if (t->ops && t->ops->on_gone)
		t->ops->on_gone(t->pub.owner, &t->pub);
	kept_drop(&t->sent);
	arena_free(t->n.a);
}

static struct cli *cli_new(struct txn_layer *l, enum sip_method method, const struct txn_cli_ops *ops, void *owner)
{
	struct arena *a = arena_new(&l->pool);
	struct cli *t = a ? arena_new_obj(a, struct cli) : NULL;

	if (!t) {
		arena_free(a);
		return NULL;
	}
	t->n.a = a;
	t->pub.method = method;
	t->pub.owner = owner;
	t->ops = ops;
	return t;
}

static void cli_link(struct txn_layer *l, struct cli *t)
{
	node_link(l, &t->n, TXN_CLI);
	htab_add(&l->cli, &t->n.by_key, hash_str(&l->env->hash_key, t->branch));
	l->n_cli++;
}

static void set_timers(struct timers_ms *tm, const struct txn_timers *r)
{
	tm->t1 = r && r->t1_ms ? r->t1_ms : TXN_T1_MS;
	tm->t2 = r && r->t2_ms ? r->t2_ms : TXN_T2_MS;
	tm->t4 = r && r->t4_ms ? r->t4_ms : TXN_T4_MS;
	tm->b = r && r->b_ms ? r->b_ms : TXN_64 * tm->t1;
	tm->f = r && r->f_ms ? r->f_ms : TXN_64 * tm->t1;
}

static struct str make_branch(struct txn_layer *l, struct arena *a, struct str tail)
{
	size_t cap = sizeof(TXN_COOKIE) + TXN_BRANCH_RANDOM + 1 + tail.n;
	char *p = arena_alloc(a, cap);
	struct buf b;

	if (!p)
		return STR_NONE;
	buf_init(&b, p, cap);
	buf_lit(&b, TXN_COOKIE);
	rng_put_token(l->env->rng, &b, TXN_BRANCH_RANDOM);
	if (!str_empty(tail)) {
		buf_chr(&b, '.');
		buf_str(&b, tail);
	}
	return buf_text(&b);
}

/* What an outgoing request needs before it is a transaction or an ACK. */
struct draft {
	struct net_path path;
	const struct net_local *local; /* NULL: realm has no such listener */
	struct str branch;
	struct str bytes; /* in l->out */
	bool moved;
};

/* 0, -ENOSPC (over 64 KiB). With local NULL nothing is written: the request cannot be sent. */
static int draft_write(struct txn_layer *l, const struct txn_req *r, struct draft *d)
{
	const struct net_local *tcp;
	struct buf b;
	size_t limit = r->mtu_limit ? r->mtu_limit : TXN_MTU_LIMIT;
	int family = r->path.remote.sa.sa_family;

	d->path = r->path;
	d->local = net_local(l->net, r->path.realm, r->path.proto, family);
	if (!d->local)
		return 0;
	buf_init(&b, l->out, SIP_MSG_MAX);
	put_request(&b, r, r->path.proto, d->local->host, d->local->port, d->branch);
	if (buf_err(&b))
		return -ENOSPC;
	if (r->path.proto == NET_UDP && b.n > limit && !r->udp_only &&
	    (tcp = net_local(l->net, r->path.realm, NET_TCP, family))) {
		d->local = tcp;
		d->path.proto = NET_TCP;
		d->path.conn = 0;
		d->moved = true;
		buf_init(&b, l->out, SIP_MSG_MAX);
		put_request(&b, r, NET_TCP, tcp->host, tcp->port, d->branch);
		if (buf_err(&b))
			return -ENOSPC;
		txn_metric_inc(l, TXN_TO_TCP);
	}
	d->bytes = buf_text(&b);
	return 0;
}

static int cli_back_to_udp(struct cli *t)
{
	struct txn_layer *l = t->n.l;
	int err;

	t->moved = false;
	err = kept_to_udp(l, &t->sent, &t->pub.path, t->branch, t->n.a, &t->host, &t->port);
	if (err)
		return err;
	txn_metric_inc(l, TXN_BACK_TO_UDP);
	err = cli_send_bytes(t, t->sent.bytes);
	return err == -ENOBUFS ? 0 : err;
}

struct txn_cli *txn_request(struct txn_layer *l, const struct txn_req *r, const struct txn_cli_ops *ops,
    void *owner)
{
	struct draft d = {.local = NULL};
	struct cli *t;
	int err = 0;

	if (l->closing)
		return NULL;
	t = cli_new(l, r->method, ops, owner);
	if (!t)
		return NULL;
	t->branch = d.branch = make_branch(l, t->n.a, r->branch_tail);
	if (!t->branch.p || draft_write(l, r, &d))
		goto fail;
	set_timers(&t->tm, r->timers);
	t->pub.cseq = cseq_of(r->headers);
	t->pub.path = d.path;
	t->moved = d.moved;
	if (d.local) {
		t->host = str_dup(t->n.a, d.local->host); /* the configuration may go first */
		t->port = d.local->port;
		if (!t->host.p || kept_set(l, &t->sent, d.bytes))
			goto fail;
	}
	cli_link(l, t);
	if (!d.local)
		err = -ENETUNREACH;
	else
		err = cli_send_bytes(t, t->sent.bytes);
	if (err && t->moved)
		err = cli_back_to_udp(t);
	/* a full queue of the system's is a lost datagram: the next copy makes up for it */
	if (err == -ENOBUFS && !net_reliable(t->pub.path.proto))
		err = 0;
	if (r->method == SIP_INVITE)
		ict_start(t, err);
	else
		nict_start(t, err);
	return &t->pub;
fail:
	kept_drop(&t->sent);
	arena_free(t->n.a);
	return NULL;
}

void txn_cli_cancel(struct txn_cli *pub, struct str headers)
{
	struct cli *t = cli_of(pub);

	if (pub->method != SIP_INVITE || !ict_may_fail(t) || t->cancel_asked)
		return;
	t->cancel_asked = true;
	/* without memory for the extra lines CANCEL goes out without them */
	t->cancel_headers = str_dup(t->n.a, headers);
	ict_cancel(t);
}

/* CANCEL is a transaction of its own that nobody listens to; it shares its branch with the INVITE (9.1). */
void cli_send_cancel(struct cli *invite)
{
	struct txn_layer *l = invite->n.l;
	struct cli *t = cli_new(l, SIP_CANCEL, NULL, NULL);
	struct buf b;
	int err;

	if (!t)
		return;
	buf_init(&b, l->out, SIP_MSG_MAX);
	cli_put_derived(invite, &b, SIP_CANCEL, STR_NONE, invite->cancel_headers);
	t->branch = str_dup(t->n.a, invite->branch);
	t->host = str_dup(t->n.a, invite->host);
	if (buf_err(&b) || !t->branch.p || !t->host.p || kept_set(l, &t->sent, buf_text(&b))) {
		arena_free(t->n.a);
		return;
	}
	t->tm = invite->tm;
	t->pub.cseq = invite->pub.cseq;
	t->pub.path = invite->pub.path;
	t->port = invite->port;
	cli_link(l, t);
	err = cli_send_bytes(t, t->sent.bytes);
	if (err == -ENOBUFS && !net_reliable(t->pub.path.proto))
		err = 0;
	nict_start(t, err);
}

void txn_cli_detach(struct txn_cli *pub)
{
	txn_cli_bind(pub, NULL, NULL);
}

void txn_cli_bind(struct txn_cli *pub, const struct txn_cli_ops *ops, void *owner)
{
	cli_of(pub)->ops = ops;
	pub->owner = owner;
}

/* ------------------------------------------------------------------ ACK to a 2xx */

struct txn_ack *txn_ack_new(struct txn_layer *l, const struct txn_req *r)
{
	struct draft d = {.local = NULL};
	struct arena *a;
	struct txn_ack *k;

	if (l->closing)
		return NULL;
	a = arena_new(&l->pool);
	k = a ? arena_new_obj(a, struct txn_ack) : NULL;
	if (!k)
		goto fail;
	k->n.a = a;
	k->branch = d.branch = make_branch(l, a, r->branch_tail);
	if (!d.branch.p || draft_write(l, r, &d))
		goto fail;
	if (d.local && kept_set(l, &k->sent, d.bytes))
		goto fail;
	k->path = d.path;
	k->moved = d.moved;
	node_link(l, &k->n, TXN_ACK);
	if (!d.local)
		txn_metric_inc(l, TXN_TX_FAILED);
	else if (send_bytes(l, &k->path, k->sent.bytes, k->n.id, TXN_TX_REQUEST) && k->moved)
		txn_on_failure(l, &k->path, k->n.id, -ECONNREFUSED, STR_NONE);
	return k;
fail:
	arena_free(a);
	return NULL;
}

void txn_ack_resend(struct txn_ack *k)
{
	if (k->sent.a)
		(void)send_bytes(k->n.l, &k->path, k->sent.bytes, k->n.id, TXN_TX_RETRANS);
}

void txn_ack_free(struct txn_ack *k)
{
	if (!k)
		return;
	node_unlink(&k->n);
	kept_drop(&k->sent);
	arena_free(k->n.a);
}

/* the connection an ACK was moved to for its size did not stand: once more by UDP */
static void ack_back_to_udp(struct txn_ack *k)
{
	struct str host;
	uint16_t port;

	k->moved = false;
	if (kept_to_udp(k->n.l, &k->sent, &k->path, k->branch, k->n.a, &host, &port))
		return;
	txn_metric_inc(k->n.l, TXN_BACK_TO_UDP);
	(void)send_bytes(k->n.l, &k->path, k->sent.bytes, k->n.id, TXN_TX_REQUEST);
}

/* ------------------------------------------------------------------ server side: answers */

/* Where answers to this request go (see the top of the file). */
static struct net_path answer_path(const struct net_path *from, const struct sip_via *via)
{
	struct net_path p = *from;

	if (str_empty(via->host)) /* not readable: the source is all we know */
		return p;
	if (net_reliable(from->proto) || !via->has_rport)
		addr_set_port(&p.remote, port_or_default(via->port, from->proto));
	return p;
}

void srv_send(struct srv *t)
{
	if (t->sent.a)
		(void)send_bytes(t->n.l, &t->pub.path, t->sent.bytes, t->n.id, TXN_TX_RETRANS);
}

void srv_forget(struct srv *t)
{
	kept_drop(&t->sent);
}

/* To tag of the answers: what the user wishes, else the one that stood in the last answer, else a new one. Kept in
 * the transaction's arena; empty when that is full. */
static struct str srv_tag(struct srv *t, struct str wish)
{
	char text[12];
	struct buf b;

	if (str_empty(wish)) {
		if (!str_empty(t->last_tag))
			return t->last_tag;
		buf_init(&b, text, sizeof(text));
		rng_put_token(t->n.l->env->rng, &b, sizeof(text));
		wish = buf_text(&b);
	}
	if (!str_eq(wish, t->last_tag))
		t->last_tag = str_dup(t->n.a, wish);
	return t->last_tag;
}

/* Timestamp of a 100: as it came, with the time we held the request (8.2.6.1) unless a delay stands there. */
static void put_timestamp(struct buf *b, const struct srv *t)
{
	uint64_t ms = (uint64_t)(t->n.l->env->clock->mono_us - t->since_us) / 1000;

	if (str_empty(t->timestamp))
		return;
	buf_lit(b, "Timestamp: ");
	buf_str(b, t->timestamp);
	if (ms > 0 && ms < 1000000 && str_chr(t->timestamp, ' ') < 0)
		buf_fmt(b, " %u.%03u", (unsigned)(ms / 1000), (unsigned)(ms % 1000));
	buf_lit(b, "\r\n");
}

int srv_answer(struct srv *t, const struct txn_reply *r)
{
	struct txn_layer *l = t->n.l;
	struct str tag;
	struct buf b;
	int err;

	buf_init(&b, l->out, SIP_MSG_MAX);
	buf_lit(&b, "SIP/2.0 ");
	buf_u64(&b, r->status);
	buf_chr(&b, ' ');
	buf_str(&b, str_empty(r->phrase) ? sip_status_text(r->status) : r->phrase);
	buf_lit(&b, "\r\n");
	buf_str(&b, t->head);
	buf_lit(&b, "To: ");
	buf_str(&b, t->to);
	if (!t->to_tagged && r->status > 100) {
		tag = srv_tag(t, r->to_tag);
		if (str_empty(tag))
			return -ENOMEM;
		buf_lit(&b, ";tag=");
		buf_str(&b, tag);
	}
	buf_lit(&b, "\r\n");
	buf_str(&b, t->tail);
	if (r->status == 100)
		put_timestamp(&b, t);
	buf_str(&b, r->headers);
	sip_put_body(&b, str_empty(r->content_type) ? S("application/sdp") : r->content_type, r->body);
	err = buf_err(&b);
	if (err)
		return err;
	err = kept_set(l, &t->sent, buf_text(&b));
	if (err)
		return err;
	t->pub.status = r->status;
	(void)send_bytes(l, &t->pub.path, t->sent.bytes, t->n.id, TXN_TX_RESPONSE);
	return 0;
}

int txn_srv_reply(struct txn_srv *pub, const struct txn_reply *r)
{
	struct srv *t = srv_of(pub);
	bool invite = pub->method == SIP_INVITE;
	int err;

	if (!(invite ? ist_may_answer(t, r->status) : nist_may_answer(t, r->status)))
		return -EINVAL;
	if (!invite && r->status == 408) { /* RFC 4320 4.2 */
		kept_drop(&t->sent);
		pub->status = 408;
	} else {
		err = srv_answer(t, r);
		if (err)
			return err;
	}
	if (invite)
		ist_answered(t, r->status);
	else
		nist_answered(t, r->status);
	return 0;
}

void txn_srv_resend(struct txn_srv *pub)
{
	srv_send(srv_of(pub));
}

void txn_srv_bind(struct txn_srv *pub, const struct txn_srv_ops *ops, void *owner)
{
	pub->ops = ops;
	pub->owner = owner;
}

void txn_srv_detach(struct txn_srv *pub)
{
	txn_srv_bind(pub, NULL, NULL);
	if (pub->method == SIP_INVITE && pub->status < 200 &&
	    txn_srv_reply(pub, &(struct txn_reply){.status = 500}) == -ENOMEM)
		srv_gone(srv_of(pub)); /* no memory to say so: the caller's next copy begins anew */
}

void txn_srv_drop(struct txn_srv *pub)
{
	srv_gone(srv_of(pub));
}

void txn_srv_set_symmetric(struct txn_srv *pub)
{
	if (!net_reliable(pub->path.proto))
		addr_set_port(&pub->path.remote, srv_of(pub)->source_port);
}

void txn_srv_acked(struct txn_srv *pub)
{
	if (pub->status >= 200)
		srv_forget(srv_of(pub));
}

int txn_srv_refuse(struct txn_srv *pub, enum reason why, bool trusted, struct str headers)
{
	const struct reason_info *info = reason_info(why);
	const struct net_local *local;
	char text[2048], code[REASON_CODE_MAX];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	buf_str(&b, headers);
	if (trusted) {
		local = net_local(srv_of(pub)->n.l->net, pub->path.realm, pub->path.proto,
		    pub->path.remote.sa.sa_family);
		if (info->q850)
			buf_fmt(&b, "Reason: Q.850;cause=%u;text=\"%s\"\r\n", (unsigned)info->q850, info->text);
		buf_lit(&b, "Warning: 399 ");
		buf_str(&b, local ? local->host : S("postern"));
		buf_fmt(&b, " \"%s %s\"\r\n", reason_code(why, code), info->text);
	}
	if (buf_err(&b))
		return buf_err(&b);
	return txn_srv_reply(pub,
	    &(struct txn_reply){.status = info->sip ? info->sip : 500, .headers = buf_text(&b)});
}

void srv_report(struct srv *t, int err)
{
	const struct txn_srv_ops *ops = t->pub.ops;
	void *owner = t->pub.owner;

	txn_srv_bind(&t->pub, NULL, NULL);
	if (ops && ops->on_end)
		ops->on_end(owner, &t->pub, err);
}

void srv_gone(struct srv *t)
{
	struct txn_layer *l = t->n.l;

	timer_stop(l->env->timers, &t->resend);
	timer_stop(l->env->timers, &t->end);
	htab_del(&l->srv, &t->n.by_key);
	if (t->has_merge)
		htab_del(&l->merged, &t->by_merge);
	node_unlink(&t->n);
	l->n_srv--;
	kept_drop(&t->sent);
	arena_free(t->n.a);
}

/* ------------------------------------------------------------------ server side: matching (17.2.3) */

static bool has_cookie(const struct sip_via *via)
{
	return str_iprefix(via->branch, S(TXN_COOKIE));
}

/* From tag, Call-ID and CSeq: what makes a request the same one on another path (8.2.2.2), and what RFC 2543
 * requests are found by. */
static uint64_t call_hash(const struct txn_layer *l, const struct sip_msg *m)
{
	return mix(hash_str(&l->env->hash_key, m->call_id), hash_str(&l->env->hash_key, m->from.tag)) ^
	    (uint64_t)m->cseq * 0x9e3779b97f4a7c15u;
}

static uint64_t srv_hash(const struct txn_layer *l, const struct sip_msg *m)
{
	char host[64];
	size_t n = m->via.host.n < sizeof(host) ? m->via.host.n : sizeof(host);

	if (!has_cookie(&m->via))
		return call_hash(l, m);
	for (size_t i = 0; i < n; i++)
		host[i] = chr_lower(m->via.host.p[i]);
	return mix(hash_str(&l->env->hash_key, m->via.branch), hash_bytes(&l->env->hash_key, host, n));
}

static bool same_call(const struct srv *t, const struct sip_msg *m)
{
	return t->pub.cseq == m->cseq && str_eq(t->pub.call_id, m->call_id) && str_eq(t->pub.from_tag, m->from.tag);
}

/* method: of the transaction, INVITE for ACK and CANCEL */
static bool srv_matches(const struct srv *t, const struct sip_msg *m, const struct net_path *from,
    enum sip_method method, bool legacy)
{
	if (t->pub.method != method || t->pub.path.realm != from->realm || t->legacy != legacy)
		return false;
	if (!legacy)
		return str_eq(t->branch, m->via.branch) && str_ieq(t->host, m->via.host) &&
		    port_or_default(t->port, from->proto) == port_or_default(m->via.port, from->proto);
	if (!same_call(t, m) || !str_eq(t->legacy_ruri, m->ruri_raw) || !str_eq(t->legacy_via, m->via.raw))
		return false;
	/* the ACK to a 2xx or a refusal carries the tag we put there; copies and CANCEL that of the request */
	return m->method != SIP_ACK || t->to_tagged || str_eq(t->last_tag, m->to.tag);
}

static struct srv *srv_find(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from,
    enum sip_method method, uint64_t hash)
{
	bool legacy = !has_cookie(&m->via);

	for (struct hnode *h = htab_first(&l->srv, hash); h; h = htab_next(h)) {
		struct srv *t = container_of(h, struct srv, n.by_key);

		if (srv_matches(t, m, from, method, legacy))
			return t;
	}
	return NULL;
}

static bool is_merged(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from, uint64_t hash)
{
	for (struct hnode *h = htab_first(&l->merged, hash); h; h = htab_next(h)) {
		struct srv *t = container_of(h, struct srv, by_merge);

		if (t->pub.method == m->method && t->pub.path.realm == from->realm && same_call(t, m))
			return true;
	}
	return false;
}

static bool may_answer(struct txn_layer *l, const struct net_path *from)
{
	return !l->user->may_answer || l->user->may_answer(l->ctx, from);
}

/* Top Via as it is kept and echoed. */
static struct str fixed_via(struct buf *b, const struct sip_msg *m, const struct net_path *from)
{
	sip_put_via_fixed(b, &m->via, &from->remote, NULL);
	return buf_text(b);
}

/* Copies what answers need. The layer's buffer is used for building. */
static int srv_keep_head(struct srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct txn_layer *l = t->n.l;
	struct arena *a = t->n.a;
	struct buf b;
	struct str via, all;
	size_t at_head, at_to, at_tail, at_ts, at_via;
	const struct str to = sip_hdr_value(m, SIP_H_TO), timestamp = sip_hdr_value(m, SIP_H_TIMESTAMP);

	buf_init(&b, l->out, SIP_MSG_MAX);
	via = fixed_via(&b, m, from);
	at_head = b.n;
	sip_put_vias(&b, m, via);
	sip_put_hdr(&b, SIP_H_FROM, sip_hdr_value(m, SIP_H_FROM));
	at_to = b.n;
	buf_str(&b, to);
	at_tail = b.n;
	sip_put_hdr(&b, SIP_H_CALL_ID, m->call_id);
	sip_put_hdr(&b, SIP_H_CSEQ, sip_hdr_value(m, SIP_H_CSEQ));
	at_ts = b.n;
	buf_str(&b, timestamp);
	at_via = b.n;
	buf_str(&b, m->via.branch);
	buf_str(&b, m->via.host);
	buf_str(&b, m->from.tag);
	if (t->legacy) {
		buf_str(&b, m->via.raw);
		buf_str(&b, m->ruri_raw);
	}
	if (buf_err(&b))
		return buf_err(&b);
	all = str_dup(a, str_from(buf_text(&b), at_head));
	if (!all.p)
		return -ENOMEM;
	at_to -= at_head;
	at_tail -= at_head;
	at_ts -= at_head;
	at_via -= at_head;
	t->head = str_n(all.p, at_to);
	t->to = str_n(all.p + at_to, to.n);
	t->tail = str_n(all.p + at_tail, at_ts - at_tail);
	t->timestamp = str_n(all.p + at_ts, timestamp.n);
	t->branch = str_n(all.p + at_via, m->via.branch.n);
	t->host = str_n(t->branch.p + t->branch.n, m->via.host.n);
	t->pub.from_tag = str_n(t->host.p + t->host.n, m->from.tag.n);
	if (t->legacy) {
		t->legacy_via = str_n(t->pub.from_tag.p + t->pub.from_tag.n, m->via.raw.n);
		t->legacy_ruri = str_n(t->legacy_via.p + t->legacy_via.n, m->ruri_raw.n);
	}
	/* "Call-ID: value CRLF" is how sip_put_hdr() writes it */
	t->pub.call_id = str_n(t->tail.p + sizeof("Call-ID: ") - 1, m->call_id.n);
	return 0;
}

static struct srv *srv_new(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from, uint64_t hash)
{
	struct arena *a = arena_new(&l->pool);
	struct srv *t = a ? arena_new_obj(a, struct srv) : NULL;

	if (!t)
		goto fail;
	t->n.a = a;
	t->n.l = l;
	t->pub.method = m->method;
	t->pub.cseq = m->cseq;
	t->pub.path = answer_path(from, &m->via);
	t->port = m->via.port;
	t->source_port = addr_port(&from->remote);
	t->legacy = !has_cookie(&m->via);
	t->to_tagged = !str_empty(m->to.tag);
	t->since_us = l->env->clock->mono_us;
	if (srv_keep_head(t, m, from))
		goto fail;
	node_link(l, &t->n, TXN_SRV);
	htab_add(&l->srv, &t->n.by_key, hash);
	l->n_srv++;
	return t;
fail:
	arena_free(a);
	return NULL;
}

/* ------------------------------------------------------------------ incoming */

/* An answer without a transaction: same tag for the same request each time (8.2.7). headers may be empty. */
static void answer_stateless(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from,
    unsigned status, struct str phrase, struct str to_tag)
{
	struct net_path path = answer_path(from, &m->via);
	char via_text[1024], tag_text[17];
	struct buf b, via, tag;
	uint64_t h;

	if (str_empty(to_tag)) {
		h = hash_str(&l->env->hash_key, str_empty(m->via.branch) ? m->call_id : m->via.branch);
		buf_init(&tag, tag_text, sizeof(tag_text));
		buf_hex(&tag, &h, sizeof(h));
		to_tag = buf_text(&tag);
	}
	buf_init(&via, via_text, sizeof(via_text));
	if (!str_empty(m->via.host))
		fixed_via(&via, m, from);
	buf_init(&b, l->out, SIP_MSG_MAX);
	/* a Via too long to be fixed in place is echoed as it came */
	sip_put_response_head_via(&b, m, buf_err(&via) ? STR_NONE : buf_text(&via), status, phrase, to_tag);
	sip_put_body(&b, STR_NONE, STR_NONE);
	if (buf_err(&b) == 0)
		(void)send_bytes(l, &path, buf_text(&b), 0, TXN_TX_RESPONSE);
}

/* Same host, port and address: a peer's copy on another connection moves the answers there (TXN-09). */
static void follow_connection(struct srv *t, const struct net_path *from)
{
	if (!net_reliable(from->proto) || !addr_eq_ip(&from->remote, &t->pub.path.remote) ||
	    from->proto != t->pub.path.proto || from->conn == t->pub.path.conn)
		return;
	t->pub.path.conn = from->conn;
	t->pub.path.listener = from->listener;
	t->pub.path.local = from->local;
	t->reopened = false;
}

static void on_cancel(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from)
{
	struct srv *t = srv_find(l, m, from, SIP_INVITE, srv_hash(l, m));

	if (!t) {
		if (may_answer(l, from))
			answer_stateless(l, m, from, 481, STR_NONE, STR_NONE);
		return;
	}
	answer_stateless(l, m, from, 200, STR_NONE, t->to_tagged ? STR_NONE : srv_tag(t, STR_NONE));
	if (t->cancelled || t->pub.status >= 200) {
		txn_metric_inc(l, t->cancelled ? TXN_RX_RETRANS : TXN_UNEXPECTED);
		return;
	}
	t->cancelled = true;
	if (t->pub.ops && t->pub.ops->on_cancel)
		t->pub.ops->on_cancel(t->pub.owner, &t->pub, m);
}

static void on_ack(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from)
{
	struct srv *t = srv_find(l, m, from, SIP_INVITE, srv_hash(l, m));

	if (!t || ist_ack(t))
		l->user->on_request(l->ctx, NULL, m, from);
}

static void on_request(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from)
{
	uint64_t hash, merge = 0;
	bool merged = false, outside = str_empty(m->to.tag) && !str_empty(m->from.tag);
	struct srv *t;

	txn_metric_inc(l, TXN_RX_REQUEST);
	if (m->method == SIP_CANCEL) {
		on_cancel(l, m, from);
		return;
	}
	if (m->method == SIP_ACK) {
		on_ack(l, m, from);
		return;
	}
	hash = srv_hash(l, m);
	t = srv_find(l, m, from, m->method, hash);
	if (t) {
		txn_metric_inc(l, TXN_RX_RETRANS);
		follow_connection(t, from);
		if (m->method == SIP_INVITE)
			ist_request(t);
		else
			nist_request(t);
		return;
	}
	if (l->closing)
		return;
	if (outside) {
		merge = call_hash(l, m);
		merged = is_merged(l, m, from, merge);
	}
	t = srv_new(l, m, from, hash);
	if (!t) { /* no memory: the peer sends it again, and finds another server at 64*T1 */
		txn_metric_inc(l, TXN_RX_DROPPED);
		return;
	}
	if (m->method == SIP_INVITE)
		ist_start(t);
	else
		nist_start(t);
	if (merged) {
		txn_metric_inc(l, TXN_RX_MERGED);
		if (txn_srv_refuse(&t->pub, REASON_MERGED, false, STR_NONE))
			srv_gone(t);
		return;
	}
	if (outside) {
		t->has_merge = true;
		htab_add(&l->merged, &t->by_merge, merge);
	}
	l->user->on_request(l->ctx, &t->pub, m, from); /* t may be gone */
}

static void on_response(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from)
{
	uint64_t hash = hash_str(&l->env->hash_key, m->via.branch);

	txn_metric_inc(l, TXN_RX_RESPONSE);
	for (struct hnode *h = m->n_via == 1 ? htab_first(&l->cli, hash) : NULL; h; h = htab_next(h)) {
		struct cli *t = container_of(h, struct cli, n.by_key);

		if (t->pub.method != m->method || t->pub.cseq != m->cseq || t->pub.path.realm != from->realm ||
		    !str_eq(t->branch, m->via.branch) || !str_ieq(t->host, m->via.host) ||
		    t->port != port_or_default(m->via.port, t->pub.path.proto))
			continue;
		if (m->method == SIP_INVITE)
			ict_response(t, m);
		else
			nict_response(t, m);
		return;
	}
	txn_metric_inc(l, TXN_RX_STRAY);
}

/* Anything a packet can trigger is logged at most once a second. */
static void log_bad(struct txn_layer *l, const struct net_path *from, enum reason why, const char *text, size_t at)
{
	char addr[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	int64_t now = l->env->clock->mono_us;

	txn_metric_inc(l, TXN_RX_BAD);
	if (l->bad_logged_us && now - l->bad_logged_us < 1000000) {
		l->bad_unlogged++;
		return;
	}
	log_info(&l->log, "bad_message", "from=%s reason=%s at=%zu why=\"%s\" suppressed=%llu",
	    addr_text(&from->remote, addr), reason_code(why, code), at, text ? text : reason_info(why)->text,
	    (unsigned long long)l->bad_unlogged);
	l->bad_logged_us = now;
	l->bad_unlogged = 0;
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
		l->user->on_wire(l->ctx, false, from, str_n(buf, len), r == 0 && bad == REASON_NONE ? m : NULL);
	if (r == 0 && bad == REASON_NONE) {
		if (m->is_request)
			on_request(l, m, from);
		else
			on_response(l, m, from);
		return;
	}
	log_bad(l, from, r ? e.reason : bad, r ? e.why : NULL, r ? e.at : 0);
	if (r)
		status = e.status;
	else /* head is fine, the stream is not; net closes it */
		status = m->is_request && m->method != SIP_ACK ? reason_info(bad)->sip : 0;
	if (status && may_answer(l, from))
		answer_stateless(l, m, from, status, r ? str_z(e.why) : STR_NONE, STR_NONE);
	if (r && e.close && bad == REASON_NONE && net_reliable(from->proto))
		l->net->ops->close(l->net, from, false);
}

/* ------------------------------------------------------------------ failures */

/* Method and branch of the datagram whose first bytes an ICMP error brought back; false for a response and for
 * what is too short. */
static bool sent_request(struct str sent, struct str *ret_method, struct str *ret_branch)
{
	struct str line, rest = sent, name, value;
	bool got;

	if (str_prefix(sent, S("SIP/")) || !line_next(&rest, &line))
		return false;
	(void)str_cut(line, ' ', ret_method);
	if (!line_next(&rest, &line))
		return false;
	(void)str_cut(line, ';', &name);
	line = str_from(line, name.n + 1);
	for (got = false; !got && sip_param_next(&line, &name, &value);)
		got = str_ieq(name, S("branch"));
	*ret_branch = value;
	return got;
}

static void cli_broken(struct cli *t, int err)
{
	bool invite = t->pub.method == SIP_INVITE;

	if (t->moved && (invite ? ict_waiting(t) : nict_waiting(t))) {
		int again = cli_back_to_udp(t);

		if (again == 0) { /* timers as for a fresh start, but for the one that ends it all */
			if (invite)
				ict_start(t, 0);
			else
				nict_start(t, 0);
			return;
		}
	}
	if (invite)
		ict_broken(t, err);
	else
		nict_broken(t, err);
}

static void on_icmp(struct txn_layer *l, const struct net_path *to, int err, struct str sent)
{
	struct str method, branch;

	if (!sent_request(sent, &method, &branch))
		return;
	for (struct hnode *h = htab_first(&l->cli, hash_str(&l->env->hash_key, branch)); h; h = htab_next(h)) {
		struct cli *t = container_of(h, struct cli, n.by_key);

		if (str_eq(t->branch, branch) && t->pub.path.proto == NET_UDP &&
		    t->pub.path.realm == to->realm && addr_eq_ip(&t->pub.path.remote, &to->remote) &&
		    (t->pub.method == SIP_UNKNOWN || str_eq(sip_method_name(t->pub.method), method))) {
			cli_broken(t, err);
			return;
		}
	}
}

/* An answer was lost with its connection: one try on a new one to the port of sent-by (18.2.2). */
static void srv_broken(struct srv *t)
{
	if (t->reopened || !net_reliable(t->pub.path.proto))
		return;
	t->reopened = true;
	t->pub.path.conn = 0;
	srv_send(t);
}

void txn_on_failure(struct txn_layer *l, const struct net_path *to, uint64_t owner, int err, struct str sent)
{
	struct txn_node *n;

	txn_metric_inc(l, TXN_TX_FAILED);
	if (owner == 0) {
		on_icmp(l, to, err, sent);
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
			ack_back_to_udp(k);
		break;
	}
	}
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
	list_init(&l->all);
	arena_pool_init(&l->pool, 1408, 8192);
	arena_pool_init(&l->bytes_pool, 1408, 8192);
	arena_pool_init(&l->msg_pool, 16384, 4);
	l->msg = arena_new(&l->msg_pool);
	if (!l->msg || htab_init(&l->cli, 1024) || htab_init(&l->srv, 1024) || htab_init(&l->merged, 1024) ||
	    htab_init(&l->ids, 2048)) {
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
	while (!list_empty(&l->all))
		node_close(container_of(l->all.next, struct txn_node, all));
	if (l->set.values && list_linked(&l->set.node))
		metrics_del(&l->set);
	htab_fini(&l->cli);
	htab_fini(&l->srv);
	htab_fini(&l->merged);
	htab_fini(&l->ids);
	arena_free(l->msg);
	arena_pool_fini(&l->pool);
	arena_pool_fini(&l->bytes_pool);
	arena_pool_fini(&l->msg_pool);
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
