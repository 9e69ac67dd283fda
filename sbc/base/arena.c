/* arena.c - bump allocation in pooled chunks.
 *
 * The arena's own head lives at the start of its first chunk, so a small arena is one chunk and no malloc.
 * A request that does not fit opens another pooled chunk, or, when larger than these, one of its own size.
 */
#include "sbc/base/arena.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifndef ARENA_ASAN
#define ARENA_ASAN 0
#endif

#define ALIGN(n) (((n) + 15u) & ~(size_t)15u)
/* Payload of a chunk that uses up what malloc gives it: a multiple of 16 and 8 more, the rest of its head. */
#define FIT(n) (ALIGN((n) + 8) - 8)

struct chunk {
	struct chunk *next;
	size_t cap; /* payload bytes; == pool->chunk for pooled ones */
	_Alignas(16) char data[];
};

struct arena {
	struct arena_pool *pool; /* borrow: longer life */
	struct chunk *chunks;    /* newest first; the arena itself lives in the oldest */
	char *at, *end;          /* free part of the newest pooled chunk */
};

void arena_pool_init(struct arena_pool *pool, size_t chunk, unsigned max_free)
{
	arena_pool_init_more(pool, chunk, chunk, max_free);
}

void arena_pool_init_more(struct arena_pool *pool, size_t chunk, size_t more, unsigned max_free)
{
	*pool = (struct arena_pool){.chunk = FIT(chunk), .more = ALIGN(more), .max_free = max_free};
	block_pool_init(&pool->others, max_free * pool->more);
}

void arena_pool_fini(struct arena_pool *pool)
{
	struct chunk *c = pool->free_list, *next;

	for (; c; c = next) {
		next = c->next;
		free(c);
	}
	pool->free_list = NULL;
	pool->n_free = 0;
	block_pool_fini(&pool->others);
}

static struct chunk *chunk_get(struct arena_pool *pool, size_t cap)
{
	struct chunk *c;

	if (!ARENA_ASAN && cap == pool->chunk && pool->free_list) {
		c = pool->free_list;
		pool->free_list = c->next;
		pool->n_free--;
	} else {
		c = cap == pool->chunk ? malloc(sizeof(*c) + cap) : block_get(&pool->others, sizeof(*c) + cap);
		if (!c)
			return NULL;
		c->cap = cap;
	}
	pool->live_bytes += sizeof(*c) + cap;
	return c;
}

static void chunk_put(struct arena_pool *pool, struct chunk *c)
{
	pool->live_bytes -= sizeof(*c) + c->cap;
	if (c->cap != pool->chunk) {
		block_put(&pool->others, c, sizeof(*c) + c->cap);
	} else if (!ARENA_ASAN && pool->n_free < pool->max_free) {
		c->next = pool->free_list;
		pool->free_list = c;
		pool->n_free++;
	} else {
		free(c);
	}
}

struct arena *arena_new(struct arena_pool *pool)
{
	size_t cap = ARENA_ASAN ? ALIGN(sizeof(struct arena)) : pool->chunk;
	struct chunk *c = chunk_get(pool, cap);
	struct arena *a;

	if (!c)
		return NULL;
	c->next = NULL;
	a = (struct arena *)(void *)c->data;
	*a = (struct arena){.pool = pool, .chunks = c};
	a->at = c->data + ALIGN(sizeof(*a));
	a->end = c->data + cap;
	return a;
}

static void drop_newer(struct arena *a)
{
	struct chunk *c = a->chunks;

	while (c->next) {
		struct chunk *next = c->next;

		chunk_put(a->pool, c);
		c = next;
	}
	a->chunks = c;
}

void arena_reset(struct arena *a)
{
	drop_newer(a);
	a->at = a->chunks->data + ALIGN(sizeof(*a));
	a->end = a->chunks->data + a->chunks->cap;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	drop_newer(a);
	chunk_put(a->pool, a->chunks);
}

/* Payload of a further chunk that n bytes fit in: one of its own size has all of its block. */
static size_t cap_for(const struct arena_pool *pool, size_t n)
{
	size_t size = sizeof(struct chunk) + n;

	if (n <= pool->more)
		return pool->more;
	return size > BLOCK_MAX ? n : (size + BLOCK_STEP - 1) / BLOCK_STEP * BLOCK_STEP - sizeof(struct chunk);
}

static void *alloc(struct arena *a, size_t n, size_t align)
{
	size_t want = (n ? n : 1) + (align - 1), cap;
	struct chunk *c;
	char *p;

	if (n > ARENA_MAX)
		return NULL;
	want &= ~(align - 1);
	p = a->at + (-(uintptr_t)a->at & (align - 1));
	if (!ARENA_ASAN && p <= a->end && (size_t)(a->end - p) >= want) {
		a->at = p + want;
		return p;
	}
	cap = ARENA_ASAN ? (n ? n : 1) : cap_for(a->pool, want);
	c = chunk_get(a->pool, cap);
	if (!c)
		return NULL;
	c->next = a->chunks;
	a->chunks = c;
	if (ARENA_ASAN)
		return c->data;
	/* keep bumping in whichever of the two has more room left */
	if (cap - want > (size_t)(a->end - a->at)) {
		a->at = c->data + want;
		a->end = c->data + cap;
	}
	return c->data;
}

void *arena_alloc(struct arena *a, size_t n)
{
	return alloc(a, n, 16);
}

char *arena_bytes_alloc(struct arena *a, size_t n)
{
	return alloc(a, n, 1);
}

void *arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	if (p)
		memset(p, 0, n);
	return p;
}

size_t arena_bytes(const struct arena *a)
{
	size_t n = 0;

	for (const struct chunk *c = a->chunks; c; c = c->next)
		n += sizeof(*c) + c->cap;
	return n;
}
