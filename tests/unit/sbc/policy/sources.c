/* Addresses behind names change without a compile: what moves with them, what stays, what is remembered. */
#include "fixture.h"

static void on_diff(void *ctx, enum policy_change what, const struct pol_trunk *t)
{
	char *text = ctx;
	size_t n = strlen(text);

	snprintf(text + n, 64 - n, "%c%.*s ", "+-~"[what], STR(t->name));
}

/* What differs now, as one word per trunk. */
static const char *step(struct fix *f, int64_t now_us, char text[64])
{
	struct policy *next = policy_with_addresses(f->p, f->resolved, f->in.n_resolved, now_us);

	assert_non_null(next);
	text[0] = '\0';
	policy_diff(f->p, next, on_diff, text);
	policy_unref(f->p);
	f->p = next;
	return text;
}

static struct policy_address *address(struct fix *f, unsigned name, unsigned i)
{
	return (struct policy_address *)(uintptr_t)&f->resolved[name].addrs[i];
}

static void addresses_change_the_rest_is_shared(void **s)
{
	const struct pol_trunk *acme, *pbx;
	struct policy *before;
	struct pol_route_result r;
	char text[64];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme", "role=itsp realm=wan target=192.0.2.1 address=out.acme.example");
	fix_trunk(&f, "pbx", "role=pbx realm=lan target=10.0.0.1 address=pbx.example");
	fix_trunk(&f, "far", "role=itsp realm=wan target=192.0.2.3");
	fix_number(&f, "+4930100..+4930199", 2);
	fix_route(&f, "out", 0, "*", "*", VIA({1, 1, 1}));
	before = policy_ref(fix_compile(&f));
	acme = policy_trunk(f.p, 1);
	pbx = policy_trunk(f.p, 2);
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.5"), "-");
	fix_resolved(&f, "OUT.acme.example.", "203.0.113.5");
	fix_resolved(&f, "OUT.acme.example.", "2001:db8::5");
	fix_resolved(&f, "nobodys.example", "203.0.113.99");
	assert_string_equal(step(&f, 0, text), "~acme ");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.5"), "acme");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "[2001:db8::5]:5060"), "acme");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.99"), "-");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "203.0.113.5"), "-");
	assert_string_equal(step(&f, 0, text), ""); /* the same again */
	/* calls that began before keep what they began with; trunks are the same objects in both */
	assert_ptr_equal(policy_trunk(f.p, 1), acme);
	assert_ptr_equal(policy_trunk_named(f.p, S("pbx")), pbx);
	assert_ptr_equal(policy_number(f.p, S("+4930150")), policy_number(before, S("+4930150")));
	policy_route(f.p, NULL, S("+1"), S("+4930150"), 0, &f.rng, &r);
	assert_ptr_equal(r.hops[0].trunk, pbx);
	assert_int_equal(policy_revision(f.p), policy_revision(before));
	policy_unref(before);
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.1"), "acme"); /* configured ones are never in doubt */
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.0.0.1"), "pbx");
	/* another address for a name of another trunk */
	fix_resolved(&f, "pbx.example", "10.0.0.77");
	assert_string_equal(step(&f, 0, text), "~pbx ");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.0.0.77"), "pbx");
	/* all gone */
	f.in.n_resolved = 0;
	assert_string_equal(step(&f, 0, text), "~acme ~pbx ");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.5"), "-");
	fix_fini(&f);
}

