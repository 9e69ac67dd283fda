/* Work beside the loop: where it runs, in which order, what can be taken back, how it ends. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "sbc/loop/workers.c"

struct world {
	struct loop loop;
	struct workers *ws;
	pthread_t thread;
	sem_t in, go;
	_Atomic unsigned order, ended;
	bool closed;
};

static struct world *w; /* thread_end() has no argument */

struct piece {
	struct work work;
	bool blocks;
	_Atomic unsigned ran; /* its place in the order, 1.. */
	unsigned done;
	bool on_loop;
	int nice, policy;
	struct piece *takes_back; /* in done() */
	bool took;
};

static void run(struct work *k)
{
	struct piece *p = container_of(k, struct piece, work);

	p->on_loop = pthread_equal(pthread_self(), w->thread);
	p->nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
	p->policy = sched_getscheduler(0);
	if (p->blocks) {
		sem_post(&w->in);
		while (sem_wait(&w->go) < 0)
			;
	}
	p->ran = ++w->order;
}

static void done(struct work *k)
{
	struct piece *p = container_of(k, struct piece, work);

	assert_true(pthread_equal(pthread_self(), w->thread));
	p->done++;
	if (p->takes_back)
		p->took = workers_cancel(w->ws, &p->takes_back->work);
}

static void thread_end(void)
{
	w->ended++;
}

static void init(struct world *world, unsigned threads)
{
	struct workers_cfg cfg = {.n = threads, .name = "test", .thread_end = thread_end};
	struct loop_cfg lc = {0};

	w = world;
	memset(w, 0, sizeof(*w));
	sem_init(&w->in, 0, 0);
	sem_init(&w->go, 0, 0);
	w->thread = pthread_self();
	assert_int_equal(loop_init(&w->loop, &lc), 0);
	assert_int_equal(workers_new(&w->loop, &cfg, &w->ws), 0);
}

static void until(bool (*cond)(const void *), const void *arg)
{
	for (int i = 0; i < 1000 && !cond(arg); i++)
		loop_turn(&w->loop, 10);
	assert_true(cond(arg));
}

static bool is_done(const void *p)
{
	return ((const struct piece *)p)->done > 0;
}

static bool is_closed(const void *p)
{
	return ((const struct world *)p)->closed;
}

static void closed(void *arg)
{
	((struct world *)arg)->closed = true;
}

static void fini(void)
{
	if (!w->closed) {
		workers_free(w->ws, closed, w);
		until(is_closed, w);
	}
	assert_int_equal(loop_fini(&w->loop), 0);
	sem_destroy(&w->in);
	sem_destroy(&w->go);
}

static void submit(struct piece *p, bool urgent)
{
	p->work.run = run;
	p->work.done = done;
	workers_submit(w->ws, &p->work, urgent);
}

static void block(struct piece *p)
{
	p->blocks = true;
	submit(p, false);
	while (sem_trywait(&w->in) < 0) /* threads are told of it at the end of a turn */
		loop_turn(&w->loop, 1);
}

static void work_runs_beside_the_loop_and_is_done_on_it(void **state)
{
	struct world world;
	struct piece p = {.blocks = false};

	(void)state;
	init(&world, 2);
	submit(&p, false);
	assert_int_equal(p.done, 0);
	until(is_done, &p);
	assert_false(p.on_loop);
	assert_int_equal(p.done, 1);
	assert_int_equal(workers_busy(w->ws), 0);
	/* the same piece again */
	submit(&p, true);
	for (int i = 0; i < 1000 && p.done < 2; i++)
		loop_turn(&w->loop, 10);
	assert_int_equal(p.done, 2);
	fini();
	assert_int_equal(w->ended, 2);
}

/* The loop gets the processor first. */
static void threads_are_nicer_than_the_loop(void **state)
{
	struct world world;
	struct piece p = {.blocks = false};

	(void)state;
	init(&world, 1);
	submit(&p, false);
	until(is_done, &p);
	assert_true(p.nice > getpriority(PRIO_PROCESS, 0) || p.nice == 19);
	assert_int_equal(p.policy, SCHED_BATCH);
	assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
	fini();
}

static void urgent_work_comes_first(void **state)
{
	struct world world;
	struct piece hold = {.blocks = true}, a = {.blocks = false}, b = {.blocks = false}, u = {.blocks = false};

	(void)state;
	init(&world, 1);
	block(&hold);
	submit(&a, false);
	submit(&b, false);
	submit(&u, true);
	assert_int_equal(workers_busy(w->ws), 4);
	sem_post(&w->go);
	until(is_done, &b);
	assert_int_equal(hold.ran, 1);
	assert_int_equal(u.ran, 2);
	assert_int_equal(a.ran, 3);
	assert_int_equal(b.ran, 4);
	fini();
}

