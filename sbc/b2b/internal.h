/* internal.h - shared inside this room only: the structs of root, call and leg.
 *
 *   core.c    root, dispatch of requests by dialog or as new, policy, what is known of ended calls
 *   screen.c  may this INVITE become a call at all: hops, Require, bodies, host, number
 *   setup.c   the way of an INVITE through the box: progress, answer, refusal
 *   walk.c    route walk and failover: targets one after the other, and the addresses behind each
 *   change.c  changes of the session in an established call: re-INVITE, UPDATE, glare, our own re-offers
 *   indialog.c  BYE, INFO, OPTIONS and the rest inside a dialog
 *   release.c ends of calls and legs, records
 *   leg.c     one leg's mechanics: its requests and answers
 *   outside.c  requests outside of dialogs that are for somebody behind us
 *   events.c  SUBSCRIBE and NOTIFY: what packages there are, who may watch what
 *   relay.c   subscriptions carried to who can tell
 *   registered.c  calls to those who registered, and to where we are registered
 *   rewrite.c what an outgoing INVITE says
 *   credentials.c  far ends that ask who we are
 *   proof.c   far ends that we ask who they are
 *   large.c   requests too big for a datagram
 *   trunks.c  run-time state of trunks: counts, rates
 *   strays.c  far ends of running calls that the policy no longer knows
 *   view.c    snapshots, explain
 */
#ifndef SBC_B2B_INTERNAL_H
#define SBC_B2B_INTERNAL_H

#include "sbc/b2b/call.h"
#include "sbc/base/arena.h"
#include "sbc/base/block.h"
#include "sbc/dialog/dialog.h"
#include "sbc/sip/print.h"

#define B2B_HEADERS_MAX 16384 /* scratch for the header block of one message */
#define B2B_SDP_MAX 16384     /* scratch for one session description */
#define ENDED_KEPT 256
#define BLOCKS_KEPT 65536 /* bytes of free blocks */
#define FORKS_MAX 16   /* early dialogs of one INVITE; further ones are not heard until they answer */
#define TRIES_MAX 24   /* INVITEs of one call, over all targets and their addresses */
#define CARRIED_MAX 16 /* requests of one call on their way to the other side */

struct leg;
struct leg_auth;
struct auth_credential;
struct stray;

enum leg_state {
	LEG_INVITED,    /* A: INVITE came, no final answer yet        */
	LEG_CALLING,    /* B: INVITE sent, no answer                  */
	LEG_EARLY,      /* B: provisional answer seen                 */
	LEG_ANSWERED,   /* A: 2xx sent, ACK awaited. B: 2xx came, ACK held back for A's answer (late offer) */
	LEG_UP,         /* ACK seen or sent                           */
	LEG_ENDING,     /* BYE sent                                   */
	LEG_GONE,
};
extern const char *const leg_state_names[];

/* Another early dialog of a forked INVITE on leg B. */
struct fork {
	struct list node;
	struct dlg dlg;
};

/* A 2xx of ours that waits for its ACK; a block. */
struct leg_2xx {
	struct dlg_2xx x;
	struct leg *leg; /* borrow: it owns this */
};

struct leg {
	struct call *call; /* borrow: owns the leg */
	struct list node;  /* in call->legs */
	const struct pol_trunk *trunk; /* borrow: call->policy */
	struct hnode by_tag;           /* in b2b->dialogs under dlg.local_tag */
	struct dlg dlg;

