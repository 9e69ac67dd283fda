/* load.c - all rows that policy needs, as plain arrays.
 *
 * Each table is read once, in an order that lets its rows be hung under their trunk or route in one pass. Arrays
 * are grown by doubling and owned by db_rows_mem, texts lie in its arena (with a pool of its own, so that the
 * rows may be handed to another thread).
 */
#include "db/internal.h"
#include "sbc/base/arena.h"

#include <stdlib.h>

const char *const db_admin_names[3] = {"enabled", "disabled", "draining"};

struct db_rows_mem {
	struct arena_pool pool;
	struct arena *arena; /* own */
	struct db_setting *settings;
	struct db_target *targets;
	struct db_source *sources;
	struct db_header *headers;
	struct db_route_via *vias;
};

struct load {
	struct db_handle *h;
	struct db_rows *rows;
	struct db_rows_mem *mem;
	struct db_err *err;
	bool no_memory;
};

/* One more element of *array, zeroed; NULL (and l->no_memory) when there is no room. */
static void *more(struct load *l, void **array, unsigned *n, size_t size)
{
	char *p = *array;

	if ((*n & (*n - 1)) == 0) { /* 0, 1, 2, 4, 8 …: full */
		size_t cap = *n ? (size_t)*n * 2 : 1;

		if (cap > SIZE_MAX / size || cap > UINT32_MAX / 2 || !(p = realloc(*array, cap * size))) {
			l->no_memory = true;
			return NULL;
		}
		*array = p;
	}
	p += (size_t)(*n)++ * size;
	memset(p, 0, size);
	return p;
}

static struct str text(struct load *l, sqlite3_stmt *st, int col)
{
	struct str s = db_col_str(st, col), copy;

	if (!s.n)
		return STR_NONE;
	copy = str_dup(l->mem->arena, s);
	if (!copy.p)
		l->no_memory = true;
	return copy;
}

/* Ends a walk over rows. */
static enum reason done(struct load *l, sqlite3_stmt *st, int rc)
{
	enum reason r = REASON_NONE;

	if (l->no_memory)
		r = db_fail(l->err, REASON_NO_MEMORY, NULL, "out of memory while reading the database");
	else if (rc != SQLITE_DONE)
		r = db_sql_fail(l->h, l->err, "reading the database");
	sqlite3_reset(st);
	return r;
}

static enum reason load_trunks(struct load *l)
{
	sqlite3_stmt *st = db_stmt(l->h, SQL_ALL_TRUNKS, l->err);
	int rc;

	if (!st)
		return l->err->reason;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		void *array = l->rows->trunks;
		struct db_trunk *t = more(l, &array, &l->rows->n_trunks, sizeof(*t));
		struct str admin = db_col_str(st, 4);

		l->rows->trunks = array;
		if (!t)
			break;
		t->id = db_col_u32(st, 0);
		for (unsigned i = 0; i < ARRAY_LEN(db_admin_names); i++)
			if (str_eq(admin, str_z(db_admin_names[i])))
				t->admin = (enum db_admin)i;
		t->name = text(l, st, 1);
		t->role = text(l, st, 2);
		t->realm = text(l, st, 3);
	}
	return done(l, st, rc);
}

/* The trunk that a row of a dependent table belongs to; rows come in order of trunk_id, as the trunks do. */
static struct db_trunk *owner(struct load *l, unsigned *at, uint32_t id)
{
	while (*at < l->rows->n_trunks && l->rows->trunks[*at].id < id)
		(*at)++;
	return *at < l->rows->n_trunks && l->rows->trunks[*at].id == id ? &l->rows->trunks[*at] : NULL;
}

/* The dependent tables: the counts are taken while reading, the pointers set when the array lies still. */
#define LOAD_DEPENDENT(func, sql, array_of, type, field, n_field, fill) \
	static enum reason func(struct load *l) \
	{ \
		sqlite3_stmt *st = db_stmt(l->h, sql, l->err); \
		unsigned n = 0, at = 0; \
		enum reason r; \
		int rc; \
\
		if (!st) \
			return l->err->reason; \
		while ((rc = sqlite3_step(st)) == SQLITE_ROW) { \
			struct db_trunk *t = owner(l, &at, db_col_u32(st, 0)); \
			void *array = l->mem->array_of; \
			struct type *e; \
\
			if (!t) \
				continue; /* cannot be: foreign key */ \
			e = more(l, &array, &n, sizeof(*e)); \
			l->mem->array_of = array; \
			if (!e) \
				break; \
			t->n_field++; \
			fill \
		} \
		if ((r = done(l, st, rc))) \
			return r; \
		n = 0; \
		for (unsigned i = 0; i < l->rows->n_trunks; i++) { \
			struct db_trunk *t = &l->rows->trunks[i]; \
\
			t->field = t->n_field ? &l->mem->array_of[n] : NULL; \
			n += t->n_field; \
		} \
		return REASON_NONE; \
	}

