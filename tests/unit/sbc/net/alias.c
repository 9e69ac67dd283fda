/* Reuse of connections that clients opened (RFC 5923), over TLS on real loopback sockets. Our side listens as a.example
 * (realm's certificate "a") and knows b.example ("b"); certificates are made here. */
#include "ca.h"

struct alias_world {
	struct world w;
	struct dir dir;
	struct pair root, a, b, itsp;
	struct tls_store *store;
	struct addr us;
	int listening; /* the peer's own port */
	struct addr them;
};

static void init(struct alias_world *t, uint8_t client_cert)
{
	struct store_spec spec = {.names = {"a", "b"}};
	struct tls_error err;
	char path[128];

	memset(t, 0, sizeof(*t));
	dir_init(&t->dir);
	t->root = make_ca("root");
	t->a = make_dns(&t->root, "a.example");
	t->b = make_dns(&t->root, "b.example");
	t->itsp = make_dns(&t->root, "itsp.example");
	put_certs(dir_file(&t->dir, "root.pem", path), &t->root.x, 1);
	put_pair(&t->dir, "a", &t->a, NULL);
	put_pair(&t->dir, "b", &t->b, NULL);
	t->store = load(&t->dir, &spec, &err);
	assert_non_null(t->store);
	w_init_bare(&t->w);
	t->w.lines[0] = (struct net_listener_cfg){
	    .proto = NET_TLS, .bound = at("127.0.0.1:0"), .cert = S("a"), .client_cert = client_cert};
	t->w.lines[1] = (struct net_listener_cfg){.proto = NET_TCP, .bound = at("127.0.0.1:0")};
	t->w.cfg.n_listeners = 2;
	t->w.cfg.tls = t->store;
	w_open(&t->w);
	t->us = w_listener(&t->w, NET_TLS, 0);
	t->listening = peer(SOCK_STREAM, "127.0.0.1:0", &t->them);
}

static void fini(struct alias_world *t)
{
	w_fini(&t->w);
	tls_store_unref(t->store);
	pair_free(&t->root);
	pair_free(&t->a);
	pair_free(&t->b);
	pair_free(&t->itsp);
	close(t->listening);
	dir_fini(&t->dir);
}

/* A client with this certificate that asks for sni connects and says one message; *ret_from: where it came from. */
static void client(struct alias_world *t, struct tpeer *p, const struct pair *pair, const char *sni, struct net_path *ret_from)
{
	unsigned before = t->w.n_got;

	tp_init(p, false, pair);
	tp_start(p, peer_connect(&t->w, &t->us, NULL));
	if (sni)
		assert_int_equal(SSL_set_tlsext_host_name(p->ssl, sni), 1);
	assert_int_equal(tp_handshake(&t->w, p), 1);
	tp_write(&t->w, p, "L0002:hi", 8);
	W_UNTIL(&t->w, t->w.n_got == before + 1);
	*ret_from = t->w.got[before].path;
}

static uint32_t peer_named(struct alias_world *t, const char *name, const char *cert)
{
	struct net_peer cfg = {.name = str_z(name), .certificate = str_z(cert), .verify = NET_VERIFY_STRICT};
	uint32_t id = 0;

	assert_int_equal(net_peer_set(t->w.net, &id, &cfg), 0);
	return id;
}

/* which connection a request to the peer's port takes; 0: it opens one of its own */
static uint32_t taken(struct alias_world *t, uint32_t id, uint8_t proto, uint64_t *ret_connects)
{
	struct net_path to = {.proto = proto, .remote = t->them, .peer = id};
	uint64_t before = netio_count(t->w.io, NET_TCP_CONNECTS);

	assert_int_equal(net_send(t->w.net, &to, "L0003:req", 9, 0), 0);
	*ret_connects = netio_count(t->w.io, NET_TCP_CONNECTS) - before;
	return *ret_connects ? 0 : to.conn;
}

static uint16_t port_of(const struct alias_world *t)
{
	return addr_port(&t->them);
}

