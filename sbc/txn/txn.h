/* txn.h - SIP transactions (RFC 3261 17, RFC 6026, RFC 4320): the four machines, matching, merged requests.
 *
 * Below: struct net (bytes). Above: a transaction user (the B2BUA, later the registrar). The layer parses what
 * arrives, answers by itself what needs no user (malformed requests, merged requests, CANCEL without INVITE,
 * retransmissions), and hands checked messages up.
 *
 * Lifetimes: a transaction belongs to the layer. The user holds a pointer between txn_request()/on_request and
 * the on_gone/on_end call, which is the last one it gets; it may let go earlier with txn_cli_detach() or
 * txn_srv_detach(), after which the machine runs on alone. No callback is made from inside txn_request().
 */
#ifndef SBC_TXN_TXN_H
#define SBC_TXN_TXN_H

#include "sbc/loop/env.h"
#include "sbc/net/net.h"
#include "sbc/sip/msg.h"

struct txn_layer;
struct txn_srv;
struct txn_cli;

/* Per trunk (TXN-20); zeros mean the defaults of RFC 3261 table 4. */
struct txn_timers {
	uint16_t t1_ms, t2_ms, t4_ms; /* 500, 4000, 5000 */
	uint32_t b_ms;                /* INVITE without any answer: 64 * T1 */
	uint32_t f_ms;                /* other requests: 64 * T1 */
};

/* ------------------------------------------------------------------ server side */

struct txn_srv_ops {
	/* CANCEL for this INVITE came before its final answer and was answered 200. The user answers 487. */
	void (*on_cancel)(void *owner, struct txn_srv *t, const struct sip_msg *cancel);
	/* The end, exactly once: 0 (done: ACK came, or answered and absorbed), -ETIMEDOUT (no ACK to a non-2xx in
	 * 64*T1; TXN-04; or a non-INVITE not answered in 64*T1: the client has given up and nothing may be sent any
	 * more; TXN-17), -ECANCELED (layer closing). A transport error while answering does not end it. */
	void (*on_end)(void *owner, struct txn_srv *t, int err);
};

/* Open for reading. */
struct txn_srv {
	enum sip_method method;
	uint32_t cseq;
	struct net_path path;      /* where answers go; path.realm says where the request came in */
	uint16_t status;           /* last answer sent, 0: none */
	struct str call_id, from_tag; /* in the transaction's arena */
	const struct txn_srv_ops *ops; /* NULL: nobody */
	void *owner;
};

/* An answer. The layer writes start line, Via, From, To (with to_tag where To has none and status > 100),
 * Call-ID, CSeq, Timestamp (100 only), Content-Length. */
struct txn_reply {
	uint16_t status;
	struct str phrase;       /* empty: the standard one */
	struct str to_tag;       /* empty: one made by the layer, the same for all answers of the transaction */
	struct str headers;      /* complete lines, each with CRLF: Record-Route, Contact, Allow … */
	struct str content_type; /* empty: application/sdp when there is a body */
	struct str body;
};

/* 0, or -EINVAL (a final answer was sent already; 101..199 to a non-INVITE, TXN-16), -ENOSPC (over 64 KiB), -ENOMEM. The answer is kept and sent
 * again on retransmissions. A 2xx to INVITE enters Accepted: sending it again until ACK is the user's (dialog's)
 * business, by txn_srv_resend().
 * A 408 to a non-INVITE ends the transaction without a packet (TXN-17). */
int txn_srv_reply(struct txn_srv *t, const struct txn_reply *r);
/* A final answer that keeps nothing: the transaction is gone afterwards, whatever is returned, without on_end. Copies
 * of the request come up as new ones and an ACK as one to a 2xx; the To tag is the same for all of them (RFC 3261
 * 8.2.7). For whoever nothing shall be remembered of. 0, -EINVAL, -ENOSPC, -ENOMEM. */
