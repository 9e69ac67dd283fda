/* We watch our registration at a provider: one made of text, and our own registrar with its notifier. What is missing is
 * registered anew at once, what is refused is left alone, what repeats is slowed down. */
#include "rig.h"

#include "sbc/reg/client.h"
#include "sbc/reg/regevent.h"
#include "sbc/reg/regwatch.h"

#define PROV "role=itsp realm=wan target=192.0.2.50 domain=itsp.example.com probe=off expires=600s auth=gin aor=trunk42 "

struct world {
	struct rig r;
	struct targets *ts;
	struct reg_clients *cs;
	struct subs *subs;
	struct reg_watches *ws;
	struct reg_events *re;
	uint32_t id;
	char log[4096]; /* events of the client and of the watch */
	unsigned at;
	unsigned n_registers, n_subscribes;
	/* the provider made of text */
	bool own;              /* instead of it: our own registrar */
	const char *more;      /* lines of its 200 to REGISTER */
	const char *says;      /* to SUBSCRIBE */
	const char *says_more;
	char subscribe[8192], contact[512];
	unsigned version, cseq;
	char answer[4096];     /* to our last NOTIFY */
};
static struct world *here;

static void on_event(void *ctx, uint32_t trunk_id, const struct net_path *at, struct str contact, enum reason why)
{
	struct world *w = ctx;
	size_t n = strlen(w->log);

	(void)at;
	(void)contact;
	(void)trunk_id;
	snprintf(w->log + n, sizeof(w->log) - n, "%s ", why == REASON_NONE ? "registered" : reason_info(why)->name);
	if (w->ws && why != REASON_REG_EVENT_OFF)
		reg_watches_note(w->ws, trunk_id, why);
}

static const struct reg_client_user user = {.on_event = on_event};

static void other(struct rig *r, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct world *w = here;
	struct sub_peer peer = {.trunk_id = 1, .contact = S("<sip:10.0.0.9:5060>")};
	struct reg_events_ask ask = {.owner = policy_trunk(r->fix.p, 1), .host = S("itsp.example.com"), .peer = &peer};
	char lines[256];
	enum reason why;
	struct sub *s;
	struct buf h;

	s = m->to.tag.n ? subs_find(w->subs, m) : NULL;
	buf_init(&h, lines, sizeof(lines));
	if (s)
		subs_request(w->subs, s, t, m, from);
	else if (m->method != SIP_SUBSCRIBE || m->to.tag.n)
		assert_int_equal(txn_srv_refuse(t, REASON_NO_DIALOG, false, STR_NONE), 0);
	else if ((why = reg_events_subscribe(w->re, &ask, t, m, from, &h)) != REASON_NONE && txn_srv_refuse(t, why, false, STR_NONE) < 0)
		txn_srv_detach(t);
}

static void note(struct rig *r, uint32_t trunk_id, const struct reg_contact *c, enum reason why)
{
	(void)r;
	reg_events_note(here->re, trunk_id, c, why);
}

static void use_policy(struct world *w)
{
	struct policy *p = fix_compile(&w->r.fix);

	reg_set_policy(w->r.reg, p);
	targets_set_policy(w->ts, p);
	reg_events_set_policy(w->re, p);
	reg_clients_set_policy(w->cs, p);
	reg_watches_set_policy(w->ws, p);
}

static void world_init(struct world *w, const char *settings)
{
	memset(w, 0, sizeof(*w));
	here = w;
	w->more = "";
	w->says = "200 OK";
	w->says_more = "Expires: 3761\r\n";
	rig_init(&w->r);
	w->r.other = other;
	w->r.note = note;
	w->id = fix_trunk(&w->r.fix, "prov", settings);
	rig_ha1(&w->r, w->id - 1, "trunk42", "itsp.example.com", "a long secret");
	w->ts = targets_new(&w->r.env, &w->r.net, w->r.txn, NULL);
	w->cs = reg_clients_new(&w->r.env, S("Postern/test"), &user, w);
	w->subs = subs_new(&w->r.env, &(struct subs_cfg){.body_max = 6000});
	w->ws = reg_watches_new(&w->r.env, w->subs, w->cs, S("Postern/test"), &user, w);
	w->re = reg_events_new(&w->r.env, w->subs, w->r.reg);
	assert_non_null(w->ws);
	subs_start(w->subs, w->r.txn);
	reg_watches_start(w->ws, w->ts);
	use_policy(w);
	reg_clients_start(w->cs, &w->r.net, w->r.txn, w->ts);
}

