/* frame.c - messages in a stream: whole, in pieces, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sbc/sip/frame.h"
#include "sbc/sip/msg.h"

#define HEAD "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n"

static const char three[] = HEAD "Content-Length: 0\r\n\r\n"
                                 "\r\n" HEAD "l:\r\n 5\r\n\r\n\r\n\r\n!"
                                 "\r\n\r\n" HEAD "CONTENT-LENGTH  : 003\r\n\r\nabc";

/* Feeds text in steps; writes one letter for each frame (M, S, P, B) and stops at the end or at B. */
static enum reason run(struct str text, size_t step, char *ret_kinds, size_t *ret_lens)
{
	struct sip_framer f = {0};
	size_t at = 0, have = 0, len = 0, n = 0;
	enum reason why = REASON_NONE;

	while (have < text.n) {
		have = text.n - have < step ? text.n : have + step;
		for (;;) {
			char *copy = malloc(have - at ? have - at : 1);
			enum sip_frame_kind k;

			assert_non_null(copy);
			memcpy(copy, text.p + at, have - at);
			k = sip_frame(&f, copy, have - at, &len, &why);
			free(copy);
			if (k == SIP_FRAME_MORE)
				break;
			assert_true(n < 15);
			ret_lens[n] = len;
			ret_kinds[n++] = "?MSPB"[k];
			ret_kinds[n] = '\0';
			if (k == SIP_FRAME_BAD)
				return why;
			at += len;
			f = (struct sip_framer){0};
		}
	}
	ret_kinds[n] = '\0';
	return REASON_NONE;
}

static void every_step(void **state)
{
	char kinds[16];
	size_t lens[16], first = strlen(HEAD "Content-Length: 0\r\n\r\n");

	(void)state;
	for (size_t step = 1; step <= sizeof(three); step++) {
		assert_int_equal(run(str_z(three), step, kinds, lens), REASON_NONE);
		assert_string_equal(kinds, "MSMPM");
		assert_int_equal(lens[0], first);
		assert_int_equal(lens[1], 2);
		assert_int_equal(lens[2], strlen(HEAD "l:\r\n 5\r\n\r\n\r\n\r\n!"));
		assert_int_equal(lens[3], 4);
		assert_int_equal(lens[4], strlen(HEAD "CONTENT-LENGTH  : 003\r\n\r\nabc"));
	}
}

/* one cut at each place */
static void every_split(void **state)
{
	(void)state;
	for (size_t cut = 1; cut < sizeof(three) - 1; cut++) {
		struct sip_framer f = {0};
		size_t len = 0;
		enum reason why;
		size_t first = strlen(HEAD "Content-Length: 0\r\n\r\n");
		enum sip_frame_kind k = sip_frame(&f, three, cut, &len, &why);

		if (cut < first) {
			assert_int_equal(k, SIP_FRAME_MORE);
			k = sip_frame(&f, three, sizeof(three) - 1, &len, &why);
		}
		assert_int_equal(k, SIP_FRAME_MSG);
		assert_int_equal(len, first);
	}
}

/* What is looked at once as a whole is framed as what comes byte by byte. */
static void at_once_or_byte_by_byte(void **state)
{
	static const char *const heads[] = {
	    HEAD "Content-Length: 4\r\nSubject: x\r\n\r\n",
	    HEAD "Subject: a\r l: 4\r\n\r\n", /* no line begins behind a bare CR */
	    HEAD "Subject: a\r\rl: 4\r\nl: 3\r\n\r\n",
	    HEAD "Subject: a\r\n l: 4\r\nlanguage: l\r\n\r\n", /* nor is a fold one */
	    HEAD "Subject: a\nl: 4\r\n\r\n",
	    HEAD "CSeq: 1 l\r\nCall-ID: l\r\nContact: <sip:l@l>\r\nl: 4\r\nl: 4\r\n\r\n",
	    HEAD "l: 4\r\nContent-Length: 3\r\n\r\n",
	    HEAD "Content-Language: 4\r\n\r\n",
	    HEAD "c: 4\r\n\r\n",
	    HEAD "l\r\n\r\n",
	    HEAD "L :4\r\nC\r\n\r\n",
	    "Content-Length: 4\r\n\r\n",
	    "l: 4\r\nl: 3\r\n\r\n",
	    "l: 4\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		char text[256], all[16], one[16];
		size_t n_all[16] = {0}, n_one[16] = {0};
		enum reason why;

		snprintf(text, sizeof(text), "%s1234", heads[i]);
		why = run(str_z(text), strlen(text), all, n_all);
		assert_int_equal(run(str_z(text), 1, one, n_one), why);
		assert_string_equal(all, one);
		assert_int_equal(n_all[0], n_one[0]);
	}
}

