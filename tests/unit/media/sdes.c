/* a=crypto: what is understood, what is not and why, and that what we write is read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "media/sdes.h"

#define K30 "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
#define K28 "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubA"
#define K44 K30 "WVNfX19zZW1jdGwgKCk"
#define K46 K30 "WVNfX19zZW1jdGwgKCkgew"
#define CM80 "AES_CM_128_HMAC_SHA1_80"

static const struct {
	const char *value;
	const char *why; /* NULL: usable */
	uint32_t tag;
	uint8_t suite, mki_len;
	uint64_t mki, lifetime;
} table[] = {
    /* as RFC 4568, 6188, 7714 and real devices write it */
    {"1 " CM80 " inline:" K30, NULL, 1, CRYPT_CM128_80, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|2^20|1:4", NULL, 1, CRYPT_CM128_80, 4, 1, 1 << 20},
    {"1 " CM80 " inline:" K30 "|2^31", NULL, 1, CRYPT_CM128_80, 0, 0, (uint64_t)1 << 31},
    {"1 " CM80 " inline:" K30 "|2^48", NULL, 1, CRYPT_CM128_80, 0, 0, (uint64_t)1 << 48},
    {"1 " CM80 " inline:" K30 "|1:1", NULL, 1, CRYPT_CM128_80, 1, 1, 0},
    {"1 " CM80 " inline:" K30 "|1048576", NULL, 1, CRYPT_CM128_80, 0, 0, 1048576},
    {"1 " CM80 " inline:" K30 "|2^31|255:1", NULL, 1, CRYPT_CM128_80, 1, 255, (uint64_t)1 << 31},
    {"1 " CM80 " inline:" K30 "|18446744073709551615:8", NULL, 1, CRYPT_CM128_80, 8, UINT64_MAX, 0},
    {"1 " CM80 " inline:" K30 "|7:128", NULL, 1, CRYPT_CM128_80, 128, 7, 0},
    {"0 AES_CM_128_HMAC_SHA1_32 inline:" K30, NULL, 0, CRYPT_CM128_32, 0, 0, 0},
    {"999999999 aes_cm_128_hmac_sha1_80 INLINE:" K30, NULL, 999999999, CRYPT_CM128_80, 0, 0, 0},
    {"2 AES_256_CM_HMAC_SHA1_80 inline:" K46 "==", NULL, 2, CRYPT_CM256_80, 0, 0, 0},
    {"2 AES_256_CM_HMAC_SHA1_80 inline:" K46, NULL, 2, CRYPT_CM256_80, 0, 0, 0},
    {"2 AES_CM_256_HMAC_SHA1_80 inline:" K46 "==", NULL, 2, CRYPT_CM256_80, 0, 0, 0},
    {"2 AES_256_CM_HMAC_SHA1_32 inline:" K46 "==", NULL, 2, CRYPT_CM256_32, 0, 0, 0},
    {"3 AEAD_AES_128_GCM inline:" K28 "==", NULL, 3, CRYPT_GCM128, 0, 0, 0},
    {"3 AEAD_AES_256_GCM inline:" K44 "=", NULL, 3, CRYPT_GCM256, 0, 0, 0},
    {"3 AEAD_AES_256_GCM inline:" K44, NULL, 3, CRYPT_GCM256, 0, 0, 0},
    {"  4 \t" CM80 "   inline:" K30 "  ", NULL, 4, CRYPT_CM128_80, 0, 0, 0},
    {"1 " CM80 " inline:" K30 " WSH=128", NULL, 1, CRYPT_CM128_80, 0, 0, 0},
    {"1 " CM80 " inline:" K30 " -unknown -x=5", NULL, 1, CRYPT_CM128_80, 0, 0, 0},
    /* what is not */
    {"", "tag is no number of up to nine digits", 0, 0, 0, 0, 0},
    {"x " CM80 " inline:" K30, "tag is no number of up to nine digits", 0, 0, 0, 0, 0},
    {"1000000000 " CM80 " inline:" K30, "tag is no number of up to nine digits", 0, 0, 0, 0, 0},
    {"-1 " CM80 " inline:" K30, "tag is no number of up to nine digits", 0, 0, 0, 0, 0},
    {"1", "suite is not known", 0, 0, 0, 0, 0},
    {"1 F8_128_HMAC_SHA1_80 inline:" K30, "suite is not known", 0, 0, 0, 0, 0},
    {"1 NULL_HMAC_SHA1_80 inline:" K30, "suite is not known", 0, 0, 0, 0, 0},
    {"1 none inline:", "suite is not known", 0, 0, 0, 0, 0},
    {"1 AES_192_CM_HMAC_SHA1_80 inline:" K30, "suite is not known", 0, 0, 0, 0, 0},
    {"1 " CM80, "key method is not inline", 0, 0, 0, 0, 0},
    {"1 " CM80 " uri:" K30, "key method is not inline", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:", "key has the wrong length for its suite", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K28, "key has the wrong length for its suite", 0, 0, 0, 0, 0},
    {"1 AEAD_AES_128_GCM inline:" K30, "key has the wrong length for its suite", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K46 "==", "key has the wrong length for its suite", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K46 K46, "key is too long for its suite", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "=", "key is not base64", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:!" K30, "key is not base64", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|2^20|1:4;inline:" K30 "|2^20|2:4", "several keys in one line", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|2^49", "lifetime is more than 2^48 packets, or no number", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|2^x", "lifetime is more than 2^48 packets, or no number", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|0", "lifetime is no number of packets up to 2^48", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|", "lifetime is no number of packets up to 2^48", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|281474976710657", "lifetime is no number of packets up to 2^48", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|1:0", "MKI length is not 1 to 128", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|1:129", "MKI length is not 1 to 128", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|256:1", "MKI does not fit its length", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|18446744073709551616:9", "MKI is no number that fits 64 bits", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|1:4|2:4", "more than one MKI", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|1:4|2^20", "key is followed by what is neither lifetime nor MKI", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 "|2^20|2^20", "key is followed by what is neither lifetime nor MKI", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 " KDR=1", "keys derived anew during the call (KDR) are not supported", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 " UNENCRYPTED_SRTP", "session parameter would weaken the stream", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 " -x UNENCRYPTED_SRTCP", "session parameter would weaken the stream", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 " unauthenticated_srtp", "session parameter would weaken the stream", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 " FEC_ORDER=FEC_SRTP", "error correction beside SRTP (FEC) is not supported", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 " FEC_KEY=inline:" K30, "error correction beside SRTP (FEC) is not supported", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 " WSH=63", "window size is not 64 to 32767", 0, 0, 0, 0, 0},
    {"1 " CM80 " inline:" K30 " SOMETHING=1", "session parameter is not known", 0, 0, 0, 0, 0},
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sdes_line l = {.tag = 77};
		const char *why = sdes_parse(str_z(table[i].value), &l);

		if (table[i].why) {
			if (!why || strcmp(why, table[i].why) != 0)
				fail_msg("%s: %s", table[i].value, why ? why : "taken");
			assert_int_equal(l.tag, 77); /* untouched */
			continue;
		}
		if (why)
			fail_msg("%s: %s", table[i].value, why);
		assert_int_equal(l.tag, table[i].tag);
		assert_int_equal(l.key.suite, table[i].suite);
		assert_int_equal(l.key.mki_len, table[i].mki_len);
		assert_true(l.key.mki == table[i].mki);
		assert_true(l.lifetime == table[i].lifetime);
		assert_memory_equal(l.key.key, "YS___semctl", 10);
	}
}

static void test_written_lines_are_read_again(void **state)
{
	char text[SDES_LINE_MAX];

	(void)state;
	for (uint8_t s = CRYPT_CM128_80; s < CRYPT_SUITES; s++)
		for (unsigned what = 0; what < 4; what++) {
			struct sdes_line l = {.tag = 999999999, .key.suite = s}, back;
			struct buf b;
			const char *key;

			for (unsigned i = 0; i < crypt_suites[s].key_len; i++)
				l.key.key[i] = (uint8_t)(200 - 3 * i + what);
			l.lifetime = what == 1 ? (uint64_t)1 << 31 : what == 2 ? 1000003 : 0;
			l.key.mki_len = what > 1 ? CRYPT_MKI_MAX : 0;
			l.key.mki = what > 1 ? UINT64_MAX : 0;
			buf_init(&b, text, sizeof(text) - 1);
			sdes_print(&b, &l);
			assert_int_equal(buf_err(&b), 0);
			text[b.n] = '\0';
			assert_null(sdes_parse(buf_text(&b), &back));
			assert_memory_equal(&l, &back, sizeof(l));
			/* padded: some take an unpadded key for a short one */
			key = strstr(text, "inline:") + 7;
			assert_int_equal(strcspn(key, "|") % 4, 0);
			if (what == 1)
				assert_non_null(strstr(text, "|2^31"));
			if (what == 2)
				assert_non_null(strstr(text, "|1000003|18446744073709551615:128"));
		}
}

static void test_suites(void **state)
{
	uint8_t s[CRYPT_SUITES];

	(void)state;
	assert_int_equal(sdes_suites(STR_NONE, s), 6);
	assert_int_equal(s[0], CRYPT_CM128_80);
	assert_int_equal(sdes_suites(S("AEAD_AES_256_GCM,AES_CM_128_HMAC_SHA1_80 aead_aes_256_gcm,what"), s), 2);
	assert_int_equal(s[0], CRYPT_GCM256);
	assert_int_equal(s[1], CRYPT_CM128_80);
	assert_int_equal(sdes_suite(S("AES_128_CM_HMAC_SHA1_32")), CRYPT_CM128_32);
	assert_int_equal(sdes_suite(S("none")), CRYPT_NONE);
	assert_int_equal(sdes_suite(S("")), CRYPT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_written_lines_are_read_again),
		cmocka_unit_test(test_suites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
