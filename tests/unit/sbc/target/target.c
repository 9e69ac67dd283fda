/* Which ways lead to a target, and in which order. */
#include "world.h"

static const struct w_server two_servers[] = {
    {"a.example", NET_UDP, 10, 1, {"192.0.2.1:5060", "192.0.2.2:5060"}},
    {"b.example", NET_UDP, 20, 1, {"192.0.2.9:5070"}},
};
static const struct w_server both[] = {
    {"a.example", NET_UDP, 10, 1, {"[2001:db8::1]:5060", "192.0.2.1:5060"}},
    {"b.example", NET_UDP, 20, 1, {"[2001:db8::9]:5060"}},
};

static struct world *named(const char *transport, const struct w_server *s, unsigned n)
{
	struct world *w = world_new();

	world_set(w, 0, "probe", "off");
	world_target(w, 0, "trunk.example", 0, transport);
	world_policy(w);
	if (n)
		world_plan(w, "trunk.example", s, n, REASON_NONE);
	return w;
}

static void a_number_is_one_way(void **state)
{
	struct world *w = world_new();
	struct target_way ways[TARGET_WAYS_MAX];
	struct pol_hop hop;
	enum reason why;
	char text[512];

	(void)state;
	world_set(w, 0, "probe", "off");
	world_target(w, 0, "192.0.2.7", 5080, "tcp");
	world_target(w, 0, "192.0.2.8", 0, "tls");
	world_policy(w);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.7:5080");
	assert_string_equal(world_ways(w, 0, 1, text), "192.0.2.8:5061");
	hop = world_hop(w, 0, 0);
	assert_int_equal(targets_ways(w->ts, &hop, ways, &why), 1);
	assert_int_equal(ways[0].path.proto, NET_TCP);
	assert_int_equal(ways[0].try_ms, 4000);
	assert_true(ways[0].path.peer != 0);
	/* DNS-01: nobody is asked */
	for (unsigned i = 0; i < W_LOCATIONS; i++)
		assert_false(w->loc[i].used);
	world_free(w);
}

static void a_name_before_its_answer_and_without_any(void **state)
{
	struct world *w = named("udp", NULL, 0);
	char text[512];

	(void)state;
	assert_string_equal(world_ways(w, 0, 0, text), "-NAME_UNRESOLVED");
	world_plan(w, "trunk.example", NULL, 0, REASON_DNS_NO_NAME);
	assert_string_equal(world_ways(w, 0, 0, text), "-DNS_NO_NAME");
	world_plan(w, "trunk.example", two_servers, 1, REASON_NONE);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060 192.0.2.2:5060");
	world_free(w);
}

static void all_addresses_of_a_server_before_the_next(void **state)
{
	struct world *w = named("udp", two_servers, 2);
	char text[512];

	(void)state;
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060 192.0.2.2:5060 192.0.2.9:5070");
	/* alive before unknown, but never across servers (HE-02) */
	world_report(w, "192.0.2.9:5070", NET_UDP, TARGET_ANSWERED, 0);
	world_report(w, "192.0.2.2:5060", NET_UDP, TARGET_ANSWERED, 0);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.2:5060 192.0.2.1:5060 192.0.2.9:5070");
	world_free(w);
}

static void both_families_over_udp(void **state)
{
	struct world *w = named("udp", both, 2);
	char text[512];

	(void)state;
	/* not known: RFC 6724's order, a short try for the one that has the other beside it (HE-03) */
	assert_string_equal(world_ways(w, 0, 0, text), "[2001:db8::1]:5060+192.0.2.1:5060! 192.0.2.1:5060 [2001:db8::9]:5060");
	/* one is known to be there: first, and with all its time */
	world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_ANSWERED, 0);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060 [2001:db8::1]:5060 [2001:db8::9]:5060");
	world_free(w);
}

static void the_family_that_worked_is_remembered_for_a_while(void **state)
{
	struct world *w = named("udp", both, 1);
	char text[512];

	(void)state;
	world_report(w, "[2001:db8::1]:5060", NET_UDP, TARGET_ANSWERED, 0);
	world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_ANSWERED, 0);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060 [2001:db8::1]:5060"); /* HE-04 */
	world_pass(w, 599000);
	world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_ANSWERED, 0); /* does not make it longer */
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060 [2001:db8::1]:5060");
	world_pass(w, 2000);
	assert_string_equal(world_ways(w, 0, 0, text), "[2001:db8::1]:5060 192.0.2.1:5060");
	world_free(w);
}

