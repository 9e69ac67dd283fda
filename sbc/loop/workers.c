/* workers.c - see workers.h.
 *
 * One lock, two lists of work that waits (urgent and not), one of work that is done. The loop is woken by one waker, by a
 * thread that holds no lock (the loop would wait for it at once); done pieces are told in a batch. At the end the last
 * thread wakes the loop once more, so the loop joins threads that have ended and does not wait.
 */
#include "sbc/loop/workers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "sbc/base/thread.h"
#include "sbc/loop/waker.h"

struct workers {
	struct loop *loop;
	struct workers_cfg cfg;
	struct waker wake;
	loop_fn *closed; /* the loop's, as the next two */
	void *closed_arg;
	unsigned busy;
	unsigned unheard; /* pieces submitted on this turn */
	struct loop_hook rouse;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t more;
	struct list urgent, waiting, done;
	bool ending;
	unsigned running; /* threads */
	unsigned idle;    /* threads that wait for work */
	unsigned n_threads;
	pthread_t thread[WORKERS_MAX];
};

static void *thread_main(void *arg)
{
	struct workers *ws = arg;
	struct list *n;

	pthread_setname_np(pthread_self(), ws->cfg.name);
	thread_background();
	pthread_mutex_lock(&ws->lock);
	for (;;) {
		n = list_pop(&ws->urgent);
		if (!n)
			n = list_pop(&ws->waiting);
		if (n) {
			struct work *w = container_of(n, struct work, node);
			bool first;

			pthread_mutex_unlock(&ws->lock);
			w->run(w);
			pthread_mutex_lock(&ws->lock);
			first = list_empty(&ws->done);
			list_push(&ws->done, &w->node);
			pthread_mutex_unlock(&ws->lock);
			if (first)
				waker_wake_any(&ws->wake);
			sched_yield(); /* whom this piece kept waiting goes before the next one */
			pthread_mutex_lock(&ws->lock);
		} else if (ws->ending) {
			break;
		} else {
			ws->idle++;
			pthread_cond_wait(&ws->more, &ws->lock);
			ws->idle--;
		}
	}
	pthread_mutex_unlock(&ws->lock);
	if (ws->cfg.thread_end)
		ws->cfg.thread_end();
	/* the last that touches ws: the loop frees it when none runs */
	pthread_mutex_lock(&ws->lock);
	if (--ws->running == 0)
		waker_wake_any(&ws->wake);
	pthread_mutex_unlock(&ws->lock);
	return NULL;
}

static void on_wake_closed(struct waker *w)
{
	struct workers *ws = container_of(w, struct workers, wake);
	loop_fn *closed = ws->closed;
	void *arg = ws->closed_arg;

	loop_hook_cancel(&ws->rouse);
	pthread_cond_destroy(&ws->more);
	pthread_mutex_destroy(&ws->lock);
	free(ws);
	if (closed)
		closed(arg);
}

static void on_wake(struct waker *wake)
{
	struct workers *ws = container_of(wake, struct workers, wake);
	struct loop *loop = ws->loop;
	struct list done, *n;
	bool ended;

	loop_enter(loop, "workers");
	list_init(&done);
	pthread_mutex_lock(&ws->lock);
	list_splice(&done, &ws->done);
	ended = ws->ending && ws->running == 0;
	pthread_mutex_unlock(&ws->lock);
	while ((n = list_pop(&done))) { /* done() may cancel others of them */
		struct work *w = container_of(n, struct work, node);

		ws->busy--;
		w->done(w);
	}
	if (ended) {
		for (unsigned i = 0; i < ws->n_threads; i++)
			pthread_join(ws->thread[i], NULL);
		waker_close(wake, on_wake_closed);
	}
	loop_leave(loop);
}

/* Idle threads learn of what was submitted when the turn is over, or they would take the core from it. */
static void on_rouse(struct loop_hook *h)
{
	struct workers *ws = container_of(h, struct workers, rouse);
	unsigned n;

	pthread_mutex_lock(&ws->lock);
	n = ws->unheard < ws->idle ? ws->unheard : ws->idle;
	pthread_mutex_unlock(&ws->lock);
	ws->unheard = 0;
	while (n--) /* without the lock, which they want first */
		pthread_cond_signal(&ws->more);
}

/* signals are the loop's */
static int start_threads(struct workers *ws)
{
	sigset_t all, before;
	int e = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&ws->lock);
	for (unsigned i = 0; i < ws->cfg.n && !e; i++) {
		e = -pthread_create(&ws->thread[i], NULL, thread_main, ws);
		if (!e) {
			ws->n_threads++;
			ws->running++;
		}
	}
	pthread_mutex_unlock(&ws->lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ws->n_threads ? 0 : e; /* fewer do it too */
}

int workers_new(struct loop *l, const struct workers_cfg *cfg, struct workers **ret)
{
	struct workers *ws = calloc(1, sizeof(*ws));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int e;

	if (!ws)
		return -ENOMEM;
	ws->loop = l;
	ws->cfg = *cfg;
	if (!ws->cfg.n)
		ws->cfg.n = cores > 0 ? (unsigned)cores : 1;
	if (ws->cfg.n > WORKERS_MAX)
		ws->cfg.n = WORKERS_MAX;
	ws->rouse.fn = on_rouse;
	list_init(&ws->urgent);
	list_init(&ws->waiting);
	list_init(&ws->done);
	e = waker_init(&ws->wake, &l->uv, on_wake);
	if (e < 0) {
		free(ws);
		return e;
	}
	pthread_mutex_init(&ws->lock, NULL);
	pthread_cond_init(&ws->more, NULL);
	e = start_threads(ws);
	if (e) {
		waker_close(&ws->wake, on_wake_closed);
		return e;
	}
	*ret = ws;
	return 0;
}

void workers_submit(struct workers *ws, struct work *w, bool urgent)
{
	ws->busy++;
	ws->unheard++;
	pthread_mutex_lock(&ws->lock);
	list_push(urgent ? &ws->urgent : &ws->waiting, &w->node);
	pthread_mutex_unlock(&ws->lock);
	loop_before_wait(ws->loop, &ws->rouse);
}

bool workers_cancel(struct workers *ws, struct work *w)
{
	bool ours;

	pthread_mutex_lock(&ws->lock);
	ours = list_linked(&w->node); /* what runs is in no list */
	list_del(&w->node);
	pthread_mutex_unlock(&ws->lock);
	if (ours)
		ws->busy--;
	return ours;
}

unsigned workers_busy(const struct workers *ws)
{
	return ws->busy;
}

void workers_free(struct workers *ws, loop_fn *closed, void *arg)
{
	ws->closed = closed;
	ws->closed_arg = arg;
	pthread_mutex_lock(&ws->lock);
	ws->ending = true;
	pthread_cond_broadcast(&ws->more);
	pthread_mutex_unlock(&ws->lock);
}
