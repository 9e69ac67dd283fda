/* nict.c - non-INVITE client transaction (RFC 3261 17.1.2).
 *
 *            1xx                  1xx
 *   TRYING -------> PROCEEDING ---------+
 *    |   \            |   |  ^----------+
 *    |    \ final     |   | final
 *    |     +----------+---+--> COMPLETED -- K: T4, reliable 0 --> TERMINATED -> gone
 *    +--- F: 64*T1, transport error --+-------------------------^
 *
 * Happy path: send, the final answer goes up once, its copies are absorbed until K.
 * Timer E starts at T1 and doubles up to T2; once a 1xx was seen the interval is T2 (TXN-03). Timer F runs
 * through both states: a 100 does not make a request wait longer (RFC 4320 4).
 * Failure: -ETIMEDOUT or the transport's errno through on_failed, on_gone on a later turn.
 */
#include "sbc/txn/impl.h"

#include <errno.h>

enum nict_state { NICT_TRYING, NICT_PROCEEDING, NICT_COMPLETED, NICT_TERMINATED, NICT_STATES };
/* NICT_RESEND is timer E; NICT_END is F, K, or the turn after a failure. */
enum nict_event { NICT_RX_1XX, NICT_RX_FINAL, NICT_RESEND, NICT_END, NICT_BROKEN, NICT_EVENTS };

static const char *const nict_state_names[NICT_STATES] = {"trying", "proceeding", "completed", "terminated"};
static const char *const nict_event_names[NICT_EVENTS] = {
    "rx_1xx", "rx_final", "timer_e", "timer_end", "transport_error"};

typedef void nict_act(struct cli *t, const struct sip_msg *m);
struct nict_edge {
	nict_act *act;
	enum nict_state next;
	bool used;
};

static timer_fn on_resend, on_end;

static void act_provisional(struct cli *t, const struct sip_msg *m)
{
	cli_pass(t, m);
}

static void act_final(struct cli *t, const struct sip_msg *m)
{
	struct timers *w = t->n.l->env->timers;

	timer_stop(w, &t->resend);
	timer_start_ms(w, &t->end, net_reliable(t->pub.path.proto) ? 0 : t->tm.t4, on_end);
	cli_forget(t);
	cli_pass(t, m);
}

static void act_absorb(struct cli *t, const struct sip_msg *m)
{
	(void)t;
	(void)m;
}

static void resend(struct cli *t, uint32_t next_ms)
{
	cli_send(t);
	t->interval_ms = next_ms;
	txn_resend_after(t->n.l, &t->resend, next_ms, on_resend);
}

static void act_resend_doubling(struct cli *t, const struct sip_msg *m)
{
	(void)m;
	resend(t, t->interval_ms * 2 < t->tm.t2 ? t->interval_ms * 2 : t->tm.t2);
}

static void act_resend_slow(struct cli *t, const struct sip_msg *m)
{
	(void)m;
	resend(t, t->tm.t2);
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

static void act_gone(struct cli *t, const struct sip_msg *m)
{
	(void)m;
	cli_gone(t);
}

static const struct nict_edge nict_edges[NICT_STATES][NICT_EVENTS] = {
    [NICT_TRYING] = {
        [NICT_RX_1XX] = {act_provisional, NICT_PROCEEDING, true},
        [NICT_RX_FINAL] = {act_final, NICT_COMPLETED, true},
        [NICT_RESEND] = {act_resend_doubling, NICT_TRYING, true},
        [NICT_END] = {act_fail, NICT_TERMINATED, true}, /* F */
        [NICT_BROKEN] = {act_fail, NICT_TERMINATED, true},
    },
    [NICT_PROCEEDING] = {
        [NICT_RX_1XX] = {act_provisional, NICT_PROCEEDING, true},
        [NICT_RX_FINAL] = {act_final, NICT_COMPLETED, true},
        [NICT_RESEND] = {act_resend_slow, NICT_PROCEEDING, true},
        [NICT_END] = {act_fail, NICT_TERMINATED, true}, /* F */
        [NICT_BROKEN] = {act_fail, NICT_TERMINATED, true},
    },
    [NICT_COMPLETED] = {
        [NICT_RX_1XX] = {act_absorb, NICT_COMPLETED, true},
        [NICT_RX_FINAL] = {act_absorb, NICT_COMPLETED, true},
        [NICT_END] = {act_gone, NICT_TERMINATED, true}, /* K */
    },
    [NICT_TERMINATED] = {
        [NICT_END] = {act_gone, NICT_TERMINATED, true}, /* the turn after a failure */
    },
};

static void step(struct cli *t, enum nict_event ev, const struct sip_msg *m)
{
	const struct nict_edge *e = &nict_edges[t->state][ev];

	if (!e->used) {
		txn_metric_inc(t->n.l, TXN_UNEXPECTED);
		return;
	}
	if (e->next != t->state)
		log_debug(&t->n.l->log, "nict_state", "branch=%.*s from=%s to=%s because=%s", STR(t->branch),
		    nict_state_names[t->state], nict_state_names[e->next], nict_event_names[ev]);
	t->state = (uint8_t)e->next;
	e->act(t, m); /* t may be gone */
}

static void on_resend(struct timer *tm)
{
	step(container_of(tm, struct cli, resend), NICT_RESEND, NULL);
}

static void on_end(struct timer *tm)
{
	step(container_of(tm, struct cli, end), NICT_END, NULL);
}

void nict_start(struct cli *t, int err)
{
	struct timers *w = t->n.l->env->timers;

	t->state = NICT_TRYING;
	if (err) {
		t->err = err;
		timer_start_ms(w, &t->end, 0, on_end);
		return;
	}
	t->interval_ms = t->tm.t1 < t->tm.t2 ? t->tm.t1 : t->tm.t2;
	if (!net_reliable(t->pub.path.proto))
		timer_start_ms(w, &t->resend, t->interval_ms, on_resend);
	if (!timer_running(&t->end)) /* it runs on when the request comes back from TCP */
		timer_start_ms(w, &t->end, t->tm.f, on_end);
}

void nict_response(struct cli *t, const struct sip_msg *m)
{
	step(t, m->status < 200 ? NICT_RX_1XX : NICT_RX_FINAL, m);
}

void nict_broken(struct cli *t, int err)
{
	if (nict_edges[t->state][NICT_BROKEN].used)
		t->err = err;
	step(t, NICT_BROKEN, NULL);
}

bool nict_waiting(const struct cli *t)
{
	return t->state == NICT_TRYING;
}

bool nict_may_fail(const struct cli *t)
{
	return t->state == NICT_TRYING || t->state == NICT_PROCEEDING;
}
