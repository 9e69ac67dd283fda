/* Negotiation of one stream: numbers and their history, what passes, what must be told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "media/codec.h"
#include "media/negotiate.h"

struct world {
	struct arena_pool pool;
	struct arena *a;
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
	arena_pool_fini(&w->pool);
}

/* a description from its lines after c= */
static struct sdp *read(struct world *w, const char *rest)
{
	char text[4096];
	struct sdp_error err;
	struct sdp *s;
	int n = snprintf(text, sizeof(text), "v=0\nc=IN IP4 192.0.2.1\n%s", rest);

	assert_int_equal(sdp_parse(w->a, str_dup(w->a, str_n(text, (size_t)n)), 16, &s, &err), REASON_NONE);
	return s;
}

static const char *line_of(const struct sdp_media *m, char out[512])
{
	struct buf b;

	buf_init(&b, out, 512);
	for (unsigned i = 0; i < m->n_formats; i++)
		buf_fmt(&b, "%s%u=%.*s", i ? " " : "", m->formats[i].pt, STR(m->formats[i].name));
	return buf_z(&b);
}

static void test_numbers_have_one_meaning(void **state)
{
	struct world w;
	struct neg_hist h = {0};
	struct sdp_media out;
	struct sdp *s;
	char text[512];

	(void)state;
	start(&w);
	s = read(&w, "m=audio 4 RTP/AVP 8 96 97\na=rtpmap:96 opus/48000/2\na=rtpmap:97 telephone-event/8000\n");
	assert_int_equal(neg_offer(w.a, s, &s->media[0], S(""), S(""), &h, 0, &out), 0);
	assert_string_equal(line_of(&out, text), "8=PCMA 96=opus 97=telephone-event");
	assert_int_equal(neg_hist_add(w.a, &h, 0, &out, false), 0);
	assert_int_equal(h.n, 2); /* static ones need no memory */
	/* the other side changed its mind about its numbers: we do not */
	s = read(&w, "m=audio 4 RTP/AVP 97 8 96 98\na=rtpmap:97 opus/48000/2\na=rtpmap:96 telephone-event/8000\na=rtpmap:98 iLBC/8000\n");
	assert_int_equal(neg_offer(w.a, s, &s->media[0], S(""), S(""), &h, 0, &out), 0);
	assert_string_equal(line_of(&out, text), "96=opus 8=PCMA 97=telephone-event 98=iLBC");
	/* a new codec under a number that is taken gets another one */
	s = read(&w, "m=audio 4 RTP/AVP 96\na=rtpmap:96 iLBC/8000\n");
	assert_int_equal(neg_offer(w.a, s, &s->media[0], S(""), S(""), &h, 0, &out), 0);
	assert_string_equal(line_of(&out, text), "98=iLBC");
	assert_int_equal(neg_hist_add(w.a, &h, 0, &out, false), 0);
	/* another line of the session has numbers of its own */
	assert_int_equal(neg_offer(w.a, s, &s->media[0], S(""), S(""), &h, 1, &out), 0);
	assert_string_equal(line_of(&out, text), "96=iLBC");
	/* numbers of an answer beside ours: blocked, not preferred */
	s = read(&w, "m=audio 4 RTP/AVP 99\na=rtpmap:99 opus/48000/2\n");
	assert_int_equal(neg_hist_add(w.a, &h, 0, &s->media[0], true), 0);
	s = read(&w, "m=audio 4 RTP/AVP 99 100\na=rtpmap:99 AMR/8000\na=rtpmap:100 opus/48000/2\n");
	assert_int_equal(neg_offer(w.a, s, &s->media[0], S(""), S(""), &h, 0, &out), 0);
	assert_string_equal(line_of(&out, text), "100=AMR 96=opus");
	/* the side itself redefines a number: the newest meaning counts */
	s = read(&w, "m=audio 4 RTP/AVP 96\na=rtpmap:96 AMR/8000\n");
	assert_int_equal(neg_hist_add(w.a, &h, 0, &s->media[0], false), 0);
	s = read(&w, "m=audio 4 RTP/AVP 110\na=rtpmap:110 AMR/8000\n");
	assert_int_equal(neg_offer(w.a, s, &s->media[0], S(""), S(""), &h, 0, &out), 0);
	assert_string_equal(line_of(&out, text), "96=AMR");
	end(&w);
}

