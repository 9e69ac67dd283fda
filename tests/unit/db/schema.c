/* Files of every older version are brought forward with all they hold, and a copy is kept. */
#include "fixture.h"

static char *read_text(const char *path)
{
	char *text;
	long n;
	FILE *in = fopen(path, "r");

	assert_non_null(in);
	assert_int_equal(fseek(in, 0, SEEK_END), 0);
	n = ftell(in);
	rewind(in);
	text = malloc((size_t)n + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)n, in), n);
	text[n] = '\0';
	fclose(in);
	return text;
}

static void make_old(struct fix *f, const char *name)
{
	char path[256];
	sqlite3 *db;
	char *text;

	snprintf(path, sizeof(path), "%s/tests/unit/db/%s", TEST_SOURCE_DIR, name);
	text = read_text(path);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, NULL))
		fail_msg("%s: %s", name, sqlite3_errmsg(db));
	sqlite3_close(db);
	free(text);
}

/* The schema as text, tables and indexes in order of name. */
static char *dump(const char *path)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	char *text;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db,
			     "SELECT group_concat(x, char(10)) FROM (SELECT m.name || ' ' || group_concat(c.name || ' ' ||"
			     " c.type || ' ' || c.\"notnull\" || ' ' || coalesce(c.dflt_value, '-'), ', ') AS x FROM"
			     " sqlite_schema m LEFT JOIN pragma_table_info(m.name) c GROUP BY m.name ORDER BY m.name)",
			     -1, &st, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	text = strdup((const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	sqlite3_close(db);
	return text;
}

struct records {
	unsigned n;
	uint64_t id[4];
	enum reason reason[4];
	int64_t end_us[4];
	uint32_t talk_ms[4];
	size_t codec_n; /* bytes of all codecs */
};

static bool on_cdr(void *ctx, const struct db_cdr *c)
{
	struct records *r = ctx;

	r->id[r->n] = c->id;
	r->end_us[r->n] = c->end_us;
	r->talk_ms[r->n] = c->talk_ms;
	r->codec_n += c->side[0].codec.n;
	r->reason[r->n++] = c->reason;
	return r->n < 4;
}

static enum reason do_find(struct db_handle *h, void *arg, struct db_err *err)
{
	struct db_cdr_query q = {.number = S("+4989")};

	return db_cdr_find(h, &q, on_cdr, arg, err);
}

static void on_finding(void *ctx, const char *line)
{
	(void)ctx;
	fail_msg("%s", line);
}

static enum reason do_check(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_check(h, on_finding, arg, err);
}

static void version_1_comes_forward(void **s)
{
	struct records rec = {.n = 0};
	struct db_stats st;
	struct db_rows *rows;
	char copy[128], *migrated, *fresh;
	struct fix f, g;

	(void)s;
	fix_dir(&f);
	make_old(&f, "schema_v1.sql");
	fix_open(&f);
	db_stats_any(f.db, &st);
	assert_int_equal(st.schema, db_schema_version);
	assert_int_equal(st.recovered, 1);
	rows = fix_load(&f);
	assert_int_equal(rows->n_trunks, 2);
	assert_int_equal(rows->n_numbers, 1);
	assert_int_equal(rows->n_routes, 2);
	assert_int_equal(rows->n_bans, 1);
	assert_int_equal(rows->revision, 1);
	assert_str(rows->trunks[0].settings[0].value, "30");
	assert_int_equal(rows->routes[0].hours.days, 0); /* always, as before */
	assert_int_equal(rows->routes[0].hours.to_min, 1440);
	assert_int_equal(rows->routes[0].via[0].weight, 10);
	db_rows_free(rows);
	assert_int_equal(fix_call(&f, DB_READ, do_find, &rec), REASON_NONE);
	assert_int_equal(rec.n, 2);
	assert_int_equal(rec.id[0], 78);
	assert_int_equal(rec.reason[0], REASON_CRASHED);
	assert_int_equal(rec.end_us[0], 7000000); /* nothing is known of later */
	assert_int_equal(rec.id[1], 77);
	assert_int_equal(rec.reason[1], REASON_NORMAL);
	assert_int_equal(rec.talk_ms[1], 3000);
	assert_int_equal(rec.codec_n, 0);
	assert_int_equal(fix_call(&f, DB_READ, do_check, NULL), REASON_NONE);
	assert_int_equal(fix_number(&f, "+4940", "acme"), REASON_NONE);
	fix_close(&f);

	fix_init(&g);
	fix_close(&g);
	migrated = dump(f.path);
	fresh = dump(g.path);
	assert_string_equal(migrated, fresh);
	free(migrated);
	free(fresh);
	fix_fini(&g);

	/* the copy is the old file, and a second start does not touch it */
	snprintf(copy, sizeof(copy), "%s.v1", f.path);
	{
		struct stat before, after;
		sqlite3 *db;
		sqlite3_stmt *q;

		assert_int_equal(stat(copy, &before), 0);
		assert_int_equal(before.st_mode & 0777, 0600);
		assert_int_equal(sqlite3_open(copy, &db), SQLITE_OK);
		assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &q, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_step(q), SQLITE_ROW);
		assert_int_equal(sqlite3_column_int(q, 0), 1);
		sqlite3_finalize(q);
		sqlite3_close(db);
		fix_open(&f);
		assert_int_equal(stat(copy, &after), 0);
		assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	}
	fix_fini(&f);
}

