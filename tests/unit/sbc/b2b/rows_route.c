/* rows_route.c - which target, over what, from whom: mixtures of failures, redirections, TCP, IPv6, NAT, and a
 * policy that changes during a call. */
#include "play.h"

#define CA PLAY_CONTACT_A
#define CB PLAY_CONTACT_B

static bool goes_to(const struct sent *s, const char *host_port)
{
	struct addr a;

	assert_int_equal(addr_parse(str_z(host_port), 5060, &a), 0);
	return addr_eq(&s->to.remote, &a);
}

static void third_target(struct rig *r)
{
	r->trunks[ITSP].n_targets = 3;
	r->targets[ITSP][2] = r->targets[ITSP][1];
	r->targets[ITSP][2].host = S("203.0.113.22");
	r->targets[ITSP][2].priority = 3;
}

/* How a target may fail. The last one's answer, or the best, is what A hears. */
enum fail { SYNC, ASYNC, SILENT, S503, S480, S500, S404, S484, S600, S302 };
static const char *const fail_lines[] = {NULL, NULL, NULL, "503 Off", "480 No", "500 Error", "404 No", "484 Short",
    "600 Busy", "302 Moved"};

static void mixtures_of_failures(void **state)
{
	static const struct {
		enum fail how[3];
		unsigned n, tries;
		const char *status; /* to A */
		enum reason reason;
	} rows[] = {
	    {{SYNC, SYNC, SYNC}, 3, 3, "500", REASON_TRANSPORT},
	    {{SYNC, SILENT, ASYNC}, 3, 3, "500", REASON_TRANSPORT},
	    {{ASYNC, S503, SILENT}, 3, 3, "500", REASON_PEER_ERROR}, /* what somebody said beats silence */
	    {{S503, S503, S503}, 3, 3, "500", REASON_PEER_ERROR},    /* FOV-03 */
	    {{SILENT, SILENT, SILENT}, 3, 3, "408", REASON_SETUP_BUDGET},
	    {{S480, S503, SYNC}, 3, 3, "480", REASON_PEER_UNAVAILABLE}, /* lowest class (FOV-04) */
	    {{S503, SILENT, S480}, 3, 3, "480", REASON_PEER_UNAVAILABLE},
	    {{S484, S480, S404}, 3, 3, "484", REASON_PEER_REFUSED},  /* tells the caller what to change */
	    {{S480, S484, S503}, 3, 3, "484", REASON_PEER_REFUSED},
	    {{S480, S600, S503}, 3, 2, "600", REASON_PEER_BUSY},     /* FOV-01: stops */
	    {{SYNC, S404, S503}, 3, 3, "404", REASON_PEER_NOT_FOUND},
	    {{S302, S503, S503}, 3, 1, "480", REASON_REDIRECTED},    /* to itself: nowhere new */
	    {{S500, S480, S500}, 3, 3, "480", REASON_PEER_UNAVAILABLE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig *r = rig_new();
		struct sent *s, *answer = NULL;
		char text[300];
		struct b2b_trunk_info info;
		char hosts[3][32];

		third_target(r);
		rig_set(r, ITSP, "failover-codes", "480,500,404,484");
		rig_compile(r);
		for (int k = 0; k < 3; k++)
			snprintf(hosts[k], sizeof(hosts[k]), "203.0.113.%d", 20 + k);
		if (rows[i].how[0] == SYNC) {
			r->fail_host = rows[i].how[1] == SYNC ? "203.0.113.2" : hosts[0];
			r->fail_err = -EHOSTUNREACH;
		}
		rig_invite(r, "mix", "", sdp_a);
		for (unsigned k = 0; k < rows[i].tries; k++) {
			enum fail how = rows[i].how[k];

			if (how == SYNC) {
				rig_pass(r, 4);
				continue;
			}
			s = NULL;
			for (unsigned n = 0; n < r->n_sent; n++)
				if (strncmp(r->sent[n].text, "INVITE ", 7) == 0 && goes_to(&r->sent[n], hosts[k]))
					s = &r->sent[n];
			if (!s)
				fail_msg("row %zu: target %u was not tried", i, k);
			if (k + 1 < 3 && rows[i].how[k + 1] == SYNC) {
				r->fail_host = hosts[k + 1];
				r->fail_err = -EHOSTUNREACH;
			}
			if (how == ASYNC) {
				b2b_on_failure(r->b2b, &s->to, s->owner, -ECONNREFUSED, STR_NONE);
			} else if (how == SILENT) {
				rig_pass(r, k + 1 < rows[i].tries ? 4100 : 32100); /* try-timeout, timer B */
			} else {
				snprintf(text, sizeof(text), "%s", how == S302 ? "Contact: <sip:+4989998877@203.0.113.20>\n" : "");
				rig_answer(r, s, fail_lines[how], "b", text, NULL);
			}
			rig_pass(r, 2);
		}
		for (unsigned n = 0; n < r->n_sent; n++)
			if (r->sent[n].to.realm == 0 && strncmp(r->sent[n].text, "SIP/2.0 1", 9) != 0) {
				answer = &r->sent[n];
				break;
			}
		if (!answer)
			fail_msg("row %zu: no answer", i);
		if (strncmp(answer->text + 8, rows[i].status, 3) != 0 || r->rec[0].reason != rows[i].reason)
			fail_msg("row %zu: reason %d %s", i, (int)r->rec[0].reason, answer->text);
		assert_int_equal(r->n_rec, 1);
		assert_int_equal(r->rec[0].n_tries, rows[i].tries);
		assert_int_equal(b2b_metric(r->b2b, B2B_FAILOVERS), rows[i].tries - 1);
		b2b_trunk_info(r->b2b, 2, &info);
		assert_int_equal(info.calls, 0);
		b2b_trunk_info(r->b2b, 1, &info);
		assert_int_equal(info.calls, 0);
		rig_end(r);
	}
}

/* each attempt is a leg of its own: what comes late for an earlier one cannot mix (FOV-02) */
static void late_answers_of_a_left_target(void **state)
{
	static const char *const late[] = {"180 Ringing", "183 Session Progress", "200 OK", "486 Busy", "302 Moved"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(late); i++) {
		struct rig *r = rig_new();
		struct sent *first, *second, *s;
		struct up u;
		unsigned mark;

		rig_set(r, ITSP, "try-timeout", "3s");
		rig_compile(r);
		rig_invite(r, "fov-02", "", sdp_a);
		first = rig_tx(r, "INVITE ");
		rig_pass(r, 3100);
		while (!goes_to(second = rig_find(r, "INVITE "), "203.0.113.21"))
			;
		mark = r->n_sent;
		rig_answer(r, first, late[i], "old", CB, late[i][0] == '2' ? sdp_b : NULL);
		for (unsigned n = mark; n < r->n_sent; n++)
			assert_int_equal(r->sent[n].to.realm, 1); /* A hears nothing of it */
		if (late[i][0] == '2') {
			assert_int_equal(rig_count(r, mark, "ACK "), 1);
			assert_int_equal(rig_count(r, mark, "BYE "), 1);
		} else if (late[i][0] == '1') {
			assert_int_equal(rig_count(r, mark, "CANCEL "), 1);
		}
		r->at = r->n_sent;
		rig_answer(r, second, "200 OK", "btag", CB, sdp_b);
		s = rig_tx(r, "SIP/2.0 200");
		u = rig_up(r, second, s);
		rig_tx(r, "ACK ");
		rig_a_request(r, &u, "fov-02", "ACK", 1, "", NULL);
		rig_hang_up(r, &u, "fov-02", 2);
		assert_int_equal(r->n_rec, 1);
		assert_int_equal(r->rec[0].n_tries, 2);
		assert_int_equal(r->rec[0].tries[0].reason, REASON_PEER_SILENT);
		assert_int_equal(r->rec[0].tries[1].reason, REASON_NONE);
		rig_end(r);
	}
}

static void ring_timeout_counts_for_each_target(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	rig_set(r, ITSP, "ring-timeout", "30s");
	rig_compile(r);
	rig_invite(r, "ring", "", sdp_a);
	s = rig_tx(r, "INVITE ");
	rig_answer(r, s, "180 Ringing", "x", CB, NULL);
	rig_pass(r, 25000);
	rig_answer(r, s, "480 No", "x", "", NULL);
	s = rig_find(r, "INVITE ");
	rig_answer(r, s, "180 Ringing", "y", CB, NULL);
	rig_pass(r, 29000); /* 54 s in all */
	assert_int_equal(r->n_rec, 0);
	rig_pass(r, 1100);
	assert_int_equal(r->rec[0].reason, REASON_NO_ANSWER);
	rig_find(r, "SIP/2.0 480");
	rig_tx(r, "CANCEL ");
	rig_end(r);
}

static void redirections(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;
	unsigned n;

	(void)state;
	/* to the target whose turn would come later: now */
	third_target(r);
	rig_compile(r);
	rig_invite(r, "r1", "", sdp_a);
	rig_answer(r, rig_tx(r, "INVITE "), "302 Moved", "x", "Contact: <sip:+4989998877@203.0.113.22>\n", NULL);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.22"));
	rig_answer(r, s, "503 Off", "x", "", NULL);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.21")); /* the one it overtook is still there */
	rig_answer(r, s, "302 Moved", "x", "Contact: <sip:+4989998877@203.0.113.20>, <sip:+4989998877@203.0.113.22>\n", NULL);
	rig_tx(r, "ACK ");
	rig_find(r, "SIP/2.0 "); /* all have been tried (UAS-08) */
	assert_int_equal(r->rec[0].n_tries, 3);
	rig_end(r);

	/* a chain that never ends: five, then no more */
	r = rig_new();
	rig_invite(r, "r2", "", sdp_a);
	for (n = 0; n < 20 && r->n_rec == 0; n++) {
		char contact[80];

		snprintf(contact, sizeof(contact), "Contact: <sip:+49777%u@203.0.113.20>\n", n);
		s = rig_find(r, "INVITE ");
		rig_answer(r, s, "302 Moved", "x", contact, NULL);
	}
	assert_int_equal(n, 6);
	assert_int_equal(r->rec[0].reason, REASON_REDIRECTED);
	rig_find(r, "SIP/2.0 480");
	rig_end(r);

	/* contacts that are no numbers, no addresses, nothing at all */
	r = rig_new();
	rig_invite(r, "r3", "", sdp_a);
	rig_answer(r, rig_tx(r, "INVITE "), "302 Moved", "x",
	    "Contact: <mailto:x@y>, <sip:203.0.113.20>, \"x\" <tel:0>;q=abc, <sip:\n", NULL);
	rig_find(r, "SIP/2.0 480");
	rig_end(r);
}

/* ACC-02: a trunk that redirects reaches what its routes allow, whatever address it names. */
static void redirection_cannot_reach_a_foreign_trunk(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	/* a second provider in the same realm, to which no route leads */
	r->trunks[2] = r->trunks[ITSP];
	r->trunks[2].id = 3;
	r->trunks[2].name = S("dear");
	r->trunks[2].settings = r->settings[2];
	r->trunks[2].n_settings = 0;
	r->trunks[2].targets = r->targets[2];
	r->trunks[2].n_targets = 1;
	r->targets[2][0] = r->targets[ITSP][0];
	r->targets[2][0].host = S("203.0.113.77");
	r->rows.n_trunks = 3;
	rig_set(r, 2, "probe", "off");
	rig_compile(r);
	rig_invite(r, "acc-02", "", sdp_a);
	rig_answer(r, rig_tx(r, "INVITE "), "302 Moved", "x", "Contact: <sip:+882990000@203.0.113.77>\n", NULL);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "SIP/2.0 480");
	for (unsigned n = 0; n < r->n_sent; n++)
		assert_false(goes_to(&r->sent[n], "203.0.113.77"));
	(void)s;
	rig_end(r);
}

