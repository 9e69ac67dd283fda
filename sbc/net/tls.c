/* tls.c - the store: certificates of ours, roots we trust, the contexts made of them.
 *
 * A store is made once by any thread and never changes, but for the keys of its session tickets, which whoever needs
 * them turns over, under a lock. One context per certificate and direction, shared by all connections: what a connection costs
 * is its own keys only. The trusted roots are one X509_STORE under all contexts; folders are read at once, since
 * OpenSSL's own folder look-up would read files in the middle of a handshake.
 *
 * RFC 9325: TLS 1.2 and 1.3, ECDHE with AEAD, no compression, no renegotiation. Session tickets (RFC 8446 4.6.1,
 * RFC 5077) instead of a session table; their keys live TICKET_S as the writing one and as long again as a reading
 * one, and never leave the process.
 *
 * Going wrong: the first thing that does not fit is named (file, what, reason) and nothing is made.
 */
#include "sbc/net/tls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "sbc/net/tls_internal.h"

#define FILE_MAX ((size_t)4 << 20)
#define KEY_MAX ((size_t)64 << 10)
#define TICKET_S 7200 /* also how long a session may be resumed */
#define SECURE_HEAP ((size_t)1 << 20) /* power of two; a key takes some hundred bytes */
#define CHAIN_DEPTH 8
#define PEER_CHAIN_MAX (32 * 1024) /* bytes of certificates a peer may send */
#define CA_NAMES_MAX 16            /* more roots are not named to the peer: it may show what it has */

static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
static const char groups[] = "X25519:P-256:P-384";

/* ---- errors ---- */

__attribute__((format(printf, 3, 4))) static bool fail(
    struct tls_error *e, enum reason r, const char *fmt, ...)
{
	va_list ap;

	e->reason = r;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	snprintf(e->hint, sizeof(e->hint), "%s", reason_info(r)->remedy);
	ERR_clear_error();
	return false;
}

static const char *openssl_says(void)
{
	const char *s = ERR_reason_error_string(ERR_peek_last_error());

	return s ? s : "it cannot be used";
}

static bool no_memory(struct tls_error *e)
{
	return fail(e, REASON_NO_MEMORY, "out of memory while certificates are loaded");
}

/* ---- files ---- */

/* The whole file, NULL with errno. Whoever got a key wipes and frees it. */
static char *slurp(const char *path, size_t max, struct stat *st, size_t *ret_n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), e = 0;
	char *p = NULL;
	size_t n = 0;

	if (fd < 0)
		return NULL;
	if (fstat(fd, st) < 0)
		e = errno;
	else if (!S_ISREG(st->st_mode))
		e = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
	else if (st->st_size <= 0 || (size_t)st->st_size > max)
		e = st->st_size <= 0 ? ENODATA : EFBIG;
	else if (!(p = malloc((size_t)st->st_size)))
		e = ENOMEM;
	while (!e && n < (size_t)st->st_size) {
		ssize_t r = read(fd, p + n, (size_t)st->st_size - n);

		if (r < 0 && errno != EINTR)
			e = errno;
		else if (r == 0)
			break;
		else if (r > 0)
			n += (size_t)r;
	}
	close(fd);
	if (e) {
		free(p);
		errno = e;
		return NULL;
	}
	*ret_n = n;
	return p;
}

/* keys are not asked for at a terminal */
static int no_passphrase(char *buf, int size, int rw, void *arg)
{
	(void)buf;
	(void)size;
	(void)rw;
	(void)arg;
	return 0;
}

/* All certificates of a PEM text; NULL: none, or one that cannot be read. */
static STACK_OF(X509) *read_certs(const char *p, size_t n)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	BIO *b = BIO_new_mem_buf(p, (int)n);
	bool ok = all && b;
	X509 *x;

	while (ok && (x = PEM_read_bio_X509_AUX(b, NULL, no_passphrase, NULL))) {
		ok = sk_X509_push(all, x) > 0;
		if (!ok)
			X509_free(x);
	}
	if (ok && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		ERR_clear_error(); /* the end of the file */
	else
		ok = false;
	BIO_free(b);
	if (ok && sk_X509_num(all) > 0)
		return all;
	sk_X509_pop_free(all, X509_free);
	return NULL;
}

/* ---- what the views show ---- */

static struct str text_of(struct tls_store *s, BIO *b)
{
	char *p = NULL;
	long n = BIO_get_mem_data(b, &p);

