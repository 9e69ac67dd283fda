/* ua.h - scripted SIP user agents for the simulation, written from the RFCs and from text alone: nothing of the
 * box's parser, transactions or dialogs is used, so that a misreading there is not repeated here.
 *
 * A struct ua is a host with many calls. A call follows its plan: what the caller wants (late offer, giving up),
 * what the callee does (ring, early media, answer, refuse, stay silent, answer twice), and what either does once
 * the call is up. Each message from the box is checked on arrival; what is wrong is a failure of the run.
 *
 * Nobody waits for ever: a user hangs up, and a phone stops ringing, after UA_PATIENCE_MS. On a stream a refusal, a
 * CANCEL, or the 1xx that allows one, is said once (17.2.1, 17.1.2.1, 9.1); when the stream is cut and that was lost
 * unseen, nothing else is to come. There is no other reason: patience that runs out in a call which has lost nothing by
 * a cut is a failure of the run.
 */
#ifndef TESTS_SIM_UA_H
#define TESTS_SIM_UA_H

#include "world.h"

enum ua_do {
	UA_BYE,
	UA_HOLD,
	UA_RESUME,
	UA_REOFFER, /* another port and one stream more */
	UA_LATE,    /* re-INVITE without offer */
	UA_UPDATE,
	UA_INFO,
	UA_OPTIONS,
	UA_CUT,    /* the connections of the host break */
	UA_VANISH, /* the call is forgotten without a word, what comes for it is not answered */
};

/* Longer than the box takes: 64*T1 at each of two places, and its ring-timeout. */
#define UA_PATIENCE_MS 180000

#define UA_TODO_MAX 6
struct ua_plan {
	/* caller */
	bool late;     /* INVITE without an offer */
	int cancel_ms; /* after the INVITE; -1: never */
	/* callee; -1: never */
	bool trying;
	int ring_ms;
	unsigned ring_status;
	bool ring_sdp;
	int final_ms;
	unsigned final_status;
	bool fork; /* a second 2xx with another tag */
	/* both */
	struct {
		int after_ms; /* the call is up */
		enum ua_do what;
	} todo[UA_TODO_MAX];
	unsigned n_todo;
	bool refuses;       /* every change of the session: 488 */
	int slow_ms;        /* before a change is answered */
	unsigned lose_acks; /* the first ACKs to a 2xx are not sent, nor those to a refusal by UDP */
};

enum ua_state { UA_NEW, UA_CALLING, UA_RINGING, UA_UP, UA_ENDING, UA_ENDED };

struct ua;
struct ua_ct;
struct ua_st;

struct ua_todo {
	struct timer timer;
	struct ua_call *call;
	enum ua_do what;
	unsigned tries;
};

struct ua_call {
	struct list node;
	struct ua *ua;
	const struct ua_plan *plan;
	unsigned index; /* of the simulated call */
	int64_t since_us;
	bool caller, vanished, second_fork;
	enum ua_state state;
	char call_id[96], local_tag[32], remote_tag[64], local[128], remote[128], target[128], early_tag[64];
	unsigned cseq, remote_cseq;
	bool heard;             /* anything at all from the box */
	bool lost;              /* a message of it, either way, on a connection that was cut */
	bool gave_up;           /* out of patience */
	unsigned final_status;  /* caller: of the first INVITE, 0: none. callee: what it sent */
	bool cancelled;         /* CANCEL was sent, or came in time */
	bool cancel_wanted;
	/* our session description and what we know of theirs */
	unsigned sdp_version, port, streams;
	bool hold;
	int offered;            /* direction of our open offer, -1: none open */
	unsigned offered_streams;
	char their_sdp[2048];  /* last one seen */
	char agreed_sdp[2048]; /* last one of an exchange that succeeded */
	/* our 2xx until its ACK */
	char *twoxx;            /* own */
	struct timer twoxx_timer;
	unsigned twoxx_ms, twoxx_cseq;
	int64_t twoxx_since_us;
	bool answer_in_ack;
	/* our ACK to their 2xx */
	char *ack;              /* own */
	unsigned ack_cseq, acks_lost;
	struct ua_st *invite;   /* borrow: theirs, without a final answer of ours */
	struct ua_ct *inviting; /* borrow: ours, without a final answer of theirs */
	struct list cts, sts;
	struct timer cancel_timer, ring_timer, final_timer, change_timer, again_timer, patience;
	struct ua_todo todo[UA_TODO_MAX];
	bool up_started;
	struct sim_conn *conn;  /* borrow: the world's; of the first INVITE */
};

struct ua {
	struct sim_host host;
	const char *ip;
	bool tcp; /* sends by TCP */
	struct list calls;
	/* the plan for an INVITE to that number; NULL: none expects it */
	const struct ua_plan *(*plan_of)(void *ctx, struct ua *ua, const char *number, unsigned *ret_index);
	void *ctx;
	unsigned n_tokens;
	unsigned number; /* of the host, makes tokens unique */
};

extern const char *const ua_state_names[];

void ua_init(struct ua *ua, struct world *w, unsigned host);
void ua_fini(struct ua *ua);
/* Sends the INVITE from user `calling` to `called`, both numbers as the trunk dials them. */
struct ua_call *ua_invite(struct ua *ua, const struct ua_plan *plan, unsigned index, const char *calling,
    const char *called);

#endif
