/* The packet path over real sockets: what passes, what does not, what is learnt and what never is. */
#include "relay_world.h"

#include "media/relay_impl.h"

#include <dirent.h>
#include <netinet/ip.h>

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_init(&w, 2);
	world_start(&w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(relay_pairs_in_use(w.relay), 0);
	world_fini(&w);
	return 0;
}

static bool same_addr(struct addr a, struct addr b)
{
	return addr_eq(&a, &b);
}

/* --- what passes --- */

/* one valid RTP packet with anything that may be in it; marker and payload type are given */
static size_t random_rtp(struct rng *rng, uint8_t *p, bool marker, unsigned pt, unsigned seq)
{
	unsigned cc = rng_below(rng, 4) ? 0 : rng_below(rng, 16);
	bool ext = rng_below(rng, 3) == 0, pad = rng_below(rng, 5) == 0;
	size_t words = rng_below(rng, 5), payload = rng_below(rng, 3) ? 160 : rng_below(rng, 1300), n;

	rng_bytes(rng, p, 1500);
	p[0] = (uint8_t)(0x80 | (pad ? 0x20 : 0) | (ext ? 0x10 : 0) | cc);
	p[1] = (uint8_t)((marker ? 0x80 : 0) | pt);
	p[2] = (uint8_t)(seq >> 8);
	p[3] = (uint8_t)seq;
	n = 12 + 4 * (size_t)cc;
	if (ext) {
		p[n + 2] = 0;
		p[n + 3] = (uint8_t)words;
		n += 4 + 4 * words;
	}
	n += payload;
	if (pad) {
		size_t k = 1 + rng_below(rng, 8);

		n += k;
		p[n - 1] = (uint8_t)k;
	}
	return n;
}

static void every_byte_but_the_type_is_kept(void **state)
{
	enum { TOTAL = 100000, BURST = 40 };
	static uint8_t sent[BURST][1600];
	size_t len[BURST];
	struct call c;
	struct rng rng;

	(void)state;
	rng_init_seeded(&rng, 11);
	call_open(&c, &w);
	c.prog[0].pt_map[97] = 111; /* the other side calls it 111 */
	call_publish(&c);
	for (unsigned done = 0; done < TOTAL; done += BURST) {
		for (unsigned i = 0; i < BURST; i++) {
			static const uint8_t types[] = {8, 101, 97};

			len[i] = random_rtp(&rng, sent[i], rng_below(&rng, 2), types[rng_below(&rng, 3)], done + i);
			peer_send(c.end[0].rtp, &c.local[0], sent[i], len[i]);
			if ((sent[i][1] & 0x7f) == 97)
				sent[i][1] = (uint8_t)((sent[i][1] & 0x80) | 111);
		}
		for (unsigned i = 0; i < BURST; i++) {
			uint8_t got[1600];

			assert_int_equal(peer_recv(c.end[1].rtp, got, sizeof(got), NULL, ARRIVES), (ssize_t)len[i]);
			assert_memory_equal(got, sent[i], len[i]);
		}
	}
	assert_int_equal(stats(&c, 0).rx_packets, TOTAL);
	wait_sent(&c, 1, TOTAL);
	assert_int_equal(stats(&c, 0).rx_bytes, stats(&c, 1).tx_bytes);
	assert_int_equal(stats(&c, 0).lost, 0);
	call_close(&c);
}

static void leaves_from_the_advertised_ports(void **state)
{
	uint8_t p[64];
	struct addr from;
	struct call c;

	(void)state;
	call_open(&c, &w);
	for (unsigned s = 0; s < 2; s++) {
		struct addr rtcp = port_after(c.local[s]);
		size_t n = rtp_make(p, 8, 1, 160, 5, 20);

		assert_int_equal(addr_port(&c.local[s]) % 2, 0);
		peer_send(c.end[s].rtp, &c.local[s], p, n);
		assert_int_equal(peer_recv(c.end[!s].rtp, p, sizeof(p), &from, ARRIVES), (ssize_t)n);
		assert_true(addr_eq(&from, &c.local[!s]));
		peer_send(c.end[s].rtcp, &rtcp, rtcp_rr, sizeof(rtcp_rr));
		assert_int_equal(peer_recv(c.end[!s].rtcp, p, sizeof(p), &from, ARRIVES), sizeof(rtcp_rr));
		rtcp = port_after(c.local[!s]);
		assert_true(addr_eq(&from, &rtcp));
		assert_memory_equal(p, rtcp_rr, sizeof(rtcp_rr));
	}
	for (unsigned s = 0; s < 2; s++) {
		assert_int_equal(stats(&c, s).rtcp_rx, 1);
		for (int i = 0; i < ARRIVES && stats(&c, s).rtcp_tx < 1; i++)
			poll(NULL, 0, 1);
		assert_int_equal(stats(&c, s).rtcp_tx, 1);
		assert_true(stats(&c, s).last_rx_us > 0);
	}
	call_close(&c);
}

static void other_payload_types_do_not_pass(void **state)
{
	uint8_t p[64];
	struct call c;

	(void)state;
	call_open(&c, &w);
	for (unsigned pt = 0; pt < 128; pt++)
		if (pt != 8 && pt != 101)
			peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, pt, pt, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_PT, 126);
	silent(c.end[1].rtp);
	assert_int_equal(stats(&c, 0).rx_packets, 0);
	call_close(&c);
}

