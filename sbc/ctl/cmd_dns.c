/* cmd_dns.c - names: what a destination leads to right now.
 *
 * `dns show` walks what is watched for the trunks. `dns plan` watches what was typed for as long as the question takes, through the same locator
 * that calls use, and shows what it would give a call: that is how an administrator tries a name
 * before he puts it into a trunk.
 */
#include <errno.h>
#include <stdlib.h>

#include "sbc/ctl/view.h"
#include "sbc/net/locate_dns.h"
#include "sbc/net/netio.h"
#include "sbc/net/resolve.h"
#include "sbc/sip/uri.h"

#define PLAN_MS 12000 /* longer than all tries of all servers */

/* What the realm has listeners for. */
void view_realm_can(const struct ctl_backend *be, unsigned realm, struct locate_dest *d)
{
	static const int family[2] = {AF_INET, AF_INET6};

	d->protos = d->families = 0;
	for (int p = NET_UDP; p <= NET_TLS; p++)
		for (int f = 0; f < 2; f++)
			if (!be->net || net_local(netio_net(be->net), (uint8_t)realm,
			                    (enum net_proto)p, family[f])) {
				d->protos = (uint8_t)(d->protos | 1u << p);
				d->families =
				    (uint8_t)(d->families | (f ? RESOLVE_V6 : RESOLVE_V4));
			}
}

static json_t *server_json(const struct locate_plan *p, const struct locate_server *s, unsigned i)
{
	json_t *j = json_object();
	char text[ADDR_TEXT_MAX];

	json_object_set_new(j, "server", print_json(s->name));
	json_object_set_new(j, "proto", print_json(net_proto_name((enum net_proto)s->proto)));
	json_object_set_new(j, "priority", json_integer(s->priority));
	json_object_set_new(j, "weight", json_integer(s->weight));
	json_object_set_new(j, "address",
	    i < s->n ? json_string(addr_text(&p->addrs[s->first + i], text)) : json_null());
	json_object_set_new(j, "note", json_string(s->n ? "" : "no address"));
	return j;
}

json_t *view_plan(const struct locate_plan *p)
{
	json_t *rows = json_array();

	for (unsigned s = 0; s < p->n_servers; s++)
		for (unsigned i = 0; i == 0 || i < p->servers[s].n; i++)
			json_array_append_new(rows, server_json(p, &p->servers[s], i));
	return rows;
}

/* "naptr, 3 servers, asked again in 4:10" */
void view_plan_head(struct text *t, const struct locate_plan *p, int64_t now_us)
{
	text_fmt(t, "%s, %u server%s, %u address%s", p->how ? p->how : "-", p->n_servers,
	    p->n_servers == 1 ? "" : "s", p->n_addrs, p->n_addrs == 1 ? "" : "es");
	if (p->fresh_until_us != INT64_MAX && p->fresh_until_us > now_us) {
		text_lit(t, ", asked again in ");
		print_ago(t, p->fresh_until_us - now_us);
	}
	if (p->state == LOCATE_STALE) {
		text_lit(t, ", the DNS fails: kept for ");
		print_ago(t, p->stale_until_us > now_us ? p->stale_until_us - now_us : 0);
	}
}

struct plan_work {
	struct location *l;
	struct locate_dest dest;
	unsigned realm;
};

static void plan_stop(struct ctl_req *r)
{
	struct plan_work *w = r->work;

	locate_unwatch(r->be->locator, w->l);
	w->l = NULL;
}

static void plan_show(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"priority", "PRIO", PK_NUM, 0},
	    {"weight", "WEIGHT", PK_NUM, 0},
	    {"proto", "PROTO", PK_TEXT, 0},
	    {"server", "SERVER", PK_TEXT, 0},
	    {"address", "ADDRESS", PK_TEXT, 0},
	    {"note", "NOTE", PK_TEXT, 0},
	};
	struct plan_work *w = r->work;
	const struct locate_plan *p = locate_plan(r->be->locator, w->l);
	const struct pol_realm *realm = policy_realm(b2b_policy(r->be->b2b), w->realm);
	struct text head = {0};

	ctl_set(r, "host", print_json(w->dest.host));
	ctl_set(r, "realm", print_json(realm ? realm->name : STR_NONE));
	ctl_set(r, "state", json_string(locate_state_names[p->state]));
	ctl_set(r, "how", print_jsonz(p->how ? p->how : ""));
	if (p->state == LOCATE_EMPTY || p->state == LOCATE_FAILED) {
		ctl_set(r, "reason", view_code(p->reason));
		ctl_fail(r, p->reason, NULL, "%.*s: %s", STR(w->dest.host),
		    reason_info(p->reason)->text);
	} else {
		view_plan_head(&head, p, r->be->env->clock->mono_us);
		ctl_say(r, "%.*s in realm %.*s: %s\n", STR(w->dest.host),
		    STR(realm ? realm->name : STR_NONE), text_z(&head));
		text_fini(&head);
		ctl_table(r, "plan", view_plan(p), cols, ARRAY_LEN(cols), NULL);
		if (p->state == LOCATE_STALE)
			ctl_finding(r, 1, "dns", "postern dns show",
			    "the servers of the DNS fail, this is what they said last");
	}
	plan_stop(r);
	ctl_end(r);
}

