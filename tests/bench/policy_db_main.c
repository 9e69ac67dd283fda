/* policy_db_main.c - what the store takes: records a second, one change, a million numbers. links: sbc_policy
 *
 *     bench_policy_db [DIRECTORY]          default: the current directory, since /tmp may be memory
 *
 * Records: calls that are noted when answered and written when over, as fast as they are handed in, and the CPU of
 * handing in. Changes: one number each, acknowledged one after the other (each is an fsync), with the whole of it:
 * savepoint, changeset, load, compile. Import: all numbers in one change. */
#include "sbc/policy/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double clock_s(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct edit {
	struct db_change change;
	struct db_import *im;
	struct db_number n;
	struct pol_realm realm;
	struct policy *p;
	struct policy_errors errs;
	double compile_s;
};

static enum reason add_trunk(struct db_handle *h, struct db_change *c, struct db_err *err)
{
	struct db_target target = {.host = S("192.0.2.1"), .priority = 1, .weight = 1};
	struct db_trunk t = {.name = S("acme"), .role = S("pbx"), .realm = S("lan"), .targets = &target, .n_targets = 1};

	(void)c;
	return db_trunk_put(h, &t, NULL, err);
}

static enum reason add_number(struct db_handle *h, struct db_change *c, struct db_err *err)
{
	return db_number_add(h, &container_of(c, struct edit, change)->n, err);
}

static enum reason import(struct db_handle *h, struct db_change *c, struct db_err *err)
{
	return db_import_apply(h, container_of(c, struct edit, change)->im, false, err);
}

static enum reason compile(struct db_change *c, const struct db_rows *rows, struct db_err *err)
{
	struct edit *e = container_of(c, struct edit, change);
	struct policy_input in = {.realms = &e->realm, .n_realms = 1, .rows = rows, .hash_key = {1, 2}};
	double t0 = clock_s(CLOCK_MONOTONIC);
	int rc = policy_compile(&in, &e->p, &e->errs);

	e->compile_s = clock_s(CLOCK_MONOTONIC) - t0;
	return rc < 0 ? db_fail(err, REASON_BAD_VALUE, "", "%s", e->errs.e[0].text) : REASON_NONE;
}

static double change(struct db *db, struct edit *e, enum reason (*fn)(struct db_handle *, struct db_change *, struct db_err *))
{
	double t0 = clock_s(CLOCK_MONOTONIC), took;

	e->realm.name = S("lan");
	e->change.apply = fn;
	e->change.check = compile;
	if (db_change_call(db, &e->change)) {
		fprintf(stderr, "%s\n", e->change.req.err.text);
		exit(1);
	}
	took = clock_s(CLOCK_MONOTONIC) - t0;
	db_rows_free(e->change.rows);
	policy_unref(e->p);
	e->p = NULL;
	return took;
}

