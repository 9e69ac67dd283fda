/* client.c - requests of ours: building, sending, moving between UDP and TCP, and what comes back for them.
 *
 * A request is written once into the layer's buffer and kept in a chunk of its own. CANCEL and the ACK to a refusal
 * are written out of those kept lines, so they cannot differ from the INVITE where they must not (9.1, 17.1.1.3).
 * A request over the limit goes by TCP (18.1.1, LOOP-09); when the connection does not stand, only its Via line is
 * written anew, with the same branch, since the peer has seen nothing of it.
 * A response belongs to a transaction when branch, sent-by, method, CSeq and realm agree; anything else is
 * dropped and counted (TXN-10, UAS-09). An ICMP error is matched by the branch in the bytes it brings back.
 */
#include <assert.h>
#include <errno.h>

#include "sbc/txn/impl.h"

#define KEEP_MAX_S 3600

static struct cli *cli_of(struct txn_cli *t)
{
	return container_of(t, struct cli, pub);
}

/* ------------------------------------------------------------------ building */

static const struct str via_keep = {";keep", 5};

static bool asks_keep(struct str via_line)
{
	return via_line.n > via_keep.n && str_eq(str_from(via_line, via_line.n - via_keep.n), via_keep);
}

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
	assert(false); /* our own dialog code always writes one */
	return 0;
}

/* Over TLS the peer may use our connection for its own requests (RFC 5923 8.1): we take them there as well as on our
 * port. keep stands last, so that it can be found (RFC 6223). */
static void put_via(
    struct buf *b, enum net_proto proto, struct str host, uint16_t port, struct str branch, bool keep)
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
	if (proto == NET_TLS)
		buf_lit(b, ";alias");
	if (keep)
		buf_str(b, via_keep);
	buf_lit(b, "\r\n");
}

static struct str method_text(enum sip_method method, struct str name)
{
	return method == SIP_UNKNOWN ? name : sip_method_name(method);
}

/* sip_put_body() with short names */
static void put_body_compact(struct buf *b, struct str type, struct str body)
{
	if (body.n) {
		buf_lit(b, "c: ");
		buf_str(b, type);
		buf_lit(b, "\r\n");
	}
	buf_lit(b, "l: ");
	buf_u64(b, body.n);
	buf_lit(b, "\r\n\r\n");
	buf_str(b, body);
}