/* REUSE-03, -04, -05: the row's five columns, and a request that goes out on the connection the peer opened */
static void a_proved_peer_gets_requests_on_its_connection(void **state)
{
	struct alias_world t;
	struct tpeer p;
	struct net_path from, to;
	struct netio_alias_info row;
	char b[64];
	uint32_t i = 0;

	(void)state;
	init(&t, NET_CERT_REQUEST);
	client(&t, &p, &t.itsp, "a.example", &from);
	assert_int_equal(net_alias(t.w.net, &from, port_of(&t)), 0);
	assert_int_equal(net_alias(t.w.net, &from, port_of(&t)), 0); /* each request says so */
	assert_int_equal(netio_count(t.w.io, NET_ALIASES), 1);
	assert_true(netio_alias_next(t.w.io, &i, &row));
	assert_true(addr_eq(&row.at, &t.them));
	assert_int_equal(row.proto, NET_TLS);
	assert_int_equal(row.conn, from.conn);
	assert_true(str_eq(row.who->names[0], S("itsp.example")));
	assert_true(str_eq(row.who->local, S("a.example")));
	assert_false(netio_alias_next(t.w.io, &i, &row));

	to = (struct net_path){.proto = NET_TLS, .remote = t.them, .peer = peer_named(&t, "ITSP.example", "")};
	assert_int_equal(net_send(t.w.net, &to, "L0003:req", 9, 0), 0);
	assert_int_equal(to.conn, from.conn);
	assert_true(addr_eq(&to.remote, &t.them)); /* where to connect when it is gone */
	assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), 9);
	assert_memory_equal(b, "L0003:req", 9);
	assert_int_equal(netio_count(t.w.io, NET_TCP_CONNECTS), 0);
	assert_int_equal(netio_count(t.w.io, NET_ALIAS_USED), 1);
	/* nor does connecting ahead make another one */
	to.conn = 0;
	assert_int_equal(net_prepare(t.w.net, &to, NULL), 1);
	assert_int_equal(to.conn, from.conn);
	tp_fini(&p);
	fini(&t);
}

/* REUSE-03: no certificate, or one that leads nowhere: nothing is recorded, the connection goes on */
static void without_a_proof_nothing_is_recorded(void **state)
{
	struct alias_world t;
	struct tpeer p, q;
	struct net_path from, answer;
	struct pair strange_root = make_ca("strange"), strange = make_dns(&strange_root, "itsp.example");
	uint64_t connects;
	char b[16];

	(void)state;
	init(&t, NET_CERT_REQUEST);
	client(&t, &p, NULL, "a.example", &from);
	assert_int_equal(net_alias(t.w.net, &from, port_of(&t)), -EPERM);
	answer = from;
	assert_int_equal(net_send(t.w.net, &answer, "L0002:ok", 8, 0), 0);
	assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), 8);
	client(&t, &q, &strange, "a.example", &from);
	assert_int_equal(net_alias(t.w.net, &from, port_of(&t)), -EPERM);
	assert_int_equal(netio_count(t.w.io, NET_ALIASES), 0);
	assert_int_equal(netio_count(t.w.io, NET_ALIAS_REFUSED), 2);
	assert_int_equal(taken(&t, peer_named(&t, "itsp.example", ""), NET_TLS, &connects), 0);
	assert_int_equal(connects, 1);
	tp_fini(&p);
	tp_fini(&q);
	pair_free(&strange);
	pair_free(&strange_root);
	fini(&t);
}

/* REUSE-01: without TLS there is no proof */
static void tcp_is_never_aliased(void **state)
{
	struct alias_world t;
	struct addr us;
	uint64_t connects;
	int fd;

	(void)state;
	init(&t, NET_CERT_REQUEST);
	us = w_listener(&t.w, NET_TCP, 0);
	fd = peer_connect(&t.w, &us, NULL);
	assert_int_equal(send(fd, "L0001:x", 7, 0), 7);
	W_UNTIL(&t.w, t.w.n_got == 1);
	assert_int_equal(net_alias(t.w.net, &t.w.got[0].path, port_of(&t)), -EPERM);
	assert_int_equal(taken(&t, peer_named(&t, "itsp.example", ""), NET_TCP, &connects), 0);
	assert_int_equal(connects, 1);
	close(fd);
	fini(&t);
}

