/* locate_dns.c - destinations on record sets.
 *
 * A location watches, one after the other, what RFC 3263 4 asks for: NAPTR of its host, SRV of the services found (or
 * guessed), A and AAAA of each server. Whenever one of these sets says something, the whole plan is made anew from
 * what is known (on_rebuild) and published when it differs. Nothing else is kept, so there is no state to go wrong.
 *
 * Settling: while answers are missing (at the start, or because a SRV record names a new server) the old plan stays in
 * use; after SETTLE_MS what is there becomes the plan, if there are any addresses in it.
 *
 * Going wrong: NAPTR that fails (some firewalls drop such questions) counts as none. SRV that fails does not lead to
 * the addresses of the host itself: those may be something else. Both families are always asked (HE-01), but only
 * those the realm listens on decide what the plan is worth.
 */
#include "sbc/net/locate_dns.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/net/locate_rules.h"
#include "sbc/net/resolve.h"

#define SETTLE_MS 1000

struct host {
	struct dns_watch *w[2]; /* own: A, AAAA */
};

struct location {
	struct list node;
	struct locator_dns *lr;
	struct locate_dest d;       /* host is own */
	locate_fn *fn;
	void *ctx;
	struct locate_plan *plan;   /* ref */
	struct dns_watch *naptr;    /* own */
	struct dns_watch *srv[LOCATE_SERVICES_MAX]; /* own */
	uint8_t srv_proto[LOCATE_SERVICES_MAX];
	unsigned n_srv;
	struct host *hosts;         /* own */
	unsigned n_hosts;
	struct loop_hook rebuild;
	struct timer settle;
	bool settling, settled_out; /* waits for answers; has waited long enough */
};

struct locator_dns {
	struct locator base;
	struct loop *loop;
	const struct env *env;
	struct dns *dns;
	struct log log;
	struct list locations;
	struct locate_draft draft; /* for making plans */
};

/* What the sets in use say together. */
struct verdict {
	bool pending, failed, stale, refused, no_name;
	int64_t fresh_until_us, stale_until_us;
	unsigned n; /* sets */
};

static void on_settle(struct timer *t);

static struct locator_dns *of(const struct locator *lr)
{
	return container_of((struct locator *)lr, struct locator_dns, base);
}

static void on_news(void *ctx, struct dns_watch *w)
{
	struct location *l = ctx;

	(void)w;
	loop_at_turn_end(l->lr->loop, &l->rebuild);
}

/* ---- watching what is wanted, and nothing else ---- */

static struct dns_watch *watch(struct location *l, struct str name, enum dns_type type)
{
	struct dns_watch *w;
	int e = dns_watch(l->lr->dns, name, type, on_news, l, &w);

	if (e == 0)
		return w;
	log_warn(&l->lr->log, "locate_no_watch", "host=%.*s name=%.*s type=%s errno=%d", STR(l->d.host), STR(name),
	    dns_type_name(type), -e);
	return NULL;
}

static void host_close(struct host *h)
{
	dns_unwatch(h->w[0]);
	dns_unwatch(h->w[1]);
}

static struct str host_name(const struct host *h)
{
	return h->w[0] ? dns_watch_name(h->w[0]) : h->w[1] ? dns_watch_name(h->w[1]) : STR_NONE;
}

/* SRV sets: those of all n services; what is watched already stays so. */
static void want_services(struct location *l, const struct locate_service *s, unsigned n)
{
	struct dns_watch *old[LOCATE_SERVICES_MAX];
	unsigned n_old = l->n_srv;

	memcpy(old, l->srv, sizeof(old));
	l->n_srv = 0;
	for (unsigned i = 0; i < n; i++) {
		struct dns_watch *w = NULL;

		for (unsigned k = 0; k < n_old && !w; k++) {
			if (old[k] && str_ieq(dns_watch_name(old[k]), str_z(s[i].name))) {
				w = old[k];
				old[k] = NULL;
			}
		}
		if (!w)
			w = watch(l, str_z(s[i].name), DNS_SRV);
		if (!w)
			continue;
		l->srv_proto[l->n_srv] = s[i].proto;
		l->srv[l->n_srv++] = w;
	}
	for (unsigned k = 0; k < n_old; k++)
		dns_unwatch(old[k]);
}

static struct host *find_host(struct host *h, unsigned n, struct str name)
{
	for (unsigned i = 0; i < n; i++)
		if (str_ieq(host_name(&h[i]), name))
			return &h[i];
	return NULL;
}

