/* Who is this source: row ACC-01. */
#include "fixture.h"

static void acc_01_address_realm_port_transport(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme", "role=itsp realm=wan target=192.0.2.1:5080 address=198.51.100.7,2001:db8::7");
	fix_trunk(&f, "pbx", "role=pbx realm=lan target=192.0.2.1:5060");
	fix_trunk(&f, "high", "role=pbx realm=lan target=10.0.0.1 source-port=5070");
	fix_trunk(&f, "low", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(&f, "tcp", "role=pbx realm=lan target=10.0.0.1/tcp source-transport=tcp");
	fix_trunk(&f, "off", "role=pbx realm=lan target=10.0.0.9");
	f.trunks[5].admin = DB_DISABLED;
	fix_compile(&f);
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.1:5080"), "acme");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.1:9999"), "acme"); /* any port of the target */
	assert_string_equal(fix_who(&f, 1, NET_TCP, "198.51.100.7:33000"), "acme");
	assert_string_equal(fix_who(&f, 1, NET_TCP, "[2001:db8::7]:33000"), "acme");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "192.0.2.1"), "pbx"); /* same address, other realm */
	assert_string_equal(fix_who(&f, 2, NET_UDP, "192.0.2.1"), "-");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "198.51.100.7"), "-");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "198.51.100.8"), "-");
	/* restrictions win over none: port, then transport */
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.0.0.1:5070"), "high");
	assert_string_equal(fix_who(&f, 0, NET_TCP, "10.0.0.1:5070"), "high");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.0.0.1:5060"), "low");
	assert_string_equal(fix_who(&f, 0, NET_TCP, "10.0.0.1:5061"), "tcp");
	/* disabled trunks are found: the caller says which reason */
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.0.0.9"), "off");
	/* an IPv4 address written as IPv6 by the socket */
	assert_string_equal(fix_who(&f, 0, NET_UDP, "[::ffff:10.0.0.9]:5060"), "off");
	fix_fini(&f);
}

static void most_specific_net_wins(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "wide", "role=pbx realm=lan target=172.16.0.1 address=10.0.0.0/8,2001:db8::/32");
	fix_trunk(&f, "middle", "role=pbx realm=lan target=172.16.0.2 address=10.1.0.0/16");
	fix_trunk(&f, "one", "role=pbx realm=lan target=172.16.0.3 address=10.1.2.3");
	fix_trunk(&f, "port", "role=pbx realm=lan target=172.16.0.4 address=10.0.0.0/8 source-port=7000");
	fix_trunk(&f, "six", "role=pbx realm=lan target=172.16.0.5 address=2001:db8:1::/48");
	fix_compile(&f);
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.9.9.9"), "wide");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.1.9.9"), "middle");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.1.2.3"), "one");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.9.9.9:7000"), "port");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.1.9.9:7000"), "middle"); /* longer beats restricted */
	assert_string_equal(fix_who(&f, 0, NET_UDP, "[2001:db8:2::1]"), "wide");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "[2001:db8:1::1]"), "six");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "[2001:db9::1]"), "-");
	assert_string_equal(fix_who(&f, 0, NET_UDP, "11.0.0.1"), "-");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "10.1.2.3"), "-");
	fix_fini(&f);
}

static void names_are_what_the_resolver_says(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme", "role=itsp realm=wan target=sip.acme.example address=out.acme.example");
	fix_compile(&f);
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.1"), "-");
	fix_resolved(&f, "SIP.acme.example.", "192.0.2.1", 0, 0);
	fix_resolved(&f, "SIP.acme.example.", "192.0.2.2", 0, 0);
	fix_resolved(&f, "out.acme.example", "203.0.113.5", 0, 0);
	fix_compile(&f);
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.1"), "acme");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.2"), "acme");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "203.0.113.5"), "acme");
	fix_fini(&f);
}

/* A name that suddenly points at another trunk's address neither stops the compiler nor takes the trunk over. */
static void resolved_never_beats_configured(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "named", "role=itsp realm=wan target=sip.acme.example");
	fix_trunk(&f, "fixed", "role=itsp realm=wan target=192.0.2.1");
	fix_trunk(&f, "named2", "role=itsp realm=wan target=sip.other.example");
	fix_resolved(&f, "sip.acme.example", "192.0.2.1", 0, 0);
	fix_resolved(&f, "sip.acme.example", "192.0.2.3", 0, 0);
	fix_resolved(&f, "sip.other.example", "192.0.2.3", 0, 0);
	fix_compile(&f);
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.1"), "fixed");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.3"), "named"); /* lower id keeps it */
	fix_fini(&f);
}

static void two_trunks_on_one_address_are_refused(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(&f, "b", "role=pbx realm=lan target=10.0.0.2 address=10.0.0.1");
	fix_trunk(&f, "c", "role=pbx realm=lan target=10.0.0.3 address=10.5.0.0/16");
	fix_trunk(&f, "d", "role=pbx realm=lan target=10.0.0.4 address=10.5.0.0/16,10.0.0.4");
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_int_equal(f.errs.n, 2);
	assert_true(fix_error(&f, "trunk b", "requests from 10.0.0.1 in realm lan would belong to trunk a", "source-port"));
	assert_true(fix_error(&f, "trunk d", "requests from 10.5.0.0/16 in realm lan would belong to trunk c", NULL));
	fix_fini(&f);
}

static void admit_follows_the_realm(void **s)
{
	struct net_path known = fix_path(0, NET_UDP, "10.0.0.1"), stranger = fix_path(0, NET_UDP, "10.0.0.2");
	struct net_path refused = fix_path(1, NET_UDP, "10.0.0.2"), nowhere = fix_path(9, NET_UDP, "10.0.0.2");
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1");
	fix_compile(&f);
	assert_true(policy_admit(f.p, &known));
	assert_false(policy_admit(f.p, &stranger));
	assert_true(policy_admit(f.p, &refused)); /* gets its 403 */
	assert_false(policy_admit(f.p, &nowhere));
	assert_null(policy_identify(f.p, &(struct net_path){.realm = 0}));
	fix_fini(&f);
}

static void acc_02_host_is_ours(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1 domain=pbx.example.com");
	fix_compile(&f);
	assert_true(policy_host_is_ours(f.p, 1, S("sbc.example.net")));
	assert_true(policy_host_is_ours(f.p, 1, S("SBC.Example.NET.")));
	assert_false(policy_host_is_ours(f.p, 0, S("sbc.example.net"))); /* another realm's */
	assert_true(policy_host_is_ours(f.p, 0, S("pbx.example.com")));
	assert_false(policy_host_is_ours(f.p, 1, S("evil.example")));
	assert_false(policy_host_is_ours(f.p, 1, S("xsbc.example.net")));
	assert_false(policy_host_is_ours(f.p, 1, S("sbc.example.net.evil.example")));
	assert_false(policy_host_is_ours(f.p, 1, S("")));
	assert_false(policy_host_is_ours(f.p, 77, S("sbc.example.net")));
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(acc_01_address_realm_port_transport),
	    cmocka_unit_test(most_specific_net_wins),
	    cmocka_unit_test(names_are_what_the_resolver_says),
	    cmocka_unit_test(resolved_never_beats_configured),
	    cmocka_unit_test(two_trunks_on_one_address_are_refused),
	    cmocka_unit_test(admit_follows_the_realm),
	    cmocka_unit_test(acc_02_host_is_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
