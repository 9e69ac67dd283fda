/* Pings of ours on connections (RFC 5626 4.4.1), on real loopback sockets; time is skipped. */
#include "world.h"

static void init(struct world *w)
{
	w_init(w, "127.0.0.1:0");
}

/* a connection of ours to a peer that asked for pings every ping_ms; *ret_fd: its end */
static struct net_path open_to(struct world *w, uint32_t ping_ms, int *ret_lfd, int *ret_fd)
{
	struct net_path to = {.proto = NET_TCP};
	char b[8];

	assert_int_equal(net_peer_set(w->net, &to.peer, &(struct net_peer){.name = S("a.example"), .ping_ms = ping_ms}), 0);
	*ret_lfd = peer(SOCK_STREAM, "127.0.0.1:0", &to.remote);
	assert_int_equal(net_send(w->net, &to, "L0001:x", 7, 0), 0);
	*ret_fd = peer_accept(w, *ret_lfd);
	assert_int_equal(peer_read(w, *ret_fd, b, sizeof(b)), 7);
	return to;
}

/* bytes that have come, without waiting for more */
static size_t have(int fd, char *b, size_t n)
{
	ssize_t r = recv(fd, b, n, 0);

	return r > 0 ? (size_t)r : 0;
}

static void pong(struct world *w, int fd)
{
	assert_int_equal(send(fd, "\r\n", 2, MSG_NOSIGNAL), 2);
	w_spin(w, 5);
}

/* ms of skipped time until the next ping, by steps of step_ms */
static int next_ping(struct world *w, int fd, int step_ms, int at_most_ms)
{
	char b[16];

	for (int ms = step_ms; ms <= at_most_ms; ms += step_ms) {
		w_skip(w, step_ms);
		if (have(fd, b, sizeof(b)) == 4) {
			assert_memory_equal(b, "\r\n\r\n", 4);
			return ms;
		}
	}
	return -1;
}

static struct netio_conn_info info(struct world *w, uint32_t conn)
{
	struct netio_conn_info i = {0};
	uint32_t a = 0;

	while (netio_conn_next(w->io, &a, &i))
		if (i.path.conn == conn)
			return i;
	return (struct netio_conn_info){0};
}

/* KA-04: 80..100 % of the interval, drawn anew each time */
static void twenty_intervals(void **state)
{
	struct world w;
	struct net_path to;
	int lfd, fd, lo = 1 << 30, hi = 0;

	(void)state;
	init(&w);
	to = open_to(&w, 120000, &lfd, &fd);
	for (int i = 0; i < 20; i++) {
		int ms = next_ping(&w, fd, 250, 125000);

		assert_true(ms >= 95000 && ms <= 121000);
		lo = ms < lo ? ms : lo;
		hi = ms > hi ? ms : hi;
		pong(&w, fd);
	}
	assert_true(hi - lo > 6000);
	assert_int_equal(netio_count(w.io, NET_TCP_PINGED), 20);
	assert_int_equal(netio_count(w.io, NET_TCP_NO_PONG), 0);
	assert_int_equal(info(&w, to.conn).pings, 20);
	assert_int_equal(info(&w, to.conn).pongs, 20);
	assert_int_equal(info(&w, to.conn).ping_every_ms, 120000);
	assert_int_equal(w.n_got, 0);
	assert_int_equal(netio_count(w.io, NET_TCP_PINGS), 0); /* two pongs are no ping */
	close(fd);
	close(lfd);
	w_fini(&w);
}

