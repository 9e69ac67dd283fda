/* Registration events as they are told: one element per number, never the bulk contact, full and partial, versions, who
 * may watch, and what becomes of watches when bindings, numbers and trunks come and go (rows REV-01, -03, -06, -07). */
#include "rig.h"

#include "sbc/reg/regevent.h"
#include "sbc/reg/reginfo.h"

struct world {
	struct rig r;
	struct subs *subs;
	struct reg_events *re;
	struct reg_events_ask ask;
	struct sub_peer peer;
	enum reason why;
	unsigned at; /* of r.sent: looked at */
	struct net_path watcher;
	char number[32];
};
static struct world *now_world;

static void other(struct rig *r, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct world *w = now_world;
	char lines[256];
	struct sub *s;
	struct buf h;

	(void)r;
	if (m->to.tag.n) {
		s = subs_find(w->subs, m);
		if (s)
			subs_request(w->subs, s, t, m, from);
		else
			assert_int_equal(txn_srv_refuse(t, REASON_NO_DIALOG, false, STR_NONE), 0);
		return;
	}
	buf_init(&h, lines, sizeof(lines));
	w->why = reg_events_subscribe(w->re, &w->ask, t, m, from, &h);
	if (w->why != REASON_NONE)
		assert_int_equal(txn_srv_refuse(t, w->why, false, buf_text(&h)), 0);
}

static void note(struct rig *r, uint32_t trunk_id, const struct reg_contact *c, enum reason why)
{
	(void)r;
	reg_events_note(now_world->re, trunk_id, c, why);
}

static void compile(struct world *w)
{
	struct policy *p = fix_compile(&w->r.fix);

	reg_set_policy(w->r.reg, p);
	reg_events_set_policy(w->re, p);
}

static void ask_for(struct world *w, uint32_t owner, const char *number, uint32_t watcher)
{
	w->peer = (struct sub_peer){.trunk_id = watcher, .contact = S("<sip:10.0.0.9:5060>"), .lines = S(""), .max = 50};
	w->ask = (struct reg_events_ask){.owner = policy_trunk(w->r.fix.p, owner),
	    .number = str_z(number),
	    .host = S("sbc.example.net"),
	    .peer = &w->peer};
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	now_world = w;
	rig_init(&w->r);
	w->r.other = other;
	w->r.note = note;
	w->subs = subs_new(&w->r.env, &(struct subs_cfg){.body_max = 7000}); /* the rig keeps 8 KiB of a message */
	w->re = reg_events_new(&w->r.env, w->subs, w->r.reg);
	assert_non_null(w->re);
	subs_start(w->subs, w->r.txn);
	compile(w);
	assert_int_equal(addr_parse(S("192.0.2.99:5060"), 5060, &w->watcher.remote), 0);
	w->watcher.realm = 1;
	ask_for(w, 1, "", 1);
}

static void world_fini(struct world *w)
{
	subs_free(w->subs);
	reg_events_free(w->re);
	rig_fini(&w->r);
}

/* ------------------------------------------------------------------ messages */

static struct str line_of(const char *m, const char *name)
{
	const char *p = strstr(m, name), *e;

	if (!p)
		return STR_NONE;
	p += strlen(name);
	e = strstr(p, "\r\n");
	return str_n(p, (size_t)(e - p));
}

static void subscribe(struct world *w, const char *call_id, const char *lines)
{
	char text[2048];
	int n = snprintf(text, sizeof(text),
	    "SUBSCRIBE sip:trunk42@sbc.example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bKw%u\r\n"
	    "From: <sip:trunk42@sbc.example.net>;tag=w1\r\nTo: <sip:trunk42@sbc.example.net>\r\nCall-ID: %s\r\n"
	    "CSeq: 1 SUBSCRIBE\r\nMax-Forwards: 70\r\nEvent: reg\r\nContact: <sip:w@192.0.2.99>\r\n%sContent-Length: 0\r\n\r\n",
	    ++w->r.branch, call_id, lines);

	w->r.n_sent = w->at = 0;
	txn_on_message(w->r.txn, &w->watcher, text, (size_t)n, REASON_NONE);
}

