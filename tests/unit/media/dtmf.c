/* Digits in the session: who is offered and told events, what becomes of them on their way, for all modes of both sides. */
#include "world.h"

#define HA "192.0.2.11"
#define HB "192.0.2.21"
#define EV "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
#define EV97 "a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\n"

static void with_modes(struct world *w, enum media_dtmf a, enum media_dtmf b)
{
	world_init(w);
	w->side[A].dtmf = a;
	w->side[B].dtmf = b;
	world_open(w);
}

/* what a map does with a number */
static unsigned pt(struct world *w, enum media_side from, unsigned number)
{
	return program(w, from, 0)->pt_map[number];
}

/* DTM-05, MDI-02: all nine pairs, the caller with events and without */
static void test_matrix(void **state)
{
	(void)state;
	for (unsigned a = 0; a < 3; a++)
		for (unsigned b = 0; b < 3; b++)
			for (unsigned has = 0; has < 2; has++) {
				bool offered, told, b_has;
				struct world w;

				with_modes(&w, (enum media_dtmf)a, (enum media_dtmf)b);
				assert_int_equal(media_remote_offer(w.mc, A,
				                     SDP(HA, has ? "m=audio 4000 RTP/AVP 8 101\r\n" EV : "m=audio 4000 RTP/AVP 8\r\n")), REASON_NONE);
				assert_int_equal(local(&w, B, true), REASON_NONE);
				offered = strstr(w.text[B], "telephone-event/8000") != NULL;
				assert_int_equal(offered, b != MEDIA_DTMF_INFO && (has || b == MEDIA_DTMF_RTP));
				b_has = offered; /* B takes what it is offered */
				assert_int_equal(media_remote_answer(w.mc, B,
				                     SDP(HB, b_has ? "m=audio 6000 RTP/AVP 8 101\r\n" EV : "m=audio 6000 RTP/AVP 8\r\n")), REASON_NONE);
				assert_int_equal(local(&w, A, false), REASON_NONE);
				told = strstr(w.text[A], "telephone-event/8000") != NULL;
				assert_int_equal(told, has && a != MEDIA_DTMF_INFO && (b_has || b == MEDIA_DTMF_INFO));
				media_commit(w.mc);
				/* events of A: through, up, or not at all; and those of B */
				assert_int_equal(pt(&w, A, 101), !told ? RELAY_PT_DROP : b == MEDIA_DTMF_INFO ? RELAY_PT_EVENT : 101);
				assert_int_equal(pt(&w, B, 101), !b_has ? RELAY_PT_DROP : a == MEDIA_DTMF_INFO ? RELAY_PT_EVENT : told ? 101 : RELAY_PT_DROP);
				/* INFO of one as events of the other */
				assert_int_equal(program(&w, A, 0)->event_pt, b == MEDIA_DTMF_RTP ? 101 : RELAY_PT_DROP);
				assert_int_equal(media_send_digit(w.mc, B, '5', 100), b == MEDIA_DTMF_RTP);
				assert_int_equal(media_send_digit(w.mc, A, '5', 100), a == MEDIA_DTMF_RTP && has);
				assert_int_equal(media_needs_reoffer(w.mc, A), false);
				world_fini(&w);
			}
}

/* numbers of either side, and a clock that is that of the audio */
static void test_numbers(void **state)
{
	struct world w;

	(void)state;
	with_modes(&w, MEDIA_DTMF_INFO, MEDIA_DTMF_RTP);
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVP 101 8\r\na=rtpmap:101 opus/48000/2\r\n"),
	    SDP(HB, "m=audio 6000 RTP/AVP 101 96\r\na=rtpmap:101 opus/48000/2\r\na=rtpmap:96 telephone-event/48000\r\n"));
	assert_int_equal(lines(w.text[B], "a=rtpmap:96 telephone-event/48000"), 1);
	assert_int_equal(program(&w, A, 0)->event_pt, 96);
	assert_int_equal(pt(&w, B, 96), RELAY_PT_EVENT);
	assert_int_equal(program(&w, B, 0)->clock_khz[96], 48);
	media_commit(w.mc);
	/* a refresh keeps the number */
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVP 101 8\r\na=rtpmap:101 opus/48000/2\r\n"),
	    SDP(HB, "m=audio 6000 RTP/AVP 101 96\r\na=rtpmap:101 opus/48000/2\r\na=rtpmap:96 telephone-event/48000\r\n"));
	assert_int_equal(lines(w.text[B], "a=rtpmap:96 telephone-event/48000"), 1);
	world_fini(&w);
	/* A calls its events otherwise than B, and B answers with another number than it was offered */
	with_modes(&w, MEDIA_DTMF_RTP, MEDIA_DTMF_PASS);
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVP 8 97\r\n" EV97), SDP(HB, "m=audio 6000 RTP/AVP 8 101\r\n" EV));
	assert_int_equal(pt(&w, A, 97), 101);
	assert_int_equal(pt(&w, B, 101), 97);
	assert_int_equal(program(&w, B, 0)->event_pt, 97);
	world_fini(&w);
	/* fax and video have none */
	with_modes(&w, MEDIA_DTMF_RTP, MEDIA_DTMF_RTP);
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, "m=image 4000 udptl t38\r\nm=video 4002 RTP/AVP 98\r\na=rtpmap:98 H264/90000\r\n")), REASON_NONE);
	assert_int_equal(local(&w, B, true), REASON_NONE);
	assert_null(strstr(w.text[B], "telephone-event"));
	world_fini(&w);
}

static struct {
	unsigned n, ms;
	enum media_side from;
	char digit;
} got;

static void on_digit(void *ctx, enum media_side from, char digit, unsigned ms)
{
	assert_ptr_equal(ctx, &got);
	got.n++;
	got.from = from;
	got.digit = digit;
	got.ms = ms;
}

static void test_digits(void **state)
{
	static const char all[] = "0123456789*#ABCD";
	struct relay_pair *p;
	struct world w;

	(void)state;
	with_modes(&w, MEDIA_DTMF_RTP, MEDIA_DTMF_INFO);
	media_on_digit(w.mc, on_digit, &got);
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVP 8 101\r\n" EV), SDP(HB, "m=audio 6000 RTP/AVP 8\r\n"));
	p = media_view(w.mc)->streams[0].pair[A];
	for (uint8_t e = 0; e < 20; e++) {
		memset(&got, 0, sizeof(got));
		assert_non_null(p->on_event);
		p->on_event(p->event_ctx, p, e, 90);
		assert_int_equal(got.n, e < 16); /* a flash is no digit */
		if (e >= 16)
			continue;
		assert_int_equal(got.digit, all[e]);
		assert_int_equal(got.from, A);
		assert_int_equal(got.ms, 90);
		/* and back */
		assert_true(media_send_digit(w.mc, A, e < 12 ? all[e] : (char)(all[e] + 32), 120));
		assert_int_equal(media_view(w.mc)->streams[0].pair[B]->digit, e);
		assert_int_equal(media_view(w.mc)->streams[0].pair[B]->digit_ms, 120);
	}
	assert_false(media_send_digit(w.mc, A, 'x', 100));
	assert_false(media_send_digit(w.mc, A, '\0', 100));
	assert_false(media_send_digit(w.mc, B, '1', 100));
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
