/* The registration client in virtual time: what it sends, what it makes of the answers, when it tries again. One test
 * lets it register at our own registrar. */
#include <errno.h>

#include "client_rig.h"

#include "sbc/base/base64.h"
#include "sbc/reg/gin.h"

/* ------------------------------------------------------------------ */

/* RGC-01, AUT-09: what stands in it, one at a time, the next CSeq; credentials at once when refreshed */
static void registers_and_refreshes(void **state)
{
	struct world w;
	struct str call_id, tag;
	int64_t next;
	const char *m;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	m = must_register(&w, 100);
	assert_has(m, "REGISTER sip:itsp.example.com SIP/2.0\r\n");
	assert_has(m, "\r\nTo: <sip:trunk42@itsp.example.com>\r\n");
	assert_has(m, "\r\nFrom: <sip:trunk42@itsp.example.com>;tag=");
	assert_has(m, "\r\nContact: <sip:trunk42@10.0.0.9:5060;tk=");
	assert_has(m, ">;expires=600\r\n");
	assert_has(m, "\r\nUser-Agent: Postern/test\r\n");
	assert_lacks(m, "Require:");
	assert_lacks(m, "Authorization:");
	assert_state(&w, "trying");
	call_id = kept(&w, field(m, "\r\nCall-ID: "));
	tag = kept(&w, field(m, "\r\nFrom: "));
	assert_int_equal(cseq(m), 1);
	assert_true(reg_client_register(w.cs, w.id)); /* one is out: no second one */
	assert_null(next_register(&w, 400));

	answer(&w, "401 Unauthorized", CHALLENGE("n1", ""));
	assert_state(&w, "challenged");
	m = must_register(&w, 0);
	assert_has(m, "\r\nAuthorization: Digest username=\"trunk42\", realm=\"itsp.example.com\", nonce=\"n1\", "
	              "uri=\"sip:itsp.example.com\"");
	assert_has(m, "nc=00000001");
	assert_int_equal(cseq(m), 2);
	assert_true(str_eq(field(m, "\r\nCall-ID: "), call_id));
	assert_true(str_eq(field(m, "\r\nFrom: "), tag));
	assert_false(reg_client_holds(w.cs, w.id));
	ok(&w, 600, "");
	assert_state(&w, "registered");
	assert_true(reg_client_holds(w.cs, w.id));
	assert_string_equal(w.log, "4:registered ");
	next = until_next_ms(&w);
	assert_in_range(next, 300000 - 2, 540000);

	assert_null(next_register(&w, next - 100));
	m = must_register(&w, 300);
	assert_state(&w, "refreshing");
	assert_has(m, "nc=00000002");
	assert_int_equal(cseq(m), 3);
	assert_true(str_eq(field(m, "\r\nCall-ID: "), call_id));
	ok(&w, 600, "");
	assert_string_equal(w.log, "4:registered "); /* a refresh is no event */
	world_fini(&w);
}

static void granted_is(struct world *w, const char *lines, uint32_t want)
{
	assert_true(reg_client_register(w->cs, w->id));
	must_register(w, 100);
	answer(w, "200 OK", lines);
	if (view(w).granted_s != want)
		fail_msg("granted %u, not %u by: %s", view(w).granted_s, want, lines);
}

/* RGC-02: our own Contact decides, whoever else is in the list, and whatever a NAT made of its host */
static void lifetime_is_that_of_our_contact(void **state)
{
	struct world w;
	char lines[512], tk[32];
	struct str c;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	c = field(w.last, ";tk=");
	snprintf(tk, sizeof(tk), "%.*s", 16, c.p);
	ok(&w, 500, "");
	assert_int_equal(view(&w).granted_s, 500);
	snprintf(lines, sizeof(lines),
	    "Expires: 77\r\nContact: <sip:trunk42@192.0.2.7;tk=other>;expires=60, <sip:trunk42@10.0.0.9:5060;tk=%s>;expires=3600\r\n", tk);
	granted_is(&w, lines, 3600);
	snprintf(lines, sizeof(lines),
	    "Contact: <sip:trunk42@192.0.2.7;tk=other>;expires=60\r\nContact: <sip:x@198.51.100.1:40123;tk=%s>;expires=1800\r\n", tk);
	granted_is(&w, lines, 1800); /* rewritten on the way */
	granted_is(&w, "Contact: <sip:trunk42@198.51.100.1:1024>;expires=120\r\n", 120); /* and its cookie lost */
	granted_is(&w, "Expires: 240\r\nContact: <sip:trunk42@192.0.2.7;tk=other>;expires=60\r\n", 240);
	granted_is(&w, "Expires: 240\r\n", 240);
	granted_is(&w, "", 600);
	snprintf(lines, sizeof(lines), "Contact: <sip:trunk42@10.0.0.9:5060;tk=%s>;expires=soon\r\n", tk);
	granted_is(&w, lines, 3600);
	granted_is(&w, "Expires: soon\r\n", 3600);
	/* nothing is granted */
	assert_true(reg_client_register(w.cs, w.id));
	must_register(&w, 100);
	ok(&w, 0, "");
	assert_state(&w, "retry");
	world_fini(&w);
}

/* RGC-03 for short ones: half of it is left for tries */
static void short_lifetimes_are_refreshed_early(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	ok(&w, 20, "");
	assert_in_range(until_next_ms(&w), 9990, 12001);
	world_fini(&w);
}

/* RGC-04 */
static void too_brief_is_asked_for_longer(void **state)
{
	struct world w;
	const char *m;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	answer(&w, "423 Interval Too Brief", "Min-Expires: 900\r\n");
	m = must_register(&w, 0);
	assert_has(m, ">;expires=900\r\n");
	assert_int_equal(cseq(m), 2);
	ok(&w, 900, "");
	assert_state(&w, "registered");
	/* one that makes no sense ends it */
	assert_true(reg_client_register(w.cs, w.id));
	must_register(&w, 100);
	answer(&w, "423 Interval Too Brief", "Min-Expires: 900\r\n");
	assert_state(&w, "rejected");
	world_fini(&w);
}

