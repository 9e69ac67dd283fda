/* ports.c - port pairs of one realm and family (RFC 3550 11: RTP even, RTCP the next; RTP-13).
 *
 * Happy path: a pair is drawn at random from those that are bound and free; while there are few of these, from all
 * that are free, and one that was never bound gets its two sockets now and keeps them. So a call pays for no socket
 * once the load has been seen, the next port cannot be guessed, and descriptors follow the load, not the range. When
 * the pair is given back it rests for a while, so that late packets of the old call do not run into a new one.
 *
 * What can go wrong: the port is somebody else's (it is put aside and tried again a minute later), descriptors run out
 * (then a bound pair that is free still serves), the address has gone. Both sockets or none: a half pair is closed.
 *
 * Nothing here waits for a timer: what has rested long enough is noticed when somebody asks.
 */
#include "media/relay_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sbc/base/file.h"

/* --- sets of indices --- */

static int set_init(struct relay_set *s, unsigned cap)
{
	s->v = malloc(cap * sizeof(*s->v));
	return s->v ? 0 : -ENOMEM;
}

static void bag_put(struct relay_set *s, uint16_t index)
{
	s->v[s->n++] = index;
}

static uint16_t bag_take(struct relay_set *s, unsigned at)
{
	uint16_t index = s->v[at];

	s->v[at] = s->v[--s->n];
	return index;
}

static void ring_put(struct relay_set *s, unsigned cap, uint16_t index)
{
	s->v[(s->head + s->n++) % cap] = index;
}

static uint16_t ring_take(struct relay_set *s, unsigned cap)
{
	uint16_t index = s->v[s->head];

	s->head = (s->head + 1) % cap;
	s->n--;
	return index;
}

/* --- sockets --- */

static enum reason socket_reason(void)
{
	switch (errno) {
	case EMFILE:
	case ENFILE:
		return REASON_NO_DESCRIPTORS;
	case ENOBUFS:
	case ENOMEM:
	case ENOSPC:
		return REASON_NO_MEMORY;
	case EADDRINUSE:
		return REASON_ADDRESS_IN_USE;
	case EADDRNOTAVAIL:
		return REASON_ADDRESS_MISSING;
	case EACCES:
	case EPERM:
		return REASON_PERMISSION;
	default:
		return REASON_MEDIA_UNREACHABLE;
	}
}

static int set_dscp(int fd, bool v6, uint8_t dscp)
{
	int tos = dscp << 2;

	return v6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos))
	          : setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
}

void relay_pair_dscp(struct relay_pair *p, uint8_t dscp)
{
	uint8_t want = dscp ? (uint8_t)(dscp - 1) : p->range->dscp;

	/* nearly always it has it */
	if (p->dscp == want || !p->range->relay->n_workers)
		return;
	p->dscp = want;
	for (unsigned i = 0; i < 2; i++)
		(void)set_dscp(p->fd[i], addr_is6(&p->range->bind), want);
}

/* A bound, non-blocking socket with the realm's DSCP, or -1 with the reason. told: of ICMP. */
static int socket_open(const struct relay_range *g, uint16_t port, bool told, enum reason *why)
{
	struct addr a = g->bind;
	int on = 1, fd, rc;

	fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		*why = socket_reason();
		return -1;
	}
	/* ICMP about what we send, for a verdict; nobody has to listen at the RTCP port */
	if (told)
		(void)setsockopt(fd, addr_is6(&a) ? IPPROTO_IPV6 : IPPROTO_IP, addr_is6(&a) ? IPV6_RECVERR : IP_RECVERR, &on,
		    sizeof(on));
	if (addr_is6(&a)) {
		rc = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		if (rc == 0)
			rc = set_dscp(fd, true, g->dscp);
	} else {
		rc = set_dscp(fd, false, g->dscp);
	}
	addr_set_port(&a, port);
	if (rc == 0)
		rc = bind(fd, &a.sa, addr_len(&a));
	if (rc < 0) {
		*why = socket_reason();
		close(fd);
		return -1;
	}
	return fd;
}

enum reason relay_range_try(const struct relay_range *g)
{
	enum reason why = REASON_NONE;
	int fd = socket_open(g, 0, false, &why);

