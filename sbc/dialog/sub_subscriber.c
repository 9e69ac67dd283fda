/* sub_subscriber.c - we watch something of theirs (RFC 6665 4.1).
 *
 * The NOTIFY makes the dialog, whether it comes before the answer to SUBSCRIBE or behind it; the answer only says for how
 * long. Without a NOTIFY within Timer N (64*T1) of a SUBSCRIBE there is no subscription. One SUBSCRIBE is out at a time.
 *
 * A refresh goes out well before the end. When it fails with an answer that says that there is nothing (481 and its like)
 * the subscription is over; else it lives on until its time is over, and the refresh is tried again before.
 *
 * A SUBSCRIBE that was forked brings NOTIFYs of several notifiers, each of them a subscription of its own, when the owner
 * wants them (4.4.1; RFC 6140 7.2.2).
 */
#include "sbc/dialog/sub_internal.h"

#define T1_MS 500

static const struct txn_cli_ops subscribe_ops;
static void on_refresh(struct timer *t);
static void on_n(struct timer *t);

static int64_t timer_n_us(const struct sub *s)
{
	return 64 * 1000 * (int64_t)(s->timers.t1_ms ? s->timers.t1_ms : T1_MS);
}

/* ------------------------------------------------------------------ SUBSCRIBE */

static int send_subscribe(struct sub *s, uint32_t expires_s)
{
	char text[SUB_HEADERS_MAX];
	struct txn_req r = {0};
	struct buf h;
	int e;

	buf_init(&h, text, sizeof(text));
	dlg_request(&s->dlg, SIP_SUBSCRIBE, STR_NONE, 0, &h, &r);
	if (!s->dialog) {
		r.path = s->first_path;
		r.branch_tail = s->branch_tail;
	}
	buf_lit(&h, "Expires: ");
	buf_u64(&h, expires_s);
	if (s->accept.n) {
		buf_lit(&h, "\r\nAccept: ");
		buf_str(&h, s->accept);
	}
	buf_lit(&h, "\r\n");
	e = sub_send(s, &r, &h, S("SUBSCRIBE"), &subscribe_ops);
	if (e < 0)
		return e;
	s->sent_s = expires_s;
	timer_start_us(s->ss->env->timers, &s->n, timer_n_us(s), on_n);
	return 0;
}

static void on_n(struct timer *t)
{
	struct sub *s = container_of(t, struct sub, n);

	sub_finish(s, s->state == SUB_ENDING ? &s->end : &(struct sub_end){.over = SUB_OVER_SILENT}, "timer_n");
}

void subscriber_over(struct timer *t)
{
	struct sub *s = container_of(t, struct sub, over);

	sub_finish(s, s->state == SUB_ENDING ? &s->end : &(struct sub_end){.over = SUB_OVER_EXPIRED}, "expired");
}

/* At 50 to 80 %, so that many do not come at once, and early enough for a try that is not answered. */
static void plan_refresh(struct sub *s)
{
	int64_t left_s = (s->expires_us - sub_now(s)) / 1000000, part;

	if (left_s <= 0)
		return;
	part = left_s * (50 + (int64_t)rng_below(s->ss->env->rng, 31)) / 100;
	if (left_s >= 90 && part > left_s - 40)
		part = left_s - 40;
	timer_start_us(s->ss->env->timers, &s->next, part * 1000000, on_refresh);
}

static void refresh(struct sub *s)
{
	int e;

	if (s->cli || s->state == SUB_GONE || s->state == SUB_ENDING)
		return;
	if (!s->dialog) { /* the NOTIFY is still awaited: Timer N decides */
		plan_refresh(s);
		return;
	}
	e = send_subscribe(s, s->ask_s);
	if (e < 0)
		sub_finish(s, &(struct sub_end){.over = SUB_OVER_UNREACHED, .err = e}, "not_sent");
}

static void on_refresh(struct timer *t)
{
	refresh(container_of(t, struct sub, next));
}

/* A refresh that failed, but not for good: again while there is time. */
static void refresh_later(struct sub *s, bool has_retry, uint32_t retry_s)
{
	int64_t left_s = (s->expires_us - sub_now(s)) / 1000000, wait = left_s / 2 < 30 ? left_s / 2 : 30;

	timer_stop(s->ss->env->timers, &s->n); /* nothing is to be notified */
	if (has_retry && retry_s > wait)
		wait = retry_s;
	if (wait > 0 && wait < left_s)
		timer_start_us(s->ss->env->timers, &s->next, wait * 1000000, on_refresh);
}

