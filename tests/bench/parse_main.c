/* parse_main.c - what it costs to parse one INVITE of 942 bytes with what a B2BUA asks of it.
 *
 * links: sbc_sip
 *
 *     bench_parse [rounds]        ns per message, best and median of rounds of 10000 messages each
 *     valgrind --tool=callgrind --toggle-collect=one_message ./bench_parse 0
 *                                 instructions of exactly 1000 messages: divide by that
 *
 * Each message is copied into place first, as a receive does; the copy is inside the measured time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sbc/base/arena.h"
#include "sbc/sip/header.h"

static const char invite[] =
    "INVITE sip:+4721000001@sbc.example.net:5060;user=phone SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bKPj2c1b0f8f6e1f4f1c\r\n"
    "Max-Forwards: 70\r\n"
    "From: \"Alice Example\" <sip:+4722000001@pbx.example.com>;tag=8a1f0c55e6\r\n"
    "To: <sip:+4721000001@sbc.example.net;user=phone>\r\n"
    "Contact: <sip:+4722000001@192.0.2.10:5060;transport=udp>\r\n"
    "Call-ID: 7f1d0a3b9c5e4d2f8a6b@192.0.2.10\r\n"
    "CSeq: 20841 INVITE\r\n"
    "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER\r\n"
    "Supported: replaces, 100rel, timer, norefersub\r\n"
    "Session-Expires: 1800\r\n"
    "Min-SE: 90\r\n"
    "P-Asserted-Identity: <sip:+4722000001@pbx.example.com>\r\n"
    "Privacy: none\r\n"
    "User-Agent: Example PBX 4.2 (build 2026.11, x86_64, Debian 12)xxxx\r\n"
    "Content-Type: application/sdp\r\n"
    "Content-Length: 199\r\n"
    "\r\n"
    "v=0\r\n"
    "o=- 3907130145 3907130145 IN IP4 192.0.2.10\r\n"
    "s=-\r\n"
    "c=IN IP4 192.0.2.10\r\n"
    "t=0 0\r\n"
    "m=audio 4000 RTP/AVP 8 0 101\r\n"
    "a=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-16\r\n"
    "a=sendrecv\r\n";

#define BATCH 10000

static unsigned failures;

/* one message: parse, then what a call asks of an INVITE beside what the parser has checked */
__attribute__((noinline)) static void one_message(struct arena *a, char *buf)
{
	struct sip_msg *m;
	struct sip_perr err;
	struct sip_addr contact;
	char digits[64];
	struct buf number;

	arena_reset(a);
	memcpy(buf, invite, sizeof(invite) - 1);
	if (sip_parse(a, buf, sizeof(invite) - 1, &m, &err) < 0) {
		failures++;
		return;
	}
	buf_init(&number, digits, sizeof(digits));
	if (sip_contact(m, &contact) < 0 || sip_uri_number(&m->ruri, &number) < 0 ||
	    !sip_body_is(m, S("application/sdp")) || sip_hdr(m, SIP_H_REQUIRE))
		failures++;
}

/* only the parser */
__attribute__((noinline)) static void parse_only(struct arena *a, char *buf)
{
	struct sip_msg *m;
	struct sip_perr err;

	arena_reset(a);
	memcpy(buf, invite, sizeof(invite) - 1);
	if (sip_parse(a, buf, sizeof(invite) - 1, &m, &err) < 0)
		failures++;
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static void measure(const char *what, void (*fn)(struct arena *, char *), struct arena *a, char *buf,
    unsigned rounds)
{
	double *ns = calloc(rounds, sizeof(*ns));

	if (!ns)
		abort();
	for (unsigned r = 0; r < rounds; r++) {
		double start = now_ns();

		for (unsigned i = 0; i < BATCH; i++)
			fn(a, buf);
		ns[r] = (now_ns() - start) / BATCH;
	}
	qsort(ns, rounds, sizeof(*ns), by_value);
	printf("%-40s best %.0f ns, median %.0f ns\n", what, ns[0], ns[rounds / 2]);
	free(ns);
}

int main(int argc, char **argv)
{
	struct arena_pool pool;
	struct arena *a;
	char buf[2048];
	uint32_t rounds = 50;

	if (argc > 1 && str_u32(str_z(argv[1]), 100000, &rounds) < 0) {
		fprintf(stderr, "usage: bench_parse [rounds]\n");
		return 2;
	}
	arena_pool_init(&pool, 8192, 4);
	a = arena_new(&pool);
	if (!a)
		return 1;
	printf("INVITE of %zu bytes\n", sizeof(invite) - 1);
	if (rounds == 0) {
		for (unsigned i = 0; i < 1000; i++)
			one_message(a, buf);
	} else {
		measure("sip_parse", parse_only, a, buf, rounds);
		measure("with Contact, number, Require, body", one_message, a, buf, rounds);
	}
	arena_free(a);
	arena_pool_fini(&pool);
	if (failures) {
		fprintf(stderr, "%u messages were not parsed\n", failures);
		return 1;
	}
	return 0;
}
