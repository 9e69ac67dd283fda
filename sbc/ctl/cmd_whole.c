/* cmd_whole.c - all customers as one text: `export` writes it, `apply` makes the database equal to it.
 *
 *     {"postern": 1,
 *      "trunks": {"acme": {"state": "enabled", "role": "itsp", "target": ["192.0.2.10:5060"], "max-calls": "30",
 *                          "numbers": ["+49301234500..+49301234599"]}},
 *      "routes": [{"name": "out", "from": "pbx", "to": "+*", "via": ["acme", "backup@2"]}]}
 *
 * Settings are those of `trunk set`; what is not named has its default, so the text holds only what somebody decided.
 * Trunks stand by name, numbers in their order, routes in the order in which they are tried: two exports of the same
 * customers are the same bytes, and a diff of two shows what changed. Passwords are in neither: apply leaves them.
 *
 * Happy path of apply, one change of the store: rows are loaded; numbers and routes that are not wanted go; trunks of
 * the text are put, those that are not wanted go; routes are put, the last first; numbers are added. Nothing that is
 * as it should be is written, so the same text twice is no revision.
 *
 * What can go wrong: the text is no JSON (line and column), a word of it is unknown or cannot be read (where, and what
 * was expected), a trunk with calls would go (--force). Any of it refuses the whole.
 */
#include <stdlib.h>

#include "sbc/ctl/view.h"
#include "sbc/policy/compile.h"
#include "sbc/policy/trunk_keys.h"

#define FORMAT 1
#define SAID_MAX 200 /* lines about changes; the rest is counted */

/* -------------------------------------------------------------------- export */

static json_t *list_json(struct str list)
{
	json_t *a = json_array();

	while (!str_empty(list)) {
		struct str one;

		list = str_cut(list, ',', &one);
		json_array_append_new(a, print_json(str_trim(one)));
	}
	return a;
}

static json_t *trunk_json(const struct db_trunk *t)
{
	json_t *j = json_object();
	char value[4096];

	json_object_set_new(j, "state", json_string(db_admin_names[t->admin]));
	for (unsigned i = 0; i < trunk_keys_n; i++) {
		bool is_default = false;
		struct buf b;

		buf_init(&b, value, sizeof(value));
		trunk_key_value(t, &trunk_keys[i], &b, &is_default);
		if (!is_default && b.n)
			json_object_set_new(j, trunk_keys[i].name,
			    trunk_key_is_list(&trunk_keys[i]) ? list_json(buf_text(&b)) : print_json(buf_text(&b)));
	}
	return j;
}

static json_t *range_json(const struct db_number *n)
{
	char text[2 * DB_NUMBER_MAX + 2];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	view_range(&b, n);
	return print_json(buf_text(&b));
}

static json_t *route_json(const struct db_rows *rows, const struct db_route *x)
{
	const struct db_trunk *from = db_rows_trunk(rows, x->from_trunk);
	json_t *j = json_object(), *via;

	json_object_set_new(j, "name", print_json(x->name));
	if (from)
		json_object_set_new(j, "from", print_json(from->name));
	if (x->from.n && !str_eq(x->from, S("*")))
		json_object_set_new(j, "calling", print_json(x->from));
	json_object_set_new(j, "to", print_json(x->to.n ? x->to : S("*")));
	if (x->hours.days) {
		char hours[160];
		struct buf b;

		buf_init(&b, hours, sizeof(hours));
		policy_hours_put(&b, &x->hours);
		json_object_set_new(j, "hours", print_json(buf_text(&b)));
	}
	if (x->deny) {
		json_object_set_new(j, "deny", json_true());
		return j;
	}
	via = json_array();
	for (unsigned i = 0; i < x->n_via; i++) {
		struct text t = {0};

		view_via(&t, rows, &x->via[i]);
		json_array_append_new(via, print_json(text_get(&t)));
		text_fini(&t);
	}
	json_object_set_new(j, "via", via);
	return j;
}

static int by_name(const void *a, const void *b)
{
	const struct db_trunk *const *x = a, *const *y = b;

	return str_cmp((*x)->name, (*y)->name);
}

