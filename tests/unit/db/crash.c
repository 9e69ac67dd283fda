/* kill -9 at any moment: nothing that was acknowledged is lost, the file is sound, cut calls get their record.
 *
 * A child changes the database and reports every acknowledged change over a pipe; it is killed after a random
 * time, 50 times, on the same file. After each kill the file is opened and compared with what was reported. */
#include "fixture.h"

#include "sbc/base/rng.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 50

/* what the child tells, four bytes each */
enum told { TOLD_NUMBER = 1 << 28, TOLD_OPEN = 2 << 28, TOLD_VALUE = 0x0fffffff };

static void tell(int fd, uint32_t what)
{
	if (write(fd, &what, sizeof(what)) != (ssize_t)sizeof(what))
		_exit(3);
}

static enum reason do_nothing(struct db_handle *h, void *arg, struct db_err *err)
{
	(void)h;
	(void)arg;
	(void)err;
	return REASON_NONE;
}

/* Adds numbers one by one, notes calls in progress and ends every second one; forever. */
static void child(const char *path, uint32_t from, int fd)
{
	struct fix f = {.db = NULL};

	snprintf(f.path, sizeof(f.path), "%s", path);
	if (db_open(&(struct db_cfg){.path = path, .window_ms = 1}, &f.db, &f.err))
		_exit(2);
	for (uint32_t i = from; i < 60000; i++) {
		struct db_cdr c = {.id = i + 1, .start_us = 1000, .answer_us = 2000, .called = S("+4930"), .end_us = 3000,
		    .reason = REASON_NORMAL};
		char text[24];

		snprintf(text, sizeof(text), "+4930%07u", i);
		if (fix_number(&f, text, "acme"))
			_exit(4);
		tell(fd, TOLD_NUMBER | i);
		db_call_open(f.db, &c);
		/* a read makes the store write what waits; afterwards the call is known to be noted */
		fix_call(&f, DB_READ, do_nothing, NULL);
		tell(fd, TOLD_OPEN | i);
		if (i % 2)
			db_cdr_write(f.db, &c);
	}
	_exit(5);
}

struct seen {
	unsigned records, crashed;
	uint8_t *of; /* records per call id */
	uint32_t max;
};

static bool on_cdr(void *ctx, const struct db_cdr *c)
{
	struct seen *x = ctx;

	assert_true(c->id <= x->max);
	x->of[c->id]++;
	x->records++;
	x->crashed += c->reason == REASON_CRASHED;
	return true;
}

static enum reason do_find(struct db_handle *h, void *arg, struct db_err *err)
{
	struct db_cdr_query q = {.max = 10000000};

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

static void acknowledged_is_durable(void **s)
{
	static uint8_t noted[1 << 16]; /* calls of which the child said that they are in the journal */
	uint32_t next = 0, total_acks = 0, total_crashed = 0;
	struct rng rng;
	struct fix f;

	(void)s;
	rng_init_seeded(&rng, 20);
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_close(&f);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct seen seen = {.records = 0};
		uint32_t told, numbers = next;
		struct db_rows *rows;
		int fd[2], status;
		pid_t pid;

		assert_int_equal(pipe(fd), 0);
		fflush(NULL);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(fd[0]);
			child(f.path, next, fd[1]);
		}
		close(fd[1]);
		/* let it come to work, then a random moment in the midst of it */
		assert_int_equal(read(fd[0], &told, sizeof(told)), sizeof(told));
		numbers = (told & TOLD_VALUE) + 1;
		usleep(rng_below(&rng, 30000));
		kill(pid, SIGKILL);
		while (read(fd[0], &told, sizeof(told)) == (ssize_t)sizeof(told)) {
			if (told & TOLD_NUMBER && !(told & TOLD_OPEN))
				numbers = (told & TOLD_VALUE) + 1;
			else
				noted[(told & TOLD_VALUE) + 1] = 1;
		}
		close(fd[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		total_acks += numbers - next;

		fix_open(&f);
		rows = fix_load(&f);
		/* all that was acknowledged, and at most the one that was on its way */
		assert_true(rows->n_numbers == numbers || rows->n_numbers == numbers + 1);
		for (uint32_t i = 0; i < rows->n_numbers; i++) {
			char want[24];

			snprintf(want, sizeof(want), "+4930%07u", i);
			assert_string_equal(rows->numbers[i].first, want);
		}
		next = rows->n_numbers;
		assert_int_equal(rows->revision, next + 1);
		db_rows_free(rows);
		seen.max = next + 1;
		seen.of = calloc(seen.max + 1, 1);
		assert_non_null(seen.of);
		assert_int_equal(fix_call(&f, DB_READ, do_find, &seen), REASON_NONE);
		/* one record for each call that was known to be in progress; never two */
		for (uint32_t id = 1; id <= seen.max; id++) {
			assert_true(seen.of[id] <= 1);
			if (noted[id] && seen.of[id] != 1)
				fail_msg("round %u: call %u has %u records", round, id, seen.of[id]);
		}
		free(seen.of);
		total_crashed = seen.crashed;
		assert_int_equal(fix_call(&f, DB_READ, do_check, NULL), REASON_NONE);
		fix_close(&f);
	}
	assert_true(total_acks >= ROUNDS);
	assert_true(total_crashed >= ROUNDS / 2);
	print_message("%u kills, %u acknowledged changes, %u cut calls\n", ROUNDS, total_acks, total_crashed);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(acknowledged_is_durable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