static void between_ipv4_and_ipv6(void **state)
{
	struct call c;

	(void)state;
	call_open_at(&c, &w, "::1", "127.0.0.3");
	assert_int_equal(c.local[0].sa.sa_family, AF_INET6);
	assert_int_equal(c.local[1].sa.sa_family, AF_INET);
	for (unsigned i = 0; i < 20; i++) {
		passes(&c, c.end[0].rtp, 0, i);
		passes(&c, c.end[1].rtp, 1, i);
	}
	call_close(&c);
	call_open_at(&c, &w, "::1", "::1");
	passes(&c, c.end[0].rtp, 0, 1);
	passes(&c, c.end[1].rtp, 1, 1);
	call_close(&c);
}

static int tos_of(int fd)
{
	union {
		struct cmsghdr align;
		uint8_t b[256];
	} control;
	uint8_t p[64];
	struct iovec iov = {p, sizeof(p)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, ARRIVES), 1);
	assert_true(recvmsg(fd, &m, 0) > 0);
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(&m); cm; cm = CMSG_NXTHDR(&m, cm)) {
		if (cm->cmsg_level == IPPROTO_IP && cm->cmsg_type == IP_TOS)
			return *CMSG_DATA(cm);
		if (cm->cmsg_level == IPPROTO_IPV6 && cm->cmsg_type == IPV6_TCLASS) {
			int v;

			memcpy(&v, CMSG_DATA(cm), sizeof(v));
			return v;
		}
	}
	return -1;
}

static void dscp_is_that_of_the_realm(void **state)
{
	static const char *const at[2] = {"127.0.0.2", "::1"};

	(void)state;
	for (unsigned f = 0; f < 2; f++) {
		struct call c;
		uint8_t p[64];
		int on = 1;

		call_open_at(&c, &w, at[f], "127.0.0.3"); /* wan has EF, lan nothing */
		for (unsigned s = 0; s < 2; s++) {
			struct addr rtcp = port_after(c.local[!s]);
			int fd[2] = {c.end[s].rtp, c.end[s].rtcp}, want = s == 0 ? 46 << 2 : 0;

			for (unsigned k = 0; k < 2; k++) {
				assert_int_equal(setsockopt(fd[k], IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)), 0);
				if (f == 1 && s == 0)
					assert_int_equal(setsockopt(fd[k], IPPROTO_IPV6, IPV6_RECVTCLASS, &on,
					    sizeof(on)), 0);
			}
			peer_send(c.end[!s].rtp, &c.local[!s], p, rtp_make(p, 8, 1, 0, 1, 20));
			assert_int_equal(tos_of(fd[0]), want);
			peer_send(c.end[!s].rtcp, &rtcp, rtcp_rr, sizeof(rtcp_rr));
			assert_int_equal(tos_of(fd[1]), want);
		}
		call_close(&c);
	}
}

/* MDI-09: a trunk's own, from the first packet on; the next call on the same ports has that of the realm again. */
static void dscp_of_a_trunk(void **state)
{
	static const char *const at[2] = {"127.0.0.2", "::1"};

	(void)state;
	for (unsigned f = 0; f < 2; f++)
		for (unsigned turn = 0; turn < 3; turn++) {
			static const uint8_t dscp[3] = {1 + 34, 0, 1 + 0};
			static const int want[3] = {34 << 2, 46 << 2, 0};
			struct call c;
			uint8_t p[64];
			int on = 1;

			call_open_at(&c, &w, at[f], "127.0.0.3");
			relay_pair_dscp(c.pair[0], dscp[turn]);
			assert_int_equal(setsockopt(c.end[0].rtp, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)), 0);
			if (f == 1)
				assert_int_equal(setsockopt(c.end[0].rtp, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on)), 0);
			peer_send(c.end[1].rtp, &c.local[1], p, rtp_make(p, 8, 1, 0, 1, 20));
			assert_int_equal(tos_of(c.end[0].rtp), want[turn]);
			call_close(&c);
			world_advance(&w, 6000000); /* its ports rest */
		}
}

/* MDI-07: comfort noise passes where it was negotiated, and nowhere else */
static void comfort_noise_only_if_negotiated(void **state)
{
	struct call c;
	uint8_t p[64];

	(void)state;
	call_open(&c, &w);
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 13, 1, 0, 1, 1));
	wait_drops(&c, 0, RELAY_DROP_PT, 1);
	silent(c.end[1].rtp);
	c.prog[0].pt_map[13] = 13;
	call_publish(&c);
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 13, 2, 160, 1, 1));
	assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 13);
	assert_int_equal(p[1], 13);
	call_close(&c);
}

/* Early media: one direction is published as soon as its addresses are known; the first packet is not lost. */
static void each_direction_opens_by_itself(void **state)
{
	struct call c;
	uint8_t p[64];

	(void)state;
	call_open(&c, &w);
	assert_int_equal(relay_program_set(c.pair[0], NULL, NULL), REASON_NONE);
	passes(&c, c.end[1].rtp, 1, 1); /* callee to caller */
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 1, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_NO_STREAM, 1);
	silent(c.end[1].rtp);
	assert_int_equal(relay_program_set(c.pair[0], c.pair[1], &c.prog[0]), REASON_NONE);
	passes(&c, c.end[0].rtp, 0, 2);
	call_close(&c);
}

