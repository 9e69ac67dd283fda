/* Bans, buckets and budgets, in made-up time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/net/guard.h"

struct world {
	struct clock clock;
	struct metrics metrics;
	struct env env;
	struct guard_cfg cfg;
	struct guard *g;
	unsigned began, ended;
	struct guard_ban last;
};

static void on_ban(void *ctx, const struct guard_ban *ban, bool began)
{
	struct world *w = ctx;

	w->began += began;
	w->ended += !began;
	w->last = *ban;
}

static void init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->clock = (struct clock){.mono_us = 1000000, .wall_us = 1700000000000000};
	metrics_init(&w->metrics);
	w->env = (struct env){.clock = &w->clock, .metrics = &w->metrics, .hash_key = {3, 4}};
	guard_cfg_defaults(&w->cfg);
}

static void start(struct world *w)
{
	assert_int_equal(guard_new(&w->env, &w->cfg, on_ban, w, &w->g), 0);
}

static void pass_s(struct world *w, double s)
{
	w->clock.mono_us += (int64_t)(s * 1e6);
	w->clock.wall_us += (int64_t)(s * 1e6);
}

static struct addr at(const char *z)
{
	struct addr a;

	assert_int_equal(addr_parse(str_z(z), 5060, &a), 0);
	return a;
}

static struct addr_net net(const char *z)
{
	struct addr_net n;

	assert_int_equal(addr_net_parse(str_z(z), &n), 0);
	return n;
}

static unsigned passed(struct world *w, const char *from, bool known, unsigned n)
{
	struct addr a = at(from);
	unsigned ok = 0;

	for (unsigned i = 0; i < n; i++)
		ok += guard_check(w->g, &a, known) == GUARD_PASS;
	return ok;
}

static void a_stranger_gets_his_burst_and_then_his_rate(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	w.cfg.stranger = (struct guard_rate){5, 20};
	w.cfg.strikes.per_s = 0;
	start(&w);
	assert_int_equal(passed(&w, "198.51.100.1", false, 100), 20);
	assert_int_equal(guard_count(w.g, GUARD_STRANGER_RATE), 80);
	pass_s(&w, 2);
	assert_int_equal(passed(&w, "198.51.100.1", false, 100), 10);
	pass_s(&w, 3600); /* no more than the burst is saved up */
	assert_int_equal(passed(&w, "198.51.100.1", false, 100), 20);
	assert_int_equal(passed(&w, "198.51.100.2", false, 100), 20); /* another one has his own */
	assert_int_equal(metrics_get(&w.metrics, "guard", "passed"), 70);
	guard_free(w.g);
}

static void many_made_up_sources_share_one_budget(void **state)
{
	struct world w;
	unsigned ok = 0;

	(void)state;
	init(&w);
	w.cfg.max_sources = 1000;
	w.cfg.strangers = (struct guard_rate){500, 1000};
	start(&w);
	for (unsigned i = 0; i < 50000; i++) { /* one second of 50 kpps */
		struct addr a = at("10.0.0.0");

		a.in4.sin_addr.s_addr = htonl(0x0a000000 + i);
		ok += guard_check(w.g, &a, false) == GUARD_PASS;
		w.clock.mono_us += 20;
	}
	assert_true(ok >= 1490 && ok <= 1501);
	assert_int_equal(guard_sources(w.g), 1000); /* bounded */
	/* a known source does not feel it */
	assert_int_equal(passed(&w, "192.0.2.1", true, 1000), 1000);
	assert_int_equal(w.began, 0);
	guard_free(w.g);
}

static void a_known_source_has_a_bucket_when_configured(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	w.cfg.known = (struct guard_rate){100, 150};
	start(&w);
	assert_int_equal(passed(&w, "192.0.2.1", true, 1000), 150);
	assert_int_equal(guard_count(w.g, GUARD_KNOWN_RATE), 850);
	pass_s(&w, 1);
	assert_int_equal(passed(&w, "192.0.2.1", true, 1000), 100);
	w.cfg.known.per_s = 0;
	guard_reconfigure(w.g, &w.cfg);
	assert_int_equal(passed(&w, "192.0.2.1", true, 1000), 1000);
	assert_int_equal(w.began, 0); /* never banned by us: UDP sources can be forged */
	guard_free(w.g);
}

