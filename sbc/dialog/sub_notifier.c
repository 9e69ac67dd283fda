/* sub_notifier.c - they watch something of ours (RFC 6665 4.2).
 *
 * SUBSCRIBE is answered 200 first, and its NOTIFY goes out on the next turn, so the two leave in that order. One NOTIFY
 * is out at a time: what changes meanwhile is told by the next one, whose body is made when it leaves, so nothing is
 * queued and nothing is told in the wrong order. NOTIFYs that nobody asked for keep gap_ms between them.
 *
 * A NOTIFY that is not answered, that meets no connection, or whose answer says that nobody is there (4.2.2) ends the
 * subscription. Other refusals do not, three in a row do; what was told then is told again with the next one.
 */
#include "sbc/dialog/sub_internal.h"

#define FAILED_MAX 3
#define AGAIN_S 5u
#define RETRY_AGAIN_MAX_S 300u

static void on_next(struct timer *t);
static const struct txn_cli_ops notify_ops;

/* ------------------------------------------------------------------ NOTIFY */

static void plan(struct sub *s)
{
	int64_t wait_us = 0;

	if (s->cli || s->state == SUB_GONE || !s->want)
		return;
	if (!s->hurry && s->told_us) {
		wait_us = s->told_us + (int64_t)s->gap_ms * 1000 - sub_now(s);
		wait_us = wait_us > 0 ? wait_us : 0;
	}
	timer_start_us(s->ss->env->timers, &s->next, wait_us, on_next);
}

static void want(struct sub *s, bool full, bool hurry)
{
	s->want = true;
	s->full = s->full || full;
	s->hurry = s->hurry || hurry;
	plan(s);
}

/* more: what was fetched does not fit one NOTIFY, and this is not the last one */
static void put_state(const struct sub *s, bool more, struct buf *h)
{
	int64_t left = (s->expires_us - sub_now(s) + 999999) / 1000000;

	buf_lit(h, "Subscription-State: ");
	if (s->state == SUB_ENDING && more) {
		buf_lit(h, "active;expires=30");
	} else if (s->state == SUB_ENDING) {
		buf_lit(h, "terminated");
		if (s->last_why != SIP_SUBWHY_NONE && s->last_why != SIP_SUBWHY_OTHER) {
			buf_lit(h, ";reason=");
			buf_str(h, str_z(sip_subwhy_names[s->last_why]));
		}
		if (s->last_retry_s) {
			buf_lit(h, ";retry-after=");
			buf_u64(h, s->last_retry_s);
		}
	} else {
		buf_str(h, str_z(sub_state_names[s->state]));
		buf_lit(h, ";expires=");
		buf_u64(h, left > 0 ? (uint64_t)left : 0);
	}
	buf_lit(h, "\r\n");
}

static void send_notify(struct sub *s)
{
	struct sub_notify n = {.full = s->full, .again = s->again, .last = s->state == SUB_ENDING, .room = s->ss->cfg.body_max};
	char text[SUB_HEADERS_MAX];
	struct txn_req r = {0};
	struct buf h;
	int e;

	buf_init(&n.body, s->ss->body, s->ss->cfg.body_max);
	s->want = s->full = s->hurry = s->again = false;
	if (s->ops && !s->ops->say(s->owner, s, &n)) {
		if (s->state != SUB_ENDING) {
			s->end.over = SUB_OVER_MUTE;
			s->last_why = SIP_SUBWHY_GIVEUP;
			(void)sub_step(s, SUBE_END, "mute");
		}
		n.body.n = 0;
		n.more = false;
	}
	if (buf_err(&n.body))
		n.body.n = 0;
	buf_init(&h, text, sizeof(text));
	dlg_request(&s->dlg, SIP_NOTIFY, STR_NONE, 0, &h, &r);
	put_state(s, n.more, &h);
	r.body = buf_text(&n.body);
	r.content_type = n.type;
	s->last_out = s->state == SUB_ENDING && !n.more;
	e = sub_send(s, &r, &h, S("NOTIFY"), &notify_ops);
	if (e < 0) {
		sub_count(s->ss, SUBS_NOTIFY_FAILED);
		if (e == -ENOMEM && ++s->failed < FAILED_MAX) { /* it will pass; the watcher would not know that it was dropped */
			s->again = s->want = true;
			timer_start_us(s->ss->env->timers, &s->next, (int64_t)AGAIN_S * 1000000, on_next);
			return;
		}
		sub_finish(s, &(struct sub_end){.over = SUB_OVER_UNREACHED, .err = e}, "not_sent");
		return;
	}
	s->notifies++;
	s->told_us = sub_now(s);
	sub_count(s->ss, SUBS_NOTIFY_OUT);
	if (n.more)
		s->want = s->hurry = true;
}

