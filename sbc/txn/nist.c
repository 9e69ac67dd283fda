/* nist.c - non-INVITE server transaction (RFC 3261 17.2.2, RFC 4320 4).
 *
 *            100                 final
 *   TRYING -------> PROCEEDING --------> COMPLETED -- J: 64*T1, reliable 0 --> TERMINATED
 *    |  |  final                             ^                                     ^
 *    |  +------------------------------------+                                     |
 *    +---- 64*T1 without final: the client has given up, -ETIMEDOUT ---------------+
 *
 * Happy path: the user answers at once, copies of the request get the same answer until J.
 * Slow user: over UDP a 100 goes out after 3.5 s, when the client's timer E would reach T2, and none earlier
 * (TXN-16). After 64*T1 nobody waits for the answer any more: the transaction ends with -ETIMEDOUT and nothing is
 * sent, no 408 and no late final (TXN-17). A 408 of the user is swallowed for the same reason: the machine then
 * absorbs copies in silence.
 */
#include "sbc/txn/impl.h"

#include <errno.h>

enum nist_state { NIST_TRYING, NIST_PROCEEDING, NIST_COMPLETED, NIST_TERMINATED, NIST_STATES };
/* NIST_RESEND is the 3.5 s of the 100; NIST_END is the limit of 64*T1, or J. */
enum nist_event { NIST_RX_REQUEST, NIST_TX_100, NIST_TX_FINAL, NIST_RESEND, NIST_END, NIST_EVENTS };

#define TXN_100_OTHER_MS 3500 /* T1 + 2*T1 + 4*T1: the next interval of timer E would be T2 */

static const char *const nist_state_names[NIST_STATES] = {"trying", "proceeding", "completed", "terminated"};
static const char *const nist_event_names[NIST_EVENTS] = {
    "rx_request", "tx_100", "tx_final", "timer_100", "timer_end"};

typedef void nist_act(struct srv *t);
struct nist_edge {
	nist_act *act;
	enum nist_state next;
	bool used;
};

static timer_fn on_resend, on_end;

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
	(void)srv_answer(t, &(struct txn_reply){.status = 100});
}

static void act_provisional(struct srv *t)
{
	timer_stop(t->n.l->env->timers, &t->resend);
}

static void act_complete(struct srv *t)
{
	timer_stop(t->n.l->env->timers, &t->resend);
	timer_start_ms(t->n.l->env->timers, &t->end,
	    net_reliable(t->pub.path.proto) ? 0 : TXN_64 * TXN_T1_MS, on_end);
}

static void act_too_late(struct srv *t)
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

static const struct nist_edge nist_edges[NIST_STATES][NIST_EVENTS] = {
    [NIST_TRYING] = {
        [NIST_RX_REQUEST] = {act_absorb, NIST_TRYING, true},
        [NIST_TX_100] = {act_provisional, NIST_PROCEEDING, true},
        [NIST_TX_FINAL] = {act_complete, NIST_COMPLETED, true},
        [NIST_RESEND] = {act_trying, NIST_PROCEEDING, true}, /* 3.5 s */
        [NIST_END] = {act_too_late, NIST_TERMINATED, true},  /* RFC 4320 4.2 */
    },
    [NIST_PROCEEDING] = {
        [NIST_RX_REQUEST] = {act_repeat, NIST_PROCEEDING, true},
        [NIST_TX_100] = {act_provisional, NIST_PROCEEDING, true},
        [NIST_TX_FINAL] = {act_complete, NIST_COMPLETED, true},
        [NIST_END] = {act_too_late, NIST_TERMINATED, true},
    },
    [NIST_COMPLETED] = {
        [NIST_RX_REQUEST] = {act_repeat, NIST_COMPLETED, true},
        [NIST_END] = {act_end, NIST_TERMINATED, true}, /* J */
    },
};

static void step(struct srv *t, enum nist_event ev)
{
	const struct nist_edge *e = &nist_edges[t->state][ev];

	if (!e->used) {
		txn_metric_inc(t->n.l, TXN_UNEXPECTED);
		return;
	}
	if (e->next != t->state)
		log_debug(&t->n.l->log, "nist_state", "txn=%llu from=%s to=%s because=%s",
		    (unsigned long long)t->n.id, nist_state_names[t->state], nist_state_names[e->next],
		    nist_event_names[ev]);
	t->state = (uint8_t)e->next;
	e->act(t); /* t may be gone */
}

static void on_resend(struct timer *tm)
{
	step(container_of(tm, struct srv, resend), NIST_RESEND);
}

static void on_end(struct timer *tm)
{
	step(container_of(tm, struct srv, end), NIST_END);
}

void nist_start(struct srv *t)
{
	t->state = NIST_TRYING;
	if (!net_reliable(t->pub.path.proto))
		timer_start_ms(t->n.l->env->timers, &t->resend, TXN_100_OTHER_MS, on_resend);
	timer_start_ms(t->n.l->env->timers, &t->end, TXN_64 * TXN_T1_MS, on_end);
}

void nist_request(struct srv *t)
{
	step(t, NIST_RX_REQUEST);
}

bool nist_may_answer(const struct srv *t, unsigned status)
{
	if (status > 100 && status < 200) /* RFC 4320 4.1 */
		return false;
	return nist_edges[t->state][status < 200 ? NIST_TX_100 : NIST_TX_FINAL].used;
}

void nist_answered(struct srv *t, unsigned status)
{
	step(t, status < 200 ? NIST_TX_100 : NIST_TX_FINAL);
}
