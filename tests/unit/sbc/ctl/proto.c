/* Tests of sbc/ctl/proto.c: requests in pieces, limits, refusals, and answers there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>

#include "sbc/ctl/ctl.h"
#include "sbc/ctl/proto.h"

static void round_trip(void **state)
{
	char a[] = "number", b[] = "import", c[] = "\xff\"\\\n";
	char *argv[] = {a, b, c};
	struct proto p = {0};
	size_t n;
	char *wire = proto_write_request(3, argv, 80, true, true, S("a,b\n\"c\"\n"), &n);

	(void)state;
	assert_non_null(wire);
	/* byte by byte, and nothing before the last one */
	for (size_t i = 0; i < n; i++)
		assert_int_equal(proto_feed(&p, wire + i, 1), i + 1 == n);
	assert_int_equal(p.req.argc, 3);
	assert_string_equal(p.req.argv[1], "import");
	assert_string_equal(p.req.argv[2], "?\"\\\n");
	assert_int_equal(p.req.columns, 80);
	assert_true(p.req.json && p.req.abs && p.req.input);
	assert_string_equal(text_z(&p.input), "a,b\n\"c\"\n");
	proto_fini(&p);
	/* an empty file is an input too, no file is none */
	free(wire);
	wire = proto_write_request(2, argv, 1, false, false, S(""), &n);
	assert_int_equal(proto_feed(&p, wire, n), 1);
	assert_int_equal(p.req.columns, 100);
	assert_int_equal(p.input.n, 0);
	proto_fini(&p);
	free(wire);
	wire = proto_write_request(1, argv, 100, false, false, STR_NONE, &n);
	assert_int_equal(proto_feed(&p, wire, n), 1);
	assert_false(p.req.input);
	proto_fini(&p);
	free(wire);
}

static void refused(const char *line, const char *why)
{
	struct proto p = {0};

	assert_int_equal(proto_feed(&p, line, strlen(line)), -EBADMSG);
	if (!strstr(p.why, why))
		print_error("%s: %s\n", line, p.why);
	assert_non_null(strstr(p.why, why));
	proto_fini(&p);
}

static void malformed(void **state)
{
	(void)state;
	refused("\n", "not a JSON object");
	refused("GET / HTTP/1.1\n", "not a JSON object");
	refused("[1,2]\n", "not a JSON object");
	refused("{\"v\":1,\"v\":1,\"argv\":[]}\n", "not a JSON object");
	refused("{\"argv\":[]}\n", "another protocol version");
	refused("{\"v\":2,\"argv\":[]}\n", "another protocol version");
	refused("{\"v\":1}\n", "argv is not a list");
	refused("{\"v\":1,\"argv\":\"x\"}\n", "argv is not a list");
	refused("{\"v\":1,\"argv\":[1]}\n", "argument is not a text");
	refused("{\"v\":1,\"argv\":[\"a\",\"b\\u0000c\"]}\n", "not a JSON object"); /* jansson refuses NUL */
	refused("{\"v\":1,\"argv\":[[[[[[[[[[]]]]]]]]]]}\n", "not a JSON object");
	refused("{\"v\":1,\"argv\":[],\"stdin\":true}\nx\n", "data line is not");
	refused("{\"v\":1,\"argv\":[],\"stdin\":true}\n{\"d\":5}\n", "data line without text");
	refused("{\"v\":1,\"argv\":[],\"stdin\":true}\n{}\n", "data line without text");
}

static void limits(void **state)
{
	struct proto p = {0};
	char *big = malloc(CTL_REQUEST_MAX + 2);
	struct text t = {0};
	int r = 0;

	(void)state;
	assert_non_null(big);
	memset(big, 'x', CTL_REQUEST_MAX + 2);
	assert_int_equal(proto_feed(&p, big, CTL_REQUEST_MAX), 0);
	assert_int_equal(proto_feed(&p, big, 1), -EBADMSG);
	assert_string_equal(p.why, "line is longer than 1 MiB");
	proto_fini(&p);
	/* arguments */
	text_lit(&t, "{\"v\":1,\"argv\":[\"x\"");
	for (int i = 0; i < PROTO_ARGS_MAX; i++)
		text_lit(&t, ",\"x\"");
	text_lit(&t, "]}\n");
	assert_int_equal(proto_feed(&p, t.p, t.n), -EBADMSG);
	proto_fini(&p);
	t.n = 0;
	text_lit(&t, "{\"v\":1,\"argv\":[\"");
	text_fill(&t, 'y', PROTO_ARG_MAX + 1);
	text_lit(&t, "\"]}\n");
	assert_int_equal(proto_feed(&p, t.p, t.n), -EBADMSG);
	proto_fini(&p);
	/* input: line after line until it is too much */
	assert_int_equal(proto_feed(&p, "{\"v\":1,\"argv\":[\"a\"],\"stdin\":true}\n",
			     sizeof("{\"v\":1,\"argv\":[\"a\"],\"stdin\":true}\n") - 1),
	    0);
	t.n = 0;
	text_lit(&t, "{\"d\":\"");
	text_fill(&t, 'z', 1000000);
	text_lit(&t, "\"}\n");
	for (int i = 0; i < 9 && r == 0; i++)
		r = proto_feed(&p, t.p, t.n);
	assert_int_equal(r, -EBADMSG);
	assert_non_null(strstr(p.why, "8 MiB"));
	proto_fini(&p);
	text_fini(&t);
	free(big);
}

static void answers(void **state)
{
	static const char binary[] = "\x00\x01\xff\xfe\n pcap";
	size_t n, m = 0;
	int code = -1;
	char *text = NULL, *line = proto_write_answer('o', S("two\nlines \xff"), 0, &n);

	(void)state;
	assert_int_equal(line[n - 1], '\n');
	assert_ptr_equal(memchr(line, '\n', n), line + n - 1);
	assert_int_equal(proto_read_answer(str_n(line, n - 1), &text, &m, &code), 'o');
	assert_string_equal(text, "two\nlines ?");
	free(text);
	free(line);
	for (size_t len = 0; len <= sizeof(binary); len++) {
		text = NULL;
		line = proto_write_answer('b', str_n(binary, len), 0, &n);
		assert_int_equal(proto_read_answer(str_n(line, n - 1), &text, &m, &code), 'b');
		assert_int_equal(m, len);
		assert_memory_equal(text, binary, len);
		free(text);
		free(line);
	}
	line = proto_write_answer('x', STR_NONE, 64, &n);
	assert_int_equal(proto_read_answer(str_n(line, n - 1), &text, &m, &code), 'x');
	assert_int_equal(code, 64);
	free(line);
	text = NULL;
	assert_int_equal(proto_read_answer(S("{\"x\":1000}"), &text, &m, &code), 'x');
	assert_int_equal(code, 2);
	assert_int_equal(proto_read_answer(S("{\"b\":\"abc\"}"), &text, &m, &code), 0);
	assert_int_equal(proto_read_answer(S("{\"b\":\"a=bc\"}"), &text, &m, &code), 0);
	assert_int_equal(proto_read_answer(S("{}"), &text, &m, &code), 0);
	assert_int_equal(proto_read_answer(S(""), &text, &m, &code), 0);
	assert_null(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(round_trip),
	    cmocka_unit_test(malformed),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
