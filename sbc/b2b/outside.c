/* outside.c - requests outside of any dialog that are for somebody behind us: MESSAGE, OPTIONS, methods nobody knows.
 *
 * Happy path: outside_request() -> outside_open(): whose is it, where does it go (the routes, as for a call) -> next():
 * one client transaction to the first way, with identifiers of our own (B2B-02) -> its final answer goes back, with what
 * the header table lets pass. A request for a number of a PBX that registered goes to the contact made for that number,
 * whatever its method (RFC 6140 6, GINS-12).
 * Failure: silence, no connection, 503 and 408 lead to the next way; when none is left the best answer goes back, or
 * ours. All ways together have the 64*T1 that the client waits; then nothing is sent at all (TXN-17).
 * Owner: the b2b's list; it lives until both transactions have let go.
 *
 * Not here: OPTIONS to ourselves (core.c), requests in a dialog (indialog.c), anything with a session description,
 * which could not be anchored.
 *
 * What makes dialogs, SUBSCRIBE, is nothing for this file: both sides have a dialog of their own that outlives the answer. Its machine
 * asks outside_open() whose it is and where it goes, walks outside_next_way(), writes what outside_put_head() writes, and
 * keeps its own transactions; outside_free() when the dialog stands or has failed.
 */
#include "sbc/b2b/outside.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/reg/account.h"
#include "sbc/sip/event.h"

#define OUTSIDE_MAX 4096       /* under way, box */
#define OUTSIDE_TRUNK_MAX 256  /* from one trunk */
#define TRIES 8
#define HEADERS_MAX 8192

/* ------------------------------------------------------------------ life */

void outside_free(struct outside *k)
{
	if (!k)
		return;
	if (k->cli)
		txn_cli_detach(k->cli);
	if (k->srv)
		txn_srv_detach(k->srv);
	if (k->node.next) {
		list_del(&k->node);
		k->b2b->n_outside--;
	}
	arena_free(k->arena);
	policy_unref(k->policy);
	free(k->text);
	free(k->auth);
	free(k);
}

void outsides_free(struct b2b *b)
{
	list_each(n, &b->outside)
		outside_free(container_of(n, struct outside, node));
}

static unsigned count_of(const struct b2b *b, uint32_t trunk_id)
{
	unsigned n = 0;

	list_each(l, &b->outside)
		n += container_of(l, struct outside, node)->from->id == trunk_id;
	return n;
}

/* ------------------------------------------------------------------ whose it is */

bool outside_wanted(const struct pol_trunk *t)
{
	return t->outside == POL_OUTSIDE_ON || (t->outside == POL_OUTSIDE_AUTO && t->role == POL_PBX && t->registered);
}

static bool looped(const struct outside *k, const struct sip_msg *m)
{
	const struct sip_hdr *h = sip_hdr(m, SIP_H_VIA);
	char text[20];
	struct buf mark;

	buf_init(&mark, text, sizeof(text));
	buf_chr(&mark, '.');
	rewrite_loop_mark(k->b2b, k->from->id, k->calling, k->called, &mark);
	for (; h; h = sip_hdr_next(m, h))
		if (str_find(h->value, buf_text(&mark)) >= 0)
			return true;
	return false;
}

/* Subscriptions and their NOTIFYs go where their package goes; registrations where their owner is. */
static bool wanted(const struct pol_trunk *t, const struct sip_msg *m)
{
	struct sip_event e;

	if ((m->method != SIP_SUBSCRIBE && m->method != SIP_NOTIFY) || sip_event(m, &e) < 0)
		return outside_wanted(t);
	return m->method == SIP_SUBSCRIBE && str_eq(e.package, S("reg")) ? events_tells(t) : policy_event_carried(t, e.package);
}

static enum reason find_route(struct outside *k, const struct sip_msg *m, const struct net_path *at)
{
	char called[256], calling[256];
	struct b2b *b = k->b2b;
	unsigned kept = 0;
	enum reason why;
	struct buf to, who;

