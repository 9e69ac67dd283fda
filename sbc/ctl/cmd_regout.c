/* cmd_regout.c - what we register at providers: how it stands, doing it now, taking it back; flows (RFC 5626). */
#include "sbc/ctl/view.h"
#include "sbc/net/netio.h"
#include "sbc/reg/client.h"
#include "sbc/reg/reg.h"
#include "sbc/reg/regwatch.h"

/* "registered", or why not: level 0 well, 1 look at it, 2 calls of the provider do not reach us. other: another flow
 * of the trunk works. */
static int level_of(const struct reg_client_view *v, bool other)
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
		return (v->holds && !v->down) || other ? 1 : 2;
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

/* Does another flow of the trunk than that one work? */
static bool other_works(struct ctl_req *r, uint32_t trunk_id, unsigned reg_id)
{
	struct reg_client_view v;

	for (unsigned i = 1; i <= REG_FLOWS_MAX; i++)
		if (i != reg_id && reg_client_view(r->be->clients, trunk_id, i, &v) && v.holds && !v.down)
			return true;
	return false;
}

static json_t *out_json(struct ctl_req *r, const struct pol_trunk *t, const struct reg_client_view *v)
{
	json_t *j = json_object();

	json_object_set_new(j, "trunk", print_json(t->name));
	json_object_set_new(j, "state", json_string(reg_client_state_names[v->state]));
	json_object_set_new(j, "level", json_integer(level_of(v, other_works(r, t->id, v->reg_id))));
	json_object_set_new(j, "flow", json_integer(v->reg_id));
	json_object_set_new(j, "outbound", json_boolean(v->outbound));
	json_object_set_new(j, "up", json_boolean(v->holds && !v->down));
	json_object_set_new(j, "pinged", json_boolean(v->pinged));
	json_object_set_new(j, "instance", v->instance.n ? print_json(v->instance) : json_null());
	json_object_set_new(j, "holds", json_boolean(v->holds));
	json_object_set_new(j, "since_us", json_integer(v->since_wall_us));
	json_object_set_new(j, "kind", json_string(v->numbers ? "numbers" : v->bulk ? "gin" : v->fallback ? "aor (gin refused)" : "aor"));
	if (v->numbers) {
		json_object_set_new(j, "numbers", json_integer(v->numbers));
		json_object_set_new(j, "numbers_held", json_integer(v->numbers_held));
	}
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
	json_object_set_new(j, "gruu", v->gruu.n ? print_json(v->gruu) : json_null());
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
	bool other = other_works(r, t->id, v->reg_id);
	int level = level_of(v, other);
	char todo[80];
	struct buf b;

	if (v->reg_id == 1 && t->reg.event == POL_REG_EVENT_ON && v->holds && r->be->reg_watches &&
	    reg_watch_view(r->be->reg_watches, t->id, &events) && events.state == REG_WATCH_REFUSED) {
		buf_init(&b, todo, sizeof(todo) - 1);
		buf_fmt(&b, "postern trunk set %.*s reg-event=auto", STR(str_head(t->name, 31)));
		ctl_finding(r, 1, "reg", buf_z(&b), "trunk %.*s: %s", STR(t->name), reason_info(REASON_REG_EVENT_OFF)->text);
	}
	if (v->more_numbers)
		ctl_finding(r, 1, "reg", "split the numbers over two trunks, or ask the provider for GIN", "trunk %.*s: only %u numbers are registered, there are more",
		    STR(t->name), v->numbers);
	if (!level)
		return;
	if (v->numbers && v->why != REASON_NONE) {
		buf_init(&b, todo, sizeof(todo) - 1);
		buf_fmt(&b, "postern reg numbers %.*s", STR(str_head(t->name, 40)));
		ctl_finding(r, v->numbers_held ? 1 : 2, "reg", buf_z(&b), "trunk %.*s: %u of %u numbers %s: %s", STR(t->name),
		    v->numbers_held < v->numbers ? v->numbers - v->numbers_held : 1, v->numbers,
		    v->numbers_held < v->numbers ? "are not registered" : "could not be renewed", reason_info(v->why)->text);
		return;
	}
	buf_init(&b, todo, sizeof(todo) - 1);
	buf_fmt(&b, "postern reg show %.*s", STR(str_head(t->name, 40)));
	if (v->why != REASON_NONE && other)
		ctl_finding(r, level, "reg", buf_z(&b), "trunk %.*s: one of two flows to the provider is down: %s", STR(t->name),
		    reason_info(v->why)->text);
	else if (v->why != REASON_NONE)
		ctl_finding(r, level, "reg", buf_z(&b), "trunk %.*s %s: %s", STR(t->name),
		    v->holds ? "could not renew its registration" : "is not registered", reason_info(v->why)->text);
	else if (v->reg_id > 1)
		return;
	else
		ctl_finding(r, level, "reg", buf_z(&b), "trunk %.*s: %s", STR(t->name), reason_info(REASON_REG_NO_GIN)->text);
}

