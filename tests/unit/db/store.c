/* The store thread: order, isolation of one request's failure, posting, journal with its cap, full disk. */
#include "fixture.h"

#include <pthread.h>

/* ---------------------------------------------------------------- a signalling thread's mailbox */

struct box {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct {
		void (*fn)(void *);
		void *arg;
	} mail[256];
	unsigned n, done;
	pthread_t owner;
};

static void box_post(void *ctx, void (*fn)(void *arg), void *arg)
{
	struct box *b = ctx;

	pthread_mutex_lock(&b->lock);
	assert_true(b->n < ARRAY_LEN(b->mail));
	b->mail[b->n].fn = fn;
	b->mail[b->n++].arg = arg;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
}

/* Runs what was posted until `want` have been run. */
static void box_run(struct box *b, unsigned want)
{
	pthread_mutex_lock(&b->lock);
	while (b->done < want) {
		while (b->done == b->n)
			pthread_cond_wait(&b->cond, &b->lock);
		pthread_mutex_unlock(&b->lock);
		b->mail[b->done].fn(b->mail[b->done].arg);
		pthread_mutex_lock(&b->lock);
		b->done++;
	}
	pthread_mutex_unlock(&b->lock);
}

struct step {
	struct edit e;
	struct add a;
	struct box *box;
	unsigned *order, place;
};

static void step_done(struct db_change *c)
{
	struct step *st = container_of(container_of(c, struct edit, change), struct step, e);

	assert_true(pthread_equal(pthread_self(), st->box->owner));
	st->place = (*st->order)++;
}

/* Holds the store thread until the gate opens, so that what follows is one batch. */
struct gate {
	struct db_req req;
	pthread_mutex_t lock;
};

static enum reason gate_run(struct db_handle *h, struct db_req *r, struct db_err *err)
{
	struct gate *g = container_of(r, struct gate, req);

	(void)h;
	(void)err;
	pthread_mutex_lock(&g->lock);
	pthread_mutex_unlock(&g->lock);
	return REASON_NONE;
}

static void gate_done(struct db_req *r)
{
	(void)r;
}

static void one_failure_is_its_own(void **s)
{
	struct box box = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .owner = pthread_self()};
	struct gate g = {.req = {.kind = DB_READ, .run = gate_run, .done = gate_done}, .lock = PTHREAD_MUTEX_INITIALIZER};
	static const char *const range[] = {"+4930100..+4930199", "+4930150", "+4930200", "bad", "+4930300", "+4930100"};
	static const enum reason want[] = {REASON_NONE, REASON_NUMBER_TAKEN, REASON_NONE, REASON_BAD_VALUE, REASON_NONE,
	    REASON_NUMBER_TAKEN};
	struct step step[6];
	struct db_stats before, after;
	unsigned order = 0;
	char text[256];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_close(&f);
	fix_open_cfg(&f, (struct db_cfg){.post = box_post, .post_ctx = &box});
	db_stats_any(f.db, &before);
	pthread_mutex_lock(&g.lock);
	db_submit_any(f.db, &g.req);
	for (unsigned i = 0; i < 6; i++) {
		step[i] = (struct step){.a = {range[i], "acme"}, .box = &box, .order = &order,
		    .e = {.fn = do_add, .change = {.apply = edit_apply, .done = step_done}}};
		step[i].e.arg = &step[i].a;
		db_change_submit_any(f.db, &step[i].e.change);
	}
	pthread_mutex_unlock(&g.lock);
	box_run(&box, 7);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(step[i].place, i);
		assert_int_equal(step[i].e.change.req.err.reason, want[i]);
		assert_int_equal(step[i].e.change.rows != NULL, want[i] == REASON_NONE);
		db_rows_free(step[i].e.change.rows);
	}
	db_stats_any(f.db, &after);
	assert_true(after.commits - before.commits <= 2); /* the gate may have taken the first along */
	assert_string_equal(fix_numbers(&f, text, sizeof(text)), "+4930100..+4930199=acme +4930200=acme +4930300=acme");
	fix_fini(&f);
}