static void pings(void **state)
{
	char kinds[16];
	size_t lens[16];

	(void)state;
	for (size_t step = 1; step < 8; step++) {
		run(S("\r\n\r\n"), step, kinds, lens);
		assert_string_equal(kinds, "P");
		assert_int_equal(lens[0], 4);
		run(S("\r\n\r\n\r\n\r\n"), step, kinds, lens);
		assert_string_equal(kinds, "PP");
		run(S("\r\n"), step, kinds, lens); /* no ping yet */
		assert_string_equal(kinds, "");
		run(S("\r\nX"), step, kinds, lens);
		assert_string_equal(kinds, "S");
		/* inside a message it is content */
		run(S(HEAD "Content-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n"), step, kinds, lens);
		assert_string_equal(kinds, "M");
	}
}

static void bad_lengths(void **state)
{
	static const struct {
		const char *text;
		enum reason why;
	} table[] = {
	    {HEAD "Content-Length: -999\r\n\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "Content-Length: +5\r\n\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "Content-Length: 5x\r\n\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "Content-Length: 0x5\r\n\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "Content-Length: 5 5\r\n\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "Content-Length: 5, 5\r\n\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "Content-Length:\r\n\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "Content-Length: 99999999999999999999\r\n\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "Content-Length: 1\r\nl: 2\r\n\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "X-Content-Length: 2\r\n\r\nxx", REASON_BAD_LENGTH},
	    {HEAD "X: a\r\n Content-Length: 2\r\n\r\nxx", REASON_BAD_LENGTH}, /* a fold, not a header */
	    {HEAD "Content-Length: 10485760\r\n\r\nxx", REASON_TOO_LARGE},
	    {HEAD "Content-Length: 65535\r\n\r\nxx", REASON_TOO_LARGE},
	};
	char kinds[16];
	size_t lens[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str s = str_z(table[i].text);

		for (size_t step = 1; step < 9; step++) {
			if (run(s, step, kinds, lens) != table[i].why)
				fail_msg("%s", table[i].text);
			assert_string_equal(kinds, "B");
			assert_int_equal(lens[0], s.n - 2); /* the head */
		}
	}
	/* twice the same is one length */
	assert_int_equal(run(S(HEAD "Content-Length: 2\r\nl: 2\r\n\r\nxx"), 3, kinds, lens), REASON_NONE);
	assert_string_equal(kinds, "M");
}

static void limits(void **state)
{
	size_t n = 70000, len = 0;
	char *p = malloc(n);
	struct sip_framer f = {0};
	enum reason why = REASON_NONE;
	struct buf b;

	(void)state;
	assert_non_null(p);
	memset(p, 'x', n);
	assert_int_equal(sip_frame(&f, p, SIP_HEAD_MAX, &len, &why), SIP_FRAME_MORE);
	assert_int_equal(sip_frame(&f, p, SIP_HEAD_MAX + 1, &len, &why), SIP_FRAME_BAD);
	assert_int_equal(why, REASON_TOO_LARGE);
	/* the largest message that is one */
	buf_init(&b, p, n);
	buf_lit(&b, "A b SIP/2.0\r\nContent-Length: ");
	buf_u64(&b, SIP_MSG_MAX - b.n - 9);
	buf_lit(&b, "\r\n\r\n");
	f = (struct sip_framer){0};
	assert_int_equal(sip_frame(&f, p, SIP_MSG_MAX - 1, &len, &why), SIP_FRAME_MORE);
	assert_int_equal(sip_frame(&f, p, n, &len, &why), SIP_FRAME_MSG);
	assert_int_equal(len, SIP_MSG_MAX);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_step),
	    cmocka_unit_test(every_split),
	    cmocka_unit_test(at_once_or_byte_by_byte),
	    cmocka_unit_test(pings),
	    cmocka_unit_test(bad_lengths),
	    cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