/* when numbers run out the rest is left out; never 64..95, which look like RTCP (RFC 5761) */
static void test_numbers_run_out(void **state)
{
	struct world w;
	struct neg_hist h = {0};
	char text[4096];
	size_t at = 0;
	struct sdp *s;
	struct sdp_media out;

	(void)state;
	start(&w);
	/* 60 codecs have all free numbers */
	for (unsigned round = 0; round < 2; round++) {
		at = (size_t)snprintf(text, sizeof(text), "m=audio 4 RTP/AVP");
		for (unsigned i = 0; i < 30; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, " %u", 96 + i);
		for (unsigned i = 0; i < 30; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "\na=rtpmap:%u X%u/8000", 96 + i, 100 * round + i);
		snprintf(text + at, sizeof(text) - at, "\n");
		s = read(&w, text);
		assert_int_equal(neg_offer(w.a, s, &s->media[0], S(""), S(""), &h, 0, &out), 0);
		assert_int_equal(out.n_formats, 30);
		assert_int_equal(neg_hist_add(w.a, &h, 0, &out, false), 0);
	}
	s = read(&w, "m=audio 4 RTP/AVP 96 97 8\na=rtpmap:96 Y/8000\na=rtpmap:97 Z/8000\n");
	assert_int_equal(neg_offer(w.a, s, &s->media[0], S(""), S(""), &h, 0, &out), 0);
	assert_int_equal(out.n_formats, 2); /* 61 numbers: one is left, and static ones need none */
	assert_int_equal(out.formats[1].pt, 8);
	for (unsigned i = 0; i < h.n; i++)
		assert_false(h.v[i].pt >= 64 && h.v[i].pt < 96);
	/* the history is bounded */
	for (unsigned slot = 0; slot < 16; slot++) {
		s = read(&w, text);
		assert_int_equal(neg_hist_add(w.a, &h, (uint8_t)slot, &s->media[0], false), 0);
	}
	assert_int_equal(h.n, NEG_HIST_MAX);
	end(&w);
}

/* lines that speak of numbers change with them, and go with what they speak of */
static void test_lines_follow_numbers(void **state)
{
	struct world w;
	struct neg_hist h = {0};
	struct sdp *s;
	struct sdp_media out;
	char text[512];

	(void)state;
	start(&w);
	s = read(&w, "m=video 4 RTP/AVPF 97\na=rtpmap:97 VP8/90000\n");
	assert_int_equal(neg_hist_add(w.a, &h, 0, &s->media[0], false), 0);
	s = read(&w, "m=video 4 RTP/AVPF 96 98 99 100 101\na=rtpmap:96 VP8/90000\na=rtpmap:98 rtx/90000\na=fmtp:98 rtx-time=96;apt=96\n"
	             "a=rtpmap:99 rtx/90000\na=fmtp:99 apt=100\na=rtpmap:100 H264/90000\na=rtpmap:101 red/90000\na=fmtp:101 96/98\n"
	             "a=rtcp-fb:96 nack\na=rtcp-fb:100 nack\na=rtcp-fb:* ccm fir\na=rtcp-fb:x nack\na=rtcp-fb\na=imageattr:96 send *\n");
	assert_int_equal(neg_offer(w.a, s, &s->media[0], S(""), S("VP8 rtx red"), &h, 0, &out), 0);
	assert_string_equal(line_of(&out, text), "97=VP8 98=rtx 101=red");
	assert_true(str_eq(out.formats[1].fmtp, S("rtx-time=96;apt=97")));
	assert_true(str_eq(out.formats[2].fmtp, S("97/98")));
	assert_true(str_eq(out.attrs->value, S("97 nack")));
	assert_true(str_eq(out.attrs->next->value, S("* ccm fir")));
	assert_true(str_eq(out.attrs->next->next->value, S("97 send *")));
	assert_null(out.attrs->next->next->next);
	end(&w);
}

static void test_what_passes(void **state)
{
	static const struct {
		const char *line;
		bool rtp, fax;
	} t[] = {
		{"ptime:20", true, true}, {"maxptime:40", true, true}, {"label:1", true, true}, {"content:slides", true, true},
		{"mid:a", true, true}, {"lang:de", true, true}, {"rtcp-fb:* nack", true, true}, {"rtcp-xr:voip-metrics", true, true},
		{"rtcp-rsize", true, true}, {"extmap:1 urn:ietf:params:rtp-hdrext:toffset", true, true},
		{"ssrc:1 cname:abc", true, true}, {"ssrc:1 cname:a.b", false, false}, {"ssrc:1 cname:u@h", false, false},
		{"ssrc:1 cname:fe80::1", false, false}, {"label:a@b", false, false},
		{"T38FaxVersion:0", false, true}, {"t38faxmaxbuffer:9", false, true},
		{"candidate:1 1 UDP 1 10.0.0.1 9 typ host", false, false}, {"ice-ufrag:x", false, false}, {"ice-lite", false, false},
		{"crypto:1 A inline:x", false, false}, {"fingerprint:sha-1 A", false, false}, {"setup:active", false, false},
		{"rtcp-mux", false, false}, {"rtcp-mux-only", false, false}, {"group:BUNDLE a", false, false},
		{"msid:a b", false, false}, {"bundle-only", false, false}, {"curr:qos local none", false, false},
		{"altc:1 IP4 10.0.0.1 9", false, false}, {"acap:1 x", false, false}, {"x-vendor:1", false, false},
		{"connection:new", false, false}, {"path:msrp://h/x", false, false}, {"", false, false},
	};
	struct world w;
	char text[256];

	(void)state;
	start(&w);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct sdp *s;

		snprintf(text, sizeof(text), "m=audio 4 RTP/AVP 8\na=%s\nm=image 4 udptl t38\na=%s\n", t[i].line, t[i].line);
		s = read(&w, text);
		assert_int_equal(neg_attr_passes(&s->media[0], s->media[0].attrs), t[i].rtp);
		assert_int_equal(neg_attr_passes(&s->media[1], s->media[1].attrs), t[i].fax);
	}
	end(&w);
}

