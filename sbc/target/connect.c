/* connect.c - which of two addresses of one server gets a request (RFC 8305 5, RFC 7984 3.2), and flows that come and go.
 *
 *   streams: net_prepare() races two connections -> targets_on_flow_up(): that one
 *   UDP:     OPTIONS to both -> the first answer: that address; the other family's must not be earlier by less than
 *            PREFER_MS; none within TARGET_ASK_MS: the first address, not proven
 *
 * A dial is one who waits for that. Nothing of a call is sent before it is over, so that no request is ever on its way
 * to two addresses (HE-03). What loses the race of connections was not there in time, which is written down; OPTIONS
 * write their own result down (probe.c) and go on when the dial is over.
 *
 * A connection to a trunk that is lost without order is a reason to look at that address now instead of at the next
 * turn of its probe; pings that are not answered any more count as a failure.
 */
#include "sbc/target/internal.h"

#include <errno.h>
#include <stdlib.h>

#define PREFER_MS 30     /* RFC 8305 3: how long the preferred family may be later than the other */
#define DIAL_MAX_MS 60000 /* net tells the end of every connection; should it have had no memory to */

struct dial {
	struct list node; /* targets.dials */
	struct targets *ts;
	uint32_t trunk_id;
	struct net_path path, alt; /* path: with the handle, for a stream */
	bool heard_alt, dead[2];   /* UDP: path, alt */
	struct timer timer;
	target_connect_fn *fn;
	void *arg;
};

static void dial_free(struct dial *d)
{
	timer_stop(d->ts->env->timers, &d->timer);
	list_del(&d->node);
	if (d->path.proto == NET_UDP)
		targets_forget(d->ts, d); /* its probes; no dial has itself as arg */
	free(d);
}

/* The last thing done with d. */
static void dial_end(struct dial *d, const struct net_path *path, bool proven, int err)
{
	struct net_path p = *path;
	target_connect_fn *fn = d->fn;
	void *arg = d->arg;

	dial_free(d);
	fn(arg, &p, proven, err);
}

void dials_forget(struct targets *ts, const void *arg)
{
	list_each(n, &ts->dials) {
		struct dial *d = container_of(n, struct dial, node);

		if (d->arg == arg)
			dial_free(d);
	}
}

void dials_free(struct targets *ts)
{
	list_each(n, &ts->dials) {
		struct dial *d = container_of(n, struct dial, node);

		dial_end(d, &d->path, false, -ECANCELED);
	}
}

/* ------------------------------------------------------------------ UDP */

/* Enough was waited for an answer. */
static void on_time(struct timer *t)
{
	struct dial *d = container_of(t, struct dial, timer);

	if (net_reliable((enum net_proto)d->path.proto))
		dial_end(d, &d->path, false, -ETIMEDOUT);
	else
		dial_end(d, d->heard_alt ? &d->alt : &d->path, d->heard_alt, 0);
}

static void on_heard(void *arg, const struct net_path *path, uint16_t status, int err, uint32_t rtt_us)
{
	struct dial *d = arg;
	bool first = addr_eq(&path->remote, &d->path.remote);

	(void)err;
	(void)rtt_us;
	if (status && status != 503 && status != 408) {
		if (first || d->dead[0]) {
			dial_end(d, first ? &d->path : &d->alt, true, 0);
			return;
		}
		d->heard_alt = true;
		if (d->timer.due_us - d->ts->env->clock->mono_us > PREFER_MS * 1000)
			timer_start_ms(d->ts->env->timers, &d->timer, PREFER_MS, on_time);
		return;
	}
	d->dead[first ? 0 : 1] = true;
	if (first && d->heard_alt)
		dial_end(d, &d->alt, true, 0);
	else if (d->dead[0] && d->dead[1])
		dial_end(d, &d->path, false, 0); /* whatever they think of OPTIONS */
}

