/* Changes on trial: together kept or taken back, over a restart, not when something was changed on top. */
#include "fixture.h"

/* +4930…1 to trunk 1: one revision each */
static enum reason add_number(struct db_handle *h, void *arg, struct db_err *err)
{
	struct db_number n;
	enum reason r = db_number_parse(str_z(arg), &n, err);

	n.trunk_id = 1;
	return r ? r : db_number_add(h, &n, err);
}

static enum reason del_number(struct db_handle *h, void *arg, struct db_err *err)
{
	struct db_number n;
	uint64_t gone;
	enum reason r = db_number_parse(str_z(arg), &n, err);

	return r ? r : db_number_del(h, &n, 0, &gone, err);
}

static enum reason add_trunk(struct db_handle *h, void *arg, struct db_err *err)
{
	static const struct db_target target = {.host = {"192.0.2.1", 9}, .port = 5060, .priority = 1, .weight = 1};
	const struct db_trunk t = {.name = S("acme"), .role = S("pbx"), .realm = S("lan"), .targets = &target, .n_targets = 1};

	(void)arg;
	return db_trunk_put(h, &t, NULL, err);
}

static const struct db_credential secret = {.user = {"u", 1}, .realm = {"r", 1},
    .md5 = {"0123456789abcdef0123456789abcdef", 32},
    .sha256 = {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 64},
    .sha512_256 = {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 64}};

static enum reason set_password(struct db_handle *h, void *arg, struct db_err *err)
{
	(void)arg;
	return db_credential_put(h, 1, &secret, err);
}

static enum reason number_and_password(struct db_handle *h, void *arg, struct db_err *err)
{
	enum reason r = add_number(h, arg, err);

	return r ? r : set_password(h, NULL, err);
}

static enum reason del_trunk(struct db_handle *h, void *arg, struct db_err *err)
{
	(void)arg;
	return db_trunk_del(h, S("acme"), true, err);
}

static enum reason keep(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_trial_keep(h, arg, err);
}

static enum reason revert(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_trial_revert(h, arg, err);
}

static enum reason get(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_trial_get(h, arg, err);
}

static enum reason undo(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_revision_undo(h, *(uint64_t *)arg, err);
}

/* until 0: for good; *ret_trial: what the change saw of it */
static enum reason change(struct fix *f, enum reason (*fn)(struct db_handle *, void *, struct db_err *), void *arg,
    int64_t until_us, struct db_trial *ret_trial)
{
	struct edit e = {.fn = fn, .arg = arg,
	    .change = {.apply = edit_apply, .trial_until_us = until_us, .who = {.user = "alice", .why = "test"}}};
	enum reason r = db_change_call(f->db, &e.change);

	f->err = e.change.req.err;
	if (ret_trial)
		*ret_trial = e.change.trial;
	db_rows_free(e.change.rows);
	return r;
}

static enum reason load(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_load(h, arg, err);
}

static unsigned numbers(struct fix *f)
{
	struct db_rows *rows = NULL;
	unsigned n;

	assert_int_equal(fix_call(f, DB_READ, load, &rows), REASON_NONE);
	n = rows->n_numbers;
	db_rows_free(rows);
	return n;
}

static struct db_trial now(struct fix *f)
{
	struct db_trial t = {.n = 99};

	assert_int_equal(fix_call(f, DB_READ, get, &t), REASON_NONE);
	return t;
}

static void begin(struct fix *f)
{
	fix_init(f);
	assert_int_equal(change(f, add_trunk, NULL, 0, NULL), REASON_NONE);
	assert_int_equal(change(f, add_number, "+49301", 0, NULL), REASON_NONE);
	assert_int_equal(now(f).n, 0);
}

