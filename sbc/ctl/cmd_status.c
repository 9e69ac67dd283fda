/* cmd_status.c - the system as a whole: status, realms, configuration, counters, names for completion. */
#include <stdlib.h>
#include <sys/resource.h>

#include "sbc/ctl/req.h"
#include "sbc/ctl/view.h"
#include "sbc/net/dns.h"
#include "sbc/net/guard.h"
#include "sbc/net/netio.h"
#include "sbc/net/tls.h"
#include "sbc/reg/account.h"
#include "sbc/reg/reg.h"

/* -------------------------------------------------------------------- trunks at a glance */

/* targets that lead nowhere, and those whose names are old */
static void names_of(const struct ctl_backend *be, const struct pol_trunk *t, unsigned *ret_unresolved, unsigned *ret_stale)
{
	struct target_view v;

	*ret_unresolved = *ret_stale = 0;
	for (unsigned i = 0; targets_view(b2b_targets(be->b2b), t->id, i, &v); i++) {
		*ret_unresolved += v.plan->n_addrs == 0;
		*ret_stale += v.plan->state == LOCATE_STALE;
	}
}

const char *view_trunk_state(const struct ctl_backend *be, const struct pol_trunk *t, int *ret_level)
{
	enum reason why;
	struct b2b_trunk_info info;
	unsigned unresolved, stale;
	enum target_state state = targets_trunk_state(b2b_targets(be->b2b), t->id, &why);

	b2b_trunk_info(be->b2b, t->id, &info);
	names_of(be, t, &unresolved, &stale);
	*ret_level = 1;
	if (t->admin == POL_DISABLED)
		return "DISABLED";
	if (t->admin == POL_DRAINING)
		return "DRAINING";
	*ret_level = 2;
	if (t->n_targets && unresolved == t->n_targets)
		return "UNRESOLVED";
	if (t->n_targets && state == TARGET_DOWN)
		return "DOWN";
	*ret_level = 1;
	if (info.targets_down || unresolved || stale)
		return "DEGRADED";
	*ret_level = 0;
	return state == TARGET_UNKNOWN && t->n_targets ? "UNKNOWN" : "UP";
}

/* Its password counts, and every answer it can give is one of MD5 (PWD-04). */
static bool md5_only(const struct pol_trunk *t)
{
	bool used = t->role == POL_ITSP || t->reg.auth != POL_AUTH_STATIC || t->reg.challenge != POL_CHALLENGE_OFF;
	bool stronger = t->role == POL_ITSP || t->reg.digest != DIGEST_MD5;

	return used && account_has_password(t) && !(stronger && (t->reg.ha1[DIGEST_SHA256].n || t->reg.ha1[DIGEST_SHA512_256].n));
}

json_t *view_trunk(const struct ctl_backend *be, const struct policy *p, const struct pol_trunk *t)
{
	const struct pol_realm *realm = policy_realm(p, t->realm);
	int64_t now = be->env->clock->mono_us;
	struct b2b_trunk_info info;
	char code[REASON_CODE_MAX];
	struct text note = {0};
	json_t *j = json_object();
	unsigned unresolved, stale;
	enum reason why;
	int level;

	b2b_trunk_info(be->b2b, t->id, &info);
	json_object_set_new(j, "name", print_json(t->name));
	json_object_set_new(j, "state", json_string(view_trunk_state(be, t, &level)));
	json_object_set_new(j, "level", json_integer(level));
	json_object_set_new(j, "role", json_string(t->role == POL_PBX ? "pbx" : "itsp"));
	json_object_set_new(j, "realm", print_json(realm ? realm->name : STR_NONE));
	json_object_set_new(j, "calls", json_integer(info.calls));
	if (t->max_calls)
		json_object_set_new(j, "max_calls", json_integer(t->max_calls));
	json_object_set_new(j, "calls_in", json_integer((json_int_t)info.calls_in));
	json_object_set_new(j, "calls_out", json_integer((json_int_t)info.calls_out));
	json_object_set_new(j, "answered", json_integer((json_int_t)info.answered));
	json_object_set_new(j, "failed", json_integer((json_int_t)info.failed));
	if (info.answered + info.failed)
		json_object_set_new(j, "asr",
		    json_real(100.0 * (double)info.answered / (double)(info.answered + info.failed)));
	if (info.last_failure != REASON_NONE && info.last_failure_us) {
		json_object_set_new(j, "last_failure", json_string(reason_code(info.last_failure, code)));
		json_object_set_new(j, "last_failure_s", json_integer((now - info.last_failure_us) / 1000000));
		if (now - info.last_failure_us < (int64_t)3600 * 1000000) {
			text_fmt(&note, "%s ", code);
			print_ago(&note, now - info.last_failure_us);
			text_fmt(&note, " ago: %s", reason_info(info.last_failure)->text);
		}
	}
	if (md5_only(t))
		text_fmt(&note, "%spassword is asked for with MD5 alone", note.n ? "; " : "");
	names_of(be, t, &unresolved, &stale);
	if (unresolved)
		text_fmt(&note, "%s%u of %u targets without address", note.n ? "; " : "", unresolved, t->n_targets);
	if (stale)
		text_fmt(&note, "%s%u of %u targets by old answers of the DNS", note.n ? "; " : "", stale, t->n_targets);
	if (info.targets_down)
		text_fmt(&note, "%s%u of %u targets down", note.n ? "; " : "", info.targets_down, t->n_targets);
	if (info.targets_down && targets_trunk_state(b2b_targets(be->b2b), t->id, &why) == TARGET_DOWN && why != REASON_NONE)
		text_fmt(&note, ": %s", reason_info(why)->text);
	json_object_set_new(j, "note", print_json(text_get(&note)));
	text_fini(&note);
	return j;
}

