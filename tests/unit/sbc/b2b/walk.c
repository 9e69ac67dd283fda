/* walk.c - an INVITE that looks for somebody who takes the call: addresses behind a target, targets of the route. */
#include "rig.h"

#define CONTACT_B "Contact: <sip:bob@203.0.113.20:5060>\n"

static const char *const two[] = {"203.0.113.20:5060", "203.0.113.21:5060", NULL};
static const char *const three[] = {"203.0.113.20:5060", "203.0.113.21:5060", "203.0.113.22:5060", NULL};
static const char *const both[] = {"[2001:db8:b::20]:5060", "203.0.113.20:5060", NULL};

static struct rig *with(const char *const *addrs)
{
	struct rig *r = rig_new();

	rig_server(r, "trunk.example", "a.trunk.example", NET_UDP, addrs);
	rig_named(r, "trunk.example", "udp");
	return r;
}

static bool goes_to(const struct sent *s, const char *addr)
{
	struct addr a = rig_addr(addr);

	return addr_eq(&s->to.remote, &a);
}

static const char *branch_of(struct rig *r, const struct sent *s)
{
	return strstr(rig_hdr(r, s, "Via"), "branch=");
}

/* the INVITE that is out now; the ones before it, and all else to the ITSP, are skipped */
static struct sent *invite_to(struct rig *r, const char *addr)
{
	struct sent *s = rig_find(r, "INVITE ");

	while (!goes_to(s, addr))
		s = rig_find(r, "INVITE ");
	return s;
}

enum how { REFUSED_503, BROKEN, SILENT };

static void fail_it(struct rig *r, struct sent *s, enum how how)
{
	if (how == REFUSED_503)
		rig_answer(r, s, "503 Service Unavailable", "x", "", NULL);
	else if (how == BROKEN)
		b2b_on_failure(r->b2b, &s->to, s->owner, -ECONNREFUSED, STR_NONE);
	else
		rig_pass(r, 4010);
}

/* DNS-05: the next address, a new branch, everything else as it was */
static void next_address_of_the_target(void **state)
{
	(void)state;
	for (int how = REFUSED_503; how <= SILENT; how++) {
		struct rig *r = with(two);
		struct sent *one, *other, *s;
		struct up u;

		rig_invite(r, "dns-05", "", sdp_a);
		one = rig_tx(r, "INVITE ");
		assert_true(goes_to(one, "203.0.113.20:5060"));
		if (how == BROKEN) { /* as the network reports it: for a connection, with the owner */
			struct net_path to = one->to;

			b2b_on_failure(r->b2b, &to, one->owner, -ECONNREFUSED, STR_NONE);
		} else {
			fail_it(r, one, (enum how)how);
		}
		other = invite_to(r, "203.0.113.21:5060");
		assert_string_equal(rig_hdr(r, one, "Call-ID"), rig_hdr(r, other, "Call-ID"));
		assert_string_equal(rig_hdr(r, one, "From"), rig_hdr(r, other, "From"));
		assert_string_equal(rig_hdr(r, one, "To"), rig_hdr(r, other, "To"));
		assert_string_equal(rig_hdr(r, other, "CSeq"), "1 INVITE");
		assert_string_not_equal(branch_of(r, one), branch_of(r, other));
		rig_answer(r, other, "200 OK", "second", "Contact: <sip:bob@203.0.113.21:5060>\n", sdp_b);
		s = rig_find(r, "SIP/2.0 200");
		u = rig_up(r, other, s);
		rig_a_request(r, &u, "dns-05", "ACK", 1, "", NULL);
		rig_hang_up(r, &u, "dns-05", 2);
		assert_int_equal(b2b_metric(r->b2b, B2B_NEXT_WAYS), 1);
		assert_int_equal(b2b_metric(r->b2b, B2B_FAILOVERS), 0);
		assert_int_equal(r->rec[0].n_tries, 2);
		assert_int_equal(r->rec[0].tries[0].reason, how == REFUSED_503 ? REASON_PEER_ERROR
		                                            : how == BROKEN      ? REASON_TRANSPORT
		                                                                 : REASON_PEER_SILENT);
		assert_int_equal(r->rec[0].tries[1].reason, REASON_NONE);
		assert_string_equal(r->rec[0].tries[0].sip_call_id, r->rec[0].tries[1].sip_call_id);
		rig_end(r);
	}
}

/* DNS-05: no other answer moves inside the target; one that is listed goes to the next target, as a new leg */
static void other_answers_stay_or_leave_the_target(void **state)
{
	static const char *const stay[] = {"500 Server Error", "486 Busy Here", "404 Not Found", "408 Request Timeout", "603 No"};
	struct rig *r;
	struct sent *one, *s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(stay); i++) {
		r = with(two);
		rig_set(r, ITSP, "failover-codes", "");
		rig_compile(r);
		rig_invite(r, "stay", "", sdp_a);
		rig_answer(r, rig_tx(r, "INVITE "), stay[i], "x", "", NULL);
		rig_pass(r, 10000);
		assert_int_equal(rig_count(r, 0, "INVITE "), 1);
		rig_end(r);
	}
	r = with(two);
	r->trunks[1].n_targets = 2; /* 203.0.113.21 by number */
	rig_compile(r);
	rig_invite(r, "leave", "", sdp_a);
	one = rig_tx(r, "INVITE ");
	rig_answer(r, one, "480 Unavailable", "x", "", NULL);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.21:5060"));
	assert_string_not_equal(rig_hdr(r, one, "Call-ID"), rig_hdr(r, s, "Call-ID")); /* FOV-02 */
	rig_answer(r, s, "486 Busy", "y", "", NULL);
	rig_end(r);
}

