/* udp.c - one UDP socket: batches in, batches out, ICMP errors.
 *
 * In: when the socket is readable up to RX_BATCH datagrams are taken by one recvmmsg() into buffers that all
 * sockets share, each is shown to admit() and handed up where it lies; after RX_ROUNDS full batches the others get
 * their turn. Out: a message is copied into the socket's batch, which leaves by one sendmmsg() at the end of the
 * turn or when it is full. So a busy turn is three system calls for tens of messages.
 *
 * Going wrong: the kernel takes no more (EAGAIN): the rest waits in a bounded queue until the socket is writable.
 * An ICMP error that arrived meanwhile makes an innocent send fail: the error queue is read and the send repeated.
 * The error queue gives back the head of our own datagram, from which the core finds whom it concerns (RFC 3261
 * 18.4). A datagram that is refused for its own sake is reported to its owner.
 *
 * A socket bound to a wildcard asks the kernel for the address each datagram was sent to, and answers from it.
 */
#include <errno.h>
#include <time.h> /* errqueue.h needs it */
#include <linux/errqueue.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbc/net/internal.h"
#include "sbc/base/stun.h"

#define RX_BATCH 32
#define RX_ROUNDS 4
/* Not a multiple of a page: else the heads of all buffers share a handful of cache lines. */
#define RX_STRIDE (65536 + 17 * 64)
#define RX_BYTES 65536
#define TX_BATCH 64
#define TX_BYTES (128 * 1024)
#define UDP_MAX 65507
#define ERRORS_PER_WAKE 64
#define FAIL_HEAD 1024 /* bytes of a datagram that a failure report carries */

union pktinfo_space {
	char v4[CMSG_SPACE(sizeof(struct in_pktinfo))];
	char v6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct cmsghdr align;
};

struct udp_rx {
	struct mmsghdr msg[RX_BATCH];
	struct iovec iov[RX_BATCH];
	struct addr from[RX_BATCH];
	union pktinfo_space info[RX_BATCH];
	char *bytes; /* own */
};

struct udp_queued {
	struct list node;
	struct addr to, local;
	uint64_t owner;
	size_t len;
	char bytes[];
};

struct udp {
	struct listener *l;
	struct net_path in; /* what received datagrams have in common */
	bool wildcard;
	bool watching_write;
	struct loop_hook flush;
	/* the batch */
	unsigned n;
	size_t used;
	struct mmsghdr msg[TX_BATCH];
	struct iovec iov[TX_BATCH];
	struct addr to[TX_BATCH], local[TX_BATCH];
	union pktinfo_space info[TX_BATCH];
	uint64_t owner[TX_BATCH];
	char bytes[TX_BYTES];
	/* what the kernel would not take */
	struct list queue;
	size_t queue_bytes;
};

int udp_rx_new(struct udp_rx **ret)
{
	struct udp_rx *rx = calloc(1, sizeof(*rx));

	if (!rx)
		return -ENOMEM;
	/* pages that no datagram was long enough to touch cost nothing */
	rx->bytes = malloc((size_t)RX_BATCH * RX_STRIDE);
	if (!rx->bytes) {
		free(rx);
		return -ENOMEM;
	}
	for (size_t i = 0; i < RX_BATCH; i++) {
		rx->iov[i] = (struct iovec){rx->bytes + i * RX_STRIDE, RX_BYTES};
		rx->msg[i].msg_hdr = (struct msghdr){
		    .msg_name = &rx->from[i].sa,
		    .msg_iov = &rx->iov[i],
		    .msg_iovlen = 1,
		};
	}
	*ret = rx;
	return 0;
}

void udp_rx_free(struct udp_rx *rx)
{
	if (!rx)
		return;
	free(rx->bytes);
	free(rx);
}

/* ---- out ---- */

