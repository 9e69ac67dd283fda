/* Reading and writing descriptions: what is bent, what is refused and why, what is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "media/codec.h"

#define HEAD "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"

struct world {
	struct arena_pool pool;
	struct arena *a;
	struct sdp *s;
	struct sdp_error err;
};

static void start(struct world *w)
{
	arena_pool_init(&w->pool, 4096, 4);
	w->a = arena_new(&w->pool);
	assert_non_null(w->a);
}

static void end(struct world *w)
{
	arena_free(w->a);
	assert_int_equal(w->pool.live_bytes, 0);
	arena_pool_fini(&w->pool);
}

static enum reason parse(struct world *w, struct str text)
{
	arena_reset(w->a);
	w->s = NULL;
	return sdp_parse(w->a, text, 16, &w->s, &w->err);
}

static void parse_ok(struct world *w, const char *text)
{
	if (parse(w, str_z(text)))
		print_message("%s\n", w->err.why);
	assert_int_equal(w->err.reason, REASON_NONE);
	assert_non_null(w->s);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
		unsigned line;
		const char *why;
	} t[] = {
		{"", REASON_SDP_MALFORMED, 0, "empty"},
		{"\r\n\r\n", REASON_SDP_MALFORMED, 0, "no v= line"},
		{"hello", REASON_SDP_MALFORMED, 1, "a line that is not x=..."},
		{"v", REASON_SDP_MALFORMED, 1, "a line that is not x=..."},
		{"v=1\r\n", REASON_SDP_MALFORMED, 1, "version is not 0"},
		{"v=\r\n", REASON_SDP_MALFORMED, 1, "version is not 0"},
		{"v=00\r\n", REASON_SDP_MALFORMED, 1, "version is not 0"},
		{"s=-\r\nc=IN IP4 192.0.2.1\r\nm=audio 4 RTP/AVP 0\r\n", REASON_SDP_MALFORMED, 0, "no v= line"},
		{HEAD "a line\r\n", REASON_SDP_MALFORMED, 6, "a line that is not x=..."},
		{HEAD " a=x\r\n", REASON_SDP_MALFORMED, 6, "a line that is not x=..."},
		{HEAD "a=x\ry\r\n", REASON_SDP_MALFORMED, 6, "a bare CR in a line"},
		{HEAD "m=\r\n", REASON_SDP_MALFORMED, 6, "m= line without a kind"},
		{HEAD "m=audio\r\n", REASON_SDP_MALFORMED, 6, "m= line without a usable port"},
		{HEAD "m=audio x RTP/AVP 0\r\n", REASON_SDP_MALFORMED, 6, "m= line without a usable port"},
		{HEAD "m=audio -1 RTP/AVP 0\r\n", REASON_SDP_MALFORMED, 6, "m= line without a usable port"},
		{HEAD "m=audio 65536 RTP/AVP 0\r\n", REASON_SDP_MALFORMED, 6, "m= line without a usable port"},
		{HEAD "m=audio 99999999999999999999 RTP/AVP 0\r\n", REASON_SDP_MALFORMED, 6, "m= line without a usable port"},
		{HEAD "m=audio /2 RTP/AVP 0\r\n", REASON_SDP_MALFORMED, 6, "m= line without a usable port"},
		{HEAD "m=audio 4000\r\n", REASON_SDP_MALFORMED, 6, "m= line without a protocol"},
		{HEAD "m=au\x01io 4000 RTP/AVP 0\r\n", REASON_SDP_MALFORMED, 6, "m= line without a kind"},
		{HEAD "m=audio 4000 RTP\x7f/AVP 0\r\n", REASON_SDP_MALFORMED, 6, "m= line without a protocol"},
		{"v=0\r\nc=\r\n", REASON_SDP_MALFORMED, 2, "c= line without an address"},
		{"v=0\r\nc=IN IP4\r\n", REASON_SDP_MALFORMED, 2, "c= line without an address"},
		{"v=0\r\nm=audio 4000 RTP/AVP 0\r\n", REASON_SDP_MALFORMED, 2, "stream without a c= line"},
		{"v=0\r\nm=audio 4000 RTP/AVP 0\r\nm=audio 4 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n", REASON_SDP_MALFORMED, 3,
		    "stream without a c= line"},
	};
	struct world w;

	(void)state;
	start(&w);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(parse(&w, str_z(t[i].text)), t[i].reason);
		assert_int_equal(w.err.reason, t[i].reason);
		assert_string_equal(w.err.why, t[i].why);
		assert_int_equal(w.err.line, t[i].line);
		assert_null(w.s);
	}
	assert_int_equal(parse(&w, str_n("v=0\r\ns=\0\r\n", 11)), REASON_SDP_MALFORMED);
	assert_string_equal(w.err.why, "a NUL in the text");
	end(&w);
}

/* 64 KiB, 2000 lines, 16 streams, 64 formats: the last that passes and the first that does not (PAR-34) */
static void test_limits(void **state)
{
	struct world w;
	char *text = malloc(SDP_TEXT_MAX + 16);
	size_t n = strlen(HEAD);

	(void)state;
	assert_non_null(text);
	start(&w);
	memcpy(text, HEAD, n);
	memset(text + n, 'x', SDP_TEXT_MAX + 16 - n);
	memcpy(text + n, "a=", 2);
	assert_int_equal(parse(&w, str_n(text, SDP_TEXT_MAX)), REASON_NONE);
	assert_int_equal(parse(&w, str_n(text, SDP_TEXT_MAX + 1)), REASON_SDP_TOO_LARGE);
	assert_string_equal(w.err.why, "larger than 64 KiB");
	for (unsigned i = 0; i < SDP_LINES_MAX - 5; i++)
		memcpy(text + n + 4 * i, "a=x\n", 4);
	assert_int_equal(parse(&w, str_n(text, n + 4 * (SDP_LINES_MAX - 5))), REASON_NONE);
	memcpy(text + n + 4 * (SDP_LINES_MAX - 5), "a=x\n", 4);
	assert_int_equal(parse(&w, str_n(text, n + 4 * (SDP_LINES_MAX - 4))), REASON_SDP_TOO_LARGE);
	assert_string_equal(w.err.why, "more than 2000 lines");
	for (unsigned many = 16; many <= 17; many++) {
		size_t at = n;

		for (unsigned i = 0; i < many; i++)
			at += (size_t)snprintf(text + at, 64, "m=audio 4000 RTP/AVP 0\r\n");
		assert_int_equal(parse(&w, str_n(text, at)), many > 16 ? REASON_TOO_MANY_STREAMS : REASON_NONE);
	}
	for (unsigned many = 64; many <= 65; many++) {
		size_t at = n + (size_t)snprintf(text + n, 64, "m=audio 4000 RTP/AVP");

		for (unsigned i = 0; i < many; i++)
			at += (size_t)snprintf(text + at, 8, " %u", i);
		assert_int_equal(parse(&w, str_n(text, at)), many > 64 ? REASON_SDP_TOO_LARGE : REASON_NONE);
	}
	end(&w);
	free(text);
}

