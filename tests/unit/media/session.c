/* Sessions: whole exchanges over a fake relay whose programs are looked at. */
#include "world.h"

#define AUDIO "m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
#define HA "192.0.2.11"
#define HB "192.0.2.21"

static void start(struct world *w)
{
	world_init(w);
	world_open(w);
}

/* the plain call: PCMA both ways */
static void talk(struct world *w)
{
	start(w);
	exchange(w, A, SDP(HA, AUDIO), SDP(HB, "m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
	                                       "a=fmtp:101 0-15\r\n"));
	media_commit(w->mc);
}

static void test_plain_call(void **state)
{
	struct world w;
	const struct relay_program *p;
	struct addr want;

	(void)state;
	start(&w);
	assert_int_equal(media_state(w.mc), MEDIA_IDLE);
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AUDIO)), REASON_NONE);
	assert_int_equal(media_state(w.mc), MEDIA_OFFERED);
	assert_int_equal(local(&w, B, true), REASON_NONE);
	assert_int_equal(media_state(w.mc), MEDIA_OFFER_SENT);
	assert_line(w.text[B], "m=audio 20002 RTP/AVP 8 0 101");
	assert_line(w.text[B], "c=IN IP4 198.51.100.1");
	assert_line(w.text[B], "a=rtpmap:8 PCMA/8000");
	assert_line(w.text[B], "a=rtpmap:0 PCMU/8000");
	assert_line(w.text[B], "a=fmtp:101 0-15");
	assert_line(w.text[B], "a=ptime:20");
	assert_line(w.text[B], "a=sendrecv");
	assert_line(w.text[B], "s=-");
	assert_null(program(&w, A, 0));
	assert_null(program(&w, B, 0));
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, "m=audio 6000 RTP/AVP 8 101\r\n"
	                                                      "a=rtpmap:101 telephone-event/8000\r\n")), REASON_NONE);
	assert_int_equal(media_state(w.mc), MEDIA_ANSWERED);
	/* open both ways as soon as the answer is known, before anything is told to A (RTP-10) */
	p = program(&w, A, 0);
	assert_non_null(p);
	assert_true(p->rtp_on);
	want = ip(HA);
	addr_set_port(&want, 4000);
	assert_true(addr_eq(&p->source_rtp, &want));
	addr_set_port(&want, 4001);
	assert_true(addr_eq(&p->source_rtcp, &want));
	want = ip(HB);
	addr_set_port(&want, 6000);
	assert_true(addr_eq(&p->dest_rtp, &want));
	addr_set_port(&want, 6001);
	assert_true(addr_eq(&p->dest_rtcp, &want));
	assert_int_equal(p->pt_map[8], 8);
	assert_int_equal(p->pt_map[101], 101);
	assert_int_equal(p->pt_map[0], RELAY_PT_DROP); /* B did not answer it */
	assert_int_equal(p->clock_khz[8], 8);
	/* what we offered to B is taken from B at any time (SDP-08) */
	p = program(&w, B, 0);
	assert_int_equal(p->pt_map[0], 0);
	assert_int_equal(p->pt_map[8], 8);
	assert_int_equal(p->pt_map[101], 101);
	assert_int_equal(local(&w, A, false), REASON_NONE);
	assert_int_equal(media_state(w.mc), MEDIA_ANSWER_SENT);
	assert_line(w.text[A], "m=audio 20000 RTP/AVP 8 101");
	assert_line(w.text[A], "c=IN IP4 203.0.113.1");
	assert_no_line(w.text[A], "a=ptime:20");
	media_commit(w.mc);
	assert_int_equal(media_state(w.mc), MEDIA_IDLE);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	assert_false(media_needs_reoffer(w.mc, A));
	assert_false(media_needs_reoffer(w.mc, B));
	print_message("idle call: %zu bytes\n", media_call_bytes(w.mc));
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_call),
	};

	(void)talk;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
