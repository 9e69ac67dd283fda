/* Subscriptions through the B2BUA: what is refused, whose it is, and those that are carried to the PBX that can tell:
 * one dialog on each side, forks, order, what crosses and what does not (REV-02, -03, -05; EVT-01, -04; GINS-12). */
#include "rig.h"

#include "sbc/auth/answer.h"
#include "sbc/dialog/subscription.h"
#include "sbc/reg/reg.h"
#include "sbc/reg/regevent.h"

struct events {
	struct rig *r;
	struct reg *reg;
	struct subs *subs;
	struct reg_events *re;
	uint64_t next_id;
	unsigned cseq;
};

static void on_event(void *ctx, uint32_t trunk_id, const struct reg_contact *c, enum reason why)
{
	struct events *e = ctx;

	if (e->re)
		reg_events_note(e->re, trunk_id, c, why);
}

static const struct reg_user reg_user = {rig_store, rig_is_local, on_event};

static void compile(struct events *e)
{
	rig_compile(e->r);
	reg_set_policy(e->reg, e->r->policy);
	reg_events_set_policy(e->re, e->r->policy);
}

static struct events *begin(void)
{
	struct events *e = calloc(1, sizeof(*e));
	struct rig *r = rig_new();

	e->r = r;
	e->next_id = 1;
	e->reg = reg_new(&r->env, &(struct reg_cfg){.realm = S("x")}, &reg_user, e);
	e->subs = subs_new(&r->env, &(struct subs_cfg){0});
	e->re = reg_events_new(&r->env, e->subs, e->reg);
	b2b_free(r->b2b);
	r->b2b = b2b_new(&r->env, &r->net, r->media,
	    &(struct b2b_cfg){.user_agent = S("Postern/test"), .locator = &r->locator, .auth = r->auth, .digest_realm = S("usual"),
	        .reg = e->reg, .subs = e->subs, .events = e->re},
	    &rig_user, r);
	assert_non_null(r->b2b);
	subs_start(e->subs, b2b_txn(r->b2b));
	reg_events_start(e->re, b2b_targets(r->b2b));
	rig_set(r, PBX, "auth", "gin");
	rig_set(r, PBX, "aor", "trunk42");
	rig_set(r, PBX, "reg-watchers", "itsp");
	rig_set(r, ITSP, "domain", "itsp.example");
	compile(e);
	return e;
}

static void end(struct events *e)
{
	struct rig *r = e->r;

	rig_pass(r, 70000);
	subs_free(e->subs);
	reg_events_free(e->re);
	e->re = NULL;
	/* what is bound runs out */
	rig_pass(r, 4000000);
	reg_free(e->reg);
	rig_end(r);
	free(e);
}

static struct reg_contact registers(struct events *e, const char *uri, const char *from)
{
	struct reg_contact c = {.id = e->next_id++,
	    .trunk_id = 1,
	    .bulk = true,
	    .q = 1000,
	    .uri = str_z(uri),
	    .call_id = S("reg"),
	    .flow = {.proto = NET_UDP, .realm = 0, .remote = rig_addr(from)},
	    .since_wall_us = e->r->clock.wall_us,
	    .expires_wall_us = e->r->clock.wall_us + 3600000000,
	    .expires_us = e->r->clock.mono_us + 3600000000};

	assert_int_equal(bindings_put(reg_bindings(e->reg), &c), 0);
	reg_events_note(e->re, 1, &c, REASON_NONE);
	return c;
}

#define A_BULK "sip:198.51.100.10:5060;tk=c41f;bnc"
#define B_BULK "sip:198.51.100.11:5060;tk=d52;bnc"
#define DID "sip:+49301234507@203.0.113.1"
#define REG "Event: reg\n"

/* A SUBSCRIBE of the ITSP; to_tag: in its dialog. */
static unsigned max_forwards = 20;

static void watch(struct events *e, const char *ruri, const char *to_tag, const char *extra)
{
	rig_rx(e->r, 1, "203.0.113.20", NULL,
	    "SUBSCRIBE %s SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKe%u\n"
	    "From: \"Bob\" <sip:+4989998877@itsp.example>;tag=itag\nTo: <%s>%s%s\nCall-ID: watch\nCSeq: %u SUBSCRIBE\n"
	    "Max-Forwards: %u\nContact: <sip:bob@203.0.113.20:5060>\n%s",
	    ruri, ++e->r->branch, ruri, to_tag[0] ? ";tag=" : "", to_tag, ++e->cseq, max_forwards, extra);
}

