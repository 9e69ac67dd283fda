/* crypt_types.c - the arithmetic of SRTP on OpenSSL, in the shape libsrtp asks for.
 *
 * libsrtp keeps the protocol (indices, replay, key derivation, SRTCP); its ciphers here are ours. Debian builds it on NSS,
 * which looks up a slot, starts a context and takes a lock for every packet, and gets slower with every session there is.
 * Ours have their keys set once: AES-CM and AES-GCM in one EVP context per key, which gets a new IV per packet; HMAC-SHA1
 * as the two states of the hash after the padded key, which are copied per packet. The states are SHA_CTX and not EVP,
 * because the EVP of OpenSSL 3 allocates memory each time a state is copied. Nothing here allocates after _alloc.
 *
 * A GCM packet whose tag is wrong is put back as it was, so that it can be tried with another key.
 *
 * What can go wrong: OpenSSL has no memory (an error of _alloc or _init, so no context). libsrtp tests every type with
 * the vectors below and with its own before it takes it.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA_CTX, see above */
#include "media/crypt_types.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <srtp2/auth.h>
#include <srtp2/cipher.h>
#include <stdlib.h>
#include <string.h>

#define SALT_CM SRTP_SALT_LEN
#define SALT_GCM SRTP_AEAD_SALT_LEN
#define IV_GCM 12
#define HMAC_BLOCK 64

static const srtp_cipher_type_t aes_cm_128, aes_cm_256, aes_gcm_128, aes_gcm_256;
static const srtp_auth_type_t hmac_sha1;

/* --- AES in counter mode and GCM --- */

struct aes {
	EVP_CIPHER_CTX *evp; /* own */
	uint8_t iv[16];      /* CM: the salt, shifted as RFC 3711 4.1.1 says; GCM: the IV of the packet */
	uint8_t tag_len;
	bool encrypts;
};

static const EVP_CIPHER *algorithm(int id)
{
	switch (id) {
	case SRTP_AES_ICM_128:
		return EVP_aes_128_ctr();
	case SRTP_AES_ICM_256:
		return EVP_aes_256_ctr();
	case SRTP_AES_GCM_128:
		return EVP_aes_128_gcm();
	default:
		return EVP_aes_256_gcm();
	}
}

static srtp_err_status_t aes_dealloc(srtp_cipher_t *c)
{
	struct aes *a = c->state;

	EVP_CIPHER_CTX_free(a->evp);
	OPENSSL_cleanse(a, sizeof(*a));
	free(a);
	free(c);
	return srtp_err_status_ok;
}

static srtp_err_status_t aes_alloc(const srtp_cipher_type_t *type, srtp_cipher_t **ret, int key_len, int want_len, int tag_len)
{
	srtp_cipher_t *c;
	struct aes *a;

	if (key_len != want_len)
		return srtp_err_status_bad_param;
	c = calloc(1, sizeof(*c));
	a = calloc(1, sizeof(*a));
	if (a)
		a->evp = EVP_CIPHER_CTX_new();
	if (!c || !a || !a->evp || !EVP_CipherInit_ex(a->evp, algorithm((int)type->id), NULL, NULL, NULL, 1)) {
		if (a)
			EVP_CIPHER_CTX_free(a->evp);
		free(a);
		free(c);
		return srtp_err_status_alloc_fail;
	}
	a->tag_len = (uint8_t)tag_len;
	*c = (srtp_cipher_t){.type = type, .state = a, .key_len = key_len, .algorithm = (int)type->id};
	*ret = c;
	return srtp_err_status_ok;
}

static srtp_err_status_t cm_128_alloc(srtp_cipher_t **ret, int key_len, int tag_len)
{
	return aes_alloc(&aes_cm_128, ret, key_len, SRTP_AES_ICM_128_KEY_LEN_WSALT, tag_len);
}

static srtp_err_status_t cm_256_alloc(srtp_cipher_t **ret, int key_len, int tag_len)
{
	return aes_alloc(&aes_cm_256, ret, key_len, SRTP_AES_ICM_256_KEY_LEN_WSALT, tag_len);
}

