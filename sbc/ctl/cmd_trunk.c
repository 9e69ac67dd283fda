/* cmd_trunk.c - trunks: looking, changing, and why one is as it is.
 *
 * Settings are those of sbc/policy/trunk_keys.c; nothing here knows one by name. A change loads the row, edits a
 * draft, puts it back, and says per setting what it was and what it is.
 */
#include <stdlib.h>

#include "sbc/ctl/view.h"
#include "sbc/net/netio.h"
#include "sbc/policy/trunk_keys.h"
#include "sbc/target/target.h"

json_t *view_code(enum reason r)
{
	char code[REASON_CODE_MAX];

	return json_string(reason_code(r, code));
}

json_t *view_peer(uint8_t proto, const struct addr *a)
{
	char text[ADDR_TEXT_MAX + 8];
	struct str name = net_proto_name((enum net_proto)proto);
	struct buf b;

	buf_init(&b, text, sizeof(text));
	for (size_t i = 0; i < name.n; i++)
		buf_chr(&b, chr_lower(name.p[i]));
	buf_chr(&b, ' ');
	if (!addr_none(a))
		addr_put(&b, a);
	else
		buf_chr(&b, '-');
	return print_json(buf_text(&b));
}

/* Nearest trunk name as a hint. */
static const char *near_trunk(const struct policy *p, const char *name, char hint[120])
{
	struct str best = STR_NONE;
	unsigned best_d = 4;
	struct buf b;

	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		struct str n = policy_trunk_at(p, i)->name;
		unsigned d = str_distance(str_z(name), n, 3);

		if (d > 2 && strlen(name) >= 3 && str_prefix(n, str_z(name)))
			d = 2;
		if (d < best_d && d < strlen(name)) {
			best_d = d;
			best = n;
		}
	}
	buf_init(&b, hint, 120);
	if (!str_empty(best))
		buf_fmt(&b, "did you mean '%.*s'? ", STR(best));
	buf_lit(&b, "postern trunk list shows all");
	return buf_z(&b);
}

const struct pol_trunk *ctl_trunk(struct ctl_req *r, const char *name)
{
	const struct policy *p = b2b_policy(r->be->b2b);
	const struct pol_trunk *t = policy_trunk_named(p, str_z(name));
	char hint[120];

	if (!t)
		ctl_refuse(r, REASON_NO_SUCH, near_trunk(p, name, hint), "no trunk '%s'", name);
	return t;
}

/* -------------------------------------------------------------------- looking */

void cmd_trunk_list(struct ctl_req *r)
{
	json_t *rows = view_trunks(r->be, b2b_policy(r->be->b2b), ctl_arg(r, "--realm"));
	size_t i;
	json_t *t;

	json_array_foreach(rows, i, t) {
		int level = (int)json_integer_value(json_object_get(t, "level"));

		if (level > r->code)
			r->code = level;
	}
	ctl_table(r, "trunks", rows, view_trunk_cols, VIEW_TRUNK_COLS,
	    ctl_arg(r, "--realm") ? "no trunk is in this realm"
				  : "no trunks yet: postern trunk add NAME role=itsp realm=REALM target=ADDRESS");
	ctl_end(r);
}

static enum reason settings_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_rows *rows = NULL;
	enum reason why = db_load(h, &rows, err);
	const struct db_trunk *t;
	char value[4096];
	struct buf b;

	if (why != REASON_NONE)
		return why;
	t = db_rows_trunk_named(rows, ctl_arg_str(r, "TRUNK"));
	r->made = json_array();
	for (unsigned i = 0; t && i < trunk_keys_n; i++) {
		bool is_default = false;
		json_t *j;

		buf_init(&b, value, sizeof(value));
		trunk_key_value(t, &trunk_keys[i], &b, &is_default);
		j = json_object();
		json_object_set_new(j, "key", json_string(trunk_keys[i].name));
		json_object_set_new(j, "value", print_json(buf_text(&b)));
		json_object_set_new(j, "default", json_boolean(is_default));
		json_object_set_new(j, "help", print_jsonz(trunk_keys[i].help));
		json_array_append_new(r->made, j);
	}
	db_rows_free(rows);
	return REASON_NONE;
}