static void world_fini(struct world *w)
{
	reg_watches_free(w->ws);
	subs_free(w->subs);
	reg_events_free(w->re);
	reg_clients_free(w->cs);
	targets_free(w->ts);
	rig_fini(&w->r);
}

/* ------------------------------------------------------------------ the provider */

static struct str field(const char *m, const char *name)
{
	const char *p = strstr(m, name), *e;

	if (!p)
		return STR_NONE;
	p += strlen(name);
	e = strstr(p, "\r\n");
	return str_n(p, (size_t)(e - p));
}

static void receive(struct world *w, const char *text)
{
	struct net_path from = {.proto = NET_UDP, .realm = 1};
	char copy[8192];

	assert_int_equal(addr_parse(S("192.0.2.50:5060"), 0, &from.remote), 0);
	snprintf(copy, sizeof(copy), "%s", text);
	txn_on_message(w->r.txn, &from, copy, strlen(copy), REASON_NONE);
	rig_release(&w->r);
}

static void answer(struct world *w, const char *m, const char *status, const char *lines)
{
	char text[4096];

	snprintf(text, sizeof(text),
	    "SIP/2.0 %s\r\nVia: %.*s\r\nFrom: %.*s\r\nTo: %.*s%s\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n%sContent-Length: 0\r\n\r\n",
	    status, STR(field(m, "\r\nVia: ")), STR(field(m, "\r\nFrom: ")), STR(field(m, "\r\nTo: ")),
	    str_find(field(m, "\r\nTo: "), S(";tag=")) < 0 ? ";tag=p1" : "", STR(field(m, "\r\nCall-ID: ")),
	    STR(field(m, "\r\nCSeq: ")), lines);
	receive(w, text);
}

static void provider(struct world *w, const char *m)
{
	char lines[1024];
	struct str uri;

	if (strncmp(m, "REGISTER", 8) == 0) {
		str_cut(field(m, "\r\nContact: "), '>', &uri);
		snprintf(w->contact, sizeof(w->contact), "%.*s", STR(str_from(uri, 1)));
		snprintf(lines, sizeof(lines), "Contact: %.*s>;expires=600\r\n%s", STR(uri), w->more);
		w->n_registers++;
		answer(w, m, "200 OK", lines);
	} else if (strncmp(m, "SUBSCRIBE", 9) == 0) {
		w->n_subscribes++;
		snprintf(w->subscribe, sizeof(w->subscribe), "%s", m);
		w->version = 0;
		if (w->says)
			answer(w, m, w->says, w->says_more);
	} else if (strncmp(m, "SIP/2.0", 7) == 0) {
		snprintf(w->answer, sizeof(w->answer), "%s", m);
	}
}

/* Time passes, and what is sent is answered. */
static void run(struct world *w, int64_t ms)
{
	for (int64_t t = 0; t <= ms; t += 20) {
		for (; w->at < w->r.n_sent; w->at++) {
			char m[8192];
			bool copy = false;

			snprintf(m, sizeof(m), "%s", w->r.sent[w->at]);
			for (unsigned i = 0; i < w->at; i++)
				copy = copy || strcmp(w->r.sent[i], m) == 0;
			if (copy)
				continue;
			if (w->own)
				receive(w, m);
			else
				provider(w, m);
		}
		if (w->r.n_sent > 40)
			w->r.n_sent = w->at = 0;
		w->r.clock.mono_us += 20000;
		w->r.clock.wall_us += 20000;
		timers_advance(&w->r.timers);
	}
}

