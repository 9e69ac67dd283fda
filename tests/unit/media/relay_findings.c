/* What the relay notes beside plain counters, for the verdicts: who was refused, what reports and ICMP say of what a far end
 * hears, and whether it says that it sends. */
#include "relay_world.h"

static size_t w32(uint8_t *p, size_t at, uint32_t v)
{
	p[at] = (uint8_t)(v >> 24);
	p[at + 1] = (uint8_t)(v >> 16);
	p[at + 2] = (uint8_t)(v >> 8);
	p[at + 3] = (uint8_t)v;
	return at + 4;
}

/* Sender report of somebody who has sent so many packets; with a block that knows the stream up to `highest`, unless 0. */
static size_t report(uint8_t *p, uint32_t sent, uint32_t highest)
{
	size_t at = w32(p, 0, highest ? 0x81c8000c : 0x80c80006);

	for (int i = 0; i < 4; i++)
		at = w32(p, at, 1);
	at = w32(p, at, sent);
	at = w32(p, at, sent * 160);
	if (!highest)
		return at;
	at = w32(p, at, 77);
	at = w32(p, at, 0);
	at = w32(p, at, highest);
	for (int i = 0; i < 3; i++)
		at = w32(p, at, 0);
	return at;
}

static void pass_report(struct call *c, unsigned from, uint32_t sent, uint32_t highest)
{
	struct addr to = port_after(c->local[from]);
	uint8_t p[64], got[64];
	size_t n = report(p, sent, highest);

	peer_send(c->end[from].rtcp, &to, p, n);
	assert_int_equal(peer_recv(c->end[!from].rtcp, got, sizeof(got), NULL, ARRIVES), (ssize_t)n);
}

/* n packets from side `from`, each seen at the other */
static unsigned pass_rtp(struct call *c, unsigned from, unsigned seq, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		passes(c, c->end[from].rtp, from, seq++);
	/* counted after it left */
	for (int i = 0; i < ARRIVES && stats(c, !from).tx_packets < seq; i++)
		poll(NULL, 0, 1);
	return seq;
}

static void refused_packets_are_described(void **state)
{
	struct addr stranger = ip("127.0.0.9", 0);
	struct media_stats st;
	struct world w;
	struct call c;
	uint8_t p[64];
	int fd;

	(void)state;
	world_init(&w, 1);
	world_start(&w);
	call_open(&c, &w);
	st = stats(&c, 0);
	assert_true(addr_none(&st.refused.source));
	fd = peer_open(&stranger);
	peer_send(fd, &c.local[0], p, rtp_make(p, 8, 1, 160, 5, 20));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 1);
	for (int i = 0; i < ARRIVES && !stats(&c, 0).refused.source_us; i++)
		poll(NULL, 0, 1);
	st = stats(&c, 0);
	assert_true(addr_eq(&st.refused.source, &stranger));
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 18, 1, 160, 5, 20));
	wait_drops(&c, 0, RELAY_DROP_PT, 1);
	for (int i = 0; i < ARRIVES && !stats(&c, 0).refused.pt_us; i++)
		poll(NULL, 0, 1);
	assert_int_equal(stats(&c, 0).refused.pt, 18);
	assert_int_equal(stats(&c, 0).last_rtp_us, 0);
	pass_rtp(&c, 0, 0, 1);
	assert_true(stats(&c, 0).last_rtp_us >= stats(&c, 0).refused.pt_us);
	assert_int_equal(stats(&c, 0).last_payload, 40);
	close(fd);
	call_close(&c);
	world_fini(&w);
}

static void reports_say_who_hears(void **state)
{
	struct world w;
	struct call c;
	unsigned seq;

	(void)state;
	world_init(&w, 2);
	world_start(&w);
	call_open(&c, &w);
	/* nothing was sent: nothing to know */
	pass_report(&c, 1, 1, 0);
	assert_int_equal(stats(&c, 1).deaf_reports, 0);
	seq = pass_rtp(&c, 0, 0, 100);
	pass_report(&c, 1, 2, 99); /* it knows them */
	assert_int_equal(stats(&c, 1).deaf_reports, 0);
	pass_report(&c, 1, 3, 99); /* nothing new, and nothing was sent: on hold */
	assert_int_equal(stats(&c, 1).deaf_reports, 0);
	for (unsigned i = 1; i <= 3; i++) {
		seq = pass_rtp(&c, 0, seq, 100);
		pass_report(&c, 1, 3 + i, i == 2 ? 0 : 99); /* the same as before, or no word of us */
		assert_int_equal(stats(&c, 1).deaf_reports, i);
		assert_true(stats(&c, 1).deaf_us > 0);
	}
	pass_report(&c, 1, 7, seq - 1);
	assert_int_equal(stats(&c, 1).deaf_reports, 0);
	assert_int_equal(stats(&c, 1).deaf_us, 0);
	assert_int_equal(stats(&c, 0).deaf_reports, 0);
	call_close(&c);
	world_fini(&w);
}

static void reports_say_who_sends(void **state)
{
	struct world w;
	struct call c;
	int64_t at;

	(void)state;
	world_init(&w, 1);
	world_start(&w);
	call_open(&c, &w);
	pass_report(&c, 0, 0, 0);
	assert_int_equal(stats(&c, 0).far_sends_us, 0);
	pass_report(&c, 0, 250, 0);
	at = stats(&c, 0).far_sends_us;
	assert_true(at > 0);
	pass_report(&c, 0, 250, 0);
	assert_int_equal(stats(&c, 0).far_sends_us, at);
	pass_report(&c, 0, 251, 0);
	assert_true(stats(&c, 0).far_sends_us > at);
	assert_int_equal(stats(&c, 1).far_sends_us, 0);
	call_close(&c);
	world_fini(&w);
}

/* The far end's port is closed: the kernel there says so, the verdict knows, and the call goes on as before. */
static void closed_ports_are_known(void **state)
{
	struct world w;
	struct call c;
	uint8_t p[64];
	unsigned seq = 0;

	(void)state;
	world_init(&w, 1);
	world_start(&w);
	call_open(&c, &w);
	seq = pass_rtp(&c, 0, seq, 3);
	assert_int_equal(stats(&c, 1).unreachable.last_us, 0);
	close(c.end[1].rtp);
	/* ICMP to one destination is limited in rate: ask until it came twice */
	for (int i = 0; i < ARRIVES && stats(&c, 1).unreachable.last_us <= stats(&c, 1).unreachable.since_us; i++) {
		peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, seq, seq * 160, 77, 40));
		seq++;
		poll(NULL, 0, 1);
	}
	assert_true(stats(&c, 1).unreachable.since_us > 0);
	assert_true(stats(&c, 1).unreachable.last_us > stats(&c, 1).unreachable.since_us);
	assert_int_equal(stats(&c, 1).unreachable.why, MEDIA_ICMP_PORT);
	/* an error is nobody's packet: all of them left */
	wait_sent(&c, 1, seq);
	assert_int_equal(stats(&c, 0).drops[RELAY_DROP_SEND], 0);
	assert_int_equal(stats(&c, 0).unreachable.last_us, 0);
	c.end[1].rtp = peer_open(&c.end[1].rtp_addr);
	pass_rtp(&c, 0, seq, 3);
	/* what is known of another address does not count */
	addr_set_port(&c.prog[0].dest_rtp, 9);
	call_publish(&c);
	assert_int_equal(stats(&c, 1).unreachable.last_us, 0);
	call_close(&c);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_packets_are_described),
		cmocka_unit_test(reports_say_who_hears),
		cmocka_unit_test(reports_say_who_sends),
		cmocka_unit_test(closed_ports_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
