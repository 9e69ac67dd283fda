/* binding.c - bindings in memory: by id, by address of record, by flow.
 *
 * One block of memory per binding, texts behind it. An AOR exists while it has a binding. Lists of an AOR are short
 * (a few nodes of a PBX), so they are kept in order as they change.
 *
 * Each call asks for the called number and for its trunk's own AOR, and nearly always only the latter is there: so AORs of
 * numbers are counted by trunk, in few places, and where there is none nothing is hashed. Trunk ids come from our
 * database, not from the network, and are mixed with less work than a keyed hash is.
 */
#include "sbc/reg/binding.h"

#include <errno.h>
#include <stdlib.h>

#define NUMBERED 4096

struct aor {
	struct hnode node;
	struct list bindings; /* by q, newest first */
	uint32_t trunk_id;
	uint32_t n;           /* of name */
	char name[];
};

struct binding {
	struct list node;     /* in aor->bindings */
	struct reg_contact c; /* what calls ask for comes first */
	struct hnode by_id, by_flow;
	struct aor *aor;
	struct bindings *bs;
	struct timer over;
	size_t bytes;
	char text[];
};

struct bindings {
	const struct env *env;
	struct htab ids, aors, flows;
	uint32_t numbers[NUMBERED]; /* AORs that are numbers, by trunk_id % NUMBERED */
	binding_over_fn *over;
	void *ctx;
	uint64_t last_id;
	size_t bytes;
	unsigned n;
};

static struct binding *binding_of(const struct reg_contact *c)
{
	return container_of(c, struct binding, c);
}

struct bindings *bindings_new(const struct env *env, binding_over_fn *over, void *ctx)
{
	struct bindings *bs = calloc(1, sizeof(*bs));

	if (!bs)
		return NULL;
	bs->env = env;
	bs->over = over;
	bs->ctx = ctx;
	if (htab_init(&bs->ids, 64) == 0 && htab_init(&bs->aors, 64) == 0 && htab_init(&bs->flows, 64) == 0)
		return bs;
	bindings_free(bs);
	return NULL;
}

static uint64_t id_hash(const struct bindings *bs, uint64_t id)
{
	return hash_bytes(&bs->env->hash_key, &id, sizeof(id));
}

static uint64_t aor_hash(const struct bindings *bs, uint32_t trunk_id, struct str name)
{
	uint64_t h = (trunk_id ^ bs->env->hash_key.k0) * 0x9e3779b97f4a7c15u;

	h ^= h >> 32;
	return name.n ? h ^ hash_str(&bs->env->hash_key, name) : h;
}

static uint64_t flow_hash(const struct bindings *bs, const struct net_path *p)
{
	struct str ip = addr_ip_bytes(&p->remote);
	char key[20] = {(char)p->realm, (char)p->proto};
	uint16_t port = addr_port(&p->remote);

	memcpy(key + 2, &port, sizeof(port));
	memcpy(key + 4, ip.p, ip.n);
	return hash_bytes(&bs->env->hash_key, key, sizeof(key));
}

static struct aor *aor_find(const struct bindings *bs, uint32_t trunk_id, struct str name)
{
	if (name.n && !bs->numbers[trunk_id % NUMBERED])
		return NULL;
	for (struct hnode *n = htab_first(&bs->aors, aor_hash(bs, trunk_id, name)); n; n = htab_next(n)) {
		struct aor *a = container_of(n, struct aor, node);

		if (a->trunk_id == trunk_id && str_eq(str_n(a->name, a->n), name))
			return a;
	}
	return NULL;
}

static struct aor *aor_get(struct bindings *bs, uint32_t trunk_id, struct str name)
{
	struct aor *a = aor_find(bs, trunk_id, name);

	if (a)
		return a;
	a = malloc(sizeof(*a) + name.n);
	if (!a)
		return NULL;
	list_init(&a->bindings);
	a->trunk_id = trunk_id;
	a->n = (uint32_t)name.n;
	if (name.n)
		memcpy(a->name, name.p, name.n);
	htab_add(&bs->aors, &a->node, aor_hash(bs, trunk_id, name));
	bs->numbers[trunk_id % NUMBERED] += name.n > 0;
	return a;
}

static struct binding *find(const struct bindings *bs, uint64_t id)
{
	for (struct hnode *n = htab_first(&bs->ids, id_hash(bs, id)); n; n = htab_next(n)) {
		struct binding *b = container_of(n, struct binding, by_id);

		if (b->c.id == id)
			return b;
	}
	return NULL;
}

/* out of all tables; the memory stays */
static void take_out(struct binding *b)
{
	struct bindings *bs = b->bs;

	timer_stop(bs->env->timers, &b->over);
	htab_del(&bs->ids, &b->by_id);
	htab_del(&bs->flows, &b->by_flow);
	list_del(&b->node);
	if (list_empty(&b->aor->bindings)) {
		htab_del(&bs->aors, &b->aor->node);
		bs->numbers[b->aor->trunk_id % NUMBERED] -= b->aor->n > 0;
		free(b->aor);
	}
	bs->n--;
	bs->bytes -= b->bytes;
}

void bindings_free(struct bindings *bs)
{
	struct hnode *n, *next;

	if (!bs)
		return;
	for (n = bs->ids.bucket ? htab_walk(&bs->ids, NULL) : NULL; n; n = next) {
		struct binding *b = container_of(n, struct binding, by_id);

		next = htab_walk(&bs->ids, n);
		take_out(b);
		free(b);
	}
	if (bs->ids.bucket)
		htab_fini(&bs->ids);
	if (bs->aors.bucket)
		htab_fini(&bs->aors);
	if (bs->flows.bucket)
		htab_fini(&bs->flows);
	free(bs);
}

