/* indialog.c - requests inside a dialog: BYE, INFO and MESSAGE carried over, OPTIONS answered here, the rest
 * refused by name. INVITE and UPDATE go on to change.c. (RFC 3261 12.2.2, 15.1.2; RFC 6086; rows B2B-06, -08,
 * FOV-06, EVT-07.)
 */
#include "sbc/b2b/internal.h"

#include <errno.h>
#include <stdlib.h>

static void carried_free(struct carried *k)
{
	if (k->cli)
		txn_cli_detach(k->cli);
	if (k->srv)
		txn_srv_detach(k->srv);
	list_del(&k->node);
	k->from->call->n_carried--;
	free(k);
}

static void carried_srv_end(void *owner, struct txn_srv *t, int err)
{
	struct carried *k = owner;

	(void)t;
	(void)err;
	k->srv = NULL;
}

static const struct txn_srv_ops carried_srv_ops = {NULL, carried_srv_end};

static const struct txn_cli_ops carried_ops;

static bool carried_again(struct carried *k, struct txn_cli *t, int err, const struct sip_msg *said)
{
	struct txn_cli *next = k->from->call->released ? NULL : leg_carry_again(k->to, k, t, err, said, &carried_ops, k);

	if (!next)
		return false;
	txn_cli_detach(t);
	k->cli = next;
	return true;
}

static void carried_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct carried *k = owner;
	char text[4096];
	struct buf h;
	struct call *c = k->from->call;

	if (m->status < 200 || (m->status == 503 && k->srv && carried_again(k, t, 0, m)))
		return;
	buf_init(&h, text, sizeof(text));
	leg_pass_headers(k->to, k->from, m, &h);
	if (k->srv)
		(void)leg_reply(k->from, k->srv, setup_status_towards(m->status), STR_NONE,
		    buf_err(&h) ? STR_NONE : buf_text(&h), STR_NONE);
	if (m->status == 481 && !c->released) { /* the far end has lost the call (TXN-19) */
		carried_free(k);
		call_release(c, NULL, REASON_PEER_LOST_DIALOG, 0, STR_NONE);
		return;
	}
	carried_free(k);
}

static void carried_failed(void *owner, struct txn_cli *t, int err)
{
	struct carried *k = owner;

	if (carried_again(k, t, err, NULL))
		return;
	/* silence: who asked has timed out itself by now, and 408 is never sent to a non-INVITE (TXN-17) */
	if (k->srv && err != -ETIMEDOUT)
		leg_refuse(k->from, k->srv, REASON_TRANSPORT, STR_NONE);
	carried_free(k);
}

static void carried_gone(void *owner, struct txn_cli *t)
{
	struct carried *k = owner;

	(void)t;
	k->cli = NULL;
	carried_free(k);
}

static const struct txn_cli_ops carried_ops = {carried_response, carried_failed, carried_gone};

void indialog_abort(struct call *c)
{
	list_each(n, &c->carried) {
		struct carried *k = container_of(n, struct carried, node);

		if (k->srv)
			(void)leg_reply(k->from, k->srv, 487, STR_NONE, STR_NONE, STR_NONE);
		carried_free(k);
	}
}

static struct str keep(char **at, struct str s)
{
	struct str r = str_n(*at, s.n);

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return r;
}

/* With a copy of what it says: it may have to be said to another place. NULL: no memory. */
static struct carried *carried_new(struct leg *from, struct leg *to, const struct sip_msg *m, struct str headers)
{
	struct str type = sip_hdr_value(m, SIP_H_CONTENT_TYPE);
	struct carried *k = malloc(sizeof(*k) + m->method_name.n + headers.n + type.n + m->body.n);
	char *at = (char *)(k + 1);

	if (!k)
		return NULL;
	*k = (struct carried){.from = from, .to = to, .method = m->method};
	k->method_name = keep(&at, m->method_name);
	k->headers = keep(&at, headers);
	k->type = keep(&at, type);
	k->body = keep(&at, m->body);
	return k;
}

static void carry(struct leg *l, struct txn_srv *srv, const struct sip_msg *m)
{
	struct call *c = l->call;
	struct leg *peer = leg_peer(l);
	char text[8192];
	struct carried *k;
	enum reason why;
	struct buf h;

	buf_init(&h, text, sizeof(text));
	why = screen_request(c->b2b, c->policy, l->trunk, m, &l->dlg.path, &h);
	if (why != REASON_NONE) {
		leg_refuse(l, srv, why, buf_err(&h) ? STR_NONE : buf_text(&h));
		return;
	}
	why = screen_no_session(m);
	if (why != REASON_NONE) {
		leg_refuse(l, srv, why, STR_NONE);
		return;
	}
	if (!peer || peer->state != LEG_UP || l->state != LEG_UP) {
		leg_refuse(l, srv, REASON_PENDING, STR_NONE);
		return;
	}
	if (c->n_carried >= CARRIED_MAX) {
		leg_refuse(l, srv, REASON_PENDING, STR_NONE);
		return;
	}
	buf_init(&h, text, sizeof(text));
	leg_pass_headers(l, peer, m, &h);
	k = buf_err(&h) ? NULL : carried_new(l, peer, m, buf_text(&h));
	if (k)
		k->cli = leg_carry(peer, k, &carried_ops, k);
	if (!k || !k->cli) {
		free(k);
		leg_refuse(l, srv, buf_err(&h) ? REASON_TOO_LARGE : REASON_NO_MEMORY, STR_NONE);
		return;
	}
	k->srv = srv;
	txn_srv_bind(srv, &carried_srv_ops, k);
	list_push(&c->carried, &k->node);
	c->n_carried++;
}

