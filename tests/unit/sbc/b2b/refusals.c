/* refusals.c - what is refused, with which code, by a record that says why; routes, failover, redirection. */
#include "rig.h"

#define CONTACT_A "Contact: <sip:alice@198.51.100.10:5060>\n"
#define CONTACT_B "Contact: <sip:bob@203.0.113.20:5060>\n"

/* sends an INVITE with that request URI and extra lines; returns our first answer that is not 100 */
static struct sent *try_invite(struct rig *r, const char *ruri, const char *extra, const char *body)
{
	rig_rx(r, 0, "198.51.100.10", body,
	    "INVITE %s SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKf%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag%u\nTo: <sip:x@198.51.100.1>\nCall-ID: ref-%u\nCSeq: 1 INVITE\n%s",
	    ruri, r->branch + 1, r->branch + 1, r->branch + 1, extra);
	r->branch++;
	return &r->sent[r->at++];
}

static void refused(const char *ruri, const char *extra, const char *body, const char *status, enum reason why,
    const char *with)
{
	struct rig *r = rig_new();
	struct sent *s = try_invite(r, ruri, extra, body);
	char code[REASON_CODE_MAX];

	assert_true(r->at <= r->n_sent);
	if (strncmp(s->text + 8, status, 3) != 0)
		fail_msg("%s %s: expected %s, sent:\n%s", ruri, extra, status, s->text);
	if (with)
		assert_non_null(strstr(s->text, with));
	assert_int_equal(r->n_rec, 1);
	assert_int_equal(r->rec[0].reason, why);
	/* the code is in the answer to a trusted trunk */
	assert_non_null(strstr(rig_hdr(r, s, "Warning"), reason_code(why, code)));
	assert_non_null(strstr(rig_hdr(r, s, "Reason"), code));
	assert_int_equal(b2b_metric(r->b2b, B2B_CALLS_REFUSED), 1);
	rig_quiet(r);
	rig_end(r);
}

#define OURS "sip:+4989998877@198.51.100.1"

static void table_of_refusals(void **state)
{
	(void)state;
	refused(OURS, CONTACT_A "Require: nope, timer\n", sdp_a, "420", REASON_OPTION_TAG, "Unsupported: nope, timer\r\n");
	refused(OURS, CONTACT_A "Proxy-Require: gin\n", sdp_a, "420", REASON_OPTION_TAG, "Unsupported: gin\r\n");
	refused(OURS, CONTACT_A "Require: precondition\n", sdp_a, "420", REASON_OPTION_TAG, "precondition");
	refused(OURS, CONTACT_A "Max-Forwards: 0\n", sdp_a, "483", REASON_TOO_MANY_HOPS, NULL);
	refused(OURS, CONTACT_A "Max-Breadth: 0\n", sdp_a, "440", REASON_BREADTH, NULL);
	refused(OURS, CONTACT_A "Accept: text/x\n", sdp_a, "406", REASON_NOT_ACCEPTABLE, "Accept: application/sdp");
	refused(OURS, CONTACT_A "Content-Type: application/unknown\n", "abc", "415", REASON_CONTENT_TYPE, "Accept: application/sdp");
	refused(OURS, CONTACT_A "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\n", "abc", "493", REASON_SESSION_SEALED,
	    NULL);
	refused(OURS, CONTACT_A "Content-Encoding: gzip\n", sdp_a, "415", REASON_CONTENT_TYPE, "Accept-Encoding: identity");
	refused("nobodyKnowsThisScheme:x", CONTACT_A, sdp_a, "416", REASON_SCHEME, NULL);
	refused("sips:+4989998877@198.51.100.1", CONTACT_A, sdp_a, "416", REASON_SCHEME, NULL);
	refused("sip:x@evil.example", CONTACT_A, sdp_a, "403", REASON_RELAY_DENIED, NULL); /* ACC-02 */
	refused("sip:+4989998877@198.51.100.1:5999", CONTACT_A, sdp_a, "403", REASON_RELAY_DENIED, NULL);
	refused("tel:0100", CONTACT_A, sdp_a, "484", REASON_NUMBER_INCOMPLETE, NULL); /* PAR-22 */
	refused(OURS, "", sdp_a, "400", REASON_HEADER_MISSING, NULL);
	refused(OURS, CONTACT_A, "v=0\r\nthis is no sdp\r\n", "400", REASON_SDP_MALFORMED, NULL);
	refused(OURS, CONTACT_A,
	    "v=0\r\no=a 1 1 IN IP4 198.51.100.10\r\ns=-\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 8\r\n", "488",
	    REASON_SRTP_OFF, NULL);
}

