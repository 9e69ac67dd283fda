/* subscription.c - notifier and subscriber in virtual time, message by message: dialogs made by NOTIFY, Timer N, Expires
 * both ways, one NOTIFY at a time, every end with its reason, forks, limits. And the table itself is walked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sbc/dialog/subscription.c"

#define SENT 128

struct sent {
	char *text;
	struct net_path to;
};

static struct world {
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct metrics metrics;
	struct env env;
	struct net net;
	struct net_local local;
	struct txn_layer *txn;
	struct subs *ss;
	struct sent sent[SENT];
	unsigned n_sent, at;
	struct sub_accept accept;
	struct sub *s;       /* the last one accepted or begun */
	enum reason why;     /* of the last refusal */
	char lines[256];
	/* the package */
	char state[64];      /* what say() says */
	bool mute, more;
	struct sub_notify said;
	unsigned n_said, n_refreshed;
	char heard[512];
	enum reason heard_why;
	bool want_forks;
	unsigned n_forks;
	struct sub *forked;
	unsigned n_challenged;
	bool can_answer;
	char over[256];
	struct sub_end end;
	unsigned branch;
} w;

/* ------------------------------------------------------------------ the world */

static int net_out(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	(void)n;
	(void)owner;
	assert_true(w.n_sent < SENT);
	w.sent[w.n_sent].to = *path;
	w.sent[w.n_sent].text = malloc(len + 1);
	memcpy(w.sent[w.n_sent].text, p, len);
	w.sent[w.n_sent++].text[len] = '\0';
	return 0;
}

static const struct net_local *net_us(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	(void)n;
	(void)realm;
	(void)proto;
	(void)family;
	return &w.local;
}

static void net_shut(struct net *n, const struct net_path *path, bool now)
{
	(void)n;
	(void)path;
	(void)now;
}

static const struct net_ops net_ops = {.send = net_out, .local = net_us, .close = net_shut};

static bool say(void *owner, struct sub *s, struct sub_notify *n)
{
	(void)s;
	assert_ptr_equal(owner, &w);
	w.said = *n;
	w.n_said++;
	n->type = S("text/plain");
	buf_str(&n->body, str_z(w.state));
	n->more = w.more;
	w.more = false;
	return !w.mute;
}

static void refreshed(void *owner, struct sub *s)
{
	(void)owner;
	(void)s;
	w.n_refreshed++;
}

static enum reason heard(void *owner, struct sub *s, const struct sip_msg *m, const struct sip_substate_value *v)
{
	(void)owner;
	snprintf(w.heard + strlen(w.heard), sizeof(w.heard) - strlen(w.heard), "%s%.*s/%.*s ", s == w.s ? "" : "fork:",
	    STR(v->state_text), STR(m->body));
	return w.heard_why;
}

static bool forked(void *owner, struct sub *first, struct sub *s, void **ret_owner)
{
	assert_ptr_equal(first, w.s);
	w.n_forks++;
	w.forked = s;
	*ret_owner = owner;
	return w.want_forks;
}

static bool challenged(void *owner, struct sub *s, uint8_t asked[2], const struct sip_msg *m)
{
	(void)owner;
	(void)s;
	w.n_challenged++;
	return w.can_answer && asked[m->status == 407]++ < 1;
}

static int credentials(void *owner, struct sub *s, struct str method, struct str ruri, struct str body, struct buf *h)
{
	(void)owner;
	(void)s;
	(void)body;
	if (w.n_challenged)
		buf_fmt(h, "Authorization: it is me %u, %.*s %.*s\r\n", w.n_challenged, STR(method), STR(ruri));
	return 0;
}

static void over(void *owner, struct sub *s, const struct sub_end *e)
{
	assert_ptr_equal(owner, &w);
	snprintf(w.over + strlen(w.over), sizeof(w.over) - strlen(w.over), "%s%s ", s == w.s ? "" : "other:",
	    sub_over_names[e->over]);
	w.end = *e;
	if (s == w.s)
		w.s = NULL;
}

static const struct net_local *local(void *owner, struct sub *s, const struct net_path *path)
{
	static const struct net_local here = {.host = {"us.example", 10}, .port = 5077};

	(void)owner;
	(void)s;
	(void)path;
	return &here;
}

static const struct sub_ops ops = {say, refreshed, heard, forked, challenged, credentials, local, over};
static const struct sub_ops plain_ops = {.say = say, .heard = heard, .over = over};

static const struct sub_ops *use = &ops;

static void on_request(void *ctx, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct sub *s;
	struct buf h;

	(void)ctx;
	assert_non_null(t);
	if (m->to.tag.n) {
		s = subs_find(w.ss, m);
		if (s)
			subs_request(w.ss, s, t, m, from);
		else
			assert_int_equal(txn_srv_refuse(t, REASON_NO_DIALOG, false, STR_NONE), 0);
		return;
	}
	buf_init(&h, w.lines, sizeof(w.lines) - 1);
	s = sub_accept(w.ss, t, m, from, &w.accept, use, &w, &w.why, &h);
	if (s)
		w.s = s;
	else
		assert_int_equal(txn_srv_refuse(t, w.why, false, buf_text(&h)), 0);
}

