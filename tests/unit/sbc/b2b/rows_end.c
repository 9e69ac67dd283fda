/* rows_end.c - the end of calls from every state: peers that die at any point, the administrator, the end of the
 * daemon (pain 23; FOV-05, -06; DLG-05). What is asserted each time: one record, and no object left.
 */
#include "play.h"

static const struct {
	const struct play_step *steps;
	unsigned n;
	const char *name;
} scripts[] = {{play_call, ARRAY_LEN(play_call), "call"}, {play_late, ARRAY_LEN(play_late), "late"}};

static void one_record(struct rig *r, const char *name, unsigned at, const char *how)
{
	if (r->n_rec != 1)
		fail_msg("%s cut at %u, %s: %u records", name, at, how, r->n_rec);
	if (r->rec[0].reason == REASON_NONE)
		fail_msg("%s cut at %u, %s: no reason", name, at, how);
}

static void scripts_play_to_their_end(void **state)
{
	(void)state;
	/* otherwise the tests below would cut something that does not get far */
	for (size_t k = 0; k < ARRAY_LEN(scripts); k++) {
		struct rig *r = rig_new();
		struct play p = {.r = r, .call_id = "play"};

		play_steps(&p, scripts[k].steps, 0, scripts[k].n, "");
		one_record(r, scripts[k].name, scripts[k].n, "not at all");
		assert_int_equal(r->rec[0].status, 200);
		assert_int_equal(r->rec[0].reason, REASON_NORMAL);
		assert_int_equal(b2b_leg_count(r->b2b), 0);
		assert_int_equal(b2b_metric(r->b2b, B2B_REINVITES), k == 0 ? 5 : 3);
		rig_end(r);
	}
}

/* From step `at` on the dead say nothing more. What the living does goes on; then it falls silent too, and time and
 * media supervision must end what is left. */
static void peers_die_anywhere(void **state)
{
	static const char *const dead[] = {"a", "b", "ab"};
	unsigned points = 0;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(scripts); k++)
		for (unsigned at = 1; at < scripts[k].n; at++)
			for (size_t d = 0; d < ARRAY_LEN(dead); d++) {
				struct rig *r = rig_new();
				struct play p = {.r = r, .call_id = "die"};

				play_steps(&p, scripts[k].steps, 0, at, "");
				play_steps(&p, scripts[k].steps, at, scripts[k].n, dead[d]);
				rig_pass(r, 300000);
				one_record(r, scripts[k].name, at, dead[d]);
				rig_end(r);
				points++;
			}
	assert_in_range(points, 90, 1000);
}

/* the same, but the network says so at once */
static void transport_dies_anywhere(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(scripts); k++)
		for (unsigned at = 0; at < scripts[k].n; at++)
			for (int how = 0; how < 3; how++) {
				struct rig *r = rig_new();
				struct play p = {.r = r, .call_id = "net"};

				play_steps(&p, scripts[k].steps, 0, at, "");
				if (how == 2) {
					r->send_err = -ENETUNREACH;
				} else {
					r->fail_host = how ? "198.51.100.10" : "203.0.113.20";
					r->fail_err = -EHOSTUNREACH;
				}
				play_steps(&p, scripts[k].steps, at, scripts[k].n, "");
				rig_pass(r, 300000);
				one_record(r, scripts[k].name, at, "transport");
				rig_end(r);
			}
}

static void cleared_anywhere(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(scripts); k++)
		for (unsigned at = 1; at < scripts[k].n; at++)
			for (int how = 0; how < 3; how++) { /* ask, force, end of the daemon */
				struct rig *r = rig_new();
				struct play p = {.r = r, .call_id = "clear"};
				struct call *c;
				bool live;

				play_steps(&p, scripts[k].steps, 0, at, "");
				c = b2b_call_next(r->b2b, NULL);
				live = c && call_phase(c) != CALL_ENDING;
				if (how == 2) {
					b2b_shutdown(r->b2b);
				} else if (c) {
					call_clear(c, REASON_ADMIN_CLEARED, how == 1);
					if (how == 1)
						assert_int_equal(b2b_leg_count(r->b2b), 0);
				}
				assert_int_equal(media_call_count(r->media), 0);
				assert_int_equal(r->n_rec, 1);
				if (live)
					assert_int_equal(r->rec[0].reason, how == 2 ? REASON_SHUTDOWN : REASON_ADMIN_CLEARED);
				if (how == 1) {
					rig_pass(r, 2);
					assert_int_equal(b2b_call_count(r->b2b), 0);
				}
				/* the peers do not know yet and go on */
				play_steps(&p, scripts[k].steps, at, scripts[k].n, "");
				one_record(r, scripts[k].name, at, "cleared");
				rig_end(r);
			}
}

