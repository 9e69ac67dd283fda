/* sipio.h - what the SIP load generator and the floor program share: batched UDP, framed TCP and TLS, a header scan.
 *
 * Header only: a benchmark is one file. Everything is single threaded; sizes are fixed because the messages are
 * our own and the peer's answers to them. A message longer than MSG_MAX ends the program with a word.
 */
#ifndef TESTS_BENCH_SIPIO_H
#define TESTS_BENCH_SIPIO_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define MSG_MAX   4096
#define BATCH     64
#define STREAM_MAX (256 * 1024)

static inline int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void die(const char *what)
{
	perror(what);
	exit(2);
}

/* "192.0.2.1:5060" or "[2001:db8::1]:5060"; port 0 when there is none */
static inline bool parse_addr(const char *s, struct sockaddr_storage *a, socklen_t *n)
{
	char host[64];
	const char *end, *port = NULL;
	size_t len;

	memset(a, 0, sizeof(*a));
	if (*s == '[') {
		end = strchr(++s, ']');
		if (!end)
			return false;
		if (end[1] == ':')
			port = end + 2;
	} else {
		end = strchr(s, ':');
		if (end)
			port = end + 1;
		else
			end = s + strlen(s);
	}
	len = (size_t)(end - s);
	if (len >= sizeof(host))
		return false;
	memcpy(host, s, len);
	host[len] = 0;
	uint16_t p = port ? (uint16_t)strtoul(port, NULL, 10) : 0;
	struct sockaddr_in *a4 = (struct sockaddr_in *)a;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)a;
	if (inet_pton(AF_INET, host, &a4->sin_addr) == 1) {
		a4->sin_family = AF_INET;
		a4->sin_port = htons(p);
		*n = sizeof(*a4);
		return true;
	}
	if (inet_pton(AF_INET6, host, &a6->sin6_addr) == 1) {
		a6->sin6_family = AF_INET6;
		a6->sin6_port = htons(p);
		*n = sizeof(*a6);
		return true;
	}
	return false;
}

/* the other way, fit for a Via: host:port */
static inline void addr_text(const struct sockaddr_storage *a, char *out, size_t size)
{
	char h[INET6_ADDRSTRLEN];

	if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)a;
		inet_ntop(AF_INET6, &x->sin6_addr, h, sizeof(h));
		snprintf(out, size, "[%s]:%u", h, ntohs(x->sin6_port));
	} else {
		const struct sockaddr_in *x = (const struct sockaddr_in *)a;
		inet_ntop(AF_INET, &x->sin_addr, h, sizeof(h));
		snprintf(out, size, "%s:%u", h, ntohs(x->sin_port));
	}
}

/* ------------------------------------------------------------------ one socket or connection */

struct io {
	int fd;
	bool udp, listener, up;
	int role;                    /* the user's */
	char text[64];               /* own host:port */
	/* UDP */
	struct mmsghdr rx[BATCH], tx[BATCH];
	struct iovec rxv[BATCH], txv[BATCH];
	struct sockaddr_storage rxa[BATCH], txa[BATCH];
	char *rxb, *txb;             /* BATCH * MSG_MAX */
	unsigned n_tx;
	/* TCP, TLS */
	SSL *ssl;                    /* NULL: plain */
	char *in, *out;              /* STREAM_MAX */
	size_t n_in, n_out;
	struct io *next;             /* those the user made, in a list */
};

struct io_stats {
	uint64_t rx, tx, rx_calls, tx_calls, dropped;
};

struct io_set {
	int ep;
	struct io_stats st;
	struct io *all;
	SSL_CTX *tls;                /* streams are TLS by it, both ends with its certificate; NULL: plain */
	/* a whole message; may call io_send() */
	void (*on_msg)(struct io *io, char *m, size_t n, const struct sockaddr_storage *from);
};

static inline void *xalloc(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		die("memory");
	return p;
}

static inline void tls_die(const char *what)
{
	fprintf(stderr, "%s: ", what);
	ERR_print_errors_fp(stderr);
	exit(2);
}