static json_t *trunks_json(const struct db_rows *rows)
{
	const struct db_trunk **order = calloc(rows->n_trunks + 1, sizeof(struct db_trunk *));
	json_t *trunks = json_object();

	if (!order) {
		json_decref(trunks);
		return NULL;
	}
	for (unsigned i = 0; i < rows->n_trunks; i++)
		order[i] = &rows->trunks[i];
	qsort(order, rows->n_trunks, sizeof(struct db_trunk *), by_name);
	for (unsigned i = 0; i < rows->n_trunks; i++)
		json_object_setn_new(trunks, order[i]->name.p, order[i]->name.n, trunk_json(order[i]));
	free(order);
	for (unsigned i = 0; i < rows->n_numbers; i++) {
		const struct db_trunk *t = db_rows_trunk(rows, rows->numbers[i].trunk_id);
		json_t *j = t ? json_object_getn(trunks, t->name.p, t->name.n) : NULL, *list = json_object_get(j, "numbers");

		if (!list && j)
			json_object_set_new(j, "numbers", list = json_array());
		json_array_append_new(list, range_json(&rows->numbers[i]));
	}
	return trunks;
}

static enum reason whole_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_rows *rows = NULL;
	enum reason why = db_load(h, &rows, err);
	json_t *trunks, *routes = json_array();

	if (why != REASON_NONE) {
		json_decref(routes);
		return why;
	}
	trunks = trunks_json(rows);
	for (unsigned i = 0; i < rows->n_routes; i++)
		json_array_append_new(routes, route_json(rows, &rows->routes[i]));
	db_rows_free(rows);
	r->made = json_pack("{s:i,s:o,s:o}", "postern", FORMAT, "trunks", trunks, "routes", routes);
	return r->made ? REASON_NONE : db_fail(err, REASON_NO_MEMORY, "", "out of memory");
}

static void whole_show(struct ctl_req *r)
{
	char *text = json_dumps(r->made, JSON_INDENT(2));
	const char *key;
	json_t *value;

	ctl_say(r, "%s\n", text ? text : "");
	if (!text)
		ctl_fail(r, REASON_NO_MEMORY, NULL, "out of memory");
	free(text);
	json_object_foreach(r->made, key, value)
		ctl_set(r, key, json_incref(value));
}

void cmd_export(struct ctl_req *r)
{
	ctl_read_and_show(r, whole_load, whole_show);
}

/* -------------------------------------------------------------------- apply */

/* What the loop knows and the store thread does not: names of trunks that have calls, one a line. */
struct work {
	size_t n;
	char busy[];
};

struct apply {
	struct db_handle *h;
	struct ctl_req *r;
	struct db_err *err;
	struct db_rows *rows; /* own: before */
	json_t *whole;        /* own: the text */
	json_t *trunks, *routes; /* borrow */
	json_t *owner;        /* own: wanted range -> name of its trunk */
	bool keep;            /* what the text does not name stays */
	unsigned said, changes;
};

static struct str json_str(const json_t *j)
{
	return json_is_string(j) ? str_n(json_string_value(j), json_string_length(j)) : STR_NONE;
}

/* One change. Many are counted, not listed. */
static void say(struct apply *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct apply *a, const char *fmt, ...)
{
	va_list ap;

	a->changes++;
	if (a->said == SAID_MAX)
		return;
	a->said++;
	va_start(ap, fmt);
	text_vfmt(&a->r->note, fmt, ap);
	va_end(ap);
}

/* Puts where it is before what is wrong. */
static enum reason at(struct apply *a, enum reason why, const char *kind, struct str name)
{
	char was[sizeof(a->err->text)];

	memcpy(was, a->err->text, sizeof(was));
	snprintf(a->err->text, sizeof(a->err->text), "%s %.*s: %.260s", kind, STR(str_head(name, 40)), was);
	return why;
}

static enum reason wrong(struct apply *a, const char *what, const char *expected)
{
	return db_fail(a->err, REASON_BAD_VALUE, expected, "%s", what);
}

static enum reason read_text(struct apply *a)
{
	static const char *const known[] = {"postern", "trunks", "routes"};
	json_error_t at_json;
	const char *key;
	json_t *value;

