/* target.h - where calls of a trunk can go right now: addresses, their health, and the order to try them.
 *
 * The policy says which targets a trunk has (names, ports, transports); the locator says which servers and addresses
 * stand behind them; this room remembers how each of those addresses has behaved. The B2BUA asks for the ways to a
 * target when a call needs them and reports what came of each try. Health is kept by trunk, address and transport,
 * so it outlives snapshots and changes of the DNS.
 *
 * An address is down after a transport error, silence, 503 or 408 (threshold: trunk settings), at once for
 * Retry-After; any other final answer is alive (DNS-09). One that is down is not tried before its time is over or a
 * probe (OPTIONS) was answered (DNS-08). When all places of a route are down, the one that rests the shortest may be
 * tried, once per second at most: targets_last_resort().
 */
#ifndef SBC_TARGET_TARGET_H
#define SBC_TARGET_TARGET_H

#include "sbc/net/locate.h"
#include "sbc/policy/policy.h"
#include "sbc/txn/txn.h"

struct targets;

/* One way to a target. */
struct target_way {
	struct net_path path; /* realm, proto, remote, peer; conn 0 */
	struct addr alt;      /* address of the other family to race against (targets_connect()), or none. UDP: only
	                         while nothing is known of either; it is another way as well then */
	uint32_t try_ms;      /* give up on silence after that (0: the transaction's own timers): short where the
	                         family of a UDP server is not known to work (HE-03) */
	struct str server;    /* name behind it; borrow: until the next turn */
	struct str uri;       /* a registration: the request URI it wants; empty: not one */
	struct str route;     /* of requests by it: Path of a registration, Service-Route of our own; or empty */
	struct str instance;  /* a flow of an instance (RFC 5626): which, "<urn:uuid:...>"; empty: not one */
	struct str aor;       /* of that registration: a number, or empty */
};
#define TARGET_WAYS_MAX 16

enum target_outcome {
	TARGET_ANSWERED,  /* any final answer but 503 and 408, or any answer before it */
	TARGET_SILENT,    /* timer B or F, or 408 made of it */
	TARGET_UNREACHED, /* transport error, TLS failure */
	TARGET_503,
};

/* locator may be NULL: only numeric targets are reached then. txn sends the probes. */
struct targets *targets_new(
    const struct env *env, struct net *net, struct txn_layer *txn, struct locator *locator);
void targets_free(struct targets *ts);
/* Whoever knows more of a trunk's addresses than what calls and probes find out. */
struct targets_user {
	/* An address did not answer, or could not be reached: the one try, whatever the threshold says. Nothing may be freed
	 * in here. */
	void (*on_bad)(void *ctx, uint32_t trunk_id, const struct net_path *path);
	/* Its answers taught us another address of ours (learn-address). */
	void (*on_address)(void *ctx, uint32_t trunk_id);
	/* May OPTIONS of ours be sent there, that nobody asked for? */
	bool (*may_probe)(void *ctx, uint32_t trunk_id, const struct net_path *path);
};
void targets_set_user(struct targets *ts, const struct targets_user *user, void *ctx); /* NULL: nobody any more */
/* Follows the snapshot: targets that stay keep what is known of them. Takes a reference. */
void targets_set_policy(struct targets *ts, struct policy *p);

/* The ways to a target, best first, at most TARGET_WAYS_MAX. 0 ways: *ret_why is set (NAME_UNRESOLVED, DNS_...,
 * TARGET_DOWN, NO_LISTENER: the realm has none of that transport and family). */
unsigned targets_ways(struct targets *ts, const struct pol_hop *hop, struct target_way *ways, enum reason *ret_why);
/* The same to look at: those that are down as well, and nothing is taken by it. */
unsigned targets_ways_seen(
    struct targets *ts, const struct pol_hop *hop, struct target_way *ways, enum reason *ret_why);
/* For a call that found everything down: the way that rests the shortest, unless it asked to be left alone
 * (Retry-After). At most once a second for each target; false: none. */
bool targets_last_resort(struct targets *ts, const struct pol_hop *hop, struct target_way *ret);
/* What came of a try. why: for UNREACHED, as net_error_reason() says; retry_after_s: of a 503, 0: none. */
void targets_report(struct targets *ts, uint32_t trunk_id, const struct net_path *path, enum target_outcome what,
    enum reason why, uint32_t retry_after_s);