static void optional_body_is_ignored(void **state)
{
	struct rig *r = rig_new();
	struct sent *s = try_invite(r, OURS,
	    CONTACT_A "Content-Type: application/unknown\nContent-Disposition: session;handling=optional\n", "abc");

	(void)state;
	assert_memory_equal(s->text, "INVITE ", 7); /* PAR-25 */
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void multipart_keeps_its_other_parts(void **state)
{
	static const char body[] = "--bb\r\nContent-Type: application/sdp\r\n\r\n"
	                           "v=0\r\no=a 1 1 IN IP4 198.51.100.10\r\ns=-\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
	                           "\r\n--bb\r\nContent-Type: application/pidf+xml\r\n\r\n<presence>x</presence>\r\n--bb--\r\n";
	struct rig *r = rig_new();
	struct sent *s = try_invite(r, OURS, CONTACT_A "Content-Type: multipart/mixed;boundary=bb\n", body);

	(void)state;
	assert_memory_equal(s->text, "INVITE ", 7); /* PAR-26 */
	assert_non_null(strstr(rig_hdr(r, s, "Content-Type"), "multipart/mixed"));
	assert_non_null(strstr(s->text, "<presence>x</presence>"));
	assert_non_null(strstr(s->text, "c=IN IP4 203.0.113.1"));
	assert_null(strstr(s->text, "198.51.100"));
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void numbers_find_their_trunk(void **state)
{
	static const char *const spelled[] = {"sip:%2B49301234599@203.0.113.1", "sip:+49-30-1234599@203.0.113.1",
	    "sip:+49301234599;tgrp=a;trunk-context=b@203.0.113.1;user=phone", "sip:+49301234599@203.0.113.1;user=ip", /* GINP-04 */
	    "tel:+49-30-1234599",
	    "tel:1234599;phone-context=+4930"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(spelled); i++) {
		struct rig *r = rig_new();
		struct sent *s;

		rig_rx(r, 1, "203.0.113.20", sdp_b,
		    "INVITE %s SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKnn\nFrom: <sip:+4417@itsp>;tag=t\n"
		    "To: <sip:x@203.0.113.1>\nCall-ID: nn\nCSeq: 1 INVITE\n" CONTACT_B,
		    spelled[i]);
		s = rig_tx(r, "INVITE sip:+49301234599@198.51.100.10");
		assert_int_equal(s->to.realm, 0);
		assert_string_equal(r->n_rec ? "" : "ok", "ok");
		call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
		assert_string_equal(r->rec[0].called, "+49301234599");
		rig_end(r);
	}
}

static void nobodys_number(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	rig_rx(r, 1, "203.0.113.20", sdp_b,
	    "INVITE sip:+49301239999@203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKnb\n"
	    "From: <sip:+4417@itsp>;tag=t\nTo: <sip:x@203.0.113.1>\nCall-ID: nb\nCSeq: 1 INVITE\n" CONTACT_B);
	s = rig_tx(r, "SIP/2.0 404");
	(void)s;
	assert_true(r->rec[0].reason == REASON_NO_ROUTE || r->rec[0].reason == REASON_NUMBER_UNKNOWN);
	rig_end(r);
}

static void strangers(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	/* lan drops in silence, wan refuses */
	rig_rx(r, 0, "198.51.100.66", sdp_a,
	    "INVITE " OURS " SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.66:5060;branch=z9hG4bKst\nFrom: <sip:x@y>;tag=t\n"
	    "To: <sip:x@y>\nCall-ID: st\nCSeq: 1 INVITE\n" CONTACT_A);
	rig_pass(r, 1000);
	rig_quiet(r);
	rig_rx(r, 1, "203.0.113.66", sdp_a,
	    "INVITE " OURS " SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.66:5060;branch=z9hG4bKst\nFrom: <sip:x@y>;tag=t\n"
	    "To: <sip:x@y>\nCall-ID: st\nCSeq: 1 INVITE\n" CONTACT_A);
	rig_tx(r, "SIP/2.0 403");
	assert_int_equal(r->n_rec, 0); /* ACC-01: nothing is written for them */
	assert_int_equal(b2b_metric(r->b2b, B2B_STRANGERS), 2);
	rig_end(r);
}

static void disabled_and_draining(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	r->trunks[PBX].admin = DB_DRAINING;
	rig_compile(r);
	s = try_invite(r, OURS, CONTACT_A, sdp_a);
	assert_memory_equal(s->text, "SIP/2.0 480", 11);
	assert_int_equal(r->rec[0].reason, REASON_TRUNK_DRAINING);
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "OPTIONS sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKo1\nFrom: <sip:x@y>;tag=t\n"
	    "To: <sip:x@y>\nCall-ID: o1\nCSeq: 1 OPTIONS\n");
	rig_tx(r, "SIP/2.0 480");
	r->trunks[PBX].admin = DB_DISABLED;
	rig_compile(r);
	s = try_invite(r, OURS, CONTACT_A, sdp_a);
	assert_memory_equal(s->text, "SIP/2.0 403", 11);
	assert_int_equal(r->rec[1].reason, REASON_TRUNK_DISABLED);
	rig_end(r);
}

static void options_and_other_methods(void **state)
{
	static const struct {
		const char *method, *status, *with;
	} rows[] = {{"OPTIONS", "200", "Allow: "}, {"OPTIONS", "200", "Accept: application/sdp"},
	    {"OPTIONS", "200", "Supported:"}, {"REGISTER", "405", "Allow: "}, {"PUBLISH", "405", "Allow: "},
	    {"SUBSCRIBE", "489", "Allow-Events"}, {"FOO", "501", NULL}, {"invite", "501", NULL}, {"BYE", "481", NULL},
	    {"INFO", "481", NULL}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig *r = rig_new();
		struct sent *s;

		rig_rx(r, 0, "198.51.100.10", NULL,
		    "%s sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKm%zu\nFrom: <sip:x@y>;tag=t\n"
		    "To: <sip:x@y>\nCall-ID: m%zu\nCSeq: 1 %s\nMax-Forwards: 0\nContact: <sip:a@198.51.100.10>\n",
		    rows[i].method, i, i, rows[i].method);
		s = rig_tx(r, "SIP/2.0 ");
		if (strcmp(rows[i].method, "OPTIONS") == 0 || strcmp(rows[i].status, "200") == 0) {
			if (strncmp(s->text + 8, rows[i].status, 3) != 0)
				fail_msg("%s: %s", rows[i].method, s->text);
		} else if (strncmp(s->text + 8, "483", 3) != 0 && strncmp(s->text + 8, rows[i].status, 3) != 0) {
			fail_msg("%s: %s", rows[i].method, s->text);
		}
		if (rows[i].with && strncmp(s->text + 8, rows[i].status, 3) == 0)
			assert_non_null(strstr(s->text, rows[i].with));
		rig_end(r);
	}
}

static void drained_box_says_503(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	b2b_set_drain(r->b2b, true);
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "OPTIONS sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKo2\nFrom: <sip:x@y>;tag=t\n"
	    "To: <sip:x@y>\nCall-ID: o2\nCSeq: 1 OPTIONS\n");
	rig_tx(r, "SIP/2.0 503"); /* UAS-02 */
	s = try_invite(r, OURS, CONTACT_A, sdp_a);
	assert_memory_equal(s->text, "SIP/2.0 503", 11);
	assert_true(rig_hdr(r, s, "Retry-After")[0]);
	rig_end(r);
}

