/* tcp.c - listening and connected TCP sockets, TLS on some: accept, connect, table, deadlines, queue.
 *
 * Plain non-blocking sockets watched by uv_poll, not uv_tcp: so a connection is refused before it costs anything,
 * progress of a write is known to the byte, and a link that encrypts works on the same two calls.
 *
 *   connect() -> CONNECTING -> UP -> FINISHING -> DRAINING -> CLOSED
 *   accept() ------------------^        a drop leads from each state straight to CLOSED
 *
 * With TLS there is HANDSHAKE before UP; a handshake that fails goes to DRAINING, so that the alert is not destroyed
 * by a reset. Handshakes cost a thousand times what a message costs: only HANDSHAKES_PER_TURN steps of them are made
 * in a turn of the loop, the others wait in their sockets.
 *
 * What is sent is queued in the connection and written at the end of the turn, so messages of one turn share a
 * segment. A connection that ends in order writes its queue, sends its FIN and reads to the peer's FIN (or for
 * LINGER_MS), since closing with unread bytes would reset the connection and destroy our last answer on its way.
 *
 * Failure (RFC 3261 18.4): owners of messages that the peer's TCP has not acknowledged when the connection is lost
 * hear of it at once; what was acknowledged is left to its transaction's timers, for its answer may come by
 * another connection (18.2.2).
 *
 * A handle is (generation << 16 | slot + 1); slots are reused first in, first out, so a stale handle finds nothing.
 *
 * Without descriptors: one is kept in reserve, given up to accept the waiting connection and close it. So the peer
 * learns, and the level-triggered socket does not wake us for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sbc/net/internal.h"

#define BACKLOG 1024
#define ACCEPTS_PER_WAKE 64
#define READS_PER_WAKE 2
#define HANDSHAKES_PER_TURN 8
#define PAUSE_MS 200   /* no accepting after even the spare descriptor was gone */
#define LINGER_MS 2000 /* for the peer's FIN */
#define DRAIN_MAX ((size_t)16 << 20)
#define SENT_MIN 8
#define SENT_MAX 4096  /* messages queued at a time */
#define SENT_KEEP 64   /* acknowledged or not is asked when this many are remembered */
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

/* ---- sources ---- */

static uint64_t source_hash(const struct netio *io, const struct addr *a, struct str *ret_key)
{
	*ret_key = str_head(addr_ip_bytes(a), 8);
	return hash_str(&io->env->hash_key, *ret_key);
}

static struct source *source_find(const struct netio *io, uint64_t hash, struct str key)
{
	for (struct hnode *n = htab_first(&io->sources, hash); n; n = htab_next(n)) {
		struct source *s = container_of(n, struct source, node);

		if (str_eq(str_n((const char *)s->ip, s->len), key))
			return s;
	}
	return NULL;
}

/* NULL when out of memory */
static struct source *source_take(struct netio *io, const struct addr *a)
{
	struct str key;
	uint64_t hash = source_hash(io, a, &key);
	struct source *s = source_find(io, hash, key);

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		s->len = (uint8_t)key.n;
		memcpy(s->ip, key.p, key.n);
		htab_add(&io->sources, &s->node, hash);
	}
	s->n++;
	return s;
}

static void source_give(struct netio *io, struct source *s)
{
	if (!s || --s->n)
		return;
	htab_del(&io->sources, &s->node);
	free(s);
}

/* ---- table ---- */

static uint64_t remote_hash(const struct netio *io, const struct net_path *path, uint32_t peer)
{
	struct {
		uint8_t realm, proto;
		uint16_t port;
		uint32_t peer;
		uint8_t ip[16];
	} key;
	struct str ip = addr_ip_bytes(&path->remote);

	memset(&key, 0, sizeof(key));
	key.realm = path->realm;
	key.proto = path->proto;
	key.port = addr_port(&path->remote);
	key.peer = peer;
	memcpy(key.ip, ip.p, ip.n);
	return hash_bytes(&io->env->hash_key, &key, sizeof(key));
}

