/* Encrypted streams through the relay: opened, rewritten, sealed; keys that stay and that change; streams that move to
 * pairs of other workers while packets flow (run under ThreadSanitizer and AddressSanitizer). The far ends seal and open
 * with crypt.c, which its own test holds against libsrtp. */
#include "relay_world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "media/relay_impl.h"

/* what the far end of a side has */
struct phone {
	struct crypt *seal, *open; /* NULL: it speaks in clear */
};

static struct crypt_key key_of(uint8_t suite, uint8_t first)
{
	struct crypt_key k = {.suite = suite};

	for (unsigned i = 0; i < crypt_suites[suite].key_len; i++)
		k.key[i] = (uint8_t)(first + i * 5);
	return k;
}

/* side s talks by theirs (its key) and ours (towards it) from now on */
static void use_keys(struct call *c, unsigned s, struct phone *p, const struct crypt_key *theirs, const struct crypt_key *ours)
{
	c->prog[s].open = *theirs;
	c->prog[!s].seal = *ours;
	crypt_free(p->seal);
	crypt_free(p->open);
	p->seal = theirs->suite ? crypt_new(theirs, true) : NULL;
	p->open = ours->suite ? crypt_new(ours, false) : NULL;
}

static void hang_up(struct phone *p)
{
	crypt_free(p->seal);
	crypt_free(p->open);
	*p = (struct phone){0};
}

static size_t say(struct call *c, unsigned s, struct phone *p, unsigned seq, uint8_t *d)
{
	size_t n = rtp_make(d, 8, seq, seq * 160, 77 + s, 160);

	if (p->seal)
		assert_int_equal(crypt_seal_rtp(p->seal, NULL, d, &n, 400), CRYPT_OK);
	peer_send(c->end[s].rtp, &c->local[s], d, n);
	return n;
}

/* A packet of side s comes out at the other far end as it was said. */
static void hears(struct call *c, unsigned s, struct phone p[2], unsigned seq)
{
	uint8_t d[400], plain[200];
	size_t n;
	ssize_t got;

	say(c, s, &p[s], seq, d);
	got = peer_recv(c->end[!s].rtp, d, sizeof(d), NULL, ARRIVES);
	assert_true(got > 0);
	n = (size_t)got;
	if (p[!s].open) {
		assert_true(n > 172);
		assert_int_equal(crypt_open_rtp(p[!s].open, NULL, d, &n), CRYPT_OK);
	}
	assert_int_equal(n, rtp_make(plain, 8, seq, seq * 160, 77 + s, 160));
	assert_memory_equal(d, plain, n);
}

static void reports(struct call *c, unsigned s, struct phone p[2])
{
	uint8_t d[200];
	size_t n = sizeof(rtcp_rr);
	ssize_t got;

	memcpy(d, rtcp_rr, n);
	if (p[s].seal)
		assert_int_equal(crypt_seal_rtcp(p[s].seal, d, &n, sizeof(d)), CRYPT_OK);
	peer_send(c->end[s].rtcp, &(struct addr){.in4 = port_after(c->local[s]).in4}, d, n);
	got = peer_recv(c->end[!s].rtcp, d, sizeof(d), NULL, ARRIVES);
	assert_true(got > 0);
	n = (size_t)got;
	if (p[!s].open)
		assert_int_equal(crypt_open_rtcp(p[!s].open, NULL, d, &n), CRYPT_OK);
	assert_int_equal(n, sizeof(rtcp_rr));
	assert_memory_equal(d, rtcp_rr, n);
}

static const struct crypt_key clear = {0};

