/* probe.c - OPTIONS to the addresses of trunks: is anybody there (DNS-08, DNS-09)?
 *
 * Each address has a timer of its trunk's interval, 10 % early or late so that they spread; one probe at a time is in
 * flight per address. All probes of the box share one bound (PROBE_GAP_US): what comes due at once queues, each with
 * a turn of its own. The first comes within ten seconds of an address appearing; while an address fails and is not
 * down yet, soon again; one that is down, once per period; one that asked to be left alone, not before its time. With
 * probing off only a family that was never heard beside another is asked, until it answered or failed.
 *
 * Happy path: timer, a turn, OPTIONS, 200 -> health_good. Silence is PROBE_WAIT_MS without a final answer.
 */
#include "sbc/target/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/sip/print.h"

struct probe {
	struct list node; /* targets.probes */
	struct targets *ts;
	uint32_t trunk_id;
	struct net_path path;
	struct txn_cli *cli; /* borrow */
	int64_t start_us;
	target_probe_fn *fn; /* NULL: one of ours */
	void *arg;
};

static void on_timer(struct timer *t);

static void probe_free(struct probe *p)
{
	struct trunk_state *t = trunk_state_of(p->ts, p->trunk_id);
	struct health *h = t ? health_find(t, &p->path.remote, p->path.proto) : NULL;

	if (p->cli)
		txn_cli_detach(p->cli);
	if (h && h->probe == p)
		h->probe = NULL;
	list_del(&p->node);
	free(p);
}

/* status 0: err says why. The last thing done with p. */
static void probe_end(struct probe *p, uint16_t status, int err, uint32_t retry_after_s)
{
	struct targets *ts = p->ts;
	struct trunk_state *t = trunk_state_of(ts, p->trunk_id);
	struct health *h = t ? health_find(t, &p->path.remote, p->path.proto) : NULL;
	uint32_t rtt_us = (uint32_t)(ts->env->clock->mono_us - p->start_us);
	target_probe_fn *fn = p->fn;
	void *arg = p->arg;
	struct net_path path = p->path;

	probe_free(p);
	if (h && status && status != 503 && status != 408) {
		health_good(h, status, rtt_us ? rtt_us : 1, false);
	} else if (h && err != -ECANCELED) {
		ts->metrics[TARGET_M_PROBES_FAILED]++;
		health_bad(h,
		    status == 503                 ? REASON_PEER_ERROR
		    : status || err == -ETIMEDOUT ? REASON_PEER_SILENT
		                                  : net_error_reason(err),
		    status, retry_after_s);
	}
	if (h && h->planned && !timer_running(&h->timer))
		probe_schedule(h);
	if (fn)
		fn(arg, &path, status, status ? 0 : err, rtt_us);
}

/* Of two addresses that were raced the other was up first: it answers, and this one was not there in time. */
static void take_winner(struct probe *p, const struct addr *a)
{
	struct trunk_state *t = trunk_state_of(p->ts, p->trunk_id);
	struct health *h = t ? health_find(t, &p->path.remote, p->path.proto) : NULL;

	if (addr_eq(&p->path.remote, a))
		return;
	if (h && h->probe == p)
		h->probe = NULL;
	if (h)
		health_bad(h, REASON_TRANSPORT, 0, 0);
	p->path.remote = *a;
}

static void on_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct probe *p = owner;
	uint32_t wait_s = 0;

	p->path.conn = t->path.conn;
	if (net_reliable((enum net_proto)p->path.proto))
		take_winner(p, &t->path.remote);
	targets_learn(p->ts, p->trunk_id, &t->path, m);
	if (m->status < 200)
		return;
	if (m->status == 503 && sip_retry_after(m, &wait_s) < 0)
		wait_s = 0;
	probe_end(p, m->status, 0, wait_s);
}

static void on_failed(void *owner, struct txn_cli *t, int err)
{
	(void)t;
	probe_end(owner, 0, err, 0);
}

static void on_gone(void *owner, struct txn_cli *t)
{
	struct probe *p = owner;

	(void)t;
	p->cli = NULL;
	probe_end(p, 0, -ECANCELED, 0);
}

