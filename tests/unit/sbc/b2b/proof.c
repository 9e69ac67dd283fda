/* proof.c - PBXs that have to say who they are: rows AUT-06, -08, -10, -11, -12, -13, -14, ACC-01, PWD-02. */
#include "rig.h"

#include "sbc/auth/answer.h"

#define SECRET "a long secret of ours"
#define TO "sip:+4989998877@198.51.100.1"

/* The PBX's side of digest. */
struct pbx {
	struct auth_session s;
	struct auth_credential c;
	char lines[2048]; /* credentials of its next request, as rig_rx() wants them */
	unsigned cseq;
};

static char hashes[DIGEST_ALGS][DIGEST_HEX_MAX + 1];

static void give_password(struct rig *r, int trunk, const char *user, const char *realm)
{
	struct digest_hex h;
	struct str *to[DIGEST_ALGS] = {&r->trunks[trunk].credential.md5, &r->trunks[trunk].credential.sha256,
	    &r->trunks[trunk].credential.sha512_256};

	r->trunks[trunk].credential.user = str_z(user);
	r->trunks[trunk].credential.realm = str_z(realm);
	for (int i = 0; i < DIGEST_ALGS; i++) {
		assert_int_equal(digest_ha1((enum digest_alg)i, str_z(user), str_z(realm), S(SECRET), &h), 0);
		memcpy(hashes[i], h.hex, h.n);
		*to[i] = str_n(hashes[i], h.n);
	}
}

/* challenge: "" leaves the default */
static struct rig *rig_asking(const char *challenge, struct pbx *p)
{
	struct rig *r = rig_new();

	give_password(r, PBX, "trunk42", "sbc.example.net");
	if (challenge[0])
		rig_set(r, PBX, "challenge", challenge);
	rig_compile(r);
	*p = (struct pbx){.c = {.username = S("trunk42"), .password = S(SECRET)}};
	return r;
}

/* The PBX from nowhere: any address of the lan may be it, and only by its password. */
static struct rig *rig_anywhere(struct pbx *p)
{
	struct rig *r = rig_new();

	give_password(r, PBX, "trunk42", "usual");
	rig_set(r, PBX, "identify", "credentials");
	rig_compile(r);
	*p = (struct pbx){.c = {.username = S("trunk42"), .password = S(SECRET)}};
	return r;
}

static enum reason take(struct rig *r, struct pbx *p, const struct sent *s)
{
	struct arena_pool pool;
	struct arena *a;
	struct sip_perr err;
	struct sip_msg *m;
	enum reason why;
	char *copy = malloc(s->len);

	(void)r;
	arena_pool_init(&pool, 4096, 2);
	a = arena_new(&pool);
	memcpy(copy, s->text, s->len);
	assert_int_equal(sip_parse(a, copy, s->len, &m, &err), 0);
	why = auth_take(&p->s, m, &p->c, 1);
	arena_free(a);
	arena_pool_fini(&pool);
	free(copy);
	return why;
}

/* lines for the next request */
static const char *credentials(struct rig *r, struct pbx *p, const char *method, const char *uri, const char *body)
{
	char text[2048];
	struct buf b;
	size_t n = 0;

	buf_init(&b, text, sizeof(text) - 1);
	assert_int_equal(auth_put(&p->s, &r->rng, str_z(method), str_z(uri), body ? str_z(body) : STR_NONE, &b), 0);
	for (size_t i = 0; i < b.n; i++)
		if (text[i] != '\r')
			p->lines[n++] = text[i];
	p->lines[n] = '\0';
	return p->lines;
}

static void request(struct rig *r, struct pbx *p, const char *from, const char *method, const char *extra, const char *body)
{
	rig_rx(r, 0, from, body,
	    "%s " TO " SIP/2.0\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bKp%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=atag\nTo: <" TO ">\nCall-ID: proof\nCSeq: %u %s\nMax-Forwards: 30\n"
	    "Contact: <sip:alice@%s:5060>\n%s",
	    method, from, ++r->branch, ++p->cseq, method, from, extra);
}

/* An INVITE that gets 401, the same with credentials, and what the ITSP gets. */
static struct sent *invite(struct rig *r, struct pbx *p, const char *from)
{
	struct sent *s;