static void close_runs_what_is_queued(void **s)
{
	struct box box = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .owner = pthread_self()};
	struct step step[20];
	struct db_rows *rows;
	unsigned order = 0;
	char text[20][24];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_close(&f);
	fix_open_cfg(&f, (struct db_cfg){.post = box_post, .post_ctx = &box});
	for (unsigned i = 0; i < 20; i++) {
		snprintf(text[i], sizeof(text[i]), "+49301%02u", i);
		step[i] = (struct step){.a = {text[i], "acme"}, .box = &box, .order = &order,
		    .e = {.fn = do_add, .change = {.apply = edit_apply, .done = step_done}}};
		step[i].e.arg = &step[i].a;
		db_change_submit_any(f.db, &step[i].e.change);
	}
	fix_close(&f);
	assert_int_equal(box.n, 20);
	box_run(&box, 20);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(step[i].e.change.req.err.reason, REASON_NONE);
		db_rows_free(step[i].e.change.rows);
	}
	fix_open(&f);
	rows = fix_load(&f);
	assert_int_equal(rows->n_numbers, 20);
	db_rows_free(rows);
	fix_fini(&f);
}

/* ---------------------------------------------------------------- full disk */

static enum reason do_limit(struct db_handle *h, void *arg, struct db_err *err)
{
	int64_t pages;
	char pragma[64];
	enum reason r;

	if ((r = db_get_i64(h, "PRAGMA page_count", &pages, err)))
		return r;
	snprintf(pragma, sizeof(pragma), "PRAGMA max_page_count = %lld",
	    arg ? (long long)pages + *(int *)arg : 1000000000LL);
	return db_exec(h, pragma, "limit", err);
}

static struct db_cdr record(uint64_t id)
{
	static const char text[2000] = "[]"; /* long enough to fill pages */

	return (struct db_cdr){.id = id, .start_us = (int64_t)id, .trunk_a_name = S("acme"), .called = S("+4930100"),
	    .tries = str_n(text, sizeof(text))};
}

struct found {
	unsigned n;
	uint64_t first, last;
};

static bool on_cdr(void *ctx, const struct db_cdr *c)
{
	struct found *x = ctx;

	if (!x->n++)
		x->first = c->id;
	x->last = c->id;
	return true;
}

static enum reason do_find(struct db_handle *h, void *arg, struct db_err *err)
{
	struct db_cdr_query q = {.max = 100000};

	*(struct found *)arg = (struct found){.n = 0};
	return db_cdr_find(h, &q, on_cdr, arg, err);
}

static void full_disk_keeps_records_and_refuses_changes(void **s)
{
	struct db_stats st;
	struct found x;
	struct add a = {"+4930500..+4930599", "acme"};
	unsigned taken = 0;
	char many[64];
	int none = 0;
	struct fix f;

	(void)s;
	fix_dir(&f);
	fix_open_cfg(&f, (struct db_cfg){.window_ms = 10, .queue_max = 200});
	fix_trunk(&f, "acme");
	assert_int_equal(fix_call(&f, DB_READ, do_limit, &none), REASON_NONE);
	for (unsigned i = 1; i <= 300; i++) {
		struct db_cdr c = record(i);

		taken += db_cdr_write(f.db, &c);
	}
	/* some writes may still fit into the last pages; fill up with changes until one is refused */
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(many, sizeof(many), "+4940%05u", i * 2);
		a.range = many;
		if (fix_edit(&f, do_add, &a, NULL))
			break;
	}
	assert_int_equal(f.err.reason, REASON_DB_FULL);
	assert_non_null(strstr(f.err.hint, "free space"));
	db_stats_any(f.db, &st);
	assert_int_equal(st.trouble, REASON_DB_FULL);
	assert_int_equal(st.cdr_lost, 300 - taken);
	assert_true(taken >= 200);
	assert_int_equal(st.cdr_written, 0);
	/* reading goes on */
	assert_int_equal(fix_call(&f, DB_READ, do_find, &x), REASON_NONE);
	assert_int_equal(x.n, 0);
	/* room again: all that was kept is written, in order */
	assert_int_equal(fix_call(&f, DB_READ, do_limit, NULL), REASON_NONE);
	assert_int_equal(fix_call(&f, DB_READ, do_find, &x), REASON_NONE);
	assert_int_equal(x.n, taken);
	assert_int_equal(x.last, 1);
	a.range = "+4950100";
	assert_int_equal(fix_edit(&f, do_add, &a, NULL), REASON_NONE);
	db_stats_any(f.db, &st);
	assert_int_equal(st.trouble, REASON_NONE);
	assert_int_equal(st.cdr_written, taken);
	fix_fini(&f);
}