/* The next NOTIFY within ms, answered as status says; NULL: none. */
static const char *notify(struct world *w, int ms, const char *status)
{
	static char kept[70000];
	char text[4096];

	for (; ms >= 0; ms -= 10) {
		for (; w->at < w->r.n_sent; w->at++) {
			const char *m = w->r.sent[w->at];
			int n;

			if (strncmp(m, "NOTIFY", 6) != 0 || strcmp(m, kept) == 0)
				continue;
			snprintf(kept, sizeof(kept), "%s", m);
			n = snprintf(text, sizeof(text),
			    "SIP/2.0 %s\r\nVia: %.*s\r\nFrom: %.*s\r\nTo: %.*s\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\nContent-Length: 0\r\n\r\n",
			    status, STR(line_of(kept, "\r\nVia: ")), STR(line_of(kept, "\r\nFrom: ")),
			    STR(line_of(kept, "\r\nTo: ")), STR(line_of(kept, "\r\nCall-ID: ")), STR(line_of(kept, "\r\nCSeq: ")));
			w->r.n_sent = w->at = 0;
			txn_on_message(w->r.txn, &w->watcher, text, (size_t)n, REASON_NONE);
			return kept;
		}
		w->r.n_sent = w->at = 0;
		w->r.clock.mono_us += 10000;
		w->r.clock.wall_us += 10000;
		timers_advance(&w->r.timers);
	}
	return NULL;
}

static const char *must(struct world *w, int ms)
{
	const char *m = notify(w, ms, "200 OK");

	if (!m)
		fail_msg("no NOTIFY in %d ms", ms);
	return m;
}

struct seen {
	uint32_t version;
	bool full;
	unsigned n, active, terminated, init, contacts, contacts_active;
	char aors[16384], contact[8192];
};

static void on_begin(void *ctx, uint32_t version, bool full)
{
	struct seen *s = ctx;

	s->version = version;
	s->full = full;
}

static void on_registration(void *ctx, struct str aor, struct str id, enum reginfo_state state)
{
	struct seen *s = ctx;

	s->n++;
	s->active += state == REGINFO_ACTIVE;
	s->terminated += state == REGINFO_TERMINATED;
	s->init += state == REGINFO_INIT;
	snprintf(s->aors + strlen(s->aors), sizeof(s->aors) - strlen(s->aors), "%.*s=%.*s ", STR(id), STR(aor));
}

static void on_contact(void *ctx, struct str aor, const struct reginfo_contact *c)
{
	struct seen *s = ctx;

	(void)aor;
	s->contacts++;
	s->contacts_active += c->active;
	if (strlen(s->contact) < 7000)
		snprintf(s->contact + strlen(s->contact), sizeof(s->contact) - strlen(s->contact), "%s:%.*s:%u ",
		    reginfo_event_names[c->event], STR(c->uri), c->expires_s);
}

static struct seen seen;

static struct seen *look(const char *m)
{
	static const struct reginfo_reader reader = {on_begin, on_registration, on_contact};

	memset(&seen, 0, sizeof(seen));
	assert_true(str_eq(line_of(m, "\r\nContent-Type: "), S("application/reginfo+xml")));
	assert_int_equal(reginfo_read(str_z(strstr(m, "\r\n\r\n") + 4), &reader, &seen), 0);
	assert_null(strstr(m, "bnc")); /* REV-01: never */
	return &seen;
}

#define has(where, what) \
	do { \
		const char *h_m = (where); \
		if (!strstr(h_m, what)) \
			fail_msg("no \"%s\" in: %s", what, h_m); \
	} while (0)

/* ------------------------------------------------------------------ a trunk */

