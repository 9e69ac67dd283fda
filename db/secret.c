/* secret.c - secrets of the box itself, each with those that came before it while they are still taken.
 *
 * No part of a revision: a secret has no history that somebody could go back to.
 */
#include "db/internal.h"

enum reason db_secret_put(struct db_handle *h, struct str name, struct str value, int64_t grace_us, struct db_err *err)
{
	int64_t now = db_wall_us();
	struct db_err own;
	sqlite3_stmt *st;
	enum reason r;

	if (!err)
		err = &own;
	if (!name.n || !value.n)
		return db_fail(err, REASON_BAD_VALUE, NULL, "a secret needs a name and a value");
	if (!(st = db_stmt(h, SQL_SECRET_END, err)))
		return err->reason;
	db_bind_str(st, 1, name);
	db_bind_i64(st, 2, grace_us > 0 ? now + grace_us : now);
	if ((r = db_run(h, st, "ending a secret", err)))
		return r;
	if (!(st = db_stmt(h, SQL_SECRET_PUT, err)))
		return err->reason;
	db_bind_str(st, 1, name);
	db_bind_str(st, 2, value);
	db_bind_i64(st, 3, now);
	return db_run(h, st, "storing a secret", err);
}

enum reason db_secret_all(
    struct db_handle *h, void (*fn)(void *ctx, const struct db_secret *s), void *ctx, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;
	enum reason r;
	int rc;

	if (!err)
		err = &own;
	if (!(st = db_stmt(h, SQL_SECRETS_OVER, err)))
		return err->reason;
	db_bind_i64(st, 1, db_wall_us());
	if ((r = db_run(h, st, "clearing old secrets", err)))
		return r;
	if (!(st = db_stmt(h, SQL_SECRETS_ALL, err)))
		return err->reason;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const struct db_secret s = {.name = db_col_str(st, 0),
		    .n = db_col_u32(st, 1),
		    .value = db_col_str(st, 2),
		    .since_us = sqlite3_column_int64(st, 3),
		    .until_us = sqlite3_column_int64(st, 4)};

		fn(ctx, &s);
	}
	r = rc == SQLITE_DONE ? REASON_NONE : db_sql_fail(h, err, "reading secrets");
	sqlite3_reset(st);
	return r;
}
