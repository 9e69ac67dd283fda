/* cmd_number.c - numbers: whose they are, moving them, and CSV in and out.
 *
 * A CSV file has the columns range and trunk; a first line that names them is skipped, empty lines and lines that
 * begin with # too. Fields may be quoted (RFC 4180). Import is all or nothing; every error names its line and column.
 */
#include <stdlib.h>

#include "sbc/ctl/view.h"

void view_range(struct buf *b, const struct db_number *n)
{
	buf_str(b, str_z(n->first));
	if (strcmp(n->first, n->last))
		buf_fmt(b, "..%s", n->last);
}

/* -------------------------------------------------------------------- looking */

static enum reason numbers_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	const char *only = ctl_arg(r, "--trunk");
	struct db_rows *rows = NULL;
	enum reason why = db_load(h, &rows, err);
	const struct db_trunk *t = NULL;

	if (why != REASON_NONE)
		return why;
	if (only && !(t = db_rows_trunk_named(rows, str_z(only)))) {
		db_rows_free(rows);
		return db_fail(err, REASON_NO_SUCH, "postern trunk list shows all", "no trunk '%s'", only);
	}
	r->made = json_array();
	for (unsigned i = 0; i < rows->n_numbers; i++) {
		const struct db_number *n = &rows->numbers[i];
		const struct db_trunk *owner = db_rows_trunk(rows, n->trunk_id);
		json_t *j;

		if (t && owner != t)
			continue;
		j = json_object();
		json_object_set_new(j, "first", json_string(n->first));
		json_object_set_new(j, "last", json_string(n->last));
		json_object_set_new(j, "count", json_integer((json_int_t)db_number_count(n)));
		json_object_set_new(j, "trunk", print_json(owner ? owner->name : STR_NONE));
		json_array_append_new(r->made, j);
	}
	db_rows_free(rows);
	return REASON_NONE;
}

static void numbers_list(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"first", "FIRST", PK_TEXT, 0},
	    {"last", "LAST", PK_TEXT, 0},
	    {"count", "NUMBERS", PK_NUM, 0},
	    {"trunk", "TRUNK", PK_TEXT, 0},
	};
	json_int_t total = 0;
	size_t i, n = json_array_size(r->made);
	json_t *e;

	json_array_foreach(r->made, i, e)
		total += json_integer_value(json_object_get(e, "count"));
	ctl_table(r, "numbers", json_incref(r->made), cols, ARRAY_LEN(cols), "no numbers: postern number add RANGE TRUNK");
	ctl_set(r, "total", json_integer(total));
	if (n)
		ctl_say(r, "%lld number%s in %zu range%s\n", (long long)total, total == 1 ? "" : "s", n, n == 1 ? "" : "s");
}

void cmd_number_list(struct ctl_req *r)
{
	ctl_read_and_show(r, numbers_load, numbers_list);
}

static void numbers_export(struct ctl_req *r)
{
	size_t i;
	json_t *e;

	ctl_say(r, "range,trunk\n");
	json_array_foreach(r->made, i, e) {
		const char *first = json_string_value(json_object_get(e, "first"));
		const char *last = json_string_value(json_object_get(e, "last"));

		ctl_say(r, "%s%s%s,%s\n", first, strcmp(first, last) ? ".." : "", strcmp(first, last) ? last : "",
		    json_string_value(json_object_get(e, "trunk")));
	}
	ctl_set(r, "numbers", json_incref(r->made));
}

void cmd_number_export(struct ctl_req *r)
{
	ctl_read_and_show(r, numbers_load, numbers_export);
}

void cmd_number_find(struct ctl_req *r)
{
	const struct policy *p = b2b_policy(r->be->b2b);
	const char *typed = ctl_arg(r, "NUMBER");
	const struct pol_number *n;
	const struct pol_trunk *t;
	struct db_number parsed;
	struct db_err err = {0};

	if (db_number_parse(str_z(typed), &parsed, &err) != REASON_NONE) {
		ctl_refuse(r, err.reason, err.hint, "%s", err.text);
		return;
	}
	if (strcmp(parsed.first, parsed.last)) {
		ctl_refuse(r, REASON_BAD_VALUE, "postern number list shows ranges", "one number is wanted, not a range");
		return;
	}
	n = policy_number(p, str_z(parsed.first));
	ctl_set(r, "number", json_string(parsed.first));
	if (!n) {
		ctl_set(r, "trunk", json_null());
		ctl_finding(r, 1, "number", "postern number add RANGE TRUNK", "%s belongs to no trunk", parsed.first);
		ctl_end(r);
		return;
	}
	t = policy_trunk(p, n->trunk_id);
	ctl_set(r, "trunk", print_json(t ? t->name : STR_NONE));
	ctl_set(r, "first", print_json(n->first));
	ctl_set(r, "last", print_json(n->last));
	ctl_say(r, "%s belongs to trunk %.*s, range %.*s..%.*s\n", parsed.first, STR(t ? t->name : S("?")), STR(n->first),
	    STR(n->last));
	ctl_end(r);
}

