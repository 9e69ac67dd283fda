/* workers.h - a few threads for arithmetic that would hold the loop up.
 *
 * The loop's thread submits work and owns it again when its done() is called; in between it belongs to whichever thread
 * runs it. The threads yield to the loop: they are nicer and marked as batch work. Nothing here waits for anything but work,
 * and run() must not either: a piece of work is arithmetic that ends.
 */
#ifndef SBC_LOOP_WORKERS_H
#define SBC_LOOP_WORKERS_H

#include "sbc/loop/loop.h"

struct workers;

/* Embedded in its owner. Zeroed memory is work that was not submitted. */
struct work {
	struct list node;
	void (*run)(struct work *w);  /* on one of the threads */
	void (*done)(struct work *w); /* on the loop's thread, on a later turn */
};

struct workers_cfg {
	unsigned n;               /* threads; 0: one for each core, at most WORKERS_MAX */
	const char *name;         /* of the threads, a literal of at most 15 characters */
	void (*thread_end)(void); /* on each thread before it ends; NULL: nothing */
};
#define WORKERS_MAX 8

/* Starts the threads. 0 or -errno. */
MUST_USE int workers_new(struct loop *l, const struct workers_cfg *cfg, struct workers **ret);
/* Loop's thread: in the order of submitting, but what is urgent comes before all that is not. */
void workers_submit(struct workers *ws, struct work *w, bool urgent);
/* Loop's thread, w submitted. True: w is the caller's again, and done() is not called. False: it runs right now, and done()
 * will be called. */
bool workers_cancel(struct workers *ws, struct work *w);
/* pieces that were submitted and are not done; loop's thread */
unsigned workers_busy(const struct workers *ws);
/* Takes no more work. What was submitted is run, its done() called, the threads end, and then closed(arg), on a later
 * turn. */
void workers_free(struct workers *ws, loop_fn *closed, void *arg);

#endif