const struct print_col view_trunk_cols[VIEW_TRUNK_COLS] = {
    {"name", "TRUNK", PK_TEXT, 0},
    {"state", "STATE", PK_TEXT, 0},
    {"role", "ROLE", PK_TEXT, 3},
    {"realm", "REALM", PK_TEXT, 2},
    {"calls", "CALLS", PK_NUM, 0},
    {"max_calls", "MAX", PK_NUM, 4},
    {"calls_in", "IN", PK_NUM, 6},
    {"calls_out", "OUT", PK_NUM, 6},
    {"asr", "ASR", PK_PCT, 5},
    {"failed", "FAILED", PK_NUM, 7},
    {"note", "NOTE", PK_TEXT, 0},
};

json_t *view_trunks(const struct ctl_backend *be, const struct policy *p, const char *realm)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);
		const struct pol_realm *r = policy_realm(p, t->realm);

		if (!realm || (r && str_eq(r->name, str_z(realm))))
			json_array_append_new(rows, view_trunk(be, p, t));
	}
	return rows;
}

/* -------------------------------------------------------------------- status */

static void find_trunks(struct ctl_req *r, const json_t *trunks)
{
	json_t *t;
	size_t i;

	json_array_foreach(trunks, i, t) {
		const char *name = json_string_value(json_object_get(t, "name"));
		const char *state = json_string_value(json_object_get(t, "state"));
		int level = (int)json_integer_value(json_object_get(t, "level"));
		char todo[80];
		struct buf b;

		if (!level)
			continue;
		buf_init(&b, todo, sizeof(todo));
		if (!strcmp(state, "DISABLED") || !strcmp(state, "DRAINING"))
			buf_fmt(&b, "postern trunk enable %s", name);
		else
			buf_fmt(&b, "postern why trunk %s", name);
		ctl_finding(r, level, "trunk", buf_z(&b), "%s is %s", name, state);
	}
}

/* Nothing such a trunk sends can be taken. */
static void find_passwords(struct ctl_req *r, const struct policy *p)
{
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);
		char todo[80];
		struct buf b;

		if (t->role != POL_PBX || t->reg.challenge == POL_CHALLENGE_OFF || account_has_password(t))
			continue;
		buf_init(&b, todo, sizeof(todo));
		buf_fmt(&b, "postern trunk password %.*s --user USER", STR(t->name));
		ctl_finding(r, 1, "trunk", buf_z(&b), "%.*s has to show a password, and has none", STR(t->name));
	}
}

/* Who guesses passwords, and is heard less and less. */
static void find_guesses(struct ctl_req *r)
{
	struct auth_slowed s;

	for (unsigned i = 0; r->be->reg && i < 5 && auth_slowed(reg_auth(r->be->reg), i, &s); i++)
		ctl_finding(r, 1, "auth", "postern reg history", "%s gave %u wrong passwords and is slowed down", s.who, s.failures);
}

static void find_realms(struct ctl_req *r, const struct conf *c)
{
	for (unsigned i = 0; i < c->n_realms; i++) {
		struct media_port_use use;

		if (!media_port_use(r->be->media, i, &use) || use.total == 0)
			continue;
		if (use.percent >= 80)
			ctl_finding(r, use.percent >= 100 ? 2 : 1, "ports", "widen 'media' of the realm in postern.conf",
			    "realm %.*s: %u %% of its media ports are in use, in the fuller address family", STR(c->realms[i].name),
			    use.percent);
	}
}