/* KA-02: pongs that stop: 10 s later the flow has failed, who waits hears why, and the next request connects anew */
static void a_missing_pong_fails_the_flow(void **state)
{
	struct world w;
	struct net_path to, again;
	struct netio_conn_info i;
	int lfd, fd, fd2;
	char b[16];

	(void)state;
	init(&w);
	to = open_to(&w, 30000, &lfd, &fd);
	assert_true(next_ping(&w, fd, 250, 31000) > 0);
	pong(&w, fd);
	assert_true(next_ping(&w, fd, 250, 31000) > 0);
	i = info(&w, to.conn);
	assert_true(i.pong_awaited);
	w_skip(&w, 9000);
	assert_true(info(&w, to.conn).up);
	w_skip(&w, 1500);
	W_UNTIL(&w, info(&w, to.conn).path.conn == 0);
	assert_int_equal(netio_count(w.io, NET_TCP_PING_LOST), 1);
	again = (struct net_path){.proto = NET_TCP, .remote = to.remote, .peer = to.peer};
	assert_int_equal(net_send(w.net, &again, "L0001:y", 7, 0), 0);
	assert_int_not_equal(again.conn, to.conn);
	fd2 = peer_accept(&w, lfd);
	assert_int_equal(peer_read(&w, fd2, b, sizeof(b)), 7);
	/* it is known now that this peer answers pings: the first one may not be missed either */
	assert_true(next_ping(&w, fd2, 250, 31000) > 0);
	w_skip(&w, 10500);
	assert_int_equal(netio_count(w.io, NET_TCP_PING_LOST), 2);
	assert_int_equal(w.n_flows_lost, 2);
	assert_int_equal(w.flow_err, -NET_ERR_KEEPALIVE);
	assert_int_equal(w.flow_lost.conn, again.conn);
	assert_int_equal(w.flow_lost.peer, to.peer);
	close(fd);
	close(fd2);
	close(lfd);
	w_fini(&w);
}

