/* chars.h - runs of a class, 16 bytes at a time: the same as byte by byte, and nothing outside of the text is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sbc/base/rng.h"
#include "sbc/sip/chars.h"

static const char *slow(const char *p, const char *end, unsigned mask)
{
	while (p < end && sip_is(*p, mask))
		p++;
	return p;
}

static void same_as_byte_by_byte(void **state)
{
	static const unsigned masks[] = {
	    SIP_C_TOKEN, SIP_C_HOST, SIP_C_USER, SIP_C_PARAM, SIP_C_PLAIN, SIP_C_SCHEME, SIP_C_VALUE};
	struct rng rng;

	(void)state;
	rng_init_seeded(&rng, 5);
	for (unsigned round = 0; round < 4000; round++) {
		size_t n = rng_below(&rng, 48);
		char *text = malloc(n ? n : 1); /* of just that size: a byte too far is seen */
		unsigned odd = 1 + rng_below(&rng, 40);

		assert_non_null(text);
		for (size_t i = 0; i < n; i++)
			text[i] = rng_below(&rng, odd) == 0 ? (char)rng_u32(&rng) : "ab-c.Yz019"[rng_below(&rng, 10)];
		for (size_t from = 0; from <= n; from++)
			for (unsigned m = 0; m < ARRAY_LEN(masks); m++) {
				const char *want = slow(text + from, text + n, masks[m]);

				assert_ptr_equal(sip_span(text, text + from, text + n, masks[m]), want);
				assert_ptr_equal(sip_span(text + from, text + from, text + n, masks[m]), want);
			}
		free(text);
	}
}

/* Each byte where it is the only odd one. */
static void each_byte(void **state)
{
	char text[32];

	(void)state;
	for (unsigned c = 0; c < 256; c++)
		for (unsigned m = 1; m <= SIP_C_VALUE; m *= 2) {
			memset(text, 'a', sizeof(text));
			text[20] = (char)c;
			assert_ptr_equal(sip_span(text, text, text + 32, m), slow(text, text + 32, m));
		}
	for (unsigned c = 0; c < 256; c++)
		assert_int_equal(sip_is((char)c, SIP_C_VALUE), sip_is((char)c, SIP_C_PARAM) && c != ';' && c != ',');
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(same_as_byte_by_byte),
	    cmocka_unit_test(each_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
