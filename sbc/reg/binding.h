/* binding.h - where those are who registered with us (RFC 3261 10.3, RFC 5626 6, RFC 6140 5.2).
 *
 * An address of record is a trunk's own one, or one number of it that a device registered by itself. Each has its
 * bindings, best first. A bulk contact is one binding of the trunk's own AOR, however many numbers it stands for.
 * What is in here has been stored: the registrar applies a change when the database has it.
 *
 * Keyed by trunk id, so it outlives snapshots. Times are monotonic while they run, and wall clock in the database,
 * where they have to survive a restart (RGS-12).
 */
#ifndef SBC_REG_BINDING_H
#define SBC_REG_BINDING_H

#include "sbc/loop/env.h"
#include "sbc/net/net.h"

/* What a Contact said, as plain values. The store keeps it as it is. */
struct reg_contact {
	uint64_t id;         /* never given twice */
	uint32_t trunk_id;
	bool bulk;           /* bnc */
	uint16_t q;          /* 0..1000 */
	uint32_t reg_id;     /* RFC 5626, 0: none */
	uint32_t cseq;
	struct str expand;   /* "sip:@192.0.2.10:5060;tk=1": the URI of a call to a number, which comes before the '@'; empty: none */
	struct str path;     /* values of Path, separated by ", "; empty: none */
	struct str aor;      /* number ("+49…"); empty: the trunk's own */
	struct str uri;      /* of the Contact, raw */
	struct str params;   /* header parameters of the Contact but for q, expires, +sip.instance, reg-id; raw */
	struct str instance; /* "<urn:uuid:…>", or empty */
	struct str call_id;
	struct str user_agent;
	struct net_path flow; /* where it came from: realm, proto, remote (received); conn while it lasts */
	int64_t since_wall_us;
	int64_t expires_wall_us;
	int64_t expires_us;  /* mono */
};

struct bindings;
struct binding;          /* one that is in force */

/* When a binding's time is over: after it is gone. c lives until return. */
typedef void binding_over_fn(void *ctx, const struct reg_contact *c);

struct bindings *bindings_new(const struct env *env, binding_over_fn *over, void *ctx); /* NULL: no memory */
void bindings_free(struct bindings *bs);

/* Copies c. A binding of the same id is replaced. One that is over already is not taken. 0 or -ENOMEM */
MUST_USE int bindings_put(struct bindings *bs, const struct reg_contact *c);
/* false: there is none */
bool bindings_del(struct bindings *bs, uint64_t id);
/* all of a trunk; its deletion */
void bindings_del_trunk(struct bindings *bs, uint32_t trunk_id);

/* The bindings of an AOR, by q, then the newest first: NULL first, NULL at the end. */
const struct reg_contact *bindings_next(
    const struct bindings *bs, uint32_t trunk_id, struct str aor, const struct reg_contact *after);
const struct reg_contact *bindings_find(const struct bindings *bs, uint64_t id);
/* All of them, for the CLI: walk with *at = 0; in no order. */
const struct reg_contact *bindings_walk(const struct bindings *bs, const struct reg_contact *after);
/* Whose registration came from there (ACC-01: flow before address)? 0: nobody's. UDP: address and port; streams: that
 * very connection, since behind one NAT the next one from the same address and port may be somebody else's. */
uint32_t bindings_trunk_at(const struct bindings *bs, const struct net_path *from);
/* ... and by which registration; NULL: none */
const struct reg_contact *bindings_at(const struct bindings *bs, const struct net_path *from);
unsigned bindings_count(const struct bindings *bs);
/* How many numbers of the trunk have a binding of their own, and at most so many more. */
unsigned bindings_numbers(const struct bindings *bs, uint32_t trunk_id);
size_t bindings_bytes(const struct bindings *bs);
/* highest id ever put */
uint64_t bindings_last_id(const struct bindings *bs);

#endif
