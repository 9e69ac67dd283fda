/* apply.c - from configuration and rows to the running snapshot.
 *
 * Three things make a new snapshot: a change in the database (rows are loaded by the store thread), news of the
 * resolver, and a reload of the configuration file. All end in app_apply_rows(): compile off to the side, swap one
 * pointer, say what it touched. Any error leaves what runs as it is.
 */
#include "sbc/app/app.h"

#include <errno.h>
#include <stdlib.h>

int app_make_realms(const struct conf *c, struct pol_realm **ret)
{
	struct pol_realm *r = calloc(c->n_realms, sizeof(*r));

	if (!r)
		return -ENOMEM;
	for (unsigned i = 0; i < c->n_realms; i++)
		r[i] = (struct pol_realm){.name = c->realms[i].name,
		    .strangers = (enum pol_stranger)c->realms[i].strangers,
		    .not_public = c->realms[i].public_ == CONF_PUBLIC_NO,
		    .domains = c->realms[i].domains,
		    .n_domains = c->realms[i].n_domains};
	*ret = r;
	return 0;
}

/* ------------------------------------------------------------------ names */

static void on_names_timer(struct timer *t)
{
	struct app *a = container_of(t, struct app, names_timer);
	char text[1024];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	(void)app_apply_rows(a, NULL, &b);
}

static void on_resolved(void *ctx, struct resolve_name *n)
{
	struct app_name *name = ctx;
	struct log_quote q;
	unsigned count;

	resolve_addrs(n, &count);
	log_info(&name->app->log, "name_resolved", "name=%s addresses=%u", log_quoted(&q, name->host), count);
	/* several names change at once when the servers come back: one compile for all */
	if (!timer_running(&name->app->names_timer))
		timer_start_ms(&name->app->loop.timers, &name->app->names_timer, 20, on_names_timer);
}

static void name_free(struct app_name *n)
{
	resolve_unwatch(n->watch);
	list_del(&n->node);
	free((char *)n->host.p);
	free(n);
}

static void want_name(void *ctx, struct str host, bool source)
{
	struct app *a = ctx;
	struct app_name *n;
	struct log_quote q;
	char *copy;

	(void)source;
	list_each(l, &a->names) {
		n = container_of(l, struct app_name, node);
		if (str_ieq(n->host, host)) {
			n->wanted = true;
			return;
		}
	}
	n = calloc(1, sizeof(*n));
	copy = str_strdup(host);
	if (!n || !copy) {
		free(n);
		free(copy);
		return;
	}
	n->app = a;
	n->wanted = true;
	n->host = str_n(copy, host.n);
	if (resolve_watch(a->resolver, n->host, RESOLVE_V4 | RESOLVE_V6, on_resolved, n, &n->watch) < 0) {
		log_warn(&a->log, "name_bad", "name=%s", log_quoted(&q, host));
		free(copy);
		free(n);
		return;
	}
	list_push(&a->names, &n->node);
}

static void watch_names(struct app *a, const struct db_rows *rows)
{
	list_each(l, &a->names)
	{
		container_of(l, struct app_name, node)->wanted = false;
	}
	policy_names(rows, want_name, a);
	list_each(m, &a->names) {
		struct app_name *n = container_of(m, struct app_name, node);

		if (!n->wanted)
			name_free(n);
	}
}

void app_names_free(struct app *a)
{
	list_each(l, &a->names)
	{
		name_free(container_of(l, struct app_name, node));
	}
}

/* ------------------------------------------------------------------ compile and swap */

#define NAMES_MAX 1024

struct resolved_set {
	struct policy_resolved names[NAMES_MAX];
	struct policy_address addrs[NAMES_MAX * 4];
	unsigned n_names, n_addrs;
};

static void collect(const struct app *a, struct resolved_set *s)
{
	list_each(l, &((struct app *)a)->names) {
		const struct app_name *n = container_of(l, struct app_name, node);
		unsigned count;
		const struct addr *addrs = resolve_addrs(n->watch, &count);
		struct policy_resolved *r;

		if (count == 0 || s->n_names == NAMES_MAX || s->n_addrs + count > ARRAY_LEN(s->addrs))
			continue;
		r = &s->names[s->n_names++];
		r->name = n->host;
		r->addrs = &s->addrs[s->n_addrs];
		r->n_addrs = count;
		for (unsigned i = 0; i < count; i++)
			s->addrs[s->n_addrs++] = (struct policy_address){.addr = addrs[i]};
	}
}

struct diff_count {
	struct buf *text;
	unsigned n;
};

