/* How the streams of a side travel: reports that share a port, bundles that are not taken; nothing of it crosses. */
#include "world.h"

#define HA "192.0.2.11"
#define HB "192.0.2.21"
#define PLAIN "m=audio 6000 RTP/AVP 8\r\n"
#define MUX "a=rtcp-mux\r\n"

/* RTP-05: an offer of it is taken, towards that side alone */
static void test_mux(void **state)
{
	static const struct {
		const char *offer;
		bool mux;
	} t[] = {
	    {"m=audio 4000 RTP/AVP 8\r\n" MUX, true},
	    {"m=audio 4000 RTP/AVP 8\r\n", false},
	    /* RFC 5761 4: with the marker it would look like a report */
	    {"m=audio 4000 RTP/AVP 8 77\r\na=rtpmap:77 telephone-event/8000\r\n" MUX, false},
	    {"m=audio 4000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n" MUX, true},
	    {"m=image 4000 udptl t38\r\n" MUX, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		bool fax = strstr(t[i].offer, "t38");
		struct world w;

		world_init(&w);
		world_open(&w);
		exchange(&w, A, SDP(HA, t[i].offer), SDP(HB, fax ? "m=image 6000 udptl t38\r\n" : PLAIN MUX));
		assert_int_equal(lines(w.text[A], "a=rtcp-mux"), t[i].mux);
		assert_int_equal(lines(w.text[B], "a=rtcp-mux"), 0);
		/* B said it unasked: its reports have a port of their own all the same */
		assert_int_equal(program(&w, B, 0)->mux, t[i].mux);
		assert_false(program(&w, A, 0)->mux);
		media_commit(w.mc);
		/* a refresh says it again, its end says it no more */
		exchange(&w, A, SDP(HA, t[i].offer), SDP(HB, fax ? "m=image 6000 udptl t38\r\n" : PLAIN));
		assert_int_equal(lines(w.text[A], "a=rtcp-mux"), t[i].mux);
		media_commit(w.mc);
		exchange(&w, A, SDP(HA, fax ? t[i].offer : "m=audio 4000 RTP/AVP 8\r\n"), SDP(HB, fax ? "m=image 6000 udptl t38\r\n" : PLAIN));
		assert_int_equal(lines(w.text[A], "a=rtcp-mux"), 0);
		assert_false(program(&w, B, 0)->mux);
		world_fini(&w);
	}
}

/* RFC 9143: two streams in a bundle have a port each with us, and are told so */
static void test_bundle(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w);
	exchange(&w, A,
	    SDP(HA, "a=group:BUNDLE 0 1\r\nm=audio 4000 RTP/AVP 8\r\na=mid:0\r\n" MUX "m=video 4002 RTP/AVP 97\r\n"
	            "a=rtpmap:97 H264/90000\r\na=mid:1\r\n" MUX "m=video 0 RTP/AVP 97\r\na=bundle-only\r\na=mid:2\r\n"),
	    SDP(HB, PLAIN "m=video 6002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"));
	assert_null(strstr(w.text[A], "group"));
	assert_null(strstr(w.text[B], "group"));
	assert_line(w.text[A], "m=audio 20000 RTP/AVP 8");
	assert_int_equal(lines(w.text[A], "m=video 2"), 1);
	assert_int_equal(lines(w.text[A], "m=video 0"), 1);
	assert_ptr_not_equal(program(&w, A, 0), program(&w, A, 1));
	assert_int_equal(lines(w.text[A], "a=rtcp-mux"), 2);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mux),
		cmocka_unit_test(test_bundle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