static void owners_hear_that_the_keepalive_was_lost(void **state)
{
	static char big[6 + 9999];
	struct world w;
	struct net_path to;
	int lfd, fd, small = 1;

	(void)state;
	init(&w);
	to = open_to(&w, 30000, &lfd, &fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(net_keep(w.net, &to, 30000), 0);
	memset(big, 'm', sizeof(big));
	memcpy(big, "L9999:", 6);
	w_skip(&w, 23000);
	/* it reads nothing: these lie in its kernel, or in ours */
	for (unsigned i = 0; i < 20; i++) {
		struct net_path p = to;

		assert_int_equal(net_send(w.net, &p, big, sizeof(big), 100 + i), 0);
	}
	w_skip(&w, 7500); /* the ping is behind them */
	w_skip(&w, 10500);
	W_UNTIL(&w, w.n_lost > 0);
	assert_int_equal(w.lost[0].err, -NET_ERR_KEEPALIVE);
	assert_int_equal(w.lost[w.n_lost - 1].owner, 119);
	assert_int_equal(net_error_reason(w.lost[0].err), REASON_KEEPALIVE_LOST);
	assert_int_equal(w.n_flows_lost, 1);
	assert_int_equal(w.flow_err, -NET_ERR_KEEPALIVE);
	assert_int_equal(w.flow_lost.conn, to.conn);
	close(fd);
	close(lfd);
	w_fini(&w);
}

/* many stacks pass over CRLF: a connection that lives is not cut for it */
static void a_peer_that_knows_no_pings_keeps_its_connection(void **state)
{
	struct world w;
	struct net_path to;
	int lfd, fd;

	(void)state;
	init(&w);
	to = open_to(&w, 30000, &lfd, &fd);
	for (int i = 0; i < 5; i++) {
		assert_true(next_ping(&w, fd, 250, 31000) > 0);
		w_skip(&w, 10500);
		assert_true(info(&w, to.conn).up);
		assert_true(info(&w, to.conn).pings_unknown);
	}
	assert_int_equal(netio_count(w.io, NET_TCP_NO_PONG), 5);
	assert_int_equal(netio_count(w.io, NET_TCP_PING_LOST), 0);
	/* ... but not when it agreed (RFC 6223) */
	assert_int_equal(net_keep(w.net, &to, 30000), 0);
	assert_true(next_ping(&w, fd, 250, 31000) > 0);
	w_skip(&w, 10500);
	W_UNTIL(&w, info(&w, to.conn).path.conn == 0);
	assert_int_equal(w.n_flows_lost, 1);
	close(fd);
	close(lfd);
	w_fini(&w);
}

/* KA-12: the agreed interval counts when it is shorter, and no longer when it is taken back */
static void an_agreed_interval_begins_and_ends(void **state)
{
	struct world w;
	struct net_path to;
	struct addr us;
	int lfd, fd, in;

	(void)state;
	init(&w);
	to = open_to(&w, 0, &lfd, &fd);
	assert_int_equal(next_ping(&w, fd, 5000, 300000), -1);
	assert_int_equal(net_keep(w.net, &to, 30000), 0);
	for (int i = 0; i < 5; i++) {
		int ms = next_ping(&w, fd, 250, 31000);

		assert_true(ms >= 23500 && ms <= 30500);
		pong(&w, fd);
	}
	assert_int_equal(net_keep(w.net, &to, 0), 0);
	assert_int_equal(next_ping(&w, fd, 5000, 300000), -1);
	/* also where the peer opened the connection */
	us = w_listener(&w, NET_TCP, 0);
	in = peer_connect(&w, &us, NULL);
	assert_int_equal(send(in, "L0001:q", 7, 0), 7);
	W_UNTIL(&w, w.n_got == 1);
	assert_int_equal(net_keep(w.net, &w.got[0].path, 30000), 0);
	assert_true(next_ping(&w, in, 250, 31000) > 0);
	pong(&w, in);
	/* the end of a flow with an agreement is told */
	close(in);
	W_UNTIL(&w, w.n_flows_lost == 1);
	assert_int_equal(w.flow_lost.conn, w.got[0].path.conn);
	assert_int_equal(net_keep(w.net, &w.got[0].path, 30000), -ENOTCONN);
	close(fd);
	close(lfd);
	w_fini(&w);
}

/* KA-01: never inside a message */
static void pings_stand_between_messages(void **state)
{
	struct world w;
	struct net_path to;
	static char b[400 * 106 + 1000];
	size_t n = 0, at = 0, pings = 0, msgs = 0, answered = 0;
	int lfd, fd;

	(void)state;
	init(&w);
	to = open_to(&w, 1000, &lfd, &fd);
	for (int i = 0; i < 400; i++) {
		char m[106];
		struct net_path p = to;

		memset(m, 'y', sizeof(m));
		memcpy(m, "L0100:", 6);
		assert_int_equal(net_send(w.net, &p, m, sizeof(m), 0), 0);
		w_skip(&w, 137);
		n += have(fd, b + n, sizeof(b) - n);
		if (netio_count(w.io, NET_TCP_PINGED) > answered) {
			answered++;
			pong(&w, fd);
		}
	}
	while (at < n) {
		if (n - at >= 4 && memcmp(b + at, "\r\n\r\n", 4) == 0) {
			pings++;
			at += 4;
			continue;
		}
		assert_true(n - at >= 106 && memcmp(b + at, "L0100:", 6) == 0);
		at += 106;
		msgs++;
	}
	assert_int_equal(msgs, 400);
	assert_true(pings >= 50 && pings <= 69);
	close(fd);
	close(lfd);
	w_fini(&w);
}

static void a_change_of_the_peer_changes_the_pings(void **state)
{
	struct world w;
	struct net_path to;
	struct net_peer cfg = {.name = S("a.example"), .ping_ms = 60000};
	int lfd, fd;

	(void)state;
	init(&w);
	to = open_to(&w, 0, &lfd, &fd);
	assert_int_equal(net_peer_set(w.net, &to.peer, &cfg), 0);
	assert_true(next_ping(&w, fd, 250, 61000) >= 47500);
	pong(&w, fd);
	cfg.ping_ms = 0;
	assert_int_equal(net_peer_set(w.net, &to.peer, &cfg), 0);
	assert_int_equal(next_ping(&w, fd, 5000, 300000), -1);
	assert_int_equal(info(&w, to.conn).ping_every_ms, 0);
	close(fd);
	close(lfd);
	w_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(twenty_intervals),
	    cmocka_unit_test(a_missing_pong_fails_the_flow),
	    cmocka_unit_test(owners_hear_that_the_keepalive_was_lost),
	    cmocka_unit_test(a_peer_that_knows_no_pings_keeps_its_connection),
	    cmocka_unit_test(an_agreed_interval_begins_and_ends),
	    cmocka_unit_test(pings_stand_between_messages),
	    cmocka_unit_test(a_change_of_the_peer_changes_the_pings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
