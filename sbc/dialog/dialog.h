/* dialog.h - the state of one dialog (RFC 3261 12) and the 2xx/ACK handling that belongs to the core.
 *
 * A dialog is data inside its leg: identifiers, route set, remote target, sequence numbers, and the path its
 * messages take. It sends nothing by itself but the repeated 2xx (struct dlg_2xx).
 */
#ifndef SBC_DIALOG_DIALOG_H
#define SBC_DIALOG_DIALOG_H

#include "sbc/sip/header.h"
#include "sbc/txn/txn.h"

struct dlg {
	struct arena *arena; /* borrow: the call's; all text below lives there */
	struct str call_id;
	struct str local_tag, remote_tag; /* remote_tag empty: early client side without an answer */
	struct str local, remote;         /* From and To as name-addr, without tag */
	struct str target;                /* remote target: URI of their Contact */
	struct str routes;                /* route set as complete "Route: …" lines, in the order to send */
	uint32_t local_cseq, remote_cseq;
	struct net_path path;             /* of the last message from them; connection included */
	uint16_t target_cap, routes_cap;  /* bytes of the places these are kept in, 0: not ours */
	uint16_t first_at, first_n;       /* URI of the first route in routes: dlg_first_route() */
	uint8_t hops;                     /* that requests before there is a dialog may take: Max-Forwards and one, 0: 71 */
	bool strict : 1;                  /* first route has no lr: RFC 3261 12.2.1.1 */
	bool sips : 1;                    /* UAC: routes are sips: whatever Record-Route said (RFC 5630 5.1.1) */
	bool nat : 1;                     /* answer to where their packets come from, whatever Contact says */
	bool has_remote_cseq : 1;
	bool confirmed : 1;
	bool update_ok : 1;               /* their Allow lists UPDATE */
};

/* URI of the first route, empty: none */
static inline struct str dlg_first_route(const struct dlg *d)
{
	return d->routes.n ? str_n(d->routes.p + d->first_at, d->first_n) : STR_NONE;
}

/* UAS: from an INVITE. local_tag is ours. 0 or -ENOMEM; -EBADMSG when the INVITE has no usable Contact. */
MUST_USE int dlg_init_uas(struct dlg *d, struct arena *a, const struct sip_msg *invite,
    const struct net_path *from, struct str local_tag);
/* UAC: before the INVITE. Texts are kept as given (they live in a). */
void dlg_init_uac(struct dlg *d, struct arena *a, struct str call_id, struct str local_tag, struct str local,
    struct str remote, const struct net_path *path);
/* UAC: takes tag, target and route set from a 1xx or 2xx with a To tag. A 2xx recomputes the route set
 * (13.2.2.4) and confirms. 0, -ENOMEM, -EBADMSG (no usable Contact in a 2xx). */
MUST_USE int dlg_learn(struct dlg *d, const struct sip_msg *response, const struct net_path *from);
/* UAC of a SUBSCRIBE: the NOTIFY that makes the dialog (RFC 6665 4.4.1): their tag, target and route set, in the order of
 * a UAS. 0, -ENOMEM, -EBADMSG (no usable Contact). */
MUST_USE int dlg_learn_notify(struct dlg *d, const struct sip_msg *notify, const struct net_path *from);
/* For another early dialog of the same INVITE: what `from` was made with, nothing of what it has learned. */
void dlg_fork(struct dlg *to, const struct dlg *from);

/* Does this request belong here: Call-ID and both tags. */
bool dlg_match(const struct dlg *d, const struct sip_msg *request);
/* Takes the CSeq of an incoming request in the dialog: 0, or -ESTALE when lower than the last (500; DLG-03). */
MUST_USE int dlg_take_cseq(struct dlg *d, const struct sip_msg *request);
/* A target refresh that succeeded: new Contact; also remembers Allow. A message without Contact changes nothing. */
void dlg_refresh(struct dlg *d, const struct sip_msg *m);
/* the same with a target kept from an earlier message; empty changes nothing */
void dlg_set_target(struct dlg *d, struct str target);
/* remembers whether UPDATE may be sent */
void dlg_note_allow(struct dlg *d, const struct sip_msg *m);

/* Where the next request goes: first route or remote target when numeric, else where the dialog's messages come
 * from; the living connection of the dialog when it leads to that host. */
void dlg_next_hop(const struct dlg *d, struct net_path *ret);
/* Fills a request in the dialog: R-URI, path, and the lines From, To, Call-ID, CSeq, Max-Forwards, Route into
 * headers (the caller adds more, then sets r->headers = buf_text(headers)). cseq 0 takes the next number; ACK
 * gives that of its INVITE. */
void dlg_request(struct dlg *d, enum sip_method method, struct str method_name, uint32_t cseq,
    struct buf *headers, struct txn_req *r);

/* -------- the 2xx of an INVITE server transaction, repeated until ACK on every transport (13.3.1.4, TXN-06) */

struct dlg_2xx;
typedef void dlg_no_ack_fn(struct dlg_2xx *x);
struct dlg_2xx {
	struct timer timer;
	const struct env *env;   /* borrow: process */
	struct txn_srv *srv;     /* borrow: NULL once the transaction is gone */
	dlg_no_ack_fn *on_no_ack;
	int64_t started_us;
	uint32_t interval_ms, t1_ms, t2_ms, cseq;
};
/* after the 2xx was sent with txn_srv_reply() */
void dlg_2xx_start(struct dlg_2xx *x, const struct env *env, struct txn_srv *srv, const struct txn_timers *t,
    dlg_no_ack_fn *on_no_ack);
/* ACK came or the leg ends; safe when not running */
void dlg_2xx_stop(struct dlg_2xx *x);
static inline bool dlg_2xx_waiting(const struct dlg_2xx *x)
{
	return timer_running(&x->timer);
}

/* 491: wait before the next try, ms, in steps of 10 (RFC 3261 14.1, DLG-07). */
uint32_t dlg_glare_wait_ms(struct rng *rng, bool we_own_call_id);

#endif