static void test_streams(void **state)
{
	struct world w;
	const struct sdp_media *m;

	(void)state;
	start(&w);
	parse_ok(&w, HEAD "a=recvonly\r\nm=audio 4000/2 RTP/AVP 0 101 96 x 200 0\r\na=rtpmap:101 telephone-event/8000\r\n"
	                  "a=fmtp:101 0-15, 16 \r\na=rtcp:4009\r\na=X\r\na=Y:\r\na=z:1:2\r\nb=AS:64\r\n"
	                  "m=video 65535 RTP/AVPF 34\r\nc=IN IP6 2001:db8::1\r\na=sendonly\r\na=INACTIVE\r\n"
	                  "m=image 0 udptl t38 other\r\nm=x 5 UDP/TLS/RTP/SAVPF 1\r\nc=IN IP4 0.0.0.0\r\n");
	assert_int_equal(w.s->n_media, 4);
	m = &w.s->media[0];
	assert_int_equal(m->port, 4000);
	assert_int_equal(m->profile, SDP_PROFILE_AVP);
	assert_int_equal(m->n_formats, 3);
	assert_true(str_eq(m->formats[0].name, S("PCMU")));
	assert_int_equal(m->formats[0].clock_hz, 8000);
	assert_true(str_eq(m->formats[1].name, S("telephone-event")));
	assert_true(str_eq(m->formats[1].fmtp, S("0-15, 16 "))); /* byte by byte (SDP-11) */
	assert_int_equal(m->formats[2].pt, 96);
	assert_int_equal(m->formats[2].name.n, 0);
	assert_int_equal(m->dir, SDP_RECVONLY); /* from the session (SDP-18) */
	assert_int_equal(addr_port(&m->rtp), 4000);
	assert_int_equal(addr_port(&m->rtcp), 4009);
	assert_non_null(sdp_attr(m->attrs, S("x")));
	assert_null(sdp_attr(m->attrs, S("x"))->value.p);
	assert_non_null(sdp_attr(m->attrs, S("Y"))->value.p);
	assert_true(str_eq(sdp_attr(m->attrs, S("z"))->value, S("1:2")));
	assert_null(sdp_attr(m->attrs, S("AS"))); /* that is a b= line */
	m = &w.s->media[1];
	assert_int_equal(m->dir, SDP_INACTIVE); /* the last word counts */
	assert_true(addr_is6(&m->rtp));
	assert_true(addr_none(&m->rtcp)); /* there is no port 65536 */
	m = &w.s->media[2];
	assert_int_equal(m->profile, SDP_PROFILE_UDPTL);
	assert_true(str_eq(m->fmts, S("t38 other")));
	assert_int_equal(m->n_formats, 0);
	m = &w.s->media[3];
	assert_int_equal(m->profile, SDP_PROFILE_DTLSF);
	assert_int_equal(m->conn, SDP_CONN_HOLD);
	assert_int_equal(sdp_dir(m), SDP_INACTIVE); /* recvonly that wants nothing */
	end(&w);
}