/* RGC-05: two tries, then a minute, doubling to half an hour; a stale nonce is no wrong password */
static void wrong_password_does_not_lock_the_account(void **state)
{
	static const unsigned lo[] = {60, 120, 240, 480, 960, 1800, 1800};
	struct world w;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	for (unsigned i = 0; i < ARRAY_LEN(lo); i++) {
		must_register(&w, i ? until_next_ms(&w) + 100 : 100);
		assert_lacks(w.last, "Authorization:");
		answer(&w, "401 Unauthorized", CHALLENGE("n1", ""));
		must_register(&w, 0);
		if (i % 2)
			answer(&w, "401 Unauthorized", CHALLENGE("n2", "")); /* a new nonce each time, as most do */
		else
			answer(&w, "401 Unauthorized", CHALLENGE("n1", ""));
		assert_state(&w, "rejected");
		assert_int_equal(view(&w).why, REASON_AUTH_REJECTED);
		assert_in_range(until_next_ms(&w), lo[i] * 1000 - 2, lo[i] * 1100 + 2);
		assert_null(next_register(&w, 10000));
	}
	assert_has(w.log, "4:AUTH_REJECTED ");
	must_register(&w, until_next_ms(&w) + 100);
	answer(&w, "401 Unauthorized", CHALLENGE("n3", ""));
	must_register(&w, 0);
	answer(&w, "401 Unauthorized", CHALLENGE("n4", ", stale=true"));
	must_register(&w, 0);
	assert_has(w.last, "nonce=\"n4\"");
	answer(&w, "401 Unauthorized", CHALLENGE("n5", ", stale=true")); /* and so it does not go on for ever */
	assert_state(&w, "rejected");
	world_fini(&w);
}

/* AUT-03, AUT-04 */
static void credentials_go_to_our_realm_only(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	answer(&w, "401 Unauthorized", "WWW-Authenticate: Digest realm=\"evil.example\", nonce=\"x\", algorithm=MD5\r\n");
	assert_null(next_register(&w, 30000));
	assert_state(&w, "rejected");
	assert_int_equal(view(&w).why, REASON_AUTH_REALM);
	assert_true(str_eq(view(&w).realm, S("evil.example")));
	assert_true(reg_client_register(w.cs, w.id));
	must_register(&w, 100);
	answer(&w, "401 Unauthorized", "WWW-Authenticate: Digest realm=\"itsp.example.com\", nonce=\"f\", algorithm=FOO\r\n"
	    CHALLENGE("n1", "") "WWW-Authenticate: Digest realm=\"itsp.example.com\", nonce=\"n2\", algorithm=MD5\r\n");
	assert_has(must_register(&w, 0), "nonce=\"n1\"");
	assert_has(w.last, "algorithm=SHA-256");
	/* the proxy in front asks as well */
	answer(&w, "407 Proxy Authentication Required",
	    "Proxy-Authenticate: Digest realm=\"itsp.example.com\", nonce=\"p1\", qop=\"auth\", algorithm=MD5\r\n");
	assert_has(must_register(&w, 0), "\r\nProxy-Authorization: Digest");
	assert_has(w.last, "\r\nAuthorization: Digest");
	ok(&w, 600, "");
	assert_state(&w, "registered");
	world_fini(&w);
}

/* RGC-06 */
static void refused_for_good_is_tried_slowly(void **state)
{
	static const char *const status[] = {"403 Forbidden", "404 Not Found", "410 Gone"};
	struct world w;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	for (unsigned i = 0; i < ARRAY_LEN(status); i++) {
		must_register(&w, i ? until_next_ms(&w) + 100 : 100);
		answer(&w, status[i], "");
		assert_state(&w, "rejected");
		assert_int_equal(view(&w).why, REASON_REG_FORBIDDEN);
		assert_true(until_next_ms(&w) >= (300 << i) * 1000 - 2);
	}
	world_fini(&w);
}

/* KA-05, RGC-04: 30 to 60 s, doubling to 15 to 30 min; Retry-After only lengthens it */
static void waits_longer_and_longer(void **state)
{
	static const unsigned hi[] = {60, 120, 240, 480, 960, 1800, 1800};
	struct world w;

	(void)state;
	world_init(&w, "role=itsp realm=wan target=192.0.2.50 domain=itsp.example.com probe=off auth=register aor=trunk42 quarantine=1s");
	for (unsigned i = 0; i < ARRAY_LEN(hi); i++) {
		must_register(&w, i ? until_next_ms(&w) + 100 : 100);
		if (i % 2)
			answer(&w, "500 Server Internal Error", "");
		else
			assert_null(next_register(&w, 33000)); /* silence */
		assert_state(&w, "retry");
		assert_in_range(until_next_ms(&w), hi[i] * 500 - 1300, hi[i] * 1000 + 2);
	}
	must_register(&w, until_next_ms(&w) + 100);
	answer(&w, "503 Service Unavailable", "Retry-After: 3000\r\n");
	assert_state(&w, "retry");
	assert_in_range(until_next_ms(&w), 3000 * 1000 - 2, 3000 * 1000 + 2);
	world_fini(&w);
}

/* The ways of all targets, and then the one that worked */
static void goes_on_to_the_next_target_and_stays(void **state)
{
	struct world w;
	struct reg_client_way held[REG_FLOWS_MAX];
	struct str call_id;
	struct addr second;

	(void)state;
	assert_int_equal(addr_parse(S("192.0.2.51:5060"), 0, &second), 0);
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	call_id = kept(&w, field(w.last, "\r\nCall-ID: "));
	must_register(&w, 6000); /* the first is silent */
	assert_true(addr_eq(&w.r.sent_to[0].remote, &second));
	assert_int_equal(cseq(w.last), 2);
	assert_true(str_eq(field(w.last, "\r\nCall-ID: "), call_id));
	ok(&w, 600, "");
	assert_int_equal(reg_client_ways(w.cs, w.id, STR_NONE, held), 1);
	assert_true(addr_eq(&held[0].path.remote, &second) && held[0].up && !held[0].outbound);
	assert_int_equal(held[0].route.n, 0);
	must_register(&w, 600000);
	assert_true(addr_eq(&w.r.sent_to[0].remote, &second));
	answer(&w, "503 Service Unavailable", "");
	assert_state(&w, "refreshing");
	must_register(&w, 0);
	assert_false(addr_eq(&w.r.sent_to[0].remote, &second));
	ok(&w, 600, "");
	assert_string_equal(w.log, "4:registered 4:registered "); /* at another one */
	world_fini(&w);
}

/* Something that was sent to the registrar got no answer: another one is asked at once, and the old one again when there
 * is no other. What was sent elsewhere says nothing of it. */
