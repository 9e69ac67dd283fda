/* cmd_route.c - routes, and dry runs of calls.
 *
 * `explain` runs the code that a real INVITE runs (b2b_explain()), `route test` says for every route which of its
 * conditions did not hold (policy_route_view()).
 */
#include <stdlib.h>

#include "sbc/ctl/view.h"
#include "sbc/policy/compile.h"

void view_route_names(struct ctl_req *r)
{
	const struct policy *p = b2b_policy(r->be->b2b);

	for (unsigned i = 0; i < policy_route_count(p); i++) {
		struct policy_route_view v;

		policy_route_view(p, i, NULL, STR_NONE, STR_NONE, r->view.now_us, &v);
		ctl_say(r, "%.*s\n", STR(v.name));
	}
}

/* -------------------------------------------------------------------- looking */

void view_via(struct text *t, const struct db_rows *rows, const struct db_route_via *via)
{
	const struct db_trunk *v = db_rows_trunk(rows, via->trunk_id);

	text_str(t, v ? v->name : S("?"));
	if (via->priority != 1 || via->weight != 1)
		text_fmt(t, "@%u", via->priority);
	if (via->weight != 1)
		text_fmt(t, "*%u", via->weight);
}

static void put_vias(struct text *t, const struct db_rows *rows, const struct db_route *x)
{
	if (x->deny)
		text_lit(t, "deny");
	for (unsigned i = 0; i < x->n_via; i++) {
		if (i)
			text_lit(t, ", ");
		view_via(t, rows, &x->via[i]);
	}
}

static json_t *route_json(const struct db_rows *rows, const struct db_route *x, unsigned place)
{
	const struct db_trunk *from = db_rows_trunk(rows, x->from_trunk);
	json_t *j = json_object();
	struct text via = {0};
	char hours[160];
	struct buf b;

	buf_init(&b, hours, sizeof(hours));
	if (x->hours.days)
		policy_hours_put(&b, &x->hours);
	else
		buf_lit(&b, "always");
	put_vias(&via, rows, x);
	json_object_set_new(j, "place", json_integer(place));
	json_object_set_new(j, "name", print_json(x->name));
	json_object_set_new(j, "from", print_json(from ? from->name : S("any")));
	json_object_set_new(j, "calling", print_json(x->from.n ? x->from : S("*")));
	json_object_set_new(j, "to", print_json(x->to.n ? x->to : S("*")));
	json_object_set_new(j, "via", print_json(text_get(&via)));
	json_object_set_new(j, "deny", json_boolean(x->deny));
	json_object_set_new(j, "hours", print_json(buf_text(&b)));
	text_fini(&via);
	return j;
}

static enum reason routes_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	const char *only = ctl_arg(r, "ROUTE");
	struct db_rows *rows = NULL;
	enum reason why = db_load(h, &rows, err);

	if (why != REASON_NONE)
		return why;
	r->made = json_array();
	for (unsigned i = 0; i < rows->n_routes; i++)
		if (!only || str_eq(rows->routes[i].name, str_z(only)))
			json_array_append_new(r->made, route_json(rows, &rows->routes[i], i + 1));
	if (only && json_array_size(r->made) == 0)
		why = db_fail(err, REASON_NO_SUCH, "postern route list shows all", "no route '%s'", only);
	db_rows_free(rows);
	return why;
}

static const struct print_col route_cols[] = {
    {"place", "#", PK_NUM, 0},
    {"name", "ROUTE", PK_TEXT, 0},
    {"from", "FROM", PK_TEXT, 0},
    {"calling", "CALLING", PK_TEXT, 3},
    {"to", "TO", PK_TEXT, 0},
    {"hours", "HOURS", PK_TEXT, 2},
    {"via", "VIA", PK_TEXT, 0},
};

static void routes_list(struct ctl_req *r)
{
	ctl_table(r, "routes", json_incref(r->made), route_cols, ARRAY_LEN(route_cols),
	    "no routes: postern route add NAME --from TRUNK --to '*' --via TRUNK");
	if (json_array_size(r->made))
		ctl_say(r, "tried in this order, after the numbers (postern number list)\n");
}

void cmd_route_list(struct ctl_req *r)
{
	ctl_read_and_show(r, routes_load, routes_list);
}