/* A NOTIFY with such a document; contact: of every element, %s is ours with that number. */
static void notify(struct world *w, const char *state, bool full, const char *elements)
{
	char text[8192], body[4096];

	snprintf(body, sizeof(body),
	    "<?xml version=\"1.0\"?><reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"%u\" state=\"%s\">%s</reginfo>",
	    w->version++, full ? "full" : "partial", elements);
	snprintf(text, sizeof(text),
	    "NOTIFY sip:10.0.0.9:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bKn%u\r\nFrom: %.*s;tag=p1\r\n"
	    "To: %.*s\r\nCall-ID: %.*s\r\nCSeq: %u NOTIFY\r\nMax-Forwards: 70\r\nEvent: reg\r\n"
	    "Subscription-State: %s\r\nContact: <sip:192.0.2.50:5060>\r\nContent-Type: application/reginfo+xml\r\n"
	    "Content-Length: %zu\r\n\r\n%s",
	    ++w->r.branch, STR(field(w->subscribe, "\r\nTo: ")), STR(field(w->subscribe, "\r\nFrom: ")),
	    STR(field(w->subscribe, "\r\nCall-ID: ")), ++w->cseq, state, strlen(body), body);
	receive(w, text);
	run(w, 40);
}

/* a registration element of a number, with our contact made for it */
static const char *element(struct world *w, const char *number, const char *state, const char *event, const char *more)
{
	static char text[4][1024];
	static unsigned at;
	char *t = text[at++ % 4];
	char contact[512], *bnc;

	snprintf(contact, sizeof(contact), "sip:%s@%s", number, w->contact + 4);
	bnc = strstr(contact, ";bnc");
	assert_non_null(bnc);
	*bnc = '\0';
	snprintf(t, 1024,
	    "<registration aor=\"sip:%s@itsp.example.com\" id=\"%s\" state=\"%s\"><contact id=\"1\" state=\"%s\" event=\"%s\" "
	    "%s><uri>%s</uri></contact></registration>",
	    number, number, state, state, event, more, contact);
	return t;
}

static struct reg_watch_view view(struct world *w)
{
	struct reg_watch_view v;

	assert_true(reg_watch_view(w->ws, w->id, &v));
	return v;
}

#define assert_state(w, want) assert_string_equal(reg_watch_state_names[view(w).state], (want))
#define has(where, what) \
	do { \
		const char *h_m = (where); \
		if (!strstr(h_m, what)) \
			fail_msg("no \"%s\" in: %s", what, h_m); \
	} while (0)

#define ACTIVE "active;expires=3000"

/* registered, subscribed, seen */
static void seen(struct world *w)
{
	run(w, 2500);
	assert_int_equal(w->n_subscribes, 1);
	notify(w, ACTIVE, true, element(w, "+4930123450", "active", "registered", ""));
	assert_state(w, "sees");
}