static void a_stranger_who_goes_on_is_banned_for_a_while(void **state)
{
	struct world w;
	struct guard_ban b;
	unsigned i = 0;

	(void)state;
	init(&w);
	w.cfg.stranger = (struct guard_rate){1, 10};
	w.cfg.strikes = (struct guard_rate){1, 30};
	w.cfg.ban_s = 60;
	start(&w);
	assert_int_equal(passed(&w, "203.0.113.9", false, 40), 10);
	assert_int_equal(w.began, 0);
	assert_int_equal(passed(&w, "203.0.113.9", false, 40), 0);
	assert_int_equal(w.began, 1);
	assert_true(w.last.by_guard);
	assert_int_equal(w.last.net.bits, 32);
	assert_true(w.last.until_wall_us == w.clock.wall_us + 60000000);
	assert_int_equal(guard_count(w.g, GUARD_BANNED), 39);
	/* the neighbour is not */
	assert_int_equal(passed(&w, "203.0.113.10", false, 5), 5);
	assert_true(guard_ban_next(w.g, &i, &b));
	assert_int_equal(b.hits, 39);
	assert_false(guard_ban_next(w.g, &i, &b));
	/* when it turns out to be a trunk it has an ear at once */
	assert_int_equal(passed(&w, "203.0.113.9", true, 5), 5);
	pass_s(&w, 59);
	assert_int_equal(passed(&w, "203.0.113.9", false, 1), 0);
	pass_s(&w, 1.1);
	assert_int_equal(passed(&w, "203.0.113.9", false, 1), 1);
	assert_int_equal(w.ended, 1);
	i = 0;
	assert_false(guard_ban_next(w.g, &i, &b));
	guard_free(w.g);
}

static void strikes_of_the_rooms_above_count_too(void **state)
{
	struct world w;
	struct addr bad = at("203.0.113.9"), trunk = at("192.0.2.1");
	int n = 0;

	(void)state;
	init(&w);
	w.cfg.strikes = (struct guard_rate){1, 5};
	start(&w);
	while (!guard_strike(w.g, &bad, false))
		n++;
	assert_int_equal(n, 5);
	assert_non_null(guard_banned(w.g, &bad));
	for (int i = 0; i < 100; i++)
		assert_false(guard_strike(w.g, &trunk, true));
	assert_null(guard_banned(w.g, &trunk));
	guard_free(w.g);
}

/* a /64 is one customer */
static void ipv6_sources_are_a_64(void **state)
{
	struct world w;
	struct addr a = at("[2001:db8:1:2::77]:1");

	(void)state;
	init(&w);
	w.cfg.stranger = (struct guard_rate){1, 10};
	w.cfg.strikes = (struct guard_rate){1, 5};
	start(&w);
	assert_int_equal(passed(&w, "[2001:db8:1:2::1]:1", false, 5), 5);
	assert_int_equal(passed(&w, "[2001:db8:1:2:ffff::9]:1", false, 100), 5);
	assert_int_equal(w.began, 1);
	assert_int_equal(w.last.net.bits, 64);
	assert_non_null(guard_banned(w.g, &a));
	a = at("[2001:db8:1:3::77]:1");
	assert_null(guard_banned(w.g, &a));
	guard_free(w.g);
}

