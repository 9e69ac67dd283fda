/* Rows SIPS-01 to -05 and TLS-13: what sips: means for a call, and what our URIs say on a TLS leg (RFC 5630). */
#include "rig.h"

/* Both realms listen for TLS; the ITSP is reached by it. */
static struct rig *secure(const char *itsp_transport)
{
	struct rig *r = rig_new();

	r->tls = true;
	r->trunks[1].n_targets = 1;
	r->targets[1][0].transport = str_z(itsp_transport);
	if (strcmp(itsp_transport, "tls") == 0)
		r->targets[1][0].port = 5061;
	rig_compile(r);
	return r;
}

static void invite(struct rig *r, const char *scheme, const char *call_id, const char *extra)
{
	uint8_t proto = r->rx_proto;
	uint32_t conn = r->rx_conn;

	r->rx_proto = NET_TLS;
	r->rx_conn = 77;
	rig_rx(r, 0, "198.51.100.10", sdp_a,
	    "INVITE %s:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/TLS 198.51.100.10:5061;branch=z9hG4bKv%u\n"
	    "From: <%s:+49301234501@pbx.example>;tag=atag\nTo: <%s:+4989998877@198.51.100.1>\nCall-ID: %s\n"
	    "CSeq: 1 INVITE\nMax-Forwards: 30\nContact: <%s:alice@198.51.100.10:5061>\n%s",
	    scheme, ++r->branch, scheme, scheme, call_id, scheme, extra);
	r->rx_proto = proto;
	r->rx_conn = conn;
}

static void from_pbx(struct rig *r, const struct up *u, const char *call_id, const char *method, unsigned cseq)
{
	uint8_t proto = r->rx_proto;
	uint32_t conn = r->rx_conn;

	r->rx_proto = NET_TLS;
	r->rx_conn = 77;
	rig_a_request(r, u, call_id, method, cseq, "", NULL);
	r->rx_proto = proto;
	r->rx_conn = conn;
}

static void never_downgraded(void **state)
{
	static const char *const by[] = {"udp", "tcp"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(by); i++) {
		struct rig *r = secure(by[i]);
		struct sent *s;

		rig_set(r, PBX, "trusted", "no"); /* the Warning is for whoever asks */
		rig_compile(r);
		invite(r, "sips", "sips-01", "");
		s = rig_find(r, "SIP/2.0 480");
		assert_memory_equal(rig_hdr(r, s, "Warning"), "380 ", 4);
		assert_int_equal(rig_count(r, 0, "INVITE "), 0);
		assert_int_equal(r->rec[0].reason, REASON_SIPS_DOWNGRADE);
		rig_end(r);
	}
}

static void never_upgraded(void **state)
{
	struct rig *r = secure("tls");
	struct sent *s;

	(void)state;
	rig_set(r, ITSP, "scheme", "sips");
	rig_compile(r);
	invite(r, "sip", "sips-up", "");
	s = rig_find(r, "SIP/2.0 480");
	assert_memory_equal(rig_hdr(r, s, "Warning"), "381 ", 4);
	assert_int_equal(rig_count(r, 0, "INVITE "), 0);
	assert_int_equal(r->rec[0].reason, REASON_SIPS_UPGRADE);
	rig_end(r);
}

/* the way over TLS is found although another target of the trunk has none */
static void the_secure_target_is_taken(void **state)
{
	struct rig *r = secure("udp");
	struct sent *s;

	(void)state;
	r->trunks[1].n_targets = 2;
	r->targets[1][1].transport = S("tls");
	r->targets[1][1].port = 5061;
	rig_compile(r);
	invite(r, "sips", "second", "");
	s = rig_find(r, "INVITE sips:+4989998877@203.0.113.21");
	assert_int_equal(s->to.proto, NET_TLS);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);
}

static void all_of_a_sips_leg_is_sips(void **state)
{
	struct rig *r = secure("tls");
	struct sent *s, *ok;
	struct up u;

	(void)state;
	invite(r, "sips", "sips-02", "");
	s = rig_find(r, "INVITE ");
	assert_memory_equal(s->text, "INVITE sips:+4989998877@203.0.113.20 SIP/2.0\r\n", 46);
	assert_int_equal(s->to.proto, NET_TLS);
	assert_memory_equal(rig_hdr(r, s, "From"), "<sips:+49301234501@", 19);
	assert_memory_equal(rig_hdr(r, s, "To"), "<sips:+4989998877@", 18);
	assert_string_equal(rig_hdr(r, s, "Contact"), "<sips:sbc.example.com:5061>"); /* TLS-13 */
	assert_memory_equal(rig_hdr(r, s, "Via"), "SIP/2.0/TLS sbc.example.com:5061;", 33);
	/* SIPS-05: whatever the far end wrote into Record-Route */
	rig_answer(r, s, "200 OK", "b", "Record-Route: <sip:203.0.113.20;lr>, \"x\" <sip:p2.example;lr>\nContact: <sips:bob@203.0.113.20>\n",
	    sdp_b);
	ok = rig_find(r, "SIP/2.0 200");
	assert_string_equal(rig_hdr(r, ok, "Contact"), "<sips:sbc.example.com:5061>");
	u = rig_up(r, s, ok);
	r->at = 0;
	s = rig_find(r, "ACK ");
	assert_string_equal(rig_hdr_n(r, s, "Route", 0), "\"x\" <sips:p2.example;lr>");
	assert_string_equal(rig_hdr_n(r, s, "Route", 1), "<sips:203.0.113.20;lr>");
	assert_int_equal(s->to.proto, NET_TLS);
	from_pbx(r, &u, "sips-02", "ACK", 1);
	from_pbx(r, &u, "sips-02", "BYE", 2);
	s = rig_find(r, "BYE sips:bob@203.0.113.20");
	assert_int_equal(s->to.proto, NET_TLS);
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_end(r);
}

