/* dns_server.c - servers: their sockets on the loop, and which of them are alive.
 *
 * Each server has a c-ares channel of its own with one try, so c-ares does sockets, timeouts and TCP for truncated
 * answers, and the order of servers is ours. Ids are ours too, from the process's randomness. The sockets of the
 * channels are read by read_socket(): it drops what answers none of our questions before c-ares sees it, counts it,
 * and reads no more than READ_BATCH datagrams in one go, so a flood of forged answers holds up nothing.
 *
 * c-ares closes its sockets right after saying so, so the watcher of a socket is closed inside that call and freed when
 * libuv lets go.
 */
#include "sbc/net/dns_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_BATCH 64
#define SILENT_MAX 3          /* in a row: the server is set aside */

void dns_server_lives(struct server *s)
{
	struct dns *d = s->d;
	char text[ADDR_TEXT_MAX];

	s->silent = 0;
	if (!s->down)
		return;
	s->down = false;
	log_info(&d->log, "dns_server_up", "server=%s", addr_text(&s->addr, text));
	dns_sets_kick(d);
}

void dns_server_silent(struct server *s, const char *why)
{
	struct dns *d = s->d;
	char text[ADDR_TEXT_MAX];

	if (++s->silent < SILENT_MAX)
		return;
	s->rest_until_us = dns_now_us(d) + (int64_t)d->cfg.rest_s * 1000000;
	if (s->down)
		return;
	s->down = true;
	log_warn(&d->log, "dns_server_down", "server=%s because=\"%s\"", addr_text(&s->addr, text), why);
}

/* ---- c-ares on the loop ---- */

static void on_timeout(struct timer *t)
{
	struct server *s = container_of(t, struct server, timeout);

	s->read_left = READ_BATCH;
	ares_process_fd(s->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	dns_server_arm(s);
}

void dns_server_arm(struct server *s)
{
	struct timeval tv;

	if (ares_timeout(s->channel, NULL, &tv))
		timer_start_us(s->d->env->timers, &s->timeout, (int64_t)tv.tv_sec * 1000000 + tv.tv_usec, on_timeout);
	else
		timer_stop(s->d->env->timers, &s->timeout);
}

static void server_free(struct server *s)
{
	struct dns *d = s->d;

	htab_fini(&s->ids);
	free(s);
	if (--d->open_servers == 0 && d->closing)
		loop_at_turn_end(d->loop, &d->done);
}

static void on_sock_closed(uv_handle_t *h)
{
	struct sock *k = container_of(h, struct sock, poll);
	struct server *s = k->s;

	free(k);
	if (--s->open_handles == 0 && s->gone)
		server_free(s);
}

static void sock_close(struct sock *k)
{
	if (k->closed)
		return;
	k->closed = true;
	list_del(&k->node);
	uv_close((uv_handle_t *)&k->poll, on_sock_closed);
}

static void on_sock_ready(uv_poll_t *h, int status, int events)
{
	struct sock *k = container_of(h, struct sock, poll);
	struct server *s = k->s;
	ares_socket_t fd = k->fd;
	bool read = status < 0 || (events & UV_READABLE), write = status < 0 || (events & UV_WRITABLE);

	loop_enter(s->d->loop, "dns");
	s->read_left = READ_BATCH;
	ares_process_fd(s->channel, read ? fd : ARES_SOCKET_BAD, write ? fd : ARES_SOCKET_BAD); /* k may be gone */
	dns_server_arm(s);
	loop_leave(s->d->loop);
}

static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct server *s = arg;
	struct sock *k = NULL;

	list_each(n, &s->socks)
	{
		if (container_of(n, struct sock, node)->fd == fd)
			k = container_of(n, struct sock, node);
	}
	if (!readable && !writable) {
		if (k)
			sock_close(k);
		return;
	}
	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k || uv_poll_init_socket(&s->d->loop->uv, &k->poll, fd) < 0) {
			free(k);
			return; /* the question runs into its timeout */
		}
		k->s = s;
		k->fd = fd;
		s->open_handles++;
		list_push(&s->socks, &k->node);
	}
	uv_poll_start(&k->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_sock_ready);
}

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
	(void)arg;
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static int close_socket(ares_socket_t fd, void *arg)
{
	(void)arg;
	return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t n, void *arg)
{
	(void)arg;
	return connect(fd, to, n);
}

