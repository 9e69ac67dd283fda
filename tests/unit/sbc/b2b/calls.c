/* calls.c - whole calls through the B2BUA: setup, early media, late offer, CANCEL, BYE, and their races. */
#include "rig.h"
#include "sbc/b2b/internal.h" /* a setting of the box */

static void basic_call(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "basic-1");

	(void)state;
	/* B2B-02, -10: nothing of leg A's identifiers on leg B */
	assert_null(strstr(u.invite_b->text, "basic-1"));
	assert_null(strstr(u.invite_b->text, "atag"));
	assert_null(strstr(u.invite_b->text, "198.51.100"));
	assert_null(strstr(u.invite_b->text, "pbx.example"));
	assert_null(strstr(u.ok_a->text, "203.0.113"));
	assert_null(strchr(rig_hdr(r, u.invite_b, "Call-ID"), '@'));
	/* LOOP-01 */
	assert_string_equal(rig_hdr(r, u.invite_b, "Max-Forwards"), "29");
	assert_memory_equal(u.invite_b->text, "INVITE sip:+4989998877@203.0.113.20", 35);
	assert_non_null(strstr(rig_hdr(r, u.invite_b, "From"), "sip:+49301234501@"));
	/* ACK goes to the Contact of the 200 */
	assert_memory_equal(u.ack_b->text, "ACK sip:bob@203.0.113.20:5060", 29);
	assert_int_equal(r->n_answered, 1);
	rig_hang_up(r, &u, "basic-1", 2);
	assert_int_equal(r->n_rec, 1);
	assert_int_equal(r->rec[0].status, 200);
	assert_int_equal(r->rec[0].reason, REASON_NORMAL);
	assert_int_equal(r->rec[0].released_by, 'a');
	assert_string_equal(r->rec[0].calling, "+49301234501");
	assert_string_equal(r->rec[0].called, "+4989998877");
	assert_string_equal(r->rec[0].trunk_b, "itsp");
	rig_end(r);
}

/* Only what is up for a while is told to the journal; the record says whether it was. */
static void a_short_call_is_not_noted(void **state)
{
	struct rig *r = rig_new();
	struct up u;

	(void)state;
	r->b2b->cfg.note_ms = 100;
	u = rig_call_up(r, "short-1");
	rig_pass(r, 98);
	assert_int_equal(r->n_answered, 0);
	rig_hang_up(r, &u, "short-1", 2);
	assert_int_equal(r->n_rec, 1);
	assert_false(r->rec[0].noted);
	u = rig_call_up(r, "long-1");
	rig_pass(r, 102);
	assert_int_equal(r->n_answered, 1);
	rig_pass(r, 12000); /* once */
	assert_int_equal(r->n_answered, 1);
	rig_hang_up(r, &u, "long-1", 2);
	assert_int_equal(r->n_rec, 2);
	assert_true(r->rec[1].noted);
	rig_end(r);
}

static void same_to_tag_and_vias(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *a, *b;
	char tag[64];

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("t1", "uas-04") "Via: SIP/2.0/TCP inner.example;branch=z9hG4bKx\n");
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	a = rig_tx(r, "SIP/2.0 180");
	rig_answer(r, inv, "183 Session Progress", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	b = rig_tx(r, "SIP/2.0 183");
	snprintf(tag, sizeof(tag), "%s", rig_tag(r, rig_hdr(r, a, "To")));
	assert_string_equal(tag, rig_tag(r, rig_hdr(r, b, "To")));
	assert_true(tag[0]);
	assert_non_null(strstr(rig_hdr_n(r, b, "Via", 1), "inner.example"));
	assert_string_equal(rig_hdr(r, b, "Call-ID"), "uas-04");
	rig_answer(r, inv, "486 Busy Here", "b", "", NULL);
	rig_tx(r, "ACK ");
	b = rig_tx(r, "SIP/2.0 486");
	assert_string_equal(tag, rig_tag(r, rig_hdr(r, b, "To")));
	rig_end(r);
}

