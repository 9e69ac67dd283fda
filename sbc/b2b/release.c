/* release.c - ends of legs and calls, and the record that remains.
 *
 * A call ends once: call_release() writes the record, stops media and sets every leg on its way out. A leg that was
 * up sends BYE and stays until that is answered, so that a crossing BYE gets its 200. A leg that was being called
 * is cancelled and let go at once: what still arrives for it (a crossing 2xx) is acknowledged and ended by the
 * orphan handler. A leg A whose 2xx was not acknowledged yet waits for the ACK before its BYE (DLG-05). When the
 * last leg is gone the call is freed at the end of the turn.
 */
#include "sbc/b2b/internal.h"

#include <stdlib.h>

static void free_call(struct call *c)
{
	struct b2b *b = c->b2b;

	list_del(&c->node);
	media_call_free(c->media);
	policy_unref(c->policy);
	arena_free(c->arena);
	b->n_calls--;
}

static void reap(struct timer *t)
{
	struct b2b *b = container_of(t, struct b2b, reaper);
	struct list *n;

	while ((n = list_pop(&b->dead)))
		free_call(container_of(n, struct call, node));
}

static void call_maybe_dead(struct call *c)
{
	struct b2b *b = c->b2b;

	if (!c->released || !list_empty(&c->legs))
		return;
	htab_del(&b->ids, &c->by_id);
	timer_stop(b->env->timers, &c->timer);
	list_del(&c->node);
	list_push(&b->dead, &c->node);
	if (!timer_running(&b->reaper))
		timer_start_us(b->env->timers, &b->reaper, 0, reap);
}

void leg_gone(struct leg *l)
{
	struct call *c = l->call;
	struct b2b *b = c->b2b;

	if (l->state == LEG_GONE)
		return;
	leg_set_state(l, LEG_GONE, reason_info(l->end_reason)->name);
	if (c->b == l && c->setup)
		timer_stop(b->env->timers, &c->setup->silence);
	leg_2xx_end(l);
	b2b_leg_unindex(l);
	stray_leg_gone(l);
	if (l->srv)
		txn_srv_detach(l->srv);
	if (l->cli && l->cli != l->inv_cli)
		txn_cli_detach(l->cli);
	if (l->connecting)
		targets_forget(b->targets, l);
	if (l->inv_cli) {
		txn_cli_bind(l->inv_cli, &b2b_orphan_ops, b);
		txn_cli_cancel(l->inv_cli, STR_NONE); /* a re-INVITE that got a 1xx and no more has no other end */
	}
	if (l->old_cli)
		txn_cli_bind(l->old_cli, &b2b_orphan_ops, b);
	if (l->first_cli)
		txn_cli_bind(l->first_cli, &b2b_orphan_ops, b);
	if (l->bye)
		txn_cli_detach(l->bye);
	l->srv = NULL;
	l->cli = l->inv_cli = l->old_cli = l->first_cli = l->bye = NULL;
	txn_ack_free(l->ack);
	txn_ack_free(l->old_ack);
	l->ack = l->old_ack = NULL;
	list_del(&l->node);
	b->n_legs--;
	if (c->a == l)
		c->a = NULL;
	if (c->b == l)
		c->b = NULL;
	call_maybe_dead(c);
}

void call_try_end(struct leg *l, enum reason why, uint16_t status)
{
	if (!l->try)
		return;
	l->try->reason = why;
	if (status)
		l->try->status = status;
}

void leg_give_up(struct leg *l, enum reason why, struct str headers)
{
	l->end_reason = why;
	if (l->inv_cli)
		txn_cli_cancel(l->inv_cli, headers);
	if (l->call->counted_b && l->call->b == l) {
		l->call->counted_b = false;
		trunk_put(l->call->b2b, l->trunk->id);
	}
	leg_gone(l);
}

static const struct txn_cli_ops bye_ops;

static bool bye_again(struct leg *l, struct txn_cli *failed, int err, const struct sip_msg *said)
{
	struct txn_cli *t = leg_request_again(l, failed, err, said, l->bye_headers, STR_NONE, &bye_ops, l);

	if (!t)
		return false;
	l->bye = t;
	txn_cli_detach(failed);
	return true;
}

static void bye_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct leg *l = owner;

	if ((m->status == 401 || m->status == 407) && leg_challenged(l, m) == REASON_NONE) {
		l->bye = leg_request(l, SIP_BYE, STR_NONE, l->bye_headers, STR_NONE, STR_NONE, &bye_ops, l);
		txn_cli_detach(t);
		if (l->bye)
			return;
	}
	if (m->status == 503 && bye_again(l, t, 0, m))
		return;
	if (m->status >= 200)
		leg_gone(l); /* 481, 408, anything: the dialog is over (15.1.1) */
}

static void bye_failed(void *owner, struct txn_cli *t, int err)
{
	struct leg *l = owner;

	if (bye_again(l, t, err, NULL))
		return;
	l->bye = NULL;
	txn_cli_detach(t);
	leg_gone(l);
}

static void bye_gone(void *owner, struct txn_cli *t)
{
	struct leg *l = owner;

	if (l->bye == t) {
		l->bye = NULL;
		leg_gone(l);
	}
}

