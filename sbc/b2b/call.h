/* call.h - the back-to-back user agent: its door for the application, the CLI and the simulation.
 *
 * A call is two legs that do not see each other's messages. Leg A is the side that called us, leg B the one we
 * call; while targets are tried one after the other there are several B legs, one at a time. What crosses between
 * legs are neutral events, session descriptions through media.h, and headers that policy lets pass.
 */
#ifndef SBC_B2B_CALL_H
#define SBC_B2B_CALL_H

#include "media/media.h"
#include "sbc/loop/env.h"
#include "sbc/policy/policy.h"
#include "sbc/target/target.h"
#include "sbc/txn/txn.h"

struct auth;
struct b2b;
struct reg;
struct reg_clients;
struct reg_events;
struct subs;
struct call;

/* -------------------------------------------------------------------- what is known of a call */

#define CALL_ID_TEXT 17  /* 16 hex digits and NUL; ids are shown and typed whole */
#define CALL_TRIES_MAX 8

/* One attempt to reach a target. */
struct call_try {
	char trunk[32];
	struct addr addr;
	uint8_t proto;
	uint16_t status;       /* last final answer of the target; 0: none */
	enum reason reason;    /* why it was left; REASON_NONE: it took the call (or is being tried) */
	uint32_t after_ms;     /* started that long after the call */
	bool fragmented;       /* its INVITE was larger than the trunk's mtu and went over UDP all the same */
	char sip_call_id[64];  /* of that leg */
	uint64_t wire_key;     /* b2b_wire_key() of it, for the ladder; 0: no INVITE was sent */
};

/* One direction of one stream at the end (or now). */
struct call_media {
	struct media_stream_info info;
	struct media_stats stats;
	struct media_judged judged;
	bool bad; /* one of the two directions */
};

#define CALL_STREAMS_MAX 4 /* kept in the record; more are counted in n_streams */

/* Everything the CLI, the CDR and `why` say about a call. Plain values, no pointers into the call. */
struct call_record {
	uint64_t id;
	int64_t start_wall_us, answer_wall_us, end_wall_us; /* 0: not yet, never */
	int64_t start_us, ring_us, answer_us, end_us;       /* the same on the monotonic clock */
	char trunk_a[32], trunk_b[32];
	uint32_t trunk_a_id, trunk_b_id;
	char calling[64], called[64]; /* canonical numbers, or the user part as sent, escaped */
	char route[32];
	struct addr peer_a;
	uint8_t proto_a;
	char sip_call_id_a[128];      /* escaped, clipped */
	uint64_t wire_key_a;          /* b2b_wire_key() of it */
	unsigned n_tries;
	uint16_t status;              /* final status leg A got; 200 for an answered call; 0: in progress */
	uint16_t peer_status;         /* last final status of the far end that decided, 0: none */
	enum reason reason;           /* why it ended; REASON_NONE while in progress */
	char released_by;             /* 'a', 'b', 's' (us), 0 */
	bool noted;                   /* on_answered() was called */
	char peer_reason[96];         /* Reason header of the far end that ended it, escaped */
	unsigned n_streams;
	/* only the first n_tries and n_streams of these hold anything */
	struct call_try tries[CALL_TRIES_MAX];
	struct call_media media[2][CALL_STREAMS_MAX]; /* [side] */
};

enum call_phase { CALL_SETUP, CALL_RINGING, CALL_UP, CALL_ENDING };
extern const char *const call_phase_names[4];

/* -------------------------------------------------------------------- the world around */

struct b2b_user {
	/* The call is over (exactly once for each call that had an id). rec lives until return. */
	void (*on_record)(void *ctx, const struct call_record *rec);
	/* The call was answered and is up for note_ms: remembered by the store, so that a crash leaves a CDR. rec has no
	 * media yet. */
	void (*on_answered)(void *ctx, const struct call_record *rec);
	/* Is this host:port (numeric) one of our listeners of that realm? */
	bool (*is_local)(void *ctx, unsigned realm, const struct addr *a);
	/* Every SIP message in and out with the Call-ID's bytes; for the ladder. May be NULL. */
	void (*on_wire)(void *ctx, bool out, const struct net_path *path, struct str call_id, struct str bytes);
	/* A request of nobody we know; name: what its certificate proved, if anything. May be NULL. */
	void (*on_stranger)(void *ctx, const struct net_path *from, enum reason why, struct str name);
};

