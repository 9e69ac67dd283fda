/* From workers up to the signalling thread: whose DTLS goes up and whose does not, a hello before its program, bounds, keys that
 * are waited for; a whole handshake with threads of its own, ended in the middle too (run under ThreadSanitizer). */
#include "relay_world.h"

#include "media/dtls_link.h"
#include "media/relay_impl.h"
#include "sbc/loop/workers.h"

static struct world w;
static struct loop loop;
static struct workers *workers;
static bool workers_gone;

static int setup(void **state)
{
	struct workers_cfg wc = {.n = 2, .name = "test-dtls", .thread_end = dtls_thread_done};

	(void)state;
	world_init(&w, 2);
	w.env.clock = &loop.clock;
	w.env.timers = &loop.timers;
	world_start_on(&w, &loop);
	assert_int_equal(workers_new(&loop, &wc, &workers), 0);
	return 0;
}

static void gone(void *arg)
{
	*(bool *)arg = true;
}

static int teardown(void **state)
{
	(void)state;
	world_fini(&w);
	workers_gone = false;
	workers_free(workers, gone, &workers_gone);
	while (!workers_gone)
		loop_turn(&loop, 1000);
	assert_int_equal(loop_fini(&loop), 0);
	return 0;
}

/* --- one who listens --- */

static struct {
	unsigned n, sock;
	struct addr from;
	size_t len;
	uint8_t d[DTLS_DATAGRAM_MAX];
} heard;

static void hear(void *ctx, unsigned sock, const struct addr *from, const uint8_t *d, size_t n)
{
	assert_ptr_equal(ctx, &heard);
	heard.n++;
	heard.sock = sock;
	heard.from = *from;
	heard.len = n;
	memcpy(heard.d, d, n);
}

static void wait_heard(unsigned n)
{
	for (int i = 0; i < ARRIVES && heard.n < n; i++)
		loop_turn(&loop, 1);
	assert_int_equal(heard.n, n);
}

static size_t posts(void)
{
	size_t n;

	pthread_mutex_lock(&loop.post_lock);
	n = loop.post_n;
	pthread_mutex_unlock(&loop.post_lock);
	return n;
}

static const uint8_t record[20] = {22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 14};
static const uint8_t hello[20] = {22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 1};

static void test_source_and_socket(void **state)
{
	struct addr at = ip("127.0.0.9", 0);
	int stranger = peer_open(&at);
	uint8_t large[DTLS_DATAGRAM_MAX + 1] = {22};
	struct call c;

	(void)state;
	call_open(&c, &w);
	/* without DTLS in the program it is what it was */
	peer_send(c.end[0].rtp, &c.local[0], record, sizeof(record));
	wait_drops(&c, 0, RELAY_DROP_NOT_RTP, 1);
	c.prog[0].dtls = true;
	call_publish(&c);
	memset(&heard, 0, sizeof(heard));
	relay_pair_listen(c.pair[0], hear, &heard);
	peer_send(c.end[0].rtp, &c.local[0], record, sizeof(record));
	wait_heard(1);
	assert_int_equal(heard.sock, 0);
	assert_true(addr_eq(&heard.from, &c.end[0].rtp_addr));
	assert_int_equal(heard.len, sizeof(record));
	assert_memory_equal(heard.d, record, sizeof(record));
	{
		struct addr rtcp = port_after(c.local[0]);

		peer_send(c.end[0].rtcp, &rtcp, hello, sizeof(hello));
		wait_heard(2);
		assert_int_equal(heard.sock, 1);
		assert_true(addr_eq(&heard.from, &c.end[0].rtcp_addr));
	}
	/* a stranger, a giant, the other socket of the far end */
	peer_send(stranger, &c.local[0], hello, sizeof(hello));
	peer_send(c.end[0].rtcp, &c.local[0], hello, sizeof(hello));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 2);
	peer_send(c.end[0].rtp, &c.local[0], large, sizeof(large));
	wait_drops(&c, 0, RELAY_DROP_NOT_RTP, 2);
	/* DTLS teaches no source: the exact one still comes in, and so does media */
	passes(&c, c.end[0].rtp, 0, 1);
	loop_turn(&loop, 0);
	assert_int_equal(heard.n, 2);
	/* nobody listens any more */
	relay_pair_unlisten(c.pair[0], &heard);
	peer_send(c.end[0].rtp, &c.local[0], record, sizeof(record));
	passes(&c, c.end[0].rtp, 0, 2);
	loop_turn(&loop, 1);
	assert_int_equal(heard.n, 2);
	close(stranger);
	call_close(&c);
}

