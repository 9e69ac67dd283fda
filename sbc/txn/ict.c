/* ict.c - INVITE client transaction (RFC 3261 17.1.1, RFC 6026 7.2 and 8.4).
 *
 *              1xx                     1xx
 *   CALLING ---------> PROCEEDING ------------+
 *    |  |  \            |   |   ^-------------+
 *    |  |   \  2xx      |   | 2xx
 *    |  |    +-------------+---> ACCEPTED --------- M: 64*T1 ---------+
 *    |  | 3xx-6xx: ACK  | 3xx-6xx: ACK                                v
 *    |  +---------------+------> COMPLETED -- D: 32 s, reliable 0 --> TERMINATED -> gone
 *    +--- B: 64*T1, transport error; no final 64*T1 after CANCEL -----^
 *         (in PROCEEDING only when its connection was lost and nobody answers on a new one)
 *
 * Happy path: send, the first 1xx stops timers A and B, a 2xx goes up and moves to ACCEPTED, where copies and the
 * 2xx of other forks still reach the leg (TXN-08). The ACK to a 2xx is the dialog's.
 * Failure: timer B gives -ETIMEDOUT, a transport error its errno, both through on_failed and, on a later turn,
 * on_gone. A 3xx-6xx is acknowledged from here, then goes up; its copies are acknowledged again until D.
 * CANCEL waits for a 1xx (TXN-13); when then no final comes in 64*T1, the transaction fails with -ETIMEDOUT (9.1).
 * The request's bytes are dropped as soon as nothing can need them again.
 */
#include "sbc/txn/impl.h"

#include <assert.h>
#include <errno.h>

enum ict_state { ICT_CALLING, ICT_PROCEEDING, ICT_COMPLETED, ICT_ACCEPTED, ICT_TERMINATED, ICT_STATES };
/* ICT_RESEND is timer A; ICT_END is B, the wait after CANCEL, D, M, or the turn after a failure. */
enum ict_event { ICT_RX_1XX, ICT_RX_2XX, ICT_RX_FAIL, ICT_RESEND, ICT_END, ICT_BROKEN, ICT_CANCEL, ICT_EVENTS };

static const char *const ict_state_names[ICT_STATES] = {
    "calling", "proceeding", "completed", "accepted", "terminated"};
static const char *const ict_event_names[ICT_EVENTS] = {
    "rx_1xx", "rx_2xx", "rx_failure", "timer_a", "timer_end", "transport_error", "cancel"};

typedef void ict_act(struct cli *t, const struct sip_msg *m);
struct ict_edge {
	ict_act *act;
	enum ict_state next;
	bool used;
};

static timer_fn on_resend, on_end;

static void act_provisional(struct cli *t, const struct sip_msg *m)
{
	cli_pass(t, m);
}

static void send_cancel(struct cli *t)
{
	t->cancel_wanted = false;
	/* first the timer: without memory for the CANCEL the call still ends */
	timer_start_ms(t->n.l->env->timers, &t->end, (int64_t)TXN_64 * t->tm.t1, on_end);
	cli_send_cancel(t);
}

static void act_first_1xx(struct cli *t, const struct sip_msg *m)
{
	timer_stop(t->n.l->env->timers, &t->resend);
	timer_stop(t->n.l->env->timers, &t->end);
	if (t->cancel_wanted)
		send_cancel(t);
	cli_pass(t, m);
}

static void act_accept(struct cli *t, const struct sip_msg *m)
{
	timer_stop(t->n.l->env->timers, &t->resend);
	timer_start_ms(t->n.l->env->timers, &t->end, (int64_t)TXN_64 * t->tm.t1, on_end);
	cli_forget(t);
	cli_pass(t, m);
}

static void act_another_2xx(struct cli *t, const struct sip_msg *m)
{
	cli_pass(t, m);
}

static void act_refused(struct cli *t, const struct sip_msg *m)
{
	struct txn_layer *l = t->n.l;
	struct buf b;

	timer_stop(l->env->timers, &t->resend);
	buf_init(&b, l->out, SIP_MSG_MAX);
	cli_put_derived(t, &b, SIP_ACK, sip_hdr_value(m, SIP_H_TO), STR_NONE);
	cli_forget(t);
	if (buf_err(&b) == 0) {
		(void)cli_send_bytes(t, buf_text(&b), m->call_id);
		/* without memory it goes out this once; the peer's copies then end at its timer H */
		(void)cli_keep(t, buf_text(&b));
	}
	/* D: "at least 32 seconds" for unreliable transports */
	timer_start_ms(l->env->timers, &t->end, net_reliable(t->pub.path.proto) ? 0 : 32000, on_end);
	cli_pass(t, m);
}

static void act_ack_again(struct cli *t, const struct sip_msg *m)
{
	(void)m;
	if (t->sent.p)
		cli_send(t);
}

static void act_resend(struct cli *t, const struct sip_msg *m)
{
	(void)m;
	cli_send(t);
	t->interval_ms *= 2;
	txn_resend_after(t->n.l, &t->resend, t->interval_ms, on_resend);
}

