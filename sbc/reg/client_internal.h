/* client_internal.h - our registrations at a provider, shared by the files that make them.
 *
 *   client.c         life: what the operator wants
 *   client_ask.c     the questions of calls and of the command line
 *   client_try.c     when an attempt is made, which ways it walks, how it ends
 *   client_send.c    what a REGISTER says
 *   client_answer.c  what its answers mean
 *   client_numbers.c registrations of single numbers: which there are, and how they stand together
 *   client_uris.c    what the registrar says is ours (P-Associated-URI)
 *   client_flow.c    flows (RFC 5626): whether there is a second one, and what follows when one is lost
 *
 * A trunk has one struct account, and in it a struct client for each flow: each is a registration of its own, with its
 * reg-id, Call-ID, cookie and place. Without outbound there is the first one alone. With auth=numbers there is a client
 * for each number instead; what one is asked by the registrar's challenges serves all.
 */
#ifndef SBC_REG_CLIENT_INTERNAL_H
#define SBC_REG_CLIENT_INTERNAL_H

#include "sbc/auth/answer.h"
#include "sbc/reg/client.h"
#include "sbc/reg/gin.h"
#include "sbc/reg/instance.h"

#define WAYS_MAX 24
#define NUMBER_TEXT 17           /* "+", 15 digits, NUL: no number of the policy is longer */
#define NUMBERS_MAX 1000        /* of one trunk that are registered one by one */
#define ROUTE_MAX 1024          /* bytes of Service-Route that are kept; more is not taken */
#define CONTACT_MAX 512
#define FORBIDDEN_BASE_S 300u   /* wait after a refusal: unknown, locked */
#define EXPIRES_MAX_S 604800u
#define SOON_US 500000          /* a REGISTER that is due so soon is about to go out */

struct way {
	struct net_path path;
	struct addr alt;
	uint32_t try_ms;
};

/* What the registrar makes of outbound. */
enum outbound {
	OUTBOUND_UNKNOWN,
	OUTBOUND_ACCEPTED, /* Require: outbound in a 200 (KA-08) */
	OUTBOUND_IGNORED,  /* 200 without it */
	OUTBOUND_REFUSED,  /* 439: not asked for any more (KA-09) */
};

struct client_uris;

struct account {
	struct hnode by_id;
	struct reg_clients *cs;
	uint32_t id;                /* of the trunk */
	bool held;                  /* unregistered by an operator */
	bool plain;                 /* GIN was refused */
	uint8_t outbound;           /* enum outbound */
	char instance[INSTANCE_TEXT + 1];
	struct client *flow[REG_FLOWS_MAX]; /* own; reg-id 1 .. */
	struct list numbers;        /* own: struct client, with auth=numbers */
	unsigned n_numbers;
	unsigned n_bad;             /* of them: told to be in trouble */
	bool gruus;                 /* a 200 had one */
	bool told;                  /* that one of them is registered */
	bool looked_at;             /* account_review() is in it */
	bool too_many;              /* numbers that are not registered, since there are more than NUMBERS_MAX */
	int64_t barred_us;          /* no number is tried before: one was refused for the password they share */
	struct client_uris *uris;   /* own; NULL: it said nothing */
	struct auth_session auth[REG_FLOWS_MAX]; /* by reg-id; of numbers the first */
	struct auth_credential cred; /* of all numbers: the session points to it */
	struct policy *policy;      /* ref: cred's texts are its */
	uint32_t asked;             /* challenges of numbers that the session took */
};