static void held_direction_passes_rtcp_only(void **state)
{
	struct call c;
	uint8_t p[64];
	struct addr rtcp;

	(void)state;
	call_open(&c, &w);
	c.prog[0].rtp_on = false;
	call_publish(&c);
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 1, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_HELD, 1);
	silent(c.end[1].rtp);
	rtcp = port_after(c.local[0]);
	peer_send(c.end[0].rtcp, &rtcp, rtcp_rr, sizeof(rtcp_rr));
	assert_int_equal(peer_recv(c.end[1].rtcp, p, sizeof(p), NULL, ARRIVES), sizeof(rtcp_rr));
	passes(&c, c.end[1].rtp, 1, 1); /* the other way goes on */
	assert_true(stats(&c, 0).last_rx_us > 0); /* a sign of life all the same (RTP-12) */
	c.prog[0].rtp_on = true;
	call_publish(&c);
	passes(&c, c.end[0].rtp, 0, 2);
	call_close(&c);
}

static void rtcp_at_the_rtp_port(void **state)
{
	struct addr other = ip("127.0.0.9", 0);
	int stranger = peer_open(&other);
	struct call c;
	uint8_t p[64];

	(void)state;
	call_open(&c, &w);
	peer_send(c.end[0].rtp, &c.local[0], rtcp_rr, sizeof(rtcp_rr));
	assert_int_equal(peer_recv(c.end[1].rtcp, p, sizeof(p), NULL, ARRIVES), sizeof(rtcp_rr));
	assert_int_equal(stats(&c, 0).rtcp_rx, 1);
	assert_int_equal(stats(&c, 0).rx_packets, 0);
	peer_send(stranger, &c.local[0], rtcp_rr, sizeof(rtcp_rr));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 1);
	/* PT 72 with the marker is RTCP, unless 72 was negotiated */
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 0x80 | 72, 1, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_RTCP_BAD, 1);
	c.prog[0].pt_map[72] = 72;
	call_publish(&c);
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 0x80 | 72, 2, 0, 1, 20));
	assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 32);
	assert_int_equal(p[1], 0x80 | 72);
	/* a burst of both kinds: each leaves by its own socket, in order */
	for (unsigned i = 0; i < 10; i++) {
		peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, i, 0, 1, 20));
		peer_send(c.end[0].rtp, &c.local[0], rtcp_rr, sizeof(rtcp_rr));
	}
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 32);
		assert_int_equal(p[3], i);
		assert_int_equal(peer_recv(c.end[1].rtcp, p, sizeof(p), NULL, ARRIVES), sizeof(rtcp_rr));
	}
	close(stranger);
	call_close(&c);
}

static void fax_datagrams_pass_as_they_are(void **state)
{
	static const uint8_t t38[] = {0, 1, 2, 0xc0, 0x01, 0, 0}, odd[] = {0xff, 0xff, 1};
	struct addr other = ip("127.0.0.2", 0);
	struct addr rtcp;
	struct call c;
	uint8_t p[64];
	int nat;

	(void)state;
	call_open(&c, &w);
	c.prog[0].raw = c.prog[1].raw = true;
	call_publish(&c);
	peer_send(c.end[0].rtp, &c.local[0], t38, sizeof(t38));
	assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), sizeof(t38));
	assert_memory_equal(p, t38, sizeof(t38));
	peer_send(c.end[0].rtp, &c.local[0], odd, sizeof(odd)); /* not ours to judge */
	assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), sizeof(odd));
	peer_send(c.end[0].rtp, &c.local[0], odd, 0);
	wait_drops(&c, 0, RELAY_DROP_NOT_RTP, 1);
	rtcp = port_after(c.local[0]);
	peer_send(c.end[0].rtcp, &rtcp, rtcp_rr, sizeof(rtcp_rr));
	wait_drops(&c, 0, RELAY_DROP_NOT_RTP, 2);
	/* a source is learnt from something that can be UDPTL */
	c.prog[0].source_rtp = ip("10.9.9.9", 4000);
	c.prog[0].latch_ip = ip("127.0.0.2", 0);
	call_publish(&c);
	nat = peer_open(&other);
	peer_send(nat, &c.local[0], odd, sizeof(odd));
	wait_drops(&c, 0, RELAY_DROP_NOT_RTP, 3);
	peer_send(nat, &c.local[0], t38, sizeof(t38));
	assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), sizeof(t38));
	peer_send(c.end[1].rtp, &c.local[1], t38, sizeof(t38));
	assert_int_equal(peer_recv(nat, p, sizeof(p), NULL, ARRIVES), sizeof(t38));
	c.prog[0].rtp_on = false;
	call_publish(&c);
	peer_send(nat, &c.local[0], t38, sizeof(t38));
	wait_drops(&c, 0, RELAY_DROP_HELD, 1);
	close(nat);
	call_close(&c);
}

/* --- what does not --- */

static void strangers_do_not_get_in(void **state)
{
	struct addr at = ip("127.0.0.9", 0), same_ip = ip("127.0.0.2", 0), rtcp;
	int third = peer_open(&at), neighbour = peer_open(&same_ip);
	struct call c;
	uint8_t p[64];

	(void)state;
	call_open(&c, &w);
	for (unsigned i = 0; i < 100; i++) {
		peer_send(third, &c.local[0], p, rtp_make(p, 8, i, i * 160, 1, 20));
		peer_send(neighbour, &c.local[0], p, rtp_make(p, 8, i, i * 160, 1, 20)); /* right IP, wrong port */
	}
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 200);
	rtcp = port_after(c.local[0]);
	peer_send(third, &rtcp, rtcp_rr, sizeof(rtcp_rr));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 201);
	silent(c.end[1].rtp);
	silent(c.end[1].rtcp);
	silent(third);
	silent(neighbour);
	passes(&c, c.end[0].rtp, 0, 1);
	passes(&c, c.end[1].rtp, 1, 1); /* and goes to the far end, not to them */
	silent(third);
	silent(neighbour);
	assert_int_equal(stats(&c, 0).rx_packets, 1);
	assert_false(stats(&c, 0).latched);
	close(third);
	close(neighbour);
	call_close(&c);
}

