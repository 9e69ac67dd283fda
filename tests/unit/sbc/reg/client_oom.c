/* client_oom.c - each allocation of our registering fails once: no crash, no leak, and when there is memory again all of it
 * is registered. */
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

#include "client_rig.h"

/* Answers each REGISTER that came, once challenged. */
static void answer_all(struct world *w, int64_t ms)
{
	for (int64_t t = 0; t < ms; t += 20) {
		while (w->r.n_sent) {
			struct net_path to = w->r.sent_to[--w->r.n_sent];

			if (strncmp(w->r.sent[w->r.n_sent], "REGISTER", 8) != 0)
				continue;
			memcpy(w->last, w->r.sent[w->r.n_sent], sizeof(w->last));
			w->r.sent_to[0] = to;
			if (!strstr(w->last, "\r\nAuthorization: "))
				answer(w, "401 Unauthorized", CHALLENGE("n1", ""));
			else if (strstr(w->last, ";expires=0"))
				answer(w, "200 OK", "");
			else
				ok(w, 600, "P-Associated-URI: <tel:+4930123450>, <tel:+4930123451>\r\nService-Route: <sip:e;lr>\r\n");
		}
		run_ms(w, 20);
	}
}

/* false: it made fewer allocations */
static bool starved(const char *how, unsigned numbers, unsigned n, bool *ret_good)
{
	struct world *w = malloc(sizeof(*w));
	struct policy *p;
	bool reached;

	world_init(w, "role=itsp realm=wan target=192.0.2.50 domain=itsp.example.com probe=off expires=600s aor=trunk42 reg-numbers=acme gruu=yes");
	fix_set(&w->r.fix, w->id, how);
	p = fix_compile(&w->r.fix);
	targets_set_policy(w->ts, p);
	made = 0;
	fail_at = n;
	reg_clients_set_policy(w->cs, p);
	answer_all(w, 2000);
	reached = made >= n;
	fail_at = 0;
	*ret_good = reg_client_holds(w->cs, w->id) && view(w).numbers_held == numbers;
	/* memory again: what was not begun begins with the next change, what failed at the operator's word */
	reg_clients_set_policy(w->cs, p);
	(void)reg_client_register(w->cs, w->id);
	answer_all(w, 3000);
	assert_true(reg_client_holds(w->cs, w->id));
	assert_int_equal(view(w).numbers_held, numbers);
	assert_int_equal(view(w).why, REASON_NONE);
	if (!numbers)
		assert_int_equal(reg_client_confirms(w->cs, w->id, S("+4930123459")), REG_CONFIRMED_NO);
	world_fini(w);
	free(w);
	return reached;
}

static void each_allocation(const char *how, unsigned numbers)
{
	unsigned n = 1, failed = 0;
	bool good;

	while (starved(how, numbers, n, &good)) {
		failed += !good;
		assert_true(n++ < 3000);
	}
	assert_true(good);
	assert_true(failed >= 2);
}

static void of_one_registration(void **state)
{
	(void)state;
	each_allocation("auth=gin", 0);
}

static void of_ten_numbers(void **state)
{
	(void)state;
	each_allocation("auth=numbers", 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(of_one_registration),
	    cmocka_unit_test(of_ten_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