/* "for 12 s", "27 s ago" */
static void put_since(json_t *j, const struct target_addr_view *a, int64_t now_us)
{
	struct text t = {0};

	if (!a->since_us)
		return;
	print_ago(&t, now_us - a->since_us);
	json_object_set_new(j, "since", print_json(text_get(&t)));
	json_object_set_new(j, "since_s", json_integer((now_us - a->since_us) / 1000000));
	text_fini(&t);
}

/* What TLS had against the far end the last time: both names, the issuer, the alert. NULL: nothing, or it is well now. */
static const char *tls_failure(const struct ctl_backend *be, const struct target_addr_view *a)
{
	int64_t when;

	return be->net && a->path.proto == NET_TLS && a->path.peer && a->state != TARGET_UP
		   ? netio_peer_error(be->net, a->path.peer, &when)
		   : NULL;
}

static json_t *way_json(const struct ctl_backend *be, const struct target_view *v, const struct target_addr_view *a)
{
	int64_t now = be->env->clock->mono_us;
	json_t *j = json_object();
	struct text note = {0};
	char code[REASON_CODE_MAX];

	json_object_set_new(j, "host", print_json(v->target->host));
	json_object_set_new(j, "server", print_json(str_empty(a->server) ? v->target->host : a->server));
	json_object_set_new(j, "address", view_peer(a->path.proto, &a->path.remote));
	json_object_set_new(j, "priority", json_integer(v->target->priority));
	json_object_set_new(j, "weight", json_integer(v->target->weight));
	json_object_set_new(j, "state", json_string(target_state_names[a->state]));
	put_since(j, a, now);
	if (a->rtt_us)
		json_object_set_new(j, "rtt_us", json_integer(a->rtt_us));
	json_object_set_new(j, "ok", json_integer(a->ok));
	json_object_set_new(j, "failed", json_integer(a->failed));
	if (a->last_status)
		json_object_set_new(j, "last_status", json_integer(a->last_status));
	if (a->state == TARGET_DOWN) {
		json_object_set_new(j, "reason", view_code(a->reason));
		text_fmt(&note, "%s %s", reason_code(a->reason, code), reason_info(a->reason)->text);
		if (a->down_until_us > now) {
			text_lit(&note, ", rests for ");
			print_ago(&note, a->down_until_us - now);
		}
	}
	if (tls_failure(be, a)) {
		json_object_set_new(j, "tls_failure", print_jsonz(tls_failure(be, a)));
		text_fmt(&note, "%s%s", note.n ? ": " : "", tls_failure(be, a));
	}
	json_object_set_new(j, "note", print_json(text_get(&note)));
	json_object_set_new(j, "level", json_integer(a->state == TARGET_DOWN ? 2 : 0));
	text_fini(&note);
	return j;
}

/* a target that leads nowhere */
static json_t *nowhere_json(const struct target_view *v)
{
	enum reason why = v->plan->reason != REASON_NONE ? v->plan->reason : REASON_NAME_UNRESOLVED;
	json_t *j = json_object();

	json_object_set_new(j, "host", print_json(v->target->host));
	json_object_set_new(j, "priority", json_integer(v->target->priority));
	json_object_set_new(j, "weight", json_integer(v->target->weight));
	json_object_set_new(j, "state", json_string(locate_state_names[v->plan->state]));
	json_object_set_new(j, "reason", view_code(why));
	json_object_set_new(j, "note",
	    json_string(v->plan->state == LOCATE_PENDING ? "the DNS has not answered yet" : reason_info(why)->text));
	json_object_set_new(j, "level", json_integer(2));
	return j;
}