static srtp_err_status_t gcm_128_alloc(srtp_cipher_t **ret, int key_len, int tag_len)
{
	return aes_alloc(&aes_gcm_128, ret, key_len, SRTP_AES_GCM_128_KEY_LEN_WSALT, tag_len);
}

static srtp_err_status_t gcm_256_alloc(srtp_cipher_t **ret, int key_len, int tag_len)
{
	return aes_alloc(&aes_gcm_256, ret, key_len, SRTP_AES_GCM_256_KEY_LEN_WSALT, tag_len);
}

static srtp_err_status_t aes_key(struct aes *a, const uint8_t *key)
{
	return EVP_CipherInit_ex(a->evp, NULL, NULL, key, NULL, 1) ? srtp_err_status_ok : srtp_err_status_init_fail;
}

/* key and salt, as libsrtp derived them */
static srtp_err_status_t cm_init(void *state, const uint8_t *key)
{
	struct aes *a = state;

	memset(a->iv, 0, sizeof(a->iv));
	memcpy(a->iv, key + EVP_CIPHER_CTX_get_key_length(a->evp), SALT_CM);
	return aes_key(a, key);
}

static srtp_err_status_t cm_set_iv(void *state, uint8_t *iv, srtp_cipher_direction_t direction)
{
	struct aes *a = state;
	uint8_t counter[16];

	(void)direction; /* the same both ways */
	for (unsigned i = 0; i < sizeof(counter); i++)
		counter[i] = iv[i] ^ a->iv[i];
	return EVP_CipherInit_ex(a->evp, NULL, NULL, NULL, counter, -1) ? srtp_err_status_ok
	                                                                : srtp_err_status_cipher_fail;
}

static srtp_err_status_t cm_crypt(void *state, uint8_t *buf, unsigned int *len)
{
	struct aes *a = state;
	int n;

	return EVP_CipherUpdate(a->evp, buf, &n, buf, (int)*len) ? srtp_err_status_ok : srtp_err_status_cipher_fail;
}

static srtp_err_status_t gcm_init(void *state, const uint8_t *key)
{
	return aes_key(state, key);
}

static srtp_err_status_t gcm_set_iv(void *state, uint8_t *iv, srtp_cipher_direction_t direction)
{
	struct aes *a = state;

	if (direction != srtp_direction_encrypt && direction != srtp_direction_decrypt)
		return srtp_err_status_bad_param;
	a->encrypts = direction == srtp_direction_encrypt;
	memcpy(a->iv, iv, IV_GCM);
	return EVP_CipherInit_ex(a->evp, NULL, NULL, NULL, iv, a->encrypts) ? srtp_err_status_ok
	                                                                    : srtp_err_status_cipher_fail;
}

static srtp_err_status_t gcm_set_aad(void *state, const uint8_t *aad, uint32_t len)
{
	struct aes *a = state;
	int n;

	return EVP_CipherUpdate(a->evp, NULL, &n, aad, (int)len) ? srtp_err_status_ok : srtp_err_status_cipher_fail;
}

static srtp_err_status_t gcm_encrypt(void *state, uint8_t *buf, unsigned int *len)
{
	struct aes *a = state;
	uint8_t none[16];
	int n;

	if (*len && !EVP_CipherUpdate(a->evp, buf, &n, buf, (int)*len))
		return srtp_err_status_cipher_fail;
	return EVP_CipherFinal_ex(a->evp, none, &n) ? srtp_err_status_ok : srtp_err_status_cipher_fail;
}

static srtp_err_status_t gcm_get_tag(void *state, uint8_t *buf, uint32_t *len)
{
	struct aes *a = state;

	*len = a->tag_len;
	return EVP_CIPHER_CTX_ctrl(a->evp, EVP_CTRL_AEAD_GET_TAG, a->tag_len, buf) ? srtp_err_status_ok
	                                                                          : srtp_err_status_cipher_fail;
}

