/* The server's side: rows AUT-01, -02, -06 to -08, -12, -16 and PWD-02. The client is sbc/auth/answer.c. */
#include "world.h"

#include "sbc/auth/answer.h"
#include "sbc/auth/challenge.h"

#define ALL (AUTH_ALG(DIGEST_MD5) | AUTH_ALG(DIGEST_SHA256) | AUTH_ALG(DIGEST_SHA512_256))

struct fix {
	struct world w;
	struct auth *a;
	struct auth_session s;
	struct auth_credential cred;
	struct addr from;
	const char *password; /* the right one */
	unsigned looked_up;
	bool home;           /* what asks comes by the flow of the account's registration */
};

static bool lookup(void *ctx, struct str user, struct auth_account *ret)
{
	struct fix *f = ctx;

	f->looked_up++;
	if (!str_eq(user, S("trunk42")))
		return false;
	for (int i = 0; i < DIGEST_ALGS; i++)
		assert_int_equal(
		    digest_ha1((enum digest_alg)i, user, S("example.net"), str_z(f->password), &ret->ha1[i]), 0);
	return true;
}

static bool ours(void *ctx, struct str host)
{
	(void)ctx;
	return str_ieq(host, S("example.net"));
}

static void fix_init(struct fix *f, const struct auth_cfg *cfg)
{
	memset(f, 0, sizeof(*f));
	world_init(&f->w);
	f->a = auth_new(&f->w.env, cfg);
	assert_non_null(f->a);
	f->password = "long and secret";
	f->cred = (struct auth_credential){.realm = S("example.net"), .username = S("trunk42"), .password = S("long and secret")};
	assert_int_equal(addr_parse(S("192.0.2.7:5060"), 5060, &f->from), 0);
}

static void fix_fini(struct fix *f)
{
	auth_free(f->a);
	world_fini(&f->w);
}

static const char *challenge(struct fix *f, unsigned algs, bool stale)
{
	char *text = arena_alloc(f->w.arena, 2048);
	struct buf b;

	buf_init(&b, text, 2047);
	auth_challenge(f->a,
	    &(struct auth_ask){.realm = S("example.net"), .source = &f->from, .algs = algs, .stale = stale}, &b);
	return buf_z(&b);
}

/* our client takes the challenge */
static void take(struct fix *f, const char *challenge_lines)
{
	assert_int_equal(auth_take(&f->s, world_401(&f->w, challenge_lines), &f->cred, 1), REASON_NONE);
}

/* lines with credentials for the next request */
static const char *credentials(struct fix *f)
{
	char *text = arena_alloc(f->w.arena, 2048);
	struct buf b;

	buf_init(&b, text, 2047);
	assert_int_equal(
	    auth_put(&f->s, &f->w.rng, S("REGISTER"), S("sip:example.net"), STR_NONE, &b), 0);
	return buf_z(&b);
}

static bool at_home(void *ctx, struct str username)
{
	const struct fix *f = ctx;

	return f->home && str_eq(username, S("trunk42"));
}

static enum auth_verdict judge(struct fix *f, const char *lines)
{
	const struct auth_check c = {.msg = world_register(&f->w, lines),
	    .realm = S("example.net"),
	    .source = &f->from,
	    .algs = ALL,
	    .uri_ok = ours,
	    .lookup = lookup,
	    .at_home = at_home,
	    .ctx = f};
	struct str user;

