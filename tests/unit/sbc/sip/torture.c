/* torture.c - the messages of RFC 4475 and RFC 5118, each with the verdict the RFC wishes.
 *
 * Where an RFC leaves the choice between refusing and inferring, the table says what we do. What a later layer
 * refuses (method, scheme, option, body type, hops) parses here, and the table holds the fact that layer
 * decides by.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/base/arena.h"
#include "sbc/sip/header.h"

static struct arena_pool pool;
static struct arena *a;

static char *load(const char *path, size_t *ret_n)
{
	char name[256];
	FILE *f;
	long n;
	char *p;

	snprintf(name, sizeof(name), "%s/tests/data/%s.dat", TEST_SOURCE_DIR, path);
	f = fopen(name, "rb");
	if (!f)
		fail_msg("cannot open %s", name);
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	p = malloc((size_t)n);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)n, f), n);
	fclose(f);
	*ret_n = (size_t)n;
	return p;
}

static const struct {
	const char *file;
	enum reason reason; /* REASON_NONE: parses */
	uint16_t status;    /* what is answered; 0: dropped */
} table[] = {
    /* 3.1.1 valid */
    {"rfc4475/wsinv", REASON_NONE, 0},
    {"rfc4475/intmeth", REASON_NONE, 0},
    {"rfc4475/esc01", REASON_NONE, 0},
    {"rfc4475/escnull", REASON_NONE, 0},
    {"rfc4475/esc02", REASON_NONE, 0},
    {"rfc4475/lwsdisp", REASON_NONE, 0},
    {"rfc4475/longreq", REASON_NONE, 0},
    {"rfc4475/dblreq", REASON_NONE, 0},
    {"rfc4475/semiuri", REASON_NONE, 0},
    {"rfc4475/transports", REASON_NONE, 0},
    {"rfc4475/mpart01", REASON_NONE, 0},
    {"rfc4475/unreason", REASON_NONE, 0},
    {"rfc4475/noreason", REASON_NONE, 0},
    /* 3.1.2 invalid */
    {"rfc4475/badinv01", REASON_MALFORMED, 400},
    {"rfc4475/clerr", REASON_BODY_SHORT, 400},
    {"rfc4475/ncl", REASON_BAD_LENGTH, 400},
    {"rfc4475/scalar02", REASON_BAD_NUMBER, 400},
    {"rfc4475/scalarlg", REASON_BAD_NUMBER, 0},
    {"rfc4475/quotbal", REASON_MALFORMED, 400},
    {"rfc4475/ltgtruri", REASON_MALFORMED, 400},
    {"rfc4475/lwsruri", REASON_MALFORMED, 400},
    {"rfc4475/lwsstart", REASON_MALFORMED, 400},
    {"rfc4475/trws", REASON_MALFORMED, 400},
    {"rfc4475/escruri", REASON_MALFORMED, 400},
    {"rfc4475/baddate", REASON_NONE, 0}, /* tolerated: nobody needs Date */
    {"rfc4475/regbadct", REASON_NONE, 0}, /* its Contact is refused by whoever reads it */
    {"rfc4475/badaspec", REASON_MALFORMED, 400},
    {"rfc4475/baddn", REASON_MALFORMED, 400},
    {"rfc4475/badvers", REASON_VERSION, 505},
    {"rfc4475/mismatch01", REASON_CSEQ_METHOD, 400},
    {"rfc4475/mismatch02", REASON_METHOD_UNKNOWN, 501},
    {"rfc4475/bigcode", REASON_BAD_NUMBER, 0},
    /* 3.2 transaction layer */
    {"rfc4475/badbranch", REASON_MALFORMED, 400},
    /* 3.3 application layer */
    {"rfc4475/insuf", REASON_HEADER_MISSING, 400},
    {"rfc4475/unkscm", REASON_NONE, 0},
    {"rfc4475/novelsc", REASON_NONE, 0},
    {"rfc4475/unksm2", REASON_NONE, 0},
    {"rfc4475/bext01", REASON_NONE, 0},
    {"rfc4475/invut", REASON_NONE, 0},
    {"rfc4475/regaut01", REASON_NONE, 0},
    {"rfc4475/multi01", REASON_HEADER_TWICE, 400},
    {"rfc4475/mcl01", REASON_BAD_LENGTH, 400},
    {"rfc4475/bcast", REASON_NONE, 0},
    {"rfc4475/zeromf", REASON_NONE, 0},
    {"rfc4475/cparam01", REASON_NONE, 0},
    {"rfc4475/cparam02", REASON_NONE, 0},
    {"rfc4475/regescrt", REASON_NONE, 0},
    {"rfc4475/sdp01", REASON_NONE, 0},
    /* 3.4 backward compatibility */
    {"rfc4475/inv2543", REASON_NONE, 0},

    {"rfc5118/ipv6-good", REASON_NONE, 0},
    {"rfc5118/ipv6-bad", REASON_MALFORMED, 400},
    {"rfc5118/port-ambiguous", REASON_NONE, 0},
    {"rfc5118/port-unambiguous", REASON_NONE, 0},
    {"rfc5118/via-received-param-with-delim", REASON_NONE, 0},
    {"rfc5118/via-received-param-no-delim", REASON_NONE, 0},
    {"rfc5118/ipv6-in-sdp", REASON_NONE, 0},
    {"rfc5118/mult-ip-in-header", REASON_NONE, 0},
    {"rfc5118/mult-ip-in-sdp", REASON_NONE, 0},
    {"rfc5118/ipv4-mapped-ipv6", REASON_NONE, 0},
    {"rfc5118/ipv6-correct-abnf-2-colons", REASON_NONE, 0},
    {"rfc5118/ipv6-bug-abnf-3-colons", REASON_NONE, 0},
};