/* DTL-02: before the answer, once, and nothing but a hello */
static void test_early_hello(void **state)
{
	struct relay_pair *p = take(&w, 0, AF_INET);
	struct addr at = ip("127.0.0.2", 0), local = *relay_pair_local(p);
	struct media_stats st;
	int fd = peer_open(&at);

	(void)state;
	memset(&heard, 0, sizeof(heard));
	peer_send(fd, &local, hello, sizeof(hello)); /* not even expected */
	for (unsigned n = 1, expected = 0; n < 5; n++) {
		for (int i = 0; i < ARRIVES; i++) {
			relay_pair_stats(p, &st);
			if (st.drops[RELAY_DROP_NO_STREAM] == n)
				break;
			poll(NULL, 0, 1);
		}
		assert_int_equal(st.drops[RELAY_DROP_NO_STREAM], n);
		loop_turn(&loop, 0);
		if (n == 1)
			relay_pair_expect(p);
		expected += n == 3;
		peer_send(fd, &local, n == 2 ? hello : record, sizeof(hello));
	}
	relay_pair_listen(p, hear, &heard);
	assert_int_equal(heard.n, 1);
	assert_memory_equal(heard.d, hello, sizeof(hello));
	assert_true(addr_eq(&heard.from, &at));
	relay_pair_listen(p, hear, &heard);
	assert_int_equal(heard.n, 1);
	relay_pair_put(p);
	close(fd);
}

/* A flood at one pair waits in bounds, and its rest is dropped; the loop is posted to once. */
static void test_flood(void **state)
{
	struct call c;
	struct media_stats st;

	(void)state;
	call_open(&c, &w);
	c.prog[0].dtls = true;
	call_publish(&c);
	memset(&heard, 0, sizeof(heard));
	relay_pair_listen(c.pair[0], hear, &heard);
	for (unsigned i = 0; i < 100; i++)
		peer_send(c.end[0].rtp, &c.local[0], record, sizeof(record));
	passes(&c, c.end[0].rtp, 0, 1); /* all of them were judged */
	st = stats(&c, 0);
	assert_int_equal(st.drops[RELAY_DROP_NOT_RTP], 100 - 16);
	assert_int_equal(posts(), 1);
	loop_turn(&loop, 0);
	assert_int_equal(heard.n, 16);
	/* and then there is room again */
	peer_send(c.end[0].rtp, &c.local[0], record, sizeof(record));
	wait_heard(17);
	call_close(&c);
}

/* keys that are to come: nothing passes, in neither direction, nor reports */
static void test_waits_for_keys(void **state)
{
	struct addr rtcp;
	uint8_t d[64];
	struct call c;
	size_t n;

	(void)state;
	call_open(&c, &w);
	rtcp = port_after(c.local[0]);
	c.prog[0].wait_rtp = c.prog[1].wait_rtp = true;
	c.prog[0].wait_rtcp = c.prog[1].wait_rtcp = true;
	call_publish(&c);
	n = rtp_make(d, 8, 1, 160, 77, 40);
	for (unsigned s = 0; s < 2; s++) {
		peer_send(c.end[s].rtp, &c.local[s], d, n);
		wait_drops(&c, s, RELAY_DROP_NO_KEY, 1);
		silent(c.end[!s].rtp);
	}
	peer_send(c.end[0].rtcp, &rtcp, rtcp_rr, sizeof(rtcp_rr));
	wait_drops(&c, 0, RELAY_DROP_NO_KEY, 2);
	silent(c.end[1].rtcp);
	assert_int_equal(stats(&c, 0).rx_packets, 0);
	c.prog[0].wait_rtp = c.prog[1].wait_rtp = false;
	call_publish(&c);
	passes(&c, c.end[0].rtp, 0, 2);
	peer_send(c.end[0].rtcp, &rtcp, rtcp_rr, sizeof(rtcp_rr));
	wait_drops(&c, 0, RELAY_DROP_NO_KEY, 3);
	call_close(&c);
}

/* the relay ends while its post is under way: the loop has it, and nothing else of the relay */
static void test_post_outlives_the_relay(void **state)
{
	struct call c;

	(void)state;
	call_open(&c, &w);
	c.prog[0].dtls = true;
	call_publish(&c);
	memset(&heard, 0, sizeof(heard));
	relay_pair_listen(c.pair[0], hear, &heard);
	peer_send(c.end[0].rtp, &c.local[0], record, sizeof(record));
	passes(&c, c.end[0].rtp, 0, 1);
	assert_int_equal(posts(), 1);
	call_close(&c);
	relay_free(w.relay);
	loop_turn(&loop, 0);
	assert_int_equal(heard.n, 0);
	world_start(&w);
}

