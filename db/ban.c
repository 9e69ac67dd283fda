/* ban.c - sources that get no ear. Not part of revisions: the guard writes them by itself. */
#include "db/internal.h"

enum reason db_ban_put(struct db_handle *h, const struct db_ban *b, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;
	enum reason r;

	if (!err)
		err = &own;
	if (b->address.n == 0)
		return db_fail(err, REASON_BAD_VALUE, NULL, "a ban needs an address");
	if (!(st = db_stmt(h, SQL_BAN_EXPIRE, err)))
		return err->reason;
	db_bind_i64(st, 1, db_wall_us());
	if ((r = db_run(h, st, "clearing old bans", err)))
		return r;
	if (!(st = db_stmt(h, SQL_BAN_PUT, err)))
		return err->reason;
	db_bind_str(st, 1, b->address);
	db_bind_i64(st, 2, b->since_us);
	db_bind_i64(st, 3, b->until_us);
	db_bind_i64(st, 4, reason_info(b->reason)->number);
	db_bind_str(st, 5, b->why);
	return db_run(h, st, "storing a ban", err);
}

enum reason db_ban_del(struct db_handle *h, struct str address, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;
	enum reason r;

	if (!err)
		err = &own;
	if (!(st = db_stmt(h, SQL_BAN_DEL, err)))
		return err->reason;
	db_bind_str(st, 1, address);
	if ((r = db_run(h, st, "lifting a ban", err)))
		return r;
	if (sqlite3_changes(h->sql) == 0)
		return db_fail(err, REASON_NO_SUCH, "postern guard list", "'%.*s' is not banned",
		    STR(str_head(address, 64)));
	return REASON_NONE;
}
