/* Listeners, UDP and reload on real loopback sockets. */
#include "world.h"

static void echo(struct world *w, const struct net_path *from, char *p, size_t n, enum reason bad)
{
	struct net_path to = *from;

	(void)bad;
	assert_int_equal(net_send(w->net, &to, p, n, 0), 0);
}

static void udp_echo_on(const char *bound)
{
	struct world w;
	struct addr us, me, from;
	socklen_t len = sizeof(from);
	char b[64];
	int fd;

	w_init(&w, bound);
	w.on = echo;
	us = w_listener(&w, NET_UDP, 0);
	fd = peer(SOCK_DGRAM, bound, &me);
	assert_int_equal(sendto(fd, "hello", 5, 0, &us.sa, addr_len(&us)), 5);
	W_UNTIL(&w, w.n_got == 1);
	assert_string_equal(w.got[0].text, "hello");
	assert_int_equal(w.got[0].path.proto, NET_UDP);
	assert_true(addr_eq(&w.got[0].path.remote, &me));
	assert_true(addr_eq(&w.got[0].path.local, &us));
	/* the answer leaves from the listening socket */
	assert_int_equal(recvfrom(fd, b, sizeof(b), 0, &from.sa, &len), 5);
	assert_true(addr_eq(&from, &us));
	close(fd);
	w_fini(&w);
}

static void udp_v4_echo_leaves_from_the_listening_port(void **state)
{
	(void)state;
	udp_echo_on("127.0.0.1:0");
}

static void udp_v6_echo_leaves_from_the_listening_port(void **state)
{
	(void)state;
	udp_echo_on("[::1]:0");
}

/* LOOP-07: what we begin ourselves leaves from there too */
static void udp_request_leaves_from_the_listening_port(void **state)
{
	struct world w;
	struct addr us, me, from;
	socklen_t len = sizeof(from);
	struct net_path to = {.proto = NET_UDP};
	char b[64];
	int fd;

	(void)state;
	w_init(&w, "127.0.0.1:0");
	us = w_listener(&w, NET_UDP, 0);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	to.remote = me;
	assert_int_equal(net_send(w.net, &to, "request", 7, 9), 0);
	assert_true(addr_eq(&to.local, &us));
	assert_int_equal(peer_read(&w, fd, b, sizeof(b)), 7);
	assert_int_equal(net_send(w.net, &to, "again", 5, 9), 0);
	loop_turn(&w.loop, 0);
	assert_int_equal(recvfrom(fd, b, sizeof(b), 0, &from.sa, &len), 5);
	assert_true(addr_eq(&from, &us));
	assert_int_equal(w.n_lost, 0);
	close(fd);
	w_fini(&w);
}

/* one wake-up, one system call each way for a batch */
static void udp_goes_in_batches(void **state)
{
	struct world w;
	struct addr us;
	char b[64];
	uint64_t rx, tx;
	int fd, n = 0;

	(void)state;
	w_init(&w, "127.0.0.1:0");
	w.on = echo;
	us = w_listener(&w, NET_UDP, 0);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", NULL);
	rx = netio_count(w.io, NET_UDP_RX_CALLS);
	tx = netio_count(w.io, NET_UDP_TX_CALLS);
	for (int i = 0; i < 30; i++) {
		int len = snprintf(b, sizeof(b), "message %d", i);

		assert_int_equal(sendto(fd, b, (size_t)len, 0, &us.sa, addr_len(&us)), len);
	}
	loop_turn(&w.loop, 1000);
	assert_int_equal(w.n_got, 30);
	assert_int_equal(netio_count(w.io, NET_UDP_RX_CALLS) - rx, 1);
	assert_int_equal(netio_count(w.io, NET_UDP_TX_CALLS) - tx, 1);
	for (int i = 0; i < 30; i++) {
		char want[64];

		snprintf(want, sizeof(want), "message %d", i);
		assert_int_equal(recv(fd, b, sizeof(b), 0), strlen(want));
		assert_memory_equal(b, want, strlen(want));
		n++;
	}
	assert_int_equal(n, 30);
	/* more than any batch holds, in order */
	w.on = NULL;
	for (int i = 0; i < 200; i++) {
		struct net_path to = w.got[0].path;

		assert_int_equal(net_send(w.net, &to, &i, sizeof(i), 0), 0);
	}
	loop_turn(&w.loop, 0);
	for (int i = 0; i < 200; i++) {
		int v;

		assert_int_equal(recv(fd, &v, sizeof(v), 0), sizeof(v));
		assert_int_equal(v, i);
	}
	close(fd);
	w_fini(&w);
}

