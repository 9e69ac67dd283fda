/* client.h - we register at a provider: one machine per trunk with role=itsp and auth=register or auth=gin.
 *
 * RFC 3261 10.2, RFC 6140 5 (the role of the SIP-PBX), RFC 5626 4.5 (how long to wait after a failure), RFC 3608.
 * The trunk's settings say where and as whom; its ways (sbc/target) are tried one after the other, the one that holds
 * the registration first. With outbound there are two registrations by different servers (RFC 5626): when the flow to
 * one is lost, calls go on by the other. Calls ask here: is it registered, by which way, and whose cookie is that in a request URI
 * (RFC 6140 5.1).
 */
#ifndef SBC_REG_CLIENT_H
#define SBC_REG_CLIENT_H

#include "sbc/policy/policy.h"
#include "sbc/reg/instance.h"
#include "sbc/target/target.h"
#include "sbc/txn/txn.h"

struct reg_clients;

enum reg_client_state {
	REG_CLIENT_IDLE,       /* it cannot: no account */
	REG_CLIENT_WAITING,    /* for its turn, or for the DNS */
	REG_CLIENT_TRYING,     /* REGISTER is out, nothing is bound */
	REG_CLIENT_CHALLENGED, /* REGISTER with credentials is out */
	REG_CLIENT_REGISTERED,
	REG_CLIENT_REFRESHING, /* REGISTER is out, the last one still holds */
	REG_CLIENT_RETRY,      /* failed; again later */
	REG_CLIENT_REJECTED,   /* refused: account, password; again much later, and somebody should look */
	REG_CLIENT_REMOVING,   /* REGISTER with expires=0 is out */
	REG_CLIENT_STOPPED,    /* trunk disabled, unregistered by an operator, shutdown */
	REG_CLIENT_STATES
};
extern const char *const reg_client_state_names[REG_CLIENT_STATES];

#define REG_FLOWS_MAX 2 /* of one trunk (RFC 5626) */

struct reg_client_user {
	/* Something happened to a registration: for alarms and history. why NONE: registered; it is not told of
	 * refreshes. at: the registrar's address, or NULL. */
	void (*on_event)(
	    void *ctx, uint32_t trunk_id, const struct net_path *at, struct str contact, enum reason why);
	/* What reg_client_moves() says of the trunk may be another thing now. From anywhere in here: nothing may be asked
	 * before the next turn. NULL: nobody waits for it. */
	void (*on_moved)(void *ctx, uint32_t trunk_id);
};

/* NULL: out of memory. user_agent lives as long as it. */
struct reg_clients *reg_clients_new(
    const struct env *env, struct str user_agent, const struct reg_client_user *user, void *ctx);
/* What runs is dropped without a word. Before the transaction layer and the targets are freed. */
void reg_clients_free(struct reg_clients *cs);
/* From now on it may send. */
void reg_clients_start(struct reg_clients *cs, struct net *net, struct txn_layer *txn, struct targets *targets);
/* The box's own secret: what names it towards registrars (+sip.instance) comes from it. Before the start; without, the
 * names are others after each start. */
void reg_clients_set_secret(struct reg_clients *cs, const struct reg_secret *s);
/* Follows the snapshot: new trunks begin (spread, 50 a second at most), those that are gone, disabled or changed are
 * unregistered first. Takes a reference. */
void reg_clients_set_policy(struct reg_clients *cs, struct policy *p);
/* Unregisters everything (RGC-07) and begins nothing more; over when reg_clients_busy() is 0. */
void reg_clients_stop(struct reg_clients *cs);
unsigned reg_clients_busy(const struct reg_clients *cs); /* un-REGISTERs without an answer so far */

/* From struct net_user: a flow is gone, and with it the way that registrars have to us by it. Registrations over it are
 * made anew at once, later and later when that comes again and again; with outbound calls take another one (KA-02). */
void reg_clients_on_flow_lost(struct reg_clients *cs, const struct net_path *flow, int err);

/* By an operator. false: the trunk does not register. */
bool reg_client_register(struct reg_clients *cs, uint32_t trunk_id);   /* now, GIN anew, whatever it waits for */
bool reg_client_unregister(struct reg_clients *cs, uint32_t trunk_id); /* until told otherwise, or a restart */

/* The provider says by other means (registration events) that it does not hold our registration any more (lost), or that
 * it ends earlier than we were told: it is made anew now, with why in the history. false: nothing was done, for there is
 * none, or a REGISTER is out already. */
bool reg_client_again(struct reg_clients *cs, uint32_t trunk_id, enum reason why, bool lost);

/* ---- for calls; all may be asked of trunks that do not register ---- */

