/* strays.c - far ends of running calls that the policy no longer knows.
 *
 * A call keeps the snapshot it began with, but what comes in is admitted by the current one. When a trunk is deleted or
 * moves to other addresses, the far ends of its calls would be strangers at the door: their BYE, and the answer to ours,
 * would be dropped. So each swap of the policy looks for legs whose address is nobody's now, and lets those addresses in
 * until the leg is gone and its last transactions are over (64*T1). What they may say is judged where it always is:
 * requests in a dialog by the leg's own address, all else as a stranger's.
 *
 * Bounded by the number of legs. Without memory an address is left out, and its far end is a stranger.
 */
#include "sbc/b2b/internal.h"

#include <stdlib.h>

#define LINGER_MS 32000

struct stray {
	struct hnode node; /* b2b->strays */
	struct b2b *b2b;   /* borrow */
	struct addr addr;
	uint8_t realm;
	unsigned legs;
	struct timer timer; /* runs once legs is 0 */
};

static uint64_t hash_of(const struct b2b *b, uint8_t realm, const struct addr *a)
{
	struct str ip = addr_ip_bytes(a);
	char key[17];

	key[0] = (char)realm;
	memcpy(key + 1, ip.p, ip.n);
	return hash_bytes(&b->env->hash_key, key, ip.n + 1);
}

static struct stray *find(const struct b2b *b, uint8_t realm, const struct addr *a)
{
	if (b->strays.n == 0 || addr_none(a))
		return NULL;
	for (struct hnode *n = htab_first(&b->strays, hash_of(b, realm, a)); n; n = htab_next(n)) {
		struct stray *s = container_of(n, struct stray, node);

		if (s->realm == realm && addr_eq_ip(&s->addr, a))
			return s;
	}
	return NULL;
}

static void stray_free(struct stray *s)
{
	htab_del(&s->b2b->strays, &s->node);
	timer_stop(s->b2b->env->timers, &s->timer);
	free(s);
}

static void on_over(struct timer *t)
{
	stray_free(container_of(t, struct stray, timer));
}

static void look(struct leg *l)
{
	struct b2b *b = l->call->b2b;
	const struct net_path *p = &l->dlg.path;
	struct stray *s;

	if (l->stray || addr_none(&p->remote) || policy_address_known(b->policy, p))
		return;
	s = find(b, p->realm, &p->remote);
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return;
		s->b2b = b;
		s->realm = p->realm;
		s->addr = p->remote;
		htab_add(&b->strays, &s->node, hash_of(b, p->realm, &p->remote));
	}
	timer_stop(b->env->timers, &s->timer);
	s->legs++;
	l->stray = s;
}

void strays_find(struct b2b *b)
{
	list_each(n, &b->calls) {
		struct call *c = container_of(n, struct call, node);

		list_each(m, &c->legs) {
			look(container_of(m, struct leg, node));
		}
	}
}

void stray_leg_gone(struct leg *l)
{
	struct stray *s = l->stray;

	l->stray = NULL;
	if (s && --s->legs == 0)
		timer_start_ms(s->b2b->env->timers, &s->timer, LINGER_MS, on_over);
}

void strays_free(struct b2b *b)
{
	struct hnode *n = htab_walk(&b->strays, NULL), *next;

	for (; n; n = next) {
		next = htab_walk(&b->strays, n);
		stray_free(container_of(n, struct stray, node));
	}
	htab_fini(&b->strays);
}

bool b2b_awaits(const struct b2b *b, const struct net_path *from)
{
	return find(b, from->realm, &from->remote) != NULL;
}
