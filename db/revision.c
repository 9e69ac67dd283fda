/* revision.c - changes by people.
 *
 * A change runs inside a savepoint with a session watching the tables that people own. What apply() did is taken
 * as a changeset, written with its author as a revision, all rows are loaded as they would be, and check() (the
 * policy compiler) has the last word. Anything that fails rolls the savepoint back. A change that changed nothing
 * makes no revision.
 *
 * Undo applies the inverted changeset as a change of its own; a row that was touched again since is a conflict and
 * refuses the undo as a whole. What is undone is on trial no longer (trial.c).
 */
#include "db/internal.h"

#include <stdlib.h>

static const char *const watched[] = {"trunk", "trunk_setting", "trunk_target", "trunk_source", "trunk_header",
    "number", "route", "route_via"};

enum reason db_revision_now(struct db_handle *h, uint64_t *ret, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_REVISION_NOW, err);
	enum reason r = REASON_NONE;

	if (!st)
		return err->reason;
	if (sqlite3_step(st) == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(st, 0);
	else
		r = db_sql_fail(h, err, "reading the revision");
	sqlite3_reset(st);
	return r;
}

static enum reason code_fail(struct db_handle *h, int rc, const char *what, struct db_err *err)
{
	return db_fail(err, db_reason_of(rc, sqlite3_system_errno(h->sql)), NULL, "%s: %s", what, sqlite3_errstr(rc));
}

static enum reason watch(struct db_handle *h, sqlite3_session **ret, struct db_err *err)
{
	sqlite3_session *s = NULL;
	int rc = sqlite3session_create(h->sql, "main", &s);

	if (rc)
		return code_fail(h, rc, "recording the change", err);
	for (unsigned i = 0; i < ARRAY_LEN(watched) && !rc; i++)
		rc = sqlite3session_attach(s, watched[i]);
	if (rc) {
		sqlite3session_delete(s);
		return code_fail(h, rc, "recording the change", err);
	}
	*ret = s;
	return REASON_NONE;
}

static enum reason count_rows(struct db_handle *h, void *set, int n, int64_t *ret, struct db_err *err)
{
	sqlite3_changeset_iter *it;
	int64_t rows = 0;
	int rc = sqlite3changeset_start(&it, n, set);

	if (rc)
		return code_fail(h, rc, "reading a changeset", err);
	while (sqlite3changeset_next(it) == SQLITE_ROW)
		rows++;
	rc = sqlite3changeset_finalize(it);
	*ret = rows;
	return rc ? code_fail(h, rc, "reading a changeset", err) : REASON_NONE;
}

static enum reason put_on_trial(struct db_handle *h, int64_t until_us, struct db_err *err)
{
	/* a revision holds no secret, so that one cannot be taken back */
	if (h->secret_changed)
		return db_fail(err, REASON_BAD_VALUE, "without --confirm", "a password cannot be taken back");
	return db_trial_join(h, (uint64_t)sqlite3_last_insert_rowid(h->sql), until_us, err);
}

/* Writes what the session saw as a revision; *ret_changed false: it saw nothing. */
static enum reason record(struct db_handle *h, sqlite3_session *s, const struct db_change *c, bool *ret_changed,
    struct db_err *err)
{
	const struct db_who *who = &c->who;
	sqlite3_stmt *st;
	int64_t rows = 0;
	void *set;
	int n, rc = sqlite3session_changeset(s, &n, &set);
	enum reason r;

	if (rc)
		return code_fail(h, rc, "recording the change", err);
	*ret_changed = n > 0;
	if (n == 0) {
		sqlite3_free(set);
		return REASON_NONE;
	}
	if ((r = count_rows(h, set, n, &rows, err)) || !(st = db_stmt(h, SQL_REVISION_ADD, err))) {
		sqlite3_free(set);
		return err->reason;
	}
	db_bind_i64(st, 1, db_wall_us());
	db_bind_i64(st, 2, who->uid);
	db_bind_str(st, 3, str_z(who->user));
	db_bind_str(st, 4, str_z(who->why));
	db_bind_i64(st, 5, rows);
	sqlite3_bind_blob(st, 6, set, n, SQLITE_STATIC);
	r = db_run(h, st, "recording the change", err);
	sqlite3_clear_bindings(st);
	sqlite3_free(set);
	return r == REASON_NONE && c->trial_until_us ? put_on_trial(h, c->trial_until_us, err) : r;
}

static enum reason work(struct db_handle *h, struct db_change *c, struct db_err *err)
{
	sqlite3_session *s = NULL;
	enum reason r;

	if ((r = watch(h, &s, err)))
		return r;
	h->secret_changed = false;
	if ((r = c->apply(h, c, err)) == REASON_NONE)
		r = record(h, s, c, &c->changed, err);
	c->changed = c->changed || (!r && h->secret_changed);
	sqlite3session_delete(s);
	if (r || (r = db_load(h, &c->rows, err)))
		return r;
	return c->check ? c->check(c, c->rows, err) : REASON_NONE;
}

