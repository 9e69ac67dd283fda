/* links: sbc_b2b sbc_policy media
 * b2b_main.c - what a call costs in user space, without sockets: INVITE, 180, 200, ACK, BYE, 200 through the B2BUA
 * (11 messages parsed or written), media anchored but silent, against a network that only counts.
 *
 *     bench_b2b [calls]                           ns per call
 *     bench_b2b 30000 idle                        bytes of memory per call that is up and older than its transactions
 *     valgrind --tool=callgrind bench_b2b 2000    instructions: repeatable, whatever else the machine does
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sbc/b2b/call.h"
#include "sbc/policy/compile.h"

struct bench {
	struct net net;
	char out[65536]; /* the last messages towards A and B */
	size_t out_len;
	uint8_t out_realm;
	char a[4096], b[4096];
	size_t a_len, b_len;
	uint64_t records;
};

static struct net_local locals[2];

static int bench_send(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct bench *w = container_of(n, struct bench, net);
	char *dst = path->realm ? w->b : w->a;

	(void)owner;
	if (len < sizeof(w->a) - 1) {
		memcpy(dst, p, len);
		dst[len] = '\0';
		*(path->realm ? &w->b_len : &w->a_len) = len;
	}
	return 0;
}

static const struct net_local *bench_local(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	(void)n;
	return proto == NET_UDP && family == AF_INET && realm < 2 ? &locals[realm] : NULL;
}

static void bench_close(struct net *n, const struct net_path *path, bool now)
{
	(void)n;
	(void)path;
	(void)now;
}

static const struct net_ops ops = {.send = bench_send, .local = bench_local, .close = bench_close};

static void on_record(void *ctx, const struct call_record *rec)
{
	struct bench *w = ctx;

	(void)rec;
	w->records++;
}

static bool is_local(void *ctx, unsigned realm, const struct addr *a)
{
	(void)ctx;
	return addr_eq_ip(a, &locals[realm].bound);
}

static const struct b2b_user user = {.on_record = on_record, .on_answered = NULL, .is_local = is_local, .on_wire = NULL};

static void addr_of(const char *text, struct addr *ret)
{
	if (addr_parse(str_z(text), 5060, ret) < 0)
		abort();
}

static const char sdp_a[] = "v=0\r\no=alice 1 1 IN IP4 198.51.100.10\r\ns=call\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\n"
                            "m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
                            "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";
static const char sdp_b[] = "v=0\r\no=bob 9 9 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n"
                            "m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
                            "a=fmtp:101 0-15\r\na=sendrecv\r\n";

static void rx(struct b2b *b, int realm, const char *from, char *text)
{
	struct net_path p = {.proto = NET_UDP, .realm = (uint8_t)realm, .local = locals[realm].bound};

	addr_of(from, &p.remote);
	b2b_on_message(b, &p, text, strlen(text), REASON_NONE);
}

/* value of a header in a message we were sent */
static struct str value(const char *msg, const char *name)
{
	const char *p = strstr(msg, name);

	return p ? str_n(p + strlen(name), strcspn(p + strlen(name), "\r")) : STR_NONE;
}

static void answer(struct bench *w, struct b2b *b, const char *req, const char *status, const char *sdp)
{
	char text[4096];
	struct str via = value(req, "\r\nVia: "), from = value(req, "\r\nFrom: "), to = value(req, "\r\nTo: "),
	           id = value(req, "\r\nCall-ID: "), cseq = value(req, "\r\nCSeq: ");
	bool tagged = str_find(to, S(";tag=")) >= 0;

	(void)w;
	snprintf(text, sizeof(text),
	    "SIP/2.0 %s\r\nVia: %.*s\r\nFrom: %.*s\r\nTo: %.*s%s\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n"
	    "Contact: <sip:bob@203.0.113.20:5060>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n%sContent-Length: %zu\r\n\r\n%s",
	    status, STR(via), STR(from), STR(to), tagged ? "" : ";tag=btag", STR(id), STR(cseq),
	    sdp ? "Content-Type: application/sdp\r\n" : "", sdp ? strlen(sdp) : 0, sdp ? sdp : "");
	rx(b, 1, "203.0.113.20", text);
}

static void one_call(struct bench *w, struct b2b *b, unsigned i, bool hang_up)
{
	char text[4096], req[4096];
	struct str to;

	snprintf(text, sizeof(text),
	    "INVITE sip:+4989998877@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKi%u;rport\r\n"
	    "Max-Forwards: 70\r\nFrom: \"Alice\" <sip:+49301234501@pbx.example>;tag=at%u\r\nTo: <sip:+4989998877@198.51.100.1>\r\n"
	    "Call-ID: bench-%u@pbx.example\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@198.51.100.10:5060>\r\n"
	    "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\nSupported: replaces\r\nUser-Agent: bench\r\n"
	    "Content-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s",
	    i, i, i, sizeof(sdp_a) - 1, sdp_a);
	rx(b, 0, "198.51.100.10", text);
	memcpy(req, w->b, w->b_len + 1);
	answer(w, b, req, "180 Ringing", NULL);
	answer(w, b, req, "200 OK", sdp_b);
	to = value(w->a, "\r\nTo: ");
	snprintf(text, sizeof(text),
	    "ACK sip:198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKk%u;rport\r\nMax-Forwards: 70\r\n"
	    "From: \"Alice\" <sip:+49301234501@pbx.example>;tag=at%u\r\nTo: %.*s\r\nCall-ID: bench-%u@pbx.example\r\n"
	    "CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
	    i, i, STR(to), i);
	rx(b, 0, "198.51.100.10", text);
	if (!hang_up)
		return;
	snprintf(text, sizeof(text),
	    "BYE sip:198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKb%u;rport\r\nMax-Forwards: 70\r\n"
	    "From: \"Alice\" <sip:+49301234501@pbx.example>;tag=at%u\r\nTo: %.*s\r\nCall-ID: bench-%u@pbx.example\r\n"
	    "CSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n",
	    i, i, STR(to), i);
	rx(b, 0, "198.51.100.10", text);
	memcpy(req, w->b, w->b_len + 1);
	answer(w, b, req, "200 OK", NULL);
}

