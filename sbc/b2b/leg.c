/* leg.c - one leg's mechanics: requests and answers in its dialog.
 *
 * A leg knows its own dialog, its trunk and its transactions, and nothing of the other side. What its messages say
 * of us (Contact, Allow, Server) is made here; what crosses from the other leg arrives as ready header lines.
 */
#include "sbc/b2b/internal.h"

#include <errno.h>

#include "sbc/reg/reg.h"

const char *const leg_state_names[] = {"invited", "calling", "early", "answered", "up", "ending", "gone"};

struct leg *leg_new(struct call *c, enum media_side side, const struct pol_trunk *t)
{
	struct leg *l = arena_new_obj(c->arena, struct leg);

	if (!l)
		return NULL;
	l->call = c;
	l->side = (uint8_t)side;
	l->trunk = t;
	l->state = side == MEDIA_A ? LEG_INVITED : LEG_CALLING;
	list_push(&c->legs, &l->node);
	c->b2b->n_legs++;
	return l;
}

struct leg *leg_peer(const struct leg *l)
{
	return l->side == MEDIA_A ? l->call->b : l->call->a;
}

struct txn_timers leg_timers(const struct leg *l)
{
	const struct pol_trunk *t = l->trunk;

	return (struct txn_timers){.t1_ms = t->sip.t1_ms, .t2_ms = t->sip.t2_ms, .t4_ms = t->sip.t4_ms};
}

int leg_2xx_new(struct leg *l)
{
	if (!l->twoxx)
		l->twoxx = block_get(&l->call->b2b->blocks, sizeof(*l->twoxx));
	if (!l->twoxx)
		return -ENOMEM;
	*l->twoxx = (struct leg_2xx){.leg = l};
	return 0;
}

void leg_2xx_start(struct leg *l, struct txn_srv *srv)
{
	struct txn_timers t = leg_timers(l);

	dlg_2xx_start(&l->twoxx->x, l->call->b2b->env, srv, &t, setup_no_ack);
}

void leg_2xx_end(struct leg *l)
{
	if (l->twoxx)
		dlg_2xx_stop(&l->twoxx->x);
	block_put(&l->call->b2b->blocks, l->twoxx, sizeof(*l->twoxx));
	l->twoxx = NULL;
}

void leg_set_state(struct leg *l, enum leg_state s, const char *because)
{
	if (l->state == s)
		return;
	log_debug(&l->call->log, "leg_state", "leg=%c from=%s to=%s because=%s", "ab"[l->side],
	    leg_state_names[l->state], leg_state_names[s], because);
	l->state = (uint8_t)s;
}

const struct net_local *b2b_local(const struct b2b *b, const struct pol_trunk *t, const struct net_path *path)
{
	int family = path->remote.sa.sa_family;
	const struct net_local *us = t->sip.learn_address
	    ? targets_local(b->targets, t->id, path)
	    : net_local(b->net, path->realm, (enum net_proto)path->proto, family);

	/* UDP: it came in over a transport we do not listen on any more */
	return us ? us : net_local(b->net, path->realm, NET_UDP, family);
}

const struct net_local *leg_local(const struct leg *l, const struct net_path *path)
{
	return b2b_local(l->call->b2b, l->trunk, path);
}

/* ;transport= of our Contact. TLS is not a transport of a sip: URI (RFC 5630 5.1.1): only for peers that need it, and
 * never something else on a TLS leg (SIPS-03). */
static struct str contact_transport(const struct leg *l)
{
	switch (l->dlg.path.proto) {
	case NET_TCP:
		return S("tcp");
	case NET_TLS:
		return l->trunk->sip.transport_param && !l->sips ? S("tls") : STR_NONE;
	default:
		return STR_NONE;
	}
}

static const char *const leg_fax_tags[] = {"", ";+sip.fax=\"t38\"", ";+sip.fax=\"passthrough\""};

void leg_note_contact(struct leg *l, const struct sip_msg *m)
{
	struct sip_addr contact;
	struct str v;

	if (sip_contact(m, &contact) < 0 || !sip_param_get(contact.params, S("+sip.fax"), &v))
		return;
	l->fax = str_find(v, S("t38")) >= 0 ? 1 : str_find(v, S("passthrough")) >= 0 ? 2 : 0;
}