/* One certificate for what we accept and what we open; the far end has to show one of that root. */
static inline SSL_CTX *io_tls(const char *chain, const char *key, const char *root)
{
	SSL_CTX *c = SSL_CTX_new(TLS_method());

	if (!c || SSL_CTX_use_certificate_chain_file(c, chain) != 1 || SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_load_verify_locations(c, root, NULL) != 1)
		tls_die("certificate");
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_read_ahead(c, 1);
	SSL_CTX_set_session_id_context(c, (const unsigned char *)"load", 4);
	return c;
}

static inline void io_watch(struct io_set *s, struct io *io, bool out)
{
	struct epoll_event e = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0), .data.ptr = io};

	if (epoll_ctl(s->ep, EPOLL_CTL_MOD, io->fd, &e) && errno == ENOENT && epoll_ctl(s->ep, EPOLL_CTL_ADD, io->fd, &e))
		die("epoll_ctl");
}

static inline struct io *io_add(struct io_set *s, int fd, bool udp, int role)
{
	struct io *io = xalloc(sizeof(*io));
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);
	int big = 8 << 20, one = 1;

	io->fd = fd;
	io->udp = udp;
	io->role = role;
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		die("fcntl");
	if (udp) {
		if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big)))
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
		if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big)))
			setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
		io->rxb = xalloc((size_t)BATCH * MSG_MAX);
		io->txb = xalloc((size_t)BATCH * MSG_MAX);
		for (unsigned i = 0; i < BATCH; i++) {
			io->rxv[i] = (struct iovec){io->rxb + (size_t)i * MSG_MAX, MSG_MAX};
			io->rx[i].msg_hdr = (struct msghdr){.msg_name = &io->rxa[i], .msg_iov = &io->rxv[i], .msg_iovlen = 1};
			io->txv[i].iov_base = io->txb + (size_t)i * MSG_MAX;
			io->tx[i].msg_hdr = (struct msghdr){.msg_name = &io->txa[i], .msg_iov = &io->txv[i], .msg_iovlen = 1};
		}
	} else {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		io->in = xalloc(STREAM_MAX);
		io->out = xalloc(STREAM_MAX);
	}
	if (getsockname(fd, (struct sockaddr *)&a, &n))
		die("getsockname");
	addr_text(&a, io->text, sizeof(io->text));
	io->next = s->all;
	s->all = io;
	io_watch(s, io, false);
	return io;
}

static inline struct io *io_udp(struct io_set *s, const char *bind_to, int role)
{
	struct sockaddr_storage a;
	socklen_t n;

	if (!parse_addr(bind_to, &a, &n)) {
		fprintf(stderr, "not an address: %s\n", bind_to);
		exit(2);
	}
	int fd = socket(a.ss_family, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n))
		die(bind_to);
	return io_add(s, fd, true, role);
}

static inline struct io *io_listen(struct io_set *s, const char *bind_to, int role)
{
	struct sockaddr_storage a;
	socklen_t n;
	int one = 1;

	if (!parse_addr(bind_to, &a, &n)) {
		fprintf(stderr, "not an address: %s\n", bind_to);
		exit(2);
	}
	int fd = socket(a.ss_family, SOCK_STREAM, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) || bind(fd, (struct sockaddr *)&a, n)
	    || listen(fd, 128))
		die(bind_to);
	struct io *io = io_add(s, fd, false, role);
	io->listener = true;
	return io;
}

static inline struct io *io_connect(struct io_set *s, const struct sockaddr_storage *to, socklen_t n, int role)
{
	int fd = socket(to->ss_family, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, n))
		die("connect");
	SSL *ssl = NULL;
	if (s->tls) {
		ssl = SSL_new(s->tls);
		if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
			tls_die("handshake");
	}
	struct io *io = io_add(s, fd, false, role);
	io->ssl = ssl;
	io->up = true;
	return io;
}

static inline void io_flush(struct io_set *s, struct io *io)
{
	if (io->udp) {
		for (unsigned done = 0; done < io->n_tx;) {
			int r = sendmmsg(io->fd, io->tx + done, io->n_tx - done, 0);
			s->st.tx_calls++;
			if (r <= 0) { /* full: what does not fit is lost, as on a wire */
				s->st.dropped += io->n_tx - done;
				break;
			}
			s->st.tx += (unsigned)r;
			done += (unsigned)r;
		}
		io->n_tx = 0;
	} else if (io->n_out) {
		ssize_t r;
		if (io->ssl) {
			ERR_clear_error();
			r = SSL_write(io->ssl, io->out, (int)io->n_out);
		} else {
			r = send(io->fd, io->out, io->n_out, MSG_NOSIGNAL);
		}
		s->st.tx_calls++;
		if (r > 0) {
			memmove(io->out, io->out + r, io->n_out - (size_t)r);
			io->n_out -= (size_t)r;
		}
		io_watch(s, io, io->n_out > 0);
	}
}