/* buf ends with the tag; *len is without it afterwards */
static srtp_err_status_t gcm_decrypt(void *state, uint8_t *buf, unsigned int *len)
{
	struct aes *a = state;
	uint8_t none[16];
	int n, body;

	if (*len < a->tag_len)
		return srtp_err_status_bad_param;
	body = (int)*len - a->tag_len;
	if (!EVP_CIPHER_CTX_ctrl(a->evp, EVP_CTRL_AEAD_SET_TAG, a->tag_len, buf + body))
		return srtp_err_status_cipher_fail;
	if (body && !EVP_CipherUpdate(a->evp, buf, &n, buf, body))
		return srtp_err_status_cipher_fail;
	if (EVP_CipherFinal_ex(a->evp, none, &n)) {
		*len = (unsigned int)body;
		return srtp_err_status_ok;
	}
	/* not authentic: back to what it was */
	if (body && (!EVP_CipherInit_ex(a->evp, NULL, NULL, NULL, a->iv, 1) ||
	                !EVP_CipherUpdate(a->evp, buf, &n, buf, body)))
		return srtp_err_status_cipher_fail;
	return srtp_err_status_auth_fail;
}

/* --- HMAC-SHA1 --- */

struct hmac {
	SHA_CTX inner, outer; /* after the padded key */
	SHA_CTX now;
};

static srtp_err_status_t hmac_alloc(srtp_auth_t **ret, int key_len, int tag_len)
{
	srtp_auth_t *t;

	if (key_len > HMAC_BLOCK || tag_len > SHA_DIGEST_LENGTH)
		return srtp_err_status_bad_param;
	t = calloc(1, sizeof(*t));
	if (!t)
		return srtp_err_status_alloc_fail;
	*t = (srtp_auth_t){.type = &hmac_sha1, .state = calloc(1, sizeof(struct hmac)), .out_len = tag_len, .key_len = key_len};
	if (!t->state) {
		free(t);
		return srtp_err_status_alloc_fail;
	}
	*ret = t;
	return srtp_err_status_ok;
}

static srtp_err_status_t hmac_dealloc(srtp_auth_t *t)
{
	OPENSSL_cleanse(t->state, sizeof(struct hmac));
	free(t->state);
	free(t);
	return srtp_err_status_ok;
}

static void pad(SHA_CTX *sha, const uint8_t *key, int key_len, uint8_t with)
{
	uint8_t block[HMAC_BLOCK];

	memset(block, with, sizeof(block));
	for (int i = 0; i < key_len; i++)
		block[i] ^= key[i];
	SHA1_Init(sha);
	SHA1_Update(sha, block, sizeof(block));
	OPENSSL_cleanse(block, sizeof(block));
}

static srtp_err_status_t hmac_init(void *state, const uint8_t *key, int key_len)
{
	struct hmac *h = state;

	if (key_len > HMAC_BLOCK)
		return srtp_err_status_bad_param;
	pad(&h->inner, key, key_len, 0x36);
	pad(&h->outer, key, key_len, 0x5c);
	h->now = h->inner;
	return srtp_err_status_ok;
}

static srtp_err_status_t hmac_start(void *state)
{
	struct hmac *h = state;

	h->now = h->inner;
	return srtp_err_status_ok;
}

static srtp_err_status_t hmac_update(void *state, const uint8_t *p, int n)
{
	struct hmac *h = state;

	SHA1_Update(&h->now, p, (size_t)n);
	return srtp_err_status_ok;
}

static srtp_err_status_t hmac_compute(void *state, const uint8_t *p, int n, int tag_len, uint8_t *tag)
{
	struct hmac *h = state;
	uint8_t sum[SHA_DIGEST_LENGTH];

	if (tag_len < 0 || tag_len > SHA_DIGEST_LENGTH)
		return srtp_err_status_bad_param;
	SHA1_Update(&h->now, p, (size_t)n);
	SHA1_Final(sum, &h->now);
	h->now = h->outer;
	SHA1_Update(&h->now, sum, sizeof(sum));
	SHA1_Final(sum, &h->now);
	memcpy(tag, sum, (size_t)tag_len);
	return srtp_err_status_ok;
}