LOAD_DEPENDENT(load_settings, SQL_ALL_SETTINGS, settings, db_setting, settings, n_settings, {
	e->key = text(l, st, 1);
	e->value = text(l, st, 2);
})
LOAD_DEPENDENT(load_targets, SQL_ALL_TARGETS, targets, db_target, targets, n_targets, {
	e->host = text(l, st, 1);
	e->port = db_col_u16(st, 2);
	e->transport = text(l, st, 3);
	e->priority = db_col_u16(st, 4);
	e->weight = db_col_u16(st, 5);
})
LOAD_DEPENDENT(load_sources, SQL_ALL_SOURCES, sources, db_source, sources, n_sources,
    { e->address = text(l, st, 1); })
LOAD_DEPENDENT(load_headers, SQL_ALL_HEADERS, headers, db_header, headers, n_headers, {
	e->name = text(l, st, 1);
	e->pass = sqlite3_column_int(st, 2) != 0;
})

static enum reason load_credentials(struct load *l)
{
	sqlite3_stmt *st = db_stmt(l->h, SQL_ALL_CREDENTIALS, l->err);
	unsigned at = 0;
	int rc;

	if (!st)
		return l->err->reason;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct db_trunk *t = owner(l, &at, db_col_u32(st, 0));

		if (t)
			t->credential = (struct db_credential){.user = text(l, st, 1),
			    .realm = text(l, st, 2),
			    .md5 = text(l, st, 3),
			    .sha256 = text(l, st, 4),
			    .sha512_256 = text(l, st, 5)};
	}
	return done(l, st, rc);
}

static enum reason load_numbers(struct load *l)
{
	sqlite3_stmt *st = db_stmt(l->h, SQL_ALL_NUMBERS, l->err);
	int rc;

	if (!st)
		return l->err->reason;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		void *array = l->rows->numbers;
		struct db_number *n = more(l, &array, &l->rows->n_numbers, sizeof(*n));
		struct str first = db_col_str(st, 1), last = db_col_str(st, 2);

		l->rows->numbers = array;
		if (!n)
			break;
		n->trunk_id = db_col_u32(st, 0);
		if (first.n >= sizeof(n->first) || last.n >= sizeof(n->last)) {
			sqlite3_reset(st);
			return db_fail(l->err, REASON_DB_DAMAGED, NULL, "a number is longer than it can be");
		}
		memcpy(n->first, first.p, first.n);
		memcpy(n->last, last.p, last.n);
	}
	return done(l, st, rc);
}

static enum reason load_routes(struct load *l)
{
	sqlite3_stmt *st = db_stmt(l->h, SQL_ALL_ROUTES, l->err);
	unsigned n = 0, at = 0;
	enum reason r;
	int rc;

	if (!st)
		return l->err->reason;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		void *array = l->rows->routes;
		struct db_route *e = more(l, &array, &l->rows->n_routes, sizeof(*e));

		l->rows->routes = array;
		if (!e)
			break;
		e->id = db_col_u32(st, 0);
		e->name = text(l, st, 1);
		e->position = db_col_u32(st, 2);
		e->from_trunk = db_col_u32(st, 3);
		e->from = text(l, st, 4);
		e->to = text(l, st, 5);
		e->deny = sqlite3_column_int(st, 6) != 0;
		e->hours.days = (uint8_t)(db_col_u16(st, 7) & 127);
		e->hours.from_min = db_col_u16(st, 8);
		e->hours.to_min = db_col_u16(st, 9);
	}
	if ((r = done(l, st, rc)))
		return r;
	if (!(st = db_stmt(l->h, SQL_ALL_VIAS, l->err)))
		return l->err->reason;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		uint32_t id = db_col_u32(st, 0);
		void *array = l->mem->vias;
		struct db_route_via *v;

		while (at < l->rows->n_routes && l->rows->routes[at].id != id)
			at++; /* the same order as the routes */
		if (at == l->rows->n_routes)
			break;
		v = more(l, &array, &n, sizeof(*v));
		l->mem->vias = array;
		if (!v)
			break;
		v->trunk_id = db_col_u32(st, 1);
		v->priority = db_col_u16(st, 2);
		v->weight = db_col_u16(st, 3);
		l->rows->routes[at].n_via++;
	}
	if ((r = done(l, st, rc)))
		return r;
	n = 0;
	for (unsigned i = 0; i < l->rows->n_routes; i++) {
		struct db_route *e = &l->rows->routes[i];

		e->via = e->n_via ? &l->mem->vias[n] : NULL;
		n += e->n_via;
	}
	return REASON_NONE;
}

