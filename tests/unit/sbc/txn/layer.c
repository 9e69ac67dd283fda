/* The layer: rows TXN-10, -11 (ACK to a 2xx), -12, UAS-05, -06, -09, LOOP-05..-09, TCP-02, PAR-11..-13, -17..-20,
 * -24, -32, failures of the network and of malloc. */
#include <stddef.h>

void *__real_malloc(size_t n);
#define FAKE_MALLOC __real_malloc
#include "fake.h"

/* -Wl,--wrap: the n-th allocation from now on fails; 0: none */
static unsigned fail_at;

void *__real_calloc(size_t n, size_t m);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);

static bool fails(void)
{
	return fail_at && --fail_at == 0;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
	return fails() ? NULL : __real_calloc(n, m);
}

#define INVITE(branch) REQ("INVITE", branch, "1", "INVITE", "")
#define ACK(branch) REQ("ACK", branch, "1", "ACK", "")

static int reply(struct fake *f, unsigned status)
{
	return txn_srv_reply(f->srv, &(struct txn_reply){.status = (uint16_t)status});
}

static uint64_t metric(struct fake *f, const char *name)
{
	return metrics_get(&f->metrics, "txn", name);
}

/* ------------------------------------------------------------------ matching */

static void txn_10_stray_responses_are_dropped(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0), other = peer;
	struct fake f;
	const char *branch;
	char via[256];

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	header_of(f.sent[0].text, "Via", via, sizeof(via));
	branch = strstr(via, "branch=") + 7;
#define RESPONSE(via_line, cseq) \
	"SIP/2.0 200 OK\r\nVia: " via_line "\r\nFrom: <sip:us@sbc.example>;tag=u1\r\nTo: <sip:x@y>;tag=b\r\n" \
	"Call-ID: leg-b\r\nCSeq: " cseq "\r\nContent-Length: 0\r\n\r\n"
	receive(&f, &peer, RESPONSE("SIP/2.0/UDP sbc.example:5060;branch=z9hG4bKspoofed", "7 INVITE"));
	receive(&f, &peer, RESPONSE("SIP/2.0/UDP evil.example:5060;branch=%s", "7 INVITE"), branch);
	receive(&f, &peer, RESPONSE("SIP/2.0/UDP sbc.example:5070;branch=%s", "7 INVITE"), branch);
	receive(&f, &peer, RESPONSE("SIP/2.0/UDP sbc.example:5060;branch=%s", "7 BYE"), branch);
	receive(&f, &peer, RESPONSE("SIP/2.0/UDP sbc.example:5060;branch=%s", "8 INVITE"), branch);
	assert_int_equal(metric(&f, "rx_stray"), 5);
	/* UAS-09: more than our Via */
	receive(&f, &peer, RESPONSE("SIP/2.0/UDP sbc.example:5060;branch=%s, SIP/2.0/UDP x;branch=z9hG4bK1", "7 INVITE"),
	    branch);
	assert_int_equal(metric(&f, "rx_stray"), 6);
	/* another realm */
	other.realm = 1;
	receive(&f, &other, RESPONSE("SIP/2.0/UDP sbc.example:5060;branch=%s", "7 INVITE"), branch);
	assert_int_equal(metric(&f, "rx_stray"), 7);
	assert_events(&f, "");
	assert_int_equal(f.n_sent, 1);
	/* and the right one: host in another case, default port left out, from another address */
	peer = peer_path(NET_UDP, "198.51.100.7", 40000, 0);
	receive(&f, &peer, RESPONSE("SIP/2.0/UDP SBC.example;rport=5060;received=192.0.2.1;branch=%s", "7 INVITE"),
	    branch);
	assert_events(&f, "200 b;");
	assert_int_equal(metric(&f, "rx_stray"), 7);
	fake_fini(&f);
}

static void txn_12_branch_has_cookie_and_is_fresh(void **s)
{
	struct fake f;
	char a[256], b[256];

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	request(&f, SIP_OPTIONS, NET_UDP);
	header_of(f.sent[0].text, "Via", a, sizeof(a));
	header_of(f.sent[1].text, "Via", b, sizeof(b));
	assert_int_equal(strncmp(a, "SIP/2.0/UDP sbc.example:5060;branch=z9hG4bK", 43), 0);
	assert_string_not_equal(a, b);
	assert_non_null(strstr(a, ";rport")); /* LOOP-07 */
	fake_fini(&f);
}

