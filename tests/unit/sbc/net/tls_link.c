/* Handshakes beside the loop: what is computed where, and what may happen to a connection while a step runs.
 *
 * A step is caught by OpenSSL's info callback on our contexts, which waits on the worker's thread until it is let go. */
#include <poll.h>
#include <semaphore.h>

#include "tls_world.h"

struct gate {
	struct tls_world t;
	sem_t in, go;         /* a step has come to the gate; it may pass */
	_Atomic bool shut;
	_Atomic unsigned steps; /* that came by, on any thread but the loop's */
	_Atomic unsigned on_loop;
	unsigned dear_on_loop; /* signatures made on the loop's thread */
	pthread_t loop;
};

static struct gate *the_gate; /* OpenSSL's callback has no argument of ours */

static void on_info(const SSL *ssl, int where, int ret)
{
	struct gate *g = the_gate;

	(void)ret;
	if ((where & SSL_CB_LOOP) && pthread_equal(pthread_self(), g->loop))
		g->dear_on_loop += SSL_get_state(ssl) == TLS_ST_SW_KEY_EXCH || SSL_get_state(ssl) == TLS_ST_SW_CERT_VRFY;
	if (!(where & SSL_CB_HANDSHAKE_START))
		return;
	if (pthread_equal(pthread_self(), g->loop)) {
		g->on_loop++;
		return;
	}
	g->steps++;
	if (g->shut) {
		sem_post(&g->in);
		while (sem_wait(&g->go) < 0)
			;
	}
}

static void watch(struct tls_store *s)
{
	for (unsigned i = 0; i < s->n_certs; i++) {
		SSL_CTX_set_info_callback(s->certs[i].server, on_info);
		SSL_CTX_set_info_callback(s->certs[i].client, on_info);
	}
}

static void g_init(struct gate *g, uint8_t client_cert)
{
	memset(g, 0, sizeof(*g));
	t_init(&g->t, client_cert);
	sem_init(&g->in, 0, 0);
	sem_init(&g->go, 0, 0);
	g->loop = pthread_self();
	the_gate = g;
	watch(g->t.store);
	g->t.w.on = echo;
}

static void g_fini(struct gate *g)
{
	t_fini(&g->t);
	sem_destroy(&g->in);
	sem_destroy(&g->go);
}

/* turns the loop until a step waits at the gate */
static void g_caught(struct gate *g)
{
	W_UNTIL(&g->t.w, sem_trywait(&g->in) == 0);
}

static void g_open(struct gate *g)
{
	g->shut = false;
	sem_post(&g->go);
}

/* a client whose hello is in our step now */
static void hold_one(struct gate *g, struct tpeer *p)
{
	g->shut = true;
	tp_init(p, false, NULL);
	tp_start(p, peer_connect(&g->t.w, &g->t.us, NULL));
	assert_int_equal(SSL_do_handshake(p->ssl), -1);
	g_caught(g);
}

/* the one connection that has not come up */
static struct conn *the_held(struct gate *g)
{
	for (unsigned i = 0; i < g->t.w.io->n_slots; i++) {
		struct conn *c = g->t.w.io->slot[i].conn;

		if (c && c->state == CONN_HANDSHAKE)
			return c;
	}
	fail_msg("nobody is in a handshake");
	return NULL;
}

static void calls_go_on_while_a_handshake_is_computed(void **state)
{
	struct gate g;
	struct tpeer up, held;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	tp_init(&up, false, NULL);
	assert_int_equal(connect_as(&g.t, &up, NULL), 1);
	hold_one(&g, &held);
	for (int i = 0; i < 20; i++) {
		tp_write(&g.t.w, &up, "L0005:hello", 11);
		tp_expect(&g.t.w, &up, "L0005:hello");
	}
	assert_int_equal(count(&g.t, NET_TLS_ACCEPTED), 1);
	assert_true(the_held(&g)->tls->busy);
	g_open(&g);
	assert_int_equal(tp_handshake(&g.t.w, &held), 1);
	tp_write(&g.t.w, &held, "L0001:x", 7);
	tp_expect(&g.t.w, &held, "L0001:x");
	assert_int_equal(g.on_loop, 0);
	tp_fini(&held);
	tp_fini(&up);
	g_fini(&g);
}

