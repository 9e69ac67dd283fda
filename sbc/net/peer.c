/* peer.c - whom connections are for: the table behind netio_peer_set().
 *
 * A peer is a copy of what the target said: names to prove, certificate to show, how often to ping. Its id has a
 * generation, so the id of a peer that is gone finds nothing. Connections carry the id and look the peer up when
 * they need it; one whose peer is gone or has become another finishes what it has, but nothing new is put on it. Its
 * TLS session goes with what it proved.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "sbc/net/internal.h"
#include "sbc/net/tls_internal.h"

#define INDEX_BITS 20
#define INDEX_MASK ((1u << INDEX_BITS) - 1)

static size_t text_size(const struct net_peer *cfg)
{
	size_t n = cfg->name.n + cfg->certificate.n;

	for (unsigned i = 0; i < cfg->n_names; i++)
		n += cfg->names[i].n;
	return n;
}

static struct str put(char **at, struct str s)
{
	struct str r = str_n(*at, s.n);

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return r;
}

static size_t behind_size(const struct net_peer *cfg)
{
	return cfg->n_names * sizeof(struct str) + text_size(cfg) + 1;
}

/* names and text go to behind, behind_size() bytes */
static void fill(struct net_peer *to, const struct net_peer *cfg, void *behind)
{
	struct str *names = behind;
	char *at = (char *)(names + cfg->n_names);

	*to = *cfg;
	to->name = put(&at, cfg->name);
	to->certificate = put(&at, cfg->certificate);
	for (unsigned i = 0; i < cfg->n_names; i++)
		names[i] = put(&at, cfg->names[i]);
	to->names = names;
}

/* one allocation: the struct, the names, the text behind them */
static struct peer *peer_new(const struct net_peer *cfg)
{
	struct peer *p = calloc(1, sizeof(*p) + behind_size(cfg));

	if (p)
		fill(&p->cfg, cfg, p + 1);
	return p;
}

struct net_peer *peer_copy(const struct net_peer *cfg)
{
	struct net_peer *p = malloc(sizeof(*p) + behind_size(cfg));

	if (p)
		fill(p, cfg, p + 1);
	return p;
}

static void peer_free(struct peer *p)
{
	if (!p)
		return;
	SSL_SESSION_free(p->session);
	free(p->error);
	free(p);
}

/* Would a connection made for a do for b? */
static bool same_proof(const struct net_peer *a, const struct net_peer *b)
{
	if (!str_ieq(a->name, b->name) || !str_eq(a->certificate, b->certificate) || a->verify != b->verify ||
	    a->legacy_ciphers != b->legacy_ciphers || a->n_names != b->n_names)
		return false;
	for (unsigned i = 0; i < a->n_names; i++)
		if (!str_ieq(a->names[i], b->names[i]))
			return false;
	return true;
}

struct peer *peer_find(const struct netio *io, uint32_t id)
{
	uint32_t i = (id & INDEX_MASK) - 1;

	if (id == 0 || i >= io->n_peers || !io->peer[i].peer || io->peer[i].gen != id >> INDEX_BITS)
		return NULL;
	return io->peer[i].peer;
}

static int slot_take(struct netio *io, uint32_t *ret)
{
	if (io->free_peer) {
		*ret = io->free_peer - 1;
		io->free_peer = io->peer[*ret].next_free;
		return 0;
	}
	if (io->n_peers == io->cap_peers) {
		unsigned cap = io->cap_peers ? io->cap_peers * 2 : 64;
		struct peer_slot *s = cap > INDEX_MASK ? NULL : realloc(io->peer, cap * sizeof(*s));

		if (!s)
			return -ENOMEM;
		io->peer = s;
		io->cap_peers = cap;
	}
	*ret = io->n_peers++;
	io->peer[*ret] = (struct peer_slot){.gen = 1};
	return 0;
}

int peer_set(struct netio *io, uint32_t *id, const struct net_peer *cfg)
{
	struct peer *old = peer_find(io, *id), *now = peer_new(cfg);
	uint32_t i;
	bool same;
	int e;

	if (!now)
		return -ENOMEM;
	if (!str_empty(cfg->certificate) && !tls_store_find(io->tls, cfg->certificate)) {
		peer_free(now);
		return -ENOENT;
	}
	if (!old) {
		e = slot_take(io, &i);
		if (e) {
			peer_free(now);
			return e;
		}
		io->peer[i].peer = now;
		*id = io->peer[i].gen << INDEX_BITS | (i + 1);
		return 0;
	}
	same = same_proof(&old->cfg, &now->cfg);
	now->pongs = same && old->pongs;
	if (same) {
		now->session = old->session;
		now->error = old->error;
		now->error_us = old->error_us;
		old->session = NULL;
		old->error = NULL;
	}
	io->peer[(*id & INDEX_MASK) - 1].peer = now;
	peer_free(old);
	tcp_peer_changed(io, *id, same);
	return 0;
}

void peer_del(struct netio *io, uint32_t id)
{
	struct peer *p = peer_find(io, id);
	uint32_t i = (id & INDEX_MASK) - 1;

	if (!p)
		return;
	io->peer[i].peer = NULL;
	io->peer[i].gen = (io->peer[i].gen + 1) & (UINT32_MAX >> INDEX_BITS);
	io->peer[i].next_free = io->free_peer;
	io->free_peer = i + 1;
	peer_free(p);
	tcp_peer_changed(io, id, false);
}

void peers_free(struct netio *io)
{
	for (unsigned i = 0; i < io->n_peers; i++)
		peer_free(io->peer[i].peer);
	free(io->peer);
}

/* ---- what TLS remembers of it ---- */

void peer_keep_session(struct netio *io, uint32_t id, SSL_SESSION *session)
{
	struct peer *p = peer_find(io, id);

	if (!p) {
		SSL_SESSION_free(session);
		return;
	}
	SSL_SESSION_free(p->session);
	p->session = session;
}

void peer_forget_sessions(struct netio *io)
{
	for (unsigned i = 0; i < io->n_peers; i++) {
		struct peer *p = io->peer[i].peer;

		if (!p)
			continue;
		SSL_SESSION_free(p->session);
		p->session = NULL;
	}
}

void peer_failed(struct netio *io, uint32_t id, const char *text)
{
	struct peer *p = peer_find(io, id);

	if (!p)
		return;
	free(p->error);
	p->error = str_strdup(str_z(text));
	p->error_us = io->env->clock->wall_us;
}

const char *netio_peer_error(const struct netio *io, uint32_t peer, int64_t *ret_wall_us)
{
	const struct peer *p = peer_find(io, peer);

	if (!p || !p->error)
		return NULL;
	*ret_wall_us = p->error_us;
	return p->error;
}

bool peer_certs_exist(const struct netio *io, const struct tls_store *store)
{
	for (unsigned i = 0; i < io->n_peers; i++) {
		const struct peer *p = io->peer[i].peer;

		if (p && !str_empty(p->cfg.certificate) && !tls_store_find(store, p->cfg.certificate))
			return false;
	}
	return true;
}