	a->whole = json_loadb(a->r->input.p, a->r->input.n, JSON_REJECT_DUPLICATES, &at_json);
	if (!a->whole)
		return db_fail(a->err, REASON_BAD_VALUE, "postern export shows how it is written", "line %d, column %d: %s",
		    at_json.line, at_json.column, at_json.text);
	if (!json_is_object(a->whole))
		return wrong(a, "this is no export of postern", "{\"postern\": 1, \"trunks\": {...}, \"routes\": [...]}");
	json_object_foreach(a->whole, key, value) {
		unsigned i = 0;

		while (i < ARRAY_LEN(known) && strcmp(key, known[i]) != 0)
			i++;
		if (i == ARRAY_LEN(known))
			return db_fail(a->err, REASON_BAD_VALUE, "postern, trunks and routes", "unknown word '%.60s'", key);
	}
	if (json_integer_value(json_object_get(a->whole, "postern")) != FORMAT)
		return wrong(a, "the format is not named, or one that this version does not read", "\"postern\": 1");
	a->trunks = json_object_get(a->whole, "trunks");
	a->routes = json_object_get(a->whole, "routes");
	if (a->trunks && !json_is_object(a->trunks))
		return wrong(a, "trunks is no object", "\"trunks\": {\"acme\": {...}}");
	if (a->routes && !json_is_array(a->routes))
		return wrong(a, "routes is no list", "\"routes\": [{\"name\": \"out\", ...}]");
	/* a whole that says nothing of trunks would delete all of them: that is never meant */
	if (!a->keep && (!a->trunks || !a->routes))
		return wrong(a, a->trunks ? "routes is missing" : "trunks is missing",
		    "an empty one says that there shall be none; --keep changes only what is named");
	return REASON_NONE;
}

/* a value as `trunk set` would have it: "30", 30, true, ["a", "b"] */
static bool value_text(const json_t *j, struct buf *b)
{
	size_t i;
	json_t *e;

	switch (json_typeof(j)) {
	case JSON_STRING:
		buf_str(b, json_str(j));
		return true;
	case JSON_INTEGER:
		buf_fmt(b, "%lld", (long long)json_integer_value(j));
		return true;
	case JSON_TRUE:
		buf_lit(b, "yes");
		return true;
	case JSON_FALSE:
		buf_lit(b, "no");
		return true;
	case JSON_ARRAY:
		json_array_foreach(j, i, e) {
			if (!json_is_string(e) && !json_is_integer(e))
				return false;
			if (i)
				buf_chr(b, ',');
			value_text(e, b);
		}
		return true;
	default:
		return false;
	}
}

/* ---- numbers */

/* All wanted ranges in their plain form, each with its trunk. */
static enum reason read_numbers(struct apply *a)
{
	const char *name;
	json_t *trunk, *list, *e;
	size_t i;

	a->owner = json_object();
	json_object_foreach(a->trunks, name, trunk) {
		list = json_object_get(trunk, "numbers");
		if (list && !json_is_array(list))
			return at(a, wrong(a, "numbers is no list", "[\"+49301234500..+49301234599\"]"), "trunk", str_z(name));
		json_array_foreach(list, i, e) {
			char text[2 * DB_NUMBER_MAX + 2];
			struct db_number n;
			struct buf b;
			json_t *other;

			if (!json_is_string(e))
				return at(a, wrong(a, "a range of numbers is a string", "\"+49301234500..+49301234599\""), "trunk",
				    str_z(name));
			if (db_number_parse(json_str(e), &n, a->err) != REASON_NONE)
				return at(a, a->err->reason, "trunk", str_z(name));
			buf_init(&b, text, sizeof(text));
			view_range(&b, &n);
			other = json_object_get(a->owner, buf_z(&b));
			if (other && strcmp(json_string_value(other), name) != 0)
				return db_fail(a->err, REASON_NUMBER_TAKEN, "numbers have one owner", "%s stands at trunk %.31s and at %.31s",
				    buf_z(&b), json_string_value(other), name);
			json_object_set_new(a->owner, buf_z(&b), json_string(name));
		}
	}
	return REASON_NONE;
}

/* Is that block, as it is stored, wanted? */
static bool number_wanted(const struct apply *a, const struct db_number *n)
{
	const struct db_trunk *t = db_rows_trunk(a->rows, n->trunk_id);
	char text[2 * DB_NUMBER_MAX + 2];
	const json_t *owner;
	struct buf b;

	buf_init(&b, text, sizeof(text));
	view_range(&b, n);
	owner = json_object_get(a->owner, buf_z(&b));
	if (owner)
		return t && str_eq(t->name, json_str(owner));
	/* without the word numbers --keep leaves them alone */
	return a->keep && t && !json_object_get(json_object_getn(a->trunks, t->name.p, t->name.n), "numbers");
}

