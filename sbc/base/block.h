/* block.h - memory of any small size that comes and goes in great numbers.
 *
 * A block is as large as its class says (multiples of BLOCK_STEP up to BLOCK_MAX); what is given back is kept for the
 * next one of that class, the last given first, while it is still in the cache. Larger ones, and what is more than the
 * pool may keep, go to malloc. The owner remembers the size. Under AddressSanitizer each block is a malloc of its exact
 * size.
 */
#ifndef SBC_BASE_BLOCK_H
#define SBC_BASE_BLOCK_H

#include "sbc/base/str.h"

#define BLOCK_STEP 64
#define BLOCK_MAX 2048

/* Not locked: one thread. Zeroed memory keeps nothing. */
struct block_pool {
	void *free[BLOCK_MAX / BLOCK_STEP]; /* own: by class */
	size_t free_bytes, max_free_bytes;
};

void block_pool_init(struct block_pool *pool, size_t max_free_bytes);
/* Blocks in use stay valid and are given back to malloc by block_put(). */
void block_pool_fini(struct block_pool *pool);

/* NULL when out of memory. Aligned for any object, not zeroed. n 0 is fine. */
void *block_get(struct block_pool *pool, size_t n) __attribute__((alloc_size(2)));
/* n: as it was asked for; p NULL is fine */
void block_put(struct block_pool *pool, void *p, size_t n);

#endif