static void every_suite_to_every_other(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 1);
	world_start(&w);
	for (uint8_t a = CRYPT_NONE; a < CRYPT_SUITES; a++)
		for (uint8_t b = CRYPT_NONE; b < CRYPT_SUITES; b++) {
			struct crypt_key ka[2] = {key_of(a, 1), key_of(a, 2)}, kb[2] = {key_of(b, 3), key_of(b, 4)};
			struct phone p[2] = {{0}};
			struct media_stats st;
			struct call c;

			call_open(&c, &w);
			use_keys(&c, 0, &p[0], &ka[0], &ka[1]);
			use_keys(&c, 1, &p[1], &kb[0], &kb[1]);
			call_publish(&c);
			for (unsigned i = 0; i < 3; i++) {
				hears(&c, 0, p, 65535 + i);
				hears(&c, 1, p, 9 + i);
			}
			reports(&c, 0, p);
			reports(&c, 1, p);
			st = stats(&c, 0);
			assert_int_equal(st.rx_suite, a);
			assert_int_equal(st.tx_suite, a);
			assert_int_equal(stats(&c, 1).rx_suite, b);
			assert_int_equal(st.rx_packets, 3);
			assert_int_equal(st.unreadable_us, 0);
			call_close(&c);
			hang_up(&p[0]);
			hang_up(&p[1]);
			world_advance(&w, 6000000); /* ports rest */
		}
	world_fini(&w);
}

/* RTP-03: a source begins another sequence with its SSRC and is renumbered towards the encrypted side; what that side
 * reports comes back in the numbers that the source knows. */
static void reports_speak_of_the_numbers_that_were_sent(void **state)
{
	struct crypt_key k[2] = {key_of(CRYPT_GCM128, 1), key_of(CRYPT_GCM128, 2)};
	uint8_t d[400], rr[200] = {0x81, 201, 0, 7, 0, 0, 0, 78, 0, 0, 0, 77};
	struct phone p[2] = {{0}};
	unsigned last = 0;
	struct world w;
	struct call c;
	size_t n;

	(void)state;
	world_init(&w, 2);
	world_start(&w);
	call_open(&c, &w);
	use_keys(&c, 1, &p[1], &k[0], &k[1]);
	call_publish(&c);
	for (unsigned i = 0; i < 5; i++)
		hears(&c, 0, p, 40000 + i);
	for (unsigned i = 0; i < 6; i++) { /* two are dropped until it is sure */
		say(&c, 0, &p[0], 20000 + i, d);
		if (i < 2) {
			wait_drops(&c, 0, RELAY_DROP_REPLAY, i + 1);
			continue;
		}
		n = (size_t)peer_recv(c.end[1].rtp, d, sizeof(d), NULL, ARRIVES);
		assert_int_equal(crypt_open_rtp(p[1].open, NULL, d, &n), CRYPT_OK);
		last = (unsigned)d[2] << 8 | d[3];
	}
	assert_int_equal(last, 40005 + 3);
	rr[18] = (uint8_t)(last >> 8);
	rr[19] = (uint8_t)last;
	n = 32;
	assert_int_equal(crypt_seal_rtcp(p[1].seal, rr, &n, sizeof(rr)), CRYPT_OK);
	peer_send(c.end[1].rtcp, &(struct addr){.in4 = port_after(c.local[1]).in4}, rr, n);
	assert_int_equal(peer_recv(c.end[0].rtcp, d, sizeof(d), NULL, ARRIVES), 32);
	assert_int_equal((unsigned)d[18] << 8 | d[19], 20005);
	call_close(&c);
	hang_up(&p[1]);
	world_fini(&w);
}

