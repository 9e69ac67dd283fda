/* Where a call goes: rows ACC-02, FOV-01 (order of the hunt). */
#include "fixture.h"

#include <time.h>

#define NOON 1700049600000000 /* Wed 2023-11-15 12:00:00 UTC */
#define HOUR 3600000000

static struct pol_route_result go(struct fix *f, uint32_t from, const char *calling, const char *called, int64_t at)
{
	struct pol_route_result r;

	policy_route(f->p, policy_trunk(f->p, from), str_z(calling), str_z(called), at, &f->rng, &r);
	return r;
}

/* "acme:192.0.2.1 acme:192.0.2.2" */
static const char *hops(const struct pol_route_result *r, char *text, size_t size)
{
	struct buf b;

	buf_init(&b, text, size - 1);
	for (unsigned i = 0; i < r->n_hops; i++) {
		buf_fmt(&b, "%s%.*s:", i ? " " : "", STR(r->hops[i].trunk->name));
		addr_put_ip(&b, &r->hops[i].target->addr);
	}
	text[b.n] = '\0';
	return text;
}

static void setup(struct fix *f)
{
	fix_init(f);
	fix_trunk(f, "pbx", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(f, "acme", "role=itsp realm=wan target=192.0.2.1");
	fix_trunk(f, "beta", "role=itsp realm=wan target=192.0.2.2");
	fix_number(f, "+4930100..+4930199", 1);
}

static void number_table_first(void **s)
{
	struct pol_route_result r;
	char text[256];
	struct fix f;

	(void)s;
	setup(&f);
	fix_route(&f, "all", 0, "*", "*", VIA({3, 1, 1}));
	fix_compile(&f);
	r = go(&f, 2, "+4989", "+4930150", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "pbx:10.0.0.1");
	assert_true(str_eq(r.route, S("number")));
	assert_int_equal(r.reason, REASON_NONE);
	/* its own number, called by the PBX: the routes decide */
	r = go(&f, 1, "+4930100", "+4930150", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "beta:192.0.2.2");
	assert_true(str_eq(r.route, S("all")));
	fix_fini(&f);
}

/* who stands in for a PBX comes behind it, or alone while it is out of service; never back to who calls */
static void alternative_and_hairpin(void **s)
{
	struct pol_route_result r;
	char text[256];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "pbx", "role=pbx realm=lan target=10.0.0.1 alternative=Mailbox hairpin=yes");
	fix_trunk(&f, "acme", "role=itsp realm=wan target=192.0.2.1");
	fix_trunk(&f, "mailbox", "role=pbx realm=lan target=10.0.0.9 alternative=pbx");
	fix_number(&f, "+4930100..+4930199", 1);
	fix_number(&f, "+4930200..+4930299", 3);
	fix_route(&f, "all", 0, "*", "*", VIA({2, 1, 1}));
	fix_compile(&f);
	r = go(&f, 2, "+4989", "+4930150", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "pbx:10.0.0.1 mailbox:10.0.0.9");
	r = go(&f, 3, "+4930200", "+4930150", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "pbx:10.0.0.1");
	/* its own numbers come back to it; those of a trunk without hairpin follow the routes */
	r = go(&f, 1, "+4930100", "+4930150", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "pbx:10.0.0.1 mailbox:10.0.0.9");
	assert_true(str_eq(r.route, S("number")));
	r = go(&f, 3, "+4930200", "+4930250", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "acme:192.0.2.1");
	f.trunks[0].admin = DB_DISABLED;
	fix_compile(&f);
	r = go(&f, 2, "+4989", "+4930150", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "mailbox:10.0.0.9");
	assert_int_equal(r.reason, REASON_NONE);
	fix_fini(&f);
}

