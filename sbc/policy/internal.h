/* internal.h - the snapshot's inside; shared in this room only.
 *
 *   compile.c     rows and realms into a snapshot, with every error listed
 *   policy.c      references, look-ups by id and name, hosts, differences of two snapshots
 *   identify.c    source -> trunk
 *   numbers.c     number -> its block: static tree per length
 *   formats.c     number formats of trunks
 *   routes.c      where a call goes
 *   hours.c       number patterns and times of day
 *   headers.c     the header table
 *   trunk_keys.c  the settings of a trunk; trunk_draft.c edits one
 */
#ifndef SBC_POLICY_INTERNAL_H
#define SBC_POLICY_INTERNAL_H

#include <stdatomic.h>

#include "sbc/base/arena.h"
#include "sbc/policy/compile.h"
#include "sbc/policy/trunk_keys.h"

#define TARGETS_MAX 32   /* of one trunk, resolved addresses included */
#define NUMBER_DIGITS 15 /* E.164 */
#define TREE_LEVELS 11   /* 8^11 blocks of one length */

/* Where a trunk sends from. */
struct source {
	struct hnode node;   /* exact addresses, in policy->exact */
	struct addr_net net;
	const struct pol_trunk *trunk;
	uint8_t realm;
	uint16_t port;       /* 0: any */
	uint32_t transport;  /* enum pol_source_transport */
	bool resolved;       /* from a name: gives way to what was configured */
};

/* The blocks of one length. level[0] has the first number of each, ascending; level[k + 1] every eighth of
 * level[k]; the top has at most eight. One cache line is read per level. */
struct number_tree {
	uint32_t n;
	unsigned levels;
	const uint64_t *level[TREE_LEVELS];
	uint32_t level_n[TREE_LEVELS];
	const uint64_t *last;
	const struct pol_number *number;
};

struct via {
	const struct pol_trunk *trunk;
	uint16_t priority, weight;
};

struct route {
	struct str name;
	const struct pol_trunk *from_trunk; /* NULL: any */
	struct str from, to;
	bool deny;
	const struct via *vias; /* by priority */
	unsigned n_vias;
	struct db_hours hours;
};

struct host {
	uint8_t realm;
	struct str name; /* without a final dot */
};

struct block;

struct policy {
	atomic_uint refs;
	uint64_t revision;
	struct arena_pool pool;
	struct arena *arena;    /* own: texts and small things */
	struct block *blocks;   /* own: arrays */
	struct pol_realm *realms;
	unsigned n_realms;
	struct pol_trunk *trunks;          /* by name */
	uint64_t *prints;                  /* of each, for policy_diff() */
	const struct pol_trunk **by_id;
	unsigned n_trunks;
	struct number_tree trees[NUMBER_DIGITS + 1]; /* [digits] */
	unsigned n_numbers;
	struct hash_key hash_key;
	struct htab exact;      /* struct source */
	struct source *sources;
	unsigned n_sources;
	const struct source **nets; /* longest first */
	unsigned n_nets;
	struct route *routes;
	unsigned n_routes;
	struct host *hosts;     /* by realm and name */
	unsigned n_hosts;
};

/* n zeroed elements that live as long as the snapshot; NULL: out of memory (n 0 is fine). */
void *pol_array(struct policy *p, size_t n, size_t size);

/* identify.c */
uint64_t pol_source_hash(const struct policy *p, uint8_t realm, const struct addr *a);
unsigned pol_source_rank(const struct source *s);

/* numbers.c: rows sorted by length and first, as db_load() gives them. 0 or -ENOMEM */
int pol_numbers_build(struct policy *p, const struct db_rows *rows);
/* digits behind '+' as a value; false: none, too many or something else */
bool pol_digits(struct str s, uint64_t *ret);

/* policy.c */
int pol_host_cmp(const void *a, const void *b);
struct str pol_host_trim(struct str host);

/* headers.c */
bool pol_header_is_leg(struct str name);

/* trunk_keys.c */
#define KEY_HOSTS_MAX 32
#define KEY_FITTING UINT32_MAX /* of times: the compiler chooses */
struct key_value {
	uint64_t n;       /* number, duration in the unit of the type, enum, bool */
	struct str s;     /* borrow: the text given */
	uint16_t codes[32];
	unsigned n_codes;
};
bool trunk_key_read(const struct trunk_key *k, struct str value, struct key_value *ret, struct db_err *err);
/* Next element of a list separated by commas or blanks. */
bool trunk_list_next(struct str *rest, struct str *ret);
bool trunk_target_read(struct str text, struct db_target *ret, struct db_err *err);
void trunk_target_put(struct buf *b, const struct db_target *t);
/* an IP, a net, or a name of the DNS */
bool trunk_address_check(struct str text, struct db_err *err);
bool trunk_host_is_name(struct str host);
/* the long form of a compact name ("s" is Subject), else as it is */
struct str trunk_header_long(struct str name);
bool trunk_header_check(struct str name, struct db_err *err);

#endif