static void a_silent_registrar_is_left_at_once(void **state)
{
	struct world w;
	struct reg_client_way held[REG_FLOWS_MAX];
	struct net_path first, other;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	first = w.r.sent_to[0];
	ok(&w, 600, "");
	other = first;
	other.remote.in4.sin_addr.s_addr ^= 0x01000000; /* .51, where it could be */
	targets_report(w.ts, w.id, &other, TARGET_UNREACHED, REASON_TRANSPORT, 0);
	assert_null(next_register(&w, 2000));
	assert_false(reg_client_moves(w.cs, w.id, STR_NONE));
	targets_report(w.ts, w.id, &first, TARGET_SILENT, REASON_PEER_SILENT, 0);
	assert_true(reg_client_moves(w.cs, w.id, STR_NONE));
	assert_int_equal(reg_client_ways(w.cs, w.id, STR_NONE, held), 1); /* it holds all the same */
	assert_false(held[0].up);
	must_register(&w, 100);
	assert_true(addr_eq(&w.r.sent_to[0].remote, &other.remote));
	ok(&w, 600, "");
	assert_false(reg_client_moves(w.cs, w.id, STR_NONE));
	assert_int_equal(reg_client_ways(w.cs, w.id, STR_NONE, held), 1);
	assert_true(held[0].up && addr_eq(&held[0].path.remote, &other.remote));
	/* this one too; the first is refused: the one that holds it, at last */
	targets_report(w.ts, w.id, &other, TARGET_UNREACHED, REASON_TRANSPORT, 0);
	must_register(&w, 100);
	assert_true(addr_eq(&w.r.sent_to[0].remote, &first.remote));
	answer(&w, "500 Server Error", "");
	must_register(&w, 100);
	assert_true(addr_eq(&w.r.sent_to[0].remote, &other.remote));
	ok(&w, 600, "");
	assert_state(&w, "registered");
	world_fini(&w);
}

/* Down, by 503s: the same */
static void a_registrar_that_went_down_is_left(void **state)
{
	struct world w;
	struct net_path first;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	first = w.r.sent_to[0];
	ok(&w, 600, "");
	targets_report(w.ts, w.id, &first, TARGET_503, REASON_PEER_ERROR, 0);
	assert_null(next_register(&w, 2000)); /* one alone is no reason */
	targets_report(w.ts, w.id, &first, TARGET_503, REASON_PEER_ERROR, 30);
	must_register(&w, 100);
	assert_false(addr_eq(&w.r.sent_to[0].remote, &first.remote));
	ok(&w, 600, "");
	world_fini(&w);
}

/* Whoever waits while it moves to another server is told when there is nothing to wait for any more: nobody has to look
 * again and again. */
static void told_when_it_does_not_move_any_more(void **state)
{
	struct world w;
	struct net_path at;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42 reg-sticky=yes");
	must_register(&w, 100);
	ok(&w, 600, "");
	at = view(&w).at;
	for (int ends = 0; ends < 3; ends++) {
		bool moved = false;
		unsigned n_over = 0;

		targets_report(w.ts, w.id, &at, TARGET_SILENT, REASON_PEER_SILENT, 0);
		assert_true(reg_client_moves(w.cs, w.id, STR_NONE));
		if (ends == 0) { /* it holds elsewhere */
			must_register(&w, 100);
			w.n_moved = 0;
			ok(&w, 600, "");
			assert_false(reg_client_moves(w.cs, w.id, STR_NONE));
			assert_true(w.n_moved > 0);
			at = view(&w).at;
			continue;
		}
		if (ends == 1) { /* refused */
			must_register(&w, 100);
			w.n_moved = 0;
			answer(&w, "403 Forbidden", "");
			assert_false(reg_client_moves(w.cs, w.id, STR_NONE));
			assert_true(w.n_moved > 0);
			assert_true(reg_client_register(w.cs, w.id));
			must_register(&w, 100);
			ok(&w, 600, "");
			at = view(&w).at;
			continue;
		}
		for (int i = 0; i < 20000; i++) { /* nobody answers, for minutes */
			bool before = reg_client_moves(w.cs, w.id, STR_NONE);

			w.n_moved = 0;
			run_ms(&w, 20);
			w.r.n_sent = 0;
			moved = reg_client_moves(w.cs, w.id, STR_NONE);
			if (!before || moved)
				continue;
			assert_true(w.n_moved > 0);
			n_over++;
		}
		assert_true(n_over > 2);
	}
	world_fini(&w);
}

/* OPTIONS of our own go only to who holds the registration */
static void sticky_trunks_probe_who_holds_it(void **state)
{
	struct world w;
	struct addr first;
	unsigned probes[2] = {0, 0};

	(void)state;
	assert_int_equal(addr_parse(S("192.0.2.50:5060"), 0, &first), 0);
	for (int sticky = 0; sticky < 2; sticky++) {
		char settings[200];
		unsigned elsewhere = 0;

		snprintf(settings, sizeof(settings),
		    "role=itsp realm=wan target=192.0.2.50@1,192.0.2.51@2 domain=itsp.example.com probe=10s expires=600s auth=register "
		    "aor=trunk42 reg-sticky=%s",
		    sticky ? "yes" : "no");
		world_init(&w, settings);
		must_register(&w, 100);
		ok(&w, 600, "");
		for (int i = 0; i < 1000; i++) {
			w.r.n_sent = 0;
			run_ms(&w, 20);
			for (unsigned k = 0; k < w.r.n_sent; k++) {
				if (strncmp(w.r.sent[k], "OPTIONS", 7) != 0)
					continue;
				probes[sticky]++;
				elsewhere += !addr_eq(&w.r.sent_to[k].remote, &first);
			}
		}
		assert_true(probes[sticky] > 0);
		assert_true((elsewhere == 0) == (sticky == 1));
		world_fini(&w);
	}
}

/* What the registrar sees of us has changed (a NAT that forgot us): what it holds leads nowhere, so it is told at once; and
 * later and later when that comes with each REGISTER. */
