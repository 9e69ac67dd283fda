/* rows_setup.c - the way of an INVITE: several early dialogs, requests before the answer, every order of CANCEL and
 * the answers, answers that cannot be used, late offers. */
#include "play.h"

#define CA PLAY_CONTACT_A
#define CB PLAY_CONTACT_B

static void forks_are_kept_apart(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *s, *early;
	struct up u;

	(void)state;
	/* DLG-04: 183 tag a, 183 tag b, 183 tag a again, 200 tag b: dialog and media follow b */
	rig_invite(r, "dlg-04", "", sdp_a);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "183 Session Progress", "fa", "Contact: <sip:a@203.0.113.31>\nRecord-Route: <sip:203.0.113.41;lr>\n",
	    sdp_b);
	early = rig_tx(r, "SIP/2.0 183");
	rig_answer(r, inv, "183 Session Progress", "fb", "Contact: <sip:b@203.0.113.32>\nRecord-Route: <sip:203.0.113.42;lr>\n",
	    sdp_b);
	s = rig_tx(r, "SIP/2.0 183");
	/* OFA-06: leg A has one early dialog whatever happens over there */
	assert_string_equal(rig_hdr(r, early, "To"), rig_hdr(r, s, "To"));
	assert_string_equal(rig_body(early), rig_body(s));
	rig_answer(r, inv, "180 Ringing", "fa", "Contact: <sip:a@203.0.113.31>\n", NULL);
	rig_tx(r, "SIP/2.0 180");
	rig_answer(r, inv, "200 OK", "fb", "Contact: <sip:b@203.0.113.32>\nRecord-Route: <sip:203.0.113.42;lr>\n", sdp_b);
	s = rig_tx(r, "SIP/2.0 200");
	u = rig_up(r, inv, s);
	s = rig_tx(r, "ACK sip:b@203.0.113.32");
	assert_string_equal(rig_tag(r, rig_hdr(r, s, "To")), "fb");
	assert_string_equal(rig_hdr(r, s, "Route"), "<sip:203.0.113.42;lr>");
	rig_a_request(r, &u, "dlg-04", "ACK", 1, "", NULL);
	/* the one that lost is no dialog any more */
	rig_rx(r, 1, "203.0.113.20", NULL,
	    "BYE sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKlost\nFrom: %s;tag=fa\nTo: %s\n"
	    "Call-ID: %s\nCSeq: 1 BYE\n",
	    rig_hdr(r, inv, "To"), rig_hdr(r, inv, "From"), rig_hdr(r, inv, "Call-ID"));
	rig_tx(r, "SIP/2.0 481");
	assert_int_equal(b2b_call_count(r->b2b), 1);
	rig_hang_up(r, &u, "dlg-04", 2);
	rig_end(r);
}

static void update_moves_only_its_own_early_dialog(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *s;

	(void)state;
	rig_invite(r, "dlg-04u", "", sdp_a);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "fa", "Contact: <sip:a@203.0.113.31>\n", NULL);
	rig_answer(r, inv, "180 Ringing", "fb", "Contact: <sip:b@203.0.113.32>\n", NULL);
	r->at = r->n_sent;
	rig_rx(r, 1, "203.0.113.20", NULL,
	    "UPDATE sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKup1\nFrom: %s;tag=fa\nTo: %s\n"
	    "Call-ID: %s\nCSeq: 5 UPDATE\nContact: <sip:a2@203.0.113.39>\n",
	    rig_hdr(r, inv, "To"), rig_hdr(r, inv, "From"), rig_hdr(r, inv, "Call-ID"));
	rig_tx(r, "SIP/2.0 200");
	/* fb answers without saying its Contact anew: what it said in its 180 is still true */
	rig_answer(r, inv, "200 OK", "fb", "Contact: <sip:b@203.0.113.32>\n", sdp_b);
	rig_tx(r, "SIP/2.0 200");
	s = rig_tx(r, "ACK sip:b@203.0.113.32");
	(void)s;
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);

	/* and the other way round: the moved one takes the call from its new place */
	r = rig_new();
	rig_invite(r, "dlg-04v", "", sdp_a);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "fb", "Contact: <sip:b@203.0.113.32>\n", NULL);
	rig_answer(r, inv, "180 Ringing", "fa", "Contact: <sip:a@203.0.113.31>\n", NULL);
	r->at = r->n_sent;
	rig_rx(r, 1, "203.0.113.20", NULL,
	    "UPDATE sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKup2\nFrom: %s;tag=fb\nTo: %s\n"
	    "Call-ID: %s\nCSeq: 5 UPDATE\nContact: <sip:b2@203.0.113.38>\n",
	    rig_hdr(r, inv, "To"), rig_hdr(r, inv, "From"), rig_hdr(r, inv, "Call-ID"));
	rig_tx(r, "SIP/2.0 200");
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, false);
	rig_tx(r, "SIP/2.0 500");
	rig_tx(r, "CANCEL ");
	rig_answer(r, inv, "200 OK", "fa", "Contact: <sip:a@203.0.113.31>\n", sdp_b);
	rig_tx(r, "ACK sip:a@203.0.113.31");
	rig_tx(r, "BYE sip:a@203.0.113.31");
	rig_end(r);
}

