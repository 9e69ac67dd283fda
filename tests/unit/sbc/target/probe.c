/* OPTIONS: when they go, how many, what their answers mean (DNS-08, DNS-09). */
#include "world.h"

static const struct w_server one[] = {{"a.example", NET_UDP, 10, 1, {"192.0.2.1:5060"}}};
static const struct w_server both[] = {{"a.example", NET_UDP, 10, 1, {"[2001:db8::1]:5060", "192.0.2.1:5060"}}};

static struct world *probing(const char *interval)
{
	struct world *w = world_new();

	world_set(w, 0, "probe", interval);
	world_target(w, 0, "192.0.2.1", 5060, "udp");
	world_policy(w);
	return w;
}

/* lets time pass until a probe is out, at most ms */
static struct w_sent *next_probe(struct world *w, unsigned ms)
{
	unsigned since = w->n_sent;

	for (unsigned i = 0; i < ms / 10 && w->n_sent == since; i++)
		world_pass(w, 10);
	return w->n_sent > since ? &w->sent[w->n_sent - 1] : NULL;
}

static void what_a_probe_says(void **state)
{
	struct world *w = probing("60s");
	struct w_sent *s = next_probe(w, 10100);

	(void)state;
	assert_non_null(s); /* the first within ten seconds */
	assert_memory_equal(s->text, "OPTIONS sip:192.0.2.1 SIP/2.0\r\n", 31);
	assert_non_null(strstr(s->text, "\r\nFrom: <sip:203.0.113.1>;tag="));
	assert_non_null(strstr(s->text, "\r\nTo: <sip:192.0.2.1>\r\n"));
	assert_non_null(strstr(s->text, "\r\nContact: <sip:203.0.113.1:5060>\r\n"));
	assert_non_null(strstr(s->text, "\r\nMax-Forwards: 70\r\n"));
	assert_int_equal(s->to.peer, targets_peer(w->ts, 1));
	world_answer(w, s, "200 OK", "", "");
	assert_int_equal(world_state(w, "192.0.2.1:5060", NET_UDP), TARGET_UP);
	world_set(w, 0, "domain", "itsp.example");
	world_policy(w);
	s = next_probe(w, 67000);
	assert_memory_equal(s->text, "OPTIONS sip:itsp.example SIP/2.0\r\n", 34);
	assert_non_null(strstr(s->text, "\r\nFrom: <sip:itsp.example>;tag="));
	world_free(w);
}

static void each_period_ten_percent_early_or_late(void **state)
{
	struct world *w = probing("30s");
	int64_t last = 0, least = INT64_MAX, most = 0;

	(void)state;
	for (int i = 0; i < 60; i++) {
		struct w_sent *s = next_probe(w, 40000);

		assert_non_null(s);
		if (last && s->at_us - last < least)
			least = s->at_us - last;
		if (last && s->at_us - last > most)
			most = s->at_us - last;
		last = s->at_us;
		world_answer(w, s, "200 OK", "", "");
	}
	assert_in_range(least, 27000000, 29500000);
	assert_in_range(most, 30500000, 33100000);
	world_free(w);
}