/* A NOTIFY of the PBX in the dialog that this SUBSCRIBE of ours makes. */
static void notify_with(struct events *e, const char *from, struct sent *subscribe, const char *tag, unsigned cseq,
    const char *state, const char *body, const char *lines)
{
	struct rig *r = e->r;

	rig_rx(r, 0, from, body,
	    "NOTIFY sip:198.51.100.1:5060 SIP/2.0\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bKn%u\nFrom: %s;tag=%s\nTo: %s\n"
	    "Call-ID: %s\nCSeq: %u NOTIFY\nMax-Forwards: 70\nContact: <sip:%s:5060>\nEvent: reg\n"
	    "Subscription-State: %s\nContent-Type: application/reginfo+xml\n%s",
	    from, ++r->branch, rig_hdr(r, subscribe, "To"), tag, rig_hdr(r, subscribe, "From"), rig_hdr(r, subscribe, "Call-ID"), cseq,
	    from, state, lines);
}

static void notify(struct events *e, const char *from, struct sent *subscribe, const char *tag, unsigned cseq, const char *state,
    const char *body)
{
	notify_with(e, from, subscribe, tag, cseq, state, body, "");
}

#define DOC(version, state, contacts) \
	"<?xml version=\"1.0\"?><reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"" version "\" state=\"full\">" \
	"<registration aor=\"sip:+49301234507@sbc.inside\" id=\"a\" state=\"" state "\">" contacts "</registration></reginfo>"
#define PHONE(id, state, event) \
	"<contact id=\"" id "\" state=\"" state "\" event=\"" event "\" expires=\"77\"><uri>sip:+49301234507@10.9.8.7:5066</uri></contact>"

static void has(struct sent *m, const char *what)
{
	if (!strstr(m->text, what))
		fail_msg("no \"%s\" in: %s", what, m->text);
}

static void has_not(struct sent *m, const char *what)
{
	if (strstr(m->text, what))
		fail_msg("\"%s\" in: %s", what, m->text);
}

static void refused(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *m;

	(void)state;
	watch(e, DID, "", "Event: presence\n");
	m = rig_tx(r, "SIP/2.0 489 ");
	has(m, "\r\nAllow-Events: reg\r\n");
	watch(e, DID, "", "");
	rig_tx(r, "SIP/2.0 489 ");
	watch(e, "sip:+4911@203.0.113.1", "", REG);
	rig_tx(r, "SIP/2.0 404 ");
	watch(e, "sip:203.0.113.1", "", REG);
	rig_tx(r, "SIP/2.0 404 ");
	watch(e, "sip:+49301234507@somewhere.example", "", REG);
	rig_tx(r, "SIP/2.0 403 ");
	watch(e, DID, "", REG "Accept: text/plain\n");
	m = rig_tx(r, "SIP/2.0 406 ");
	has(m, "\r\nAccept: application/reginfo+xml\r\n");
	registers(e, A_BULK, "198.51.100.10");
	watch(e, DID, "", REG "Expires: 30\n");
	m = rig_tx(r, "SIP/2.0 423 ");
	has(m, "\r\nMin-Expires: 60\r\n");
	max_forwards = 0;
	watch(e, DID, "", REG);
	rig_tx(r, "SIP/2.0 483 ");
	max_forwards = 20;
	rig_set(r, PBX, "reg-watchers", "");
	compile(e);
	watch(e, DID, "", REG);
	rig_tx(r, "SIP/2.0 403 "); /* REV-06 */
	rig_set(r, PBX, "reg-watchers", "itsp");
	rig_set(r, PBX, "reg-event", "off");
	compile(e);
	watch(e, DID, "", REG);
	rig_tx(r, "SIP/2.0 489 ");
	watch(e, DID, "nobody", REG);
	rig_tx(r, "SIP/2.0 481 ");
	rig_rx(r, 1, "203.0.113.20", "x",
	    "PUBLISH " DID " SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKpub\nFrom: <sip:x@itsp.example>;tag=p\n"
	    "To: <" DID ">\nCall-ID: pub\nCSeq: 1 PUBLISH\nEvent: presence\nContent-Type: text/plain\n");
	rig_tx(r, "SIP/2.0 405 "); /* EVT-08 */
	rig_quiet(r);
	assert_int_equal(subs_count(e->subs), 0);
	end(e);
}