static json_t *ways_json(const struct ctl_backend *be, const struct pol_trunk *t)
{
	struct targets *ts = b2b_targets(be->b2b);
	json_t *rows = json_array();
	struct target_addr_view a;
	struct target_view v;

	for (unsigned i = 0; targets_view(ts, t->id, i, &v); i++) {
		unsigned n = 0;

		for (; targets_addr_view(ts, t->id, i, n, &a); n++)
			json_array_append_new(rows, way_json(be, &v, &a));
		if (n == 0)
			json_array_append_new(rows, nowhere_json(&v));
	}
	return rows;
}

/* how each name was located */
static json_t *plans_json(struct ctl_req *r, const struct pol_trunk *t)
{
	struct targets *ts = b2b_targets(r->be->b2b);
	json_t *rows = json_array();
	struct target_view v;

	for (unsigned i = 0; targets_view(ts, t->id, i, &v); i++) {
		struct text head = {0};
		json_t *j;

		if (v.plan->fresh_until_us == INT64_MAX) /* an address */
			continue;
		view_plan_head(&head, v.plan, r->be->env->clock->mono_us);
		j = json_object();
		json_object_set_new(j, "name", print_json(v.target->host));
		json_object_set_new(j, "state", json_string(locate_state_names[v.plan->state]));
		json_object_set_new(j, "plan", print_json(text_get(&head)));
		json_array_append_new(rows, j);
		text_fini(&head);
	}
	return rows;
}

static void trunk_show_loaded(struct ctl_req *r)
{
	static const struct print_col head[] = {
	    {"name", "trunk", PK_TEXT, 0},
	    {"state", "state", PK_TEXT, 0},
	    {"role", "role", PK_TEXT, 0},
	    {"realm", "realm", PK_TEXT, 0},
	    {"calls", "calls now", PK_NUM, 0},
	    {"calls_in", "calls in", PK_NUM, 0},
	    {"calls_out", "calls out", PK_NUM, 0},
	    {"answered", "answered", PK_NUM, 0},
	    {"failed", "failed", PK_NUM, 0},
	    {"asr", "answered %", PK_PCT, 0},
	    {"note", "note", PK_TEXT, 0},
	};
	static const struct print_col targets[] = {
	    {"host", "TARGET", PK_TEXT, 2},
	    {"server", "SERVER", PK_TEXT, 1},
	    {"address", "ADDRESS", PK_TEXT, 0},
	    {"priority", "PRIO", PK_NUM, 3},
	    {"weight", "WEIGHT", PK_NUM, 4},
	    {"state", "STATE", PK_TEXT, 0},
	    {"since", "SINCE", PK_TEXT, 0},
	    {"rtt_us", "RTT", PK_US, 3},
	    {"ok", "OK", PK_NUM, 5},
	    {"failed", "FAILED", PK_NUM, 5},
	    {"note", "NOTE", PK_TEXT, 0},
	};
	static const struct print_col plans[] = {
	    {"name", "NAME", PK_TEXT, 0},
	    {"state", "DNS", PK_TEXT, 0},
	    {"plan", "LOCATED BY", PK_TEXT, 0},
	};
	static const struct print_col settings[] = {
	    {"key", "SETTING", PK_TEXT, 0},
	    {"value", "VALUE", PK_TEXT, 0},
	};
	static const struct print_col all[] = {
	    {"key", "SETTING", PK_TEXT, 0},
	    {"value", "VALUE", PK_TEXT, 0},
	    {"default", "DEFAULT", PK_TEXT, 0},
	    {"help", "MEANING", PK_TEXT, 1},
	};
	const struct pol_trunk *t = policy_trunk_named(b2b_policy(r->be->b2b), ctl_arg_str(r, "TRUNK"));
	json_t *set = json_array(), *names, *e;
	size_t i;

	if (!t) {
		json_decref(set);
		ctl_trunk(r, ctl_arg(r, "TRUNK"));
		return;
	}
	json_array_foreach(r->made, i, e)
		if (ctl_flag(r, "--all") || !json_is_true(json_object_get(e, "default")))
			json_array_append(set, e);
	ctl_set(r, "trunk", view_trunk(r->be, b2b_policy(r->be->b2b), t));
	ctl_block(r, "trunk", head, ARRAY_LEN(head));
	ctl_say(r, "\n");
	ctl_table(r, "targets", ways_json(r->be, t), targets, ARRAY_LEN(targets), NULL);
	names = plans_json(r, t);
	if (json_array_size(names))
		ctl_say(r, "\n");
	ctl_table(r, "names", names, plans, ARRAY_LEN(plans), NULL);
	ctl_say(r, "\n");
	if (ctl_flag(r, "--all"))
		ctl_table(r, "settings", set, all, ARRAY_LEN(all), NULL);
	else
		ctl_table(r, "settings", set, settings, ARRAY_LEN(settings), NULL);
	if (!ctl_flag(r, "--all"))
		ctl_say(r, "all else has its default: postern trunk show %s --all\n", ctl_arg(r, "TRUNK"));
	ctl_end(r);
}