static void many_forks_cost_a_bounded_amount(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv;
	size_t at_16 = 0;
	char tag[16];

	(void)state;
	rig_invite(r, "forks", "", sdp_a);
	inv = rig_tx(r, "INVITE ");
	for (int i = 0; i < 300; i++) {
		snprintf(tag, sizeof(tag), "f%d", i);
		rig_answer(r, inv, "180 Ringing", tag, CB, NULL);
		if (i == 20)
			at_16 = b2b_call_bytes(r->b2b);
	}
	assert_int_equal(b2b_call_bytes(r->b2b), at_16);
	assert_in_range(rig_count(r, 0, "SIP/2.0 180"), 2, 18);
	/* and the 300th may still take the call */
	r->at = r->n_sent;
	rig_answer(r, inv, "200 OK", "f299", "Contact: <sip:last@203.0.113.50>\n", sdp_b);
	rig_tx(r, "SIP/2.0 200");
	assert_string_equal(rig_tag(r, rig_hdr(r, rig_tx(r, "ACK sip:last@203.0.113.50"), "To")), "f299");
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

/* whoever changes Contact or route with every message makes nothing grow */
static void endless_refreshes_cost_nothing(void **state)
{
	struct rig *r = rig_new();
	char contact[200];
	struct sent *inv;
	struct up u;
	size_t early = 0, up = 0;

	(void)state;
	rig_invite(r, "grow", "", sdp_a);
	inv = rig_tx(r, "INVITE ");
	for (int i = 0; i < 200; i++) {
		snprintf(contact, sizeof(contact), "Contact: <sip:b%05d@203.0.113.20>\nRecord-Route: <sip:203.0.113.%d;lr>\n", i,
		    i % 200 + 1);
		rig_answer(r, inv, "180 Ringing", "btag", contact, NULL);
		if (i == 10)
			early = b2b_call_bytes(r->b2b);
	}
	assert_int_equal(b2b_call_bytes(r->b2b), early);
	rig_answer(r, inv, "200 OK", "btag", CB, sdp_b);
	u = rig_up(r, inv, rig_find(r, "SIP/2.0 200"));
	rig_a_request(r, &u, "grow", "ACK", 1, "", NULL);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(contact, sizeof(contact), "Contact: <sip:a%05u@198.51.100.10>\n", i);
		rig_a_request(r, &u, "grow", "UPDATE", 2 + i, contact, NULL);
		if (i == 10)
			up = b2b_call_bytes(r->b2b);
	}
	assert_int_equal(b2b_call_bytes(r->b2b), up);
	/* the last one counts */
	r->at = r->n_sent;
	rig_b_request(r, &u, "BYE", 1, "", NULL);
	rig_tx(r, "SIP/2.0 200");
	rig_answer(r, rig_tx(r, "BYE sip:a00199@198.51.100.10"), "200 OK", "", "", NULL);
	rig_end(r);
}

