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

/* --- directions (SDP-05, SDP-06, MDI-05) --- */

enum style { BY_ATTRIBUTE, BY_SESSION, BY_ZERO4, BY_ZERO6, BY_NAME, STYLES };

/* one description of direction d in a style; the direction that it means goes to *means */
static struct str held(char *text, size_t cap, const char *host, unsigned port, enum sdp_dir d, enum style style,
    enum sdp_dir *means)
{
	static const char *const conn[STYLES] = {NULL, NULL, "IN IP4 0.0.0.0", "IN IP6 ::", "IN IP4 black.hole.invalid"};
	char c[64];
	int n;

	snprintf(c, sizeof(c), "IN IP4 %s", host);
	n = snprintf(text, cap, "v=0\r\no=x 1 1 IN IP4 %s\r\ns=-\r\nc=%s\r\nt=0 0\r\n%s%s%sm=audio %u RTP/AVP 8\r\n%s%s%s",
	    host, conn[style] ? conn[style] : c, style == BY_SESSION ? "a=" : "",
	    style == BY_SESSION ? sdp_dir_names[d] : "", style == BY_SESSION ? "\r\n" : "", port,
	    style == BY_SESSION ? "" : "a=", style == BY_SESSION ? "" : sdp_dir_names[d],
	    style == BY_SESSION ? "" : "\r\n");
	*means = conn[style] ? d & SDP_SENDONLY : d;
	return str_n(text, (size_t)n);
}

static void check_direction(struct world *w, enum media_side x, enum sdp_dir d, enum style ds, enum sdp_dir e,
    enum style es)
{
	enum media_side y = media_other(x);
	const char *hosts[2] = {HA, HB};
	enum sdp_dir dm, em, agreed;
	struct media_stream_info info;
	struct media_stats stats;
	char text[1024];
	const struct relay_program *px, *py;

	assert_int_equal(media_remote_offer(w->mc, x, held(text, sizeof(text), hosts[x], 4000, d, ds, &dm)), 0);
	assert_int_equal(local(w, y, true), 0);
	snprintf(text, sizeof(text), "a=%s", sdp_dir_names[dm]);
	assert_line(w->text[y], text);
	assert_null(strstr(w->text[y], "0.0.0.0"));
	assert_null(strstr(w->text[y], "IP6"));
	assert_int_equal(media_remote_answer(w->mc, y, held(text, sizeof(text), hosts[y], 6000, e, es, &em)), 0);
	assert_int_equal(local(w, x, false), 0);
	agreed = em & neg_reverse(dm);
	snprintf(text, sizeof(text), "a=%s", sdp_dir_names[agreed]);
	assert_line(w->text[x], text);
	/* answers have real addresses, also to an old-style hold */
	assert_line(w->text[x], x == A ? "c=IN IP4 203.0.113.1" : "c=IN IP4 198.51.100.1");
	px = program(w, x, 0);
	py = program(w, y, 0);
	assert_non_null(px);
	assert_non_null(py);
	assert_int_equal(px->rtp_on, (dm & SDP_SENDONLY) && (em & SDP_RECVONLY));
	assert_int_equal(py->rtp_on, (em & SDP_SENDONLY) && (dm & SDP_RECVONLY));
	/* "send me nothing" is RTCP too */
	assert_int_equal(addr_none(&py->dest_rtp), ds >= BY_ZERO4);
	assert_int_equal(addr_none(&py->dest_rtcp), ds >= BY_ZERO4);
	assert_int_equal(addr_none(&px->dest_rtp), es >= BY_ZERO4);
	/* who hides its address is still known by its last one */
	assert_int_equal(addr_port(&px->source_rtp), 4000);
	assert_true(media_stream(w->mc, x, 0, &info, &stats));
	assert_string_equal(info.direction, sdp_dir_names[neg_reverse(agreed)]);
	assert_true(media_stream(w->mc, y, 0, &info, &stats));
	assert_string_equal(info.direction, sdp_dir_names[agreed]);
	media_commit(w->mc);
}

static void test_direction_product(void **state)
{
	struct world w;
	unsigned n = 0;

	(void)state;
	start(&w);
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVP 8\r\n"), SDP(HB, "m=audio 6000 RTP/AVP 8\r\n"));
	media_commit(w.mc);
	for (unsigned x = 0; x < 2; x++) {
		/* both addresses known before the old-style holds come */
		exchange(&w, x, SDP(x ? HB : HA, "m=audio 4000 RTP/AVP 8\r\n"),
		    SDP(x ? HA : HB, "m=audio 6000 RTP/AVP 8\r\n"));
		media_commit(w.mc);
		for (unsigned ds = 0; ds < STYLES; ds++)
			for (unsigned es = 0; es < STYLES; es++)
				for (unsigned d = 0; d < 4; d++)
					for (unsigned e = 0; e < 4; e++, n++)
						check_direction(&w, x, d, ds, e, es);
	}
	assert_int_equal(n, 2 * STYLES * STYLES * 16);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	world_fini(&w);
}

/* the algebra itself: hold, the answer to it, resume, each reachable from each */
static void test_direction_algebra(void **state)
{
	(void)state;
	assert_int_equal(neg_reverse(SDP_SENDONLY), SDP_RECVONLY);
	assert_int_equal(neg_reverse(SDP_RECVONLY), SDP_SENDONLY);
	for (unsigned d = 0; d < 4; d++) {
		assert_int_equal(neg_reverse(neg_reverse(d)), d);
		for (unsigned e = 0; e < 4; e++) {
			enum sdp_dir r = neg_answer_dir(d, e);

			assert_int_equal(r & ~e, 0);              /* never more than the answerer wants */
			assert_int_equal(r & ~neg_reverse(d), 0); /* nor than the offer leaves (RFC 3264 6.1) */
			assert_int_equal(neg_answer_dir(d, r), r);
		}
		assert_int_equal(neg_answer_dir(d, SDP_SENDRECV), neg_reverse(d));
	}
}

/* hold by port 0 gives the ports back; the resumed stream comes back in the same lines (SDP-03) */
static void test_hold_by_port_0(void **state)
{
	struct world w;

	(void)state;
	talk(&w);
	for (unsigned x = 0; x < 2; x++) {
		exchange(&w, x, SDP(x ? HB : HA, "m=audio 0 RTP/AVP 8\r\n"), SDP(x ? HA : HB, "m=audio 0 RTP/AVP 8\r\n"));
		assert_line(w.text[!x], "m=audio 0 RTP/AVP 8");
		assert_line(w.text[x], "m=audio 0 RTP/AVP 8");
		assert_int_equal(media_pairs_in_use(w.m), 2); /* a rollback may want them */
		media_commit(w.mc);
		assert_int_equal(media_pairs_in_use(w.m), 0);
		exchange(&w, x, SDP(x ? HB : HA, "m=audio 4000 RTP/AVP 8\r\n"),
		    SDP(x ? HA : HB, "m=audio 6000 RTP/AVP 8\r\n"));
		media_commit(w.mc);
		assert_int_equal(lines(w.text[x], "m="), 1);
		assert_int_equal(lines(w.text[!x], "m="), 1);
		assert_int_equal(media_pairs_in_use(w.m), 2);
		assert_true(program(&w, A, 0)->rtp_on && program(&w, B, 0)->rtp_on);
	}
	world_fini(&w);
}

/* --- payload types (OFA-09, DTM-02, MDI-02) --- */

static struct str with_event(char *text, size_t cap, const char *host, unsigned port, unsigned pt)
{
	int n = snprintf(text, cap,
	    "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %u RTP/AVP 8 %u\r\n"
	    "a=rtpmap:%u telephone-event/8000\r\na=fmtp:%u 0-15\r\n", host, host, port, pt, pt, pt);

	return str_n(text, (size_t)n);
}

static void test_pt_matrix(void **state)
{
	static const unsigned pts[] = {96, 101, 102, 120};
	char text[1024], line[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pts); i++) {
		for (size_t k = 0; k < ARRAY_LEN(pts); k++) {
			unsigned a = pts[i], b = pts[k];
			struct world w;

			/* A calls it a, B answers with b */
			start(&w);
			assert_int_equal(media_remote_offer(w.mc, A, with_event(text, sizeof(text), HA, 4000, a)), 0);
			assert_int_equal(local(&w, B, true), 0);
			assert_int_equal(media_remote_answer(w.mc, B, with_event(text, sizeof(text), HB, 6000, b)), 0);
			assert_int_equal(local(&w, A, false), 0);
			snprintf(line, sizeof(line), "m=audio 20000 RTP/AVP 8 %u", a);
			assert_line(w.text[A], line);
			assert_int_equal(program(&w, A, 0)->pt_map[a], b);
			assert_int_equal(program(&w, B, 0)->pt_map[a], a); /* ours, as the RFC has it */
			assert_int_equal(program(&w, B, 0)->pt_map[b], a); /* its own, as it happens */
			media_commit(w.mc);
			/* B re-offers with yet another: A keeps what it knows */
			for (size_t m = 0; m < ARRAY_LEN(pts); m++) {
				unsigned c = pts[m];

				assert_int_equal(media_remote_offer(w.mc, B, with_event(text, sizeof(text), HB, 6000, c)), 0);
				assert_int_equal(local(&w, A, true), 0);
				snprintf(line, sizeof(line), "a=rtpmap:%u telephone-event/8000", a);
				if (c == a || m == 0)
					assert_line(w.text[A], line);
				assert_int_equal(lines(w.text[A], "a=rtpmap:"), 2);
				assert_int_equal(media_remote_answer(w.mc, A, with_event(text, sizeof(text), HA, 4000, a)), 0);
				assert_int_equal(local(&w, B, false), 0);
				snprintf(line, sizeof(line), "a=rtpmap:%u telephone-event/8000", c);
				assert_line(w.text[B], line);
				assert_int_equal(program(&w, A, 0)->pt_map[a], c);
				assert_int_equal(program(&w, B, 0)->pt_map[c], a);
				media_commit(w.mc);
			}
			world_fini(&w);
		}
	}
}