/* --- what each must give (RFC 3711 B.2, RFC 6188 7.1, test cases 4 and 16 of the GCM specification, RFC 2202 3) --- */

static const uint8_t cm_128_key[30] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf,
    0x4f, 0x3c, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd};
static const uint8_t cm_128_out[32] = {0xe0, 0x3e, 0xad, 0x09, 0x35, 0xc9, 0x5e, 0x80, 0xe1, 0x66, 0xb1, 0x6d, 0xd9, 0x2b,
    0x4e, 0xb4, 0xd2, 0x35, 0x13, 0x16, 0x2b, 0x02, 0xd0, 0xf7, 0x2a, 0x43, 0xa2, 0xfe, 0x4a, 0x5f, 0x97, 0xab};
static const uint8_t cm_256_key[46] = {0x57, 0xf8, 0x2f, 0xe3, 0x61, 0x3f, 0xd1, 0x70, 0xa8, 0x5e, 0xc9, 0x3c, 0x40, 0xb1,
    0xf0, 0x92, 0x2e, 0xc4, 0xcb, 0x0d, 0xc0, 0x25, 0xb5, 0x82, 0x72, 0x14, 0x7c, 0xc4, 0x38, 0x94, 0x4a, 0x98, 0xf0, 0xf1,
    0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd};
static const uint8_t cm_256_out[32] = {0x92, 0xbd, 0xd2, 0x8a, 0x93, 0xc3, 0xf5, 0x25, 0x11, 0xc6, 0x77, 0xd0, 0x8b, 0x55,
    0x15, 0xa4, 0x9d, 0xa7, 0x1b, 0x23, 0x78, 0xa8, 0x54, 0xf6, 0x70, 0x50, 0x75, 0x6d, 0xed, 0x16, 0x5b, 0xac};
static const uint8_t zeros[32];

#define GCM_KEY 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08
static const uint8_t gcm_128_key[28] = {GCM_KEY};
static const uint8_t gcm_256_key[44] = {GCM_KEY, GCM_KEY};
static const uint8_t gcm_iv[16] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
static const uint8_t gcm_aad[20] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe,
    0xef, 0xab, 0xad, 0xda, 0xd2};
static const uint8_t gcm_plain[60] = {0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26,
    0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72, 0x1c, 0x3c, 0x0c,
    0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25, 0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6,
    0x57, 0xba, 0x63, 0x7b, 0x39};
static const uint8_t gcm_128_out[76] = {0x42, 0x83, 0x1e, 0xc2, 0x21, 0x77, 0x74, 0x24, 0x4b, 0x72, 0x21, 0xb7, 0x84, 0xd0,
    0xd4, 0x9c, 0xe3, 0xaa, 0x21, 0x2f, 0x2c, 0x02, 0xa4, 0xe0, 0x35, 0xc1, 0x7e, 0x23, 0x29, 0xac, 0xa1, 0x2e, 0x21, 0xd5,
    0x14, 0xb2, 0x54, 0x66, 0x93, 0x1c, 0x7d, 0x8f, 0x6a, 0x5a, 0xac, 0x84, 0xaa, 0x05, 0x1b, 0xa3, 0x0b, 0x39, 0x6a, 0x0a,
    0xac, 0x97, 0x3d, 0x58, 0xe0, 0x91, 0x5b, 0xc9, 0x4f, 0xbc, 0x32, 0x21, 0xa5, 0xdb, 0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12,
    0x1a, 0x47};
static const uint8_t gcm_256_out[76] = {0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07, 0xf4, 0x7f, 0x37, 0xa3, 0x2a, 0x84,
    0x42, 0x7d, 0x64, 0x3a, 0x8c, 0xdc, 0xbf, 0xe5, 0xc0, 0xc9, 0x75, 0x98, 0xa2, 0xbd, 0x25, 0x55, 0xd1, 0xaa, 0x8c, 0xb0,
    0x8e, 0x48, 0x59, 0x0d, 0xbb, 0x3d, 0xa7, 0xb0, 0x8b, 0x10, 0x56, 0x82, 0x88, 0x38, 0xc5, 0xf6, 0x1e, 0x63, 0x93, 0xba,
    0x7a, 0x0a, 0xbc, 0xc9, 0xf6, 0x62, 0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d,
    0x55, 0x1b};
