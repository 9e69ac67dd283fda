/* RFC 3263, 2782 and 6724 as pure functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sbc/base/rng.h"
#include "sbc/net/locate_rules.h"
#include "sbc/net/resolve.h"

#define ALL (1u << NET_UDP | 1u << NET_TCP | 1u << NET_TLS)
#define BOTH (RESOLVE_V4 | RESOLVE_V6)

static struct addr at(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(str_z(text), 0, &a), 0);
	return a;
}

static struct dns_record naptr(uint16_t order, uint16_t preference, const char *flags, const char *service, const char *to)
{
	struct dns_record r = {0};

	r.naptr.order = order;
	r.naptr.preference = preference;
	r.naptr.flags = str_z(flags);
	r.naptr.service = str_z(service);
	r.naptr.replacement = str_z(to);
	return r;
}

/* DNS-01, DNS-02: what is asked for which shape of a destination */
static void where_to_begin(void **state)
{
	static const struct {
		struct locate_dest d;
		enum locate_step step;
		uint8_t proto;
		uint16_t port;
	} t[] = {
	    {{.proto = LOCATE_ANY, .protos = ALL}, LOCATE_ASK_NAPTR, NET_UDP, 5060},
	    {{.proto = LOCATE_ANY, .protos = 1u << NET_TCP}, LOCATE_ASK_NAPTR, NET_TCP, 5060},
	    {{.proto = LOCATE_ANY, .protos = 1u << NET_TLS}, LOCATE_ASK_NAPTR, NET_TLS, 5061},
	    {{.proto = LOCATE_ANY, .protos = ALL, .sips = true}, LOCATE_ASK_NAPTR, NET_TLS, 5061},
	    {{.proto = NET_TCP, .protos = ALL}, LOCATE_ASK_SRV, NET_TCP, 5060},
	    {{.proto = NET_TCP, .protos = ALL, .sips = true}, LOCATE_ASK_SRV, NET_TLS, 5061},
	    {{.proto = NET_TLS, .protos = ALL}, LOCATE_ASK_SRV, NET_TLS, 5061},
	    {{.proto = LOCATE_ANY, .protos = ALL, .port = 5070}, LOCATE_ASK_ADDRESS, NET_UDP, 5070},
	    {{.proto = NET_TLS, .protos = ALL, .port = 5070}, LOCATE_ASK_ADDRESS, NET_TLS, 5070},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		uint8_t proto = locate_default_proto(&t[i].d);

		assert_int_equal(locate_first(&t[i].d), t[i].step);
		assert_int_equal(proto, t[i].proto);
		assert_int_equal(locate_default_port(&t[i].d, proto), t[i].port);
	}
}

/* DNS-03: four NAPTR records and some that are not for us */
static void naptr_is_filtered_and_sorted(void **state)
{
	struct dns_record r[] = {
	    naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
	    naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com"),
	    naptr(100, 50, "S", "sip+d2u", "_sip._udp.example.com"),
	    naptr(90, 40, "s", "SIP+D2U", "_sip._udp.other.example.com"),
	    naptr(10, 10, "s", "SIP+D2W", "_sip._ws.example.com"),
	    naptr(10, 10, "s", "SIPS+D2S", "_sips._sctp.example.com"),
	    naptr(10, 10, "a", "SIP+D2U", "host.example.com"),
	    naptr(10, 10, "u", "E2U+sip", ""),
	    naptr(10, 10, "s", "SIP+D2U", ""),
	};
	struct locate_dest any = {.host = S("example.com"), .proto = LOCATE_ANY, .protos = ALL}, sips = any, udp = any;
	struct locate_service s[LOCATE_SERVICES_MAX];

	(void)state;
	r[7].naptr.regexp = true;
	assert_int_equal(locate_services_naptr(&any, r, ARRAY_LEN(r), s), 4);
	assert_string_equal(s[0].name, "_sips._tcp.example.com");
	assert_int_equal(s[0].proto, NET_TLS);
	assert_string_equal(s[1].name, "_sip._udp.other.example.com");
	assert_string_equal(s[2].name, "_sip._tcp.example.com");
	assert_int_equal(s[2].proto, NET_TCP);
	assert_string_equal(s[3].name, "_sip._udp.example.com");
	sips.sips = true;
	assert_int_equal(locate_services_naptr(&sips, r, ARRAY_LEN(r), s), 1);
	assert_int_equal(s[0].proto, NET_TLS);
	udp.protos = 1u << NET_UDP;
	assert_int_equal(locate_services_naptr(&udp, r, ARRAY_LEN(r), s), 2);
	assert_int_equal(s[0].proto, NET_UDP);
	for (size_t i = 0; i < 4; i++)
		r[i].naptr.order = 1;
	for (size_t i = 4; i < ARRAY_LEN(r); i++)
		r[i] = r[2]; /* more of them than are followed */
	assert_int_equal(locate_services_naptr(&any, r, ARRAY_LEN(r), s), LOCATE_SERVICES_MAX);
	assert_int_equal(s[0].proto, NET_UDP); /* preference 40 */
}

