/* Bulk contacts and GRUUs: rows GINS-02 to -06, -19, GRUU-01 to -06, GINP-01. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/base/base64.h"
#include "sbc/reg/gin.h"

static struct sip_uri uri(const char *text)
{
	struct sip_uri u;

	assert_int_equal(sip_uri_parse(str_z(text), &u), 0);
	return u;
}

static void gins_04_05_06_what_is_bulk(void **s)
{
	static const struct {
		const char *text;
		enum reason why;
		enum gin_kind kind;
	} want[] = {
	    {"sip:192.0.2.9:5070;transport=tcp;x=1;bnc", REASON_NONE, GIN_BULK},
	    {"sip:[2001:db8::9];BNC", REASON_NONE, GIN_BULK},
	    {"sips:pbx.example;bnc;tk=1", REASON_NONE, GIN_BULK},
	    {"sip:192.0.2.9:5070;transport=tcp", REASON_NONE, GIN_PLAIN},
	    {"sip:+15550100@192.0.2.9;bncx", REASON_NONE, GIN_PLAIN},
	    {"sip:+15550100@192.0.2.9;bnc", REASON_GIN_CONTACT, GIN_PLAIN},
	    {"sip:@192.0.2.9;bnc", REASON_GIN_CONTACT, GIN_PLAIN},
	    {"sip:192.0.2.9;bnc;user=phone", REASON_GIN_CONTACT, GIN_PLAIN},
	    {"sip:192.0.2.9;user=ip;bnc", REASON_GIN_CONTACT, GIN_PLAIN},
	    {"sip:192.0.2.9;bnc=1", REASON_GIN_CONTACT, GIN_PLAIN},
	    {"sip:192.0.2.9;bnc=", REASON_GIN_CONTACT, GIN_PLAIN},
	    {"sip:192.0.2.9;bnc;bnc", REASON_GIN_CONTACT, GIN_PLAIN},
	};

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
		enum gin_kind kind = GIN_PLAIN;
		struct sip_uri u;

		if (sip_uri_parse(str_z(want[i].text), &u) < 0) /* "sip:@…" may be refused before */
			continue;
		if (gin_kind_of(&u, &kind) != want[i].why || kind != want[i].kind)
			fail_msg("%s", want[i].text);
	}
}

static void gins_02_03_contact_of_a_number(void **s)
{
	static const struct {
		const char *bulk, *number, *sg, *want;
	} t[] = {
	    {"sip:192.0.2.9:5070;transport=tcp;x=1;bnc", "+15550102", "", "sip:+15550102@192.0.2.9:5070;transport=tcp;x=1"},
	    {"sip:192.0.2.10:5060;transport=tcp;tk=c41f;bnc", "+15555550101", "",
	        "sip:+15555550101@192.0.2.10:5060;transport=tcp;tk=c41f"},
	    {"sip:h;bnc;a=x%3Bbnc;lr", "+1", "", "sip:+1@h;a=x%3Bbnc;lr"},
	    {"sips:[2001:db8::1]:5061;bnc", "+123456789012345", "", "sips:+123456789012345@[2001:db8::1]:5061"},
	    {"sip:192.0.2.10:5060;transport=tcp;tk=c41f;bnc", "+15555550102", "ph7",
	        "sip:+15555550102@192.0.2.10:5060;transport=tcp;tk=c41f;sg=ph7"},
	    {"sip:h;sg=mine;bnc", "+15555550102", "ph7", "sip:+15555550102@h;sg=ph7"},
	};
	static const char *const bad[] = {"", "+", "15550102", "+1555-0102", "+1555 0102", "+1555010a", "+1234567890123456"};
	struct sip_uri u;
	char text[256];
	char half[256];
	struct buf b, h;

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		u = uri(t[i].bulk);
		buf_init(&b, text, sizeof(text));
		assert_int_equal(gin_expand(&u, str_z(t[i].number), str_z(t[i].sg), &b), 0);
		if (!str_eq(buf_text(&b), str_z(t[i].want)))
			fail_msg("%.*s, expected %s", STR(buf_text(&b)), t[i].want);
		if (t[i].sg[0])
			continue;
		buf_init(&h, half, sizeof(half));
		buf_init(&b, text, sizeof(text));
		assert_int_equal(gin_expand_half(&u, &h), 0);
		assert_int_equal(gin_expand_with(buf_text(&h), str_z(t[i].number), &b), 0);
		if (!str_eq(buf_text(&b), str_z(t[i].want)))
			fail_msg("%.*s in halves, expected %s", STR(buf_text(&b)), t[i].want);
	}
	u = uri("sip:h;bnc");
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		buf_init(&b, text, sizeof(text));
		assert_int_equal(gin_expand(&u, str_z(bad[i]), STR_NONE, &b), -EINVAL);
		assert_int_equal(gin_expand_with(S("sip:@h"), str_z(bad[i]), &b), -EINVAL);
	}
	assert_int_equal(gin_expand_with(STR_NONE, S("+15550102"), &b), -EINVAL);
	buf_init(&b, text, 10);
	assert_int_equal(gin_expand(&u, S("+15550102"), STR_NONE, &b), -ENOSPC);
}