static void plan_changed(void *ctx, struct location *l)
{
	struct ctl_req *r = ctx;

	if (locate_plan(r->be->locator, l)->state != LOCATE_PENDING)
		plan_show(r);
}

static void plan_late(struct timer *t)
{
	struct ctl_req *r = container_of(t, struct ctl_req, timer);

	plan_stop(r);
	ctl_refuse(r, REASON_DNS_FAILED, NULL, "no answer from the DNS in %d s", PLAN_MS / 1000);
}

/* "sip:host:port;transport=tls", "sips:host", "host", "host:port" */
const char *view_dest(struct str s, struct locate_dest *d)
{
	struct str rest, port, transport = STR_NONE;
	uint32_t n = 0;
	ptrdiff_t at;

	d->proto = LOCATE_ANY;
	if (str_iprefix(s, S("sips:"))) {
		d->sips = true;
		s = str_from(s, 5);
	} else if (str_iprefix(s, S("sip:"))) {
		s = str_from(s, 4);
	} else if (str_iprefix(s, S("tel:"))) {
		return "a tel: URI names no server";
	}
	at = str_chr(s, '@');
	if (at >= 0)
		s = str_from(s, (size_t)at + 1);
	rest = str_cut(s, ';', &s);
	while (!str_empty(rest)) {
		struct str p;

		rest = str_cut(rest, ';', &p);
		if (str_iprefix(p, S("transport=")))
			transport = str_from(p, 10);
	}
	if (!str_empty(s) && s.p[0] == '[') {
		at = str_chr(s, ']');
		if (at < 0)
			return "']' is missing";
		d->host = str_n(s.p + 1, (size_t)at - 1);
		s = str_from(s, (size_t)at + 1);
		if (!str_empty(s) && s.p[0] != ':')
			return "what stands behind ']' is no port";
		port = str_from(s, 1);
	} else {
		struct addr a;

		port = str_cut(s, ':', &d->host);
		/* 2001:db8::1 without brackets */
		if (addr_parse_ip(s, 0, &a) == 0) {
			d->host = s;
			port = STR_NONE;
		}
	}
	if (!str_empty(port) && (str_u32(port, 65535, &n) < 0 || n == 0))
		return "the port is none";
	d->port = (uint16_t)n;
	if (str_ieq(transport, S("udp")))
		d->proto = NET_UDP;
	else if (str_ieq(transport, S("tcp")))
		d->proto = d->sips ? NET_TLS : NET_TCP;
	else if (str_ieq(transport, S("tls")))
		d->proto = NET_TLS;
	else if (!str_empty(transport))
		return "transport is one of udp, tcp, tls";
	if (d->sips && d->proto == NET_UDP)
		return "sips: does not go over UDP";
	return str_empty(d->host) ? "the host is missing" : NULL;
}

/* What the locator has for the targets of a trunk already. */
static void plan_trunk(struct ctl_req *r, const struct pol_trunk *t)
{
	static const struct print_col cols[] = {
	    {"target", "TARGET", PK_TEXT, 2},
	    {"priority", "PRIO", PK_NUM, 0},
	    {"weight", "WEIGHT", PK_NUM, 0},
	    {"proto", "PROTO", PK_TEXT, 0},
	    {"server", "SERVER", PK_TEXT, 0},
	    {"address", "ADDRESS", PK_TEXT, 0},
	    {"note", "NOTE", PK_TEXT, 0},
	};
	struct targets *ts = b2b_targets(r->be->b2b);
	json_t *all = json_array();
	struct target_view v;

	for (unsigned i = 0; targets_view(ts, t->id, i, &v); i++) {
		json_t *rows = view_plan(v.plan), *row;
		struct text head = {0};
		size_t k;

		json_array_foreach(rows, k, row)
			json_object_set_new(row, "target", print_json(v.target->host));
		json_array_extend(all, rows);
		json_decref(rows);
		if (v.plan->state == LOCATE_EMPTY || v.plan->state == LOCATE_FAILED) {
			ctl_finding(r, 2, "dns", reason_info(v.plan->reason)->remedy, "%.*s: %s", STR(v.target->host),
			    reason_info(v.plan->reason)->text);
			continue;
		}
		view_plan_head(&head, v.plan, r->be->env->clock->mono_us);
		ctl_say(r, "%.*s: %s\n", STR(v.target->host),
		    v.plan->state == LOCATE_PENDING ? "the DNS has not answered yet" : text_z(&head));
		text_fini(&head);
		if (v.plan->state != LOCATE_GOOD && r->code == 0)
			r->code = 1;
	}
	ctl_set(r, "trunk", print_json(t->name));
	ctl_table(r, "plan", all, cols, ARRAY_LEN(cols), "it has no target");
	ctl_end(r);
}