static void udp_carries_the_largest_datagram(void **state)
{
	static char big[65507], back[65536];
	struct world w;
	struct net_path to = {.proto = NET_UDP};
	struct addr us, me;
	int fd;

	(void)state;
	w_init(&w, "127.0.0.1:0");
	us = w_listener(&w, NET_UDP, 0);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	memset(big, 'x', sizeof(big));
	assert_int_equal(sendto(fd, big, sizeof(big), 0, &us.sa, addr_len(&us)), sizeof(big));
	W_UNTIL(&w, w.n_got == 1);
	assert_int_equal(w.got[0].len, sizeof(big));
	to.remote = me;
	assert_int_equal(net_send(w.net, &to, big, sizeof(big), 0), 0);
	assert_int_equal(peer_read(&w, fd, back, sizeof(back)), sizeof(big));
	assert_int_equal(net_send(w.net, &to, back, 65508, 0), -EMSGSIZE);
	close(fd);
	w_fini(&w);
}

static void udp_refused_sources_and_keepalives_go_no_further(void **state)
{
	struct world w;
	struct addr us;
	int fd;

	(void)state;
	w_init(&w, "127.0.0.1:0");
	us = w_listener(&w, NET_UDP, 0);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", NULL);
	w.deny = true;
	assert_int_equal(sendto(fd, "stranger", 8, 0, &us.sa, addr_len(&us)), 8);
	W_UNTIL(&w, netio_count(w.io, NET_UDP_REFUSED) == 1);
	w.deny = false;
	assert_int_equal(sendto(fd, "\r\n\r\n", 4, 0, &us.sa, addr_len(&us)), 4);
	assert_int_equal(sendto(fd, "", 0, 0, &us.sa, addr_len(&us)), 0);
	assert_int_equal(sendto(fd, "\0\0\0\0", 4, 0, &us.sa, addr_len(&us)), 4);
	W_UNTIL(&w, netio_count(w.io, NET_UDP_KEEPALIVE) == 3);
	assert_int_equal(w.n_got, 0);
	/* KA-01: never answered on UDP */
	assert_int_equal(netio_count(w.io, NET_UDP_TX), 0);
	close(fd);
	w_fini(&w);
}

static void wildcard_on(const char *wild, const char *addr_a, const char *peer_bound)
{
	struct world w;
	struct addr us, from, to;
	socklen_t len = sizeof(from);
	char b[16];
	int fd;

	w_init(&w, wild);
	w.on = echo;
	us = w_listener(&w, NET_UDP, 0);
	to = at(addr_a);
	addr_set_port(&to, addr_port(&us));
	fd = peer(SOCK_DGRAM, peer_bound, NULL);
	assert_int_equal(sendto(fd, "x", 1, 0, &to.sa, addr_len(&to)), 1);
	W_UNTIL(&w, w.n_got == 1);
	assert_true(addr_eq(&w.got[0].path.local, &to));
	assert_int_equal(recvfrom(fd, b, sizeof(b), 0, &from.sa, &len), 1);
	assert_true(addr_eq(&from, &to));
	close(fd);
	w_fini(&w);
}

/* 127.0.0.7 is no address the kernel would choose by itself */
static void wildcard_answers_from_where_it_was_asked(void **state)
{
	(void)state;
	wildcard_on("0.0.0.0:0", "127.0.0.7:0", "127.0.0.1:0");
	wildcard_on("[::]:0", "[::1]:0", "[::1]:0");
}

