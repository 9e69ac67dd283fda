/* rows_cross.c - what crosses from one leg to the other and what must not: topology, header table, injection. */
#include "play.h"

#define CA PLAY_CONTACT_A
#define CB PLAY_CONTACT_B

/* B2B-07: not one of these strings of a side may be in anything sent to the other */
static void assert_hidden(const struct rig *r, int realm, const char *const *secrets, size_t n)
{
	for (unsigned i = 0; i < r->n_sent; i++) {
		if (r->sent[i].to.realm != realm)
			continue;
		for (size_t k = 0; k < n; k++)
			if (strstr(r->sent[i].text, secrets[k]))
				fail_msg("'%s' reached the other side:\n%s", secrets[k], r->sent[i].text);
	}
}

#define SDP_RICH(o, host, port, dir) \
	"v=0\r\no=" o " 77 78 IN IP4 " host "\r\ns=session at " o "\r\ni=" o " info\r\nu=http://" o ".corp/\r\ne=" o "@" o \
	".corp\r\nc=IN IP4 " host "\r\nt=0 0\r\na=tool:" o "-soft 1.0\r\nm=audio " port " RTP/AVP 8 101\r\n" \
	"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp:9001 IN IP4 " host "\r\n" \
	"a=ssrc:1234 cname:" o "@" host "\r\na=candidate:1 1 UDP 1 " host " 4000 typ host\r\na=ice-ufrag:" o "\r\n" \
	"a=ice-pwd:" o "0123456789012345678901\r\na=" dir "\r\n"

