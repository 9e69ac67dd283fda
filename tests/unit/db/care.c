/* The check finds what is wrong; a backup is whole, verified, and never overwrites. */
#include "fixture.h"

static void on_line(void *ctx, const char *line)
{
	char *all = ctx;

	strncat(all, line, 4000 - strlen(all));
	strncat(all, "\n", 4000 - strlen(all));
}

static enum reason do_check(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_check(h, on_line, arg, err);
}

static enum reason do_backup(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_backup(h, arg, err);
}

static void by_hand(const char *path, const char *text)
{
	char *why = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &why))
		fail_msg("%s", why);
	sqlite3_close(db);
}

static void healthy(void **s)
{
	char all[4096] = "";
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_number(&f, "+4930100..+4930199", "acme");
	fix_number(&f, "+4930200..+4930299", "acme");
	assert_int_equal(fix_call(&f, DB_READ, do_check, all), REASON_NONE);
	assert_string_equal(all, "");
	fix_fini(&f);
}

static void every_finding(void **s)
{
	char all[4096] = "";
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_number(&f, "+4930100..+4930199", "acme");
	fix_close(&f);
	by_hand(f.path,
	    "INSERT INTO number (trunk_id, digits, first, last) VALUES (1, 7, '+4930150', '+4930160');"
	    "INSERT INTO number (trunk_id, digits, first, last) VALUES (1, 7, '+4930155', '+4930156');"
	    "INSERT INTO number (trunk_id, digits, first, last) VALUES (1, 4, '+49a0', '+49a1');"
	    "INSERT INTO number (trunk_id, digits, first, last) VALUES (9, 4, '+4999', '+4999');"
	    "INSERT INTO trunk (name, role, realm, admin) VALUES ('bare', 'pbx', 'lan', 'enabled');"
	    "INSERT INTO route (name, position, from_pattern, to_pattern, deny) VALUES ('lost', 1, '*', '*', 0);");
	fix_open(&f);
	assert_int_equal(fix_call(&f, DB_READ, do_check, all), REASON_NONE);
	assert_non_null(strstr(all, "number +4930150..+4930160 overlaps +4930100..+4930199\n"));
	assert_non_null(strstr(all, "number +4930155..+4930156 overlaps"));
	assert_non_null(strstr(all, "number +49a0..+49a1 is not a block of E.164 numbers\n"));
	assert_non_null(strstr(all, "number row 5 refers to a row of trunk that does not exist\n"));
	assert_non_null(strstr(all, "trunk bare has no target\n"));
	assert_non_null(strstr(all, "route lost leads nowhere"));
	fix_fini(&f);
}

static void damage_is_a_finding(void **s)
{
	char all[4096] = "";
	sqlite3_stmt *q;
	sqlite3 *db;
	int64_t page;
	struct fix f;
	int fd;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	for (unsigned i = 0; i < 300; i++) {
		char text[24];

		snprintf(text, sizeof(text), "+4930%05u", i * 2);
		fix_number(&f, text, "acme");
	}
	fix_close(&f);
	assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'number_trunk'", -1, &q, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	page = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	sqlite3_close(db);
	fd = open(f.path, O_WRONLY);
	assert_int_equal(pwrite(fd, "damage", 6, (page - 1) * 4096 + 4), 6);
	close(fd);
	fix_open(&f);
	assert_int_equal(fix_call(&f, DB_READ, do_check, all), REASON_NONE);
	assert_true(strlen(all) > 0);
	fix_fini(&f);
}

static void backup(void **s)
{
	char path[90], all[4096] = "";
	struct db_rows *rows;
	struct stat st;
	struct fix f, g;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_number(&f, "+4930100..+4930199", "acme");
	snprintf(path, sizeof(path), "%s/copy.db", f.dir);
	assert_int_equal(fix_call(&f, DB_READ, do_backup, path), REASON_NONE);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fix_call(&f, DB_READ, do_backup, path), REASON_NAME_TAKEN);
	fix_number(&f, "+4930500", "acme"); /* after the copy */
	g = f;
	snprintf(g.path, sizeof(g.path), "%s", path);
	fix_open(&g);
	rows = fix_load(&g);
	assert_int_equal(rows->n_numbers, 1);
	assert_int_equal(rows->n_trunks, 1);
	db_rows_free(rows);
	assert_int_equal(fix_call(&g, DB_READ, do_check, all), REASON_NONE);
	assert_string_equal(all, "");
	fix_close(&g);
	assert_int_equal(fix_call(&f, DB_READ, do_backup, (void *)"/nonexistent/dir/x.db"), REASON_DB_NO_DIRECTORY);
	assert_true(strlen(f.err.hint) > 0);
	snprintf(path, sizeof(path), "%s/copy.db.part", f.dir);
	assert_int_equal(access(path, F_OK), -1);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(healthy),
	    cmocka_unit_test(every_finding),
	    cmocka_unit_test(damage_is_a_finding),
	    cmocka_unit_test(backup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