	buf_init(&to, called, sizeof(called));
	buf_init(&who, calling, sizeof(calling));
	screen_calling(k->from, m, &who);
	why = screen_called(b, k->policy, k->from, m, at, &to);
	if (why != REASON_NONE)
		return why;
	k->calling = str_dup(k->arena, buf_err(&who) ? S("unknown") : buf_text(&who));
	k->called = str_dup(k->arena, buf_text(&to));
	if (!k->calling.p || !k->called.p)
		return REASON_NO_MEMORY;
	if (looped(k, m))
		return REASON_LOOP;
	why = registered_route(b, k->policy, k->from, m, k->calling, k->called, &k->route);
	if (why != REASON_NONE)
		return why;
	for (unsigned i = 0; i < k->route.n_hops; i++)
		if (wanted(k->route.hops[i].trunk, m))
			k->route.hops[kept++] = k->route.hops[i];
	k->route.n_hops = kept;
	return kept ? REASON_NONE : REASON_METHOD_NOT_ALLOWED;
}

/* Somebody's who takes such requests: found without a copy of anything. */
static bool for_somebody(struct b2b *b, const struct pol_trunk *t, const struct sip_msg *m, const struct net_path *at)
{
	struct pol_route_result route;
	char called[256], calling[256];
	struct buf to, who;
	enum reason why;

	if (m->ruri.user.n == 0 && m->ruri.scheme != SIP_SCHEME_TEL)
		return false;
	buf_init(&to, called, sizeof(called));
	buf_init(&who, calling, sizeof(calling));
	screen_calling(t, m, &who);
	why = screen_called(b, b->policy, t, m, at, &to);
	if (why != REASON_NONE)
		return why == REASON_FLOW_FORGED || why == REASON_FLOW_FAILED; /* and is refused as that */
	why = registered_route(b, b->policy, t, m, buf_err(&who) ? STR_NONE : buf_text(&who), buf_text(&to), &route);
	if (why == REASON_GRUU_UNKNOWN || why == REASON_GRUU_RATE)
		return true; /* and is refused as that */
	for (unsigned i = 0; i < route.n_hops; i++)
		if (wanted(route.hops[i].trunk, m))
			return true;
	return false;
}

enum reason outside_open(struct b2b *b, const struct pol_trunk *t, const struct sip_msg *m, const struct net_path *at,
    struct outside **ret)
{
	struct outside *k;
	enum reason why;

	*ret = NULL;
	if (b->drain || b->shutdown)
		return REASON_SHUTDOWN;
	if (t->admin == POL_DRAINING)
		return REASON_TRUNK_DRAINING;
	if (b->n_outside >= OUTSIDE_MAX)
		return REASON_LIMIT_BOX;
	if (b->n_outside >= OUTSIDE_TRUNK_MAX && count_of(b, t->id) >= OUTSIDE_TRUNK_MAX)
		return REASON_LIMIT_OUTSIDE;
	why = screen_no_session(m);
	if (why != REASON_NONE)
		return why;
	k = calloc(1, sizeof(*k));
	if (!k)
		return REASON_NO_MEMORY;
	k->b2b = b;
	k->arena = arena_new(&b->pool);
	k->policy = policy_ref(b->policy);
	k->from = t;
	k->text = malloc(m->head.n + m->body.n);
	if (!k->arena || !k->text) {
		outside_free(k);
		return REASON_NO_MEMORY;
	}
	memcpy(k->text, m->head.p, m->head.n);
	if (m->body.n)
		memcpy(k->text + m->head.n, m->body.p, m->body.n);
	k->text_n = m->head.n + m->body.n;
	why = find_route(k, m, at);
	if (why != REASON_NONE) {
		outside_free(k);
		return why;
	}
	k->best = REASON_NONE;
	list_push(&b->outside, &k->node);
	b->n_outside++;
	*ret = k;
	return REASON_NONE;
}

/* ------------------------------------------------------------------ where it goes */

