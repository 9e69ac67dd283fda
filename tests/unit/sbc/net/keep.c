/* STUN on the UDP socket of SIP (RFC 5626 4.4.2, 8), on real loopback sockets; time is skipped. */
#include "world.h"

#include "sbc/base/stun.h"

static struct addr us;

static void init(struct world *w)
{
	w_init(w, "127.0.0.1:0");
	us = w_listener(w, NET_UDP, 0);
}

static void put_to(int fd, const char *p, size_t n)
{
	assert_int_equal(sendto(fd, p, n, 0, &us.sa, addr_len(&us)), (ssize_t)n);
}

static size_t question(char *b)
{
	return stun_put_request(b, (const uint8_t *)"0123456789ab");
}

/* KA-03 */
static void a_question_is_answered_and_goes_no_further(void **state)
{
	static const char *const bound[] = {"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct world w;
		struct addr me;
		struct stun_msg m;
		char b[200];
		ssize_t n;
		int fd;

		w_init(&w, bound[i]);
		us = w_listener(&w, NET_UDP, 0);
		fd = peer(SOCK_DGRAM, i % 2 ? "[::1]:0" : "127.0.0.1:0", &me);
		if (i == 2)
			us.in4.sin_addr = me.in4.sin_addr;
		if (i == 3)
			us.in6.sin6_addr = me.in6.sin6_addr;
		put_to(fd, b, question(b));
		n = peer_read(&w, fd, b, sizeof(b));
		assert_true(n > 0);
		assert_int_equal(stun_parse(b, (size_t)n, &m), 0);
		assert_int_equal(m.kind, STUN_SUCCESS);
		assert_true(addr_eq(&m.mapped, &me));
		assert_memory_equal(m.tid, "0123456789ab", 12);
		assert_int_equal(w.n_got, 0);
		assert_int_equal(netio_count(w.io, NET_UDP_STUN), 1);
		close(fd);
		w_fini(&w);
	}
}

static void strangers_get_no_answer(void **state)
{
	struct world w;
	struct addr me;
	char b[200];
	int fd;

	(void)state;
	init(&w);
	w.deny = true;
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	put_to(fd, b, question(b));
	W_UNTIL(&w, netio_count(w.io, NET_UDP_REFUSED) == 1);
	w_spin(&w, 20);
	assert_int_equal(recv(fd, b, sizeof(b), 0), -1);
	assert_int_equal(netio_count(w.io, NET_UDP_STUN), 0);
	close(fd);
	w_fini(&w);
}

static void garbage_is_counted_and_dropped(void **state)
{
	struct world w;
	struct addr me;
	char b[200];
	size_t n;
	int fd;

	(void)state;
	init(&w);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	n = question(b);
	b[5] ^= 1; /* the cookie */
	put_to(fd, b, n);
	b[5] ^= 1;
	for (size_t i = 2; i < n; i++)
		put_to(fd, b, i);
	put_to(fd, "\x03garbage that begins like STUN", 30);
	W_UNTIL(&w, netio_count(w.io, NET_UDP_STUN_BAD) == n);
	/* an answer nobody asked for, an indication */
	b[0] = 1;
	b[1] = 1;
	b[3] = 0;
	put_to(fd, b, 20);
	b[0] = 0;
	b[1] = 0x11;
	put_to(fd, b, 20);
	W_UNTIL(&w, netio_count(w.io, NET_UDP_STUN_STRAY) == 2);
	assert_int_equal(recv(fd, b, sizeof(b), 0), -1);
	assert_int_equal(w.n_got, 0);
	/* NULs are still a keepalive, and messages messages */
	put_to(fd, "\0\0\0\0", 4);
	put_to(fd, "hello", 5);
	W_UNTIL(&w, w.n_got == 1);
	assert_int_equal(netio_count(w.io, NET_UDP_KEEPALIVE), 1);
	close(fd);
	w_fini(&w);
}

/* ms of skipped time until the next question; answers it as seen from mapped (NULL: not at all) */
static int serve(struct world *w, int fd, const struct addr *mapped, int at_most_ms)
{
	char b[200];
	struct stun_msg m;

	for (int ms = 0; ms <= at_most_ms; ms += 250) {
		ssize_t n = recv(fd, b, sizeof(b), 0);

		if (n > 0) {
			assert_int_equal(stun_parse(b, (size_t)n, &m), 0);
			assert_int_equal(m.kind, STUN_REQUEST);
			if (mapped) {
				put_to(fd, b, stun_put_answer(b, &m, mapped));
				w_spin(w, 5);
			}
			return ms;
		}
		w_skip(w, 250);
	}
	return -1;
}