/* what comes late for the one that was left is acknowledged and ended; the call is another's */
static void late_answer_of_a_left_address(void **state)
{
	struct rig *r = with(two);
	struct sent *one, *other, *s, *ack = NULL, *bye = NULL;
	struct up u;
	unsigned mark;

	(void)state;
	rig_invite(r, "late", "", sdp_a);
	one = rig_tx(r, "INVITE ");
	rig_pass(r, 4010);
	other = invite_to(r, "203.0.113.21:5060");
	rig_answer(r, other, "180 Ringing", "second", "Contact: <sip:bob@203.0.113.21:5060>\n", NULL);
	mark = r->n_sent;
	rig_answer(r, one, "200 OK", "first", "Contact: <sip:bob@203.0.113.20:5060>\n", sdp_b);
	for (unsigned i = mark; i < r->n_sent; i++) {
		assert_true(goes_to(&r->sent[i], "203.0.113.20:5060")); /* A hears nothing of it */
		if (strncmp(r->sent[i].text, "ACK ", 4) == 0)
			ack = &r->sent[i];
		else if (strncmp(r->sent[i].text, "BYE ", 4) == 0)
			bye = &r->sent[i];
	}
	assert_non_null(ack);
	assert_non_null(bye);
	assert_non_null(strstr(rig_hdr(r, bye, "To"), ";tag=first"));
	assert_int_equal(b2b_metric(r->b2b, B2B_LATE_2XX), 1);
	rig_answer(r, bye, "200 OK", "", "", NULL);
	rig_answer(r, other, "200 OK", "second", "Contact: <sip:bob@203.0.113.21:5060>\n", sdp_b);
	r->at = mark;
	s = rig_find(r, "SIP/2.0 200");
	u = rig_up(r, other, s);
	rig_a_request(r, &u, "late", "ACK", 1, "", NULL);
	rig_hang_up(r, &u, "late", 2);
	assert_int_equal(r->rec[0].reason, REASON_NORMAL);
	rig_end(r);
}

/* the CANCEL for the one that was left goes out with its first provisional answer */
static void a_left_address_is_cancelled(void **state)
{
	struct rig *r = with(two);
	struct sent *one, *other, *c;

	(void)state;
	rig_invite(r, "left", "", sdp_a);
	one = rig_tx(r, "INVITE ");
	rig_pass(r, 4010);
	other = invite_to(r, "203.0.113.21:5060");
	rig_answer(r, one, "180 Ringing", "first", CONTACT_B, NULL);
	c = rig_find(r, "CANCEL ");
	assert_true(goes_to(c, "203.0.113.20:5060"));
	assert_string_equal(branch_of(r, c), branch_of(r, one));
	assert_int_equal(rig_count(r, 0, "SIP/2.0 180"), 0); /* nor does A hear that */
	rig_answer(r, c, "200 OK", "first", "", NULL);
	rig_answer(r, one, "487 Request Terminated", "first", "", NULL);
	rig_answer(r, other, "486 Busy Here", "second", "", NULL);
	rig_find(r, "SIP/2.0 486");
	rig_end(r);
}

/* early dialogs of the one that was left are forgotten */
static void refused_after_ringing(void **state)
{
	struct rig *r = with(two);
	struct sent *one, *other, *s;
	struct up u;

	(void)state;
	rig_invite(r, "rung", "", sdp_a);
	one = rig_tx(r, "INVITE ");
	rig_answer(r, one, "180 Ringing", "first", "Record-Route: <sip:203.0.113.99;lr>\n" CONTACT_B, NULL);
	rig_find(r, "SIP/2.0 180");
	rig_answer(r, one, "503 No", "first", "", NULL);
	other = invite_to(r, "203.0.113.21:5060");
	assert_string_equal(rig_hdr(r, other, "Route"), "");
	assert_null(strstr(rig_hdr(r, other, "To"), ";tag="));
	rig_answer(r, other, "200 OK", "second", "Contact: <sip:bob@203.0.113.21:5060>\n", sdp_b);
	s = rig_find(r, "SIP/2.0 200");
	u = rig_up(r, other, s);
	rig_a_request(r, &u, "rung", "ACK", 1, "", NULL);
	r->at = 0;
	s = rig_find(r, "ACK sip:bob@203.0.113.21");
	assert_string_equal(rig_hdr(r, s, "Route"), "");
	rig_hang_up(r, &u, "rung", 2);
	rig_end(r);
}

static void early_media_holds_the_call(void **state)
{
	struct rig *r = with(two);
	struct sent *one, *s;

	(void)state;
	rig_invite(r, "early", "", sdp_a);
	one = rig_tx(r, "INVITE ");
	rig_answer(r, one, "183 Session Progress", "first", CONTACT_B, sdp_b);
	rig_answer(r, one, "503 No", "first", "", NULL);
	s = rig_find(r, "SIP/2.0 500"); /* FOV-03: 503 is never relayed */
	(void)s;
	assert_int_equal(rig_count(r, 0, "INVITE "), 1);
	rig_end(r);
}

static void every_address_refuses(void **state)
{
	struct rig *r = with(three);

	(void)state;
	rig_invite(r, "all", "", sdp_a);
	for (int i = 0; i < 3; i++)
		rig_answer(r, rig_find(r, "INVITE "), "503 No", "x", "", NULL);
	rig_find(r, "SIP/2.0 500"); /* FOV-03 */
	assert_int_equal(rig_count(r, 0, "SIP/2.0 503"), 0);
	assert_int_equal(r->rec[0].n_tries, 3);
	assert_int_equal(r->rec[0].reason, REASON_PEER_ERROR);
	rig_end(r);
}

static void all_tries_together_have_a_budget(void **state)
{
	struct rig *r = with(three);
	struct sent *s;

	(void)state;
	rig_set(r, ITSP, "setup-budget", "6s");
	rig_compile(r);
	rig_invite(r, "budget", "", sdp_a);
	rig_pass(r, 5990);
	assert_int_equal(rig_count(r, 0, "SIP/2.0 408"), 0);
	rig_pass(r, 20);
	rig_find(r, "SIP/2.0 408");
	assert_int_equal(r->rec[0].reason, REASON_SETUP_BUDGET);
	assert_int_equal(r->rec[0].n_tries, 2);
	assert_int_equal(r->rec[0].tries[1].reason, REASON_PEER_SILENT);
	rig_end(r);

	/* who answers by then is not cut */
	r = with(three);
	rig_set(r, ITSP, "setup-budget", "6s");
	rig_compile(r);
	rig_invite(r, "budget", "", sdp_a);
	rig_pass(r, 4010);
	s = invite_to(r, "203.0.113.21:5060");
	rig_answer(r, s, "100 Trying", "", "", NULL);
	rig_pass(r, 30000);
	assert_int_equal(r->n_rec, 0);
	rig_answer(r, s, "486 Busy", "y", "", NULL);
	rig_find(r, "SIP/2.0 486");
	rig_end(r);
}

