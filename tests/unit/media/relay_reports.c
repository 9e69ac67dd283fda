/* What the relay reads out of reports that pass through it: the way to each far end and back, and what it missed. */
#include "relay_world.h"

static size_t w32(uint8_t *p, size_t at, uint32_t v)
{
	p[at] = (uint8_t)(v >> 24);
	p[at + 1] = (uint8_t)(v >> 16);
	p[at + 2] = (uint8_t)(v >> 8);
	p[at + 3] = (uint8_t)v;
	return at + 4;
}

/* Sender report with that middle of the NTP time, and a block when lsr is not 0. */
static size_t report(uint8_t *p, uint32_t ntp, uint32_t lsr, uint32_t dlsr, uint8_t fraction)
{
	size_t at = w32(p, 0, lsr ? 0x81c8000c : 0x80c80006);

	at = w32(p, at, 1);
	at = w32(p, at, ntp >> 16);
	at = w32(p, at, ntp << 16);
	for (int i = 0; i < 3; i++)
		at = w32(p, at, 0);
	if (!lsr)
		return at;
	at = w32(p, at, 2);
	at = w32(p, at, (uint32_t)fraction << 24);
	at = w32(p, at, 0);
	at = w32(p, at, 0);
	at = w32(p, at, lsr);
	return w32(p, at, dlsr);
}

static void pass(struct call *c, unsigned from, const uint8_t *p, size_t n)
{
	struct addr to = port_after(c->local[from]);
	uint8_t got[256];

	peer_send(c->end[from].rtcp, &to, p, n);
	assert_int_equal(peer_recv(c->end[!from].rtcp, got, sizeof(got), NULL, ARRIVES), (ssize_t)n);
	assert_memory_equal(got, p, n); /* nothing is changed */
}

/* QOS-01 */
static void qos_01_round_trip_and_loss_of_either_side(void **state)
{
	struct world w;
	struct call c;
	uint8_t p[256];

	(void)state;
	world_init(&w, 2);
	world_start(&w);
	call_open(&c, &w);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(stats(&c, i).round_trip_us, 0);
		assert_int_equal(stats(&c, i).far_lost, -1);
	}
	/* A reports; B names that report and says that it had it for no time: what the wire and this test took is the way */
	pass(&c, 0, p, report(p, 0x11112222, 0, 0, 0));
	assert_int_equal(stats(&c, 1).round_trip_us, 0);
	usleep(20000);
	pass(&c, 1, p, report(p, 0x33334444, 0x11112222, 0, 64));
	assert_in_range(stats(&c, 1).round_trip_us, 20000, 5000000);
	assert_int_equal(stats(&c, 1).far_lost, 64);
	assert_int_equal(stats(&c, 0).round_trip_us, 0);
	/* the other way round, and A says that it kept it longer than there was time: no figure */
	pass(&c, 0, p, report(p, 0x55556666, 0x33334444, 60 * 65536, 0));
	assert_int_equal(stats(&c, 0).round_trip_us, 0);
	assert_int_equal(stats(&c, 0).far_lost, 0);
	/* a report nobody sent */
	pass(&c, 0, p, report(p, 0x55556667, 0x99999999, 0, 255));
	assert_int_equal(stats(&c, 0).round_trip_us, 0);
	assert_int_equal(stats(&c, 0).far_lost, 255);
	call_close(&c);
	world_fini(&w);
}

static const char compound[] = /* RR; SDES with a CNAME; APP; XR with VoIP metrics; a type that nobody knows */
    "\x80\xc9\0\1AAAA"
    "\x81\xca\0\6AAAA\1\x10" "bob@192.168.1.77\0\0"
    "\x80\xcc\0\2AAAAname"
    "\x80\xcf\0\x0a" "AAAA\7\0\0\x08" "BBBB0123456789abcdefghijklmnop\0\0"
    "\x80\xd2\0\1AAAA";

/* RTP-07, QOS-03: no part is dropped, known or not; RTP-08: names of one call, and of that call alone */
static void parts_pass_and_names_do_not(void **state)
{
	size_t n = sizeof(compound) - 1, name = 8 + 8 + 2;
	uint8_t got[2][256];
	struct world w;
	struct call c;

	(void)state;
	assert_int_equal(rtcp_check((const uint8_t *)compound, n), 0);
	world_init(&w, 1);
	world_start(&w);
	call_open(&c, &w);
	pass(&c, 0, (const uint8_t *)compound, n); /* no key: as it is */
	for (unsigned i = 0; i < 2; i++) {
		struct addr to = port_after(c.local[i]);

		c.prog[0].cname = c.prog[1].cname = (struct hash_key){7, 8};
		call_publish(&c);
		peer_send(c.end[i].rtcp, &to, compound, n);
		assert_int_equal(peer_recv(c.end[!i].rtcp, got[i], sizeof(got[i]), NULL, ARRIVES), (ssize_t)n);
		assert_memory_equal(got[i], compound, name);
		assert_memory_not_equal(got[i] + name, compound + name, 16);
		assert_memory_equal(got[i] + name + 16, compound + name + 16, n - name - 16);
	}
	assert_memory_equal(got[0], got[1], n);
	call_close(&c);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qos_01_round_trip_and_loss_of_either_side),
		cmocka_unit_test(parts_pass_and_names_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
