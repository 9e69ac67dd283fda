/* Which streams are encrypted: modes of both sides, offers and answers of every kind, keys that stay and change, refusals.
 * Over the fake relay, whose programs say what would be opened and sealed. */
#include "world.h"

#include "media/sdes.h"

#define HA "192.0.2.11"
#define HB "192.0.2.21"
#define K1 "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
#define K2 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
#define L1 "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" K1 "\r\n"
#define L2 "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" K2 "\r\n"
#define G3 "a=crypto:3 AEAD_AES_256_GCM inline:" K1 "WVNfX19zZW1jdGwgKCk\r\n"
#define BAD "a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:" K1 " UNENCRYPTED_SRTP\r\n"
#define AVP "m=audio 4000 RTP/AVP 8\r\n"
#define SAVP "m=audio 4000 RTP/SAVP 8\r\n"

static void start_with(struct world *w, enum media_srtp a, enum media_srtp b)
{
	world_init(w);
	w->side[A].srtp = (struct media_srtp_cfg){.mode = a, .private = true};
	w->side[B].srtp = (struct media_srtp_cfg){.mode = b, .private = true};
	world_open(w);
}

/* the key in line `nth` (from 0) of what we told a side */
static struct sdes_line told(const struct world *w, enum media_side s, unsigned nth)
{
	const char *p = w->text[s];
	struct sdes_line l;
	const char *end;

	for (p = strstr(p, "a=crypto:"); p && nth; nth--)
		p = strstr(p + 1, "a=crypto:");
	assert_non_null(p);
	end = strchr(p, '\r');
	assert_null(sdes_parse(str_n(p + 9, (size_t)(end - p - 9)), &l));
	return l;
}

static struct crypt_key key_in(const char *line)
{
	struct sdes_line l;

	assert_null(sdes_parse(str_n(line + 9, strlen(line) - 11), &l));
	return l.key;
}

static void assert_key(const struct crypt_key *a, const struct crypt_key *b)
{
	struct crypt_key x = *a, y = *b;

	x.roc = y.roc = 0;
	assert_memory_equal(&x, &y, sizeof(x));
}

/* packets from s are opened with theirs and, on the other side, sealed with ours */
static void opens(struct world *w, enum media_side s, const char *their_line, const struct sdes_line *ours)
{
	const struct relay_program *in = program(w, s, 0), *out = program(w, media_other(s), 0);
	struct crypt_key none = {0}, k = their_line ? key_in(their_line) : none;

	assert_non_null(in);
	assert_non_null(out);
	assert_key(&in->open, &k);
	assert_key(&out->seal, ours ? &ours->key : &none);
}

/* SRT-01: each side by its own mode, whatever the other one has */
static void test_modes(void **state)
{
	(void)state;
	for (unsigned a = 0; a < 2; a++)
		for (unsigned b = 0; b < 3; b++) {
			struct sdes_line to_a, to_b;
			struct world w;

			start_with(&w, MEDIA_SRTP_REQUIRED, (enum media_srtp)b);
			if (a == 0)
				w.side[A].srtp.mode = MEDIA_SRTP_OFF;
			world_open(&w);
			assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, a ? "m=audio 4000 RTP/SAVP 8\r\n" G3 L1 : AVP)),
			    REASON_NONE);
			assert_int_equal(local(&w, B, true), REASON_NONE);
			assert_line(w.text[B], b == MEDIA_SRTP_REQUIRED ? "m=audio 20002 RTP/SAVP 8" : "m=audio 20002 RTP/AVP 8");
			assert_int_equal(lines(w.text[B], "a=crypto:"), b == MEDIA_SRTP_OFF ? 0 : 6);
			assert_null(strstr(w.text[B], K1));
			if (b) {
				char answer[300];

				to_b = told(&w, B, 2);
				assert_int_equal(to_b.tag, 3);
				assert_int_equal(to_b.key.suite, CRYPT_GCM256);
				snprintf(answer, sizeof(answer), "m=audio 6000 %s 8\r\n" G3, b == 2 ? "RTP/SAVP" : "RTP/AVP");
				assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, answer)), REASON_NONE);
			} else {
				assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, "m=audio 6000 RTP/AVP 8\r\n")), REASON_NONE);
			}
			assert_int_equal(local(&w, A, false), REASON_NONE);
			assert_line(w.text[A], a ? "m=audio 20000 RTP/SAVP 8" : "m=audio 20000 RTP/AVP 8");
			assert_int_equal(lines(w.text[A], "a=crypto:"), a);
			media_commit(w.mc);
			if (a) {
				to_a = told(&w, A, 0);
				assert_int_equal(to_a.tag, 3); /* the first of the offer */
				assert_memory_not_equal(to_a.key.key, key_in(G3).key, 30);
			}
			opens(&w, A, a ? G3 : NULL, a ? &to_a : NULL);
			opens(&w, B, b ? G3 : NULL, b ? &to_b : NULL);
			world_fini(&w);
		}
}

