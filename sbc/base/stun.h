/* stun.h - STUN Binding as SIP flows (RFC 5626 4.4.2, 8) and checks of ICE (RFC 8445 7) use it (RFC 8489): bytes <-> messages.
 * Pure; who wants integrity lends the arithmetic.
 *
 * On a SIP port a STUN message is known by its first byte, 0..3, which no SIP message begins with.
 */
#ifndef SBC_BASE_STUN_H
#define SBC_BASE_STUN_H

#include "sbc/base/addr.h"

#define STUN_TID 12
#define STUN_UNKNOWN_MAX 8
#define STUN_OUT_MAX 120 /* the longest message the functions below write */
#define STUN_MAC 20

enum stun_kind {
	STUN_REQUEST, /* Binding request */
	STUN_SUCCESS,
	STUN_ERROR,
	STUN_OTHER,   /* an indication, or another method: nothing to answer */
};

struct stun_msg {
	enum stun_kind kind;
	uint8_t tid[STUN_TID];
	bool fingerprint;                    /* it carried one, and it fits */
	struct addr mapped;                  /* (XOR-)MAPPED-ADDRESS, or none */
	uint16_t unknown[STUN_UNKNOWN_MAX];  /* attributes that must be understood and are not (RFC 8489 6.3.1) */
	unsigned n_unknown;
	struct str username;                 /* in the message; p NULL: none */
	size_t integrity_at;                 /* where MESSAGE-INTEGRITY begins; 0: there is none */
	uint32_t priority;                   /* of ICE; 0: none */
	bool use_candidate, controlled, controlling;
};

static inline bool stun_is(const char *p, size_t n)
{
	return n > 0 && (unsigned char)p[0] <= 3;
}

/* One datagram. 0, or -EBADMSG: not of its length, no magic cookie, an attribute that ends outside, a fingerprint that
 * does not fit. */
MUST_USE int stun_parse(const char *p, size_t n, struct stun_msg *ret);

/* HMAC-SHA1 with the key of ctx over two pieces that follow each other. */
typedef void stun_mac_fn(void *ctx, const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b, uint8_t ret[STUN_MAC]);

/* Is the MESSAGE-INTEGRITY of a message right (14.5)? p, n: as it was parsed. What stands behind it but the fingerprint was not
 * read. */
bool stun_integrity_ok(const char *p, const struct stun_msg *m, stun_mac_fn *mac, void *ctx);
/* An answer with MESSAGE-INTEGRITY and FINGERPRINT (RFC 8445 7.3.1): its address, 420 with what was not understood, or code
 * (0: none) with text. */
size_t stun_put_checked(char *out, const struct stun_msg *req, const struct addr *source, unsigned code, struct str text,
    stun_mac_fn *mac, void *ctx);

/* Each returns the bytes written to out[STUN_OUT_MAX]. */
size_t stun_put_request(char *out, const uint8_t tid[STUN_TID]);
/* Binding indication: nobody answers it (RFC 8445 11). */
size_t stun_put_indication(char *out, const uint8_t tid[STUN_TID]);
/* The answer to req from source: its address, or 420 with what was not understood. */
size_t stun_put_answer(char *out, const struct stun_msg *req, const struct addr *source);

#endif
