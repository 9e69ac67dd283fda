/* tcp.c - connections by where they lead: the table, handles, and what the operations of struct net do with them.
 *
 * A message goes to the connection its path names, to one that leads to the same place for the same peer, or to a new
 * one (conn.c). Connections are accepted in accept.c.
 *
 * A handle is (generation << 16 | slot + 1); slots are reused first in, first out, so a stale handle finds nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/net/internal.h"

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
int conn_slot_take(struct netio *io, struct conn *c)
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

void conn_slot_give(struct conn *c)
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

/* ---- operations ---- */

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
	c->awaited = c->awaited || c->state != CONN_UP;
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
	for (unsigned i = 0; i < io->n_listeners; i++)
		if (io->listener[i] && io->listener[i]->proto != NET_UDP)
			conn_tune(io->listener[i]->fd, &io->cfg); /* what it accepts inherits it: five system calls less for each */
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