static void storm_of_malformed(void **state)
{
	static uint8_t large[20000];
	uint8_t p[64] = {0};
	struct call c;
	uint64_t sum = 0;
	struct rng rng;

	(void)state;
	rng_init_seeded(&rng, 5);
	call_open(&c, &w);
	/* one of each first, to see that each has its own counter */
	static const struct {
		uint8_t bytes[20];
		size_t n;
		enum relay_drop why;
	} one[] = {
	    {{0}, 0, RELAY_DROP_NOT_RTP},
	    {{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 20, RELAY_DROP_NOT_RTP}, /* STUN */
	    {{22, 254, 253}, 13, RELAY_DROP_NOT_RTP},                       /* DTLS */
	    {{13, 10}, 2, RELAY_DROP_NOT_RTP},
	    {{0x80}, 1, RELAY_DROP_SHORT},
	    {{0x80, 8}, 11, RELAY_DROP_SHORT},
	    {{0x8f, 8}, 20, RELAY_DROP_SHORT},
	    {{0x90, 8}, 13, RELAY_DROP_SHORT},
	    {{0xa0, 8}, 20, RELAY_DROP_SHORT},
	    {{0x40, 8}, 20, RELAY_DROP_NOT_RTP}, /* version 1, but 64 is a TURN channel */
	    {{0x50, 8}, 20, RELAY_DROP_VERSION},
	    {{0xc0, 8}, 20, RELAY_DROP_VERSION},
	    {{0x80, 200, 0, 1}, 8, RELAY_DROP_RTCP_BAD},
	    {{0x80, 201, 0, 9}, 8, RELAY_DROP_RTCP_BAD},
	};
	for (unsigned i = 0; i < ARRAY_LEN(one); i++) {
		uint64_t before = stats(&c, 0).drops[one[i].why];

		peer_send(c.end[0].rtp, &c.local[0], one[i].bytes, one[i].n);
		wait_drops(&c, 0, one[i].why, before + 1);
	}
	rtp_make(large, 8, 1, 0, 1, sizeof(large) - 12);
	sum = stats(&c, 0).drops[RELAY_DROP_SHORT];
	peer_send(c.end[0].rtp, &c.local[0], large, sizeof(large)); /* longer than the relay's buffer */
	wait_drops(&c, 0, RELAY_DROP_SHORT, sum + 1);
	for (unsigned i = 0; i < 20000; i++) {
		size_t n = rng_below(&rng, sizeof(p));
		struct addr to = i % 3 ? c.local[0] : port_after(c.local[0]);

		rng_bytes(&rng, p, n);
		if (n > 1 && i % 2)
			p[0] = (uint8_t)(0x80 | (p[0] & 0x3f));
		if (n > 1 && ((p[1] & 0x7f) == 8 || (p[1] & 0x7f) == 101)) /* the ones that would pass */
			p[1] = 9;
		peer_send(i % 3 ? c.end[0].rtp : c.end[0].rtcp, &to, p, n);
		if (i % 64 == 0)
			passes(&c, c.end[1].rtp, 1, i);
	}
	silent(c.end[1].rtp);
	passes(&c, c.end[0].rtp, 0, 1); /* nothing of it has changed anything */
	assert_int_equal(stats(&c, 0).rx_packets, 1);
	call_close(&c);
}

static void unanswered_ports_stay_silent(void **state)
{
	static const uint8_t stun[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, dtls[13] = {22, 254, 253};
	struct addr at = ip("127.0.0.9", 0), to = w.realm[0].ip4;
	struct relay_pair *open[4];
	int scanner = peer_open(&at);
	uint8_t p[64];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		open[i] = take(&w, 0, AF_INET); /* two are taken and have no program, two are idle again */
	relay_pair_put(open[2]);
	relay_pair_put(open[3]);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned k = 0; k < 2; k++) {
			to = *relay_pair_local(open[i]);
			addr_set_port(&to, (uint16_t)(addr_port(&to) + k));
			peer_send(scanner, &to, "", 0);
			peer_send(scanner, &to, "\x80", 1);
			peer_send(scanner, &to, stun, sizeof(stun));
			peer_send(scanner, &to, dtls, sizeof(dtls));
			peer_send(scanner, &to, rtcp_rr, sizeof(rtcp_rr));
			peer_send(scanner, &to, p, rtp_make(p, 8, 1, 0, 1, 20));
		}
	}
	for (int i = 0; i < 200 && metric(&w, "drop_no_stream") < 48; i++)
		poll(NULL, 0, 5);
	assert_int_equal(metric(&w, "drop_no_stream"), 48);
	assert_int_equal(metric(&w, "rx_packets"), 48);
	assert_int_equal(metric(&w, "tx_packets"), 0);
	silent(scanner);
	relay_pair_put(open[0]);
	relay_pair_put(open[1]);
	close(scanner);
}

