/* gruu.h - the keys of temporary GRUUs, and which registration one of them means (RFC 6140 7.1.2: the service provider).
 *
 * The key pair can be replaced at any time: what was made with the one before is read for its grace time (GRUU-06).
 * Reading one costs a millisecond, so it is remembered for the last of them, and who sends many new ones waits: each
 * trunk has a share, and all of them together.
 */
#ifndef SBC_REG_GRUU_H
#define SBC_REG_GRUU_H

#include "sbc/loop/env.h"
#include "sbc/reg/gin.h"
#include "sbc/reg/reg.h"

#define GRUU_KEYS_MAX 8

struct gruu {
	const struct env *env;
	struct gin_secret secret;      /* of cookies */
	struct gin_rsa *key[GRUU_KEYS_MAX]; /* own; the one in force first */
	int64_t since_wall_us[GRUU_KEYS_MAX], until_wall_us[GRUU_KEYS_MAX]; /* until 0: in force */
	unsigned n;
	/* those read last: two keyed hashes of the user part, and the cookie in it; and those that could not be read, which
	 * push out none of the good ones */
	struct {
		uint64_t a, b;
		uint8_t cookie[GIN_COOKIE_RAW];
	} seen[256];
	struct {
		uint64_t a, b;
	} bad[64];
	struct hash_key seen_key[2];
	/* who may have how many read: tokens in thousandths, by trunk and for all */
	struct {
		int64_t at_us;
		uint32_t tokens;
	} share[64], all;
};

void gruu_init(struct gruu *g, const struct env *env); /* with a secret that lives as long as the process */
void gruu_fini(struct gruu *g);
/* Takes the keys: the one in force first. What is over by the wall clock counts no more, then or later. */
void gruu_set_keys(struct gruu *g, const struct reg_key *keys, unsigned n);
/* The cookie in a temporary GRUU's user part. NONE, GRUU_UNKNOWN, GRUU_RATE */
enum reason gruu_open(struct gruu *g, uint32_t from_trunk, struct str user, uint8_t ret[GIN_COOKIE_RAW]);
/* The key that new ones are made with; NULL: there is none yet */
const struct gin_rsa *gruu_key(const struct gruu *g);

#endif
