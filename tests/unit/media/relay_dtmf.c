/* Digits through the relay: events that end here are told once each, whatever is lost and doubled; digits that are played take the
 * place of packets, so that no sequence jumps (run under ThreadSanitizer). */
#include "relay_world.h"

#include "media/relay_impl.h"
#include "sbc/base/be.h"

#define EVENT 101

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

static struct {
	unsigned n;
	uint8_t event[64];
	uint16_t ms[64];
} told;

static void on_event(void *ctx, const struct relay_pair *at, uint8_t event, uint16_t ms)
{
	assert_ptr_equal(ctx, &told);
	assert_non_null(at);
	assert_in_range(told.n, 0, 63);
	told.event[told.n] = event;
	told.ms[told.n++] = ms;
}

static void wait_told(unsigned n)
{
	for (int i = 0; i < ARRIVES && told.n < n; i++)
		loop_turn(&loop, 1);
	assert_int_equal(told.n, n);
}

/* a far end that sends everything with one count */
struct source {
	struct call *c;
	unsigned seq;
	uint32_t ts;
};

static void send_event(struct source *s, uint32_t ts, uint8_t event, bool end, unsigned length)
{
	uint8_t p[32];
	size_t n = rtp_make(p, EVENT, s->seq++, ts, 77, 4);

	p[12] = event;
	p[13] = (uint8_t)((end ? 0x80 : 0) | 10);
	be16_put(p + 14, length);
	peer_send(s->c->end[0].rtp, &s->c->local[0], p, n);
}

static void send_audio(struct source *s)
{
	uint8_t p[200];

	peer_send(s->c->end[0].rtp, &s->c->local[0], p, rtp_make(p, 8, s->seq++, s->ts, 77, 160));
	s->ts += 160;
}

static void up_open(struct call *c)
{
	call_open(c, &w);
	c->prog[0].pt_map[EVENT] = RELAY_PT_EVENT;
	call_publish(c);
	memset(&told, 0, sizeof(told));
	relay_pair_on_event(c->pair[0], on_event, &told);
}

/* DTM-01: twelve digits, fast, each with its end three times; none of it comes out at the other side */
static void twelve_digits_are_told_once(void **state)
{
	struct source s = {0};
	uint8_t p[64];
	struct call c;

	(void)state;
	up_open(&c);
	s = (struct source){&c, 0, 1000};
	for (uint8_t e = 0; e < 12; e++) {
		for (unsigned k = 1; k <= 3; k++)
			send_event(&s, s.ts, e, false, 160 * k);
		for (unsigned k = 0; k < 3; k++)
			send_event(&s, s.ts, e, true, 480);
		s.ts += 960;
		wait_told(e + 1u);
	}
	for (uint8_t e = 0; e < 12; e++) {
		assert_int_equal(told.event[e], e);
		assert_int_equal(told.ms[e], 60);
	}
	passes(&c, c.end[0].rtp, 0, 999);
	assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, 0), -1);
	loop_turn(&loop, 0);
	assert_int_equal(told.n, 12);
	call_close(&c);
}

/* the end is lost; the beginning is lost; all but one packet are lost; late copies come behind the next digit */
static void losses_neither_double_nor_lose(void **state)
{
	static const uint8_t want[] = {1, 2, 2, 3, 4};
	struct source s = {0};
	struct call c;
	uint8_t p[200];

	(void)state;
	up_open(&c);
	s = (struct source){&c, 0, 1000};
	send_event(&s, 1000, 1, false, 160);
	send_event(&s, 1000, 1, false, 320); /* its end never comes: the audio after it says so */
	s.ts = 2000;
	send_audio(&s);
	assert_true(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES) > 0);
	wait_told(1);
	assert_int_equal(told.ms[0], 40);
	send_event(&s, 3000, 2, true, 480); /* the end alone */
	wait_told(2);
	send_event(&s, 4000, 2, false, 160); /* the same digit again, and its end is lost; the next one says so */
	send_event(&s, 5000, 3, false, 160);
	wait_told(3);
	send_event(&s, 4000, 2, true, 480); /* and comes late */
	send_event(&s, 3000, 2, true, 480);
	send_event(&s, 5000, 3, true, 320);
	send_event(&s, 5000, 3, true, 320);
	wait_told(4);
	send_event(&s, 6000, 4, true, 160);
	wait_told(5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(told.event[i], want[i]);
	/* too short to be one */
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, EVENT, s.seq++, 7000, 77, 3));
	passes(&c, c.end[0].rtp, 0, 999);
	loop_turn(&loop, 0);
	assert_int_equal(told.n, 5);
	call_close(&c);
}