static const struct txn_cli_ops probe_ops = {on_response, on_failed, on_gone};

static void put_line_uri(struct buf *h, enum sip_scheme scheme, struct str host, uint16_t port, struct str transport)
{
	buf_chr(h, '<');
	sip_put_uri_number(h, scheme, STR_NONE, host, port, transport, false);
	buf_chr(h, '>');
}

static struct txn_cli *send_options(struct probe *p, const struct pol_trunk *t, struct str host)
{
	struct targets *ts = p->ts;
	const struct net_local *us = targets_local(ts, t->id, &p->path);
	const struct txn_timers timers = {
	    .t1_ms = t->sip.t1_ms, .t2_ms = t->sip.t2_ms, .t4_ms = t->sip.t4_ms, .f_ms = PROBE_WAIT_MS};
	enum sip_scheme scheme = target_cfg_of(t).sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP;
	struct str transport = p->path.proto == NET_TCP ? S("tcp") : STR_NONE;
	char text[2048], ruri[512];
	struct buf h, u;

	if (!us)
		return NULL;
	buf_init(&u, ruri, sizeof(ruri));
	sip_put_uri_number(&u, scheme, STR_NONE, host, 0, STR_NONE, false);
	buf_init(&h, text, sizeof(text));
	buf_lit(&h, "Max-Forwards: 70\r\nFrom: ");
	put_line_uri(&h, scheme, t->domain.n ? t->domain : us->host, 0, STR_NONE);
	buf_lit(&h, ";tag=");
	rng_put_token(ts->env->rng, &h, 12);
	buf_lit(&h, "\r\nTo: ");
	put_line_uri(&h, scheme, host, 0, STR_NONE);
	buf_lit(&h, "\r\nCall-ID: ");
	rng_put_token(ts->env->rng, &h, 26);
	buf_lit(&h, "\r\nCSeq: 1 OPTIONS\r\nContact: ");
	put_line_uri(&h, scheme, us->host, us->port, transport);
	buf_lit(&h, "\r\nAccept: application/sdp\r\n");
	if (buf_err(&h) || buf_err(&u))
		return NULL;
	return txn_request(ts->txn,
	    &(struct txn_req){.method = SIP_OPTIONS,
	        .ruri = buf_text(&u),
	        .path = p->path,
	        .headers = buf_text(&h),
	        .timers = &timers,
	        .udp_only = true,
	        .local = us},
	    &probe_ops, p);
}

static int probe_start(struct targets *ts, const struct pol_trunk *t, const struct net_path *path, struct str host,
    target_probe_fn *fn, void *arg, struct probe **ret)
{
	char text[ADDR_TEXT_MAX];
	struct probe *p = calloc(1, sizeof(*p));
	struct buf b;

	if (!p)
		return -ENOMEM;
	*p = (struct probe){.ts = ts,
	    .trunk_id = t->id,
	    .path = *path,
	    .start_us = ts->env->clock->mono_us,
	    .fn = fn,
	    .arg = arg};
	if (t->domain.n) {
		host = t->domain;
	} else if (host.n == 0 || str_chr(host, ':') >= 0) { /* IPv6 as configured has no brackets */
		buf_init(&b, text, sizeof(text));
		addr_put_host(&b, &path->remote);
		host = buf_text(&b);
	}
	list_push(&ts->probes, &p->node);
	if (!targets_local(ts, t->id, &p->path)) {
		list_del(&p->node);
		free(p);
		return -ENETUNREACH;
	}
	p->cli = send_options(p, t, host);
	if (!p->cli) {
		list_del(&p->node);
		free(p);
		return -ENOMEM;
	}
	ts->metrics[TARGET_M_PROBES]++;
	*ret = p;
	return 0;
}

