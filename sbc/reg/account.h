/* account.h - the accounts of PBXs: how somebody is asked who it is, and what its answer is worth; and what we answer
 * with where a provider asks us.
 *
 * An account is a trunk's credential. Challenges name the realm and the algorithms of the trunk they are meant for;
 * where that is not known, those that most accounts have, so that nobody learns which names exist (AUT-12).
 */
#ifndef SBC_REG_ACCOUNT_H
#define SBC_REG_ACCOUNT_H

#include "sbc/auth/answer.h"
#include "sbc/auth/challenge.h"
#include "sbc/policy/policy.h"

struct bindings;

struct account_ask {
	struct auth *auth;
	const struct policy *policy;
	struct str realm;             /* of challenges where the realm of postern.conf has no domain */
	const struct net_path *from;
	const struct pol_trunk *trunk; /* whom it is meant for; NULL: not known */
	const struct bindings *bindings; /* who registered by which flow is known by it; NULL: nobody is */
	bool proxy;                   /* 407 instead of 401 */
	bool stale;
};
/* the realm of its credentials */
struct str account_realm(const struct account_ask *k);
/* Has it anything that could be answered with? */
bool account_has_password(const struct pol_trunk *t);
/* Challenge lines, for 401 or 407. */
void account_put_challenge(const struct account_ask *k, struct buf *h);

/* The trunk of a user name; NULL: nobody's. */
typedef const struct pol_trunk *account_find_fn(const struct policy *p, unsigned realm, struct str user);
/* Judges the credentials of m. uri_ok, ctx: of struct auth_check. k->trunk and only: whose they have to be; else find
 * says so. *ret: whose they are, after AUTH_OK. */
struct account_claim {
	const struct sip_msg *msg;
	bool only;
	account_find_fn *find;
	bool (*uri_ok)(void *ctx, struct str host);
	void *ctx;
};
enum auth_verdict account_judge(
    const struct account_ask *k, const struct account_claim *c, struct str *ret_user, const struct pol_trunk **ret);

/* A uri_ok with this as ctx: the host is one of ours in that realm, by name or by number, or the one that was asked for (AUT-06). */
struct account_home {
	const struct policy *policy;
	unsigned realm;
	bool (*is_local)(void *ctx, unsigned realm, const struct addr *a);
	void *ctx;
	struct str asked; /* host of the Request-URI; empty: that is no matter */
};
bool account_uri_ok(void *home, struct str host);

/* The credential that a provider gave us, with what the trunk says of auth-int. Borrow: texts of the snapshot. */
void account_credential(const struct pol_trunk *t, struct auth_credential *ret);

#endif