void cmd_dns_plan(struct ctl_req *r)
{
	const char *what = ctl_arg(r, "WHAT"), *realm = ctl_arg(r, "--realm"), *wrong;
	const struct pol_trunk *t = policy_trunk_named(b2b_policy(r->be->b2b), str_z(what));
	const struct conf *c = r->be->ops->conf(r->be->ctx);
	struct plan_work *w = calloc(1, sizeof(*w));
	int i = realm ? conf_realm_find(c, str_z(realm)) : 0, e;

	r->work = w;
	if (!w) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	if (t) {
		plan_trunk(r, t);
		return;
	}
	if (i < 0) {
		ctl_refuse(
		    r, REASON_NO_SUCH, "postern realm list shows all", "no realm '%s'", realm);
		return;
	}
	wrong = view_dest(str_z(what), &w->dest);
	if (wrong) {
		ctl_refuse(r, REASON_BAD_VALUE,
		    "for example sip:itsp.example, sips:itsp.example:5061 or itsp.example",
		    "'%s': %s", what, wrong);
		return;
	}
	w->realm = (unsigned)i;
	view_realm_can(r->be, w->realm, &w->dest);
	if (!r->be->locator) {
		ctl_refuse(r, REASON_DNS_FAILED, "", "this daemon runs without DNS");
		return;
	}
	e = locate_watch(r->be->locator, &w->dest, plan_changed, r, &w->l);
	if (e < 0) {
		ctl_refuse(r, e == -EINVAL ? REASON_BAD_VALUE : REASON_NO_MEMORY, NULL,
		    "'%s' cannot be asked for", what);
		return;
	}
	if (locate_plan(r->be->locator, w->l)->state != LOCATE_PENDING)
		plan_show(r);
	else
		ctl_wait(r, PLAN_MS, plan_late, plan_stop);
}

/* -------------------------------------------------------------------- dns show */

#define LINES 200

static int plan_level(const struct locate_plan *p)
{
	return p->state == LOCATE_GOOD ? 0 : p->state == LOCATE_EMPTY || p->state == LOCATE_FAILED ? 2 : 1;
}

static json_t *place_json(const struct ctl_req *r, const struct location_view *v)
{
	int64_t now = r->be->env->clock->mono_us;
	json_t *j = json_object();
	struct text t = {0};

	text_fmt(&t, "%s%.*s", v->dest.sips ? "sips:" : "", STR(v->dest.host));
	if (v->dest.port)
		text_fmt(&t, ":%u", v->dest.port);
	if (v->dest.proto != LOCATE_ANY) {
		struct str name = net_proto_name((enum net_proto)v->dest.proto);

		text_lit(&t, "/");
		for (size_t i = 0; i < name.n; i++)
			text_fmt(&t, "%c", chr_lower(name.p[i]));
	}
	json_object_set_new(j, "name", print_json(text_get(&t)));
	json_object_set_new(j, "state", json_string(locate_state_names[v->plan->state]));
	json_object_set_new(j, "how", print_jsonz(v->plan->how ? v->plan->how : ""));
	json_object_set_new(j, "servers", json_integer(v->plan->n_servers));
	json_object_set_new(j, "addresses", json_integer(v->plan->n_addrs));
	if (v->plan->fresh_until_us != INT64_MAX)
		json_object_set_new(j, "again_ms",
		    json_integer(v->plan->fresh_until_us > now ? (v->plan->fresh_until_us - now) / 1000 : 0));
	t.n = 0;
	if (v->plan->state == LOCATE_STALE) {
		text_lit(&t, "servers fail, kept for ");
		print_ago(&t, v->plan->stale_until_us > now ? v->plan->stale_until_us - now : 0);
	} else if (v->plan->reason != REASON_NONE) {
		text_fmt(&t, "%s", reason_info(v->plan->reason)->text);
		json_object_set_new(j, "reason", view_code(v->plan->reason));
	}
	json_object_set_new(j, "note", print_json(text_get(&t)));
	json_object_set_new(j, "level", json_integer(plan_level(v->plan)));
	text_fini(&t);
	return j;
}

