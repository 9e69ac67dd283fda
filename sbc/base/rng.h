/* rng.h - randomness as an argument: the kernel's in the daemon, a seed's in tests. One thread each. */
#ifndef SBC_BASE_RNG_H
#define SBC_BASE_RNG_H

#include "sbc/base/buf.h"

struct rng {
	void (*fill)(struct rng *r, void *p, size_t n);
	uint64_t seed[2];     /* rng_init_seeded() only */
	unsigned left;        /* unused bytes at the end of pool */
	uint8_t pool[4096];
};

/* getrandom(2), read ahead by 4 KiB */
void rng_init_system(struct rng *r);
/* repeatable (xoroshiro128+); never outside tests */
void rng_init_seeded(struct rng *r, uint64_t seed);

void rng_bytes(struct rng *r, void *p, size_t n);
uint32_t rng_u32(struct rng *r);
/* uniform in [0, n), n > 0 */
uint32_t rng_below(struct rng *r, uint32_t n);
/* n characters of [a-z2-7], five random bits each: tags, branches, Call-IDs */
void rng_put_token(struct rng *r, struct buf *b, size_t n);

#endif