/* numbers of two sides that cross: A's 96 is B's 97 and the other way round */
static void test_pt_crossed(void **state)
{
	struct world w;
	const struct relay_program *p;

	(void)state;
	start(&w);
	exchange(&w, A,
	    SDP(HA, "m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n"
	            "a=rtpmap:97 telephone-event/48000\r\n"),
	    SDP(HB, "m=audio 6000 RTP/AVP 97 96\r\na=rtpmap:97 opus/48000/2\r\na=rtpmap:96 telephone-event/48000\r\n"));
	p = program(&w, A, 0);
	assert_int_equal(p->pt_map[96], 97);
	assert_int_equal(p->pt_map[97], 96);
	assert_int_equal(p->clock_khz[96], 48);
	p = program(&w, B, 0);
	assert_int_equal(p->pt_map[96], 96); /* our numbers win: they are what we said */
	assert_int_equal(p->pt_map[97], 97);
	media_commit(w.mc);
	/* B re-offers in its own numbers: now these are what counts on B's side */
	exchange(&w, B,
	    SDP(HB, "m=audio 6000 RTP/AVP 97 96\r\na=rtpmap:97 opus/48000/2\r\na=rtpmap:96 telephone-event/48000\r\n"),
	    SDP(HA, "m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n"));
	assert_line(w.text[A], "a=rtpmap:96 opus/48000/2");
	assert_line(w.text[A], "a=rtpmap:97 telephone-event/48000");
	assert_int_equal(program(&w, B, 0)->pt_map[97], 96);
	assert_int_equal(program(&w, B, 0)->pt_map[96], 97);
	assert_int_equal(program(&w, A, 0)->pt_map[96], 97);
	media_commit(w.mc);
	world_fini(&w);
}

/* events at 8000 and 48000 Hz are two codecs (DTM-02) */
static void test_event_clocks(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	exchange(&w, A,
	    SDP(HA, "m=audio 4000 RTP/AVP 96 8 101 102\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/48000\r\n"
	            "a=rtpmap:102 telephone-event/8000\r\n"),
	    SDP(HB, "m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"));
	assert_line(w.text[A], "m=audio 20000 RTP/AVP 8 102");
	assert_int_equal(program(&w, A, 0)->pt_map[102], 101);
	assert_int_equal(program(&w, A, 0)->pt_map[101], RELAY_PT_DROP);
	assert_int_equal(program(&w, B, 0)->pt_map[102], 102);
	assert_int_equal(program(&w, B, 0)->pt_map[101], 101); /* our 48000 one: A would take it */
	media_commit(w.mc);
	world_fini(&w);
}

/* a number that meant one codec never means another on that side (RFC 3264 8.3.2) */
static void test_pt_never_reused(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVP 96 8\r\na=rtpmap:96 iLBC/8000\r\n"), SDP(HB, "m=audio 6000 RTP/AVP 8\r\n"));
	media_commit(w.mc);
	/* A itself breaks the rule; B shall not suffer */
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVP 96 8\r\na=rtpmap:96 opus/48000/2\r\n"),
	    SDP(HB, "m=audio 6000 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\n"));
	assert_line(w.text[B], "a=rtpmap:97 opus/48000/2");
	assert_null(strstr(w.text[B], "a=rtpmap:96"));
	assert_line(w.text[A], "m=audio 20000 RTP/AVP 96");
	assert_int_equal(program(&w, A, 0)->pt_map[96], 97);
	assert_int_equal(program(&w, B, 0)->pt_map[97], 96);
	media_commit(w.mc);
	/* re-INVITE adds a codec: old numbers same (OFA-09) */
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVP 98 96 8\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:98 iLBC/8000\r\n"),
	    SDP(HB, "m=audio 6000 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\n"));
	assert_line(w.text[B], "m=audio 20002 RTP/AVP 96 97 8");
	assert_line(w.text[B], "a=rtpmap:96 iLBC/8000");
	media_commit(w.mc);
	world_fini(&w);
}

/* --- lines and streams (SDP-02, -03, -14, OFA-02) --- */

#define V "m=video 4010 RTP/AVP 34\r\n"
#define V0 "m=video 0 RTP/AVP 34\r\n"
#define AU "m=audio 4000 RTP/AVP 8\r\n"