static void two_changes_go_together(void **s)
{
	struct db_trial t;
	struct fix f;

	(void)s;
	begin(&f);
	assert_int_equal(change(&f, add_number, "+49302", 1000, &t), REASON_NONE);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.until_us, 1000);
	/* one for good between them stays */
	assert_int_equal(change(&f, add_number, "+49303", 0, &t), REASON_NONE);
	assert_int_equal(t.n, 1);
	/* the same row twice: only from the newest on can they be taken back */
	assert_int_equal(change(&f, del_number, "+49302", 3000, &t), REASON_NONE);
	assert_int_equal(t.n, 2);
	assert_int_equal(t.until_us, 3000);
	assert_int_equal(change(&f, add_number, "+49304", 2000, &t), REASON_NONE);
	assert_int_equal(t.n, 3);
	assert_int_equal(t.newest, 6);
	assert_int_equal(t.until_us, 2000); /* the newest word counts */
	fix_close(&f);
	fix_open(&f);
	t = now(&f);
	assert_int_equal(t.n, 3);
	assert_int_equal(t.until_us, 2000);
	assert_int_equal(numbers(&f), 3);
	assert_int_equal(change(&f, revert, &t, 0, NULL), REASON_NONE);
	assert_int_equal(t.n, 3);
	assert_int_equal(numbers(&f), 2);
	assert_int_equal(now(&f).n, 0);
	assert_int_equal(change(&f, revert, &t, 0, NULL), REASON_NO_SUCH);
	fix_fini(&f);
}

static void what_is_kept_stays(void **s)
{
	struct db_trial t;
	struct fix f;

	(void)s;
	begin(&f);
	assert_int_equal(change(&f, keep, &t, 0, NULL), REASON_NO_SUCH);
	assert_int_equal(change(&f, add_number, "+49302", 1000, NULL), REASON_NONE);
	assert_int_equal(change(&f, keep, &t, 0, NULL), REASON_NONE);
	assert_int_equal(t.n, 1);
	assert_int_equal(now(&f).n, 0);
	assert_int_equal(numbers(&f), 2);
	assert_int_equal(change(&f, revert, &t, 0, NULL), REASON_NO_SUCH);
	fix_fini(&f);
}

/* what was changed on top of it stays as it is, and so does the trial, until that is undone */
static void a_change_on_top(void **s)
{
	uint64_t top = 5;
	struct db_trial t;
	struct fix f;

	(void)s;
	begin(&f);
	assert_int_equal(change(&f, add_number, "+49302", 1000, NULL), REASON_NONE);
	assert_int_equal(change(&f, add_number, "+49303", 1000, NULL), REASON_NONE);
	assert_int_equal(change(&f, del_number, "+49302", 0, NULL), REASON_NONE);
	assert_int_equal(change(&f, revert, &t, 0, NULL), REASON_DB_CONFLICT);
	assert_int_equal(now(&f).n, 2);
	assert_int_equal(numbers(&f), 2);
	assert_int_equal(change(&f, undo, &top, 0, NULL), REASON_NONE);
	assert_int_equal(change(&f, revert, &t, 0, NULL), REASON_NONE);
	assert_int_equal(numbers(&f), 1);
	fix_fini(&f);
}

static void what_is_undone_is_on_trial_no_longer(void **s)
{
	uint64_t id = 3;
	struct fix f;

	(void)s;
	begin(&f);
	assert_int_equal(change(&f, add_number, "+49302", 1000, NULL), REASON_NONE);
	assert_int_equal(change(&f, add_number, "+49303", 1000, NULL), REASON_NONE);
	assert_int_equal(change(&f, undo, &id, 0, NULL), REASON_NONE);
	assert_int_equal(now(&f).n, 1);
	assert_int_equal(now(&f).newest, 4);
	fix_fini(&f);
}

/* no revision holds a password */
static void passwords_cannot_be_on_trial(void **s)
{
	struct fix f;

	(void)s;
	begin(&f);
	assert_int_equal(change(&f, number_and_password, "+49302", 1000, NULL), REASON_BAD_VALUE);
	assert_non_null(strstr(f.err.text, "password"));
	assert_int_equal(numbers(&f), 1);
	assert_int_equal(change(&f, set_password, NULL, 0, NULL), REASON_NONE);
	assert_int_equal(change(&f, del_trunk, NULL, 1000, NULL), REASON_BAD_VALUE);
	assert_int_equal(now(&f).n, 0);
	assert_int_equal(numbers(&f), 1);
	assert_int_equal(change(&f, del_trunk, NULL, 0, NULL), REASON_NONE);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(two_changes_go_together),
	    cmocka_unit_test(what_is_kept_stays),
	    cmocka_unit_test(a_change_on_top),
	    cmocka_unit_test(what_is_undone_is_on_trial_no_longer),
	    cmocka_unit_test(passwords_cannot_be_on_trial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
