/* sources.c - the tables that identify.c looks into.
 *
 * What the operator wrote (addresses, networks, names in certificates) is compiled once and lives in the core. What
 * the DNS says changes by itself, often, and for a few addresses at a time: those are a table of their own, made anew
 * by policy_with_addresses() while everything else is shared with the snapshot before.
 *
 * Two trunks that could not be told apart are an error when both were configured. Addresses that came from the DNS
 * never make one, since nobody could mend it in the database: configured beats resolved, a name that leads there
 * beats one that did, then the trunk with the lower id keeps it. An address that left its name stays its trunk's for address-grace: who moves servers does not
 * do it in one instant, and resolvers far away still hold the old answer.
 */
#include "sbc/policy/internal.h"

#include <errno.h>
#include <stdlib.h>

/* ---------------------------------------------------------------- keys and order */

uint64_t pol_source_hash(const struct policy *p, uint8_t realm, const struct addr *a)
{
	struct str ip = addr_ip_bytes(a);
	char key[17];

	key[0] = (char)realm;
	memcpy(key + 1, ip.p, ip.n);
	return hash_bytes(&p->hash_key, key, ip.n + 1);
}

uint64_t pol_tls_name_hash(const struct policy *p, uint8_t realm, struct str name)
{
	struct hash_key key = {p->hash_key.k0, p->hash_key.k1 ^ (realm + 1u)};

	return hash_str(&key, name);
}

unsigned pol_source_rank(const struct source *s)
{
	return (s->port ? 2u : 0u) + (s->transport != POL_SOURCE_ANY ? 1u : 0u);
}

static unsigned bits_left(const struct source *s)
{
	return (addr_is6(&s->net.base) ? 128u : 32u) - s->net.bits;
}

static bool is_exact(const struct source *s)
{
	return bits_left(s) == 0;
}

/* Equal in realm, address, restriction: the same place in the order of preference. Then who keeps it first. */
static int by_place(const void *a, const void *b)
{
	const struct source *x = a, *y = b;
	struct str ax = addr_ip_bytes(&x->net.base), ay = addr_ip_bytes(&y->net.base);
	int c;

	if (x->realm != y->realm)
		return x->realm < y->realm ? -1 : 1;
	if (is_exact(x) != is_exact(y))
		return is_exact(x) ? -1 : 1;
	if (bits_left(x) != bits_left(y))
		return bits_left(x) < bits_left(y) ? -1 : 1;
	if (pol_source_rank(x) != pol_source_rank(y))
		return pol_source_rank(x) > pol_source_rank(y) ? -1 : 1;
	if ((c = str_cmp(ax, ay)))
		return c;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->transport != y->transport)
		return x->transport < y->transport ? -1 : 1;
	return 0;
}

static int by_place_and_right(const void *a, const void *b)
{
	const struct source *x = a, *y = b;
	int c = by_place(a, b);

	if (c)
		return c;
	if ((x->left_us == 0) != (y->left_us == 0))
		return x->left_us == 0 ? -1 : 1;
	if (x->trunk->id != y->trunk->id)
		return x->trunk->id < y->trunk->id ? -1 : 1;
	return x->left_us > y->left_us ? -1 : x->left_us < y->left_us; /* of one trunk: the one that left last */
}

static int by_name(const void *a, const void *b)
{
	const struct tls_name *x = a, *y = b;
	int c;

	if (x->trunk->realm != y->trunk->realm)
		return x->trunk->realm < y->trunk->realm ? -1 : 1;
	if ((c = str_cmp(x->name, y->name)))
		return c;
	return x->trunk->id < y->trunk->id ? -1 : x->trunk->id > y->trunk->id;
}

/* ---------------------------------------------------------------- collecting */

/* Room for one more of size bytes behind n; NULL: out of memory. */
static void *grow(void *list, unsigned n, unsigned *cap, size_t size)
{
	void *p;

	if (n < *cap)
		return list;
	p = realloc(list, (*cap ? *cap * 2 : 64) * size);
	if (p)
		*cap = *cap ? *cap * 2 : 64;
	return p;
}

void pol_source_list_fini(struct source_list *l)
{
	free(l->sources);
	free(l->named);
	free(l->tls_names);
}

static struct source source_of(const struct pol_trunk *t, const struct addr_net *net)
{
	struct source s = {
	    .net = *net, .trunk = t, .realm = t->realm, .port = t->source.port, .transport = t->source.transport};

	addr_set_port(&s.net.base, 0);
	return s;
}

static struct addr_net net_of(const struct addr *a)
{
	return (struct addr_net){.base = *a, .bits = addr_is6(a) ? 128 : 32};
}