void table_add(struct conn *c)
{
	htab_add(&c->io->by_remote, &c->by_remote, remote_hash(c->io, &c->path, 0));
	htab_add(&c->io->by_peer, &c->by_peer, remote_hash(c->io, &c->path, c->path.peer));
	c->in_table = true;
}

void table_del(struct conn *c)
{
	if (c->in_table) {
		htab_del(&c->io->by_remote, &c->by_remote);
		htab_del(&c->io->by_peer, &c->by_peer);
	}
	c->in_table = false;
}

static struct conn *by_handle(const struct netio *io, uint32_t handle)
{
	uint32_t i = (handle & 0xffff) - 1;

	if (handle == 0 || i >= io->n_slots || !io->slot[i].conn || io->slot[i].gen != handle >> 16)
		return NULL;
	return io->slot[i].conn;
}

static bool leads_to(const struct conn *c, const struct net_path *path)
{
	return c->path.realm == path->realm && c->path.proto == path->proto && addr_eq(&c->path.remote, &path->remote);
}

/* What was made for this peer, or for nobody in particular (0). */
static struct conn *find_made_for(const struct netio *io, const struct net_path *path, uint32_t peer)
{
	for (struct hnode *n = htab_first(&io->by_peer, remote_hash(io, path, peer)); n; n = htab_next(n)) {
		struct conn *c = container_of(n, struct conn, by_peer);

		if (c->path.peer == peer && leads_to(c, path))
			return c;
	}
	return NULL;
}

/* A connection made for one peer is not used for another (RFC 5923 9.3). */
static struct conn *find_remote(const struct netio *io, const struct net_path *path)
{
	struct conn *c;

	if (path->peer) {
		c = find_made_for(io, path, path->peer);
		/* what an accepted TLS connection proved is for its alias to say */
		if (!c)
			c = path->proto == NET_TLS ? alias_find(io, path) : find_made_for(io, path, 0);
		return c;
	}
	for (struct hnode *n = htab_first(&io->by_remote, remote_hash(io, path, 0)); n; n = htab_next(n)) {
		c = container_of(n, struct conn, by_remote);
		if (leads_to(c, path))
			return c;
	}
	return NULL;
}

/* Gives c a slot and a handle. -ENOMEM; the caller has looked at max_conns. */
static int slot_take(struct netio *io, struct conn *c)
{
	uint32_t i;

	if (io->free_first) {
		i = io->free_first - 1;
		io->free_first = io->slot[i].next_free;
		if (!io->free_first)
			io->free_last = 0;
	} else {
		if (io->n_slots == io->cap_slots) {
			unsigned cap = io->cap_slots ? io->cap_slots * 2 : 64;
			struct conn_slot *s = realloc(io->slot, cap * sizeof(*s));

			if (!s)
				return -ENOMEM;
			io->slot = s;
			io->cap_slots = cap;
		}
		i = io->n_slots++;
		io->slot[i] = (struct conn_slot){.gen = 1};
	}
	io->slot[i].conn = c;
	io->slot[i].next_free = 0;
	c->path.conn = (uint32_t)io->slot[i].gen << 16 | (i + 1);
	io->n_conns++;
	io->counts[NET_TCP_OPEN] = io->n_conns;
	return 0;
}

static void slot_give(struct conn *c)
{
	struct netio *io = c->io;
	uint32_t i = (c->path.conn & 0xffff) - 1;

	io->slot[i].conn = NULL;
	io->slot[i].gen++;
	if (io->free_last)
		io->slot[io->free_last - 1].next_free = i + 1;
	else
		io->free_first = i + 1;
	io->free_last = i + 1;
	io->n_conns--;
	io->counts[NET_TCP_OPEN] = io->n_conns;
}

/* ---- deadlines ---- */

enum deadline { DL_NONE, DL_CONNECT, DL_RACE, DL_HANDSHAKE, DL_LINGER, DL_FIRST, DL_MESSAGE, DL_STALL, DL_IDLE, DL_PING };

static void nearer(int64_t due_us, enum deadline what, int64_t *due, enum deadline *ret)
{
	if (due_us < *due) {
		*due = due_us;
		*ret = what;
	}
}

