/* Which of two addresses gets a request, and what a flow that is lost says of its far end. */
#include "world.h"

#define SIX "[2001:db8::1]:5060"
#define FOUR "192.0.2.1:5060"

struct told {
	unsigned n;
	struct net_path path;
	bool proven;
	int err;
	int64_t at_us;
	const struct world *w;
};

static void on_end(void *arg, const struct net_path *path, bool proven, int err)
{
	struct told *x = arg;

	x->n++;
	x->path = *path;
	x->proven = proven;
	x->err = err;
	x->at_us = x->w->clock.mono_us;
}

static struct world *dual(const char *transport, uint8_t proto, const char *probe)
{
	struct w_server s = {"a.example", proto, 10, 1, {SIX, FOUR}};
	struct world *w = world_new();

	world_set(w, 0, "probe", probe);
	world_target(w, 0, "trunk.example", 0, transport);
	world_policy(w);
	world_plan(w, "trunk.example", &s, 1, REASON_NONE);
	return w;
}

static int begin(struct world *w, uint8_t proto, struct net_path *path, struct told *told)
{
	struct addr alt = w_addr(FOUR);

	*path = w_path(proto, SIX);
	*told = (struct told){.w = w};
	return targets_connect(w->ts, policy_trunk(w->p, 1), path, &alt, on_end, told);
}

static void is_at(const struct told *t, const char *addr)
{
	struct addr a = w_addr(addr);

	assert_int_equal(t->n, 1);
	assert_true(addr_eq(&t->path.remote, &a));
}

static struct w_sent *asked(struct world *w, const char *addr)
{
	struct addr a = w_addr(addr);

	for (unsigned i = w->n_sent; i-- > 0;)
		if (addr_eq(&w->sent[i].to.remote, &a))
			return &w->sent[i];
	fail();
	return NULL;
}

static void up(struct world *w, uint32_t conn, const char *addr)
{
	struct net_path flow = w_path(NET_TCP, addr);

	flow.conn = conn;
	targets_on_flow_up(w->ts, &flow);
}

static void streams_wait_for_the_connection(void **state)
{
	struct world *w = dual("tcp", NET_TCP, "off");
	struct net_path path, other;
	struct told a, b;

	(void)state;
	assert_int_equal(begin(w, NET_TCP, &path, &a), 0);
	assert_int_equal(begin(w, NET_TCP, &other, &b), 0);
	assert_int_not_equal(path.conn, other.conn);
	up(w, 7, FOUR); /* some other connection */
	world_pass(w, 5000);
	assert_int_equal(a.n + b.n, 0);
	up(w, path.conn, SIX);
	is_at(&a, SIX);
	assert_true(a.proven);
	assert_int_equal(a.err, 0);
	assert_int_equal(a.path.conn, path.conn);
	assert_int_equal(b.n, 0);
	/* the other family: what was not there in time is noted */
	up(w, other.conn, FOUR);
	is_at(&b, FOUR);
	assert_int_equal(world_count(w, 0, NULL), 2); /* of the schedule; none for this */
	up(w, path.conn, SIX);
	up(w, other.conn, SIX);
	assert_int_equal(a.n + b.n, 2);
	world_free(w);
}