static void over_tcp(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *s;
	struct up u;
	uint32_t conn;

	(void)state;
	r->targets[ITSP][0].transport = S("tcp");
	r->trunks[ITSP].n_targets = 1;
	rig_compile(r);
	/* both legs on connections; A's port is an ephemeral one */
	r->rx_proto = NET_TCP;
	r->rx_conn = 7;
	rig_rx(r, 0, "198.51.100.10:40123", sdp_a,
	    "INVITE sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/TCP 198.51.100.10:5060;branch=z9hG4bKtcp1\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: tcp\n"
	    "CSeq: 1 INVITE\nMax-Forwards: 30\nContact: <sip:alice@198.51.100.10:5060;transport=tcp>\n");
	inv = rig_tx(r, "INVITE ");
	assert_int_equal(inv->to.proto, NET_TCP);
	conn = inv->to.conn;
	assert_non_null(strstr(rig_hdr(r, inv, "Via"), "SIP/2.0/TCP"));
	assert_non_null(strstr(rig_hdr(r, inv, "Contact"), "transport=tcp"));
	rig_answer(r, inv, "200 OK", "btag", "Contact: <sip:bob@203.0.113.20;transport=tcp>\n", sdp_b);
	s = rig_tx(r, "SIP/2.0 200");
	assert_int_equal(s->to.conn, 7); /* on the connection of the request */
	u = rig_up(r, inv, s);
	s = rig_tx(r, "ACK ");
	assert_int_equal(s->to.conn, conn);
	/* the 2xx is repeated on streams, too (13.3.1.4), the INVITE never was */
	rig_pass(r, 600);
	rig_tx(r, "SIP/2.0 200");
	rig_rx(r, 0, "198.51.100.10:40123", NULL,
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/TCP 198.51.100.10:5060;branch=z9hG4bKtcp2\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: tcp\nCSeq: 1 ACK\n",
	    u.a_to_tag);
	/* A opens a new connection from another port: what we send follows it there */
	r->rx_conn = 8;
	rig_rx(r, 0, "198.51.100.10:40999", NULL,
	    "OPTIONS sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/TCP 198.51.100.10:5060;branch=z9hG4bKtcp3\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: tcp\nCSeq: 2 OPTIONS\n",
	    u.a_to_tag);
	s = rig_tx(r, "SIP/2.0 200");
	assert_int_equal(s->to.conn, 8);
	r->rx_proto = NET_TCP;
	r->rx_conn = conn;
	rig_rx(r, 1, "203.0.113.20", NULL,
	    "BYE sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/TCP 203.0.113.20:5060;branch=z9hG4bKtcp4\nFrom: %s;tag=btag\nTo: %s\n"
	    "Call-ID: %s\nCSeq: 1 BYE\n",
	    rig_hdr(r, inv, "To"), rig_hdr(r, inv, "From"), rig_hdr(r, inv, "Call-ID"));
	s = rig_tx(r, "SIP/2.0 200");
	assert_int_equal(s->to.conn, conn);
	s = rig_tx(r, "BYE sip:alice@198.51.100.10:5060;transport=tcp");
	assert_int_equal(s->to.proto, NET_TCP);
	assert_int_equal(s->to.conn, 8);
	assert_true(goes_to(s, "198.51.100.10:5060")); /* should that be gone: to where it listens */
	/* it is gone and does not come back: the leg ends by that */
	b2b_on_failure(r->b2b, &s->to, s->owner, -ECONNREFUSED, STR_NONE);
	rig_pass(r, 3);
	assert_int_equal(b2b_leg_count(r->b2b), 0);
	assert_int_equal(r->n_rec, 1);
	rig_end(r);
}

