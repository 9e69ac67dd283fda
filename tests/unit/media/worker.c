/* What a packet costs: system calls and allocations, counted; and that a worker bounds its work. */
#include "check_make.h"
#include "relay_world.h"

#include <stdatomic.h>
#include <sys/epoll.h>

/* Counted instead of made by name: worker.c is compiled into this program with these. */
static struct {
	atomic_uint recvmmsg, sendmsg, sendmmsg, epoll_wait, nanosleep, largest;
} calls;

static int count_recvmmsg(int fd, struct mmsghdr *v, unsigned n, int flags, struct timespec *t)
{
	int rc = recvmmsg(fd, v, n, flags, t);

	calls.recvmmsg++;
	if (rc > 0 && (unsigned)rc > calls.largest)
		calls.largest = (unsigned)rc;
	return rc;
}

static ssize_t count_sendmsg(int fd, const struct msghdr *m, int flags)
{
	calls.sendmsg++;
	return sendmsg(fd, m, flags);
}

static int count_sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags)
{
	calls.sendmmsg++;
	return sendmmsg(fd, v, n, flags);
}

static int count_epoll_wait(int fd, struct epoll_event *ev, int n, int timeout)
{
	int rc = epoll_wait(fd, ev, n, timeout);

	calls.epoll_wait++;
	return rc;
}

static int count_nanosleep(const struct timespec *t, struct timespec *left)
{
	calls.nanosleep++;
	return nanosleep(t, left);
}

#define nanosleep count_nanosleep
#define recvmmsg count_recvmmsg
#define sendmsg count_sendmsg
#define sendmmsg count_sendmmsg
#define epoll_wait count_epoll_wait
#include "media/worker.c"
#undef nanosleep
#undef recvmmsg
#undef sendmsg
#undef sendmmsg
#undef epoll_wait

/* Every allocation of the program, libraries included. */
static atomic_ulong allocations;
static _Thread_local bool not_counted; /* the test's own thread */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int __sanitizer_install_malloc_and_free_hooks(void (*m)(const volatile void *, size_t),
    void (*f)(const volatile void *));

static void on_malloc(const volatile void *p, size_t n)
{
	(void)p;
	(void)n;
	if (!not_counted)
		allocations++;
}

static void on_free(const volatile void *p)
{
	(void)p;
}

static void watch_allocations(void)
{
	static bool done;

	if (!done)
		assert_true(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0);
	done = true;
}
#else
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t k, size_t n);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	if (!not_counted)
		allocations++;
	return __libc_malloc(n);
}

void *calloc(size_t k, size_t n)
{
	if (!not_counted)
		allocations++;
	return __libc_calloc(k, n);
}

void *realloc(void *p, size_t n)
{
	if (!not_counted)
		allocations++;
	return __libc_realloc(p, n);
}

static void watch_allocations(void)
{
}
#endif

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_init(&w, 1);
	world_start(&w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_fini(&w);
	return 0;
}

static void reset(void)
{
	calls.recvmmsg = calls.sendmsg = calls.sendmmsg = calls.epoll_wait = calls.largest = 0;
}

static void counter_sees_allocations(void **state)
{
	unsigned long before;
	void *volatile p;

	(void)state;
	watch_allocations();
	before = allocations;
	p = malloc(17);
	assert_int_equal(allocations, before + 1);
	free(p);
}

/* A telephone call is packets that come one at a time: wake, read, write. */
static void one_packet_is_three_system_calls(void **state)
{
	enum { N = 200 };
	struct call c;

	(void)state;
	call_open(&c, &w);
	passes(&c, c.end[0].rtp, 0, 0);
	wait_sent(&c, 1, 1);
	reset();
	for (unsigned i = 1; i <= N; i++) {
		passes(&c, c.end[0].rtp, 0, i);
		wait_sent(&c, 1, 1 + i);
	}
	assert_int_equal(calls.recvmmsg, N);
	assert_int_equal(calls.sendmsg, N);
	assert_int_equal(calls.sendmmsg, 0);
	assert_in_range(calls.epoll_wait, N - 1, N);
	call_close(&c);
}