/* REUSE-05: two domains on one address: the second has not proved itself on that connection */
static void another_domain_at_that_address_gets_its_own(void **state)
{
	struct alias_world t;
	struct tpeer p;
	struct net_path from;
	struct str more = S("itsp.example");
	uint64_t connects;
	uint32_t other, both = 0;

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	client(&t, &p, &t.itsp, "a.example", &from);
	assert_int_equal(net_alias(t.w.net, &from, port_of(&t)), 0);
	other = peer_named(&t, "other.example", "");
	assert_int_equal(taken(&t, other, NET_TLS, &connects), 0);
	assert_int_equal(connects, 1);
	/* one that may carry this name too takes it */
	assert_int_equal(net_peer_set(t.w.net, &both,
	                     &(struct net_peer){.name = S("trunks.example"), .names = &more, .n_names = 1}),
	    0);
	assert_int_equal(taken(&t, both, NET_TLS, &connects), from.conn);
	/* and so does no part of a name */
	assert_int_equal(taken(&t, peer_named(&t, "example", ""), NET_TLS, &connects), 0);
	assert_int_equal(taken(&t, peer_named(&t, "tsp.example", ""), NET_TLS, &connects), 0);
	/* another port of it is another place */
	addr_set_port(&t.them, (uint16_t)(port_of(&t) ^ 1));
	assert_int_equal(taken(&t, peer_named(&t, "itsp.example", ""), NET_TLS, &connects), 0);
	assert_int_equal(connects, 1);
	tp_fini(&p);
	fini(&t);
}

/* REUSE-06: a connection to one of our domains is not used by another one */
static void two_domains_of_ours_have_two_connections(void **state)
{
	struct alias_world t;
	struct tpeer p, q;
	struct net_path to_a, to_b;
	uint64_t connects;
	uint32_t as_a, as_b;

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	as_a = peer_named(&t, "itsp.example", "a");
	as_b = peer_named(&t, "itsp.example", "b");
	client(&t, &p, &t.itsp, "a.example", &to_a);
	assert_int_equal(net_alias(t.w.net, &to_a, port_of(&t)), 0);
	assert_int_equal(taken(&t, as_a, NET_TLS, &connects), to_a.conn);
	assert_int_equal(taken(&t, as_b, NET_TLS, &connects), 0);
	assert_int_equal(connects, 1);
	client(&t, &q, &t.itsp, "b.example", &to_b);
	assert_int_equal(net_alias(t.w.net, &to_b, port_of(&t)), 0);
	assert_int_equal(netio_count(t.w.io, NET_ALIASES), 2);
	as_b = peer_named(&t, "itsp.example", "b");
	assert_int_equal(taken(&t, as_a, NET_TLS, &connects), to_a.conn);
	assert_int_equal(taken(&t, as_b, NET_TLS, &connects), to_b.conn);
	tp_fini(&p);
	tp_fini(&q);
	fini(&t);
}