	request(r, p, from, "INVITE", "", sdp_a);
	s = rig_tx(r, "SIP/2.0 401 Unauthorized");
	assert_int_equal(take(r, p, s), REASON_NONE);
	request(r, p, from, "INVITE", credentials(r, p, "INVITE", TO, sdp_a), sdp_a);
	return rig_tx(r, "INVITE ");
}

/* ... answered and acknowledged; our tag on leg A */
static void up_from(struct rig *r, struct pbx *p, const char *from, struct up *u)
{
	u->invite_b = invite(r, p, from);
	rig_answer(r, u->invite_b, "200 OK", "btag", "Contact: <sip:bob@203.0.113.20:5060>\nAllow: INVITE, ACK, BYE, CANCEL\n", sdp_b);
	u->ok_a = rig_tx(r, "SIP/2.0 200");
	if (strncmp(r->sent[r->at].text, "ACK ", 4) == 0)
		u->ack_b = rig_tx(r, "ACK ");
	snprintf(u->a_to_tag, sizeof(u->a_to_tag), "%s", rig_tag(r, rig_hdr(r, u->ok_a, "To")));
	rig_rx(r, 0, from, NULL,
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bKk%u\nFrom: <sip:+49301234501@pbx.example>;tag=atag\n"
	    "To: <" TO ">;tag=%s\nCall-ID: proof\nCSeq: %u ACK\nMax-Forwards: 70\n",
	    from, ++r->branch, u->a_to_tag, p->cseq);
	rig_quiet(r);
}

static void inside(struct rig *r, struct pbx *p, const struct up *u, const char *from, const char *method, const char *extra, const char *body)
{
	rig_rx(r, 0, from, body,
	    "%s sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bKd%u\nFrom: <sip:+49301234501@pbx.example>;tag=atag\n"
	    "To: <" TO ">;tag=%s\nCall-ID: proof\nCSeq: %u %s\nMax-Forwards: 70\nContact: <sip:alice@%s:5060>\n%s",
	    method, from, ++r->branch, u->a_to_tag, ++p->cseq, method, from, extra);
}

#define HOME "198.51.100.10"
#define AWAY "198.51.100.77"

/* ------------------------------------------------------------------ a trunk that is known by its address */

static void aut_10_invite_is_asked(void **state)
{
	struct sent *s, *b;
	struct pbx p;
	struct rig *r = rig_asking("new", &p);

	(void)state;
	request(r, &p, HOME, "INVITE", "", sdp_a);
	s = rig_tx(r, "SIP/2.0 401 Unauthorized");
	/* strongest first, one line each (AUT-02), of the trunk's realm */
	assert_non_null(strstr(rig_hdr_n(r, s, "WWW-Authenticate", 0), "realm=\"sbc.example.net\""));
	assert_non_null(strstr(rig_hdr_n(r, s, "WWW-Authenticate", 0), "algorithm=SHA-512-256"));
	assert_non_null(strstr(rig_hdr_n(r, s, "WWW-Authenticate", 1), "algorithm=SHA-256"));
	assert_non_null(strstr(rig_hdr_n(r, s, "WWW-Authenticate", 2), "qop=\"auth\", algorithm=MD5"));
	assert_string_equal(rig_hdr_n(r, s, "WWW-Authenticate", 3), "");
	/* nothing is left of it (AUT-08) */
	assert_int_equal(b2b_call_count(r->b2b), 0);
	assert_int_equal(txn_count_srv(b2b_txn(r->b2b)), 0);
	assert_int_equal(b2b_call_bytes(r->b2b), 0);
	assert_int_equal(r->timers.n, 0);
	rig_rx(r, 0, HOME, NULL,
	    "ACK " TO " SIP/2.0\nVia: SIP/2.0/UDP " HOME ":5060;branch=z9hG4bKp%u\nFrom: <sip:+49301234501@pbx.example>;tag=atag\n"
	    "To: %s\nCall-ID: proof\nCSeq: 1 ACK\n",
	    r->branch, rig_hdr(r, s, "To"));
	rig_quiet(r); /* AUT-11: an ACK is not asked */
	assert_int_equal(take(r, &p, s), REASON_NONE);
	request(r, &p, HOME, "INVITE", credentials(r, &p, "INVITE", TO, sdp_a), sdp_a);
	b = rig_tx(r, "INVITE ");
	assert_null(strstr(b->text, "uthorization")); /* AUT-13: it ends here */
	assert_int_equal(b2b_metric(r->b2b, B2B_CHALLENGED), 1);
	assert_int_equal(b2b_metric(r->b2b, B2B_PROOF_FAILED), 0);
	/* CANCEL of it is not asked either */
	rig_answer(r, b, "180 Ringing", "btag", "Contact: <sip:bob@203.0.113.20:5060>\n", NULL);
	rig_tx(r, "SIP/2.0 180");
	rig_rx(r, 0, HOME, NULL,
	    "CANCEL " TO " SIP/2.0\nVia: SIP/2.0/UDP " HOME ":5060;branch=z9hG4bKp%u\nFrom: <sip:+49301234501@pbx.example>;tag=atag\n"
	    "To: <" TO ">\nCall-ID: proof\nCSeq: 2 CANCEL\n",
	    r->branch);
	rig_tx(r, "SIP/2.0 200");
	rig_find(r, "CANCEL ");
	rig_answer(r, b, "487 Request Terminated", "btag", "", NULL);
	rig_end(r);
}