static void txn_12_sent_by_and_method_count(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	/* same branch, other sent-by: another request (with another Call-ID, so that it is not a merged one) */
	receive(&f, &peer, INVITE("z9hG4bKa"));
	receive(&f, &peer,
	    "INVITE sip:x@sbc.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bKa\r\n"
	    "From: <sip:a@b>;tag=2\r\nTo: <sip:x@y>\r\nCall-ID: other\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n");
	receive(&f, &peer, REQ("OPTIONS", "z9hG4bKa", "1", "OPTIONS", ""));
	assert_events(&f, "INVITE;INVITE;OPTIONS;");
	assert_int_equal(txn_count_srv(f.l), 3);
	/* PAR-32: a branch is compared as it is */
	receive(&f, &peer, REQ("OPTIONS", "z9hG4bKA", "2", "OPTIONS", ""));
	assert_events(&f, "OPTIONS;");
	fake_fini(&f);
}

/* RFC 4475 3.4.1: a request without the cookie is matched by the RFC 2543 fields. */
#define OLD(method, to, cseq_method) \
	method " sip:UserB@example.com SIP/2.0\r\nVia: SIP/2.0/UDP iftgw.example.com\r\n" \
	"From: <sip:+13035551111@ift.client.net;user=phone>;tag=f1\r\nTo: sip:+16505552222@ss1.example.net;user=phone" to \
	"\r\nCall-ID: inv2543.1717@ift.client.example.com\r\nCSeq: 56 " cseq_method "\r\nMax-Forwards: 70\r\n" \
	"Content-Length: 0\r\n\r\n"

static void txn_12_rfc2543_requests(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;
	char to[256];
	const char *tag;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, OLD("INVITE", "", "INVITE"));
	receive(&f, &peer, OLD("INVITE", "", "INVITE"));
	assert_events(&f, "INVITE;");
	assert_int_equal(metric(&f, "rx_retrans"), 1);
	receive(&f, &peer, OLD("CANCEL", "", "CANCEL"));
	assert_events(&f, "cancel;");
	assert_int_equal(reply(&f, 487), 0);
	assert_int_equal(f.n_sent, 2);
	header_of(f.sent[1].text, "To", to, sizeof(to));
	tag = strstr(to, ";tag=") + 5;
	/* an ACK with another tag belongs to something else */
	receive(&f, &peer, OLD("ACK", ";tag=wrong", "ACK"));
	assert_events(&f, "ACK up;");
	receive(&f, &peer, OLD("ACK", ";tag=%s", "ACK"), tag);
	assert_events(&f, "end 0;");
	run_to(&f, 5003);
	assert_idle(&f);
	fake_fini(&f);
}

static void txn_12_rfc2543_ack_to_2xx_goes_up(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;
	char to[256];

	(void)s;
	fake_init(&f);
	receive(&f, &peer, OLD("INVITE", "", "INVITE"));
	assert_int_equal(reply(&f, 200), 0);
	header_of(f.sent[0].text, "To", to, sizeof(to));
	receive(&f, &peer, OLD("ACK", ";tag=%s", "ACK"), strstr(to, ";tag=") + 5);
	assert_events(&f, "INVITE;ACK up;");
	fake_fini(&f);
}

static void uas_05_merged_request_gets_482(void **s)
{
	struct net_path one = peer_path(NET_UDP, "192.0.2.9", 5060, 0), two = peer_path(NET_UDP, "192.0.2.10", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &one, INVITE("z9hG4bKa"));
	receive(&f, &two, INVITE("z9hG4bKb"));
	assert_events(&f, "INVITE;");
	assert_int_equal(find_sent(&f, 0, "SIP/2.0 482 Loop Detected\r\n"), 0);
	assert_int_equal(metric(&f, "rx_merged"), 1);
	/* its copies and its ACK are absorbed */
	receive(&f, &two, INVITE("z9hG4bKb"));
	assert_int_equal(f.n_sent, 2);
	receive(&f, &two, ACK("z9hG4bKb"));
	assert_events(&f, "");
	/* the next CSeq (after a challenge) is no merged one, nor is one with a To tag */
	receive(&f, &one, REQ("INVITE", "z9hG4bKc", "2", "INVITE", ""));
	receive(&f, &one,
	    "INVITE sip:x@sbc.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKd\r\n"
	    "From: <sip:alice@192.0.2.9>;tag=a1\r\nTo: <sip:x@y>;tag=t\r\nCall-ID: call-1@192.0.2.9\r\n"
	    "CSeq: 2 INVITE\r\nContent-Length: 0\r\n\r\n");
	assert_events(&f, "INVITE;INVITE;");
	/* PAR-32: Call-ID is compared byte by byte */
	receive(&f, &one,
	    "INVITE sip:x@sbc.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKe\r\n"
	    "From: <sip:alice@192.0.2.9>;tag=a1\r\nTo: <sip:x@y>\r\nCall-ID: CALL-1@192.0.2.9\r\n"
	    "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n");
	assert_events(&f, "INVITE;");
	fake_fini(&f);
}

