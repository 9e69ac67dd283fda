/* cdr.c - records of calls, and the journal of calls in progress.
 *
 * The journal (call_open) has a row for each answered call; the call's record takes it away in the same
 * transaction. What is still there at the next start was cut by a crash: db_recover() turns it into records with
 * REASON_CRASHED, ended when the store was last seen alive. Reasons are stored by their catalogue number.
 */
#include "db/internal.h"

#define ROW 35 /* columns of a record, the first 15 are those of call_open too */

/* from: columns before the first one of this row */
static void bind_head(sqlite3_stmt *st, int from, const struct db_cdr *c)
{
	db_bind_i64(st, from + 1, (int64_t)c->id);
	db_bind_i64(st, from + 2, c->start_us);
	db_bind_i64(st, from + 3, c->answer_us);
	db_bind_i64(st, from + 4, c->ring_ms);
	db_bind_i64(st, from + 5, c->setup_ms);
	db_bind_i64(st, from + 6, c->trunk_a);
	db_bind_i64(st, from + 7, c->trunk_b);
	db_bind_str(st, from + 8, c->trunk_a_name);
	db_bind_str(st, from + 9, c->trunk_b_name);
	db_bind_str(st, from + 10, c->calling);
	db_bind_str(st, from + 11, c->called);
	db_bind_str(st, from + 12, c->route);
	db_bind_str(st, from + 13, c->peer_a);
	db_bind_str(st, from + 14, c->sip_call_id_a);
	db_bind_str(st, from + 15, c->sip_call_id_b);
}

static void bind_tail(sqlite3_stmt *st, int from, const struct db_cdr *c)
{
	db_bind_i64(st, from + 16, c->end_us);
	db_bind_i64(st, from + 17, c->talk_ms);
	db_bind_i64(st, from + 18, c->status);
	db_bind_i64(st, from + 19, c->peer_status);
	db_bind_i64(st, from + 20, reason_info(c->reason)->number);
	db_bind_str(st, from + 21, str_n(&c->released_by, c->released_by ? 1 : 0));
	db_bind_str(st, from + 22, c->peer_reason);
	db_bind_str(st, from + 23, c->tries);
	db_bind_str(st, from + 24, c->media);
	for (int i = 0; i < 2; i++) {
		const struct db_cdr_side *s = &c->side[i];

		db_bind_str(st, from + 25 + i * 5, s->codec);
		db_bind_i64(st, from + 26 + i * 5, (int64_t)s->rx_packets);
		db_bind_i64(st, from + 27 + i * 5, (int64_t)s->tx_packets);
		db_bind_i64(st, from + 28 + i * 5, s->lost);
		db_bind_i64(st, from + 29 + i * 5, s->jitter_us);
	}
	db_bind_i64(st, from + 35, c->media_bad);
}

enum reason db_cdr_insert(struct db_handle *h, const struct db_cdr *c, bool open, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, open ? SQL_OPEN_ADD : SQL_CDR_ADD, err);

	if (!st)
		return err->reason;
	bind_head(st, 0, c);
	if (!open)
		bind_tail(st, 0, c);
	return db_run(h, st, open ? "noting a call in progress" : "writing a call record", err);
}

enum reason db_cdr_insert_many(struct db_handle *h, const struct db_cdr *const c[DB_CDR_MANY], unsigned *ret_n,
    struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_CDR_ADD_MANY, err);
	int before = sqlite3_total_changes(h->sql);
	enum reason r;

	if (!st)
		return err->reason;
	for (int i = 0; i < DB_CDR_MANY; i++) {
		bind_head(st, i * ROW, c[i]);
		bind_tail(st, i * ROW, c[i]);
	}
	r = db_run(h, st, "writing call records", err);
	*ret_n = (unsigned)(sqlite3_total_changes(h->sql) - before);
	return r;
}

enum reason db_open_delete(struct db_handle *h, uint64_t id, bool *ret_was, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_OPEN_DEL, err);
	enum reason r;

	if (!st)
		return err->reason;
	db_bind_i64(st, 1, (int64_t)id);
	r = db_run(h, st, "closing a call in progress", err);
	*ret_was = !r && sqlite3_changes(h->sql) > 0;
	return r;
}

enum reason db_alive(struct db_handle *h, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_ALIVE, err);

	if (!st)
		return err->reason;
	db_bind_i64(st, 1, db_wall_us());
	return db_run(h, st, "noting that the store is alive", err);
}

enum reason db_recover(struct db_handle *h, uint64_t *ret_n, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_RECOVER, err);
	enum reason r;

	if (!st)
		return err->reason;
	db_bind_i64(st, 1, reason_info(REASON_CRASHED)->number);
	if ((r = db_run(h, st, "writing records of calls cut by a crash", err)))
		return r;
	*ret_n = (uint64_t)sqlite3_changes(h->sql);
	if (!(st = db_stmt(h, SQL_OPEN_DEL_ALL, err)))
		return err->reason;
	return db_run(h, st, "writing records of calls cut by a crash", err);
}

