/* Flow tokens: each bit counts, one text only, and the flow stands in them (KA-11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/reg/flow_token.h"

static const struct gin_secret secret = {{1, 2, 3}}, other = {{1, 2, 4}};

static struct net_path flow(uint32_t conn)
{
	struct net_path p = {.proto = NET_TCP, .realm = 1, .conn = conn};

	assert_int_equal(addr_parse(S("192.0.2.10:40001"), 0, &p.remote), 0);
	return p;
}

static void round_trip(void **state)
{
	char text[64];
	struct net_path p = flow(77);
	uint64_t id;
	uint32_t f;
	struct buf b;

	(void)state;
	buf_init(&b, text, sizeof(text));
	assert_int_equal(flow_token_put(&secret, 0x0123456789abcdefull, &p, &b), 0);
	assert_int_equal(b.n, FLOW_TOKEN_TEXT);
	assert_true(flow_token_is(buf_text(&b)));
	assert_int_equal(flow_token_open(&secret, buf_text(&b), &id, &f), 0);
	assert_true(id == 0x0123456789abcdefull);
	assert_int_equal(f, flow_token_flow(&p));
	assert_int_equal(flow_token_open(&other, buf_text(&b), &id, &f), -EPERM);
	assert_int_equal(flow_token_open(&secret, str_head(buf_text(&b), b.n - 1), &id, &f), -EPERM);
	assert_int_equal(flow_token_open(&secret, S("fl."), &id, &f), -EPERM);
	assert_int_equal(flow_token_open(&secret, S("trunk42"), &id, &f), -EPERM);
}

/* No character may be another one: also those whose low bits are beyond the last byte. */
static void each_character_counts(void **state)
{
	static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_%@;.=";
	char text[64];
	struct net_path p = flow(77);
	uint64_t id;
	uint32_t f;
	struct buf b;

	(void)state;
	buf_init(&b, text, sizeof(text));
	assert_int_equal(flow_token_put(&secret, 42, &p, &b), 0);
	for (size_t i = 0; i < b.n; i++) {
		char was = text[i];

		for (const char *c = all; *c; c++) {
			if (*c == was)
				continue;
			text[i] = *c;
			assert_int_equal(flow_token_open(&secret, buf_text(&b), &id, &f), -EPERM);
		}
		text[i] = '\0';
		assert_int_equal(flow_token_open(&secret, buf_text(&b), &id, &f), -EPERM);
		text[i] = was;
	}
	assert_int_equal(flow_token_open(&secret, buf_text(&b), &id, &f), 0);
}

static void flows_differ(void **state)
{
	struct net_path a = flow(1), b = flow(2), udp = flow(1), udp2 = flow(2), port = flow(1);

	(void)state;
	assert_int_not_equal(flow_token_flow(&a), flow_token_flow(&b));
	udp.proto = udp2.proto = NET_UDP; /* no connection: what stands there says nothing */
	assert_int_equal(flow_token_flow(&udp), flow_token_flow(&udp2));
	assert_int_not_equal(flow_token_flow(&udp), flow_token_flow(&a));
	addr_set_port(&port.remote, 40002);
	assert_int_not_equal(flow_token_flow(&a), flow_token_flow(&port));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(round_trip),
	    cmocka_unit_test(each_character_counts),
	    cmocka_unit_test(flows_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