static void limits(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;
	struct up u;

	(void)state;
	rig_set(r, PBX, "max-calls", "1");
	rig_compile(r);
	u = rig_call_up(r, "b2b-11");
	s = try_invite(r, OURS, CONTACT_A, sdp_a);
	assert_memory_equal(s->text, "SIP/2.0 480", 11); /* OVL-02: never 503 for a trunk's own limit */
	assert_int_equal(r->rec[0].reason, REASON_LIMIT_CALLS);
	rig_hang_up(r, &u, "b2b-11", 2);
	rig_set(r, PBX, "max-calls", "0");
	rig_set(r, PBX, "max-cps", "2");
	rig_compile(r);
	rig_pass(r, 1100);
	r->at = r->n_sent; /* copies of the 480 */
	for (int i = 0; i < 2; i++) {
		s = try_invite(r, OURS, CONTACT_A, sdp_a);
		assert_memory_equal(s->text, "INVITE ", 7);
	}
	s = try_invite(r, OURS, CONTACT_A, sdp_a);
	assert_memory_equal(s->text, "SIP/2.0 480", 11);
	assert_int_equal(r->rec[2].reason, REASON_LIMIT_CPS);
	while (b2b_call_next(r->b2b, NULL) && call_phase(b2b_call_next(r->b2b, NULL)) != CALL_ENDING)
		call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void failover_on_503_and_silence(void **state)
{
	struct rig *r = rig_new();
	struct sent *first, *second, *s;

	(void)state;
	rig_set(r, ITSP, "try-timeout", "3s");
	rig_compile(r);
	try_invite(r, OURS, CONTACT_A, sdp_a);
	first = &r->sent[r->at - 1];
	assert_string_equal(inet_ntoa(first->to.remote.in4.sin_addr), "203.0.113.20");
	rig_answer(r, first, "503 Service Unavailable", "b", "Retry-After: 5\n", NULL);
	rig_tx(r, "ACK ");
	second = rig_tx(r, "INVITE ");
	assert_string_equal(inet_ntoa(second->to.remote.in4.sin_addr), "203.0.113.21");
	/* FOV-02: a fresh dialog, new branch */
	assert_string_not_equal(rig_hdr(r, first, "Call-ID"), rig_hdr(r, second, "Call-ID"));
	assert_string_not_equal(rig_hdr(r, first, "Via"), rig_hdr(r, second, "Via"));
	/* a late 200 of the first try is acknowledged and ended */
	rig_answer(r, second, "503 Service Unavailable", "b", "", NULL);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "SIP/2.0 500"); /* FOV-03 */
	(void)s;
	assert_int_equal(r->rec[0].n_tries, 2);
	assert_int_equal(r->rec[0].tries[0].status, 503);
	/* UAS-07: the first server is left alone for 5 s, the second is not */
	try_invite(r, OURS, CONTACT_A, sdp_a);
	s = &r->sent[r->at - 1];
	assert_string_equal(inet_ntoa(s->to.remote.in4.sin_addr), "203.0.113.21");
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_pass(r, 40000); /* copies of our 500 stop, too */
	r->at = r->n_sent;
	try_invite(r, OURS, CONTACT_A, sdp_a);
	first = &r->sent[r->at - 1];
	assert_string_equal(inet_ntoa(first->to.remote.in4.sin_addr), "203.0.113.20");
	/* TXN-20: silence: the second server after 3 s */
	rig_pass(r, 3100);
	for (; r->at < r->n_sent; r->at++)
		if (strncmp(r->sent[r->at].text, "INVITE", 6) == 0 &&
		    strcmp(inet_ntoa(r->sent[r->at].to.remote.in4.sin_addr), "203.0.113.21") == 0)
			break;
	assert_true(r->at < r->n_sent);
	second = rig_tx(r, "INVITE ");
	rig_answer(r, first, "200 OK", "late", CONTACT_B, sdp_b);
	rig_tx(r, "ACK sip:bob@203.0.113.20");
	s = rig_tx(r, "BYE sip:bob@203.0.113.20");
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_answer(r, second, "486 Busy Here", "b", "", NULL);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 486");
	rig_end(r);
}

