/* A PBX that registered by two flows (RFC 5626): which of them calls take, when the other one does, and what happens to
 * calls whose flow is gone (KA-11). */
#include "rig.h"

#include "sbc/reg/flow_token.h"
#include "sbc/reg/reg.h"

#define DID "+49301234507"
#define INSTANCE "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"

struct flows {
	struct rig *r;
	struct reg *reg;
	uint64_t next_id;
};

static void on_event(void *ctx, uint32_t trunk_id, const struct reg_contact *c, enum reason why)
{
	(void)ctx;
	(void)trunk_id;
	(void)c;
	(void)why;
}

static const struct gin_secret secret = {{7}};

static const struct reg_user reg_user = {rig_store, rig_is_local, on_event};

static struct flows *begin(void)
{
	struct flows *f = calloc(1, sizeof(*f));
	struct rig *r = rig_new();

	f->r = r;
	f->next_id = 1;
	f->reg = reg_new(&r->env, &(struct reg_cfg){.realm = S("x"), .net = &r->net}, &reg_user, f);
	b2b_free(r->b2b);
	r->b2b = b2b_new(&r->env, &r->net, r->media,
	    &(struct b2b_cfg){.user_agent = S("Postern/test"), .locator = &r->locator, .auth = r->auth, .digest_realm = S("usual"),
	        .reg = f->reg},
	    &rig_user, r);
	assert_non_null(r->b2b);
	reg_set_cookie_secret(f->reg, secret.key);
	rig_set(r, PBX, "auth", "gin");
	rig_set(r, PBX, "aor", "trunk42");
	r->trunks[PBX].n_targets = 0; /* nowhere else to go */
	rig_compile(r);
	reg_set_policy(f->reg, r->policy);
	return f;
}

static void end(struct flows *f)
{
	struct rig *r = f->r;

	rig_pass(r, 4000000); /* what is bound runs out */
	reg_free(f->reg);
	rig_end(r);
	free(f);
}

/* The bulk contact by the flow of that connection; path: of a proxy, NULL: none */
static void registers(struct flows *f, uint32_t reg_id, uint8_t proto, uint32_t conn, const char *from, const char *path)
{
	struct reg_contact c = {.id = f->next_id++,
	    .trunk_id = 1,
	    .bulk = true,
	    .q = 1000,
	    .reg_id = reg_id,
	    .instance = reg_id ? S(INSTANCE) : STR_NONE,
	    .uri = S("sip:10.9.8.7:5070;tk=c41f;bnc"),
	    .call_id = S("reg"),
	    .path = path ? str_z(path) : STR_NONE,
	    .flow = {.proto = proto, .realm = 0, .remote = rig_addr(from), .conn = conn},
	    .since_wall_us = f->r->clock.wall_us - reg_id,
	    .expires_wall_us = f->r->clock.wall_us + 3600000000,
	    .expires_us = f->r->clock.mono_us + 3600000000};

	assert_int_equal(bindings_put(reg_bindings(f->reg), &c), 0);
}

/* A call of the ITSP to the number. */
static void called(struct flows *f, const char *call_id)
{
	rig_rx(f->r, 1, "203.0.113.20", sdp_b,
	    "INVITE sip:" DID "@203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKf%u\n"
	    "From: <sip:+4989998877@itsp.example>;tag=itag\nTo: <sip:" DID "@203.0.113.1>\nCall-ID: %s\n"
	    "CSeq: 1 INVITE\nMax-Forwards: 30\nContact: <sip:bob@203.0.113.20:5060>\n",
	    ++f->r->branch, call_id);
}

static struct sent *invite_by(struct flows *f, uint32_t conn)
{
	struct sent *s = rig_find(f->r, "INVITE ");

	assert_memory_equal(s->text, "INVITE sip:" DID "@10.9.8.7:5070;tk=c41f SIP/2.0\r\n", 55);
	assert_int_equal(s->to.conn, conn);
	return s;
}

