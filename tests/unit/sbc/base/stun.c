/* STUN messages: the vectors of RFC 5769, answers, and what is no STUN. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sbc/base/stun.h"

static size_t hex(const char *text, char *out)
{
	size_t n = 0;
	unsigned v = 0, digits = 0;

	for (; *text; text++) {
		if (*text == ' ')
			continue;
		v = v << 4 | (unsigned)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
		if (++digits % 2 == 0) {
			out[n++] = (char)v;
			v = 0;
		}
	}
	return n;
}

#define TID "b7e7a701bc34d686fa87dfae"

static void vectors_of_rfc_5769(void **state)
{
	struct stun_msg m;
	char b[200], text[ADDR_TEXT_MAX];
	size_t n;

	(void)state;
	n = hex("00010058 2112a442" TID "80220010 5354554e207465737420636c69656e74 00240004 6e0001ff"
	        "80290008 932ff9b151263b36 00060009 6576746a3a68367659202020"
	        "00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf",
	    b);
	assert_int_equal(n, 108);
	assert_int_equal(stun_parse(b, n, &m), 0);
	assert_int_equal(m.kind, STUN_REQUEST);
	assert_true(m.fingerprint);
	assert_int_equal(m.n_unknown, 0);
	assert_true(str_eq(m.username, S("evtj:h6vY")));
	assert_int_equal(m.priority, 0x6e0001ff);
	assert_true(m.controlled && !m.controlling && !m.use_candidate);
	assert_int_equal(m.integrity_at, 76);
	assert_memory_equal(m.tid, "\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae", 12);

	n = hex("0101003c 2112a442" TID "8022000b 7465737420766563746f7220 00200008 0001a147 e112a643"
	        "00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96",
	    b);
	assert_int_equal(stun_parse(b, n, &m), 0);
	assert_int_equal(m.kind, STUN_SUCCESS);
	assert_true(m.fingerprint);
	assert_string_equal(addr_text(&m.mapped, text), "192.0.2.1:32853");

	n = hex("01010048 2112a442" TID "8022000b 7465737420766563746f7220"
	        "00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9"
	        "00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c",
	    b);
	assert_int_equal(stun_parse(b, n, &m), 0);
	assert_string_equal(addr_text(&m.mapped, text), "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
	/* one bit anywhere behind the type: refused, or the fingerprint is no longer taken for one */
	for (size_t i = 16; i < n * 8; i++) {
		b[i / 8] = (char)(b[i / 8] ^ 1 << i % 8);
		assert_true(stun_parse(b, n, &m) == -EBADMSG || !m.fingerprint);
		b[i / 8] = (char)(b[i / 8] ^ 1 << i % 8);
	}
}

static void every_cut_is_refused(void **state)
{
	struct stun_msg m;
	char b[STUN_OUT_MAX];
	size_t n = stun_put_request(b, (const uint8_t *)"abcdefghijkl");

	(void)state;
	assert_int_equal(n, 28);
	assert_int_equal(stun_parse(b, n, &m), 0);
	assert_int_equal(m.kind, STUN_REQUEST);
	assert_int_equal(m.n_unknown, 0);
	for (size_t i = 0; i < n; i++) {
		char *copy = malloc(i + 1); /* so that reading too far is seen */

		memcpy(copy, b, i);
		assert_int_equal(stun_parse(copy, i, &m), -EBADMSG);
		free(copy);
	}
}

