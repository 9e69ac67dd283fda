/* Verdicts: one line of counters, one sentence. */
#include "world.h"

#define SEC 1000000

static void test_table(void **state)
{
	static const struct {
		const char *words;
		bool bad;
		bool active;
		int64_t on_us, now_us;
		struct media_stats st;
	} t[] = {
		{"no stream", false, false, SEC, 9 * SEC, {0}},
		{"held", false, true, 0, 9 * SEC, {0}},
		{"waiting: nothing came yet", false, true, SEC, 3 * SEC, {0}},
		{"silent: nothing ever came", true, true, SEC, 9 * SEC, {0}},
		{"silent: only RTCP comes", true, true, SEC, 9 * SEC, {.rtcp_rx = 3, .last_rx_us = 8 * SEC}},
		{"packets come from an address that is not in the SDP (dropped)", true, true, SEC, 2 * SEC,
		    {.drops = {[RELAY_DROP_SOURCE] = 5, [RELAY_DROP_PT] = 9}}},
		{"packets carry a payload type that was not negotiated (dropped)", true, true, SEC, 2 * SEC,
		    {.drops = {[RELAY_DROP_PT] = 9, [RELAY_DROP_NOT_RTP] = 1}}},
		{"what comes is not RTP (STUN, DTLS or encrypted media; dropped)", true, true, SEC, 2 * SEC,
		    {.drops = {[RELAY_DROP_NOT_RTP] = 9}}},
		{"packets are damaged (dropped)", true, true, SEC, 2 * SEC, {.drops = {[RELAY_DROP_SHORT] = 9}}},
		{"packets come, but the other side has no address yet (dropped)", true, true, SEC, 2 * SEC,
		    {.drops = {[RELAY_DROP_NO_DEST] = 9}}},
		{"packets come, but the system refuses to send them on", true, true, SEC, 2 * SEC,
		    {.drops = {[RELAY_DROP_SEND] = 9}}},
		{"ok", false, true, SEC, 9 * SEC, {.rx_packets = 400, .last_rx_us = 9 * SEC}},
		/* what a stranger sent beside does not spoil it */
		{"ok", false, true, SEC, 9 * SEC,
		    {.rx_packets = 400, .last_rx_us = 9 * SEC, .drops = {[RELAY_DROP_SOURCE] = 10}}},
		{"ok, far end is behind NAT (source learnt)", false, true, SEC, 9 * SEC,
		    {.rx_packets = 400, .last_rx_us = 9 * SEC, .latched = true}},
		{"stopped: no packet for more than 5 s", true, true, SEC, 99 * SEC,
		    {.rx_packets = 400, .last_rx_us = 9 * SEC}},
		{"stopped: packets now come from another address (dropped)", true, true, SEC, 99 * SEC,
		    {.rx_packets = 400, .last_rx_us = 9 * SEC, .drops = {[RELAY_DROP_SOURCE] = 10}}},
		/* just resumed: the last packet may be old */
		{"ok", false, true, 98 * SEC, 99 * SEC, {.rx_packets = 400, .last_rx_us = 9 * SEC}},
		{"the system refuses to send packets on", true, true, SEC, 9 * SEC,
		    {.rx_packets = 100, .last_rx_us = 9 * SEC, .drops = {[RELAY_DROP_SEND] = 6}}},
		{"most packets are dropped (wrong source or payload type)", true, true, SEC, 9 * SEC,
		    {.rx_packets = 100, .last_rx_us = 9 * SEC, .drops = {[RELAY_DROP_PT] = 101}}},
		{"more than 5 % of the packets are lost on the way here", true, true, SEC, 9 * SEC,
		    {.rx_packets = 100, .last_rx_us = 9 * SEC, .lost = 6}},
		{"ok", false, true, SEC, 9 * SEC, {.rx_packets = 100, .last_rx_us = 9 * SEC, .lost = 5}},
		{"ok", false, true, SEC, 9 * SEC, {.rx_packets = 100, .last_rx_us = 9 * SEC, .lost = -5}}, /* doubled */
		{"packets come unevenly (jitter above 60 ms)", true, true, SEC, 9 * SEC,
		    {.rx_packets = 100, .last_rx_us = 9 * SEC, .jitter_us = 60001}},
		{"the far end misses more than 5 % of what is sent to it", true, true, SEC, 9 * SEC,
		    {.rx_packets = 100, .last_rx_us = 9 * SEC, .far_lost = 14}},
		{"ok", false, true, SEC, 9 * SEC, {.rx_packets = 100, .last_rx_us = 9 * SEC, .far_lost = 13}},
		{"ok", false, true, SEC, 9 * SEC, {.rx_packets = 100, .last_rx_us = 9 * SEC, .far_lost = -1}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		bool bad = !t[i].bad;

		assert_string_equal(media_verdict_of(&t[i].st, t[i].active, t[i].on_us, t[i].now_us, &bad), t[i].words);
		assert_int_equal(bad, t[i].bad);
	}
}

static void test_through_the_session(void **state)
{
	struct world w;
	struct relay_pair *pa;
	bool bad;

	(void)state;
	world_init(&w);
	world_open(&w);
	assert_string_equal(media_verdict(w.mc, A, 0, &bad), "no such stream");
	exchange(&w, A, SDP("192.0.2.11", "m=audio 4000 RTP/AVP 8\r\n"), SDP("192.0.2.21", "m=audio 6000 RTP/AVP 8\r\na=recvonly\r\n"));
	media_commit(w.mc);
	pa = media_view(w.mc)->streams[0].pair[A];
	assert_string_equal(media_verdict(w.mc, B, 0, &bad), "held");
	assert_false(bad);
	assert_string_equal(media_verdict(w.mc, A, 0, &bad), "waiting: nothing came yet");
	w.clock.mono_us += 4 * SEC;
	assert_string_equal(media_verdict(w.mc, A, 0, &bad), "silent: nothing ever came");
	assert_true(bad);
	pa->stats.drops[RELAY_DROP_SOURCE] = 1;
	assert_string_equal(media_verdict(w.mc, A, 0, &bad),
	    "packets come from an address that is not in the SDP (dropped)");
	pa->stats.rx_packets = 50;
	pa->stats.last_rx_us = w.clock.mono_us;
	assert_string_equal(media_verdict(w.mc, A, 0, &bad), "ok");
	assert_false(bad);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_through_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