/* ------------------------------------------------------------------ where answers go */

static void assert_to(const struct fake *f, unsigned i, const char *addr)
{
	char text[ADDR_TEXT_MAX];

	assert_true(i < f->n_sent);
	assert_string_equal(addr_text(&f->sent[i].path.remote, text), addr);
}

#define VIA(via, id) \
	"OPTIONS sip:sbc.example SIP/2.0\r\nVia: " via "\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: " id \
	"\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"

static void loop_05_received_and_rport(void **s)
{
	struct net_path nat = peer_path(NET_UDP, "192.0.2.9", 40000, 0);
	struct fake f;
	char via[256];

	(void)s;
	fake_init(&f);
	nat.listener = 3;
	f.reply_at_once = 200;
	receive(&f, &nat, VIA("SIP/2.0/UDP 10.0.0.5:5070;rport;branch=z9hG4bKa", "1"));
	assert_to(&f, 0, "192.0.2.9:40000");
	assert_int_equal(f.sent[0].path.listener, 3); /* out of the socket it came in by */
	header_of(f.sent[0].text, "Via", via, sizeof(via));
	assert_string_equal(via, "SIP/2.0/UDP 10.0.0.5:5070;rport=40000;branch=z9hG4bKa;received=192.0.2.9");
	/* what the sender made up is not believed */
	receive(&f, &nat, VIA("SIP/2.0/UDP 10.0.0.5:5070;rport=1;received=203.0.113.5;branch=z9hG4bKb", "2"));
	assert_to(&f, 1, "192.0.2.9:40000");
	assert_null(strstr(f.sent[1].text, "203.0.113.5"));
	fake_fini(&f);
}

static void loop_06_without_rport_to_sent_by_port(void **s)
{
	struct net_path nat = peer_path(NET_UDP, "192.0.2.9", 40000, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &nat, VIA("SIP/2.0/UDP 10.0.0.5:5070;branch=z9hG4bKa", "1"));
	assert_int_equal(reply(&f, 100), 0);
	assert_to(&f, 0, "192.0.2.9:5070");
	assert_non_null(strstr(f.sent[0].text, ";received=192.0.2.9"));
	/* the trunk is symmetric */
	txn_srv_set_symmetric(f.srv);
	assert_int_equal(reply(&f, 200), 0);
	assert_to(&f, 1, "192.0.2.9:40000");
	receive(&f, &nat, VIA("SIP/2.0/UDP phone.example;branch=z9hG4bKb", "2"));
	assert_int_equal(reply(&f, 200), 0);
	assert_to(&f, 2, "192.0.2.9:5060");
	fake_fini(&f);
}

static void loop_08_maddr_is_ignored(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	f.reply_at_once = 200;
	receive(&f, &peer, VIA("SIP/2.0/UDP 192.0.2.9;maddr=203.0.113.5;ttl=1;branch=z9hG4bKa", "1"));
	assert_to(&f, 0, "192.0.2.9:5060");
	fake_fini(&f);
}

static void tcp_02_answers_on_the_connection_or_a_new_one(void **s)
{
	struct net_path peer = peer_path(NET_TCP, "192.0.2.9", 41000, 7);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, VIA("SIP/2.0/TCP 10.0.0.5:5070;branch=z9hG4bKa", "1"));
	assert_int_equal(reply(&f, 100), 0);
	assert_int_equal(f.sent[0].path.conn, 7);
	/* where net has to go when connection 7 is gone */
	assert_to(&f, 0, "192.0.2.9:5070");
	/* it was lost with the answer in its queue: the answer goes out again on a new one, once */
	txn_on_failure(f.l, &f.sent[0].path, f.sent[0].owner, -ECONNRESET, STR_NONE);
	assert_int_equal(f.n_sent, 2);
	assert_to(&f, 1, "192.0.2.9:5070");
	assert_int_equal(f.sent[1].path.conn, 100);
	assert_string_equal(f.sent[1].text, f.sent[0].text);
	txn_on_failure(f.l, &f.sent[1].path, f.sent[1].owner, -ECONNREFUSED, STR_NONE);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(txn_count_srv(f.l), 1);
	fake_fini(&f);
}

/* ------------------------------------------------------------------ LOOP-09 */

static char big_body[70000];

static struct str body_of(size_t n)
{
	memset(big_body, 'x', sizeof(big_body));
	return str_n(big_body, n);
}

