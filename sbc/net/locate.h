/* locate.h - from a name to the servers behind it (RFC 3263, RFC 2782, RFC 7984), watched.
 *
 * A destination is what stands in the configuration: host, port, transport. Its plan is the ordered list of places
 * that answer for it, kept up to date while it is watched: NAPTR, SRV, A and AAAA are asked again before their TTL
 * ends, the last good plan stays while the servers fail (bounded, and said so). So a call never waits for the DNS.
 * A plan is immutable and counted; a new one is published when something changed.
 *
 * An interface: locate_dns.h implements it on c-ares, tests on tables. Numeric hosts need no question (DNS-01).
 */
#ifndef SBC_NET_LOCATE_H
#define SBC_NET_LOCATE_H

#include "sbc/net/net.h"

struct rng;
struct locator;
struct location; /* one watched destination */

#define LOCATE_ANY NET_PROTOS /* let NAPTR and SRV choose */

struct locate_dest {
	struct str host;
	uint16_t port;    /* 0: not said, so NAPTR/SRV are asked (DNS-02) */
	uint8_t proto;    /* enum net_proto or LOCATE_ANY */
	bool sips;        /* only TLS (SIPS+) will do */
	uint8_t protos;   /* bits 1 << enum net_proto: what the realm has listeners for */
	uint8_t families; /* RESOLVE_V4 | RESOLVE_V6: what the realm has listeners for (HE-01) */
};

/* One server: an SRV target, or the host itself. Its addresses stand together, both families, as RFC 6724 would
 * order them (HE-02: never across servers). */
struct locate_server {
	struct str name;
	uint16_t priority, weight; /* of SRV; 0, 0 */
	uint8_t proto;
	uint8_t rank;              /* of its service (NAPTR, transport): all servers of one before those of the next */
	unsigned first, n;         /* addresses in plan->addrs; n 0: the name has none (yet) */
};

enum locate_state {
	LOCATE_PENDING, /* the first answers are not there yet */
	LOCATE_GOOD,
	LOCATE_STALE,   /* servers of the DNS fail; the last good plan is in use until stale_until_us */
	LOCATE_EMPTY,   /* the DNS says there is nothing (no such name, no address, SRV target ".") */
	LOCATE_FAILED,  /* the DNS fails and nothing is known */
};
extern const char *const locate_state_names[];

struct locate_plan {
	unsigned refs;             /* locate_plan_ref/unref */
	enum locate_state state;
	enum reason reason;        /* EMPTY, FAILED: DNS_NO_NAME, DNS_NO_ADDRESS, DNS_REFUSED_SERVICE, DNS_FAILED ... */
	int64_t fresh_until_us;    /* mono; until when it is known to be true, INT64_MAX: numeric. Moves on with each
	                              renewal that brought nothing new */
	int64_t stale_until_us;    /* STALE: when the plan is given up */
	const char *how;           /* "numeric", "naptr", "srv", "address" */
	const struct locate_server *servers; /* by NAPTR order and preference, then SRV priority */
	unsigned n_servers;
	const struct addr *addrs;  /* with ports */
	unsigned n_addrs;
};

/* Another plan than before. May unwatch. Never called from inside locate_watch(). */
typedef void locate_fn(void *ctx, struct location *l);

struct locator_ops {
	int (*watch)(struct locator *lr, const struct locate_dest *d, locate_fn *fn, void *ctx, struct location **ret);
	void (*unwatch)(struct location *l);
	const struct locate_plan *(*plan)(const struct location *l);
};
struct locator {
	const struct locator_ops *ops;
};

/* d is copied. 0, -EINVAL (no host name and no address), -ENOMEM. */
static inline int locate_watch(
    struct locator *lr, const struct locate_dest *d, locate_fn *fn, void *ctx, struct location **ret)
{
	return lr->ops->watch(lr, d, fn, ctx, ret);
}
static inline void locate_unwatch(struct locator *lr, struct location *l)
{
	if (l)
		lr->ops->unwatch(l);
}
/* Never NULL; borrow: ref it to keep it. */
static inline const struct locate_plan *locate_plan(const struct locator *lr, const struct location *l)
{
	return lr->ops->plan(l);
}

/* locate.c: pure */
struct locate_plan *locate_plan_ref(const struct locate_plan *p);
void locate_plan_unref(const struct locate_plan *p);
/* The plan of a numeric host; NULL: out of memory. */
struct locate_plan *locate_plan_numeric(const struct addr *a, const struct locate_dest *d);
/* Order to try the servers of a plan: priorities ascending, weighted random inside one (RFC 2782, DNS-04). order has
 * room for n_servers; returns how many were written (servers without addresses are left out). */
unsigned locate_order(const struct locate_plan *p, struct rng *rng, unsigned *order);

#endif