	struct txn_srv *srv;    /* borrow: their INVITE (first or re-INVITE) whose transaction lives */
	struct txn_cli *cli;    /* borrow: our INVITE (first or re-INVITE) or UPDATE without final answer */
	struct txn_cli *inv_cli; /* borrow: our last INVITE's transaction while it may bring copies of its 2xx */
	struct txn_cli *old_cli; /* borrow: the INVITE before inv_cli, whose 2xx may come again when its ACK was lost */
	struct txn_cli *first_cli; /* borrow: the first INVITE once it is older than old_cli: other forks may answer it */
	struct txn_cli *bye;    /* borrow */
	struct leg_2xx *twoxx;  /* own: ours that waits for its ACK, NULL: none */
	struct txn_ack *ack;    /* own: the last one, sent again for each copy of the 2xx of inv_cli */
	struct txn_ack *old_ack; /* own: the one before, of old_cli */
	uint32_t ack_cseq, old_ack_cseq;
	enum reason end_reason;
	uint8_t side;           /* enum media_side */
	uint8_t state;          /* enum leg_state */
	uint8_t fax;            /* what its Contact says of fax, RFC 6913: index of leg_fax_tags */
	uint8_t again;          /* its request in the dialog went to that many further addresses (DNS-06) */
	bool bye_pending : 1;   /* A: to be ended, but its ACK is still awaited (DLG-05) */
	bool connecting : 1;    /* B: its INVITE waits until it is known which of two families it has */
	bool sips : 1;          /* every URI of ours says sips: (RFC 5630) */
	bool early_sdp : 1;     /* A: was answered in a provisional; B: answered early */
	struct try *try;        /* B: its line in the record */
	struct leg_auth *auth;  /* in the arena; NULL: nobody asked who we are (credentials.c) */
	struct leg_flow *flow;  /* in the arena; NULL: not one that somebody registered by */
	struct str bye_headers; /* of the BYE, in the arena when it may go out again */
	struct stray *stray;    /* borrow: strays.c */
};

enum change_kind {
	CHANGE_SETUP, /* the first INVITE */
	CHANGE_PEER,  /* one side's re-INVITE or UPDATE, carried to the other */
	CHANGE_OWN,   /* our own re-offer to one side */
};

/* The one change of the session that may be open in a call (OFA-01); a block. */
struct change {
	enum change_kind kind;
	struct leg *from;       /* who asked; OWN: the side that does not get the offer */
	struct leg *to;         /* who is asked */
	struct txn_srv *srv;    /* their request, until answered */
	enum sip_method method; /* INVITE or UPDATE, as asked */
	bool late;              /* asked without an offer: it comes in the 2xx, the answer in ACK */
	bool ack_held;          /* 2xx of `to` came, its ACK waits for from's answer */
	uint8_t tries;          /* 491 */
	uint32_t ack_cseq;      /* of the held ACK */
	struct str target;      /* from's new Contact, taken with our 2xx (DLG-11); malloc'ed */
	struct str body;        /* what was offered to `to`, for the retry; malloc'ed */
	struct timer timer;     /* after 491: the next try; while `to` has not answered: on_overdue() */
	struct call *call;      /* borrow: the one it is part of */
};

/* A request in the dialog that is carried over and waits for its answer: INFO, MESSAGE. malloc'ed. */
struct carried {
	struct list node; /* call->carried */
	struct leg *from, *to;
	struct txn_srv *srv; /* NULL: its transaction ended */
	struct txn_cli *cli;
	/* what it says, for the next place as well; the texts lie behind the struct */
	enum sip_method method;
	struct str method_name, headers, type, body;
	uint8_t again; /* it went to that many further addresses (DNS-06) */
};

/* One attempt, as a list in the call's arena; becomes struct call_try of the record. */
struct try {
	struct try *next;
	struct str trunk, sip_call_id; /* in the arena; trunk: of the snapshot */
	struct addr addr;
	enum reason reason;
	uint32_t after_ms;
	uint16_t status;
	uint8_t proto;
	bool fragmented;
};

struct call {
	struct b2b *b2b;
	struct list node;      /* b2b->calls, or ->dead */
	struct hnode by_id;
	uint64_t id;
	struct arena *arena;   /* own; the call itself lives in it */
	struct policy *policy; /* ref: the snapshot this call began on */
	struct media_call *media; /* own; NULL once released */
	struct list legs;      /* all that are not gone, A first */
	struct leg *a, *b;     /* b: the current one, or NULL; a: NULL once gone */
	struct change *change; /* own; NULL: none is open */
	struct list carried;   /* struct carried */
	struct log log;

	/* the way of the INVITE; own, malloc'ed, given back when it is over */
	struct setup *setup;

	/* facts for the record */
	int64_t start_wall_us, start_us, ring_us, answer_us, end_us;
	const struct pol_trunk *trunk_a, *trunk_b; /* borrow: policy */
	struct str calling, called, route; /* canonical, in the arena; route: of the snapshot or the arena */
	struct addr peer_a;
	uint8_t proto_a;
	uint8_t n_carried;     /* up to CARRIED_MAX */
	struct str sip_call_id_a;
	struct try *tries, *last_try;
	struct str peer_reason;
	enum reason reason;
	uint16_t status, peer_status;
	char released_by;

