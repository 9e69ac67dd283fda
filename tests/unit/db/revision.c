/* Changes by people: author, check, dry run, conflict, history, undo. */
#include "fixture.h"

struct history {
	unsigned n;
	struct db_revision r[8];
	char lines[2048];
	uint64_t show;
};

static bool on_revision(void *ctx, const struct db_revision *r)
{
	struct history *h = ctx;

	h->r[h->n++] = *r;
	return h->n < 8;
}

static bool on_line(void *ctx, const char *line)
{
	struct history *h = ctx;

	strncat(h->lines, line, sizeof(h->lines) - strlen(h->lines) - 2);
	strncat(h->lines, "\n", 2);
	return true;
}

static enum reason do_list(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_revision_list(h, 0, 8, on_revision, arg, err);
}

static enum reason do_show(struct db_handle *h, void *arg, struct db_err *err)
{
	struct history *x = arg;

	x->lines[0] = '\0';
	return db_revision_show(h, x->show, on_line, arg, err);
}

static enum reason do_undo(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_revision_undo(h, *(uint64_t *)arg, err);
}

static void who_and_what(void **s)
{
	static const struct db_target target = {.host = {"192.0.2.1", 9}, .port = 5060, .priority = 1, .weight = 1};
	static const struct db_setting thirty = {{"max-calls", 9}, {"30", 2}}, sixty = {{"max-calls", 9}, {"60", 2}};
	struct db_trunk t = {.name = S("acme"), .role = S("pbx"), .realm = S("lan"), .targets = &target, .n_targets = 1,
	    .settings = &thirty, .n_settings = 1};
	struct history h = {.n = 0};
	struct fix f;

	(void)s;
	fix_init(&f);
	assert_int_equal(fix_edit(&f, do_trunk, &t, NULL), REASON_NONE);
	t.id = 1;
	t.settings = &sixty;
	assert_int_equal(fix_edit(&f, do_trunk, &t, NULL), REASON_NONE);
	assert_int_equal(fix_edit(&f, do_trunk, &t, NULL), REASON_NONE); /* the same again: no revision */
	assert_int_equal(fix_call(&f, DB_READ, do_list, &h), REASON_NONE);
	assert_int_equal(h.n, 2);
	assert_int_equal(h.r[0].id, 2);
	assert_string_equal(h.r[0].who.user, "alice");
	assert_int_equal(h.r[0].who.uid, 1000);
	assert_string_equal(h.r[0].who.why, "test");
	assert_int_equal(h.r[0].n_changes, 1);
	assert_int_equal(h.r[1].n_changes, 3);
	assert_true(h.r[0].at_us > 1600000000000000);
	h.show = 2;
	assert_int_equal(fix_call(&f, DB_READ, do_show, &h), REASON_NONE);
	assert_string_equal(h.lines, "~ trunk_setting trunk_id=1 key=max-calls value=30->60\n");
	h.show = 1;
	assert_int_equal(fix_call(&f, DB_READ, do_show, &h), REASON_NONE);
	assert_non_null(strstr(h.lines, "+ trunk id=1 name=acme role=pbx realm=lan admin=enabled\n"));
	assert_non_null(strstr(h.lines, "+ trunk_target trunk_id=1 position=1 host=192.0.2.1 port=5060"));
	h.show = 9;
	assert_int_equal(fix_call(&f, DB_READ, do_show, &h), REASON_NO_SUCH);
	fix_fini(&f);
}

static void undo_and_its_conflicts(void **s)
{
	char text[256];
	struct fix f;
	uint64_t id;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");                           /* 1 */
	fix_number(&f, "+4930100..+4930199", "acme");    /* 2 */
	fix_number(&f, "+4930300", "acme");              /* 3 */
	id = 2;
	assert_int_equal(fix_edit(&f, do_undo, &id, NULL), REASON_NONE); /* 4 */
	assert_string_equal(fix_numbers(&f, text, sizeof(text)), "+4930300=acme");
	id = 4;
	assert_int_equal(fix_edit(&f, do_undo, &id, NULL), REASON_NONE); /* 5: undo of the undo */
	assert_string_equal(fix_numbers(&f, text, sizeof(text)), "+4930100..+4930199=acme +4930300=acme");
	id = 1; /* its numbers hang on it */
	assert_int_equal(fix_edit(&f, do_undo, &id, NULL), REASON_DB_CONFLICT);
	id = 4; /* done already */
	assert_int_equal(fix_edit(&f, do_undo, &id, NULL), REASON_DB_CONFLICT);
	id = 77;
	assert_int_equal(fix_edit(&f, do_undo, &id, NULL), REASON_NO_SUCH);
	assert_string_equal(fix_numbers(&f, text, sizeof(text)), "+4930100..+4930199=acme +4930300=acme");
	fix_fini(&f);
}

static enum reason refuse(struct db_change *c, const struct db_rows *rows, struct db_err *err)
{
	(void)c;
	assert_int_equal(rows->n_numbers, 1); /* it sees what would be */
	return db_fail(err, REASON_BAD_VALUE, "", "does not compile");
}

static void check_has_the_last_word(void **s)
{
	struct add a = {"+4930100", "acme"};
	struct edit e = {.fn = do_add, .arg = &a, .change = {.apply = edit_apply, .check = refuse}};
	struct db_rows *rows;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	assert_int_equal(db_change_call(f.db, &e.change), REASON_BAD_VALUE);
	assert_string_equal(e.change.req.err.text, "does not compile");
	assert_null(e.change.rows);
	assert_false(e.change.changed);
	rows = fix_load(&f);
	assert_int_equal(rows->n_numbers, 0);
	assert_int_equal(rows->revision, 1);
	db_rows_free(rows);
	fix_fini(&f);
}

static void two_people_at_once(void **s)
{
	struct add a = {"+4930100", "acme"}, b = {"+4930200", "acme"};
	struct edit first = {.fn = do_add, .arg = &a, .change = {.apply = edit_apply, .base_revision = 1}};
	struct edit second = {.fn = do_add, .arg = &b, .change = {.apply = edit_apply, .base_revision = 1}};
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	assert_int_equal(db_change_call(f.db, &first.change), REASON_NONE);
	assert_int_equal(first.change.revision, 2);
	assert_int_equal(first.change.rows->revision, 2);
	db_rows_free(first.change.rows);
	assert_int_equal(db_change_call(f.db, &second.change), REASON_DB_CONFLICT);
	second.change.base_revision = 2;
	assert_int_equal(db_change_call(f.db, &second.change), REASON_NONE);
	db_rows_free(second.change.rows);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_and_what),
	    cmocka_unit_test(undo_and_its_conflicts),
	    cmocka_unit_test(check_has_the_last_word),
	    cmocka_unit_test(two_people_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
