/* probe.h - one connection made to look at the far end: how long TCP and TLS take, what its
 * certificate says and whether we would believe it, what it answers.
 *
 * Apart from the connections of calls (netio.h), so looking touches nothing: no table, no alias, no
 * health. Nothing is refused either: a certificate that a call would not accept is written down
 * with what is wrong with it, and the conversation goes on, so that one look shows all there is to
 * see.
 */
#ifndef SBC_NET_PROBE_H
#define SBC_NET_PROBE_H

#include "sbc/base/addr.h"
#include "sbc/base/reason.h"
#include "sbc/loop/env.h"
#include "sbc/loop/loop.h"
#include "sbc/net/net.h"
#include "sbc/net/tls.h"

#define NET_PROBE_CHAIN_MAX  8
#define NET_PROBE_NAMES_MAX  16
#define NET_PROBE_ANSWER_MAX 16384

/* How far it came. */
enum net_probe_step { NET_PROBE_CONNECT, NET_PROBE_TLS, NET_PROBE_ASK, NET_PROBE_DONE };

struct net_probe_cert {
	char subject[160], issuer[160];      /* one line, escaped */
	char key_type[32];                   /* "EC P-256", "RSA 2048" */
	int64_t not_before_us, not_after_us; /* wall */
};

struct net_probe_result {
	enum net_probe_step step;          /* where it ended; DONE: all went well */
	enum reason reason;                /* REASON_NONE when step is DONE */
	char error[280];                   /* "connection refused" */
	struct addr local;                 /* ours, once connected */
	int64_t tcp_us, tls_us, answer_us; /* how long that took; -1: it did not come to that */
	/* TLS */
	char version[16], cipher[64];
	struct net_probe_cert chain[NET_PROBE_CHAIN_MAX]; /* its own first */
	unsigned n_chain;
	char names[NET_PROBE_NAMES_MAX][256]; /* SIP domains, RFC 5922 7.1 */
	unsigned n_names;
	bool asked;             /* it asked for a certificate of ours */
	char shown[64];         /* name of the one it got; "" none */
	enum reason verdict;    /* would a connection of a call be up? REASON_NONE: yes */
	char verdict_text[280]; /* what is wrong: what the certificate says and what was expected */
	/* what it answered, up to the end of the answer */
	char *answer; /* lives with the probe */
	size_t n_answer;
};

struct net_probe_cfg {
	struct addr to, from;        /* from: address to connect from, port 0; none: any */
	uint8_t proto;               /* NET_TCP or NET_TLS */
	const struct net_peer *peer; /* TLS: whom we mean, what we show; copied */
	struct tls_store *store; /* TLS: roots and our certificates; a reference is taken; NULL: no
	                            root, no certificate */
	int timeout_ms;          /* for all of it */
	/* Writes what is asked once the connection is up; NULL, or nothing written: nothing is
	 * asked. */
	void (*question)(void *ctx, const struct net_probe_result *r, struct buf *b);
	/* Is that (n > 0 bytes) the whole answer? *ret_reason: it never will be (MALFORMED ...). */
	bool (*answered)(void *ctx, const char *p, size_t n, enum reason *ret_reason);
	/* The end, exactly once, never from inside net_probe_start(). p is still to be freed. */
	void (*done)(void *ctx, const struct net_probe_result *r);
	void *ctx;
};

struct net_probe;

/* 0, -ENOMEM, -ENOENT (no such certificate of ours), or another -errno: done() is not called then.
 */
MUST_USE int net_probe_start(struct loop *loop, const struct env *env,
    const struct net_probe_cfg *cfg, struct net_probe **ret);
/* At any time, inside of done() too; NULL is fine. done() is not called any more. */
void net_probe_free(struct net_probe *p);

#endif