void leg_put_contact(const struct leg *l, struct buf *h)
{
	const struct leg *peer = leg_peer(l);
	const struct net_local *us = leg_local(l, &l->dlg.path);
	struct str user = STR_NONE;

	if (!us)
		return;
	if (l->trunk->sip.contact_user)
		user = l->side == MEDIA_A ? l->call->called : l->call->calling;
	buf_lit(h, "Contact: <");
	if (leg_put_gruu(l, h)) {
		buf_lit(h, ">\r\n");
		return;
	}
	sip_put_uri_number(h, l->sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP, user, us->host, us->port,
	    contact_transport(l), false);
	buf_lit(h, ">");
	if (peer)
		buf_str(h, str_z(leg_fax_tags[peer->fax]));
	buf_lit(h, "\r\n");
}

/* An answer that makes the dialog repeats the Record-Route it came with (RFC 3261 12.1.1). */
static void put_record_route(const struct leg *l, struct buf *h)
{
	struct str rest = l->dlg.routes, line;

	while (rest.n) {
		rest = str_cut(rest, '\n', &line);
		buf_lit(h, "Record-");
		buf_str(h, line);
		buf_chr(h, '\n');
	}
}

int leg_reply(struct leg *l, struct txn_srv *srv, uint16_t status, struct str phrase, struct str extra,
    struct str body)
{
	char text[B2B_HEADERS_MAX];
	struct buf h;

	buf_init(&h, text, sizeof(text));
	if (status > 100 && status < 300 && (srv->method == SIP_INVITE || srv->method == SIP_UPDATE)) {
		if (l->state == LEG_INVITED)
			put_record_route(l, &h);
		leg_put_contact(l, &h);
		b2b_put_caps(l->call->b2b, l->trunk, &h);
	}
	b2b_put_agent(l->call->b2b, l->trunk, false, &h);
	buf_str(&h, extra);
	if (buf_err(&h))
		return -ENOSPC;
	return txn_srv_reply(srv, &(struct txn_reply){.status = status,
	                              .phrase = phrase,
	                              .to_tag = l->dlg.local_tag,
	                              .headers = buf_text(&h),
	                              .body = body});
}

void leg_refuse(struct leg *l, struct txn_srv *srv, enum reason why, struct str extra)
{
	uint16_t status = reason_info(why)->sip;
	char text[4096];
	struct buf h;

	buf_init(&h, text, sizeof(text));
	buf_str(&h, extra);
	b2b_put_reason(l->trunk, why, &h);
	b2b_put_warning(l->trunk, why, &h);
	if (why == REASON_PENDING) {
		buf_lit(&h, "Retry-After: ");
		buf_u64(&h, rng_below(l->call->b2b->env->rng, 11));
		buf_lit(&h, "\r\n");
	}
	if (leg_reply(l, srv, status ? status : 500, STR_NONE, buf_err(&h) ? STR_NONE : buf_text(&h), STR_NONE) < 0 &&
	    srv != l->srv)
		txn_srv_detach(srv); /* no memory to refuse: the transaction must not wait for us */
}

/* The remote target is a GRUU of ours (RFC 5627): the phone is where the dialog has it, not where that URI leads, which is
 * here. (One with a name for a host leads nowhere else anyhow.) */
static void stay_with_phone(const struct leg *l, struct net_path *path)
{
	const struct b2b *b = l->call->b2b;
	struct sip_uri u;
	struct addr a;

	if (dlg_first_route(&l->dlg).n || sip_uri_parse(l->dlg.target, &u) < 0 || !reg_is_gruu(&u) || !sip_uri_addr(&u, &a))
		return;
	if (addr_port(&a) == 0)
		addr_set_port(&a, u.scheme == SIP_SCHEME_SIPS ? 5061 : 5060);
	if (b->user->is_local(b->ctx, l->trunk->realm, &a))
		*path = l->dlg.path;
}

static bool has_names(const struct pol_trunk *t)
{
	for (unsigned i = 0; i < t->n_targets; i++)
		if (addr_none(&t->targets[i].addr))
			return true;
	return false;
}

/* The places a request in the dialog may go to when its next hop is a name: those of the trunk's own, since no other
 * name is ever looked up. 0: it is a number, or nobody we know. (RFC 3263 4, DNS-06) */