/* Everything that needs a certificate's arithmetic, of both directions, is computed elsewhere. */
static void whole_handshakes_are_not_computed_on_the_loop(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct gate g;
	struct pair phone, itsp;

	(void)state;
	g_init(&g, NET_CERT_REQUIRE);
	phone = make_dns(&g.t.root, "pbx.example");
	itsp = make_dns(&g.t.root, "itsp.example");
	for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
		struct net_peer as = {.name = S("itsp.example")};
		struct tpeer p;
		struct far f;

		tp_init(&p, false, &phone);
		SSL_CTX_set_max_proto_version(p.ctx, versions[i]);
		assert_int_equal(connect_as(&g.t, &p, NULL), 1);
		tp_write(&g.t.w, &p, "L0001:x", 7);
		tp_expect(&g.t.w, &p, "L0001:x");
		tp_fini(&p);
		far_init(&g.t, &f, &itsp, &as);
		SSL_CTX_set_max_proto_version(f.p.ctx, versions[i]);
		assert_int_equal(far_call(&g.t, &f, "L0001:y"), 1);
		tp_expect(&g.t.w, &f.p, "L0001:y");
		far_fini(&f);
	}
	assert_true(g.steps >= 4);
	assert_int_equal(g.on_loop, 0);
	pair_free(&phone);
	pair_free(&itsp);
	g_fini(&g);
}

/* the session of one whole handshake of TLS 1.2 */
static SSL_SESSION *session12(struct gate *g, struct tpeer *p)
{
	SSL_SESSION *s;

	tp_init(p, false, NULL);
	SSL_CTX_set_max_proto_version(p->ctx, TLS1_2_VERSION);
	assert_int_equal(connect_as(&g->t, p, NULL), 1);
	s = SSL_get1_session(p->ssl);
	SSL_shutdown(p->ssl); /* else OpenSSL thinks ill of the session */
	tp_end(p);
	return s;
}

static void a_resumed_session_costs_no_thread(void **state)
{
	struct gate g;
	struct tpeer p, held;
	SSL_SESSION *s;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	s = session12(&g, &p);
	hold_one(&g, &held);
	tp_start(&p, peer_connect(&g.t.w, &g.t.us, NULL));
	assert_int_equal(SSL_set_session(p.ssl, s), 1);
	assert_int_equal(tp_handshake(&g.t.w, &p), 1);
	assert_int_equal(SSL_session_reused(p.ssl), 1);
	tp_write(&g.t.w, &p, "L0001:x", 7);
	tp_expect(&g.t.w, &p, "L0001:x");
	assert_true(g.on_loop > 0);
	assert_int_equal(count(&g.t, NET_TLS_RESUMED), 1);
	g_open(&g);
	SSL_SESSION_free(s);
	tp_fini(&held);
	tp_fini(&p);
	g_fini(&g);
}

/* A ticket that is none looks like a cheap handshake; what is dear in it must not be done on the loop for that. */
static void a_forged_ticket_gets_no_arithmetic_of_the_loop(void **state)
{
	struct gate g;
	struct tpeer p;
	SSL_SESSION *s;
	unsigned char forged[200];

	(void)state;
	g_init(&g, NET_CERT_NONE);
	s = session12(&g, &p);
	SSL_SESSION_free(s);
	tp_start(&p, peer_connect(&g.t.w, &g.t.us, NULL));
	memset(forged, 'f', sizeof(forged));
	assert_int_equal(SSL_set_session_ticket_ext(p.ssl, forged, sizeof(forged)), 1);
	assert_int_equal(tp_handshake(&g.t.w, &p), 1);
	assert_int_equal(SSL_session_reused(p.ssl), 0);
	W_UNTIL(&g.t.w, count(&g.t, NET_TLS_ACCEPTED) == 2);
	assert_int_equal(g.on_loop, 1); /* it began there */
	assert_int_equal(count(&g.t, NET_TLS_RESUMED), 0);
	assert_non_null(g.t.w.io->workers);
	assert_int_equal(g.dear_on_loop, 0);
	tp_fini(&p);
	g_fini(&g);
}

/* ---- the end of a connection while its step runs ---- */