static void a_2xx_is_repeated_until_ack(void **state)
{
	static const int at_ms[] = {500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500};
	struct rig *r = rig_new();
	struct sent *inv, *s;
	int64_t t0;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("n1", "txn-06"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	s = rig_tx(r, "SIP/2.0 200");
	t0 = s->at_us;
	rig_tx(r, "ACK ");
	rig_pass(r, 31900);
	for (size_t i = 0; i < ARRAY_LEN(at_ms); i++) {
		s = rig_tx(r, "SIP/2.0 200");
		assert_in_range((s->at_us - t0) / 1000, at_ms[i], at_ms[i] + 30);
	}
	rig_quiet(r);
	rig_pass(r, 300);
	/* 64*T1: BYE on both legs (order free), record says why */
	s = rig_tx(r, "BYE ");
	rig_answer(r, s, "200 OK", "", "", NULL);
	s = rig_tx(r, "BYE ");
	rig_answer(r, s, "200 OK", "", "", NULL);
	assert_int_equal(r->rec[0].reason, REASON_NO_ACK);
	assert_int_equal(r->n_rec, 1);
	rig_end(r);
}

static void lost_ack_of_b_is_sent_again(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "txn-11");
	struct sent *again;

	(void)state;
	rig_answer(r, u.invite_b, "200 OK", "btag", "Contact: <sip:bob@203.0.113.20:5060>\n", sdp_b);
	again = rig_tx(r, "ACK ");
	assert_string_equal(again->text, u.ack_b->text);
	/* new branch, not the INVITE's */
	assert_string_not_equal(rig_hdr(r, again, "Via"), rig_hdr(r, u.invite_b, "Via"));
	rig_quiet(r);
	rig_hang_up(r, &u, "txn-11", 2);
	rig_end(r);
}

static void second_2xx_of_a_fork_gets_ack_and_bye(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "txn-08");
	struct sent *ack, *bye;

	(void)state;
	rig_answer(r, u.invite_b, "200 OK", "other", "Contact: <sip:eve@203.0.113.21:5060>\n", sdp_b);
	ack = rig_tx(r, "ACK sip:eve@203.0.113.21:5060");
	assert_string_equal(rig_tag(r, rig_hdr(r, ack, "To")), "other");
	bye = rig_tx(r, "BYE sip:eve@203.0.113.21:5060");
	assert_string_equal(rig_tag(r, rig_hdr(r, bye, "To")), "other");
	rig_answer(r, bye, "200 OK", "", "", NULL);
	assert_int_equal(b2b_call_count(r->b2b), 1);
	rig_hang_up(r, &u, "txn-08", 2);
	rig_end(r);
}

static void invite_again_after_200_makes_no_second_leg(void **state)
{
	struct rig *r = rig_new();
	struct up u;

	(void)state;
	u = rig_call_up(r, "txn-07");
	rig_rx(r, 0, "198.51.100.10", sdp_a,
	    "INVITE sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKi%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: txn-07\n"
	    "CSeq: 1 INVITE\nMax-Forwards: 30\nContact: <sip:alice@198.51.100.10:5060>\n",
	    r->branch - 1);
	for (; r->at < r->n_sent; r->at++)
		assert_true(strncmp(r->sent[r->at].text, "INVITE", 6) != 0);
	assert_int_equal(b2b_call_count(r->b2b), 1);
	rig_hang_up(r, &u, "txn-07", 2);
	rig_end(r);
}

