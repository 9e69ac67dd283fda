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
	struct addr remote;
	struct addr local; /* our end; receiving: the address the datagram was sent to */
};

/* What we write into Via and Contact for one realm, protocol and family: the advertised address. */
struct net_local {
	struct addr bound;
	struct str host; /* IPv6 with brackets; lives as long as the configuration */
	uint16_t port;
};

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

#endif