enum reason db_change_run(struct db_handle *h, struct db_req *req, struct db_err *err)
{
	struct db_change *c = container_of(req, struct db_change, req);
	struct db_err ignored;
	uint64_t now = 0;
	enum reason r;

	db_rows_free(c->rows); /* of a run that was rolled back */
	c->rows = NULL;
	c->changed = false;
	if ((r = db_revision_now(h, &now, err)))
		return r;
	c->revision = now;
	if (c->base_revision && c->base_revision != now)
		return db_fail(err, REASON_DB_CONFLICT, NULL, "the database is at revision %llu, the change is for %llu",
		    (unsigned long long)now, (unsigned long long)c->base_revision);
	if ((r = db_exec(h, "SAVEPOINT change", "change", err)))
		return r;
	r = work(h, c, err);
	if (r || c->dry_run) {
		if (!sqlite3_get_autocommit(h->sql))
			(void)db_exec(h, "ROLLBACK TO change; RELEASE change", "change", &ignored);
		if (r) {
			db_rows_free(c->rows);
			c->rows = NULL;
			c->changed = false;
		}
		return r;
	}
	if ((r = db_exec(h, "RELEASE change", "change", err)))
		return r;
	r = db_trial_get(h, &c->trial, err);
	return r ? r : db_revision_now(h, &c->revision, err);
}

static void change_done(struct db_req *req)
{
	struct db_change *c = container_of(req, struct db_change, req);

	if (req->err.reason) { /* also when the commit failed after all went well */
		db_rows_free(c->rows);
		c->rows = NULL;
		c->changed = false;
	}
	c->done(c);
}

void db_change_submit_any(struct db *db, struct db_change *c)
{
	c->req.kind = DB_WRITE;
	c->req.run = db_change_run;
	c->req.done = change_done;
	c->rows = NULL;
	db_submit_any(db, &c->req);
}

enum reason db_change_call(struct db *db, struct db_change *c)
{
	enum reason r;

	c->req.kind = DB_WRITE;
	c->req.run = db_change_run;
	c->rows = NULL;
	if ((r = db_call(db, &c->req))) {
		db_rows_free(c->rows);
		c->rows = NULL;
		c->changed = false;
	}
	return r;
}

/* ---------------------------------------------------------------- looking back */

static void clip(char *to, size_t size, struct str s)
{
	size_t n = s.n < size ? s.n : size - 1;

	if (n)
		memcpy(to, s.p, n);
	to[n] = '\0';
}

enum reason db_revision_list(struct db_handle *h, uint64_t before, unsigned max,
    bool (*fn)(void *ctx, const struct db_revision *r), void *ctx, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;
	enum reason r = REASON_NONE;
	int rc;

	if (!err)
		err = &own;
	if (!(st = db_stmt(h, SQL_REVISION_LIST, err)))
		return err->reason;
	db_bind_i64(st, 1, (int64_t)before);
	db_bind_i64(st, 2, max);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct db_revision e = {
		    .id = (uint64_t)sqlite3_column_int64(st, 0),
		    .at_us = sqlite3_column_int64(st, 1),
		    .who = {.uid = db_col_u32(st, 2)},
		    .n_changes = db_col_u32(st, 5),
		};

		clip(e.who.user, sizeof(e.who.user), db_col_str(st, 3));
		clip(e.who.why, sizeof(e.who.why), db_col_str(st, 4));
		if (!fn(ctx, &e)) {
			rc = SQLITE_DONE;
			break;
		}
	}
	if (rc != SQLITE_DONE)
		r = db_sql_fail(h, err, "reading revisions");
	sqlite3_reset(st);
	return r;
}

/* The stored changeset, copied: *ret is malloc'ed. */
static enum reason get_set(struct db_handle *h, uint64_t id, void **ret, int *ret_n, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_REVISION_GET, err);
	enum reason r = REASON_NONE;
	int rc;

	if (!st)
		return err->reason;
	db_bind_i64(st, 1, (int64_t)id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		const void *p = sqlite3_column_blob(st, 0);
		int n = sqlite3_column_bytes(st, 0);

		if (!(*ret = malloc(n > 0 ? (size_t)n : 1)))
			r = db_fail(err, REASON_NO_MEMORY, NULL, "out of memory");
		else if (n > 0)
			memcpy(*ret, p, (size_t)n);
		*ret_n = n;
	} else if (rc == SQLITE_DONE) {
		r = db_fail(err, REASON_NO_SUCH, "postern db history", "there is no revision %llu",
		    (unsigned long long)id);
	} else {
		r = db_sql_fail(h, err, "reading a revision");
	}
	sqlite3_reset(st);
	return r;
}