static void early_media_then_plain_180(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *s, *t;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("e1", "cal-02"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "183 Session Progress", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	s = rig_tx(r, "SIP/2.0 183");
	assert_non_null(strstr(rig_body(s), "m=audio"));
	rig_answer(r, inv, "180 Ringing", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	t = rig_tx(r, "SIP/2.0 180");
	assert_string_equal(rig_body(t), "");
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	t = rig_tx(r, "SIP/2.0 200");
	/* OFA-04: the same description in 183 and 200 */
	assert_string_equal(rig_body(s), rig_body(t));
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void answer_without_sdp_after_early_answer(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *s;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("e2", "ofa-05"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "183 Session Progress", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	rig_tx(r, "SIP/2.0 183");
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	s = rig_tx(r, "SIP/2.0 200");
	assert_non_null(strstr(rig_body(s), "m=audio"));
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void changed_answer_is_told_to_a(void **state)
{
	static const char pcmu[] = "v=0\r\no=bob 9 10 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n"
	                           "m=audio 6002 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
	struct rig *r = rig_new();
	struct sent *inv, *early, *ok, *re;
	char tag[64];

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("e3", "ofa-04"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "183 Session Progress", "x", "Contact: <sip:x@203.0.113.20>\n", sdp_b);
	early = rig_tx(r, "SIP/2.0 183");
	rig_answer(r, inv, "200 OK", "y", "Contact: <sip:y@203.0.113.20>\n", pcmu); /* another fork took it (OFA-06) */
	ok = rig_tx(r, "SIP/2.0 200");
	rig_tx(r, "ACK sip:y@203.0.113.20");
	assert_string_equal(rig_body(early), rig_body(ok));
	snprintf(tag, sizeof(tag), "%s", rig_tag(r, rig_hdr(r, ok, "To")));
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKe9\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: ofa-04\n"
	    "CSeq: 1 ACK\n",
	    tag);
	re = rig_tx(r, "INVITE sip:alice@198.51.100.10");
	assert_non_null(strstr(rig_body(re), "RTP/AVP 0"));
	rig_answer(r, re, "200 OK", "", "Contact: <sip:alice@198.51.100.10:5060>\n",
	    "v=0\r\no=alice 1 2 IN IP4 198.51.100.10\r\ns=-\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\n"
	    "m=audio 4000 RTP/AVP 0\r\n");
	rig_tx(r, "ACK ");
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void late_offer(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *ok, *ack;
	char tag[64];

	(void)state;
	rig_rx(r, 0, "198.51.100.10", NULL, INVITE_HEAD("l1", "dlg-13"));
	inv = rig_tx(r, "INVITE ");
	assert_string_equal(rig_body(inv), "");
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	ok = rig_tx(r, "SIP/2.0 200");
	assert_non_null(strstr(rig_body(ok), "c=IN IP4 198.51.100.1"));
	rig_quiet(r); /* ACK to B waits (OFA-07) */
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b); /* copy */
	rig_quiet(r);
	snprintf(tag, sizeof(tag), "%s", rig_tag(r, rig_hdr(r, ok, "To")));
	rig_rx(r, 0, "198.51.100.10",
	    "v=0\r\no=alice 1 1 IN IP4 198.51.100.10\r\ns=-\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n",
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKl9\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: dlg-13\n"
	    "CSeq: 1 ACK\n",
	    tag);
	ack = rig_tx(r, "ACK ");
	assert_non_null(strstr(rig_body(ack), "c=IN IP4 203.0.113.1"));
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	rig_tx(r, "ACK ");
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void late_offer_without_answer(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *ok, *s;
	char tag[64];

	(void)state;
	rig_rx(r, 0, "198.51.100.10", NULL, INVITE_HEAD("l2", "ofa-07"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	ok = rig_tx(r, "SIP/2.0 200");
	snprintf(tag, sizeof(tag), "%s", rig_tag(r, rig_hdr(r, ok, "To")));
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKl8\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: ofa-07\n"
	    "CSeq: 1 ACK\n",
	    tag);
	s = rig_tx(r, "ACK ");
	assert_non_null(strstr(rig_body(s), "m=audio 0 RTP/AVP 8\r\n")); /* B's offer has an answer: no */
	assert_non_null(strstr(rig_body(s), "c=IN IP4 203.0.113.1\r\n"));
	s = rig_tx(r, "BYE ");
	rig_answer(r, s, "200 OK", "", "", NULL);
	s = rig_tx(r, "BYE ");
	rig_answer(r, s, "200 OK", "", "", NULL);
	assert_int_equal(r->rec[0].reason, REASON_ANSWER_MISSING);
	rig_end(r);
}

#define UNUSABLE \
	"v=0\r\no=bob 9 9 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n" \
	"m=audio 6000 RTP/SAVP 8\r\na=crypto:1 x inline:y\r\nm=video 0 RTP/AVP 34\r\n"

/* RFC 3261 13.2.2.4: an offer that cannot be taken is answered in the ACK, and BYE follows (OFA-07) */
static void late_offer_that_cannot_be_taken(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *s;
	struct up u;

	(void)state;
	/* of the first INVITE */
	rig_invite(r, "ofa-07a", "", NULL);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", UNUSABLE);
	s = rig_tx(r, "ACK ");
	assert_non_null(strstr(rig_body(s), "m=audio 0 RTP/SAVP 8\r\n"));
	assert_non_null(strstr(rig_body(s), "m=video 0 RTP/AVP 34\r\n"));
	assert_string_equal(rig_hdr(r, s, "Content-Type"), "application/sdp");
	rig_tx(r, "SIP/2.0 488");
	s = rig_tx(r, "BYE ");
	/* the ACK was lost: the copy of the 200 brings the same one */
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", UNUSABLE);
	assert_non_null(strstr(rig_body(rig_tx(r, "ACK ")), "m=audio 0 RTP/SAVP 8\r\n"));
	rig_answer(r, s, "200 OK", "", "", NULL);
	assert_int_equal(r->rec[0].reason, REASON_SRTP_OFF);
	rig_end(r);

	/* of one that was cancelled, when the 200 crosses: nobody is there any more, the answer is the same */
	r = rig_new();
	rig_invite(r, "ofa-07b", "", NULL);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	rig_tx(r, "SIP/2.0 180");
	rig_cancel(r, r->branch, "ofa-07b", "");
	rig_tx(r, "SIP/2.0 200");
	rig_tx(r, "SIP/2.0 487");
	rig_tx(r, "CANCEL ");
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	s = rig_tx(r, "ACK ");
	assert_non_null(strstr(rig_body(s), "m=audio 0 RTP/AVP 8\r\n"));
	s = rig_tx(r, "BYE ");
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_end(r);

	/* the 200 of an INVITE that had an offer brings an answer: its ACK has nothing to say */
	r = rig_new();
	rig_invite(r, "ofa-07c", "", sdp_a);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	rig_tx(r, "SIP/2.0 180");
	rig_cancel(r, r->branch, "ofa-07c", "");
	rig_tx(r, "SIP/2.0 200");
	rig_tx(r, "SIP/2.0 487");
	rig_tx(r, "CANCEL ");
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	assert_string_equal(rig_body(rig_tx(r, "ACK ")), "");
	s = rig_tx(r, "BYE ");
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_end(r);

	/* of a re-INVITE: who asked is told, then both are ended */
	r = rig_new();
	u = rig_call_up(r, "ofa-07d");
	rig_a_request(r, &u, "ofa-07d", "INVITE", 2, "Contact: <sip:alice@198.51.100.10:5060>\n", NULL);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "", "Contact: <sip:bob@203.0.113.20>\n", UNUSABLE);
	s = rig_tx(r, "ACK ");
	assert_non_null(strstr(rig_body(s), "m=audio 0 RTP/SAVP 8\r\n"));
	rig_tx(r, "SIP/2.0 488");
	for (int i = 0; i < 2; i++) {
		s = rig_tx(r, "BYE ");
		rig_answer(r, s, "200 OK", "", "", NULL);
	}
	assert_int_equal(r->rec[0].reason, REASON_SRTP_OFF);
	rig_end(r);
}

/* a late re-INVITE that is cancelled while its 200 comes: the offer is refused, and the session told again */
static void late_reinvite_cancelled(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "ofa-07e");
	struct sent *inv, *s;

	(void)state;
	rig_a_request(r, &u, "ofa-07e", "INVITE", 2, "Contact: <sip:alice@198.51.100.10:5060>\n", NULL);
	inv = rig_tx(r, "INVITE ");
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "CANCEL sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKr%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: ofa-07e\n"
	    "CSeq: 2 CANCEL\n",
	    r->branch, u.a_to_tag);
	rig_tx(r, "SIP/2.0 200");
	rig_tx(r, "SIP/2.0 487");
	rig_answer(r, inv, "200 OK", "", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	s = rig_tx(r, "ACK ");
	assert_non_null(strstr(rig_body(s), "m=audio 0 RTP/AVP 8\r\n"));
	s = rig_tx(r, "INVITE ");
	assert_memory_equal(strstr(rig_body(s), "m=audio "), strstr(rig_body(u.invite_b), "m=audio "), 13); /* same port */
	rig_answer(r, s, "200 OK", "", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	rig_tx(r, "ACK ");
	rig_hang_up(r, &u, "ofa-07e", 3);
	rig_end(r);
}

static void rx_cancel(struct rig *r, const char *branch, const char *call_id, const char *extra)
{
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "CANCEL sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bK%s\n"
	    "From: \"Alice A.\" <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: %s\n"
	    "CSeq: 1 CANCEL\nMax-Forwards: 70\n%s",
	    branch, call_id, extra);
}

static void cancel_while_ringing(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *c;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("c1", "txn-14"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	rig_tx(r, "SIP/2.0 180");
	rx_cancel(r, "c1", "txn-14", "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\nRequire: nope\n");
	rig_tx(r, "SIP/2.0 200"); /* to CANCEL, Require notwithstanding (PAR-24) */
	rig_tx(r, "SIP/2.0 487");
	c = rig_tx(r, "CANCEL ");
	assert_string_equal(rig_hdr(r, c, "Via"), rig_hdr(r, inv, "Via"));
	assert_non_null(strstr(rig_hdr(r, c, "Reason"), "cause=200")); /* HDR-01 */
	assert_string_equal(rig_hdr(r, c, "Require"), "");
	assert_int_equal(r->n_rec, 1);
	assert_int_equal(r->rec[0].reason, REASON_CANCELLED);
	assert_int_equal(r->rec[0].status, 487);
	rig_answer(r, c, "200 OK", "b", "", NULL);
	rig_answer(r, inv, "487 Request Terminated", "b", "", NULL);
	rig_tx(r, "ACK ");
	rig_end(r);
}

static void cancel_waits_for_a_provisional(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("c2", "txn-13"));
	inv = rig_tx(r, "INVITE ");
	rx_cancel(r, "c2", "txn-13", "");
	rig_tx(r, "SIP/2.0 200");
	rig_tx(r, "SIP/2.0 487");
	rig_quiet(r);
	rig_answer(r, inv, "100 Trying", "", "", NULL);
	rig_tx(r, "CANCEL ");
	rig_end(r);
}

static void cancel_crossing_200(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *bye;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("c3", "txn-15"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	rig_tx(r, "SIP/2.0 180");
	rx_cancel(r, "c3", "txn-15", "");
	rig_tx(r, "SIP/2.0 200");
	rig_tx(r, "SIP/2.0 487");
	rig_tx(r, "CANCEL ");
	rig_answer(r, inv, "200 OK", "b", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	rig_tx(r, "ACK sip:bob@203.0.113.20");
	bye = rig_tx(r, "BYE sip:bob@203.0.113.20");
	rig_answer(r, bye, "200 OK", "", "", NULL);
	assert_int_equal(media_pairs_in_use(r->media), 0);
	assert_int_equal(r->n_rec, 1);
	rig_end(r);
}

static void cancel_after_200_changes_nothing(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "txn-14b");
	struct sent *s;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "CANCEL sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKi%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: txn-14b\n"
	    "CSeq: 1 CANCEL\n",
	    r->branch - 1);
	s = rig_tx(r, "SIP/2.0 ");
	assert_true(strncmp(s->text + 8, "200", 3) == 0 || strncmp(s->text + 8, "481", 3) == 0);
	rig_quiet(r);
	assert_int_equal(b2b_call_count(r->b2b), 1);
	rig_hang_up(r, &u, "txn-14b", 2);
	rig_end(r);
}

static void bye_from_callee_with_reason(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "cal-06");
	struct sent *bye;

	(void)state;
	rig_b_request(r, &u, "BYE", 1, "Reason: Q.850;cause=16;text=\"Terminated\"\n", NULL);
	rig_tx(r, "SIP/2.0 200");
	bye = rig_tx(r, "BYE sip:alice@198.51.100.10");
	assert_non_null(strstr(rig_hdr(r, bye, "Reason"), "cause=16"));
	assert_int_equal(r->rec[0].released_by, 'b');
	assert_int_equal(media_call_count(r->media), 0); /* media stops when BYE is sent */
	rig_answer(r, bye, "481 Call/Transaction Does Not Exist", "", "", NULL);
	rig_end(r);
}

static void crossing_bye(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "fov-06");
	struct sent *bye;

	(void)state;
	rig_a_request(r, &u, "fov-06", "BYE", 2, "", NULL);
	rig_tx(r, "SIP/2.0 200");
	bye = rig_tx(r, "BYE ");
	rig_b_request(r, &u, "BYE", 1, "", NULL);
	rig_tx(r, "SIP/2.0 200");
	rig_answer(r, bye, "200 OK", "", "", NULL);
	assert_int_equal(r->n_rec, 1);
	rig_end(r);
}

static void bye_before_ack_from_caller(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *ok, *bye;
	struct up u;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("b1", "dlg-05"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "btag", "Contact: <sip:bob@203.0.113.20>\n", sdp_b);
	ok = rig_tx(r, "SIP/2.0 200");
	rig_tx(r, "ACK ");
	u.invite_b = inv;
	/* the callee hangs up before our caller's ACK came: our BYE to A waits for it (DLG-05) */
	rig_b_request(r, &u, "BYE", 1, "", NULL);
	rig_tx(r, "SIP/2.0 200");
	rig_quiet(r);
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKb9\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: dlg-05\n"
	    "CSeq: 1 ACK\n",
	    rig_tag(r, rig_hdr(r, ok, "To")));
	bye = rig_tx(r, "BYE sip:alice@198.51.100.10");
	rig_answer(r, bye, "200 OK", "", "", NULL);
	rig_end(r);
}

static void route_set(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *ack, *bye, *ok;
	struct up u;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a,
	    INVITE_HEAD("r1", "dlg-01") "Record-Route: <sip:198.51.100.77;lr>, <sip:198.51.100.78;lr>\n");
	inv = rig_tx(r, "INVITE ");
	assert_string_equal(rig_hdr(r, inv, "Route"), "");
	rig_answer(r, inv, "183 Session Progress", "btag", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	rig_tx(r, "SIP/2.0 183");
	rig_answer(r, inv, "200 OK", "btag",
	    "Record-Route: <sip:203.0.113.81;lr>\nRecord-Route: <sip:203.0.113.82;lr>\nContact: <sip:bob@203.0.113.99>\n", sdp_b);
	ok = rig_tx(r, "SIP/2.0 200");
	assert_string_equal(rig_hdr_n(r, ok, "Record-Route", 0), "<sip:198.51.100.77;lr>");
	assert_string_equal(rig_hdr_n(r, ok, "Record-Route", 1), "<sip:198.51.100.78;lr>");
	ack = rig_tx(r, "ACK sip:bob@203.0.113.99 ");
	assert_string_equal(rig_hdr_n(r, ack, "Route", 0), "<sip:203.0.113.82;lr>");
	assert_string_equal(rig_hdr_n(r, ack, "Route", 1), "<sip:203.0.113.81;lr>");
	assert_true(addr_eq(&ack->to.remote, &(struct addr[]){rig_addr("203.0.113.82")}[0]));
	snprintf(u.a_to_tag, sizeof(u.a_to_tag), "%s", rig_tag(r, rig_hdr(r, ok, "To")));
	u.invite_b = inv;
	rig_a_request(r, &u, "dlg-01", "ACK", 1, "", NULL);
	rig_b_request(r, &u, "BYE", 1, "", NULL);
	rig_tx(r, "SIP/2.0 200");
	bye = rig_tx(r, "BYE sip:alice@198.51.100.10:5060 ");
	assert_string_equal(rig_hdr_n(r, bye, "Route", 0), "<sip:198.51.100.77;lr>");
	assert_string_equal(rig_hdr_n(r, bye, "Route", 1), "<sip:198.51.100.78;lr>");
	rig_answer(r, bye, "200 OK", "", "", NULL);
	rig_end(r);
}

static void strict_router(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *ack;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("r2", "dlg-02"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "btag", "Record-Route: <sip:203.0.113.81>\nContact: <sip:bob@203.0.113.99>\n", sdp_b);
	rig_tx(r, "SIP/2.0 200");
	ack = rig_tx(r, "ACK sip:203.0.113.81 ");
	assert_string_equal(rig_hdr(r, ack, "Route"), "<sip:bob@203.0.113.99>");
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void cseq_in_dialog(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "dlg-03");
	struct sent *info;

	(void)state;
	rig_a_request(r, &u, "dlg-03", "INFO", 11, "", NULL);
	info = rig_tx(r, "INFO ");
	assert_string_equal(rig_hdr(r, info, "CSeq"), "2 INFO");
	rig_answer(r, info, "200 OK", "", "", NULL);
	rig_tx(r, "SIP/2.0 200");
	rig_a_request(r, &u, "dlg-03", "INFO", 10, "", NULL);
	rig_tx(r, "SIP/2.0 500");
	rig_hang_up(r, &u, "dlg-03", 12);
	rig_end(r);
}

static void info_and_options(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "b2b-06");
	struct sent *s;

	(void)state;
	rig_a_request(r, &u, "b2b-06", "INFO", 2, "Content-Type: application/dtmf-relay\n", "Signal=5\r\nDuration=160\r\n");
	s = rig_tx(r, "INFO sip:bob@203.0.113.20");
	assert_string_equal(rig_body(s), "Signal=5\r\nDuration=160\r\n");
	assert_string_equal(rig_hdr(r, s, "Content-Type"), "application/dtmf-relay");
	rig_answer(r, s, "415 Unsupported Media Type", "", "", NULL);
	rig_tx(r, "SIP/2.0 415"); /* answers keep their meaning */
	rig_a_request(r, &u, "b2b-06", "INFO", 3, "Info-Package: foo\n", NULL);
	s = rig_tx(r, "SIP/2.0 469"); /* EVT-07 */
	assert_non_null(strstr(s->text, "Recv-Info:"));
	rig_a_request(r, &u, "b2b-06", "OPTIONS", 4, "", NULL);
	s = rig_tx(r, "SIP/2.0 200"); /* UAS-02 */
	assert_non_null(strstr(rig_hdr(r, s, "Allow"), "INVITE"));
	rig_a_request(r, &u, "b2b-06", "FOO", 5, "", NULL);
	rig_tx(r, "SIP/2.0 501"); /* B2B-08 */
	rig_a_request(r, &u, "b2b-06", "REFER", 6, "Refer-To: <sip:x@y>\n", NULL);
	rig_tx(r, "SIP/2.0 405"); /* SUP-05 */
	assert_int_equal(b2b_call_count(r->b2b), 1);
	rig_hang_up(r, &u, "b2b-06", 7);
	rig_end(r);
}