static void act_fail(struct cli *t, const struct sip_msg *m)
{
	(void)m;
	timer_stop(t->n.l->env->timers, &t->resend);
	cli_forget(t);
	if (!t->err)
		t->err = -ETIMEDOUT;
	timer_start_ms(t->n.l->env->timers, &t->end, 0, on_end);
	cli_report(t);
}

static void act_cancel_later(struct cli *t, const struct sip_msg *m)
{
	(void)m;
	t->cancel_wanted = true;
}

static void act_cancel(struct cli *t, const struct sip_msg *m)
{
	(void)m;
	send_cancel(t);
}

static void act_gone(struct cli *t, const struct sip_msg *m)
{
	(void)m;
	cli_gone(t);
}

static const struct ict_edge ict_edges[ICT_STATES][ICT_EVENTS] = {
    [ICT_CALLING] = {
        [ICT_RX_1XX] = {act_first_1xx, ICT_PROCEEDING, true},
        [ICT_RX_2XX] = {act_accept, ICT_ACCEPTED, true},
        [ICT_RX_FAIL] = {act_refused, ICT_COMPLETED, true},
        [ICT_RESEND] = {act_resend, ICT_CALLING, true},
        [ICT_END] = {act_fail, ICT_TERMINATED, true},    /* B */
        [ICT_BROKEN] = {act_fail, ICT_TERMINATED, true}, /* 17.1.4 */
        [ICT_CANCEL] = {act_cancel_later, ICT_CALLING, true},
    },
    [ICT_PROCEEDING] = {
        [ICT_RX_1XX] = {act_provisional, ICT_PROCEEDING, true},
        [ICT_RX_2XX] = {act_accept, ICT_ACCEPTED, true},
        [ICT_RX_FAIL] = {act_refused, ICT_COMPLETED, true},
        [ICT_END] = {act_fail, ICT_TERMINATED, true}, /* 9.1: no final after CANCEL */
        [ICT_BROKEN] = {act_fail, ICT_TERMINATED, true}, /* taken, lost, and nobody there any more (client.c) */
        [ICT_CANCEL] = {act_cancel, ICT_PROCEEDING, true},
    },
    [ICT_COMPLETED] = {
        [ICT_RX_FAIL] = {act_ack_again, ICT_COMPLETED, true},
        [ICT_END] = {act_gone, ICT_TERMINATED, true}, /* D */
    },
    [ICT_ACCEPTED] = {
        [ICT_RX_2XX] = {act_another_2xx, ICT_ACCEPTED, true},
        [ICT_END] = {act_gone, ICT_TERMINATED, true}, /* M */
    },
    [ICT_TERMINATED] = {
        [ICT_END] = {act_gone, ICT_TERMINATED, true}, /* the turn after a failure */
    },
};

static void step(struct cli *t, enum ict_event ev, const struct sip_msg *m)
{
	const struct ict_edge *e = &ict_edges[t->state][ev];

	if (!e->used) {
		txn_metric_inc(t->n.l, TXN_UNEXPECTED);
		return;
	}
	if (e->next != t->state)
		log_debug(&t->n.l->log, "ict_state", "branch=%.*s from=%s to=%s because=%s", STR(t->branch),
		    ict_state_names[t->state], ict_state_names[e->next], ict_event_names[ev]);
	t->state = (uint8_t)e->next;
	e->act(t, m); /* t may be gone */
}

static void on_resend(struct timer *tm)
{
	step(container_of(tm, struct cli, resend), ICT_RESEND, NULL);
}

static void on_end(struct timer *tm)
{
	step(container_of(tm, struct cli, end), ICT_END, NULL);
}

void ict_start(struct cli *t, int err)
{
	t->state = ICT_CALLING;
	if (err) {
		t->err = err;
		timer_start_ms(t->n.l->env->timers, &t->end, 0, on_end);
		return;
	}
	t->interval_ms = t->tm.t1;
	if (!net_reliable(t->pub.path.proto))
		timer_start_ms(t->n.l->env->timers, &t->resend, t->interval_ms, on_resend);
	if (!timer_running(&t->end)) /* it runs on when the request comes back from TCP */
		timer_start_ms(t->n.l->env->timers, &t->end, t->tm.b, on_end);
}

void ict_response(struct cli *t, const struct sip_msg *m)
{
	step(t, m->status < 200 ? ICT_RX_1XX : m->status < 300 ? ICT_RX_2XX : ICT_RX_FAIL, m);
}

void ict_broken(struct cli *t, int err)
{
	if (ict_edges[t->state][ICT_BROKEN].used)
		t->err = err;
	step(t, ICT_BROKEN, NULL);
}

void ict_cancel(struct cli *t)
{
	step(t, ICT_CANCEL, NULL);
}

bool ict_waiting(const struct cli *t)
{
	return t->state == ICT_CALLING;
}

bool ict_proceeding(const struct cli *t)
{
	return t->state == ICT_PROCEEDING;
}

bool ict_may_fail(const struct cli *t)
{
	return t->state == ICT_CALLING || t->state == ICT_PROCEEDING;
}
