/* Flows of registrations we make (RFC 5626): rows KA-02, KA-05 to KA-09, GINP-09. */
#include "client_rig.h"

#define OUT PROV "auth=register aor=trunk42 outbound=on "
#define YES "Require: outbound\r\n"

static struct reg_client_view flow(struct world *w, unsigned reg_id)
{
	struct reg_client_view v;

	assert_true(reg_client_view(w->cs, w->id, reg_id, &v));
	return v;
}

#define assert_flow(w, reg_id, want) assert_string_equal(reg_client_state_names[flow(w, reg_id).state], (want))

static bool sent_to(const struct world *w, const char *ip)
{
	char text[ADDR_TEXT_MAX];

	return str_prefix(str_z(addr_text(&w->r.sent_to[0].remote, text)), str_z(ip));
}

/* The next REGISTER, as that flow, to that server. */
static const char *must_flow(struct world *w, int64_t ms, unsigned reg_id, const char *ip)
{
	char want[32];

	must_register(w, ms);
	snprintf(want, sizeof(want), ";reg-id=%u;", reg_id);
	assert_has(w->last, want);
	if (!sent_to(w, ip))
		fail_msg("not to %s: %s", ip, w->last);
	return w->last;
}

static struct net_path place(const char *ip)
{
	struct net_path p = {.proto = NET_UDP, .realm = 1};

	assert_int_equal(addr_parse(str_z(ip), 5060, &p.remote), 0);
	return p;
}

static void lose(struct world *w, const char *ip)
{
	struct net_path p = place(ip);

	w->n_log = 0;
	w->log[0] = '\0';
	reg_clients_on_flow_lost(w->cs, &p, -NET_ERR_KEEPALIVE);
}

/* both flows up: 1 at .50, 2 at .51 */
static void two_flows(struct world *w, const char *settings)
{
	world_init(w, settings);
	must_flow(w, 100, 1, "192.0.2.50");
	ok(w, 600, YES);
	must_flow(w, 100, 2, "192.0.2.51");
	ok(w, 600, YES);
	assert_flow(w, 1, "registered");
	assert_flow(w, 2, "registered");
	w->n_log = 0;
	w->log[0] = '\0';
}

static unsigned first_way(struct world *w, char text[ADDR_TEXT_MAX])
{
	struct reg_client_way ways[REG_FLOWS_MAX];
	unsigned n = reg_client_ways(w->cs, w->id, STR_NONE, ways);

	assert_true(n > 0);
	addr_text(&ways[0].path.remote, text);
	return n;
}

/* KA-07, GINP-09: what it asks with; the second flow by the other server, with all of its own but the instance */
static void ka_07_asks_and_makes_a_second_flow(void **state)
{
	struct world w;
	struct str instance, contact, id;

	(void)state;
	world_init(&w, OUT);
	must_flow(&w, 100, 1, "192.0.2.50");
	assert_has(w.last, "\r\nSupported: path, outbound\r\n");
	assert_has(w.last, "+sip.instance=\"<urn:uuid:");
	instance = kept(&w, flow(&w, 1).instance);
	assert_int_equal(instance.n, INSTANCE_TEXT);
	assert_true(str_find(str_z(w.last), instance) > 0);
	id = kept(&w, field(w.last, "\r\nCall-ID: "));
	contact = kept(&w, flow(&w, 1).contact);
	assert_null(next_register(&w, 400)); /* not before it is known to be any use */
	assert_false(reg_client_view(w.cs, w.id, 2, &(struct reg_client_view){0}));
	ok(&w, 600, YES "Flow-Timer: 25\r\n");
	assert_int_equal(w.kept[0].ms, 25000);
	assert_true(flow(&w, 1).outbound && flow(&w, 1).pinged);
	must_flow(&w, 100, 2, "192.0.2.51");
	assert_true(str_find(str_z(w.last), instance) > 0);
	assert_false(str_eq(field(w.last, "\r\nCall-ID: "), id));
	assert_false(str_eq(flow(&w, 2).contact, contact)); /* its cookie tells the flows apart */
	ok(&w, 600, YES);
	assert_int_equal(w.n_kept, 2);
	assert_int_equal(w.kept[1].ms, 29000); /* STUN over UDP: 24 to 29 s */
	assert_string_equal(w.log, "4:registered 4:registered ");
	world_fini(&w);
}