void cmd_trunk_show(struct ctl_req *r)
{
	if (ctl_trunk(r, ctl_arg(r, "TRUNK")))
		ctl_read(r, settings_load, trunk_show_loaded);
}

/* Does all its signalling go over TLS, as far as its settings say? */
static bool signals_by_tls(const struct pol_trunk *t)
{
	if (t->transport != POL_TRANSPORT_AUTO || t->n_targets == 0)
		return t->transport == POL_TRANSPORT_TLS || t->source.transport == POL_SOURCE_TLS;
	for (unsigned i = 0; i < t->n_targets; i++)
		if (t->targets[i].proto != NET_TLS)
			return false;
	return true;
}

/* What keys of SRTP and the signalling of a trunk do to each other; NULL: nothing to say. */
static const char *srtp_doubt(const struct pol_trunk *t, const char **ret_todo)
{
	if (t->media.srtp == MEDIA_SRTP_OFF || signals_by_tls(t))
		return NULL;
	*ret_todo = "postern trunk set NAME transport=tls";
	if (t->media.srtp == MEDIA_SRTP_DTLS)
		return "srtp=dtls, and its signalling is not TLS: who can change it on the way can take the far end's place";
	if (t->media.srtp_clear)
		return "keys of its SRTP cross signalling that is not TLS: who can read it can listen (srtp-clear=yes)";
	*ret_todo = "postern trunk set NAME transport=tls, or srtp-clear=yes where nobody else can read the network";
	return t->media.srtp == MEDIA_SRTP_REQUIRED
	           ? "srtp=required, but keys are sent over TLS only: its calls over UDP and TCP are refused (PSN-E3014)"
	           : "srtp=preferred, but keys of SDES are sent over TLS only: over UDP and TCP its calls have DTLS, or stay in clear";
}

static void warn_srtp(struct ctl_req *r, const struct pol_trunk *t)
{
	const char *todo, *doubt = t ? srtp_doubt(t, &todo) : NULL;

	if (doubt)
		ctl_finding(r, 1, "srtp", todo, "%s", doubt);
}

/* -------------------------------------------------------------------- changing */

/* A line per setting that differs. */
static void note_diff(struct ctl_req *r, const struct db_trunk *was, const struct db_trunk *is)
{
	char a[4096], b[4096];
	struct buf ba, bb;

	for (unsigned i = 0; i < trunk_keys_n; i++) {
		buf_init(&ba, a, sizeof(a));
		buf_init(&bb, b, sizeof(b));
		if (was)
			trunk_key_value(was, &trunk_keys[i], &ba, NULL);
		trunk_key_value(is, &trunk_keys[i], &bb, NULL);
		if (!was || str_eq(buf_text(&ba), buf_text(&bb)))
			continue;
		text_fmt(&r->note, "%s: %.*s -> %.*s\n", trunk_keys[i].name, STR(ba.n ? buf_text(&ba) : S("(empty)")),
		    STR(bb.n ? buf_text(&bb) : S("(empty)")));
	}
}

