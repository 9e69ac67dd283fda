/* dtls_link.c - links of DTLS: datagrams between sockets and handshakes, retransmission, ends (dtls_link.h).
 *
 *     link --- part (RTP), part (RTCP, unless it shares the port) --- struct dtls, while a handshake may still need it
 *
 * Happy path. The one who is active sends its hello as soon as the link is listened to and the far end's address is known; the
 * other waits. A datagram from where the far end may be goes into the part's queue and a step is made of the queue, on a worker;
 * when it is done, what it wrote is sent, and the timer for the next repetition is set. Keys come out once; then the session
 * makes its programs again. The handshake is kept LINGER_US for a far end whose last flight was lost, then freed.
 *
 * While a step is made the part's struct dtls is the worker's. A link that is given back meanwhile frees itself after the step.
 *
 * What goes wrong: a far end that shows another certificate, that cannot agree, or that is silent for END_US after the offer
 * and answer are through (a phone may wait for its call to be answered). Then there are no
 * keys and no media; a change of address alone (the far end may well go on as it was) leaves the keys before. RTCP that has no
 * handshake is no reason to end a call, its reports stay away.
 *
 * Bounds: one handshake a part and one batch of datagrams before it, MOVES_MAX changes of the source before it is proved.
 */
#include "media/dtls_link.h"

#include <stdlib.h>

#include "sbc/loop/workers.h"

#define MOVES_MAX 8
#define END_US 30000000
#define LINGER_US 12000000 /* a far end repeats its last flight after 1, 2 and 4 s */
#define CERT_US ((int64_t)86400 * 1000000) /* a certificate is told for so long */

enum { DTLS_M_UP, DTLS_M_FAILED, DTLS_M_FINGERPRINT, DTLS_M_TIMEOUT, DTLS_M_OPEN, DTLS_METRICS };

static const char *const metric_names[DTLS_METRICS] = {
	[DTLS_M_UP] = "up",
	[DTLS_M_FAILED] = "failed",
	[DTLS_M_FINGERPRINT] = "fingerprint",
	[DTLS_M_TIMEOUT] = "timeout",
	[DTLS_M_OPEN] = "open",
};

struct dtls_room {
	const struct env *env;
	struct workers *workers; /* borrow; may be NULL */
	bool runs;
	struct dtls_cert *cert;  /* ref; NULL: none was asked for */
	int64_t cert_until_us;
	struct metric_set metrics;
	uint64_t values[DTLS_METRICS];
};

struct part {
	struct dtls_link *link;
	struct dtls *hs; /* own; the worker's while busy. NULL: not begun, or over */
	struct dtls_batch *queue; /* own, with hs: what comes while a step is made */
	unsigned moves;
	struct work work;
	struct timer again; /* the next step without input */
	struct timer end;   /* giving up; later: letting go of hs */
	struct addr peer;   /* whom hs talks with */
	int64_t begun_us;
	enum dtls_state state;
	enum reason why;
	bool busy;
	bool wanted; /* a step, though nothing came */
	struct crypt_key theirs, ours;
};

struct dtls_link {
	struct dtls_room *room; /* borrow; NULL once given back */
	struct dtls_terms terms;
	struct log log;
	const char *side; /* for the log: "a", "b" */
	unsigned refs;
	bool old_keys;  /* before are valid */
	bool old_stay;  /* also when this one fails */
	struct {
		struct crypt_key theirs, ours;
	} before[2];
	struct part part[2];
	dtls_changed_fn *changed;
	void *ctx;
};

/* --- the room --- */

struct dtls_room *dtls_room_new(const struct env *env, struct workers *workers, bool runs)
{
	struct dtls_room *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->env = env;
	r->workers = workers;
	r->runs = runs;
	r->metrics = (struct metric_set){.area = "dtls", .names = metric_names, .values = r->values, .n = DTLS_METRICS};
	if (env->metrics)
		metrics_add(env->metrics, &r->metrics);
	return r;
}

void dtls_room_free(struct dtls_room *r)
{
	if (!r)
		return;
	metrics_del(&r->metrics);
	dtls_cert_unref(r->cert);
	free(r);
}

struct dtls_cert *dtls_room_cert(struct dtls_room *r)
{
	int64_t now = r->env->clock->mono_us;