	return auth_check(f->a, &c, &user);
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void aut_02_strongest_first(void **s)
{
	struct fix f;
	const char *t;

	(void)s;
	fix_init(&f, &(struct auth_cfg){0});
	t = challenge(&f, ALL, false);
	assert_int_equal(count(t, "WWW-Authenticate: Digest realm=\"example.net\", nonce=\""), 3);
	assert_int_equal(count(t, "qop=\"auth\""), 3);
	assert_int_equal(count(t, "algorithm=MD5\r\n"), 1);
	assert_true(strstr(t, "algorithm=SHA-512-256") < strstr(t, "algorithm=SHA-256"));
	assert_true(strstr(t, "algorithm=SHA-256") < strstr(t, "algorithm=MD5"));
	assert_null(strstr(t, "stale"));
	t = challenge(&f, AUTH_ALG(DIGEST_MD5), true);
	assert_int_equal(count(t, "Authenticate"), 1);
	assert_non_null(strstr(t, "stale=true"));
	fix_fini(&f);
}

static void each_algorithm_works(void **s)
{
	struct fix f;

	(void)s;
	for (int i = 0; i < DIGEST_ALGS; i++) {
		fix_init(&f, &(struct auth_cfg){0});
		take(&f, challenge(&f, AUTH_ALG(i), false));
		assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
		/* the next request of the session goes without a challenge: count 2 */
		assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
		fix_fini(&f);
	}
}

static void aut_07_replay_and_age(void **s)
{
	const char *first, *second, *third;
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){.nonce_s = 300});
	take(&f, challenge(&f, ALL, false));
	first = credentials(&f);
	second = credentials(&f);
	third = credentials(&f);
	assert_int_equal(judge(&f, first), AUTH_OK);
	assert_int_equal(judge(&f, first), AUTH_STALE);
	/* UDP may bring them out of order, but each once */
	assert_int_equal(judge(&f, third), AUTH_OK);
	assert_int_equal(judge(&f, second), AUTH_OK);
	assert_int_equal(judge(&f, second), AUTH_STALE);
	f.w.clock.mono_us += 299000000;
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	f.w.clock.mono_us += 2000000;
	assert_int_equal(judge(&f, credentials(&f)), AUTH_STALE);
	assert_int_equal(auth_metric(f.a, AUTH_STALES), 3);
	fix_fini(&f);
}

/* AUT-08: what was issued for one source or realm is worth nothing for another, nor is one of another process */
static void aut_08_bound_nonce(void **s)
{
	const char *lines;
	struct auth *other;
	struct fix f;
	char *bent;

	(void)s;
	fix_init(&f, &(struct auth_cfg){0});
	take(&f, challenge(&f, ALL, false));
	lines = credentials(&f);
	assert_int_equal(addr_parse(S("192.0.2.8:5060"), 5060, &f.from), 0);
	assert_int_equal(judge(&f, lines), AUTH_STALE);
	assert_int_equal(addr_parse(S("192.0.2.7:9999"), 5060, &f.from), 0); /* the port may change: NAT */
	other = f.a;
	f.a = auth_new(&f.w.env, &(struct auth_cfg){0});
	assert_int_equal(judge(&f, lines), AUTH_STALE);
	auth_free(f.a);
	f.a = other;
	/* one bit of the nonce: it is none of ours */
	bent = arena_alloc(f.w.arena, 2048);
	strcpy(bent, lines);
	bent[strstr(bent, "nonce=\"") - bent + 8] ^= 1;
	assert_int_equal(judge(&f, bent), AUTH_STALE);
	assert_int_equal(judge(&f, lines), AUTH_OK);
	fix_fini(&f);
}

/* AUT-08: challenges cost nothing; remembered nonces are bounded, and what was pushed out cannot be replayed */
static void aut_08_bounded_memory(void **s)
{
	const char *lines[5];
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){.seen_max = 4});
	for (int i = 0; i < 100000; i++) {
		char text[1024];
		struct buf b;

		buf_init(&b, text, sizeof(text));
		auth_challenge(f.a,
		    &(struct auth_ask){.realm = S("example.net"), .source = &f.from, .algs = AUTH_ALG(DIGEST_MD5)}, &b);
		assert_int_equal(buf_err(&b), 0);
	}
	for (int i = 0; i < 5; i++) {
		memset(&f.s, 0, sizeof(f.s));
		f.w.clock.mono_us += 1000000;
		take(&f, challenge(&f, AUTH_ALG(DIGEST_MD5), false));
		lines[i] = credentials(&f);
		assert_int_equal(judge(&f, lines[i]), AUTH_OK);
	}
	for (int i = 0; i < 5; i++)
		assert_int_equal(judge(&f, lines[i]), AUTH_STALE);
	fix_fini(&f);
}

/* A source is no stranger for an hour after a right password; only that, and no more of them than there is room for. */
static void sources_that_are_known(void **s)
{
	struct addr other;
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){.guess_max = 3});
	assert_int_equal(addr_parse(S("192.0.2.8:5060"), 5060, &other), 0);
	take(&f, challenge(&f, ALL, false));
	assert_false(auth_knows(f.a, &f.from));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	assert_true(auth_knows(f.a, &f.from));
	addr_set_port(&f.from, 9999);
	assert_true(auth_knows(f.a, &f.from));
	assert_false(auth_knows(f.a, &other));
	f.password = "another";
	f.from = other;
	memset(&f.s, 0, sizeof(f.s));
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_WRONG);
	assert_false(auth_knows(f.a, &other));
	f.w.clock.mono_us += 1800ll * 1000000;
	assert_int_equal(addr_parse(S("192.0.2.7:5060"), 5060, &f.from), 0);
	auth_prove(f.a, &f.from, S("trunk42"));
	f.w.clock.mono_us += 3599ll * 1000000;
	assert_true(auth_knows(f.a, &f.from)); /* from the last time on */
	f.w.clock.mono_us += 2 * 1000000;
	assert_false(auth_knows(f.a, &f.from));
	/* the one that was quiet for the longest makes room */
	for (int i = 1; i <= 4; i++) {
		char text[32];

		snprintf(text, sizeof(text), "198.51.100.%d:5060", i);
		assert_int_equal(addr_parse(str_z(text), 5060, &other), 0);
		auth_prove(f.a, &other, S("trunk42"));
	}
	assert_true(auth_knows(f.a, &other));
	assert_int_equal(addr_parse(S("198.51.100.1:5060"), 5060, &other), 0);
	assert_false(auth_knows(f.a, &other));
	fix_fini(&f);
}