static void find_db(struct ctl_req *r)
{
	struct db_stats st;

	db_stats_any(r->be->db, &st);
	if (st.trouble != REASON_NONE)
		ctl_finding(r, 2, "db", reason_info(st.trouble)->remedy, "%s: %u records wait",
		    reason_info(st.trouble)->text, st.waiting);
	if (st.cdr_lost)
		ctl_finding(r, 2, "db", reason_info(REASON_CDR_LOST)->remedy, "%llu call records were lost",
		    (unsigned long long)st.cdr_lost);
}

static double cpu_percent(int64_t up_us)
{
	struct rusage u;
	double used;

	if (getrusage(RUSAGE_SELF, &u) < 0 || up_us <= 0)
		return 0;
	used = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
	return 100 * used / (double)up_us;
}

void cmd_status(struct ctl_req *r)
{
	const struct ctl_backend *be = r->be;
	const struct conf *c = be->ops->conf(be->ctx);
	const struct policy *p = b2b_policy(be->b2b);
	int64_t up = be->env->clock->mono_us - be->start_us;
	json_t *trunks = view_trunks(be, p, NULL);
	unsigned total = 0, used = 0;
	struct text t = {0};

	for (unsigned i = 0; i < c->n_realms; i++) {
		struct media_port_use use;

		if (media_port_use(be->media, i, &use)) {
			total += use.total;
			used += use.used;
		}
	}
	ctl_set(r, "box", print_json(c->box));
	ctl_set(r, "version", json_string(POSTERN_VERSION));
	ctl_set(r, "up_s", json_integer(up / 1000000));
	ctl_set(r, "revision", json_integer((json_int_t)policy_revision(p)));
	ctl_set(r, "calls", json_integer(b2b_call_count(be->b2b)));
	ctl_set(r, "max_calls", json_integer(c->limits.max_calls));
	ctl_set(r, "port_pairs", json_integer(total));
	ctl_set(r, "port_pairs_used", json_integer(used));
	ctl_set(r, "cpu_average_percent", json_real(cpu_percent(up)));
	print_duration_ms(&t, up / 1000);
	ctl_say(r, "%.*s  posternd %s  up %s\n", STR(c->box), POSTERN_VERSION, text_z(&t));
	text_fini(&t);
	ctl_table(r, "trunks", trunks, view_trunk_cols, VIEW_TRUNK_COLS,
	    "no trunks yet: postern trunk add NAME role=itsp realm=REALM target=ADDRESS");
	ctl_say(r, "CALLS %u", b2b_call_count(be->b2b));
	if (c->limits.max_calls)
		ctl_say(r, " / %u", c->limits.max_calls);
	ctl_say(r, "   PORTS %u/%u   CPU %.0f %% on average\n", used, total, cpu_percent(up));
	view_findings(r, json_object_get(r->data, "trunks"));
	ctl_end(r);
}

void view_findings(struct ctl_req *r, const json_t *trunks)
{
	find_trunks(r, trunks);
	find_passwords(r, b2b_policy(r->be->b2b));
	find_guesses(r);
	find_realms(r, r->be->ops->conf(r->be->ctx));
	view_tls_findings(r);
	view_dns_findings(r);
	view_reg_findings(r);
	view_trial_finding(r);
	find_db(r);
}

/* -------------------------------------------------------------------- realms */

static json_t *addr_json(const struct addr *a)
{
	char t[ADDR_TEXT_MAX];

	return json_string(addr_text(a, t));
}

static json_t *media_text(const struct conf_realm *c, const struct conf_media *m)
{
	char text[160];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	addr_put_ip(&b, &m->bind);
	buf_fmt(&b, " %u-%u", c->port_min, c->port_max);
	if (!addr_eq_ip(&m->bind, &m->advertise)) {
		buf_lit(&b, " as ");
		addr_put_ip(&b, &m->advertise);
	}
	return print_json(buf_text(&b));
}