static void what_is_wrong_is_refused(void **state)
{
	static const char *const bad[] = {
	    "0001 0000 2112a443" TID,                             /* cookie */
	    "4001 0000 2112a442" TID,                             /* first bits */
	    "0001 0004 2112a442" TID,                             /* longer than it is */
	    "0001 0000 2112a442" TID "00060000",                  /* shorter */
	    "0001 0004 2112a442" TID "00060001",                  /* attribute ends outside */
	    "0001 0008 2112a442" TID "00060005 61626364",
	    "0001 0004 2112a442" TID "8028ffff",
	    "0001 0008 2112a442" TID "80280004 00000000",         /* fingerprint */
	    "0001 0006 2112a442" TID "0006 0002 6162",            /* no multiple of four */
	    "0101 0008 2112a442" TID "00200004 0001a147",         /* address too short */
	    "0101 000c 2112a442" TID "00200008 0003a147 00000000", /* unknown family */
	    "0101 000c 2112a442" TID "00200008 0002a147 00000000", /* four bytes of IPv6 */
	};
	struct stun_msg m;
	char b[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(stun_parse(b, hex(bad[i], b), &m), -EBADMSG);
}

static void an_answer_says_where_the_question_came_from(void **state)
{
	static const char *const from[] = {"192.0.2.9:5060", "[2001:db8::5]:1", "198.51.100.255:65535"};
	struct stun_msg q, a;
	char b[STUN_OUT_MAX], text[ADDR_TEXT_MAX];
	size_t n;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (int fp = 0; fp < 2; fp++) {
			struct addr addr;

			assert_int_equal(addr_parse(str_z(from[i]), 0, &addr), 0);
			n = stun_put_request(b, (const uint8_t *)"0123456789ab");
			assert_int_equal(stun_parse(b, n, &q), 0);
			q.fingerprint = fp;
			n = stun_put_answer(b, &q, &addr);
			assert_true(n <= STUN_OUT_MAX);
			assert_int_equal(stun_parse(b, n, &a), 0);
			assert_int_equal(a.kind, STUN_SUCCESS);
			assert_int_equal(a.fingerprint, fp);
			assert_memory_equal(a.tid, "0123456789ab", 12);
			assert_string_equal(addr_text(&a.mapped, text), from[i]);
		}
	/* 127.0.0.1 written as IPv6 is told as what it is */
	assert_int_equal(addr_parse(S("[::ffff:192.0.2.1]:99"), 0, &a.mapped), 0);
	n = stun_put_answer(b, &q, &a.mapped);
	assert_int_equal(stun_parse(b, n, &a), 0);
	assert_string_equal(addr_text(&a.mapped, text), "192.0.2.1:99");
}

/* RFC 8489 6.3.1: 420 names what must be understood and is not; what may be passed over is */
static void unknown_attributes_get_420(void **state)
{
	struct stun_msg q, a;
	struct addr addr;
	char b[400], text[4096] = "00010008 2112a442" TID "7ffe0000 fffe0000";
	size_t n;

	(void)state;
	assert_int_equal(addr_parse(S("192.0.2.9:5060"), 0, &addr), 0);
	assert_int_equal(stun_parse(b, hex(text, b), &q), 0);
	assert_int_equal(q.n_unknown, 1);
	n = stun_put_answer(b, &q, &addr);
	assert_int_equal(stun_parse(b, n, &a), 0);
	assert_int_equal(a.kind, STUN_ERROR);
	assert_true(addr_none(&a.mapped));
	assert_memory_equal(b + 20, "\x00\x09\x00\x15\x00\x00\x04\x14Unknown Attribute\0\0\0\x00\x0a\x00\x02\x7f\xfe", 36);
	/* as many as there is room for; each named once */
	strcpy(text, "00010050 2112a442" TID);
	for (int i = 0; i < 20; i++)
		strcat(text, i % 2 ? "00300000" : i < 4 ? "00310000" : i < 8 ? "00320000" : i < 12 ? "00330000" : "00340000");
	assert_int_equal(stun_parse(b, hex(text, b), &q), 0);
	assert_int_equal(q.n_unknown, 5);
	strcpy(text, "00010050 2112a442" TID);
	for (int i = 0; i < 20; i++)
		snprintf(text + strlen(text), 16, "00%02x0000", 0x40 + i);
	assert_int_equal(stun_parse(b, hex(text, b), &q), 0);
	assert_int_equal(q.n_unknown, STUN_UNKNOWN_MAX);
	q.fingerprint = true;
	n = stun_put_answer(b, &q, &addr);
	assert_true(n <= STUN_OUT_MAX);
	assert_int_equal(stun_parse(b, n, &a), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(vectors_of_rfc_5769),
	    cmocka_unit_test(every_cut_is_refused),
	    cmocka_unit_test(what_is_wrong_is_refused),
	    cmocka_unit_test(an_answer_says_where_the_question_came_from),
	    cmocka_unit_test(unknown_attributes_get_420),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
