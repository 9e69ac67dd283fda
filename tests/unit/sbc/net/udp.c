/* What a kernel does seldom: it takes no more datagrams, runs short of buffers, or is interrupted. The file under
 * test is included, with a sendmmsg() and sendmsg() of our own before it. */
#include <sys/socket.h>

static int fake_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags);
static ssize_t fake_sendmsg(int fd, const struct msghdr *m, int flags);
#define sendmmsg fake_sendmmsg
#define sendmsg fake_sendmsg
#include "sbc/net/udp.c"
#undef sendmmsg
#undef sendmsg

#include "world.h"

/* how the kernel behaves now: takes `take` datagrams, then says err */
static unsigned take_n = UINT32_MAX;
static int then_err;

static int fake_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	unsigned k = n < take_n ? n : take_n;
	int r;

	if (k == 0) {
		errno = then_err;
		if (then_err == EINTR)
			take_n = UINT32_MAX;
		return -1;
	}
	r = sendmmsg(fd, m, k, flags);
	if (r > 0 && take_n != UINT32_MAX)
		take_n -= (unsigned)r;
	return r;
}

static ssize_t fake_sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (take_n == 0) {
		errno = then_err;
		return -1;
	}
	if (take_n != UINT32_MAX)
		take_n--;
	return sendmsg(fd, m, flags);
}

static void send_n(struct world *w, const struct addr *to, int from, int n)
{
	for (int i = from; i < from + n; i++) {
		struct net_path path = {.proto = NET_UDP, .remote = *to};

		assert_int_equal(net_send(w->net, &path, &i, sizeof(i), 1000 + (uint64_t)i), 0);
	}
}

static void expect_n(struct world *w, int fd, int from, int n)
{
	for (int i = from; i < from + n; i++) {
		int v = -1;

		assert_int_equal(peer_read(w, fd, (char *)&v, sizeof(v)), sizeof(v));
		assert_int_equal(v, i);
	}
}

static void a_full_socket_keeps_order_and_loses_nothing(void **state)
{
	struct world w;
	struct addr me;
	int fd;

	(void)state;
	w_init(&w, "127.0.0.1:0");
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	take_n = 5;
	then_err = EAGAIN;
	send_n(&w, &me, 0, 20);
	loop_turn(&w.loop, 0);
	assert_int_equal(netio_count(w.io, NET_UDP_TX_QUEUED), 15);
	send_n(&w, &me, 20, 10); /* behind the queue, not past it */
	assert_int_equal(netio_count(w.io, NET_UDP_TX_QUEUED), 25);
	expect_n(&w, fd, 0, 5);
	take_n = 3;
	expect_n(&w, fd, 5, 3);
	take_n = UINT32_MAX;
	expect_n(&w, fd, 8, 22);
	/* the queue is empty: batches again */
	send_n(&w, &me, 30, 10);
	assert_int_equal(netio_count(w.io, NET_UDP_TX_QUEUED), 25);
	expect_n(&w, fd, 30, 10);
	assert_int_equal(w.n_lost, 0);
	/* nobody waits for the socket to be writable any more */
	{
		uint64_t turns = w.loop.counts[LOOP_TURNS];

		w_spin(&w, 30);
		assert_true(w.loop.counts[LOOP_TURNS] - turns < 40);
	}
	close(fd);
	w_fini(&w);
}

static void the_queue_is_bounded(void **state)
{
	struct world w;
	struct addr me;
	struct net_path path = {.proto = NET_UDP};
	int fd;

	(void)state;
	w_init_bare(&w);
	w.lines[0] = (struct net_listener_cfg){.proto = NET_UDP, .bound = at("127.0.0.1:0")};
	w.cfg.n_listeners = 1;
	w.cfg.udp_queue_bytes = 10 * sizeof(int);
	w_open(&w);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	take_n = 0;
	then_err = EAGAIN;
	send_n(&w, &me, 0, 12);
	loop_turn(&w.loop, 0);
	/* ten wait, the two that were in the batch too are reported */
	assert_int_equal(w.n_lost, 2);
	assert_int_equal(w.lost[0].owner, 1010);
	assert_int_equal(w.lost[0].err, -ENOBUFS);
	path.remote = me;
	assert_int_equal(net_send(w.net, &path, "x", 1, 1), -ENOBUFS);
	take_n = UINT32_MAX;
	expect_n(&w, fd, 0, 10);
	assert_int_equal(net_send(w.net, &path, "x", 1, 1), 0);
	close(fd);
	w_fini(&w);
}

/* what waits when all ends is freed with it */
static void a_queue_goes_with_its_socket(void **state)
{
	struct world w;
	struct addr me;
	int fd;

	(void)state;
	w_init(&w, "127.0.0.1:0");
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	take_n = 0;
	then_err = EAGAIN;
	send_n(&w, &me, 0, 100);
	w_fini(&w);
	take_n = UINT32_MAX;
	close(fd);
}

static void other_errors_are_the_messages_own(void **state)
{
	static const int errs[] = {ENOBUFS, EPERM, EMSGSIZE, ECONNREFUSED};
	struct world w;
	struct addr me;
	int fd;

	(void)state;
	w_init(&w, "127.0.0.1:0");
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	for (unsigned i = 0; i < ARRAY_LEN(errs); i++) {
		w.n_lost = 0;
		take_n = 2;
		then_err = errs[i];
		send_n(&w, &me, 0, 4);
		loop_turn(&w.loop, 0);
		assert_int_equal(w.n_lost, 2);
		assert_int_equal(w.lost[0].owner, 1002);
		assert_int_equal(w.lost[0].err, -errs[i]);
		assert_int_equal(w.lost[1].owner, 1003);
		expect_n(&w, fd, 0, 2);
	}
	{ /* said once in a while, with what the system said */
		struct log_line *l = calloc(LOG_RING, sizeof(*l));
		unsigned n, said = 0;

		assert_non_null(l);
		n = logger_read_any(&w.logger, 0, l, LOG_RING);
		for (unsigned i = 0; i < n; i++)
			said += strstr(l[i].text, "send_failed code=PSN-E6009") && strstr(l[i].text, "errno=ENOBUFS");
		assert_int_equal(said, 1);
		free(l);
	}
	w.n_lost = 0;
	take_n = 0;
	then_err = EINTR;
	send_n(&w, &me, 0, 4);
	loop_turn(&w.loop, 0);
	expect_n(&w, fd, 0, 4);
	assert_int_equal(w.n_lost, 0);
	take_n = UINT32_MAX;
	close(fd);
	w_fini(&w);
}

/* a waiting datagram that the kernel then refuses does not hold up those behind it */
static void a_refused_datagram_leaves_the_queue(void **state)
{
	struct world w;
	struct addr me;
	int fd;

	(void)state;
	w_init(&w, "127.0.0.1:0");
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	take_n = 0;
	then_err = EAGAIN;
	send_n(&w, &me, 0, 1);
	loop_turn(&w.loop, 0);
	then_err = EPERM;
	W_UNTIL(&w, w.n_lost == 1);
	assert_int_equal(w.lost[0].owner, 1000);
	assert_int_equal(w.lost[0].err, -EPERM);
	take_n = UINT32_MAX;
	send_n(&w, &me, 1, 3);
	expect_n(&w, fd, 1, 3);
	close(fd);
	w_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_full_socket_keeps_order_and_loses_nothing),
	    cmocka_unit_test(the_queue_is_bounded),
	    cmocka_unit_test(a_queue_goes_with_its_socket),
	    cmocka_unit_test(other_errors_are_the_messages_own),
	    cmocka_unit_test(a_refused_datagram_leaves_the_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
