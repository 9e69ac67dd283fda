/* ca.h - certificates made for one test, and peers that speak TLS by OpenSSL itself. No key lies in the repository. */
#ifndef TEST_NET_CA_H
#define TEST_NET_CA_H

#include <netinet/tcp.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "sbc/net/tls.h"

#include "world.h"

#define DAY_S (24 * 3600L)

/* one subjectAltName; n 0: the length of text */
struct san {
	int type; /* GEN_URI, GEN_DNS, GEN_EMAIL, GEN_IPADD (text is the bytes) */
	const char *text;
	size_t n;
};

struct cert_spec {
	const char *cn; /* NULL: none */
	size_t cn_n;    /* 0: its length */
	struct san san[70];
	unsigned n_san;
	bool must_staple;     /* RFC 7633 */
	const char *eku;      /* NULL: none; as openssl.cnf has it */
	const char *ku;       /* the same */
	long from_s, to_s;    /* against now; 0, 0: a day around it */
	bool ca;
	EVP_PKEY *key; /* NULL: P-256, shared */
};

struct pair {
	X509 *x;
	EVP_PKEY *key;
};

static inline EVP_PKEY *ec_key(void)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");

	assert_non_null(k);
	return k;
}

static inline void add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

static inline void add_san(X509 *x, const struct cert_spec *s)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();

	for (unsigned i = 0; i < s->n_san; i++) {
		GENERAL_NAME *g = GENERAL_NAME_new();
		size_t n = s->san[i].n ? s->san[i].n : strlen(s->san[i].text);
		ASN1_STRING *a = ASN1_STRING_type_new(s->san[i].type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

		assert_int_equal(ASN1_STRING_set(a, s->san[i].text, (int)n), 1);
		GENERAL_NAME_set0_value(g, s->san[i].type, a);
		assert_true(sk_GENERAL_NAME_push(all, g) > 0);
	}
	assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT), 1);
	GENERAL_NAMES_free(all);
}

/* issuer NULL: signed by itself */
static inline struct pair make_cert(const struct pair *issuer, const struct cert_spec *s)
{
	struct pair p = {X509_new(), s->key ? s->key : ec_key()};
	X509 *by = issuer ? issuer->x : p.x;
	static long serial = 1000;
	X509_NAME *name = X509_get_subject_name(p.x);

	if (s->key)
		EVP_PKEY_up_ref(s->key);
	X509_set_version(p.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(p.x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(p.x), s->from_s || s->to_s ? s->from_s : -DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(p.x), s->from_s || s->to_s ? s->to_s : DAY_S);
	X509_set_pubkey(p.x, p.key);
	X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	if (s->cn)
		assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)s->cn,
		                     s->cn_n ? (int)s->cn_n : -1, -1, 0),
		    1);
	X509_set_issuer_name(p.x, X509_get_subject_name(by));
	if (s->ca) {
		add_ext(p.x, by, NID_basic_constraints, "critical,CA:TRUE");
		add_ext(p.x, by, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
		add_ext(p.x, by, NID_subject_key_identifier, "hash");
	}
	if (s->n_san)
		add_san(p.x, s);
	if (s->eku)
		add_ext(p.x, by, NID_ext_key_usage, s->eku);
	if (s->must_staple)
		add_ext(p.x, by, NID_tlsfeature, "status_request");
	if (s->ku)
		add_ext(p.x, by, NID_key_usage, s->ku);
	assert_true(X509_sign(p.x, issuer ? issuer->key : p.key, EVP_sha256()) > 0);
	return p;
}

static inline struct pair make_ca(const char *cn)
{
	struct cert_spec s = {.cn = cn, .ca = true};

	return make_cert(NULL, &s);
}

/* one dNSName */
static inline struct pair make_dns(const struct pair *issuer, const char *name)
{
	struct cert_spec s = {.san = {{GEN_DNS, name, 0}}, .n_san = 1};

	return make_cert(issuer, &s);
}

static inline void pair_free(struct pair *p)
{
	X509_free(p->x);
	EVP_PKEY_free(p->key);
	*p = (struct pair){NULL, NULL};
}

/* ---- files ---- */

struct dir {
	char path[64];
	unsigned n; /* file numbers given */
};

static inline void dir_init(struct dir *d)
{
	snprintf(d->path, sizeof(d->path), "/tmp/postern-test-tls-XXXXXX");
	assert_non_null(mkdtemp(d->path));
	d->n = 0;
}

static inline const char *dir_file(const struct dir *d, const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", d->path, name);
	return path;
}

