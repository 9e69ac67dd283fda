/* resolve.h - addresses of host names that stand in the configuration; never of names out of messages.
 *
 * A name is watched: looked up at once, again when its TTL runs out, and the watcher is told when the addresses
 * changed. While the servers do not answer (or answer with a failure of their own) the last good addresses stay,
 * for at most stale_s. "No such name" and "no address" are answers: the list becomes empty, and the question is
 * asked again after the SOA's negative TTL (RFC 2308 5). Nothing blocks: c-ares on the loop, DNS only (no
 * /etc/hosts), the servers of resolv.conf are read once in resolver_new() when none are given.
 */
#ifndef SBC_NET_RESOLVE_H
#define SBC_NET_RESOLVE_H

#include "sbc/base/addr.h"
#include "sbc/base/reason.h"
#include "sbc/loop/env.h"
#include "sbc/loop/loop.h"

struct resolver;
struct resolve_name;

struct resolver_cfg {
	const struct addr *servers; /* with ports (0: 53); none: resolv.conf */
	unsigned n_servers;
	int timeout_ms;             /* one try; 0: 2000 */
	int tries;                  /* per server; 0: 2 */
	uint32_t min_ttl_s;         /* 0: 1 */
	uint32_t max_ttl_s;         /* 0: 86400 */
	uint32_t retry_s;           /* after a failure; 0: 10 */
	uint32_t stale_s;           /* how long old answers live without servers; 0: 86400 */
};

enum resolve_state {
	RESOLVE_PENDING, /* never answered yet, look-up under way */
	RESOLVE_GOOD,    /* addresses within their TTL (or its refresh) */
	RESOLVE_STALE,   /* addresses past their TTL, servers fail */
	RESOLVE_EMPTY,   /* the name has no address of the wanted families */
	RESOLVE_FAILED,  /* servers fail and nothing is known */
};

enum { RESOLVE_V4 = 1, RESOLVE_V6 = 2 };
#define RESOLVE_ADDRS_MAX 64 /* half of them of each family */

/* State or addresses changed. May unwatch the name. */
typedef void resolve_fn(void *ctx, struct resolve_name *n);

MUST_USE int resolver_new(struct loop *loop, const struct env *env, const struct resolver_cfg *cfg,
    struct resolver **ret);
/* Forgets all names; closed(arg) (may be NULL) on a later turn, when the resolver has been freed. */
void resolver_free(struct resolver *r, loop_fn *closed, void *arg);

/* families: RESOLVE_V4 | RESOLVE_V6. fn is never called from inside. 0, -EINVAL (not a host name), -ENOMEM. */
MUST_USE int resolve_watch(struct resolver *r, struct str host, unsigned families, resolve_fn *fn, void *ctx,
    struct resolve_name **ret);
void resolve_unwatch(struct resolve_name *n);

/* IPv4 before IPv6, otherwise sorted, so that equal answers give equal lists; port 0. The list is the name's. */
const struct addr *resolve_addrs(const struct resolve_name *n, unsigned *ret_count);
enum resolve_state resolve_state(const struct resolve_name *n);
struct str resolve_host(const struct resolve_name *n);
/* when it is asked again, mono_us */
int64_t resolve_next_us(const struct resolve_name *n);

#endif
