/* ping.c - pings from us on connections (RFC 5626 3.5.1, 4.4.1; RFC 6223).
 *
 *   UP -> CRLFCRLF every 80..100 % of the interval, drawn anew each time; one CRLF back within PONG_MS
 *
 * Two have a say in the interval: whoever set the peer up (ping_ms), and the peer itself when it agreed to be pinged
 * (net_keep()); the shorter one counts. Only connections that we opened are pinged on the first one's word.
 *
 * No pong: the flow has failed, owners of what the peer has not acknowledged hear of it and the next request opens a
 * new connection. But a peer that never agreed and never answered a ping may just not know them (many do not), and a
 * connection that carries a call is worth more than a pong: as long as it speaks, or its TCP acknowledges what we
 * send, it stays, the pings keep what is on the way open, and we say so once.
 */
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "sbc/net/internal.h"

#define PONG_MS 10000

static uint32_t interval_ms(const struct conn *c)
{
	const struct peer *p = c->inbound ? NULL : peer_find(c->io, c->path.peer);
	uint32_t want = p ? p->cfg.ping_ms : 0;

	return !want || (c->keep_ms && c->keep_ms < want) ? c->keep_ms : want;
}

int64_t ping_draw_us(const struct netio *io, uint32_t ms)
{
	return (int64_t)ms * 800 + rng_below(io->env->rng, ms * 200 + 1);
}

void ping_set(struct conn *c)
{
	uint32_t ms = interval_ms(c);

	if (c->state != CONN_UP)
		return;
	if (!ms)
		c->ping_us = c->pong_us = 0;
	else if (ms != c->ping_every_ms || !c->ping_us)
		c->ping_us = c->io->env->clock->mono_us + ping_draw_us(c->io, ms);
	c->ping_every_ms = ms;
	conn_timer(c);
}

int64_t ping_due_us(const struct conn *c)
{
	if (!c->ping_us)
		return INT64_MAX;
	return c->pong_us && c->pong_us < c->ping_us ? c->pong_us : c->ping_us;
}

/* It spoke since the ping, or its kernel has acknowledged everything. */
static bool seems_alive(const struct conn *c)
{
	int unacked = 0;

	if (c->heard_us > c->pong_us - PONG_MS * 1000)
		return true;
	return c->tx_n == c->tx_at && ioctl(c->fd, SIOCOUTQ, &unacked) == 0 && unacked == 0;
}

static void no_pong(struct conn *c)
{
	struct netio *io = c->io;
	const struct peer *p = peer_find(io, c->path.peer);
	char at[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	unsigned unsaid;
	bool alive = seems_alive(c);

	c->pong_us = 0;
	io->counts[NET_TCP_NO_PONG]++;
	if (!c->keep_ms && !c->pongs && !(p && p->pongs) && alive) {
		if (!c->pings_unknown)
			log_info(&io->log, "pings_unanswered",
			    "conn=%08x peer=%s why=\"it seems not to know them\"", (unsigned)c->path.conn,
			    addr_text(&c->path.remote, at));
		c->pings_unknown = true;
		return;
	}
	io->counts[NET_TCP_PING_LOST]++;
	if (netio_may_say(io, &io->ping_gate, &unsaid))
		log_warn(&io->log, "flow_failed", "code=%s conn=%08x peer=%s unsaid=%u",
		    reason_code(REASON_KEEPALIVE_LOST, code), (unsigned)c->path.conn, addr_text(&c->path.remote, at),
		    unsaid);
	conn_drop(c, -NET_ERR_KEEPALIVE);
}

void ping_due(struct conn *c)
{
	int64_t now = c->io->env->clock->mono_us;

	if (c->pong_us && c->pong_us <= now) {
		no_pong(c);
		if (c->state != CONN_UP)
			return;
	}
	if (c->ping_us <= now) {
		c->ping_us = now + ping_draw_us(c->io, c->ping_every_ms);
		if (conn_put(c, "\r\n\r\n", 4, 0) == 0) { /* else the queue says that it is stalled */
			c->io->counts[NET_TCP_PINGED]++;
			c->pings++;
			if (!c->pong_us)
				c->pong_us = now + (int64_t)PONG_MS * 1000;
		}
	}
	conn_timer(c);
}

void ping_heard(struct conn *c)
{
	struct peer *p;

	if (!c->pong_us)
		return;
	c->pong_us = 0;
	c->pongs++;
	c->pings_unknown = false;
	p = peer_find(c->io, c->path.peer);
	if (p)
		p->pongs = true;
}
