/* changes.c - re-INVITE, UPDATE, hold, glare, and what happens when they fail, in an established call. */
#include "rig.h"

static const char hold_a[] = "v=0\r\no=alice 1 2 IN IP4 198.51.100.10\r\ns=call\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\n"
                             "m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
                             "a=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n";
static const char held_b[] = "v=0\r\no=bob 9 10 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n"
                             "m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
                             "a=rtpmap:101 telephone-event/8000\r\na=recvonly\r\n";
#define CONTACT_A "Contact: <sip:alice@198.51.100.10:5060>\n"
#define CONTACT_B "Contact: <sip:bob@203.0.113.20:5060>\n"

static void a_ack(struct rig *r, const struct up *u, const char *call_id, unsigned cseq)
{
	rig_a_request(r, u, call_id, "ACK", cseq, "", NULL);
}

static void hold_and_resume(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "mdi-05");
	struct sent *re, *ok;
	char first_o[100], second_o[100];

	(void)state;
	snprintf(first_o, sizeof(first_o), "%.60s", strstr(rig_body(u.invite_b), "o=-"));
	rig_a_request(r, &u, "mdi-05", "INVITE", 2, CONTACT_A, hold_a);
	re = rig_tx(r, "INVITE sip:bob@203.0.113.20");
	assert_non_null(strstr(rig_body(re), "a=sendonly"));
	assert_string_equal(rig_hdr(r, re, "CSeq"), "2 INVITE");
	/* OFA-03: same session id, version one higher */
	snprintf(second_o, sizeof(second_o), "%.60s", strstr(rig_body(re), "o=-"));
	assert_string_not_equal(first_o, second_o);
	assert_memory_equal(first_o, second_o, (size_t)(strchr(first_o + 4, ' ') - first_o));
	rig_answer(r, re, "200 OK", "", CONTACT_B, held_b);
	rig_tx(r, "ACK sip:bob@203.0.113.20");
	ok = rig_tx(r, "SIP/2.0 200");
	assert_non_null(strstr(rig_body(ok), "a=recvonly"));
	a_ack(r, &u, "mdi-05", 2);
	/* resume */
	rig_a_request(r, &u, "mdi-05", "INVITE", 3, CONTACT_A, sdp_a);
	re = rig_tx(r, "INVITE ");
	assert_null(strstr(rig_body(re), "a=sendonly"));
	rig_answer(r, re, "200 OK", "", CONTACT_B, sdp_b);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 200");
	a_ack(r, &u, "mdi-05", 3);
	rig_hang_up(r, &u, "mdi-05", 4);
	rig_end(r);
}

/* RFC 3261 13.2.2.4: the ACK of a 2xx goes out for each copy of it, also when the next INVITE has left meanwhile */
static void lost_ack_while_the_next_change_runs(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "two-acks");
	struct sent *two, *three, *s;

	(void)state;
	rig_a_request(r, &u, "two-acks", "INVITE", 2, CONTACT_A, hold_a);
	two = rig_tx(r, "INVITE ");
	rig_answer(r, two, "200 OK", "", CONTACT_B, held_b);
	rig_tx(r, "ACK "); /* lost */
	rig_tx(r, "SIP/2.0 200");
	a_ack(r, &u, "two-acks", 2);
	rig_a_request(r, &u, "two-acks", "INVITE", 3, CONTACT_A, sdp_a);
	three = rig_tx(r, "INVITE ");
	/* before the answer to the third, and after it */
	for (int i = 0; i < 2; i++) {
		rig_answer(r, two, "200 OK", "", CONTACT_B, held_b);
		s = rig_tx(r, "ACK ");
		assert_string_equal(rig_hdr(r, s, "CSeq"), "2 ACK");
		rig_quiet(r);
		if (i == 0) {
			rig_answer(r, three, "200 OK", "", CONTACT_B, sdp_b);
			s = rig_tx(r, "ACK ");
			assert_string_equal(rig_hdr(r, s, "CSeq"), "3 ACK");
			rig_tx(r, "SIP/2.0 200");
			a_ack(r, &u, "two-acks", 3);
		}
	}
	rig_answer(r, three, "200 OK", "", CONTACT_B, sdp_b);
	s = rig_tx(r, "ACK ");
	assert_string_equal(rig_hdr(r, s, "CSeq"), "3 ACK");
	rig_pass(r, 32100); /* 64*T1: nothing is kept, nothing is sent */
	rig_answer(r, two, "200 OK", "", CONTACT_B, held_b);
	rig_answer(r, three, "200 OK", "", CONTACT_B, sdp_b);
	rig_quiet(r);
	rig_hang_up(r, &u, "two-acks", 4);
	rig_end(r);
}