int main(int argc, char **argv)
{
	static struct clock clock = {.mono_us = 1000000, .wall_us = 1700000000000000};
	static struct timers timers;
	static struct rng rng;
	static struct metrics metrics;
	static struct logger logger;
	static struct bench w;
	static const struct pol_realm realms[2] = {{.name = {"lan", 3}}, {.name = {"wan", 3}}};
	static const struct db_target target[2] = {
	    {.host = {"198.51.100.10", 13}, .port = 5060, .priority = 1, .weight = 1},
	    {.host = {"203.0.113.20", 12}, .port = 5060, .priority = 1, .weight = 1}};
	static struct db_trunk trunk[2];
	static const struct db_route_via via = {.trunk_id = 2, .priority = 1, .weight = 1};
	static struct db_route route;
	struct media_realm_cfg mr[2];
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	struct env env = {.clock = &clock, .timers = &timers, .rng = &rng, .logger = &logger, .metrics = &metrics,
	    .hash_key = {3, 4}};
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20000;
	struct timespec t0, t1;
	struct db_rows rows;
	struct media *media;
	struct policy *p;
	enum reason why;
	struct b2b *b;
	double ns;

	timers_init(&timers, &clock);
	rng_init_system(&rng);
	metrics_init(&metrics);
	if (!errs || logger_init(&logger, -1, LOG_WARN) < 0)
		return 2;
	w.net.ops = &ops;
	memset(mr, 0, sizeof(mr));
	for (int i = 0; i < 2; i++) {
		struct addr a;

		addr_of(i ? "203.0.113.1" : "198.51.100.1", &a);
		locals[i] = (struct net_local){.bound = a, .host = str_z(i ? "203.0.113.1" : "198.51.100.1"), .port = 5060};
		mr[i] = (struct media_realm_cfg){.name = realms[i].name, .ip4 = a, .port_min = 2000, .port_max = 65001};
		trunk[i] = (struct db_trunk){.id = (uint32_t)i + 1, .name = i ? S("itsp") : S("pbx"),
		    .role = i ? S("itsp") : S("pbx"), .realm = realms[i].name, .targets = &target[i], .n_targets = 1};
	}
	route = (struct db_route){.id = 1, .name = S("out"), .position = 1, .from_trunk = 1, .from = S("*"), .to = S("*"),
	    .via = &via, .n_via = 1};
	rows = (struct db_rows){.trunks = trunk, .n_trunks = 2, .routes = &route, .n_routes = 1};
	media = media_new(&env, &(struct media_cfg){.realms = mr, .n_realms = 2, .quarantine_ms = 1}, &why);
	b = media ? b2b_new(&env, &w.net, media, &(struct b2b_cfg){.user_agent = S("Postern/bench")}, &user, &w) : NULL;
	if (!b || policy_compile(&(struct policy_input){.realms = realms, .n_realms = 2, .rows = &rows, .hash_key = {3, 4}},
	              &p, errs) < 0) {
		fprintf(stderr, "could not start: %s %s\n", errs->e[0].object, errs->e[0].text);
		return 2;
	}
	b2b_set_policy(b, p);
	policy_unref(p);
	if (argc > 2 && strcmp(argv[2], "idle") == 0) {
		size_t before = mallinfo2().uordblks, after;

		for (unsigned i = 0; i < n; i++) {
			one_call(&w, b, i, false);
			clock.mono_us += 1000;
			timers_advance(&timers);
		}
		for (int i = 0; i < 400; i++) {
			clock.mono_us += 100000;
			timers_advance(&timers);
		}
		after = mallinfo2().uordblks;
		printf("%u calls up: %.0f bytes per call, of these %.0f in call arenas\n", b2b_call_count(b),
		    (double)(after - before) / n, (double)b2b_call_bytes(b) / n);
		return b2b_call_count(b) == n ? 0 : 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (unsigned i = 0; i < n; i++) {
		one_call(&w, b, i, true);
		clock.mono_us += 100; /* 10,000 calls a second, so that transactions end as they would */
		timers_advance(&timers);
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	ns = (double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec);
	printf("%u calls, %llu records: %.1f us per call in user space\n", n, (unsigned long long)w.records, ns / n / 1000);
	if (w.records != n)
		return 1;
	b2b_free(b);
	media_free(media);
	logger_fini(&logger);
	free(errs);
	return 0;
}
