/* tls_world.h - a netio with a TLS listener, clients that connect to it and a server that it connects to. */
#ifndef TEST_NET_TLS_WORLD_H
#define TEST_NET_TLS_WORLD_H

#include "ca.h"

#include "sbc/net/tls_internal.h"

/* A world with one TLS listener in realm 0: pair "a" (edge.example) and "b" (other.example), root trusted. */
struct tls_world {
	struct world w;
	struct dir dir;
	struct pair root, a, b;
	struct tls_store *store;
	struct addr us;
};

static inline void t_init_as(struct tls_world *t, uint8_t client_cert, bool legacy, const struct store_spec *more)
{
	struct store_spec spec = {.names = {"a", "b"}};
	struct tls_error err;
	char path[128];

	memset(t, 0, sizeof(*t));
	dir_init(&t->dir);
	t->root = make_ca("root");
	t->a = make_dns(&t->root, "edge.example");
	t->b = make_dns(&t->root, "other.example");
	put_certs(dir_file(&t->dir, "root.pem", path), &t->root.x, 1);
	put_pair(&t->dir, "a", &t->a, NULL);
	put_pair(&t->dir, "b", &t->b, NULL);
	if (more) {
		spec.crl = more->crl;
		spec.ocsp = more->ocsp;
	}
	t->store = load(&t->dir, &spec, &err);
	if (!t->store)
		fail_msg("%s", err.text);
	w_init_bare(&t->w);
	t->w.lines[0] = (struct net_listener_cfg){
	    .proto = NET_TLS, .bound = at("127.0.0.1:0"), .cert = S("a"), .client_cert = client_cert, .legacy_ciphers = legacy};
	t->w.cfg.n_listeners = 1;
	t->w.cfg.tls = t->store;
	w_open(&t->w);
	t->us = w_listener(&t->w, NET_TLS, 0);
}

static inline void t_init(struct tls_world *t, uint8_t client_cert)
{
	t_init_as(t, client_cert, false, NULL);
}

static inline void t_fini(struct tls_world *t)
{
	w_fini(&t->w);
	tls_store_unref(t->store);
	pair_free(&t->root);
	pair_free(&t->a);
	pair_free(&t->b);
	dir_fini(&t->dir);
}

static inline uint64_t count(const struct tls_world *t, enum net_count c)
{
	return netio_count(t->w.io, c);
}

static inline void echo(struct world *w, const struct net_path *from, char *p, size_t n, enum reason bad)
{
	struct net_path to = *from;

	(void)bad;
	assert_int_equal(net_send(w->net, &to, p, n, 0), 0);
}

/* a client of ours with this certificate; handshake's result */
static inline int connect_as(struct tls_world *t, struct tpeer *p, const struct pair *pair)
{
	if (!p->ctx)
		tp_init(p, false, pair);
	tp_start(p, peer_connect(&t->w, &t->us, NULL));
	return tp_handshake(&t->w, p);
}

/* a server on a port of its own that our side connects to */
struct far {
	struct tpeer p;
	int listening;
	struct addr at;
	struct net_path path; /* towards it */
};

static inline void far_init(struct tls_world *t, struct far *f, const struct pair *pair, const struct net_peer *as)
{
	memset(f, 0, sizeof(*f));
	tp_init(&f->p, true, pair);
	f->listening = peer(SOCK_STREAM, "127.0.0.1:0", &f->at);
	f->path = (struct net_path){.proto = NET_TLS, .remote = f->at};
	if (as)
		assert_int_equal(net_peer_set(t->w.net, &f->path.peer, as), 0);
}

/* sends text to it (owner 7) and does the handshake; its result */
static inline int far_call(struct tls_world *t, struct far *f, const char *text)
{
	int fd;

	f->path.conn = 0;
	assert_int_equal(net_send(t->w.net, &f->path, text, strlen(text), 7), 0);
	fd = peer_accept(&t->w, f->listening);
	assert_true(fd >= 0);
	tp_end(&f->p);
	tp_start(&f->p, fd);
	return tp_handshake(&t->w, &f->p);
}

static inline void far_fini(struct far *f)
{
	tp_fini(&f->p);
	close(f->listening);
}

#endif
