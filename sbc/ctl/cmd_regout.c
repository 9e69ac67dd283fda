/* cmd_regout.c - what we register at providers: how it stands, doing it now, taking it back. */
#include "sbc/ctl/view.h"
#include "sbc/reg/client.h"
#include "sbc/reg/regwatch.h"

/* "registered", or why not: level 0 well, 1 look at it, 2 calls of the provider do not reach us */
static int level_of(const struct reg_client_view *v)
{
	switch (v->state) {
	case REG_CLIENT_IDLE:
		return 1;
	case REG_CLIENT_STOPPED:
	case REG_CLIENT_REMOVING:
		return 0;
	default:
		break;
	}
	if (v->why != REASON_NONE)
		return v->holds ? 1 : 2;
	return v->fallback ? 1 : 0;
}

static json_t *when_due(const struct ctl_req *r, int64_t mono_us)
{
	return mono_us ? json_integer((mono_us - r->be->env->clock->mono_us) / 1000) : json_null();
}

static void events_json(struct ctl_req *r, const struct pol_trunk *t, json_t *j)
{
	struct reg_watch_view v;

	if (!r->be->reg_watches || !reg_watch_view(r->be->reg_watches, t->id, &v))
		return;
	json_object_set_new(j, "events", json_string(reg_watch_state_names[v.state]));
	json_object_set_new(j, "events_status", v.status ? json_integer(v.status) : json_null());
	json_object_set_new(j, "events_heard_us", v.heard_wall_us ? json_integer(v.heard_wall_us) : json_null());
	json_object_set_new(j, "events_notifies", json_integer(v.notifies));
	json_object_set_new(j, "confirmed", v.notifies ? json_integer(v.confirmed) : json_null());
	json_object_set_new(j, "losses", json_integer(v.losses));
}

static json_t *out_json(struct ctl_req *r, const struct pol_trunk *t, const struct reg_client_view *v)
{
	json_t *j = json_object();

	json_object_set_new(j, "trunk", print_json(t->name));
	json_object_set_new(j, "state", json_string(reg_client_state_names[v->state]));
	json_object_set_new(j, "level", json_integer(level_of(v)));
	json_object_set_new(j, "holds", json_boolean(v->holds));
	json_object_set_new(j, "since_us", json_integer(v->since_wall_us));
	json_object_set_new(j, "kind", json_string(v->bulk ? "gin" : v->fallback ? "aor (gin refused)" : "aor"));
	json_object_set_new(j, "aor", v->aor.n ? print_json(v->aor) : json_null());
	json_object_set_new(j, "contact", v->contact.n ? print_json(v->contact) : json_null());
	json_object_set_new(j, "at", addr_none(&v->at.remote) ? json_null() : view_peer(v->at.proto, &v->at.remote));
	json_object_set_new(j, "registered_us", v->registered_wall_us ? json_integer(v->registered_wall_us) : json_null());
	json_object_set_new(j, "expires_ms", v->holds ? when_due(r, v->expires_us) : json_null());
	json_object_set_new(j, "next_ms", when_due(r, v->next_us));
	json_object_set_new(j, "asked_s", json_integer(v->asked_s));
	json_object_set_new(j, "granted_s", v->holds ? json_integer(v->granted_s) : json_null());
	json_object_set_new(j, "status", v->status ? json_integer(v->status) : json_null());
	json_object_set_new(j, "failures", json_integer(v->failures));
	json_object_set_new(j, "sent", json_integer((json_int_t)v->sent));
	json_object_set_new(j, "accepted", json_integer((json_int_t)v->accepted));
	json_object_set_new(j, "service_route", v->route.n ? print_json(v->route) : json_null());
	json_object_set_new(j, "call_id", print_json(v->call_id));
	json_object_set_new(j, "realm", v->realm.n ? print_json(v->realm) : json_null());
	json_object_set_new(j, "code", v->why != REASON_NONE ? view_code(v->why) : json_null());
	json_object_set_new(j, "why", v->why != REASON_NONE ? json_string(reason_info(v->why)->text) : json_null());
	events_json(r, t, j);
	return j;
}

static void finding(struct ctl_req *r, const struct pol_trunk *t, const struct reg_client_view *v)
{
	struct reg_watch_view events;
	int level = level_of(v);
	char todo[80];
	struct buf b;

	if (t->reg.event == POL_REG_EVENT_ON && v->holds && r->be->reg_watches &&
	    reg_watch_view(r->be->reg_watches, t->id, &events) && events.state == REG_WATCH_REFUSED) {
		buf_init(&b, todo, sizeof(todo) - 1);
		buf_fmt(&b, "postern trunk set %.*s reg-event=auto", STR(str_head(t->name, 31)));
		ctl_finding(r, 1, "reg", buf_z(&b), "trunk %.*s: %s", STR(t->name), reason_info(REASON_REG_EVENT_OFF)->text);
	}
	if (!level)
		return;
	buf_init(&b, todo, sizeof(todo) - 1);
	buf_fmt(&b, "postern reg show %.*s", STR(str_head(t->name, 40)));
	if (v->why != REASON_NONE)
		ctl_finding(r, level, "reg", buf_z(&b), "trunk %.*s %s: %s", STR(t->name),
		    v->holds ? "could not renew its registration" : "is not registered", reason_info(v->why)->text);
	else
		ctl_finding(r, level, "reg", buf_z(&b), "trunk %.*s: %s", STR(t->name), reason_info(REASON_REG_NO_GIN)->text);
}