static void loop_09_big_request_moves_to_tcp(void **s)
{
	struct net_path peer = peer_path(NET_TCP, "192.0.2.9", 5060, 100);
	struct fake f;

	(void)s;
	fake_init(&f);
	request_with(&f, SIP_INVITE, NET_UDP, NULL, body_of(1300));
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(f.sent[0].path.proto, NET_TCP);
	assert_int_equal(f.cli->path.proto, NET_TCP);
	assert_non_null(strstr(f.sent[0].text, "Via: SIP/2.0/TCP sbc.example:5060;branch=z9hG4bK"));
	assert_null(strstr(f.sent[0].text, "rport"));
	assert_int_equal(metric(&f, "to_tcp"), 1);
	run_to(&f, 5000);
	assert_int_equal(f.n_sent, 1); /* as on any stream */
	answer(&f, &peer, 0, "180 Ringing", "b");
	/* once something came back, a lost connection is no refusal */
	txn_on_failure(f.l, &f.sent[0].path, f.sent[0].owner, -ECONNRESET, STR_NONE);
	assert_int_equal(f.n_sent, 1);
	assert_events(&f, "180 b;");
	fake_fini(&f);
}

static void loop_09_and_back_when_refused(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;
	char a[256], b[256];

	(void)s;
	fake_init(&f);
	request_with(&f, SIP_INVITE, NET_UDP, NULL, body_of(1300));
	run_to(&f, 50);
	txn_on_failure(f.l, &f.sent[0].path, f.sent[0].owner, -ECONNREFUSED, STR_NONE);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(f.sent[1].path.proto, NET_UDP);
	assert_int_equal(f.cli->path.proto, NET_UDP);
	assert_int_equal(metric(&f, "back_to_udp"), 1);
	/* the same request but for its Via */
	header_of(f.sent[0].text, "Via", a, sizeof(a));
	header_of(f.sent[1].text, "Via", b, sizeof(b));
	assert_int_equal(strncmp(b, "SIP/2.0/UDP sbc.example:5060;branch=z9hG4bK", 43), 0);
	assert_non_null(strstr(b, ";rport"));
	assert_string_equal(strstr(f.sent[1].text, "\r\nRoute:"), strstr(f.sent[0].text, "\r\nRoute:"));
	/* it is retransmitted as UDP wants, and B still counts from the first try */
	run_to(&f, 31999);
	assert_times(&f, "INVITE", TIMES(0, 50, 550, 1550, 3550, 7550, 15550, 31550));
	answer(&f, &peer, 1, "486 Busy Here", "b");
	assert_events(&f, "486 b;");
	assert_int_equal(f.sent[f.n_sent - 1].path.proto, NET_UDP);
	fake_fini(&f);
	/* a refusal known at once */
	fake_init(&f);
	f.send_err[NET_TCP] = -ECONNREFUSED;
	request_with(&f, SIP_OPTIONS, NET_UDP, NULL, body_of(1300));
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(f.sent[0].path.proto, NET_UDP);
	run_to(&f, 32003);
	assert_events(&f, "failed -110;gone;");
	/* neither way */
	f.send_err[NET_UDP] = -EHOSTUNREACH;
	request_with(&f, SIP_OPTIONS, NET_UDP, NULL, body_of(1300));
	run_to(&f, 32006);
	assert_events(&f, "failed -113;gone;");
	assert_idle(&f);
	fake_fini(&f);
}

static void loop_09_limits(void **s)
{
	struct fake f;
	struct txn_req r = {.method = SIP_OPTIONS,
	    .ruri = S("sip:x@y"),
	    .path = peer_path(NET_UDP, "192.0.2.9", 5060, 0),
	    .headers = S("From: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n")};
	size_t base, n;

	(void)s;
	fake_init(&f);
	r.body = body_of(1000);
	assert_non_null(txn_request(f.l, &r, NULL, NULL));
	base = f.sent[0].n;
	n = 1000 + 1300 - base;
	/* exactly 1300 stays, one more moves */
	r.body = body_of(n);
	assert_non_null(txn_request(f.l, &r, NULL, NULL));
	assert_int_equal(f.sent[1].n, 1300);
	assert_int_equal(f.sent[1].path.proto, NET_UDP);
	r.body = body_of(n + 1);
	assert_non_null(txn_request(f.l, &r, NULL, NULL));
	assert_int_equal(f.sent[2].path.proto, NET_TCP);
	/* the trunk's own limit, and its switch */
	r.mtu_limit = 9000;
	assert_non_null(txn_request(f.l, &r, NULL, NULL));
	assert_int_equal(f.sent[3].path.proto, NET_UDP);
	r.mtu_limit = 0;
	r.udp_only = true;
	assert_non_null(txn_request(f.l, &r, NULL, NULL));
	assert_int_equal(f.sent[4].path.proto, NET_UDP);
	/* a realm without TCP */
	r.udp_only = false;
	f.no_tcp = true;
	assert_non_null(txn_request(f.l, &r, NULL, NULL));
	assert_int_equal(f.sent[5].path.proto, NET_UDP);
	/* over 64 KiB: no */
	f.no_tcp = false;
	r.body = body_of(65536);
	assert_null(txn_request(f.l, &r, NULL, NULL));
	r.method = SIP_ACK;
	assert_null(txn_ack_new(f.l, &r));
	assert_int_equal(f.n_sent, 6);
	assert_int_equal(txn_count_cli(f.l), 6);
	fake_fini(&f);
}

