/* stun.h - STUN Binding as SIP flows use it (RFC 8489; RFC 5626 4.4.2, 8): bytes <-> messages. Pure.
 *
 * On a SIP port a STUN message is known by its first byte, 0..3, which no SIP message begins with.
 */
#ifndef SBC_BASE_STUN_H
#define SBC_BASE_STUN_H

#include "sbc/base/addr.h"

#define STUN_TID 12
#define STUN_UNKNOWN_MAX 8
#define STUN_OUT_MAX 96 /* the longest message the functions below write */

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
};

static inline bool stun_is(const char *p, size_t n)
{
	return n > 0 && (unsigned char)p[0] <= 3;
}

/* One datagram. 0, or -EBADMSG: not of its length, no magic cookie, an attribute that ends outside, a fingerprint that
 * does not fit. */
MUST_USE int stun_parse(const char *p, size_t n, struct stun_msg *ret);

/* Each returns the bytes written to out[STUN_OUT_MAX]. */
size_t stun_put_request(char *out, const uint8_t tid[STUN_TID]);
/* The answer to req from source: its address, or 420 with what was not understood. */
size_t stun_put_answer(char *out, const struct stun_msg *req, const struct addr *source);

#endif
