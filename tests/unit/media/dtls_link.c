/* DTLS in a session: who begins, when keys come and what waits for them, links that stay and that are made anew, far ends that
 * are not who they say or say nothing. The relay is a fake: its datagrams are handed to phones that are handshakes themselves. */
#include "world.h"

#include "media/dtls.h"

#define HA "192.0.2.11"
#define HB "192.0.2.21"
#define PLAIN "m=audio 6000 RTP/AVP 8\r\n"

/* a far end of one socket */
struct phone {
	struct dtls *d;
	struct addr at; /* where it is */
};

struct talk {
	struct world w;
	struct dtls_cert *cert[2]; /* of two phones */
	struct phone phone[2][2];  /* [side][socket] */
	unsigned sent[2][2];       /* datagrams of ours */
};

static struct talk *now; /* for the hook of the fake relay */

static enum media_side side_of(const struct talk *t, const struct relay_pair *p)
{
	return p->local.in4.sin_addr.s_addr == t->w.realms[0].ip4.in4.sin_addr.s_addr ? A : B;
}

static void on_send(struct relay_pair *p, unsigned sock, const struct addr *to, const uint8_t *d, size_t n)
{
	struct phone *ph = &now->phone[side_of(now, p)][sock];

	now->sent[side_of(now, p)][sock]++;
	if (ph->d && addr_eq(&ph->at, to))
		(void)dtls_batch_put(&ph->d->in, d, n);
}

static void begin_with(struct talk *t, enum media_srtp a, enum media_srtp b)
{
	static char loop; /* the session asks only whether there is one */
	enum reason why = REASON_NONE;

	memset(t, 0, sizeof(*t));
	world_init(&t->w);
	media_call_free(t->w.mc);
	media_free(t->w.m);
	t->w.cfg.loop = (struct loop *)(void *)&loop;
	t->w.m = media_new(&t->w.env, &t->w.cfg, &why);
	t->w.mc = media_call_new(t->w.m, S("c1"));
	t->w.side[A].srtp = (struct media_srtp_cfg){.mode = a, .private = true};
	t->w.side[B].srtp = (struct media_srtp_cfg){.mode = b, .private = true};
	/* no NAT: media is where they signal from */
	t->w.side[A].signalling = ip(HA);
	t->w.side[B].signalling = ip(HB);
	t->w.side[A].latch = t->w.side[B].latch = MEDIA_LATCH_OFF;
	world_open(&t->w);
	t->w.m->relay->on_send = on_send;
	now = t;
	for (unsigned i = 0; i < 2; i++)
		assert_non_null(t->cert[i] = dtls_cert_new(1700000000000000));
}

static void hang_up(struct talk *t)
{
	for (unsigned s = 0; s < 2; s++)
		for (unsigned i = 0; i < 2; i++)
			dtls_free(t->phone[s][i].d);
	dtls_cert_unref(t->cert[0]);
	dtls_cert_unref(t->cert[1]);
	world_fini(&t->w);
	assert_int_equal(t->w.timers.n, 0);
	now = NULL;
}

/* "m=... fingerprint, setup" of a phone with that certificate */
static const char *line(const struct talk *t, unsigned cert, const char *proto, unsigned port, const char *more)
{
	static char text[4][700];
	static unsigned next;
	char print[DTLS_PRINT_TEXT + 1], *to = text[next++ % 4];
	struct buf b;

	buf_init(&b, print, sizeof(print));
	dtls_print_put(&b, dtls_cert_print(t->cert[cert]));
	snprintf(to, sizeof(text[0]), "m=audio %u %s 8\r\na=fingerprint:%s\r\n%s", port, proto, buf_z(&b), more);
	return to;
}

#define DTLS "UDP/TLS/RTP/SAVP"

/* the fingerprint in what we told that side */
static struct dtls_said ours(const struct talk *t, enum media_side s)
{
	struct dtls_said said = {.n = 1};
	const char *p = strstr(t->w.text[s], "a=fingerprint:sha-256 ");

	assert_non_null(p);
	said.print[0].hash = DTLS_SHA256;
	for (unsigned i = 0; i < 32; i++) {
		unsigned v = 0;

		assert_int_equal(sscanf(p + 22 + 3 * i, "%2X", &v), 1);
		said.print[0].digest[i] = (uint8_t)v;
	}
	return said;
}

