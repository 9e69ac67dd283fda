/* calls_main.c - whole calls by the thousand through the B2BUA, each run repeatable from its seed.
 *
 *     sim_calls [-n CALLS] [-s SEED] [-b BATCH] [-v]
 *     sim_calls -c [-b RUN] [-v]
 *
 * A batch is a world of its own with 1 to 6 calls in it, some weather, and plans drawn for every caller and callee.
 * When nothing is left to happen the box must hold nothing: no call, leg, transaction, timer, port; each call that
 * reached it has exactly one record, which says what the caller saw; no user agent believes in a call that the
 * other side has forgotten. In calm weather the answer itself must be the one the plans lead to.
 *
 * The first batch that fails is run again with its ladder, and the command that repeats it is printed.
 *
 * -c: small calls over TCP, each run once for every moment at which the connections of one side, or of both, can be
 * cut, with the box told what it lost and not (sim_cut()). Nothing is drawn there but tokens.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ua.h"

#define BATCH_CALLS 6

enum weather { CALM, REORDERED, LOSSY, STORMY, TCP_WAN, TCP_LAN, TCP_BOTH, DEAD_TARGET, SMALL_MTU, TCP_VOID, UDP_VOID, WEATHERS };
static const char *const weather_names[WEATHERS] = {"calm", "reordered", "lossy", "stormy", "tcp wan", "tcp lan",
    "tcp both", "dead target", "small mtu", "tcp, IPv6 into a void", "udp, IPv6 into a void"};

struct sim_call {
	bool outbound;
	struct ua_plan caller, callee[2];
	struct ua_call *from;
	char calling[24], called[24];
	struct timer start;
	struct batch *batch;
	unsigned index;
};

struct batch {
	struct world *w;
	enum weather weather;
	unsigned servers; /* behind the name of the ITSP; 0: its hosts are two targets by number */
	struct ua ua[SIM_HOSTS];
	struct sim_call call[BATCH_CALLS];
	unsigned n;
	struct timer cut; /* -c */
	unsigned cut_hosts;
	bool cut_acked;
};

struct totals {
	unsigned long calls, batches, answered, refused, records, unseen;
	unsigned long long packets, lost;
};

/* ------------------------------------------------------------------ plans */

static int between(struct world *w, int from, int to)
{
	return from + (int)sim_below(w, (uint32_t)(to - from + 1));
}

static void plan_todo(struct world *w, struct ua_plan *p, bool may_vanish)
{
	static const enum ua_do changes[] = {UA_HOLD, UA_RESUME, UA_REOFFER, UA_LATE, UA_UPDATE, UA_INFO, UA_OPTIONS};
	unsigned n = sim_chance(w, 50) ? 0 : 1 + sim_below(w, 3);

	for (; n; n--) {
		p->todo[p->n_todo].what = changes[sim_below(w, ARRAY_LEN(changes))];
		p->todo[p->n_todo++].after_ms = between(w, 0, 9000);
	}
	if (may_vanish) {
		p->todo[p->n_todo].what = UA_VANISH;
		p->todo[p->n_todo++].after_ms = between(w, 0, 9000);
	}
	/* somebody hangs up in the end; often both at about the same time */
	p->todo[p->n_todo].what = UA_BYE;
	p->todo[p->n_todo++].after_ms = sim_chance(w, 60) ? between(w, 0, 12000) : between(w, 12000, 50000);
	p->refuses = sim_chance(w, 10);
	p->slow_ms = sim_chance(w, 70) ? between(w, 0, 30) : between(w, 30, 3000);
	p->lose_acks = sim_chance(w, 10) ? 1 + sim_below(w, 8) : 0;
}

static void plan_callee(struct world *w, struct ua_plan *p)
{
	static const unsigned refusals[] = {404, 480, 486, 488, 500, 503, 603};
	unsigned kind = sim_below(w, 100);

	p->cancel_ms = -1;
	p->trying = sim_chance(w, 70);
	p->ring_ms = sim_chance(w, 85) ? between(w, 0, 2000) : -1;
	p->ring_status = sim_chance(w, 60) ? 180 : 183;
	p->ring_sdp = sim_chance(w, 40);
	p->final_ms = between(w, 0, 9000);
	p->final_status = 200;
	if (kind < 25) {
		p->final_status = refusals[sim_below(w, ARRAY_LEN(refusals))];
	} else if (kind < 31) { /* rings for ever */
		p->trying = true;
		p->final_ms = -1;
	} else if (kind < 36) { /* no answer at all */
		p->trying = false;
		p->ring_ms = p->final_ms = -1;
	} else if (kind < 44) {
		p->fork = true;
	}
	plan_todo(w, p, sim_chance(w, 4));
}

