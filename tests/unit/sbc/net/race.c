/* Two addresses of one server raced (RFC 8305 5), and connections kept apart by peer, on real loopback sockets. */
#include "world.h"

/* A socket that listens but answers no SYN: its backlog is full. */
struct hole {
	int fd, fill[8];
	struct addr at;
};

static void hole_open(struct hole *h, const char *bound)
{
	h->fd = peer(SOCK_STREAM, bound, &h->at);
	assert_int_equal(listen(h->fd, 0), 0);
	for (unsigned i = 0; i < ARRAY_LEN(h->fill); i++) {
		h->fill[i] = socket(h->at.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(connect(h->fill[i], &h->at.sa, addr_len(&h->at)) == 0 || errno == EINPROGRESS);
	}
}

/* from now on it answers */
static void hole_mend(struct hole *h)
{
	int fd;

	assert_int_equal(listen(h->fd, 16), 0);
	for (unsigned i = 0; i < ARRAY_LEN(h->fill); i++)
		close(h->fill[i]);
	while ((fd = accept(h->fd, NULL, NULL)) >= 0)
		close(fd);
}

static void hole_close(struct hole *h)
{
	for (unsigned i = 0; i < ARRAY_LEN(h->fill); i++)
		close(h->fill[i]);
	close(h->fd);
}

static void init(struct world *w, int connect_ms)
{
	w_init_bare(w);
	w->lines[0] = (struct net_listener_cfg){.proto = NET_TCP, .bound = at("127.0.0.1:0")};
	w->lines[1] = (struct net_listener_cfg){.proto = NET_TCP, .bound = at("[::1]:0")};
	w->cfg.n_listeners = 2;
	w->cfg.connect_ms = connect_ms;
	w_open(w);
}

static unsigned open_conns(const struct world *w)
{
	return (unsigned)netio_count(w->io, NET_TCP_OPEN);
}

static void say(struct world *w, struct net_path *to, const char *z, uint64_t owner)
{
	assert_int_equal(net_send(w->net, to, z, strlen(z), owner), 0);
}

/* exactly this text arrives, and no more of it */
static void expect_all(struct world *w, int fd, const char *z)
{
	char b[512];
	size_t n = 0, want = strlen(z);

	while (n < want) {
		ssize_t r = peer_read(w, fd, b + n, sizeof(b) - n);

		assert_true(r > 0);
		n += (size_t)r;
	}
	assert_int_equal(n, want);
	assert_memory_equal(b, z, want);
}

static bool info_of(struct world *w, uint32_t conn, struct netio_conn_info *ret)
{
	uint32_t i = 0;

	while (netio_conn_next(w->io, &i, ret))
		if (ret->path.conn == conn)
			return true;
	return false;
}

static void a_black_holed_first_address_costs_less_than_300_ms(void **state)
{
	struct world w;
	struct hole six;
	struct addr four;
	struct net_path to = {.proto = NET_TCP}, again;
	struct netio_conn_info info;
	int64_t began;
	int lfd, fd;

	(void)state;
	init(&w, 4000);
	hole_open(&six, "[::1]:0");
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &four);
	to.remote = six.at;
	loop_turn(&w.loop, 0);
	began = w.loop.clock.mono_us;
	assert_int_equal(net_prepare(w.net, &to, &four), 0);
	assert_int_not_equal(to.conn, 0);
	again = to;
	say(&w, &again, "L0001:a", 1);
	assert_int_equal(again.conn, to.conn);
	again = (struct net_path){.proto = NET_TCP, .remote = six.at};
	say(&w, &again, "L0001:b", 2);
	assert_int_equal(again.conn, to.conn);
	/* someone else comes meanwhile with the same two */
	again = (struct net_path){.proto = NET_TCP, .remote = six.at};
	assert_int_equal(net_prepare(w.net, &again, &four), 0);
	assert_int_equal(again.conn, to.conn);
	say(&w, &again, "L0001:c", 3);
	fd = peer_accept(&w, lfd);
	assert_true(fd >= 0);
	expect_all(&w, fd, "L0001:aL0001:bL0001:c");
	assert_true(w.loop.clock.mono_us - began >= 200000);
	assert_true(w.loop.clock.mono_us - began < 300000);
	assert_int_equal(open_conns(&w), 1);
	assert_true(info_of(&w, to.conn, &info));
	assert_int_equal(info.race, RACE_SECOND);
	assert_true(addr_eq(&info.path.remote, &four));
	assert_true(info.up);
	/* who prepared it hears once, and where it leads */
	assert_int_equal(w.n_flows_up, 1);
	assert_int_equal(w.flow_up.conn, to.conn);
	assert_true(addr_eq(&w.flow_up.remote, &four));
	/* the other attempt, which had the handle, is no flow of anybody's */
	w_spin(&w, 20);
	assert_int_equal(w.n_flows_lost, 0);
	assert_int_equal(info.tx_msgs, 3);
	/* the handle leads there, and says where */
	again = to;
	say(&w, &again, "L0001:d", 4);
	assert_true(addr_eq(&again.remote, &four));
	expect_all(&w, fd, "L0001:d");
	/* what comes back comes from the winner */
	assert_int_equal(send(fd, "L0001:r", 7, 0), 7);
	W_UNTIL(&w, w.n_got == 1);
	assert_true(addr_eq(&w.got[0].path.remote, &four));
	assert_int_equal(w.got[0].path.conn, to.conn);
	/* the winner is remembered while it lives */
	again = (struct net_path){.proto = NET_TCP, .remote = six.at};
	assert_int_equal(net_prepare(w.net, &again, &four), 1); /* it is up */
	assert_true(addr_eq(&again.remote, &four));
	assert_int_equal(again.conn, to.conn);
	assert_int_equal(netio_count(w.io, NET_TCP_CONNECTS), 2);
	/* nothing of it went to the other one */
	hole_mend(&six);
	w_spin(&w, 50);
	assert_int_equal(accept(six.fd, NULL, NULL), -1);
	assert_int_equal(w.n_lost, 0);
	close(fd);
	close(lfd);
	close(six.fd);
	w_fini(&w);
}

