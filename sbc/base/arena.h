/* arena.h - memory that is given back all at once.
 *
 * An arena belongs to one message, transaction or call and is freed with it. Its chunks come from a pool
 * (one per thread), so a steady load takes nothing from malloc. Under AddressSanitizer each allocation is
 * a malloc of its own, so that an overrun or a use after free is seen.
 */
#ifndef SBC_BASE_ARENA_H
#define SBC_BASE_ARENA_H

#include "sbc/base/str.h"

/* A list of free chunks of one size. Not locked: one thread. */
struct arena_pool {
	size_t chunk;      /* payload bytes of a chunk                         */
	void *free_list;   /* own                                              */
	unsigned n_free;
	unsigned max_free; /* chunks kept; more go back to malloc              */
	size_t live_bytes; /* in use by arenas, for the memory gauge           */
};

struct arena;

void arena_pool_init(struct arena_pool *pool, size_t chunk, unsigned max_free);
void arena_pool_fini(struct arena_pool *pool);

/* NULL when out of memory. The pool must outlive the arena. */
struct arena *arena_new(struct arena_pool *pool);
void arena_free(struct arena *a);
/* Everything allocated so far becomes invalid; one chunk is kept. */
void arena_reset(struct arena *a);

/* Aligned for any object; NULL when out of memory or when n > ARENA_MAX. Not zeroed. */
#define ARENA_MAX ((size_t)1 << 20)
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc, alloc_size(2)));
void *arena_zalloc(struct arena *a, size_t n) __attribute__((malloc, alloc_size(2)));
/* bytes held, for accounting and leak checks */
size_t arena_bytes(const struct arena *a);

#define arena_new_obj(a, type) ((type *)arena_zalloc((a), sizeof(type)))

#endif
