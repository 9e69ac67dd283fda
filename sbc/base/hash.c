/* hash.c - SipHash-1-3 (Aumasson, Bernstein) and the chained table. */
#include "sbc/base/hash.h"

#include <errno.h>

#include "sbc/base/big.h"

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTL(v[1], 13) ^ v[0];
	v[0] = ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTL(v[1], 17) ^ v[2];
	v[2] = ROTL(v[2], 32);
}

uint64_t hash_bytes(const struct hash_key *key, const void *p, size_t n)
{
	uint64_t v[4] = {key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du,
	    key->k0 ^ 0x6c7967656e657261u, key->k1 ^ 0x7465646279746573u};
	const uint8_t *u = p;
	uint64_t m;
	size_t left = n;

	for (; left >= 8; left -= 8, u += 8) {
		memcpy(&m, u, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	m = (uint64_t)n << 56;
	if (left && n >= 8) { /* the last bytes, read with those before them */
		uint64_t last;

		memcpy(&last, u + left - 8, 8);
		m |= last >> (8 * (8 - left));
	} else {
		for (size_t i = 0; i < left; i++)
			m |= (uint64_t)u[i] << (8 * i);
	}
	v[3] ^= m;
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

int htab_init(struct htab *t, size_t buckets)
{
	size_t n = 16;

	while (n < buckets)
		n *= 2;
	t->bucket = big_alloc(n * sizeof(*t->bucket));
	if (!t->bucket)
		return -ENOMEM;
	t->n_buckets = t->cap = t->round = n;
	t->n = 0;
	return 0;
}

void htab_fini(struct htab *t)
{
	big_free(t->bucket, t->cap * sizeof(*t->bucket));
	t->bucket = NULL;
}

static struct hnode **slot_of(const struct htab *t, uint64_t hash)
{
	size_t i = hash & (t->round * 2 - 1);

	return &t->bucket[i < t->n_buckets ? i : i - t->round];
}

/* One bucket more: takes its nodes out of the one that stood for both. A table that cannot grow still works, only
 * slower. */
static void split(struct htab *t)
{
	struct hnode **from, **to, *n;

	if (t->n_buckets == t->cap) {
		struct hnode **b = big_grow(t->bucket, t->cap * sizeof(*b), t->cap * 2 * sizeof(*b));

		if (!b)
			return;
		t->bucket = b;
		t->cap *= 2;
	}
	if (t->n_buckets == t->round * 2)
		t->round *= 2;
	from = &t->bucket[t->n_buckets - t->round];
	to = &t->bucket[t->n_buckets++];
	/* the one after the next: its nodes have not been touched for long, and are wanted at the next addition */
	if (t->n_buckets - t->round + 1 < t->round)
		__builtin_prefetch(from[2]);
	while ((n = *from)) {
		if (n->hash & t->round) {
			*from = n->next;
			n->next = *to;
			*to = n;
		} else {
			from = &n->next;
		}
	}
}

void htab_add(struct htab *t, struct hnode *n, uint64_t hash)
{
	struct hnode **slot;

	if (t->n >= t->n_buckets / 2) {
		split(t);
		split(t);
	}
	slot = slot_of(t, hash);
	n->hash = hash;
	n->next = *slot;
	*slot = n;
	t->n++;
}

void htab_del(struct htab *t, struct hnode *n)
{
	struct hnode **p = slot_of(t, n->hash);

	while (*p && *p != n)
		p = &(*p)->next;
	if (!*p)
		return;
	*p = n->next;
	n->next = NULL;
	t->n--;
}

struct hnode *htab_first(const struct htab *t, uint64_t hash)
{
	struct hnode *n = *slot_of(t, hash);

	while (n && n->hash != hash)
		n = n->next;
	return n;
}

struct hnode *htab_next(const struct hnode *n)
{
	uint64_t hash = n->hash;

	do
		n = n->next;
	while (n && n->hash != hash);
	return (struct hnode *)n;
}

struct hnode *htab_walk(const struct htab *t, const struct hnode *after)
{
	size_t i = 0;

	if (after) {
		if (after->next)
			return after->next;
		i = (size_t)(slot_of(t, after->hash) - t->bucket) + 1;
	}
	for (; i < t->n_buckets; i++)
		if (t->bucket[i])
			return t->bucket[i];
	return NULL;
}
