/* Blocks of numbers: reading, overlap, cutting, import. */
#include "fixture.h"

static void parse_forms(void **s)
{
	static const struct {
		const char *text, *first, *last;
		uint64_t count;
	} good[] = {
	    {"+49301234500", "+49301234500", "+49301234500", 1},
	    {" +49 (30) 12345-00 ", "+49301234500", "+49301234500", 1},
	    {"+49301234500..+49301234599", "+49301234500", "+49301234599", 100},
	    {"+49 30 1234500 .. +49 30 1234599", "+49301234500", "+49301234599", 100},
	    {"+49301234500..599", "+49301234500", "+49301234599", 100},
	    {"+493012345xx", "+49301234500", "+49301234599", 100},
	    {"+4930xxxxxxxX", "+493000000000", "+493099999999", 100000000},
	    {"+123", "+123", "+123", 1},
	    {"+123456789012345", "+123456789012345", "+123456789012345", 1},
	};
	static const char *const bad[] = {"", "+", "49301234", "+0301234", "+12", "+1234567890123456", "+49a", "+49..",
	    "..+49301", "+49301..+493012", "+49309..+49301", "+49x1", "+4930x..+49309", "+49301..+4930x", "+49301..12345678901",
	    "++49301", "+493+01", "+49301..+49302..+49303", "x", "+x"};
	struct db_number n;
	struct db_err err;

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
		if (db_number_parse(str_z(good[i].text), &n, &err))
			fail_msg("%s: %s", good[i].text, err.text);
		assert_string_equal(n.first, good[i].first);
		assert_string_equal(n.last, good[i].last);
		assert_int_equal(db_number_count(&n), good[i].count);
	}
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		if (db_number_parse(str_z(bad[i]), &n, &err) != REASON_BAD_VALUE)
			fail_msg("'%s' was taken as %s..%s", bad[i], n.first, n.last);
		assert_true(strlen(err.text) > 10);
		assert_non_null(strstr(err.hint, "+49"));
	}
}

static void overlap_names_the_other(void **s)
{
	static const char *const over[] = {"+4930100..+4930199", "+4930150", "+4930100", "+4930199", "+4930050..+4930100",
	    "+4930199..+4930300", "+4930000..+4930999", "+4930120..+4930130"};
	static const char *const beside[] = {"+4930099", "+4930200..+4930250", "+493010", "+49301000"};
	char text[512];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_trunk(&f, "other");
	assert_int_equal(fix_number(&f, "+4930100..+4930199", "acme"), REASON_NONE);
	for (unsigned i = 0; i < ARRAY_LEN(over); i++) {
		assert_int_equal(fix_number(&f, over[i], "other"), REASON_NUMBER_TAKEN);
		assert_non_null(strstr(f.err.text, "+4930100..+4930199 of trunk acme"));
		assert_string_equal(f.err.hint, "postern number del +4930100..+4930199");
	}
	for (unsigned i = 0; i < ARRAY_LEN(beside); i++)
		if (fix_number(&f, beside[i], "other"))
			fail_msg("%s: %s", beside[i], f.err.text);
	assert_string_equal(fix_numbers(&f, text, sizeof(text)),
	    "+493010=other +4930099=other +4930100..+4930199=acme +4930200..+4930250=other +49301000=other");
	assert_int_equal(fix_number(&f, "+4931", "nobody"), REASON_NO_SUCH);
	fix_fini(&f);
}

struct del {
	const char *range;
	uint32_t trunk;
	uint64_t removed;
};

static enum reason do_del(struct db_handle *h, void *arg, struct db_err *err)
{
	struct del *d = arg;
	struct db_number n;
	enum reason r = db_number_parse(str_z(d->range), &n, err);

	return r ? r : db_number_del(h, &n, d->trunk, &d->removed, err);
}

static void deleting_cuts_blocks(void **s)
{
	struct del middle = {"+4930120..+4930129", 0, 0}, two = {"+4930190..+4930209", 0, 0}, mine = {"+4930xxx", 2, 0},
		   none = {"+4931000", 0, 0}, rest = {"+4930xxx", 0, 0};
	char text[512];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_trunk(&f, "other");
	fix_number(&f, "+4930100..+4930199", "acme");
	fix_number(&f, "+4930200..+4930299", "other");
	assert_int_equal(fix_edit(&f, do_del, &middle, NULL), REASON_NONE);
	assert_int_equal(middle.removed, 10);
	assert_int_equal(fix_edit(&f, do_del, &two, NULL), REASON_NONE);
	assert_int_equal(two.removed, 20);
	assert_string_equal(fix_numbers(&f, text, sizeof(text)),
	    "+4930100..+4930119=acme +4930130..+4930189=acme +4930210..+4930299=other");
	assert_int_equal(fix_edit(&f, do_del, &none, NULL), REASON_NO_SUCH);
	assert_int_equal(fix_edit(&f, do_del, &mine, NULL), REASON_NONE);
	assert_int_equal(mine.removed, 90);
	assert_int_equal(fix_edit(&f, do_del, &mine, NULL), REASON_NO_SUCH);
	assert_int_equal(fix_edit(&f, do_del, &rest, NULL), REASON_NONE);
	assert_int_equal(rest.removed, 80);
	assert_string_equal(fix_numbers(&f, text, sizeof(text)), "");
	fix_fini(&f);
}

struct import {
	struct db_import *im;
	bool replace;
};

