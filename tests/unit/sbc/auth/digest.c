/* Digest arithmetic against the examples of RFC 2617 3.5 and RFC 7616 3.9.1, and the reader of its headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/auth/digest.h"

static void expect(const struct digest_hex *h, const char *want)
{
	if (!str_eq(digest_str(h), str_z(want)))
		fail_msg("%.*s, expected %s", h->n, h->hex, want);
}

static void rfc_2617_example(void **s)
{
	struct digest_in in = {.alg = DIGEST_MD5,
	    .method = S("GET"),
	    .uri = S("/dir/index.html"),
	    .nonce = S("dcd98b7102dd2f0e8b11d0f600bfb0c093"),
	    .qop = DIGEST_QOP_AUTH,
	    .nc = S("00000001"),
	    .cnonce = S("0a4f113b")};
	struct digest_hex r;

	(void)s;
	assert_int_equal(digest_ha1(DIGEST_MD5, S("Mufasa"), S("testrealm@host.com"), S("Circle Of Life"), &in.ha1), 0);
	expect(&in.ha1, "939e7578ed9e3c518a452acee763bce9");
	assert_int_equal(digest_response(&in, &r), 0);
	expect(&r, "6629fae49393a05397450978507c4ef1");
	/* without qop, as RFC 2069 had it: hash of A1, nonce and A2 alone */
	in.qop = DIGEST_QOP_NONE;
	assert_int_equal(digest_response(&in, &r), 0);
	expect(&r, "670fd8c2df070c60b045671b8b24ff02");
}