	bool released;   /* record written; legs are being taken down */
	bool answered;
	bool noted;      /* on_answered() was called */
	bool sips;       /* the request URI was sips: no leg may be less (SIPS-01) */
	bool reoffer_a;  /* leg A must be told of a changed answer once it is up */
	bool counted_a, counted_b; /* in trunks.c */
	struct timer timer; /* ring timeout, then supervision while up */
};

/* What is needed only until the call is answered. */
struct setup {
	struct pol_route_result route;
	unsigned next_hop;
	unsigned redirects;
	char *invite;        /* own: A's INVITE, raw, for the next target */
	size_t invite_len;
	struct str hop_called[POL_HOPS_MAX]; /* empty: call->called; a redirection dials something else */
	uint16_t best_status; /* as leg A would be told */
	enum reason best_reason;
	unsigned best_rank;
	uint16_t last_18x;
	bool sdp_sent;       /* an early answer went to A: no other target any more */
	/* the target that is being tried, by leg B */
	struct pol_hop hop;
	struct str called;   /* what it dials; in the arena */
	uint32_t invite_cseq; /* of its first INVITE, more than 1 when that was challenged; 0: 1 */
	struct timer silence; /* it answers nothing at all (failover before timer B) */
	struct list forks;   /* struct fork, early dialogs besides leg B's dlg */
	unsigned n_forks;
	struct target_way *ways; /* own, malloc'ed: its other addresses that were not tried yet; NULL: none */
	unsigned n_ways, at_way;
	struct target_way way; /* while leg->connecting */
	struct addr alt;     /* raced against the one that is being tried, or none */
	bool heard;          /* it has answered anything */
	bool short_try;      /* left sooner than try-timeout: nobody was ever heard there */
	int64_t short_until_us; /* but not before that, unless the other family is heard */
	bool waits;          /* for a registration that is being made: no leg B yet; silence runs */
	struct list waiting; /* b2b->waiting meanwhile */
	int64_t waits_until_us; /* not longer; 0: it did not wait yet */
	bool resorted;       /* everything was down, and one of them is tried all the same */
	bool budget_over;
	unsigned n_tries;
	int64_t first_us;    /* of the first try */
	struct timer budget; /* all tries together (setup-budget) */
	struct timer expires;     /* A's Expires */
	struct timer provisional; /* repeats 18x each minute (TXN-18) */
	struct call *call;
};

struct trunk_rt;

struct b2b {
	const struct env *env;
	struct net *net;
	struct txn_layer *txn; /* own */
	struct targets *targets; /* own */
	struct media *media;   /* borrow */
	struct b2b_cfg cfg;
	const struct b2b_user *user;
	void *ctx;
	struct policy *policy; /* ref */
	struct arena_pool pool;
	struct block_pool blocks; /* what a call holds for a while: setup, change, 2xx without ACK */
	struct list calls, dead;
	struct list outside;   /* struct outside */
	struct list relays;    /* of relay.c */
	struct list waiting;   /* struct setup: for a registration of ours */
	unsigned n_relays;
	unsigned n_calls, n_legs, n_outside;
	struct htab ids, dialogs, trunks, strays;
	uint64_t next_id;
	struct timer reaper;
	struct call_record *ended; /* own; ring of ENDED_KEPT */
	uint64_t n_ended;
	bool drain, shutdown;
	struct log_gate proof_gate, stranger_gate;
	struct hash_key loop_key; /* marks our branches (LOOP-04) */
	struct log log;
	uint64_t metrics[B2B_METRICS];
	struct metric_set metric_set;
};

/* core.c */
void b2b_count(struct b2b *b, enum b2b_metric m);
/* whose request this is: by the flow it registered on, by address and, over TLS, by certificate */
const struct pol_trunk *b2b_trunk_of(const struct b2b *b, const struct policy *p, const struct net_path *from);
/* May a request in a dialog with t, whose far end is at known, come from there? By what p says of addresses. */
bool b2b_may_be_of(const struct b2b *b, const struct policy *p, const struct pol_trunk *t, const struct net_path *known,
    const struct net_path *from);
/* the same for a new request: what we registered at a provider, and it has in its request URI, before all that */
const struct pol_trunk *b2b_trunk_asked(
    const struct b2b *b, const struct policy *p, const struct sip_msg *m, const struct net_path *from);