static void old_addresses_stay_for_their_grace(void **s)
{
	struct policy_source_view v;
	const struct pol_trunk *acme;
	char text[64];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme", "role=itsp realm=wan target=192.0.2.1 address=out.example address-grace=10s");
	fix_trunk(&f, "bolt", "role=itsp realm=lan target=192.0.2.2 address=out.example address-grace=off");
	fix_trunk(&f, "cove", "role=itsp realm=dmz target=192.0.2.3 address=out.example");
	fix_resolved(&f, "out.example", "203.0.113.5");
	fix_resolved(&f, "out.example", "203.0.113.6");
	fix_compile(&f);
	acme = policy_trunk(f.p, 1);
	assert_int_equal(policy_addresses_next_us(f.p), INT64_MAX);
	address(&f, 0, 0)->left_us = 100000000;
	assert_string_equal(step(&f, 100000000, text), "~acme ~bolt ~cove ");
	assert_int_equal(policy_addresses_next_us(f.p), 110000000);
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.5"), "acme");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "203.0.113.5"), "-"); /* grants no grace */
	assert_string_equal(fix_who(&f, 2, NET_UDP, "203.0.113.5"), "cove");
	assert_true(policy_source_view(f.p, acme, 0, &v));
	assert_int_equal(v.name.n, 0);
	assert_int_equal(v.net.bits, 32);
	assert_true(policy_source_view(f.p, acme, 1, &v));
	assert_true(str_eq(v.name, S("out.example")));
	assert_int_equal(v.left_us, 100000000);
	assert_true(policy_source_view(f.p, acme, 2, &v));
	assert_int_equal(v.left_us, 0);
	assert_false(policy_source_view(f.p, acme, 3, &v));
	assert_string_equal(step(&f, 109999999, text), "");
	assert_string_equal(step(&f, 110000000, text), "~acme ");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.5"), "-");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.6"), "acme");
	assert_int_equal(policy_addresses_next_us(f.p), 100000000 + INT64_C(3600000000)); /* cove's hour */
	/* it comes back */
	address(&f, 0, 0)->left_us = 0;
	assert_string_equal(step(&f, 120000000, text), "~acme ~bolt ~cove ");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.5"), "acme");
	assert_int_equal(policy_addresses_next_us(f.p), INT64_MAX);
	fix_fini(&f);
}

/* An address of two trunks: what was configured, then the name that still leads there, then the lower id. */
static void who_keeps_a_contested_address(void **s)
{
	char text[64];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "fixed", "role=itsp realm=wan target=192.0.2.1");
	fix_trunk(&f, "old", "role=itsp realm=wan target=192.0.2.2 address=old.example");
	fix_trunk(&f, "new", "role=itsp realm=wan target=192.0.2.3 address=new.example");
	fix_trunk(&f, "port", "role=itsp realm=wan target=192.0.2.4 address=port.example source-port=5070");
	fix_resolved(&f, "old.example", "203.0.113.5");
	fix_resolved(&f, "new.example", "203.0.113.5");
	fix_resolved(&f, "new.example", "192.0.2.1");
	fix_resolved(&f, "port.example", "192.0.2.1");
	fix_compile(&f);
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.5"), "old");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.1:5060"), "fixed");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.1:5070"), "port"); /* more specific */
	/* the provider gave the address to somebody else */
	address(&f, 0, 0)->left_us = 5;
	step(&f, 10, text);
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.5"), "new");
	fix_fini(&f);
}

static void many_names(void **s)
{
	static char names[1000][32];
	static struct policy_resolved resolved[1000];
	static struct policy_address addrs[1000];
	static struct db_source sources[1000];
	struct net_path from = fix_path(1, NET_UDP, "10.1.0.0");
	struct policy *next;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme", "role=itsp realm=wan target=192.0.2.1");
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(names[i], sizeof(names[i]), "Host%u.example", i);
		addrs[i].addr = from.remote;
		addrs[i].addr.in4.sin_addr.s_addr += (in_addr_t)(i << 16);
		resolved[i] = (struct policy_resolved){str_z(names[i]), &addrs[i], 1};
		sources[i].address = str_z(names[i]);
	}
	f.trunks[0].sources = sources;
	f.trunks[0].n_sources = 1000;
	fix_compile(&f);
	next = policy_with_addresses(f.p, resolved, 1000, 0);
	assert_non_null(next);
	for (unsigned i = 0; i < 1000; i++) {
		from.remote = addrs[i].addr;
		assert_non_null(policy_identify(next, &from, NULL));
		assert_null(policy_identify(f.p, &from, NULL));
	}
	policy_unref(next);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_change_the_rest_is_shared),
	    cmocka_unit_test(old_addresses_stay_for_their_grace),
	    cmocka_unit_test(who_keeps_a_contested_address),
	    cmocka_unit_test(many_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