void view_reg_findings(struct ctl_req *r)
{
	const struct policy *p = b2b_policy(r->be->b2b);
	struct reg_client_view v;

	for (unsigned i = 0; r->be->clients && i < policy_trunk_count(p); i++)
		if (reg_client_view(r->be->clients, policy_trunk_at(p, i)->id, &v))
			finding(r, policy_trunk_at(p, i), &v);
}

void cmd_reg_list(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"trunk", "TRUNK", PK_TEXT, 0},
	    {"state", "STATE", PK_TEXT, 0},
	    {"kind", "KIND", PK_TEXT, 3},
	    {"aor", "ADDRESS", PK_TEXT, 1},
	    {"at", "AT", PK_TEXT, 2},
	    {"expires_ms", "EXPIRES", PK_MS, 0},
	    {"next_ms", "NEXT", PK_MS, 0},
	    {"events", "EVENTS", PK_TEXT, 4},
	    {"why", "WHY", PK_TEXT, 0},
	};
	const struct policy *p = b2b_policy(r->be->b2b);
	struct reg_client_view v;
	json_t *rows = json_array();

	for (unsigned i = 0; r->be->clients && i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);

		if (reg_client_view(r->be->clients, t->id, &v))
			json_array_append_new(rows, out_json(r, t, &v));
	}
	ctl_table(r, "registrations", rows, cols, ARRAY_LEN(cols),
	    "we register nowhere; a trunk with role=itsp does when it has auth=register or auth=gin");
	view_reg_findings(r);
	ctl_end(r);
}

/* The trunk that registers at a provider, or NULL after the request was refused. */
static const struct pol_trunk *out_trunk(struct ctl_req *r, struct reg_client_view *ret)
{
	const struct pol_trunk *t = ctl_trunk(r, ctl_arg(r, "TRUNK"));

	if (!t)
		return NULL;
	if (r->be->clients && reg_client_view(r->be->clients, t->id, ret))
		return t;
	ctl_refuse(r, REASON_NO_SUCH, "a trunk with role=itsp and auth=register or auth=gin does; who registers with us: postern reg inside",
	    "trunk '%.*s' does not register at a provider", STR(t->name));
	return NULL;
}

void cmd_reg_show(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"trunk", "trunk", PK_TEXT, 0},
	    {"state", "state", PK_TEXT, 0},
	    {"since_us", "since", PK_WHEN, 0},
	    {"why", "why", PK_TEXT, 0},
	    {"code", "code", PK_TEXT, 0},
	    {"status", "last answer", PK_NUM, 0},
	    {"realm", "asks for realm", PK_TEXT, 0},
	    {"kind", "kind", PK_TEXT, 0},
	    {"aor", "address", PK_TEXT, 0},
	    {"contact", "contact", PK_TEXT, 0},
	    {"at", "at", PK_TEXT, 0},
	    {"registered_us", "registered", PK_WHEN, 0},
	    {"granted_s", "granted s", PK_NUM, 0},
	    {"expires_ms", "expires in", PK_MS, 0},
	    {"next_ms", "next in", PK_MS, 0},
	    {"failures", "failures", PK_NUM, 0},
	    {"sent", "sent", PK_NUM, 0},
	    {"accepted", "accepted", PK_NUM, 0},
	    {"events", "events", PK_TEXT, 0},
	    {"events_status", "events answer", PK_NUM, 0},
	    {"events_heard_us", "events heard", PK_WHEN, 0},
	    {"confirmed", "confirmed", PK_NUM, 0},
	    {"losses", "lost by them", PK_NUM, 0},
	    {"service_route", "service-route", PK_TEXT, 0},
	    {"call_id", "call-id", PK_TEXT, 0},
	};
	struct reg_client_view v;
	const struct pol_trunk *t = out_trunk(r, &v);

	if (!t)
		return;
	ctl_set(r, "registration", out_json(r, t, &v));
	ctl_block(r, "registration", cols, ARRAY_LEN(cols));
	if (v.why != REASON_NONE)
		ctl_say_wrapped(r, "do", reason_info(v.why)->remedy);
	finding(r, t, &v);
	ctl_end(r);
}

void cmd_trunk_register(struct ctl_req *r)
{
	struct reg_client_view v;
	const struct pol_trunk *t = out_trunk(r, &v);

	if (!t)
		return;
	if (v.state == REG_CLIENT_IDLE || t->admin == POL_DISABLED || !reg_client_register(r->be->clients, t->id)) {
		enum reason why = t->admin == POL_DISABLED ? REASON_TRUNK_DISABLED : REASON_REG_ACCOUNT;

		ctl_refuse(r, why, NULL, "trunk '%.*s' cannot register: %s", STR(t->name), reason_info(why)->text);
		return;
	}
	ctl_say(r, "trunk %.*s registers now: postern reg show %.*s\n", STR(t->name), STR(t->name));
	ctl_end(r);
}

void cmd_trunk_unregister(struct ctl_req *r)
{
	struct reg_client_view v;
	const struct pol_trunk *t = out_trunk(r, &v);

	if (!t)
		return;
	(void)reg_client_unregister(r->be->clients, t->id);
	ctl_say(r, "trunk %.*s takes its registration back and stays so until 'postern trunk register %.*s' or a restart\n",
	    STR(t->name), STR(t->name));
	ctl_end(r);
}
