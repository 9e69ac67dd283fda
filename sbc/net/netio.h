/* netio.h - struct net (net.h) on real sockets: UDP in batches, TCP and TLS connections.
 *
 * Realms have listeners. Every UDP listener also listens on TCP at the same address and port (RFC 3261 18.2.1);
 * when the configuration does not name it, it is made. Datagrams leave from the listening socket. Connections are
 * found by handle, or by realm, protocol and remote address, and opened when there is none.
 *
 * What is not promised to anyone is bounded: connections in all and per source, time before the first message,
 * time for one message, bytes queued for a peer that does not read. Counters: metrics area "net".
 *
 * A TLS connection is up when its handshake is over and the peer has proved what it must (net_peer, client_cert); not
 * one byte of SIP goes out before. Connections of our making carry the peer they were made for and serve no other.
 *
 * WebSocket has no listener here yet: send() answers -ENETUNREACH for it.
 */
#ifndef SBC_NET_NETIO_H
#define SBC_NET_NETIO_H

#include "sbc/loop/env.h"
#include "sbc/loop/loop.h"
#include "sbc/net/net.h"

/* What a framing function says about the bytes received so far. Same order and meaning as sip/frame.h. */
enum net_frame_kind {
	NET_FRAME_MORE, /* not complete yet                                               */
	NET_FRAME_MSG,  /* *ret_len bytes are one message                                 */
	NET_FRAME_SKIP, /* *ret_len bytes are padding between messages: throw away        */
	NET_FRAME_PING, /* *ret_len bytes are a ping: answer CRLF and throw away          */
	NET_FRAME_BAD,  /* framing lost: *ret_len bytes may be looked at for an answer    */
};

/* Belongs to the framing function; zeroed at the start of each message. */
struct net_framer {
	size_t state[3];
};

/* p holds the n (> 0) bytes of the stream since the end of the last message. *ret_len is 1..n for all but
 * NET_FRAME_MORE; *ret_reason is set for NET_FRAME_BAD. */
typedef enum net_frame_kind net_frame_fn(
    struct net_framer *f, const char *p, size_t n, size_t *ret_len, enum reason *ret_reason);

/* What a TLS listener wants of who connects. A certificate that is shown is always checked. */
enum net_client_cert {
	NET_CERT_REQUEST, /* asked for; without one, or with one that proves nothing, the peer is nobody (RFC 5922 7.4) */
	NET_CERT_REQUIRE, /* no connection without one that leads to a root of ours */
	NET_CERT_NONE,    /* not asked for */
};

struct net_listener_cfg {
	uint8_t realm;     /* index */
	uint8_t proto;     /* NET_UDP, NET_TCP or NET_TLS */
	uint8_t client_cert; /* TLS: enum net_client_cert */
	uint8_t dscp;      /* class of service of what we send */
	bool legacy_ciphers; /* TLS: also those of net_peer.legacy_ciphers, for peers that connect */
	struct str cert;   /* TLS: name of ours, shown when SNI names none of ours, and to peers that name no other */
	struct addr bound; /* may be a wildcard; port 0 takes any (tests) */
	struct str host;   /* advertised; empty: the bound address */
	uint16_t port;     /* advertised; 0: the bound port */
};

struct tls_store;

struct netio_cfg {
	const struct net_listener_cfg *listeners;
	unsigned n_listeners;
	struct tls_store *tls; /* NULL: no TLS; a reference of its own is taken */

	/* all sockets */
	int socket_buffer;          /* bytes asked of the kernel each way for UDP */
	size_t udp_queue_bytes;     /* per UDP socket, while the kernel takes nothing */
	/* connections */
	unsigned max_conns;         /* in all, 1..65000 */
	unsigned max_conns_source;  /* accepted from one IPv4 address or IPv6 /64 */
	int first_message_ms;       /* accept to first whole message, at most 60 s */
	int message_ms;             /* first byte to last byte of a message */
	int idle_ms;                /* nothing heard or said */
	int connect_ms;
	int handshake_ms;           /* TLS: connection up to handshake over */
	int stall_ms;               /* the peer takes none of what is queued */
	size_t conn_queue_bytes;    /* queued for one connection */
	size_t message_max;         /* bytes held for one unfinished message */
};

/* Fills in what a carrier would want; listeners are left out. */
void netio_cfg_defaults(struct netio_cfg *cfg);

/* Why a listener could not be opened. */
struct netio_error {
	enum reason reason; /* ADDRESS_IN_USE, ADDRESS_MISSING, PERMISSION, NO_DESCRIPTORS, CONFIG_INVALID, ... */
	int err;            /* -errno */
	uint8_t proto;
	struct addr bound;
	char text[160];     /* "udp 192.0.2.1:5060: address is in use by another program" */
};

struct netio;

/* Opens all listeners or none. cfg is copied. user and ctx must outlive the netio. Results arrive on later turns,
 * never from inside a call of ours. 0, or -errno with *ret_err filled in. */
MUST_USE int netio_new(struct loop *loop, const struct env *env, const struct netio_cfg *cfg,
    const struct net_user *user, void *ctx, net_frame_fn *frame, struct netio **ret_io,
    struct netio_error *ret_err);