static void a_peer_may_go_while_its_step_runs(void **state)
{
	struct gate g;
	struct tpeer held;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	hold_one(&g, &held);
	tp_end(&held);
	/* its end is noticed, and is told to the handshake when the step is over */
	W_UNTIL(&g.t.w, the_held(&g)->tls->more_end);
	assert_int_equal(count(&g.t, NET_TCP_OPEN), 1);
	g_open(&g);
	W_UNTIL(&g.t.w, count(&g.t, NET_TCP_OPEN) == 0);
	assert_int_equal(count(&g.t, NET_TLS_FAILED), 1);
	tp_fini(&held);
	g_fini(&g);
}

static void a_deadline_does_not_wait_for_a_step(void **state)
{
	struct gate g;
	struct tpeer held;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	hold_one(&g, &held);
	w_skip(&g.t.w, g.t.w.cfg.handshake_ms + 10);
	W_UNTIL(&g.t.w, count(&g.t, NET_TCP_OPEN) == 0);
	assert_int_equal(count(&g.t, NET_TLS_SLOW), 1);
	w_spin(&g.t.w, 20); /* libuv has let go of the connection; the step still runs in what is left of it */
	g_open(&g);
	W_UNTIL(&g.t.w, workers_busy(g.t.w.io->workers) == 0);
	assert_int_equal(count(&g.t, NET_TLS_ACCEPTED), 0);
	tp_fini(&held);
	g_fini(&g);
}

/* our own connection, its owner gone */
static void a_connection_of_ours_is_closed_while_its_step_runs(void **state)
{
	struct gate g;
	struct pair itsp;
	struct net_peer as = {.name = S("itsp.example")};
	struct far f;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	itsp = make_dns(&g.t.root, "itsp.example");
	far_init(&g.t, &f, &itsp, &as);
	g.shut = true;
	assert_int_equal(net_send(g.t.w.net, &f.path, "L0001:x", 7, 7), 0);
	g_caught(&g);
	net_peer_del(g.t.w.net, f.path.peer); /* what the step proves against is its own */
	g.t.w.net->ops->close(g.t.w.net, &f.path, true);
	W_UNTIL(&g.t.w, g.t.w.n_lost == 1);
	assert_int_equal(g.t.w.lost[0].err, -ECANCELED);
	assert_int_equal(count(&g.t, NET_TCP_OPEN), 0);
	g_open(&g);
	W_UNTIL(&g.t.w, workers_busy(g.t.w.io->workers) == 0);
	far_fini(&f);
	pair_free(&itsp);
	g_fini(&g);
}

static void work_that_waits_is_taken_back(void **state)
{
	enum { N = WORKERS_MAX + 4 };
	struct gate g;
	struct tpeer p[N];
	unsigned at_gate = 0;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	g.shut = true;
	for (unsigned i = 0; i < N; i++) {
		tp_init(&p[i], false, NULL);
		tp_start(&p[i], peer_connect(&g.t.w, &g.t.us, NULL));
		assert_int_equal(SSL_do_handshake(p[i].ssl), -1);
	}
	W_UNTIL(&g.t.w, g.t.w.io->workers && workers_busy(g.t.w.io->workers) == N);
	w_skip(&g.t.w, g.t.w.cfg.handshake_ms + 10);
	W_UNTIL(&g.t.w, count(&g.t, NET_TCP_OPEN) == 0);
	/* those that wait are gone with their connections, those that run are not */
	W_UNTIL(&g.t.w, workers_busy(g.t.w.io->workers) <= WORKERS_MAX);
	g.shut = false;
	for (unsigned i = 0; i < N; i++)
		sem_post(&g.go);
	W_UNTIL(&g.t.w, workers_busy(g.t.w.io->workers) == 0);
	while (sem_trywait(&g.in) == 0)
		at_gate++;
	assert_in_range(at_gate, 1, WORKERS_MAX);
	assert_int_equal(g.steps, at_gate);
	for (unsigned i = 0; i < N; i++)
		tp_fini(&p[i]);
	g_fini(&g);
}

