/* Numbers that register one by one (auth=numbers), in virtual time: a registrar with an account for each. */
#include "client_rig.h"

#define NUMS "role=itsp realm=wan target=192.0.2.50 domain=itsp.example.com probe=off expires=600s auth=numbers reg-numbers=acme "

struct registrar {
	struct world *w;
	bool no_gin;              /* 420 */
	bool stale;               /* the next one is told that its nonce is too old */
	bool asks, wrong;         /* 401 without credentials; 401 with them too */
	const char *refuses;      /* 403 to that number */
	unsigned asked, n_ok, n_gone, n_refused, with_credentials;
	int64_t first_us, last_us, least_gap_us;
	struct str seen[64];      /* To of those that were accepted, first time each */
	unsigned n_seen;
};

static void one_register(struct registrar *g, const char *m, struct net_path to)
{
	struct world *w = g->w;
	int64_t now = w->r.clock.mono_us;
	struct str aor = field(m, "\r\nTo: ");
	bool proven = strstr(m, "\r\nAuthorization: ") != NULL, known = false;

	memcpy(w->last, m, sizeof(w->last));
	w->r.sent_to[0] = to;
	if (!proven || !g->asks) {
		if (g->last_us && now - g->last_us < g->least_gap_us)
			g->least_gap_us = now - g->last_us;
		if (!g->first_us)
			g->first_us = now;
		g->last_us = now;
	}
	g->with_credentials += proven;
	if (g->no_gin && strstr(m, "\r\nRequire: gin")) {
		g->n_refused++;
		answer(w, "420 Bad Extension", "Unsupported: gin\r\n");
	} else if (g->stale && proven) {
		g->stale = false;
		answer(w, "401 Unauthorized", CHALLENGE("n2", ", stale=true"));
	} else if (g->asks && (!proven || g->wrong)) {
		g->asked++;
		answer(w, "401 Unauthorized", CHALLENGE("n1", ""));
	} else if (g->refuses && str_find(aor, str_z(g->refuses)) >= 0) {
		g->n_refused++;
		answer(w, "403 Forbidden", "");
	} else if (strstr(m, ";expires=0")) {
		g->n_gone++;
		answer(w, "200 OK", "");
	} else {
		g->n_ok++;
		for (unsigned i = 0; i < g->n_seen; i++)
			known = known || str_eq(g->seen[i], aor);
		if (!known && g->n_seen < ARRAY_LEN(g->seen))
			g->seen[g->n_seen++] = kept(w, aor);
		ok(w, 600, "");
	}
}

static void pass(struct registrar *g, int64_t ms)
{
	static char copy[64][8192];
	struct world *w = g->w;

	for (int64_t t = 0; t <= ms; t += 10) {
		while (w->r.n_sent) {
			struct net_path to[64];
			unsigned n = w->r.n_sent;

			memcpy(copy, w->r.sent, n * sizeof(copy[0]));
			memcpy(to, w->r.sent_to, n * sizeof(to[0]));
			w->r.n_sent = 0;
			for (unsigned i = 0; i < n; i++)
				if (strncmp(copy[i], "REGISTER", 8) == 0)
					one_register(g, copy[i], to[i]);
		}
		run_ms(w, 10);
	}
}

static void begin(struct registrar *g, struct world *w, const char *settings)
{
	*g = (struct registrar){.w = w, .least_gap_us = INT64_MAX};
	world_init(w, settings);
}

/* The table is in order. */
static void give(struct world *w, const char *range, uint32_t trunk)
{
	struct fix *f = &w->r.fix;
	struct db_number n;

	fix_number(f, range, trunk);
	n = f->numbers[f->rows.n_numbers - 1];
	for (unsigned i = f->rows.n_numbers - 1;; i--) {
		const struct db_number *before = i ? &f->numbers[i - 1] : NULL;

		if (!before || strlen(before->first) < strlen(n.first) ||
		    (strlen(before->first) == strlen(n.first) && strcmp(before->first, n.first) < 0)) {
			f->numbers[i] = n;
			break;
		}
		f->numbers[i] = *before;
	}
	use_policy(w);
}