/* the phone of that side takes its part, at both sockets */
static void take_part(struct talk *t, enum media_side s, unsigned cert, bool active, const char *host, unsigned port)
{
	static const uint8_t suites[] = {CRYPT_CM128_80, CRYPT_GCM128};
	struct dtls_said said = ours(t, s);

	for (unsigned i = 0; i < 2; i++) {
		struct phone *ph = &t->phone[s][i];

		dtls_free(ph->d);
		ph->at = ip(host);
		addr_set_port(&ph->at, (uint16_t)(port + i));
		ph->d = dtls_new(t->cert[cert], active, &said, suites, 2, &ph->at);
		assert_non_null(ph->d);
		if (active)
			dtls_step(ph->d);
	}
}

static struct relay_pair *pair_of(struct talk *t, enum media_side s)
{
	return media_view(t->w.mc)->streams[0].pair[s];
}

/* what a phone says reaches us, from wherever */
static void say(struct talk *t, enum media_side s, unsigned sock, const struct addr *from)
{
	struct phone *ph = &t->phone[s][sock];
	struct relay_pair *p = pair_of(t, s);
	struct dtls_batch out = ph->d->out;
	size_t pos = 0;

	ph->d->out.n = 0;
	for (unsigned i = 0; i < out.n; pos += out.len[i++])
		if (p->listen)
			p->listen(p->listen_ctx, sock, from, out.d + pos, out.len[i]);
}

/* until nobody has anything to say */
static void run(struct talk *t)
{
	for (unsigned turn = 0; turn < 40; turn++) {
		t->w.clock.mono_us += 2000;
		timers_advance(&t->w.timers);
		for (unsigned k = 0; k < 4; k++) {
			struct phone *ph = &t->phone[k / 2][k % 2];

			if (!ph->d)
				continue;
			if (ph->d->in.n)
				dtls_step(ph->d);
			say(t, (enum media_side)(k / 2), k % 2, &ph->at);
		}
	}
}

static void pass(struct talk *t, int64_t us)
{
	t->w.clock.mono_us += us;
	timers_advance(&t->w.timers);
}

static struct media_stats stats_of(struct talk *t, enum media_side s)
{
	struct media_stream_info info;
	struct media_stats st;

	assert_true(media_stream(t->w.mc, s, 0, &info, &st));
	return st;
}

static unsigned judged(struct talk *t, enum media_side s)
{
	struct media_stream_info info;
	struct media_judged j;
	struct media_stats st;

	assert_true(media_stream(t->w.mc, s, 0, &info, &st));
	media_judge(t->w.mc, s, 0, &info, &st, &j);
	return j.in;
}

/* nothing passes in either direction */
static void waits(struct talk *t)
{
	for (unsigned s = 0; s < 2; s++) {
		const struct relay_program *p = program(&t->w, (enum media_side)s, 0);

		assert_non_null(p);
		assert_true(p->wait_rtp);
		assert_true(p->wait_rtcp);
		assert_int_equal(p->open.suite + p->seal.suite + p->open_rtcp.suite + p->seal_rtcp.suite, CRYPT_NONE);
	}
}

/* packets of that side are opened and sealed with the keys of its phone */
static void keyed(struct talk *t, enum media_side s)
{
	const struct relay_program *in = program(&t->w, s, 0), *out = program(&t->w, media_other(s), 0);
	const struct dtls *rtp = t->phone[s][0].d, *rtcp = t->phone[s][1].d;

	assert_int_equal(rtp->state, DTLS_UP);
	assert_int_equal(rtcp->state, DTLS_UP);
	assert_false(in->wait_rtp || in->wait_rtcp || out->wait_rtp || out->wait_rtcp);
	assert_memory_equal(&in->open, &rtp->ours, sizeof(in->open));
	assert_memory_equal(&out->seal, &rtp->theirs, sizeof(in->open));
	assert_memory_equal(&in->open_rtcp, &rtcp->ours, sizeof(in->open));
	assert_memory_equal(&out->seal_rtcp, &rtcp->theirs, sizeof(in->open));
	assert_memory_not_equal(&in->open, &in->open_rtcp, sizeof(in->open)); /* DTL-04 */
	assert_true(in->dtls);
	assert_int_equal(stats_of(t, s).dtls, MEDIA_DTLS_UP);
	assert_int_equal(media_broken(t->w.mc), REASON_NONE);
}

