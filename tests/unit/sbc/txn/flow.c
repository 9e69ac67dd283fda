/* What Via says about the flow: alias (RFC 5923) and keep (RFC 6223), asked by us and answered for others. */
#include "fake.h"

/* what net was told last */
static struct {
	unsigned n_keep, n_alias;
	struct net_path path;
	uint32_t ms;
	uint16_t port;
} told;

static int on_keep(struct net *n, const struct net_path *path, uint32_t interval_ms)
{
	(void)n;
	told.n_keep++;
	told.path = *path;
	told.ms = interval_ms;
	return 0;
}

static int on_alias(struct net *n, const struct net_path *path, uint16_t port)
{
	(void)n;
	told.n_alias++;
	told.path = *path;
	told.port = port;
	return -EPERM; /* which changes nothing for the request */
}

static const struct net_ops ops = {
    .send = fake_send, .local = fake_local, .close = fake_close, .keep = on_keep, .alias = on_alias};

static void init(struct fake *f)
{
	fake_init(f);
	f->net.ops = &ops;
	memset(&told, 0, sizeof(told));
}

static struct txn_cli *ask(struct fake *f, enum sip_method method, enum net_proto proto, size_t body)
{
	static char big[2000];
	char headers[300];
	struct txn_req r = {.method = method,
	    .ruri = S("sip:+15550199@192.0.2.9"),
	    .path = peer_path(proto, "192.0.2.9", 5060, 0),
	    .keep = true};
	struct txn_cli *t;

	memset(big, 'v', sizeof(big));
	r.body = str_n(big, body);
	snprintf(headers, sizeof(headers),
	    "From: <sip:us@sbc.example>;tag=u1\r\nTo: <sip:+15550199@192.0.2.9>\r\nCall-ID: leg-b\r\n"
	    "CSeq: 7 %.*s\r\nMax-Forwards: 70\r\n",
	    STR(sip_method_name(method)));
	r.headers = str_z(headers);
	t = txn_request(f->l, &r, &fake_cli_ops, f);
	assert_non_null(t);
	return t;
}

static bool via_has(const struct fake *f, unsigned i, const char *what)
{
	char via[256];

	return strstr(header_of(f->sent[i].text, "Via", via, sizeof(via)), what) != NULL;
}

/* the answer of the peer to the sent request i, with its Via changed by "keep" -> with */
static void answer_keep(struct fake *f, const struct net_path *from, unsigned i, const char *status, const char *with)
{
	char via[256], cseq[64], *at;

	header_of(f->sent[i].text, "Via", via, sizeof(via));
	header_of(f->sent[i].text, "CSeq", cseq, sizeof(cseq));
	at = strstr(via, ";keep");
	assert_non_null(at);
	assert_int_equal(strlen(at), 5);
	*at = 0;
	receive(f, from,
	    "SIP/2.0 %s\r\nVia: %s%s\r\nFrom: <sip:us@sbc.example>;tag=u1\r\n"
	    "To: <sip:+15550199@192.0.2.9>;tag=b1\r\nCall-ID: leg-b\r\nCSeq: %s\r\nContent-Length: 0\r\n\r\n",
	    status, via, with, cseq);
}

static void ka_12_the_value_of_the_answer_starts_and_ends_pings(void **s)
{
	struct net_path peer = peer_path(NET_TCP, "192.0.2.9", 5060, 100);
	struct fake f;

	(void)s;
	init(&f);
	ask(&f, SIP_REGISTER, NET_TCP, 0);
	assert_true(via_has(&f, 0, ";keep"));
	answer_keep(&f, &peer, 0, "200 OK", ";keep=30");
	assert_int_equal(told.n_keep, 1);
	assert_int_equal(told.ms, 30000);
	assert_int_equal(told.path.conn, 100);
	/* the next one without a value: they stop */
	ask(&f, SIP_REGISTER, NET_TCP, 0);
	answer_keep(&f, &peer, 1, "200 OK", ";keep");
	assert_int_equal(told.n_keep, 2);
	assert_int_equal(told.ms, 0);
	/* a refusal says nothing about it, nor do values that are none */
	ask(&f, SIP_REGISTER, NET_TCP, 0);
	answer_keep(&f, &peer, 2, "503 No", ";keep");
	ask(&f, SIP_INVITE, NET_TCP, 0);
	answer_keep(&f, &peer, 3, "180 Ringing", ";keep=0");
	answer_keep(&f, &peer, 3, "180 Ringing", ";keep=x");
	answer_keep(&f, &peer, 3, "180 Ringing", ";keep=-1");
	answer_keep(&f, &peer, 3, "180 Ringing", ";keep");
	answer_keep(&f, &peer, 3, "180 Ringing", "");
	assert_int_equal(told.n_keep, 2);
	answer_keep(&f, &peer, 3, "183 Progress", ";keep=4294967295");
	assert_int_equal(told.n_keep, 3);
	assert_int_equal(told.ms, 3600000);
	fake_fini(&f);
}