/* Room for one message of at most MSG_MAX; io_sent() says how long it became. */
static inline char *io_room(struct io_set *s, struct io *io)
{
	if (io->udp) {
		if (io->n_tx == BATCH)
			io_flush(s, io);
		return io->txb + (size_t)io->n_tx * MSG_MAX;
	}
	if (io->n_out + MSG_MAX > STREAM_MAX)
		io_flush(s, io);
	if (io->n_out + MSG_MAX > STREAM_MAX) {
		fprintf(stderr, "the peer takes nothing from its connection any more\n");
		exit(2);
	}
	return io->out + io->n_out;
}

static inline void io_sent(struct io_set *s, struct io *io, size_t n, const struct sockaddr_storage *to)
{
	if (n > MSG_MAX) {
		fprintf(stderr, "message of %zu bytes\n", n);
		exit(2);
	}
	if (io->udp) {
		io->txv[io->n_tx].iov_len = n;
		io->txa[io->n_tx] = *to;
		io->tx[io->n_tx].msg_hdr.msg_namelen =
		    to->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
		io->n_tx++;
	} else {
		io->n_out += n;
		s->st.tx++;
	}
}

static inline void io_flush_all(struct io_set *s)
{
	for (struct io *io = s->all; io; io = io->next)
		if (io->n_tx || io->n_out)
			io_flush(s, io);
}

/* Length of the first whole message of a stream; 0: not all there yet. */
static inline size_t frame(const char *b, size_t n)
{
	const char *end = memmem(b, n, "\r\n\r\n", 4), *l;
	size_t body = 0;

	if (!end)
		return 0;
	for (l = b; l < end; l++) {
		l = memchr(l, '\n', (size_t)(end - l));
		if (!l)
			break;
		if (strncasecmp(l + 1, "Content-Length:", 15) == 0) {
			body = strtoul(l + 16, NULL, 10);
			break;
		}
		if (strncasecmp(l + 1, "l:", 2) == 0) {
			body = strtoul(l + 3, NULL, 10);
			break;
		}
	}
	size_t whole = (size_t)(end - b) + 4 + body;
	return whole <= n ? whole : 0;
}

static inline void io_read(struct io_set *s, struct io *io)
{
	if (io->udp) {
		for (unsigned i = 0; i < BATCH; i++)
			io->rx[i].msg_hdr.msg_namelen = sizeof(io->rxa[i]);
		int r = recvmmsg(io->fd, io->rx, BATCH, 0, NULL);
		s->st.rx_calls++;
		for (int i = 0; i < r; i++) {
			s->st.rx++;
			s->on_msg(io, io->rxb + (size_t)i * MSG_MAX, io->rx[i].msg_len, &io->rxa[i]);
		}
		return;
	}
	if (io->listener) {
		int fd = accept(io->fd, NULL, NULL);
		if (fd >= 0) {
			struct io *c = io_add(s, fd, false, io->role);
			memcpy(c->text, io->text, sizeof(c->text));
			c->up = true;
			if (s->tls) { /* the handshake goes along with reading */
				c->ssl = SSL_new(s->tls);
				if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1)
					tls_die("accept");
				SSL_set_accept_state(c->ssl);
			}
		}
		return;
	}
	ssize_t r;
	if (io->ssl) {
		ERR_clear_error();
		r = SSL_read(io->ssl, io->in + io->n_in, (int)(STREAM_MAX - io->n_in));
		if (r <= 0) {
			int e = SSL_get_error(io->ssl, (int)r);
			r = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? -1 : 0;
			errno = EAGAIN;
			if (r == 0 && e == SSL_ERROR_SSL)
				ERR_print_errors_fp(stderr);
		}
	} else {
		r = recv(io->fd, io->in + io->n_in, STREAM_MAX - io->n_in, 0);
	}
	s->st.rx_calls++;
	if (r == 0 || (r < 0 && errno != EAGAIN)) {
		io->up = false;
		epoll_ctl(s->ep, EPOLL_CTL_DEL, io->fd, NULL);
		return;
	}
	if (r < 0)
		return;
	io->n_in += (size_t)r;
	size_t at = 0, n;
	for (;;) {
		while (at < io->n_in && (io->in[at] == '\r' || io->in[at] == '\n'))
			at++;
		n = frame(io->in + at, io->n_in - at);
		if (!n)
			break;
		s->st.rx++;
		s->on_msg(io, io->in + at, n, NULL);
		at += n;
	}
	memmove(io->in, io->in + at, io->n_in - at);
	io->n_in -= at;
}