static void icmp_on(const char *bound)
{
	struct world w;
	struct net_path to = {.proto = NET_UDP};
	struct addr dead, live;
	char b[64];
	int fd = peer(SOCK_DGRAM, bound, &dead), fd2;

	close(fd); /* nobody there now */
	w_init(&w, bound);
	fd2 = peer(SOCK_DGRAM, bound, &live);
	to.remote = dead;
	assert_int_equal(net_send(w.net, &to, "INVITE to nobody", 16, 77), 0);
	W_UNTIL(&w, w.n_lost == 1);
	assert_int_equal(w.lost[0].err, -ECONNREFUSED);
	assert_int_equal(w.lost[0].owner, 0);
	assert_true(addr_eq(&w.lost[0].path.remote, &dead));
	assert_int_equal(w.lost[0].path.proto, NET_UDP);
	assert_int_equal(w.lost[0].sent_n, 16);
	assert_memory_equal(w.lost[0].sent, "INVITE to nobody", 16);
	/* the error of one peer does not eat another's message: dead and live in turn, in one batch and many */
	for (int i = 0; i < 20; i++) {
		struct net_path other = {.proto = NET_UDP, .remote = live};

		assert_int_equal(net_send(w.net, &to, "dead", 4, 0), 0);
		assert_int_equal(net_send(w.net, &other, "live", 4, 0), 0);
		if (i % 3 == 0)
			loop_turn(&w.loop, 0);
	}
	w_spin(&w, 20);
	for (int i = 0; i < 20; i++)
		assert_int_equal(recv(fd2, b, sizeof(b), 0), 4);
	assert_true(w.n_lost >= 2);
	assert_true(netio_count(w.io, NET_UDP_ICMP) == w.n_lost);
	/* the error lies in the socket when the next batch is to leave: the first of a batch is not its victim */
	w.n_lost = 0;
	for (int i = 0; i < 64; i++) {
		struct net_path other = {.proto = NET_UDP, .remote = i == 63 ? dead : live};

		assert_int_equal(net_send(w.net, &other, "full", 4, 500), 0);
	}
	for (int i = 0; i < 3; i++) {
		struct net_path other = {.proto = NET_UDP, .remote = live};

		assert_int_equal(net_send(w.net, &other, "next", 4, 600), 0);
	}
	w_spin(&w, 20);
	for (int i = 0; i < 66; i++)
		assert_int_equal(recv(fd2, b, sizeof(b), 0), 4);
	assert_int_equal(w.n_lost, 1);
	assert_int_equal(w.lost[0].owner, 0);
	/* and the socket still hears */
	{
		struct addr us = w_listener(&w, NET_UDP, 0);

		assert_int_equal(sendto(fd2, "hi", 2, 0, &us.sa, addr_len(&us)), 2);
		W_UNTIL(&w, w.n_got == 1);
	}
	close(fd2);
	w_fini(&w);
}

/* TCP-04, the UDP half */
static void icmp_unreachable_is_reported_with_what_was_sent(void **state)
{
	(void)state;
	icmp_on("127.0.0.1:0");
	icmp_on("[::1]:0");
}

/* a datagram the kernel refuses for its own sake is its owner's failure, the others of the batch go out */
static void udp_refusal_of_one_message_is_its_owners(void **state)
{
	struct world w;
	struct net_path bad = {.proto = NET_UDP}, good = {.proto = NET_UDP};
	struct addr me;
	char b[16];
	int fd;

	(void)state;
	w_init(&w, "127.0.0.1:0");
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	good.remote = me;
	bad.remote = at("255.255.255.255:5060"); /* broadcast without leave: EACCES, or no route */
	assert_int_equal(net_send(w.net, &good, "1", 1, 1), 0);
	assert_int_equal(net_send(w.net, &bad, "2", 1, 2), 0);
	assert_int_equal(net_send(w.net, &good, "3", 1, 3), 0);
	assert_int_equal(w.n_lost, 0); /* never from inside send() */
	loop_turn(&w.loop, 0);
	assert_int_equal(w.n_lost, 1);
	assert_int_equal(w.lost[0].owner, 2);
	assert_true(w.lost[0].err < 0);
	assert_int_equal(peer_read(&w, fd, b, sizeof(b)), 1);
	assert_int_equal(b[0], '1');
	assert_int_equal(peer_read(&w, fd, b, sizeof(b)), 1);
	assert_int_equal(b[0], '3');
	close(fd);
	w_fini(&w);
}

/* LOOP-10 */
static void every_udp_listener_also_listens_on_tcp(void **state)
{
	struct world w;
	struct addr udp, tcp;
	const struct net_local *l;
	int fd;

	(void)state;
	w_init_bare(&w);
	w.lines[0] = (struct net_listener_cfg){.realm = 0, .proto = NET_UDP, .bound = at("127.0.0.1:0")};
	w.lines[1] = (struct net_listener_cfg){
	    .realm = 3, .proto = NET_UDP, .bound = at("[::1]:0"), .host = S("sbc.example.com"), .port = 5070};
	w.cfg.n_listeners = 2;
	w_open(&w);
	for (unsigned i = 0; i < 2; i++) {
		udp = w_listener(&w, NET_UDP, i);
		tcp = w_listener(&w, NET_TCP, i);
		assert_true(addr_eq(&udp, &tcp));
		fd = peer_connect(&w, &udp, NULL);
		W_UNTIL(&w, netio_count(w.io, NET_TCP_ACCEPTED) == i + 1);
		close(fd);
	}
	l = net_local(w.net, 3, NET_TCP, AF_INET6);
	assert_non_null(l);
	assert_true(str_eq(l->host, S("sbc.example.com")));
	assert_int_equal(l->port, 5070);
	l = net_local(w.net, 0, NET_TCP, AF_INET);
	assert_non_null(l);
	assert_true(str_eq(l->host, S("127.0.0.1")));
	udp = w_listener(&w, NET_UDP, 0);
	assert_int_equal(l->port, addr_port(&udp));
	assert_null(net_local(w.net, 0, NET_TCP, AF_INET6));
	assert_null(net_local(w.net, 1, NET_UDP, AF_INET));
	assert_null(net_local(w.net, 0, NET_TLS, AF_INET));
	w_fini(&w);
}

