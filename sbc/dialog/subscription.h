/* subscription.h - SIP subscriptions whatever the package (RFC 6665): the machine of the notifier and that of the
 * subscriber.
 *
 * A package is its user: as notifier it says what a NOTIFY carries, as subscriber it hears what one carried. All else
 * is done here: the dialog and its sequence numbers, Expires both ways, one NOTIFY at a time and not too often, Timer N,
 * refreshing, the end with its reason, forks, limits.
 *
 * Lifetimes: a subscription belongs to the layer. The user holds a pointer between sub_accept() or sub_subscribe() and
 * ops->over(), which is the last call it gets. No callback is made from inside those two, sub_changed(), sub_end() and
 * sub_leave(): what follows from them comes on a later turn.
 */
#ifndef SBC_DIALOG_SUBSCRIPTION_H
#define SBC_DIALOG_SUBSCRIPTION_H

#include "sbc/dialog/dialog.h"
#include "sbc/sip/event.h"

struct subs; /* all of them */
struct sub;

enum sub_role { SUB_NOTIFIER, SUB_SUBSCRIBER, SUB_ROLES };
enum sub_state {
	SUB_INIT,
	SUB_WAIT,    /* subscriber: SUBSCRIBE is out, no NOTIFY came yet ("notify_wait") */
	SUB_PENDING, /* may it? not decided yet */
	SUB_ACTIVE,
	SUB_ENDING,  /* notifier: the last NOTIFY is due or out; subscriber: it unsubscribed, the last NOTIFY is awaited */
	SUB_GONE,
	SUB_STATES
};
extern const char *const sub_state_names[SUB_STATES];

/* Who or what ended it. */
enum sub_over {
	SUB_OVER_ASKED,     /* we did */
	SUB_OVER_LEFT,      /* notifier: they unsubscribed, or fetched once */
	SUB_OVER_EXPIRED,   /* it was not refreshed */
	SUB_OVER_NOTIFIED,  /* subscriber: a NOTIFY said so; why, retry_s */
	SUB_OVER_REFUSED,   /* a final answer said so: status, retry_s */
	SUB_OVER_SILENT,    /* no answer, or no NOTIFY within Timer N */
	SUB_OVER_UNREACHED, /* err */
	SUB_OVER_MUTE,      /* notifier: what was to be said could not be */
	SUB_OVER_CLOSED,    /* the layer goes */
	SUB_OVERS
};
extern const char *const sub_over_names[SUB_OVERS];

struct sub_end {
	enum sub_over over;
	enum sip_subwhy why;
	uint16_t status;  /* REFUSED */
	int err;          /* UNREACHED: as of the transport */
	bool has_retry;
	uint32_t retry_s; /* Retry-After, or retry-after= */
};
/* When may a subscriber try again after that end (RFC 6665 4.1.3)? Seconds from now; -1: not by itself. usual_s: when
 * nothing is said. */
int64_t sub_again_s(const struct sub_end *e, uint32_t usual_s);

/* What a NOTIFY that goes out now says. */
struct sub_notify {
	bool full;        /* the first, or after a refresh: everything */
	bool again;       /* the one before did not get through to be heard: the same news once more */
	bool last;        /* the subscription ends with it */
	size_t room;      /* bytes that a body may have */
	struct str type;  /* ret: of the body */
	struct buf body;  /* ret: has `room` */
	bool more;        /* ret: another one follows as soon as this one was taken */
};

struct sub_ops {
	/* notifier: fills n. false: it cannot be said; the subscription ends as giveup, without a body */
	bool (*say)(void *owner, struct sub *s, struct sub_notify *n);
	/* notifier: they refreshed; may be NULL */
	void (*refreshed)(void *owner, struct sub *s);
	/* subscriber: a NOTIFY with a body, or without. REASON_NONE: it is answered 200; else what it is refused with. */
	enum reason (*heard)(
	    void *owner, struct sub *s, const struct sip_msg *m, const struct sip_substate_value *state);
	/* subscriber: somebody else answered our SUBSCRIBE too (it was forked). false: not wanted, 481. *ret_owner: of the
	 * new one. NULL: never wanted */
	bool (*forked)(void *owner, struct sub *first, struct sub *s, void **ret_owner);
	/* 401 or 407 to a request of ours: true when the next credentials() will say something new. asked: how many there
	 * were of each since the last other answer; the owner counts (auth_again()). NULL: never */
	bool (*challenged)(void *owner, struct sub *s, uint8_t asked[2], const struct sip_msg *m);
	/* Header lines with credentials, or nothing. 0 or -errno. NULL: none */
	int (*credentials)(void *owner, struct sub *s, struct str method, struct str ruri, struct str body, struct buf *h);
	/* What Via says towards that path; NULL, or ops->local NULL: as the network says. Borrow: for the call */
	const struct net_local *(*local)(void *owner, struct sub *s, const struct net_path *path);
	/* last call; not from inside a call into this interface */
	void (*over)(void *owner, struct sub *s, const struct sub_end *e);
};

/* What both sides need to know of whom they speak to. Texts are copied. */
struct sub_peer {
	uint32_t trunk_id;
	struct str contact;      /* ours: "<sip:…>" */
	struct str lines;        /* complete header lines of every message: User-Agent */
	bool nat, udp_only;
	uint16_t mtu_limit;
	struct txn_timers timers;
	uint32_t max;            /* subscriptions of the trunk, both roles; 0: no limit */
};

