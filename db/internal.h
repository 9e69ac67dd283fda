/* internal.h - shared inside this room only.
 *
 *   open.c      opens the file: directory, rights, pragmas, version; error codes to reasons
 *   schema.c    the schema as a list of steps, each from one user_version to the next
 *   sql.def     every statement there is, each prepared once; values are bound, never printed into SQL
 *   store.c     the thread: FIFO of requests, group commit, savepoints, journal of calls
 *   load.c      all rows for the policy compiler
 *   trunk.c number.c import.c route.c ban.c registration.c secret.c cdr.c   one file per family of tables
 *   revision.c  changes by people: savepoint, changeset, author; undo
 *   trial.c     changes that are taken back unless somebody keeps them
 *   care.c      check, backup
 */
#ifndef DB_INTERNAL_H
#define DB_INTERNAL_H

#define SQLITE_ENABLE_SESSION 1
#define SQLITE_ENABLE_PREUPDATE_HOOK 1
#include <sqlite3.h>

#include "db/db.h"
#include "sbc/base/buf.h"

#define DB_APPLICATION_ID 1349743730 /* "Pstr" in the header of the file */
#define DB_CHUNK 32768

enum db_sql {
#define STMT(name, text) SQL_##name,
#include "db/sql.def"
#undef STMT
	SQL_COUNT
};

struct db_handle {
	sqlite3 *sql;
	sqlite3_stmt *stmt[SQL_COUNT]; /* own, prepared on first use */
	struct db *db;                 /* NULL while opening */
	bool secret_changed;           /* by the change that runs: no session sees it */
	const char *path;              /* borrow: struct db, or the opener */
	struct log log;
};

/* open.c */
enum reason db_handle_open(const struct db_cfg *cfg, struct db_handle *h, struct db_err *err);
void db_handle_close(struct db_handle *h);
/* The last error of h as a reason; what: "adding the number". */
enum reason db_sql_fail(struct db_handle *h, struct db_err *err, const char *what);
enum reason db_reason_of(int extended_code, int system_errno);
/* Prepared, reset and without bindings; NULL with err filled. */
sqlite3_stmt *db_stmt(struct db_handle *h, enum db_sql id, struct db_err *err);
/* Runs a statement without result rows and resets it. */
enum reason db_run(struct db_handle *h, sqlite3_stmt *st, const char *what, struct db_err *err);
/* One fixed statement without values (BEGIN, PRAGMA, DDL). */
enum reason db_exec(struct db_handle *h, const char *fixed, const char *what, struct db_err *err);
/* First column of the first row as a number; 0 without a row. */
enum reason db_get_i64(struct db_handle *h, const char *fixed, int64_t *ret, struct db_err *err);
int64_t db_wall_us(void);
int64_t db_mono_us(void);

/* schema.c */
extern const unsigned db_schema_version;
enum reason db_migrate(struct db_handle *h, struct db_err *err);

/* trunk.c: letters, digits, '-', '_', '.', first a letter or digit; routes too */
bool db_name_ok(struct str s);

/* store.c */
void db_journal_flush(struct db *db);

/* cdr.c: on the store thread, inside a transaction */
enum reason db_cdr_insert(struct db_handle *h, const struct db_cdr *c, bool open, struct db_err *err);
/* The same for as many records of ended calls in one statement. On failure *ret_n of them are in, when the transaction
 * still is. */
#define DB_CDR_MANY 8
enum reason db_cdr_insert_many(struct db_handle *h, const struct db_cdr *const c[DB_CDR_MANY], unsigned *ret_n,
    struct db_err *err);
enum reason db_open_delete(struct db_handle *h, uint64_t id, bool *ret_was, struct db_err *err);
enum reason db_recover(struct db_handle *h, uint64_t *ret_n, struct db_err *err);
enum reason db_alive(struct db_handle *h, struct db_err *err);

/* revision.c */
enum reason db_revision_now(struct db_handle *h, uint64_t *ret, struct db_err *err);
enum reason db_change_run(struct db_handle *h, struct db_req *r, struct db_err *err);

/* trial.c */
enum reason db_trial_join(struct db_handle *h, uint64_t revision, int64_t until_us, struct db_err *err);
enum reason db_trial_leave(struct db_handle *h, uint64_t revision, struct db_err *err); /* it is none: fine */

/* care.c */
enum reason db_copy_file(struct db_handle *h, const char *path, struct db_err *err);

static inline void db_bind_str(sqlite3_stmt *st, int i, struct str s)
{
	sqlite3_bind_text64(st, i, s.p ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
}

static inline void db_bind_i64(sqlite3_stmt *st, int i, int64_t v)
{
	sqlite3_bind_int64(st, i, v);
}

/* valid until the next step or reset */
static inline struct str db_col_str(sqlite3_stmt *st, int i)
{
	const char *p = (const char *)sqlite3_column_text(st, i);

	return str_n(p, p ? (size_t)sqlite3_column_bytes(st, i) : 0);
}

/* A stored number within what its field holds; a damaged one is clipped, not wrapped. */
static inline uint32_t db_col_u32(sqlite3_stmt *st, int i)
{
	int64_t v = sqlite3_column_int64(st, i);

	return v < 0 ? 0 : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static inline uint16_t db_col_u16(sqlite3_stmt *st, int i)
{
	uint32_t v = db_col_u32(st, i);

	return v > UINT16_MAX ? UINT16_MAX : (uint16_t)v;
}

static inline enum reason db_col_reason(sqlite3_stmt *st, int i)
{
	char text[12];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	buf_u64(&b, db_col_u32(st, i));
	return reason_parse(buf_text(&b));
}

#endif
