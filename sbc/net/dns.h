/* dns.h - record sets of the DNS (NAPTR, SRV, A, AAAA), watched and kept fresh; never of names out of messages.
 *
 * A set is one name and type. While it is watched it is asked again at about 90 % of its TTL, and the watchers are
 * told when something changed. While the servers do not answer (or answer with a failure of their own) the last good
 * records stay, for at most stale_s after their TTL. "No such name" and "no such record" are answers: the set becomes
 * empty, and the question is asked again after the SOA's negative TTL (RFC 2308 5). An empty answer without a SOA
 * proves little: it takes three of them in a row to empty a set that had records.
 *
 * Servers are asked in their order, the next one at once after a refusal or a failure, and after hedge_ms of silence;
 * the first good answer counts. One that stays silent or refuses several times in a row is set aside: it gets a copy
 * of a question now and then, and comes back with its first answer. So a dead server costs nothing after the first
 * moments. Names whose questions fail take at most half of the questions under way, so they never hold up others.
 *
 * Nothing blocks: c-ares on the loop, DNS only (no /etc/hosts), one channel per server. resolv.conf is read in
 * dns_new() and dns_set_servers() when no servers are given.
 */
#ifndef SBC_NET_DNS_H
#define SBC_NET_DNS_H

#include "sbc/base/reason.h"
#include "sbc/loop/env.h"
#include "sbc/loop/loop.h"
#include "sbc/net/dns_msg.h"

struct dns;
struct dns_watch;
struct dns_set;

#define DNS_SETS_MAX 262144

struct dns_cfg {
	const struct addr *servers; /* with ports (0: 53); none: resolv.conf. Any number */
	unsigned n_servers;
	uint32_t try_ms;            /* an answer that comes later is not waited for; 0: 3000 */
	uint32_t hedge_ms;          /* silence until the next server is asked too, doubled in each round; 0: 500 */
	unsigned tries;             /* questions sent in all, at least one per server; 0: 3 */
	uint32_t min_ttl_s;         /* 0: 1 */
	uint32_t max_ttl_s;         /* 0: 86400 */
	uint32_t retry_s;           /* after a failure: from 1 s, doubled up to this; 0: 10 */
	uint32_t stale_s;           /* how long old records live without servers; 0: 86400 */
	uint32_t rest_s;            /* how long a silent server is set aside; 0: 10 */
	unsigned max_asking;        /* questions under way; 0: 256 */
};

enum dns_state {
	DNS_PENDING, /* never answered yet, question under way */
	DNS_GOOD,    /* records within their TTL */
	DNS_STALE,   /* records past their TTL, servers fail */
	DNS_EMPTY,   /* no such name or no such record (kept like records while the servers fail) */
	DNS_FAILED,  /* servers fail and nothing is known */
};
extern const char *const dns_state_names[];

/* What is known of a set. Lives until the loop goes on. */
struct dns_answer {
	enum dns_state state;
	const struct dns_record *records;
	unsigned n;
	bool no_name;           /* EMPTY: there is no such name at all */
	const char *failure;    /* of the last question; NULL: it was answered */
	int64_t good_until_us;  /* end of the TTL, mono; 0: never answered */
	int64_t stale_until_us; /* when the records are given up if the servers go on to fail */
	int64_t next_us;        /* when it is asked again; 0: is being asked */
	uint32_t ttl_s;
	struct addr server;     /* that answered */
	uint32_t revision;      /* grows when state or records change */
};

/* State or records changed, or they were confirmed (then the revision is the same). May unwatch anything. */
typedef void dns_fn(void *ctx, struct dns_watch *w);

/* 0, -ENOMEM, -EIO. */
MUST_USE int dns_new(struct loop *loop, const struct env *env, const struct dns_cfg *cfg, struct dns **ret);
/* Forgets all; closed(arg) (may be NULL) on a later turn, when it has been freed. No watch may be used after this. */
void dns_free(struct dns *d, loop_fn *closed, void *arg);
/* Other servers from now on; none: those of resolv.conf. Questions under way go on with the new ones, and what failed
 * is asked again. 0, -ENOMEM, -EIO; on failure the old ones stay. Not from inside a dns_fn. */
MUST_USE int dns_set_servers(struct dns *d, const struct addr *servers, unsigned n);

/* fn is never called from inside: look at the answer after this. Watchers of the same name and type share a set.
 * 0, -EINVAL (not a host name), -ENFILE (too many sets), -ENOMEM. */
MUST_USE int dns_watch(
    struct dns *d, struct str name, enum dns_type type, dns_fn *fn, void *ctx, struct dns_watch **ret);
void dns_unwatch(struct dns_watch *w);
void dns_answer(const struct dns_watch *w, struct dns_answer *ret);
struct str dns_watch_name(const struct dns_watch *w);
enum dns_type dns_watch_type(const struct dns_watch *w);

/* ---- looking at it ---- */

/* Asks again for all sets of this name (empty: for all there are), keeping what is known until the answer comes.
 * How many. */
unsigned dns_flush(struct dns *d, struct str name);

struct dns_set_view {
	struct str name;
	enum dns_type type;
	unsigned watchers; /* 0: kept a moment in case it is wanted again */
	struct dns_answer answer;
};
/* Walks all sets; NULL first and at the end. Valid until the loop goes on. */
const struct dns_set *dns_walk(const struct dns *d, const struct dns_set *after);
void dns_set_view(const struct dns_set *s, struct dns_set_view *ret);
/* One record as zone files have it ("10 20 5060 sip.example.com"). */
void dns_put_record(struct buf *b, enum dns_type type, const struct dns_record *r);

struct dns_server_view {
	struct addr addr;
	bool down;           /* set aside; asked first by copies */
	uint64_t asked, answered, silent, refused, failed, lied;
	uint32_t rtt_us;     /* smoothed; 0: never answered */
};
/* i from 0; false at the end */
bool dns_server_view(const struct dns *d, unsigned i, struct dns_server_view *ret);

#endif