static const struct txn_user txn_user = {.on_request = on_request};

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.net.ops = &net_ops;
	w.local = (struct net_local){.host = S("10.0.0.9"), .port = 5060};
	w.clock.mono_us = 1024000000;
	w.clock.wall_us = 1795000000000000;
	timers_init(&w.timers, &w.clock);
	rng_init_seeded(&w.rng, 7);
	metrics_init(&w.metrics);
	w.env = (struct env){.clock = &w.clock, .timers = &w.timers, .rng = &w.rng, .metrics = &w.metrics, .hash_key = {1, 2}};
	w.txn = txn_new(&w.env, &w.net, &txn_user, NULL);
	w.ss = subs_new(&w.env, &(struct subs_cfg){.max = 20});
	assert_non_null(w.txn);
	assert_non_null(w.ss);
	subs_start(w.ss, w.txn);
	w.accept = (struct sub_accept){.peer = {.trunk_id = 4, .contact = S("<sip:10.0.0.9:5060>"), .lines = S("User-Agent: us\r\n"), .max = 3},
	    .usual_s = 3761, .min_s = 60, .max_s = 7200, .gap_ms = 5000};
	strcpy(w.state, "one");
	use = &ops;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	subs_free(w.ss);
	assert_int_equal(w.timers.n > 0 ? txn_count_cli(w.txn) + txn_count_srv(w.txn) > 0 : 1, 1);
	txn_free(w.txn);
	assert_int_equal(w.timers.n, 0);
	for (unsigned i = 0; i < w.n_sent; i++)
		free(w.sent[i].text);
	return 0;
}

static void pass_ms(int64_t ms)
{
	int64_t until = w.clock.mono_us + ms * 1000;

	while (w.clock.mono_us < until) {
		int64_t next = timers_next_us(&w.timers), step;

		next = next < until ? next : until;
		step = next > w.clock.mono_us ? next - w.clock.mono_us : 1024;
		w.clock.mono_us += step;
		w.clock.wall_us += step;
		timers_advance(&w.timers);
	}
}

/* the next thing sent, not a copy; NULL: nothing */
static const char *sent(void)
{
	while (w.at < w.n_sent) {
		const char *m = w.sent[w.at++].text;
		bool copy = false;

		for (unsigned i = 0; i + 1 < w.at; i++)
			copy = copy || strcmp(w.sent[i].text, m) == 0;
		if (!copy)
			return m;
	}
	return NULL;
}

static const char *must(const char *begins)
{
	const char *m = sent();

	if (!m || strncmp(m, begins, strlen(begins)) != 0)
		fail_msg("expected %s, not: %s", begins, m ? m : "nothing");
	return m;
}

/* the next thing that is sent within ms */
static const char *must_in(int64_t ms, const char *begins)
{
	const char *m = sent();

	for (; !m && ms > 0; ms -= 200) {
		pass_ms(200);
		m = sent();
	}
	if (!m || strncmp(m, begins, strlen(begins)) != 0)
		fail_msg("expected %s, not: %s", begins, m ? m : "nothing");
	return m;
}

static void silence(void)
{
	const char *m = sent();

	if (m)
		fail_msg("not expected: %s", m);
}

#define has(m, what) \
	do { \
		const char *h_m = (m); \
		if (!strstr(h_m, what)) \
			fail_msg("no \"%s\" in: %s", what, h_m); \
	} while (0)
#define has_not(m, what) \
	do { \
		const char *h_m = (m); \
		if (strstr(h_m, what)) \
			fail_msg("\"%s\" in: %s", what, h_m); \
	} while (0)

static struct str field(const char *m, const char *name)
{
	const char *p = strstr(m, name), *e;

	if (!p)
		return STR_NONE;
	p += strlen(name);
	e = strstr(p, "\r\n");
	return str_n(p, (size_t)(e - p));
}

static struct str tag_of(struct str from_to)
{
	ptrdiff_t at = str_find(from_to, S(";tag="));

	return at < 0 ? STR_NONE : str_from(from_to, (size_t)at + 5);
}

static void receive(const char *text)
{
	struct net_path from = {.proto = NET_UDP};
	char copy[4096];

	assert_int_equal(addr_parse(S("192.0.2.1:5060"), 5060, &from.remote), 0);
	snprintf(copy, sizeof(copy), "%s", text);
	txn_on_message(w.txn, &from, copy, strlen(copy), REASON_NONE);
}

static void answer(const char *request, const char *status, const char *lines)
{
	char text[4096];
	struct str to = field(request, "\r\nTo: ");

	snprintf(text, sizeof(text),
	    "SIP/2.0 %s\r\nVia: %.*s\r\nFrom: %.*s\r\nTo: %.*s%s\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n%sContent-Length: 0\r\n\r\n",
	    status, STR(field(request, "\r\nVia: ")), STR(field(request, "\r\nFrom: ")), STR(to),
	    tag_of(to).n ? "" : ";tag=theirs", STR(field(request, "\r\nCall-ID: ")), STR(field(request, "\r\nCSeq: ")), lines);
	receive(text);
}

/* ------------------------------------------------------------------ as notifier */

#define EVENT "Event: reg\r\n"
#define CONTACT "Contact: <sip:watcher@192.0.2.1:5070>\r\n"

static void subscribe(unsigned cseq, const char *to_tag, const char *lines)
{
	char text[2048];

	snprintf(text, sizeof(text),
	    "SUBSCRIBE sip:trunk42@10.0.0.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKs%u\r\n"
	    "From: <sip:trunk42@example.net>;tag=w1\r\nTo: <sip:trunk42@example.net>%s%s\r\nCall-ID: sub1\r\n"
	    "CSeq: %u SUBSCRIBE\r\nMax-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n",
	    ++w.branch, to_tag[0] ? ";tag=" : "", to_tag, cseq, lines);
	receive(text);
}

