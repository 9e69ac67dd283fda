/* Verdicts: counters of a fault, one word; counters of a good call in all its moods, none that is bad. */
#include "world.h"

#include "media/verdict.h"

#define SEC 1000000

/* a good call of 100 s: answered after one, 20 ms packets both ways, reports */
static struct media_stats good(void)
{
	return (struct media_stats){.rx_packets = 4900, .tx_packets = 4900, .rtcp_rx = 19, .rtcp_tx = 19, .far_lost = 0,
	    .first_rx_us = 2 * SEC, .last_rx_us = 100 * SEC, .last_rtp_us = 100 * SEC, .last_payload = 160,
	    .far_sends_us = 98 * SEC, .round_trip_us = 20000, .gap_us = 40000, .jitter_us = 3000};
}

static const struct verdict_case usual = {.now_us = 100 * SEC, .up_us = 2 * SEC, .on_us = 1 * SEC, .active = true};

struct row {
	enum media_verdict in, out;
	void (*fault)(struct media_stats *st, struct verdict_case *c);
};
#define FAULT(name) static void name(struct media_stats *st, __attribute__((unused)) struct verdict_case *c)

FAULT(none) { (void)st; }
FAULT(no_stream) { (void)st; c->active = false; }
FAULT(held) { (void)st; c->on_us = 0; }
FAULT(nothing_yet) { *st = (struct media_stats){.far_lost = -1}; c->now_us = 4 * SEC; }
FAULT(nothing) { *st = (struct media_stats){.far_lost = -1}; }
FAULT(nothing_early) { nothing(st, c); c->up_us = 0; }
FAULT(nothing_just_answered) { nothing(st, c); c->up_us = 98 * SEC; }
FAULT(nothing_but_rtcp) { nothing(st, c); st->rtcp_rx = 3; st->last_rx_us = 98 * SEC; }
FAULT(nothing_but_reports_that_count) { nothing_but_rtcp(st, c); st->far_sends_us = 98 * SEC; }
FAULT(refused_source) { nothing(st, c); st->drops[RELAY_DROP_SOURCE] = 10; st->refused.source_us = 99 * SEC; }
FAULT(refused_type) { nothing(st, c); st->drops[RELAY_DROP_PT] = 900; st->refused.pt_us = 99 * SEC; }
FAULT(refused_source_and_type) { refused_type(st, c); st->drops[RELAY_DROP_SOURCE] = 10; st->refused.source_us = 1; }
FAULT(noise_of_the_internet) { nothing(st, c); st->drops[RELAY_DROP_SOURCE] = 9; st->refused.source_us = 99 * SEC; }
FAULT(refused_junk) { nothing(st, c); st->drops[RELAY_DROP_NOT_RTP] = 50; }
FAULT(refused_damaged) { nothing(st, c); st->drops[RELAY_DROP_SHORT] = 5; st->drops[RELAY_DROP_VERSION] = 5; }
FAULT(refused_key) { nothing(st, c); st->drops[RELAY_DROP_AUTH] = 500; }
FAULT(refused_worn_key) { nothing(st, c); st->drops[RELAY_DROP_CRYPT] = 500; }
FAULT(no_check) { nothing(st, c); st->ice = MEDIA_ICE_WAITS; }
FAULT(no_check_yet) { no_check(st, c); c->up_us = 98 * SEC; }
FAULT(other_checks) { no_check(st, c); st->drops[RELAY_DROP_STUN] = 5; }
FAULT(source_without_check) { refused_source(st, c); st->ice = MEDIA_ICE_UP; }
FAULT(no_handshake) { nothing(st, c); st->dtls = MEDIA_DTLS_WAITS; }
FAULT(no_handshake_yet) { no_handshake(st, c); c->up_us = 98 * SEC; }
FAULT(other_certificate) { nothing(st, c); st->dtls = MEDIA_DTLS_FAILED; st->dtls_why = REASON_DTLS_FINGERPRINT; }
FAULT(handshake_failed) { nothing(st, c); st->dtls = MEDIA_DTLS_FAILED; st->dtls_why = REASON_DTLS_TIMEOUT; }
FAULT(no_destination) { st->drops[RELAY_DROP_NO_DEST] = 4900; }
FAULT(stopped) { st->last_rtp_us = st->last_rx_us = 60 * SEC; st->far_sends_us = 58 * SEC; }
FAULT(stopped_without_reports) { stopped(st, c); st->far_sends_us = 0; st->rtcp_rx = 0; }
FAULT(stopped_while_early) { stopped(st, c); c->up_us = 0; }
FAULT(stopped_just_resumed) { stopped(st, c); c->on_us = 97 * SEC; }
FAULT(stopped_after_stranger) { stopped(st, c); st->drops[RELAY_DROP_SOURCE] = 50; st->refused.source_us = 30 * SEC; }
FAULT(fax_that_listens) { stopped_without_reports(st, c); c->by_turns = true; }
FAULT(fax_that_waits) { nothing(st, c); c->by_turns = true; c->up_us = 71 * SEC; }
FAULT(fax_that_is_dead) { nothing(st, c); c->by_turns = true; }
FAULT(moved) { stopped(st, c); st->drops[RELAY_DROP_SOURCE] = 50; st->refused.source_us = 99 * SEC; }
FAULT(other_codec) { stopped(st, c); st->drops[RELAY_DROP_PT] = 50; st->refused.pt_us = 99 * SEC; }
FAULT(lost_on_way) { stopped(st, c); st->last_rx_us = st->far_sends_us = 98 * SEC; }
FAULT(muted) { stopped(st, c); st->last_rx_us = 98 * SEC; st->far_sends_us = 63 * SEC; }
FAULT(muted_and_gone) { muted(st, c); st->last_rx_us = 79 * SEC; }
FAULT(comfort_noise) { stopped_without_reports(st, c); st->last_payload = 1; }
FAULT(comfort_noise_and_gone) { comfort_noise(st, c); st->last_rtp_us = 39 * SEC; }
FAULT(unreadable) { st->unreadable_us = 90 * SEC; }
FAULT(unreadable_for_a_moment) { st->unreadable_us = 99 * SEC + 500000; }
FAULT(mostly_unreadable) { st->drops[RELAY_DROP_AUTH] = 4901; }
FAULT(two_senders) { st->drops[RELAY_DROP_SOURCE] = 4000; st->drops[RELAY_DROP_PT] = 1000; }
FAULT(mostly_other_codec) { st->drops[RELAY_DROP_PT] = 5000; }
FAULT(stranger_beside) { st->drops[RELAY_DROP_SOURCE] = 4000; }
FAULT(unsendable) { st->drops[RELAY_DROP_SEND] = 246; }
FAULT(lossy) { st->lost = 259; }
FAULT(little_loss) { st->lost = 250; }
FAULT(doubled) { st->lost = -500; }
FAULT(jittery) { st->jitter_us = 60001; }
FAULT(drifting) { st->drift_ppm = -900; }
FAULT(nat) { st->latched = true; }
FAULT(roc_restarted) { st->rx_guess = CRYPT_GUESS_RESTARTED; }
FAULT(roc_kept) { st->rx_guess = CRYPT_GUESS_KEPT; }
FAULT(roc_ahead) { st->rx_guess = CRYPT_GUESS_AHEAD; }
FAULT(icmp) { st->unreachable.since_us = 97 * SEC; st->unreachable.last_us = 100 * SEC; }
FAULT(icmp_at_the_end) { st->unreachable.since_us = 99 * SEC; st->unreachable.last_us = 100 * SEC; }
FAULT(icmp_long_ago) { st->unreachable.since_us = 3 * SEC; st->unreachable.last_us = 9 * SEC; }
FAULT(deaf) { st->deaf_reports = 3; st->deaf_us = 90 * SEC; }
FAULT(two_reports_late) { st->deaf_reports = 2; st->deaf_us = 95 * SEC; }
FAULT(far_loss) { st->far_lost = 14; }
FAULT(little_far_loss) { st->far_lost = 13; }
FAULT(no_reports) { st->far_lost = -1; st->rtcp_rx = 0; st->far_sends_us = 0; }