static void certificates_change_while_a_step_runs(void **state)
{
	struct gate g;
	struct tpeer held;
	struct tls_store *s;
	struct tls_error err;
	struct store_spec spec = {.names = {"a", "b"}};
	X509 *x, *was;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	was = g.t.a.x;
	X509_up_ref(was);
	hold_one(&g, &held);
	pair_free(&g.t.a);
	g.t.a = make_dns(&g.t.root, "edge.example");
	put_pair(&g.t.dir, "a", &g.t.a, NULL);
	s = load(&g.t.dir, &spec, &err);
	assert_non_null(s);
	assert_int_equal(netio_set_tls(g.t.w.io, s), 0);
	tls_store_unref(g.t.store); /* the step holds the last one */
	g.t.store = s;
	g_open(&g);
	assert_int_equal(tp_handshake(&g.t.w, &held), 1);
	x = SSL_get1_peer_certificate(held.ssl);
	assert_int_equal(X509_cmp(x, was), 0);
	X509_free(x);
	X509_free(was);
	tp_write(&g.t.w, &held, "L0001:x", 7);
	tp_expect(&g.t.w, &held, "L0001:x");
	tp_fini(&held);
	g_fini(&g);
}

static void the_end_of_all_waits_for_steps_without_waiting(void **state)
{
	struct gate g;
	struct tpeer held;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	hold_one(&g, &held);
	netio_free(g.t.w.io, w_closed, &g.t.w.closed);
	g.t.w.io = NULL;
	for (int i = 0; i < 10; i++)
		loop_turn(&g.t.w.loop, 1);
	assert_false(g.t.w.closed);
	g_open(&g);
	W_UNTIL(&g.t.w, g.t.w.closed);
	tp_fini(&held);
	g_fini(&g);
}

/* ---- who is slow ---- */

static void who_dribbles_costs_no_step_and_no_state_of_tls(void **state)
{
	struct gate g;
	struct tpeer p;
	BIO *out = BIO_new(BIO_s_mem()), *in = BIO_new(BIO_s_mem());
	char *hello;
	long n;
	int fd;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	tp_init(&p, false, NULL);
	p.ssl = SSL_new(p.ctx);
	SSL_set_bio(p.ssl, in, out);
	SSL_set_connect_state(p.ssl);
	assert_int_equal(SSL_do_handshake(p.ssl), -1);
	n = BIO_get_mem_data(out, &hello);
	assert_true(n > 100);
	fd = peer_connect(&g.t.w, &g.t.us, NULL);
	for (long i = 0; i < n - 1; i++) {
		assert_int_equal(send(fd, hello + i, 1, 0), 1);
		loop_turn(&g.t.w.loop, 1);
	}
	W_UNTIL(&g.t.w, the_held(&g)->tls->more.n == (size_t)n - 1);
	assert_null(the_held(&g)->tls->ssl);
	assert_null(g.t.w.io->workers);
	assert_int_equal(send(fd, hello + n - 1, 1, 0), 1);
	W_UNTIL(&g.t.w, g.steps == 1);
	close(fd);
	tp_fini(&p);
	g_fini(&g);
}

/* More than a handshake can have is left in the socket while a step runs. */
static void a_flood_behind_the_hello_is_not_taken_in(void **state)
{
	struct gate g;
	struct tpeer held;
	char junk[4096];
	size_t sent = 0, more;
	struct pollfd pfd;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	hold_one(&g, &held);
	memset(junk, 0, sizeof(junk));
	/* what is there at once is not read at once */
	for (ssize_t r; (r = send(held.fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT)) > 0;)
		sent += (size_t)r;
	/* until the socket takes no more: 50 ms without room */
	pfd = (struct pollfd){.fd = held.fd, .events = POLLOUT};
	while (sent < ((size_t)64 << 20)) {
		ssize_t r = send(held.fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT);

		loop_turn(&g.t.w.loop, 0);
		if (r > 0)
			sent += (size_t)r;
		else if (w_spin(&g.t.w, 20), poll(&pfd, 1, 50) == 0)
			break;
	}
	assert_true(sent < ((size_t)64 << 20));
	more = the_held(&g)->tls->more.n - the_held(&g)->tls->more.at;
	assert_in_range(more, 1, (64 + 16) << 10);
	g_open(&g);
	W_UNTIL(&g.t.w, count(&g.t, NET_TLS_FAILED) == 1);
	tp_fini(&held);
	g_fini(&g);
}

