/* instance.c - HMAC-SHA-256 over the trunk's number, with a word before it so that the secret can name other things. */
#include "sbc/reg/instance.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

int instance_put(const struct reg_secret *s, uint32_t trunk_id, struct buf *b)
{
	uint8_t in[] = {'i', 'n', 's', 't', 'a', 'n', 'c', 'e', (uint8_t)(trunk_id >> 24), (uint8_t)(trunk_id >> 16),
	    (uint8_t)(trunk_id >> 8), (uint8_t)trunk_id};
	uint8_t m[32];
	unsigned len = 32;

	if (!HMAC(EVP_sha256(), s->key, sizeof(s->key), in, sizeof(in), m, &len))
		return -EIO;
	m[6] = (uint8_t)((m[6] & 0x0f) | 0x80);
	m[8] = (uint8_t)((m[8] & 0x3f) | 0x80);
	buf_lit(b, "urn:uuid:");
	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			buf_chr(b, '-');
		buf_hex(b, &m[i], 1);
	}
	return 0;
}
