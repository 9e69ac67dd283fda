/* sub_internal.h - shared by the files of subscriptions only.
 *
 *   subscription.c    the layer: table, limits, the state machines as one table, the end
 *   sub_notifier.c    we are subscribed to
 *   sub_subscriber.c  we subscribe
 */
#ifndef SBC_DIALOG_SUB_INTERNAL_H
#define SBC_DIALOG_SUB_INTERNAL_H

#include <errno.h>
#include <stdlib.h>

#include "sbc/base/arena.h"
#include "sbc/base/buf.h"
#include "sbc/base/list.h"
#include "sbc/dialog/subscription.h"
#include "sbc/sip/print.h"

#define SUB_HEADERS_MAX 8192
#define SUB_BODY_MAX 49152
#define SUB_EXPIRES_MAX_S 2592000u /* a month */

enum sub_event {
	SUBE_HOLD,   /* notifier: accepted, to be decided; subscriber: NOTIFY says pending */
	SUBE_GRANT,  /* accepted; NOTIFY says active, or a state we do not know */
	SUBE_SENT,   /* subscriber: the first SUBSCRIBE is out */
	SUBE_END,    /* notifier: the last NOTIFY is due; subscriber: we unsubscribe */
	SUBE_OVER,   /* nothing more to come: last NOTIFY done or heard, failure, Timer N, time over */
	SUBE_EVENTS
};

struct count {
	struct hnode node; /* subs->counts */
	uint32_t trunk_id;
	unsigned n;
};

struct subs {
	const struct env *env;
	struct subs_cfg cfg;
	struct txn_layer *txn;
	struct arena_pool pool;
	struct htab tags;   /* struct sub by local tag */
	struct htab counts;
	struct list all, dead;
	unsigned n, busy;
	struct timer reaper;
	char *body;         /* own: scratch of cfg.body_max */
	bool stopping;
	uint64_t metrics[SUBS_METRICS];
	struct metric_set metric_set;
};

struct sub {
	struct subs *ss;
	struct arena *arena; /* own; it lives in there */
	struct list node;    /* subs->all, or ->dead */
	struct hnode by_tag;
	enum sub_role role;
	enum sub_state state;
	uint32_t trunk_id;
	struct dlg dlg;
	struct sip_event event;
	struct str contact, lines;
	struct txn_timers timers;
	uint16_t mtu_limit;
	bool udp_only;
	const struct sub_ops *ops; /* NULL: forgotten */
	void *owner;
	struct txn_cli *cli;  /* borrow: our NOTIFY or SUBSCRIBE that is out */
	struct timer over;    /* its time */
	struct timer next;    /* notifier: the next NOTIFY; subscriber: the next refresh */
	int64_t since_wall_us, expires_us;
	uint32_t notifies;
	uint8_t asked[2];     /* 401s and 407s since the last other answer */
	struct sub_end end;
	struct log log;
	/* notifier */
	uint32_t usual_s, min_s, max_s, gap_ms;
	int64_t told_us;      /* when the last NOTIFY went out */
	bool want, full, hurry, again;
	bool last_out;        /* the NOTIFY that is out is the last one */
	uint8_t failed;       /* NOTIFYs in a row */
	enum sip_subwhy last_why;
	uint32_t last_retry_s;
	/* subscriber */
	struct timer n;       /* Timer N */
	struct str accept, branch_tail;
	struct net_path first_path; /* of SUBSCRIBE while there is no dialog */
	uint32_t ask_s, sent_s;
	bool dialog;          /* a NOTIFY made it */
	bool brief;           /* 423 was obeyed once */
	bool leave;           /* unsubscribe when the SUBSCRIBE that is out is answered */
	int64_t fork_until_us;
};

static inline void sub_count(struct subs *ss, enum sub_metric m)
{
	ss->metrics[m]++;
}

static inline int64_t sub_now(const struct sub *s)
{
	return s->ss->env->clock->mono_us;
}

/* subscription.c */
/* false: no such edge; counted, nothing changed. Entering GONE is the last thing a step does: over() follows later. */
bool sub_step(struct sub *s, enum sub_event ev, const char *because);
/* SUBE_OVER with how. What is out is let go. */
void sub_finish(struct sub *s, const struct sub_end *e, const char *because);
/* In its arena, counted, without a state. NULL: *ret_why */
struct sub *sub_new(struct subs *ss, enum sub_role role, const struct sub_peer *peer, const struct sip_event *event,
    const struct sub_ops *ops, void *owner, enum reason *ret_why);
void sub_index(struct sub *s); /* once dlg.local_tag is there */
void sub_drop(struct sub *s);  /* a new one that came to nothing: no over() */
void sub_set_over(struct sub *s, uint32_t expires_s);
/* Fills the rest of a request that dlg_request() began, and sends it. 0, -ENOMEM, -ENOSPC, of credentials() */
int sub_send(struct sub *s, struct txn_req *r, struct buf *h, struct str method, const struct txn_cli_ops *ops);
/* the answer to a challenge may go out */
bool sub_challenged(struct sub *s, const struct sip_msg *m);
bool sub_fatal(uint16_t status); /* an answer that ends a subscription (RFC 6665 4.1.2.3, 4.2.2) */
int sub_reply(struct txn_srv *t, uint16_t status, struct str headers);
void sub_refuse(struct sub *s, struct txn_srv *t, enum reason why, struct str headers);

/* sub_notifier.c */
void notifier_request(struct sub *s, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from);
void notifier_over(struct timer *t);
void notifier_last(struct sub *s, enum sip_subwhy why, uint32_t retry_s, enum sub_over over);

/* sub_subscriber.c */
void subscriber_request(struct sub *s, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from);
void subscriber_over(struct timer *t);

#endif