static void one_element_per_number(void **state)
{
	struct world w;
	const char *m;
	struct seen *s;

	(void)state;
	world_init(&w);
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);
	subscribe(&w, "s1", "");
	assert_status(w.r.sent[0], 200);
	has(w.r.sent[0], "\r\nExpires: 3761\r\n"); /* REV-07: the default of the package */
	m = must(&w, 100);
	has(m, "\r\nSubscription-State: active;expires=3761\r\n");
	s = look(m);
	assert_true(s->full && s->version == 0);
	assert_int_equal(s->n, 10);
	assert_int_equal(s->active, 10);
	assert_int_equal(s->contacts_active, 10);
	has(s->aors, "4930123450=sip:+4930123450@sbc.example.net ");
	has(s->aors, "4930123459=sip:+4930123459@sbc.example.net ");
	has(s->contact, "registered:sip:+4930123450@192.0.2.10:5060;transport=tcp;tk=c41f:5");
	/* nothing happens, nothing is told */
	assert_null(notify(&w, 20000, "200 OK"));
	/* a refresh is news of a small trunk */
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);
	s = look(must(&w, 100));
	assert_true(s->full && s->version == 1 && s->active == 10);
	has(s->contact, "refreshed:sip:+4930123450@192.0.2.10:5060;transport=tcp;tk=c41f:59");
	/* one of them alone, by a device of its own: beside the other contact, and told alone */
	assert_status(rig_register(&w.r, "sip:+4930123455@sbc.example.net", "Contact: <sip:dev@192.0.2.77>;q=0.5;expires=300\r\n"), 200);
	s = look(must(&w, 6000));
	assert_true(!s->full && s->version == 2);
	assert_int_equal(s->n, 1);
	assert_int_equal(s->contacts_active, 2);
	has(s->aors, "4930123455=");
	has(s->contact, "registered:sip:dev@192.0.2.77:29");
	/* the bulk contact goes: nine are terminated, the one with its own contact is not */
	assert_status(rig_register(&w.r, AOR, BULK ";expires=0\r\n"), 200);
	s = look(must(&w, 6000));
	assert_true(s->full && s->version == 3);
	assert_int_equal(s->n, 10);
	assert_int_equal(s->active, 1);
	assert_int_equal(s->terminated, 9);
	has(s->contact, "unregistered:sip:+4930123450@192.0.2.10:5060;transport=tcp;tk=c41f:0");
	/* it expires */
	assert_null(notify(&w, 250000, "200 OK"));
	s = look(must(&w, 60000));
	assert_true(!s->full && s->version == 4);
	assert_int_equal(s->terminated, 1);
	has(s->contact, "expired:sip:dev@192.0.2.77:0");
	/* what ended was told once: the next full one calls them what they are */
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);
	s = look(must(&w, 6000));
	assert_int_equal(s->active, 10);
	assert_int_equal(s->contacts, 10);
	/* kicked by an operator */
	assert_true(reg_kick(w.r.reg, bindings_walk(reg_bindings(w.r.reg), NULL)->id));
	s = look(must(&w, 6000));
	assert_int_equal(s->terminated, 10);
	has(s->contact, "deactivated:");
	world_fini(&w);
}

static void not_registered(void **state)
{
	struct world w;
	struct seen *s;

	(void)state;
	world_init(&w);
	subscribe(&w, "s1", "Expires: 600\r\n");
	assert_status(w.r.sent[0], 200);
	s = look(must(&w, 100));
	assert_true(s->full && s->n == 10 && s->init == 10 && s->contacts == 0);
	/* one number whose PBX tells by itself: accepted, and sent there once it has registered (REV-03) */
	ask_for(&w, 1, "+4930123451", 1);
	w.ask.only_until = true;
	subscribe(&w, "s2", "Expires: 600\r\n");
	assert_status(w.r.sent[0], 200);
	s = look(must(&w, 100));
	assert_true(s->full && s->n == 1 && s->init == 1);
	has(s->aors, "4930123451=sip:+4930123451@sbc.example.net ");
	assert_status(rig_register(&w.r, "sip:+4930123452@sbc.example.net", "Contact: <sip:dev@192.0.2.77>;expires=300\r\n"), 200);
	s = look(must(&w, 6000)); /* the trunk's watch is told; the other number's is not */
	assert_int_equal(s->n, 1);
	assert_null(notify(&w, 8000, "200 OK"));
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);
	for (unsigned i = 0, ended = 0; i < 2; i++) {
		const char *m = must(&w, 6000);

		if (strstr(m, "Subscription-State: terminated;reason=deactivated\r\n"))
			ended++;
		else
			assert_int_equal(look(m)->active, 10);
		assert_true(i == 0 || ended == 1);
	}
	assert_int_equal(subs_count(w.subs), 1);
	world_fini(&w);
}

