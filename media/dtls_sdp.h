/* dtls_sdp.h - what a stream of a session description says of DTLS: a=setup and a=fingerprint (RFC 4145, 8122, 8842). Pure. */
#ifndef MEDIA_DTLS_SDP_H
#define MEDIA_DTLS_SDP_H

#include "media/sdp.h"

enum dtls_setup {
	DTLS_SETUP_NONE,
	DTLS_ACTPASS, /* either: the other one chooses */
	DTLS_ACTIVE,  /* begins the handshake */
	DTLS_PASSIVE, /* waits for it */
};

enum dtls_hash { DTLS_NO_HASH, DTLS_SHA256, DTLS_SHA384, DTLS_SHA512 }; /* the later, the stronger */

#define DTLS_DIGEST_MAX 64
#define DTLS_PRINTS_MAX 4
#define DTLS_PRINT_TEXT (8 + 3 * DTLS_DIGEST_MAX) /* "sha-512 AA:BB:..." */
#define DTLS_ID_MAX 256 /* characters of a=tls-id */

struct dtls_print {
	uint8_t hash; /* enum dtls_hash; the digest is as long as the hash says */
	uint8_t digest[DTLS_DIGEST_MAX];
};

/* Plain values; two that are equal byte by byte say the same. */
struct dtls_said {
	uint8_t setup; /* enum dtls_setup */
	uint8_t n;
	struct dtls_print print[DTLS_PRINTS_MAX]; /* certificates it may show, all by its strongest hash */
	uint64_t id;   /* of what a=tls-id says; 0: nothing */
};

size_t dtls_hash_len(uint8_t hash);
/* Does a stream say anything of DTLS? */
static inline bool dtls_is_said(const struct sdp_media *m)
{
	return sdp_attr(m->attrs, S("fingerprint")) != NULL;
}
/* NULL, or why it cannot be used (static text). Fingerprints by weaker hashes than SHA-256 are passed over; when nothing else is
 * there, that is why. A missing setup is an active one (RFC 4145 4). */
const char *dtls_read(const struct sdp_media *m, struct dtls_said *ret);
/* "sha-256 AA:BB:..." */
void dtls_print_put(struct buf *b, const struct dtls_print *p);
/* Which part falls to the one who said mine, when the other said theirs: ACTIVE, PASSIVE, or NONE: they do not fit. */
enum dtls_setup dtls_role(uint8_t mine, uint8_t theirs);

#endif
