/* Whom certificates speak for, on certificates made here (RFC 5922 7.1, 7.2; RFC 5924 4). */
#include "ca.h"

#include "sbc/net/certname.h"

#define URI(s) {GEN_URI, s, 0}
#define DNS(s) {GEN_DNS, s, 0}

/* the names of the certificate s describes, one after the other with commas; "!" when it is condemned */
static const char *names_of(struct cert_spec *s, char text[1024])
{
	struct pair p = make_cert(NULL, s);
	struct certname c;
	int e = certname_read(p.x, &c);
	struct buf b;

	buf_init(&b, text, 1023);
	if (e == -EBADMSG) {
		buf_lit(&b, "!");
	} else {
		assert_int_equal(e, 0);
		for (unsigned i = 0; i < c.n; i++) {
			if (i)
				buf_chr(&b, ',');
			buf_str(&b, c.names[i]);
		}
		certname_free(&c);
	}
	text[b.n] = '\0';
	pair_free(&p);
	return text;
}

#define EXPECT(want, ...) \
	do { \
		struct cert_spec spec = __VA_ARGS__; \
		char text[1024]; \
\
		assert_string_equal(names_of(&spec, text), want); \
	} while (0)

static void hosts_of_sip_uris_without_a_user_are_identities(void **state)
{
	(void)state;
	EXPECT("a.example", {.san = {URI("sip:a.example")}, .n_san = 1});
	EXPECT("a.example,b.example", {.san = {URI("SIP:A.Example"), URI("sip:b.example.")}, .n_san = 2});
	EXPECT("a.example", {.san = {URI("sip:a.example:5061;transport=tls")}, .n_san = 1});
	EXPECT("a.example", {.san = {URI("sip:a.example"), URI("sip:A.EXAMPLE")}, .n_san = 2});
	EXPECT("", {.san = {URI("sip:u@a.example")}, .n_san = 1});
	EXPECT("", {.san = {URI("sip:u:secret@a.example")}, .n_san = 1});
	EXPECT("", {.san = {URI("sips:a.example")}, .n_san = 1});
	EXPECT("", {.san = {URI("https://a.example/")}, .n_san = 1});
	EXPECT("", {.san = {URI("im:a.example")}, .n_san = 1});
	EXPECT("", {.san = {URI("sip:")}, .n_san = 1});
	EXPECT("", {.san = {URI("sip:192.0.2.1")}, .n_san = 1});
	EXPECT("", {.san = {URI("sip:[2001:db8::1]")}, .n_san = 1});
	EXPECT("", {.san = {URI("sip:a example")}, .n_san = 1});
}

static void dns_names_count_only_without_sip_uris(void **state)
{
	(void)state;
	EXPECT("b.example", {.san = {DNS("b.example")}, .n_san = 1});
	EXPECT("a.example", {.san = {DNS("b.example"), URI("sip:a.example")}, .n_san = 2});
	/* the certificate of a user speaks for no domain */
	EXPECT("", {.san = {URI("sip:u@a.example"), DNS("b.example")}, .n_san = 2});
	/* URIs of other schemes are no reason to pass over dNSNames */
	EXPECT("b.example", {.san = {URI("https://a.example"), URI("sips:c.example"), DNS("b.example")}, .n_san = 3});
	EXPECT("*.example.com", {.san = {DNS("*.Example.com")}, .n_san = 1});
	EXPECT("", {.san = {DNS("a..example")}, .n_san = 1});
	EXPECT("", {.san = {DNS("a.*.example")}, .n_san = 1});
	EXPECT("", {.san = {DNS("*")}, .n_san = 1});
	EXPECT("", {.san = {DNS("192.0.2.1")}, .n_san = 1});
}

static void the_common_name_counts_only_without_any_subject_alt_name(void **state)
{
	(void)state;
	EXPECT("a.example", {.cn = "A.example"});
	EXPECT("", {.cn = "a.example", .san = {{GEN_EMAIL, "u@b.example", 0}}, .n_san = 1});
	EXPECT("b.example", {.cn = "a.example", .san = {DNS("b.example")}, .n_san = 1});
	EXPECT("", {.cn = "Some Company"});
	EXPECT("", {.cn = NULL});
}

static void a_name_with_a_nul_condemns_the_certificate(void **state)
{
	(void)state;
	EXPECT("!", {.san = {{GEN_DNS, "a.example\0.evil.example", 23}}, .n_san = 1});
	EXPECT("!", {.san = {{GEN_URI, "sip:a.example\0.evil.example", 27}}, .n_san = 1});
	EXPECT("!", {.san = {DNS("good.example"), {GEN_URI, "https://a\0b", 11}}, .n_san = 2});
	EXPECT("!", {.cn = "a.example\0.evil.example", .cn_n = 23});
}