/* What the ITSP hears in the end. */
static void told(struct flows *f, const char *status, enum reason why)
{
	rig_find(f->r, status);
	rig_pass(f->r, 100);
	assert_int_equal(f->r->rec[f->r->n_rec - 1].reason, why);
}

#define OK_LINES "Contact: <sip:pbx@10.9.8.7:5070>\n"

/* The one that is gone is passed over; none that stands: not there, and why. */
static void dead_ones_are_passed_over(void **state)
{
	struct flows *f = begin();

	(void)state;
	registers(f, 1, NET_TCP, 71, "198.51.100.10:40001", NULL);
	registers(f, 2, NET_TCP, 72, "198.51.100.10:40002", NULL);
	called(f, "one");
	rig_answer(f->r, invite_by(f, 71), "486 Busy", "p", "", NULL);
	told(f, "SIP/2.0 486", REASON_PEER_BUSY);
	f->r->gone[0] = 71;
	called(f, "two");
	rig_answer(f->r, invite_by(f, 72), "486 Busy", "p", "", NULL);
	told(f, "SIP/2.0 486", REASON_PEER_BUSY);
	f->r->gone[1] = 72;
	called(f, "three");
	told(f, "SIP/2.0 480", REASON_FLOW_FAILED);
	end(f);
}

/* 430, 408 and silence are the flow's, and lead to the next one; any other answer is the instance's. */
static void another_answer_is_not_asked_for(void **state)
{
	static const struct {
		const char *says, *hears;
		bool goes_on;
		enum reason why;
	} rows[] = {{"430 Flow Failed", NULL, true, REASON_NONE}, {"408 Timeout", NULL, true, REASON_NONE},
	    {NULL, NULL, true, REASON_NONE}, {"503 Busy", "SIP/2.0 500", false, REASON_PEER_ERROR},
	    {"404 No", "SIP/2.0 404", false, REASON_PEER_NOT_FOUND}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct flows *f = begin();
		struct sent *s;

		rig_set(f->r, PBX, "try-timeout", "1s");
		rig_compile(f->r);
		reg_set_policy(f->reg, f->r->policy);
		registers(f, 1, NET_UDP, 0, "198.51.100.10:40001", NULL);
		registers(f, 2, NET_UDP, 0, "198.51.100.10:40002", NULL);
		called(f, "one");
		s = rig_find(f->r, "INVITE ");
		assert_int_equal(addr_port(&s->to.remote), 40001);
		if (rows[i].says)
			rig_answer(f->r, s, rows[i].says, "p", "", NULL);
		else
			rig_pass(f->r, 1100);
		if (rows[i].goes_on) {
			do
				s = rig_find(f->r, "INVITE ");
			while (addr_port(&s->to.remote) == 40001);
			assert_int_equal(addr_port(&s->to.remote), 40002);
			rig_answer(f->r, s, "486 Busy", "p", "", NULL);
			told(f, "SIP/2.0 486", REASON_PEER_BUSY);
		} else {
			told(f, rows[i].hears, rows[i].why);
			assert_int_equal(rig_count(f->r, 0, "INVITE "), 1);
		}
		end(f);
	}
	/* all of them say 430: the caller is told what it is when nobody is registered */
	{
		struct flows *f = begin();

		registers(f, 1, NET_TCP, 71, "198.51.100.10:40001", "<sip:edge@198.51.100.10:5060;transport=tcp;lr;ob>");
		called(f, "last");
		rig_answer(f->r, rig_find(f->r, "INVITE "), "430 Flow Failed", "p", "", NULL);
		told(f, "SIP/2.0 480", REASON_FLOW_FAILED);
		end(f);
	}
}

/* The flow is lost with an INVITE that nobody has answered, or only 100: at once by the next one; never by another
 * connection to the same place. One that rings may still be answered. */