struct b2b_cfg {
	uint32_t max_calls;       /* 0: no limit (LIMIT_BOX) */
	uint32_t note_ms;         /* on_answered() comes that long after the answer, and for no shorter call; <= 5000 */
	struct str user_agent;    /* "Postern/0.1.0"; lives as long as the b2b */
	struct reg *reg;          /* borrow: takes REGISTER, knows who is registered; NULL: nobody registers */
	struct reg_clients *clients; /* borrow: what we register at providers; NULL: nothing */
	struct auth *auth;        /* borrow: judges credentials; NULL: trunks that have to show some are refused */
	struct str digest_realm;  /* of challenges where nothing says another; lives as long as the b2b */
	struct subs *subs;        /* borrow: subscriptions; NULL: none are taken */
	struct reg_events *events; /* borrow: tells who is registered; NULL: nobody is told */
	struct locator *locator;  /* borrow: outlives the b2b. NULL: targets that are names cannot be reached */
};

struct b2b *b2b_new(const struct env *env, struct net *net, struct media *media, const struct b2b_cfg *cfg,
    const struct b2b_user *user, void *ctx);
/* Calls that still run are cut without a word; release them before with b2b_shutdown(). */
void b2b_free(struct b2b *b);
/* Takes a reference on p; calls in progress keep theirs. */
void b2b_set_policy(struct b2b *b, struct policy *p);
/* Is there the far end of a call in progress, or of one that just ended, whom the policy does not know any more? */
bool b2b_awaits(const struct b2b *b, const struct net_path *from);
/* Ends every call between trunks of which one is gone from the policy, with TRUNK_DELETED; how many (FOV-05). */
unsigned b2b_end_trunkless(struct b2b *b);
struct policy *b2b_policy(const struct b2b *b); /* borrow */
/* Where the trunks' calls can go (target.h); lives as long as the b2b. */
struct targets *b2b_targets(const struct b2b *b);
/* From struct net_user. */
void b2b_on_message(struct b2b *b, const struct net_path *from, char *buf, size_t len, enum reason bad);
void b2b_on_failure(struct b2b *b, const struct net_path *to, uint64_t owner, int err, struct str sent);
void b2b_on_flow_up(struct b2b *b, const struct net_path *flow);
void b2b_on_flow_lost(struct b2b *b, const struct net_path *flow, int err);
/* From struct reg_client_user: calls that wait for a registration of that trunk ask again, on the next turn. */
void b2b_on_registrar(struct b2b *b, uint32_t trunk_id);
/* No new calls (503), BYE to those that are up; is done when b2b_call_count() is 0. */
void b2b_shutdown(struct b2b *b);
/* No new calls on the box, but those up go on (maintenance). OPTIONS says 503. */
void b2b_set_drain(struct b2b *b, bool on);

/* -------------------------------------------------------------------- looking and acting (CLI) */

unsigned b2b_call_count(const struct b2b *b);
/* Walks live calls in order of start: NULL first. */
struct call *b2b_call_next(const struct b2b *b, const struct call *after);
struct call *b2b_call_find(const struct b2b *b, uint64_t id);
enum call_phase call_phase(const struct call *c);
/* A copy of the record with media statistics as of now. */
void call_snapshot(const struct call *c, struct call_record *ret);
/* The last calls that ended are remembered (newest first, i from 0); NULL when there is no such. */
const struct call_record *b2b_ended(const struct b2b *b, unsigned i);
const struct call_record *b2b_ended_find(const struct b2b *b, uint64_t id);
/* Ends a call from outside: final answer or BYE on every leg, with that reason. force: frees it at once, whatever
 * the far ends do. */