static void another_address_of_ours_is_registered_at_once(void **state)
{
	struct world w;
	char seen[64];
	int64_t next;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42 learn-address=yes");
	must_register(&w, 100);
	assert_has(w.last, "\r\nContact: <sip:trunk42@10.0.0.9:5060;tk=");
	w.seen_as = ";received=198.51.100.7";
	ok(&w, 600, "");
	must_register(&w, 50);
	assert_has(w.last, "\r\nContact: <sip:trunk42@198.51.100.7:5060;tk=");
	ok(&w, 600, "");
	assert_null(next_register(&w, 200000));
	assert_true(reg_client_register(w.cs, w.id));
	for (unsigned i = 0; i < 8; i++) {
		must_register(&w, i ? 1000 << i : 50);
		snprintf(seen, sizeof(seen), ";received=198.51.100.%u", 10 + i);
		w.seen_as = seen;
		ok(&w, 600, "");
		next = until_next_ms(&w);
		if (i)
			assert_true(next >= 499 << i);
		/* not put off by what others change meanwhile */
		for (unsigned k = 0; k < 5; k++)
			use_policy(&w);
		assert_int_equal(until_next_ms(&w), next);
	}
	world_fini(&w);
}

/* The wall clock is nobody's business here */
static void a_clock_that_is_set_changes_nothing(void **state)
{
	static const int64_t day_us = 86400ll * 1000000;
	struct world w;
	int64_t next;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	ok(&w, 600, "");
	for (int i = 0; i < 2; i++) {
		next = until_next_ms(&w);
		w.r.clock.wall_us += i ? -2 * day_us : day_us;
		assert_null(next_register(&w, next - 100));
		assert_true(reg_client_holds(w.cs, w.id));
		must_register(&w, 300);
		ok(&w, 600, "");
	}
	world_fini(&w);
}

/* A name that leads nowhere is said once; it is looked at each second, and used as soon as it leads somewhere. */
static void a_name_that_is_back_is_used_at_once(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "role=itsp realm=wan target=sip.itsp.example.com domain=itsp.example.com probe=off auth=register aor=trunk42");
	assert_null(next_register(&w, 60000));
	assert_state(&w, "retry");
	assert_in_range(until_next_ms(&w), 0, 1200);
	assert_int_equal(view(&w).failures, 1);
	assert_string_equal(w.log, "4:NAME_UNRESOLVED ");
	world_fini(&w);
}

/* PTH-04: the numbers that the newest answer names, in whatever form; the rest of it is nothing to us */
static void pth_04_numbers_it_names(void **state)
{
	struct world w;
	struct str number;
	static char many[40000];
	size_t n = 0;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42 country=49");
	must_register(&w, 100);
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+49301")), REG_CONFIRMED_UNKNOWN);
	ok(&w, 600, "P-Associated-URI: <sip:trunk42@itsp.example.com>, <sip:+4930123451@itsp.example.com;user=phone>\r\n"
	            "P-Associated-URI: \"x, y\" <tel:+4930123450>, <sip:030123453@h>, garbage, <mailto:a@b>\r\n");
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+4930123450")), REG_CONFIRMED_YES);
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+4930123451")), REG_CONFIRMED_YES);
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+4930123453")), REG_CONFIRMED_YES);
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+4930123452")), REG_CONFIRMED_NO);
	assert_true(reg_client_uri(w.cs, w.id, 0, &number) && str_eq(number, S("+4930123450")));
	assert_false(reg_client_uri(w.cs, w.id, 3, &number));
	/* a refresh without it: as before */
	must_register(&w, 600000);
	ok(&w, 600, "");
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+4930123452")), REG_CONFIRMED_NO);
	/* a wildcard may be that number too */
	must_register(&w, 600000);
	ok(&w, 600, "P-Associated-URI: <sip:+4930123451@h>, <sip:+4930!.*!@h>\r\n");
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+4930123451")), REG_CONFIRMED_YES);
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+4930123452")), REG_CONFIRMED_UNKNOWN);
	/* as many as it likes */
	n = (size_t)snprintf(many, sizeof(many), "P-Associated-URI: <tel:+491>");
	for (int i = 0; i < 60; i++)
		n += (size_t)snprintf(many + n, sizeof(many) - n, ",<tel:+4930%d>", 1000 + i);
	snprintf(many + n, sizeof(many) - n, "\r\n");
	must_register(&w, 600000);
	answer(&w, "200 OK", many);
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+49301059")), REG_CONFIRMED_YES);
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+49301060")), REG_CONFIRMED_NO);
	/* of another account nothing is known before it says so */
	fix_set(&w.r.fix, w.id, "aor=trunk43");
	use_policy(&w);
	must_register(&w, 1000);
	assert_has(w.last, ";expires=0");
	ok(&w, 0, "");
	must_register(&w, 1000);
	ok(&w, 600, "");
	assert_int_equal(reg_client_confirms(w.cs, w.id, S("+49301059")), REG_CONFIRMED_UNKNOWN);
	world_fini(&w);
}

/* A registration that cannot be renewed is gone when its time is over, and said so. */
static void lost_when_its_time_is_over(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "role=itsp realm=wan target=192.0.2.50 domain=itsp.example.com probe=off auth=register aor=trunk42 expires=600s");
	must_register(&w, 100);
	ok(&w, 60, "");
	must_register(&w, 60000);
	assert_null(next_register(&w, 20000));
	assert_true(reg_client_holds(w.cs, w.id));
	(void)next_register(&w, 14000);
	run_ms(&w, 8000);
	assert_false(reg_client_holds(w.cs, w.id));
	assert_has(w.log, "4:REG_LOST ");
	world_fini(&w);
}

/* KA-02: the flow it was registered over is gone: REGISTER at once, and later and later when that comes again and again */
static void a_lost_flow_registers_anew(void **state)
{
	struct world w;
	struct net_path flow, other;

	(void)state;
	world_init(&w, "role=itsp realm=wan target=192.0.2.50 domain=itsp.example.com probe=off auth=register aor=trunk42 expires=600s");
	must_register(&w, 100);
	flow = w.r.sent_to[0];
	ok(&w, 600, "");
	other = flow;
	other.remote.in4.sin_addr.s_addr ^= 1;
	reg_clients_on_flow_lost(w.cs, &other, -ECONNRESET);
	other = flow;
	other.proto = NET_TCP;
	reg_clients_on_flow_lost(w.cs, &other, -ECONNRESET);
	assert_null(next_register(&w, 2000));
	for (int i = 0; i < 6; i++) {
		int64_t wait_ms;

		reg_clients_on_flow_lost(w.cs, &flow, -ECONNRESET);
		assert_state(&w, "registered"); /* calls go on as before */
		wait_ms = until_next_ms(&w);
		assert_true(wait_ms >= 0 && wait_ms <= 1000 << i);
		must_register(&w, 33000);
		reg_clients_on_flow_lost(w.cs, &flow, -ECONNRESET); /* it is out already */
		ok(&w, 600, "");
		assert_true(until_next_ms(&w) > 200000);
	}
	/* one that lasted is not counted */
	run_ms(&w, 290000);
	must_register(&w, 300000);
	ok(&w, 600, "");
	run_ms(&w, 290000);
	must_register(&w, 300000);
	ok(&w, 600, "");
	run_ms(&w, 200000);
	reg_clients_on_flow_lost(w.cs, &flow, -ECONNRESET);
	assert_true(until_next_ms(&w) <= 1000);
	world_fini(&w);
}