static void sees_what_is_lost(void **state)
{
	struct world w;
	struct reg_watch_view v;

	(void)state;
	world_init(&w, PROV "reg-event=on");
	run(&w, 300);
	assert_int_equal(w.n_registers, 1);
	assert_state(&w, "waiting");
	run(&w, 2200);
	assert_int_equal(w.n_subscribes, 1);
	has(w.subscribe, "SUBSCRIBE sip:trunk42@itsp.example.com SIP/2.0");
	has(w.subscribe, "\r\nEvent: reg\r\n");
	has(w.subscribe, "\r\nAccept: application/reginfo+xml\r\n");
	has(w.subscribe, "\r\nTo: <sip:trunk42@itsp.example.com>\r\n");
	has(w.subscribe, "\r\nContact: <sip:10.0.0.9:5060;tk=");
	assert_null(strstr(w.subscribe, "bnc"));
	assert_state(&w, "asking");
	notify(&w, ACTIVE, true, element(&w, "+4930123450", "active", "registered", ""));
	has(w.answer, "SIP/2.0 200");
	assert_state(&w, "sees");
	assert_int_equal(view(&w).confirmed, 1);
	assert_true(reg_watch_confirms(w.ws, w.id, S("+4930123450")));
	/* one more number, one less */
	notify(&w, ACTIVE, false, element(&w, "+4930123451", "active", "created", ""));
	assert_int_equal(view(&w).confirmed, 2);
	notify(&w, ACTIVE, false, "<registration aor=\"sip:+4930123450@itsp.example.com\" id=\"1\" state=\"init\"/>");
	assert_int_equal(view(&w).confirmed, 1);
	assert_false(reg_watch_confirms(w.ws, w.id, S("+4930123450")));
	assert_state(&w, "sees");
	/* somebody else's contact is none of ours */
	notify(&w, ACTIVE, false,
	    "<registration aor=\"sip:+4930123451@itsp.example.com\" id=\"1\" state=\"active\"><contact id=\"9\" "
	    "state=\"terminated\" event=\"expired\"><uri>sip:x@10.0.0.9:5060;tk=abc</uri></contact></registration>");
	assert_state(&w, "sees");
	assert_int_equal(w.n_registers, 1);
	/* ours is: registered anew at once, with the reason */
	notify(&w, ACTIVE, false, element(&w, "+4930123451", "terminated", "deactivated", ""));
	run(&w, 200);
	assert_int_equal(w.n_registers, 2);
	assert_string_equal(w.log, "registered REG_EVENT_LOST registered ");
	notify(&w, ACTIVE, true, element(&w, "+4930123450", "active", "registered", ""));
	assert_state(&w, "sees");
	v = view(&w);
	assert_int_equal(v.losses, 1);
	assert_int_equal(v.confirmed, 1);
	assert_true(v.heard_wall_us > 0);
	world_fini(&w);
}

static void not_there_at_all(void **state)
{
	struct world w;
	unsigned n;

	(void)state;
	world_init(&w, PROV "reg-event=on");
	seen(&w);
	notify(&w, ACTIVE, true, "<registration aor=\"sip:+4930123450@itsp.example.com\" id=\"1\" state=\"init\"/>");
	run(&w, 200);
	assert_int_equal(w.n_registers, 2);
	/* it goes on saying so, whatever it answers to REGISTER: slower and slower */
	for (unsigned i = 0; i < 100; i++) {
		notify(&w, ACTIVE, true, "");
		run(&w, 5000);
	}
	n = view(&w).losses;
	if (n < 4 || n > 6)
		fail_msg("%u times in 500 s", n);
	assert_state(&w, "misses");
	world_fini(&w);
}

/* A provider that shows contacts of its own instead of ours: nothing is concluded from them. */
static void others_contacts(void **state)
{
	static const char other[] =
	    "<registration aor=\"sip:+4930123450@itsp.example.com\" id=\"1\" state=\"active\"><contact id=\"9\" state=\"active\" "
	    "event=\"registered\"><uri>sip:x@edge.itsp.example;alias=1</uri></contact></registration>";
	struct world w;

	(void)state;
	world_init(&w, PROV "reg-event=on");
	run(&w, 2500);
	notify(&w, ACTIVE, true, other);
	run(&w, 60000);
	assert_state(&w, "blind");
	assert_int_equal(w.n_registers, 1);
	/* once ours was there, it is missed */
	notify(&w, ACTIVE, true, element(&w, "+4930123450", "active", "registered", ""));
	assert_state(&w, "sees");
	notify(&w, ACTIVE, true, other);
	run(&w, 200);
	assert_int_equal(w.n_registers, 2);
	world_fini(&w);
}

/* ------------------------------------------------------------------ bad weather */

struct packet {
	int64_t due_us;
	char *text;
};

