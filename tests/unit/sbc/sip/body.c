/* body.c - finding and replacing the session description, alone and in multipart bodies (PAR-25..27). */
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
static char in[16384], out[16384];

#define SDP "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
#define PIDF "<?xml version=\"1.0\"?>\r\n\r\n<presence/>\0\xff\r\n--bx\r\n"

static void assert_str(struct str s, const char *want)
{
	if (!str_eq(s, str_z(want)))
		fail_msg("\"%.*s\" is not \"%s\"", STR(s), want);
}

/* a message with these header lines and this body */
static struct sip_msg *with(const char *lines, const char *body, size_t body_n)
{
	struct sip_msg *m;
	struct sip_perr err;
	struct buf b;

	arena_reset(a);
	buf_init(&b, in, sizeof(in));
	buf_lit(&b, "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\n"
	            "Call-ID: c\r\nCSeq: 1 INVITE\r\n");
	buf_str(&b, str_z(lines));
	buf_fmt(&b, "Content-Length: %zu\r\n\r\n", body_n);
	buf_put(&b, body, body_n);
	assert_int_equal(buf_err(&b), 0);
	if (sip_parse(a, b.p, b.n, &m, &err) < 0)
		fail_msg("%s", err.why);
	return m;
}

#define WITH(lines, body) with(lines, body, sizeof(body) - 1)

static void find(struct sip_msg *m, int want, const char *sdp)
{
	struct str s = S("untouched");
	int e = sip_body_sdp(m, &s);

	if (e != want)
		fail_msg("%d is not %d", e, want);
	assert_str(s, want < 0 ? "untouched" : sdp);
}

static void types(void **state)
{
	struct sip_msg *m = WITH("Content-Type: Application/SDP ; charset=x\r\n", SDP);

	(void)state;
	assert_true(sip_body_is(m, S("application/sdp")));
	assert_false(sip_body_is(m, S("application/sd")));
	assert_false(sip_body_is(WITH("Content-Type: application/sdp\r\n", ""), S("application/sdp")));
	assert_false(sip_body_is(WITH("", SDP), S("application/sdp")));
}

/* PAR-25 */
static void single(void **state)
{
	(void)state;
	find(WITH("", ""), 0, "");
	find(WITH("Content-Type: application/unknown\r\n", ""), 0, "");
	find(WITH("", "\r\n"), 0, "");
	find(WITH("", SDP), -EBADMSG, NULL);
	find(WITH("c: application/sdp\r\n", SDP), 0, SDP);
	find(WITH("c: application/sdp\r\nContent-Disposition: session;handling=required\r\n", SDP), 0, SDP);
	find(WITH("c: application/sdp\r\nContent-Disposition: early-session\r\n", SDP), -ENOTSUP, NULL);
	find(WITH("c: application/sdp\r\nContent-Disposition: early-session;handling=optional\r\n", SDP), 0, "");
	find(WITH("c: application/unknown\r\n", "x"), -ENOTSUP, NULL);
	find(WITH("c: application/unknown\r\nContent-Disposition: render;handling=Optional\r\n", "x"), 0, "");
	find(WITH("c: application/unknown\r\nContent-Disposition: render;handling=required\r\n", "x"), -ENOTSUP, NULL);
	find(WITH("c: application/sdp\r\nContent-Encoding: gzip\r\n", SDP), -ENOTSUP, NULL);
	find(WITH("c: application/sdp\r\ne: gzip\r\nContent-Disposition: session;handling=optional\r\n", SDP), 0, "");
	find(WITH("c: application/sdp\r\ne: identity\r\n", SDP), 0, SDP);
}

#define PART_SDP "--b\r\nContent-Type: application/sdp\r\n\r\n" SDP "\r\n"
#define PART_PIDF "--b\r\nContent-Type: application/pidf+xml\r\nContent-ID: <x@y>\r\n\r\n" PIDF "\r\n"
#define MIXED "Content-Type: multipart/mixed;boundary=b\r\n"

