/* ICE through the relay: checks are answered at our ports, media comes from who passed one and goes where it was said, and the
 * addresses of the session description count no more (run under ThreadSanitizer). */
#include "check_make.h"
#include "relay_world.h"

#include "media/relay_impl.h"

#define PWD "0123456789abcdefghijklmn"
#define NAMES "ourourur:them"

static struct world w;
static struct loop loop;

static int setup(void **state)
{
	(void)state;
	world_init(&w, 2);
	world_start_on(&w, &loop);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_fini(&w);
	assert_int_equal(loop_fini(&loop), 0);
	return 0;
}

/* side 0 has ICE */
static void ice_open(struct call *c)
{
	call_open(c, &w);
	c->prog[0].ice = (struct ice_keys){.ours = "ourourur", .pwd = PWD, .theirs = "them"};
	call_publish(c);
}

static void check_from(int fd, const struct addr *to, const char *user, const char *pwd, unsigned how)
{
	uint8_t d[400];

	peer_send(fd, to, d, check_make(d, user, pwd, 1, how));
}

static void answered(int fd, const struct addr *by)
{
	struct addr from;
	uint8_t d[200];

	assert_true(peer_recv(fd, d, sizeof(d), &from, ARRIVES) > 20);
	assert_int_equal(be16(d), 0x0101);
	assert_true(addr_eq(&from, by));
}

/* a packet of end 1 arrives at that socket; -1: nowhere */
static void goes_to(struct call *c, int fd, unsigned seq)
{
	uint64_t before = stats(c, 1).drops[RELAY_DROP_NO_DEST];
	uint8_t d[64], in[64];
	size_t n = rtp_make(d, 8, seq, seq * 160, 5, 40);

	peer_send(c->end[1].rtp, &c->local[1], d, n);
	if (fd < 0) {
		wait_drops(c, 1, RELAY_DROP_NO_DEST, before + 1);
		return;
	}
	assert_int_equal(peer_recv(fd, in, sizeof(in), NULL, ARRIVES), (ssize_t)n);
	assert_memory_equal(in, d, n);
}

/* LAT-07, ICE-02 */
static void checks_decide(void **state)
{
	struct addr at = ip("127.0.0.8", 0), rtcp;
	int phone = peer_open(&at);
	struct call c;
	uint8_t d[64];

	(void)state;
	ice_open(&c);
	rtcp = port_after(c.local[0]);
	/* not even the address of the description, before a check */
	peer_send(c.end[0].rtp, &c.local[0], d, rtp_make(d, 8, 1, 160, 7, 20));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 1);
	goes_to(&c, -1, 1);
	assert_int_equal(stats(&c, 0).ice, MEDIA_ICE_WAITS);
	/* another address passes one: heard, and not yet spoken to */
	check_from(phone, &c.local[0], NAMES, PWD, 0);
	answered(phone, &c.local[0]);
	passes(&c, phone, 0, 2);
	goes_to(&c, -1, 2);
	/* it says that it wants to be there */
	check_from(phone, &c.local[0], NAMES, PWD, CHECK_USE);
	answered(phone, &c.local[0]);
	goes_to(&c, phone, 3);
	assert_int_equal(stats(&c, 0).ice, MEDIA_ICE_UP);
	{
		struct media_stats st = stats(&c, 0);

		assert_true(addr_eq(&st.remote, &at));
	}
	/* the other component has its own */
	peer_send(phone, &rtcp, rtcp_rr, sizeof(rtcp_rr));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 2);
	check_from(c.end[0].rtcp, &rtcp, NAMES, PWD, CHECK_USE);
	answered(c.end[0].rtcp, &rtcp);
	peer_send(c.end[0].rtcp, &rtcp, rtcp_rr, sizeof(rtcp_rr));
	assert_int_equal(peer_recv(c.end[1].rtcp, d, sizeof(d), NULL, ARRIVES), sizeof(rtcp_rr));
	/* the address of the description still does not count */
	peer_send(c.end[0].rtp, &c.local[0], d, rtp_make(d, 8, 4, 640, 7, 20));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 3);
	close(phone);
	call_close(&c);
}

/* ICE-10: nothing is answered to who does not know the password, and none of it opens a way */
static void strangers_get_nothing(void **state)
{
	struct addr at = ip("127.0.0.8", 0);
	int fd = peer_open(&at);
	struct call c;
	uint8_t d[64];

	(void)state;
	ice_open(&c);
	check_from(fd, &c.local[0], NAMES, "1123456789abcdefghijklmn", CHECK_USE);
	check_from(fd, &c.local[0], "ourourur:him!", PWD, CHECK_USE);
	check_from(fd, &c.local[0], NAMES, PWD, CHECK_USE | CHECK_NO_MAC);
	check_from(fd, &c.local[0], NULL, PWD, CHECK_USE | CHECK_NO_MAC);
	wait_drops(&c, 0, RELAY_DROP_STUN, 4);
	check_from(c.end[1].rtp, &c.local[1], NAMES, PWD, CHECK_USE); /* the side without ICE */
	wait_drops(&c, 1, RELAY_DROP_NOT_RTP, 1);
	silent(fd);
	silent(c.end[1].rtp);
	peer_send(fd, &c.local[0], d, rtp_make(d, 8, 1, 160, 7, 20));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 1);
	close(fd);
	call_close(&c);
}