/* A offers DTLS with that setup, B answers in clear; up to the commit */
static void call_from_a(struct talk *t, const char *setup)
{
	begin_with(t, MEDIA_SRTP_DTLS, MEDIA_SRTP_OFF);
	exchange(&t->w, A, SDP(HA, line(t, 0, DTLS, 4000, setup)), SDP(HB, PLAIN));
	media_commit(t->w.mc);
}

static void up_from_a(struct talk *t)
{
	call_from_a(t, "a=setup:actpass\r\n");
	take_part(t, A, 0, false, HA, 4000);
	run(t);
	keyed(t, A);
}

/* DTL-01: setup of an offer, and what we answer; RTP/AVP towards the other */
static void test_answering(void **state)
{
	static const struct {
		const char *offer, *answer;
		bool active; /* the phone */
	} t[] = {
	    {"a=setup:actpass\r\n", "a=setup:active", false},
	    {"a=setup:passive\r\n", "a=setup:active", false},
	    {"a=setup:active\r\n", "a=setup:passive", true},
	    {"", "a=setup:passive", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct talk k;

		call_from_a(&k, t[i].offer);
		assert_line(k.w.text[A], "m=audio 20000 " DTLS " 8");
		assert_line(k.w.text[A], t[i].answer);
		assert_line(k.w.text[B], "m=audio 20002 RTP/AVP 8");
		assert_null(strstr(k.w.text[B], "fingerprint"));
		assert_null(strstr(k.w.text[A], "crypto"));
		waits(&k);
		assert_int_equal(stats_of(&k, A).dtls, MEDIA_DTLS_WAITS);
		take_part(&k, A, 0, t[i].active, HA, 4000);
		run(&k);
		keyed(&k, A);
		hang_up(&k);
	}
}

/* our offer leaves it open; each answer */
static void test_offering(void **state)
{
	(void)state;
	for (unsigned active = 0; active < 2; active++) {
		struct talk k;

		begin_with(&k, MEDIA_SRTP_OFF, MEDIA_SRTP_DTLS);
		assert_int_equal(media_remote_offer(k.w.mc, A, SDP(HA, "m=audio 4000 RTP/AVP 8\r\n")), REASON_NONE);
		assert_int_equal(local(&k.w, B, true), REASON_NONE);
		assert_line(k.w.text[B], "m=audio 20002 " DTLS " 8");
		assert_line(k.w.text[B], "a=setup:actpass");
		assert_true(k.w.mc->x->offer.streams[0].pair[B]->expects); /* DTL-02 */
		assert_int_equal(media_remote_answer(k.w.mc, B,
		                     SDP(HB, line(&k, 1, DTLS, 6000, active ? "a=setup:active\r\n" : "a=setup:passive\r\n"))), REASON_NONE);
		assert_int_equal(local(&k.w, A, false), REASON_NONE);
		media_commit(k.w.mc);
		waits(&k);
		take_part(&k, B, 1, active, HB, 6000);
		run(&k);
		keyed(&k, B);
		hang_up(&k);
	}
}

/* RFC 8643: RTP/AVP with both kinds of keys, and what is made of each answer */
static void test_preferred(void **state)
{
	static const char sdes[] = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
	struct talk k;
	char both[1000];

	(void)state;
	begin_with(&k, MEDIA_SRTP_OFF, MEDIA_SRTP_PREFERRED);
	assert_int_equal(media_remote_offer(k.w.mc, A, SDP(HA, "m=audio 4000 RTP/AVP 8\r\n")), REASON_NONE);
	assert_int_equal(local(&k.w, B, true), REASON_NONE);
	assert_line(k.w.text[B], "m=audio 20002 RTP/AVP 8");
	assert_int_equal(lines(k.w.text[B], "a=crypto:"), 6);
	assert_int_equal(lines(k.w.text[B], "a=fingerprint:sha-256 "), 1);
	/* two kinds in one answer, and one that cannot be read */
	snprintf(both, sizeof(both), "%s%s", line(&k, 1, "RTP/AVP", 6000, "a=setup:active\r\n"), sdes);
	assert_int_equal(media_remote_answer(k.w.mc, B, SDP(HB, both)), REASON_SRTP_ANSWER);
	assert_int_equal(media_remote_answer(k.w.mc, B, SDP(HB, PLAIN "a=fingerprint:sha-1 00\r\n")), REASON_SRTP_ANSWER);
	assert_int_equal(media_remote_answer(k.w.mc, B, SDP(HB, line(&k, 1, "RTP/AVP", 6000, "a=setup:actpass\r\n"))),
	    REASON_SRTP_ANSWER);
	assert_int_equal(media_remote_answer(k.w.mc, B, SDP(HB, line(&k, 1, DTLS, 6000, "a=setup:active\r\n"))), REASON_SRTP_ANSWER);
	assert_int_equal(media_remote_answer(k.w.mc, B, SDP(HB, line(&k, 1, "RTP/AVP", 6000, "a=setup:active\r\n"))), REASON_NONE);
	assert_int_equal(local(&k.w, A, false), REASON_NONE);
	media_commit(k.w.mc);
	waits(&k);
	take_part(&k, B, 1, true, HB, 6000);
	run(&k);
	keyed(&k, B);
	hang_up(&k);
	/* offered to us: SDES needs no handshake, but keys may not stand in what can be read */
	for (unsigned private = 0; private < 2; private++) {
		begin_with(&k, MEDIA_SRTP_PREFERRED, MEDIA_SRTP_OFF);
		k.w.side[A].srtp.private = private;
		world_open(&k.w);
		snprintf(both, sizeof(both), "%s%s", line(&k, 0, "RTP/AVP", 4000, "a=setup:actpass\r\n"), sdes);
		exchange(&k.w, A, SDP(HA, both), SDP(HB, PLAIN));
		assert_int_equal(lines(k.w.text[A], "a=crypto:"), private);
		assert_int_equal(lines(k.w.text[A], "a=fingerprint:"), !private);
		assert_int_equal(program(&k.w, A, 0)->wait_rtp, !private);
		hang_up(&k);
	}
}

/* fail closed: each refusal by its name */
static void test_refusals(void **state)
{
	static const struct {
		enum media_srtp mode;
		const char *suites, *proto, *more;
		enum reason reason;
	} t[] = {
	    {MEDIA_SRTP_OFF, "", DTLS, "a=setup:actpass\r\n", REASON_SRTP_OFF},
	    {MEDIA_SRTP_OFF, "", "RTP/AVP", "a=setup:actpass\r\n", REASON_NONE}, /* in clear */
	    {MEDIA_SRTP_REQUIRED, "", DTLS, "a=setup:actpass\r\n", REASON_NONE},
	    {MEDIA_SRTP_REQUIRED, "", "RTP/AVP", "a=setup:actpass\r\n", REASON_NONE},
	    {MEDIA_SRTP_DTLS, "", "RTP/AVP", "a=setup:actpass\r\n", REASON_NONE},
	    {MEDIA_SRTP_DTLS, "", DTLS, "a=setup:holdconn\r\n", REASON_SRTP_DTLS},
	    {MEDIA_SRTP_DTLS, "AES_256_CM_HMAC_SHA1_80", DTLS, "a=setup:actpass\r\n", REASON_SRTP_DTLS},
	    {MEDIA_SRTP_DTLS, "", "RTP/SAVP", "a=setup:actpass\r\n", REASON_SRTP_NOT_DTLS},
	    {MEDIA_SRTP_PREFERRED, "", "RTP/AVP", "a=setup:holdconn\r\n", REASON_NONE},
	};
	struct talk k;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		begin_with(&k, t[i].mode, MEDIA_SRTP_OFF);
		k.w.side[A].srtp.suites = str_z(t[i].suites);
		world_open(&k.w);
		assert_int_equal(media_remote_offer(k.w.mc, A, SDP(HA, line(&k, 0, t[i].proto, 4000, t[i].more))), t[i].reason);
		hang_up(&k);
	}
	begin_with(&k, MEDIA_SRTP_DTLS, MEDIA_SRTP_DTLS);
	assert_int_equal(media_remote_offer(k.w.mc, A, SDP(HA, PLAIN)), REASON_SRTP_NOT_DTLS);
	assert_int_equal(media_remote_offer(k.w.mc, A, SDP(HA, "m=audio 4000 " DTLS " 8\r\n")), REASON_SRTP_DTLS);
	/* answers to us */
	assert_int_equal(media_remote_offer(k.w.mc, A, SDP(HA, line(&k, 0, DTLS, 4000, "a=setup:actpass\r\n"))), REASON_NONE);
	assert_int_equal(local(&k.w, B, true), REASON_NONE);
	assert_int_equal(media_remote_answer(k.w.mc, B, SDP(HB, PLAIN)), REASON_SRTP_ANSWER);
	assert_int_equal(media_remote_answer(k.w.mc, B, SDP(HB, "m=audio 6000 " DTLS " 8\r\n")), REASON_SRTP_ANSWER);
	assert_int_equal(media_remote_answer(k.w.mc, B, SDP(HB, line(&k, 1, DTLS, 6000, "a=setup:actpass\r\n"))), REASON_SRTP_ANSWER);
	assert_null(program(&k.w, A, 0));
	hang_up(&k);
	/* a trunk without a suite for DTLS cannot offer it */
	begin_with(&k, MEDIA_SRTP_OFF, MEDIA_SRTP_DTLS);
	k.w.side[B].srtp.suites = S("AES_256_CM_HMAC_SHA1_80");
	world_open(&k.w);
	assert_int_equal(media_remote_offer(k.w.mc, A, SDP(HA, PLAIN)), REASON_NONE);
	assert_int_equal(local(&k.w, B, true), REASON_SRTP_DTLS);
	hang_up(&k);
}