static void test_differs(void **state)
{
	static const struct {
		const char *told, *want, *rem;
		bool differs;
	} t[] = {
		{"4 RTP/AVP 8 0", "4 RTP/AVP 8 0", "4 RTP/AVP 8 0", false},
		{"4 RTP/AVP 8 0", "4 RTP/AVP 0 8", "4 RTP/AVP 8 0", false},       /* order */
		{"4 RTP/AVP 8 0 18", "4 RTP/AVP 8", "4 RTP/AVP 8", false},         /* what it never took */
		{"4 RTP/AVP 8 0", "4 RTP/AVP 8", "4 RTP/AVP 8 0", true},
		{"4 RTP/AVP 8", "4 RTP/AVP 8 0", "4 RTP/AVP 8 0", true},
		{"4 RTP/AVP 8", "0 RTP/AVP 8", "4 RTP/AVP 8", true},
		{"0 RTP/AVP 8", "4 RTP/AVP 8", "4 RTP/AVP 8", true},
		{"0 RTP/AVP 8", "4 RTP/AVP 8", "0 RTP/AVP 8", false},
		{"4 RTP/AVP 8\na=sendonly", "4 RTP/AVP 8", "4 RTP/AVP 8", true},
		{"4 RTP/AVP 8\na=sendonly", "4 RTP/AVP 8", "4 RTP/AVP 8\na=recvonly", false}, /* it takes no more anyhow */
		{"4 RTP/AVP 18\na=fmtp:18 annexb=no", "4 RTP/AVP 18", "4 RTP/AVP 18", true},
		{"4 RTP/AVP 8\na=ptime:20", "4 RTP/AVP 8\na=ptime:30", "4 RTP/AVP 8", false},
	};
	struct world w;
	char text[512];

	(void)state;
	start(&w);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct sdp *s;

		snprintf(text, sizeof(text), "m=audio %s\nm=audio %s\nm=audio %s\n", t[i].told, t[i].want, t[i].rem);
		s = read(&w, text);
		assert_int_equal(neg_differs(&s->media[0], &s->media[1], &s->media[2]), t[i].differs);
	}
	assert_false(neg_differs(NULL, NULL, NULL));
	end(&w);
}

static void test_pt_map(void **state)
{
	static const struct {
		const char *loc_x, *rem_x, *rem_y, *want;
	} t[] = {
		{"8", "8", "8", "8>8"},
		{"8 0", "8", "8 0", "0>0 8>8"},
		{"8", "8 0", "8 0", "8>8"},               /* never told: not taken */
		{"8 96", "8 101", "8 102", "8>8 96>102 101>102"}, /* 96, 101, 102 are one codec here */
		{"8", "8", "0", ""},
	};
	struct world w;
	char text[1024];

	(void)state;
	start(&w);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		static const char te[] = "a=rtpmap:96 telephone-event/8000\na=rtpmap:101 telephone-event/8000\na=rtpmap:102 telephone-event/8000\n";
		uint8_t map[128], khz[128];
		struct sdp *s;
		struct buf b;

		snprintf(text, sizeof(text), "m=audio 4 RTP/AVP %s\n%sm=audio 4 RTP/AVP %s\n%sm=audio 4 RTP/AVP %s\n%s", t[i].loc_x, te,
		    t[i].rem_x, te, t[i].rem_y, te);
		s = read(&w, text);
		neg_pt_map(&s->media[0], &s->media[1], &s->media[2], map, khz);
		buf_init(&b, text, sizeof(text));
		for (unsigned pt = 0; pt < 128; pt++)
			if (map[pt] != NEG_PT_NONE) {
				buf_fmt(&b, "%s%u>%u", b.n ? " " : "", pt, map[pt]);
				assert_int_equal(khz[pt], 8);
			}
		assert_string_equal(buf_z(&b), t[i].want);
	}
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_have_one_meaning),
		cmocka_unit_test(test_numbers_run_out),
		cmocka_unit_test(test_lines_follow_numbers),
		cmocka_unit_test(test_what_passes),
		cmocka_unit_test(test_differs),
		cmocka_unit_test(test_pt_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