static int64_t after(int64_t since_us, int ms)
{
	return since_us + (int64_t)ms * 1000;
}

static int64_t next_deadline(const struct conn *c, enum deadline *ret)
{
	const struct netio_cfg *cfg = &c->io->cfg;
	int64_t due = INT64_MAX;

	*ret = DL_NONE;
	switch (c->state) {
	case CONN_CONNECTING:
		nearer(after(c->opened_us, cfg->connect_ms), DL_CONNECT, &due, ret);
		nearer(race_due_us(c), DL_RACE, &due, ret);
		break;
	case CONN_HANDSHAKE:
		nearer(after(c->state_us, cfg->handshake_ms), DL_HANDSHAKE, &due, ret);
		nearer(race_due_us(c), DL_RACE, &due, ret);
		break;
	case CONN_UP:
		if (c->inbound && !c->had_message)
			nearer(after(c->opened_us, cfg->first_message_ms), DL_FIRST, &due, ret);
		if (c->partial_us)
			nearer(after(c->partial_us, cfg->message_ms), DL_MESSAGE, &due, ret);
		nearer(after(c->last_us, cfg->idle_ms), DL_IDLE, &due, ret);
		nearer(ping_due_us(c), DL_PING, &due, ret);
		/* fall through */
	case CONN_FINISHING:
		if (c->stall_us)
			nearer(after(c->stall_us, cfg->stall_ms), DL_STALL, &due, ret);
		break;
	case CONN_DRAINING:
		nearer(after(c->state_us, LINGER_MS), DL_LINGER, &due, ret);
		break;
	case CONN_CLOSED:
		break;
	}
	return due;
}

static void on_deadline(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);
	uint64_t *counts = c->io->counts;
	enum deadline what;

	if (next_deadline(c, &what) > c->io->env->clock->mono_us) {
		conn_timer(c);
		return;
	}
	switch (what) {
	case DL_CONNECT:
		counts[NET_TCP_CONNECT_FAILED]++;
		conn_drop(c, -ETIMEDOUT);
		break;
	case DL_RACE:
		race_start(c);
		conn_timer(c);
		break;
	case DL_HANDSHAKE:
		counts[NET_TLS_SLOW]++;
		tls_too_slow(c);
		conn_drop(c, -NET_ERR_TLS_HANDSHAKE);
		break;
	case DL_FIRST:
		counts[NET_TCP_SLOW_FIRST]++;
		conn_drop(c, -ETIMEDOUT);
		break;
	case DL_MESSAGE:
		counts[NET_TCP_SLOW_MESSAGE]++;
		conn_drop(c, -ETIMEDOUT);
		break;
	case DL_STALL:
		counts[NET_TCP_STALLED]++;
		conn_drop(c, -ETIMEDOUT);
		break;
	case DL_PING:
		ping_due(c);
		break;
	case DL_IDLE:
		counts[NET_TCP_IDLE]++;
		conn_finish(c);
		break;
	case DL_LINGER:
		conn_drop(c, 0);
		break;
	case DL_NONE:
		break;
	}
}

/* The timer runs to the nearest deadline there was when it was set: a deadline that moves away is noticed when it
 * fires, so a message costs no timer. */
void conn_timer(struct conn *c)
{
	enum deadline what;
	int64_t due = next_deadline(c, &what);

	if (due == INT64_MAX || (timer_running(&c->timer) && c->timer.due_us <= due))
		return;
	timer_start_us(c->io->env->timers, &c->timer, due - c->io->env->clock->mono_us, on_deadline);
}

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

/* bytes that the socket was given */
static uint64_t wire(const struct conn *c)
{
	return c->tls ? tls_wire(c) : c->queued_total - (c->tx_n - c->tx_at);
}

/* those of them which the peer's TCP has acknowledged */
static uint64_t acknowledged(const struct conn *c)
{
	uint64_t given = wire(c);
	int unacked = 0;

	if (c->state == CONN_CONNECTING)
		return 0;
	if (ioctl(c->fd, SIOCOUTQ, &unacked) < 0 || unacked < 0 || (uint64_t)unacked > given)
		return given;
	return given - (uint64_t)unacked;
}