/* DTL-01: somebody else's certificate: no media, not in clear either, and the call is to end */
static void test_wrong_certificate(void **state)
{
	(void)state;
	for (unsigned active = 0; active < 2; active++) {
		struct talk k;

		call_from_a(&k, active ? "a=setup:active\r\n" : "a=setup:passive\r\n");
		take_part(&k, A, 1, active, HA, 4000);
		run(&k);
		waits(&k);
		assert_int_equal(media_broken(k.w.mc), REASON_DTLS_FINGERPRINT);
		assert_int_equal(stats_of(&k, A).dtls, MEDIA_DTLS_FAILED);
		assert_int_equal(judged(&k, A), MEDIA_VERDICT_DTLS_CERTIFICATE);
		hang_up(&k);
	}
}

/* a far end that says nothing, from the commit on; before it may take its time */
static void test_silence(void **state)
{
	(void)state;
	for (unsigned active = 0; active < 2; active++) {
		struct talk k;

		begin_with(&k, MEDIA_SRTP_DTLS, MEDIA_SRTP_OFF);
		exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4000, active ? "a=setup:active\r\n" : "a=setup:passive\r\n")), SDP(HB, PLAIN));
		pass(&k, 90000000);
		assert_int_equal(media_broken(k.w.mc), REASON_NONE);
		media_commit(k.w.mc);
		pass(&k, 29000000);
		assert_int_equal(media_broken(k.w.mc), REASON_NONE);
		assert_int_equal(judged(&k, A), MEDIA_VERDICT_DTLS_WAITS);
		pass(&k, 2000000);
		waits(&k);
		assert_int_equal(media_broken(k.w.mc), REASON_DTLS_TIMEOUT);
		hang_up(&k);
	}
	{ /* reports that have no handshake are no reason */
		struct talk k;

		call_from_a(&k, "a=setup:passive\r\n");
		take_part(&k, A, 0, false, HA, 4000);
		dtls_free(k.phone[A][1].d);
		k.phone[A][1].d = NULL;
		run(&k);
		pass(&k, 31000000);
		assert_int_equal(media_broken(k.w.mc), REASON_NONE);
		assert_false(program(&k.w, A, 0)->wait_rtp);
		assert_true(program(&k.w, A, 0)->wait_rtcp);
		hang_up(&k);
	}
}

