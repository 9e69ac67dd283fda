/* waker.h - how another thread wakes the loop: any number of times, heard once.
 *
 * An eventfd, and not libuv's uv_async: there the loop that is woken spins, and then yields its core, until the thread
 * that woke it has gone on by some instructions. On a core that both share that is until the other thread has had its
 * slice: a call would wait for milliseconds of a handshake.
 */
#ifndef SBC_LOOP_WAKER_H
#define SBC_LOOP_WAKER_H

#include <uv.h>

#include "sbc/base/str.h"

/* Embedded in its owner. */
struct waker {
	uv_poll_t poll;
	int fd; /* own; -1: closed */
	void (*fn)(struct waker *w);
	void (*closed)(struct waker *w);
};

/* fn runs on the loop's thread, after one or more waker_wake_any(). 0 or -errno. */
MUST_USE int waker_init(struct waker *w, uv_loop_t *uv, void (*fn)(struct waker *w));
/* Any thread, until waker_close(). Never blocks, asks for no memory. */
void waker_wake_any(struct waker *w);
/* The loop's thread. closed (NULL: nobody asks) runs when the memory may go. */
void waker_close(struct waker *w, void (*closed)(struct waker *w));

#endif