/* SIPS-06 (RFC 5630 5.1.1.1): From, To, request URI and Contact are all sips, or none is */
static void sips_all_over_or_not_at_all(void **state)
{
	static const char *const where[] = {"REGISTER ", "\r\nFrom: <", "\r\nTo: <", "\r\nContact: <"};
	struct world w;

	(void)state;
	for (int i = 0; i < 6; i++) {
		bool sips = i & 1;
		char settings[300];

		snprintf(settings, sizeof(settings),
		    "role=itsp realm=wan target=192.0.2.50:5061/tls domain=itsp.example.com probe=off aor=trunk42 auth=%s scheme=%s "
		    "transport-param=%s",
		    i / 2 == 1 ? "gin" : "register", sips ? "sips" : "sip", i / 2 == 2 ? "yes" : "no");
		world_init(&w, settings);
		must_register(&w, 100);
		for (unsigned k = 0; k < ARRAY_LEN(where); k++) {
			const char *at = strstr(w.last, where[k]);

			assert_non_null(at);
			assert_true(str_prefix(str_z(at + strlen(where[k])), sips ? S("sips:") : S("sip:")));
		}
		assert_null(strstr(strstr(w.last, "\r\nContact: ") + 2, "\r\nContact: ")); /* one form of it */
		if (sips)
			assert_lacks(w.last, "transport=tls"); /* RFC 5630 5.1.1 */
		/* and so in what follows */
		answer(&w, "401 Unauthorized", CHALLENGE("n1", ""));
		must_register(&w, 100);
		for (unsigned k = 0; k < ARRAY_LEN(where); k++)
			assert_true(str_prefix(str_z(strstr(w.last, where[k]) + strlen(where[k])), sips ? S("sips:") : S("sip:")));
		world_fini(&w);
	}
}

/* GINP-01 */
static void gin_says_what_rfc_6140_wants(void **state)
{
	struct world w;
	const char *m;
	struct str c;

	(void)state;
	world_init(&w, PROV "auth=gin aor=trunk42");
	m = must_register(&w, 100);
	assert_has(m, "\r\nRequire: gin\r\n");
	assert_has(m, "\r\nProxy-Require: gin\r\n");
	assert_has(m, "\r\nSupported: path\r\n");
	c = field(m, "\r\nContact: ");
	assert_true(str_prefix(c, S("<sip:10.0.0.9:5060;tk=")));
	assert_true(str_find(c, S(";bnc>;expires=600")) > 0);
	assert_true(str_chr(c, '@') < 0);
	assert_true(str_find(c, S("user=")) < 0);
	ok(&w, 600, "Service-Route: <sip:edge1.itsp.example.com;lr>, <sip:core.itsp.example.com;lr>\r\n");
	assert_true(view(&w).bulk);
	assert_true(str_eq(view(&w).route, S("<sip:edge1.itsp.example.com;lr>, <sip:core.itsp.example.com;lr>")));
	world_fini(&w);
}

/* GINP-03: a name as it is advertised; GINP-07: a name of the inside, and the way to it */
static void ginp_03_07_names(void **state)
{
	struct world w;
	const char *m;

	(void)state;
	world_init(&w, PROV "auth=gin aor=trunk42");
	w.r.local.host = S("sbc.example.net");
	m = must_register(&w, 100);
	assert_has(m, "\r\nContact: <sip:sbc.example.net:5060;tk=");
	assert_has(m, ";bnc>;expires=600");
	assert_lacks(m, "Path:");
	ok(&w, 600, "");
	fix_set(&w.r.fix, w.id, "contact-host=pbx.example.net");
	use_policy(&w);
	m = must_register(&w, 100);
	assert_has(m, ";expires=0"); /* what stands there for the old one */
	answer(&w, "200 OK", "");
	m = must_register(&w, 100);
	assert_has(m, "\r\nContact: <sip:pbx.example.net;tk=");
	assert_has(m, ";bnc>;expires=600");
	assert_has(m, "\r\nPath: <sip:sbc.example.net:5060;lr>\r\n");
	assert_has(m, "\r\nSupported: path\r\n");
	ok(&w, 600, "Path: <sip:sbc.example.net:5060;lr>\r\n");
	assert_null(next_register(&w, 200000)); /* our address is another than that of the Contact, and that is meant */
	/* plain: there is no such thing */
	fix_set(&w.r.fix, w.id, "auth=register");
	use_policy(&w);
	must_register(&w, 100);
	answer(&w, "200 OK", "");
	m = must_register(&w, 100);
	assert_lacks(m, "Path:");
	assert_has(m, "\r\nContact: <sip:trunk42@sbc.example.net:5060;tk=");
	world_fini(&w);
}

static void gruu_is(struct world *w, const char *params, const char *want)
{
	char lines[700], text[300];
	struct str c = field(w->last, "\r\nContact: "), uri;
	struct buf b;

	str_cut(c, '>', &uri);
	snprintf(lines, sizeof(lines), "Contact: %.*s>;expires=600%s\r\n", STR(uri), params);
	answer(w, "200 OK", lines);
	buf_init(&b, text, sizeof(text));
	assert_int_equal(reg_client_gruu(w->cs, w->id, S("+4930123"), S("ph7"), &b), want ? 0 : -ENOENT);
	if (want && !str_eq(buf_text(&b), str_z(want)))
		fail_msg("%.*s, not %s", STR(buf_text(&b)), want);
	assert_true(reg_client_register(w->cs, w->id));
	must_register(w, 100);
}

