/* TLS on real loopback sockets against OpenSSL's own client and server: certificates made here for each test. */
#include <netinet/tcp.h>
#include <openssl/ocsp.h>

#include "tls_world.h"

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

/* ---- TLS-01, TLS-02, TLS-03 ---- */

static void only_tls_1_2_and_1_3_are_spoken_1_3_first(void **state)
{
	static const struct {
		int version, got, alert;
	} tries[] = {{TLS1_VERSION, 0, SSL_AD_PROTOCOL_VERSION}, {TLS1_1_VERSION, 0, SSL_AD_PROTOCOL_VERSION},
	    {TLS1_2_VERSION, TLS1_2_VERSION, 0}, {TLS1_3_VERSION, TLS1_3_VERSION, 0}, {0, TLS1_3_VERSION, 0}};
	struct tls_world t;
	struct pair itsp;
	struct far f;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	for (unsigned i = 0; i < ARRAY_LEN(tries); i++) {
		struct tpeer p;
		int r;

		tp_init(&p, false, NULL);
		SSL_CTX_set_security_level(p.ctx, 0);
		SSL_CTX_set_min_proto_version(p.ctx, tries[i].version);
		SSL_CTX_set_max_proto_version(p.ctx, tries[i].version);
		r = connect_as(&t, &p, NULL);
		if (tries[i].got) {
			assert_int_equal(r, 1);
			assert_int_equal(SSL_version(p.ssl), tries[i].got);
		} else {
			assert_true(r < 0);
			assert_int_equal(last_alert(), tries[i].alert);
		}
		tp_fini(&p);
	}
	/* nor do we ask for less */
	itsp = make_dns(&t.root, "itsp.example");
	far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example")});
	SSL_CTX_set_security_level(f.p.ctx, 0);
	SSL_CTX_set_min_proto_version(f.p.ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(f.p.ctx, TLS1_1_VERSION);
	assert_true(far_call(&t, &f, "L0001:x") < 0);
	W_UNTIL(&t.w, t.w.n_lost == 1);
	assert_int_equal(t.w.lost[0].err, -NET_ERR_TLS_HANDSHAKE);
	far_fini(&f);
	pair_free(&itsp);
	t_fini(&t);
}

/* Tries every cipher suite that OpenSSL has; returns how many were taken. */
static unsigned scan(struct tls_world *t, bool legacy)
{
	SSL_CTX *all = SSL_CTX_new(TLS_client_method());
	unsigned taken = 0;
	STACK_OF(SSL_CIPHER) *suites;

	assert_int_equal(SSL_CTX_set_cipher_list(all, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"), 1);
	suites = SSL_CTX_get_ciphers(all);
	assert_true(sk_SSL_CIPHER_num(suites) > 60);
	for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++) {
		const SSL_CIPHER *c = sk_SSL_CIPHER_value(suites, i);
		bool good = SSL_CIPHER_is_aead(c) && SSL_CIPHER_get_kx_nid(c) == NID_kx_ecdhe;
		struct tpeer p;
		int r;

		if (strcmp(SSL_CIPHER_get_version(c), "TLSv1.3") == 0)
			continue;
		tp_init(&p, false, NULL);
		SSL_CTX_set_security_level(p.ctx, 0);
		SSL_CTX_set_max_proto_version(p.ctx, TLS1_2_VERSION);
		assert_int_equal(SSL_CTX_set_cipher_list(p.ctx, SSL_CIPHER_get_name(c)), 1);
		r = connect_as(t, &p, NULL);
		taken += r == 1;
		if (r == 1 && !legacy && !good)
			fail_msg("%s was taken", SSL_CIPHER_get_name(c));
		tp_fini(&p);
	}
	SSL_CTX_free(all);
	return taken;
}

static void takes(struct tls_world *t, const char *suite, bool want)
{
	struct tpeer p;

	tp_init(&p, false, NULL);
	SSL_CTX_set_max_proto_version(p.ctx, TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_set_cipher_list(p.ctx, suite), 1);
	assert_int_equal(connect_as(t, &p, NULL) == 1, want);
	tp_fini(&p);
}

/* the same world with an RSA key, so that suites of both kinds could be used */
static void use_rsa(struct tls_world *t)
{
	struct cert_spec s = {.san = {{GEN_DNS, "edge.example", 0}}, .n_san = 1, .key = EVP_RSA_gen(2048)};
	struct store_spec spec = {.names = {"a", "b"}};
	struct tls_error err;
	struct tls_store *store;

	pair_free(&t->a);
	t->a = make_cert(&t->root, &s);
	EVP_PKEY_free(s.key);
	put_pair(&t->dir, "a", &t->a, NULL);
	store = load(&t->dir, &spec, &err);
	assert_non_null(store);
	assert_int_equal(netio_set_tls(t->w.io, store), 0);
	tls_store_unref(t->store);
	t->store = store;
}

static void only_forward_secret_aead_suites_unless_legacy_is_asked_for(void **state)
{
	struct tls_world t;
	struct pair itsp;
	struct far f;

	(void)state;
	t_init(&t, NET_CERT_NONE);
	use_rsa(&t);
	assert_true(scan(&t, false) >= 3); /* AES-128, AES-256, ChaCha20 */
	takes(&t, "AES128-SHA", false);
	/* towards a peer that speaks nothing else: only when its settings say so */
	itsp = make_cert(&t.root, &(struct cert_spec){.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1, .key = t.a.key});
	far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example")});
	SSL_CTX_set_max_proto_version(f.p.ctx, TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_set_cipher_list(f.p.ctx, "AES128-SHA"), 1);
	assert_true(far_call(&t, &f, "L0001:x") < 0);
	W_UNTIL(&t.w, t.w.n_lost == 1);
	assert_int_equal(net_peer_set(t.w.net, &f.path.peer,
	                     &(struct net_peer){.name = S("itsp.example"), .legacy_ciphers = true}),
	    0);
	assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
	tp_expect(&t.w, &f.p, "L0001:x");
	assert_string_equal(SSL_get_cipher_name(f.p.ssl), "AES128-SHA");
	/* the bytes of such a connection are counted, lost and read as those of others */
	tp_write(&t.w, &f.p, "L0002:ok", 8);
	W_UNTIL(&t.w, t.w.n_got == 1);
	far_fini(&f);
	pair_free(&itsp);
	t_fini(&t);
	t_init_as(&t, NET_CERT_NONE, true, NULL);
	use_rsa(&t);
	takes(&t, "AES128-SHA", true);
	takes(&t, "ECDHE-RSA-AES128-GCM-SHA256", true);
	t_fini(&t);
}

static void no_compression_and_no_renegotiation(void **state)
{
	struct tls_world t;
	struct tpeer p;

	(void)state;
	t_init(&t, NET_CERT_NONE);
	t.w.on = echo;
	tp_init(&p, false, NULL);
	SSL_CTX_set_max_proto_version(p.ctx, TLS1_2_VERSION);
	SSL_CTX_clear_options(p.ctx, SSL_OP_NO_COMPRESSION);
	assert_int_equal(connect_as(&t, &p, NULL), 1);
	assert_null(SSL_get_current_compression(p.ssl));
	assert_int_equal(SSL_get_secure_renegotiation_support(p.ssl), 1);
	tp_write(&t.w, &p, "L0001:x", 7);
	tp_expect(&t.w, &p, "L0001:x");
	assert_int_equal(SSL_renegotiate(p.ssl), 1);
	assert_int_not_equal(tp_handshake(&t.w, &p), 1);
	assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
	tp_fini(&p);
	t_fini(&t);
}

/* ---- resumption ---- */

/* one connection with this session; was it resumed? The session it leaves goes to *ret. */
static bool resumed(struct tls_world *t, struct tpeer *p, SSL_SESSION *with, SSL_SESSION **ret)
{
	bool again;

	tp_end(p);
	tp_start(p, peer_connect(&t->w, &t->us, NULL));
	if (with)
		assert_int_equal(SSL_set_session(p->ssl, with), 1);
	assert_int_equal(tp_handshake(&t->w, p), 1);
	tp_write(&t->w, p, "L0001:x", 7);
	tp_expect(&t->w, p, "L0001:x"); /* a ticket of TLS 1.3 came before it */
	again = SSL_session_reused(p->ssl);
	if (ret)
		*ret = SSL_get1_session(p->ssl);
	SSL_shutdown(p->ssl);
	return again;
}

static void resumption_of(int version)
{
	struct tls_world t;
	struct pair phone;
	struct tpeer p;
	SSL_SESSION *first, *second, *third;
	const struct net_identity *who;
	struct tls_ticket_key *k;
	unsigned char name[16];

	t_init(&t, NET_CERT_REQUIRE);
	t.w.on = echo;
	phone = make_dns(&t.root, "pbx.example");
	tp_init(&p, false, &phone);
	SSL_CTX_set_max_proto_version(p.ctx, version);
	assert_false(resumed(&t, &p, NULL, &first));
	assert_true(resumed(&t, &p, first, &second));
	assert_int_equal(count(&t, NET_TLS_RESUMED), 1);
	/* whom it proved to be when the session began */
	who = net_identity(t.w.net, &t.w.got[1].path);
	assert_true(who && who->verified && who->n_names == 1 && str_eq(who->names[0], S("pbx.example")));
	/* the key is two hours old: a new one writes, tickets of the old one are still read */
	k = t.store->tickets->key;
	memcpy(name, k[0].name, sizeof(name));
	k[0].born -= 2 * 3600 + 1;
	assert_true(resumed(&t, &p, second, &third));
	assert_memory_not_equal(k[0].name, name, sizeof(name));
	assert_memory_equal(k[1].name, name, sizeof(name));
	/* and after the next turn no more */
	k[0].born -= 2 * 3600 + 1;
	assert_false(resumed(&t, &p, first, NULL));
	/* another listener asks for more or less: a session of here is none there */
	SSL_SESSION_free(first);
	SSL_SESSION_free(second);
	SSL_SESSION_free(third);
	tp_fini(&p);
	pair_free(&phone);
	t_fini(&t);
}

static void sessions_are_resumed_and_ticket_keys_turn_over(void **state)
{
	(void)state;
	resumption_of(TLS1_2_VERSION);
	resumption_of(TLS1_3_VERSION);
}

/* What was proved when the session began holds for as long as the certificate. */
static void a_session_outlives_no_certificate(void **state)
{
	const struct cert_spec an_hour = {.san = {{GEN_DNS, "pbx.example", 0}}, .n_san = 1, .from_s = -3600, .to_s = 3600};

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (int mode = NET_CERT_REQUEST; mode <= NET_CERT_REQUIRE; mode++) {
			struct tls_world t;
			struct pair phone;
			struct tpeer p;
			SSL_SESSION *first;
			char b[8];

			t_init(&t, (uint8_t)mode);
			t.w.on = echo;
			phone = make_cert(&t.root, &an_hour);
			tp_init(&p, false, &phone);
			SSL_CTX_set_max_proto_version(p.ctx, version);
			assert_false(resumed(&t, &p, NULL, &first));
			assert_true(net_identity(t.w.net, &t.w.got[0].path)->verified);
			w_skip(&t.w, 3601 * 1000);
			if (mode == NET_CERT_REQUEST) { /* heard as nobody */
				assert_true(resumed(&t, &p, first, NULL));
				assert_false(net_identity(t.w.net, &t.w.got[1].path)->verified);
				assert_int_equal(count(&t, NET_TLS_UNPROVEN), 1);
			} else {
				tp_end(&p);
				tp_start(&p, peer_connect(&t.w, &t.us, NULL));
				assert_int_equal(SSL_set_session(p.ssl, first), 1);
				(void)tp_handshake(&t.w, &p);
				(void)SSL_write(p.ssl, "L0001:x", 7);
				assert_true(tp_read(&t.w, &p, b, sizeof(b)) < 0);
				assert_int_equal(t.w.n_got, 1);
				assert_int_equal(count(&t, NET_TLS_REFUSED), 1);
			}
			assert_int_equal(t.w.n_unproven, 1);
			assert_int_equal(t.w.unproven_err, -NET_ERR_TLS_EXPIRED);
			SSL_SESSION_free(first);
			tp_fini(&p);
			pair_free(&phone);
			t_fini(&t);
		}
}

static void our_sessions_are_resumed_until_what_is_asked_changes(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct tls_world t;
		struct pair itsp;
		struct far f;

		t_init(&t, NET_CERT_REQUEST);
		itsp = make_dns(&t.root, "itsp.example");
		far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example")});
		SSL_CTX_set_max_proto_version(f.p.ctx, version);
		SSL_CTX_set_session_id_context(f.p.ctx, (const unsigned char *)"x", 1);
		for (unsigned i = 0; i < 4; i++) {
			const struct net_identity *who;

			if (i == 3) /* another name would do as well: prove it anew */
				assert_int_equal(net_peer_set(t.w.net, &f.path.peer,
				                     &(struct net_peer){.name = S("itsp.example"), .names = &S("b.example"), .n_names = 1}),
				    0);
			assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
			tp_expect(&t.w, &f.p, "L0001:x");
			tp_write(&t.w, &f.p, "L0001:y", 7);
			W_UNTIL(&t.w, t.w.n_got == i + 1);
			who = net_identity(t.w.net, &f.path);
			assert_true(who && who->verified && str_eq(who->names[0], S("itsp.example")));
			assert_int_equal(SSL_session_reused(f.p.ssl), i == 1 || i == 2);
			/* cut, without a word: the session is good nevertheless */
			tp_end(&f.p);
			W_UNTIL(&t.w, count(&t, NET_TCP_OPEN) == 0);
		}
		far_fini(&f);
		pair_free(&itsp);
		t_fini(&t);
	}
}

/* ---- TLS-04 ---- */

static void the_certificate_is_chosen_by_the_name_asked_for(void **state)
{
	static const struct {
		const char *sni, *local;
		bool a;
	} tries[] = {{"edge.example", "edge.example", true}, {"OTHER.example", "other.example", false},
	    {"unknown.example", "edge.example", true}, {NULL, "edge.example", true}};
	struct tls_world t;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	for (unsigned i = 0; i < ARRAY_LEN(tries); i++) {
		struct tpeer p;
		const struct net_identity *who;
		X509 *x;

		tp_init(&p, false, NULL);
		tp_start(&p, peer_connect(&t.w, &t.us, NULL));
		if (tries[i].sni)
			assert_int_equal(SSL_set_tlsext_host_name(p.ssl, tries[i].sni), 1);
		assert_int_equal(tp_handshake(&t.w, &p), 1);
		x = SSL_get0_peer_certificate(p.ssl);
		assert_int_equal(X509_cmp(x, tries[i].a ? t.a.x : t.b.x), 0);
		tp_write(&t.w, &p, "L0001:x", 7);
		W_UNTIL(&t.w, t.w.n_got == i + 1);
		who = net_identity(t.w.net, &t.w.got[i].path);
		assert_true(who && str_eq(who->local, str_z(tries[i].local)));
		tp_fini(&p);
	}
	t_fini(&t);
}

static void the_name_to_be_reached_is_asked_for(void **state)
{
	static const struct {
		struct str name;
		const char *sni;
	} tries[] = {{S("itsp.example"), "itsp.example"}, {S("itsp.example."), "itsp.example"}, {S("127.0.0.1"), NULL},
	    {S("[::1]"), NULL}};
	struct tls_world t;
	struct pair itsp;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	itsp = make_dns(&t.root, "itsp.example");
	for (unsigned i = 0; i < ARRAY_LEN(tries); i++) {
		struct far f;
		const char *sni;

		far_init(&t, &f, &itsp, &(struct net_peer){.name = tries[i].name, .verify = NET_VERIFY_CHAIN});
		assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
		sni = SSL_get_servername(f.p.ssl, TLSEXT_NAMETYPE_host_name);
		if (tries[i].sni)
			assert_string_equal(sni, tries[i].sni);
		else
			assert_null(sni);
		far_fini(&f);
	}
	pair_free(&itsp);
	t_fini(&t);
}

static void the_certificate_of_a_peers_choice_is_shown(void **state)
{
	struct tls_world t;
	struct pair itsp;
	struct far f;
	uint32_t id = 0;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	itsp = make_dns(&t.root, "itsp.example");
	far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example"), .certificate = S("b")});
	SSL_CTX_set_verify(f.p.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, trust_all);
	assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
	assert_int_equal(X509_cmp(SSL_get0_peer_certificate(f.p.ssl), t.b.x), 0);
	far_fini(&f);
	/* the realm's, when none is named */
	far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example")});
	SSL_CTX_set_verify(f.p.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, trust_all);
	assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
	assert_int_equal(X509_cmp(SSL_get0_peer_certificate(f.p.ssl), t.a.x), 0);
	far_fini(&f);
	assert_int_equal(
	    net_peer_set(t.w.net, &id, &(struct net_peer){.name = S("itsp.example"), .certificate = S("c")}), -ENOENT);
	pair_free(&itsp);
	t_fini(&t);
}

/* ---- TLS-05, TLS-09, TLS-10, TLS-12: what a server must prove ---- */

struct proof {
	const char *what;
	struct net_peer as;
	struct cert_spec cert;
	int by;    /* 0: our root, 1: another root, 2: itself */
	int err;   /* 0: it is up */
	int alert;
	const char *says; /* in the text of the error */
};

static void servers_prove_what_they_must(void **state)
{
	static const struct str other[] = {S("sbc1.example"), S("pop.example")};
	static const struct proof proofs[] = {
	    {"good", {.name = S("ITSP.example")}, {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1}, 0, 0, 0, NULL},
	    {"by sip: URI", {.name = S("itsp.example")}, {.san = {{GEN_URI, "sip:itsp.example", 0}}, .n_san = 1}, 0, 0, 0, NULL},
	    {"signed by itself", {.name = S("itsp.example")}, {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1}, 2,
	        -NET_ERR_TLS_UNTRUSTED, SSL_AD_UNKNOWN_CA, "self"},
	    {"unknown root", {.name = S("itsp.example")}, {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1}, 1,
	        -NET_ERR_TLS_UNTRUSTED, SSL_AD_UNKNOWN_CA, "unable to get local issuer"},
	    {"expired", {.name = S("itsp.example")},
	        {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1, .from_s = -2 * DAY_S, .to_s = -60}, 0,
	        -NET_ERR_TLS_EXPIRED, SSL_AD_CERTIFICATE_EXPIRED, "expired"},
	    {"not yet", {.name = S("itsp.example")},
	        {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1, .from_s = 3600, .to_s = 2 * DAY_S}, 0,
	        -NET_ERR_TLS_EXPIRED, SSL_AD_BAD_CERTIFICATE, "not yet valid"},
	    {"the SRV target's name", {.name = S("itsp.example")},
	        {.san = {{GEN_DNS, "sbc7.pop.example", 0}, {GEN_DNS, "sbc8.pop.example", 0}}, .n_san = 2}, 0,
	        -NET_ERR_TLS_NAME, SSL_AD_BAD_CERTIFICATE, "names sbc7.pop.example, sbc8.pop.example, expected itsp.example"},
	    {"a further name", {.name = S("itsp.example"), .names = other, .n_names = 2},
	        {.san = {{GEN_DNS, "pop.example", 0}}, .n_san = 1}, 0, 0, 0, NULL},
	    {"none of them", {.name = S("itsp.example"), .names = other, .n_names = 2},
	        {.san = {{GEN_DNS, "x.example", 0}}, .n_san = 1}, 0, -NET_ERR_TLS_NAME, SSL_AD_BAD_CERTIFICATE,
	        "names x.example, expected itsp.example or sbc1.example or pop.example"},
	    {"dNSName beside sip: URI", {.name = S("b.example")},
	        {.san = {{GEN_URI, "sip:a.example", 0}, {GEN_DNS, "b.example", 0}}, .n_san = 2}, 0, -NET_ERR_TLS_NAME,
	        SSL_AD_BAD_CERTIFICATE, "names a.example, expected b.example"},
	    {"only sips: URI", {.name = S("a.example")}, {.san = {{GEN_URI, "sips:a.example", 0}}, .n_san = 1}, 0,
	        -NET_ERR_TLS_NAME, SSL_AD_BAD_CERTIFICATE, "names nobody, expected a.example"},
	    {"a user's", {.name = S("a.example")}, {.san = {{GEN_URI, "sip:u@a.example", 0}}, .n_san = 1}, 0,
	        -NET_ERR_TLS_NAME, SSL_AD_BAD_CERTIFICATE, "names nobody"},
	    {"common name beside a SAN", {.name = S("a.example")},
	        {.cn = "a.example", .san = {{GEN_DNS, "b.example", 0}}, .n_san = 1}, 0, -NET_ERR_TLS_NAME,
	        SSL_AD_BAD_CERTIFICATE, "names b.example"},
	    {"common name alone", {.name = S("a.example")}, {.cn = "a.example"}, 0, 0, 0, NULL},
	    {"wildcard", {.name = S("sip1.example.com")}, {.san = {{GEN_DNS, "*.example.com", 0}}, .n_san = 1}, 0,
	        -NET_ERR_TLS_NAME, SSL_AD_BAD_CERTIFICATE, "names *.example.com, expected sip1.example.com"},
	    {"wildcard, relaxed", {.name = S("sip1.example.com"), .verify = NET_VERIFY_RELAXED},
	        {.san = {{GEN_DNS, "*.example.com", 0}}, .n_san = 1}, 0, 0, 0, NULL},
	    {"suffix", {.name = S("itsp.example")}, {.san = {{GEN_DNS, "sub.itsp.example", 0}}, .n_san = 1}, 0,
	        -NET_ERR_TLS_NAME, SSL_AD_BAD_CERTIFICATE, NULL},
	    {"a NUL in it", {.name = S("itsp.example")},
	        {.san = {{GEN_DNS, "itsp.example\0.evil.example", 26}}, .n_san = 1}, 0, -NET_ERR_TLS_NAME,
	        SSL_AD_BAD_CERTIFICATE, "cannot be read"},
	    {"whatever it names", {.name = S("itsp.example"), .verify = NET_VERIFY_CHAIN},
	        {.san = {{GEN_DNS, "x.example", 0}}, .n_san = 1}, 0, 0, 0, NULL},
	    {"whatever it names, but trusted", {.name = S("itsp.example"), .verify = NET_VERIFY_CHAIN},
	        {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1}, 1, -NET_ERR_TLS_UNTRUSTED, SSL_AD_UNKNOWN_CA, NULL},
	    {"anything", {.name = S("itsp.example"), .verify = NET_VERIFY_NONE},
	        {.san = {{GEN_DNS, "x.example", 0}}, .n_san = 1, .from_s = -2 * DAY_S, .to_s = -60}, 2, 0, 0, NULL},
	    {"an address", {.name = S("127.0.0.1")}, {.san = {{GEN_IPADD, "\x7f\0\0\1", 4}}, .n_san = 1}, 0, 0, 0, NULL},
	    {"another address", {.name = S("127.0.0.1")}, {.san = {{GEN_IPADD, "\x7f\0\0\2", 4}}, .n_san = 1}, 0,
	        -NET_ERR_TLS_NAME, SSL_AD_BAD_CERTIFICATE, "names 127.0.0.2, expected 127.0.0.1"},
	    {"an address as a name", {.name = S("127.0.0.1")}, {.san = {{GEN_DNS, "127.0.0.1", 0}}, .n_san = 1}, 0,
	        -NET_ERR_TLS_NAME, SSL_AD_BAD_CERTIFICATE, NULL},
	    {"nobody in particular", {.name = S("")}, {.san = {{GEN_IPADD, "\x7f\0\0\1", 4}}, .n_san = 1}, 0, 0, 0, NULL},
	    {"for mail", {.name = S("itsp.example")},
	        {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1, .eku = "emailProtection"}, 0, -NET_ERR_TLS_PURPOSE,
	        SSL_AD_UNSUPPORTED_CERTIFICATE, "not meant for SIP"},
	    {"for SIP", {.name = S("itsp.example")},
	        {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1, .eku = "1.3.6.1.5.5.7.3.20"}, 0, 0, 0, NULL},
	    {"for anything", {.name = S("itsp.example")},
	        {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1, .eku = "anyExtendedKeyUsage"}, 0, 0, 0, NULL},
	    {"for servers", {.name = S("itsp.example")},
	        {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1, .eku = "serverAuth"}, 0, 0, 0, NULL},
	};
	struct tls_world t;
	struct pair foreign;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	foreign = make_ca("foreign");
	for (unsigned i = 0; i < ARRAY_LEN(proofs); i++) {
		const struct proof *f = &proofs[i];
		struct pair p = make_cert(f->by == 0 ? &t.root : f->by == 1 ? &foreign : NULL, &f->cert);

		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
			struct far far;
			char b[8];
			int64_t when;
			int r;

			far_init(&t, &far, &p, &f->as);
			SSL_CTX_set_max_proto_version(far.p.ctx, version);
			t.w.n_lost = 0;
			r = far_call(&t, &far, "L0001:x");
			if (!f->err) {
				if (r != 1)
					fail_msg("%s: %s", f->what, netio_peer_error(t.w.io, far.path.peer, &when));
				tp_expect(&t.w, &far.p, "L0001:x");
				assert_int_equal(t.w.n_lost, 0);
			} else {
				const char *text;

				if (r == 1)
					fail_msg("%s: it came up", f->what);
				if (last_alert() != f->alert)
					fail_msg("%s: alert %d", f->what, last_alert());
				/* nothing of ours went out, and never will */
				assert_true(SSL_read(far.p.ssl, b, sizeof(b)) <= 0);
				W_UNTIL(&t.w, t.w.n_lost == 1);
				if (t.w.lost[0].err != f->err)
					fail_msg("%s: error %x", f->what, -t.w.lost[0].err);
				text = netio_peer_error(t.w.io, far.path.peer, &when);
				assert_non_null(text);
				assert_non_null(strstr(text, "certificate of 127.0.0.1:"));
				if (f->says && !strstr(text, f->says))
					fail_msg("%s: says %s", f->what, text);
			}
			net_peer_del(t.w.net, far.path.peer);
			far_fini(&far);
		}
		pair_free(&p);
	}
	pair_free(&foreign);
	t_fini(&t);
}