/* single numbers: an answer of their own and nobody who stands in, or somebody else who does */
static void numbers_with_an_answer_of_their_own(void **s)
{
	struct pol_route_result r;
	const struct pol_trunk *t;
	struct db_err err;
	char text[256];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "pbx", "role=pbx realm=lan target=10.0.0.1 alternative=mailbox down-code=486 "
	                     "down-numbers=+4930110:604,+4930120..+4930129:Other,+4930125:404");
	fix_trunk(&f, "mailbox", "role=pbx realm=lan target=10.0.0.9");
	fix_trunk(&f, "other", "role=pbx realm=lan target=10.0.0.8");
	fix_trunk(&f, "acme", "role=itsp realm=wan target=192.0.2.1");
	fix_number(&f, "+4930100..+4930199", 1);
	fix_compile(&f);
	t = policy_trunk(f.p, 1);
	r = go(&f, 4, "+4989", "+4930109", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "pbx:10.0.0.1 mailbox:10.0.0.9");
	r = go(&f, 4, "+4989", "+4930110", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "pbx:10.0.0.1");
	r = go(&f, 4, "+4989", "+4930125", NOON); /* what stands first */
	assert_string_equal(hops(&r, text, sizeof(text)), "pbx:10.0.0.1 other:10.0.0.8");
	r = go(&f, 4, "+4989", "+4930130", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "pbx:10.0.0.1 mailbox:10.0.0.9");
	assert_int_equal(policy_down_code(t, S("+4930110")), 604);
	assert_int_equal(policy_down_code(t, S("+4930120")), 486);
	assert_int_equal(policy_down_code(t, S("+49301101")), 486);
	assert_int_equal(policy_down_code(t, S("")), 486);
	assert_int_not_equal(trunk_draft_assign(f.draft[0], S("down-numbers=+4930110:399"), &err), REASON_NONE);
	assert_int_not_equal(trunk_draft_assign(f.draft[0], S("down-numbers=+4930110"), &err), REASON_NONE);
	assert_int_not_equal(trunk_draft_assign(f.draft[0], S("down-numbers=110:404"), &err), REASON_NONE);
	assert_int_not_equal(trunk_draft_assign(f.draft[0], S("down-numbers=+4930110:"), &err), REASON_NONE);
	fix_fini(&f);
}

static void first_route_that_fits(void **s)
{
	struct pol_route_result r;
	char text[256];
	struct fix f;

	(void)s;
	setup(&f);
	fix_route(&f, "premium", 0, "*", "+49900*", NULL);
	fix_route(&f, "boss", 1, "+4930100", "*", VIA({3, 1, 1}));
	fix_route(&f, "out", 1, "*", "+*", VIA({2, 1, 1}));
	fix_route(&f, "emergency", 1, "*", "112", VIA({3, 1, 1}));
	fix_compile(&f);
	r = go(&f, 1, "+4930101", "+4989", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "acme:192.0.2.1");
	r = go(&f, 1, "+4930100", "+4989", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "beta:192.0.2.2");
	assert_true(str_eq(r.route, S("boss")));
	r = go(&f, 1, "+4930100", "+499001234", NOON);
	assert_true(r.deny);
	assert_int_equal(r.reason, REASON_CLASS_DENIED);
	assert_int_equal(r.n_hops, 0);
	assert_true(str_eq(r.route, S("premium")));
	r = go(&f, 1, "x", "112", NOON);
	assert_true(str_eq(r.route, S("emergency")));
	r = go(&f, 1, "x", "1123", NOON);
	assert_int_equal(r.reason, REASON_NO_ROUTE);
	assert_int_equal(r.route.n, 0);
	fix_fini(&f);
}

/* ACC-02: a trunk reaches only what a route or the number table gives it. */
static void acc_02_no_relay(void **s)
{
	struct pol_route_result r;
	struct fix f;

	(void)s;
	setup(&f);
	fix_route(&f, "out", 1, "*", "+*", VIA({2, 1, 1}));
	fix_compile(&f);
	r = go(&f, 2, "+4989", "+15550100", NOON); /* from the provider to the world */
	assert_int_equal(r.n_hops, 0);
	assert_int_equal(r.reason, REASON_NUMBER_UNKNOWN);
	r = go(&f, 2, "+4989", "+4930200", NOON);
	assert_int_equal(r.reason, REASON_NUMBER_UNKNOWN);
	r = go(&f, 1, "+4930100", "4989", NOON);
	assert_int_equal(r.reason, REASON_NO_ROUTE);
	/* a stranger, should one ever get here */
	policy_route(f.p, NULL, S("x"), S("+15550100"), NOON, &f.rng, &r);
	assert_int_equal(r.n_hops, 0);
	assert_int_equal(r.reason, REASON_NO_ROUTE);
	fix_fini(&f);
}