/* DTL-07: hold, resume, a refresh of either side: the same association, the same part */
static void test_stays(void **state)
{
	struct talk k;
	unsigned sent;
	char first[4000];

	(void)state;
	up_from_a(&k);
	keep(first, sizeof(first), k.w.text[A]);
	sent = k.sent[A][0];
	exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4000, "a=setup:actpass\r\na=sendonly\r\n")), SDP(HB, PLAIN "a=recvonly\r\n"));
	assert_line(k.w.text[A], "a=setup:active");
	media_commit(k.w.mc);
	exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4000, "a=setup:actpass\r\n")), SDP(HB, PLAIN));
	media_commit(k.w.mc);
	keyed(&k, A);
	/* our own offer says actpass, whatever the parts are */
	exchange(&k.w, B, SDP(HB, PLAIN), SDP(HA, line(&k, 0, DTLS, 4000, "a=setup:passive\r\n")));
	assert_line(k.w.text[A], "a=setup:actpass");
	media_commit(k.w.mc);
	run(&k);
	keyed(&k, A);
	/* and a rollback */
	exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4000, "a=setup:actpass\r\n")), SDP(HB, PLAIN));
	media_rollback(k.w.mc);
	run(&k);
	keyed(&k, A);
	assert_int_equal(k.sent[A][0], sent);
	/* a far end that began, and leaves it open from now on: it is still the one who did */
	hang_up(&k);
	call_from_a(&k, "a=setup:active\r\n");
	take_part(&k, A, 0, true, HA, 4000);
	run(&k);
	sent = k.sent[A][0];
	exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4000, "a=setup:actpass\r\n")), SDP(HB, PLAIN));
	assert_line(k.w.text[A], "a=setup:passive");
	media_commit(k.w.mc);
	run(&k);
	keyed(&k, A);
	assert_int_equal(k.sent[A][0], sent);
	/* long after, the handshake is let go and the keys stay */
	pass(&k, 31000000);
	keyed(&k, A);
	hang_up(&k);
}

