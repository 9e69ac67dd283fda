/* rng.c - see rng.h */
#include "sbc/base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static void fill_system(struct rng *r, void *p, size_t n)
{
	uint8_t *u = p;

	(void)r;
	while (n) {
		ssize_t got = getrandom(u, n, 0);

		if (got < 0) {
			if (errno == EINTR)
				continue;
			abort(); /* without randomness nothing here is safe */
		}
		u += got;
		n -= (size_t)got;
	}
}

static uint64_t next_seeded(struct rng *r)
{
	uint64_t a = r->seed[0], b = r->seed[1], sum = a + b;

	b ^= a;
	r->seed[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
	r->seed[1] = (b << 37) | (b >> 27);
	return sum;
}

static void fill_seeded(struct rng *r, void *p, size_t n)
{
	uint8_t *u = p;

	for (size_t i = 0; i < n; i++)
		u[i] = (uint8_t)(next_seeded(r) >> 32);
}

void rng_init_system(struct rng *r)
{
	memset(r, 0, sizeof(*r));
	r->fill = fill_system;
}

void rng_init_seeded(struct rng *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	r->fill = fill_seeded;
	r->seed[0] = seed * 0x9e3779b97f4a7c15u + 1;
	r->seed[1] = (seed ^ 0x5851f42d4c957f2du) * 0xbf58476d1ce4e5b9u + 1;
	for (int i = 0; i < 8; i++)
		next_seeded(r);
}

void rng_bytes(struct rng *r, void *p, size_t n)
{
	uint8_t *u = p;

	if (n > sizeof(r->pool)) {
		r->fill(r, p, n);
		return;
	}
	while (n) {
		size_t take = n < r->left ? n : r->left;
		uint8_t *from;

		if (take == 0) {
			r->fill(r, r->pool, sizeof(r->pool));
			r->left = sizeof(r->pool);
			continue;
		}
		from = r->pool + sizeof(r->pool) - r->left;
		memcpy(u, from, take);
		memset(from, 0, take);
		r->left -= (unsigned)take;
		u += take;
		n -= take;
	}
}

uint32_t rng_u32(struct rng *r)
{
	uint32_t v;

	rng_bytes(r, &v, sizeof(v));
	return v;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(((uint64_t)rng_u32(r) * n) >> 32);
}

void rng_put_token(struct rng *r, struct buf *b, size_t n)
{
	static const char alphabet[33] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8_t raw[64];
	char text[64];

	if (n > sizeof(raw))
		n = sizeof(raw);
	rng_bytes(r, raw, n);
	for (size_t i = 0; i < n; i++)
		text[i] = alphabet[raw[i] & 31];
	buf_put(b, text, n);
}