	return n > 0 ? str_dup(s->mem, str_n(p, (size_t)n)) : STR_NONE;
}

static struct str name_text(struct tls_store *s, const X509_NAME *name)
{
	BIO *b = BIO_new(BIO_s_mem());
	struct str t = STR_NONE;

	if (b && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253) >= 0)
		t = text_of(s, b);
	BIO_free(b);
	return t;
}

static struct str serial_text(struct tls_store *s, const X509 *x)
{
	BIO *b = BIO_new(BIO_s_mem());
	struct str t = STR_NONE;

	if (b && i2a_ASN1_INTEGER(b, X509_get0_serialNumber(x)) > 0)
		t = text_of(s, b);
	BIO_free(b);
	return t;
}

static struct str key_text(struct tls_store *s, const X509 *x)
{
	const EVP_PKEY *key = X509_get0_pubkey(x);
	char group[48] = "", text[80];
	size_t n = 0;

	if (!key)
		return S("unknown");
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
		EVP_PKEY_get_group_name(key, group, sizeof(group), &n);
		if (strcmp(group, "prime256v1") == 0)
			return S("EC P-256");
		if (strcmp(group, "secp384r1") == 0)
			return S("EC P-384");
		snprintf(text, sizeof(text), "EC %s", group);
	} else {
		const char *type = EVP_PKEY_get0_type_name(key);

		snprintf(text, sizeof(text), "%s %d", type ? type : "key", EVP_PKEY_get_bits(key));
	}
	return str_dup(s->mem, str_z(text));
}

static int64_t time_us(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * 1000000 : 0;
}

int64_t tls_not_after_us(const X509 *x)
{
	return time_us(X509_get0_notAfter(x));
}

static void view_of(struct tls_store *s, const X509 *x, struct str name, const char *file, struct tls_cert_view *v)
{
	*v = (struct tls_cert_view){.name = str_dup(s->mem, name),
	    .subject = name_text(s, X509_get_subject_name(x)),
	    .issuer = name_text(s, X509_get_issuer_name(x)),
	    .serial = serial_text(s, x),
	    .key_type = key_text(s, x),
	    .not_before_us = time_us(X509_get0_notBefore(x)),
	    .not_after_us = time_us(X509_get0_notAfter(x)),
	    .chain = str_dup(s->mem, str_z(file)).p};
}

/* ---- contexts ---- */

/* Any moment's writing key; a new one when it is old. NULL: no randomness. */
static struct tls_ticket_key *ticket_now(struct tls_store *s)
{
	struct tls_ticket_key *k = s->tickets->key, fresh;
	time_t now = time(NULL);

	if (k[0].born && now - k[0].born < TICKET_S && now >= k[0].born)
		return k;
	if (RAND_bytes(fresh.name, sizeof(fresh.name)) != 1 || RAND_priv_bytes(fresh.aes, sizeof(fresh.aes)) != 1 ||
	    RAND_priv_bytes(fresh.hmac, sizeof(fresh.hmac)) != 1)
		return NULL;
	fresh.born = now;
	k[1] = k[0];
	k[0] = fresh;
	OPENSSL_cleanse(&fresh, sizeof(fresh));
	return k;
}

/* The key that writes, or the one that wrote under name: 1, 2 when it is not the one that writes now, 0: none, -1. */
static int ticket_find(struct tls_store *s, bool write, const unsigned char *name, struct tls_ticket_key *ret)
{
	const struct tls_ticket_key *k;
	int r = -1;

	pthread_mutex_lock(&s->ticket_lock);
	k = ticket_now(s);
	if (k && (write || CRYPTO_memcmp(name, k[0].name, sizeof(k->name)) == 0)) {
		*ret = k[0];
		r = 1;
	} else if (k) {
		/* the one before, while sessions of its time may still be resumed */
		*ret = k[1];
		r = k[1].born && CRYPTO_memcmp(name, k[1].name, sizeof(k->name)) == 0 ? 2 : 0;
	}
	pthread_mutex_unlock(&s->ticket_lock);
	return r;
}

static int ticket_key(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc)
{
	struct tls_store *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls_ticket_key k;
	char sha256[] = "SHA256";
	OSSL_PARAM params[3];
	int r = ticket_find(s, enc, name, &k);

	if (r <= 0)
		return r;
	if (enc) {
		memcpy(name, k.name, sizeof(k.name));
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(s->ticket_cipher)) != 1)
			r = -1;
	}
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k.hmac, sizeof(k.hmac));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0);
	params[2] = OSSL_PARAM_construct_end();
	if (r > 0 && (!EVP_MAC_CTX_set_params(mac, params) || !EVP_CipherInit_ex2(cipher, s->ticket_cipher, k.aes, iv, enc, NULL)))
		r = -1;
	OPENSSL_cleanse(&k, sizeof(k));
	return r;
}