static char our_tag[32];

/* One that stands; its first NOTIFY was answered. */
static void watched(const char *lines)
{
	const char *m, *n;

	subscribe(1, "", lines);
	m = must("SIP/2.0 200");
	snprintf(our_tag, sizeof(our_tag), "%.*s", STR(tag_of(field(m, "\r\nTo: "))));
	assert_true(our_tag[0]);
	pass_ms(2);
	n = must("NOTIFY");
	answer(n, "200 OK", "");
}

static void notifier_begins(void **state)
{
	const char *m, *n;

	(void)state;
	subscribe(1, "", EVENT CONTACT "Record-Route: <sip:192.0.2.7;lr>\r\nAccept: text/plain\r\n");
	m = must("SIP/2.0 200");
	has(m, "\r\nExpires: 3761\r\n");
	has(m, "\r\nContact: <sip:10.0.0.9:5060>\r\n");
	has(m, "\r\nRecord-Route: <sip:192.0.2.7;lr>\r\n");
	silence(); /* NOTIFY leaves behind it, on a later turn */
	pass_ms(2);
	n = must("NOTIFY sip:watcher@192.0.2.1:5070 SIP/2.0");
	has(n, "\r\nSubscription-State: active;expires=3761\r\n");
	has(n, "\r\nEvent: reg\r\n");
	has(n, "\r\nRoute: <sip:192.0.2.7;lr>\r\n");
	has(n, "\r\nContact: <sip:10.0.0.9:5060>\r\n");
	has(n, "\r\nUser-Agent: us\r\n");
	has(n, "\r\nVia: SIP/2.0/UDP us.example:5077;");
	has(n, "\r\nContent-Type: text/plain\r\n");
	has(n, "\r\n\r\none");
	has(n, "\r\nTo: <sip:trunk42@example.net>;tag=w1\r\n");
	assert_true(str_eq(field(n, "\r\nFrom: "), field(m, "\r\nTo: ")));
	assert_true(w.said.full && !w.said.last && !w.said.again);
	answer(n, "200 OK", "");
	assert_int_equal(subs_count_of(w.ss, 4), 1);
	pass_ms(20000);
	silence();
	assert_string_equal(w.over, "");
}

static void notifier_expires(void **state)
{
	(void)state;
	subscribe(1, "", EVENT CONTACT "Expires: 59\r\n");
	has(must("SIP/2.0 423"), "\r\nMin-Expires: 60\r\n");
	assert_int_equal(w.why, REASON_SUB_BRIEF);
	subscribe(2, "", EVENT CONTACT "Expires: 60\r\n");
	has(must("SIP/2.0 200"), "\r\nExpires: 60\r\n");
	pass_ms(2);
	has(must("NOTIFY"), "active;expires=60");
	subscribe(3, "", EVENT CONTACT "Expires: 99999999999\r\n");
	has(must("SIP/2.0 200"), "\r\nExpires: 7200\r\n");
	pass_ms(2);
	must("NOTIFY");
	subscribe(4, "", EVENT CONTACT "Expires: soon\r\n");
	must("SIP/2.0 400");
	subscribe(5, "", EVENT);
	must("SIP/2.0 400"); /* no Contact: nobody to notify */
	subscribe(6, "", CONTACT);
	must("SIP/2.0 489");
	assert_int_equal(subs_count(w.ss), 2);
}

static void notifier_gap(void **state)
{
	const char *n;

	(void)state;
	watched(EVENT CONTACT);
	strcpy(w.state, "two");
	sub_changed(w.s, false);
	silence();
	pass_ms(4900);
	silence();
	strcpy(w.state, "three");
	sub_changed(w.s, false);
	pass_ms(200);
	n = must("NOTIFY");
	has(n, "\r\n\r\nthree"); /* made when it leaves: nothing old is told */
	has(n, "\r\nCSeq: 2 NOTIFY\r\n");
	assert_false(w.said.full);
	/* one at a time, however long the answer takes */
	strcpy(w.state, "four");
	sub_changed(w.s, true);
	pass_ms(9000);
	silence();
	answer(n, "200 OK", "");
	pass_ms(2);
	has(must("NOTIFY"), "\r\n\r\nfour");
	assert_true(w.said.full);
}

static void notifier_refresh(void **state)
{
	const char *m, *n;

	(void)state;
	watched(EVENT CONTACT "Expires: 100\r\n");
	pass_ms(90000);
	silence();
	subscribe(2, our_tag, EVENT "Contact: <sip:moved@192.0.2.1:5080>\r\nExpires: 200\r\n");
	has(must("SIP/2.0 200"), "\r\nExpires: 200\r\n");
	assert_int_equal(w.n_refreshed, 1);
	pass_ms(2);
	n = must("NOTIFY sip:moved@192.0.2.1:5080 ");
	has(n, "active;expires=200");
	assert_true(w.said.full);
	answer(n, "200 OK", "");
	/* an old one, one of another package, one of nobody */
	subscribe(2, our_tag, EVENT CONTACT);
	must("SIP/2.0 200");
	subscribe(1, our_tag, EVENT CONTACT);
	must("SIP/2.0 500");
	pass_ms(2);
	answer(must("NOTIFY"), "200 OK", "");
	subscribe(3, our_tag, "Event: reg;id=7\r\n" CONTACT);
	must("SIP/2.0 481");
	subscribe(4, "nobody", EVENT CONTACT);
	must("SIP/2.0 481");
	/* it is refused what is too short, and stays */
	subscribe(5, our_tag, EVENT CONTACT "Expires: 1\r\n");
	must("SIP/2.0 423");
	assert_non_null(w.s);
	/* not refreshed: the last NOTIFY says timeout, and its answer ends it */
	pass_ms(3762000);
	m = must("NOTIFY");
	has(m, "\r\nSubscription-State: terminated;reason=timeout\r\n");
	assert_true(w.said.last);
	assert_string_equal(w.over, "");
	subscribe(6, our_tag, EVENT CONTACT);
	must("SIP/2.0 481");
	answer(m, "200 OK", "");
	pass_ms(2);
	assert_string_equal(w.over, "expired ");
	assert_int_equal(subs_count(w.ss), 0);
}