static void codes_that_stop_and_go_on(void **state)
{
	static const struct {
		const char *line;
		bool next;
	} rows[] = {{"480 Gone", true}, {"500 Error", true}, {"503 Off", true}, {"486 Busy", false}, {"404 No", false},
	    {"600 Busy", false}, {"603 No", false}, {"607 No", false}, {"608 No", false}, {"488 No", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) { /* FOV-01 */
		struct rig *r = rig_new();
		struct sent *s;

		try_invite(r, OURS, CONTACT_A, sdp_a);
		rig_answer(r, &r->sent[r->at - 1], rows[i].line, "b", "", NULL);
		rig_tx(r, "ACK ");
		s = &r->sent[r->at++];
		assert_true(r->at <= r->n_sent);
		if ((strncmp(s->text, "INVITE", 6) == 0) != rows[i].next)
			fail_msg("%s: %s", rows[i].line, s->text);
		if (b2b_call_next(r->b2b, NULL))
			call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
		rig_end(r);
	}
}

static void best_answer_of_several(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	rig_set(r, ITSP, "failover-codes", "404,501");
	rig_compile(r);
	try_invite(r, OURS, CONTACT_A, sdp_a);
	rig_answer(r, &r->sent[r->at - 1], "404 No", "b", "", NULL);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "INVITE ");
	rig_answer(r, s, "503 Off", "b", "", NULL);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 404"); /* FOV-04: the lowest class */
	rig_end(r);
}