/* GRUU-01: what we ask for, and what a phone's is made of: bnc goes, number and sg come, all else stays */
static void gruu_01_of_the_provider(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "auth=gin aor=trunk42 gruu=yes");
	must_register(&w, 100);
	assert_has(w.last, "\r\nSupported: path, gruu\r\n");
	assert_has(w.last, ";bnc>;+sip.instance=\"<urn:uuid:");
	assert_lacks(w.last, "reg-id");
	assert_false(reg_client_has_gruu(w.cs, w.id));
	gruu_is(&w, ";pub-gruu=\"sip:itsp.example.com;bnc;gr=urn:uuid:1-2\"", "sip:+4930123@itsp.example.com;gr=urn:uuid:1-2;sg=ph7");
	assert_true(reg_client_has_gruu(w.cs, w.id));
	gruu_is(&w, ";pub-gruu=\"sips:itsp.example.com:5071;x=y;gr=urn:uuid:1-2;bnc\"",
	    "sips:+4930123@itsp.example.com:5071;x=y;gr=urn:uuid:1-2;sg=ph7");
	/* the newest answer decides; what is no GRUU of a bulk registration is none */
	gruu_is(&w, "", NULL);
	gruu_is(&w, ";pub-gruu=\"sip:itsp.example.com;gr=urn:uuid:1\"", NULL);
	gruu_is(&w, ";pub-gruu=\"sip:x@itsp.example.com;bnc;gr=urn:uuid:1\"", NULL);
	gruu_is(&w, ";pub-gruu=\"sip:itsp.example.com;bnc;gr\"", NULL);
	gruu_is(&w, ";pub-gruu=\"\"", NULL);
	gruu_is(&w, ";pub-gruu=\"", NULL);
	gruu_is(&w, ";pub-gruu", NULL);
	assert_true(reg_client_has_gruu(w.cs, w.id)); /* requests for those of before may still come */
	world_fini(&w);
	/* it is not asked for without GIN */
	world_init(&w, PROV "auth=register aor=trunk42 gruu=yes");
	must_register(&w, 100);
	assert_lacks(w.last, "gruu");
	assert_lacks(w.last, "instance");
	world_fini(&w);
}

static const char *temp_of(struct world *w, const char *gr)
{
	static char text[4][1024];
	static unsigned at;
	struct buf b;

	at = (at + 1) % 4;
	buf_init(&b, text[at], sizeof(text[at]) - 1);
	if (reg_client_temp_gruu(w->cs, w->id, str_z(gr), &b) < 0)
		b.n = 0;
	text[at][b.n] = '\0';
	return text[at];
}

/* GRUU-04, -05: temporary ones: none of two is like the other, the provider's key opens both to its cookie, and what we did not
 * make is told from what we did. Without key or cookie there are none. */
static void gruu_04_05_of_the_provider(void **state)
{
	struct world w;
	struct gin_rsa *key = gin_rsa_new(2048), *other = gin_rsa_new(2048);
	uint8_t raw[GIN_COOKIE_RAW], want[GIN_COOKIE_RAW] = {1, 2, 3, 250};
	char pem[2048], setting[2100], cookie[40], lines[700];
	const char *a, *b;
	struct str part, left;
	struct sip_uri u;
	struct buf p, s, k;
	struct str c;

	(void)state;
	buf_init(&p, pem, sizeof(pem));
	assert_int_equal(gin_rsa_put_pem(key, false, &p), 0);
	buf_init(&s, setting, sizeof(setting) - 1);
	buf_lit(&s, "gruu-key=");
	for (struct str rest = buf_text(&p); rest.n;) {
		rest = str_cut(rest, '\n', &left);
		if (!str_prefix(left, S("---")))
			buf_str(&s, left);
	}
	buf_init(&k, cookie, sizeof(cookie) - 1);
	base64_put(&k, want, sizeof(want));
	world_init(&w, PROV "auth=gin aor=trunk42 gruu=yes");
	must_register(&w, 100);
	c = field(w.last, "\r\nContact: ");
	snprintf(lines, sizeof(lines), "Contact: %.*s;pub-gruu=\"sips:itsp.example.com:5061;bnc;gr=urn:1\";temp-gruu-cookie=%s\r\n", STR(c),
	    buf_z(&k));
	answer(&w, "200 OK", lines);
	assert_string_equal(temp_of(&w, "h1"), ""); /* no key */
	fix_set(&w.r.fix, w.id, buf_z(&s));
	use_policy(&w);
	a = temp_of(&w, "h1");
	b = temp_of(&w, "h2");
	assert_has(a, "@itsp.example.com:5061;gr=h1");
	assert_has(b, ";gr=h2");
	assert_true(str_prefix(str_z(a), S("sips:tgruu.")));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sip_uri_parse(str_z(i ? b : a), &u), 0);
		assert_int_equal(gin_temp_gruu_open(&key, 1, u.user, raw), 0);
		assert_memory_equal(raw, want, sizeof(raw));
		assert_int_equal(gin_temp_gruu_open(&other, 1, u.user, raw), -EPERM);
		assert_true(reg_client_made_temp(w.cs, u.user));
	}
	assert_memory_not_equal(a, b, 100);
	part = u.user;
	assert_false(reg_client_made_temp(w.cs, str_head(part, part.n - 1)));
	assert_false(reg_client_made_temp(w.cs, S("tgruu.x.y")));
	assert_false(reg_client_made_temp(w.cs, STR_NONE));
	/* an answer without a cookie takes it away, and so does the end of the registration */
	assert_true(reg_client_register(w.cs, w.id));
	must_register(&w, 100);
	ok(&w, 600, "");
	assert_string_equal(temp_of(&w, "h1"), "");
	fix_set(&w.r.fix, w.id, "gruu-key=AAAA"); /* base64, and no key */
	use_policy(&w);
	assert_true(reg_client_register(w.cs, w.id));
	must_register(&w, 100);
	answer(&w, "200 OK", lines);
	assert_string_equal(temp_of(&w, "h1"), "");
	world_fini(&w);
	gin_rsa_free(key);
	gin_rsa_free(other);
}