static void notifier_unsubscribe_and_fetch(void **state)
{
	const char *n;

	(void)state;
	watched(EVENT CONTACT);
	subscribe(2, our_tag, EVENT CONTACT "Expires: 0\r\n");
	has(must("SIP/2.0 200"), "\r\nExpires: 0\r\n");
	pass_ms(2);
	n = must("NOTIFY");
	has(n, "terminated;reason=timeout");
	has(n, "\r\n\r\none");
	answer(n, "481 Gone", "");
	pass_ms(2);
	assert_string_equal(w.over, "left ");
	/* once, with the state, and over */
	w.over[0] = '\0';
	w.n_said = 0;
	subscribe(7, "", EVENT CONTACT "Expires: 0\r\n");
	has(must("SIP/2.0 200"), "\r\nExpires: 0\r\n");
	w.more = true; /* it takes two */
	pass_ms(2);
	n = must("NOTIFY");
	has(n, "\r\nSubscription-State: active;expires=30\r\n");
	answer(n, "200 OK", "");
	pass_ms(2);
	n = must("NOTIFY");
	has(n, "terminated;reason=timeout");
	has(n, "\r\n\r\none");
	assert_int_equal(w.n_said, 2);
	answer(n, "200 OK", "");
	pass_ms(2);
	assert_string_equal(w.over, "left ");
	assert_int_equal(subs_count(w.ss), 0);
}

static void notifier_more(void **state)
{
	const char *n;

	(void)state;
	w.more = true;
	watched(EVENT CONTACT);
	pass_ms(2); /* without a gap: it is one piece of news */
	n = must("NOTIFY");
	has(n, "\r\nCSeq: 2 NOTIFY\r\n");
	assert_false(w.said.full);
	answer(n, "200 OK", "");
	pass_ms(20000);
	silence();
}

static void notifier_pending(void **state)
{
	const char *n;

	(void)state;
	w.accept.pending = true;
	subscribe(1, "", EVENT CONTACT);
	must("SIP/2.0 200");
	pass_ms(2);
	n = must("NOTIFY");
	has(n, "\r\nSubscription-State: pending;expires=3761\r\n");
	answer(n, "200 OK", "");
	sub_grant(w.s);
	sub_grant(w.s); /* twice is once */
	pass_ms(2);
	n = must("NOTIFY");
	has(n, "\r\nSubscription-State: active;");
	answer(n, "200 OK", "");
	pass_ms(100);
	silence();
	sub_end(w.s, SIP_SUBWHY_PROBATION, 120);
	sub_end(w.s, SIP_SUBWHY_REJECTED, 0);
	pass_ms(2);
	n = must("NOTIFY");
	has(n, "\r\nSubscription-State: terminated;reason=probation;retry-after=120\r\n");
	answer(n, "200 OK", "");
	pass_ms(2);
	silence();
	assert_string_equal(w.over, "asked ");
	assert_int_equal(w.end.why, SIP_SUBWHY_PROBATION);
}

static void notifier_reasons(void **state)
{
	char want[64];

	(void)state;
	for (unsigned i = SIP_SUBWHY_DEACTIVATED; i < SIP_SUBWHY_OTHER; i++) {
		const char *n;

		watched(EVENT CONTACT);
		sub_end(w.s, (enum sip_subwhy)i, 0);
		pass_ms(2);
		n = must("NOTIFY");
		snprintf(want, sizeof(want), "\r\nSubscription-State: terminated;reason=%s\r\n", sip_subwhy_names[i]);
		has(n, want);
		answer(n, "200 OK", "");
		pass_ms(33000);
		assert_null(w.s);
	}
	assert_int_equal(subs_count(w.ss), 0);
}

/* What becomes of it when NOTIFY is refused, not answered, or challenged. */
static void notifier_refused(void **state)
{
	static const char *const fatal[] = {"404 x", "405 x", "410 x", "416 x", "480 x", "481 x", "489 x", "501 x", "604 x"};
	const char *n;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(fatal); i++) {
		watched(EVENT CONTACT);
		sub_changed(w.s, false);
		pass_ms(5000);
		answer(must("NOTIFY"), fatal[i], "");
		pass_ms(2);
		assert_string_equal(w.over, "refused ");
		assert_int_equal(w.end.status, atoi(fatal[i]));
		w.over[0] = '\0';
		pass_ms(33000);
		silence();
	}
	watched(EVENT CONTACT);
	sub_changed(w.s, false);
	pass_ms(5000);
	answer(must("NOTIFY"), "503 Later", "Retry-After: 20\r\n");
	pass_ms(19900);
	silence();
	pass_ms(200);
	n = must("NOTIFY");
	assert_true(w.said.again);
	answer(n, "500 x", "");
	pass_ms(5100);
	answer(must("NOTIFY"), "500 x", "");
	pass_ms(2);
	assert_string_equal(w.over, "refused "); /* three in a row */
	w.over[0] = '\0';
	pass_ms(33000);
	watched(EVENT CONTACT);
	sub_changed(w.s, false);
	pass_ms(5000);
	must("NOTIFY");
	pass_ms(33000);
	assert_string_equal(w.over, "silent ");
	silence();
}

