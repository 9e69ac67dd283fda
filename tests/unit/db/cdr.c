/* Records: all fields come back, finding, paging, tail, window and coalescing, calls cut by a crash, purge. */
#include "fixture.h"

#include <time.h>

static struct db_cdr sample(uint64_t id)
{
	return (struct db_cdr){
	    .id = id,
	    .start_us = 1700000000000000 + (int64_t)id * 1000000,
	    .answer_us = id % 2 ? 1700000000000000 + (int64_t)id * 1000000 + 500000 : 0,
	    .end_us = 1700000000000000 + (int64_t)id * 1000000 + 900000,
	    .ring_ms = 120,
	    .setup_ms = 500,
	    .talk_ms = 400,
	    .trunk_a = 1,
	    .trunk_b = 2,
	    .trunk_a_name = S("acme"),
	    .trunk_b_name = id % 3 ? S("pbx") : S("other"),
	    .calling = S("+4989123"),
	    .called = id % 2 ? S("+493010") : S("+493011"),
	    .route = S("number"),
	    .peer_a = S("udp 192.0.2.1:5060"),
	    .sip_call_id_a = S("a'; DROP TABLE cdr; --"),
	    .sip_call_id_b = S("b@y"),
	    .status = id % 2 ? 200 : 486,
	    .peer_status = 486,
	    .reason = id % 2 ? REASON_NORMAL : REASON_PEER_BUSY,
	    .released_by = id % 2 ? 'a' : 's',
	    .peer_reason = S("Q.850;cause=17"),
	    .tries = S("[{\"trunk\":\"pbx\"}]"),
	    .media = S("[]"),
	    .side = {{S("PCMA/8000"), 1000, 990, -3, 1500}, {S("opus/48000"), 11, 12, 13, 14}},
	    .media_bad = true,
	};
}

struct found {
	unsigned n, max;
	uint64_t id[64], seq[64];
};

static bool on_cdr(void *ctx, const struct db_cdr *c)
{
	struct found *x = ctx;

	x->id[x->n] = c->id;
	x->seq[x->n++] = c->seq;
	return !x->max || x->n < x->max;
}

struct query {
	struct db_cdr_query q;
	struct found found;
};

static enum reason do_find(struct db_handle *h, void *arg, struct db_err *err)
{
	struct query *x = arg;

	x->found.n = 0;
	return db_cdr_find(h, &x->q, on_cdr, &x->found, err);
}

static const struct found *find(struct fix *f, struct query *q)
{
	if (fix_call(f, DB_READ, do_find, q))
		fail_msg("%s", f->err.text);
	return &q->found;
}

static bool compare(void *ctx, const struct db_cdr *c)
{
	struct db_cdr want = sample(5);
	unsigned *n = ctx;

	(*n)++;
	assert_int_equal(c->id, 5);
	assert_int_equal(c->start_us, want.start_us);
	assert_int_equal(c->answer_us, want.answer_us);
	assert_int_equal(c->end_us, want.end_us);
	assert_int_equal(c->ring_ms, 120);
	assert_int_equal(c->setup_ms, 500);
	assert_int_equal(c->talk_ms, 400);
	assert_int_equal(c->trunk_a, 1);
	assert_int_equal(c->trunk_b, 2);
	assert_true(str_eq(c->trunk_a_name, want.trunk_a_name));
	assert_true(str_eq(c->trunk_b_name, want.trunk_b_name));
	assert_true(str_eq(c->calling, want.calling));
	assert_true(str_eq(c->called, want.called));
	assert_true(str_eq(c->route, want.route));
	assert_true(str_eq(c->peer_a, want.peer_a));
	assert_true(str_eq(c->sip_call_id_a, want.sip_call_id_a));
	assert_true(str_eq(c->sip_call_id_b, want.sip_call_id_b));
	assert_int_equal(c->status, 200);
	assert_int_equal(c->peer_status, 486);
	assert_int_equal(c->reason, REASON_NORMAL);
	assert_int_equal(c->released_by, 'a');
	assert_true(str_eq(c->peer_reason, want.peer_reason));
	assert_true(str_eq(c->tries, want.tries));
	assert_true(str_eq(c->media, want.media));
	for (int s = 0; s < 2; s++) {
		assert_true(str_eq(c->side[s].codec, want.side[s].codec));
		assert_int_equal(c->side[s].rx_packets, want.side[s].rx_packets);
		assert_int_equal(c->side[s].tx_packets, want.side[s].tx_packets);
		assert_int_equal(c->side[s].lost, want.side[s].lost);
		assert_int_equal(c->side[s].jitter_us, want.side[s].jitter_us);
	}
	assert_true(c->media_bad);
	return true;
}