static ares_ssize_t send_socket(ares_socket_t fd, const struct iovec *v, int n, void *arg)
{
	struct msghdr m = {.msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)n};

	(void)arg;
	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

/* Is this datagram the answer to something we asked this server? */
static bool is_answer(struct server *s, const uint8_t *p, size_t n)
{
	struct try *t = n >= 12 ? dns_try_by_id(s, (uint16_t)(p[0] << 8 | p[1])) : NULL;

	if (!t || !dns_answers(p, n, str_z(t->name), (enum dns_type)t->type))
		return false;
	if (p[2] & 0x02)
		s->d->counts[DNS_C_TRUNCATED]++;
	if ((p[3] & 0x0f) == DNS_FORMERR && t->edns && p[10] == 0 && p[11] == 0)
		s->no_edns = true; /* RFC 6891 7: it does not know EDNS; c-ares comes to the same end */
	return true;
}

static ares_ssize_t read_socket(
    ares_socket_t fd, void *p, size_t n, int flags, struct sockaddr *from, ares_socklen_t *from_n, void *arg)
{
	struct server *s = arg;
	socklen_t room = from_n ? *from_n : 0;

	if (!from) /* TCP: framed and matched by c-ares */
		return recv(fd, p, n, flags);
	while (s->read_left) {
		ssize_t got;

		s->read_left--;
		*from_n = room;
		got = recvfrom(fd, p, n, flags, from, from_n);
		if (got < 0 || (got > 0 && is_answer(s, p, (size_t)got)))
			return got;
		s->d->counts[DNS_C_STRAY]++;
		s->seen.lied++;
	}
	errno = EAGAIN;
	return -1;
}

static const struct ares_socket_functions socket_functions = {
    open_socket, close_socket, connect_socket, read_socket, send_socket};