static void route_shown(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"name", "route", PK_TEXT, 0},
	    {"place", "place", PK_NUM, 0},
	    {"from", "from trunk", PK_TEXT, 0},
	    {"calling", "calling", PK_TEXT, 0},
	    {"to", "called", PK_TEXT, 0},
	    {"hours", "hours", PK_TEXT, 0},
	    {"via", "via", PK_TEXT, 0},
	};

	ctl_set(r, "route", json_incref(json_array_get(r->made, 0)));
	ctl_block(r, "route", cols, ARRAY_LEN(cols));
}

void cmd_route_show(struct ctl_req *r)
{
	ctl_read_and_show(r, routes_load, route_shown);
}

/* -------------------------------------------------------------------- changing */

#define VIA_MAX POL_HOPS_MAX

/* "acme", "acme@2", "acme@2*10" */
enum reason view_read_via(struct db_handle *h, struct str s, struct db_route_via *ret, struct db_err *err)
{
	ptrdiff_t at = str_chr(s, '@');
	struct str name = at < 0 ? s : str_head(s, (size_t)at), rest = at < 0 ? STR_NONE : str_from(s, (size_t)at + 1), prio;
	uint32_t p = 1, w = 1;
	struct str weight = str_cut(rest, '*', &prio);

	if ((at >= 0 && (str_u32(prio, 1000, &p) < 0 || p == 0)) ||
	    (prio.n < rest.n && (str_u32(weight, 1000, &w) < 0 || w == 0)))
		return db_fail(err, REASON_BAD_VALUE, "write TRUNK@PRIORITY*WEIGHT, both 1..1000, for example acme@2*10",
		    "via '%.*s' cannot be read", STR(str_head(s, 60)));
	ret->priority = (uint16_t)p;
	ret->weight = (uint16_t)w;
	return db_trunk_id(h, name, &ret->trunk_id, err);
}

static enum reason parse_vias(struct db_handle *h, struct ctl_req *r, struct db_route_via *via, unsigned *ret_n,
    struct db_err *err)
{
	const char *v;

	for (unsigned i = 0; (v = ctl_value_at(&r->args, "--via", i)); i++) {
		struct str rest = str_z(v), one;

		while (!str_empty(rest)) {
			enum reason why;

			rest = str_cut(rest, ',', &one);
			if (*ret_n == VIA_MAX)
				return db_fail(err, REASON_BAD_VALUE, "", "more than %d trunks in a route", VIA_MAX);
			why = view_read_via(h, str_trim(one), &via[(*ret_n)++], err);
			if (why != REASON_NONE)
				return why;
		}
	}
	return REASON_NONE;
}

enum reason view_read_pattern(const char *what, struct str v, struct str *ret, struct db_err *err)
{
	if (policy_pattern_check(v) < 0)
		return db_fail(err, REASON_BAD_VALUE, "digits, a leading + and one * at the end: +49*, 112, *",
		    "%s '%.*s' is no pattern of numbers", what, STR(str_head(v, 60)));
	*ret = v;
	return REASON_NONE;
}

/* Options of the command over what the route is already. */
static enum reason route_options(struct db_handle *h, struct ctl_req *r, struct db_route *x, struct db_route_via *via,
    struct db_err *err)
{
	const char *from = ctl_arg(r, "--from"), *hours = ctl_arg(r, "--hours"), *bad = NULL;
	enum reason why = REASON_NONE;
	unsigned n = 0;

	if (from && !strcmp(from, "any"))
		x->from_trunk = 0;
	else if (from)
		why = db_trunk_id(h, str_z(from), &x->from_trunk, err);
	if (why == REASON_NONE && ctl_flag(r, "--calling"))
		why = view_read_pattern("--calling", ctl_arg_str(r, "--calling"), &x->from, err);
	if (why == REASON_NONE && ctl_flag(r, "--to"))
		why = view_read_pattern("--to", ctl_arg_str(r, "--to"), &x->to, err);
	if (why == REASON_NONE && hours && policy_hours_parse(str_z(hours), &x->hours, &bad) < 0)
		why = db_fail(err, REASON_BAD_VALUE, "for example \"mon-fri 08:00-18:00\", \"sat,sun\" or always",
		    "--hours '%.60s': %s", hours, bad ? bad : "cannot be read");
	if (why == REASON_NONE)
		why = parse_vias(h, r, via, &n, err);
	if (why != REASON_NONE)
		return why;
	if (ctl_flag(r, "--deny") && n)
		return db_fail(err, REASON_BAD_VALUE, "one of the two", "--deny and --via exclude each other");
	if (ctl_flag(r, "--deny")) {
		x->deny = true;
		x->via = NULL;
		x->n_via = 0;
	} else if (n) {
		x->deny = false;
		x->via = via;
		x->n_via = n;
	}
	if (!x->deny && x->n_via == 0)
		return db_fail(err, REASON_BAD_VALUE, "add --via TRUNK, or --deny", "the route leads nowhere");
	return REASON_NONE;
}

