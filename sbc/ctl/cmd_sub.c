/* cmd_sub.c - subscriptions, and what a provider's registration events say of our numbers. */
#include "sbc/ctl/view.h"
#include "sbc/dialog/subscription.h"
#include "sbc/reg/regevent.h"
#include "sbc/reg/regwatch.h"

#define COMPARED_MAX 20000u /* numbers that are looked at: this is the signalling thread */

static json_t *what_of(const struct ctl_req *r, const struct sub_view *v)
{
	const struct policy *p = b2b_policy(r->be->b2b);
	const struct pol_trunk *owner;
	struct str number;
	char text[128];
	uint32_t id;
	struct buf b;

	if (!r->be->reg_events || !reg_events_view(r->be->reg_events, v, &id, &number))
		return json_null();
	owner = policy_trunk(p, id);
	buf_init(&b, text, sizeof(text));
	if (number.n)
		buf_fmt(&b, "%.*s", STR(number));
	else
		buf_fmt(&b, "trunk %.*s", STR(owner ? str_head(owner->name, 40) : S("-")));
	return print_json(buf_text(&b));
}

static json_t *sub_json(struct ctl_req *r, const struct sub_view *v)
{
	const struct pol_trunk *t = policy_trunk(b2b_policy(r->be->b2b), v->trunk_id);
	json_t *j = json_object();

	json_object_set_new(j, "trunk", t ? print_json(t->name) : json_null());
	json_object_set_new(j, "role", json_string(v->role == SUB_NOTIFIER ? "watches us" : "watched by us"));
	json_object_set_new(j, "event", print_json(v->event.package));
	json_object_set_new(j, "what", what_of(r, v));
	json_object_set_new(j, "state", json_string(sub_state_names[v->state]));
	json_object_set_new(j, "expires_ms",
	    v->expires_us ? json_integer((v->expires_us - r->be->env->clock->mono_us) / 1000) : json_null());
	json_object_set_new(j, "notifies", json_integer(v->notifies));
	json_object_set_new(j, "peer", view_peer(v->path.proto, &v->path.remote));
	json_object_set_new(j, "since_us", json_integer(v->since_wall_us));
	json_object_set_new(j, "call_id", print_json(v->call_id));
	return j;
}

void cmd_subscription_list(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"trunk", "TRUNK", PK_TEXT, 0},
	    {"role", "ROLE", PK_TEXT, 0},
	    {"event", "EVENT", PK_TEXT, 0},
	    {"what", "WHAT", PK_TEXT, 0},
	    {"state", "STATE", PK_TEXT, 0},
	    {"expires_ms", "EXPIRES", PK_MS, 0},
	    {"notifies", "NOTIFYS", PK_NUM, 1},
	    {"peer", "PEER", PK_TEXT, 2},
	    {"since_us", "SINCE", PK_WHEN, 3},
	};
	const char *name = ctl_arg(r, "TRUNK");
	const struct pol_trunk *only = name ? ctl_trunk(r, name) : NULL;
	uint32_t max = ctl_uint(r, "--lines", 200);
	unsigned n = 0;
	json_t *rows;

	if (name && !only)
		return;
	rows = json_array();
	for (struct sub *s = r->be->subs ? subs_walk(r->be->subs, NULL) : NULL; s; s = subs_walk(r->be->subs, s)) {
		struct sub_view v;

		sub_view(s, &v);
		if ((!only || v.trunk_id == only->id) && n++ < max)
			json_array_append_new(rows, sub_json(r, &v));
	}
	ctl_set(r, "total", json_integer(n));
	ctl_table(r, "subscriptions", rows, cols, ARRAY_LEN(cols), "no subscriptions");
	if (n > max)
		ctl_say(r, "%u of %u are shown: --lines N\n", max, n);
	ctl_end(r);
}

/* ------------------------------------------------------------------ reg numbers */

