/* view.c - what can be seen of calls: snapshots, ended ones, dry runs. Copies only; nothing here acts. */
#include "sbc/b2b/internal.h"

static void put(char *dst, size_t cap, struct str s)
{
	struct buf b;

	buf_init(&b, dst, cap);
	buf_escaped(&b, str_head(s, cap - 1), cap - 1);
	if (b.err) /* escapes made it longer than its place: cut */
		b.n = b.n < cap ? b.n : cap - 1;
	dst[b.n < cap ? b.n : cap - 1] = '\0';
}

uint64_t b2b_wire_key(const struct env *env, struct str sip_call_id)
{
	return hash_str(&env->hash_key, sip_call_id);
}

void call_id_text(uint64_t id, char text[CALL_ID_TEXT])
{
	struct buf b;

	buf_init(&b, text, CALL_ID_TEXT);
	buf_hex64(&b, id);
	buf_z(&b);
}

bool call_id_parse(struct str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 16)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = chr_lower(s.p[i]);

		if (chr_digit(c))
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret = v;
	return true;
}

struct call *b2b_call_next(const struct b2b *b, const struct call *after)
{
	struct list *n = after ? after->node.next : b->calls.next;

	return n == &b->calls ? NULL : container_of(n, struct call, node);
}

struct call *b2b_call_find(const struct b2b *b, uint64_t id)
{
	struct hnode *n = htab_first(&b->ids, id); /* counted up by us: no need of a keyed hash */

	for (; n; n = htab_next(n)) {
		struct call *c = container_of(n, struct call, by_id);

		if (c->id == id)
			return c;
	}
	return NULL;
}

enum call_phase call_phase(const struct call *c)
{
	if (c->released)
		return CALL_ENDING;
	if (c->answered)
		return CALL_UP;
	return c->ring_us ? CALL_RINGING : CALL_SETUP;
}

void call_fill_media(const struct call *c, struct call_record *r)
{
	if (!c->media)
		return;
	r->n_streams = media_stream_count(c->media);
	for (int side = 0; side < 2; side++) {
		for (unsigned i = 0; i < r->n_streams && i < CALL_STREAMS_MAX; i++) {
			struct call_media *m = &r->media[side][i];

			*m = (struct call_media){.bad = false};
			if (!media_stream(c->media, (enum media_side)side, i, &m->info, &m->stats))
				continue;
			media_judge(c->media, (enum media_side)side, i, &m->info, &m->stats, &m->judged);
			m->bad = media_judged_bad(&m->judged);
		}
	}
}

void call_facts(const struct call *c, struct call_record *r)
{
	const int64_t base = c->start_wall_us - c->start_us;

	memset(r, 0, offsetof(struct call_record, tries));
	r->id = c->id;
	r->start_us = c->start_us;
	r->ring_us = c->ring_us;
	r->answer_us = c->answer_us;
	r->end_us = c->end_us;
	r->start_wall_us = c->start_wall_us;
	r->answer_wall_us = c->answer_us ? c->answer_us + base : 0;
	r->end_wall_us = c->end_us ? c->end_us + base : 0;
	put(r->trunk_a, sizeof(r->trunk_a), c->trunk_a->name);
	r->trunk_a_id = c->trunk_a->id;
	if (c->trunk_b) {
		put(r->trunk_b, sizeof(r->trunk_b), c->trunk_b->name);
		r->trunk_b_id = c->trunk_b->id;
	}
	put(r->calling, sizeof(r->calling), c->calling);
	put(r->called, sizeof(r->called), c->called);
	put(r->route, sizeof(r->route), c->route);
	r->peer_a = c->peer_a;
	r->proto_a = c->proto_a;
	put(r->sip_call_id_a, sizeof(r->sip_call_id_a), c->sip_call_id_a);
	r->wire_key_a = b2b_wire_key(c->b2b->env, c->sip_call_id_a);
	for (const struct try *t = c->tries; t && r->n_tries < CALL_TRIES_MAX; t = t->next) {
		struct call_try *o = &r->tries[r->n_tries++];

		put(o->trunk, sizeof(o->trunk), t->trunk);
		put(o->sip_call_id, sizeof(o->sip_call_id), t->sip_call_id);
		o->wire_key = t->sip_call_id.n ? b2b_wire_key(c->b2b->env, t->sip_call_id) : 0;
		o->addr = t->addr;
		o->proto = t->proto;
		o->status = t->status;
		o->fragmented = t->fragmented;
		o->reason = t->reason;
		o->after_ms = t->after_ms;
	}
	r->status = c->status;
	r->peer_status = c->peer_status;
	r->reason = c->reason;
	r->released_by = c->released_by;
	r->noted = c->noted;
	put(r->peer_reason, sizeof(r->peer_reason), c->peer_reason);
}

void call_snapshot(const struct call *c, struct call_record *r)
{
	call_facts(c, r);
	call_fill_media(c, r);
}

const struct call_record *b2b_ended(const struct b2b *b, unsigned i)
{
	if (i >= ENDED_KEPT || i >= b->n_ended)
		return NULL;
	return &b->ended[(b->n_ended - 1 - i) % ENDED_KEPT];
}

const struct call_record *b2b_ended_find(const struct b2b *b, uint64_t id)
{
	const struct call_record *r;

	for (unsigned i = 0; (r = b2b_ended(b, i)) != NULL; i++)
		if (r->id == id)
			return r;
	return NULL;
}

