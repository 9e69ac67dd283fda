/* change.c - changes of the session in an established call (RFC 3261 14, RFC 3311, RFC 6141).
 *
 * One change is open at a time (OFA-01). A side's re-INVITE or UPDATE is judged, its offer goes through the media
 * session, and crosses as a re-INVITE or UPDATE of our own to the other side, whose answer comes back the same
 * way; a failure rolls the media back, so both sides are as before (DLG-09).
 *
 * Without an offer (late): the other side's 2xx brings it, the ACK of who asked brings the answer, and our ACK to
 * the other side waits for that. The late first INVITE ends here too: see change_ack().
 *
 * Glare: while a change is open a request that would start another gets 491, or 500 with Retry-After when it is
 * the same side's second one (DLG-06). 491 to ours: we try again by ourselves after the time of RFC 3261 14.1,
 * which depends on who made the Call-ID of that leg (DLG-07); who asked just waits.
 *
 * A change that got a provisional answer and no more is cancelled after the ring-timeout of the trunk, so that it
 * cannot keep the call from changing for ever.
 *
 * Our own re-offer (CHANGE_OWN) tells a side what it does not know: an answer that changed after it was passed on
 * (OFA-04), or the old session after a failed change that the other side had already executed (DLG-10).
 */
#include "sbc/b2b/internal.h"

#include <errno.h>
#include <stdlib.h>

#define GLARE_TRIES_MAX 8

static void on_retry(struct timer *t);
static void on_overdue(struct timer *t);

struct change *change_begin(struct call *c, enum change_kind kind, struct leg *from, enum sip_method method)
{
	struct change *ch = block_get(&c->b2b->blocks, sizeof(*ch));

	if (ch)
		*ch = (struct change){.kind = kind, .from = from, .method = method, .call = c};
	return c->change = ch;
}

void change_end(struct call *c)
{
	struct change *ch = c->change;

	if (!ch)
		return;
	timer_stop(c->b2b->env->timers, &ch->timer);
	free((char *)ch->body.p);
	free((char *)ch->target.p);
	block_put(&c->b2b->blocks, ch, sizeof(*ch));
	c->change = NULL;
}

void change_abort(struct call *c)
{
	struct change *ch = c->change;

	if (!ch)
		return;
	if (ch->ack_held && ch->to) {
		/* late offer whose answer never came: refused in the ACK, BYE follows (OFA-07) */
		leg_ack_refusing(ch->to, ch->ack_cseq, STR_NONE);
		if (ch->to->state == LEG_ANSWERED)
			leg_set_state(ch->to, LEG_UP, "released");
	}
	if (ch->kind == CHANGE_PEER && ch->srv && ch->srv->status < 200)
		(void)leg_reply(ch->from, ch->srv, 487, STR_NONE, STR_NONE, STR_NONE);
	change_end(c);
}

/* Sends what is to be offered (ch->body; empty: none) to ch->to. */
static bool send_change(struct call *c)
{
	struct change *ch = c->change;
	struct leg *to = ch->to;
	enum sip_method method = ch->method == SIP_UPDATE && to->dlg.update_ok && ch->body.n ? SIP_UPDATE : SIP_INVITE;

	to->cli = leg_request(to, method, STR_NONE, STR_NONE, STR_NONE, ch->body, &leg_invite_ops, to);
	if (!to->cli)
		return false;
	if (method == SIP_INVITE) {
		/* Copies of the last 2xx still get their ACK, whatever became of the INVITEs since (13.2.2.4). An
		 * older one is history: its peer would not have accepted another. But the first has gone to more than
		 * this peer: whoever else answers it gets ACK and BYE (TXN-08). */
		if (to->inv_cli && to->inv_cli->status >= 200 && to->inv_cli->status < 300) {
			if (to->old_cli && !to->first_cli)
				to->first_cli = to->old_cli;
			else if (to->old_cli)
				txn_cli_detach(to->old_cli);
			to->old_cli = to->inv_cli;
		} else if (to->inv_cli) {
			txn_cli_detach(to->inv_cli);
		}
		to->inv_cli = to->cli;
		timer_start_ms(c->b2b->env->timers, &ch->timer, (int64_t)to->trunk->sip.ring_timeout_s * 1000,
		    on_overdue);
	}
	b2b_count(c->b2b, B2B_REINVITES);
	return true;
}

static void keep_text(struct str *slot, struct str s)
{
	char *p = s.n ? str_strdup(s) : NULL;

	*slot = p ? str_n(p, s.n) : STR_NONE;
}