struct client {
	struct hnode by_cookie, by_place, by_number;
	struct list node;           /* account.numbers */
	char number[NUMBER_TEXT];   /* canonical; empty: a flow */
	enum reason told;           /* a number: of what the user was told last */
	struct account *account;    /* borrow: it lives longer */
	struct reg_clients *cs;
	uint32_t id;
	uint8_t reg_id;
	bool placed;                /* in by_place, by what at says */
	bool down;                  /* the flow was lost since the last 200 */
	bool suspect;               /* something sent there got no answer since the last 200 */
	bool moving;                /* REGISTERED: our address changed, and a REGISTER waits because of that */
	bool kept;                  /* we ping it */
	bool queued;                /* REMOVING: its turn has not come yet */
	bool unwanted;              /* bound without outbound, which is required: taken back, then refused */
	uint8_t flaps;              /* losses in a row of a flow that was not up for long */
	uint8_t moves;              /* changes of our address in a row that were registered anew */
	int64_t up_us;              /* since when the flow is up */
	int64_t lost_us;            /* when it was last lost, 0: never */
	struct policy *policy;      /* ref: the snapshot it registers by */
	const struct pol_trunk *t;  /* borrow: policy */
	enum reg_client_state state;
	enum reason why;
	int64_t since_wall_us;
	bool leaving;               /* the REGISTER that is out is the last one of this snapshot */
	bool turn;                  /* the timer runs until its turn among all */
	/* what stands in every REGISTER */
	char call_id[27], tag[13], cookie[17];
	uint32_t cseq, ask_s;
	struct auth_credential cred;
	/* the attempt */
	struct way *ways;           /* own, WAYS_MAX; NULL: none under way */
	unsigned n_ways, at_way;
	struct txn_cli *cli;        /* borrow: the REGISTER that is out */
	uint32_t sent_asked;        /* a number: account.asked when the REGISTER went out */
	uint8_t asked[2];           /* challenges answered by this way: 401, 407 */
	uint8_t briefs, redirects;
	int64_t begun_us;
	uint64_t places;            /* where the targets led then: a sum over the addresses */
	uint32_t wait_s;            /* longest Retry-After of the attempt */
	struct timer timer;         /* next attempt */
	struct timer over;          /* end of the binding */
	uint32_t fails;             /* in a row */
	/* the binding */
	struct net_path at;
	int64_t expires_us, registered_wall_us;
	uint32_t granted_s;
	uint16_t status;
	char contact[CONTACT_MAX], route[ROUTE_MAX], aor[CONTACT_MAX], realm[64];
	uint16_t contact_n, route_n, aor_n, realm_n;
	uint64_t sent, accepted;
	char gruu[CONTACT_MAX];     /* pub-gruu of the newest 200 */
	char temp_cookie[GIN_COOKIE_TEXT]; /* temp-gruu-cookie of the newest 200 */
	uint16_t gruu_n, temp_cookie_n;
	bool events;                /* Allow-Events: reg in the newest 200 */
	struct log log;
};

enum { M_SENT, M_CHALLENGED, M_ACCEPTED, M_FAILED, M_REJECTED, M_LOST, M_FLOW_LOST, M_METRICS };

struct reg_clients {
	const struct env *env;
	struct str user_agent;
	const struct reg_client_user *user;
	void *ctx;
	struct net *net;
	struct txn_layer *txn; /* NULL: not started */
	struct targets *targets;
	struct policy *policy; /* ref */
	struct htab by_id, by_cookie, by_place, by_number;
	struct reg_secret secret;
	int64_t next_turn_us;
	bool stopping;
	uint64_t metrics[M_METRICS];
	struct metric_set metric_set;
};

/* client.c */
struct account *account_find(const struct reg_clients *cs, uint32_t id);
/* Is it to do anything, or doing it? */
static inline bool client_runs(const struct client *c)
{
	return c->state != REG_CLIENT_IDLE && c->state != REG_CLIENT_STOPPED;
}
/* Flows of the account that are not there yet are made when they are wanted, those that are not wanted end. except:
 * is not looked at; or NULL, and then it may free a. */
void account_review(struct account *a, const struct client *except);
/* What does the newest snapshot want of it? May free c. */
void client_review(struct client *c);
static inline bool client_holds(const struct client *c)
{
	return c->expires_us > c->cs->env->clock->mono_us;
}
static inline bool client_bulk(const struct client *c)
{
	return c->t->reg.auth == POL_AUTH_GIN && !c->account->plain;
}
static inline struct auth_session *client_auth(struct client *c)
{
	return &c->account->auth[c->reg_id - 1];
}
static inline bool client_is_number(const struct client *c);
static inline struct auth_credential *client_cred(struct client *c)
{
	return client_is_number(c) ? &c->account->cred : &c->cred;
}
static inline bool client_is_number(const struct client *c)
{
	return c->number[0] != '\0';
}
/* All of an account: its flows, then its numbers. NULL first, NULL at the end. */
struct client *account_next(const struct account *a, const struct client *after);
/* number: empty for the flow reg_id. 0 or -ENOMEM */
MUST_USE int client_new(struct account *a, const struct pol_trunk *t, unsigned reg_id, struct str number);
/* What it registers as, the way the trunk writes it. */
void client_put_user(const struct client *c, struct buf *b);
/* client_ask.c */
void client_view(const struct client *c, struct reg_client_view *ret);
/* Un-REGISTER. May free c. */
void client_take_back(struct client *c);
void client_take_back_now(struct client *c); /* its turn has come. May free c. */
void client_step(struct client *c, enum reg_client_state next, const char *because);
/* to the user: reg_client_moves() may say another thing */
void client_moves(const struct client *c);
/* to the user: alarms and history */
void client_tell(struct client *c, enum reason why);

