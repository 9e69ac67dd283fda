/* resolve.h - the address set of a host name: who may a peer be that is configured by name?
 *
 * Not an order to try (locate.h has that) but a set to recognise senders by: the addresses the name has itself, or
 * those of the servers that NAPTR and SRV name for it, or all of them. An address that leaves the set is kept as a
 * former one with the time it left, since a provider's servers go on sending for a while after the DNS changed; how
 * long that counts is the caller's to say. Only configured names are ever looked up, never names out of messages.
 */
#ifndef SBC_NET_RESOLVE_H
#define SBC_NET_RESOLVE_H

#include "sbc/base/addr.h"
#include "sbc/loop/clock.h"
#include "sbc/net/locate.h"

struct resolve_name;

enum resolve_state {
	RESOLVE_PENDING, /* never answered yet, look-up under way */
	RESOLVE_GOOD,    /* addresses within their TTL (or its refresh) */
	RESOLVE_STALE,   /* some of them past their TTL, servers of the DNS fail */
	RESOLVE_EMPTY,   /* the name has no address of the wanted families */
	RESOLVE_FAILED,  /* servers fail and nothing is known */
};
extern const char *const resolve_state_names[];

/* Families wanted, and where the addresses come from. */
enum {
	RESOLVE_V4 = 1,
	RESOLVE_V6 = 2,
	RESOLVE_OWN = 4,  /* A and AAAA of the name itself */
	RESOLVE_ANY = 8,  /* what NAPTR, else SRV, else A and AAAA lead to */
	RESOLVE_UDP = 16, /* what SRV of this transport, else A and AAAA lead to */
	RESOLVE_TCP = 32,
	RESOLVE_TLS = 64,
};
#define RESOLVE_ADDRS_MAX 256
#define RESOLVE_FORMER_MAX 64
#define RESOLVE_FORMER_S 604800 /* former addresses are kept that long */

/* State or addresses changed. May unwatch the name. */
typedef void resolve_fn(void *ctx, struct resolve_name *n);

/* what: of the bits above, at least one family and one place. lr and clock must outlive it. fn is never called from inside. 0,
 * -EINVAL (not a host name), -ENOMEM. */
MUST_USE int resolve_watch(struct locator *lr, const struct clock *clock, struct str host, unsigned what,
    resolve_fn *fn, void *ctx, struct resolve_name **ret);
void resolve_unwatch(struct resolve_name *n);
/* Other places from now on (families stay as they are); addresses that no longer count become former ones once the
 * new places have answered. 0, -EINVAL (no place), -ENOMEM: as before. */
MUST_USE int resolve_change(struct resolve_name *n, unsigned what);
/* The bits it was made or changed with. */
unsigned resolve_what(const struct resolve_name *n);

/* IPv4 before IPv6, otherwise sorted, so that equal answers give equal lists; port 0. The list is the name's. */
const struct addr *resolve_addrs(const struct resolve_name *n, unsigned *ret_count);
/* The i-th former address, the one that left last first, and when it left (mono). False at the end. */
bool resolve_former(const struct resolve_name *n, unsigned i, struct addr *ret, int64_t *ret_left_us);
enum resolve_state resolve_state(const struct resolve_name *n);
struct str resolve_host(const struct resolve_name *n);
/* until when it is known to be true, mono_us */
int64_t resolve_next_us(const struct resolve_name *n);

#endif