/* RFC 3261 13.2.2.4, TXN-08: another fork's 2xx may come late, when two changes have passed the call's own fork */
static void another_fork_answers_after_two_changes(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "late-fork");
	struct sent *s, *bye;

	(void)state;
	for (unsigned cseq = 2; cseq <= 4; cseq++) {
		rig_a_request(r, &u, "late-fork", "INVITE", cseq, CONTACT_A, cseq % 2 ? sdp_a : hold_a);
		s = rig_tx(r, "INVITE ");
		rig_answer(r, s, "200 OK", "", CONTACT_B, cseq % 2 ? sdp_b : held_b);
		rig_tx(r, "ACK ");
		rig_tx(r, "SIP/2.0 200");
		a_ack(r, &u, "late-fork", cseq);
	}
	/* a late copy of the own fork's first 2xx is history */
	rig_answer(r, u.invite_b, "200 OK", rig_tag(r, rig_hdr(r, u.ack_b, "To")), CONTACT_B, sdp_b);
	rig_quiet(r);
	rig_answer(r, u.invite_b, "200 OK", "other", "Contact: <sip:eve@203.0.113.21:5060>\n", sdp_b);
	s = rig_tx(r, "ACK sip:eve@203.0.113.21:5060");
	assert_string_equal(rig_hdr(r, s, "CSeq"), "1 ACK");
	assert_string_equal(rig_tag(r, rig_hdr(r, s, "To")), "other");
	bye = rig_tx(r, "BYE sip:eve@203.0.113.21:5060");
	assert_string_equal(rig_tag(r, rig_hdr(r, bye, "To")), "other");
	rig_answer(r, bye, "200 OK", "", "", NULL);
	assert_int_equal(b2b_call_count(r->b2b), 1);
	/* and when the call is over */
	rig_hang_up(r, &u, "late-fork", 5);
	rig_answer(r, u.invite_b, "200 OK", "third", "Contact: <sip:eve@203.0.113.22:5060>\n", sdp_b);
	rig_tx(r, "ACK sip:eve@203.0.113.22:5060");
	bye = rig_tx(r, "BYE sip:eve@203.0.113.22:5060");
	rig_answer(r, bye, "200 OK", "", "", NULL);
	rig_end(r);
}

static void hold_from_the_callee(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "hold-b");
	struct sent *re, *ok;

	(void)state;
	rig_b_request(r, &u, "INVITE", 1, CONTACT_B,
	    "v=0\r\no=bob 9 10 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8\r\n");
	re = rig_tx(r, "INVITE sip:alice@198.51.100.10:5060");
	/* SDP-06: old-style hold crosses as a hold with a real address */
	assert_null(strstr(rig_body(re), "0.0.0.0"));
	assert_true(strstr(rig_body(re), "a=sendonly") || strstr(rig_body(re), "a=inactive"));
	rig_answer(r, re, "200 OK", "", CONTACT_A,
	    "v=0\r\no=alice 1 2 IN IP4 198.51.100.10\r\ns=-\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=recvonly\r\n");
	rig_tx(r, "ACK ");
	ok = rig_tx(r, "SIP/2.0 200");
	assert_null(strstr(rig_body(ok), "0.0.0.0"));
	rig_b_request(r, &u, "ACK", 1, "", NULL);
	rig_hang_up(r, &u, "hold-b", 2);
	rig_end(r);
}

