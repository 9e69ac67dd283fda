/* uri.c - URIs: cutting, comparing, the number they dial. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/sip/uri.h"

static void assert_str(struct str s, const char *want)
{
	if (!str_eq(s, str_z(want)))
		fail_msg("\"%.*s\" is not \"%s\"", STR(s), want);
}

static void parts(void **state)
{
	struct sip_uri u;

	(void)state;
	assert_int_equal(sip_uri_parse(S("sips:alice:se%20cret@[2001:db8::1]:5071;transport=tcp;lr?a=b&c=d"), &u), 0);
	assert_int_equal(u.scheme, SIP_SCHEME_SIPS);
	assert_str(u.user, "alice");
	assert_str(u.password, "se%20cret");
	assert_str(u.host, "[2001:db8::1]");
	assert_int_equal(u.port, 5071);
	assert_str(u.params, "transport=tcp;lr");
	assert_str(u.headers, "a=b&c=d");
	assert_int_equal(sip_uri_parse(S("SIP:example.com"), &u), 0);
	assert_int_equal(u.scheme, SIP_SCHEME_SIP);
	assert_true(str_empty(u.user));
	assert_str(u.host, "example.com");
	assert_int_equal(u.port, 0);
	/* PAR-06 */
	assert_int_equal(sip_uri_parse(S("sip:+15550100;tgrp=a;trunk-context=b@dut;user=phone"), &u), 0);
	assert_str(u.user, "+15550100;tgrp=a;trunk-context=b");
	assert_str(u.params, "user=phone");
	assert_int_equal(sip_uri_parse(S("sip:a?b/c@h"), &u), 0);
	assert_str(u.user, "a?b/c");
	assert_int_equal(sip_uri_parse(S("tel:+1-555-0100;phone-context=x;isub=1"), &u), 0);
	assert_int_equal(u.scheme, SIP_SCHEME_TEL);
	assert_str(u.user, "+1-555-0100");
	assert_str(u.params, "phone-context=x;isub=1");
	assert_int_equal(sip_uri_parse(S("urn:service:sos"), &u), 0);
	assert_int_equal(u.scheme, SIP_SCHEME_OTHER);
	assert_str(u.raw, "urn:service:sos");
}

static void refused(void **state)
{
	static const char *const bad[] = {"", "sip:", "sips:", "tel:", "sip", ":x", "1sip:x", "x:", "sip:@h", "sip::p@h",
	    "sip:a@", "sip:h:", "sip:h:0", "sip:h:65536", "sip:h:99999999999999999999", "sip:h:5060x",
	    "sip:2001:db8::1", "sip:[2001:db8::1", "sip:[2001:db8::zz]", "sip:[]", "sip:[1.2.3.4]x",
	    "sip:[2001:db8::1]5060", "sip:a b@h", "sip:a@h h", "sip:a@h;x y", "sip:<a@h>", "sip:a@h;x=\"y\"",
	    "sip:a@b@c", "sip:a@h,", "sip:a\r\n@h", "tel:+1 555", "tel:;x=y", "foo:a b", "sip:[::1]:",
	    "sip:[:::1:::2]", "sip:a@h?x=<y>"};
	struct sip_uri u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (sip_uri_parse(str_z(bad[i]), &u) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
}

static void every_cut(void **state)
{
	static const char text[] = "sip:+1%2B5;x=y:pw@[2001:db8::1]:5070;transport=tcp;lr?subject=a%20b";
	struct sip_uri u;
	char copy[sizeof(text)];
	struct buf b;
	char space[64];

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		memcpy(copy, text, n);
		if (sip_uri_parse(str_n(copy, n), &u) == 0) {
			buf_init(&b, space, sizeof(space));
			assert_true(sip_uri_number(&u, &b) <= 0);
			assert_true(sip_uri_eq(&u, &u));
			assert_int_equal(u.raw.n, n);
		}
	}
}

