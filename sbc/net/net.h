/* net.h - bytes and addresses: what the signalling core sees of the network.
 *
 * The core is written against this interface; sbc/net implements it on sockets (netio.h) and tests/sim on a
 * virtual network. It does not know SIP: framing of streams is handed in by the application.
 */
#ifndef SBC_NET_NET_H
#define SBC_NET_NET_H

#include "sbc/base/addr.h"
#include "sbc/base/reason.h"

enum net_proto { NET_UDP, NET_TCP, NET_TLS, NET_WS, NET_WSS, NET_PROTOS };

static inline bool net_reliable(enum net_proto p)
{
	return p != NET_UDP;
}
struct str net_proto_name(enum net_proto p); /* "UDP", as Via wants it */


/* Where a message came from, or where one should go. A value: copy it freely.
 * To send: proto, realm and remote are needed. conn 0 means "any authorised connection to remote, or a new
 * one"; a conn that is gone is treated like 0. The interface fills in what it used. */
struct net_path {
	uint8_t proto;     /* enum net_proto */
	uint8_t realm;     /* index of the realm in the running configuration */
	uint16_t listener; /* index of our listening socket (receiving) */
	uint32_t conn;     /* connection handle with generation, 0: none */
	uint32_t peer;     /* whom we mean to reach (struct net_peer), 0: nobody in particular */
	struct addr remote;
	struct addr local; /* our end; receiving: the address the datagram was sent to */
};

/* What we write into Via and Contact for one realm, protocol and family: the advertised address. */
struct net_local {
	struct addr bound;
	struct str host; /* IPv6 with brackets; lives as long as the configuration */
	uint16_t port;
};

/* Whom a connection is to reach, and what it has to prove. Connections made for one peer are not used for another
 * (RFC 5923 9.3). */
struct net_peer {
	struct str name;         /* the domain given to server location (TLS-10): SNI, and checked in the certificate */
	const struct str *names; /* further identities its certificate may carry instead */
	unsigned n_names;
	struct str certificate;  /* which of ours is shown; empty: the realm's */
	uint8_t verify;          /* enum net_verify */
	bool legacy_ciphers;     /* TLS_RSA_WITH_AES_128_CBC_SHA and its like (TLS-02) */
	uint32_t ping_ms;        /* CRLF ping on our connections to it (RFC 5626 4.4.1), 0: none */
};
enum net_verify {
	NET_VERIFY_STRICT,  /* RFC 5922: whole names, no wildcards, EKU of RFC 5924 or server/client */
	NET_VERIFY_RELAXED, /* also wildcards of one label, as RFC 6125 has them */
	NET_VERIFY_CHAIN,   /* a trusted chain, whatever it names */
	NET_VERIFY_NONE,
};

/* What the other end of a TLS connection has proved. */
struct net_identity {
	bool verified;           /* it showed a certificate that leads to a root of ours */
	const struct str *names; /* its SIP domains (RFC 5922 7.1), lower case; none unless verified */
	unsigned n_names;
	struct str local;        /* our domain on that connection: certificate's name asked for by SNI */
};

/* Errors beyond the system's, negative like them where an -errno is handed on. */
enum {
	NET_ERR_KEEPALIVE = 0x6000, /* pings are not answered any more (RFC 5626 4.4.1) */
	/* why TLS did not come up */
	NET_ERR_TLS_HANDSHAKE = 0x7000, /* versions, ciphers, an alert of the peer, garbage, too slow */
	NET_ERR_TLS_UNTRUSTED,
	NET_ERR_TLS_EXPIRED,
	NET_ERR_TLS_NAME,
	NET_ERR_TLS_NO_CERT,
	NET_ERR_TLS_REVOKED,
	NET_ERR_TLS_PURPOSE,
	NET_ERR_TLS_NO_STAPLE,
};
/* What an -errno of this interface means for a call: TRANSPORT when there is nothing more to say. */
enum reason net_error_reason(int err);

struct net;
struct net_ops {
	/* Takes len bytes to send (copied or sent before it returns). owner is handed back in on_failure; 0 for
	 * none. 0, or -errno when it is already known that it cannot be sent (-ENETUNREACH: realm has no socket
	 * of that protocol or family, -ENOBUFS: queue of that peer full, -EMFILE). */
	int (*send)(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner);
	/* NULL when the realm has no such listener. */
	const struct net_local *(*local)(struct net *n, uint8_t realm, enum net_proto proto, int family);
	/* Closes the connection of path once what is queued has been written (or at once: now). */
	void (*close)(struct net *n, const struct net_path *path, bool now);

	/* The rest is for connections; NULL where there are none (simulation). */