/* Says from which of our addresses a datagram leaves. */
static void put_pktinfo(struct msghdr *m, union pktinfo_space *space, const struct addr *local)
{
	struct cmsghdr *c;

	m->msg_control = NULL;
	m->msg_controllen = 0;
	if (addr_none(local) || addr_is_any(local))
		return;
	memset(space, 0, sizeof(*space));
	m->msg_control = space;
	if (addr_is6(local)) {
		struct in6_pktinfo p = {.ipi6_addr = local->in6.sin6_addr, .ipi6_ifindex = local->in6.sin6_scope_id};

		m->msg_controllen = sizeof(space->v6);
		c = CMSG_FIRSTHDR(m);
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(p));
		memcpy(CMSG_DATA(c), &p, sizeof(p));
	} else {
		struct in_pktinfo p = {.ipi_spec_dst = local->in4.sin_addr};

		m->msg_controllen = sizeof(space->v4);
		c = CMSG_FIRSTHDR(m);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(p));
		memcpy(CMSG_DATA(c), &p, sizeof(p));
	}
}

static void watch(struct udp *u, bool write)
{
	int events = UV_READABLE | UV_PRIORITIZED | (write ? UV_WRITABLE : 0);

	if (u->l->closed || u->watching_write == write)
		return;
	u->watching_write = write;
	uv_poll_start(&u->l->poll, events, u->l->poll.poll_cb);
}

static void fail(struct udp *u, const struct addr *to, const struct addr *local, uint64_t owner, int err,
    const char *p, size_t n)
{
	struct net_path path = u->in;
	struct netio *io = u->l->io;
	char code[REASON_CODE_MAX], at[ADDR_TEXT_MAX];
	unsigned unsaid;

	io->counts[NET_UDP_TX_FAILED]++;
	if (netio_may_say(io, &io->send_gate, &unsaid))
		log_warn(&io->log, "send_failed", "code=%s to=%s errno=%s unsaid=%u",
		    reason_code(REASON_SEND_FAILED, code), addr_text(to, at), uv_err_name(err), unsaid);
	path.remote = *to;
	path.local = addr_none(local) ? u->in.local : *local;
	netio_fail_later(io, &path, owner, err, p, n < FAIL_HEAD ? n : FAIL_HEAD);
}

static int enqueue(
    struct udp *u, const struct addr *to, const struct addr *local, const void *p, size_t n, uint64_t owner)
{
	struct udp_queued *q;

	if (u->queue_bytes + n > u->l->io->cfg.udp_queue_bytes)
		return -ENOBUFS;
	q = malloc(sizeof(*q) + n);
	if (!q)
		return -ENOMEM;
	q->to = *to;
	q->local = *local;
	q->owner = owner;
	q->len = n;
	memcpy(q->bytes, p, n);
	list_push(&u->queue, &q->node);
	u->queue_bytes += n;
	u->l->io->counts[NET_UDP_TX_QUEUED]++;
	watch(u, true);
	return 0;
}

static void read_errors(struct udp *u);

/* An error the socket picked up from an earlier datagram's ICMP answer, or this one's own? */
static bool may_be_icmp(int err)
{
	return err == ECONNREFUSED || err == EHOSTUNREACH || err == ENETUNREACH || err == EHOSTDOWN ||
	       err == ENETDOWN || err == ENOPROTOOPT || err == EPROTO || err == EOPNOTSUPP || err == EMSGSIZE ||
	       err == ENONET;
}

static void flush(struct udp *u)
{
	uint64_t *counts = u->l->io->counts;
	unsigned at = 0, repeated_at = TX_BATCH;

	while (at < u->n) {
		int r = sendmmsg(u->l->fd, u->msg + at, u->n - at, MSG_NOSIGNAL), err = errno;

		counts[NET_UDP_TX_CALLS]++;
		if (r > 0) {
			at += (unsigned)r;
			counts[NET_UDP_TX] += (unsigned)r;
			continue;
		}
		if (err == EINTR)
			continue;
		if (may_be_icmp(err) && repeated_at != at) {
			repeated_at = at;
			read_errors(u);
			continue;
		}
		if (err == EAGAIN || err == EWOULDBLOCK) {
			for (; at < u->n; at++) {
				int e = enqueue(u, &u->to[at], &u->local[at], u->iov[at].iov_base,
				    u->iov[at].iov_len, u->owner[at]);
				if (e < 0)
					fail(u, &u->to[at], &u->local[at], u->owner[at], e, u->iov[at].iov_base,
					    u->iov[at].iov_len);
			}
			break;
		}
		fail(u, &u->to[at], &u->local[at], u->owner[at], -err, u->iov[at].iov_base, u->iov[at].iov_len);
		at++;
	}
	u->n = 0;
	u->used = 0;
}