/* DNS-02: without NAPTR the SRV names of what we speak; a given transport asks for its own only */
static void srv_names_without_naptr(void **state)
{
	struct locate_dest d = {.host = S("example.com"), .proto = LOCATE_ANY, .protos = ALL};
	struct locate_service s[LOCATE_SERVICES_MAX];

	(void)state;
	assert_int_equal(locate_services_srv(&d, s), 3);
	assert_string_equal(s[0].name, "_sip._udp.example.com");
	assert_string_equal(s[1].name, "_sip._tcp.example.com");
	assert_string_equal(s[2].name, "_sips._tcp.example.com");
	d.protos = 1u << NET_TCP | 1u << NET_TLS;
	assert_int_equal(locate_services_srv(&d, s), 2);
	d.proto = NET_UDP;
	assert_int_equal(locate_services_srv(&d, s), 1);
	assert_string_equal(s[0].name, "_sip._udp.example.com");
	d.proto = NET_TCP;
	d.sips = true;
	assert_int_equal(locate_services_srv(&d, s), 1);
	assert_string_equal(s[0].name, "_sips._tcp.example.com");
	assert_int_equal(s[0].proto, NET_TLS);
}

static void srv_by_priority(void **state)
{
	static const uint16_t in[] = {20, 10, 30, 10, 0, 20};
	static const uint16_t out[][2] = {{0, 4}, {10, 1}, {10, 3}, {20, 0}, {20, 5}, {30, 2}};
	struct dns_record r[6] = {0};

	(void)state;
	for (uint16_t i = 0; i < 6; i++) {
		r[i].srv.priority = in[i];
		r[i].srv.port = i;
	}
	locate_sort_srv(r, 6);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(r[i].srv.priority, out[i][0]);
		assert_int_equal(r[i].srv.port, out[i][1]);
	}
}

/* HE-02: the order inside one server */
static void addresses_as_rfc_6724_has_them(void **state)
{
	static const char *const in[] = {"192.0.2.1", "fd00::1", "2001:0:1::1", "2001:db8::1", "198.51.100.1", "2002:1::1",
	    "[fe80::1]:0", "127.0.0.1", "2001:db8::2", "[::1]:0", "3ffe::1", "10.0.0.1", "169.254.1.1"};
	static const char *const out[] = {"[::1]:0", "[fe80::1]:0", "2001:db8::1", "2001:db8::2", "127.0.0.1", "169.254.1.1",
	    "192.0.2.1", "198.51.100.1", "10.0.0.1", "2002:1::1", "2001:0:1::1", "fd00::1", "3ffe::1"};
	struct addr a[ARRAY_LEN(in)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		a[i] = at(in[i]);
	locate_sort_addrs(a, ARRAY_LEN(a));
	for (size_t i = 0; i < ARRAY_LEN(out); i++) {
		struct addr want = at(out[i]);

		assert_true(addr_eq_ip(&a[i], &want));
	}
}

static struct locate_plan *plan_of(const struct locate_server *s, unsigned n)
{
	static const struct locate_dest d = {.families = BOTH};
	struct locate_draft *f = calloc(1, sizeof(*f));
	struct addr a = at("192.0.2.1");
	struct locate_plan *p;

	f->how = "srv";
	for (unsigned i = 0; i < n; i++) {
		assert_true(locate_draft_server(f, &s[i]));
		if (s[i].n)
			locate_draft_addrs(f, &d, &a, 1, (uint16_t)(5060 + i));
	}
	p = locate_draft_plan(f, LOCATE_GOOD, REASON_NONE);
	assert_non_null(p);
	free(f);
	return p;
}

/* DNS-04: 70/30 within 5 % over 1000 calls; priorities are never mixed */
static void weights_70_30(void **state)
{
	static const struct locate_server s[] = {
	    {.name = S("a"), .priority = 10, .weight = 70, .n = 1},
	    {.name = S("b"), .priority = 10, .weight = 30, .n = 1},
	    {.name = S("dry"), .priority = 10, .weight = 1000, .n = 0},
	    {.name = S("c"), .priority = 20, .weight = 65535, .n = 1},
	};
	struct locate_plan *p = plan_of(s, ARRAY_LEN(s));
	unsigned order[4], first = 0;
	struct rng rng;

	(void)state;
	rng_init_seeded(&rng, 7);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(locate_order(p, &rng, order), 3);
		assert_int_equal(order[2], 3);
		assert_int_equal(order[0] + order[1], 1);
		first += order[0] == 0;
	}
	assert_in_range(first, 650, 750);
	locate_plan_unref(p);
}

