/* queue.c - what is queued in a connection, and how much of it the peer's TCP has acknowledged.
 *
 * What is sent is queued in the connection and written at the end of the turn, so messages of one turn share a
 * segment.
 *
 * Failure (RFC 3261 18.4): owners of messages that the peer's TCP has not acknowledged when the connection is lost
 * hear of it at once; what was acknowledged is left to its transaction's timers, for its answer may come by
 * another connection (18.2.2).
 */
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sbc/net/internal.h"

#define SENT_MIN 8
#define SENT_MAX 4096 /* messages queued at a time */
#define SENT_KEEP 64  /* acknowledged or not is asked when this many are remembered */

/* bytes that the socket was given */
static uint64_t wire(const struct conn *c)
{
	return c->tls ? tls_wire(c) : c->queued_total - (c->tx_n - c->tx_at);
}

/* those of them which the peer's TCP has acknowledged */
static uint64_t acknowledged(const struct conn *c)
{
	uint64_t given = wire(c);
	int unacked = 0;

	if (c->state == CONN_CONNECTING)
		return 0;
	if (ioctl(c->fd, SIOCOUTQ, &unacked) < 0 || unacked < 0 || (uint64_t)unacked > given)
		return given;
	return given - (uint64_t)unacked;
}

static struct conn_sent *sent_at(const struct conn *c, unsigned i)
{
	return &c->sent[(c->sent_head + i) & (c->sent_cap - 1)];
}

/* After a write: what has wholly been given to the socket, and up to where there. */
void queue_written(struct conn *c)
{
	uint64_t written = c->queued_total - (c->tx_n - c->tx_at);

	while (c->sent_marked < c->sent_n && sent_at(c, c->sent_marked)->end <= written)
		sent_at(c, c->sent_marked++)->wire = wire(c);
}

static void sent_forget(struct conn *c, uint64_t acked)
{
	while (c->sent_marked && sent_at(c, 0)->wire <= acked) {
		c->sent_head = (c->sent_head + 1) & (c->sent_cap - 1);
		c->sent_n--;
		c->sent_marked--;
	}
}

void queue_failed(struct conn *c, int err)
{
	sent_forget(c, acknowledged(c));
	for (unsigned i = 0; i < c->sent_n; i++)
		netio_fail_later(c->io, &c->path, sent_at(c, i)->owner, err, NULL, 0);
	c->sent_n = c->sent_marked = 0;
}

/* An empty queue costs nothing: most connections of a trunk are quiet most of the time. */
void queue_shrink(struct conn *c)
{
	free(c->tx);
	c->tx = NULL;
	c->tx_at = c->tx_n = c->tx_cap = 0;
}

static int tx_room(struct conn *c, size_t len)
{
	size_t queued = c->tx_n - c->tx_at, cap = c->tx_cap ? c->tx_cap : 1024;
	char *p;

	if (c->tx_cap - c->tx_n >= len)
		return 0;
	if (c->tx_at && c->tx_cap - queued >= len && queued <= c->tx_cap / 2) {
		memmove(c->tx, c->tx + c->tx_at, queued);
	} else {
		while (cap < queued + len)
			cap *= 2;
		p = malloc(cap);
		if (!p)
			return -ENOMEM;
		if (queued)
			memcpy(p, c->tx + c->tx_at, queued);
		free(c->tx);
		c->tx = p;
		c->tx_cap = cap;
	}
	c->tx_at = 0;
	c->tx_n = queued;
	return 0;
}

/* Room to remember one more owner. */
static int sent_room(struct conn *c)
{
	unsigned cap = c->sent_cap ? c->sent_cap * 2 : SENT_MIN;
	struct conn_sent *s;

	if (c->sent_n < c->sent_cap)
		return 0;
	if (c->sent_cap >= SENT_KEEP) {
		sent_forget(c, acknowledged(c));
		if (c->sent_n <= c->sent_cap / 2)
			return 0;
	}
	if (cap > SENT_MAX)
		return c->sent_n < c->sent_cap ? 0 : -ENOBUFS;
	s = malloc(cap * sizeof(*s));
	if (!s)
		return -ENOMEM;
	for (unsigned i = 0; i < c->sent_n; i++)
		s[i] = *sent_at(c, i);
	free(c->sent);
	c->sent = s;
	c->sent_cap = cap;
	c->sent_head = 0;
	return 0;
}

int conn_put(struct conn *c, const void *p, size_t len, uint64_t owner)
{
	int e;

	if (c->tx_n - c->tx_at + len > c->io->cfg.conn_queue_bytes) {
		c->io->counts[NET_TCP_QUEUE_FULL]++;
		return -ENOBUFS;
	}
	e = tx_room(c, len);
	if (!e && owner)
		e = sent_room(c);
	if (e)
		return e;
	memcpy(c->tx + c->tx_n, p, len);
	c->tx_n += len;
	c->queued_total += len;
	if (owner) {
		*sent_at(c, c->sent_n) = (struct conn_sent){owner, c->queued_total, 0};
		c->sent_n++;
	}
	if (c->state >= CONN_UP && !c->stall_us)
		loop_at_turn_end(c->io->loop, &c->flush);
	return 0;
}
