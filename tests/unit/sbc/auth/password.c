/* PWD-01: what is refused as a password, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sbc/auth/password.h"

static void pwd_01_weak(void **s)
{
	static const struct {
		const char *password, *user, *why; /* part of it; NULL: good */
	} t[] = {
	    {"300", "300", "user name"},
	    {"TRUNK42-long-name", "trunk42-long-name", "user name"},
	    {"", "300", "shorter"},
	    {"aB3$xY9!kLm", "300", "shorter"},
	    {"300300300300", "300", "few characters"},
	    {"trunk42trunk", "trunk42", "little more than the user"},
	    {"acme-berlin1", "u", "trunk's name"},
	    {"4930123456789", "u", "trunk's name or number"},
	    {"aaaaaaaaaaaaaaaa", "u", "few characters"},
	    {"password12345678", "u", "everybody"},
	    {"Passw0rdPassw0rd!", "u", "everybody"},
	    {"abcdefghijklmnop", "u", "everybody"},
	    {"line\nbreak-in-it!", "u", "control"},
	    {"correct horse battery", "u", NULL},
	    {"k7w2mzq4xj5hb3ny", "300", NULL},
	    {"Xq9-trunk42-hZ81mK", "trunk42", NULL},
	};
	const struct str names[] = {S("acme-berlin"), S("493012345")};

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		const char *why = password_weak(str_z(t[i].password), str_z(t[i].user), names, 2);

		if (t[i].why ? !why || !strstr(why, t[i].why) : why != NULL)
			fail_msg("%s: %s", t[i].password, why ? why : "good");
	}
}

static void made_ones_are_good(void **s)
{
	struct rng rng;

	(void)s;
	rng_init_seeded(&rng, 9);
	for (int i = 0; i < 1000; i++) {
		char text[32];
		struct buf b;

		buf_init(&b, text, sizeof(text));
		password_make(&rng, &b);
		assert_int_equal(b.n, 24);
		assert_null(password_weak(buf_text(&b), S("300"), NULL, 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(pwd_01_weak), cmocka_unit_test(made_ones_are_good)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