/* When the time for all tries is over nobody else is tried: not the next address, and not the next target. */
static void after_the_budget_nobody_else_is_tried(void **state)
{
	struct sent *s;
	struct rig *r;

	(void)state;
	for (int target = 0; target < 2; target++) {
		r = with(three);
		rig_set(r, ITSP, "setup-budget", "6s");
		r->trunks[1].n_targets = 1u + (unsigned)target; /* 203.0.113.21 by number */
		rig_compile(r);
		rig_invite(r, "late", "", sdp_a);
		s = rig_tx(r, "INVITE ");
		rig_answer(r, s, "100 Trying", "", "", NULL);
		rig_pass(r, 6100);
		rig_answer(r, s, target ? "480 Unavailable" : "503 Service Unavailable", "x", "", NULL);
		rig_find(r, target ? "SIP/2.0 480" : "SIP/2.0 500");
		assert_int_equal(rig_count(r, 0, "INVITE "), 1);
		assert_int_equal(r->rec[0].n_tries, 1);
		rig_end(r);
	}
	/* in time they are */
	r = with(three);
	rig_set(r, ITSP, "setup-budget", "6s");
	rig_compile(r);
	rig_invite(r, "in-time", "", sdp_a);
	s = rig_tx(r, "INVITE ");
	rig_answer(r, s, "100 Trying", "", "", NULL);
	rig_pass(r, 5900);
	rig_answer(r, s, "503 Service Unavailable", "x", "", NULL);
	rig_answer(r, invite_to(r, "203.0.113.21:5060"), "486 Busy", "x", "", NULL);
	rig_end(r);
	/* one that may be silent for longer than all together */
	r = with(three);
	rig_set(r, ITSP, "setup-budget", "2s");
	rig_set(r, ITSP, "try-timeout", "10s");
	rig_compile(r);
	rig_invite(r, "silent", "", sdp_a);
	rig_pass(r, 10100);
	for (unsigned i = 0; i < r->n_sent; i++)
		assert_true(strncmp(r->sent[i].text, "INVITE ", 7) != 0 || goes_to(&r->sent[i], "203.0.113.20:5060"));
	rig_find(r, "SIP/2.0 408");
	rig_end(r);
}

/* "itsp" and behind it, in the same route, "other" at 203.0.113.30 */
static struct rig *two_trunks(void)
{
	struct rig *r = rig_new();

	r->trunks[2] = r->trunks[1];
	r->trunks[2].id = 3;
	r->trunks[2].name = S("other");
	r->targets[2][0] = r->targets[1][0];
	r->targets[2][0].host = S("203.0.113.30");
	r->trunks[2].targets = r->targets[2];
	r->trunks[1].n_targets = r->trunks[2].n_targets = 1;
	r->rows.n_trunks = 3;
	r->via[0][1] = (struct db_route_via){.trunk_id = 3, .priority = 2, .weight = 1};
	r->routes[0].n_via = 2;
	return r;
}

/* A trunk that is being emptied gets no call, be it the only one of the route or one of several; nor when that began
 * while the call was on its way to it. */
static void a_draining_trunk_gets_no_call(void **state)
{
	struct rig *r = two_trunks();
	struct sent *s;

	(void)state;
	r->trunks[1].admin = DB_DRAINING;
	rig_compile(r);
	rig_invite(r, "first", "", sdp_a);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.30:5060"));
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	assert_int_equal(rig_count(r, 0, "INVITE "), 1);
	rig_end(r);

	r = two_trunks();
	r->trunks[1].admin = DB_DRAINING;
	r->routes[0].n_via = 1;
	rig_compile(r);
	rig_invite(r, "only", "", sdp_a);
	rig_find(r, "SIP/2.0 480");
	assert_int_equal(r->rec[0].reason, REASON_TRUNK_DRAINING);
	assert_int_equal(rig_count(r, 0, "INVITE "), 0);
	rig_end(r);

	r = two_trunks();
	rig_compile(r);
	rig_invite(r, "meanwhile", "", sdp_a);
	s = rig_tx(r, "INVITE ");
	r->trunks[2].admin = DB_DRAINING;
	rig_compile(r);
	rig_answer(r, s, "503 Service Unavailable", "x", "", NULL);
	rig_find(r, "SIP/2.0 500");
	assert_int_equal(r->rec[0].tries[1].reason, REASON_TRUNK_DRAINING);
	assert_int_equal(rig_count(r, 0, "INVITE "), 1);
	rig_end(r);
}

/* one that answers 100 is given the time it needs; the one place there is has timer B */
static void an_answer_stops_the_clock(void **state)
{
	static const char *const one[] = {"203.0.113.20:5060", NULL};
	struct rig *r = with(two);
	struct sent *s;

	(void)state;
	rig_invite(r, "wait", "", sdp_a);
	s = rig_tx(r, "INVITE ");
	rig_answer(r, s, "100 Trying", "", "", NULL);
	rig_pass(r, 30000);
	assert_int_equal(rig_count(r, 0, "INVITE "), 1);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);

	r = with(one);
	rig_invite(r, "alone", "", sdp_a);
	rig_pass(r, 31900);
	assert_int_equal(r->n_rec, 0);
	rig_pass(r, 200);
	assert_int_equal(r->n_rec, 1);
	assert_int_equal(r->rec[0].reason, REASON_PEER_SILENT);
	rig_end(r);
}