/* the request URI is a contact of ours that the trunk's registration made */
bool b2b_ruri_registered(const struct b2b *b, const struct pol_trunk *t, const struct sip_msg *m);
struct leg *b2b_leg_by_tag(const struct b2b *b, const struct sip_msg *m, struct dlg **ret_dlg);
void b2b_leg_index(struct leg *l);
void b2b_leg_unindex(struct leg *l);
extern const struct txn_cli_ops b2b_orphan_ops; /* late 2xx of legs given up: ACK and BYE */
/* Allow, Supported, Accept … and Server for trunk t (NULL: a stranger) */
void b2b_put_caps(const struct b2b *b, const struct pol_trunk *t, struct buf *h);
void b2b_put_agent(const struct b2b *b, const struct pol_trunk *t, bool request, struct buf *h);
void b2b_refuse(struct b2b *b, struct txn_srv *t, const struct pol_trunk *trunk, enum reason why,
    struct str headers);
/* with another status than the reason's */
void b2b_refuse_as(struct b2b *b, struct txn_srv *t, const struct pol_trunk *trunk, enum reason why, uint16_t status,
    struct str headers);
/* Reason (RFC 3326) and Warning lines with the catalogue's code, for a trusted trunk; nothing otherwise */
void b2b_put_reason(const struct pol_trunk *t, enum reason why, struct buf *h);
void b2b_put_warning(const struct pol_trunk *t, enum reason why, struct buf *h);

/* what we say of ourselves towards t by that path, as Via and Contact have it; NULL: no listener */
const struct net_local *b2b_local(const struct b2b *b, const struct pol_trunk *t, const struct net_path *path);
#define B2B_QUIET_US 1000000 /* between two lines that strangers can trigger */
/* header lines of m that may go from one trunk to the other */
void b2b_pass_headers(const struct pol_trunk *from, const struct pol_trunk *to, const struct sip_msg *m, struct buf *h);

/* screen.c: 0, or a reason; extra header lines (Unsupported, Accept …) are written to h */
enum reason screen_request(struct b2b *b, const struct policy *p, const struct pol_trunk *t,
    const struct sip_msg *m, const struct net_path *from, struct buf *h);
enum reason screen_invite(struct b2b *b, const struct sip_msg *m, struct str *ret_sdp, struct buf *h);
/* A body that crosses as it is may hold no session description, alone or as a part: its addresses would cross too.
 * CONTENT_TYPE; MALFORMED: what cannot be read might hide one. */
enum reason screen_no_session(const struct sip_msg *m);
/* the called party of a request: canonical number or user; REASON_NONE, SCHEME, RELAY_DENIED, NUMBER_INCOMPLETE */
enum reason screen_called(struct b2b *b, const struct policy *p, const struct pol_trunk *t,
    const struct sip_msg *m, const struct net_path *from, struct buf *ret);
void screen_calling(const struct pol_trunk *t, const struct sip_msg *m, struct buf *ret);

/* setup.c */
void setup_invite(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from);
void setup_ring_timer(struct call *c, const struct pol_trunk *t);
void setup_free(struct call *c);
void setup_response(struct leg *b, struct txn_cli *t, const struct sip_msg *m);
void setup_failed(struct leg *b, int err); /* no final came */
void setup_leave(struct leg *b, enum reason why); /* to the next place, or the end */
void setup_no_ack(struct dlg_2xx *x); /* for first and later 2xx */
uint16_t setup_status_towards(uint16_t status); /* what the other leg is told for a final of this one */
void setup_keep_reason(struct call *c, const struct sip_msg *m); /* their Reason header, for the record */
extern const struct txn_srv_ops leg_srv_ops; /* INVITE and UPDATE transactions of either leg */

/* walk.c */
/* The next target; the call ends when there is none. */
void setup_next(struct call *c, const struct sip_msg *m /* NULL: from the kept text */);
/* The leg's INVITE to the next address of its target (DNS-05); false: there is none, and nothing was changed but
 * that its try has ended. */
/* The same INVITE once more to where it was challenged, with credentials; false: it could not be sent. */
bool walk_same_way(struct leg *l, const struct net_path *path);
bool walk_next_way(struct leg *l, enum reason why, uint16_t status);
bool walk_other_flow(const struct setup *s); /* is the next way another flow of the same instance (RFC 5626)? */
bool walk_can_go_on(const struct call *c); /* to another target */
/* How long another request may find silence by that way before the next one is tried: two slow families do not get it both. */
uint32_t walk_try_ms(const struct pol_trunk *t, const struct target_way *w);
/* The hop that failed by silence or without a connection is tried once more, since its registration moves: true, and
 * setup_next() does. */