static void issuers_between_are_checked_too(void **state)
{
	struct cert_spec ca = {.cn = "between", .ca = true}, mail = {.cn = "mail", .ca = true, .eku = "emailProtection"};
	struct cert_spec leaf = {.cn = "no ca"};
	struct {
		struct cert_spec *spec;
		int err;
	} tries[] = {{&ca, 0}, {&mail, -NET_ERR_TLS_PURPOSE}, {&leaf, -NET_ERR_TLS_UNTRUSTED}};
	struct tls_world t;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	for (unsigned i = 0; i < ARRAY_LEN(tries); i++) {
		struct pair between = make_cert(&t.root, tries[i].spec), p = make_dns(&between, "itsp.example");
		struct far f;

		far_init(&t, &f, &p, &(struct net_peer){.name = S("itsp.example")});
		assert_int_equal(SSL_CTX_add1_chain_cert(f.p.ctx, between.x), 1);
		t.w.n_lost = 0;
		if (tries[i].err) {
			assert_true(far_call(&t, &f, "L0001:x") < 0);
			W_UNTIL(&t.w, t.w.n_lost == 1);
			assert_int_equal(t.w.lost[0].err, tries[i].err);
		} else {
			assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
		}
		far_fini(&f);
		pair_free(&p);
		pair_free(&between);
	}
	t_fini(&t);
}