static void a_first_address_that_answers_is_not_raced(void **state)
{
	struct world w;
	struct addr six, four;
	struct net_path to = {.proto = NET_TCP};
	struct netio_conn_info info;
	int l6, l4, fd;

	(void)state;
	init(&w, 4000);
	l6 = peer(SOCK_STREAM, "[::1]:0", &six);
	l4 = peer(SOCK_STREAM, "127.0.0.1:0", &four);
	to.remote = six;
	assert_int_equal(net_prepare(w.net, &to, &four), 0);
	say(&w, &to, "L0001:a", 1);
	fd = peer_accept(&w, l6);
	expect_all(&w, fd, "L0001:a");
	w_spin(&w, 300);
	assert_int_equal(accept(l4, NULL, NULL), -1);
	assert_int_equal(netio_count(w.io, NET_TCP_CONNECTS), 1);
	assert_int_equal(netio_count(w.io, NET_TCP_RACED), 0);
	assert_true(info_of(&w, to.conn, &info));
	assert_int_equal(info.race, RACE_FIRST);
	assert_int_equal(w.n_flows_up, 1);
	assert_true(addr_eq(&w.flow_up.remote, &six));
	assert_int_equal(w.n_flows_lost, 0);
	close(fd);
	close(l4);
	close(l6);
	w_fini(&w);
}

static void a_refused_first_address_starts_the_second_at_once(void **state)
{
	struct world w;
	struct addr six, four;
	struct net_path to = {.proto = NET_TCP};
	int64_t began;
	int l4, fd;

	(void)state;
	init(&w, 4000);
	close(peer(SOCK_STREAM, "[::1]:0", &six));
	l4 = peer(SOCK_STREAM, "127.0.0.1:0", &four);
	to.remote = six;
	loop_turn(&w.loop, 0);
	began = w.loop.clock.mono_us;
	assert_int_equal(net_prepare(w.net, &to, &four), 0);
	say(&w, &to, "L0001:a", 1);
	fd = peer_accept(&w, l4);
	expect_all(&w, fd, "L0001:a");
	assert_true(w.loop.clock.mono_us - began < 100000);
	assert_int_equal(w.n_lost, 0);
	assert_int_equal(open_conns(&w), 1);
	close(fd);
	close(l4);
	w_fini(&w);
}