static void ports_5118(void **state)
{
	struct sip_uri u;
	struct addr a;
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(sip_uri_parse(S("sip:[2001:db8::9:5070]"), &u), 0);
	assert_int_equal(u.port, 0);
	assert_true(sip_uri_addr(&u, &a));
	assert_string_equal(addr_text(&a, text), "[2001:db8::9:5070]:0");
	assert_int_equal(sip_uri_parse(S("sip:[2001:db8::9]:5070"), &u), 0);
	assert_int_equal(u.port, 5070);
	assert_true(sip_uri_addr(&u, &a));
	assert_string_equal(addr_text(&a, text), "[2001:db8::9]:5070");
	assert_int_equal(sip_uri_parse(S("sip:u@[2001:db8:::192.0.2.1]"), &u), 0);
	assert_true(sip_uri_addr(&u, &a));
	assert_string_equal(addr_text(&a, text), "[2001:db8::c000:201]:0");
	assert_int_equal(sip_uri_parse(S("sip:u@192.0.2.1:5080"), &u), 0);
	assert_true(sip_uri_addr(&u, &a));
	assert_string_equal(addr_text(&a, text), "192.0.2.1:5080");
	assert_int_equal(sip_uri_parse(S("sip:u@host.example"), &u), 0);
	assert_false(sip_uri_addr(&u, &a));
}

static void params(void **state)
{
	struct str rest = S("a=1; b ;c = \"x;y\\\";\" ;;d="), n, v;

	(void)state;
	assert_true(sip_param_next(&rest, &n, &v));
	assert_str(n, "a");
	assert_str(v, "1");
	assert_true(sip_param_next(&rest, &n, &v));
	assert_str(n, "b");
	assert_null(v.p);
	assert_true(sip_param_next(&rest, &n, &v));
	assert_str(n, "c");
	assert_str(v, "\"x;y\\\";\"");
	assert_true(sip_param_next(&rest, &n, &v));
	assert_str(n, "d");
	assert_non_null(v.p);
	assert_int_equal(v.n, 0);
	assert_false(sip_param_next(&rest, &n, &v));
	rest = STR_NONE;
	assert_false(sip_param_next(&rest, &n, &v));
	assert_true(sip_param_get(S("lr;Transport=TCP"), S("transport"), &v));
	assert_str(v, "TCP");
	assert_true(sip_param_get(S("lr;x"), S("LR"), NULL));
	assert_false(sip_param_get(S("lrx;xlr"), S("lr"), NULL));
	/* an unclosed quote swallows the rest, and no more */
	rest = S("a=\"x;y");
	assert_true(sip_param_next(&rest, &n, &v));
	assert_str(v, "\"x;y");
	assert_false(sip_param_next(&rest, &n, &v));
}

