/* race.c - two addresses of one server, one connection (RFC 8305 5; RFC 7984 3.2).
 *
 *   prepare(): first attempt ---- RACE_STAGGER_MS or its failure ----> second attempt to the other address
 *              the first of the two that is up (TLS included) stays, the other is closed
 *
 * What is to be sent is queued in one connection only, the leader, which also owns the handle that paths carry; the
 * second attempt is a connection without either (follower). When the follower is up first, or the leader fails, it
 * takes over handle and queue and becomes the leader. So nothing is ever sent twice, and holders of the handle
 * notice nothing but the address.
 *
 * Who prepared the connection hears which of the two it has become: on_flow_up() (net.h).
 *
 * Both failed: owners hear of the more telling of the two errors, which is one of TLS.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/net/internal.h"

int race_add(struct conn *c, const struct addr *alt)
{
	struct race *r;

	if (c->state >= CONN_UP || c->race || c->follower || addr_none(alt) ||
	    addr_eq(&c->path.remote, alt))
		return 0;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = (struct race){.alt = *alt, .result = RACE_RUNNING};
	c->race = r;
	conn_timer(c);
	return 0;
}

int64_t race_due_us(const struct conn *c)
{
	if (c->state >= CONN_UP || !c->race || c->race->result != RACE_RUNNING || c->race->started)
		return INT64_MAX;
	return c->opened_us + RACE_STAGGER_MS * 1000;
}

void race_start(struct conn *c)
{
	struct race *r = c->race;
	struct net_path path = c->path;
	struct conn *f;

	r->started = true;
	path.remote = r->alt;
	path.local = (struct addr){.sa.sa_family = AF_UNSPEC};
	r->err = conn_open(c->io, &path, &f);
	if (r->err)
		return;
	c->io->counts[NET_TCP_RACED]++;
	table_del(f);
	f->follower = true;
	f->rival = c;
	c->rival = f;
}

/* f becomes the leader in place of c: handle, queue and what is remembered of it. */
static void take_over(struct conn *f, struct conn *c)
{
	struct netio *io = c->io;
	uint32_t handle = c->path.conn;
	struct race *r = c->race;

	io->slot[(handle & 0xffff) - 1].conn = f;
	io->slot[(f->path.conn & 0xffff) - 1].conn = c;
	c->path.conn = f->path.conn;
	f->path.conn = handle;
	f->tx = c->tx;
	f->tx_at = c->tx_at;
	f->tx_n = c->tx_n;
	f->tx_cap = c->tx_cap;
	f->queued_total = c->queued_total;
	f->sent = c->sent;
	f->sent_cap = c->sent_cap;
	f->sent_head = c->sent_head;
	f->sent_n = c->sent_n;
	f->sent_marked = 0; /* c never was up */
	f->tx_msgs = c->tx_msgs;
	f->awaited = c->awaited;
	f->keep_ms = c->keep_ms;
	c->keep_ms = 0;
	c->tx = NULL;
	c->sent = NULL;
	c->tx_at = c->tx_n = c->tx_cap = 0;
	c->queued_total = 0;
	c->sent_cap = c->sent_head = c->sent_n = 0;
	f->race = r;
	c->race = NULL;
	f->follower = false;
	c->follower = true;
	table_del(c);
	table_add(f);
}

void race_won(struct conn *c)
{
	struct conn *other = c->rival;
	bool second = c->follower;

	if (!other) {
		if (c->race && c->race->result == RACE_RUNNING)
			c->race->result = RACE_FIRST;
		return;
	}
	if (second)
		take_over(c, other);
	c->race->result = second ? RACE_SECOND : RACE_FIRST;
	if (second)
		c->io->counts[NET_TCP_RACE_SECOND]++;
	race_part(c);
	conn_drop(other, 0);
}

void race_part(struct conn *c)
{
	if (!c->rival)
		return;
	c->rival->rival = NULL;
	c->rival = NULL;
}

/* of two errors the one that says more */
static int telling(int a, int b)
{
	return a && (!b || net_error_reason(a) != REASON_TRANSPORT) ? a : b;
}

bool race_lost(struct conn *c, int *err)
{
	struct conn *other = c->rival;
	struct race *r = c->follower ? (other ? other->race : NULL) : c->race;

	if (c->state >= CONN_UP || !r || r->result != RACE_RUNNING)
		return false;
	if (c->follower) {
		r->err = *err;
		race_part(c);
		return true;
	}
	if (!r->started) {
		race_start(c);
		other = c->rival;
	}
	if (!other) {
		*err = telling(r->err, *err);
		return false;
	}
	r->err = telling(r->err, *err);
	take_over(other, c);
	race_part(c);
	other->race->result = RACE_RUNNING;
	return true;
}
