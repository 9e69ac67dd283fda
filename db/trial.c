/* trial.c - changes on trial: taken back at a certain time unless somebody keeps them.
 *
 * All revisions on trial form one trial: a change that joins it moves its end, and they are kept or taken back together,
 * the newest first. It stands in the file, so that a crash or a restart does not end it.
 */
#include "db/internal.h"

enum reason db_trial_get(struct db_handle *h, struct db_trial *ret, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_TRIAL_GET, err);
	enum reason r = REASON_NONE;

	if (!st)
		return err->reason;
	if (sqlite3_step(st) == SQLITE_ROW)
		*ret = (struct db_trial){.n = db_col_u32(st, 0),
		    .newest = (uint64_t)sqlite3_column_int64(st, 1),
		    .until_us = sqlite3_column_int64(st, 2)};
	else
		r = db_sql_fail(h, err, "reading the trial");
	sqlite3_reset(st);
	return r;
}

static enum reason run_with(struct db_handle *h, enum db_sql id, int64_t value, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, id, err);

	if (!st)
		return err->reason;
	db_bind_i64(st, 1, value);
	return db_run(h, st, "keeping the trial", err);
}

enum reason db_trial_join(struct db_handle *h, uint64_t revision, int64_t until_us, struct db_err *err)
{
	enum reason r = run_with(h, SQL_TRIAL_ADD, (int64_t)revision, err);

	return r ? r : run_with(h, SQL_TRIAL_UNTIL, until_us, err);
}

enum reason db_trial_leave(struct db_handle *h, uint64_t revision, struct db_err *err)
{
	return run_with(h, SQL_TRIAL_DEL, (int64_t)revision, err);
}

static enum reason none(struct db_err *err)
{
	return db_fail(err, REASON_NO_SUCH, "postern db history", "no change is on trial");
}

enum reason db_trial_keep(struct db_handle *h, struct db_trial *ret, struct db_err *err)
{
	struct db_err own;
	enum reason r;

	if (!err)
		err = &own;
	if ((r = db_trial_get(h, ret, err)))
		return r;
	return ret->n ? run_with(h, SQL_TRIAL_UPTO, (int64_t)ret->newest, err) : none(err);
}

enum reason db_trial_revert(struct db_handle *h, struct db_trial *ret, struct db_err *err)
{
	struct db_trial t = {.n = 0};
	struct db_err own;
	enum reason r;

	if (!err)
		err = &own;
	if ((r = db_trial_get(h, ret, err)))
		return r;
	if (!ret->n)
		return none(err);
	/* each leaves when it is undone */
	while ((r = db_trial_get(h, &t, err)) == REASON_NONE && t.n)
		if ((r = db_revision_undo(h, t.newest, err)))
			return r;
	return r;
}
