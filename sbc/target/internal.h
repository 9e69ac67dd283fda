/* internal.h - shared inside this room only.
 *
 *   target.c  follows the policy and the locator; the ways to a target, names in dialogs
 *   health.c  what is known of each address: up, down until when, which family works
 *   probe.c   OPTIONS: when, how many at once, what its answer means
 *   connect.c which of two addresses gets a call; flows that are up or lost
 *   learn.c   our own address as the far end sees it
 *
 * A trunk_state belongs to a trunk of the database, not to a snapshot: it stays while the trunk does. Addresses that
 * leave every plan are remembered for HEALTH_KEPT_US, so that a name which flaps does not forget who was dead.
 */
#ifndef SBC_TARGET_INTERNAL_H
#define SBC_TARGET_INTERNAL_H

#include "sbc/target/target.h"

#define HEALTH_MAX 64                      /* addresses remembered per trunk */
#define HEALTH_KEPT_US (3600 * 1000000ll)  /* after they left the plans */
#define SERVER_ADDRS_MAX 16                /* addresses of one server that are tried */
#define SERVERS_MAX 64                     /* servers of one plan that are looked at */
#define RETRY_AFTER_MAX_S 3600
#define FAMILY_US (600 * 1000000ll)        /* how long the family that worked is preferred (HE-04) */
#define FAMILY_TRY_MS 150                  /* UDP: for a family that was never heard (HE-03; RFC 8305 5) */
#define TRIAL_US 1000000                   /* of an address whose time is over: one call in that time */
#define PROBE_GAP_US 2000                  /* between probes of all trunks: 500 a second at most */
#define PROBE_WAIT_MS 4000                 /* for an answer */
#define PROBE_SUSPECT_MS 2000              /* until the next one while it fails and is not down yet */
#define TCP_REFUSED_US (600 * 1000000ll)   /* how long a refused TCP is remembered for messages too big for UDP */

struct trunk_state;
struct probe;

/* One address, by transport, of one trunk. */
struct health {
	struct list node; /* trunk_state.health */
	struct trunk_state *t;
	struct addr addr;
	uint8_t proto;
	uint8_t state;    /* enum target_state */
	bool planned;     /* stands in a plan now */
	bool twin;        /* its server has addresses of both families */
	bool asked;       /* DOWN for a Retry-After: nothing shortens it */
	uint8_t fails, oks; /* in a row */
	uint16_t last_status;
	enum reason reason;
	unsigned target;  /* index of the target whose plan it stands in */
	uint32_t rtt_us, ok, failed;
	int64_t down_until_us, since_us, trial_us, left_us, tcp_refused_until_us;
	int64_t lost_us;  /* when a connection to it was last lost and it was looked at for that */
	struct timer timer; /* next probe */
	bool slot;        /* the timer waits for its turn among all probes */
	struct probe *probe; /* borrow: in flight; it finds back here by trunk and address */
};

/* One configured target. */
struct tgt {
	const struct pol_target *pol; /* borrow: targets.policy */
	char host[256];               /* with port, proto and addr: what it is known by across snapshots */
	uint16_t port;
	uint8_t proto, protos, families;
	bool sips;
	struct addr addr;             /* numeric */
	struct trunk_state *t;
	struct location *loc;         /* own; NULL: numeric, or no locator */
	const struct locate_plan *numeric; /* ref */
	uint32_t peer;                /* own: net's */
	struct hnode by_peer;         /* targets.peers; linked when peer is set */
	uint8_t family;               /* sa_family that worked last, 0: not known */
	int64_t family_until_us, resort_us;
};

struct learned {
	char host[ADDR_TEXT_MAX];
	struct net_local local; /* host points to the text above */
	uint8_t proto;
	int family;
};
#define LEARNED_MAX 4 /* UDP and TLS, both families */

struct trunk_state {
	struct hnode by_id; /* targets.trunks */
	struct targets *ts;
	uint32_t id;
	const struct pol_trunk *pol; /* borrow: targets.policy */
	struct tgt **tgt;   /* own, each and the array */
	unsigned n;
	uint32_t own_peer;  /* own, net's: of one without targets that registers; 0: none */
	struct list health; /* own */
	uint32_t probe_s;   /* interval that the probes' timers were started with */
	unsigned n_health;
	struct learned *learned; /* own, LEARNED_MAX; NULL: never asked for */
	uint64_t mark;      /* of the snapshot that had it */
	bool incomplete;    /* something could not be set up: again with the next snapshot, whether it changed or not */
	struct log log;
};

enum target_metric { TARGET_M_PROBES, TARGET_M_PROBES_FAILED, TARGET_M_WENT_DOWN, TARGET_M_CAME_UP, TARGET_M_LAST_RESORT, TARGET_METRICS };

struct targets {
	const struct env *env;
	struct net *net;
	struct txn_layer *txn;
	struct locator *locator;
	struct policy *policy; /* ref */
	struct htab trunks;
	struct htab peers;     /* struct tgt by peer */
	struct list probes;    /* own: in flight */
	struct list dials;     /* own: who waits for one of two addresses */
	int64_t next_slot_us;  /* when the next probe of any trunk may go */
	uint64_t mark;
	const struct targets_user *user; /* NULL: nobody */
	void *user_ctx;
	struct log log;
	uint64_t metrics[TARGET_METRICS];
	struct metric_set metric_set;
};

/* Settings of a trunk as this room reads them. */
struct target_cfg {
	uint32_t probe_s; /* 0: off */
	uint32_t down, up;
	uint32_t try_ms, quarantine_s;
	bool sips, learn;
};
struct target_cfg target_cfg_of(const struct pol_trunk *t);

/* target.c */
struct trunk_state *trunk_state_of(struct targets *ts, uint32_t id); /* NULL: no such trunk */
const struct locate_plan *tgt_plan(const struct tgt *g); /* NULL: it has none */

/* health.c */
struct health *health_find(struct trunk_state *t, const struct addr *a, uint8_t proto);
struct health *health_get(struct trunk_state *t, const struct addr *a, uint8_t proto); /* made; NULL: no memory */
void health_free(struct health *h);
/* DOWN whose time is over counts as UNKNOWN */
enum target_state health_state(const struct health *h);
/* May a call go there now? Takes the one trial of an address whose time is over when take is set. */
bool health_usable(struct health *h, bool take);
void health_good(struct health *h, uint16_t status, uint32_t rtt_us /* 0: not measured */, bool call);
void health_bad(struct health *h, enum reason why, uint16_t status, uint32_t retry_after_s);
/* which addresses stand in plans now; starts and stops their probes */
void health_plan(struct trunk_state *t);

/* probe.c */
void probe_schedule(struct health *h);
void probe_now(struct health *h); /* as soon as the shared bound lets it */
void probe_stop(struct health *h);
void probes_free(struct targets *ts);

/* connect.c */
void dials_forget(struct targets *ts, const void *arg);
void dials_free(struct targets *ts);

#endif