static int ask_both(struct dial *d, const struct pol_trunk *t)
{
	int first = targets_probe(d->ts, t, &d->path, on_heard, d), second = targets_probe(d->ts, t, &d->alt, on_heard, d);

	d->dead[0] = first < 0;
	d->dead[1] = second < 0;
	return first < 0 && second < 0 ? first : 0;
}

/* ------------------------------------------------------------------ both */

int targets_connect(struct targets *ts, const struct pol_trunk *t, struct net_path *path, const struct addr *alt,
    target_connect_fn *fn, void *arg)
{
	bool stream = net_reliable((enum net_proto)path->proto);
	struct dial *d;
	int e;

	if (addr_none(alt))
		return 1;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	*d = (struct dial){.ts = ts, .trunk_id = t->id, .path = *path, .alt = *path, .fn = fn, .arg = arg};
	d->alt.remote = *alt;
	list_push(&ts->dials, &d->node);
	if (stream) {
		e = net_prepare(ts->net, &d->path, alt);
		*path = d->path;
	} else {
		e = ask_both(d, t);
	}
	if (e) {
		dial_free(d);
		return e;
	}
	timer_start_ms(ts->env->timers, &d->timer, stream ? DIAL_MAX_MS : TARGET_ASK_MS, on_time);
	return 0;
}

/* ------------------------------------------------------------------ flows */

/* A dial that waits for that connection; NULL: none (any more). */
static struct dial *dial_of(struct targets *ts, const struct net_path *flow)
{
	list_each(n, &ts->dials) {
		struct dial *d = container_of(n, struct dial, node);

		if (flow->conn && d->path.conn == flow->conn)
			return d;
	}
	return NULL;
}

/* Of two addresses that were raced the other one was up first. */
static void lost_the_race(struct targets *ts, uint32_t trunk_id, const struct net_path *path)
{
	targets_report(ts, trunk_id, path, TARGET_UNREACHED, REASON_TRANSPORT, 0);
}

void targets_on_flow_up(struct targets *ts, const struct net_path *flow)
{
	struct dial *d;

	while ((d = dial_of(ts, flow))) {
		struct net_path path = d->path;

		path.remote = flow->remote;
		if (!addr_eq(&d->path.remote, &flow->remote))
			lost_the_race(ts, d->trunk_id, &d->path);
		dial_end(d, &path, true, 0);
	}
}

static struct trunk_state *trunk_of(const struct targets *ts, const struct net_path *flow)
{
	struct hnode *n = flow->peer ? htab_first(&ts->peers, flow->peer) : NULL;

	return n ? container_of(n, struct tgt, by_peer)->t : NULL;
}

uint32_t targets_trunk_of(const struct targets *ts, const struct net_path *flow)
{
	const struct trunk_state *t = trunk_of(ts, flow);

	return t ? t->id : 0;
}

static void look_at(struct targets *ts, const struct net_path *flow, int err)
{
	struct trunk_state *t = trunk_of(ts, flow);
	struct health *h = t ? health_find(t, &flow->remote, flow->proto) : NULL;
	struct target_cfg cfg;
	int64_t now = ts->env->clock->mono_us;

	if (!h || err == 0)
		return;
	if (err == -NET_ERR_KEEPALIVE) {
		health_bad(h, REASON_KEEPALIVE_LOST, 0, 0);
		return;
	}
	/* once in a period, for who resets each connection when it is done with it */
	cfg = target_cfg_of(t->pol);
	if (!cfg.probe_s || !h->planned || (h->lost_us && now - h->lost_us < (int64_t)cfg.probe_s * 1000000))
		return;
	h->lost_us = now;
	if (h->state != TARGET_DOWN)
		probe_now(h);
}

void targets_on_flow_lost(struct targets *ts, const struct net_path *flow, int err)
{
	struct dial *d;

	while ((d = dial_of(ts, flow)))
		dial_end(d, &d->path, false, err ? err : -ECONNRESET);
	look_at(ts, flow, err);
}