/* ---- revocation ---- */

static void put_crl(const char *path, const struct pair *by, const X509 *revoked)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL, DAY_S);
	FILE *f = fopen(path, "w");

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(by->x));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, next);
	if (revoked) {
		X509_REVOKED *r = X509_REVOKED_new();
		ASN1_INTEGER *serial = ASN1_INTEGER_dup(X509_get0_serialNumber(revoked));

		X509_REVOKED_set_serialNumber(r, serial);
		X509_REVOKED_set_revocationDate(r, now);
		X509_CRL_add0_revoked(crl, r);
		ASN1_INTEGER_free(serial);
	}
	assert_true(X509_CRL_sign(crl, by->key, EVP_sha256()) > 0);
	assert_non_null(f);
	assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
	fclose(f);
	X509_CRL_free(crl);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
}

static void what_was_revoked_is_refused(void **state)
{
	struct tls_world t;
	struct pair good, bad, between, under;
	struct cert_spec ca = {.cn = "between", .ca = true};
	struct store_spec spec = {.names = {"a", "b"}, .crl = "crl.pem"};
	struct tls_error err;
	struct tls_store *store;
	char path[128];
	struct far f;
	struct tpeer p = {.fd = -1};
	char b[8];

	(void)state;
	t_init(&t, NET_CERT_REQUIRE);
	good = make_dns(&t.root, "itsp.example");
	bad = make_dns(&t.root, "itsp.example");
	between = make_cert(&t.root, &ca);
	under = make_dns(&between, "itsp.example");
	put_crl(dir_file(&t.dir, "crl.pem", path), &t.root, bad.x);
	store = load(&t.dir, &spec, &err);
	if (!store)
		fail_msg("%s", err.text);
	assert_int_equal(netio_set_tls(t.w.io, store), 0);
	far_init(&t, &f, &bad, &(struct net_peer){.name = S("itsp.example")});
	assert_true(far_call(&t, &f, "L0001:x") < 0);
	assert_int_equal(last_alert(), SSL_AD_CERTIFICATE_REVOKED);
	W_UNTIL(&t.w, t.w.n_lost == 1);
	assert_int_equal(t.w.lost[0].err, -NET_ERR_TLS_REVOKED);
	far_fini(&f);
	far_init(&t, &f, &good, &(struct net_peer){.name = S("itsp.example")});
	assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
	far_fini(&f);
	/* an issuer that no list speaks for is not checked */
	far_init(&t, &f, &under, &(struct net_peer){.name = S("itsp.example")});
	assert_int_equal(SSL_CTX_add1_chain_cert(f.p.ctx, between.x), 1);
	assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
	far_fini(&f);
	/* who connects is asked the same */
	tp_init(&p, false, &bad);
	SSL_CTX_set_max_proto_version(p.ctx, TLS1_2_VERSION);
	assert_true(connect_as(&t, &p, &bad) < 0);
	assert_int_equal(last_alert(), SSL_AD_CERTIFICATE_REVOKED);
	tp_end(&p);
	(void)b;
	tp_fini(&p);
	pair_free(&good);
	pair_free(&bad);
	pair_free(&under);
	pair_free(&between);
	tls_store_unref(store);
	t_fini(&t);
}