/* PBXs that registered by two flows and have one. */
static void find_lost_flows(struct ctl_req *r, const struct policy *p)
{
	const struct pol_trunk *t = NULL;
	unsigned n = 0;

	for (const struct reg_contact *c = r->be->reg && r->be->net ? bindings_walk(reg_bindings(r->be->reg), NULL) : NULL; c;
	     c = bindings_walk(reg_bindings(r->be->reg), c)) {
		if (!c->reg_id || c->path.n || net_alive(netio_net(r->be->net), &c->flow))
			continue;
		n++;
		if (!t)
			t = policy_trunk(p, c->trunk_id);
	}
	if (n && t)
		ctl_finding(r, 1, "reg", "postern reg flows",
		    "%.*s: a flow of the PBX is lost (%u in all); calls go by the others it has", STR(t->name), n);
}

void view_reg_findings(struct ctl_req *r)
{
	const struct policy *p = b2b_policy(r->be->b2b);
	struct reg_client_view v;

	for (unsigned i = 0; r->be->clients && i < policy_trunk_count(p); i++)
		for (unsigned flow = 1; flow <= REG_FLOWS_MAX; flow++)
			if (reg_client_view(r->be->clients, policy_trunk_at(p, i)->id, flow, &v))
				finding(r, policy_trunk_at(p, i), &v);
	find_lost_flows(r, p);
}

void view_reg_numbers(struct ctl_req *r, const struct pol_trunk *t)
{
	static const struct print_col cols[] = {
	    {"number", "NUMBER", PK_TEXT, 0},
	    {"state", "STATE", PK_TEXT, 0},
	    {"at", "AT", PK_TEXT, 1},
	    {"expires_ms", "EXPIRES", PK_MS, 0},
	    {"next_ms", "NEXT", PK_MS, 0},
	    {"code", "CODE", PK_TEXT, 0},
	    {"why", "WHY", PK_TEXT, 2},
	};
	uint32_t max = ctl_uint(r, "--lines", 50);
	unsigned missing = 0, n = 0, shown = 0;
	struct reg_client_view v;
	json_t *rows = json_array();
	const void *at = NULL;
	struct str number;

	/* trouble first */
	for (int well = 0; well < 2; well++, at = NULL) {
		while (reg_client_number_next(r->be->clients, t->id, &at, &number, &v)) {
			json_t *j;

			if ((v.holds && v.why == REASON_NONE) != (well != 0))
				continue;
			n++;
			missing += !v.holds;
			if (shown++ >= max)
				continue;
			j = out_json(r, t, &v);
			json_object_set_new(j, "number", print_json(number));
			json_array_append_new(rows, j);
		}
	}
	ctl_set(r, "total", json_integer(n));
	ctl_set(r, "missing", json_integer(missing));
	ctl_table(r, "numbers", rows, cols, ARRAY_LEN(cols), "no number is to be registered: postern trunk show NAME: reg-numbers");
	if (n > max)
		ctl_say(r, "%u of %u are shown: --lines N\n", max, n);
	if (reg_client_view(r->be->clients, t->id, 1, &v))
		finding(r, t, &v);
	ctl_end(r);
}

void cmd_reg_list(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"trunk", "TRUNK", PK_TEXT, 0},
	    {"flow", "FLOW", PK_NUM, 4},
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

		for (unsigned flow = 1; flow <= REG_FLOWS_MAX; flow++)
			if (reg_client_view(r->be->clients, t->id, flow, &v))
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
	if (r->be->clients && reg_client_view(r->be->clients, t->id, 1, ret))
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
	    {"numbers", "numbers", PK_NUM, 0},
	    {"numbers_held", "of them held", PK_NUM, 0},
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
	    {"instance", "instance", PK_TEXT, 0},
	    {"gruu", "gruu", PK_TEXT, 0},
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
	if (reg_client_view(r->be->clients, t->id, 2, &v)) {
		ctl_say(r, "it has a second flow: postern reg flows --trunk %.*s\n", STR(t->name));
		finding(r, t, &v);
	}
	ctl_end(r);
}

