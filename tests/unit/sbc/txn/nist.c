/* Non-INVITE server transaction: rows TXN-05, -16, -17. */
#include "sbc/txn/nist.c"

#include "fake.h"

TABLE(nist, NIST);

#define BYE(branch) REQ("BYE", branch, "2", "BYE", "")

static int reply(struct fake *f, unsigned status)
{
	return txn_srv_reply(f->srv, &(struct txn_reply){.status = (uint16_t)status});
}

static void table_is_complete(void **s)
{
	(void)s;
	walk_table(&table);
}

static void txn_16_100_at_3500_ms_on_udp(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, BYE("z9hG4bKa"));
	run_to(&f, 500);
	receive(&f, &peer, BYE("z9hG4bKa")); /* nothing to send again yet */
	run_to(&f, 3499);
	assert_int_equal(f.n_sent, 0);
	run_to(&f, 7000);
	assert_times(&f, "SIP/2.0 100 Trying\r\n", TIMES(3500));
	receive(&f, &peer, BYE("z9hG4bKa"));
	assert_times(&f, "SIP/2.0 100 Trying\r\n", TIMES(3500, 7000));
	assert_int_equal(reply(&f, 200), 0);
	receive(&f, &peer, BYE("z9hG4bKa"));
	assert_times(&f, "SIP/2.0 200 OK\r\n", TIMES(7000, 7000));
	assert_events(&f, "BYE;");
	run_to(&f, 38999); /* J: 64*T1 from the final answer */
	assert_int_equal(txn_count_srv(f.l), 1);
	run_to(&f, 39002);
	assert_events(&f, "end 0;");
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_16_no_other_provisional(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, BYE("z9hG4bKa"));
	for (unsigned status = 101; status < 200; status++)
		assert_int_equal(reply(&f, status), -EINVAL);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(reply(&f, 202), 0);
	assert_int_equal(reply(&f, 100), -EINVAL);
	assert_int_equal(reply(&f, 500), -EINVAL);
	fake_fini(&f);
}

static void txn_16_none_on_streams(void **s)
{
	struct net_path peer = peer_path(NET_TCP, "192.0.2.9", 41000, 7);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, BYE("z9hG4bKa"));
	run_to(&f, 20000);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(reply(&f, 200), 0);
	assert_events(&f, "BYE;"); /* the end comes on a later turn, */
	run_to(&f, 20002);         /* but at once: J is 0 */
	assert_events(&f, "end 0;");
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_17_no_408(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, BYE("z9hG4bKa"));
	run_to(&f, 10000);
	assert_int_equal(reply(&f, 408), 0);
	receive(&f, &peer, BYE("z9hG4bKa"));
	run_to(&f, 43000);
	assert_int_equal(find_sent(&f, 0, "SIP/2.0 408"), -1);
	assert_int_equal(f.n_sent, 1); /* the 100 at 3.5 s */
	assert_events(&f, "BYE;end 0;");
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_17_no_late_final(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, BYE("z9hG4bKa"));
	run_to(&f, 31999);
	assert_events(&f, "BYE;");
	run_to(&f, 32002);
	assert_events(&f, "end -110;"); /* the last call: no way left to answer */
	assert_int_equal(f.n_sent, 1);
	assert_idle(&f);
	fake_fini(&f);
}

static void user_lets_go(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	f.detach = true;
	receive(&f, &peer, BYE("z9hG4bKa"));
	run_to(&f, 33000);
	assert_events(&f, "BYE;");
	assert_idle(&f);
	f.detach = false;
	f.drop = true;
	receive(&f, &peer, BYE("z9hG4bKb"));
	assert_idle(&f);
	f.drop = false;
	f.reply_at_once = 481; /* UAS-06: the user knows of no such dialog */
	receive(&f, &peer, BYE("z9hG4bKc"));
	assert_int_equal(find_sent(&f, 0, "SIP/2.0 481 "), 1);
	fake_fini(&f);
	assert_events(&f, "BYE;BYE;end -125;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_is_complete),
	    cmocka_unit_test(txn_16_100_at_3500_ms_on_udp),
	    cmocka_unit_test(txn_16_no_other_provisional),
	    cmocka_unit_test(txn_16_none_on_streams),
	    cmocka_unit_test(txn_17_no_408),
	    cmocka_unit_test(txn_17_no_late_final),
	    cmocka_unit_test(user_lets_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