static void plan_caller(struct world *w, struct ua_plan *p, bool may_vanish)
{
	p->ring_ms = p->final_ms = -1;
	p->late = sim_chance(w, 12);
	p->cancel_ms = sim_chance(w, 18) ? between(w, 0, 9000) : -1;
	plan_todo(w, p, may_vanish);
}

static bool vanishes(const struct ua_plan *p)
{
	for (unsigned i = 0; i < p->n_todo; i++)
		if (p->todo[i].what == UA_VANISH)
			return true;
	return false;
}

static const struct ua_plan *plan_of(void *ctx, struct ua *ua, const char *number, unsigned *ret_index)
{
	struct batch *b = ctx;

	for (unsigned i = 0; i < b->n; i++) {
		const struct sim_call *c = &b->call[i];

		if (strcmp(c->called, number) || c->outbound != (ua != &b->ua[SIM_PBX]))
			continue;
		*ret_index = i;
		return &c->callee[ua == &b->ua[SIM_ITSP_2]];
	}
	return NULL;
}

static void on_start(struct timer *t)
{
	struct sim_call *c = container_of(t, struct sim_call, start);
	struct batch *b = c->batch;

	c->from = ua_invite(&b->ua[c->outbound ? SIM_PBX : SIM_ITSP_1], &c->caller, c->index, c->calling, c->called);
}

/* ------------------------------------------------------------------ a batch */

static bool into_void(const struct batch *b)
{
	return b->weather == TCP_VOID || b->weather == UDP_VOID;
}

static bool wan_tcp(const struct batch *b)
{
	return b->weather == TCP_WAN || b->weather == TCP_BOTH || b->weather == TCP_VOID;
}

static void set_weather(struct batch *b, struct sim_rows *rows, struct rng *r)
{
	b->weather = rng_below(r, 5) ? (enum weather)rng_below(r, WEATHERS) : CALM;
	sim_set(rows, 0, "ring-timeout", "20s");
	sim_set(rows, 1, "ring-timeout", "20s");
	if (rng_below(r, 4) == 0)
		sim_set(rows, 1, "try-timeout", "3s");
	if (b->weather == TCP_WAN || b->weather == TCP_BOTH)
		rows->targets[1][0].transport = rows->targets[1][1].transport = S("tcp");
	if (b->weather == TCP_LAN || b->weather == TCP_BOTH)
		rows->targets[0][0].transport = S("tcp");
	if (b->weather == SMALL_MTU)
		sim_set(rows, 1, "mtu", "600");
	if (b->weather == CALM || b->weather == SMALL_MTU)
		sim_set(rows, 1, "probe-down", "20"); /* each call by its own plans: nobody rests */
	b->servers = into_void(b) ? 1 : rng_below(r, 3);
	if (b->servers)
		sim_named(rows, wan_tcp(b) ? "tcp" : "udp");
}