/* Inside a call, too, no session description crosses in what is carried as it is: its addresses would (B2B-02). */
static void no_session_crosses_in_what_is_carried(void **state)
{
	static const struct {
		const char *method, *type, *body, *answer;
	} t[] = {
	    {"INFO", "application/sdp", "v=0\r\nc=IN IP4 10.1.0.99\r\n", "SIP/2.0 415"},
	    {"MESSAGE", "application/sdp", "v=0\r\nc=IN IP4 10.1.0.99\r\n", "SIP/2.0 415"},
	    {"INFO", "multipart/mixed;boundary=b",
		"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\nContent-Type: application/sdp\r\n\r\nc=IN IP4 10.1.0.99\r\n\r\n--b--\r\n",
		"SIP/2.0 415"},
	    {"INFO", "multipart/mixed", "--b\r\n\r\nx\r\n--b--\r\n", "SIP/2.0 400"},
	};
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "b2b-02");
	unsigned cseq = 2;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char type[80];

		snprintf(type, sizeof(type), "Content-Type: %s\n", t[i].type);
		rig_a_request(r, &u, "b2b-02", t[i].method, cseq++, type, t[i].body);
		rig_tx(r, t[i].answer);
	}
	rig_quiet(r);
	rig_a_request(r, &u, "b2b-02", "INFO", cseq++, "Content-Type: multipart/mixed;boundary=b\n",
	    "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n");
	rig_answer(r, rig_tx(r, "INFO "), "200 OK", "", "", NULL);
	rig_tx(r, "SIP/2.0 200");
	rig_hang_up(r, &u, "b2b-02", cseq);
	rig_end(r);
}