static enum reason route_new(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_route_via via[VIA_MAX];
	struct db_route x = {.name = ctl_arg_str(r, "NAME"), .from = S("*"), .to = S("*")};
	enum reason why = route_options(h, r, &x, via, err);

	if (why == REASON_NONE)
		why = db_route_put(h, &x, ctl_arg_str(r, "--before"), err);
	if (why == REASON_NONE)
		text_fmt(&r->note, "route %s added\n", ctl_arg(r, "NAME"));
	return why;
}

void cmd_route_add(struct ctl_req *r)
{
	ctl_change(r, false, route_new, ctl_said);
}

static enum reason route_edit(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_route_via via[VIA_MAX];
	struct db_rows *rows = NULL;
	enum reason why = db_load(h, &rows, err);
	const struct db_route *was;
	struct db_route x;

	if (why != REASON_NONE)
		return why;
	was = db_rows_route_named(rows, ctl_arg_str(r, "ROUTE"));
	if (!was) {
		why = db_fail(err, REASON_NO_SUCH, "postern route list shows all", "no route '%s'", ctl_arg(r, "ROUTE"));
	} else {
		x = *was;
		if (ctl_arg(r, "--name"))
			x.name = ctl_arg_str(r, "--name");
		why = route_options(h, r, &x, via, err);
		if (why == REASON_NONE)
			why = db_route_put(h, &x, ctl_arg_str(r, "--before"), err);
		if (why == REASON_NONE)
			text_fmt(&r->note, "route %s changed\n", ctl_arg(r, "ROUTE"));
	}
	db_rows_free(rows);
	return why;
}

void cmd_route_set(struct ctl_req *r)
{
	ctl_change(r, false, route_edit, ctl_said);
}

static enum reason route_remove(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	enum reason why = db_route_del(h, ctl_arg_str(r, "ROUTE"), err);

	if (why == REASON_NONE)
		text_fmt(&r->note, "route %s deleted\n", ctl_arg(r, "ROUTE"));
	return why;
}

void cmd_route_del(struct ctl_req *r)
{
	ctl_change(r, false, route_remove, ctl_said);
}

/* -------------------------------------------------------------------- dry runs */

void cmd_route_test(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"name", "ROUTE", PK_TEXT, 0},
	    {"matches", "MATCHES", PK_TEXT, 0},
	    {"why", "BECAUSE", PK_TEXT, 0},
	};
	const struct policy *p = b2b_policy(r->be->b2b);
	const struct pol_trunk *t = ctl_trunk(r, ctl_arg(r, "TRUNK"));
	struct b2b_explain *e;
	json_t *rows;

	if (!t)
		return;
	e = malloc(sizeof(*e));
	if (!e) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	b2b_explain(r->be->b2b, t, ctl_arg_str(r, "CALLING"), ctl_arg_str(r, "CALLED"), e);
	rows = json_array();
	for (unsigned i = 0; i < policy_route_count(p); i++) {
		struct policy_route_view v;
		bool all;
		json_t *j = json_object();

		policy_route_view(p, i, t, str_z(e->calling), str_z(e->called), r->view.now_us, &v);
		all = v.from_matches && v.calling_matches && v.called_matches && v.hours_match;
		json_object_set_new(j, "name", print_json(v.name));
		json_object_set_new(j, "matches", json_boolean(all));
		json_object_set_new(j, "why",
		    json_string(!v.from_matches      ? "is for calls of another trunk"
				: !v.calling_matches ? "calling number does not match"
				: !v.called_matches  ? "called number does not match"
				: !v.hours_match     ? "not at this time"
				: v.deny             ? "denies the call"
						     : "all conditions hold"));
		json_array_append_new(rows, j);
	}
	ctl_set(r, "calling", print_jsonz(e->calling));
	ctl_set(r, "called", print_jsonz(e->called));
	ctl_set(r, "route", print_json(e->route.route));
	ctl_set(r, "reason", view_code(e->reason));
	ctl_say(r, "%s -> %s\n", e->calling, e->called);
	if (e->number)
		ctl_say(r, "the called number is in the table: numbers come before routes\n");
	ctl_table(r, "routes", rows, cols, ARRAY_LEN(cols), "no routes");
	if (e->reason == REASON_NONE)
		ctl_say(r, "taken: %.*s\n", STR(e->route.route));
	else
		ctl_fail(r, e->reason, NULL, "the call would be refused: %s", reason_info(e->reason)->text);
	free(e);
	ctl_end(r);
}