static void lost_while_it_waits(void **state)
{
	static const char *const said[] = {NULL, "100 Trying", "180 Ringing"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(said); i++) {
		struct flows *f = begin();
		struct sent *s;

		registers(f, 1, NET_TCP, 71, "198.51.100.10:40001", NULL);
		registers(f, 2, NET_TCP, 72, "198.51.100.10:40002", NULL);
		called(f, "one");
		s = invite_by(f, 71);
		if (said[i])
			rig_answer(f->r, s, said[i], i == 1 ? "" : "p", i == 1 ? "" : OK_LINES, NULL);
		f->r->gone[0] = 71;
		b2b_on_flow_lost(f->r->b2b, &s->to, -ECONNRESET);
		rig_pass(f->r, 1);
		if (i == 2) {
			assert_int_equal(rig_count(f->r, 0, "INVITE "), 1);
			rig_answer(f->r, s, "486 Busy", "p", "", NULL);
		} else {
			rig_answer(f->r, invite_by(f, 72), "486 Busy", "q", "", NULL);
			assert_int_equal(rig_count(f->r, 0, "INVITE "), 2);
		}
		told(f, "SIP/2.0 486", REASON_PEER_BUSY);
		end(f);
	}
}

/* Outside of calls the same. */
static void outside_of_calls(void **state)
{
	struct flows *f = begin();
	struct sent *s;

	(void)state;
	registers(f, 1, NET_TCP, 71, "198.51.100.10:40001", NULL);
	registers(f, 2, NET_TCP, 72, "198.51.100.10:40002", NULL);
	for (unsigned i = 0; i < 2; i++) {
		rig_rx(f->r, 1, "203.0.113.20", "x",
		    "MESSAGE sip:" DID "@203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKf%u\n"
		    "From: <sip:+4989998877@itsp.example>;tag=itag\nTo: <sip:" DID "@203.0.113.1>\nCall-ID: m%u\n"
		    "CSeq: 1 MESSAGE\nMax-Forwards: 30\nContent-Type: text/plain\n",
		    ++f->r->branch, i);
		s = rig_find(f->r, "MESSAGE ");
		assert_int_equal(s->to.conn, 71);
		if (i == 0) {
			rig_answer(f->r, s, "430 Flow Failed", "p", "", NULL);
			s = rig_find(f->r, "MESSAGE ");
			assert_int_equal(s->to.conn, 72);
			rig_answer(f->r, s, "200 OK", "p", "", NULL);
			rig_find(f->r, "SIP/2.0 200");
		} else { /* its answer, and no second opinion */
			rig_answer(f->r, s, "503 Busy", "p", "", NULL);
			rig_find(f->r, "SIP/2.0 500");
		}
	}
	assert_int_equal(rig_count(f->r, 0, "MESSAGE "), 3);
	f->r->gone[0] = 71;
	f->r->gone[1] = 72;
	rig_rx(f->r, 1, "203.0.113.20", "x",
	    "MESSAGE sip:" DID "@203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKlast\n"
	    "From: <sip:+4989998877@itsp.example>;tag=itag\nTo: <sip:" DID "@203.0.113.1>\nCall-ID: m9\n"
	    "CSeq: 1 MESSAGE\nMax-Forwards: 30\nContent-Type: text/plain\n");
	rig_find(f->r, "SIP/2.0 480");
	end(f);
}

