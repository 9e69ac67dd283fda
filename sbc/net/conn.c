/* conn.c - one connection, TCP or TLS: its states, what the socket wakes it for, how it ends.
 *
 * Plain non-blocking sockets watched by uv_poll, not uv_tcp: so a connection is refused before it costs anything,
 * progress of a write is known to the byte, and a link that encrypts works on the same two calls.
 *
 *   connect() -> CONNECTING -> UP -> FINISHING -> DRAINING -> CLOSED
 *   accept() ------------------^        a drop leads from each state straight to CLOSED
 *
 * With TLS there is HANDSHAKE before UP; a handshake that fails goes to DRAINING, so that the alert is not destroyed
 * by a reset. What a handshake computes is computed elsewhere (tls_link.c); here it is only gone on with.
 *
 * A connection that ends in order writes its queue (queue.c), sends its FIN and reads to the peer's FIN (or for
 * LINGER_MS), since closing with unread bytes would reset the connection and destroy our last answer on its way.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbc/net/internal.h"

#define READS_PER_WAKE 2
#define DRAIN_MAX ((size_t)16 << 20)
#define KEEPALIVE_S 60
#define USER_TIMEOUT_MS 20000

static void conn_events(struct conn *c, int events);
static void conn_read(struct conn *c);
static void on_conn_ready(uv_poll_t *h, int status, int events);

/* ---- the plain link ---- */

static ssize_t plain_read(struct conn *c, char *p, size_t n)
{
	ssize_t r;

	if (!c->fetches)
		return -EAGAIN;
	c->fetches--;
	do
		r = recv(c->fd, p, n, 0);
	while (r < 0 && errno == EINTR);
	if (r >= 0 && (size_t)r < n)
		c->fetches = 0; /* there was no more */
	return r < 0 ? -errno : r;
}