/* RFC 3261 16.3: what may take one more hop takes it, and may go no further from there */
static void the_last_hop_is_taken(void **state)
{
	struct events *e = begin();
	struct sent *sub;

	(void)state;
	registers(e, A_BULK, "198.51.100.10");
	max_forwards = 1;
	watch(e, DID, "", REG);
	max_forwards = 20;
	sub = rig_tx(e->r, "SUBSCRIBE ");
	has(sub, "\r\nMax-Forwards: 0\r\n");
	rig_answer(e->r, sub, "200 OK", "ptag", "Expires: 600\nContact: <sip:198.51.100.10>\n", NULL);
	end(e);
}

/* challenge=all: what comes inside of a subscription has to prove itself as what comes inside of a call (AUT-11) */
static void everything_inside_is_asked(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct auth_session session = {0};
	struct auth_credential password = {.username = S("trunk42"), .password = S("a long secret of ours")};
	struct arena_pool pool;
	struct arena *a;
	struct sip_perr err;
	struct digest_hex h;
	struct sent *sub, *m;
	struct sip_msg *asked;
	char lines[2048], text[2048], *copy;
	struct buf b;
	size_t n = 0;

	(void)state;
	arena_pool_init(&pool, 4096, 2);
	a = arena_new(&pool);
	assert_int_equal(digest_ha1(DIGEST_MD5, password.username, S("usual"), password.password, &h), 0);
	r->trunks[PBX].credential.user = password.username;
	r->trunks[PBX].credential.realm = S("usual");
	r->trunks[PBX].credential.md5 = str_n(h.hex, h.n);
	rig_set(r, PBX, "challenge", "all");
	compile(e);
	registers(e, A_BULK, "198.51.100.10");
	watch(e, DID, "", REG);
	sub = rig_tx(r, "SUBSCRIBE ");
	rig_answer(r, sub, "200 OK", "ptag", "Expires: 600\nContact: <sip:198.51.100.10>\n", NULL);
	notify(e, "198.51.100.10", sub, "ptag", 1, "active;expires=600", DOC("0", "active", PHONE("9", "active", "registered")));
	m = rig_tx(r, "SIP/2.0 401 ");
	rig_quiet(r); /* the watcher hears nothing of it */
	copy = arena_alloc(a, m->len);
	memcpy(copy, m->text, m->len);
	assert_int_equal(sip_parse(a, copy, m->len, &asked, &err), 0);
	assert_int_equal(auth_take(&session, asked, &password, 1), REASON_NONE);
	buf_init(&b, text, sizeof(text) - 1);
	assert_int_equal(auth_put(&session, &r->rng, S("NOTIFY"), S("sip:198.51.100.1:5060"), S(DOC("0", "active", PHONE("9", "active", "registered"))), &b), 0);
	for (size_t i = 0; i < b.n; i++)
		if (text[i] != '\r')
			lines[n++] = text[i];
	lines[n] = '\0';
	notify_with(e, "198.51.100.10", sub, "ptag", 2, "active;expires=600", DOC("0", "active", PHONE("9", "active", "registered")), lines);
	rig_tx(r, "SIP/2.0 200 "); /* to the watcher */
	m = rig_tx(r, "SIP/2.0 200 ");
	assert_string_equal(rig_hdr(r, m, "CSeq"), "2 NOTIFY");
	rig_pass(r, 2);
	m = rig_tx(r, "NOTIFY ");
	rig_answer(r, m, "481 Gone", "", "", NULL);
	arena_free(a);
	arena_pool_fini(&pool);
	rig_set(r, PBX, "challenge", "off");
	compile(e);
	end(e);
}