/* each state asked to end, then nobody answers anything: 64*T1 and it is gone */
static void clear_needs_no_answer(void **state)
{
	(void)state;
	for (unsigned at = 1; at < ARRAY_LEN(play_call); at++) {
		struct rig *r = rig_new();
		struct play p = {.r = r, .call_id = "clear2"};

		play_steps(&p, play_call, 0, at, "");
		if (b2b_call_next(r->b2b, NULL))
			call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, false);
		rig_pass(r, 65000); /* the longest: ACK of the 2xx awaited, then the BYE unanswered */
		assert_int_equal(b2b_call_count(r->b2b), 0);
		assert_int_equal(b2b_leg_count(r->b2b), 0);
		rig_end(r);
	}
}

static void cleared_says_so_on_both_legs(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	/* before the answer: a final answer and CANCEL, no BYE (DLG-05) */
	rig_invite(r, "fov-05", "", sdp_a);
	s = rig_tx(r, "INVITE ");
	rig_answer(r, s, "180 Ringing", "b", PLAY_CONTACT_B, NULL);
	rig_tx(r, "SIP/2.0 180");
	call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, false);
	s = rig_tx(r, "SIP/2.0 500");
	assert_non_null(strstr(rig_hdr(r, s, "Reason"), "PSN-E2119"));
	s = rig_tx(r, "CANCEL ");
	assert_non_null(strstr(rig_hdr(r, s, "Reason"), "PSN-E2119"));
	rig_quiet(r);
	rig_end(r);
}

/* A far end whose address is nobody's any more is let in while its call runs, and for its last answers. */
static void far_ends_that_nobody_knows(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "stray"), u2;
	struct net_path pbx = {.realm = 0, .remote = rig_addr("198.51.100.10:5060")},
	                itsp = {.realm = 1, .remote = rig_addr("203.0.113.20:5060")}, other = itsp;

	(void)state;
	u2 = rig_call_up(r, "stray2");
	other.realm = 0;
	assert_false(b2b_awaits(r->b2b, &itsp));
	/* the ITSP moves: both targets are others */
	r->targets[1][0].host = S("203.0.113.30");
	r->targets[1][1].host = S("203.0.113.31");
	rig_compile(r);
	assert_true(b2b_awaits(r->b2b, &itsp));
	assert_false(b2b_awaits(r->b2b, &pbx));
	assert_false(b2b_awaits(r->b2b, &other)); /* not in the other realm */
	itsp.remote = rig_addr("203.0.113.20:9999"); /* a restarted peer sends from another port */
	assert_true(b2b_awaits(r->b2b, &itsp));
	rig_compile(r); /* and again: nothing twice */
	rig_hang_up(r, &u, "stray", 2);
	rig_pass(r, 40000);
	assert_true(b2b_awaits(r->b2b, &itsp)); /* for the other call */
	rig_hang_up(r, &u2, "stray2", 2);
	rig_pass(r, 31000);
	assert_true(b2b_awaits(r->b2b, &itsp));
	rig_pass(r, 1100);
	assert_false(b2b_awaits(r->b2b, &itsp));
	rig_end(r);

	/* the B2BUA ends while there is one */
	r = rig_new();
	u = rig_call_up(r, "stray3");
	r->targets[1][0].host = S("203.0.113.30");
	rig_compile(r);
	rig_hang_up(r, &u, "stray3", 2);
	b2b_free(r->b2b);
	assert_int_equal(r->timers.n, 0);
	r->b2b = b2b_new(&r->env, &r->net, r->media, &(struct b2b_cfg){.user_agent = S("Postern/test")}, &rig_user, r);
	rig_compile(r);
	rig_end(r);
}