bool walk_back(struct call *c, const struct leg *l);
/* an address of ours that nobody out there can reach would be shown to somebody out there, and the realm forbids that */
bool walk_leaks(const struct policy *p, const struct net_local *us, const struct net_path *path);
/* Where a hop leads: its trunk as it is now, which may have changed since the request began. sips: only where that may
 * go. *ret_n: how many ways there are already, of a call that chose one; else 0. NONE, or why nothing may go there */
enum reason walk_ways(struct b2b *b, struct arena *arena, const struct pol_hop *hop, bool sips, struct str calling, struct str called,
    const struct sip_msg *m /* of registered_ways() */, struct target_way *ways, unsigned *ret_n);
/* status: final answer of a far end, 0: there was none; shown: what A would be told for it, 0: that of the reason.
 * true when it is the best so far. */
bool walk_note_failure(struct call *c, enum reason why, uint16_t status, uint16_t shown);
void walk_forget_ways(struct setup *s);
void walk_forget_forks(struct setup *s);

/* events.c */
/* SUBSCRIBE outside of dialogs, of a trunk */
void events_subscribe(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from);
/* SUBSCRIBE or NOTIFY with a To tag; false: of no subscription */
bool events_in_dialog(struct b2b *b, struct txn_srv *srv, const struct sip_msg *m, const struct net_path *from);
/* What we say of ourselves as a party to subscriptions with t; texts in the buffers. NONE, NO_LISTENER, TOO_LARGE */
struct sub_peer;
enum reason events_peer(const struct b2b *b, const struct pol_trunk *t, const struct net_path *path, struct buf *contact,
    struct buf *lines, struct sub_peer *ret);

/* relay.c: carries a SUBSCRIBE of t to who answers for the request URI, and the NOTIFYs back. NONE: srv is answered later;
 * else why not, and h has lines of the refusal. host, mask: of registration documents, as reg_events_ask has them */
enum reason relay_subscribe(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from, struct str host, struct str mask, struct buf *h);

/* "Allow-Events: …" and its line end */
void events_put_allowed(const struct b2b *b, const struct pol_trunk *t, struct buf *h);
/* a NOTIFY outside of dialogs; false: not of a package that is carried, or for nobody */
bool events_unsolicited(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from);
bool events_tells(const struct pol_trunk *owner); /* its registrations are told at all */
void relays_review(struct b2b *b); /* after each swap of the policy: who may not be told any more */

/* strays.c */
void strays_find(struct b2b *b); /* after each swap of the policy */
void stray_leg_gone(struct leg *l);
void strays_free(struct b2b *b);

/* change.c */
/* d: the dialog of l it came in, which may be another early one than l->dlg */
void change_request(struct leg *l, struct dlg *d, struct txn_srv *srv, const struct sip_msg *m);
void change_response(struct leg *l, struct txn_cli *t, const struct sip_msg *m);
void change_failed(struct leg *l, int err);
void change_cancel(struct call *c, struct str headers); /* CANCEL for their re-INVITE */
void change_ack(struct leg *l, const struct sip_msg *ack);
void change_own(struct call *c, struct leg *to);
void change_abort(struct call *c); /* the call ends: answers what is open */
/* Opens the change; NULL: no memory. */
struct change *change_begin(struct call *c, enum change_kind kind, struct leg *from, enum sip_method method);
void change_end(struct call *c);

/* indialog.c */
void indialog_abort(struct call *c); /* the call ends: carried requests get 487 */
/* An INFO of our own making; what it is answered is nothing to anybody. */
void indialog_info(struct leg *to, struct str type, struct str body);
void indialog_request(struct leg *l, struct dlg *d, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from);

/* release.c */
/* Ends the call: every leg gets its final answer, CANCEL or BYE, the record is written. by: who ended it, NULL:
 * we did. status: for an unanswered leg A; 0: that of the reason. headers: lines for it (Reason …). */
void call_release(struct call *c, struct leg *by, enum reason why, uint16_t status, struct str headers);
void leg_gone(struct leg *l);
void leg_give_up(struct leg *l, enum reason why, struct str headers); /* B before its answer: CANCEL */
void leg_bye(struct leg *l, enum reason why, struct str headers);
void call_try_end(struct leg *b, enum reason why, uint16_t status);