static void no_destination_no_packet(void **state)
{
	struct call c;
	uint8_t p[64];

	(void)state;
	call_open(&c, &w);
	c.prog[0].dest_rtp = (struct addr){0};
	call_publish(&c);
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 1, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_NO_DEST, 1);
	silent(c.end[1].rtp);
	call_close(&c);
}

static void what_cannot_be_sent_is_counted(void **state)
{
	struct call c;
	uint8_t p[64];

	(void)state;
	call_open(&c, &w);
	c.prog[0].dest_rtp = ip("::1", 9); /* not of the out pair's family */
	call_publish(&c);
	for (unsigned i = 0; i < 5; i++)
		peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, i, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_SEND, 5);
	assert_int_equal(stats(&c, 1).tx_packets, 0);
	c.prog[0].dest_rtp = c.end[1].rtp_addr;
	call_publish(&c);
	passes(&c, c.end[0].rtp, 0, 6);
	call_close(&c);
}

/* The far end's port is closed for a while: ICMP comes back for each packet, and nothing stops. */
static void unreachable_ports_stop_nothing(void **state)
{
	struct call c;
	uint8_t p[64];

	(void)state;
	call_open(&c, &w);
	close(c.end[1].rtp);
	for (unsigned i = 0; i < 50; i++) {
		peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, i, 0, 1, 20));
		poll(NULL, 0, 1);
	}
	c.end[1].rtp = peer_open(&c.end[1].rtp_addr);
	for (int i = 0; i < 500 && stats(&c, 0).rx_packets < 50; i++)
		poll(NULL, 0, 2);
	assert_int_equal(stats(&c, 0).rx_packets, 50);
	while (peer_recv(c.end[1].rtp, p, sizeof(p), NULL, 50) > 0)
		;
	passes(&c, c.end[0].rtp, 0, 60);
	passes(&c, c.end[1].rtp, 1, 60);
	call_close(&c);
}

/* --- latching --- */

/* side 0 is behind a NAT: its SDP says 192.168.5.5, its packets come from 127.0.0.2, signalling too */
static void nat_open(struct call *c)
{
	call_open(c, &w);
	c->prog[0].source_rtp = ip("192.168.5.5", 7000);
	c->prog[0].source_rtcp = ip("192.168.5.5", 7001);
	c->prog[0].latch_ip = ip("127.0.0.2", 0);
	c->prog[1].dest_rtp = c->prog[0].source_rtp;
	c->prog[1].dest_rtcp = c->prog[0].source_rtcp;
	call_publish(c);
}

static void first_valid_source_wins_then_locked(void **state)
{
	struct addr at = ip("127.0.0.9", 0), same_ip = ip("127.0.0.2", 0);
	int attacker = peer_open(&at), late = peer_open(&same_ip);
	struct call c;
	uint8_t p[64];

	(void)state;
	nat_open(&c);
	for (unsigned i = 0; i < 50; i++) /* sprayed before the phone */
		peer_send(attacker, &c.local[0], p, rtp_make(p, 8, i, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 50);
	assert_false(stats(&c, 0).latched);
	passes(&c, c.end[0].rtp, 0, 1);
	assert_true(stats(&c, 0).latched);
	assert_true(same_addr(stats(&c, 0).source, c.end[0].rtp_addr));
	passes(&c, c.end[1].rtp, 1, 1); /* the answer goes where packets came from */
	for (unsigned i = 0; i < 50; i++) {
		peer_send(attacker, &c.local[0], p, rtp_make(p, 8, i, 0, 1, 20));
		peer_send(late, &c.local[0], p, rtp_make(p, 8, i, 0, 1, 20)); /* right IP, too late */
	}
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 150);
	passes(&c, c.end[0].rtp, 0, 2);
	passes(&c, c.end[1].rtp, 1, 2);
	silent(attacker);
	silent(late);
	assert_true(same_addr(stats(&c, 0).remote, c.end[0].rtp_addr));
	close(attacker);
	close(late);
	call_close(&c);
}

static void only_media_of_a_negotiated_type_teaches(void **state)
{
	struct addr same_ip = ip("127.0.0.2", 0);
	static const uint8_t stun[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
	int probe = peer_open(&same_ip);
	struct call c;
	uint8_t p[64];
	size_t n;

	(void)state;
	nat_open(&c);
	peer_send(probe, &c.local[0], "\x80", 1);
	peer_send(probe, &c.local[0], "", 0);
	peer_send(probe, &c.local[0], stun, sizeof(stun));
	peer_send(probe, &c.local[0], p, rtp_make(p, 0, 1, 0, 1, 20));
	peer_send(probe, &c.local[0], rtcp_rr, sizeof(rtcp_rr)); /* RTCP teaches no RTP */
	n = rtp_make(p, 8, 1, 0, 1, 0);
	p[0] = 0x81; /* a CSRC that is not there */
	peer_send(probe, &c.local[0], p, n);
	wait_drops(&c, 0, RELAY_DROP_PT, 1);
	wait_drops(&c, 0, RELAY_DROP_SHORT, 2);
	wait_drops(&c, 0, RELAY_DROP_NOT_RTP, 2);
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 1);
	assert_false(stats(&c, 0).latched);
	silent(probe);
	passes(&c, c.end[0].rtp, 0, 1);
	passes(&c, c.end[1].rtp, 1, 1);
	silent(probe);
	close(probe);
	call_close(&c);
}

