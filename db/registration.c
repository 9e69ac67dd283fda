/* registration.c - credentials of trunks, and the bindings of those who registered with us.
 *
 * Neither is part of a revision: a secret has no history, and bindings come and go by themselves. A binding is put
 * by its id, so a refresh overwrites one row; many of them are committed together (store.c).
 */
#include "db/internal.h"

static bool is_hash(struct str s, size_t n)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chr_digit(s.p[i]) && (s.p[i] < 'a' || s.p[i] > 'f'))
			return false;
	return s.n == 0 || s.n == n;
}

enum reason db_credential_put(struct db_handle *h, uint32_t trunk_id, const struct db_credential *c, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;
	enum reason r;
	bool there;

	if (!err)
		err = &own;
	if (!c->user.n)
		return db_fail(err, REASON_BAD_VALUE, NULL, "a credential needs a user name");
	if (!is_hash(c->md5, 32) || !is_hash(c->sha256, 64) || !is_hash(c->sha512_256, 64))
		return db_fail(err, REASON_BAD_VALUE, NULL, "a hash of a credential is not hexadecimal");
	if (!(st = db_stmt(h, SQL_TRUNK_NAME, err)))
		return err->reason;
	db_bind_i64(st, 1, trunk_id);
	there = sqlite3_step(st) == SQLITE_ROW;
	sqlite3_reset(st);
	if (!there)
		return db_fail(err, REASON_NO_SUCH, "postern trunk list", "there is no such trunk");
	if (!(st = db_stmt(h, SQL_CREDENTIAL_PUT, err)))
		return err->reason;
	db_bind_i64(st, 1, trunk_id);
	db_bind_str(st, 2, c->user);
	db_bind_str(st, 3, c->realm);
	db_bind_str(st, 4, c->md5);
	db_bind_str(st, 5, c->sha256);
	db_bind_str(st, 6, c->sha512_256);
	r = db_run(h, st, "storing a credential", err);
	h->secret_changed = h->secret_changed || !r;
	return r;
}

enum reason db_credential_del(struct db_handle *h, uint32_t trunk_id, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;
	enum reason r;

	if (!err)
		err = &own;
	if (!(st = db_stmt(h, SQL_CREDENTIAL_DEL, err)))
		return err->reason;
	db_bind_i64(st, 1, trunk_id);
	r = db_run(h, st, "deleting a credential", err);
	h->secret_changed = h->secret_changed || (!r && sqlite3_changes(h->sql) > 0);
	return r;
}

enum reason db_binding_put(struct db_handle *h, const struct db_binding *b, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;

	if (!err)
		err = &own;
	if (!(st = db_stmt(h, SQL_BINDING_PUT, err)))
		return err->reason;
	db_bind_i64(st, 1, (int64_t)b->id);
	db_bind_i64(st, 2, b->trunk_id);
	db_bind_str(st, 3, b->aor);
	db_bind_i64(st, 4, b->bulk);
	db_bind_i64(st, 5, b->q);
	db_bind_i64(st, 6, b->reg_id);
	db_bind_i64(st, 7, b->cseq);
	db_bind_str(st, 8, b->uri);
	db_bind_str(st, 9, b->params);
	db_bind_str(st, 10, b->instance);
	db_bind_str(st, 11, b->call_id);
	db_bind_str(st, 12, b->path);
	db_bind_str(st, 13, b->user_agent);
	db_bind_str(st, 14, b->realm);
	db_bind_str(st, 15, b->transport);
	db_bind_str(st, 16, b->received);
	db_bind_i64(st, 17, b->since_us);
	db_bind_i64(st, 18, b->expires_us);
	return db_run(h, st, "storing a registration", err);
}

enum reason db_binding_del(struct db_handle *h, uint64_t id, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;

	if (!err)
		err = &own;
	if (!(st = db_stmt(h, SQL_BINDING_DEL, err)))
		return err->reason;
	db_bind_i64(st, 1, (int64_t)id);
	return db_run(h, st, "deleting a registration", err);
}

enum reason db_binding_all(
    struct db_handle *h, void (*fn)(void *ctx, const struct db_binding *b), void *ctx, struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;
	enum reason r;
	int rc;

	if (!err)
		err = &own;
	if (!(st = db_stmt(h, SQL_BINDINGS_OVER, err)))
		return err->reason;
	db_bind_i64(st, 1, db_wall_us());
	if ((r = db_run(h, st, "clearing old registrations", err)))
		return r;
	if (!(st = db_stmt(h, SQL_BINDINGS_ALL, err)))
		return err->reason;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const struct db_binding b = {.id = (uint64_t)sqlite3_column_int64(st, 0),
		    .trunk_id = db_col_u32(st, 1),
		    .aor = db_col_str(st, 2),
		    .bulk = sqlite3_column_int(st, 3) != 0,
		    .q = db_col_u16(st, 4),
		    .reg_id = db_col_u32(st, 5),
		    .cseq = db_col_u32(st, 6),
		    .uri = db_col_str(st, 7),
		    .params = db_col_str(st, 8),
		    .instance = db_col_str(st, 9),
		    .call_id = db_col_str(st, 10),
		    .path = db_col_str(st, 11),
		    .user_agent = db_col_str(st, 12),
		    .realm = db_col_str(st, 13),
		    .transport = db_col_str(st, 14),
		    .received = db_col_str(st, 15),
		    .since_us = sqlite3_column_int64(st, 16),
		    .expires_us = sqlite3_column_int64(st, 17)};

		fn(ctx, &b);
	}
	r = rc == SQLITE_DONE ? REASON_NONE : db_sql_fail(h, err, "reading registrations");
	sqlite3_reset(st);
	return r;
}