static enum reason do_compare(struct db_handle *h, void *arg, struct db_err *err)
{
	struct db_cdr_query q = {.call_id = 5};

	return db_cdr_find(h, &q, compare, arg, err);
}

static void all_comes_back(void **s)
{
	struct db_cdr c = sample(5);
	unsigned n = 0;
	struct fix f;

	(void)s;
	fix_init(&f);
	assert_true(db_cdr_write(f.db, &c));
	assert_int_equal(fix_call(&f, DB_READ, do_compare, &n), REASON_NONE);
	assert_int_equal(n, 1);
	fix_fini(&f);
}

static void finding(void **s)
{
	struct query q;
	const struct found *x;
	uint64_t page;
	struct fix f;

	(void)s;
	fix_init(&f);
	for (uint64_t id = 1; id <= 20; id++) {
		struct db_cdr c = sample(id);

		assert_true(db_cdr_write(f.db, &c));
	}
	q = (struct query){.q = {.max = 3}};
	x = find(&f, &q);
	assert_int_equal(x->n, 3);
	assert_int_equal(x->id[0], 20);
	page = x->seq[2];
	q = (struct query){.q = {.max = 3, .before_seq = page}};
	assert_int_equal(find(&f, &q)->id[0], 17);
	q = (struct query){.q = {.after_seq = page}}; /* tail: the two newer ones, oldest first */
	x = find(&f, &q);
	assert_int_equal(x->n, 2);
	assert_int_equal(x->id[0], 19);
	q = (struct query){.q = {.number = S("+493010")}};
	assert_int_equal(find(&f, &q)->n, 10);
	q = (struct query){.q = {.number = S("+49301")}};
	assert_int_equal(find(&f, &q)->n, 0);
	q = (struct query){.q = {.number = S("+49301*")}};
	assert_int_equal(find(&f, &q)->n, 20);
	q = (struct query){.q = {.number = S("+498*")}};
	assert_int_equal(find(&f, &q)->n, 20);
	q = (struct query){.q = {.number = S("+499*")}};
	assert_int_equal(find(&f, &q)->n, 0);
	q = (struct query){.q = {.number = S("+493010"), .after_seq = x->seq[0], .before_seq = 0}};
	(void)find(&f, &q);
	q = (struct query){.q = {.trunk = S("other")}};
	assert_int_equal(find(&f, &q)->n, 6);
	q = (struct query){.q = {.reason = REASON_PEER_BUSY}};
	assert_int_equal(find(&f, &q)->n, 10);
	q = (struct query){.q = {.failed_only = true}};
	assert_int_equal(find(&f, &q)->n, 10);
	q = (struct query){.q = {.sip_call_id = S("b@y"), .max = 7}};
	assert_int_equal(find(&f, &q)->n, 7);
	q = (struct query){.q = {.sip_call_id = S("a'; DROP TABLE cdr; --")}};
	assert_int_equal(find(&f, &q)->n, 20);
	q = (struct query){.q = {.since_us = sample(11).start_us, .until_us = sample(13).start_us}};
	x = find(&f, &q);
	assert_int_equal(x->n, 2);
	assert_int_equal(x->id[0], 12);
	q = (struct query){.q = {.call_id = 9}};
	assert_int_equal(find(&f, &q)->n, 1);
	q = (struct query){.q = {.max = 0}, .found = {.max = 4}}; /* the caller stops */
	assert_int_equal(find(&f, &q)->n, 4);
	fix_fini(&f);
}

static enum reason do_count_open(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_get_i64(h, "SELECT count(*) FROM call_open", arg, err);
}

static enum reason do_alive_at(struct db_handle *h, void *arg, struct db_err *err)
{
	(void)arg;
	return db_exec(h, "UPDATE box SET alive_us = 1700000055000000", "test", err);
}