static int add_source(struct source_list *l, const struct pol_trunk *t, const struct addr_net *net)
{
	struct source *s = grow(l->sources, l->n_sources, &l->cap_sources, sizeof(*s));

	if (!s)
		return -ENOMEM;
	l->sources = s;
	s[l->n_sources++] = source_of(t, net);
	return 0;
}

static int add_named(struct policy *p, struct source_list *l, const struct pol_trunk *t, struct str name)
{
	struct named_source *s;

	name = pol_host_trim(name);
	for (unsigned i = l->n_named; i > 0 && l->named[i - 1].trunk == t; i--)
		if (str_ieq(l->named[i - 1].name, name))
			return 0;
	s = grow(l->named, l->n_named, &l->cap_named, sizeof(*s));
	if (!s)
		return -ENOMEM;
	l->named = s;
	s += l->n_named++;
	*s = (struct named_source){str_dup(p->core->arena, name), t};
	return s->name.p ? 0 : -ENOMEM;
}

static int add_tls_name(struct policy *p, struct source_list *l, const struct pol_trunk *t, struct str host)
{
	struct str name = pol_host_trim(host);
	struct tls_name *x;
	char *copy;

	x = grow(l->tls_names, l->n_tls_names, &l->cap_tls_names, sizeof(*x));
	copy = arena_alloc(p->core->arena, name.n + 1);
	if (x)
		l->tls_names = x;
	if (!x || !copy)
		return -ENOMEM;
	for (size_t i = 0; i < name.n; i++)
		copy[i] = chr_lower(name.p[i]);
	copy[name.n] = '\0';
	x[l->n_tls_names++] = (struct tls_name){.name = str_n(copy, name.n), .trunk = t};
	return 0;
}

static int collect_tls_names(
    struct policy *p, struct source_list *l, const struct db_trunk *row, const struct pol_trunk *t)
{
	struct addr a;
	int e = 0;

	for (unsigned i = 0; i < t->tls.n_names && e == 0; i++)
		e = add_tls_name(p, l, t, t->tls.names[i]);
	if (t->domain.n && e == 0)
		e = add_tls_name(p, l, t, t->domain);
	for (unsigned i = 0; i < row->n_targets && e == 0; i++)
		if (addr_parse_ip(row->targets[i].host, 0, &a) < 0)
			e = add_tls_name(p, l, t, row->targets[i].host);
	return e;
}

int pol_sources_collect(
    struct policy *p, struct source_list *l, const struct db_trunk *row, const struct pol_trunk *t)
{
	struct addr_net net;
	struct addr a;
	int e = 0;

	if (t->source.identify == POL_BY_CREDENTIALS)
		return 0; /* it may come from anywhere */
	if (t->source.identify != POL_BY_ADDRESS)
		e = collect_tls_names(p, l, row, t);
	if (t->source.identify == POL_BY_TLS_NAME)
		return e;
	for (unsigned i = 0; i < row->n_targets && e == 0; i++) {
		if (addr_parse_ip(row->targets[i].host, 0, &a) == 0) {
			net = net_of(&a);
			e = add_source(l, t, &net);
		} else {
			e = add_named(p, l, t, row->targets[i].host);
		}
	}
	for (unsigned i = 0; i < row->n_sources && e == 0; i++) {
		if (!trunk_address_check(row->sources[i].address, NULL))
			continue;
		if (addr_net_parse(row->sources[i].address, &net) == 0)
			e = add_source(l, t, &net);
		else
			e = add_named(p, l, t, row->sources[i].address);
	}
	return e;
}

/* ---------------------------------------------------------------- what was configured */

static void source_text(const struct source *s, struct buf *w)
{
	addr_put_ip(w, &s->net.base);
	if (!is_exact(s))
		buf_fmt(w, "/%u", s->net.bits);
}

/* Two customers of one provider, at the same address: each has a registration of its own, and its requests carry what
 * it registered (RFC 6140 5.1). */
static bool told_apart(const struct source *a, const struct source *b)
{
	const struct pol_trunk *x = a->trunk, *y = b->trunk;

	return x != y && x->role == POL_ITSP && y->role == POL_ITSP && x->reg.auth != POL_AUTH_STATIC &&
	       y->reg.auth != POL_AUTH_STATIC;
}