/* --- a handshake through all of it --- */

static void on_changed(void *ctx)
{
	(*(unsigned *)ctx)++;
}

struct shake {
	struct dtls_room *room;
	struct dtls_link *link;
	struct dtls_cert *ours, *theirs;
	struct dtls *far;
	struct call c;
	unsigned changed;
};

static void shake_open(struct shake *s, bool we_begin)
{
	static const uint8_t suites[] = {CRYPT_GCM128};
	struct log log = {0};
	struct dtls_said said = {.n = 1};
	struct dtls_terms t = {.role = we_begin ? DTLS_ACTIVE : DTLS_PASSIVE, .n_suites = 1, .suites = {CRYPT_GCM128}, .mux = true};

	memset(s, 0, sizeof(*s));
	call_open(&s->c, &w);
	s->c.prog[0].dtls = true;
	call_publish(&s->c);
	s->room = dtls_room_new(&w.env, workers, true);
	s->ours = dtls_room_cert(s->room);
	s->theirs = dtls_cert_new(1700000000000000);
	said.print[0] = *dtls_cert_print(s->ours);
	s->far = dtls_new(s->theirs, !we_begin, &said, suites, 1, &s->c.local[0]);
	t.cert = s->ours;
	t.far.n = 1;
	t.far.print[0] = *dtls_cert_print(s->theirs);
	t.pair = s->c.pair[0];
	t.to[0] = s->c.end[0].rtp_addr;
	s->link = dtls_link_new(s->room, &t, &log, "a", NULL, on_changed, &s->changed);
	assert_non_null(s->link);
	dtls_link_listen(s->link);
	if (!we_begin)
		dtls_step(s->far);
}

/* the far end's socket: what came is put in, what it says is sent */
static void shake_turn(struct shake *s)
{
	uint8_t d[2000];
	ssize_t n;
	size_t pos = 0;

	while ((n = peer_recv(s->c.end[0].rtp, d, sizeof(d), NULL, 0)) > 0)
		(void)dtls_batch_put(&s->far->in, d, (size_t)n);
	if (s->far->in.n)
		dtls_step(s->far);
	for (unsigned i = 0; i < s->far->out.n; pos += s->far->out.len[i++])
		peer_send(s->c.end[0].rtp, &s->c.local[0], s->far->out.d + pos, s->far->out.len[i]);
	s->far->out.n = 0;
	loop_turn(&loop, 1);
}

static void shake_close(struct shake *s)
{
	dtls_link_unref(s->link);
	dtls_free(s->far);
	dtls_cert_unref(s->ours);
	dtls_cert_unref(s->theirs);
	call_close(&s->c);
	dtls_room_free(s->room);
}

static void test_handshake_by_workers(void **state)
{
	(void)state;
	for (unsigned begin = 0; begin < 2; begin++) {
		struct crypt_key theirs, ours;
		struct shake s;

		shake_open(&s, begin);
		for (int i = 0; i < ARRIVES && !s.changed; i++)
			shake_turn(&s);
		assert_int_equal(s.changed, 1);
		for (int i = 0; i < ARRIVES && s.far->state != DTLS_UP; i++)
			shake_turn(&s);
		assert_true(dtls_link_keys(s.link, 0, &theirs, &ours));
		assert_memory_equal(&theirs, &s.far->ours, sizeof(theirs));
		assert_memory_equal(&ours, &s.far->theirs, sizeof(ours));
		assert_true(dtls_link_keys(s.link, 1, &theirs, &ours)); /* RTCP at the same port: the same keys */
		assert_memory_equal(&theirs, &s.far->ours, sizeof(theirs));
		assert_int_equal(metrics_get(&w.metrics, "dtls", "up"), 1);
		assert_int_equal(metrics_get(&w.metrics, "dtls", "open"), 0);
		shake_close(&s);
	}
}

/* a call that ends at any moment of its handshake, also while a worker is at it */
static void test_ended_in_the_middle(void **state)
{
	(void)state;
	for (unsigned turns = 0; turns < 24; turns++) {
		struct shake s;

		shake_open(&s, turns & 1);
		for (unsigned i = 0; i < turns / 2; i++)
			shake_turn(&s);
		shake_close(&s);
	}
	for (int i = 0; i < ARRIVES && workers_busy(workers); i++)
		loop_turn(&loop, 1);
	assert_int_equal(workers_busy(workers), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_source_and_socket),
		cmocka_unit_test(test_early_hello),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_waits_for_keys),
		cmocka_unit_test(test_post_outlives_the_relay),
		cmocka_unit_test(test_handshake_by_workers),
		cmocka_unit_test(test_ended_in_the_middle),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