/* A call in by the first flow, which is lost then: what follows goes by the second; nothing stands: as it was. */
static void a_call_changes_over(void **state)
{
	struct flows *f = begin();
	struct rig *r = f->r;
	struct sent *inv, *s;
	char ours[64];

	(void)state;
	registers(f, 1, NET_TCP, 71, "198.51.100.10:40001", NULL);
	registers(f, 2, NET_TCP, 72, "198.51.100.10:40002", NULL);
	called(f, "up");
	inv = invite_by(f, 71);
	rig_answer(r, inv, "200 OK", "ptag", OK_LINES, sdp_a);
	s = rig_find(r, "SIP/2.0 200");
	snprintf(ours, sizeof(ours), "%s", rig_tag(r, rig_hdr(r, s, "To")));
	for (unsigned i = 0; i < r->n_sent; i++) /* by the flow, not to where the Contact says */
		if (strncmp(r->sent[i].text, "ACK ", 4) == 0)
			assert_int_equal(r->sent[i].to.conn, 71);
	rig_rx(r, 1, "203.0.113.20", NULL,
	    "ACK sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKa%u\n"
	    "From: <sip:+4989998877@itsp.example>;tag=itag\nTo: <sip:" DID "@203.0.113.1>;tag=%s\nCall-ID: up\nCSeq: 1 ACK\n",
	    ++r->branch, ours);
	r->gone[0] = 71;
	r->at = r->n_sent;
	rig_rx(r, 1, "203.0.113.20", "Signal=1\r\n",
	    "INFO sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKa%u\n"
	    "From: <sip:+4989998877@itsp.example>;tag=itag\nTo: <sip:" DID "@203.0.113.1>;tag=%s\nCall-ID: up\nCSeq: 2 INFO\n"
	    "Max-Forwards: 70\nContent-Type: application/dtmf-relay\n",
	    ++r->branch, ours);
	s = rig_find(r, "INFO ");
	assert_int_equal(s->to.conn, 72);
	assert_int_equal(addr_port(&s->to.remote), 40002);
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_find(r, "SIP/2.0 200");
	/* the flow is lost while a request is out: once more by one that stands */
	rig_rx(r, 1, "203.0.113.20", NULL,
	    "BYE sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKa%u\n"
	    "From: <sip:+4989998877@itsp.example>;tag=itag\nTo: <sip:" DID "@203.0.113.1>;tag=%s\nCall-ID: up\nCSeq: 3 BYE\n"
	    "Max-Forwards: 70\n",
	    ++r->branch, ours);
	s = rig_find(r, "BYE ");
	assert_int_equal(s->to.conn, 72);
	r->gone[0] = 72;
	b2b_on_failure(r->b2b, &s->to, s->owner, -ECONNRESET, STR_NONE);
	s = rig_find(r, "BYE ");
	assert_int_equal(s->to.conn, 71);
	rig_answer(r, s, "200 OK", "", "", NULL);
	end(f);
}

/* The PBX's own call, by a flow: what we send in it goes by that flow or another one of the instance. */
static void a_call_of_the_pbx_changes_over(void **state)
{
	struct flows *f = begin();
	struct rig *r = f->r;
	struct sent *inv, *s;

	(void)state;
	registers(f, 1, NET_TCP, 71, "198.51.100.10:40001", NULL);
	registers(f, 2, NET_TCP, 72, "198.51.100.10:40002", NULL);
	r->rx_proto = NET_TCP;
	r->rx_conn = 71;
	rig_rx(r, 0, "198.51.100.10:40001", sdp_a,
	    "INVITE sip:+4989998877@198.51.100.1 SIP/2.0\nVia: SIP/2.0/TCP 10.9.8.7:5070;branch=z9hG4bKo\n"
	    "From: <sip:" DID "@pbx.example>;tag=atag\nTo: <sip:+4989998877@198.51.100.1>\nCall-ID: out\n"
	    "CSeq: 1 INVITE\nMax-Forwards: 30\nContact: <sip:pbx@10.9.8.7:5070;ob>\n");
	r->rx_proto = NET_UDP;
	r->rx_conn = 0;
	inv = rig_find(r, "INVITE ");
	rig_answer(r, inv, "200 OK", "btag", "Contact: <sip:bob@203.0.113.20:5060>\n", sdp_b);
	s = rig_find(r, "SIP/2.0 200");
	assert_int_equal(s->to.conn, 71);
	r->rx_proto = NET_TCP;
	r->rx_conn = 71;
	rig_rx(r, 0, "198.51.100.10:40001", NULL,
	    "ACK sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/TCP 10.9.8.7:5070;branch=z9hG4bKp\nFrom: <sip:" DID "@pbx.example>;tag=atag\n"
	    "To: %s\nCall-ID: out\nCSeq: 1 ACK\nMax-Forwards: 30\n",
	    rig_hdr(r, s, "To"));
	r->rx_proto = NET_UDP;
	r->rx_conn = 0;
	r->gone[0] = 71;
	rig_rx(r, 1, "203.0.113.20", NULL,
	    "BYE sip:203.0.113.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKs%u\nFrom: %s;tag=btag\nTo: %s\n"
	    "Call-ID: %s\nCSeq: 1 BYE\nMax-Forwards: 70\n",
	    ++r->branch, rig_hdr(r, inv, "To"), rig_hdr(r, inv, "From"), rig_hdr(r, inv, "Call-ID"));
	s = rig_find(r, "BYE ");
	assert_int_equal(s->to.conn, 72);
	rig_answer(r, s, "200 OK", "", "", NULL);
	end(f);
}