/* DNS-09: any final answer is life but 503, 408 and silence; hysteresis as configured */
static void what_counts_as_alive(void **state)
{
	static const struct {
		const char *status;
		bool alive;
	} rows[] = {{"200 OK", true}, {"404 Not Found", true}, {"405 Method Not Allowed", true}, {"483 Too Many Hops", true},
	    {"401 Unauthorized", true}, {"500 Server Error", true}, {"603 Decline", true}, {"503 Service Unavailable", false},
	    {"408 Request Timeout", false}, {NULL, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world *w = probing("30s");

		world_set(w, 0, "probe-down", "2");
		world_set(w, 0, "probe-up", "2");
		world_policy(w);
		world_answer(w, next_probe(w, 11000), "200 OK", "", "");
		for (int k = 0; k < 2; k++) {
			struct w_sent *s = next_probe(w, 34000);

			assert_int_equal(world_state(w, "192.0.2.1:5060", NET_UDP), TARGET_UP);
			if (rows[i].status)
				world_answer(w, s, rows[i].status, "", "");
			else
				world_pass(w, 4100);
		}
		assert_int_equal(world_state(w, "192.0.2.1:5060", NET_UDP), rows[i].alive ? TARGET_UP : TARGET_DOWN);
		if (!rows[i].alive) {
			/* and back after two in a row */
			for (int k = 0; k < 2; k++) {
				assert_int_equal(world_state(w, "192.0.2.1:5060", NET_UDP), TARGET_DOWN);
				world_answer(w, next_probe(w, 34000), "405 Method Not Allowed", "", "");
			}
			assert_int_equal(world_state(w, "192.0.2.1:5060", NET_UDP), TARGET_UP);
		}
		world_free(w);
	}
}

/* DNS-08: dead for a minute: found out within seconds, no call goes there, back within one period */
static void dead_and_back(void **state)
{
	struct world *w = probing("30s");
	int64_t died, found;
	char text[512];

	(void)state;
	world_answer(w, next_probe(w, 11000), "200 OK", "", "");
	died = w->clock.mono_us;
	next_probe(w, 34000);
	while (world_state(w, "192.0.2.1:5060", NET_UDP) == TARGET_UP && w->clock.mono_us - died < 120000000)
		world_pass(w, 100);
	found = w->clock.mono_us;
	/* one period, then three probes of 4 s two seconds apart */
	assert_in_range(found - died, 1000000, 33000000 + 17000000);
	for (int i = 0; i < 70; i++) { /* the quarantine of 60 s is renewed by each probe that fails */
		assert_string_equal(world_ways(w, 0, 0, text), "-TARGET_DOWN");
		world_pass(w, 1000);
	}
	found = w->clock.mono_us;
	world_answer(w, next_probe(w, 34000), "200 OK", "", "");
	assert_in_range(w->clock.mono_us - found, 0, 33100000);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060");
	world_free(w);
}

/* a call that failed is looked into at once, not at the end of the period */
static void suspicion(void **state)
{
	struct world *w = probing("300s");
	unsigned before;

	(void)state;
	world_answer(w, next_probe(w, 11000), "200 OK", "", "");
	world_pass(w, 5000);
	before = world_count(w, 0, NULL);
	world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_SILENT, 0);
	world_pass(w, 2100);
	assert_int_equal(world_count(w, 0, NULL), before + 1);
	world_answer(w, &w->sent[w->n_sent - 1], "200 OK", "", "");
	world_pass(w, 200000);
	assert_int_equal(world_count(w, 0, NULL), before + 1); /* all is well again */
	world_free(w);
}

/* Retry-After: nothing is sent before its time, an answer to what was under way does not shorten it, at most an hour */
static void retry_after(void **state)
{
	struct world *w = probing("30s");
	unsigned before;

	(void)state;
	world_answer(w, next_probe(w, 11000), "503 Service Unavailable", "", "Retry-After: 100\r\n");
	assert_int_equal(world_state(w, "192.0.2.1:5060", NET_UDP), TARGET_DOWN);
	world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_ANSWERED, 0);
	assert_int_equal(world_state(w, "192.0.2.1:5060", NET_UDP), TARGET_DOWN);
	before = w->n_sent;
	world_pass(w, 99900);
	assert_int_equal(w->n_sent, before);
	world_answer(w, next_probe(w, 2000), "200 OK", "", "");
	assert_int_equal(world_state(w, "192.0.2.1:5060", NET_UDP), TARGET_UP);
	world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_503, 1000000);
	world_pass(w, 3599000);
	assert_int_equal(world_state(w, "192.0.2.1:5060", NET_UDP), TARGET_DOWN);
	world_pass(w, 2000);
	assert_int_not_equal(world_state(w, "192.0.2.1:5060", NET_UDP), TARGET_DOWN);
	world_free(w);
}

/* HE-03: with probing off, both families are asked when the name appears; one silence is enough for the other */
static void two_families_are_asked_at_once(void **state)
{
	struct world *w = world_new();
	struct w_sent *s;
	unsigned before;
	char text[512];

	(void)state;
	world_set(w, 0, "probe", "off");
	world_target(w, 0, "trunk.example", 0, "udp");
	world_policy(w);
	world_plan(w, "trunk.example", both, 1, REASON_NONE);
	world_pass(w, 10);
	assert_int_equal(world_count(w, 0, "[2001:db8::1]:5060"), 1);
	s = world_probe(w, "192.0.2.1:5060");
	assert_non_null(s);
	world_answer(w, s, "200 OK", "", "");
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060 [2001:db8::1]:5060");
	world_pass(w, 5000);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060");
	/* and no more, since probing is off */
	before = w->n_sent;
	world_pass(w, 600000);
	assert_int_equal(w->n_sent, before);
	/* one family alone is not asked at all */
	world_plan(w, "trunk.example", one, 1, REASON_NONE);
	world_pass(w, 600000);
	assert_int_equal(w->n_sent, before);
	world_free(w);
}