static void say_diff(void *ctx, enum policy_change what, const struct pol_trunk *t)
{
	static const char *const word[] = {"added", "removed", "changed"};
	struct diff_count *d = ctx;

	if (d->n++ < 20)
		buf_fmt(d->text, "trunk %.*s %s\n", STR(t->name), word[what]);
}

/* A peer that connects has to be offered its old ciphers before anybody knows who it is: the listeners of a realm
 * take them while one trunk of the realm is set to. */
static void follow_legacy(struct app *a, const struct policy *p)
{
	struct netio_error err;
	uint64_t was = a->legacy_realms, is = 0;

	_Static_assert(CONF_REALMS_MAX <= 64, "a bit for each realm");
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);

		if (t->tls.legacy)
			is |= (uint64_t)1 << t->realm;
	}
	a->legacy_realms = is;
	if (is != was && app_net_take(a, a->conf, app_tls_store(a), &err) < 0) {
		a->legacy_realms = was;
		log_error(&a->log, "legacy_not_taken", "text=\"%s\"", err.text);
	}
}

enum reason app_apply_rows(struct app *a, struct db_rows *rows, struct buf *text)
{
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	struct str *certs = calloc(a->conf->n_certs + 1, sizeof(*certs));
	struct resolved_set *set = calloc(1, sizeof(*set));
	struct db_rows *use = rows ? rows : a->rows;
	struct policy *p;
	struct policy_input in;
	struct diff_count d = {text, 0};
	enum reason why = REASON_NONE;
	int e;

	if (!errs || !set || !use || !certs) {
		why = REASON_NO_MEMORY;
		goto out;
	}
	for (unsigned i = 0; i < a->conf->n_certs; i++)
		certs[i] = a->conf->certs[i].name;
	watch_names(a, use);
	collect(a, set);
	in = (struct policy_input){.realms = a->realms,
	    .n_realms = a->conf->n_realms,
	    .rows = use,
	    .resolved = set->names,
	    .n_resolved = set->n_names,
	    .certs = certs,
	    .n_certs = a->conf->n_certs,
	    .hash_key = a->env.hash_key};
	e = policy_compile(&in, &p, errs);
	if (e < 0) {
		why = e == -ENOMEM ? REASON_NO_MEMORY : REASON_CONFIG_INVALID;
		for (unsigned i = 0; i < errs->n && i < POLICY_ERRORS_MAX; i++) {
			buf_fmt(text, "%s: %s%s%s\n", errs->e[i].object, errs->e[i].text,
			    errs->e[i].hint[0] ? "; " : "", errs->e[i].hint);
			log_error(&a->log, "policy_error", "object=\"%s\" text=\"%s\"", errs->e[i].object,
			    errs->e[i].text);
		}
		goto out;
	}
	policy_diff(b2b_policy(a->b2b), p, say_diff, &d);
	reg_set_policy(a->reg, p);
	b2b_set_policy(a->b2b, p);
	follow_legacy(a, p);
	policy_unref(p);
	log_info(&a->log, "policy_swapped", "revision=%llu trunks=%u calls_untouched=%u",
	    (unsigned long long)use->revision, policy_trunk_count(b2b_policy(a->b2b)), b2b_call_count(a->b2b));
	if (rows) {
		db_rows_free(a->rows);
		a->rows = rows;
		rows = NULL;
	}
out:
	db_rows_free(rows);
	free(set);
	free(certs);
	free(errs);
	return why;
}

struct load_req {
	struct db_req req;
	struct app *app;
	struct db_rows *rows;
	ctl_done_fn *done;
	void *arg;
};

static enum reason load_run(struct db_handle *h, struct db_req *r, struct db_err *err)
{
	struct load_req *l = container_of(r, struct load_req, req);

	db_rows_free(l->rows);
	l->rows = NULL;
	return db_load(h, &l->rows, err);
}

static void load_done(struct db_req *r)
{
	struct load_req *l = container_of(r, struct load_req, req);
	enum reason why = r->err.reason;
	char text[4096];
	struct buf b;

	buf_init(&b, text, sizeof(text) - 1);
	if (l->app->stopping || !l->app->b2b) {
		db_rows_free(l->rows);
		why = REASON_SHUTDOWN;
	} else if (why == REASON_NONE) {
		why = app_apply_rows(l->app, l->rows, &b);
	} else {
		buf_fmt(&b, "%s", r->err.text);
	}
	if (l->done)
		l->done(l->arg, why, b.err ? NULL : buf_z(&b));
	free(l);
}