static SSL_CTX *ctx_new(struct tls_store *s, bool server)
{
	SSL_CTX *c = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!c)
		return NULL;
	SSL_CTX_set_security_level(c, 2);
	if (!SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) || !SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) ||
	    !SSL_CTX_set_cipher_list(c, ciphers) || !SSL_CTX_set1_groups_list(c, groups)) {
		SSL_CTX_free(c);
		return NULL;
	}
	SSL_CTX_set1_cert_store(c, s->trust);
	/* the end of the peer's TCP is ours to judge: to OpenSSL it would spoil the session */
	SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	                           SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_read_ahead(c, 1);
	SSL_CTX_set_verify_depth(c, CHAIN_DEPTH);
	SSL_CTX_set_max_cert_list(c, PEER_CHAIN_MAX);
	SSL_CTX_set_app_data(c, s);
	SSL_CTX_set_cert_verify_callback(c, tls_verify, s);
	SSL_CTX_set_timeout(c, TICKET_S);
	if (server) {
		SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_num_tickets(c, 1);
		SSL_CTX_set_tlsext_ticket_key_evp_cb(c, ticket_key);
		SSL_CTX_set_tlsext_servername_callback(c, tls_choose);
		SSL_CTX_set_tlsext_servername_arg(c, s);
		SSL_CTX_set_cert_cb(c, tls_whole_handshake, NULL);
	} else {
		SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(c, tls_keep_session);
		if (s->ocsp) {
			SSL_CTX_set_tlsext_status_type(c, TLSEXT_STATUSTYPE_ocsp);
			SSL_CTX_set_tlsext_status_cb(c, tls_staple);
			SSL_CTX_set_tlsext_status_arg(c, s);
		}
	}
	return c;
}

/* The names of the roots in a CertificateRequest help a peer that has several certificates. */
static bool name_roots(SSL_CTX *c, const struct tls_store *s)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(s->trust);

	if (s->n_roots > CA_NAMES_MAX)
		return true;
	for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
		X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));

		if (x && !SSL_CTX_add_client_CA(c, x))
			return false;
	}
	return true;
}

static bool use_pair(SSL_CTX *c, STACK_OF(X509) *chain, EVP_PKEY *key)
{
	if (SSL_CTX_use_certificate(c, sk_X509_value(chain, 0)) != 1)
		return false;
	for (int i = 1; i < sk_X509_num(chain); i++)
		if (SSL_CTX_add1_chain_cert(c, sk_X509_value(chain, i)) != 1)
			return false;
	return SSL_CTX_use_PrivateKey(c, key) == 1;
}

/* ---- a pair ---- */

static EVP_PKEY *load_key(const struct tls_cert_cfg *cfg, struct tls_error *err)
{
	struct stat st;
	size_t n = 0;
	char *p = slurp(cfg->key, KEY_MAX, &st, &n), why[64];
	EVP_PKEY *key = NULL;
	BIO *b;

	if (!p) {
		fail(err, REASON_TLS_CERT_UNREADABLE, "cert %.*s: %s: %s", STR(cfg->name), cfg->key,
		    strerror_r(errno, why, sizeof(why)));
		return NULL;
	}
	if (st.st_mode & 077) {
		fail(err, REASON_TLS_KEY_PERMISSIONS, "cert %.*s: %s has mode %04o: others may read the key", STR(cfg->name),
		    cfg->key, (unsigned)st.st_mode & 07777);
	} else {
		b = BIO_new_mem_buf(p, (int)n);
		if (b)
			key = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
		BIO_free(b);
		if (!key)
			fail(err, REASON_TLS_CERT_UNREADABLE, "cert %.*s: %s holds no private key in PEM without passphrase",
			    STR(cfg->name), cfg->key);
	}
	OPENSSL_cleanse(p, n);
	free(p);
	return key;
}