static unsigned named_ways(const struct leg *l, struct target_way *ways)
{
	const struct dlg *d = &l->dlg;
	struct str first = dlg_first_route(d), raw = first.n ? first : d->target, transport;
	uint8_t proto = LOCATE_ANY;
	struct sip_uri uri;
	struct addr a;

	if (d->nat || !has_names(l->trunk) || sip_uri_parse(raw, &uri) < 0 || uri.host.n == 0 || sip_uri_addr(&uri, &a))
		return 0;
	if (uri.scheme == SIP_SCHEME_SIPS)
		proto = NET_TLS;
	else if (sip_param_get(uri.params, S("transport"), &transport))
		proto = str_ieq(transport, S("udp"))   ? NET_UDP
		        : str_ieq(transport, S("tcp")) ? NET_TCP
		        : str_ieq(transport, S("tls")) ? NET_TLS
		                                       : LOCATE_ANY;
	return targets_named(l->call->b2b->targets, l->trunk, uri.host, uri.port, proto, ways);
}

/* index of the place that the dialog uses, n when it is none of them */
static unsigned way_in_use(const struct target_way *ways, unsigned n, const struct net_path *p)
{
	unsigned i = 0;

	while (i < n && (ways[i].path.proto != p->proto ||
	                    (!addr_eq(&ways[i].path.remote, &p->remote) && !addr_eq(&ways[i].alt, &p->remote))))
		i++;
	return i;
}

void leg_set_flow(struct leg *l, const struct target_way *w)
{
	l->flow = registered_by_flow(w) ? arena_new_obj(l->call->arena, struct leg_flow) : NULL;
	if (l->flow)
		*l->flow = (struct leg_flow){w->instance, w->aor};
}

/* The flow of the dialog does not stand any more: by another one of the same instance, if there is one. */
static void follow_flow(struct leg *l)
{
	if (l->flow && !net_alive(l->call->b2b->net, &l->dlg.path) &&
	    registered_other_flow(l->call->b2b, l->trunk->id, l->flow, &l->dlg.path))
		b2b_count(l->call->b2b, B2B_NEXT_WAYS);
}

static struct txn_cli *send_request(struct leg *l, unsigned again, enum sip_method method, struct str method_name, uint32_t cseq,
    struct str extra, struct str type, struct str body, const struct txn_cli_ops *ops, void *owner)
{
	char text[B2B_HEADERS_MAX], small[B2B_HEADERS_MAX];
	struct txn_timers timers = leg_timers(l);
	struct txn_req r = {.content_type = type, .body = body, .timers = &timers};
	struct target_way ways[TARGET_WAYS_MAX];
	bool fragmented;
	struct buf h, s;
	unsigned n;

	buf_init(&h, text, sizeof(text));
	follow_flow(l);
	dlg_request(&l->dlg, method, method_name, cseq, &h, &r);
	stay_with_phone(l, &r.path);
	r.one_flow = l->flow;
	n = named_ways(l, ways);
	if (n && way_in_use(ways, n, &r.path) == n)
		r.path = l->dlg.path = ways[0].path;
	if (n > 1 && again + 1u < n)
		timers.b_ms = timers.f_ms = ways[0].try_ms;
	if (method == SIP_INVITE || method == SIP_UPDATE) {
		leg_put_contact(l, &h);
		b2b_put_caps(l->call->b2b, l->trunk, &h);
	}
	b2b_put_agent(l->call->b2b, l->trunk, true, &h);
	buf_str(&h, extra);
	if (leg_put_credentials(l, method, method_name, r.cseq, r.ruri, body, &h) < 0 || buf_err(&h))
		return NULL;
	r.headers = buf_text(&h);
	buf_init(&s, small, sizeof(small));
	if (large_fit(l, &r, &s, &fragmented) != REASON_NONE)
		return NULL;
	return txn_request(l->call->b2b->txn, &r, ops, owner);
}

struct txn_cli *leg_request(struct leg *l, enum sip_method method, struct str method_name, struct str extra,
    struct str type, struct str body, const struct txn_cli_ops *ops, void *owner)
{
	l->again = 0;
	return send_request(l, 0, method, method_name, 0, extra, type, body, ops, owner);
}

struct txn_cli *leg_carry(struct leg *l, const struct carried *k, const struct txn_cli_ops *ops, void *owner)
{
	return send_request(l, 0, k->method, k->method_name, 0, k->headers, k->type, k->body, ops, owner);
}

