/* arena.h - memory that is given back all at once.
 *
 * An arena belongs to one message, transaction or call and is freed with it. Its chunks come from a pool
 * (one per thread), so a steady load takes nothing from malloc. Under AddressSanitizer each allocation is
 * a malloc of its own, so that an overrun or a use after free is seen.
 */
#ifndef SBC_BASE_ARENA_H
#define SBC_BASE_ARENA_H

#include "sbc/base/block.h"

/* Free chunks. Not locked: one thread. */
struct arena_pool {
	size_t chunk;      /* payload bytes of an arena's first chunk          */
	size_t more;       /* of its further ones                              */
	void *free_list;   /* own: of size chunk                               */
	unsigned n_free;
	unsigned max_free; /* chunks kept; more go back to malloc              */
	struct block_pool others; /* own: of other sizes                       */
	size_t live_bytes; /* in use by arenas, for the memory gauge           */
};

struct arena;

void arena_pool_init(struct arena_pool *pool, size_t chunk, unsigned max_free);
/* The same, with further chunks of another size: for arenas that are nearly always of one size, and then long-lived. */
void arena_pool_init_more(struct arena_pool *pool, size_t chunk, size_t more, unsigned max_free);
void arena_pool_fini(struct arena_pool *pool);

/* NULL when out of memory. The pool must outlive the arena. */
struct arena *arena_new(struct arena_pool *pool);
void arena_free(struct arena *a);
/* Everything allocated so far becomes invalid; one chunk is kept. */
void arena_reset(struct arena *a);

/* Aligned for any object; NULL when out of memory or when n > ARENA_MAX. Not zeroed. */
#define ARENA_MAX ((size_t)1 << 20)
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc, alloc_size(2)));
/* The same for bytes: not aligned, so that many small texts lie close. */
char *arena_bytes_alloc(struct arena *a, size_t n) __attribute__((malloc, alloc_size(2)));
void *arena_zalloc(struct arena *a, size_t n) __attribute__((malloc, alloc_size(2)));
/* bytes held, for accounting and leak checks */
size_t arena_bytes(const struct arena *a);

#define arena_new_obj(a, type) ((type *)arena_zalloc((a), sizeof(type)))

#endif