static void sending_where_no_listener_is_fails_at_once(void **state)
{
	struct world w;
	struct net_path to = {.proto = NET_UDP, .remote = at("[::1]:5060")};

	(void)state;
	w_init(&w, "127.0.0.1:0");
	assert_int_equal(net_send(w.net, &to, "x", 1, 1), -ENETUNREACH);
	to.proto = NET_TCP;
	assert_int_equal(net_send(w.net, &to, "x", 1, 1), -ENETUNREACH);
	to.remote = at("127.0.0.1:5060");
	to.realm = 1;
	assert_int_equal(net_send(w.net, &to, "x", 1, 1), -ENETUNREACH);
	to.realm = 0;
	to.proto = NET_TLS;
	assert_int_equal(net_send(w.net, &to, "x", 1, 1), -ENETUNREACH);
	to.proto = NET_WSS;
	assert_int_equal(net_send(w.net, &to, "x", 1, 1), -ENETUNREACH);
	assert_int_equal(w.n_lost, 0);
	w_fini(&w);
}

static void a_line_that_cannot_open_says_why(void **state)
{
	struct world w;
	struct netio_error err;
	struct addr taken;
	struct log_line *lines = calloc(LOG_RING, sizeof(*lines));
	unsigned n;
	bool said = false;
	int fd = peer(SOCK_DGRAM, "127.0.0.1:0", &taken);
	char at_text[ADDR_TEXT_MAX];

	(void)state;
	assert_non_null(lines);
	w_init_bare(&w);
	w.cfg.listeners = w.lines;
	w.cfg.n_listeners = 2;
	w.lines[0] = (struct net_listener_cfg){.proto = NET_UDP, .bound = at("127.0.0.1:0")};
	w.lines[1] = (struct net_listener_cfg){.proto = NET_UDP, .bound = taken};
	assert_int_equal(netio_new(&w.loop, &w.env, &w.cfg, &w_user, &w, toy_frame, &w.io, &err), -EADDRINUSE);
	assert_int_equal(err.reason, REASON_ADDRESS_IN_USE);
	assert_true(addr_eq(&err.bound, &taken));
	assert_non_null(strstr(err.text, addr_text(&taken, at_text)));
	n = logger_read_any(&w.logger, 0, lines, LOG_RING);
	for (unsigned i = 0; i < n; i++)
		said |= strstr(lines[i].text, "code=PSN-E6003") && strstr(lines[i].text, at_text);
	assert_true(said);

	w.lines[1].bound = at("192.0.2.77:5060");
	assert_int_equal(netio_new(&w.loop, &w.env, &w.cfg, &w_user, &w, toy_frame, &w.io, &err), -EADDRNOTAVAIL);
	assert_int_equal(err.reason, REASON_ADDRESS_MISSING);
	assert_non_null(strstr(err.text, "udp 192.0.2.77:5060"));

	/* the same address twice */
	close(fd);
	w.lines[1].bound = at("127.0.77.77:0"); /* where nobody else takes a port meanwhile */
	addr_set_port(&w.lines[1].bound, addr_port(&taken));
	w.lines[0].bound = w.lines[1].bound;
	assert_int_equal(netio_new(&w.loop, &w.env, &w.cfg, &w_user, &w, toy_frame, &w.io, &err), -EINVAL);
	assert_int_equal(err.reason, REASON_CONFIG_INVALID);

	w.lines[1].bound = at("127.0.0.1:0");
	w.lines[1].proto = NET_WS;
	assert_int_equal(netio_new(&w.loop, &w.env, &w.cfg, &w_user, &w, toy_frame, &w.io, &err), -EINVAL);
	w.lines[1].proto = NET_TLS;
	w.lines[1].cert = S("edge1");
	assert_int_equal(netio_new(&w.loop, &w.env, &w.cfg, &w_user, &w, toy_frame, &w.io, &err), -ENOENT);
	assert_int_equal(err.reason, REASON_CONFIG_INVALID);
	assert_non_null(strstr(err.text, "tls 127.0.0.1:0: there is no certificate \"edge1\""));
	w.cfg.first_message_ms = 60001;
	w.cfg.n_listeners = 1;
	assert_int_equal(netio_new(&w.loop, &w.env, &w.cfg, &w_user, &w, toy_frame, &w.io, &err), -EINVAL);
	w.io = NULL;
	for (int i = 0; i < 5; i++)
		loop_turn(&w.loop, 1);
	free(lines);
	w_fini(&w);
}