static void rfc_7616_examples(void **s)
{
	static const struct {
		enum digest_alg alg;
		const char *response;
	} want[] = {{DIGEST_MD5, "8ca523f5e9506fed4657c9700eebdbec"},
	    {DIGEST_SHA256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"}};

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
		struct digest_in in = {.alg = want[i].alg,
		    .method = S("GET"),
		    .uri = S("/dir/index.html"),
		    .nonce = S("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"),
		    .qop = DIGEST_QOP_AUTH,
		    .nc = S("00000001"),
		    .cnonce = S("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")};
		struct digest_hex r;

		assert_int_equal(
		    digest_ha1(in.alg, S("Mufasa"), S("http-auth@example.org"), S("Circle of Life"), &in.ha1), 0);
		assert_int_equal(digest_response(&in, &r), 0);
		expect(&r, want[i].response);
	}
}

/* AUT-14: the body as it is sent, the empty one too */
static void aut_14_integrity(void **s)
{
	struct digest_in in = {.alg = DIGEST_SHA512_256,
	    .method = S("INVITE"),
	    .uri = S("sip:+49@h"),
	    .nonce = S("n"),
	    .qop = DIGEST_QOP_AUTH_INT,
	    .nc = S("00000002"),
	    .cnonce = S("c"),
	    .body = S("v=0\r\n")};
	struct digest_hex r, empty;

	(void)s;
	assert_int_equal(digest_ha1(in.alg, S("u"), S("r"), S("p"), &in.ha1), 0);
	expect(&in.ha1, "d5e8e73ba347b9adf0e47a9ace43b7082abc8d27272e387d1d9ce24425687404");
	assert_int_equal(digest_response(&in, &r), 0);
	expect(&r, "219bf02b96acefcfde3e683f42439b984fd6e3a7eec487eb87105ad917affaed");
	in.body = STR_NONE;
	assert_int_equal(digest_response(&in, &empty), 0);
	expect(&empty, "07e96ae1e12a490bde5d4187320fbc0ae2fab6b2bfdb3fdba7211f307c468598");
}

static void comparison(void **s)
{
	struct digest_hex h;

	(void)s;
	assert_int_equal(digest_ha1(DIGEST_MD5, S("a"), S("b"), S("c"), &h), 0);
	assert_int_equal(h.n, 32);
	assert_true(digest_eq(digest_str(&h), &h));
	h.hex[31] ^= 1;
	assert_false(digest_eq(S("02cc8f08398a4f3113b554e8105ebe4c"), &(struct digest_hex){.n = 0}));
	assert_false(digest_eq(S(""), &h));
	assert_false(digest_eq(S("02cc8f08398a4f3113b554e8105ebe4"), &h));
	assert_int_equal(digest_ha1(DIGEST_SHA256, S("a"), S("b"), S("c"), &h), 0);
	for (unsigned i = 0; i < h.n; i++) {
		char up[64];

		memcpy(up, h.hex, 64);
		up[i] = up[i] >= 'a' ? (char)(up[i] & 0xdf) : up[i];
		assert_true(digest_eq(str_n(up, 64), &h));
		up[i] = up[i] == '0' ? '1' : '0';
		assert_false(digest_eq(str_n(up, 64), &h));
	}
}

static void algorithms(void **s)
{
	enum digest_alg a;

	(void)s;
	assert_int_equal(digest_alg_parse(STR_NONE, &a), 0);
	assert_int_equal(a, DIGEST_MD5);
	assert_int_equal(digest_alg_parse(S("sha-512-256"), &a), 0);
	assert_int_equal(a, DIGEST_SHA512_256);
	assert_int_equal(digest_alg_parse(S("MD5-sess"), &a), -ENOTSUP);
	assert_int_equal(digest_alg_parse(S("SHA-2567"), &a), -ENOTSUP);
}

static void reads_fields(void **s)
{
	struct digest_fields f;

	(void)s;
	assert_int_equal(digest_parse(S("Digest realm=\"a, \\\"b\\\"\",nonce=\"n=1,2\" ,  qop=\"auth,auth-int\", "
	                                ", algorithm=SHA-256, stale=TRUE, new=x, opaque=\"\""),
	                     &f),
	    0);
	assert_true(str_eq(f.realm, S("a, \\\"b\\\"")));
	assert_true(str_eq(f.nonce, S("n=1,2")));
	assert_true(str_eq(f.qop, S("auth,auth-int")));
	assert_true(str_eq(f.algorithm, S("SHA-256")));
	assert_true(str_eq(f.stale, S("TRUE")));
	assert_non_null(f.opaque.p);
	assert_int_equal(f.opaque.n, 0);
	assert_false(f.userhash);
	assert_int_equal(digest_parse(S("digest\tusername=u,nc=00000001 , userhash=true"), &f), 0);
	assert_true(f.userhash);
	assert_true(str_eq(f.nc, S("00000001")));
}

static void refuses_fields(void **s)
{
	static const struct {
		const char *text;
		int err;
	} bad[] = {{"", -ENOTSUP}, {"Basic QWxhZGRpbg==", -ENOTSUP}, {"Digestn realm=\"x\"", -ENOTSUP},
	    {"NoOneKnowsThisScheme opaque=1", -ENOTSUP}, {"Digest", -EBADMSG}, {"Digest=1", -EBADMSG},
	    {"Digest realm", -EBADMSG}, {"Digest realm=", -EBADMSG}, {"Digest realm=\"x", -EBADMSG},
	    {"Digest realm=\"x\\\"", -EBADMSG}, {"Digest realm=\"x\" nonce=\"y\"", -EBADMSG},
	    {"Digest nonce=a\"b", -EBADMSG}, {"Digest realm=\"x\", Realm=\"y\"", -EBADMSG},
	    {"Digest response=\"1\",response=\"2\"", -EBADMSG}, {"Digest =x", -EBADMSG}, {"Digest a;b=c", -EBADMSG}};
	struct digest_fields f;

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		if (digest_parse(str_z(bad[i].text), &f) != bad[i].err)
			fail_msg("%s", bad[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rfc_2617_example),
	    cmocka_unit_test(rfc_7616_examples),
	    cmocka_unit_test(aut_14_integrity),
	    cmocka_unit_test(comparison),
	    cmocka_unit_test(algorithms),
	    cmocka_unit_test(reads_fields),
	    cmocka_unit_test(refuses_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