static void waiting_infos_are_bounded(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "infos");
	unsigned mark = r->n_sent;
	struct sent *s;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		rig_a_request(r, &u, "infos", "INFO", 2 + i, "", NULL);
	assert_int_equal(rig_count(r, mark, "INFO "), 16);
	assert_int_equal(rig_count(r, mark, "SIP/2.0 500"), 84);
	/* B2B-06: each answer finds its question */
	for (unsigned i = 0; i < 2; i++) {
		s = rig_find(r, "INFO ");
		rig_answer(r, s, i ? "200 OK" : "404 No", "", "", NULL);
		assert_memory_equal(r->sent[r->n_sent - 1].text, i ? "SIP/2.0 200" : "SIP/2.0 404", 11);
		assert_string_equal(rig_hdr(r, &r->sent[r->n_sent - 1], "CSeq"), i ? "3 INFO" : "2 INFO");
	}
	r->at = r->n_sent;
	rig_hang_up(r, &u, "infos", 200);
	rig_end(r);
}

/* What may come inside the dialog before the answer, from either side, and what it gets. The call goes on. */
static void requests_before_the_answer(void **state)
{
	static const struct {
		char side;
		const char *method, *extra, *body, *answer;
	} rows[] = {
	    {'a', "UPDATE", CA, NULL, "200"},    /* RFC 3311 5.2: no offer in it */
	    {'a', "UPDATE", CA, sdp_a, "500"},   /* their first offer is not answered yet */
	    {'b', "UPDATE", CB, sdp_b, "491"},   /* ours is not */
	    {'b', "UPDATE", CB, NULL, "200"},
	    {'a', "INVITE", CA, sdp_a, "500"},   /* DLG-06, -08 */
	    {'b', "INVITE", CB, sdp_b, "491"},
	    {'a', "INFO", "", NULL, "500"},
	    {'b', "INFO", "", NULL, "500"},
	    {'a', "MESSAGE", "Content-Type: text/plain\n", "x", "500"},
	    {'a', "OPTIONS", "", NULL, "200"},
	    {'b', "OPTIONS", "", NULL, "200"},
	    {'a', "PRACK", "RAck: 1 1 INVITE\n", NULL, "481"},
	    {'a', "REFER", "Refer-To: <sip:x@198.51.100.10>\n", NULL, "405"}, /* SUP-05 */
	    {'b', "REFER", "Refer-To: <sip:x@203.0.113.20>\n", NULL, "405"},
	    {'a', "SUBSCRIBE", "Event: dialog\n", NULL, "489"},
	    {'a', "NOTIFY", "Event: dialog\nSubscription-State: active\n", NULL, "481"},
	    {'b', "BYE", "", NULL, "200"}, /* DLG-05: it may not; nothing ends by it */
	    {'a', "FOO", "", NULL, "501"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig *r = rig_new();
		struct sent *inv, *s;
		struct up u;

		rig_invite(r, "early", "", sdp_a);
		inv = rig_tx(r, "INVITE ");
		rig_answer(r, inv, "180 Ringing", "btag", CB, NULL);
		u = rig_up(r, inv, rig_tx(r, "SIP/2.0 180"));
		if (rows[i].side == 'a')
			rig_a_request(r, &u, "early", rows[i].method, 2, rows[i].extra, rows[i].body);
		else
			rig_b_request(r, &u, rows[i].method, 1, rows[i].extra, rows[i].body);
		s = rig_tx(r, "SIP/2.0 ");
		if (strncmp(s->text + 8, rows[i].answer, 3) != 0)
			fail_msg("%c %s: %s", rows[i].side, rows[i].method, s->text);
		if (strcmp(rows[i].answer, "500") == 0)
			assert_true(rig_hdr(r, s, "Retry-After")[0]);
		if (strcmp(rows[i].answer, "405") == 0)
			assert_true(rig_hdr(r, s, "Allow")[0]); /* UAS-01 */
		rig_quiet(r);
		rig_answer(r, inv, "200 OK", "btag", CB, sdp_b);
		rig_tx(r, "SIP/2.0 200");
		rig_tx(r, "ACK ");
		rig_a_request(r, &u, "early", "ACK", 1, "", NULL);
		assert_int_equal(r->n_rec, 0);
		r->at = r->n_sent;
		rig_hang_up(r, &u, "early", 3);
		assert_int_equal(r->rec[0].status, 200);
		rig_end(r);
	}
}

static void bye_of_the_caller_before_the_answer(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *s;
	struct up u;

	(void)state;
	rig_invite(r, "dlg-05b", "", sdp_a);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "btag", CB, NULL);
	u = rig_up(r, inv, rig_tx(r, "SIP/2.0 180"));
	rig_a_request(r, &u, "dlg-05b", "BYE", 2, "Reason: Q.850;cause=31\n", NULL);
	s = rig_tx(r, "SIP/2.0 200");
	assert_string_equal(rig_hdr(r, s, "CSeq"), "2 BYE");
	s = rig_tx(r, "SIP/2.0 487");
	assert_string_equal(rig_hdr(r, s, "CSeq"), "1 INVITE");
	s = rig_tx(r, "CANCEL ");
	assert_non_null(strstr(rig_hdr(r, s, "Reason"), "cause=31"));
	assert_int_equal(r->rec[0].reason, REASON_CANCELLED);
	rig_answer(r, inv, "487 Gone", "btag", "", NULL);
	rig_tx(r, "ACK ");
	rig_end(r);
}

