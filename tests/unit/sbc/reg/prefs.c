/* Caller preferences (RFC 3841) against feature tags (RFC 3840): GINS-11. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sbc/base/arena.h"
#include "sbc/reg/prefs.h"

static int score(const char *lines, const char *params)
{
	struct arena_pool pool;
	struct arena *a;
	struct sip_perr err;
	struct sip_msg *m;
	char text[2048];
	int n, ret;

	arena_pool_init(&pool, 8192, 2);
	a = arena_new(&pool);
	n = snprintf(text, sizeof(text),
	    "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
	    "Call-ID: c\r\nCSeq: 1 INVITE\r\n%sContent-Length: 0\r\n\r\n",
	    lines);
	assert_int_equal(sip_parse(a, text, (size_t)n, &m, &err), 0);
	ret = prefs_score(m, str_z(params), S("<urn:uuid:1>"));
	arena_free(a);
	arena_pool_fini(&pool);
	return ret;
}

static void nothing_asked(void **s)
{
	(void)s;
	assert_int_equal(score("", "audio"), 1000);
	assert_int_equal(score("Accept-Contact: *\r\n", "audio"), 1000);
	assert_int_equal(score("Accept-Contact: *;x=1;require\r\n", "audio"), 1000); /* no feature */
	assert_int_equal(score("Accept-Contact: <sip:a>;audio\r\n", "video"), 1000); /* no value of that field */
}

static void accepted(void **s)
{
	(void)s;
	assert_int_equal(score("Accept-Contact: *;audio\r\n", "audio;video"), 1000);
	assert_int_equal(score("a: *;audio\r\n", "audio"), 1000); /* the compact form */
	assert_int_equal(score("Accept-Contact: *;audio;+sip.fax\r\n", "audio"), 500);
	assert_int_equal(score("Accept-Contact: *;audio, *;+sip.fax\r\n", "audio"), 500);
	assert_int_equal(score("Accept-Contact: *;audio\r\n", "audio=\"FALSE\""), 0);
	assert_int_equal(score("Accept-Contact: *;audio=\"!TRUE\"\r\n", "audio"), 0);
	assert_int_equal(score("Accept-Contact: *;methods=\"MESSAGE,INVITE\"\r\n", "methods=\"OPTIONS, invite\""), 1000);
	assert_int_equal(score("Accept-Contact: *;methods=\"MESSAGE\"\r\n", "methods=\"INVITE\""), 0);
	assert_int_equal(score("Accept-Contact: *;+a=\"<Bob>\"\r\n", "+a=\"<bob>\""), 0);
	assert_int_equal(score("Accept-Contact: *;+a=\"<Bob>\"\r\n", "+a=\"<Bob>\""), 1000);
	assert_int_equal(score("Accept-Contact: *;+sip.instance=\"<urn:uuid:1>\"\r\n", "audio"), 1000);
	assert_int_equal(score("Accept-Contact: *;+sip.instance=\"<urn:uuid:2>\";require\r\n", "audio"), -1);
}

static void numbers(void **s)
{
	(void)s;
	assert_int_equal(score("Accept-Contact: *;priority=\"#>=5\"\r\n", "priority=\"#=7\""), 1000);
	assert_int_equal(score("Accept-Contact: *;priority=\"#>=5\"\r\n", "priority=\"#<=4.9\""), 0);
	assert_int_equal(score("Accept-Contact: *;priority=\"#1:3\"\r\n", "priority=\"#3:9\""), 1000);
	assert_int_equal(score("Accept-Contact: *;priority=\"#=-1.5\"\r\n", "priority=\"#=-1.500\""), 1000);
	assert_int_equal(score("Accept-Contact: *;priority=\"#=1\"\r\n", "priority=\"#=abc\""), 0);
	assert_int_equal(score("Accept-Contact: *;priority=\"#\"\r\n", "priority=\"#=1\""), 0);
	assert_int_equal(score("Accept-Contact: *;priority=\"#=99999999999999999999\"\r\n", "priority=\"#=1\""), 0);
}

static void required(void **s)
{
	(void)s;
	assert_int_equal(score("Accept-Contact: *;video;require\r\n", "audio;video=\"FALSE\""), -1);
	assert_int_equal(score("Accept-Contact: *;video;require\r\n", "audio"), 0);              /* it does not say */
	assert_int_equal(score("Accept-Contact: *;video;require;explicit\r\n", "audio"), -1);
	assert_int_equal(score("Accept-Contact: *;video;explicit\r\n", "audio"), 0);
	assert_int_equal(score("Accept-Contact: *;video;audio;explicit\r\n", "audio"), 0);
	assert_int_equal(score("Accept-Contact: *;video;require;explicit\r\n", "video"), 1000);
}

static void rejected(void **s)
{
	(void)s;
	assert_int_equal(score("Reject-Contact: *;video\r\n", "audio;video"), -1);
	assert_int_equal(score("j: *;video\r\n", "audio;video"), -1);
	assert_int_equal(score("Reject-Contact: *;video;+x\r\n", "audio;video"), 1000);
	assert_int_equal(score("Reject-Contact: *\r\n", "audio"), 1000);
	assert_int_equal(score("Reject-Contact: *;actor=\"msg-taker\"\r\n", "actor=\"principal\""), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_asked),
	    cmocka_unit_test(accepted),
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(required),
	    cmocka_unit_test(rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
