/* dtls.c - the handshake of DTLS-SRTP on OpenSSL. See dtls.h.
 *
 * Happy path of the one who begins: hello, [cookie, hello again,] flights, done; keys are exported (RFC 5764 4.2). Datagrams
 * keep their bounds in a BIO of ours over the arrays of struct dtls. After that the connection is kept for what the far end
 * repeats because our last flight was lost.
 *
 * Who the far end is: its certificate is the one whose fingerprint stood in its session description, judged inside the
 * handshake, so that a wrong one is told by an alert and no key comes of it. Nothing else of a certificate counts (RFC 5763 5).
 *
 * As a server: whoever says hello gets a cookie first, shorter than its hello (RFC 6347 4.2.1); flights are for those who
 * bring it back.
 *
 * Going wrong: what fails before the certificate was seen may be anybody's work, so the handshake begins anew, a few times
 * (RFC 6347 4.1.2.7 would ignore what is invalid; OpenSSL ends). A wrong certificate ends it at once. A far end that is
 * silent is the owner's to give up. Records that a handshake has no use for do not reach OpenSSL, which would keep them
 * (useful()).
 */
#include "media/dtls.h"

#include <stdlib.h>
#include <sys/time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "sbc/base/be.h"

#define REPEAT_FIRST_US 500000u /* RFC 6347 4.2.4.1: 1 s, or less where it does no harm */
#define REPEAT_LAST_US 4000000u
#define CHAIN_MAX 8192 /* bytes of a far end's certificates */
#define COOKIE_LEN 16
#define EARLY_MAX 4    /* records of the epoch to come: a last message that overtook, and its repetitions */
#define RECORD_HEAD 13
#define SEALED_MIN 24  /* bytes of a record of epoch 1: GCM's */
#define SEND_MAX 1024 /* bytes of a record of ours */
#define IP_OVERHEAD 48 /* IPv6 and UDP */
#define VALID_S (30 * 86400L)
#define EXPORT_LABEL "EXTRACTOR-dtls_srtp"

struct dtls_cert {
	SSL_CTX *ctx;      /* own */
	BIO_METHOD *bio;   /* own */
	struct dtls_print print;
	uint8_t secret[32]; /* of cookies */
	unsigned refs;
};

static const struct {
	const char *name;
	unsigned long id;
	uint8_t suite;
} profiles[] = {
	{"SRTP_AES128_CM_SHA1_80", SRTP_AES128_CM_SHA1_80, CRYPT_CM128_80},
	{"SRTP_AES128_CM_SHA1_32", SRTP_AES128_CM_SHA1_32, CRYPT_CM128_32},
	{"SRTP_AEAD_AES_128_GCM", SRTP_AEAD_AES_128_GCM, CRYPT_GCM128},
	{"SRTP_AEAD_AES_256_GCM", SRTP_AEAD_AES_256_GCM, CRYPT_GCM256},
};

static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA";

/* --- datagrams for OpenSSL --- */

static int bio_write(BIO *b, const char *p, int n)
{
	struct dtls *d = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	/* what does not fit is lost, as on a wire */
	if (n > 0)
		(void)dtls_batch_put(&d->out, (const uint8_t *)p, (size_t)n);
	return n;
}

/* How much of a datagram OpenSSL gets: up to the first record that a handshake has no use for. Of those of an epoch to come,
 * and of data between two last messages, it would keep a hundred each, in 16 KiB for every one however short; one too short
 * to be sealed would end the handshake, whoever sent it. */
static size_t useful(struct dtls *d, const uint8_t *p, size_t n)
{
	OSSL_HANDSHAKE_STATE last = SSL_get_state(d->ssl);
	bool early = d->state == DTLS_RUNNING && last != TLS_ST_SR_CHANGE && last != TLS_ST_CR_CHANGE;
	size_t len;

	for (size_t at = 0; at + RECORD_HEAD <= n; at += RECORD_HEAD + len) {
		unsigned epoch = be16(p + at + 3);

		len = be16(p + at + 11);
		if (p[at] == SSL3_RT_APPLICATION_DATA || epoch > 1)
			return at;
		if (epoch && (len < SEALED_MIN || (early && d->early++ >= EARLY_MAX)))
			return at;
	}
	return n;
}

static int bio_read(BIO *b, char *p, int cap)
{
	struct dtls *d = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	while (cap > 0 && d->next_in < d->in.n) {
		const uint8_t *in = d->in.d + d->at_in;
		size_t n = useful(d, in, d->in.len[d->next_in]);

		d->at_in += d->in.len[d->next_in++];
		if (n > (size_t)cap)
			n = (size_t)cap;
		memcpy(p, in, n);
		if (n)
			return (int)n;
	}
	BIO_set_retry_read(b);
	return -1;
}