static void tcp_refused_then_udp_target(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	r->targets[ITSP][0].transport = S("tcp");
	rig_compile(r);
	r->tcp_fails = true;
	rig_invite(r, "tcpfail", "", sdp_a);
	rig_pass(r, 3);
	s = rig_find(r, "INVITE ");
	assert_int_equal(s->to.proto, NET_UDP);
	assert_true(goes_to(s, "203.0.113.21"));
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	assert_int_equal(r->rec[0].tries[0].reason, REASON_TRANSPORT);
	assert_int_equal(r->rec[0].tries[0].proto, NET_TCP);
	rig_end(r);
}

/* a connection that breaks after the INVITE was sent on it, before any answer */
static void connection_lost_while_calling(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;
	uint32_t first;

	(void)state;
	r->targets[ITSP][0].transport = S("tcp");
	rig_compile(r);
	rig_invite(r, "tcplost", "", sdp_a);
	s = rig_tx(r, "INVITE ");
	first = s->to.conn;
	/* once more to the same server on a fresh connection (txn), then the next server */
	b2b_on_failure(r->b2b, &s->to, s->owner, -ECONNRESET, STR_NONE);
	rig_pass(r, 3);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.20"));
	assert_int_not_equal(s->to.conn, first);
	b2b_on_failure(r->b2b, &s->to, s->owner, -ECONNRESET, STR_NONE);
	rig_pass(r, 3);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.21"));
	/* failures of what is long over hurt nobody */
	b2b_on_failure(r->b2b, &s->to, 999999, -ECONNRESET, STR_NONE);
	b2b_on_failure(r->b2b, &s->to, 0, -ECONNREFUSED, S("garbage"));
	/* ICMP for the UDP one brings the datagram's first bytes */
	b2b_on_failure(r->b2b, &s->to, 0, -ECONNREFUSED, str_n(s->text, 200));
	rig_pass(r, 3);
	rig_find(r, "SIP/2.0 500");
	assert_int_equal(r->rec[0].reason, REASON_TRANSPORT);
	rig_end(r);
}

