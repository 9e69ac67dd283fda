/* Who is this source: rows ACC-01, TLS-11; and what changes when the DNS does. */
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

static bool may_come(struct fix *f, unsigned trunk, const char *ip)
{
	struct net_path from = {.proto = NET_UDP, .realm = 1};

	assert_int_equal(addr_parse(str_z(ip), 5060, &from.remote), 0);
	return policy_may_come_from(f->p, policy_trunk(f->p, trunk), &from);
}

/* RGC-09: customers of one provider share its addresses when each registers there; nobody else does. */
static void registrations_at_one_provider_share_its_addresses(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "one", "role=itsp realm=wan auth=register target=192.0.2.1,sip.example.net address=198.51.100.0/24");
	fix_trunk(&f, "two", "role=itsp realm=wan auth=gin target=192.0.2.1,sip.example.net address=198.51.100.0/24");
	fix_trunk(&f, "three", "role=itsp realm=wan auth=gin target=192.0.2.1 address=203.0.113.3");
	fix_resolved(&f, "sip.example.net", "192.0.2.7");
	fix_compile(&f);
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.1"), "one"); /* without a word of whose it is: the first */
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.7"), "one");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "198.51.100.9"), "one");
	for (unsigned t = 1; t <= 3; t++) {
		assert_true(may_come(&f, t, "192.0.2.1"));
		assert_int_equal(may_come(&f, t, "192.0.2.7"), t < 3);
		assert_int_equal(may_come(&f, t, "198.51.100.200"), t < 3);
		assert_int_equal(may_come(&f, t, "203.0.113.3"), t == 3);
		assert_false(may_come(&f, t, "203.0.113.4"));
	}
	fix_fini(&f);
	/* one that does not register cannot be told apart */
	fix_init(&f);
	fix_trunk(&f, "one", "role=itsp realm=wan auth=register target=192.0.2.1");
	fix_trunk(&f, "two", "role=itsp realm=wan target=192.0.2.1");
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_true(fix_error(&f, "trunk two", "requests from 192.0.2.1 in realm wan would belong to trunk one", NULL));
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
	fix_resolved(&f, "SIP.acme.example.", "192.0.2.1");
	fix_resolved(&f, "SIP.acme.example.", "192.0.2.2");
	fix_resolved(&f, "out.acme.example", "203.0.113.5");
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
	fix_resolved(&f, "sip.acme.example", "192.0.2.1");
	fix_resolved(&f, "sip.acme.example", "192.0.2.3");
	fix_resolved(&f, "sip.other.example", "192.0.2.3");
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
	assert_null(policy_identify(f.p, &(struct net_path){.realm = 0}, NULL));
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

/* Names as a certificate shows them; names ends with NULL. */
static const char *who_tls(const struct fix *f, unsigned realm, const char *from, bool verified, const char *const *names,
    enum reason *ret_why)
{
	struct net_path path = fix_path(realm, NET_TLS, from);
	struct str list[8];
	struct net_identity who = {.verified = verified, .names = list};
	const struct pol_trunk *t;

