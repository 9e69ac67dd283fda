/* internal.h - what the files of this room share. Nobody outside includes it.
 *
 *   netio.c   listeners, reload, the operations of struct net, late delivery of failures
 *   udp.c     one UDP socket: batches in, batches out, ICMP errors
 *   tcp.c     connections by where they lead: table, handles, operations; accept.c: listening sockets
 *   conn.c    one connection: states, reading, writing, how it ends; queue.c: what is queued and what of it was
 *             acknowledged; due.c: deadlines
 *   stream.c  the bytes of one connection: framing, pings, lost framing
 *   tls.c     certificates, roots, contexts; tls_link.c: one connection's encryption; tls_hs.c: its handshake, which
 *             runs on other threads; tls_hello.c: what is seen of it before
 *   peer.c    whom connections are for
 *   race.c    two attempts to connect, one connection
 *   ping.c    pings of ours on connections
 *   alias.c   accepted connections that may be used for requests of ours
 *   keep.c    STUN on UDP sockets: answers, and pings of ours
 *
 * A connection's bytes pass its link (struct link): "plain" is the socket itself, the one of tls_link.c encrypts.
 * Framing above and deadlines beside it are the same for both.
 */
#ifndef SBC_NET_INTERNAL_H
#define SBC_NET_INTERNAL_H

#include <sys/types.h>

#include "sbc/base/hash.h"
#include "sbc/net/netio.h"

#define NETIO_REALMS 256
#define STREAM_BUF 65536

struct udp;
struct udp_rx;

/* How often something may still happen in one turn of the loop. */
struct turn_share {
	uint64_t turn;
	unsigned left;
};

struct listener {
	struct netio *io;
	struct listener *next; /* of the same realm, protocol and family */
	uint16_t index;
	uint8_t realm, proto;
	bool implied;            /* TCP made for a UDP listener */
	bool closed;             /* uv_close was called */
	struct addr asked;       /* as configured */
	struct addr bound;       /* as the kernel says */
	struct net_local *local; /* borrow: io->locals, which keeps the old ones too */
	int fd;
	uv_poll_t poll;
	char *cert;              /* own; TLS: name of our certificate */
	uint8_t client_cert;     /* enum net_client_cert */
	uint8_t dscp;
	bool legacy_ciphers;
	struct timer resume; /* TCP: accepting again after there were no descriptors */
	struct udp *udp;     /* own; UDP only */
};

void netio_set_dscp(int fd, bool v6, uint8_t dscp);

enum tell { TELL_FAILURE, TELL_FLOW_UP, TELL_FLOW_LOST };

/* What the user hears at the end of the turn, of a message or of the flow itself. */
struct failure {
	struct list node;
	struct net_path path;
	uint64_t owner;
	int err;
	enum tell what;
	size_t n;
	char sent[];
};

/* connections accepted from one source */
struct source {
	struct hnode node;
	unsigned n;
	uint8_t len;
	uint8_t ip[8]; /* IPv4 address or IPv6 /64 */
};

struct ssl_session_st;
struct peer {
	struct net_peer cfg; /* strings in the same allocation */
	bool pongs;          /* has answered a ping of ours */
	struct ssl_session_st *session; /* own: to be resumed, NULL: none */
	char *error;         /* own: why TLS last failed, NULL: it never did */
	int64_t error_us;    /* wall */
};
struct peer_slot {
	struct peer *peer; /* own, NULL: free */
	uint32_t gen;
	uint32_t next_free; /* index + 1 */
};

struct conn;
struct conn_slot {
	struct conn *conn; /* own, NULL: free */
	uint16_t gen;
	uint32_t next_free; /* index + 1 */
};

struct netio {
	struct net net; /* first: struct net is all the core sees */
	struct loop *loop;
	const struct env *env;
	const struct net_user *user;
	void *ctx;
	net_frame_fn *frame;
	struct netio_cfg cfg; /* without listeners */
	struct log log;
	uint64_t counts[NET_COUNTS];
	struct metric_set metrics;

	struct listener **listener; /* own: slots, NULL where free */
	unsigned n_listeners;       /* slots */
	struct listener *by[NETIO_REALMS][3][2]; /* realm, NET_UDP, NET_TCP or NET_TLS, IPv4 or IPv6 */
	struct net_local **locals; /* own: all there ever were, a call may hold an old one */
	unsigned n_locals;

	struct udp_rx *rx; /* own: receive buffers all UDP sockets share */