/* a port below 1024 in a child that may not */
static void a_forbidden_port_is_permission(void **state)
{
	struct world w;
	struct netio_error err;

	(void)state;
	if (geteuid() == 0 && setegid(65534) == 0 && seteuid(65534) < 0)
		skip();
	w_init_bare(&w);
	w.cfg.listeners = w.lines;
	w.cfg.n_listeners = 1;
	w.lines[0] = (struct net_listener_cfg){.proto = NET_UDP, .bound = at("127.0.0.1:1")};
	{
		int e = netio_new(&w.loop, &w.env, &w.cfg, &w_user, &w, toy_frame, &w.io, &err);

		if (e == 0) { /* net.ipv4.ip_unprivileged_port_start=0 here: nothing to see */
			w_fini(&w);
			assert_int_equal(seteuid(0), 0);
			assert_int_equal(setegid(0), 0);
			skip();
		}
		assert_int_equal(e, -EACCES);
		assert_int_equal(err.reason, REASON_PERMISSION);
	}
	w.io = NULL;
	loop_turn(&w.loop, 1);
	w_fini(&w);
	if (getuid() == 0) {
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(setegid(0), 0);
	}
}

static void reload_keeps_what_stays_and_loses_nothing(void **state)
{
	struct world w;
	struct netio_error err;
	struct addr stays, goes, comes;
	const struct net_local *before, *after;
	struct net_path old;
	char b[16];
	int udp, tcp, probe;

	(void)state;
	/* ports that are free on both */
	w_init_bare(&w);
	probe = peer(SOCK_DGRAM, "127.0.0.1:0", &stays);
	close(probe);
	probe = peer(SOCK_DGRAM, "127.0.0.2:0", &goes);
	close(probe);
	probe = peer(SOCK_DGRAM, "127.0.0.3:0", &comes);
	close(probe);
	w.lines[0] = (struct net_listener_cfg){.realm = 0, .proto = NET_UDP, .bound = stays};
	w.lines[1] = (struct net_listener_cfg){.realm = 1, .proto = NET_UDP, .bound = goes};
	w.cfg.n_listeners = 2;
	w_open(&w);
	w.on = echo;
	before = net_local(w.net, 0, NET_UDP, AF_INET);
	tcp = peer_connect(&w, &goes, NULL); /* lives on although its listener goes */
	assert_int_equal(send(tcp, "L0002:ab", 8, 0), 8);
	W_UNTIL(&w, w.n_got == 1);
	old = w.got[0].path;
	assert_int_equal(old.realm, 1);
	udp = peer(SOCK_DGRAM, "127.0.0.1:0", NULL);
	/* datagrams on their way while the reload happens */
	for (int i = 0; i < 50; i++)
		assert_int_equal(sendto(udp, "during", 6, 0, &stays.sa, addr_len(&stays)), 6);
	w.lines[0].host = S("new.example.com");
	w.lines[1] = (struct net_listener_cfg){.realm = 2, .proto = NET_UDP, .bound = comes};
	assert_int_equal(netio_reload(w.io, &w.cfg, &err), 0);
	W_UNTIL(&w, w.n_got == 51);
	after = net_local(w.net, 0, NET_UDP, AF_INET);
	assert_true(str_eq(after->host, S("new.example.com")));
	assert_true(str_eq(before->host, S("127.0.0.1"))); /* who holds the old one may still read it */
	assert_null(net_local(w.net, 1, NET_UDP, AF_INET));
	assert_non_null(net_local(w.net, 2, NET_TCP, AF_INET));
	/* nobody listens at the old one any more, its connection is alive */
	probe = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(probe, &goes.sa, addr_len(&goes)), -1);
	close(probe);
	assert_int_equal(send(tcp, "L0002:cd", 8, 0), 8);
	W_UNTIL(&w, w.n_got == 52);
	assert_int_equal(peer_read(&w, tcp, b, 8), 8);
	/* a reload that cannot be done changes nothing */
	w.lines[1].bound = at("192.0.2.77:5060");
	w.lines[0].host = S("never.example.com");
	assert_int_equal(netio_reload(w.io, &w.cfg, &err), -EADDRNOTAVAIL);
	assert_true(net_local(w.net, 0, NET_UDP, AF_INET) == after);
	assert_non_null(net_local(w.net, 2, NET_UDP, AF_INET));
	/* the same socket in another realm */
	w.lines[0].realm = 7;
	w.cfg.n_listeners = 1;
	assert_int_equal(netio_reload(w.io, &w.cfg, &err), 0);
	assert_null(net_local(w.net, 0, NET_UDP, AF_INET));
	assert_int_equal(sendto(udp, "moved", 5, 0, &stays.sa, addr_len(&stays)), 5);
	W_UNTIL(&w, w.n_got == 53);
	assert_int_equal(w.got[52].path.realm, 7);
	close(udp);
	close(tcp);
	w_fini(&w);
}