/* Address sets: those of all n names. -ENOMEM: as before. */
static int want_hosts(struct location *l, const struct str *names, unsigned n)
{
	struct host *h = NULL;
	unsigned k = 0;

	if (n) {
		h = calloc(n, sizeof(*h));
		if (!h)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < n; i++) {
		struct host *o;

		if (find_host(h, k, names[i]))
			continue;
		o = find_host(l->hosts, l->n_hosts, names[i]);
		if (o) {
			h[k++] = *o;
			*o = (struct host){{NULL, NULL}};
			continue;
		}
		h[k].w[0] = watch(l, names[i], DNS_A);
		h[k].w[1] = watch(l, names[i], DNS_AAAA);
		k += h[k].w[0] || h[k].w[1];
	}
	for (unsigned i = 0; i < l->n_hosts; i++)
		host_close(&l->hosts[i]);
	free(l->hosts);
	l->hosts = h;
	l->n_hosts = k;
	return 0;
}

/* ---- making a plan ---- */

static void note(struct verdict *v, const struct dns_answer *a)
{
	v->n++;
	v->pending |= a->state == DNS_PENDING;
	v->failed |= a->state == DNS_FAILED;
	v->stale |= a->state == DNS_STALE;
	if (a->state == DNS_STALE && a->stale_until_us < v->stale_until_us)
		v->stale_until_us = a->stale_until_us;
	if ((a->state == DNS_GOOD || a->state == DNS_EMPTY) && a->good_until_us < v->fresh_until_us)
		v->fresh_until_us = a->good_until_us;
}

/* Adds the addresses of a name to the server begun last. */
static void add_addrs(struct location *l, struct verdict *v, struct str name, uint16_t port)
{
	struct host *h = find_host(l->hosts, l->n_hosts, name);
	bool all_gone = h != NULL;
	struct addr addrs[2 * DNS_RECORDS_MAX];
	unsigned n = 0;

	for (int i = 0; h && i < 2; i++) {
		struct dns_answer a;

		if (!h->w[i] || (l->d.families && !(l->d.families & (i ? RESOLVE_V6 : RESOLVE_V4))))
			continue;
		dns_answer(h->w[i], &a);
		note(v, &a);
		all_gone &= a.no_name;
		for (unsigned k = 0; k < a.n; k++)
			addrs[n++] = a.records[k].addr;
	}
	v->no_name &= all_gone;
	locate_draft_addrs(&l->lr->draft, &l->d, addrs, n, port);
}

/* Servers of all services; false: there are none, so the host's own addresses count (unless v says otherwise). */
static int add_services(struct location *l, struct verdict *v)
{
	struct str names[LOCATE_SERVERS_MAX];
	struct dns_record srv[DNS_RECORDS_MAX];
	struct locate_draft *f = &l->lr->draft;
	struct verdict sets = {.fresh_until_us = INT64_MAX, .stale_until_us = INT64_MAX};
	uint16_t ports[LOCATE_SERVERS_MAX];
	unsigned n = 0;
	int e;

	for (unsigned i = 0; i < l->n_srv; i++) {
		struct dns_answer a;

		dns_answer(l->srv[i], &a);
		note(&sets, &a);
		if (a.n)
			memcpy(srv, a.records, a.n * sizeof(*srv));
		locate_sort_srv(srv, a.n);
		for (unsigned k = 0; k < a.n; k++) {
			const struct locate_server s = {.name = srv[k].srv.target,
			    .priority = srv[k].srv.priority,
			    .weight = srv[k].srv.weight,
			    .proto = l->srv_proto[i],
			    .rank = (uint8_t)i};

			if (s.name.n == 0) {
				v->refused = true;
				continue;
			}
			if (!locate_draft_server(f, &s))
				continue;
			ports[n] = srv[k].srv.port;
			names[n++] = s.name;
		}
	}
	sets.failed &= n == 0; /* one service of several will do */
	v->pending |= sets.pending;
	v->failed |= sets.failed;
	v->stale |= sets.stale;
	if (sets.fresh_until_us < v->fresh_until_us)
		v->fresh_until_us = sets.fresh_until_us;
	if (sets.stale_until_us < v->stale_until_us)
		v->stale_until_us = sets.stale_until_us;
	if (n == 0)
		return 0;
	e = want_hosts(l, names, n);
	if (e < 0)
		return e;
	f->n_servers = 0; /* once more, now with addresses */
	for (unsigned i = 0; i < n; i++) {
		struct locate_server s = f->servers[i];

		locate_draft_server(f, &s);
		add_addrs(l, v, names[i], ports[i]);
	}
	return 1;
}