static void test_answer_mirrors_offer(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	exchange(&w, A, SDP(HA, AU V "m=image 4020 udptl t38\r\na=T38FaxVersion:0\r\n"),
	    SDP(HB, "m=audio 6000 RTP/AVP 8\r\nm=video 0 RTP/AVP 34\r\nm=image 0 udptl t38\r\n"));
	assert_int_equal(lines(w.text[B], "m="), 3);
	assert_line(w.text[B], "a=T38FaxVersion:0");
	assert_int_equal(lines(w.text[A], "m="), 3);
	assert_line(w.text[A], "m=video 0 RTP/AVP 34");
	assert_line(w.text[A], "m=image 0 udptl t38");
	assert_int_equal(media_pairs_in_use(w.m), 6);
	media_commit(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	assert_int_equal(media_stream_count(w.mc), 3);
	/* a far end that answers with the lines it likes only: the missing ones are refused */
	exchange(&w, A, SDP(HA, AU V "m=image 4020 udptl t38\r\n"), SDP(HB, "m=audio 6000 RTP/AVP 8\r\n"));
	assert_int_equal(lines(w.text[A], "m="), 3);
	assert_line(w.text[A], "m=video 0 RTP/AVP 34");
	media_commit(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	world_fini(&w);
}

/* audio -> +video -> -video -> +image, and the same seen from the other side */
static void test_slots(void **state)
{
	struct world w;

	(void)state;
	for (unsigned x = 0; x < 2; x++) {
		unsigned y = !x;
		const char *hx = x ? HB : HA, *hy = x ? HA : HB;

		start(&w);
		exchange(&w, x, SDP(hx, AU), SDP(hy, AU));
		media_commit(w.mc);
		exchange(&w, x, SDP(hx, AU V), SDP(hy, AU V));
		assert_int_equal(lines(w.text[y], "m="), 2);
		media_commit(w.mc);
		assert_int_equal(media_pairs_in_use(w.m), 4);
		exchange(&w, x, SDP(hx, AU V0), SDP(hy, AU V0));
		assert_line(w.text[y], "m=video 0 RTP/AVP 34");
		assert_line(w.text[x], "m=video 0 RTP/AVP 34");
		media_commit(w.mc);
		assert_int_equal(media_pairs_in_use(w.m), 2);
		/* the free line is taken again with another kind */
		exchange(&w, x, SDP(hx, AU "m=image 4030 udptl t38\r\n"), SDP(hy, AU "m=image 6030 udptl t38\r\n"));
		assert_int_equal(lines(w.text[y], "m="), 2);
		assert_int_equal(lines(w.text[y], "m=image 2"), 1);
		assert_true(program(&w, A, 1)->raw);
		media_commit(w.mc);
		/* and the other side offers: all lines are there, in order */
		exchange(&w, y, SDP(hy, AU V0), SDP(hx, AU V0));
		assert_int_equal(lines(w.text[x], "m="), 2);
		assert_line(w.text[x], "m=image 0 udptl t38");
		media_commit(w.mc);
		/* a far end that shrinks its list all the same: our list to it does not shrink */
		exchange(&w, y, SDP(hy, AU), SDP(hx, AU V0));
		assert_int_equal(lines(w.text[y], "m="), 1);
		assert_int_equal(lines(w.text[x], "m="), 2);
		media_commit(w.mc);
		exchange(&w, x, SDP(hx, AU V), SDP(hy, AU V));
		assert_int_equal(lines(w.text[y], "m="), 2);
		media_commit(w.mc);
		assert_int_equal(media_pairs_in_use(w.m), 4);
		world_fini(&w);
	}
}

/* two audio and one video, content and label, one removed and another added (SPLICES) */
static void test_three_streams(void **state)
{
	struct world w;
	unsigned ports[6], n = 0;

	(void)state;
	start(&w);
	exchange(&w, A,
	    SDP(HA, AU "a=label:1\r\na=content:main\r\nm=audio 4004 RTP/AVP 0\r\na=label:2\r\na=content:sl\r\n" V "a=content:slides\r\n"),
	    SDP(HB, "m=audio 6000 RTP/AVP 8\r\na=label:1\r\nm=audio 6004 RTP/AVP 0\r\na=label:2\r\nm=video 6010 RTP/AVP 34\r\n"));
	assert_line(w.text[B], "a=content:main");
	assert_line(w.text[B], "a=content:sl");
	assert_line(w.text[B], "a=label:2");
	assert_line(w.text[A], "a=label:2");
	media_commit(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 6);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned s = 0; s < 2; s++) {
			struct media_stream_info info;
			struct media_stats stats;

			assert_true(media_stream(w.mc, s, i, &info, &stats));
			ports[n++] = addr_port(&stats.local);
			for (unsigned k = 0; k + 1 < n; k++)
				assert_int_not_equal(ports[k], ports[n - 1]);
			assert_true(info.active);
			assert_string_equal(info.codec, i == 0 ? "PCMA/8000" : i == 1 ? "PCMU/8000" : "H263/90000");
		}
	/* each goes to its own address */
	assert_int_equal(addr_port(&program(&w, A, 1)->dest_rtp), 6004);
	assert_int_equal(addr_port(&program(&w, A, 2)->dest_rtp), 6010);
	/* the second audio goes, the others do not move */
	exchange(&w, B, SDP(HB, "m=audio 6000 RTP/AVP 8\r\nm=audio 0 RTP/AVP 0\r\nm=video 6010 RTP/AVP 34\r\n"),
	    SDP(HA, AU "m=audio 0 RTP/AVP 0\r\n" V));
	media_commit(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 4);
	assert_int_equal(addr_port(&program(&w, A, 2)->dest_rtp), 6010);
	assert_false(media_view(w.mc)->streams[1].live);
	/* and another comes in its place */
	exchange(&w, A, SDP(HA, AU "m=audio 4008 RTP/AVP 9\r\n" V), SDP(HB, "m=audio 6000 RTP/AVP 8\r\nm=audio 6008 RTP/AVP 9\r\nm=video 6010 RTP/AVP 34\r\n"));
	media_commit(w.mc);
	assert_int_equal(lines(w.text[B], "m="), 3);
	assert_int_equal(addr_port(&program(&w, B, 1)->dest_rtp), 4008);
	assert_int_equal(media_pairs_in_use(w.m), 6);
	world_fini(&w);
}

/* a line we cannot relay is not shown to a new side, but A's answer has it; the next try of the route starts again */
static void test_fresh_side(void **state)
{
	struct world w;
	struct str offer = SDP(HA, "m=video 4010 RTP/SAVP 34\r\nm=audio 4000 RTP/AVP 8\r\nm=application 4050 UDP/BFCP *\r\n"
	                           "m=video 4060 RTP/AVP 34\r\n");
	char first[512];

	(void)state;
	world_init(&w);
	assert_int_equal(media_side_open(w.mc, A, &w.side[A]), REASON_NONE);
	assert_int_equal(media_remote_offer(w.mc, A, offer), REASON_NONE);
	/* the route comes later; first target */
	assert_int_equal(media_side_open(w.mc, B, &w.side[B]), REASON_NONE);
	assert_int_equal(local(&w, B, true), REASON_NONE);
	assert_int_equal(lines(w.text[B], "m="), 2);
	assert_int_equal(version_of(w.text[B]), 1);
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, "m=audio 6000 RTP/AVP 8\r\nm=video 6010 RTP/AVP 34\r\n")), 0);
	assert_int_equal(local(&w, A, false), REASON_NONE);
	assert_int_equal(lines(w.text[A], "m="), 4);
	assert_line(w.text[A], "m=video 0 RTP/SAVP 34");
	assert_line(w.text[A], "m=application 0 UDP/BFCP *");
	assert_int_equal(lines(w.text[A], "m=audio 2"), 1);
	assert_non_null(strstr(w.text[A], "RTP/SAVP 34\r\nm=audio 2"));
	assert_int_equal(addr_port(&program(&w, A, 1)->dest_rtp), 6000);
	assert_int_equal(addr_port(&program(&w, A, 3)->dest_rtp), 6010);
	keep(first, sizeof(first), w.text[A]);
	/* it fails; the next target gets a session of its own */
	assert_int_equal(media_side_open(w.mc, B, &w.side[B]), REASON_NONE);
	assert_int_equal(media_state(w.mc), MEDIA_OFFERED);
	assert_null(program(&w, A, 1));
	assert_int_equal(media_pairs_in_use(w.m), 2);
	assert_int_equal(local(&w, B, true), REASON_NONE);
	assert_int_equal(version_of(w.text[B]), 1);
	assert_int_equal(media_remote_answer(w.mc, B, SDP("192.0.2.77", "m=audio 7000 RTP/AVP 8\r\nm=video 0 RTP/AVP 34\r\n")), 0);
	assert_int_equal(media_state(w.mc), MEDIA_ANSWER_SENT);
	/* A was told another thing and hears the same again, and then has to be told */
	assert_int_equal(local(&w, A, false), REASON_NONE);
	assert_string_equal(w.text[A], first);
	assert_true(media_needs_reoffer(w.mc, A));
	assert_int_equal(addr_port(&program(&w, A, 1)->dest_rtp), 7000);
	media_commit(w.mc);
	assert_true(media_needs_reoffer(w.mc, A));
	assert_int_equal(reoffer(&w, A), REASON_NONE);
	assert_false(media_needs_reoffer(w.mc, A));
	assert_int_equal(version_of(w.text[A]), 2);
	assert_int_equal(lines(w.text[A], "m="), 4);
	assert_int_equal(lines(w.text[A], "m=video 0"), 2);
	assert_int_equal(media_remote_answer(w.mc, A, SDP(HA, "m=video 0 RTP/SAVP 34\r\nm=audio 4000 RTP/AVP 8\r\n"
	                                                      "m=application 0 UDP/BFCP *\r\nm=video 0 RTP/AVP 34\r\n")), 0);
	media_commit(w.mc);
	assert_false(media_needs_reoffer(w.mc, A));
	assert_false(media_needs_reoffer(w.mc, B));
	assert_int_equal(media_pairs_in_use(w.m), 2);
	/* B re-offers one line more than A has live: A's own four stay, the new one takes a free line */
	exchange(&w, B, SDP(HB, "m=audio 7000 RTP/AVP 8\r\nm=video 7010 RTP/AVP 34\r\n"),
	    SDP(HA, "m=video 0 RTP/SAVP 34\r\nm=audio 4000 RTP/AVP 8\r\nm=application 0 UDP/BFCP *\r\nm=video 4060 RTP/AVP 34\r\n"));
	assert_int_equal(lines(w.text[A], "m="), 4);
	assert_int_equal(lines(w.text[B], "m="), 2);
	media_commit(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 4);
	world_fini(&w);
}

/* --- o= and repetition (OFA-03, -04, -05, -06) --- */

static void test_versions(void **state)
{
	struct world w;
	char o[2][128];

	(void)state;
	talk(&w);
	for (unsigned s = 0; s < 2; s++) {
		char *at = strstr(w.text[s], "o=- ");

		snprintf(o[s], sizeof(o[s]), "%.*s", (int)strcspn(at, "\r"), at);
		assert_int_equal(version_of(w.text[s]), 1);
	}
	/* a refresh: the same offer, the same answer */
	exchange(&w, A, SDP(HA, AUDIO), SDP(HB, "m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
	                                        "a=fmtp:101 0-15\r\n"));
	media_commit(w.mc);
	assert_line(w.text[A], o[A]);
	assert_line(w.text[B], o[B]);
	/* hold: both change by one */
	exchange(&w, A, SDP(HA, AUDIO "a=sendonly\r\n"), SDP(HB, "m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
	                                                         "a=fmtp:101 0-15\r\na=recvonly\r\n"));
	media_commit(w.mc);
	assert_int_equal(version_of(w.text[A]), 2);
	assert_int_equal(version_of(w.text[B]), 2);
	/* only the far end's address moves: nothing we say changes */
	exchange(&w, A, SDP("192.0.2.99", AUDIO "a=sendonly\r\n"), SDP(HB, "m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
	                                                                   "a=fmtp:101 0-15\r\na=recvonly\r\n"));
	media_commit(w.mc);
	assert_int_equal(version_of(w.text[A]), 2);
	assert_int_equal(version_of(w.text[B]), 2);
	/* the session id is of that side alone and constant */
	assert_int_equal(strncmp(o[A], strstr(w.text[A], "o=- "), strcspn(o[A] + 4, " ") + 4), 0);
	assert_int_not_equal(strncmp(o[A], o[B], strcspn(o[A] + 4, " ") + 4), 0);
	world_fini(&w);
}