/* who did not ask gets no pings, whatever the answer says */
static void ka_12_not_without_asking(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	char via[256];
	struct fake f;

	(void)s;
	init(&f);
	request(&f, SIP_OPTIONS, NET_UDP);
	assert_false(via_has(&f, 0, "keep"));
	header_of(f.sent[0].text, "Via", via, sizeof(via));
	receive(&f, &peer,
	    "SIP/2.0 200 OK\r\nVia: %s;keep=30\r\nFrom: <sip:us@sbc.example>;tag=u1\r\n"
	    "To: <sip:b@192.0.2.9>;tag=1\r\nCall-ID: leg-b\r\nCSeq: 7 OPTIONS\r\nContent-Length: 0\r\n\r\n",
	    via);
	assert_int_equal(told.n_keep, 0);
	fake_fini(&f);
}

/* on UDP the flow is where we sent, from wherever the answer came */
static void ka_12_on_udp(void **s)
{
	struct net_path other = peer_path(NET_UDP, "192.0.2.9", 40000, 0);
	struct fake f;

	(void)s;
	init(&f);
	ask(&f, SIP_INVITE, NET_UDP, 0);
	assert_true(via_has(&f, 0, ";rport;keep"));
	answer_keep(&f, &other, 0, "180 Ringing", ";keep=25");
	assert_int_equal(told.n_keep, 1);
	assert_int_equal(told.ms, 25000);
	assert_int_equal(addr_port(&told.path.remote), 5060);
	fake_fini(&f);
}

/* never in ACK, nor in CANCEL; also after the request went back from TCP to UDP */
static void ka_12_never_in_ack(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct txn_cli *t;
	struct fake f;
	int i;

	(void)s;
	init(&f);
	t = ask(&f, SIP_INVITE, NET_UDP, 1500);
	assert_int_equal(f.sent[0].path.proto, NET_TCP);
	assert_true(via_has(&f, 0, ";keep"));
	txn_on_failure(f.l, &f.sent[0].path, f.sent[0].owner, -ECONNREFUSED, STR_NONE);
	assert_int_equal(f.sent[1].path.proto, NET_UDP);
	assert_true(via_has(&f, 1, ";rport;keep"));
	answer(&f, &peer, 1, "180 Ringing", "b1");
	txn_cli_cancel(t, STR_NONE);
	i = find_sent(&f, 2, "CANCEL");
	assert_true(i > 0);
	assert_false(via_has(&f, (unsigned)i, "keep"));
	answer(&f, &peer, 1, "487 Terminated", "b1");
	i = find_sent(&f, 2, "ACK");
	assert_true(i > 0);
	assert_false(via_has(&f, (unsigned)i, "keep"));
	assert_true(via_has(&f, (unsigned)i, ";branch="));
	fake_fini(&f);
}

/* REUSE-02 */
static void reuse_02_our_requests_over_tls_say_alias(void **s)
{
	struct fake f;

	(void)s;
	init(&f);
	request(&f, SIP_INVITE, NET_TLS);
	assert_true(via_has(&f, 0, ";alias"));
	request(&f, SIP_INVITE, NET_TCP);
	assert_false(via_has(&f, 1, "alias"));
	request(&f, SIP_INVITE, NET_UDP);
	assert_false(via_has(&f, 2, "alias"));
	fake_fini(&f);
}

