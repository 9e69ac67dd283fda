/* Connections that are let in: what the socket is told comes from the listener; without memory they are sent away and counted. */
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>

static bool no_memory;

static void *scarce(size_t n, size_t size)
{
	return no_memory ? NULL : calloc(n, size);
}

#define calloc scarce
#include "sbc/net/accept.c"
#undef calloc

#include "world.h"

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static int fd_of(const struct world *w)
{
	for (unsigned i = 0; i < w->io->n_slots; i++)
		if (w->io->slot[i].conn)
			return w->io->slot[i].conn->fd;
	return -1;
}

static void init4(struct world *w)
{
	w_init(w, "127.0.0.1:0");
}

static void what_is_accepted_is_tuned(void **state)
{
	struct world w;
	struct netio_error err;
	struct addr us;
	int fd, in;

	(void)state;
	init4(&w);
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	W_UNTIL(&w, fd_of(&w) >= 0);
	in = fd_of(&w);
	assert_int_equal(option(in, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(in, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(in, IPPROTO_TCP, TCP_KEEPIDLE), 60);
	assert_int_equal(option(in, IPPROTO_TCP, TCP_KEEPINTVL), 15);
	assert_int_equal(option(in, IPPROTO_TCP, TCP_USER_TIMEOUT), w.cfg.stall_ms);
	assert_true(addr_eq(&w.io->slot[0].conn->path.local, &us));
	close(fd);
	W_UNTIL(&w, netio_count(w.io, NET_TCP_OPEN) == 0);
	/* and by what holds now */
	w.cfg.stall_ms = 7000;
	assert_int_equal(netio_reload(w.io, &w.cfg, &err), 0);
	us = w_listener(&w, NET_TCP, 0);
	fd = peer_connect(&w, &us, NULL);
	W_UNTIL(&w, fd_of(&w) >= 0);
	assert_int_equal(option(fd_of(&w), IPPROTO_TCP, TCP_USER_TIMEOUT), 7000);
	close(fd);
	w_fini(&w);
}

/* a listener on all addresses asks which one it was */
static void the_address_that_was_called_is_known(void **state)
{
	struct world w;
	struct addr us = at("127.0.0.7:0");
	struct addr bound;
	int fd;

	(void)state;
	w_init(&w, "0.0.0.0:0");
	bound = w_listener(&w, NET_TCP, 0);
	addr_set_port(&us, addr_port(&bound));
	fd = peer_connect(&w, &us, NULL);
	W_UNTIL(&w, fd_of(&w) >= 0);
	assert_true(addr_eq(&w.io->slot[0].conn->path.local, &us));
	close(fd);
	w_fini(&w);
}

static void without_memory_it_is_sent_away_and_counted(void **state)
{
	struct world w;
	struct addr us;
	char b[4];
	int fd;

	(void)state;
	init4(&w);
	us = w_listener(&w, NET_TCP, 0);
	no_memory = true;
	fd = peer_connect(&w, &us, NULL);
	W_UNTIL(&w, netio_count(w.io, NET_TCP_NO_MEMORY) == 1);
	no_memory = false;
	W_UNTIL(&w, recv(fd, b, sizeof(b), MSG_DONTWAIT) < 0 && errno == ECONNRESET);
	assert_int_equal(netio_count(w.io, NET_TCP_ACCEPTED), 0);
	assert_int_equal(netio_count(w.io, NET_TCP_OPEN), 0);
	close(fd);
	fd = peer_connect(&w, &us, NULL);
	W_UNTIL(&w, netio_count(w.io, NET_TCP_ACCEPTED) == 1);
	close(fd);
	w_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_accepted_is_tuned),
	    cmocka_unit_test(the_address_that_was_called_is_known),
	    cmocka_unit_test(without_memory_it_is_sent_away_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
