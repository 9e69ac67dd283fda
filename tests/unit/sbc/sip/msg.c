/* msg.c - the parser: what is accepted, what is refused, why, and with which answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/base/arena.h"
#include "sbc/sip/header.h"

static struct arena_pool pool;
static struct arena *a;
static char *copy; /* an own block of the exact size, so that reading too far is seen */

static int parse_n(const char *p, size_t n, struct sip_msg **ret, struct sip_perr *err)
{
	int e;

	free(copy);
	copy = malloc(n ? n : 1);
	assert_non_null(copy);
	if (n)
		memcpy(copy, p, n);
	arena_reset(a);
	*ret = NULL;
	e = sip_parse(a, copy, n, ret, err);
	assert_non_null(*ret);
	assert_true((e == 0) == (err->reason == REASON_NONE));
	return e;
}

static struct sip_msg *good(const char *text)
{
	struct sip_msg *m;
	struct sip_perr err;

	if (parse_n(text, strlen(text), &m, &err) != 0)
		fail_msg("%s at %zu in %s", err.why, err.at, text);
	return m;
}

static struct sip_msg *bad(const char *text, size_t n, enum reason reason, uint16_t status)
{
	struct sip_msg *m;
	struct sip_perr err;

	if (parse_n(text, n, &m, &err) != -EBADMSG || err.reason != reason || err.status != status)
		fail_msg("%s %u (%s) for %.*s", reason_info(err.reason)->name, err.status,
		    err.why ? err.why : "", (int)n, text);
	assert_non_null(err.why);
	assert_true(err.at <= n);
	return m;
}

static void assert_str(struct str s, const char *want)
{
	if (!str_eq(s, str_z(want)))
		fail_msg("\"%.*s\" is not \"%s\"", STR(s), want);
}

#define REQ "OPTIONS sip:b@h SIP/2.0\r\n"
#define VIA "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
#define FROM "From: <sip:a@h>;tag=f\r\n"
#define TO "To: <sip:b@h>\r\n"
#define CALLID "Call-ID: c\r\n"
#define CSEQ "CSeq: 1 OPTIONS\r\n"
#define ALL REQ VIA FROM TO CALLID CSEQ

static void request(void **state)
{
	struct sip_msg *m = good(
	    "\r\n\r\nINVITE sip:+1555@sbc.example:5070;user=phone SIP/2.0\r\n"
	    "Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1;rport, SIP/2.0/TCP b.example\r\n"
	    "v: SIP/2.0/UNKNOWN c.example;x;y=\"q,;\"\r\n"
	    "From: \"A, B\" <sip:a@h>;tag=f\r\nTo: <sip:b@h>;tag=t\r\nCall-ID: x@y\r\nCSeq: 7 INVITE\r\n"
	    "Max-Forwards: 9\r\nX-Foo: \"a,b;c\"\r\nContent-Length: 3\r\n\r\nabcdef");

	(void)state;
	assert_true(m->is_request);
	assert_int_equal(m->method, SIP_INVITE);
	assert_str(m->method_name, "INVITE");
	assert_str(m->ruri_raw, "sip:+1555@sbc.example:5070;user=phone");
	assert_int_equal(m->ruri.port, 5070);
	assert_int_equal(m->n_via, 3);
	assert_str(m->via.raw, "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1;rport");
	assert_str(m->via.branch, "z9hG4bK1");
	assert_true(m->via.has_rport);
	assert_str(m->from.display, "\"A, B\"");
	assert_str(m->from.tag, "f");
	assert_str(m->to.tag, "t");
	assert_str(m->call_id, "x@y");
	assert_int_equal(m->cseq, 7);
	assert_int_equal(m->max_forwards, 9);
	assert_true(m->has_max_forwards);
	assert_int_equal(m->n_hdr, 9);
	assert_str(m->body, "abc"); /* PAR-10 */
	assert_int_equal(m->head.n, strlen(copy) > 0 ? (size_t)(m->body.p - copy) - 4 : 0);
	assert_str(sip_hdr_value(m, SIP_H_OTHER), "\"a,b;c\"");
	assert_null(sip_hdr(m, SIP_H_CONTACT));
	assert_null(sip_hdr_value(m, SIP_H_CONTACT).p);
	assert_non_null(sip_hdr_next(m, sip_hdr(m, SIP_H_VIA)));
	assert_null(sip_hdr_next(m, sip_hdr_next(m, sip_hdr(m, SIP_H_VIA))));
}