static enum reason drop_numbers(struct apply *a)
{
	for (unsigned i = 0; i < a->rows->n_numbers; i++) {
		const struct db_number *n = &a->rows->numbers[i];
		char text[2 * DB_NUMBER_MAX + 2];
		const struct db_trunk *t = db_rows_trunk(a->rows, n->trunk_id);
		uint64_t removed;
		enum reason why;
		struct buf b;

		buf_init(&b, text, sizeof(text));
		view_range(&b, n);
		if (number_wanted(a, n)) {
			json_object_del(a->owner, buf_z(&b)); /* there already */
			continue;
		}
		why = db_number_del(a->h, n, n->trunk_id, &removed, a->err);
		if (why != REASON_NONE)
			return why;
		say(a, "- numbers %s of %.*s\n", buf_z(&b), STR(t ? t->name : S("?")));
	}
	return REASON_NONE;
}

static enum reason add_numbers(struct apply *a)
{
	const char *range, *name;
	json_t *owner;

	json_object_foreach(a->owner, range, owner) {
		struct db_number n = {0};
		enum reason why = db_number_parse(str_z(range), &n, a->err);

		name = json_string_value(owner);
		if (why == REASON_NONE)
			why = db_trunk_id(a->h, str_z(name), &n.trunk_id, a->err);
		if (why == REASON_NONE)
			why = db_number_add(a->h, &n, a->err);
		if (why != REASON_NONE)
			return at(a, why, "trunk", str_z(name));
		say(a, "+ numbers %s of %s\n", range, name);
	}
	return REASON_NONE;
}

/* ---- trunks */

static enum reason read_state(struct apply *a, const json_t *j, enum db_admin *ret)
{
	for (unsigned i = 0; i < ARRAY_LEN(db_admin_names); i++)
		if (str_eq(json_str(j), str_z(db_admin_names[i]))) {
			*ret = (enum db_admin)i;
			return REASON_NONE;
		}
	return wrong(a, "state cannot be read", "\"enabled\", \"disabled\" or \"draining\"");
}

/* Settings of the text over the draft. */
static enum reason edit_trunk(struct apply *a, struct trunk_draft *d, json_t *want, enum db_admin *state)
{
	const char *key;
	json_t *value;

	json_object_foreach(want, key, value) {
		const struct trunk_key *k = trunk_key_find(str_z(key), NULL);
		char text[4096];
		struct buf b;
		enum reason why;

		if (!strcmp(key, "numbers"))
			continue;
		if (!strcmp(key, "state")) {
			if ((why = read_state(a, value, state)) != REASON_NONE)
				return why;
			continue;
		}
		buf_init(&b, text, sizeof(text));
		if (!value_text(value, &b) || (json_is_array(value) && k && !trunk_key_is_list(k)))
			return db_fail(a->err, REASON_BAD_VALUE, "a string, a number, true, false, or a list where it is one",
			    "the value of %.60s cannot be read", key);
		if (buf_err(&b))
			return db_fail(a->err, REASON_BAD_VALUE, "", "%.60s: the value is too long", key);
		why = trunk_draft_edit(d, str_z(key), '=', buf_text(&b), a->err);
		if (why != REASON_NONE)
			return why;
	}
	return trunk_draft_complete(d, a->err);
}

/* A line per setting that differs; how many. */
static unsigned say_diff(struct apply *a, struct str name, const struct db_trunk *was, const struct db_trunk *is)
{
	char x[4096], y[4096];
	unsigned n = 0;

	for (unsigned i = 0; i < trunk_keys_n; i++) {
		struct buf bx, by;

		buf_init(&bx, x, sizeof(x));
		buf_init(&by, y, sizeof(y));
		trunk_key_value(was, &trunk_keys[i], &bx, NULL);
		trunk_key_value(is, &trunk_keys[i], &by, NULL);
		if (str_eq(buf_text(&bx), buf_text(&by)))
			continue;
		n++;
		say(a, "~ trunk %.*s %s: %.*s -> %.*s\n", STR(name), trunk_keys[i].name,
		    STR(bx.n ? buf_text(&bx) : S("(empty)")), STR(by.n ? buf_text(&by) : S("(empty)")));
	}
	return n;
}