#define V(x) MEDIA_VERDICT_##x
static const struct row rows[] = {
	{V(OK), V(OK), none},
	{V(NO_STREAM), V(NO_STREAM), no_stream},
	{V(HELD), V(HELD), held},
	{V(WAITING), V(NOTHING_SENT), nothing_yet},
	{V(EARLY), V(NOTHING_SENT), nothing_early},
	{V(WAITING), V(NOTHING_SENT), nothing_just_answered},
	{V(SILENT), V(NOTHING_SENT), nothing},
	{V(SILENT_RTCP), V(NOTHING_SENT), nothing_but_rtcp},
	{V(LOST_ON_WAY), V(NOTHING_SENT), nothing_but_reports_that_count},
	{V(SOURCE), V(NOTHING_SENT), refused_source},
	{V(CODEC), V(NOTHING_SENT), refused_type},
	{V(SOURCE), V(NOTHING_SENT), refused_source_and_type},
	{V(SILENT), V(NOTHING_SENT), noise_of_the_internet},
	{V(NOT_RTP), V(NOTHING_SENT), refused_junk},
	{V(DAMAGED), V(NOTHING_SENT), refused_damaged},
	{V(UNREADABLE), V(NOTHING_SENT), refused_key},
	{V(KEY_UNUSABLE), V(NOTHING_SENT), refused_worn_key},
	{V(NO_DEST), V(OK), no_destination},
	{V(STOPPED), V(OK), stopped},
	{V(STOPPED), V(OK), stopped_without_reports},
	{V(OK), V(OK), stopped_while_early},
	{V(OK), V(OK), stopped_just_resumed},
	{V(STOPPED), V(OK), stopped_after_stranger},
	{V(OK), V(OK), fax_that_listens},
	{V(WAITING), V(NOTHING_SENT), fax_that_waits},
	{V(SILENT), V(NOTHING_SENT), fax_that_is_dead},
	{V(SOURCE_MOVED), V(OK), moved},
	{V(CODEC), V(OK), other_codec},
	{V(LOST_ON_WAY), V(OK), lost_on_way},
	{V(PAUSED), V(OK), muted},
	{V(STOPPED), V(OK), muted_and_gone},
	{V(QUIET), V(OK), comfort_noise},
	{V(STOPPED), V(OK), comfort_noise_and_gone},
	{V(UNREADABLE_NOW), V(OK), unreadable},
	{V(OK), V(OK), unreadable_for_a_moment},
	{V(UNREADABLE_MOST), V(OK), mostly_unreadable},
	{V(REFUSED_MOST), V(OK), two_senders},
	{V(ICE_SILENT), V(NOTHING_SENT), no_check},
	{V(WAITING), V(NOTHING_SENT), no_check_yet},
	{V(ICE_NAMES), V(NOTHING_SENT), other_checks},
	{V(ICE_SOURCE), V(NOTHING_SENT), source_without_check},
	{V(DTLS_WAITS), V(NOTHING_SENT), no_handshake},
	{V(WAITING), V(NOTHING_SENT), no_handshake_yet},
	{V(DTLS_CERTIFICATE), V(NOTHING_SENT), other_certificate},
	{V(DTLS_FAILED), V(NOTHING_SENT), handshake_failed},
	{V(CODEC), V(OK), mostly_other_codec},
	{V(OK), V(OK), stranger_beside},
	{V(SEND), V(OK), unsendable},
	{V(LOSS), V(OK), lossy},
	{V(OK), V(OK), little_loss},
	{V(OK), V(OK), doubled},
	{V(JITTER), V(OK), jittery},
	{V(DRIFT), V(OK), drifting},
	{V(OK_NAT), V(OK), nat},
	{V(OK_ROC_RESTARTED), V(OK), roc_restarted},
	{V(OK_ROC_KEPT), V(OK), roc_kept},
	{V(OK_ROC_AHEAD), V(OK), roc_ahead},
	{V(OK), V(UNREACHABLE), icmp},
	{V(OK), V(OK), icmp_at_the_end},
	{V(OK), V(OK), icmp_long_ago},
	{V(OK), V(DEAF), deaf},
	{V(OK), V(OK), two_reports_late},
	{V(OK), V(FAR_LOSS), far_loss},
	{V(OK), V(OK), little_far_loss},
	{V(OK), V(OK), no_reports},
};

