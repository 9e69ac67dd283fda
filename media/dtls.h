/* dtls.h - one DTLS handshake for SRTP as arithmetic: datagrams in, datagrams and keys out (RFC 6347, 5763, 5764, 7714).
 *
 * Owns no socket, no timer and no thread: whoever has one puts in what came, makes a step, and takes out what there is to send.
 * A step may be made on any thread, by one at a time; certificates are counted on the signalling thread.
 */
#ifndef MEDIA_DTLS_H
#define MEDIA_DTLS_H

#include "media/crypt.h"
#include "media/dtls_sdp.h"
#include "sbc/base/addr.h"

#define DTLS_MTU 1200           /* bytes of a datagram of ours */
#define DTLS_DATAGRAM_MAX 1536  /* bytes of one that is taken */
#define DTLS_BATCH_MAX 16       /* datagrams of one step: repeated flights come as one for each message */
#define DTLS_BATCH_BYTES 6144
#define DTLS_ATTEMPTS 5         /* handshakes that go wrong before their far end has shown who it is */

/* A certificate of the box with its key, and what handshakes with it share. */
struct dtls_cert;

/* ECDSA P-256, self-signed, good from a day before wall_us on. NULL: OpenSSL cannot, or no memory. */
struct dtls_cert *dtls_cert_new(int64_t wall_us);
struct dtls_cert *dtls_cert_ref(struct dtls_cert *c);
void dtls_cert_unref(struct dtls_cert *c); /* NULL is fine */
const struct dtls_print *dtls_cert_print(const struct dtls_cert *c); /* by SHA-256 */

/* How many of these suites have a protection profile of DTLS, in the same order (RFC 5764 4.1.2, RFC 7714 14.2). */
unsigned dtls_suites(const uint8_t *suites, unsigned n, uint8_t ret[CRYPT_SUITES]);

enum dtls_state {
	DTLS_RUNNING,
	DTLS_UP,     /* keys are there */
	DTLS_FAILED, /* why and text say it */
};

/* Datagrams one behind the other. Zeroed memory is an empty one. */
struct dtls_batch {
	unsigned n;
	size_t used;
	uint16_t len[DTLS_BATCH_MAX];
	uint8_t d[DTLS_BATCH_BYTES];
};
/* false: it is too long, or there is no room (it will come again) */
bool dtls_batch_put(struct dtls_batch *b, const uint8_t *p, size_t n);

/* Open, so that its owner can read it; written by dtls_step() but for in. */
struct dtls {
	struct dtls_batch in;  /* by the owner, between steps */
	struct dtls_batch out; /* until the next step */
	int64_t again_us; /* a step is due so long after this one, though nothing came; -1: none */
	enum dtls_state state;
	enum reason why;  /* DTLS_FINGERPRINT, DTLS_HANDSHAKE */
	char text[128];   /* for the log, fit to stand between quotes */
	struct crypt_key theirs, ours; /* when up; roc 0 */

	/* of dtls.c */
	struct dtls_cert *cert; /* ref */
	struct ssl_st *ssl;     /* own */
	struct dtls_said far;
	struct addr peer;       /* whom the cookie is for */
	char profiles[128];
	unsigned next_in, attempts;
	unsigned early;         /* records of epoch 1 that this attempt was given before it had come to that */
	size_t at_in;           /* of next_in */
	bool client;
	bool shown;             /* the far end's certificate is the one */
	bool anew;              /* the step went wrong and began again */
};

/* @client  we begin: the first step gives the first flight
 * @far     the fingerprints it may show
 * @suites  as dtls_suites() gave them, the best first
 * About 13 KiB, and 60 more that OpenSSL has (bench_dtls); a far end that wants it to be more gets it to 300 more, with pieces of
 * long messages and records that come early. NULL: no memory. */
struct dtls *dtls_new(struct dtls_cert *cert, bool client, const struct dtls_said *far, const uint8_t *suites, unsigned n_suites,
    const struct addr *peer);
void dtls_free(struct dtls *d); /* signalling thread; NULL is fine */
/* Takes what came in, which is gone then. */
void dtls_step(struct dtls *d);
/* Is this a handshake's first message, the hello of a client? For an owner who sees another source. */
bool dtls_is_hello(const uint8_t *p, size_t n);
/* What OpenSSL keeps for a thread; before a thread that made steps ends. */
void dtls_thread_done(void);

#endif
