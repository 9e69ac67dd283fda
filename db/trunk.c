/* trunk.c - trunks with their settings, targets, sources and header rules.
 *
 * A trunk is put as a whole: its row is written, what hangs under it is taken away and written anew. The changeset
 * of the revision holds only what really differs, since the session extension sums up per row.
 */
#include "db/internal.h"

bool db_name_ok(struct str s)
{
	if (s.n == 0 || s.n > DB_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = chr_lower(s.p[i]);

		if ((c >= 'a' && c <= 'z') || chr_digit(c))
			continue;
		if (i == 0 || (c != '-' && c != '_' && c != '.'))
			return false;
	}
	return true;
}

static enum reason get_id(struct db_handle *h, struct str name, uint32_t *ret, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_TRUNK_ID, err);
	enum reason r = REASON_NONE;
	int rc;

	if (!st)
		return err->reason;
	db_bind_str(st, 1, name);
	rc = sqlite3_step(st);
	*ret = rc == SQLITE_ROW ? db_col_u32(st, 0) : 0;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		r = db_sql_fail(h, err, "looking for a trunk");
	sqlite3_reset(st);
	return r;
}

enum reason db_trunk_id(struct db_handle *h, struct str name, uint32_t *ret_id, struct db_err *err)
{
	uint32_t id;
	enum reason r = get_id(h, name, &id, err);

	if (r)
		return r;
	if (!id)
		return db_fail(err, REASON_NO_SUCH, "postern trunk list", "there is no trunk '%.*s'",
		    STR(str_head(name, 64)));
	*ret_id = id;
	return REASON_NONE;
}

static enum reason del_parts(struct db_handle *h, uint32_t id, struct db_err *err)
{
	static const enum db_sql parts[] = {
	    SQL_SETTINGS_DEL, SQL_TARGETS_DEL, SQL_SOURCES_DEL, SQL_HEADERS_DEL};

	for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
		sqlite3_stmt *st = db_stmt(h, parts[i], err);
		enum reason r;

		if (!st)
			return err->reason;
		db_bind_i64(st, 1, id);
		if ((r = db_run(h, st, "changing a trunk", err)))
			return r;
	}
	return REASON_NONE;
}

static enum reason add_parts(struct db_handle *h, const struct db_trunk *t, uint32_t id, struct db_err *err)
{
	sqlite3_stmt *st;
	enum reason r;

	for (unsigned i = 0; i < t->n_settings; i++) {
		if (!(st = db_stmt(h, SQL_SETTING_ADD, err)))
			return err->reason;
		db_bind_i64(st, 1, id);
		db_bind_str(st, 2, t->settings[i].key);
		db_bind_str(st, 3, t->settings[i].value);
		if ((r = db_run(h, st, "storing a setting", err)))
			return r;
	}
	for (unsigned i = 0; i < t->n_targets; i++) {
		if (!(st = db_stmt(h, SQL_TARGET_ADD, err)))
			return err->reason;
		db_bind_i64(st, 1, id);
		db_bind_i64(st, 2, i + 1);
		db_bind_str(st, 3, t->targets[i].host);
		db_bind_i64(st, 4, t->targets[i].port);
		db_bind_str(st, 5, t->targets[i].transport);
		db_bind_i64(st, 6, t->targets[i].priority);
		db_bind_i64(st, 7, t->targets[i].weight);
		if ((r = db_run(h, st, "storing a target", err)))
			return r;
	}
	for (unsigned i = 0; i < t->n_sources; i++) {
		if (!(st = db_stmt(h, SQL_SOURCE_ADD, err)))
			return err->reason;
		db_bind_i64(st, 1, id);
		db_bind_i64(st, 2, i + 1);
		db_bind_str(st, 3, t->sources[i].address);
		if ((r = db_run(h, st, "storing an address", err)))
			return r;
	}
	for (unsigned i = 0; i < t->n_headers; i++) {
		if (!(st = db_stmt(h, SQL_HEADER_ADD, err)))
			return err->reason;
		db_bind_i64(st, 1, id);
		db_bind_str(st, 2, t->headers[i].name);
		db_bind_i64(st, 3, t->headers[i].pass);
		if ((r = db_run(h, st, "storing a header rule", err)))
			return r;
	}
	return REASON_NONE;
}