static void bye_answers_pending_requests(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "fov-06b");
	struct sent *s;

	(void)state;
	rig_a_request(r, &u, "fov-06b", "INFO", 2, "", NULL);
	rig_tx(r, "INFO ");
	rig_b_request(r, &u, "BYE", 1, "", NULL);
	rig_tx(r, "SIP/2.0 200");
	s = rig_tx(r, "SIP/2.0 487");
	assert_string_equal(rig_hdr(r, s, "CSeq"), "2 INFO");
	s = rig_tx(r, "BYE ");
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_end(r);
}

static void unknown_dialog(void **state)
{
	struct rig *r = rig_new();
	struct up u = {.a_to_tag = "nonsense"};

	(void)state;
	rig_a_request(r, &u, "uas-06", "BYE", 2, "", NULL);
	rig_tx(r, "SIP/2.0 481");
	rig_a_request(r, &u, "uas-06", "INVITE", 3, "Contact: <sip:a@198.51.100.10>\n", sdp_a);
	rig_tx(r, "SIP/2.0 481");
	rig_a_request(r, &u, "uas-06", "ACK", 3, "", NULL);
	assert_int_equal(b2b_call_count(r->b2b), 0);
	rig_end(r);
}

static void stranger_in_dialog(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "acc-03");

	(void)state;
	/* right tags, wrong host: the ITSP tries to end leg A, a stranger to end leg B */
	rig_rx(r, 1, "203.0.113.66", NULL,
	    "BYE sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.66:5060;branch=z9hG4bKev\nFrom: %s;tag=btag\nTo: %s\n"
	    "Call-ID: %s\nCSeq: 9 BYE\n",
	    rig_hdr(r, u.invite_b, "To"), rig_hdr(r, u.invite_b, "From"), rig_hdr(r, u.invite_b, "Call-ID"));
	rig_quiet(r);
	assert_int_equal(b2b_call_count(r->b2b), 1);
	assert_int_equal(r->n_rec, 0);
	rig_hang_up(r, &u, "acc-03", 2);
	rig_end(r);
}