static enum reason put_trunk(struct apply *a, struct str name, json_t *want)
{
	const struct db_trunk *was = db_rows_trunk_named(a->rows, name);
	enum db_admin state = was ? was->admin : DB_ENABLED;
	struct trunk_draft *d;
	struct db_trunk row;
	enum reason why;

	if (!json_is_object(want))
		return at(a, wrong(a, "this is no object", "{\"role\": \"itsp\", \"realm\": \"wan\", \"target\": [...]}"), "trunk", name);
	/* what the text does not name has its default, or with --keep stays as it is */
	d = trunk_draft_new(a->keep ? was : NULL, name);
	if (!d)
		return db_fail(a->err, REASON_NO_MEMORY, "", "out of memory");
	why = edit_trunk(a, d, want, &state);
	row = *trunk_draft_row(d);
	if (was) {
		row.id = was->id;
		row.admin = was->admin;
	}
	if (why == REASON_NONE && (!was || say_diff(a, name, was, &row)))
		why = db_trunk_put(a->h, &row, NULL, a->err);
	trunk_draft_free(d);
	if (why == REASON_NONE && !was)
		say(a, "+ trunk %.*s\n", STR(name));
	if (why == REASON_NONE && state != row.admin) {
		say(a, "~ trunk %.*s: %s -> %s\n", STR(name), db_admin_names[row.admin], db_admin_names[state]);
		why = db_trunk_admin(a->h, name, state, a->err);
	}
	return why == REASON_NONE ? why : at(a, why, "trunk", name);
}

static enum reason put_trunks(struct apply *a)
{
	const char *name;
	json_t *want;

	json_object_foreach(a->trunks, name, want) {
		enum reason why = put_trunk(a, str_z(name), want);

		if (why != REASON_NONE)
			return why;
	}
	return REASON_NONE;
}

static bool is_busy(const struct apply *a, struct str name)
{
	const struct work *w = a->r->work;
	struct str rest = str_n(w->busy, w->n), one;

	while (!str_empty(rest)) {
		rest = str_cut(rest, '\n', &one);
		if (str_eq(one, name))
			return true;
	}
	return false;
}

static enum reason drop_trunks(struct apply *a)
{
	unsigned gone = 0;

	for (unsigned i = 0; !a->keep && i < a->rows->n_trunks; i++) {
		struct str name = a->rows->trunks[i].name;
		enum reason why;

		if (json_object_getn(a->trunks, name.p, name.n))
			continue;
		if (is_busy(a, name) && !ctl_flag(a->r, "--force"))
			return db_fail(a->err, REASON_IN_USE, "drain it and wait, or apply with --force: its calls end",
			    "trunk %.*s would go and has calls", STR(name));
		why = db_trunk_del(a->h, name, true, a->err);
		if (why != REASON_NONE)
			return why;
		say(a, "- trunk %.*s\n", STR(name));
		gone++;
	}
	if (gone == 0)
		return REASON_NONE;
	/* routes have lost their places at those trunks: what is compared next is what is there now */
	db_rows_free(a->rows);
	a->rows = NULL;
	return db_load(a->h, &a->rows, a->err);
}

/* ---- routes */

static json_t *route_named(const struct apply *a, struct str name)
{
	size_t i;
	json_t *e;

	json_array_foreach(a->routes, i, e)
		if (str_eq(json_str(json_object_get(e, "name")), name))
			return e;
	return NULL;
}

static enum reason drop_routes(struct apply *a)
{
	for (unsigned i = 0; !a->keep && i < a->rows->n_routes; i++) {
		struct str name = a->rows->routes[i].name;
		enum reason why;

		if (route_named(a, name))
			continue;
		why = db_route_del(a->h, name, a->err);
		if (why != REASON_NONE)
			return why;
		say(a, "- route %.*s\n", STR(name));
	}
	return REASON_NONE;
}

static enum reason read_vias(struct apply *a, const json_t *list, struct db_route_via *via, struct db_route *x)
{
	size_t i;
	json_t *e;