static void aut_06_uri(void **s)
{
	struct fix f;
	char *other;
	const char *lines;

	(void)s;
	fix_init(&f, &(struct auth_cfg){0});
	take(&f, challenge(&f, ALL, false));
	{
		char *text = arena_alloc(f.w.arena, 2048);
		struct buf b;

		/* another URI of a domain that is ours: forwarded requests differ (lenient) */
		buf_init(&b, text, 2047);
		assert_int_equal(auth_put(&f.s, &f.w.rng, S("REGISTER"), S("sip:example.net;transport=tcp"), STR_NONE, &b), 0);
		assert_int_equal(judge(&f, buf_z(&b)), AUTH_OK);
		buf_init(&b, text, 2047);
		assert_int_equal(auth_put(&f.s, &f.w.rng, S("REGISTER"), S("sip:elsewhere.example"), STR_NONE, &b), 0);
		assert_int_equal(judge(&f, buf_z(&b)), AUTH_MALFORMED);
	}
	/* the URI is part of what is hashed */
	lines = credentials(&f);
	other = arena_alloc(f.w.arena, 2048);
	strcpy(other, lines);
	memcpy(strstr(other, "uri=\"sip:example.net"), "uri=\"sip:EXAMPLE.net", 20);
	assert_int_equal(judge(&f, other), AUTH_WRONG);
	fix_fini(&f);
}

static void aut_01_needs_qop(void **s)
{
	struct auth_check c;
	const char *nonce;
	char lines[1024];
	struct digest_in in = {.method = S("REGISTER"), .uri = S("sip:example.net")};
	struct digest_hex r;
	struct str user;
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){0});
	nonce = strstr(challenge(&f, AUTH_ALG(DIGEST_MD5), false), "nonce=\"") + 7;
	in.nonce = str_n(nonce, 32);
	assert_int_equal(digest_ha1(DIGEST_MD5, S("trunk42"), S("example.net"), S("long and secret"), &in.ha1), 0);
	assert_int_equal(digest_response(&in, &r), 0);
	snprintf(lines, sizeof(lines),
	    "Authorization: Digest username=\"trunk42\", realm=\"example.net\", nonce=\"%.32s\", uri=\"sip:example.net\", "
	    "response=\"%.32s\"\r\n",
	    nonce, r.hex);
	assert_int_equal(judge(&f, lines), AUTH_MALFORMED);
	c = (struct auth_check){.msg = world_register(&f.w, lines),
	    .realm = S("example.net"),
	    .source = &f.from,
	    .algs = ALL,
	    .allow_no_qop = true,
	    .lookup = lookup,
	    .ctx = &f};
	assert_int_equal(auth_check(f.a, &c, &user), AUTH_OK);
	assert_int_equal(auth_check(f.a, &c, &user), AUTH_STALE); /* once per nonce */
	fix_fini(&f);
}

static void aut_12_nobody_is_told_which(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){0});
	take(&f, challenge(&f, ALL, false));
	f.password = "changed";
	assert_int_equal(judge(&f, credentials(&f)), AUTH_WRONG);
	f.cred.username = S("nobody");
	assert_int_equal(judge(&f, credentials(&f)), AUTH_WRONG);
	assert_int_equal(f.looked_up, 2);
	fix_fini(&f);
}