/* "max-calls 30" typed as two words means max-calls=30. */
static enum reason edit(struct ctl_req *r, struct trunk_draft *d, struct db_err *err)
{
	const char *first = ctl_value_at(&r->args, "KEY=VALUE", 0), *second = ctl_value_at(&r->args, "KEY=VALUE", 1);
	enum reason why = REASON_NONE;

	if (first && second && !ctl_value_at(&r->args, "KEY=VALUE", 2) && !strchr(first, '=') && !strchr(second, '='))
		return trunk_draft_edit(d, str_z(first), '=', str_z(second), err);
	for (unsigned i = 0; why == REASON_NONE && (first = ctl_value_at(&r->args, "KEY=VALUE", i)); i++)
		why = trunk_draft_assign(d, str_z(first), err);
	for (unsigned i = 0; why == REASON_NONE && (first = ctl_value_at(&r->args, "KEY", i)); i++)
		why = trunk_draft_edit(d, str_z(first), '=', STR_NONE, err);
	return why;
}

static enum reason no_trunk(const struct db_rows *rows, struct str name, struct db_err *err)
{
	struct str best = STR_NONE;
	unsigned best_d = 4;
	char hint[120];
	struct buf b;

	for (unsigned i = 0; i < rows->n_trunks; i++) {
		unsigned d = str_distance(name, rows->trunks[i].name, 3);

		if (d < best_d && d < name.n) {
			best_d = d;
			best = rows->trunks[i].name;
		}
	}
	buf_init(&b, hint, sizeof(hint));
	if (!str_empty(best))
		buf_fmt(&b, "did you mean '%.*s'? ", STR(best));
	buf_lit(&b, "postern trunk list shows all");
	return db_fail(err, REASON_NO_SUCH, buf_z(&b), "no trunk '%.*s'", STR(name));
}

static enum reason trunk_edit(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_rows *rows = NULL;
	enum reason why = db_load(h, &rows, err);
	struct str name = ctl_arg_str(r, "TRUNK"), new_name = ctl_arg_str(r, "NEW");
	const struct db_trunk *was;
	struct trunk_draft *d = NULL;
	struct db_trunk row;

	if (why != REASON_NONE)
		return why;
	was = db_rows_trunk_named(rows, name);
	if (!was) {
		why = no_trunk(rows, name, err);
		goto out;
	}
	d = trunk_draft_new(was, name);
	if (!d) {
		why = db_fail(err, REASON_NO_MEMORY, "", "out of memory");
		goto out;
	}
	why = edit(r, d, err);
	if (why == REASON_NONE)
		why = trunk_draft_complete(d, err);
	if (why != REASON_NONE)
		goto out;
	row = *trunk_draft_row(d);
	note_diff(r, was, &row);
	if (new_name.n) {
		row.name = new_name;
		text_fmt(&r->note, "%.*s is now called %.*s\n", STR(name), STR(new_name));
	}
	why = db_trunk_put(h, &row, NULL, err);
out:
	trunk_draft_free(d);
	db_rows_free(rows);
	return why;
}

static void trunk_edited(struct ctl_req *r)
{
	if (r->note.n == 0)
		ctl_say(r, "nothing changed: it was so already\n");
	warn_srtp(r, policy_trunk_named(b2b_policy(r->be->b2b), ctl_arg_str(r, ctl_arg(r, "NEW") ? "NEW" : "TRUNK")));
	ctl_said(r);
}

