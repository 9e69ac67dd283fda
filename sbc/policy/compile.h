/* compile.h - from rows and realms to the snapshot, and what differs between two of them.
 *
 * Pure: reads its input, allocates the snapshot, touches nothing else; may run on any thread (the store thread
 * does it before a change is committed, so that nothing is stored that cannot be compiled).
 */
#ifndef SBC_POLICY_COMPILE_H
#define SBC_POLICY_COMPILE_H

#include "db/db.h"
#include "sbc/base/hash.h"
#include "sbc/policy/policy.h"

/* What the resolver knows of a name that stands as target or address of a trunk: who is recognised by it. Where calls
 * go is the locator's business. */
struct policy_address {
	struct addr addr;      /* the port does not matter */
	int64_t left_us;       /* the name leads there no more since then (mono): counts for address-grace of its
	                          trunk; 0: it does */
};
struct policy_resolved {
	struct str name;       /* as in the rows; compared case-blind */
	const struct policy_address *addrs;
	unsigned n_addrs;
};

struct policy_input {
	const struct pol_realm *realms; /* index = realm index of the running configuration */
	unsigned n_realms;
	const struct db_rows *rows;
	const struct policy_resolved *resolved;
	unsigned n_resolved;
	const struct str *certs; /* names of our certificates in postern.conf */
	unsigned n_certs;
	int64_t now_us;        /* mono, for what left */
	struct hash_key hash_key;
};

#define POLICY_ERRORS_MAX 64
struct policy_error {
	char object[48]; /* "trunk acme", "route out" */
	char text[280];  /* "realm 'wann' does not exist" */
	char hint[160];  /* "did you mean 'wan'?"; may be "" */
};
struct policy_errors {
	unsigned n;       /* found; more than POLICY_ERRORS_MAX are counted only */
	struct policy_error e[POLICY_ERRORS_MAX];
};

/* All is copied, the input may go. 0 and a snapshot with one reference; -EINVAL with everything that is wrong in
 * *errs (nothing compiled); -ENOMEM. A name without addresses is no error (the trunk waits for the resolver). */
MUST_USE int policy_compile(const struct policy_input *in, struct policy **ret, struct policy_errors *errs);

/* The same snapshot with other addresses behind its names: all but the sources is shared, so the cost goes by the
 * number of those addresses and of trunks, not by that of numbers and routes. NULL: out of memory. */
struct policy *policy_with_addresses(
    const struct policy *old, const struct policy_resolved *resolved, unsigned n_resolved, int64_t now_us);
/* When the first address that left is forgotten, mono: make another snapshot then. INT64_MAX: none has left. */
int64_t policy_addresses_next_us(const struct policy *p);

/* Where a trunk's requests may come from, as it stands in the tables; i from 0, false at the end. Trunks that are
 * recognised by certificate alone have none. */
struct policy_source_view {
	struct addr_net net;
	struct str name;       /* of the DNS behind it; empty: configured */
	int64_t left_us;       /* see policy_address */
};
bool policy_source_view(const struct policy *p, const struct pol_trunk *t, unsigned i, struct policy_source_view *ret);
/* Names a certificate may carry to be this trunk's; i from 0, empty at the end or when identify=address. */
struct str policy_tls_name(const struct policy *p, const struct pol_trunk *t, unsigned i);

/* Every name of the rows that is not an IP address, once per place it stands. */
void policy_names(const struct db_rows *rows, void (*fn)(void *ctx, struct str name, bool source), void *ctx);

enum policy_change { POLICY_ADDED, POLICY_REMOVED, POLICY_CHANGED };
/* Calls fn for each trunk that differs (settings, addresses, admin state, resolved names); trunk is of the newer
 * snapshot, for REMOVED of the older. from may be NULL: all are added. Order: by name within each snapshot. */
void policy_diff(const struct policy *from, const struct policy *to,
    void (*fn)(void *ctx, enum policy_change what, const struct pol_trunk *trunk), void *ctx);

/* The routes of the snapshot, for `explain`: which stands where and why it did (not) match. */
struct policy_route_view {
	struct str name, from_trunk, from, to; /* from_trunk empty: any */
	bool deny, from_matches, calling_matches, called_matches, hours_match;
};
unsigned policy_route_count(const struct policy *p);
void policy_route_view(const struct policy *p, unsigned i, const struct pol_trunk *from, struct str calling,
    struct str called, int64_t wall_us, struct policy_route_view *ret);

/* ---- small readers that the CLI shares ---- */

/* "+49*", "*", "112", "0*": digits, leading '+', '*', '#', and one '*' at the end as wildcard. 0 or -EINVAL. */
MUST_USE int policy_pattern_check(struct str pattern);
bool policy_pattern_match(struct str pattern, struct str number);
/* "mon-fri 08:00-18:00", "sat,sun", "22:00-06:00", "always". 0, or -EINVAL with *ret_why (static text). */
MUST_USE int policy_hours_parse(struct str text, struct db_hours *ret, const char **ret_why);
void policy_hours_put(struct buf *b, const struct db_hours *h);

#endif