/* PTH-03: what the last answer says is the route, also when it says nothing. */
static void service_route_is_that_of_the_last_answer(void **state)
{
	struct reg_client_way held[REG_FLOWS_MAX];
	struct world w;

	(void)state;
	world_init(&w, PROV "auth=gin aor=trunk42");
	must_register(&w, 100);
	ok(&w, 600, "Service-Route: <sip:edge1.itsp.example.com;lr>\r\n");
	must_register(&w, 600000);
	ok(&w, 600, "Service-Route: <sip:edge2.itsp.example.com;lr>\r\n");
	assert_true(str_eq(view(&w).route, S("<sip:edge2.itsp.example.com;lr>")));
	must_register(&w, 600000);
	ok(&w, 600, "");
	assert_int_equal(view(&w).route.n, 0);
	assert_int_equal(reg_client_ways(w.cs, w.id, STR_NONE, held), 1);
	assert_int_equal(held[0].route.n, 0);
	world_fini(&w);
}

/* GINP-02 */
static void gin_refused_falls_back_once(void **state)
{
	struct world w;
	const char *m;

	(void)state;
	world_init(&w, PROV "auth=gin aor=trunk42");
	must_register(&w, 100);
	answer(&w, "420 Bad Extension", "Unsupported: gin\r\n");
	m = must_register(&w, 0);
	assert_lacks(m, "Require: gin");
	assert_lacks(m, "bnc");
	assert_has(m, "\r\nContact: <sip:trunk42@10.0.0.9:5060;tk=");
	ok(&w, 600, "");
	assert_string_equal(w.log, "4:registered 4:REG_NO_GIN ");
	assert_true(view(&w).fallback);
	m = must_register(&w, 600000);
	assert_lacks(m, "gin"); /* never to and fro */
	answer(&w, "420 Bad Extension", "Unsupported: gin\r\n");
	assert_null(next_register(&w, 100000));
	assert_state(&w, "rejected");
	assert_true(reg_client_register(w.cs, w.id)); /* an operator may */
	assert_has(must_register(&w, 100), "Require: gin");
	world_fini(&w);
}

static void redirected_to_places_of_the_trunk_only(void **state)
{
	struct world w;
	struct addr second;

	(void)state;
	assert_int_equal(addr_parse(S("192.0.2.51:5060"), 0, &second), 0);
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	answer(&w, "302 Moved", "Contact: <sip:192.0.2.51>\r\n");
	must_register(&w, 0);
	assert_true(addr_eq(&w.r.sent_to[0].remote, &second));
	answer(&w, "305 Use Proxy", "Contact: <sip:203.0.113.66>\r\n");
	assert_null(next_register(&w, 100000));
	assert_state(&w, "rejected");
	assert_int_equal(view(&w).why, REASON_REG_ELSEWHERE);
	world_fini(&w);
}

static void disable(struct world *w, bool on)
{
	w->r.fix.trunks[w->id - 1].admin = on ? DB_DISABLED : DB_ENABLED;
	use_policy(w);
}

/* RGC-07 */
static void taken_back_when_disabled_or_stopped(void **state)
{
	struct world w;
	struct str contact, call_id;
	struct reg_client_view v;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	disable(&w, true); /* while one is out: it is waited for */
	assert_null(next_register(&w, 400));
	contact = kept(&w, view(&w).contact);
	call_id = kept(&w, field(w.last, "\r\nCall-ID: "));
	ok(&w, 600, "");
	must_register(&w, 0);
	assert_state(&w, "removing");
	assert_has(w.last, ">;expires=0\r\n");
	assert_true(str_find(field(w.last, "\r\nContact: "), contact) > 0);
	assert_true(str_eq(field(w.last, "\r\nCall-ID: "), call_id));
	answer(&w, "401 Unauthorized", CHALLENGE("n1", ""));
	assert_has(must_register(&w, 0), "\r\nAuthorization: ");
	answer(&w, "200 OK", "");
	assert_state(&w, "stopped");
	assert_string_equal(w.log, "4:registered 4:REG_TAKEN_BACK ");
	assert_null(next_register(&w, 3600000));
	disable(&w, false);
	assert_has(must_register(&w, 100), ">;expires=600");
	ok(&w, 600, "");
	/* an operator */
	assert_true(reg_client_unregister(w.cs, w.id));
	assert_has(must_register(&w, 0), ">;expires=0");
	assert_null(next_register(&w, 3000)); /* no answer: it is over all the same */
	assert_state(&w, "stopped");
	use_policy(&w);
	assert_null(next_register(&w, 1000));
	assert_true(reg_client_register(w.cs, w.id));
	must_register(&w, 100);
	ok(&w, 600, "");
	/* the end of the process */
	reg_clients_stop(w.cs);
	assert_int_equal(reg_clients_busy(w.cs), 1);
	assert_has(must_register(&w, 0), ">;expires=0");
	answer(&w, "200 OK", "");
	assert_int_equal(reg_clients_busy(w.cs), 0);
	assert_true(reg_client_view(w.cs, w.id, 1, &v));
	world_fini(&w);
}

/* A change of what it registers with goes by way of a removal; one of something else does not. */
static void changed_settings_register_anew(void **state)
{
	struct world w;
	struct reg_client_view v;
	struct str call_id;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	must_register(&w, 100);
	call_id = kept(&w, field(w.last, "\r\nCall-ID: "));
	ok(&w, 600, "");
	w.r.fix.trunks[w.id - 1].name = S("renamed");
	use_policy(&w);
	assert_state(&w, "registered");
	rig_ha1(&w.r, w.id - 1, "trunk42", "itsp.example.com", "another secret");
	use_policy(&w);
	assert_has(must_register(&w, 0), ">;expires=0");
	answer(&w, "200 OK", "");
	must_register(&w, 100);
	assert_has(w.last, ">;expires=600");
	assert_false(str_eq(field(w.last, "\r\nCall-ID: "), call_id));
	ok(&w, 600, "");
	/* deleted */
	w.r.fix.rows.n_trunks--;
	use_policy(&w);
	assert_has(must_register(&w, 0), ">;expires=0");
	answer(&w, "200 OK", "");
	assert_false(reg_client_view(w.cs, w.id, 1, &v));
	w.r.fix.rows.n_trunks++;
	world_fini(&w);
}