static enum reason numbers_check(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_rows *rows = NULL;
	enum reason why = db_load(h, &rows, err);

	if (why != REASON_NONE)
		return why;
	r->made = json_array();
	for (unsigned i = 0; i < rows->n_trunks; i++) {
		const struct db_trunk *t = &rows->trunks[i];
		unsigned n = 0;

		for (unsigned k = 0; k < rows->n_numbers; k++)
			n += rows->numbers[k].trunk_id == t->id;
		if (n == 0 && str_eq(t->role, S("pbx")))
			json_array_append_new(r->made,
			    json_pack("{s:i,s:s%,s:s}", "level", 1, "trunk", t->name.p, t->name.n, "text",
				"has no numbers: no call from outside reaches it"));
		if (n && t->admin != DB_ENABLED)
			json_array_append_new(r->made, json_pack("{s:i,s:s%,s:s}", "level", 1, "trunk", t->name.p,
							   t->name.n, "text",
							   "has numbers but takes no calls: it is disabled or draining"));
		if (n && str_eq(t->role, S("itsp")))
			json_array_append_new(r->made, json_pack("{s:i,s:s%,s:s}", "level", 1, "trunk", t->name.p,
							   t->name.n, "text",
							   "is a provider and has numbers: calls to them go out to it"));
	}
	/* two ranges of one trunk that touch could be one; not wrong, but said */
	for (unsigned k = 0; k + 1 < rows->n_numbers; k++) {
		const struct db_number *a = &rows->numbers[k], *b = &rows->numbers[k + 1];
		uint64_t x, y;

		if (a->trunk_id != b->trunk_id || strlen(a->last) != strlen(b->first) ||
		    str_u64(str_z(a->last + 1), UINT64_MAX, &x) < 0 || str_u64(str_z(b->first + 1), UINT64_MAX, &y) < 0 ||
		    x + 1 != y)
			continue;
		json_array_append_new(
		    r->made, json_pack("{s:i,s:s,s:s}", "level", 0, "trunk", a->first, "text", b->last));
	}
	db_rows_free(rows);
	return REASON_NONE;
}

static void numbers_checked(struct ctl_req *r)
{
	size_t i, touching = 0;
	json_t *e;

	json_array_foreach(r->made, i, e) {
		const char *trunk = json_string_value(json_object_get(e, "trunk"));
		const char *text = json_string_value(json_object_get(e, "text"));

		if (json_integer_value(json_object_get(e, "level")) == 0)
			touching++;
		else
			ctl_finding(r, 1, "number", NULL, "trunk %s %s", trunk ? trunk : "?", text ? text : "");
	}
	view_unconfirmed(r);
	if (r->code == 0)
		ctl_say(r, "every number leads to a trunk that takes calls\n");
	if (touching)
		ctl_say(r, "%zu range%s touch%s the next one of the same trunk and could be one\n", touching,
		    touching == 1 ? "" : "s", touching == 1 ? "es" : "");
	ctl_set(r, "touching", json_integer((json_int_t)touching));
}

void cmd_number_check(struct ctl_req *r)
{
	ctl_read_and_show(r, numbers_check, numbers_checked);
}

/* -------------------------------------------------------------------- changing */

static enum reason parse_range(struct ctl_req *r, struct db_number *n, struct db_err *err)
{
	return db_number_parse(ctl_arg_str(r, "RANGE"), n, err);
}

static void note_range(struct ctl_req *r, const struct db_number *n, uint64_t count, const char *what)
{
	char range[2 * DB_NUMBER_MAX + 2];
	struct buf b;

	buf_init(&b, range, sizeof(range));
	view_range(&b, n);
	text_fmt(&r->note, "%s", buf_z(&b));
	text_fmt(&r->note, "  %llu number%s %s\n", (unsigned long long)count, count == 1 ? "" : "s", what);
}

static enum reason number_add(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_number n = {0};
	enum reason why = parse_range(r, &n, err);

	if (why == REASON_NONE)
		why = db_trunk_id(h, ctl_arg_str(r, "TRUNK"), &n.trunk_id, err);
	if (why == REASON_NONE)
		why = db_number_add(h, &n, err);
	if (why == REASON_NONE) {
		char what[64];
		struct buf b;

		buf_init(&b, what, sizeof(what));
		buf_fmt(&b, "given to %s", ctl_arg(r, "TRUNK"));
		note_range(r, &n, db_number_count(&n), buf_z(&b));
	}
	return why;
}