static void never_back_unless_a_route_says_so(void **s)
{
	struct pol_route_result r;
	char text[256];
	struct fix f;

	(void)s;
	setup(&f);
	fix_route(&f, "back", 3, "*", "+1*", VIA({3, 1, 1}));
	fix_route(&f, "any", 0, "*", "*", VIA({2, 1, 1}, {3, 2, 1}));
	fix_route(&f, "later", 2, "*", "*", VIA({3, 1, 1}));
	fix_compile(&f);
	r = go(&f, 2, "+4989", "+4940", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "beta:192.0.2.2");
	r = go(&f, 1, "+4930100", "+4940", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "acme:192.0.2.1 beta:192.0.2.2");
	r = go(&f, 3, "+4989", "+15550100", NOON); /* somebody wrote it so */
	assert_string_equal(hops(&r, text, sizeof(text)), "beta:192.0.2.2");
	f.routes[1].n_via = 1; /* only back to acme: nowhere to go */
	fix_compile(&f);
	r = go(&f, 2, "+4989", "+4940", NOON);
	assert_int_equal(r.n_hops, 0);
	assert_int_equal(r.reason, REASON_NO_ROUTE);
	fix_fini(&f);
}

static void fov_01_order(void **s)
{
	struct pol_route_result r;
	char text[256];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "pbx", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(&f, "acme", "role=itsp realm=wan target=192.0.2.3@3,192.0.2.1@1,192.0.2.2/tcp@2");
	fix_trunk(&f, "beta", "role=itsp realm=wan target=198.51.100.1@7,198.51.100.2@9");
	fix_route(&f, "out", 1, "*", "*", VIA({3, 5, 1}, {2, 1, 1}));
	fix_compile(&f);
	r = go(&f, 1, "x", "+4989", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)),
	    "acme:192.0.2.1 acme:192.0.2.2 acme:192.0.2.3 beta:198.51.100.1 beta:198.51.100.2");
	assert_int_equal(r.hops[1].target->proto, NET_TCP);
	assert_int_equal(r.hops[0].target->port, 5060);
	fix_fini(&f);
}

static void weights_share_the_load(void **s)
{
	unsigned first[3] = {0, 0, 0}, last_zero = 0, first_target = 0;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "pbx", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(&f, "acme", "role=itsp realm=wan target=192.0.2.1@1*3,192.0.2.2@1*1");
	fix_trunk(&f, "beta", "role=itsp realm=wan target=198.51.100.1");
	fix_trunk(&f, "zero", "role=itsp realm=wan target=203.0.113.1");
	fix_route(&f, "out", 1, "*", "*", VIA({2, 1, 70}, {3, 1, 30}, {4, 1, 0}));
	fix_compile(&f);
	for (unsigned i = 0; i < 10000; i++) {
		struct pol_route_result r = go(&f, 1, "x", "+4989", NOON);

		assert_int_equal(r.n_hops, 4);
		first[r.hops[0].trunk->id - 2]++;
		last_zero += r.hops[3].trunk->id == 4;
		for (unsigned k = 0; k < 4; k++) {
			if (r.hops[k].trunk->id != 2)
				continue;
			first_target += addr_ip_bytes(&r.hops[k].target->addr).p[3] == 1;
			break;
		}
	}
	assert_in_range(first[0], 6800, 7200);
	assert_in_range(first[1], 2800, 3200);
	assert_int_equal(first[2], 0);
	assert_int_equal(last_zero, 10000);
	assert_in_range(first_target, 7300, 7700);
	fix_fini(&f);
}

static void states_and_names(void **s)
{
	struct pol_route_result r;
	char text[256];
	struct fix f;

	(void)s;
	setup(&f);
	fix_trunk(&f, "dns", "role=itsp realm=wan target=sip.example.net");
	fix_route(&f, "out", 1, "*", "+1*", VIA({2, 1, 1}, {3, 2, 1}));
	fix_route(&f, "dns", 1, "*", "+2*", VIA({4, 1, 1}));
	f.trunks[1].admin = DB_DISABLED;
	fix_compile(&f);
	r = go(&f, 1, "x", "+15550100", NOON);
	assert_string_equal(hops(&r, text, sizeof(text)), "beta:192.0.2.2");
	assert_int_equal(r.reason, REASON_NONE);
	r = go(&f, 1, "x", "+2555", NOON);
	assert_int_equal(r.n_hops, 1); /* what stands behind the name is for sbc/target to know */
	assert_true(str_eq(r.hops[0].target->host, S("sip.example.net")));
	assert_true(addr_none(&r.hops[0].target->addr));
	f.trunks[2].admin = DB_DRAINING;
	f.trunks[0].admin = DB_DISABLED;
	fix_compile(&f);
	r = go(&f, 1, "x", "+15550100", NOON);
	assert_int_equal(r.reason, REASON_TRUNK_DRAINING);
	r = go(&f, 3, "x", "+4930100", NOON);
	assert_int_equal(r.reason, REASON_TRUNK_DISABLED);
	assert_true(str_eq(r.route, S("number")));
	fix_fini(&f);
}