static void ginp_09_the_instance_stays(void **state)
{
	struct world w;
	struct reg_clients *again;
	char was[64];

	(void)state;
	two_flows(&w, OUT);
	snprintf(was, sizeof(was), "%.*s", STR(flow(&w, 1).instance));
	again = reg_clients_new(&w.r.env, S("x"), &user, &w);
	assert_non_null(again);
	reg_clients_free(w.cs);
	w.cs = again;
	reg_clients_set_secret(again, &(struct reg_secret){{7}});
	reg_clients_start(again, &w.r.net, w.r.txn, w.ts);
	use_policy(&w);
	must_flow(&w, 100, 1, "192.0.2.50");
	assert_true(str_find(str_z(w.last), str_z(was)) > 0);
	world_fini(&w);
}

/* KA-08: a registrar without outbound */
static void ka_08_without_outbound_it_is_plain(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, OUT);
	must_flow(&w, 100, 1, "192.0.2.50");
	ok(&w, 600, "");
	assert_flow(&w, 1, "registered");
	assert_string_equal(w.log, "4:registered 4:REG_NO_OUTBOUND ");
	assert_int_equal(w.n_kept, 0);
	assert_null(next_register(&w, 200000)); /* no second one */
	must_flow(&w, 400000, 1, "192.0.2.50"); /* a refresh asks again: it costs nothing */
	ok(&w, 600, YES);
	must_flow(&w, 100, 2, "192.0.2.51"); /* it has learnt it */
	world_fini(&w);
}

static void ka_08_required_and_not_there(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42 outbound=required");
	must_flow(&w, 100, 1, "192.0.2.50");
	ok(&w, 600, "");
	must_register(&w, 0);
	assert_has(w.last, ";expires=0\r\n");
	assert_flow(&w, 1, "removing");
	answer(&w, "200 OK", "");
	assert_flow(&w, 1, "rejected");
	assert_int_equal(flow(&w, 1).why, REASON_REG_NO_OUTBOUND);
	assert_false(reg_client_holds(w.cs, w.id));
	assert_null(next_register(&w, 290000));
	must_flow(&w, 60000, 1, "192.0.2.50");
	answer(&w, "439 First Hop Lacks Outbound Support", "");
	assert_flow(&w, 1, "rejected");
	assert_null(next_register(&w, 290000));
	world_fini(&w);
}

/* the trunk is deleted while the REGISTER is out whose answer shows that outbound is not there */
static void ka_08_required_of_a_trunk_that_goes(void **state)
{
	struct reg_client_view v;
	struct world w;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42 outbound=required");
	must_flow(&w, 100, 1, "192.0.2.50");
	w.r.fix.rows.n_trunks--;
	use_policy(&w);
	ok(&w, 600, "");
	must_register(&w, 0);
	assert_has(w.last, ";expires=0\r\n");
	answer(&w, "200 OK", "");
	assert_false(reg_client_view(w.cs, w.id, 1, &v));
	world_fini(&w);
}

/* KA-09: 439 leads to a registration without reg-id, and it is not asked for again before an operator says so */
static void ka_09_439_is_taken_for_an_answer(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, OUT);
	must_flow(&w, 100, 1, "192.0.2.50");
	answer(&w, "439 First Hop Lacks Outbound Support", "");
	must_register(&w, 0);
	assert_lacks(w.last, "reg-id");
	assert_lacks(w.last, "outbound");
	assert_lacks(w.last, "sip.instance");
	ok(&w, 600, "");
	assert_flow(&w, 1, "registered");
	assert_string_equal(w.log, "4:REG_NO_OUTBOUND 4:registered ");
	must_register(&w, 600000);
	assert_lacks(w.last, "reg-id");
	ok(&w, 600, "");
	assert_true(reg_client_register(w.cs, w.id));
	must_flow(&w, 100, 1, "192.0.2.50");
	world_fini(&w);
}