static void unsubscribe(struct sub *s)
{
	int e;

	s->leave = false;
	if (!sub_step(s, SUBE_END, "leave"))
		return;
	timer_stop(s->ss->env->timers, &s->next);
	s->end = (struct sub_end){.over = SUB_OVER_ASKED};
	e = send_subscribe(s, 0);
	if (e < 0)
		sub_finish(s, &s->end, "not_sent");
}

/* ------------------------------------------------------------------ answers */

static void cli_gone(struct sub *s)
{
	if (s->cli) {
		txn_cli_detach(s->cli);
		s->ss->busy--;
	}
	s->cli = NULL;
}

static void resend(struct sub *s, const char *because)
{
	int e = send_subscribe(s, s->sent_s);

	if (e < 0)
		sub_finish(s, s->state == SUB_ENDING ? &s->end : &(struct sub_end){.over = SUB_OVER_UNREACHED, .err = e}, because);
}

static void accepted(struct sub *s, const struct sip_msg *m)
{
	uint32_t expires_s = s->sent_s;
	int e = sip_delta_seconds(m, SIP_H_EXPIRES, &expires_s);

	/* a 2xx may shorten, never lengthen (4.1.2.1) */
	if (e == -EBADMSG || expires_s > s->sent_s)
		expires_s = s->sent_s;
	if (s->dialog)
		dlg_refresh(&s->dlg, m);
	if (s->state == SUB_ENDING || s->ask_s == 0)
		return; /* the last NOTIFY (of a fetch the only one), or Timer N */
	if (s->state != SUB_WAIT)
		sub_count(s->ss, SUBS_REFRESHED);
	sub_set_over(s, expires_s);
	plan_refresh(s);
	if (s->leave && s->dialog)
		unsubscribe(s);
}

static void refused(struct sub *s, const struct sip_msg *m)
{
	struct sub_end e = {.over = SUB_OVER_REFUSED, .status = m->status};
	uint32_t min_s;

	if (s->state == SUB_ENDING) {
		sub_finish(s, &s->end, "refused");
		return;
	}
	if ((m->status == 401 || m->status == 407) && sub_challenged(s, m)) {
		resend(s, "challenged");
		return;
	}
	if (m->status == 423 && !s->brief && sip_delta_seconds(m, SIP_H_MIN_EXPIRES, &min_s) == 0 && min_s > s->ask_s &&
	    min_s <= SUB_EXPIRES_MAX_S) {
		s->brief = true;
		s->ask_s = s->sent_s = min_s;
		resend(s, "423");
		return;
	}
	e.has_retry = sip_retry_after(m, &e.retry_s) == 0;
	if (s->state == SUB_WAIT || sub_fatal(m->status) || m->status == 401 || m->status == 407 || m->status == 403)
		sub_finish(s, &e, "refused");
	else if (s->leave)
		unsubscribe(s);
	else
		refresh_later(s, e.has_retry, e.retry_s);
}

static void on_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct sub *s = owner;

	(void)t;
	if (m->status < 200)
		return;
	cli_gone(s);
	if (m->status < 300) {
		s->asked[0] = s->asked[1] = 0;
		accepted(s, m);
	} else {
		refused(s, m);
	}
}

static void on_failed(void *owner, struct txn_cli *t, int err)
{
	struct sub *s = owner;
	struct sub_end e = {.over = err == -ETIMEDOUT ? SUB_OVER_SILENT : SUB_OVER_UNREACHED, .err = err};

	(void)t;
	cli_gone(s);
	if (s->state == SUB_ENDING)
		sub_finish(s, &s->end, "not_answered");
	else if (s->state == SUB_WAIT)
		sub_finish(s, &e, "not_answered");
	else if (s->leave)
		unsubscribe(s);
	else
		refresh_later(s, false, 0);
}

static void on_gone(void *owner, struct txn_cli *t)
{
	struct sub *s = owner;

	(void)t;
	if (s->cli)
		s->ss->busy--;
	s->cli = NULL;
}