	if (!json_is_array(list))
		return wrong(a, "via is no list", "[\"acme\", \"backup@2\"]");
	json_array_foreach(list, i, e) {
		enum reason why;

		if (x->n_via == POL_HOPS_MAX)
			return db_fail(a->err, REASON_BAD_VALUE, "", "more than %d trunks in a route", POL_HOPS_MAX);
		why = view_read_via(a->h, json_str(e), &via[x->n_via], a->err);
		if (why != REASON_NONE)
			return why;
		x->n_via++;
	}
	x->via = via;
	return REASON_NONE;
}

/* One route of the text, over the one there is (--keep) or over an empty one. */
static enum reason read_route(struct apply *a, json_t *want, struct db_route_via *via, struct db_route *x)
{
	static const char *const texts[] = {"name", "from", "calling", "to", "hours"};
	enum reason why = REASON_NONE;
	const char *key, *bad = NULL;
	json_t *value;

	json_object_foreach(want, key, value) {
		struct str s = json_str(value);

		for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
			if (!strcmp(key, texts[i]) && !json_is_string(value))
				return db_fail(a->err, REASON_BAD_VALUE, "a string", "the value of %s cannot be read", key);
		if (!strcmp(key, "name")) {
		} else if (!strcmp(key, "from") && str_eq(s, S("any"))) {
			x->from_trunk = 0;
		} else if (!strcmp(key, "from")) {
			why = db_trunk_id(a->h, s, &x->from_trunk, a->err);
		} else if (!strcmp(key, "calling")) {
			why = view_read_pattern(key, s, &x->from, a->err);
		} else if (!strcmp(key, "to")) {
			why = view_read_pattern(key, s, &x->to, a->err);
		} else if (!strcmp(key, "hours")) {
			if (policy_hours_parse(s, &x->hours, &bad) < 0)
				why = db_fail(a->err, REASON_BAD_VALUE, "for example \"mon-fri 08:00-18:00\", \"sat,sun\" or always",
				    "hours '%.*s': %s", STR(str_head(s, 60)), bad ? bad : "cannot be read");
		} else if (!strcmp(key, "deny")) {
			if (!json_is_boolean(value))
				return wrong(a, "deny cannot be read", "true or false");
			x->deny = json_is_true(value);
		} else if (!strcmp(key, "via")) {
			x->n_via = 0;
			why = read_vias(a, value, via, x);
		} else {
			return db_fail(a->err, REASON_BAD_VALUE, "name, from, calling, to, hours, deny, via", "unknown word '%.60s'", key);
		}
		if (why != REASON_NONE)
			return why;
	}
	if (x->deny && json_object_get(want, "via"))
		return wrong(a, "deny and via exclude each other", "one of the two");
	if (x->deny)
		x->n_via = 0;
	else if (x->n_via == 0)
		return wrong(a, "the route leads nowhere", "\"via\": [\"acme\"], or \"deny\": true");
	return REASON_NONE;
}

static bool same_route(const struct db_route *x, const struct db_route *y)
{
	if (x->from_trunk != y->from_trunk || !str_eq(x->from, y->from) || !str_eq(x->to, y->to) || x->deny != y->deny ||
	    x->n_via != y->n_via || x->hours.days != y->hours.days)
		return false;
	if (x->hours.days && (x->hours.from_min != y->hours.from_min || x->hours.to_min != y->hours.to_min))
		return false;
	for (unsigned i = 0; i < x->n_via; i++)
		if (x->via[i].trunk_id != y->via[i].trunk_id || x->via[i].priority != y->via[i].priority ||
		    x->via[i].weight != y->via[i].weight)
			return false;
	return true;
}

/* Do the routes of the text that exist stand in its order already? New ones go to their place in any case. */
static bool in_order(const struct apply *a)
{
	unsigned last = 0;
	size_t i;
	json_t *e;

	json_array_foreach(a->routes, i, e) {
		const struct db_route *was = db_rows_route_named(a->rows, json_str(json_object_get(e, "name")));

		if (!was)
			return false;
		if (was->position < last)
			return false;
		last = was->position;
	}
	return true;
}

static enum reason put_route(struct apply *a, json_t *want, struct str before, bool ordered)
{
	struct str name = json_str(json_object_get(want, "name"));
	const struct db_route *was = db_rows_route_named(a->rows, name);
	struct db_route_via via[POL_HOPS_MAX];
	struct db_route x = {.name = name, .from = S("*"), .to = S("*")};
	enum reason why;
	bool same;