void cmd_number_add(struct ctl_req *r)
{
	ctl_change(r, false, number_add, ctl_said);
}

static enum reason number_del(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	const char *only = ctl_arg(r, "--trunk");
	struct db_number n = {0};
	uint64_t removed = 0;
	uint32_t trunk = 0;
	enum reason why = parse_range(r, &n, err);

	if (why == REASON_NONE && only)
		why = db_trunk_id(h, str_z(only), &trunk, err);
	if (why == REASON_NONE)
		why = db_number_del(h, &n, trunk, &removed, err);
	if (why == REASON_NONE)
		note_range(r, &n, removed, "taken away");
	return why;
}

void cmd_number_del(struct ctl_req *r)
{
	ctl_change(r, false, number_del, ctl_said);
}

static enum reason number_move(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_number n = {0};
	uint64_t removed = 0;
	enum reason why = parse_range(r, &n, err);

	if (why == REASON_NONE)
		why = db_trunk_id(h, ctl_arg_str(r, "TRUNK"), &n.trunk_id, err);
	if (why == REASON_NONE)
		why = db_number_del(h, &n, 0, &removed, err);
	if (why == REASON_NONE && removed != db_number_count(&n))
		return db_fail(err, REASON_NO_SUCH, "postern number list; postern number add gives new ones to a trunk",
		    "only %llu of these %llu numbers belong to somebody", (unsigned long long)removed,
		    (unsigned long long)db_number_count(&n));
	if (why == REASON_NONE)
		why = db_number_add(h, &n, err);
	if (why == REASON_NONE) {
		char what[64];
		struct buf b;

		buf_init(&b, what, sizeof(what));
		buf_fmt(&b, "moved to %s", ctl_arg(r, "TRUNK"));
		note_range(r, &n, removed, buf_z(&b));
	}
	return why;
}

void cmd_number_move(struct ctl_req *r)
{
	ctl_change(r, false, number_move, ctl_said);
}

/* -------------------------------------------------------------------- CSV */

#define CSV_FIELDS 2

/* One line to fields; quotes are taken off in place. Returns how many, or 0 with *ret_col (1-based) and *ret_why. */
static unsigned csv_split(char *p, size_t n, struct str f[CSV_FIELDS + 1], unsigned *ret_col, const char **ret_why)
{
	unsigned k = 0;
	size_t i = 0;

	for (;;) {
		size_t from = i, out;

		if (k == CSV_FIELDS + 1)
			return k;
		if (i < n && p[i] == '"') {
			out = from = ++i;
			for (;;) {
				if (i >= n) {
					*ret_col = (unsigned)from;
					*ret_why = "closing \" is missing";
					return 0;
				}
				if (p[i] == '"' && (i + 1 >= n || p[i + 1] != '"'))
					break;
				if (p[i] == '"')
					i++;
				p[out++] = p[i++];
			}
			i++;
			if (i < n && p[i] != ',' && p[i] != ';') {
				*ret_col = (unsigned)i + 1;
				*ret_why = "a comma is expected behind the closing \"";
				return 0;
			}
			f[k++] = str_trim(str_n(p + from, out - from));
		} else {
			while (i < n && p[i] != ',' && p[i] != ';')
				i++;
			f[k++] = str_trim(str_n(p + from, i - from));
		}
		if (i >= n)
			return k;
		i++;
	}
}

#define CSV_ERRORS_MAX 50 /* shown; the rest is counted */

static void csv_error(struct ctl_req *r, unsigned *n, unsigned line, unsigned col, const char *why)
{
	if (++*n <= CSV_ERRORS_MAX)
		text_fmt(&r->detail, "line %u, column %u: %s\n", line, col, why);
}

/* One row that is no comment: into the import, or its error into r->detail. */
static enum reason csv_row(struct ctl_req *r, struct db_import *im, unsigned n, struct str line, unsigned *errors)
{
	const char *def = ctl_arg(r, "--trunk"), *why = NULL;
	struct str f[CSV_FIELDS + 1] = {STR_NONE, STR_NONE, STR_NONE};
	struct db_err bad = {0};
	struct db_number range;
	unsigned col = 1, k;
	char copy[512];