static void nothing_of_one_side_reaches_the_other(void **state)
{
	static const char *const of_a[] = {"198.51.100", "alicepc", "pbx.example", "atag", "topo-a-call-id", "inner.corp", "10.1.1.",
	    "AliceSoft", "z9hG4bKtopo"};
	static const char *const of_b[] = {"203.0.113", "bobpc", "btag", "carrier.corp", "BobSoft", "10.2.2.", "switch7"};
	static const char offer[] = SDP_RICH("alicepc", "198.51.100.10", "4000", "sendrecv");
	static const char answer[] = SDP_RICH("bobpc", "203.0.113.20", "6000", "sendrecv");
	static const char hold[] = SDP_RICH("alicepc", "198.51.100.10", "4000", "sendonly");
	static const char held[] = SDP_RICH("bobpc", "203.0.113.20", "6000", "recvonly");
	static const char b_extra[] = "Contact: <sip:bob@203.0.113.20:5060>\nServer: BobSoft/2\nUser-Agent: BobSoft/2\n"
	                              "Warning: 399 switch7.carrier.corp \"x\"\nError-Info: <sip:err@carrier.corp>\n"
	                              "In-Reply-To: btag@carrier.corp\nTimestamp: 5\nAllow: INVITE, BYE, UPDATE\n"
	                              "P-Asserted-Identity: <sip:+4989998877@carrier.corp>\n"
	                              "P-Charging-Vector: icid-value=x;icid-generated-at=10.2.2.1\n";
	struct rig *r = rig_new();
	struct sent *inv, *s;
	struct up u;

	(void)state;
	/* the provider is not trusted here, so that identity and network headers stay */
	rig_set(r, ITSP, "trusted", "no");
	rig_compile(r);
	rig_rx(r, 0, "198.51.100.10", offer,
	    "INVITE sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKtopo1\n"
	    "Via: SIP/2.0/TCP 10.1.1.7;branch=z9hG4bKtopo0\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@pbx.example>\nCall-ID: topo-a-call-id@alicepc\n"
	    "CSeq: 7 INVITE\nMax-Forwards: 30\nContact: <sip:alicepc@198.51.100.10:5060>\nRecord-Route: <sip:198.51.100.99;lr>\n"
	    "User-Agent: AliceSoft/1\nServer: AliceSoft/1\nWarning: 399 inner.corp \"x\"\nRoute: <sip:198.51.100.1;lr>\n"
	    "P-Asserted-Identity: <sip:+49301234501@inner.corp>\nDiversion: <sip:+4930@inner.corp>;reason=no-answer\n"
	    "History-Info: <sip:+4930@inner.corp>;index=1\nX-PBX-Host: inner.corp\nP-Foo: inner.corp\n"
	    "Remote-Party-ID: <sip:x@inner.corp>\nReferred-By: <sip:x@inner.corp>\nReplaces: x@alicepc;to-tag=1;from-tag=2\n"
	    "Target-Dialog: x@alicepc;local-tag=1;remote-tag=2\nIn-Reply-To: x@alicepc\nPath: <sip:10.1.1.8>\n"
	    "Authorization: Digest username=\"alicepc\"\nSession-Expires: 1800;refresher=uac\nAllow: INVITE, UPDATE\n");
	inv = rig_tx(r, "INVITE ");
	assert_non_null(strstr(rig_body(inv), "m=audio"));
	rig_answer(r, inv, "180 Ringing", "btag", b_extra, NULL);
	rig_answer(r, inv, "183 Session Progress", "btag", b_extra, answer);
	rig_answer(r, inv, "200 OK", "btag", b_extra, answer);
	s = rig_find(r, "SIP/2.0 200");
	u = rig_up(r, inv, s);
	rig_a_request(r, &u, "topo-a-call-id@alicepc", "ACK", 7, "User-Agent: AliceSoft/1\n", NULL);
	rig_find(r, "ACK ");
	rig_a_request(r, &u, "topo-a-call-id@alicepc", "INVITE", 8, "Contact: <sip:alicepc@198.51.100.10:5060>\nUser-Agent: AliceSoft/1\n",
	    hold);
	s = rig_tx(r, "INVITE ");
	rig_answer(r, s, "200 OK", "", b_extra, held);
	rig_find(r, "SIP/2.0 200");
	rig_a_request(r, &u, "topo-a-call-id@alicepc", "ACK", 8, "", NULL);
	r->at = r->n_sent;
	rig_b_request(r, &u, "UPDATE", 1, b_extra, held);
	s = rig_tx(r, "UPDATE ");
	rig_answer(r, s, "488 Not Here", "", "Warning: 399 inner.corp \"x\"\nServer: AliceSoft/1\n", NULL);
	rig_find(r, "SIP/2.0 488");
	rig_a_request(r, &u, "topo-a-call-id@alicepc", "INFO", 9, "User-Agent: AliceSoft/1\nContent-Type: text/plain\n", "x");
	s = rig_tx(r, "INFO ");
	rig_answer(r, s, "404 No", "", b_extra, NULL);
	rig_find(r, "SIP/2.0 404");
	rig_b_request(r, &u, "BYE", 2, b_extra, NULL);
	rig_find(r, "BYE ");
	rig_answer(r, &r->sent[r->n_sent - 1], "200 OK", "", "Server: AliceSoft/1\n", NULL);
	assert_in_range(r->n_sent, 12, 40); /* it was a whole call */
	assert_hidden(r, 1, of_a, ARRAY_LEN(of_a));
	assert_hidden(r, 0, of_b, ARRAY_LEN(of_b));
	/* B2B-10 */
	assert_int_equal(strspn(rig_hdr(r, inv, "Call-ID"), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"),
	    strlen(rig_hdr(r, inv, "Call-ID")));
	assert_string_equal(rig_hdr(r, inv, "CSeq"), "1 INVITE");
	rig_end(r);
}

/* Every message we send must be one message, whatever is written in what we copy. */
static void assert_all_parse(const struct rig *r)
{
	struct arena_pool pool;

	arena_pool_init(&pool, 4096, 0);
	for (unsigned i = 0; i < r->n_sent; i++) {
		struct arena *a = arena_new(&pool);
		struct sip_msg *m;
		struct sip_perr e = {0};
		char *copy = strdup(r->sent[i].text);
		int err = sip_parse(a, copy, r->sent[i].len, &m, &e);

		if (err)
			fail_msg("%s at %zu:\n%s", e.why, e.at, r->sent[i].text);
		if (rig_count(r, 0, "DELETE ") || strstr(r->sent[i].text, "\r\nEvil:"))
			fail_msg("injected:\n%s", r->sent[i].text);
		free(copy);
		arena_free(a);
	}
	arena_pool_fini(&pool);
}

static void injections(void **state)
{
	static const struct {
		const char *name, *from, *user, *extra;
	} rows[] = {
	    {"escaped CRLF in the called user", NULL, "+49%0d%0aEvil:%20x", ""},
	    {"'>' in the called user", NULL, "a%3e%3bx%40y", ""},
	    {"quote and backslash in the name", "\"a\\\"b\\\\\" <sip:+49301234501@pbx.example>", NULL, ""},
	    {"name with brackets", "\"<sip:evil@x>;tag=1\" <sip:+49301234501@pbx.example>", NULL, ""},
	    {"folded name", "\"a\r\n b\" <sip:+49301234501@pbx.example>", NULL, ""},
	    {"escaped CRLF in the caller", "<sip:%0d%0aEvil%3a@pbx.example>", NULL, ""},
	    {"folded Subject", NULL, NULL, "Subject: a\r\n Evil: b\r\n\tEvil: c\n"},
	    {"8-bit text", "\"\xc3\xa4\xff\" <sip:+49301234501@pbx.example>", NULL, "Subject: \xff\xfe\n"},
	    {"folded Reason", NULL, NULL, "Reason: Q.850\r\n ;cause=16\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig *r = rig_new();
		struct sent *inv;
		struct up u;
		char text[2000];
		struct buf b;

		buf_init(&b, text, sizeof(text));
		buf_fmt(&b,
		    "INVITE sip:%s@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKin\r\n"
		    "From: %s;tag=atag\r\nTo: <sip:x@198.51.100.1>\r\nCall-ID: inj\r\nCSeq: 1 INVITE\r\n"
		    "Contact: <sip:alice@198.51.100.10:5060>\r\n",
		    rows[i].user ? rows[i].user : "+4989998877",
		    rows[i].from ? rows[i].from : "<sip:+49301234501@pbx.example>");
		buf_str(&b, str_head(str_z(rows[i].extra), strlen(rows[i].extra) ? strlen(rows[i].extra) - 1 : 0));
		if (rows[i].extra[0])
			buf_lit(&b, "\r\n");
		buf_fmt(&b, "Content-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s", strlen(sdp_a), sdp_a);
		assert_int_equal(buf_err(&b), 0);
		rig_rx_raw(r, 0, "198.51.100.10", text, b.n);
		if (r->n_sent == 0)
			fail_msg("%s: silence", rows[i].name);
		inv = &r->sent[0];
		if (strncmp(inv->text, "INVITE ", 7) == 0) {
			rig_answer(r, inv, "200 OK", "btag", CB "Reason: SIP\n ;cause=200\n", sdp_b);
			r->at = 1;
			u = rig_up(r, inv, rig_find(r, "SIP/2.0 200"));
			rig_rx(r, 0, "198.51.100.10", NULL,
			    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKin2\n"
			    "From: <sip:x@y>;tag=atag\nTo: <sip:x@198.51.100.1>;tag=%s\nCall-ID: inj\nCSeq: 1 ACK\n",
			    u.a_to_tag);
			rig_b_request(r, &u, "BYE", 1, "Reason: Q.850;text=\"a\\\"b\n Evil: x\"\n", NULL);
		}
		assert_all_parse(r);
		if (b2b_call_next(r->b2b, NULL))
			call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
		/* nor may the record and what the CLI prints hold control characters */
		for (unsigned k = 0; k < r->n_rec; k++)
			for (const char *p = r->rec[k].called; *p; p++)
				assert_true((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
		rig_end(r);
	}
}

/* a Contact that would write more than a URI into our request line */
static void targets_that_are_no_uris(void **state)
{
	static const char *const contacts[] = {"<sip:bob@203.0.113.20 SIP/2.0>", "<sip:b ob@203.0.113.20>",
	    "<sip:bob@203.0.113.20\n Evil: x>", "sip:bob@203.0.113.20\t;x", "<sip:bob@203.0.113.20>>", "<>", "*",
	    "<sip:bob@203.0.113.20>, <sip:eve@203.0.113.66>", "<sip:bob@203.0.113.20;transport=\"a\">",
	    "<sip:bob@203.0.113.20?Evil=x>"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(contacts); i++) {
		struct rig *r = rig_new();
		struct sent *inv;
		char extra[200];

		rig_invite(r, "target", "", sdp_a);
		inv = rig_tx(r, "INVITE ");
		snprintf(extra, sizeof(extra), "Contact: %s\n", contacts[i]);
		rig_answer(r, inv, "200 OK", "btag", extra, sdp_b);
		rig_pass(r, 100);
		assert_all_parse(r);
		/* request lines have three words */
		for (unsigned n = 0; n < r->n_sent; n++)
			if (strncmp(r->sent[n].text, "SIP/2.0 ", 8) != 0) {
				const char *line = r->sent[n].text, *end = strstr(line, "\r\n");
				int blanks = 0;

				for (; line < end; line++)
					blanks += *line == ' ' || *line == '\t';
				if (blanks != 2)
					fail_msg("%s:\n%s", contacts[i], r->sent[n].text);
			}
		if (b2b_call_next(r->b2b, NULL))
			call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
		rig_end(r);
	}
}

static const char diversion[] = "Diversion: <sip:+491@x>;reason=user-busy;counter=2;privacy=off\n"
                                "Diversion: \"B\" <sip:+492@x>;reason=\"no-answer\";screen=yes\n"
                                "Diversion: <sip:+493@x>;reason=unknown;privacy=full\n";

static void headers_of_the_invite(void **state)
{
	static const struct {
		const char *name, *line;
		int trusted; /* 1: only between trusted trunks, 0: always */
	} rows[] = {
	    {"User-to-User", "User-to-User: 56a390f3d2b7310023a2;encoding=hex;purpose=foo;content=bar\n", 0}, /* HDR-15 */
	    {"Alert-Info", "Alert-Info: <urn:alert:source:external>\n", 0},                                   /* HDR-18 */
	    {"Call-Info", "Call-Info: <http://example.com/a>;purpose=icon\n", 0},
	    {"Subject", "Subject: lunch\n", 0},
	    {"Priority", "Priority: emergency\n", 0},
	    {"Accept-Contact", "Accept-Contact: *;audio;require\n", 0},
	    {"Request-Disposition", "Request-Disposition: no-fork\n", 0},
	    {"P-Asserted-Identity", "P-Asserted-Identity: <sip:+4930@x>\n", 1},
	    {"X-Foo", "X-Foo: bar\n", 1},
	};

	(void)state;
	for (int trusted = 0; trusted < 2; trusted++)
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			struct rig *r = rig_new();
			const char *value = strchr(rows[i].line, ' ') + 1;
			struct sent *s;

			rig_set(r, ITSP, "trusted", trusted ? "yes" : "no");
			rig_compile(r);
			rig_invite(r, "hdr", rows[i].line, sdp_a);
			s = rig_tx(r, "INVITE ");
			if (trusted || !rows[i].trusted) {
				assert_memory_equal(rig_hdr(r, s, rows[i].name), value, strlen(value) - 1);
				/* the same back in the answers */
				rig_answer(r, s, "180 Ringing", "btag", rows[i].trusted ? "" : rows[i].line, NULL);
				s = rig_tx(r, "SIP/2.0 180");
				if (!rows[i].trusted)
					assert_memory_equal(rig_hdr(r, s, rows[i].name), value, strlen(value) - 1);
			} else {
				assert_string_equal(rig_hdr(r, s, rows[i].name), "");
			}
			call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
			rig_end(r);
		}
}

static void diversion_chain(void **state)
{
	(void)state;
	for (int trusted = 0; trusted < 2; trusted++) { /* HDR-03 */
		struct rig *r = rig_new();
		struct sent *s;

		rig_set(r, ITSP, "trusted", trusted ? "yes" : "no");
		rig_compile(r);
		rig_invite(r, "hdr-03", diversion, sdp_a);
		s = rig_tx(r, "INVITE ");
		if (trusted) {
			assert_string_equal(rig_hdr_n(r, s, "Diversion", 0),
			    "<sip:+491@x>;reason=user-busy;counter=2;privacy=off");
			assert_string_equal(rig_hdr_n(r, s, "Diversion", 1), "\"B\" <sip:+492@x>;reason=\"no-answer\";screen=yes");
			assert_string_equal(rig_hdr_n(r, s, "Diversion", 2), "<sip:+493@x>;reason=unknown;privacy=full");
		} else {
			assert_string_equal(rig_hdr(r, s, "Diversion"), "");
		}
		call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
		rig_end(r);
	}
}

static void bye_and_cancel_carry(void **state)
{
	static const char lines[] = "Reason: Q.850;cause=16;text=\"bye\"\nReason: SIP;cause=200\nUser-to-User: 0a0b;encoding=hex\n";
	static const struct db_header drop[] = {{{"Reason", 6}, false}, {{"User-to-User", 12}, false}};
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "hdr-15");
	struct sent *s;
	unsigned branch;

	(void)state;
	rig_a_request(r, &u, "hdr-15", "BYE", 2, lines, NULL);
	rig_tx(r, "SIP/2.0 200");
	s = rig_tx(r, "BYE ");
	assert_string_equal(rig_hdr_n(r, s, "Reason", 0), "Q.850;cause=16;text=\"bye\"");
	assert_string_equal(rig_hdr_n(r, s, "Reason", 1), "SIP;cause=200");
	assert_string_equal(rig_hdr(r, s, "User-to-User"), "0a0b;encoding=hex");
	rig_answer(r, s, "200 OK", "", "", NULL);
	/* removable per trunk (header.drop), in BYE as in CANCEL */
	r->trunks[ITSP].headers = drop;
	r->trunks[ITSP].n_headers = ARRAY_LEN(drop);
	rig_compile(r);
	u = rig_call_up(r, "hdr-15b");
	rig_a_request(r, &u, "hdr-15b", "BYE", 2, lines, NULL);
	rig_tx(r, "SIP/2.0 200");
	s = rig_tx(r, "BYE ");
	assert_string_equal(rig_hdr(r, s, "Reason"), "");
	assert_string_equal(rig_hdr(r, s, "User-to-User"), "");
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_invite(r, "hdr-01", "", sdp_a);
	branch = r->branch;
	s = rig_tx(r, "INVITE ");
	rig_answer(r, s, "180 Ringing", "x", CB, NULL);
	rig_cancel(r, branch, "hdr-01", "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\n");
	s = rig_find(r, "CANCEL ");
	assert_null(strstr(rig_hdr(r, s, "Reason"), "completed elsewhere"));
	rig_end(r);
}

static void refusals_carry(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	/* HDR-01 (RFC 6432), HDR-15 in the refusal */
	rig_invite(r, "hdr-01r", "", sdp_a);
	rig_answer(r, rig_tx(r, "INVITE "), "486 Busy", "x", "Reason: Q.850;cause=17\nUser-to-User: ff;encoding=hex\n", NULL);
	s = rig_find(r, "SIP/2.0 486");
	assert_string_equal(rig_hdr(r, s, "Reason"), "Q.850;cause=17");
	assert_string_equal(rig_hdr_n(r, s, "Reason", 1), ""); /* ours does not stand beside it */
	assert_string_equal(rig_hdr(r, s, "User-to-User"), "ff;encoding=hex");
	rig_end(r);
}

/* B2B-04, -05: what we say we can is what we carry; what one side can is not told to the other */
static void capabilities_are_ours(void **state)
{
	static const char caps[] = "Supported: 100rel, timer, replaces, norefersub, outbound\nAllow: INVITE, ACK, BYE, CANCEL, PRACK, "
	                           "REFER, SUBSCRIBE, NOTIFY, PUBLISH\nAccept: application/sdp, text/x\nAllow-Events: dialog\n"
	                           "Recv-Info: foo\n";
	struct rig *r = rig_new();
	struct sent *inv, *s;
	char extra[600];

	(void)state;
	rig_invite(r, "b2b-04", caps, sdp_a);
	inv = rig_tx(r, "INVITE ");
	snprintf(extra, sizeof(extra), "%s%s", CB, caps);
	rig_answer(r, inv, "200 OK", "btag", extra, sdp_b);
	s = rig_tx(r, "SIP/2.0 200");
	for (int i = 0; i < 2; i++) {
		const struct sent *m = i ? s : inv;

		assert_null(strstr(m->text, "100rel"));
		assert_null(strstr(m->text, "replaces"));
		assert_null(strstr(m->text, "\r\nAllow-Events"));
		assert_null(strstr(m->text, "\r\nRecv-Info"));
		assert_null(strstr(rig_hdr(r, m, "Allow"), "REFER"));
		assert_null(strstr(rig_hdr(r, m, "Allow"), "PRACK"));
		assert_non_null(strstr(rig_hdr(r, m, "Allow"), "UPDATE"));
	}
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

/* an extension that must be understood is refused in every request but ACK and CANCEL (8.2.2.3); BYE ends the call */
static void require_inside_the_dialog(void **state)
{
	static const char *const methods[] = {"INVITE", "UPDATE", "INFO", "MESSAGE"};
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "req");
	struct sent *s;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(methods); i++) {
		rig_a_request(r, &u, "req", methods[i], 2 + i, CA "Require: nope, replaces\n", i < 2 ? sdp_a : NULL);
		s = rig_tx(r, "SIP/2.0 420");
		assert_string_equal(rig_hdr(r, s, "Unsupported"), "nope, replaces");
		rig_quiet(r);
	}
	rig_a_request(r, &u, "req", "ACK", 2, "", NULL);
	rig_a_request(r, &u, "req", "BYE", 9, "Require: nope\n", NULL);
	rig_tx(r, "SIP/2.0 200");
	rig_answer(r, rig_tx(r, "BYE "), "200 OK", "", "", NULL);
	rig_end(r);
}

static void from_may_change(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "dlg-12");
	struct sent *s;

	(void)state;
	/* DLG-12: another URI in From, same tags: the dialog is still that one */
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "UPDATE sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKfc\n"
	    "From: \"Carol\" <sip:+49301234577@pbx.example>;tag=atag\nTo: <sip:other@198.51.100.1>;tag=%s\nCall-ID: dlg-12\n"
	    "CSeq: 2 UPDATE\n" CA "Supported: from-change\n",
	    u.a_to_tag);
	s = rig_tx(r, "SIP/2.0 200");
	assert_non_null(strstr(rig_hdr(r, s, "From"), "77@"));
	rig_hang_up(r, &u, "dlg-12", 3);
	rig_end(r);
}