static long bio_ctrl(BIO *b, int cmd, long n, void *p)
{
	(void)b;
	(void)n;
	(void)p;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_DGRAM_QUERY_MTU:
		return DTLS_MTU;
	case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD:
		return IP_OVERHEAD;
	default:
		return 0;
	}
}

/* --- callbacks; the handshake is the app data of its SSL --- */

static int judge_certificate(X509_STORE_CTX *x, void *arg)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct dtls *d = SSL_get_app_data(ssl);
	static const EVP_MD *(*const md[])(void) = {
		[DTLS_SHA256] = EVP_sha256, [DTLS_SHA384] = EVP_sha384, [DTLS_SHA512] = EVP_sha512};
	uint8_t hash = d->far.print[0].hash;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	(void)arg;
	if (hash && hash < ARRAY_LEN(md) && X509_digest(X509_STORE_CTX_get0_cert(x), md[hash](), digest, &n))
		for (unsigned i = 0; i < d->far.n; i++)
			if (n == dtls_hash_len(hash) && memcmp(d->far.print[i].digest, digest, n) == 0) {
				d->shown = true;
				X509_STORE_CTX_set_error(x, X509_V_OK);
				return 1;
			}
	d->why = REASON_DTLS_FINGERPRINT;
	X509_STORE_CTX_set_error(x, X509_V_ERR_CERT_REJECTED);
	return 0;
}

static void make_cookie(SSL *ssl, uint8_t ret[COOKIE_LEN])
{
	const struct dtls *d = SSL_get_app_data(ssl);
	struct str ip = addr_ip_bytes(&d->peer);
	uint8_t whom[18], mac[EVP_MAX_MD_SIZE];
	uint16_t port = addr_port(&d->peer);
	unsigned n = 0;

	memset(whom, 0, sizeof(whom));
	memcpy(whom, ip.p, ip.n <= 16 ? ip.n : 16);
	memcpy(whom + 16, &port, 2);
	memset(mac, 0, sizeof(mac));
	HMAC(EVP_sha256(), d->cert->secret, sizeof(d->cert->secret), whom, sizeof(whom), mac, &n);
	memcpy(ret, mac, COOKIE_LEN);
}

static int give_cookie(SSL *ssl, unsigned char *cookie, unsigned *n)
{
	make_cookie(ssl, cookie);
	*n = COOKIE_LEN;
	return 1;
}

static int take_cookie(SSL *ssl, const unsigned char *cookie, unsigned n)
{
	uint8_t want[COOKIE_LEN];

	make_cookie(ssl, want);
	return n == COOKIE_LEN && CRYPTO_memcmp(want, cookie, n) == 0;
}

static unsigned repeat_after(SSL *ssl, unsigned was_us)
{
	(void)ssl;
	if (was_us == 0)
		return REPEAT_FIRST_US;
	return was_us < REPEAT_LAST_US / 2 ? was_us * 2 : REPEAT_LAST_US;
}

/* --- the certificate --- */

static X509 *make_certificate(EVP_PKEY *key, int64_t wall_us)
{
	time_t from = (time_t)(wall_us / 1000000) - 86400;
	uint64_t serial = 1;
	X509 *x = X509_new();
	X509_NAME *name = x ? X509_get_subject_name(x) : NULL;

	if (RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 && name && X509_set_version(x, 2) &&
	    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1) &&
	    X509_time_adj_ex(X509_getm_notBefore(x), 0, 0, &from) &&
	    X509_time_adj_ex(X509_getm_notAfter(x), 0, VALID_S, &from) &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"dtls", -1, -1, 0) &&
	    X509_set_issuer_name(x, name) && X509_set_pubkey(x, key) && X509_sign(x, key, EVP_sha256()))
		return x;
	X509_free(x);
	return NULL;
}

static SSL_CTX *make_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(DTLS_method());

	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION) || !SSL_CTX_set_cipher_list(ctx, ciphers) ||
	    !SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384")) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_QUERY_MTU | SSL_OP_COOKIE_EXCHANGE | SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
	                             SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, CHAIN_MAX);
	SSL_CTX_set_max_send_fragment(ctx, SEND_MAX); /* and so its buffer */
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, judge_certificate, NULL);
	SSL_CTX_set_cookie_generate_cb(ctx, give_cookie);
	SSL_CTX_set_cookie_verify_cb(ctx, take_cookie);
	return ctx;
}