static enum reason trunk_new(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct trunk_draft *d = trunk_draft_new(NULL, ctl_arg_str(r, "NAME"));
	enum reason why;

	if (!d)
		return db_fail(err, REASON_NO_MEMORY, "", "out of memory");
	why = edit(r, d, err);
	if (why == REASON_NONE)
		why = trunk_draft_complete(d, err);
	if (why == REASON_NONE)
		why = db_trunk_put(h, trunk_draft_row(d), NULL, err);
	trunk_draft_free(d);
	if (why == REASON_NONE)
		text_fmt(&r->note, "trunk %s added\n", ctl_arg(r, "NAME"));
	return why;
}

static void trunk_added(struct ctl_req *r)
{
	const char *name = ctl_arg(r, "NAME");
	const struct pol_trunk *t = policy_trunk_named(b2b_policy(r->be->b2b), str_z(name));

	ctl_say(r, "%s", text_z(&r->note));
	if (t && t->role == POL_PBX)
		ctl_say(r, "next: postern number add RANGE %s\n", name);
	else
		ctl_say(r, "next: postern route add NAME --to '*' --via %s\n", name);
	warn_srtp(r, t);
	ctl_end(r);
}

void cmd_trunk_add(struct ctl_req *r)
{
	ctl_change(r, false, trunk_new, trunk_added);
}

void cmd_trunk_set(struct ctl_req *r)
{
	ctl_change(r, false, trunk_edit, trunk_edited);
}

void cmd_trunk_unset(struct ctl_req *r)
{
	ctl_change(r, false, trunk_edit, trunk_edited);
}

void cmd_trunk_rename(struct ctl_req *r)
{
	ctl_change(r, false, trunk_edit, trunk_edited);
}

static enum reason set_admin(struct db_handle *h, struct ctl_req *r, struct db_err *err, enum db_admin admin)
{
	struct db_rows *rows = NULL;
	enum reason why = db_load(h, &rows, err);
	struct str name = ctl_arg_str(r, "TRUNK");
	const struct db_trunk *t;

	if (why != REASON_NONE)
		return why;
	t = db_rows_trunk_named(rows, name);
	if (!t) {
		why = no_trunk(rows, name, err);
	} else if (t->admin != admin) {
		text_fmt(&r->note, "trunk %.*s: %s -> %s\n", STR(name), db_admin_names[t->admin], db_admin_names[admin]);
		why = db_trunk_admin(h, name, admin, err);
	}
	db_rows_free(rows);
	return why;
}

static enum reason enable(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	return set_admin(h, r, err, DB_ENABLED);
}

static enum reason disable(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	return set_admin(h, r, err, DB_DISABLED);
}

static enum reason drain(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	return set_admin(h, r, err, DB_DRAINING);
}

static void admin_changed(struct ctl_req *r)
{
	const struct pol_trunk *t = policy_trunk_named(b2b_policy(r->be->b2b), ctl_arg_str(r, "TRUNK"));
	struct b2b_trunk_info info = {0};

	if (t)
		b2b_trunk_info(r->be->b2b, t->id, &info);
	ctl_set(r, "calls", json_integer(info.calls));
	if (r->note.n == 0)
		ctl_say(r, "nothing changed: it was so already\n");
	else
		ctl_say(r, "%s", text_z(&r->note));
	if (t && t->admin != POL_ENABLED && info.calls)
		ctl_say(r, "%u call%s go%s on; end them with: postern call clear --trunk %s\n", info.calls,
		    info.calls == 1 ? "" : "s", info.calls == 1 ? "es" : "", ctl_arg(r, "TRUNK"));
	ctl_end(r);
}

void cmd_trunk_enable(struct ctl_req *r)
{
	ctl_change(r, false, enable, admin_changed);
}

void cmd_trunk_disable(struct ctl_req *r)
{
	ctl_change(r, false, disable, admin_changed);
}

void cmd_trunk_drain(struct ctl_req *r)
{
	ctl_change(r, false, drain, admin_changed);
}