/* client_numbers.c */
/* Does the account register numbers one by one: that is meant, or GIN is, and was refused? */
static inline bool numbers_meant(const struct account *a, const struct pol_trunk *t)
{
	return t && (t->reg.auth == POL_AUTH_NUMBERS || (t->reg.auth == POL_AUTH_GIN && a->plain && t->reg.n_numbers));
}
struct client *number_find(const struct reg_clients *cs, uint32_t trunk_id, struct str number);
/* Is that number to be registered? */
bool number_wanted(const struct account *a, const struct pol_trunk *t, struct str number);
void numbers_review(struct account *a, const struct pol_trunk *t); /* makes those that are missing */
bool numbers_any(const struct reg_clients *cs, const struct pol_trunk *t); /* has it any to register? */
/* Sums of an account's numbers, and the one that most needs looking at; NULL: it has none. */
void numbers_view(const struct account *a, struct reg_client_view *ret, const struct client **ret_worst);
/* Is that worth telling, of one among a thousand? Trouble when it begins or changes, as long as few are in trouble; that one
 * is well when it was not, or is the first one. */
bool number_news(struct client *c, enum reason why);
/* The password was refused: the others wait as long. */
void numbers_bar(struct client *c);
bool number_barred(struct client *c); /* and then its timer runs */

static inline bool client_wants_gruu(const struct client *c)
{
	return c->t->reg.gruu && client_bulk(c);
}

/* client_uris.c */
void client_take_uris(struct client *c, const struct sip_msg *m);

/* client_try.c */
void client_wait_us(struct client *c, int64_t us); /* until the next attempt */
int64_t client_part_us(struct client *c, uint32_t s, uint32_t lo, uint32_t hi); /* lo..hi percent of s */
uint32_t client_doubled(uint32_t base_s, uint32_t n); /* base * 2^n, at most half an hour */
/* RFC 5626 4.5: after so many failures in a row (KA-05). */
int64_t client_retry_us(struct client *c, uint32_t failures);
/* Where the targets lead now. A failure counts only for where they led. */
uint64_t client_places(const struct client *c);
void client_add_way(struct client *c, const struct target_way *w);
/* The ways from at_way on; why: what is said when there is none left. May free c. */
void client_next_way(struct client *c, enum reason why);
/* The same way once more; state says what for. May free c. */
void client_again(struct client *c, const struct net_path *path, enum reg_client_state state, const char *because);
/* Ends of an attempt. Each may free c. */
void client_removed(struct client *c);
void client_failed(struct client *c, enum reason why, const char *because);
void client_rejected(struct client *c, enum reason why, uint32_t base_s, const char *because);
/* What the operator changed while a REGISTER was out is done now. */
void client_settle(struct client *c);
/* The binding is no more. */
void client_forget(struct client *c);
void client_over(struct timer *tm); /* its time is over */

/* client_send.c */
int client_send(struct client *c, const struct way *w, uint32_t expires_s); /* 0, or -errno: this way cannot be used */

/* Is the Contact that is bound one we are not reached by any more? (our address is another: NAT, configuration) */
bool client_moved(const struct client *c);

/* client_flow.c */
/* Do we ask for outbound? */
static inline bool client_outbound(const struct client *c)
{
	return c->t->reg.outbound != POL_OUTBOUND_OFF && !client_is_number(c) && c->account->outbound != OUTBOUND_REFUSED;
}
uint64_t client_place_hash(const struct reg_clients *cs, const struct addr *a);
/* Is another flow of the account there, or being made? */
bool client_taken(const struct client *c, const struct net_path *p);
/* Does another flow of the account work? */
bool client_other_lives(const struct client *c);
/* at is where it is bound now; and not any more */
void client_place(struct client *c, const struct net_path *at);
void client_unplace(struct client *c);
/* A registration with an address of ours that has changed is made anew. */
void client_readdress(struct client *c);
/* for targets_set_user() */
extern const struct targets_user client_targets_user;
/* What the registrar said of outbound, and the interval of pings (Flow-Timer, 0: none said). May free other flows. */
void client_outbound_is(struct client *c, enum outbound what, uint32_t flow_timer_s);

/* client_answer.c */
extern const struct txn_cli_ops client_txn_ops;

#endif