static void ringing_is_repeated_each_minute(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv;
	int n = 0;

	(void)state;
	rig_set(r, ITSP, "ring-timeout", "300s");
	rig_compile(r);
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("p1", "txn-18"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	rig_tx(r, "SIP/2.0 180");
	rig_pass(r, 240000);
	for (; r->at < r->n_sent; r->at++)
		n += strncmp(r->sent[r->at].text, "SIP/2.0 180", 11) == 0;
	assert_in_range(n, 3, 4);
	assert_int_equal(b2b_call_count(r->b2b), 1);
	rig_pass(r, 61000);
	assert_int_equal(r->rec[0].reason, REASON_NO_ANSWER);
	for (; r->at < r->n_sent; r->at++)
		if (strncmp(r->sent[r->at].text, "CANCEL", 6) == 0)
			break;
	assert_true(r->at < r->n_sent);
	rig_answer(r, inv, "487 Request Terminated", "b", "", NULL);
	rig_end(r);
}

static void expires_of_the_invite(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("x1", "uas-10") "Expires: 10\n");
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	rig_tx(r, "SIP/2.0 180");
	rig_pass(r, 9900);
	rig_quiet(r);
	rig_pass(r, 200);
	rig_tx(r, "SIP/2.0 487");
	rig_tx(r, "CANCEL ");
	assert_int_equal(r->rec[0].reason, REASON_EXPIRED);
	rig_answer(r, inv, "487 Request Terminated", "b", "", NULL);
	rig_end(r);
}