/* LAT-03, SRT-09: what is not authentic goes nowhere, teaches nothing, and is said */
static void only_what_is_authentic_passes(void **state)
{
	struct crypt_key k[2] = {key_of(CRYPT_CM128_80, 1), key_of(CRYPT_CM128_80, 2)};
	struct phone p[2] = {{0}};
	struct media_stats st;
	uint8_t d[400], kept[400];
	struct world w;
	struct call c;
	size_t n;

	(void)state;
	world_init(&w, 1);
	world_start(&w);
	call_open(&c, &w);
	use_keys(&c, 0, &p[0], &k[0], &k[1]);
	/* its SDP address is another: the first authentic packet from its host says where it is */
	c.prog[0].source_rtp = ip("192.168.1.1", 4000);
	c.prog[0].latch_ip = c.end[0].rtp_addr;
	call_publish(&c);
	n = rtp_make(d, 8, 1, 160, 77, 160);
	peer_send(c.end[0].rtp, &c.local[0], d, n); /* in clear */
	wait_drops(&c, 0, RELAY_DROP_AUTH, 1);
	st = stats(&c, 0);
	assert_true(addr_none(&st.source));
	assert_false(st.latched);
	assert_int_equal(st.rx_packets, 0);
	assert_true(st.unreadable_us > 0);
	silent(c.end[1].rtp);
	hears(&c, 0, p, 2);
	st = stats(&c, 0);
	assert_true(st.latched);
	assert_int_equal(st.unreadable_us, 0);
	/* the same again */
	n = say(&c, 0, &p[0], 3, kept);
	assert_true(peer_recv(c.end[1].rtp, d, sizeof(d), NULL, ARRIVES) > 0);
	peer_send(c.end[0].rtp, &c.local[0], kept, n);
	wait_drops(&c, 0, RELAY_DROP_REPLAY, 1);
	/* changed on the way; RTCP in clear */
	n = rtp_make(d, 8, 4, 640, 77, 160);
	assert_int_equal(crypt_seal_rtp(p[0].seal, NULL, d, &n, 400), CRYPT_OK);
	d[50] ^= 1;
	peer_send(c.end[0].rtp, &c.local[0], d, n);
	wait_drops(&c, 0, RELAY_DROP_AUTH, 2);
	c.prog[0].latch_ip = (struct addr){0};
	c.prog[0].source_rtp = c.end[0].rtp_addr;
	call_publish(&c);
	peer_send(c.end[0].rtcp, &(struct addr){.in4 = port_after(c.local[0]).in4}, rtcp_rr, sizeof(rtcp_rr));
	wait_drops(&c, 0, RELAY_DROP_AUTH, 3);
	silent(c.end[1].rtp);
	silent(c.end[1].rtcp);
	assert_int_equal(metric(&w, "drop_srtp_auth"), 3);
	assert_int_equal(metric(&w, "drop_srtp_replay"), 1);
	call_close(&c);
	hang_up(&p[0]);
	world_fini(&w);
}

/* the longest datagram there is still leaves sealed; one longer is dropped as before */
static void longest_packet_is_sealed(void **state)
{
	struct crypt_key k[2] = {key_of(CRYPT_GCM256, 1), key_of(CRYPT_GCM256, 2)};
	static uint8_t d[RELAY_PACKET_MAX + 400];
	struct phone p[2] = {{0}};
	struct world w;
	struct call c;
	size_t n;

	(void)state;
	world_init(&w, 1);
	world_start(&w);
	call_open(&c, &w);
	k[1].mki_len = CRYPT_MKI_MAX;
	k[1].mki = 5;
	use_keys(&c, 1, &p[1], &k[0], &k[1]);
	call_publish(&c);
	n = rtp_make(d, 8, 1, 160, 77, RELAY_PACKET_MAX - 12);
	peer_send(c.end[0].rtp, &c.local[0], d, n);
	n = (size_t)peer_recv(c.end[1].rtp, d, sizeof(d), NULL, ARRIVES);
	assert_int_equal(n, RELAY_PACKET_MAX + 16 + CRYPT_MKI_MAX);
	assert_int_equal(crypt_open_rtp(p[1].open, NULL, d, &n), CRYPT_OK);
	n = rtp_make(d, 8, 2, 320, 77, RELAY_PACKET_MAX - 11);
	peer_send(c.end[0].rtp, &c.local[0], d, n);
	wait_drops(&c, 0, RELAY_DROP_SHORT, 1);
	call_close(&c);
	hang_up(&p[1]);
	world_fini(&w);
}