static void report_place(struct leg *l, const struct txn_cli *failed, int err, const struct sip_msg *said)
{
	enum target_outcome what = said ? TARGET_503 : err == -ETIMEDOUT ? TARGET_SILENT : TARGET_UNREACHED;
	uint32_t wait_s = 0;

	if (said && sip_retry_after(said, &wait_s) < 0)
		wait_s = 0;
	targets_report(l->call->b2b->targets, l->trunk->id, &failed->path, what, said ? REASON_PEER_ERROR : net_error_reason(err),
	    wait_s);
}

/* To the next place after the one that failed; *again counts them. false: there is none. */
static bool next_place(struct leg *l, const struct txn_cli *failed, int err, const struct sip_msg *said, uint8_t *again)
{
	struct target_way ways[TARGET_WAYS_MAX];
	unsigned n, at, now;

	if (err == -ECANCELED)
		return false;
	if (l->flow && *again == 0 && !said) { /* behind all its flows there is the same instance */
		struct net_path other = failed->path;

		if (!registered_other_flow(l->call->b2b, l->trunk->id, l->flow, &other))
			return false;
		l->dlg.path = other;
		(*again)++;
		b2b_count(l->call->b2b, B2B_NEXT_WAYS);
		return true;
	}
	n = named_ways(l, ways);
	if (n < 2 || *again + 1u >= n)
		return false;
	report_place(l, failed, err, said);
	at = way_in_use(ways, n, &failed->path);
	/* another request may have moved the dialog already */
	now = way_in_use(ways, n, &l->dlg.path);
	if (at == n || now == n || now == at)
		l->dlg.path = ways[at + 1 < n ? at + 1 : 0].path;
	(*again)++;
	b2b_count(l->call->b2b, B2B_NEXT_WAYS);
	return true;
}

struct txn_cli *leg_request_again(struct leg *l, const struct txn_cli *failed, int err, const struct sip_msg *said,
    struct str extra, struct str body, const struct txn_cli_ops *ops, void *owner)
{
	if (!next_place(l, failed, err, said, &l->again))
		return NULL;
	return send_request(l, l->again, failed->method, STR_NONE, failed->cseq, extra, STR_NONE, body, ops, owner);
}

struct txn_cli *leg_carry_again(struct leg *l, struct carried *k, const struct txn_cli *failed, int err,
    const struct sip_msg *said, const struct txn_cli_ops *ops, void *owner)
{
	if (!next_place(l, failed, err, said, &k->again))
		return NULL;
	return send_request(
	    l, k->again, k->method, k->method_name, failed->cseq, k->headers, k->type, k->body, ops, owner);
}

bool leg_has_ways(const struct leg *l)
{
	struct target_way ways[TARGET_WAYS_MAX];

	return l->flow || named_ways(l, ways) > 1;
}

void leg_ack(struct leg *l, uint32_t cseq, struct str body)
{
	char text[B2B_HEADERS_MAX], small[B2B_HEADERS_MAX];
	struct txn_req r = {.body = body};
	struct target_way ways[TARGET_WAYS_MAX];
	bool fragmented;
	struct buf h, s;
	unsigned n;

	buf_init(&h, text, sizeof(text));
	follow_flow(l);
	dlg_request(&l->dlg, SIP_ACK, STR_NONE, cseq, &h, &r);
	stay_with_phone(l, &r.path);
	n = named_ways(l, ways);
	if (n && way_in_use(ways, n, &r.path) == n)
		r.path = l->dlg.path = ways[0].path;
	b2b_put_agent(l->call->b2b, l->trunk, true, &h);
	if (leg_put_credentials(l, SIP_ACK, STR_NONE, cseq, r.ruri, body, &h) < 0)
		buf_fail(&h);
	if (l->ack && l->ack_cseq != cseq) { /* it may have been lost, and be asked for after the next INVITE left */
		txn_ack_free(l->old_ack);
		l->old_ack = l->ack;
		l->old_ack_cseq = l->ack_cseq;
	} else {
		txn_ack_free(l->ack);
	}
	l->ack = NULL;
	l->ack_cseq = cseq;
	if (buf_err(&h))
		return;
	r.headers = buf_text(&h);
	buf_init(&s, small, sizeof(small));
	(void)large_fit(l, &r, &s, &fragmented); /* an ACK goes out, whatever its size */
	l->ack = txn_ack_new(l->call->b2b->txn, &r);
}