static void test_connections(void **state)
{
	static const struct {
		const char *c;
		enum sdp_conn conn;
	} t[] = {
		{"IN IP4 192.0.2.9", SDP_CONN_IP},
		{"IN IP4 192.0.2.9/127", SDP_CONN_IP},
		{"in ip4 192.0.2.9", SDP_CONN_IP},
		{"IN IP6 2001:db8::9", SDP_CONN_IP},
		{"IN IP4 2001:db8::9", SDP_CONN_IP}, /* the address says it better */
		{"IN IP4 0.0.0.0", SDP_CONN_HOLD},
		{"IN IP6 ::", SDP_CONN_HOLD},
		{"IN IP6 0:0:0:0:0:0:0:0", SDP_CONN_HOLD},
		{"IN IP4 anything.invalid", SDP_CONN_HOLD},
		{"IN IP4 Anything.INVALID.", SDP_CONN_HOLD},
		{"IN IP4 invalid", SDP_CONN_HOLD},
		{"IN IP4 notinvalid", SDP_CONN_BAD},
		{"IN IP4 pbx.example.com", SDP_CONN_BAD},
		{"IN IP4 224.2.36.42/127", SDP_CONN_BAD},
		{"IN IP4 240.0.0.1", SDP_CONN_BAD},
		{"IN IP4 255.255.255.255", SDP_CONN_BAD},
		{"IN IP6 ff15::101", SDP_CONN_BAD},
		{"IN IP4 1.2.3", SDP_CONN_BAD},
		{"IN IP4 1.2.3.4.5", SDP_CONN_BAD},
		{"ATM NSAP 47.0", SDP_CONN_BAD},
	};
	struct world w;
	char text[512];

	(void)state;
	start(&w);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		for (unsigned level = 0; level < 2; level++) {
			snprintf(text, sizeof(text), "v=0\r\nc=%s\r\nm=audio 4000 RTP/AVP 0\r\n%s%s%s",
			    level ? "IN IP4 192.0.2.1" : t[i].c, level ? "c=" : "", level ? t[i].c : "", level ? "\r\n" : "");
			parse_ok(&w, text);
			assert_int_equal(w.s->media[0].conn, t[i].conn);
			assert_int_equal(addr_port(&w.s->media[0].rtp), t[i].conn == SDP_CONN_IP ? 4000 : 0);
		}
	}
	end(&w);
}