static const char invite[] = "INVITE sip:+15550100@sbc.example SIP/2.0\r\n"
                             "Via: %s\r\n%s"
                             "Max-Forwards: 70\r\nFrom: <sip:alice@192.0.2.9>;tag=a1\r\n"
                             "To: <sip:+15550100@sbc.example>\r\nCall-ID: call-1\r\nCSeq: 1 INVITE\r\n"
                             "Content-Length: 0\r\n\r\n";

static bool known_keep;

static void on_request(void *ctx, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	if (t)
		txn_srv_known(t, m, from, known_keep);
	fake_on_request(ctx, t, m, from);
}

static const struct txn_user user = {.on_request = on_request};

static void get(struct fake *f, enum net_proto proto, const char *via, const char *more, bool keep)
{
	struct net_path from = peer_path(proto, "192.0.2.9", 41000, proto == NET_UDP ? 0 : 77);
	char text[1500];

	init(f);
	f->l->user = &user;
	known_keep = keep;
	snprintf(text, sizeof(text), invite, via, more);
	receive(f, &from, "%s", text);
}

/* KA-13: the same value in all answers */
static void ka_13_every_answer_says_the_same(void **s)
{
	static const uint16_t status[] = {100, 183, 180, 200};
	struct fake f;
	char via[256];

	(void)s;
	get(&f, NET_UDP, "SIP/2.0/UDP 192.0.2.9:5060;keep;branch=z9hG4bKa;rport", "", true);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = status[i]}), 0);
		assert_string_equal(header_of(f.sent[i].text, "Via", via, sizeof(via)),
		    "SIP/2.0/UDP 192.0.2.9:5060;keep=30;branch=z9hG4bKa;rport=41000;received=192.0.2.9");
	}
	fake_fini(&f);
	get(&f, NET_TCP, "SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bKa;x=\"a,b\\\",\";KEEP, SIP/2.0/UDP 10.0.0.1;keep;branch=z9hG4bKb",
	    "Via: SIP/2.0/UDP 10.0.0.2;keep;branch=z9hG4bKc\r\n", true);
	assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = 486}), 0);
	assert_non_null(strstr(f.sent[0].text, "Via: SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bKa;x=\"a,b\\\",\";KEEP=120, "
	                                       "SIP/2.0/UDP 10.0.0.1;keep;branch=z9hG4bKb\r\n"));
	assert_non_null(strstr(f.sent[0].text, "Via: SIP/2.0/UDP 10.0.0.2;keep;branch=z9hG4bKc\r\n"));
	fake_fini(&f);
}

static void ka_13_only_when_wanted_asked_and_in_time(void **s)
{
	static const char asked[] = "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKa;keep";
	struct fake f;

	(void)s;
	get(&f, NET_UDP, asked, "", false); /* not configured */
	assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = 486}), 0);
	assert_null(strstr(f.sent[0].text, "keep="));
	fake_fini(&f);
	get(&f, NET_UDP, "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKkeep", "", true); /* not asked */
	assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = 486}), 0);
	assert_null(strstr(f.sent[0].text, "keep="));
	fake_fini(&f);
	get(&f, NET_UDP, "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKa;keep=7", "", true); /* has one */
	assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = 486}), 0);
	assert_non_null(strstr(f.sent[0].text, ";keep=7\r\n"));
	fake_fini(&f);
	/* an answer went out without it: the others do not say otherwise */
	get(&f, NET_UDP, asked, "", false);
	assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = 180}), 0);
	known_keep = true;
	txn_srv_known(f.srv, &(struct sip_msg){0}, &(struct net_path){.proto = NET_UDP}, true);
	assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = 486}), 0);
	assert_null(strstr(f.sent[1].text, "keep="));
	fake_fini(&f);
}