static void bench_records(struct db *db, unsigned n)
{
	struct db_cdr c = {.trunk_a = 1, .trunk_b = 2, .trunk_a_name = S("pbx"), .trunk_b_name = S("acme"), .route = S("out"),
	    .calling = S("+4930123450"), .peer_a = S("udp 192.0.2.1:5060"), .sip_call_id_a = S("f81d4fae7dec11d0a76500a0c91e6bf6@10.0.0.1"),
	    .sip_call_id_b = S("k3j5h2g4k5j3h4@192.0.2.100"), .status = 200, .reason = REASON_NORMAL, .released_by = 'a',
	    .tries = S("[{\"trunk\":\"acme\",\"addr\":\"udp 192.0.2.1:5060\",\"status\":200}]"),
	    .media = S("[{\"kind\":\"audio\",\"codec\":\"PCMA/8000\"}]"), .side = {{.codec = S("PCMA/8000")}, {.codec = S("PCMA/8000")}}};
	double t0 = clock_s(CLOCK_MONOTONIC), cpu0 = clock_s(CLOCK_THREAD_CPUTIME_ID), all0 = clock_s(CLOCK_PROCESS_CPUTIME_ID), cpu, took,
	       all;
	struct db_stats st;
	char called[24];

	for (unsigned i = 0; i < n; i++) {
		c.id = i + 1;
		snprintf(called, sizeof(called), "+49%09u", (i * 7919u) % 1000000000u);
		c.called = str_z(called);
		while (!db_call_open(db, &c))
			usleep(1000);
		c.id = i < 20000 ? 0 : i - 20000 + 1; /* calls stand for a while: not in one window with their beginning */
		while (c.id && !db_cdr_write(db, &c))
			usleep(1000);
		do /* never so far ahead that beginning and end of a call meet in one batch */
			db_stats_any(db, &st);
		while (st.waiting > 4000 && usleep(200) == 0);
	}
	cpu = clock_s(CLOCK_THREAD_CPUTIME_ID) - cpu0;
	do {
		usleep(2000);
		db_stats_any(db, &st);
	} while (st.waiting);
	took = clock_s(CLOCK_MONOTONIC) - t0;
	all = clock_s(CLOCK_PROCESS_CPUTIME_ID) - all0;
	printf("records      %8u calls    %8.0f calls/s  %5.2f us CPU a call in the store, %5.2f us handing in; slowest commit %u ms, %llu lost\n", n,
	    n / took, (all - cpu) / n * 1e6, cpu / n * 1e6, st.commit_max_us / 1000, (unsigned long long)st.cdr_lost);
}

static void bench_changes(struct db *db, unsigned first, unsigned n, unsigned there)
{
	struct edit *e = calloc(1, sizeof(*e));
	double sum = 0, worst = 0, comp = 0;

	for (unsigned i = 0; e && i < n; i++) {
		double took;

		snprintf(e->n.first, sizeof(e->n.first), "+44%08u", first + i * 2);
		memcpy(e->n.last, e->n.first, sizeof(e->n.last));
		e->n.trunk_id = 1;
		took = change(db, e, add_number);
		sum += took;
		comp += e->compile_s;
		worst = took > worst ? took : worst;
	}
	printf("one change   %8u blocks   %8.2f ms on average, worst %.2f ms, of it compiling %.2f ms\n", there, sum / n * 1e3, worst * 1e3,
	    comp / n * 1e3);
	free(e);
}

static void bench_import(struct db *db, unsigned n)
{
	struct edit *e = calloc(1, sizeof(*e));
	char text[24];
	double took;

	if (!e || !(e->im = db_import_new()))
		exit(1);
	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "+4930%08u", i * 2);
		if (db_import_row(e->im, i + 1, str_z(text), S("acme")))
			exit(1);
	}
	took = change(db, e, import);
	printf("import       %8u blocks   %8.2f s, of it compiling %.2f s\n", n, took, e->compile_s);
	db_import_free(e->im);
	free(e);
}

int main(int argc, char **argv)
{
	char path[4096], side[4200];
	struct db_cfg cfg = {.path = path, .queue_max = 200000};
	struct edit *e = calloc(1, sizeof(*e));
	struct db_err err;
	struct db *db;

	snprintf(path, sizeof(path), "%s/bench-policy.db", argc > 1 ? argv[1] : ".");
	if (!e || db_open(&cfg, &db, &err)) {
		fprintf(stderr, "%s\n", e ? err.text : "out of memory");
		return 1;
	}
	change(db, e, add_trunk);
	free(e);
	bench_records(db, 200000);
	bench_changes(db, 0, 50, 100);
	bench_import(db, 10000);
	bench_changes(db, 1000, 50, 10000);
	db_close(db);
	if (db_open(&cfg, &db, &err))
		return 1;
	bench_import(db, 1000000);
	bench_changes(db, 2000, 5, 1000000);
	db_close(db);
	unlink(path);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(side, sizeof(side), "%s%s", path, i ? "-shm" : "-wal");
		unlink(side);
	}
	return 0;
}