/* The ways of the next hop that has any; false: there is none, and best says why. */
static bool open_hop(struct outside *k, const struct sip_msg *m)
{
	struct b2b *b = k->b2b;

	while (k->at_hop < k->route.n_hops) {
		const struct pol_hop *hop = &k->route.hops[k->at_hop++];
		unsigned n = 0;
		enum reason why =
		    walk_ways(b, k->arena, hop, m->ruri.scheme == SIP_SCHEME_SIPS, k->calling, k->called, m, k->ways, &n);

		if (why == REASON_NONE) {
			k->hop = *hop;
			k->n_ways = n;
			k->at_way = 0;
			return true;
		}
		if (k->best == REASON_NONE)
			k->best = why;
	}
	return false;
}

const struct target_way *outside_next_way(struct outside *k, const struct sip_msg *m)
{
	if (k->tries >= TRIES || (k->at_way >= k->n_ways && !open_hop(k, m)))
		return NULL;
	k->tries++;
	return &k->ways[k->at_way++];
}

static bool more_ways(const struct outside *k)
{
	return k->tries < TRIES && (k->at_way < k->n_ways || k->at_hop < k->route.n_hops);
}

enum reason outside_put_head(struct outside *k, const struct sip_msg *m, const struct target_way *w, struct buf *ruri, struct buf *h)
{
	const struct net_local *us = b2b_local(k->b2b, k->hop.trunk, &w->path);
	bool sips = m->ruri.scheme == SIP_SCHEME_SIPS;
	char from[1024], to[1024], named[256];
	struct buf f, t, space;
	struct str who;

	if (!us)
		return REASON_NO_LISTENER;
	if (walk_leaks(k->policy, us, &w->path))
		return REASON_PRIVATE_ADDRESS;
	if (w->uri.n)
		buf_str(ruri, w->uri);
	else
		rewrite_ruri(&k->hop, sips, k->called, ruri);
	if (!k->call_id.n) {
		k->call_id = rewrite_token(k->b2b, k->arena, 26);
		k->tag = rewrite_token(k->b2b, k->arena, 12);
	}
	if (!k->call_id.p || !k->tag.p)
		return REASON_NO_MEMORY;
	buf_init(&f, from, sizeof(from));
	buf_init(&t, to, sizeof(to));
	buf_init(&space, named, sizeof(named));
	who = rewrite_to_of(k->from, k->hop.trunk, m, k->called, &space);
	rewrite_from_to(k->b2b, &k->hop, sips, us, m->from.display, k->calling, who, &f, &t);
	if (buf_err(&f) || buf_err(&t))
		return REASON_TOO_LARGE;
	buf_lit(h, "Max-Forwards: ");
	buf_u64(h, k->hop.trunk->sip.reset_max_forwards || !m->has_max_forwards ? 70 : m->max_forwards - 1);
	if (w->route.n) {
		buf_lit(h, "\r\nRoute: ");
		buf_str(h, w->route);
	}
	buf_lit(h, "\r\nFrom: ");
	buf_str(h, buf_text(&f));
	buf_lit(h, ";tag=");
	buf_str(h, k->tag);
	buf_lit(h, "\r\nTo: ");
	buf_str(h, buf_text(&t));
	buf_lit(h, "\r\nCall-ID: ");
	buf_str(h, k->call_id);
	buf_lit(h, "\r\nCSeq: ");
	buf_u64(h, k->cseq);
	buf_chr(h, ' ');
	buf_str(h, m->method == SIP_UNKNOWN ? m->method_name : sip_method_name(m->method));
	buf_lit(h, "\r\n");
	b2b_put_agent(k->b2b, k->hop.trunk, true, h);
	b2b_pass_headers(k->from, k->hop.trunk, m, h);
	return buf_err(ruri) || buf_err(h) ? REASON_TOO_LARGE : REASON_NONE;
}

/* ------------------------------------------------------------------ one try */

static const struct txn_cli_ops outside_cli_ops;