/* what the far end staples */
struct staple {
	unsigned char *der;
	int n;
};

static int give_staple(SSL *ssl, void *arg)
{
	const struct staple *s = arg;
	unsigned char *copy;

	if (!s->der)
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(s->der, (size_t)s->n);
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, s->n);
	return SSL_TLSEXT_ERR_OK;
}

static struct staple make_staple(const struct pair *by, const struct pair *of, const struct pair *issuer, int status, long from_s)
{
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(NULL, of->x, issuer->x);
	ASN1_TIME *from = X509_gmtime_adj(NULL, from_s), *next = X509_gmtime_adj(NULL, from_s + 3600);
	OCSP_RESPONSE *r;
	struct staple s = {NULL, 0};

	assert_non_null(OCSP_basic_add1_status(basic, id, status, 0, status == V_OCSP_CERTSTATUS_REVOKED ? from : NULL, from, next));
	assert_int_equal(OCSP_basic_sign(basic, by->x, by->key, EVP_sha256(), NULL, 0), 1);
	r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	s.n = i2d_OCSP_RESPONSE(r, &s.der);
	assert_true(s.n > 0);
	OCSP_RESPONSE_free(r);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(from);
	ASN1_TIME_free(next);
	return s;
}

static void a_staple_that_says_revoked_is_believed(void **state)
{
	struct tls_world t;
	struct pair itsp, foreign;
	struct staple s[6];
	static const bool up[] = {true, true, false, true, true, true};

	(void)state;
	t_init_as(&t, NET_CERT_REQUEST, false, &(struct store_spec){.ocsp = true});
	itsp = make_dns(&t.root, "itsp.example");
	foreign = make_ca("foreign");
	s[0] = (struct staple){NULL, 0};
	s[1] = make_staple(&t.root, &itsp, &t.root, V_OCSP_CERTSTATUS_GOOD, -60);
	s[2] = make_staple(&t.root, &itsp, &t.root, V_OCSP_CERTSTATUS_REVOKED, -60);
	/* by somebody who may not say so, too old, or garbage: no proof of anything */
	s[3] = make_staple(&foreign, &itsp, &t.root, V_OCSP_CERTSTATUS_REVOKED, -60);
	s[4] = make_staple(&t.root, &itsp, &t.root, V_OCSP_CERTSTATUS_REVOKED, -2 * DAY_S);
	s[5] = (struct staple){OPENSSL_memdup("garbage", 7), 7};
	for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
		struct far f;
		int r;

		far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example")});
		SSL_CTX_set_tlsext_status_cb(f.p.ctx, give_staple);
		SSL_CTX_set_tlsext_status_arg(f.p.ctx, &s[i]);
		t.w.n_lost = 0;
		r = far_call(&t, &f, "L0001:x");
		if ((r == 1) != up[i])
			fail_msg("staple %u: %d", i, r);
		if (!up[i]) {
			assert_int_equal(last_alert(), SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE);
			W_UNTIL(&t.w, t.w.n_lost == 1);
			assert_int_equal(t.w.lost[0].err, -NET_ERR_TLS_REVOKED);
		}
		far_fini(&f);
		OPENSSL_free(s[i].der);
	}
	pair_free(&itsp);
	pair_free(&foreign);
	t_fini(&t);
}

/* RFC 7633: a certificate that says so is nothing without a good staple, where staples are looked at. */
static void a_certificate_that_must_be_stapled_is_not_believed_without(void **state)
{
	static const struct {
		const char *what;
		bool asked; /* ocsp-stapling = yes */
		bool must;
		int staple; /* index below; -1: none */
		int err;
	} tries[] = {
	    {"good", true, true, 0, 0},
	    {"none", true, true, -1, NET_ERR_TLS_NO_STAPLE},
	    {"unknown", true, true, 1, NET_ERR_TLS_NO_STAPLE},
	    {"too old", true, true, 2, NET_ERR_TLS_NO_STAPLE},
	    {"another's", true, true, 3, NET_ERR_TLS_NO_STAPLE},
	    {"by a stranger", true, true, 4, NET_ERR_TLS_NO_STAPLE},
	    {"revoked", true, true, 5, NET_ERR_TLS_REVOKED},
	    {"need not", true, false, -1, 0},
	    {"nobody asked", false, true, -1, 0},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(tries); i++) {
		struct tls_world t;
		struct pair itsp, other, foreign = make_ca("foreign");
		struct staple s[6], none = {NULL, 0};
		struct cert_spec spec = {.san = {{GEN_DNS, "itsp.example", 0}}, .n_san = 1, .must_staple = tries[i].must};
		const char *said;
		int64_t when;
		struct far f;
		int r;

		t_init_as(&t, NET_CERT_REQUEST, false, &(struct store_spec){.ocsp = tries[i].asked});
		itsp = make_cert(&t.root, &spec);
		other = make_dns(&t.root, "itsp.example");
		s[0] = make_staple(&t.root, &itsp, &t.root, V_OCSP_CERTSTATUS_GOOD, -60);
		s[1] = make_staple(&t.root, &itsp, &t.root, V_OCSP_CERTSTATUS_UNKNOWN, -60);
		s[2] = make_staple(&t.root, &itsp, &t.root, V_OCSP_CERTSTATUS_GOOD, -2 * DAY_S);
		s[3] = make_staple(&t.root, &other, &t.root, V_OCSP_CERTSTATUS_GOOD, -60);
		s[4] = make_staple(&foreign, &itsp, &t.root, V_OCSP_CERTSTATUS_GOOD, -60);
		s[5] = make_staple(&t.root, &itsp, &t.root, V_OCSP_CERTSTATUS_REVOKED, -60);
		far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example")});
		SSL_CTX_set_tlsext_status_cb(f.p.ctx, give_staple);
		SSL_CTX_set_tlsext_status_arg(f.p.ctx, tries[i].staple < 0 ? &none : &s[tries[i].staple]);
		r = far_call(&t, &f, "L0001:x");
		if ((r == 1) != !tries[i].err)
			fail_msg("%s: %d", tries[i].what, r);
		if (tries[i].err) {
			W_UNTIL(&t.w, t.w.n_lost == 1);
			if (t.w.lost[0].err != -tries[i].err)
				fail_msg("%s: %x", tries[i].what, (unsigned)-t.w.lost[0].err);
			said = netio_peer_error(t.w.io, f.path.peer, &when);
			assert_non_null(said);
			if (tries[i].err == NET_ERR_TLS_NO_STAPLE) {
				assert_int_equal(net_error_reason(t.w.lost[0].err), REASON_TLS_NO_STAPLE);
				assert_non_null(strstr(said, tries[i].staple < 0 ? "none came" : "not a good one"));
			}
		}
		far_fini(&f);
		for (unsigned k = 0; k < ARRAY_LEN(s); k++)
			OPENSSL_free(s[k].der);
		pair_free(&itsp);
		pair_free(&other);
		pair_free(&foreign);
		t_fini(&t);
	}
}