/* The trunk named, or the one that address belongs to. */
static const struct pol_trunk *find_source(struct ctl_req *r, struct text *match)
{
	const char *name = ctl_arg(r, "TRUNK"), *realm = ctl_arg(r, "--realm");
	const struct policy *p = b2b_policy(r->be->b2b);
	struct net_path path = {.proto = NET_UDP};
	const struct pol_trunk *t = NULL;
	char at[ADDR_TEXT_MAX];

	if (addr_parse(str_z(name), 5060, &path.remote) < 0) {
		t = ctl_trunk(r, name);
		if (t)
			text_fmt(match, "trunk %s (named)", name);
		return t;
	}
	for (unsigned i = 0; i < policy_realm_count(p) && !t; i++) {
		const struct pol_realm *pr = policy_realm(p, i);

		if (realm && !str_eq(pr->name, str_z(realm)))
			continue;
		path.realm = (uint8_t)i;
		for (int proto = NET_UDP; proto <= NET_TLS && !t; proto++) {
			path.proto = (uint8_t)proto;
			t = policy_identify(p, &path, NULL);
		}
		if (t)
			text_fmt(match, "realm %.*s %s -> trunk %.*s (address)", STR(pr->name),
			    addr_text(&path.remote, at), STR(t->name));
	}
	if (!t)
		ctl_refuse(r, REASON_NO_TRUNK, NULL, "%s is no trunk%s%s", addr_text(&path.remote, at),
		    realm ? " in realm " : "", realm ? realm : "");
	return t;
}

/* the places of one hop */
static json_t *put_ways(struct ctl_req *r, const struct b2b_explain *e, unsigned hop)
{
	json_t *ways = json_array();

	for (unsigned i = 0; i < e->n_ways; i++) {
		const struct b2b_explain_way *w = &e->ways[i];
		char code[REASON_CODE_MAX], at[ADDR_TEXT_MAX];
		struct text t = {0};
		json_t *j, *place;

		if (w->hop != hop)
			continue;
		j = json_object();
		place = addr_none(&w->addr) ? json_null() : view_peer(w->proto, &w->addr);
		if (json_is_null(place))
			text_lit(&t, "leads nowhere");
		else
			text_fmt(&t, "%s %s", w->server, json_string_value(place));
		if (!addr_none(&w->alt))
			text_fmt(&t, " or %s", addr_text(&w->alt, at));
		if (!addr_none(&w->addr))
			text_fmt(&t, " (%s)", target_state_names[w->state]);
		if (w->why != REASON_NONE)
			text_fmt(&t, ": %s %s", reason_code(w->why, code), reason_info(w->why)->text);
		ctl_say_wrapped(r, "", text_z(&t));
		text_fini(&t);
		json_object_set_new(j, "server", print_jsonz(w->server));
		json_object_set_new(j, "place", place);
		json_object_set_new(j, "raced_with", addr_none(&w->alt) ? json_null() : view_peer(w->proto, &w->alt));
		json_object_set_new(j, "state", json_string(target_state_names[w->state]));
		json_object_set_new(j, "reason", view_code(w->why));
		json_array_append_new(ways, j);
	}
	return ways;
}