/* RFC 8643: offered beside clear, three outcomes */
static void test_opportunistic(void **state)
{
	static const struct {
		const char *answer;
		enum reason reason;
		bool secure;
	} outcome[] = {
	    {"m=audio 6000 RTP/AVP 8\r\n" L1, REASON_NONE, true},
	    {"m=audio 6000 RTP/AVP 8\r\n", REASON_NONE, false},
	    {"m=audio 6000 RTP/AVP 8\r\n" BAD, REASON_SRTP_ANSWER, false},
	    {"m=audio 6000 RTP/SAVP 8\r\n" L1, REASON_SRTP_ANSWER, false},
	};
	struct sdes_line ours;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(outcome); i++) {
		struct world w;

		start_with(&w, MEDIA_SRTP_OFF, MEDIA_SRTP_PREFERRED);
		assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AVP)), REASON_NONE);
		assert_int_equal(local(&w, B, true), REASON_NONE);
		ours = told(&w, B, 0);
		assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, outcome[i].answer)), outcome[i].reason);
		if (!outcome[i].reason)
			opens(&w, B, outcome[i].secure ? L1 : NULL, outcome[i].secure ? &ours : NULL);
		world_fini(&w);
	}
	/* and as the one who is offered it */
	for (unsigned mode = 0; mode < 3; mode++) {
		struct world w;

		start_with(&w, (enum media_srtp)mode, MEDIA_SRTP_OFF);
		exchange(&w, A, SDP(HA, AVP L1), SDP(HB, "m=audio 6000 RTP/AVP 8\r\n"));
		assert_line(w.text[A], "m=audio 20000 RTP/AVP 8");
		assert_int_equal(lines(w.text[A], "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"), mode != MEDIA_SRTP_OFF);
		if (mode)
			ours = told(&w, A, 0);
		opens(&w, A, mode ? L1 : NULL, mode ? &ours : NULL);
		world_fini(&w);
	}
}