static void a_family_without_listener_leaves_the_other(void **state)
{
	struct world w;
	struct addr four;
	struct net_path to = {.proto = NET_TCP, .remote = at("[::1]:9")};
	int l4, fd;

	(void)state;
	w_init(&w, "127.0.0.1:0");
	l4 = peer(SOCK_STREAM, "127.0.0.1:0", &four);
	assert_int_equal(net_prepare(w.net, &to, NULL), -ENETUNREACH);
	assert_int_equal(net_prepare(w.net, &to, &four), 0);
	say(&w, &to, "L0001:a", 1);
	fd = peer_accept(&w, l4);
	expect_all(&w, fd, "L0001:a");
	close(fd);
	close(l4);
	w_fini(&w);
}

static void when_both_fail_each_owner_hears_once(void **state)
{
	struct world w;
	struct hole six;
	struct addr four;
	struct net_path to = {.proto = NET_TCP};

	(void)state;
	init(&w, 400);
	hole_open(&six, "[::1]:0");
	close(peer(SOCK_STREAM, "127.0.0.1:0", &four));
	to.remote = six.at;
	assert_int_equal(net_prepare(w.net, &to, &four), 0);
	say(&w, &to, "L0001:a", 7);
	say(&w, &to, "L0001:b", 8);
	W_UNTIL(&w, w.n_lost == 2);
	w_spin(&w, 100);
	assert_int_equal(w.n_lost, 2);
	assert_int_equal(w.lost[0].owner, 7);
	assert_int_equal(w.lost[1].owner, 8);
	assert_int_equal(w.lost[0].err, -ETIMEDOUT);
	W_UNTIL(&w, open_conns(&w) == 0);
	assert_int_equal(w.n_flows_up, 0);
	assert_int_equal(w.n_flows_lost, 1);
	assert_int_equal(w.flow_lost.conn, to.conn);
	assert_int_equal(w.flow_err, -ETIMEDOUT);
	hole_close(&six);
	w_fini(&w);
}

/* who only sends is not told that it is up */
static void what_nobody_prepared_comes_up_unsaid(void **state)
{
	struct world w;
	struct addr them;
	struct net_path to = {.proto = NET_TCP};
	int lfd, fd;

	(void)state;
	init(&w, 4000);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	to.remote = them;
	say(&w, &to, "L0001:a", 1);
	fd = peer_accept(&w, lfd);
	expect_all(&w, fd, "L0001:a");
	w_spin(&w, 20);
	assert_int_equal(w.n_flows_up, 0);
	close(fd);
	W_UNTIL(&w, w.n_flows_lost == 1);
	close(lfd);
	w_fini(&w);
}

