/* outside.c - requests outside of dialogs that are for somebody behind us: where they go, what crosses, what comes
 * back, and which are not passed on (GINS-12; B2B-02, FOV-01). */
#include "rig.h"

static struct rig *rig_outside(void)
{
	struct rig *r = rig_new();

	rig_set(r, PBX, "outside", "on");
	rig_set(r, ITSP, "outside", "on");
	rig_compile(r);
	return r;
}

/* A request of the ITSP for a number of the PBX. */
static void from_itsp(struct rig *r, const char *method, const char *ruri, const char *to, const char *extra, const char *body)
{
	rig_rx(r, 1, "203.0.113.20", body,
	    "%s %s SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKo%u\n"
	    "From: \"Bob\" <sip:+4989998877@itsp.example>;tag=itag\nTo: %s\nCall-ID: out-%u\nCSeq: 7 %s\n%s",
	    method, ruri, r->branch + 1, to, r->branch + 1, method, extra);
	r->branch++;
}

static void from_pbx(struct rig *r, const char *method, const char *extra, const char *body)
{
	rig_rx(r, 0, "198.51.100.10", body,
	    "%s sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKo%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=ptag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: pout-%u\nCSeq: 3 %s\n%s",
	    method, r->branch + 1, r->branch + 1, method, extra);
	r->branch++;
}

#define DID "sip:+49301234507@203.0.113.1"
#define TEXT "Content-Type: text/plain\n"
#define MIXED "Content-Type: multipart/mixed;boundary=b\n"

static const char part_text[] = "--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n--b--\r\n";
static const char part_sdp[] = "--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n--b\r\nContent-Type: application/sdp\r\n\r\n"
                               "v=0\r\no=- 1 1 IN IP4 10.0.0.7\r\ns=-\r\nc=IN IP4 10.0.0.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n\r\n--b--\r\n";

static void message_crosses(void **state)
{
	struct rig *r = rig_outside();
	struct sent *m;

	(void)state;
	from_itsp(r, "MESSAGE", DID, "<" DID ">",
	    TEXT "Max-Forwards: 20\nExpires: 60\nUser-Agent: theirs\nSubject: hi\nX-Secret: 1\nContact: <sip:bob@203.0.113.20>\n", "Hello");
	m = rig_tx(r, "MESSAGE sip:+49301234507@198.51.100.10 SIP/2.0\r\n");
	assert_string_equal(rig_body(m), "Hello");
	assert_string_equal(rig_hdr(r, m, "Content-Type"), "text/plain");
	assert_string_equal(rig_hdr(r, m, "Max-Forwards"), "19");
	assert_string_equal(rig_hdr(r, m, "Expires"), "60");
	assert_string_equal(rig_hdr(r, m, "Subject"), "hi");
	assert_string_equal(rig_hdr(r, m, "CSeq"), "1 MESSAGE");
	assert_string_equal(rig_hdr(r, m, "User-Agent"), "Postern/test");
	assert_null(strstr(m->text, "out-1"));
	assert_null(strstr(m->text, "itag"));
	assert_null(strstr(m->text, "203.0.113"));
	assert_null(strstr(m->text, "itsp.example"));
	rig_answer(r, m, "202 Accepted", "pt", "Server: pbx 1\nContact: <sip:198.51.100.10>\nOrganization: us\n", NULL);
	m = rig_tx(r, "SIP/2.0 202 ");
	assert_string_equal(rig_hdr(r, m, "CSeq"), "7 MESSAGE");
	assert_string_equal(rig_hdr(r, m, "Organization"), "us");
	assert_null(strstr(m->text, "198.51.100"));
	assert_null(strstr(m->text, "pbx 1"));
	assert_int_equal(b2b_metric(r->b2b, B2B_OUTSIDE), 1);
	assert_int_equal(r->n_rec, 0);
	rig_quiet(r);
	rig_end(r);
}