static void the_operators_bans_hold_for_everybody(void **state)
{
	struct world w;
	struct addr_net n24 = net("198.51.100.0/24"), one = net("192.0.2.1"), six = net("2001:db8::/33");
	struct addr a;

	(void)state;
	init(&w);
	start(&w);
	assert_int_equal(guard_ban(w.g, &n24, 0), 0);
	assert_int_equal(guard_ban(w.g, &one, 10), 0);
	assert_int_equal(guard_ban(w.g, &six, 0), 0);
	assert_int_equal(passed(&w, "198.51.100.77", true, 5), 0);
	assert_int_equal(passed(&w, "198.51.101.77", true, 5), 5);
	assert_int_equal(passed(&w, "192.0.2.1", true, 5), 0);
	assert_int_equal(passed(&w, "[2001:db8:7fff::1]:5060", true, 1), 0);
	assert_int_equal(passed(&w, "[2001:db8:8000::1]:5060", true, 1), 1);
	/* the same host in IPv6 clothes */
	a = at("[::ffff:198.51.100.3]:1");
	assert_int_equal(guard_check(w.g, &a, true), GUARD_BANNED);
	pass_s(&w, 11);
	assert_int_equal(passed(&w, "192.0.2.1", true, 5), 5);
	assert_true(guard_unban(w.g, &n24));
	assert_false(guard_unban(w.g, &n24));
	assert_int_equal(passed(&w, "198.51.100.77", true, 5), 5);
	assert_true(guard_unban(w.g, &six));
	assert_int_equal(passed(&w, "[2001:db8:7fff::1]:5060", true, 1), 1);
	assert_int_equal(w.began, 0);
	assert_int_equal(w.ended, 1); /* the one that ran out */
	guard_free(w.g);
}

static void bans_are_bounded_and_replaced(void **state)
{
	struct world w;
	struct addr_net n = net("10.0.0.1");
	struct guard_ban b;
	unsigned i = 0, count = 0;

	(void)state;
	init(&w);
	w.cfg.max_bans = 100;
	start(&w);
	for (unsigned k = 0; k < 100; k++) {
		n.base.in4.sin_addr.s_addr = htonl(0x0a000000 + k);
		assert_int_equal(guard_ban(w.g, &n, k < 50 ? 10 : 0), 0);
		assert_int_equal(guard_ban(w.g, &n, k < 50 ? 20 : 0), 0); /* again: the same one */
	}
	n.base.in4.sin_addr.s_addr = htonl(0x0b000000);
	assert_int_equal(guard_ban(w.g, &n, 0), -ENOSPC);
	pass_s(&w, 21);
	assert_int_equal(guard_ban(w.g, &n, 0), 0); /* what has run out makes room */
	while (guard_ban_next(w.g, &i, &b))
		count++;
	assert_int_equal(count, 51);
	assert_true(b.until_wall_us == INT64_MAX);
	guard_free(w.g);
}

static void bans_come_back_with_what_is_left_of_them(void **state)
{
	struct world w;
	struct guard_ban b = {.net = net("198.51.100.7"), .by_guard = true};

	(void)state;
	init(&w);
	start(&w);
	b.until_wall_us = w.clock.wall_us - 1;
	assert_int_equal(guard_ban_restore(w.g, &b), -ETIME);
	b.until_wall_us = w.clock.wall_us + 5000000;
	assert_int_equal(guard_ban_restore(w.g, &b), 0);
	assert_int_equal(passed(&w, "198.51.100.7", false, 1), 0);
	w.clock.wall_us += (int64_t)86400 * 1000000; /* a jump of the wall clock frees nobody */
	assert_int_equal(passed(&w, "198.51.100.7", false, 1), 0);
	pass_s(&w, 5.1);
	assert_int_equal(passed(&w, "198.51.100.7", false, 1), 1);
	b.until_wall_us = INT64_MAX;
	assert_int_equal(guard_ban_restore(w.g, &b), 0);
	pass_s(&w, 1e6);
	assert_int_equal(passed(&w, "198.51.100.7", false, 1), 0);
	guard_free(w.g);
}

/* a source pushed out of the full table is the one heard least recently */
static void the_oldest_source_is_forgotten(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	w.cfg.max_sources = 3;
	w.cfg.stranger = (struct guard_rate){1, 2};
	w.cfg.strikes.per_s = 0;
	start(&w);
	assert_int_equal(passed(&w, "10.0.0.1", false, 9), 2);
	assert_int_equal(passed(&w, "10.0.0.2", false, 9), 2);
	assert_int_equal(passed(&w, "10.0.0.3", false, 9), 2);
	assert_int_equal(passed(&w, "10.0.0.1", false, 9), 0); /* heard again */
	assert_int_equal(passed(&w, "10.0.0.4", false, 9), 2); /* takes 10.0.0.2's place */
	assert_int_equal(passed(&w, "10.0.0.1", false, 9), 0);
	assert_int_equal(passed(&w, "10.0.0.3", false, 9), 0);
	assert_int_equal(passed(&w, "10.0.0.2", false, 9), 2);
	assert_int_equal(guard_sources(w.g), 3);
	guard_free(w.g);
}