static void no_failover_after_early_media(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	try_invite(r, OURS, CONTACT_A, sdp_a);
	s = &r->sent[r->at - 1];
	rig_answer(r, s, "183 Session Progress", "b", CONTACT_B, sdp_b);
	rig_tx(r, "SIP/2.0 183");
	rig_answer(r, s, "503 Off", "b", "", NULL);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 500");
	rig_end(r);
}

static void challenge_is_not_relayed(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	try_invite(r, OURS, CONTACT_A, sdp_a);
	rig_answer(r, &r->sent[r->at - 1], "407 Proxy Authentication Required", "b",
	    "Proxy-Authenticate: Digest realm=\"x\", nonce=\"n\"\n", NULL);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "SIP/2.0 403");
	assert_null(strstr(s->text, "Proxy-Authenticate"));
	assert_int_equal(r->rec[0].reason, REASON_DIGEST_AUTH);
	rig_end(r);
}

static void redirection_is_followed_by_q(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	try_invite(r, OURS, CONTACT_A, sdp_a);
	rig_answer(r, &r->sent[r->at - 1], "302 Moved", "b",
	    "Contact: <sip:+4911@203.0.113.21>;q=0.5, <sip:+4922@203.0.113.20>;q=0.9\n", NULL);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "INVITE sip:+4922@203.0.113.20"); /* UAS-08 */
	rig_answer(r, s, "302 Moved", "b", "Contact: <sip:+4922@203.0.113.20>\n", NULL); /* tried already */
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 480");
	rig_end(r);
}

static void redirection_to_our_own_number(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	/* ITSP calls the PBX, which forwards to a number outside: goes by the PBX's own route (SUP-02) */
	rig_rx(r, 1, "203.0.113.20", sdp_b,
	    "INVITE sip:+49301234599@203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKrd\n"
	    "From: <sip:+4417@itsp>;tag=t\nTo: <sip:x@203.0.113.1>\nCall-ID: rd\nCSeq: 1 INVITE\n" CONTACT_B);
	s = rig_tx(r, "INVITE ");
	rig_answer(r, s, "302 Moved", "p", "Contact: <sip:+491777@198.51.100.1>\n", NULL);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "INVITE sip:+491777@203.0.113.20");
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void redirection_can_be_relayed(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	rig_set(r, ITSP, "redirect", "relay");
	rig_compile(r);
	try_invite(r, OURS, CONTACT_A, sdp_a);
	rig_answer(r, &r->sent[r->at - 1], "302 Moved", "b", "Contact: <sip:+4911@203.0.113.77>\n", NULL);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "SIP/2.0 302");
	assert_null(strstr(s->text, "203.0.113"));
	assert_non_null(strstr(rig_hdr(r, s, "Contact"), "sip:+4911@198.51.100.1"));
	rig_end(r);
}