static void put_resolvers(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"server", "DNS SERVER", PK_TEXT, 0},
	    {"state", "STATE", PK_TEXT, 0},
	    {"rtt_us", "RTT", PK_US, 1},
	    {"asked", "ASKED", PK_NUM, 0},
	    {"answered", "ANSWERED", PK_NUM, 0},
	    {"silent", "SILENT", PK_NUM, 0},
	    {"refused", "REFUSED", PK_NUM, 2},
	    {"failed", "FAILED", PK_NUM, 0},
	    {"lied", "LIED", PK_NUM, 3},
	};
	struct dns_server_view v;
	json_t *rows = json_array();
	unsigned n = 0, down = 0;
	char text[ADDR_TEXT_MAX];

	for (; dns_server_view(r->be->dns, n, &v); n++) {
		json_t *j = json_object();

		down += v.down;
		json_object_set_new(j, "server", json_string(addr_text(&v.addr, text)));
		json_object_set_new(j, "state", json_string(v.down ? "SET ASIDE" : v.answered ? "UP" : "UNKNOWN"));
		if (v.rtt_us)
			json_object_set_new(j, "rtt_us", json_integer(v.rtt_us));
		json_object_set_new(j, "asked", json_integer((json_int_t)v.asked));
		json_object_set_new(j, "answered", json_integer((json_int_t)v.answered));
		json_object_set_new(j, "silent", json_integer((json_int_t)v.silent));
		json_object_set_new(j, "refused", json_integer((json_int_t)v.refused));
		json_object_set_new(j, "failed", json_integer((json_int_t)v.failed));
		json_object_set_new(j, "lied", json_integer((json_int_t)v.lied));
		json_object_set_new(j, "level", json_integer(v.down));
		json_array_append_new(rows, j);
	}
	ctl_table(r, "resolvers", rows, cols, ARRAY_LEN(cols), "no DNS server");
	if (n && down == n)
		ctl_finding(r, 2, "dns", "look at dns.servers in postern.conf and at the network between",
		    "no DNS server answers: what is known is kept as long as it may be");
}

/* Is that the destination of one of the trunk's targets? */
static bool is_of(const struct pol_trunk *t, const struct locate_dest *d)
{
	for (unsigned i = 0; i < t->n_targets; i++)
		if (str_ieq(t->targets[i].host, d->host) && t->targets[i].port == d->port)
			return true;
	return false;
}

static json_t *set_json(const struct ctl_req *r, const struct dns_set_view *v)
{
	int64_t now = r->be->env->clock->mono_us;
	json_t *j = json_object(), *values = json_array();
	char text[600];
	struct buf b;

	json_object_set_new(j, "name", print_json(v->name));
	json_object_set_new(j, "type", json_string(dns_type_name(v->type)));
	json_object_set_new(j, "state", json_string(dns_state_names[v->answer.state]));
	if (v->answer.good_until_us)
		json_object_set_new(j, "ttl_ms",
		    json_integer(v->answer.good_until_us > now ? (v->answer.good_until_us - now) / 1000 : 0));
	if (!addr_none(&v->answer.server))
		json_object_set_new(j, "server", json_string(addr_text(&v->answer.server, text)));
	for (unsigned i = 0; i < v->answer.n; i++) {
		buf_init(&b, text, sizeof(text));
		dns_put_record(&b, v->type, &v->answer.records[i]);
		json_array_append_new(values, print_json(buf_text(&b)));
	}
	json_object_set_new(j, "values", values);
	if (v->answer.failure)
		json_object_set_new(j, "failure", print_jsonz(v->answer.failure));
	json_object_set_new(j, "level", json_integer(v->answer.state == DNS_STALE	   ? 1
						      : v->answer.state == DNS_FAILED ? 2
										      : 0));
	return j;
}