static const struct txn_cli_ops bye_ops = {bye_response, bye_failed, bye_gone};

void leg_bye(struct leg *l, enum reason why, struct str headers)
{
	l->end_reason = why;
	if (l->state == LEG_ENDING || l->state == LEG_GONE)
		return;
	if (l->side == MEDIA_A && l->state == LEG_ANSWERED && leg_2xx_waiting(l)) {
		l->bye_pending = true;
		return;
	}
	leg_2xx_end(l);
	leg_set_state(l, LEG_ENDING, reason_info(why)->name);
	l->bye_headers = leg_has_ways(l) || leg_has_credentials(l) ? str_dup(l->call->arena, headers) : STR_NONE;
	l->bye = leg_request(l, SIP_BYE, STR_NONE, headers, STR_NONE, STR_NONE, &bye_ops, l);
	if (!l->bye)
		leg_gone(l);
}

static void end_leg(struct leg *l, bool is_by, enum reason why, uint16_t status, struct str headers)
{
	const struct b2b *b = l->call->b2b;
	char text[8192];
	struct buf h;

	buf_init(&h, text, sizeof(text));
	buf_str(&h, headers);
	if (str_find(headers, S("Reason:")) < 0)
		b2b_put_reason(l->trunk, why, &h);
	if (buf_err(&h))
		buf_init(&h, text, 0);
	l->end_reason = why;
	switch (l->state) {
	case LEG_INVITED:
		if (l->srv) {
			b2b_put_warning(l->trunk, why, &h);
			if (status == 503 && reason_info(why)->sip == 503) {
				/* hop by hop: come again soon, spread out (OVL-01) */
				buf_lit(&h, "Retry-After: ");
				buf_u64(&h, 1 + rng_below(b->env->rng, 5));
				buf_lit(&h, "\r\n");
			}
			(void)leg_reply(l, l->srv, status, STR_NONE, buf_text(&h), STR_NONE);
		}
		leg_gone(l);
		break;
	case LEG_CALLING:
	case LEG_EARLY:
		call_try_end(l, why, 0);
		leg_give_up(l, why, buf_text(&h));
		break;
	case LEG_ANSWERED:
	case LEG_UP:
		if (is_by) {
			leg_gone(l); /* they said BYE, or do not know the dialog */
			break;
		}
		leg_bye(l, why, buf_text(&h));
		break;
	case LEG_ENDING:
		if (is_by)
			break; /* crossing BYE: ours will be answered */
		break;
	case LEG_GONE:
		break;
	}
}

static uint16_t status_of(enum reason why)
{
	uint16_t s = reason_info(why)->sip;

	return s ? s : 500;
}

void call_release(struct call *c, struct leg *by, enum reason why, uint16_t status, struct str headers)
{
	struct b2b *b = c->b2b;
	char code[REASON_CODE_MAX];
	struct call_record *rec;

	if (c->released)
		return;
	c->released = true;
	c->end_us = b->env->clock->mono_us;
	c->reason = why;
	c->released_by = by ? "ab"[by->side] : c->peer_status && !c->answered ? 'b' : 's';
	if (c->status == 0)
		c->status = status ? status : status_of(why);
	if (!c->answered)
		status = c->status;
	timer_stop(b->env->timers, &c->timer);
	change_abort(c);
	indialog_abort(c);
	/* the record before the media goes, with its last figures */
	rec = &b->ended[b->n_ended % ENDED_KEPT];
	call_snapshot(c, rec);
	b->n_ended++;
	media_call_free(c->media);
	c->media = NULL;
	if (c->counted_a)
		trunk_put(b, c->trunk_a->id);
	if (c->counted_b)
		trunk_put(b, c->trunk_b->id);
	if (c->counted_a)
		trunk_note(b, c->trunk_a->id, c->answered ? REASON_NONE : why);
	if (c->trunk_b)
		trunk_note(b, c->trunk_b->id, c->answered ? REASON_NONE : why);
	c->counted_a = c->counted_b = false;
	if (!c->answered)
		b2b_count(b, c->tries ? B2B_CALLS_FAILED : B2B_CALLS_REFUSED);
	log_at(&c->log, c->answered && why == REASON_NORMAL ? LOG_DEBUG : LOG_INFO, "call_end", "status=%u reason=%s by=%c answered=%d", c->status,
	    reason_code(why, code), c->released_by, c->answered);
	b->user->on_record(b->ctx, rec);

	list_each(n, &c->legs) {
		struct leg *l = container_of(n, struct leg, node);

		end_leg(l, l == by, why, status, headers);
	}
	setup_free(c);
	call_maybe_dead(c);
}

void call_clear(struct call *c, enum reason why, bool force)
{
	call_release(c, NULL, why, 0, STR_NONE);
	if (!force)
		return;
	list_each(n, &c->legs) {
		struct leg *l = container_of(n, struct leg, node);

		leg_gone(l);
	}
}

enum reason call_capture(struct call *c, enum media_capture mode)
{
	return c->media ? media_capture(c->media, mode, c->id) : REASON_NO_DIALOG;
}
