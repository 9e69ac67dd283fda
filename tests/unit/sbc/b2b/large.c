/* large.c - requests too big for a datagram: made smaller, by TCP, cut, refused (LOOP-09); and addresses of ours that may
 * not be shown. */
#include "rig.h"

static struct sent *call_with(struct rig *r, const char *call_id, const char *extra)
{
	rig_invite(r, call_id, extra, sdp_a);
	return rig_find(r, "INVITE ");
}

/* an INVITE of the ITSP's leg without the trunk's limit in the way, for its length */
static size_t usual_size(void)
{
	struct rig *r = rig_new();
	struct sent *s;
	size_t n;

	s = call_with(r, "size", "");
	n = s->len;
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);
	return n;
}

static struct rig *limited(size_t mtu, const char *large)
{
	struct rig *r = rig_new();
	static char text[16];

	snprintf(text, sizeof(text), "%zu", mtu);
	rig_set(r, ITSP, "mtu", text);
	rig_set(r, ITSP, "large", large);
	r->trunks[1].n_targets = 1;
	rig_compile(r);
	return r;
}

static void made_smaller_first(void **state)
{
	/* the estimate is on the safe side of the size by at most this */
	struct rig *r = limited(usual_size() + 10, "tcp");
	struct sent *s, *cancel;

	(void)state;
	s = call_with(r, "small", "");
	assert_int_equal(s->to.proto, NET_UDP);
	assert_non_null(strstr(s->text, "\r\nf: <sip:"));
	assert_non_null(strstr(s->text, "\r\nm: <sip:"));
	assert_non_null(strstr(s->text, "\r\nc: application/sdp\r\nl: "));
	assert_null(strstr(s->text, "User-Agent"));
	assert_int_equal(b2b_metric(r->b2b, B2B_TRIMMED), 1);
	assert_int_equal(b2b_metric(r->b2b, B2B_FRAGMENTED), 0);
	/* what is made out of it still fits to it: CANCEL, ACK */
	rig_answer(r, s, "180 Ringing", "x", "Contact: <sip:bob@203.0.113.20>\n", NULL);
	rig_cancel(r, r->branch, "small", "");
	cancel = rig_find(r, "CANCEL ");
	assert_string_equal(rig_hdr(r, cancel, "Call-ID"), rig_hdr(r, s, "Call-ID"));
	assert_string_equal(rig_hdr(r, cancel, "Via"), rig_hdr(r, s, "Via"));
	rig_answer(r, cancel, "200 OK", "x", "", NULL);
	rig_answer(r, s, "487 Request Terminated", "x", "", NULL);
	s = rig_find(r, "ACK ");
	assert_non_null(strstr(rig_hdr(r, s, "To"), ";tag=x"));
	rig_end(r);
}

/* a rule of the trunk that passes a header by name keeps it */
static void but_not_what_a_rule_passes(void **state)
{
	struct rig *r = limited(usual_size() + 40, "fragment");
	struct sent *s;

	(void)state;
	r->trunks[1].headers = &(struct db_header){S("Organization"), true};
	r->trunks[1].n_headers = 1;
	rig_compile(r);
	s = call_with(r, "rule", "Date: Sat, 13 Nov 2010 23:29:00 GMT\nOrganization: Example\n");
	assert_non_null(strstr(s->text, "\r\nf: <sip:"));
	assert_non_null(strstr(s->text, "\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\n")); /* Identity needs it (RFC 8224 4.1) */
	assert_non_null(strstr(s->text, "\r\nOrganization: Example\r\n"));
	assert_null(strstr(s->text, "User-Agent"));
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);
}

static void then_by_tcp_whole(void **state)
{
	struct rig *r = limited(576, "tcp");
	struct sent *s = call_with(r, "tcp", "");

	(void)state;
	assert_int_equal(s->to.proto, NET_TCP);
	assert_non_null(strstr(s->text, "\r\nFrom: <sip:"));
	assert_non_null(strstr(s->text, "User-Agent"));
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);
}

/* TCP is refused: by UDP, said so, and the next one does not try TCP again for ten minutes */
static void refused_tcp_is_remembered(void **state)
{
	struct rig *r = limited(576, "tcp");
	struct sent *s;

	(void)state;
	r->tcp_fails = true;
	s = call_with(r, "rt-1", "");
	assert_int_equal(s->to.proto, NET_UDP);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	assert_true(r->rec[0].tries[0].fragmented);
	assert_int_equal(b2b_metric(r->b2b, B2B_FRAGMENTED), 1);
	r->tcp_fails = false;
	s = call_with(r, "rt-2", "");
	assert_int_equal(s->to.proto, NET_UDP);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	assert_true(r->rec[1].tries[0].fragmented);
	rig_pass(r, 601000);
	s = call_with(r, "rt-3", "");
	assert_int_equal(s->to.proto, NET_TCP);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	assert_false(r->rec[2].tries[0].fragmented);
	rig_end(r);
}