/* nobody has given it anything to send: who prepared it hears all the same */
static void a_prepared_connection_says_what_becomes_of_it(void **state)
{
	struct world w;
	struct addr them;
	struct net_path to = {.proto = NET_TCP}, other;
	int lfd, fd, in;
	struct linger rst = {.l_onoff = 1, .l_linger = 0};

	(void)state;
	init(&w, 4000);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	to.remote = them;
	other = to;
	assert_int_equal(net_prepare(w.net, &to, NULL), 0);
	assert_int_equal(net_prepare(w.net, &other, NULL), 0); /* somebody else, the same one */
	assert_int_equal(other.conn, to.conn);
	assert_int_equal(w.n_flows_up, 0); /* never from inside */
	W_UNTIL(&w, w.n_flows_up == 1);
	fd = peer_accept(&w, lfd);
	w_spin(&w, 20);
	assert_int_equal(w.n_flows_up, 1);
	assert_int_equal(net_prepare(w.net, &other, NULL), 1);
	/* reset: an error; it never carried anything */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	close(fd);
	W_UNTIL(&w, w.n_flows_lost == 1);
	assert_int_equal(w.flow_lost.conn, to.conn);
	assert_int_equal(w.flow_err, -ECONNRESET);
	/* closed in order: no error */
	to.conn = 0;
	assert_int_equal(net_prepare(w.net, &to, NULL), 0);
	W_UNTIL(&w, w.n_flows_up == 2);
	close(peer_accept(&w, lfd));
	W_UNTIL(&w, w.n_flows_lost == 2);
	assert_int_equal(w.flow_lost.conn, to.conn);
	assert_int_equal(w.flow_err, 0);
	/* closed by us: told when nothing can be sent over it any more, not when the peer has closed its side as well */
	to.conn = 0;
	assert_int_equal(net_prepare(w.net, &to, NULL), 0);
	W_UNTIL(&w, w.n_flows_up == 3);
	fd = peer_accept(&w, lfd);
	w.net->ops->close(w.net, &to, false);
	W_UNTIL(&w, w.n_flows_lost == 3);
	assert_int_equal(w.flow_err, 0);
	assert_int_equal(open_conns(&w), 1);
	close(fd);
	W_UNTIL(&w, open_conns(&w) == 0);
	/* refused */
	close(lfd);
	to.conn = 0;
	assert_int_equal(net_prepare(w.net, &to, NULL), 0);
	W_UNTIL(&w, w.n_flows_lost == 4);
	assert_int_equal(w.flow_err, -ECONNREFUSED);
	assert_int_equal(w.n_flows_up, 3);
	/* an accepted one matters when a message came over it, and a stranger's knock does not */
	them = w_listener(&w, NET_TCP, 0);
	in = peer_connect(&w, &them, NULL);
	W_UNTIL(&w, open_conns(&w) == 1);
	close(in);
	W_UNTIL(&w, open_conns(&w) == 0);
	in = peer_connect(&w, &them, NULL);
	assert_int_equal(send(in, "L0001:q", 7, 0), 7);
	W_UNTIL(&w, w.n_got == 1);
	assert_int_equal(w.n_flows_lost, 4);
	close(in);
	W_UNTIL(&w, w.n_flows_lost == 5);
	assert_int_equal(w.flow_lost.conn, w.got[0].path.conn);
	w_fini(&w);
}

/* both black-holed; the first one answers after all, a second later */
static void the_first_may_win_after_the_second_was_started(void **state)
{
	struct world w;
	struct hole six, four;
	struct net_path to = {.proto = NET_TCP};
	struct netio_conn_info info;
	int fd;

	(void)state;
	init(&w, 4000);
	hole_open(&six, "[::1]:0");
	hole_open(&four, "127.0.0.1:0");
	to.remote = six.at;
	assert_int_equal(net_prepare(w.net, &to, &four.at), 0);
	say(&w, &to, "L0001:a", 1);
	W_UNTIL(&w, netio_count(w.io, NET_TCP_RACED) == 1);
	assert_int_equal(open_conns(&w), 2);
	assert_true(info_of(&w, to.conn, &info));
	assert_int_equal(info.race, RACE_RUNNING);
	hole_mend(&six);
	fd = peer_accept(&w, six.fd);
	assert_true(fd >= 0);
	expect_all(&w, fd, "L0001:a");
	assert_int_equal(open_conns(&w), 1);
	assert_true(info_of(&w, to.conn, &info));
	assert_int_equal(info.race, RACE_FIRST);
	assert_int_equal(w.n_lost, 0);
	hole_close(&four);
	close(fd);
	close(six.fd);
	w_fini(&w);
}

/* the first fails while the second is under way; then the second is up */
static void the_second_takes_over_when_the_first_fails(void **state)
{
	struct world w;
	struct hole six, four;
	struct net_path to = {.proto = NET_TCP};
	int fd;

	(void)state;
	init(&w, 1100);
	hole_open(&six, "[::1]:0");
	hole_open(&four, "127.0.0.1:0");
	to.remote = six.at;
	assert_int_equal(net_prepare(w.net, &to, &four.at), 0);
	say(&w, &to, "L0001:a", 1);
	W_UNTIL(&w, netio_count(w.io, NET_TCP_CONNECT_FAILED) == 1);
	hole_mend(&four); /* the kernel repeats its SYN a second after the first */
	say(&w, &to, "L0001:b", 2);
	fd = peer_accept(&w, four.fd);
	assert_true(fd >= 0);
	expect_all(&w, fd, "L0001:aL0001:b");
	assert_int_equal(w.n_lost, 0);
	assert_int_equal(open_conns(&w), 1);
	hole_close(&six);
	close(fd);
	close(four.fd);
	w_fini(&w);
}