static void notifier_challenged(void **state)
{
	const char *n;

	(void)state;
	w.can_answer = true;
	watched(EVENT CONTACT);
	sub_changed(w.s, false);
	pass_ms(5000);
	answer(must("NOTIFY"), "401 Who", "");
	pass_ms(2);
	n = must("NOTIFY");
	has(n, "Authorization: it is me 1, NOTIFY sip:watcher@192.0.2.1:5070\r\n");
	assert_true(w.said.again);
	answer(n, "200 OK", "");
	/* not endlessly */
	sub_changed(w.s, false);
	pass_ms(5000);
	for (int i = 0; i < 3; i++) {
		answer(must("NOTIFY"), "401 Who", "");
		pass_ms(6000);
	}
	assert_int_equal(w.n_challenged, 1 + 3);
}

static void notifier_mute_and_forgotten(void **state)
{
	const char *n;

	(void)state;
	w.mute = true;
	subscribe(1, "", EVENT CONTACT);
	must("SIP/2.0 200");
	pass_ms(2);
	n = must("NOTIFY");
	has(n, "terminated;reason=giveup");
	has(n, "\r\nContent-Length: 0\r\n");
	answer(n, "200 OK", "");
	pass_ms(2);
	assert_string_equal(w.over, "mute ");
	w.mute = false;
	w.over[0] = '\0';
	pass_ms(33000);
	watched(EVENT CONTACT);
	w.n_said = 0;
	sub_forget(w.s);
	w.s = NULL;
	pass_ms(2);
	n = must("NOTIFY");
	has(n, "terminated;reason=deactivated");
	answer(n, "200 OK", "");
	pass_ms(2);
	assert_string_equal(w.over, "");
	assert_int_equal(w.n_said, 0);
	assert_int_equal(subs_count(w.ss), 0);
}

static void limits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		subscribe(i + 1, "", EVENT CONTACT);
		must("SIP/2.0 200");
		pass_ms(2);
		must("NOTIFY");
	}
	subscribe(9, "", EVENT CONTACT);
	must("SIP/2.0 480");
	assert_int_equal(w.why, REASON_SUB_FULL);
	w.accept.peer.trunk_id = 5; /* its own limit */
	subscribe(10, "", EVENT CONTACT);
	must("SIP/2.0 200");
	pass_ms(2);
	must("NOTIFY");
	assert_int_equal(subs_count(w.ss), 4);
	assert_int_equal(subs_count_of(w.ss, 4), 3);
	subs_stop(w.ss); /* everybody is told, and nobody new is taken */
	subscribe(11, "", EVENT CONTACT);
	must("SIP/2.0 503");
	/* that the box has a limit of its own is shown by filling it */
	teardown(NULL);
	setup(NULL);
	w.accept.peer.max = 0;
	for (unsigned i = 0; i < 20; i++)
		subscribe(i + 1, "", EVENT CONTACT);
	assert_int_equal(subs_count(w.ss), 20);
	subscribe(50, "", EVENT CONTACT);
	assert_int_equal(subs_count(w.ss), 20);
	assert_int_equal(w.why, REASON_SUB_FULL);
}

/* ------------------------------------------------------------------ as subscriber */

static void begin(uint32_t expires_s)
{
	struct sub_ask a = {.peer = w.accept.peer,
	    .event = {S("reg"), STR_NONE},
	    .accept = S("text/plain"),
	    .ruri = S("sip:trunk42@itsp.example"),
	    .from = S("<sip:trunk42@itsp.example>"),
	    .to = S("<sip:trunk42@itsp.example>"),
	    .routes = S("Route: <sip:edge.itsp.example;lr>\r\n"),
	    .expires_s = expires_s};

	assert_int_equal(addr_parse(S("192.0.2.1:5060"), 5060, &a.path.remote), 0);
	w.s = sub_subscribe(w.ss, &a, use, &w, &w.why);
	assert_non_null(w.s);
}

/* from another notifier when tag is not "n1" */
static void notify(const char *subscribe_text, const char *tag, unsigned cseq, const char *lines, const char *body)
{
	char text[4096];

	snprintf(text, sizeof(text),
	    "NOTIFY sip:10.0.0.9:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKn%u\r\nFrom: %.*s;tag=%s\r\n"
	    "To: %.*s\r\nCall-ID: %.*s\r\nCSeq: %u NOTIFY\r\nMax-Forwards: 70\r\n%sContent-Type: text/plain\r\n"
	    "Content-Length: %zu\r\n\r\n%s",
	    ++w.branch, STR(field(subscribe_text, "\r\nTo: ")), tag, STR(field(subscribe_text, "\r\nFrom: ")),
	    STR(field(subscribe_text, "\r\nCall-ID: ")), cseq, lines, strlen(body), body);
	receive(text);
}

#define NCONTACT "Contact: <sip:notifier@192.0.2.1:5090>\r\n"
#define ACTIVE EVENT NCONTACT "Subscription-State: active;expires=600\r\n"
#define LAST(reason) EVENT NCONTACT "Subscription-State: terminated;reason=" reason "\r\n"

static char first[4096];