/* Many that are cheap, at once: no turn of the loop pays for more than a few of them. */
static void a_crowd_that_resumes_is_shared_out(void **state)
{
	enum { N = 12, PER_TURN = 4 };
	struct gate g;
	struct tpeer first, p[N];
	SSL_SESSION *s;

	(void)state;
	g_init(&g, NET_CERT_NONE);
	s = session12(&g, &first);
	tp_fini(&first);
	for (unsigned i = 0; i < N; i++) {
		tp_init(&p[i], false, NULL);
		SSL_CTX_set_max_proto_version(p[i].ctx, TLS1_2_VERSION);
		tp_start(&p[i], peer_connect(&g.t.w, &g.t.us, NULL));
		assert_int_equal(SSL_set_session(p[i].ssl, s), 1);
	}
	W_UNTIL(&g.t.w, count(&g.t, NET_TCP_OPEN) == N);
	for (unsigned i = 0; i < N; i++)
		(void)SSL_do_handshake(p[i].ssl);
	for (unsigned turns = 0; count(&g.t, NET_TLS_ACCEPTED) < N + 1; turns++) {
		unsigned before = g.on_loop;

		loop_turn(&g.t.w.loop, 2);
		assert_in_range(g.on_loop - before, 0, PER_TURN);
		assert_true(turns < 2000);
		for (unsigned i = 0; i < N; i++)
			(void)SSL_do_handshake(p[i].ssl);
	}
	assert_true(g.on_loop >= PER_TURN);
	assert_int_equal(count(&g.t, NET_TLS_RESUMED), N);
	for (unsigned i = 0; i < N; i++)
		tp_fini(&p[i]);
	SSL_SESSION_free(s);
	g_fini(&g);
}

/* Many at once that are dear: each comes up, and the loop pays for none. */
static void many_at_once_all_come_up(void **state)
{
	enum { N = 60 };
	struct gate g;
	struct tpeer p[N];
	struct pair phone;

	(void)state;
	g_init(&g, NET_CERT_REQUEST);
	phone = make_dns(&g.t.root, "pbx.example");
	for (unsigned i = 0; i < N; i++) {
		tp_init(&p[i], false, i % 2 ? &phone : NULL);
		SSL_CTX_set_max_proto_version(p[i].ctx, i % 4 < 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
		tp_start(&p[i], peer_connect(&g.t.w, &g.t.us, NULL));
		(void)SSL_do_handshake(p[i].ssl);
	}
	/* all of them go on together, as clients do: one after the other the last would be late on a busy machine */
	for (unsigned up = 0; up < N;) {
		up = 0;
		for (unsigned i = 0; i < N; i++) {
			ERR_clear_error();
			up += SSL_do_handshake(p[i].ssl) == 1;
		}
		assert_int_equal(count(&g.t, NET_TLS_FAILED), 0);
		loop_turn(&g.t.w.loop, 1);
	}
	for (unsigned i = 0; i < N; i++) {
		tp_write(&g.t.w, &p[i], "L0001:x", 7);
		tp_expect(&g.t.w, &p[i], "L0001:x");
	}
	assert_int_equal(count(&g.t, NET_TLS_ACCEPTED), N);
	assert_int_equal(count(&g.t, NET_TLS_FAILED), 0);
	assert_int_equal(g.on_loop, 0);
	for (unsigned i = 0; i < N; i++)
		tp_fini(&p[i]);
	pair_free(&phone);
	g_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(calls_go_on_while_a_handshake_is_computed),
	    cmocka_unit_test(whole_handshakes_are_not_computed_on_the_loop),
	    cmocka_unit_test(a_resumed_session_costs_no_thread),
	    cmocka_unit_test(a_forged_ticket_gets_no_arithmetic_of_the_loop),
	    cmocka_unit_test(a_peer_may_go_while_its_step_runs),
	    cmocka_unit_test(a_deadline_does_not_wait_for_a_step),
	    cmocka_unit_test(a_connection_of_ours_is_closed_while_its_step_runs),
	    cmocka_unit_test(work_that_waits_is_taken_back),
	    cmocka_unit_test(certificates_change_while_a_step_runs),
	    cmocka_unit_test(the_end_of_all_waits_for_steps_without_waiting),
	    cmocka_unit_test(who_dribbles_costs_no_step_and_no_state_of_tls),
	    cmocka_unit_test(a_flood_behind_the_hello_is_not_taken_in),
	    cmocka_unit_test(a_crowd_that_resumes_is_shared_out),
	    cmocka_unit_test(many_at_once_all_come_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
