/* Programs are swapped, pairs given back and taken while packets flow: nothing is lost that should pass, nothing
 * passes that should not, and no thread sees freed memory (run under ThreadSanitizer and AddressSanitizer). */
#include "relay_world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define RUN_US 1500000

struct blaster {
	struct call *c;
	unsigned side;
	atomic_bool stop;
	atomic_uint sent;
	pthread_t thread;
};

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Sends with a window: no queue of the kernel may overflow, so each packet that is missing was lost by the relay. */
static void *blast(void *arg)
{
	struct blaster *b = arg;
	const struct end *from = &b->c->end[b->side], *to = &b->c->end[!b->side];
	unsigned sent = 0, got = 0;
	uint8_t p[64];

	while (!b->stop || got < sent) {
		while (!b->stop && sent - got < 64) {
			peer_send(from->rtp, &b->c->local[b->side], p, rtp_make(p, 8, sent, sent * 160, 9, 20));
			sent++;
		}
		if (peer_recv(to->rtp, p, sizeof(p), NULL, got < sent ? ARRIVES : 0) < 0)
			break;
		/* in order, every one, by either of the two programs */
		if ((unsigned)(p[2] << 8 | p[3]) != (got & 0xffff) || (p[1] != 8 && p[1] != 18))
			break;
		got++;
	}
	b->sent = sent;
	return (void *)(uintptr_t)(sent - got);
}

static void swaps_lose_nothing(void **state)
{
	struct blaster b[2] = {{0}};
	struct world w;
	struct call c;
	unsigned swaps = 0;
	int64_t end;

	(void)state;
	world_init(&w, 2);
	world_start(&w);
	call_open(&c, &w);
	for (unsigned s = 0; s < 2; s++) {
		b[s].c = &c;
		b[s].side = s;
		assert_int_equal(pthread_create(&b[s].thread, NULL, blast, &b[s]), 0);
	}
	for (end = now_us() + RUN_US; now_us() < end; swaps++) {
		struct media_stats st;

		for (unsigned s = 0; s < 2; s++) {
			c.prog[s].pt_map[8] = swaps % 2 ? 8 : 18;
			/* now and then the far end is, or is no more, behind a NAT: its source is learnt again */
			if (swaps % 10 == 0) {
				bool nat = swaps % 20 != 0;

				c.prog[s].source_rtp = nat ? ip("192.168.1.1", swaps & 0xffff)
				                           : c.end[s].rtp_addr;
				c.prog[s].latch_ip = nat ? c.end[s].rtp_addr : (struct addr){0};
			}
		}
		call_publish(&c);
		relay_pair_stats(c.pair[swaps % 2], &st);
		if (swaps % 50 == 0) {
			relay_pair_stats_reset(c.pair[0]);
			world_advance(&w, 1100000);
		}
		poll(NULL, 0, swaps % 4 == 0);
	}
	for (unsigned s = 0; s < 2; s++)
		b[s].stop = true;
	for (unsigned s = 0; s < 2; s++) {
		void *lost;

		assert_int_equal(pthread_join(b[s].thread, &lost), 0);
		assert_int_equal((uintptr_t)lost, 0);
		assert_true(b[s].sent > 100);
	}
	assert_true(swaps > 100);
	call_close(&c);
	world_fini(&w);
}

static void *spray(void *arg)
{
	struct blaster *b = arg;
	struct addr at = ip("127.0.0.2", 0), to = b->c->w->realm[0].ip4;
	int fd = peer_open(&at);
	unsigned sent = 0;
	uint8_t p[64];

	while (!b->stop) {
		size_t n = rtp_make(p, 8, sent, sent * 160, 9, 20);

		addr_set_port(&to, (uint16_t)(b->c->w->realm[0].port_min + sent % 40));
		/* not bound yet: refused, which is no matter here */
		if (sendto(fd, p, sent % 7 ? n : 5, 0, &to.sa, addr_len(&to)) < 0 && errno != ECONNREFUSED)
			break;
		if (++sent % 32 == 0)
			poll(NULL, 0, 1);
	}
	close(fd);
	b->sent = sent;
	return NULL;
}

/* Pairs come and go under packets: taken, programmed with a latch that the packets fulfil, crossed, given back. */
static void pairs_come_and_go_under_fire(void **state)
{
	struct call shape = {0};
	struct blaster b = {0};
	struct relay_pair *p[8] = {0};
	struct relay_program prog;
	unsigned rounds = 0;
	uint64_t through = 0;
	struct world w;
	int64_t end;

	(void)state;
	world_init(&w, 2);
	w.cfg.quarantine_ms = 1;
	world_start(&w);
	shape.w = &w;
	b.c = &shape;
	for (unsigned s = 0; s < 2; s++)
		end_open(&shape.end[s], s ? "127.0.0.3" : "127.0.0.2");
	program_fill(&prog, &shape.end[0], &shape.end[1]);
	prog.latch_ip = ip("127.0.0.2", 0);
	assert_int_equal(pthread_create(&b.thread, NULL, spray, &b), 0);
	for (end = now_us() + RUN_US; now_us() < end; rounds++) {
		unsigned i = rng_below(&w.rng, ARRAY_LEN(p)), k = rng_below(&w.rng, ARRAY_LEN(p));
		struct media_stats st;

		w.clock.mono_us += 500;
		if (!p[i]) {
			p[i] = take(&w, 0, AF_INET);
		} else if (p[k] && i != k && rounds % 3) {
			prog.source_rtp = rounds % 2 ? ip("192.168.1.1", 5) : ip("192.168.1.1", 6);
			assert_int_equal(relay_program_set(p[i], p[k], &prog), REASON_NONE);
		} else {
			relay_pair_stats(p[i], &st);
			through += st.rx_packets;
			relay_pair_put(p[i]);
			p[i] = NULL;
		}
		if (rounds % 16 == 0)
			poll(NULL, 0, 1);
	}
	b.stop = true;
	pthread_join(b.thread, NULL);
	assert_true(b.sent > 100);
	assert_true(through > 100);
	assert_true(rounds > 100);
	for (unsigned i = 0; i < ARRAY_LEN(p); i++)
		relay_pair_put(p[i]);
	for (unsigned s = 0; s < 2; s++) {
		close(shape.end[s].rtp);
		close(shape.end[s].rtcp);
	}
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(swaps_lose_nothing),
	    cmocka_unit_test(pairs_come_and_go_under_fire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