/* a trunk is deleted: its calls end with that reason, and no others (FOV-05) */
static void trunk_deleted_during_a_call(void **state)
{
	struct rig *r = rig_new();
	struct up u = rig_call_up(r, "del");
	struct b2b_trunk_info info;
	struct call_record rec;
	struct sent *s;

	(void)state;
	r->rows.n_trunks = 1;
	r->rows.n_routes = 0;
	rig_compile(r);
	assert_null(policy_trunk_named(b2b_policy(r->b2b), S("itsp")));
	/* the call keeps what it began with */
	rig_a_request(r, &u, "del", "INFO", 2, "", NULL);
	s = rig_tx(r, "INFO ");
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_tx(r, "SIP/2.0 200");
	/* the deleted trunk's own requests in the call are still its own */
	rig_b_request(r, &u, "INFO", 1, "", NULL);
	s = rig_tx(r, "INFO ");
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_tx(r, "SIP/2.0 200");
	call_snapshot(b2b_call_next(r->b2b, NULL), &rec);
	assert_int_equal(rec.trunk_b_id, 2);
	assert_int_equal(b2b_end_trunkless(r->b2b), 1);
	assert_int_equal(b2b_end_trunkless(r->b2b), 0);
	for (int i = 0; i < 2; i++) {
		s = rig_tx(r, "BYE ");
		assert_non_null(strstr(rig_hdr(r, s, "Reason"), "PSN-E2126"));
		rig_answer(r, s, "200 OK", "", "", NULL);
	}
	assert_int_equal(r->rec[0].reason, REASON_TRUNK_DELETED);
	b2b_trunk_info(r->b2b, 2, &info);
	assert_int_equal(info.calls, 0);
	rig_end(r);

	/* while it rings: a final answer and CANCEL */
	r = rig_new();
	rig_invite(r, "del1", "", sdp_a);
	s = rig_tx(r, "INVITE ");
	rig_answer(r, s, "180 Ringing", "b", PLAY_CONTACT_B, NULL);
	rig_tx(r, "SIP/2.0 180");
	r->rows.n_trunks = 1;
	r->rows.n_routes = 0;
	rig_compile(r);
	assert_int_equal(b2b_end_trunkless(r->b2b), 1);
	rig_tx(r, "SIP/2.0 500");
	rig_tx(r, "CANCEL ");
	assert_int_equal(r->rec[0].reason, REASON_TRUNK_DELETED);
	rig_end(r);

	/* its targets are not tried any more */
	r = rig_new();
	rig_invite(r, "del2", "", sdp_a);
	s = rig_tx(r, "INVITE ");
	rig_answer(r, s, "180 Ringing", "b", PLAY_CONTACT_B, NULL);
	rig_tx(r, "SIP/2.0 180");
	r->rows.n_trunks = 1;
	r->rows.n_routes = 0;
	rig_compile(r);
	rig_answer(r, s, "503 Service Unavailable", "b", "", NULL);
	rig_tx(r, "ACK ");
	rig_find(r, "SIP/2.0 5");
	rig_quiet(r);
	assert_int_equal(r->rec[0].n_tries, 2);
	assert_int_equal(r->rec[0].tries[1].reason, REASON_TRUNK_DELETED);
	rig_end(r);

	/* calls whose trunks are all there stay */
	r = rig_new();
	u = rig_call_up(r, "del3");
	rig_compile(r);
	assert_int_equal(b2b_end_trunkless(r->b2b), 0);
	rig_quiet(r);
	rig_hang_up(r, &u, "del3", 2);
	rig_end(r);
}

static void shutdown_takes_no_new_call(void **state)
{
	struct rig *r = rig_new();
	struct sent *s;

	(void)state;
	rig_call_up(r, "shut");
	b2b_shutdown(r->b2b);
	for (int i = 0; i < 2; i++) {
		s = rig_tx(r, "BYE ");
		assert_non_null(strstr(rig_hdr(r, s, "Reason"), "PSN-E2121"));
		rig_answer(r, s, "200 OK", "", "", NULL);
	}
	rig_invite(r, "shut2", "", sdp_a);
	s = rig_tx(r, "SIP/2.0 503");
	assert_true(rig_hdr(r, s, "Retry-After")[0]);
	rig_pass(r, 2);
	assert_int_equal(b2b_call_count(r->b2b), 0);
	rig_end(r);
}

/* A new process knows none of the old one's dialogs (B2B-09). */
static void after_a_restart_481(void **state)
{
	struct rig *old = rig_new(), *r = rig_new();
	struct up u = rig_call_up(old, "crash");

	(void)state;
	rig_a_request(r, &u, "crash", "BYE", 2, "", NULL);
	rig_tx(r, "SIP/2.0 481");
	rig_a_request(r, &u, "crash", "INVITE", 3, PLAY_CONTACT_A, sdp_a);
	rig_tx(r, "SIP/2.0 481");
	rig_a_request(r, &u, "crash", "ACK", 3, "", NULL);
	assert_int_equal(b2b_call_count(r->b2b), 0);
	assert_int_equal(r->n_rec, 0);
	call_clear(b2b_call_next(old->b2b, NULL), REASON_ADMIN_CLEARED, true);
	rig_end(old);
	rig_end(r);
}

