/* outside.h - requests outside of dialogs on their way to somebody behind us. Inside this room only.
 *
 * For MESSAGE, OPTIONS and methods we do not know outside_request() does everything. Who carries something that makes a
 * dialog (SUBSCRIBE) uses the pieces: outside_open(), outside_next_way(), outside_put_head(), outside_free(). See outside.c.
 */
#ifndef SBC_B2B_OUTSIDE_H
#define SBC_B2B_OUTSIDE_H

#include "sbc/auth/answer.h"
#include "sbc/b2b/internal.h"

struct outside_auth {
	const struct pol_trunk *trunk; /* borrow: policy; whose challenges are answered */
	struct auth_session session;
	struct auth_credential credential;
	uint8_t asked[2]; /* 401s and 407s */
};

struct outside {
	struct list node;       /* b2b->outside */
	struct b2b *b2b;
	struct arena *arena;    /* own */
	struct policy *policy;  /* ref: the snapshot it began with */
	const struct pol_trunk *from; /* borrow: policy */
	char *text;             /* own: the request as it came */
	size_t text_n;
	struct str calling, called, call_id, tag; /* in the arena; call_id, tag: ours towards the far end */
	uint32_t cseq;
	struct pol_route_result route;
	unsigned at_hop;        /* next one */
	struct pol_hop hop;     /* the one that is tried */
	struct target_way ways[TARGET_WAYS_MAX]; /* of it; texts in the arena */
	unsigned n_ways, at_way, tries;
	enum reason best;       /* of what failed so far */
	struct outside_auth *auth; /* own; NULL: nobody asked who we are */
	struct txn_srv *srv;    /* borrow; NULL: nobody waits any more */
	struct txn_cli *cli;    /* borrow */
};

/* Passes m on when it is for a trunk that takes such requests (setting outside), answers it otherwise than now; false: it
 * is for nobody, and nothing was done. */
bool outside_request(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from);
/* Does a trunk get requests outside of calls? */
bool outside_wanted(const struct pol_trunk *t);

/* A request of t, on its way: NONE with *ret, which belongs to the caller; or why it may not go on. */
enum reason outside_open(struct b2b *b, const struct pol_trunk *t, const struct sip_msg *m, const struct net_path *from,
    struct outside **ret);
/* The next way to try, of k->hop; NULL: none is left, k->best says why. Borrow: until the next call. */
const struct target_way *outside_next_way(struct outside *k, const struct sip_msg *m);
/* Request URI, and the lines Max-Forwards, Route, From, To, Call-ID, CSeq (k->cseq), User-Agent, and those of m that may
 * pass. NONE, NO_LISTENER, PRIVATE_ADDRESS, TOO_LARGE, NO_MEMORY */
enum reason outside_put_head(struct outside *k, const struct sip_msg *m, const struct target_way *w, struct buf *ruri, struct buf *h);
/* Lets go of both transactions; NULL is fine. */
void outside_free(struct outside *k);
void outsides_free(struct b2b *b);

/* The kept request, parsed anew; NULL: no memory. outside_text_free() in any case. */
struct outside_text {
	struct arena *arena;
	char *copy;
};
const struct sip_msg *outside_parse(struct outside *k, struct outside_text *g);
void outside_text_free(struct outside_text *g);

#endif