/* another certificate, another part, another id: a new one, and the keys before go on until it has some */
static void test_new_association(void **state)
{
	static const struct {
		unsigned cert;
		const char *more;
		bool active;
	} t[] = {
	    {1, "a=setup:actpass\r\n", false},
	    {0, "a=setup:active\r\n", true},
	    {0, "a=setup:actpass\r\na=tls-id:abc3de65cddef001be82\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct crypt_key before;
		struct talk k;

		up_from_a(&k);
		before = program(&k.w, A, 0)->open;
		exchange(&k.w, A, SDP(HA, line(&k, t[i].cert, DTLS, 4000, t[i].more)), SDP(HB, PLAIN));
		assert_memory_equal(&program(&k.w, A, 0)->open, &before, sizeof(before));
		assert_false(program(&k.w, A, 0)->wait_rtp);
		/* refused after all: the old one goes on */
		if (i == 0) {
			media_rollback(k.w.mc);
			run(&k);
			keyed(&k, A);
			exchange(&k.w, A, SDP(HA, line(&k, t[i].cert, DTLS, 4000, t[i].more)), SDP(HB, PLAIN));
		}
		media_commit(k.w.mc);
		take_part(&k, A, t[i].cert, t[i].active, HA, 4000);
		run(&k);
		keyed(&k, A);
		assert_memory_not_equal(&program(&k.w, A, 0)->open, &before, sizeof(before));
		/* and when the new one comes to nothing, the keys before are over too */
		exchange(&k.w, A, SDP(HA, line(&k, !t[i].cert, DTLS, 4000, "a=setup:passive\r\n")), SDP(HB, PLAIN));
		media_commit(k.w.mc);
		pass(&k, 31000000);
		waits(&k);
		assert_int_equal(media_broken(k.w.mc), REASON_DTLS_TIMEOUT);
		hang_up(&k);
	}
	{ /* another port and nothing else: who goes on with the same association does, who begins a new one gets it */
		struct talk k;

		up_from_a(&k);
		exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4100, "a=setup:actpass\r\n")), SDP(HB, PLAIN));
		media_commit(k.w.mc);
		pass(&k, 31000000);
		assert_int_equal(media_broken(k.w.mc), REASON_NONE);
		assert_memory_equal(&program(&k.w, A, 0)->open, &k.phone[A][0].d->ours, sizeof(struct crypt_key));
		exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4200, "a=setup:actpass\r\n")), SDP(HB, PLAIN));
		media_commit(k.w.mc);
		take_part(&k, A, 0, false, HA, 4200);
		run(&k);
		keyed(&k, A);
		hang_up(&k);
	}
}