static void next(struct outside *k, const struct sip_msg *m);

/* Lines that belong to a leg in a call and to the request here: how long it is worth something, what may come back. */
static void put_own_lines(const struct sip_msg *m, struct buf *h)
{
	static const enum sip_hdr_id ids[] = {SIP_H_EXPIRES, SIP_H_ACCEPT, SIP_H_CONTENT_DISPOSITION, SIP_H_CONTENT_ENCODING,
	    SIP_H_MIME_VERSION, SIP_H_EVENT, SIP_H_SUBSCRIPTION_STATE /* of a NOTIFY that nobody subscribed to */};

	for (unsigned i = 0; i < ARRAY_LEN(ids); i++)
		for (const struct sip_hdr *x = sip_hdr(m, ids[i]); x; x = sip_hdr_next(m, x))
			sip_put_hdr(h, ids[i], x->value);
}

static enum reason send_by(struct outside *k, const struct target_way *w, const struct sip_msg *m)
{
	const struct pol_trunk *t = k->hop.trunk;
	struct txn_timers timers = {.t1_ms = t->sip.t1_ms, .t2_ms = t->sip.t2_ms, .t4_ms = t->sip.t4_ms};
	char headers[HEADERS_MAX], small[HEADERS_MAX], ruri[SIP_URI_LEN_MAX], mark[24];
	struct txn_req r = {.method = m->method, .method_name = m->method_name, .path = w->path, .body = m->body,
	    .timers = &timers};
	struct buf h, u, k_mark, s;
	bool fragmented;
	enum reason why;
	int e;

	if (!addr_none(&w->alt)) {
		e = net_prepare(k->b2b->net, &r.path, &w->alt);
		if (e < 0)
			return net_error_reason(e);
	}
	k->cseq++;
	buf_init(&h, headers, sizeof(headers));
	buf_init(&u, ruri, sizeof(ruri));
	why = outside_put_head(k, m, w, &u, &h);
	if (why != REASON_NONE)
		return why;
	put_own_lines(m, &h);
	if (m->method == SIP_NOTIFY) { /* it has one, always (RFC 6665 8.1.2) */
		const struct net_local *us = b2b_local(k->b2b, t, &r.path);

		buf_lit(&h, "Contact: <");
		sip_put_uri_number(&h, t->sip.scheme_sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP, STR_NONE, us->host, us->port, STR_NONE, false);
		buf_lit(&h, ">\r\n");
	}
	if (k->auth && auth_put(&k->auth->session, k->b2b->env->rng, m->method == SIP_UNKNOWN ? m->method_name : sip_method_name(m->method),
	                   buf_text(&u), m->body, &h) < 0)
		return REASON_DIGEST_AUTH;
	if (buf_err(&h))
		return REASON_TOO_LARGE;
	buf_init(&k_mark, mark, sizeof(mark));
	rewrite_loop_mark(k->b2b, k->from->id, k->calling, k->called, &k_mark);
	if (more_ways(k))
		timers.f_ms = walk_try_ms(t, w);
	r.ruri = buf_text(&u);
	r.headers = buf_text(&h);
	r.cseq = k->cseq;
	r.call_id = k->call_id;
	r.branch_tail = buf_text(&k_mark);
	r.one_flow = registered_by_flow(w);
	if (m->body.n)
		r.content_type = sip_hdr_value(m, SIP_H_CONTENT_TYPE);
	buf_init(&s, small, sizeof(small));
	why = large_fit_trunk(k->b2b, t, &k->b2b->log, &r, &s, &fragmented);
	if (why != REASON_NONE)
		return why;
	k->cli = txn_request(k->b2b->txn, &r, &outside_cli_ops, k);
	return k->cli ? REASON_NONE : REASON_NO_MEMORY;
}