/* Waits at most ms and handles what came. */
static inline void io_poll(struct io_set *s, int ms)
{
	struct epoll_event e[64];
	int n = epoll_wait(s->ep, e, 64, ms);

	for (int i = 0; i < n; i++) {
		struct io *io = e[i].data.ptr;
		if (e[i].events & EPOLLOUT)
			io_flush(s, io);
		if (e[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			do
				io_read(s, io);
			while (io->ssl && io->up && SSL_has_pending(io->ssl) && SSL_pending(io->ssl) > 0);
	}
}

/* ------------------------------------------------------------------ a message looked at */

struct piece {
	const char *p;
	size_t n;
};

#define SCAN_MAX 16
struct scan {
	int status;                   /* 0: a request */
	struct piece start;           /* first line without CRLF */
	struct piece from, to, call_id, cseq, contact;
	struct piece via[SCAN_MAX], rr[SCAN_MAX];
	unsigned n_via, n_rr;
};

static inline bool is_name(const char *l, size_t n, const char *name, char compact)
{
	return (n == 1 && compact && (*l | 32) == compact) || (n == strlen(name) && strncasecmp(l, name, n) == 0);
}

static inline bool scan_msg(struct scan *m, const char *b, size_t n)
{
	const char *end = b + n, *l, *e, *c;

	memset(m, 0, sizeof(*m));
	e = memmem(b, n, "\r\n", 2);
	if (!e)
		return false;
	m->start = (struct piece){b, (size_t)(e - b)};
	if (n > 12 && memcmp(b, "SIP/2.0 ", 8) == 0)
		m->status = (b[8] - '0') * 100 + (b[9] - '0') * 10 + (b[10] - '0');
	for (l = e + 2; l < end; l = e + 2) {
		e = memmem(l, (size_t)(end - l), "\r\n", 2);
		if (!e)
			return false;
		if (e == l)
			return m->call_id.n && m->cseq.n && m->n_via;
		c = memchr(l, ':', (size_t)(e - l));
		if (!c)
			continue;
		size_t name = (size_t)(c - l);
		struct piece v = {c + 1, (size_t)(e - c - 1)};
		while (v.n && *v.p == ' ') {
			v.p++;
			v.n--;
		}
		switch (*l | 32) {
		case 'v':
			if (is_name(l, name, "Via", 'v') && m->n_via < SCAN_MAX)
				m->via[m->n_via++] = v;
			break;
		case 'f':
			if (is_name(l, name, "From", 'f'))
				m->from = v;
			break;
		case 't':
			if (is_name(l, name, "To", 't'))
				m->to = v;
			break;
		case 'i':
			if (is_name(l, name, "i", 'i'))
				m->call_id = v;
			break;
		case 'c':
			if (is_name(l, name, "Call-ID", 0))
				m->call_id = v;
			else if (is_name(l, name, "CSeq", 0))
				m->cseq = v;
			else if (is_name(l, name, "Contact", 0))
				m->contact = v;
			break;
		case 'm':
			if (is_name(l, name, "m", 'm'))
				m->contact = v;
			break;
		case 'r':
			if (is_name(l, name, "Record-Route", 0) && m->n_rr < SCAN_MAX)
				m->rr[m->n_rr++] = v;
			break;
		}
	}
	return false;
}

static inline char *put(char *p, const char *s, size_t n)
{
	memcpy(p, s, n);
	return p + n;
}

static inline char *puts_(char *p, const char *s)
{
	return put(p, s, strlen(s));
}

static inline char *put_piece(char *p, const char *name, struct piece v)
{
	p = puts_(p, name);
	p = put(p, v.p, v.n);
	return put(p, "\r\n", 2);
}

#endif