void app_policy_changed(void *ctx, ctl_done_fn *done, void *arg)
{
	struct load_req *l = calloc(1, sizeof(*l));
	struct app *a = ctx;

	if (!l) {
		done(arg, REASON_NO_MEMORY, NULL);
		return;
	}
	l->app = a;
	l->done = done;
	l->arg = arg;
	l->req.kind = DB_READ;
	l->req.run = load_run;
	l->req.done = load_done;
	db_submit_any(a->db, &l->req);
}

/* ------------------------------------------------------------------ reload of the file */

/* First SIP domain of a certificate of ours; empty: it names none. */
static struct str cert_domain(struct tls_store *tls, struct str cert)
{
	struct tls_cert_view v;

	for (unsigned i = 0; tls && i < tls_store_cert_count(tls); i++) {
		tls_store_cert(tls, i, &v);
		if (str_eq(v.name, cert) && v.n_domains)
			return v.domains[0];
	}
	return STR_NONE;
}

static void put_host(struct net_listener_cfg *o, struct str host, uint16_t port)
{
	char *copy = str_strdup(host);

	if (!copy)
		return;
	o->host = str_n(copy, host.n);
	o->port = port;
}

static void listener_cfg(const struct conf_realm *r, const struct conf_listen *l, struct tls_store *tls,
    struct net_listener_cfg *o)
{
	struct str host = l->host;
	char text[ADDR_TEXT_MAX];
	struct buf b;

	*o = (struct net_listener_cfg){.proto = l->proto, .bound = l->bind};
	if (l->proto == CONF_TLS) {
		o->client_cert = r->client_cert;
		o->cert = r->cert;
		if (str_empty(host))
			host = cert_domain(tls, r->cert);
	}
	if (str_empty(host) && !addr_eq(&l->bind, &l->advertise)) {
		buf_init(&b, text, sizeof(text));
		addr_put_host(&b, &l->advertise);
		host = buf_text(&b);
	}
	if (!str_empty(host))
		put_host(o, host, addr_port(&l->advertise));
}

_Static_assert((int)CONF_CLIENT_CERT_REQUEST == (int)NET_CERT_REQUEST &&
                   (int)CONF_CLIENT_CERT_REQUIRE == (int)NET_CERT_REQUIRE &&
                   (int)CONF_CLIENT_CERT_NONE == (int)NET_CERT_NONE,
    "same order of what is wanted of a client");

void app_net_cfg(const struct conf *c, struct tls_store *tls, uint64_t legacy_realms, struct netio_cfg *cfg,
    struct net_listener_cfg *listeners, unsigned max)
{
	unsigned n = 0;

	netio_cfg_defaults(cfg);
	for (unsigned r = 0; r < c->n_realms; r++)
		for (unsigned i = 0; i < c->realms[r].n_listen && n < max; i++) {
			listener_cfg(&c->realms[r], &c->realms[r].listen[i], tls, &listeners[n]);
			listeners[n].legacy_ciphers = r < 64 && (legacy_realms >> r & 1);
			listeners[n++].realm = (uint8_t)r;
		}
	cfg->tls = tls;
	cfg->listeners = listeners;
	cfg->n_listeners = n;
	if (c->limits.tcp_connections)
		cfg->max_conns = c->limits.tcp_connections;
	if (c->limits.tcp_per_source)
		cfg->max_conns_source = c->limits.tcp_per_source;
	if (c->limits.tcp_first_message_ms)
		cfg->first_message_ms = (int)c->limits.tcp_first_message_ms;
}

void app_net_cfg_fini(struct net_listener_cfg *listeners, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		free((char *)listeners[i].host.p);
}

int app_net_take(struct app *a, const struct conf *c, struct tls_store *tls, struct netio_error *err)
{
	struct net_listener_cfg listeners[256];
	struct netio_cfg cfg;
	int e;

	app_net_cfg(c, tls, a->legacy_realms, &cfg, listeners, ARRAY_LEN(listeners));
	e = netio_reload(a->net, &cfg, err);
	app_net_cfg_fini(listeners, cfg.n_listeners);
	return e;
}

