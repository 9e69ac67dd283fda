/* Trunks and what hangs under them; bans. */
#include "fixture.h"

static const struct db_setting settings[] = {{{"max-calls", 9}, {"30", 2}}, {{"t1", 2}, {"200ms", 5}}};
static const struct db_target targets[] = {
    {.host = {"192.0.2.1", 9}, .port = 5060, .transport = {"tcp", 3}, .priority = 2, .weight = 7},
    {.host = {"sip.example.net", 15}, .priority = 1, .weight = 1}};
static const struct db_source sources[] = {{{"198.51.100.0/24", 15}}};
static const struct db_header headers[] = {{{"X-Foo", 5}, true}, {{"Subject", 7}, false}};

static struct db_trunk full(const char *name)
{
	return (struct db_trunk){.name = str_z(name), .role = S("itsp"), .realm = S("wan"), .admin = DB_DRAINING,
	    .settings = settings, .n_settings = 2, .targets = targets, .n_targets = 2, .sources = sources, .n_sources = 1,
	    .headers = headers, .n_headers = 2};
}

static void all_comes_back(void **s)
{
	struct db_trunk t = full("acme");
	const struct db_trunk *r;
	struct db_rows *rows;
	struct fix f;

	(void)s;
	fix_init(&f);
	assert_int_equal(fix_trunk(&f, "first"), REASON_NONE);
	assert_int_equal(fix_edit(&f, do_trunk, &t, NULL), REASON_NONE);
	assert_int_equal(fix_trunk(&f, "last"), REASON_NONE);
	fix_close(&f);
	fix_open(&f);
	rows = fix_load(&f);
	assert_int_equal(rows->n_trunks, 3);
	assert_int_equal(rows->revision, 3);
	r = db_rows_trunk_named(rows, S("ACME"));
	assert_non_null(r);
	assert_ptr_equal(r, db_rows_trunk(rows, r->id));
	assert_str(r->role, "itsp");
	assert_str(r->realm, "wan");
	assert_int_equal(r->admin, DB_DRAINING);
	assert_int_equal(r->n_settings, 2);
	assert_str(r->settings[1].key, "t1");
	assert_str(r->settings[1].value, "200ms");
	assert_int_equal(r->n_targets, 2);
	assert_str(r->targets[0].host, "192.0.2.1");
	assert_str(r->targets[0].transport, "tcp");
	assert_int_equal(r->targets[0].port, 5060);
	assert_int_equal(r->targets[0].priority, 2);
	assert_int_equal(r->targets[0].weight, 7);
	assert_str(r->targets[1].host, "sip.example.net");
	assert_int_equal(r->n_sources, 1);
	assert_str(r->sources[0].address, "198.51.100.0/24");
	assert_int_equal(r->n_headers, 2);
	assert_str(r->headers[0].name, "Subject");
	assert_false(r->headers[0].pass);
	assert_true(r->headers[1].pass);
	assert_int_equal(db_rows_trunk(rows, 1)->n_settings, 0);
	assert_int_equal(db_rows_trunk(rows, 3)->n_targets, 1);
	assert_null(db_rows_trunk(rows, 99));
	assert_null(db_rows_trunk_named(rows, S("acm")));
	db_rows_free(rows);
	fix_fini(&f);
}

static void a_put_replaces_as_a_whole(void **s)
{
	struct db_trunk t = full("acme");
	struct db_rows *rows;
	struct fix f;

	(void)s;
	fix_init(&f);
	assert_int_equal(fix_edit(&f, do_trunk, &t, NULL), REASON_NONE);
	t.id = 1;
	t.name = S("acme2");
	t.n_settings = 1;
	t.n_targets = 1;
	t.n_headers = 0;
	assert_int_equal(fix_edit(&f, do_trunk, &t, &rows), REASON_NONE);
	assert_int_equal(rows->n_trunks, 1);
	assert_str(rows->trunks[0].name, "acme2");
	assert_int_equal(rows->trunks[0].n_settings, 1);
	assert_int_equal(rows->trunks[0].n_targets, 1);
	assert_int_equal(rows->trunks[0].n_sources, 1);
	assert_int_equal(rows->trunks[0].n_headers, 0);
	db_rows_free(rows);
	t.id = 77;
	t.name = S("other");
	assert_int_equal(fix_edit(&f, do_trunk, &t, NULL), REASON_NO_SUCH);
	fix_fini(&f);
}

static void names_are_checked_and_unique(void **s)
{
	static const char *const bad[] = {"", "-a", "a b", "a'; DROP TABLE trunk; --", "über",
	    "a123456789012345678901234567890123456789", "a/b"};
	struct fix f;

	(void)s;
	fix_init(&f);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(fix_trunk(&f, bad[i]), REASON_BAD_VALUE);
		assert_true(strlen(f.err.text) > 10);
	}
	assert_int_equal(fix_trunk(&f, "pbx-1.berlin_A"), REASON_NONE);
	assert_int_equal(fix_trunk(&f, "PBX-1.berlin_a"), REASON_NAME_TAKEN);
	assert_non_null(strstr(f.err.text, "PBX-1.berlin_a"));
	fix_fini(&f);
}