/* A body that is encrypted or signed for somebody else crosses as it is, bytes of any kind (EVT-06). */
static void evt_06_sealed_body(void **state)
{
	static const char *const types[] = {"application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
	    "multipart/signed;boundary=s;micalg=sha-256;protocol=\"application/pkcs7-signature\""};
	struct rig *r = rig_outside();
	char text[2048], body[256 * 3];

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)(i * 7 + i / 256);
	memcpy(body, "\r\n--s\r\n\r\n", 9);
	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		const char *disposition = "attachment; handling=required; filename=smime.p7m";
		struct sent *m;
		int n = snprintf(text, sizeof(text),
		    "MESSAGE " DID " SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKs%u\r\nMax-Forwards: 70\r\n"
		    "From: <sip:+4989998877@itsp.example>;tag=itag\r\nTo: <" DID ">\r\nCall-ID: sealed%u\r\nCSeq: 1 MESSAGE\r\n"
		    "Content-Disposition: %s\r\nMIME-Version: 1.0\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
		    i, i, disposition, types[i], sizeof(body));

		memcpy(text + n, body, sizeof(body));
		rig_rx_raw(r, 1, "203.0.113.20", text, (size_t)n + sizeof(body));
		m = rig_tx(r, "MESSAGE ");
		assert_string_equal(rig_hdr(r, m, "Content-Type"), types[i]);
		assert_string_equal(rig_hdr(r, m, "Content-Disposition"), disposition);
		assert_string_equal(rig_hdr(r, m, "MIME-Version"), "1.0");
		assert_int_equal(m->len - (size_t)(rig_body(m) - m->text), sizeof(body));
		assert_memory_equal(rig_body(m), body, sizeof(body));
		rig_answer(r, m, "200 OK", "pt", "", NULL);
		rig_tx(r, "SIP/2.0 200 ");
	}
	rig_end(r);
}

/* any method, and To names whom the caller named (GINS-12, -13) */
static void unknown_method_and_to(void **state)
{
	struct rig *r = rig_outside();
	struct sent *m;

	(void)state;
	from_itsp(r, "FOO", DID, "<sip:5550102@other.example>", "Max-Forwards: 5\n", NULL);
	m = rig_tx(r, "FOO sip:+49301234507@198.51.100.10 SIP/2.0\r\n");
	assert_string_equal(rig_hdr(r, m, "CSeq"), "1 FOO");
	assert_string_equal(rig_hdr(r, m, "To"), "<sip:5550102@198.51.100.10>");
	rig_answer(r, m, "501 Not Implemented", "pt", "Allow: FROBNICATE\n", NULL);
	m = rig_tx(r, "SIP/2.0 501 ");
	assert_null(strstr(m->text, "FROBNICATE")); /* of ours, it says what we can do */
	rig_end(r);
}

static void options_to_a_number(void **state)
{
	struct rig *r = rig_outside();
	struct sent *m;

	(void)state;
	from_itsp(r, "OPTIONS", DID, "<" DID ">", "", NULL);
	m = rig_tx(r, "OPTIONS sip:+49301234507@198.51.100.10 SIP/2.0\r\n");
	rig_answer(r, m, "200 OK", "pt", "Allow: INVITE, FROBNICATE\nContent-Type: application/sdp\n", sdp_a);
	m = rig_tx(r, "SIP/2.0 200 ");
	assert_null(strstr(m->text, "FROBNICATE"));
	assert_non_null(strstr(rig_hdr(r, m, "Allow"), "INVITE"));
	assert_string_equal(rig_body(m), ""); /* addresses of the PBX */
	/* to us, or as far as it may go: answered here */
	from_itsp(r, "OPTIONS", "sip:203.0.113.1", "<" DID ">", "", NULL);
	rig_tx(r, "SIP/2.0 200 ");
	from_itsp(r, "OPTIONS", DID, "<" DID ">", "Max-Forwards: 0\n", NULL);
	rig_tx(r, "SIP/2.0 200 ");
	rig_quiet(r);
	rig_end(r);
}