/* REUSE-07: the row goes with its connection; the next one the peer opens takes its place */
static void a_lost_connection_takes_its_rows_along(void **state)
{
	struct alias_world t;
	struct tpeer p, q;
	struct net_path from, again, to;
	uint64_t connects;
	uint32_t id;

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	client(&t, &p, &t.itsp, "a.example", &from);
	assert_int_equal(net_alias(t.w.net, &from, port_of(&t)), 0);
	/* a second one, while the first is not yet known to be dead: the newer one counts */
	w_spin(&t.w, 5);
	client(&t, &q, &t.itsp, "a.example", &again);
	assert_int_equal(net_alias(t.w.net, &again, port_of(&t)), 0);
	id = peer_named(&t, "itsp.example", "");
	to = (struct net_path){.proto = NET_TLS, .remote = t.them, .peer = id};
	assert_int_equal(net_send(t.w.net, &to, "L0003:req", 9, 0), 0);
	assert_int_equal(to.conn, again.conn);
	tp_fini(&q);
	W_UNTIL(&t.w, netio_count(t.w.io, NET_ALIASES) == 1);
	/* who held its handle is led to the one that is left, then to a new one */
	assert_int_equal(net_send(t.w.net, &to, "L0003:req", 9, 0), 0);
	assert_int_equal(to.conn, from.conn);
	tp_fini(&p);
	W_UNTIL(&t.w, netio_count(t.w.io, NET_ALIASES) == 0);
	connects = netio_count(t.w.io, NET_TCP_CONNECTS);
	assert_int_equal(net_send(t.w.net, &to, "L0003:req", 9, 0), 0);
	assert_int_equal(netio_count(t.w.io, NET_TCP_CONNECTS), connects + 1);
	fini(&t);
}

static void rows_of_a_connection_are_bounded(void **state)
{
	struct alias_world t;
	struct tpeer p;
	struct net_path from;
	struct netio_alias_info row;
	uint32_t i = 0;
	unsigned n = 0;

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	client(&t, &p, &t.itsp, "a.example", &from);
	for (uint16_t port = 1; port <= 4; port++)
		assert_int_equal(net_alias(t.w.net, &from, port), 0);
	assert_int_equal(net_alias(t.w.net, &from, 5), -ENOBUFS);
	assert_int_equal(netio_count(t.w.io, NET_ALIASES), 4);
	while (netio_alias_next(t.w.io, &i, &row))
		n++;
	assert_int_equal(n, 4);
	/* a handle that leads nowhere */
	from.conn ^= 0x10000;
	assert_int_equal(net_alias(t.w.net, &from, 6), -EPERM);
	tp_fini(&p);
	fini(&t);
}

/* REUSE-02: the other way: what we opened takes the peer's requests, as our port does */
static void requests_of_the_peer_come_on_our_connection(void **state)
{
	struct alias_world t;
	struct tpeer p;
	struct net_path to;

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	tp_init(&p, true, &t.itsp);
	to = (struct net_path){.proto = NET_TLS, .remote = t.them, .peer = peer_named(&t, "itsp.example", "a")};
	assert_int_equal(net_send(t.w.net, &to, "L0003:req", 9, 0), 0);
	tp_start(&p, peer_accept(&t.w, t.listening));
	assert_int_equal(tp_handshake(&t.w, &p), 1);
	tp_write(&t.w, &p, "L0007:reverse", 13);
	W_UNTIL(&t.w, t.w.n_got == 1);
	assert_string_equal(t.w.got[0].text, "L0007:reverse");
	assert_int_equal(t.w.got[0].path.conn, to.conn);
	assert_int_equal(net_alias(t.w.net, &t.w.got[0].path, port_of(&t)), 0); /* needs no row */
	assert_int_equal(netio_count(t.w.io, NET_ALIASES), 0);
	tp_fini(&p);
	fini(&t);
}

/* REUSE-09: nothing is closed because nothing is under way */
static void connections_outlive_what_they_carried(void **state)
{
	struct alias_world t;
	struct tpeer p;
	struct net_path from, to;
	uint32_t id;

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	client(&t, &p, &t.itsp, "a.example", &from);
	assert_int_equal(net_alias(t.w.net, &from, port_of(&t)), 0);
	id = peer_named(&t, "itsp.example", "");
	for (int i = 0; i < 30; i++)
		w_skip(&t.w, 60000);
	to = (struct net_path){.proto = NET_TLS, .remote = t.them, .peer = id};
	assert_int_equal(net_send(t.w.net, &to, "L0003:req", 9, 0), 0);
	assert_int_equal(to.conn, from.conn);
	tp_fini(&p);
	fini(&t);
}