/* The last word: to who asked, when he still waits. */
static void finish(struct outside *k, enum reason why)
{
	uint16_t status = k->route.n_hops ? registered_status(k->route.hops[0].trunk, k->called, why) : 0;
	struct txn_srv *srv = k->srv;
	const struct pol_trunk *t = k->from;
	struct b2b *b = k->b2b;
	char code[REASON_CODE_MAX];

	b2b_count(b, B2B_OUTSIDE_FAILED);
	log_info(&b->log, "outside_failed", "from=%.*s reason=%s tries=%u", STR(t->name), reason_code(why, code), k->tries);
	if (srv) {
		txn_srv_bind(srv, NULL, NULL);
		k->srv = NULL;
		/* silence: 408 is never sent to such a request (TXN-17), and the transaction knows it */
		if (status)
			b2b_refuse_as(b, srv, t, why, status, STR_NONE);
		else
			b2b_refuse(b, srv, t, why, STR_NONE);
	}
	outside_free(k);
}

/* What the far end's answer is to who asked. */
static void answer(struct outside *k, const struct sip_msg *m)
{
	char text[HEADERS_MAX];
	struct txn_srv *srv = k->srv;
	struct txn_reply r = {.status = setup_status_towards(m->status)};
	struct buf h;

	b2b_count(k->b2b, B2B_OUTSIDE);
	buf_init(&h, text, sizeof(text));
	if (srv->method == SIP_OPTIONS && m->status < 300) { /* what we can do, for calls go through us */
		b2b_put_caps(k->b2b, k->from, &h);
		buf_lit(&h, "Accept: application/sdp\r\nAccept-Encoding: identity\r\nAccept-Language: en\r\nSupported: \r\n");
	} else if (m->body.n && screen_no_session(m) == REASON_NONE) {
		r.body = m->body;
		r.content_type = sip_hdr_value(m, SIP_H_CONTENT_TYPE);
	}
	b2b_put_agent(k->b2b, k->from, false, &h);
	b2b_pass_headers(k->hop.trunk, k->from, m, &h);
	if (m->status == 405 || m->status == 501)
		b2b_put_caps(k->b2b, k->from, &h);
	if (buf_err(&h))
		h.n = 0;
	r.headers = buf_text(&h);
	txn_srv_bind(srv, NULL, NULL);
	k->srv = NULL;
	if (txn_srv_reply(srv, &r) < 0)
		txn_srv_detach(srv);
}

/* A 401 or 407 of a provider is for us (AUT-13). */
static bool again(struct outside *k, const struct sip_msg *response)
{
	struct target_way w = k->ways[k->at_way - 1];
	const struct sip_msg *m;
	enum reason why = REASON_DIGEST_AUTH;
	struct outside_text g;

	if (k->hop.trunk->role != POL_ITSP || !k->hop.trunk->reg.auth_user.n)
		return false;
	if (!k->auth) {
		k->auth = calloc(1, sizeof(*k->auth));
		if (!k->auth)
			return false;
		account_credential(k->hop.trunk, &k->auth->credential);
		k->auth->trunk = k->hop.trunk;
	}
	if (k->auth->trunk != k->hop.trunk ||
	    auth_again(&k->auth->session, k->auth->asked, response, &k->auth->credential, 1) != REASON_NONE)
		return false;
	m = outside_parse(k, &g);
	if (m)
		why = send_by(k, &w, m);
	outside_text_free(&g);
	return why == REASON_NONE;
}

static void on_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct outside *k = owner;
	struct b2b *b = k->b2b;
	struct net_path path = t->path;
	uint32_t wait_s = 0;

	targets_learn(b->targets, k->hop.trunk->id, &path, m);
	if (m->status < 200)
		return;
	txn_cli_detach(t);
	k->cli = NULL;
	if (!k->srv) {
		outside_free(k);
		return;
	}
	if (!k->hop.target->registered) {
		if (m->status == 503 && sip_retry_after(m, &wait_s) < 0)
			wait_s = 0;
		targets_report(b->targets, k->hop.trunk->id, &path, m->status == 503 ? TARGET_503 : TARGET_ANSWERED,
		    m->status == 503 ? REASON_PEER_ERROR : REASON_NONE, wait_s);
	}
	if ((m->status == 401 || m->status == 407) && again(k, m))
		return;
	k->n_ways = k->at_way + registered_left(&k->ways[k->at_way - 1], m->status, &k->ways[k->at_way], k->n_ways - k->at_way);
	if ((m->status == 503 || m->status == 408 || m->status == 430) && more_ways(k)) {
		k->best = m->status == 408 ? REASON_PEER_SILENT : m->status == 430 ? REASON_FLOW_FAILED : REASON_PEER_ERROR;
		next(k, NULL);
		return;
	}
	answer(k, m);
	outside_free(k);
}