static void rtcp_is_learnt_by_itself(void **state)
{
	struct addr same_ip = ip("127.0.0.2", 0), rtcp[2];
	int other = peer_open(&same_ip);
	struct call c;
	uint8_t p[64];

	(void)state;
	nat_open(&c);
	rtcp[0] = port_after(c.local[0]);
	rtcp[1] = port_after(c.local[1]);
	passes(&c, c.end[0].rtp, 0, 1);
	/* RTP is learnt, RTCP is not: its NAT binding may be any */
	peer_send(other, &rtcp[0], rtcp_rr, sizeof(rtcp_rr));
	assert_int_equal(peer_recv(c.end[1].rtcp, p, sizeof(p), NULL, ARRIVES), sizeof(rtcp_rr));
	peer_send(c.end[1].rtcp, &rtcp[1], rtcp_rr, sizeof(rtcp_rr));
	assert_int_equal(peer_recv(other, p, sizeof(p), NULL, ARRIVES), sizeof(rtcp_rr));
	peer_send(c.end[0].rtcp, &rtcp[0], rtcp_rr, sizeof(rtcp_rr));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 1);
	passes(&c, c.end[1].rtp, 1, 1); /* RTP still goes to the RTP source */
	close(other);
	call_close(&c);
}

/* RFC 5761: reports towards a far end that multiplexes leave by the socket of RTP for where its RTP is, learnt or not */
static void rtcp_leaves_multiplexed(void **state)
{
	struct addr from, rtcp;
	struct call c;
	uint8_t p[64];

	(void)state;
	for (unsigned nat = 0; nat < 2; nat++) {
		if (nat)
			nat_open(&c);
		else
			call_open(&c, &w);
		c.prog[1].mux = true; /* towards end 0 */
		call_publish(&c);
		rtcp = port_after(c.local[1]);
		passes(&c, c.end[0].rtp, 0, 1);
		peer_send(c.end[1].rtcp, &rtcp, rtcp_rr, sizeof(rtcp_rr));
		assert_int_equal(peer_recv(c.end[0].rtp, p, sizeof(p), &from, ARRIVES), sizeof(rtcp_rr));
		assert_true(addr_eq(&from, &c.local[0]));
		silent(c.end[0].rtcp);
		/* and back, at the same port; the other side has two */
		peer_send(c.end[0].rtp, &c.local[0], rtcp_rr, sizeof(rtcp_rr));
		assert_int_equal(peer_recv(c.end[1].rtcp, p, sizeof(p), NULL, ARRIVES), sizeof(rtcp_rr));
		for (int i = 0; i < ARRIVES && stats(&c, 0).rtcp_tx < 1; i++)
			poll(NULL, 0, 1);
		assert_int_equal(stats(&c, 0).rtcp_tx, 1);
		assert_int_equal(stats(&c, 0).tx_packets, 0);
		call_close(&c);
	}
}

/* Two controllers that both wait for the other's first packet would wait for ever: we do not wait. */
static void sends_to_the_sdp_address_before_receiving(void **state)
{
	struct call c;
	uint8_t p[64];
	size_t n;

	(void)state;
	call_open(&c, &w);
	c.prog[0].latch_ip = ip("127.0.0.2", 0); /* latching is on, the SDP address happens to work */
	call_publish(&c);
	n = rtp_make(p, 8, 1, 0, 1, 20);
	peer_send(c.end[1].rtp, &c.local[1], p, n);
	assert_int_equal(peer_recv(c.end[0].rtp, p, sizeof(p), NULL, ARRIVES), (ssize_t)n);
	passes(&c, c.end[0].rtp, 0, 1); /* from the SDP address itself: fine, and no latch */
	assert_false(stats(&c, 0).latched);
	assert_true(same_addr(stats(&c, 0).source, c.end[0].rtp_addr));
	call_close(&c);
}

