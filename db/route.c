/* route.c - routes in their order, and the trunks each leads to.
 *
 * Positions are plain ascending numbers; putting a route before another one moves the later ones up by one. What
 * a route's fields may say is checked by policy before (compile.h); here only that it can be stored.
 */
#include "db/internal.h"

static enum reason find(struct db_handle *h, struct str name, uint32_t *ret_id, uint32_t *ret_position,
    struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_ROUTE_ID, err);
	enum reason r = REASON_NONE;
	int rc;

	if (!st)
		return err->reason;
	db_bind_str(st, 1, name);
	rc = sqlite3_step(st);
	*ret_id = rc == SQLITE_ROW ? db_col_u32(st, 0) : 0;
	*ret_position = rc == SQLITE_ROW ? db_col_u32(st, 1) : 0;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		r = db_sql_fail(h, err, "looking for a route");
	sqlite3_reset(st);
	return r;
}

static enum reason one_number(struct db_handle *h, enum db_sql id, int64_t arg, uint32_t *ret, bool *ret_found,
    struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, id, err);
	enum reason r = REASON_NONE;
	int rc;

	if (!st)
		return err->reason;
	if (sqlite3_bind_parameter_count(st) > 0)
		db_bind_i64(st, 1, arg);
	rc = sqlite3_step(st);
	*ret_found = rc == SQLITE_ROW;
	if (rc == SQLITE_ROW)
		*ret = db_col_u32(st, 0);
	else if (rc != SQLITE_DONE)
		r = db_sql_fail(h, err, "looking at the routes");
	sqlite3_reset(st);
	return r;
}

/* Where does it go? Makes room there. */
static enum reason place(struct db_handle *h, const struct db_route *e, struct str before, uint32_t *ret_position,
    struct db_err *err)
{
	uint32_t id, position;
	sqlite3_stmt *st;
	enum reason r;
	bool found;

	if (before.n) {
		if ((r = find(h, before, &id, &position, err)))
			return r;
		if (!id)
			return db_fail(err, REASON_NO_SUCH, "postern route list", "there is no route '%.*s'",
			    STR(str_head(before, 64)));
		if (!(st = db_stmt(h, SQL_ROUTE_SHIFT, err)))
			return err->reason;
		db_bind_i64(st, 1, position);
		*ret_position = position;
		return db_run(h, st, "moving routes", err);
	}
	if (e->id) {
		if ((r = one_number(h, SQL_ROUTE_AT, e->id, ret_position, &found, err)))
			return r;
		if (!found)
			return db_fail(err, REASON_NO_SUCH, "postern route list", "route '%.*s' is gone",
			    STR(str_head(e->name, 64)));
		return REASON_NONE;
	}
	r = one_number(h, SQL_ROUTE_LAST, 0, ret_position, &found, err);
	(*ret_position)++;
	return r;
}

static enum reason put_vias(struct db_handle *h, const struct db_route *e, uint32_t id, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_VIAS_DEL, err);
	enum reason r;

	if (!st)
		return err->reason;
	db_bind_i64(st, 1, id);
	if ((r = db_run(h, st, "changing the route", err)))
		return r;
	for (unsigned i = 0; i < e->n_via; i++) {
		if (!(st = db_stmt(h, SQL_VIA_ADD, err)))
			return err->reason;
		db_bind_i64(st, 1, id);
		db_bind_i64(st, 2, i + 1);
		db_bind_i64(st, 3, e->via[i].trunk_id);
		db_bind_i64(st, 4, e->via[i].priority);
		db_bind_i64(st, 5, e->via[i].weight);
		if ((r = db_run(h, st, "storing where the route leads", err)))
			return r;
	}
	return REASON_NONE;
}

static enum reason put_row(struct db_handle *h, const struct db_route *e, uint32_t position, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, e->id ? SQL_ROUTE_SET : SQL_ROUTE_ADD, err);

	if (!st)
		return err->reason;
	db_bind_str(st, 1, e->name);
	db_bind_i64(st, 2, position);
	if (e->from_trunk)
		db_bind_i64(st, 3, e->from_trunk);
	db_bind_str(st, 4, e->from);
	db_bind_str(st, 5, e->to);
	db_bind_i64(st, 6, e->deny);
	db_bind_i64(st, 7, e->hours.days);
	db_bind_i64(st, 8, e->hours.from_min);
	db_bind_i64(st, 9, e->hours.days ? e->hours.to_min : 1440);
	if (e->id)
		db_bind_i64(st, 10, e->id);
	return db_run(h, st, "storing the route", err);
}

enum reason db_route_put(struct db_handle *h, const struct db_route *e, struct str before, struct db_err *err)
{
	struct db_err own;
	uint32_t id, position;
	enum reason r;

	if (!err)
		err = &own;
	if (!db_name_ok(e->name))
		return db_fail(err, REASON_BAD_VALUE, NULL,
		    "'%.*s' is no name for a route: 1 to %d letters, digits, '-', '_', '.', first a letter or digit",
		    STR(str_head(e->name, 64)), DB_NAME_MAX);
	if ((r = find(h, e->name, &id, &position, err)))
		return r;
	if (id && id != e->id)
		return db_fail(err, REASON_NAME_TAKEN, NULL, "there is a route '%.*s' already", STR(e->name));
	if (e->deny == (e->n_via > 0))
		return db_fail(err, REASON_BAD_VALUE, NULL,
		    "route '%.*s' must either deny or name at least one trunk", STR(e->name));
	if ((r = place(h, e, before, &position, err)) || (r = put_row(h, e, position, err)))
		return r;
	return put_vias(h, e, e->id ? e->id : (uint32_t)sqlite3_last_insert_rowid(h->sql), err);
}

enum reason db_route_del(struct db_handle *h, struct str name, struct db_err *err)
{
	static const enum db_sql both[] = {SQL_VIAS_DEL, SQL_ROUTE_DEL};
	struct db_err own;
	uint32_t id, position;
	enum reason r;

	if (!err)
		err = &own;
	if ((r = find(h, name, &id, &position, err)))
		return r;
	if (!id)
		return db_fail(err, REASON_NO_SUCH, "postern route list", "there is no route '%.*s'",
		    STR(str_head(name, 64)));
	for (unsigned i = 0; i < ARRAY_LEN(both); i++) {
		sqlite3_stmt *st = db_stmt(h, both[i], err);

		if (!st)
			return err->reason;
		db_bind_i64(st, 1, id);
		if ((r = db_run(h, st, "deleting the route", err)))
			return r;
	}
	return REASON_NONE;
}