static struct conn_sent *sent_at(const struct conn *c, unsigned i)
{
	return &c->sent[(c->sent_head + i) & (c->sent_cap - 1)];
}

/* After a write: what has wholly been given to the socket, and up to where there. */
static void sent_mark(struct conn *c)
{
	uint64_t written = c->queued_total - (c->tx_n - c->tx_at);

	while (c->sent_marked < c->sent_n && sent_at(c, c->sent_marked)->end <= written)
		sent_at(c, c->sent_marked++)->wire = wire(c);
}

static void sent_forget(struct conn *c, uint64_t acked)
{
	while (c->sent_marked && sent_at(c, 0)->wire <= acked) {
		c->sent_head = (c->sent_head + 1) & (c->sent_cap - 1);
		c->sent_n--;
		c->sent_marked--;
	}
}

static void report_unsent(struct conn *c, int err)
{
	sent_forget(c, acknowledged(c));
	for (unsigned i = 0; i < c->sent_n; i++)
		netio_fail_later(c->io, &c->path, sent_at(c, i)->owner, err, NULL, 0);
	c->sent_n = c->sent_marked = 0;
}

void conn_drop(struct conn *c, int err)
{
	struct netio *io = c->io;
	struct conn *other;

	if (c->state == CONN_CLOSED)
		return;
	if (err && !io->closing && (err == -ECANCELED || !race_lost(c, &err)))
		report_unsent(c, err);
	if (c->keep_ms && !io->closing)
		netio_flow_lost_later(io, &c->path, err ? err : -ECONNRESET);
	other = c->rival;
	race_part(c);
	if (c->state == CONN_UP || c->state == CONN_FINISHING)
		tls_farewell(c);
	conn_step(c, CONN_CLOSED);
	timer_stop(io->env->timers, &c->timer);
	loop_hook_cancel(&c->flush);
	source_give(io, c->source);
	c->source = NULL;
	slot_give(c);
	uv_close((uv_handle_t *)&c->poll, on_conn_closed);
	close(c->fd);
	c->fd = -1;
	if (other)
		conn_drop(other, 0);
}

static void on_flush(struct loop_hook *h);

/* A connection around fd, which is closed on failure. */
static int conn_new(struct netio *io, int fd, const struct net_path *path, bool inbound, const struct listener *l,
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
		e = slot_take(io, c);
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

static void tune(int fd, const struct netio_cfg *cfg)
{
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S / 4);
	/* unacknowledged for so long: the peer is gone */
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, cfg->stall_ms < USER_TIMEOUT_MS ? cfg->stall_ms : USER_TIMEOUT_MS);
}

/* ---- out ---- */

/* An empty queue costs nothing: most connections of a trunk are quiet most of the time. */
static void tx_shrink(struct conn *c)
{
	free(c->tx);
	c->tx = NULL;
	c->tx_at = c->tx_n = c->tx_cap = 0;
}

static int tx_room(struct conn *c, size_t len)
{
	size_t queued = c->tx_n - c->tx_at, cap = c->tx_cap ? c->tx_cap : 1024;
	char *p;

	if (c->tx_cap - c->tx_n >= len)
		return 0;
	if (c->tx_at && c->tx_cap - queued >= len && queued <= c->tx_cap / 2) {
		memmove(c->tx, c->tx + c->tx_at, queued);
	} else {
		while (cap < queued + len)
			cap *= 2;
		p = malloc(cap);
		if (!p)
			return -ENOMEM;
		if (queued)
			memcpy(p, c->tx + c->tx_at, queued);
		free(c->tx);
		c->tx = p;
		c->tx_cap = cap;
	}
	c->tx_at = 0;
	c->tx_n = queued;
	return 0;
}