static void closing_ends_both_attempts(void **state)
{
	struct world w;
	struct hole six, four;
	struct net_path to = {.proto = NET_TCP};

	(void)state;
	init(&w, 4000);
	hole_open(&six, "[::1]:0");
	hole_open(&four, "127.0.0.1:0");
	for (int now = 0; now < 2; now++) {
		to = (struct net_path){.proto = NET_TCP, .remote = six.at};
		assert_int_equal(net_prepare(w.net, &to, &four.at), 0);
		say(&w, &to, "L0001:a", 5);
		W_UNTIL(&w, open_conns(&w) == 2);
		w.net->ops->close(w.net, &to, now);
		W_UNTIL(&w, w.n_lost == 1u + (unsigned)now);
		assert_int_equal(w.lost[now].err, -ECANCELED);
		assert_int_equal(open_conns(&w), 0);
	}
	/* and the end of all of it finds two attempts under way */
	to = (struct net_path){.proto = NET_TCP, .remote = six.at};
	assert_int_equal(net_prepare(w.net, &to, &four.at), 0);
	W_UNTIL(&w, open_conns(&w) == 2);
	w_fini(&w);
	hole_close(&six);
	hole_close(&four);
}

/* ---- peers ---- */

static uint32_t peer_named(struct world *w, const char *name)
{
	uint32_t id = 0;

	assert_int_equal(net_peer_set(w->net, &id, &(struct net_peer){.name = str_z(name)}), 0);
	assert_int_not_equal(id, 0);
	return id;
}

static void each_peer_has_its_own_connection(void **state)
{
	struct world w;
	struct addr them;
	struct net_path a = {.proto = NET_TCP}, b = a, any = a;
	int lfd, fa, fb;

	(void)state;
	init(&w, 4000);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	a.remote = b.remote = any.remote = them;
	a.peer = peer_named(&w, "one.example");
	b.peer = peer_named(&w, "two.example");
	assert_int_not_equal(a.peer, b.peer);
	say(&w, &a, "L0001:a", 0);
	fa = peer_accept(&w, lfd);
	say(&w, &b, "L0001:b", 0);
	fb = peer_accept(&w, lfd);
	expect_all(&w, fa, "L0001:a");
	expect_all(&w, fb, "L0001:b");
	assert_int_not_equal(a.conn, b.conn);
	for (int i = 0; i < 100; i++) {
		struct net_path p = {.proto = NET_TCP, .remote = them, .peer = a.peer};

		say(&w, &p, "L0001:x", 0);
		assert_int_equal(p.conn, a.conn);
		p = (struct net_path){.proto = NET_TCP, .remote = them, .peer = b.peer};
		say(&w, &p, "L0001:y", 0);
		assert_int_equal(p.conn, b.conn);
	}
	/* who means nobody in particular takes what leads there */
	say(&w, &any, "L0001:z", 0);
	assert_true(any.conn == a.conn || any.conn == b.conn);
	assert_int_equal(netio_count(w.io, NET_TCP_CONNECTS), 2);
	close(fa);
	close(fb);
	close(lfd);
	w_fini(&w);
}