static void journal_of_calls_in_progress(void **s)
{
	struct db_cdr c = sample(1), d = sample(3), e = sample(5), g = sample(7);
	struct query q;
	int64_t open;
	struct fix f;

	(void)s;
	fix_init(&f);
	db_call_open(f.db, &c);
	db_call_open(f.db, &d);
	assert_int_equal(fix_call(&f, DB_READ, do_count_open, &open), REASON_NONE);
	assert_int_equal(open, 2);
	db_cdr_write(f.db, &c);
	db_call_open(f.db, &e); /* begins and ends in one window */
	db_cdr_write(f.db, &e);
	assert_int_equal(fix_call(&f, DB_READ, do_count_open, &open), REASON_NONE);
	assert_int_equal(open, 1);
	g.never_open = true; /* too short to be noted: its record alone */
	db_cdr_write(f.db, &g);
	assert_int_equal(fix_call(&f, DB_READ, do_count_open, &open), REASON_NONE);
	assert_int_equal(open, 1);
	q = (struct query){.q = {.max = 0}};
	assert_int_equal(find(&f, &q)->n, 3);
	/* call 3 is cut: the store was last seen alive 52 s after its start */
	assert_int_equal(fix_call(&f, DB_WRITE, do_alive_at, NULL), REASON_NONE);
	fix_close(&f);
	fix_open(&f);
	{
		struct db_stats st;

		db_stats_any(f.db, &st);
		assert_int_equal(st.recovered, 1);
	}
	q = (struct query){.q = {.reason = REASON_CRASHED}};
	assert_int_equal(find(&f, &q)->n, 1);
	assert_int_equal(q.found.id[0], 3);
	assert_int_equal(fix_call(&f, DB_READ, do_count_open, &open), REASON_NONE);
	assert_int_equal(open, 0);
	fix_close(&f);
	fix_open(&f); /* once */
	assert_int_equal(find(&f, &q)->n, 1);
	fix_fini(&f);
}

static bool on_crashed(void *ctx, const struct db_cdr *c)
{
	(*(unsigned *)ctx)++;
	assert_int_equal(c->end_us, 1700000055000000);
	assert_int_equal(c->talk_ms, 55000 - 3500);
	assert_int_equal(c->released_by, 's');
	assert_int_equal(c->status, 200);
	assert_true(str_eq(c->called, S("+493010")));
	return true;
}

static enum reason do_crashed(struct db_handle *h, void *arg, struct db_err *err)
{
	struct db_cdr_query q = {.reason = REASON_CRASHED};

	return db_cdr_find(h, &q, on_crashed, arg, err);
}

static void a_cut_call_ends_when_last_seen_alive(void **s)
{
	struct db_cdr d = sample(3);
	int64_t open;
	unsigned n = 0;
	struct fix f;

	(void)s;
	fix_init(&f);
	db_call_open(f.db, &d);
	assert_int_equal(fix_call(&f, DB_READ, do_count_open, &open), REASON_NONE);
	assert_int_equal(fix_call(&f, DB_WRITE, do_alive_at, NULL), REASON_NONE);
	fix_close(&f);
	fix_open(&f);
	assert_int_equal(fix_call(&f, DB_READ, do_crashed, &n), REASON_NONE);
	assert_int_equal(n, 1);
	fix_fini(&f);
}