/* Realms keep their index while the daemon runs: trunks, paths and media pools hold it. */
static bool same_realms(const struct conf *a, const struct conf *b, struct buf *text)
{
	if (a->n_realms != b->n_realms) {
		buf_lit(text, "realms were added or removed: this needs a restart of posternd\n");
		return false;
	}
	for (unsigned i = 0; i < a->n_realms; i++) {
		const struct conf_realm *x = &a->realms[i], *y = &b->realms[i];

		if (!str_eq(x->name, y->name)) {
			buf_fmt(text, "realm %.*s stands where realm %.*s stood: keep the order, or restart posternd\n",
			    STR(y->name), STR(x->name));
			return false;
		}
		if (!addr_eq_ip(&x->media4.bind, &y->media4.bind) || !addr_eq_ip(&x->media6.bind, &y->media6.bind) ||
		    x->port_min != y->port_min || x->port_max != y->port_max || x->dscp != y->dscp)
			buf_fmt(text, "realm %.*s: changes of media and dscp take effect at the next start\n",
			    STR(x->name));
	}
	return true;
}

static void say_setting(void *ctx, const struct conf_setting *old, const struct conf_setting *new_)
{
	const struct conf_setting *s = new_ ? new_ : old;

	buf_fmt(ctx, "%s%s%s.%s: %s -> %s%s\n", s->key->section, s->title[0] ? " " : "", s->title, s->key->name,
	    old ? old->value : "-", new_ ? new_->value : "-", s->key->live ? "" : "  (at the next start)");
}

/* Warnings of the file stand before what the reload did. */
struct reload {
	ctl_done_fn *done;
	void *arg;
	char issues[8192];
};

static void reload_over(void *arg, enum reason why, const char *text)
{
	struct reload *r = arg;
	char *all = malloc(2 * sizeof(r->issues));
	struct buf b;

	buf_init(&b, all, all ? 2 * sizeof(r->issues) - 1 : 0);
	buf_fmt(&b, "%s%s", r->issues, text ? text : "");
	r->done(r->arg, why, b.err ? text : buf_z(&b));
	free(all);
	free(r);
}

static void say_issues(struct buf *b, struct conf_report *report)
{
	for (unsigned i = 0; i < report->n_issues && b->n < 6000; i++)
		conf_issue_put(b, report, &report->issues[i]);
	conf_report_fini(report);
}

/* The certificates of the new file are loaded, or not. */
static void reload_loaded(struct app *a, struct conf *c, struct tls_store *store, const struct tls_error *terr,
    ctl_done_fn *done, void *arg)
{
	struct netio_error nerr;
	struct pol_realm *realms = NULL, *old_realms;
	enum reason why = REASON_NONE;
	struct conf *old;
	char text[8192];
	struct buf b;

	buf_init(&b, text, sizeof(text) - 1);
	if (!store) {
		buf_fmt(&b, "%s\n%s%snot loaded; the running configuration is unchanged\n", terr->text, terr->hint,
		    terr->hint[0] ? "\n" : "");
		why = terr->reason;
	} else if (!same_realms(a->conf, c, &b)) {
		why = REASON_CONFIG_INVALID;
	} else if (app_make_realms(c, &realms) < 0) {
		why = REASON_NO_MEMORY;
	} else if (app_net_take(a, c, store, &nerr) < 0) {
		buf_fmt(&b, "%s\n", nerr.text);
		why = nerr.reason;
	}
	if (why == REASON_NONE) {
		conf_diff(a->conf, c, say_setting, &b);
		for (int i = 0; i < LOG_AREAS; i++)
			a->logger.level[i] = c->log.level[i];
		old = a->conf;
		old_realms = a->realms;
		a->conf = conf_ref(c);
		a->realms = realms;
		realms = NULL;
		app_tls_conf_taken(a, store);
		(void)app_apply_rows(a, NULL, &b);
		conf_unref(old);
		free(old_realms);
		log_info(&a->log, "reloaded", "calls_untouched=%u", b2b_call_count(a->b2b));
	}
	free(realms);
	done(arg, why, b.err ? "output too long" : buf_z(&b));
}

void app_reload(void *ctx, ctl_done_fn *done, void *arg)
{
	struct reload *r = calloc(1, sizeof(*r));
	struct app *a = ctx;
	struct conf_report report;
	struct conf *c;
	struct buf b;

	if (!r) {
		done(arg, REASON_NO_MEMORY, NULL);
		return;
	}
	r->done = done;
	r->arg = arg;
	buf_init(&b, r->issues, sizeof(r->issues) - 1);
	c = conf_load_file(a->conf_file, &report);
	say_issues(&b, &report);
	(void)buf_z(&b);
	if (!c)
		reload_over(r, REASON_CONFIG_INVALID, "not loaded; the running configuration is unchanged\n");
	else
		app_tls_load_conf(a, c, reload_loaded, reload_over, r);
	conf_unref(c);
}