static enum reason do_import_all(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_import_apply(h, arg, false, err);
}

static void in_a_full_batch_the_small_ones_live(void **s)
{
	struct gate g = {.req = {.kind = DB_READ, .run = gate_run, .done = gate_done}, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct box box = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .owner = pthread_self()};
	struct db_import *im = db_import_new();
	struct step small[2], large;
	struct add a[2] = {{"+4930100", "acme"}, {"+4930200", "acme"}};
	unsigned order = 0;
	int few = 6;
	char text[32];
	struct fix f;

	(void)s;
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "+4940%06u", i * 2);
		assert_int_equal(db_import_row(im, i, str_z(text), S("acme")), REASON_NONE);
	}
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_close(&f);
	fix_open_cfg(&f, (struct db_cfg){.post = box_post, .post_ctx = &box});
	assert_int_equal(fix_call(&f, DB_READ, do_limit, &few), REASON_NONE);
	pthread_mutex_lock(&g.lock);
	db_submit_any(f.db, &g.req);
	for (unsigned i = 0; i < 3; i++) {
		struct step *st = i == 1 ? &large : &small[i / 2];

		*st = (struct step){.box = &box, .order = &order,
		    .e = {.fn = do_add, .arg = &a[i / 2], .change = {.apply = edit_apply, .done = step_done}}};
		if (i == 1) {
			st->e.fn = do_import_all;
			st->e.arg = im;
		}
		db_change_submit_any(f.db, &st->e.change);
	}
	pthread_mutex_unlock(&g.lock);
	box_run(&box, 4);
	assert_int_equal(small[0].e.change.req.err.reason, REASON_NONE);
	assert_int_equal(large.e.change.req.err.reason, REASON_DB_FULL);
	assert_int_equal(small[1].e.change.req.err.reason, REASON_NONE);
	assert_int_equal(small[1].e.change.rows->n_numbers, 2);
	db_rows_free(small[0].e.change.rows);
	db_rows_free(small[1].e.change.rows);
	db_import_free(im);
	fix_fini(&f);
}

/* ---------------------------------------------------------------- locked */

static void locked_by_another_program(void **s)
{
	struct add a = {"+4930100", "acme"};
	struct db_cdr c = {.id = 7, .start_us = 1};
	struct db_stats st;
	struct found x;
	sqlite3 *other;
	struct fix f;

	(void)s;
	fix_dir(&f);
	fix_open_cfg(&f, (struct db_cfg){.window_ms = 5, .busy_ms = 50});
	fix_trunk(&f, "acme");
	assert_int_equal(sqlite3_open(f.path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(fix_edit(&f, do_add, &a, NULL), REASON_DB_LOCKED);
	assert_non_null(strstr(f.err.hint, "fuser"));
	assert_true(db_cdr_write(f.db, &c));
	assert_int_equal(fix_call(&f, DB_READ, do_find, &x), REASON_NONE); /* flush is tried first, and fails */
	assert_int_equal(x.n, 0);
	db_stats_any(f.db, &st);
	assert_int_equal(st.trouble, REASON_DB_LOCKED);
	assert_int_equal(st.waiting, 1);
	sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(other);
	assert_int_equal(fix_edit(&f, do_add, &a, NULL), REASON_NONE);
	assert_int_equal(fix_call(&f, DB_READ, do_find, &x), REASON_NONE);
	assert_int_equal(x.n, 1);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_failure_is_its_own),
	    cmocka_unit_test(close_runs_what_is_queued),
	    cmocka_unit_test(full_disk_keeps_records_and_refuses_changes),
	    cmocka_unit_test(in_a_full_batch_the_small_ones_live),
	    cmocka_unit_test(locked_by_another_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