/* RFC 2782: weight 0 has a small chance beside others, and an equal one among its like */
static void weights_of_zero(void **state)
{
	static const struct locate_server some[] = {
	    {.name = S("zero"), .weight = 0, .n = 1}, {.name = S("ten"), .weight = 99, .n = 1}};
	static const struct locate_server none[] = {
	    {.name = S("a"), .n = 1}, {.name = S("b"), .n = 1}, {.name = S("c"), .n = 1}};
	struct locate_plan *p = plan_of(some, 2), *q = plan_of(none, 3);
	unsigned order[3], zero = 0, first[3] = {0};
	struct rng rng;

	(void)state;
	rng_init_seeded(&rng, 8);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(locate_order(p, &rng, order), 2);
		zero += order[0] == 0;
		assert_int_equal(locate_order(q, &rng, order), 3);
		first[order[0]]++;
	}
	assert_in_range(zero, 5, 90);
	for (int i = 0; i < 3; i++)
		assert_in_range(first[i], 880, 1120);
	locate_plan_unref(p);
	locate_plan_unref(q);
}

/* one NAPTR's servers all before the next one's, whatever their priorities */
static void services_are_not_mixed(void **state)
{
	static const struct locate_server s[] = {
	    {.name = S("a"), .priority = 10, .rank = 0, .n = 1},
	    {.name = S("b"), .priority = 20, .rank = 0, .n = 1},
	    {.name = S("c"), .priority = 20, .rank = 1, .n = 1},
	    {.name = S("d"), .priority = 5, .rank = 2, .n = 1},
	};
	struct locate_plan *p = plan_of(s, 4);
	unsigned order[4];
	struct rng rng;

	(void)state;
	rng_init_seeded(&rng, 9);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(locate_order(p, &rng, order), 4);
		for (unsigned k = 0; k < 4; k++)
			assert_int_equal(order[k], k);
	}
	locate_plan_unref(p);
}

/* HE-01: families the realm has no listener for are left out, not fatal; HE-02: never across servers */
static void families_and_servers_stay_apart(void **state)
{
	struct locate_dest d = {.families = BOTH};
	struct locate_draft *f = calloc(1, sizeof(*f));
	struct addr a[] = {at("192.0.2.1"), at("2001:db8::1")}, b = at("2001:db8::2"), want;
	struct locate_plan *p, *q;

	(void)state;
	f->how = "srv";
	locate_draft_server(f, &(struct locate_server){.name = S("first"), .priority = 10});
	locate_draft_addrs(f, &d, a, 1, 5060); /* IPv4 only */
	locate_draft_server(f, &(struct locate_server){.name = S("second"), .priority = 20});
	locate_draft_addrs(f, &d, &b, 1, 5062);
	p = locate_draft_plan(f, LOCATE_GOOD, REASON_NONE);
	assert_int_equal(p->n_addrs, 2);
	assert_false(addr_is6(&p->addrs[p->servers[0].first])); /* not moved behind the IPv6 of the second */
	assert_true(addr_is6(&p->addrs[p->servers[1].first]));
	assert_int_equal(addr_port(&p->addrs[1]), 5062);

	memset(f, 0, sizeof(*f));
	f->how = "address";
	d.families = RESOLVE_V4;
	locate_draft_server(f, &(struct locate_server){.name = S("first")});
	locate_draft_addrs(f, &d, a, 2, 5060);
	q = locate_draft_plan(f, LOCATE_GOOD, REASON_NONE);
	want = at("192.0.2.1:5060");
	assert_int_equal(q->n_addrs, 1);
	assert_true(addr_eq(&q->addrs[0], &want));
	assert_true(str_eq(q->servers[0].name, S("first")));
	assert_false(locate_plan_same(p, q));
	assert_true(locate_plan_same(q, q));
	locate_plan_unref(locate_plan_ref(q));
	assert_int_equal(q->refs, 1);
	locate_plan_unref(q);
	locate_plan_unref(p);
	free(f);
}