/* DNS-07 and others rely on it: nothing here waits */
static void two_realms_do_not_see_each_others_sockets(void **state)
{
	struct world w;
	struct net_path to = {.proto = NET_UDP};
	struct addr me, from, one, two;
	socklen_t len = sizeof(from);
	char b[16];
	int fd;

	(void)state;
	w_init_bare(&w);
	w.lines[0] = (struct net_listener_cfg){.realm = 0, .proto = NET_UDP, .bound = at("127.0.0.1:0")};
	w.lines[1] = (struct net_listener_cfg){.realm = 1, .proto = NET_UDP, .bound = at("127.0.0.1:0")};
	w.lines[2] = (struct net_listener_cfg){.realm = 1, .proto = NET_UDP, .bound = at("127.0.0.4:0")};
	w.cfg.n_listeners = 3;
	w_open(&w);
	one = w_listener(&w, NET_UDP, 1);
	two = w_listener(&w, NET_UDP, 2);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &me);
	to.realm = 1;
	to.remote = me;
	assert_int_equal(net_send(w.net, &to, "x", 1, 0), 0);
	loop_turn(&w.loop, 0);
	assert_int_equal(recvfrom(fd, b, sizeof(b), 0, &from.sa, &len), 1);
	assert_true(addr_eq(&from, &one)); /* the first of the realm */
	to.local = two;
	assert_int_equal(net_send(w.net, &to, "x", 1, 0), 0);
	loop_turn(&w.loop, 0);
	assert_int_equal(recvfrom(fd, b, sizeof(b), 0, &from.sa, &len), 1);
	assert_true(addr_eq(&from, &two)); /* the one that path names */
	close(fd);
	w_fini(&w);
}

static void names_of_protocols(void **state)
{
	(void)state;
	assert_true(str_eq(net_proto_name(NET_UDP), S("UDP")));
	assert_true(str_eq(net_proto_name(NET_WSS), S("WSS")));
	assert_true(str_empty(net_proto_name(NET_PROTOS)));
	assert_false(net_reliable(NET_UDP));
	assert_true(net_reliable(NET_TCP));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(udp_v4_echo_leaves_from_the_listening_port),
	    cmocka_unit_test(udp_v6_echo_leaves_from_the_listening_port),
	    cmocka_unit_test(udp_request_leaves_from_the_listening_port),
	    cmocka_unit_test(udp_goes_in_batches),
	    cmocka_unit_test(udp_carries_the_largest_datagram),
	    cmocka_unit_test(udp_refused_sources_and_keepalives_go_no_further),
	    cmocka_unit_test(wildcard_answers_from_where_it_was_asked),
	    cmocka_unit_test(icmp_unreachable_is_reported_with_what_was_sent),
	    cmocka_unit_test(udp_refusal_of_one_message_is_its_owners),
	    cmocka_unit_test(every_udp_listener_also_listens_on_tcp),
	    cmocka_unit_test(sending_where_no_listener_is_fails_at_once),
	    cmocka_unit_test(a_line_that_cannot_open_says_why),
	    cmocka_unit_test(a_forbidden_port_is_permission),
	    cmocka_unit_test(reload_keeps_what_stays_and_loses_nothing),
	    cmocka_unit_test(two_realms_do_not_see_each_others_sockets),
	    cmocka_unit_test(names_of_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