static json_t *realm_json(struct ctl_req *r, const struct conf *c, unsigned i)
{
	const struct conf_realm *cr = &c->realms[i];
	json_t *j = json_object(), *listen = json_array(), *media = json_array(), *domains = json_array();
	struct media_port_use use = {0};
	unsigned trunks = 0;
	const struct policy *p = b2b_policy(r->be->b2b);
	char text[160], at[ADDR_TEXT_MAX];
	struct buf b;

	for (unsigned k = 0; k < cr->n_listen; k++) {
		const struct conf_listen *l = &cr->listen[k];

		buf_init(&b, text, sizeof(text));
		buf_fmt(&b, "%s %s", l->proto == CONF_TLS   ? "tls"
					 : l->proto == CONF_TCP ? "tcp"
								: "udp", addr_text(&l->bind, at));
		if (!addr_eq(&l->bind, &l->advertise))
			buf_fmt(&b, " as %s", addr_text(&l->advertise, at));
		json_array_append_new(listen, print_json(buf_text(&b)));
	}
	if (!addr_none(&cr->media4.bind))
		json_array_append_new(media, media_text(cr, &cr->media4));
	if (!addr_none(&cr->media6.bind))
		json_array_append_new(media, media_text(cr, &cr->media6));
	for (unsigned k = 0; k < cr->n_domains; k++)
		json_array_append_new(domains, print_json(cr->domains[k]));
	for (unsigned k = 0; k < policy_trunk_count(p); k++)
		trunks += policy_trunk_at(p, k)->realm == i;
	json_object_set_new(j, "name", print_json(cr->name));
	json_object_set_new(j, "trunks", json_integer(trunks));
	json_object_set_new(j, "listen", listen);
	json_object_set_new(j, "media", media);
	json_object_set_new(j, "domains", domains);
	json_object_set_new(j, "dscp", json_integer(cr->dscp));
	json_object_set_new(j, "strangers", json_string(cr->strangers == CONF_STRANGERS_REFUSE ? "refuse" : "drop"));
	if (media_port_use(r->be->media, i, &use)) {
		json_object_set_new(j, "pairs", json_integer(use.total));
		json_object_set_new(j, "pairs_used", json_integer(use.used));
		json_object_set_new(j, "pairs_resting", json_integer(use.quarantined));
		json_object_set_new(j, "level", json_integer(use.total && use.used * 10 >= use.total * 9));
	}
	return j;
}

void cmd_realm_list(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"name", "REALM", PK_TEXT, 0},
	    {"trunks", "TRUNKS", PK_NUM, 2},
	    {"pairs_used", "PORTS", PK_NUM, 0},
	    {"pairs", "OF", PK_NUM, 0},
	    {"strangers", "STRANGERS", PK_TEXT, 3},
	    {"media", "MEDIA", PK_TEXT, 4},
	    {"listen", "LISTENS ON", PK_TEXT, 0},
	};
	const struct conf *c = r->be->ops->conf(r->be->ctx);
	json_t *rows = json_array();

	for (unsigned i = 0; i < c->n_realms; i++)
		json_array_append_new(rows, realm_json(r, c, i));
	ctl_table(r, "realms", rows, cols, ARRAY_LEN(cols), NULL);
	ctl_end(r);
}

static void put_connections(struct ctl_req *r, unsigned realm)
{
	static const struct print_col cols[] = {
	    {"remote", "CONNECTION", PK_TEXT, 0},
	    {"proto", "PROTO", PK_TEXT, 0},
	    {"direction", "OPENED BY", PK_TEXT, 0},
	    {"age_ms", "AGE", PK_MS, 0},
	    {"rx", "IN", PK_NUM, 0},
	    {"tx", "OUT", PK_NUM, 0},
	    {"queued", "QUEUED", PK_BYTES, 0},
	};
	struct netio_conn_info ci;
	json_t *rows = json_array();
	uint32_t at = 0;

	while (r->be->net && netio_conn_next(r->be->net, &at, &ci) && json_array_size(rows) < 1000) {
		json_t *j;

		if (ci.path.realm != realm)
			continue;
		j = json_object();
		json_object_set_new(j, "remote", addr_json(&ci.path.remote));
		json_object_set_new(j, "proto", print_json(net_proto_name((enum net_proto)ci.path.proto)));
		json_object_set_new(j, "direction", json_string(ci.inbound ? "them" : "us"));
		json_object_set_new(j, "up", json_boolean(ci.up));
		json_object_set_new(j, "age_ms", json_integer((r->be->env->clock->mono_us - ci.opened_us) / 1000));
		json_object_set_new(j, "rx", json_integer((json_int_t)ci.rx_msgs));
		json_object_set_new(j, "tx", json_integer((json_int_t)ci.tx_msgs));
		json_object_set_new(j, "queued", json_integer((json_int_t)ci.queued));
		json_array_append_new(rows, j);
	}
	ctl_table(r, "connections", rows, cols, ARRAY_LEN(cols), NULL);
}

