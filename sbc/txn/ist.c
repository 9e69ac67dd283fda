/* ist.c - INVITE server transaction (RFC 3261 17.2.1, RFC 6026 7.1 and 8.3).
 *
 *                 2xx
 *   PROCEEDING --------> ACCEPTED ---------------- L: 64*T1 ---------------> TERMINATED
 *       |                  (copies of INVITE absorbed; the 2xx is the core's)     ^
 *       | 3xx-6xx             ACK                                                 |
 *       +--------> COMPLETED ------> CONFIRMED --- I: T4, reliable 0 -------------+
 *                     |                                                           |
 *                     +----------- H: 64*T1 without ACK: -ETIMEDOUT --------------+
 *
 * Happy path: the user answers; when it has not within 200 ms, a 100 goes out from here (UAS-03). A non-2xx final
 * is sent again by timer G (UDP only) until its ACK comes; that is when the user gets on_end(0), and the machine
 * absorbs late ACKs on its own.
 * A transport error while answering ends nothing (RFC 6026 7.1, TXN-09): the INVITE comes again, perhaps on
 * another connection, and gets the last answer.
 */
#include "sbc/txn/impl.h"

#include <errno.h>

enum ist_state { IST_PROCEEDING, IST_ACCEPTED, IST_COMPLETED, IST_CONFIRMED, IST_TERMINATED, IST_STATES };
/* IST_RESEND is the 200 ms of the 100, or G; IST_END is L, H or I. */
enum ist_event {
	IST_RX_INVITE,
	IST_RX_ACK,
	IST_TX_1XX,
	IST_TX_2XX,
	IST_TX_FAIL,
	IST_RESEND,
	IST_END,
	IST_EVENTS
};

static const char *const ist_state_names[IST_STATES] = {
    "proceeding", "accepted", "completed", "confirmed", "terminated"};
static const char *const ist_event_names[IST_EVENTS] = {
    "rx_invite", "rx_ack", "tx_1xx", "tx_2xx", "tx_failure", "timer_resend", "timer_end"};

#define TXN_100_INVITE_MS 200

typedef void ist_act(struct srv *t);
struct ist_edge {
	ist_act *act;
	enum ist_state next;
	bool used;
};

static timer_fn on_resend, on_end;

static void start_end(struct srv *t, int64_t ms)
{
	timer_start_ms(t->n.l->env->timers, &t->end, ms, on_end);
}

static void act_repeat(struct srv *t)
{
	if (t->sent.p)
		srv_send(t);
}

static void act_absorb(struct srv *t)
{
	(void)t;
}

static void act_trying(struct srv *t)
{
	/* a 100 that cannot be built for want of memory is made up for by the caller's next copy */
	(void)srv_answer(t, &(struct txn_reply){.status = 100});
}

static void act_provisional(struct srv *t)
{
	timer_stop(t->n.l->env->timers, &t->resend);
}

static void act_accept(struct srv *t)
{
	timer_stop(t->n.l->env->timers, &t->resend);
	start_end(t, TXN_64 * TXN_T1_MS);
}

static void act_complete(struct srv *t)
{
	struct timers *w = t->n.l->env->timers;

	timer_stop(w, &t->resend);
	t->interval_ms = TXN_T1_MS;
	if (!net_reliable(t->pub.path.proto))
		timer_start_ms(w, &t->resend, t->interval_ms, on_resend);
	start_end(t, TXN_64 * TXN_T1_MS);
}

static void act_resend(struct srv *t)
{
	srv_send(t);
	t->interval_ms = t->interval_ms * 2 < TXN_T2_MS ? t->interval_ms * 2 : TXN_T2_MS;
	txn_resend_after(t->n.l, &t->resend, t->interval_ms, on_resend);
}

static void act_confirm(struct srv *t)
{
	timer_stop(t->n.l->env->timers, &t->resend);
	srv_forget(t);
	start_end(t, net_reliable(t->pub.path.proto) ? 0 : TXN_T4_MS);
	srv_report(t, 0);
}

static void act_no_ack(struct srv *t)
{
	txn_metric_inc(t->n.l, TXN_TIMEOUT);
	srv_report(t, -ETIMEDOUT);
	srv_gone(t);
}

static void act_end(struct srv *t)
{
	srv_report(t, 0);
	srv_gone(t);
}

static const struct ist_edge ist_edges[IST_STATES][IST_EVENTS] = {
    [IST_PROCEEDING] = {
        [IST_RX_INVITE] = {act_repeat, IST_PROCEEDING, true},
        [IST_TX_1XX] = {act_provisional, IST_PROCEEDING, true},
        [IST_TX_2XX] = {act_accept, IST_ACCEPTED, true},
        [IST_TX_FAIL] = {act_complete, IST_COMPLETED, true},
        [IST_RESEND] = {act_trying, IST_PROCEEDING, true}, /* 200 ms */
    },
    [IST_ACCEPTED] = {
        [IST_RX_INVITE] = {act_absorb, IST_ACCEPTED, true},
        [IST_RX_ACK] = {act_absorb, IST_ACCEPTED, true}, /* the layer hands it up */
        [IST_END] = {act_end, IST_TERMINATED, true},     /* L */
    },
    [IST_COMPLETED] = {
        [IST_RX_INVITE] = {act_repeat, IST_COMPLETED, true},
        [IST_RX_ACK] = {act_confirm, IST_CONFIRMED, true},
        [IST_RESEND] = {act_resend, IST_COMPLETED, true}, /* G */
        [IST_END] = {act_no_ack, IST_TERMINATED, true},   /* H */
    },
    [IST_CONFIRMED] = {
        [IST_RX_INVITE] = {act_absorb, IST_CONFIRMED, true},
        [IST_RX_ACK] = {act_absorb, IST_CONFIRMED, true},
        [IST_END] = {act_end, IST_TERMINATED, true}, /* I */
    },
};

static void step(struct srv *t, enum ist_event ev)
{
	const struct ist_edge *e = &ist_edges[t->state][ev];

	if (!e->used) {
		txn_metric_inc(t->n.l, TXN_UNEXPECTED);
		return;
	}
	if (e->next != t->state)
		log_debug(&t->n.l->log, "ist_state", "txn=%llu from=%s to=%s because=%s",
		    (unsigned long long)t->n.id, ist_state_names[t->state], ist_state_names[e->next],
		    ist_event_names[ev]);
	t->state = (uint8_t)e->next;
	e->act(t); /* t may be gone */
}

static void on_resend(struct timer *tm)
{
	step(container_of(tm, struct srv, resend), IST_RESEND);
}

static void on_end(struct timer *tm)
{
	step(container_of(tm, struct srv, end), IST_END);
}

void ist_start(struct srv *t)
{
	t->state = IST_PROCEEDING;
	timer_start_ms(t->n.l->env->timers, &t->resend, TXN_100_INVITE_MS, on_resend);
}

void ist_request(struct srv *t)
{
	step(t, IST_RX_INVITE);
}

bool ist_ack(struct srv *t)
{
	bool up = t->state == IST_ACCEPTED;

	step(t, IST_RX_ACK);
	return up;
}

static enum ist_event event_of(unsigned status)
{
	return status < 200 ? IST_TX_1XX : status < 300 ? IST_TX_2XX : IST_TX_FAIL;
}

bool ist_may_answer(const struct srv *t, unsigned status)
{
	return ist_edges[t->state][event_of(status)].used;
}

void ist_answered(struct srv *t, unsigned status)
{
	step(t, event_of(status));
}
