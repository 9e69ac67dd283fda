/* hash.h - keyed hash (SipHash-1-3) and an intrusive chained table.
 *
 * Keys that come from the network are always hashed with the process's secret key, so nobody can aim for one
 * chain. The table grows by doubling when half as many nodes as buckets are in it (each step along a chain is a
 * miss of the cache), and never shrinks.
 */
#ifndef SBC_BASE_HASH_H
#define SBC_BASE_HASH_H

#include "sbc/base/str.h"

struct hash_key {
	uint64_t k0, k1;
};

uint64_t hash_bytes(const struct hash_key *key, const void *p, size_t n);

static inline uint64_t hash_str(const struct hash_key *key, struct str s)
{
	return hash_bytes(key, s.p, s.n);
}

struct hnode {
	struct hnode *next;
	uint64_t hash;
};

struct htab {
	struct hnode **bucket; /* own */
	size_t mask;           /* buckets - 1 */
	size_t n;
};

/* 0 or -ENOMEM; buckets is rounded up to a power of two */
MUST_USE int htab_init(struct htab *t, size_t buckets);
/* frees the buckets; the nodes are the caller's */
void htab_fini(struct htab *t);
void htab_add(struct htab *t, struct hnode *n, uint64_t hash);
/* n must be in t */
void htab_del(struct htab *t, struct hnode *n);
/* first node with this hash, then the next one: compare the key yourself */
struct hnode *htab_first(const struct htab *t, uint64_t hash);
struct hnode *htab_next(const struct hnode *n);
/* walk over all: pass NULL first; the returned node may be deleted only after its successor was taken */
struct hnode *htab_walk(const struct htab *t, const struct hnode *after);

#endif