static void begin(struct batch *b)
{
	struct world *w = b->w;

	for (unsigned realm = 0; realm < 2; realm++) {
		struct sim_weather *s = &w->weather[realm];

		s->delay_us = 200 + sim_below(w, 30000);
		if (b->weather == REORDERED || b->weather == STORMY)
			s->jitter_us = 1000 + sim_below(w, 90000);
		if (b->weather == LOSSY)
			s->loss_ppm = 10000 + sim_below(w, 60000);
		if (b->weather == STORMY) {
			s->loss_ppm = 50000 + sim_below(w, 80000);
			s->double_ppm = 50000;
		}
	}
	for (unsigned i = 0; i < SIM_HOSTS; i++) {
		ua_init(&b->ua[i], w, i);
		b->ua[i].plan_of = plan_of;
		b->ua[i].ctx = b;
		b->ua[i].tcp = i ? wan_tcp(b) : b->weather == TCP_BOTH || b->weather == TCP_LAN;
		b->ua[i].host.tcp = b->ua[i].tcp || (b->weather == SMALL_MTU && sim_chance(w, 50));
	}
	if (into_void(b))
		world_dual(w, &b->ua[SIM_ITSP_1].host);
	if (b->weather == DEAD_TARGET)
		b->ua[SIM_ITSP_1].host.dead = sim_chance(w, 50) ? SIM_ICMP : SIM_SILENT;
	for (unsigned i = 0; i < b->n; i++) {
		struct sim_call *c = &b->call[i];

		c->batch = b;
		c->index = i;
		c->outbound = b->weather == DEAD_TARGET || sim_chance(w, into_void(b) ? 90 : 60);
		if (c->outbound) {
			snprintf(c->called, sizeof(c->called), "+498900000%u", i);
			snprintf(c->calling, sizeof(c->calling), "+4930123450%u", i);
		} else {
			snprintf(c->called, sizeof(c->called), "+4930123451%u", i);
			snprintf(c->calling, sizeof(c->calling), "+4917012345%u", i);
		}
		plan_callee(w, &c->callee[0]);
		plan_callee(w, &c->callee[1]);
		/* at least one end stays to hang up */
		plan_caller(w, &c->caller, !vanishes(&c->callee[0]) && !vanishes(&c->callee[1]) && sim_chance(w, 4));
		if (wan_tcp(b) && sim_chance(w, 30) && c->caller.n_todo < UA_TODO_MAX) {
			struct ua_plan *p = sim_chance(w, 50) ? &c->caller : &c->callee[0];

			p->todo[p->n_todo].what = UA_CUT;
			p->todo[p->n_todo++].after_ms = between(w, 0, 5000);
		}
		timer_start_ms(&w->timers, &c->start, between(w, 0, 4000), on_start);
	}
}

/* Where the plans lead in calm weather; 0: more than one outcome is right. */
static unsigned expected(const struct batch *b, const struct sim_call *c)
{
	unsigned targets = c->outbound ? 2 : 1;

	if ((b->weather != CALM && b->weather != SMALL_MTU) || c->caller.cancel_ms >= 0)
		return 0;
	if (c->outbound && b->servers == 1)
		return 0; /* whichever of the two was heard first */
	for (unsigned i = 0; i < targets; i++) {
		const struct ua_plan *p = &c->callee[i];
		bool early = p->ring_sdp && !c->caller.late && p->ring_ms >= 0 &&
		    (p->final_ms < 0 || p->ring_ms + 2 < p->final_ms),
		     same = p->ring_ms >= 0 && p->final_ms >= 0 && abs(p->ring_ms - p->final_ms) <= 2;

		if (same && p->ring_sdp)
			return 0;
		if (!p->trying && p->ring_ms < 0 && (p->final_ms < 0 || p->final_ms > 2900))
			return 0; /* may count as silent, by the try-timeout setting */
		if (p->ring_ms > 2900 || (!p->trying && p->ring_ms < 0))
			return 0;
		if (p->final_ms < 0)
			return 480; /* ring-timeout */
		/* behind one name 503 alone goes to the other place (DNS-05) */
		if (!early && i + 1 < targets &&
		    (p->final_status == 503 || (!b->servers && (p->final_status == 480 || p->final_status == 500))))
			continue;
		if (i > 0 && p->final_status >= 300)
			return 0; /* the best of two */
		return p->final_status == 503 ? 500 : p->final_status;
	}
	return 0;
}

static const struct call_record *record_of(const struct batch *b, const struct sim_call *c, unsigned *ret_n)
{
	const struct call_record *found = NULL;

	*ret_n = 0;
	for (unsigned i = 0; i < b->w->n_records; i++) {
		if (strcmp(b->w->records[i].sip_call_id_a, c->from->call_id))
			continue;
		found = &b->w->records[i];
		(*ret_n)++;
	}
	return found;
}

/* HE-03: of a name whose IPv6 leads into a void the far end hears one INVITE, and that within 300 ms. */
static void check_one_invite(const struct batch *b, const struct sim_call *c)
{
	struct world *w = b->w;
	int64_t way_us = w->weather[0].delay_us + w->weather[1].delay_us;
	unsigned n = 0;

	list_each(node, &b->ua[SIM_ITSP_1].calls) {
		const struct ua_call *u = container_of(node, struct ua_call, node);

		if (u->caller || u->second_fork || u->index != c->index)
			continue;
		n++;
		SIM_CHECK(w, u->since_us - c->from->since_us < 300000 + way_us, "call %u: its INVITE came after %lld ms", c->index,
		    (long long)(u->since_us - c->from->since_us) / 1000);
	}
	SIM_CHECK(w, n <= 1, "call %u: %u INVITEs arrived", c->index, n);
}