/* Fills the draft. 0, -EAGAIN (the question before has to be answered first), -ENOMEM. */
static int draft(struct location *l, struct verdict *v)
{
	struct locate_service s[LOCATE_SERVICES_MAX];
	struct locate_draft *f = &l->lr->draft;
	enum locate_step step = locate_first(&l->d);
	struct dns_answer a;
	unsigned n = 0;
	uint8_t proto;
	int e;

	*f = (struct locate_draft){.how = "address"};
	*v = (struct verdict){.no_name = true, .fresh_until_us = INT64_MAX, .stale_until_us = INT64_MAX};
	if (step == LOCATE_ASK_NAPTR) {
		if (!l->naptr)
			l->naptr = watch(l, l->d.host, DNS_NAPTR);
		if (l->naptr) {
			dns_answer(l->naptr, &a);
			if (a.state == DNS_PENDING) {
				v->pending = true;
				return -EAGAIN;
			}
			note(v, &a);
			v->failed = false;
			n = locate_services_naptr(&l->d, a.records, a.n, s);
			f->how = "naptr";
		}
	}
	if (step != LOCATE_ASK_ADDRESS) {
		if (n == 0) {
			n = locate_services_srv(&l->d, s);
			f->how = "srv";
		}
		want_services(l, s, n);
		e = add_services(l, v);
		if (e != 0)
			return e < 0 ? e : 0;
		if (v->pending)
			return -EAGAIN;
		if (v->failed || v->refused)
			return want_hosts(l, NULL, 0);
		f->how = "address";
	}
	e = want_hosts(l, &l->d.host, 1);
	if (e < 0)
		return e;
	proto = locate_default_proto(&l->d);
	locate_draft_server(f, &(struct locate_server){.name = l->d.host, .proto = proto});
	add_addrs(l, v, l->d.host, locate_default_port(&l->d, proto));
	return 0;
}

static struct locate_plan *make_plan(struct location *l, const struct verdict *v)
{
	const struct locate_draft *f = &l->lr->draft;

	if (f->n_addrs)
		return locate_draft_plan(f, v->stale ? LOCATE_STALE : LOCATE_GOOD, REASON_NONE);
	if (v->failed)
		return locate_draft_plan(f, LOCATE_FAILED, REASON_DNS_FAILED);
	return locate_draft_plan(f, LOCATE_EMPTY,
	    v->refused && f->n_servers == 0 ? REASON_DNS_REFUSED_SERVICE
	    : v->no_name                    ? REASON_DNS_NO_NAME
	                                    : REASON_DNS_NO_ADDRESS);
}

static void wait_more(struct location *l)
{
	l->settling = true;
	if (!timer_running(&l->settle) && !l->settled_out)
		timer_start_ms(l->lr->env->timers, &l->settle, SETTLE_MS, on_settle);
}

/* True: there is another plan than before. */
static bool rebuild(struct location *l)
{
	struct locator_dns *lr = l->lr;
	const struct locate_draft *f = &lr->draft;
	struct verdict v;
	struct locate_plan *p;
	bool same;
	int e = draft(l, &v);

	if (e == -ENOMEM) {
		l->settled_out = false;
		wait_more(l); /* tried again then */
		return false;
	}
	if (e == -EAGAIN || (v.pending && (!l->settled_out || f->n_addrs == 0))) {
		wait_more(l);
		return false;
	}
	if (!v.pending) {
		l->settling = l->settled_out = false;
		timer_stop(lr->env->timers, &l->settle);
	}
	p = make_plan(l, &v);
	if (!p) {
		wait_more(l);
		return false;
	}
	p->fresh_until_us = v.fresh_until_us;
	p->stale_until_us = v.stale_until_us;
	same = locate_plan_same(p, l->plan);
	if (same) {
		l->plan->fresh_until_us = p->fresh_until_us;
		l->plan->stale_until_us = p->stale_until_us;
		locate_plan_unref(p);
		return false;
	}
	log_info(&lr->log, "located", "host=%.*s state=%s how=%s servers=%u addresses=%u left_out=%u", STR(l->d.host),
	    locate_state_names[p->state], p->how, p->n_servers, p->n_addrs, f->left_out);
	locate_plan_unref(l->plan);
	l->plan = p;
	return true;
}

