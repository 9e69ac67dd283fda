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

/* By its registration events, or, when there are none, by what its 200 named as ours (P-Associated-URI). */
struct compare {
	const struct reg_watches *ws; /* NULL: no events */
	const struct reg_clients *clients;
	uint32_t trunk_id;
	json_t *rows;
	uint32_t max, looked;
	unsigned missing, confirmed, surplus;
};

static bool confirms(const struct compare *c, struct str number)
{
	if (c->ws)
		return reg_watch_confirms(c->ws, c->trunk_id, number);
	return reg_client_confirms(c->clients, c->trunk_id, number) != REG_CONFIRMED_NO;
}

static void compare_range(struct compare *c, const struct pol_trunk *owner, const struct pol_number *range)
{
	struct str number;
	char text[32];

	memcpy(text, range->first.p, range->first.n);
	for (;; c->looked++) {
		number = str_n(text, range->first.n);
		if (c->looked >= COMPARED_MAX)
			return;
		if (confirms(c, number))
			c->confirmed++;
		else if (c->missing++ < c->max)
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

/* Are the numbers of that PBX to be the provider's? Where nothing says so, all are. */
static bool expected(const struct pol_trunk *t, const struct pol_trunk *owner)
{
	if (owner->role != POL_PBX)
		return false;
	if (t->reg.n_numbers)
		return policy_registers_for(t, owner);
	return !t->link || t->link == owner;
}

/* false: the provider says nothing of numbers */
static bool compare_begin(struct ctl_req *r, const struct pol_trunk *t, uint32_t max, struct compare *ret)
{
	struct reg_watch_view v;
	struct str number;

	*ret = (struct compare){.clients = r->be->clients, .trunk_id = t->id, .max = max};
	if (r->be->reg_watches && reg_watch_view(r->be->reg_watches, t->id, &v) && v.state == REG_WATCH_SEES)
		ret->ws = r->be->reg_watches;
	return ret->ws || (ret->clients && reg_client_uri(ret->clients, t->id, 0, &number));
}

static void compare_all(const struct policy *p, const struct pol_trunk *t, struct compare *c)
{
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *owner = policy_trunk_at(p, i);

		if (!expected(t, owner))
			continue;
		for (const struct pol_number *n = policy_numbers_next(p, owner, NULL); n; n = policy_numbers_next(p, owner, n))
			compare_range(c, owner, n);
	}
}

void view_unconfirmed(struct ctl_req *r)
{
	const struct policy *p = b2b_policy(r->be->b2b);
	unsigned providers = 0;

	for (unsigned i = 0; i < policy_trunk_count(p); i++)
		providers += policy_trunk_at(p, i)->role == POL_ITSP;
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);
		struct compare c;
		char todo[80];
		struct buf b;

		if (t->role != POL_ITSP || !compare_begin(r, t, 1, &c))
			continue;
		if (providers > 1 && !t->reg.n_numbers && !t->link)
			continue; /* which numbers are whose is not said */
		c.rows = json_array();
		compare_all(p, t, &c);
		buf_init(&b, todo, sizeof(todo) - 1);
		buf_fmt(&b, "postern reg numbers %.*s", STR(str_head(t->name, 40)));
		/* one that names the pilot only says nothing of numbers */
		if (c.missing && c.confirmed)
			ctl_finding(r, 1, "number", buf_z(&b), "trunk %.*s: the provider did not confirm %u of %u numbers, %s the first",
			    STR(t->name), c.missing, c.missing + c.confirmed,
			    json_string_value(json_object_get(json_array_get(c.rows, 0), "number")));
		json_decref(c.rows);
	}
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
	struct compare c;
	const void *at = NULL;
	struct str number;
	unsigned n = 0;

	if (!t)
		return;
	if (t->role == POL_ITSP && t->reg.auth == POL_AUTH_NUMBERS && r->be->clients) {
		view_reg_numbers(r, t);
		return;
	}
	if (!compare_begin(r, t, ctl_uint(r, "--lines", 50), &c)) {
		ctl_refuse(r, REASON_NO_SUCH, "postern trunk set NAME reg-event=on; postern reg show NAME says how that stands",
		    "trunk '%.*s' has no registration events now, and its provider named no numbers (P-Associated-URI)", STR(t->name));
		return;
	}
	c.rows = json_array();
	compare_all(p, t, &c);
	while (c.ws ? reg_watch_number(c.ws, t->id, &at, &number) : reg_client_uri(c.clients, t->id, n++, &number))
		if (!policy_number(p, number) && !str_eq(number, t->reg.user) && c.surplus++ < c.max)
			add_row(c.rows, number, NULL, "confirmed, and nobody's here");
	ctl_set(r, "confirmed", json_integer(c.confirmed));
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