/* UAS-07, DNS-08: left alone for the time it asked for, without a try per call */
static void retry_after_is_obeyed(void **state)
{
	struct rig *r = with(two);
	struct sent *s;

	(void)state;
	rig_invite(r, "ra-1", "", sdp_a);
	rig_answer(r, rig_tx(r, "INVITE "), "503 No", "x", "Retry-After: 90\n", NULL);
	rig_answer(r, invite_to(r, "203.0.113.21:5060"), "486 Busy", "y", "", NULL);
	rig_find(r, "SIP/2.0 486");
	rig_pass(r, 80000);
	rig_invite(r, "ra-2", "", sdp_a);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.21:5060"));
	rig_answer(r, s, "503 No", "y", "Retry-After: 90\n", NULL);
	rig_find(r, "SIP/2.0 500");
	/* both asked for it: nobody is disturbed, not even once a second */
	rig_invite(r, "ra-3", "", sdp_a);
	s = rig_find(r, "SIP/2.0 500");
	assert_non_null(strstr(rig_hdr(r, s, "Reason"), "PSN-E1036"));
	assert_int_equal(r->rec[2].reason, REASON_TARGET_DOWN);
	rig_pass(r, 11000);
	rig_invite(r, "ra-4", "", sdp_a);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.20:5060"));
	rig_answer(r, s, "486 Busy", "z", "", NULL);
	rig_end(r);
}

/* all are down for failures of their own: one call a second finds out whether they still are */
static void the_last_resort(void **state)
{
	struct rig *r = with(two);
	struct b2b_trunk_info info;
	char call_id[16];
	unsigned invites;

	(void)state;
	for (int i = 0; i < 3; i++) {
		snprintf(call_id, sizeof(call_id), "lr-%d", i);
		rig_invite(r, call_id, "", sdp_a);
		rig_answer(r, rig_find(r, "INVITE "), "503 No", "x", "", NULL);
		rig_answer(r, rig_find(r, "INVITE "), "503 No", "y", "", NULL);
	}
	b2b_trunk_info(r->b2b, 2, &info);
	assert_int_equal(info.targets_down, 1);
	invites = rig_count(r, 0, "INVITE ");
	rig_invite(r, "lr-a", "", sdp_a);
	assert_int_equal(rig_count(r, 0, "INVITE "), invites + 1);
	rig_answer(r, rig_find(r, "INVITE "), "503 No", "x", "", NULL);
	rig_invite(r, "lr-b", "", sdp_a); /* within the second */
	assert_int_equal(rig_count(r, 0, "INVITE "), invites + 1);
	assert_int_equal(r->rec[4].reason, REASON_TARGET_DOWN);
	rig_pass(r, 1100);
	rig_invite(r, "lr-c", "", sdp_a);
	assert_int_equal(rig_count(r, 0, "INVITE "), invites + 2);
	rig_answer(r, rig_find(r, "INVITE "), "486 Busy", "z", "", NULL); /* it is back */
	rig_invite(r, "lr-d", "", sdp_a);
	rig_answer(r, rig_find(r, "INVITE "), "486 Busy", "z", "", NULL);
	b2b_trunk_info(r->b2b, 2, &info);
	assert_int_equal(info.targets_down, 0);
	rig_end(r);
}

/* HE-03: AAAA leads nowhere, and nobody answers OPTIONS. The call costs 250 ms once, exactly one INVITE is heard, the next
 * call costs nothing. */
static void black_holed_family(void **state)
{
	struct rig *r = with(both);
	struct sent *s, *probe6, *probe4;
	int64_t began;

	(void)state;
	/* a call before the probes could say anything */
	began = r->clock.mono_us;
	rig_invite(r, "he-1", "", sdp_a);
	assert_int_equal(rig_count(r, 0, "OPTIONS "), 2);
	rig_pass(r, 98);
	assert_int_equal(rig_count(r, 0, "INVITE "), 0);
	rig_pass(r, 5);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "[2001:db8:b::20]:5060"));
	assert_non_null(strstr(rig_body(s), "IN IP6"));
	/* neither answers OPTIONS: maybe both are slow, and it would ring twice */
	rig_pass(r, 900);
	s = invite_to(r, "[2001:db8:b::20]:5060"); /* its copy */
	assert_int_equal(rig_count(r, 0, "INVITE "), 2);
	rig_pass(r, 170);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.20:5060"));
	assert_in_range(s->at_us - began, 1100000, 1160000);
	assert_null(strstr(rig_body(s), "IN IP6"));
	assert_non_null(strstr(rig_hdr(r, s, "Contact"), "203.0.113.1"));
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_find(r, "SIP/2.0 486");
	rig_pass(r, 5000);
	/* HE-04 */
	began = r->clock.mono_us;
	rig_invite(r, "he-2", "", sdp_a);
	do /* copies of the first one still go to where nobody is */
		s = rig_find(r, "INVITE ");
	while (s->at_us < began);
	assert_true(goes_to(s, "203.0.113.20:5060"));
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);

	/* the usual case: both were asked when the name appeared, and only one answered */
	r = with(both);
	rig_pass(r, 10);
	probe6 = rig_find(r, "OPTIONS ");
	probe4 = rig_find(r, "OPTIONS ");
	if (goes_to(probe6, "203.0.113.20:5060")) {
		s = probe6;
		probe6 = probe4;
		probe4 = s;
	}
	assert_true(goes_to(probe6, "[2001:db8:b::20]:5060"));
	rig_answer(r, probe4, "405 Method Not Allowed", "x", "", NULL); /* DNS-09: alive */
	rig_invite(r, "he-3", "", sdp_a);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.20:5060"));
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);
}

static struct sent *options_to(struct rig *r, const char *addr)
{
	for (unsigned i = 0; i < r->n_sent; i++)
		if (strncmp(r->sent[i].text, "OPTIONS ", 8) == 0 && goes_to(&r->sent[i], addr))
			return &r->sent[i];
	fail();
	return NULL;
}