/* Without an account it says so and sends nothing. */
static void needs_an_account(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	w.r.fix.trunks[w.id - 1].credential = (struct db_credential){.user = STR_NONE};
	trunk_draft_free(w.r.fix.draft[w.id - 1]);
	w.r.fix.draft[w.id - 1] = NULL;
	w.r.fix.rows.n_trunks--;
	w.id = fix_trunk(&w.r.fix, "bare", PROV "auth=register");
	reg_clients_free(w.cs);
	w.cs = reg_clients_new(&w.r.env, STR_NONE, &user, &w);
	reg_clients_start(w.cs, &w.r.net, w.r.txn, w.ts);
	w.r.n_sent = 0;
	use_policy(&w);
	assert_null(next_register(&w, 10000));
	assert_state(&w, "idle");
	assert_int_equal(view(&w).why, REASON_REG_ACCOUNT);
	assert_true(reg_client_register(w.cs, w.id));
	assert_null(next_register(&w, 1000));
	world_fini(&w);
}

/* RGC-03: many at once go out one after the other. Two at one provider are told apart by their cookies (RGC-09). */
static void starts_are_spread(void **state)
{
	struct world w;
	char name[2][32];
	int64_t begin;
	unsigned n = 0;

	(void)state;
	world_init(&w, PROV "auth=register aor=trunk42");
	for (unsigned i = 0; i < 4; i++) {
		char one[8], settings[200];

		snprintf(one, sizeof(one), "p%u", i);
		snprintf(settings, sizeof(settings), PROV "auth=register aor=t%u", i);
		fix_trunk(&w.r.fix, one, settings);
	}
	w.r.n_sent = 0;
	begin = w.r.clock.mono_us;
	use_policy(&w);
	while (n < 5 && w.r.clock.mono_us - begin < 1000000) {
		unsigned before = w.r.n_sent;

		w.r.clock.mono_us += 1000;
		timers_advance(&w.r.timers);
		assert_true(w.r.n_sent - before <= 1);
		if (w.r.n_sent == before)
			continue;
		if (n < 2)
			snprintf(name[n], sizeof(name[n]), "%.16s", field(w.r.sent[before], ";tk=").p);
		n++;
	}
	assert_int_equal(n, 5);
	assert_true(w.r.clock.mono_us - begin >= 80000);
	assert_int_not_equal(reg_client_of_cookie(w.cs, str_z(name[0])), 0);
	assert_int_not_equal(reg_client_of_cookie(w.cs, str_z(name[1])), 0);
	assert_int_not_equal(
	    reg_client_of_cookie(w.cs, str_z(name[0])), reg_client_of_cookie(w.cs, str_z(name[1])));
	assert_int_equal(reg_client_of_cookie(w.cs, S("c41f")), 0);
	world_fini(&w);
}

/* What one side sends the other gets, until nothing is left. */
static void pump(struct world *w)
{
	struct net_path client = {.proto = NET_UDP, .realm = 1}, server = client;

	assert_int_equal(addr_parse(S("192.0.2.10:5060"), 0, &client.remote), 0);
	assert_int_equal(addr_parse(S("192.0.2.50:5060"), 0, &server.remote), 0);
	for (unsigned i = 0; i < w->r.n_sent; i++) {
		char text[8192];
		size_t n = strlen(w->r.sent[i]);

		memcpy(text, w->r.sent[i], n + 1);
		txn_on_message(w->r.txn, text[0] == 'S' ? &server : &client, text, n, REASON_NONE);
		rig_release(&w->r);
	}
}

/* Our own registrar as the provider: digest, bulk contact, removal. */
static void registers_at_our_own_registrar(void **state)
{
	struct world w;
	const struct reg_contact *c;

	(void)state;
	world_init(&w, "role=itsp realm=wan target=192.0.2.50 domain=sbc.example.net probe=off auth=gin aor=trunk42 expires=600s");
	rig_ha1(&w.r, w.id - 1, "trunk42", "sbc.example.net", "a long secret");
	use_policy(&w);
	run_ms(&w, 100);
	pump(&w);
	assert_state(&w, "registered");
	assert_int_equal(view(&w).granted_s, 600);
	c = bindings_next(reg_bindings(w.r.reg), 1, STR_NONE, NULL);
	assert_non_null(c);
	assert_true(c->bulk);
	assert_true(str_eq(c->uri, view(&w).contact));
	assert_int_equal(view(&w).sent, 2); /* 401 and once more */
	w.r.n_sent = 0;
	reg_clients_stop(w.cs);
	pump(&w);
	assert_null(bindings_next(reg_bindings(w.r.reg), 1, STR_NONE, NULL));
	assert_state(&w, "stopped");
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(registers_and_refreshes),
	    cmocka_unit_test(lifetime_is_that_of_our_contact),
	    cmocka_unit_test(short_lifetimes_are_refreshed_early),
	    cmocka_unit_test(too_brief_is_asked_for_longer),
	    cmocka_unit_test(wrong_password_does_not_lock_the_account),
	    cmocka_unit_test(credentials_go_to_our_realm_only),
	    cmocka_unit_test(refused_for_good_is_tried_slowly),
	    cmocka_unit_test(waits_longer_and_longer),
	    cmocka_unit_test(goes_on_to_the_next_target_and_stays),
	    cmocka_unit_test(a_silent_registrar_is_left_at_once),
	    cmocka_unit_test(a_registrar_that_went_down_is_left),
	    cmocka_unit_test(told_when_it_does_not_move_any_more),
	    cmocka_unit_test(sticky_trunks_probe_who_holds_it),
	    cmocka_unit_test(another_address_of_ours_is_registered_at_once),
	    cmocka_unit_test(a_clock_that_is_set_changes_nothing),
	    cmocka_unit_test(a_name_that_is_back_is_used_at_once),
	    cmocka_unit_test(pth_04_numbers_it_names),
	    cmocka_unit_test(lost_when_its_time_is_over),
	    cmocka_unit_test(a_lost_flow_registers_anew),
	    cmocka_unit_test(sips_all_over_or_not_at_all),
	    cmocka_unit_test(gin_says_what_rfc_6140_wants),
	    cmocka_unit_test(gruu_01_of_the_provider),
	    cmocka_unit_test(gruu_04_05_of_the_provider),
	    cmocka_unit_test(ginp_03_07_names),
	    cmocka_unit_test(service_route_is_that_of_the_last_answer),
	    cmocka_unit_test(gin_refused_falls_back_once),
	    cmocka_unit_test(redirected_to_places_of_the_trunk_only),
	    cmocka_unit_test(taken_back_when_disabled_or_stopped),
	    cmocka_unit_test(changed_settings_register_anew),
	    cmocka_unit_test(needs_an_account),
	    cmocka_unit_test(starts_are_spread),
	    cmocka_unit_test(registers_at_our_own_registrar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
