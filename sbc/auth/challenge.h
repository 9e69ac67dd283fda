/* challenge.h - asking a peer who it is, and judging its answer (RFC 3261 22, RFC 7616, RFC 8760).
 *
 * Nonces carry their own time and a MAC over it, the realm and the source, so a challenge costs no memory however
 * many are sent (AUT-08). Only nonces that were answered correctly are remembered, for the nonce count (AUT-07): at
 * most seen_max of them; when one must make room before its time, all nonces issued before it are stale.
 *
 * Guessing is slowed down per source and per account (PWD-02): after a few failures an answer is no longer looked
 * at before some time has passed, doubling up to a quarter of an hour. A source that has proved itself for that
 * account keeps a budget of its own with short waits. Only answers to a nonce that was sent to a source count for
 * it: so neither strangers nor forged addresses can lock a trunk out, and who shares its address guesses slowly.
 */
#ifndef SBC_AUTH_CHALLENGE_H
#define SBC_AUTH_CHALLENGE_H

#include "sbc/auth/digest.h"
#include "sbc/base/addr.h"
#include "sbc/loop/env.h"
#include "sbc/sip/msg.h"

struct auth;

struct auth_cfg {
	uint32_t nonce_s;    /* life of a nonce; 0: 300 */
	uint32_t seen_max;   /* nonces remembered; 0: 65536 */
	uint32_t guess_max;  /* sources and accounts remembered; 0: 16384 */
	uint32_t tries;      /* failures before it slows down; 0: 5 */
};
struct auth *auth_new(const struct env *env, const struct auth_cfg *cfg); /* NULL: out of memory */
void auth_free(struct auth *a);

#define AUTH_ALG(alg) (1u << (alg))

struct auth_ask {
	struct str realm;
	const struct addr *source; /* without its port it is part of the nonce */
	unsigned algs;             /* AUTH_ALG() bits: strongest first on the wire, one line each (AUT-02) */
	bool stale;
	bool proxy;                /* Proxy-Authenticate (407) instead of WWW-Authenticate (AUT-10) */
	enum auth_int integrity;   /* PREFER: auth-int is offered beside auth; REQUIRE: nothing else */
};
/* Complete header lines. */
void auth_challenge(struct auth *a, const struct auth_ask *ask, struct buf *headers);

/* What is stored of an account; algorithms without a hash have n 0. */
struct auth_account {
	struct digest_hex ha1[DIGEST_ALGS];
	enum auth_int integrity; /* REQUIRE: right credentials that leave the body out are MALFORMED */
};
/* false: no such user. Must cost the same either way. */
typedef bool auth_lookup_fn(void *ctx, struct str username, struct auth_account *ret);

enum auth_verdict {
	AUTH_OK,
	AUTH_ABSENT,    /* no Digest credentials for this realm: challenge */
	AUTH_STALE,     /* the nonce is too old or was never sent there (then right or wrong), or used: stale=true */
	AUTH_WRONG,     /* user, password or algorithm wrong; nobody is told which (AUT-12) */
	AUTH_MALFORMED, /* 400 */
	AUTH_SLOWED,    /* too many failures: not looked at; answered as WRONG */
	AUTH_WAIT,      /* ... by somebody at an address where the account is at home: it may be the account itself: 503 */
};

struct auth_check {
	const struct sip_msg *msg;
	struct str realm;
	const struct addr *source;
	unsigned algs;         /* those that are accepted */
	bool proxy;            /* read Proxy-Authorization */
	bool allow_no_qop;     /* clients of RFC 2069 (AUT-01) */
	/* Is that host of the credentials' uri served here (AUT-06)? NULL: any. */
	bool (*uri_ok)(void *ctx, struct str host);
	auth_lookup_fn *lookup;
	/* Does that account hold its registration by the very flow that asks? It is looked at then, whatever others did who
	 * have its address as well (PWD-02). NULL: none does. */
	bool (*at_home)(void *ctx, struct str username);
	void *ctx;
};
#define AUTH_WAIT_S 8 /* the longest that AUTH_WAIT goes on without another failure */
/* *ret_user: the user name of the credentials (slice of the message), empty when ABSENT or MALFORMED. */
enum auth_verdict auth_check(struct auth *a, const struct auth_check *c, struct str *ret_user);

/* Has that source (its address, without the port) shown a right password within the last hour, whose ever? It is no
 * stranger then, though no trunk is known by that address. */
bool auth_knows(const struct auth *a, const struct addr *source);

/* As if that source had given the account's password: a registration from before a restart. */
void auth_prove(struct auth *a, const struct addr *source, struct str user);

enum auth_metric { AUTH_CHALLENGES, AUTH_GOOD, AUTH_BAD, AUTH_STALES, AUTH_NOT_LOOKED_AT, AUTH_METRICS };
uint64_t auth_metric(const struct auth *a, enum auth_metric m);

/* Sources and accounts that are slowed down right now, for the CLI; i from 0, false at the end. */
struct auth_slowed {
	char who[96];       /* "source 192.0.2.7", "account trunk42" or "account trunk42 at its own address" */
	uint32_t failures;
	int64_t until_us;   /* mono */
};
bool auth_slowed(const struct auth *a, unsigned i, struct auth_slowed *ret);

#endif
