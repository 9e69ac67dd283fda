/* impl.h - what the files of this room share; nobody outside includes it (tests of the room excepted).
 *
 * layer.c owns the tables, finds the transaction a message belongs to, and builds and sends bytes. The four
 * machines (ict.c, nict.c, ist.c, nist.c) each own one enum of states and one table of edges; only their step()
 * writes the state. A machine may end its transaction (cli_gone, srv_gone) only as the last thing it does.
 */
#ifndef SBC_TXN_IMPL_H
#define SBC_TXN_IMPL_H

#include "sbc/base/arena.h"
#include "sbc/base/block.h"
#include "sbc/sip/print.h"
#include "sbc/txn/txn.h"

#define TXN_BRANCH_RANDOM 16 /* characters of 5 bits each */
#define TXN_COOKIE "z9hG4bK"
/* RFC 3261 table 4; the server side always runs on these */
#define TXN_T1_MS 500
#define TXN_T2_MS 4000
#define TXN_T4_MS 5000
#define TXN_64 64 /* B, F, H, J, L, M are this many T1 */
#define TXN_MTU_LIMIT 1300
#define TXN_OUT_MAX (SIP_MSG_MAX + 1) /* one byte more than may be sent, to see that it is too much */

enum txn_kind { TXN_CLI, TXN_SRV, TXN_ACK };

/* Everything that sends: found by id when the network reports a failure, and walked when the layer ends. */
struct txn_node {
	struct txn_layer *l; /* borrow: the layer owns all nodes */
	struct hnode by_key; /* branch and sent-by, or the RFC 2543 fields */
	uint64_t id;         /* its place in the layer's slots, and how often that was taken before */
	struct arena *a; /* own: the transaction itself lives in it */
	uint8_t kind;
};

/* Text with a life of its own: what may have to be sent again, and the lines answers are made
 * of. Most of a transaction's life is spent waiting for copies that never come (J, L, M: 32 s); by then these have
 * gone and little is left of it. */
struct kept {
	struct txn_layer *l; /* borrow: counts the bytes */
	char *p;             /* own, NULL: nothing kept */
	struct str bytes;
};

struct timers_ms {
	uint32_t t1, t2, t4, b, f;
};

struct cli {
	struct txn_cli pub;
	struct txn_node n;
	struct hnode by_flow; /* linked when on_flow */
	const struct txn_cli_ops *ops; /* NULL: nobody */
	struct timer resend, end;
	struct timers_ms tm;
	uint32_t interval_ms; /* that led to the resend timer now running */
	uint8_t state;
	bool moved;       /* from UDP to TCP for its size, not refused so far (LOOP-09) */
	bool keep;        /* asks for keepalives in Via */
	bool on_flow;     /* pub.path.conn is what it went out by */
	bool reopened;    /* was lost with its connection and went out on a new one, or may not (one_flow) */
	bool one_flow;    /* by its own connection or not at all */
	bool cancel_asked;  /* by the user */
	bool cancel_wanted; /* and waits for a 1xx */
	int err;          /* what on_failed says */
	struct str branch, host; /* ours, in n.a: what a response must carry */
	uint16_t port;
	struct kept sent;
	struct str cancel_headers; /* in n.a */
};

struct srv {
	struct txn_srv pub;
	struct txn_node n;
	struct hnode by_merge; /* linked when has_merge */
	struct timer resend, end;
	uint32_t interval_ms;
	uint8_t state;
	bool has_merge;
	bool legacy;    /* RFC 2543 request: branch without the cookie */
	bool reopened;  /* an answer was lost with its connection and went out on a new one */
	bool cancelled; /* on_cancel was called */
	bool to_tagged; /* the request's To had a tag */
	uint8_t keep_s; /* agreed keepalives: written behind keep in the top Via of every answer; 0: none */
	int64_t since_us;
	uint16_t source_port;
	/* in n.a: what copies are known by */
	struct str branch, host; /* of the top Via */
	uint16_t port;
	struct str legacy_via, legacy_ruri;
	/* in lines, which goes with the final answer */
	struct kept lines;
	struct str head; /* Via lines with the top one fixed, From line */
	struct str to;   /* value of To */
	struct str tail; /* Call-ID and CSeq lines */
	struct str timestamp;
	struct str last_tag; /* To tag of the last answer, and of the CANCEL's */
	struct kept sent;
};

struct txn_ack {
	struct txn_node n;
	struct net_path path;
	struct str branch; /* in n.a */
	bool moved;
	struct kept sent;
};

/* A place of the layer's list of all nodes. The one given back last is taken next: it is still in the cache. */
struct txn_slot {
	struct txn_node *node; /* own, NULL: free */
	uint32_t taken;        /* how often */
	uint32_t next_free;    /* index + 1 */
};

struct txn_layer {
	const struct env *env; /* borrow: process */
	struct net *net;       /* borrow: process */
	const struct txn_user *user;
	void *ctx;
	struct log log;
	struct arena_pool srv_pool, cli_pool; /* transactions */
	struct block_pool kept;               /* memory of struct kept of all */
	size_t kept_bytes;                    /* in them */
	struct arena_pool msg_pool;
	struct arena *msg;            /* own: reset for each message */
	struct htab cli, srv, merged;
	struct htab flows; /* struct cli by connection */
	struct txn_slot *slot;        /* own */
	uint32_t n_slots, cap_slots, free_slot; /* free_slot: index + 1, 0: none */
	unsigned n_nodes, n_cli, n_srv;
	bool closing;
	struct log_gate bad_gate; /* lines about unparsable messages */
	uint64_t metric[TXN_METRICS];
	struct metric_set set;
	char out[TXN_OUT_MAX]; /* every message is written here once */
};