	for (; names && names[who.n_names]; who.n_names++)
		list[who.n_names] = str_z(names[who.n_names]);
	t = policy_identify(f->p, &path, &who);
	*ret_why = t ? REASON_NONE : policy_stranger(f->p, &path, &who);
	return t ? t->name.p : "-";
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void tls_11_certificate_selects_the_trunk(void **s)
{
	struct net_path far = fix_path(1, NET_TLS, "203.0.113.77:40000"), udp = fix_path(1, NET_UDP, "203.0.113.77:5060");
	struct net_path here = fix_path(1, NET_TLS, "192.0.2.9:40000");
	enum reason why;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme", "role=itsp realm=wan target=sip.acme.example/tls identify=tls-name tls-names=Edge.Acme.Example.");
	fix_trunk(&f, "bolt", "role=itsp realm=wan target=192.0.2.9/tls identify=both domain=bolt.example");
	fix_trunk(&f, "core", "role=itsp realm=wan target=192.0.2.10 address=198.51.100.0/24");
	fix_trunk(&f, "off", "role=itsp realm=wan target=192.0.2.11/tls identify=tls-name domain=off.example source-transport=tls");
	fix_trunk(&f, "port", "role=itsp realm=wan target=192.0.2.12/tls identify=tls-name domain=port.example source-port=5061");
	f.trunks[3].admin = DB_DISABLED;
	fix_compile(&f);
	/* from anywhere, by any of its names */
	assert_string_equal(who_tls(&f, 1, "203.0.113.77:40000", true, NAMES("sip.acme.example"), &why), "acme");
	assert_string_equal(who_tls(&f, 1, "[2001:db8::9]:40000", true, NAMES("x.example", "edge.acme.example"), &why), "acme");
	/* whole names only, verified only, its realm only */
	assert_string_equal(who_tls(&f, 1, "203.0.113.77:40000", true, NAMES("acme.example", "*.acme.example"), &why), "-");
	assert_int_equal(why, REASON_TLS_NAME_MISMATCH);
	assert_string_equal(who_tls(&f, 1, "203.0.113.77:40000", true, NAMES("sip.acme.example.evil.example"), &why), "-");
	assert_string_equal(who_tls(&f, 1, "203.0.113.77:40000", false, NAMES("sip.acme.example"), &why), "-");
	assert_int_equal(why, REASON_TLS_NO_CERT);
	assert_string_equal(who_tls(&f, 1, "203.0.113.77:40000", true, NULL, &why), "-");
	assert_int_equal(why, REASON_TLS_NO_CERT);
	assert_string_equal(who_tls(&f, 0, "203.0.113.77:40000", true, NAMES("sip.acme.example"), &why), "-");
	assert_int_equal(why, REASON_NO_TRUNK);
	/* an address of its own does not help it: it is recognised by the certificate alone */
	assert_null(policy_identify(f.p, &udp, NULL));
	assert_int_equal(policy_stranger(f.p, &udp, NULL), REASON_NO_TRUNK);
	/* both: the address and the name */
	assert_string_equal(who_tls(&f, 1, "192.0.2.9:40000", true, NAMES("bolt.example"), &why), "bolt");
	assert_string_equal(who_tls(&f, 1, "192.0.2.8:40000", true, NAMES("bolt.example"), &why), "-");
	assert_int_equal(why, REASON_TLS_NAME_MISMATCH);
	assert_string_equal(who_tls(&f, 1, "192.0.2.9:40000", true, NAMES("core.example"), &why), "-");
	assert_int_equal(why, REASON_TLS_NAME_MISMATCH);
	assert_null(policy_identify(f.p, &here, NULL));
	assert_int_equal(policy_stranger(f.p, &here, NULL), REASON_TLS_NO_CERT);
	here.proto = NET_UDP;
	assert_null(policy_identify(f.p, &here, NULL));
	assert_int_equal(policy_stranger(f.p, &here, NULL), REASON_TLS_NO_CERT);
	/* the certificate's trunk wins over the address's, and the address's gets what names nobody */
	assert_string_equal(who_tls(&f, 1, "198.51.100.7:40000", true, NAMES("sip.acme.example"), &why), "acme");
	assert_string_equal(who_tls(&f, 1, "198.51.100.7:40000", true, NAMES("any.example"), &why), "core");
	assert_string_equal(who_tls(&f, 1, "198.51.100.7:40000", false, NULL, &why), "core");
	/* two names of ours: the certificate's first */
	assert_string_equal(who_tls(&f, 1, "203.0.113.77:1", true, NAMES("off.example", "sip.acme.example"), &why), "off");
	assert_string_equal(who_tls(&f, 1, "203.0.113.77:1", true, NAMES("sip.acme.example", "off.example"), &why), "acme");
	/* source-port holds for it as well */
	assert_string_equal(who_tls(&f, 1, "203.0.113.77:5061", true, NAMES("port.example"), &why), "port");
	assert_string_equal(who_tls(&f, 1, "203.0.113.77:5062", true, NAMES("port.example"), &why), "-");
	/* the handshake is open to everybody where a certificate decides, nothing else is */
	f.realms[1].strangers = POL_STRANGER_DROP;
	fix_compile(&f);
	assert_true(policy_admit(f.p, &far));
	assert_false(policy_address_known(f.p, &far));
	assert_false(policy_admit(f.p, &udp));
	assert_true(policy_admit(f.p, &here));
	assert_true(policy_address_known(f.p, &here));
	far.realm = 0;
	assert_false(policy_admit(f.p, &far));
	/* for the command line */
	assert_true(str_eq(policy_tls_name(f.p, policy_trunk(f.p, 1), 0), S("edge.acme.example")));
	assert_true(str_eq(policy_tls_name(f.p, policy_trunk(f.p, 1), 1), S("sip.acme.example")));
	assert_int_equal(policy_tls_name(f.p, policy_trunk(f.p, 1), 2).n, 0);
	assert_int_equal(policy_tls_name(f.p, policy_trunk(f.p, 3), 0).n, 0);
	fix_fini(&f);
}

static void admit_needs_a_trunk_that_a_certificate_alone_makes(void **s)
{
	struct net_path far = fix_path(0, NET_TLS, "203.0.113.77:40000"), known = fix_path(0, NET_TLS, "192.0.2.9:40000");
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "bolt", "role=itsp realm=lan target=192.0.2.9/tls identify=both domain=bolt.example");
	fix_compile(&f);
	assert_false(policy_admit(f.p, &far));
	assert_true(policy_admit(f.p, &known));
	fix_fini(&f);
}

