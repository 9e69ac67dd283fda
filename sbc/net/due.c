/* due.c - deadlines of connections: one timer each, set to the nearest.
 *
 * A crowd that came together is late together: only DROPS_PER_TURN go in one turn, the others a little later.
 *
 * Who connects and says nothing, dribbles, takes nothing of what is queued or is quiet too long is dropped by one of
 * these; each has its counter.
 */
#include <errno.h>

#include "sbc/net/internal.h"

#define LINGER_MS 2000 /* for the peer's FIN */
#define DROPS_PER_TURN 16
#define CROWD_US 1000 /* how much later the others of a crowd are looked at */

enum deadline { DL_NONE, DL_CONNECT, DL_RACE, DL_HANDSHAKE, DL_LINGER, DL_FIRST, DL_MESSAGE, DL_STALL, DL_IDLE, DL_PING };

static void nearer(int64_t due_us, enum deadline what, int64_t *due, enum deadline *ret)
{
	if (due_us < *due) {
		*due = due_us;
		*ret = what;
	}
}

static int64_t after(int64_t since_us, int ms)
{
	return since_us + (int64_t)ms * 1000;
}

static int64_t next_deadline(const struct conn *c, enum deadline *ret)
{
	const struct netio_cfg *cfg = &c->io->cfg;
	int64_t due = INT64_MAX;

	*ret = DL_NONE;
	switch (c->state) {
	case CONN_CONNECTING:
		nearer(after(c->opened_us, cfg->connect_ms), DL_CONNECT, &due, ret);
		nearer(race_due_us(c), DL_RACE, &due, ret);
		break;
	case CONN_HANDSHAKE:
		nearer(after(c->state_us, cfg->handshake_ms), DL_HANDSHAKE, &due, ret);
		nearer(race_due_us(c), DL_RACE, &due, ret);
		break;
	case CONN_UP:
		if (c->inbound && !c->had_message)
			nearer(after(c->opened_us, cfg->first_message_ms), DL_FIRST, &due, ret);
		if (c->partial_us)
			nearer(after(c->partial_us, cfg->message_ms), DL_MESSAGE, &due, ret);
		nearer(after(c->last_us, cfg->idle_ms), DL_IDLE, &due, ret);
		nearer(ping_due_us(c), DL_PING, &due, ret);
		/* fall through */
	case CONN_FINISHING:
		if (c->stall_us)
			nearer(after(c->stall_us, cfg->stall_ms), DL_STALL, &due, ret);
		break;
	case CONN_DRAINING:
		nearer(after(c->state_us, LINGER_MS), DL_LINGER, &due, ret);
		break;
	case CONN_CLOSED:
		break;
	}
	return due;
}

static void on_deadline(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);
	uint64_t *counts = c->io->counts;
	enum deadline what;

	if (next_deadline(c, &what) > c->io->env->clock->mono_us) {
		conn_timer(c);
		return;
	}
	if (what != DL_RACE && what != DL_PING && !turn_share_take(c->io, &c->io->deadlines, DROPS_PER_TURN)) {
		timer_start_us(c->io->env->timers, &c->timer, CROWD_US, on_deadline);
		return;
	}
	switch (what) {
	case DL_CONNECT:
		counts[NET_TCP_CONNECT_FAILED]++;
		conn_drop(c, -ETIMEDOUT);
		break;
	case DL_RACE:
		race_start(c);
		conn_timer(c);
		break;
	case DL_HANDSHAKE:
		counts[NET_TLS_SLOW]++;
		tls_too_slow(c);
		conn_drop(c, -NET_ERR_TLS_HANDSHAKE);
		break;
	case DL_FIRST:
		counts[NET_TCP_SLOW_FIRST]++;
		conn_drop(c, -ETIMEDOUT);
		break;
	case DL_MESSAGE:
		counts[NET_TCP_SLOW_MESSAGE]++;
		conn_drop(c, -ETIMEDOUT);
		break;
	case DL_STALL:
		counts[NET_TCP_STALLED]++;
		conn_drop(c, -ETIMEDOUT);
		break;
	case DL_PING:
		ping_due(c);
		break;
	case DL_IDLE:
		counts[NET_TCP_IDLE]++;
		conn_finish(c);
		break;
	case DL_LINGER:
		conn_drop(c, 0);
		break;
	case DL_NONE:
		break;
	}
}

/* The timer runs to the nearest deadline there was when it was set: a deadline that moves away is noticed when it
 * fires, so a message costs no timer. */
void conn_timer(struct conn *c)
{
	enum deadline what;
	int64_t due = next_deadline(c, &what);

	if (due == INT64_MAX || (timer_running(&c->timer) && c->timer.due_us <= due))
		return;
	timer_start_us(c->io->env->timers, &c->timer, due - c->io->env->clock->mono_us, on_deadline);
}