	if (!r->cert || now >= r->cert_until_us) {
		struct dtls_cert *c = dtls_cert_new(r->env->clock->wall_us);

		if (c) {
			dtls_cert_unref(r->cert);
			r->cert = c;
			r->cert_until_us = now + CERT_US;
		}
	}
	return r->cert ? dtls_cert_ref(r->cert) : NULL;
}

/* --- steps --- */

static void on_again(struct timer *t);
static void on_end(struct timer *t);
static void step(struct part *p);

static unsigned sock_of(const struct part *p)
{
	return (unsigned)(p - p->link->part);
}

static void let_go(struct part *p)
{
	if (p->hs && p->state == DTLS_RUNNING && p->link->room)
		p->link->room->values[DTLS_M_OPEN]--;
	dtls_free(p->hs);
	free(p->queue);
	p->hs = NULL;
	p->queue = NULL;
}

static void link_free(struct dtls_link *l)
{
	for (unsigned i = 0; i < 2; i++)
		let_go(&l->part[i]);
	dtls_cert_unref(l->terms.cert);
	explicit_bzero(l, sizeof(*l));
	free(l);
}

static void run_step(struct work *w)
{
	struct part *p = container_of(w, struct part, work);

	dtls_step(p->hs);
}

/* keys came, or will not come */
static void part_over(struct part *p, enum dtls_state state, enum reason why, const char *text)
{
	struct dtls_link *l = p->link;
	struct dtls_room *r = l->room;
	const char *what = sock_of(p) ? "rtcp" : "rtp", *role = l->terms.role == DTLS_ACTIVE ? "active" : "passive";
	int64_t took_ms = (r->env->clock->mono_us - p->begun_us) / 1000;
	char at[ADDR_TEXT_MAX];

	if (p->hs)
		r->values[DTLS_M_OPEN]--;
	p->state = state;
	p->why = why;
	timer_stop(r->env->timers, &p->again);
	if (state == DTLS_UP) {
		r->values[DTLS_M_UP]++;
		p->theirs = p->hs->theirs;
		p->ours = p->hs->ours;
		timer_start_us(r->env->timers, &p->end, LINGER_US, on_end);
		log_info(&l->log, "dtls_up", "side=%s stream=%s role=%s suite=%s far=%s ms=%lld", l->side, what, role,
		    crypt_suites[p->theirs.suite].name, addr_text(&p->peer, at), (long long)took_ms);
	} else {
		r->values[why == REASON_DTLS_FINGERPRINT ? DTLS_M_FINGERPRINT : why == REASON_DTLS_TIMEOUT ? DTLS_M_TIMEOUT : DTLS_M_FAILED]++;
		timer_stop(r->env->timers, &p->end);
		log_at(&l->log, sock_of(p) && why == REASON_DTLS_TIMEOUT ? LOG_INFO : LOG_WARN, "dtls_failed", "side=%s stream=%s role=%s why=\"%s\" said=\"%s\" far=%s fix=\"%s\"", l->side, what, role,
		    reason_info(why)->text, text, addr_none(&p->peer) ? "-" : addr_text(&p->peer, at), reason_info(why)->remedy);
		let_go(p);
	}
	l->changed(l->ctx);
}

static void step_done(struct work *w)
{
	struct part *p = container_of(w, struct part, work);
	struct dtls_link *l = p->link;
	const struct dtls *hs = p->hs;
	size_t at = 0;

	p->busy = false;
	if (!l->room) { /* given back meanwhile */
		if (!l->part[0].busy && !l->part[1].busy)
			link_free(l);
		return;
	}
	for (unsigned i = 0; i < hs->out.n; at += hs->out.len[i++])
		relay_pair_send(l->terms.pair, sock_of(p), &p->peer, hs->out.d + at, hs->out.len[i]);
	if (p->state == DTLS_RUNNING && hs->state != DTLS_RUNNING) {
		char text[sizeof(hs->text)];

		memcpy(text, hs->text, sizeof(text));
		part_over(p, hs->state, hs->why, text);
		return; /* what still waits is for a later turn; the link may be gone */
	}
	if (p->state == DTLS_RUNNING && hs->again_us >= 0)
		timer_start_us(l->room->env->timers, &p->again, hs->again_us, on_again);
	if (p->queue->n || p->wanted)
		step(p);
}