/* SIPS-02, -03: a sip: call over TLS stays sip:, and TLS is no transport of a URI unless the peer needs it so */
static void a_sip_call_over_tls(void **state)
{
	(void)state;
	for (int param = 0; param < 2; param++) {
		struct rig *r = secure("tls");
		struct sent *s, *ok;
		struct up u;

		if (param)
			rig_set(r, ITSP, "transport-param", "yes");
		rig_compile(r);
		invite(r, "sip", "plain", "");
		s = rig_find(r, "INVITE ");
		assert_int_equal(s->to.proto, NET_TLS);
		assert_null(strstr(s->text, "sips:"));
		assert_string_equal(rig_hdr(r, s, "Contact"),
		    param ? "<sip:sbc.example.com:5061;transport=tls>" : "<sip:sbc.example.com:5061>");
		if (!param)
			assert_null(strstr(s->text, "transport="));
		/* understood when they write it: the requests of the dialog go by TLS */
		rig_answer(r, s, "200 OK", "b", "Contact: <sip:bob@203.0.113.20:5071;transport=tls>\n", sdp_b);
		ok = rig_find(r, "SIP/2.0 200");
		assert_string_equal(rig_hdr(r, ok, "Contact"), "<sip:sbc.example.com:5061>");
		u = rig_up(r, s, ok);
		from_pbx(r, &u, "plain", "ACK", 1);
		from_pbx(r, &u, "plain", "BYE", 2);
		s = rig_find(r, "BYE ");
		assert_int_equal(s->to.proto, NET_TLS);
		assert_int_equal(addr_port(&s->to.remote), 5071);
		rig_answer(r, s, "200 OK", "", "", NULL);
		rig_end(r);
	}
}

/* SIPS-04 */
static void never_tried_again_with_sip(void **state)
{
	static const char *const answers[] = {"416 Unsupported URI Scheme", "480 Temporarily Unavailable"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct rig *r = secure("tls");
		char status[16];

		rig_set(r, ITSP, "failover-codes", "416,480");
		r->trunks[1].n_targets = 2;
		r->targets[1][1].transport = S("tls");
		r->targets[1][1].port = 5061;
		rig_compile(r);
		invite(r, "sips", "sips-04", "");
		/* another target is asked with sips: as well */
		for (int k = 0; k < 2; k++) {
			struct sent *s = rig_find(r, "INVITE ");

			assert_memory_equal(s->text, "INVITE sips:", 12);
			rig_answer(r, s, answers[i], "x", "Warning: 380 x \"SIPS Not Allowed\"\n", NULL);
		}
		snprintf(status, sizeof(status), "SIP/2.0 %.3s", answers[i]);
		rig_find(r, status);
		assert_int_equal(rig_count(r, 0, "INVITE "), 2);
		rig_end(r);
	}
}

/* a redirection of a sips: call does not leave it */
static void redirected_stays_sips(void **state)
{
	struct rig *r = secure("tls");
	struct sent *s;

	(void)state;
	invite(r, "sips", "moved", "");
	s = rig_find(r, "INVITE ");
	rig_answer(r, s, "302 Moved", "x", "Contact: <sip:+4989990000@203.0.113.20:5061>\n", NULL);
	s = rig_find(r, "INVITE sips:+4989990000@");
	rig_answer(r, s, "486 Busy", "y", "", NULL);
	rig_end(r);
}

/* leg A: the top Record-Route decides the Contact of our answer as well */
static void record_route_of_the_caller(void **state)
{
	struct rig *r = secure("tls");
	struct sent *s;

	(void)state;
	invite(r, "sip", "rr", "Record-Route: <sips:p.pbx.example;lr>\n");
	s = rig_find(r, "INVITE sip:");
	rig_answer(r, s, "180 Ringing", "b", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	s = rig_find(r, "SIP/2.0 180");
	assert_string_equal(rig_hdr(r, s, "Contact"), "<sips:sbc.example.com:5061>");
	assert_string_equal(rig_hdr(r, s, "Record-Route"), "<sips:p.pbx.example;lr>");
	rig_pass(r, 200000);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(never_downgraded),
	    cmocka_unit_test(never_upgraded),
	    cmocka_unit_test(the_secure_target_is_taken),
	    cmocka_unit_test(all_of_a_sips_leg_is_sips),
	    cmocka_unit_test(a_sip_call_over_tls),
	    cmocka_unit_test(never_tried_again_with_sip),
	    cmocka_unit_test(redirected_stays_sips),
	    cmocka_unit_test(record_route_of_the_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
