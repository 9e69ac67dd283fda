/* import.c - numbers by the file.
 *
 * Rows are collected while the file streams in (40 bytes each; trunk names are kept once), then applied in one
 * savepoint: all or nothing. Every error is kept with its line, up to ERRORS_MAX, so that a person can mend a file
 * in one go. Two rows of the file that overlap are found the same way as a row and the database: the first of
 * them is in the table by then.
 */
#include "db/internal.h"
#include "sbc/base/arena.h"
#include "sbc/base/hash.h"

#include <stdio.h>
#include <stdlib.h>

#define ROWS_MAX 2000000
#define ERRORS_MAX 50

struct name {
	struct hnode node;
	struct str text; /* in the arena */
	unsigned line;   /* first seen there */
	uint32_t id;     /* while applying */
};

struct row {
	struct db_number n;
	unsigned line;
	struct name *trunk;
};

struct problem {
	unsigned line;
	char text[sizeof(((struct db_err *)0)->text)];
};

struct db_import {
	struct arena_pool pool;
	struct arena *arena; /* own: names */
	struct htab names;
	struct row *rows;    /* own */
	unsigned n_rows, cap;
	struct problem problems[ERRORS_MAX];
	unsigned bad_rows;   /* found while reading; their problems come first */
	struct db_import_stats stats;
};

struct db_import *db_import_new(void)
{
	struct db_import *im = calloc(1, sizeof(*im));

	if (!im)
		return NULL;
	arena_pool_init(&im->pool, DB_CHUNK, 0);
	im->arena = arena_new(&im->pool);
	if (!im->arena || htab_init(&im->names, 64) < 0) {
		if (im->arena)
			arena_free(im->arena);
		free(im);
		return NULL;
	}
	return im;
}

void db_import_free(struct db_import *im)
{
	if (!im)
		return;
	htab_fini(&im->names);
	arena_free(im->arena);
	arena_pool_fini(&im->pool);
	free(im->rows);
	free(im);
}

static void problem(struct db_import *im, unsigned line, const char *text)
{
	if (im->stats.errors < ERRORS_MAX) {
		struct problem *p = &im->problems[im->stats.errors];

		p->line = line;
		snprintf(p->text, sizeof(p->text), "%s", text);
	}
	im->stats.errors++;
}

static struct name *intern(struct db_import *im, struct str text, unsigned line)
{
	static const struct hash_key key = {0x6e616d65, 0x696d706f}; /* names typed by an administrator */
	char lower[DB_NAME_MAX];
	uint64_t hash;
	struct name *e;
	struct hnode *n;

	for (size_t i = 0; i < text.n; i++)
		lower[i] = chr_lower(text.p[i]);
	hash = hash_bytes(&key, lower, text.n);
	for (n = htab_first(&im->names, hash); n; n = htab_next(n)) {
		e = container_of(n, struct name, node);
		if (str_ieq(e->text, text))
			return e;
	}
	e = arena_new_obj(im->arena, struct name);
	if (!e || !(e->text = str_dup(im->arena, text)).p)
		return NULL;
	e->line = line;
	htab_add(&im->names, &e->node, hash);
	return e;
}

enum reason db_import_row(struct db_import *im, unsigned line, struct str text, struct str trunk)
{
	struct db_err err;
	struct row row = {.line = line};

	if (im->stats.rows >= ROWS_MAX)
		return REASON_DB_FAILED;
	im->stats.rows++;
	trunk = str_trim(trunk);
	if (db_number_parse(text, &row.n, &err)) {
		problem(im, line, err.text);
		im->bad_rows = im->stats.errors;
		return REASON_NONE;
	}
	if (trunk.n == 0 || trunk.n > DB_NAME_MAX) {
		problem(im, line, trunk.n ? "name of the trunk is too long" : "no trunk is named");
		im->bad_rows = im->stats.errors;
		return REASON_NONE;
	}
	if (im->n_rows == im->cap) {
		unsigned cap = im->cap ? im->cap * 2 : 256;
		struct row *p = realloc(im->rows, (size_t)cap * sizeof(*p));

		if (!p)
			return REASON_NO_MEMORY;
		im->rows = p;
		im->cap = cap;
	}
	if (!(row.trunk = intern(im, trunk, line)))
		return REASON_NO_MEMORY;
	im->rows[im->n_rows++] = row;
	return REASON_NONE;
}

static enum reason resolve(struct db_handle *h, struct db_import *im, struct db_err *err)
{
	for (struct hnode *n = htab_walk(&im->names, NULL); n; n = htab_walk(&im->names, n)) {
		struct name *e = container_of(n, struct name, node);
		enum reason r = db_trunk_id(h, e->text, &e->id, err);

		if (r == REASON_NO_SUCH) {
			e->id = 0;
			problem(im, e->line, err->text);
		} else if (r) {
			return r;
		}
	}
	return REASON_NONE;
}

static int by_number(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	size_t nx = strlen(x->n.first), ny = strlen(y->n.first);
	int c;

	if (nx != ny)
		return nx < ny ? -1 : 1;
	c = strcmp(x->n.first, y->n.first);
	if (c == 0)
		c = strcmp(x->n.last, y->n.last);
	if (c == 0 && x->n.trunk_id != y->n.trunk_id)
		c = x->n.trunk_id < y->n.trunk_id ? -1 : 1;
	return c;
}