/* HE-03: both are asked before the first INVITE, and only the one that answered gets it */
static void the_family_that_answers_gets_the_invite(void **state)
{
	struct rig *r = with(both);
	struct sent *s;
	int64_t began;

	(void)state;
	began = r->clock.mono_us;
	rig_invite(r, "ask", "", sdp_a);
	rig_pass(r, 20);
	rig_answer(r, options_to(r, "203.0.113.20:5060"), "200 OK", "x", "", NULL);
	rig_pass(r, 35); /* IPv6 is preferred, and may be a little later */
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.20:5060"));
	assert_in_range(s->at_us - began, 45000, 55000);
	assert_null(strstr(rig_body(s), "IN IP6"));
	/* silent now: after try-timeout the other one is tried, not the same one again */
	rig_pass(r, 3900);
	assert_int_equal(rig_count(r, 0, "INVITE "), 4); /* and copies */
	rig_pass(r, 200);
	s = invite_to(r, "[2001:db8:b::20]:5060");
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	assert_int_equal(r->rec[0].n_tries, 2);
	assert_false(addr_is6(&r->rec[0].tries[0].addr));
	assert_true(addr_is6(&r->rec[0].tries[1].addr));
	rig_end(r);

	/* the preferred one answers: at once */
	r = with(both);
	began = r->clock.mono_us;
	rig_invite(r, "six", "", sdp_a);
	rig_pass(r, 20);
	rig_answer(r, options_to(r, "203.0.113.20:5060"), "200 OK", "x", "", NULL);
	rig_pass(r, 10);
	rig_answer(r, options_to(r, "[2001:db8:b::20]:5060"), "403 Forbidden", "x", "", NULL);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "[2001:db8:b::20]:5060"));
	assert_in_range(s->at_us - began, 29000, 35000);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);

	/* ICMP: the port of the preferred one is closed */
	r = with(both);
	began = r->clock.mono_us;
	rig_invite(r, "icmp", "", sdp_a);
	s = options_to(r, "[2001:db8:b::20]:5060");
	b2b_on_failure(r->b2b, &s->to, s->owner, -ECONNREFUSED, STR_NONE);
	rig_answer(r, options_to(r, "203.0.113.20:5060"), "200 OK", "x", "", NULL);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.20:5060"));
	assert_int_equal(s->at_us, began);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);
}

/* a far end that is slow: its answer to OPTIONS, after the INVITE went out, is enough to stay with it */
static void a_slow_family_is_not_left(void **state)
{
	struct rig *r = with(both);
	struct sent *s;

	(void)state;
	rig_invite(r, "slow", "", sdp_a);
	rig_pass(r, 110);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "[2001:db8:b::20]:5060"));
	rig_pass(r, 90);
	rig_answer(r, options_to(r, "[2001:db8:b::20]:5060"), "200 OK", "x", "", NULL);
	rig_answer(r, options_to(r, "203.0.113.20:5060"), "200 OK", "x", "", NULL);
	rig_pass(r, 100);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_find(r, "SIP/2.0 486");
	assert_int_equal(rig_count(r, 0, "INVITE "), 1);
	rig_end(r);
}

/* HE-03: two slow families are not two calls: no answer of either within the time in which another one would be tried */
static void two_slow_families_get_one_invite(void **state)
{
	struct rig *r = with(both);
	struct sent *s;

	(void)state;
	rig_invite(r, "slow-2", "", sdp_a);
	rig_pass(r, 105);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "[2001:db8:b::20]:5060"));
	rig_pass(r, 700); /* way there and back */
	rig_answer(r, options_to(r, "[2001:db8:b::20]:5060"), "200 OK", "x", "", NULL);
	rig_answer(r, options_to(r, "203.0.113.20:5060"), "200 OK", "x", "", NULL);
	rig_pass(r, 600);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_find(r, "SIP/2.0 486");
	for (unsigned i = 0; i < r->n_sent; i++)
		if (strncmp(r->sent[i].text, "INVITE ", 7) == 0)
			assert_true(goes_to(&r->sent[i], "[2001:db8:b::20]:5060")); /* it and its copies */
	assert_int_equal(b2b_metric(r->b2b, B2B_NEXT_WAYS), 0);
	rig_end(r);
}

/* the INVITE went into a void, and then the other family is heard: there is nothing more to wait for */
static void the_other_family_is_heard_later(void **state)
{
	struct rig *r = with(both);
	struct sent *s;
	int64_t began;

	(void)state;
	began = r->clock.mono_us;
	rig_invite(r, "later", "", sdp_a);
	rig_pass(r, 180);
	rig_answer(r, options_to(r, "203.0.113.20:5060"), "200 OK", "x", "", NULL);
	rig_pass(r, 80);
	s = invite_to(r, "203.0.113.20:5060");
	assert_in_range(s->at_us - began, 249000, 256000);
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);
}

/* over before anybody answered: what comes then is nobody's */
static void given_up_while_both_are_asked(void **state)
{
	struct rig *r = with(both);

	(void)state;
	rig_invite(r, "gone", "", sdp_a);
	rig_cancel(r, r->branch, "gone", "");
	assert_int_equal(b2b_leg_count(r->b2b), 0);
	rig_answer(r, options_to(r, "203.0.113.20:5060"), "200 OK", "x", "", NULL);
	rig_pass(r, 1000);
	assert_int_equal(rig_count(r, 0, "INVITE "), 0);
	rig_end(r);
}

/* over streams the two families race while connecting; one INVITE, and the dialog lives where it arrived */
static void families_over_tcp_race(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;
	struct up u;
	char alt[ADDR_TEXT_MAX];

	(void)state;
	rig_server(r, "trunk.example", "a.trunk.example", NET_TCP, both);
	rig_named(r, "trunk.example", "tcp");
	r->race_won = "203.0.113.20:5060";
	rig_invite(r, "race", "", sdp_a);
	s = rig_find(r, "INVITE ");
	assert_int_equal(r->n_prepared, 1);
	assert_string_equal(addr_text(&r->raced, alt), "203.0.113.20:5060");
	assert_true(goes_to(s, "203.0.113.20:5060"));
	assert_null(strstr(rig_body(s), "IN IP6")); /* a connection was there already: its family */
	rig_answer(r, s, "200 OK", "b", CONTACT_B, sdp_b);
	u = rig_up(r, s, rig_find(r, "SIP/2.0 200"));
	rig_a_request(r, &u, "race", "ACK", 1, "", NULL);
	assert_int_equal(rig_count(r, 0, "INVITE "), 1);
	rig_hang_up(r, &u, "race", 2);
	assert_int_equal(r->rec[0].n_tries, 1);
	rig_end(r);
}

