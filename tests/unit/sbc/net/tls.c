/* TLS on real loopback sockets against OpenSSL's own client and server: certificates made here for each test. */
#include "ca.h"

/* A world with one TLS listener in realm 0: pair "a" (edge.example) and "b" (other.example), root trusted. */
struct tls_world {
	struct world w;
	struct dir dir;
	struct pair root, a, b;
	struct tls_store *store;
	struct addr us;
};

static void t_init_as(struct tls_world *t, uint8_t client_cert, bool legacy, const struct store_spec *more)
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

static void t_init(struct tls_world *t, uint8_t client_cert)
{
	t_init_as(t, client_cert, false, NULL);
}

static void t_fini(struct tls_world *t)
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

static void echo(struct world *w, const struct net_path *from, char *p, size_t n, enum reason bad)
{
	struct net_path to = *from;

	(void)bad;
	assert_int_equal(net_send(w->net, &to, p, n, 0), 0);
}

/* a client of ours with this certificate; handshake's result */
static int connect_as(struct tls_world *t, struct tpeer *p, const struct pair *pair)
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

static void far_init(struct tls_world *t, struct far *f, const struct pair *pair, const struct net_peer *as)
{
	memset(f, 0, sizeof(*f));
	tp_init(&f->p, true, pair);
	f->listening = peer(SOCK_STREAM, "127.0.0.1:0", &f->at);
	f->path = (struct net_path){.proto = NET_TLS, .remote = f->at};
	if (as)
		assert_int_equal(net_peer_set(t->w.net, &f->path.peer, as), 0);
}

/* sends text to it (owner 7) and does the handshake; its result */
static int far_call(struct tls_world *t, struct far *f, const char *text)
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

static void far_fini(struct far *f)
{
	tp_fini(&f->p);
	close(f->listening);
}

/* ---- both directions ---- */

static void messages_pass_both_ways_and_say_who_sent_them(void **state)
{
	struct tls_world t;
	struct pair phone;
	struct tpeer p = {.fd = -1};
	const struct net_identity *who;

	(void)state;
	t_init(&t, NET_CERT_REQUIRE);
	t.w.on = echo;
	phone = make_dns(&t.root, "pbx.example");
	assert_int_equal(connect_as(&t, &p, &phone), 1);
	tp_write(&t.w, &p, "L0005:hello", 11);
	W_UNTIL(&t.w, t.w.n_got == 1);
	assert_string_equal(t.w.got[0].text, "L0005:hello");
	assert_int_equal(t.w.got[0].path.proto, NET_TLS);
	who = net_identity(t.w.net, &t.w.got[0].path);
	assert_non_null(who);
	assert_true(who->verified);
	assert_int_equal(who->n_names, 1);
	assert_true(str_eq(who->names[0], S("pbx.example")));
	assert_true(str_eq(who->local, S("edge.example")));
	tp_expect(&t.w, &p, "L0005:hello");
	tp_fini(&p);
	pair_free(&phone);
	t_fini(&t);
}

static void our_connections_prove_their_peer_and_carry_both_ways(void **state)
{
	struct tls_world t;
	struct pair itsp;
	struct far f;
	const struct net_identity *who;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	itsp = make_dns(&t.root, "itsp.example");
	far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example")});
	assert_int_equal(far_call(&t, &f, "L0003:abc"), 1);
	tp_expect(&t.w, &f.p, "L0003:abc");
	tp_write(&t.w, &f.p, "L0002:ok", 8);
	W_UNTIL(&t.w, t.w.n_got == 1);
	assert_string_equal(t.w.got[0].text, "L0002:ok");
	assert_int_equal(t.w.got[0].path.conn, f.path.conn);
	assert_int_equal(t.w.got[0].path.peer, f.path.peer);
	who = net_identity(t.w.net, &f.path);
	assert_true(who && who->verified && who->n_names == 1 && str_eq(who->names[0], S("itsp.example")));
	assert_true(str_eq(who->local, S("edge.example")));
	assert_int_equal(t.w.n_lost, 0);
	assert_int_equal(count(&t, NET_TLS_CONNECTED), 1);
	far_fini(&f);
	pair_free(&itsp);
	t_fini(&t);
}

/* The certificate must name the domain that was looked up, not the server the DNS gave for it. */
static void a_server_that_names_another_domain_gets_no_byte(void **state)
{
	struct tls_world t;
	struct pair pop;
	struct far f;
	char want[120], at_text[ADDR_TEXT_MAX];
	int64_t when;
	uint8_t b[16];

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	pop = make_dns(&t.root, "sbc7.pop.example");
	far_init(&t, &f, &pop, &(struct net_peer){.name = S("itsp.example")});
	/* TLS 1.3: the server is done when our Finished comes, which it never does */
	assert_true(far_call(&t, &f, "L0003:abc") < 0);
	assert_int_equal(last_alert(), SSL_AD_BAD_CERTIFICATE);
	W_UNTIL(&t.w, t.w.n_lost == 1);
	assert_int_equal(t.w.lost[0].owner, 7);
	assert_int_equal(t.w.lost[0].err, -NET_ERR_TLS_NAME);
	assert_int_equal(net_error_reason(t.w.lost[0].err), REASON_TLS_NAME_MISMATCH);
	snprintf(want, sizeof(want), "certificate of %s names sbc7.pop.example, expected itsp.example",
	    addr_text(&f.at, at_text));
	assert_string_equal(netio_peer_error(t.w.io, f.path.peer, &when), want);
	assert_true(SSL_read(f.p.ssl, b, sizeof(b)) <= 0);
	far_fini(&f);
	pair_free(&pop);
	t_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(messages_pass_both_ways_and_say_who_sent_them),
	    cmocka_unit_test(our_connections_prove_their_peer_and_carry_both_ways),
	    cmocka_unit_test(a_server_that_names_another_domain_gets_no_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