static enum reason load_bans(struct load *l)
{
	sqlite3_stmt *st = db_stmt(l->h, SQL_ALL_BANS, l->err);
	int rc;

	if (!st)
		return l->err->reason;
	db_bind_i64(st, 1, db_wall_us());
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		void *array = l->rows->bans;
		struct db_ban *b = more(l, &array, &l->rows->n_bans, sizeof(*b));

		l->rows->bans = array;
		if (!b)
			break;
		b->address = text(l, st, 0);
		b->since_us = sqlite3_column_int64(st, 1);
		b->until_us = sqlite3_column_int64(st, 2);
		b->reason = db_col_reason(st, 3);
		b->why = text(l, st, 4);
	}
	return done(l, st, rc);
}

enum reason db_load(struct db_handle *h, struct db_rows **ret, struct db_err *err)
{
	struct db_err own;
	struct load l = {.h = h, .err = err ? err : &own};
	enum reason r;

	l.rows = calloc(1, sizeof(*l.rows));
	if (!l.rows || !(l.rows->mem = l.mem = calloc(1, sizeof(*l.mem)))) {
		free(l.rows);
		return db_fail(err, REASON_NO_MEMORY, NULL, "out of memory while reading the database");
	}
	arena_pool_init(&l.mem->pool, DB_CHUNK, 0);
	l.mem->arena = arena_new(&l.mem->pool);
	if (!l.mem->arena)
		r = db_fail(err, REASON_NO_MEMORY, NULL, "out of memory while reading the database");
	else if ((r = db_revision_now(h, &l.rows->revision, l.err)) == REASON_NONE &&
		 (r = load_trunks(&l)) == REASON_NONE && (r = load_settings(&l)) == REASON_NONE &&
		 (r = load_targets(&l)) == REASON_NONE && (r = load_sources(&l)) == REASON_NONE &&
		 (r = load_headers(&l)) == REASON_NONE && (r = load_credentials(&l)) == REASON_NONE && (r = load_numbers(&l)) == REASON_NONE &&
		 (r = load_routes(&l)) == REASON_NONE)
		r = load_bans(&l);
	if (r) {
		db_rows_free(l.rows);
		return r;
	}
	*ret = l.rows;
	return REASON_NONE;
}

void db_rows_free(struct db_rows *rows)
{
	if (!rows)
		return;
	free(rows->trunks);
	free(rows->numbers);
	free(rows->routes);
	free(rows->bans);
	free(rows->mem->settings);
	free(rows->mem->targets);
	free(rows->mem->sources);
	free(rows->mem->headers);
	free(rows->mem->vias);
	if (rows->mem->arena)
		arena_free(rows->mem->arena);
	arena_pool_fini(&rows->mem->pool);
	free(rows->mem);
	free(rows);
}

const struct db_trunk *db_rows_trunk(const struct db_rows *rows, uint32_t id)
{
	size_t lo = 0, hi = rows->n_trunks;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (rows->trunks[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < rows->n_trunks && rows->trunks[lo].id == id ? &rows->trunks[lo] : NULL;
}

const struct db_trunk *db_rows_trunk_named(const struct db_rows *rows, struct str name)
{
	for (unsigned i = 0; i < rows->n_trunks; i++)
		if (str_ieq(rows->trunks[i].name, name))
			return &rows->trunks[i];
	return NULL;
}

const struct db_route *db_rows_route_named(const struct db_rows *rows, struct str name)
{
	for (unsigned i = 0; i < rows->n_routes; i++)
		if (str_ieq(rows->routes[i].name, name))
			return &rows->routes[i];
	return NULL;
}