static void test_forked_answers(void **state)
{
	struct world w;
	char told[2048];

	(void)state;
	start(&w);
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, "m=audio 4000 RTP/AVP 8 0 9\r\n")), 0);
	assert_int_equal(local(&w, B, true), 0);
	assert_int_equal(media_remote_answer(w.mc, B, SDP("192.0.2.31", "m=audio 6000 RTP/AVP 8\r\n")), 0);
	assert_int_equal(local(&w, A, false), 0);
	keep(told, sizeof(told), w.text[A]);
	assert_line(told, "m=audio 20000 RTP/AVP 8");
	/* same answer from another fork: media moves, A need not know */
	assert_int_equal(media_remote_answer(w.mc, B, SDP("192.0.2.32", "m=audio 6002 RTP/AVP 8\r\n")), 0);
	assert_false(media_needs_reoffer(w.mc, A));
	assert_int_equal(addr_port(&program(&w, A, 0)->dest_rtp), 6002);
	/* only the winner is heard (RTP-11) */
	assert_int_equal(addr_port(&program(&w, B, 0)->source_rtp), 6002);
	/* another codec: same bytes to A, but it has to be told */
	assert_int_equal(media_remote_answer(w.mc, B, SDP("192.0.2.33", "m=audio 6004 RTP/AVP 0\r\n")), 0);
	assert_true(media_needs_reoffer(w.mc, A));
	assert_int_equal(local(&w, A, false), 0);
	assert_string_equal(w.text[A], told);
	assert_int_equal(program(&w, B, 0)->pt_map[0], 0); /* A offered it: it is heard meanwhile */
	/* back to the first one: nothing to tell */
	assert_int_equal(media_remote_answer(w.mc, B, SDP("192.0.2.31", "m=audio 6000 RTP/AVP 8\r\n")), 0);
	assert_false(media_needs_reoffer(w.mc, A));
	/* an answer repeated in the 200 changes nothing at all */
	{
		unsigned before = w.m->relay->programs;

		assert_int_equal(media_remote_answer(w.mc, B, SDP("192.0.2.31", "m=audio 6000 RTP/AVP 8\r\n")), 0);
		assert_int_equal(w.m->relay->programs, before);
	}
	/* direction and refused streams count as well */
	assert_int_equal(media_remote_answer(w.mc, B, SDP("192.0.2.31", "m=audio 6000 RTP/AVP 8\r\na=sendonly\r\n")), 0);
	assert_true(media_needs_reoffer(w.mc, A));
	media_commit(w.mc);
	assert_true(media_needs_reoffer(w.mc, A));
	assert_int_equal(reoffer(&w, A), 0);
	assert_line(w.text[A], "a=sendonly");
	assert_int_equal(version_of(w.text[A]), 2);
	assert_int_equal(media_remote_answer(w.mc, A, SDP(HA, "m=audio 4000 RTP/AVP 8\r\na=recvonly\r\n")), 0);
	media_commit(w.mc);
	assert_false(media_needs_reoffer(w.mc, A));
	assert_false(media_needs_reoffer(w.mc, B));
	world_fini(&w);
}

/* an answer that cannot be taken leaves the earlier one in force */
static void test_bad_second_answer(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	exchange(&w, A, SDP(HA, AU), SDP(HB, AU));
	assert_int_equal(media_remote_answer(w.mc, B, S("nonsense")), REASON_SDP_MALFORMED);
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, "m=video 6000 RTP/AVP 34\r\n")), REASON_ANSWER_BAD);
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, AU AU)), REASON_ANSWER_BAD);
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, "m=audio 6000 RTP/AVP 18\r\n")), REASON_NO_COMMON_CODEC);
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, "m=audio 0 RTP/AVP 8\r\n")), REASON_MEDIA_REFUSED);
	assert_int_equal(media_remote_answer(w.mc, B, SDP("media.example.com", AU)), REASON_MEDIA_ADDRESS);
	assert_int_equal(media_remote_answer(w.mc, B, SDP("2001:db8::9", AU)), REASON_MEDIA_ADDRESS);
	assert_int_equal(media_remote_answer(w.mc, A, SDP(HA, AU)), REASON_ANSWER_BAD);
	assert_int_equal(media_state(w.mc), MEDIA_ANSWER_SENT);
	assert_true(program(&w, A, 0)->rtp_on);
	assert_false(media_needs_reoffer(w.mc, A));
	media_commit(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	world_fini(&w);
}

/* B's offer in its 200, A's answer in the ACK (DLG-13, OFA-07) */
static void test_late_offer(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	exchange(&w, B, SDP(HB, "m=audio 6000 RTP/AVP 18 8 96\r\na=rtpmap:96 telephone-event/8000\r\n"),
	    SDP(HA, "m=audio 4000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n"));
	assert_line(w.text[A], "m=audio 20002 RTP/AVP 18 8 96");
	assert_line(w.text[A], "c=IN IP4 203.0.113.1");
	assert_line(w.text[B], "m=audio 20000 RTP/AVP 8 96");
	assert_int_equal(media_offerer(w.mc), B);
	media_commit(w.mc);
	assert_true(program(&w, A, 0)->rtp_on);
	world_fini(&w);
}

/* an offer in a 2xx that cannot be taken gets an answer all the same: no (OFA-07; RFC 3261 13.2.2.4, RFC 3264 6) */
static void test_refused_offer(void **state)
{
	struct world w;
	struct buf b;
	char text[2048], many[4096];

	(void)state;
	start(&w);
	/* the first one: every line is there, each with port 0, in its kind and protocol */
	assert_int_equal(media_remote_offer(w.mc, B, SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" V0)), REASON_SRTP_OFF);
	buf_init(&b, text, sizeof(text) - 1);
	assert_int_equal(media_refuse_offer(w.mc, B, SDP(HB, "m=audio 6000 RTP/SAVP 8\r\n" V0), &b), 0);
	text[b.n] = '\0';
	assert_line(text, "m=audio 0 RTP/SAVP 8");
	assert_line(text, "m=video 0 RTP/AVP 34");
	assert_non_null(strstr(text, "c=IN IP4 198.51.100.1\r\n"));
	assert_int_equal(version_of(text), 1);
	assert_int_equal(media_pairs_in_use(w.m), 0);
	assert_int_equal(media_state(w.mc), MEDIA_IDLE);
	/* one that cannot be read has no answer, and out is as it was */
	buf_init(&b, text, sizeof(text));
	assert_int_equal(media_refuse_offer(w.mc, B, S("nonsense"), &b), REASON_SDP_MALFORMED);
	assert_int_equal(media_refuse_offer(w.mc, B, STR_NONE, &b), REASON_INTERNAL);
	assert_int_equal(b.n, 0);
	/* no room: whole or not at all */
	buf_init(&b, text, 60);
	assert_int_equal(media_refuse_offer(w.mc, B, SDP(HB, AU), &b), REASON_SDP_TOO_LARGE);
	assert_int_equal(b.n, 0);
	/* more lines than we would ever take are answered line by line */
	buf_init(&b, many, sizeof(many));
	buf_lit(&b, "v=0\r\no=b 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n");
	for (unsigned i = 0; i < 40; i++)
		buf_lit(&b, "m=audio 6000 RTP/AVP 8\r\n");
	{
		struct str offer = buf_text(&b);
		char out[4096];
		unsigned n = 0;

		assert_int_equal(media_remote_offer(w.mc, B, offer), REASON_TOO_MANY_STREAMS);
		buf_init(&b, out, sizeof(out) - 1);
		assert_int_equal(media_refuse_offer(w.mc, B, offer, &b), 0);
		out[b.n] = '\0';
		for (const char *p = out; (p = strstr(p, "m=audio 0 ")) != NULL; p++)
			n++;
		assert_int_equal(n, 40);
	}
	/* a far end that has no call here any more */
	buf_init(&b, text, sizeof(text) - 1);
	assert_int_equal(media_refuse_stray(w.m, 1, AF_INET, SDP(HB, AU V), &b), 0);
	text[b.n] = '\0';
	assert_line(text, "m=video 0 RTP/AVP 34");
	assert_non_null(strstr(text, "c=IN IP4 198.51.100.1\r\n"));
	assert_int_equal(media_refuse_stray(w.m, 1, AF_INET, S("v"), &b), REASON_SDP_MALFORMED);
	assert_int_equal(media_refuse_stray(w.m, 99, AF_INET, SDP(HB, AU), &b), REASON_MEDIA_UNREACHABLE);
	world_fini(&w);
}

/* in a call: the offer of the open exchange; afterwards the session is told anew, with all the lines there now are */
static void test_refused_offer_in_a_call(void **state)
{
	struct world w;
	struct buf b;
	char text[2048];
	uint32_t was;

	(void)state;
	talk(&w);
	assert_int_equal(reoffer(&w, B), 0);
	was = version_of(w.text[B]);
	media_rollback(w.mc);
	assert_int_equal(media_remote_offer(w.mc, B, SDP(HB, AU V)), 0);
	assert_int_equal(local(&w, A, true), 0);
	buf_init(&b, text, sizeof(text) - 1);
	assert_int_equal(media_refuse_offer(w.mc, A, STR_NONE, &b), REASON_INTERNAL);
	assert_int_equal(media_refuse_offer(w.mc, B, STR_NONE, &b), 0);
	text[b.n] = '\0';
	assert_line(text, "m=audio 0 RTP/AVP 8");
	assert_line(text, "m=video 0 RTP/AVP 34");
	assert_int_equal(version_of(text), was + 1);
	media_rollback(w.mc);
	assert_true(program(&w, A, 0)->rtp_on); /* as before */
	assert_int_equal(reoffer(&w, B), 0);
	assert_int_equal(version_of(w.text[B]), was + 2);
	assert_line(w.text[B], "m=audio 20002 RTP/AVP 8 0 101");
	assert_non_null(strstr(strstr(w.text[B], "m=audio 20002"), " 0 RTP/AVP")); /* the second line */
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, AU "m=audio 0 RTP/AVP 0\r\n")), 0);
	media_commit(w.mc);
	assert_true(program(&w, A, 0)->rtp_on);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	/* and from then on the same again is the same version */
	assert_int_equal(reoffer(&w, B), 0);
	assert_int_equal(version_of(w.text[B]), was + 2);
	media_rollback(w.mc);
	world_fini(&w);
}