/* The second registrar does not know it: a second registration there would be a second phone. */
static void the_second_does_not_know_it(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, OUT);
	must_flow(&w, 100, 1, "192.0.2.50");
	ok(&w, 600, YES);
	must_flow(&w, 100, 2, "192.0.2.51");
	ok(&w, 600, "");
	must_flow(&w, 0, 2, "192.0.2.51");
	assert_has(w.last, ";expires=0\r\n");
	answer(&w, "200 OK", "");
	assert_false(reg_client_view(w.cs, w.id, 2, &(struct reg_client_view){0}));
	assert_flow(&w, 1, "registered");
	assert_true(reg_client_holds(w.cs, w.id));
	world_fini(&w);
}

/* KA-02: the flow that is lost is made anew at once, with its reg-id; meanwhile calls have the other one */
static void ka_02_a_lost_flow_is_made_anew(void **state)
{
	char first[ADDR_TEXT_MAX];
	struct world w;

	(void)state;
	two_flows(&w, OUT);
	run_ms(&w, 130000);
	assert_int_equal(first_way(&w, first), 2);
	assert_string_equal(first, "192.0.2.50:5060");
	lose(&w, "192.0.2.50");
	assert_string_equal(w.log, "4:KEEPALIVE_LOST ");
	assert_int_equal(first_way(&w, first), 2);
	assert_string_equal(first, "192.0.2.51:5060");
	assert_true(flow(&w, 1).down && flow(&w, 1).holds);
	lose(&w, "192.0.2.50"); /* told twice */
	assert_string_equal(w.log, "");
	must_flow(&w, 100, 1, "192.0.2.50");
	ok(&w, 600, YES);
	assert_string_equal(w.log, "4:registered ");
	assert_int_equal(first_way(&w, first), 2);
	assert_string_equal(first, "192.0.2.50:5060");
	assert_false(flow(&w, 1).down);
	/* what is nobody's, or another connection's, changes nothing */
	lose(&w, "192.0.2.77");
	assert_string_equal(w.log, "");
	world_fini(&w);
}

/* KA-05: 90 s * 2^n while the other flow works, 30 s * 2^n when none does; half of it at least */
static void ka_05_back_off(void **state)
{
	struct world w;

	(void)state;
	two_flows(&w, OUT);
	run_ms(&w, 130000);
	lose(&w, "192.0.2.50");
	must_flow(&w, 100, 1, "192.0.2.50");
	run_ms(&w, 33000); /* silence: and no other server is free */
	assert_flow(&w, 1, "retry");
	assert_in_range(until_next_ms(&w), 89000, 180000);
	must_flow(&w, 180000, 1, "192.0.2.50");
	run_ms(&w, 33000);
	assert_in_range(until_next_ms(&w), 179000, 360000);
	/* now the other one too; its server answers neither, nor does the first */
	w.r.n_sent = 0;
	lose(&w, "192.0.2.51");
	must_flow(&w, 100, 2, "192.0.2.51");
	run_ms(&w, 33000);
	assert_flow(&w, 2, "retry");
	assert_in_range((flow(&w, 2).next_us - w.r.clock.mono_us) / 1000, 29000, 60000);
	world_fini(&w);
}

/* A server that accepts and loses the flow again does not see us every second. */
static void a_flapping_flow_waits(void **state)
{
	struct world w;

	(void)state;
	two_flows(&w, OUT);
	lose(&w, "192.0.2.50");
	must_flow(&w, 100, 1, "192.0.2.50"); /* once it may be chance */
	ok(&w, 600, YES);
	run_ms(&w, 1000);
	lose(&w, "192.0.2.50");
	assert_flow(&w, 1, "retry");
	assert_in_range(until_next_ms(&w), 89000, 180000);
	must_flow(&w, 180000, 1, "192.0.2.50");
	ok(&w, 600, YES);
	run_ms(&w, 121000); /* it has proved itself */
	lose(&w, "192.0.2.50");
	must_flow(&w, 100, 1, "192.0.2.50");
	world_fini(&w);
}

/* KA-05: the base is the operator's where another flow works */
static void a_lost_flow_comes_back_as_configured(void **state)
{
	struct world w;

	(void)state;
	two_flows(&w, OUT " flow-retry=10s");
	lose(&w, "192.0.2.51");
	must_flow(&w, 100, 2, "192.0.2.51");
	answer(&w, "500 Server Error", "");
	assert_flow(&w, 2, "retry");
	assert_in_range((flow(&w, 2).next_us - w.r.clock.mono_us) / 1000, 9900, 20000);
	must_flow(&w, 20100, 2, "192.0.2.51");
	answer(&w, "500 Server Error", "");
	assert_in_range((flow(&w, 2).next_us - w.r.clock.mono_us) / 1000, 19900, 40000);
	world_fini(&w);
}

