/* From the command line of a trunk to the snapshot through the database: what is stored compiles, what does not
 * compile is not stored. */
#include "fixture.h"

#include <dirent.h>
#include <unistd.h>

struct world {
	char dir[64], path[96];
	struct db *db;
	struct pol_realm realm;
};

struct step {
	struct db_change change;
	struct world *w;
	enum reason (*fn)(struct db_handle *h, struct step *st, struct db_err *err);
	const struct db_trunk *trunk;
	const char *range;
	struct policy *p; /* made by check */
	struct policy_errors errs;
};

static enum reason apply(struct db_handle *h, struct db_change *c, struct db_err *err)
{
	struct step *st = container_of(c, struct step, change);

	return st->fn(h, st, err);
}

static enum reason check(struct db_change *c, const struct db_rows *rows, struct db_err *err)
{
	struct step *st = container_of(c, struct step, change);
	struct policy_input in = {.realms = &st->w->realm, .n_realms = 1, .rows = rows, .hash_key = {1, 2}};

	policy_unref(st->p);
	st->p = NULL;
	if (policy_compile(&in, &st->p, &st->errs) == 0)
		return REASON_NONE;
	return db_fail(err, REASON_BAD_VALUE, st->errs.e[0].hint, "%s: %s", st->errs.e[0].object, st->errs.e[0].text);
}

static enum reason run(struct world *w, struct step *st)
{
	enum reason r;

	st->w = w;
	st->change.apply = apply;
	st->change.check = check;
	r = db_change_call(w->db, &st->change);
	db_rows_free(st->change.rows);
	return r;
}

static enum reason put(struct db_handle *h, struct step *st, struct db_err *err)
{
	return db_trunk_put(h, st->trunk, NULL, err);
}

static enum reason number(struct db_handle *h, struct step *st, struct db_err *err)
{
	struct db_number n;
	enum reason r;

	if ((r = db_number_parse(str_z(st->range), &n, err)) || (r = db_trunk_id(h, S("pbx"), &n.trunk_id, err)))
		return r;
	return db_number_add(h, &n, err);
}

static void open_world(struct world *w)
{
	struct db_cfg cfg = {.path = w->path};
	struct db_err err;

	if (db_open(&cfg, &w->db, &err))
		fail_msg("%s", err.text);
}

static struct trunk_draft *draft(const char *name, const char *settings)
{
	struct trunk_draft *d = trunk_draft_new(NULL, str_z(name));
	struct str rest = str_z(settings), one;
	struct db_err err;

	assert_non_null(d);
	while (rest.n) {
		rest = str_cut(rest, ' ', &one);
		if (trunk_draft_assign(d, one, &err))
			fail_msg("%s", err.text);
	}
	return d;
}

static void stored_means_compiled(void **s)
{
	struct trunk_draft *pbx = draft("pbx", "role=pbx realm=lan target=10.0.0.1 t1=200ms header.pass=X-A address=10.1.0.0/16");
	struct trunk_draft *twin = draft("twin", "role=pbx realm=lan target=10.0.0.1");
	struct trunk_draft *lost = draft("lost", "role=pbx realm=lam target=10.0.0.9");
	struct net_path from = fix_path(0, NET_UDP, "10.1.2.3");
	struct step st;
	struct world w = {.realm = {.name = S("lan")}};
	const struct pol_trunk *t;
	struct policy *kept;
	char file[512];
	struct dirent *e;
	DIR *d;

	(void)s;
	snprintf(w.dir, sizeof(w.dir), "/tmp/postern-rows-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	snprintf(w.path, sizeof(w.path), "%s/postern.db", w.dir);
	open_world(&w);
	st = (struct step){.fn = put, .trunk = trunk_draft_row(pbx)};
	assert_int_equal(run(&w, &st), REASON_NONE);
	t = policy_identify(st.p, &from, NULL);
	assert_non_null(t);
	assert_true(str_eq(t->name, S("pbx")));
	assert_int_equal(t->sip.t1_ms, 200);
	assert_int_equal(t->n_hdr_rules, 1);
	policy_unref(st.p);

	/* an address that is taken, a realm that is not there: refused with words, nothing stored */
	st = (struct step){.fn = put, .trunk = trunk_draft_row(twin)};
	assert_int_equal(run(&w, &st), REASON_BAD_VALUE);
	assert_non_null(strstr(st.change.req.err.text, "trunk twin: requests from 10.0.0.1"));
	st = (struct step){.fn = put, .trunk = trunk_draft_row(lost)};
	assert_int_equal(run(&w, &st), REASON_BAD_VALUE);
	assert_string_equal(st.change.req.err.hint, "did you mean 'lan'?");
	assert_null(st.p);

	st = (struct step){.fn = number, .range = "+4930100..+4930199"};
	assert_int_equal(run(&w, &st), REASON_NONE);
	kept = st.p;
	assert_int_equal(policy_revision(kept), 2);
	assert_int_equal(policy_trunk_count(kept), 1);
	assert_int_equal(policy_number(kept, S("+4930150"))->trunk_id, 1);
	db_close(w.db);

	/* the same after a restart */
	open_world(&w);
	st = (struct step){.fn = number, .range = "+4930200"};
	assert_int_equal(run(&w, &st), REASON_NONE);
	assert_non_null(policy_number(st.p, S("+4930150")));
	assert_null(policy_number(kept, S("+4930200"))); /* the old snapshot knows nothing of it */
	policy_unref(st.p);
	policy_unref(kept);
	db_close(w.db);
	trunk_draft_free(pbx);
	trunk_draft_free(twin);
	trunk_draft_free(lost);
	d = opendir(w.dir);
	assert_non_null(d);
	while ((e = readdir(d))) {
		snprintf(file, sizeof(file), "%s/%s", w.dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(file);
	}
	closedir(d);
	rmdir(w.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(stored_means_compiled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