int txn_srv_reply_once(struct txn_srv *t, const struct txn_reply *r);
/* sends the last answer once more */
void txn_srv_resend(struct txn_srv *t);
void txn_srv_bind(struct txn_srv *t, const struct txn_srv_ops *ops, void *owner);
/* Lets go. Without a final answer so far an INVITE gets 500; another request ends unanswered at 64*T1. */
void txn_srv_detach(struct txn_srv *t);
/* ends it without any answer (a stranger, by policy): no on_end */
void txn_srv_drop(struct txn_srv *t);
/* answers go to the source address and port even without rport (LOOP-06, trunk setting nat) */
void txn_srv_set_symmetric(struct txn_srv *t);
/* The source of m, which began t, is one of ours: its wishes about the connection are heard. Via;alias lets us use a
 * TLS connection for requests to its port (RFC 5923 8.2). keep: and Via;keep is answered, with the same value in all
 * answers of t (RFC 6223 4.4), when none was sent so far. */
void txn_srv_known(struct txn_srv *t, const struct sip_msg *m, const struct net_path *from, bool keep);
/* The 2xx was acknowledged: its bytes may go; the machine stays to absorb copies of the INVITE. */
void txn_srv_acked(struct txn_srv *t);
/* Short form: answer with the catalogue's status and nothing else. trusted adds "Reason:" and "Warning:" with the
 * code. */
int txn_srv_refuse(struct txn_srv *t, enum reason why, bool trusted, struct str headers);

/* ------------------------------------------------------------------ client side */

struct txn_cli_ops {
	/* Every 1xx, every final once, and for INVITE every 2xx (also copies and other To tags; TXN-08). Non-2xx
	 * finals of INVITE are already acknowledged. m lives until return. */
	void (*on_response)(void *owner, struct txn_cli *t, const struct sip_msg *m);
	/* No final will come: -ETIMEDOUT (timer B or F, or no final 64*T1 after CANCEL), or the transport's -errno.
	 * on_gone follows on a later turn. */
	void (*on_failed)(void *owner, struct txn_cli *t, int err);
	/* Last call. */
	void (*on_gone)(void *owner, struct txn_cli *t);
};

/* Open for reading. */
struct txn_cli {
	enum sip_method method;
	uint32_t cseq;
	struct net_path path; /* as used, e.g. after a move from UDP to TCP, or to the address that won a race */
	uint16_t status;      /* highest seen, 0: none */
	bool tcp_refused;     /* it was to go by TCP for its size and came back to UDP (LOOP-09) */
	bool with_body;       /* the request had one: an INVITE without gets the offer in its 2xx */
	void *owner;
};

struct txn_req {
	enum sip_method method;
	struct str method_name;  /* for SIP_UNKNOWN */
	struct str ruri;
	struct net_path path;
	struct str headers;      /* all but Via, Content-Type, Content-Length: complete lines, each with CRLF */
	uint32_t cseq;           /* as in headers; 0: it is read there */
	struct str call_id;      /* the same; empty: on_wire() gets none */
	struct str content_type; /* empty: application/sdp when there is a body */
	struct str body;
	const struct txn_timers *timers; /* NULL: defaults; copied */
	bool keep;               /* ask for keepalives on the flow (RFC 6223): REGISTER, first INVITE of a dialog */
	bool udp_only;           /* never move a big request to TCP (LOOP-09) */
	bool one_flow;           /* not by another connection when that of path is lost: it would be another flow (RFC 5626 5.3) */
	bool compact;            /* short names in the lines that are written here */
	uint16_t mtu_limit;      /* bytes over which UDP moves to TCP; 0: 1300 */
	const struct net_local *local; /* written into Via instead of what the network says of us; NULL: that */
	struct str branch_tail;  /* appended to the branch ("." and token): the B2BUA's loop marker (LOOP-04) */
};

/* Starts a client transaction: makes branch and Via (rport on UDP), sends, retransmits. A request over the limit
 * moves from UDP to TCP and, when that is refused, back (LOOP-09, same branch rules as RFC 3261 18.1.1).
 * Failures come through on_failed on a later turn. NULL: out of memory or over 64 KiB. */
struct txn_cli *txn_request(struct txn_layer *l, const struct txn_req *r, const struct txn_cli_ops *ops,
    void *owner);