/* The server that is dead at the start is the second flow's to try. */
static void no_two_flows_by_one_server(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, OUT "try-timeout=1s");
	must_flow(&w, 100, 1, "192.0.2.50");
	must_flow(&w, 1500, 1, "192.0.2.51");
	ok(&w, 600, YES);
	must_flow(&w, 100, 2, "192.0.2.50");
	run_ms(&w, 33000);
	assert_flow(&w, 2, "retry");
	assert_int_equal(flow(&w, 2).why, REASON_PEER_SILENT);
	must_flow(&w, 180000, 2, "192.0.2.50"); /* it came back */
	ok(&w, 600, YES);
	assert_flow(&w, 2, "registered");
	world_fini(&w);
}

static void one_server_only(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "role=itsp realm=wan target=192.0.2.50 domain=itsp.example.com probe=off expires=600s "
	               "auth=register aor=trunk42 outbound=on");
	must_flow(&w, 100, 1, "192.0.2.50");
	ok(&w, 600, YES);
	assert_null(next_register(&w, 1000));
	assert_flow(&w, 2, "retry");
	assert_int_equal(flow(&w, 2).why, REASON_REG_ONE_SERVER);
	assert_flow(&w, 1, "registered");
	world_fini(&w);
}

static void one_flow_is_asked_for(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, OUT "flows=1");
	must_flow(&w, 100, 1, "192.0.2.50");
	ok(&w, 600, YES);
	assert_null(next_register(&w, 1000));
	assert_int_equal(w.n_kept, 1);
	world_fini(&w);
}

/* KA-06: 503 with Retry-After at a refresh; the flow stays, and the registration at it */
static void ka_06_503_keeps_the_flow(void **state)
{
	char first[ADDR_TEXT_MAX];
	struct world w;

	(void)state;
	world_init(&w, OUT "flows=1");
	must_flow(&w, 100, 1, "192.0.2.50");
	ok(&w, 600, YES);
	must_flow(&w, 600000, 1, "192.0.2.50");
	w.n_log = 0;
	answer(&w, "503 Service Unavailable", "Retry-After: 20\r\n");
	assert_flow(&w, 1, "retry");
	assert_int_equal(w.n_closed, 0);
	assert_true(flow(&w, 1).holds && !flow(&w, 1).down && flow(&w, 1).pinged);
	assert_int_equal(first_way(&w, first), 1);
	assert_string_equal(first, "192.0.2.50:5060");
	assert_in_range(until_next_ms(&w), 20000, 60000);
	must_flow(&w, 60000, 1, "192.0.2.50"); /* not the next one, as without a flow */
	ok(&w, 600, YES);
	assert_flow(&w, 1, "registered");
	world_fini(&w);
}

/* 430: behind the first hop is nothing; another server, the same reg-id */
static void ka_09_430_is_a_lost_flow(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, OUT "flows=1");
	must_flow(&w, 100, 1, "192.0.2.50");
	ok(&w, 600, YES);
	must_flow(&w, 600000, 1, "192.0.2.50");
	answer(&w, "430 Flow Failed", "");
	must_flow(&w, 0, 1, "192.0.2.51");
	ok(&w, 600, YES);
	assert_flow(&w, 1, "registered");
	world_fini(&w);
}