	struct conn_slot *slot; /* own */
	unsigned n_slots, cap_slots, n_conns;
	uint32_t free_first, free_last; /* index + 1, first in first out */
	struct htab by_remote; /* whoever they are for */
	struct htab by_peer;   /* by remote and peer */
	struct peer_slot *peer; /* own */
	unsigned n_peers, cap_peers;
	uint32_t free_peer; /* index + 1 */
	struct htab sources;
	struct htab keeps; /* keep.c: UDP flows we ping */
	struct htab aliases;
	int spare_fd; /* kept to accept and close when there are no descriptors */
	char *stream_buf; /* own: where connections without an unfinished message read to */

	struct list failures;
	struct loop_hook deliver;

	struct tls_store *tls; /* ref */
	struct workers *workers; /* own; where handshakes are computed, NULL: not yet needed */
	bool no_workers;       /* there cannot be any */
	struct turn_share cheap_steps; /* of handshakes, on the loop's thread */
	struct turn_share deadlines;

	struct log_gate no_fd_gate, framing_gate, refused_gate, send_gate, ping_gate, tls_gate, unproven_gate;
	bool closing;
	unsigned open_handles;
	loop_fn *closed;
	void *closed_arg;
};

/* ---- netio.c ---- */

/* Which listener of path's realm, protocol and family; NULL: none. */
struct listener *netio_listener(const struct netio *io, const struct net_path *path);
/* on_failure() at the end of this turn. */
void netio_fail_later(
    struct netio *io, const struct net_path *path, uint64_t owner, int err, const void *sent, size_t n);
/* on_flow_up(), on_flow_lost() at the end of this turn */
void netio_flow_up_later(struct netio *io, const struct net_path *flow);
void netio_flow_lost_later(struct netio *io, const struct net_path *flow, int err);
/* log_gate_open() for what peers of this room trigger */
bool netio_may_say(struct netio *io, struct log_gate *g, unsigned *ret_unsaid);
/* when the last handle of l is gone */
void netio_listener_free(struct listener *l);
/* true: once more in this turn, per_turn times in all */
bool turn_share_take(struct netio *io, struct turn_share *s, unsigned per_turn);
void netio_no_descriptors(struct netio *io, const char *what);
/* a uv handle of io began / ended */
void netio_handle_opened(struct netio *io);
void netio_handle_closed(struct netio *io);

/* ---- udp.c ---- */

/* Opens l's socket: bound and watched. 0 or -errno with nothing left open. */
int udp_open(struct listener *l);
void udp_close(struct listener *l);
int udp_send(struct listener *l, struct net_path *path, const void *p, size_t len, uint64_t owner);
/* after l->realm or l->index changed */
void udp_set_realm(struct listener *l);
int udp_rx_new(struct udp_rx **ret);
void udp_rx_free(struct udp_rx *rx);
/* the last piece of l, when its handle is gone */
void udp_free(struct udp *u);

/* ---- connections ---- */

enum conn_state {
	CONN_CONNECTING,
	CONN_HANDSHAKE, /* TLS: nothing of ours goes out yet */
	CONN_UP,
	CONN_FINISHING, /* writing what is queued, then our FIN; what comes in is thrown away */
	CONN_DRAINING,  /* our FIN is sent, waiting for theirs */
	CONN_CLOSED,    /* only waiting for libuv to let go of the handle */
};

/* How bytes reach the socket. */
struct link {
	/* bytes read, 0 at the end, or -errno (-EAGAIN: later). Asks the socket at most c->fetches times. */
	ssize_t (*read)(struct conn *c, char *p, size_t n);
	/* bytes taken, or -errno */
	ssize_t (*write)(struct conn *c, const char *p, size_t n);
	/* Says that we are done, before the FIN: 0, or -EAGAIN when the socket takes nothing. */
	int (*finish)(struct conn *c);
};

/* A message that was queued: where it ends in all that was ever queued, and in all that the socket was given (0: not
 * yet given). */
struct conn_sent {
	uint64_t owner, end, wire;
};