/* a re-INVITE that gets a provisional answer and no more is taken back, and the call can change again */
static void change_without_an_end(void **state)
{
	struct rig *r = rig_new();
	struct sent *re, *s;
	struct up u;

	(void)state;
	rig_set(r, PBX, "media-timeout", "off");
	rig_set(r, ITSP, "media-timeout", "off");
	rig_set(r, ITSP, "ring-timeout", "20s");
	rig_compile(r);
	u = rig_call_up(r, "overdue");
	rig_a_request(r, &u, "overdue", "INVITE", 2, CA, play_hold_a);
	re = rig_tx(r, "INVITE ");
	rig_answer(r, re, "100 Trying", "", "", NULL);
	rig_pass(r, 20100);
	s = rig_find(r, "CANCEL ");
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_answer(r, re, "487 Request Terminated", "", "", NULL);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 480");
	rig_a_request(r, &u, "overdue", "ACK", 2, "", NULL);
	assert_int_equal(r->n_rec, 0);
	rig_a_request(r, &u, "overdue", "INVITE", 3, CA, play_hold_a);
	re = rig_find(r, "INVITE ");
	rig_answer(r, re, "200 OK", "", CB, play_held_b);
	rig_find(r, "SIP/2.0 200");
	rig_a_request(r, &u, "overdue", "ACK", 3, "", NULL);
	r->at = r->n_sent;
	rig_hang_up(r, &u, "overdue", 4);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_of_one_side_reaches_the_other),
	    cmocka_unit_test(injections),
	    cmocka_unit_test(targets_that_are_no_uris),
	    cmocka_unit_test(headers_of_the_invite),
	    cmocka_unit_test(diversion_chain),
	    cmocka_unit_test(bye_and_cancel_carry),
	    cmocka_unit_test(refusals_carry),
	    cmocka_unit_test(capabilities_are_ours),
	    cmocka_unit_test(require_inside_the_dialog),
	    cmocka_unit_test(from_may_change),
	    cmocka_unit_test(change_without_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