static void four_to_six(void **state)
{
	static const char sdp6[] = "v=0\r\no=bob 9 9 IN IP6 2001:db8:b::20\r\ns=-\r\nc=IN IP6 2001:db8:b::20\r\nt=0 0\r\n"
	                           "m=audio 6000 RTP/AVP 8\r\n";
	struct rig *r = rig_new();
	struct sent *inv, *s;
	struct up u;

	(void)state;
	r->targets[ITSP][0].host = S("2001:db8:b::20");
	r->trunks[ITSP].n_targets = 1;
	rig_compile(r);
	rig_invite(r, "v6", "", sdp_a);
	inv = rig_tx(r, "INVITE sip:+4989998877@[2001:db8:b::20] ");
	assert_non_null(strstr(rig_hdr(r, inv, "Via"), "UDP [2001:db8:b::1]:5060"));
	assert_non_null(strstr(rig_hdr(r, inv, "Contact"), "@[2001:db8:b::1]") ? "" : strstr(rig_hdr(r, inv, "Contact"),
	    "[2001:db8:b::1]"));
	assert_non_null(strstr(rig_body(inv), "c=IN IP6 2001:db8:b::1"));
	assert_null(strstr(inv->text, "198.51.100"));
	rig_answer(r, inv, "200 OK", "btag", "Contact: <sip:bob@[2001:db8:b::20]:5077>\n", sdp6);
	s = rig_tx(r, "SIP/2.0 200");
	assert_non_null(strstr(rig_body(s), "c=IN IP4 198.51.100.1"));
	assert_null(strstr(s->text, "2001:db8"));
	u = rig_up(r, inv, s);
	s = rig_tx(r, "ACK sip:bob@[2001:db8:b::20]:5077");
	assert_true(goes_to(s, "[2001:db8:b::20]:5077"));
	rig_a_request(r, &u, "v6", "ACK", 1, "", NULL);
	/* a re-INVITE keeps each side in its family */
	rig_a_request(r, &u, "v6", "INVITE", 2, CA, play_hold_a);
	s = rig_tx(r, "INVITE ");
	assert_non_null(strstr(rig_body(s), "IN IP6 2001:db8:b::1"));
	rig_answer(r, s, "200 OK", "", "Contact: <sip:bob@[2001:db8:b::20]:5077>\n", sdp6);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 200");
	rig_a_request(r, &u, "v6", "ACK", 2, "", NULL);
	rig_hang_up(r, &u, "v6", 3);
	rig_end(r);
}