/* SRT-06, SRT-07, SRT-14: hold, resume, another address: the same key counts on over wraps; a new one begins at 0 and
 * the one before is still understood */
static void keys_stay_and_change(void **state)
{
	struct crypt_key k[4];
	struct phone p[2] = {{0}}, old;
	unsigned seq[2] = {65000, 65000};
	struct world w;
	struct call c;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		k[i] = key_of(i % 2 ? CRYPT_GCM128 : CRYPT_CM128_80, (uint8_t)(10 * i));
	world_init(&w, 2);
	world_start(&w);
	call_open(&c, &w);
	use_keys(&c, 0, &p[0], &k[0], &k[2]);
	use_keys(&c, 1, &p[1], &k[1], &k[3]);
	call_publish(&c);
	for (unsigned round = 0; round < 24; round++) {
		for (unsigned s = 0; s < 2; s++)
			for (unsigned i = 0; i < 3; i++)
				hears(&c, s, p, seq[s] += 4000); /* two wraps in all */
		c.prog[round % 2].rtp_on = round % 3 != 0;
		call_publish(&c);
		c.prog[round % 2].rtp_on = true;
		call_publish(&c);
	}
	old = p[0];
	p[0] = (struct phone){0};
	k[0] = key_of(CRYPT_CM256_80, 77);
	use_keys(&c, 0, &p[0], &k[0], &k[2]);
	/* our key did not change, so its counter goes on: the far end keeps what it has */
	crypt_free(p[0].open);
	p[0].open = old.open;
	old.open = NULL;
	call_publish(&c);
	call_publish(&c);
	hears(&c, 1, p, ++seq[1]);
	for (unsigned i = 0; i < 20; i++) {
		struct phone was[2] = {old, p[1]};

		hears(&c, 0, was, ++seq[0]);
		hears(&c, 0, p, ++seq[0]);
	}
	/* back to clear, which is what both sides said */
	hang_up(&old);
	use_keys(&c, 0, &p[0], &clear, &clear);
	call_publish(&c);
	hears(&c, 0, p, ++seq[0]);
	hears(&c, 1, p, ++seq[1]);
	call_close(&c);
	hang_up(&p[0]);
	hang_up(&p[1]);
	world_fini(&w);
}

/* A key that comes back is the one that was there: no index is used twice (3711 9.1). */
static void a_key_that_comes_back_goes_on(void **state)
{
	struct crypt_key k[4];
	struct phone p[2] = {{0}}, other;
	unsigned seq = 65000;
	struct world w;
	struct call c;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		k[i] = key_of(CRYPT_CM128_80, (uint8_t)(10 * i));
	world_init(&w, 2);
	world_start(&w);
	call_open(&c, &w);
	use_keys(&c, 0, &p[0], &k[0], &k[1]);
	call_publish(&c);
	for (unsigned i = 0; i < 10; i++) {
		hears(&c, 0, p, seq + 1);
		hears(&c, 1, p, seq += 16000);
	}
	/* a change of both keys that fails */
	other = p[0];
	p[0] = (struct phone){0};
	use_keys(&c, 0, &p[0], &k[2], &k[3]);
	call_publish(&c);
	hears(&c, 0, p, ++seq);
	hears(&c, 1, p, ++seq);
	hang_up(&p[0]);
	p[0] = other;
	c.prog[0].open = k[0];
	c.prog[1].seal = k[1];
	call_publish(&c);
	hears(&c, 0, p, ++seq);
	hears(&c, 1, p, ++seq);
	/* a stream that was away for a moment */
	for (unsigned s = 0; s < 2; s++)
		assert_int_equal(relay_program_set(c.pair[s], NULL, NULL), REASON_NONE);
	assert_false(relay_pair_program(c.pair[0], &c.prog[0], NULL));
	world_advance(&w, 2000000);
	call_publish(&c);
	hears(&c, 0, p, ++seq);
	hears(&c, 1, p, ++seq);
	/* away, and its pair with it */
	assert_int_equal(relay_program_set(c.pair[0], NULL, NULL), REASON_NONE);
	call_close(&c);
	hang_up(&p[0]);
	world_fini(&w);
}