static STACK_OF(X509) *load_chain(const struct tls_cert_cfg *cfg, struct tls_error *err)
{
	struct stat st;
	size_t n = 0;
	char *p = slurp(cfg->chain, FILE_MAX, &st, &n), why[64];
	STACK_OF(X509) *chain;

	if (!p) {
		fail(err, REASON_TLS_CERT_UNREADABLE, "cert %.*s: %s: %s", STR(cfg->name), cfg->chain,
		    strerror_r(errno, why, sizeof(why)));
		return NULL;
	}
	chain = read_certs(p, n);
	if (!chain)
		fail(err, REASON_TLS_CERT_UNREADABLE, "cert %.*s: %s holds no certificate in PEM, or a broken one",
		    STR(cfg->name), cfg->chain);
	OPENSSL_cleanse(p, n); /* there are those who keep the key in the same file */
	free(p);
	return chain;
}

static bool check_dates(const struct tls_cert_cfg *cfg, const X509 *x, struct tls_error *err)
{
	int64_t now = (int64_t)time(NULL) * 1000000;
	int64_t from = time_us(X509_get0_notBefore(x)), to = time_us(X509_get0_notAfter(x));
	time_t t = (time_t)((now > to ? to : from) / 1000000);
	struct tm tm;
	char day[32];

	if (now >= from && now <= to)
		return true;
	gmtime_r(&t, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	return fail(err, REASON_TLS_EXPIRED, "cert %.*s: %s %s %s UTC", STR(cfg->name), cfg->chain,
	    now > to ? "expired at" : "is not valid before", day);
}

/* each certificate is signed by the one behind it (RFC 5246 7.4.2): peers refuse others */
static bool check_order(const struct tls_cert_cfg *cfg, STACK_OF(X509) *chain, struct tls_error *err)
{
	for (int i = 0; i + 1 < sk_X509_num(chain); i++) {
		X509 *issuer = sk_X509_value(chain, i + 1);

		if (X509_check_issued(issuer, sk_X509_value(chain, i)) != X509_V_OK)
			return fail(err, REASON_TLS_CERT_UNREADABLE,
			    "cert %.*s: %s: certificate %d was not issued by the one behind it", STR(cfg->name), cfg->chain,
			    i + 1);
	}
	return true;
}

static bool load_pair(struct tls_store *s, const struct tls_cert_cfg *cfg, struct tls_cert *c, struct tls_error *err)
{
	STACK_OF(X509) *chain = load_chain(cfg, err);
	EVP_PKEY *key = chain ? load_key(cfg, err) : NULL;
	X509 *leaf = chain ? sk_X509_value(chain, 0) : NULL;
	bool ok = chain && key;
	int e;

	if (ok && X509_check_private_key(leaf, key) != 1)
		ok = fail(err, REASON_TLS_KEY_MISMATCH, "cert %.*s: %s does not belong to the certificate in %s",
		    STR(cfg->name), cfg->key, cfg->chain);
	ok = ok && check_dates(cfg, leaf, err) && check_order(cfg, chain, err);
	if (ok && !certname_for_sip(leaf, true))
		ok = fail(err, REASON_TLS_PURPOSE, "cert %.*s: %s is not meant for TLS or SIP by its key usage", STR(cfg->name),
		    cfg->chain);
	if (ok && (e = certname_read(leaf, &c->id)) < 0)
		ok = e == -ENOMEM ? no_memory(err)
		                  : fail(err, REASON_TLS_CERT_UNREADABLE, "cert %.*s: %s: its names cannot be read",
		                        STR(cfg->name), cfg->chain);
	if (ok) {
		c->server = ctx_new(s, true);
		c->client = ctx_new(s, false);
		if (!c->server || !c->client || !name_roots(c->server, s))
			ok = no_memory(err);
		else if (!use_pair(c->server, chain, key) || !use_pair(c->client, chain, key))
			ok = fail(err, REASON_TLS_CERT_UNREADABLE, "cert %.*s: %s: %s", STR(cfg->name), cfg->chain,
			    openssl_says());
	}
	if (ok) {
		view_of(s, leaf, cfg->name, cfg->chain, &c->view);
		c->view.domains = c->id.names;
		c->view.n_domains = c->id.n;
	}
	EVP_PKEY_free(key);
	sk_X509_pop_free(chain, X509_free);
	return ok;
}

/* ---- roots ---- */

static bool add_root(struct tls_store *s, X509 *x, const char *file, struct tls_error *err)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(s->trust);
	int before = sk_X509_OBJECT_num(all);
	struct tls_cert_view *v;

	if (X509_STORE_add_cert(s->trust, x) != 1)
		return no_memory(err);
	if (sk_X509_OBJECT_num(X509_STORE_get0_objects(s->trust)) == before)
		return true; /* there already */
	if ((s->n_roots & (s->n_roots + 1)) == 0) { /* full at 2^n - 1 */
		v = realloc(s->roots, 2 * ((size_t)s->n_roots + 1) * sizeof(*v));
		if (!v)
			return no_memory(err);
		s->roots = v;
	}
	v = &s->roots[s->n_roots];
	view_of(s, x, STR_NONE, file, v);
	v->name = v->subject;
	s->n_roots++;
	return true;
}

