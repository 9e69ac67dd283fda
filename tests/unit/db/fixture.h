/* fixture.h - a store in a directory of its own, and changes in one line. */
#ifndef TESTS_UNIT_DB_FIXTURE_H
#define TESTS_UNIT_DB_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/internal.h"

struct fix {
	char dir[64];
	char path[96];
	struct db *db;
	struct db_err err;
};

static inline void fix_dir(struct fix *f)
{
	*f = (struct fix){.db = NULL};
	snprintf(f->dir, sizeof(f->dir), "/tmp/postern-db-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/postern.db", f->dir);
}

static inline void fix_open_cfg(struct fix *f, struct db_cfg cfg)
{
	cfg.path = f->path;
	if (db_open(&cfg, &f->db, &f->err))
		fail_msg("open: %s: %s", reason_info(f->err.reason)->name, f->err.text);
}

static inline void fix_open(struct fix *f)
{
	fix_open_cfg(f, (struct db_cfg){.window_ms = 20});
}

static inline void fix_close(struct fix *f)
{
	db_close(f->db);
	f->db = NULL;
}

static inline void fix_wipe(const char *dir)
{
	char path[512];
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

static inline void fix_init(struct fix *f)
{
	fix_dir(f);
	fix_open(f);
}

static inline void fix_fini(struct fix *f)
{
	if (f->db)
		fix_close(f);
	fix_wipe(f->dir);
}

/* A change whose apply is a function of the handle and one argument. */
struct edit {
	struct db_change change;
	enum reason (*fn)(struct db_handle *h, void *arg, struct db_err *err);
	void *arg;
};

static inline enum reason edit_apply(struct db_handle *h, struct db_change *c, struct db_err *err)
{
	struct edit *e = container_of(c, struct edit, change);

	return e->fn(h, e->arg, err);
}

static inline enum reason fix_edit(struct fix *f, enum reason (*fn)(struct db_handle *, void *, struct db_err *), void *arg,
    struct db_rows **ret_rows)
{
	struct edit e = {.fn = fn, .arg = arg,
	    .change = {.apply = edit_apply, .who = {.uid = 1000, .user = "alice", .why = "test"}}};
	enum reason r = db_change_call(f->db, &e.change);

	f->err = e.change.req.err;
	if (ret_rows)
		*ret_rows = e.change.rows;
	else
		db_rows_free(e.change.rows);
	return r;
}

/* A request whose run is a function of the handle and one argument. */
struct call {
	struct db_req req;
	enum reason (*fn)(struct db_handle *h, void *arg, struct db_err *err);
	void *arg;
};

static inline enum reason call_run(struct db_handle *h, struct db_req *r, struct db_err *err)
{
	struct call *c = container_of(r, struct call, req);

	return c->fn(h, c->arg, err);
}

static inline enum reason fix_call(struct fix *f, enum db_req_kind kind,
    enum reason (*fn)(struct db_handle *, void *, struct db_err *), void *arg)
{
	struct call c = {.req = {.kind = kind, .run = call_run}, .fn = fn, .arg = arg};
	enum reason r = db_call(f->db, &c.req);

	f->err = c.req.err;
	return r;
}

static inline enum reason do_load(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_load(h, arg, err);
}

static inline struct db_rows *fix_load(struct fix *f)
{
	struct db_rows *rows = NULL;

	if (fix_call(f, DB_READ, do_load, &rows))
		fail_msg("load: %s", f->err.text);
	return rows;
}

static inline enum reason do_trunk(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_trunk_put(h, arg, NULL, err);
}

/* role pbx, realm lan, one target */
static inline enum reason fix_trunk(struct fix *f, const char *name)
{
	static const struct db_target target = {.host = {"192.0.2.1", 9}, .port = 5060, .priority = 1, .weight = 1};
	struct db_trunk t = {.name = str_z(name), .role = S("pbx"), .realm = S("lan"), .targets = &target, .n_targets = 1};

	return fix_edit(f, do_trunk, &t, NULL);
}

struct add {
	const char *range, *trunk;
};

static inline enum reason do_add(struct db_handle *h, void *arg, struct db_err *err)
{
	struct add *a = arg;
	struct db_number n;
	enum reason r;

	if ((r = db_number_parse(str_z(a->range), &n, err)) || (r = db_trunk_id(h, str_z(a->trunk), &n.trunk_id, err)))
		return r;
	return db_number_add(h, &n, err);
}

static inline enum reason fix_number(struct fix *f, const char *range, const char *trunk)
{
	struct add a = {range, trunk};

	return fix_edit(f, do_add, &a, NULL);
}

/* The numbers as text: "+491000..+491099=1 …" */
static inline const char *fix_numbers(struct fix *f, char *text, size_t size)
{
	struct db_rows *rows = fix_load(f);
	struct buf b;

	buf_init(&b, text, size - 1);
	for (unsigned i = 0; i < rows->n_numbers; i++) {
		const struct db_number *n = &rows->numbers[i];
		struct str trunk = db_rows_trunk(rows, n->trunk_id)->name;

		if (strcmp(n->first, n->last))
			buf_fmt(&b, "%s%s..%s=%.*s", i ? " " : "", n->first, n->last, STR(trunk));
		else
			buf_fmt(&b, "%s%s=%.*s", i ? " " : "", n->first, STR(trunk));
	}
	text[b.n] = '\0';
	db_rows_free(rows);
	return text;
}

#define assert_str(s, lit) assert_true(str_eq((s), str_z(lit)))

#endif