/* Room to remember one more owner. */
static int sent_room(struct conn *c)
{
	unsigned cap = c->sent_cap ? c->sent_cap * 2 : SENT_MIN;
	struct conn_sent *s;

	if (c->sent_n < c->sent_cap)
		return 0;
	if (c->sent_cap >= SENT_KEEP) {
		sent_forget(c, acknowledged(c));
		if (c->sent_n <= c->sent_cap / 2)
			return 0;
	}
	if (cap > SENT_MAX)
		return c->sent_n < c->sent_cap ? 0 : -ENOBUFS;
	s = malloc(cap * sizeof(*s));
	if (!s)
		return -ENOMEM;
	for (unsigned i = 0; i < c->sent_n; i++)
		s[i] = *sent_at(c, i);
	free(c->sent);
	c->sent = s;
	c->sent_cap = cap;
	c->sent_head = 0;
	return 0;
}

int conn_put(struct conn *c, const void *p, size_t len, uint64_t owner)
{
	int e;

	if (c->tx_n - c->tx_at + len > c->io->cfg.conn_queue_bytes) {
		c->io->counts[NET_TCP_QUEUE_FULL]++;
		return -ENOBUFS;
	}
	e = tx_room(c, len);
	if (!e && owner)
		e = sent_room(c);
	if (e)
		return e;
	memcpy(c->tx + c->tx_n, p, len);
	c->tx_n += len;
	c->queued_total += len;
	if (owner) {
		*sent_at(c, c->sent_n) = (struct conn_sent){owner, c->queued_total, 0};
		c->sent_n++;
	}
	if (c->state >= CONN_UP && !c->stall_us)
		loop_at_turn_end(c->io->loop, &c->flush);
	return 0;
}

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
		sent_mark(c);
		c->last_us = c->io->env->clock->mono_us;
		if (c->stall_us)
			c->stall_us = c->last_us;
	}
	if (c->state == CONN_FINISHING && c->link->finish(c) == -EAGAIN) {
		conn_stalled(c);
		return;
	}
	c->stall_us = 0;
	tx_shrink(c);
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
	tune(fd, &io->cfg);
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

/* What was used. Behind an accepted connection stands the port of a client: where its owner can be reached when it
 * is gone is what path said before (RFC 3261 18.2.2). */
static void path_fill(struct net_path *path, const struct conn *c)
{
	struct net_path used = c->path;

	if (c->inbound && !addr_none(&path->remote))
		used.remote = path->remote;
	if (path->peer)
		used.peer = path->peer;
	*path = used;
}

int tcp_send(struct netio *io, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct conn *c = by_handle(io, path->conn);
	int e;

	/* a finishing connection takes the last answer, but only of who holds its handle */
	if (!c || c->state > CONN_FINISHING) {
		c = addr_none(&path->remote) ? NULL : find_remote(io, path);
		if (c && c->inbound && c->tls && path->peer)
			io->counts[NET_ALIAS_USED]++;
	}
	if (!c) {
		if (len > io->cfg.conn_queue_bytes)
			return -ENOBUFS;
		e = conn_open(io, path, &c);
		if (e)
			return e;
	}
	e = conn_put(c, p, len, owner);
	if (e)
		return e;
	c->tx_msgs++;
	io->counts[NET_TCP_TX]++;
	path_fill(path, c);
	return 0;
}

int tcp_prepare(struct netio *io, struct net_path *path, const struct addr *alt)
{
	struct net_path other = *path;
	struct conn *c = find_remote(io, path);
	int e;

	if (alt && !addr_none(alt)) {
		other.remote = *alt;
		other.local = (struct addr){.sa.sa_family = AF_UNSPEC};
		if (!c && (c = find_remote(io, &other)))
			alt = &path->remote;
	} else {
		alt = NULL;
	}
	if (!c) {
		e = conn_open(io, path, &c);
		if (e && alt) {
			*path = other;
			e = conn_open(io, path, &c);
			alt = NULL;
		}
		if (e)
			return e;
	}
	if (alt)
		(void)race_add(c, alt); /* without memory there is one attempt */
	path_fill(path, c);
	return c->state == CONN_UP;
}

int tcp_keep(struct netio *io, const struct net_path *path, uint32_t interval_ms)
{
	struct conn *c = by_handle(io, path->conn);

	if (!c)
		c = find_remote(io, path);
	if (!c || c->state > CONN_UP)
		return -ENOTCONN;
	c->keep_ms = interval_ms;
	ping_set(c);
	return 0;
}