/* RTCP at the port of RTP: one handshake, and the reports have its keys */
static void test_mux(void **state)
{
	struct talk k;

	(void)state;
	call_from_a(&k, "a=setup:passive\r\na=rtcp-mux\r\n");
	assert_line(k.w.text[A], "a=rtcp-mux");
	take_part(&k, A, 0, false, HA, 4000);
	run(&k);
	assert_int_equal(k.phone[A][0].d->state, DTLS_UP);
	assert_int_equal(k.sent[A][1], 0);
	for (unsigned s = 0; s < 2; s++) {
		const struct relay_program *p = program(&k.w, (enum media_side)s, 0);

		assert_false(p->wait_rtp || p->wait_rtcp);
		assert_int_equal(p->open_rtcp.suite + p->seal_rtcp.suite, CRYPT_NONE);
	}
	assert_memory_equal(&program(&k.w, A, 0)->open, &k.phone[A][0].d->ours, sizeof(struct crypt_key));
	hang_up(&k);
}

/* DTL-06: forked answers have associations of their own; packets follow the last */
static void test_forks(void **state)
{
	struct talk k;

	(void)state;
	begin_with(&k, MEDIA_SRTP_OFF, MEDIA_SRTP_DTLS);
	exchange(&k.w, A, SDP(HA, "m=audio 4000 RTP/AVP 8\r\n"), SDP(HB, line(&k, 0, DTLS, 6000, "a=setup:active\r\n")));
	take_part(&k, B, 0, true, HB, 6000);
	run(&k);
	keyed(&k, B);
	assert_int_equal(media_remote_answer(k.w.mc, B, SDP(HB, line(&k, 1, DTLS, 7000, "a=setup:passive\r\n"))), REASON_NONE);
	waits(&k); /* the keys of one fork are nothing to the other */
	take_part(&k, B, 1, false, HB, 7000);
	run(&k);
	keyed(&k, B);
	media_commit(k.w.mc);
	keyed(&k, B);
	hang_up(&k);
}

/* nothing is answered to others than the far end, and nobody else's handshake counts */
static void test_sources(void **state)
{
	struct addr from;
	struct talk k;

	(void)state;
	call_from_a(&k, "a=setup:active\r\n");
	take_part(&k, A, 0, true, HA, 4000);
	from = ip("192.0.2.66");
	addr_set_port(&from, 4000);
	say(&k, A, 0, &from);
	from = ip(HA);
	addr_set_port(&from, 4002); /* latch=off: not even from another port */
	dtls_step(k.phone[A][0].d);
	say(&k, A, 0, &from);
	assert_int_equal(k.sent[A][0], 0);
	hang_up(&k);
	/* behind NAT: it begins, and we learn where it is */
	begin_with(&k, MEDIA_SRTP_DTLS, MEDIA_SRTP_OFF);
	k.w.side[A].latch = MEDIA_LATCH_AUTO;
	k.w.side[A].signalling = ip("198.51.100.77");
	world_open(&k.w);
	exchange(&k.w, A, SDP("10.0.0.5", line(&k, 0, DTLS, 4000, "a=setup:actpass\r\n")), SDP(HB, PLAIN));
	media_commit(k.w.mc);
	assert_line(k.w.text[A], "a=setup:passive");
	take_part(&k, A, 0, true, "198.51.100.77", 31000);
	/* a neighbour behind the same NAT says hello first, and does not go on */
	from = ip("198.51.100.77");
	addr_set_port(&from, 32000);
	{
		struct dtls_batch hello = k.phone[A][0].d->out;

		say(&k, A, 0, &from);
		assert_int_equal(k.sent[A][0], 1);
		k.phone[A][0].d->out = hello;
	}
	run(&k);
	keyed(&k, A);
	hang_up(&k);
}