/* Asks to stop an INVITE: CANCEL goes out now, or with the first 1xx (TXN-13); nothing when a final was seen.
 * headers: extra lines (Reason). on_response with the 487 (or the crossing 2xx) still follows. */
void txn_cli_cancel(struct txn_cli *t, struct str headers);
/* Lets go. An INVITE without a final answer is cancelled; a 2xx that crosses the CANCEL then gets no ACK: who must
 * acknowledge it binds another owner instead. */
void txn_cli_detach(struct txn_cli *t);
/* another owner from now on: a call that ends while its INVITE still waits for late 2xx copies */
void txn_cli_bind(struct txn_cli *t, const struct txn_cli_ops *ops, void *owner);

/* ACK to a 2xx: owned by the dialog, sent for each copy of the 2xx. Fresh branch, no transaction. */
struct txn_ack;
/* also sends it once; NULL as txn_request(). Every one must be freed, before the layer. */
struct txn_ack *txn_ack_new(struct txn_layer *l, const struct txn_req *r);
void txn_ack_resend(struct txn_ack *k);
void txn_ack_free(struct txn_ack *k);

/* ------------------------------------------------------------------ the layer */

struct txn_user {
	/* A new checked request outside of any known transaction. t is NULL for ACK (to a 2xx). The user must
	 * answer t sooner or later; INVITE gets 100 by the layer after 200 ms, others after 3.5 s on UDP (TXN-16).
	 * m and everything it points to live until return. */
	void (*on_request)(void *ctx, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from);
	/* Every message in and out, for the ladder; out: what was put on the wire. call_id: its Call-ID where that is
	 * at hand, else empty. May be NULL. */
	void (*on_wire)(void *ctx, bool out, const struct net_path *path, struct str bytes, struct str call_id);
	/* May this source get a 4xx for what cannot be parsed or matched (a trunk), or is it a stranger: silence?
	 * NULL: yes. */
	bool (*may_answer)(void *ctx, const struct net_path *from);
};

enum txn_metric {
	TXN_RX_REQUEST,
	TXN_RX_RESPONSE,
	TXN_RX_BAD,        /* unparsable, by reason in the log */
	TXN_RX_RETRANS,    /* absorbed copies of requests */
	TXN_RX_STRAY,      /* responses without a transaction (TXN-10) */
	TXN_RX_MERGED,
	TXN_TX_REQUEST,
	TXN_TX_RESPONSE,
	TXN_TX_RETRANS,
	TXN_TX_FAILED,
	TXN_TIMEOUT,
	TXN_TO_TCP,        /* moved to TCP for size */
	TXN_BACK_TO_UDP,
	TXN_UNEXPECTED,    /* events without an edge: late or out of order, dropped */
	TXN_RX_DROPPED,    /* for want of memory */
	TXN_METRICS
};

/* NULL when out of memory. user and ctx live as long as the layer. nat_symmetric etc. come with the path. */
struct txn_layer *txn_new(const struct env *env, struct net *net, const struct txn_user *user, void *ctx);
/* Ends every transaction (on_end/on_gone with -ECANCELED) and frees the layer. */
void txn_free(struct txn_layer *l);
/* From struct net_user. */
void txn_on_message(struct txn_layer *l, const struct net_path *from, char *buf, size_t len, enum reason bad);
void txn_on_failure(struct txn_layer *l, const struct net_path *to, uint64_t owner, int err, struct str sent);
/* Requests that went out over that connection and wait for an answer go out once more over a new one: whoever has them
 * knows them by their branch and repeats its answer, and where nobody is any more that is known at once instead of
 * at timer B or F. After a 18x an INVITE that finds nobody waits on: its answer may come all the same (18.2.2). */
void txn_on_flow_lost(struct txn_layer *l, const struct net_path *flow, int err);

/* live transactions, for status and the leak checks of the simulation */
unsigned txn_count_srv(const struct txn_layer *l);
unsigned txn_count_cli(const struct txn_layer *l);

#endif