static void no_memory_leaves_the_old_program(void **state)
{
	struct crypt_key k[2] = {key_of(CRYPT_CM128_80, 1), key_of(CRYPT_CM128_80, 2)};
	struct phone p[2] = {{0}};
	struct relay_program now;
	struct world w;
	struct call c;

	(void)state;
	world_init(&w, 1);
	world_start(&w);
	call_open(&c, &w);
	use_keys(&c, 0, &p[0], &k[0], &k[1]);
	call_publish(&c);
	hears(&c, 0, p, 1);
	/* a suite that nobody has: libsrtp refuses to make it */
	c.prog[0].open.suite = CRYPT_CM128_80;
	c.prog[0].open.mki_len = 200;
	assert_int_equal(relay_program_set(c.pair[0], c.pair[1], &c.prog[0]), REASON_NO_MEMORY);
	assert_true(relay_pair_program(c.pair[0], &now, NULL));
	hears(&c, 0, p, 2);
	call_close(&c);
	hang_up(&p[0]);
	world_fini(&w);
}

struct stream {
	struct call *c;
	struct phone *p;
	_Atomic(struct addr *) to;
	atomic_bool stop;
	unsigned sent, heard, unread;
	pthread_t thread;
};

/* both directions: side 0 sends to wherever it should, side 1 opens; what is there is in order and authentic */
static void *talk(void *arg)
{
	struct stream *t = arg;
	uint8_t d[400];
	unsigned seq = 65000;

	while (!t->stop) {
		size_t n = rtp_make(d, 8, seq + 1, seq * 160, 77, 160);
		ssize_t got;

		seq++;
		if (crypt_seal_rtp(t->p[0].seal, NULL, d, &n, 400) != CRYPT_OK)
			break;
		if (sendto(t->c->end[0].rtp, d, n, 0, &t->to->sa, addr_len(t->to)) != (ssize_t)n)
			break;
		t->sent++;
		got = peer_recv(t->c->end[1].rtp, d, sizeof(d), NULL, 5);
		for (; got > 0; got = peer_recv(t->c->end[1].rtp, d, sizeof(d), NULL, 0)) {
			n = (size_t)got;
			t->heard++;
			t->unread += crypt_open_rtp(t->p[1].open, NULL, d, &n) != CRYPT_OK;
		}
	}
	return NULL;
}

