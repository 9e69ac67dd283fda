/* What can be wrong with the file at start, each with its own reason and never a crash. */
#include "fixture.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

static enum reason try_open(const char *path, struct db_err *err)
{
	struct db_cfg cfg = {.path = path, .busy_ms = 20};
	struct db *db;
	enum reason r = db_open(&cfg, &db, err);

	if (!r)
		db_close(db);
	else if (!strlen(err->text) || !strlen(err->hint))
		fail_msg("reason %s without words", reason_info(r)->name);
	return r;
}

static void write_file(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

static void sql(const char *path, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void new_file_is_private(void **s)
{
	struct stat st;
	struct fix f;

	(void)s;
	fix_init(&f);
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fix_fini(&f);
}

static void no_directory(void **s)
{
	char path[128];
	struct db_err err;
	struct fix f;

	(void)s;
	fix_dir(&f);
	snprintf(path, sizeof(path), "%s/none/postern.db", f.dir);
	assert_int_equal(try_open(path, &err), REASON_DB_NO_DIRECTORY);
	assert_non_null(strstr(err.text, "/none does not exist"));
	write_file(f.path, "x", 1);
	snprintf(path, sizeof(path), "%s/postern.db/postern.db", f.dir);
	assert_int_equal(try_open(path, &err), REASON_DB_NO_DIRECTORY);
	fix_fini(&f);
}

static void not_a_file(void **s)
{
	struct db_err err;
	struct fix f;

	(void)s;
	fix_dir(&f);
	assert_int_equal(mkdir(f.path, 0700), 0);
	assert_int_equal(try_open(f.path, &err), REASON_DB_FAILED);
	assert_non_null(strstr(err.text, "is a directory"));
	rmdir(f.path);
	assert_int_equal(mkfifo(f.path, 0600), 0);
	assert_int_equal(try_open(f.path, &err), REASON_DB_FAILED);
	fix_fini(&f);
}

static void garbage_and_foreign_files(void **s)
{
	char junk[8192];
	struct db_err err;
	struct fix f;

	(void)s;
	fix_dir(&f);
	memset(junk, 'j', sizeof(junk));
	write_file(f.path, junk, sizeof(junk));
	assert_int_equal(try_open(f.path, &err), REASON_DB_DAMAGED);
	unlink(f.path);
	sql(f.path, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);");
	assert_int_equal(try_open(f.path, &err), REASON_DB_DAMAGED);
	assert_non_null(strstr(err.text, "not one of Postern"));
	/* and it is left as it was */
	sql(f.path, "INSERT INTO theirs VALUES (2);");
	fix_fini(&f);
}

static void newer_version(void **s)
{
	struct db_err err;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_close(&f);
	sql(f.path, "PRAGMA user_version = 99;");
	assert_int_equal(try_open(f.path, &err), REASON_DB_VERSION);
	assert_non_null(strstr(err.text, "99"));
	fix_fini(&f);
}

/* A piece of 100 bytes damaged, all over a filled file: it opens or says why, and loading says why. */
static void damage_anywhere(void **s)
{
	unsigned damaged = 0, noticed = 0;
	struct fix f;
	struct stat st;
	char *good;
	int fd;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_number(&f, "+4930100..+4930199", "acme");
	fix_close(&f);
	assert_int_equal(stat(f.path, &st), 0);
	good = malloc((size_t)st.st_size);
	assert_non_null(good);
	fd = open(f.path, O_RDONLY);
	assert_int_equal(read(fd, good, (size_t)st.st_size), st.st_size);
	close(fd);
	for (off_t at = 0; at + 100 < st.st_size; at += 640) {
		struct db_cfg cfg = {.path = f.path, .busy_ms = 20};
		struct db_rows *rows = NULL;
		struct db_err err;

		for (int i = 0; i < 100; i++)
			good[at + i] ^= 0x5a;
		write_file(f.path, good, (size_t)st.st_size);
		for (int i = 0; i < 100; i++)
			good[at + i] ^= 0x5a;
		damaged++;
		if (db_open(&cfg, &f.db, &err)) {
			assert_true(strlen(err.text) > 0);
			noticed++;
		} else {
			if (fix_call(&f, DB_READ, do_load, &rows) == REASON_NONE) {
				db_rows_free(rows);
			} else {
				assert_true(strlen(f.err.text) > 0);
				noticed++;
			}
			fix_close(&f);
		}
		fix_wipe(f.dir);
		assert_int_equal(mkdir(f.dir, 0700), 0);
	}
	free(good);
	assert_true(damaged > 100);
	print_message("%u damaged files, %u noticed at start or while loading\n", damaged, noticed);
	assert_true(noticed > 10);
	fix_fini(&f);
}

static void truncated(void **s)
{
	struct db_err err;
	struct stat st;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme");
	fix_close(&f);
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(truncate(f.path, st.st_size / 2), 0);
	assert_int_equal(try_open(f.path, &err), REASON_DB_DAMAGED);
	fix_fini(&f);
}

static void locked(void **s)
{
	struct db_err err;
	sqlite3 *other;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_close(&f);
	assert_int_equal(sqlite3_open(f.path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE; CREATE TABLE x (y);", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(try_open(f.path, &err), REASON_DB_LOCKED);
	sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(other);
	assert_int_equal(try_open(f.path, &err), REASON_NONE);
	fix_fini(&f);
}

static void opened_read_only(void **s)
{
	struct db_cfg cfg = {.read_only = true};
	struct db_rows *rows;
	struct db_err err;
	struct fix f;

	(void)s;
	fix_dir(&f);
	cfg.path = f.path;
	assert_int_equal(db_open(&cfg, &f.db, &err), REASON_DB_FAILED); /* is not made */
	assert_non_null(strstr(err.text, "does not exist"));
	fix_open(&f);
	fix_trunk(&f, "acme");
	fix_close(&f);
	fix_open_cfg(&f, cfg);
	rows = fix_load(&f);
	assert_int_equal(rows->n_trunks, 1);
	db_rows_free(rows);
	assert_int_equal(fix_trunk(&f, "other"), REASON_DB_READ_ONLY);
	fix_close(&f);
	sql(f.path, "PRAGMA user_version = 1;");
	assert_int_equal(db_open(&cfg, &f.db, &err), REASON_DB_VERSION);
	fix_fini(&f);
}

/* ---------------------------------------------------------------- with a file system of our own (root) */

/* Runs fn in a child with a tmpfs of that size at f->dir; 77 when that is not allowed here. */
static void in_tmpfs(const char *options, int (*fn)(struct fix *f))
{
	struct fix f;
	int status;
	pid_t pid;

	fix_dir(&f);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("tmpfs", f.dir, "tmpfs", 0, options) < 0)
			_exit(77);
		_exit(fn(&f));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fix_wipe(f.dir);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define EXPECT(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			return 1; \
		} \
	} while (0)

static int full_body(struct fix *f)
{
	struct db_err err;
	char zero[65536] = "", ballast[128], range[32];
	struct add a = {range, "acme"};
	struct edit e = {.fn = do_add, .arg = &a, .change = {.apply = edit_apply}};
	struct db_cfg cfg = {.path = f->path};
	unsigned added = 0;
	enum reason r = REASON_NONE;
	int fd;

	/* not even room for an empty database */
	snprintf(ballast, sizeof(ballast), "%s/ballast", f->dir);
	fd = open(ballast, O_WRONLY | O_CREAT, 0600);
	EXPECT(fd >= 0);
	while (write(fd, zero, sizeof(zero)) > 0)
		;
	EXPECT(try_open(f->path, &err) == REASON_DB_FULL);
	/* some room: works until it is used up, then says so; what was acknowledged is there */
	EXPECT(ftruncate(fd, 0) == 0);
	unlink(f->path);
	EXPECT(db_open(&cfg, &f->db, &err) == REASON_NONE);
	EXPECT(fix_trunk(f, "acme") == REASON_NONE);
	for (; added < 100000 && !r; added++) {
		snprintf(range, sizeof(range), "+4930%06u", added * 2);
		r = db_change_call(f->db, &e.change);
		db_rows_free(e.change.rows);
	}
	EXPECT(r == REASON_DB_FULL);
	added--;
	EXPECT(added > 10);
	unlink(ballast);
	close(fd);
	db_close(f->db);
	EXPECT(db_open(&cfg, &f->db, &err) == REASON_NONE);
	{
		struct db_rows *rows = fix_load(f);

		EXPECT(rows->n_numbers == added);
		db_rows_free(rows);
	}
	db_close(f->db);
	return 0;
}

static void full_file_system(void **s)
{
	(void)s;
	in_tmpfs("size=1m,mode=700", full_body);
}

static int read_only_body(struct fix *f)
{
	struct db_err err;

	EXPECT(try_open(f->path, &err) == REASON_NONE);
	EXPECT(mount(NULL, f->dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	EXPECT(try_open(f->path, &err) == REASON_DB_READ_ONLY);
	return 0;
}

static void read_only_file_system(void **s)
{
	(void)s;
	in_tmpfs("size=4m,mode=700", read_only_body);
}

static int permission_body(struct fix *f)
{
	struct db_err err;

	EXPECT(try_open(f->path, &err) == REASON_NONE);
	EXPECT(chmod(f->dir, 0755) == 0 && chmod(f->path, 0400) == 0);
	if (setuid(65534) < 0)
		return 77;
	EXPECT(try_open(f->path, &err) == REASON_PERMISSION);
	EXPECT(strstr(err.hint, "write access") != NULL);
	return 0;
}

static void no_permission(void **s)
{
	(void)s;
	in_tmpfs("size=4m,mode=755", permission_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(new_file_is_private),
	    cmocka_unit_test(no_directory),
	    cmocka_unit_test(not_a_file),
	    cmocka_unit_test(garbage_and_foreign_files),
	    cmocka_unit_test(newer_version),
	    cmocka_unit_test(damage_anywhere),
	    cmocka_unit_test(truncated),
	    cmocka_unit_test(locked),
	    cmocka_unit_test(opened_read_only),
	    cmocka_unit_test(full_file_system),
	    cmocka_unit_test(read_only_file_system),
	    cmocka_unit_test(no_permission),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
