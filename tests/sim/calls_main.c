/* calls_main.c - whole calls by the thousand through the B2BUA, each run repeatable from its seed.
 *
 *     sim_calls [-n CALLS] [-s SEED] [-b BATCH] [-v]
 *
 * A batch is a world of its own with 1 to 6 calls in it, some weather, and plans drawn for every caller and callee.
 * When nothing is left to happen the box must hold nothing: no call, leg, transaction, timer, port; each call that
 * reached it has exactly one record, which says what the caller saw; no user agent believes in a call that the
 * other side has forgotten. In calm weather the answer itself must be the one the plans lead to.
 *
 * The first batch that fails is run again with its ladder, and the command that repeats it is printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ua.h"

#define BATCH_CALLS 6

enum weather { CALM, REORDERED, LOSSY, STORMY, TCP_WAN, TCP_LAN, TCP_BOTH, DEAD_TARGET, SMALL_MTU, WEATHERS };
static const char *const weather_names[WEATHERS] = {"calm", "reordered", "lossy", "stormy", "tcp wan", "tcp lan",
    "tcp both", "dead target", "small mtu"};

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

static void set_weather(struct batch *b, struct sim_rows *rows, struct rng *r)
{
	b->weather = rng_below(r, 5) ? (enum weather)rng_below(r, WEATHERS) : CALM;
	sim_set(rows, 0, "ring-timeout", "20s");
	sim_set(rows, 1, "ring-timeout", "20s");
	if (rng_below(r, 4) == 0)
		sim_set(rows, 1, "no-response", "3s");
	if (b->weather == TCP_WAN || b->weather == TCP_BOTH)
		rows->targets[1][0].transport = rows->targets[1][1].transport = S("tcp");
	if (b->weather == TCP_LAN || b->weather == TCP_BOTH)
		rows->targets[0][0].transport = S("tcp");
	if (b->weather == SMALL_MTU)
		sim_set(rows, 1, "mtu", "600");
	if (b->weather == CALM || b->weather == SMALL_MTU)
		sim_set(rows, 1, "probe-down", "20"); /* each call by its own plans: nobody rests */
	b->servers = rng_below(r, 3);
	if (b->servers)
		sim_named(rows, b->weather == TCP_WAN || b->weather == TCP_BOTH ? "tcp" : "udp");
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
		b->ua[i].tcp = b->weather == TCP_BOTH || b->weather == (i ? TCP_WAN : TCP_LAN);
		b->ua[i].host.tcp = b->ua[i].tcp || (b->weather == SMALL_MTU && sim_chance(w, 50));
	}
	if (b->weather == DEAD_TARGET)
		b->ua[SIM_ITSP_1].host.dead = sim_chance(w, 50) ? SIM_ICMP : SIM_SILENT;
	for (unsigned i = 0; i < b->n; i++) {
		struct sim_call *c = &b->call[i];

		c->batch = b;
		c->index = i;
		c->outbound = b->weather == DEAD_TARGET || sim_chance(w, 60);
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
		if ((b->weather == TCP_WAN || b->weather == TCP_BOTH) && sim_chance(w, 30) && c->caller.n_todo < UA_TODO_MAX) {
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
			return 0; /* may count as silent, by the no-response setting */
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
	b->w = world_new(seed * 1000003 + batch, &rows, b->servers, b->weather == TCP_WAN || b->weather == TCP_BOTH, verbose);
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
	bool verbose = false, one = false;
	struct totals sum = {0};
	clock_t began = clock();
	int c;

	while ((c = getopt(argc, argv, "n:s:b:v")) != -1) {
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
		case 'v':
			verbose = true;
			break;
		default:
			fprintf(stderr, "usage: sim_calls [-n CALLS] [-s SEED] [-b BATCH] [-v]\n");
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
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