static void unknown_codes(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv;

	(void)state;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("u1", "uas-11"));
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "189 Whatever", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	rig_tx(r, "SIP/2.0 183");
	rig_answer(r, inv, "499 Strange", "b", "", NULL);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 499");
	assert_int_equal(r->rec[0].reason, REASON_PEER_REFUSED);
	rig_end(r);
}

static void media_silence_ends_the_call(void **state)
{
	struct rig *r = rig_new();
	struct sent *bye;
	struct up u;

	(void)state;
	rig_set(r, PBX, "media-timeout", "30s");
	rig_compile(r);
	u = rig_call_up(r, "rtp-12");
	(void)u;
	rig_pass(r, 29000);
	assert_int_equal(b2b_call_count(r->b2b), 1);
	rig_pass(r, 8000);
	bye = rig_tx(r, "BYE ");
	assert_non_null(strstr(rig_hdr(r, bye, "Reason"), "PSN-E2124"));
	rig_answer(r, bye, "200 OK", "", "", NULL);
	bye = rig_tx(r, "BYE ");
	rig_answer(r, bye, "200 OK", "", "", NULL);
	assert_int_equal(r->rec[0].reason, REASON_MEDIA_TIMEOUT);
	rig_end(r);
}

static void admin_clears(void **state)
{
	struct rig *r = rig_new();
	struct sent *bye;
	struct up u = rig_call_up(r, "fov-05");

	(void)state;
	(void)u;
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, false);
	for (int i = 0; i < 2; i++) {
		bye = rig_tx(r, "BYE ");
		assert_non_null(strstr(rig_hdr(r, bye, "Reason"), "PSN-E2119"));
		rig_answer(r, bye, "200 OK", "", "", NULL);
	}
	assert_int_equal(r->rec[0].reason, REASON_ADMIN_CLEARED);
	rig_end(r);
}