static void watching(void)
{
	begin(600);
	snprintf(first, sizeof(first), "%s", must("SUBSCRIBE"));
	answer(first, "200 OK", "Expires: 600\r\n" NCONTACT);
	notify(first, "n1", 1, ACTIVE, "one");
	must("SIP/2.0 200");
	assert_int_equal(w.s->state, SUB_ACTIVE);
}

static void subscriber_begins(void **state)
{
	const char *m;

	(void)state;
	begin(600);
	m = must("SUBSCRIBE sip:trunk42@itsp.example SIP/2.0");
	has(m, "\r\nEvent: reg\r\n");
	has(m, "\r\nAccept: text/plain\r\n");
	has(m, "\r\nExpires: 600\r\n");
	has(m, "\r\nContact: <sip:10.0.0.9:5060>\r\n");
	has(m, "\r\nRoute: <sip:edge.itsp.example;lr>\r\n");
	has(m, "\r\nMax-Forwards: 70\r\n");
	has(m, "\r\nUser-Agent: us\r\n");
	has_not(m, "To: <sip:trunk42@itsp.example>;tag");
	assert_int_equal(w.s->state, SUB_WAIT);
	answer(m, "202 Accepted", "Expires: 500\r\n" NCONTACT);
	assert_int_equal(w.s->state, SUB_WAIT); /* the NOTIFY makes it */
	notify(m, "n1", 1, "Event: reg\r\nRecord-Route: <sip:192.0.2.8;lr>\r\n" NCONTACT "Subscription-State: pending\r\n", "x");
	must("SIP/2.0 200");
	assert_int_equal(w.s->state, SUB_PENDING);
	notify(m, "n1", 2, ACTIVE, "one");
	must("SIP/2.0 200");
	assert_string_equal(w.heard, "pending/x active/one ");
	/* refreshed in time, in the dialog that the NOTIFY made */
	pass_ms(249000);
	silence();
	m = must_in(160000, "SUBSCRIBE sip:notifier@192.0.2.1:5090 SIP/2.0");
	has(m, "\r\nRoute: <sip:192.0.2.8;lr>\r\n");
	has_not(m, "edge.itsp.example;lr");
	has(m, "\r\nTo: <sip:trunk42@itsp.example>;tag=n1\r\n");
	has(m, "\r\nCSeq: 2 SUBSCRIBE\r\n");
	has(m, "\r\nExpires: 600\r\n");
	answer(m, "200 OK", "Expires: 600\r\n");
}

/* RFC 6665 4.1.2.4: the NOTIFY may overtake the answer. */
static void subscriber_notify_first(void **state)
{
	(void)state;
	begin(600);
	snprintf(first, sizeof(first), "%s", must("SUBSCRIBE"));
	notify(first, "n1", 1, ACTIVE, "one");
	must("SIP/2.0 200");
	assert_int_equal(w.s->state, SUB_ACTIVE);
	answer(first, "200 OK", "Expires: 600\r\n" NCONTACT);
	pass_ms(100000); /* Timer N is over long since */
	assert_int_equal(w.s->state, SUB_ACTIVE);
	assert_string_equal(w.over, "");
	/* no answer ever: the NOTIFY is enough until the time is over */
	teardown(NULL);
	setup(NULL);
	begin(600);
	notify(must("SUBSCRIBE"), "n1", 1, ACTIVE, "one");
	must("SIP/2.0 200");
	pass_ms(40000);
	assert_int_equal(w.s->state, SUB_ACTIVE);
}

static void subscriber_timer_n(void **state)
{
	(void)state;
	begin(600);
	answer(must("SUBSCRIBE"), "200 OK", "Expires: 600\r\n" NCONTACT);
	pass_ms(31900);
	assert_non_null(w.s);
	pass_ms(200);
	assert_string_equal(w.over, "silent ");
	assert_int_equal(sub_again_s(&w.end, 60), 60);
	/* of a refresh too */
	w.over[0] = '\0';
	watching();
	answer(must_in(480000, "SUBSCRIBE"), "200 OK", "Expires: 600\r\n");
	pass_ms(33000);
	assert_string_equal(w.over, "silent ");
	silence();
}

static void subscriber_bad_notify(void **state)
{
	(void)state;
	watching();
	notify(first, "n1", 2, EVENT NCONTACT, "x");
	must("SIP/2.0 400"); /* no Subscription-State (EVT-03) */
	notify(first, "n1", 2, EVENT NCONTACT "Subscription-State: active;expires=x\r\n", "x");
	must("SIP/2.0 400");
	notify(first, "n1", 2, "Event: dialog\r\n" NCONTACT "Subscription-State: active\r\n", "x");
	must("SIP/2.0 481");
	notify(first, "n1", 2, "Event: reg;id=3\r\n" NCONTACT "Subscription-State: active\r\n", "x");
	must("SIP/2.0 481");
	notify(first, "n1", 0, ACTIVE, "old");
	must("SIP/2.0 500");
	w.heard_why = REASON_REG_EVENT_BAD;
	notify(first, "n1", 2, ACTIVE, "bad");
	must("SIP/2.0 400");
	assert_string_equal(w.heard, "active/one active/bad ");
	assert_int_equal(w.s->state, SUB_ACTIVE);
	/* the first without Contact makes no dialog */
	w.heard_why = REASON_NONE;
	begin(600);
	snprintf(first, sizeof(first), "%s", must("SUBSCRIBE"));
	notify(first, "n1", 1, EVENT "Subscription-State: active\r\n", "x");
	must("SIP/2.0 400");
	assert_int_equal(w.s->state, SUB_WAIT);
	notify(first, "n1", 2, ACTIVE, "x");
	must("SIP/2.0 200");
	assert_int_equal(w.s->state, SUB_ACTIVE);
}