static void loop_04_branch_tail(void **s)
{
	struct fake f;
	struct txn_req r = {.method = SIP_OPTIONS,
	    .ruri = S("sip:x@y"),
	    .path = peer_path(NET_UDP, "192.0.2.9", 5060, 0),
	    .headers = S("From: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n"),
	    .branch_tail = S("marker")};
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);

	(void)s;
	fake_init(&f);
	assert_non_null(txn_request(f.l, &r, &fake_cli_ops, &f));
	assert_non_null(strstr(f.sent[0].text, ".marker;rport\r\n"));
	answer(&f, &peer, 0, "200 OK", "b");
	assert_events(&f, "200 b;");
	fake_fini(&f);
}

/* ------------------------------------------------------------------ ACK to a 2xx */

static void txn_11_ack_to_2xx(void **s)
{
	struct fake f;
	struct txn_req r = {.method = SIP_ACK,
	    .ruri = S("sip:bob@192.0.2.9"),
	    .path = peer_path(NET_UDP, "192.0.2.9", 5060, 0),
	    .headers = S("From: <sip:a@b>;tag=1\r\nTo: <sip:x@y>;tag=2\r\nCall-ID: c\r\nCSeq: 1 ACK\r\n")};
	struct txn_ack *k;
	char a[256];

	(void)s;
	fake_init(&f);
	k = txn_ack_new(f.l, &r);
	assert_non_null(k);
	txn_ack_resend(k);
	assert_int_equal(f.n_sent, 2);
	assert_string_equal(f.sent[0].text, f.sent[1].text);
	header_of(f.sent[0].text, "Via", a, sizeof(a));
	assert_int_equal(strncmp(a, "SIP/2.0/UDP sbc.example:5060;branch=z9hG4bK", 43), 0);
	assert_int_equal(txn_count_cli(f.l), 0);
	assert_int_equal(f.timers.n, 0);
	txn_ack_free(k);
	txn_ack_free(NULL);
	/* too big for UDP, and refused by TCP */
	r.body = body_of(1400);
	k = txn_ack_new(f.l, &r);
	assert_int_equal(f.sent[2].path.proto, NET_TCP);
	txn_on_failure(f.l, &f.sent[2].path, f.sent[2].owner, -ECONNREFUSED, STR_NONE);
	assert_int_equal(f.sent[3].path.proto, NET_UDP);
	assert_non_null(strstr(f.sent[3].text, "Via: SIP/2.0/UDP"));
	txn_ack_free(k);
	f.send_err[NET_TCP] = -ECONNREFUSED;
	k = txn_ack_new(f.l, &r);
	assert_int_equal(f.sent[4].path.proto, NET_UDP);
	txn_ack_free(k);
	f.no_udp = f.no_tcp = true;
	k = txn_ack_new(f.l, &r);
	assert_non_null(k);
	txn_ack_resend(k);
	txn_ack_free(k);
	assert_int_equal(f.n_sent, 5);
	assert_idle(&f);
	fake_fini(&f);
}

/* ------------------------------------------------------------------ what does not parse */

static void expect_status(struct fake *f, const struct net_path *from, const char *status, const char *text)
{
	unsigned before = f->n_sent;

	receive_n(f, from, text, strlen(text));
	if (!status) {
		assert_int_equal(f->n_sent, before);
		return;
	}
	assert_int_equal(f->n_sent, before + 1);
	assert_int_equal(strncmp(f->sent[before].text, "SIP/2.0 ", 8), 0);
	assert_memory_equal(f->sent[before].text + 8, status, 3);
}

#define HEAD(start, vias, cseq, more) \
	start "\r\n" vias "From: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: bad\r\nCSeq: " cseq "\r\n" more "\r\n"
#define V "Via: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKbad\r\n"
#define INV "INVITE sip:x@sbc.example SIP/2.0"