/* --- undoing (DLG-09) --- */

static void test_rollback(void **state)
{
	struct world w;
	struct relay_program before[2], after;
	char refresh[2][2048];

	(void)state;
	talk(&w);
	for (unsigned s = 0; s < 2; s++) {
		before[s] = *program(&w, s, 0);
		assert_int_equal(reoffer(&w, s), 0);
		keep(refresh[s], sizeof(refresh[s]), w.text[s]);
		media_rollback(w.mc);
	}
	/* hold with another address and one stream more, refused before and after B answered early */
	for (unsigned late = 0; late < 2; late++) {
		assert_int_equal(media_remote_offer(w.mc, A, SDP("192.0.2.88", AU "a=inactive\r\n" V)), 0);
		assert_int_equal(local(&w, B, true), 0);
		assert_int_equal(version_of(w.text[B]), 2 + late);
		if (late) {
			assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, AU V)), 0);
			assert_false(program(&w, A, 0)->rtp_on);
			assert_non_null(program(&w, A, 1));
		}
		assert_int_equal(media_pairs_in_use(w.m), 4);
		media_rollback(w.mc);
		assert_int_equal(media_state(w.mc), MEDIA_IDLE);
		assert_int_equal(media_pairs_in_use(w.m), 2);
		for (unsigned s = 0; s < 2; s++) {
			after = *program(&w, s, 0);
			assert_memory_equal(&before[s], &after, sizeof(after));
			assert_int_equal(reoffer(&w, s), 0);
			assert_string_equal(w.text[s], refresh[s]);
			media_rollback(w.mc);
		}
	}
	/* a version that was seen with another text is not used again */
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AU "a=inactive\r\n")), 0);
	assert_int_equal(local(&w, B, true), 0);
	assert_int_equal(version_of(w.text[B]), 4);
	media_rollback(w.mc);
	/* the first exchange of a call */
	world_fini(&w);
	start(&w);
	exchange(&w, A, SDP(HA, AU), SDP(HB, AU));
	media_rollback(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 0);
	assert_int_equal(media_stream_count(w.mc), 0);
	world_fini(&w);
}

/* a commit without an answer is a rollback */
static void test_commit_without_answer(void **state)
{
	struct world w;

	(void)state;
	talk(&w);
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AU V)), 0);
	assert_int_equal(local(&w, B, true), 0);
	media_commit(w.mc);
	assert_int_equal(media_state(w.mc), MEDIA_IDLE);
	assert_int_equal(media_stream_count(w.mc), 1);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	world_fini(&w);
}

/* --- our own offers --- */

static void test_refresh(void **state)
{
	struct world w;
	char was[2][2048];

	(void)state;
	talk(&w);
	for (unsigned s = 0; s < 2; s++)
		keep(was[s], sizeof(was[s]), w.text[s]);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned s = 0; s < 2; s++) {
			assert_int_equal(reoffer(&w, s), 0);
			assert_int_equal(media_offerer(w.mc), !s);
			assert_string_equal(w.text[s], was[s]);
			/* B was offered PCMU too and had not taken it: A's shorter answer is no news to it */
			assert_int_equal(media_remote_answer(w.mc, s, SDP(s ? HB : HA, "m=audio 4000 RTP/AVP 8 101\r\n"
			                                                                "a=rtpmap:101 telephone-event/8000\r\n")), 0);
			assert_int_equal(media_local_answer(w.mc, !s, &(struct buf){0}), REASON_INTERNAL);
			media_commit(w.mc);
			assert_false(media_needs_reoffer(w.mc, A));
			assert_false(media_needs_reoffer(w.mc, B));
		}
	}
	/* A answers the refresh with a hold: now B has to hear of it */
	assert_int_equal(reoffer(&w, A), 0);
	assert_int_equal(media_remote_answer(w.mc, A, SDP(HA, AU "a=sendonly\r\n")), 0);
	media_commit(w.mc);
	assert_true(media_needs_reoffer(w.mc, B));
	assert_false(media_needs_reoffer(w.mc, A));
	assert_false(program(&w, B, 0)->rtp_on);
	assert_int_equal(reoffer(&w, B), 0);
	assert_line(w.text[B], "a=sendonly");
	assert_int_equal(version_of(w.text[B]), 2);
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, AU "a=recvonly\r\n")), 0);
	media_commit(w.mc);
	assert_false(media_needs_reoffer(w.mc, A));
	assert_false(media_needs_reoffer(w.mc, B));
	world_fini(&w);
}

/* a side opened again in a running call gets what the other has */
static void test_replaced_side(void **state)
{
	struct world w;

	(void)state;
	talk(&w);
	assert_int_equal(media_side_open(w.mc, B, &w.side[B]), 0);
	assert_null(program(&w, A, 0));
	assert_int_equal(media_pairs_in_use(w.m), 1);
	assert_int_equal(reoffer(&w, B), 0);
	assert_line(w.text[B], "m=audio 20004 RTP/AVP 8 0 101");
	assert_int_equal(version_of(w.text[B]), 1);
	assert_int_equal(media_remote_answer(w.mc, B, SDP("192.0.2.55", AU)), 0);
	media_commit(w.mc);
	assert_true(program(&w, A, 0)->rtp_on);
	assert_int_equal(addr_port(&program(&w, B, 0)->dest_rtp), 4000);
	/* A was told of events that B does not have */
	assert_true(media_needs_reoffer(w.mc, A));
	world_fini(&w);
}

/* --- addresses --- */