static void on_next(struct timer *t)
{
	struct sub *s = container_of(t, struct sub, next);

	if (!s->cli && s->want)
		send_notify(s);
}

static void cli_gone(struct sub *s)
{
	if (s->cli) {
		txn_cli_detach(s->cli);
		s->ss->busy--;
	}
	s->cli = NULL;
}

static void on_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct sub *s = owner;
	bool last = s->last_out;
	uint32_t retry_s = 0;
	bool has_retry;

	(void)t;
	if (m->status < 200)
		return;
	cli_gone(s);
	if ((m->status == 401 || m->status == 407) && sub_challenged(s, m)) {
		s->again = true;
		want(s, false, true);
		return;
	}
	s->asked[0] = s->asked[1] = 0;
	if (m->status < 300) {
		s->failed = 0;
		dlg_refresh(&s->dlg, m);
		if (last)
			sub_finish(s, &s->end, "told");
		else
			plan(s);
		return;
	}
	sub_count(s->ss, SUBS_NOTIFY_REFUSED);
	has_retry = sip_retry_after(m, &retry_s) == 0;
	if (last || sub_fatal(m->status) || ++s->failed >= FAILED_MAX) {
		if (!last)
			s->end = (struct sub_end){
			    .over = SUB_OVER_REFUSED, .status = m->status, .has_retry = has_retry, .retry_s = retry_s};
		sub_finish(s, &s->end, "refused");
		return;
	}
	s->again = true;
	s->want = true;
	retry_s = has_retry && retry_s ? retry_s : AGAIN_S;
	retry_s = retry_s < RETRY_AGAIN_MAX_S ? retry_s : RETRY_AGAIN_MAX_S;
	timer_start_us(s->ss->env->timers, &s->next, (int64_t)retry_s * 1000000, on_next);
}

static void on_failed(void *owner, struct txn_cli *t, int err)
{
	struct sub *s = owner;
	struct sub_end e = {.over = err == -ETIMEDOUT ? SUB_OVER_SILENT : SUB_OVER_UNREACHED, .err = err};

	(void)t;
	cli_gone(s);
	sub_count(s->ss, SUBS_NOTIFY_FAILED);
	sub_finish(s, s->last_out ? &s->end : &e, "not_told");
}

static void on_gone(void *owner, struct txn_cli *t)
{
	struct sub *s = owner;

	(void)t;
	if (s->cli)
		s->ss->busy--;
	s->cli = NULL;
}

static const struct txn_cli_ops notify_ops = {on_response, on_failed, on_gone};

/* ------------------------------------------------------------------ the end */

void notifier_last(struct sub *s, enum sip_subwhy why, uint32_t retry_s, enum sub_over over)
{
	if (s->state == SUB_ENDING || s->state == SUB_GONE)
		return;
	s->end.over = over;
	s->end.why = why;
	s->last_why = why;
	s->last_retry_s = retry_s;
	timer_stop(s->ss->env->timers, &s->over);
	if (sub_step(s, SUBE_END, sub_over_names[over]))
		want(s, over == SUB_OVER_LEFT, true);
}

void notifier_over(struct timer *t)
{
	notifier_last(container_of(t, struct sub, over), SIP_SUBWHY_TIMEOUT, 0, SUB_OVER_EXPIRED);
}

/* ------------------------------------------------------------------ SUBSCRIBE */

/* How long: 0 when it is to end. */
static enum reason granted(const struct sip_msg *m, uint32_t usual_s, uint32_t min_s, uint32_t max_s, uint32_t *ret,
    struct buf *h)
{
	uint32_t s = usual_s;
	int e = sip_delta_seconds(m, SIP_H_EXPIRES, &s);