static void put_hops(struct ctl_req *r, const struct b2b_explain *e)
{
	json_t *hops = json_array();

	for (unsigned i = 0; i < e->route.n_hops; i++) {
		const struct pol_hop *hop = &e->route.hops[i];
		json_t *j = json_object();
		int level;

		ctl_say(r, "%s[%u] %.*s %.*s (%s)\n", i ? "         " : "route    ", i + 1, STR(hop->trunk->name),
		    STR(hop->target->host), view_trunk_state(r->be, hop->trunk, &level));
		json_object_set_new(j, "trunk", print_json(hop->trunk->name));
		json_object_set_new(j, "host", print_json(hop->target->host));
		json_object_set_new(j, "ways", put_ways(r, e, i));
		json_array_append_new(hops, j);
	}
	ctl_set(r, "hops", hops);
}

static void put_message(struct ctl_req *r, const struct b2b_explain *e)
{
	struct str rest = str_z(e->message), line;

	ctl_set(r, "message", print_jsonz(e->message));
	if (!ctl_flag(r, "--message")) {
		struct str first;

		str_cut(rest, '\r', &first);
		ctl_say(r, "sent     %.*s   (%zu bytes before the session description; --message shows it)\n", STR(first),
		    strlen(e->message));
		return;
	}
	ctl_say(r, "message\n");
	while (!str_empty(rest)) {
		rest = str_cut(rest, '\n', &line);
		ctl_say(r, "    %.*s\n", STR(str_trim(line)));
	}
}

static void explain(struct ctl_req *r, enum pol_role role)
{
	struct text match = {0};
	const struct pol_trunk *t = find_source(r, &match), *owner;
	struct b2b_trunk_info info;
	struct b2b_explain *e;

	if (!t) {
		text_fini(&match);
		return;
	}
	e = malloc(sizeof(*e));
	if (!e) {
		text_fini(&match);
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	b2b_explain(r->be->b2b, t, ctl_arg_str(r, "CALLING"), ctl_arg_str(r, "CALLED"), e);
	b2b_trunk_info(r->be->b2b, t->id, &info);
	owner = e->number ? policy_trunk(b2b_policy(r->be->b2b), e->number->trunk_id) : NULL;
	ctl_set(r, "trunk", print_json(t->name));
	ctl_set(r, "calling", print_jsonz(e->calling));
	ctl_set(r, "called", print_jsonz(e->called));
	ctl_set(r, "number_of", owner ? print_json(owner->name) : json_null());
	ctl_set(r, "route", print_json(e->route.route));
	ctl_set(r, "reason", view_code(e->reason));
	ctl_say(r, "match    %s\n", text_z(&match));
	if (t->role != role)
		ctl_say(r, "         it is a %s trunk: this is a call %s\n", t->role == POL_PBX ? "pbx" : "itsp",
		    t->role == POL_PBX ? "out" : "in");
	ctl_say(r, "number   calling %s -> %s, called %s -> %s\n", ctl_arg(r, "CALLING"), e->calling,
	    ctl_arg(r, "CALLED"), e->called);
	if (owner)
		ctl_say(r, "         called number belongs to %.*s, range %.*s..%.*s\n", STR(owner->name),
		    STR(e->number->first), STR(e->number->last));
	ctl_say(r, "limits   %.*s has %u call%s", STR(t->name), info.calls, info.calls == 1 ? "" : "s");
	if (t->max_calls)
		ctl_say(r, " of %u", t->max_calls);
	ctl_say(r, ", %u begun in this second", info.starts_last_s);
	if (t->max_cps)
		ctl_say(r, " of %u", t->max_cps);
	ctl_say(r, "\n");
	if (!str_empty(e->route.route))
		ctl_say(r, "rule     %.*s\n", STR(e->route.route));
	put_hops(r, e);
	if (e->reason == REASON_NONE) {
		put_message(r, e);
		ctl_say(r, "result   the call would be placed\n");
	} else {
		char code[REASON_CODE_MAX];

		ctl_say(r, "result   refused with %u: %s\n", reason_info(e->reason)->sip, reason_code(e->reason, code));
		ctl_fail(r, e->reason, NULL, "the call would be refused: %s", reason_info(e->reason)->text);
	}
	free(e);
	text_fini(&match);
	ctl_end(r);
}

void cmd_explain_in(struct ctl_req *r)
{
	explain(r, POL_ITSP);
}

void cmd_explain_out(struct ctl_req *r)
{
	explain(r, POL_PBX);
}