void tcp_close_path(struct netio *io, const struct net_path *path, bool now)
{
	struct conn *c = by_handle(io, path->conn);

	if (!c && path->conn == 0 && !addr_none(&path->remote))
		c = find_remote(io, path);
	if (!c)
		return;
	if (now)
		conn_drop(c, -ECANCELED);
	else
		conn_finish(c);
}

/* ---- in ---- */

static void conn_lost(struct conn *c, int err)
{
	if (err < 0)
		c->io->counts[NET_TCP_LOST]++;
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
		report_unsent(c, err);
	race_part(c);
	c->tx_at = c->tx_n = 0;
	c->link = &plain;
	shutdown(c->fd, SHUT_WR);
	conn_step(c, CONN_DRAINING);
	conn_events(c, UV_READABLE);
	conn_timer(c);
}

static bool handshake_allowed(struct netio *io)
{
	if (io->tls_turn != io->loop->counts[LOOP_TURNS]) {
		io->tls_turn = io->loop->counts[LOOP_TURNS];
		io->tls_left = HANDSHAKES_PER_TURN;
	}
	if (!io->tls_left)
		return false;
	io->tls_left--;
	return true;
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

static void conn_handshake(struct conn *c)
{
	int e;

	if (!handshake_allowed(c->io))
		return; /* it is still readable on the next turn */
	e = tls_handshake(c);
	if (e == -EAGAIN)
		conn_events(c, UV_READABLE);
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
	conn_events(c, UV_WRITABLE);
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

/* ---- accept ---- */

/* no FIN, no TIME_WAIT: nothing stays of it */
static void refuse(int fd)
{
	struct linger rst = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
}

static void accepted(struct listener *l, int fd, const struct addr *remote)
{
	struct netio *io = l->io;
	struct net_path path = {.proto = l->proto, .realm = l->realm, .listener = l->index, .remote = *remote};
	socklen_t len = sizeof(path.local);
	struct source *s;
	struct conn *c;
	struct str key;
	uint64_t hash = source_hash(io, remote, &key);

	if (getsockname(fd, &path.local.sa, &len) < 0 || !io->user->admit(io->ctx, &path)) {
		io->counts[NET_TCP_REFUSED]++;
		refuse(fd);
		return;
	}
	s = source_find(io, hash, key);
	if (io->n_conns >= io->cfg.max_conns || (s && s->n >= io->cfg.max_conns_source)) {
		bool source = io->n_conns < io->cfg.max_conns;
		char at[ADDR_TEXT_MAX];
		unsigned unsaid;

		io->counts[source ? NET_TCP_OVER_SOURCE_CAP : NET_TCP_OVER_CAP]++;
		if (log_gate_open(io, &io->refused_gate, &unsaid))
			log_warn(&io->log, "conn_refused", "peer=%s cap=%s unsaid=%u", addr_text(remote, at),
			    source ? "source" : "all", unsaid);
		refuse(fd);
		return;
	}
	tune(fd, &io->cfg);
	s = source_take(io, remote);
	if (!s) {
		refuse(fd);
		return;
	}
	if (conn_new(io, fd, &path, true, l, &c) < 0) {
		source_give(io, s);
		return;
	}
	c->source = s;
	io->counts[NET_TCP_ACCEPTED]++;
}

static void on_listener_ready(uv_poll_t *h, int status, int events);

static void on_resume(struct timer *t)
{
	struct listener *l = container_of(t, struct listener, resume);

	uv_poll_start(&l->poll, UV_READABLE, on_listener_ready);
}

static void pause_accepting(struct listener *l)
{
	uv_poll_stop(&l->poll);
	timer_start_ms(l->io->env->timers, &l->resume, PAUSE_MS, on_resume);
}

/* No descriptor for those who wait: with the spare one they are taken and sent away. False: nor is there that one.
 * (The kernel says EMFILE before it looks whether anybody waits, so EMFILE alone says nothing.) */
static bool send_away(struct listener *l)
{
	struct netio *io = l->io;
	bool waiting;
	int fd = -1;

	if (io->spare_fd < 0)
		io->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (io->spare_fd < 0) {
		netio_no_descriptors(io, "accept");
		return false;
	}
	close(io->spare_fd);
	for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		netio_no_descriptors(io, "accept");
		refuse(fd);
	}
	waiting = fd < 0 && errno != EAGAIN;
	io->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return !waiting;
}

static void on_listener_ready(uv_poll_t *h, int status, int events)
{
	struct listener *l = container_of(h, struct listener, poll);
	struct loop *loop = l->io->loop;

	(void)events;
	loop_enter(loop, "accept");
	if (status < 0) /* libuv stops watching a socket in error */
		pause_accepting(l);
	for (int i = 0; status == 0 && i < ACCEPTS_PER_WAKE && !l->closed; i++) {
		struct addr remote = {.sa.sa_family = AF_UNSPEC};
		socklen_t len = sizeof(remote);
		int fd = accept4(l->fd, &remote.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accepted(l, fd, &remote);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		if (errno == EMFILE || errno == ENFILE) {
			if (!send_away(l))
				pause_accepting(l);
			break;
		}
		if (errno == ENOMEM || errno == ENOBUFS) {
			pause_accepting(l);
			break;
		}
		/* the peer went away while it waited: next */
	}
	loop_leave(loop);
}

int tcp_listen(struct listener *l)
{
	socklen_t len = sizeof(l->bound);
	int on = 1, e = 0;

	l->fd = socket(l->asked.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	if (addr_is6(&l->asked) && setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		e = -errno;
	/* connections of an earlier run may still be in TIME_WAIT */
	if (!e && setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		e = -errno;
	if (!e && (bind(l->fd, &l->asked.sa, addr_len(&l->asked)) < 0 || listen(l->fd, BACKLOG) < 0 ||
	              getsockname(l->fd, &l->bound.sa, &len) < 0))
		e = -errno;
	if (!e)
		e = uv_poll_init(&l->io->loop->uv, &l->poll, l->fd);
	if (e) {
		close(l->fd);
		l->fd = -1;
		return e;
	}
	netio_handle_opened(l->io);
	uv_poll_start(&l->poll, UV_READABLE, on_listener_ready);
	return 0;
}

static void on_listener_closed(uv_handle_t *h)
{
	struct listener *l = container_of(h, struct listener, poll);
	struct netio *io = l->io;

	netio_listener_free(l);
	netio_handle_closed(io);
}

void tcp_listener_close(struct listener *l)
{
	l->closed = true;
	timer_stop(l->io->env->timers, &l->resume);
	uv_close((uv_handle_t *)&l->poll, on_listener_closed);
	close(l->fd);
	l->fd = -1;
}

/* ---- all of them ---- */

void tcp_close_all(struct netio *io)
{
	for (unsigned i = 0; i < io->n_slots; i++)
		if (io->slot[i].conn)
			conn_drop(io->slot[i].conn, 0);
}

void tcp_move_realm(struct netio *io, uint16_t listener, uint8_t realm)
{
	for (unsigned i = 0; i < io->n_slots; i++) {
		struct conn *c = io->slot[i].conn;

		if (!c || c->path.listener != listener || c->path.realm == realm)
			continue;
		alias_end(c); /* the peer says it again with its next request */
		if (c->in_table) {
			table_del(c);
			c->path.realm = realm;
			table_add(c);
		} else {
			c->path.realm = realm;
		}
	}
}

struct conn *tcp_conn(const struct netio *io, const struct net_path *path)
{
	return by_handle(io, path->conn);
}

void tcp_limits_changed(struct netio *io)
{
	for (unsigned i = 0; i < io->n_slots; i++)
		if (io->slot[i].conn)
			conn_timer(io->slot[i].conn);
}

void tcp_peer_changed(struct netio *io, uint32_t peer, bool usable)
{
	for (unsigned i = 0; i < io->n_slots; i++) {
		struct conn *c = io->slot[i].conn;

		if (!c || c->path.peer != peer)
			continue;
		if (!usable)
			table_del(c);
		ping_set(c);
	}
}
