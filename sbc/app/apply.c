/* apply.c - from configuration and rows to the running snapshot.
 *
 * Three things make a new snapshot: a change in the database (rows are loaded by the store thread), a reload of the
 * configuration file, and news of the DNS. The first two end in app_apply_rows(): compile off to the side, swap one
 * pointer, say what it touched; any error leaves what runs as it is. News of the DNS changes only the set of sources:
 * names_changed(). Addresses that left their name stay for the grace of their trunks.
 */
#include "sbc/app/app.h"

#include <errno.h>
#include <stdlib.h>

/* The certificate of that name. */
static bool find_cert(const struct tls_store *tls, struct str name, struct tls_cert_view *ret)
{
	for (unsigned i = 0; tls && name.n && i < tls_store_cert_count(tls); i++) {
		tls_store_cert(tls, i, ret);
		if (str_eq(ret->name, name))
			return true;
	}
	return false;
}

/* Hosts of a realm: domains of the file, what its TLS listeners call themselves, what their certificate names. list
 * NULL: only counts; what has no longer life is copied to text. */
static void put_domains(const struct conf_realm *in, const struct tls_store *tls, struct str *list, size_t *n, char *text,
    size_t *bytes)
{
	struct tls_cert_view cert;

	for (unsigned k = 0; k < in->n_domains; k++, ++*n)
		if (list)
			list[*n] = in->domains[k];
	for (unsigned k = 0; k < in->n_listen; k++) {
		if (!in->listen[k].host.n)
			continue;
		if (list)
			list[*n] = in->listen[k].host;
		++*n;
	}
	if (!find_cert(tls, in->cert, &cert))
		return;
	for (unsigned k = 0; k < cert.n_domains; k++, ++*n) {
		if (list) {
			memcpy(text + *bytes, cert.domains[k].p, cert.domains[k].n);
			list[*n] = str_n(text + *bytes, cert.domains[k].n);
		}
		*bytes += cert.domains[k].n;
	}
}

int app_make_realms(const struct conf *c, const struct tls_store *tls, struct pol_realm **ret)
{
	size_t n = 0, bytes = 0;
	struct pol_realm *r;
	struct str *list;
	char *text;

	for (unsigned i = 0; i < c->n_realms; i++)
		put_domains(&c->realms[i], tls, NULL, &n, NULL, &bytes);
	r = calloc(1, c->n_realms * sizeof(*r) + n * sizeof(*list) + bytes);
	if (!r)
		return -ENOMEM;
	list = (struct str *)(void *)(r + c->n_realms);
	text = (char *)(list + n);
	n = bytes = 0;
	for (unsigned i = 0; i < c->n_realms; i++) {
		size_t first = n;

		put_domains(&c->realms[i], tls, list, &n, text, &bytes);
		r[i] = (struct pol_realm){.name = c->realms[i].name,
		    .strangers = (enum pol_stranger)c->realms[i].strangers,
		    .not_public = c->realms[i].public_ == CONF_PUBLIC_NO,
		    .domains = list + first,
		    .n_domains = (unsigned)(n - first)};
	}
	*ret = r;
	return 0;
}

bool app_same_hosts(const struct pol_realm *a, const struct pol_realm *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (a[i].n_domains != b[i].n_domains)
			return false;
		for (unsigned k = 0; k < a[i].n_domains; k++)
			if (!str_eq(a[i].domains[k], b[i].domains[k]))
				return false;
	}
	return true;
}

/* ------------------------------------------------------------------ names */

static void names_changed(struct app *a);

/* Either there is news, or the first address that left its name has had its grace. */
static void on_names_timer(struct timer *t)
{
	struct app *a = container_of(t, struct app, names_timer);

	a->names_news = false;
	names_changed(a);
}

static void arm_names_timer(struct app *a)
{
	int64_t next_us = policy_addresses_next_us(b2b_policy(a->b2b)), now_us = a->loop.clock.mono_us;

	if (a->names_news)
		return;
	timer_stop(&a->loop.timers, &a->names_timer);
	if (next_us != INT64_MAX)
		timer_start_ms(&a->loop.timers, &a->names_timer, next_us > now_us ? (next_us - now_us) / 1000 + 1 : 0,
		    on_names_timer);
}

