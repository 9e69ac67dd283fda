/* dns_set.c - record sets: what is known of one name and type, and until when it counts.
 *
 *   PENDING -> GOOD <-> STALE (servers fail past the TTL) -> FAILED (stale_s later)
 *          \-> EMPTY (no such name or record)            an answer leads back to GOOD or EMPTY from each
 *
 * A set has one timer: when it is asked next, or when its records turn stale or are given up. It is asked again at about
 * 90 % of its TTL; after failures at growing distances. Watchers are told at the end of the turn.
 */
#include "sbc/net/dns_internal.h"

#include <errno.h>
#include <stdlib.h>

#define NEGATIVE_MAX_S 3600   /* RFC 2308 5: one to three hours work well */
#define UNPROVEN_MAX 3        /* empty answers without SOA that empty a set */
#define BACK_SPREAD_MS 1000   /* what failed is asked again over that time when a server is back */

static uint32_t clamp(uint32_t v, uint32_t min, uint32_t max)
{
	return v < min ? min : v > max ? max : v;
}

int64_t dns_stale_until(const struct dns_set *s)
{
	return s->good_until_us + (int64_t)s->d->cfg.stale_s * 1000000;
}

static void on_due(struct timer *t);

static void on_tell(struct loop_hook *h)
{
	struct dns_set *s = container_of(h, struct dns_set, tell);
	struct list todo, *n;

	list_init(&todo);
	list_splice(&todo, &s->watches);
	while ((n = list_pop(&todo))) {
		struct dns_watch *w = container_of(n, struct dns_watch, node);

		list_push(&s->watches, &w->node);
		w->fn(w->ctx, w); /* w may be gone, and others */
	}
}

/* When the next thing happens to this set by itself. */
void dns_set_arm(struct dns_set *s)
{
	struct dns *d = s->d;
	int64_t at = s->ask || s->n_watches == 0 ? INT64_MAX : s->ask_at_us;

	if (s->failures && (s->n || s->state == DNS_EMPTY)) {
		int64_t turn = s->state == DNS_GOOD ? s->good_until_us : dns_stale_until(s);

		if (turn < at)
			at = turn;
	}
	if (s->n_watches == 0)
		at = s->linger_until_us;
	if (at == INT64_MAX)
		timer_stop(d->env->timers, &s->due);
	else
		timer_start_us(d->env->timers, &s->due, at - dns_now_us(d), on_due);
}

static void turn_to(struct dns_set *s, enum dns_state state)
{
	struct dns *d = s->d;

	if (state == s->state)
		return;
	if (state == DNS_STALE) {
		d->counts[DNS_C_TURNED_STALE]++;
		log_warn(&d->log, "dns_stale", "name=%s type=%s because=\"%s\" keeps_s=%lld", s->name,
		    dns_type_name(s->type), s->failure, (long long)((dns_stale_until(s) - dns_now_us(d)) / 1000000));
	} else {
		log_info(&d->log, "dns_set", "name=%s type=%s from=%s to=%s records=%u", s->name, dns_type_name(s->type),
		    dns_state_names[s->state], dns_state_names[state], s->n);
	}
	s->state = state;
	s->revision++;
	loop_at_turn_end(d->loop, &s->tell);
}

/* The last question failed: what are the records worth now? */
static void judge(struct dns_set *s)
{
	struct dns *d = s->d;
	int64_t now = dns_now_us(d);

	if ((s->n || s->state == DNS_EMPTY) && now >= dns_stale_until(s)) {
		d->counts[DNS_C_GIVEN_UP]++;
		log_warn(&d->log, "dns_given_up", "name=%s type=%s records=%u", s->name, dns_type_name(s->type), s->n);
		free(s->records);
		s->records = NULL;
		s->n = 0;
		turn_to(s, DNS_FAILED);
	} else if (s->n && now >= s->good_until_us) {
		turn_to(s, DNS_STALE);
	} else if (s->n == 0 && s->state != DNS_EMPTY) { /* that there is nothing is knowledge too */
		turn_to(s, DNS_FAILED);
	}
}

