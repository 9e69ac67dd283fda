/* open.c - opens the file and says in words why it cannot.
 *
 * Happy path: the directory is there, the file is made with mode 0600 (SQLite gives its -wal and -shm the same),
 * opened, put into WAL with synchronous=FULL and foreign keys on, recognised by application_id, migrated.
 * Everything that can be wrong at start has a reason of its own: no directory, no rights, read-only, full, locked
 * by another program, damaged, no database at all, written by a newer version.
 *
 * Also here: SQLite's codes to reasons, prepared statements, the clock of the store thread.
 */
#include "db/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const texts[SQL_COUNT] = {
#define STMT(name, text) [SQL_##name] = text,
#include "db/sql.def"
#undef STMT
};

int64_t db_wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t db_mono_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

enum reason db_fail(struct db_err *err, enum reason reason, const char *hint, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return reason;
	err->reason = reason;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	snprintf(err->hint, sizeof(err->hint), "%s", hint ? hint : reason_info(reason)->remedy);
	return reason;
}

enum reason db_reason_of(int code, int sys)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return REASON_DB_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return REASON_DB_LOCKED;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return REASON_DB_DAMAGED;
	case SQLITE_READONLY:
		return REASON_DB_READ_ONLY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return REASON_PERMISSION;
	case SQLITE_NOMEM:
		return REASON_NO_MEMORY;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		if (sys == ENOSPC || sys == EDQUOT || sys == EFBIG)
			return REASON_DB_FULL;
		if (sys == EROFS)
			return REASON_DB_READ_ONLY;
		if (sys == EACCES || sys == EPERM)
			return REASON_PERMISSION;
		if (sys == EMFILE || sys == ENFILE)
			return REASON_NO_DESCRIPTORS;
		return REASON_DB_FAILED;
	default:
		return REASON_DB_FAILED;
	}
}

enum reason db_sql_fail(struct db_handle *h, struct db_err *err, const char *what)
{
	int code = sqlite3_extended_errcode(h->sql);
	enum reason r = db_reason_of(code, sqlite3_system_errno(h->sql));

	return db_fail(err, r, NULL, "%s: %s (SQLite %d)", what, sqlite3_errmsg(h->sql), code);
}

sqlite3_stmt *db_stmt(struct db_handle *h, enum db_sql id, struct db_err *err)
{
	sqlite3_stmt *st = h->stmt[id];

	if (!st) {
		if (sqlite3_prepare_v3(h->sql, texts[id], -1, SQLITE_PREPARE_PERSISTENT, &st, NULL)) {
			db_sql_fail(h, err, "preparing a statement");
			return NULL;
		}
		h->stmt[id] = st;
		return st;
	}
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return st;
}

enum reason db_run(struct db_handle *h, sqlite3_stmt *st, const char *what, struct db_err *err)
{
	enum reason r = REASON_NONE;
	int rc = sqlite3_step(st);

	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		r = db_sql_fail(h, err, what);
	sqlite3_reset(st);
	return r;
}

enum reason db_exec(struct db_handle *h, const char *fixed, const char *what, struct db_err *err)
{
	return sqlite3_exec(h->sql, fixed, NULL, NULL, NULL) ? db_sql_fail(h, err, what) : REASON_NONE;
}

enum reason db_get_i64(struct db_handle *h, const char *fixed, int64_t *ret, struct db_err *err)
{
	sqlite3_stmt *st;
	enum reason r = REASON_NONE;
	int rc;

	if (sqlite3_prepare_v2(h->sql, fixed, -1, &st, NULL))
		return db_sql_fail(h, err, "reading the database");
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	else if (rc == SQLITE_DONE)
		*ret = 0;
	else
		r = db_sql_fail(h, err, "reading the database");
	sqlite3_finalize(st);
	return r;
}

static enum reason file_fail(struct db_err *err, const char *path, int sys)
{
	switch (sys) {
	case EROFS:
		return db_fail(err, REASON_DB_READ_ONLY, NULL, "%s: the file system is read-only", path);
	case EACCES:
	case EPERM:
		return db_fail(err, REASON_PERMISSION,
		    "give the service's user write access to the state directory and the file in it",
		    "%s: permission denied", path);
	case ENOSPC:
	case EDQUOT:
		return db_fail(err, REASON_DB_FULL, NULL, "%s: no space left", path);
	case EISDIR:
		return db_fail(err, REASON_DB_FAILED, "move the directory away", "%s is a directory", path);
	case ENOENT:
		return db_fail(err, REASON_DB_FAILED, "is 'state-dir' in postern.conf right?",
		    "%s does not exist", path);
	case EMFILE:
	case ENFILE:
		return db_fail(err, REASON_NO_DESCRIPTORS, NULL, "%s: out of file descriptors", path);
	default:
		return db_fail(err, REASON_DB_FAILED, NULL, "%s: errno %d", path, sys);
	}
}

