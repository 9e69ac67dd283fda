/* block.c - lists of free blocks, one for each size. */
#include "sbc/base/block.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define BLOCK_EXACT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BLOCK_EXACT 1
#endif
#endif
#ifndef BLOCK_EXACT
#define BLOCK_EXACT 0
#endif

struct free_block {
	struct free_block *next;
};

void block_pool_init(struct block_pool *pool, size_t max_free_bytes)
{
	*pool = (struct block_pool){.max_free_bytes = max_free_bytes};
}

void block_pool_fini(struct block_pool *pool)
{
	for (size_t i = 0; i < ARRAY_LEN(pool->free); i++) {
		struct free_block *b = pool->free[i], *next;

		for (; b; b = next) {
			next = b->next;
			free(b);
		}
	}
	*pool = (struct block_pool){.max_free_bytes = 0};
}

static size_t class_of(size_t n)
{
	return n ? (n - 1) / BLOCK_STEP : 0;
}

void *block_get(struct block_pool *pool, size_t n)
{
	size_t class = class_of(n);
	struct free_block *b;

	if (BLOCK_EXACT || n > BLOCK_MAX)
		return malloc(n ? n : 1);
	b = pool->free[class];
	if (!b)
		return malloc((class + 1) * BLOCK_STEP);
	pool->free[class] = b->next;
	pool->free_bytes -= (class + 1) * BLOCK_STEP;
	return b;
}

void block_put(struct block_pool *pool, void *p, size_t n)
{
	size_t class = class_of(n), size = (class + 1) * BLOCK_STEP;
	struct free_block *b = p;

	if (!p)
		return;
	if (BLOCK_EXACT || n > BLOCK_MAX || pool->free_bytes + size > pool->max_free_bytes) {
		free(p);
		return;
	}
	b->next = pool->free[class];
	pool->free[class] = b;
	pool->free_bytes += size;
}
