/* server.c - requests of peers: finding their transaction, starting one, and the answers.
 *
 * Happy path: look up branch + sent-by + method (17.2.3; the RFC 2543 fields without the cookie); no match: copy the
 * few headers every answer needs into the arena of a new transaction and hand the message up.
 *
 * Answered here, without the user: a request that came on two paths (482 by a transaction that nobody owns, so that
 * copies and the ACK are absorbed) and every CANCEL. CANCEL has no state of its own: its copies get the same
 * answer from the same INVITE.
 *
 * Where answers go (18.2.2, RFC 3581 4): always to the source's IP; to its port when Via has rport (or the trunk
 * is symmetric), else to the port of sent-by. On streams the connection the request came on is named in the path,
 * and its port is that of sent-by: net opens a new connection there when the old one is gone. maddr is not even
 * looked at (LOOP-08).
 */
#include <errno.h>

#include "sbc/sip/header.h"
#include "sbc/txn/impl.h"

/* how often peers that ask may ping us (RFC 5626 4.4) */
#define KEEP_STREAM_S 120
#define KEEP_UDP_S 30

static struct srv *srv_of(struct txn_srv *t)
{
	return container_of(t, struct srv, pub);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	return (a << 29 | a >> 35) ^ b;
}

/* ------------------------------------------------------------------ answers */

/* Where answers to this request go (see the top of the file). */
static struct net_path answer_path(const struct net_path *from, const struct sip_via *via)
{
	struct net_path p = *from;

	if (str_empty(via->host)) /* not readable: the source is all we know */
		return p;
	if (net_reliable(from->proto) || !via->has_rport)
		addr_set_port(&p.remote, txn_port(via->port, from->proto));
	return p;
}

void srv_send(struct srv *t)
{
	if (t->sent.p)
		(void)txn_send(t->n.l, &t->pub.path, t->sent.bytes, t->pub.call_id, t->n.id, TXN_TX_RETRANS);
}

