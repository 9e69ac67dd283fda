/* digest.h - Digest arithmetic and the fields of its headers (RFC 7616, RFC 8760, RFC 3261 22.4). Pure.
 *
 * Passwords are turned into H(A1) per algorithm as soon as they are given; that is what is stored and what all
 * functions here take. Hashes are lower-case hex, as they stand on the wire.
 */
#ifndef SBC_AUTH_DIGEST_H
#define SBC_AUTH_DIGEST_H

#include "sbc/base/buf.h"

/* By strength: the weakest first. */
enum digest_alg { DIGEST_MD5, DIGEST_SHA256, DIGEST_SHA512_256, DIGEST_ALGS };
#define DIGEST_HEX_MAX 64

struct digest_hex {
	char hex[DIGEST_HEX_MAX];
	uint8_t n; /* 32 or 64; 0: none */
};
static inline struct str digest_str(const struct digest_hex *h)
{
	return str_n(h->hex, h->n);
}

struct str digest_alg_name(enum digest_alg alg); /* "SHA-512-256" */
/* Case-blind; empty is MD5 (RFC 7616 3.3). -ENOTSUP: another one, -sess variants among them. */
MUST_USE int digest_alg_parse(struct str name, enum digest_alg *ret);

/* Is the body protected too (qop auth-int)? */
enum auth_int { AUTH_INT_OFF, AUTH_INT_PREFER, AUTH_INT_REQUIRE };

enum digest_qop { DIGEST_QOP_NONE /* RFC 2069 peers */, DIGEST_QOP_AUTH, DIGEST_QOP_AUTH_INT };

/* 0, or -EIO: the crypto library refuses the algorithm (MD5 on a FIPS box). */
MUST_USE int digest_ha1(
    enum digest_alg alg, struct str user, struct str realm, struct str password, struct digest_hex *ret);

struct digest_in {
	enum digest_alg alg;
	struct digest_hex ha1;
	struct str method, uri, nonce;
	enum digest_qop qop;
	struct str nc;     /* "00000001" */
	struct str cnonce;
	struct str body;   /* AUTH_INT: as it is sent; may be empty (AUT-14) */
};
MUST_USE int digest_response(const struct digest_in *in, struct digest_hex *ret); /* 0 or -EIO */

/* In constant time for equal lengths. a may be upper case. */
bool digest_eq(struct str a, const struct digest_hex *b);

/* A challenge or credentials: the parameters of one header field. Values without their quotes, escapes left in
 * (both ends hash what stands between the quotes). */
struct digest_fields {
	struct str realm, nonce, uri, username, response, algorithm, qop, cnonce, nc, opaque, domain, stale;
	bool userhash;
};
/* value: of WWW-Authenticate, Authorization and their Proxy- forms. 0; -ENOTSUP: another scheme (Basic, Bearer,
 * "Digestn"; AUT-05, -16); -EBADMSG: not a list of name=value, or one that matters stands there twice. */
MUST_USE int digest_parse(struct str value, struct digest_fields *ret);

#endif
