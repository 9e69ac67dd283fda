/* reg.h - the registrar: PBXs register with us, one address of record or all numbers at once.
 *
 * RFC 3261 10.3, RFC 6140 5, RFC 3327, RFC 5626 6, RFC 5627. A REGISTER is checked in the order of 10.3: is the domain
 * ours, can we do what it requires, who is it, may it, does the address exist, what does it want. What it changes is
 * handed to the store as one piece; only when that is on disk are the bindings changed and is the answer sent
 * (RGS-02, threats.md 6.8). REGISTERs of one address of record are done one after the other, in order of arrival.
 *
 * Nothing here knows a socket or a database: requests come from the transaction layer, the store is a function.
 *
 * Who registers by a flow of its own (RFC 5626, nobody between) has us for its first hop too: the Path of its 200 names
 * that flow, and a request whose first Route is that URI goes by it (5626 5.1 to 5.3, KA-11).
 */
#ifndef SBC_REG_REG_H
#define SBC_REG_REG_H

#include "sbc/auth/challenge.h"
#include "sbc/policy/policy.h"
#include "sbc/reg/binding.h"
#include "sbc/txn/txn.h"

struct reg;

/* What one REGISTER does. All of it or nothing. */
struct reg_change {
	const struct reg_contact *put;
	unsigned n_put;
	const uint64_t *del;
	unsigned n_del;
};

struct reg_user {
	/* Copies ch before it returns 0. reg_stored(reg, token, why) must follow on a later turn, exactly once, but for
	 * token 0: nobody waits (bindings whose time was over). -ENOMEM: nothing was taken, nothing follows. */
	int (*store)(void *ctx, const struct reg_change *ch, uint64_t token);
	/* Is this numeric host:port one of our listeners of that realm? */
	bool (*is_local)(void *ctx, unsigned realm, const struct addr *a);
	/* Something happened to a trunk's bindings: for alarms and history. why: REASON_NONE: registered or refreshed;
	 * REG_OVER: its time was over; REG_REMOVED: it said so; else why it was refused. c may be NULL then. */
	void (*on_event)(void *ctx, uint32_t trunk_id, const struct reg_contact *c, enum reason why);
};

struct reg_cfg {
	struct auth_cfg auth;
	struct str realm;    /* of challenges to accounts we do not know: looks like those of the others; lives as reg */
	unsigned numbers_max; /* of one trunk that register by themselves, 0: 100,000; the rest has its bulk contact */
	struct net *net;     /* which flows stand, and what we are called there; NULL: all, and no flow is given a name */
};

/* NULL: out of memory. */
struct reg *reg_new(const struct env *env, const struct reg_cfg *cfg, const struct reg_user *user, void *ctx);
/* Requests that wait are ended by the transaction layer. */
void reg_free(struct reg *r);
/* Takes a reference; bindings of trunks that are gone, or register no more, are dropped. */
void reg_set_policy(struct reg *r, struct policy *p);
/* At start, with a policy: a binding from the database. expires_us is set from the wall clock, no longer than the trunk
 * may register for. 0, -ENOMEM, or -ENOENT: its trunk or number may not have it any more, and its row is deleted. */
MUST_USE int reg_restore(struct reg *r, struct reg_contact *c);

/* A REGISTER. t is answered sooner or later. */
void reg_request(struct reg *r, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from);
void reg_stored(struct reg *r, uint64_t token, enum reason why);

struct bindings *reg_bindings(struct reg *r);
struct auth *reg_auth(struct reg *r);
/* Ends a binding from outside (CLI kick): stored, then gone. false: there is none. */
bool reg_kick(struct reg *r, uint64_t id);

/* ---- where they are ---- */