static void loops_are_seen(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;
	char via[400];

	(void)state;
	try_invite(r, OURS, CONTACT_A, sdp_a);
	s = &r->sent[r->at - 1];
	snprintf(via, sizeof(via), "%s", rig_hdr(r, s, "Via"));
	/* a proxy sends the same call back as if it came from the PBX: 482; with another number it is a spiral */
	rig_rx(r, 0, "198.51.100.10", sdp_a,
	    "INVITE " OURS " SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKlo\nVia: %s\n"
	    "From: <sip:+49301234501@pbx.example>;tag=lt\nTo: <sip:x@198.51.100.1>\nCall-ID: lo\nCSeq: 1 INVITE\n" CONTACT_A,
	    via);
	rig_tx(r, "SIP/2.0 482");
	assert_int_equal(r->rec[0].reason, REASON_LOOP);
	rig_rx(r, 0, "198.51.100.10", sdp_a,
	    "INVITE sip:+4989998878@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKlp\nVia: %s\n"
	    "From: <sip:+49301234501@pbx.example>;tag=lt\nTo: <sip:x@198.51.100.1>\nCall-ID: lp\nCSeq: 1 INVITE\n" CONTACT_A,
	    via);
	rig_tx(r, "INVITE ");
	while (b2b_call_next(r->b2b, NULL))
		call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void max_forwards_and_breadth(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	s = try_invite(r, OURS, CONTACT_A "Max-Breadth: 7\n", sdp_a);
	assert_string_equal(rig_hdr(r, s, "Max-Forwards"), "70"); /* PAR-19: absent */
	assert_string_equal(rig_hdr(r, s, "Max-Breadth"), "7");
	s = try_invite(r, OURS, CONTACT_A "Max-Breadth: 99\nMax-Forwards: 10\n", sdp_a);
	assert_string_equal(rig_hdr(r, s, "Max-Breadth"), "60");
	assert_string_equal(rig_hdr(r, s, "Max-Forwards"), "9");
	rig_set(r, ITSP, "reset-max-forwards", "yes"); /* LOOP-02 */
	rig_compile(r);
	s = try_invite(r, OURS, CONTACT_A "Max-Forwards: 10\n", sdp_a);
	assert_string_equal(rig_hdr(r, s, "Max-Forwards"), "70");
	assert_string_equal(rig_hdr(r, s, "Max-Breadth"), "60");
	while (b2b_call_next(r->b2b, NULL))
		call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void headers_cross_by_policy(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	s = try_invite(r, OURS,
	    CONTACT_A "Subject: hello\nAuthorization: Digest x\nRoute: <sip:198.51.100.1;lr>\nUser-Agent: SecretPBX/1\n"
	              "NewFangled: a;b,c\n",
	    sdp_a);
	assert_memory_equal(s->text, "INVITE ", 7); /* PAR-04 */
	assert_non_null(strstr(s->text, "Subject: hello\r\n"));
	assert_null(strstr(s->text, "Digest x"));
	assert_null(strstr(s->text, "SecretPBX"));
	assert_null(strstr(s->text, "\r\nRoute:"));
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void software_is_named_only_when_told(void **state)
{
	static const char *const words[] = {"yes", "no"};

	(void)state;
	for (int i = 0; i < 2; i++) { /* UAS-12 */
		struct rig *r = rig_new();
		struct sent *s;

		rig_set(r, PBX, "user-agent", words[i]);
		rig_set(r, ITSP, "user-agent", words[i]);
		rig_compile(r);
		s = try_invite(r, OURS, CONTACT_A, sdp_a);
		assert_string_equal(rig_hdr(r, s, "User-Agent"), i ? "" : "Postern/test");
		rig_answer(r, s, "404 No", "b", "Server: secret/1\n", NULL);
		rig_tx(r, "ACK ");
		s = rig_tx(r, "SIP/2.0 404");
		assert_string_equal(rig_hdr(r, s, "Server"), i ? "" : "Postern/test");
		rig_end(r);
	}
}

static void ports_run_out(void **state)
{
	struct rig *r = rig_new();
	struct sent *s = NULL;
	int n = 0;

	(void)state;
	for (; n < 60; n++) { /* 50 pairs a realm */
		s = try_invite(r, OURS, CONTACT_A, sdp_a);
		if (strncmp(s->text, "INVITE", 6) != 0)
			break;
	}
	assert_in_range(n, 40, 50);
	assert_memory_equal(s->text, "SIP/2.0 503", 11); /* RTP-13 */
	assert_int_equal(r->rec[0].reason, REASON_PORTS_EXHAUSTED);
	while (b2b_call_next(r->b2b, NULL))
		call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void unreachable_targets(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	r->send_err = -ENETUNREACH;
	rig_rx(r, 0, "198.51.100.10", sdp_a, INVITE_HEAD("ur", "ur"));
	r->send_err = 0;
	rig_pass(r, 50);
	for (; r->at < r->n_sent; r->at++)
		if (strncmp(r->sent[r->at].text, "SIP/2.0 500", 11) == 0)
			break;
	if (r->at < r->n_sent) { /* the first target failed at once, the second too */
		s = rig_tx(r, "SIP/2.0 500");
		(void)s;
	}
	assert_int_equal(r->n_rec <= 1, 1);
	while (b2b_call_next(r->b2b, NULL))
		call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void explain_takes_the_same_way(void **state)
{
	struct rig *r = rig_new();
	struct b2b_explain *e = calloc(1, sizeof(*e));

	(void)state;
	b2b_explain(r->b2b, policy_trunk_named(r->policy, S("pbx")), S("+49301234501"), S("+4989998877"), e);
	assert_int_equal(e->reason, REASON_NONE);
	assert_int_equal(e->route.n_hops, 2);
	assert_memory_equal(e->message, "INVITE sip:+4989998877@203.0.113.20 SIP/2.0\r\n", 45);
	assert_non_null(strstr(e->message, "Max-Forwards: 70"));
	b2b_explain(r->b2b, policy_trunk_named(r->policy, S("itsp")), S("+4417"), S("+4989"), e);
	assert_int_not_equal(e->reason, REASON_NONE);
	b2b_explain(r->b2b, NULL, S("1"), S("2"), e);
	assert_int_equal(e->reason, REASON_NO_TRUNK);
	free(e);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_of_refusals),
	    cmocka_unit_test(optional_body_is_ignored),
	    cmocka_unit_test(multipart_keeps_its_other_parts),
	    cmocka_unit_test(numbers_find_their_trunk),
	    cmocka_unit_test(nobodys_number),
	    cmocka_unit_test(strangers),
	    cmocka_unit_test(disabled_and_draining),
	    cmocka_unit_test(options_and_other_methods),
	    cmocka_unit_test(drained_box_says_503),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(failover_on_503_and_silence),
	    cmocka_unit_test(codes_that_stop_and_go_on),
	    cmocka_unit_test(best_answer_of_several),
	    cmocka_unit_test(no_failover_after_early_media),
	    cmocka_unit_test(challenge_is_not_relayed),
	    cmocka_unit_test(redirection_is_followed_by_q),
	    cmocka_unit_test(redirection_to_our_own_number),
	    cmocka_unit_test(redirection_can_be_relayed),
	    cmocka_unit_test(loops_are_seen),
	    cmocka_unit_test(max_forwards_and_breadth),
	    cmocka_unit_test(headers_cross_by_policy),
	    cmocka_unit_test(software_is_named_only_when_told),
	    cmocka_unit_test(ports_run_out),
	    cmocka_unit_test(unreachable_targets),
	    cmocka_unit_test(explain_takes_the_same_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