/* A relay whose only worker has ended: the test's thread takes its place. */
static struct relay_worker *become_worker(struct world *z, struct call *c)
{
	struct relay_worker *wk;

	world_init(z, 1);
	world_start(z);
	call_open(c, z);
	wk = &z->relay->worker[0];
	relay_worker_stop(wk);
	wk->batch = calloc(1, sizeof(*wk->batch));
	assert_non_null(wk->batch);
	batch_init(wk->batch);
	return wk;
}

static void worker_end(struct world *z, struct call *c, struct relay_worker *wk)
{
	call_close(c);
	free(wk->batch);
	wk->batch = NULL;
	world_fini(z);
}

/* RTCP at the RTP port between RTP: each leaves by its own socket, in order, in one send for each run of a kind. */
static void kinds_of_one_batch_keep_apart(void **state)
{
	struct world z;
	struct call c;
	struct relay_worker *wk = become_worker(&z, &c);
	uint8_t p[64];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 2 * i, 0, 1, 20));
		peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 2 * i + 1, 0, 1, 20));
		peer_send(c.end[0].rtp, &c.local[0], rtcp_rr, sizeof(rtcp_rr));
	}
	reset();
	relay_one_batch(wk, c.pair[0], RELAY_RTP);
	assert_int_equal(calls.recvmmsg, 1);
	assert_int_equal(calls.sendmmsg, 3);
	assert_int_equal(calls.sendmsg, 3);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 32);
		assert_int_equal(p[3], i);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(peer_recv(c.end[1].rtcp, p, sizeof(p), NULL, ARRIVES), sizeof(rtcp_rr));
	assert_int_equal(stats(&c, 1).tx_packets, 6);
	assert_int_equal(stats(&c, 1).rtcp_tx, 3);
	worker_end(&z, &c, wk);
}

/* Packets gather, then they are taken 32 at a time. */
static void burst_is_read_and_sent_in_batches(void **state)
{
	enum { N = 3 * RELAY_BATCH };
	struct world z;
	struct call c;
	struct relay_worker *wk = become_worker(&z, &c);
	uint8_t p[64];

	(void)state;
	for (unsigned i = 0; i < N; i++)
		peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, i, i * 160, 1, 20));
	reset();
	relay_one_batch(wk, c.pair[0], RELAY_RTP);
	/* bounded: one batch, whatever waits; the rest is for the next epoll_wait */
	assert_int_equal(calls.recvmmsg, 1);
	assert_int_equal(calls.largest, RELAY_BATCH);
	assert_int_equal(calls.sendmmsg, 1);
	assert_int_equal(calls.sendmsg, 0);
	assert_int_equal(stats(&c, 1).tx_packets, RELAY_BATCH);
	relay_one_batch(wk, c.pair[0], RELAY_RTP);
	relay_one_batch(wk, c.pair[0], RELAY_RTP);
	assert_int_equal(stats(&c, 1).tx_packets, N);
	assert_int_equal(calls.recvmmsg, 3);
	assert_int_equal(calls.sendmmsg, 3);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 32);
		assert_int_equal(p[3], i);
	}
	/* an empty socket is no work */
	relay_one_batch(wk, c.pair[0], RELAY_RTP);
	assert_int_equal(calls.recvmmsg, 4);
	worker_end(&z, &c, wk);
}

static void packets_allocate_nothing(void **state)
{
	struct call c;
	uint8_t p[1500];
	unsigned long before;

	(void)state;
	watch_allocations();
	call_open(&c, &w);
	passes(&c, c.end[0].rtp, 0, 0);
	before = allocations;
	not_counted = true;
	for (unsigned i = 1; i < 2000; i++) {
		size_t n = rtp_make(p, i % 7 ? 8 : 9, i, i * 160, i / 500, 160 + i % 1000);

		peer_send(c.end[0].rtp, &c.local[0], p, n);
		if (i % 7)
			assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), (ssize_t)n);
		if (i % 50 == 0)
			peer_send(c.end[0].rtp, &c.local[0], "junk", 4);
	}
	not_counted = false;
	assert_int_equal(allocations, before);
	assert_true(stats(&c, 0).rx_packets > 1000);
	call_close(&c);
}