	if (e == -EBADMSG)
		return REASON_MALFORMED;
	/* 4.2.1.1: only what is less than an hour may be called too short */
	if (s > 0 && s < min_s && s < 3600) {
		buf_lit(h, "Min-Expires: ");
		buf_u64(h, min_s);
		buf_lit(h, "\r\n");
		return REASON_SUB_BRIEF;
	}
	*ret = s < max_s ? s : max_s;
	return REASON_NONE;
}

/* first: with the route it made */
static int answer_200(struct sub *s, struct txn_srv *t, const struct sip_msg *first, uint32_t expires_s)
{
	struct sip_values w;
	char text[SUB_HEADERS_MAX];
	struct str v;
	struct buf h;

	buf_init(&h, text, sizeof(text));
	if (first) {
		w = sip_values(first, SIP_H_RECORD_ROUTE);
		while (sip_values_next(&w, &v))
			sip_put_hdr(&h, SIP_H_RECORD_ROUTE, v);
	}
	buf_lit(&h, "Expires: ");
	buf_u64(&h, expires_s);
	buf_lit(&h, "\r\nContact: ");
	buf_str(&h, s->contact);
	buf_lit(&h, "\r\n");
	return buf_err(&h) ? -ENOSPC
	                   : txn_srv_reply(t, &(struct txn_reply){
	                                          .status = 200, .to_tag = s->dlg.local_tag, .headers = buf_text(&h)});
}

struct sub *sub_accept(struct subs *ss, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from,
    const struct sub_accept *a, const struct sub_ops *ops, void *owner, enum reason *ret_why, struct buf *h)
{
	struct sip_event event;
	uint32_t expires_s;
	char tag[16];
	struct buf b;
	struct sub *s;
	int e;

	*ret_why = REASON_EVENT_PACKAGE;
	if (sip_event(m, &event) < 0)
		goto refused;
	*ret_why = granted(m, a->usual_s, a->min_s, a->max_s, &expires_s, h);
	if (*ret_why != REASON_NONE)
		goto refused;
	s = sub_new(ss, SUB_NOTIFIER, &a->peer, &event, ops, owner, ret_why);
	if (!s)
		goto refused;
	s->usual_s = a->usual_s;
	s->min_s = a->min_s;
	s->max_s = a->max_s;
	s->gap_ms = a->gap_ms;
	buf_init(&b, tag, sizeof(tag));
	rng_put_token(ss->env->rng, &b, 12);
	e = dlg_init_uas(&s->dlg, s->arena, m, from, buf_text(&b));
	if (e < 0) {
		*ret_why = e == -ENOMEM ? REASON_NO_MEMORY : REASON_MALFORMED;
		sub_drop(s);
		goto refused;
	}
	s->dlg.nat = a->peer.nat;
	s->dlg.confirmed = true;
	if (answer_200(s, t, m, expires_s) < 0) {
		*ret_why = REASON_NO_MEMORY;
		sub_drop(s);
		goto refused;
	}
	sub_count(ss, SUBS_IN);
	sub_index(s);
	(void)sub_step(s, a->pending ? SUBE_HOLD : SUBE_GRANT, "subscribe");
	if (expires_s == 0) { /* a fetch: told once, and over (4.4.3) */
		notifier_last(s, SIP_SUBWHY_TIMEOUT, 0, SUB_OVER_LEFT);
	} else {
		sub_set_over(s, expires_s);
		want(s, true, true);
	}
	return s;
refused:
	sub_count(ss, SUBS_REFUSED);
	return NULL;
}

struct sub *sub_accept_fork(struct sub *first, const struct sub_ops *ops, void *owner, bool pending, enum reason *ret_why)
{
	struct sub_peer peer = {.trunk_id = first->trunk_id,
	    .contact = first->contact,
	    .lines = first->lines,
	    .nat = first->dlg.nat,
	    .udp_only = first->udp_only,
	    .mtu_limit = first->mtu_limit,
	    .timers = first->timers,
	    .max = 0}; /* it was one SUBSCRIBE */
	int64_t left_s = (first->expires_us - sub_now(first)) / 1000000;
	struct sub *s = sub_new(first->ss, SUB_NOTIFIER, &peer, &first->event, ops, owner, ret_why);
	char tag[16];
	struct buf b;