/* Blocks of one trunk that the file does not have. sorted: the rows by number. */
static enum reason remove_others(struct db_handle *h, struct db_import *im, const struct row *sorted, uint32_t trunk,
    struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_NUMBERS_OF, err);
	struct row key = {.n = {.trunk_id = trunk}};
	int64_t *gone = NULL;
	unsigned n = 0, cap = 0;
	enum reason r = REASON_NONE;
	int rc;

	if (!st)
		return err->reason;
	db_bind_i64(st, 1, trunk);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct str first = db_col_str(st, 1), last = db_col_str(st, 2);

		if (first.n >= DB_NUMBER_MAX || last.n >= DB_NUMBER_MAX)
			continue; /* the check names it */
		memset(key.n.first, 0, sizeof(key.n.first));
		memset(key.n.last, 0, sizeof(key.n.last));
		memcpy(key.n.first, first.p, first.n);
		memcpy(key.n.last, last.p, last.n);
		if (bsearch(&key, sorted, im->n_rows, sizeof(key), by_number))
			continue;
		if (n == cap) {
			int64_t *p = realloc(gone, (cap = cap ? cap * 2 : 64) * sizeof(*p));

			if (!p) {
				rc = SQLITE_DONE;
				r = db_fail(err, REASON_NO_MEMORY, NULL, "out of memory");
				break;
			}
			gone = p;
		}
		gone[n++] = sqlite3_column_int64(st, 3);
	}
	if (rc != SQLITE_DONE)
		r = db_sql_fail(h, err, "reading numbers");
	sqlite3_reset(st);
	for (unsigned i = 0; i < n && !r; i++) {
		if (!(st = db_stmt(h, SQL_NUMBER_DEL, err))) {
			r = err->reason;
			break;
		}
		db_bind_i64(st, 1, gone[i]);
		r = db_run(h, st, "deleting a number", err);
		im->stats.removed++;
	}
	free(gone);
	return r;
}

static enum reason replace_all(struct db_handle *h, struct db_import *im, struct db_err *err)
{
	struct row *sorted = malloc((im->n_rows ? im->n_rows : 1) * sizeof(*sorted));
	enum reason r = REASON_NONE;

	if (!sorted)
		return db_fail(err, REASON_NO_MEMORY, NULL, "out of memory");
	if (im->n_rows)
		memcpy(sorted, im->rows, im->n_rows * sizeof(*sorted));
	qsort(sorted, im->n_rows, sizeof(*sorted), by_number);
	for (struct hnode *n = htab_walk(&im->names, NULL); n && !r; n = htab_walk(&im->names, n)) {
		const struct name *e = container_of(n, struct name, node);

		if (e->id)
			r = remove_others(h, im, sorted, e->id, err);
	}
	free(sorted);
	return r;
}

/* true when exactly this block of exactly this trunk is there already */
static enum reason is_present(struct db_handle *h, const struct db_number *n, bool *ret, struct db_err *err)
{
	sqlite3_stmt *st = db_stmt(h, SQL_NUMBER_OVER, err);
	enum reason r = REASON_NONE;
	int rc;

	if (!st)
		return err->reason;
	db_bind_i64(st, 1, (int64_t)strlen(n->first) - 1);
	db_bind_str(st, 2, str_z(n->last));
	rc = sqlite3_step(st);
	*ret = rc == SQLITE_ROW && str_eq(db_col_str(st, 0), str_z(n->first)) &&
	       str_eq(db_col_str(st, 1), str_z(n->last)) && db_col_u32(st, 2) == n->trunk_id;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		r = db_sql_fail(h, err, "looking for a number");
	sqlite3_reset(st);
	return r;
}

enum reason db_import_apply(struct db_handle *h, struct db_import *im, bool replace, struct db_err *err)
{
	struct db_err own;
	enum reason r;

	if (!err)
		err = &own;
	im->stats = (struct db_import_stats){.rows = im->stats.rows, .errors = im->bad_rows};
	if ((r = resolve(h, im, err)))
		return r;
	for (unsigned i = 0; i < im->n_rows; i++)
		im->rows[i].n.trunk_id = im->rows[i].trunk->id;
	if (replace && (r = replace_all(h, im, err)))
		return r;
	for (unsigned i = 0; i < im->n_rows; i++) {
		const struct row *row = &im->rows[i];
		bool present = false;

		if (!row->n.trunk_id)
			continue;
		if ((r = is_present(h, &row->n, &present, err)))
			return r;
		if (present) {
			im->stats.present++;
			continue;
		}
		r = db_number_add(h, &row->n, err);
		if (r == REASON_NUMBER_TAKEN) {
			problem(im, row->line, err->text);
			continue;
		}
		if (r)
			return r;
		im->stats.added++;
		im->stats.numbers_added += db_number_count(&row->n);
	}
	if (!im->stats.errors)
		return REASON_NONE;
	return db_fail(err, REASON_BAD_VALUE, "nothing was imported; mend the file and repeat",
	    "line %u: %s%s", im->problems[0].line, im->problems[0].text,
	    im->stats.errors > 1 ? " (and more)" : "");
}

const struct db_import_stats *db_import_stats(const struct db_import *im)
{
	return &im->stats;
}

const char *db_import_error(const struct db_import *im, unsigned i, unsigned *ret_line)
{
	if (i >= im->stats.errors || i >= ERRORS_MAX)
		return NULL;
	if (ret_line)
		*ret_line = im->problems[i].line;
	return im->problems[i].text;
}