/* An opening comes when half of its window is over: it is on disk when the other half is. */
static void an_opening_has_waited_before(void **s)
{
	struct db_cdr c = sample(1);
	struct db_stats st, before;
	struct timespec t0, t1;
	struct fix f;
	long ms;

	(void)s;
	fix_dir(&f);
	fix_open_cfg(&f, (struct db_cfg){.window_ms = 3000});
	assert_int_equal(db_open_after_ms(3000), 1500);
	db_stats_any(f.db, &before);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	db_call_open(f.db, &c);
	do {
		usleep(10000);
		db_stats_any(f.db, &st);
		clock_gettime(CLOCK_MONOTONIC, &t1);
		ms = (t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000;
	} while (st.commits == before.commits && ms < 5000);
	assert_in_range(ms, 1490, 2900);
	fix_fini(&f);
}

/* Nobody asks: the window alone writes it, and many share a commit. */
static void the_window_writes(void **s)
{
	struct db_stats st, before;
	struct fix f;

	(void)s;
	fix_dir(&f);
	fix_open_cfg(&f, (struct db_cfg){.window_ms = 30});
	db_stats_any(f.db, &before);
	for (uint64_t id = 1; id <= 500; id++) {
		struct db_cdr c = sample(id);

		assert_true(db_cdr_write(f.db, &c));
	}
	for (unsigned i = 0; i < 500; i++) {
		db_stats_any(f.db, &st);
		if (st.cdr_written == 500)
			break;
		usleep(10000);
	}
	assert_int_equal(st.cdr_written, 500);
	assert_int_equal(st.cdr_lost, 0);
	assert_true(st.commits - before.commits <= 5);
	fix_fini(&f);
}

static enum reason do_refuse_twins(struct db_handle *h, void *arg, struct db_err *err)
{
	(void)arg;
	return db_exec(h, "CREATE UNIQUE INDEX no_twins ON cdr (sip_call_id_b)", "test", err);
}

/* Many go in by one statement. One that the file refuses costs itself, wherever it stands, and stays noted as in progress. */
static void one_that_is_refused_costs_itself(void **s)
{
	static const uint64_t twins[] = {1, 12, 13, 27};
	struct query q = {.q = {.max = 64}};
	char text[32][8];
	struct db_stats st;
	struct fix f;
	int64_t open;
	unsigned k = 0;

	(void)s;
	fix_init(&f);
	assert_int_equal(fix_call(&f, DB_WRITE, do_refuse_twins, NULL), REASON_NONE);
	for (uint64_t id = 0; id < 28; id++) {
		struct db_cdr c = sample(id + 1);

		db_call_open(f.db, &c);
	}
	assert_int_equal(fix_call(&f, DB_READ, do_count_open, &open), REASON_NONE);
	assert_int_equal(open, 28);
	for (uint64_t id = 0; id < 28; id++) {
		struct db_cdr c = sample(id + 1);
		bool twin = k < ARRAY_LEN(twins) && twins[k] == id;

		k += twin;
		snprintf(text[id], sizeof(text[id]), "%u", twin ? 0 : (unsigned)id);
		c.sip_call_id_b = str_z(text[id]);
		db_cdr_write(f.db, &c);
	}
	assert_int_equal(find(&f, &q)->n, 24);
	k = 0;
	for (uint64_t id = 0; id < 28; id++) { /* newest first */
		if (k < ARRAY_LEN(twins) && twins[k] == id)
			k++;
		else
			assert_int_equal(q.found.id[23 - (id - k)], id + 1);
	}
	db_stats_any(f.db, &st);
	assert_int_equal(st.cdr_written, 24);
	assert_int_equal(st.cdr_lost, 4);
	assert_int_equal(fix_call(&f, DB_READ, do_count_open, &open), REASON_NONE);
	assert_int_equal(open, 4);
	fix_fini(&f);
}

struct purge {
	int64_t before_us;
	unsigned deleted;
};

static enum reason do_purge(struct db_handle *h, void *arg, struct db_err *err)
{
	struct purge *p = arg;

	return db_cdr_purge(h, p->before_us, 4, &p->deleted, err);
}

static void purge_in_slices(void **s)
{
	struct purge p = {.before_us = sample(7).start_us};
	struct query q = {.q = {.max = 0}};
	struct fix f;

	(void)s;
	fix_init(&f);
	for (uint64_t id = 1; id <= 10; id++) {
		struct db_cdr c = sample(id);

		db_cdr_write(f.db, &c);
	}
	assert_int_equal(find(&f, &q)->n, 10);
	assert_int_equal(fix_call(&f, DB_WRITE, do_purge, &p), REASON_NONE);
	assert_int_equal(p.deleted, 4);
	assert_int_equal(fix_call(&f, DB_WRITE, do_purge, &p), REASON_NONE);
	assert_int_equal(p.deleted, 2);
	assert_int_equal(find(&f, &q)->n, 4);
	assert_int_equal(q.found.id[3], 7);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_comes_back),
	    cmocka_unit_test(finding),
	    cmocka_unit_test(journal_of_calls_in_progress),
	    cmocka_unit_test(a_cut_call_ends_when_last_seen_alive),
	    cmocka_unit_test(the_window_writes),
	    cmocka_unit_test(an_opening_has_waited_before),
	    cmocka_unit_test(one_that_is_refused_costs_itself),
	    cmocka_unit_test(purge_in_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