/* REUSE-08: what is queued goes out, then the alert, then the end */
static void closing_in_order_says_so(void **state)
{
	struct alias_world t;
	struct tpeer p;
	struct net_path from, to;
	char b[16];

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	client(&t, &p, &t.itsp, "a.example", &from);
	assert_int_equal(net_alias(t.w.net, &from, port_of(&t)), 0);
	to = from;
	assert_int_equal(net_send(t.w.net, &to, "L0004:last", 10, 3), 0);
	t.w.net->ops->close(t.w.net, &from, false);
	/* the row is gone at once: nothing new is begun there */
	assert_int_equal(netio_count(t.w.io, NET_ALIASES), 0);
	assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), 10);
	assert_memory_equal(b, "L0004:last", 10);
	assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), -SSL_ERROR_ZERO_RETURN); /* close_notify */
	assert_int_equal(SSL_get_shutdown(p.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
	tp_fini(&p);
	W_UNTIL(&t.w, netio_count(t.w.io, NET_TCP_OPEN) == 0);
	assert_int_equal(t.w.n_lost, 0);
	fini(&t);
}

/* REUSE-08: after the peer's alert nothing new is sent on it, though its socket is still open */
static void after_the_peers_alert_a_new_connection_is_taken(void **state)
{
	struct alias_world t;
	struct tpeer p, q;
	struct net_path to, next;
	char b[16];

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	tp_init(&p, true, &t.itsp);
	tp_init(&q, true, &t.itsp);
	to = (struct net_path){.proto = NET_TLS, .remote = t.them, .peer = peer_named(&t, "itsp.example", "a")};
	assert_int_equal(net_send(t.w.net, &to, "L0003:req", 9, 4), 0);
	tp_start(&p, peer_accept(&t.w, t.listening));
	assert_int_equal(tp_handshake(&t.w, &p), 1);
	assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), 9);
	assert_true(SSL_shutdown(p.ssl) >= 0);
	assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), -SSL_ERROR_ZERO_RETURN); /* ours answers it */
	next = (struct net_path){.proto = NET_TLS, .remote = t.them, .peer = to.peer};
	assert_int_equal(net_send(t.w.net, &next, "L0003:two", 9, 5), 0);
	assert_int_not_equal(next.conn, to.conn);
	tp_start(&q, peer_accept(&t.w, t.listening));
	assert_int_equal(tp_handshake(&t.w, &q), 1);
	assert_int_equal(tp_read(&t.w, &q, b, sizeof(b)), 9);
	assert_memory_equal(b, "L0003:two", 9);
	assert_int_equal(t.w.n_lost, 0);
	tp_fini(&p);
	tp_fini(&q);
	fini(&t);
}

/* ---- racing and pings, encrypted ---- */

/* HE-03: the address that connects but never shakes hands loses as well; the handshakes are raced */
static void a_handshake_that_hangs_loses_the_race(void **state)
{
	struct alias_world t;
	struct tpeer p;
	struct addr deaf;
	struct net_path to = {.proto = NET_TLS};
	struct netio_conn_info info = {0};
	uint32_t i = 0;
	int64_t began;
	char b[16];
	int hung, fd;

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	tp_init(&p, true, &t.itsp);
	hung = peer(SOCK_STREAM, "127.0.0.1:0", &deaf); /* the kernel connects, nobody speaks */
	to.remote = deaf;
	to.peer = peer_named(&t, "itsp.example", "");
	loop_turn(&t.w.loop, 0);
	began = t.w.loop.clock.mono_us;
	assert_int_equal(net_prepare(t.w.net, &to, &t.them), 0);
	assert_int_equal(net_send(t.w.net, &to, "L0003:req", 9, 5), 0);
	tp_start(&p, peer_accept(&t.w, t.listening));
	assert_int_equal(tp_handshake(&t.w, &p), 1);
	assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), 9);
	assert_true(t.w.loop.clock.mono_us - began < 400000);
	assert_true(netio_conn_next(t.w.io, &i, &info));
	assert_int_equal(info.path.conn, to.conn);
	assert_true(addr_eq(&info.path.remote, &t.them));
	assert_int_equal(info.race, RACE_SECOND);
	assert_int_equal(netio_count(t.w.io, NET_TCP_OPEN), 1);
	assert_int_equal(t.w.n_lost, 0);
	fd = peer_accept(&t.w, hung);
	close(fd);
	close(hung);
	tp_fini(&p);
	fini(&t);
}

