/* header.c - values of single fields: lists, addresses, Via, seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/base/arena.h"
#include "sbc/sip/header.h"

static struct arena_pool pool;
static struct arena *a;
static char space[4096];

static void assert_str(struct str s, const char *want)
{
	if (!str_eq(s, str_z(want)))
		fail_msg("\"%.*s\" is not \"%s\"", STR(s), want);
}

/* a message with these header lines */
static struct sip_msg *with(const char *lines)
{
	struct sip_msg *m;
	struct sip_perr err;
	struct buf b;

	arena_reset(a);
	buf_init(&b, space, sizeof(space));
	buf_lit(&b, "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\n"
	            "Call-ID: c\r\nCSeq: 1 OPTIONS\r\n");
	buf_str(&b, str_z(lines));
	buf_lit(&b, "\r\n");
	if (sip_parse(a, b.p, b.n, &m, &err) < 0)
		fail_msg("%s: %s", err.why, lines);
	return m;
}

static void lists(void **state)
{
	struct str rest = S(" a , \"b,c\\\",\" ,, <sip:x,y>;q=\",\",d,"), v;

	(void)state;
	assert_true(sip_value_next(&rest, &v));
	assert_str(v, "a");
	assert_true(sip_value_next(&rest, &v));
	assert_str(v, "\"b,c\\\",\"");
	assert_true(sip_value_next(&rest, &v));
	assert_str(v, "<sip:x,y>;q=\",\"");
	assert_true(sip_value_next(&rest, &v));
	assert_str(v, "d");
	assert_false(sip_value_next(&rest, &v));
	assert_false(sip_value_next(&rest, &v));
	rest = S(" ,,, ");
	assert_false(sip_value_next(&rest, &v));
	rest = S("\"a,b");
	assert_true(sip_value_next(&rest, &v));
	assert_str(v, "\"a,b");
	rest = S("<a,b");
	assert_true(sip_value_next(&rest, &v));
	assert_str(v, "<a,b");
	assert_false(sip_value_next(&rest, &v));
}

/* PAR-03 */
static void lines_equal_lists(void **state)
{
	static const char *const same[] = {"Route: <sip:1;lr>\r\nX: y\r\nRoute: <sip:2;lr> , <sip:3;lr>\r\n",
	    "Route: <sip:1;lr>,<sip:2;lr>,<sip:3;lr>\r\n",
	    "Route: ,\r\nRoute: <sip:1;lr>\r\nRoute:\r\nRoute: <sip:2;lr>\r\nroute:<sip:3;lr>,\r\n"};
	static const char *const want[] = {"<sip:1;lr>", "<sip:2;lr>", "<sip:3;lr>"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		struct sip_values w = sip_values(with(same[i]), SIP_H_ROUTE);
		struct str v;

		for (size_t k = 0; k < 3; k++) {
			assert_true(sip_values_next(&w, &v));
			assert_str(v, want[k]);
		}
		assert_false(sip_values_next(&w, &v));
	}
}