static void response(void **state)
{
	struct sip_msg *m = good("SIP/2.0 183 Session  Progress \xd0\xb4\r\n" VIA FROM TO CALLID "CSeq: 3 INVITE\r\n\r\n");

	(void)state;
	assert_false(m->is_request);
	assert_int_equal(m->status, 183);
	assert_str(m->reason_phrase, "Session  Progress \xd0\xb4");
	assert_int_equal(m->method, SIP_INVITE);
	assert_int_equal(m->max_forwards, 70);
	assert_false(m->has_max_forwards);
	m = good("SIP/2.0 100 \r\n" VIA FROM TO CALLID CSEQ "\r\n");
	assert_int_equal(m->status, 100);
	assert_true(str_empty(m->reason_phrase));
	good("sip/2.0 200\r\n" VIA FROM TO CALLID CSEQ "\r\n");
#define BAD_LINE(line, reason) bad(line "\r\n" VIA FROM TO CALLID CSEQ "\r\n", strlen(line "\r\n" VIA FROM TO CALLID CSEQ "\r\n"), reason, 0)
	BAD_LINE("SIP/2.0 099 x", REASON_BAD_NUMBER);
	BAD_LINE("SIP/2.0 700 x", REASON_BAD_NUMBER);
	BAD_LINE("SIP/2.0 20 x", REASON_BAD_NUMBER);
	BAD_LINE("SIP/2.0 2000 x", REASON_BAD_NUMBER);
	BAD_LINE("SIP/2.0 -20 x", REASON_BAD_NUMBER);
	BAD_LINE("SIP/2.0  200 x", REASON_BAD_NUMBER);
	BAD_LINE("SIP/3.0 200 x", REASON_VERSION);
	BAD_LINE("SIP/x 200 x", REASON_MALFORMED);
	BAD_LINE("SIP/2.0", REASON_BAD_NUMBER);
}