static void add_row(json_t *rows, struct str number, const struct pol_trunk *owner, const char *what)
{
	json_t *j = json_object();

	json_object_set_new(j, "number", print_json(number));
	json_object_set_new(j, "trunk", owner ? print_json(owner->name) : json_null());
	json_object_set_new(j, "what", json_string(what));
	json_array_append_new(rows, j);
}

struct compare {
	const struct reg_watches *ws;
	uint32_t trunk_id;
	json_t *rows;
	uint32_t max, looked;
	unsigned missing, surplus;
};

static void compare_range(struct compare *c, const struct pol_trunk *owner, const struct pol_number *range)
{
	struct str number;
	char text[32];

	memcpy(text, range->first.p, range->first.n);
	for (;; c->looked++) {
		number = str_n(text, range->first.n);
		if (c->looked >= COMPARED_MAX)
			return;
		if (!reg_watch_confirms(c->ws, c->trunk_id, number) && c->missing++ < c->max)
			add_row(c->rows, number, owner, "not confirmed");
		if (str_eq(number, range->last))
			break;
		for (size_t i = number.n - 1; i > 0; i--) { /* the next one */
			if (text[i] != '9') {
				text[i]++;
				break;
			}
			text[i] = '0';
		}
	}
	c->looked++;
}

void cmd_reg_numbers(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"number", "NUMBER", PK_TEXT, 0},
	    {"trunk", "TRUNK", PK_TEXT, 0},
	    {"what", "WHAT", PK_TEXT, 0},
	};
	const struct policy *p = b2b_policy(r->be->b2b);
	const struct pol_trunk *t = ctl_trunk(r, ctl_arg(r, "TRUNK"));
	struct compare c = {.ws = r->be->reg_watches, .max = ctl_uint(r, "--lines", 50)};
	struct reg_watch_view v;
	const void *at = NULL;
	struct str number;

	if (!t)
		return;
	if (t->role == POL_ITSP && t->reg.auth == POL_AUTH_NUMBERS && r->be->clients) {
		view_reg_numbers(r, t);
		return;
	}
	if (!c.ws || !reg_watch_view(c.ws, t->id, &v) || v.state != REG_WATCH_SEES) {
		ctl_refuse(r, REASON_NO_SUCH, "postern trunk set NAME reg-event=on; postern reg show NAME says how that stands",
		    "trunk '%.*s' has no registration events now", STR(t->name));
		return;
	}
	c.trunk_id = t->id;
	c.rows = json_array();
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *owner = policy_trunk_at(p, i);

		if (owner->role != POL_PBX)
			continue;
		for (const struct pol_number *n = policy_numbers_next(p, owner, NULL); n; n = policy_numbers_next(p, owner, n))
			compare_range(&c, owner, n);
	}
	while (reg_watch_number(c.ws, t->id, &at, &number))
		if (!policy_number(p, number) && !str_eq(number, t->reg.user) && c.surplus++ < c.max)
			add_row(c.rows, number, NULL, "confirmed, and nobody's here");
	ctl_set(r, "confirmed", json_integer(v.confirmed));
	ctl_set(r, "missing", json_integer(c.missing));
	ctl_set(r, "surplus", json_integer(c.surplus));
	ctl_table(r, "numbers", c.rows, cols, ARRAY_LEN(cols), "the provider has all numbers that stand here, and no others");
	if (c.looked >= COMPARED_MAX)
		ctl_say(r, "only the first %u numbers were compared\n", COMPARED_MAX);
	if (c.missing)
		ctl_finding(r, 1, "reg", "ask the provider", "%u number%s of ours the provider does not have for this registration",
		    c.missing, c.missing == 1 ? "" : "s");
	if (c.surplus)
		ctl_finding(r, 1, "reg", "postern number add NUMBER TRUNK", "%u number%s of the provider's belong%s to nobody here",
		    c.surplus, c.surplus == 1 ? "" : "s", c.surplus == 1 ? "s" : "");
	ctl_end(r);
}