/* The interface to hand to the core; lives as long as io. */
struct net *netio_net(struct netio *io);

/* Listeners that are in cfg again stay open untouched (their indexes too), new ones are opened, the others are
 * closed; established connections stay. Limits are taken over. On failure nothing has changed. */
MUST_USE int netio_reload(struct netio *io, const struct netio_cfg *cfg, struct netio_error *ret_err);

/* New handshakes take their certificates and roots from store (NULL: none); connections that are up stay as they are
 * (TLS-14). What was resumable is not any more. -ENOENT: a listener or a peer names a certificate that store does not
 * have; nothing has changed then. */
MUST_USE int netio_set_tls(struct netio *io, struct tls_store *store);

/* Closes all sockets at once, reports nothing any more, and calls closed(arg) (may be NULL) on a later turn, when
 * the last handle is gone and io has been freed. io may not be used after this call. */
void netio_free(struct netio *io, loop_fn *closed, void *arg);

/* ---- looking at it (CLI, metrics, tests) ---- */

enum net_count {
	NET_UDP_RX, NET_UDP_RX_CALLS, NET_UDP_TX, NET_UDP_TX_CALLS, NET_UDP_TX_QUEUED, NET_UDP_TX_FAILED,
	NET_UDP_REFUSED, NET_UDP_KEEPALIVE, NET_UDP_ICMP,
	NET_TCP_RX, NET_TCP_TX, NET_TCP_ACCEPTED, NET_TCP_REFUSED, NET_TCP_OVER_CAP, NET_TCP_OVER_SOURCE_CAP,
	NET_TCP_NO_MEMORY, /* accepted and sent away, for want of it */
	NET_TCP_CONNECTS, NET_TCP_CONNECT_FAILED, NET_TCP_PINGS, NET_TCP_FRAMING, NET_TCP_SLOW_FIRST,
	NET_TCP_SLOW_MESSAGE, NET_TCP_IDLE, NET_TCP_STALLED, NET_TCP_QUEUE_FULL, NET_TCP_LOST,
	NET_TCP_OPEN, /* gauge; TLS too, as all above */
	NET_TCP_RACED, NET_TCP_RACE_SECOND,
	NET_TCP_PINGED, NET_TCP_NO_PONG, NET_TCP_PING_LOST,
	NET_ALIASES, /* gauge: rows of the alias table */
	NET_ALIAS_REFUSED, NET_ALIAS_USED,
	NET_UDP_STUN, NET_UDP_STUN_BAD, NET_UDP_STUN_STRAY, NET_UDP_KEEP_SENT, NET_UDP_KEEP_LOST,
	NET_NO_DESCRIPTORS,
	NET_TLS_ACCEPTED, NET_TLS_CONNECTED, NET_TLS_RESUMED, NET_TLS_FAILED, NET_TLS_SLOW, NET_TLS_REFUSED,
	NET_TLS_UNPROVEN,
	NET_COUNTS
};
uint64_t netio_count(const struct netio *io, enum net_count c);

/* Two addresses of one server (prepare()): which became the connection. */
enum race_result { RACE_NONE, RACE_RUNNING, RACE_FIRST, RACE_SECOND };

struct netio_conn_info {
	struct net_path path; /* peer: whom it was made for */
	bool inbound, up;
	enum race_result race;
	uint32_t ping_every_ms;     /* from us; 0: none */
	uint32_t pings, pongs;
	bool pong_awaited;
	bool pings_unknown;         /* it answers none, but its TCP lives: it seems not to know them */
	size_t queued;              /* bytes */
	int64_t opened_us, last_us; /* mono */
	int64_t heard_us;           /* mono, 0: never */
	uint64_t rx_msgs, tx_msgs;
	/* TLS, once it is up; borrowed: until the loop goes on */
	const struct net_identity *identity;
	const char *tls_version, *tls_cipher;
	struct str tls_cert;        /* name of ours on it */
	bool tls_resumed;
	int64_t tls_peer_expires_us; /* wall; 0: it showed no certificate */
};
/* Walks the open connections: start with *at = 0; false at the end. */
bool netio_conn_next(const struct netio *io, uint32_t *at, struct netio_conn_info *ret);
/* A row of the alias table (RFC 5923 5): requests to at, for a peer of these names, may take conn. */
struct netio_alias_info {
	struct addr at; /* as received, with the port of sent-by */
	uint8_t proto, realm;
	const struct net_identity *who; /* names proved; local: our domain on it. Until the loop goes on */
	uint32_t conn;
};
/* Start with *at = 0; false at the end. */
bool netio_alias_next(const struct netio *io, uint32_t *at, struct netio_alias_info *ret);
/* Walks the listeners (index in *at): start with 0; false at the end. */
bool netio_listener_next(const struct netio *io, unsigned *at, struct net_listener_cfg *ret);
/* Why TLS last failed with a connection made for this peer: "certificate of 192.0.2.7:5061 names sbc7.pop.example,
 * expected itsp.example"; NULL: it never did since the peer was set. *ret_wall_us: when. */
const char *netio_peer_error(const struct netio *io, uint32_t peer, int64_t *ret_wall_us);

#endif