static void equality(void **state)
{
	static const struct {
		const char *a, *b;
		bool eq;
	} table[] = {
	    /* RFC 3261 19.1.4 */
	    {"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
	    {"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
	    {"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true},
	    {"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
	        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true},
	    {"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
	        "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true},
	    {"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
	    {"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
	    {"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
	    {"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
	    {"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false},
	    {"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
	    {"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
	    {"sip:a@h", "sips:a@h", false},
	    {"sip:a@h;maddr=x", "sip:a@h", false},
	    {"sip:a@h;user=phone", "sip:a@h", false},
	    {"sip:a:x@h", "sip:a:y@h", false},
	    {"sip:a@h", "sip:h", false},
	    /* an escaped reserved octet is another one than the octet */
	    {"sip:a%3Bb@h", "sip:a;b@h", false},
	    {"sip:a%3bb@h", "sip:a%3Bb@h", true},
	    {"sip:null-%00-null@h", "sip:null-@h", false},
	    {"sip:null-%00-null@h", "sip:null-%00-nulL@h", false},
	    /* PAR-30, RFC 5954 */
	    {"sip:a@[2001:DB8:0::1]", "sip:a@[2001:db8::1]", true},
	    {"sip:a@[::ffff:192.0.2.10]", "sip:a@[::FFFF:c000:20a]", true},
	    {"sip:a@[2001:db8::1]", "sip:a@[2001:db8::2]", false},
	    {"sip:a@[::ffff:192.0.2.10]", "sip:a@192.0.2.10", false},
	    /* PAR-23 */
	    {"sip:+1-555@h", "sip:+1555@h", false},
	    {"tel:+1-555", "tel:+1(5)5.5", true},
	    {"tel:+1555", "tel:1555", false},
	    {"tel:(+1555", "tel:+1555", false},
	    {"tel:1;phone-context=%-2B1", "tel:1;phone-context=%2B1", false},
	    {"tel:%2B1555", "tel:%2b1555", true},
	    {"tel:1;phone-context=)%2B1", "tel:1;phone-context=%2B1", false},
	    {"tel:0100;phone-context=+15", "tel:01-00;PHONE-CONTEXT=+1-5", true},
	    {"tel:0100;phone-context=+15", "tel:0100;phone-context=+16", false},
	    {"tel:0100;phone-context=+15", "tel:0100", false},
	    {"tel:+1;isub=1", "tel:+1", false},
	    {"urn:a:b", "urn:a:b", true},
	    {"urn:a:b", "urn:a:c", false},
	    {"sip:h?a=1&a=1", "sip:h?a=1&b=1", false},
	    {"sip:h?a=1&b=1", "sip:h?a=1", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sip_uri a, b;

		assert_int_equal(sip_uri_parse(str_z(table[i].a), &a), 0);
		assert_int_equal(sip_uri_parse(str_z(table[i].b), &b), 0);
		if (sip_uri_eq(&a, &b) != table[i].eq || sip_uri_eq(&b, &a) != table[i].eq)
			fail_msg("%s %s", table[i].a, table[i].b);
	}
}

/* Comparing costs no more than the limit says, and beyond it bytes decide. */
static void equality_limit(void **state)
{
	char x[4096], y[4096];
	struct buf bx, by;
	struct sip_uri a, b;

	(void)state;
	buf_init(&bx, x, sizeof(x));
	buf_init(&by, y, sizeof(y));
	buf_lit(&bx, "sip:h");
	buf_lit(&by, "sip:h");
	for (unsigned i = 0; i < 500; i++) {
		buf_fmt(&bx, ";p%u", i);
		buf_fmt(&by, ";p%u", 499 - i);
	}
	assert_int_equal(sip_uri_parse(buf_text(&bx), &a), 0);
	assert_int_equal(sip_uri_parse(buf_text(&by), &b), 0);
	assert_true(sip_uri_eq(&a, &a));
	assert_false(sip_uri_eq(&a, &b));
}

static void numbers(void **state)
{
	static const struct {
		const char *uri, *number; /* NULL: none */
	} table[] = {
	    {"sip:+15550100@h", "+15550100"},
	    {"sip:%2B15550100@h", "+15550100"},
	    {"sip:%2b15550100@h", "+15550100"},
	    {"sip:+1-555-0100@h", "+15550100"},
	    {"sip:+1.555.0100@h", "+15550100"},
	    {"sip:+1(555)0100@h", "+15550100"},
	    {"sip:+1%2D555%2D0100@h", "+15550100"},
	    {"sip:+1%28555%290100@h", "+15550100"},
	    {"sip:%2B%31%35%35%35%30%31%30%30@h", "+15550100"},
	    {"sip:+15550100;tgrp=a;trunk-context=b@h;user=phone", "+15550100"},
	    {"sip:+15550100;isub=99@h", "+15550100"},
	    {"sip:+15550100;npdi;rn=+1666@h", "+15550100"},
	    {"sip:+15550100;phone-context=+99@h", "+15550100"},
	    {"sip:+15550100:password@h", "+15550100"},
	    {"sips:+15550100@h", "+15550100"},
	    {"tel:+15550100", "+15550100"},
	    {"tel:+1-555-0100", "+15550100"},
	    {"TEL:+1.(555).0100", "+15550100"},
	    {"tel:%2B15550100", "+15550100"},
	    {"tel:0100;phone-context=+1555", "+15550100"},
	    {"tel:01-00;phone-context=+1-555", "+15550100"},
	    {"tel:0100;phone-context=%2B1555", "+15550100"},
	    {"sip:0100;phone-context=+1555@h;user=phone", "+15550100"},
	    {"sip:0100@h;phone-context=+1555", "+15550100"},
	    /* distinct: PAR-23 */
	    {"sip:15550100@h", "15550100"},
	    {"sip:0015550100@h", "0015550100"},
	    {"sip:15550100;phone-context=example.com@h", "15550100"},
	    {"sip:*31%23@h", "*31#"},
	    {"sip:#31#15@h", "#31#15"},
	    {"sip:12AB@h;user=phone", "12ab"},
	    {"tel:7A;phone-context=+1", "+17a"},
	    /* no number */
	    {"tel:0100", NULL},
	    {"tel:0100;phone-context=example.com", NULL},
	    {"tel:0100;phone-context=", NULL},
	    {"tel:0100;phone-context=+1x", NULL},
	    {"sip:alice@h", NULL},
	    {"sip:dad@h", NULL},
	    {"sip:12ab@h", NULL},
	    {"sip:h", NULL},
	    {"sip:+@h", NULL},
	    {"sip:-.()@h", NULL},
	    {"sip:1+555@h", NULL},
	    {"sip:++1555@h", NULL},
	    {"sip:(+1555@h", NULL},
	    {"sip:%252B1555@h", NULL},
	    {"sip:+1555%00@h", NULL},
	    {"sip:+1555%3Btgrp=a@h", NULL},
	    {"sip:+1555%200100@h", NULL},
	    {"sip:+1555,0100@h", NULL},
	    {"sip:+1555%0@h", NULL},
	    {"sip:\xef\xbc\x91\xef\xbc\x92@h", NULL}, /* full-width digits */
	    {"sip:\xd9\xa1\xd9\xa2@h", NULL},         /* Arabic ones */
	    {"sip:+1\xc2\xad" "555@h", NULL},         /* soft hyphen */
	    {"urn:service:sos", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char space[64] = "before";
		struct sip_uri u;
		struct buf b;
		int e;

		buf_init(&b, space, sizeof(space));
		b.n = 6;
		assert_int_equal(sip_uri_parse(str_z(table[i].uri), &u), 0);
		e = sip_uri_number(&u, &b);
		if (!table[i].number) {
			if (e != -ENOENT || b.n != 6)
				fail_msg("%s dials %.*s", table[i].uri, STR(buf_text(&b)));
		} else if (e != 0 || !str_eq(str_from(buf_text(&b), 6), str_z(table[i].number))) {
			fail_msg("%s dials %.*s", table[i].uri, STR(buf_text(&b)));
		}
	}
}

static void number_too_long(void **state)
{
	char space[8], text[200];
	struct sip_uri u;
	struct buf b;

	(void)state;
	buf_init(&b, space, sizeof(space));
	assert_int_equal(sip_uri_parse(S("sip:123456789@h"), &u), 0);
	assert_int_equal(sip_uri_number(&u, &b), -ENOSPC);
	assert_int_equal(b.n, 0);
	memcpy(text, "sip:", 4);
	memset(text + 4, '1', 100);
	memcpy(text + 104, "@h", 2);
	assert_int_equal(sip_uri_parse(str_n(text, 106), &u), 0);
	buf_init(&b, text + 120, 80);
	assert_int_equal(sip_uri_number(&u, &b), -ENOSPC);
}

static void unescape(void **state)
{
	char space[64];
	struct buf b;

	(void)state;
	buf_init(&b, space, sizeof(space));
	sip_unescape(&b, S("a%41%4z%%00%"));
	assert_int_equal(b.n, 8);
	assert_memory_equal(space, "aA%4z%\0%", 8);
	buf_init(&b, space, 2);
	sip_unescape(&b, S("abc"));
	assert_int_equal(buf_err(&b), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts),
	    cmocka_unit_test(refused),
	    cmocka_unit_test(every_cut),
	    cmocka_unit_test(ports_5118),
	    cmocka_unit_test(params),
	    cmocka_unit_test(equality),
	    cmocka_unit_test(equality_limit),
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(number_too_long),
	    cmocka_unit_test(unescape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