void change_request(struct leg *l, struct dlg *d, struct txn_srv *srv, const struct sip_msg *m)
{
	struct call *c = l->call;
	struct change *ch = c->change;
	struct leg *peer = leg_peer(l);
	char headers[2048], text[B2B_SDP_MAX];
	enum reason why;
	struct sip_addr contact;
	struct str sdp;
	struct buf h, s;

	buf_init(&h, headers, sizeof(headers));
	why = screen_request(c->b2b, c->policy, l->trunk, m, &l->dlg.path, &h);
	if (why == REASON_NONE)
		why = screen_invite(c->b2b, m, &sdp, &h);
	if (why != REASON_NONE) {
		leg_refuse(l, srv, why, buf_err(&h) ? STR_NONE : buf_text(&h));
		return;
	}
	if (m->method == SIP_UPDATE && sdp.n == 0) {
		dlg_refresh(d, m); /* of the early dialog it came in; nothing of the session changes: answered here */
		(void)leg_reply(l, srv, 200, STR_NONE, STR_NONE, STR_NONE);
		return;
	}
	if (l->state == LEG_INVITED || leg_2xx_waiting(l) || (ch && ch->kind == CHANGE_PEER && ch->from == l)) {
		leg_refuse(l, srv, REASON_PENDING, STR_NONE);
		return;
	}
	if (ch || l->cli || l->state != LEG_UP || !peer || peer->state != LEG_UP || peer->cli || leg_2xx_waiting(peer)) {
		b2b_count(c->b2b, B2B_GLARE);
		leg_refuse(l, srv, REASON_GLARE, STR_NONE);
		return;
	}
	ch = change_begin(c, CHANGE_PEER, l, m->method);
	if (!ch) {
		leg_refuse(l, srv, REASON_NO_MEMORY, STR_NONE);
		return;
	}
	ch->to = peer;
	ch->srv = srv;
	ch->late = sdp.n == 0;
	leg_note_contact(l, m);
	if (sip_contact(m, &contact) == 0)
		keep_text(&ch->target, contact.uri.raw);
	buf_init(&s, text, sizeof(text));
	if (!ch->late) {
		why = media_remote_offer(c->media, l->side, sdp);
		if (why == REASON_NONE) {
			why = media_local_offer(c->media, peer->side, &s);
			if (why == REASON_NONE && buf_err(&s))
				why = REASON_TOO_LARGE;
			if (why != REASON_NONE)
				media_rollback(c->media);
		}
	}
	if (why == REASON_NONE) {
		keep_text(&ch->body, buf_text(&s));
		if (s.n && !ch->body.n)
			why = REASON_NO_MEMORY;
		else if (!send_change(c))
			why = REASON_NO_MEMORY;
		if (why != REASON_NONE)
			media_rollback(c->media);
	}
	if (why != REASON_NONE) {
		change_end(c);
		leg_refuse(l, srv, why, STR_NONE);
		return;
	}
	if (l->srv) /* the earlier one has been acknowledged: nothing more to come for this leg */
		txn_srv_detach(l->srv);
	l->srv = srv;
	txn_srv_bind(srv, &leg_srv_ops, l);
}

void change_own(struct call *c, struct leg *to)
{
	struct change *ch;
	char text[B2B_SDP_MAX];
	struct buf s;

	if (!to || to->state != LEG_UP || c->change || to->cli || !c->media)
		return;
	buf_init(&s, text, sizeof(text));
	if (media_reoffer(c->media, to->side, &s) != REASON_NONE)
		return;
	ch = change_begin(c, CHANGE_OWN, leg_peer(to), SIP_UPDATE);
	if (!ch) {
		media_rollback(c->media);
		return;
	}
	ch->to = to;
	keep_text(&ch->body, buf_text(&s));
	if (buf_err(&s) || !ch->body.n || !send_change(c)) {
		media_rollback(c->media);
		change_end(c);
	}
}

/* Answers who asked with 2xx and starts to wait for its ACK. */
static void accept_from(struct call *c, struct str sdp)
{
	struct change *ch = c->change;
	struct leg *from = ch->from;
	struct txn_srv *srv = ch->srv;

	ch->srv = NULL;
	dlg_set_target(&from->dlg, ch->target);
	if (!srv)
		return;
	if ((srv->method == SIP_INVITE && leg_2xx_new(from) < 0) ||
	    leg_reply(from, srv, 200, STR_NONE, STR_NONE, sdp) < 0) {
		/* the other side has changed and this one cannot be told */
		call_release(c, NULL, REASON_NO_MEMORY, 0, STR_NONE);
		return;
	}
	if (srv->method == SIP_INVITE)
		leg_2xx_start(from, srv);
}