static void on_over(struct timer *t)
{
	struct binding *b = container_of(t, struct binding, over);
	struct bindings *bs = b->bs;

	take_out(b);
	bs->over(bs->ctx, &b->c);
	free(b);
}

static struct str keep(char **at, struct str s)
{
	struct str copy = {*at, s.n};

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

/* a before b */
static bool before(const struct reg_contact *a, const struct reg_contact *b)
{
	if (a->q != b->q)
		return a->q > b->q;
	if (a->since_wall_us != b->since_wall_us)
		return a->since_wall_us > b->since_wall_us;
	return a->id > b->id;
}

int bindings_put(struct bindings *bs, const struct reg_contact *c)
{
	const struct str texts[] = {c->aor, c->uri, c->params, c->instance, c->call_id, c->path, c->user_agent, c->expand};
	int64_t left_us = c->expires_us - bs->env->clock->mono_us;
	struct binding *b, *old = find(bs, c->id);
	struct list *at;
	size_t n = 0;
	char *p;

	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		n += texts[i].n;
	if (left_us <= 0) {
		(void)bindings_del(bs, c->id);
		return 0;
	}
	b = calloc(1, sizeof(*b) + n);
	if (!b)
		return -ENOMEM;
	b->bs = bs;
	b->c = *c;
	b->bytes = sizeof(*b) + n;
	p = b->text;
	b->c.aor = keep(&p, c->aor);
	b->c.uri = keep(&p, c->uri);
	b->c.params = keep(&p, c->params);
	b->c.instance = keep(&p, c->instance);
	b->c.call_id = keep(&p, c->call_id);
	b->c.path = keep(&p, c->path);
	b->c.user_agent = keep(&p, c->user_agent);
	b->c.expand = keep(&p, c->expand);
	b->aor = aor_get(bs, c->trunk_id, b->c.aor);
	if (!b->aor) {
		free(b);
		return -ENOMEM;
	}
	for (at = b->aor->bindings.next; at != &b->aor->bindings; at = at->next)
		if (before(&b->c, &container_of(at, struct binding, node)->c))
			break;
	list_push(at, &b->node); /* in front of at */
	htab_add(&bs->ids, &b->by_id, id_hash(bs, c->id));
	htab_add(&bs->flows, &b->by_flow, flow_hash(bs, &b->c.flow));
	timer_start_us(bs->env->timers, &b->over, left_us, on_over);
	bs->n++;
	bs->bytes += b->bytes;
	if (c->id > bs->last_id)
		bs->last_id = c->id;
	if (old) {
		take_out(old);
		free(old);
	}
	return 0;
}

bool bindings_del(struct bindings *bs, uint64_t id)
{
	struct binding *b = find(bs, id);

	if (!b)
		return false;
	take_out(b);
	free(b);
	return true;
}

void bindings_del_trunk(struct bindings *bs, uint32_t trunk_id)
{
	struct hnode *n, *next;

	for (n = htab_walk(&bs->ids, NULL); n; n = next) {
		struct binding *b = container_of(n, struct binding, by_id);

		next = htab_walk(&bs->ids, n);
		if (b->c.trunk_id != trunk_id)
			continue;
		take_out(b);
		free(b);
	}
}

const struct reg_contact *bindings_next(
    const struct bindings *bs, uint32_t trunk_id, struct str aor, const struct reg_contact *after)
{
	struct list *end, *next;

	if (after) {
		end = &binding_of(after)->aor->bindings;
		next = binding_of(after)->node.next;
	} else {
		struct aor *a = aor_find(bs, trunk_id, aor);

		if (!a)
			return NULL;
		end = &a->bindings;
		next = end->next;
	}
	return next == end ? NULL : &container_of(next, struct binding, node)->c;
}

const struct reg_contact *bindings_find(const struct bindings *bs, uint64_t id)
{
	struct binding *b = find(bs, id);

	return b ? &b->c : NULL;
}

const struct reg_contact *bindings_walk(const struct bindings *bs, const struct reg_contact *after)
{
	struct hnode *n = htab_walk(&bs->ids, after ? &binding_of(after)->by_id : NULL);

	return n ? &container_of(n, struct binding, by_id)->c : NULL;
}

const struct reg_contact *bindings_at(const struct bindings *bs, const struct net_path *from)
{
	for (struct hnode *n = htab_first(&bs->flows, flow_hash(bs, from)); n; n = htab_next(n)) {
		const struct binding *b = container_of(n, struct binding, by_flow);

		if (b->c.flow.realm == from->realm && b->c.flow.proto == from->proto &&
		    addr_eq(&b->c.flow.remote, &from->remote) &&
		    (!net_reliable((enum net_proto)from->proto) || (from->conn && b->c.flow.conn == from->conn)))
			return &b->c;
	}
	return NULL;
}

uint32_t bindings_trunk_at(const struct bindings *bs, const struct net_path *from)
{
	const struct reg_contact *c = bindings_at(bs, from);

	return c ? c->trunk_id : 0;
}

unsigned bindings_numbers(const struct bindings *bs, uint32_t trunk_id)
{
	return bs->numbers[trunk_id % NUMBERED];
}

unsigned bindings_count(const struct bindings *bs)
{
	return bs->n;
}

size_t bindings_bytes(const struct bindings *bs)
{
	return bs->bytes;
}

uint64_t bindings_last_id(const struct bindings *bs)
{
	return bs->last_id;
}