static void refused_by_the_callee_keeps_code(void **state)
{
	static const int codes[] = {404, 480, 484, 486, 603};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) { /* CAL-07 */
		struct rig *r = rig_new();
		struct sent *inv;
		char line[32];

		rig_set(r, ITSP, "failover-codes", "none");
		rig_compile(r);
		rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("k1", "cal-07"));
		inv = rig_tx(r, "INVITE ");
		snprintf(line, sizeof(line), "%d No", codes[i]);
		rig_answer(r, inv, line, "b", "Reason: Q.850;cause=21\n", NULL);
		rig_tx(r, "ACK ");
		snprintf(line, sizeof(line), "SIP/2.0 %d", codes[i]);
		rig_tx(r, line);
		assert_int_equal(r->rec[0].peer_status, codes[i]);
		assert_string_equal(r->rec[0].peer_reason, "Q.850;cause=21");
		rig_end(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(basic_call),
	    cmocka_unit_test(a_short_call_is_not_noted),
	    cmocka_unit_test(same_to_tag_and_vias),
	    cmocka_unit_test(a_2xx_is_repeated_until_ack),
	    cmocka_unit_test(lost_ack_of_b_is_sent_again),
	    cmocka_unit_test(second_2xx_of_a_fork_gets_ack_and_bye),
	    cmocka_unit_test(invite_again_after_200_makes_no_second_leg),
	    cmocka_unit_test(early_media_then_plain_180),
	    cmocka_unit_test(answer_without_sdp_after_early_answer),
	    cmocka_unit_test(changed_answer_is_told_to_a),
	    cmocka_unit_test(late_offer),
	    cmocka_unit_test(late_offer_without_answer),
	    cmocka_unit_test(late_offer_that_cannot_be_taken),
	    cmocka_unit_test(late_reinvite_cancelled),
	    cmocka_unit_test(cancel_while_ringing),
	    cmocka_unit_test(cancel_waits_for_a_provisional),
	    cmocka_unit_test(cancel_crossing_200),
	    cmocka_unit_test(cancel_after_200_changes_nothing),
	    cmocka_unit_test(bye_from_callee_with_reason),
	    cmocka_unit_test(crossing_bye),
	    cmocka_unit_test(bye_before_ack_from_caller),
	    cmocka_unit_test(route_set),
	    cmocka_unit_test(strict_router),
	    cmocka_unit_test(cseq_in_dialog),
	    cmocka_unit_test(info_and_options),
	    cmocka_unit_test(no_session_crosses_in_what_is_carried),
	    cmocka_unit_test(bye_answers_pending_requests),
	    cmocka_unit_test(unknown_dialog),
	    cmocka_unit_test(stranger_in_dialog),
	    cmocka_unit_test(ringing_is_repeated_each_minute),
	    cmocka_unit_test(expires_of_the_invite),
	    cmocka_unit_test(unknown_codes),
	    cmocka_unit_test(media_silence_ends_the_call),
	    cmocka_unit_test(admin_clears),
	    cmocka_unit_test(refused_by_the_callee_keeps_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