void call_clear(struct call *c, enum reason why, bool force);
/* Keeps the call's packets from now on, under its id (media.h). CAPTURE_OFF, NO_MEMORY; NO_DIALOG: it is ending. */
enum reason call_capture(struct call *c, enum media_capture mode);
/* The same for the next n calls of a trunk, in either direction, from their first packet. n 0: for no more. */
enum reason b2b_capture_next(struct b2b *b, uint32_t trunk_id, unsigned n, enum media_capture mode);
/* The key under which on_wire() messages of that SIP Call-ID are to be kept (tap.h). */
uint64_t b2b_wire_key(const struct env *env, struct str sip_call_id);
void call_id_text(uint64_t id, char text[CALL_ID_TEXT]);
/* hex text to id; false when it is none */
bool call_id_parse(struct str s, uint64_t *ret);

/* Run-time state of a trunk. */
struct b2b_trunk_info {
	uint32_t calls;            /* now, in both directions */
	uint64_t calls_in, calls_out, answered, failed; /* since start */
	uint32_t starts_last_s;    /* calls started in the running second */
	enum reason last_failure;
	int64_t last_failure_us;
	unsigned targets_down;     /* targets of which every address is down */
};
void b2b_trunk_info(const struct b2b *b, uint32_t trunk_id, struct b2b_trunk_info *ret);

#define B2B_EXPLAIN_WAYS 32

/* Dry run of a call: the same code that a real INVITE takes, up to the message. */
struct b2b_explain {
	const struct pol_trunk *from;   /* NULL: no such trunk or source */
	char called[64], calling[64];   /* canonical */
	const struct pol_number *number; /* owner of the called number, NULL: nobody's */
	struct pol_route_result route;
	/* The places that would be tried, in order, those that are down as well. */
	struct b2b_explain_way {
		unsigned hop;               /* index in route.hops */
		struct addr addr, alt;      /* alt: raced against addr while connecting; or none */
		uint8_t proto;
		char server[128];           /* name behind it */
		enum target_state state;
		enum reason why;            /* DOWN: the failure; addr none: why the hop leads nowhere */
	} ways[B2B_EXPLAIN_WAYS];
	unsigned n_ways;
	enum reason reason;             /* REASON_NONE: the call would be placed */
	char message[4096];             /* INVITE as it would leave to the first hop, without body; "" when refused */
};
void b2b_explain(struct b2b *b, const struct pol_trunk *from, struct str calling, struct str called,
    struct b2b_explain *ret);

enum b2b_metric {
	B2B_CALLS_IN,
	B2B_CALLS_ANSWERED,
	B2B_CALLS_REFUSED,   /* by us, before a leg B */
	B2B_CALLS_FAILED,    /* by the far end */
	B2B_TRIES,
	B2B_FAILOVERS,
	B2B_STRANGERS,
	B2B_GLARE,
	B2B_LATE_2XX,        /* of a leg that was given up: ACK and BYE */
	B2B_NO_DIALOG,
	B2B_REINVITES,
	B2B_NEXT_WAYS,       /* moved to another address of the same target */
	B2B_TRIMMED,         /* requests made smaller to fit the trunk's mtu */
	B2B_FRAGMENTED,      /* requests over the mtu that went over UDP all the same */
	B2B_OUTSIDE,         /* requests outside of calls that somebody behind us answered */
	B2B_OUTSIDE_FAILED,  /* and those that nobody did */
	B2B_CHALLENGED,      /* requests of PBXs answered 401 or 407 */
	B2B_PROOF_FAILED,    /* their credentials were wrong, or none are set */
	B2B_METRICS
};
extern const char *const b2b_metric_names[B2B_METRICS];
uint64_t b2b_metric(const struct b2b *b, enum b2b_metric m);
/* live legs and transactions, for the leak checks */
unsigned b2b_leg_count(const struct b2b *b);
struct txn_layer *b2b_txn(const struct b2b *b);
size_t b2b_call_bytes(const struct b2b *b); /* memory held by calls */

#endif