/* CANCEL at every step of what the callee says, then everything the callee may still say. */
static void cancel_against_every_answer(void **state)
{
	static const char *const before[] = {NULL, "100 Trying", "180 Ringing", "183 Session Progress"};
	static const char *const after[] = {NULL, "180 Ringing", "183 Session Progress", "200 OK", "486 Busy Here", "302 Moved",
	    "487 Request Terminated", "503 Off"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(before); i++)
		for (size_t k = 0; k < ARRAY_LEN(after); k++) {
			struct rig *r = rig_new();
			struct sent *inv, *bye;
			unsigned mark, branch;
			bool sdp = before[i] && before[i][2] == '3';

			rig_invite(r, "race", "", sdp_a);
			branch = r->branch;
			inv = rig_tx(r, "INVITE ");
			if (before[i])
				rig_answer(r, inv, before[i], "btag", CB, sdp ? sdp_b : NULL);
			mark = r->n_sent;
			rig_cancel(r, branch, "race", "");
			assert_int_equal(rig_count(r, mark, "SIP/2.0 200"), 1);
			assert_int_equal(rig_count(r, mark, "SIP/2.0 487"), 1);
			/* TXN-13: with the first provisional, not before */
			assert_int_equal(rig_count(r, mark, "CANCEL "), before[i] ? 1 : 0);
			assert_int_equal(r->n_rec, 1);
			assert_int_equal(media_call_count(r->media), 0);
			mark = r->n_sent;
			if (after[k])
				rig_answer(r, inv, after[k], "btag", "Contact: <sip:bob@203.0.113.20:5060>\n",
				    after[k][0] == '2' ? sdp_b : NULL);
			/* A hears nothing of it, nobody else is called */
			for (unsigned n = mark; n < r->n_sent; n++) {
				assert_int_equal(r->sent[n].to.realm, 1);
				assert_true(strncmp(r->sent[n].text, "INVITE", 6) != 0);
			}
			if (after[k] && after[k][0] == '2') { /* TXN-15 */
				assert_int_equal(rig_count(r, mark, "ACK sip:bob@203.0.113.20:5060"), 1);
				assert_int_equal(rig_count(r, mark, "BYE sip:bob@203.0.113.20:5060"), 1);
				bye = &r->sent[r->n_sent - 1];
				assert_string_equal(rig_tag(r, rig_hdr(r, bye, "To")), "btag");
				rig_answer(r, bye, "200 OK", "", "", NULL);
			} else if (after[k] && after[k][0] >= '3') {
				assert_int_equal(rig_count(r, mark, "ACK "), 1);
			} else if (after[k] && !before[i]) {
				assert_int_equal(rig_count(r, mark, "CANCEL "), 1);
			}
			assert_int_equal(r->n_rec, 1);
			rig_end(r);
		}
}