static void streams_that_fail_say_why(void **state)
{
	struct world *w = dual("tcp", NET_TCP, "off");
	struct net_path path, flow;
	struct told a;

	(void)state;
	assert_int_equal(begin(w, NET_TCP, &path, &a), 0);
	flow = path;
	targets_on_flow_lost(w->ts, &flow, -NET_ERR_TLS_NAME);
	is_at(&a, SIX);
	assert_int_equal(a.err, -NET_ERR_TLS_NAME);
	/* closed by us meanwhile: that is the end of it too */
	assert_int_equal(begin(w, NET_TCP, &path, &a), 0);
	flow = path;
	targets_on_flow_lost(w->ts, &flow, 0);
	assert_int_equal(a.err, -ECONNRESET);
	/* it is up already; it cannot be begun */
	w->prepare_result = 1;
	w->leads_to = FOUR;
	assert_int_equal(begin(w, NET_TCP, &path, &a), 1);
	assert_true(!addr_is6(&path.remote));
	w->prepare_result = -EMFILE;
	assert_int_equal(begin(w, NET_TCP, &path, &a), -EMFILE);
	world_pass(w, 100000);
	assert_int_equal(a.n, 0);
	/* should the network forget to tell */
	w->prepare_result = 0;
	assert_int_equal(begin(w, NET_TCP, &path, &a), 0);
	world_pass(w, 61000);
	assert_int_equal(a.n, 1);
	assert_int_equal(a.err, -ETIMEDOUT);
	/* forgotten; and one that is open at the end */
	assert_int_equal(begin(w, NET_TCP, &path, &a), 0);
	targets_forget(w->ts, &a);
	up(w, path.conn, SIX);
	assert_int_equal(a.n, 0);
	assert_int_equal(begin(w, NET_TCP, &path, &a), 0);
	world_free(w);
	assert_int_equal(a.n, 1);
	assert_int_equal(a.err, -ECANCELED);
}

/* each OPTIONS that was sent there is answered: those of the schedule too */
static void answer_all(struct world *w, const char *addr, const char *status)
{
	struct addr a = w_addr(addr);

	for (unsigned i = 0; i < w->n_sent; i++)
		if (addr_eq(&w->sent[i].to.remote, &a))
			world_answer(w, &w->sent[i], status, "", "");
}