static int build_configured(struct policy *p, struct source_list *l, pol_collide_fn *fn, void *ctx)
{
	unsigned n = 0, exact = 0, nets = 0;

	if (l->n_sources)
		qsort(l->sources, l->n_sources, sizeof(*l->sources), by_place_and_right);
	for (unsigned i = 0; i < l->n_sources; i++) {
		struct source *s = &l->sources[i];

		s->second = false;
		if (n && by_place(&l->sources[n - 1], s) == 0) {
			char text[80];
			struct buf w;

			if (told_apart(&l->sources[n - 1], s)) {
				s->second = true;
				l->sources[n++] = *s;
				continue;
			}
			buf_init(&w, text, sizeof(text));
			source_text(s, &w);
			if (l->sources[n - 1].trunk != s->trunk)
				fn(ctx, l->sources[n - 1].trunk, s->trunk, buf_text(&w), false);
			continue;
		}
		l->sources[n++] = *s;
		exact += is_exact(s);
		nets += !is_exact(s);
	}
	p->sources = pol_array(p, n, sizeof(*p->sources));
	p->nets = pol_array(p, nets, sizeof(*p->nets));
	if (!p->sources || !p->nets || htab_init(&p->core->exact, exact ? exact * 2u : 1) < 0)
		return -ENOMEM;
	p->n_sources = n;
	for (unsigned i = 0; i < n; i++) {
		struct source *s = &p->sources[i];

		*s = l->sources[i];
		if (s->second)
			continue;
		if (is_exact(s))
			htab_add(&p->core->exact, &s->node, pol_source_hash(p, s->realm, &s->net.base));
		else
			p->nets[p->n_nets++] = s; /* in order already, within each realm */
	}
	return 0;
}

static int build_tls_names(struct policy *p, struct source_list *l, pol_collide_fn *fn, void *ctx)
{
	unsigned n = 0;

	if (l->n_tls_names)
		qsort(l->tls_names, l->n_tls_names, sizeof(*l->tls_names), by_name);
	p->tls_names = pol_array(p, l->n_tls_names, sizeof(*p->tls_names));
	p->realm_names = pol_array(p, p->n_realms, sizeof(*p->realm_names));
	if (!p->tls_names || !p->realm_names || htab_init(&p->core->tls_names, l->n_tls_names * 2u + 1) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < l->n_tls_names; i++) {
		const struct tls_name *x = &l->tls_names[i], *before = i ? x - 1 : NULL;
		struct tls_name *y;

		if (before && before->trunk->realm == x->trunk->realm && str_eq(before->name, x->name)) {
			if (before->trunk == x->trunk)
				continue;
			/* two that are told apart by their addresses may share a name */
			if (before->trunk->source.identify != POL_BY_BOTH || x->trunk->source.identify != POL_BY_BOTH)
				fn(ctx, before->trunk, x->trunk, x->name, true);
		}
		y = &p->tls_names[n++];
		*y = *x;
		htab_add(&p->core->tls_names, &y->node, pol_tls_name_hash(p, x->trunk->realm, x->name));
		if (x->trunk->source.identify == POL_BY_TLS_NAME)
			p->realm_names[x->trunk->realm]++;
	}
	p->n_tls_names = n;
	return 0;
}

int pol_sources_build(struct policy *p, struct source_list *l, pol_collide_fn *fn, void *ctx)
{
	p->named = pol_array(p, l->n_named, sizeof(*p->named));
	if (!p->named)
		return -ENOMEM;
	if (l->n_named)
		memcpy(p->named, l->named, l->n_named * sizeof(*p->named));
	p->n_named = l->n_named;
	return build_configured(p, l, fn, ctx) < 0 || build_tls_names(p, l, fn, ctx) < 0 ? -ENOMEM : 0;
}

/* ---------------------------------------------------------------- what the DNS says */

/* Names are found by hash: a provider's customers all stand behind one, but there may be a thousand. */
struct answer {
	struct hnode node;
	const struct policy_resolved *r;
};

static uint64_t name_hash(const struct policy *p, struct str name)
{
	char lower[256];
	size_t n = name.n < sizeof(lower) ? name.n : sizeof(lower);

	for (size_t i = 0; i < n; i++)
		lower[i] = chr_lower(name.p[i]);
	return hash_bytes(&p->hash_key, lower, n);
}

static const struct policy_resolved *find_answer(const struct policy *p, const struct htab *t, struct str name)
{
	for (struct hnode *n = htab_first(t, name_hash(p, name)); n; n = htab_next(n)) {
		const struct answer *a = container_of(n, struct answer, node);

		if (str_ieq(pol_host_trim(a->r->name), name))
			return a->r;
	}
	return NULL;
}

static bool in_grace(const struct pol_trunk *t, const struct policy_address *a, int64_t now_us)
{
	return a->left_us == 0 || now_us - a->left_us < (int64_t)t->source.grace_s * 1000000;
}