void cmd_realm_show(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"name", "realm", PK_TEXT, 0},
	    {"listen", "listens on", PK_TEXT, 0},
	    {"media", "media", PK_TEXT, 0},
	    {"pairs", "port pairs", PK_NUM, 0},
	    {"pairs_used", "in use", PK_NUM, 0},
	    {"pairs_resting", "resting", PK_NUM, 0},
	    {"dscp", "dscp", PK_NUM, 0},
	    {"strangers", "strangers", PK_TEXT, 0},
	    {"domains", "domains", PK_TEXT, 0},
	};
	const struct conf *c = r->be->ops->conf(r->be->ctx);
	const char *name = ctl_arg(r, "REALM");
	int i = conf_realm_find(c, str_z(name));

	if (i < 0) {
		struct text t = {0};

		for (unsigned k = 0; k < c->n_realms; k++)
			text_fmt(&t, "%s%.*s", k ? " " : "realms: ", STR(c->realms[k].name));
		ctl_refuse(r, REASON_NO_SUCH, text_z(&t), "no realm '%s'", name);
		text_fini(&t);
		return;
	}
	ctl_set(r, "realm", realm_json(r, c, (unsigned)i));
	ctl_block(r, "realm", cols, ARRAY_LEN(cols));
	ctl_table(r, "trunks", view_trunks(r->be, b2b_policy(r->be->b2b), name), view_trunk_cols, VIEW_TRUNK_COLS,
	    "no trunk is in this realm");
	put_connections(r, (unsigned)i);
	ctl_end(r);
}

/* -------------------------------------------------------------------- configuration */

void cmd_config_show(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"key", "KEY", PK_TEXT, 0},
	    {"source", "SOURCE", PK_TEXT, 0},
	    {"value", "VALUE", PK_TEXT, 0},
	};
	const struct conf *c = r->be->ops->conf(r->be->ctx);
	const char *want = ctl_arg(r, "SECTION");
	json_t *rows = json_array();

	for (unsigned i = 0; i < c->n_settings; i++) {
		const struct conf_setting *s = &c->settings[i];
		char key[120], source[32];
		json_t *j;
		struct buf b;

		buf_init(&b, key, sizeof(key));
		if (s->title[0] && !strcmp(s->key->section, "realm"))
			buf_fmt(&b, "%s.%s.%s", s->key->section, s->title, s->key->name);
		else
			buf_fmt(&b, "%s.%s", s->key->section, s->key->name);
		if ((ctl_flag(r, "--set") && !s->line) ||
		    (want && !str_prefix(buf_text(&b), str_z(want)) && strcmp(want, s->title) &&
			strcmp(want, s->key->name)))
			continue;
		j = json_object();
		json_object_set_new(j, "key", print_json(buf_text(&b)));
		json_object_set_new(j, "value", print_jsonz(s->value));
		buf_init(&b, source, sizeof(source));
		if (s->line)
			buf_fmt(&b, "line %u", s->line);
		else
			buf_lit(&b, "default");
		json_object_set_new(j, "source", print_json(buf_text(&b)));
		json_array_append_new(rows, j);
	}
	if (want && json_array_size(rows) == 0) {
		const struct conf_key *near = conf_key_nearest(str_z(want), NULL);
		char hint[120];
		struct buf b;

		buf_init(&b, hint, sizeof(hint));
		if (near)
			buf_fmt(&b, "did you mean %s.%s?", near->section, near->name);
		else
			buf_lit(&b, "sections: box realm log limits media dns");
		json_decref(rows);
		ctl_refuse(r, REASON_NO_SUCH, buf_z(&b), "no section or key '%s'", want);
		return;
	}
	ctl_set(r, "file", print_jsonz(c->file));
	ctl_say(r, "%s\n", c->file);
	ctl_table(r, "settings", rows, cols, ARRAY_LEN(cols), "nothing is set: all defaults");
	ctl_end(r);
}

static void reloaded(void *arg, enum reason why, const char *text)
{
	struct ctl_req *r = arg;
	struct str s = str_trim(str_z(text));

	if (why != REASON_NONE) {
		if (!r->json && !str_empty(s))
			text_fmt(&r->err, "%.*s\n", STR(s));
		ctl_fail(r, why, why == REASON_CONFIG_INVALID ? "correct the file and look with: postern config check" : NULL,
		    "not reloaded");
	} else {
		ctl_say(r, "%.*s%s", STR(s), str_empty(s) ? "reloaded, nothing changed\n" : "\nreloaded\n");
	}
	ctl_set(r, "text", print_json(s));
	ctl_end(r);
	ctl_release(r);
}

