/* What the system is told of a thread: each says all of it, whatever its maker had. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "sbc/base/thread.h"

struct seen {
	int policy, nice;
	uint64_t slice_ns;
};

static struct seen see(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime_ns, deadline_ns, period_ns;
	} a = {0};

	assert_int_equal(syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0), 0);
	return (struct seen){(int)a.policy, a.nice, a.runtime_ns};
}

static void *patient(void *arg)
{
	thread_patient();
	*(struct seen *)arg = see();
	return NULL;
}

static void *background(void *arg)
{
	thread_background();
	*(struct seen *)arg = see();
	return NULL;
}

static void *prompt(void *arg)
{
	struct seen *s = arg;
	pthread_t t;

	s[3] = see();
	thread_prompt();
	s[0] = see();
	assert_int_equal(pthread_create(&t, NULL, patient, &s[1]), 0);
	pthread_join(t, NULL);
	assert_int_equal(pthread_create(&t, NULL, background, &s[2]), 0);
	pthread_join(t, NULL);
	return NULL;
}

static void each_says_all_of_it(void **state)
{
	struct seen s[4];
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, prompt, s), 0);
	pthread_join(t, NULL);
	assert_int_equal(s[0].policy, SCHED_OTHER);
	assert_int_equal(s[0].nice, s[3].nice);
	if (s[3].slice_ns) /* a system that has slices */
		assert_true(s[0].slice_ns < s[3].slice_ns);
	assert_int_equal(s[1].policy, SCHED_BATCH);
	assert_int_equal(s[1].nice, s[3].nice);
	assert_int_equal(s[1].slice_ns, s[3].slice_ns);
	assert_int_equal(s[2].policy, SCHED_BATCH);
	assert_int_equal(s[2].nice, s[3].nice + 10 > 19 ? 19 : s[3].nice + 10);
	assert_int_equal(s[2].slice_ns, s[3].slice_ns);
}

static void *runs_first(void *arg)
{
	struct sched_param p = {.sched_priority = 1};
	struct seen *s = arg;

	s[0].policy = -1;
	if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &p))
		return NULL;
	thread_prompt();
	s[0] = see();
	thread_background();
	s[1] = see();
	return NULL;
}

/* the unit may have made the loop run before all others: it stays so, what works beside it does not */
static void who_runs_first_goes_on_to(void **state)
{
	struct seen s[2];
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, runs_first, s), 0);
	pthread_join(t, NULL);
	if (s[0].policy < 0)
		skip(); /* not allowed here */
	assert_int_equal(s[0].policy, SCHED_FIFO);
	assert_int_equal(s[1].policy, SCHED_BATCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_says_all_of_it),
	    cmocka_unit_test(who_runs_first_goes_on_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