static void put_value(struct buf *b, sqlite3_value *v)
{
	if (!v || sqlite3_value_type(v) == SQLITE_NULL)
		buf_lit(b, "-");
	else
		buf_escaped(b, str_n((const char *)sqlite3_value_text(v), (size_t)sqlite3_value_bytes(v)), 120);
}

/* Column names of a table, for people. */
struct columns {
	const char *table;
	const char *name[16];
};
static const struct columns columns[] = {
    {"trunk", {"id", "name", "role", "realm", "admin"}},
    {"trunk_setting", {"trunk_id", "key", "value"}},
    {"trunk_target", {"trunk_id", "position", "host", "port", "transport", "priority", "weight"}},
    {"trunk_source", {"trunk_id", "position", "address"}},
    {"trunk_header", {"trunk_id", "name", "pass"}},
    {"number", {"id", "trunk_id", "digits", "first", "last"}},
    {"route", {"id", "name", "position", "from_trunk", "from_pattern", "to_pattern", "deny", "days", "from_min",
		  "to_min"}},
    {"route_via", {"route_id", "position", "trunk_id", "priority", "weight"}},
};

static void describe(sqlite3_changeset_iter *it, struct buf *b)
{
	const struct columns *c = NULL;
	const char *table;
	unsigned char *key;
	int n, op, indirect, n_key;

	if (sqlite3changeset_op(it, &table, &n, &op, &indirect) || sqlite3changeset_pk(it, &key, &n_key))
		return;
	for (unsigned i = 0; i < ARRAY_LEN(columns); i++)
		if (str_eq(str_z(columns[i].table), str_z(table)))
			c = &columns[i];
	buf_fmt(b, "%c %s", op == SQLITE_INSERT ? '+' : op == SQLITE_DELETE ? '-' : '~', table);
	for (int i = 0; i < n; i++) {
		const char *name = c && i < (int)ARRAY_LEN(c->name) && c->name[i] ? c->name[i] : "?";
		sqlite3_value *before = NULL, *after = NULL;

		if (op != SQLITE_INSERT)
			sqlite3changeset_old(it, i, &before);
		if (op != SQLITE_DELETE)
			sqlite3changeset_new(it, i, &after);
		if (op == SQLITE_UPDATE && !key[i] && !after)
			continue; /* not changed */
		buf_fmt(b, " %s=", name);
		if (op == SQLITE_UPDATE && !key[i]) {
			put_value(b, before);
			buf_lit(b, "->");
			put_value(b, after);
		} else {
			put_value(b, op == SQLITE_INSERT ? after : before);
		}
	}
}

enum reason db_revision_show(struct db_handle *h, uint64_t id, bool (*fn)(void *ctx, const char *line), void *ctx,
    struct db_err *err)
{
	struct db_err own;
	sqlite3_changeset_iter *it;
	void *set = NULL;
	char line[2048];
	int n = 0, rc;
	enum reason r;

	if (!err)
		err = &own;
	if ((r = get_set(h, id, &set, &n, err)))
		return r;
	if ((rc = sqlite3changeset_start(&it, n, set))) {
		free(set);
		return code_fail(h, rc, "reading a changeset", err);
	}
	while (sqlite3changeset_next(it) == SQLITE_ROW) {
		struct buf b;

		buf_init(&b, line, sizeof(line) - 1);
		describe(it, &b);
		line[b.n] = '\0';
		if (!fn(ctx, line))
			break;
	}
	rc = sqlite3changeset_finalize(it);
	free(set);
	return rc ? code_fail(h, rc, "reading a changeset", err) : REASON_NONE;
}

/* Any conflict ends it; an omitted foreign key check would let a broken state in. */
static int on_conflict(void *ctx, int what, sqlite3_changeset_iter *it)
{
	(void)ctx;
	(void)what;
	(void)it;
	return SQLITE_CHANGESET_ABORT;
}

enum reason db_revision_undo(struct db_handle *h, uint64_t id, struct db_err *err)
{
	struct db_err own;
	void *set = NULL, *back = NULL;
	int n = 0, n_back = 0, rc;
	enum reason r;

	if (!err)
		err = &own;
	if ((r = get_set(h, id, &set, &n, err)))
		return r;
	rc = sqlite3changeset_invert(n, set, &n_back, &back);
	free(set);
	if (rc)
		return code_fail(h, rc, "reading a changeset", err);
	rc = sqlite3changeset_apply(h->sql, n_back, back, NULL, on_conflict, NULL);
	sqlite3_free(back);
	if (rc == SQLITE_ABORT || (rc & 0xff) == SQLITE_CONSTRAINT)
		return db_fail(err, REASON_DB_CONFLICT, "undo the later revisions first: postern db history",
		    "what revision %llu touched was changed again since", (unsigned long long)id);
	return rc ? code_fail(h, rc, "undoing a revision", err) : db_trial_leave(h, id, err);
}