static const struct txn_cli_ops subscribe_ops = {on_response, on_failed, on_gone};

/* ------------------------------------------------------------------ NOTIFY */

/* Another notifier's first NOTIFY. NULL: not wanted, or no memory. */
static struct sub *fork(struct sub *first)
{
	struct subs *ss = first->ss;
	struct sub_peer peer = {.trunk_id = first->trunk_id,
	    .contact = first->contact,
	    .lines = first->lines,
	    .nat = first->dlg.nat,
	    .udp_only = first->udp_only,
	    .mtu_limit = first->mtu_limit,
	    .timers = first->timers};
	enum reason why;
	struct sub *s;

	if (!first->ops || !first->ops->forked || sub_now(first) >= first->fork_until_us)
		return NULL;
	s = sub_new(ss, SUB_SUBSCRIBER, &peer, &first->event, first->ops, NULL, &why);
	if (!s)
		return NULL;
	dlg_fork(&s->dlg, &first->dlg);
	s->dlg.arena = s->arena;
	s->dlg.call_id = str_dup(s->arena, first->dlg.call_id);
	s->dlg.local_tag = str_dup(s->arena, first->dlg.local_tag);
	s->dlg.local = str_dup(s->arena, first->dlg.local);
	s->dlg.remote = str_dup(s->arena, first->dlg.remote);
	s->accept = first->accept.n ? str_dup(s->arena, first->accept) : STR_NONE;
	s->ask_s = s->sent_s = first->ask_s;
	if (!s->dlg.call_id.p || !s->dlg.local_tag.p || !s->dlg.local.p || !s->dlg.remote.p ||
	    (first->accept.n && !s->accept.p) || !first->ops->forked(first->owner, first, s, &s->owner)) {
		sub_drop(s);
		return NULL;
	}
	sub_count(ss, SUBS_FORKED);
	sub_index(s);
	return s;
}

/* The state that NOTIFY says: the last thing done with it. */
static void take_state(struct sub *s, const struct sip_substate_value *v)
{
	uint32_t expires_s;

	timer_stop(s->ss->env->timers, &s->n);
	if (v->state == SIP_SUB_TERMINATED) {
		struct sub_end e = {.over = SUB_OVER_NOTIFIED, .why = v->why, .has_retry = v->has_retry, .retry_s = v->retry_s};

		sub_finish(s, s->state == SUB_ENDING ? &s->end : &e, "terminated");
		return;
	}
	if (s->state == SUB_ENDING) { /* the last one is still to come */
		timer_start_us(s->ss->env->timers, &s->n, timer_n_us(s), on_n);
		return;
	}
	/* what is left by their clock; a NOTIFY may shorten, not lengthen (4.1.3) */
	expires_s = v->has_expires && v->expires_s < s->ask_s ? v->expires_s : s->ask_s;
	if (!timer_running(&s->over) || sub_now(s) + (int64_t)expires_s * 1000000 < s->expires_us - 1000000) {
		sub_set_over(s, expires_s);
		plan_refresh(s);
	}
	(void)sub_step(s, v->state == SIP_SUB_PENDING ? SUBE_HOLD : SUBE_GRANT, "notify");
	if (s->leave && s->dialog && !s->cli)
		unsubscribe(s);
}

void subscriber_request(struct sub *s, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct sip_substate_value v;
	enum reason why;
	struct sub *f;

	if (sip_substate(m, &v) < 0) {
		sub_refuse(s, t, REASON_SUB_NO_STATE, STR_NONE);
		return;
	}
	if (s->dialog && !str_eq(s->dlg.remote_tag, m->from.tag)) {
		f = fork(s);
		if (!f) {
			sub_refuse(s, t, REASON_NO_DIALOG, STR_NONE);
			return;
		}
		s = f;
	}
	if (s->dialog && dlg_take_cseq(&s->dlg, m) < 0) {
		sub_refuse(s, t, REASON_CSEQ_ORDER, STR_NONE);
		return;
	}
	if (!s->dialog) {
		int e = m->from.tag.n ? dlg_learn_notify(&s->dlg, m, from) : -EBADMSG;

		if (e < 0) {
			sub_refuse(s, t, e == -ENOMEM ? REASON_NO_MEMORY : REASON_MALFORMED, STR_NONE);
			if (s->state == SUB_INIT) /* a fork that came to nothing */
				sub_finish(s, &(struct sub_end){.over = SUB_OVER_MUTE}, "bad_notify");
			return;
		}
		s->dialog = true;
		s->dlg.remote_cseq = m->cseq;
		s->dlg.has_remote_cseq = true;
	} else {
		dlg_refresh(&s->dlg, m);
		if (net_reliable((enum net_proto)from->proto))
			s->dlg.path.conn = from->conn;
	}
	s->notifies++;
	sub_count(s->ss, SUBS_NOTIFY_IN);
	why = s->ops ? s->ops->heard(s->owner, s, m, &v) : REASON_NONE;
	if (why == REASON_NONE)
		(void)sub_reply(t, 200, STR_NONE);
	else
		sub_refuse(s, t, why, STR_NONE);
	take_state(s, &v);
}

