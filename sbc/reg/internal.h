/* internal.h - shared by the files of the registrar: the root, and a REGISTER while it is worked on.
 *
 *   registrar.c  who asks, for what, and the change it makes
 *   read.c       what a REGISTER says: contacts, Path, outbound
 *   answer.c     what it is told: refusals, challenges, the 200
 *   account.c    how somebody is asked who it is, and what its answer is worth (for calls as well)
 *   ways.c       where those are who registered, and whom GRUUs mean
 *   gruu.c       keys of temporary GRUUs
 *   flow_token.c names of flows
 *   prefs.c      what a caller prefers
 */
#ifndef SBC_REG_INTERNAL_H
#define SBC_REG_INTERNAL_H

#include "sbc/base/arena.h"
#include "sbc/base/list.h"
#include "sbc/reg/account.h"
#include "sbc/reg/gin.h"
#include "sbc/reg/gruu.h"
#include "sbc/reg/reg.h"

#define REG_CONTACTS_MAX 16  /* in one REGISTER */
#define REG_TEXT_MAX 512     /* bytes of a Contact's URI, of its parameters, of a Call-ID */

/* A Contact of a REGISTER. */
struct asked {
	struct str uri, params, instance;
	uint32_t reg_id, expires_s;
	uint16_t q;
	bool bulk;
};

/* Those who wait for one address of record; the first is being stored. */
struct turn {
	struct hnode node;
	struct list works;
	unsigned n;
	uint32_t trunk_id;
	struct str aor; /* in the arena of the first work: moved on with it */
};

struct work {
	struct list node;
	struct hnode by_token;
	struct reg *r;
	struct turn *turn;
	uint64_t token;
	struct txn_srv *t;     /* borrow; NULL: ended */
	struct arena *arena;   /* own; the work lives in it */
	struct policy *policy; /* ref */
	const struct pol_trunk *trunk; /* borrow: policy */
	struct str aor;        /* number, or empty */
	struct str domain;     /* of To, for GRUUs */
	struct str call_id, path, user_agent;
	uint32_t cseq;
	struct net_path flow;
	struct asked c[REG_CONTACTS_MAX];
	unsigned n;
	bool star, gruu, outbound, knows_path;
	bool lost; /* no memory for a copy */
	bool over; /* while the refresh of a binding was stored, its time ended */
	/* the change, while it is stored */
	struct reg_contact put[REG_CONTACTS_MAX];
	uint64_t del[REG_CONTACTS_MAX + 100];
	unsigned n_put, n_del;
};

struct reg {
	const struct env *env;
	const struct reg_user *user;
	void *ctx;
	struct reg_cfg cfg;
	struct log log;
	struct policy *policy; /* ref */
	struct bindings *bindings;
	struct auth *auth;
	struct arena_pool pool;
	struct htab turns, tokens;
	uint64_t next_id, next_token;
	struct gruu gruu;
	uint64_t metrics[REG_METRICS];
	struct metric_set set;
};

/* read.c */
/* Copies of what a request says that is for trunk, number aor (empty: its own address); NULL: no memory. What could
 * not be copied is told by lost. */
struct work *work_new(struct reg *r, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from,
    const struct pol_trunk *trunk, struct str aor);
/* Contacts, Path, outbound. NONE, or why it is refused, with lines for the answer in h */
enum reason work_read(struct work *w, const struct sip_msg *m, struct buf *h);

/* registrar.c: is that host, in that realm, one of ours? */
bool reg_host_ours(const struct reg *r, unsigned realm, const struct sip_uri *u);

/* answer.c; of a transaction that has ended nothing is sent */
void answer_refuse(struct reg *r, struct txn_srv *t, const struct pol_trunk *trunk, enum reason why, struct str headers);
/* 401, and t is gone: nothing is kept of who was asked (AUT-08) */
void answer_challenge(struct reg *r, struct txn_srv *t, const struct account_ask *ask);
/* 200 with all contacts of its address; 500 when it could not be stored */
void answer_ok(struct work *w);
void answer_not_stored(struct work *w, enum reason why);

#endif