/* RFC 3551's numbers need no rtpmap; G722 has 8000 in SDP (SDP-10) */
static void test_static_types(void **state)
{
	static const struct {
		const char *name;
		uint32_t hz;
		unsigned pt;
	} t[] = {
		{"PCMU", 8000, 0}, {"GSM", 8000, 3}, {"G723", 8000, 4}, {"PCMA", 8000, 8}, {"G722", 8000, 9},
		{"CN", 8000, 13}, {"G729", 8000, 18}, {"H261", 90000, 31}, {"H263", 90000, 34},
	};
	struct world w;
	struct sdp_format f = {0};
	char text[512];

	(void)state;
	start(&w);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		snprintf(text, sizeof(text), HEAD "m=audio 4000 RTP/AVP %u\r\n", t[i].pt);
		parse_ok(&w, text);
		assert_true(str_eq(w.s->media[0].formats[0].name, str_z(t[i].name)));
		assert_int_equal(w.s->media[0].formats[0].clock_hz, t[i].hz);
		assert_true(codec_is_static(&w.s->media[0].formats[0]));
	}
	for (unsigned pt = 35; pt < 256; pt++)
		assert_false(codec_static((uint8_t)pt, &f));
	assert_false(codec_static(1, &f));
	/* an rtpmap may say otherwise; the first of two counts */
	parse_ok(&w, HEAD "m=audio 4000 RTP/AVP 8 96\r\na=rtpmap:8 L16/16000/2\r\na=rtpmap:96 A/8000\r\na=rtpmap:96 B/8000\r\n");
	assert_true(str_eq(w.s->media[0].formats[0].name, S("L16")));
	assert_int_equal(w.s->media[0].formats[0].channels, 2);
	assert_true(str_eq(w.s->media[0].formats[1].name, S("A")));
	end(&w);
}

static void test_codecs(void **state)
{
	struct sdp_format pcma = {.name = S("PCMA"), .clock_hz = 8000, .channels = 1};
	struct sdp_format low = {.name = S("pcma"), .clock_hz = 8000, .channels = 1, .pt = 97};
	struct sdp_format g729 = {.name = S("G729"), .clock_hz = 8000, .channels = 1};
	struct sdp_format g729a = {.name = S("G729a"), .clock_hz = 8000, .channels = 1};
	struct sdp_format te8 = {.name = S("telephone-event"), .clock_hz = 8000, .channels = 1};
	struct sdp_format te48 = {.name = S("telephone-event"), .clock_hz = 48000, .channels = 1};
	struct sdp_format opus = {.name = S("opus"), .clock_hz = 48000, .channels = 2};
	struct sdp_format none = {.clock_hz = 0, .channels = 1};

	(void)state;
	assert_true(codec_same(&pcma, &low));
	assert_int_equal(codec_key(&pcma), codec_key(&low));
	assert_true(codec_same(&g729, &g729a));
	assert_int_equal(codec_key(&g729), codec_key(&g729a));
	assert_false(codec_same(&te8, &te48));
	assert_int_not_equal(codec_key(&te8), codec_key(&te48));
	assert_false(codec_same(&none, &none));
	assert_true(codec_is_aux(&te8));
	assert_false(codec_is_aux(&opus));
	assert_int_equal(codec_rank(S(""), &opus), 0);
	assert_int_equal(codec_rank(S(" "), &opus), 0);
	assert_int_equal(codec_rank(S("PCMA, PCMU opus"), &opus), 2);
	assert_int_equal(codec_rank(S("OPUS/48000"), &opus), 0);
	assert_int_equal(codec_rank(S("opus/48000/2"), &opus), 0);
	assert_int_equal(codec_rank(S("opus/48000/1"), &opus), -1);
	assert_int_equal(codec_rank(S("opus/8000"), &opus), -1);
	assert_int_equal(codec_rank(S("opus/x"), &opus), -1);
	assert_int_equal(codec_rank(S("opusx"), &opus), -1);
	assert_int_equal(codec_rank(S("g.729"), &g729a), 0);
	assert_int_equal(codec_rank(S("telephone-event/48000"), &te8), -1);
	assert_int_equal(codec_rank(S("PCMA"), &none), -1);
}