static void on_rebuild(struct loop_hook *h)
{
	struct location *l = container_of(h, struct location, rebuild);

	if (rebuild(l))
		l->fn(l->ctx, l); /* l may be gone */
}

static void on_settle(struct timer *t)
{
	struct location *l = container_of(t, struct location, settle);

	l->settled_out = true;
	loop_at_turn_end(l->lr->loop, &l->rebuild);
}

/* ---- interface ---- */

static void unwatch(struct location *l)
{
	list_del(&l->node);
	loop_hook_cancel(&l->rebuild);
	timer_stop(l->lr->env->timers, &l->settle);
	dns_unwatch(l->naptr);
	want_services(l, NULL, 0);
	(void)want_hosts(l, NULL, 0);
	locate_plan_unref(l->plan);
	free((char *)l->d.host.p);
	free(l);
}

static int locator_watch(
    struct locator *base, const struct locate_dest *d, locate_fn *fn, void *ctx, struct location **ret)
{
	struct locator_dns *lr = of(base);
	struct str host = d->host;
	struct location *l;
	struct addr numeric;
	bool is_addr = addr_parse_ip(host, 0, &numeric) == 0;
	static const struct locate_draft nothing = {.how = "address"};

	if (!is_addr && host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (!is_addr && !dns_name_ok(host))
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->lr = lr;
	l->d = *d;
	l->fn = fn;
	l->ctx = ctx;
	l->rebuild.fn = on_rebuild;
	l->d.host = str_n(str_strdup(host), host.n);
	if (!l->d.host.p) {
		free(l);
		return -ENOMEM;
	}
	l->plan = is_addr ? locate_plan_numeric(&numeric, &l->d)
	                  : locate_draft_plan(&nothing, LOCATE_PENDING, REASON_NONE);
	list_push(&lr->locations, &l->node);
	if (!l->plan) {
		unwatch(l);
		return -ENOMEM;
	}
	if (!is_addr)
		(void)rebuild(l);
	*ret = l;
	return 0;
}

static const struct locate_plan *locator_plan(const struct location *l)
{
	return l->plan;
}

static const struct locator_ops ops = {locator_watch, unwatch, locator_plan};

int locator_dns_new(struct loop *loop, const struct env *env, struct dns *dns, struct locator **ret)
{
	struct locator_dns *lr = calloc(1, sizeof(*lr));

	if (!lr)
		return -ENOMEM;
	lr->base.ops = &ops;
	lr->loop = loop;
	lr->env = env;
	lr->dns = dns;
	lr->log = (struct log){.to = env->logger, .area = LOG_NET};
	list_init(&lr->locations);
	*ret = &lr->base;
	return 0;
}

void locator_dns_free(struct locator *base)
{
	if (!base)
		return;
	list_each(n, &of(base)->locations)
	{
		unwatch(container_of(n, struct location, node));
	}
	free(of(base));
}

const struct location *locator_dns_walk(const struct locator *base, const struct location *after)
{
	const struct list *all = &of(base)->locations, *n = after ? after->node.next : all->next;

	return n == all ? NULL : container_of((struct list *)n, struct location, node);
}

void location_view(const struct location *l, struct location_view *ret)
{
	struct dns_set_view v;

	*ret = (struct location_view){.dest = l->d, .plan = l->plan, .settling = l->settling};
	while (location_set(l, ret->sets, &v))
		ret->sets++;
}

static bool watch_view(const struct dns_watch *w, unsigned *i, struct dns_set_view *ret)
{
	if (!w || (*i)-- > 0)
		return false;
	*ret = (struct dns_set_view){.name = dns_watch_name(w), .type = dns_watch_type(w), .watchers = 1};
	dns_answer(w, &ret->answer);
	return true;
}

bool location_set(const struct location *l, unsigned i, struct dns_set_view *ret)
{
	if (watch_view(l->naptr, &i, ret))
		return true;
	for (unsigned k = 0; k < l->n_srv; k++)
		if (watch_view(l->srv[k], &i, ret))
			return true;
	for (unsigned k = 0; k < l->n_hosts; k++)
		for (int f = 0; f < 2; f++)
			if (watch_view(l->hosts[k].w[f], &i, ret))
				return true;
	return false;
}