static void refuse_from(struct call *c, enum reason why)
{
	struct change *ch = c->change;
	struct leg *from = ch->from;
	struct txn_srv *srv = ch->srv;

	ch->srv = NULL;
	if (srv)
		leg_refuse(from, srv, why, STR_NONE);
}

static void changed(struct leg *l, struct txn_cli *t, const struct sip_msg *m)
{
	struct call *c = l->call;
	struct change *ch = c->change;
	bool invite = t->method == SIP_INVITE, resync = false;
	char text[B2B_SDP_MAX];
	enum reason why;
	struct str sdp = STR_NONE;
	struct buf s;

	dlg_refresh(&l->dlg, m);
	l->dlg.path.conn = t->path.conn;
	buf_init(&s, text, sizeof(text));
	why = sip_body_sdp(m, &sdp) < 0 || sdp.n == 0 ? REASON_ANSWER_MISSING : REASON_NONE;
	if (ch->kind == CHANGE_PEER && ch->late && ch->srv && why == REASON_NONE) {
		why = media_remote_offer(c->media, l->side, sdp);
		if (why == REASON_NONE) {
			why = media_local_offer(c->media, ch->from->side, &s);
			if (why != REASON_NONE)
				media_rollback(c->media);
		}
		if (why == REASON_NONE && !buf_err(&s)) {
			ch->ack_held = true;
			ch->ack_cseq = m->cseq;
			accept_from(c, buf_text(&s));
			return;
		}
		if (why == REASON_NONE) {
			why = REASON_TOO_LARGE;
			media_rollback(c->media);
		}
	} else if (!ch->late && why == REASON_NONE) {
		why = media_remote_answer(c->media, l->side, sdp);
		if (why == REASON_NONE)
			why = media_local_answer(c->media, media_other(l->side), &s);
		if (why == REASON_NONE && buf_err(&s))
			why = REASON_TOO_LARGE;
	}
	if (invite && ch->late && sdp.n) { /* an offer gets its answer, here: no (RFC 3261 13.2.2.4) */
		leg_ack_refusing(l, m->cseq, sdp);
		if (why != REASON_NONE) { /* and BYE, since it has no session now */
			refuse_from(c, why);
			change_end(c);
			call_release(c, NULL, why, 0, STR_NONE);
			return;
		}
	} else if (invite) {
		leg_ack(l, m->cseq, STR_NONE);
	}
	if (why == REASON_NONE && ch->kind == CHANGE_PEER && !ch->srv)
		why = REASON_CANCELLED; /* who asked has cancelled, the far end has changed: take it back */
	if (why == REASON_NONE && !ch->late) {
		media_commit(c->media);
		if (ch->kind == CHANGE_PEER)
			accept_from(c, buf_text(&s));
	} else {
		media_rollback(c->media);
		refuse_from(c, why ? why : REASON_ANSWER_BAD);
		resync = ch->kind == CHANGE_PEER;
	}
	if (c->released)
		return;
	change_end(c);
	if (resync)
		change_own(c, l);
}

static void retry_later(struct leg *l)
{
	struct call *c = l->call;
	/* leg B's Call-ID is ours, leg A's is theirs */
	uint32_t wait = dlg_glare_wait_ms(c->b2b->env->rng, l->side == MEDIA_B);

	b2b_count(c->b2b, B2B_GLARE);
	timer_start_ms(c->b2b->env->timers, &c->change->timer, wait, on_retry);
}

static void on_overdue(struct timer *t)
{
	struct change *ch = container_of(t, struct change, timer);

	if (ch->to->cli) /* 487 ends the change, silence the call */
		txn_cli_cancel(ch->to->cli, STR_NONE);
}

static void on_retry(struct timer *t)
{
	struct change *ch = container_of(t, struct change, timer);
	struct call *c = ch->call;

	if (send_change(c))
		return;
	media_rollback(c->media);
	refuse_from(c, REASON_NO_MEMORY);
	change_end(c);
}

/* The same change to the next place the leg's next hop names. */
static bool change_again(struct leg *l, struct txn_cli *failed, int err, const struct sip_msg *said)
{
	struct change *ch = l->call->change;
	struct txn_cli *t;

	t = leg_request_again(l, failed, err, said, STR_NONE, ch->body, &leg_invite_ops, l);
	if (!t)
		return false;
	if (l->inv_cli == failed)
		l->inv_cli = t;
	l->cli = t;
	txn_cli_detach(failed);
	return true;
}