static void both_families_over_streams_are_raced(void **state)
{
	static const struct w_server s[] = {{"a.example", NET_TLS, 10, 1,
	    {"[2001:db8::1]:5061", "[2001:db8::2]:5061", "192.0.2.1:5061", "192.0.2.2:5061", "192.0.2.3:5061"}}};
	struct world *w = named("tls", s, 1);
	char text[512];

	(void)state;
	assert_string_equal(world_ways(w, 0, 0, text),
	    "[2001:db8::1]:5061+192.0.2.1:5061 [2001:db8::2]:5061+192.0.2.2:5061 192.0.2.3:5061");
	world_free(w);
}

static void a_family_without_a_listener_is_left_out(void **state)
{
	struct world *w = world_new();
	char text[512];

	(void)state;
	w->no_v6 = true;
	world_set(w, 0, "probe", "off");
	world_target(w, 0, "trunk.example", 0, "udp");
	world_target(w, 0, "2001:db8::5", 5060, "udp");
	world_policy(w);
	world_plan(w, "trunk.example", both, 2, REASON_NONE);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060");
	assert_true(strcmp(world_ways(w, 0, 1, text), "-NO_LISTENER") == 0 || strcmp(text, "-DNS_NO_ADDRESS") == 0);
	world_plan(w, "trunk.example", &both[1], 1, REASON_NONE);
	assert_string_equal(world_ways(w, 0, 0, text), "-NO_LISTENER");
	world_free(w);
}

static void shares_go_by_weight(void **state)
{
	static const struct w_server s[] = {{"a.example", NET_UDP, 10, 70, {"192.0.2.1:5060"}},
	    {"b.example", NET_UDP, 10, 30, {"192.0.2.2:5060"}}};
	struct world *w = named("udp", s, 2);
	unsigned first = 0;
	char text[512];

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		first += strncmp(world_ways(w, 0, 0, text), "192.0.2.1", 9) == 0;
	assert_in_range(first, 650, 750); /* DNS-04: within 5 % */
	world_free(w);
}

static void what_is_down_is_left_out(void **state)
{
	struct world *w = named("udp", two_servers, 2);
	struct target_way way;
	struct pol_hop hop;
	char text[512];

	(void)state;
	for (int i = 0; i < 3; i++)
		world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_SILENT, 0);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.2:5060 192.0.2.9:5070");
	world_pass(w, 1000);
	for (int i = 0; i < 3; i++) {
		world_report(w, "192.0.2.2:5060", NET_UDP, TARGET_UNREACHED, 0);
		world_report(w, "192.0.2.9:5070", NET_UDP, TARGET_503, 0);
	}
	assert_string_equal(world_ways(w, 0, 0, text), "-TARGET_DOWN");
	/* all down: the one that rests the shortest, once a second */
	hop = world_hop(w, 0, 0);
	assert_true(targets_last_resort(w->ts, &hop, &way));
	assert_string_equal(addr_text(&way.path.remote, text), "192.0.2.1:5060");
	assert_false(targets_last_resort(w->ts, &hop, &way));
	world_pass(w, 1001);
	assert_true(targets_last_resort(w->ts, &hop, &way));
	/* its time is over: one call may try it, and it comes back when that was answered */
	world_pass(w, 58000);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060");
	assert_string_equal(world_ways(w, 0, 0, text), "-TARGET_DOWN");
	world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_ANSWERED, 0);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060");
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060");
	world_free(w);
}

static void looking_takes_nothing(void **state)
{
	struct world *w = named("udp", two_servers, 1);
	struct target_way ways[TARGET_WAYS_MAX];
	struct pol_hop hop;
	enum reason why;
	char text[512];

	(void)state;
	hop = world_hop(w, 0, 0);
	for (int i = 0; i < 3; i++)
		world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_SILENT, 0);
	assert_int_equal(targets_ways_seen(w->ts, &hop, ways, &why), 2);
	world_pass(w, 61000);
	assert_int_equal(targets_ways_seen(w->ts, &hop, ways, &why), 2);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.1:5060 192.0.2.2:5060");
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.2:5060"); /* that was the one try */
	world_free(w);
}