int targets_probe(struct targets *ts, const struct pol_trunk *t, const struct net_path *path, target_probe_fn *fn, void *arg)
{
	struct net_path fresh = *path;
	struct probe *p;
	struct str host = STR_NONE;
	struct trunk_state *s = trunk_state_of(ts, t->id);
	struct health *h = s ? health_find(s, &path->remote, path->proto) : NULL;

	if (h && h->target < s->n)
		host = str_z(s->tgt[h->target]->host);
	fresh.conn = 0;
	return probe_start(ts, t, &fresh, host, fn, arg, &p);
}

void targets_forget(struct targets *ts, const void *arg)
{
	dials_forget(ts, arg);
	list_each(n, &ts->probes) {
		struct probe *p = container_of(n, struct probe, node);

		if (p->fn && p->arg == arg)
			p->fn = NULL;
	}
}

/* ------------------------------------------------------------------ when */

void probe_stop(struct health *h)
{
	timer_stop(h->t->ts->env->timers, &h->timer);
	h->slot = false;
	if (h->probe)
		probe_free(h->probe);
}

/* The timer fires when the shared bound has a turn for it, not before at_us. */
static void wait_for(struct health *h, int64_t delay_us, bool slot)
{
	h->slot = slot;
	timer_start_us(h->t->ts->env->timers, &h->timer, delay_us, on_timer);
}

static void take_turn(struct health *h)
{
	struct targets *ts = h->t->ts;
	int64_t now = ts->env->clock->mono_us, turn = ts->next_slot_us > now ? ts->next_slot_us : now;

	ts->next_slot_us = turn + PROBE_GAP_US;
	wait_for(h, turn - now, true);
}

void probe_now(struct health *h)
{
	if (h->probe || h->slot)
		return;
	take_turn(h);
}

void probe_schedule(struct health *h)
{
	struct targets *ts = h->t->ts;
	struct target_cfg cfg = target_cfg_of(h->t->pol);
	int64_t now = ts->env->clock->mono_us, wait = (int64_t)cfg.probe_s * 1000000;

	if (h->slot || h->probe)
		return; /* under way: its end comes back here */
	if (!cfg.probe_s || !h->planned) {
		timer_stop(ts->env->timers, &h->timer);
		return;
	}
	if (h->state == TARGET_DOWN && h->asked && now < h->down_until_us)
		wait = h->down_until_us - now;
	else if (h->state != TARGET_DOWN && h->fails)
		wait = wait < PROBE_SUSPECT_MS * 1000 ? wait : PROBE_SUSPECT_MS * 1000;
	else if (h->state == TARGET_UNKNOWN)
		wait = rng_below(ts->env->rng, (uint32_t)(wait < 10000000 ? wait : 10000000));
	else
		wait += (int64_t)rng_below(ts->env->rng, (uint32_t)(wait / 5)) - wait / 10; /* +-10 % */
	if (h->state == TARGET_DOWN && !h->asked && h->down_until_us > now && h->down_until_us - now < wait)
		wait = h->down_until_us - now;
	wait_for(h, wait, false);
}

static void on_timer(struct timer *tm)
{
	struct health *h = container_of(tm, struct health, timer);
	struct trunk_state *t = h->t;
	struct net_path path = {.proto = h->proto, .realm = t->pol->realm, .remote = h->addr};
	bool turn = h->slot;

	if (!turn) {
		take_turn(h);
		return;
	}
	h->slot = false;
	if (!h->planned || h->probe || h->target >= t->n)
		return;
	path.peer = t->tgt[h->target]->peer;
	if ((t->ts->user && !t->ts->user->may_probe(t->ts->user_ctx, t->id, &path)) ||
	    probe_start(t->ts, t->pol, &path, str_z(t->tgt[h->target]->host), NULL, NULL, &h->probe) < 0)
		probe_schedule(h); /* not to be asked, or no memory now: at the next time */
}

void probes_free(struct targets *ts)
{
	list_each(n, &ts->probes) {
		struct probe *p = container_of(n, struct probe, node);
		target_probe_fn *fn = p->fn;
		void *arg = p->arg;
		struct net_path path = p->path;

		probe_free(p);
		if (fn)
			fn(arg, &path, 0, -ECANCELED, 0);
	}
}
