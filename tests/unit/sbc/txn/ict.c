/* INVITE client transaction: rows TXN-01, -02, -05, -08, -11, -13, -20, UAS-11, TCP-04. */
#include "sbc/txn/ict.c"

#include "fake.h"

TABLE(ict, ICT);

static void table_is_complete(void **s)
{
	(void)s;
	walk_table(&table);
}

static void txn_01_retransmits_and_gives_up(void **s)
{
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	run_to(&f, 31999);
	assert_times(&f, "INVITE", TIMES(0, 500, 1500, 3500, 7500, 15500, 31500));
	for (unsigned i = 1; i < f.n_sent; i++)
		assert_string_equal(f.sent[i].text, f.sent[0].text);
	assert_events(&f, "");
	run_to(&f, 32002);
	assert_events(&f, "failed -110;gone;");
	assert_int_equal(metrics_get(&f.metrics, "txn", "timeout"), 1);
	assert_int_equal(metrics_get(&f.metrics, "txn", "tx_retrans"), 6);
	run_to(&f, 200000);
	assert_int_equal(f.n_sent, 7);
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_02_provisional_stops_a_and_b(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	run_to(&f, 600);
	answer(&f, &peer, 0, "100 Trying", "");
	run_to(&f, 300000);
	assert_times(&f, "INVITE", TIMES(0, 500));
	assert_events(&f, "100 ;");
	assert_int_equal(f.cli->status, 100);
	assert_int_equal(f.timers.n, 0);
	answer(&f, &peer, 0, "180 Ringing", "b1");
	answer(&f, &peer, 0, "180 Ringing", "b2");
	assert_events(&f, "180 b1;180 b2;");
	fake_fini(&f);
	assert_events(&f, "failed -125;gone;");
}

static void txn_05_reliable_sends_once(void **s)
{
	struct net_path peer = peer_path(NET_TCP, "192.0.2.9", 5060, 100);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_TCP);
	run_to(&f, 20000);
	assert_times(&f, "INVITE", TIMES(0));
	assert_null(strstr(f.sent[0].text, "rport"));
	answer(&f, &peer, 0, "486 Busy Here", "b1");
	assert_times(&f, "ACK", TIMES(20000));
	assert_events(&f, "486 b1;");
	run_to(&f, 20002); /* D is 0 */
	assert_events(&f, "gone;");
	assert_idle(&f);
	/* B runs on TCP too */
	request(&f, SIP_INVITE, NET_TCP);
	run_to(&f, 20002 + 32003);
	assert_events(&f, "failed -110;gone;");
	assert_idle(&f);
	fake_fini(&f);
}

/* The ACK: same branch, R-URI, Route and CSeq number as the INVITE, To of the answer, one Via. */
static void txn_11_ack_of_a_refusal(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;
	char a[256], b[256];
	const char *ack;

	(void)s;
	fake_init(&f);
	request_with(&f, SIP_INVITE, NET_UDP, NULL, S("v=0\r\n"));
	run_to(&f, 100);
	answer(&f, &peer, 0, "404 Not Found", "b1");
	assert_events(&f, "404 b1;");
	ack = f.sent[1].text;
	assert_int_equal(strncmp(ack, "ACK sip:+15550199@192.0.2.9 SIP/2.0\r\n", 37), 0);
	assert_string_equal(header_of(ack, "Via", a, sizeof(a)), header_of(f.sent[0].text, "Via", b, sizeof(b)));
	assert_int_equal(count_of(ack, "Via:"), 1);
	assert_string_equal(header_of(ack, "Route", a, sizeof(a)), "<sip:proxy.example;lr>");
	assert_string_equal(header_of(ack, "CSeq", a, sizeof(a)), "7 ACK");
	assert_string_equal(header_of(ack, "To", a, sizeof(a)), "<sip:+15550199@192.0.2.9>;tag=b1");
	assert_string_equal(header_of(ack, "From", a, sizeof(a)), "<sip:us@sbc.example>;tag=u1");
	assert_string_equal(header_of(ack, "Call-ID", a, sizeof(a)), "leg-b");
	assert_string_equal(header_of(ack, "Content-Length", a, sizeof(a)), "0");
	assert_string_equal(header_of(ack, "Require", a, sizeof(a)), "");
	assert_int_equal(count_of(ack, "Max-Forwards: 70\r\n"), 1);
	assert_null(strstr(ack, "v=0"));
	/* a copy of the answer gets the ACK again and does not go up */
	run_to(&f, 1100);
	answer(&f, &peer, 0, "404 Not Found", "b1");
	assert_times(&f, "ACK", TIMES(100, 1100));
	assert_string_equal(f.sent[2].text, ack);
	/* so does a stray provisional one: not even an ACK */
	answer(&f, &peer, 0, "180 Ringing", "b1");
	assert_events(&f, "");
	/* D: 32 s from the first final */
	run_to(&f, 32099);
	assert_events(&f, "");
	run_to(&f, 32102);
	assert_events(&f, "gone;");
	assert_idle(&f);
	/* what comes later is a stray */
	answer(&f, &peer, 0, "404 Not Found", "b1");
	assert_int_equal(metrics_get(&f.metrics, "txn", "rx_stray"), 1);
	assert_int_equal(f.n_sent, 3);
	fake_fini(&f);
}