#define REG_WAYS_MAX 16
/* What is to go there. */
struct reg_wish {
	struct str number;         /* of the trunk; empty: the trunk itself */
	const struct sip_uri *uri; /* the request URI: which instance, which phone behind it (GRUUs); NULL: none */
	const struct sip_msg *msg; /* the caller's preferences (RFC 3841); NULL: none */
	uint32_t from_trunk;       /* who asks: each has a share of what is dear */
	const struct reg_contact *only; /* that one, if it is of the trunk; NULL: any */
};
/* Where a number of a trunk, or the trunk itself (number empty), is reached: explicit registrations of that number
 * first, then those of the trunk, each by q (GINS-09, -21), then by what the caller prefers (GINS-11). uri is made for
 * the number: its implicit contact when the binding is a bulk one. For a GRUU: the one contact it means. */
struct reg_way {
	const struct reg_contact *contact; /* borrow: until the next turn */
	struct str uri;                    /* in the buffer that was given */
	struct str route;                  /* Route values from Path, or empty */
};
unsigned reg_ways(struct reg *r, uint32_t trunk_id, const struct reg_wish *w, struct buf *space,
    struct reg_way ways[REG_WAYS_MAX]);

/* Does the request URI name one instance (gr=urn:…), or is it a temporary GRUU? */
bool reg_is_gruu(const struct sip_uri *u);
/* Whose temporary GRUU is that? *ret NULL: it is none. NONE; GRUU_UNKNOWN: not one of ours, or its registration is over;
 * GRUU_RATE: from_trunk has asked for too many. Borrow: until the next turn. */
enum reason reg_find_gruu(struct reg *r, uint32_t from_trunk, const struct sip_uri *u, const struct reg_contact **ret);

/* Does the first Route of a request name a flow that somebody registered by? *ret NULL: none, or it is of the trunk that
 * asks, which sends by it. NONE; FLOW_FORGED, FLOW_FAILED: it does not stand any more. Borrow: until the next turn. */
enum reason reg_find_flow(struct reg *r, uint32_t from_trunk, const struct sip_msg *m, const struct reg_contact **ret);

/* ---- phones behind us, as a provider calls them (phone.c) ---- */

/* The sg for the phone whose Contact that is: a GRUU of ours for that number of the trunk. -ENOENT: it is none. */
MUST_USE int reg_phone_token(
    struct reg *r, uint32_t trunk_id, struct str number, const struct sip_uri *contact, struct buf *ret);
/* A gr for a temporary GRUU of that phone, new each time; and back: whose it is, its number and a URI as above. -ENOENT: the
 * contact is no temporary GRUU of a number's own registration; the registration is over; made up. */
MUST_USE int reg_phone_handle(struct reg *r, uint32_t trunk_id, const struct sip_uri *contact, struct buf *ret);
MUST_USE int reg_phone_by_handle(struct reg *r, struct str handle, uint32_t *ret_trunk, struct buf *ret_number, struct buf *ret);
/* A URI with gr= and sg= for reg_wish.uri: the phone that such an sg means. -ENOENT: none that is registered. */
MUST_USE int reg_phone_of(struct reg *r, uint32_t trunk_id, struct str number, struct str token, struct buf *ret);

/* ---- keys of GRUUs (RFC 6140 7.1.2) ---- */

struct gin_rsa;
struct reg_key {
	struct gin_rsa *rsa;
	int64_t since_wall_us, until_wall_us; /* until 0: in force */
};
/* What cookies are made with; before anybody registers. Without, one that lives as long as the process. */
void reg_set_cookie_secret(struct reg *r, const uint8_t key[32]);
/* Takes the key pairs, the one in force first; replaces all there were. */
void reg_set_keys(struct reg *r, const struct reg_key *keys, unsigned n);
/* i from 0; false at the end. rsa: borrow, until the next turn */
bool reg_key_at(const struct reg *r, unsigned i, struct reg_key *ret);

enum reg_metric {
	REG_REQUESTS, REG_CHALLENGED, REG_ACCEPTED, REG_QUERIES, REG_REFUSED, REG_FAILED, REG_EXPIRED,
	REG_BINDINGS, /* gauge */
	REG_METRICS
};
uint64_t reg_metric(const struct reg *r, enum reg_metric m);

#endif
