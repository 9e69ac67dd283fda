/* --confirm: a change is taken back when its time is over, kept when somebody says so, and survives a restart. */
#include "world.h"

#include <sqlite3.h>

static void expect(struct world *w, const char *line, int code, const char *has)
{
	struct answer a;

	w_run_how(w, line, (struct how){0}, &a);
	if (a.code != code || (!strstr(text_z(&a.out), has) && !strstr(text_z(&a.err), has)))
		print_error("%s: exit %d, wanted %s\n%s%s", line, a.code, has, text_z(&a.out), text_z(&a.err));
	assert_int_equal(a.code, code);
	assert_true(strstr(text_z(&a.out), has) || strstr(text_z(&a.err), has));
	answer_fini(&a);
}

static bool says(struct world *w, const char *line, const char *has)
{
	struct answer a;
	bool found;

	w_run_how(w, line, (struct how){0}, &a);
	found = strstr(text_z(&a.out), has) || strstr(text_z(&a.err), has);
	answer_fini(&a);
	return found;
}

static struct world *begin(void)
{
	struct world *w = w_new();

	w_ok(w, "trunk add acme role=itsp realm=wan target=192.0.2.1 max-calls=30");
	return w;
}

/* the store's thread answers when it likes */
static void until_settled(struct world *w)
{
	for (int i = 0; i < 2000 && w->ctl->trial.job; i++)
		loop_turn(&w->loop, 5);
	assert_null(w->ctl->trial.job);
}

static void pass(struct world *w, int64_t s)
{
	w_advance(w, s * 1000000);
	until_settled(w);
}

static void taken_back_when_nobody_confirms(void **state)
{
	struct world *w = begin();
	unsigned swaps;

	(void)state;
	expect(w, "trunk set acme max-calls=5 --confirm 5m", 0, "taken back in 5:00");
	assert_true(says(w, "trunk show acme", "5"));
	expect(w, "status", 1, "1 change is taken back in");
	/* a second one moves the end of both */
	pass(w, 200);
	expect(w, "number add +4989 acme --confirm 5m", 0, "on trial");
	expect(w, "status", 1, "2 changes are taken back in");
	pass(w, 290);
	assert_true(says(w, "trunk show acme", "max-calls"));
	swaps = w->policy_swaps;
	pass(w, 11);
	assert_int_equal(w->policy_swaps, swaps + 1);
	expect(w, "number find +4989", 1, "belongs to no trunk");
	assert_true(says(w, "trunk show acme", "30"));
	assert_false(says(w, "status", "taken back"));
	assert_true(says(w, "db history", "not confirmed in time"));
	pass(w, 86400);
	assert_int_equal(w->policy_swaps, swaps + 1);
	w_free(w);
}

static void kept_when_somebody_does(void **state)
{
	struct world *w = begin();

	(void)state;
	expect(w, "db confirm", 2, "no change is on trial");
	expect(w, "trunk set acme max-calls=5 --confirm 5m", 0, "postern db confirm");
	expect(w, "db confirm", 0, "kept: 1 change");
	pass(w, 400);
	assert_false(says(w, "status", "taken back"));
	assert_false(says(w, "db history", "not confirmed in time"));
	expect(w, "trunk set acme max-calls=6 --confirm 5m", 0, "postern db confirm");
	expect(w, "db revert", 0, "taken back: 1 change");
	pass(w, 400);
	assert_false(says(w, "db history", "not confirmed in time"));
	w_free(w);
}

/* What was changed on top is not lost: the trial stays, and is said, until somebody decides. */
static void a_conflict_is_said(void **state)
{
	struct world *w = begin();
	unsigned swaps;

	(void)state;
	w_ok(w, "trunk set acme max-calls=5 --confirm 1m");
	w_ok(w, "trunk set acme max-calls=6");
	swaps = w->policy_swaps;
	pass(w, 61);
	assert_int_equal(w->policy_swaps, swaps);
	expect(w, "status", 2, "1 change was not confirmed in time, and could not be taken back");
	/* something else does not start it again, its end is said until it is decided */
	w_ok(w, "number add +4989 acme");
	pass(w, 1);
	expect(w, "status", 2, "could not be taken back");
	expect(w, "db revert", 2, "changed again since");
	w_ok(w, "db confirm");
	assert_false(says(w, "status", "taken back"));
	w_free(w);
}

/* The time is over while the store cannot write: said, and done when it can. */
static void a_store_that_is_locked(void **state)
{
	struct world *w = begin();
	sqlite3 *other;

	(void)state;
	w_ok(w, "trunk set acme max-calls=5 --confirm 1m");
	assert_int_equal(sqlite3_open(w->file, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	pass(w, 61);
	assert_true(says(w, "status", "could not be taken back"));
	assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	w_ok(w, "number add +4989 acme"); /* something else puts it off by five seconds at most */
	pass(w, 4);
	assert_true(says(w, "status", "could not be taken back"));
	pass(w, 2);
	assert_false(says(w, "status", "taken back"));
	assert_true(says(w, "db history", "not confirmed in time"));
	w_free(w);
}

static void restart(struct world *w)
{
	struct ctl_backend be = w_backend(w);
	struct ctl_error err;

	ctl_server_free(w->ctl, w_closed, w);
	for (int i = 0; i < 100 && !w->gone; i++)
		loop_turn(&w->loop, 10);
	assert_true(w->gone);
	w->gone = false;
	assert_int_equal(ctl_server_new(&be, w->path, &w->ctl, &err), 0);
}

static void it_outlives_a_restart(void **state)
{
	struct world *w = begin();

	(void)state;
	w_ok(w, "trunk set acme max-calls=5 --confirm 5m");
	restart(w);
	until_settled(w);
	expect(w, "status", 1, "1 change is taken back in");
	/* over while nobody was there */
	w->clock.wall_us += (int64_t)3600 * 1000000;
	restart(w);
	for (int i = 0; i < 2000 && (w->ctl->trial.job || w->ctl->trial.now.n); i++)
		loop_turn(&w->loop, 5);
	assert_int_equal(w->ctl->trial.now.n, 0);
	until_settled(w);
	assert_true(says(w, "db history", "not confirmed in time"));
	/* gone in the middle of it: what the store does is done */
	w_ok(w, "trunk set acme max-calls=7 --confirm 1m");
	w_advance(w, (int64_t)61 * 1000000);
	restart(w);
	until_settled(w);
	assert_int_equal(w->ctl->trial.now.n, 0);
	w_free(w);
}

static void what_cannot_be(void **state)
{
	struct world *w = begin();

	(void)state;
	expect(w, "trunk set acme max-calls=5 --confirm 9s", 2, "10 seconds to a day");
	expect(w, "trunk set acme max-calls=5 --confirm 2d", 2, "10 seconds to a day");
	assert_true(says(w, "trunk set acme max-calls=5 --confirm soon", "--confirm"));
	/* nothing changed: nothing on trial */
	expect(w, "trunk set acme max-calls=30 --confirm 5m", 0, "");
	assert_false(says(w, "status", "taken back"));
	expect(w, "number import f --confirm 5m --dry-run", 2, "");
	w_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(taken_back_when_nobody_confirms),
	    cmocka_unit_test(kept_when_somebody_does),
	    cmocka_unit_test(a_conflict_is_said),
	    cmocka_unit_test(a_store_that_is_locked),
	    cmocka_unit_test(it_outlives_a_restart),
	    cmocka_unit_test(what_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
