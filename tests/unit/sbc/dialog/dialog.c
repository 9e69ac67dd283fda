/* dialog.c - dialog state alone: route sets, targets, next hops, the glare wait. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sbc/base/arena.h"
#include "sbc/dialog/dialog.h"

static struct arena_pool pool;
static struct net_path from_peer;

static struct sip_msg *parse(struct arena *a, const char *text)
{
	struct sip_perr err;
	struct sip_msg *m;
	char *copy = arena_alloc(a, strlen(text) + 1);

	memcpy(copy, text, strlen(text) + 1);
	assert_int_equal(sip_parse(a, copy, strlen(text), &m, &err), 0);
	return m;
}

static int set_up(void **state)
{
	arena_pool_init(&pool, 8000, 8);
	from_peer = (struct net_path){.proto = NET_UDP, .realm = 1};
	assert_int_equal(addr_parse(S("192.0.2.7:5080"), 0, &from_peer.remote), 0);
	*state = arena_new(&pool);
	return 0;
}

static int tear_down(void **state)
{
	arena_free(*state);
	arena_pool_fini(&pool);
	return 0;
}

#define INVITE(extra) \
	"INVITE sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa\r\nFrom: \"A\" <sip:a@x>;tag=ft\r\n" \
	"To: <sip:b@y>\r\nCall-ID: cid\r\nCSeq: 7 INVITE\r\n" extra "Content-Length: 0\r\n\r\n"
#define OK(extra) \
	"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:a@x>;tag=lt\r\nTo: <sip:b@y>;tag=rt\r\n" \
	"Call-ID: cid\r\nCSeq: 1 INVITE\r\n" extra "Content-Length: 0\r\n\r\n"

static void request_of(struct dlg *d, char *text, size_t cap, struct txn_req *r)
{
	struct buf h;

	buf_init(&h, text, cap - 1);
	memset(r, 0, sizeof(*r));
	dlg_request(d, SIP_BYE, STR_NONE, 0, &h, r);
	assert_int_equal(buf_err(&h), 0);
	buf_z(&h);
}

static void uas_takes_routes_in_order(void **state)
{
	struct txn_req r;
	struct dlg d;
	char t[2000];

	assert_int_equal(dlg_init_uas(&d, *state,
	                     parse(*state, INVITE("Contact: <sip:c@192.0.2.9:5099>\r\nRecord-Route: <sip:1.1.1.1;lr>,<sip:2.2.2.2;lr>\r\n")),
	                     &from_peer, S("mine")),
	    0);
	request_of(&d, t, sizeof(t), &r);
	assert_non_null(strstr(t, "Route: <sip:1.1.1.1;lr>\r\nRoute: <sip:2.2.2.2;lr>\r\n"));
	assert_non_null(strstr(t, "From: <sip:b@y>;tag=mine\r\n"));
	assert_non_null(strstr(t, "To: \"A\" <sip:a@x>;tag=ft\r\n"));
	assert_non_null(strstr(t, "CSeq: 1 BYE\r\n"));
	assert_true(str_eq(r.ruri, S("sip:c@192.0.2.9:5099")));
	assert_int_equal(addr_port(&r.path.remote), 5060);
}

static void uac_takes_routes_reversed_and_again_from_the_2xx(void **state)
{
	struct txn_req r;
	struct dlg d;
	char t[2000];

	dlg_init_uac(&d, *state, S("cid"), S("lt"), S("<sip:a@x>"), S("<sip:b@y>"), &from_peer);
	assert_int_equal(dlg_learn(&d, parse(*state, OK("Contact: <sip:c@192.0.2.9>\r\nRecord-Route: <sip:9.9.9.9;lr>\r\n")), &from_peer), 0);
	assert_int_equal(dlg_learn(&d, parse(*state, OK("Contact: <sip:c2@192.0.2.9>\r\nRecord-Route: <sip:1.1.1.1;lr>\r\nRecord-Route: <sip:2.2.2.2;lr>\r\n")), &from_peer), 0);
	request_of(&d, t, sizeof(t), &r);
	assert_non_null(strstr(t, "Route: <sip:2.2.2.2;lr>\r\nRoute: <sip:1.1.1.1;lr>\r\n"));
	assert_null(strstr(t, "9.9.9.9"));
	assert_true(str_eq(r.ruri, S("sip:c2@192.0.2.9")));
}

static void strict_route_swaps(void **state)
{
	struct txn_req r;
	struct dlg d;
	char t[2000];

	dlg_init_uac(&d, *state, S("cid"), S("lt"), S("<sip:a@x>"), S("<sip:b@y>"), &from_peer);
	assert_int_equal(dlg_learn(&d, parse(*state, OK("Contact: <sip:c@192.0.2.9>\r\nRecord-Route: <sip:2.2.2.2;lr>,<sip:1.1.1.1>\r\n")), &from_peer), 0);
	request_of(&d, t, sizeof(t), &r);
	assert_true(str_eq(r.ruri, S("sip:1.1.1.1")));
	assert_non_null(strstr(t, "Route: <sip:2.2.2.2;lr>\r\nRoute: <sip:c@192.0.2.9>\r\n"));
}

/* Where in the route set the first one's URI stands, as it is written there. */
static void the_first_route(void **state)
{
	static const struct {
		const char *lines, *want, *want_sips;
	} rows[] = {
	    {"", "", ""},
	    {"Record-Route: <sip:1.1.1.1;lr>\r\n", "sip:1.1.1.1;lr", "sips:1.1.1.1;lr"},
	    {"Record-Route: \"a, b\"  <sips:1.1.1.1;lr>;x=y\r\n", "sips:1.1.1.1;lr", "sips:1.1.1.1;lr"},
	    {"Record-Route: <sip:2.2.2.2;lr>\r\nRecord-Route: P <SIP:1.1.1.1;lr;n=1>\r\n", "SIP:1.1.1.1;lr;n=1", "sips:1.1.1.1;lr;n=1"},
	};

	for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		bool sips = i >= ARRAY_LEN(rows);
		const char *want = sips ? rows[i - ARRAY_LEN(rows)].want_sips : rows[i].want;
		char text[600];
		struct dlg d;

		snprintf(text, sizeof(text), OK("Contact: <sip:c@192.0.2.9>\r\n%s"), rows[i % ARRAY_LEN(rows)].lines);
		dlg_init_uac(&d, *state, S("cid"), S("lt"), S("<sip:a@x>"), S("<sip:b@y>"), &from_peer);
		d.sips = sips;
		assert_int_equal(dlg_learn(&d, parse(*state, text), &from_peer), 0);
		if (!str_eq(dlg_first_route(&d), str_z(want)))
			fail_msg("%zu: \"%.*s\" is not %s", i, STR(dlg_first_route(&d)), want);
	}
}