/* ---- TLS-11, REUSE-03: what a client must prove ---- */

static void clients_prove_what_the_listener_asks(void **state)
{
	static const struct {
		const char *what;
		int by; /* -1: no certificate; 0: our root, 1: another */
		const char *eku;
		bool proved;
		int alert; /* of REQUIRE, when it is not proved */
		enum reason why;
	} tries[] = {
	    {"none", -1, NULL, false, SSL_AD_CERTIFICATE_REQUIRED, REASON_TLS_NO_CERT},
	    {"good", 0, NULL, true, 0, REASON_NONE},
	    {"foreign", 1, NULL, false, SSL_AD_UNKNOWN_CA, REASON_TLS_UNTRUSTED},
	    {"for mail", 0, "emailProtection", false, SSL_AD_UNSUPPORTED_CERTIFICATE, REASON_TLS_PURPOSE},
	    {"for SIP", 0, "1.3.6.1.5.5.7.3.20", true, 0, REASON_NONE},
	    {"for servers only", 0, "serverAuth", true, 0, REASON_NONE},
	};

	(void)state;
	for (int mode = NET_CERT_REQUEST; mode <= NET_CERT_NONE; mode++) {
		struct tls_world t;
		struct pair foreign = make_ca("foreign");
		unsigned told = 0, before = 0;

		t_init(&t, (uint8_t)mode);
		for (unsigned i = 0; i < ARRAY_LEN(tries); i++) {
			struct cert_spec s = {.san = {{GEN_DNS, "pbx.example", 0}}, .n_san = 1, .eku = tries[i].eku};
			struct pair pair = {NULL, NULL};
			const struct net_identity *who;
			struct tpeer p = {.fd = -1};
			uint64_t refused = count(&t, NET_TLS_REFUSED);
			char b[8];

			if (tries[i].by >= 0)
				pair = make_cert(tries[i].by ? &foreign : &t.root, &s);
			/* TLS 1.3: its handshake is over before we have seen the certificate */
			assert_int_equal(connect_as(&t, &p, tries[i].by >= 0 ? &pair : NULL), 1);
			t.w.n_got = 0;
			tp_write(&t.w, &p, "L0001:x", 7);
			if (mode == NET_CERT_REQUIRE && !tries[i].proved) {
				assert_true(tp_read(&t.w, &p, b, sizeof(b)) < 0);
				if (last_alert() != tries[i].alert)
					fail_msg("%s: alert %d", tries[i].what, last_alert());
				assert_int_equal(t.w.n_got, 0);
				assert_int_equal(count(&t, NET_TLS_REFUSED), refused + 1);
			} else {
				bool proved = tries[i].proved && mode != NET_CERT_NONE;

				W_UNTIL(&t.w, t.w.n_got == 1);
				who = net_identity(t.w.net, &t.w.got[0].path);
				assert_non_null(who);
				if (who->verified != proved || who->n_names != proved)
					fail_msg("%s: verified %d", tries[i].what, who->verified);
			}
			/* of those it asked, it told what was wrong with what they showed */
			if (mode == NET_CERT_REQUIRE || (mode == NET_CERT_REQUEST && tries[i].by >= 0))
				told += !tries[i].proved;
			if (t.w.n_unproven != told)
				fail_msg("%s: told %u times", tries[i].what, t.w.n_unproven);
			if (told > before && net_error_reason(t.w.unproven_err) != tries[i].why)
				fail_msg("%s: told %s", tries[i].what, t.w.unproven_text);
			before = told;
			tp_fini(&p);
			pair_free(&pair);
		}
		assert_int_equal(count(&t, NET_TLS_UNPROVEN), mode == NET_CERT_REQUEST ? 2 : 0);
		pair_free(&foreign);
		t_fini(&t);
	}
}

/* ---- TLS-14 ---- */

static void a_new_store_serves_new_handshakes_and_leaves_connections_alone(void **state)
{
	enum { N = 50 };
	struct tls_world t;
	struct tpeer old[N], p = {.fd = -1};
	struct pair renewed;
	struct store_spec spec = {.names = {"a", "b"}}, less = {.names = {"b"}};
	struct tls_error err;
	struct tls_store *store, *without;
	struct tls_cert_view v;

	(void)state;
	t_init(&t, NET_CERT_NONE);
	t.w.cfg.max_conns_source = N + 10;
	t.w.cfg.tls = t.store;
	{
		struct netio_error ne;

		assert_int_equal(netio_reload(t.w.io, &t.w.cfg, &ne), 0);
	}
	t.w.on = echo;
	for (unsigned i = 0; i < N; i++) {
		old[i] = (struct tpeer){.fd = -1};
		assert_int_equal(connect_as(&t, &old[i], NULL), 1);
	}
	renewed = make_dns(&t.root, "edge.example");
	put_pair(&t.dir, "a", &renewed, NULL);
	store = load(&t.dir, &spec, &err);
	assert_non_null(store);
	assert_int_equal(netio_set_tls(t.w.io, store), 0);
	tls_store_unref(t.store); /* the connections hold the old one */
	t.store = store;
	assert_int_equal(connect_as(&t, &p, NULL), 1);
	assert_int_equal(X509_cmp(SSL_get0_peer_certificate(p.ssl), renewed.x), 0);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(X509_cmp(SSL_get0_peer_certificate(old[i].ssl), t.a.x), 0);
		tp_write(&t.w, &old[i], "L0001:x", 7);
		tp_expect(&t.w, &old[i], "L0001:x");
	}
	assert_int_equal(count(&t, NET_TCP_LOST), 0);
	assert_int_equal(count(&t, NET_TCP_OPEN), N + 1);
	/* a store without a certificate that a listener shows is refused */
	without = load(&t.dir, &less, &err);
	assert_non_null(without);
	assert_int_equal(netio_set_tls(t.w.io, without), -ENOENT);
	tls_store_unref(without);
	/* what the CLI shows of it */
	assert_int_equal(tls_store_cert_count(store), 2);
	tls_store_cert(store, 0, &v);
	assert_true(str_eq(v.name, S("a")) && v.n_domains == 1 && str_eq(v.domains[0], S("edge.example")));
	assert_true(str_eq(v.key_type, S("EC P-256")));
	assert_true(str_eq(v.issuer, S("CN=root,O=test")));
	assert_true(v.not_after_us > t.w.loop.clock.wall_us && v.not_before_us < t.w.loop.clock.wall_us);
	assert_int_equal(tls_store_root_count(store), 1);
	/* the test's root ends within the 30 days of warning */
	assert_true(tls_store_root(store, t.w.loop.clock.wall_us, 0, &v));
	assert_false(tls_store_root(store, t.w.loop.clock.wall_us, 1, &v));
	assert_false(tls_store_root(store, t.w.loop.clock.wall_us - (int64_t)60 * DAY_S * 1000000, 0, &v));
	for (unsigned i = 0; i < N; i++)
		tp_fini(&old[i]);
	tp_fini(&p);
	pair_free(&renewed);
	t_fini(&t);
}

static void expect_refused(const struct dir *d, enum reason why, const char *says)
{
	struct store_spec spec = {.names = {"a"}};
	struct tls_error err;
	struct tls_store *s = load(d, &spec, &err);

	assert_null(s);
	assert_int_equal(err.reason, why);
	if (!strstr(err.text, says))
		fail_msg("says: %s", err.text);
	assert_non_null(strstr(err.text, "cert a: "));
	assert_true(strlen(err.hint) > 0);
}

