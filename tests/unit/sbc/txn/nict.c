/* Non-INVITE client transaction: rows TXN-03, -05, -20. */
#include "sbc/txn/nict.c"

#include "fake.h"

TABLE(nict, NICT);

static void table_is_complete(void **s)
{
	(void)s;
	walk_table(&table);
}

static void txn_03_retransmits_and_gives_up(void **s)
{
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_OPTIONS, NET_UDP);
	run_to(&f, 31999);
	assert_times(&f, "OPTIONS",
	    TIMES(0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500));
	assert_events(&f, "");
	run_to(&f, 32003);
	assert_events(&f, "failed -110;gone;");
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_03_interval_is_t2_after_a_provisional(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_BYE, NET_UDP);
	run_to(&f, 700);
	answer(&f, &peer, 0, "100 Trying", "");
	run_to(&f, 31999);
	/* the interval under way ends as it began, then T2; F does not wait for more */
	assert_times(&f, "BYE", TIMES(0, 500, 1500, 5500, 9500, 13500, 17500, 21500, 25500, 29500));
	assert_events(&f, "100 ;");
	run_to(&f, 32003);
	assert_events(&f, "failed -110;gone;");
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_05_k_absorbs_copies(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_BYE, NET_UDP);
	run_to(&f, 600);
	answer(&f, &peer, 0, "200 OK", "b1");
	assert_int_equal(f.l->kept_bytes, 0);
	answer(&f, &peer, 0, "200 OK", "b1");
	answer(&f, &peer, 0, "100 Trying", "");
	assert_events(&f, "200 b1;");
	run_to(&f, 5599);
	assert_events(&f, "");
	run_to(&f, 5602);
	assert_events(&f, "gone;");
	assert_times(&f, "BYE", TIMES(0, 500));
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_05_reliable_sends_once(void **s)
{
	struct net_path peer = peer_path(NET_TLS, "192.0.2.9", 5061, 100);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_BYE, NET_TLS);
	assert_non_null(strstr(f.sent[0].text, "Via: SIP/2.0/TLS sbc.example:5061;branch=z9hG4bK"));
	run_to(&f, 31000);
	assert_times(&f, "BYE", TIMES(0));
	answer(&f, &peer, 0, "200 OK", "b1");
	run_to(&f, 31002); /* K is 0 */
	assert_events(&f, "200 b1;gone;");
	assert_idle(&f);
	request(&f, SIP_BYE, NET_TLS);
	run_to(&f, 31002 + 32003);
	assert_events(&f, "failed -110;gone;");
	fake_fini(&f);
}

static void txn_20_timers_of_the_trunk(void **s)
{
	struct fake f;

	(void)s;
	fake_init(&f);
	request_with(&f, SIP_OPTIONS, NET_UDP,
	    &(struct txn_timers){.t1_ms = 100, .t2_ms = 400, .t4_ms = 1000, .f_ms = 2000}, STR_NONE);
	run_to(&f, 1999);
	assert_times(&f, "OPTIONS", TIMES(0, 100, 300, 700, 1100, 1500, 1900));
	run_to(&f, 2003);
	assert_events(&f, "failed -110;gone;");
	assert_idle(&f);
	fake_fini(&f);
}

static void transport_error_fails_in_both_states(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_OPTIONS, NET_UDP);
	txn_on_failure(f.l, &f.sent[0].path, f.sent[0].owner, -EHOSTUNREACH, STR_NONE);
	assert_events(&f, "failed -113;");
	request(&f, SIP_OPTIONS, NET_UDP);
	answer(&f, &peer, 1, "100 Trying", "");
	txn_on_failure(f.l, &f.sent[1].path, f.sent[1].owner, -EHOSTUNREACH, STR_NONE);
	assert_events(&f, "100 ;failed -113;");
	run_to(&f, 2);
	assert_events(&f, "gone;gone;");
	assert_idle(&f);
	fake_fini(&f);
}

static void closing_tells_it_once(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_OPTIONS, NET_UDP);
	answer(&f, &peer, 0, "200 OK", "b1");
	fake_fini(&f);
	assert_events(&f, "200 b1;gone;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_is_complete),
	    cmocka_unit_test(txn_03_retransmits_and_gives_up),
	    cmocka_unit_test(txn_03_interval_is_t2_after_a_provisional),
	    cmocka_unit_test(txn_05_k_absorbs_copies),
	    cmocka_unit_test(txn_05_reliable_sends_once),
	    cmocka_unit_test(txn_20_timers_of_the_trunk),
	    cmocka_unit_test(transport_error_fails_in_both_states),
	    cmocka_unit_test(closing_tells_it_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