static void test_print(void **state)
{
	static const char want[] =
	    "v=0\r\no=- 77 3 IN IP4 203.0.113.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nb=CT:99\r\nt=0 0\r\n"
	    "m=audio 4000 RTP/AVP 0 101\r\nb=AS:64\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
	    "a=fmtp:101 0-15\r\na=ptime:20\r\na=flag\r\na=sendonly\r\n"
	    "m=audio 4002 RTP/AVP 96\r\nc=IN IP6 2001:db8::7\r\na=rtpmap:96 opus/48000/2\r\na=rtcp:9 IN IP6 2001:db8::8\r\na=inactive\r\n"
	    "m=video 0 RTP/AVP 34\r\nm=image 4004 udptl t38 x\r\n";
	struct sdp_origin o = {.session = 77, .version = 3};
	struct world w;
	struct buf b;
	char out[2048], memo[2][2048];

	(void)state;
	start(&w);
	assert_int_equal(addr_parse_ip(S("203.0.113.1"), 0, &o.addr), 0);
	parse_ok(&w, "c=IN IP4 192.0.2.1\nv=0\nb=CT:99\nm=audio 4000 RTP/AVP 0 101\na=ptime:20\na=fmtp:101 0-15\na=sendonly\nb=AS:64\na=flag\n"
	             "a=rtpmap:101 telephone-event/8000\nm=audio 4002 RTP/AVP 96\nc=IN IP6 2001:db8::7\na=inactive\n"
	             "a=rtpmap:96 opus/48000/2\na=rtcp:9 IN IP6 2001:db8::8\nm=video 0 RTP/AVP 34 31\na=fmtp:34 QCIF=1\n"
	             "m=image 4004 udptl t38 x\na=sendrecv\n");
	buf_init(&b, out, sizeof(out) - 1);
	sdp_print(&b, w.s, &o);
	assert_int_equal(buf_err(&b), 0);
	out[b.n] = '\0';
	assert_string_equal(out, want);
	/* a memo reads back to the same, and is shorter */
	buf_init(&b, memo[0], sizeof(memo[0]) - 1);
	sdp_memo(&b, w.s);
	memo[0][b.n] = '\0';
	assert_true(b.n < strlen(want));
	parse_ok(&w, memo[0]);
	buf_init(&b, memo[1], sizeof(memo[1]) - 1);
	sdp_memo(&b, w.s);
	memo[1][b.n] = '\0';
	assert_string_equal(memo[0], memo[1]);
	buf_init(&b, out, sizeof(out) - 1);
	sdp_print(&b, w.s, &o);
	out[b.n] = '\0';
	assert_string_equal(out, want);
	/* too little room is an error, never a cut text that looks whole */
	for (size_t cap = 0; cap < strlen(want); cap += 7) {
		buf_init(&b, out, cap);
		sdp_print(&b, w.s, &o);
		assert_int_not_equal(buf_err(&b), 0);
	}
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_static_types),
		cmocka_unit_test(test_codecs),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