static void ginp_01_our_own(void **s)
{
	enum gin_kind kind;
	char text[128];
	struct sip_uri u;
	struct buf b;

	(void)s;
	buf_init(&b, text, sizeof(text) - 1);
	gin_put_bulk(&b, false, S("192.0.2.10"), 5060, S("tcp"), S("c41f"));
	assert_string_equal(buf_z(&b), "sip:192.0.2.10:5060;transport=tcp;tk=c41f;bnc");
	u = uri(text);
	assert_int_equal(gin_kind_of(&u, &kind), REASON_NONE);
	assert_int_equal(kind, GIN_BULK);
	buf_init(&b, text, sizeof(text) - 1);
	gin_put_bulk(&b, true, S("[2001:db8::1]"), 0, STR_NONE, STR_NONE);
	assert_string_equal(buf_z(&b), "sips:[2001:db8::1];bnc");
}

static void gins_19_bulk_and_plain(void **s)
{
	struct sip_uri bulk = uri("sip:192.0.2.9;bnc"), plain = uri("sip:192.0.2.9"), other = uri("sip:192.0.2.9;bnc;x=1");

	(void)s;
	assert_true(sip_uri_eq(&bulk, &plain)); /* as RFC 3261 compares */
	assert_false(gin_contact_eq(&bulk, &plain));
	assert_false(gin_contact_eq(&plain, &bulk));
	assert_true(gin_contact_eq(&bulk, &other));
	assert_true(gin_contact_eq(&plain, &plain));
}

static void gruu_01_02_public(void **s)
{
	struct sip_uri r = uri("sip:+15555550102@itsp.example.com;gr=urn:uuid:f81d;sg=ph7");
	char text[128];
	struct buf b;

	(void)s;
	buf_init(&b, text, sizeof(text) - 1);
	gin_put_pub_gruu(&b, S("itsp.example.com"), S("<urn:uuid:f81d>"));
	assert_string_equal(buf_z(&b), "sip:itsp.example.com;bnc;gr=urn:uuid:f81d");
	assert_true(str_eq(gin_sg(&r), S("ph7")));
	r = uri("sip:+15555550102@itsp.example.com");
	assert_int_equal(gin_sg(&r).n, 0);
}