static void one_in_flight_and_none_when_it_left(void **state)
{
	static const struct w_server other[] = {{"a.example", NET_UDP, 10, 1, {"192.0.2.2:5060"}}};
	struct world *w = world_new();
	unsigned before;

	(void)state;
	world_set(w, 0, "probe", "10s");
	world_target(w, 0, "trunk.example", 0, "udp");
	world_policy(w);
	world_plan(w, "trunk.example", one, 1, REASON_NONE);
	next_probe(w, 11000);
	before = w->n_sent;
	for (int i = 0; i < 5; i++)
		world_plan(w, "trunk.example", one, 1, REASON_NONE); /* nothing new */
	assert_int_equal(w->n_sent, before);
	world_plan(w, "trunk.example", other, 1, REASON_NONE);
	world_pass(w, 5000); /* the transaction that was under way ends by itself */
	before = w->n_sent;
	world_pass(w, 60000);
	assert_int_equal(world_count(w, before, "192.0.2.1:5060"), 0);
	assert_in_range(world_count(w, before, "192.0.2.2:5060"), 3, 60);
	world_free(w);
}

static void a_disabled_trunk_is_not_probed(void **state)
{
	struct world *w = probing("10s");

	(void)state;
	w->trunk[0].admin = DB_DISABLED;
	world_policy(w);
	world_pass(w, 60000);
	assert_int_equal(w->n_sent, 0);
	w->trunk[0].admin = DB_ENABLED;
	world_set(w, 0, "probe", "3600s");
	world_policy(w);
	world_answer(w, next_probe(w, 11000), "200 OK", "", "");
	/* a shorter interval counts from now on */
	world_set(w, 0, "probe", "10s");
	world_policy(w);
	assert_non_null(next_probe(w, 11100));
	world_free(w);
}

/* ten thousand addresses that come due at once go out one after the other */
static void probes_of_all_trunks_share_a_bound(void **state)
{
	struct world *w = world_new();
	struct trunk_state *t;
	unsigned most = 0;

	(void)state;
	world_set(w, 0, "probe", "3600s");
	world_target(w, 0, "192.0.2.1", 5060, "udp");
	world_policy(w);
	t = trunk_state_of(w->ts, 1);
	for (unsigned i = 0; i < 60; i++) {
		struct addr a = w_addr("192.0.2.1:5060");
		struct health *h;

		addr_set_port(&a, (uint16_t)(6000 + i));
		h = health_get(t, &a, NET_UDP);
		assert_non_null(h);
		h->planned = true;
		probe_now(h);
	}
	for (unsigned i = 0; i < 20; i++) {
		unsigned before = w->n_sent;

		world_pass(w, 10);
		if (w->n_sent - before > most)
			most = w->n_sent - before;
	}
	assert_int_equal(w->n_sent, 60);
	assert_in_range(most, 4, 6); /* 500 a second */
	world_free(w);
}

/* what is remembered has a bound, and what stands in a plan is never the one that goes */
static void memory_is_bounded(void **state)
{
	struct world *w = world_new();
	struct trunk_state *t;
	struct addr a = w_addr("192.0.2.1:5060");

	(void)state;
	world_set(w, 0, "probe", "off");
	world_target(w, 0, "192.0.2.1", 5060, "udp");
	world_policy(w);
	t = trunk_state_of(w->ts, 1);
	for (unsigned i = 0; i < 1000; i++) {
		struct addr b = a;

		addr_set_port(&b, (uint16_t)(6000 + i));
		assert_non_null(health_get(t, &b, NET_UDP));
		assert_true(t->n_health <= HEALTH_MAX);
	}
	assert_non_null(health_find(t, &a, NET_UDP));
	world_pass(w, 3700000);
	health_plan(t);
	assert_int_equal(t->n_health, 1); /* an hour after they left they are forgotten */
	world_free(w);
}

struct told {
	unsigned n;
	uint16_t status;
	int err;
	uint32_t rtt_us;
};

static void on_probe(void *arg, const struct net_path *path, uint16_t status, int err, uint32_t rtt_us)
{
	struct told *x = arg;

	assert_int_equal(addr_port(&path->remote), 5060);
	x->n++;
	x->status = status;
	x->err = err;
	x->rtt_us = rtt_us;
}

