/* Routes keep their order. */
#include "fixture.h"

struct put {
	struct db_route r;
	const char *before;
};

static enum reason do_put(struct db_handle *h, void *arg, struct db_err *err)
{
	struct put *p = arg;

	return db_route_put(h, &p->r, str_z(p->before), err);
}

static enum reason do_del(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_route_del(h, str_z(arg), err);
}

static struct put route(const char *name, const char *before)
{
	static const struct db_route_via via = {1, 1, 1};

	return (struct put){{.name = str_z(name), .from = S("*"), .to = S("+49*"), .via = &via, .n_via = 1}, before};
}

static const char *order(struct fix *f, char *text, size_t size)
{
	struct db_rows *rows = fix_load(f);
	struct buf b;

	buf_init(&b, text, size - 1);
	for (unsigned i = 0; i < rows->n_routes; i++)
		buf_fmt(&b, "%s%.*s", i ? " " : "", STR(rows->routes[i].name));
	text[b.n] = '\0';
	db_rows_free(rows);
	return text;
}

static void order_is_kept(void **s)
{
	struct put a = route("a", ""), b = route("b", ""), c = route("c", "a"), d = route("d", "b"), bad = route("e", "nope");
	struct db_rows *rows;
	char text[128];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	assert_int_equal(fix_edit(&f, do_put, &a, NULL), REASON_NONE);
	assert_int_equal(fix_edit(&f, do_put, &b, NULL), REASON_NONE);
	assert_int_equal(fix_edit(&f, do_put, &c, NULL), REASON_NONE);
	assert_int_equal(fix_edit(&f, do_put, &d, NULL), REASON_NONE);
	assert_string_equal(order(&f, text, sizeof(text)), "c a d b");
	assert_int_equal(fix_edit(&f, do_put, &bad, NULL), REASON_NO_SUCH);
	assert_int_equal(fix_edit(&f, do_put, &a, NULL), REASON_NAME_TAKEN);
	rows = fix_load(&f);
	a.r.id = db_rows_route_named(rows, S("A"))->id;
	db_rows_free(rows);
	a.r.to = S("112");
	assert_int_equal(fix_edit(&f, do_put, &a, NULL), REASON_NONE); /* stays where it was */
	assert_string_equal(order(&f, text, sizeof(text)), "c a d b");
	a.before = "c";
	assert_int_equal(fix_edit(&f, do_put, &a, NULL), REASON_NONE);
	assert_string_equal(order(&f, text, sizeof(text)), "a c d b");
	assert_int_equal(fix_edit(&f, do_del, (void *)"c", NULL), REASON_NONE);
	assert_int_equal(fix_edit(&f, do_del, (void *)"c", NULL), REASON_NO_SUCH);
	assert_string_equal(order(&f, text, sizeof(text)), "a d b");
	a.r.id = 99;
	a.r.name = S("gone");
	a.before = "";
	assert_int_equal(fix_edit(&f, do_put, &a, NULL), REASON_NO_SUCH);
	fix_fini(&f);
}

static void all_comes_back(void **s)
{
	static const struct db_route_via vias[] = {{2, 1, 70}, {1, 1, 30}, {3, 9, 1}};
	struct put p = {{.name = S("out"), .from_trunk = 3, .from = S("+4930*"), .to = S("+*"), .via = vias, .n_via = 3,
			    .hours = {31, 480, 1080}}, ""};
	struct put deny = {{.name = S("no"), .from = S("*"), .to = S("0900*"), .deny = true}, "out"};
	const struct db_route *r;
	struct db_rows *rows;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a");
	fix_trunk(&f, "b");
	fix_trunk(&f, "c");
	assert_int_equal(fix_edit(&f, do_put, &p, NULL), REASON_NONE);
	assert_int_equal(fix_edit(&f, do_put, &deny, &rows), REASON_NONE);
	assert_int_equal(rows->n_routes, 2);
	r = &rows->routes[1];
	assert_str(r->name, "out");
	assert_int_equal(r->from_trunk, 3);
	assert_str(r->from, "+4930*");
	assert_int_equal(r->n_via, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_memory_equal(&r->via[i], &vias[i], sizeof(vias[i]));
	assert_int_equal(r->hours.days, 31);
	assert_int_equal(r->hours.from_min, 480);
	assert_int_equal(r->hours.to_min, 1080);
	assert_true(rows->routes[0].deny);
	assert_int_equal(rows->routes[0].n_via, 0);
	assert_int_equal(rows->routes[0].hours.days, 0);
	db_rows_free(rows);
	fix_fini(&f);
}

static void must_deny_or_lead_somewhere(void **s)
{
	struct put both = route("x", ""), none = route("y", "");
	static const struct db_route_via ghost = {42, 1, 1};
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	both.r.deny = true;
	none.r.n_via = 0;
	assert_int_equal(fix_edit(&f, do_put, &both, NULL), REASON_BAD_VALUE);
	assert_int_equal(fix_edit(&f, do_put, &none, NULL), REASON_BAD_VALUE);
	none.r.name = S("a b");
	assert_int_equal(fix_edit(&f, do_put, &none, NULL), REASON_BAD_VALUE);
	assert_non_null(strstr(f.err.text, "no name for a route"));
	none.r.name = S("y");
	none.r.via = &ghost;
	none.r.n_via = 1;
	assert_int_equal(fix_edit(&f, do_put, &none, NULL), REASON_DB_FAILED); /* foreign key */
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(order_is_kept),
	    cmocka_unit_test(all_comes_back),
	    cmocka_unit_test(must_deny_or_lead_somewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
