/* accept.c - listening sockets of TCP and TLS: who is let in, who is sent away.
 *
 * Refused before it costs anything: by admit(), by the caps on all connections and on those of one source.
 *
 * Without descriptors: one is kept in reserve, given up to accept the waiting connection and close it. So the peer
 * learns, and the level-triggered socket does not wake us for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbc/net/internal.h"

#define BACKLOG 1024
#define ACCEPTS_PER_WAKE 16 /* others wait while they are let in; the rest comes with the next turn */
#define PAUSE_MS 200 /* no accepting after even the spare descriptor was gone */

/* ---- sources ---- */

static uint64_t source_hash(const struct netio *io, const struct addr *a, struct str *ret_key)
{
	*ret_key = str_head(addr_ip_bytes(a), 8);
	return hash_str(&io->env->hash_key, *ret_key);
}

static struct source *source_find(const struct netio *io, uint64_t hash, struct str key)
{
	for (struct hnode *n = htab_first(&io->sources, hash); n; n = htab_next(n)) {
		struct source *s = container_of(n, struct source, node);

		if (str_eq(str_n((const char *)s->ip, s->len), key))
			return s;
	}
	return NULL;
}

/* NULL when out of memory */
static struct source *source_take(struct netio *io, const struct addr *a)
{
	struct str key;
	uint64_t hash = source_hash(io, a, &key);
	struct source *s = source_find(io, hash, key);

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		s->len = (uint8_t)key.n;
		memcpy(s->ip, key.p, key.n);
		htab_add(&io->sources, &s->node, hash);
	}
	s->n++;
	return s;
}

void source_give(struct netio *io, struct source *s)
{
	if (!s || --s->n)
		return;
	htab_del(&io->sources, &s->node);
	free(s);
}

/* ---- accept ---- */

/* no FIN, no TIME_WAIT: nothing stays of it */
static void refuse(int fd)
{
	struct linger rst = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
}

/* cap NULL: for want of memory */
static void say_refused(struct netio *io, const struct addr *remote, const char *cap)
{
	char at[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	unsigned unsaid;

	if (!netio_may_say(io, &io->refused_gate, &unsaid))
		return;
	if (cap)
		log_warn(&io->log, "conn_refused", "peer=%s cap=%s unsaid=%u", addr_text(remote, at), cap, unsaid);
	else
		log_error(&io->log, "conn_refused", "code=%s peer=%s because=\"%s\" unsaid=%u",
		    reason_code(REASON_NO_MEMORY, code), addr_text(remote, at), reason_info(REASON_NO_MEMORY)->text, unsaid);
}

/* Known without asking, but where the listener has all addresses. */
static bool local_of(const struct listener *l, int fd, struct addr *ret)
{
	socklen_t len = sizeof(*ret);

	*ret = l->bound;
	return !addr_is_any(ret) || getsockname(fd, &ret->sa, &len) == 0;
}

static void accepted(struct listener *l, int fd, const struct addr *remote)
{
	struct netio *io = l->io;
	struct net_path path = {.proto = l->proto, .realm = l->realm, .listener = l->index, .remote = *remote};
	struct source *s;
	struct conn *c;
	struct str key;
	uint64_t hash = source_hash(io, remote, &key);

	if (!local_of(l, fd, &path.local) || !io->user->admit(io->ctx, &path)) {
		io->counts[NET_TCP_REFUSED]++;
		refuse(fd);
		return;
	}
	s = source_find(io, hash, key);
	if (io->n_conns >= io->cfg.max_conns || (s && s->n >= io->cfg.max_conns_source)) {
		bool source = io->n_conns < io->cfg.max_conns;

		io->counts[source ? NET_TCP_OVER_SOURCE_CAP : NET_TCP_OVER_CAP]++;
		say_refused(io, remote, source ? "source" : "all");
		refuse(fd);
		return;
	}
	s = source_take(io, remote);
	if (!s || conn_new(io, fd, &path, true, l, &c) < 0) {
		io->counts[NET_TCP_NO_MEMORY]++;
		say_refused(io, remote, NULL);
		if (!s)
			refuse(fd);
		source_give(io, s);
		return;
	}
	c->source = s;
	io->counts[NET_TCP_ACCEPTED]++;
}

static void on_listener_ready(uv_poll_t *h, int status, int events);

static void on_resume(struct timer *t)
{
	struct listener *l = container_of(t, struct listener, resume);

	uv_poll_start(&l->poll, UV_READABLE, on_listener_ready);
}

static void pause_accepting(struct listener *l)
{
	uv_poll_stop(&l->poll);
	timer_start_ms(l->io->env->timers, &l->resume, PAUSE_MS, on_resume);
}

/* No descriptor for those who wait: with the spare one they are taken and sent away. False: nor is there that one.
 * (The kernel says EMFILE before it looks whether anybody waits, so EMFILE alone says nothing.) */
static bool send_away(struct listener *l)
{
	struct netio *io = l->io;
	bool waiting;
	int fd = -1;

	if (io->spare_fd < 0)
		io->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (io->spare_fd < 0) {
		netio_no_descriptors(io, "accept");
		return false;
	}
	close(io->spare_fd);
	for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		netio_no_descriptors(io, "accept");
		refuse(fd);
	}
	waiting = fd < 0 && errno != EAGAIN;
	io->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return !waiting;
}