static void a_new_snapshot_keeps_what_is_known(void **state)
{
	struct world *w = named("udp", two_servers, 2);
	struct pol_hop old = world_hop(w, 0, 0);
	struct policy *kept = policy_ref(w->p);
	struct target_way ways[TARGET_WAYS_MAX];
	uint32_t peer = targets_peer(w->ts, 1);
	enum reason why;
	char text[512];

	(void)state;
	for (int i = 0; i < 3; i++)
		world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_SILENT, 0);
	world_set(w, 0, "max-calls", "7");
	world_target(w, 0, "192.0.2.77", 5060, "udp");
	world_policy(w);
	assert_int_equal(targets_peer(w->ts, 1), peer);
	assert_string_equal(world_ways(w, 0, 0, text), "192.0.2.2:5060 192.0.2.9:5070");
	assert_string_equal(world_ways(w, 0, 1, text), "192.0.2.77:5060");
	/* a call that began before finds its target too */
	assert_int_equal(targets_ways(w->ts, &old, ways, &why), 2);
	/* its target goes: a name leads nowhere then */
	w->trunk[0].n_targets = 0;
	world_target(w, 0, "192.0.2.77", 5060, "udp");
	world_policy(w);
	assert_int_equal(targets_ways(w->ts, &old, ways, &why), 0);
	assert_int_equal(why, REASON_NAME_UNRESOLVED);
	/* and the trunk */
	w->n_trunks = 0;
	world_policy(w);
	assert_int_equal(targets_peer(w->ts, 1), 0);
	assert_int_equal(targets_ways(w->ts, &old, ways, &why), 0);
	policy_unref(kept);
	world_free(w);
}

static void peers_say_what_a_connection_has_to_prove(void **state)
{
	struct world *w = world_new();
	uint32_t id;

	(void)state;
	world_set(w, 0, "probe", "off");
	world_set(w, 0, "tls-names", "edge.example.net");
	world_set(w, 0, "tls-verify", "relaxed");
	world_set(w, 0, "keepalive", "30s");
	world_target(w, 0, "trunk.example", 0, "tls");
	world_policy(w);
	id = targets_peer(w->ts, 1);
	assert_string_equal(w->peer_name[id], "trunk.example");
	assert_int_equal(w->peer[id].n_names, 1);
	assert_true(str_eq(w->peer[id].names[0], S("edge.example.net")));
	assert_int_equal(w->peer[id].verify, NET_VERIFY_RELAXED);
	assert_int_equal(w->peer[id].ping_ms, 30000);
	world_set(w, 0, "tls-verify", "strict");
	world_policy(w);
	assert_int_equal(targets_peer(w->ts, 1), id);
	assert_int_equal(w->peer[id].verify, NET_VERIFY_STRICT);
	world_free(w);
}

/* One that registers has no target whose name would count: the names of its certificate do. */
static void who_registers_has_a_peer_too(void **state)
{
	struct world *w = world_new();
	uint32_t id;

	(void)state;
	w->trunk[0].role = S("pbx");
	world_set(w, 0, "auth", "gin");
	world_set(w, 0, "aor", "trunk42");
	world_policy(w);
	assert_int_equal(targets_peer(w->ts, 1), 0); /* nothing is said: its address has to be in the certificate */
	world_set(w, 0, "tls-names", "edge.example.net,other.example.net");
	world_policy(w);
	id = targets_peer(w->ts, 1);
	assert_int_not_equal(id, 0);
	assert_string_equal(w->peer_name[id], "edge.example.net");
	assert_int_equal(w->peer[id].n_names, 2);
	world_set(w, 0, "domain", "pbx.example.net");
	world_policy(w);
	assert_int_equal(targets_peer(w->ts, 1), id);
	assert_string_equal(w->peer_name[id], "pbx.example.net");
	world_free(w);
}