static enum reason do_del(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_trunk_del(h, str_z(arg), false, err);
}

static enum reason do_del_all(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_trunk_del(h, str_z(arg), true, err);
}

static enum reason do_route(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_route_put(h, arg, STR_NONE, err);
}

static void deleting_says_what_uses_it(void **s)
{
	struct db_route_via via = {1, 1, 1}, via2[] = {{1, 1, 1}, {2, 2, 1}};
	struct db_route out = {.name = S("out"), .from = S("*"), .to = S("*"), .via = &via, .n_via = 1};
	struct db_route both = {.name = S("both"), .from = S("*"), .to = S("*"), .via = via2, .n_via = 2};
	struct db_route mine = {.name = S("mine"), .from_trunk = 1, .from = S("*"), .to = S("*"), .via = &via2[1], .n_via = 1};
	struct db_rows *rows;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_trunk(&f, "other");
	assert_int_equal(fix_edit(&f, do_del, (void *)"acm", NULL), REASON_NO_SUCH);
	fix_number(&f, "+4930100..+4930199", "acme");
	assert_int_equal(fix_edit(&f, do_del, (void *)"acme", NULL), REASON_IN_USE);
	assert_non_null(strstr(f.err.text, "1 number blocks"));
	fix_edit(&f, do_route, &out, NULL);
	assert_int_equal(fix_edit(&f, do_route, &both, NULL), REASON_NONE);
	assert_int_equal(fix_edit(&f, do_route, &mine, NULL), REASON_NONE);
	assert_int_equal(fix_edit(&f, do_del, (void *)"other", NULL), REASON_IN_USE);
	assert_non_null(strstr(f.err.text, "route 'both' uses trunk 'other'"));
	assert_int_equal(fix_edit(&f, do_del_all, (void *)"acme", &rows), REASON_NONE);
	assert_int_equal(rows->n_trunks, 1);
	assert_int_equal(rows->n_numbers, 0);
	assert_int_equal(rows->n_routes, 1);
	assert_str(rows->routes[0].name, "both");
	assert_int_equal(rows->routes[0].n_via, 1);
	db_rows_free(rows);
	/* ids are not given twice */
	fix_trunk(&f, "third");
	rows = fix_load(&f);
	assert_int_equal(db_rows_trunk_named(rows, S("third"))->id, 3);
	db_rows_free(rows);
	fix_fini(&f);
}

static enum reason do_admin(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_trunk_admin(h, str_z(arg), DB_DISABLED, err);
}

static void admin_state(void **s)
{
	struct db_rows *rows;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	assert_int_equal(fix_edit(&f, do_admin, (void *)"acme", &rows), REASON_NONE);
	assert_int_equal(rows->trunks[0].admin, DB_DISABLED);
	db_rows_free(rows);
	assert_int_equal(fix_edit(&f, do_admin, (void *)"nobody", NULL), REASON_NO_SUCH);
	fix_fini(&f);
}

static enum reason do_ban(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_ban_put(h, arg, err);
}

static enum reason do_unban(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_ban_del(h, str_z(arg), err);
}

static void bans_end_by_themselves(void **s)
{
	int64_t now = db_wall_us();
	struct db_ban forever = {S("192.0.2.9"), now, 0, REASON_NO_TRUNK, S("scanner")};
	struct db_ban old = {S("192.0.2.8"), now - 5000000, now - 1000000, REASON_NO_TRUNK, S("")};
	struct db_rows *rows;
	struct fix f;

	(void)s;
	fix_init(&f);
	assert_int_equal(fix_call(&f, DB_WRITE, do_ban, &old), REASON_NONE);
	assert_int_equal(fix_call(&f, DB_WRITE, do_ban, &forever), REASON_NONE);
	forever.why = S("again");
	assert_int_equal(fix_call(&f, DB_WRITE, do_ban, &forever), REASON_NONE);
	rows = fix_load(&f);
	assert_int_equal(rows->n_bans, 1);
	assert_str(rows->bans[0].address, "192.0.2.9");
	assert_str(rows->bans[0].why, "again");
	assert_int_equal(rows->bans[0].reason, REASON_NO_TRUNK);
	db_rows_free(rows);
	assert_int_equal(fix_call(&f, DB_WRITE, do_unban, (void *)"192.0.2.9"), REASON_NONE);
	assert_int_equal(fix_call(&f, DB_WRITE, do_unban, (void *)"192.0.2.9"), REASON_NO_SUCH);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_comes_back),
	    cmocka_unit_test(a_put_replaces_as_a_whole),
	    cmocka_unit_test(names_are_checked_and_unique),
	    cmocka_unit_test(deleting_says_what_uses_it),
	    cmocka_unit_test(admin_state),
	    cmocka_unit_test(bans_end_by_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