static void auth_is_never_split(void **state)
{
	static const struct {
		const char *lines;
		enum sip_hdr_id id;
	} table[] = {
	    {"Authorization: Digest a=\"1\", b=2\r\nAuthorization: X c=3, d=4\r\n", SIP_H_AUTHORIZATION},
	    {"Proxy-Authorization: Digest a=\"1\", b=2\r\nProxy-Authorization: X c=3, d=4\r\n",
	        SIP_H_PROXY_AUTHORIZATION},
	    {"WWW-Authenticate: Digest a=\"1\", b=2\r\nWWW-Authenticate: X c=3, d=4\r\n",
	        SIP_H_WWW_AUTHENTICATE},
	    {"Proxy-Authenticate: Digest a=\"1\", b=2\r\nProxy-Authenticate: X c=3, d=4\r\n",
	        SIP_H_PROXY_AUTHENTICATE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sip_values w = sip_values(with(table[i].lines), table[i].id);
		struct str v;

		assert_true(sip_values_next(&w, &v));
		assert_str(v, "Digest a=\"1\", b=2");
		assert_true(sip_values_next(&w, &v));
		assert_str(v, "X c=3, d=4");
		assert_false(sip_values_next(&w, &v));
	}
}

static void tokens(void **state)
{
	struct sip_msg *m = with("Require: 100REL, timer\r\nk: replaces\r\nSupported: gruu\r\n");

	(void)state;
	assert_true(sip_has_token(m, SIP_H_REQUIRE, S("100rel")));
	assert_true(sip_has_token(m, SIP_H_REQUIRE, S("timer")));
	assert_false(sip_has_token(m, SIP_H_REQUIRE, S("time")));
	assert_true(sip_has_token(m, SIP_H_SUPPORTED, S("replaces")));
	assert_true(sip_has_token(m, SIP_H_SUPPORTED, S("gruu")));
	assert_false(sip_has_token(m, SIP_H_UNSUPPORTED, S("gruu")));
}

/* PAR-07, -08, -28 */
static void addresses(void **state)
{
	static const struct {
		const char *value, *display, *uri, *params, *tag; /* uri NULL: refused */
	} table[] = {
	    {"sip:a@b;tag=1", "", "sip:a@b", "tag=1", "1"},
	    {"sip:a@b ; tag = 1 ; x", "", "sip:a@b", " tag = 1 ; x", "1"},
	    {"<sip:a@b;x=y>;TAG=1", "", "sip:a@b;x=y", "TAG=1", "1"},
	    {"<sip:a,b;c?d@e>", "", "sip:a,b;c?d@e", "", ""},
	    {"Bob <sip:a@b>", "Bob", "sip:a@b", "", ""},
	    {"Bob B. Smith   <sip:a@b>;q=0.5", "Bob B. Smith", "sip:a@b", "q=0.5", ""},
	    {"caller<sip:a@b>", "caller", "sip:a@b", "", ""},
	    {"J\xc3\xb6rg <sip:a@b>", "J\xc3\xb6rg", "sip:a@b", "", ""},
	    {"\"J\\\"o, \\\\ <x>\" <sip:a@b>;tag=1", "\"J\\\"o, \\\\ <x>\"", "sip:a@b", "tag=1", "1"},
	    {"\"\"<sip:a@b>", "\"\"", "sip:a@b", "", ""},
	    {"<sip:a@b>;x=\"y;tag=no\";tag=yes", "", "sip:a@b", "x=\"y;tag=no\";tag=yes", "yes"},
	    {"<sip:a@b>;;;", "", "sip:a@b", ";;", ""},
	    {"<sip:a@b>;tag=a==", "", "sip:a@b", "tag=a==", "a=="},
	    {"<sip:a@[2001:db8::1]:5070>;q=1", "", "sip:a@[2001:db8::1]:5070", "q=1", ""},
	    {"tel:+1555;tag=x", "", "tel:+1555", "tag=x", "x"},
	    {"<tel:+1555;isub=1>;tag=x", "", "tel:+1555;isub=1", "tag=x", "x"},
	    {"isbn:2983792873", "", "isbn:2983792873", "", ""},
	    {"", NULL, NULL, NULL, NULL},
	    {"Bob", NULL, NULL, NULL, NULL},
	    {"<>", NULL, NULL, NULL, NULL},
	    {"<sip:a@b", NULL, NULL, NULL, NULL},
	    {"sip:a@b>", NULL, NULL, NULL, NULL},
	    {"< sip:a@b>", NULL, NULL, NULL, NULL},
	    {"<sip:a@b >", NULL, NULL, NULL, NULL},
	    {"\"x <sip:a@b>", NULL, NULL, NULL, NULL},
	    {"\"x\\\" <sip:a@b>", NULL, NULL, NULL, NULL},
	    {"\"x\" y <sip:a@b>", NULL, NULL, NULL, NULL},
	    {"\"x\" sip:a@b", NULL, NULL, NULL, NULL},
	    {"Bell, A <sip:a@b>", NULL, NULL, NULL, NULL},
	    {"a:b <sip:a@b>", NULL, NULL, NULL, NULL},
	    {"sip:a@b?x=y", NULL, NULL, NULL, NULL},
	    {"sip:a,c@b", NULL, NULL, NULL, NULL},
	    {"sip:a@b c", NULL, NULL, NULL, NULL},
	    {"<sip:a@b> x", NULL, NULL, NULL, NULL},
	    {"<sip:a@b>,<sip:c@d>", NULL, NULL, NULL, NULL},
	    {"<sip:a@b>;x=y,<sip:c@d>", NULL, NULL, NULL, NULL},
	    {"<sip:a@b>;x=\"y", NULL, NULL, NULL, NULL},
	    {"<sip:a@b>;x=\"y\"z", NULL, NULL, NULL, NULL},
	    {"<sip:a@b>;=y", NULL, NULL, NULL, NULL},
	    {"<sip:a@b>;x y", NULL, NULL, NULL, NULL},
	    {"<sip:a@b>;tag=", NULL, NULL, NULL, NULL},
	    {"<sip:a@b>;tag=\"x\"", NULL, NULL, NULL, NULL},
	    {"<sip:a@2001:db8::1>", NULL, NULL, NULL, NULL},
	    {"*", NULL, NULL, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sip_addr r;
		int e = sip_addr_parse(str_z(table[i].value), &r);

		if (e != (table[i].uri ? 0 : -EBADMSG))
			fail_msg("%d: %s", e, table[i].value);
		if (e < 0)
			continue;
		assert_str(r.display, table[i].display);
		assert_str(r.uri.raw, table[i].uri);
		assert_str(r.params, table[i].params);
		assert_str(r.tag, table[i].tag);
	}
}

static void contacts(void **state)
{
	struct sip_addr r;

	(void)state;
	assert_int_equal(sip_contact(with(""), &r), -ENOENT);
	assert_int_equal(sip_contact(with("Contact:\r\n"), &r), -EBADMSG);
	assert_int_equal(sip_contact(with("Contact: *\r\n"), &r), -EBADMSG);
	assert_int_equal(sip_contact(with("m: <sip:1>, <sip:2>\r\nContact: <sip:3>\r\n"), &r), 0);
	assert_str(r.uri.raw, "sip:1");
}

/* PAR-28, -29, -31 */
static void vias(void **state)
{
	struct sip_via v;
	static const char *const bad[] = {"", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 h", "SIP/2.0/ h", "/2.0/UDP h",
	    "SIP//UDP h", "SIP/2.0/UDPh", "SIP/2.0/UDP h;", "SIP/2.0/UDP h;;x", "SIP/2.0/UDP h:0",
	    "SIP/2.0/UDP h:65536", "SIP/2.0/UDP h:", "SIP/2.0/UDP h i", "SIP/2.0/UDP h;x=\"y",
	    "SIP/2.0/UDP h;rport=0", "SIP/2.0/UDP h;rport=x", "SIP/2.0/UDP h;rport=65536",
	    "SIP/2.0/UDP 2001:db8::9", "SIP/2.0/UDP [2001:db8::9", "SIP/2.0/UDP h, SIP/2.0/UDP i",
	    "SIP/2.0/UDP ;branch=x"};

	(void)state;
	assert_int_equal(sip_via_parse(S("SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1;rport;maddr=m;received=192.0.2.9"), &v), 0);
	assert_str(v.transport, "UDP");
	assert_str(v.host, "192.0.2.1");
	assert_int_equal(v.port, 5062);
	assert_str(v.branch, "z9hG4bK1");
	assert_true(v.has_rport);
	assert_int_equal(v.rport, 0);
	assert_str(v.maddr, "m");
	assert_str(v.received, "192.0.2.9");
	assert_str(v.params, "branch=z9hG4bK1;rport;maddr=m;received=192.0.2.9");
	assert_int_equal(sip_via_parse(S("sip / 2.0\t/ UNKNOWN  [2001:db8::9] : 5070 ; RPORT=40000 ;Branch = q ; x=\";\""), &v), 0);
	assert_str(v.transport, "UNKNOWN");
	assert_str(v.host, "[2001:db8::9]");
	assert_int_equal(v.port, 5070);
	assert_int_equal(v.rport, 40000);
	assert_str(v.branch, "q");
	assert_int_equal(sip_via_parse(S("SIP/2.0/TLS h.example"), &v), 0);
	assert_false(v.has_rport);
	assert_int_equal(v.port, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (sip_via_parse(str_z(bad[i]), &v) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
}

static void seconds(void **state)
{
	uint32_t s;

	(void)state;
	assert_int_equal(sip_delta_seconds(with(""), SIP_H_EXPIRES, &s), -ENOENT);
	assert_int_equal(sip_delta_seconds(with("Expires: 60\r\n"), SIP_H_EXPIRES, &s), 0);
	assert_int_equal(s, 60);
	assert_int_equal(sip_delta_seconds(with("x: 1800 ; refresher=uac\r\n"), SIP_H_SESSION_EXPIRES, &s), 0);
	assert_int_equal(s, 1800);
	assert_int_equal(sip_delta_seconds(with("Expires: 4294967295\r\n"), SIP_H_EXPIRES, &s), 0);
	assert_true(s == UINT32_MAX);
	/* PAR-13: saturates */
	assert_int_equal(sip_delta_seconds(with("Expires: 10000000000000000000000000000000\r\n"), SIP_H_EXPIRES, &s), 0);
	assert_true(s == UINT32_MAX);
	assert_int_equal(sip_delta_seconds(with("Expires: -1\r\n"), SIP_H_EXPIRES, &s), -EBADMSG);
	assert_int_equal(sip_delta_seconds(with("Expires:\r\n"), SIP_H_EXPIRES, &s), -EBADMSG);
	assert_int_equal(sip_delta_seconds(with("Expires: 6x\r\n"), SIP_H_EXPIRES, &s), -EBADMSG);
	assert_int_equal(sip_delta_seconds(with("Expires: 6 6\r\n"), SIP_H_EXPIRES, &s), -EBADMSG);
	assert_int_equal(sip_delta_seconds(with("Expires: Thu, 01 Dec 1994\r\n"), SIP_H_EXPIRES, &s), -EBADMSG);
	assert_int_equal(sip_retry_after(with(""), &s), -ENOENT);
	assert_int_equal(sip_retry_after(with("Retry-After: 18000;duration=3600\r\n"), &s), 0);
	assert_int_equal(s, 18000);
	assert_int_equal(sip_retry_after(with("Retry-After: 120 (I'm in a meeting)\r\n"), &s), 0);
	assert_int_equal(s, 120);
	assert_int_equal(sip_retry_after(with("Retry-After: 949302838503028349304023988\r\n"), &s), 0);
	assert_true(s == UINT32_MAX);
	assert_int_equal(sip_retry_after(with("Retry-After: (5)\r\n"), &s), -EBADMSG);
	assert_int_equal(sip_retry_after(with("Retry-After: 5,6\r\n"), &s), -EBADMSG);
}

static int setup(void **state)
{
	(void)state;
	arena_pool_init(&pool, 8192, 4);
	a = arena_new(&pool);
	return a ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(a);
	arena_pool_fini(&pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lists),
	    cmocka_unit_test(lines_equal_lists),
	    cmocka_unit_test(auth_is_never_split),
	    cmocka_unit_test(tokens),
	    cmocka_unit_test(addresses),
	    cmocka_unit_test(contacts),
	    cmocka_unit_test(vias),
	    cmocka_unit_test(seconds),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