static void read_row(sqlite3_stmt *st, struct db_cdr *c)
{
	int i = 0;
	struct str by;

	c->seq = (uint64_t)sqlite3_column_int64(st, i++);
	c->id = (uint64_t)sqlite3_column_int64(st, i++);
	c->start_us = sqlite3_column_int64(st, i++);
	c->answer_us = sqlite3_column_int64(st, i++);
	c->ring_ms = db_col_u32(st, i++);
	c->setup_ms = db_col_u32(st, i++);
	c->trunk_a = db_col_u32(st, i++);
	c->trunk_b = db_col_u32(st, i++);
	c->trunk_a_name = db_col_str(st, i++);
	c->trunk_b_name = db_col_str(st, i++);
	c->calling = db_col_str(st, i++);
	c->called = db_col_str(st, i++);
	c->route = db_col_str(st, i++);
	c->peer_a = db_col_str(st, i++);
	c->sip_call_id_a = db_col_str(st, i++);
	c->sip_call_id_b = db_col_str(st, i++);
	c->end_us = sqlite3_column_int64(st, i++);
	c->talk_ms = db_col_u32(st, i++);
	c->status = db_col_u16(st, i++);
	c->peer_status = db_col_u16(st, i++);
	c->reason = db_col_reason(st, i++);
	by = db_col_str(st, i++);
	c->released_by = by.n ? by.p[0] : '\0';
	c->peer_reason = db_col_str(st, i++);
	c->tries = db_col_str(st, i++);
	c->media = db_col_str(st, i++);
	for (int s = 0; s < 2; s++) {
		c->side[s].codec = db_col_str(st, i++);
		c->side[s].rx_packets = (uint64_t)sqlite3_column_int64(st, i++);
		c->side[s].tx_packets = (uint64_t)sqlite3_column_int64(st, i++);
		c->side[s].lost = sqlite3_column_int64(st, i++);
		c->side[s].jitter_us = db_col_u32(st, i++);
	}
	c->media_bad = sqlite3_column_int(st, i) != 0;
}

/* The bounds of "equal to number" or "begins with it": [from, to). */
static void number_bounds(struct str number, char *to, size_t size, struct str *ret_from, struct str *ret_to)
{
	bool prefix = number.n && number.p[number.n - 1] == '*';
	size_t n = prefix ? number.n - 1 : number.n;

	if (n > size - 1)
		n = size - 1;
	*ret_from = str_n(number.p, n);
	memcpy(to, number.p, n);
	if (!prefix) {
		to[n++] = '\0'; /* the next text after it in byte order */
	} else if (n == 0) {
		to[n++] = '\x7f';
	} else {
		to[n - 1]++; /* '9' becomes ':' and so on: all are ASCII */
	}
	*ret_to = str_n(to, n);
}

enum reason db_cdr_find(struct db_handle *h, const struct db_cdr_query *q,
    bool (*fn)(void *ctx, const struct db_cdr *c), void *ctx, struct db_err *err)
{
	struct str from = STR_NONE, to = STR_NONE;
	struct db_err own;
	enum reason r = REASON_NONE;
	enum db_sql id;
	char bound[68];
	sqlite3_stmt *st;
	int rc;

	if (!err)
		err = &own;
	if (q->call_id)
		id = SQL_CDR_ID_NEWEST;
	else if (q->number.n)
		id = q->after_seq ? SQL_CDR_NUMBER_OLDEST : SQL_CDR_NUMBER_NEWEST;
	else if (q->sip_call_id.n)
		id = SQL_CDR_SIP_NEWEST;
	else
		id = q->after_seq ? SQL_CDR_OLDEST : SQL_CDR_NEWEST;
	if (!(st = db_stmt(h, id, err)))
		return err->reason;
	db_bind_i64(st, 1, (int64_t)q->call_id);
	db_bind_i64(st, 2, (int64_t)q->before_seq);
	db_bind_i64(st, 3, (int64_t)q->after_seq);
	db_bind_str(st, 4, q->trunk);
	db_bind_i64(st, 5, reason_info(q->reason)->number);
	db_bind_i64(st, 6, q->failed_only);
	db_bind_i64(st, 7, q->since_us);
	db_bind_i64(st, 8, q->until_us);
	db_bind_i64(st, 9, q->max ? q->max : 100);
	if (id == SQL_CDR_NUMBER_NEWEST || id == SQL_CDR_NUMBER_OLDEST) {
		number_bounds(q->number, bound, sizeof(bound), &from, &to);
		db_bind_str(st, 10, from);
		db_bind_str(st, 11, to);
	} else if (id == SQL_CDR_SIP_NEWEST) {
		db_bind_str(st, 10, q->sip_call_id);
	}
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct db_cdr c = {.seq = 0};

		read_row(st, &c);
		if (!fn(ctx, &c)) {
			rc = SQLITE_DONE;
			break;
		}
	}
	if (rc != SQLITE_DONE)
		r = db_sql_fail(h, err, "looking for call records");
	sqlite3_reset(st);
	return r;
}

enum reason db_cdr_purge(struct db_handle *h, int64_t before_us, unsigned max, unsigned *ret_deleted,
    struct db_err *err)
{
	struct db_err own;
	sqlite3_stmt *st;
	enum reason r;

	if (!err)
		err = &own;
	if (!(st = db_stmt(h, SQL_CDR_PURGE, err)))
		return err->reason;
	db_bind_i64(st, 1, before_us);
	db_bind_i64(st, 2, max);
	if ((r = db_run(h, st, "deleting old call records", err)))
		return r;
	if (ret_deleted)
		*ret_deleted = (unsigned)sqlite3_changes(h->sql);
	return REASON_NONE;
}