static void take(struct world *w, const char *first)
{
	struct fix *f = &w->r.fix;
	unsigned kept_n = 0;

	for (unsigned i = 0; i < f->rows.n_numbers; i++)
		if (strcmp(f->numbers[i].first, first) != 0)
			f->numbers[kept_n++] = f->numbers[i];
	f->rows.n_numbers = kept_n;
	use_policy(w);
}

/* each by an address of record of its own, in turns, and the challenge is answered once for all */
static void each_number_registers(void **state)
{
	struct world w;
	struct registrar g;
	struct reg_client_view v;
	struct str first;

	(void)state;
	begin(&g, &w, NUMS);
	g.asks = true;
	pass(&g, 1000);
	assert_int_equal(g.n_ok, 10);
	assert_int_equal(g.n_seen, 10);
	assert_int_equal(g.asked, 1); /* the nonce serves all */
	assert_true(g.least_gap_us >= 10000);
	for (unsigned i = 0; i < g.n_seen; i++)
		assert_true(str_prefix(g.seen[i], S("<sip:+493012345")));
	assert_has(w.last, "\r\nContact: <sip:+493012345");
	assert_has(w.last, ";tk=");
	assert_has(w.last, "username=\"trunk42\"");
	assert_has(w.last, "nc=0000000");
	assert_lacks(w.last, "reg-id");
	assert_true(reg_client_view(w.cs, w.id, 1, &v));
	assert_int_equal(v.numbers, 10);
	assert_int_equal(v.numbers_held, 10);
	assert_int_equal(v.sent, 11);
	assert_int_equal(v.state, REG_CLIENT_REGISTERED);
	assert_false(reg_client_view(w.cs, w.id, 2, &v));
	assert_string_equal(w.log, "4:registered "); /* once for all */
	/* each cookie is this trunk's */
	first = field(w.last, ";tk=");
	assert_int_equal(reg_client_of_cookie(w.cs, str_head(first, 16)), w.id);
	/* refreshed at times of their own, within 50 to 90 % */
	g.n_ok = 0;
	pass(&g, 299000);
	assert_int_equal(g.n_ok, 0);
	pass(&g, 242000);
	assert_int_equal(g.n_ok, 10);
	world_fini(&w);
}

/* Two that are out at once get one nonce: it is the one's first challenge and the other's, not a second one. And what
 * the first learned outlives it. */
static void challenged_at_the_same_time(void **state)
{
	struct world w;
	struct registrar g;
	static char out[2][8192];
	struct net_path to;

	(void)state;
	begin(&g, &w, NUMS);
	must_register(&w, 100);
	memcpy(out[0], w.last, sizeof(out[0]));
	must_register(&w, 100);
	memcpy(out[1], w.last, sizeof(out[1]));
	to = w.r.sent_to[0];
	for (int i = 0; i < 2; i++) {
		memcpy(w.last, out[i], sizeof(w.last));
		w.r.sent_to[0] = to;
		answer(&w, "401 Unauthorized", CHALLENGE("n1", ""));
	}
	g.asks = true;
	pass(&g, 1000);
	assert_int_equal(g.n_ok, 10);
	assert_int_equal(g.asked, 0);
	assert_int_equal(view(&w).numbers_held, 10);
	/* the number that was challenged goes; the others refresh by what it learned */
	take(&w, "+4930123450");
	give(&w, "+4930123455..+4930123459", 1);
	pass(&g, 600000);
	assert_int_equal(g.asked, 0);
	assert_int_equal(view(&w).numbers_held, 5);
	world_fini(&w);
}