/* Answers of the callee that cannot be used: A gets a final answer of the right kind, B is acknowledged and ended. */
static void answers_that_cannot_be_used(void **state)
{
	static const char two_lines[] = "v=0\r\no=b 1 1 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n"
	                                "m=audio 6000 RTP/AVP 8\r\nm=audio 6002 RTP/AVP 8\r\n";
	static const char g723[] = "v=0\r\no=b 1 1 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n"
	                           "m=audio 6000 RTP/AVP 4\r\n";
	static const struct {
		const char *name, *extra, *body, *status;
	} rows[] = {
	    {"no Contact", "", sdp_b, "502"},
	    {"no answer", CB, NULL, "488"},
	    {"no SDP", CB, "v=0\r\nnonsense\r\n", "488"},
	    {"more m-lines than offered", CB, two_lines, "488"},
	    {"a codec that was not offered", CB, g723, "488"},
	    {"another body", CB "Content-Type: text/plain\n", "hello", "488"},
	    {"broken Record-Route", CB "Record-Route: <sip:\n", sdp_b, "502"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig *r = rig_new();
		struct sent *inv, *s;
		unsigned mark;

		rig_invite(r, "bad", "", sdp_a);
		inv = rig_tx(r, "INVITE ");
		rig_answer(r, inv, "180 Ringing", "btag", CB, NULL);
		rig_tx(r, "SIP/2.0 180");
		mark = r->n_sent;
		rig_answer(r, inv, "200 OK", "btag", rows[i].extra, rows[i].body);
		assert_int_equal(rig_count(r, mark, "ACK sip:bob@203.0.113.20"), 1);
		assert_int_equal(rig_count(r, mark, "BYE sip:bob@203.0.113.20"), 1);
		s = rig_find(r, "SIP/2.0 ");
		if (strncmp(s->text + 8, rows[i].status, 3) != 0)
			fail_msg("%s: %s", rows[i].name, s->text);
		assert_int_equal(r->n_rec, 1);
		assert_int_equal(r->n_answered, 0);
		assert_int_equal(media_call_count(r->media), 0);
		rig_end(r);
	}
}

static void bad_183_then_good_200(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *s;

	(void)state;
	rig_invite(r, "183", "", sdp_a);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "183 Session Progress", "btag", CB, "v=0\r\nnonsense\r\n");
	s = rig_tx(r, "SIP/2.0 183");
	assert_string_equal(rig_body(s), "");
	/* it was no early answer: another target may still be tried */
	rig_answer(r, inv, "503 Off", "btag", "", NULL);
	rig_tx(r, "ACK ");
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "ctag", CB, sdp_b);
	s = rig_tx(r, "SIP/2.0 200");
	assert_non_null(strstr(rig_body(s), "c=IN IP4 198.51.100.1"));
	rig_tx(r, "ACK ");
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void late_offer_and_early_answers(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *s;
	struct up u;

	(void)state;
	/* an SDP in an unreliable 18x of a late offer is nothing (13.2.1); the offer is that of the 200 */
	rig_invite(r, "late", "", NULL);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "183 Session Progress", "btag", CB, sdp_b);
	s = rig_tx(r, "SIP/2.0 183");
	assert_string_equal(rig_body(s), "");
	rig_answer(r, inv, "200 OK", "btag", CB, sdp_b);
	u = rig_up(r, inv, rig_tx(r, "SIP/2.0 200"));
	rig_quiet(r);
	/* OFA-07: a slow ACK holds B's for at most 64*T1; then both are ended, B acknowledged first */
	rig_pass(r, 32200);
	s = rig_find(r, "ACK ");
	rig_find(r, "BYE ");
	assert_int_equal(r->rec[0].reason, REASON_NO_ACK);
	(void)u;
	rig_end(r);

	/* a 200 without an offer cannot be used */
	r = rig_new();
	rig_invite(r, "late2", "", NULL);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "btag", CB, NULL);
	rig_find(r, "ACK ");
	rig_tx(r, "SIP/2.0 488");
	rig_tx(r, "BYE ");
	rig_end(r);
}