static struct rig *racing(void)
{
	struct rig *r = rig_new();

	rig_server(r, "trunk.example", "a.trunk.example", NET_TCP, both);
	rig_named(r, "trunk.example", "tcp");
	rig_pass(r, 10); /* each is asked by itself, which tells nothing here: nobody answers yet */
	assert_int_equal(rig_count(r, 0, "OPTIONS "), 2);
	r->at = r->n_sent;
	return r;
}

/* while the connection is on its way nothing is sent: the INVITE is written for the family that was up first */
static void the_other_family_wins_the_race(void **state)
{
	struct rig *r = racing();
	struct sent *s, *bye;
	struct up u;

	(void)state;
	rig_invite(r, "race", "", sdp_a);
	rig_pass(r, 300);
	assert_int_equal(r->n_sent, r->at + 1); /* 100 to the caller */
	rig_flow_up(r, "203.0.113.20:5060");
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.20:5060"));
	assert_int_equal(s->to.conn, r->prepared.conn);
	assert_null(strstr(s->text, "IN IP6"));
	assert_non_null(strstr(rig_hdr(r, s, "Contact"), "203.0.113.1:5060"));
	rig_answer(r, s, "200 OK", "b", "Contact: <sip:bob@host.example>\n", sdp_b);
	u = rig_up(r, s, rig_find(r, "SIP/2.0 200"));
	rig_a_request(r, &u, "race", "ACK", 1, "", NULL);
	rig_a_request(r, &u, "race", "BYE", 2, "", NULL);
	bye = rig_find(r, "BYE ");
	assert_true(goes_to(bye, "203.0.113.20:5060"));
	rig_answer(r, bye, "200 OK", "", "", NULL);
	assert_int_equal(rig_count(r, 0, "INVITE "), 1);
	assert_int_equal(r->rec[0].n_tries, 1);
	assert_false(addr_is6(&r->rec[0].tries[0].addr));
	/* the next call knows */
	r->race_won = "203.0.113.20:5060";
	rig_invite(r, "next", "", sdp_a);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.20:5060"));
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	rig_end(r);
}

static void nobody_wins_the_race(void **state)
{
	struct rig *r = racing();
	struct sent *s;

	(void)state;
	r->trunks[1].n_targets = 2; /* 203.0.113.21 by number */
	rig_compile(r);
	rig_invite(r, "none", "", sdp_a);
	b2b_on_flow_lost(r->b2b, &r->prepared, -ECONNREFUSED);
	s = rig_find(r, "INVITE ");
	assert_true(goes_to(s, "203.0.113.21:5060"));
	rig_answer(r, s, "486 Busy", "x", "", NULL);
	assert_int_equal(r->rec[0].tries[0].reason, REASON_TRANSPORT);
	assert_int_equal(rig_count(r, 0, "INVITE "), 1);
	rig_end(r);
}

/* a far end that answers no OPTIONS, which nobody needs: the connection says it all */
static void options_are_not_answered(void **state)
{
	struct rig *r = racing();
	struct sent *s;
	int64_t began;

	(void)state;
	for (int i = 0; i < 2; i++) {
		began = r->clock.mono_us;
		rig_invite(r, i ? "mute-2" : "mute", "", sdp_a);
		rig_flow_up(r, "[2001:db8:b::20]:5060");
		s = rig_find(r, "INVITE ");
		assert_true(goes_to(s, "[2001:db8:b::20]:5060"));
		assert_int_equal(s->at_us, began);
		rig_answer(r, s, "486 Busy", "x", "", NULL);
		rig_find(r, "SIP/2.0 486");
		rig_pass(r, 5000); /* now the probes have failed as well */
	}
	rig_end(r);
}

/* the caller gives up, or the call is cleared, while the connection is on its way */
static void given_up_before_the_connection(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		struct rig *r = racing();

		rig_invite(r, "gone", "", sdp_a);
		if (how == 0)
			rig_cancel(r, r->branch, "gone", "");
		else
			call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, how == 2);
		assert_int_equal(b2b_leg_count(r->b2b), 0);
		rig_flow_up(r, "203.0.113.20:5060"); /* nobody's */
		b2b_on_flow_lost(r->b2b, &r->prepared, -ECONNRESET);
		rig_pass(r, 10000);
		assert_int_equal(rig_count(r, 0, "INVITE "), 0);
		rig_end(r);
	}
}

static struct up answered_with(struct rig *r, const char *call_id, const char *lines)
{
	struct sent *inv;
	struct up u;

	rig_invite(r, call_id, "", sdp_a);
	inv = rig_find(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "btag", lines, sdp_b);
	u = rig_up(r, inv, rig_find(r, "SIP/2.0 200"));
	rig_a_request(r, &u, call_id, "ACK", 1, "", NULL);
	return u;
}

/* DNS-06: the Record-Route names the trunk's domain; BYE goes to its second server after the first died */
static void bye_to_the_next_server(void **state)
{
	(void)state;
	for (int how = REFUSED_503; how <= SILENT; how++) {
		struct rig *r = with(two);
		struct up u = answered_with(r, "dns-06", "Record-Route: <sip:trunk.example;lr>\n" CONTACT_B);
		struct sent *bye, *again;

		rig_a_request(r, &u, "dns-06", "BYE", 2, "Reason: Q.850;cause=16\n", NULL);
		bye = rig_find(r, "BYE ");
		assert_true(goes_to(bye, "203.0.113.20:5060"));
		assert_non_null(strstr(rig_hdr(r, bye, "Route"), "trunk.example"));
		fail_it(r, bye, (enum how)how);
		do
			again = rig_find(r, "BYE ");
		while (goes_to(again, "203.0.113.20:5060"));
		assert_true(goes_to(again, "203.0.113.21:5060"));
		assert_string_equal(rig_hdr(r, again, "CSeq"), rig_hdr(r, bye, "CSeq"));
		assert_string_equal(rig_hdr(r, again, "Reason"), rig_hdr(r, bye, "Reason"));
		assert_string_not_equal(branch_of(r, again), branch_of(r, bye));
		rig_answer(r, again, "200 OK", "", "", NULL);
		assert_int_equal(b2b_leg_count(r->b2b), 0);
		rig_end(r);
	}
}