static void names_are_compared_whole_and_case_blind(void **state)
{
	const struct str names[] = {S("a.example"), S("*.example.com")};

	(void)state;
	assert_true(certname_match(names, 2, S("A.EXAMPLE"), false));
	assert_true(certname_match(names, 2, S("a.example."), false));
	assert_false(certname_match(names, 2, S("sub.a.example"), false));
	assert_false(certname_match(names, 2, S("example"), false));
	assert_false(certname_match(names, 2, S("a.exampl"), false));
	assert_false(certname_match(names, 2, S(""), false));
	/* a wildcard equals itself, and nothing else unless it was asked for */
	assert_true(certname_match(names, 2, S("*.example.com"), false));
	assert_false(certname_match(names, 2, S("sip1.example.com"), false));
	assert_true(certname_match(names, 2, S("sip1.Example.com"), true));
	assert_false(certname_match(names, 2, S("a.sip1.example.com"), true));
	assert_false(certname_match(names, 2, S("example.com"), true));
	assert_false(certname_match(names, 2, S(".example.com"), true));
	assert_false(certname_match(&S("*.com"), 1, S("example.com"), true));
}

static void many_names_are_cut_not_kept(void **state)
{
	char text[70][16];
	struct cert_spec s = {.n_san = 70};
	struct certname c;
	struct pair p;

	(void)state;
	for (unsigned i = 0; i < 70; i++) {
		snprintf(text[i], sizeof(text[i]), "n%u.example", i);
		s.san[i] = (struct san){GEN_DNS, text[i], 0};
	}
	p = make_cert(NULL, &s);
	assert_int_equal(certname_read(p.x, &c), 0);
	assert_int_equal(c.n, CERTNAME_MAX);
	assert_true(c.cut);
	certname_free(&c);
	pair_free(&p);
}

static void addresses_are_found_as_addresses(void **state)
{
	struct cert_spec s = {.san = {{GEN_IPADD, "\xc0\x00\x02\x01", 4},
	                          {GEN_IPADD, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16}},
	    .n_san = 2};
	struct pair p = make_cert(NULL, &s), dns = make_dns(NULL, "a.example");
	struct addr a = at("192.0.2.1:5061"), b = at("192.0.2.2:5061"), c = at("[2001:db8::7]:5061");
	char text[200];
	struct buf say;

	(void)state;
	assert_true(certname_has_ip(p.x, &a));
	assert_false(certname_has_ip(p.x, &b));
	assert_true(certname_has_ip(p.x, &c));
	assert_false(certname_has_ip(dns.x, &a));
	buf_init(&say, text, sizeof(text));
	certname_say(&say, p.x);
	assert_true(str_eq(buf_text(&say), S("192.0.2.1")));
	buf_init(&say, text, sizeof(text));
	certname_say(&say, dns.x);
	assert_true(str_eq(buf_text(&say), S("a.example")));
	pair_free(&p);
	pair_free(&dns);
}

static bool for_sip(const char *eku, const char *ku)
{
	struct cert_spec s = {.cn = "a.example", .eku = eku, .ku = ku};
	struct pair p = make_cert(NULL, &s);
	bool ok = certname_for_sip(p.x, true);

	pair_free(&p);
	return ok;
}

static void extended_key_usage_must_allow_sip(void **state)
{
	(void)state;
	assert_true(for_sip(NULL, NULL));
	assert_true(for_sip("1.3.6.1.5.5.7.3.20", NULL));
	assert_true(for_sip("anyExtendedKeyUsage", NULL));
	assert_true(for_sip("serverAuth", NULL));
	assert_true(for_sip("clientAuth", NULL));
	assert_true(for_sip("emailProtection,1.3.6.1.5.5.7.3.20", NULL));
	assert_false(for_sip("emailProtection", NULL));
	assert_false(for_sip("codeSigning,timeStamping", NULL));
	assert_false(for_sip("1.3.6.1.5.5.7.3.21", NULL));
	assert_true(for_sip("serverAuth", "digitalSignature"));
	assert_false(for_sip("serverAuth", "keyCertSign"));
	assert_false(for_sip(NULL, "dataEncipherment"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hosts_of_sip_uris_without_a_user_are_identities),
	    cmocka_unit_test(dns_names_count_only_without_sip_uris),
	    cmocka_unit_test(the_common_name_counts_only_without_any_subject_alt_name),
	    cmocka_unit_test(a_name_with_a_nul_condemns_the_certificate),
	    cmocka_unit_test(names_are_compared_whole_and_case_blind),
	    cmocka_unit_test(many_names_are_cut_not_kept),
	    cmocka_unit_test(addresses_are_found_as_addresses),
	    cmocka_unit_test(extended_key_usage_must_allow_sip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
