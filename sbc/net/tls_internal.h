/* tls_internal.h - what tls.c (certificates, contexts) and tls_link.c (connections) share. */
#ifndef SBC_NET_TLS_INTERNAL_H
#define SBC_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "sbc/base/arena.h"
#include "sbc/net/certname.h"
#include "sbc/net/internal.h"
#include "sbc/net/tls.h"

/* One pair of ours. */
struct tls_cert {
	struct certname id;
	SSL_CTX *server, *client; /* own */
	struct tls_cert_view view;
};

/* Keys of session tickets: the newest writes, both read. In a mapping of its own that no core dump holds. */
struct tls_ticket_key {
	unsigned char name[16], aes[32], hmac[32];
	time_t born; /* 0: not yet */
};
struct tls_ticket_keys {
	struct tls_ticket_key key[2];
};

struct tls_store {
	_Atomic unsigned refs;
	struct arena_pool pool;
	struct arena *mem; /* own: texts and lists of the views */
	struct tls_cert *certs;
	unsigned n_certs;
	SSL_CTX *anonymous; /* own: as a client that shows no certificate */
	X509_STORE *trust;  /* own */
	struct tls_cert_view *roots;
	unsigned n_roots;
	BIO_METHOD *bio; /* own */
	EVP_CIPHER *ticket_cipher; /* own */
	struct tls_ticket_keys *tickets; /* own: mmap */
	uint16_t warn_days;
	bool crl, ocsp;
};

/* wall clock */
int64_t tls_not_after_us(const X509 *x);
/* NULL: none of that name */
const struct tls_cert *tls_store_find(const struct tls_store *s, struct str name);

/* While a handshake goes on: why it is going to fail. */
struct tls_try {
	int err; /* -NET_ERR_TLS_..., 0: nothing known */
	char text[280];
};

/* One connection's part. */
struct tls_conn {
	SSL *ssl;                    /* own */
	struct tls_store *store;     /* ref */
	const struct tls_cert *cert; /* borrow: store; ours on this connection, NULL: none */
	struct tls_try *hs;          /* own; NULL once it is up */
	uint64_t wire;               /* bytes handed to the socket */
	int64_t peer_not_after_us;   /* wall; 0: it showed no certificate */
	struct certname names;       /* own: what identity.names says */
	struct net_identity identity;
	int sys_err;                 /* errno of the socket, positive */
	bool want_write;             /* reading waits for the socket to take bytes */
	bool eof;
	bool broken;                 /* no close_notify after a fatal error (RFC 8446 6.2) */
	bool closed_by_peer;         /* its close_notify came */
	uint8_t client_cert;         /* enum net_client_cert; server */
};

/* ---- tls_link.c: called by OpenSSL ---- */

/* SSL_CTX_set_cert_verify_callback() */
int tls_verify(X509_STORE_CTX *x, void *arg);
/* SSL_CTX_set_tlsext_servername_callback(): the certificate among the store's that carries the name */
int tls_choose(SSL *ssl, int *alert, void *arg);
/* SSL_CTX_set_tlsext_status_cb() */
int tls_staple(SSL *ssl, void *arg);
/* SSL_CTX_sess_set_new_cb() */
int tls_keep_session(SSL *ssl, SSL_SESSION *session);
/* fills in the methods that move bytes between OpenSSL and the socket */
bool tls_bio_init(BIO_METHOD *m);

#endif