static void every_message(void **state)
{
	unsigned wrong = 0;

	(void)state;
	assert_int_equal(ARRAY_LEN(table), 49 + 12);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sip_msg *m = NULL;
		struct sip_perr err;
		size_t n;
		char *p = load(table[i].file, &n);
		int e;

		arena_reset(a);
		e = sip_parse(a, p, n, &m, &err);
		assert_non_null(m);
		if (e != (table[i].reason ? -EBADMSG : 0) || err.reason != table[i].reason ||
		    err.status != table[i].status) {
			print_error("%s: %d %s %u at %zu: %s\n", table[i].file, e,
			    reason_info(err.reason)->name, err.status, err.at, err.why ? err.why : "");
			wrong++;
		}
		free(p);
	}
	assert_int_equal(wrong, 0);
}

static struct sip_msg *parse(const char *file, char **ret_bytes)
{
	struct sip_msg *m;
	struct sip_perr err;
	size_t n;

	*ret_bytes = load(file, &n);
	arena_reset(a);
	if (sip_parse(a, *ret_bytes, n, &m, &err) < 0)
		fail_msg("%s: %s", file, err.why);
	return m;
}

static void assert_str(struct str s, const char *want)
{
	if (!str_eq(s, str_z(want)))
		fail_msg("\"%.*s\" is not \"%s\"", STR(s), want);
}