static inline void txn_metric_inc(struct txn_layer *l, enum txn_metric m)
{
	l->metric[m]++;
}

/* Starts t's resend timer so that it fires interval_ms after it fired last, whatever the lateness of this turn. */
void txn_resend_after(struct txn_layer *l, struct timer *t, uint32_t interval_ms, timer_fn *fn);

static inline uint16_t txn_port(uint16_t port, uint8_t proto)
{
	return port ? port : proto == NET_TLS || proto == NET_WSS ? 5061 : 5060;
}

/* -------- layer.c */

void txn_kept_drop(struct kept *k);
/* Replaces what is kept. 0, or -ENOMEM: then nothing is kept. */
MUST_USE int txn_kept_set(struct txn_layer *l, struct kept *k, struct str bytes);
/* To the wire, the counter and the ladder. 0, or what the network said. */
int txn_send(struct txn_layer *l, struct net_path *path, struct str bytes, struct str call_id, uint64_t owner,
    enum txn_metric counts_as);
/* 0, or -ENOMEM: then it is not linked. */
MUST_USE int txn_node_link(struct txn_layer *l, struct txn_node *n, enum txn_kind kind);
void txn_node_unlink(struct txn_node *n);

/* -------- client side, client.c */

void cli_on_response(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from);
/* the network could not deliver; a request moved for its size goes back to UDP */
void cli_broken(struct cli *t, int err);
/* the connection that t went out by is gone */
void cli_flow_lost(struct cli *t, int err);
void cli_on_icmp(struct txn_layer *l, const struct net_path *to, int err, struct str sent);
/* the connection an ACK was moved to for its size did not stand: once more by UDP */
void txn_ack_back_to_udp(struct txn_ack *k);

/* Sends the kept bytes once more. */
void cli_send(struct cli *t);
/* Sends these, kept or not. 0, or what the network said. */
int cli_send_bytes(struct cli *t, struct str bytes, struct str call_id);
/* Builds a request out of the INVITE's kept head: CANCEL, or ACK to a non-2xx (to: value of the answer's To).
 * RFC 3261 9.1, 17.1.1.3. */
void cli_put_derived(const struct cli *t, struct buf *b, enum sip_method method, struct str to,
    struct str headers);
void cli_send_cancel(struct cli *t);
/* Replaces the kept bytes; 0 or -ENOMEM (then nothing is kept). */
int cli_keep(struct cli *t, struct str bytes);
void cli_forget(struct cli *t);
/* The callbacks; nothing when nobody listens. Each may detach or rebind t, none frees it. */
void cli_pass(struct cli *t, const struct sip_msg *m);
void cli_report(struct cli *t);
/* Takes t out of all tables, makes the last call, frees. */
void cli_gone(struct cli *t);

/* -------- server side, server.c */

void srv_on_request(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from);
/* An answer was lost with its connection: one try on a new one to the port of sent-by (18.2.2). */
void srv_broken(struct srv *t);
/* An answer without a transaction: the same tag for the same request each time (8.2.7). phrase and to_tag may be
 * empty. */
void txn_answer_stateless(struct txn_layer *l, const struct sip_msg *m, const struct net_path *from,
    unsigned status, struct str phrase, struct str to_tag);
bool txn_may_answer(struct txn_layer *l, const struct net_path *from);

/* Sends the last answer once more. */
void srv_send(struct srv *t);
/* Builds, keeps and sends. 0, -ENOSPC, -ENOMEM. */
int srv_answer(struct srv *t, const struct txn_reply *r);
void srv_forget(struct srv *t);
/* on_end, once; after it nobody listens */
void srv_report(struct srv *t, int err);
void srv_gone(struct srv *t);

/* -------- the machines */

void ict_start(struct cli *t, int err); /* err: the first copy did not get out */
void ict_response(struct cli *t, const struct sip_msg *m);
void ict_broken(struct cli *t, int err);
bool ict_waiting(const struct cli *t); /* nothing came back so far */
bool ict_proceeding(const struct cli *t); /* a provisional answer came, and no more */
void ict_cancel(struct cli *t);
bool ict_may_fail(const struct cli *t); /* no final answer was handed up so far */

void nict_start(struct cli *t, int err);
void nict_response(struct cli *t, const struct sip_msg *m);
void nict_broken(struct cli *t, int err);
bool nict_waiting(const struct cli *t);
bool nict_may_fail(const struct cli *t);

void ist_start(struct srv *t);
void ist_request(struct srv *t); /* a copy of the INVITE */
/* true when the ACK belongs to a 2xx and goes up */
bool ist_ack(struct srv *t);
bool ist_may_answer(const struct srv *t, unsigned status);
void ist_answered(struct srv *t, unsigned status);

void nist_start(struct srv *t);
void nist_request(struct srv *t);
bool nist_may_answer(const struct srv *t, unsigned status);
void nist_answered(struct srv *t, unsigned status);

#endif
