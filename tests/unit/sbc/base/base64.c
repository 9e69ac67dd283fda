/* The vectors of RFC 4648 10 without their padding, and what is not base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sbc/base/base64.h"

static void rfc_4648_vectors(void **s)
{
	static const struct {
		const char *plain, *text;
	} t[] = {{"", ""}, {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"}, {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"},
	    {"foobar", "Zm9vYmFy"}};

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		struct str plain = str_z(t[i].plain);
		char text[16];
		uint8_t back[8];
		struct buf b;
		size_t n;

		buf_init(&b, text, sizeof(text));
		base64_put(&b, (const uint8_t *)plain.p, plain.n);
		assert_true(str_eq(buf_text(&b), str_z(t[i].text)));
		assert_true(base64_get(buf_text(&b), back, sizeof(back), &n));
		assert_true(str_eq(str_n((const char *)back, n), plain));
	}
}

static void padded(void **s)
{
	static const char *const bad[] = {"A===", "====", "Zg=", "Zm8==", "Zm=v", "Z==="};
	static const char *const good[] = {"", "Zg==", "Zm8=", "Zm9v"};
	char text[16];
	size_t n;

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
		struct buf b;

		buf_init(&b, text, sizeof(text));
		base64_put_padded(&b, (const uint8_t *)"foo", i);
		assert_true(str_eq(buf_text(&b), str_z(good[i])));
		assert_int_equal(b.n, BASE64_PADDED(i));
		assert_true(base64_get(base64_unpad(buf_text(&b)), (uint8_t *)text, i, &n)); /* in place */
		assert_true(str_eq(str_n(text, n), str_n("foo", i)));
	}
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		if (base64_get(base64_unpad(str_z(bad[i])), (uint8_t *)text, sizeof(text), &n))
			fail_msg("%s", bad[i]);
}

static void what_is_not(void **s)
{
	static const char *const bad[] = {"A", "Zm9vY", "Zg==", "Z-", "Zm 9", "Zh" /* bits left over */, "Zm9="};
	uint8_t out[8];
	size_t n;

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		if (base64_get(str_z(bad[i]), out, sizeof(out), &n))
			fail_msg("%s", bad[i]);
	assert_false(base64_get(str_n("Zm\0v", 4), out, sizeof(out), &n));
	assert_false(base64_get(S("Zm9vYmFy"), out, 5, &n));
	assert_true(base64_get(S("Zm9vYmFy"), out, 6, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rfc_4648_vectors), cmocka_unit_test(padded), cmocka_unit_test(what_is_not)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