/* One dialog on each side; the document says our domain and our address. */
static void carried(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *sub, *m, *n;
	char tag[64];

	(void)state;
	registers(e, A_BULK, "198.51.100.10");
	watch(e, DID, "", REG "Expires: 600\nSubject: hi\nX-Secret: 1\n");
	sub = rig_tx(r, "SUBSCRIBE sip:+49301234507@198.51.100.10:5060;tk=c41f SIP/2.0\r\n");
	has(sub, "\r\nEvent: reg\r\n");
	has(sub, "\r\nExpires: 600\r\n");
	has(sub, "\r\nAccept: application/reginfo+xml\r\n");
	has(sub, "\r\nContact: <sip:198.51.100.1:5060>\r\n");
	has(sub, "\r\nSubject: hi\r\n");
	has_not(sub, "watch");
	has_not(sub, "itag");
	has_not(sub, "203.0.113");
	has(sub, "\r\nMax-Forwards: 19\r\n");
	rig_quiet(r); /* the watcher waits for who can tell */
	rig_answer(r, sub, "200 OK", "ptag", "Expires: 600\nContact: <sip:198.51.100.10>\n", NULL);
	rig_quiet(r);
	notify(e, "198.51.100.10", sub, "ptag", 1, "active;expires=600", DOC("0", "active", PHONE("9", "active", "registered")));
	m = rig_tx(r, "SIP/2.0 200 "); /* to the watcher */
	has(m, "\r\nExpires: 600\r\n");
	assert_string_equal(rig_hdr(r, m, "CSeq"), "1 SUBSCRIBE");
	snprintf(tag, sizeof(tag), "%s", rig_tag(r, rig_hdr(r, m, "To")));
	m = rig_tx(r, "SIP/2.0 200 "); /* to the PBX */
	assert_string_equal(rig_hdr(r, m, "CSeq"), "1 NOTIFY");
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY sip:bob@203.0.113.20:5060 SIP/2.0\r\n");
	has(n, "\r\nSubscription-State: active;expires=600\r\n");
	has(n, "aor=\"sip:+49301234507@itsp.example\""); /* REV-04 */
	has(n, "<uri>sip:+49301234507@203.0.113.1:5060</uri>");
	has(n, "version=\"0\" state=\"full\"");
	has(n, "expires=\"77\"");
	has_not(n, "10.9.8.7");
	has_not(n, "sbc.inside");
	has_not(n, "198.51.100");
	rig_answer(r, n, "200 OK", "", "", NULL);
	/* two changes at once: told in order, one after the other */
	notify(e, "198.51.100.10", sub, "ptag", 2, "active;expires=600", DOC("1", "active", PHONE("9", "active", "refreshed")));
	notify(e, "198.51.100.10", sub, "ptag", 3, "active;expires=600", DOC("2", "terminated", PHONE("9", "terminated", "expired")));
	rig_tx(r, "SIP/2.0 200 ");
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "version=\"1\"");
	rig_quiet(r);
	rig_answer(r, n, "200 OK", "", "", NULL);
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "version=\"2\"");
	has(n, "state=\"terminated\" event=\"expired\"");
	rig_answer(r, n, "200 OK", "", "", NULL);
	/* the watcher refreshes: so do we, and the PBX tells everything */
	watch(e, DID, tag, REG "Expires: 900\n");
	m = rig_tx(r, "SIP/2.0 200 ");
	has(m, "\r\nExpires: 900\r\n");
	m = rig_tx(r, "SUBSCRIBE sip:198.51.100.10:5060 SIP/2.0\r\n");
	rig_answer(r, m, "200 OK", "", "Expires: 600\n", NULL);
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "\r\nContent-Length: 0\r\n");
	rig_answer(r, n, "200 OK", "", "", NULL);
	notify(e, "198.51.100.10", sub, "ptag", 4, "active;expires=600", DOC("3", "init", ""));
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "state=\"init\"");
	rig_answer(r, n, "200 OK", "", "", NULL);
	/* what cannot be read goes no further */
	notify(e, "198.51.100.10", sub, "ptag", 5, "active;expires=600", "<reginfo");
	rig_tx(r, "SIP/2.0 400 ");
	/* the PBX ends it: with the same reason */
	notify(e, "198.51.100.10", sub, "ptag", 6, "terminated;reason=probation;retry-after=30", DOC("4", "init", ""));
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "version=\"4\"");
	if (!strstr(n->text, "terminated")) { /* its news first, then the end */
		rig_answer(r, n, "200 OK", "", "", NULL);
		rig_pass(r, 2);
		n = rig_tx(r, "NOTIFY ");
	}
	has(n, "\r\nSubscription-State: terminated;reason=probation;retry-after=30\r\n");
	rig_answer(r, n, "200 OK", "", "", NULL);
	rig_pass(r, 10);
	assert_int_equal(subs_count(e->subs), 0);
	rig_quiet(r);
	end(e);
}

