/* dns.c - watched record sets on c-ares: who watches what, and what there is to see.
 *
 *   watch -> set -> ask -> tries
 *
 * A set (name and type) is shared by its watches; dns_set.c says what becomes of it, dns_ask.c puts its questions,
 * dns_server.c talks to the servers.
 */
#include "sbc/net/dns_internal.h"

#include <errno.h>
#include <stdlib.h>

#define LINGER_MS 60000       /* an unwatched set is kept that long */

const char *const dns_state_names[] = {"pending", "good", "stale", "empty", "failed"};

static const char *const count_names[DNS_COUNTS] = {"questions", "answers", "silent", "refused", "server_failures",
    "strays", "malformed", "alias_loops", "records_left_out", "truncated", "failed", "turned_stale", "given_up",
    "sets_refused"};

static void finish(struct dns *d)
{
	loop_fn *closed = d->closed;
	void *arg = d->closed_arg;

	free(d);
	ares_library_cleanup();
	if (closed)
		closed(arg);
}

static void on_done(struct loop_hook *h)
{
	finish(container_of(h, struct dns, done));
}

int dns_new(struct loop *loop, const struct env *env, const struct dns_cfg *cfg, struct dns **ret)
{
	struct dns *d;
	int e = -ENOMEM;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -ENOMEM;
	d = calloc(1, sizeof(*d));
	if (!d)
		goto fail;
	d->loop = loop;
	d->env = env;
	d->cfg = *cfg;
	d->cfg.servers = NULL;
	d->cfg.try_ms = cfg->try_ms ? cfg->try_ms : 3000;
	d->cfg.hedge_ms = cfg->hedge_ms ? cfg->hedge_ms : 500;
	d->cfg.tries = cfg->tries ? cfg->tries : 3;
	d->cfg.min_ttl_s = cfg->min_ttl_s ? cfg->min_ttl_s : 1;
	d->cfg.max_ttl_s = cfg->max_ttl_s ? cfg->max_ttl_s : 86400;
	d->cfg.retry_s = cfg->retry_s ? cfg->retry_s : 10;
	d->cfg.stale_s = cfg->stale_s ? cfg->stale_s : 86400;
	d->cfg.rest_s = cfg->rest_s ? cfg->rest_s : 10;
	d->cfg.max_asking = cfg->max_asking ? cfg->max_asking : 256;
	d->log = (struct log){.to = env->logger, .area = LOG_NET};
	d->pump.fn = dns_pump;
	d->done.fn = on_done;
	list_init(&d->servers);
	list_init(&d->waiting[0]);
	list_init(&d->waiting[1]);
	list_init(&d->active);
	d->reply = malloc(sizeof(*d->reply));
	if (!d->reply || htab_init(&d->sets, 64) < 0)
		goto fail;
	e = dns_set_servers(d, cfg->servers, cfg->n_servers);
	if (e < 0)
		goto fail;
	d->metrics = (struct metric_set){.area = "dns", .names = count_names, .values = d->counts, .n = DNS_COUNTS};
	if (env->metrics)
		metrics_add(env->metrics, &d->metrics);
	*ret = d;
	return 0;
fail:
	if (d) {
		htab_fini(&d->sets);
		free(d->reply);
		free(d);
	}
	ares_library_cleanup();
	return e;
}

void dns_free(struct dns *d, loop_fn *closed, void *arg)
{
	struct hnode *n;

	if (!d)
		return;
	d->closing = true;
	d->closed = closed;
	d->closed_arg = arg;
	metrics_del(&d->metrics);
	while ((n = htab_walk(&d->sets, NULL))) {
		struct dns_set *s = container_of(n, struct dns_set, node);

		list_each(m, &s->watches)
		{
			free(container_of(m, struct dns_watch, node));
		}
		dns_set_free(s);
	}
	loop_hook_cancel(&d->pump);
	timer_stop(d->env->timers, &d->pump_again);
	htab_fini(&d->sets);
	free(d->reply);
	d->reply = NULL;
	list_each(m, &d->servers)
	{
		dns_server_close(container_of(m, struct server, node));
	}
}

