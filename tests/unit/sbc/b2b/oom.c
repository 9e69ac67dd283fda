/* oom.c - each allocation of whole calls fails once: no crash, no leak, a clean end, and the next call works. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* -Wl,--wrap: the n-th allocation from now on fails; 0: none */
static unsigned fail_at, made;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);

void *__wrap_malloc(size_t n)
{
	return ++made == fail_at ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
	return ++made == fail_at ? NULL : __real_calloc(n, m);
}

#include <stdio.h>

/* the peers of the rig have memory enough */
#define malloc(n) __real_malloc(n)
#define calloc(n, m) __real_calloc(n, m)
#include "play.h"

/* Plays the script with the n-th allocation failing. false: it made fewer. */
static bool starved(const struct play_step *s, unsigned n_steps, bool named, unsigned n, unsigned *ret_answered)
{
	static const char *const two[] = {"203.0.113.20:5060", "203.0.113.21:5060", NULL};
	struct rig *r = rig_new();
	struct play p = {.r = r, .call_id = "oom"};
	struct up u;
	bool reached;

	if (named) {
		rig_server(r, "trunk.example", "a.trunk.example", NET_UDP, two);
		rig_named(r, "trunk.example", "udp");
	}
	made = 0;
	fail_at = n;
	play_steps(&p, s, 0, n_steps, "");
	reached = made >= n;
	/* whatever got lost: time ends it */
	rig_pass(r, 300000);
	fail_at = 0;
	if (b2b_call_count(r->b2b) || b2b_leg_count(r->b2b) || media_call_count(r->media) ||
	    txn_count_cli(b2b_txn(r->b2b)) || txn_count_srv(b2b_txn(r->b2b)))
		fail_msg("allocation %u: calls %u legs %u media %u cli %u srv %u", n, b2b_call_count(r->b2b),
		    b2b_leg_count(r->b2b), media_call_count(r->media), txn_count_cli(b2b_txn(r->b2b)),
		    txn_count_srv(b2b_txn(r->b2b)));
	if (r->n_rec > 1)
		fail_msg("allocation %u: %u records", n, r->n_rec);
	/* nobody may be called without a number, nor answered without a session */
	for (unsigned i = 0; i < r->n_sent; i++) {
		const struct sent *m = &r->sent[i];

		if (strncmp(m->text, "INVITE sip:", 11) == 0 && m->to.realm == 1 && !strstr(m->text, "CSeq: 1 INVITE"))
			continue;
		if (strncmp(m->text, "INVITE sip:", 11) == 0 && m->to.realm == 1 &&
		    strncmp(m->text, "INVITE sip:+4989998877@", 23) != 0)
			fail_msg("allocation %u: %s", n, m->text);
		if (strncmp(m->text, "SIP/2.0 200", 11) == 0 && m->to.realm == 0 && strstr(m->text, " INVITE\r\n") &&
		    !strstr(m->text, "\r\nm=audio"))
			fail_msg("allocation %u: %s", n, m->text);
	}
	*ret_answered += r->n_rec && r->rec[0].status == 200;
	r->at = r->n_sent;
	u = rig_call_up(r, "next");
	rig_hang_up(r, &u, "next", 2);
	rig_end(r);
	return reached;
}

static void each_allocation_of_a_call(void **state)
{
	unsigned n = 1, answered = 0;

	(void)state;
	for (; n < 5000; n++)
		if (!starved(play_call, ARRAY_LEN(play_call), false, n, &answered))
			break;
	assert_in_range(n, 60, 4999);
	assert_true(answered > 0 && answered < n); /* early ones prevent the call, late ones do not */
	print_message("%u allocations, %u calls answered all the same\n", n - 1, answered);
}

static void each_allocation_of_a_late_offer_with_failover(void **state)
{
	(void)state;
	for (int named = 0; named < 2; named++) { /* to another target, to another address of the same */
		unsigned n = 1, answered = 0;

		for (; n < 5000; n++)
			if (!starved(play_late, ARRAY_LEN(play_late), named, n, &answered))
				break;
		assert_in_range(n, 60, 4999);
		print_message("%u allocations, %u calls answered all the same\n", n - 1, answered);
	}
}

/* a snapshot that cannot be followed in full: what was not remembered is reached by its number all the same */
static void each_allocation_of_a_new_policy(void **state)
{
	static const char *const two[] = {"203.0.113.20:5060", "203.0.113.21:5060", NULL};
	unsigned n = 1;

	(void)state;
	for (bool more = true; more && n < 500; n++) {
		struct rig *r = rig_new();
		struct policy *p;

		rig_server(r, "trunk.example", "a.trunk.example", NET_UDP, two);
		rig_named(r, "trunk.example", "udp");
		p = policy_ref(r->policy);
		r->targets[0][0].port = 5070;
		r->targets[1][0].host = S("203.0.113.20");
		rig_compile(r);
		made = 0;
		fail_at = n;
		b2b_set_policy(r->b2b, p);
		more = made >= n;
		made = 0;
		b2b_set_policy(r->b2b, r->policy);
		fail_at = 0;
		rig_invite(r, "after", "", sdp_a);
		rig_answer(r, rig_find(r, "INVITE "), "486 Busy", "x", "", NULL);
		policy_unref(p);
		rig_end(r);
	}
	assert_in_range(n, 4, 499);
}

/* a process that cannot even begin */
static void each_allocation_of_the_root(void **state)
{
	struct rig *r = rig_new();
	static const struct b2b_user nobody = {.on_record = rig_on_record, .on_answered = rig_on_answered, .is_local = rig_is_local, .on_wire = NULL};
	struct b2b *b = NULL;

	(void)state;
	for (unsigned n = 1; n < 100 && !b; n++) {
		made = 0;
		fail_at = n;
		b = b2b_new(&r->env, &r->net, r->media, &(struct b2b_cfg){0}, &nobody, r);
		fail_at = 0;
		if (n == 1)
			assert_null(b);
	}
	assert_non_null(b);
	b2b_free(b);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_allocation_of_the_root),
	    cmocka_unit_test(each_allocation_of_a_call),
	    cmocka_unit_test(each_allocation_of_a_late_offer_with_failover),
	    cmocka_unit_test(each_allocation_of_a_new_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