/* What the valid messages say. */
static void valid_content(void **state)
{
	struct sip_msg *m;
	struct sip_addr addr;
	struct sip_values w;
	struct str v;
	char *p;

	(void)state;
	m = parse("rfc4475/wsinv", &p);
	assert_int_equal(m->n_via, 3);
	assert_str(m->via.host, "192.0.2.2");
	assert_str(m->via.branch, "390skdjuw");
	assert_str(m->from.display, "\"J Rosenberg \\\\\\\"\"");
	assert_str(m->from.tag, "98asjd8");
	assert_str(m->to.tag, "1918181833n");
	assert_int_equal(m->cseq, 9);
	assert_int_equal(m->max_forwards, 68);
	assert_int_equal(m->body.n, 150);
	assert_int_equal(sip_contact(m, &addr), 0);
	assert_str(addr.display, "\"Quoted string \\\"\\\"\"");
	w = sip_values(m, SIP_H_VIA);
	assert_true(sip_values_next(&w, &v) && sip_values_next(&w, &v) && sip_values_next(&w, &v));
	assert_int_equal(sip_via_parse(v, &m->via), 0);
	assert_str(m->via.host, "192.168.255.111");
	assert_str(m->via.branch, "z9hG4bK30239");
	assert_false(sip_values_next(&w, &v));
	free(p);

	m = parse("rfc4475/intmeth", &p);
	assert_int_equal(m->method, SIP_UNKNOWN);
	assert_str(m->method_name, "!interesting-Method0123456789_*+`.%indeed'~");
	assert_str(m->call_id, "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");
	assert_str(m->from.display, "token1~` token2'+_ token3*%!.-");
	assert_str(m->from.tag, "_token~1'+`*%!-.");
	assert_int_equal(m->max_forwards, 255);
	free(p);

	m = parse("rfc4475/esc01", &p);
	assert_str(m->ruri.user, "sips%3Auser%40example.com");
	assert_str(m->ruri.host, "example.net");
	assert_int_equal(sip_contact(m, &addr), 0);
	assert_str(addr.uri.params, "%6C%72;n%61me=v%61lue%25%34%31");
	free(p);

	m = parse("rfc4475/escnull", &p);
	assert_str(m->to.uri.user, "null-%00-null");
	w = sip_values(m, SIP_H_CONTACT);
	assert_true(sip_values_next(&w, &v));
	assert_int_equal(sip_addr_parse(v, &addr), 0);
	assert_str(addr.uri.user, "%00");
	free(p);

	m = parse("rfc4475/esc02", &p);
	assert_int_equal(m->method, SIP_UNKNOWN); /* 501, not REGISTER */
	w = sip_values(m, SIP_H_CONTACT);
	assert_true(sip_values_next(&w, &v) && sip_values_next(&w, &v));
	assert_str(v, "<sip:alias3@host3.example.com>");
	assert_false(sip_values_next(&w, &v));
	free(p);

	m = parse("rfc4475/lwsdisp", &p);
	assert_str(m->from.display, "caller");
	assert_str(m->from.uri.raw, "sip:caller@example.com");
	free(p);

	m = parse("rfc4475/longreq", &p);
	assert_int_equal(m->n_via, 34);
	assert_int_equal(m->body.n, 150);
	free(p);

	m = parse("rfc4475/dblreq", &p);
	assert_int_equal(m->method, SIP_REGISTER);
	assert_int_equal(m->body.n, 0); /* the INVITE behind it is nothing */
	free(p);

	m = parse("rfc4475/semiuri", &p);
	assert_str(m->ruri.user, "user;par=u%40example.net");
	assert_str(m->ruri.host, "example.com");
	free(p);

	m = parse("rfc4475/transports", &p);
	assert_int_equal(m->n_via, 5);
	free(p);

	m = parse("rfc4475/mpart01", &p);
	assert_int_equal(m->body.n, 553);
	free(p);

	m = parse("rfc4475/noreason", &p);
	assert_int_equal(m->status, 100);
	assert_int_equal(m->reason_phrase.n, 0);
	free(p);

	m = parse("rfc4475/unreason", &p);
	assert_int_equal(m->status, 200);
	assert_true(str_prefix(m->reason_phrase, S("= 2**3 * 5**2 ")));
	free(p);

	m = parse("rfc4475/cparam01", &p);
	assert_int_equal(sip_contact(m, &addr), 0);
	assert_str(addr.params, "unknownparam");
	assert_str(addr.uri.params, "");
	free(p);

	m = parse("rfc4475/cparam02", &p);
	assert_int_equal(sip_contact(m, &addr), 0);
	assert_str(addr.params, "");
	assert_str(addr.uri.params, "unknownparam");
	free(p);

	m = parse("rfc4475/regescrt", &p);
	assert_int_equal(sip_contact(m, &addr), 0);
	assert_str(addr.uri.headers, "Route=%3Csip:sip.example.com%3E");
	free(p);
}

