/* sdes.c - any bytes as the value of a=crypto, or as a list of suites.
 *
 * links: media
 *
 * Holds: a line that is taken is written, read again and is the same; what is written fits its place and has nothing of
 * another line; a line that is refused leaves the result alone; the key has the length of its suite.
 */
#include <stdlib.h>

#include "media/sdes.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str text = str_n((const char *)p, n);
	struct sdes_line l, back, untouched;
	uint8_t suites[CRYPT_SUITES];
	char out[SDES_LINE_MAX];
	const char *why;
	unsigned many;
	struct buf b;

	many = sdes_suites(text, suites);
	CHECK(many >= 1 && many < CRYPT_SUITES);
	for (unsigned i = 0; i < many; i++)
		CHECK(suites[i] > CRYPT_NONE && suites[i] < CRYPT_SUITES);
	memset(&l, 0x5a, sizeof(l));
	untouched = l;
	why = sdes_parse(text, &l);
	if (why) {
		CHECK(memcmp(&l, &untouched, sizeof(l)) == 0);
		return 0;
	}
	CHECK(l.key.suite > CRYPT_NONE && l.key.suite < CRYPT_SUITES && l.key.mki_len <= CRYPT_MKI_MAX);
	for (unsigned i = crypt_suites[l.key.suite].key_len; i < CRYPT_KEY_MAX; i++)
		CHECK(l.key.key[i] == 0);
	buf_init(&b, out, sizeof(out));
	sdes_print(&b, &l);
	CHECK(buf_err(&b) == 0);
	CHECK(sdes_parse(buf_text(&b), &back) == NULL);
	CHECK(memcmp(&l, &back, sizeof(l)) == 0);
	return 0;
}