/* Does a registration of that trunk hold now? Of one with auth=numbers: any? */
bool reg_client_holds(const struct reg_clients *cs, uint32_t trunk_id);
/* The ways that hold one, the best first: those whose flow is up before the others. 0: none holds. */
struct reg_client_way {
	struct net_path path;
	struct str route; /* Route of requests by it: Service-Route, values separated by ", ", or empty; borrow: until the
	                     next turn */
	bool up;          /* nothing is known against it: its flow is there, and nothing sent there was lost since */
	bool outbound;    /* requests may be sent back on the flow they came by (RFC 5626 4.3) */
};
/* number: who calls; a trunk whose numbers register one by one (auth=numbers) holds it where that number is held, or, when
 * that one is not, where others are. Empty: any. */
unsigned reg_client_ways(
    const struct reg_clients *cs, uint32_t trunk_id, struct str number, struct reg_client_way ways[REG_FLOWS_MAX]);
/* Is there no way that is up, and a REGISTER that may make one out or about to go out? Worth a moment of waiting. */
bool reg_client_moves(const struct reg_clients *cs, uint32_t trunk_id, struct str number);
/* Whose cookie is that (;tk= in a request URI)? 0: nobody's. */
uint32_t reg_client_of_cookie(const struct reg_clients *cs, struct str cookie);

/* ---- looking at it ---- */

struct reg_client_view {
	uint8_t reg_id;             /* 1: the first or only one */
	bool outbound;              /* the registrar has accepted outbound */
	bool down;                  /* its flow is lost */
	bool pinged;                /* by us */
	struct str instance;        /* "urn:uuid:...", empty: outbound is not asked for */
	enum reg_client_state state;
	enum reason why;            /* of the newest failure; NONE: the newest try went well */
	bool bulk;                  /* what is asked for is all numbers (GIN) */
	bool fallback;              /* GIN was meant and refused */
	struct net_path at;         /* who holds it, or was asked last; proto and remote */
	bool holds;
	int64_t expires_us, next_us; /* mono: of the binding; of the next REGISTER, 0: none is due */
	int64_t since_wall_us;      /* of the state */
	int64_t registered_wall_us; /* since when it holds, 0: it does not */
	uint32_t asked_s, granted_s;
	uint16_t status;            /* of the newest final answer, 0: none */
	uint32_t failures;          /* in a row */
	uint64_t sent, accepted;    /* REGISTERs, 200s */
	bool events;                /* the newest 200 said that there are registration events (Allow-Events: reg) */
	unsigned numbers, numbers_held; /* auth=numbers: how many there are, how many hold; 0: not that */
	bool more_numbers;          /* there are more than can be registered */
	struct str gruu;            /* public GRUU of a bulk registration, or empty */
	struct str aor, contact, route, call_id, realm; /* realm: one we have nothing for; borrow: until the next turn */
};
/* One number after the other, in no order: *at NULL first. false: at the end. */
bool reg_client_number_next(
    const struct reg_clients *cs, uint32_t trunk_id, const void **at, struct str *ret_number, struct reg_client_view *ret);
/* The provider's public GRUU for a phone of that number: its GRUU for our registration (gruu=yes), without bnc, with the
 * number and sg (RFC 6140 7.1.1). -ENOENT: it gave none, or nothing is registered. */
MUST_USE int reg_client_gruu(
    const struct reg_clients *cs, uint32_t trunk_id, struct str number, struct str sg, struct buf *ret);
/* A new temporary one, which says nothing of who it is (RFC 6140 7.1.2.2; GRUU-04): gr is ours to find the phone by. -ENOENT:
 * no cookie, or no key of the provider's (gruu-key). */
MUST_USE int reg_client_temp_gruu(const struct reg_clients *cs, uint32_t trunk_id, struct str gr, struct buf *ret);
/* Did we make that user part? (7.1.2.4; GRUU-05) */
bool reg_client_made_temp(const struct reg_clients *cs, struct str user);
bool reg_client_has_gruu(const struct reg_clients *cs, uint32_t trunk_id); /* did it ever give one since our start? */
/* Is that number (canonical) among those that the registrar names as ours (P-Associated-URI)? NO: it names others. */
enum reg_confirmed { REG_CONFIRMED_UNKNOWN, REG_CONFIRMED_YES, REG_CONFIRMED_NO };
enum reg_confirmed reg_client_confirms(const struct reg_clients *cs, uint32_t trunk_id, struct str number);
/* Those it names, i from 0; false at the end. Borrow: until the next turn. */
bool reg_client_uri(const struct reg_clients *cs, uint32_t trunk_id, unsigned i, struct str *ret_number);
/* reg_id 1 .. REG_FLOWS_MAX; of a trunk with auth=numbers 1 is the number that most needs looking at, with the sums. false: the trunk does not register, or has no such flow */
bool reg_client_view(const struct reg_clients *cs, uint32_t trunk_id, unsigned reg_id, struct reg_client_view *ret);

#endif