/* DNS-01 */
static void numeric_hosts(void **state)
{
	static const struct {
		const char *host;
		struct locate_dest d;
		const char *want; /* NULL: no family for it */
		uint8_t proto;
	} t[] = {
	    {"192.0.2.1", {.proto = LOCATE_ANY, .protos = ALL, .families = BOTH}, "192.0.2.1:5060", NET_UDP},
	    {"192.0.2.1", {.proto = LOCATE_ANY, .protos = ALL, .families = BOTH, .sips = true}, "192.0.2.1:5061", NET_TLS},
	    {"192.0.2.1", {.proto = NET_TCP, .protos = ALL, .families = BOTH, .port = 5080}, "192.0.2.1:5080", NET_TCP},
	    {"2001:db8::1", {.proto = NET_TLS, .protos = ALL, .families = BOTH}, "[2001:db8::1]:5061", NET_TLS},
	    {"2001:db8::1", {.proto = NET_UDP, .protos = ALL, .families = RESOLVE_V4}, NULL, NET_UDP},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct addr a = at(t[i].host), want;
		struct locate_plan *p = locate_plan_numeric(&a, &t[i].d);

		assert_non_null(p);
		assert_string_equal(p->how, "numeric");
		assert_int_equal(p->n_servers, 1);
		assert_int_equal(p->servers[0].proto, t[i].proto);
		assert_int_equal(p->n_addrs, t[i].want ? 1 : 0);
		assert_int_equal(p->state, t[i].want ? LOCATE_GOOD : LOCATE_EMPTY);
		assert_true(p->fresh_until_us == INT64_MAX);
		if (t[i].want) {
			want = at(t[i].want);
			assert_true(addr_eq(&p->addrs[0], &want));
		}
		locate_plan_unref(p);
	}
}

static void drafts_are_bounded(void **state)
{
	struct locate_dest d = {.families = BOTH};
	struct locate_draft *f = calloc(1, sizeof(*f));
	struct addr a[32];

	(void)state;
	f->how = "srv";
	for (unsigned i = 0; i < 32; i++)
		a[i] = at("192.0.2.1");
	for (unsigned i = 0; i < LOCATE_SERVERS_MAX; i++) {
		assert_true(locate_draft_server(f, &(struct locate_server){.name = S("x")}));
		locate_draft_addrs(f, &d, a, 32, 5060);
	}
	assert_false(locate_draft_server(f, &(struct locate_server){.name = S("x")}));
	assert_int_equal(f->n_addrs, LOCATE_ADDRS_MAX);
	assert_int_equal(f->left_out, LOCATE_SERVERS_MAX * 32 - LOCATE_ADDRS_MAX + 1);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(where_to_begin),
	    cmocka_unit_test(naptr_is_filtered_and_sorted),
	    cmocka_unit_test(srv_names_without_naptr),
	    cmocka_unit_test(srv_by_priority),
	    cmocka_unit_test(addresses_as_rfc_6724_has_them),
	    cmocka_unit_test(weights_70_30),
	    cmocka_unit_test(weights_of_zero),
	    cmocka_unit_test(services_are_not_mixed),
	    cmocka_unit_test(families_and_servers_stay_apart),
	    cmocka_unit_test(numeric_hosts),
	    cmocka_unit_test(drafts_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