void srv_forget(struct srv *t)
{
	txn_kept_drop(&t->sent);
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

/* Behind "keep" of the top Via, which stands in the first line; where it has no value. 0: it does not stand there. */
static size_t keep_at(struct str head)
{
	struct str value = str_from(head, sizeof("Via: ") - 1), via = value, name, val;
	struct sip_via v;
	size_t end = 0;

	/* the first value of the line: commas in quotes do not end it */
	for (bool quoted = false; end < value.n && value.p[end] != '\r' && (quoted || value.p[end] != ','); end++) {
		if (quoted && value.p[end] == '\\')
			end++;
		else if (value.p[end] == '"')
			quoted = !quoted;
	}
	via = str_trim(str_head(value, end < value.n ? end : value.n));
	if (sip_via_parse(via, &v) != 0)
		return 0;
	while (sip_param_next(&v.params, &name, &val))
		if (str_ieq(name, S("keep")))
			return val.p ? 0 : (size_t)(name.p + name.n - head.p);
	return 0;
}

static void put_head(struct buf *b, const struct srv *t)
{
	size_t at = t->keep_s ? keep_at(t->head) : 0;

	buf_str(b, str_head(t->head, at));
	if (at) {
		buf_chr(b, '=');
		buf_u64(b, t->keep_s);
	}
	buf_str(b, str_from(t->head, at));
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
	put_head(&b, t);
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
	err = txn_kept_set(l, &t->sent, buf_text(&b));
	if (err)
		return err;
	t->pub.status = r->status;
	if (r->status >= 200) { /* no other answer will be made */
		t->head = t->to = t->tail = t->timestamp = STR_NONE;
		txn_kept_drop(&t->lines);
	}
	(void)txn_send(l, &t->pub.path, t->sent.bytes, t->pub.call_id, t->n.id, TXN_TX_RESPONSE);
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
		txn_kept_drop(&t->sent);
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

/* The same for copies of a request (8.2.7). */
static struct str stateless_tag(const struct txn_layer *l, struct str branch, struct str call_id, char text[17])
{
	uint64_t h = hash_str(&l->env->hash_key, str_empty(branch) ? call_id : branch);
	struct buf b;

	buf_init(&b, text, 17);
	buf_hex(&b, &h, sizeof(h));
	return buf_text(&b);
}

int txn_srv_reply_once(struct txn_srv *pub, const struct txn_reply *r)
{
	struct srv *t = srv_of(pub);
	struct txn_reply once = *r;
	char tag[17];
	int err = -EINVAL;

	if (r->status >= 200 && pub->status == 0) {
		if (str_empty(once.to_tag))
			once.to_tag = stateless_tag(t->n.l, t->branch, pub->call_id, tag);
		err = srv_answer(t, &once);
	}
	txn_srv_bind(pub, NULL, NULL);
	srv_gone(t);
	return err;
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

void txn_srv_known(struct txn_srv *pub, const struct sip_msg *m, const struct net_path *from, bool keep)
{
	struct srv *t = srv_of(pub);

	/* without a certificate it is as if alias did not stand there (RFC 5923 8.2) */
	if (from->proto == NET_TLS && sip_param_get(m->via.params, S("alias"), NULL))
		(void)net_alias(t->n.l->net, from, txn_port(m->via.port, from->proto));
	if (keep && !pub->status && keep_at(t->head))
		t->keep_s = net_reliable(from->proto) ? KEEP_STREAM_S : KEEP_UDP_S;
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
	txn_node_unlink(&t->n);
	l->n_srv--;
	txn_kept_drop(&t->sent);
	txn_kept_drop(&t->lines);
	arena_free(t->n.a);
}

/* ------------------------------------------------------------------ matching (17.2.3) */

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
		    txn_port(t->port, from->proto) == txn_port(m->via.port, from->proto);
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

bool txn_may_answer(struct txn_layer *l, const struct net_path *from)
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
	struct str via, all, key;
	size_t at_head, at_to, at_tail, at_ts, at_key;
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
	at_key = b.n;
	buf_str(&b, m->via.branch);
	buf_str(&b, m->via.host);
	buf_str(&b, m->from.tag);
	buf_str(&b, m->call_id);
	if (t->legacy) {
		buf_str(&b, m->via.raw);
		buf_str(&b, m->ruri_raw);
	}
	if (buf_err(&b))
		return buf_err(&b);
	key = str_dup(a, str_from(buf_text(&b), at_key));
	if (!key.p || txn_kept_set(l, &t->lines, str_head(str_from(buf_text(&b), at_head), at_key - at_head)))
		return -ENOMEM;
	all = t->lines.bytes;
	at_to -= at_head;
	at_tail -= at_head;
	at_ts -= at_head;
	t->head = str_n(all.p, at_to);
	t->to = str_n(all.p + at_to, to.n);
	t->tail = str_n(all.p + at_tail, at_ts - at_tail);
	t->timestamp = str_n(all.p + at_ts, timestamp.n);
	t->branch = str_n(key.p, m->via.branch.n);
	t->host = str_n(t->branch.p + t->branch.n, m->via.host.n);
	t->pub.from_tag = str_n(t->host.p + t->host.n, m->from.tag.n);
	t->pub.call_id = str_n(t->pub.from_tag.p + t->pub.from_tag.n, m->call_id.n);
	if (t->legacy) {
		t->legacy_via = str_n(t->pub.call_id.p + t->pub.call_id.n, m->via.raw.n);
		t->legacy_ruri = str_n(t->legacy_via.p + t->legacy_via.n, m->ruri_raw.n);
	}
	return 0;
}

static struct srv *srv_new(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from, uint64_t hash)
{
	struct arena *a = arena_new(&l->srv_pool);
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
	if (srv_keep_head(t, m, from) || txn_node_link(l, &t->n, TXN_SRV) < 0)
		goto fail;
	htab_add(&l->srv, &t->n.by_key, hash);
	l->n_srv++;
	return t;
fail:
	if (t)
		txn_kept_drop(&t->lines);
	arena_free(a);
	return NULL;
}

/* ------------------------------------------------------------------ what comes in */

/* An answer without a transaction: same tag for the same request each time (8.2.7). headers may be empty. */
void txn_answer_stateless(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from,
    unsigned status, struct str phrase, struct str to_tag)
{
	struct net_path path = answer_path(from, &m->via);
	char via_text[1024], tag_text[17];
	struct buf b, via;

	if (str_empty(to_tag))
		to_tag = stateless_tag(l, m->via.branch, m->call_id, tag_text);
	buf_init(&via, via_text, sizeof(via_text));
	if (!str_empty(m->via.host))
		fixed_via(&via, m, from);
	buf_init(&b, l->out, SIP_MSG_MAX);
	/* a Via too long to be fixed in place is echoed as it came */
	sip_put_response_head_via(&b, m, buf_err(&via) ? STR_NONE : buf_text(&via), status, phrase, to_tag);
	sip_put_body(&b, STR_NONE, STR_NONE);
	if (buf_err(&b) == 0)
		(void)txn_send(l, &path, buf_text(&b), m->call_id, 0, TXN_TX_RESPONSE);
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
		if (txn_may_answer(l, from))
			txn_answer_stateless(l, m, from, 481, STR_NONE, STR_NONE);
		return;
	}
	follow_connection(t, from);
	txn_answer_stateless(l, m, from, 200, STR_NONE, t->to_tagged ? STR_NONE : srv_tag(t, STR_NONE));
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

void srv_on_request(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from)
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

/* An answer was lost with its connection: one try on a new one to the port of sent-by (18.2.2). */
void srv_broken(struct srv *t)
{
	if (t->reopened || !net_reliable(t->pub.path.proto))
		return;
	t->reopened = true;
	t->pub.path.conn = 0;
	srv_send(t);
}