static void cut_and_said_so(void **state)
{
	struct rig *r = limited(576, "fragment");
	struct sent *s = call_with(r, "cut", "");

	(void)state;
	assert_int_equal(s->to.proto, NET_UDP);
	assert_true(s->len > 576);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	assert_true(r->rec[0].tries[0].fragmented);
	assert_int_equal(b2b_metric(r->b2b, B2B_FRAGMENTED), 1);
	rig_end(r);
}

static void or_refused(void **state)
{
	struct rig *r = limited(576, "refuse");

	(void)state;
	rig_invite(r, "no", "", sdp_a);
	rig_find(r, "SIP/2.0 513");
	assert_int_equal(rig_count(r, 0, "INVITE "), 0);
	assert_int_equal(r->rec[0].reason, REASON_OVER_MTU);
	rig_end(r);
}

/* PRIVATE_ADDRESS: what nobody out there can reach is not shown to somebody out there */
static void private_addresses_stay_inside(void **state)
{
	struct rig *r = rig_new();
	struct net_local inner = {.bound = rig_addr("10.1.2.3"), .host = S("10.1.2.3"), .port = 5060};
	struct net_local named = {.bound = rig_addr("10.1.2.3"), .host = S("sbc.example.com"), .port = 5060};
	struct sent *s;

	(void)state;
	r->trunks[1].n_targets = 1;
	rig_compile(r);
	r->local[1] = &inner;
	rig_invite(r, "leak", "", sdp_a);
	rig_find(r, "SIP/2.0 500");
	assert_int_equal(rig_count(r, 0, "INVITE "), 0);
	for (unsigned i = 0; i < r->n_sent; i++)
		assert_null(strstr(r->sent[i].text, "10.1.2.3"));
	assert_int_equal(r->rec[0].reason, REASON_PRIVATE_ADDRESS);
	/* an operator who knows better says so */
	r->not_public = true;
	rig_compile(r);
	s = call_with(r, "no", "");
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	r->not_public = false;
	rig_compile(r);
	/* a name is fine, and so is a private peer */
	r->local[1] = &named;
	s = call_with(r, "name", "");
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	r->local[1] = &inner;
	r->targets[1][0].host = S("10.9.9.9");
	rig_compile(r);
	s = call_with(r, "inside", "");
	assert_non_null(strstr(rig_hdr(r, s, "Contact"), "10.1.2.3"));
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);
}

/* learn-address: the trunk is asked when it appears; what its answer says stands in Via and Contact of the call */
static void learned_address_is_shown(void **state)
{
	struct rig *r = rig_new();
	struct net_local inner = {.bound = rig_addr("10.1.2.3"), .host = S("10.1.2.3"), .port = 5060};
	struct sent *s;
	char via[400];
	struct up u;

	(void)state;
	r->trunks[1].n_targets = 1;
	r->local[1] = &inner;
	rig_set(r, ITSP, "learn-address", "yes");
	rig_compile(r);
	rig_pass(r, 10);
	s = rig_find(r, "OPTIONS ");
	snprintf(via, sizeof(via), "%s", rig_hdr(r, s, "Via"));
	*strstr(via, ";rport") = '\0';
	rig_rx(r, 1, "203.0.113.20", NULL,
	    "SIP/2.0 200 OK\nVia: %s;rport=40123;received=198.51.100.200\nFrom: %s\nTo: %s;tag=o\nCall-ID: %s\nCSeq: %s\n", via,
	    rig_hdr(r, s, "From"), rig_hdr(r, s, "To"), rig_hdr(r, s, "Call-ID"), rig_hdr(r, s, "CSeq"));
	s = call_with(r, "learn", "");
	assert_non_null(strstr(rig_hdr(r, s, "Via"), "UDP 198.51.100.200:40123;"));
	assert_non_null(strstr(rig_hdr(r, s, "Contact"), "198.51.100.200:40123"));
	rig_answer(r, s, "200 OK", "b", "Contact: <sip:bob@203.0.113.20:5060>\n", sdp_b);
	u = rig_up(r, s, rig_find(r, "SIP/2.0 200"));
	rig_a_request(r, &u, "learn", "ACK", 1, "", NULL);
	rig_hang_up(r, &u, "learn", 2);
	for (unsigned i = 0; i < r->n_sent; i++)
		if (strncmp(r->sent[i].text, "BYE ", 4) == 0)
			assert_non_null(strstr(rig_hdr(r, &r->sent[i], "Via"), "198.51.100.200:40123"));
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(made_smaller_first),
	    cmocka_unit_test(but_not_what_a_rule_passes),
	    cmocka_unit_test(then_by_tcp_whole),
	    cmocka_unit_test(refused_tcp_is_remembered),
	    cmocka_unit_test(cut_and_said_so),
	    cmocka_unit_test(or_refused),
	    cmocka_unit_test(private_addresses_stay_inside),
	    cmocka_unit_test(learned_address_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