/* fail closed: each refusal by its name */
static void test_refusals(void **state)
{
	static const struct {
		enum media_srtp mode;
		bool private;
		const char *offer;
		enum reason reason;
	} t[] = {
	    {MEDIA_SRTP_OFF, true, SAVP L1, REASON_SRTP_OFF},
	    {MEDIA_SRTP_REQUIRED, true, AVP, REASON_SRTP_NEEDED},
	    {MEDIA_SRTP_REQUIRED, true, AVP BAD, REASON_SRTP_NO_LINE},
	    {MEDIA_SRTP_REQUIRED, true, SAVP, REASON_SRTP_NO_LINE},
	    {MEDIA_SRTP_PREFERRED, true, SAVP BAD, REASON_SRTP_NO_LINE},
	    {MEDIA_SRTP_PREFERRED, true, AVP BAD, REASON_NONE}, /* in clear, as it may */
	    {MEDIA_SRTP_REQUIRED, false, SAVP L1, REASON_SRTP_IN_CLEAR},
	    {MEDIA_SRTP_REQUIRED, false, AVP L1, REASON_SRTP_IN_CLEAR},
	    {MEDIA_SRTP_PREFERRED, false, SAVP L1, REASON_SRTP_IN_CLEAR},
	    {MEDIA_SRTP_PREFERRED, false, AVP L1, REASON_NONE},
	    {MEDIA_SRTP_REQUIRED, true, "m=audio 4000 UDP/TLS/RTP/SAVPF 8\r\na=fingerprint:SHA-1 00\r\n", REASON_SRTP_DTLS},
	    {MEDIA_SRTP_REQUIRED, true, SAVP BAD L1, REASON_NONE},
	    {MEDIA_SRTP_REQUIRED, true, "m=audio 4000 RTP/SAVP 3\r\n" L1, REASON_NO_COMMON_CODEC},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct world w;

		start_with(&w, t[i].mode, MEDIA_SRTP_OFF);
		w.side[A].srtp.private = t[i].private;
		w.side[A].codecs = S("PCMA");
		world_open(&w);
		assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, t[i].offer)), t[i].reason);
		world_fini(&w);
	}
	/* keys are not sent in clear, and nothing else is sent instead */
	for (unsigned mode = 1; mode < 3; mode++) {
		struct world w;

		start_with(&w, MEDIA_SRTP_OFF, (enum media_srtp)mode);
		w.side[B].srtp.private = false;
		world_open(&w);
		assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AVP)), REASON_NONE);
		assert_int_equal(local(&w, B, true), mode == MEDIA_SRTP_REQUIRED ? REASON_SRTP_IN_CLEAR : REASON_NONE);
		assert_null(strstr(w.text[B], "crypto"));
		world_fini(&w);
	}
}

/* SRT-02: an answer takes exactly one line of ours */
static void test_answers(void **state)
{
	static const char *const bad[] = {
	    "m=audio 6000 RTP/SAVP 8\r\n",
	    "m=audio 6000 RTP/AVP 8\r\n" L1,
	    "m=audio 6000 RTP/AVP 8\r\n",
	    "m=audio 6000 RTP/SAVP 8\r\na=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:" K1 "\r\n",
	    "m=audio 6000 RTP/SAVP 8\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" K1 "\r\n",
	    "m=audio 6000 RTP/SAVP 8\r\n" L1 L2,
	    "m=audio 6000 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n",
	};
	struct world w;

	(void)state;
	start_with(&w, MEDIA_SRTP_OFF, MEDIA_SRTP_REQUIRED);
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AVP)), REASON_NONE);
	assert_int_equal(local(&w, B, true), REASON_NONE);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, bad[i])), REASON_SRTP_ANSWER);
		assert_null(program(&w, A, 0));
		assert_null(program(&w, B, 0));
	}
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" L1)), REASON_NONE);
	assert_non_null(program(&w, B, 0));
	world_fini(&w);
}