static void check_call(struct batch *b, const struct sim_call *c, struct totals *sum)
{
	struct world *w = b->w;
	const struct ua_call *from = c->from;
	unsigned n, want = expected(b, c);
	const struct call_record *rec;

	if (!from) {
		sim_fail(w, "call %u never began", c->index);
		return;
	}
	if (into_void(b) && c->outbound)
		check_one_invite(b, c);
	rec = record_of(b, c, &n);
	SIM_CHECK(w, n == 1 || (n == 0 && !from->heard), "call %u: %u records", c->index, n);
	SIM_CHECK(w, from->vanished || from->state == UA_ENDED, "call %u: the caller is still %s", c->index,
	    ua_state_names[from->state]);
	if (want)
		SIM_CHECK(w, from->final_status == want, "call %u: the caller got %u, expected %u", c->index,
		    from->final_status, want);
	if (from->final_status == 200)
		sum->answered++;
	else
		sum->refused++;
	if (!rec) {
		sum->unseen++;
		return;
	}
	sum->records++;
	SIM_CHECK(w, rec->reason != REASON_NONE, "call %u: record without a reason", c->index);
	SIM_CHECK(w, (rec->answer_us != 0) == (rec->status == 200), "call %u: status %u, answered at %lld", c->index,
	    rec->status, (long long)rec->answer_us);
	if (from->final_status)
		SIM_CHECK(w, rec->status == from->final_status, "call %u: record says %u, the caller got %u", c->index,
		    rec->status, from->final_status);
	SIM_CHECK(w, rec->end_us >= rec->start_us && (!rec->answer_us || rec->answer_us >= rec->start_us) &&
	        (!rec->answer_us || rec->end_us >= rec->answer_us),
	    "call %u: times of the record are out of order", c->index);
	SIM_CHECK(w, !strcmp(rec->called, c->called), "call %u: record says called %s, not %s", c->index, rec->called,
	    c->called);
}

static void check_end(struct batch *b, struct totals *sum)
{
	struct world *w = b->w;
	unsigned answered = 0;

	SIM_CHECK(w, b2b_call_count(w->b2b) == 0, "%u calls are left", b2b_call_count(w->b2b));
	SIM_CHECK(w, b2b_leg_count(w->b2b) == 0, "%u legs are left", b2b_leg_count(w->b2b));
	SIM_CHECK(w, txn_count_srv(b2b_txn(w->b2b)) == 0, "%u server transactions are left",
	    txn_count_srv(b2b_txn(w->b2b)));
	SIM_CHECK(w, txn_count_cli(b2b_txn(w->b2b)) == 0, "%u client transactions are left",
	    txn_count_cli(b2b_txn(w->b2b)));
	SIM_CHECK(w, w->box_timers.n == 0, "%u timers are left", w->box_timers.n);
	SIM_CHECK(w, media_call_count(w->media) == 0, "%u media sessions are left", media_call_count(w->media));
	SIM_CHECK(w, media_pairs_in_use(w->media) == 0, "%u port pairs are left", media_pairs_in_use(w->media));
	SIM_CHECK(w, b2b_call_bytes(w->b2b) == 0, "%zu bytes of calls are left", b2b_call_bytes(w->b2b));
	for (unsigned i = 0; i < 2; i++) {
		struct b2b_trunk_info info;

		b2b_trunk_info(w->b2b, i + 1, &info);
		SIM_CHECK(w, info.calls == 0, "trunk %u counts %u calls", i + 1, info.calls);
	}
	for (unsigned i = 0; i < b->n; i++)
		check_call(b, &b->call[i], sum);
	for (unsigned i = 0; i < SIM_HOSTS; i++) {
		list_each(n, &b->ua[i].calls) {
			const struct ua_call *c = container_of(n, struct ua_call, node);

			SIM_CHECK(w, c->vanished || c->state == UA_ENDED || (c->caller && c->state == UA_ENDED),
			    "call %u: the %s at %s is still %s", c->index, c->caller ? "caller" : "callee", b->ua[i].ip,
			    ua_state_names[c->state]);
		}
	}
	for (unsigned i = 0; i < w->n_records; i++)
		answered += w->records[i].answer_us != 0;
	SIM_CHECK(w, answered == w->n_answered, "%u calls were announced as answered, %u recorded", w->n_answered,
	    answered);
}