static void test_families(void **state)
{
	struct world w;
	struct addr want;

	(void)state;
	world_init(&w);
	w.side[A].family = AF_INET6;
	w.side[A].signalling = ip("2001:db8::10");
	world_open(&w);
	exchange(&w, A, SDP("2001:db8::10", AU), SDP(HB, AU));
	assert_line(w.text[B], "c=IN IP4 198.51.100.1");
	assert_line(w.text[A], "c=IN IP6 2001:db8:1::1");
	assert_non_null(strstr(w.text[A], " IN IP6 2001:db8:1::1\r\ns=-"));
	want = ip("2001:db8::10");
	addr_set_port(&want, 4000);
	assert_true(addr_eq(&program(&w, B, 0)->dest_rtp, &want));
	media_commit(w.mc);
	/* the media of A moves to IPv4: it gets a port there, and the old one goes when that is agreed */
	exchange(&w, A, SDP(HA, AU), SDP(HB, AU));
	assert_line(w.text[A], "c=IN IP4 203.0.113.1");
	assert_int_equal(media_pairs_in_use(w.m), 3);
	media_commit(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	/* and back, refused */
	assert_int_equal(media_remote_offer(w.mc, A, SDP("2001:db8::10", AU)), 0);
	assert_int_equal(media_pairs_in_use(w.m), 3);
	media_rollback(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	world_fini(&w);
	/* a realm without that family */
	world_init(&w);
	w.realms[1].ip6 = (struct addr){0};
	media_call_free(w.mc);
	media_free(w.m);
	w.m = media_new(&w.env, &w.cfg, &(enum reason){0});
	w.mc = media_call_new(w.m, S("x"));
	w.side[B].family = AF_INET6;
	assert_int_equal(media_side_open(w.mc, B, &w.side[B]), REASON_MEDIA_UNREACHABLE);
	w.side[B].family = AF_INET;
	world_open(&w);
	assert_int_equal(media_remote_offer(w.mc, B, SDP("2001:db8::20", AU)), REASON_MEDIA_ADDRESS);
	world_fini(&w);
}

static void test_rtcp_address(void **state)
{
	struct world w;
	struct addr want;

	(void)state;
	start(&w);
	exchange(&w, A, SDP(HA, AU "a=rtcp:4444 IN IP4 192.0.2.44\r\n"), SDP(HB, AU "a=rtcp:6666\r\n"));
	assert_null(strstr(w.text[A], "rtcp"));
	assert_null(strstr(w.text[B], "rtcp"));
	want = ip("192.0.2.44");
	addr_set_port(&want, 4444);
	assert_true(addr_eq(&program(&w, B, 0)->dest_rtcp, &want));
	assert_true(addr_eq(&program(&w, A, 0)->source_rtcp, &want));
	want = ip(HB);
	addr_set_port(&want, 6666);
	assert_true(addr_eq(&program(&w, A, 0)->dest_rtcp, &want));
	media_commit(w.mc);
	world_fini(&w);
}

/* new c= and port by re-INVITE: old address until the answer, new one after (MDI-11, SDP-09) */
static void test_address_moves(void **state)
{
	struct world w;
	struct addr old = ip(HB), moved = ip("192.0.2.66");

	(void)state;
	talk(&w);
	addr_set_port(&old, 6000);
	addr_set_port(&moved, 6100);
	assert_int_equal(media_remote_offer(w.mc, B, SDP("192.0.2.66", "m=audio 6100 RTP/AVP 8\r\n")), 0);
	assert_int_equal(local(&w, A, true), 0);
	assert_true(addr_eq(&program(&w, A, 0)->dest_rtp, &old));
	assert_int_equal(media_remote_answer(w.mc, A, SDP(HA, AU)), 0);
	assert_true(addr_eq(&program(&w, A, 0)->dest_rtp, &moved));
	assert_true(addr_eq(&program(&w, B, 0)->source_rtp, &moved));
	media_commit(w.mc);
	world_fini(&w);
}

static void test_latch_choice(void **state)
{
	static const struct {
		enum media_latch latch;
		const char *signalling, *media;
		bool latches;
	} t[] = {
		{MEDIA_LATCH_OFF, "192.0.2.10", "192.0.2.10", false},
		{MEDIA_LATCH_OFF, "192.0.2.10", "10.1.2.3", false},
		{MEDIA_LATCH_AUTO, "192.0.2.10", "192.0.2.10", false},
		{MEDIA_LATCH_AUTO, "192.0.2.10", "192.0.2.11", true},
		{MEDIA_LATCH_AUTO, "192.0.2.10", "10.1.2.3", true},
		{MEDIA_LATCH_AUTO, "10.1.2.3", "10.1.2.3", true},
		{MEDIA_LATCH_AUTO, "2001:db8::1", "192.0.2.10", true},
		{MEDIA_LATCH_ON, "192.0.2.10", "192.0.2.10", true},
		{MEDIA_LATCH_ON, "192.0.2.10", "192.0.2.11", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct world w;
		const struct relay_program *p;
		struct addr sig = ip(t[i].signalling);

		world_init(&w);
		w.side[A].latch = t[i].latch;
		w.side[A].signalling = sig;
		world_open(&w);
		exchange(&w, A, SDP(t[i].media, AU), SDP(HB, AU));
		p = program(&w, A, 0);
		assert_int_equal(addr_none(&p->latch_ip), !t[i].latches);
		if (t[i].latches)
			assert_true(addr_eq_ip(&p->latch_ip, &sig)); /* never anybody else (LAT-02) */
		/* sending starts at once, latched or not (LAT-04) */
		assert_int_equal(addr_port(&program(&w, B, 0)->dest_rtp), 4000);
		assert_true(addr_none(&program(&w, B, 0)->latch_ip));
		media_commit(w.mc);
		world_fini(&w);
	}
}

/* --- what may be said to the other side (B2B-07, SDP-16, SDP-15, SDP-04) --- */

static void test_nothing_leaks(void **state)
{
	static const char *const secrets[] = {
		"secret", "192.0.2.11", "10.11.12.13", "pbx.corp", "2001:db8:dead", "alice", "hunter2", "candidate", "ice-",
		"crypto", "fingerprint", "setup", "msid", "BUNDLE", "rtcp-mux", "rtcp:", "sqn", "cdsc", "altc", "curr:",
		"acap", "X-nat", "direction:", "tool", "k=", "i=", "u=", "e=", "p=", "z=", "r=", "4001 ", " 4000 ",
	};
	struct world w;
	struct str offer = S("v=0\r\no=alice-secret 8 9 IN IP4 pbx.corp\r\ns=secret call\r\ni=secret info\r\nu=http://pbx.corp/\r\n"
	                     "e=alice@pbx.corp\r\np=+49 30 secret\r\nc=IN IP4 192.0.2.11\r\nb=AS:80\r\nb=X-secret:1\r\nt=3034423619 3042462419\r\n"
	                     "r=7d 1h 0 25h\r\nz=1 2\r\nk=clear:hunter2\r\na=tool:pbx.corp\r\na=group:BUNDLE one\r\na=ice-lite\r\n"
	                     "a=sqn:0\r\na=cdsc:1 image udptl t38\r\na=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\n"
	                     "m=audio 4000 RTP/AVP 8 101\r\ni=secret stream\r\nk=clear:hunter2\r\nb=TIAS:64000\r\na=rtpmap:101 telephone-event/8000\r\n"
	                     "a=fmtp:101 0-15,secretless\r\na=rtcp:4001 IN IP4 10.11.12.13\r\na=rtcp-mux\r\n"
	                     "a=candidate:1 1 UDP 1 10.11.12.13 4000 typ host\r\na=ice-ufrag:secret\r\na=ice-pwd:hunter2\r\n"
	                     "a=remote-candidates:1 10.11.12.13 4000\r\na=end-of-candidates\r\n"
	                     "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:hunter2\r\na=msid:secret track\r\n"
	                     "a=ssrc:1234 cname:alice@pbx.corp\r\na=ssrc:1234 cname:10.11.12.13\r\na=ssrc:1234 cname:a2001:db8:dead\r\n"
	                     "a=ssrc:77 cname:f3Q9\r\na=altc:1 IP6 2001:db8:dead::1 4000\r\na=curr:qos local none\r\na=acap:1 x\r\n"
	                     "a=X-nat:0 10.11.12.13\r\na=direction:active\r\na=mid:one\r\na=label:7\r\na=rtcp-fb:* nack\r\n"
	                     "a=source-filter: incl IN IP4 * 10.11.12.13\r\na=ptime:20\r\n");

	(void)state;
	start(&w);
	assert_int_equal(media_remote_offer(w.mc, A, offer), 0);
	assert_int_equal(local(&w, B, true), 0);
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		if (strcmp(secrets[i], "secret") == 0)
			continue; /* stands in the fmtp, which passes byte by byte */
		if (strlen(secrets[i]) == 2 ? lines(w.text[B], secrets[i]) != 0 : strstr(w.text[B], secrets[i]) != NULL) {
			print_message("leaks %s:\n%s", secrets[i], w.text[B]);
			fail();
		}
	}
	assert_line(w.text[B], "a=fmtp:101 0-15,secretless");
	assert_line(w.text[B], "a=mid:one");
	assert_line(w.text[B], "a=label:7");
	assert_line(w.text[B], "a=rtcp-fb:* nack");
	assert_line(w.text[B], "a=ssrc:77 cname:f3Q9");
	assert_line(w.text[B], "a=ptime:20");
	assert_line(w.text[B], "b=AS:80");
	assert_line(w.text[B], "b=TIAS:64000");
	assert_int_equal(lines(w.text[B], "b="), 2);
	assert_line(w.text[B], "t=0 0");
	/* and the same the other way, in the answer */
	assert_int_equal(media_remote_answer(w.mc, B, offer), 0);
	assert_int_equal(local(&w, A, false), 0);
	for (size_t i = 1; i < ARRAY_LEN(secrets); i++)
		/* that A's reports share a port is our answer to its offer */
		assert_true(strcmp(secrets[i], "rtcp-mux") == 0 ||
		            (strlen(secrets[i]) == 2 ? lines(w.text[A], secrets[i]) == 0
		                                     : strstr(w.text[A], secrets[i]) == NULL));
	media_rollback(w.mc);
	world_fini(&w);
}

/* --- codecs of the trunks (MDI-01) --- */

static void test_codec_lists(void **state)
{
	static const struct {
		const char *a, *b, *offered, *expect;
	} t[] = {
		{"", "", "0 8 18 9", "0 8 18 9"},
		{"", "PCMA PCMU", "0 8 18 9", "8 0"},
		{"PCMU", "PCMA PCMU", "0 8 18 9", "0"},
		{"", "g722, pcma/8000", "0 8 18 9", "9 8"},
		{"", "G729A PCMU", "0 8 18 9", "18 0"},
		{"", "PCMU telephone-event", "0 8 101", "0 101"},
		{"", "telephone-event PCMU", "0 8 101", "101 0"},
		{"", "PCMA PCMU", "0 101", "0"},
		{"", "iLBC", "0 8", NULL},
		{"iLBC", "", "0 8", NULL},
		{"", "telephone-event", "0 101", NULL},
		{"PCMA", "PCMU", "0 8", NULL},
	};
	char text[512], line[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct world w;
		enum reason r;

		world_init(&w);
		w.side[A].codecs = str_z(t[i].a);
		w.side[B].codecs = str_z(t[i].b);
		world_open(&w);
		snprintf(text, sizeof(text), "m=audio 4000 RTP/AVP %s\r\na=rtpmap:101 telephone-event/8000\r\n", t[i].offered);
		r = media_remote_offer(w.mc, A, SDP(HA, text));
		if (!r)
			r = local(&w, B, true);
		assert_int_equal(r, t[i].expect ? REASON_NONE : REASON_NO_COMMON_CODEC);
		if (t[i].expect) {
			snprintf(line, sizeof(line), "m=audio 20002 RTP/AVP %s", t[i].expect);
			assert_line(w.text[B], line);
		}
		media_rollback(w.mc);
		assert_int_equal(media_pairs_in_use(w.m), 0);
		world_fini(&w);
	}
}

/* the answer's order is the answerer's; formats it adds do not pass; its fmtp does */
static void test_answer_formats(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVP 0 8 18 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"),
	    SDP(HB, "m=audio 6000 RTP/AVP 18 3 0 101\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-11,16\r\na=ptime:30\r\n"));
	assert_line(w.text[A], "m=audio 20000 RTP/AVP 18 0 101");
	assert_line(w.text[A], "a=fmtp:18 annexb=no");
	assert_line(w.text[A], "a=fmtp:101 0-11,16");
	assert_line(w.text[A], "a=ptime:30");
	assert_int_equal(program(&w, A, 0)->pt_map[8], RELAY_PT_DROP);
	media_commit(w.mc);
	world_fini(&w);
	/* only events left: no call (SDP-07) */
	start(&w);
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AUDIO)), 0);
	assert_int_equal(local(&w, B, true), 0);
	assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, "m=audio 6000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n")), REASON_NO_COMMON_CODEC);
	assert_int_equal(media_state(w.mc), MEDIA_OFFER_SENT);
	assert_null(program(&w, A, 0));
	media_rollback(w.mc);
	world_fini(&w);
}

