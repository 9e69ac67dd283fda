/* alias.c - connections that their client lets us use for requests of our own (RFC 5923).
 *
 *   request over TLS with Via;alias, from a trunk -> net_alias() -> row: its address, the port of sent-by, the connection
 *   request of ours to that address and port, for a peer -> the row's connection, if it proved to be that peer
 *
 * A row counts only for a client that showed a certificate leading to a root of ours (9.2): without, it is as if alias
 * had not been said. It is used when one of the names in that certificate is one the peer may carry, whole and
 * without wildcards (RFC 5922), and when the certificate of ours that the client asked for by name is the one we
 * would show that peer: so connections of two of our domains are not mixed (9.3). Who the other end is and what it
 * asked for is kept with the connection; the row goes when the connection takes nothing new any more.
 */
#include <errno.h>
#include <stdlib.h>

#include "sbc/net/internal.h"
#include "sbc/net/tls_internal.h"

#define ALIASES_PER_CONN 4

struct alias {
	struct hnode node;
	struct conn *conn;   /* borrow: owns this */
	struct alias *next;  /* of the same connection */
	struct addr at;      /* address as received, port of sent-by */
};

static uint64_t alias_hash(const struct netio *io, uint8_t realm, uint8_t proto, const struct addr *at)
{
	struct {
		uint8_t realm, proto;
		uint16_t port;
		uint8_t ip[16];
	} key;
	struct str ip = addr_ip_bytes(at);

	memset(&key, 0, sizeof(key));
	key.realm = realm;
	key.proto = proto;
	key.port = addr_port(at);
	memcpy(key.ip, ip.p, ip.n);
	return hash_bytes(&io->env->hash_key, &key, sizeof(key));
}

int alias_add(struct netio *io, const struct net_path *path, uint16_t sent_by_port)
{
	struct conn *c = tcp_conn(io, path);
	const struct net_identity *who = c ? tls_identity(c) : NULL;
	struct alias *a;
	unsigned n = 0;

	if (!c || !c->in_table || !who || !who->verified || !who->n_names) {
		io->counts[NET_ALIAS_REFUSED]++;
		return -EPERM;
	}
	if (!c->inbound) /* it is found by its own address */
		return 0;
	for (a = c->aliases; a; a = a->next, n++)
		if (addr_port(&a->at) == sent_by_port)
			return 0;
	a = n < ALIASES_PER_CONN ? calloc(1, sizeof(*a)) : NULL;
	if (!a) {
		io->counts[NET_ALIAS_REFUSED]++;
		return n < ALIASES_PER_CONN ? -ENOMEM : -ENOBUFS;
	}
	a->conn = c;
	a->at = c->path.remote;
	addr_set_port(&a->at, sent_by_port);
	a->next = c->aliases;
	c->aliases = a;
	htab_add(&io->aliases, &a->node, alias_hash(io, c->path.realm, c->path.proto, &a->at));
	io->counts[NET_ALIASES] = io->aliases.n;
	return 0;
}

void alias_end(struct conn *c)
{
	struct alias *a;

	while ((a = c->aliases)) {
		c->aliases = a->next;
		htab_del(&c->io->aliases, &a->node);
		free(a);
	}
	c->io->counts[NET_ALIASES] = c->io->aliases.n;
}

/* Has the other end proved to be this peer? */
static bool proved(const struct net_identity *who, const struct net_peer *peer)
{
	if (!str_empty(peer->name) && certname_match(who->names, who->n_names, peer->name, false))
		return true;
	for (unsigned i = 0; i < peer->n_names; i++)
		if (certname_match(who->names, who->n_names, peer->names[i], false))
			return true;
	return false;
}

/* Would we speak to this peer as who we are on that connection? */
static bool same_local(const struct netio *io, const struct net_path *path, const struct net_identity *who,
    const struct net_peer *peer)
{
	const struct listener *l = netio_listener(io, path);
	struct str name = !str_empty(peer->certificate) ? peer->certificate : str_z(l ? l->cert : NULL);
	const struct tls_cert *cert = tls_store_find(io->tls, name);

	return cert && !str_empty(who->local) && certname_match(cert->id.names, cert->id.n, who->local, false);
}

struct conn *alias_find(const struct netio *io, const struct net_path *path)
{
	const struct peer *p = peer_find(io, path->peer);
	struct conn *best = NULL;

	if (!p || !io->aliases.n)
		return NULL;
	for (struct hnode *n = htab_first(&io->aliases, alias_hash(io, path->realm, path->proto, &path->remote)); n;
	     n = htab_next(n)) {
		const struct alias *a = container_of(n, struct alias, node);
		struct conn *c = a->conn;
		const struct net_identity *who = tls_identity(c);

		if (c->path.realm != path->realm || c->path.proto != path->proto || !addr_eq(&a->at, &path->remote) ||
		    !who || !proved(who, &p->cfg) || !same_local(io, path, who, &p->cfg))
			continue;
		/* after a break that we have not seen yet the peer has a new one */
		if (!best || c->opened_us >= best->opened_us)
			best = c;
	}
	return best;
}

bool netio_alias_next(const struct netio *io, uint32_t *at, struct netio_alias_info *ret)
{
	for (uint32_t i = *at >> 3; i < io->n_slots; i++, *at = i << 3) {
		const struct conn *c = io->slot[i].conn;
		const struct alias *a = c ? c->aliases : NULL;

		for (uint32_t k = *at & 7; a && k; k--)
			a = a->next;
		if (!a)
			continue;
		*ret = (struct netio_alias_info){.proto = c->path.proto, .realm = c->path.realm, .at = a->at,
		    .who = tls_identity(c), .conn = c->path.conn};
		++*at;
		return true;
	}
	return false;
}