static void watcher_ends(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *sub, *m, *n;
	char tag[64];

	(void)state;
	registers(e, A_BULK, "198.51.100.10");
	watch(e, DID, "", REG);
	sub = rig_tx(r, "SUBSCRIBE ");
	notify(e, "198.51.100.10", sub, "ptag", 1, "active;expires=600", DOC("0", "init", "")); /* before the answer */
	m = rig_tx(r, "SIP/2.0 200 ");
	snprintf(tag, sizeof(tag), "%s", rig_tag(r, rig_hdr(r, m, "To")));
	rig_tx(r, "SIP/2.0 200 ");
	rig_answer(r, sub, "200 OK", "ptag", "Expires: 600\nContact: <sip:198.51.100.10>\n", NULL);
	rig_pass(r, 2);
	rig_answer(r, rig_tx(r, "NOTIFY "), "200 OK", "", "", NULL);
	/* somebody else may not end it */
	rig_rx(r, 1, "203.0.113.99", NULL,
	    "SUBSCRIBE " DID " SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.99:5060;branch=z9hG4bKx\nFrom: <sip:+4989998877@itsp.example>;tag=itag\n"
	    "To: <" DID ">;tag=%s\nCall-ID: watch\nCSeq: 50 SUBSCRIBE\nContact: <sip:x@203.0.113.99>\n" REG "Expires: 0\n",
	    tag);
	rig_quiet(r);
	assert_int_equal(subs_count(e->subs), 2);
	watch(e, DID, tag, REG "Expires: 0\n");
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "terminated;reason=timeout");
	rig_answer(r, n, "200 OK", "", "", NULL);
	rig_pass(r, 2);
	m = rig_tx(r, "SUBSCRIBE sip:198.51.100.10 ");
	has(m, "\r\nExpires: 0\r\n");
	rig_answer(r, m, "200 OK", "", "Expires: 0\n", NULL);
	notify(e, "198.51.100.10", sub, "ptag", 2, "terminated;reason=timeout", "");
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 10);
	assert_int_equal(subs_count(e->subs), 0);
	end(e);
}

/* REV-05: two PBXs have the trunk; each tells in a dialog of its own. */
static void two_dialogs(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *one, *two, *a, *b;

	(void)state;
	registers(e, A_BULK, "198.51.100.10");
	registers(e, B_BULK, "198.51.100.11");
	registers(e, "sip:198.51.100.11:5060;tk=d52;bnc", "198.51.100.11"); /* a second flow of the same */
	watch(e, DID, "", REG);
	one = rig_tx(r, "SUBSCRIBE ");
	two = rig_tx(r, "SUBSCRIBE ");
	rig_quiet(r);
	if (strstr(one->text, "d52")) {
		a = one;
		one = two;
		two = a;
	}
	has(one, "SUBSCRIBE sip:+49301234507@198.51.100.10:5060;tk=c41f ");
	has(two, "SUBSCRIBE sip:+49301234507@198.51.100.11:5060;tk=d52 ");
	assert_string_not_equal(rig_hdr(r, one, "Call-ID"), rig_hdr(r, two, "Call-ID"));
	rig_answer(r, one, "200 OK", "ptag", "Expires: 600\nContact: <sip:198.51.100.10>\n", NULL);
	rig_answer(r, two, "200 OK", "qtag", "Expires: 600\nContact: <sip:198.51.100.11>\n", NULL);
	notify(e, "198.51.100.10", one, "ptag", 1, "active;expires=600", DOC("0", "active", PHONE("9", "active", "registered")));
	rig_tx(r, "SIP/2.0 200 ");
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	a = rig_tx(r, "NOTIFY ");
	notify(e, "198.51.100.11", two, "qtag", 1, "active;expires=600", DOC("5", "init", ""));
	rig_tx(r, "SIP/2.0 200 "); /* to that NOTIFY; the watcher gets no second answer */
	rig_pass(r, 2);
	b = rig_tx(r, "NOTIFY sip:bob@203.0.113.20:5060 SIP/2.0\r\n");
	has(b, "version=\"5\"");
	assert_string_equal(rig_hdr(r, a, "Call-ID"), rig_hdr(r, b, "Call-ID"));
	assert_string_not_equal(rig_tag(r, rig_hdr(r, a, "From")), rig_tag(r, rig_hdr(r, b, "From")));
	rig_answer(r, a, "200 OK", "", "", NULL);
	/* a watcher that wants one only says so: that branch ends, the other lives */
	rig_answer(r, b, "481 One is enough", "", "", NULL);
	rig_pass(r, 2);
	b = rig_tx(r, "SUBSCRIBE sip:198.51.100.11:5060 ");
	has(b, "\r\nExpires: 0\r\n");
	rig_answer(r, b, "200 OK", "", "Expires: 0\n", NULL);
	notify(e, "198.51.100.11", two, "qtag", 2, "terminated;reason=timeout", "");
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 10);
	assert_int_equal(subs_count(e->subs), 2);
	notify(e, "198.51.100.10", one, "ptag", 2, "active;expires=600", DOC("1", "active", PHONE("9", "active", "refreshed")));
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	has(rig_tx(r, "NOTIFY "), "version=\"1\"");
	end(e);
}