/* REUSE-03, REUSE-04: net is told the port of sent-by; a refusal there is none of the request */
static void reuse_03_alias_is_heard_over_tls_only(void **s)
{
	struct fake f;

	(void)s;
	get(&f, NET_TLS, "SIP/2.0/TLS itsp.example;branch=z9hG4bKa;alias", "", false);
	assert_int_equal(told.n_alias, 1);
	assert_int_equal(told.port, 5061);
	assert_int_equal(told.path.conn, 77);
	assert_non_null(f.srv);
	assert_int_equal(txn_srv_reply(f.srv, &(struct txn_reply){.status = 180}), 0);
	fake_fini(&f);
	get(&f, NET_TLS, "SIP/2.0/TLS itsp.example:5071;Alias;branch=z9hG4bKa", "", false);
	assert_int_equal(told.n_alias, 1);
	assert_int_equal(told.port, 5071);
	fake_fini(&f);
	get(&f, NET_TLS, "SIP/2.0/TLS itsp.example;branch=z9hG4bKalias;x=alias", "", false);
	assert_int_equal(told.n_alias, 0);
	fake_fini(&f);
	get(&f, NET_TCP, "SIP/2.0/TCP itsp.example;branch=z9hG4bKa;alias", "", false);
	assert_int_equal(told.n_alias, 0);
	fake_fini(&f);
}

/* REUSE-07: the connection is lost between INVITE and CANCEL, or its ACK: they take another one */
static void reuse_07_cancel_and_ack_take_a_new_connection(void **s)
{
	struct net_path peer = peer_path(NET_TLS, "192.0.2.9", 5060, 100);
	struct txn_cli *t;
	struct fake f;
	int i;

	(void)s;
	init(&f);
	t = request(&f, SIP_INVITE, NET_TLS);
	answer(&f, &peer, 0, "180 Ringing", "b1");
	/* the connection ends; nothing of the request was in it any more, so nobody is told */
	txn_cli_cancel(t, STR_NONE);
	i = find_sent(&f, 1, "CANCEL");
	assert_true(i > 0);
	/* path names the old handle and where to connect: net opens a new one when that is gone */
	assert_true(addr_eq(&f.sent[i].path.remote, &f.sent[0].path.remote));
	assert_int_equal(f.sent[i].path.proto, NET_TLS);
	/* it was lost with the CANCEL in its queue: once more without that handle */
	txn_on_failure(f.l, &f.sent[i].path, f.sent[i].owner, -ECONNRESET, STR_NONE);
	i = find_sent(&f, (unsigned)i + 1, "CANCEL");
	assert_true(i > 0);
	assert_int_not_equal(f.sent[i].path.conn, 100);
	peer.conn = f.sent[i].path.conn;
	answer(&f, &peer, 0, "487 Terminated", "b1");
	assert_true(find_sent(&f, (unsigned)i + 1, "ACK") > 0);
	fake_fini(&f);
}

/* a flow whose pings are not answered takes requests along like one that was reset */
static void a_request_in_a_failed_flow_goes_out_once_more(void **s)
{
	struct fake f;

	(void)s;
	init(&f);
	request(&f, SIP_INVITE, NET_TCP);
	txn_on_failure(f.l, &f.sent[0].path, f.sent[0].owner, -NET_ERR_KEEPALIVE, STR_NONE);
	assert_int_equal(f.n_sent, 2);
	assert_int_not_equal(f.sent[1].path.conn, f.sent[0].path.conn);
	txn_on_failure(f.l, &f.sent[1].path, f.sent[1].owner, -NET_ERR_KEEPALIVE, STR_NONE);
	assert_int_equal(f.n_sent, 2);
	fake_fini(&f);
}

static void lose(struct fake *f, uint32_t conn, int err)
{
	txn_on_flow_lost(f->l, &(struct net_path){.proto = NET_TCP, .conn = conn}, err);
}

static const char *branch(const struct fake *f, unsigned i)
{
	return strstr(f->sent[i].text, "branch=");
}