static enum reason trunk_remove(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_rows *rows = NULL;
	struct str name = ctl_arg_str(r, "TRUNK");
	enum reason why = db_load(h, &rows, err);

	if (why != REASON_NONE)
		return why;
	if (!db_rows_trunk_named(rows, name))
		why = no_trunk(rows, name, err);
	db_rows_free(rows);
	if (why == REASON_NONE)
		why = db_trunk_del(h, name, ctl_flag(r, "--with-numbers"), err);
	if (why == REASON_NONE)
		text_fmt(&r->note, "trunk %.*s deleted\n", STR(name));
	return why;
}

/* The swap of the policy has ended its calls (b2b_end_trunkless()): those it had when the command came. */
static void removed(struct ctl_req *r)
{
	unsigned calls = *(unsigned *)r->work;

	ctl_set(r, "calls_ended", json_integer(calls));
	if (calls)
		text_fmt(&r->note, "its %u call%s ended\n", calls, calls == 1 ? " was" : "s were");
	ctl_said(r);
}

void cmd_trunk_del(struct ctl_req *r)
{
	const struct pol_trunk *t = policy_trunk_named(b2b_policy(r->be->b2b), ctl_arg_str(r, "TRUNK"));
	struct b2b_trunk_info info = {0};
	unsigned *calls = malloc(sizeof(*calls));
	char todo[200];
	struct buf b;

	r->work = calls;
	if (!calls) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	if (t)
		b2b_trunk_info(r->be->b2b, t->id, &info);
	if (info.calls && !ctl_flag(r, "--force")) {
		buf_init(&b, todo, sizeof(todo));
		buf_fmt(&b, "postern trunk drain %.*s and wait, or delete it with --force", STR(t->name));
		ctl_refuse(r, REASON_IN_USE, buf_z(&b), "trunk '%.*s' has %u call%s, which would end", STR(t->name),
		    info.calls, info.calls == 1 ? "" : "s");
		return;
	}
	*calls = info.calls;
	ctl_change(r, false, trunk_remove, removed);
}

/* -------------------------------------------------------------------- why */

static unsigned failures(const struct ctl_backend *be, const struct pol_trunk *t, enum reason *ret_most,
    const struct call_record **ret_last, unsigned *ret_ended)
{
	unsigned count[REASON_COUNT] = {0}, n = 0;
	const struct call_record *e;

	*ret_most = REASON_NONE;
	*ret_last = NULL;
	*ret_ended = 0;
	for (unsigned i = 0; (e = b2b_ended(be->b2b, i)); i++) {
		if (e->trunk_a_id != t->id && e->trunk_b_id != t->id)
			continue;
		++*ret_ended;
		if (e->answer_us || e->reason == REASON_NONE || (unsigned)e->reason >= REASON_COUNT)
			continue;
		n++;
		if (++count[e->reason] > count[*ret_most] || *ret_most == REASON_NONE)
			*ret_most = e->reason;
		if (!*ret_last)
			*ret_last = e;
	}
	return n;
}