/* The PBX does not know the package, is silent, or is refused to tell. */
/* What we sent comes back to us: a loop, not a relay without end (LOOP-04). */
static void comes_back(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *sub;
	char via[512];

	(void)state;
	registers(e, A_BULK, "198.51.100.10");
	watch(e, DID, "", REG);
	sub = rig_tx(r, "SUBSCRIBE ");
	snprintf(via, sizeof(via), "%s", rig_hdr(r, sub, "Via"));
	rig_rx(r, 1, "203.0.113.20", NULL,
	    "SUBSCRIBE " DID " SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKback\nVia: %s\n"
	    "From: <sip:+4989998877@itsp.example>;tag=x\nTo: <" DID ">\nCall-ID: other\nCSeq: 1 SUBSCRIBE\n"
	    "Contact: <sip:bob@203.0.113.20>\nMax-Forwards: 9\n" REG,
	    via);
	rig_tx(r, "SIP/2.0 482 ");
	end(e);
}

static void nobody_tells(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *sub;

	(void)state;
	registers(e, A_BULK, "198.51.100.10");
	watch(e, DID, "", REG);
	sub = rig_tx(r, "SUBSCRIBE ");
	rig_answer(r, sub, "489 Bad Event", "ptag", "Allow-Events: dialog\n", NULL);
	rig_pass(r, 2);
	rig_tx(r, "SIP/2.0 489 ");
	rig_pass(r, 40000);
	rig_quiet(r);
	/* an answer, but no NOTIFY: the watcher has given up by then (TXN-17) */
	watch(e, DID, "", REG);
	sub = rig_tx(r, "SUBSCRIBE ");
	rig_answer(r, sub, "200 OK", "ptag", "Expires: 600\nContact: <sip:198.51.100.10>\n", NULL);
	rig_pass(r, 40000);
	assert_int_equal(subs_count(e->subs), 0);
	for (; r->at < r->n_sent; r->at++) /* 100 to the watcher, and no more */
		if (strncmp(r->sent[r->at].text, "SIP/2.0 100 ", 12) != 0)
			fail_msg("%s", r->sent[r->at].text);
	end(e);
}

/* REV-03: while nobody is registered it is told from here, and then the watcher is sent there. */
static void comes_to_the_pbx(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *n;

	(void)state;
	watch(e, DID, "", REG);
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "aor=\"sip:+49301234507@itsp.example\"");
	has(n, "state=\"init\"");
	rig_answer(r, n, "200 OK", "", "", NULL);
	registers(e, A_BULK, "198.51.100.10");
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "\r\nSubscription-State: terminated;reason=deactivated\r\n");
	rig_answer(r, n, "200 OK", "", "", NULL);
	watch(e, DID, "", REG);
	rig_tx(r, "SUBSCRIBE sip:+49301234507@198.51.100.10:5060;tk=c41f ");
	/* told from here where that is wanted */
	rig_set(r, PBX, "reg-answer", "own");
	compile(e);
	watch(e, DID, "", REG);
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "state=\"active\"");
	has(n, "<uri>sip:+49301234507@203.0.113.1:5060</uri>");
	end(e);
}

/* A fetch goes there and back, and nothing is left. */
static void fetched(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *sub, *n;

	(void)state;
	registers(e, A_BULK, "198.51.100.10");
	watch(e, DID, "", REG "Expires: 0\n");
	sub = rig_tx(r, "SUBSCRIBE ");
	has(sub, "\r\nExpires: 0\r\n");
	rig_answer(r, sub, "200 OK", "ptag", "Expires: 0\nContact: <sip:198.51.100.10>\n", NULL);
	rig_pass(r, 100);
	notify(e, "198.51.100.10", sub, "ptag", 1, "terminated;reason=timeout", DOC("0", "active", PHONE("9", "active", "registered")));
	rig_tx(r, "SIP/2.0 200 ");
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "\r\nSubscription-State: terminated;reason=timeout\r\n");
	has(n, "<uri>sip:+49301234507@203.0.113.1:5060</uri>");
	rig_answer(r, n, "200 OK", "", "", NULL);
	rig_pass(r, 10);
	assert_int_equal(subs_count(e->subs), 0);
	rig_quiet(r);
	end(e);
}