static void never_more_than_the_result_holds(void **s)
{
	struct pol_route_result r;
	struct fix f;

	(void)s;
	setup(&f);
	fix_trunk(&f, "many", "role=itsp realm=wan target=192.0.3.1,192.0.3.2,192.0.3.3,192.0.3.4,192.0.3.5,192.0.3.6,192.0.3.7,"
			      "192.0.3.8,192.0.3.9,192.0.3.10,192.0.3.11,192.0.3.12,192.0.3.13,192.0.3.14,192.0.3.15");
	fix_route(&f, "out", 1, "*", "*", VIA({4, 1, 1}, {2, 2, 1}, {3, 3, 1}));
	fix_compile(&f);
	r = go(&f, 1, "x", "+1", NOON);
	assert_int_equal(r.n_hops, POL_HOPS_MAX);
	assert_int_equal(r.hops[15].trunk->id, 2);
	fix_fini(&f);
}

static void time_of_day(void **s)
{
	static const struct {
		const char *hours;
		int64_t at;
		bool open;
	} cases[] = {
	    {"always", NOON, true},
	    {"mon-fri 08:00-18:00", NOON, true},
	    {"mon-fri 08:00-18:00", NOON + 6 * HOUR - 1, true},
	    {"mon-fri 08:00-18:00", NOON + 6 * HOUR, false},
	    {"mon-fri 12:00-18:00", NOON, true},
	    {"mon-fri 12:01-18:00", NOON, false},
	    {"sat,sun", NOON, false},
	    {"sat,sun", NOON + 72 * HOUR, true},
	    {"wed", NOON, true},
	    {"tue,thu", NOON, false},
	    {"22:00-06:00", NOON, false},
	    {"22:00-06:00", NOON + 11 * HOUR, true},
	    {"wed 22:00-06:00", NOON + 17 * HOUR, true},  /* Thursday 5:00, began on Wednesday */
	    {"thu 22:00-06:00", NOON + 17 * HOUR, false},
	    {"sun 22:00-06:00", NOON + (17 + 96) * HOUR, true}, /* Monday 5:00 */
	    {"fri-mon", NOON + 96 * HOUR, true}, /* Sunday, around the end of the week */
	    {"fri-mon", NOON, false},
	    {"12:00-24:00", NOON + 11 * HOUR, true},
	};
	struct fix f;

	(void)s;
	setenv("TZ", "UTC", 1);
	tzset();
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const char *why = NULL;
		struct db_route *r;

		setup(&f);
		r = fix_route(&f, "timed", 1, "*", "*", VIA({2, 1, 1}));
		if (policy_hours_parse(str_z(cases[i].hours), &r->hours, &why))
			fail_msg("%s: %s", cases[i].hours, why);
		fix_compile(&f);
		if ((go(&f, 1, "x", "+1", cases[i].at).n_hops > 0) != cases[i].open)
			fail_msg("%s: %s", cases[i].hours, cases[i].open ? "closed" : "open");
		fix_fini(&f);
	}
}

static void view_says_what_fits(void **s)
{
	struct policy_route_view v;
	struct fix f;

	(void)s;
	setup(&f);
	fix_route(&f, "out", 1, "+4930*", "+49*", VIA({2, 1, 1}));
	fix_compile(&f);
	assert_int_equal(policy_route_count(f.p), 1);
	policy_route_view(f.p, 0, policy_trunk(f.p, 2), S("+4930100"), S("+15550"), NOON, &v);
	assert_false(v.from_matches);
	assert_true(v.calling_matches);
	assert_false(v.called_matches);
	assert_true(v.hours_match);
	assert_true(str_eq(v.from_trunk, S("pbx")));
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(number_table_first),
	    cmocka_unit_test(alternative_and_hairpin),
	    cmocka_unit_test(numbers_with_an_answer_of_their_own),
	    cmocka_unit_test(first_route_that_fits),
	    cmocka_unit_test(acc_02_no_relay),
	    cmocka_unit_test(never_back_unless_a_route_says_so),
	    cmocka_unit_test(fov_01_order),
	    cmocka_unit_test(weights_share_the_load),
	    cmocka_unit_test(states_and_names),
	    cmocka_unit_test(never_more_than_the_result_holds),
	    cmocka_unit_test(time_of_day),
	    cmocka_unit_test(view_says_what_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