/* Where the hops lead now, and the way a call would take first (remote none: none). */
static struct target_way explain_ways(struct call *c, struct b2b_explain *ret, const struct pol_hop **ret_hop)
{
	struct target_way first = {.path = {.proto = NET_UDP}};
	struct b2b *b = c->b2b;

	for (unsigned i = 0; i < ret->route.n_hops; i++) {
		const struct pol_hop *hop = &ret->route.hops[i];
		struct target_way ways[TARGET_WAYS_MAX];
		enum reason why = REASON_NONE;
		unsigned n;

		if (hop->target->registered) {
			n = registered_ways(b, c->arena, hop->trunk, c->called, NULL, ways, &why);
		} else {
			why = registrar_asks(b, hop->trunk);
			if (why != REASON_NONE)
				n = 0;
			else if (registrar_sticks(b, hop->trunk))
				n = registrar_only(b, hop->trunk, c->calling, ways);
			else
				n = targets_ways_seen(b->targets, hop, ways, &why);
			if (registrar_first(b, c->arena, hop->trunk, c->calling, ways, n) < 0)
				n = 0;
		}
		if (n == 0 && ret->n_ways < B2B_EXPLAIN_WAYS)
			ret->ways[ret->n_ways++] = (struct b2b_explain_way){.hop = i, .why = why};
		for (unsigned k = 0; k < n && ret->n_ways < B2B_EXPLAIN_WAYS; k++) {
			struct b2b_explain_way *w = &ret->ways[ret->n_ways++];

			*w = (struct b2b_explain_way){
			    .hop = i, .addr = ways[k].path.remote, .alt = ways[k].alt, .proto = ways[k].path.proto};
			put(w->server, sizeof(w->server), ways[k].server);
			w->state = hop->target->registered
			    ? TARGET_UP
			    : targets_state(b->targets, hop->trunk->id, &ways[k].path, &w->why);
			if (w->state != TARGET_DOWN && addr_none(&first.path.remote)) {
				first = ways[k];
				*ret_hop = hop;
			}
		}
		if (n && addr_none(&first.path.remote) && i + 1 == ret->route.n_hops) {
			first = ways[0]; /* all are down */
			*ret_hop = hop;
		}
	}
	return first;
}

void b2b_explain(struct b2b *b, const struct pol_trunk *from, struct str calling, struct str called,
    struct b2b_explain *ret)
{
	char ruri[512], headers[4096], text[256];
	const struct pol_hop *hop;
	struct target_way way;
	struct arena *a;
	struct buf u, h, o, n;
	struct setup *s;
	struct call *c;
	struct leg *l;

	memset(ret, 0, sizeof(*ret));
	ret->from = from;
	if (!from) {
		ret->reason = REASON_NO_TRUNK;
		return;
	}
	a = arena_new(&b->pool);
	if (!a) {
		ret->reason = REASON_NO_MEMORY;
		return;
	}
	c = arena_new_obj(a, struct call);
	l = arena_new_obj(a, struct leg);
	s = arena_new_obj(a, struct setup);
	if (!c || !l || !s) {
		ret->reason = REASON_NO_MEMORY;
		goto out;
	}
	c->setup = s;
	c->b2b = b;
	c->arena = a;
	buf_init(&n, text, sizeof(text));
	policy_number_in(from, calling, &n);
	c->calling = str_dup(a, buf_text(&n));
	buf_init(&n, text, sizeof(text));
	policy_number_in(from, called, &n);
	c->called = str_dup(a, buf_text(&n));
	put(ret->calling, sizeof(ret->calling), c->calling);
	put(ret->called, sizeof(ret->called), c->called);
	ret->number = policy_number(b->policy, c->called);
	policy_route(b->policy, from, c->calling, c->called, b->env->clock->wall_us, b->env->rng, &ret->route);
	registrar_hops(b, c->calling, &ret->route);
	if (from->admin == POL_DISABLED)
		ret->reason = REASON_TRUNK_DISABLED;
	else if (from->admin == POL_DRAINING)
		ret->reason = REASON_TRUNK_DRAINING;
	else if (b->drain || b->shutdown)
		ret->reason = REASON_SHUTDOWN;
	else if (ret->route.n_hops == 0)
		ret->reason = ret->route.reason ? ret->route.reason : REASON_NO_ROUTE;
	if (ret->reason != REASON_NONE)
		goto out;
	l->call = c;
	l->side = MEDIA_B;
	s->hop = ret->route.hops[0];
	l->trunk = s->hop.trunk;
	s->called = c->called;
	if (l->trunk->sip.scheme_sips) {
		ret->reason = REASON_SIPS_UPGRADE; /* this is about a sip: call */
		goto out;
	}
	way = explain_ways(c, ret, &hop);
	if (addr_none(&way.path.remote)) {
		ret->reason = ret->n_ways ? ret->ways[0].why : REASON_NAME_UNRESOLVED;
		goto out;
	}
	s->hop = *hop;
	l->trunk = hop->trunk;
	buf_init(&u, ruri, sizeof(ruri));
	buf_init(&h, headers, sizeof(headers));
	if (rewrite_invite(l, NULL, &way.path, &way, &u, &h) < 0) {
		ret->reason = REASON_NO_LISTENER;
		goto out;
	}
	buf_init(&o, ret->message, sizeof(ret->message) - 1);
	buf_lit(&o, "INVITE ");
	buf_str(&o, buf_text(&u));
	buf_lit(&o, " SIP/2.0\r\n");
	buf_str(&o, buf_text(&h));
	if (buf_err(&o))
		ret->message[0] = '\0';
out:
	arena_free(a);
}