static void on_due(struct timer *t)
{
	struct dns_set *s = container_of(t, struct dns_set, due);

	if (s->n_watches == 0) {
		dns_set_free(s);
		return;
	}
	if (s->failures)
		judge(s);
	if (!s->ask && dns_now_us(s->d) >= s->ask_at_us)
		dns_ask_start(s);
	dns_set_arm(s);
}

void dns_set_free(struct dns_set *s)
{
	struct dns *d = s->d;

	if (s->ask)
		dns_ask_end(s->ask);
	timer_stop(d->env->timers, &s->due);
	loop_hook_cancel(&s->tell);
	htab_del(&d->sets, &s->node);
	free(s->records);
	free(s->name);
	free(s);
}

static uint64_t set_hash(const struct dns *d, struct str name, enum dns_type type)
{
	return hash_str(&d->env->hash_key, name) + (uint64_t)type * 0x9e3779b97f4a7c15u;
}

int dns_set_get(struct dns *d, struct str name, enum dns_type type, struct dns_set **ret)
{
	char lower[DNS_NAME_MAX + 1];
	struct dns_set *s;
	uint64_t hash;

	lower[0] = '\0';
	for (size_t i = 0; i < name.n; i++)
		lower[i] = chr_lower(name.p[i]);
	name.p = lower;
	hash = set_hash(d, name, type);
	for (struct hnode *n = htab_first(&d->sets, hash); n; n = htab_next(n)) {
		s = container_of(n, struct dns_set, node);
		if (s->type == type && str_eq(str_z(s->name), name)) {
			*ret = s;
			return 0;
		}
	}
	if (d->sets.n >= DNS_SETS_MAX) {
		d->counts[DNS_C_NO_ROOM]++;
		return -ENFILE;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->d = d;
	s->type = type;
	s->tell.fn = on_tell;
	s->name = str_strdup(name);
	if (!s->name) {
		free(s);
		return -ENOMEM;
	}
	list_init(&s->watches);
	htab_add(&d->sets, &s->node, hash);
	*ret = s;
	return 0;
}

/* ---- what an answer does to a set ---- */

static bool same_record(enum dns_type type, const struct dns_record *x, const struct dns_record *y)
{
	switch (type) {
	case DNS_SRV:
		return x->srv.priority == y->srv.priority && x->srv.weight == y->srv.weight && x->srv.port == y->srv.port &&
		       str_eq(x->srv.target, y->srv.target);
	case DNS_NAPTR:
		return x->naptr.order == y->naptr.order && x->naptr.preference == y->naptr.preference &&
		       x->naptr.regexp == y->naptr.regexp && str_eq(x->naptr.flags, y->naptr.flags) &&
		       str_eq(x->naptr.service, y->naptr.service) && str_eq(x->naptr.replacement, y->naptr.replacement);
	default:
		return addr_eq_ip(&x->addr, &y->addr);
	}
}

static bool has_record(enum dns_type type, const struct dns_record *all, unsigned n, const struct dns_record *r)
{
	for (unsigned i = 0; i < n; i++)
		if (same_record(type, &all[i], r))
			return true;
	return false;
}

static unsigned drop_twins(enum dns_type type, struct dns_record *r, unsigned n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++)
		if (!has_record(type, r, k, &r[i]))
			r[k++] = r[i];
	return k;
}

static void move_text(struct str *s, const char *from, char *to)
{
	if (s->n)
		s->p = to + (s->p - from);
}

/* Copies the reply's records into a block of the set's. 0 or -ENOMEM. */
static int take_records(struct dns_set *s, const struct dns_reply *r)
{
	struct dns_record *copy = malloc(r->n * sizeof(*copy) + r->text_n);
	char *text;

	if (!copy)
		return -ENOMEM;
	text = (char *)(copy + r->n);
	memcpy(copy, r->records, r->n * sizeof(*copy));
	memcpy(text, r->text, r->text_n);
	for (unsigned i = 0; i < r->n; i++) {
		if (s->type == DNS_SRV)
			move_text(&copy[i].srv.target, r->text, text);
		if (s->type == DNS_NAPTR) {
			move_text(&copy[i].naptr.flags, r->text, text);
			move_text(&copy[i].naptr.service, r->text, text);
			move_text(&copy[i].naptr.replacement, r->text, text);
		}
	}
	free(s->records);
	s->records = copy;
	s->n = r->n;
	return 0;
}