/* --- profiles, fax (SDP-13, MDI-06's media part) --- */

static void test_profiles(void **state)
{
	static const struct {
		const char *m;
		enum reason reason;
	} t[] = {
		{"m=audio 4000 RTP/AVP 8\r\n", REASON_NONE},
		{"m=audio 4000 RTP/AVPF 8\r\n", REASON_NONE},
		{"m=audio 4000 rtp/avp 8\r\n", REASON_NONE},
		{"m=audio 4000 RTP/SAVP 8\r\n", REASON_SRTP_OFF},
		{"m=audio 4000 RTP/SAVPF 8\r\n", REASON_SRTP_OFF},
		{"m=audio 4000 UDP/TLS/RTP/SAVPF 8\r\n", REASON_SRTP_OFF},
		{"m=message 4000 TCP/MSRP *\r\n", REASON_MEDIA_TCP},
		{"m=message 4000 TCP/TLS/MSRP *\r\na=setup:actpass\r\n", REASON_MEDIA_TCP},
		{"m=application 4000 TCP/BFCP *\r\na=setup:active\r\n", REASON_MEDIA_TCP},
		{"m=application 4000 UDP/BFCP *\r\n", REASON_MEDIA_REFUSED},
		{"m=image 4000 udptl t38\r\n", REASON_NONE},
		{"m=image 4000 UDPTL t38\r\n", REASON_NONE},
		{"m=image 4000 TCP t38\r\n", REASON_MEDIA_TCP},
		{"m=audio 4000 RTP/AVP 77\r\n", REASON_NO_COMMON_CODEC},
		{"m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n", REASON_NO_COMMON_CODEC},
		{"m=audio 4000 RTP/AVP\r\n", REASON_NO_COMMON_CODEC},
		{"m=audio 4000 RTP/AVP 8\r\nc=IN IP4 224.2.1.1/127\r\n", REASON_MEDIA_ADDRESS},
		{"m=audio 4000 RTP/AVP 8\r\nc=IN IP4 255.255.255.255\r\n", REASON_MEDIA_ADDRESS},
		{"m=audio 4000 RTP/AVP 8\r\nc=IN IP4 pbx.example.com\r\n", REASON_MEDIA_ADDRESS},
		{"m=audio 4000 RTP/AVP 8\r\nc=IN IP4 999.1.1.1\r\n", REASON_MEDIA_ADDRESS},
		{"m=audio 4000 RTP/AVP 8\r\nc=IN IP4 127.0.0.1\r\n", REASON_MEDIA_ADDRESS}, /* us, from afar */
		{"m=audio 4000 RTP/AVP 8\r\nc=ATM NSAP 47\r\n", REASON_MEDIA_ADDRESS},
		{"m=audio 0 RTP/AVP 8\r\n", REASON_NONE},
		{"", REASON_NONE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct world w;

		start(&w);
		assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, t[i].m)), t[i].reason);
		assert_int_equal(media_state(w.mc), t[i].reason ? MEDIA_IDLE : MEDIA_OFFERED);
		if (t[i].reason)
			assert_int_equal(media_pairs_in_use(w.m), 0);
		media_rollback(w.mc);
		world_fini(&w);
	}
}

static void test_fax(void **state)
{
	struct world w;
	static const char *const t38 =
	    "m=audio 0 RTP/AVP 8\r\nm=image 7000 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n"
	    "a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxBuffer:1024\r\na=T38FaxMaxDatagram:238\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n";

	(void)state;
	talk(&w);
	/* refused by A: the audio goes on */
	assert_int_equal(media_remote_offer(w.mc, B, SDP(HB, t38)), 0);
	assert_int_equal(local(&w, A, true), 0);
	media_rollback(w.mc);
	assert_true(program(&w, A, 0)->rtp_on);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	/* taken */
	exchange(&w, B, SDP(HB, t38), SDP(HA, t38));
	assert_line(w.text[A], "a=T38FaxUdpEC:t38UDPRedundancy");
	assert_line(w.text[A], "a=T38FaxMaxDatagram:238");
	assert_int_equal(lines(w.text[A], "a=T38"), 6);
	assert_int_equal(lines(w.text[B], "a=T38"), 6);
	assert_true(program(&w, A, 1)->raw);
	media_commit(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	/* and back to audio */
	exchange(&w, A, SDP(HA, "m=audio 4000 RTP/AVP 8\r\nm=image 0 udptl t38\r\n"), SDP(HB, "m=audio 6000 RTP/AVP 8\r\nm=image 0 udptl t38\r\n"));
	media_commit(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 2);
	assert_true(program(&w, A, 0)->rtp_on);
	assert_false(program(&w, A, 0)->raw);
	world_fini(&w);
}

/* Behind NAT a realm shows an address that is not its own: in o=, c= and nowhere the real one. */
static void test_advertised(void **state)
{
	enum reason why;
	struct world w;
	struct addr shown;

	(void)state;
	world_init(&w);
	media_call_free(w.mc);
	media_free(w.m);
	w.realms[1].advertise4 = ip("192.0.2.200");
	w.m = media_new(&w.env, &w.cfg, &why);
	assert_non_null(w.m);
	w.mc = media_call_new(w.m, S("c2"));
	world_open(&w);
	exchange(&w, A, SDP(HA, AU), SDP(HB, "m=audio 6000 RTP/AVP 8\r\n"));
	assert_line(w.text[B], "c=IN IP4 192.0.2.200");
	assert_non_null(strstr(w.text[B], " IN IP4 192.0.2.200\r\ns="));
	assert_null(strstr(w.text[B], "198.51.100.1"));
	assert_line(w.text[A], "c=IN IP4 203.0.113.1");
	assert_true(media_shown(w.m, 1, AF_INET, &shown) && addr_eq_ip(&shown, &w.realms[1].advertise4));
	media_commit(w.mc);
	world_fini(&w);
}

/* What a side wants of T.38: refused where it is offered, refused or left out where it would be. */
static void test_fax_wanted(void **state)
{
	static const char *const both = "m=audio 4000 RTP/AVP 8\r\nm=image 4020 udptl t38\r\n", *const alone = "m=image 4020 udptl t38\r\n";
	static const struct {
		enum media_fax fax[2];
		enum reason first, later; /* of T.38 alone that A offers */
		bool beside;              /* passes beside audio in the first offer */
	} t[] = {
		{{MEDIA_FAX_PASS, MEDIA_FAX_PASS}, 0, 0, true},
		{{MEDIA_FAX_REFUSE, MEDIA_FAX_PASS}, REASON_FAX_REFUSED, REASON_FAX_REFUSED, false},
		{{MEDIA_FAX_PASS, MEDIA_FAX_REFUSE}, REASON_FAX_REFUSED, REASON_FAX_REFUSED, false},
		{{MEDIA_FAX_AUDIO_FIRST, MEDIA_FAX_PASS}, REASON_FAX_AUDIO_FIRST, 0, false},
		{{MEDIA_FAX_PASS, MEDIA_FAX_AUDIO_FIRST}, REASON_FAX_AUDIO_FIRST, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct world w;
		enum reason r;

		world_init(&w);
		w.side[A].fax = t[i].fax[A];
		w.side[B].fax = t[i].fax[B];
		world_open(&w);
		r = media_remote_offer(w.mc, A, SDP(HA, alone));
		if (!r)
			r = local(&w, B, true);
		assert_int_equal(r, t[i].first);
		media_rollback(w.mc);
		assert_int_equal(media_pairs_in_use(w.m), 0);
		assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, both)), 0);
		assert_int_equal(local(&w, B, true), 0);
		assert_int_equal(lines(w.text[B], "m=image"), t[i].beside);
		assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, t[i].beside ? both : "m=audio 6000 RTP/AVP 8\r\n")), 0);
		assert_int_equal(local(&w, A, false), 0);
		if (!t[i].beside)
			assert_line(w.text[A], "m=image 0 udptl t38");
		media_commit(w.mc);
		r = media_remote_offer(w.mc, A, SDP(HA, "m=audio 0 RTP/AVP 8\r\nm=image 4020 udptl t38\r\n"));
		if (!r)
			r = local(&w, B, true);
		assert_int_equal(r, t[i].later);
		world_fini(&w);
	}
}

