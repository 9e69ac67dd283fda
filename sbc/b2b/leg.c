/* leg.c - one leg's mechanics: requests and answers in its dialog.
 *
 * A leg knows its own dialog, its trunk and its transactions, and nothing of the other side. What its messages say
 * of us (Contact, Allow, Server) is made here; what crosses from the other leg arrives as ready header lines.
 */
#include "sbc/b2b/internal.h"

#include <errno.h>

const char *const leg_state_names[] = {"invited", "calling", "early", "answered", "up", "ending", "gone"};

struct leg *leg_new(struct call *c, enum media_side side, const struct pol_trunk *t)
{
	struct leg *l = arena_new_obj(c->arena, struct leg);

	if (!l)
		return NULL;
	l->call = c;
	l->side = side;
	l->trunk = t;
	l->state = side == MEDIA_A ? LEG_INVITED : LEG_CALLING;
	l->timers = (struct txn_timers){.t1_ms = t->sip.t1_ms, .t2_ms = t->sip.t2_ms, .t4_ms = t->sip.t4_ms};
	list_init(&l->forks);
	list_push(&c->legs, &l->node);
	c->b2b->n_legs++;
	return l;
}

struct leg *leg_peer(const struct leg *l)
{
	return l->side == MEDIA_A ? l->call->b : l->call->a;
}

void leg_set_state(struct leg *l, enum leg_state s, const char *because)
{
	if (l->state == s)
		return;
	log_debug(&l->call->log, "leg_state", "leg=%c from=%s to=%s because=%s", "ab"[l->side],
	    leg_state_names[l->state], leg_state_names[s], because);
	l->state = s;
}

void leg_put_contact(const struct leg *l, struct buf *h)
{
	const struct b2b *b = l->call->b2b;
	const struct net_local *us = net_local(b->net, l->dlg.path.realm, (enum net_proto)l->dlg.path.proto,
	    l->dlg.path.remote.sa.sa_family);
	struct str user = STR_NONE;

	if (!us)
		us = net_local(b->net, l->dlg.path.realm, NET_UDP, l->dlg.path.remote.sa.sa_family);
	if (!us)
		return;
	if (l->trunk->sip.contact_user)
		user = l->side == MEDIA_A ? l->call->called : l->call->calling;
	buf_lit(h, "Contact: <");
	sip_put_uri_number(h, SIP_SCHEME_SIP, user, us->host, us->port,
	    l->dlg.path.proto == NET_TCP ? S("tcp") : STR_NONE, false);
	buf_lit(h, ">\r\n");
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

struct txn_cli *leg_request(struct leg *l, enum sip_method method, struct str method_name, struct str extra,
    struct str type, struct str body, const struct txn_cli_ops *ops, void *owner)
{
	char text[B2B_HEADERS_MAX];
	struct txn_req r = {.content_type = type, .body = body, .timers = &l->timers,
	    .udp_only = l->trunk->sip.udp_only, .mtu_limit = l->trunk->sip.mtu_limit};
	struct buf h;

	buf_init(&h, text, sizeof(text));
	dlg_request(&l->dlg, method, method_name, 0, &h, &r);
	if (method == SIP_INVITE || method == SIP_UPDATE) {
		leg_put_contact(l, &h);
		b2b_put_caps(l->call->b2b, l->trunk, &h);
	}
	b2b_put_agent(l->call->b2b, l->trunk, true, &h);
	buf_str(&h, extra);
	if (buf_err(&h))
		return NULL;
	r.headers = buf_text(&h);
	return txn_request(l->call->b2b->txn, &r, ops, owner);
}

void leg_ack(struct leg *l, uint32_t cseq, struct str body)
{
	char text[B2B_HEADERS_MAX];
	struct txn_req r = {.body = body, .udp_only = l->trunk->sip.udp_only, .mtu_limit = l->trunk->sip.mtu_limit};
	struct buf h;

	buf_init(&h, text, sizeof(text));
	dlg_request(&l->dlg, SIP_ACK, STR_NONE, cseq, &h, &r);
	b2b_put_agent(l->call->b2b, l->trunk, true, &h);
	txn_ack_free(l->ack);
	l->ack = NULL;
	l->ack_cseq = cseq;
	if (buf_err(&h))
		return;
	r.headers = buf_text(&h);
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

void leg_pass_headers(const struct leg *from, const struct leg *to, const struct sip_msg *m, struct buf *h)
{
	for (unsigned i = 0; i < m->n_hdr; i++) {
		const struct sip_hdr *hdr = &m->hdr[i];
		enum sip_hdr_id id = (enum sip_hdr_id)hdr->id;

		if (policy_header(from->trunk, to->trunk, id, hdr->name) != POL_HDR_PASS)
			continue;
		buf_str(h, id == SIP_H_OTHER ? hdr->name : sip_hdr_name(id));
		buf_lit(h, ": ");
		buf_str(h, hdr->value);
		buf_lit(h, "\r\n");
	}
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

static void on_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct leg *l = owner;

	/* a copy of a 2xx we have acknowledged: the ACK was lost, or there was no memory for it */
	if (t->method == SIP_INVITE && m->status >= 200 && m->status < 300 && l->ack_cseq == m->cseq &&
	    str_eq(m->to.tag, l->dlg.remote_tag)) {
		if (l->ack)
			txn_ack_resend(l->ack);
		else
			leg_ack(l, m->cseq, STR_NONE);
		return;
	}
	if (l->call->change.kind == CHANGE_SETUP && l->call->change.to == l)
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
	if (l->call->change.kind == CHANGE_SETUP && l->call->change.to == l)
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
	if (l->inv_cli == t)
		l->inv_cli = NULL;
	if (!l->inv_cli && !l->old_cli) {
		txn_ack_free(l->ack); /* no copy of the 2xx comes any more */
		l->ack = NULL;
	}
}

const struct txn_cli_ops leg_invite_ops = {on_response, on_failed, on_gone};