	if (line.n >= sizeof(copy)) {
		csv_error(r, errors, n, sizeof(copy), "line is longer than 511 bytes");
		return REASON_NONE;
	}
	memcpy(copy, line.p, line.n);
	k = csv_split(copy, line.n, f, &col, &why);
	if (k == 0)
		csv_error(r, errors, n, col, why);
	else if (k > CSV_FIELDS && !str_empty(f[CSV_FIELDS]))
		csv_error(r, errors, n, (unsigned)(f[CSV_FIELDS].p - copy) + 1, "more than two columns");
	else if (n == 1 && str_ieq(f[0], S("range")))
		return REASON_NONE;
	else if (str_empty(f[0]))
		csv_error(r, errors, n, 1, "range is empty");
	else if (db_number_parse(f[0], &range, &bad) != REASON_NONE)
		csv_error(r, errors, n, (unsigned)(f[0].p - copy) + 1, bad.text);
	else if ((k < 2 || str_empty(f[1])) && !def)
		csv_error(r, errors, n, (unsigned)line.n + 1, "trunk is missing: name it there, or for all with --trunk");
	else
		return db_import_row(im, n, f[0], k < 2 || str_empty(f[1]) ? str_z(def) : f[1]);
	return REASON_NONE;
}

static enum reason read_csv(struct ctl_req *r, struct db_import *im, struct db_err *err)
{
	struct str rest = r->input, line;
	unsigned n = 0, errors = 0;

	if (memchr(r->input.p, '\0', r->input.n))
		return db_fail(err, REASON_BAD_VALUE, "columns: range,trunk", "this is no text file");
	while (!str_empty(rest)) {
		enum reason why;

		rest = str_cut(rest, '\n', &line);
		n++;
		if (n == 1 && str_prefix(line, S("\xef\xbb\xbf")))
			line = str_from(line, 3);
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (str_empty(str_trim(line)) || line.p[0] == '#')
			continue;
		why = csv_row(r, im, n, line, &errors);
		if (why != REASON_NONE)
			return db_fail(err, why, "split the file", "line %u: %s", n, reason_info(why)->text);
	}
	if (errors)
		return db_fail(err, REASON_BAD_VALUE, "columns: range,trunk   for example: +49301234500..+49301234599,pbx",
		    "%u error%s, nothing was imported", errors, errors == 1 ? "" : "s");
	return n ? REASON_NONE : db_fail(err, REASON_BAD_VALUE, "columns: range,trunk", "the file is empty");
}

static enum reason number_import(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_import *im = db_import_new();
	const struct db_import_stats *st;
	enum reason why;

	if (!im)
		return db_fail(err, REASON_NO_MEMORY, "", "out of memory");
	why = read_csv(r, im, err);
	if (why == REASON_NONE)
		why = db_import_apply(h, im, ctl_flag(r, "--replace"), err);
	st = db_import_stats(im);
	if (why == REASON_NONE) {
		r->made = json_pack("{s:i,s:i,s:i,s:i,s:I}", "rows", (int)st->rows, "added", (int)st->added, "present",
		    (int)st->present, "removed", (int)st->removed, "numbers_added", (json_int_t)st->numbers_added);
	} else if (st->errors) {
		for (unsigned i = 0;; i++) {
			unsigned line = 0;
			const char *e = db_import_error(im, i, &line);

			if (!e)
				break;
			text_fmt(&r->detail, "line %u: %s\n", line, e);
		}
		why = db_fail(err, why, "correct these lines and import again", "%u error%s, nothing was imported",
		    st->errors, st->errors == 1 ? "" : "s");
	}
	db_import_free(im);
	return why;
}

static void number_imported(struct ctl_req *r)
{
	bool dry = ctl_flag(r, "--dry-run");
	json_t *st = r->made;

	ctl_set(r, "import", json_incref(st));
	ctl_set(r, "dry_run", json_boolean(dry));
	ctl_say(r, "%lld row%s: %lld range%s %sadded (%lld numbers), %lld already there, %lld removed\n",
	    (long long)json_integer_value(json_object_get(st, "rows")),
	    json_integer_value(json_object_get(st, "rows")) == 1 ? "" : "s",
	    (long long)json_integer_value(json_object_get(st, "added")),
	    json_integer_value(json_object_get(st, "added")) == 1 ? "" : "s", dry ? "would be " : "",
	    (long long)json_integer_value(json_object_get(st, "numbers_added")),
	    (long long)json_integer_value(json_object_get(st, "present")),
	    (long long)json_integer_value(json_object_get(st, "removed")));
	if (dry)
		ctl_say(r, "nothing was changed: that was --dry-run\n");
	ctl_end(r);
}

void cmd_number_import(struct ctl_req *r)
{
	ctl_change(r, ctl_flag(r, "--dry-run"), number_import, number_imported);
}