static void one_number(void **state)
{
	struct world w;
	const char *m;
	struct seen *s;

	(void)state;
	world_init(&w);
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);
	ask_for(&w, 1, "+4930123451", 1);
	subscribe(&w, "s1", "");
	s = look(must(&w, 100));
	assert_true(s->full && s->n == 1 && s->active == 1);
	has(s->contact, "registered:sip:+4930123451@192.0.2.10:5060;transport=tcp;tk=c41f:");
	assert_status(rig_register(&w.r, "sip:+4930123455@sbc.example.net", "Contact: <sip:dev@192.0.2.77>;expires=300\r\n"), 200);
	assert_null(notify(&w, 10000, "200 OK")); /* another number */
	/* somebody else sees our address, and nothing of the PBX (topology) */
	ask_for(&w, 1, "+4930123455", 3);
	w.ask.mask = S("203.0.113.1:5080");
	w.ask.host = S("itsp.example");
	subscribe(&w, "s2", "");
	m = must(&w, 100);
	s = look(m);
	has(s->aors, "4930123455=sip:+4930123455@itsp.example "); /* REV-04 */
	assert_int_equal(s->contacts, 1); /* for two of the PBX's */
	has(s->contact, "registered:sip:+4930123455@203.0.113.1:5080:");
	assert_null(strstr(m, "192.0.2.10"));
	assert_null(strstr(m, "192.0.2.77"));
	assert_null(strstr(m, "callid"));
	assert_status(rig_register(&w.r, "sip:+4930123455@sbc.example.net", "Contact: <sip:dev@192.0.2.77>;expires=0\r\n"), 200);
	s = look(must(&w, 6000)); /* one of the two is left */
	assert_true(s->contacts == 1 && s->contacts_active == 1);
	assert_status(rig_register(&w.r, AOR, BULK ";expires=0\r\n"), 200);
	m = must(&w, 6000);
	s = look(m);
	if (!s->terminated) /* the first watch, on another number */
		s = look(m = must(&w, 6000));
	assert_int_equal(s->contacts, 1);
	assert_null(strstr(m, "192.0.2.77"));
	world_fini(&w);
}

/* A trunk with an address of its own, and what its contact said of itself. */
static void plain_trunk(void **state)
{
	struct world w;
	const char *m;
	struct seen *s;

	(void)state;
	world_init(&w);
	rig_pbx(&w.r, "user300", "a long secret", "192.0.2.20");
	w.r.call_id = "plain";
	assert_status(rig_register(&w.r, "sip:300@sbc.example.net",
	                  "Contact: <sip:300@192.0.2.20:5070;rinstance=7>;q=0.25;+sip.instance=\"<urn:uuid:17>\";audio;expires=600\r\n"),
	    200);
	ask_for(&w, 2, "", 2);
	subscribe(&w, "s1", "");
	m = must(&w, 100);
	s = look(m);
	assert_int_equal(s->n, 1);
	has(s->aors, "trunk=sip:300@sbc.example.net ");
	has(s->contact, "registered:sip:300@192.0.2.20:5070;rinstance=7:");
	has(m, "q=\"0.250\"");
	has(m, "callid=\"plain\" cseq=\"");
	has(m, "<unknown-param name=\"audio\">");
	has(m, "&lt;urn:uuid:17&gt;");
	has(m, "<gr:pub-gruu uri=\"sip:300@sbc.example.net;gr=urn:uuid:17\"/>");
	world_fini(&w);
}

/* ------------------------------------------------------------------ many */

static void many_numbers(void **state)
{
	struct world w;
	unsigned docs = 0, n = 0;
	struct seen *s;
	const char *m;

	(void)state;
	world_init(&w);
	fix_number(&w.r.fix, "+493098760000..+493098760999", 1);
	compile(&w);
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);

	ask_for(&w, 1, "", 1);
	subscribe(&w, "s1", "");
	do {
		m = must(&w, 100); /* without a gap */
		s = look(m);
		assert_int_equal(s->version, docs);
		assert_true(s->full == (docs == 0));
		n += s->n;
		docs++;
		assert_true(s->n == s->active);
	} while (n < 1010);
	assert_int_equal(n, 1010);
	assert_true(docs > 10);
	assert_null(notify(&w, 6000, "200 OK"));
	/* its refresh is not told of each number, its end is */
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);
	assert_null(notify(&w, 6000, "200 OK"));
	assert_status(rig_register(&w.r, AOR, BULK ";expires=0\r\n"), 200);
	for (n = 0; n < 500; n += s->n) {
		s = look(must(&w, 100));
		assert_int_equal(s->version, docs++);
		assert_int_equal(s->terminated, s->n);
	}
	/* in the middle of that, one that was told already changes: told again behind the others */
	assert_status(rig_register(&w.r, "sip:+4930123455@sbc.example.net", "Contact: <sip:dev@192.0.2.77>;expires=300\r\n"), 200);
	for (; n < 1010; n += s->n)
		s = look(must(&w, 100));
	assert_int_equal(n, 1010);
	s = look(must(&w, 6000));
	assert_int_equal(s->n, 1);
	assert_int_equal(s->active, 1);
	/* more numbers than may be told */
	fix_number(&w.r.fix, "+493099000000..+493099099999", 1);
	compile(&w);
	ask_for(&w, 1, "", 1);
	subscribe(&w, "s2", "");
	assert_int_equal(w.why, REASON_REG_EVENT_LARGE);
	assert_status(w.r.sent[0], 513);
	ask_for(&w, 1, "+493099000001", 1);
	subscribe(&w, "s3", "");
	assert_status(w.r.sent[0], 200);
	world_fini(&w);
}