static void refused_change_leaves_the_session(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "dlg-09");
	struct sent *re, *bye;

	(void)state;
	rig_a_request(r, &u, "dlg-09", "INVITE", 2, "Contact: <sip:moved@198.51.100.99>\n", hold_a);
	re = rig_tx(r, "INVITE ");
	rig_answer(r, re, "488 Not Acceptable Here", "", "", NULL);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 488");
	assert_int_equal(b2b_call_count(r->b2b), 1);
	/* DLG-11: the target of the failed request was not taken */
	rig_b_request(r, &u, "BYE", 1, "", NULL);
	rig_tx(r, "SIP/2.0 200");
	bye = rig_tx(r, "BYE sip:alice@198.51.100.10:5060");
	rig_answer(r, bye, "200 OK", "", "", NULL);
	rig_end(r);
}

static void target_moves_with_a_2xx(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "dlg-11");
	struct sent *re, *bye;

	(void)state;
	rig_a_request(r, &u, "dlg-11", "INVITE", 2, "Contact: <sip:moved@198.51.100.10:5099>\nRecord-Route: <sip:evil;lr>\n", hold_a);
	re = rig_tx(r, "INVITE ");
	rig_answer(r, re, "200 OK", "", "Contact: <sip:bob2@203.0.113.20:5077>\nRecord-Route: <sip:evil2;lr>\n", held_b);
	rig_tx(r, "ACK sip:bob2@203.0.113.20:5077");
	rig_tx(r, "SIP/2.0 200");
	a_ack(r, &u, "dlg-11", 2);
	rig_b_request(r, &u, "BYE", 1, "", NULL);
	rig_tx(r, "SIP/2.0 200");
	bye = rig_tx(r, "BYE sip:moved@198.51.100.10:5099");
	assert_string_equal(rig_hdr(r, bye, "Route"), ""); /* DLG-01: the route set stays */
	rig_answer(r, bye, "200 OK", "", "", NULL);
	rig_end(r);
}

static void lost_dialog_ends_both(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "txn-19");
	struct sent *re, *s;

	(void)state;
	rig_a_request(r, &u, "txn-19", "INVITE", 2, CONTACT_A, hold_a);
	re = rig_tx(r, "INVITE ");
	rig_answer(r, re, "481 Call/Transaction Does Not Exist", "", "", NULL);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 487"); /* the pending request of A's dialog (FOV-06) */
	for (int i = 0; i < 2; i++) {
		s = rig_tx(r, "BYE ");
		rig_answer(r, s, "200 OK", "", "", NULL);
	}
	assert_int_equal(r->rec[0].reason, REASON_PEER_LOST_DIALOG);
	/* the 487 was not acknowledged: copies stop by themselves */
	rig_end(r);
}

static void unanswered_change_ends_both(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "txn-19b");

	(void)state;
	rig_a_request(r, &u, "txn-19b", "INVITE", 2, CONTACT_A, hold_a);
	rig_tx(r, "INVITE ");
	rig_pass(r, 33000);
	assert_int_equal(r->n_rec, 1);
	assert_int_equal(r->rec[0].reason, REASON_REINVITE_LOST);
	rig_end(r);
}