/* DNS-06: so does what is carried over; several at a time do not take each other's places */
static void info_to_the_next_server(void **state)
{
	struct sent *one, *other, *also;
	struct rig *r;
	struct up u;

	(void)state;
	for (int how = REFUSED_503; how <= SILENT; how++) {
		r = with(two);
		u = answered_with(r, "info", "Record-Route: <sip:trunk.example;lr>\n" CONTACT_B);
		rig_a_request(r, &u, "info", "INFO", 2, "Content-Type: application/dtmf-relay\nX-Not: passed\n", "Signal=5\r\n");
		one = rig_find(r, "INFO ");
		rig_a_request(r, &u, "info", "MESSAGE", 3, "Content-Type: text/plain\n", "hello");
		also = rig_find(r, "MESSAGE ");
		assert_true(goes_to(one, "203.0.113.20:5060") && goes_to(also, "203.0.113.20:5060"));
		fail_it(r, one, (enum how)how);
		r->at = 0;
		do
			other = rig_find(r, "INFO ");
		while (goes_to(other, "203.0.113.20:5060"));
		assert_true(goes_to(other, "203.0.113.21:5060"));
		assert_string_equal(rig_hdr(r, other, "CSeq"), rig_hdr(r, one, "CSeq"));
		assert_string_equal(rig_hdr(r, other, "Content-Type"), "application/dtmf-relay");
		assert_string_equal(rig_body(other), "Signal=5\r\n");
		assert_string_not_equal(branch_of(r, other), branch_of(r, one));
		if (how != SILENT)
			fail_it(r, also, (enum how)how);
		r->at = 0;
		do
			also = rig_find(r, "MESSAGE ");
		while (goes_to(also, "203.0.113.20:5060"));
		assert_true(goes_to(also, "203.0.113.21:5060")); /* not back to the one that failed for the other */
		assert_string_equal(rig_body(also), "hello");
		rig_answer(r, other, "200 OK", "", "", NULL);
		rig_answer(r, also, "202 Accepted", "", "", NULL);
		rig_find(r, "SIP/2.0 202");
		assert_int_equal(rig_count(r, 0, "SIP/2.0 500"), 0);
		rig_hang_up(r, &u, "info", 4);
		rig_end(r);
	}
	/* nobody is left; and a number names one place only */
	for (int number = 0; number < 2; number++) {
		r = with(two);
		u = answered_with(r, "info", number ? CONTACT_B : "Record-Route: <sip:trunk.example;lr>\n" CONTACT_B);
		rig_a_request(r, &u, "info", "INFO", 2, "", NULL);
		for (int i = 0; i < 2 - number; i++) {
			one = rig_find(r, "INFO ");
			b2b_on_failure(r->b2b, &one->to, one->owner, -ECONNREFUSED, STR_NONE);
		}
		rig_find(r, "SIP/2.0 500");
		assert_int_equal(rig_count(r, 0, "INFO "), 2 - number);
		rig_hang_up(r, &u, "info", 3);
		rig_end(r);
	}
}

/* both are dead: the leg ends all the same, after each was asked once */
static void bye_to_nobody(void **state)
{
	struct rig *r = with(two);
	struct up u = answered_with(r, "nobody", "Record-Route: <sip:trunk.example;lr>\n" CONTACT_B);

	(void)state;
	rig_a_request(r, &u, "nobody", "BYE", 2, "", NULL);
	for (int i = 0; i < 2; i++) {
		struct sent *bye = rig_find(r, "BYE ");

		b2b_on_failure(r->b2b, &bye->to, bye->owner, -ECONNREFUSED, STR_NONE);
	}
	assert_int_equal(b2b_leg_count(r->b2b), 0);
	rig_end(r);
}

static void reinvite_to_the_next_server(void **state)
{
	(void)state;
	for (int how = REFUSED_503; how <= BROKEN; how++) {
		struct rig *r = with(two);
		struct up u = answered_with(r, "re", "Record-Route: <sip:trunk.example;lr>\n" CONTACT_B);
		struct sent *one, *other;

		rig_a_request(r, &u, "re", "INVITE", 2, "Contact: <sip:alice@198.51.100.10:5060>\n", sdp_a);
		one = rig_find(r, "INVITE ");
		fail_it(r, one, (enum how)how);
		other = invite_to(r, "203.0.113.21:5060");
		assert_string_equal(rig_hdr(r, other, "CSeq"), rig_hdr(r, one, "CSeq"));
		assert_string_equal(rig_body(other), rig_body(one));
		rig_answer(r, other, "200 OK", "", CONTACT_B, sdp_b);
		rig_find(r, "SIP/2.0 200");
		rig_a_request(r, &u, "re", "ACK", 2, "", NULL);
		/* and what follows stays with the one that lives */
		rig_a_request(r, &u, "re", "BYE", 3, "", NULL);
		other = rig_find(r, "BYE ");
		assert_true(goes_to(other, "203.0.113.21:5060"));
		rig_answer(r, other, "200 OK", "", "", NULL);
		assert_int_equal(r->rec[0].reason, REASON_NORMAL);
		rig_end(r);
	}
}

/* names that are not the trunk's are not looked up, whatever a far end writes: where the dialog lives */
static void foreign_names_lead_nowhere(void **state)
{
	struct rig *r = with(two);
	struct up u = answered_with(r, "foreign", "Record-Route: <sip:evil.example;lr>\n" CONTACT_B);
	struct sent *bye;

	(void)state;
	rig_a_request(r, &u, "foreign", "BYE", 2, "", NULL);
	bye = rig_find(r, "BYE ");
	assert_true(goes_to(bye, "203.0.113.20:5060"));
	rig_answer(r, bye, "200 OK", "", "", NULL);
	rig_end(r);
}