/* Fills l->sources, sorted and without doubles; room is enough for all. */
static void learn(const struct policy *p, struct learned *l, const struct htab *answers, int64_t now_us)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->n_named; i++) {
		const struct named_source *ns = &p->named[i];
		const struct policy_resolved *r = find_answer(p, answers, ns->name);

		for (unsigned k = 0; r && k < r->n_addrs; k++) {
			struct addr_net net = net_of(&r->addrs[k].addr);
			struct source *s = &l->sources[l->n_sources];

			if (!in_grace(ns->trunk, &r->addrs[k], now_us))
				continue;
			*s = source_of(ns->trunk, &net);
			s->name = ns->name;
			s->left_us = r->addrs[k].left_us;
			l->n_sources++;
		}
	}
	if (l->n_sources)
		qsort(l->sources, l->n_sources, sizeof(*l->sources), by_place_and_right);
	for (unsigned i = 0; i < l->n_sources; i++) {
		struct source *s = &l->sources[i];

		s->second = n && by_place(&l->sources[n - 1], s) == 0;
		if (!s->second || told_apart(&l->sources[n - 1], s))
			l->sources[n++] = *s;
	}
	l->n_sources = n;
}

static void index_learned(const struct policy *p, struct learned *l)
{
	for (unsigned i = 0; i < l->n_sources; i++) {
		struct source *s = &l->sources[i];
		struct str ip = addr_ip_bytes(&s->net.base);
		uint64_t *print = &l->prints[s->trunk - p->trunks];
		struct hash_key key = {*print, s->left_us != 0};

		if (!s->second)
			htab_add(&l->exact, &s->node, pol_source_hash(p, s->realm, &s->net.base));
		*print = hash_str(&key, ip);
		if (s->left_us) {
			int64_t until = s->left_us + (int64_t)s->trunk->source.grace_s * 1000000;

			l->next_us = until < l->next_us ? until : l->next_us;
		}
	}
}

int pol_learn(struct policy *p, const struct policy_resolved *resolved, unsigned n, int64_t now_us)
{
	struct learned l = {.next_us = INT64_MAX};
	struct answer *answers = calloc(n + 1u, sizeof(*answers));
	struct htab names = {0};
	size_t room = 0;
	int e = -ENOMEM;

	if (!answers || htab_init(&names, n * 2u + 1) < 0)
		goto out;
	for (unsigned i = 0; i < n; i++) {
		answers[i].r = &resolved[i];
		htab_add(&names, &answers[i].node, name_hash(p, pol_host_trim(resolved[i].name)));
	}
	for (unsigned i = 0; i < p->n_named; i++) {
		const struct policy_resolved *r = find_answer(p, &names, p->named[i].name);

		room += r ? r->n_addrs : 0;
	}
	l.sources = calloc(room + 1, sizeof(*l.sources));
	l.prints = calloc(p->n_trunks + 1u, sizeof(*l.prints));
	if (!l.sources || !l.prints || htab_init(&l.exact, room * 2 + 1) < 0)
		goto out;
	learn(p, &l, &names, now_us);
	index_learned(p, &l);
	p->learned = l;
	l = (struct learned){.sources = NULL};
	e = 0;
out:
	pol_learned_fini(&l);
	htab_fini(&names);
	free(answers);
	return e;
}

void pol_learned_fini(struct learned *l)
{
	htab_fini(&l->exact);
	free(l->sources);
	free(l->prints);
}

struct policy *policy_with_addresses(
    const struct policy *old, const struct policy_resolved *resolved, unsigned n_resolved, int64_t now_us)
{
	struct policy *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	memcpy(p, old, sizeof(*p));
	atomic_init(&p->refs, 1);
	p->learned = (struct learned){.next_us = INT64_MAX};
	atomic_fetch_add_explicit(&p->core->refs, 1, memory_order_relaxed);
	if (pol_learn(p, resolved, n_resolved, now_us) < 0) {
		policy_unref(p);
		return NULL;
	}
	return p;
}

int64_t policy_addresses_next_us(const struct policy *p)
{
	return p->learned.next_us;
}

/* ---------------------------------------------------------------- looking at it */

bool policy_source_view(const struct policy *p, const struct pol_trunk *t, unsigned i, struct policy_source_view *ret)
{
	for (unsigned k = 0; k < p->n_sources + p->learned.n_sources; k++) {
		const struct source *s = k < p->n_sources ? &p->sources[k] : &p->learned.sources[k - p->n_sources];

		if (s->trunk != t || i-- > 0)
			continue;
		*ret = (struct policy_source_view){.net = s->net, .name = s->name, .left_us = s->left_us};
		return true;
	}
	return false;
}

struct str policy_tls_name(const struct policy *p, const struct pol_trunk *t, unsigned i)
{
	for (unsigned k = 0; k < p->n_tls_names; k++)
		if (p->tls_names[k].trunk == t && i-- == 0)
			return p->tls_names[k].name;
	return STR_NONE;
}
