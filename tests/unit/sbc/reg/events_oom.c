/* events_oom.c - registrar, notifier, client and watch while one allocation fails: no crash, no leak, and in the end both
 * sides say the same again. */
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

#define main regwatch_main
#include "regwatch.c"
#undef main

/* late: what fails is not the beginning but a registration that is lost and comes back. false: fewer allocations */
static bool starved(unsigned n, bool late)
{
	struct world *w = __real_malloc(sizeof(*w));
	struct reg_watch_view v;
	bool reached;

	world_init(w, "role=itsp realm=wan target=192.0.2.50 domain=sbc.example.net probe=off auth=gin aor=trunk42 expires=120s "
	              "reg-event=on");
	w->own = true;
	rig_ha1(&w->r, w->id - 1, "trunk42", "sbc.example.net", "a long secret");
	use_policy(w);
	if (late)
		run(w, 9000);
	made = 0;
	fail_at = n;
	if (late)
		assert_true(reg_kick(w->r.reg, bindings_walk(reg_bindings(w->r.reg), NULL)->id));
	run(w, late ? 7000 : 3000);
	reached = made >= n;
	fail_at = 0;
	/* a message that could not be read was lost: the refresh of the subscription finds out, at 80 % of 3761 s at the latest */
	for (unsigned i = 0; i < 340; i++) {
		w->r.n_stored = 0;
		run(w, 10000);
		assert_true(reg_watch_view(w->ws, w->id, &v));
		if (i > 3 && v.state == REG_WATCH_SEES && v.confirmed == 10)
			break;
	}
	if (v.state != REG_WATCH_SEES || v.confirmed != 10)
		fail_msg("allocation %u: %s, %u confirmed", n, reg_watch_state_names[v.state], v.confirmed);
	world_fini(w);
	free(w);
	return reached;
}

static void from_the_beginning(void **state)
{
	unsigned n = 1;

	(void)state;
	while (starved(n, false))
		assert_true(n++ < 2000);
	assert_true(n > 20);
}

static void while_it_is_lost(void **state)
{
	unsigned n = 1;

	(void)state;
	while (starved(n, true))
		assert_true(n++ < 2000);
	assert_true(n > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(from_the_beginning),
	    cmocka_unit_test(while_it_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