/* leg.c */
struct leg *leg_new(struct call *c, enum media_side side, const struct pol_trunk *t);
struct leg *leg_peer(const struct leg *l); /* the leg on the other side, or NULL */
struct txn_timers leg_timers(const struct leg *l); /* those of its trunk */
/* Memory for repeating a 2xx until its ACK, before the 2xx goes out. 0 or -ENOMEM */
MUST_USE int leg_2xx_new(struct leg *l);
void leg_2xx_start(struct leg *l, struct txn_srv *srv); /* after that, and after it was sent */
void leg_2xx_end(struct leg *l);
static inline bool leg_2xx_waiting(const struct leg *l)
{
	return l->twoxx && dlg_2xx_waiting(&l->twoxx->x);
}
void leg_set_state(struct leg *l, enum leg_state s, const char *because);
/* an INVITE, UPDATE, INFO … in the dialog of l; extra: complete lines; NULL when it could not be started */
struct txn_cli *leg_request(struct leg *l, enum sip_method method, struct str method_name, struct str extra,
    struct str type, struct str body, const struct txn_cli_ops *ops, void *owner);
/* The request that failed once more, to the next place that its next hop names: same CSeq, new branch (DNS-06). Of err, or
 * of said, a 503 (RFC 3263 4.3; NULL: it was not answered). NULL: there is no further place, or no memory. */
struct txn_cli *leg_request_again(struct leg *l, const struct txn_cli *failed, int err, const struct sip_msg *said,
    struct str extra, struct str body, const struct txn_cli_ops *ops, void *owner);
/* The same for a request of the other side, of which several may be on their way. */
struct txn_cli *leg_carry(struct leg *l, const struct carried *k, const struct txn_cli_ops *ops, void *owner);
struct txn_cli *leg_carry_again(struct leg *l, struct carried *k, const struct txn_cli *failed, int err,
    const struct sip_msg *said, const struct txn_cli_ops *ops, void *owner);
bool leg_has_ways(const struct leg *l); /* more than one place for requests in its dialog */
void leg_set_flow(struct leg *l, const struct target_way *w); /* its INVITE went by that way */
/* ACK for the 2xx m of our INVITE; body may be empty */
void leg_ack(struct leg *l, uint32_t cseq, struct str body);
/* with the answer that refuses every stream of the 2xx's offer; empty: of the offer the media session holds (OFA-07) */
void leg_ack_refusing(struct leg *l, uint32_t cseq, struct str offer);
/* Our address towards the far end of l, as Via and Contact say it; NULL: no listener. */
const struct net_local *leg_local(const struct leg *l, const struct net_path *path);
/* our Contact line for this leg */
void leg_put_contact(const struct leg *l, struct buf *h);
/* Remembers of the Contact of that far end what the other one is to know. */
void leg_note_contact(struct leg *l, const struct sip_msg *m);
/* answers srv with our Contact, Allow …, to_tag of the dialog; extra lines may be empty */
int leg_reply(struct leg *l, struct txn_srv *srv, uint16_t status, struct str phrase, struct str extra,
    struct str body);
/* refuses srv on leg l for a reason of the catalogue */
void leg_refuse(struct leg *l, struct txn_srv *srv, enum reason why, struct str extra);
/* headers of m that may cross from leg `from` to leg `to`, as lines */
void leg_pass_headers(const struct leg *from, const struct leg *to, const struct sip_msg *m, struct buf *h);
/* the same for Reason alone: what a CANCEL may carry */
void leg_pass_reason(const struct leg *from, const struct leg *to, const struct sip_msg *m, struct buf *h);
extern const struct txn_cli_ops leg_invite_ops; /* for INVITE and UPDATE: setup or change decide */

/* gruu.c */
/* The URI of our Contact towards a provider, where the phone on the other side has a GRUU; false: it has none, and nothing is
 * written. */
bool leg_put_gruu(const struct leg *l, struct buf *b);
/* Does a request of a provider's mean one phone behind us? */
bool gruu_asked(const struct b2b *b, const struct sip_msg *m);
/* By a temporary GRUU of our making: 1: whose it is, its number and a URI for reg_wish.uri; 0: it does not; -ENOENT: made up,
 * or gone. */
MUST_USE int gruu_temp(const struct b2b *b, const struct sip_msg *m, uint32_t *ret_trunk, struct buf *number, struct buf *uri);
/* Which one of owner's? 1: *ret is for reg_wish.uri, *number (what was called) the phone's; 0: it means none; -ENOENT: one that
 * is not there. */