static void six_to_four(void **state)
{
	static const char sdp6[] = "v=0\r\no=a 9 9 IN IP6 2001:db8:a::10\r\ns=-\r\nc=IN IP6 2001:db8:a::10\r\nt=0 0\r\n"
	                           "m=audio 6000 RTP/AVP 8\r\n";
	struct rig *r = rig_new();
	struct sent *inv, *s;

	(void)state;
	r->targets[PBX][0].host = S("2001:db8:a::10");
	rig_compile(r);
	rig_rx(r, 0, "[2001:db8:a::10]:5060", sdp6,
	    "INVITE sip:+4989998877@[2001:db8:a::1] SIP/2.0\nVia: SIP/2.0/UDP [2001:db8:a::10]:5060;branch=z9hG4bK64\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@[2001:db8:a::1]>\nCall-ID: v64\n"
	    "CSeq: 1 INVITE\nContact: <sip:alice@[2001:db8:a::10]>\n");
	inv = rig_tx(r, "INVITE sip:+4989998877@203.0.113.20 ");
	assert_non_null(strstr(rig_body(inv), "c=IN IP4 203.0.113.1"));
	rig_answer(r, inv, "200 OK", "btag", CB, sdp_b);
	s = rig_tx(r, "SIP/2.0 200");
	assert_non_null(strstr(rig_body(s), "c=IN IP6 2001:db8:a::1"));
	assert_true(goes_to(s, "[2001:db8:a::10]:5060"));
	assert_non_null(strstr(rig_hdr(r, s, "Contact"), "[2001:db8:a::1]"));
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

static void behind_nat(void **state)
{
	struct rig *r = rig_new();
	struct sent *inv, *s;
	struct up u;

	(void)state;
	rig_set(r, PBX, "nat", "yes");
	rig_compile(r);
	/* LOOP-06: no rport, private Via and Contact: answers and requests go where the packets come from */
	rig_rx(r, 0, "198.51.100.10:40000", sdp_a,
	    "INVITE sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5:5070;branch=z9hG4bKnat\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: nat\n"
	    "CSeq: 1 INVITE\nContact: <sip:alice@10.0.0.5:5070>\n");
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "btag", CB, sdp_b);
	s = rig_tx(r, "SIP/2.0 200");
	assert_true(goes_to(s, "198.51.100.10:40000"));
	rig_tx(r, "ACK ");
	u = rig_up(r, inv, s);
	rig_rx(r, 0, "198.51.100.10:40001", NULL, /* the binding has moved */
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5:5070;branch=z9hG4bKnat2\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: nat\nCSeq: 1 ACK\n",
	    u.a_to_tag);
	rig_rx(r, 0, "198.51.100.10:40002", NULL,
	    "OPTIONS sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5:5070;branch=z9hG4bKnat3\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>;tag=%s\nCall-ID: nat\nCSeq: 2 OPTIONS\n",
	    u.a_to_tag);
	assert_true(goes_to(rig_tx(r, "SIP/2.0 200"), "198.51.100.10:40002"));
	rig_b_request(r, &u, "BYE", 1, "", NULL);
	rig_tx(r, "SIP/2.0 200");
	s = rig_tx(r, "BYE sip:alice@10.0.0.5:5070"); /* the URI stays what they said */
	assert_true(goes_to(s, "198.51.100.10:40002"));
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_end(r);

	/* a late 2xx of a trunk behind NAT is acknowledged and ended where it came from */
	r = rig_new();
	rig_set(r, ITSP, "nat", "yes");
	rig_compile(r);
	rig_invite(r, "nat2", "", sdp_a);
	inv = rig_tx(r, "INVITE ");
	rig_answer(r, inv, "180 Ringing", "btag", "Contact: <sip:bob@10.9.9.9>\n", NULL);
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_answer(r, inv, "200 OK", "btag", "Contact: <sip:bob@10.9.9.9>\n", sdp_b);
	assert_true(goes_to(rig_find(r, "ACK sip:bob@10.9.9.9"), "203.0.113.20:5060"));
	assert_true(goes_to(rig_tx(r, "BYE sip:bob@10.9.9.9"), "203.0.113.20:5060"));
	rig_end(r);
}

