/* The client's side: rows AUT-03, -04, -05, -14, RGC-05. */
#include "world.h"

#include "sbc/auth/answer.h"

static const struct auth_credential creds[] = {
    {.realm = S("itsp.example"), .username = S("trunk42"), .password = S("secret secret")},
    {.realm = S("proxy.example"), .username = S("p\"42"), .password = S("other")},
};

static const char *put(struct world *w, struct auth_session *s, const char *body)
{
	char *text = arena_alloc(w->arena, 4096);
	struct buf b;

	buf_init(&b, text, 4095);
	assert_int_equal(auth_put(s, &w->rng, S("REGISTER"), S("sip:itsp.example"), str_z(body), &b), 0);
	return buf_z(&b);
}

static enum reason take(struct world *w, struct auth_session *s, const char *lines)
{
	return auth_take(s, world_401(w, lines), creds, ARRAY_LEN(creds));
}

static void aut_03_topmost_that_we_can(void **s)
{
	struct auth_session ses = {.n = 0};
	struct world w;
	const char *t;

	(void)s;
	world_init(&w);
	assert_int_equal(take(&w, &ses,
	                     "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"a\", algorithm=FOO, qop=\"auth\"\r\n"
	                     "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"b\", algorithm=SHA-256, qop=\"auth\"\r\n"
	                     "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"c\", algorithm=MD5, qop=\"auth\"\r\n"),
	    REASON_NONE);
	t = put(&w, &ses, "");
	assert_non_null(strstr(t, "nonce=\"b\""));
	assert_non_null(strstr(t, "algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\""));
	assert_null(strstr(strstr(t, "Digest") + 1, "Digest"));
	assert_non_null(strstr(put(&w, &ses, ""), "nc=00000002"));
	memset(&ses, 0, sizeof(ses));
	assert_int_equal(
	    take(&w, &ses, "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"a\", algorithm=FOO\r\n"),
	    REASON_AUTH_SCHEME);
	assert_int_equal(ses.n, 0);
	world_fini(&w);
}

static void aut_03_each_realm(void **s)
{
	struct auth_session ses = {.n = 0};
	struct world w;
	const char *t;

	(void)s;
	world_init(&w);
	assert_int_equal(take(&w, &ses,
	                     "Proxy-Authenticate: Digest realm=\"proxy.example\", nonce=\"p\", opaque=\"o p\"\r\n"
	                     "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"w\", qop=\"auth-int\"\r\n"),
	    REASON_NONE);
	t = put(&w, &ses, "v=0");
	assert_non_null(strstr(t, "Proxy-Authorization: Digest username=\"p\\\"42\", realm=\"proxy.example\", nonce=\"p\""));
	assert_non_null(strstr(t, "opaque=\"o p\""));
	assert_non_null(strstr(t, "Authorization: Digest username=\"trunk42\", realm=\"itsp.example\""));
	assert_non_null(strstr(t, "qop=auth-int"));
	world_fini(&w);
}

static void aut_04_foreign_realm(void **s)
{
	struct auth_session ses = {.n = 0};
	struct world w;

	(void)s;
	world_init(&w);
	assert_int_equal(take(&w, &ses, "WWW-Authenticate: Digest realm=\"thief.example\", nonce=\"b\"\r\n"),
	    REASON_AUTH_REALM);
	assert_int_equal(ses.n, 0);
	assert_string_equal(put(&w, &ses, ""), "");
	/* also when another one could be answered: the request would fail anyway, and the answer be given away */
	assert_int_equal(take(&w, &ses,
	                     "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"a\"\r\n"
	                     "Proxy-Authenticate: Digest realm=\"thief.example\", nonce=\"b\"\r\n"),
	    REASON_AUTH_REALM);
	world_fini(&w);
}

static void aut_05_basic(void **s)
{
	struct auth_session ses = {.n = 0};
	struct world w;

	(void)s;
	world_init(&w);
	assert_int_equal(take(&w, &ses, "WWW-Authenticate: Basic realm=\"itsp.example\"\r\n"), REASON_AUTH_SCHEME);
	assert_int_equal(take(&w, &ses, ""), REASON_MALFORMED);
	assert_int_equal(take(&w, &ses, "WWW-Authenticate: Digest realm=\"itsp.example\"\r\n"), REASON_MALFORMED);
	assert_int_equal(ses.n, 0);
	world_fini(&w);
}