static bool run_batch(uint64_t seed, unsigned batch, unsigned max_calls, bool verbose, struct totals *sum)
{
	struct batch *b = calloc(1, sizeof(*b));
	struct sim_rows rows;
	struct rng r;
	bool ok;

	if (!b)
		abort();
	rng_init_seeded(&r, seed * 1000003 + batch);
	b->n = 1 + rng_below(&r, BATCH_CALLS);
	if (b->n > max_calls)
		b->n = max_calls;
	world_rows(&rows);
	set_weather(b, &rows, &r);
	b->w = world_new(seed * 1000003 + batch, &rows, b->servers, wan_tcp(b), verbose);
	begin(b);
	if (verbose)
		printf("batch %u: %u calls, %s, %s\n", batch, b->n, weather_names[b->weather],
		    b->servers == 0   ? "two targets"
		    : b->servers == 1 ? "two addresses of one server"
		                      : "two servers of one name");
	world_run(b->w, b->w->clock.mono_us + (int64_t)1800 * 1000000);
	check_end(b, sum);
	ok = b->w->failures == 0;
	sum->calls += b->n;
	sum->batches++;
	sum->packets += b->w->packets_sent;
	sum->lost += b->w->packets_lost;
	for (unsigned i = 0; i < SIM_HOSTS; i++)
		ua_fini(&b->ua[i]);
	world_free(b->w);
	free(b);
	return ok;
}

/* ------------------------------------------------------------------ a cut at every moment */

/* What a moment is worth trying for: hop and answer times are in milliseconds, so one a millisecond finds each message
 * on its way once. */
#define CUT_DELAY_MS 5

struct cut_case {
	const char *name;
	struct ua_plan caller, callee;
	struct {
		int from, to; /* ms after the INVITE of the caller */
	} moments[2];
	const char *try_timeout; /* setting of the trunk that is called; NULL: as it comes */
	bool waits[2]; /* somebody is left without a word at one of the moments: the box is told what was lost, or not */
};

#define CALLS_CANCELS(ms) .cancel_ms = (ms), .ring_ms = -1, .final_ms = -1
#define CALLS CALLS_CANCELS(-1)
#define RINGS .cancel_ms = -1, .trying = true, .ring_ms = 15, .ring_status = 180
#define ANSWERS RINGS, .final_ms = 40, .final_status = 200
#define HANGS_UP(ms) .todo = {{(ms), UA_BYE}}, .n_todo = 1

static const struct cut_case cut_cases[] = {
    {.name = "answered", .caller = {CALLS, HANGS_UP(60)}, .callee = {ANSWERS, HANGS_UP(4000)}, .moments = {{0, 190}}},
    {.name = "hung up by both",
        .caller = {CALLS, HANGS_UP(50)},
        .callee = {ANSWERS, HANGS_UP(40)},
        .moments = {{0, 190}}},
    {.name = "late offer",
        .caller = {CALLS, .late = true, HANGS_UP(60)},
        .callee = {ANSWERS, HANGS_UP(4000)},
        .moments = {{0, 190}}},
    {.name = "two phones answer",
        .caller = {CALLS, HANGS_UP(60)},
        .callee = {ANSWERS, .fork = true, HANGS_UP(4000)},
        .moments = {{0, 190}}},
    {.name = "changed",
        .caller = {CALLS, .todo = {{5, UA_HOLD}, {2500, UA_BYE}}, .n_todo = 2},
        .callee = {ANSWERS, .slow_ms = 250, .todo = {{1200, UA_UPDATE}, {6000, UA_BYE}}, .n_todo = 2},
        .moments = {{50, 450}, {1200, 1400}}},
    {.name = "refused",
        .caller = {CALLS, HANGS_UP(60)},
        .callee = {RINGS, .final_ms = 250, .final_status = 486},
        .moments = {{0, 320}},
        .waits = {false, true}},
    {.name = "refused, next target",
        .caller = {CALLS, HANGS_UP(60)},
        .callee = {RINGS, .final_ms = 40, .final_status = 503},
        .moments = {{0, 180}},
        .waits = {false, true}},
    {.name = "given up",
        .caller = {CALLS_CANCELS(60), HANGS_UP(60)},
        .callee = {RINGS, .final_ms = -1},
        .moments = {{0, 130}}},
    {.name = "rings for ever",
        .caller = {CALLS, HANGS_UP(60)},
        .callee = {RINGS, .final_ms = -1},
        .moments = {{0, 50}, {19990, 20100}},
        .waits = {false, true}},
    /* the 180 is lost: without it there is no CANCEL (9.1) */
    {.name = "silent",
        .caller = {CALLS, HANGS_UP(60)},
        .callee = {.cancel_ms = -1, .ring_ms = 3005, .ring_status = 180, .final_ms = -1},
        .moments = {{0, 20}, {2990, 3100}},
        .try_timeout = "3s",
        .waits = {true, true}},
};