	if (fd < 0)
		return why;
	close(fd);
	return REASON_NONE;
}

static uint16_t range_port(const struct relay_range *g, unsigned index)
{
	return (uint16_t)(g->first_port + 2 * index);
}

/* Makes the pair and its sockets and hands them to a worker. */
static enum reason pair_open(struct relay_range *g, uint16_t index)
{
	struct relay *r = g->relay;
	struct relay_pair *p = calloc(1, sizeof(*p));
	enum reason why = REASON_NO_MEMORY;

	if (!p)
		return why;
	p->range = g;
	p->index = index;
	p->local = g->advertise;
	addr_set_port(&p->local, range_port(g, index));
	list_init(&p->feeders);
	p->dscp = g->dscp;
	p->fd[RELAY_RTP] = p->fd[RELAY_RTCP] = -1;
	if (r->n_workers) {
		for (unsigned i = 0; i < 2; i++) {
			uint16_t port = (uint16_t)(range_port(g, index) + i);

			p->fd[i] = socket_open(g, port, i == RELAY_RTP, &why);
			if (p->fd[i] >= 0)
				continue;
			if (why == REASON_ADDRESS_IN_USE && g->blocked.n == 0)
				log_warn(&r->log, "port_taken", "realm=%s port=%u by=\"another program\"",
				    relay_range_name(g), port);
			goto fail;
		}
		p->worker = (uint8_t)(r->next_worker++ % r->n_workers);
		if (relay_worker_add(p) < 0) {
			why = REASON_NO_MEMORY;
			goto fail;
		}
	}
	g->pair[index] = p;
	return REASON_NONE;
fail:
	for (unsigned i = 0; i < 2; i++)
		if (p->fd[i] >= 0)
			close(p->fd[i]);
	free(p);
	return why;
}

/* --- the range --- */

int relay_range_init(struct relay_range *g)
{
	g->pair = calloc(g->n, sizeof(struct relay_pair *));
	if (!g->pair || set_init(&g->unbound, g->n) < 0 || set_init(&g->idle, g->n) < 0 ||
	    set_init(&g->resting, g->n) < 0 || set_init(&g->blocked, g->n) < 0)
		return -ENOMEM; /* relay_range_fini() takes the rest */
	for (unsigned i = 0; i < g->n; i++)
		bag_put(&g->unbound, (uint16_t)i);
	return 0;
}

void relay_range_fini(struct relay_range *g)
{
	for (unsigned i = 0; g->pair && i < g->n; i++) {
		struct relay_pair *p = g->pair[i];

		if (!p)
			continue;
		for (unsigned k = 0; k < 2; k++)
			if (p->fd[k] >= 0)
				close(p->fd[k]);
		free(p->flow);
		if (p->prog)
			relay_keys_free(atomic_load(&p->prog)->keys);
		relay_keys_free(p->rest);
		free(p->ear);
		free(p->prog);
		free(p->latch);
		if (p->ice)
			ice_free(atomic_load(&p->ice)->ice);
		free(p->ice);
		free(p->play);
		free(p);
	}
	free(g->pair);
	free(g->unbound.v);
	free(g->idle.v);
	free(g->resting.v);
	free(g->blocked.v);
}

void relay_range_refresh(struct relay_range *g)
{
	int64_t now_us = g->relay->env->clock->mono_us;

	while (g->resting.n) {
		struct relay_pair *p = g->pair[g->resting.v[g->resting.head]];

		if (now_us - p->released_us < g->relay->quarantine_us)
			break;
		bag_put(&g->idle, ring_take(&g->resting, g->n));
		p->state = RELAY_PAIR_IDLE;
	}
	if (g->blocked.n && now_us >= g->blocked_until_us)
		while (g->blocked.n)
			bag_put(&g->unbound, bag_take(&g->blocked, g->blocked.n - 1));
}

static enum reason take(struct relay_range *g, struct relay_pair **ret)
{
	struct rng *rng = g->relay->env->rng;
	enum reason why = REASON_PORTS_EXHAUSTED;
	unsigned tries = 0;