/* Behind a proxy reg-id is between the two of them: when its connection to us is gone, it is connected to. */
static void a_proxy_is_connected_to(void **state)
{
	struct flows *f = begin();
	struct sent *s;

	(void)state;
	registers(f, 1, NET_TCP, 71, "198.51.100.10:40001", "<sip:edge@198.51.100.10:5066;transport=tcp;lr;ob>");
	f->r->gone[0] = 71;
	f->r->fail_host = "198.51.100.10:40001";
	f->r->fail_err = -ECONNREFUSED;
	called(f, "one");
	rig_pass(f->r, 1);
	s = rig_find(f->r, "INVITE ");
	assert_int_equal(addr_port(&s->to.remote), 5066);
	assert_non_null(strstr(s->text, "\r\nRoute: <sip:edge@198.51.100.10:5066;transport=tcp;lr;ob>\r\n"));
	rig_answer(f->r, s, "486 Busy", "p", "", NULL);
	told(f, "SIP/2.0 486", REASON_PEER_BUSY);
	end(f);
}

/* Without reg-id: a contact behind NAT whose connection is gone is given up at once, one that can be connected to is. */
static void plain_contacts_of_lost_connections(void **state)
{
	struct flows *f = begin();
	struct sent *s;

	(void)state;
	registers(f, 0, NET_TCP, 71, "198.51.100.10:40001", NULL); /* it says 10.9.8.7 */
	called(f, "one");
	rig_answer(f->r, invite_by(f, 71), "486 Busy", "p", "", NULL);
	told(f, "SIP/2.0 486", REASON_PEER_BUSY);
	f->r->gone[0] = 71;
	called(f, "two");
	told(f, "SIP/2.0 480", REASON_FLOW_FAILED);
	assert_int_equal(rig_count(f->r, 0, "INVITE "), 1);
	end(f);
	f = begin();
	registers(f, 0, NET_TCP, 71, "10.9.8.7:40001", NULL);
	called(f, "one");
	s = invite_by(f, 71);
	rig_answer(f->r, s, "486 Busy", "p", "", NULL);
	told(f, "SIP/2.0 486", REASON_PEER_BUSY);
	f->r->gone[0] = 71;
	called(f, "two");
	s = rig_find(f->r, "INVITE ");
	assert_int_equal(addr_port(&s->to.remote), 5070);
	rig_answer(f->r, s, "486 Busy", "p", "", NULL);
	told(f, "SIP/2.0 486", REASON_PEER_BUSY);
	end(f);
}