static void sdp_address_locks_as_well(void **state)
{
	struct addr same_ip = ip("127.0.0.2", 0);
	int late = peer_open(&same_ip);
	struct call c;
	uint8_t p[64];

	(void)state;
	call_open(&c, &w);
	c.prog[0].latch_ip = ip("127.0.0.2", 0);
	call_publish(&c);
	passes(&c, c.end[0].rtp, 0, 1);
	peer_send(late, &c.local[0], p, rtp_make(p, 8, 2, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 1);
	passes(&c, c.end[1].rtp, 1, 1);
	silent(late);
	close(late);
	call_close(&c);
}

static void new_program_keeps_or_loosens_the_lock(void **state)
{
	struct addr same_ip = ip("127.0.0.2", 0);
	int moved = peer_open(&same_ip);
	struct call c;
	uint8_t p[64];

	(void)state;
	nat_open(&c);
	passes(&c, c.end[0].rtp, 0, 1);
	c.prog[0].pt_map[8] = RELAY_PT_DROP; /* same source, another codec: still locked */
	c.prog[0].pt_map[0] = 0;
	call_publish(&c);
	peer_send(moved, &c.local[0], p, rtp_make(p, 0, 1, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 1);
	assert_true(stats(&c, 0).latched);
	passes(&c, c.end[1].rtp, 1, 1);
	/* no program for a moment changes nothing */
	assert_int_equal(relay_program_set(c.pair[0], NULL, NULL), REASON_NONE);
	call_publish(&c);
	peer_send(moved, &c.local[0], p, rtp_make(p, 0, 2, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 2);
	/* a new SDP address of the far end: it may come from elsewhere now */
	c.prog[0].pt_map[8] = 8;
	c.prog[0].source_rtp = c.prog[1].dest_rtp = ip("192.168.5.5", 7100);
	call_publish(&c);
	assert_false(stats(&c, 0).latched);
	passes(&c, moved, 0, 3);
	peer_send(c.end[1].rtp, &c.local[1], p, rtp_make(p, 8, 4, 0, 1, 20));
	assert_true(peer_recv(moved, p, sizeof(p), NULL, ARRIVES) > 0);
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 5, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 3);
	close(moved);
	call_close(&c);
}

static void held_far_end_can_be_learnt(void **state)
{
	struct call c;
	uint8_t p[64];

	(void)state;
	nat_open(&c);
	c.prog[0].rtp_on = false; /* it only listens, but its keep-alives open the NAT */
	call_publish(&c);
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 1, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_HELD, 1);
	passes(&c, c.end[1].rtp, 1, 1);
	silent(c.end[1].rtp);
	call_close(&c);
}

/* --- counters and life --- */

static void counters_tell_the_stream(void **state)
{
	struct media_stats st;
	struct call c;
	uint8_t p[64];

	(void)state;
	call_open(&c, &w);
	st = stats(&c, 0);
	assert_int_equal(st.first_rx_us, 0);
	assert_true(addr_none(&st.source));
	assert_true(addr_eq(&st.remote, &c.end[0].rtp_addr));
	assert_true(addr_eq(&st.local, &c.local[0]));
	for (unsigned i = 0; i < 20; i++) {
		if (i == 7 || i == 8)
			continue;
		passes(&c, c.end[0].rtp, 0, 65530 + i);
	}
	st = stats(&c, 0);
	assert_int_equal(st.rx_packets, 18);
	assert_int_equal(st.rx_bytes, 18 * 52);
	assert_int_equal(st.lost, 2);
	assert_true(st.first_rx_us > 0 && st.last_rx_us >= st.first_rx_us);
	assert_true(st.jitter_us > 0); /* they came as fast as they could */
	assert_true(addr_eq(&st.source, &c.end[0].rtp_addr));
	for (unsigned i = 0; i < 5; i++) { /* another SSRC goes on counting */
		peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 100 + i, 0, 4711, 20));
		assert_true(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES) > 0);
	}
	assert_int_equal(stats(&c, 0).lost, 2);
	assert_int_equal(stats(&c, 0).rx_packets, 23);
	wait_sent(&c, 1, 23);
	relay_pair_stats_reset(c.pair[0]);
	assert_int_equal(stats(&c, 0).rx_packets, 0);
	assert_int_equal(stats(&c, 0).lost, 0);
	passes(&c, c.end[0].rtp, 0, 9000);
	assert_int_equal(stats(&c, 0).rx_packets, 1);
	call_close(&c);
}

static void put_stops_both_directions(void **state)
{
	struct relay_program g;
	struct relay_pair *out;
	struct call c;
	uint8_t p[64];

	(void)state;
	call_open(&c, &w);
	passes(&c, c.end[0].rtp, 0, 1);
	assert_true(relay_pair_program(c.pair[0], &g, &out));
	assert_ptr_equal(out, c.pair[1]);
	assert_memory_equal(&g, &c.prog[0], sizeof(g));
	relay_pair_put(c.pair[1]);
	assert_false(relay_pair_program(c.pair[0], &g, &out));
	for (unsigned s = 0; s < 2; s++)
		peer_send(c.end[s].rtp, &c.local[s], p, rtp_make(p, 8, 2, 0, 1, 20));
	wait_drops(&c, 0, RELAY_DROP_NO_STREAM, 1);
	silent(c.end[0].rtp);
	silent(c.end[1].rtp);
	c.pair[1] = NULL; /* NULL is fine */
	call_close(&c);
}

/* A route is tried again: the same in pair gets another out pair. */
static void in_pair_moves_to_another_out_pair(void **state)
{
	struct call c;
	struct end third;
	struct relay_pair *old;

	(void)state;
	call_open(&c, &w);
	passes(&c, c.end[0].rtp, 0, 1);
	old = c.pair[1];
	close(c.end[1].rtp);
	close(c.end[1].rtcp);
	end_open(&third, "127.0.0.4");
	c.end[1] = third;
	c.pair[1] = take(&w, 1, AF_INET);
	c.local[1] = *relay_pair_local(c.pair[1]);
	program_fill(&c.prog[0], &c.end[0], &c.end[1]);
	program_fill(&c.prog[1], &c.end[1], &c.end[0]);
	call_publish(&c);
	relay_pair_put(old); /* must not take the new one's program away */
	passes(&c, c.end[0].rtp, 0, 2);
	passes(&c, c.end[1].rtp, 1, 2);
	call_close(&c);
}