/* -------------------------------------------------------------------- flows, of both directions */

static json_t *flow_out_json(struct ctl_req *r, const struct pol_trunk *t, const struct reg_client_view *v)
{
	json_t *j = json_object();
	bool up = v->holds && !v->down;

	json_object_set_new(j, "trunk", print_json(t->name));
	json_object_set_new(j, "side", json_string("ours"));
	json_object_set_new(j, "flow", json_integer(v->reg_id));
	json_object_set_new(j, "state", json_string(up ? "up" : v->holds ? "lost" : reg_client_state_names[v->state]));
	json_object_set_new(j, "at", addr_none(&v->at.remote) ? json_null() : view_peer(v->at.proto, &v->at.remote));
	json_object_set_new(j, "pings", json_string(!v->pinged ? "-" : v->at.proto == NET_UDP ? "stun" : "crlf"));
	json_object_set_new(j, "expires_ms", v->holds ? when_due(r, v->expires_us) : json_null());
	json_object_set_new(j, "instance", v->instance.n ? print_json(v->instance) : json_null());
	json_object_set_new(j, "why", v->why != REASON_NONE ? json_string(reason_info(v->why)->text) : json_null());
	json_object_set_new(j, "level", json_integer(level_of(v, other_works(r, t->id, v->reg_id))));
	return j;
}

static json_t *flow_in_json(struct ctl_req *r, const struct pol_trunk *t, const struct reg_contact *c)
{
	json_t *j = json_object();
	bool up = net_alive(netio_net(r->be->net), &c->flow);

	json_object_set_new(j, "trunk", print_json(t->name));
	json_object_set_new(j, "side", json_string("theirs"));
	json_object_set_new(j, "flow", json_integer(c->reg_id));
	json_object_set_new(j, "state", json_string(up ? "up" : "lost"));
	json_object_set_new(j, "at", view_peer(c->flow.proto, &c->flow.remote));
	json_object_set_new(j, "pings", json_string("-"));
	json_object_set_new(j, "expires_ms", when_due(r, c->expires_us));
	json_object_set_new(j, "instance", print_json(c->instance));
	json_object_set_new(j, "why", up ? json_null() : json_string(reason_info(REASON_FLOW_FAILED)->text));
	json_object_set_new(j, "level", json_integer(up ? 0 : 1));
	return j;
}

void cmd_reg_flows(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"trunk", "TRUNK", PK_TEXT, 0},
	    {"side", "MADE BY", PK_TEXT, 0},
	    {"flow", "FLOW", PK_NUM, 0},
	    {"state", "STATE", PK_TEXT, 0},
	    {"at", "WITH", PK_TEXT, 0},
	    {"pings", "PINGS", PK_TEXT, 2},
	    {"expires_ms", "EXPIRES", PK_MS, 0},
	    {"instance", "INSTANCE", PK_TEXT, 3},
	    {"why", "WHY", PK_TEXT, 1},
	};
	const struct policy *p = b2b_policy(r->be->b2b);
	const char *name = ctl_arg(r, "--trunk");
	const struct pol_trunk *only = name ? ctl_trunk(r, name) : NULL;
	uint32_t max = ctl_uint(r, "--lines", 200);
	struct reg_client_view v;
	unsigned n = 0;
	json_t *rows;

	if (name && !only)
		return;
	rows = json_array();
	for (unsigned i = 0; r->be->clients && i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);

		for (unsigned flow = 1; flow <= REG_FLOWS_MAX && (!only || only == t); flow++)
			if (reg_client_view(r->be->clients, t->id, flow, &v) && v.instance.n && n++ < max)
				json_array_append_new(rows, flow_out_json(r, t, &v));
	}
	for (const struct reg_contact *c = r->be->reg ? bindings_walk(reg_bindings(r->be->reg), NULL) : NULL; c;
	     c = bindings_walk(reg_bindings(r->be->reg), c)) {
		const struct pol_trunk *t = policy_trunk(p, c->trunk_id);

		if (c->reg_id && t && (!only || only == t) && n++ < max)
			json_array_append_new(rows, flow_in_json(r, t, c));
	}
	ctl_set(r, "total", json_integer(n));
	ctl_table(r, "flows", rows, cols, ARRAY_LEN(cols),
	    "no flows: a provider's trunk asks for them with outbound=on, a PBX by registering with reg-id (RFC 5626)");
	if (n > max)
		ctl_say(r, "%u of %u are shown: --lines N, --trunk TRUNK\n", max, n);
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