/* --- refusals leave everything as it was --- */

static void test_refusals(void **state)
{
	struct world w;
	struct relay_program before;
	char small[64];
	struct buf b;
	char *many;
	size_t n = 0;

	(void)state;
	talk(&w);
	before = *program(&w, A, 0);
	assert_int_equal(media_remote_offer(w.mc, A, S("")), REASON_SDP_MALFORMED);
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, "m=audio 4000 RTP/SAVP 8\r\n")), REASON_SRTP_OFF);
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, "m=audio 4000 RTP/AVP 8\r\nfoo\r\n")), REASON_SDP_MALFORMED);
	many = malloc(70000);
	assert_non_null(many);
	n = (size_t)snprintf(many, 70000, "v=0\r\nc=IN IP4 192.0.2.1\r\n");
	for (unsigned i = 0; i < 17; i++)
		n += (size_t)snprintf(many + n, 70000 - n, "m=audio 4000 RTP/AVP 8\r\n");
	assert_int_equal(media_remote_offer(w.mc, A, str_n(many, n)), REASON_TOO_MANY_STREAMS);
	memset(many, 'a', 70000);
	assert_int_equal(media_remote_offer(w.mc, A, str_n(many, 65537)), REASON_SDP_TOO_LARGE);
	free(many);
	/* no port left for the second stream */
	w.m->relay->pairs_left = 2;
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AU V)), REASON_PORTS_EXHAUSTED);
	w.m->relay->pairs_left = 3;
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AU V)), REASON_NONE);
	assert_int_equal(local(&w, B, true), REASON_PORTS_EXHAUSTED);
	assert_int_equal(media_state(w.mc), MEDIA_OFFERED);
	assert_int_equal(media_pairs_in_use(w.m), 3);
	/* a buffer that is too small */
	w.m->relay->pairs_left = 9;
	buf_init(&b, small, sizeof(small));
	assert_int_equal(media_local_offer(w.mc, B, &b), REASON_SDP_TOO_LARGE);
	assert_int_equal(media_pairs_in_use(w.m), 3);
	assert_int_equal(local(&w, B, true), REASON_NONE);
	assert_int_equal(media_pairs_in_use(w.m), 4);
	/* two exchanges at once */
	assert_int_equal(media_remote_offer(w.mc, B, SDP(HB, AU)), REASON_GLARE);
	assert_int_equal(media_reoffer(w.mc, B, &b), REASON_GLARE);
	assert_int_equal(local(&w, A, false), REASON_ANSWER_MISSING);
	/* the relay has no memory for the second program: the first one is taken back */
	for (int i = 0; i < 4; i++) {
		w.m->relay->fail_program = i;
		assert_int_equal(media_remote_answer(w.mc, B, SDP("192.0.2.90", AU V)), REASON_NO_MEMORY);
		w.m->relay->fail_program = -1;
		assert_memory_equal(&before, program(&w, A, 0), sizeof(before));
		assert_int_equal(media_state(w.mc), MEDIA_OFFER_SENT);
	}
	media_rollback(w.mc);
	assert_memory_equal(&before, program(&w, A, 0), sizeof(before));
	assert_int_equal(media_pairs_in_use(w.m), 2);
	world_fini(&w);
}

/* --- looking --- */

static void test_silence_and_info(void **state)
{
	struct world w;
	struct media_stream_info info;
	struct media_stats stats;
	struct relay_pair *pa;
	struct media_port_use use;

	(void)state;
	talk(&w);
	pa = media_view(w.mc)->streams[0].pair[A];
	assert_int_equal(media_silent_us(w.mc, A), 0);
	w.clock.mono_us += 5000000;
	assert_int_equal(media_silent_us(w.mc, A), 5000000); /* since the answer */
	pa->stats.last_rx_us = w.clock.mono_us - 20000;
	assert_int_equal(media_silent_us(w.mc, A), 20000);
	assert_int_equal(media_silent_us(w.mc, B), 5000000);
	assert_true(media_stream(w.mc, A, 0, &info, &stats));
	assert_string_equal(info.kind, "audio");
	assert_string_equal(info.codec, "PCMA/8000");
	assert_int_equal(info.pt, 8);
	assert_int_equal(addr_port(&stats.remote), 4000);
	assert_int_equal(addr_port(&stats.local), 20000);
	assert_false(media_stream(w.mc, A, 1, &info, &stats));
	assert_true(media_port_use(w.m, 0, &use));
	assert_false(media_port_use(w.m, 2, &use));
	/* held by A: nobody is expected to send to it; A may play music */
	w.clock.mono_us += 1000000;
	exchange(&w, A, SDP(HA, AU "a=sendonly\r\n"), SDP(HB, AU "a=recvonly\r\n"));
	media_commit(w.mc);
	assert_int_equal(media_silent_us(w.mc, B), 0);
	assert_int_equal(media_silent_us(w.mc, A), 1020000);
	/* resumed: the count starts anew */
	w.clock.mono_us += 100000000;
	exchange(&w, A, SDP(HA, AU), SDP(HB, AU));
	media_commit(w.mc);
	w.clock.mono_us += 70;
	assert_int_equal(media_silent_us(w.mc, B), 70);
	w.mc->side[B].timeout_s = 0;
	assert_int_equal(media_silent_us(w.mc, B), 0);
	world_fini(&w);
}

static void test_memory(void **state)
{
	struct world w;

	(void)state;
	talk(&w);
	print_message("idle call of one audio stream: %zu bytes\n", media_call_bytes(w.mc));
	assert_true(media_call_bytes(w.mc) <= 2048);
	assert_int_equal(w.m->exchanges.live_bytes, 0);
	/* a hundred holds later it is no more */
	for (unsigned i = 0; i < 100; i++) {
		exchange(&w, i & 1, SDP(i & 1 ? HB : HA, i & 2 ? AUDIO "a=sendonly\r\n" : AUDIO), SDP(i & 1 ? HA : HB, AUDIO));
		media_commit(w.mc);
		assert_true(media_call_bytes(w.mc) <= 2048);
	}
	world_fini(&w);
}

/* as a far end that rings for ever and changes its mind with each 183 */
static void test_many_answers_bounded(void **state)
{
	struct world w;
	size_t high = 0;
	char text[128];

	(void)state;
	start(&w);
	assert_int_equal(media_remote_offer(w.mc, A, SDP(HA, AUDIO)), 0);
	assert_int_equal(local(&w, B, true), 0);
	for (unsigned i = 0; i < 200; i++) {
		size_t now;

		snprintf(text, sizeof(text), "m=audio %u RTP/AVP %u\r\n", 6000 + 2 * i, i & 1 ? 8u : 0u);
		assert_int_equal(media_remote_answer(w.mc, B, SDP(HB, text)), 0);
		assert_int_equal(local(&w, A, false), 0);
		now = w.m->exchanges.live_bytes + w.m->view_bytes;
		if (i == 4)
			high = now;
		if (i > 4)
			assert_true(now <= high + 256);
	}
	media_commit(w.mc);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_call),
		cmocka_unit_test(test_direction_product),
		cmocka_unit_test(test_direction_algebra),
		cmocka_unit_test(test_hold_by_port_0),
		cmocka_unit_test(test_pt_matrix),
		cmocka_unit_test(test_pt_crossed),
		cmocka_unit_test(test_event_clocks),
		cmocka_unit_test(test_pt_never_reused),
		cmocka_unit_test(test_answer_mirrors_offer),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_three_streams),
		cmocka_unit_test(test_fresh_side),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_forked_answers),
		cmocka_unit_test(test_bad_second_answer),
		cmocka_unit_test(test_late_offer),
		cmocka_unit_test(test_refused_offer),
		cmocka_unit_test(test_refused_offer_in_a_call),
		cmocka_unit_test(test_rollback),
		cmocka_unit_test(test_commit_without_answer),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_replaced_side),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_rtcp_address),
		cmocka_unit_test(test_address_moves),
		cmocka_unit_test(test_latch_choice),
		cmocka_unit_test(test_nothing_leaks),
		cmocka_unit_test(test_codec_lists),
		cmocka_unit_test(test_answer_formats),
		cmocka_unit_test(test_profiles),
		cmocka_unit_test(test_fax),
		cmocka_unit_test(test_advertised),
		cmocka_unit_test(test_fax_wanted),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_silence_and_info),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_many_answers_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