/* found NULL: it must hold some */
static bool trust_file(struct tls_store *s, const char *file, unsigned *found, struct tls_error *err)
{
	struct stat st;
	size_t n = 0;
	char *p = slurp(file, FILE_MAX, &st, &n), why[64];
	STACK_OF(X509) *all;
	bool ok = true;

	if (!p)
		return found || fail(err, REASON_TLS_CERT_UNREADABLE, "trust: %s: %s", file, strerror_r(errno, why, sizeof(why)));
	all = read_certs(p, n);
	free(p);
	if (!all) {
		ERR_clear_error();
		return found || fail(err, REASON_TLS_CERT_UNREADABLE, "trust: %s holds no certificate in PEM, or a broken one", file);
	}
	for (int i = 0; ok && i < sk_X509_num(all); i++)
		ok = add_root(s, sk_X509_value(all, i), file, err);
	if (found)
		*found += (unsigned)sk_X509_num(all);
	sk_X509_pop_free(all, X509_free);
	return ok;
}

/* Every certificate of a folder; files that are none are passed over, a folder without any is a mistake. */
static bool trust_folder(struct tls_store *s, const char *path, struct tls_error *err)
{
	DIR *d = opendir(path);
	unsigned found = 0;
	struct dirent *f;
	bool ok = true;
	char why[64];

	if (!d)
		return fail(err, REASON_TLS_CERT_UNREADABLE, "trust: %s: %s", path, strerror_r(errno, why, sizeof(why)));
	while (ok && (f = readdir(d))) {
		char file[4096];
		int n = snprintf(file, sizeof(file), "%s/%s", path, f->d_name);

		if (f->d_name[0] != '.' && n > 0 && (size_t)n < sizeof(file))
			ok = trust_file(s, file, &found, err);
	}
	closedir(d);
	if (ok && !found)
		ok = fail(err, REASON_TLS_CERT_UNREADABLE, "trust: %s holds no certificate", path);
	return ok;
}

static bool load_trust(struct tls_store *s, const struct tls_cfg *cfg, struct tls_error *err)
{
	for (unsigned i = 0; i < cfg->n_trust; i++) {
		struct stat st;
		bool dir = stat(cfg->trust[i], &st) == 0 && S_ISDIR(st.st_mode);

		if (!(dir ? trust_folder(s, cfg->trust[i], err) : trust_file(s, cfg->trust[i], NULL, err)))
			return false;
	}
	return true;
}

static bool load_crl(struct tls_store *s, const char *file, struct tls_error *err)
{
	struct stat st;
	size_t n = 0;
	char *p = slurp(file, FILE_MAX, &st, &n), why[64];
	unsigned found = 0;
	bool ok = true;
	X509_CRL *crl;
	BIO *b;

	if (!p)
		return fail(err, REASON_TLS_CERT_UNREADABLE, "crl: %s: %s", file, strerror_r(errno, why, sizeof(why)));
	b = BIO_new_mem_buf(p, (int)n);
	while (ok && b && (crl = PEM_read_bio_X509_CRL(b, NULL, no_passphrase, NULL))) {
		ok = X509_STORE_add_crl(s->trust, crl) == 1;
		X509_CRL_free(crl);
		found++;
	}
	if (!b || !ok)
		ok = no_memory(err);
	else if (!found || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		ok = fail(err, REASON_TLS_CERT_UNREADABLE, "crl: %s holds no revocation list in PEM, or a broken one", file);
	ERR_clear_error();
	BIO_free(b);
	free(p);
	return ok;
}

/* ---- the store ---- */

void tls_thread_done(void)
{
	OPENSSL_thread_stop();
}

bool tls_process_init(void)
{
	return CRYPTO_secure_malloc_initialized() || CRYPTO_secure_malloc_init(SECURE_HEAP, 16) == 1;
}

static bool prepare(struct tls_store *s, const struct tls_cfg *cfg)
{
	long page = sysconf(_SC_PAGESIZE);

	arena_pool_init(&s->pool, 16 * 1024, 0);
	s->refs = 1;
	s->warn_days = cfg->warn_days;
	s->ocsp = cfg->ocsp_stapling;
	s->crl = cfg->n_crl > 0;
	s->system_trust = cfg->system_trust;
	s->mem = arena_new(&s->pool);
	s->trust = X509_STORE_new();
	pthread_mutex_init(&s->ticket_lock, NULL);
	s->bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "postern");
	s->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	s->tickets = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->tickets == MAP_FAILED) {
		s->tickets = NULL;
		return false;
	}
	/* not in a core dump, not on the swap disk; where the limits forbid the second, the first still holds */
	(void)madvise(s->tickets, (size_t)page, MADV_DONTDUMP);
	(void)mlock(s->tickets, (size_t)page);
	s->certs = calloc(cfg->n_certs + 1, sizeof(*s->certs));
	return s->mem && s->trust && s->bio && s->ticket_cipher && s->certs && tls_bio_init(s->bio);
}

