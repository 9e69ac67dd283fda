/* internal.h - the snapshot's inside; shared in this room only.
 *
 *   compile.c     rows and realms into a snapshot, with every error listed
 *   policy.c      references, look-ups by id and name, hosts, differences of two snapshots
 *   sources.c     the tables of sources: configured addresses, names in certificates, addresses behind names
 *   identify.c    source -> trunk
 *   numbers.c     number -> its block: static tree per length
 *   formats.c     number formats of trunks
 *   routes.c      where a call goes
 *   hours.c       number patterns and times of day
 *   headers.c     the header table
 *   registrants.c who registers with us, or is recognised by its credentials, under which name
 *   trunk_keys.c  the settings of a trunk; trunk_draft.c edits one
 */
#ifndef SBC_POLICY_INTERNAL_H
#define SBC_POLICY_INTERNAL_H

#include <stdatomic.h>

#include "sbc/base/arena.h"
#include "sbc/policy/compile.h"
#include "sbc/policy/trunk_keys.h"

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
	struct str name;     /* of the DNS that led to it; gives way to what was configured (empty) */
	int64_t left_us;     /* the name leads there no more since then, mono; 0: it does */
	bool second;         /* the same place as one of another trunk: only what it registered leads to its own */
};

/* A trunk that is recognised by this name in a certificate. */
struct tls_name {
	struct hnode node;   /* core->tls_names */
	struct str name;     /* lower case */
	const struct pol_trunk *trunk;
};

/* A trunk that sends from where this name leads. */
struct named_source {
	struct str name;
	const struct pol_trunk *trunk;
};

/* One block: four of them are a cache line. */
struct number_block {
	uint64_t first;
	uint32_t span;         /* last - first; NUMBER_WIDE: more than fits, see number[].last */
	uint32_t trunk;        /* whose */
};
#define NUMBER_WIDE UINT32_MAX

/* The blocks of one length, ascending. level[0] has the first number of every 64th, level[k + 1] every eighth of level[k];
 * the top has at most eight. One cache line is read per level. */
struct number_tree {
	uint32_t n;
	unsigned levels;
	const uint64_t *level[TREE_LEVELS];
	uint32_t level_n[TREE_LEVELS];
	const struct number_block *block;
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

/* How many of the trunks of a realm */
struct realm_accounts {
	unsigned register_with_us, by_credentials;
};

struct registrant {
	uint8_t realm;
	struct str user;
	const struct pol_trunk *trunk;
};

struct block;

/* What snapshots share that differ only in the addresses behind names. Immutable once compiled. */
struct core {
	atomic_uint refs;       /* snapshots */
	struct arena_pool pool;
	struct arena *arena;    /* own: texts and small things */
	struct block *blocks;   /* own: arrays */
	struct htab exact;      /* struct source: configured */
	struct htab tls_names;  /* struct tls_name */
};

/* Addresses behind names: the part that follows the DNS. */
struct learned {
	struct htab exact;      /* struct source */
	struct source *sources; /* own */
	unsigned n_sources;
	uint64_t *prints;       /* own; of each trunk's, for policy_diff() */
	int64_t next_us;        /* when the first that left is forgotten; INT64_MAX: none */
};

/* A snapshot: the fields point into its core, but for what was learned. */
struct policy {
	atomic_uint refs;
	struct core *core;      /* ref */
	struct learned learned; /* own */
	uint64_t revision;
	struct pol_realm *realms;
	unsigned n_realms;
	struct pol_trunk *trunks;          /* by name */
	uint64_t *prints;                  /* of each, for policy_diff() */
	const struct pol_trunk **by_id;
	unsigned n_trunks;
	struct number_tree trees[NUMBER_DIGITS + 1]; /* [digits] */
	const struct pol_number *numbers;  /* of all trees, one behind the other */
	uint32_t *next_number;             /* of each, that of the same trunk: 1 + index, 0: none */
	unsigned n_numbers;
	struct hash_key hash_key;
	struct source *sources; /* configured */
	unsigned n_sources;
	const struct source **nets; /* longest first */
	unsigned n_nets;
	struct named_source *named;
	unsigned n_named;
	struct tls_name *tls_names;
	unsigned n_tls_names;
	unsigned *realm_names;  /* of each realm: trunks recognised by a certificate alone */
	struct route *routes;
	unsigned n_routes;
	struct host *hosts;     /* by realm and name */
	unsigned n_hosts;
	struct registrant *registrants; /* by realm and user: who registers, or is recognised by its credentials */
	unsigned n_registrants;
	struct realm_accounts *realm_accounts; /* [realm] */
};

/* n zeroed elements that live as long as the snapshot; NULL: out of memory (n 0 is fine). */
void *pol_array(struct policy *p, size_t n, size_t size);

/* sources.c */
uint64_t pol_source_hash(const struct policy *p, uint8_t realm, const struct addr *a);
uint64_t pol_tls_name_hash(const struct policy *p, uint8_t realm, struct str name);
unsigned pol_source_rank(const struct source *s);
/* What the compiler gathers, in any order. */
struct source_list {
	struct source *sources; /* own, as all here: pol_source_list_fini() */
	struct named_source *named;
	struct tls_name *tls_names;
	unsigned n_sources, cap_sources, n_named, cap_named, n_tls_names, cap_tls_names;
};
void pol_source_list_fini(struct source_list *l);
/* All of a trunk; row's addresses that are not valid were reported already and are left out. 0 or -ENOMEM */
int pol_sources_collect(
    struct policy *p, struct source_list *l, const struct db_trunk *row, const struct pol_trunk *t);
/* x and y cannot be told apart by what. */
typedef void pol_collide_fn(
    void *ctx, const struct pol_trunk *x, const struct pol_trunk *y, struct str what, bool certificate);
/* The configured tables, and the learned ones of resolved. 0 or -ENOMEM */
int pol_sources_build(struct policy *p, struct source_list *l, pol_collide_fn *fn, void *ctx);
int pol_learn(struct policy *p, const struct policy_resolved *resolved, unsigned n, int64_t now_us);
void pol_learned_fini(struct learned *l);

/* links.c: what of x names a trunk (by that name) that it cannot: why */
typedef void pol_link_fn(void *ctx, const struct pol_trunk *x, const char *what, struct str name, const char *why);
void pol_links_build(struct policy *p, pol_link_fn *fn, void *ctx);
/* downs.c */
/* One word of down-numbers, "RANGE:STATUS" or "RANGE:TRUNK". false: it is none */
bool pol_down_read(struct str word, struct db_number *ret_range, uint16_t *ret_code, struct str *ret_trunk);
int pol_downs_build(struct policy *p, pol_link_fn *fn, void *ctx); /* 0 or -ENOMEM; fn: what is wrong */

/* numbers.c: rows sorted by length and first, as db_load() gives them. 0 or -ENOMEM */
int pol_numbers_build(struct policy *p, const struct db_rows *rows);
/* digits behind '+' as a value; false: none, too many or something else */
bool pol_digits(struct str s, uint64_t *ret);

/* registrants.c: of all trunks; -ENOMEM, or the pair that would be known by the same name in *ret_a, *ret_b: -EEXIST */
int pol_registrants_build(struct policy *p, const struct pol_trunk **ret_a, const struct pol_trunk **ret_b);

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
