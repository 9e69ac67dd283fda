/* The ring of captured packets: what fits is there in order, the oldest go, and who reads meanwhile sees whole packets only. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "media/capture.h"

struct seen {
	unsigned n, max;
	int64_t first, last;
	uint64_t key;
	bool in_order, whole;
};

static size_t length(int64_t i)
{
	return (size_t)(i * 37 % 1500);
}

static bool look(void *ctx, const struct capture_packet *p)
{
	struct seen *s = ctx;

	if (s->n++ == 0)
		s->first = p->mono_us;
	else if (p->mono_us <= s->last)
		s->in_order = false;
	s->last = p->mono_us;
	if (p->key != s->key || p->len != length(p->mono_us) || p->bytes.n != p->len || p->out != (p->mono_us % 2 != 0) ||
	    addr_port(&p->remote) != (uint16_t)p->mono_us)
		s->whole = false;
	for (size_t i = 0; i < p->bytes.n; i++)
		if ((uint8_t)p->bytes.p[i] != (uint8_t)(p->mono_us + (int64_t)i))
			s->whole = false;
	return !s->max || s->n < s->max;
}

static void put(struct capture *c, int64_t i)
{
	char bytes[1500];
	struct capture_packet p = {.key = (uint64_t)(i % 3), .mono_us = i, .out = i % 2, .len = length(i),
	    .bytes = str_n(bytes, length(i))};

	p.remote.sa.sa_family = AF_INET;
	addr_set_port(&p.remote, (uint16_t)i);
	for (size_t k = 0; k < p.len; k++)
		bytes[k] = (char)(i + (int64_t)k);
	capture_put(c, &p);
}

static struct seen see(const struct capture *c, uint64_t key, unsigned max)
{
	struct seen s = {.key = key, .max = max, .in_order = true, .whole = true};

	capture_each(c, key, look, &s);
	return s;
}

static void the_newest_are_there(void **state)
{
	struct capture *c = capture_new(0);
	struct seen s;

	(void)state;
	assert_non_null(c);
	assert_int_equal(see(c, 0, 0).n, 0);
	for (int64_t i = 1; i <= 10; i++)
		put(c, i);
	s = see(c, 1, 0); /* 1 4 7 10 */
	assert_int_equal(s.n, 4);
	assert_int_equal(s.first, 1);
	assert_int_equal(s.last, 10);
	assert_true(s.in_order && s.whole);
	assert_int_equal(see(c, 1, 2).n, 2);
	assert_int_equal(see(c, 9, 0).n, 0);
	/* many times around */
	for (int64_t i = 11; i <= 5000; i++)
		put(c, i);
	s = see(c, 1, 0);
	assert_true(s.n > 10 && s.n < CAPTURE_BYTES_MIN / 88 / 3);
	assert_int_equal(s.last, 4999);
	assert_int_equal(s.first, 4999 - 3 * ((int64_t)s.n - 1)); /* none missing in between */
	assert_true(s.in_order && s.whole);
	capture_free(c);
}

static void a_long_packet_is_cut(void **state)
{
	static char bytes[9000];
	struct capture *c = capture_new(0);
	struct capture_packet p = {.key = 1, .mono_us = 1, .len = sizeof(bytes), .bytes = {bytes, sizeof(bytes)}};
	struct seen s = {.key = 1};

	(void)state;
	capture_put(c, &p);
	capture_each(c, 1, look, &s);
	assert_int_equal(s.n, 1);
	assert_false(s.whole); /* fewer bytes than on the wire */
	capture_free(c);
	capture_free(NULL);
}

static struct capture *shared;
static atomic_bool over;

static void *writer(void *arg)
{
	(void)arg;
	for (int64_t i = 1; !over; i++)
		put(shared, i);
	return NULL;
}

/* run under ThreadSanitizer as well */
static void read_while_it_is_written(void **state)
{
	unsigned packets = 0;
	pthread_t t;

	(void)state;
	shared = capture_new(0);
	over = false;
	assert_int_equal(pthread_create(&t, NULL, writer, NULL), 0);
	for (unsigned i = 0; i < 3000 || packets < 1000; i++) {
		struct seen s = see(shared, i % 3, 0);

		packets += s.n;
		assert_true(s.in_order && s.whole);
	}
	over = true;
	pthread_join(t, NULL);
	capture_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_are_there),
		cmocka_unit_test(a_long_packet_is_cut),
		cmocka_unit_test(read_while_it_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