MUST_USE int gruu_meant(const struct b2b *b, struct arena *arena, const struct pol_trunk *owner, const struct sip_msg *m,
    struct str *number, struct sip_uri *ret);
/* registered.c: ways to those of trunk t who registered; texts in the arena; 0: nobody did (NOT_REGISTERED), or by
 * flows of which none stands any more (FLOW_FAILED) */
unsigned registered_ways(struct b2b *b, struct arena *arena, const struct pol_trunk *t, struct str called,
    const struct sip_msg *m /* what is to go there: says which of them; NULL: all */, struct target_way *ways,
    enum reason *ret_why);
/* What a caller of that number is told when they cannot be reached for that reason; 0: what the reason says. */
uint16_t registered_status(const struct pol_trunk *t, struct str called, enum reason why);
/* The ways that are left once one of an instance gave its final answer (0: none came): its other flows are for when
 * that one failed, not for another opinion (RFC 5626 7); 430: nothing leads to that contact. Of n; returns how many
 * stay, in order. */
unsigned registered_left(const struct target_way *tried, uint16_t status, struct target_way *ways, unsigned n);
/* Is the way a flow that leads here, not to a proxy that has it? */
static inline bool registered_by_flow(const struct target_way *w)
{
	return w->instance.n && !w->route.n;
}
/* A flow by which somebody registered (RFC 5626): a leg that uses it goes on by another one of the same instance. */
struct leg_flow {
	struct str instance, aor;
};
/* The flow of a request's path, its texts in the arena; NULL: it is none, or there is no memory */
struct leg_flow *registered_flow(const struct b2b *b, struct arena *arena, const struct net_path *from);
/* Another flow of that instance that stands, put into path; false: there is none. */
bool registered_other_flow(const struct b2b *b, uint32_t trunk_id, const struct leg_flow *f, struct net_path *path);
/* Where a request goes: as policy_route() says, or to the one that a GRUU means. NONE with hops, or why nowhere */
enum reason registered_route(struct b2b *b, struct policy *p, const struct pol_trunk *from, const struct sip_msg *m,
    struct str calling, struct str called, struct pol_route_result *ret);
/* credentials.c */
bool leg_has_credentials(const struct leg *l); /* a provider's leg, and the trunk has some */
/* Takes a 401 or 407 to a request of ours. NONE: it may be sent once more; DIGEST_AUTH: we have nothing to say;
 * AUTH_REJECTED, AUTH_REALM, AUTH_SCHEME, MALFORMED, NO_MEMORY */
enum reason leg_challenged(struct leg *l, const struct sip_msg *m);
/* a final answer that is no challenge */
void leg_content(struct leg *l, const struct sip_msg *m);
/* Credentials for a request of the leg, when somebody has asked; for ACK those of its INVITE. 0, -EIO, -ENOSPC */
MUST_USE int leg_put_credentials(struct leg *l, enum sip_method method, struct str method_name, uint32_t cseq,
    struct str ruri, struct str body, struct buf *h);

/* proof.c: true: m may go on; false: it was answered, and srv is gone */
/* A request outside of calls. *t: whose it is by where it comes from, NULL: nobody's; afterwards by its credentials. */
MUST_USE bool proof_begin(struct b2b *b, const struct pol_trunk **t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from);
/* One in a dialog of t, as its snapshot has it. moved: from an address that is not its trunk's. */
MUST_USE bool proof_inside(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from, bool moved);
bool proof_may_move(const struct leg *l); /* from elsewhere its far end may prove itself */

/* REG_NEEDED: calls to t wait for its registration, and there is none */
enum reason registrar_asks(const struct b2b *b, const struct pol_trunk *t);
/* (calling: who calls, canonical; a trunk with auth=numbers may be registered elsewhere for each)
 * Nothing goes to a server that does not hold our registration of t. */
bool registrar_sticks(const struct b2b *b, const struct pol_trunk *t);
/* It does so, and a registration that is being made may be there in a moment. */
bool registrar_moves(const struct b2b *b, const struct pol_trunk *t, struct str calling);
/* It does so, and is registered elsewhere than at that place, or may be in a moment. */
bool registrar_left(const struct b2b *b, const struct pol_trunk *t, struct str calling, const struct net_path *at);
/* The ways that hold it, and no others; how many */
unsigned registrar_only(const struct b2b *b, const struct pol_trunk *t, struct str calling, struct target_way *ways);
/* The way that holds the registration of t becomes the first, Service-Route the route of all. 0 or -ENOMEM */
MUST_USE int registrar_first(const struct b2b *b, struct arena *arena, const struct pol_trunk *t, struct str calling,
    struct target_way *ways, unsigned n);