static void txn_08_accepted_passes_every_2xx(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	run_to(&f, 100);
	answer(&f, &peer, 0, "183 Session Progress", "x");
	answer(&f, &peer, 0, "200 OK", "x");
	/* its bytes are given back at once */
	assert_int_equal(f.l->kept_bytes, 0);
	answer(&f, &peer, 0, "200 OK", "y");
	run_to(&f, 600);
	answer(&f, &peer, 0, "200 OK", "x");
	answer(&f, &peer, 0, "486 Busy Here", "z"); /* late loser of a fork: absorbed */
	answer(&f, &peer, 0, "180 Ringing", "z");
	assert_events(&f, "183 x;200 x;200 y;200 x;");
	assert_int_equal(f.n_sent, 1); /* the ACK is the dialog's */
	run_to(&f, 32099);
	answer(&f, &peer, 0, "200 OK", "x");
	assert_events(&f, "200 x;");
	run_to(&f, 32102); /* M: 64*T1 from the first 2xx */
	assert_events(&f, "gone;");
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_13_cancel_waits_for_a_provisional(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;
	char a[256], b[256];
	const char *cancel;
	int i;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	run_to(&f, 100);
	txn_cli_cancel(f.cli, S("Reason: Q.850;cause=16\r\n"));
	txn_cli_cancel(f.cli, STR_NONE); /* twice is once */
	run_to(&f, 1600);
	assert_int_equal(find_sent(&f, 0, "CANCEL"), -1);
	answer(&f, &peer, 0, "100 Trying", "");
	i = find_sent(&f, 0, "CANCEL");
	assert_true(i > 0);
	cancel = f.sent[i].text;
	assert_int_equal(strncmp(cancel, "CANCEL sip:+15550199@192.0.2.9 SIP/2.0\r\n", 40), 0);
	assert_string_equal(header_of(cancel, "Via", a, sizeof(a)), header_of(f.sent[0].text, "Via", b, sizeof(b)));
	assert_string_equal(header_of(cancel, "To", a, sizeof(a)), "<sip:+15550199@192.0.2.9>");
	assert_string_equal(header_of(cancel, "From", a, sizeof(a)), "<sip:us@sbc.example>;tag=u1");
	assert_string_equal(header_of(cancel, "Call-ID", a, sizeof(a)), "leg-b");
	assert_string_equal(header_of(cancel, "CSeq", a, sizeof(a)), "7 CANCEL");
	assert_string_equal(header_of(cancel, "Route", a, sizeof(a)), "<sip:proxy.example;lr>");
	assert_string_equal(header_of(cancel, "Require", a, sizeof(a)), "");
	assert_string_equal(header_of(cancel, "Reason", a, sizeof(a)), "Q.850;cause=16");
	assert_int_equal(txn_count_cli(f.l), 2);
	/* the CANCEL is sent again as any request, until its 200 */
	run_to(&f, 2200);
	assert_times(&f, "CANCEL", TIMES(1600, 2100));
	answer(&f, &peer, (unsigned)i, "200 OK", "b1");
	answer(&f, &peer, 0, "487 Request Terminated", "b1");
	assert_events(&f, "100 ;487 b1;");
	run_to(&f, 40000);
	assert_times(&f, "CANCEL", TIMES(1600, 2100));
	assert_times(&f, "ACK", TIMES(2200));
	assert_events(&f, "gone;");
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_13_cancel_when_ringing_goes_at_once(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	answer(&f, &peer, 0, "180 Ringing", "b1");
	run_to(&f, 3000);
	txn_cli_cancel(f.cli, STR_NONE);
	assert_times(&f, "CANCEL", TIMES(3000));
	/* TXN-15: the crossing 200 still goes up */
	answer(&f, &peer, 0, "200 OK", "b1");
	assert_events(&f, "180 b1;200 b1;");
	txn_cli_cancel(f.cli, STR_NONE); /* after a final: nothing */
	run_to(&f, 3100);
	assert_int_equal(txn_count_cli(f.l), 2);
	run_to(&f, 40000);
	assert_events(&f, "gone;");
	assert_idle(&f);
	fake_fini(&f);
}

/* 9.1: no final in 64*T1 after CANCEL */
static void cancelled_and_silent_ends(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	answer(&f, &peer, 0, "180 Ringing", "b1");
	run_to(&f, 1000);
	txn_cli_cancel(f.cli, STR_NONE);
	run_to(&f, 32999);
	assert_events(&f, "180 b1;");
	run_to(&f, 33003);
	assert_events(&f, "failed -110;gone;");
	run_to(&f, 40000);
	assert_idle(&f);
	fake_fini(&f);
}

static void cancel_without_any_answer_ends_by_b(void **s)
{
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	txn_cli_cancel(f.cli, STR_NONE);
	run_to(&f, 32003);
	assert_int_equal(find_sent(&f, 0, "CANCEL"), -1);
	assert_events(&f, "failed -110;gone;");
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_20_timers_of_the_trunk(void **s)
{
	struct fake f;

	(void)s;
	fake_init(&f);
	request_with(&f, SIP_INVITE, NET_UDP, &(struct txn_timers){.t1_ms = 200, .b_ms = 3000}, STR_NONE);
	run_to(&f, 2999);
	assert_times(&f, "INVITE", TIMES(0, 200, 600, 1400));
	assert_events(&f, "");
	run_to(&f, 3003);
	assert_events(&f, "failed -110;gone;");
	/* T1 alone moves B with it */
	request_with(&f, SIP_INVITE, NET_UDP, &(struct txn_timers){.t1_ms = 100}, STR_NONE);
	run_to(&f, 3003 + 6400 - 1);
	assert_events(&f, "");
	run_to(&f, 3003 + 6403);
	assert_events(&f, "failed -110;gone;");
	assert_idle(&f);
	fake_fini(&f);
}

static void uas_11_unknown_codes_by_class(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	answer(&f, &peer, 0, "189 What", "b1");
	run_to(&f, 1000);
	assert_times(&f, "INVITE", TIMES(0));
	answer(&f, &peer, 0, "499 Never Heard", "b1");
	assert_times(&f, "ACK", TIMES(1000));
	assert_events(&f, "189 b1;499 b1;");
	fake_fini(&f);
	assert_events(&f, "gone;");
}

static void transport_error_is_told_on_a_later_turn(void **s)
{
	struct fake f;

	(void)s;
	fake_init(&f);
	f.send_err[NET_UDP] = -EMFILE;
	assert_non_null(request(&f, SIP_INVITE, NET_UDP));
	assert_events(&f, "");
	run_to(&f, 2);
	assert_events(&f, "failed -24;gone;");
	/* a realm without such a listener */
	f.send_err[NET_UDP] = 0;
	f.no_udp = true;
	assert_non_null(request(&f, SIP_INVITE, NET_UDP));
	assert_events(&f, "");
	run_to(&f, 4);
	assert_events(&f, "failed -101;gone;");
	assert_int_equal(f.n_sent, 0);
	assert_idle(&f);
	/* a full queue of the system is a lost datagram */
	f.no_udp = false;
	f.send_err[NET_UDP] = -ENOBUFS;
	request(&f, SIP_INVITE, NET_UDP);
	f.send_err[NET_UDP] = 0;
	run_to(&f, 600);
	assert_times(&f, "INVITE", TIMES(504));
	assert_events(&f, "");
	fake_fini(&f);
}

/* TCP-04: the network's report fails the request at once, but only while nothing came back. */
static void failure_by_id(void **s)
{
	struct net_path peer = peer_path(NET_TCP, "192.0.2.9", 5060, 100);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_TCP);
	run_to(&f, 10);
	txn_on_failure(f.l, &f.sent[0].path, f.sent[0].owner, -ECONNREFUSED, STR_NONE);
	assert_events(&f, "failed -111;");
	run_to(&f, 12);
	assert_events(&f, "gone;");
	txn_on_failure(f.l, &f.sent[0].path, f.sent[0].owner, -ECONNREFUSED, STR_NONE);
	assert_idle(&f);
	request(&f, SIP_INVITE, NET_TCP); /* has the place of the first one: a late report of that is not its */
	txn_on_failure(f.l, &f.sent[0].path, f.sent[0].owner, -ECONNREFUSED, STR_NONE);
	assert_events(&f, "");
	answer(&f, &peer, 1, "180 Ringing", "b1");
	txn_on_failure(f.l, &f.sent[1].path, f.sent[1].owner, -ECONNRESET, STR_NONE);
	assert_events(&f, "180 b1;");
	answer(&f, &peer, 1, "200 OK", "b1");
	assert_events(&f, "200 b1;");
	fake_fini(&f);
}

static void a_dying_connection_costs_no_request(void **s)
{
	struct net_path peer = peer_path(NET_TCP, "192.0.2.9", 5060, 100);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_TCP);
	assert_int_equal(f.n_sent, 1);
	txn_on_failure(f.l, &f.sent[0].path, f.sent[0].owner, -ECONNRESET, STR_NONE);
	assert_int_equal(f.n_sent, 2); /* the same bytes, on whatever connection there is or will be */
	assert_int_not_equal(f.sent[1].path.conn, f.sent[0].path.conn); /* a fresh one */
	assert_int_equal(f.sent[1].n, f.sent[0].n);
	assert_events(&f, "");
	answer(&f, &peer, 1, "180 Ringing", "b1");
	assert_events(&f, "180 b1;");
	answer(&f, &peer, 1, "200 OK", "b1");
	assert_events(&f, "200 b1;");
	/* once only */
	request(&f, SIP_INVITE, NET_TCP);
	txn_on_failure(f.l, &f.sent[2].path, f.sent[2].owner, -ECONNRESET, STR_NONE);
	assert_int_equal(f.n_sent, 4);
	txn_on_failure(f.l, &f.sent[3].path, f.sent[3].owner, -ECONNRESET, STR_NONE);
	assert_events(&f, "failed -104;");
	fake_fini(&f);
}

static void detached_runs_on_alone(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	answer(&f, &peer, 0, "180 Ringing", "b1");
	txn_cli_detach(f.cli);
	assert_times(&f, "CANCEL", TIMES(0)); /* or it would ring for ever */
	answer(&f, &peer, 0, "487 Request Terminated", "b1");
	assert_times(&f, "ACK", TIMES(0));
	run_to(&f, 33000);
	assert_events(&f, "180 b1;");
	assert_idle(&f);
	fake_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_is_complete),
	    cmocka_unit_test(txn_01_retransmits_and_gives_up),
	    cmocka_unit_test(txn_02_provisional_stops_a_and_b),
	    cmocka_unit_test(txn_05_reliable_sends_once),
	    cmocka_unit_test(txn_11_ack_of_a_refusal),
	    cmocka_unit_test(txn_08_accepted_passes_every_2xx),
	    cmocka_unit_test(txn_13_cancel_waits_for_a_provisional),
	    cmocka_unit_test(txn_13_cancel_when_ringing_goes_at_once),
	    cmocka_unit_test(cancelled_and_silent_ends),
	    cmocka_unit_test(cancel_without_any_answer_ends_by_b),
	    cmocka_unit_test(txn_20_timers_of_the_trunk),
	    cmocka_unit_test(uas_11_unknown_codes_by_class),
	    cmocka_unit_test(transport_error_is_told_on_a_later_turn),
	    cmocka_unit_test(failure_by_id),
	    cmocka_unit_test(a_dying_connection_costs_no_request),
	    cmocka_unit_test(detached_runs_on_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