/* Between our registrar and its client: a fifth of all is lost, a tenth comes twice, all comes late. */
static void storm(struct world *w, int64_t ms, unsigned loss, struct packet *q, unsigned max)
{
	for (int64_t t = 0; t <= ms; t += 20) {
		for (; w->at < w->r.n_sent; w->at++) {
			unsigned copies = rng_below(&w->r.rng, 100) < loss ? 0 : rng_below(&w->r.rng, 100) < loss / 2 ? 2 : 1;

			for (unsigned i = 0; i < max && copies; i++) {
				if (q[i].text)
					continue;
				q[i].text = strdup(w->r.sent[w->at]);
				q[i].due_us = w->r.clock.mono_us + (int64_t)rng_below(&w->r.rng, loss ? 400000 : 1000);
				copies--;
			}
			assert_int_equal(copies, 0);
		}
		w->r.n_sent = w->r.n_stored = w->at = 0;
		for (unsigned i = 0; i < max; i++) {
			char *text = q[i].text;

			if (!text || q[i].due_us > w->r.clock.mono_us)
				continue;
			q[i].text = NULL;
			receive(w, text);
			free(text);
		}
		w->r.clock.mono_us += 20000;
		w->r.clock.wall_us += 20000;
		timers_advance(&w->r.timers);
	}
}

/* Whatever is lost and whatever happens meanwhile: when the weather is fine again both sides say the same. */
static void finds_the_truth_again(void **state)
{
	struct packet q[512] = {{0, NULL}};

	(void)state;
	for (unsigned seed = 1; seed <= 12; seed++) {
		struct reg_watch_view v;
		struct world w;

		world_init(&w, "role=itsp realm=wan target=192.0.2.50 domain=sbc.example.net probe=off auth=gin aor=trunk42 "
		               "expires=120s reg-event=on max-subscriptions=unlimited");
		w.own = true;
		rng_init_seeded(&w.r.rng, seed);
		rig_ha1(&w.r, w.id - 1, "trunk42", "sbc.example.net", "a long secret");
		use_policy(&w);
		for (unsigned i = 0; i < 12; i++) {
			const struct reg_contact *c;

			storm(&w, 1000 + rng_below(&w.r.rng, 40000), 20, q, ARRAY_LEN(q));
			c = bindings_walk(reg_bindings(w.r.reg), NULL);
			switch (rng_below(&w.r.rng, 4)) {
			case 0:
				if (c)
					(void)reg_kick(w.r.reg, c->id);
				break;
			case 1:
				(void)reg_client_unregister(w.cs, w.id);
				break;
			case 2:
				(void)reg_client_register(w.cs, w.id);
				break;
			default:
				break;
			}
		}
		(void)reg_client_register(w.cs, w.id);
		storm(&w, 4000000, 0, q, ARRAY_LEN(q)); /* longer than every back-off, and the whole subscription */
		v = view(&w);
		if (v.state != REG_WATCH_SEES || v.confirmed != 10 || !bindings_walk(reg_bindings(w.r.reg), NULL))
			fail_msg("seed %u: %s, %u confirmed", seed, reg_watch_state_names[v.state], v.confirmed);
		assert_true(subs_count(w.subs) <= 4);
		for (unsigned i = 0; i < ARRAY_LEN(q); i++) {
			free(q[i].text);
			q[i].text = NULL;
		}
		world_fini(&w);
	}
}

static void shortened(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "reg-event=on");
	seen(&w);
	notify(&w, ACTIVE, false, element(&w, "+4930123450", "active", "refreshed", "expires=\"599\""));
	run(&w, 200);
	assert_int_equal(w.n_registers, 1);
	notify(&w, ACTIVE, false, element(&w, "+4930123450", "active", "shortened", "expires=\"60\""));
	run(&w, 200);
	assert_int_equal(w.n_registers, 2);
	has(w.log, "REG_EVENT_SHORT");
	/* it was held all the time */
	assert_null(strstr(w.log, "REG_LOST"));
	assert_state(&w, "sees");
	/* on probation it is left alone for as long as that says */
	notify(&w, ACTIVE, false, element(&w, "+4930123450", "terminated", "probation", "retry-after=\"90\""));
	run(&w, 89000);
	assert_int_equal(w.n_registers, 2);
	run(&w, 2000);
	assert_int_equal(w.n_registers, 3);
	world_fini(&w);
}