	/* Makes peer *id (0: a new one) say cfg, which is copied. 0, -ENOMEM, -ENOENT (no such certificate). */
	int (*peer_set)(struct net *n, uint32_t *id, const struct net_peer *cfg);
	void (*peer_del)(struct net *n, uint32_t id);
	/* Starts connecting before there is something to send, or takes the connection to path or to alt that is there;
	 * path carries its handle after. With alt, a second attempt to it starts when the first
	 * is not up after the stagger (RFC 8305 5), and the first that is up (TLS included) becomes the connection,
	 * under the address it reached. What send() gives to path meanwhile waits in it and goes out once.
	 * 1: it is up, and path says where it leads; 0: it is on its way, and on_flow_up() or on_flow_lost() says what
	 * becomes of it; -errno as send(). */
	int (*prepare)(struct net *n, struct net_path *path, const struct addr *alt);
	/* NULL: not TLS, or gone. Lives until the loop goes on. */
	const struct net_identity *(*identity)(struct net *n, const struct net_path *path);
	/* The peer at path asked for reuse (Via;alias) and listens on sent_by_port: later sends to its address and
	 * that port may take this connection (RFC 5923). 0, or -EPERM: no certificate, nothing recorded. */
	int (*alias)(struct net *n, const struct net_path *path, uint16_t sent_by_port);
	/* Is the connection of path's handle there, up or on its way? Datagrams have none: true. A flow that somebody
	 * registered by is asked for so: another connection to its address would be another flow (RFC 5626 5.3). */
	bool (*alive)(struct net *n, const struct net_path *path);
	/* The peer agreed to be pinged: from now on every interval_ms (80..100 % of it) on that flow, 0: no more (RFC 6223,
	 * RFC 5626 4.4); CRLF on connections, STUN on UDP. When it does not answer, the flow has failed: on_flow_lost().
	 * 0, -ENOTCONN (no such connection), -ENETUNREACH, -ENOBUFS (too many). */
	int (*keep)(struct net *n, const struct net_path *path, uint32_t interval_ms);
};

struct net {
	const struct net_ops *ops;
};

/* Upwards. */
struct net_user {
	/* Before anything is parsed (and at accept of a connection): does this source get an ear at all?
	 * Counts and limits are the callee's. */
	bool (*admit)(void *ctx, const struct net_path *from);
	/* One datagram, or one framed message of a stream. buf may be changed, is invalid after return.
	 * bad: the stream lost its framing there (reason says why): answer if possible; net closes it after. */
	void (*on_message)(void *ctx, const struct net_path *from, char *buf, size_t len, enum reason bad);
	/* What was handed to send() with owner did not get out: connect failed, connection lost with it queued,
	 * ICMP error. For ICMP the owner is not known (0) and sent holds the first bytes of our datagram. */
	void (*on_failure)(void *ctx, const struct net_path *to, uint64_t owner, int err, struct str sent);
	/* A connection that prepare() said is on its way is up (TLS: and its peer has proved what it must). flow carries
	 * the handle that prepare() gave and the address it leads to, of two the one that was up first. Once for each
	 * connection, however many prepared it. May be NULL. */
	void (*on_flow_up)(void *ctx, const struct net_path *flow);
	/* A flow is gone: a connection that was prepared or that messages went over, by either side's doing, or one that
	 * was prepared and did not come up; pings that were agreed upon (keep()) and are not answered any more; (UDP) our
	 * address as the peer sees it has changed. err 0: it was closed in order, by either side. Owners of what did not
	 * get out over it have heard before (on_failure()). May be NULL. */
	void (*on_flow_lost)(void *ctx, const struct net_path *flow, int err);
	/* Who connected by TLS did not prove what it must (its connection ends) or what it showed proves nothing (it is heard as
	 * nobody): text says what was wrong. Calls nothing of net. May be NULL. */
	void (*on_unproven)(void *ctx, const struct net_path *from, int err, struct str text);
};

static inline int net_send(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	return n->ops->send(n, path, p, len, owner);
}

static inline const struct net_local *net_local(
    struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	return n->ops->local(n, realm, proto, family);
}

static inline int net_peer_set(struct net *n, uint32_t *id, const struct net_peer *cfg)
{
	return n->ops->peer_set ? n->ops->peer_set(n, id, cfg) : 0;
}

static inline void net_peer_del(struct net *n, uint32_t id)
{
	if (id && n->ops->peer_del)
		n->ops->peer_del(n, id);
}

static inline int net_prepare(struct net *n, struct net_path *path, const struct addr *alt)
{
	return n->ops->prepare ? n->ops->prepare(n, path, alt) : 1;
}

static inline const struct net_identity *net_identity(struct net *n, const struct net_path *path)
{
	return n->ops->identity ? n->ops->identity(n, path) : NULL;
}

static inline bool net_alive(struct net *n, const struct net_path *path)
{
	return !net_reliable((enum net_proto)path->proto) || !n->ops->alive || n->ops->alive(n, path);
}

static inline int net_alias(struct net *n, const struct net_path *path, uint16_t sent_by_port)
{
	return n->ops->alias ? n->ops->alias(n, path, sent_by_port) : 0;
}

static inline int net_keep(struct net *n, const struct net_path *path, uint32_t interval_ms)
{
	return n->ops->keep ? n->ops->keep(n, path, interval_ms) : 0;
}

#endif