static const uint8_t hmac_key[20] = {0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b,
    0x0b, 0x0b, 0x0b, 0x0b, 0x0b};
static const uint8_t hmac_text[8] = {'H', 'i', ' ', 'T', 'h', 'e', 'r', 'e'};
static const uint8_t hmac_out[20] = {0xb6, 0x17, 0x31, 0x86, 0x55, 0x05, 0x72, 0x64, 0xe2, 0x8b, 0xc0, 0xb6, 0xfb, 0x37, 0x8c,
    0x8e, 0xf1, 0x46, 0xbe, 0x00};

/* libsrtp does not write to what it takes without const */
#define MUTABLE(a) ((uint8_t *)(uintptr_t)(a))
#define CM_CASE(name, key, out) \
	static const srtp_cipher_test_case_t name = {sizeof(key), key, MUTABLE(zeros), sizeof(out), zeros, sizeof(out), out, \
	    0, NULL, 0, NULL}
#define GCM_CASE(name, key, out) \
	static const srtp_cipher_test_case_t name = {sizeof(key), key, MUTABLE(gcm_iv), sizeof(gcm_plain), gcm_plain, \
	    sizeof(out), out, sizeof(gcm_aad), gcm_aad, 16, NULL}
CM_CASE(cm_128_case, cm_128_key, cm_128_out);
CM_CASE(cm_256_case, cm_256_key, cm_256_out);
GCM_CASE(gcm_128_case, gcm_128_key, gcm_128_out);
GCM_CASE(gcm_256_case, gcm_256_key, gcm_256_out);
static const srtp_auth_test_case_t hmac_case = {sizeof(hmac_key), hmac_key, sizeof(hmac_text), hmac_text, sizeof(hmac_out),
    hmac_out, NULL};

#define CM_TYPE(bits) \
	static const srtp_cipher_type_t aes_cm_##bits = {.alloc = cm_##bits##_alloc, .dealloc = aes_dealloc, .init = cm_init, \
	    .encrypt = cm_crypt, .decrypt = cm_crypt, .set_iv = cm_set_iv, .description = "AES-" #bits " counter mode on OpenSSL", \
	    .test_data = &cm_##bits##_case, .id = SRTP_AES_ICM_##bits}
#define GCM_TYPE(bits) \
	static const srtp_cipher_type_t aes_gcm_##bits = {.alloc = gcm_##bits##_alloc, .dealloc = aes_dealloc, .init = gcm_init, \
	    .set_aad = gcm_set_aad, .encrypt = gcm_encrypt, .decrypt = gcm_decrypt, .set_iv = gcm_set_iv, \
	    .get_tag = gcm_get_tag, .description = "AES-" #bits " GCM on OpenSSL", .test_data = &gcm_##bits##_case, \
	    .id = SRTP_AES_GCM_##bits}
CM_TYPE(128);
CM_TYPE(256);
GCM_TYPE(128);
GCM_TYPE(256);
static const srtp_auth_type_t hmac_sha1 = {.alloc = hmac_alloc, .dealloc = hmac_dealloc, .init = hmac_init,
    .compute = hmac_compute, .update = hmac_update, .start = hmac_start, .description = "HMAC-SHA1 on OpenSSL",
    .test_data = &hmac_case, .id = SRTP_HMAC_SHA1};

bool crypt_types_install(void)
{
	return !srtp_replace_cipher_type(&aes_cm_128, SRTP_AES_ICM_128) &&
	       !srtp_replace_cipher_type(&aes_cm_256, SRTP_AES_ICM_256) &&
	       !srtp_replace_cipher_type(&aes_gcm_128, SRTP_AES_GCM_128) &&
	       !srtp_replace_cipher_type(&aes_gcm_256, SRTP_AES_GCM_256) &&
	       !srtp_replace_auth_type(&hmac_sha1, SRTP_HMAC_SHA1);
}