/* Nothing is asked for again that was refused for good, until there is a new registration. */
static void refused(void **state)
{
	static const char *const statuses[] = {"489 Bad Event", "403 No", "405 No", "501 No"};
	struct world w;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(statuses); i++) {
		world_init(&w, PROV "reg-event=on");
		w.says = statuses[i];
		w.says_more = "";
		run(&w, 2500);
		assert_state(&w, "refused");
		assert_int_equal(view(&w).status, atoi(statuses[i]));
		assert_string_equal(w.log, "registered REG_EVENT_OFF ");
		run(&w, 1200000); /* registered all the while */
		assert_true(w.n_registers > 2);
		assert_int_equal(w.n_subscribes, 1);
		assert_true(reg_client_unregister(w.cs, w.id));
		run(&w, 3000);
		assert_state(&w, "off");
		assert_true(reg_client_register(w.cs, w.id));
		run(&w, 3000);
		assert_int_equal(w.n_subscribes, 2);
		world_fini(&w);
	}
}

static void comes_back(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "reg-event=on");
	w.says = "503 Later";
	w.says_more = "Retry-After: 120\r\n";
	run(&w, 2500);
	assert_int_equal(w.n_subscribes, 1);
	run(&w, 118000);
	assert_int_equal(w.n_subscribes, 1);
	w.says = "200 OK";
	w.says_more = "Expires: 3761\r\n";
	run(&w, 4000);
	assert_int_equal(w.n_subscribes, 2);
	notify(&w, ACTIVE, true, element(&w, "+4930123450", "active", "registered", ""));
	assert_state(&w, "sees");
	/* told to begin anew: at once, but only the first time */
	run(&w, 70000);
	notify(&w, "terminated;reason=deactivated", false, "");
	run(&w, 200);
	assert_int_equal(w.n_subscribes, 3);
	for (unsigned i = 0; i < 5; i++) {
		notify(&w, "terminated;reason=deactivated", true, element(&w, "+4930123450", "active", "registered", ""));
		run(&w, 10000);
	}
	assert_true(w.n_subscribes <= 5);
	assert_int_equal(w.n_registers, 1);
	world_fini(&w);
}

static void who_are_you(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "reg-event=on");
	w.says = NULL;
	run(&w, 2500);
	answer(&w, w.subscribe, "401 Who", "WWW-Authenticate: Digest realm=\"itsp.example.com\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256\r\n");
	run(&w, 40);
	assert_int_equal(w.n_subscribes, 2);
	has(w.subscribe, "\r\nAuthorization: Digest username=\"trunk42\"");
	has(w.subscribe, "uri=\"sip:trunk42@itsp.example.com\"");
	answer(&w, w.subscribe, "401 Who", "WWW-Authenticate: Digest realm=\"itsp.example.com\", nonce=\"n2\", qop=\"auth\", algorithm=SHA-256\r\n");
	run(&w, 100000);
	assert_int_equal(w.n_subscribes, 2); /* a wrong password is not tried again, whatever the nonce */
	assert_state(&w, "refused");
	world_fini(&w);
}

/* It was right, only late. */
static void an_old_nonce(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "reg-event=on");
	w.says = NULL;
	run(&w, 2500);
	answer(&w, w.subscribe, "401 Who", "WWW-Authenticate: Digest realm=\"itsp.example.com\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256\r\n");
	run(&w, 40);
	answer(&w, w.subscribe, "401 Who",
	    "WWW-Authenticate: Digest realm=\"itsp.example.com\", nonce=\"n2\", qop=\"auth\", algorithm=SHA-256, stale=true\r\n");
	run(&w, 40);
	assert_int_equal(w.n_subscribes, 3);
	has(w.subscribe, "nonce=\"n2\"");
	world_fini(&w);
}

