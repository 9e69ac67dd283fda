/* crypt.h - one SRTP key in one direction: packets are opened or sealed in place (RFC 3711, 6188, 7714).
 *
 * A crypt is made by the signalling thread and then used by one worker at a time; the protocol inside is libsrtp's, its
 * ciphers are ours (crypt_types.h). Nothing is allocated per packet; the first packet of an SSRC costs a few hundred bytes.
 */
#ifndef MEDIA_CRYPT_H
#define MEDIA_CRYPT_H

#include "sbc/base/str.h"

enum crypt_suite {
	CRYPT_NONE,
	CRYPT_CM128_80, /* AES_CM_128_HMAC_SHA1_80 */
	CRYPT_CM128_32,
	CRYPT_CM256_80, /* AES_256_CM_HMAC_SHA1_80 */
	CRYPT_CM256_32,
	CRYPT_GCM128,   /* AEAD_AES_128_GCM */
	CRYPT_GCM256,
	CRYPT_SUITES
};

struct crypt_suite_info {
	const char *name;  /* as RFC 4568, 6188 and 7714 register it */
	const char *alias; /* as others write it; NULL: nobody does */
	uint8_t key_len;   /* bytes of master key and master salt together */
};
extern const struct crypt_suite_info crypt_suites[CRYPT_SUITES];

/* What becomes of the rollover counter when a session is negotiated again. */
enum crypt_roc {
	CRYPT_ROC_AUTO,  /* kept with the key, 0 with a new one; when nothing is authentic, what else it may be is tried */
	CRYPT_ROC_KEEP,  /* goes on through new keys too */
	CRYPT_ROC_RESET, /* the far end begins at 0 each time, with the same key too; ours as the rules say */
};

#define CRYPT_KEY_MAX 46
#define CRYPT_MKI_MAX 128 /* bytes of an MKI on the wire */

/* Plain values; two that are equal byte by byte are the same key. */
struct crypt_key {
	uint8_t suite;    /* enum crypt_suite; CRYPT_NONE: not encrypted, nothing else counts */
	uint8_t mki_len;  /* 0: packets carry none */
	uint8_t roc;      /* enum crypt_roc */
	uint8_t key[CRYPT_KEY_MAX];
	uint64_t mki;
};

#define CRYPT_TAIL 148   /* bytes a sealed packet may be longer: tag, MKI, SRTCP index */
#define CRYPT_SSRC_MAX 256 /* of one key: an authentic far end cannot take memory without end */

struct crypt;

/* libsrtp and our types. Once before the first crypt; repeating it is harmless. false: they cannot be used. */
bool crypt_start(void);
/* NULL: no memory. */
struct crypt *crypt_new(const struct crypt_key *key, bool seals);
void crypt_free(struct crypt *c);

enum crypt_result {
	CRYPT_OK,
	CRYPT_AUTH,   /* not of this key, or changed on the way */
	CRYPT_REPLAY, /* came before, or is older than the window of 128 packets */
	CRYPT_SSRCS,  /* one SSRC too many */
	CRYPT_BAD,    /* too short, or not sealable */
	CRYPT_OVER,   /* the key has been used for all packets it is good for */
};

/* Opens one packet whose header was checked (rtp_kind). A packet that is refused is left as it was.
 *
 * @before  key of the far end before this one: tried too until the new one has been heard for a while, and the one whose
 *          counter goes on (CRYPT_ROC_KEEP); NULL: none
 * *n: bytes, fewer afterwards. Worker only. */
enum crypt_result crypt_open_rtp(struct crypt *c, struct crypt *before, uint8_t *d, size_t *n);
enum crypt_result crypt_open_rtcp(struct crypt *c, struct crypt *before, uint8_t *d, size_t *n);
/* Seals one packet of at most cap - CRYPT_TAIL bytes. The sequence number is changed when the source began another
 * sequence: an index is never used twice (RFC 3711 9.1), and a far end follows a sequence that goes on. Worker only. */
enum crypt_result crypt_seal_rtp(struct crypt *c, struct crypt *before, uint8_t *d, size_t *n, size_t cap);
enum crypt_result crypt_seal_rtcp(struct crypt *c, uint8_t *d, size_t *n, size_t cap);

/* What crypt_seal_rtp() adds to the numbers of a source now; false: nothing of none (the last source that has a shift).
 * Any thread. */
bool crypt_shift_any(const struct crypt *c, uint32_t *ret_ssrc, uint16_t *ret_shift);

/* The session was negotiated again with this key: a far end may have begun at 0. Any thread. */
void crypt_renegotiated_any(struct crypt *c);

/* What a far end turned out to do against the rules; enum of the last thing. */
enum crypt_guess {
	CRYPT_GUESS_NONE,
	CRYPT_GUESS_RESTARTED, /* rollover counter began at 0 with the same key */
	CRYPT_GUESS_KEPT,      /* rollover counter went on with a new key */
	CRYPT_GUESS_AHEAD,     /* half a cycle or more of packets was lost */
};
enum crypt_guess crypt_guess_any(const struct crypt *c);

#endif