/* Which qop is taken: by what is offered and by how much integrity the trunk wants. */
static void aut_14_how_much_integrity(void **s)
{
	static const struct {
		enum auth_int want;
		const char *offered, *taken; /* taken NULL: not answered */
	} cases[] = {
	    {AUTH_INT_OFF, ", qop=\"auth,auth-int\"", "qop=auth,"},
	    {AUTH_INT_OFF, ", qop=\"auth-int\"", "qop=auth-int,"},
	    {AUTH_INT_OFF, "", ""},
	    {AUTH_INT_OFF, ", qop=\"other\"", NULL},
	    {AUTH_INT_PREFER, ", qop=\"auth, auth-int\"", "qop=auth-int,"},
	    {AUTH_INT_PREFER, ", qop=\"auth\"", "qop=auth,"},
	    {AUTH_INT_PREFER, "", ""},
	    {AUTH_INT_REQUIRE, ", qop=\"auth,auth-int\"", "qop=auth-int,"},
	    {AUTH_INT_REQUIRE, ", qop=\"auth\"", NULL},
	    {AUTH_INT_REQUIRE, "", NULL},
	};
	char line[256];

	(void)s;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct auth_credential c = {.realm = S("itsp.example"), .username = S("u"), .password = S("p"), .integrity = cases[i].want};
		struct auth_session ses = {.n = 0};
		const char *t;
		struct world w;

		world_init(&w);
		snprintf(line, sizeof(line), "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"n\"%s\r\n", cases[i].offered);
		assert_int_equal(auth_take(&ses, world_401(&w, line), &c, 1), cases[i].taken ? REASON_NONE : REASON_AUTH_SCHEME);
		t = put(&w, &ses, "v=0\r\n");
		if (cases[i].taken && cases[i].taken[0])
			assert_non_null(strstr(t, cases[i].taken));
		else
			assert_null(strstr(t, "qop"));
		assert_int_equal(ses.n, cases[i].taken ? 1 : 0);
		world_fini(&w);
	}
}

static void rgc_05_rejected(void **s)
{
	const char *line = "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"n1\", qop=\"auth\"\r\n";
	struct auth_session ses = {.n = 0};
	struct world w;

	(void)s;
	world_init(&w);
	assert_int_equal(take(&w, &ses, line), REASON_NONE);
	assert_int_equal(take(&w, &ses, line), REASON_NONE); /* not answered yet: a copy of the 401 */
	(void)put(&w, &ses, "");
	assert_int_equal(take(&w, &ses, line), REASON_AUTH_REJECTED);
	/* stale, or a new nonce: one more round */
	assert_int_equal(
	    take(&w, &ses, "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"n1\", stale=true\r\n"), REASON_NONE);
	(void)put(&w, &ses, "");
	assert_int_equal(
	    take(&w, &ses, "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"n2\", qop=\"auth\"\r\n"), REASON_NONE);
	assert_non_null(strstr(put(&w, &ses, ""), "nc=00000001"));
	assert_int_equal(ses.n, 1);
	world_fini(&w);
}

/* one request: a 401 and a 407 may come once each, and once more for an old nonce only */
static void rgc_05_one_request(void **s)
{
	static const struct {
		uint16_t status;
		const char *more;
		bool new_request;
		enum reason want;
	} cases[] = {
	    {401, "", false, REASON_NONE},
	    {407, "", false, REASON_NONE},
	    {401, ", stale=true", false, REASON_NONE},
	    {407, "", false, REASON_AUTH_REJECTED}, /* another nonce, the same password */
	    {401, ", stale=true", false, REASON_AUTH_REJECTED},
	    {401, "", true, REASON_NONE},
	    {401, "", false, REASON_AUTH_REJECTED},
	    {401, "", true, REASON_NONE},
	    {407, ", stale=true", false, REASON_NONE},
	};
	struct auth_session ses = {.n = 0};
	uint8_t asked[2] = {0, 0};
	struct world w;

	(void)s;
	world_init(&w);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		bool proxy = cases[i].status == 407;
		char line[200];

		snprintf(line, sizeof(line), "%s-Authenticate: Digest realm=\"itsp.example\", nonce=\"n%u\", qop=\"auth\"%s\r\n",
		    proxy ? "Proxy" : "WWW", i, cases[i].more);
		if (cases[i].new_request)
			asked[0] = asked[1] = 0;
		assert_int_equal(auth_again(&ses, asked,
		                     world_msg(&w, proxy ? "SIP/2.0 407 Proxy" : "SIP/2.0 401 Unauthorized", "1 REGISTER", line), creds,
		                     ARRAY_LEN(creds)),
		    cases[i].want);
	}
	world_fini(&w);
}