/* DTM-03: the same source, no jump of the sequence, the timestamp of an event stands, its end comes three times, digits are
 * apart, and all between is as it was sent */
static void played_in_the_place_of_packets(void **state)
{
	static const uint8_t digits[] = {1, 1, 11, 5};
	struct source s = {0};
	unsigned events = 0, ends = 0, digit = 0, last_end = 0;
	uint32_t began = 0;
	struct call c;
	uint8_t p[300];

	(void)state;
	call_open(&c, &w);
	c.prog[0].event_pt = 96;
	call_publish(&c);
	s = (struct source){&c, 65530, 1000};
	for (unsigned i = 0; i < ARRAY_LEN(digits); i++)
		assert_true(relay_pair_digit(c.pair[0], digits[i], i ? 100 : 1)); /* the first at least 40 ms */
	for (unsigned i = 0; i < 60; i++) {
		uint32_t ts = s.ts;
		ssize_t n;

		send_audio(&s);
		n = peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES);
		assert_int_equal(be16(p + 2), (65530 + i) & 0xffff);
		assert_int_equal(be32(p + 8), 77);
		if ((p[1] & 0x7f) == 8) {
			assert_int_equal(n, 172);
			assert_int_equal(be32(p + 4), ts);
			assert_true(ends == 0 || ends == 3);
			continue;
		}
		assert_int_equal(n, 16);
		assert_int_equal(p[1] & 0x7f, 96);
		if (p[1] & 0x80) { /* the first of a digit */
			assert_int_equal(be32(p + 4), ts);
			assert_true(digit == 0 || i - last_end >= 3);
			began = ts;
			events = ends = 0;
			digit++;
		}
		assert_int_equal(p[12], digits[digit - 1]);
		assert_int_equal(be32(p + 4), began);
		events++;
		if (p[13] & 0x80) {
			ends++;
			last_end = i;
			assert_int_equal(be16(p + 14), digit == 1 ? 320 : 800);
		} else {
			assert_int_equal(be16(p + 14), 160 * events);
		}
		assert_in_range(ends, 0, 3);
	}
	assert_int_equal(digit, ARRAY_LEN(digits));
	assert_int_equal(ends, 3);
	call_close(&c);
}

/* so many wait and no more; without a number for events there are none */
static void played_in_bounds(void **state)
{
	struct source s = {0};
	uint8_t p[300];
	struct call c;

	(void)state;
	call_open(&c, &w);
	c.prog[0].event_pt = RELAY_PT_DROP;
	call_publish(&c);
	assert_false(relay_pair_digit(c.pair[0], 1, 100));
	c.prog[0].event_pt = EVENT;
	call_publish(&c);
	for (unsigned i = 0; i < RELAY_DIGITS; i++)
		assert_true(relay_pair_digit(c.pair[0], 1, 60000));
	assert_false(relay_pair_digit(c.pair[0], 1, 100));
	/* a source that begins anew in the middle ends its digit, not its call */
	s = (struct source){&c, 0, 1000};
	send_audio(&s);
	assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 16);
	for (unsigned i = 0; i < 3; i++) {
		peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, 8, 5 + i, 90000000, 78, 160));
		assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 16);
		assert_int_equal(p[13] & 0x80, 0x80);
		assert_int_equal(be16(p + 14), 160);
	}
	passes(&c, c.end[0].rtp, 0, 9);
	/* its own events pass beside */
	peer_send(c.end[0].rtp, &c.local[0], p, rtp_make(p, EVENT, 10, 5000, 77, 4));
	assert_int_equal(peer_recv(c.end[1].rtp, p, sizeof(p), NULL, ARRIVES), 16);
	assert_int_equal(p[12], 0);
	call_close(&c);
	/* and the next call at these ports has none of it */
	call_open(&c, &w);
	c.prog[0].event_pt = EVENT;
	call_publish(&c);
	passes(&c, c.end[0].rtp, 0, 1);
	call_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(twelve_digits_are_told_once),
		cmocka_unit_test(losses_neither_double_nor_lose),
		cmocka_unit_test(played_in_the_place_of_packets),
		cmocka_unit_test(played_in_bounds),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