/* a trunk that wants none: as before */
static void off_is_answered_here(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	from_itsp(r, "OPTIONS", DID, "<" DID ">", "", NULL);
	rig_tx(r, "SIP/2.0 200 ");
	from_itsp(r, "MESSAGE", DID, "<" DID ">", TEXT, "x");
	rig_tx(r, "SIP/2.0 405 ");
	from_itsp(r, "FOO", DID, "<" DID ">", "", NULL);
	rig_tx(r, "SIP/2.0 501 ");
	from_itsp(r, "PUBLISH", DID, "<" DID ">", "", NULL);
	rig_tx(r, "SIP/2.0 405 ");
	rig_quiet(r);
	rig_end(r);
}

/* Parts cross; a session description among them does not, in neither direction. */
static void bodies_of_parts(void **state)
{
	struct rig *r = rig_outside();
	struct sent *m;

	(void)state;
	from_itsp(r, "MESSAGE", DID, "<" DID ">", MIXED, part_text);
	m = rig_tx(r, "MESSAGE ");
	assert_string_equal(rig_body(m), part_text);
	rig_answer(r, m, "200 OK", "pt", MIXED, part_text);
	m = rig_tx(r, "SIP/2.0 200 ");
	assert_string_equal(rig_body(m), part_text);
	from_itsp(r, "MESSAGE", DID, "<" DID ">", TEXT, "x");
	m = rig_tx(r, "MESSAGE ");
	rig_answer(r, m, "200 OK", "pt", MIXED, part_sdp);
	m = rig_tx(r, "SIP/2.0 200 ");
	assert_string_equal(rig_body(m), "");
	rig_quiet(r);
	rig_end(r);
}

static void next_way_on_failure(void **state)
{
	struct rig *r = rig_outside();
	struct sent *m;

	(void)state;
	from_pbx(r, "MESSAGE", TEXT, "one");
	m = rig_tx(r, "MESSAGE sip:+4989998877@203.0.113.20 SIP/2.0\r\n");
	rig_answer(r, m, "503 Service Unavailable", "x", "Retry-After: 30\n", NULL);
	m = rig_tx(r, "MESSAGE sip:+4989998877@203.0.113.21 SIP/2.0\r\n");
	assert_string_equal(rig_body(m), "one");
	rig_answer(r, m, "200 OK", "y", "", NULL);
	rig_tx(r, "SIP/2.0 200 ");
	/* the first one rests now; the second is silent: nothing left, and 408 is never sent (TXN-17) */
	from_pbx(r, "MESSAGE", TEXT, "two");
	rig_tx(r, "MESSAGE sip:+4989998877@203.0.113.21 SIP/2.0\r\n");
	rig_pass(r, 40000);
	for (; r->at < r->n_sent; r->at++)
		if (strncmp(r->sent[r->at].text, "SIP/2.0 100", 11) != 0)
			assert_memory_equal(r->sent[r->at].text, "MESSAGE ", 8);
	assert_int_equal(b2b_metric(r->b2b, B2B_OUTSIDE_FAILED), 1);
	rig_end(r);
}

/* what the operator decides meanwhile holds for the next place too */
static void disabled_meanwhile(void **state)
{
	static const enum db_admin admins[] = {DB_DISABLED, DB_DRAINING};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(admins); i++) {
		struct rig *r = rig_outside();
		struct sent *m;

		from_pbx(r, "MESSAGE", TEXT, "one");
		m = rig_tx(r, "MESSAGE sip:+4989998877@203.0.113.20 SIP/2.0\r\n");
		r->trunks[ITSP].admin = admins[i];
		rig_compile(r);
		rig_answer(r, m, "503 Service Unavailable", "x", "", NULL);
		rig_tx(r, "SIP/2.0 50");
		rig_quiet(r);
		rig_end(r);
	}
}