static bool in_set(const struct addr *set, unsigned n, const struct addr *a)
{
	for (unsigned i = 0; i < n; i++)
		if (addr_eq_ip(&set[i], a))
			return true;
	return false;
}

/* " +192.0.2.1" for each of a that is not in b */
static void put_new(struct buf *w, char sign, const struct addr *a, unsigned n_a, const struct addr *b, unsigned n_b)
{
	for (unsigned i = 0; i < n_a; i++) {
		if (in_set(b, n_b, &a[i]))
			continue;
		buf_fmt(w, "%s%c", w->n ? "," : "", sign);
		addr_put_ip(w, &a[i]);
	}
}

/* Says what changed, and keeps the set for the next time. */
static void note_addresses(struct app_name *name, const struct addr *addrs, unsigned n)
{
	struct addr *copy = malloc((n ? n : 1) * sizeof(*copy));
	char text[1024];
	struct log_quote q;
	struct buf w;

	buf_init(&w, text, sizeof(text));
	put_new(&w, '+', addrs, n, name->addrs, name->n_addrs);
	put_new(&w, '-', name->addrs, name->n_addrs, addrs, n);
	if (w.n || !n)
		log_info(&name->app->log, "name_resolved", "name=%s addresses=%u changes=%.*s%s", log_quoted(&q, name->host), n,
	    STR(buf_text(&w)), buf_err(&w) ? "..." : "");
	if (!copy)
		return; /* the next line says more than it should */
	if (n)
		memcpy(copy, addrs, n * sizeof(*copy));
	free(name->addrs);
	name->addrs = copy;
	name->n_addrs = n;
}

/* Several names change at once when the servers come back: one snapshot for all. */
static void names_news(struct app *a)
{
	if (a->names_news)
		return;
	a->names_news = true;
	timer_stop(&a->loop.timers, &a->names_timer);
	timer_start_ms(&a->loop.timers, &a->names_timer, 20, on_names_timer);
}

static void on_resolved(void *ctx, struct resolve_name *n)
{
	struct app_name *name = ctx;
	struct app *a = name->app;
	unsigned count;
	const struct addr *addrs = resolve_addrs(n, &count);

	note_addresses(name, addrs, count);
	names_news(a);
}

static void name_free(struct app_name *n)
{
	resolve_unwatch(n->watch);
	htab_del(&n->app->names, &n->node);
	free((char *)n->host.p);
	free(n->addrs);
	free(n);
}

/* The name is wanted with the addresses of these places (bits of resolve.h). */
static void want_name(struct app *a, struct str host, unsigned what)
{
	char lower[DNS_NAME_MAX + 1];
	struct app_name *n;
	struct log_quote q;
	uint64_t hash;
	char *copy;

	if (host.n > sizeof(lower))
		return;
	for (size_t i = 0; i < host.n; i++)
		lower[i] = chr_lower(host.p[i]);
	hash = hash_bytes(&a->env.hash_key, lower, host.n);
	for (struct hnode *h = htab_first(&a->names, hash); h; h = htab_next(h)) {
		n = container_of(h, struct app_name, node);
		if (str_ieq(n->host, host)) {
			n->wanted |= what;
			return;
		}
	}
	n = calloc(1, sizeof(*n));
	copy = str_strdup(host);
	if (!n || !copy) {
		free(n);
		free(copy);
		log_error(&a->log, "name_lost", "name=%s why=\"out of memory\"", log_quoted(&q, host));
		return;
	}
	n->app = a;
	n->wanted = what;
	n->host = str_n(copy, host.n);
	if (resolve_watch(
	        a->locator, &a->loop.clock, n->host, RESOLVE_V4 | RESOLVE_V6 | what, on_resolved, n, &n->watch) < 0) {
		log_warn(&a->log, "name_bad", "name=%s", log_quoted(&q, host));
		free(copy);
		free(n);
		return;
	}
	htab_add(&a->names, &n->node, hash);
}

/* A source may be a host or a domain: both its own addresses and its servers are meant. */
static void want_source(void *ctx, struct str host, bool source)
{
	if (source)
		want_name(ctx, host, RESOLVE_OWN | RESOLVE_ANY);
}

