/* reginfo.c - documents written and read again, the example of RFC 3680's shape, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/reg/reginfo.h"

static char log_text[8192];
static size_t log_n;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_n += (size_t)vsnprintf(log_text + log_n, sizeof(log_text) - log_n, fmt, ap);
	va_end(ap);
}

static void begin(void *ctx, uint32_t version, bool full)
{
	(void)ctx;
	note("%u %s\n", version, full ? "full" : "partial");
}

static void registration(void *ctx, struct str aor, struct str id, enum reginfo_state state)
{
	(void)ctx;
	note("%.*s %.*s %s\n", STR(aor), STR(id), reginfo_state_names[state]);
}

static void contact(void *ctx, struct str aor, const struct reginfo_contact *c)
{
	(void)ctx;
	(void)aor;
	note("- %.*s %s %s [%.*s]", STR(c->id), c->active ? "active" : "terminated", reginfo_event_names[c->event], STR(c->uri));
	if (c->has_expires)
		note(" expires=%u", c->expires_s);
	if (c->has_retry)
		note(" retry=%u", c->retry_s);
	note("\n");
}

static const struct reginfo_reader reader = {begin, registration, contact};

static int read_text(const char *text)
{
	log_n = 0;
	log_text[0] = '\0';
	return reginfo_read(str_z(text), &reader, NULL);
}

#define XML "<?xml version=\"1.0\"?>\n"
#define ROOT "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"3\" state=\"full\">"

static void reads(void **state)
{
	(void)state;
	assert_int_equal(read_text(XML ROOT "<registration aor=\"sip:joe@example.com\" id=\"as9\" state=\"active\">"
	                                    "<contact id=\"76\" state=\"active\" event=\"registered\" "
	                                    "duration-registered=\"7322\" q=\"0.8\">"
	                                    "<uri>sip:joe@pc887.example.com;a=b&amp;c</uri></contact>"
	                                    "<contact id=\"77\" state=\"terminated\" event=\"probation\" "
	                                    "expires=\"0\" retry-after=\"99999999999\"><uri>\n sip:joe@x </uri>"
	                                    "<display-name>Joe</display-name>"
	                                    "<unknown-param name=\"+x\"><b/>t</unknown-param></contact>"
	                                    "</registration>"
	                                    "<registration aor=\"sip:+49301@x\" id=\"r\" state=\"init\"/></reginfo>"),
	    0);
	assert_string_equal(log_text, "3 full\nsip:joe@example.com as9 active\n"
	                              "- 76 active registered [sip:joe@pc887.example.com;a=b&c]\n"
	                              "- 77 terminated probation [sip:joe@x] expires=0 retry=4294967295\n"
	                              "sip:+49301@x r init\n");
	/* another prefix, elements and attributes of others, with names like ours */
	assert_int_equal(read_text("<r:reginfo xmlns:r=\"urn:ietf:params:xml:ns:reginfo\" xmlns:o=\"urn:other\" version=\"0\" "
	                           "state=\"partial\" o:state=\"x\"><o:registration><o:contact/><r:contact/></o:registration>"
	                           "<r:registration aor=\"a\" id=\"1\" state=\"terminated\"><o:uri>x</o:uri>"
	                           "<r:contact id=\"2\" state=\"terminated\" event=\"unregistered\"><o:a><r:uri>no</r:uri></o:a>"
	                           "<r:uri>sip:<o:b>hidden</o:b>x</r:uri></r:contact></r:registration></r:reginfo>"),
	    0);
	assert_string_equal(log_text, "0 partial\na 1 terminated\n- 2 terminated unregistered [sip:x]\n");
	for (unsigned i = 0; i < REGINFO_EVENTS; i++) {
		char text[512];

		snprintf(text, sizeof(text),
		    ROOT "<registration aor=\"a\" id=\"1\" state=\"active\"><contact id=\"2\" state=\"active\" event=\"%s\">"
		         "<uri>x</uri></contact></registration></reginfo>",
		    reginfo_event_names[i]);
		assert_int_equal(read_text(text), 0);
		assert_non_null(strstr(log_text, reginfo_event_names[i]));
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = {
	    "", "x", "<reginfo/>", "<reginfo version=\"0\" state=\"full\"/>", /* no namespace */
	    "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" state=\"full\"/>",
	    "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"-1\" state=\"full\"/>",
	    "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"1\"/>",
	    "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"1\" state=\"most\"/>",
	    ROOT, ROOT "</registration>", ROOT "</reginfo>x", "<!DOCTYPE reginfo>" ROOT "</reginfo>",
	    "<!DOCTYPE r [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>" ROOT "&b;</reginfo>", ROOT "&x;</reginfo>",
	    ROOT "<registration aor=\"a\" id=\"1\"/></reginfo>", ROOT "<registration aor=\"a\" state=\"active\"/></reginfo>",
	    ROOT "<registration id=\"a\" state=\"active\"/></reginfo>",
	    ROOT "<registration aor=\"a\" id=\"1\" state=\"up\"/></reginfo>",
	    ROOT "<registration aor=\"a\" id=\"1\" state=\"active\"><contact id=\"1\" state=\"active\" event=\"registered\"/>"
	         "</registration></reginfo>",
	    ROOT "<registration aor=\"a\" id=\"1\" state=\"active\"><contact id=\"1\" state=\"init\" event=\"registered\">"
	         "<uri>x</uri></contact></registration></reginfo>",
	    ROOT "<registration aor=\"a\" id=\"1\" state=\"active\"><contact id=\"1\" state=\"active\" event=\"born\">"
	         "<uri>x</uri></contact></registration></reginfo>",
	    ROOT "<registration aor=\"a\" id=\"1\" state=\"active\"><contact id=\"1\" state=\"active\" event=\"registered\" "
	         "expires=\"soon\"><uri>x</uri></contact></registration></reginfo>",
	    ROOT "<registration aor=\"a&#10;b\" id=\"1\" state=\"active\"/></reginfo>",
	    ROOT "<registration aor=\"a\" id=\"1\" state=\"active\"><contact id=\"1\" state=\"active\" event=\"registered\">"
	         "<uri>sip:x@h\r\nVia: x</uri></contact></registration></reginfo>",
	    ROOT "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
	    XML "<other xmlns=\"urn:x\">" ROOT "</reginfo></other>",
	};
	char deep[1024];
	size_t n;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		if (read_text(bad[i]) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
	n = (size_t)snprintf(deep, sizeof(deep), ROOT "<registration id=\"1\" state=\"active\" aor=\"");
	memset(deep + n, 'a', REGINFO_TEXT_MAX + 1);
	strcpy(deep + n + REGINFO_TEXT_MAX + 1, "\"/></reginfo>");
	assert_int_equal(read_text(deep), -EBADMSG);
	memmove(deep + n, deep + n + 1, strlen(deep + n));
	assert_int_equal(read_text(deep), 0);
}

static void writes(void **state)
{
	struct reginfo_contact c = {.id = S("a1-4930"),
	    .uri = S("sip:+4930@192.0.2.1;x=\"<&>'\""),
	    .active = true,
	    .event = REGINFO_SHORTENED,
	    .has_expires = true,
	    .expires_s = 60,
	    .has_since = true,
	    .since_s = 7,
	    .q = 500,
	    .call_id = S("c\x01\xff@x"),
	    .cseq = 9,
	    .instance = S("<urn:uuid:1>"),
	    .params = S("audio;note=\"a;b\\\"c\";z=\xc3\xa4"),
	    .pub_gruu = S("sip:a@b;gr=urn:uuid:1")};
	char text[4096];
	struct buf b;

	(void)state;
	buf_init(&b, text, sizeof(text) - 1);
	reginfo_begin(&b, 4294967295u, false);
	reginfo_put_registration(&b, S("sip:+4930@sbc.example.net"), S("4930"), REGINFO_ACTIVE);
	reginfo_put_contact(&b, &c);
	reginfo_end_registration(&b);
	reginfo_end(&b);
	buf_z(&b);
	assert_int_equal(buf_err(&b), 0);
	assert_non_null(strstr(text, "duration-registered=\"7\" expires=\"60\" q=\"0.500\" callid=\"c??@x\" cseq=\"9\""));
	assert_non_null(strstr(text, "<unknown-param name=\"+sip.instance\">&quot;&lt;urn:uuid:1&gt;&quot;</unknown-param>"));
	assert_non_null(strstr(text, "<unknown-param name=\"audio\"></unknown-param>"));
	assert_non_null(strstr(text, "<unknown-param name=\"note\">&quot;a;b\\&quot;c&quot;</unknown-param>"));
	assert_non_null(strstr(text, "<unknown-param name=\"z\">\xc3\xa4</unknown-param>"));
	assert_non_null(strstr(text, "<gr:pub-gruu uri=\"sip:a@b;gr=urn:uuid:1\"/>"));
	assert_int_equal(read_text(text), 0);
	assert_string_equal(log_text, "4294967295 partial\nsip:+4930@sbc.example.net 4930 active\n"
	                              "- a1-4930 active shortened [sip:+4930@192.0.2.1;x=\"<&>'\"] expires=60\n");
	/* what is not said is not there */
	buf_init(&b, text, sizeof(text) - 1);
	reginfo_put_contact(&b, &(struct reginfo_contact){.id = S("1"), .uri = S("x"), .q = 1000, .event = REGINFO_EXPIRED});
	buf_z(&b);
	assert_string_equal(text, "  <contact id=\"1\" state=\"terminated\" event=\"expired\">\n   <uri>x</uri>\n  </contact>\n");
	/* every byte may come in a URI */
	for (unsigned i = 0; i < 65536; i++) {
		char two[2] = {(char)(i >> 8), (char)i};

		buf_init(&b, text, sizeof(text));
		reginfo_begin(&b, 0, true);
		reginfo_put_registration(&b, str_n(two, 2), str_n(two, 2), REGINFO_INIT);
		reginfo_end_registration(&b);
		reginfo_end(&b);
		log_n = 0;
		if (reginfo_read(buf_text(&b), &reader, NULL) != 0)
			fail_msg("%04x: %.*s", i, STR(buf_text(&b)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads),
	    cmocka_unit_test(refuses),
	    cmocka_unit_test(writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