static void on_flush(struct loop_hook *h)
{
	flush(container_of(h, struct udp, flush));
}

/* the socket takes bytes again */
static void drain(struct udp *u)
{
	while (!list_empty(&u->queue)) {
		struct udp_queued *q = container_of(u->queue.next, struct udp_queued, node);
		struct iovec iov = {q->bytes, q->len};
		struct msghdr m = {
		    .msg_name = &q->to.sa, .msg_namelen = addr_len(&q->to), .msg_iov = &iov, .msg_iovlen = 1};
		union pktinfo_space space;
		int err = 0;

		if (u->wildcard)
			put_pktinfo(&m, &space, &q->local);
		for (int tries = 0; tries < 2; tries++) {
			err = sendmsg(u->l->fd, &m, MSG_NOSIGNAL) < 0 ? errno : 0;
			u->l->io->counts[NET_UDP_TX_CALLS]++;
			if (!may_be_icmp(err) && err != EINTR)
				break;
			read_errors(u);
		}
		if (err == EAGAIN || err == EWOULDBLOCK || err == EINTR)
			return;
		if (err)
			fail(u, &q->to, &q->local, q->owner, -err, q->bytes, q->len);
		else
			u->l->io->counts[NET_UDP_TX]++;
		list_del(&q->node);
		u->queue_bytes -= q->len;
		free(q);
	}
	watch(u, false);
}

int udp_send(struct listener *l, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct udp *u = l->udp;
	struct addr local = {.sa.sa_family = AF_UNSPEC};
	unsigned i;

	if (len > UDP_MAX)
		return -EMSGSIZE;
	if (u->wildcard) {
		local = path->local;
		if (addr_none(&local))
			path->local = u->in.local;
	} else {
		path->local = u->in.local;
	}
	path->listener = l->index;
	path->conn = 0;
	if (u->n == TX_BATCH || u->used + len > TX_BYTES)
		flush(u);
	if (!list_empty(&u->queue))
		return enqueue(u, &path->remote, &local, p, len, owner);
	i = u->n++;
	if (i == 0)
		loop_at_turn_end(l->io->loop, &u->flush);
	u->to[i] = path->remote;
	u->local[i] = local;
	u->owner[i] = owner;
	u->iov[i] = (struct iovec){u->bytes + u->used, len};
	memcpy(u->bytes + u->used, p, len);
	u->used += len;
	u->msg[i].msg_hdr.msg_namelen = addr_len(&path->remote);
	if (u->wildcard)
		put_pktinfo(&u->msg[i].msg_hdr, &u->info[i], &local);
	return 0;
}

/* ---- in ---- */

/* which of our addresses a datagram came to */
static void get_pktinfo(const struct msghdr *m, struct addr *local)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR((struct msghdr *)m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo p;

			memcpy(&p, CMSG_DATA(c), sizeof(p));
			local->in4.sin_addr = p.ipi_spec_dst;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo p;

			memcpy(&p, CMSG_DATA(c), sizeof(p));
			local->in6.sin6_addr = p.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&p.ipi6_addr))
				local->in6.sin6_scope_id = p.ipi6_ifindex;
		}
	}
}

/* Line ends, blanks and NULs are what peers send to keep a NAT open: nobody above has a use for them. */
static bool is_keepalive(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '\r' && p[i] != '\n' && p[i] != '\0' && p[i] != ' ' && p[i] != '\t')
			return false;
	return true;
}