/* The policy changes while a call is up: the call keeps its own, new calls get the new one. */
static void policy_changes_during_a_call(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "swap");
	struct sent *s;

	(void)state;
	/* the provider moves; its second target is gone; UPDATE stays known for the old call */
	r->targets[ITSP][0].host = S("203.0.113.90");
	r->trunks[ITSP].n_targets = 1;
	rig_set(r, ITSP, "max-calls", "1");
	rig_compile(r);
	/* from the address the call began with, and from the trunk's new one */
	rig_b_request(r, &u, "INFO", 1, "", NULL);
	rig_answer(r, rig_tx(r, "INFO "), "200 OK", "", "", NULL);
	rig_tx(r, "SIP/2.0 200");
	rig_rx(r, 1, "203.0.113.90", NULL,
	    "INFO sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.90:5060;branch=z9hG4bKsw1\nFrom: %s;tag=btag\nTo: %s\n"
	    "Call-ID: %s\nCSeq: 2 INFO\n",
	    rig_hdr(r, u.invite_b, "To"), rig_hdr(r, u.invite_b, "From"), rig_hdr(r, u.invite_b, "Call-ID"));
	rig_answer(r, rig_tx(r, "INFO "), "200 OK", "", "", NULL);
	rig_tx(r, "SIP/2.0 200");
	/* ACC-03: from an address that was another trunk's: the PBX in the wrong realm, a stranger */
	rig_rx(r, 1, "203.0.113.91", NULL,
	    "BYE sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.91:5060;branch=z9hG4bKsw2\nFrom: %s;tag=btag\nTo: %s\n"
	    "Call-ID: %s\nCSeq: 3 BYE\n",
	    rig_hdr(r, u.invite_b, "To"), rig_hdr(r, u.invite_b, "From"), rig_hdr(r, u.invite_b, "Call-ID"));
	rig_rx(r, 0, "198.51.100.10", NULL,
	    "BYE sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKsw3\nFrom: %s;tag=btag\nTo: %s\n"
	    "Call-ID: %s\nCSeq: 3 BYE\n",
	    rig_hdr(r, u.invite_b, "To"), rig_hdr(r, u.invite_b, "From"), rig_hdr(r, u.invite_b, "Call-ID"));
	assert_int_equal(r->n_rec, 0);
	assert_int_equal(b2b_metric(r->b2b, B2B_STRANGERS), 2);
	/* a new call sees the new limit, with the old call counted */
	r->at = r->n_sent;
	rig_invite(r, "swap2", "", sdp_a);
	s = rig_tx(r, "SIP/2.0 480");
	(void)s;
	assert_int_equal(r->rec[0].reason, REASON_LIMIT_CALLS);
	rig_hang_up(r, &u, "swap", 2);
	rig_invite(r, "swap3", "", sdp_a);
	assert_true(goes_to(rig_find(r, "INVITE "), "203.0.113.90"));
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(r);
}