static void a_pair_that_does_not_fit_is_refused_with_what_is_wrong(void **state)
{
	struct dir d;
	struct pair root = make_ca("root"), a = make_dns(&root, "a.example"), b = make_dns(&root, "b.example"), odd;
	struct store_spec spec = {.names = {"a"}};
	struct tls_error err;
	struct tls_store *s;
	char path[128], path2[128];
	X509 *chain[2];

	(void)state;
	dir_init(&d);
	put_certs(dir_file(&d, "root.pem", path), &root.x, 1);
	expect_refused(&d, REASON_TLS_CERT_UNREADABLE, "No such file");
	put_text(dir_file(&d, "a.pem", path), "no PEM\n");
	put_key(dir_file(&d, "a.key", path2), a.key, 0600);
	expect_refused(&d, REASON_TLS_CERT_UNREADABLE, "holds no certificate");
	put_text(path, "-----BEGIN CERTIFICATE-----\nMIIBgarbage\n-----END CERTIFICATE-----\n");
	expect_refused(&d, REASON_TLS_CERT_UNREADABLE, "a broken one");
	put_certs(path, &a.x, 1);
	put_key(path2, a.key, 0640);
	expect_refused(&d, REASON_TLS_KEY_PERMISSIONS, "has mode 0640");
	put_key(path2, a.key, 0604);
	expect_refused(&d, REASON_TLS_KEY_PERMISSIONS, "has mode 0604");
	put_key(path2, b.key, 0600);
	expect_refused(&d, REASON_TLS_KEY_MISMATCH, "does not belong to");
	put_text(path2, "nothing\n");
	assert_int_equal(chmod(path2, 0600), 0);
	expect_refused(&d, REASON_TLS_CERT_UNREADABLE, "no private key");
	put_key(path2, a.key, 0600);
	unlink(path2);
	assert_int_equal(mkdir(path2, 0700), 0);
	expect_refused(&d, REASON_TLS_CERT_UNREADABLE, "a.key");
	assert_int_equal(rmdir(path2), 0);
	put_key(path2, a.key, 0600);
	/* the chain in the wrong order */
	chain[0] = a.x;
	chain[1] = b.x;
	put_certs(path, chain, 2);
	expect_refused(&d, REASON_TLS_CERT_UNREADABLE, "was not issued by the one behind it");
	chain[1] = root.x;
	put_certs(path, chain, 2);
	s = load(&d, &spec, &err);
	assert_non_null(s);
	tls_store_unref(s);
	odd = make_cert(&root, &(struct cert_spec){.cn = "a", .from_s = -2 * DAY_S, .to_s = -DAY_S});
	put_pair(&d, "a", &odd, NULL);
	expect_refused(&d, REASON_TLS_EXPIRED, "expired at");
	pair_free(&odd);
	odd = make_cert(&root, &(struct cert_spec){.cn = "a", .from_s = DAY_S, .to_s = 2 * DAY_S});
	put_pair(&d, "a", &odd, NULL);
	expect_refused(&d, REASON_TLS_EXPIRED, "is not valid before");
	pair_free(&odd);
	odd = make_cert(&root, &(struct cert_spec){.cn = "a", .eku = "emailProtection"});
	put_pair(&d, "a", &odd, NULL);
	expect_refused(&d, REASON_TLS_PURPOSE, "not meant for TLS or SIP");
	pair_free(&odd);
	odd = make_cert(&root, &(struct cert_spec){.san = {{GEN_DNS, "a\0b", 3}}, .n_san = 1});
	put_pair(&d, "a", &odd, NULL);
	expect_refused(&d, REASON_TLS_CERT_UNREADABLE, "names cannot be read");
	pair_free(&odd);
	/* a weak key */
	{
		EVP_PKEY *weak = EVP_RSA_gen(1024);

		odd = make_cert(&root, &(struct cert_spec){.cn = "a", .key = weak});
		put_pair(&d, "a", &odd, NULL);
		expect_refused(&d, REASON_TLS_CERT_UNREADABLE, "too small");
		pair_free(&odd);
		EVP_PKEY_free(weak);
	}
	/* keys stand nowhere in what can be looked at */
	put_pair(&d, "a", &a, NULL);
	spec.crl = "junk.pem";
	put_text(dir_file(&d, "junk.pem", path), "junk");
	s = load(&d, &spec, &err);
	assert_null(s);
	assert_non_null(strstr(err.text, "crl: "));
	spec.crl = NULL;
	put_text(dir_file(&d, "root.pem", path), "junk");
	s = load(&d, &spec, &err);
	assert_null(s);
	assert_non_null(strstr(err.text, "trust: "));
	pair_free(&a);
	pair_free(&b);
	pair_free(&root);
	dir_fini(&d);
}

static void a_folder_is_trusted_as_a_whole(void **state)
{
	struct dir d;
	struct pair one = make_ca("one"), two = make_ca("two");
	struct tls_error err;
	struct tls_store *s;
	char path[128];
	const char *trust;
	struct tls_cfg cfg = {.trust = &trust, .n_trust = 1};
	X509 *both[2] = {one.x, two.x};

	(void)state;
	dir_init(&d);
	trust = d.path;
	s = tls_store_load(&cfg, &err);
	assert_null(s);
	assert_non_null(strstr(err.text, "holds no certificate"));
	put_certs(dir_file(&d, "root.pem", path), &one.x, 1);
	put_certs(dir_file(&d, "root2.pem", path), both, 2); /* one of them again */
	put_text(dir_file(&d, "junk.pem", path), "read me\n");
	s = tls_store_load(&cfg, &err);
	assert_non_null(s);
	assert_int_equal(tls_store_root_count(s), 2);
	tls_store_unref(s);
	pair_free(&one);
	pair_free(&two);
	dir_fini(&d);
}

/* ---- handshakes that go wrong ---- */

/* A client in memory: what it would send. */
struct mem_client {
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out;
};

static void mc_init(struct mem_client *m, SSL_CTX *ctx)
{
	m->ssl = SSL_new(ctx);
	m->in = BIO_new(BIO_s_mem());
	m->out = BIO_new(BIO_s_mem());
	SSL_set_bio(m->ssl, m->in, m->out);
	SSL_set_connect_state(m->ssl);
}

static size_t mc_step(struct mem_client *m, char *out, size_t cap)
{
	int n;

	ERR_clear_error();
	(void)SSL_do_handshake(m->ssl);
	n = BIO_read(m->out, out, (int)cap);
	return n > 0 ? (size_t)n : 0;
}

/* Sends cut bytes of the client's first flight, or all of it and cut bytes of its second; false: there are fewer. */
static bool cut_at(struct tls_world *t, SSL_CTX *ctx, size_t cut, bool second)
{
	struct mem_client m;
	char flight[8192], b[8192];
	int fd = peer_connect(&t->w, &t->us, NULL);
	size_t n;
	ssize_t r;

	mc_init(&m, ctx);
	n = mc_step(&m, flight, sizeof(flight));
	if (second) {
		assert_int_equal(send(fd, flight, n, MSG_NOSIGNAL), (ssize_t)n);
		for (n = 0; n == 0;) {
			r = peer_read(&t->w, fd, b, sizeof(b));
			assert_true(r > 0);
			BIO_write(m.in, b, (int)r);
			n = mc_step(&m, flight, sizeof(flight));
		}
	}
	SSL_free(m.ssl);
	if (cut < n) {
		if (cut)
			assert_int_equal(send(fd, flight, cut, MSG_NOSIGNAL), (ssize_t)cut);
		loop_turn(&t->w.loop, 0);
		loop_turn(&t->w.loop, 0);
	}
	close(fd);
	W_UNTIL(&t->w, count(t, NET_TCP_OPEN) == 0);
	return cut < n;
}

static void a_handshake_cut_anywhere_leaves_nothing(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct tls_world t;
		struct pair phone;
		struct tpeer p;

		t_init(&t, NET_CERT_REQUIRE);
		phone = make_dns(&t.root, "pbx.example");
		tp_init(&p, false, &phone);
		SSL_CTX_set_max_proto_version(p.ctx, version);
		for (size_t cut = 0; cut_at(&t, p.ctx, cut, false); cut++)
			;
		for (size_t cut = 0; cut_at(&t, p.ctx, cut, true); cut += 3)
			;
		assert_int_equal(count(&t, NET_TLS_ACCEPTED), 0);
		assert_int_equal(t.w.n_got, 0);
		assert_int_equal(connect_as(&t, &p, &phone), 1);
		tp_fini(&p);
		pair_free(&phone);
		t_fini(&t);
	}
}

/* byte by byte, as a slow line has it: within its time it comes up */
static void a_handshake_byte_by_byte_comes_up(void **state)
{
	struct tls_world t;
	struct tpeer p;
	struct mem_client m;
	char flight[8192], b[8192];
	int fd;
	ssize_t r;

	(void)state;
	t_init(&t, NET_CERT_NONE);
	tp_init(&p, false, NULL);
	mc_init(&m, p.ctx);
	fd = peer_connect(&t.w, &t.us, NULL);
	while (!SSL_is_init_finished(m.ssl) || BIO_ctrl_pending(m.out)) {
		size_t n = mc_step(&m, flight, sizeof(flight));

		for (size_t i = 0; i < n; i++) {
			assert_int_equal(send(fd, flight + i, 1, MSG_NOSIGNAL), 1);
			loop_turn(&t.w.loop, 0);
		}
		if (SSL_is_init_finished(m.ssl))
			break;
		r = peer_read(&t.w, fd, b, sizeof(b));
		assert_true(r > 0);
		BIO_write(m.in, b, (int)r);
	}
	W_UNTIL(&t.w, count(&t, NET_TLS_ACCEPTED) == 1);
	SSL_free(m.ssl);
	close(fd);
	tp_fini(&p);
	t_fini(&t);
}