/* checks of ICE among the packets */
static void checks_allocate_nothing(void **state)
{
	static const char pwd[] = "0123456789abcdefghijklmn";
	struct call c;
	uint8_t check[400], back[200];
	size_t n_check = check_make(check, "ourourur:them", pwd, 1, CHECK_USE);
	unsigned long before = 0;

	(void)state;
	watch_allocations();
	call_open(&c, &w);
	c.prog[0].ice = (struct ice_keys){.ours = "ourourur", .pwd = "0123456789abcdefghijklmn", .theirs = "them"};
	call_publish(&c);
	for (unsigned i = 0; i < 500; i++) {
		if (i == 1) {
			before = allocations;
			not_counted = true;
		}
		peer_send(c.end[0].rtp, &c.local[0], check, n_check);
		assert_true(peer_recv(c.end[0].rtp, back, sizeof(back), NULL, ARRIVES) > 0);
		passes(&c, c.end[0].rtp, 0, i);
		peer_send(c.end[0].rtp, &c.local[0], check, n_check - 8 - i % 20); /* and what is none */
	}
	not_counted = false;
	assert_int_equal(allocations, before);
	call_close(&c);
}

static bool counts(void *ctx, const struct capture_packet *p)
{
	unsigned *n = ctx;

	(void)p;
	++*n;
	return true;
}

/* nor does keeping what a captured call sends */
static void captured_packets_allocate_nothing(void **state)
{
	unsigned long before;
	struct world z;
	struct call c;
	unsigned n = 0;

	(void)state;
	watch_allocations();
	world_init(&z, 1);
	z.cfg.capture_bytes = 1 << 20;
	world_start(&z);
	call_open(&c, &z);
	assert_int_equal(relay_capture_start(z.relay), REASON_NONE);
	relay_pair_capture(c.pair[0], MEDIA_CAPTURE_CLEAR, 1);
	passes(&c, c.end[0].rtp, 0, 0);
	before = allocations;
	not_counted = true;
	for (unsigned i = 1; i < 2000; i++)
		passes(&c, c.end[0].rtp, 0, i);
	not_counted = false;
	assert_int_equal(allocations, before);
	relay_captured(z.relay, 1, counts, &n);
	assert_true(n > 3000);
	call_close(&c);
	world_fini(&z);
}

/* the same with both sides encrypted, once each SSRC was heard */
static void encrypted_packets_allocate_nothing(void **state)
{
	struct call c;
	uint8_t p[400];
	unsigned long before = 0;

	(void)state;
	watch_allocations();
	for (uint8_t suite = CRYPT_CM128_80; suite < CRYPT_SUITES; suite++) {
		struct crypt_key theirs = {.suite = suite, .key = {1}}, ours = {.suite = suite, .key = {2}};
		struct crypt *seal = crypt_new(&theirs, true), *open = crypt_new(&ours, false);

		call_open(&c, &w);
		c.prog[0].open = theirs;
		c.prog[0].seal = ours;
		call_publish(&c);
		for (unsigned i = 0; i < 500; i++) {
			size_t n = rtp_make(p, 8, i, i * 160, 7, 160);

			if (i == 1) {
				before = allocations;
				not_counted = true;
			}
			assert_int_equal(crypt_seal_rtp(seal, NULL, p, &n, sizeof(p)), CRYPT_OK);
			if (i % 7 == 3)
				p[40] ^= 1;
			peer_send(c.end[0].rtp, &c.local[0], p, n);
			if (i % 7 == 3)
				continue;
			n = (size_t)peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES);
			assert_int_equal(crypt_open_rtp(open, NULL, p, &n), CRYPT_OK);
		}
		not_counted = false;
		assert_int_equal(allocations, before);
		assert_true(stats(&c, 0).drops[RELAY_DROP_AUTH] > 0);
		call_close(&c);
		crypt_free(seal);
		crypt_free(open);
		world_advance(&w, 6000000);
	}
}

