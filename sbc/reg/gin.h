/* gin.h - bulk number contacts and what is made of them (RFC 6140). Pure, but for the key operations of GRUUs.
 *
 * A bulk contact is a SIP URI without user part that carries the URI parameter bnc. It stands for every number of
 * the trunk; the contact of one number is made when a call needs it, so a registration costs the same however many
 * numbers there are (GINS-20).
 */
#ifndef SBC_REG_GIN_H
#define SBC_REG_GIN_H

#include "sbc/base/hash.h"
#include "sbc/base/reason.h"
#include "sbc/base/rng.h"
#include "sbc/sip/uri.h"

enum gin_kind {
	GIN_PLAIN, /* an ordinary contact */
	GIN_BULK,
};
/* What a Contact of a REGISTER is. REASON_NONE; GIN_CONTACT: bnc with a value, with a user part or with user= is
 * never accepted (GINS-04, -05, -06). */
enum reason gin_kind_of(const struct sip_uri *contact, enum gin_kind *ret);

/* The contact of one number: bulk without bnc, with user "+digits"; port and every other parameter stay (GINS-02,
 * -03). sg: of the GRUU that was called, copied (GRUU-02); empty: none. -EINVAL: number is not "+" and 1 to 15
 * digits, or the contact has no host (tel). */
MUST_USE int gin_expand(const struct sip_uri *bulk, struct str number, struct str sg, struct buf *ret);

/* The same in two halves, for who makes many of one contact: "sip:@192.0.2.10:5060;tk=1", and the number comes before
 * the '@'. gin_expand_with() gives what gin_expand() would without sg. */
MUST_USE int gin_expand_half(const struct sip_uri *bulk, struct buf *ret);
MUST_USE int gin_expand_with(struct str half, struct str number, struct buf *ret);

/* The same with any user part, as it is: of a temporary GRUU. */
MUST_USE int gin_expand_user(const struct sip_uri *bulk, struct str user, struct str sg, struct buf *ret);

/* The bulk contact we register as a PBX (GINP-01): "sip:192.0.2.10:5060;transport=tcp;tk=c41f;bnc". host raw, port 0:
 * none, transport and cookie may be empty. */
void gin_put_bulk(struct buf *b, bool sips, struct str host, uint16_t port, struct str transport, struct str cookie);

/* Same registration? RFC 3261 19.1.4, but bulk and plain are never the same (GINS-19). */
bool gin_contact_eq(const struct sip_uri *a, const struct sip_uri *b);

/* ---- GRUU (RFC 6140 7.1) ---- */

/* "sip:itsp.example.com;bnc;gr=urn:uuid:..." from a bulk contact's instance ("<urn:uuid:...>", with its <>). */
void gin_put_pub_gruu(struct buf *b, struct str domain, struct str instance);
/* sg= of a request URI, for gin_expand(); empty: none */
struct str gin_sg(const struct sip_uri *ruri);

/* temp-gruu-cookie: 24 bytes as base64 without '=', 32 characters: 8 bytes of the registration's number, 16 of MAC over
 * it and its Call-ID (GRUU-03). It stays the same while the registration lives and keeps its Call-ID. */
#define GIN_COOKIE_TEXT 32
#define GIN_COOKIE_RAW  24
struct gin_secret {
	uint8_t key[32];
};
MUST_USE int gin_cookie(
    const struct gin_secret *s, uint64_t registration, struct str call_id, char ret[GIN_COOKIE_TEXT]); /* 0 or -EIO */
/* The registration it names, true or not. */
uint64_t gin_cookie_of(const uint8_t raw[GIN_COOKIE_RAW]);
/* 0; -EPERM: not one of ours for a registration of that number and Call-ID */
MUST_USE int gin_cookie_check(const struct gin_secret *s, const uint8_t raw[GIN_COOKIE_RAW], struct str call_id);

/* The key pair of temporary GRUUs, the service provider's. */
struct gin_rsa;
/* A new pair (slow: not on the loop), or from PEM. bits >= 2048. NULL on failure. */
struct gin_rsa *gin_rsa_new(unsigned bits);
struct gin_rsa *gin_rsa_from_pem(struct str pem);          /* private, or public alone (a PBX) */
struct gin_rsa *gin_rsa_from_line(struct str base64); /* a public one: PEM without its first and last line, on one line */
MUST_USE int gin_rsa_put_pem(const struct gin_rsa *k, bool private, struct buf *ret);
void gin_rsa_free(struct gin_rsa *k);

/* PBX (GRUU-04): the user part of a new temporary GRUU: "tgruu." b64(E) "." b64(PA), E = RSA(cookie || 10 random
 * bytes), PA = HMAC(pbx secret, E). Padding: OAEP with SHA-256. 0, -EINVAL (cookie), -EIO, -ENOSPC */
MUST_USE int gin_temp_gruu(const struct gin_rsa *public, const struct gin_secret *pbx, struct str cookie,
    struct rng *rng, struct buf *ret);
/* Does the user part of a URI say that it is a temporary GRUU? */
bool gin_temp_gruu_is(struct str user);
/* Service provider (GRUU-05): the cookie in it. keys: the current one and those in their grace time, current first. A
 * millisecond of arithmetic. 0; -EPERM: it cannot be read. */
MUST_USE int gin_temp_gruu_open(struct gin_rsa *const *keys, unsigned n_keys, struct str user, uint8_t ret[GIN_COOKIE_RAW]);
/* PBX (GRUU-05): is PA ours? */
bool gin_temp_gruu_mine(const struct gin_secret *pbx, struct str user);

#endif