	while (g->unbound.n && g->idle.n < RELAY_IDLE_ENOUGH) {
		unsigned at = rng_below(rng, g->unbound.n + g->idle.n);
		uint16_t index;

		if (at < g->idle.n) {
			*ret = g->pair[bag_take(&g->idle, at)];
			return REASON_NONE;
		}
		index = bag_take(&g->unbound, at - g->idle.n);
		why = pair_open(g, index);
		if (why == REASON_NONE) {
			*ret = g->pair[index];
			return REASON_NONE;
		}
		if (why != REASON_ADDRESS_IN_USE && why != REASON_PERMISSION) {
			bag_put(&g->unbound, index);
			break;
		}
		if (g->blocked.n == 0)
			g->blocked_until_us = g->relay->env->clock->mono_us + RELAY_BLOCKED_US;
		bag_put(&g->blocked, index);
		why = REASON_PORTS_EXHAUSTED;
		if (++tries == RELAY_BIND_TRIES)
			break;
	}
	if (g->idle.n == 0)
		return why;
	*ret = g->pair[bag_take(&g->idle, rng_below(rng, g->idle.n))];
	return REASON_NONE;
}

enum reason relay_range_take(struct relay_range *g, struct relay_pair **ret)
{
	enum reason why;
	struct relay_pair *p = NULL;

	relay_range_refresh(g);
	why = take(g, &p);
	if (why != REASON_NONE)
		return why;
	p->state = RELAY_PAIR_USED;
	g->used++;
	*ret = p;
	return REASON_NONE;
}

void relay_range_give(struct relay_pair *p)
{
	struct relay_range *g = p->range;

	p->state = RELAY_PAIR_QUARANTINED;
	p->released_us = g->relay->env->clock->mono_us;
	ring_put(&g->resting, g->n, p->index);
	g->used--;
}

/* --- the kernel's own range of ports --- */

bool media_ports_clash(uint16_t min, uint16_t max, struct str ephemeral, struct str reserved, struct buf *fix)
{
	struct str a, b, s;
	uint32_t lo, hi;
	bool covered = false;
	uint32_t need_lo, need_hi;

	ephemeral = str_trim(ephemeral);
	b = str_cut(ephemeral, str_chr(ephemeral, '\t') >= 0 ? '\t' : ' ', &a);
	if (str_u32(str_trim(a), 65535, &lo) < 0 || str_u32(str_trim(b), 65535, &hi) < 0)
		return false;
	need_lo = min > lo ? min : lo;
	need_hi = max < hi ? max : hi;
	if (need_lo > need_hi)
		return false;
	/* the reserved ranges are sorted and joined by the kernel: one of them must hold all */
	reserved = str_trim(reserved);
	for (s = reserved; s.n && !covered;) {
		uint32_t from, to;

		s = str_cut(s, ',', &a);
		b = str_cut(a, '-', &a);
		if (str_u32(a, 65535, &from) < 0)
			continue;
		to = from;
		if (b.n && str_u32(b, 65535, &to) < 0)
			continue;
		covered = from <= need_lo && need_hi <= to;
	}
	if (covered)
		return false;
	if (reserved.n) {
		buf_str(fix, reserved);
		buf_chr(fix, ',');
	}
	buf_fmt(fix, "%u-%u", (unsigned)min, (unsigned)max);
	return true;
}

void media_kernel_ports_read(struct media_kernel_ports *k)
{
	k->ephemeral = str_trim(file_head("/proc/sys/net/ipv4/ip_local_port_range", k->ephemeral_text, sizeof(k->ephemeral_text)));
	k->reserved = file_head("/proc/sys/net/ipv4/ip_local_reserved_ports", k->reserved_text, sizeof(k->reserved_text));
}

struct str media_kernel_ports_fix(struct media_kernel_ports *k, uint16_t min, uint16_t max)
{
	struct buf b;

	buf_init(&b, k->fix, sizeof(k->fix));
	if (!media_ports_clash(min, max, k->ephemeral, k->reserved, &b))
		return STR_NONE;
	if (buf_err(&b)) {
		buf_init(&b, k->fix, sizeof(k->fix));
		buf_fmt(&b, "...,%u-%u", (unsigned)min, (unsigned)max);
	} else {
		memcpy(k->reserved_text, k->fix, b.n);
		k->reserved = str_n(k->reserved_text, b.n);
	}
	return buf_text(&b);
}
