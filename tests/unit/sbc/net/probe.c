/* Tests of the probe against servers in child processes: what it finds with a good certificate, a foreign one, one of
 * another name; a server that asks for a certificate; silence, garbage, resets; leaving in the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "sbc/net/probe.h"

/* -------------------------------------------------------------------- certificates */

struct pair {
	X509 *x;
	EVP_PKEY *key;
	const struct pair *by;  /* sent along; NULL: its issuer is a root */
	OCSP_BASICRESP *staple; /* NULL: none is sent */
};

static void extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* san NULL: an issuer, a root when it has none itself; nid: one more extension, 0: none */
static struct pair make_with(
    const char *cn, const char *san, const struct pair *issuer, long days, int nid, const char *value)
{
	struct pair p = {.x = X509_new(), .key = EVP_EC_gen("P-256")};
	X509_NAME *name = X509_get_subject_name(p.x);

	assert_non_null(p.x);
	assert_non_null(p.key);
	X509_set_version(p.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(p.x), 4711);
	X509_gmtime_adj(X509_getm_notBefore(p.x), -86400 * 400);
	X509_gmtime_adj(X509_getm_notAfter(p.x), 86400 * days);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(p.x, issuer ? X509_get_subject_name(issuer->x) : name);
	X509_set_pubkey(p.x, p.key);
	if (san)
		extension(p.x, issuer->x, NID_subject_alt_name, san);
	else
		extension(p.x, p.x, NID_basic_constraints, "critical,CA:TRUE");
	if (nid)
		extension(p.x, issuer->x, nid, value);
	assert_true(X509_sign(p.x, issuer ? issuer->key : p.key, EVP_sha256()) > 0);
	return p;
}

static struct pair make(const char *cn, const char *san, const struct pair *issuer, long days)
{
	return make_with(cn, san, issuer, days, 0, NULL);
}

static void drop(struct pair *p)
{
	X509_free(p->x);
	EVP_PKEY_free(p->key);
	OCSP_BASICRESP_free(p->staple);
}

static void write_pem(const char *path, const struct pair *p, bool key)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fchmod(fileno(f), 0600), 0);
	if (key)
		assert_int_equal(PEM_write_PrivateKey(f, p->key, NULL, NULL, 0, NULL, NULL), 1);
	else
		assert_int_equal(PEM_write_X509(f, p->x), 1);
	fclose(f);
}

/* -------------------------------------------------------------------- servers */

enum how { TLS, TLS_ASKS, PLAIN, SILENT, GARBAGE, RESET };

struct server {
	pid_t pid;
	struct addr at;
};

static int give_staple(SSL *ssl, void *arg)
{
	const struct pair *p = arg;
	OCSP_RESPONSE *r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, p->staple);
	unsigned char *der = NULL;
	int n = i2d_OCSP_RESPONSE(r, &der);

	OCSP_RESPONSE_free(r);
	return n > 0 && SSL_set_tlsext_status_ocsp_resp(ssl, der, n) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* what its issuer has to say of p */
static void staple(struct pair *p, const struct pair *issuer, int status)
{
	OCSP_CERTID *id = OCSP_cert_to_id(NULL, p->x, issuer->x);
	ASN1_TIME *from = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL, 3600);

	p->staple = OCSP_BASICRESP_new();
	assert_non_null(OCSP_basic_add1_status(
	    p->staple, id, status, 0, status == V_OCSP_CERTSTATUS_REVOKED ? from : NULL, from, next));
	assert_int_equal(OCSP_basic_sign(p->staple, issuer->x, issuer->key, EVP_sha256(), NULL, 0), 1);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(from);
	ASN1_TIME_free(next);
}