static void subscriber_refused(void **state)
{
	static const struct {
		const char *status, *lines;
		int again;
	} cases[] = {{"489 Bad Event", "Allow-Events: presence\r\n", -1}, {"403 No", "", -1}, {"405 No", "", -1},
	    {"501 No", "", -1}, {"404 No", "", -1}, {"481 No", "", 0}, {"503 Later", "Retry-After: 90\r\n", 90},
	    {"500 x", "", 30}, {"480 x", "", 30}, {"603 x", "", -1}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		begin(600);
		answer(must("SUBSCRIBE"), cases[i].status, cases[i].lines);
		pass_ms(2);
		assert_string_equal(w.over, "refused ");
		assert_int_equal(w.end.status, atoi(cases[i].status));
		assert_int_equal(sub_again_s(&w.end, 30), cases[i].again);
		w.over[0] = '\0';
		pass_ms(6000);
	}
	begin(600);
	must("SUBSCRIBE");
	pass_ms(33000);
	assert_string_equal(w.over, "silent ");
}

static void subscriber_423(void **state)
{
	const char *m;

	(void)state;
	begin(600);
	answer(must("SUBSCRIBE"), "423 Brief", "Min-Expires: 1800\r\n");
	m = must("SUBSCRIBE");
	has(m, "\r\nExpires: 1800\r\n");
	has(m, "\r\nCSeq: 2 SUBSCRIBE\r\n");
	answer(m, "423 Brief", "Min-Expires: 3600\r\n"); /* once */
	pass_ms(2);
	assert_string_equal(w.over, "refused ");
}

static void subscriber_challenged(void **state)
{
	const char *m;

	(void)state;
	w.can_answer = true;
	begin(600);
	answer(must("SUBSCRIBE"), "401 Who", "");
	m = must("SUBSCRIBE sip:trunk42@itsp.example SIP/2.0");
	has(m, "Authorization: it is me 1, SUBSCRIBE sip:trunk42@itsp.example\r\n");
	has(m, "\r\nCSeq: 2 SUBSCRIBE\r\n");
	answer(m, "407 Who", "");
	answer(must("SUBSCRIBE"), "401 Who", "");
	pass_ms(2);
	silence();
	assert_string_equal(w.over, "refused ");
	w.over[0] = '\0';
	use = &plain_ops; /* nobody who could */
	begin(600);
	answer(must("SUBSCRIBE"), "401 Who", "");
	pass_ms(2);
	assert_string_equal(w.over, "refused ");
	assert_int_equal(w.end.status, 401);
}

static void subscriber_shortened(void **state)
{
	(void)state;
	watching();
	notify(first, "n1", 2, EVENT NCONTACT "Subscription-State: active;expires=100\r\n", "x");
	must("SIP/2.0 200");
	answer(must_in(62000, "SUBSCRIBE"), "500 x", "");
	/* not for good: tried again while there is time, then it is over */
	answer(must_in(32000, "SUBSCRIBE"), "500 x", "");
	assert_string_equal(w.over, "");
	pass_ms(42000);
	assert_string_equal(w.over, "expired ");
	assert_int_equal(sub_again_s(&w.end, 5), 5);
	/* longer than was asked for counts as what was asked for */
	w.over[0] = '\0';
	while (sent())
		;
	begin(100);
	snprintf(first, sizeof(first), "%s", must("SUBSCRIBE"));
	answer(first, "200 OK", "Expires: 999999\r\n" NCONTACT);
	notify(first, "n1", 1, EVENT NCONTACT "Subscription-State: active;expires=999999\r\n", "x");
	must("SIP/2.0 200");
	must_in(81000, "SUBSCRIBE");
}

static void subscriber_refresh_481(void **state)
{
	(void)state;
	watching();
	answer(must_in(480000, "SUBSCRIBE"), "481 Gone", "");
	pass_ms(2);
	assert_string_equal(w.over, "refused ");
	assert_int_equal(sub_again_s(&w.end, 30), 0);
}

static void subscriber_told_the_end(void **state)
{
	static const struct {
		const char *lines;
		enum sip_subwhy why;
		int again;
	} cases[] = {{LAST("deactivated"), SIP_SUBWHY_DEACTIVATED, 0},
	    {LAST("probation;retry-after=77"), SIP_SUBWHY_PROBATION, 77}, {LAST("probation"), SIP_SUBWHY_PROBATION, 30},
	    {LAST("rejected"), SIP_SUBWHY_REJECTED, -1}, {LAST("timeout"), SIP_SUBWHY_TIMEOUT, 0},
	    {LAST("giveup;retry-after=5"), SIP_SUBWHY_GIVEUP, 5}, {LAST("noresource"), SIP_SUBWHY_NORESOURCE, -1},
	    {LAST("invariant"), SIP_SUBWHY_INVARIANT, -1}, {LAST("bored;retry-after=40"), SIP_SUBWHY_OTHER, 40},
	    {EVENT NCONTACT "Subscription-State: terminated\r\n", SIP_SUBWHY_NONE, 30}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		watching();
		notify(first, "n1", 2, cases[i].lines, "bye");
		must("SIP/2.0 200");
		pass_ms(2);
		assert_string_equal(w.over, "notified ");
		assert_int_equal(w.end.why, cases[i].why);
		assert_int_equal(sub_again_s(&w.end, 30), cases[i].again);
		notify(first, "n1", 3, ACTIVE, "x");
		must("SIP/2.0 481"); /* EVT-03 */
		w.over[0] = w.heard[0] = '\0';
		pass_ms(33000);
	}
	assert_int_equal(subs_count(w.ss), 0);
}