static void put_request(struct buf *b, const struct txn_req *r, enum net_proto proto, struct str host,
    uint16_t port, struct str branch)
{
	buf_str(b, method_text(r->method, r->method_name));
	buf_chr(b, ' ');
	buf_str(b, r->ruri);
	buf_lit(b, " SIP/2.0\r\n");
	put_via(b, proto, host, port, branch, r->keep);
	buf_str(b, r->headers);
	if (r->compact)
		put_body_compact(b, str_empty(r->content_type) ? S("application/sdp") : r->content_type, r->body);
	else
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
	if (line_next(&rest, &line)) { /* our Via: same branch; keep is for what begins something (RFC 6223 4.3) */
		buf_str(b, str_head(line, line.n - (asks_keep(line) ? via_keep.n : 0)));
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
	put_via(&b, NET_UDP, local->host, local->port, branch, asks_keep(via));
	buf_str(&b, rest);
	if (buf_err(&b))
		return buf_err(&b);
	host = str_dup(a, local->host);
	err = host.p ? txn_kept_set(l, k, buf_text(&b)) : -ENOMEM;
	if (err)
		return err;
	path->proto = NET_UDP;
	path->conn = 0;
	*ret_host = host;
	*ret_port = local->port;
	return 0;
}

/* ------------------------------------------------------------------ transactions */

static void flow_unlink(struct cli *t)
{
	if (t->on_flow)
		htab_del(&t->n.l->flows, &t->by_flow);
	t->on_flow = false;
}

/* t waits for its answer on the connection it has just gone out by. */
static void flow_link(struct cli *t)
{
	flow_unlink(t);
	if (!net_reliable((enum net_proto)t->pub.path.proto) || !t->pub.path.conn)
		return;
	htab_add(&t->n.l->flows, &t->by_flow, t->pub.path.conn);
	t->on_flow = true;
}

int cli_send_bytes(struct cli *t, struct str bytes, struct str call_id)
{
	return txn_send(t->n.l, &t->pub.path, bytes, call_id, t->n.id, TXN_TX_REQUEST);
}

void cli_send(struct cli *t)
{
	(void)txn_send(t->n.l, &t->pub.path, t->sent.bytes, STR_NONE, t->n.id, TXN_TX_RETRANS);
}

int cli_keep(struct cli *t, struct str bytes)
{
	return txn_kept_set(t->n.l, &t->sent, bytes);
}

void cli_forget(struct cli *t)
{
	txn_kept_drop(&t->sent);
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
	flow_unlink(t);
	txn_node_unlink(&t->n);
	l->n_cli--;
	if (t->ops && t->ops->on_gone)
		t->ops->on_gone(t->pub.owner, &t->pub);
	txn_kept_drop(&t->sent);
	arena_free(t->n.a);
}

static struct cli *cli_new(struct txn_layer *l, enum sip_method method, const struct txn_cli_ops *ops, void *owner)
{
	struct arena *a = arena_new(&l->cli_pool);
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

static int cli_link(struct txn_layer *l, struct cli *t)
{
	if (txn_node_link(l, &t->n, TXN_CLI) < 0)
		return -ENOMEM;
	htab_add(&l->cli, &t->n.by_key, hash_str(&l->env->hash_key, t->branch));
	l->n_cli++;
	return 0;
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
	char *p = arena_bytes_alloc(a, cap);
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
	struct net_local seen;
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
	if (r->local)
		d->local = r->local;
	buf_init(&b, l->out, SIP_MSG_MAX);
	put_request(&b, r, r->path.proto, d->local->host, d->local->port, d->branch);
	if (buf_err(&b))
		return -ENOSPC;
	if (r->path.proto == NET_UDP && b.n > limit && !r->udp_only &&
	    (tcp = net_local(l->net, r->path.realm, NET_TCP, family))) {
		d->local = tcp;
		if (r->local) { /* seen from there we have that host, and the port of our TCP listener */
			d->seen = *tcp;
			d->seen.host = r->local->host;
			d->local = &d->seen;
		}
		d->path.proto = NET_TCP;
		d->path.conn = 0;
		d->moved = true;
		buf_init(&b, l->out, SIP_MSG_MAX);
		put_request(&b, r, NET_TCP, d->local->host, d->local->port, d->branch);
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
	t->pub.tcp_refused = true;
	err = kept_to_udp(l, &t->sent, &t->pub.path, t->branch, t->n.a, &t->host, &t->port);
	if (err)
		return err;
	txn_metric_inc(l, TXN_BACK_TO_UDP);
	err = cli_send_bytes(t, t->sent.bytes, STR_NONE);
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
	t->pub.cseq = r->cseq ? r->cseq : cseq_of(r->headers);
	t->pub.with_body = !str_empty(r->body);
	t->pub.path = d.path;
	t->keep = r->keep;
	t->moved = d.moved;
	t->one_flow = t->reopened = r->one_flow;
	if (d.local) {
		t->host = str_dup(t->n.a, d.local->host); /* the configuration may go first */
		t->port = d.local->port;
		if (!t->host.p || txn_kept_set(l, &t->sent, d.bytes))
			goto fail;
	}
	if (cli_link(l, t) < 0)
		goto fail;
	if (!d.local)
		err = -ENETUNREACH;
	else
		err = cli_send_bytes(t, t->sent.bytes, r->call_id);
	if (err && t->moved)
		err = cli_back_to_udp(t);
	flow_link(t);
	/* a full queue of the system's is a lost datagram: the next copy makes up for it */
	if (err == -ENOBUFS && !net_reliable(t->pub.path.proto))
		err = 0;
	if (r->method == SIP_INVITE)
		ict_start(t, err);
	else
		nict_start(t, err);
	return &t->pub;
fail:
	txn_kept_drop(&t->sent);
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
	if (buf_err(&b) || !t->branch.p || !t->host.p || txn_kept_set(l, &t->sent, buf_text(&b))) {
		arena_free(t->n.a);
		return;
	}
	t->tm = invite->tm;
	t->pub.cseq = invite->pub.cseq;
	t->pub.path = invite->pub.path;
	t->port = invite->port;
	if (cli_link(l, t) < 0) {
		txn_kept_drop(&t->sent);
		arena_free(t->n.a);
		return;
	}
	err = cli_send_bytes(t, t->sent.bytes, STR_NONE);
	flow_link(t);
	if (err == -ENOBUFS && !net_reliable(t->pub.path.proto))
		err = 0;
	nict_start(t, err);
}

void txn_cli_detach(struct txn_cli *pub)
{
	txn_cli_bind(pub, NULL, NULL);
	txn_cli_cancel(pub, STR_NONE); /* nobody would end what rings on */
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
	a = arena_new(&l->cli_pool);
	k = a ? arena_new_obj(a, struct txn_ack) : NULL;
	if (!k)
		goto fail;
	k->n.a = a;
	k->branch = d.branch = make_branch(l, a, r->branch_tail);
	if (!d.branch.p || draft_write(l, r, &d))
		goto fail;
	if (d.local && txn_kept_set(l, &k->sent, d.bytes))
		goto fail;
	k->path = d.path;
	k->moved = d.moved;
	if (txn_node_link(l, &k->n, TXN_ACK) < 0) {
		txn_kept_drop(&k->sent);
		goto fail;
	}
	if (!d.local)
		txn_metric_inc(l, TXN_TX_FAILED);
	else if (txn_send(l, &k->path, k->sent.bytes, r->call_id, k->n.id, TXN_TX_REQUEST) && k->moved)
		txn_ack_back_to_udp(k);
	return k;
fail:
	arena_free(a);
	return NULL;
}

void txn_ack_resend(struct txn_ack *k)
{
	if (k->sent.p)
		(void)txn_send(k->n.l, &k->path, k->sent.bytes, STR_NONE, k->n.id, TXN_TX_RETRANS);
}

void txn_ack_free(struct txn_ack *k)
{
	if (!k)
		return;
	txn_node_unlink(&k->n);
	txn_kept_drop(&k->sent);
	arena_free(k->n.a);
}

/* the connection an ACK was moved to for its size did not stand: once more by UDP */
void txn_ack_back_to_udp(struct txn_ack *k)
{
	struct str host;
	uint16_t port;

	k->moved = false;
	if (kept_to_udp(k->n.l, &k->sent, &k->path, k->branch, k->n.a, &host, &port))
		return;
	txn_metric_inc(k->n.l, TXN_BACK_TO_UDP);
	(void)txn_send(k->n.l, &k->path, k->sent.bytes, STR_NONE, k->n.id, TXN_TX_REQUEST);
}

/* ------------------------------------------------------------------ what comes back */

/* RFC 6223 4.3: the peer takes pings and says how often; a REGISTER that was answered without that takes it back. */
static void heard_keep(struct cli *t, const struct sip_msg *m, const struct net_path *from)
{
	const struct net_path *flow = net_reliable(from->proto) ? from : &t->pub.path;
	struct str value;
	uint32_t s;

	if (sip_param_get(m->via.params, S("keep"), &value) && str_u32(value, UINT32_MAX, &s) == 0 && s)
		(void)net_keep(t->n.l->net, flow, (s < KEEP_MAX_S ? s : KEEP_MAX_S) * 1000);
	else if (m->method == SIP_REGISTER && m->status >= 200 && m->status < 300)
		(void)net_keep(t->n.l->net, flow, 0);
}

void cli_on_response(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from)
{
	uint64_t hash = hash_str(&l->env->hash_key, m->via.branch);

	txn_metric_inc(l, TXN_RX_RESPONSE);
	for (struct hnode *h = m->n_via == 1 ? htab_first(&l->cli, hash) : NULL; h; h = htab_next(h)) {
		struct cli *t = container_of(h, struct cli, n.by_key);

		if (t->pub.method != m->method || t->pub.cseq != m->cseq || t->pub.path.realm != from->realm ||
		    !str_eq(t->branch, m->via.branch) || !str_ieq(t->host, m->via.host) ||
		    t->port != txn_port(m->via.port, t->pub.path.proto))
			continue;
		if (net_reliable((enum net_proto)t->pub.path.proto) && from->conn && from->conn == t->pub.path.conn)
			t->pub.path.remote = from->remote; /* of two that were raced */
		if (t->keep)
			heard_keep(t, m, from);
		if (m->method == SIP_INVITE)
			ict_response(t, m);
		else
			nict_response(t, m);
		return;
	}
	txn_metric_inc(l, TXN_RX_STRAY);
}

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

/* Once more, over a new connection. The peer may have seen it after all, and knows a copy by its branch. */
static bool reopen(struct cli *t)
{
	t->reopened = true;
	t->pub.path.conn = 0;
	if (txn_send(t->n.l, &t->pub.path, t->sent.bytes, STR_NONE, t->n.id, TXN_TX_RETRANS))
		return false;
	flow_link(t);
	return true;
}

void cli_broken(struct cli *t, int err)
{
	bool invite = t->pub.method == SIP_INVITE;

	if (t->moved && (invite ? ict_waiting(t) : nict_waiting(t))) {
		int again = cli_back_to_udp(t);

		if (again == 0) { /* timers as for a fresh start, but for the one that ends it all */
			flow_unlink(t);
			if (invite)
				ict_start(t, 0);
			else
				nict_start(t, 0);
			return;
		}
	}
	/* A standing connection that the peer was just closing took it along (18.4; TCP-03). A connect that failed is
	 * another matter: nobody is there. */
	if (net_reliable(t->pub.path.proto) &&
	    (err == -ECONNRESET || err == -EPIPE || err == -NET_ERR_KEEPALIVE) && !t->reopened &&
	    (invite ? ict_waiting(t) : nict_waiting(t)) && reopen(t))
		return;
	/* It had been taken, its connection was lost and a new one could not be made. Was it ringing already, the answer
	 * may still come; else nobody has it. */
	if (invite && ict_proceeding(t) && (!t->reopened || t->pub.status > 100 || t->cancel_asked))
		return;
	if (invite)
		ict_broken(t, err);
	else
		nict_broken(t, err);
}

void cli_flow_lost(struct cli *t, int err)
{
	bool invite = t->pub.method == SIP_INVITE;

	flow_unlink(t);
	if (!(invite ? ict_may_fail(t) : nict_may_fail(t)) || t->cancel_asked)
		return;
	if (!t->reopened && reopen(t))
		return;
	/* the second one as well: who took it and closes each time will answer over one of its own; a flow that is lost took
	 * along what had only arrived */
	if (!t->moved && (invite ? ict_waiting(t) || (t->one_flow && t->pub.status <= 100) : nict_waiting(t)))
		cli_broken(t, err ? err : -ECONNRESET);
}

void cli_on_icmp(struct txn_layer *l, const struct net_path *to, int err, struct str sent)
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