/* b2b_free() with calls in every state frees them all (the leak check of the sanitizer is the assertion). */
static void freed_in_every_state(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(scripts); k++)
		for (unsigned at = 1; at < scripts[k].n; at++) {
			struct rig *r = rig_new();
			struct play p = {.r = r, .call_id = "free"};

			play_steps(&p, scripts[k].steps, 0, at, "");
			b2b_free(r->b2b);
			assert_int_equal(r->n_rec, 1);
			assert_int_equal(media_call_count(r->media), 0);
			assert_int_equal(media_pairs_in_use(r->media), 0);
			auth_free(r->auth);
			media_free(r->media);
			policy_unref(r->policy);
			logger_fini(&r->logger);
			for (unsigned i = 0; i < r->n_sent; i++)
				free(r->sent[i].text);
			free(r);
		}
}

/* DLG-05: the callee's side is never sent BYE before its ACK, whoever ends the call; the caller's side of us may. */
static void no_bye_to_the_caller_before_its_ack(void **state)
{
	(void)state;
	for (int by_b = 0; by_b < 2; by_b++) {
		struct rig *r = rig_new();
		struct sent *inv, *ok;
		unsigned mark;
		struct up u;

		rig_invite(r, "dlg-05", "", sdp_a);
		inv = rig_tx(r, "INVITE ");
		rig_answer(r, inv, "200 OK", "btag", PLAY_CONTACT_B, sdp_b);
		ok = rig_tx(r, "SIP/2.0 200");
		rig_tx(r, "ACK ");
		u = rig_up(r, inv, ok);
		mark = r->n_sent;
		if (by_b)
			rig_b_request(r, &u, "BYE", 1, "", NULL);
		else
			call_clear(b2b_call_next(r->b2b, NULL), REASON_ADMIN_CLEARED, false);
		rig_pass(r, 31000);
		assert_int_equal(rig_count(r, mark, "BYE sip:alice"), 0);
		assert_true(rig_count(r, mark, "SIP/2.0 200 OK") >= 9); /* goes on asking for the ACK */
		rig_pass(r, 1100); /* 64*T1: the transaction timed out, now it may */
		assert_true(rig_count(r, mark, "BYE sip:alice") >= 1);
		assert_int_equal(r->n_rec, 1);
		rig_end(r);
	}
}

/* FOV-06: BYE answered with anything, or nothing, ends the dialog. */
static void any_answer_to_bye_ends_it(void **state)
{
	static const char *const lines[] = {"200 OK", "408 Request Timeout", "481 No", "500 Error", "503 Off", "603 Decline",
	    "302 Moved", NULL};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct rig *r = rig_new();
		struct up u = rig_call_up(r, "fov-06");
		struct sent *bye;

		rig_a_request(r, &u, "fov-06", "BYE", 2, "", NULL);
		rig_tx(r, "SIP/2.0 200");
		bye = rig_tx(r, "BYE ");
		assert_int_equal(media_call_count(r->media), 0);
		if (lines[i])
			rig_answer(r, bye, lines[i], "", "", NULL);
		else
			rig_pass(r, 32100);
		assert_int_equal(b2b_leg_count(r->b2b), 0);
		/* what comes now is of no dialog */
		rig_pass(r, 5);
		rig_b_request(r, &u, "BYE", 1, "", NULL);
		rig_find(r, "SIP/2.0 481");
		assert_int_equal(r->n_rec, 1);
		rig_end(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(scripts_play_to_their_end),
	    cmocka_unit_test(peers_die_anywhere),
	    cmocka_unit_test(transport_dies_anywhere),
	    cmocka_unit_test(cleared_anywhere),
	    cmocka_unit_test(clear_needs_no_answer),
	    cmocka_unit_test(cleared_says_so_on_both_legs),
	    cmocka_unit_test(far_ends_that_nobody_knows),
	    cmocka_unit_test(trunk_deleted_during_a_call),
	    cmocka_unit_test(shutdown_takes_no_new_call),
	    cmocka_unit_test(after_a_restart_481),
	    cmocka_unit_test(freed_in_every_state),
	    cmocka_unit_test(no_bye_to_the_caller_before_its_ack),
	    cmocka_unit_test(any_answer_to_bye_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