void dns_set_failed(struct dns_set *s, const char *failure)
{
	struct dns *d = s->d;
	int64_t wait_us = s->failures < 16 ? (int64_t)1000000 << s->failures : INT64_MAX;
	int64_t max_us = (int64_t)d->cfg.retry_s * 1000000;

	d->counts[DNS_C_FAILED]++;
	if (s->failures == 0)
		log_warn(&d->log, "dns_failed", "name=%s type=%s because=\"%s\"", s->name, dns_type_name(s->type), failure);
	s->failures++;
	s->failure = failure;
	if (wait_us > max_us)
		wait_us = max_us;
	s->ask_at_us = dns_now_us(d) + wait_us - rng_below(d->env->rng, (uint32_t)(wait_us / 10 + 1));
	judge(s);
	dns_set_arm(s);
}

static void answered(struct dns_set *s, const struct server *from)
{
	if (s->failures)
		log_info(&s->d->log, "dns_back", "name=%s type=%s failures=%u", s->name, dns_type_name(s->type), s->failures);
	s->failures = 0;
	s->unproven = 0;
	s->failure = NULL;
	s->server = from->addr;
	loop_at_turn_end(s->d->loop, &s->tell);
}

void dns_set_good(struct dns_set *s, struct dns_reply *r, uint32_t ttl_s, const struct server *from)
{
	struct dns *d = s->d;
	bool news;
	int64_t ttl_us;

	r->n = drop_twins(s->type, r->records, r->n);
	news = r->n != s->n;
	for (unsigned i = 0; !news && i < r->n; i++)
		news = !has_record(s->type, s->records, s->n, &r->records[i]);
	/* the same in another order keeps the old order: servers rotate what they say */
	if (news && take_records(s, r) < 0) {
		dns_set_failed(s, "out of memory");
		return;
	}
	s->ttl_s = clamp(ttl_s, d->cfg.min_ttl_s, d->cfg.max_ttl_s);
	s->no_name = false;
	ttl_us = (int64_t)s->ttl_s * 1000000;
	s->good_until_us = dns_now_us(d) + ttl_us;
	s->ask_at_us = s->good_until_us - ttl_us / 10 - (int64_t)rng_below(d->env->rng, 1024) * (ttl_us / 20) / 1024;
	answered(s, from);
	if (s->state != DNS_GOOD) {
		turn_to(s, DNS_GOOD);
	} else if (news) {
		s->revision++;
		log_info(&d->log, "dns_changed", "name=%s type=%s records=%u ttl_s=%u", s->name, dns_type_name(s->type), s->n,
		    s->ttl_s);
	}
	dns_set_arm(s);
}

void dns_set_empty(struct dns_set *s, const struct dns_reply *r, const struct server *from)
{
	struct dns *d = s->d;
	uint32_t ttl_s = r->soa ? r->negative_ttl_s : d->cfg.retry_s; /* RFC 2308 5: without SOA not to be kept */

	if (s->n && !r->soa && ++s->unproven < UNPROVEN_MAX) {
		dns_set_failed(s, "empty answer without SOA");
		return;
	}
	free(s->records);
	s->records = NULL;
	s->n = 0;
	s->ttl_s = clamp(ttl_s, d->cfg.min_ttl_s, NEGATIVE_MAX_S);
	s->good_until_us = s->ask_at_us = dns_now_us(d) + (int64_t)s->ttl_s * 1000000;
	if (s->no_name != (r->rcode == DNS_NXDOMAIN)) {
		s->no_name = r->rcode == DNS_NXDOMAIN;
		s->revision++;
	}
	answered(s, from);
	turn_to(s, DNS_EMPTY);
	dns_set_arm(s);
}

void dns_sets_kick(struct dns *d)
{
	for (struct hnode *n = htab_walk(&d->sets, NULL); n; n = htab_walk(&d->sets, n)) {
		struct dns_set *s = container_of(n, struct dns_set, node);
		int64_t soon = dns_now_us(d) + (int64_t)rng_below(d->env->rng, BACK_SPREAD_MS) * 1000;

		if (s->failures && !s->ask && s->ask_at_us > soon) {
			s->ask_at_us = soon;
			dns_set_arm(s);
		}
	}
}
