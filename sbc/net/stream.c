/* stream.c - the bytes of one connection: framing, pings, lost framing (RFC 3261 18.3, 7.5; RFC 5626 3.5.1).
 *
 * A connection without an unfinished message owns no buffer: bytes are read into one that all share, whole
 * messages are handed up where they lie, and only a rest is kept. The next bytes are then read behind that rest.
 *
 * Going wrong: the framing function finds no end any more. What it says may be looked at is handed up with its
 * reason, and the connection is closed once the answer has been written: nothing after that can be trusted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/net/internal.h"

#define ROOM_MIN 2048

char *stream_room(struct conn *c, size_t *ret_room)
{
	size_t cap = c->rx_cap;
	char *p;

	if (c->rx_n == 0) {
		*ret_room = STREAM_BUF;
		return c->io->stream_buf;
	}
	while (cap - c->rx_n < ROOM_MIN)
		cap *= 2;
	if (cap != c->rx_cap) {
		p = realloc(c->rx, cap);
		if (!p)
			return NULL;
		c->rx = p;
		c->rx_cap = cap;
	}
	*ret_room = c->rx_cap - c->rx_n;
	return c->rx + c->rx_n;
}

/* Keeps the n bytes at p that are not a whole message yet; p is the shared buffer or lies in c->rx. */
static int keep_rest(struct conn *c, const char *p, size_t n)
{
	if (n == 0) {
		free(c->rx);
		c->rx = NULL;
		c->rx_n = c->rx_cap = 0;
		return 0;
	}
	if (c->rx) {
		memmove(c->rx, p, n);
	} else {
		size_t cap = 2 * ROOM_MIN;

		while (cap < n + ROOM_MIN)
			cap *= 2;
		c->rx = malloc(cap);
		if (!c->rx)
			return -ENOMEM;
		c->rx_cap = cap;
		memcpy(c->rx, p, n);
	}
	c->rx_n = n;
	return 0;
}

static void lost_framing(struct conn *c, char *p, size_t n, enum reason why)
{
	struct netio *io = c->io;
	char at[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	unsigned unsaid;

	io->counts[NET_TCP_FRAMING]++;
	if (netio_may_say(io, &io->framing_gate, &unsaid))
		log_warn(&io->log, "framing_lost", "code=%s peer=%s unsaid=%u", reason_code(why, code),
		    addr_text(&c->path.remote, at), unsaid);
	if (n && io->user->admit(io->ctx, &c->path))
		io->user->on_message(io->ctx, &c->path, p, n, why);
	conn_finish(c);
}

static void message(struct conn *c, char *p, size_t n)
{
	struct netio *io = c->io;

	c->had_message = true;
	c->rx_msgs++;
	io->counts[NET_TCP_RX]++;
	if (io->user->admit(io->ctx, &c->path))
		io->user->on_message(io->ctx, &c->path, p, n, REASON_NONE);
	else
		io->counts[NET_TCP_REFUSED]++;
}

/* Line ends that wait for what follows them (a pong is one) are no message that somebody is late with. */
static bool is_blank(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '\r' && p[i] != '\n')
			return false;
	return true;
}

void stream_got(struct conn *c, size_t n)
{
	struct netio *io = c->io;
	bool own = c->rx_n > 0;
	char *p = own ? c->rx : io->stream_buf;
	size_t have = c->rx_n + n, off = 0;
	bool began = own; /* the bytes at off are the unfinished message from before */

	c->rx_n = have;
	while (off < have && c->state == CONN_UP) {
		enum reason why = REASON_FRAMING;
		size_t len = 0;
		enum net_frame_kind kind = io->frame(&c->framer, p + off, have - off, &len, &why);

		if (kind == NET_FRAME_MORE) {
			if (have - off >= io->cfg.message_max) {
				lost_framing(c, p + off, 0, REASON_TOO_LARGE);
				return;
			}
			/* A pong that nothing follows is no half ping: two of them would look like one. */
			if (c->pong_us && have - off >= 2 && p[off] == '\r' && p[off + 1] == '\n') {
				ping_heard(c);
				memset(&c->framer, 0, sizeof(c->framer));
				began = false;
				off += 2;
				continue;
			}
			break;
		}
		memset(&c->framer, 0, sizeof(c->framer));
		began = false;
		if (kind == NET_FRAME_BAD) {
			lost_framing(c, p + off, len, why);
			return;
		}
		if (kind == NET_FRAME_MSG) {
			message(c, p + off, len);
		} else if (kind == NET_FRAME_PING) {
			io->counts[NET_TCP_PINGS]++;
			ping_heard(c); /* or two pongs, or one before padding: somebody is there */
			if (conn_put(c, "\r\n", 2, 0) < 0) {
				conn_drop(c, -ENOBUFS);
				return;
			}
		}
		if (kind == NET_FRAME_SKIP)
			ping_heard(c);
		off += len;
	}
	if (c->state != CONN_UP)
		return;
	if (is_blank(p + off, have - off))
		c->partial_us = 0;
	else if (!began || !c->partial_us)
		c->partial_us = io->env->clock->mono_us;
	c->rx_n = 0;
	if (keep_rest(c, p + off, have - off) < 0)
		conn_drop(c, -ENOMEM);
}
