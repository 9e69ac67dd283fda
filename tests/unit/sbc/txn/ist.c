/* INVITE server transaction: rows TXN-04, -05, -07, -09, -14, -15, UAS-03, -04. */
#include "sbc/txn/ist.c"

#include "fake.h"

TABLE(ist, IST);

#define INVITE(branch) REQ("INVITE", branch, "1", "INVITE", "")
#define ACK(branch) REQ("ACK", branch, "1", "ACK", "")
#define CANCEL(branch) REQ("CANCEL", branch, "1", "CANCEL", "Require: nope\r\n")

static int reply(struct fake *f, unsigned status, const char *tag)
{
	return txn_srv_reply(f->srv, &(struct txn_reply){.status = (uint16_t)status, .to_tag = str_z(tag)});
}

static void table_is_complete(void **s)
{
	(void)s;
	walk_table(&table);
}

static void uas_03_100_after_200_ms(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;
	char text[256];

	(void)s;
	fake_init(&f);
	receive(&f, &peer, REQ("INVITE", "z9hG4bKa", "1", "INVITE", "Timestamp: 54.3\r\n"));
	assert_events(&f, "INVITE;");
	run_to(&f, 199);
	assert_int_equal(f.n_sent, 0);
	run_to(&f, 5000);
	assert_times(&f, "SIP/2.0 100 Trying\r\n", TIMES(200));
	assert_string_equal(header_of(f.sent[0].text, "To", text, sizeof(text)), "<sip:+15550100@sbc.example>");
	header_of(f.sent[0].text, "Timestamp", text, sizeof(text));
	assert_int_equal(strncmp(text, "54.3 0.20", 9), 0); /* with the time we held it */
	/* a copy of the INVITE gets the last answer again */
	receive(&f, &peer, REQ("INVITE", "z9hG4bKa", "1", "INVITE", "Timestamp: 54.3\r\n"));
	assert_times(&f, "SIP/2.0 100 Trying\r\n", TIMES(200, 5000));
	assert_events(&f, "");
	fake_fini(&f);
	assert_events(&f, "end -125;");
}

static void uas_03_no_100_when_answered_in_time(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;
	char text[256];

	(void)s;
	fake_init(&f);
	receive(&f, &peer, REQ("INVITE", "z9hG4bKa", "1", "INVITE", "Timestamp: 54.3\r\n"));
	run_to(&f, 150);
	assert_int_equal(reply(&f, 180, "t1"), 0);
	run_to(&f, 60000);
	assert_int_equal(f.n_sent, 1);
	assert_string_equal(header_of(f.sent[0].text, "Timestamp", text, sizeof(text)), "");
	fake_fini(&f);
}

static void uas_04_one_tag_and_headers_echoed(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;
	char a[256], b[256];

	(void)s;
	fake_init(&f);
	receive(&f, &peer,
	    "INVITE sip:x@sbc.example SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa\r\n"
	    "Via: SIP/2.0/TCP p2.example;branch=z9hG4bKb, SIP/2.0/UDP p3.example;branch=z9hG4bKc;received=10.0.0.1\r\n"
	    "f: \"J\\\"o\" <sip:a@b>;tag=1;x=y\r\nt: sip:x@sbc.example\r\ni: Id@Host\r\nCSeq: 0012 INVITE\r\n"
	    "Max-Forwards: 70\r\nl: 0\r\n\r\n");
	assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = 180}), 0);
	assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = 183,
	                                          .headers = S("Contact: <sip:us@sbc.example>\r\n"),
	                                          .body = S("v=0\r\n")}), 0);
	assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = 200, .phrase = S("Fine")}), 0);
	for (unsigned i = 0; i < 3; i++) {
		const char *m = f.sent[i].text;

		assert_int_equal(count_of(m, "Via: "), 2);
		assert_non_null(strstr(m,
		    "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa\r\n"
		    "Via: SIP/2.0/TCP p2.example;branch=z9hG4bKb, SIP/2.0/UDP p3.example;branch=z9hG4bKc;"
		    "received=10.0.0.1\r\n"));
		assert_string_equal(header_of(m, "From", a, sizeof(a)), "\"J\\\"o\" <sip:a@b>;tag=1;x=y");
		assert_string_equal(header_of(m, "Call-ID", a, sizeof(a)), "Id@Host");
		assert_string_equal(header_of(m, "CSeq", a, sizeof(a)), "0012 INVITE");
		header_of(m, "To", a, sizeof(a));
		assert_int_equal(strncmp(a, "sip:x@sbc.example;tag=", 22), 0);
		assert_int_equal(strlen(a), 22 + 12);
		if (i)
			assert_string_equal(a, header_of(f.sent[0].text, "To", b, sizeof(b)));
	}
	assert_non_null(strstr(f.sent[1].text, "Contact: <sip:us@sbc.example>\r\n"));
	assert_non_null(strstr(f.sent[1].text, "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"));
	assert_int_equal(strncmp(f.sent[2].text, "SIP/2.0 200 Fine\r\n", 18), 0);
	fake_fini(&f);
}