static void take(struct udp *u, struct udp_rx *rx, unsigned i)
{
	struct netio *io = u->l->io;
	size_t len = rx->msg[i].msg_len;
	struct net_path from = u->in;

	from.remote = rx->from[i];
	if (u->wildcard)
		get_pktinfo(&rx->msg[i].msg_hdr, &from.local);
	io->counts[NET_UDP_RX]++;
	if (!io->user->admit(io->ctx, &from)) {
		io->counts[NET_UDP_REFUSED]++;
		return;
	}
	if (is_keepalive(rx->iov[i].iov_base, len)) {
		io->counts[NET_UDP_KEEPALIVE]++;
		return;
	}
	if (stun_is(rx->iov[i].iov_base, len)) {
		keep_stun(u->l, &from, rx->iov[i].iov_base, len);
		return;
	}
	io->user->on_message(io->ctx, &from, rx->iov[i].iov_base, len, REASON_NONE);
}

static void read_datagrams(struct udp *u)
{
	struct netio *io = u->l->io;
	struct udp_rx *rx = io->rx;

	for (int round = 0; round < RX_ROUNDS; round++) {
		int n;

		for (unsigned i = 0; i < RX_BATCH; i++) {
			struct msghdr *m = &rx->msg[i].msg_hdr;

			m->msg_namelen = sizeof(rx->from[i]);
			m->msg_control = u->wildcard ? &rx->info[i] : NULL;
			m->msg_controllen = u->wildcard ? sizeof(rx->info[i]) : 0;
		}
		n = recvmmsg(u->l->fd, rx->msg, RX_BATCH, MSG_DONTWAIT, NULL);
		io->counts[NET_UDP_RX_CALLS]++;
		if (n < 0) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return;
			continue; /* EINTR, or an ICMP error, which is cleared by being told */
		}
		for (unsigned i = 0; i < (unsigned)n && !u->l->closed; i++)
			take(u, rx, i);
		if (n < RX_BATCH || u->l->closed)
			return;
	}
}

/* ---- ICMP ---- */

static void read_errors(struct udp *u)
{
	struct netio *io = u->l->io;

	for (int i = 0; i < ERRORS_PER_WAKE; i++) {
		char sent[FAIL_HEAD];
		_Alignas(struct cmsghdr) char space[512];
		struct addr to = {.sa.sa_family = AF_UNSPEC};
		struct iovec iov = {sent, sizeof(sent)};
		struct msghdr m = {.msg_name = &to.sa, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1,
		    .msg_control = space, .msg_controllen = sizeof(space)};
		ssize_t n = recvmsg(u->l->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			struct sock_extended_err ee;
			struct net_path path = u->in;

			if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
			    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
				continue;
			memcpy(&ee, CMSG_DATA(c), sizeof(ee));
			if (ee.ee_origin != SO_EE_ORIGIN_ICMP && ee.ee_origin != SO_EE_ORIGIN_ICMP6)
				continue; /* our own send said so already */
			if (ee.ee_errno == EMSGSIZE)
				continue; /* a smaller MTU on the way: the kernel cuts the next one */
			io->counts[NET_UDP_ICMP]++;
			path.remote = to;
			netio_fail_later(io, &path, 0, -(int)ee.ee_errno, sent, (size_t)n);
		}
	}
}

static void on_ready(uv_poll_t *h, int status, int events)
{
	struct listener *l = container_of(h, struct listener, poll);

	loop_enter(l->io->loop, "udp");
	if (status < 0) { /* libuv stops watching a socket in error */
		read_errors(l->udp);
		l->udp->watching_write = !l->udp->watching_write;
		watch(l->udp, !l->udp->watching_write);
	}
	if (events & UV_PRIORITIZED)
		read_errors(l->udp);
	if (events & UV_READABLE)
		read_datagrams(l->udp);
	if ((events & UV_WRITABLE) && !l->closed)
		drain(l->udp);
	loop_leave(l->io->loop);
}

