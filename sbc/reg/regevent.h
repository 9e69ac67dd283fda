/* regevent.h - who is registered, told to those who may know: the notifier of the package reg (RFC 3680, RFC 6140 7.2).
 *
 * Of a trunk that registers all its numbers at once a document has one registration element per number, each with the
 * contact made for it and never the bulk one; a trunk with many numbers is told in several NOTIFYs, the first of them
 * full, the others partial. Whoever is not the trunk itself sees an address of ours instead of the PBX's.
 */
#ifndef SBC_REG_REGEVENT_H
#define SBC_REG_REGEVENT_H

#include "sbc/dialog/subscription.h"
#include "sbc/policy/policy.h"
#include "sbc/reg/reg.h"
#include "sbc/target/target.h"

#define REG_EVENT_NUMBERS_MAX 20000 /* of a trunk that is watched as a whole */

struct reg_events;

/* NULL: out of memory. subs and r outlive it. */
struct reg_events *reg_events_new(const struct env *env, struct subs *subs, struct reg *r);
/* Subscriptions go on without it, and end with the next NOTIFY. */
void reg_events_free(struct reg_events *re);
void reg_events_start(struct reg_events *re, struct targets *targets);
/* Takes a reference. What is watched and is no more, or may not be any more, is ended. */
void reg_events_set_policy(struct reg_events *re, struct policy *p);
/* What reg_user.on_event() was told: a binding began, was refreshed, or ended. Refusals are no news here. */
void reg_events_note(struct reg_events *re, uint32_t trunk_id, const struct reg_contact *c, enum reason why);

struct reg_events_ask {
	const struct pol_trunk *owner; /* of the registration; of the newest snapshot */
	struct str number;       /* one of its numbers; empty: the trunk's own address */
	struct str host;         /* of the addresses that are told: "sip:+4930…@host" */
	struct str mask;         /* host[:port] that stands in contacts instead of the PBX's; empty: theirs */
	bool only_until;         /* the PBX tells by itself once it is registered: ends as deactivated then (RFC 6140 7.2.2) */
	const struct sub_peer *peer;
};
/* REASON_NONE: t was answered 200. Else why not, and h has lines of the refusal; t is still to be answered. */
enum reason reg_events_subscribe(struct reg_events *re, const struct reg_events_ask *a, struct txn_srv *t,
    const struct sip_msg *m, const struct net_path *from, struct buf *h);

/* What a subscription is about, for the CLI: the number, or empty for a trunk; false: not one of these. */
bool reg_events_view(const struct reg_events *re, const struct sub_view *v, uint32_t *ret_owner_id, struct str *ret_number);

#endif