static void step(struct part *p)
{
	struct dtls_room *r = p->link->room;

	if (!p->hs || p->busy)
		return;
	p->hs->in = *p->queue;
	p->queue->n = 0;
	p->queue->used = 0;
	p->wanted = false;
	p->busy = true;
	timer_stop(r->env->timers, &p->again);
	p->work.run = run_step;
	p->work.done = step_done;
	if (r->workers) {
		workers_submit(r->workers, &p->work, false);
	} else {
		run_step(&p->work);
		step_done(&p->work);
	}
}

static void on_again(struct timer *t)
{
	struct part *p = container_of(t, struct part, again);

	p->wanted = true;
	step(p);
}

static void on_end(struct timer *t)
{
	struct part *p = container_of(t, struct part, end);

	if (p->busy) {
		timer_start_us(p->link->room->env->timers, t, 10000, on_end);
	} else if (p->state == DTLS_RUNNING) {
		part_over(p, DTLS_FAILED, REASON_DTLS_TIMEOUT, addr_none(&p->peer) ? "nothing came" : "it does not go on");
	} else {
		let_go(p);
	}
}

/* a handshake with that source; false: no memory, the far end will ask again */
static bool begin(struct part *p, const struct addr *peer)
{
	struct dtls_link *l = p->link;
	const struct dtls_terms *t = &l->terms;
	struct dtls *hs = dtls_new(t->cert, t->role == DTLS_ACTIVE, &t->far, t->suites, t->n_suites, peer);
	struct dtls_batch *queue = hs ? calloc(1, sizeof(*queue)) : NULL;

	if (!queue) {
		dtls_free(hs);
		return false;
	}
	if (p->hs)
		let_go(p);
	l->room->values[DTLS_M_OPEN]++;
	p->hs = hs;
	p->queue = queue;
	p->peer = *peer;
	return true;
}

/* --- datagrams --- */

static bool may_come_from(const struct dtls_link *l, unsigned sock, const struct addr *from)
{
	if (l->terms.ice)
		return true;
	if (!addr_none(&l->terms.to[sock]) && addr_eq(&l->terms.to[sock], from))
		return true;
	return !addr_none(&l->terms.latch_ip) && addr_eq_ip(&l->terms.latch_ip, from);
}

static void on_datagram(void *ctx, unsigned sock, const struct addr *from, const uint8_t *d, size_t n)
{
	struct dtls_link *l = ctx;
	struct part *p = &l->part[sock];

	if (n > DTLS_DATAGRAM_MAX || (sock && l->terms.mux) || !may_come_from(l, sock, from))
		return;
	if (l->terms.ice && p->hs)
		p->peer = *from;
	if (n == 0) { /* that is where the far end wants to be */
		if (p->state == DTLS_RUNNING && !p->hs && l->terms.role == DTLS_ACTIVE && begin(p, from)) {
			p->wanted = true;
			step(p);
		}
		return;
	}
	if (!p->hs || !addr_eq(&p->peer, from)) {
		/* who begins is heard; another source of the same far end only while none was proved */
		if (p->state != DTLS_RUNNING || l->terms.role != DTLS_PASSIVE || p->busy || p->moves == MOVES_MAX ||
		    (p->hs && p->hs->shown) || !dtls_is_hello(d, n) || !begin(p, from))
			return;
		p->moves++;
	}
	if (dtls_batch_put(p->queue, d, n))
		step(p);
}

/* --- links --- */

void dtls_link_learn(struct dtls_link *l, const struct dtls_terms *t)
{
	for (unsigned i = 0; i < 2; i++)
		if (addr_none(&l->terms.to[i]))
			l->terms.to[i] = t->to[i];
	l->terms.latch_ip = t->latch_ip;
}

struct dtls_link *dtls_link_new(struct dtls_room *r, const struct dtls_terms *t, const struct log *log, const char *side,
    const struct dtls_link *before, dtls_changed_fn *changed, void *ctx)
{
	struct dtls_link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->room = r;
	l->terms = *t;
	dtls_cert_ref(t->cert);
	l->log = *log;
	l->side = side;
	l->refs = 1;
	l->changed = changed;
	l->ctx = ctx;
	for (unsigned i = 0; i < 2; i++) {
		l->part[i].link = l;
		l->part[i].begun_us = r->env->clock->mono_us;
		if (before && dtls_link_keys(before, i, &l->before[i].theirs, &l->before[i].ours) && i == 0)
			l->old_keys = true;
	}
	l->old_stay = l->old_keys && before->terms.role == t->role && before->terms.pair == t->pair &&
	              memcmp(&before->terms.far, &t->far, sizeof(t->far)) == 0;
	return l;
}