static void one_name_of_two_trunks(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=itsp realm=wan target=192.0.2.1/tls identify=tls-name tls-names=one.example,two.example");
	fix_trunk(&f, "b", "role=itsp realm=wan target=TWO.example/tls identify=tls-name");
	fix_trunk(&f, "c", "role=itsp realm=wan target=192.0.2.3/tls identify=both domain=one.example");
	fix_trunk(&f, "d", "role=itsp realm=lan target=192.0.2.4/tls identify=tls-name tls-names=one.example");
	fix_trunk(&f, "e", "role=itsp realm=dmz target=192.0.2.5/tls identify=both tls-names=five.example domain=five.example");
	fix_trunk(&f, "f", "role=itsp realm=dmz target=192.0.2.6/tls identify=both tls-names=five.example");
	fix_trunk(&f, "g", "role=itsp realm=dmz target=five.example");
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_int_equal(f.errs.n, 2);
	assert_true(fix_error(
	    &f, "trunk b", "a certificate that names two.example in realm wan would belong to trunk a as well", "tls-names"));
	assert_true(fix_error(&f, "trunk c", "a certificate that names one.example in realm wan would belong to trunk a", NULL));
	fix_fini(&f);
	fix_init(&f);
	fix_trunk(&f, "a", "role=itsp realm=wan target=192.0.2.1/tls identify=tls-name");
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_true(fix_error(&f, "trunk a", "nothing says which name", "tls-names="));
	fix_fini(&f);
}

static void source_transport_tls(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "tls", "role=itsp realm=wan target=192.0.2.1/tls source-transport=tls");
	fix_trunk(&f, "udp", "role=itsp realm=wan target=192.0.2.1 source-transport=udp");
	fix_compile(&f);
	assert_string_equal(fix_who(&f, 1, NET_TLS, "192.0.2.1:40000"), "tls");
	assert_string_equal(fix_who(&f, 1, NET_UDP, "192.0.2.1:40000"), "udp");
	assert_string_equal(fix_who(&f, 1, NET_TCP, "192.0.2.1:40000"), "-");
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(acc_01_address_realm_port_transport),
	    cmocka_unit_test(registrations_at_one_provider_share_its_addresses),
	    cmocka_unit_test(most_specific_net_wins),
	    cmocka_unit_test(names_are_what_the_resolver_says),
	    cmocka_unit_test(resolved_never_beats_configured),
	    cmocka_unit_test(two_trunks_on_one_address_are_refused),
	    cmocka_unit_test(admit_follows_the_realm),
	    cmocka_unit_test(acc_02_host_is_ours),
	    cmocka_unit_test(tls_11_certificate_selects_the_trunk),
	    cmocka_unit_test(admit_needs_a_trunk_that_a_certificate_alone_makes),
	    cmocka_unit_test(one_name_of_two_trunks),
	    cmocka_unit_test(source_transport_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