/* More NOTIFYs than the watcher takes: the PBX is told to wait. */
static void slow_watcher(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *sub;
	unsigned busy = 0;

	(void)state;
	registers(e, A_BULK, "198.51.100.10");
	watch(e, DID, "", REG);
	sub = rig_tx(r, "SUBSCRIBE ");
	rig_answer(r, sub, "200 OK", "ptag", "Expires: 600\nContact: <sip:198.51.100.10>\n", NULL);
	for (unsigned i = 1; i < 14; i++) {
		notify(e, "198.51.100.10", sub, "ptag", i, "active;expires=600", DOC("0", "init", ""));
		rig_pass(r, 2);
	}
	for (; r->at < r->n_sent; r->at++)
		busy += strncmp(r->sent[r->at].text, "SIP/2.0 503 ", 12) == 0;
	assert_int_equal(busy, 4); /* one is out, eight wait */
	end(e);
}

/* The right to watch is taken away while it is used, and while it is asked for. */
static void right_is_taken_away(void **state)
{
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *sub, *n;

	(void)state;
	registers(e, A_BULK, "198.51.100.10");
	watch(e, DID, "", REG);
	sub = rig_tx(r, "SUBSCRIBE ");
	rig_answer(r, sub, "200 OK", "ptag", "Expires: 600\nContact: <sip:198.51.100.10>\n", NULL);
	notify(e, "198.51.100.10", sub, "ptag", 1, "active;expires=600", DOC("0", "init", ""));
	rig_tx(r, "SIP/2.0 200 ");
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	rig_answer(r, rig_tx(r, "NOTIFY "), "200 OK", "", "", NULL);
	rig_set(r, PBX, "reg-watchers", "");
	compile(e);
	rig_pass(r, 2);
	n = rig_tx(r, "NOTIFY ");
	has(n, "terminated;reason=rejected");
	rig_answer(r, n, "200 OK", "", "", NULL);
	rig_pass(r, 2);
	has(rig_tx(r, "SUBSCRIBE sip:198.51.100.10:5060 "), "\r\nExpires: 0\r\n");
	rig_pass(r, 70000);
	assert_int_equal(subs_count(e->subs), 0);
	r->at = r->n_sent;
	rig_set(r, PBX, "reg-watchers", "itsp");
	compile(e);
	watch(e, DID, "", REG);
	rig_tx(r, "SUBSCRIBE ");
	rig_set(r, PBX, "reg-watchers", "");
	compile(e);
	rig_pass(r, 2);
	rig_tx(r, "SIP/2.0 480 ");
	end(e);
}

/* ------------------------------------------------------------------ other packages */

static void mwi(struct events *e, const char *to_tag, unsigned cseq, const char *extra)
{
	rig_rx(e->r, 0, "198.51.100.10", NULL,
	    "SUBSCRIBE sip:+49301234501@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKm%u\n"
	    "From: <sip:+49301234501@pbx.example>;tag=ptag\nTo: <sip:+49301234501@pbx.example>%s%s\nCall-ID: mwi\nCSeq: %u SUBSCRIBE\n"
	    "Max-Forwards: 70\nEvent: message-summary\nAccept: application/simple-message-summary\n"
	    "Contact: <sip:pbx@198.51.100.10:5060>\n%s",
	    ++e->r->branch, to_tag[0] ? ";tag=" : "", to_tag, cseq, extra);
}

#define WAITING "Messages-Waiting: yes\r\nMessage-Account: sip:+49301234501@vm.itsp.example\r\nVoice-Message: 2/8 (0/2)\r\n"