static void par_bad_requests_are_answered(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	/* PAR-11 body short; PAR-12 length; PAR-13 numbers out of range */
	expect_status(&f, &peer, "400", HEAD(INV, V, "1 INVITE", "Content-Length: 9999\r\n"));
	expect_status(&f, &peer, "400", HEAD(INV, V, "1 INVITE", "Content-Length: -999\r\n"));
	expect_status(&f, &peer, "400", HEAD(INV, V, "1 INVITE", "Content-Length: 0\r\nContent-Length: 4\r\n"));
	expect_status(&f, &peer, "400", HEAD(INV, V, "36893488147419103232 INVITE", "Content-Length: 0\r\n"));
	expect_status(&f, &peer, "400", HEAD(INV, V, "1 INVITE", "Max-Forwards: 300\r\nContent-Length: 0\r\n"));
	/* PAR-17 version; PAR-18 CSeq method */
	expect_status(&f, &peer, "505", HEAD("INVITE sip:x@sbc.example SIP/7.0", V, "1 INVITE", "Content-Length: 0\r\n"));
	expect_status(&f, &peer, "400", HEAD("OPTIONS sip:x@y SIP/2.0", V, "8 INVITE", "Content-Length: 0\r\n"));
	expect_status(&f, &peer, "501", HEAD("NEWMETHOD sip:x@y SIP/2.0", V, "8 INVITE", "Content-Length: 0\r\n"));
	/* PAR-19 missing, PAR-20 twice */
	expect_status(&f, &peer, "400", INV "\r\n" V "To: <sip:x@y>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\r\n");
	expect_status(&f, &peer, "400", INV "\r\n" V "From: <sip:a@b>;tag=1\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\r\n");
	expect_status(&f, &peer, "400", INV "\r\n" V "From: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCSeq: 1 INVITE\r\n\r\n");
	expect_status(&f, &peer, "400", INV "\r\n" V "From: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: i\r\n\r\n");
	expect_status(&f, &peer, NULL, HEAD(INV, "", "1 INVITE", "Content-Length: 0\r\n"));
	expect_status(&f, &peer, "400", HEAD(INV, V, "1 INVITE", "CSeq: 1 INVITE\r\nContent-Length: 0\r\n"));
	assert_to(&f, 0, "192.0.2.9:5070");
	assert_events(&f, "");
	assert_int_equal(metric(&f, "rx_bad"), 14);
	assert_idle(&f);
	/* the same request gets the same tag each time (8.2.7) */
	expect_status(&f, &peer, "400", HEAD(INV, V, "1 INVITE", "Content-Length: -999\r\n"));
	assert_string_equal(f.sent[f.n_sent - 1].text, f.sent[1].text);
	/* a stranger gets silence */
	f.answer_nobody = true;
	expect_status(&f, &peer, NULL, HEAD(INV, V, "1 INVITE", "Content-Length: -999\r\n"));
	fake_fini(&f);
}

static void par_bad_responses_and_acks_are_dropped(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	expect_status(&f, &peer, NULL, HEAD("ACK sip:x@y SIP/2.0", V, "1 ACK", "Content-Length: -1\r\n"));
	expect_status(&f, &peer, NULL, HEAD("SIP/2.0 200 OK", V, "1 INVITE", "Content-Length: 99\r\n"));
	expect_status(&f, &peer, NULL, HEAD("SIP/2.0 700 Odd", V, "1 INVITE", "Content-Length: 0\r\n"));
	expect_status(&f, &peer, NULL, "\r\n\r\n");
	expect_status(&f, &peer, NULL, "garbage");
	/* PAR-17: an empty phrase is one */
	answer(&f, &peer, 0, "100 ", "");
	assert_events(&f, "100 ;");
	fake_fini(&f);
}

static void par_24_require_in_ack_and_cancel_is_ignored(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	receive(&f, &peer, REQ("CANCEL", "z9hG4bKa", "1", "CANCEL", "Require: nope\r\nProxy-Require: nope\r\n"));
	assert_int_equal(find_sent(&f, 0, "SIP/2.0 200 OK"), 0);
	reply(&f, 487);
	receive(&f, &peer, REQ("ACK", "z9hG4bKa", "1", "ACK", "Require: nope\r\n"));
	assert_events(&f, "INVITE;cancel;end 0;");
	assert_int_equal(find_sent(&f, 0, "SIP/2.0 420"), -1);
	fake_fini(&f);
}

/* PAR-32: methods are case-sensitive; the user decides what it does not know */
static void par_32_method_case(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, REQ("invite", "z9hG4bKa", "1", "invite", ""));
	assert_events(&f, "invite;");
	assert_int_equal(f.srv->method, SIP_UNKNOWN);
	assert_int_equal(txn_srv_refuse(f.srv, REASON_METHOD_UNKNOWN, true, S("Allow: INVITE\r\n")), 0);
	assert_int_equal(strncmp(f.sent[0].text, "SIP/2.0 501 ", 12), 0);
	assert_non_null(strstr(f.sent[0].text, "\r\nAllow: INVITE\r\n"));
	assert_non_null(strstr(f.sent[0].text, "\r\nReason: Q.850;cause=79;text=\"method not implemented\"\r\n"));
	assert_non_null(
	    strstr(f.sent[0].text, "\r\nWarning: 399 sbc.example \"PSN-E1011 method not implemented\"\r\n"));
	fake_fini(&f);
}