void change_response(struct leg *l, struct txn_cli *t, const struct sip_msg *m)
{
	struct call *c = l->call;
	struct change *ch = c->change;
	char text[4096];
	struct buf h;
	uint16_t status = m->status;

	if (status < 200 || c->released)
		return;
	if (status == 503 && ch && ch->to == l && (ch->srv || ch->kind == CHANGE_OWN) && change_again(l, t, 0, m))
		return;
	l->cli = NULL;
	if (t->method != SIP_INVITE) /* nothing more to come, and the leg may be gone before it is */
		txn_cli_detach(t);
	if (!ch || ch->to != l)
		return;
	timer_stop(c->b2b->env->timers, &ch->timer);
	leg_content(l, m);
	if (status < 300) {
		changed(l, t, m);
		return;
	}
	if ((status == 401 || status == 407) && (ch->srv || ch->kind == CHANGE_OWN) &&
	    leg_challenged(l, m) == REASON_NONE && send_change(c))
		return;
	if (status == 491 && (ch->srv || ch->kind == CHANGE_OWN) && ++ch->tries < GLARE_TRIES_MAX) {
		retry_later(l);
		return;
	}
	if (status == 481 || status == 408) { /* TXN-19 */
		setup_keep_reason(c, m);
		c->peer_status = status;
		call_release(c, NULL, status == 481 ? REASON_PEER_LOST_DIALOG : REASON_REINVITE_LOST, 0, STR_NONE);
		return;
	}
	media_rollback(c->media);
	if (ch->srv) {
		struct txn_srv *srv = ch->srv;

		ch->srv = NULL;
		buf_init(&h, text, sizeof(text));
		leg_pass_headers(l, ch->from, m, &h);
		status = status < 400 ? 488 : setup_status_towards(status);
		(void)leg_reply(ch->from, srv, status, STR_NONE, buf_err(&h) ? STR_NONE : buf_text(&h), STR_NONE);
	}
	change_end(c);
}

void change_failed(struct leg *l, int err)
{
	struct call *c = l->call;

	if (c->change && c->change->to == l && !c->released && change_again(l, l->cli, err, NULL))
		return;
	l->cli = NULL;
	if (!c->change || c->change->to != l || c->released)
		return;
	if (err == -ETIMEDOUT) {
		call_release(c, NULL, REASON_REINVITE_LOST, 0, STR_NONE);
		return;
	}
	media_rollback(c->media);
	refuse_from(c, REASON_TRANSPORT);
	change_end(c);
}

void change_cancel(struct call *c, struct str headers)
{
	struct change *ch = c->change;
	struct txn_srv *srv = ch->srv;

	ch->srv = NULL;
	if (srv)
		(void)leg_reply(ch->from, srv, 487, STR_NONE, STR_NONE, STR_NONE);
	if (ch->to->cli) {
		txn_cli_cancel(ch->to->cli, headers);
		return; /* its final answer ends the change */
	}
	media_rollback(c->media);
	change_end(c);
}

void change_ack(struct leg *l, const struct sip_msg *ack)
{
	struct call *c = l->call;
	struct change *ch = c->change;
	char text[B2B_SDP_MAX];
	struct txn_srv *srv;
	struct leg *to;
	enum reason why;
	struct str sdp = STR_NONE;
	struct buf s;

	if (!leg_2xx_waiting(l) || ack->cseq != l->twoxx->x.cseq)
		return;
	srv = l->twoxx->x.srv;
	leg_2xx_end(l);
	if (srv)
		txn_srv_acked(srv);
	if (l->state == LEG_ANSWERED)
		leg_set_state(l, LEG_UP, "rx_ack");
	if (c->released) {
		if (l->bye_pending)
			leg_bye(l, l->end_reason, STR_NONE);
		return;
	}
	if (ch && ch->ack_held && ch->from == l) {
		to = ch->to;
		buf_init(&s, text, sizeof(text));
		why = sip_body_sdp(ack, &sdp) < 0 || sdp.n == 0 ? REASON_ANSWER_MISSING
		                                               : media_remote_answer(c->media, l->side, sdp);
		if (why == REASON_NONE)
			why = media_local_answer(c->media, to->side, &s);
		if (why == REASON_NONE && buf_err(&s))
			why = REASON_TOO_LARGE;
		if (why != REASON_NONE) {
			call_release(c, NULL, why, 0, STR_NONE); /* change_abort() sends the ACK first (OFA-07) */
			return;
		}
		leg_ack(to, ch->ack_cseq, buf_text(&s));
		if (to->state == LEG_ANSWERED)
			leg_set_state(to, LEG_UP, "tx_ack");
		media_commit(c->media);
		change_end(c);
	}
	if (c->reoffer_a && l == c->a) {
		c->reoffer_a = false;
		change_own(c, l);
	}
}