/* PAR-26, -27 */
static void multipart(void **state)
{
	(void)state;
	find(WITH(MIXED, PART_SDP PART_PIDF "--b--\r\n"), 0, SDP);
	find(WITH(MIXED, PART_PIDF PART_SDP "--b--"), 0, SDP);
	find(WITH("c: multipart/related; type=x; BOUNDARY=\"b\"\r\n", "preamble\r\n" PART_PIDF PART_SDP "--b--\r\nepilogue"), 0, SDP);
	find(WITH("c: multipart/alternative;\r\n boundary=b\r\n", PART_SDP "--b \t\r\nContent-Type: application/sdp\r\n\r\nbest\r\n--b--"), 0, "best");
	find(WITH("c: multipart/mixed;boundary=b\r\n", PART_SDP "--b\r\nContent-Type: application/sdp\r\n\r\nsecond\r\n--b--"), 0, SDP);
	/* folded part header, other dispositions, encodings */
	find(WITH(MIXED, "--b\r\nContent-Type:\r\n application/sdp\r\nContent-Disposition: session\r\n\r\nx\r\n--b--"), 0, "x");
	find(WITH(MIXED, "--b\r\nContent-Type: application/sdp\r\nContent-Disposition: icon\r\n\r\nx\r\n" PART_SDP "--b--"), 0, SDP);
	find(WITH(MIXED, "--b\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n" PART_SDP "--b--"), 0, SDP);
	/* nothing we understand */
	find(WITH(MIXED, PART_PIDF "--b--"), -ENOTSUP, NULL);
	find(WITH(MIXED, "--b\r\nContent-Type: a/b\r\nContent-Disposition: render;handling=optional\r\n\r\nx\r\n--b--"), 0, "");
	find(WITH(MIXED, "--b\r\n\r\nplain text\r\n--b--"), -ENOTSUP, NULL);
	find(WITH("c: multipart/signed;boundary=b\r\n", PART_SDP "--b--"), -ENOTSUP, NULL);
	find(WITH("c: multipart/mixed;boundary=b\r\nContent-Disposition: x;handling=optional\r\n", PART_PIDF "--b--"), 0, "");
	/* a part of no bytes */
	find(WITH(MIXED, "--b\r\n--b\r\nContent-Type: application/sdp\r\n\r\nx\r\n--b--"), 0, "x");
}

static void nested(void **state)
{
#define INNER "--b\r\nContent-Type: multipart/alternative;\r\n boundary=\"b2\"\r\n\r\n--b2\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b2\r\nContent-Type: application/sdp\r\n\r\n" SDP "\r\n--b2--\r\n\r\n"
	(void)state;
	find(WITH(MIXED, PART_PIDF INNER "--b--"), 0, SDP);
	/* one level more is not looked into */
	find(WITH(MIXED, "--b\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\nContent-Type: multipart/mixed;boundary=d\r\n\r\n"
	                 "--d\r\nContent-Type: application/sdp\r\n\r\nx\r\n--d--\r\n--c--\r\n--b--"), -ENOTSUP, NULL);
	find(WITH(MIXED, "--b\r\nContent-Type: multipart/mixed\r\n\r\nx\r\n--b--"), -EBADMSG, NULL);
}

static void malformed(void **state)
{
	char many[4096];
	struct buf b;

	(void)state;
	find(WITH("c: multipart/mixed\r\n", PART_SDP "--b--"), -EBADMSG, NULL);
	find(WITH("c: multipart/mixed;boundary=\r\n", PART_SDP "--b--"), -EBADMSG, NULL);
	find(WITH("c: multipart/mixed;boundary=other\r\n", PART_SDP "--b--"), -EBADMSG, NULL);
	find(WITH("c: multipart/mixed;boundary=\"b\\\"\r\n", PART_SDP "--b--"), -EBADMSG, NULL);
	find(WITH("c: multipart/mixed;boundary=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", "x"), -EBADMSG, NULL);
	find(WITH(MIXED, PART_SDP), -EBADMSG, NULL);
	find(WITH(MIXED, "--b--"), -EBADMSG, NULL);
	find(WITH(MIXED, "x--b\r\n\r\nx\r\n--b--"), -EBADMSG, NULL);
	find(WITH(MIXED, "--bb\r\n\r\nx\r\n--bb--"), -EBADMSG, NULL);
	/* PAR-34: parts have a limit */
	for (unsigned n = 32; n <= 33; n++) {
		buf_init(&b, many, sizeof(many));
		for (unsigned i = 1; i < n; i++)
			buf_lit(&b, "--b\r\nContent-Type: a/b\r\n\r\nx\r\n");
		buf_lit(&b, PART_SDP "--b--");
		find(with(MIXED, b.p, b.n), n == 32 ? 0 : -EBADMSG, SDP);
	}
}

static void put(struct sip_msg *m, const char *sdp, const char *want, size_t want_n, const char *type)
{
	struct str t = S("untouched");
	struct buf b;

	buf_init(&b, out, sizeof(out));
	sip_body_put_sdp(m, str_z(sdp), &b, &t);
	assert_int_equal(buf_err(&b), 0);
	if (!str_eq(buf_text(&b), str_n(want, want_n)))
		fail_msg("\"%.*s\" is not \"%.*s\"", STR(buf_text(&b)), (int)want_n, want);
	assert_str(t, type);
}

#define PUT(m, sdp, want, type) put(m, sdp, want, sizeof(want) - 1, type)
#define PART_NEW "--b\r\nContent-Type: application/sdp\r\n\r\nNEW\r\n\r\n"