struct cut_totals {
	unsigned long runs, lost, gave_up;
};

static void on_cut(struct timer *t)
{
	struct batch *b = container_of(t, struct batch, cut);

	for (unsigned i = 0; i < SIM_HOSTS; i++)
		if (b->cut_hosts & 1u << i)
			sim_cut(&b->ua[i].host, b->cut_acked, true);
}

struct cut_run {
	const struct cut_case *k;
	bool outbound, acked;
	unsigned hosts;
	int at_ms;
};

static bool run_cut(const struct cut_run *run, bool verbose, struct cut_totals *sum)
{
	const struct cut_case *k = run->k;
	struct batch *b = calloc(1, sizeof(*b));
	bool outbound = run->outbound;
	struct sim_call *c;
	struct sim_rows rows;
	struct totals unused = {0};
	bool ok, lost = false, gave_up = false;

	if (!b)
		abort();
	c = &b->call[0];
	world_rows(&rows);
	for (unsigned i = 0; i < 2; i++) {
		sim_set(&rows, i, "ring-timeout", "20s");
		if (k->try_timeout)
			sim_set(&rows, i, "try-timeout", k->try_timeout);
	}
	rows.targets[0][0].transport = rows.targets[1][0].transport = rows.targets[1][1].transport = S("tcp");
	b->w = world_new(1, &rows, 0, true, verbose);
	b->n = 1;
	b->weather = TCP_BOTH;
	b->w->weather[0].delay_us = b->w->weather[1].delay_us = CUT_DELAY_MS * 1000;
	for (unsigned i = 0; i < SIM_HOSTS; i++) {
		ua_init(&b->ua[i], b->w, i);
		b->ua[i].plan_of = plan_of;
		b->ua[i].ctx = b;
		b->ua[i].tcp = b->ua[i].host.tcp = true;
	}
	*c = (struct sim_call){.outbound = outbound, .caller = k->caller, .callee = {k->callee, k->callee}, .batch = b};
	snprintf(c->calling, sizeof(c->calling), outbound ? "+49301234500" : "+4917012345");
	snprintf(c->called, sizeof(c->called), outbound ? "+498900000" : "+49301234510");
	timer_start_ms(&b->w->timers, &c->start, 0, on_start);
	b->cut_hosts = run->hosts;
	b->cut_acked = run->acked;
	timer_start_ms(&b->w->timers, &b->cut, run->at_ms, on_cut);
	if (verbose)
		printf("%s, %s, hosts %x cut after %d ms, the box %s\n", k->name, outbound ? "outbound" : "inbound",
		    run->hosts, run->at_ms, run->acked ? "is not told" : "is told what it lost");
	world_run(b->w, b->w->clock.mono_us + (int64_t)1800 * 1000000);
	check_end(b, &unused);
	for (unsigned i = 0; i < SIM_HOSTS; i++) {
		list_each(n, &b->ua[i].calls) {
			const struct ua_call *u = container_of(n, struct ua_call, node);

			lost |= u->lost;
			gave_up |= u->gave_up;
		}
	}
	sum->runs++;
	sum->lost += lost;
	sum->gave_up += gave_up;
	ok = b->w->failures == 0;
	for (unsigned i = 0; i < SIM_HOSTS; i++)
		ua_fini(&b->ua[i]);
	world_free(b->w);
	free(b);
	return ok;
}