	if (was && a->keep)
		x = *was;
	if (was) {
		x.id = was->id;
		x.position = was->position;
	}
	why = read_route(a, want, via, &x);
	if (why != REASON_NONE)
		return at(a, why, "route", name);
	same = was && same_route(was, &x);
	if (same && ordered)
		return REASON_NONE;
	why = db_route_put(a->h, &x, ordered && was ? STR_NONE : before, a->err);
	if (why != REASON_NONE)
		return at(a, why, "route", name);
	if (!same)
		say(a, "%c route %.*s\n", was ? '~' : '+', STR(name));
	return REASON_NONE;
}

/* The last first, each before the one behind it. */
static enum reason put_routes(struct apply *a)
{
	bool ordered = in_order(a);
	struct str before = STR_NONE;
	size_t n = json_array_size(a->routes), i;
	json_t *e;

	json_array_foreach(a->routes, i, e) {
		struct str name = json_str(json_object_get(e, "name"));

		if (!json_is_object(e) || str_empty(name))
			return wrong(a, "a route has no name", "{\"name\": \"out\", \"to\": \"+*\", \"via\": [\"acme\"]}");
		if (route_named(a, name) != e)
			return db_fail(a->err, REASON_NAME_TAKEN, "names are given once", "two routes are called %.*s", STR(name));
	}
	for (i = n; i-- > 0;) {
		enum reason why = put_route(a, e = json_array_get(a->routes, i), before, ordered);

		if (why != REASON_NONE)
			return why;
		before = json_str(json_object_get(e, "name"));
	}
	if (!ordered && a->changes == 0)
		say(a, "~ routes are tried in another order\n");
	return REASON_NONE;
}

/* ---- all of it */

static enum reason whole_apply(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	static enum reason (*const steps[])(struct apply *a) = {
		read_text, read_numbers, drop_numbers, drop_routes, put_trunks, drop_trunks, put_routes, add_numbers,
	};
	struct apply a = {.h = h, .r = r, .err = err, .keep = ctl_flag(r, "--keep")};
	enum reason why = db_load(h, &a.rows, err);

	for (unsigned i = 0; why == REASON_NONE && i < ARRAY_LEN(steps); i++)
		why = steps[i](&a);
	if (why == REASON_NONE) {
		if (a.changes > a.said)
			text_fmt(&r->note, "and %u more\n", a.changes - a.said);
		json_decref(r->made);
		r->made = json_integer(a.changes);
	}
	json_decref(a.owner);
	json_decref(a.whole);
	db_rows_free(a.rows);
	return why;
}

static void whole_applied(struct ctl_req *r)
{
	json_int_t n = json_integer_value(r->made);
	bool dry = ctl_flag(r, "--dry-run");

	ctl_set(r, "changes", json_incref(r->made));
	ctl_set(r, "dry_run", json_boolean(dry));
	ctl_set(r, "text", print_json(text_get(&r->note)));
	ctl_say(r, "%s", text_z(&r->note));
	if (n == 0)
		ctl_say(r, "nothing changed: it was so already\n");
	else if (dry)
		ctl_say(r, "%lld change%s; nothing was changed: that was --dry-run\n", (long long)n, n == 1 ? "" : "s");
	else
		ctl_say(r, "%lld change%s, one revision: postern db history, postern db undo\n", (long long)n, n == 1 ? "" : "s");
	ctl_end(r);
}

void cmd_apply(struct ctl_req *r)
{
	const struct policy *p = b2b_policy(r->be->b2b);
	size_t room = 0;
	struct work *w;

	for (unsigned i = 0; i < policy_trunk_count(p); i++)
		room += policy_trunk_at(p, i)->name.n + 1;
	r->work = w = calloc(1, sizeof(*w) + room);
	if (!w) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);
		struct b2b_trunk_info info = {0};

		b2b_trunk_info(r->be->b2b, t->id, &info);
		if (info.calls == 0)
			continue;
		memcpy(w->busy + w->n, t->name.p, t->name.n);
		w->n += t->name.n;
		w->busy[w->n++] = '\n';
	}
	ctl_change(r, ctl_flag(r, "--dry-run"), whole_apply, whole_applied);
}