struct conn {
	struct netio *io;
	uv_poll_t poll;
	const struct link *link;
	struct tls_conn *tls; /* own; NULL: plain */
	unsigned fetches;     /* reads of the socket that this wake may still make */
	int fd;
	int poll_events;
	enum conn_state state; /* conn_step() alone writes it */
	bool inbound;
	bool had_message;
	bool awaited;         /* prepare() was told that it is on its way */
	bool closed_in_order; /* by its peer */
	bool lost_told;       /* on_flow_lost() was called for it, or nobody relied on it */
	bool in_table;
	struct net_path path; /* peer: whom it was made for; 0 when accepted */
	struct hnode by_remote, by_peer;
	struct race *race;   /* own, NULL: never had two addresses */
	struct conn *rival;  /* borrow: the other attempt while both run */
	bool follower;       /* the attempt that owns neither queue nor handle */
	struct alias *aliases; /* own: alias.c */
	struct source *source; /* borrow: io->sources; inbound only */
	struct timer timer;
	struct loop_hook flush;
	int64_t opened_us, last_us, heard_us;
	int64_t state_us;   /* since when it is in its state */
	int64_t partial_us; /* when the unfinished message began, 0: none */
	int64_t stall_us;   /* since when the socket takes nothing, 0: it does */
	uint64_t rx_msgs, tx_msgs;
	size_t drained;

	/* ping.c */
	uint32_t keep_ms;       /* agreed with the peer, 0: nothing */
	uint32_t ping_every_ms; /* 0: no pings */
	int64_t ping_us;        /* when the next one is due, 0: never */
	int64_t pong_us;        /* until when a pong is awaited, 0: it is not */
	uint32_t pings, pongs;
	bool pings_unknown;     /* the peer seems not to know them */

	/* stream.c: bytes of an unfinished message */
	char *rx; /* own, NULL while there are none */
	size_t rx_n, rx_cap;
	struct net_framer framer;

	char *tx; /* own */
	size_t tx_at, tx_n, tx_cap;
	uint64_t queued_total; /* bytes ever queued */
	struct conn_sent *sent; /* own: ring, oldest first; not yet acknowledged by the peer, at least */
	unsigned sent_cap, sent_head, sent_n, sent_marked; /* marked: the first ones, whose wire is known */
};

struct race {
	struct addr alt;
	uint8_t result; /* enum race_result */
	bool started;   /* the second attempt was made */
	int err;        /* of the attempt that failed */
};

/* ---- tcp.c ---- */

/* by handle, by remote, or a new one; fills in path->conn and path->local */
int tcp_send(struct netio *io, struct net_path *path, const void *p, size_t len, uint64_t owner);
int tcp_prepare(struct netio *io, struct net_path *path, const struct addr *alt);
/* 0, or -ENOTCONN */
int tcp_keep(struct netio *io, const struct net_path *path, uint32_t interval_ms);
void tcp_close_path(struct netio *io, const struct net_path *path, bool now);
/* all connections, without reports */
void tcp_close_all(struct netio *io);
/* after a listener's realm changed */
void tcp_move_realm(struct netio *io, uint16_t listener, uint8_t realm);
/* after limits changed */
void tcp_limits_changed(struct netio *io);
/* after a peer changed; usable: its connections are still what it asks for */
void tcp_peer_changed(struct netio *io, uint32_t peer, bool usable);
/* by path->conn; NULL: gone */
struct conn *tcp_conn(const struct netio *io, const struct net_path *path);
/* in and out of the tables that new messages look in */
void table_add(struct conn *c);
void table_del(struct conn *c);
/* Gives c a handle, -ENOMEM; the caller has looked at max_conns. And takes it back. */
int conn_slot_take(struct netio *io, struct conn *c);
void conn_slot_give(struct conn *c);

/* ---- accept.c ---- */

int tcp_listen(struct listener *l);
void tcp_listener_close(struct listener *l);
/* one connection of s is gone; NULL is fine */
void source_give(struct netio *io, struct source *s);

/* ---- conn.c ---- */

/* A new connection for path, from a listener of its realm and family. 0 or -errno. */
int conn_open(struct netio *io, struct net_path *path, struct conn **ret);
/* A connection around fd, which is closed on failure. */
int conn_new(struct netio *io, int fd, const struct net_path *path, bool inbound, const struct listener *l,
    struct conn **ret);
/* what every connection asks of its socket */
void conn_tune(int fd, const struct netio_cfg *cfg);
/* Writes the rest, then closes. */
void conn_finish(struct conn *c);
/* Closes at once; owners of what did not get out hear err. */
void conn_drop(struct conn *c, int err);
/* the handshake can go on */
void conn_handshake(struct conn *c);

/* ---- queue.c ---- */

/* Bytes towards the peer; -ENOBUFS when the queue is full, -ENOMEM. */
int conn_put(struct conn *c, const void *p, size_t len, uint64_t owner);
/* some of the queue went to the socket */
void queue_written(struct conn *c);
/* all of it did */
void queue_shrink(struct conn *c);
/* owners of what was not acknowledged hear err */
void queue_failed(struct conn *c, int err);