static void serve_one(int fd, enum how how, const struct pair *p, const struct pair *root)
{
	static const char answer[] = "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", junk[] = "220 smtp.example ESMTP\r\n";
	char in[4096];

	if (how == TLS || how == TLS_ASKS) {
		SSL_CTX *c = SSL_CTX_new(TLS_server_method());
		SSL *s;

		SSL_CTX_use_certificate(c, p->x);
		SSL_CTX_use_PrivateKey(c, p->key);
		if (p->by)
			SSL_CTX_add1_chain_cert(c, p->by->x);
		if (p->staple) {
			SSL_CTX_set_tlsext_status_cb(c, give_staple);
			SSL_CTX_set_tlsext_status_arg(c, (void *)(uintptr_t)p);
		}
		if (how == TLS_ASKS) {
			X509_STORE_add_cert(SSL_CTX_get_cert_store(c), root->x);
			SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		}
		s = SSL_new(c);
		SSL_set_fd(s, fd);
		if (SSL_accept(s) == 1 && SSL_read(s, in, sizeof(in)) > 0)
			(void)SSL_write(s, answer, sizeof(answer) - 1);
		while (SSL_read(s, in, sizeof(in)) > 0)
			;
		SSL_free(s);
		SSL_CTX_free(c);
	} else if (how == PLAIN) {
		if (recv(fd, in, sizeof(in), 0) > 0)
			(void)send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
	} else if (how == GARBAGE) {
		(void)send(fd, junk, sizeof(junk) - 1, MSG_NOSIGNAL);
	} else if (how == RESET) {
		struct linger l = {1, 0};

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
		close(fd);
		return;
	}
	while (recv(fd, in, sizeof(in), 0) > 0)
		;
	close(fd);
}