void leg_ack_refusing(struct leg *l, uint32_t cseq, struct str offer)
{
	char text[B2B_SDP_MAX];
	struct buf s;

	buf_init(&s, text, sizeof(text));
	if (media_refuse_offer(l->call->media, l->side, offer, &s) != REASON_NONE || buf_err(&s))
		buf_init(&s, text, sizeof(text));
	leg_ack(l, cseq, buf_text(&s));
}

void b2b_pass_headers(const struct pol_trunk *from, const struct pol_trunk *to, const struct sip_msg *m, struct buf *h)
{
	for (unsigned i = 0; i < m->n_hdr; i++) {
		const struct sip_hdr *hdr = &m->hdr[i];
		enum sip_hdr_id id = (enum sip_hdr_id)hdr->id;

		if (policy_header(from, to, id, hdr->name) != POL_HDR_PASS)
			continue;
		buf_str(h, id == SIP_H_OTHER ? hdr->name : sip_hdr_name(id));
		buf_lit(h, ": ");
		buf_str(h, hdr->value);
		buf_lit(h, "\r\n");
	}
}

void leg_pass_headers(const struct leg *from, const struct leg *to, const struct sip_msg *m, struct buf *h)
{
	b2b_pass_headers(from->trunk, to->trunk, m, h);
}

void leg_pass_reason(const struct leg *from, const struct leg *to, const struct sip_msg *m, struct buf *h)
{
	if (!sip_hdr(m, SIP_H_REASON) ||
	    policy_header(from->trunk, to->trunk, SIP_H_REASON, STR_NONE) != POL_HDR_PASS)
		return;
	buf_lit(h, "Reason: ");
	buf_str(h, sip_hdr_value(m, SIP_H_REASON));
	buf_lit(h, "\r\n");
}

static bool in_setup(const struct leg *l)
{
	const struct change *ch = l->call->change;

	return ch && ch->kind == CHANGE_SETUP && ch->to == l;
}

static void on_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct leg *l = owner;

	if (m->status > 100 && m->status < 300)
		leg_note_contact(l, m);
	/* a copy of a 2xx we have acknowledged: the ACK was lost, or there was no memory for it */
	if (t->method == SIP_INVITE && m->status >= 200 && m->status < 300 && l->ack_cseq == m->cseq &&
	    str_eq(m->to.tag, l->dlg.remote_tag)) {
		if (l->ack)
			txn_ack_resend(l->ack);
		else
			leg_ack(l, m->cseq, STR_NONE);
		return;
	}
	if (t->method == SIP_INVITE && m->status >= 200 && m->status < 300 && l->old_ack &&
	    l->old_ack_cseq == m->cseq && str_eq(m->to.tag, l->dlg.remote_tag)) {
		txn_ack_resend(l->old_ack);
		return;
	}
	if (in_setup(l))
		setup_response(l, t, m);
	else if (t == l->cli)
		change_response(l, t, m);
	else if (t->method == SIP_INVITE && m->status >= 200 && m->status < 300 &&
	         !str_eq(m->to.tag, l->dlg.remote_tag))
		b2b_orphan_ops.on_response(l->call->b2b, t, m); /* another fork answered as well */
}

static void on_failed(void *owner, struct txn_cli *t, int err)
{
	struct leg *l = owner;

	if (t != l->cli)
		return;
	if (t != l->inv_cli)
		txn_cli_detach(t);
	if (in_setup(l))
		setup_failed(l, err);
	else
		change_failed(l, err);
}

static void on_gone(void *owner, struct txn_cli *t)
{
	struct leg *l = owner;

	if (l->cli == t)
		l->cli = NULL;
	if (l->old_cli == t)
		l->old_cli = NULL;
	if (l->first_cli == t)
		l->first_cli = NULL;
	if (l->inv_cli == t)
		l->inv_cli = NULL;
	if (!l->inv_cli && !l->old_cli) {
		txn_ack_free(l->ack); /* no copy of the 2xx comes any more */
		txn_ack_free(l->old_ack);
		l->ack = l->old_ack = NULL;
	}
}

const struct txn_cli_ops leg_invite_ops = {on_response, on_failed, on_gone};
