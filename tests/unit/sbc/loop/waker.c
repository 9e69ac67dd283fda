/* Waking: heard once or more, never lost, and who is woken waits for nobody. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/loop/waker.h"

struct world {
	uv_loop_t uv;
	struct waker w;
	_Atomic unsigned said;
	unsigned heard, calls;
	bool closed;
};

static void heard(struct waker *w)
{
	struct world *x = container_of(w, struct world, w);

	x->calls++;
	x->heard = x->said;
}

static void gone(struct waker *w)
{
	container_of(w, struct world, w)->closed = true;
}

static void *talk(void *arg)
{
	struct world *x = arg;

	for (unsigned i = 0; i < 10000; i++) {
		x->said++;
		waker_wake_any(&x->w);
	}
	return NULL;
}

static void nothing_is_lost(void **state)
{
	struct world x = {.closed = false};
	pthread_t t[2];

	(void)state;
	assert_int_equal(uv_loop_init(&x.uv), 0);
	assert_int_equal(waker_init(&x.w, &x.uv, heard), 0);
	assert_int_equal(uv_run(&x.uv, UV_RUN_NOWAIT), 1); /* open */
	assert_int_equal(x.calls, 0);
	for (unsigned i = 0; i < 3; i++)
		waker_wake_any(&x.w);
	uv_run(&x.uv, UV_RUN_NOWAIT);
	uv_run(&x.uv, UV_RUN_NOWAIT);
	assert_int_equal(x.calls, 1);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, talk, &x), 0);
	while (x.heard < 20000)
		uv_run(&x.uv, UV_RUN_ONCE);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	waker_wake_any(&x.w);
	waker_close(&x.w, gone); /* with one unheard */
	while (!x.closed)
		uv_run(&x.uv, UV_RUN_ONCE);
	assert_int_equal(uv_loop_close(&x.uv), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