/* What each target and each address has to say. */
static void why_targets(struct ctl_req *r, const struct pol_trunk *t)
{
	struct targets *ts = b2b_targets(r->be->b2b);
	int64_t now = r->be->env->clock->mono_us;
	bool all = targets_trunk_state(ts, t->id, &(enum reason){REASON_NONE}) == TARGET_DOWN;
	char todo[120], at[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	struct target_addr_view a;
	struct target_view v;
	struct buf b;

	for (unsigned i = 0; targets_view(ts, t->id, i, &v); i++) {
		if (v.plan->state == LOCATE_STALE)
			ctl_finding(r, 1, "dns", "postern dns show", "target %.*s is located by old answers: the DNS servers fail",
			    STR(v.target->host));
		else if (v.plan->state != LOCATE_GOOD)
			ctl_finding(r, 2, "dns", v.plan->reason != REASON_NONE ? reason_info(v.plan->reason)->remedy : "wait",
			    "target %.*s leads nowhere: %s", STR(v.target->host),
			    v.plan->state == LOCATE_PENDING ? "the DNS has not answered yet"
							    : reason_info(v.plan->reason)->text);
		for (unsigned k = 0; targets_addr_view(ts, t->id, i, k, &a); k++) {
			struct text since = {0};

			if (a.state != TARGET_DOWN)
				continue;
			buf_init(&b, todo, sizeof(todo));
			buf_fmt(&b, "postern trunk test %.*s", STR(t->name));
			print_ago(&since, a.since_us ? now - a.since_us : 0);
			ctl_finding(r, all ? 2 : 1, "target", buf_z(&b), "%s is down for %s: %s %s%s%s",
			    addr_text(&a.path.remote, at), text_z(&since), reason_code(a.reason, code),
			    reason_info(a.reason)->text, tls_failure(r->be, &a) ? ": " : "",
			    tls_failure(r->be, &a) ? tls_failure(r->be, &a) : "");
			text_fini(&since);
		}
	}
}

void cmd_why_trunk(struct ctl_req *r)
{
	const struct ctl_backend *be = r->be;
	const struct pol_trunk *t = ctl_trunk(r, ctl_arg(r, "TRUNK"));
	const struct call_record *last;
	struct b2b_trunk_info info;
	enum reason most;
	unsigned n, ended;
	char todo[200], code[REASON_CODE_MAX], id[CALL_ID_TEXT];
	const char *state;
	struct buf b;
	int level;

	if (!t)
		return;
	state = view_trunk_state(be, t, &level);
	b2b_trunk_info(be->b2b, t->id, &info);
	ctl_set(r, "trunk", view_trunk(be, b2b_policy(be->b2b), t));
	ctl_say(r, "trunk %.*s is %s, %u call%s now\n", STR(t->name), state, info.calls, info.calls == 1 ? "" : "s");
	buf_init(&b, todo, sizeof(todo));
	buf_fmt(&b, "postern trunk enable %.*s", STR(t->name));
	if (t->admin != POL_ENABLED)
		ctl_finding(r, 1, "admin", buf_z(&b), "it was %s by an administrator (postern db history)",
		    t->admin == POL_DISABLED ? "disabled" : "set to drain");
	why_targets(r, t);
	if (t->n_targets == 0)
		ctl_finding(r, 2, "target", NULL, "it has no target: no call can be sent to it");
	if (t->max_calls && info.calls >= t->max_calls) {
		buf_init(&b, todo, sizeof(todo));
		buf_fmt(&b, "postern trunk set %.*s max-calls=N", STR(t->name));
		ctl_finding(r, 1, "limit", buf_z(&b), "all its %u calls are in use", t->max_calls);
	}
	if ((info.last_failure == REASON_PROOF_WRONG || info.last_failure == REASON_PROOF_MISSING) &&
	    be->env->clock->mono_us - info.last_failure_us < (int64_t)3600 * 1000000)
		ctl_finding(r, 1, "login", reason_info(info.last_failure)->remedy, "the last that was refused: %s: %s",
		    reason_code(info.last_failure, code), reason_info(info.last_failure)->text);
	warn_srtp(r, t);
	n = failures(be, t, &most, &last, &ended);
	if (n) {
		call_id_text(last->id, id);
		buf_init(&b, todo, sizeof(todo));
		buf_fmt(&b, "postern why call %s", id);
		ctl_finding(r, n * 2 > ended ? 2 : 1, "calls", buf_z(&b),
		    "%u of its last %u calls failed, most of them with %s: %s", n, ended, reason_code(most, code),
		    reason_info(most)->text);
	}
	if (r->code == 0)
		ctl_say(r, "nothing is wrong with it: %llu calls in, %llu out, %llu answered since the start\n",
		    (unsigned long long)info.calls_in, (unsigned long long)info.calls_out,
		    (unsigned long long)info.answered);
	ctl_end(r);
}