struct dtls_cert *dtls_cert_new(int64_t wall_us)
{
	struct dtls_cert *c = calloc(1, sizeof(*c));
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = key ? make_certificate(key, wall_us) : NULL;
	unsigned n = 0;
	bool ok = false;

	if (c && x) {
		c->refs = 1;
		c->ctx = make_context();
		c->bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "datagrams");
		c->print.hash = DTLS_SHA256;
		ok = c->ctx && c->bio && SSL_CTX_use_certificate(c->ctx, x) && SSL_CTX_use_PrivateKey(c->ctx, key) &&
		     BIO_meth_set_write(c->bio, bio_write) && BIO_meth_set_read(c->bio, bio_read) &&
		     BIO_meth_set_ctrl(c->bio, bio_ctrl) && X509_digest(x, EVP_sha256(), c->print.digest, &n) &&
		     RAND_bytes(c->secret, sizeof(c->secret)) == 1;
	}
	X509_free(x);
	EVP_PKEY_free(key);
	if (!ok) {
		dtls_cert_unref(c);
		c = NULL;
	}
	ERR_clear_error();
	return c;
}

struct dtls_cert *dtls_cert_ref(struct dtls_cert *c)
{
	c->refs++;
	return c;
}

void dtls_cert_unref(struct dtls_cert *c)
{
	if (!c || (c->refs && --c->refs))
		return;
	SSL_CTX_free(c->ctx);
	BIO_meth_free(c->bio);
	explicit_bzero(c->secret, sizeof(c->secret));
	free(c);
}

const struct dtls_print *dtls_cert_print(const struct dtls_cert *c)
{
	return &c->print;
}

unsigned dtls_suites(const uint8_t *suites, unsigned n, uint8_t ret[CRYPT_SUITES])
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++)
		for (size_t p = 0; p < ARRAY_LEN(profiles); p++)
			if (profiles[p].suite == suites[i])
				ret[k++] = suites[i];
	return k;
}

/* --- a handshake --- */

static bool begin(struct dtls *d)
{
	BIO *b;

	d->early = 0;
	SSL_free(d->ssl);
	d->ssl = SSL_new(d->cert->ctx);
	b = d->ssl ? BIO_new(d->cert->bio) : NULL;
	if (!b)
		return false;
	BIO_set_data(b, d);
	BIO_set_init(b, 1);
	SSL_set_bio(d->ssl, b, b);
	SSL_set_app_data(d->ssl, d);
	SSL_set_mtu(d->ssl, DTLS_MTU);
	DTLS_set_timer_cb(d->ssl, repeat_after);
	if (d->client)
		SSL_set_connect_state(d->ssl);
	else
		SSL_set_accept_state(d->ssl);
	return SSL_set_tlsext_use_srtp(d->ssl, d->profiles) == 0; /* this one says 0 when it did */
}

struct dtls *dtls_new(struct dtls_cert *cert, bool client, const struct dtls_said *far, const uint8_t *suites, unsigned n_suites,
    const struct addr *peer)
{
	struct dtls *d = calloc(1, sizeof(*d));
	struct buf b;

	if (!d)
		return NULL;
	d->cert = dtls_cert_ref(cert);
	d->client = client;
	d->far = *far;
	d->peer = *peer;
	d->again_us = -1;
	buf_init(&b, d->profiles, sizeof(d->profiles));
	for (unsigned i = 0; i < n_suites; i++)
		for (size_t p = 0; p < ARRAY_LEN(profiles); p++)
			if (profiles[p].suite == suites[i]) {
				if (b.n)
					buf_chr(&b, ':');
				buf_str(&b, str_z(profiles[p].name));
			}
	buf_z(&b);
	return d;
}

void dtls_free(struct dtls *d)
{
	if (!d)
		return;
	SSL_free(d->ssl);
	dtls_cert_unref(d->cert);
	explicit_bzero(d, sizeof(*d));
	free(d);
}

bool dtls_batch_put(struct dtls_batch *b, const uint8_t *p, size_t n)
{
	if (n == 0 || n > DTLS_DATAGRAM_MAX || b->n == DTLS_BATCH_MAX || n > DTLS_BATCH_BYTES - b->used)
		return false;
	memcpy(b->d + b->used, p, n);
	b->used += n;
	b->len[b->n++] = (uint16_t)n;
	return true;
}

bool dtls_is_hello(const uint8_t *p, size_t n)
{
	/* record of a handshake in epoch 0, message 1 */
	return n > 13 && p[0] == 22 && p[3] == 0 && p[4] == 0 && p[13] == 1;
}