static void subscriber_leaves(void **state)
{
	const char *m;

	(void)state;
	watching();
	sub_leave(w.s);
	m = must("SUBSCRIBE");
	has(m, "\r\nExpires: 0\r\n");
	assert_int_equal(w.s->state, SUB_ENDING);
	answer(m, "200 OK", "Expires: 0\r\n");
	assert_string_equal(w.over, ""); /* the last NOTIFY is awaited */
	notify(first, "n1", 2, ACTIVE, "still");
	must("SIP/2.0 200");
	assert_int_equal(w.s->state, SUB_ENDING);
	notify(first, "n1", 3, LAST("timeout"), "");
	must("SIP/2.0 200");
	pass_ms(2);
	assert_string_equal(w.over, "asked ");
	/* no last NOTIFY: Timer N */
	w.over[0] = '\0';
	watching();
	sub_leave(w.s);
	answer(must("SUBSCRIBE"), "200 OK", "Expires: 0\r\n");
	pass_ms(33000);
	assert_string_equal(w.over, "asked ");
	/* before there is a dialog: a NOTIFY that still comes gets 481 */
	w.over[0] = '\0';
	begin(600);
	snprintf(first, sizeof(first), "%s", must("SUBSCRIBE"));
	sub_leave(w.s);
	pass_ms(2);
	assert_string_equal(w.over, "asked ");
	notify(first, "n1", 1, ACTIVE, "x");
	must("SIP/2.0 481");
	/* while a refresh is out */
	w.over[0] = '\0';
	watching();
	m = must_in(480000, "SUBSCRIBE");
	sub_leave(w.s);
	silence();
	answer(m, "200 OK", "Expires: 600\r\n");
	has(must("SUBSCRIBE"), "\r\nExpires: 0\r\n");
}

/* RFC 6665 4.4.1, RFC 6140 7.2.2: several notifiers answer one SUBSCRIBE. */
static void subscriber_forks(void **state)
{
	const char *m;

	(void)state;
	w.want_forks = true;
	watching();
	notify(first, "n2", 7, EVENT "Contact: <sip:second@192.0.2.2:5091>\r\nSubscription-State: active;expires=300\r\n", "two");
	must("SIP/2.0 200");
	assert_string_equal(w.heard, "active/one fork:active/two ");
	assert_int_equal(subs_count(w.ss), 2);
	/* each has its own life */
	notify(first, "n2", 8, EVENT "Subscription-State: active;expires=300\r\n", "three");
	must("SIP/2.0 200");
	notify(first, "n1", 2, LAST("noresource"), "four");
	must("SIP/2.0 200");
	pass_ms(2);
	assert_string_equal(w.over, "notified ");
	m = must_in(245000, "SUBSCRIBE sip:second@192.0.2.2:5091 ");
	has(m, ";tag=n2\r\n");
	notify(first, "n3", 1, ACTIVE, "late");
	must("SIP/2.0 481"); /* not after 64*T1 */
	assert_int_equal(w.n_forks, 1);
	/* by a user who does not want them */
	w.want_forks = false;
	w.heard[0] = '\0';
	watching();
	notify(first, "n2", 1, ACTIVE, "two");
	must("SIP/2.0 481");
	assert_string_equal(w.heard, "active/one ");
	use = &plain_ops;
	watching();
	notify(first, "n2", 1, ACTIVE, "two");
	must("SIP/2.0 481");
}

/* ------------------------------------------------------------------ the table */

static void table(void **state)
{
	(void)state;
	for (unsigned role = 0; role < SUB_ROLES; role++) {
		bool reached[SUB_STATES] = {[SUB_INIT] = true}, ends[SUB_STATES] = {[SUB_GONE] = true};

		for (unsigned round = 0; round < SUB_STATES; round++) {
			for (unsigned s = 0; s < SUB_STATES; s++) {
				for (unsigned e = 0; e < SUBE_EVENTS; e++) {
					unsigned to = edges[role][s][e];

					if (!to)
						continue;
					if (reached[s])
						reached[to] = true;
					if (ends[to])
						ends[s] = true;
				}
			}
		}
		for (unsigned s = 0; s < SUB_STATES; s++) {
			bool used = !(role == SUB_NOTIFIER && s == SUB_WAIT);

			if (reached[s] != used || (used && !ends[s]))
				fail_msg("role %u: %s", role, sub_state_names[s]);
		}
		for (unsigned e = 0; e < SUBE_EVENTS; e++)
			assert_int_equal(edges[role][SUB_GONE][e], 0);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(notifier_begins), T(notifier_expires), T(notifier_gap), T(notifier_refresh), T(notifier_unsubscribe_and_fetch),
	    T(notifier_more), T(notifier_pending), T(notifier_reasons), T(notifier_refused), T(notifier_challenged),
	    T(notifier_mute_and_forgotten), T(limits), T(subscriber_begins), T(subscriber_notify_first), T(subscriber_timer_n),
	    T(subscriber_bad_notify), T(subscriber_refused), T(subscriber_423), T(subscriber_challenged),
	    T(subscriber_shortened), T(subscriber_refresh_481), T(subscriber_told_the_end), T(subscriber_leaves),
	    T(subscriber_forks), T(table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
