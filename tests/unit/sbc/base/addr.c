/* Addresses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/base/addr.h"

static struct addr ip(const char *z)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(str_z(z), 0, &a), 0);
	return a;
}

static struct addr_net net(const char *z)
{
	struct addr_net n;

	assert_int_equal(addr_net_parse(str_z(z), &n), 0);
	return n;
}

static void parsing_and_printing(void **state)
{
	static const struct {
		const char *in, *out;
		uint16_t port;
	} good[] = {
	    {"192.0.2.1", "192.0.2.1:5060", 5060},
	    {"192.0.2.1:5070", "192.0.2.1:5070", 5070},
	    {"192.0.2.1:0", "192.0.2.1:0", 0},
	    {"255.255.255.255:65535", "255.255.255.255:65535", 65535},
	    {"2001:db8::1", "[2001:db8::1]:5060", 5060},
	    {"[2001:db8::1]", "[2001:db8::1]:5060", 5060},
	    {"[2001:DB8:0:0::1]:5061", "[2001:db8::1]:5061", 5061},
	    {"::", "[::]:5060", 5060},
	    {"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
	        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", 65535},
	    {"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.1]:1", 1},
	};
	static const char *const bad[] = {"", ":", ":5060", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4:", "1.2.3.4:x",
	    "1.2.3.4:65536", "1.2.3.4:-1", "01.2.3.4x", " 1.2.3.4", "[1.2.3.4]", "[::1", "[::1]5060", "[::1]:", "::1]",
	    "01.2.3.4", "1.2.3.04", "1.2.3.", "1..2.3", "1.2.3.4.", "0001.2.3.4", "1.2.3.1111", "1.2.3.x", "1.2.3.4a",
	    "[]", "host.example", "2001:db8::1::2", "1.2.3.4%eth0", "[fe80::1%eth0]:5060"};
	struct addr a;
	char t[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(addr_parse(str_z(good[i].in), 5060, &a), 0);
		assert_string_equal(addr_text(&a, t), good[i].out);
		assert_int_equal(addr_port(&a), good[i].port);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (addr_parse(str_z(bad[i]), 5060, &a) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
	}
	assert_int_equal(addr_parse_ip(str_n("1.2.3.4\0", 8), 0, &a), -EINVAL);
	memset(&a, 0, sizeof(a));
	assert_true(addr_none(&a));
	assert_string_equal(addr_text(&a, t), "-");
}

static void as_headers_want_it(void **state)
{
	char t[64];
	struct addr a = ip("2001:db8::1"), b = ip("192.0.2.1");
	struct buf o;

	(void)state;
	buf_init(&o, t, sizeof(t));
	addr_put_ip(&o, &a);
	buf_chr(&o, ' ');
	addr_put_host(&o, &a);
	buf_chr(&o, ' ');
	addr_put_host(&o, &b);
	assert_string_equal(buf_z(&o), "2001:db8::1 [2001:db8::1] 192.0.2.1");
	buf_init(&o, t, 5);
	addr_put(&o, &b);
	assert_int_equal(buf_err(&o), -ENOSPC);
}

static void comparing(void **state)
{
	struct addr a = ip("192.0.2.1"), b = ip("192.0.2.1"), c = ip("192.0.2.2"), m = ip("::ffff:192.0.2.1"),
	            six = ip("2001:db8::1"), none = {.sa.sa_family = AF_UNSPEC}, zero = ip("0.0.0.0");

	(void)state;
	assert_true(addr_eq(&a, &b));
	addr_set_port(&b, 7);
	assert_false(addr_eq(&a, &b));
	assert_true(addr_eq_ip(&a, &b));
	assert_false(addr_eq_ip(&a, &c));
	assert_false(addr_eq_ip(&a, &six));
	assert_true(addr_eq_ip(&a, &m)); /* one host in two clothes */
	assert_int_equal(addr_ip_bytes(&m).n, 4);
	assert_int_equal(addr_ip_bytes(&six).n, 16);
	assert_true(addr_eq(&none, &none));
	assert_false(addr_eq(&none, &zero));
	assert_false(addr_eq(&zero, &none));
	assert_int_equal(addr_len(&a), sizeof(struct sockaddr_in));
	assert_int_equal(addr_len(&six), sizeof(struct sockaddr_in6));
}