/* both fail, one of them by its certificate: that is what owners hear */
static void of_two_failures_the_telling_one_is_told(void **state)
{
	struct alias_world t;
	struct tpeer p;
	struct addr closed;
	struct net_path to = {.proto = NET_TLS};

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	tp_init(&p, true, &t.itsp);
	to.remote = t.them;
	to.peer = peer_named(&t, "else.example", "");
	close(peer(SOCK_STREAM, "127.0.0.1:0", &closed));
	assert_int_equal(net_prepare(t.w.net, &to, &closed), 0);
	assert_int_equal(net_send(t.w.net, &to, "L0003:req", 9, 5), 0);
	tp_start(&p, peer_accept(&t.w, t.listening));
	(void)tp_handshake(&t.w, &p);
	W_UNTIL(&t.w, t.w.n_lost == 1);
	assert_int_equal(net_error_reason(t.w.lost[0].err), REASON_TLS_NAME_MISMATCH);
	tp_fini(&p);
	fini(&t);
}

static unsigned pongs(const struct alias_world *t)
{
	struct netio_conn_info info = {0};
	uint32_t i = 0;

	(void)netio_conn_next(t->w.io, &i, &info);
	return info.pongs;
}

static void pings_go_over_tls(void **state)
{
	struct alias_world t;
	struct tpeer p;
	struct net_peer cfg = {.name = S("itsp.example"), .ping_ms = 30000};
	struct net_path to = {.proto = NET_TLS};
	char b[16];

	(void)state;
	init(&t, NET_CERT_REQUIRE);
	tp_init(&p, true, &t.itsp);
	to.remote = t.them;
	assert_int_equal(net_peer_set(t.w.net, &to.peer, &cfg), 0);
	assert_int_equal(net_send(t.w.net, &to, "L0003:req", 9, 0), 0);
	tp_start(&p, peer_accept(&t.w, t.listening));
	assert_int_equal(tp_handshake(&t.w, &p), 1);
	assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), 9);
	for (unsigned i = 0; i < 3; i++) {
		w_skip(&t.w, 30500);
		assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), 4);
		assert_memory_equal(b, "\r\n\r\n", 4);
		if (i == 2)
			break;
		tp_write(&t.w, &p, "\r\n", 2);
		W_UNTIL(&t.w, pongs(&t) == i + 1);
	}
	assert_int_equal(netio_count(t.w.io, NET_TCP_NO_PONG), 0);
	w_skip(&t.w, 10500); /* the third pong never comes */
	assert_int_equal(netio_count(t.w.io, NET_TCP_PING_LOST), 1);
	tp_fini(&p);
	fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_proved_peer_gets_requests_on_its_connection),
	    cmocka_unit_test(without_a_proof_nothing_is_recorded),
	    cmocka_unit_test(tcp_is_never_aliased),
	    cmocka_unit_test(another_domain_at_that_address_gets_its_own),
	    cmocka_unit_test(two_domains_of_ours_have_two_connections),
	    cmocka_unit_test(a_lost_connection_takes_its_rows_along),
	    cmocka_unit_test(rows_of_a_connection_are_bounded),
	    cmocka_unit_test(requests_of_the_peer_come_on_our_connection),
	    cmocka_unit_test(connections_outlive_what_they_carried),
	    cmocka_unit_test(closing_in_order_says_so),
	    cmocka_unit_test(after_the_peers_alert_a_new_connection_is_taken),
	    cmocka_unit_test(a_handshake_that_hangs_loses_the_race),
	    cmocka_unit_test(of_two_failures_the_telling_one_is_told),
	    cmocka_unit_test(pings_go_over_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