/* Every run of a case with the box told or not; 0, or -1: one failed. *ret_run counts on; only: see run_cuts(). */
static int run_case(const struct cut_case *k, bool acked, long only, bool verbose, long *ret_run, struct cut_totals *sum)
{
	static const unsigned sides[] = {1u << SIM_PBX, 1u << SIM_ITSP_1, 1u << SIM_PBX | 1u << SIM_ITSP_1};

	for (unsigned j = 0; j < 2 * ARRAY_LEN(sides) * ARRAY_LEN(k->moments); j++) {
		unsigned m = j / ARRAY_LEN(sides) / 2;
		struct cut_run run = {.k = k,
		    .outbound = j / ARRAY_LEN(sides) % 2 == 0,
		    .acked = acked,
		    .hosts = sides[j % ARRAY_LEN(sides)]};

		for (run.at_ms = k->moments[m].from; run.at_ms < k->moments[m].to; run.at_ms++, (*ret_run)++) {
			if ((only >= 0 && *ret_run != only) || run_cut(&run, verbose, sum))
				continue;
			if (only < 0) {
				printf("\nagain, with its ladder:\n\n");
				(void)run_cut(&run, true, sum);
				printf("\nrepeat it with: sim_calls -c -b %ld -v\n", *ret_run);
			}
			return -1;
		}
	}
	return 0;
}

/* only: the one run of that number, -1: all */
static int run_cuts(long only, bool verbose)
{
	long run = 0;
	int rc = 0;

	for (unsigned i = 0; i < 2 * ARRAY_LEN(cut_cases); i++) {
		const struct cut_case *k = &cut_cases[i / 2];
		struct cut_totals sum = {0};

		if (run_case(k, i % 2, only, verbose, &run, &sum))
			return 1;
		if (only >= 0)
			continue;
		printf("%-22s %-9s %5lu cuts, %4lu lost something, %4lu left somebody waiting\n", k->name,
		    i % 2 ? "not told," : "told,", sum.runs, sum.lost, sum.gave_up);
		if (!sum.lost || (sum.gave_up > 0) != k->waits[i % 2]) {
			printf("FAIL: expected that %s is left waiting\n", k->waits[i % 2] ? "somebody" : "nobody");
			rc = 1;
		}
	}
	return rc;
}

static unsigned long number(const char *text)
{
	uint64_t v;

	if (str_u64(str_z(text), INT32_MAX, &v)) {
		fprintf(stderr, "not a number: %s\n", text);
		exit(2);
	}
	return (unsigned long)v;
}

int main(int argc, char **argv)
{
	unsigned long calls = 500, seed = 1, only = 0;
	bool verbose = false, one = false, cuts = false;
	struct totals sum = {0};
	clock_t began = clock();
	int c;

	while ((c = getopt(argc, argv, "n:s:b:cv")) != -1) {
		switch (c) {
		case 'n':
			calls = number(optarg);
			break;
		case 's':
			seed = number(optarg);
			break;
		case 'b':
			only = number(optarg);
			one = true;
			break;
		case 'c':
			cuts = true;
			break;
		case 'v':
			verbose = true;
			break;
		default:
			fprintf(stderr, "usage: sim_calls [-n CALLS] [-s SEED] [-b BATCH] [-v] | -c [-b RUN] [-v]\n");
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (cuts)
		return run_cuts(one ? (long)only : -1, verbose);
	if (one)
		return run_batch(seed, (unsigned)only, BATCH_CALLS, verbose, &sum) ? 0 : 1;
	for (unsigned batch = 0; sum.calls < calls; batch++) {
		if (run_batch(seed, batch, BATCH_CALLS, verbose, &sum))
			continue;
		printf("\nagain, with its ladder:\n\n");
		(void)run_batch(seed, batch, BATCH_CALLS, true, &sum);
		printf("\nrepeat it with: sim_calls -s %lu -b %u -v\n", seed, batch);
		return 1;
	}
	printf("%lu calls in %lu batches: %lu answered, %lu refused, %lu never reached the box; %llu packets, %llu lost; "
	       "%.1f s\n",
	    sum.calls, sum.batches, sum.answered, sum.refused, sum.unseen, sum.packets, sum.lost,
	    (double)(clock() - began) / CLOCKS_PER_SEC);
	return 0;
}