/* The same where each address of record has nonces of its own: the other one's is worth nothing, and nobody says stale. */
static void challenged_with_a_nonce_for_each(void **state)
{
	struct world w;
	static char out[2][8192];
	struct net_path to;

	(void)state;
	world_init(&w, NUMS);
	must_register(&w, 100);
	memcpy(out[0], w.last, sizeof(out[0]));
	must_register(&w, 100);
	memcpy(out[1], w.last, sizeof(out[1]));
	to = w.r.sent_to[0];
	for (int i = 0; i < 2; i++) {
		memcpy(w.last, out[i], sizeof(w.last));
		w.r.sent_to[0] = to;
		w.r.n_sent = 0;
		answer(&w, "401 Unauthorized", i ? CHALLENGE("n2", "") : CHALLENGE("n1", ""));
		assert_int_equal(w.r.n_sent, 1);
		assert_has(w.r.sent[0], i ? "nonce=\"n2\"" : "nonce=\"n1\"");
	}
	world_fini(&w);
}

/* numbers come and go with the PBX's */
static void follow_the_numbers_of_the_pbx(void **state)
{
	struct world w;
	struct registrar g;

	(void)state;
	begin(&g, &w, NUMS);
	pass(&g, 1000);
	assert_int_equal(g.n_seen, 10);
	give(&w, "+493099", 1);
	give(&w, "+493088", 2); /* another PBX's */
	pass(&g, 1000);
	assert_int_equal(g.n_seen, 11);
	take(&w, "+493099");
	take(&w, "+493088");
	pass(&g, 1000);
	assert_int_equal(g.n_gone, 1);
	assert_int_equal(view(&w).numbers, 10);
	/* another way to register: all are taken back, then that; what either's challenges taught goes with it */
	g.asks = true;
	fix_set(&w.r.fix, w.id, "auth=register");
	fix_set(&w.r.fix, w.id, "aor=pilot");
	use_policy(&w);
	pass(&g, 1000);
	assert_int_equal(g.n_gone, 11);
	assert_int_equal(g.n_seen, 12);
	assert_int_equal(view(&w).numbers, 0);
	assert_has(w.last, "sip:pilot@");
	g.stale = true;
	assert_true(reg_client_register(w.cs, w.id));
	pass(&g, 1000);
	/* and back */
	fix_set(&w.r.fix, w.id, "auth=numbers");
	use_policy(&w);
	pass(&g, 1000);
	assert_int_equal(view(&w).numbers_held, 10);
	reg_clients_stop(w.cs);
	pass(&g, 1000);
	assert_int_equal(g.n_gone, 22);
	assert_int_equal(reg_clients_busy(w.cs), 0);
	world_fini(&w);
}

/* a stop does not wait for turns; and enabled again in the middle of it, all are there in the end */
static void taken_back_in_turns_or_at_once(void **state)
{
	struct world w;
	struct registrar g;

	(void)state;
	begin(&g, &w, NUMS);
	pass(&g, 1000);
	w.r.fix.trunks[w.id - 1].admin = DB_DISABLED;
	use_policy(&w);
	pass(&g, 80);
	assert_in_range(g.n_gone, 1, 8);
	w.r.fix.trunks[w.id - 1].admin = DB_ENABLED;
	use_policy(&w);
	pass(&g, 2000);
	assert_int_equal(g.n_gone, 10);
	assert_int_equal(view(&w).numbers_held, 10);
	w.r.fix.trunks[w.id - 1].admin = DB_DISABLED;
	use_policy(&w);
	pass(&g, 60);
	reg_clients_stop(w.cs);
	assert_true(reg_clients_busy(w.cs) >= 5);
	pass(&g, 20);
	assert_int_equal(g.n_gone, 20);
	assert_int_equal(reg_clients_busy(w.cs), 0);
	world_fini(&w);
}