/* A request of the ITSP with the name of a flow as its Route: registration id by that flow. */
static void routed(struct flows *f, const char *method, const char *ruri, uint64_t id, uint32_t conn, const char *from, bool tampered)
{
	struct net_path flow = {.proto = NET_TCP, .realm = 0, .remote = rig_addr(from), .conn = conn};
	char token[64];
	struct buf b;

	buf_init(&b, token, sizeof(token));
	assert_int_equal(flow_token_put(&secret, id, &flow, &b), 0);
	if (tampered)
		token[20] = token[20] == 'x' ? 'y' : 'x';
	buf_z(&b);
	f->r->branch++;
	rig_rx(f->r, 1, "203.0.113.20", strcmp(method, "INVITE") == 0 ? sdp_b : NULL,
	    "%s %s SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKf%u\nRoute: <sip:%s@203.0.113.1;lr;ob>\n"
	    "From: <sip:+4989998877@itsp.example>;tag=itag\nTo: <sip:" DID "@203.0.113.1>\nCall-ID: r%u\n"
	    "CSeq: 1 %s\nMax-Forwards: 30\nContact: <sip:bob@203.0.113.20:5060>\n",
	    method, ruri, f->r->branch, token, f->r->branch, method);
}

/* By the flow that the Route names and no other, also when the request URI is the contact; changed: 403; gone: 430. */
static void route_of_a_flow(void **state)
{
	static const char *const ruris[] = {"sip:" DID "@203.0.113.1", "sip:" DID "@10.9.8.7:5070;tk=c41f"};
	struct flows *f = begin();
	struct rig *r = f->r;
	struct sent *s;

	(void)state;
	registers(f, 1, NET_TCP, 71, "198.51.100.10:40001", NULL);
	registers(f, 2, NET_TCP, 72, "198.51.100.10:40002", NULL);
	for (unsigned i = 0; i < ARRAY_LEN(ruris); i++) {
		routed(f, "INVITE", ruris[i], 2, 72, "198.51.100.10:40002", false);
		rig_answer(r, invite_by(f, 72), "430 Flow Failed", "p", "", NULL);
		told(f, "SIP/2.0 480", REASON_FLOW_FAILED); /* not by the first */
		routed(f, "OPTIONS", ruris[i], 1, 71, "198.51.100.10:40001", false);
		s = rig_find(r, "OPTIONS ");
		assert_int_equal(s->to.conn, 71);
		rig_answer(r, s, "200 OK", "p", "", NULL);
		rig_find(r, "SIP/2.0 200");
		routed(f, "INVITE", ruris[i], 2, 72, "198.51.100.10:40002", true);
		told(f, "SIP/2.0 403", REASON_FLOW_FORGED);
		routed(f, "OPTIONS", ruris[i], 2, 72, "198.51.100.10:40002", true);
		rig_find(r, "SIP/2.0 403");
	}
	routed(f, "INVITE", ruris[0], 2, 73, "198.51.100.10:40003", false); /* the one before */
	told(f, "SIP/2.0 430", REASON_FLOW_FAILED);
	routed(f, "INVITE", ruris[0], 9, 71, "198.51.100.10:40001", false); /* unregistered */
	told(f, "SIP/2.0 430", REASON_FLOW_FAILED);
	r->gone[0] = 72;
	routed(f, "INVITE", ruris[0], 2, 72, "198.51.100.10:40002", false);
	told(f, "SIP/2.0 430", REASON_FLOW_FAILED);
	routed(f, "OPTIONS", ruris[0], 2, 72, "198.51.100.10:40002", false);
	rig_find(r, "SIP/2.0 430");
	assert_int_equal(rig_count(r, 0, "INVITE "), 2);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dead_ones_are_passed_over),
	    cmocka_unit_test(another_answer_is_not_asked_for),
	    cmocka_unit_test(lost_while_it_waits),
	    cmocka_unit_test(outside_of_calls),
	    cmocka_unit_test(a_call_changes_over),
	    cmocka_unit_test(a_call_of_the_pbx_changes_over),
	    cmocka_unit_test(a_proxy_is_connected_to),
	    cmocka_unit_test(plain_contacts_of_lost_connections),
	    cmocka_unit_test(route_of_a_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
