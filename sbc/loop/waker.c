/* waker.c - see waker.h. */
#include "sbc/loop/waker.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_woken(uv_poll_t *h, int status, int events)
{
	struct waker *w = container_of(h, struct waker, poll);
	eventfd_t n;

	(void)status;
	(void)events;
	(void)eventfd_read(w->fd, &n); /* before fn looks: what comes later wakes again */
	w->fn(w);
}

int waker_init(struct waker *w, uv_loop_t *uv, void (*fn)(struct waker *w))
{
	int e;

	*w = (struct waker){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .fn = fn};
	if (w->fd < 0)
		return -errno;
	e = uv_poll_init(uv, &w->poll, w->fd);
	if (e < 0) {
		close(w->fd);
		w->fd = -1;
		return e;
	}
	return uv_poll_start(&w->poll, UV_READABLE, on_woken);
}

void waker_wake_any(struct waker *w)
{
	(void)eventfd_write(w->fd, 1); /* full: it is awake */
}

static void on_closed(uv_handle_t *h)
{
	struct waker *w = container_of((uv_poll_t *)h, struct waker, poll);

	if (w->closed)
		w->closed(w);
}

void waker_close(struct waker *w, void (*closed)(struct waker *w))
{
	w->closed = closed;
	uv_close((uv_handle_t *)&w->poll, on_closed);
	close(w->fd);
	w->fd = -1;
}