static void asked_from_outside(void **state)
{
	struct world *w = world_new();
	const struct pol_trunk *t;
	struct net_path p = w_path(NET_UDP, "192.0.2.1:5060");
	struct told told = {0};

	(void)state;
	world_set(w, 0, "probe", "off");
	world_target(w, 0, "192.0.2.1", 5060, "udp");
	world_policy(w);
	t = policy_trunk(w->p, 1);
	assert_int_equal(targets_probe(w->ts, t, &p, on_probe, &told), 0);
	world_pass(w, 30);
	world_answer(w, &w->sent[w->n_sent - 1], "404 Not Found", "", "");
	assert_int_equal(told.n, 1);
	assert_int_equal(told.status, 404);
	assert_in_range(told.rtt_us, 29000, 32000);
	assert_int_equal(world_state(w, "192.0.2.1:5060", NET_UDP), TARGET_UP);
	/* silence */
	assert_int_equal(targets_probe(w->ts, t, &p, on_probe, &told), 0);
	world_pass(w, 4100);
	assert_int_equal(told.n, 2);
	assert_int_equal(told.status, 0);
	assert_int_equal(told.err, -ETIMEDOUT);
	/* cannot be sent: heard on a later turn */
	w->send_err = -ENETUNREACH;
	assert_int_equal(targets_probe(w->ts, t, &p, on_probe, &told), 0);
	assert_int_equal(told.n, 2);
	world_pass(w, 10);
	assert_int_equal(told.n, 3);
	assert_int_equal(told.err, -ENETUNREACH);
	w->send_err = 0;
	/* no listener: refused at once, and fn is not called */
	w->no_udp = true;
	assert_int_equal(targets_probe(w->ts, t, &p, on_probe, &told), -ENETUNREACH);
	w->no_udp = false;
	/* all ends before its answer: heard once */
	assert_int_equal(targets_probe(w->ts, t, &p, on_probe, &told), 0);
	world_free(w);
	assert_int_equal(told.n, 4);
	assert_int_equal(told.err, -ECANCELED);
}

/* learn-address: what the answer says of us is what later requests say */
static void our_address_is_learned(void **state)
{
	struct world *w = world_new();
	struct net_path p = w_path(NET_UDP, "192.0.2.1:5060");
	struct w_sent *s;

	(void)state;
	world_set(w, 0, "probe", "10s");
	world_target(w, 0, "192.0.2.1", 5060, "udp");
	world_policy(w);
	s = next_probe(w, 11000);
	world_answer(w, s, "200 OK", ";received=198.51.100.77;x=", ""); /* not asked for: not taken */
	assert_true(str_eq(targets_local(w->ts, 1, &p)->host, S("203.0.113.1")));
	world_set(w, 0, "learn-address", "yes");
	world_policy(w);
	s = next_probe(w, 12000);
	{
		char *rport = strstr(s->text, ";rport");

		memcpy(rport, ";xport", 6); /* the answer's own goes behind */
	}
	world_answer(w, s, "200 OK", ";received=198.51.100.77;rport=1234", "");
	assert_true(str_eq(targets_local(w->ts, 1, &p)->host, S("198.51.100.77")));
	assert_int_equal(targets_local(w->ts, 1, &p)->port, 1234);
	s = next_probe(w, 12000);
	assert_non_null(strstr(s->text, "Via: SIP/2.0/UDP 198.51.100.77:1234;"));
	assert_non_null(strstr(s->text, "Contact: <sip:198.51.100.77:1234>"));
	world_answer(w, s, "200 OK", ";received=no-address", ""); /* nor is this */
	assert_true(str_eq(targets_local(w->ts, 1, &p)->host, S("198.51.100.77")));
	/* towards others we are who we were */
	assert_true(str_eq(targets_local(w->ts, 9, &p)->host, S("203.0.113.1")));
	world_set(w, 0, "learn-address", "no");
	world_policy(w);
	assert_true(str_eq(targets_local(w->ts, 1, &p)->host, S("203.0.113.1")));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_a_probe_says),
	    cmocka_unit_test(each_period_ten_percent_early_or_late),
	    cmocka_unit_test(what_counts_as_alive),
	    cmocka_unit_test(dead_and_back),
	    cmocka_unit_test(suspicion),
	    cmocka_unit_test(retry_after),
	    cmocka_unit_test(two_families_are_asked_at_once),
	    cmocka_unit_test(one_in_flight_and_none_when_it_left),
	    cmocka_unit_test(a_disabled_trunk_is_not_probed),
	    cmocka_unit_test(probes_of_all_trunks_share_a_bound),
	    cmocka_unit_test(memory_is_bounded),
	    cmocka_unit_test(asked_from_outside),
	    cmocka_unit_test(our_address_is_learned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