static int server_new(struct dns *d, const struct addr *a, struct server **ret)
{
	char lookups[] = "b", no_file[] = "/dev/null"; /* nothing is read from files */
	struct ares_addr_port_node at = {.family = a->sa.sa_family};
	struct ares_options opt = {0};
	struct server *s = calloc(1, sizeof(*s));
	int e;

	if (!s)
		return -ENOMEM;
	s->d = d;
	s->addr = *a;
	if (addr_port(a) == 0)
		addr_set_port(&s->addr, 53);
	list_init(&s->socks);
	if (htab_init(&s->ids, 64) < 0) {
		free(s);
		return -ENOMEM;
	}
	opt.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP | ARES_FLAG_EDNS;
	opt.ednspsz = DNS_EDNS_SIZE;
	opt.timeout = (int)d->cfg.try_ms;
	opt.tries = 1;
	opt.lookups = lookups;
	opt.resolvconf_path = no_file;
	opt.sock_state_cb = on_sock_state;
	opt.sock_state_cb_data = s;
	e = ares_init_options(&s->channel, &opt,
	    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ |
	        ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF);
	if (e == ARES_SUCCESS) {
		ares_set_socket_functions(s->channel, &socket_functions, s);
		at.udp_port = at.tcp_port = addr_port(&s->addr);
		if (addr_is6(a))
			memcpy(&at.addr.addr6, &a->in6.sin6_addr, 16);
		else
			at.addr.addr4 = a->in4.sin_addr;
		e = ares_set_servers_ports(s->channel, &at);
		if (e != ARES_SUCCESS)
			ares_destroy(s->channel);
	}
	if (e != ARES_SUCCESS) {
		htab_fini(&s->ids);
		free(s);
		return e == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	d->open_servers++;
	*ret = s;
	return 0;
}

void dns_server_close(struct server *s)
{
	struct dns *d = s->d;

	list_del(&s->node);
	s->gone = true;
	timer_stop(d->env->timers, &s->timeout);
	ares_destroy(s->channel); /* tries end in on_try(), sockets in on_sock_state() */
	list_each(n, &d->active)
	{
		struct ask *a = container_of(n, struct ask, node);

		list_each(m, &a->tries)
		{
			struct try *t = container_of(m, struct try, node);

			if (t->s == s)
				t->s = NULL;
		}
	}
	if (s->open_handles == 0)
		server_free(s);
}

/* The servers resolv.conf names, malloc'ed. */
static int read_resolv_conf(struct addr **ret, unsigned *ret_n)
{
	char lookups[] = "b";
	struct ares_options opt = {.lookups = lookups};
	struct ares_addr_port_node *all = NULL, *i;
	ares_channel c;
	struct addr *a;
	unsigned n = 0;

	if (ares_init_options(&c, &opt, ARES_OPT_LOOKUPS) != ARES_SUCCESS)
		return -ENOMEM;
	if (ares_get_servers_ports(c, &all) != ARES_SUCCESS) {
		ares_destroy(c);
		return -ENOMEM;
	}
	for (i = all; i; i = i->next)
		n++;
	a = calloc(n ? n : 1, sizeof(*a));
	n = 0;
	for (i = all; a && i; i = i->next, n++) {
		a[n].sa.sa_family = (sa_family_t)i->family;
		if (i->family == AF_INET6)
			memcpy(&a[n].in6.sin6_addr, &i->addr.addr6, 16);
		else
			a[n].in4.sin_addr = i->addr.addr4;
		addr_set_port(&a[n], (uint16_t)i->udp_port);
	}
	ares_free_data(all);
	ares_destroy(c);
	if (!a)
		return -ENOMEM;
	*ret = a;
	*ret_n = n;
	return 0;
}

static struct server *server_at(const struct list *l, const struct addr *a)
{
	struct addr full = *a;

	if (addr_port(&full) == 0)
		addr_set_port(&full, 53);
	list_each(n, (struct list *)l)
	{
		struct server *s = container_of(n, struct server, node);

		if (addr_eq(&s->addr, &full))
			return s;
	}
	return NULL;
}

int dns_set_servers(struct dns *d, const struct addr *servers, unsigned n)
{
	struct addr *own = NULL;
	struct list fresh, old;
	int e = 0;

	if (n == 0) {
		e = read_resolv_conf(&own, &n);
		if (e < 0)
			return e;
		servers = own;
	}
	list_init(&fresh);
	for (unsigned i = 0; i < n && e == 0; i++) {
		struct server *s = NULL;

		if (server_at(&d->servers, &servers[i]) || server_at(&fresh, &servers[i]))
			continue;
		e = server_new(d, &servers[i], &s);
		if (e == 0)
			list_push(&fresh, &s->node);
	}
	if (e < 0 || n == 0) {
		list_each(m, &fresh)
		{
			dns_server_close(container_of(m, struct server, node));
		}
		free(own);
		return e < 0 ? e : -EINVAL;
	}
	list_init(&old);
	list_splice(&old, &d->servers);
	d->n_servers = 0;
	for (unsigned i = 0; i < n; i++) { /* in the order given, those that stay with all they know */
		struct server *s = server_at(&old, &servers[i]);

		if (!s)
			s = server_at(&fresh, &servers[i]);
		if (!s)
			continue; /* named twice */
		list_del(&s->node);
		list_push(&d->servers, &s->node);
		d->n_servers++;
	}
	list_each(m, &old)
	{
		dns_server_close(container_of(m, struct server, node));
	}
	free(own);
	dns_sets_kick(d);
	return 0;
}

bool dns_server_view(const struct dns *d, unsigned i, struct dns_server_view *ret)
{
	list_each(n, &((struct dns *)d)->servers)
	{
		const struct server *s = container_of(n, struct server, node);

		if (i-- > 0)
			continue;
		*ret = s->seen;
		ret->addr = s->addr;
		ret->down = s->down;
		return true;
	}
	return false;
}
