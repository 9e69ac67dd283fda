/* base64.c - three bytes are four characters; the rest is two or three of them. */
#include "sbc/base/base64.h"

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put(struct buf *b, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		unsigned chars = n - i >= 3 ? 4 : (unsigned)(n - i) + 1;

		for (unsigned k = 0; k < chars; k++)
			buf_chr(b, b64[v >> (18 - 6 * k) & 63]);
	}
}

void base64_put_padded(struct buf *b, const uint8_t *p, size_t n)
{
	base64_put(b, p, n);
	for (; n % 3; n++)
		buf_chr(b, '=');
}

struct str base64_unpad(struct str s)
{
	if (s.n % 4 == 0)
		for (unsigned i = 0; i < 2 && s.n && s.p[s.n - 1] == '='; i++)
			s.n--;
	return s;
}

bool base64_get(struct str s, uint8_t *out, size_t cap, size_t *ret_n)
{
	uint32_t v = 0;
	unsigned bits = 0;
	size_t n = 0;

	if (s.n % 4 == 1)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		const char *at = s.p[i] ? strchr(b64, s.p[i]) : NULL;

		if (!at)
			return false;
		v = (v << 6 | (uint32_t)(at - b64)) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			if (n == cap)
				return false;
			out[n++] = (uint8_t)(v >> bits);
		}
	}
	*ret_n = n;
	return (v & ((1u << bits) - 1)) == 0;
}