/* ------------------------------------------------------------------ the door */

struct sub *sub_subscribe(
    struct subs *ss, const struct sub_ask *a, const struct sub_ops *ops, void *owner, enum reason *ret_why)
{
	char id[32], tag[16];
	struct buf i, g;
	struct sub *s;
	int e;

	if (!ss->txn) {
		*ret_why = REASON_INTERNAL;
		return NULL;
	}
	s = sub_new(ss, SUB_SUBSCRIBER, &a->peer, &a->event, ops, owner, ret_why);
	if (!s)
		return NULL;
	*ret_why = REASON_NO_MEMORY;
	buf_init(&i, id, sizeof(id));
	rng_put_token(ss->env->rng, &i, 26);
	buf_init(&g, tag, sizeof(tag));
	rng_put_token(ss->env->rng, &g, 12);
	dlg_init_uac(&s->dlg, s->arena, str_dup(s->arena, buf_text(&i)), str_dup(s->arena, buf_text(&g)),
	    str_dup(s->arena, a->from), str_dup(s->arena, a->to), &a->path);
	s->dlg.target = str_dup(s->arena, a->ruri); /* its place is not one that may be written over: no target_cap */
	s->dlg.routes = a->routes.n ? str_dup(s->arena, a->routes) : STR_NONE;
	s->dlg.nat = a->peer.nat;
	s->dlg.hops = a->hops;
	s->accept = a->accept.n ? str_dup(s->arena, a->accept) : STR_NONE;
	s->branch_tail = a->branch_tail.n ? str_dup(s->arena, a->branch_tail) : STR_NONE;
	if ((a->branch_tail.n && !s->branch_tail.p) || !s->dlg.call_id.p || !s->dlg.local_tag.p || !s->dlg.local.p || !s->dlg.remote.p || !s->dlg.target.p ||
	    (a->routes.n && !s->dlg.routes.p) || (a->accept.n && !s->accept.p)) {
		sub_drop(s);
		return NULL;
	}
	s->first_path = a->path;
	s->ask_s = a->expires_s < SUB_EXPIRES_MAX_S ? a->expires_s : SUB_EXPIRES_MAX_S;
	s->fork_until_us = sub_now(s) + timer_n_us(s);
	sub_index(s);
	e = send_subscribe(s, s->ask_s);
	if (e < 0) {
		*ret_why = e == -ENOMEM ? REASON_NO_MEMORY : REASON_TRANSPORT;
		sub_drop(s);
		return NULL;
	}
	sub_count(ss, SUBS_OUT);
	(void)sub_step(s, SUBE_SENT, "subscribe");
	*ret_why = REASON_NONE;
	return s;
}

void sub_leave(struct sub *s)
{
	if (s->role != SUB_SUBSCRIBER || s->state == SUB_GONE || s->state == SUB_ENDING || s->leave)
		return;
	if (!s->dialog) { /* nothing to unsubscribe from: a NOTIFY that comes gets 481, which ends it there */
		sub_finish(s, &(struct sub_end){.over = SUB_OVER_ASKED}, "leave");
		return;
	}
	if (s->cli)
		s->leave = true;
	else
		unsubscribe(s);
}

void sub_refresh(struct sub *s)
{
	if (s->role == SUB_SUBSCRIBER && s->dialog)
		refresh(s);
}