/* Of targets of one trunk that follow each other, the one that holds its registration becomes the first. */
void registrar_hops(const struct b2b *b, struct str calling, struct pol_route_result *route);

/* secure.c: how media of that trunk is encrypted when its signalling goes that way */
/* dtmf.c */

/* The digit in an INFO; false: it is about something else. */
bool dtmf_read(const struct sip_msg *m, char *ret_digit, unsigned *ret_ms);
/* An INFO with a digit that ends here: it was answered. false: it is to be carried over. */
bool dtmf_info(struct leg *l, struct txn_srv *srv, const struct sip_msg *m);
/* A digit of the media (media_digit_fn); ctx: the call */
void dtmf_digit(void *ctx, enum media_side from, char digit, unsigned ms);

struct media_srtp_cfg b2b_srtp(const struct pol_trunk *t, enum net_proto proto);

/* rewrite.c */
/* Call-ID, our tag, From and To of leg B, once; rewrite_invite() does it when nobody did. */
MUST_USE int rewrite_identity(struct leg *b, const struct sip_msg *m, const struct net_path *path);
/* Request URI and the header lines (From … Contact) of the INVITE of leg B by that path; fills l->dlg. Once more for
 * another path: the same Call-ID, tag and CSeq, all else forgotten (DNS-05). */
MUST_USE int rewrite_invite(struct leg *b, const struct sip_msg *m, const struct net_path *path,
    const struct target_way *w /* its registration, if it is one */, struct buf *ruri,
    struct buf *headers);
/* "sip:+49301@host:port" for a number towards a hop */
void rewrite_ruri(const struct pol_hop *hop, bool sips, struct str called, struct buf *b);
/* a random token in the arena, for a Call-ID or tag; p NULL: no memory */
struct str rewrite_token(struct b2b *b, struct arena *a, size_t n);
/* Whom To names towards a trunk: the called number; towards a PBX whom the caller named, when that is somebody else (a
 * forwarded call; GINS-13). space: for its text */
struct str rewrite_to_of(const struct pol_trunk *from, const struct pol_trunk *to, const struct sip_msg *m,
    struct str called, struct buf *space);
/* loop marker for our branches: hash of what decides the route, as token text */
void rewrite_loop_mark(const struct b2b *b, uint32_t trunk_a, struct str calling, struct str called, struct buf *t);
void rewrite_from_to(struct b2b *b, const struct pol_hop *hop, bool sips, const struct net_local *us, struct str display,
    struct str calling, struct str called, struct buf *from, struct buf *to);

/* large.c */
enum reason large_fit_trunk(struct b2b *b, const struct pol_trunk *t, const struct log *log, struct txn_req *r,
    struct buf *small, bool *ret_fragmented); /* as large_fit(), for what is no leg's */
/* Fits r, complete but for what the trunk says of sizes and of our address, to the mtu of l's trunk; the headers may
 * come to lie in small. REASON_NONE, OVER_MTU (not to be sent); *ret_fragmented: over it, and over UDP all the same. */
enum reason large_fit(const struct leg *l, struct txn_req *r, struct buf *small, bool *ret_fragmented);
void large_fragmented(const struct leg *l, size_t bytes, const char *to);
/* the first answer to t says whether the far end speaks TCP */
void large_heard(struct leg *l, const struct txn_cli *t);

/* trunks.c */
struct trunk_rt *trunk_rt(struct b2b *b, uint32_t id); /* made on first use; NULL: no memory */
/* REASON_NONE and the call is counted, or the limit that forbids it */
enum reason trunk_take(struct b2b *b, const struct pol_trunk *t, bool in);
void trunk_put(struct b2b *b, uint32_t id);
/* Keeps the packets of this call, if the trunk's next ones are to be kept. */
void trunk_capture(struct call *c, uint32_t trunk_id);
void trunk_note(struct b2b *b, uint32_t id, enum reason why); /* outcome of a call */
void trunks_free(struct b2b *b);

/* view.c */
void call_fill_media(const struct call *c, struct call_record *r);
/* call_snapshot() without the media */
void call_facts(const struct call *c, struct call_record *r);

#endif