static void refusal_to_the_untrusted_says_nothing(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	assert_int_equal(txn_srv_refuse(f.srv, REASON_NO_ROUTE, false, STR_NONE), 0);
	assert_int_equal(strncmp(f.sent[0].text, "SIP/2.0 404 Not Found\r\n", 23), 0);
	assert_null(strstr(f.sent[0].text, "PSN-"));
	assert_null(strstr(f.sent[0].text, "Reason:"));
	fake_fini(&f);
}

static void lost_framing_is_answered(void **s)
{
	struct net_path peer = peer_path(NET_TCP, "192.0.2.9", 41000, 7);
	char text[] = HEAD(INV, "Via: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKbad\r\n", "1 INVITE", "Content-Length: 0\r\n");
	char bad[] = HEAD(INV, "Via: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKbad\r\n", "1 INVITE", "Content-Length: -1\r\n");
	char ack[] = HEAD("ACK sip:x@y SIP/2.0", "Via: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKbad\r\n", "1 ACK",
	    "Content-Length: 0\r\n");
	struct fake f;

	(void)s;
	fake_init(&f);
	txn_on_message(f.l, &peer, text, sizeof(text) - 1, REASON_TOO_LARGE);
	txn_on_message(f.l, &peer, bad, sizeof(bad) - 1, REASON_BAD_LENGTH);
	txn_on_message(f.l, &peer, ack, sizeof(ack) - 1, REASON_TOO_LARGE);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(strncmp(f.sent[0].text, "SIP/2.0 513 ", 12), 0);
	assert_int_equal(strncmp(f.sent[1].text, "SIP/2.0 400 ", 12), 0);
	assert_int_equal(f.sent[0].path.conn, 7);
	assert_int_equal(f.closed, 0); /* net does that */
	assert_events(&f, "");
	fake_fini(&f);
}

/* ------------------------------------------------------------------ failures */

static void icmp_is_matched_by_the_branch(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0), other = peer_path(NET_UDP, "192.0.2.8", 5060, 0);
	struct fake f;
	char via[256];
	struct str sent;

	(void)s;
	fake_init(&f);
	request(&f, SIP_INVITE, NET_UDP);
	sent = str_n(f.sent[0].text, f.sent[0].n);
	header_of(sent.p, "Via", via, sizeof(via));
	/* too short to tell, another peer, a stranger's bytes, an answer of ours */
	for (size_t n = 0; n < (size_t)(strstr(sent.p, ";rport") - sent.p); n++)
		txn_on_failure(f.l, &peer, 0, -ECONNREFUSED, str_head(sent, n));
	txn_on_failure(f.l, &other, 0, -ECONNREFUSED, sent);
	txn_on_failure(f.l, &peer, 0, -ECONNREFUSED,
	    S("INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKabcdefghijklmnop\r\n"));
	txn_on_failure(f.l, &peer, 0, -ECONNREFUSED, S("SIP/2.0 200 OK\r\nVia: x\r\n"));
	assert_events(&f, "");
	/* what a router quotes of it is enough */
	txn_on_failure(f.l, &peer, 0, -ECONNREFUSED, str_head(sent, 200));
	assert_events(&f, "failed -111;");
	run_to(&f, 2);
	assert_events(&f, "gone;");
	/* an ICMP error for the CANCEL does not end the INVITE */
	request(&f, SIP_INVITE, NET_UDP);
	answer(&f, &peer, 1, "180 Ringing", "b");
	txn_cli_cancel(f.cli, STR_NONE);
	assert_int_equal(txn_count_cli(f.l), 2);
	txn_on_failure(f.l, &peer, 0, -ECONNREFUSED, str_n(f.sent[2].text, f.sent[2].n));
	run_to(&f, 5);
	assert_int_equal(txn_count_cli(f.l), 1);
	assert_events(&f, "180 b;");
	fake_fini(&f);
}

static void wire_is_shown(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	receive(&f, &peer, "garbage");
	reply(&f, 486);
	request(&f, SIP_OPTIONS, NET_UDP);
	assert_int_equal(f.on_wire_in, 2);
	assert_int_equal(f.on_wire_out, 2);
	fake_fini(&f);
}