struct tls_store *tls_store_load(const struct tls_cfg *cfg, struct tls_error *ret_err)
{
	struct tls_store *s = calloc(1, sizeof(*s));
	bool ok;

	*ret_err = (struct tls_error){.reason = REASON_NONE};
	ERR_clear_error();
	ok = s && prepare(s, cfg);
	if (!ok)
		no_memory(ret_err);
	/* what is listed is trusted, though it may be no root: an intermediate or the peer's own can be pinned */
	if (ok)
		X509_VERIFY_PARAM_set_flags(X509_STORE_get0_param(s->trust),
		    X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST |
		        (s->crl ? X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL : 0));
	ok = ok && load_trust(s, cfg, ret_err);
	for (unsigned i = 0; ok && i < cfg->n_crl; i++)
		ok = load_crl(s, cfg->crl[i], ret_err);
	for (unsigned i = 0; ok && i < cfg->n_certs; i++) {
		s->n_certs++; /* so that what was made of it is freed */
		ok = load_pair(s, &cfg->certs[i], &s->certs[i], ret_err);
	}
	if (ok) {
		s->anonymous = ctx_new(s, false);
		if (!s->anonymous)
			ok = no_memory(ret_err);
	}
	if (ok)
		return s;
	tls_store_unref(s);
	return NULL;
}

struct tls_store *tls_store_ref(struct tls_store *s)
{
	if (s)
		s->refs++;
	return s;
}

void tls_store_unref(struct tls_store *s)
{
	if (!s || --s->refs)
		return;
	for (unsigned i = 0; i < s->n_certs; i++) {
		SSL_CTX_free(s->certs[i].server);
		SSL_CTX_free(s->certs[i].client);
		certname_free(&s->certs[i].id);
	}
	free(s->certs);
	free(s->roots);
	SSL_CTX_free(s->anonymous);
	X509_STORE_free(s->trust);
	BIO_meth_free(s->bio);
	EVP_CIPHER_free(s->ticket_cipher);
	pthread_mutex_destroy(&s->ticket_lock);
	if (s->tickets) {
		OPENSSL_cleanse(s->tickets, sizeof(*s->tickets));
		munmap(s->tickets, (size_t)sysconf(_SC_PAGESIZE));
	}
	if (s->mem)
		arena_free(s->mem);
	arena_pool_fini(&s->pool);
	free(s);
}

const struct tls_cert *tls_store_find(const struct tls_store *s, struct str name)
{
	for (unsigned i = 0; s && i < s->n_certs; i++)
		if (str_eq(s->certs[i].view.name, name))
			return &s->certs[i];
	return NULL;
}

/* ---- looking at it ---- */

unsigned tls_store_cert_count(const struct tls_store *s)
{
	return s->n_certs;
}

void tls_store_cert(const struct tls_store *s, unsigned i, struct tls_cert_view *ret)
{
	*ret = s->certs[i].view;
}

unsigned tls_store_root_count(const struct tls_store *s)
{
	return s->n_roots;
}

bool tls_store_root(const struct tls_store *s, int64_t wall_us, unsigned i, struct tls_cert_view *ret)
{
	int64_t until = wall_us + (int64_t)s->warn_days * 86400 * 1000000;

	if (wall_us && s->system_trust)
		return false;
	for (unsigned at = 0; at < s->n_roots; at++) {
		if ((wall_us && s->roots[at].not_after_us > until) || i--)
			continue;
		*ret = s->roots[at];
		return true;
	}
	return false;
}