void cmd_reload(struct ctl_req *r)
{
	ctl_hold(r);
	r->be->ops->reload(r->be->ctx, reloaded, r);
}

/* -------------------------------------------------------------------- counters, names */

void cmd_metrics(struct ctl_req *r)
{
	const char *area = ctl_arg(r, "AREA");
	json_t *all = json_object();
	struct text areas = {0};
	bool any = false;

	list_each(n, &r->be->env->metrics->sets) {
		const struct metric_set *set = container_of(n, struct metric_set, node);
		json_t *j;

		text_fmt(&areas, "%s%s", areas.n ? " " : "", set->area);
		if (area && strcmp(area, set->area))
			continue;
		any = true;
		j = json_object_get(all, set->area);
		if (!j) {
			j = json_object();
			json_object_set_new(all, set->area, j);
		}
		for (unsigned i = 0; i < set->n; i++) {
			json_object_set_new(j, set->names[i], json_integer((json_int_t)set->values[i]));
			ctl_say(r, "%s.%s %llu\n", set->area, set->names[i], (unsigned long long)set->values[i]);
		}
	}
	ctl_set(r, "counters", all);
	if (!any) {
		char hint[300];
		struct buf b;

		buf_init(&b, hint, sizeof(hint));
		buf_fmt(&b, "areas: %.*s", STR(str_head(text_get(&areas), 250)));
		ctl_fail(r, REASON_NO_SUCH, buf_z(&b), "no counters of area '%s'", area);
	}
	text_fini(&areas);
	ctl_end(r);
}

void cmd_list_live(struct ctl_req *r)
{
	const char *kind = ctl_arg(r, "KIND");
	const struct policy *p = b2b_policy(r->be->b2b);
	char id[CALL_ID_TEXT];

	if (!strcmp(kind, "trunk"))
		for (unsigned i = 0; i < policy_trunk_count(p); i++)
			ctl_say(r, "%.*s\n", STR(policy_trunk_at(p, i)->name));
	else if (!strcmp(kind, "realm"))
		for (unsigned i = 0; i < policy_realm_count(p); i++)
			ctl_say(r, "%.*s\n", STR(policy_realm(p, i)->name));
	else if (!strcmp(kind, "route"))
		view_route_names(r);
	else if (!strcmp(kind, "call")) {
		const struct call *c = NULL;
		struct call_record *rec = malloc(sizeof(*rec));

		for (int n = 0; rec && n < 1000 && (c = b2b_call_next(r->be->b2b, c)); n++) {
			call_snapshot(c, rec);
			call_id_text(rec->id, id);
			ctl_say(r, "%s\n", id);
		}
		free(rec);
		for (unsigned i = 0; i < 50; i++) {
			const struct call_record *e = b2b_ended(r->be->b2b, i);

			if (!e)
				break;
			call_id_text(e->id, id);
			ctl_say(r, "%s\n", id);
		}
	} else if (!strcmp(kind, "name")) {
		const struct dns_set *set = NULL;
		struct dns_set_view v;

		for (int n = 0; n < 1000 && r->be->dns && (set = dns_walk(r->be->dns, set)); n++) {
			dns_set_view(set, &v);
			ctl_say(r, "%.*s\n", STR(v.name));
		}
	} else if (!strcmp(kind, "cert")) {
		const struct ctl_tls *tls = view_tls(r->be);
		struct tls_cert_view v;

		for (unsigned i = 0; tls && tls->store && i < tls_store_cert_count(tls->store); i++) {
			tls_store_cert(tls->store, i, &v);
			ctl_say(r, "%.*s\n", STR(v.name));
		}
	} else if (!strcmp(kind, "flow")) {
		struct netio_conn_info ci;
		uint32_t at = 0;

		for (int n = 0; n < 1000 && r->be->net && netio_conn_next(r->be->net, &at, &ci); n++)
			ctl_say(r, "%08x\n", ci.path.conn);
	} else if (!strcmp(kind, "ban")) {
		struct guard_ban ban;
		unsigned at = 0;

		while (guard_ban_next(r->be->guard, &at, &ban))
			ctl_say(r, "%s\n", view_net(&ban.net, (char[VIEW_NET_MAX]){0}));
	}
	ctl_end(r);
}
