/* tls_internal.h - what tls.c (certificates, contexts), tls_hs.c (handshakes) and tls_link.c (connections) share. */
#ifndef SBC_NET_TLS_INTERNAL_H
#define SBC_NET_TLS_INTERNAL_H

#include <pthread.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sbc/base/arena.h"
#include "sbc/loop/workers.h"
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
	pthread_mutex_t ticket_lock;
	struct tls_ticket_keys *tickets; /* own: mmap; under ticket_lock */
	uint16_t warn_days;
	bool crl, ocsp, system_trust;
};

/* wall clock */
int64_t tls_not_after_us(const X509 *x);
/* NULL: none of that name */
const struct tls_cert *tls_store_find(const struct tls_store *s, struct str name);

/* A queue of bytes. */
struct tls_bytes {
	unsigned char *p; /* own, NULL while it is empty */
	size_t at, n, cap;
};

enum tls_step {
	TLS_STEP_MORE,   /* waits for bytes of the peer */
	TLS_STEP_WORKER, /* what comes next is too dear for the loop's thread */
	TLS_STEP_DONE,
	TLS_STEP_FAILED,
};

/* While a handshake goes on: what it must know, so that it looks at nothing of the loop's, and what becomes of it. */
struct tls_try {
	struct work work;
	struct tls_conn *of; /* borrow */
	bool inbound;
	bool legacy_ciphers;
	bool on_loop;             /* this step runs on the loop's thread */
	bool eof;                 /* nothing more comes */
	uint8_t realm;            /* server: of its listener */
	struct net_peer *peer;    /* own; client: whom the connection is made for, NULL: nobody in particular */
	struct ssl_session_st *offer; /* own; client: to be resumed, NULL: none */
	struct addr remote;
	int64_t wall_us;          /* now */
	enum tls_step result;     /* of the last step */
	struct ssl_session_st *session; /* own; client: to be kept for the next time, NULL: none */
	int err;                  /* -NET_ERR_TLS_..., -ENOMEM, 0: nothing known */
	char text[280];           /* why it is going to fail */
};

/* One connection's part. While a step runs in a worker (busy) it is that thread's, but for what the loop's thread reads
 * meanwhile: c, busy, more, more_end. */
struct tls_conn {
	struct conn *c;              /* borrow; NULL: gone, the rest goes when the step ends */
	bool busy;
	bool more_end;               /* the peer's TCP ended, behind more */
	struct tls_bytes more;       /* from the socket, for the next step */

	SSL *ssl;                    /* own; NULL before the first step */
	struct tls_store *store;     /* ref */
	const struct tls_cert *cert; /* borrow: store; ours on this connection, NULL: none */
	struct tls_try *hs;          /* own; NULL once it is up */
	struct tls_bytes in;         /* of the handshake: for OpenSSL to read, before it asks the socket */
	struct tls_bytes out;        /* of the handshake: for the socket */
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

/* So that what OpenSSL says next is of the next call. Its queue is nearly always empty, and to look costs less than to clear. */
static inline void tls_forget_errors(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

/* 0 or -ENOMEM */
int tls_bytes_put(struct tls_bytes *b, const void *p, size_t n);
/* n of them are gone */
void tls_bytes_took(struct tls_bytes *b, size_t n);
void tls_bytes_free(struct tls_bytes *b);

/* ---- tls_hs.c: on whichever thread the connection's handshake is ---- */

/* One step: takes what is in t->in, leaves what is to be sent in t->out, and the outcome in t->hs. */
void tls_step(struct tls_conn *t);
/* err as OpenSSL left it, in words of ours */
const char *tls_openssl_text(char *text, size_t n);
bool tls_expired(int64_t wall_us, const X509 *x);

/* ---- tls_hs.c: what a server must prove; for probe.c too, so that both judge alike ---- */

/* X509_V_ERR_... as NET_ERR_TLS_... */
int tls_chain_error(int x509);
/* the leaf first */
bool tls_purpose_ok(const STACK_OF(X509) *chain);
/* want: a domain, or an address with or without brackets */
bool tls_name_is(const X509 *x, const struct certname *names, struct str want, bool relaxed);
/* The staple: absent or unusable is no proof of anything, unless the certificate must have one; one that says revoked is.
 * 0, or NET_ERR_TLS_... and what is wrong, a literal. */
int tls_staple_error(SSL *ssl, X509_STORE *trust, const char **ret_text);

/* ---- tls_hs.c: called by OpenSSL ---- */

/* SSL_CTX_set_cert_verify_callback() */
int tls_verify(X509_STORE_CTX *x, void *arg);
/* SSL_CTX_set_tlsext_servername_callback(): the certificate among the store's that carries the name */
int tls_choose(SSL *ssl, int *alert, void *arg);
/* SSL_CTX_set_tlsext_status_cb() */
int tls_staple(SSL *ssl, void *arg);
/* SSL_CTX_set_cert_cb() of servers: the handshake is going to sign, so it is a whole one */
int tls_whole_handshake(SSL *ssl, void *arg);

/* ---- tls_link.c: called by OpenSSL ---- */

/* SSL_CTX_sess_set_new_cb() */
int tls_keep_session(SSL *ssl, SSL_SESSION *session);
/* fills in the methods that move bytes between OpenSSL and t->in, t->out or the socket */
bool tls_bio_init(BIO_METHOD *m);

#endif