static void second_request_before_the_final(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "dlg-06");
	struct sent *re, *s;
	const char *wait;

	(void)state;
	rig_a_request(r, &u, "dlg-06", "INVITE", 2, CONTACT_A, hold_a);
	re = rig_tx(r, "INVITE ");
	rig_a_request(r, &u, "dlg-06", "INVITE", 3, CONTACT_A, hold_a);
	s = rig_tx(r, "SIP/2.0 500");
	wait = rig_hdr(r, s, "Retry-After");
	assert_true(wait[0] && atol(wait) >= 0 && atol(wait) <= 10);
	/* the other side's, while ours to it is open */
	rig_b_request(r, &u, "INVITE", 1, CONTACT_B, sdp_b);
	s = rig_tx(r, "SIP/2.0 491");
	assert_string_equal(rig_hdr(r, s, "CSeq"), "1 INVITE");
	rig_answer(r, re, "200 OK", "", CONTACT_B, held_b);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 200");
	a_ack(r, &u, "dlg-06", 2);
	rig_hang_up(r, &u, "dlg-06", 4);
	rig_end(r);
}

static void glare_waits(void **state)
{
	(void)state;
	/* DLG-07: leg B's Call-ID is ours: 2.1 .. 4.0 s; leg A's is the caller's: 0 .. 2.0 s; steps of 10 ms */
	for (int side = 0; side < 2; side++) {
		struct rig *r = rig_new();
		struct up u;

		rig_set(r, PBX, "media-timeout", "off");
		rig_set(r, ITSP, "media-timeout", "off");
		rig_compile(r);
		u = rig_call_up(r, "dlg-07");

		for (unsigned i = 0; i < 25; i++) {
			struct sent *re, *again;
			int64_t waited;

			if (side == 0)
				rig_a_request(r, &u, "dlg-07", "INVITE", 2 + i, CONTACT_A, i % 2 ? sdp_a : hold_a);
			else
				rig_b_request(r, &u, "INVITE", 2 + i, CONTACT_B, i % 2 ? sdp_b : held_b);
			re = rig_tx(r, "INVITE ");
			rig_answer(r, re, "491 Request Pending", "", "", NULL);
			rig_tx(r, "ACK ");
			waited = r->clock.mono_us;
			rig_pass(r, 4100);
			for (;;) { /* 100 Trying may stand before it */
				again = &r->sent[r->at];
				assert_true(r->at < r->n_sent);
				r->at++;
				if (strncmp(again->text, "INVITE ", 7) == 0)
					break;
			}
			waited = (again->at_us - waited) / 1000;
			if (side == 0)
				assert_in_range(waited, 2100, 4020);
			else
				assert_in_range(waited, 0, 2020);
			/* same offer, next CSeq */
			assert_string_equal(rig_body(re), rig_body(again));
			assert_string_not_equal(rig_hdr(r, re, "CSeq"), rig_hdr(r, again, "CSeq"));
			rig_answer(r, again, "488 No", "", "", NULL);
			for (; r->at < r->n_sent; r->at++)
				;
			rig_ack_failure(r, &u, side == 0, "dlg-07", 2 + i);
		}
		rig_hang_up(r, &u, "dlg-07", 90);
		rig_end(r);
	}
}

static void crossing_reinvites_end_consistent(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "ofa-01");
	struct sent *re, *ok;

	(void)state;
	rig_a_request(r, &u, "ofa-01", "INVITE", 2, CONTACT_A, hold_a);
	re = rig_tx(r, "INVITE ");
	rig_b_request(r, &u, "INVITE", 1, CONTACT_B, sdp_b); /* crosses ours */
	rig_tx(r, "SIP/2.0 491");
	rig_ack_failure(r, &u, false, "", 1);
	rig_answer(r, re, "491 Request Pending", "", "", NULL);
	rig_tx(r, "ACK ");
	rig_pass(r, 4100);
	for (; strncmp(r->sent[r->at].text, "INVITE ", 7) != 0; r->at++)
		assert_true(r->at < r->n_sent);
	re = rig_tx(r, "INVITE ");
	r->at = r->n_sent; /* its copies */
	rig_answer(r, re, "200 OK", "", CONTACT_B, held_b);
	rig_tx(r, "ACK ");
	ok = rig_tx(r, "SIP/2.0 200");
	assert_string_equal(rig_hdr(r, ok, "CSeq"), "2 INVITE");
	a_ack(r, &u, "ofa-01", 2);
	rig_hang_up(r, &u, "ofa-01", 3);
	rig_end(r);
}