int dns_watch(struct dns *d, struct str name, enum dns_type type, dns_fn *fn, void *ctx, struct dns_watch **ret)
{
	struct dns_watch *w;
	struct dns_set *s;
	int e;

	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (!dns_name_ok(name))
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	e = dns_set_get(d, name, type, &s);
	if (e < 0) {
		free(w);
		return e;
	}
	w->set = s;
	w->fn = fn;
	w->ctx = ctx;
	list_push(&s->watches, &w->node);
	if (s->n_watches++ == 0) {
		if (!s->ask && dns_now_us(d) >= s->ask_at_us)
			dns_ask_start(s);
		dns_set_arm(s);
	}
	*ret = w;
	return 0;
}

void dns_unwatch(struct dns_watch *w)
{
	struct dns_set *s;

	if (!w)
		return;
	s = w->set;
	list_del(&w->node);
	free(w);
	if (--s->n_watches)
		return;
	/* kept a moment: plans that change often name the same servers again */
	s->linger_until_us = dns_now_us(s->d) + (s->d->sets.n < DNS_SETS_MAX / 2 ? (int64_t)LINGER_MS * 1000 : 0);
	dns_set_arm(s);
}

static void answer_of(const struct dns_set *s, struct dns_answer *ret)
{
	*ret = (struct dns_answer){
	    .state = s->state,
	    .records = s->records,
	    .n = s->n,
	    .no_name = s->no_name && s->state == DNS_EMPTY,
	    .failure = s->failure,
	    .good_until_us = s->good_until_us,
	    .stale_until_us = dns_stale_until(s),
	    .next_us = s->ask ? 0 : s->ask_at_us,
	    .ttl_s = s->ttl_s,
	    .server = s->server,
	    .revision = s->revision,
	};
}

void dns_answer(const struct dns_watch *w, struct dns_answer *ret)
{
	answer_of(w->set, ret);
}

struct str dns_watch_name(const struct dns_watch *w)
{
	return str_z(w->set->name);
}

enum dns_type dns_watch_type(const struct dns_watch *w)
{
	return w->set->type;
}

unsigned dns_flush(struct dns *d, struct str name)
{
	unsigned n = 0;

	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	for (struct hnode *h = htab_walk(&d->sets, NULL); h; h = htab_walk(&d->sets, h)) {
		struct dns_set *s = container_of(h, struct dns_set, node);

		if (s->n_watches == 0 || (name.n && !str_ieq(str_z(s->name), name)))
			continue;
		n++;
		if (s->ask)
			continue;
		dns_ask_start(s);
		dns_set_arm(s);
	}
	return n;
}

const struct dns_set *dns_walk(const struct dns *d, const struct dns_set *after)
{
	struct hnode *n = htab_walk(&d->sets, after ? &after->node : NULL);

	return n ? container_of(n, struct dns_set, node) : NULL;
}

void dns_set_view(const struct dns_set *s, struct dns_set_view *ret)
{
	*ret = (struct dns_set_view){.name = str_z(s->name), .type = s->type, .watchers = s->n_watches};
	answer_of(s, &ret->answer);
}

void dns_put_record(struct buf *b, enum dns_type type, const struct dns_record *r)
{
	switch (type) {
	case DNS_SRV:
		buf_fmt(b, "%u %u %u %.*s", r->srv.priority, r->srv.weight, r->srv.port,
		    STR(r->srv.target.n ? r->srv.target : S(".")));
		break;
	case DNS_NAPTR:
		buf_fmt(b, "%u %u \"", r->naptr.order, r->naptr.preference);
		buf_escaped(b, r->naptr.flags, 16);
		buf_lit(b, "\" \"");
		buf_escaped(b, r->naptr.service, 40);
		buf_fmt(b, "\" %s %.*s", r->naptr.regexp ? "(regexp)" : "\"\"",
		    STR(r->naptr.replacement.n ? r->naptr.replacement : S(".")));
		break;
	default:
		addr_put_ip(b, &r->addr);
		break;
	}
}