/* one that is refused is told, the others go on */
static void one_is_refused(void **state)
{
	struct world w;
	struct registrar g;
	struct reg_client_view v;
	struct str number;
	const void *at = NULL;
	unsigned n = 0, bad = 0;

	(void)state;
	begin(&g, &w, NUMS);
	g.refuses = "+4930123453@";
	pass(&g, 1000);
	v = view(&w);
	assert_int_equal(v.numbers, 10);
	assert_int_equal(v.numbers_held, 9);
	assert_int_equal(v.state, REG_CLIENT_REJECTED); /* what needs looking at */
	assert_int_equal(v.why, REASON_REG_FORBIDDEN);
	while (reg_client_number_next(w.cs, w.id, &at, &number, &v)) {
		n++;
		if (v.holds)
			continue;
		bad++;
		assert_true(str_eq(number, S("+4930123453")));
	}
	assert_true(n == 10 && bad == 1);
	assert_has(w.log, "4:REG_FORBIDDEN ");
	pass(&g, 280000);
	assert_int_equal(g.n_refused, 1); /* it is not hammered */
	g.refuses = NULL;
	pass(&g, 60000);
	assert_int_equal(view(&w).numbers_held, 10);
	world_fini(&w);
}

/* Twenty are told one by one; those that were, and went, do not keep the next one from it. */
static void told_of_others_when_those_went(void **state)
{
	struct world w;
	struct registrar g;

	(void)state;
	begin(&g, &w, NUMS);
	give(&w, "+4930999000..+4930999039", 1);
	g.refuses = "+4930999";
	pass(&g, 2000);
	assert_int_equal(g.n_refused, 40);
	take(&w, "+4930999000");
	pass(&g, 1000);
	assert_int_equal(view(&w).numbers_held, view(&w).numbers);
	w.log[w.n_log = 0] = '\0';
	give(&w, "+4930999100", 1);
	pass(&g, 1000);
	assert_string_equal(w.log, "4:REG_FORBIDDEN ");
	world_fini(&w);
}

/* RGC-05: the password is one: a wrong one is not tried by each number */
static void a_wrong_password_is_tried_for_all(void **state)
{
	struct world w;
	struct registrar g;

	(void)state;
	begin(&g, &w, NUMS);
	g.asks = g.wrong = true;
	pass(&g, 59000);
	assert_int_equal(g.with_credentials, 1);
	assert_int_equal(view(&w).numbers_held, 0);
	assert_int_equal(view(&w).why, REASON_AUTH_REJECTED);
	pass(&g, 61000);
	assert_int_equal(g.with_credentials, 2);
	g.wrong = false;
	pass(&g, 180000);
	assert_int_equal(view(&w).numbers_held, 10);
	/* and at once with a new one from the operator */
	g.wrong = true;
	rig_ha1(&w.r, w.id - 1, "trunk42", "itsp.example.com", "another secret");
	use_policy(&w);
	pass(&g, 2000);
	assert_true(g.with_credentials < 40);
	g.wrong = false;
	rig_ha1(&w.r, w.id - 1, "trunk42", "itsp.example.com", "the right secret");
	use_policy(&w);
	pass(&g, 3000);
	assert_int_equal(view(&w).numbers_held, 10);
	world_fini(&w);
}

/* calls of a number go where that number is held */
static void ways_of_a_number(void **state)
{
	struct world w;
	struct registrar g;
	struct reg_client_way held[REG_FLOWS_MAX];
	struct addr other;

	(void)state;
	assert_int_equal(addr_parse(S("192.0.2.51:5060"), 0, &other), 0);
	begin(&g, &w,
	    "role=itsp realm=wan target=192.0.2.50@1,192.0.2.51@2 domain=itsp.example.com probe=off expires=600s auth=numbers "
	    "reg-numbers=plain");
	give(&w, "+4940778", 2);
	must_register(&w, 100);
	assert_has(w.last, "+4940777@");
	ok(&w, 600, "");
	must_register(&w, 100);
	assert_has(w.last, "+4940778@");
	answer(&w, "503 Service Unavailable", "");
	must_register(&w, 100);
	assert_true(addr_eq(&w.r.sent_to[0].remote, &other));
	assert_int_equal(reg_client_ways(w.cs, w.id, S("+4940778"), held), 1); /* where the others are */
	assert_false(addr_eq(&held[0].path.remote, &other));
	ok(&w, 600, "");
	assert_int_equal(reg_client_ways(w.cs, w.id, S("+4940778"), held), 1);
	assert_true(addr_eq(&held[0].path.remote, &other));
	assert_int_equal(reg_client_ways(w.cs, w.id, S("+4940777"), held), 1);
	assert_false(addr_eq(&held[0].path.remote, &other));
	assert_int_equal(reg_client_ways(w.cs, w.id, STR_NONE, held), 2);
	world_fini(&w);
}

