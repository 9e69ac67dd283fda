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

/* --- ICE --- */

#define ICE_A "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
#define ICE_B "a=ice-ufrag:efgh\r\na=ice-pwd:2223456789012345678901\r\n"
#define OFFER "m=audio 4000 RTP/AVP 8\r\n"
#define CAND "a=candidate:1 1 UDP 2130706431 192.0.2.11 4000 typ host\r\na=candidate:1 2 UDP 2130706430 192.0.2.11 4001 typ host\r\n"

static void with_ice(struct world *w, bool a, bool b)
{
	world_init(w);
	w->side[A].ice = a;
	w->side[B].ice = b;
	world_open(w);
}

/* the value of a line of what a side was told */
static struct str told(const struct world *w, enum media_side s, const char *name)
{
	const char *p = strstr(w->text[s], name);

	assert_non_null(p);
	p += strlen(name);
	return str_n(p, (size_t)(strchr(p, '\r') - p));
}

/* ICE-01, ICE-02, ICE-04: our own names and candidates, and none of anybody else's */
static void test_ice_answered(void **state)
{
	const struct relay_program *p;
	struct world w;

	(void)state;
	for (unsigned mux = 0; mux < 2; mux++) {
		with_ice(&w, true, false);
		exchange(&w, A, SDP(HA, mux ? OFFER ICE_A CAND MUX : OFFER ICE_A CAND), SDP(HB, PLAIN));
		assert_line(w.text[A], "a=ice-lite");
		assert_true(strstr(w.text[A], "a=ice-lite") < strstr(w.text[A], "m=audio")); /* RFC 8839 5.3 */
		assert_line(w.text[A], "a=candidate:1 1 UDP 2130706431 203.0.113.1 20000 typ host");
		assert_int_equal(lines(w.text[A], "a=candidate:1 2 UDP 2130706430 203.0.113.1 20001 typ host"), !mux);
		assert_int_equal(lines(w.text[A], "a=candidate:"), 2 - mux);
		assert_null(strstr(w.text[A], "192.0.2.11"));
		assert_null(strstr(w.text[A], "abcd"));
		for (const char *name = "ice\0candidate\0"; *name; name += strlen(name) + 1)
			assert_null(strstr(w.text[B], name));
		p = program(&w, A, 0);
		assert_true(str_eq(told(&w, A, "a=ice-ufrag:"), str_z(p->ice.ours)));
		assert_true(str_eq(told(&w, A, "a=ice-pwd:"), str_z(p->ice.pwd)));
		assert_string_equal(p->ice.theirs, "abcd");
		assert_int_equal(strlen(p->ice.pwd), ICE_PWD);
		assert_string_equal(program(&w, B, 0)->ice.ours, "");
		world_fini(&w);
	}
	/* once for all streams (RFC 8839 4.2) */
	with_ice(&w, true, false);
	exchange(&w, A, SDP(HA, ICE_A OFFER CAND), SDP(HB, PLAIN));
	assert_string_equal(program(&w, A, 0)->ice.theirs, "abcd");
	world_fini(&w);
}

/* where there is no ICE nothing of it is said, and addresses count as ever */
static void test_ice_is_not_taken(void **state)
{
	static const struct {
		bool on;
		const char *offer;
	} t[] = {
	    {false, OFFER ICE_A CAND},
	    {true, OFFER},
	    {true, OFFER "a=ice-ufrag:abc\r\na=ice-pwd:0123456789012345678901\r\n"},
	    {true, OFFER "a=ice-ufrag:abcd\r\na=ice-pwd:012345678901234567890\r\n"},
	    {true, OFFER "a=ice-ufrag:abcd\r\n"},
	    {true, "a=ice-lite\r\n" OFFER ICE_A CAND},
	    /* somebody between changed the address and not the candidates */
	    {true, "m=audio 4444 RTP/AVP 8\r\n" ICE_A CAND},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct world w;

		with_ice(&w, t[i].on, false);
		exchange(&w, A, SDP(HA, t[i].offer), SDP(HB, PLAIN));
		assert_null(strstr(w.text[A], "ice"));
		assert_null(strstr(w.text[A], "candidate"));
		assert_string_equal(program(&w, A, 0)->ice.ours, "");
		assert_false(addr_none(&program(&w, B, 0)->dest_rtp));
		world_fini(&w);
	}
}