static void programs_are_freed_when_the_worker_rested(void **state)
{
	struct relay_dead *d;
	unsigned waiting = 0;
	struct call c;

	(void)state;
	call_open(&c, &w);
	for (unsigned i = 0; i < 1000; i++) {
		passes(&c, c.end[0].rtp, 0, i);
		call_publish(&c);
	}
	for (d = w.relay->fresh; d; d = d->next)
		waiting++;
	for (d = w.relay->waiting; d; d = d->next)
		waiting++;
	assert_in_range(waiting, 0, 8); /* of 2000 that were replaced */
	call_close(&c);
	poll(NULL, 0, 20);
	world_advance(&w, 1100000); /* and a quiet relay keeps nothing */
	world_advance(&w, 1100000);
	assert_null(w.relay->fresh);
	assert_null(w.relay->waiting);
}

static void busy_worker_holds_what_it_may_see(void **state)
{
	struct world z;
	struct call c;
	struct relay_worker *wk;

	(void)state;
	world_init(&z, 1);
	world_start(&z);
	call_open(&c, &z);
	wk = &z.relay->worker[0];
	relay_worker_stop(wk);
	assert_int_equal(wk->epoch % 2, 0);
	wk->epoch++; /* in the middle of a batch */
	world_advance(&z, 1100000);
	assert_null(z.relay->waiting);
	call_publish(&c);
	for (int i = 0; i < 10; i++)
		world_advance(&z, 1100000);
	assert_non_null(z.relay->waiting);
	wk->epoch += 2; /* it rested in between and is busy again */
	world_advance(&z, 1100000);
	wk->epoch += 2;
	world_advance(&z, 1100000);
	assert_null(z.relay->waiting);
	assert_null(z.relay->fresh);
	wk->epoch++;
	call_close(&c);
	world_fini(&z);
}

/* Packets are gathered when there are many, and only then; how many is looked at anew every 10 ms. */
static void many_packets_are_gathered(void **state)
{
	static const struct {
		unsigned gather_us, seen;
		int64_t window_us;
		int events;
		bool was, is, waits;
	} t[] = {
		{500, 10, 20000, 1, false, false, false}, /* 500 a second: ten calls */
		{500, 10, 20000, 1, true, false, false},  /* it has become quiet */
		{500, 200, 20000, 1, false, true, true},  /* 10,000 a second */
		{500, 200, 1000, 1, false, false, false}, /* not for long enough to know */
		{500, 0, 1000, 1, true, true, true},
		{500, 200, 20000, GATHERED, true, true, false}, /* enough is there */
		{0, 2000, 20000, 1, false, false, false}, /* switched off */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct relay r = {.gather_us = t[i].gather_us};
		struct relay_worker wk = {.relay = &r, .seen = t[i].seen, .busy = t[i].was};
		unsigned before = calls.nanosleep;

		wk.window_us = now_mono_us() - t[i].window_us;
		gather(&wk, t[i].events);
		if (wk.busy != t[i].is || (calls.nanosleep - before) != t[i].waits)
			fail_msg("row %zu", i);
	}
}

/* and all of them come out */
static void gathered_packets_pass(void **state)
{
	struct world z;
	struct call c;
	uint8_t p[64];

	(void)state;
	world_init(&z, 1);
	z.cfg.gather_us = 500;
	world_start(&z);
	call_open(&c, &z);
	calls.nanosleep = 0;
	for (unsigned i = 0; i < 4000; i++) {
		peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, i, i * 160, 77, 40));
		if (i % 8 == 7) /* as they come out, so that no queue overflows */
			for (unsigned k = 0; k < 8; k++)
				assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 52);
	}
	assert_true(stats(&c, 0).rx_packets == 4000);
	call_close(&c);
	world_fini(&z);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(counter_sees_allocations),
	    CASE(one_packet_is_three_system_calls),
	    cmocka_unit_test(burst_is_read_and_sent_in_batches),
	    cmocka_unit_test(kinds_of_one_batch_keep_apart),
	    CASE(packets_allocate_nothing),
	    CASE(checks_allocate_nothing),
	    CASE(encrypted_packets_allocate_nothing),
	    cmocka_unit_test(captured_packets_allocate_nothing),
	    CASE(programs_are_freed_when_the_worker_rested),
	    cmocka_unit_test(busy_worker_holds_what_it_may_see),
	    cmocka_unit_test(many_packets_are_gathered),
	    cmocka_unit_test(gathered_packets_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