struct sub_accept {
	struct sub_peer peer;
	uint32_t usual_s, min_s, max_s; /* when none is asked for; shorter: 423; longer is shortened */
	uint32_t gap_ms;                /* between NOTIFYs that nobody asked for */
	bool pending;                   /* sub_grant() follows */
};

struct sub_ask {
	struct sub_peer peer;
	struct sip_event event;
	struct str accept;   /* types of bodies: "application/reginfo+xml" */
	struct str ruri;
	struct str from, to; /* name-addr, without tag */
	struct str routes;   /* complete Route lines, or empty */
	struct net_path path;
	uint32_t expires_s;
	uint8_t hops;            /* that it may take: Max-Forwards and one, 0: 71 */
	struct str branch_tail;  /* as of struct txn_req; of the first request alone */
};

struct subs_cfg {
	unsigned max;        /* on the whole box, 0: no limit */
	size_t body_max;     /* bytes of a NOTIFY's body, 0: 48 KiB */
};
/* NULL: out of memory. */
struct subs *subs_new(const struct env *env, const struct subs_cfg *cfg);
/* From now on it may send. */
void subs_start(struct subs *ss, struct txn_layer *txn);
/* Everybody gets a last NOTIFY (deactivated) or SUBSCRIBE; best effort, at shutdown. */
void subs_stop(struct subs *ss);
/* Before the transaction layer. Owners get over() with CLOSED. */
void subs_free(struct subs *ss);
unsigned subs_busy(const struct subs *ss); /* requests without a final answer */

/* A SUBSCRIBE outside of dialogs, for a package that its user offers. NULL: *ret_why says why, and h has header lines
 * of the refusal; t is not answered. Else it was answered 200, and NOTIFY follows. */
struct sub *sub_accept(struct subs *ss, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from,
    const struct sub_accept *a, const struct sub_ops *ops, void *owner, enum reason *ret_why, struct buf *h);
/* Another notifier behind us answered the SUBSCRIBE that began `first`: a dialog of its own with the same subscriber, with
 * a NOTIFY and no answer (4.4.1; RFC 6140 7.2.2). first may have ended by now, but not have been told so. NULL: *ret_why */
struct sub *sub_accept_fork(struct sub *first, const struct sub_ops *ops, void *owner, bool pending, enum reason *ret_why);
/* The state it is about has changed: NOTIFY as soon as it may. full: all of it. */
void sub_changed(struct sub *s, bool full);
/* Pending becomes active. */
void sub_grant(struct sub *s);
/* Ends it with a last NOTIFY. retry_s 0: none is said. */
void sub_end(struct sub *s, enum sip_subwhy why, uint32_t retry_s);

/* SUBSCRIBE to somebody. NULL: *ret_why */
struct sub *sub_subscribe(
    struct subs *ss, const struct sub_ask *a, const struct sub_ops *ops, void *owner, enum reason *ret_why);
/* SUBSCRIBE again now, so that the whole state is told (a version was missed); nothing while one is out. */
void sub_refresh(struct sub *s);
/* Unsubscribes; over() follows. */
void sub_leave(struct sub *s);
/* The owner is gone or does not care: no more callbacks; ends like sub_end() (deactivated) or sub_leave(). */
void sub_forget(struct sub *s);

/* A SUBSCRIBE or NOTIFY with a To tag: whose? NULL: nobody's (481). A NOTIFY may belong to one whose dialog it makes. */
struct sub *subs_find(struct subs *ss, const struct sip_msg *m);
/* Gives it to the subscription that was found, after the caller has checked where it comes from. t is answered. */
void subs_request(struct subs *ss, struct sub *s, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from);

struct sub_view {
	enum sub_role role;
	enum sub_state state;
	uint32_t trunk_id;
	struct sip_event event;
	struct str call_id, target;     /* borrow: until the next turn */
	struct str local_tag, remote_tag;
	struct net_path path;
	int64_t since_wall_us, expires_us; /* mono; 0: not known */
	uint32_t notifies;              /* sent or heard */
	void *owner;
};
void sub_view(const struct sub *s, struct sub_view *ret);
/* All, in no order: NULL first, NULL at the end. */
struct sub *subs_walk(const struct subs *ss, const struct sub *after);
unsigned subs_count(const struct subs *ss);
unsigned subs_count_of(const struct subs *ss, uint32_t trunk_id);

enum sub_metric {
	SUBS_IN, SUBS_OUT,       /* SUBSCRIBEs that began one */
	SUBS_REFUSED,            /* by us */
	SUBS_REFRESHED,          /* both roles */
	SUBS_NOTIFY_OUT, SUBS_NOTIFY_IN,
	SUBS_NOTIFY_FAILED, SUBS_NOTIFY_REFUSED,
	SUBS_ENDED,              /* by either side, as it should be */
	SUBS_LOST,               /* expired, silent, unreached */
	SUBS_FORKED,
	SUBS_UNEXPECTED,         /* events without an edge */
	SUBS_METRICS
};
uint64_t subs_metric(const struct subs *ss, enum sub_metric m);

#endif