static void a_handshake_that_takes_too_long_is_ended(void **state)
{
	struct tls_world t;
	struct netio_error ne;
	struct tpeer p = {.fd = -1};
	struct far f;
	struct pair itsp;
	char b[8];
	int fd, quiet;

	(void)state;
	t_init(&t, NET_CERT_NONE);
	t.w.cfg.handshake_ms = 8000;
	assert_int_equal(netio_reload(t.w.io, &t.w.cfg, &ne), 0);
	t.w.on = echo;
	/* one says nothing, one half a hello; a third is served meanwhile */
	quiet = peer_connect(&t.w, &t.us, NULL);
	fd = peer_connect(&t.w, &t.us, NULL);
	assert_int_equal(send(fd, "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL), 6);
	assert_int_equal(connect_as(&t, &p, NULL), 1);
	tp_write(&t.w, &p, "L0001:x", 7);
	tp_expect(&t.w, &p, "L0001:x");
	w_skip(&t.w, 8001);
	assert_true(peer_read(&t.w, quiet, b, sizeof(b)) <= 0);
	assert_true(peer_read(&t.w, fd, b, sizeof(b)) <= 0);
	assert_int_equal(count(&t, NET_TLS_SLOW), 2);
	assert_int_equal(count(&t, NET_TCP_OPEN), 1);
	close(quiet);
	close(fd);
	/* a server that takes the connection and says nothing */
	itsp = make_dns(&t.root, "itsp.example");
	far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example")});
	assert_int_equal(net_send(t.w.net, &f.path, "L0001:x", 7, 9), 0);
	fd = peer_accept(&t.w, f.listening);
	assert_true(peer_read(&t.w, fd, b, sizeof(b)) > 0); /* our hello */
	assert_int_equal(t.w.n_lost, 0);
	w_skip(&t.w, 8001);
	W_UNTIL(&t.w, t.w.n_lost == 1);
	assert_int_equal(t.w.lost[0].owner, 9);
	assert_int_equal(t.w.lost[0].err, -NET_ERR_TLS_HANDSHAKE);
	close(fd);
	far_fini(&f);
	pair_free(&itsp);
	tp_fini(&p);
	t_fini(&t);
}

static void garbage_is_refused_and_counted(void **state)
{
	static const char *const garbage[] = {"OPTIONS sip:a SIP/2.0\r\n\r\n", "\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
	    "\x80\x2e\x01\x03\x01\x15\x10\x20\x30\x40\x50\x60\x70", "\x16\x03\x01\xff\xff\x01\x11\x22\x33\x44\x55",
	    "\x17\x03\x03\x01\x10garbage", "\x15\x03\x03\x01\x02\x02\x28"};
	struct tls_world t;
	struct rng rng;

	(void)state;
	rng_init_seeded(&rng, 7);
	t_init(&t, NET_CERT_REQUEST);
	for (unsigned i = 0; i < 200; i++) {
		char b[512];
		size_t n;
		int fd = peer_connect(&t.w, &t.us, NULL);

		if (i < ARRAY_LEN(garbage)) {
			n = strlen(garbage[i]);
			memcpy(b, garbage[i], n);
		} else {
			n = 1 + rng_below(&rng, sizeof(b) - 1);
			rng_bytes(&rng, b, n);
			if (i % 2) /* the header of a record, so that more of it is looked at */
				memcpy(b, "\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x03\x03", n < 11 ? n : 11);
		}
		assert_int_equal(send(fd, b, n, MSG_NOSIGNAL), (ssize_t)n);
		shutdown(fd, SHUT_WR);
		while (peer_read(&t.w, fd, b, sizeof(b)) > 0)
			;
		close(fd);
	}
	W_UNTIL(&t.w, count(&t, NET_TCP_OPEN) == 0);
	assert_int_equal(t.w.n_got, 0);
	assert_int_equal(count(&t, NET_TLS_FAILED), 200);
	t_fini(&t);
}

/* after it is up */
static void a_broken_record_ends_the_connection(void **state)
{
	struct tls_world t;
	struct tpeer p = {.fd = -1};
	char b[8];

	(void)state;
	t_init(&t, NET_CERT_NONE);
	assert_int_equal(connect_as(&t, &p, NULL), 1);
	tp_write(&t.w, &p, "L0001:x", 7);
	W_UNTIL(&t.w, t.w.n_got == 1);
	assert_int_equal(send(p.fd, "\x17\x03\x03\x00\x20" "abcdefghabcdefghabcdefghabcdefgh", 37, MSG_NOSIGNAL), 37);
	while (tp_read(&t.w, &p, b, sizeof(b)) > 0)
		;
	assert_int_equal(last_alert(), SSL_AD_BAD_RECORD_MAC);
	tp_end(&p);
	W_UNTIL(&t.w, count(&t, NET_TCP_OPEN) == 0);
	assert_int_equal(t.w.n_got, 1);
	tp_fini(&p);
	t_fini(&t);
}

/* ---- REUSE-08: the orderly end ---- */

static void an_orderly_end_is_said_and_answered(void **state)
{
	struct tls_world t;
	struct tpeer p = {.fd = -1};
	struct net_path path;
	char b[64];
	int r;

	(void)state;
	t_init(&t, NET_CERT_NONE);
	/* ours: what is queued, close_notify, FIN */
	assert_int_equal(connect_as(&t, &p, NULL), 1);
	tp_write(&t.w, &p, "L0001:x", 7);
	W_UNTIL(&t.w, t.w.n_got == 1);
	path = t.w.got[0].path;
	assert_int_equal(net_send(t.w.net, &path, "L0004:last", 10, 0), 0);
	t.w.net->ops->close(t.w.net, &path, false);
	tp_expect(&t.w, &p, "L0004:last");
	assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), -SSL_ERROR_ZERO_RETURN);
	tp_end(&p);
	W_UNTIL(&t.w, count(&t, NET_TCP_OPEN) == 0);
	/* at once is said too */
	assert_int_equal(connect_as(&t, &p, NULL), 1);
	tp_write(&t.w, &p, "L0001:x", 7);
	W_UNTIL(&t.w, t.w.n_got == 2);
	t.w.net->ops->close(t.w.net, &t.w.got[1].path, true);
	assert_int_equal(tp_read(&t.w, &p, b, sizeof(b)), -SSL_ERROR_ZERO_RETURN);
	tp_end(&p);
	/* theirs: answered; what we still had to say goes out before */
	assert_int_equal(connect_as(&t, &p, NULL), 1);
	tp_write(&t.w, &p, "L0001:x", 7);
	W_UNTIL(&t.w, t.w.n_got == 3);
	path = t.w.got[2].path;
	assert_int_equal(SSL_shutdown(p.ssl), 0);
	assert_int_equal(net_send(t.w.net, &path, "L0004:last", 10, 0), 0);
	tp_expect(&t.w, &p, "L0004:last");
	while ((r = SSL_shutdown(p.ssl)) == 0)
		;
	for (int i = 0; r < 0 && i < 1000; i++) {
		loop_turn(&t.w.loop, 2);
		r = SSL_shutdown(p.ssl);
	}
	assert_int_equal(r, 1);
	tp_end(&p);
	W_UNTIL(&t.w, count(&t, NET_TCP_OPEN) == 0);
	assert_int_equal(count(&t, NET_TCP_LOST), 0);
	tp_fini(&p);
	t_fini(&t);
}

static void after_its_close_notify_a_peer_gets_a_new_connection(void **state)
{
	struct tls_world t;
	struct pair itsp;
	struct far f;
	uint32_t before;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	itsp = make_dns(&t.root, "itsp.example");
	far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example")});
	assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
	tp_expect(&t.w, &f.p, "L0001:x");
	before = f.path.conn;
	/* it says that it is done, and keeps the TCP connection */
	assert_int_equal(SSL_shutdown(f.p.ssl), 0);
	w_spin(&t.w, 30);
	assert_int_equal(net_send(t.w.net, &f.path, "L0001:y", 7, 8), 0);
	assert_int_not_equal(f.path.conn, before);
	assert_int_equal(far_call(&t, &f, "L0001:z"), 1);
	tp_expect(&t.w, &f.p, "L0001:y");
	tp_expect(&t.w, &f.p, "L0001:z");
	assert_int_equal(t.w.n_lost, 0);
	far_fini(&f);
	pair_free(&itsp);
	t_fini(&t);
}

/* ---- bytes ---- */

/* Records that OpenSSL has read ahead, messages over many records, many in one: all arrive, in order. */
static void whatever_way_records_cut_messages_they_arrive(void **state)
{
	static char text[600 * 10 + 16], big[6 + 9999];
	struct tls_world t;
	struct tpeer p;

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		static const size_t pieces[] = {1, 7, 11, 100, 3000, 6000};

		t_init(&t, NET_CERT_NONE);
		tp_init(&p, false, NULL);
		SSL_CTX_set_max_proto_version(p.ctx, version);
		assert_int_equal(connect_as(&t, &p, NULL), 1);
		for (unsigned i = 0; i < 600; i++)
			snprintf(text + i * 10, 16, "L0004:%04u", i);
		for (unsigned k = 0; k < ARRAY_LEN(pieces); k++) {
			t.w.n_got = 0;
			/* one record per piece, without a turn of the loop in between: they lie in the socket together */
			for (size_t off = 0; off < 6000; off += pieces[k]) {
				size_t n = 6000 - off < pieces[k] ? 6000 - off : pieces[k];

				tp_write(&t.w, &p, text + off, n);
			}
			W_UNTIL(&t.w, t.w.n_got == 600);
			for (unsigned i = 0; i < 600; i++) {
				char want[24];

				snprintf(want, sizeof(want), "L0004:%04u", i);
				assert_string_equal(t.w.got[i].text, want);
			}
		}
		memset(big, 'm', sizeof(big));
		memcpy(big, "L9999:", 6);
		t.w.n_got = 0;
		for (unsigned i = 0; i < 20; i++)
			tp_write(&t.w, &p, big, sizeof(big));
		W_UNTIL(&t.w, t.w.n_got == 20);
		assert_int_equal(t.w.got[19].len, sizeof(big));
		tp_fini(&p);
		t_fini(&t);
	}
}