static ssize_t plain_write(struct conn *c, const char *p, size_t n)
{
	ssize_t r;

	do
		r = send(c->fd, p, n, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static int plain_finish(struct conn *c)
{
	(void)c;
	return 0;
}

static const struct link plain = {plain_read, plain_write, plain_finish};

/* ---- life ---- */

static void conn_step(struct conn *c, enum conn_state to)
{
	static const char *const names[] = {"connecting", "handshake", "up", "finishing", "draining", "closed"};
	char at[ADDR_TEXT_MAX];

	log_debug(&c->io->log, "conn_state", "conn=%x peer=%s from=%s to=%s", (unsigned)c->path.conn,
	    addr_text(&c->path.remote, at), names[c->state], names[to]);
	c->state = to;
	c->state_us = c->io->env->clock->mono_us;
	if (to >= CONN_FINISHING) {
		table_del(c);
		alias_end(c);
	}
	if (to == CONN_UP) {
		race_won(c);
		ping_set(c);
		if (c->awaited)
			netio_flow_up_later(c->io, &c->path);
	}
}

static void on_conn_closed(uv_handle_t *h)
{
	struct conn *c = container_of(h, struct conn, poll);
	struct netio *io = c->io;

	tls_detach(c);
	free(c->rx);
	free(c->tx);
	free(c->sent);
	free(c->race);
	free(c);
	netio_handle_closed(io);
}

/* Once, when nothing can be sent over it any more, if anybody has to hear of it. */
static void tell_lost(struct conn *c, int err)
{
	bool relied_on = c->awaited || c->keep_ms || c->tx_msgs || c->rx_msgs;

	if (relied_on && !c->follower && !c->lost_told && !c->io->closing)
		netio_flow_lost_later(c->io, &c->path, err);
	c->lost_told = true;
}

void conn_drop(struct conn *c, int err)
{
	struct netio *io = c->io;
	struct conn *other;

	if (c->state == CONN_CLOSED)
		return;
	if (err && !io->closing && (err == -ECANCELED || !race_lost(c, &err)))
		queue_failed(c, err);
	tell_lost(c, c->closed_in_order || err == -ECANCELED ? 0 : err);
	other = c->rival;
	race_part(c);
	if (c->state == CONN_UP || c->state == CONN_FINISHING)
		tls_farewell(c);
	conn_step(c, CONN_CLOSED);
	timer_stop(io->env->timers, &c->timer);
	loop_hook_cancel(&c->flush);
	source_give(io, c->source);
	c->source = NULL;
	conn_slot_give(c);
	uv_close((uv_handle_t *)&c->poll, on_conn_closed);
	close(c->fd);
	c->fd = -1;
	if (other)
		conn_drop(other, 0);
}

static void on_flush(struct loop_hook *h);

/* A connection around fd, which is closed on failure. */
int conn_new(struct netio *io, int fd, const struct net_path *path, bool inbound, const struct listener *l,
    struct conn **ret)
{
	struct conn *c = calloc(1, sizeof(*c));
	int e = c ? uv_poll_init(&io->loop->uv, &c->poll, fd) : -ENOMEM;

	if (e) {
		free(c);
		close(fd);
		return e;
	}
	netio_handle_opened(io);
	c->io = io;
	c->link = path->proto == NET_TLS ? &tls_link : &plain;
	c->fd = fd;
	c->state = !inbound ? CONN_CONNECTING : path->proto == NET_TLS ? CONN_HANDSHAKE : CONN_UP;
	c->inbound = inbound;
	c->path = *path;
	c->flush.fn = on_flush;
	c->opened_us = c->last_us = c->state_us = io->env->clock->mono_us;
	e = path->proto == NET_TLS ? tls_attach(c, l) : 0;
	if (!e)
		e = conn_slot_take(io, c);
	if (e) {
		c->state = CONN_CLOSED;
		uv_close((uv_handle_t *)&c->poll, on_conn_closed);
		close(fd);
		return e;
	}
	table_add(c);
	conn_events(c, inbound ? UV_READABLE : UV_WRITABLE);
	conn_timer(c);
	*ret = c;
	return 0;
}

/* uv_poll_start() costs two system calls: only when something changes */
static void conn_events(struct conn *c, int events)
{
	if (tls_wants_write(c))
		events |= UV_WRITABLE;
	if (c->poll_events == events || c->state == CONN_CLOSED)
		return;
	c->poll_events = events;
	uv_poll_start(&c->poll, events, on_conn_ready);
}

static void set(int fd, int level, int name, int value)
{
	/* what a kernel does not know costs comfort, not service */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

void conn_tune(int fd, const struct netio_cfg *cfg)
{
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S / 4);
	/* unacknowledged for so long: the peer is gone */
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, cfg->stall_ms < USER_TIMEOUT_MS ? cfg->stall_ms : USER_TIMEOUT_MS);
}

/* ---- out ---- */

/* The socket takes nothing: on when it does. */
static void conn_stalled(struct conn *c)
{
	if (!c->stall_us)
		c->stall_us = c->io->env->clock->mono_us;
	conn_events(c, UV_READABLE | UV_WRITABLE);
	conn_timer(c);
}

/* Writes what is queued; when all is out and the connection is finishing, sends our FIN. */
static void conn_write(struct conn *c)
{
	while (c->tx_at < c->tx_n) {
		ssize_t n = c->link->write(c, c->tx + c->tx_at, c->tx_n - c->tx_at);

		if (n == -EAGAIN || n == -EWOULDBLOCK) {
			conn_stalled(c);
			return;
		}
		if (n < 0) {
			/* what the peer said before it went is still worth reading */
			if (c->state == CONN_UP)
				conn_read(c);
			if (c->state != CONN_CLOSED) {
				c->io->counts[NET_TCP_LOST]++;
				conn_drop(c, (int)n);
			}
			return;
		}
		c->tx_at += (size_t)n;
		queue_written(c);
		c->last_us = c->io->env->clock->mono_us;
		if (c->stall_us)
			c->stall_us = c->last_us;
	}
	if (c->state == CONN_FINISHING && c->link->finish(c) == -EAGAIN) {
		conn_stalled(c);
		return;
	}
	c->stall_us = 0;
	queue_shrink(c);
	conn_events(c, UV_READABLE);
	if (c->state == CONN_FINISHING) {
		c->link = &plain; /* what still comes is only waited out */
		shutdown(c->fd, SHUT_WR);
		conn_step(c, CONN_DRAINING);
		conn_timer(c);
	}
}

static void on_flush(struct loop_hook *h)
{
	conn_write(container_of(h, struct conn, flush));
}

void conn_finish(struct conn *c)
{
	if (c->state < CONN_UP) {
		conn_drop(c, -ECANCELED);
		return;
	}
	if (c->state != CONN_UP)
		return;
	conn_step(c, CONN_FINISHING);
	tell_lost(c, 0);
	c->partial_us = 0;
	/* an answer may still be put in this turn */
	loop_at_turn_end(c->io->loop, &c->flush);
}

int conn_open(struct netio *io, struct net_path *path, struct conn **ret)
{
	const struct listener *l = netio_listener(io, path);
	struct addr from;
	socklen_t len = sizeof(path->local);
	int fd, e;

	if (!l)
		return -ENETUNREACH;
	from = l->bound;
	if (io->n_conns >= io->cfg.max_conns) {
		io->counts[NET_TCP_OVER_CAP]++;
		return -EMFILE;
	}
	fd = socket(path->remote.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		e = -errno;
		if (e == -EMFILE || e == -ENFILE)
			netio_no_descriptors(io, "connect");
		return e;
	}
	conn_tune(fd, &io->cfg);
	netio_set_dscp(fd, path->remote.sa.sa_family == AF_INET6, l->dscp);
	if (addr_is_any(&from) && !addr_none(&path->local) && !addr_is_any(&path->local))
		from = path->local;
	addr_set_port(&from, 0);
	if (!addr_is_any(&from)) {
		/* the port is chosen at connect(), when the kernel knows the peer: more of them to choose from */
		set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
		if (bind(fd, &from.sa, addr_len(&from)) < 0)
			goto fail;
	}
	io->counts[NET_TCP_CONNECTS]++;
	if (connect(fd, &path->remote.sa, addr_len(&path->remote)) < 0 && errno != EINPROGRESS && errno != EINTR)
		goto fail;
	if (getsockname(fd, &path->local.sa, &len) < 0)
		goto fail;
	path->listener = l->index;
	return conn_new(io, fd, path, false, l, ret);
fail:
	e = -errno;
	io->counts[NET_TCP_CONNECT_FAILED]++;
	close(fd);
	return e;
}

/* ---- in ---- */

static void conn_lost(struct conn *c, int err)
{
	if (err < 0)
		c->io->counts[NET_TCP_LOST]++;
	else
		c->closed_in_order = true;
	/* the end of the stream with messages unacknowledged: the peer closed before it read them */
	conn_drop(c, err < 0 ? err : -ECONNRESET);
}

/* bytes after the end: read, so that the peer's FIN is seen, and thrown away */
static void conn_discard(struct conn *c)
{
	ssize_t n;

	c->fetches = 1;
	n = c->link->read(c, c->io->stream_buf, STREAM_BUF);
	if (n == -EAGAIN || n == -EWOULDBLOCK)
		return;
	if (n > 0)
		c->drained += (size_t)n;
	if (n <= 0 || c->drained > DRAIN_MAX)
		conn_lost(c, n < 0 ? (int)n : 0);
}

static void conn_read(struct conn *c)
{
	/* to the end of what the link has read, so that nothing waits in it unseen */
	c->fetches = READS_PER_WAKE;
	while (c->state == CONN_UP) {
		size_t room;
		char *p = stream_room(c, &room);
		ssize_t n = p ? c->link->read(c, p, room) : -ENOMEM;

		if (n == -EAGAIN || n == -EWOULDBLOCK)
			break;
		if (n == 0 && tls_closed_by_peer(c)) {
			/* our close_notify answers; nothing new is sent on it (RFC 5923 8.3) */
			conn_finish(c);
			break;
		}
		if (n <= 0) {
			conn_lost(c, (int)n);
			return;
		}
		c->last_us = c->heard_us = c->io->env->clock->mono_us;
		stream_got(c, (size_t)n);
	}
	if (c->state != CONN_CLOSED) {
		conn_events(c, c->poll_events & ~(c->stall_us ? 0 : UV_WRITABLE));
		conn_timer(c);
	}
}

static int socket_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? -errno : -err;
}