/* The near end of a stream moves from pair to pair, and so from worker to worker: keys of both sides go with it. */
static void streams_move_between_workers(void **state)
{
	struct crypt_key k[4];
	struct phone p[2] = {{0}};
	struct relay_pair *at[6];
	struct addr locals[6];
	struct stream t = {.p = p};
	unsigned workers = 0, moves = 0, now = 0;
	struct timespec ts;
	struct world w;
	struct call c;
	int64_t end;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		k[i] = key_of(CRYPT_CM128_80, (uint8_t)(10 * i));
	world_init(&w, 3);
	world_start(&w);
	call_open(&c, &w);
	at[0] = c.pair[0];
	for (unsigned i = 1; i < 6; i++)
		at[i] = take(&w, 0, AF_INET);
	for (unsigned i = 0; i < 6; i++) {
		locals[i] = *relay_pair_local(at[i]);
		workers |= 1u << at[i]->worker;
	}
	assert_int_equal(workers, 7);
	use_keys(&c, 0, &p[0], &k[0], &k[1]);
	use_keys(&c, 1, &p[1], &k[2], &k[3]);
	call_publish(&c);
	t.c = &c;
	t.to = &locals[0];
	assert_int_equal(pthread_create(&t.thread, NULL, talk, &t), 0);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	end = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + 1500;
	while ((int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 < end) {
		unsigned next = (now + 1 + moves % 5) % 6;

		if (next == now)
			next = (now + 1) % 6;
		c.pair[0] = at[next];
		c.prog[0].in_before = c.prog[1].out_before = at[now];
		call_publish(&c);
		assert_int_equal(relay_program_set(at[now], NULL, NULL), REASON_NONE);
		c.prog[0].in_before = c.prog[1].out_before = NULL;
		t.to = &locals[next];
		now = next;
		if (++moves % 3)
			poll(NULL, 0, (int)(moves % 7));
		clock_gettime(CLOCK_MONOTONIC, &ts);
	}
	t.stop = true;
	pthread_join(t.thread, NULL);
	assert_true(moves > 50);
	assert_true(t.heard > 50);
	assert_int_equal(t.unread, 0);
	/* and when it has come to rest, nothing is lost: the counters of both keys went with it */
	while (peer_recv(c.end[1].rtp, &(uint8_t[400]){0}, 400, NULL, 20) > 0)
		;
	c.local[0] = locals[now];
	hears(&c, 0, p, 65000 + t.sent + 1);
	hears(&c, 1, p, 5);
	for (unsigned i = 0; i < 6; i++)
		if (at[i] != c.pair[0])
			relay_pair_put(at[i]);
	call_close(&c);
	hang_up(&p[0]);
	hang_up(&p[1]);
	world_fini(&w);
}

/* A key that was handed over is not touched before the worker that had it has rested. */
static void handed_over_key_waits(void **state)
{
	struct crypt_key k[2] = {key_of(CRYPT_CM128_80, 1), key_of(CRYPT_CM128_80, 2)};
	struct phone p[2] = {{0}};
	struct relay_pair *other = NULL, *spare[8];
	struct relay_worker *had;
	struct world w;
	struct call c;
	unsigned n = 0;
	uint8_t d[400];

	(void)state;
	world_init(&w, 2);
	world_start(&w);
	call_open(&c, &w);
	use_keys(&c, 0, &p[0], &k[0], &k[1]);
	call_publish(&c);
	hears(&c, 0, p, 1);
	while (!other && n < 8) {
		spare[n] = take(&w, 0, AF_INET);
		if (spare[n]->worker != c.pair[0]->worker)
			other = spare[n];
		n++;
	}
	assert_non_null(other);
	had = &w.relay->worker[c.pair[0]->worker];
	relay_worker_stop(had);
	had->epoch += had->epoch % 2 ? 0 : 1; /* as if it were in the middle of a batch */
	c.prog[0].in_before = c.pair[0];
	spare[0] = spare[0] == other ? c.pair[0] : spare[0];
	if (spare[0] != c.pair[0])
		for (unsigned i = 0; i < n; i++)
			if (spare[i] == other)
				spare[i] = c.pair[0];
	c.pair[0] = other;
	c.local[0] = *relay_pair_local(other);
	assert_int_equal(relay_program_set(c.pair[0], c.pair[1], &c.prog[0]), REASON_NONE);
	say(&c, 0, &p[0], 2, d);
	wait_drops(&c, 0, RELAY_DROP_CRYPT, 1);
	had->epoch++;
	hears(&c, 0, p, 3);
	call_close(&c);
	for (unsigned i = 0; i < n; i++)
		relay_pair_put(spare[i]);
	hang_up(&p[0]);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_suite_to_every_other),
	    cmocka_unit_test(reports_speak_of_the_numbers_that_were_sent),
	    cmocka_unit_test(only_what_is_authentic_passes),
	    cmocka_unit_test(longest_packet_is_sealed),
	    cmocka_unit_test(keys_stay_and_change),
	    cmocka_unit_test(a_key_that_comes_back_goes_on),
	    cmocka_unit_test(no_memory_leaves_the_old_program),
	    cmocka_unit_test(streams_move_between_workers),
	    cmocka_unit_test(handed_over_key_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