/* client key, server key, client salt, server salt (RFC 5764 4.2) */
static bool take_keys(struct dtls *d)
{
	const SRTP_PROTECTION_PROFILE *p = SSL_get_selected_srtp_profile(d->ssl);
	uint8_t all[2 * CRYPT_KEY_MAX], suite = CRYPT_NONE;
	struct crypt_key *client = d->client ? &d->ours : &d->theirs, *server = d->client ? &d->theirs : &d->ours;
	size_t key, salt;

	for (size_t i = 0; p && i < ARRAY_LEN(profiles); i++)
		if (profiles[i].id == p->id)
			suite = profiles[i].suite;
	if (suite == CRYPT_NONE)
		return false;
	salt = suite == CRYPT_GCM128 || suite == CRYPT_GCM256 ? 12 : 14;
	key = crypt_suites[suite].key_len - salt;
	if (SSL_export_keying_material(d->ssl, all, 2 * (key + salt), EXPORT_LABEL, sizeof(EXPORT_LABEL) - 1, NULL, 0, 0) != 1)
		return false;
	memset(client, 0, sizeof(*client));
	memset(server, 0, sizeof(*server));
	client->suite = server->suite = suite;
	memcpy(client->key, all, key);
	memcpy(server->key, all + key, key);
	memcpy(client->key + key, all + 2 * key, salt);
	memcpy(server->key + key, all + 2 * key + salt, salt);
	explicit_bzero(all, sizeof(all));
	return true;
}

static void say(struct dtls *d, const char *text)
{
	struct buf b;

	buf_init(&b, d->text, sizeof(d->text));
	buf_str(&b, str_head(str_z(text), sizeof(d->text) - 1));
	buf_z(&b);
	for (char *p = d->text; *p; p++)
		if (*p == '"' || (unsigned char)*p < ' ')
			*p = '\'';
}

static void failed(struct dtls *d)
{
	unsigned long e = ERR_peek_last_error();
	const char *why = ERR_reason_error_string(e);
	bool alert = ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) > SSL_AD_REASON_OFFSET;

	if (d->why == REASON_DTLS_FINGERPRINT) {
		say(d, "its certificate is not one of the fingerprints in its session description");
	} else if (++d->attempts < DTLS_ATTEMPTS && !d->shown && begin(d)) {
		d->anew = true;
		return;
	} else {
		d->why = REASON_DTLS_HANDSHAKE;
		say(d, why ? why : "the far end ended it");
		if (alert) {
			char text[sizeof(d->text)];
			struct buf b;

			buf_init(&b, text, sizeof(text) - 1);
			buf_lit(&b, "the far end refused: ");
			buf_str(&b, str_head(str_z(why), sizeof(text) - 30));
			say(d, buf_z(&b));
		}
	}
	d->state = DTLS_FAILED;
}

static void shake(struct dtls *d)
{
	uint8_t sink[64];
	int r;

	if (d->state == DTLS_UP) { /* a repeated last flight is answered in there; what else comes is nothing to us */
		(void)SSL_read(d->ssl, sink, sizeof(sink));
		return;
	}
	if (!d->ssl && !begin(d)) {
		d->state = DTLS_FAILED;
		d->why = REASON_NO_MEMORY;
		return;
	}
	r = SSL_do_handshake(d->ssl);
	if (r == 1) {
		d->state = DTLS_UP;
		if (!take_keys(d)) {
			d->state = DTLS_FAILED;
			d->why = REASON_DTLS_HANDSHAKE;
			say(d, "no protection profile of SRTP in common (srtp-suites)");
		}
	} else if (SSL_get_error(d->ssl, r) != SSL_ERROR_WANT_READ) {
		failed(d);
	}
}

void dtls_step(struct dtls *d)
{
	struct timeval tv;
	unsigned taken;

	ERR_clear_error();
	d->out.n = d->next_in = 0;
	d->out.used = d->at_in = 0;
	if (d->ssl && d->state == DTLS_RUNNING && d->in.n == 0 && DTLSv1_handle_timeout(d->ssl) < 0)
		failed(d);
	do {
		taken = d->next_in;
		d->anew = false;
		if (d->state != DTLS_FAILED)
			shake(d);
		ERR_clear_error();
	} while (d->state != DTLS_FAILED && (d->anew || (d->next_in < d->in.n && d->next_in > taken)));
	d->in.n = d->next_in = 0;
	d->in.used = 0;
	d->again_us = -1;
	if (d->state == DTLS_RUNNING && d->ssl && DTLSv1_get_timeout(d->ssl, &tv))
		d->again_us = (int64_t)tv.tv_sec * 1000000 + tv.tv_usec;
	ERR_clear_error();
}

void dtls_thread_done(void)
{
	OPENSSL_thread_stop();
}