/* Its trunk says that the whole message has to be covered: of a SUBSCRIBE too (AUT-14). */
static void the_body_is_covered(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "reg-event=on auth-int=require");
	w.says = NULL;
	run(&w, 2500);
	answer(&w, w.subscribe, "401 Who",
	    "WWW-Authenticate: Digest realm=\"itsp.example.com\", nonce=\"n1\", qop=\"auth,auth-int\", algorithm=SHA-256\r\n");
	run(&w, 40);
	assert_int_equal(w.n_subscribes, 2);
	has(w.subscribe, "qop=auth-int");
	world_fini(&w);
}

static void only_when_it_says_so(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV);
	run(&w, 5000);
	assert_int_equal(w.n_subscribes, 0);
	assert_state(&w, "not-offered");
	world_fini(&w);

	world_init(&w, PROV);
	w.more = "Allow-Events: presence, reg\r\n";
	run(&w, 5000);
	assert_int_equal(w.n_subscribes, 1);
	world_fini(&w);

	world_init(&w, PROV "reg-event=off");
	w.more = "Allow-Events: reg\r\n";
	run(&w, 5000);
	assert_int_equal(w.n_subscribes, 0);
	assert_state(&w, "off");
	world_fini(&w);
}

static void odd_notifies(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PROV "reg-event=on");
	seen(&w);
	notify(&w, ACTIVE, false, "<registration");
	has(w.answer, "SIP/2.0 400");
	assert_state(&w, "sees");
	/* an old partial one */
	w.version = 0;
	notify(&w, ACTIVE, false, element(&w, "+4930123450", "terminated", "expired", ""));
	assert_state(&w, "sees");
	/* a gap: the whole of it is asked for */
	w.version = 7;
	notify(&w, ACTIVE, false, "");
	run(&w, 100);
	assert_int_equal(w.n_subscribes, 2);
	has(w.subscribe, ";tag=p1\r\nCall-ID");
	/* what is pending tells nothing */
	notify(&w, "pending", true, "");
	assert_state(&w, "sees");
	assert_int_equal(w.n_registers, 1);
	world_fini(&w);
}

/* Both halves of this program: the registrar loses it, and has it back when it has told so. */
static void at_our_own_registrar(void **state)
{
	const struct reg_contact *c;
	struct world w;
	uint64_t id;

	(void)state;
	world_init(&w, "role=itsp realm=wan target=192.0.2.50 domain=sbc.example.net probe=off auth=gin aor=trunk42 expires=600s"); /* auto: it says that it has them */
	w.own = true;
	rig_ha1(&w.r, w.id - 1, "trunk42", "sbc.example.net", "a long secret");
	use_policy(&w);
	run(&w, 3000);
	assert_state(&w, "sees");
	assert_int_equal(view(&w).confirmed, 10);
	c = bindings_next(reg_bindings(w.r.reg), 1, STR_NONE, NULL);
	assert_non_null(c);
	id = c->id;
	assert_true(reg_kick(w.r.reg, id));
	run(&w, 5000); /* the gap between NOTIFYs, and then at once */
	assert_non_null(bindings_next(reg_bindings(w.r.reg), 1, STR_NONE, NULL));
	assert_string_equal(w.log, "registered REG_EVENT_LOST registered ");
	run(&w, 6000);
	assert_state(&w, "sees");
	assert_int_equal(view(&w).confirmed, 10);
	/* taken back: nobody watches any more */
	assert_true(reg_client_unregister(w.cs, w.id));
	run(&w, 8000);
	assert_state(&w, "off");
	assert_int_equal(subs_count(w.subs), 0);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sees_what_is_lost),
	    cmocka_unit_test(not_there_at_all),
	    cmocka_unit_test(others_contacts),
	    cmocka_unit_test(finds_the_truth_again),
	    cmocka_unit_test(shortened),
	    cmocka_unit_test(refused),
	    cmocka_unit_test(comes_back),
	    cmocka_unit_test(who_are_you),
	    cmocka_unit_test(an_old_nonce),
	    cmocka_unit_test(the_body_is_covered),
	    cmocka_unit_test(only_when_it_says_so),
	    cmocka_unit_test(odd_notifies),
	    cmocka_unit_test(at_our_own_registrar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