/* a 3xx that names a server of the redirecting trunk is taken at its word */
static void redirected_to_a_name_of_its_own(void **state)
{
	struct rig *r = with(two);
	struct sent *one, *s;

	(void)state;
	rig_invite(r, "moved", "", sdp_a);
	one = rig_find(r, "INVITE ");
	rig_answer(r, one, "302 Moved", "x", "Contact: <sip:+4989998899@trunk.example>\n", NULL);
	s = rig_find(r, "INVITE sip:+4989998899@");
	rig_answer(r, s, "486 Busy", "y", "", NULL);
	rig_end(r);
}

static void a_name_without_anything_behind_it(void **state)
{
	struct rig *r = rig_new();
	struct b2b_explain *e = calloc(1, sizeof(*e));

	(void)state;
	rig_named(r, "nowhere.example", "udp");
	rig_invite(r, "none", "", sdp_a);
	rig_find(r, "SIP/2.0 500");
	assert_int_equal(r->rec[0].reason, REASON_NAME_UNRESOLVED);
	b2b_explain(r->b2b, policy_trunk(r->policy, 1), S("+49301234501"), S("+4989998877"), e);
	assert_int_equal(e->reason, REASON_NAME_UNRESOLVED);
	assert_int_equal(e->n_ways, 1);
	free(e);
	rig_end(r);
}

static void explain_shows_the_places(void **state)
{
	struct rig *r = with(two);
	struct b2b_explain *e = calloc(1, sizeof(*e));
	char text[ADDR_TEXT_MAX];

	(void)state;
	rig_invite(r, "x", "", sdp_a);
	rig_answer(r, rig_find(r, "INVITE "), "503 No", "x", "Retry-After: 90\n", NULL);
	rig_answer(r, rig_find(r, "INVITE "), "486 Busy", "y", "", NULL);
	b2b_explain(r->b2b, policy_trunk(r->policy, 1), S("+49301234501"), S("+4989998877"), e);
	assert_int_equal(e->reason, REASON_NONE);
	assert_int_equal(e->n_ways, 2);
	for (unsigned i = 0; i < 2; i++) {
		bool down = strcmp(addr_text(&e->ways[i].addr, text), "203.0.113.20:5060") == 0;

		assert_string_equal(e->ways[i].server, "a.trunk.example");
		assert_int_equal(e->ways[i].state, down ? TARGET_DOWN : TARGET_UP);
		assert_int_equal(e->ways[i].why, down ? REASON_PEER_ERROR : REASON_NONE);
	}
	assert_non_null(strstr(e->message, "INVITE sip:+4989998877@trunk.example SIP/2.0"));
	free(e);
	rig_end(r);
}

/* no call makes more INVITEs than it may, whatever stands behind a name */
static void tries_are_bounded(void **state)
{
	static const char *const many[] = {"203.0.113.30:5060", "203.0.113.31:5060", "203.0.113.32:5060", NULL};
	struct rig *r = rig_new();
	unsigned n = 0;

	(void)state;
	for (int i = 0; i < 4; i++)
		rig_server(r, "trunk.example", "s.trunk.example", NET_UDP, many);
	rig_named(r, "trunk.example", "udp");
	r->trunks[1].n_targets = 4;
	for (int i = 1; i < 4; i++) {
		r->targets[1][i] = r->targets[1][0];
		r->targets[1][i].priority = (uint16_t)(i + 1);
		r->targets[1][i].port = (uint16_t)(5060 + i);
	}
	rig_set(r, ITSP, "probe-down", "20");
	rig_compile(r);
	rig_invite(r, "many", "", sdp_a);
	while (n < 100) {
		struct sent *s = NULL;

		for (; r->at < r->n_sent && !s; r->at++)
			if (strncmp(r->sent[r->at].text, "INVITE ", 7) == 0)
				s = &r->sent[r->at];
		if (!s)
			break;
		n++;
		rig_answer(r, s, "503 No", "x", "", NULL);
	}
	assert_int_equal(n, 24);
	assert_int_equal(r->n_rec, 1);
	assert_int_equal(r->rec[0].n_tries, CALL_TRIES_MAX);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(next_address_of_the_target),
	    cmocka_unit_test(other_answers_stay_or_leave_the_target),
	    cmocka_unit_test(late_answer_of_a_left_address),
	    cmocka_unit_test(a_left_address_is_cancelled),
	    cmocka_unit_test(refused_after_ringing),
	    cmocka_unit_test(early_media_holds_the_call),
	    cmocka_unit_test(every_address_refuses),
	    cmocka_unit_test(all_tries_together_have_a_budget),
	    cmocka_unit_test(after_the_budget_nobody_else_is_tried),
	    cmocka_unit_test(a_draining_trunk_gets_no_call),
	    cmocka_unit_test(an_answer_stops_the_clock),
	    cmocka_unit_test(retry_after_is_obeyed),
	    cmocka_unit_test(the_last_resort),
	    cmocka_unit_test(black_holed_family),
	    cmocka_unit_test(the_family_that_answers_gets_the_invite),
	    cmocka_unit_test(a_slow_family_is_not_left),
	    cmocka_unit_test(two_slow_families_get_one_invite),
	    cmocka_unit_test(the_other_family_is_heard_later),
	    cmocka_unit_test(given_up_while_both_are_asked),
	    cmocka_unit_test(families_over_tcp_race),
	    cmocka_unit_test(the_other_family_wins_the_race),
	    cmocka_unit_test(nobody_wins_the_race),
	    cmocka_unit_test(options_are_not_answered),
	    cmocka_unit_test(given_up_before_the_connection),
	    cmocka_unit_test(bye_to_the_next_server),
	    cmocka_unit_test(info_to_the_next_server),
	    cmocka_unit_test(bye_to_nobody),
	    cmocka_unit_test(reinvite_to_the_next_server),
	    cmocka_unit_test(foreign_names_lead_nowhere),
	    cmocka_unit_test(redirected_to_a_name_of_its_own),
	    cmocka_unit_test(a_name_without_anything_behind_it),
	    cmocka_unit_test(explain_shows_the_places),
	    cmocka_unit_test(tries_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