/* PAR-01, -32 */
static void names(void **state)
{
	static const struct {
		const char *name;
		enum sip_hdr_id id;
	} compact[] = {{"v", SIP_H_VIA}, {"t", SIP_H_TO}, {"f", SIP_H_FROM}, {"i", SIP_H_CALL_ID},
	    {"m", SIP_H_CONTACT}, {"c", SIP_H_CONTENT_TYPE}, {"l", SIP_H_CONTENT_LENGTH},
	    {"e", SIP_H_CONTENT_ENCODING}, {"k", SIP_H_SUPPORTED}, {"s", SIP_H_SUBJECT},
	    {"u", SIP_H_ALLOW_EVENTS}, {"o", SIP_H_EVENT}, {"r", SIP_H_REFER_TO}, {"b", SIP_H_REFERRED_BY},
	    {"x", SIP_H_SESSION_EXPIRES}, {"y", SIP_H_IDENTITY},
	    /* Reject-Contact, Request-Disposition, Accept-Contact, Identity-Info: nobody reads them */
	    {"j", SIP_H_OTHER}, {"d", SIP_H_OTHER}, {"a", SIP_H_OTHER}, {"n", SIP_H_OTHER}};

	(void)state;
	for (unsigned id = 0; id < SIP_H_OTHER; id++) {
		struct str name = sip_hdr_name((enum sip_hdr_id)id);
		char t[40];

		assert_true(name.n > 1 && name.n < sizeof(t));
		assert_int_equal(sip_hdr_parse(name), id);
		for (size_t i = 0; i < name.n; i++)
			t[i] = name.p[i] >= 'a' && name.p[i] <= 'z' ? (char)(name.p[i] - 32) : name.p[i];
		assert_int_equal(sip_hdr_parse(str_n(t, name.n)), id);
		for (size_t i = 0; i < name.n; i++)
			t[i] = chr_lower(name.p[i]);
		assert_int_equal(sip_hdr_parse(str_n(t, name.n)), id);
		/* near misses */
		if (id != SIP_H_TO) /* "T" is its compact form */
			assert_int_not_equal(sip_hdr_parse(str_head(name, name.n - 1)), id);
		t[name.n] = 'x';
		assert_int_equal(sip_hdr_parse(str_n(t, name.n + 1)), SIP_H_OTHER);
		for (size_t i = 0; i < name.n; i++) {
			char keep = t[i];

			t[i] = (char)(keep ^ 0x40);
			assert_int_equal(sip_hdr_parse(str_n(t, name.n)), SIP_H_OTHER);
			t[i] = keep;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(compact); i++) {
		char upper = (char)(compact[i].name[0] - 32);

		assert_int_equal(sip_hdr_parse(str_z(compact[i].name)), compact[i].id);
		assert_int_equal(sip_hdr_parse(str_n(&upper, 1)), compact[i].id);
	}
	assert_int_equal(sip_hdr_parse(S("via ")), SIP_H_OTHER);
	assert_int_equal(sip_hdr_parse(STR_NONE), SIP_H_OTHER);
	assert_true(str_empty(sip_hdr_name(SIP_H_OTHER)));
	assert_str(sip_hdr_name(SIP_H_P_EARLY_MEDIA), "P-Early-Media");
	assert_str(sip_hdr_name(SIP_H_SESSION_EXPIRES), "Session-Expires");
	/* all in compact form */
	assert_int_equal(good(REQ "v:SIP/2.0/UDP h\r\nf:<sip:a@h>\r\nt:<sip:b@h>\r\ni:c\r\n" CSEQ "l:0\r\nm:<sip:x>\r\n\r\n")->n_via, 1);
}

static void methods_and_texts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SIP_UNKNOWN; i++)
		assert_int_equal(sip_method_parse(sip_method_name((enum sip_method)i)), i);
	assert_int_equal(sip_method_parse(S("invite")), SIP_UNKNOWN);
	assert_int_equal(sip_method_parse(S("INVITES")), SIP_UNKNOWN);
	assert_true(str_empty(sip_method_name(SIP_UNKNOWN)));
	assert_str(sip_status_text(100), "Trying");
	assert_str(sip_status_text(486), "Busy Here");
	assert_str(sip_status_text(608), "Rejected");
	assert_str(sip_status_text(499), "Request Failure");
	assert_str(sip_status_text(299), "Success");
	assert_str(sip_status_text(0), "Unknown");
	/* every status that the catalogue answers with has a text of its own */
	for (unsigned r = 1; r < REASON_COUNT; r++) {
		unsigned s = reason_info((enum reason)r)->sip;

		if (s)
			assert_false(str_eq(sip_status_text(s), sip_status_text(s / 100 * 100 + 99)));
	}
	assert_int_equal(good("invite sip:b@h SIP/2.0\r\n" VIA FROM TO CALLID "CSeq: 1 invite\r\n\r\n")->method, SIP_UNKNOWN);
}

/* PAR-02 */
static void folding(void **state)
{
	struct sip_msg *m = good(REQ "Via\t:\r\n SIP/2.0/UDP\r\n\t h;branch=z9hG4bK1\r\nFROM : <sip:a@h>\r\n ;\r\n tag = f\r\n" TO CALLID
	    "CSeq:\r\n 1\r\n OPTIONS\r\nSubject: a\r\n  b\r\n\tc\r\n \r\nZz:\r\n\r\n");

	(void)state;
	assert_str(m->from.tag, "f");
	assert_str(sip_hdr_value(m, SIP_H_SUBJECT), "a    b  \tc");
	assert_str(m->via.host, "h");
	assert_non_null(sip_hdr(m, SIP_H_OTHER));
	assert_str(sip_hdr_value(m, SIP_H_OTHER), "");
	assert_int_equal(m->cseq, 1);
}