	if (!s)
		return NULL;
	buf_init(&b, tag, sizeof(tag));
	rng_put_token(first->ss->env->rng, &b, 12);
	s->usual_s = first->usual_s;
	s->min_s = first->min_s;
	s->max_s = first->max_s;
	s->gap_ms = first->gap_ms;
	s->dlg = first->dlg;
	s->dlg.arena = s->arena;
	s->dlg.target_cap = s->dlg.routes_cap = 0;
	s->dlg.call_id = str_dup(s->arena, first->dlg.call_id);
	s->dlg.local_tag = str_dup(s->arena, buf_text(&b));
	s->dlg.remote_tag = str_dup(s->arena, first->dlg.remote_tag);
	s->dlg.local = str_dup(s->arena, first->dlg.local);
	s->dlg.remote = str_dup(s->arena, first->dlg.remote);
	s->dlg.target = str_dup(s->arena, first->dlg.target);
	s->dlg.routes = str_dup(s->arena, first->dlg.routes);
	s->dlg.local_cseq = 0;
	if (!s->dlg.call_id.p || !s->dlg.local_tag.p || !s->dlg.remote_tag.p || !s->dlg.local.p || !s->dlg.remote.p ||
	    !s->dlg.target.p || (first->dlg.routes.n && !s->dlg.routes.p)) {
		*ret_why = REASON_NO_MEMORY;
		sub_drop(s);
		return NULL;
	}
	sub_count(s->ss, SUBS_FORKED);
	sub_index(s);
	(void)sub_step(s, pending ? SUBE_HOLD : SUBE_GRANT, "fork");
	if (left_s <= 0) {
		notifier_last(s, SIP_SUBWHY_TIMEOUT, 0, SUB_OVER_LEFT);
	} else {
		sub_set_over(s, (uint32_t)left_s);
		want(s, true, true);
	}
	return s;
}

void notifier_request(struct sub *s, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	enum reason why;
	uint32_t expires_s;
	char text[128];
	struct buf h;

	buf_init(&h, text, sizeof(text));
	if (s->state == SUB_ENDING || s->state == SUB_GONE) {
		sub_refuse(s, t, REASON_NO_DIALOG, STR_NONE);
		return;
	}
	if (dlg_take_cseq(&s->dlg, m) < 0) {
		sub_refuse(s, t, REASON_CSEQ_ORDER, STR_NONE);
		return;
	}
	why = granted(m, s->usual_s, s->min_s, s->max_s, &expires_s, &h);
	if (why != REASON_NONE) {
		sub_refuse(s, t, why, buf_text(&h));
		return;
	}
	dlg_refresh(&s->dlg, m);
	if (net_reliable((enum net_proto)from->proto))
		s->dlg.path.conn = from->conn;
	if (answer_200(s, t, NULL, expires_s) < 0) {
		txn_srv_drop(t);
		return;
	}
	sub_count(s->ss, SUBS_REFRESHED);
	if (expires_s == 0) {
		notifier_last(s, SIP_SUBWHY_TIMEOUT, 0, SUB_OVER_LEFT);
		return;
	}
	sub_set_over(s, expires_s);
	want(s, true, true);
	if (s->ops && s->ops->refreshed)
		s->ops->refreshed(s->owner, s);
}

/* ------------------------------------------------------------------ the door */

void sub_changed(struct sub *s, bool full)
{
	if (s->role == SUB_NOTIFIER && (s->state == SUB_ACTIVE || s->state == SUB_PENDING))
		want(s, full, false);
}

void sub_grant(struct sub *s)
{
	if (s->role == SUB_NOTIFIER && s->state == SUB_PENDING && sub_step(s, SUBE_GRANT, "granted"))
		want(s, true, true);
}

void sub_end(struct sub *s, enum sip_subwhy why, uint32_t retry_s)
{
	if (s->role == SUB_NOTIFIER)
		notifier_last(s, why, retry_s, SUB_OVER_ASKED);
}