static void aut_10_407(void **state)
{
	struct sent *s;
	struct pbx p;
	struct rig *r = rig_asking("new", &p);

	(void)state;
	rig_set(r, PBX, "challenge-code", "407");
	rig_set(r, PBX, "digest", "sha-256");
	rig_compile(r);
	request(r, &p, HOME, "INVITE", "", sdp_a);
	s = rig_tx(r, "SIP/2.0 407 Proxy Authentication Required");
	assert_non_null(strstr(rig_hdr_n(r, s, "Proxy-Authenticate", 0), "algorithm=SHA-256"));
	assert_string_equal(rig_hdr(r, s, "WWW-Authenticate"), "");
	assert_int_equal(take(r, &p, s), REASON_NONE);
	request(r, &p, HOME, "INVITE", credentials(r, &p, "INVITE", TO, sdp_a), sdp_a);
	s = rig_tx(r, "INVITE ");
	assert_null(strstr(s->text, "uthorization"));
	rig_answer(r, s, "486 Busy Here", "btag", "", NULL);
	rig_end(r);
}

/* Which requests: the words of `challenge`, each with those before. */
static void which_requests(void **state)
{
	static const struct {
		const char *challenge, *method;
		bool asked;
	} want[] = {
	    {"off", "INVITE", false}, {"off", "MESSAGE", false}, {"new", "MESSAGE", true}, {"new", "SUBSCRIBE", true},
	    {"new", "REFER", true}, {"new", "FOO", true}, {"new", "OPTIONS", false}, {"options", "OPTIONS", true},
	    {"options", "MESSAGE", true}, {"all", "OPTIONS", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		struct sent *s;
		struct pbx p;
		struct rig *r = rig_asking(want[i].challenge, &p);

		if (strcmp(want[i].method, "INVITE") == 0) {
			request(r, &p, HOME, "INVITE", "", sdp_a);
			rig_answer(r, rig_tx(r, "INVITE "), "486 Busy Here", "b", "", NULL);
			rig_end(r);
			continue;
		}
		request(r, &p, HOME, want[i].method, "", NULL);
		s = rig_tx(r, "SIP/2.0 ");
		assert_int_equal(strncmp(s->text, "SIP/2.0 401", 11) == 0, want[i].asked);
		if (want[i].asked) {
			assert_int_equal(take(r, &p, s), REASON_NONE);
			request(r, &p, HOME, want[i].method, credentials(r, &p, want[i].method, TO, NULL), NULL);
			s = rig_tx(r, "SIP/2.0 ");
			assert_int_not_equal(strncmp(s->text, "SIP/2.0 401", 11), 0);
			assert_int_not_equal(strncmp(s->text, "SIP/2.0 403", 11), 0);
		}
		rig_end(r);
	}
}

static void aut_12_wrong(void **state)
{
	struct b2b_trunk_info info;
	char first[2048];
	struct sent *s;
	struct pbx p;
	struct rig *r = rig_asking("new", &p);

	(void)state;
	request(r, &p, HOME, "INVITE", "", sdp_a);
	p.c.password = S("something else");
	assert_int_equal(take(r, &p, rig_tx(r, "SIP/2.0 401")), REASON_NONE);
	request(r, &p, HOME, "INVITE", credentials(r, &p, "INVITE", TO, sdp_a), sdp_a);
	s = rig_tx(r, "SIP/2.0 403 Forbidden");
	assert_non_null(strstr(rig_hdr(r, s, "Reason"), "PSN-E1128"));
	snprintf(first, sizeof(first), "%s", rig_hdr(r, s, "Reason"));
	/* another user's name: the same words */
	p.c.username = S("nobody");
	p.c.password = S(SECRET);
	request(r, &p, HOME, "INVITE", credentials(r, &p, "INVITE", TO, sdp_a), sdp_a);
	s = rig_tx(r, "SIP/2.0 403 Forbidden");
	assert_string_equal(rig_hdr(r, s, "Reason"), first);
	assert_int_equal(r->n_rec, 0);
	assert_int_equal(txn_count_srv(b2b_txn(r->b2b)), 0);
	b2b_trunk_info(r->b2b, 1, &info);
	assert_int_equal(info.last_failure, REASON_PROOF_WRONG);
	assert_int_equal(b2b_metric(r->b2b, B2B_PROOF_FAILED), 2);
	rig_end(r);
}

/* Credentials of one request do not fit another: uri of another domain, another method (AUT-06). */
static void aut_06_other_uri(void **state)
{
	struct pbx p;
	struct rig *r = rig_asking("new", &p);

	(void)state;
	request(r, &p, HOME, "INVITE", "", sdp_a);
	assert_int_equal(take(r, &p, rig_tx(r, "SIP/2.0 401")), REASON_NONE);
	request(r, &p, HOME, "INVITE", credentials(r, &p, "INVITE", "sip:+4989998877@elsewhere.example", sdp_a), sdp_a);
	rig_tx(r, "SIP/2.0 400");
	request(r, &p, HOME, "INVITE", credentials(r, &p, "MESSAGE", TO, sdp_a), sdp_a);
	rig_tx(r, "SIP/2.0 403");
	/* ours by another name: a device that writes its registrar */
	request(r, &p, HOME, "INVITE", credentials(r, &p, "INVITE", "sip:198.51.100.1", sdp_a), sdp_a);
	rig_answer(r, rig_tx(r, "INVITE "), "486 Busy Here", "b", "", NULL);
	rig_end(r);
}

static void aut_07_stale(void **state)
{
	struct sent *s;
	struct pbx p;
	struct rig *r = rig_asking("new", &p);

	(void)state;
	request(r, &p, HOME, "MESSAGE", "", NULL);
	assert_int_equal(take(r, &p, rig_tx(r, "SIP/2.0 401")), REASON_NONE);
	rig_pass(r, 301000);
	request(r, &p, HOME, "MESSAGE", credentials(r, &p, "MESSAGE", TO, NULL), NULL);
	s = rig_tx(r, "SIP/2.0 401");
	assert_non_null(strstr(rig_hdr(r, s, "WWW-Authenticate"), "stale=true"));
	assert_int_equal(take(r, &p, s), REASON_NONE);
	request(r, &p, HOME, "MESSAGE", credentials(r, &p, "MESSAGE", TO, NULL), NULL);
	rig_tx(r, "SIP/2.0 405");
	/* the same credentials again: somebody recorded them */
	request(r, &p, HOME, "MESSAGE", p.lines, NULL);
	s = rig_tx(r, "SIP/2.0 401");
	assert_non_null(strstr(rig_hdr(r, s, "WWW-Authenticate"), "stale=true"));
	rig_end(r);
}

static void no_password(void **state)
{
	struct sent *s;
	struct pbx p;
	struct rig *r = rig_asking("new", &p);

	(void)state;
	r->trunks[0].credential = (struct db_credential){0};
	rig_compile(r);
	request(r, &p, HOME, "INVITE", "", sdp_a);
	s = rig_tx(r, "SIP/2.0 403 Forbidden");
	assert_non_null(strstr(rig_hdr(r, s, "Reason"), "PSN-E1129"));
	rig_end(r);
}

/* Inside calls: with challenge=all every request but ACK, answered with the nonce that is known already. */
static void aut_11_inside(void **state)
{
	struct sent *s;
	struct pbx p;
	struct rig *r = rig_asking("all", &p);
	struct up u = {0};

	(void)state;
	up_from(r, &p, HOME, &u);
	inside(r, &p, &u, HOME, "BYE", "", NULL);
	s = rig_tx(r, "SIP/2.0 401");
	assert_int_equal(b2b_call_count(r->b2b), 1);
	rig_quiet(r);
	assert_int_equal(take(r, &p, s), REASON_NONE);
	inside(r, &p, &u, HOME, "INVITE", credentials(r, &p, "INVITE", "sip:198.51.100.1", sdp_a), sdp_a);
	s = rig_find(r, "INVITE ");
	assert_null(strstr(s->text, "uthorization"));
	rig_answer(r, s, "200 OK", "btag", "Contact: <sip:bob@203.0.113.20:5060>\n", sdp_b);
	rig_find(r, "SIP/2.0 200");
	rig_rx(r, 0, HOME, NULL,
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP " HOME ":5060;branch=z9hG4bKk%u\nFrom: <sip:+49301234501@pbx.example>;tag=atag\n"
	    "To: <" TO ">;tag=%s\nCall-ID: proof\nCSeq: %u ACK\nMax-Forwards: 70\n",
	    ++r->branch, u.a_to_tag, p.cseq);
	/* once more with the nonce it has: no further round trip */
	inside(r, &p, &u, HOME, "BYE", credentials(r, &p, "BYE", "sip:198.51.100.1", NULL), NULL);
	rig_find(r, "SIP/2.0 200");
	rig_answer(r, rig_find(r, "BYE "), "200 OK", "", "", NULL);
	rig_end(r);
}

static void aut_11_new_leaves_calls_alone(void **state)
{
	struct pbx p;
	struct rig *r = rig_asking("new", &p);
	struct up u = {0};

	(void)state;
	up_from(r, &p, HOME, &u);
	inside(r, &p, &u, HOME, "BYE", "", NULL);
	rig_tx(r, "SIP/2.0 200");
	rig_answer(r, rig_find(r, "BYE "), "200 OK", "", "", NULL);
	rig_end(r);
}

/* The body is covered: as it was sent, an empty one too (AUT-14). */
static void aut_14_integrity(void **state)
{
	static const char *const modes[] = {"prefer", "require"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct sent *s;
		struct pbx p;
		struct rig *r = rig_asking("new", &p);

		rig_set(r, PBX, "auth-int", modes[i]);
		rig_compile(r);
		p.c.integrity = AUTH_INT_PREFER;
		request(r, &p, HOME, "INVITE", "", sdp_a);
		s = rig_tx(r, "SIP/2.0 401");
		assert_non_null(strstr(s->text, i ? "qop=\"auth-int\"," : "qop=\"auth,auth-int\","));
		assert_int_equal(take(r, &p, s), REASON_NONE);
		request(r, &p, HOME, "INVITE", credentials(r, &p, "INVITE", TO, sdp_a), sdp_b); /* not what was signed */
		assert_non_null(strstr(p.lines, "qop=auth-int"));
		rig_tx(r, "SIP/2.0 403");
		request(r, &p, HOME, "INVITE", credentials(r, &p, "INVITE", TO, sdp_a), sdp_a);
		rig_answer(r, rig_tx(r, "INVITE "), "486 Busy Here", "b", "", NULL);
		rig_find(r, "SIP/2.0 486");
		request(r, &p, HOME, "MESSAGE", credentials(r, &p, "MESSAGE", TO, NULL), NULL);
		rig_find(r, "SIP/2.0 405");
		/* qop=auth, right but for that */
		p.s.realm[0].qop = DIGEST_QOP_AUTH;
		request(r, &p, HOME, "MESSAGE", credentials(r, &p, "MESSAGE", TO, NULL), NULL);
		rig_find(r, i ? "SIP/2.0 400" : "SIP/2.0 405");
		rig_end(r);
	}
}

/* ------------------------------------------------------------------ a trunk that is known by nothing else */

static void acc_01_by_credentials(void **state)
{
	struct pbx p;
	struct rig *r = rig_anywhere(&p);
	struct up u = {0};

	(void)state;
	up_from(r, &p, AWAY, &u);
	assert_true(auth_knows(r->auth, &(struct addr){.in4 = {.sin_family = AF_INET, .sin_addr = {htonl(0xc633644d)}}}));
	inside(r, &p, &u, AWAY, "BYE", "", NULL);
	rig_tx(r, "SIP/2.0 200");
	rig_answer(r, rig_find(r, "BYE "), "200 OK", "", "", NULL);
	assert_int_equal(r->n_rec, 1);
	assert_string_equal(r->rec[0].trunk_a, "pbx");
	/* the BYE again, late: known enough to hear that the call is over, though this realm drops strangers */
	rig_pass(r, 40000);
	inside(r, &p, &u, AWAY, "BYE", "", NULL);
	rig_tx(r, "SIP/2.0 481");
	rig_end(r);
}

/* Its own old address does not help, and somebody else is told nothing: 401, then 403, without a trace. */
static void strangers(void **state)
{
	struct sent *s, *t;
	char one[2048];
	struct pbx p;
	struct rig *r = rig_anywhere(&p);

	(void)state;
	request(r, &p, HOME, "INVITE", "", sdp_a);
	s = rig_tx(r, "SIP/2.0 401");
	snprintf(one, sizeof(one), "%.*s", (int)strcspn(strstr(rig_hdr(r, s, "WWW-Authenticate"), "qop"), "\r"),
	    strstr(rig_hdr(r, s, "WWW-Authenticate"), "qop"));
	p.cseq++;
	rig_rx(r, 0, AWAY, sdp_a,
	    "INVITE " TO " SIP/2.0\nVia: SIP/2.0/UDP " AWAY ":5060;branch=z9hG4bKz\nFrom: <sip:who@x>;tag=z\nTo: <" TO ">\n"
	    "Call-ID: z\nCSeq: 1 INVITE\nContact: <sip:z@" AWAY ">\n");
	t = rig_tx(r, "SIP/2.0 401");
	assert_non_null(strstr(rig_hdr(r, t, "WWW-Authenticate"), one)); /* looks the same for anybody */
	assert_non_null(strstr(rig_hdr(r, t, "WWW-Authenticate"), "realm=\"usual\""));
	p.c.username = S("guess");
	assert_int_equal(take(r, &p, s), REASON_NONE);
	request(r, &p, HOME, "INVITE", credentials(r, &p, "INVITE", TO, sdp_a), sdp_a);
	t = rig_tx(r, "SIP/2.0 403");
	assert_string_equal(rig_hdr(r, t, "Reason"), "");
	assert_string_equal(rig_hdr(r, t, "Warning"), "");
	assert_int_equal(r->n_rec, 0);
	rig_end(r);
}

/* Moves in the middle of a call: asked there, then followed. Somebody else without the password gets nowhere. */
static void moves(void **state)
{
	struct sent *s;
	struct pbx p;
	struct rig *r = rig_anywhere(&p);
	struct up u = {0};

	(void)state;
	up_from(r, &p, HOME, &u);
	inside(r, &p, &u, AWAY, "INVITE", "", sdp_a);
	s = rig_tx(r, "SIP/2.0 401");
	rig_quiet(r);
	assert_int_equal(take(r, &p, s), REASON_NONE);
	inside(r, &p, &u, AWAY, "INVITE", credentials(r, &p, "INVITE", "sip:198.51.100.1", sdp_a), sdp_a);
	s = rig_find(r, "INVITE ");
	rig_answer(r, s, "200 OK", "btag", "Contact: <sip:bob@203.0.113.20:5060>\n", sdp_b);
	s = rig_find(r, "SIP/2.0 200");
	assert_int_equal(s->to.remote.in4.sin_addr.s_addr, htonl(0xc633644d));
	rig_rx(r, 0, AWAY, NULL,
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP " AWAY ":5060;branch=z9hG4bKk%u\nFrom: <sip:+49301234501@pbx.example>;tag=atag\n"
	    "To: <" TO ">;tag=%s\nCall-ID: proof\nCSeq: %u ACK\nMax-Forwards: 70\n",
	    ++r->branch, u.a_to_tag, p.cseq);
	/* it belongs there now: the ACK was heard, and requests without credentials are */
	r->at = r->n_sent;
	rig_pass(r, 3000);
	rig_quiet(r); /* our 200 is not repeated */
	inside(r, &p, &u, AWAY, "OPTIONS", "", NULL);
	rig_tx(r, "SIP/2.0 200");
	inside(r, &p, &u, HOME, "OPTIONS", "", NULL); /* where it was somebody else may be */
	rig_tx(r, "SIP/2.0 401");
	/* we find it there */
	rig_b_request(r, &u, "BYE", 100, "", NULL);
	s = rig_find(r, "BYE ");
	assert_int_equal(s->to.remote.in4.sin_addr.s_addr, htonl(0xc633644d));
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_end(r);
}

/* Who guesses is slowed down; who has proved itself goes on from where it is (PWD-02). */
static void pwd_02_guessing(void **state)
{
	struct pbx p, thief;
	struct rig *r = rig_anywhere(&p);
	struct sent *b;
	uint64_t looked_at;

	(void)state;
	b = invite(r, &p, HOME);
	rig_answer(r, b, "486 Busy Here", "b", "", NULL);
	rig_find(r, "SIP/2.0 486");
	r->at = r->n_sent;
	thief = (struct pbx){.c = {.username = S("trunk42"), .password = S("guess")}, .cseq = 1000};
	for (int i = 0; i < 100; i++) {
		request(r, &thief, AWAY, "INVITE", "", sdp_a);
		assert_int_equal(take(r, &thief, rig_tx(r, "SIP/2.0 401")), REASON_NONE);
		request(r, &thief, AWAY, "INVITE", credentials(r, &thief, "INVITE", TO, sdp_a), sdp_a);
		rig_tx(r, "SIP/2.0 403");
		memset(&thief.s, 0, sizeof(thief.s));
	}
	looked_at = auth_metric(r->auth, AUTH_BAD);
	assert_in_range(looked_at, 1, 20);
	/* the real one, from where it was */
	b = invite(r, &p, HOME);
	rig_answer(r, b, "486 Busy Here", "b", "", NULL);
	rig_end(r);
}

/* INVITEs of nobody cost no memory, however many (AUT-08). */
static void aut_08_flood(void **state)
{
	const char *n_text = getenv("PROOF_FLOOD");
	long n = n_text ? atol(n_text) : 20000;
	struct pbx p;
	struct rig *r = rig_anywhere(&p);

	(void)state;
	for (long i = 0; i < n; i++) {
		char from[32];

		snprintf(from, sizeof(from), "198.51.%ld.%ld", 100 + i / 250 % 100, 2 + i % 250);
		request(r, &p, from, "INVITE", "", sdp_a);
		assert_memory_equal(r->sent[0].text, "SIP/2.0 401", 11);
		free(r->sent[0].text);
		assert_int_equal(r->n_sent, 1);
		r->n_sent = 0;
	}
	assert_int_equal(b2b_metric(r->b2b, B2B_CHALLENGED), n);
	assert_int_equal(b2b_call_count(r->b2b), 0);
	assert_int_equal(b2b_call_bytes(r->b2b), 0);
	assert_int_equal(txn_count_srv(b2b_txn(r->b2b)), 0);
	assert_int_equal(r->timers.n, 0);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(aut_10_invite_is_asked),
	    cmocka_unit_test(aut_10_407),
	    cmocka_unit_test(which_requests),
	    cmocka_unit_test(aut_12_wrong),
	    cmocka_unit_test(aut_06_other_uri),
	    cmocka_unit_test(aut_07_stale),
	    cmocka_unit_test(no_password),
	    cmocka_unit_test(aut_11_inside),
	    cmocka_unit_test(aut_11_new_leaves_calls_alone),
	    cmocka_unit_test(aut_14_integrity),
	    cmocka_unit_test(acc_01_by_credentials),
	    cmocka_unit_test(strangers),
	    cmocka_unit_test(moves),
	    cmocka_unit_test(pwd_02_guessing),
	    cmocka_unit_test(aut_08_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