/* A good message cut at each byte: never accepted before the end, never a byte read behind. */
static void every_truncation(void **state)
{
	static const char text[] = "INVITE sip:b@h SIP/2.0\r\n" VIA "From: \"x\\\"\" <sip:a@h>;tag=f\r\nTo:\r\n <sip:b@h>\r\n" CALLID
	    "CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:a@192.0.2.1>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n";
	struct sip_msg *m;
	struct sip_perr err;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		assert_int_equal(parse_n(text, n, &m, &err), -EBADMSG);
		if (n < strlen("INVITE sip:b@h SIP/2.0\r\n" VIA))
			assert_int_equal(err.status, 0);
		else if (n > sizeof(text) - 1 - 5)
			assert_int_equal(err.reason, REASON_BODY_SHORT);
		assert_true(err.close);
	}
	assert_int_equal(parse_n(text, sizeof(text) - 1, &m, &err), 0);
}

/* Each byte of a good message replaced by each other: no crash, and no header ever holds a line end. */
static void every_byte_changed(void **state)
{
	static const char text[] = ALL "Max-Forwards: 70\r\nm: \"a\" <sip:a@h>\r\nl: 1\r\n\r\nx";
	char t[sizeof(text)];
	struct sip_msg *m;
	struct sip_perr err;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		for (unsigned c = 0; c < 256; c++) {
			memcpy(t, text, sizeof(text));
			t[i] = (char)c;
			(void)parse_n(t, sizeof(text) - 1, &m, &err);
			for (unsigned h = 0; h < m->n_hdr; h++) {
				assert_null(memchr(m->hdr[h].value.p, '\n', m->hdr[h].value.n));
				assert_null(memchr(m->hdr[h].value.p, '\r', m->hdr[h].value.n));
			}
		}
	}
}

static void missing(void **state)
{
	static const char *const lines[] = {VIA, FROM, TO, CALLID, CSEQ};

	(void)state;
	for (size_t skip = 0; skip < ARRAY_LEN(lines); skip++) {
		char t[512] = REQ;

		for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
			size_t n = strlen(t);

			if (i != skip)
				memcpy(t + n, lines[i], strlen(lines[i]) + 1);
		}
		memcpy(t + strlen(t), "\r\n", 3);
		bad(t, strlen(t), REASON_HEADER_MISSING, skip == 0 ? 0 : 400);
	}
	good(ALL "\r\n"); /* PAR-19: Max-Forwards */
}

#define BAD(text, reason, status) bad(text, sizeof(text) - 1, reason, status)

static void twice(void **state)
{
	(void)state;
	BAD(ALL FROM "\r\n", REASON_HEADER_TWICE, 400);
	BAD(ALL TO "\r\n", REASON_HEADER_TWICE, 400);
	BAD(ALL CALLID "\r\n", REASON_HEADER_TWICE, 400);
	BAD(ALL CSEQ "\r\n", REASON_HEADER_TWICE, 400);
	BAD(ALL "i: c\r\n\r\n", REASON_HEADER_TWICE, 400);
	BAD(ALL "Max-Forwards: 7\r\nMax-Forwards: 7\r\n\r\n", REASON_HEADER_TWICE, 400);
	BAD(ALL "Content-Type: application/sdp\r\nc: text/plain\r\n\r\n", REASON_HEADER_TWICE, 400);
	BAD("SIP/2.0 200 OK\r\n" VIA FROM TO CALLID CSEQ FROM "\r\n", REASON_HEADER_TWICE, 0);
	BAD("ACK sip:b@h SIP/2.0\r\n" VIA FROM TO CALLID "CSeq: 1 ACK\r\n" FROM "\r\n", REASON_HEADER_TWICE, 0);
}

