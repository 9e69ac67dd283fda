/* keep.c - STUN on the UDP sockets of SIP: answering, and pings of our own (RFC 5626 4.4.2, 8; RFC 6223).
 *
 *   net_keep() -> Binding request every 80..100 % of the interval -> answer: the address it came from, as they see it
 *
 * A request is repeated as RFC 8489 6.2.1 has it: after 0.5 s, 1 s, 2 s ... six times, and given up 8 s after the last
 * one. No answer, or another address than before: the flow has failed, that is the path changed (a NAT that
 * restarted), and the user hears of it once; the pings end with it.
 *
 * Whoever is admitted gets an answer to a Binding request; it is not much longer than the question. What is not STUN
 * though it begins like it is dropped and counted. Answers are taken only for the transaction under way and from the
 * address it went to.
 */
#include <errno.h>
#include <stdlib.h>

#include "sbc/net/internal.h"
#include "sbc/base/stun.h"

#define KEEPS_MAX 4096
#define RTO_MS 500
#define TRIES 7
#define LAST_WAIT_MS (16 * RTO_MS)

struct keep {
	struct netio *io;
	struct hnode node;
	struct net_path path;
	uint32_t interval_ms;
	struct timer timer;
	uint8_t tid[STUN_TID];
	unsigned tries;     /* of the request under way, 0: none is */
	struct addr mapped; /* as last told, or none */
};

static uint64_t keep_hash(const struct netio *io, const struct net_path *path)
{
	struct {
		uint8_t realm, pad;
		uint16_t port;
		uint8_t ip[16];
	} key;
	struct str ip = addr_ip_bytes(&path->remote);

	memset(&key, 0, sizeof(key));
	key.realm = path->realm;
	key.port = addr_port(&path->remote);
	memcpy(key.ip, ip.p, ip.n);
	return hash_bytes(&io->env->hash_key, &key, sizeof(key));
}

static struct keep *find(const struct netio *io, const struct net_path *path)
{
	for (struct hnode *n = htab_first(&io->keeps, keep_hash(io, path)); n; n = htab_next(n)) {
		struct keep *k = container_of(n, struct keep, node);

		if (k->path.realm == path->realm && addr_eq(&k->path.remote, &path->remote))
			return k;
	}
	return NULL;
}

static void keep_end(struct keep *k)
{
	timer_stop(k->io->env->timers, &k->timer);
	htab_del(&k->io->keeps, &k->node);
	free(k);
}

static void failed(struct keep *k, const char *why)
{
	struct netio *io = k->io;
	struct net_path path = k->path;
	char at[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	unsigned unsaid;

	io->counts[NET_UDP_KEEP_LOST]++;
	if (netio_may_say(io, &io->ping_gate, &unsaid))
		log_warn(&io->log, "flow_failed", "code=%s proto=udp peer=%s why=\"%s\" unsaid=%u",
		    reason_code(REASON_KEEPALIVE_LOST, code), addr_text(&path.remote, at), why, unsaid);
	keep_end(k);
	netio_flow_lost_later(io, &path, -NET_ERR_KEEPALIVE);
}

static void on_timer(struct timer *t);

static void rest(struct keep *k)
{
	k->tries = 0;
	timer_start_us(k->io->env->timers, &k->timer, ping_draw_us(k->io, k->interval_ms), on_timer);
}

static void ask(struct keep *k)
{
	struct listener *l = netio_listener(k->io, &k->path);
	struct net_path path = k->path;
	char b[STUN_OUT_MAX];

	/* what the socket does not take now is repeated like what got lost */
	if (l && udp_send(l, &path, b, stun_put_request(b, k->tid), 0) == 0)
		k->io->counts[NET_UDP_KEEP_SENT]++;
	k->tries++;
	timer_start_ms(k->io->env->timers, &k->timer,
	    k->tries < TRIES ? RTO_MS << (k->tries - 1) : LAST_WAIT_MS, on_timer);
}

static void on_timer(struct timer *t)
{
	struct keep *k = container_of(t, struct keep, timer);

	if (k->tries == TRIES) {
		failed(k, "no answer to STUN");
		return;
	}
	if (k->tries == 0)
		rng_bytes(k->io->env->rng, k->tid, sizeof(k->tid));
	ask(k);
}

static void answered(struct netio *io, const struct net_path *from, const struct stun_msg *m)
{
	struct keep *k = find(io, from);

	if (!k || k->tries == 0 || memcmp(k->tid, m->tid, sizeof(k->tid)) != 0) {
		io->counts[NET_UDP_STUN_STRAY]++;
		return;
	}
	/* an error is an answer too: somebody is there */
	if (m->kind == STUN_SUCCESS && !addr_none(&m->mapped)) {
		if (!addr_none(&k->mapped) && !addr_eq(&k->mapped, &m->mapped)) {
			failed(k, "our address changed on the way");
			return;
		}
		k->mapped = m->mapped;
	}
	rest(k);
}

void keep_stun(struct listener *l, const struct net_path *from, const char *p, size_t n)
{
	struct netio *io = l->io;
	struct net_path to = *from;
	struct stun_msg m;
	char b[STUN_OUT_MAX];

	if (stun_parse(p, n, &m)) {
		io->counts[NET_UDP_STUN_BAD]++;
		return;
	}
	switch (m.kind) {
	case STUN_REQUEST:
		io->counts[NET_UDP_STUN]++;
		(void)udp_send(l, &to, b, stun_put_answer(b, &m, &from->remote), 0);
		break;
	case STUN_SUCCESS:
	case STUN_ERROR:
		answered(io, from, &m);
		break;
	case STUN_OTHER:
		io->counts[NET_UDP_STUN_STRAY]++;
		break;
	}
}

int keep_set(struct netio *io, const struct net_path *path, uint32_t interval_ms)
{
	struct keep *k = find(io, path);

	if (!interval_ms) {
		if (k)
			keep_end(k);
		return 0;
	}
	if (!netio_listener(io, path))
		return -ENETUNREACH;
	if (!k) {
		k = io->keeps.n < KEEPS_MAX ? calloc(1, sizeof(*k)) : NULL;
		if (!k)
			return io->keeps.n < KEEPS_MAX ? -ENOMEM : -ENOBUFS;
		k->io = io;
		k->path = *path;
		htab_add(&io->keeps, &k->node, keep_hash(io, path));
	}
	if (k->interval_ms != interval_ms) {
		k->interval_ms = interval_ms;
		if (k->tries == 0)
			rest(k);
	}
	return 0;
}

void keeps_free(struct netio *io)
{
	struct hnode *n;

	while (io->keeps.bucket && (n = htab_walk(&io->keeps, NULL)))
		keep_end(container_of(n, struct keep, node));
}