static void hashes_instead_of_a_password(void **s)
{
	struct auth_credential c = {.realm = S("itsp.example"), .username = S("trunk42")};
	struct auth_session ses = {.n = 0};
	struct digest_fields f;
	struct digest_in in = {.alg = DIGEST_MD5, .method = S("REGISTER"), .uri = S("sip:itsp.example"), .nonce = S("n"), .qop = DIGEST_QOP_AUTH};
	struct digest_hex want;
	const char *t;
	struct world w;

	(void)s;
	world_init(&w);
	assert_int_equal(digest_ha1(DIGEST_MD5, c.username, c.realm, S("secret secret"), &c.ha1[DIGEST_MD5]), 0);
	/* only an MD5 hash is stored: SHA-256 cannot be answered, MD5 can */
	assert_int_equal(auth_take(&ses,
	                     world_401(&w,
	                         "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"\r\n"
	                         "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\r\n"),
	                     &c, 1),
	    REASON_NONE);
	t = put(&w, &ses, "");
	assert_int_equal(digest_parse(str_trim(str_z(strstr(t, "Digest"))), &f), 0);
	in.ha1 = c.ha1[DIGEST_MD5];
	in.nc = f.nc;
	in.cnonce = f.cnonce;
	assert_int_equal(digest_response(&in, &want), 0);
	assert_true(digest_eq(f.response, &want));
	world_fini(&w);
}

static void next_nonce(void **s)
{
	struct auth_session ses = {.n = 0};
	struct world w;
	const char *t;

	(void)s;
	world_init(&w);
	assert_int_equal(take(&w, &ses, "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"n1\", qop=\"auth\"\r\n"),
	    REASON_NONE);
	(void)put(&w, &ses, "");
	auth_info(&ses, world_msg(&w, "SIP/2.0 200 OK", "2 REGISTER", "Authentication-Info: qop=auth, nextnonce=\"n2\"\r\n"));
	t = put(&w, &ses, "");
	assert_non_null(strstr(t, "nonce=\"n2\""));
	assert_non_null(strstr(t, "nc=00000001"));
	world_fini(&w);
}

/* what a peer writes between quotes cannot break out of our header */
static void hostile_challenges(void **s)
{
	struct auth_session ses = {.n = 0};
	char line[2048], many[8192];
	struct world w;
	size_t n = 0;

	(void)s;
	world_init(&w);
	snprintf(line, sizeof(line), "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"%0600d\"\r\n", 1);
	assert_int_equal(take(&w, &ses, line), REASON_MALFORMED);
	snprintf(line, sizeof(line), "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"a\tb\"\r\n");
	assert_int_equal(take(&w, &ses, line), REASON_MALFORMED);
	snprintf(line, sizeof(line), "WWW-Authenticate: Digest realm=\"itsp.example\", nonce=\"a\\\"b\"\r\n");
	assert_int_equal(take(&w, &ses, line), REASON_NONE);
	assert_non_null(strstr(put(&w, &ses, ""), "nonce=\"a\\\"b\", uri="));
	/* more realms than one session holds */
	for (int i = 0; i < 40; i++)
		n += (size_t)snprintf(many + n, sizeof(many) - n, "WWW-Authenticate: Digest realm=\"r%d\", nonce=\"n\"\r\n", i);
	{
		struct auth_credential any = {.username = S("u"), .password = S("p")};
		struct auth_session big = {.n = 0};

		assert_int_equal(auth_take(&big, world_401(&w, many), &any, 1), REASON_NONE);
		assert_int_equal(big.n, AUTH_REALMS_MAX);
	}
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(aut_03_topmost_that_we_can),
	    cmocka_unit_test(aut_03_each_realm),
	    cmocka_unit_test(aut_04_foreign_realm),
	    cmocka_unit_test(aut_05_basic),
	    cmocka_unit_test(aut_14_how_much_integrity),
	    cmocka_unit_test(rgc_05_rejected),
	    cmocka_unit_test(rgc_05_one_request),
	    cmocka_unit_test(hashes_instead_of_a_password),
	    cmocka_unit_test(next_nonce),
	    cmocka_unit_test(hostile_challenges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