/* GINP-02: GIN refused, and the numbers are known: each by itself, once, with an alarm; an operator may try again */
static void ginp_02_instead_of_gin(void **state)
{
	struct world w;
	struct registrar g;

	(void)state;
	begin(&g, &w, "role=itsp realm=wan target=192.0.2.50 domain=itsp.example.com probe=off expires=600s auth=gin aor=trunk42 reg-numbers=acme");
	g.no_gin = true;
	pass(&g, 1000);
	assert_int_equal(g.n_refused, 1);
	assert_int_equal(g.n_ok, 10);
	assert_int_equal(view(&w).numbers_held, 10);
	assert_true(view(&w).fallback);
	assert_string_equal(w.log, "4:REG_NO_GIN 4:registered ");
	use_policy(&w);
	pass(&g, 600000); /* refreshed, never to and fro */
	assert_int_equal(g.n_refused, 1);
	assert_true(g.n_ok >= 20);
	g.no_gin = false;
	assert_true(reg_client_register(w.cs, w.id));
	pass(&g, 1000);
	assert_int_equal(g.n_gone, 10);
	assert_int_equal(view(&w).numbers, 0);
	assert_true(view(&w).bulk && view(&w).holds);
	world_fini(&w);
}

/* a thousand, and no more: 20 s at 50 a second; what is too much is said */
static void a_thousand(void **state)
{
	struct world w;
	struct registrar g;
	struct reg_client_view v;

	(void)state;
	begin(&g, &w, NUMS);
	give(&w, "+49309000..+49309999", 1);
	pass(&g, 21000);
	v = view(&w);
	assert_int_equal(v.numbers, 1000);
	assert_int_equal(v.numbers_held, 1000);
	assert_true(v.more_numbers);
	assert_in_range((g.last_us - g.first_us) / 1000, 19900, 20500);
	assert_string_equal(w.log, "4:registered ");
	/* the same again: nothing is sent */
	g.n_ok = 0;
	use_policy(&w);
	pass(&g, 2000);
	assert_int_equal(g.n_ok, 0);
	/* taken back in turns; one that is wanted again meanwhile begins after its end */
	g.first_us = 0;
	w.r.fix.trunks[w.id - 1].admin = DB_DISABLED;
	use_policy(&w);
	pass(&g, 10000);
	assert_in_range(g.n_gone, 400, 600);
	use_policy(&w);
	pass(&g, 11000);
	assert_int_equal(g.n_gone, 1000);
	assert_in_range((g.last_us - g.first_us) / 1000, 19900, 20500);
	assert_int_equal(view(&w).numbers_held, 0);
	assert_int_equal(view(&w).state, REG_CLIENT_STOPPED);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_number_registers),
	    cmocka_unit_test(challenged_at_the_same_time),
	    cmocka_unit_test(challenged_with_a_nonce_for_each),
	    cmocka_unit_test(follow_the_numbers_of_the_pbx),
	    cmocka_unit_test(taken_back_in_turns_or_at_once),
	    cmocka_unit_test(one_is_refused),
	    cmocka_unit_test(told_of_others_when_those_went),
	    cmocka_unit_test(a_wrong_password_is_tried_for_all),
	    cmocka_unit_test(ways_of_a_number),
	    cmocka_unit_test(ginp_02_instead_of_gin),
	    cmocka_unit_test(a_thousand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