/* A PBX watches its mailbox at the provider, through us (EMG-04, EVT-04). */
static void waiting_messages(void **state)
{
	static char md5[] = "0123456789abcdef0123456789abcdef";
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *sub, *m;

	(void)state;
	mwi(e, "", 1, "");
	rig_tx(r, "SIP/2.0 489 "); /* not carried unless both trunks name it */
	rig_set(r, PBX, "events", "message-summary,dialog");
	compile(e);
	mwi(e, "", 2, "");
	rig_tx(r, "SIP/2.0 405 ");
	rig_set(r, ITSP, "events", "message-summary");
	r->trunks[ITSP].credential = (struct db_credential){.user = S("u"), .realm = S("itsp"), .md5 = str_z(md5)};
	compile(e);
	mwi(e, "", 3, "Expires: 600\n");
	sub = rig_tx(r, "SUBSCRIBE sip:+49301234501@itsp.example SIP/2.0\r\n");
	has(sub, "\r\nEvent: message-summary\r\n");
	has(sub, "\r\nAccept: application/simple-message-summary\r\n");
	has_not(sub, "198.51.100");
	rig_answer(r, sub, "401 Unauthorized", "v", "WWW-Authenticate: Digest realm=\"itsp\", nonce=\"n1\", qop=\"auth\"\n", NULL);
	sub = rig_tx(r, "SUBSCRIBE ");
	has(sub, "\r\nAuthorization: Digest username=\"u\"");
	rig_answer(r, sub, "200 OK", "vtag", "Expires: 600\nContact: <sip:vm@203.0.113.20>\n", NULL);
	rig_quiet(r);
	rig_rx(r, 1, "203.0.113.20", WAITING,
	    "NOTIFY sip:203.0.113.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKv1\nFrom: %s;tag=vtag\nTo: %s\n"
	    "Call-ID: %s\nCSeq: 1 NOTIFY\nContact: <sip:vm@203.0.113.20>\nEvent: message-summary\n"
	    "Subscription-State: active;expires=600\nContent-Type: application/simple-message-summary\n",
	    rig_hdr(r, sub, "To"), rig_hdr(r, sub, "From"), rig_hdr(r, sub, "Call-ID"));
	m = rig_tx(r, "SIP/2.0 200 ");
	assert_string_equal(rig_hdr(r, m, "CSeq"), "3 SUBSCRIBE");
	rig_tx(r, "SIP/2.0 200 ");
	rig_pass(r, 2);
	m = rig_tx(r, "NOTIFY sip:pbx@198.51.100.10:5060 SIP/2.0\r\n");
	has(m, "\r\nEvent: message-summary\r\n");
	has(m, "\r\nContent-Type: application/simple-message-summary\r\n");
	assert_string_equal(rig_body(m), WAITING);
	has_not(m, "203.0.113");
	rig_answer(r, m, "200 OK", "", "", NULL);
	end(e);
}

/* A provider that tells of waiting messages without being asked. */
static void unsolicited(void **state)
{
	static const char text[] =
	    "NOTIFY sip:+49301234501@203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKu%u\n"
	    "From: <sip:vm@itsp.example>;tag=u\nTo: <sip:+49301234501@203.0.113.1>\nCall-ID: un%u\nCSeq: 1 NOTIFY\nMax-Forwards: 70\n"
	    "Contact: <sip:vm@203.0.113.20>\nEvent: message-summary\nSubscription-State: active\n"
	    "Content-Type: application/simple-message-summary\n";
	struct events *e = begin();
	struct rig *r = e->r;
	struct sent *m;

	(void)state;
	rig_rx(r, 1, "203.0.113.20", WAITING, text, 1u, 1u);
	rig_tx(r, "SIP/2.0 481 ");
	rig_set(r, ITSP, "events", "message-summary");
	compile(e);
	rig_rx(r, 1, "203.0.113.20", WAITING, text, 2u, 2u);
	rig_tx(r, "SIP/2.0 481 "); /* the PBX wants none */
	rig_set(r, PBX, "events", "message-summary");
	compile(e);
	registers(e, A_BULK, "198.51.100.10");
	rig_rx(r, 1, "203.0.113.20", WAITING, text, 3u, 3u);
	m = rig_tx(r, "NOTIFY sip:+49301234501@198.51.100.10:5060;tk=c41f SIP/2.0\r\n");
	has(m, "\r\nEvent: message-summary\r\n");
	has(m, "\r\nSubscription-State: active\r\n");
	has(m, "\r\nContact: <sip:198.51.100.1:5060>\r\n");
	assert_string_equal(rig_body(m), WAITING);
	has_not(m, "203.0.113");
	rig_answer(r, m, "200 OK", "x", "", NULL);
	rig_tx(r, "SIP/2.0 200 ");
	rig_quiet(r);
	end(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(refused),
	    cmocka_unit_test(the_last_hop_is_taken),
	    cmocka_unit_test(everything_inside_is_asked),
	    cmocka_unit_test(carried),
	    cmocka_unit_test(watcher_ends),
	    cmocka_unit_test(two_dialogs),
	    cmocka_unit_test(comes_back),
	    cmocka_unit_test(nobody_tells),
	    cmocka_unit_test(comes_to_the_pbx),
	    cmocka_unit_test(fetched),
	    cmocka_unit_test(slow_watcher),
	    cmocka_unit_test(right_is_taken_away),
	    cmocka_unit_test(waiting_messages),
	    cmocka_unit_test(unsolicited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