static void txn_04_refusal_repeated_until_h(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	assert_int_equal(reply(&f, 486, "t1"), 0);
	assert_int_equal(reply(&f, 200, "t1"), -EINVAL);
	assert_int_equal(reply(&f, 180, "t1"), -EINVAL);
	run_to(&f, 31999);
	assert_times(&f, "SIP/2.0 486 Busy Here\r\n",
	    TIMES(0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500));
	assert_events(&f, "INVITE;");
	run_to(&f, 32002);
	assert_events(&f, "end -110;");
	assert_int_equal(f.n_sent, 11);
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_04_ack_ends_it(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	reply(&f, 486, "t1");
	run_to(&f, 200);
	receive(&f, &peer, INVITE("z9hG4bKa")); /* a copy: answered again, G goes on */
	run_to(&f, 700);
	receive(&f, &peer, ACK("z9hG4bKa"));
	assert_events(&f, "INVITE;end 0;"); /* the ACK did not go up */
	assert_int_equal(f.l->kept_bytes, 0);
	run_to(&f, 5000);
	assert_times(&f, "SIP/2.0 486", TIMES(0, 200, 500));
	receive(&f, &peer, ACK("z9hG4bKa"));
	receive(&f, &peer, INVITE("z9hG4bKa"));
	assert_int_equal(txn_count_srv(f.l), 1);
	run_to(&f, 5699);
	assert_int_equal(txn_count_srv(f.l), 1);
	run_to(&f, 5703); /* I = T4 */
	assert_events(&f, "");
	assert_int_equal(f.n_sent, 3);
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_05_reliable_sends_once(void **s)
{
	struct net_path peer = peer_path(NET_TCP, "192.0.2.9", 41000, 7);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	reply(&f, 486, "t1");
	run_to(&f, 31000);
	assert_int_equal(f.n_sent, 1);
	receive(&f, &peer, ACK("z9hG4bKa"));
	assert_events(&f, "INVITE;end 0;");
	run_to(&f, 31002); /* I is 0 */
	assert_idle(&f);
	receive(&f, &peer, INVITE("z9hG4bKb"));
	reply(&f, 486, "t1");
	run_to(&f, 31002 + 32003); /* H runs on TCP too */
	assert_events(&f, "INVITE;end -110;");
	assert_int_equal(f.n_sent, 2);
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_07_accepted_absorbs_copies(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	assert_int_equal(reply(&f, 200, "t1"), 0);
	assert_int_equal(reply(&f, 200, "t1"), -EINVAL);
	run_to(&f, 400);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	run_to(&f, 1000);
	assert_int_equal(f.n_sent, 1); /* sending the 2xx again is the core's */
	txn_srv_resend(f.srv);
	assert_times(&f, "SIP/2.0 200 OK\r\n", TIMES(0, 1000));
	assert_string_equal(f.sent[1].text, f.sent[0].text);
	/* the ACK has its own branch and goes up; one that reuses the INVITE's too */
	receive(&f, &peer, ACK("z9hG4bKother"));
	receive(&f, &peer, ACK("z9hG4bKa"));
	assert_events(&f, "INVITE;ACK up;ACK up;");
	txn_srv_acked(f.srv);
	assert_int_equal(f.l->kept_bytes, 0);
	txn_srv_resend(f.srv);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	assert_int_equal(f.n_sent, 2);
	run_to(&f, 31999);
	assert_events(&f, "");
	run_to(&f, 32002); /* L: 64*T1 */
	assert_events(&f, "end 0;");
	assert_idle(&f);
	fake_fini(&f);
}

/* Kill TCP during 180, INVITE comes again on a new connection: no second call, answers go there. */
static void txn_09_transport_error_ends_nothing(void **s)
{
	struct net_path one = peer_path(NET_TCP, "192.0.2.9", 41000, 7), two = peer_path(NET_TCP, "192.0.2.9", 41001, 8);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &one, INVITE("z9hG4bKa"));
	assert_int_equal(reply(&f, 180, "t1"), 0);
	assert_int_equal(f.sent[0].path.conn, 7);
	f.send_err[NET_TCP] = -ECONNRESET;
	assert_int_equal(reply(&f, 183, "t1"), 0);
	f.send_err[NET_TCP] = 0;
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(txn_count_srv(f.l), 1);
	receive(&f, &two, INVITE("z9hG4bKa"));
	assert_events(&f, "INVITE;");
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(f.sent[1].path.conn, 8);
	assert_int_equal(strncmp(f.sent[1].text, "SIP/2.0 183", 11), 0);
	assert_int_equal(reply(&f, 200, "t1"), 0);
	assert_int_equal(f.sent[2].path.conn, 8);
	fake_fini(&f);
}

static void txn_09_udp_error_ends_nothing(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	reply(&f, 180, "t1");
	txn_on_failure(f.l, &peer, 0, -ECONNREFUSED, str_n(f.sent[0].text, f.sent[0].n));
	txn_on_failure(f.l, &peer, f.sent[0].owner, -ECONNREFUSED, STR_NONE);
	assert_events(&f, "INVITE;");
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(txn_count_srv(f.l), 1);
	fake_fini(&f);
}

static void txn_14_cancel(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;
	char a[256], b[256];

	(void)s;
	fake_init(&f);
	f.cancel_reply = 487;
	receive(&f, &peer, INVITE("z9hG4bKa"));
	reply(&f, 180, "t1");
	run_to(&f, 100);
	receive(&f, &peer, CANCEL("z9hG4bKa")); /* PAR-24: its Require is not looked at */
	assert_events(&f, "INVITE;cancel;");
	assert_int_equal(f.n_sent, 3);
	assert_int_equal(strncmp(f.sent[1].text, "SIP/2.0 200 OK\r\n", 16), 0);
	assert_string_equal(header_of(f.sent[1].text, "CSeq", a, sizeof(a)), "1 CANCEL");
	assert_string_equal(header_of(f.sent[1].text, "To", a, sizeof(a)), header_of(f.sent[0].text, "To", b, sizeof(b)));
	assert_int_equal(strncmp(f.sent[2].text, "SIP/2.0 487 Request Terminated\r\n", 32), 0);
	assert_string_equal(header_of(f.sent[2].text, "CSeq", a, sizeof(a)), "1 INVITE");
	/* a copy gets its 200, the user hears nothing */
	receive(&f, &peer, CANCEL("z9hG4bKa"));
	assert_events(&f, "");
	assert_int_equal(f.n_sent, 4);
	assert_string_equal(f.sent[3].text, f.sent[1].text);
	receive(&f, &peer, ACK("z9hG4bKa"));
	assert_events(&f, "end 0;");
	fake_fini(&f);
}

static void txn_14_cancel_after_final_and_unmatched(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	reply(&f, 200, "t1");
	receive(&f, &peer, CANCEL("z9hG4bKa"));
	assert_events(&f, "INVITE;");
	assert_int_equal(strncmp(f.sent[1].text, "SIP/2.0 200 OK\r\n", 16), 0);
	assert_int_equal(f.srv->status, 200);
	/* UAS-06, RFC 3261 9.2: no such transaction */
	receive(&f, &peer, CANCEL("z9hG4bKx"));
	receive(&f, &peer, CANCEL("z9hG4bKx"));
	assert_int_equal(f.n_sent, 4);
	assert_int_equal(strncmp(f.sent[2].text, "SIP/2.0 481 ", 12), 0);
	assert_string_equal(f.sent[3].text, f.sent[2].text); /* same tag both times */
	assert_int_equal(txn_count_srv(f.l), 1);
	/* a stranger gets silence */
	f.answer_nobody = true;
	receive(&f, &peer, CANCEL("z9hG4bKx"));
	assert_int_equal(f.n_sent, 4);
	/* another realm's CANCEL is not for this call */
	peer.realm = 1;
	f.answer_nobody = false;
	receive(&f, &peer, CANCEL("z9hG4bKa"));
	assert_int_equal(strncmp(f.sent[4].text, "SIP/2.0 481 ", 12), 0);
	assert_events(&f, "");
	fake_fini(&f);
}

static void user_lets_go(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	/* dropped: no answer, nothing left */
	f.drop = true;
	receive(&f, &peer, INVITE("z9hG4bKa"));
	assert_int_equal(f.n_sent, 0);
	assert_idle(&f);
	/* detached without an answer: 500, and the machine ends by itself */
	f.drop = false;
	f.detach = true;
	receive(&f, &peer, INVITE("z9hG4bKb"));
	assert_events(&f, "INVITE;INVITE;");
	assert_int_equal(strncmp(f.sent[0].text, "SIP/2.0 500 ", 12), 0);
	receive(&f, &peer, CANCEL("z9hG4bKb"));
	receive(&f, &peer, ACK("z9hG4bKb"));
	run_to(&f, 5002);
	assert_events(&f, "");
	assert_idle(&f);
	fake_fini(&f);
}

/* Asked who it is and forgotten: no memory, the same tag for each copy, its ACK goes up as a stray. */
static void aut_08_answered_and_forgotten(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	char one[256], two[256];
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	assert_events(&f, "INVITE;");
	assert_int_equal(txn_srv_reply_once(f.srv, &(struct txn_reply){.status = 401, .headers = S("X-Line: 1\r\n")}), 0);
	assert_int_equal(txn_count_srv(f.l), 0);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	assert_events(&f, "INVITE;");
	assert_int_equal(txn_srv_reply_once(f.srv, &(struct txn_reply){.status = 401}), 0);
	assert_int_equal(f.n_sent, 2);
	header_of(f.sent[0].text, "To", one, sizeof(one));
	header_of(f.sent[1].text, "To", two, sizeof(two));
	assert_non_null(strstr(one, ";tag="));
	assert_string_equal(one, two);
	assert_non_null(strstr(f.sent[0].text, "X-Line: 1\r\n"));
	run_to(&f, 60000); /* nothing is repeated */
	assert_int_equal(f.n_sent, 2);
	receive(&f, &peer, ACK("z9hG4bKa"));
	assert_events(&f, "ACK up;");
	/* no provisional answer, and none after a final one */
	receive(&f, &peer, INVITE("z9hG4bKb"));
	assert_int_equal(txn_srv_reply_once(f.srv, &(struct txn_reply){.status = 180}), -EINVAL);
	assert_int_equal(txn_count_srv(f.l), 0);
	assert_int_equal(f.n_sent, 2);
	fake_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_is_complete),
	    cmocka_unit_test(uas_03_100_after_200_ms),
	    cmocka_unit_test(uas_03_no_100_when_answered_in_time),
	    cmocka_unit_test(uas_04_one_tag_and_headers_echoed),
	    cmocka_unit_test(txn_04_refusal_repeated_until_h),
	    cmocka_unit_test(txn_04_ack_ends_it),
	    cmocka_unit_test(txn_05_reliable_sends_once),
	    cmocka_unit_test(txn_07_accepted_absorbs_copies),
	    cmocka_unit_test(txn_09_transport_error_ends_nothing),
	    cmocka_unit_test(txn_09_udp_error_ends_nothing),
	    cmocka_unit_test(txn_14_cancel),
	    cmocka_unit_test(txn_14_cancel_after_final_and_unmatched),
	    cmocka_unit_test(user_lets_go),
	    cmocka_unit_test(aut_08_answered_and_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