static void a_peer_that_became_another_gets_a_new_connection(void **state)
{
	struct world w;
	struct addr them;
	struct net_path a = {.proto = NET_TCP}, old;
	struct net_peer cfg = {.name = S("one.example")};
	struct str more[] = {S("b.example"), S("c.example")};
	uint32_t id;
	int lfd, fa, fb;

	(void)state;
	init(&w, 4000);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	a.remote = them;
	a.peer = id = peer_named(&w, "one.example");
	say(&w, &a, "L0001:a", 0);
	fa = peer_accept(&w, lfd);
	expect_all(&w, fa, "L0001:a");
	old = a;
	/* another interval is no other peer */
	cfg.ping_ms = 60000;
	assert_int_equal(net_peer_set(w.net, &id, &cfg), 0);
	assert_int_equal(id, a.peer);
	a = (struct net_path){.proto = NET_TCP, .remote = them, .peer = id};
	say(&w, &a, "L0001:b", 0);
	assert_int_equal(a.conn, old.conn);
	expect_all(&w, fa, "L0001:b");
	/* other names are */
	cfg.names = more;
	cfg.n_names = 2;
	assert_int_equal(net_peer_set(w.net, &id, &cfg), 0);
	a = (struct net_path){.proto = NET_TCP, .remote = them, .peer = id};
	say(&w, &a, "L0001:c", 0);
	assert_int_not_equal(a.conn, old.conn);
	fb = peer_accept(&w, lfd);
	expect_all(&w, fb, "L0001:c");
	/* the old one still serves who holds it */
	say(&w, &old, "L0001:d", 0);
	expect_all(&w, fa, "L0001:d");
	/* a peer that is gone is nobody's id any more */
	net_peer_del(w.net, id);
	net_peer_del(w.net, id);
	assert_int_not_equal(peer_named(&w, "one.example"), id);
	close(fa);
	close(fb);
	close(lfd);
	w_fini(&w);
}

/* TCP-06: what the peer opened serves it too, under its true address */
static void an_accepted_connection_serves_a_peer_at_that_address(void **state)
{
	struct world w;
	struct addr us, me;
	socklen_t len = sizeof(me);
	struct net_path to = {.proto = NET_TCP};
	int fd;

	(void)state;
	init(&w, 4000);
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	assert_int_equal(getsockname(fd, &me.sa, &len), 0);
	W_UNTIL(&w, open_conns(&w) == 1);
	to.remote = me;
	to.peer = peer_named(&w, "one.example");
	say(&w, &to, "L0001:x", 0);
	expect_all(&w, fd, "L0001:x");
	assert_int_equal(netio_count(w.io, NET_TCP_CONNECTS), 0);
	close(fd);
	w_fini(&w);
}

/* RFC 3261 18.2.2: when the connection is gone, received and the port of sent-by, not the port of the client */
static void an_answer_remembers_where_to_connect(void **state)
{
	struct world w;
	struct addr us, them;
	struct net_path to;
	int fd, lfd;

	(void)state;
	init(&w, 4000);
	us = w_listener(&w, NET_TCP, 0);
	lfd = peer(SOCK_STREAM, "127.0.0.1:0", &them);
	fd = peer_connect(&w, &us, NULL);
	assert_int_equal(send(fd, "L0001:q", 7, 0), 7);
	W_UNTIL(&w, w.n_got == 1);
	to = w.got[0].path;
	addr_set_port(&to.remote, addr_port(&them)); /* as answers do */
	say(&w, &to, "L0001:1", 0);
	expect_all(&w, fd, "L0001:1");
	close(fd);
	W_UNTIL(&w, open_conns(&w) == 0);
	say(&w, &to, "L0001:2", 0);
	fd = peer_accept(&w, lfd);
	assert_true(fd >= 0);
	expect_all(&w, fd, "L0001:2");
	close(fd);
	close(lfd);
	w_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_black_holed_first_address_costs_less_than_300_ms),
	    cmocka_unit_test(a_first_address_that_answers_is_not_raced),
	    cmocka_unit_test(a_refused_first_address_starts_the_second_at_once),
	    cmocka_unit_test(a_family_without_listener_leaves_the_other),
	    cmocka_unit_test(when_both_fail_each_owner_hears_once),
	    cmocka_unit_test(what_nobody_prepared_comes_up_unsaid),
	    cmocka_unit_test(a_prepared_connection_says_what_becomes_of_it),
	    cmocka_unit_test(the_first_may_win_after_the_second_was_started),
	    cmocka_unit_test(the_second_takes_over_when_the_first_fails),
	    cmocka_unit_test(closing_ends_both_attempts),
	    cmocka_unit_test(each_peer_has_its_own_connection),
	    cmocka_unit_test(a_peer_that_became_another_gets_a_new_connection),
	    cmocka_unit_test(an_accepted_connection_serves_a_peer_at_that_address),
	    cmocka_unit_test(an_answer_remembers_where_to_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