/* on hold from the beginning, nowhere to send to: it begins with the resume */
static void test_held_at_first(void **state)
{
	struct talk k;

	(void)state;
	begin_with(&k, MEDIA_SRTP_DTLS, MEDIA_SRTP_OFF);
	exchange(&k.w, A, SDP("0.0.0.0", line(&k, 0, DTLS, 4000, "a=setup:actpass\r\n")), SDP(HB, PLAIN));
	media_commit(k.w.mc);
	pass(&k, 60000000);
	assert_int_equal(media_broken(k.w.mc), REASON_NONE);
	assert_int_equal(k.sent[A][0], 0);
	exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4000, "a=setup:actpass\r\n")), SDP(HB, PLAIN));
	media_commit(k.w.mc);
	take_part(&k, A, 0, !strstr(k.w.text[A], "a=setup:active"), HA, 4000);
	run(&k);
	keyed(&k, A);
	hang_up(&k);
}

/* With ICE the far end is where its checks said: who waits is spoken to from then on, wherever that is, and the description's
 * address is nothing. */
static void test_with_ice(void **state)
{
	struct relay_pair *p;
	struct talk k;

	(void)state;
	for (unsigned active = 0; active < 2; active++) {
		begin_with(&k, MEDIA_SRTP_DTLS, MEDIA_SRTP_OFF);
		k.w.side[A].ice = true;
		world_open(&k.w);
		exchange(&k.w, A,
		    SDP(HA, line(&k, 0, DTLS, 4000, active ? "a=setup:actpass\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
		                                           : "a=setup:passive\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n")),
		    SDP(HB, PLAIN));
		media_commit(k.w.mc);
		assert_line(k.w.text[A], active ? "a=setup:passive" : "a=setup:active"); /* left open: it has to be found first */
		take_part(&k, A, 0, active, "198.51.100.99", 5555);
		dtls_free(k.phone[A][1].d);
		k.phone[A][1].d = NULL;
		p = pair_of(&k, A);
		pass(&k, 2000000);
		assert_int_equal(k.sent[A][0], 0);
		assert_false(p->expects);
		p->listen(p->listen_ctx, 0, &k.phone[A][0].at, NULL, 0); /* that is where it wants to be */
		assert_int_equal(k.sent[A][0], !active);
		run(&k);
		assert_int_equal(k.phone[A][0].d->state, DTLS_UP);
		assert_memory_equal(&program(&k.w, A, 0)->open, &k.phone[A][0].d->ours, sizeof(struct crypt_key));
		/* it moves, and that is no new association */
		k.phone[A][0].at.in4.sin_port ^= 1;
		p->listen(p->listen_ctx, 0, &k.phone[A][0].at, NULL, 0);
		run(&k);
		assert_false(program(&k.w, A, 0)->wait_rtp);
		hang_up(&k);
	}
	/* nobody ever comes */
	begin_with(&k, MEDIA_SRTP_DTLS, MEDIA_SRTP_OFF);
	k.w.side[A].ice = true;
	world_open(&k.w);
	exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4000, "a=setup:passive\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n")),
	    SDP(HB, PLAIN));
	media_commit(k.w.mc);
	pass(&k, 31000000);
	assert_int_equal(media_broken(k.w.mc), REASON_DTLS_TIMEOUT);
	hang_up(&k);
}

/* one certificate for the box, for a day; a call keeps the one it told */
static void test_certificate_is_changed(void **state)
{
	struct dtls_said first, second;
	struct media_call *other;
	struct talk k;

	(void)state;
	up_from_a(&k);
	first = ours(&k, A);
	pass(&k, (int64_t)25 * 3600 * 1000000);
	exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4000, "a=setup:actpass\r\n")), SDP(HB, PLAIN));
	second = ours(&k, A);
	assert_memory_equal(&first, &second, sizeof(first));
	media_commit(k.w.mc);
	keyed(&k, A);
	other = k.w.mc;
	k.w.mc = media_call_new(k.w.m, S("c2"));
	world_open(&k.w);
	exchange(&k.w, A, SDP(HA, line(&k, 0, DTLS, 4000, "a=setup:actpass\r\n")), SDP(HB, PLAIN));
	second = ours(&k, A);
	assert_memory_not_equal(&first, &second, sizeof(first));
	media_call_free(other);
	hang_up(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answering),
		cmocka_unit_test(test_offering),
		cmocka_unit_test(test_preferred),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_wrong_certificate),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_stays),
		cmocka_unit_test(test_new_association),
		cmocka_unit_test(test_mux),
		cmocka_unit_test(test_forks),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_held_at_first),
		cmocka_unit_test(test_with_ice),
		cmocka_unit_test(test_certificate_is_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