/* a program with the same names is the same session; other names go on where it was; none at all is the old rule again */
static void programs_change(void **state)
{
	struct addr at[2] = {ip("127.0.0.8", 0), ip("127.0.0.8", 0)};
	int phone = peer_open(&at[0]), moved = peer_open(&at[1]);
	struct call c;

	(void)state;
	ice_open(&c);
	check_from(phone, &c.local[0], NAMES, PWD, CHECK_USE);
	answered(phone, &c.local[0]);
	c.prog[0].rtp_on = false;
	call_publish(&c);
	c.prog[0].rtp_on = true;
	call_publish(&c);
	goes_to(&c, phone, 1);
	passes(&c, phone, 0, 1);
	/* restart (ICE-05) */
	memcpy(c.prog[0].ice.theirs, "hers", 5);
	call_publish(&c);
	goes_to(&c, phone, 2);
	passes(&c, phone, 0, 2);
	check_from(moved, &c.local[0], "ourourur:hers", PWD, CHECK_USE);
	answered(moved, &c.local[0]);
	goes_to(&c, moved, 3);
	memset(&c.prog[0].ice, 0, sizeof(c.prog[0].ice));
	call_publish(&c);
	goes_to(&c, c.end[0].rtp, 4);
	passes(&c, c.end[0].rtp, 0, 4);
	close(phone);
	close(moved);
	call_close(&c);
}

/* ICE-07: a way that nothing goes is kept open; one that is used, or that nobody has nominated, gets nothing */
static void idle_ways_are_kept(void **state)
{
	struct call c;
	uint8_t d[200];

	(void)state;
	ice_open(&c);
	world_advance(&w, 16000000);
	silent(c.end[0].rtp);
	check_from(c.end[0].rtp, &c.local[0], NAMES, PWD, CHECK_USE);
	answered(c.end[0].rtp, &c.local[0]);
	for (unsigned i = 0; i < 20; i++) { /* a second each: the relay looks */
		goes_to(&c, c.end[0].rtp, i);
		wait_sent(&c, 0, i + 1u);
		world_advance(&w, 1100000);
	}
	silent(c.end[0].rtp);
	for (unsigned i = 0; i < 13; i++)
		world_advance(&w, 1100000);
	silent(c.end[0].rtp);
	for (unsigned i = 0; i < 3; i++)
		world_advance(&w, 1100000);
	assert_int_equal(peer_recv(c.end[0].rtp, d, sizeof(d), NULL, ARRIVES), 28);
	assert_int_equal(be16(d), 0x0011);
	silent(c.end[0].rtp);
	silent(c.end[0].rtcp); /* never nominated */
	call_close(&c);
	for (unsigned i = 0; i < 20; i++)
		world_advance(&w, 1100000);
}

static struct {
	unsigned n;
	size_t len;
	struct addr from;
} heard;

static void hear(void *ctx, unsigned sock, const struct addr *from, const uint8_t *d, size_t n)
{
	(void)ctx;
	(void)sock;
	(void)d;
	heard.n++;
	heard.len = n;
	heard.from = *from;
}

/* who makes DTLS is told where the far end wants to be, and hears it from there alone */
static void dtls_is_told(void **state)
{
	static const uint8_t hello[20] = {22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 1};
	struct addr at = ip("127.0.0.8", 0);
	int phone = peer_open(&at);
	struct call c;

	(void)state;
	ice_open(&c);
	c.prog[0].dtls = true;
	call_publish(&c);
	relay_pair_listen(c.pair[0], hear, &heard);
	peer_send(phone, &c.local[0], hello, sizeof(hello));
	wait_drops(&c, 0, RELAY_DROP_SOURCE, 1);
	check_from(phone, &c.local[0], NAMES, PWD, CHECK_USE);
	answered(phone, &c.local[0]);
	for (int i = 0; i < ARRIVES && heard.n < 1; i++)
		loop_turn(&loop, 1);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.len, 0);
	assert_true(addr_eq(&heard.from, &at));
	peer_send(phone, &c.local[0], hello, sizeof(hello));
	for (int i = 0; i < ARRIVES && heard.n < 2; i++)
		loop_turn(&loop, 1);
	assert_int_equal(heard.len, sizeof(hello));
	close(phone);
	call_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_decide),
		cmocka_unit_test(strangers_get_nothing),
		cmocka_unit_test(programs_change),
		cmocka_unit_test(idle_ways_are_kept),
		cmocka_unit_test(dtls_is_told),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
