/* care.c - is the file sound, and a copy of it.
 *
 * check: SQLite's own integrity and foreign key checks, then what SQL can say about our rules (overlapping or
 * malformed numbers, trunks without target, routes that lead nowhere). Values of settings are policy's business.
 *
 * backup: SQLite's online backup into PATH.part, which is closed, opened again read-only, checked, synced and
 * renamed; a reader never sees half a copy, and a copy that does not pass its check is not kept.
 */
#include "db/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define PAGES_A_STEP 1024

static enum reason list(struct db_handle *h, enum db_sql id, struct str healthy, void (*fn)(void *, const char *),
    void *ctx, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, id, err);
	enum reason r = REASON_NONE;
	int rc;

	if (!st)
		return err->reason;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct str line = db_col_str(st, 0);
		char text[400];
		struct buf b;

		if (healthy.n && str_eq(line, healthy))
			continue;
		buf_init(&b, text, sizeof(text) - 1);
		buf_escaped(&b, line, sizeof(text) / 4 - 8);
		text[b.n] = '\0';
		fn(ctx, text);
	}
	if (rc != SQLITE_DONE)
		r = db_sql_fail(h, err, "checking the database");
	sqlite3_reset(st);
	return r;
}

enum reason db_check(struct db_handle *h, void (*fn)(void *ctx, const char *line), void *ctx, struct db_err *err)
{
	static const enum db_sql ours[] = {
	    SQL_CHECK_FOREIGN, SQL_CHECK_OVERLAP, SQL_CHECK_NUMBER, SQL_CHECK_TARGET, SQL_CHECK_ROUTE};
	struct db_err own;
	enum reason r;

	if (!err)
		err = &own;
	r = list(h, SQL_CHECK_INTEGRITY, S("ok"), fn, ctx, err);
	for (unsigned i = 0; i < ARRAY_LEN(ours) && !r; i++)
		r = list(h, ours[i], STR_NONE, fn, ctx, err);
	if (r == REASON_DB_DAMAGED) {
		fn(ctx, err->text); /* that is the finding */
		*err = (struct db_err){.reason = REASON_NONE};
		return REASON_NONE;
	}
	return r;
}

static enum reason copy_into(struct db_handle *h, const char *path, struct db_err *err)
{
	sqlite3_backup *b;
	sqlite3 *to = NULL;
	enum reason r = REASON_NONE;
	int rc;

	rc = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK && (b = sqlite3_backup_init(to, "main", h->sql, "main"))) {
		while ((rc = sqlite3_backup_step(b, PAGES_A_STEP)) == SQLITE_OK)
			;
		sqlite3_backup_finish(b);
	}
	if (rc != SQLITE_DONE && rc != SQLITE_OK)
		r = db_fail(err, db_reason_of(rc, to ? sqlite3_system_errno(to) : 0), NULL, "writing %s: %s", path,
		    to ? sqlite3_errmsg(to) : sqlite3_errstr(rc));
	else if (rc != SQLITE_DONE)
		r = db_fail(err, REASON_DB_FAILED, NULL, "writing %s: %s", path, sqlite3_errmsg(to));
	else /* one file, without -wal beside it */
		sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	sqlite3_close(to);
	return r;
}

static enum reason verify(const char *path, struct db_err *err)
{
	struct db_handle copy = {.path = path};
	sqlite3_stmt *st = NULL;
	enum reason r = REASON_NONE;

	if (sqlite3_open_v2(path, &copy.sql, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ||
	    sqlite3_prepare_v2(copy.sql, "PRAGMA integrity_check(1)", -1, &st, NULL))
		r = copy.sql ? db_sql_fail(&copy, err, "reading the copy back")
			     : db_fail(err, REASON_NO_MEMORY, NULL, "out of memory");
	else if (sqlite3_step(st) != SQLITE_ROW)
		r = db_sql_fail(&copy, err, "reading the copy back");
	else if (!str_eq(db_col_str(st, 0), S("ok")))
		r = db_fail(err, REASON_DB_DAMAGED, NULL, "the copy is not sound: %.*s",
		    STR(str_head(db_col_str(st, 0), 200)));
	sqlite3_finalize(st);
	sqlite3_close(copy.sql);
	return r;
}

static enum reason sync_path(const char *path, int flags, struct db_err *err)
{
	int fd = open(path, flags | O_CLOEXEC), rc;

	if (fd < 0)
		return db_fail(err, REASON_DB_FAILED, NULL, "%s: errno %d", path, errno);
	rc = fsync(fd);
	close(fd);
	return rc < 0 ? db_fail(err, REASON_DB_FAILED, NULL, "%s: errno %d", path, errno) : REASON_NONE;
}

/* Makes the rename itself durable. */
static void sync_dir(const char *path)
{
	char dir[4096];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 1;

	if (n >= sizeof(dir))
		return;
	memcpy(dir, slash ? path : ".", n);
	dir[n] = '\0';
	(void)sync_path(n ? dir : "/", O_RDONLY | O_DIRECTORY, NULL);
}

enum reason db_copy_file(struct db_handle *h, const char *path, struct db_err *err)
{
	char part[4096];
	int n = snprintf(part, sizeof(part), "%s.part", path), fd;
	enum reason r;

	if (n < 0 || (size_t)n >= sizeof(part))
		return db_fail(err, REASON_DB_FAILED, NULL, "path is too long");
	(void)unlink(part); /* of an attempt that was cut off */
	fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return db_fail(err,
		    errno == EROFS		      ? REASON_DB_READ_ONLY
		    : errno == EACCES		      ? REASON_PERMISSION
		    : errno == ENOSPC		      ? REASON_DB_FULL
		    : errno == ENOENT		      ? REASON_DB_NO_DIRECTORY
						      : REASON_DB_FAILED,
		    "name a file in a directory that the service may write to", "%s cannot be written: errno %d",
		    path, errno);
	close(fd);
	if ((r = copy_into(h, part, err)) == REASON_NONE && (r = verify(part, err)) == REASON_NONE &&
	    (r = sync_path(part, O_RDONLY, err)) == REASON_NONE && rename(part, path) < 0)
		r = db_fail(err, REASON_DB_FAILED, NULL, "%s: errno %d", path, errno);
	if (r)
		(void)unlink(part);
	else
		sync_dir(path);
	return r;
}

enum reason db_backup(struct db_handle *h, const char *path, struct db_err *err)
{
	struct db_err own;

	if (!err)
		err = &own;
	if (access(path, F_OK) == 0)
		return db_fail(err, REASON_NAME_TAKEN, "name a file that does not exist yet", "%s exists already",
		    path);
	return db_copy_file(h, path, err);
}