static void offerless_reinvite(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "ofa-10");
	struct sent *re, *ok, *ack;

	(void)state;
	rig_b_request(r, &u, "INVITE", 1, CONTACT_B, NULL);
	re = rig_tx(r, "INVITE sip:alice@198.51.100.10");
	assert_string_equal(rig_body(re), "");
	rig_answer(r, re, "200 OK", "", CONTACT_A, sdp_a);
	ok = rig_tx(r, "SIP/2.0 200");
	/* everything A offers reaches B */
	assert_non_null(strstr(rig_body(ok), "PCMU/8000"));
	assert_non_null(strstr(rig_body(ok), "PCMA/8000"));
	rig_quiet(r);
	rig_b_request(r, &u, "ACK", 1, "", sdp_b);
	ack = rig_tx(r, "ACK sip:alice@198.51.100.10");
	assert_non_null(strstr(rig_body(ack), "m=audio"));
	rig_hang_up(r, &u, "ofa-10", 2);
	rig_end(r);
}

static void update_crosses_as_what_the_far_end_speaks(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "cal-04"); /* B's Allow has no UPDATE, A's has */
	struct sent *s;

	(void)state;
	rig_a_request(r, &u, "cal-04", "UPDATE", 2, CONTACT_A, hold_a);
	s = rig_tx(r, "INVITE sip:bob@203.0.113.20"); /* B2B-05: interworked */
	rig_answer(r, s, "200 OK", "", CONTACT_B, held_b);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "SIP/2.0 200");
	assert_string_equal(rig_hdr(r, s, "CSeq"), "2 UPDATE");
	assert_non_null(strstr(rig_body(s), "a=recvonly"));
	/* the other way it stays UPDATE */
	rig_b_request(r, &u, "UPDATE", 1, CONTACT_B, held_b);
	s = rig_tx(r, "UPDATE sip:alice@198.51.100.10");
	rig_answer(r, s, "200 OK", "", CONTACT_A, hold_a);
	rig_tx(r, "SIP/2.0 200");
	/* without a body: answered here */
	rig_a_request(r, &u, "cal-04", "UPDATE", 3, CONTACT_A, NULL);
	s = rig_tx(r, "SIP/2.0 200");
	assert_string_equal(rig_body(s), "");
	rig_quiet(r);
	rig_hang_up(r, &u, "cal-04", 4);
	rig_end(r);
}

static void cancelled_reinvite(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "re-cancel");
	struct sent *re, *c;

	(void)state;
	rig_a_request(r, &u, "re-cancel", "INVITE", 2, CONTACT_A, hold_a);
	re = rig_tx(r, "INVITE ");
	rig_answer(r, re, "100 Trying", "", "", NULL);
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "CANCEL sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKr%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: re-cancel\n"
	    "CSeq: 2 CANCEL\n",
	    r->branch, u.a_to_tag);
	rig_tx(r, "SIP/2.0 200");
	rig_tx(r, "SIP/2.0 487");
	c = rig_tx(r, "CANCEL ");
	rig_answer(r, c, "200 OK", "", "", NULL);
	rig_answer(r, re, "487 Request Terminated", "", "", NULL);
	rig_tx(r, "ACK ");
	assert_int_equal(b2b_call_count(r->b2b), 1);
	rig_a_request(r, &u, "re-cancel", "ACK", 2, "", NULL);
	/* and the call can change again */
	rig_a_request(r, &u, "re-cancel", "INVITE", 3, CONTACT_A, hold_a);
	re = rig_tx(r, "INVITE ");
	rig_answer(r, re, "200 OK", "", CONTACT_B, held_b);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 200");
	a_ack(r, &u, "re-cancel", 3);
	rig_hang_up(r, &u, "re-cancel", 4);
	rig_end(r);
}

