/* locate_dns.h - the locator (locate.h) on the record sets of dns.h. */
#ifndef SBC_NET_LOCATE_DNS_H
#define SBC_NET_LOCATE_DNS_H

#include "sbc/net/dns.h"
#include "sbc/net/locate.h"

/* dns must outlive it. 0 or -ENOMEM. */
MUST_USE int locator_dns_new(struct loop *loop, const struct env *env, struct dns *dns, struct locator **ret);
/* Forgets all destinations; plans somebody holds a reference to stay. */
void locator_dns_free(struct locator *lr);

/* ---- looking at it ---- */

struct location_view {
	struct locate_dest dest; /* borrow: the location's */
	const struct locate_plan *plan;
	bool settling;           /* a new plan waits for answers, or for its time to be over */
	unsigned sets;           /* record sets that are watched for it */
};
/* Walks all destinations, one watched several times stands there as often; NULL first and at the end. Valid until the
 * loop goes on. */
const struct location *locator_dns_walk(const struct locator *lr, const struct location *after);
void location_view(const struct location *l, struct location_view *ret);
/* The i-th record set behind a destination, in the order of asking; false at the end. */
bool location_set(const struct location *l, unsigned i, struct dns_set_view *ret);

#endif