/* SRT-14, SRT-06: a refresh, a hold and its end say the same keys; a new key of theirs leaves ours as it is */
static void test_keys_stay(void **state)
{
	struct sdes_line to_a, to_b;
	char first[4000];
	struct world w;

	(void)state;
	start_with(&w, MEDIA_SRTP_REQUIRED, MEDIA_SRTP_REQUIRED);
	exchange(&w, A, SDP(HA, SAVP L1), SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" G3));
	media_commit(w.mc);
	to_a = told(&w, A, 0);
	to_b = told(&w, B, 2);
	keep(first, sizeof(first), w.text[A]);
	/* the same again */
	exchange(&w, A, SDP(HA, SAVP L1), SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" G3));
	media_commit(w.mc);
	assert_string_equal(w.text[A], first);
	assert_int_equal(version_of(w.text[B]), 1);
	/* hold by B, who is answered by A */
	exchange(&w, B, SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" G3 "a=sendonly\r\n"), SDP(HA, SAVP L1 "a=recvonly\r\n"));
	media_commit(w.mc);
	assert_line(w.text[A], "m=audio 20000 RTP/SAVP 8");
	assert_memory_equal(told(&w, A, 0).key.key, to_a.key.key, 30);
	assert_memory_equal(told(&w, B, 0).key.key, to_b.key.key, 44);
	opens(&w, A, L1, &to_a);
	opens(&w, B, G3, &to_b);
	/* A takes another key, and offers more suites beside */
	exchange(&w, A, SDP(HA, SAVP L2 G3), SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" G3));
	assert_memory_equal(told(&w, A, 0).key.key, to_a.key.key, 30);
	opens(&w, A, L2, &to_a);
	/* and takes it back */
	media_rollback(w.mc);
	opens(&w, A, L1, &to_a);
	opens(&w, B, G3, &to_b);
	/* another suite is another key of ours */
	exchange(&w, A, SDP(HA, SAVP G3), SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" G3));
	media_commit(w.mc);
	assert_memory_not_equal(told(&w, A, 0).key.key, to_a.key.key, 30);
	/* our own refresh of both sides */
	to_a = told(&w, A, 0);
	assert_int_equal(reoffer(&w, A), REASON_NONE);
	assert_line(w.text[A], "m=audio 20000 RTP/SAVP 8");
	assert_memory_equal(told(&w, A, 0).key.key, to_a.key.key, 44);
	assert_int_equal(media_remote_answer(w.mc, A, SDP(HA, SAVP G3)), REASON_NONE);
	media_commit(w.mc);
	opens(&w, A, G3, &to_a);
	opens(&w, B, G3, &to_b);
	world_fini(&w);
}

/* forked answers with keys of their own: packets follow the last, A is told one key */
static void test_forks(void **state)
{
	struct sdes_line to_a, to_b;
	struct world w;

	(void)state;
	start_with(&w, MEDIA_SRTP_REQUIRED, MEDIA_SRTP_REQUIRED);
	exchange(&w, A, SDP(HA, SAVP L1), SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" L1));
	to_a = told(&w, A, 0);
	to_b = told(&w, B, 0);
	assert_int_equal(media_remote_answer(w.mc, B, SDP("192.0.2.31", "m=audio 7000 RTP/SAVP 8\r\n" L2)), REASON_NONE);
	assert_false(media_needs_reoffer(w.mc, A));
	assert_int_equal(local(&w, A, false), REASON_NONE);
	assert_memory_equal(told(&w, A, 0).key.key, to_a.key.key, 30);
	opens(&w, B, L2, &to_b);
	opens(&w, A, L1, &to_a);
	media_commit(w.mc);
	opens(&w, B, L2, &to_b);
	opens(&w, A, L1, &to_a);
	world_fini(&w);
}

/* SRT-16: the same stream twice, as devices offer it that know no better way to say "if you can" */
static void test_two_lines_for_one_stream(void **state)
{
	static const char *const offers[] = {AVP SAVP L1, SAVP L1 AVP};

	(void)state;
	for (unsigned mode = 0; mode < 3; mode++)
		for (unsigned i = 0; i < 2; i++) {
			bool secure = mode != MEDIA_SRTP_OFF;
			struct world w;

			start_with(&w, (enum media_srtp)mode, MEDIA_SRTP_OFF);
			assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, offers[i])), REASON_NONE);
			assert_int_equal(local(&w, B, true), REASON_NONE);
			assert_int_equal(lines(w.text[B], "m="), 1);
			assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, "m=audio 6000 RTP/AVP 8\r\n")), REASON_NONE);
			assert_int_equal(local(&w, A, false), REASON_NONE);
			assert_int_equal(lines(w.text[A], "m=audio 0 RTP/AVP"), secure);
			assert_int_equal(lines(w.text[A], "m=audio 0 RTP/SAVP"), !secure);
			assert_int_equal(lines(w.text[A], "a=crypto"), secure);
			world_fini(&w);
		}
	{ /* other ports: two streams */
		struct world w;

		start_with(&w, MEDIA_SRTP_PREFERRED, MEDIA_SRTP_OFF);
		assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AVP "m=audio 4010 RTP/SAVP 8\r\n" L1)), REASON_NONE);
		assert_int_equal(local(&w, B, true), REASON_NONE);
		assert_int_equal(lines(w.text[B], "m="), 2);
		world_fini(&w);
	}
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* SRT-10: no key of ours twice, in whatever direction */
static void test_keys_are_unique(void **state)
{
	enum { N = 2500 };
	static char seen[N * 4][16];
	unsigned n = 0;
	struct world w;

	(void)state;
	start_with(&w, MEDIA_SRTP_REQUIRED, MEDIA_SRTP_REQUIRED);
	w.side[B].srtp.suites = S("AES_CM_128_HMAC_SHA1_80,AEAD_AES_128_GCM,AES_CM_128_HMAC_SHA1_32");
	for (unsigned i = 0; i < N; i++) {
		media_call_free(w.mc);
		w.mc = media_call_new(w.m, S("x"));
		world_open(&w);
		exchange(&w, A, SDP(HA, SAVP L1), SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" L1));
		memcpy(seen[n++], told(&w, A, 0).key.key, 16);
		for (unsigned k = 0; k < 3; k++)
			memcpy(seen[n++], told(&w, B, k).key.key, 16);
	}
	assert_int_equal(n, 10000);
	qsort(seen, n, 16, by_bytes);
	for (unsigned i = 1; i < n; i++)
		assert_memory_not_equal(seen[i - 1], seen[i], 16);
	world_fini(&w);
}

/* settings of the trunk: suites and their order, lifetime, policy of the counter */
static void test_settings(void **state)
{
	const struct relay_program *p;
	struct world w;

	(void)state;
	start_with(&w, MEDIA_SRTP_OFF, MEDIA_SRTP_REQUIRED);
	w.side[B].srtp.suites = S("AEAD_AES_128_GCM,AES_CM_128_HMAC_SHA1_80");
	w.side[B].srtp.lifetime = true;
	w.side[B].srtp.roc = CRYPT_ROC_RESET;
	world_open(&w);
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AVP)), REASON_NONE);
	assert_int_equal(local(&w, B, true), REASON_NONE);
	assert_int_equal(lines(w.text[B], "a=crypto:"), 2);
	assert_int_equal(lines(w.text[B], "a=crypto:1 AEAD_AES_128_GCM inline:"), 1);
	assert_int_equal(told(&w, B, 0).lifetime, (uint64_t)1 << 31);
	/* a suite that was not offered */
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" G3)), REASON_SRTP_ANSWER);
	assert_int_equal(media_remote_answer(w.mc, B,
	                     SDP(HB, "m=audio 6000 RTP/SAVP 8\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" K1 "|2^31|1:4\r\n")),
	    REASON_NONE);
	media_commit(w.mc);
	p = program(&w, B, 0);
	assert_int_equal(p->open.roc, CRYPT_ROC_RESET);
	assert_int_equal(p->open.mki_len, 4);
	assert_int_equal(p->open.mki, 1);
	/* each time they say something, they begin at 0 */
	assert_int_equal(media_local_answer(w.mc, A, &(struct buf){0}), REASON_INTERNAL);
	exchange(&w, B, SDP(HB, "m=audio 6000 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" K1 "|2^31|1:4\r\n"),
	    SDP(HA, AVP));
	assert_true(program(&w, B, 0)->renew);
	assert_false(program(&w, A, 0)->renew);
	media_commit(w.mc);
	/* not in the list of the trunk */
	assert_int_equal(media_remote_offer(w.mc, B, SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" G3)), REASON_SRTP_NO_LINE);
	/* RTP/AVPF has an encrypted sister */
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVPF 8\r\n"),
	    SDP(HB, "m=audio 6000 RTP/SAVPF 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" K1 "\r\n"));
	assert_line(w.text[A], "m=audio 20000 RTP/AVPF 8");
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_opportunistic),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_keys_stay),
		cmocka_unit_test(test_forks),
		cmocka_unit_test(test_two_lines_for_one_stream),
		cmocka_unit_test(test_keys_are_unique),
		cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
