/* sdes.h - keys in session descriptions: the value of a=crypto (RFC 4568, 6188, 7714). Pure. */
#ifndef MEDIA_SDES_H
#define MEDIA_SDES_H

#include "media/crypt.h"
#include "sbc/base/buf.h"

#define SDES_LINE_MAX 256 /* bytes of a value as we write it */

struct sdes_line {
	struct crypt_key key; /* roc is not of the line: 0 */
	uint32_t tag;
	uint64_t lifetime;    /* packets; 0: not said */
};

/* Reads "1 AES_CM_128_HMAC_SHA1_80 inline:... [params]".
 *
 * Keys with and without padding and lifetimes in both forms are taken, suites by either name. Not taken, because it could
 * not be decoded or would weaken the stream: several keys in one line, other key methods, KDR, UNENCRYPTED_SRTP,
 * UNENCRYPTED_SRTCP, UNAUTHENTICATED_SRTP, FEC_ORDER, FEC_KEY, parameters nobody knows; those that begin with '-' may be
 * ignored (6.3.7). NULL, or why it cannot be used (static text, without anything of the line). */
const char *sdes_parse(struct str value, struct sdes_line *ret);
/* The value, the key with padding. Writes the lifetime when it is not 0: "2^31" where it is a power of two. */
void sdes_print(struct buf *b, const struct sdes_line *l);

/* Suites by their names, separated by commas or blanks; unknown words are left out. None at all: every suite, the one that
 * everybody has first, those with short tags last. How many. */
unsigned sdes_suites(struct str names, uint8_t ret[CRYPT_SUITES]);
/* CRYPT_NONE: not known */
enum crypt_suite sdes_suite(struct str name);

#endif