static void version_2_comes_forward(void **s)
{
	struct records rec = {.n = 0};
	char *migrated, *fresh;
	struct db_stats st;
	struct db_rows *rows;
	struct fix f, g;

	(void)s;
	fix_dir(&f);
	make_old(&f, "schema_v2.sql");
	fix_open(&f);
	db_stats_any(f.db, &st);
	assert_int_equal(st.schema, db_schema_version);
	rows = fix_load(&f);
	assert_int_equal(rows->n_trunks, 2);
	assert_int_equal(rows->trunks[0].credential.user.n, 0);
	assert_int_equal(rows->n_routes, 2);
	assert_int_equal(rows->routes[1].hours.days, 31);
	assert_int_equal(rows->routes[1].hours.to_min, 1080);
	db_rows_free(rows);
	assert_int_equal(fix_call(&f, DB_READ, do_find, &rec), REASON_NONE);
	assert_int_equal(rec.n, 2);
	assert_int_equal(rec.end_us[0], 9000000); /* the store was last alive then */
	assert_int_equal(fix_call(&f, DB_READ, do_check, NULL), REASON_NONE);
	fix_close(&f);
	fix_init(&g);
	fix_close(&g);
	migrated = dump(f.path);
	fresh = dump(g.path);
	assert_string_equal(migrated, fresh);
	free(migrated);
	free(fresh);
	fix_fini(&g);
	fix_fini(&f);
}

static void see_binding(void *ctx, const struct db_binding *b)
{
	*(unsigned *)ctx += b->id == 77 && b->bulk && b->trunk_id == 1;
}

static enum reason see_bindings(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_binding_all(h, see_binding, arg, err);
}

static enum reason put_credential(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_credential_put(h, 2, arg, err);
}

static void version_3_comes_forward(void **s)
{
	struct db_credential c = {.user = S("u2"), .realm = S("example.net"), .md5 = S("939e7578ed9e3c518a452acee763bce9")};
	char *migrated, *fresh;
	struct db_stats st;
	struct db_rows *rows;
	unsigned seen = 0;
	struct fix f, g;

	(void)s;
	fix_dir(&f);
	make_old(&f, "schema_v3.sql");
	fix_open(&f);
	db_stats_any(f.db, &st);
	assert_int_equal(st.schema, db_schema_version);
	rows = fix_load(&f);
	assert_int_equal(rows->n_trunks, 2);
	assert_str(rows->trunks[0].credential.user, "u1");
	db_rows_free(rows);
	assert_int_equal(fix_call(&f, DB_WRITE, see_bindings, &seen), REASON_NONE);
	assert_int_equal(seen, 1);
	assert_int_equal(fix_call(&f, DB_WRITE, put_credential, &c), REASON_NONE);
	fix_close(&f);
	fix_init(&g);
	fix_close(&g);
	migrated = dump(f.path);
	fresh = dump(g.path);
	assert_string_equal(migrated, fresh);
	free(migrated);
	free(fresh);
	fix_fini(&g);
	fix_fini(&f);
}

static const char *setting_of(const struct db_rows *rows, uint32_t trunk, const char *key)
{
	static char text[64];

	for (unsigned i = 0; i < rows->n_trunks; i++) {
		const struct db_trunk *t = &rows->trunks[i];

		for (unsigned k = 0; t->id == trunk && k < t->n_settings; k++)
			if (str_eq(t->settings[k].key, str_z(key))) {
				snprintf(text, sizeof(text), "%.*s", STR(t->settings[k].value));
				return text;
			}
	}
	return "";
}

/* no-response is try-timeout: the shorter one of both, and never less than it takes */
static void version_4_comes_forward(void **s)
{
	static const char *const want[] = {"500ms", "1500ms", "2s", ""};
	char *migrated, *fresh;
	struct db_rows *rows;
	struct fix f, g;

	(void)s;
	fix_dir(&f);
	make_old(&f, "schema_v4.sql");
	fix_open(&f);
	rows = fix_load(&f);
	assert_int_equal(rows->n_trunks, 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_string_equal(setting_of(rows, i + 1, "try-timeout"), want[i]);
		assert_string_equal(setting_of(rows, i + 1, "no-response"), "");
	}
	assert_string_equal(setting_of(rows, 1, "max-calls"), "30");
	db_rows_free(rows);
	fix_close(&f);
	fix_init(&g);
	fix_close(&g);
	migrated = dump(f.path);
	fresh = dump(g.path);
	assert_string_equal(migrated, fresh);
	free(migrated);
	free(fresh);
	fix_fini(&g);
	fix_fini(&f);
}

/* A step that fails leaves the file at its old version, usable by the old program. */
static void a_failed_step_leaves_the_old_file(void **s)
{
	struct db_cfg cfg = {.busy_ms = 20};
	struct db_err err;
	sqlite3_stmt *q;
	sqlite3 *db;
	struct fix f;

	(void)s;
	fix_dir(&f);
	make_old(&f, "schema_v1.sql");
	assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
	/* in the way of the last table that the step makes */
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE box (x)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	cfg.path = f.path;
	assert_int_equal(db_open(&cfg, &f.db, &err), REASON_DB_FAILED);
	assert_non_null(strstr(err.text, "migration"));
	assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM pragma_table_info('route') WHERE name = 'days'", -1, &q,
			     NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(q, 0), 0);
	sqlite3_finalize(q);
	sqlite3_close(db);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(version_1_comes_forward),
	    cmocka_unit_test(version_2_comes_forward),
	    cmocka_unit_test(version_3_comes_forward),
	    cmocka_unit_test(version_4_comes_forward),
	    cmocka_unit_test(a_failed_step_leaves_the_old_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