/* our offers, and both kinds of answer */
static void test_ice_offered(void **state)
{
	(void)state;
	for (unsigned ice = 0; ice < 2; ice++) {
		struct world w;

		with_ice(&w, false, true);
		exchange(&w, A, SDP(HA, OFFER), SDP(HB, ice ? PLAIN ICE_B MUX : PLAIN));
		assert_line(w.text[B], "a=ice-lite");
		assert_line(w.text[B], "a=rtcp-mux");
		assert_int_equal(lines(w.text[B], "a=candidate:"), 2);
		assert_null(strstr(w.text[A], "ice"));
		assert_string_equal(program(&w, B, 0)->ice.theirs, ice ? "efgh" : "");
		assert_int_equal(program(&w, A, 0)->mux, ice);
		world_fini(&w);
	}
}

/* ICE-08: addresses that come later are nothing to who is found by checks; it is no hold */
static void test_trickle(void **state)
{
	struct world w;

	(void)state;
	with_ice(&w, true, false);
	exchange(&w, A, SDP("0.0.0.0", "a=ice-options:trickle\r\nm=audio 9 RTP/AVP 8\r\n" ICE_A), SDP(HB, PLAIN));
	assert_line(w.text[A], "a=sendrecv");
	assert_line(w.text[B], "a=sendrecv");
	assert_string_equal(program(&w, A, 0)->ice.theirs, "abcd");
	assert_true(program(&w, A, 0)->rtp_on);
	media_commit(w.mc);
	/* a hold of old is still one */
	exchange(&w, A, SDP("0.0.0.0", OFFER ICE_A), SDP(HB, PLAIN));
	assert_line(w.text[B], "a=sendonly");
	world_fini(&w);
}

/* ICE-05: names stay as long as theirs do; both change with a restart, and with nothing else */
static void test_ice_restart(void **state)
{
	char first[4000];
	struct ice_keys was;
	struct world w;

	(void)state;
	with_ice(&w, true, false);
	exchange(&w, A, SDP(HA, OFFER ICE_A CAND), SDP(HB, PLAIN));
	media_commit(w.mc);
	keep(first, sizeof(first), w.text[A]);
	was = program(&w, A, 0)->ice;
	exchange(&w, A, SDP(HA, OFFER ICE_A CAND), SDP(HB, PLAIN));
	media_commit(w.mc);
	assert_string_equal(w.text[A], first);
	/* our own refresh, answered with the same */
	assert_int_equal(reoffer(&w, A), REASON_NONE);
	assert_line(w.text[A], "a=ice-lite");
	assert_true(str_eq(told(&w, A, "a=ice-pwd:"), str_z(was.pwd)));
	assert_int_equal(media_remote_answer(w.mc, A, SDP(HA, OFFER ICE_A CAND)), REASON_NONE);
	media_commit(w.mc);
	assert_memory_equal(&program(&w, A, 0)->ice, &was, sizeof(was));
	/* restart, taken back, and again */
	for (unsigned i = 0; i < 2; i++) {
		exchange(&w, A, SDP(HA, OFFER ICE_B CAND), SDP(HB, PLAIN));
		assert_string_equal(program(&w, A, 0)->ice.theirs, "efgh");
		assert_string_not_equal(program(&w, A, 0)->ice.ours, was.ours);
		assert_string_not_equal(program(&w, A, 0)->ice.pwd, was.pwd);
		if (i == 0) {
			media_rollback(w.mc);
			assert_memory_equal(&program(&w, A, 0)->ice, &was, sizeof(was));
		}
	}
	media_commit(w.mc);
	/* and back to no ICE at all */
	exchange(&w, A, SDP(HA, OFFER), SDP(HB, PLAIN));
	assert_null(strstr(w.text[A], "ice"));
	assert_string_equal(program(&w, A, 0)->ice.ours, "");
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mux),
		cmocka_unit_test(test_bundle),
		cmocka_unit_test(test_ice_answered),
		cmocka_unit_test(test_ice_is_not_taken),
		cmocka_unit_test(test_ice_offered),
		cmocka_unit_test(test_trickle),
		cmocka_unit_test(test_ice_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