/* A peer that does not read is bounded by its queue; when it reads it gets all that was taken, in order. */
static void a_peer_that_reads_late_gets_everything_and_costs_a_bounded_queue(void **state)
{
	static char big[6 + 9999];
	struct tls_world t;
	struct tpeer p = {.fd = -1};
	struct net_path path;
	unsigned taken = 0;
	size_t want, got = 0;

	(void)state;
	t_init(&t, NET_CERT_NONE);
	tp_init(&p, false, NULL);
	assert_int_equal(connect_as(&t, &p, NULL), 1);
	tp_write(&t.w, &p, "L0001:x", 7);
	W_UNTIL(&t.w, t.w.n_got == 1);
	path = t.w.got[0].path;
	memset(big, 'm', sizeof(big));
	memcpy(big, "L9999:", 6);
	for (int i = 0; i < 2000; i++) {
		int e = net_send(t.w.net, &path, big, sizeof(big), 0);

		if (e) {
			assert_int_equal(e, -ENOBUFS);
			break;
		}
		taken++;
		loop_turn(&t.w.loop, 0);
	}
	assert_true(taken > 20 && taken < 2000);
	assert_int_equal(count(&t, NET_TCP_QUEUE_FULL), 1);
	want = taken * sizeof(big);
	while (got < want) {
		char b[16384];
		int r = tp_read(&t.w, &p, b, sizeof(b));

		if (r <= 0)
			fail_msg("%d after %zu of %zu: %s", r, got, want, ERR_error_string(ERR_peek_last_error(), b));
		for (int i = 0; i < r; i++)
			assert_int_equal(b[i], big[(got + (size_t)i) % sizeof(big)]);
		got += (size_t)r;
	}
	assert_int_equal(got, want);
	tp_fini(&p);
	t_fini(&t);
}

/* RFC 3261 18.4 with records: what the peer's TCP acknowledged is not lost, what it did not is, each once. */
static void owners_hear_of_what_was_not_acknowledged(void **state)
{
	static char big[6 + 9999];
	struct tls_world t;
	struct pair itsp;
	struct far f;
	struct linger rst = {.l_onoff = 1, .l_linger = 0};
	char b[4096];
	unsigned sent = 0, told[200] = {0};
	int small = 4096, r;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	itsp = make_dns(&t.root, "itsp.example");
	far_init(&t, &f, &itsp, &(struct net_peer){.name = S("itsp.example")});
	setsockopt(f.listening, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
	tp_expect(&t.w, &f.p, "L0001:x");
	setsockopt(f.p.fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	tp_end(&f.p);
	W_UNTIL(&t.w, count(&t, NET_TCP_OPEN) == 0);
	assert_int_equal(t.w.n_lost, 0);
	/* more than its window takes */
	assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
	tp_expect(&t.w, &f.p, "L0001:x");
	memset(big, 'm', sizeof(big));
	memcpy(big, "L9999:", 6);
	for (; sent < 20; sent++)
		assert_int_equal(net_send(t.w.net, &f.path, big, sizeof(big), 100 + sent), 0);
	w_spin(&t.w, 50);
	r = tp_read(&t.w, &f.p, b, sizeof(b));
	assert_true(r > 0);
	setsockopt(f.p.fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	tp_end(&f.p);
	W_UNTIL(&t.w, count(&t, NET_TCP_OPEN) == 0);
	loop_turn(&t.w.loop, 0);
	assert_true(t.w.n_lost > 0 && t.w.n_lost <= 20);
	for (unsigned i = 0; i < t.w.n_lost; i++) {
		assert_in_range(t.w.lost[i].owner, 100, 119);
		told[t.w.lost[i].owner - 100]++;
	}
	for (unsigned i = 0; i < 20; i++)
		assert_true(told[i] <= 1);
	/* the last ones are among them for certain: with a window of some KiB they cannot have arrived */
	assert_int_equal(told[19], 1);
	far_fini(&f);
	pair_free(&itsp);
	t_fini(&t);
}

/* REUSE-06: what one peer proved is nothing to another, though both live at one address. */
static void peers_at_one_address_have_connections_of_their_own(void **state)
{
	struct tls_world t;
	struct pair both;
	struct far f;
	struct net_path second;
	uint32_t id = 0;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	both = make_cert(&t.root,
	    &(struct cert_spec){.san = {{GEN_DNS, "one.example", 0}, {GEN_DNS, "two.example", 0}}, .n_san = 2});
	far_init(&t, &f, &both, &(struct net_peer){.name = S("one.example")});
	assert_int_equal(far_call(&t, &f, "L0001:x"), 1);
	assert_int_equal(net_peer_set(t.w.net, &id, &(struct net_peer){.name = S("two.example")}), 0);
	second = f.path;
	second.peer = id;
	second.conn = 0;
	assert_int_equal(net_send(t.w.net, &second, "L0001:y", 7, 0), 0);
	assert_int_not_equal(second.conn, f.path.conn);
	/* the same peer again has its own again */
	second = f.path;
	second.conn = 0;
	assert_int_equal(net_send(t.w.net, &second, "L0001:z", 7, 0), 0);
	assert_int_equal(second.conn, f.path.conn);
	far_fini(&f);
	pair_free(&both);
	t_fini(&t);
}

/* A flood of handshakes gets its share of a turn, not all of it. */
static void what_a_connection_is_can_be_looked_at(void **state)
{
	struct tls_world t;
	struct pair phone;
	struct tpeer p = {.fd = -1};
	struct netio_conn_info info;
	uint32_t walk = 0;

	(void)state;
	t_init(&t, NET_CERT_REQUEST);
	phone = make_dns(&t.root, "pbx.example");
	assert_int_equal(connect_as(&t, &p, &phone), 1);
	W_UNTIL(&t.w, count(&t, NET_TLS_ACCEPTED) == 1);
	assert_true(netio_conn_next(t.w.io, &walk, &info));
	assert_true(info.up && info.inbound && info.identity && info.identity->verified);
	assert_string_equal(info.tls_version, "TLSv1.3");
	assert_string_equal(info.tls_cipher, SSL_get_cipher_name(p.ssl));
	assert_true(str_eq(info.tls_cert, S("a")));
	assert_false(info.tls_resumed);
	assert_int_equal(info.tls_peer_expires_us / 1000000 / 60, (t.w.loop.clock.wall_us / 1000000 + DAY_S) / 60);
	/* and what nobody looks at is not kept: 10,000 trunks have 10,000 certificates */
	for (unsigned i = 0; i < t.w.io->n_slots; i++) {
		X509 *x = t.w.io->slot[i].conn ? SSL_get0_peer_certificate(t.w.io->slot[i].conn->tls->ssl) : NULL;

		assert_non_null(x);
		assert_int_equal(X509_get_ext_count(x), 0);
		assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(x)), 0);
	}
	tp_fini(&p);
	pair_free(&phone);
	t_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(messages_pass_both_ways_and_say_who_sent_them),
	    cmocka_unit_test(our_connections_prove_their_peer_and_carry_both_ways),
	    cmocka_unit_test(a_server_that_names_another_domain_gets_no_byte),
	    cmocka_unit_test(only_tls_1_2_and_1_3_are_spoken_1_3_first),
	    cmocka_unit_test(only_forward_secret_aead_suites_unless_legacy_is_asked_for),
	    cmocka_unit_test(no_compression_and_no_renegotiation),
	    cmocka_unit_test(sessions_are_resumed_and_ticket_keys_turn_over),
	    cmocka_unit_test(a_session_outlives_no_certificate),
	    cmocka_unit_test(our_sessions_are_resumed_until_what_is_asked_changes),
	    cmocka_unit_test(the_certificate_is_chosen_by_the_name_asked_for),
	    cmocka_unit_test(the_name_to_be_reached_is_asked_for),
	    cmocka_unit_test(the_certificate_of_a_peers_choice_is_shown),
	    cmocka_unit_test(servers_prove_what_they_must),
	    cmocka_unit_test(issuers_between_are_checked_too),
	    cmocka_unit_test(what_was_revoked_is_refused),
	    cmocka_unit_test(a_staple_that_says_revoked_is_believed),
	    cmocka_unit_test(a_certificate_that_must_be_stapled_is_not_believed_without),
	    cmocka_unit_test(clients_prove_what_the_listener_asks),
	    cmocka_unit_test(a_new_store_serves_new_handshakes_and_leaves_connections_alone),
	    cmocka_unit_test(a_pair_that_does_not_fit_is_refused_with_what_is_wrong),
	    cmocka_unit_test(a_folder_is_trusted_as_a_whole),
	    cmocka_unit_test(a_handshake_cut_anywhere_leaves_nothing),
	    cmocka_unit_test(a_handshake_byte_by_byte_comes_up),
	    cmocka_unit_test(a_handshake_that_takes_too_long_is_ended),
	    cmocka_unit_test(garbage_is_refused_and_counted),
	    cmocka_unit_test(a_broken_record_ends_the_connection),
	    cmocka_unit_test(an_orderly_end_is_said_and_answered),
	    cmocka_unit_test(after_its_close_notify_a_peer_gets_a_new_connection),
	    cmocka_unit_test(whatever_way_records_cut_messages_they_arrive),
	    cmocka_unit_test(a_peer_that_reads_late_gets_everything_and_costs_a_bounded_queue),
	    cmocka_unit_test(owners_hear_of_what_was_not_acknowledged),
	    cmocka_unit_test(peers_at_one_address_have_connections_of_their_own),
	    cmocka_unit_test(what_a_connection_is_can_be_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
