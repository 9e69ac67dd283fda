/* certname.c - any bytes as a certificate: what it names is host names, each once, in lower case, and found again.
 *
 * links: sbc_net
 */
#include <stdlib.h>

#include "sbc/net/certname.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void check_name(struct str s)
{
	CHECK(s.n > 0 && s.n <= 253 && s.p[s.n] == '\0');
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		CHECK((c >= 'a' && c <= 'z') || chr_digit(c) || c == '.' || c == '-' || c == '_' || (c == '*' && i == 0));
	}
	CHECK(s.p[0] != '.' && s.p[s.n - 1] != '.');
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const unsigned char *der = p;
	X509 *x = d2i_X509(NULL, &der, (long)n);
	struct addr a = {.in4 = {.sin_family = AF_INET}};
	struct certname c;
	struct buf b;
	char text[600];

	if (!x)
		return 0;
	if (certname_read(x, &c) == 0) {
		CHECK(c.n <= CERTNAME_MAX && (c.n == CERTNAME_MAX || !c.cut));
		for (unsigned i = 0; i < c.n; i++) {
			check_name(c.names[i]);
			CHECK(certname_match(c.names, c.n, c.names[i], false));
			for (unsigned j = 0; j < i; j++)
				CHECK(!str_eq(c.names[i], c.names[j]));
		}
		CHECK(!certname_match(c.names, c.n, STR_NONE, true));
		certname_free(&c);
	}
	(void)certname_has_ip(x, &a);
	(void)certname_for_sip(x, true);
	(void)certname_for_sip(x, false);
	buf_init(&b, text, sizeof(text));
	certname_say(&b, x);
	CHECK(buf_err(&b) == 0 && b.n > 0);
	X509_free(x);
	return 0;
}