static void what_waits_can_be_taken_back_and_what_runs_cannot(void **state)
{
	struct world world;
	struct piece hold = {.blocks = true}, a = {.blocks = false}, b = {.blocks = false};

	(void)state;
	init(&world, 1);
	block(&hold);
	submit(&a, false);
	submit(&b, false);
	assert_true(workers_cancel(w->ws, &a.work));
	assert_false(workers_cancel(w->ws, &hold.work));
	sem_post(&w->go);
	until(is_done, &b);
	assert_int_equal(hold.done, 1);
	assert_int_equal(a.ran, 0);
	assert_int_equal(a.done, 0);
	assert_int_equal(workers_busy(w->ws), 0);
	fini();
}

/* One done() takes back another piece that has run but was not told: it is not told any more. */
static void what_ran_but_was_not_told_can_be_taken_back(void **state)
{
	struct world world;
	struct piece a = {.blocks = true}, b = {.blocks = false};

	(void)state;
	init(&world, 1);
	a.takes_back = &b;
	block(&a);
	submit(&b, false);
	sem_post(&w->go);
	while (w->order < 2)
		sched_yield(); /* both have run, the loop has not turned */
	/* b is put among the done ones a moment after it ran: a piece behind it says so */
	struct piece c = {.blocks = true};
	block(&c);
	until(is_done, &a);
	assert_true(a.took);
	assert_int_equal(b.done, 0);
	assert_int_equal(workers_busy(w->ws), 1);
	sem_post(&w->go);
	until(is_done, &c);
	assert_int_equal(b.done, 0);
	fini();
}

static void the_end_waits_for_work_without_waiting(void **state)
{
	struct world world;
	struct piece hold = {.blocks = true}, a = {.blocks = false};

	(void)state;
	init(&world, 1);
	block(&hold);
	submit(&a, false);
	workers_free(w->ws, closed, w);
	for (int i = 0; i < 5; i++)
		loop_turn(&w->loop, 1);
	assert_false(w->closed);
	sem_post(&w->go);
	until(is_closed, w);
	assert_int_equal(hold.done, 1);
	assert_int_equal(a.done, 1); /* what was submitted is run */
	assert_int_equal(w->ended, 1);
	fini();
}

static unsigned idle_threads(void)
{
	unsigned n;

	pthread_mutex_lock(&w->ws->lock);
	n = w->ws->idle;
	pthread_mutex_unlock(&w->ws->lock);
	return n;
}

/* A thread that is told of work may take the core from who tells it: not before the turn has done what it had to do. */
static void threads_are_told_when_the_turn_is_over(void **state)
{
	struct world world;
	struct piece hold = {.blocks = true}, p = {.blocks = true};

	(void)state;
	init(&world, 1);
	block(&hold);
	sem_post(&w->go);
	until(is_done, &hold);
	while (idle_threads() == 0)
		sched_yield();
	submit(&p, false);
	assert_int_equal(idle_threads(), 1); /* still waits */
	assert_int_equal(w->ws->unheard, 1);
	while (sem_trywait(&w->in) < 0)
		loop_turn(&w->loop, 1);
	sem_post(&w->go);
	until(is_done, &p);
	fini();
}

static void many_pieces_by_many_threads(void **state)
{
	enum { N = 2000 };
	struct world world;
	struct piece *p = calloc(N, sizeof(*p));
	unsigned told = 0;

	(void)state;
	assert_non_null(p);
	init(&world, 4);
	for (unsigned i = 0; i < N; i++) {
		submit(&p[i], i % 3 == 0);
		if (i % 64 == 0)
			loop_turn(&w->loop, 0);
		if (i % 7 == 6)
			(void)workers_cancel(w->ws, &p[i - 3].work);
	}
	for (int i = 0; i < N + 1000 && workers_busy(w->ws); i++) /* each piece may wake the loop */
		loop_turn(&w->loop, 10);
	assert_int_equal(workers_busy(w->ws), 0);
	for (unsigned i = 0; i < N; i++) {
		assert_in_range(p[i].done, 0, 1);
		told += p[i].done;
		if (i % 7 != 3)
			assert_int_equal(p[i].done, 1);
	}
	assert_true(told >= N - N / 7 - 1);
	free(p);
	fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(work_runs_beside_the_loop_and_is_done_on_it),
	    cmocka_unit_test(threads_are_nicer_than_the_loop),
	    cmocka_unit_test(urgent_work_comes_first),
	    cmocka_unit_test(what_waits_can_be_taken_back_and_what_runs_cannot),
	    cmocka_unit_test(what_ran_but_was_not_told_can_be_taken_back),
	    cmocka_unit_test(the_end_waits_for_work_without_waiting),
	    cmocka_unit_test(threads_are_told_when_the_turn_is_over),
	    cmocka_unit_test(many_pieces_by_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