static struct server serve(enum how how, const struct pair *p, const struct pair *root)
{
	struct server s;
	socklen_t n = sizeof(s.at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(addr_parse(S("127.0.0.1:0"), 0, &s.at), 0);
	assert_int_equal(bind(fd, &s.at.sa, addr_len(&s.at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, &s.at.sa, &n), 0);
	s.pid = fork();
	assert_true(s.pid >= 0);
	if (s.pid == 0) {
		int c;

		/* when a check fails nobody comes to end it, and whoever reads our output waits for its end */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(STDERR_FILENO, STDOUT_FILENO);
		alarm(60);
		c = accept(fd, NULL, NULL);

		if (c >= 0)
			serve_one(c, how, p, root);
		_exit(0);
	}
	close(fd);
	return s;
}

static void served(struct server *s)
{
	kill(s->pid, SIGKILL);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
}

/* -------------------------------------------------------------------- the world */

struct world {
	struct loop loop;
	struct env env;
	struct rng rng;
	struct pair root, other, good, stranger, old, mine, number, must, stapled, revoked, mail, under;
	struct tls_store *store;
	char dir[64];
	struct net_probe *probe;
	struct net_probe_result r;
	char answer[128];
	unsigned done;
};

static void question(void *ctx, const struct net_probe_result *r, struct buf *b)
{
	(void)ctx;
	assert_true(r->local.sa.sa_family == AF_INET);
	buf_lit(b, "OPTIONS sip:x SIP/2.0\r\n\r\n");
}

static bool answered(void *ctx, const char *p, size_t n, enum reason *ret_reason)
{
	(void)ctx;
	if (!str_prefix(str_n(p, n), str_head(S("SIP/2.0 "), n)))
		*ret_reason = REASON_MALFORMED;
	return str_find(str_n(p, n), S("\r\n\r\n")) >= 0;
}

static void done(void *ctx, const struct net_probe_result *r)
{
	struct world *w = ctx;

	w->r = *r;
	snprintf(w->answer, sizeof(w->answer), "%.*s", (int)r->n_answer, r->answer);
	w->done++;
}

static void begin(struct world *w)
{
	char path[4][96];
	struct tls_cert_cfg cert;
	const char *trust[1] = {path[0]};
	struct tls_error err;

	memset(w, 0, sizeof(*w));
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_init(&w->loop, &(struct loop_cfg){0}), 0);
	rng_init_seeded(&w->rng, 3);
	w->env = (struct env){.clock = &w->loop.clock, .timers = &w->loop.timers, .rng = &w->rng};
	w->root = make("Postern test root", NULL, NULL, 3650);
	w->other = make("another root", NULL, NULL, 3650);
	w->good = make("sip.itsp.example", "URI:sip:itsp.example,DNS:sip.itsp.example", &w->root, 90);
	w->stranger = make("itsp.example", "URI:sip:itsp.example", &w->other, 90);
	w->old = make("itsp.example", "URI:sip:itsp.example", &w->root, -3);
	w->number = make("itsp.example", "IP:192.0.2.1", &w->root, 90);
	w->must = make_with("itsp.example", "URI:sip:itsp.example", &w->root, 90, NID_tlsfeature, "status_request");
	w->stapled = make_with("itsp.example", "URI:sip:itsp.example", &w->root, 90, NID_tlsfeature, "status_request");
	staple(&w->stapled, &w->root, V_OCSP_CERTSTATUS_GOOD);
	w->revoked = make("itsp.example", "URI:sip:itsp.example", &w->root, 90);
	staple(&w->revoked, &w->root, V_OCSP_CERTSTATUS_REVOKED);
	w->mail = make_with("mail issuer", NULL, &w->root, 90, NID_ext_key_usage, "emailProtection");
	w->under = make("itsp.example", "URI:sip:itsp.example", &w->mail, 90);
	w->under.by = &w->mail;
	w->mine = make("edge.example", "URI:sip:edge.example", &w->root, 90);
	snprintf(w->dir, sizeof(w->dir), "/tmp/postern-probe-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(path[0], sizeof(path[0]), "%s/root.pem", w->dir);
	snprintf(path[1], sizeof(path[1]), "%s/mine.pem", w->dir);
	snprintf(path[2], sizeof(path[2]), "%s/mine.key", w->dir);
	write_pem(path[0], &w->root, false);
	write_pem(path[1], &w->mine, false);
	write_pem(path[2], &w->mine, true);
	cert = (struct tls_cert_cfg){.name = S("edge"), .chain = path[1], .key = path[2]};
	w->store = tls_store_load(
	    &(struct tls_cfg){.certs = &cert, .n_certs = 1, .trust = trust, .n_trust = 1, .ocsp_stapling = true, .warn_days = 30}, &err);
	if (!w->store)
		fail_msg("%s", err.text);
	for (int i = 0; i < 3; i++)
		unlink(path[i]);
	rmdir(w->dir);
}

static void end(struct world *w)
{
	for (int i = 0; i < 20; i++)
		loop_turn(&w->loop, 1);
	tls_store_unref(w->store);
	drop(&w->root);
	drop(&w->other);
	drop(&w->good);
	drop(&w->stranger);
	drop(&w->old);
	drop(&w->mine);
	drop(&w->number);
	drop(&w->must);
	drop(&w->stapled);
	drop(&w->revoked);
	drop(&w->mail);
	drop(&w->under);
	assert_int_equal(loop_fini(&w->loop), 0);
}

static void look(struct world *w, struct server *s, uint8_t proto, const struct net_peer *peer, int ms)
{
	struct net_probe_cfg cfg = {.to = s->at,
	    .proto = proto,
	    .peer = peer,
	    .store = w->store,
	    .timeout_ms = ms,
	    .question = question,
	    .answered = answered,
	    .done = done,
	    .ctx = w};

	w->done = 0;
	assert_int_equal(net_probe_start(&w->loop, &w->env, &cfg, &w->probe), 0);
	assert_int_equal(w->done, 0);
	for (int i = 0; i < 1000 && !w->done; i++)
		loop_turn(&w->loop, 10);
	assert_int_equal(w->done, 1);
	net_probe_free(w->probe);
	for (int i = 0; i < 5; i++)
		loop_turn(&w->loop, 1);
	assert_int_equal(w->done, 1);
}

static const struct net_peer itsp = {.name = {"itsp.example", 12}};

static void good_one(void **state)
{
	struct world w;
	struct server s;

	(void)state;
	begin(&w);
	s = serve(TLS, &w.good, NULL);
	look(&w, &s, NET_TLS, &itsp, 5000);
	assert_int_equal(w.r.step, NET_PROBE_DONE);
	assert_int_equal(w.r.reason, REASON_NONE);
	assert_int_equal(w.r.verdict, REASON_NONE);
	assert_string_equal(w.r.version, "TLSv1.3");
	assert_true(w.r.cipher[0] != '\0');
	assert_true(w.r.tcp_us >= 0 && w.r.tls_us >= 0 && w.r.answer_us >= 0);
	assert_int_equal(w.r.n_chain, 2);
	assert_non_null(strstr(w.r.chain[0].subject, "sip.itsp.example"));
	assert_non_null(strstr(w.r.chain[0].issuer, "Postern test root"));
	assert_string_equal(w.r.chain[0].key_type, "EC P-256");
	assert_true(w.r.chain[0].not_after_us > w.loop.clock.wall_us + (int64_t)89 * 86400 * 1000000);
	/* a sip: URI is there, so the dNSName does not count (RFC 5922 7.1) */
	assert_int_equal(w.r.n_names, 1);
	assert_string_equal(w.r.names[0], "itsp.example");
	assert_false(w.r.asked);
	assert_non_null(strstr(w.answer, "SIP/2.0 200 OK"));
	served(&s);
	end(&w);
}

static void plain_one(void **state)
{
	struct world w;
	struct server s;

	(void)state;
	begin(&w);
	s = serve(PLAIN, NULL, NULL);
	look(&w, &s, NET_TCP, NULL, 5000);
	assert_int_equal(w.r.step, NET_PROBE_DONE);
	assert_int_equal(w.r.tls_us, -1);
	assert_non_null(strstr(w.answer, "SIP/2.0 200 OK"));
	served(&s);
	end(&w);
}

/* Whatever is wrong with the certificate: it is said, and the conversation goes on. */
static void bad_certificates(void **state)
{
	static const struct str address[] = {{"192.0.2.1", 9}};
	static const struct net_peer wrong = {.name = {"sip.itsp.example", 16}}, relaxed = {.name = {"other.example", 13},
	    .verify = NET_VERIFY_CHAIN}, none = {.name = {"other.example", 13}, .verify = NET_VERIFY_NONE},
	    by_address = {.name = {"other.example", 13}, .names = address, .n_names = 1};
	struct world w;
	const struct {
		const struct pair *shows;
		const struct net_peer *peer;
		enum reason verdict;
		const char *says;
	} cases[] = {
	    {&w.stranger, &itsp, REASON_TLS_UNTRUSTED, "certificate 1 of the chain"},
	    {&w.old, &itsp, REASON_TLS_EXPIRED, "expired"},
	    {&w.good, &wrong, REASON_TLS_NAME_MISMATCH, "it names itsp.example, expected was sip.itsp.example"},
	    {&w.good, &relaxed, REASON_NONE, ""},
	    {&w.stranger, &none, REASON_NONE, ""},
	    /* what a connection of a call refuses is not called good here */
	    {&w.must, &itsp, REASON_TLS_NO_STAPLE, "none came"},
	    {&w.must, &none, REASON_NONE, ""},
	    {&w.stapled, &itsp, REASON_NONE, ""},
	    {&w.revoked, &itsp, REASON_TLS_REVOKED, "OCSP"},
	    {&w.under, &itsp, REASON_TLS_PURPOSE, "issuer"},
	    {&w.number, &by_address, REASON_NONE, ""},
	};

	(void)state;
	begin(&w);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct server s = serve(TLS, cases[i].shows, NULL);

		look(&w, &s, NET_TLS, cases[i].peer, 5000);
		if (w.r.verdict != cases[i].verdict || !strstr(w.r.verdict_text, cases[i].says))
			print_error("%zu: %s: %s\n", i, reason_info(w.r.verdict)->name, w.r.verdict_text);
		assert_int_equal(w.r.verdict, cases[i].verdict);
		assert_non_null(strstr(w.r.verdict_text, cases[i].says));
		assert_int_equal(w.r.step, NET_PROBE_DONE);
		assert_non_null(strstr(w.answer, "200 OK"));
		served(&s);
	}
	end(&w);
}

/* A server that wants a certificate of ours is noticed, and gets the one that is named. */
static void asks_for_ours(void **state)
{
	struct net_peer peer = itsp;
	struct world w;
	struct server s;

	(void)state;
	begin(&w);
	s = serve(TLS_ASKS, &w.good, &w.root);
	look(&w, &s, NET_TLS, &peer, 5000);
	assert_true(w.r.asked);
	assert_string_equal(w.r.shown, "");
	/* TLS 1.3: we are done before it finds out */
	assert_int_equal(w.r.step, NET_PROBE_ASK);
	assert_int_equal(w.r.reason, REASON_TLS_HANDSHAKE);
	assert_non_null(strstr(w.r.error, "certificate required"));
	served(&s);
	peer.certificate = S("edge");
	s = serve(TLS_ASKS, &w.good, &w.root);
	look(&w, &s, NET_TLS, &peer, 5000);
	assert_int_equal(w.r.step, NET_PROBE_DONE);
	assert_true(w.r.asked);
	assert_string_equal(w.r.shown, "edge");
	served(&s);
	peer.certificate = S("nobody's");
	assert_int_equal(net_probe_start(&w.loop, &w.env,
			     &(struct net_probe_cfg){.to = s.at, .proto = NET_TLS, .peer = &peer, .store = w.store, .done = done, .ctx = &w},
			     &w.probe),
	    -ENOENT);
	end(&w);
}

static void broken_servers(void **state)
{
	struct world w;
	const struct {
		enum how how;
		int proto, step;
		enum reason reason;
		const char *says;
	} cases[] = {
	    {SILENT, NET_TLS, NET_PROBE_TLS, REASON_TRANSPORT, "TLS did not come up in time"},
	    {SILENT, NET_TCP, NET_PROBE_ASK, REASON_PEER_SILENT, "no answer in time"},
	    {GARBAGE, NET_TLS, NET_PROBE_TLS, REASON_TLS_HANDSHAKE, "TLS handshake failed: "},
	    {GARBAGE, NET_TCP, NET_PROBE_ASK, REASON_MALFORMED, "cannot be read"},
	    {RESET, NET_TLS, NET_PROBE_TLS, REASON_TRANSPORT, "reset"},
	    {PLAIN, NET_TLS, NET_PROBE_TLS, REASON_TLS_HANDSHAKE, "TLS handshake failed: "},
	};
	struct server s;

	(void)state;
	begin(&w);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		s = serve(cases[i].how, NULL, NULL);
		/* only silence is to run out of time */
		look(&w, &s, (uint8_t)cases[i].proto, &itsp, cases[i].how == SILENT ? 2000 : 20000);
		if (w.r.reason != cases[i].reason || !strstr(w.r.error, cases[i].says))
			print_error("%zu: %s: %s\n", i, reason_info(w.r.reason)->name, w.r.error);
		assert_int_equal(w.r.reason, cases[i].reason);
		/* a reset right behind the handshake of TCP may be there before the connection was looked at */
		if (cases[i].how == RESET)
			assert_true((int)w.r.step <= cases[i].step);
		else
			assert_int_equal(w.r.step, cases[i].step);
		assert_non_null(strstr(w.r.error, cases[i].says));
		served(&s);
	}
	/* nobody there */
	look(&w, &s, NET_TLS, &itsp, 3000);
	assert_int_equal(w.r.step, NET_PROBE_CONNECT);
	assert_int_equal(w.r.reason, REASON_TRANSPORT);
	assert_non_null(strstr(w.r.error, "refused"));
	assert_int_equal(w.r.tcp_us, -1);
	end(&w);
}

/* Given up at each turn of the loop: never a word after that, and nothing is left. */
static void given_up(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (int turns = 0; turns < 12; turns++) {
		struct server s = serve(TLS, &w.good, NULL);
		struct net_probe_cfg cfg = {.to = s.at,
		    .proto = NET_TLS,
		    .peer = &itsp,
		    .store = w.store,
		    .timeout_ms = 5000,
		    .question = question,
		    .answered = answered,
		    .done = done,
		    .ctx = &w};
		unsigned before;

		w.done = 0;
		assert_int_equal(net_probe_start(&w.loop, &w.env, &cfg, &w.probe), 0);
		for (int i = 0; i < turns; i++)
			loop_turn(&w.loop, 5);
		before = w.done;
		net_probe_free(w.probe);
		for (int i = 0; i < 10; i++)
			loop_turn(&w.loop, 2);
		assert_int_equal(w.done, before);
		served(&s);
	}
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_one),
	    cmocka_unit_test(plain_one),
	    cmocka_unit_test(bad_certificates),
	    cmocka_unit_test(asks_for_ours),
	    cmocka_unit_test(broken_servers),
	    cmocka_unit_test(given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