/* the last 503 is not passed on as ours (FOV-03); no connection is told at once */
static void nobody_left(void **state)
{
	struct rig *r = rig_outside();
	struct sent *m;

	(void)state;
	rig_set(r, ITSP, "transport", "udp");
	from_pbx(r, "MESSAGE", TEXT, "one");
	for (int i = 0; i < 2; i++)
		rig_answer(r, rig_tx(r, "MESSAGE "), "503 Service Unavailable", "x", "", NULL);
	m = rig_tx(r, "SIP/2.0 500 ");
	assert_string_equal(rig_hdr(r, m, "Retry-After"), "");
	rig_quiet(r);
	rig_end(r);
}

static void silence_of_one_leads_to_the_other(void **state)
{
	struct rig *r = rig_outside();
	struct sent *m;

	(void)state;
	from_pbx(r, "MESSAGE", TEXT, "one");
	rig_tx(r, "MESSAGE sip:+4989998877@203.0.113.20 SIP/2.0\r\n");
	rig_pass(r, 5000); /* try-timeout is 4 s */
	m = rig_find(r, "MESSAGE sip:+4989998877@203.0.113.21");
	rig_answer(r, m, "200 OK", "y", "", NULL);
	m = rig_find(r, "SIP/2.0 200 ");
	assert_string_equal(rig_hdr(r, m, "CSeq"), "3 MESSAGE");
	rig_end(r);
}

static void refused_here(void **state)
{
	struct rig *r = rig_outside();
	struct sent *m;
	char via[128];

	(void)state;
	from_itsp(r, "MESSAGE", DID, "<" DID ">", "Content-Type: application/sdp\n", sdp_b); /* cannot be anchored */
	rig_tx(r, "SIP/2.0 415 ");
	from_itsp(r, "MESSAGE", DID, "<" DID ">", MIXED, part_sdp); /* nor as a part */
	rig_tx(r, "SIP/2.0 415 ");
	from_itsp(r, "MESSAGE", DID, "<" DID ">", MIXED, "no part"); /* who knows what is in there */
	rig_tx(r, "SIP/2.0 400 ");
	from_itsp(r, "MESSAGE", DID, "<" DID ">", TEXT "Require: nope\n", "x");
	rig_tx(r, "SIP/2.0 420 ");
	from_itsp(r, "MESSAGE", "sip:+49301234507@evil.example", "<" DID ">", TEXT, "x");
	rig_tx(r, "SIP/2.0 405 "); /* nobody's */
	from_itsp(r, "MESSAGE", DID, "<" DID ">", TEXT "Max-Forwards: 0\n", "x");
	rig_tx(r, "SIP/2.0 483 ");
	/* its own branch comes back: a loop */
	from_itsp(r, "MESSAGE", DID, "<" DID ">", TEXT, "x");
	m = rig_tx(r, "MESSAGE ");
	snprintf(via, sizeof(via), "Via: %.100s\n%s", rig_hdr(r, m, "Via"), TEXT);
	from_itsp(r, "MESSAGE", DID, "<" DID ">", via, "x");
	rig_tx(r, "SIP/2.0 482 ");
	rig_answer(r, m, "200 OK", "x", "", NULL);
	rig_tx(r, "SIP/2.0 200 ");
	/* a draining box takes nothing new */
	b2b_set_drain(r->b2b, true);
	from_itsp(r, "MESSAGE", DID, "<" DID ">", TEXT, "x");
	rig_tx(r, "SIP/2.0 503 ");
	rig_quiet(r);
	rig_end(r);
}

