/* Connections on real loopback sockets: framing, reuse, failure, deadlines, caps. */
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "world.h"

static void echo(struct world *w, const struct net_path *from, char *p, size_t n, enum reason bad)
{
	struct net_path to = *from;

	(void)bad;
	assert_int_equal(net_send(w->net, &to, p, n, 0), 0);
}

static void put(int fd, const char *p, size_t n)
{
	assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void put_z(int fd, const char *z)
{
	put(fd, z, strlen(z));
}

/* reads exactly this text */
static void expect(struct world *w, int fd, const char *z)
{
	char b[512];
	size_t n = 0, want = strlen(z);

	while (n < want) {
		ssize_t r = peer_read(w, fd, b + n, want - n);

		assert_true(r > 0);
		n += (size_t)r;
	}
	assert_memory_equal(b, z, want);
}

static void expect_end(struct world *w, int fd)
{
	char b[512];
	ssize_t r;

	while ((r = peer_read(w, fd, b, sizeof(b))) > 0)
		;
	assert_true(r == 0 || r == -ECONNRESET);
}

static unsigned open_conns(const struct world *w)
{
	return (unsigned)netio_count(w->io, NET_TCP_OPEN);
}

static void init4(struct world *w)
{
	w_init(w, "127.0.0.1:0");
}

/* ---- TCP-01, KA-01 ---- */

static void split_at_every_byte(const char *bound)
{
	static const char text[] = "\r\nL0005:hello\r\n\r\nL0000:L0003:abcL0002:xy";
	const size_t n = sizeof(text) - 1;
	struct world w;
	struct addr us;
	int fd;

	w_init(&w, bound);
	us = w_listener(&w, NET_TCP, 0);
	for (size_t cut = 0; cut <= n; cut++) {
		unsigned before = w.n_got;
		uint64_t pings = netio_count(w.io, NET_TCP_PINGS);

		fd = peer_connect(&w, &us, NULL);
		if (cut)
			put(fd, text, cut);
		loop_turn(&w.loop, 0);
		loop_turn(&w.loop, 0);
		if (cut < n)
			put(fd, text + cut, n - cut);
		W_UNTIL(&w, w.n_got == before + 4);
		assert_string_equal(w.got[before].text, "L0005:hello");
		assert_string_equal(w.got[before + 1].text, "L0000:");
		assert_string_equal(w.got[before + 2].text, "L0003:abc");
		assert_string_equal(w.got[before + 3].text, "L0002:xy");
		expect(&w, fd, "\r\n");
		assert_int_equal(netio_count(w.io, NET_TCP_PINGS), pings + 1);
		close(fd);
		W_UNTIL(&w, open_conns(&w) == 0);
	}
	/* byte by byte */
	fd = peer_connect(&w, &us, NULL);
	w.n_got = 0;
	for (size_t i = 0; i < n; i++) {
		put(fd, text + i, 1);
		loop_turn(&w.loop, 100);
	}
	W_UNTIL(&w, w.n_got == 4);
	assert_string_equal(w.got[3].text, "L0002:xy");
	expect(&w, fd, "\r\n");
	assert_int_equal(recv(fd, &us, sizeof(us), 0), -1); /* exactly one CRLF, and nothing else */
	close(fd);
	w_fini(&w);
}

static void messages_split_at_every_byte_arrive_whole(void **state)
{
	(void)state;
	split_at_every_byte("127.0.0.1:0");
	split_at_every_byte("[::1]:0");
}

static void coalesced_messages_arrive_each(void **state)
{
	static char many[1000 * 9 + 16];
	struct world w;
	struct addr us;
	int fd;

	(void)state;
	init4(&w);
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	for (unsigned i = 0; i < 1000; i++)
		snprintf(many + i * 9, 16, "L0003:%03u", i % 1000);
	put(fd, many, 9000);
	W_UNTIL(&w, w.n_got == 1000);
	for (unsigned i = 0; i < 1000; i++) {
		char want[24];

		snprintf(want, sizeof(want), "L0003:%03u", i);
		assert_string_equal(w.got[i].text, want);
		assert_int_equal(w.got[i].bad, REASON_NONE);
	}
	close(fd);
	w_fini(&w);
}

/* messages longer than one read, again and again on one connection */
static void long_messages_arrive_whole(void **state)
{
	static char big[6 + 9999];
	struct world w;
	struct addr us;
	int fd;

	(void)state;
	init4(&w);
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	memset(big, 'm', sizeof(big));
	memcpy(big, "L9999:", 6);
	for (unsigned i = 0; i < 20; i++) {
		size_t sent = 0, piece = 100 + 777 * i;

		while (sent < sizeof(big)) {
			size_t n = sizeof(big) - sent < piece ? sizeof(big) - sent : piece;

			put(fd, big + sent, n);
			sent += n;
			loop_turn(&w.loop, 0);
		}
		W_UNTIL(&w, w.n_got == i + 1);
		assert_int_equal(w.got[i].len, sizeof(big));
	}
	close(fd);
	w_fini(&w);
}

static void a_pong_is_neither_a_message_nor_a_late_one(void **state)
{
	struct world w;
	struct addr us;
	int fd;

	(void)state;
	w_init_bare(&w);
	w.lines[0] = (struct net_listener_cfg){.proto = NET_UDP, .bound = at("127.0.0.1:0")};
	w.cfg.n_listeners = 1;
	w.cfg.message_ms = 50;
	w_open(&w);
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	put_z(fd, "L0001:x");
	W_UNTIL(&w, w.n_got == 1);
	put_z(fd, "\r\n");
	w_spin(&w, 150);
	assert_int_equal(open_conns(&w), 1);
	put_z(fd, "L0001:y");
	W_UNTIL(&w, w.n_got == 2);
	assert_int_equal(netio_count(w.io, NET_TCP_PINGS), 0);
	close(fd);
	w_fini(&w);
}

/* ---- lost framing ---- */

static void answer_bad(struct world *w, const struct net_path *from, char *p, size_t n, enum reason bad)
{
	struct net_path to = *from;

	(void)p;
	(void)n;
	if (bad)
		assert_int_equal(net_send(w->net, &to, "400 Bad", 7, 0), 0);
}

/* the answer reaches the peer although it goes on sending, then the connection ends */
static void lost_framing_is_answered_then_closed(void **state)
{
	static char junk[1 << 20];
	struct world w;
	struct addr us;
	struct net_path old;
	char b[16];
	size_t sent = 0;
	int fd;

	(void)state;
	init4(&w);
	w.on = answer_bad;
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	put_z(fd, "L0001:xGARBAGE IN PLACE OF A MESSAGE");
	/* ten megabytes more of it */
	for (int i = 0; i < 2000 && sent < (size_t)10 << 20; i++) {
		ssize_t r = send(fd, junk, sizeof(junk), MSG_NOSIGNAL);

		if (r > 0)
			sent += (size_t)r;
		loop_turn(&w.loop, r > 0 ? 0 : 1);
	}
	assert_true(sent >= (size_t)10 << 20);
	assert_int_equal(w.n_got, 2); /* the good one before, the bad one, nothing after */
	assert_int_equal(w.got[0].bad, REASON_NONE);
	assert_int_equal(w.got[1].bad, REASON_BAD_LENGTH);
	assert_int_equal(w.got[1].len, 10);
	expect(&w, fd, "400 Bad");
	assert_int_equal(peer_read(&w, fd, b, sizeof(b)), 0); /* a FIN, no reset */
	/* it cannot be used any more */
	old = w.got[0].path;
	w.on = NULL;
	close(fd);
	W_UNTIL(&w, open_conns(&w) == 0);
	(void)old;
	assert_int_equal(netio_count(w.io, NET_TCP_FRAMING), 1);
	w_fini(&w);
}

/* a peer that never closes its half does not keep ours */
static void a_closed_connection_does_not_wait_for_ever(void **state)
{
	struct world w;
	struct addr us;
	int fd;

	(void)state;
	init4(&w);
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	put_z(fd, "GARBAGE GARBAGE");
	W_UNTIL(&w, w.n_got == 1);
	W_UNTIL(&w, open_conns(&w) == 0);
	close(fd);
	w_fini(&w);
}

/* PAR-34: what the framing function never finishes is bounded here too */
static enum net_frame_kind never(
    struct net_framer *f, const char *p, size_t n, size_t *ret_len, enum reason *ret_reason)
{
	(void)f;
	(void)p;
	(void)n;
	(void)ret_len;
	(void)ret_reason;
	return NET_FRAME_MORE;
}

static void an_endless_message_is_cut_at_the_limit(void **state)
{
	static char junk[1 << 20];
	struct world w;
	struct netio_error err;
	struct addr us;
	int fd;

	(void)state;
	w_init_bare(&w);
	w.lines[0] = (struct net_listener_cfg){.proto = NET_TCP, .bound = at("127.0.0.1:0")};
	w.cfg.listeners = w.lines;
	w.cfg.n_listeners = 1;
	assert_int_equal(netio_new(&w.loop, &w.env, &w.cfg, &w_user, &w, never, &w.io, &err), 0);
	w.net = netio_net(w.io);
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	for (int i = 0; i < 100 && netio_count(w.io, NET_TCP_FRAMING) == 0; i++) {
		(void)!send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
		loop_turn(&w.loop, 1);
	}
	assert_int_equal(netio_count(w.io, NET_TCP_FRAMING), 1);
	assert_int_equal(w.n_got, 0);
	close(fd);
	W_UNTIL(&w, open_conns(&w) == 0);
	w_fini(&w);
}

/* ---- TCP-02, TCP-03, TCP-06, REUSE-01 ---- */

static void answers_go_back_on_the_connection(void **state)
{
	struct world w;
	struct addr us;
	int a, b;

	(void)state;
	init4(&w);
	w.on = echo;
	us = w_listener(&w, NET_TCP, 0);
	a = peer_connect(&w, &us, NULL);
	b = peer_connect(&w, &us, NULL);
	put_z(a, "L0001:a");
	put_z(b, "L0001:b");
	expect(&w, a, "L0001:a");
	expect(&w, b, "L0001:b");
	assert_int_not_equal(w.got[0].path.conn, w.got[1].path.conn);
	assert_int_not_equal(w.got[0].path.conn, 0);
	assert_int_equal(netio_count(w.io, NET_TCP_CONNECTS), 0);
	close(a);
	close(b);
	w_fini(&w);
}

/* the handle of a connection that is gone finds no other one: a new connection to the remote that path names */
static void a_gone_connection_is_opened_anew(void **state)
{
	struct world w;
	struct addr us, them;
	struct net_path to;
	int lfd, fd, fd2;
	uint32_t old;

	(void)state;
	init4(&w);
	us = w_listener(&w, NET_TCP, 0);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	fd = peer_connect(&w, &us, NULL);
	put_z(fd, "L0001:a");
	W_UNTIL(&w, w.n_got == 1);
	to = w.got[0].path;
	old = to.conn;
	close(fd);
	W_UNTIL(&w, open_conns(&w) == 0);
	/* somebody else takes the slot */
	fd2 = peer_connect(&w, &us, NULL);
	W_UNTIL(&w, open_conns(&w) == 1);
	to.remote = them; /* RFC 3261 18.2.2: received address, sent-by port */
	assert_int_equal(net_send(w.net, &to, "L0002:ok", 8, 5), 0);
	assert_int_not_equal(to.conn, old);
	fd = peer_accept(&w, lfd);
	assert_true(fd >= 0);
	expect(&w, fd, "L0002:ok");
	assert_int_equal(recv(fd2, &old, sizeof(old), 0), -1);
	assert_int_equal(w.n_lost, 0);
	close(fd);
	close(fd2);
	close(lfd);
	w_fini(&w);
}

static void one_connection_carries_all_to_one_peer(void **state)
{
	struct world w;
	struct addr them, us, from;
	socklen_t len = sizeof(from);
	struct net_path to = {.proto = NET_TCP}, other;
	uint32_t conn;
	int lfd, fd;

	(void)state;
	init4(&w);
	us = w_listener(&w, NET_TCP, 0);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	to.remote = them;
	assert_int_equal(net_send(w.net, &to, "L0001:0", 7, 1), 0); /* while connecting */
	conn = to.conn;
	for (int i = 1; i < 100; i++) {
		to = (struct net_path){.proto = NET_TCP, .remote = them};
		assert_int_equal(net_send(w.net, &to, "L0001:x", 7, 1), 0);
		assert_int_equal(to.conn, conn);
		if (i % 10 == 0)
			loop_turn(&w.loop, 1);
	}
	fd = peer_accept(&w, lfd);
	expect(&w, fd, "L0001:0");
	assert_int_equal(netio_count(w.io, NET_TCP_CONNECTS), 1);
	/* from our address, not from our listening port */
	assert_int_equal(getpeername(fd, &from.sa, &len), 0);
	assert_true(addr_eq_ip(&from, &us));
	assert_int_not_equal(addr_port(&from), addr_port(&us));
	assert_true(addr_eq(&from, &to.local));
	/* requests of the peer come by it too */
	put_z(fd, "L0003:req");
	W_UNTIL(&w, w.n_got == 1);
	assert_int_equal(w.got[0].path.conn, conn);
	/* another realm does not share it */
	other = (struct net_path){.proto = NET_TCP, .realm = 1, .remote = them};
	assert_int_equal(net_send(w.net, &other, "x", 1, 0), -ENETUNREACH);
	close(fd);
	close(lfd);
	w_fini(&w);
}

/* a connection that came in from port P is used for P, and for nothing else of that host */
static void inbound_connections_are_reused_by_their_true_address_only(void **state)
{
	struct world w;
	struct addr us, me, them;
	socklen_t len = sizeof(me);
	struct net_path to = {.proto = NET_TCP};
	int fd, lfd, out;

	(void)state;
	init4(&w);
	us = w_listener(&w, NET_TCP, 0);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	fd = peer_connect(&w, &us, NULL);
	assert_int_equal(getsockname(fd, &me.sa, &len), 0);
	W_UNTIL(&w, open_conns(&w) == 1);
	to.remote = me;
	assert_int_equal(net_send(w.net, &to, "L0001:x", 7, 0), 0);
	expect(&w, fd, "L0001:x");
	assert_int_equal(netio_count(w.io, NET_TCP_CONNECTS), 0);
	to = (struct net_path){.proto = NET_TCP, .remote = them};
	assert_int_equal(net_send(w.net, &to, "L0001:y", 7, 0), 0);
	assert_int_equal(netio_count(w.io, NET_TCP_CONNECTS), 1);
	out = peer_accept(&w, lfd);
	expect(&w, out, "L0001:y");
	close(fd);
	close(out);
	close(lfd);
	w_fini(&w);
}

static void both_ends_may_close_and_the_next_message_connects_again(void **state)
{
	struct world w;
	struct addr them;
	struct net_path to = {.proto = NET_TCP};
	int lfd, fd;

	(void)state;
	init4(&w);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	for (int i = 0; i < 6; i++) {
		to.remote = them;
		assert_int_equal(net_send(w.net, &to, "L0001:x", 7, 3), 0);
		fd = peer_accept(&w, lfd);
		expect(&w, fd, "L0001:x");
		if (i % 3 == 0) {
			close(fd);
		} else {
			w.net->ops->close(w.net, &to, i % 3 == 2);
			expect_end(&w, fd);
			close(fd);
		}
		W_UNTIL(&w, open_conns(&w) == 0);
	}
	assert_int_equal(netio_count(w.io, NET_TCP_CONNECTS), 6);
	assert_int_equal(w.n_lost, 0); /* all had been acknowledged */
	close(lfd);
	w_fini(&w);
}

/* an orderly close writes what is queued first */
static void close_in_order_writes_the_rest(void **state)
{
	static char big[200000];
	struct world w;
	struct addr them;
	struct net_path to = {.proto = NET_TCP};
	size_t got = 0;
	int lfd, fd, small = 4096;

	(void)state;
	init4(&w);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	setsockopt(lfd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	to.remote = them;
	memset(big, 'q', sizeof(big));
	assert_int_equal(net_send(w.net, &to, big, sizeof(big), 1), 0);
	fd = peer_accept(&w, lfd);
	w_spin(&w, 10);
	w.net->ops->close(w.net, &to, false);
	for (;;) {
		static char b[65536];
		ssize_t r = peer_read(&w, fd, b, sizeof(b));

		assert_true(r >= 0);
		if (r == 0)
			break;
		got += (size_t)r;
	}
	assert_int_equal(got, sizeof(big));
	assert_int_equal(w.n_lost, 0);
	close(fd);
	close(lfd);
	w_fini(&w);
}

/* ---- TCP-04 ---- */

static void refused_on(const char *bound)
{
	struct world w;
	struct addr dead;
	struct net_path to = {.proto = NET_TCP};
	int64_t began;
	int fd = peer(SOCK_STREAM, bound, &dead), e;

	close(fd);
	w_init(&w, bound);
	to.remote = dead;
	loop_turn(&w.loop, 0);
	began = w.loop.clock.mono_us;
	e = net_send(w.net, &to, "one", 3, 11);
	if (e == 0) {
		to.conn = 0;
		assert_int_equal(net_send(w.net, &to, "two", 3, 12), 0);
		assert_int_equal(w.n_lost, 0); /* never from inside send() */
		W_UNTIL(&w, w.n_lost == 2);
		assert_int_equal(w.lost[0].owner, 11);
		assert_int_equal(w.lost[1].owner, 12);
		assert_int_equal(w.lost[0].err, -ECONNREFUSED);
		assert_true(addr_eq(&w.lost[0].path.remote, &dead));
	} else {
		assert_int_equal(e, -ECONNREFUSED);
		loop_turn(&w.loop, 0);
	}
	assert_true(w.loop.clock.mono_us - began < 100000);
	assert_int_equal(open_conns(&w), 0);
	assert_int_equal(netio_count(w.io, NET_TCP_CONNECT_FAILED), 1);
	w_fini(&w);
}

static void a_refused_connect_is_reported_at_once(void **state)
{
	(void)state;
	refused_on("127.0.0.1:0");
	refused_on("[::1]:0");
}

/* A listener whose backlog is full answers no SYN: the connect timeout decides. */
static void a_silent_connect_is_reported_after_its_timeout(void **state)
{
	struct world w;
	struct addr them;
	struct net_path to = {.proto = NET_TCP};
	int lfd, fill[8], e;
	int64_t began;

	(void)state;
	w_init_bare(&w);
	w.lines[0] = (struct net_listener_cfg){.proto = NET_UDP, .bound = at("127.0.0.1:0")};
	w.cfg.n_listeners = 1;
	w.cfg.connect_ms = 150;
	w_open(&w);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	assert_int_equal(listen(lfd, 0), 0);
	for (int i = 0; i < 8; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		e = connect(fill[i], &them.sa, addr_len(&them));
		assert_true(e == 0 || errno == EINPROGRESS);
	}
	to.remote = them;
	loop_turn(&w.loop, 0);
	began = w.loop.clock.mono_us;
	assert_int_equal(net_send(w.net, &to, "x", 1, 21), 0);
	W_UNTIL(&w, w.n_lost == 1);
	assert_int_equal(w.lost[0].owner, 21);
	assert_int_equal(w.lost[0].err, -ETIMEDOUT);
	assert_true(w.loop.clock.mono_us - began >= 150000);
	assert_true(w.loop.clock.mono_us - began < 1000000);
	for (int i = 0; i < 8; i++)
		close(fill[i]);
	close(lfd);
	w_fini(&w);
}

static void reset(int fd)
{
	struct linger rst = {1, 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
}

/* The peer takes the connection, reads nothing and resets it. What its TCP had acknowledged is left to the timers
 * of the transaction; what it had not is reported. */
static void a_reset_reports_what_was_not_acknowledged(void **state)
{
	static char big[250000];
	struct world w;
	struct addr them;
	struct net_path to = {.proto = NET_TCP};
	int lfd, fd, small = 4096;
	int64_t began;

	(void)state;
	init4(&w);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	setsockopt(lfd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	to.remote = them;
	assert_int_equal(net_send(w.net, &to, "L0001:x", 7, 31), 0);
	fd = peer_accept(&w, lfd);
	expect(&w, fd, "L0001:x");
	assert_int_equal(net_send(w.net, &to, big, sizeof(big), 32), 0);
	assert_int_equal(net_send(w.net, &to, "L0001:y", 7, 33), 0);
	w_spin(&w, 20);
	assert_int_equal(w.n_lost, 0);
	reset(fd);
	began = w.loop.clock.mono_us;
	W_UNTIL(&w, w.n_lost == 2);
	assert_true(w.loop.clock.mono_us - began < 100000);
	assert_int_equal(w.lost[0].owner, 32);
	assert_int_equal(w.lost[1].owner, 33);
	assert_int_equal(w.lost[0].err, -ECONNRESET);
	assert_int_equal(netio_count(w.io, NET_TCP_LOST), 1);
	close(lfd);
	w_fini(&w);
}

/* The peer restarted while the connection was idle: the write into it fails and is reported, at once. */
static void a_write_into_a_dead_connection_is_reported(void **state)
{
	struct world w;
	struct addr them;
	struct net_path to = {.proto = NET_TCP};
	int lfd, fd;

	(void)state;
	init4(&w);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	to.remote = them;
	assert_int_equal(net_send(w.net, &to, "L0001:x", 7, 41), 0);
	fd = peer_accept(&w, lfd);
	expect(&w, fd, "L0001:x");
	reset(fd); /* we have not turned since: the connection still looks well */
	assert_int_equal(net_send(w.net, &to, "L0001:y", 7, 42), 0);
	W_UNTIL(&w, w.n_lost == 1);
	assert_int_equal(w.lost[0].owner, 42);
	/* the next one connects anew */
	assert_int_equal(net_send(w.net, &to, "L0001:z", 7, 43), 0);
	fd = peer_accept(&w, lfd);
	expect(&w, fd, "L0001:z");
	assert_int_equal(w.n_lost, 1);
	close(fd);
	close(lfd);
	w_fini(&w);
}

/* what was said before the reset is still heard */
static void the_last_words_before_a_reset_are_heard(void **state)
{
	struct world w;
	struct addr us;
	int fd;

	(void)state;
	init4(&w);
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	W_UNTIL(&w, open_conns(&w) == 1);
	put_z(fd, "L0003:bye");
	close(fd);
	W_UNTIL(&w, w.n_got == 1);
	assert_string_equal(w.got[0].text, "L0003:bye");
	W_UNTIL(&w, open_conns(&w) == 0);
	w_fini(&w);
}

static void closing_now_reports_to_owners_on_a_later_turn(void **state)
{
	struct world w;
	struct addr them;
	struct net_path to = {.proto = NET_TCP};
	int lfd;

	(void)state;
	init4(&w);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	to.remote = them;
	assert_int_equal(net_send(w.net, &to, "L0001:x", 7, 51), 0);
	w.net->ops->close(w.net, &to, true);
	assert_int_equal(w.n_lost, 0);
	loop_turn(&w.loop, 0);
	assert_int_equal(w.n_lost, 1);
	assert_int_equal(w.lost[0].owner, 51);
	assert_int_equal(w.lost[0].err, -ECANCELED);
	close(lfd);
	w_fini(&w);
}

/* ---- TCP-05 ---- */

static void init_short(struct world *w)
{
	w_init_bare(w);
	w->lines[0] = (struct net_listener_cfg){.proto = NET_UDP, .bound = at("127.0.0.1:0")};
	w->cfg.n_listeners = 1;
	w->cfg.first_message_ms = 200;
	w->cfg.message_ms = 150;
	w->cfg.stall_ms = 200;
	w_open(w);
}

static void who_says_nothing_is_closed(void **state)
{
	struct world w;
	struct addr us;
	int mute, pinger, good;
	int64_t began;

	(void)state;
	init_short(&w);
	w.on = echo;
	us = w_listener(&w, NET_TCP, 0);
	mute = peer_connect(&w, &us, NULL);
	pinger = peer_connect(&w, &us, NULL);
	good = peer_connect(&w, &us, NULL);
	put_z(good, "L0001:x");
	expect(&w, good, "L0001:x");
	began = w.loop.clock.mono_us;
	while (netio_count(w.io, NET_TCP_SLOW_FIRST) < 2) {
		(void)!send(pinger, "\r\n\r\n", 4, MSG_NOSIGNAL); /* a ping is no message */
		loop_turn(&w.loop, 10);
		assert_true(w.loop.clock.mono_us - began < 2000000);
	}
	expect_end(&w, mute);
	expect_end(&w, pinger);
	w_spin(&w, 300);
	assert_int_equal(open_conns(&w), 1); /* the good one stays */
	put_z(good, "L0001:y");
	expect(&w, good, "L0001:y");
	close(mute);
	close(pinger);
	close(good);
	w_fini(&w);
}

/* a byte now and then: also after a good message */
static void who_dribbles_is_closed_and_others_are_served(void **state)
{
	struct world w;
	struct addr us;
	int slow, good;
	int64_t began;
	unsigned n = 0;

	(void)state;
	init_short(&w);
	w.on = echo;
	us = w_listener(&w, NET_TCP, 0);
	slow = peer_connect(&w, &us, NULL);
	good = peer_connect(&w, &us, NULL);
	put_z(slow, "L0001:x");
	expect(&w, slow, "L0001:x");
	put_z(good, "L0001:0");
	expect(&w, good, "L0001:0");
	put_z(slow, "L9999:");
	began = w.loop.clock.mono_us;
	while (netio_count(w.io, NET_TCP_SLOW_MESSAGE) == 0) {
		(void)!send(slow, "a", 1, MSG_NOSIGNAL);
		put_z(good, "L0001:g");
		expect(&w, good, "L0001:g");
		w_spin(&w, 5);
		n++;
		assert_true(w.loop.clock.mono_us - began < 10000000);
	}
	assert_true(n >= 1);
	assert_true(w.loop.clock.mono_us - began >= 140000);
	expect_end(&w, slow);
	assert_int_equal(open_conns(&w), 1);
	close(slow);
	close(good);
	w_fini(&w);
}

static void who_does_not_read_is_bounded_then_closed(void **state)
{
	static char big[60000];
	struct world w;
	struct addr us;
	struct net_path to;
	int fd, small = 4096, e = 0, good;
	unsigned queued = 0;

	(void)state;
	init_short(&w);
	us = w_listener(&w, NET_TCP, 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(fd, &us.sa, addr_len(&us)), 0);
	put_z(fd, "L0001:x");
	W_UNTIL(&w, w.n_got == 1);
	to = w.got[0].path;
	while (e == 0 && queued < 1000) {
		e = net_send(w.net, &to, big, sizeof(big), 100 + queued);
		queued += e == 0;
		loop_turn(&w.loop, 0);
	}
	assert_int_equal(e, -ENOBUFS);
	assert_int_equal(netio_count(w.io, NET_TCP_QUEUE_FULL), 1);
	/* another one is served meanwhile */
	w.on = echo;
	good = peer_connect(&w, &us, NULL);
	put_z(good, "L0001:g");
	expect(&w, good, "L0001:g");
	W_UNTIL(&w, netio_count(w.io, NET_TCP_STALLED) == 1);
	assert_true(w.n_lost >= 4 && w.n_lost <= queued);
	assert_int_equal(w.lost[w.n_lost - 1].owner, 100 + queued - 1);
	close(fd);
	close(good);
	w_fini(&w);
}

static void idle_connections_end_in_order(void **state)
{
	struct world w;
	struct addr us;
	int fd;
	char b[8];

	(void)state;
	w_init_bare(&w);
	w.lines[0] = (struct net_listener_cfg){.proto = NET_UDP, .bound = at("127.0.0.1:0")};
	w.cfg.n_listeners = 1;
	w.cfg.idle_ms = 1000;
	w_open(&w);
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	for (int i = 0; i < 4; i++) { /* what is said keeps it, longer than it may be silent */
		put_z(fd, "L0001:x");
		w_spin(&w, 300);
	}
	assert_int_equal(w.n_got, 4);
	assert_int_equal(open_conns(&w), 1);
	assert_int_equal(peer_read(&w, fd, b, sizeof(b)), 0);
	assert_int_equal(netio_count(w.io, NET_TCP_IDLE), 1);
	close(fd);
	W_UNTIL(&w, open_conns(&w) == 0);
	w_fini(&w);
}

static void caps_per_source_and_in_all(void **state)
{
	struct world w;
	struct addr us;
	int a[4], b[4], c;

	(void)state;
	w_init_bare(&w);
	w.lines[0] = (struct net_listener_cfg){.proto = NET_UDP, .bound = at("0.0.0.0:0")};
	w.cfg.n_listeners = 1;
	w.cfg.max_conns_source = 3;
	w.cfg.max_conns = 5;
	w_open(&w);
	us = at("127.0.0.1:0");
	{
		struct addr bound = w_listener(&w, NET_TCP, 0);

		addr_set_port(&us, addr_port(&bound));
	}
	for (int i = 0; i < 4; i++)
		a[i] = peer_connect(&w, &us, "127.0.0.1:0");
	W_UNTIL(&w, netio_count(w.io, NET_TCP_OVER_SOURCE_CAP) == 1);
	expect_end(&w, a[3]);
	for (int i = 0; i < 2; i++)
		b[i] = peer_connect(&w, &us, "127.0.0.9:0");
	W_UNTIL(&w, open_conns(&w) == 5);
	b[2] = peer_connect(&w, &us, "127.0.0.9:0");
	W_UNTIL(&w, netio_count(w.io, NET_TCP_OVER_CAP) == 1);
	expect_end(&w, b[2]);
	/* room again when one goes */
	close(a[0]);
	W_UNTIL(&w, open_conns(&w) == 4);
	c = peer_connect(&w, &us, "127.0.0.1:0");
	put_z(c, "L0001:c");
	W_UNTIL(&w, w.n_got == 1);
	/* and an outgoing one counts as well */
	{
		struct net_path to = {.proto = NET_TCP, .remote = at("127.0.0.1:9")};

		assert_int_equal(net_send(w.net, &to, "x", 1, 1), -EMFILE);
	}
	for (int i = 1; i < 4; i++)
		close(a[i]);
	for (int i = 0; i < 3; i++)
		close(b[i]);
	close(c);
	w_fini(&w);
}

static void who_is_not_admitted_is_reset_before_it_costs_anything(void **state)
{
	struct world w;
	struct addr us;
	int fd;

	(void)state;
	init4(&w);
	w.deny = true;
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	W_UNTIL(&w, netio_count(w.io, NET_TCP_REFUSED) == 1);
	expect_end(&w, fd);
	assert_int_equal(open_conns(&w), 0);
	assert_int_equal(netio_count(w.io, NET_TCP_ACCEPTED), 0);
	close(fd);
	w_fini(&w);
}

/* In a child, whose limit of descriptors is its own. Returns 0 when all was as it should be, else the line. */
#define CHILD_CHECK(cond) \
	do { \
		if (!(cond)) \
			return __LINE__; \
	} while (0)

static int out_of_descriptors(void)
{
	struct world w;
	struct rlimit lim;
	struct addr us;
	int fds[64], n = 0, extra[2], hog[64], n_hog = 0;
	struct pollfd pfd;
	struct net_path to = {.proto = NET_TCP, .remote = at("127.0.0.1:9")};
	char b[16];

	init4(&w);
	w.on = echo;
	us = w_listener(&w, NET_TCP, 0);
	fds[n++] = peer_connect(&w, &us, NULL);
	extra[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	extra[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	lim.rlim_cur = lim.rlim_max = (rlim_t)extra[1] + 8;
	CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &lim) == 0);
	while (n_hog < 64 && (hog[n_hog] = dup(0)) >= 0)
		n_hog++;
	CHILD_CHECK(n_hog < 64);
	/* two more want in: accepted and sent away, each hears of it */
	for (int i = 0; i < 2; i++) {
		CHILD_CHECK(connect(extra[i], &us.sa, addr_len(&us)) == 0 || errno == EINPROGRESS);
		for (int k = 0; k < 200 && netio_count(w.io, NET_NO_DESCRIPTORS) < (uint64_t)i + 1; k++)
			loop_turn(&w.loop, 5);
		CHILD_CHECK(netio_count(w.io, NET_NO_DESCRIPTORS) == (uint64_t)i + 1);
		pfd = (struct pollfd){.fd = extra[i], .events = POLLIN};
		CHILD_CHECK(poll(&pfd, 1, 1000) == 1);
		CHILD_CHECK(recv(extra[i], b, sizeof(b), 0) <= 0);
	}
	/* connecting says so */
	CHILD_CHECK(net_send(w.net, &to, "x", 1, 1) == -EMFILE);
	/* the loop does not spin on the waiting socket */
	{
		uint64_t turns = w.loop.counts[LOOP_TURNS];

		w_spin(&w, 50);
		CHILD_CHECK(w.loop.counts[LOOP_TURNS] - turns < 60);
	}
	/* those who are in are served */
	put_z(fds[0], "L0001:x");
	expect(&w, fds[0], "L0001:x");
	/* and all is well when descriptors come back */
	while (n_hog)
		close(hog[--n_hog]);
	fds[n++] = peer_connect(&w, &us, NULL);
	put_z(fds[1], "L0001:y");
	expect(&w, fds[1], "L0001:y");
	while (n)
		close(fds[--n]);
	close(extra[0]);
	close(extra[1]);
	w_fini(&w);
	return 0;
}

static void without_descriptors_service_goes_on(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int line = out_of_descriptors();

		if (line)
			dprintf(2, "child: line %d\n", line);
		_exit(line ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- life ---- */

static void close_in_message(struct world *w, const struct net_path *from, char *p, size_t n, enum reason bad)
{
	(void)p;
	(void)n;
	(void)bad;
	w->net->ops->close(w->net, from, true);
}

static void the_user_may_close_a_connection_in_its_own_message(void **state)
{
	struct world w;
	struct addr us;
	int fd;

	(void)state;
	init4(&w);
	w.on = close_in_message;
	us = w_listener(&w, NET_TCP, 0);
	for (int i = 0; i < 20; i++) {
		fd = peer_connect(&w, &us, NULL);
		put_z(fd, i % 2 ? "L0001:aL0001:bL0001:c" : "L0001:aL0001:bL00");
		W_UNTIL(&w, w.n_got == (unsigned)i + 1);
		expect_end(&w, fd);
		close(fd);
	}
	assert_int_equal(open_conns(&w), 0);
	w_fini(&w);
}

static void everything_open_goes_at_once(void **state)
{
	struct world w;
	struct addr us, them;
	struct net_path to = {.proto = NET_TCP};
	int fd[20], lfd;

	(void)state;
	init4(&w);
	us = w_listener(&w, NET_TCP, 0);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	for (int i = 0; i < 20; i++) {
		fd[i] = peer_connect(&w, &us, NULL);
		if (i % 2)
			put_z(fd[i], "L0100:begun");
	}
	to.remote = them;
	assert_int_equal(net_send(w.net, &to, "L0001:x", 7, 3), 0);
	w_spin(&w, 5);
	assert_int_equal(net_send(w.net, &to, "L0001:x", 7, 4), 0);
	w_fini(&w); /* the sanitiser sees what is left */
	for (int i = 0; i < 20; i++)
		close(fd[i]);
	close(lfd);
}

static void connections_can_be_looked_at(void **state)
{
	struct world w;
	struct addr us, me;
	socklen_t len = sizeof(me);
	struct netio_conn_info info;
	uint32_t i = 0;
	int fd;

	(void)state;
	init4(&w);
	w.on = echo;
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	assert_int_equal(getsockname(fd, &me.sa, &len), 0);
	put_z(fd, "L0001:aL0001:b");
	expect(&w, fd, "L0001:aL0001:b");
	assert_true(netio_conn_next(w.io, &i, &info));
	assert_true(addr_eq(&info.path.remote, &me));
	assert_true(info.inbound);
	assert_true(info.up);
	assert_int_equal(info.rx_msgs, 2);
	assert_int_equal(info.tx_msgs, 2);
	assert_int_equal(info.queued, 0);
	assert_false(netio_conn_next(w.io, &i, &info));
	assert_int_equal(metrics_get(&w.metrics, "net", "tcp_rx"), 2);
	close(fd);
	w_fini(&w);
}

/* many owners on one connection that never breaks: what was acknowledged is forgotten, memory stays */
static void owners_are_forgotten_once_acknowledged(void **state)
{
	struct world w;
	struct addr them;
	struct net_path to = {.proto = NET_TCP};
	char b[4096];
	int lfd, fd = -1;
	size_t got = 0;

	(void)state;
	init4(&w);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	to.remote = them;
	for (uint64_t i = 1; i <= 20000; i++) {
		assert_int_equal(net_send(w.net, &to, "0123456789", 10, i), 0);
		if (i % 50 == 0) {
			ssize_t r;

			loop_turn(&w.loop, 0);
			if (fd < 0)
				fd = peer_accept(&w, lfd);
			while ((r = recv(fd, b, sizeof(b), 0)) > 0)
				got += (size_t)r;
		}
	}
	W_UNTIL(&w, ({
		ssize_t r = recv(fd, b, sizeof(b), 0);

		got += r > 0 ? (size_t)r : 0;
		got == 200000;
	}));
	reset(fd);
	W_UNTIL(&w, open_conns(&w) == 0);
	assert_int_equal(w.n_lost, 0);
	close(lfd);
	w_fini(&w);
}

/* Who came together is late together; others must not wait until all of them are sent away. */
static void a_crowd_is_not_sent_away_in_one_turn(void **state)
{
	enum { N = 60 };
	struct world w;
	struct addr us;
	int fd[N];
	unsigned turns = 0, before;

	(void)state;
	w_init_bare(&w);
	w.lines[0] = (struct net_listener_cfg){.proto = NET_TCP, .bound = at("127.0.0.1:0")};
	w.cfg.n_listeners = 1;
	w_open(&w);
	us = w_listener(&w, NET_TCP, 0);
	for (unsigned i = 0; i < N; i++)
		fd[i] = peer_connect(&w, &us, NULL);
	W_UNTIL(&w, open_conns(&w) == N);
	w.ahead_us += (w.cfg.first_message_ms + 1000) * (int64_t)1000;
	for (before = N; before > 0; turns++) {
		loop_turn(&w.loop, 5);
		assert_true(before - open_conns(&w) <= 16);
		before = open_conns(&w);
		assert_true(turns < 500);
	}
	assert_true(turns >= N / 16);
	assert_int_equal(netio_count(w.io, NET_TCP_SLOW_FIRST), N);
	for (unsigned i = 0; i < N; i++)
		close(fd[i]);
	w_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(messages_split_at_every_byte_arrive_whole),
	    cmocka_unit_test(coalesced_messages_arrive_each),
	    cmocka_unit_test(long_messages_arrive_whole),
	    cmocka_unit_test(a_pong_is_neither_a_message_nor_a_late_one),
	    cmocka_unit_test(lost_framing_is_answered_then_closed),
	    cmocka_unit_test(a_closed_connection_does_not_wait_for_ever),
	    cmocka_unit_test(an_endless_message_is_cut_at_the_limit),
	    cmocka_unit_test(answers_go_back_on_the_connection),
	    cmocka_unit_test(a_gone_connection_is_opened_anew),
	    cmocka_unit_test(one_connection_carries_all_to_one_peer),
	    cmocka_unit_test(inbound_connections_are_reused_by_their_true_address_only),
	    cmocka_unit_test(both_ends_may_close_and_the_next_message_connects_again),
	    cmocka_unit_test(close_in_order_writes_the_rest),
	    cmocka_unit_test(a_refused_connect_is_reported_at_once),
	    cmocka_unit_test(a_silent_connect_is_reported_after_its_timeout),
	    cmocka_unit_test(a_reset_reports_what_was_not_acknowledged),
	    cmocka_unit_test(a_write_into_a_dead_connection_is_reported),
	    cmocka_unit_test(the_last_words_before_a_reset_are_heard),
	    cmocka_unit_test(closing_now_reports_to_owners_on_a_later_turn),
	    cmocka_unit_test(who_says_nothing_is_closed),
	    cmocka_unit_test(who_dribbles_is_closed_and_others_are_served),
	    cmocka_unit_test(who_does_not_read_is_bounded_then_closed),
	    cmocka_unit_test(idle_connections_end_in_order),
	    cmocka_unit_test(caps_per_source_and_in_all),
	    cmocka_unit_test(who_is_not_admitted_is_reset_before_it_costs_anything),
	    cmocka_unit_test(without_descriptors_service_goes_on),
	    cmocka_unit_test(the_user_may_close_a_connection_in_its_own_message),
	    cmocka_unit_test(everything_open_goes_at_once),
	    cmocka_unit_test(connections_can_be_looked_at),
	    cmocka_unit_test(owners_are_forgotten_once_acknowledged),
	    cmocka_unit_test(a_crowd_is_not_sent_away_in_one_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
