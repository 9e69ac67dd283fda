/* Secrets of the box: one in force of each name, those before it for their grace time, over a restart. */
#include "fixture.h"

struct put {
	struct str name, value;
	int64_t grace_us;
};

static enum reason put(struct db_handle *h, void *arg, struct db_err *err)
{
	const struct put *p = arg;

	return db_secret_put(h, p->name, p->value, p->grace_us, err);
}

struct seen {
	char text[256];
	size_t n;
};

static void see(void *ctx, const struct db_secret *s)
{
	struct seen *x = ctx;

	x->n += (size_t)snprintf(x->text + x->n, sizeof(x->text) - x->n, "%.*s %u %.*s%s;", STR(s->name), s->n, STR(s->value),
	    s->until_us ? " old" : "");
}

static enum reason all(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_secret_all(h, see, arg, err);
}

static void seen_is(struct fix *f, const char *want)
{
	struct seen x = {.n = 0};

	assert_int_equal(fix_call(f, DB_WRITE, all, &x), REASON_NONE);
	assert_string_equal(x.text, want);
}

static void one_in_force(void **s)
{
	struct db_rows *rows;
	uint64_t revision;
	struct fix f;

	(void)s;
	fix_init(&f);
	rows = fix_load(&f);
	revision = rows->revision;
	db_rows_free(rows);
	assert_int_equal(fix_call(&f, DB_WRITE, put, &(struct put){S("a"), S("one"), 0}), REASON_NONE);
	assert_int_equal(fix_call(&f, DB_WRITE, put, &(struct put){S("b"), S("else"), 0}), REASON_NONE);
	assert_int_equal(fix_call(&f, DB_WRITE, put, &(struct put){S("a"), S("two"), 3600000000}), REASON_NONE);
	seen_is(&f, "a 2 two;a 1 one old;b 1 else;");
	fix_close(&f);
	fix_open(&f);
	seen_is(&f, "a 2 two;a 1 one old;b 1 else;");
	/* without grace the one before goes at once; a number is not given twice while it counts */
	assert_int_equal(fix_call(&f, DB_WRITE, put, &(struct put){S("a"), S("three"), 0}), REASON_NONE);
	seen_is(&f, "a 3 three;a 1 one old;b 1 else;");
	assert_int_equal(fix_call(&f, DB_WRITE, put, &(struct put){S("a"), STR_NONE, 0}), REASON_BAD_VALUE);
	assert_int_equal(fix_call(&f, DB_WRITE, put, &(struct put){STR_NONE, S("x"), 0}), REASON_BAD_VALUE);
	rows = fix_load(&f);
	assert_int_equal(rows->revision, revision);
	db_rows_free(rows);
	fix_close(&f);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(one_in_force)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