static void on_failed(void *owner, struct txn_cli *t, int err)
{
	struct outside *k = owner;
	enum reason why = err == -ETIMEDOUT ? REASON_PEER_SILENT : net_error_reason(err);
	struct net_path path = t->path;

	txn_cli_detach(t);
	k->cli = NULL;
	if (!k->hop.target->registered)
		targets_report(k->b2b->targets, k->hop.trunk->id, &path, err == -ETIMEDOUT ? TARGET_SILENT : TARGET_UNREACHED, why, 0);
	k->best = why;
	if (k->srv)
		next(k, NULL);
	else
		finish(k, why);
}

static void on_gone(void *owner, struct txn_cli *t)
{
	struct outside *k = owner;

	(void)t;
	k->cli = NULL;
	outside_free(k);
}

static const struct txn_cli_ops outside_cli_ops = {on_response, on_failed, on_gone};

/* The client gave up, or the layer ends: what is out may still be answered, to nobody. */
static void on_srv_end(void *owner, struct txn_srv *t, int err)
{
	struct outside *k = owner;

	(void)t;
	(void)err;
	k->srv = NULL;
	if (!k->cli)
		outside_free(k);
}

static const struct txn_srv_ops outside_srv_ops = {.on_end = on_srv_end};

const struct sip_msg *outside_parse(struct outside *k, struct outside_text *g)
{
	struct sip_perr perr;
	struct sip_msg *m;

	g->arena = arena_new(&k->b2b->pool);
	g->copy = malloc(k->text_n);
	if (!g->arena || !g->copy)
		return NULL;
	memcpy(g->copy, k->text, k->text_n);
	return sip_parse(g->arena, g->copy, k->text_n, &m, &perr) == 0 ? m : NULL;
}

void outside_text_free(struct outside_text *g)
{
	free(g->copy);
	arena_free(g->arena);
}

/* m NULL: from the kept text. May free k. */
static void next(struct outside *k, const struct sip_msg *m)
{
	struct outside_text g = {NULL, NULL};
	const struct target_way *w;
	enum reason why = REASON_NO_MEMORY;
	bool sent = false;

	if (!m)
		m = outside_parse(k, &g);
	while (m && !sent && (w = outside_next_way(k, m)) != NULL) {
		why = send_by(k, w, m);
		sent = why == REASON_NONE;
		if (!sent)
			k->best = why;
	}
	if (!sent)
		finish(k, k->best ? k->best : why);
	outside_text_free(&g);
}

bool outside_request(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m, const struct net_path *from)
{
	struct outside *k;
	enum reason why;

	/* OPTIONS that may go no further is answered by who it has reached (RFC 3261 16.3) */
	if ((m->has_max_forwards && m->max_forwards == 0) || !for_somebody(b, t, m, from))
		return false;
	why = outside_open(b, t, m, from, &k);
	if (why != REASON_NONE) {
		b2b_count(b, B2B_OUTSIDE_FAILED);
		b2b_refuse(b, srv, t, why, why == REASON_LIMIT_BOX || why == REASON_SHUTDOWN ? S("Retry-After: 5\r\n") : STR_NONE);
		return true;
	}
	k->srv = srv;
	txn_srv_bind(srv, &outside_srv_ops, k);
	next(k, m);
	return true;
}