static inline void dir_fini(struct dir *d)
{
	char cmd[160], path[128];
	static const char *const names[] = {"root.pem", "root2.pem", "a.pem", "a.key", "b.pem", "b.key", "c.pem", "c.key",
	    "crl.pem", "junk.pem"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		unlink(dir_file(d, names[i], path));
	snprintf(cmd, sizeof(cmd), "%s", d->path);
	assert_int_equal(rmdir(cmd), 0);
}

static inline void put_certs(const char *path, X509 *const *x, unsigned n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(PEM_write_X509(f, x[i]), 1);
	fclose(f);
}

static inline void put_key(const char *path, EVP_PKEY *key, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static inline void put_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* NAME.pem and NAME.key */
static inline void put_pair(const struct dir *d, const char *name, const struct pair *p, X509 *issuer)
{
	char file[32], path[128];
	X509 *chain[2] = {p->x, issuer};

	snprintf(file, sizeof(file), "%s.pem", name);
	put_certs(dir_file(d, file, path), chain, issuer ? 2 : 1);
	snprintf(file, sizeof(file), "%s.key", name);
	put_key(dir_file(d, file, path), p->key, 0600);
}

/* A store of the pairs named ("a", "b" ...) that trusts root.pem. */
struct store_spec {
	const char *names[4];
	const char *crl; /* file name in the folder */
	bool ocsp, no_trust;
};

static inline struct tls_store *load(const struct dir *d, const struct store_spec *s, struct tls_error *err)
{
	char chain[4][128], key[4][128], root[128], crl[128], file[32];
	struct tls_cert_cfg certs[4];
	const char *trust = dir_file(d, "root.pem", root), *crls = NULL;
	struct tls_cfg cfg = {.certs = certs, .trust = &trust, .n_trust = s->no_trust ? 0 : 1, .warn_days = 30,
	    .ocsp_stapling = s->ocsp};

	for (unsigned i = 0; i < 4 && s->names[i]; i++, cfg.n_certs++) {
		snprintf(file, sizeof(file), "%s.pem", s->names[i]);
		dir_file(d, file, chain[i]);
		snprintf(file, sizeof(file), "%s.key", s->names[i]);
		dir_file(d, file, key[i]);
		certs[i] = (struct tls_cert_cfg){str_z(s->names[i]), chain[i], key[i]};
	}
	if (s->crl) {
		crls = dir_file(d, s->crl, crl);
		cfg.crl = &crls;
		cfg.n_crl = 1;
	}
	return tls_store_load(&cfg, err);
}

/* ---- a peer by OpenSSL ---- */

struct tpeer {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

static inline int trust_all(int ok, X509_STORE_CTX *x)
{
	(void)ok;
	(void)x;
	return 1;
}

/* pair NULL: shows none. It trusts whatever we show. */
static inline void tp_init(struct tpeer *p, bool server, const struct pair *pair)
{
	memset(p, 0, sizeof(*p));
	p->fd = -1;
	p->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	assert_non_null(p->ctx);
	if (pair) {
		assert_int_equal(SSL_CTX_use_certificate(p->ctx, pair->x), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(p->ctx, pair->key), 1);
	}
	SSL_CTX_set_mode(p->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* around fd, which becomes p's */
static inline void tp_start(struct tpeer *p, int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* no 40 ms between two records */
	p->ssl = SSL_new(p->ctx);
	p->fd = fd;
	assert_int_equal(SSL_set_fd(p->ssl, fd), 1);
	if (SSL_is_server(p->ssl))
		SSL_set_accept_state(p->ssl);
	else
		SSL_set_connect_state(p->ssl);
}

static inline void tp_end(struct tpeer *p)
{
	if (p->ssl)
		SSL_free(p->ssl);
	p->ssl = NULL;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

static inline void tp_fini(struct tpeer *p)
{
	tp_end(p);
	SSL_CTX_free(p->ctx);
}

/* 1, or OpenSSL's error after some five seconds of waiting at most */
static inline int tp_wait(struct world *w, struct tpeer *p, int r)
{
	int e = SSL_get_error(p->ssl, r);

	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
		loop_turn(&w->loop, 2);
		return 0;
	}
	return e;
}

static inline int tp_handshake(struct world *w, struct tpeer *p)
{
	int64_t end = w->loop.clock.mono_us + 5000000;

	while (w->loop.clock.mono_us < end) {
		int r = (ERR_clear_error(), SSL_do_handshake(p->ssl)), e;

		if (r == 1)
			return 1;
		e = tp_wait(w, p, r);
		if (e)
			return -e;
	}
	return -1000;
}

static inline void tp_write(struct world *w, struct tpeer *p, const char *text, size_t n)
{
	int64_t end = w->loop.clock.mono_us + 5000000;

	while (n && w->loop.clock.mono_us < end) {
		int r = (ERR_clear_error(), SSL_write(p->ssl, text, (int)n));

		if (r > 0) {
			text += r;
			n -= (size_t)r;
		} else {
			assert_int_equal(tp_wait(w, p, r), 0);
		}
	}
	assert_int_equal(n, 0);
}

/* bytes, or -SSL_ERROR_... */
static inline int tp_read(struct world *w, struct tpeer *p, char *buf, size_t n)
{
	int64_t end = w->loop.clock.mono_us + 5000000;

	while (w->loop.clock.mono_us < end) {
		int r = (ERR_clear_error(), SSL_read(p->ssl, buf, (int)n)), e;

		if (r > 0)
			return r;
		e = tp_wait(w, p, r);
		if (e)
			return -e;
	}
	return -1000;
}

static inline void tp_expect(struct world *w, struct tpeer *p, const char *z)
{
	char b[512];
	size_t n = 0, want = strlen(z);

	while (n < want) {
		int r = tp_read(w, p, b + n, want - n);

		if (r <= 0)
			fail_msg("reading '%s': %d %s", z, r, ERR_error_string(ERR_peek_last_error(), NULL));
		n += (size_t)r;
	}
	assert_memory_equal(b, z, want);
}

/* the alert that came, 0: none */
static inline int last_alert(void)
{
	unsigned long e = ERR_peek_last_error();

	return ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) > SSL_AD_REASON_OFFSET
	           ? ERR_GET_REASON(e) - SSL_AD_REASON_OFFSET
	           : 0;
}

#endif