static void closing_ends_everything(void **s)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);
	struct fake f;
	struct txn_req r = {.method = SIP_ACK,
	    .ruri = S("sip:x@y"),
	    .path = peer,
	    .headers = S("From: <sip:a@b>;tag=1\r\nTo: <sip:x@y>;tag=2\r\nCall-ID: c\r\nCSeq: 1 ACK\r\n")};

	(void)s;
	fake_init(&f);
	receive(&f, &peer, INVITE("z9hG4bKa"));
	request(&f, SIP_INVITE, NET_UDP);
	assert_non_null(txn_ack_new(f.l, &r));
	fake_fini(&f);
	assert_events(&f, "INVITE;end -125;failed -125;gone;");
}

/* A whole exchange with the n-th allocation failing, for every n: nothing crashes, nothing is left. */
static bool exchange(struct fake *f)
{
	struct net_path peer = peer_path(NET_UDP, "192.0.2.9", 5060, 0);

	receive(f, &peer, INVITE("z9hG4bKa"));
	receive(f, &peer, INVITE("z9hG4bKm"));
	run_to(f, 250);
	if (f->srv)
		(void)reply(f, 180);
	receive(f, &peer, REQ("CANCEL", "z9hG4bKa", "1", "CANCEL", ""));
	if (f->srv && reply(f, 487) == -ENOMEM)
		txn_srv_detach(f->srv);
	f->srv = NULL;
	receive(f, &peer, ACK("z9hG4bKa"));
	receive(f, &peer, ACK("z9hG4bKm"));
	if (request_with(f, SIP_INVITE, NET_UDP, NULL, body_of(1400))) {
		unsigned i = f->n_sent - 1;

		txn_on_failure(f->l, &f->sent[i].path, f->sent[i].owner, -ECONNREFUSED, STR_NONE);
		if (f->cli && f->n_sent > i + 1) {
			answer(f, &peer, i + 1, "180 Ringing", "b");
			txn_cli_cancel(f->cli, S("Reason: SIP;cause=200\r\n"));
			answer(f, &peer, i + 1, "487 Request Terminated", "b");
		}
	}
	run_to(f, 120000);
	return fail_at == 0;
}

static void every_allocation_may_fail(void **s)
{
	struct fake f;
	bool failed = true;
	unsigned n;

	(void)s;
	for (n = 1; failed; n++) {
		assert_true(n < 1000);
		fake_init(&f);
		/* pools are empty at first, so every chunk is an allocation */
		fail_at = n;
		failed = exchange(&f);
		fail_at = 0;
		assert_idle(&f);
		fake_fini(&f);
	}
	assert_true(n > 20);
	/* the layer itself */
	fake_init(&f);
	for (n = 1; n < 10; n++) {
		struct txn_layer *l;

		fail_at = n;
		l = txn_new(&f.env, &f.net, &fake_user, &f);
		if (fail_at) {
			fail_at = 0;
			assert_non_null(l);
			txn_free(l);
			break;
		}
		assert_null(l);
	}
	assert_true(n > 4 && n < 10);
	txn_free(NULL);
	fake_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(txn_10_stray_responses_are_dropped),
	    cmocka_unit_test(txn_12_branch_has_cookie_and_is_fresh),
	    cmocka_unit_test(txn_12_sent_by_and_method_count),
	    cmocka_unit_test(txn_12_rfc2543_requests),
	    cmocka_unit_test(txn_12_rfc2543_ack_to_2xx_goes_up),
	    cmocka_unit_test(uas_05_merged_request_gets_482),
	    cmocka_unit_test(loop_05_received_and_rport),
	    cmocka_unit_test(loop_06_without_rport_to_sent_by_port),
	    cmocka_unit_test(loop_08_maddr_is_ignored),
	    cmocka_unit_test(tcp_02_answers_on_the_connection_or_a_new_one),
	    cmocka_unit_test(loop_09_big_request_moves_to_tcp),
	    cmocka_unit_test(loop_09_and_back_when_refused),
	    cmocka_unit_test(loop_09_limits),
	    cmocka_unit_test(loop_04_branch_tail),
	    cmocka_unit_test(txn_11_ack_to_2xx),
	    cmocka_unit_test(par_bad_requests_are_answered),
	    cmocka_unit_test(par_bad_responses_and_acks_are_dropped),
	    cmocka_unit_test(par_24_require_in_ack_and_cancel_is_ignored),
	    cmocka_unit_test(par_32_method_case),
	    cmocka_unit_test(refusal_to_the_untrusted_says_nothing),
	    cmocka_unit_test(lost_framing_is_answered),
	    cmocka_unit_test(icmp_is_matched_by_the_branch),
	    cmocka_unit_test(wire_is_shown),
	    cmocka_unit_test(closing_ends_everything),
	    cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