static void what_is_not_digest(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){0});
	assert_int_equal(judge(&f, ""), AUTH_ABSENT);
	assert_int_equal(judge(&f, "Authorization: NoOneKnowsThisScheme opaque-data=here\r\n"), AUTH_ABSENT);
	assert_int_equal(judge(&f, "Authorization: Bearer abc\r\n"), AUTH_ABSENT);
	assert_int_equal(judge(&f, "Authorization: Digest username=\"u\", realm=\"other\", nonce=\"n\", uri=\"sip:x\", "
	                           "response=\"0\"\r\n"),
	    AUTH_ABSENT);
	assert_int_equal(judge(&f, "Authorization: Digest username=\"u\", realm=\"example.net\"\r\n"), AUTH_MALFORMED);
	assert_int_equal(judge(&f, "Authorization: Digest username=\"u\", realm=\"example.net\", nonce=\"n\", "
	                           "uri=\"sip:example.net\", response=\"0\", qop=auth, nc=1, cnonce=\"c\"\r\n"),
	    AUTH_MALFORMED);
	fix_fini(&f);
}

/* PWD-02: of a thousand guesses few are looked at, and the trunk itself goes on */
static void pwd_02_guessing(void **s)
{
	struct auth_slowed view;
	struct addr trunk, thief;
	unsigned evaluated;
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){0});
	trunk = f.from;
	assert_int_equal(addr_parse(S("203.0.113.66:5060"), 5060, &thief), 0);
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	f.looked_up = 0;
	f.from = thief;
	f.cred.password = S("guess");
	for (int i = 0; i < 1000; i++) {
		enum auth_verdict v;

		memset(&f.s, 0, sizeof(f.s));
		take(&f, challenge(&f, ALL, false));
		v = judge(&f, credentials(&f));
		assert_true(v == AUTH_WRONG || v == AUTH_SLOWED);
		f.w.clock.mono_us += 100000; /* ten a second */
	}
	evaluated = f.looked_up;
	assert_in_range(evaluated, 5, 19);
	assert_true(auth_slowed(f.a, 0, &view));
	assert_string_equal(view.who, "source 203.0.113.66");
	assert_true(view.until_us > f.w.clock.mono_us);
	assert_false(auth_slowed(f.a, 1, &view));
	/* the right password is not looked at either, from there */
	f.cred.password = S("long and secret");
	memset(&f.s, 0, sizeof(f.s));
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_SLOWED);
	/* the trunk */
	f.from = trunk;
	memset(&f.s, 0, sizeof(f.s));
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	fix_fini(&f);
}

/* PWD-02: one account guessed at from a thousand sources */
static void pwd_02_many_sources(void **s)
{
	struct addr trunk;
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){0});
	trunk = f.from;
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	f.looked_up = 0;
	f.cred.password = S("guess");
	for (int i = 0; i < 1000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "198.51.%d.%d:5060", i / 250, i % 250 + 1);
		assert_int_equal(addr_parse(str_z(text), 5060, &f.from), 0);
		memset(&f.s, 0, sizeof(f.s));
		take(&f, challenge(&f, ALL, false));
		(void)judge(&f, credentials(&f));
		f.w.clock.mono_us += 100000;
	}
	assert_in_range(f.looked_up, 20, 34);
	f.from = trunk;
	f.cred.password = S("long and secret");
	memset(&f.s, 0, sizeof(f.s));
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	fix_fini(&f);
}

/* PWD-02: somebody behind the trunk's own address guesses slowly; forged answers from there do not stop the trunk; and
 * guesses at other names do not push out what is known of it */
/* Somebody who writes a trunk's address into his packets does not see our challenges: a thousand answers made up before
 * the trunk has ever proved itself do not keep it out. */
static void pwd_02_forged_from_the_start(void **s)
{
	const char *forged = "Authorization: Digest username=\"trunk42\", realm=\"example.net\", "
	                     "nonce=\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", uri=\"sip:example.net\", algorithm=MD5, "
	                     "response=\"00000000000000000000000000000000\", qop=auth, nc=00000001, cnonce=\"c\"\r\n";
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){0});
	for (int i = 0; i < 1000; i++)
		assert_int_equal(judge(&f, forged), AUTH_STALE);
	assert_int_equal(f.looked_up, 0);
	assert_int_equal(auth_metric(f.a, AUTH_BAD), 0);
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	fix_fini(&f);
}