static void put_sets(struct ctl_req *r, const struct pol_trunk *t)
{
	static const struct print_col cols[] = {
	    {"name", "NAME", PK_TEXT, 0},
	    {"type", "TYPE", PK_TEXT, 0},
	    {"state", "STATE", PK_TEXT, 0},
	    {"ttl_ms", "TTL LEFT", PK_MS, 1},
	    {"server", "SAID BY", PK_TEXT, 3},
	    {"failure", "FAILURE", PK_TEXT, 2},
	    {"values", "RECORDS", PK_TEXT, 0},
	};
	const struct location *l = NULL;
	struct location_view v;
	struct dns_set_view set;
	json_t *rows = json_array();

	while ((l = locator_dns_walk(r->be->locator, l))) {
		location_view(l, &v);
		if (!is_of(t, &v.dest))
			continue;
		for (unsigned i = 0; location_set(l, i, &set) && json_array_size(rows) < LINES; i++)
			json_array_append_new(rows, set_json(r, &set));
	}
	ctl_table(r, "records", rows, cols, ARRAY_LEN(cols), NULL);
}

void view_dns_findings(struct ctl_req *r)
{
	unsigned n = 0, down = 0, stale = 0, failed = 0;
	const struct location *l = NULL;
	struct dns_server_view v;
	char text[ADDR_TEXT_MAX];

	if (!r->be->dns)
		return;
	while ((l = locator_dns_walk(r->be->locator, l))) {
		struct location_view lv;

		location_view(l, &lv);
		stale += lv.plan->state == LOCATE_STALE;
		failed += lv.plan->state == LOCATE_FAILED;
	}
	/* names that do not exist are the trunk's trouble, not the DNS's */
	for (; dns_server_view(r->be->dns, n, &v); n++)
		if (v.down && down++ < 4)
			ctl_finding(r, 1, "dns", "postern dns show", "DNS server %s is set aside: it does not answer as it should",
			    addr_text(&v.addr, text));
	if (stale)
		ctl_finding(r, 1, "dns", "postern dns show", "%u name%s by old answers: the servers of the DNS fail", stale,
		    stale == 1 ? " is located" : "s are located");
	if (failed)
		ctl_finding(r, 2, "dns", "postern dns show", "%u name%s not be located: the servers of the DNS fail", failed,
		    failed == 1 ? " can" : "s can");
}

void cmd_dns_show(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"name", "NAME", PK_TEXT, 0},
	    {"state", "STATE", PK_TEXT, 0},
	    {"how", "BY", PK_TEXT, 1},
	    {"servers", "SERVERS", PK_NUM, 2},
	    {"addresses", "ADDRESSES", PK_NUM, 0},
	    {"again_ms", "AGAIN IN", PK_MS, 3},
	    {"note", "NOTE", PK_TEXT, 0},
	};
	const char *name = ctl_arg(r, "TRUNK");
	const struct pol_trunk *t = name ? ctl_trunk(r, name) : NULL;
	const struct location *l = NULL;
	json_t *rows;
	unsigned n = 0, bad = 0;

	if (name && !t)
		return;
	if (!r->be->dns) {
		ctl_refuse(r, REASON_DNS_FAILED, "", "this daemon runs without DNS");
		return;
	}
	put_resolvers(r);
	ctl_say(r, "\n");
	rows = json_array();
	/* what is in trouble is among the lines that are shown, however many names there are */
	for (int pass = 2; pass >= 0; pass--) {
		while ((l = locator_dns_walk(r->be->locator, l))) {
			struct location_view v;

			location_view(l, &v);
			if ((t && !is_of(t, &v.dest)) || plan_level(v.plan) != pass)
				continue;
			n++;
			bad += pass > 0;
			if (r->code < pass)
				r->code = pass;
			if (json_array_size(rows) < LINES)
				json_array_append_new(rows, place_json(r, &v));
		}
	}
	ctl_set(r, "total", json_integer(n));
	ctl_set(r, "in_trouble", json_integer(bad));
	ctl_table(r, "names", rows, cols, ARRAY_LEN(cols),
	    t ? "its targets are addresses: no name is asked for" : "no trunk has a name as target");
	if (n > LINES)
		ctl_say(r, "%d of %u are shown: postern dns show TRUNK\n", LINES, n);
	if (t) {
		ctl_say(r, "\n");
		put_sets(r, t);
	}
	ctl_end(r);
}

void cmd_dns_flush(struct ctl_req *r)
{
	const char *name = ctl_arg(r, "NAME");
	unsigned n;

	if (!r->be->dns) {
		ctl_refuse(r, REASON_DNS_FAILED, "", "this daemon runs without DNS");
		return;
	}
	n = dns_flush(r->be->dns, str_z(name));
	ctl_set(r, "asked", json_integer(n));
	if (name && n == 0) {
		ctl_refuse(r, REASON_NO_SUCH, "postern dns show lists the names that are watched", "no record of '%s' is kept",
		    name);
		return;
	}
	ctl_say(r, "%u record set%s asked for again; what is known stays until the answers come\n", n, n == 1 ? " is" : "s are");
	ctl_end(r);
}