struct dtls_link *dtls_link_ref(struct dtls_link *l)
{
	l->refs++;
	return l;
}

void dtls_link_unref(struct dtls_link *l)
{
	struct dtls_room *r;
	bool busy = false;

	if (!l || --l->refs)
		return;
	r = l->room;
	relay_pair_unlisten(l->terms.pair, l);
	for (unsigned i = 0; i < 2; i++) {
		struct part *p = &l->part[i];

		timer_stop(r->env->timers, &p->again);
		timer_stop(r->env->timers, &p->end);
		if (p->busy && r->workers && workers_cancel(r->workers, &p->work))
			p->busy = false;
		if (p->hs && p->state == DTLS_RUNNING)
			r->values[DTLS_M_OPEN]--;
		busy |= p->busy;
	}
	l->room = NULL;
	if (!busy)
		link_free(l);
}

bool dtls_link_fits(const struct dtls_link *l, const struct dtls_terms *t)
{
	const struct dtls_terms *was = &l->terms;

	for (unsigned i = 0; i < 2; i++)
		if (!addr_none(&t->to[i]) && !addr_none(&was->to[i]) && !addr_eq(&t->to[i], &was->to[i]))
			return false;
	return was->cert == t->cert && was->pair == t->pair && was->role == t->role && was->mux == t->mux && was->ice == t->ice &&
	       memcmp(&was->far, &t->far, sizeof(t->far)) == 0;
}

void dtls_link_listen(struct dtls_link *l)
{
	if (!l->room->runs)
		return;
	relay_pair_listen(l->terms.pair, on_datagram, l);
	for (unsigned i = 0; i < 2; i++) {
		struct part *p = &l->part[i];

		if (p->state != DTLS_RUNNING || (i && l->terms.mux))
			continue;
		/* not from in here: the session is at work */
		if (l->terms.role == DTLS_ACTIVE && !p->hs && !addr_none(&l->terms.to[i]) && begin(p, &l->terms.to[i]))
			timer_start_us(l->room->env->timers, &p->again, 0, on_again);
	}
}

void dtls_link_confirm(struct dtls_link *l)
{
	for (unsigned i = 0; i < 2 && l->room->runs; i++) {
		struct part *p = &l->part[i];

		/* a far end without an address (on hold) is not asked yet */
		if (p->state == DTLS_RUNNING && !(i && l->terms.mux) && !timer_running(&p->end) &&
		    (l->terms.ice || !addr_none(&l->terms.to[i])))
			timer_start_us(l->room->env->timers, &p->end, END_US, on_end);
	}
}

bool dtls_link_is_of(const struct dtls_link *l, const struct dtls_said *far)
{
	struct dtls_said said = *far;

	said.setup = l->terms.far.setup;
	return memcmp(&said, &l->terms.far, sizeof(said)) == 0;
}

enum dtls_setup dtls_link_role(const struct dtls_link *l)
{
	return (enum dtls_setup)l->terms.role;
}

bool dtls_link_keys(const struct dtls_link *l, unsigned sock, struct crypt_key *ret_theirs, struct crypt_key *ret_ours)
{
	const struct part *p = &l->part[l->terms.mux ? 0 : sock];

	if (p->state == DTLS_UP) {
		*ret_theirs = p->theirs;
		*ret_ours = p->ours;
		return true;
	}
	if (!l->old_keys || l->before[sock].theirs.suite == CRYPT_NONE || (p->state == DTLS_FAILED && !l->old_stay))
		return false;
	*ret_theirs = l->before[sock].theirs;
	*ret_ours = l->before[sock].ours;
	return true;
}

enum reason dtls_link_why(const struct dtls_link *l)
{
	const struct part *rtp = &l->part[0], *rtcp = &l->part[1];

	if (rtp->state == DTLS_FAILED && !l->old_stay)
		return rtp->why;
	return rtcp->why == REASON_DTLS_FINGERPRINT ? rtcp->why : REASON_NONE;
}

enum dtls_state dtls_link_state(const struct dtls_link *l)
{
	return l->part[0].state;
}