static void each_fault_has_its_verdict(void **state)
{
	bool seen[MEDIA_VERDICTS] = {false};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct verdict_case c = usual;
		struct media_stats st = good();
		enum media_verdict in, out;
		int64_t since;
		uint16_t change;

		rows[i].fault(&st, &c);
		in = verdict_in(&st, &c, &since, &change);
		out = verdict_out(&st, &c, &since);
		if (in != rows[i].in || out != rows[i].out)
			fail_msg("row %zu: %s, %s", i, media_verdict_info(in)->word, media_verdict_info(out)->word);
		seen[in] = seen[out] = true;
	}
	for (unsigned v = 0; v < MEDIA_VERDICTS; v++)
		if (!seen[v])
			fail_msg("%s is given to nothing", media_verdict_info((enum media_verdict)v)->word);
}

/* What is bad has a remedy, what is not has none; texts go into JSON and onto a line as they are. */
static void words_are_fit_to_be_shown(void **state)
{
	(void)state;
	for (unsigned v = 0; v < MEDIA_VERDICTS; v++) {
		const struct media_verdict_info *i = media_verdict_info((enum media_verdict)v);

		assert_true(i->word[0] && i->text[0]);
		assert_true(i->bad == (i->remedy[0] != '\0'));
		assert_null(strpbrk(i->text, "\"\\\n"));
		assert_null(strpbrk(i->remedy, "\"\\\n"));
	}
}