static void not_heard(void **state)
{
	struct world w;
	const char *m;
	struct seen *s;

	(void)state;
	world_init(&w);
	subscribe(&w, "s1", "");
	look(must(&w, 100));
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);
	m = notify(&w, 6000, "500 Later");
	assert_non_null(m);
	assert_int_equal(look(m)->version, 1);
	/* meanwhile something else happens; the same version says both */
	assert_status(rig_register(&w.r, "sip:+4930123455@sbc.example.net", "Contact: <sip:dev@192.0.2.77>;expires=300\r\n"), 200);
	s = look(must(&w, 6000));
	assert_int_equal(s->version, 1);
	assert_true(s->full && s->active == 10 && s->contacts == 11);
	world_fini(&w);
}

/* over UDP alone each document stays below the mtu */
static void small_datagrams(void **state)
{
	struct world w;
	unsigned n = 0;

	(void)state;
	world_init(&w);
	fix_trunk(&w.r.fix, "small", "role=itsp realm=wan target=192.0.2.99 udp-only=yes mtu=2000");
	compile(&w);
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);
	ask_for(&w, 1, "", 4);
	w.peer.udp_only = true;
	subscribe(&w, "s1", "");
	for (unsigned docs = 0; n < 10; docs++) {
		const char *m = must(&w, 100);

		assert_true(strlen(m) < 2000);
		n += look(m)->n;
		assert_true(docs < 10);
	}
	assert_int_equal(n, 10);
	world_fini(&w);
}

/* and where large datagrams are allowed, below what a body may have */
static void large_datagrams(void **state)
{
	struct world w;
	unsigned n = 0;

	(void)state;
	world_init(&w);
	fix_trunk(&w.r.fix, "large", "role=itsp realm=wan target=192.0.2.99 udp-only=yes mtu=65000");
	fix_number(&w.r.fix, "+493098760000..+493098760089", 1);
	compile(&w);
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);
	ask_for(&w, 1, "", 4);
	w.peer.udp_only = true;
	subscribe(&w, "s1", "");
	for (unsigned docs = 0; n < 100; docs++) {
		const char *m = must(&w, 100);

		assert_true(strlen(m) < 7000 + 900);
		n += look(m)->n;
		assert_true(docs < 10);
	}
	assert_int_equal(n, 100);
	world_fini(&w);
}

/* ------------------------------------------------------------------ the operator */

static void policy_changes(void **state)
{
	struct world w;
	struct seen *s;

	(void)state;
	world_init(&w);
	assert_status(rig_register(&w.r, AOR, BULK ";expires=600\r\n"), 200);
	subscribe(&w, "s1", "");
	look(must(&w, 100));
	compile(&w); /* nothing changed */
	assert_null(notify(&w, 6000, "200 OK"));
	fix_number(&w.r.fix, "+493098760000..+493098760004", 1);
	compile(&w);
	s = look(must(&w, 6000));
	assert_true(s->full && s->n == 15 && s->active == 15);
	/* a watch on a number that goes to another trunk, and one of a trunk that may no more */
	ask_for(&w, 1, "+493098760001", 1);
	subscribe(&w, "s2", "");
	look(must(&w, 100));
	ask_for(&w, 1, "+4930123451", 3);
	subscribe(&w, "s3", "");
	look(must(&w, 100));
	w.r.fix.numbers[w.r.fix.rows.n_numbers - 1].trunk_id = 2;
	compile(&w);
	for (unsigned i = 0, gone = 0, no = 0; i < 3; i++) {
		const char *m = must(&w, 6000);

		gone += strstr(m, "terminated;reason=noresource") != NULL;
		no += strstr(m, "terminated;reason=rejected") != NULL;
		assert_true(i < 2 || (gone == 1 && no == 1));
	}
	assert_int_equal(subs_count(w.subs), 1);
	/* the trunk does not register any more */
	w.r.fix.trunks[0].n_settings = 0;
	compile(&w);
	has(must(&w, 6000), "terminated;reason=noresource");
	assert_int_equal(subs_count(w.subs), 0);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_element_per_number),
	    cmocka_unit_test(not_registered),
	    cmocka_unit_test(one_number),
	    cmocka_unit_test(plain_trunk),
	    cmocka_unit_test(many_numbers),
	    cmocka_unit_test(not_heard),
	    cmocka_unit_test(small_datagrams),
	    cmocka_unit_test(large_datagrams),
	    cmocka_unit_test(policy_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