static void metrics_add_up(void **state)
{
	struct call c;

	(void)state;
	call_open(&c, &w);
	for (unsigned i = 0; i < 10; i++)
		passes(&c, c.end[0].rtp, 0, i);
	wait_sent(&c, 1, 10);
	assert_int_equal(metric(&w, "rx_packets"), 10);
	assert_int_equal(metric(&w, "tx_packets"), 10);
	assert_int_equal(metric(&w, "pairs_used"), 2);
	assert_int_equal(metric(&w, "port_use"), 5); /* one of 20 */
	call_close(&c);
	assert_int_equal(metric(&w, "pairs_used"), 0);
	assert_int_equal(metric(&w, "pairs_quarantined"), 2);
	world_advance(&w, 6000000);
	assert_int_equal(metric(&w, "pairs_quarantined"), 0);
	assert_int_equal(metric(&w, "pairs_bound"), 2);
}

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Programs with the same payload types share them; none says what another one was given. */
static void payload_types_are_shared(void **state)
{
	enum { N = 40 };
	struct relay_program prog = {.source_rtp = ip("192.0.2.1", 4000), .rtp_on = true}, g;
	struct relay_pair *p[N + 1];
	struct world sim;

	(void)state;
	world_init(&sim, 0);
	sim.realm[0].port_max = (uint16_t)(sim.realm[0].port_min + 2 * N + 1);
	world_start(&sim);
	for (unsigned i = 0; i <= N; i++)
		p[i] = take(&sim, 0, AF_INET);
	for (unsigned round = 0; round < 3; round++) {
		/* all the same, then each another one: more than are looked at */
		for (unsigned i = 0; i < N; i++) {
			memset(prog.pt_map, RELAY_PT_DROP, sizeof(prog.pt_map));
			prog.pt_map[8] = 8;
			prog.clock_khz[0] = (uint8_t)(round == 1 ? i : 0);
			prog.pt_map[127] = (uint8_t)(round == 1 ? i / 2 : 0);
			assert_int_equal(relay_program_set(p[i], p[N], &prog), REASON_NONE);
		}
		for (unsigned i = 0; i < N; i++) {
			assert_true(relay_pair_program(p[i], &g, NULL));
			assert_int_equal(g.pt_map[8], 8);
			assert_int_equal(g.pt_map[9], RELAY_PT_DROP);
			assert_int_equal(g.clock_khz[0], round == 1 ? i : 0);
			assert_int_equal(g.pt_map[127], round == 1 ? i / 2 : 0);
		}
		/* without workers what was replaced is freed at once, but for the last */
		if (round != 1)
			assert_true(sim.relay->maps.next->next->next == &sim.relay->maps ||
			            sim.relay->maps.next->next == &sim.relay->maps);
	}
	for (unsigned i = 0; i <= N; i++)
		relay_pair_put(p[i]);
	assert_true(list_empty(&sim.relay->maps));
	world_fini(&sim);
}

/* The simulation has neither sockets nor threads nor timers; all else is the same. */
static void simulated_relay_has_no_sockets(void **state)
{
	struct relay_program prog = {.source_rtp = ip("192.0.2.1", 4000), .rtp_on = true}, g;
	unsigned before = open_descriptors();
	struct relay_pair *p[2], *out;
	struct media_port_use use;
	struct media_stats st;
	struct world sim;

	(void)state;
	world_init(&sim, 0);
	sim.realm[0].ip4 = ip("192.0.2.9", 0); /* not an address of this machine */
	sim.realm[0].advertise4 = ip("203.0.113.1", 0);
	world_start(&sim);
	for (unsigned i = 0; i < 2; i++)
		p[i] = take(&sim, 0, AF_INET);
	assert_true(addr_eq_ip(relay_pair_local(p[0]), &sim.realm[0].advertise4));
	assert_int_equal(relay_program_set(p[0], p[1], &prog), REASON_NONE);
	prog.rtp_on = false;
	assert_int_equal(relay_program_set(p[0], p[1], &prog), REASON_NONE);
	assert_true(relay_pair_program(p[0], &g, &out));
	assert_false(g.rtp_on);
	relay_pair_stats(p[0], &st);
	assert_int_equal(st.rx_packets, 0);
	relay_pair_stats_reset(p[0]);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(sim.timers.n, 0);
	relay_pair_put(p[1]);
	assert_false(relay_pair_program(p[0], &g, NULL));
	relay_pair_put(p[0]);
	assert_true(relay_port_use(sim.relay, 0, &use));
	assert_int_equal(use.quarantined, 2);
	assert_int_equal(relay_pairs_in_use(sim.relay), 0);
	world_fini(&sim);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(every_byte_but_the_type_is_kept),
	    CASE(leaves_from_the_advertised_ports),
	    CASE(other_payload_types_do_not_pass),
	    CASE(between_ipv4_and_ipv6),
	    CASE(dscp_is_that_of_the_realm),
	    CASE(dscp_of_a_trunk),
	    CASE(comfort_noise_only_if_negotiated),
	    CASE(each_direction_opens_by_itself),
	    CASE(held_direction_passes_rtcp_only),
	    CASE(rtcp_at_the_rtp_port),
	    CASE(rtcp_leaves_multiplexed),
	    CASE(fax_datagrams_pass_as_they_are),
	    CASE(strangers_do_not_get_in),
	    CASE(storm_of_malformed),
	    CASE(unanswered_ports_stay_silent),
	    CASE(no_destination_no_packet),
	    CASE(what_cannot_be_sent_is_counted),
	    CASE(unreachable_ports_stop_nothing),
	    CASE(first_valid_source_wins_then_locked),
	    CASE(only_media_of_a_negotiated_type_teaches),
	    CASE(rtcp_is_learnt_by_itself),
	    CASE(sends_to_the_sdp_address_before_receiving),
	    CASE(sdp_address_locks_as_well),
	    CASE(new_program_keeps_or_loosens_the_lock),
	    CASE(held_far_end_can_be_learnt),
	    CASE(counters_tell_the_stream),
	    CASE(put_stops_both_directions),
	    CASE(in_pair_moves_to_another_out_pair),
	    CASE(metrics_add_up),
	    cmocka_unit_test(payload_types_are_shared),
	    cmocka_unit_test(simulated_relay_has_no_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