static void bad_answer_is_taken_back(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "dlg-10");
	struct sent *re;

	(void)state;
	rig_a_request(r, &u, "dlg-10", "INVITE", 2, CONTACT_A, hold_a);
	re = rig_tx(r, "INVITE ");
	rig_answer(r, re, "200 OK", "", CONTACT_B, NULL); /* no answer in it */
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 488");
	/* the far end has changed something: it gets the session as it was */
	re = rig_tx(r, "INVITE ");
	assert_null(strstr(rig_body(re), "a=sendonly"));
	rig_answer(r, re, "200 OK", "", CONTACT_B, sdp_b);
	rig_tx(r, "ACK ");
	a_ack(r, &u, "dlg-10", 2);
	assert_int_equal(b2b_call_count(r->b2b), 1);
	rig_hang_up(r, &u, "dlg-10", 3);
	rig_end(r);
}

static void streams_come_and_go(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "sdp-02");
	struct sent *re, *ok;
	unsigned pairs = media_pairs_in_use(r->media);

	(void)state;
	rig_a_request(r, &u, "sdp-02", "INVITE", 2, CONTACT_A,
	    "v=0\r\no=alice 1 2 IN IP4 198.51.100.10\r\ns=call\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
	    "m=video 4010 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n");
	re = rig_tx(r, "INVITE ");
	assert_non_null(strstr(rig_body(re), "m=video "));
	rig_answer(r, re, "200 OK", "", CONTACT_B,
	    "v=0\r\no=bob 9 10 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8\r\n"
	    "m=video 6010 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n");
	rig_tx(r, "ACK ");
	ok = rig_tx(r, "SIP/2.0 200");
	assert_non_null(strstr(rig_body(ok), "m=video "));
	a_ack(r, &u, "sdp-02", 2);
	assert_int_equal(media_pairs_in_use(r->media), pairs + 2);
	rig_a_request(r, &u, "sdp-02", "INVITE", 3, CONTACT_A,
	    "v=0\r\no=alice 1 3 IN IP4 198.51.100.10\r\ns=call\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
	    "m=video 0 RTP/AVP 96\r\n");
	re = rig_tx(r, "INVITE ");
	assert_non_null(strstr(rig_body(re), "m=video 0 "));
	rig_answer(r, re, "200 OK", "", CONTACT_B,
	    "v=0\r\no=bob 9 11 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8\r\n"
	    "m=video 0 RTP/AVP 97\r\n");
	rig_tx(r, "ACK ");
	ok = rig_tx(r, "SIP/2.0 200");
	assert_non_null(strstr(rig_body(ok), "m=video 0 "));
	a_ack(r, &u, "sdp-02", 3);
	assert_int_equal(media_pairs_in_use(r->media), pairs); /* SDP-03 */
	rig_hang_up(r, &u, "sdp-02", 4);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hold_and_resume),
	    cmocka_unit_test(lost_ack_while_the_next_change_runs),
	    cmocka_unit_test(another_fork_answers_after_two_changes),
	    cmocka_unit_test(hold_from_the_callee),
	    cmocka_unit_test(refused_change_leaves_the_session),
	    cmocka_unit_test(target_moves_with_a_2xx),
	    cmocka_unit_test(lost_dialog_ends_both),
	    cmocka_unit_test(unanswered_change_ends_both),
	    cmocka_unit_test(second_request_before_the_final),
	    cmocka_unit_test(glare_waits),
	    cmocka_unit_test(crossing_reinvites_end_consistent),
	    cmocka_unit_test(offerless_reinvite),
	    cmocka_unit_test(update_crosses_as_what_the_far_end_speaks),
	    cmocka_unit_test(cancelled_reinvite),
	    cmocka_unit_test(bad_answer_is_taken_back),
	    cmocka_unit_test(streams_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