static enum reason do_import(struct db_handle *h, void *arg, struct db_err *err)
{
	struct import *i = arg;

	return db_import_apply(h, i->im, i->replace, err);
}

static struct db_import *rows(const char *const (*row)[2], unsigned n)
{
	struct db_import *im = db_import_new();

	assert_non_null(im);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(db_import_row(im, i + 2, str_z(row[i][0]), str_z(row[i][1])), REASON_NONE);
	return im;
}

static void import_is_all_or_nothing(void **s)
{
	static const char *const file[][2] = {{"+4930100..+4930199", "acme"}, {"+4930150", "acme"}, {"4930", "acme"},
	    {"+4930300", "nobody"}, {"+4930400", "other"}, {"+4930401", ""}};
	struct import i = {rows(file, 6), false};
	char text[256];
	unsigned line;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_trunk(&f, "other");
	assert_int_equal(fix_edit(&f, do_import, &i, NULL), REASON_BAD_VALUE);
	assert_int_equal(db_import_stats(i.im)->rows, 6);
	assert_int_equal(db_import_stats(i.im)->errors, 4);
	assert_non_null(strstr(db_import_error(i.im, 0, &line), "4930"));
	assert_int_equal(line, 4);
	assert_string_equal(db_import_error(i.im, 1, &line), "no trunk is named");
	assert_int_equal(line, 7);
	assert_string_equal(db_import_error(i.im, 2, &line), "there is no trunk 'nobody'");
	assert_int_equal(line, 5);
	assert_string_equal(db_import_error(i.im, 3, &line), "+4930150..+4930150 overlaps +4930100..+4930199 of trunk acme");
	assert_int_equal(line, 3);
	assert_null(db_import_error(i.im, 4, &line));
	assert_string_equal(fix_numbers(&f, text, sizeof(text)), "");
	db_import_free(i.im);
	fix_fini(&f);
}

static void import_adds_and_replaces(void **s)
{
	static const char *const one[][2] = {{"+4930100..+4930199", "acme"}, {"+4930200..299", "ACME"}, {"+4930400", "other"}};
	static const char *const two[][2] = {{"+4930200..+4930299", "acme"}, {"+4930100..+4930149", "acme"}};
	struct import a = {rows(one, 3), false}, b = {rows(two, 2), true};
	char text[256];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_trunk(&f, "other");
	assert_int_equal(fix_edit(&f, do_import, &a, NULL), REASON_NONE);
	assert_int_equal(db_import_stats(a.im)->added, 3);
	assert_int_equal(db_import_stats(a.im)->numbers_added, 201);
	/* the same file again changes nothing */
	assert_int_equal(fix_edit(&f, do_import, &a, NULL), REASON_NONE);
	assert_int_equal(db_import_stats(a.im)->added, 0);
	assert_int_equal(db_import_stats(a.im)->present, 3);
	assert_int_equal(fix_edit(&f, do_import, &b, NULL), REASON_NONE);
	assert_int_equal(db_import_stats(b.im)->removed, 1);
	assert_int_equal(db_import_stats(b.im)->present, 1);
	assert_int_equal(db_import_stats(b.im)->added, 1);
	assert_string_equal(fix_numbers(&f, text, sizeof(text)),
	    "+4930100..+4930149=acme +4930200..+4930299=acme +4930400=other");
	db_import_free(a.im);
	db_import_free(b.im);
	fix_fini(&f);
}

static void import_dry_run_leaves_nothing(void **s)
{
	static const char *const one[][2] = {{"+4930100..+4930199", "acme"}};
	struct import i = {rows(one, 1), false};
	struct edit e = {.fn = do_import, .arg = &i, .change = {.apply = edit_apply, .dry_run = true}};
	char text[256];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	assert_int_equal(db_change_call(f.db, &e.change), REASON_NONE);
	assert_true(e.change.changed);
	assert_int_equal(e.change.revision, 1);
	assert_int_equal(e.change.rows->n_numbers, 1);
	db_rows_free(e.change.rows);
	assert_int_equal(db_import_stats(i.im)->added, 1);
	assert_string_equal(fix_numbers(&f, text, sizeof(text)), "");
	db_import_free(i.im);
	fix_fini(&f);
}

static void import_of_many(void **s)
{
	struct import i = {db_import_new(), false};
	struct db_rows *all;
	struct fix f;
	char text[32];

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	for (unsigned k = 0; k < 20000; k++) {
		snprintf(text, sizeof(text), "+4930%06u", (k * 7919u) % 1000000u); /* out of order */
		assert_int_equal(db_import_row(i.im, k + 1, str_z(text), S("acme")), REASON_NONE);
	}
	assert_int_equal(fix_edit(&f, do_import, &i, &all), REASON_NONE);
	assert_int_equal(all->n_numbers, 20000);
	for (unsigned k = 1; k < all->n_numbers; k++)
		assert_true(strcmp(all->numbers[k - 1].first, all->numbers[k].first) < 0);
	db_rows_free(all);
	db_import_free(i.im);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parse_forms),
	    cmocka_unit_test(overlap_names_the_other),
	    cmocka_unit_test(deleting_cuts_blocks),
	    cmocka_unit_test(import_is_all_or_nothing),
	    cmocka_unit_test(import_adds_and_replaces),
	    cmocka_unit_test(import_dry_run_leaves_nothing),
	    cmocka_unit_test(import_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