/* Addresses of a host that is one of the trunk's own (target, SRV target, or its domain): for routes and targets of
 * dialogs that name it (DNS-06). Names that are not the trunk's are never looked up. 0: none known. */
unsigned targets_named(struct targets *ts, const struct pol_trunk *t, struct str host, uint16_t port, uint8_t proto,
    struct target_way *ways);
/* The peer (net.h) a trunk's dialogs belong to: for requests we send back on a leg it opened. 0: none. */
uint32_t targets_peer(struct targets *ts, uint32_t trunk_id);
/* The trunk whose target a flow of ours was made for, 0: of none. */
uint32_t targets_trunk_of(const struct targets *ts, const struct net_path *flow);

/* What became of a request that went by TCP for its size: refused ones are remembered for ten minutes. path as it
 * was wanted: UDP. */
void targets_note_tcp(struct targets *ts, uint32_t trunk_id, const struct net_path *path, bool refused);
bool targets_tcp_refused(struct targets *ts, uint32_t trunk_id, const struct net_path *path);
/* What Via and Contact say towards a trunk: what its answers taught us (learn-address), else as net_local(). NULL: no
 * such listener. Borrow: until the next turn. */
const struct net_local *targets_local(struct targets *ts, uint32_t trunk_id, const struct net_path *path);
/* Takes received and rport of our Via in an answer of that trunk, when it is set to. */
void targets_learn(struct targets *ts, uint32_t trunk_id, const struct net_path *path, const struct sip_msg *answer);

/* ---- looking at it (CLI) ---- */

enum target_state { TARGET_UNKNOWN, TARGET_UP, TARGET_DOWN };
extern const char *const target_state_names[];

struct target_view {
	const struct pol_target *target;
	const struct locate_plan *plan; /* borrow */
};
struct target_addr_view {
	struct net_path path;
	struct str server;
	enum target_state state;
	enum reason reason;         /* DOWN: why */
	int64_t down_until_us;      /* DOWN: not tried before, mono */
	int64_t since_us;           /* of the state, 0: never heard */
	uint32_t rtt_us;            /* of the last probe or answer, 0: none */
	uint32_t ok, failed;        /* tries since start */
	uint16_t last_status;
};
/* i from 0; false at the end */
bool targets_view(struct targets *ts, uint32_t trunk_id, unsigned i, struct target_view *ret);
bool targets_addr_view(struct targets *ts, uint32_t trunk_id, unsigned target, unsigned i, struct target_addr_view *ret);
/* What is known of one address; UNKNOWN when nothing is. *ret_why: DOWN: the failure. */
enum target_state targets_state(
    struct targets *ts, uint32_t trunk_id, const struct net_path *path, enum reason *ret_why);
/* Trunk as a whole: UP when any address is up or unknown with probing off. */
enum target_state targets_trunk_state(struct targets *ts, uint32_t trunk_id, enum reason *ret_why);

typedef void target_probe_fn(void *arg, const struct net_path *path, uint16_t status, int err, uint32_t rtt_us);

/* ---- two addresses of one server ---- */

/* path: the one to be used. proven: somebody is known to be there: the connection is up, or it has answered OPTIONS.
 * err: neither can be reached, path is the first one. */
typedef void target_connect_fn(void *arg, const struct net_path *path, bool proven, int err);
/* Before a request is written by a way with an alt, since it has to say which family it speaks (c= of the session,
 * Contact): streams race connecting and the first connection that is up decides (RFC 8305 5); over UDP both are asked
 * by OPTIONS and the first that answers decides, the first one of the way when none has after TARGET_ASK_MS.
 * 1: *path is the one (its alt's perhaps), nothing is to be waited for; 0: fn hears the end exactly once; -errno: it
 * could not be begun. */
int targets_connect(struct targets *ts, const struct pol_trunk *t, struct net_path *path, const struct addr *alt,
    target_connect_fn *fn, void *arg);
#define TARGET_ASK_MS 100
/* From struct net_user. */
void targets_on_flow_up(struct targets *ts, const struct net_path *flow);
void targets_on_flow_lost(struct targets *ts, const struct net_path *flow, int err);

/* What was begun with that arg is nobody's any more: fn is not called. */
void targets_forget(struct targets *ts, const void *arg);
/* One OPTIONS to path now, outside of the schedule; fn hears the end exactly once. status 0: err says why. */
int targets_probe(struct targets *ts, const struct pol_trunk *t, const struct net_path *path, target_probe_fn *fn, void *arg);

#endif