/* ---- life ---- */

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* as much as asked, past the system's limit when we may */
static void set_buffers(struct listener *l)
{
	int want = l->io->cfg.socket_buffer, have = 0;
	socklen_t len = sizeof(have);

	if (set(l->fd, SOL_SOCKET, SO_RCVBUFFORCE, want) < 0)
		set(l->fd, SOL_SOCKET, SO_RCVBUF, want);
	if (set(l->fd, SOL_SOCKET, SO_SNDBUFFORCE, want) < 0)
		set(l->fd, SOL_SOCKET, SO_SNDBUF, want);
	/* the kernel says twice what it granted, to count its own overhead */
	if (getsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &have, &len) == 0 && have / 2 < want)
		log_warn(&l->io->log, "small_buffer", "wanted=%d got=%d remedy=\"sysctl -w net.core.rmem_max=%d\"", want,
		    have / 2, want);
}

int udp_open(struct listener *l)
{
	bool v6 = addr_is6(&l->asked);
	socklen_t len = sizeof(l->bound);
	struct udp *u;
	int e;

	l->fd = socket(l->asked.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	e = v6 ? set(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) : 0;
	if (!e)
		e = v6 ? set(l->fd, IPPROTO_IPV6, IPV6_RECVERR, 1) : set(l->fd, IPPROTO_IP, IP_RECVERR, 1);
	if (!e && addr_is_any(&l->asked))
		e = v6 ? set(l->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) : set(l->fd, IPPROTO_IP, IP_PKTINFO, 1);
	/* long messages are cut into fragments rather than lost where ICMP is filtered */
	if (!e && !v6)
		e = set(l->fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	/* errors wake libuv as "prioritized" instead of stopping the watcher */
	if (!e)
		e = set(l->fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1);
	if (!e)
		netio_set_dscp(l->fd, v6, l->dscp);
	if (!e && bind(l->fd, &l->asked.sa, addr_len(&l->asked)) < 0)
		e = -errno;
	if (!e && getsockname(l->fd, &l->bound.sa, &len) < 0)
		e = -errno;
	u = e ? NULL : calloc(1, sizeof(*u));
	if (!e && !u)
		e = -ENOMEM;
	if (!e)
		e = uv_poll_init(&l->io->loop->uv, &l->poll, l->fd);
	if (e) {
		close(l->fd);
		l->fd = -1;
		free(u);
		return e;
	}
	set_buffers(l);
	u->l = l;
	u->in = (struct net_path){
	    .proto = NET_UDP, .realm = l->realm, .listener = l->index, .local = l->bound};
	u->wildcard = addr_is_any(&l->bound);
	u->flush.fn = on_flush;
	list_init(&u->queue);
	for (unsigned i = 0; i < TX_BATCH; i++)
		u->msg[i].msg_hdr = (struct msghdr){
		    .msg_name = &u->to[i].sa, .msg_iov = &u->iov[i], .msg_iovlen = 1};
	l->udp = u;
	netio_handle_opened(l->io);
	uv_poll_start(&l->poll, UV_READABLE | UV_PRIORITIZED, on_ready);
	return 0;
}

void udp_set_realm(struct listener *l)
{
	l->udp->in.realm = l->realm;
	l->udp->in.listener = l->index;
}

static void on_closed(uv_handle_t *h)
{
	struct listener *l = container_of(h, struct listener, poll);
	struct netio *io = l->io;

	netio_listener_free(l);
	netio_handle_closed(io);
}

void udp_close(struct listener *l)
{
	struct udp *u = l->udp;

	if (u->n)
		flush(u); /* while there is a socket */
	l->closed = true;
	loop_hook_cancel(&u->flush);
	uv_close((uv_handle_t *)&l->poll, on_closed);
	close(l->fd);
	l->fd = -1;
}

void udp_free(struct udp *u)
{
	struct list *n;

	if (!u)
		return;
	while ((n = list_pop(&u->queue)))
		free(container_of(n, struct udp_queued, node));
	free(u);
}