static void pwd_02_same_address(void **s)
{
	const char *forged;
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){.guess_max = 16});
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	/* nonces that were never sent there: nothing is looked at, nothing is counted */
	f.looked_up = 0;
	forged = "Authorization: Digest username=\"trunk42\", realm=\"example.net\", "
	         "nonce=\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", uri=\"sip:example.net\", algorithm=MD5, "
	         "response=\"00000000000000000000000000000000\", qop=auth, nc=00000001, cnonce=\"c\"\r\n";
	for (int i = 0; i < 100; i++)
		assert_int_equal(judge(&f, forged), AUTH_STALE);
	assert_int_equal(f.looked_up, 0);
	memset(&f.s, 0, sizeof(f.s));
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	/* a neighbour with real nonces: ten guesses a second for 100 s */
	f.looked_up = 0;
	f.cred.password = S("guess");
	for (int i = 0; i < 1000; i++) {
		memset(&f.s, 0, sizeof(f.s));
		take(&f, challenge(&f, ALL, false));
		(void)judge(&f, credentials(&f));
		f.w.clock.mono_us += 100000;
	}
	assert_in_range(f.looked_up, 10, 24);
	/* meanwhile the trunk itself, by its flow: heard each time, and its neighbour waits on */
	for (int i = 0; i < 8; i++) {
		memset(&f.s, 0, sizeof(f.s));
		take(&f, challenge(&f, ALL, false));
		(void)judge(&f, credentials(&f));
	}
	f.home = true;
	f.cred.password = S("long and secret");
	for (int i = 0; i < 20; i++) {
		struct auth_slowed slow;

		memset(&f.s, 0, sizeof(f.s));
		take(&f, challenge(&f, ALL, false));
		assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
		f.home = false;
		f.cred.password = S("guess");
		memset(&f.s, 0, sizeof(f.s));
		take(&f, challenge(&f, ALL, false));
		assert_int_equal(judge(&f, credentials(&f)), AUTH_WAIT);
		assert_true(auth_slowed(f.a, 0, &slow));
		assert_string_equal(slow.who, "account trunk42 at its own address");
		f.home = true;
		f.cred.password = S("long and secret");
	}
	f.home = false;
	f.w.clock.mono_us += 8000000; /* the longest wait */
	f.cred.password = S("long and secret");
	memset(&f.s, 0, sizeof(f.s));
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	/* more names and sources than are remembered, then the account from many: the trunk's address is known still */
	f.cred.password = S("guess");
	for (int i = 0; i < 200; i++) {
		struct addr own = f.from;
		char text[32], name[16];

		snprintf(text, sizeof(text), "198.51.100.%d:5060", i);
		snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(addr_parse(str_z(text), 5060, &f.from), 0);
		f.cred.username = i < 100 ? str_z(name) : S("trunk42");
		memset(&f.s, 0, sizeof(f.s));
		take(&f, challenge(&f, ALL, false));
		(void)judge(&f, credentials(&f));
		f.from = own;
	}
	f.cred.username = S("trunk42");
	f.cred.password = S("long and secret");
	memset(&f.s, 0, sizeof(f.s));
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	fix_fini(&f);
}

/* who was registered before a restart is not locked out by those who guess at it since */
static void pwd_02_known_from_before(void **s)
{
	struct addr trunk;
	struct fix f;

	(void)s;
	fix_init(&f, &(struct auth_cfg){0});
	trunk = f.from;
	auth_prove(f.a, &trunk, S("trunk42"));
	f.cred.password = S("guess");
	for (int i = 0; i < 100; i++) {
		char text[32];

		snprintf(text, sizeof(text), "198.51.100.%d:5060", i);
		assert_int_equal(addr_parse(str_z(text), 5060, &f.from), 0);
		memset(&f.s, 0, sizeof(f.s));
		take(&f, challenge(&f, ALL, false));
		(void)judge(&f, credentials(&f));
	}
	f.cred.password = S("long and secret");
	memset(&f.s, 0, sizeof(f.s));
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_SLOWED);
	f.from = trunk;
	memset(&f.s, 0, sizeof(f.s));
	take(&f, challenge(&f, ALL, false));
	assert_int_equal(judge(&f, credentials(&f)), AUTH_OK);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(aut_02_strongest_first),
	    cmocka_unit_test(each_algorithm_works),
	    cmocka_unit_test(aut_07_replay_and_age),
	    cmocka_unit_test(aut_08_bound_nonce),
	    cmocka_unit_test(aut_08_bounded_memory),
	    cmocka_unit_test(sources_that_are_known),
	    cmocka_unit_test(aut_06_uri),
	    cmocka_unit_test(aut_01_needs_qop),
	    cmocka_unit_test(aut_12_nobody_is_told_which),
	    cmocka_unit_test(what_is_not_digest),
	    cmocka_unit_test(pwd_02_guessing),
	    cmocka_unit_test(pwd_02_many_sources),
	    cmocka_unit_test(pwd_02_forged_from_the_start),
	    cmocka_unit_test(pwd_02_same_address),
	    cmocka_unit_test(pwd_02_known_from_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