static void replace(void **state)
{
	(void)state;
	PUT(WITH("", ""), "NEW\r\n", "NEW\r\n", "application/sdp");
	PUT(WITH("", ""), "", "", "");
	PUT(WITH("c: application/sdp\r\n", SDP), "NEW\r\n", "NEW\r\n", "application/sdp");
	PUT(WITH("c: application/sdp\r\n", SDP), "", "", "");
	/* other parts byte for byte */
	PUT(WITH(MIXED, "pre\r\n" PART_SDP PART_PIDF "--b--\r\nepi"), "NEW\r\n",
	    "pre\r\n" PART_NEW PART_PIDF "--b--\r\nepi", "multipart/mixed;boundary=b");
	PUT(WITH(MIXED, PART_PIDF PART_SDP "--b--\r\n"), "NEW\r\n", PART_PIDF PART_NEW "--b--\r\n", "multipart/mixed;boundary=b");
	PUT(WITH(MIXED, PART_PIDF PART_SDP "--b--\r\n"), "", PART_PIDF "--b--\r\n", "multipart/mixed;boundary=b");
	PUT(WITH(MIXED, PART_SDP PART_PIDF "--b--\r\n"), "", PART_PIDF "--b--\r\n", "multipart/mixed;boundary=b");
	PUT(WITH(MIXED, PART_SDP "--b--\r\n"), "", "", "");
	PUT(WITH(MIXED, PART_PIDF "--b--\r\n"), "NEW\r\n", PART_NEW PART_PIDF "--b--\r\n", "multipart/mixed;boundary=b");
	PUT(WITH(MIXED, PART_PIDF "--b--\r\n"), "", PART_PIDF "--b--\r\n", "multipart/mixed;boundary=b");
	/* inside another multipart: its other part stays; an only part takes it along */
	PUT(WITH(MIXED, PART_PIDF INNER "--b--"), "", PART_PIDF
	    "--b\r\nContent-Type: multipart/alternative;\r\n boundary=\"b2\"\r\n\r\n--b2\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b2--\r\n\r\n--b--",
	    "multipart/mixed;boundary=b");
#define INNER_ONLY "--b\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\nContent-Type: application/sdp\r\n\r\nx\r\n--c--\r\n"
	PUT(WITH(MIXED, PART_PIDF INNER_ONLY "--b--"), "", PART_PIDF "--b--", "multipart/mixed;boundary=b");
	PUT(WITH(MIXED, INNER_ONLY "--b--"), "", "", "");
	/* a body that cannot be read is not copied */
	PUT(WITH(MIXED, "junk"), "NEW\r\n", "NEW\r\n", "application/sdp");
}

/* What was put is what is found, whichever body it went into. */
static void put_then_find(void **state)
{
	static const struct {
		const char *lines, *body;
	} bodies[] = {{"c: application/sdp\r\n", SDP}, {MIXED, PART_SDP "--b--"}, {MIXED, INNER "--b--"},
	    {MIXED, "--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct str type, sdp;
		struct sip_msg *m = with(bodies[i].lines, bodies[i].body, strlen(bodies[i].body));
		char line[128], body[4096];
		struct buf b, l;

		buf_init(&b, body, sizeof(body));
		sip_body_put_sdp(m, S("v=0\r\nNEW\r\n"), &b, &type);
		buf_init(&l, line, sizeof(line));
		buf_fmt(&l, "Content-Type: %.*s\r\n", STR(type));
		m = with(buf_z(&l), b.p, b.n);
		assert_int_equal(sip_body_sdp(m, &sdp), 0);
		assert_str(sdp, "v=0\r\nNEW\r\n");
	}
}

static void no_room_and_clash(void **state)
{
	struct sip_msg *m = WITH(MIXED, PART_PIDF PART_SDP "--b--\r\n");
	struct str type;
	struct buf b;

	(void)state;
	buf_init(&b, out, 20);
	sip_body_put_sdp(m, S("NEW\r\n"), &b, &type);
	assert_int_equal(buf_err(&b), -ENOSPC);
	/* a description that holds the boundary would be cut by its reader */
	buf_init(&b, out, sizeof(out));
	sip_body_put_sdp(m, S("v=0\r\n--b\r\n"), &b, &type);
	assert_int_equal(buf_err(&b), -ENOSPC);
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
	    cmocka_unit_test(types),
	    cmocka_unit_test(single),
	    cmocka_unit_test(multipart),
	    cmocka_unit_test(nested),
	    cmocka_unit_test(malformed),
	    cmocka_unit_test(replace),
	    cmocka_unit_test(put_then_find),
	    cmocka_unit_test(no_room_and_clash),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