/* The alert is out: nothing is sent any more, and the peer gets to read it. */
static void conn_refuse(struct conn *c, int err)
{
	if (!c->inbound)
		c->io->counts[NET_TCP_CONNECT_FAILED]++;
	if (!race_lost(c, &err))
		queue_failed(c, err);
	tell_lost(c, err);
	race_part(c);
	c->tx_at = c->tx_n = 0;
	c->link = &plain;
	shutdown(c->fd, SHUT_WR);
	conn_step(c, CONN_DRAINING);
	conn_events(c, UV_READABLE);
	conn_timer(c);
}

static void conn_up(struct conn *c)
{
	conn_step(c, CONN_UP);
	c->last_us = c->state_us;
	conn_write(c);
	if (c->state == CONN_UP && c->tls)
		conn_read(c); /* what came behind the handshake may have been read with it */
	if (c->state != CONN_CLOSED)
		conn_timer(c);
}

void conn_handshake(struct conn *c)
{
	int e;

	if (c->state != CONN_HANDSHAKE)
		return; /* it ended meanwhile */
	e = tls_handshake(c);
	if (e == -EAGAIN)
		conn_events(c, tls_wants_read(c) ? UV_READABLE : 0);
	else if (e)
		conn_refuse(c, e);
	else
		conn_up(c);
}

static void conn_connected(struct conn *c)
{
	socklen_t len = sizeof(c->path.local);
	int e = socket_error(c->fd);

	if (e) {
		c->io->counts[NET_TCP_CONNECT_FAILED]++;
		conn_drop(c, e);
		return;
	}
	(void)getsockname(c->fd, &c->path.local.sa, &len);
	if (!c->tls) {
		conn_up(c);
		return;
	}
	conn_step(c, CONN_HANDSHAKE);
	conn_timer(c);
	conn_handshake(c);
}

static void on_conn_ready(uv_poll_t *h, int status, int events)
{
	struct conn *c = container_of(h, struct conn, poll);
	struct loop *loop = c->io->loop;

	loop_enter(loop, "tcp");
	if (status < 0)
		events = UV_READABLE; /* an error: reading meets it, after what the peer said before it */
	if (c->state == CONN_CONNECTING) {
		conn_connected(c);
	} else if (c->state == CONN_HANDSHAKE) {
		conn_handshake(c);
		events = 0;
	} else if ((events & UV_WRITABLE) && c->state != CONN_CLOSED) {
		if (tls_wants_write(c))
			events |= UV_READABLE;
		conn_write(c);
	}
	if ((events & UV_READABLE) && c->state == CONN_UP)
		conn_read(c);
	else if ((events & UV_READABLE) && (c->state == CONN_FINISHING || c->state == CONN_DRAINING))
		conn_discard(c);
	if (status < 0 && c->state != CONN_CLOSED) {
		int e = socket_error(c->fd);

		conn_lost(c, e ? e : -ECONNRESET);
	}
	loop_leave(loop);
}
