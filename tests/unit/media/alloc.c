/* Each allocation of a whole call is made to fail once: the step says NO_MEMORY, nothing has changed, the step works
 * when it is tried again, and at the end nothing is left. */
#include <stdlib.h>

#include "sbc/base/arena.h" /* before malloc is another word */

static int alloc_left = -1; /* counts down; the call at 0 fails; -1: none fails */

static void *failing_malloc(size_t n)
{
	return alloc_left >= 0 && alloc_left-- == 0 ? NULL : malloc(n);
}

static void *failing_calloc(size_t n, size_t size)
{
	return alloc_left >= 0 && alloc_left-- == 0 ? NULL : calloc(n, size);
}

#define malloc failing_malloc
#define calloc failing_calloc
#include "sbc/base/arena.c"
#include "sbc/base/block.c"
#include "sbc/base/str.c"
#include "media/desc.c"
#include "media/room.c"
#include "media/session.c"
#include "world.h"
#undef malloc
#undef calloc

static unsigned retries;

/* runs a step; when it fails for want of memory, checks that it changed nothing and runs it again */
#define STEP(w, expr) \
	do { \
		unsigned pairs = media_pairs_in_use((w)->m); \
		enum media_state was = media_state((w)->mc); \
		size_t kept = (w)->m->view_bytes; \
		enum reason r = (expr); \
		if (r == REASON_NO_MEMORY) { \
			assert_int_equal(media_pairs_in_use((w)->m), pairs); \
			assert_int_equal(media_state((w)->mc), was); \
			assert_int_equal((w)->m->view_bytes, kept); \
			retries++; \
			r = (expr); \
		} \
		assert_int_equal(r, REASON_NONE); \
	} while (0)

static void whole_call(int fail_at)
{
	struct world w;
	enum reason why = REASON_NONE;
	struct str offer = SDP("192.0.2.11", "m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
	                                     "m=video 4010 RTP/AVP 97 98\r\nb=AS:500\r\na=rtpmap:97 H264/90000\r\na=rtpmap:98 rtx/90000\r\n"
	                                     "a=fmtp:98 apt=97\r\na=rtcp-fb:97 nack\r\n");
	struct str answer = SDP("192.0.2.21", "m=audio 6000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n"
	                                      "m=video 6010 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n");
	struct str hold = SDP("192.0.2.21", "m=audio 6000 RTP/AVP 8\r\na=sendonly\r\nm=video 0 RTP/AVP 99\r\nm=audio 6020 RTP/AVP 0\r\n");

	world_init(&w);
	media_call_free(w.mc);
	media_free(w.m);
	alloc_left = fail_at;
	w.m = media_new(&w.env, &w.cfg, &why);
	if (!w.m) {
		assert_int_equal(why, REASON_NO_MEMORY);
		retries++;
		w.m = media_new(&w.env, &w.cfg, &why);
	}
	w.mc = media_call_new(w.m, S("x"));
	if (!w.mc) {
		retries++;
		w.mc = media_call_new(w.m, S("x"));
	}
	STEP(&w, media_side_open(w.mc, A, &w.side[A]));
	STEP(&w, media_side_open(w.mc, B, &w.side[B]));
	STEP(&w, media_remote_offer(w.mc, A, offer));
	STEP(&w, local(&w, B, true));
	STEP(&w, media_remote_answer(w.mc, B, answer));
	STEP(&w, local(&w, A, false));
	STEP(&w, media_remote_answer(w.mc, B, SDP("192.0.2.31", "m=audio 7000 RTP/AVP 0\r\nm=video 0 RTP/AVP 99\r\n")));
	assert_true(media_needs_reoffer(w.mc, A));
	STEP(&w, media_remote_answer(w.mc, B, answer));
	assert_false(media_needs_reoffer(w.mc, A));
	media_commit(w.mc);
	assert_int_equal(media_pairs_in_use(w.m), 4);
	STEP(&w, media_remote_offer(w.mc, B, hold));
	STEP(&w, local(&w, A, true));
	assert_int_equal(lines(w.text[A], "m="), 3);
	STEP(&w, media_remote_answer(w.mc, A, SDP("192.0.2.11", "m=audio 4000 RTP/AVP 8\r\na=recvonly\r\nm=video 0 RTP/AVP 97\r\nm=audio 4020 RTP/AVP 0\r\n")));
	STEP(&w, local(&w, B, false));
	if (fail_at & 1)
		media_commit(w.mc);
	else
		media_rollback(w.mc); /* may leave the new programs for want of memory, never lose ports */
	assert_int_equal(media_pairs_in_use(w.m), 4);
	STEP(&w, reoffer(&w, A));
	assert_int_equal(lines(w.text[A], "m="), fail_at & 1 ? 3 : 2);
	STEP(&w, media_remote_answer(w.mc, A, SDP("192.0.2.11", "m=audio 4000 RTP/AVP 8\r\nm=video 0 RTP/AVP 97\r\n")));
	media_commit(w.mc);
	world_fini(&w);
}

static void test_each_allocation_fails_once(void **state)
{
	int n = 0;

	(void)state;
	for (;; n++) {
		whole_call(n);
		if (alloc_left >= 0)
			break; /* the whole call needed fewer */
	}
	alloc_left = -1;
	print_message("%d allocations, %u steps tried again\n", n, retries);
	assert_true(n > 50);
	assert_true(retries > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