static void next_hops(void **state)
{
	static const struct {
		const char *contact, *goes;
		int proto;
	} rows[] = {
	    {"sip:c@192.0.2.9", "192.0.2.9:5060", NET_UDP},
	    {"sip:c@192.0.2.9:5099;transport=tcp", "192.0.2.9:5099", NET_TCP},
	    {"sip:c@[2001:db8::1]", "[2001:db8::1]:5060", NET_UDP},
	    {"sip:c@pbx.example", "192.0.2.7:5080", NET_UDP}, /* names of messages are never resolved */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct net_path p;
		struct dlg d;
		char text[600], at[ADDR_TEXT_MAX];

		snprintf(text, sizeof(text), OK("Contact: <%s>\r\n"), rows[i].contact);
		dlg_init_uac(&d, *state, S("cid"), S("lt"), S("<sip:a@x>"), S("<sip:b@y>"), &from_peer);
		assert_int_equal(dlg_learn(&d, parse(*state, text), &from_peer), 0);
		dlg_next_hop(&d, &p);
		assert_string_equal(addr_text(&p.remote, at), rows[i].goes);
		assert_int_equal(p.proto, rows[i].proto);
		d.nat = true; /* symmetric: where they come from */
		dlg_next_hop(&d, &p);
		assert_string_equal(addr_text(&p.remote, at), "192.0.2.7:5080");
	}
}

static void a_refresh_costs_memory_only_when_it_changes(void **state)
{
	struct dlg d;
	size_t before;
	struct sip_msg *m;

	dlg_init_uac(&d, *state, S("cid"), S("lt"), S("<sip:a@x>"), S("<sip:b@y>"), &from_peer);
	m = parse(*state, OK("Contact: <sip:c@192.0.2.9>\r\nAllow: UPDATE, INVITE\r\n"));
	assert_int_equal(dlg_learn(&d, m, &from_peer), 0);
	assert_true(d.update_ok);
	before = arena_bytes(*state);
	for (int i = 0; i < 100; i++)
		dlg_refresh(&d, m);
	assert_int_equal(arena_bytes(*state), before);
}

static void cseq_order(void **state)
{
	struct sip_msg *m = parse(*state, INVITE("Contact: <sip:c@192.0.2.9>\r\n"));
	struct dlg d;

	assert_int_equal(dlg_init_uas(&d, *state, m, &from_peer, S("mine")), 0);
	m->cseq = 17;
	assert_int_equal(dlg_take_cseq(&d, m), 0);
	m->cseq = 16;
	assert_int_equal(dlg_take_cseq(&d, m), -ESTALE);
	m->cseq = 17; /* ACK has the number of its INVITE */
	assert_int_equal(dlg_take_cseq(&d, m), 0);
}

static void an_invite_without_contact_makes_no_dialog(void **state)
{
	struct dlg d;

	assert_int_equal(dlg_init_uas(&d, *state, parse(*state, INVITE("")), &from_peer, S("mine")), -EBADMSG);
}

static void glare_waits_in_steps(void **state)
{
	struct rng rng;

	(void)state;
	rng_init_seeded(&rng, 3);
	for (int i = 0; i < 2000; i++) {
		uint32_t own = dlg_glare_wait_ms(&rng, true), other = dlg_glare_wait_ms(&rng, false);

		assert_in_range(own, 2100, 4000);
		assert_in_range(other, 0, 2000);
		assert_int_equal(own % 10, 0);
		assert_int_equal(other % 10, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(uas_takes_routes_in_order, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(uac_takes_routes_reversed_and_again_from_the_2xx, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(strict_route_swaps, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(the_first_route, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(next_hops, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_refresh_costs_memory_only_when_it_changes, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(cseq_order, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(an_invite_without_contact_makes_no_dialog, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(glare_waits_in_steps, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