/* ---- due.c ---- */

/* moves the timer when a deadline came nearer */
void conn_timer(struct conn *c);

/* ---- peer.c ---- */

int peer_set(struct netio *io, uint32_t *id, const struct net_peer *cfg);
void peer_del(struct netio *io, uint32_t id);
/* NULL: gone, or 0 */
struct peer *peer_find(const struct netio *io, uint32_t id);
/* One allocation, to be freed by free(); NULL without memory. */
struct net_peer *peer_copy(const struct net_peer *cfg);
/* its session for resumption; takes over session (NULL: forgets what there was) */
void peer_keep_session(struct netio *io, uint32_t id, struct ssl_session_st *session);
void peer_forget_sessions(struct netio *io);
/* what netio_peer_error() says */
void peer_failed(struct netio *io, uint32_t id, const char *text);
/* do all peers find the certificate they name? */
bool peer_certs_exist(const struct netio *io, const struct tls_store *store);
void peers_free(struct netio *io);

/* ---- race.c ---- */

#define RACE_STAGGER_MS 200

/* c is to be raced against alt when it is not up in time. 0 or -ENOMEM. */
int race_add(struct conn *c, const struct addr *alt);
/* when the second attempt starts; INT64_MAX: it does not */
int64_t race_due_us(const struct conn *c);
void race_start(struct conn *c);
/* c is up */
void race_won(struct conn *c);
/* An attempt failed. True: the other one goes on with what was queued. Else *err may become one that says more. */
bool race_lost(struct conn *c, int *err);
/* the two know nothing of each other any more */
void race_part(struct conn *c);

/* ---- ping.c ---- */

/* after the connection came up or an interval changed */
void ping_set(struct conn *c);
/* INT64_MAX: nothing is due */
int64_t ping_due_us(const struct conn *c);
void ping_due(struct conn *c);
/* a line end came where a message could begin */
void ping_heard(struct conn *c);
/* 80..100 % of ms, in microseconds */
int64_t ping_draw_us(const struct netio *io, uint32_t ms);

/* ---- alias.c ---- */

/* 0, -EPERM (no certificate), -ENOBUFS, -ENOMEM */
int alias_add(struct netio *io, const struct net_path *path, uint16_t sent_by_port);
/* all of c */
void alias_end(struct conn *c);
/* A connection accepted from path's peer that may take what is meant for it; NULL: none. */
struct conn *alias_find(const struct netio *io, const struct net_path *path);

/* ---- keep.c ---- */

/* A datagram that begins like STUN, from an admitted source. */
void keep_stun(struct listener *l, const struct net_path *from, const char *p, size_t n);
/* 0, -ENETUNREACH, -ENOBUFS, -ENOMEM */
int keep_set(struct netio *io, const struct net_path *path, uint32_t interval_ms);
void keeps_free(struct netio *io);

/* ---- tls_link.c ---- */

extern const struct link tls_link;
/* c gets what it needs to encrypt; nothing is sent yet. -ENOENT (certificate not there), -ENOMEM. */
int tls_attach(struct conn *c, const struct listener *l);
/* Goes on with the handshake: 0 when it is over and the peer has proved what it must, -EAGAIN (conn_handshake() will be
 * called, or the socket wakes it), or what is wrong, said in the log. */
int tls_handshake(struct conn *c);
/* may the socket be read? During the handshake only so much is taken */
bool tls_wants_read(const struct conn *c);
/* the deadline of the handshake passed */
void tls_too_slow(struct conn *c);
bool tls_wants_write(const struct conn *c);
/* did the peer say that it is done (close_notify)? */
bool tls_closed_by_peer(const struct conn *c);
/* bytes that the socket was given */
uint64_t tls_wire(const struct conn *c);
/* once, without waiting: our close_notify */
void tls_farewell(struct conn *c);
void tls_detach(struct conn *c);
/* NULL before it is up */
const struct net_identity *tls_identity(const struct conn *c);
void tls_info(const struct conn *c, struct netio_conn_info *ret);

/* ---- stream.c ---- */

/* Where the next bytes of c belong, and how many fit; NULL when out of memory. */
char *stream_room(struct conn *c, size_t *ret_room);
/* n bytes were put there. Hands up whole messages. */
void stream_got(struct conn *c, size_t n);

#endif