static void bad_since_a_reinvite(void **state)
{
	static const struct {
		int64_t stopped_us, changed_us;
		uint16_t changes, want;
	} t[] = {
		{60 * SEC, 60 * SEC, 2, 2},
		{61 * SEC, 60 * SEC, 2, 2}, /* some packets were on their way */
		{59 * SEC, 60 * SEC, 3, 3}, /* it stopped to send when it asked */
		{80 * SEC, 60 * SEC, 2, 0}, /* went on for a while after it */
		{40 * SEC, 60 * SEC, 2, 0}, /* was so before */
		{60 * SEC, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct verdict_case c = usual;
		struct media_stats st = good();
		int64_t since;
		uint16_t change;

		stopped_without_reports(&st, &c);
		st.last_rtp_us = t[i].stopped_us;
		c.changed_us = t[i].changed_us;
		c.changes = t[i].changes;
		assert_int_equal(verdict_in(&st, &c, &since, &change), V(STOPPED));
		assert_int_equal(since, t[i].stopped_us);
		assert_int_equal(change, t[i].want);
	}
}

static struct media_judged judge(struct world *w, enum media_side s, struct media_stats *ret)
{
	struct media_stream_info info;
	struct media_judged j;

	assert_true(media_stream(w->mc, s, 0, &info, ret));
	media_judge(w->mc, s, 0, &info, ret, &j);
	return j;
}

static const char *in_words(struct world *w, enum media_side s, bool out)
{
	static char text[256];
	struct media_stats st;
	struct media_judged j = judge(w, s, &st);
	struct buf b;

	buf_init(&b, text, sizeof(text));
	if (out)
		media_put_out(&b, &j, &st);
	else
		media_put_in(&b, &j, &st);
	return buf_z(&b);
}

static void through_the_session(void **state)
{
	struct media_stats st;
	struct media_judged j;
	struct relay_pair *pa;
	struct world w;

	(void)state;
	world_init(&w);
	world_open(&w);
	exchange(&w, A, SDP("192.0.2.11", "m=audio 4000 RTP/AVP 8\r\n"), SDP("192.0.2.21", "m=audio 6000 RTP/AVP 8\r\na=recvonly\r\n"));
	w.clock.mono_us += 9 * SEC;
	assert_int_equal(judge(&w, A, &st).in, V(EARLY)); /* it rings for a while */
	media_commit(w.mc);
	pa = media_view(w.mc)->streams[0].pair[A];
	j = judge(&w, B, &st);
	assert_int_equal(j.in, V(HELD));
	assert_int_equal(j.out, V(NOTHING_SENT));
	assert_false(media_judged_bad(&j));
	j = judge(&w, A, &st);
	assert_int_equal(j.in, V(WAITING));
	assert_int_equal(j.out, V(HELD));
	w.clock.mono_us += 4 * SEC;
	assert_string_equal(in_words(&w, A, false), "silent: nothing ever came, for 4 s");
	j = judge(&w, A, &st);
	assert_true(media_judged_bad(&j));
	pa->stats.drops[RELAY_DROP_SOURCE] = 10;
	pa->stats.refused.source = ip("192.0.2.66");
	addr_set_port(&pa->stats.refused.source, 4002);
	pa->stats.refused.source_us = w.clock.mono_us;
	assert_string_equal(in_words(&w, A, false),
	    "packets come from an address that is not in the SDP (dropped), last from 192.0.2.66:4002");
	pa->stats.drops[RELAY_DROP_SOURCE] = 0;
	pa->stats.drops[RELAY_DROP_PT] = 10;
	pa->stats.refused.pt_us = w.clock.mono_us;
	pa->stats.refused.pt = 18;
	assert_string_equal(in_words(&w, A, false),
	    "packets carry a payload type that was not negotiated (dropped), last one 18 (G729)");
	pa->stats.rx_packets = 50;
	pa->stats.last_rtp_us = w.clock.mono_us;
	pa->stats.last_payload = 160;
	assert_string_equal(in_words(&w, A, false), "ok");
	pa->stats.drift_ppm = -812;
	assert_string_equal(in_words(&w, A, false),
	    "its clock is off: packets come faster or slower than their timestamps say, -812 ppm");
	pa->stats.drift_ppm = 0;
	/* a re-INVITE, and nothing comes any more; the other direction is opened by it */
	exchange(&w, B, SDP("192.0.2.21", "m=audio 6000 RTP/AVP 8\r\n"), SDP("192.0.2.11", "m=audio 4000 RTP/AVP 8\r\n"));
	media_commit(w.mc);
	w.clock.mono_us += 9 * SEC;
	assert_string_equal(in_words(&w, A, false), "stopped: no packet for more than 5 s, for 9 s, since re-INVITE 1 of the call");
	assert_string_equal(in_words(&w, B, false), "silent: nothing ever came, for 9 s, since re-INVITE 1 of the call");
	pa->stats.tx_packets = 1;
	pa->stats.unreachable.since_us = w.clock.mono_us - 5 * SEC;
	pa->stats.unreachable.last_us = w.clock.mono_us;
	assert_string_equal(in_words(&w, A, true),
	    "nobody takes what is sent to it (ICMP): nothing listens there, 192.0.2.11:4000, for 5 s");
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fault_has_its_verdict),
		cmocka_unit_test(words_are_fit_to_be_shown),
		cmocka_unit_test(bad_since_a_reinvite),
		cmocka_unit_test(through_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