static void ranges(void **state)
{
	static const char *const bad[] = {"192.0.2.0/33", "192.0.2.1/24", "2001:db8::/129", "2001:db8::1/64", "192.0.2.0/",
	    "192.0.2.0/x", "/24", "", "192.0.2.0/24/1", "192.0.2.0/-1"};
	struct addr_net n;
	struct addr none = {.sa.sa_family = AF_UNSPEC}, a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (addr_net_parse(str_z(bad[i]), &n) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
	/* every length of both families: the first and the last inside, the neighbours outside */
	for (unsigned bits = 1; bits <= 32; bits++) {
		n = net("0.0.0.0/0");
		n.bits = (uint8_t)bits;
		n.base = ip("0.0.0.0");
		n.base.in4.sin_addr.s_addr = htonl(bits == 32 ? 0xc0000201 : 0x80000000);
		a = n.base;
		assert_true(addr_in_net(&a, &n));
		a.in4.sin_addr.s_addr = htonl(ntohl(n.base.in4.sin_addr.s_addr) | (uint32_t)(0xffffffffull >> bits));
		assert_true(addr_in_net(&a, &n));
		a.in4.sin_addr.s_addr = htonl(ntohl(n.base.in4.sin_addr.s_addr) ^ (uint32_t)(1ull << (32 - bits)));
		assert_false(addr_in_net(&a, &n));
	}
	for (unsigned bits = 1; bits <= 128; bits++) {
		n.base = ip("2001:db8:1:2:3:4:5:6");
		n.bits = (uint8_t)bits;
		a = n.base;
		assert_true(addr_in_net(&a, &n));
		a.in6.sin6_addr.s6_addr[(bits - 1) / 8] ^= (uint8_t)(0x80 >> ((bits - 1) % 8));
		assert_false(addr_in_net(&a, &n));
		if (bits < 128) {
			a = n.base;
			a.in6.sin6_addr.s6_addr[bits / 8] ^= (uint8_t)(0x80 >> (bits % 8));
			assert_true(addr_in_net(&a, &n));
		}
	}
	n = net("0.0.0.0/0");
	a = ip("203.0.113.7");
	assert_true(addr_in_net(&a, &n));
	a = ip("::ffff:203.0.113.7");
	assert_true(addr_in_net(&a, &n));
	a = ip("2001:db8::1");
	assert_false(addr_in_net(&a, &n)); /* everything of one family is nothing of the other */
	n = net("::/0");
	assert_true(addr_in_net(&a, &n));
	a = ip("203.0.113.7");
	assert_false(addr_in_net(&a, &n));
	assert_false(addr_in_net(&none, &n));
	n = net("192.0.2.7");
	assert_int_equal(n.bits, 32);
	n = net("2001:db8::7");
	assert_int_equal(n.bits, 128);
}

static void kinds(void **state)
{
	static const struct {
		const char *a;
		bool any, loop, private;
	} want[] = {
	    {"0.0.0.0", true, false, false},
	    {"::", true, false, false},
	    {"127.255.0.1", false, true, false},
	    {"::1", false, true, false},
	    {"::ffff:127.0.0.1", false, true, false},
	    {"10.1.2.3", false, false, true},
	    {"172.15.0.1", false, false, false},
	    {"172.16.0.1", false, false, true},
	    {"172.31.255.255", false, false, true},
	    {"172.32.0.1", false, false, false},
	    {"192.168.1.1", false, false, true},
	    {"192.169.1.1", false, false, false},
	    {"169.254.1.1", false, false, true},
	    {"100.64.0.1", false, false, true},
	    {"100.128.0.1", false, false, false},
	    {"fd00::1", false, false, true},
	    {"fe80::1", false, false, true},
	    {"fec0::1", false, false, false},
	    {"2001:db8::1", false, false, false},
	    {"8.8.8.8", false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		struct addr a = ip(want[i].a);

		assert_int_equal(addr_is_any(&a), want[i].any);
		assert_int_equal(addr_is_loopback(&a), want[i].loop);
		assert_int_equal(addr_is_private(&a), want[i].private);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parsing_and_printing),
	    cmocka_unit_test(as_headers_want_it),
	    cmocka_unit_test(comparing),
	    cmocka_unit_test(ranges),
	    cmocka_unit_test(kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