/* a failover that begins after the swap still walks the old snapshot */
static void failover_after_a_policy_change(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	rig_invite(r, "swapfo", "", sdp_a);
	s = rig_tx(r, "INVITE ");
	r->targets[1][0].host = S("203.0.113.30"); /* moved, and no route leads there */
	r->targets[1][1].host = S("203.0.113.31");
	r->rows.n_routes = 0;
	rig_compile(r);
	rig_answer(r, s, "503 Off", "x", "", NULL);
	rig_tx(r, "ACK ");
	s = rig_tx(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.21"));
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_tx(r, "ACK ");
	rig_tx(r, "SIP/2.0 486");
	assert_string_equal(r->rec[0].trunk_b, "itsp");
	rig_end(r);
}

static void large_message_goes_by_tcp(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "evt-05");
	char body[1251];
	struct sent *s;

	(void)state;
	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	rig_a_request(r, &u, "evt-05", "MESSAGE", 2, "Content-Type: text/plain\n", body);
	s = rig_tx(r, "MESSAGE ");
	assert_int_equal(s->to.proto, NET_TCP); /* EVT-05, LOOP-09 */
	assert_string_equal(rig_hdr(r, s, "Contact"), "");
	assert_string_equal(rig_hdr(r, s, "Content-Type"), "text/plain");
	assert_int_equal(strlen(rig_body(s)), 1250);
	rig_answer(r, s, "202 Accepted", "", "", NULL);
	s = rig_tx(r, "SIP/2.0 202");
	assert_string_equal(rig_hdr(r, s, "Contact"), "");
	/* out of any call: not ours */
	rig_rx(r, 0, "198.51.100.10", "hi",
	    "MESSAGE sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKm1\n"
	    "From: <sip:x@y>;tag=m\nTo: <sip:x@y>\nCall-ID: m1\nCSeq: 1 MESSAGE\nContent-Type: text/plain\n");
	s = rig_tx(r, "SIP/2.0 405");
	assert_true(rig_hdr(r, s, "Allow")[0]);
	rig_hang_up(r, &u, "evt-05", 3);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mixtures_of_failures),
	    cmocka_unit_test(late_answers_of_a_left_target),
	    cmocka_unit_test(ring_timeout_counts_for_each_target),
	    cmocka_unit_test(redirections),
	    cmocka_unit_test(redirection_cannot_reach_a_foreign_trunk),
	    cmocka_unit_test(over_tcp),
	    cmocka_unit_test(tcp_refused_then_udp_target),
	    cmocka_unit_test(connection_lost_while_calling),
	    cmocka_unit_test(four_to_six),
	    cmocka_unit_test(six_to_four),
	    cmocka_unit_test(behind_nat),
	    cmocka_unit_test(policy_changes_during_a_call),
	    cmocka_unit_test(failover_after_a_policy_change),
	    cmocka_unit_test(large_message_goes_by_tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