static void over_udp_the_first_answer_decides(void **state)
{
	static const struct {
		int six_ms, four_ms; /* when they answer; -1: never */
		const char *six, *at;
		int after_ms;
		bool proven;
	} k[] = {
	    {10, 5, "200 OK", SIX, 10, true},
	    {34, 5, "200 OK", SIX, 34, true},
	    {40, 5, "200 OK", FOUR, 35, true},
	    {-1, 90, "", FOUR, 100, true},
	    {5, -1, "405 No", SIX, 5, true},
	    {5, 20, "503 Busy", FOUR, 20, true},
	    {20, 5, "503 Busy", FOUR, 20, true},
	    {-1, -1, "", SIX, 100, false},
	    {150, 120, "200 OK", SIX, 100, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(k); i++) {
		struct world *w = dual("udp", NET_UDP, "off");
		struct net_path path;
		struct told a;
		int64_t began = w->clock.mono_us;

		assert_int_equal(begin(w, NET_UDP, &path, &a), 0);
		for (int ms = 0; ms < 200; ms++) {
			if (ms == k[i].six_ms)
				answer_all(w, SIX, k[i].six);
			if (ms == k[i].four_ms)
				answer_all(w, FOUR, "200 OK");
			world_pass(w, 1);
		}
		is_at(&a, k[i].at);
		assert_int_equal(a.proven, k[i].proven);
		assert_in_range(a.at_us - began, k[i].after_ms * 1000, k[i].after_ms * 1000 + 2100);
		world_pass(w, 5000);
		assert_int_equal(a.n, 1);
		world_free(w);
	}
}

static void over_udp_when_nothing_can_be_sent(void **state)
{
	struct world *w = dual("udp", NET_UDP, "off");
	struct net_path path;
	struct told a;

	(void)state;
	w->no_v6 = true; /* the listener went away meanwhile */
	assert_int_equal(begin(w, NET_UDP, &path, &a), 0);
	world_answer(w, asked(w, FOUR), "200 OK", "", "");
	is_at(&a, FOUR);
	w->no_udp = true;
	assert_int_equal(begin(w, NET_UDP, &path, &a), -ENETUNREACH);
	assert_int_equal(a.n, 0);
	w->no_udp = w->no_v6 = false;
	/* one address alone: nothing to be found out */
	path = w_path(NET_UDP, SIX);
	assert_int_equal(targets_connect(w->ts, policy_trunk(w->p, 1), &path, &(struct addr){0}, on_end, &a), 1);
	world_free(w);
}

/* Two families that are both deaf to OPTIONS: none of them is worse than the other, calls go on as before. */
static void a_deaf_pair_is_not_down(void **state)
{
	struct world *w = dual("udp", NET_UDP, "off");
	char text[512];

	(void)state;
	assert_string_equal(world_ways(w, 0, 0, text), SIX "+" FOUR "! " FOUR);
	world_pass(w, 5000);
	assert_string_equal(world_ways(w, 0, 0, text), SIX "! " FOUR); /* asking again would tell no more */
	world_report(w, FOUR, NET_UDP, TARGET_ANSWERED, 0);
	assert_string_equal(world_ways(w, 0, 0, text), FOUR " " SIX);
	world_free(w);
}

/* A probe that went by a connection which was raced: who answers is alive, and that is not the first address. */
static void a_raced_probe_counts_for_who_answered(void **state)
{
	struct world *w = dual("tcp", NET_TCP, "30s");
	struct w_sent *s;

	(void)state;
	w->send_conn = 9;
	world_pass(w, 1000); /* the first ones are out */
	s = asked(w, SIX);
	s->to.remote = w_addr(FOUR);
	world_answer(w, s, "200 OK", "", "");
	assert_int_equal(world_state(w, FOUR, NET_TCP), TARGET_UP);
	assert_int_not_equal(world_state(w, SIX, NET_TCP), TARGET_UP);
	world_free(w);
}

/* A connection that is cut is a reason to look, once a period; closed in order it is none; missing pongs are a failure. */
static void a_lost_flow_is_looked_at(void **state)
{
	struct world *w = world_new();
	struct net_path flow = w_path(NET_TCP, "192.0.2.7:5060");
	unsigned before;

	(void)state;
	world_set(w, 0, "probe", "30s");
	world_set(w, 0, "probe-down", "2");
	world_target(w, 0, "192.0.2.7", 5060, "tcp");
	world_policy(w);
	flow.peer = w->n_peers;
	flow.conn = 5;
	assert_int_equal(targets_trunk_of(w->ts, &flow), 1);
	world_pass(w, 11000); /* its first probe */
	world_answer(w, asked(w, "192.0.2.7:5060"), "200 OK", "", "");
	assert_int_equal(world_state(w, "192.0.2.7:5060", NET_TCP), TARGET_UP);
	before = w->n_sent;
	targets_on_flow_lost(w->ts, &flow, 0);
	world_pass(w, 100);
	assert_int_equal(w->n_sent, before);
	targets_on_flow_lost(w->ts, &flow, -ECONNRESET);
	world_pass(w, 100);
	assert_int_equal(world_count(w, before, NULL), 1);
	world_answer(w, asked(w, "192.0.2.7:5060"), "200 OK", "", "");
	before = w->n_sent;
	targets_on_flow_lost(w->ts, &flow, -ECONNRESET);
	world_pass(w, 100);
	assert_int_equal(w->n_sent, before);
	/* pings */
	targets_on_flow_lost(w->ts, &flow, -NET_ERR_KEEPALIVE);
	assert_int_equal(world_state(w, "192.0.2.7:5060", NET_TCP), TARGET_UP);
	targets_on_flow_lost(w->ts, &flow, -NET_ERR_KEEPALIVE);
	assert_int_equal(world_state(w, "192.0.2.7:5060", NET_TCP), TARGET_DOWN);
	/* nobody's */
	flow.peer = 0;
	assert_int_equal(targets_trunk_of(w->ts, &flow), 0);
	targets_on_flow_lost(w->ts, &flow, -ECONNRESET);
	flow.peer = 60;
	targets_on_flow_lost(w->ts, &flow, -ECONNRESET);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(streams_wait_for_the_connection),
	    cmocka_unit_test(streams_that_fail_say_why),
	    cmocka_unit_test(over_udp_the_first_answer_decides),
	    cmocka_unit_test(over_udp_when_nothing_can_be_sent),
	    cmocka_unit_test(a_deaf_pair_is_not_down),
	    cmocka_unit_test(a_raced_probe_counts_for_who_answered),
	    cmocka_unit_test(a_lost_flow_is_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