/* What a later layer refuses by. */
static void for_later_layers(void **state)
{
	struct sip_msg *m;
	struct sip_addr addr;
	struct str sdp;
	char *p;

	(void)state;
	m = parse("rfc4475/regbadct", &p); /* 400 */
	assert_int_equal(sip_contact(m, &addr), -EBADMSG);
	free(p);
	m = parse("rfc4475/unkscm", &p); /* 416 */
	assert_int_equal(m->ruri.scheme, SIP_SCHEME_OTHER);
	free(p);
	m = parse("rfc4475/novelsc", &p); /* 416 */
	assert_int_equal(m->ruri.scheme, SIP_SCHEME_OTHER);
	free(p);
	m = parse("rfc4475/unksm2", &p); /* tolerated */
	assert_str(m->to.uri.raw, "isbn:2983792873");
	assert_str(m->from.uri.raw, "http://www.example.com");
	free(p);
	m = parse("rfc4475/bext01", &p); /* 420 */
	assert_true(sip_has_token(m, SIP_H_REQUIRE, S("nothingSupportsThisEither")));
	free(p);
	m = parse("rfc4475/invut", &p); /* 415 */
	assert_int_equal(sip_body_sdp(m, &sdp), -ENOTSUP);
	free(p);
	m = parse("rfc4475/regaut01", &p); /* 401 or ignored */
	assert_str(sip_hdr_value(m, SIP_H_AUTHORIZATION), "NoOneKnowsThisScheme opaque-data=here");
	free(p);
	m = parse("rfc4475/zeromf", &p); /* 483 */
	assert_true(m->has_max_forwards && m->max_forwards == 0);
	free(p);
	m = parse("rfc4475/bcast", &p); /* a response with two Vias is not for us: dropped */
	assert_int_equal(m->n_via, 2);
	free(p);
	m = parse("rfc4475/sdp01", &p); /* 406 */
	assert_true(sip_hdr(m, SIP_H_ACCEPT) && !sip_has_token(m, SIP_H_ACCEPT, S("application/sdp")));
	free(p);
	m = parse("rfc4475/inv2543", &p); /* RFC 2543: no tag, no branch */
	assert_true(str_empty(m->from.tag) && str_empty(m->via.branch));
	assert_int_equal(sip_body_sdp(m, &sdp), 0);
	assert_true(str_prefix(sdp, S("v=0\r\n")));
	free(p);
	m = parse("rfc4475/baddate", &p);
	assert_str(sip_hdr_value(m, SIP_H_DATE), "Fri, 01 Jan 2010 16:00:00 EST");
	free(p);
}

static void ipv6_content(void **state)
{
	static const char *const received[] = {"rfc5118/via-received-param-with-delim",
	    "rfc5118/via-received-param-no-delim"};
	struct sip_msg *m;
	struct sip_addr contact;
	struct addr addr;
	char *p, text[ADDR_TEXT_MAX];

	(void)state;
	m = parse("rfc5118/port-ambiguous", &p);
	assert_str(m->ruri.host, "[2001:db8::10:5070]");
	assert_int_equal(m->ruri.port, 0);
	free(p);
	m = parse("rfc5118/port-unambiguous", &p);
	assert_str(m->ruri.host, "[2001:db8::10]");
	assert_int_equal(m->ruri.port, 5070);
	free(p);
	for (size_t i = 0; i < 2; i++) {
		m = parse(received[i], &p);
		assert_int_equal(addr_parse_ip(m->via.received, 5060, &addr), 0);
		assert_string_equal(addr_text(&addr, text), "[2001:db8::9:255]:5060");
		free(p);
	}
	m = parse("rfc5118/mult-ip-in-header", &p);
	assert_int_equal(m->n_via, 3);
	assert_int_equal(m->via.port, 6050);
	free(p);
	m = parse("rfc5118/ipv4-mapped-ipv6", &p);
	assert_int_equal(sip_contact(m, &contact), 0);
	assert_true(sip_uri_addr(&contact.uri, &addr));
	assert_true(addr_is6(&addr));
	assert_int_equal(m->via.port, 19823);
	free(p);
	m = parse("rfc5118/ipv6-bug-abnf-3-colons", &p);
	assert_true(sip_uri_addr(&m->ruri, &addr));
	assert_string_equal(addr_text(&addr, text), "[2001:db8::c000:201]:0");
	free(p);
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
	    cmocka_unit_test(every_message),
	    cmocka_unit_test(valid_content),
	    cmocka_unit_test(for_later_layers),
	    cmocka_unit_test(ipv6_content),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