static void event(struct world *w, const char *ip, enum reason why, const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(str_z(ip), 0, &a), 0);
	guard_event(w->g, &a, why, str_z(text));
}

/* Each source stands once for a reason, the latest first; what is pushed out has still been counted. */
static void who_was_turned_away_is_remembered(void **state)
{
	struct world w;
	struct guard_event e;
	unsigned at = 0, n = 0;
	char ip[32];

	(void)state;
	init(&w);
	start(&w);
	assert_false(guard_event_next(w.g, &at, &e));
	event(&w, "192.0.2.1:1000", REASON_TLS_UNTRUSTED, "first");
	pass_s(&w, 1);
	event(&w, "192.0.2.2:1000", REASON_TLS_NO_CERT, "");
	event(&w, "192.0.2.1:2000", REASON_TLS_EXPIRED, "old");
	pass_s(&w, 1);
	event(&w, "192.0.2.1:3000", REASON_TLS_UNTRUSTED, "again");
	assert_true(guard_event_next(w.g, &at, &e));
	assert_int_equal(e.why, REASON_TLS_UNTRUSTED);
	assert_int_equal(e.n, 2);
	assert_int_equal(addr_port(&e.from), 3000);
	assert_int_equal(e.last_us - e.first_us, 2000000);
	assert_string_equal(e.text, "again");
	assert_true(guard_event_next(w.g, &at, &e));
	assert_int_equal(e.why, REASON_TLS_EXPIRED);
	assert_int_equal(e.n, 1);
	assert_true(guard_event_next(w.g, &at, &e));
	assert_int_equal(e.why, REASON_TLS_NO_CERT);
	assert_string_equal(e.text, "");
	assert_false(guard_event_next(w.g, &at, &e));
	/* many made-up sources push the oldest out; counters stay */
	for (unsigned i = 0; i < 2 * GUARD_EVENTS; i++) {
		snprintf(ip, sizeof(ip), "10.0.%u.%u:5061", i / 200, 1 + i % 200);
		event(&w, ip, REASON_TLS_HANDSHAKE, "x");
	}
	for (at = 0; guard_event_next(w.g, &at, &e); n++)
		assert_int_equal(e.why, REASON_TLS_HANDSHAKE);
	assert_int_equal(n, GUARD_EVENTS);
	event(&w, "192.0.2.1:1000", REASON_PROOF_WRONG, "");
	assert_int_equal(metrics_get(&w.metrics, "refused", "tls_untrusted"), 2);
	assert_int_equal(metrics_get(&w.metrics, "refused", "tls_handshake"), 2 * GUARD_EVENTS);
	assert_int_equal(metrics_get(&w.metrics, "refused", "no_trunk"), 0);
	assert_int_equal(metrics_get(&w.metrics, "refused", "other"), 1);
	guard_free(w.g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_stranger_gets_his_burst_and_then_his_rate),
	    cmocka_unit_test(many_made_up_sources_share_one_budget),
	    cmocka_unit_test(a_known_source_has_a_bucket_when_configured),
	    cmocka_unit_test(a_stranger_who_goes_on_is_banned_for_a_while),
	    cmocka_unit_test(strikes_of_the_rooms_above_count_too),
	    cmocka_unit_test(ipv6_sources_are_a_64),
	    cmocka_unit_test(the_operators_bans_hold_for_everybody),
	    cmocka_unit_test(bans_are_bounded_and_replaced),
	    cmocka_unit_test(bans_come_back_with_what_is_left_of_them),
	    cmocka_unit_test(the_oldest_source_is_forgotten),
	    cmocka_unit_test(who_was_turned_away_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
