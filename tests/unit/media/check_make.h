/* check_make.h - a check of ICE as a far end makes it, with OpenSSL's own HMAC. */
#ifndef TESTS_CHECK_MAKE_H
#define TESTS_CHECK_MAKE_H

#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "sbc/base/be.h"

enum { CHECK_USE = 1, CHECK_CONTROLLED = 2, CHECK_NO_PRINT = 4, CHECK_NO_MAC = 8, CHECK_UNKNOWN = 16, CHECK_INDICATION = 32 };

static inline size_t check_attr(uint8_t *p, size_t n, unsigned type, const void *v, size_t len)
{
	be16_put(p + n, type);
	be16_put(p + n + 2, (unsigned)len);
	memset(p + n + 4, 0, (len + 3) / 4 * 4);
	if (len)
		memcpy(p + n + 4, v, len);
	return n + 4 + (len + 3) / 4 * 4;
}

/* CRC-32 the slow way, from the polynomial alone */
static inline uint32_t check_crc(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	for (size_t i = 0; i < n * 8; i++) {
		uint32_t bit = (c ^ (uint32_t)(p[i / 8] >> i % 8)) & 1;

		c = c >> 1 ^ (bit ? 0xedb88320u : 0);
	}
	return ~c;
}

static inline size_t check_make(uint8_t *p, const char *user, const char *pwd, uint32_t priority, unsigned how)
{
	uint8_t v[8] = {0}, md[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	size_t n = 20;

	memset(p, 0, 20);
	be16_put(p, how & CHECK_INDICATION ? 0x0011 : 0x0001);
	be32_put(p + 4, 0x2112a442u);
	memcpy(p + 8, "0123456789ab", 12);
	if (user)
		n = check_attr(p, n, 0x0006, user, strlen(user));
	be32_put(v, priority);
	n = check_attr(p, n, 0x0024, v, 4);
	memset(v, 7, sizeof(v));
	n = check_attr(p, n, how & CHECK_CONTROLLED ? 0x8029 : 0x802a, v, 8);
	if (how & CHECK_USE)
		n = check_attr(p, n, 0x0025, NULL, 0);
	if (how & CHECK_UNKNOWN)
		n = check_attr(p, n, 0x7777, v, 4);
	if (!(how & CHECK_NO_MAC)) {
		be16_put(p + 2, (unsigned)(n - 20 + 24));
		HMAC(EVP_sha1(), pwd, (int)strlen(pwd), p, n, md, &len);
		n = check_attr(p, n, 0x0008, md, 20);
	}
	be16_put(p + 2, (unsigned)(n - 20));
	if (how & CHECK_NO_PRINT)
		return n;
	be16_put(p + 2, (unsigned)(n - 20 + 8));
	be32_put(v, check_crc(p, n) ^ 0x5354554eu);
	return check_attr(p, n, 0x8028, v, 4);
}

#endif