/* Who is called there may call from there: the places a target leads to, and no others. */
static unsigned places_of(const struct pol_target *t)
{
	if (t->port)
		return RESOLVE_OWN;
	return t->proto == NET_UDP   ? RESOLVE_UDP
	       : t->proto == NET_TCP ? RESOLVE_TCP
	       : t->proto == NET_TLS ? RESOLVE_TLS
	                             : RESOLVE_ANY;
}

static struct app_name *name_walk(struct app *a, struct app_name *after)
{
	struct hnode *h = htab_walk(&a->names, after ? &after->node : NULL);

	return h ? container_of(h, struct app_name, node) : NULL;
}

/* Watches the names the rows and the snapshot compiled from them hold, and no others. */
static void watch_names(struct app *a, const struct db_rows *rows, const struct policy *p)
{
	struct app_name *n, *next;

	for (n = name_walk(a, NULL); n; n = name_walk(a, n))
		n->wanted = 0;
	policy_names(rows, want_source, a);
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);

		for (unsigned k = 0; k < t->n_targets; k++)
			if (addr_none(&t->targets[k].addr))
				want_name(a, t->targets[k].host, places_of(&t->targets[k]));
	}
	for (n = name_walk(a, NULL); n; n = next) {
		struct log_quote q;

		next = name_walk(a, n);
		if (n->wanted == 0)
			name_free(n);
		else if (n->wanted != (resolve_what(n->watch) & ~(unsigned)(RESOLVE_V4 | RESOLVE_V6)) &&
		         resolve_change(n->watch, n->wanted) < 0)
			log_error(&a->log, "name_not_changed", "name=%s why=\"out of memory\"", log_quoted(&q, n->host));
	}
	for (n = name_walk(a, NULL); n; n = name_walk(a, n)) {
		unsigned count;
		const struct addr *addrs = resolve_addrs(n->watch, &count);

		if (count != n->n_addrs) /* known at once: somebody else watches it, or did a moment ago */
			note_addresses(n, addrs, count);
		else
			continue;
		names_news(a);
	}
}

void app_names_free(struct app *a)
{
	struct app_name *n;

	while (a->names.bucket && (n = name_walk(a, NULL)))
		name_free(n);
	htab_fini(&a->names);
}

/* ------------------------------------------------------------------ compile and swap */

/* What is known of all names. */
struct resolved_set {
	struct policy_resolved *names; /* own */
	struct policy_address *addrs;  /* own */
	unsigned n_names;
};

static void resolved_set_fini(struct resolved_set *s)
{
	free(s->names);
	free(s->addrs);
}

static int collect(struct app *a, struct resolved_set *ret)
{
	struct resolved_set s = {.n_names = 0};
	size_t n_addrs = 0, n_names = 0;
	struct policy_address *out;

	for (struct app_name *n = name_walk(a, NULL); n; n = name_walk(a, n)) {
		unsigned count;

		resolve_addrs(n->watch, &count);
		n_addrs += count + RESOLVE_FORMER_MAX;
		n_names++;
	}
	s.names = calloc(n_names + 1, sizeof(*s.names));
	s.addrs = out = calloc(n_addrs + 1, sizeof(*s.addrs));
	if (!s.names || !s.addrs) {
		resolved_set_fini(&s);
		return -ENOMEM;
	}
	for (struct app_name *n = name_walk(a, NULL); n; n = name_walk(a, n)) {
		struct policy_resolved *r = &s.names[s.n_names++];
		unsigned count;
		const struct addr *addrs = resolve_addrs(n->watch, &count);
		struct policy_address former = {.left_us = 0};

		*r = (struct policy_resolved){.name = n->host, .addrs = out};
		for (unsigned i = 0; i < count; i++)
			*out++ = (struct policy_address){.addr = addrs[i]};
		for (unsigned i = 0; resolve_former(n->watch, i, &former.addr, &former.left_us); i++)
			*out++ = former;
		r->n_addrs = (unsigned)(out - r->addrs);
	}
	*ret = s;
	return 0;
}

struct diff_count {
	struct buf *text;
	unsigned n, removed;
};