/* TCP-04: taken by the peer's TCP and not answered when the connection goes: a copy over a new one, at once */
static void an_unanswered_request_follows_a_lost_flow(void **s)
{
	enum sip_method method[] = {SIP_INVITE, SIP_INFO};
	struct fake f;

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(method); i++) {
		init(&f);
		request(&f, method[i], NET_TCP);
		lose(&f, f.sent[0].path.conn + 1, -ECONNRESET); /* another one */
		assert_int_equal(f.n_sent, 1);
		lose(&f, f.sent[0].path.conn, i ? 0 : -ECONNRESET);
		assert_int_equal(f.n_sent, 2);
		assert_int_not_equal(f.sent[1].path.conn, f.sent[0].path.conn);
		assert_string_equal(f.sent[1].text, f.sent[0].text);
		assert_events(&f, "");
		/* gone a second time without a word: it has failed, as the network would have said it */
		lose(&f, f.sent[1].path.conn, 0);
		assert_int_equal(f.n_sent, 2);
		assert_events(&f, "failed -104;");
		fake_fini(&f);
	}
	/* answered requests do not care */
	init(&f);
	request(&f, SIP_INVITE, NET_TCP);
	answer(&f, &f.sent[0].path, 0, "200 OK", "b");
	lose(&f, f.sent[0].path.conn, -ECONNRESET);
	assert_int_equal(f.n_sent, 1);
	fake_fini(&f);
	/* over UDP there is no such flow */
	init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	lose(&f, 0, -ECONNRESET);
	assert_int_equal(f.n_sent, 1);
	fake_fini(&f);
}

/* A far end that said 100 and died: whoever listens there now gets a copy; nobody: known at once. With a 18x it waits,
 * since the answer may come over a connection of the far end's (18.2.2). */
static void a_request_that_was_taken_follows_too(void **s)
{
	static const char *const said[] = {"100 Trying", "180 Ringing"};
	struct fake f;

	(void)s;
	for (unsigned i = 0; i < 2; i++) {
		struct net_path from;

		init(&f);
		request(&f, SIP_INVITE, NET_TCP);
		answer(&f, &f.sent[0].path, 0, said[i], "b");
		f.n_events = 0;
		f.events[0] = 0;
		lose(&f, f.sent[0].path.conn, 0);
		assert_int_equal(f.n_sent, 2);
		assert_string_equal(branch(&f, 1), branch(&f, 0));
		txn_on_failure(f.l, &f.sent[1].path, f.sent[1].owner, -ECONNREFUSED, STR_NONE);
		assert_events(&f, i == 0 ? "failed -111;" : "");
		if (i == 1) {
			from = f.sent[0].path;
			from.conn = 4711;
			answer(&f, &from, 0, "200 OK", "b");
			assert_events(&f, "200 b;");
		}
		fake_fini(&f);
		/* closed each time, and answered over one of its own */
		init(&f);
		request(&f, SIP_INVITE, NET_TCP);
		answer(&f, &f.sent[0].path, 0, said[i], "b");
		lose(&f, f.sent[0].path.conn, 0);
		lose(&f, f.sent[1].path.conn, 0);
		assert_int_equal(f.n_sent, 2);
		f.n_events = 0;
		f.events[0] = 0;
		answer(&f, &f.sent[0].path, 0, "200 OK", "b");
		assert_events(&f, "200 b;");
		fake_fini(&f);
	}
}

/* who asked to stop it does not want it sent again */
static void a_cancelled_request_does_not_follow(void **s)
{
	struct txn_cli *t;
	struct fake f;

	(void)s;
	init(&f);
	t = request(&f, SIP_INVITE, NET_TCP);
	txn_cli_cancel(t, STR_NONE);
	lose(&f, f.sent[0].path.conn, -ECONNRESET);
	assert_int_equal(f.n_sent, 1);
	fake_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ka_12_the_value_of_the_answer_starts_and_ends_pings),
	    cmocka_unit_test(ka_12_not_without_asking),
	    cmocka_unit_test(ka_12_on_udp),
	    cmocka_unit_test(ka_12_never_in_ack),
	    cmocka_unit_test(reuse_02_our_requests_over_tls_say_alias),
	    cmocka_unit_test(ka_13_every_answer_says_the_same),
	    cmocka_unit_test(ka_13_only_when_wanted_asked_and_in_time),
	    cmocka_unit_test(reuse_03_alias_is_heard_over_tls_only),
	    cmocka_unit_test(reuse_07_cancel_and_ack_take_a_new_connection),
	    cmocka_unit_test(a_request_in_a_failed_flow_goes_out_once_more),
	    cmocka_unit_test(an_unanswered_request_follows_a_lost_flow),
	    cmocka_unit_test(a_request_that_was_taken_follows_too),
	    cmocka_unit_test(a_cancelled_request_does_not_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