static void number_ranges(void **state)
{
#define NO_CSEQ REQ VIA FROM TO CALLID
	(void)state;
	assert_int_equal(good(NO_CSEQ "CSeq: 2147483647 OPTIONS\r\n\r\n")->cseq, 2147483647);
	assert_int_equal(good(NO_CSEQ "CSeq: 0 OPTIONS\r\n\r\n")->cseq, 0);
	assert_int_equal(good(NO_CSEQ "CSeq: 0000000000000012 OPTIONS\r\n\r\n")->cseq, 12);
	BAD(NO_CSEQ "CSeq: 2147483648 OPTIONS\r\n\r\n", REASON_BAD_NUMBER, 400);
	BAD(NO_CSEQ "CSeq: 36893488147419103232 OPTIONS\r\n\r\n", REASON_BAD_NUMBER, 400);
	BAD(NO_CSEQ "CSeq: -1 OPTIONS\r\n\r\n", REASON_MALFORMED, 400);
	BAD(NO_CSEQ "CSeq: OPTIONS\r\n\r\n", REASON_MALFORMED, 400);
	BAD(NO_CSEQ "CSeq: 1\r\n\r\n", REASON_MALFORMED, 400);
	BAD(NO_CSEQ "CSeq: 1OPTIONS\r\n\r\n", REASON_MALFORMED, 400);
	BAD(NO_CSEQ "CSeq: 1 OPTIONS x\r\n\r\n", REASON_MALFORMED, 400);
	BAD(NO_CSEQ "CSeq:\r\n\r\n", REASON_MALFORMED, 400);
	BAD(NO_CSEQ "CSeq: 1 INVITE\r\n\r\n", REASON_CSEQ_METHOD, 400);
	BAD(NO_CSEQ "CSeq: 1 options\r\n\r\n", REASON_CSEQ_METHOD, 400);
	BAD("NEW sip:b@h SIP/2.0\r\n" VIA FROM TO CALLID "CSeq: 1 INVITE\r\n\r\n", REASON_METHOD_UNKNOWN, 501);
	assert_int_equal(good(ALL "Max-Forwards: 255\r\n\r\n")->max_forwards, 255);
	assert_int_equal(good(ALL "Max-Forwards: 0\r\n\r\n")->max_forwards, 0);
	assert_int_equal(good(ALL "Max-Forwards: 0068\r\n\r\n")->max_forwards, 68);
	BAD(ALL "Max-Forwards: 256\r\n\r\n", REASON_BAD_NUMBER, 400);
	BAD(ALL "Max-Forwards: 99999999999999999999999\r\n\r\n", REASON_BAD_NUMBER, 400);
	BAD(ALL "Max-Forwards: -1\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "Max-Forwards:\r\n\r\n", REASON_MALFORMED, 400);
	BAD("SIP/2.0 200 OK\r\n" VIA FROM TO CALLID "CSeq: 2147483648 INVITE\r\n\r\n", REASON_BAD_NUMBER, 0);
}

static void lengths(void **state)
{
	(void)state;
	assert_str(good(ALL "\r\nrest")->body, "rest");
	assert_str(good(ALL "Content-Length: 2\r\n\r\nrest")->body, "re");
	assert_str(good(ALL "Content-Length: 0\r\n\r\nrest")->body, "");
	assert_str(good(ALL "Content-Length: 002\r\n\r\nrest")->body, "re");
	assert_str(good(ALL "Content-Length: 2\r\nl: 2\r\n\r\nrest")->body, "re");
	BAD(ALL "Content-Length: 5\r\n\r\nrest", REASON_BODY_SHORT, 400);
	BAD(ALL "Content-Length: 4294967295\r\n\r\nrest", REASON_BODY_SHORT, 400);
	BAD(ALL "Content-Length: 4294967296\r\n\r\nrest", REASON_BAD_LENGTH, 400);
	BAD(ALL "Content-Length: -1\r\n\r\nrest", REASON_BAD_LENGTH, 400);
	BAD(ALL "Content-Length: 2x\r\n\r\nrest", REASON_BAD_LENGTH, 400);
	BAD(ALL "Content-Length: 2, 2\r\n\r\nrest", REASON_BAD_LENGTH, 400);
	BAD(ALL "Content-Length:\r\n\r\nrest", REASON_BAD_LENGTH, 400);
	BAD(ALL "Content-Length: 2\r\nl: 3\r\n\r\nrest", REASON_BAD_LENGTH, 400);
	BAD("SIP/2.0 200 OK\r\n" VIA FROM TO CALLID CSEQ "l: 9\r\n\r\nx", REASON_BODY_SHORT, 0); /* PAR-11 */
}

/* Bytes that two readers could see differently. */
static void smuggling(void **state)
{
	(void)state;
	BAD(ALL "X\x01: a\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X\x0b : a\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X\r: a\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X\n: a\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X\0: a\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X y: a\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X\xc2\xa0: a\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL ": a\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X\r\n : a\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: a\rContact: b\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: a\nContact: b\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: a\n\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: a\n\n\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: a\r\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: a\0b\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: \"a\0b\"\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: \\\0\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: \"a\\\rb\"\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: \"a\\\nb\"\r\n\r\n", REASON_MALFORMED, 400);
	BAD(ALL "X: a\x1b[0m\r\n\r\n", REASON_MALFORMED, 400);
	BAD("OPTIONS sip:b@h SIP/2.0\n" VIA FROM TO CALLID CSEQ "\r\n", REASON_MALFORMED, 0);
	BAD("OPTIONS sip:b@h SIP/2.0\r\n " VIA FROM TO CALLID CSEQ "\r\n", REASON_MALFORMED, 0);
	BAD("OPTIONS sip:b@h\r\n SIP/2.0\r\n" VIA FROM TO CALLID CSEQ "\r\n", REASON_MALFORMED, 0);
	/* quoted-pair may hold one, also in a folded value (RFC 4475 intmeth) */
	{
		static const char text[] = ALL "X: \"a\\\0\r\n b\\\x07\" c\r\nY: d\r\n\r\n";
		struct sip_msg *m;
		struct sip_perr err;

		assert_int_equal(parse_n(text, sizeof(text) - 1, &m, &err), 0);
		assert_int_equal(m->n_hdr, 7);
	}
}

static void start_lines(void **state)
{
#define REST "\r\n" VIA FROM TO CALLID CSEQ "\r\n"
	(void)state;
	BAD("OPTIONS  sip:b@h SIP/2.0" REST, REASON_MALFORMED, 400);
	BAD("OPTIONS sip:b@h  SIP/2.0" REST, REASON_MALFORMED, 400);
	BAD("OPTIONS sip:b@h SIP/2.0 " REST, REASON_MALFORMED, 400);
	BAD("OPTIONS\tsip:b@h SIP/2.0" REST, REASON_MALFORMED, 0);
	BAD("OPTIONS sip:b@h" REST, REASON_MALFORMED, 0);
	BAD("OPTIONS" REST, REASON_MALFORMED, 0);
	BAD("OPT(IONS sip:b@h SIP/2.0" REST, REASON_MALFORMED, 0);
	BAD(" OPTIONS sip:b@h SIP/2.0" REST, REASON_MALFORMED, 0);
	BAD("OPTIONS <sip:b@h> SIP/2.0" REST, REASON_MALFORMED, 400);
	BAD("OPTIONS sip:b@h;x= y SIP/2.0" REST, REASON_MALFORMED, 400);
	BAD("OPTIONS sip:b@h?Route=%3Csip:evil%3E SIP/2.0" REST, REASON_MALFORMED, 400); /* PAR-16 */
	BAD("OPTIONS sip:b@h? SIP/2.0" REST, REASON_MALFORMED, 400);
	BAD("OPTIONS sip:2001:db8::1 SIP/2.0" REST, REASON_MALFORMED, 400); /* PAR-28 */
	BAD("OPTIONS sip:b@h SIP/7.0" REST, REASON_VERSION, 505); /* PAR-17 */
	BAD("OPTIONS sip:b@h SIP/20" REST, REASON_MALFORMED, 0);
	BAD("OPTIONS sip:b@h SIP/2.00" REST, REASON_VERSION, 505);
	BAD("OPTIONS sip:b@h SIP/99999999999999.0" REST, REASON_VERSION, 505);
	BAD("OPTIONS sip:b@h HTTP/1.1" REST, REASON_MALFORMED, 0);
	BAD("GET / HTTP/1.1\r\nHost: x\r\n\r\n", REASON_MALFORMED, 0);
	BAD("", REASON_MALFORMED, 0);
	BAD("\r\n\r\n", REASON_MALFORMED, 0);
	BAD("ACK sip:b@h;x= y SIP/2.0\r\n" VIA FROM TO CALLID "CSeq: 1 ACK\r\n\r\n", REASON_MALFORMED, 0);
	assert_int_equal(good("OPTIONS x:y sip/2.0" REST)->ruri.scheme, SIP_SCHEME_OTHER); /* PAR-21: 416 by the core */
}

static void vias(void **state)
{
#define WITH_VIA(v) REQ "Via: " v "\r\n" FROM TO CALLID CSEQ "\r\n"
	(void)state;
	BAD(WITH_VIA(""), REASON_MALFORMED, 0);
	BAD(WITH_VIA(",,"), REASON_MALFORMED, 0);
	BAD(WITH_VIA("SIP/2.0/UDP"), REASON_MALFORMED, 400);
	BAD(WITH_VIA("SIP/2.0/UDP h;;"), REASON_MALFORMED, 400);
	BAD(WITH_VIA("SIP/2.0/UDP h;branch=z9hG4bK"), REASON_MALFORMED, 400);
	BAD(WITH_VIA("SIP/2.0/UDP h;rport=70000"), REASON_MALFORMED, 400);
	BAD(WITH_VIA("SIP/2.0/UDP 2001:db8::1"), REASON_MALFORMED, 400);
	/* only the top one is read: PAR-31 */
	assert_int_equal(good(WITH_VIA("SIP/2.0/UDP h, what/ever;;\r\nVia: x=\"q,r\""))->n_via, 3);
}

static void to_and_from(void **state)
{
#define WITH_TO(v) REQ VIA FROM "To: " v "\r\n" CALLID CSEQ "\r\n"
	(void)state;
	BAD(WITH_TO(""), REASON_MALFORMED, 400);
	BAD(WITH_TO("\"Mr. J <sip:j@x>"), REASON_MALFORMED, 400); /* PAR-14 */
	BAD(WITH_TO("Bell, A <sip:j@x>"), REASON_MALFORMED, 400);
	BAD(WITH_TO("< sip:j@x >"), REASON_MALFORMED, 400);
	BAD(WITH_TO("<sip:j@x>, <sip:k@x>"), REASON_MALFORMED, 400);
	BAD(WITH_TO("<sip:j@x"), REASON_MALFORMED, 400);
	BAD(WITH_TO("sip:j@x?y=z"), REASON_MALFORMED, 400);
	assert_int_equal(good(WITH_TO("isbn:123"))->to.uri.scheme, SIP_SCHEME_OTHER); /* PAR-21 */
	assert_str(good(WITH_TO("caller<sip:j@x>;tag=1"))->to.display, "caller");
	BAD(REQ VIA FROM TO "Call-ID: a b\r\n" CSEQ "\r\n", REASON_MALFORMED, 400);
	BAD(REQ VIA FROM TO "Call-ID: a\tb\r\n" CSEQ "\r\n", REASON_MALFORMED, 400);
	BAD(REQ VIA FROM TO "Call-ID: \"\\\0\"\r\n" CSEQ "\r\n", REASON_MALFORMED, 400);
	BAD(REQ VIA FROM TO "Call-ID:\r\n" CSEQ "\r\n", REASON_MALFORMED, 400);
}

static char *repeat(const char *head, const char *line, unsigned times, size_t *ret_n)
{
	size_t cap = strlen(head) + strlen(line) * times + 3;
	char *p = malloc(cap);
	struct buf b;

	assert_non_null(p);
	buf_init(&b, p, cap);
	buf_str(&b, str_z(head));
	for (unsigned i = 0; i < times; i++)
		buf_str(&b, str_z(line));
	buf_lit(&b, "\r\n");
	assert_int_equal(buf_err(&b), 0);
	*ret_n = b.n;
	return p;
}

/* PAR-34, -09, -31 */
static void limits(void **state)
{
	size_t n;
	char *p;
	struct sip_msg *m;
	struct sip_perr err;

	(void)state;
	p = repeat(ALL, "X: y\r\n", SIP_HDR_MAX - 5, &n);
	assert_int_equal(parse_n(p, n, &m, &err), 0);
	assert_int_equal(m->n_hdr, SIP_HDR_MAX);
	assert_str(m->hdr[SIP_HDR_MAX - 1].value, "y");
	assert_str(m->hdr[0].name, "Via");
	free(p);
	p = repeat(ALL, "X: y\r\n", SIP_HDR_MAX - 4, &n);
	bad(p, n, REASON_TOO_MANY_HEADERS, 400);
	free(p);
	p = repeat(ALL, "Via: SIP/2.0/UNKNOWN host;x;y=\"q\"\r\n", 70, &n);
	assert_int_equal(parse_n(p, n, &m, &err), 0);
	assert_int_equal(m->n_via, 71);
	free(p);
	p = repeat(ALL, "Via: SIP/2.0/UDP a, SIP/2.0/UDP b\r\n", 40, &n);
	bad(p, n, REASON_TOO_MANY_HEADERS, 400);
	free(p);
	/* a value: at the limit, and over it */
	p = repeat(ALL "Zz: ", "x", SIP_HDR_LEN_MAX, &n);
	p = realloc(p, n + 2);
	assert_non_null(p);
	memcpy(p + n, "\r\n", 2);
	assert_int_equal(parse_n(p, n + 2, &m, &err), 0);
	assert_int_equal(sip_hdr_value(m, SIP_H_OTHER).n, SIP_HDR_LEN_MAX);
	free(p);
	p = repeat(ALL "Zz: ", "x", SIP_HDR_LEN_MAX + 1, &n);
	p = realloc(p, n + 2);
	assert_non_null(p);
	memcpy(p + n, "\r\n", 2);
	bad(p, n + 2, REASON_MALFORMED, 400);
	free(p);
}

static void long_uri_and_message(void **state)
{
	size_t cap = SIP_MSG_MAX + 2000, n;
	char *p = malloc(cap);
	struct buf b;
	struct sip_msg *m;
	struct sip_perr err;

	(void)state;
	assert_non_null(p);
	for (unsigned extra = 0; extra < 2; extra++) {
		buf_init(&b, p, cap);
		buf_lit(&b, "OPTIONS sip:");
		for (unsigned i = 4; i < SIP_URI_LEN_MAX + extra; i++)
			buf_chr(&b, 'h');
		buf_lit(&b, " SIP/2.0\r\n" VIA FROM TO CALLID CSEQ "\r\n");
		if (extra)
			bad(p, b.n, REASON_URI_TOO_LONG, 414);
		else
			assert_int_equal(parse_n(p, b.n, &m, &err), 0);
	}
	/* 60 KiB of URI */
	buf_init(&b, p, cap);
	buf_lit(&b, "OPTIONS sip:");
	for (unsigned i = 0; i < 61440; i++)
		buf_chr(&b, 'h');
	buf_lit(&b, " SIP/2.0\r\n" VIA FROM TO CALLID CSEQ "\r\n");
	bad(p, b.n, REASON_URI_TOO_LONG, 414);
	buf_init(&b, p, cap);
	buf_lit(&b, ALL "\r\n");
	n = SIP_MSG_MAX;
	memset(p + b.n, 'x', cap - b.n);
	assert_int_equal(parse_n(p, n, &m, &err), 0);
	assert_int_equal(m->body.n, n - b.n);
	bad(p, n + 1, REASON_TOO_LARGE, 513);
	free(p);
}

static void memory_is_bounded(void **state)
{
	(void)state;
	/* what parse takes from the arena does not grow with what a message says */
	assert_int_equal(good(ALL "\r\n")->n_hdr, 5);
	assert_true(arena_bytes(a) < 4096);
}

static int setup(void **state)
{
	(void)state;
	arena_pool_init(&pool, 8192, 4);
	a = arena_new(&pool);
	return a ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(copy);
	arena_free(a);
	arena_pool_fini(&pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(request),
	    cmocka_unit_test(response),
	    cmocka_unit_test(names),
	    cmocka_unit_test(methods_and_texts),
	    cmocka_unit_test(folding),
	    cmocka_unit_test(every_truncation),
	    cmocka_unit_test(every_byte_changed),
	    cmocka_unit_test(missing),
	    cmocka_unit_test(twice),
	    cmocka_unit_test(number_ranges),
	    cmocka_unit_test(lengths),
	    cmocka_unit_test(smuggling),
	    cmocka_unit_test(start_lines),
	    cmocka_unit_test(vias),
	    cmocka_unit_test(to_and_from),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(long_uri_and_message),
	    cmocka_unit_test(memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