/* Directory there? File there, or made, with its mode? */
static enum reason prepare_file(const struct db_cfg *cfg, struct db_err *err)
{
	const char *slash = strrchr(cfg->path, '/');
	struct stat st;
	int fd;

	if (slash && slash != cfg->path) {
		char dir[4096];
		size_t n = (size_t)(slash - cfg->path);

		if (n >= sizeof(dir))
			return db_fail(err, REASON_DB_FAILED, NULL, "path of the database is too long");
		memcpy(dir, cfg->path, n);
		dir[n] = '\0';
		if (stat(dir, &st) < 0) {
			if (errno == ENOENT || errno == ENOTDIR)
				return db_fail(err, REASON_DB_NO_DIRECTORY, NULL,
				    "directory %s does not exist", dir);
			return file_fail(err, dir, errno);
		}
		if (!S_ISDIR(st.st_mode))
			return db_fail(err, REASON_DB_NO_DIRECTORY, NULL, "%s is not a directory", dir);
	}
	fd = open(cfg->path, cfg->read_only ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return file_fail(err, cfg->path, errno);
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		close(fd);
		return db_fail(err, REASON_DB_FAILED, NULL, "%s is not a regular file", cfg->path);
	}
	close(fd); /* before SQLite opens it: closing later would drop its locks */
	return REASON_NONE;
}

static enum reason pragmas(const struct db_cfg *cfg, struct db_handle *h, struct db_err *err)
{
	sqlite3_stmt *st;
	enum reason r;
	int rc;

	sqlite3_busy_timeout(h->sql, (int)(cfg->busy_ms ? cfg->busy_ms : 2000));
	sqlite3_extended_result_codes(h->sql, 1);
	sqlite3_db_config(h->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(h->sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if ((r = db_exec(h, "PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;", "opening", err)))
		return r;
	if (cfg->read_only)
		return REASON_NONE;
	if (sqlite3_prepare_v2(h->sql, "PRAGMA journal_mode = WAL", -1, &st, NULL))
		return db_sql_fail(h, err, h->path);
	rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		r = db_sql_fail(h, err, h->path);
	else if (!str_ieq(db_col_str(st, 0), S("wal")))
		r = db_fail(err, REASON_DB_FAILED, "put the state directory on a local disk",
		    "%s: the file system does not allow write-ahead logging", h->path);
	sqlite3_finalize(st);
	if (r)
		return r;
	/* The log is copied into the file when it has 16 MiB: the pages at the growing ends of table and indexes are in
	 * it many times, and go to the file once. The cache (16 MiB) holds what an hour of records touches. */
	return db_exec(h,
	    "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096; PRAGMA cache_size = -16384;"
	    "PRAGMA journal_size_limit = 67108864;",
	    "opening", err);
}

enum reason db_handle_open(const struct db_cfg *cfg, struct db_handle *h, struct db_err *err)
{
	int64_t version;
	enum reason r;

	*h = (struct db_handle){.path = cfg->path, .log = {.to = cfg->logger, .area = LOG_DB}};
	if ((r = prepare_file(cfg, err)))
		return r;
	if (sqlite3_open_v2(cfg->path, &h->sql,
		(cfg->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX, NULL)) {
		r = h->sql ? db_sql_fail(h, err, cfg->path)
			   : db_fail(err, REASON_NO_MEMORY, NULL, "out of memory");
		db_handle_close(h);
		return r;
	}
	if ((r = pragmas(cfg, h, err)) == REASON_NONE) {
		if (!cfg->read_only)
			r = db_migrate(h, err);
		else if ((r = db_get_i64(h, "PRAGMA user_version", &version, err)) == REASON_NONE &&
			 version != (int64_t)db_schema_version)
			r = db_fail(err, REASON_DB_VERSION, "start posternd once: it brings the file forward",
			    "%s has schema %lld, this program works with %u", cfg->path, (long long)version,
			    db_schema_version);
	}
	if (r)
		db_handle_close(h);
	return r;
}

void db_handle_close(struct db_handle *h)
{
	for (unsigned i = 0; i < SQL_COUNT; i++) {
		sqlite3_finalize(h->stmt[i]);
		h->stmt[i] = NULL;
	}
	sqlite3_close(h->sql);
	h->sql = NULL;
}