/* one trunk cannot fill the box: 256 under way */
static void bounded(void **state)
{
	struct rig *r = rig_outside();
	unsigned refused = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		from_itsp(r, "MESSAGE", DID, "<" DID ">", TEXT, "x");
		refused += strncmp(r->sent[r->n_sent - 1].text, "SIP/2.0 480", 11) == 0;
	}
	assert_int_equal(refused, 300 - 256);
	assert_non_null(strstr(r->sent[r->n_sent - 1].text, "PSN-E4008"));
	from_pbx(r, "MESSAGE", TEXT, "x"); /* another one's still goes */
	assert_memory_equal(r->sent[r->n_sent - 1].text, "MESSAGE ", 8);
	for (unsigned i = 0, n = r->n_sent; i < n; i++)
		if (strncmp(r->sent[i].text, "MESSAGE ", 8) == 0)
			rig_answer(r, &r->sent[i], "200 OK", "x", "", NULL);
	assert_int_equal(b2b_metric(r->b2b, B2B_OUTSIDE), 257);
	from_itsp(r, "MESSAGE", DID, "<" DID ">", TEXT, "x"); /* and there is room again */
	assert_memory_equal(r->sent[r->n_sent - 1].text, "MESSAGE ", 8);
	rig_end(r);
}

/* What a provider asks is answered by us, once, and the PBX sees none of it (AUT-13). */
static void provider_asks(void **state)
{
	static char md5[] = "0123456789abcdef0123456789abcdef";
	struct rig *r = rig_outside();
	struct sent *m;

	(void)state;
	r->trunks[ITSP].credential = (struct db_credential){.user = S("u"), .realm = S("itsp"), .md5 = str_z(md5)};
	rig_compile(r);
	from_pbx(r, "MESSAGE", TEXT, "x");
	m = rig_tx(r, "MESSAGE ");
	assert_null(strstr(m->text, "Authorization"));
	rig_answer(r, m, "407 Proxy Authentication Required", "c", "Proxy-Authenticate: Digest realm=\"itsp\", nonce=\"n1\", qop=\"auth\"\n", NULL);
	m = rig_tx(r, "MESSAGE ");
	assert_string_equal(rig_hdr(r, m, "CSeq"), "2 MESSAGE");
	assert_non_null(strstr(rig_hdr(r, m, "Proxy-Authorization"), "username=\"u\""));
	rig_answer(r, m, "407 Proxy Authentication Required", "c", "Proxy-Authenticate: Digest realm=\"itsp\", nonce=\"n2\", qop=\"auth\"\n", NULL);
	rig_tx(r, "SIP/2.0 403 ");
	rig_quiet(r);
	rig_end(r);
}

/* who asked is gone, the trunk is gone, the box ends: nothing is left behind */
static void given_up(void **state)
{
	struct rig *r = rig_outside();
	struct sent *m;

	(void)state;
	from_itsp(r, "MESSAGE", DID, "<" DID ">", TEXT, "x");
	m = rig_tx(r, "MESSAGE ");
	r->rows.n_trunks = 1; /* their trunk is deleted meanwhile */
	r->rows.n_routes = 0;
	rig_compile(r);
	rig_answer(r, m, "200 OK", "x", "", NULL);
	rig_tx(r, "SIP/2.0 200 ");
	r->rows.n_trunks = 2;
	r->rows.n_routes = 1;
	rig_compile(r);
	from_itsp(r, "MESSAGE", DID, "<" DID ">", TEXT, "x");
	b2b_free(r->b2b); /* with one under way */
	r->b2b = b2b_new(&r->env, &r->net, r->media, &(struct b2b_cfg){.locator = &r->locator}, &rig_user, r);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(message_crosses),
	    cmocka_unit_test(evt_06_sealed_body),
	    cmocka_unit_test(unknown_method_and_to),
	    cmocka_unit_test(options_to_a_number),
	    cmocka_unit_test(off_is_answered_here),
	    cmocka_unit_test(bodies_of_parts),
	    cmocka_unit_test(next_way_on_failure),
	    cmocka_unit_test(disabled_meanwhile),
	    cmocka_unit_test(nobody_left),
	    cmocka_unit_test(silence_of_one_leads_to_the_other),
	    cmocka_unit_test(refused_here),
	    cmocka_unit_test(bounded),
	    cmocka_unit_test(provider_asks),
	    cmocka_unit_test(given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