static void on_listener_ready(uv_poll_t *h, int status, int events)
{
	struct listener *l = container_of(h, struct listener, poll);
	struct loop *loop = l->io->loop;

	(void)events;
	loop_enter(loop, "accept");
	if (status < 0) /* libuv stops watching a socket in error */
		pause_accepting(l);
	for (int i = 0; status == 0 && i < ACCEPTS_PER_WAKE && !l->closed; i++) {
		struct addr remote = {.sa.sa_family = AF_UNSPEC};
		socklen_t len = sizeof(remote);
		int fd = accept4(l->fd, &remote.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accepted(l, fd, &remote);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		if (errno == EMFILE || errno == ENFILE) {
			if (!send_away(l))
				pause_accepting(l);
			break;
		}
		if (errno == ENOMEM || errno == ENOBUFS) {
			pause_accepting(l);
			break;
		}
		/* the peer went away while it waited: next */
	}
	loop_leave(loop);
}

int tcp_listen(struct listener *l)
{
	socklen_t len = sizeof(l->bound);
	int on = 1, e = 0;

	l->fd = socket(l->asked.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	if (addr_is6(&l->asked) && setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		e = -errno;
	netio_set_dscp(l->fd, addr_is6(&l->asked), l->dscp); /* those that are accepted have it too */
	/* connections of an earlier run may still be in TIME_WAIT */
	if (!e && setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		e = -errno;
	if (!e && (bind(l->fd, &l->asked.sa, addr_len(&l->asked)) < 0 || listen(l->fd, BACKLOG) < 0 ||
	              getsockname(l->fd, &l->bound.sa, &len) < 0))
		e = -errno;
	if (!e)
		e = uv_poll_init(&l->io->loop->uv, &l->poll, l->fd);
	if (e) {
		close(l->fd);
		l->fd = -1;
		return e;
	}
	netio_handle_opened(l->io);
	uv_poll_start(&l->poll, UV_READABLE, on_listener_ready);
	return 0;
}

static void on_listener_closed(uv_handle_t *h)
{
	struct listener *l = container_of(h, struct listener, poll);
	struct netio *io = l->io;

	netio_listener_free(l);
	netio_handle_closed(io);
}

void tcp_listener_close(struct listener *l)
{
	l->closed = true;
	timer_stop(l->io->env->timers, &l->resume);
	uv_close((uv_handle_t *)&l->poll, on_listener_closed);
	close(l->fd);
	l->fd = -1;
}
