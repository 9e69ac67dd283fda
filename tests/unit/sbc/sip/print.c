/* print.c - what we write: names, numbers, Via (LOOP-05), heads of answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/base/arena.h"
#include "sbc/sip/print.h"

static struct arena_pool pool;
static struct arena *a;
static char space[4096], in[4096];
static struct buf b;

static void fresh(void)
{
	buf_init(&b, space, sizeof(space));
}

static void assert_text(const char *want)
{
	assert_int_equal(buf_err(&b), 0);
	if (!str_eq(buf_text(&b), str_z(want)))
		fail_msg("\"%.*s\" is not \"%s\"", STR(buf_text(&b)), want);
}

static void displays(void **state)
{
	static const struct {
		const char *display, *want;
	} table[] = {
	    {"", "<sip:a@b>"},
	    {"  ", "<sip:a@b>"},
	    {"\"\"", "<sip:a@b>"},
	    {"Bob", "\"Bob\" <sip:a@b>"},
	    {"\"Bob\"", "\"Bob\" <sip:a@b>"},
	    {"\"J\\\"o, \\\\ <x>\"", "\"J\\\"o, \\\\ <x>\" <sip:a@b>"},
	    {"J\"o", "\"J\\\"o\" <sip:a@b>"},
	    {"\"x\" y\"", "\"\\\"x\\\" y\\\"\" <sip:a@b>"},
	    {"\"", "\"\\\"\" <sip:a@b>"},
	    {"a\r\nEvil: b", "\"aEvil: b\" <sip:a@b>"},
	    {"\"a\\\x01z\"", "\"az\" <sip:a@b>"},
	    {"\"trailing\\\"", "\"\\\"trailing\\\\\\\"\" <sip:a@b>"},
	    {"J\xc3\xb6rg", "\"J\xc3\xb6rg\" <sip:a@b>"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sip_addr r;

		fresh();
		sip_put_name_addr(&b, str_z(table[i].display), S("sip:a@b"));
		assert_text(table[i].want);
		assert_int_equal(sip_addr_parse(buf_text(&b), &r), 0);
	}
	fresh();
	sip_put_display(&b, S("Bob"));
	assert_text("\"Bob\" ");
}

static void users(void **state)
{
	(void)state;
	fresh();
	sip_put_user(&b, S("+1555*#;a=b?c@d %\xc3\xb6"));
	assert_text("+1555*%23%3Ba=b%3Fc%40d%20%25%C3%B6");
}

static void number_uris(void **state)
{
	(void)state;
	fresh();
	sip_put_uri_number(&b, SIP_SCHEME_SIP, S("+15550100"), S("sbc.example"), 5070, S("tcp"), true);
	assert_text("sip:+15550100@sbc.example:5070;transport=tcp;user=phone");
	fresh();
	sip_put_uri_number(&b, SIP_SCHEME_SIPS, S("*31#"), S("[2001:db8::1]"), 0, STR_NONE, false);
	assert_text("sips:*31%23@[2001:db8::1]");
	fresh();
	sip_put_uri_number(&b, SIP_SCHEME_SIP, STR_NONE, S("h"), 0, STR_NONE, false);
	assert_text("sip:h");
	fresh();
	sip_put_uri_number(&b, SIP_SCHEME_TEL, S("+15550100"), S("h"), 5060, S("tcp"), true);
	assert_text("tel:+15550100");
	fresh();
	sip_put_uri_number(&b, SIP_SCHEME_TEL, S("0100"), S("example.com"), 0, STR_NONE, false);
	assert_text("tel:0100;phone-context=example.com");
}

/* LOOP-05; RFC 3261 18.2.1, RFC 3581 4 */
static void via_fixed(void **state)
{
	static const struct {
		const char *via, *source, *want; /* want NULL: as it was */
	} table[] = {
	    {"SIP/2.0/UDP 192.0.2.1:5062;branch=z", "192.0.2.1:40000", NULL},
	    {"SIP/2.0/UDP 192.0.2.1;branch=z", "192.0.2.1:5060", NULL},
	    {"SIP/2.0/UDP 10.0.0.1;branch=z", "192.0.2.1:5060", "SIP/2.0/UDP 10.0.0.1;branch=z;received=192.0.2.1"},
	    {"SIP/2.0/UDP pc.example", "192.0.2.1:5060", "SIP/2.0/UDP pc.example;received=192.0.2.1"},
	    {"SIP/2.0/UDP 192.0.2.1;rport;branch=z", "192.0.2.1:40000",
	        "SIP/2.0/UDP 192.0.2.1;rport=40000;branch=z;received=192.0.2.1"},
	    {"SIP/2.0/UDP 10.0.0.1;branch=z; RPORT ;x", "192.0.2.1:40000",
	        "SIP/2.0/UDP 10.0.0.1;branch=z; rport=40000 ;x;received=192.0.2.1"},
	    /* made up by the sender */
	    {"SIP/2.0/UDP 192.0.2.1;received=203.0.113.66;rport=1;branch=z", "192.0.2.1:40000",
	        "SIP/2.0/UDP 192.0.2.1;received=192.0.2.1;rport=40000;branch=z"},
	    {"SIP/2.0/UDP 192.0.2.1;received=\"a;b\"", "192.0.2.1:40000",
	        "SIP/2.0/UDP 192.0.2.1;received=192.0.2.1"},
	    {"SIP/2.0/UDP 192.0.2.1;x=\";rport;\"", "192.0.2.1:40000", NULL},
	    {"SIP/2.0/UDP [2001:DB8:0::1]:5062;branch=z", "[2001:db8::1]:5062", NULL},
	    {"SIP/2.0/UDP [2001:db8::2];rport", "[2001:db8::1]:5062",
	        "SIP/2.0/UDP [2001:db8::2];rport=5062;received=2001:db8::1"},
	    /* IPv4 on a socket of both families */
	    {"SIP/2.0/UDP 192.0.2.1", "[::ffff:192.0.2.1]:5060", NULL},
	    {"SIP/2.0/UDP 10.0.0.1", "[::ffff:192.0.2.1]:5060", "SIP/2.0/UDP 10.0.0.1;received=192.0.2.1"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sip_via via;
		struct addr source;
		bool changed = false;

		assert_int_equal(sip_via_parse(str_z(table[i].via), &via), 0);
		assert_int_equal(addr_parse(str_z(table[i].source), 0, &source), 0);
		fresh();
		sip_put_via_fixed(&b, &via, &source, &changed);
		assert_text(table[i].want ? table[i].want : table[i].via);
		assert_int_equal(changed, table[i].want != NULL);
		fresh();
		sip_put_via_fixed(&b, &via, &source, NULL);
		assert_text(table[i].want ? table[i].want : table[i].via);
	}
	{ /* one that could not be read is echoed */
		struct sip_via via = {.raw = S("what;;ever")};
		struct addr source;
		bool changed = true;

		assert_int_equal(addr_parse(S("192.0.2.1:1"), 0, &source), 0);
		fresh();
		sip_put_via_fixed(&b, &via, &source, &changed);
		assert_text("what;;ever");
		assert_false(changed);
	}
}

static struct sip_msg *parse(const char *text, int want)
{
	struct sip_msg *m;
	struct sip_perr err;
	size_t n = strlen(text);

	arena_reset(a);
	memcpy(in, text, n);
	assert_int_equal(sip_parse(a, in, n, &m, &err), want);
	return m;
}

static const char request[] =
    "INVITE sip:b@h SIP/2.0\r\nTo: <sip:b@h>\r\nv: SIP/2.0/UDP pc;branch=z9hG4bK1 , SIP/2.0/TCP two\r\n"
    "Subject: x\r\nVia: SIP/2.0/SCTP three;x=\"y,z\"\r\nf: \"A\\\"\" <sip:a@h>;tag=f\r\n"
    "i: C@1\r\nCSeq:  007  INVITE\r\nMax-Forwards: 5\r\n\r\n";

static void response_head(void **state)
{
	struct sip_msg *m = parse(request, 0);

	(void)state;
	fresh();
	sip_put_response_head(&b, m, 486, STR_NONE, S("tt"));
	assert_text("SIP/2.0 486 Busy Here\r\n"
	            "Via: SIP/2.0/UDP pc;branch=z9hG4bK1 , SIP/2.0/TCP two\r\n"
	            "Via: SIP/2.0/SCTP three;x=\"y,z\"\r\n"
	            "From: \"A\\\"\" <sip:a@h>;tag=f\r\nTo: <sip:b@h>;tag=tt\r\nCall-ID: C@1\r\nCSeq: 007  INVITE\r\n");
	fresh();
	sip_put_response_head_via(&b, m, S("SIP/2.0/UDP pc;branch=z9hG4bK1;received=192.0.2.1"), 180,
	    S("Ring\r\ning"), STR_NONE);
	assert_text("SIP/2.0 180 Ringing\r\n"
	            "Via: SIP/2.0/UDP pc;branch=z9hG4bK1;received=192.0.2.1 , SIP/2.0/TCP two\r\n"
	            "Via: SIP/2.0/SCTP three;x=\"y,z\"\r\n"
	            "From: \"A\\\"\" <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\nCall-ID: C@1\r\nCSeq: 007  INVITE\r\n");
	/* a tag that is there stays alone */
	m = parse("BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: sip:a@h;tag=f\r\nTo: sip:b@h;tag=own\r\n"
	          "Call-ID: c\r\nCSeq: 1 BYE\r\n\r\n", 0);
	fresh();
	sip_put_response_head(&b, m, 200, STR_NONE, S("tt"));
	sip_put_body(&b, STR_NONE, STR_NONE);
	assert_text("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\nFrom: sip:a@h;tag=f\r\nTo: sip:b@h;tag=own\r\n"
	            "Call-ID: c\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n");
}

/* an answer to what could not be parsed */
static void response_head_of_bad(void **state)
{
	struct sip_msg *m;

	(void)state;
	m = parse("OPTIONS sip:b@h SIP/2.0\r\nCSeq: 1 OPTIONS\r\nVia: SIP/2.0/UDP h;;\r\n\r\n", -EBADMSG);
	fresh();
	sip_put_response_head_via(&b, m, m->via.raw, 400, STR_NONE, S("tt"));
	assert_text("SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP h;;\r\nCSeq: 1 OPTIONS\r\n");
	/* a header with a stray byte is not echoed, so it cannot split the answer */
	m = parse("OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nTo: <sip:b@h>\nX: y\r\nFrom: <sip:a@h>\r\n"
	          "Call-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n", -EBADMSG);
	fresh();
	sip_put_response_head(&b, m, 400, S("control character in a header"), S("tt"));
	assert_text("SIP/2.0 400 control character in a header\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>\r\n"
	            "Call-ID: c\r\nCSeq: 1 OPTIONS\r\n");
	/* the first Via line may hold no value */
	m = parse("OPTIONS sip:b@h SIP/2.0\r\nVia: ,\r\nVia: SIP/2.0/UDP h\r\n\r\n", -EBADMSG);
	fresh();
	sip_put_vias(&b, m, S("NEW"));
	assert_text("Via: ,\r\nVia: NEW\r\n");
}

static void lines_and_body(void **state)
{
	(void)state;
	fresh();
	sip_put_hdr(&b, SIP_H_P_ASSERTED_IDENTITY, S("<tel:+1>"));
	sip_put_body(&b, S("application/sdp"), S("v=0\r\n"));
	assert_text("P-Asserted-Identity: <tel:+1>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n");
}

/* whatever the room: an error, and nothing written behind the end */
static void every_capacity(void **state)
{
	struct sip_msg *m = parse(request, 0);
	struct addr source;
	size_t whole;
	char small[512];

	(void)state;
	assert_int_equal(addr_parse(S("192.0.2.1:40000"), 0, &source), 0);
	fresh();
	sip_put_via_fixed(&b, &m->via, &source, NULL);
	sip_put_response_head(&b, m, 486, STR_NONE, S("tt"));
	sip_put_name_addr(&b, S("x\"y"), S("sip:a@b"));
	whole = b.n;
	assert_true(whole < sizeof(small));
	for (size_t cap = 0; cap <= whole; cap++) {
		memset(small, '#', sizeof(small));
		buf_init(&b, small, cap);
		sip_put_via_fixed(&b, &m->via, &source, NULL);
		sip_put_response_head(&b, m, 486, STR_NONE, S("tt"));
		sip_put_name_addr(&b, S("x\"y"), S("sip:a@b"));
		assert_int_equal(buf_err(&b), cap < whole ? -ENOSPC : 0);
		assert_int_equal(small[cap], '#');
	}
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
	    cmocka_unit_test(displays),
	    cmocka_unit_test(users),
	    cmocka_unit_test(number_uris),
	    cmocka_unit_test(via_fixed),
	    cmocka_unit_test(response_head),
	    cmocka_unit_test(response_head_of_bad),
	    cmocka_unit_test(lines_and_body),
	    cmocka_unit_test(every_capacity),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