/* KA-04 on UDP: 24..30 s when 30 are agreed; the address they see stays the same */
static void an_agreed_flow_is_asked_for(void **state)
{
	struct world w;
	struct net_path to = {.proto = NET_UDP};
	struct addr seen = at("198.51.100.7:1234");
	int fd, lo = 1 << 30, hi = 0;

	(void)state;
	init(&w);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &to.remote);
	assert_int_equal(net_keep(w.net, &to, 30000), 0);
	for (int i = 0; i < 20; i++) {
		int ms = serve(&w, fd, &seen, 31000);

		assert_true(ms >= 23500 && ms <= 30500);
		lo = ms < lo ? ms : lo;
		hi = ms > hi ? ms : hi;
		assert_int_equal(net_keep(w.net, &to, 30000), 0); /* agreed again: nothing changes */
	}
	assert_true(hi - lo > 1500);
	assert_int_equal(netio_count(w.io, NET_UDP_KEEP_SENT), 20);
	assert_int_equal(w.n_flows_lost, 0);
	/* taken back */
	assert_int_equal(net_keep(w.net, &to, 0), 0);
	assert_int_equal(serve(&w, fd, &seen, 120000), -1);
	assert_int_equal(w.n_flows_lost, 0);
	assert_int_equal(w.n_got, 0);
	close(fd);
	w_fini(&w);
}

static void another_address_is_a_failure(void **state)
{
	struct world w;
	struct net_path to = {.proto = NET_UDP, .peer = 9};
	struct addr seen = at("198.51.100.7:1234"), other = at("198.51.100.7:1235");
	int fd;

	(void)state;
	init(&w);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &to.remote);
	assert_int_equal(net_keep(w.net, &to, 30000), 0);
	assert_true(serve(&w, fd, &seen, 31000) > 0);
	assert_true(serve(&w, fd, &seen, 31000) > 0);
	assert_int_equal(w.n_flows_lost, 0);
	assert_true(serve(&w, fd, &other, 31000) > 0);
	W_UNTIL(&w, w.n_flows_lost == 1);
	assert_int_equal(w.flow_err, -NET_ERR_KEEPALIVE);
	assert_true(addr_eq(&w.flow_lost.remote, &to.remote));
	assert_int_equal(w.flow_lost.peer, 9);
	assert_int_equal(w.n_lost, 0);
	/* the pings ended with it */
	assert_int_equal(serve(&w, fd, &other, 120000), -1);
	close(fd);
	w_fini(&w);
}

/* seven times at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s, and the end at 39.5 s (RFC 8489 6.2.1) */
static void silence_is_a_failure(void **state)
{
	static const int want[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
	struct world w;
	struct net_path to = {.proto = NET_UDP};
	struct addr me, seen = at("198.51.100.7:1234");
	int fd, liar, since = 0;
	char b[200];

	(void)state;
	init(&w);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &to.remote);
	liar = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	assert_int_equal(net_keep(w.net, &to, 30000), 0);
	/* a lost question is no failure yet */
	assert_true(serve(&w, fd, NULL, 31000) > 0);
	assert_true(serve(&w, fd, NULL, 1000) > 0);
	assert_true(serve(&w, fd, &seen, 2000) > 0);
	assert_true(serve(&w, fd, NULL, 31000) >= 23500);
	for (int i = 1; i < 7; i++) {
		int ms = serve(&w, fd, NULL, 20000);

		assert_true(ms > 0);
		since += ms;
		assert_true(since >= want[i] && since <= want[i] + 250 * i);
		/* from elsewhere, with another transaction: no answer to this one */
		put_to(liar, b, question(b));
		b[0] = b[1] = 1;
		b[3] = 0;
		put_to(liar, b, 20);
		put_to(fd, b, 20);
	}
	w_skip(&w, 7500);
	assert_int_equal(w.n_flows_lost, 0);
	w_skip(&w, 1000);
	W_UNTIL(&w, w.n_flows_lost == 1);
	assert_int_equal(netio_count(w.io, NET_UDP_KEEP_LOST), 1);
	close(fd);
	close(liar);
	w_fini(&w);
}

static void flows_are_bounded_and_end_with_the_socket(void **state)
{
	struct world w;
	struct net_path to = {.proto = NET_UDP};
	unsigned n = 0;
	int e;

	(void)state;
	init(&w);
	to.remote = at("127.0.0.1:1");
	while ((e = net_keep(w.net, &to, 1000)) == 0) {
		to.remote.in4.sin_addr.s_addr = htonl(0x7f000002u + ++n);
		assert_true(n < 100000);
	}
	assert_int_equal(e, -ENOBUFS);
	assert_int_equal(n, 4096);
	to = (struct net_path){.proto = NET_UDP, .realm = 3, .remote = at("127.0.0.1:1")};
	assert_int_equal(net_keep(w.net, &to, 1000), -ENETUNREACH);
	w_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_question_is_answered_and_goes_no_further),
	    cmocka_unit_test(strangers_get_no_answer),
	    cmocka_unit_test(garbage_is_counted_and_dropped),
	    cmocka_unit_test(an_agreed_flow_is_asked_for),
	    cmocka_unit_test(another_address_is_a_failure),
	    cmocka_unit_test(silence_is_a_failure),
	    cmocka_unit_test(flows_are_bounded_and_end_with_the_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