static void names_in_dialogs(void **state)
{
	struct world *w = named("udp", two_servers, 2);
	const struct pol_trunk *t = policy_trunk(w->p, 1);
	struct target_way ways[TARGET_WAYS_MAX];
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(targets_named(w->ts, t, S("Trunk.Example"), 0, LOCATE_ANY, ways), 3);
	assert_string_equal(addr_text(&ways[2].path.remote, text), "192.0.2.9:5070");
	assert_int_equal(targets_named(w->ts, t, S("b.example"), 0, NET_UDP, ways), 1);
	assert_string_equal(addr_text(&ways[0].path.remote, text), "192.0.2.9:5070");
	assert_int_equal(targets_named(w->ts, t, S("b.example"), 5099, LOCATE_ANY, ways), 1);
	assert_string_equal(addr_text(&ways[0].path.remote, text), "192.0.2.9:5099");
	/* other transports and other people's names are not found, whoever says them */
	assert_int_equal(targets_named(w->ts, t, S("b.example"), 0, NET_TLS, ways), 0);
	assert_int_equal(targets_named(w->ts, t, S("evil.example"), 0, LOCATE_ANY, ways), 0);
	assert_int_equal(targets_named(w->ts, t, S(""), 0, LOCATE_ANY, ways), 0);
	/* one that is down is used only when there is no other */
	for (int i = 0; i < 3; i++) {
		world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_SILENT, 0);
		world_report(w, "192.0.2.9:5070", NET_UDP, TARGET_SILENT, 0);
	}
	assert_int_equal(targets_named(w->ts, t, S("trunk.example"), 0, LOCATE_ANY, ways), 1);
	assert_int_equal(targets_named(w->ts, t, S("b.example"), 0, LOCATE_ANY, ways), 1);
	world_free(w);
}

static void views(void **state)
{
	struct world *w = named("udp", two_servers, 2);
	struct target_addr_view v;
	struct target_view t;
	enum reason why = REASON_NONE;
	unsigned n = 0;

	(void)state;
	assert_true(targets_view(w->ts, 1, 0, &t));
	assert_true(str_eq(t.target->host, S("trunk.example")));
	assert_int_equal(t.plan->n_servers, 2);
	assert_false(targets_view(w->ts, 1, 1, &t));
	assert_false(targets_view(w->ts, 9, 0, &t));
	assert_int_equal(targets_trunk_state(w->ts, 1, &why), TARGET_UP); /* unknown, and nobody probes */
	for (int i = 0; i < 3; i++) {
		world_report(w, "192.0.2.1:5060", NET_UDP, TARGET_SILENT, 0);
		world_report(w, "192.0.2.2:5060", NET_UDP, TARGET_503, 0);
	}
	while (targets_addr_view(w->ts, 1, 0, n, &v)) {
		assert_int_equal(v.state, n < 2 ? TARGET_DOWN : TARGET_UNKNOWN);
		assert_int_equal(v.failed, n < 2 ? 3 : 0);
		assert_int_equal(v.reason, n == 0 ? REASON_PEER_SILENT : n == 1 ? REASON_PEER_ERROR : REASON_NONE);
		assert_true(str_eq(v.server, n < 2 ? S("a.example") : S("b.example")));
		n++;
	}
	assert_int_equal(n, 3);
	for (int i = 0; i < 3; i++)
		world_report(w, "192.0.2.9:5070", NET_UDP, TARGET_UNREACHED, 0);
	assert_int_equal(targets_trunk_state(w->ts, 1, &why), TARGET_DOWN);
	assert_int_equal(why, REASON_PEER_SILENT);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_number_is_one_way),
	    cmocka_unit_test(a_name_before_its_answer_and_without_any),
	    cmocka_unit_test(all_addresses_of_a_server_before_the_next),
	    cmocka_unit_test(both_families_over_udp),
	    cmocka_unit_test(the_family_that_worked_is_remembered_for_a_while),
	    cmocka_unit_test(both_families_over_streams_are_raced),
	    cmocka_unit_test(a_family_without_a_listener_is_left_out),
	    cmocka_unit_test(shares_go_by_weight),
	    cmocka_unit_test(what_is_down_is_left_out),
	    cmocka_unit_test(looking_takes_nothing),
	    cmocka_unit_test(a_new_snapshot_keeps_what_is_known),
	    cmocka_unit_test(peers_say_what_a_connection_has_to_prove),
	    cmocka_unit_test(who_registers_has_a_peer_too),
	    cmocka_unit_test(names_in_dialogs),
	    cmocka_unit_test(views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