static void say_diff(void *ctx, enum policy_change what, const struct pol_trunk *t)
{
	static const char *const word[] = {"added", "removed", "changed"};
	struct diff_count *d = ctx;

	d->removed += what == POLICY_REMOVED;
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

static void log_changed(void *ctx, enum policy_change what, const struct pol_trunk *t)
{
	struct app *a = ctx;

	if (what == POLICY_CHANGED)
		log_info(&a->log, "trunk_addresses", "trunk=%.*s", STR(t->name));
}

/* Other addresses behind the names: the running snapshot with another set of sources. */
static void names_changed(struct app *a)
{
	struct policy *now = b2b_policy(a->b2b), *p;
	struct resolved_set set = {.names = NULL};

	p = collect(a, &set) < 0 ? NULL : policy_with_addresses(now, set.names, set.n_names, a->loop.clock.mono_us);
	if (p) {
		policy_diff(now, p, log_changed, a);
		b2b_set_policy(a->b2b, p);
		reg_clients_set_policy(a->clients, p);
		reg_events_set_policy(a->reg_events, p);
		reg_watches_set_policy(a->reg_watches, p);
		policy_unref(p);
		arm_names_timer(a);
	} else {
		log_error(&a->log, "addresses_not_changed", "%s", "why=\"out of memory\"");
	}
	resolved_set_fini(&set);
}

enum reason app_apply_rows(struct app *a, struct db_rows *rows, struct buf *text)
{
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	struct str *certs = calloc(a->conf->n_certs + 1, sizeof(*certs));
	struct resolved_set set = {.names = NULL};
	struct db_rows *use = rows ? rows : a->rows;
	struct policy *p, *named;
	struct policy_input in;
	struct diff_count d = {.text = text};
	enum reason why = REASON_NONE;
	unsigned ended;
	int e;

	if (!errs || !use || !certs) {
		why = REASON_NO_MEMORY;
		goto out;
	}
	for (unsigned i = 0; i < a->conf->n_certs; i++)
		certs[i] = a->conf->certs[i].name;
	if (collect(a, &set) < 0) {
		why = REASON_NO_MEMORY;
		goto out;
	}
	in = (struct policy_input){.realms = a->realms,
	    .n_realms = a->conf->n_realms,
	    .rows = use,
	    .certs = certs,
	    .n_certs = a->conf->n_certs,
	    .now_us = a->loop.clock.mono_us,
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
	/* targets that are names stay names (the locator follows them); who may send is what the names lead to */
	named = policy_with_addresses(p, set.names, set.n_names, a->loop.clock.mono_us);
	policy_unref(p);
	if (!named) {
		why = REASON_NO_MEMORY;
		goto out;
	}
	p = named;
	policy_diff(b2b_policy(a->b2b), p, say_diff, &d);
	reg_set_policy(a->reg, p);
	b2b_set_policy(a->b2b, p);
	reg_clients_set_policy(a->clients, p);
	reg_events_set_policy(a->reg_events, p);
	reg_watches_set_policy(a->reg_watches, p);
	follow_legacy(a, p);
	watch_names(a, use, p);
	policy_unref(p);
	arm_names_timer(a);
	app_gruu_need(a);
	if (a->restored)
		app_link_follow(a);
	ended = d.removed ? b2b_end_trunkless(a->b2b) : 0;
	log_info(&a->log, "policy_swapped", "revision=%llu trunks=%u calls_ended=%u calls_untouched=%u",
	    (unsigned long long)use->revision, policy_trunk_count(b2b_policy(a->b2b)), ended,
	    b2b_call_count(a->b2b) - ended);
	if (rows) {
		db_rows_free(a->rows);
		a->rows = rows;
		rows = NULL;
	}
out:
	db_rows_free(rows);
	resolved_set_fini(&set);
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

	return find_cert(tls, cert, &v) && v.n_domains ? v.domains[0] : STR_NONE;
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
			listeners[n].dscp = c->realms[r].sip_dscp;
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
		    x->port_min != y->port_min || x->port_max != y->port_max || x->dscp != y->dscp ||
		    x->sip_dscp != y->sip_dscp)
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
	} else if (app_make_realms(c, store, &realms) < 0) {
		why = REASON_NO_MEMORY;
	} else if (app_net_take(a, c, store, &nerr) < 0) {
		buf_fmt(&b, "%s\n", nerr.text);
		why = nerr.reason;
	}
	if (why == REASON_NONE) {
		if (dns_set_servers(a->dns, c->dns.servers, c->dns.n_servers) < 0)
			buf_lit(&b, "dns.servers: not changed, no memory\n");
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