static void gruu_03_cookie(void **s)
{
	struct gin_secret a = {{1}}, other = {{2}};
	char one[GIN_COOKIE_TEXT], again[GIN_COOKIE_TEXT], two[GIN_COOKIE_TEXT];
	uint8_t raw[GIN_COOKIE_RAW];
	size_t n;

	(void)s;
	assert_int_equal(gin_cookie(&a, 7, S("c1"), one), 0);
	assert_int_equal(gin_cookie(&a, 7, S("c1"), again), 0);
	assert_int_equal(gin_cookie(&a, 8, S("c1"), two), 0);
	assert_memory_equal(one, again, sizeof(one));
	assert_memory_not_equal(one, two, sizeof(one));
	assert_null(memchr(one, '=', sizeof(one)));
	assert_int_equal(gin_cookie(&other, 7, S("c1"), two), 0);
	assert_memory_not_equal(one, two, sizeof(one));
	assert_int_equal(gin_cookie(&a, 7, S("c2"), two), 0); /* another Call-ID */
	assert_memory_not_equal(one, two, sizeof(one));
	assert_true(base64_get(str_n(one, sizeof(one)), raw, sizeof(raw), &n));
	assert_int_equal(n, GIN_COOKIE_RAW);
	assert_int_equal(gin_cookie_of(raw), 7);
	assert_int_equal(gin_cookie_check(&a, raw, S("c1")), 0);
	assert_int_equal(gin_cookie_check(&a, raw, S("c2")), -EPERM);
	assert_int_equal(gin_cookie_check(&other, raw, S("c1")), -EPERM);
	for (unsigned i = 0; i < sizeof(raw) * 8; i++) { /* not to be forged: any bit */
		raw[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(gin_cookie_check(&a, raw, S("c1")), -EPERM);
		raw[i / 8] ^= (uint8_t)(1u << i % 8);
	}
}

static void gruu_04_05_06_temporary(void **s)
{
	struct gin_secret ssp = {{1}}, pbx = {{3}}, thief = {{4}};
	struct gin_rsa *old, *now, *public, *keys[2];
	char pem[4096], cookie[GIN_COOKIE_TEXT], first[2048], second[2048];
	struct str user;
	struct buf b, c;
	struct rng rng;
	uint8_t raw[GIN_COOKIE_RAW];

	(void)s;
	rng_init_seeded(&rng, 1);
	assert_null(gin_rsa_new(1024));
	old = gin_rsa_new(2048);
	now = gin_rsa_new(2048);
	assert_non_null(old);
	assert_non_null(now);
	/* what the PBX gets has no private half */
	buf_init(&b, pem, sizeof(pem));
	assert_int_equal(gin_rsa_put_pem(old, false, &b), 0);
	public = gin_rsa_from_pem(buf_text(&b));
	assert_non_null(public);
	buf_init(&b, pem, sizeof(pem));
	assert_int_equal(gin_rsa_put_pem(public, true, &b), -EINVAL);

	assert_int_equal(gin_cookie(&ssp, 42, S("c1"), cookie), 0);
	buf_init(&b, first, sizeof(first));
	buf_init(&c, second, sizeof(second));
	assert_int_equal(gin_temp_gruu(public, &pbx, str_n(cookie, sizeof(cookie)), &rng, &b), 0);
	assert_int_equal(gin_temp_gruu(public, &pbx, str_n(cookie, sizeof(cookie)), &rng, &c), 0);
	assert_false(str_eq(buf_text(&b), buf_text(&c)));
	assert_in_range(b.n, 340, 400); /* what a URI parser has to take */

	keys[0] = old;
	assert_int_equal(gin_temp_gruu_open(keys, 1, buf_text(&b), raw), 0);
	assert_int_equal(gin_cookie_of(raw), 42);
	assert_int_equal(gin_cookie_check(&ssp, raw, S("c1")), 0);
	assert_int_equal(gin_temp_gruu_open(keys, 1, buf_text(&c), raw), 0);
	assert_int_equal(gin_cookie_of(raw), 42);
	assert_true(gin_temp_gruu_mine(&pbx, buf_text(&b)));
	assert_false(gin_temp_gruu_mine(&thief, buf_text(&b)));
	/* the key is replaced: the old one works in its grace time, and then no more */
	keys[0] = now;
	keys[1] = old;
	assert_int_equal(gin_temp_gruu_open(keys, 2, buf_text(&b), raw), 0);
	assert_int_equal(gin_temp_gruu_open(keys, 1, buf_text(&b), raw), -EPERM);
	/* tampered with: E, PA, and a cookie of somebody else */
	user = buf_text(&b);
	first[20] = first[20] == 'A' ? 'B' : 'A';
	assert_int_equal(gin_temp_gruu_open(keys, 2, user, raw), -EPERM);
	assert_false(gin_temp_gruu_mine(&pbx, user));
	second[c.n - 1] = second[c.n - 1] == 'A' ? 'Q' : 'A';
	assert_int_equal(gin_temp_gruu_open(keys, 2, buf_text(&c), raw), 0);
	assert_false(gin_temp_gruu_mine(&pbx, buf_text(&c)));
	/* something else */
	assert_false(gin_temp_gruu_is(S("+15550100")));
	assert_true(gin_temp_gruu_is(user));
	assert_int_equal(gin_temp_gruu_open(keys, 2, S("+15550100"), raw), -EPERM);
	assert_int_equal(gin_temp_gruu_open(keys, 2, S("tgruu."), raw), -EPERM);
	assert_int_equal(gin_temp_gruu_open(keys, 2, S("tgruu.A.B"), raw), -EPERM);
	assert_int_equal(gin_temp_gruu_open(keys, 2, S("tgruu.AAAA.BBBB"), raw), -EPERM);
	gin_rsa_free(old);
	gin_rsa_free(now);
	gin_rsa_free(public);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gins_04_05_06_what_is_bulk),
	    cmocka_unit_test(gins_02_03_contact_of_a_number),
	    cmocka_unit_test(ginp_01_our_own),
	    cmocka_unit_test(gins_19_bulk_and_plain),
	    cmocka_unit_test(gruu_01_02_public),
	    cmocka_unit_test(gruu_03_cookie),
	    cmocka_unit_test(gruu_04_05_06_temporary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