void indialog_info(struct leg *to, struct str type, struct str body)
{
	struct call *c = to->call;
	struct carried *k = c->n_carried < CARRIED_MAX ? malloc(sizeof(*k) + type.n + body.n) : NULL;
	char *at = (char *)(k + 1);

	if (!k)
		return;
	*k = (struct carried){.from = leg_peer(to), .to = to, .method = SIP_INFO};
	k->type = keep(&at, type);
	k->body = keep(&at, body);
	k->cli = leg_carry(to, k, &carried_ops, k);
	if (!k->cli) {
		free(k);
		return;
	}
	list_push(&c->carried, &k->node);
	c->n_carried++;
}

static void take_bye(struct leg *l, struct txn_srv *srv, const struct sip_msg *m)
{
	struct call *c = l->call;
	char text[4096];
	struct buf h;

	(void)leg_reply(l, srv, 200, STR_NONE, STR_NONE, STR_NONE);
	if (c->released || l->state == LEG_CALLING || l->state == LEG_EARLY)
		return; /* crossing BYE (FOV-06); or a callee that may not do this: its final answer will come */
	buf_init(&h, text, sizeof(text));
	setup_keep_reason(c, m);
	if (l->state == LEG_INVITED) {
		if (leg_peer(l))
			leg_pass_reason(l, leg_peer(l), m, &h); /* becomes a CANCEL, which carries nothing else */
		call_release(c, l, REASON_CANCELLED, 487, buf_err(&h) ? STR_NONE : buf_text(&h));
		return;
	}
	if (leg_peer(l))
		leg_pass_headers(l, leg_peer(l), m, &h); /* Reason, User-to-User … (CAL-06, HDR-15) */
	call_release(c, l, REASON_NORMAL, 0, buf_err(&h) ? STR_NONE : buf_text(&h));
}

void indialog_request(struct leg *l, struct dlg *d, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from)
{
	struct call *c = l->call;

	if (dlg_take_cseq(d, m) < 0) {
		leg_refuse(l, srv, REASON_CSEQ_ORDER, STR_NONE);
		return;
	}
	if (from->proto == d->path.proto)
		d->path.conn = from->conn;
	if (d->nat)
		d->path.remote = from->remote;
	if (m->method == SIP_BYE) {
		take_bye(l, srv, m);
		return;
	}
	if (c->released) {
		leg_refuse(l, srv, REASON_NO_DIALOG, STR_NONE);
		return;
	}
	switch (m->method) {
	case SIP_INVITE:
	case SIP_UPDATE:
		change_request(l, d, srv, m);
		break;
	case SIP_INFO:
		if (sip_hdr(m, SIP_H_INFO_PACKAGE))
			leg_refuse(l, srv, REASON_INFO_PACKAGE, S("Recv-Info: \r\n"));
		else if (l->state != LEG_UP || !dtmf_info(l, srv, m))
			carry(l, srv, m);
		break;
	case SIP_MESSAGE:
		carry(l, srv, m);
		break;
	case SIP_OPTIONS: {
		char text[512];
		struct buf h;

		buf_init(&h, text, sizeof(text));
		b2b_put_caps(c->b2b, l->trunk, &h);
		buf_lit(&h, "Accept: application/sdp\r\nAccept-Encoding: identity\r\nSupported: \r\n");
		(void)leg_reply(l, srv, 200, STR_NONE, buf_text(&h), STR_NONE);
		break;
	}
	case SIP_PRACK:
	case SIP_NOTIFY:
		leg_refuse(l, srv, REASON_NO_DIALOG, STR_NONE);
		break;
	case SIP_SUBSCRIBE:
		leg_refuse(l, srv, REASON_EVENT_PACKAGE, S("Allow-Events: \r\n"));
		break;
	case SIP_UNKNOWN:
	default: {
		char text[512];
		struct buf h;

		buf_init(&h, text, sizeof(text));
		b2b_put_caps(c->b2b, l->trunk, &h);
		leg_refuse(l, srv, m->method == SIP_UNKNOWN ? REASON_METHOD_UNKNOWN : REASON_METHOD_NOT_ALLOWED,
		    buf_text(&h));
		break;
	}
	}
}