enum reason db_trunk_put(struct db_handle *h, const struct db_trunk *t, uint32_t *ret_id, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;
	uint32_t other, id = t->id;
	enum reason r;

	if (!err)
		err = &own;
	if (!db_name_ok(t->name))
		return db_fail(err, REASON_BAD_VALUE, NULL,
		    "'%.*s' is no name for a trunk: 1 to %d letters, digits, '-', '_', '.', first a letter or digit",
		    STR(str_head(t->name, 64)), DB_NAME_MAX);
	if ((r = get_id(h, t->name, &other, err)))
		return r;
	if (other && other != id)
		return db_fail(err, REASON_NAME_TAKEN, NULL, "there is a trunk '%.*s' already", STR(t->name));
	if (!(st = db_stmt(h, id ? SQL_TRUNK_SET : SQL_TRUNK_ADD, err)))
		return err->reason;
	if (id)
		db_bind_i64(st, 1, id);
	db_bind_str(st, id ? 2 : 1, t->name);
	db_bind_str(st, id ? 3 : 2, t->role);
	db_bind_str(st, id ? 4 : 3, t->realm);
	db_bind_str(st, id ? 5 : 4, str_z(db_admin_names[t->admin]));
	if ((r = db_run(h, st, "storing the trunk", err)))
		return r;
	if (!id)
		id = (uint32_t)sqlite3_last_insert_rowid(h->sql);
	else if (sqlite3_changes(h->sql) == 0)
		return db_fail(err, REASON_NO_SUCH, "postern trunk list", "trunk '%.*s' is gone", STR(t->name));
	if ((r = del_parts(h, id, err)) || (r = add_parts(h, t, id, err)))
		return r;
	if (ret_id)
		*ret_id = id;
	return REASON_NONE;
}

enum reason db_trunk_admin(struct db_handle *h, struct str name, enum db_admin admin, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;
	uint32_t id;
	enum reason r;

	if (!err)
		err = &own;
	if ((r = db_trunk_id(h, name, &id, err)))
		return r;
	if (!(st = db_stmt(h, SQL_TRUNK_ADMIN, err)))
		return err->reason;
	db_bind_i64(st, 1, id);
	db_bind_str(st, 2, str_z(db_admin_names[admin]));
	return db_run(h, st, "changing the trunk", err);
}

/* What stands in the way of deleting it? */
static enum reason in_use(struct db_handle *h, struct str name, uint32_t id, struct db_err *err)
{
	enum reason r = REASON_NONE;
	sqlite3_stmt *st;
	int64_t numbers = 0;
	int rc;

	if (!(st = db_stmt(h, SQL_TRUNK_NUMBERS, err)))
		return err->reason;
	db_bind_i64(st, 1, id);
	if ((rc = sqlite3_step(st)) == SQLITE_ROW)
		numbers = sqlite3_column_int64(st, 0);
	else
		r = db_sql_fail(h, err, "looking at the trunk");
	sqlite3_reset(st);
	if (r)
		return r;
	if (numbers)
		return db_fail(err, REASON_IN_USE,
		    "postern number list --trunk NAME; or delete the trunk with --with-numbers",
		    "trunk '%.*s' still has %lld number blocks", STR(name), (long long)numbers);
	if (!(st = db_stmt(h, SQL_TRUNK_ROUTE, err)))
		return err->reason;
	db_bind_i64(st, 1, id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		struct str route = db_col_str(st, 0);

		r = db_fail(err, REASON_IN_USE, "postern route del ROUTE; or delete the trunk with --with-numbers",
		    "route '%.*s' uses trunk '%.*s'", STR(route), STR(name));
	} else if (rc != SQLITE_DONE) {
		r = db_sql_fail(h, err, "looking at the trunk");
	}
	sqlite3_reset(st);
	return r;
}

enum reason db_trunk_del(struct db_handle *h, struct str name, bool with_numbers, struct db_err *err)
{
	static const enum db_sql all[] = {SQL_TRUNK_NUMBERS_DEL, SQL_TRUNK_VIAS_DEL, SQL_TRUNK_ROUTE_VIAS_DEL,
	    SQL_TRUNK_ROUTES_DEL};
	struct db_err own;
	sqlite3_stmt *st;
	uint32_t id;
	enum reason r;

	if (!err)
		err = &own;
	if ((r = db_trunk_id(h, name, &id, err)))
		return r;
	if (!with_numbers && (r = in_use(h, name, id, err)))
		return r;
	for (unsigned i = 0; with_numbers && i < ARRAY_LEN(all); i++) {
		if (!(st = db_stmt(h, all[i], err)))
			return err->reason;
		db_bind_i64(st, 1, id);
		if ((r = db_run(h, st, "deleting what belongs to the trunk", err)))
			return r;
	}
	if ((r = del_parts(h, id, err)))
		return r;
	if ((r = db_credential_del(h, id, err)))
		return r;
	if (!(st = db_stmt(h, SQL_TRUNK_DEL, err)))
		return err->reason;
	db_bind_i64(st, 1, id);
	return db_run(h, st, "deleting the trunk", err);
}
