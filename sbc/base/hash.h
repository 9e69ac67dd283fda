/* hash.h - keyed hash (SipHash-1-3) and an intrusive chained table.
 *
 * Keys that come from the network are always hashed with the process's secret key, so nobody can aim for one
 * chain. There are twice as many buckets as nodes (each step along a chain is a miss of the cache). The table grows by
 * linear hashing: each node that is added splits two buckets, so no node ever waits for a whole table to be moved. It
 * never shrinks.
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
	size_t n_buckets, cap; /* in use, and room for */
	size_t round;          /* power of two: buckets n_buckets - round and on were not split in this round */
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