/* RGC-07 for both: each by its own server, and the pings end */
static void both_are_taken_back(void **state)
{
	struct world w;

	(void)state;
	two_flows(&w, OUT);
	w.r.fix.trunks[w.id - 1].admin = DB_DISABLED;
	w.r.n_sent = 0;
	use_policy(&w);
	assert_int_equal(w.r.n_sent, 2);
	assert_has(w.r.sent[0], ";expires=0\r\n");
	assert_has(w.r.sent[1], ";expires=0\r\n");
	assert_has(w.r.sent[0], ";reg-id=1;");
	assert_has(w.r.sent[1], ";reg-id=2;");
	assert_int_equal(reg_clients_busy(w.cs), 2);
	run_ms(&w, 2100);
	assert_flow(&w, 1, "stopped");
	assert_flow(&w, 2, "stopped");
	assert_int_equal(w.n_kept, 4);
	assert_int_equal(w.kept[2].ms, 0);
	assert_int_equal(w.kept[3].ms, 0);
	w.r.fix.trunks[w.id - 1].admin = DB_ENABLED;
	w.r.n_sent = 0;
	use_policy(&w);
	must_flow(&w, 100, 1, "192.0.2.50");
	assert_null(next_register(&w, 400)); /* the second when the first is there */
	ok(&w, 600, YES);
	must_flow(&w, 100, 2, "192.0.2.51");
	ok(&w, 600, YES);
	/* one flow only from now on */
	w.r.n_sent = 0;
	fix_set(&w.r.fix, w.id, "flows=1");
	use_policy(&w);
	must_flow(&w, 0, 2, "192.0.2.51");
	assert_has(w.last, ";expires=0\r\n");
	answer(&w, "200 OK", "");
	assert_false(reg_client_view(w.cs, w.id, 2, &(struct reg_client_view){0}));
	assert_flow(&w, 1, "registered");
	world_fini(&w);
}

/* Without outbound: REGISTER soon, later and later when that comes again and again; calls do not mind. */
static void a_plain_registration_is_renewed(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "role=itsp realm=wan target=192.0.2.50 domain=itsp.example.com probe=off expires=600s "
	               "auth=register aor=trunk42");
	must_register(&w, 100);
	ok(&w, 600, "");
	run_ms(&w, 125000);
	for (int i = 0; i < 5; i++) {
		lose(&w, "192.0.2.77");
		assert_in_range(until_next_ms(&w), 60000, 600000);
		lose(&w, "192.0.2.50");
		assert_string_equal(w.log, "");
		assert_state(&w, "registered");
		assert_true(reg_client_holds(w.cs, w.id) && !flow(&w, 1).down);
		assert_in_range(until_next_ms(&w), 0, 1000 << i);
		must_register(&w, (1000 << i) + 100);
		lose(&w, "192.0.2.50"); /* one is out already */
		ok(&w, 600, "");
	}
	run_ms(&w, 125000); /* one that lasted is not counted */
	lose(&w, "192.0.2.50");
	assert_in_range(until_next_ms(&w), 0, 1000);
	world_fini(&w);
}

/* A wrong password is tried by one flow alone (RGC-05). */
static void a_wrong_password_is_tried_twice(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, OUT);
	must_flow(&w, 100, 1, "192.0.2.50");
	answer(&w, "401 Unauthorized", CHALLENGE("n1", ""));
	must_flow(&w, 0, 1, "192.0.2.50");
	answer(&w, "401 Unauthorized", CHALLENGE("n2", ""));
	assert_flow(&w, 1, "rejected");
	assert_null(next_register(&w, 59000));
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ka_07_asks_and_makes_a_second_flow),
	    cmocka_unit_test(ginp_09_the_instance_stays),
	    cmocka_unit_test(ka_08_without_outbound_it_is_plain),
	    cmocka_unit_test(ka_08_required_and_not_there),
	    cmocka_unit_test(ka_08_required_of_a_trunk_that_goes),
	    cmocka_unit_test(ka_09_439_is_taken_for_an_answer),
	    cmocka_unit_test(the_second_does_not_know_it),
	    cmocka_unit_test(ka_02_a_lost_flow_is_made_anew),
	    cmocka_unit_test(ka_05_back_off),
	    cmocka_unit_test(a_flapping_flow_waits),
	    cmocka_unit_test(a_lost_flow_comes_back_as_configured),
	    cmocka_unit_test(no_two_flows_by_one_server),
	    cmocka_unit_test(one_server_only),
	    cmocka_unit_test(one_flow_is_asked_for),
	    cmocka_unit_test(ka_06_503_keeps_the_flow),
	    cmocka_unit_test(ka_09_430_is_a_lost_flow),
	    cmocka_unit_test(both_are_taken_back),
	    cmocka_unit_test(a_plain_registration_is_renewed),
	    cmocka_unit_test(a_wrong_password_is_tried_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