static void provisionals_and_tags(void **state)
{
	struct rig *r = rig_new();
	struct sent *s, *inv;
	char tag[64];

	(void)state;
	/* UAS-03: 100 within 200 ms, no tag, Timestamp */
	rig_invite(r, "uas-03", "Timestamp: 54.3\n", sdp_a);
	inv = rig_tx(r, "INVITE ");
	rig_quiet(r);
	rig_pass(r, 203);
	s = rig_tx(r, "SIP/2.0 100");
	assert_non_null(strstr(rig_hdr(r, s, "Timestamp"), "54.3"));
	assert_null(strstr(rig_hdr(r, s, "To"), "tag="));
	/* B's 100 stays there; 199 and 18x without tag too do no harm */
	rig_answer(r, inv, "100 Trying", "", "", NULL);
	rig_answer(r, inv, "199 Early Dialog Terminated", "x", CB, NULL);
	rig_quiet(r);
	rig_answer(r, inv, "180 Ringing", "", "", NULL);
	s = rig_tx(r, "SIP/2.0 180");
	snprintf(tag, sizeof(tag), "%s", rig_tag(r, rig_hdr(r, s, "To")));
	assert_true(tag[0]);
	rig_answer(r, inv, "181 Call Is Being Forwarded", "y", CB, NULL);
	s = rig_tx(r, "SIP/2.0 181"); /* UAS-04 */
	assert_string_equal(rig_tag(r, rig_hdr(r, s, "To")), tag);
	rig_answer(r, inv, "200 OK", "y", CB, sdp_b);
	s = rig_tx(r, "SIP/2.0 200");
	assert_string_equal(rig_tag(r, rig_hdr(r, s, "To")), tag);
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

/* INVITEs with a dialog that cannot be made are refused, on record */
static void invites_without_a_usable_dialog(void **state)
{
	static const struct {
		const char *extra, *status;
	} rows[] = {{"Record-Route: <sip:\n", "400"}, {"Record-Route: garbage here\n", "400"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig *r = rig_new();
		struct sent *s;

		rig_invite(r, "nodlg", rows[i].extra, sdp_a);
		s = rig_tx(r, "SIP/2.0 ");
		if (strncmp(s->text + 8, rows[i].status, 3) != 0)
			fail_msg("%s%s", rows[i].extra, s->text);
		assert_int_equal(r->n_rec, 1);
		rig_end(r);
	}
}

/* an answer with two Vias is not ours (UAS-09); one that came twice is one */
static void strange_answers(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv;

	(void)state;
	rig_invite(r, "uas-09", "", sdp_a);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "btag", CB "Via: SIP/2.0/UDP 203.0.113.99;branch=z9hG4bKx\n", sdp_b);
	rig_quiet(r);
	rig_answer(r, inv, "486 Busy", "btag", "", NULL);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 486");
	rig_answer(r, inv, "486 Busy", "btag", "", NULL);
	rig_tx(r, "ACK ");
	rig_quiet(r);
	/* a 200 after the refusal, of another fork: the transaction is over */
	rig_answer(r, inv, "200 OK", "btag", CB, sdp_b);
	rig_quiet(r);
	assert_int_equal(r->n_rec, 1);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(forks_are_kept_apart),
	    cmocka_unit_test(update_moves_only_its_own_early_dialog),
	    cmocka_unit_test(many_forks_cost_a_bounded_amount),
	    cmocka_unit_test(endless_refreshes_cost_nothing),
	    cmocka_unit_test(waiting_infos_are_bounded),
	    cmocka_unit_test(requests_before_the_answer),
	    cmocka_unit_test(bye_of_the_caller_before_the_answer),
	    cmocka_unit_test(cancel_against_every_answer),
	    cmocka_unit_test(answers_that_cannot_be_used),
	    cmocka_unit_test(bad_183_then_good_200),
	    cmocka_unit_test(late_offer_and_early_answers),
	    cmocka_unit_test(provisionals_and_tags),
	    cmocka_unit_test(invites_without_a_usable_dialog),
	    cmocka_unit_test(strange_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
