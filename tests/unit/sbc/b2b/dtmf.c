/* Digits in INFO: what is read of one, which end here and which are carried over, and those that we send. */
#include "rig.h"

#include "sbc/b2b/internal.h"
#include "sbc/sip/header.h"

static struct arena_pool pool;

static bool read(const char *type, const char *body, char *ret_digit, unsigned *ret_ms)
{
	char text[2000];
	struct arena *a = arena_new(&pool);
	struct sip_perr err;
	struct sip_msg *m;
	bool r;
	int n = snprintf(text, sizeof(text), "INFO sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n"
	    "To: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 2 INFO\r\nMax-Forwards: 9\r\nContent-Type: %s\r\nContent-Length: %u\r\n\r\n%s",
	    type, (unsigned)strlen(body), body);

	assert_int_equal(sip_parse(a, text, (size_t)n, &m, &err), 0);
	r = dtmf_read(m, ret_digit, ret_ms);
	arena_free(a);
	return r;
}

static void test_reading(void **state)
{
	static const struct {
		const char *type, *body;
		char digit; /* NUL: none */
		unsigned ms;
	} t[] = {
	    {"application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", '5', 160},
	    {"application/dtmf-relay", "Signal= 5\r\nDuration= 250", '5', 250},
	    {"application/dtmf-relay", "signal=*\nduration=60\n", '*', 60},
	    {"application/dtmf-relay", "Duration=90\r\nSignal=#\r\n", '#', 90},
	    {"Application/DTMF-Relay;x=1", "Signal=10\r\n", '*', 160},
	    {"application/dtmf-relay", "Signal=11\r\nDuration=x\r\n", '#', 160},
	    {"application/dtmf-relay", "Signal=d\r\nDuration=70000\r\n", 'd', 160},
	    {"application/dtmf-relay", "Signal=12\r\n", 'A', 160},
	    {"application/dtmf-relay", "Signal=16\r\nDuration=160\r\n", '\0', 0},
	    {"application/dtmf-relay", "Signal=55\r\n", '\0', 0},
	    {"application/dtmf-relay", "Signal=\r\n", '\0', 0},
	    {"application/dtmf-relay", "Signal=flash\r\n", '\0', 0},
	    {"application/dtmf-relay", "", '\0', 0},
	    {"application/dtmf", "7", '7', 160},
	    {"application/dtmf", "7\r\n", '7', 160},
	    {"application/dtmf", "11", '#', 160},
	    {"application/dtmf", "x", '\0', 0},
	    {"text/plain", "Signal=5\r\n", '\0', 0},
	};

	(void)state;
	arena_pool_init(&pool, 4096, 4);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		unsigned ms = 0;
		char digit = '\0';

		assert_int_equal(read(t[i].type, t[i].body, &digit, &ms), t[i].digit != '\0');
		assert_int_equal(digit, t[i].digit);
		assert_int_equal(ms, t[i].ms);
	}
	arena_pool_fini(&pool);
}

#define FIVE "Content-Type: application/dtmf-relay\n", "Signal=5\r\nDuration=160\r\n"

/* an INFO of the PBX: who gets it, by the modes of both */
static void test_where_an_info_ends(void **state)
{
	static const struct {
		const char *pbx, *itsp;
		bool carried;
	} t[] = {
	    {"pass", "pass", true},
	    {"info", "info", true},
	    {"pass", "info", true},
	    {"rtp", "pass", false}, /* its digits come by RTP */
	    {"rtp", "info", false},
	    {"info", "rtp", false}, /* played to it */
	    {"pass", "rtp", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct rig *r = rig_new();
		struct sent *s;
		struct up u;

		rig_set(r, PBX, "dtmf", t[i].pbx);
		rig_set(r, ITSP, "dtmf", t[i].itsp);
		rig_compile(r);
		u = rig_call_up(r, "dtm-02");
		rig_a_request(r, &u, "dtm-02", "INFO", 2, FIVE);
		if (t[i].carried) {
			s = rig_tx(r, "INFO sip:bob@203.0.113.20");
			assert_string_equal(rig_body(s), "Signal=5\r\nDuration=160\r\n");
			rig_answer(r, s, "200 OK", "", "", NULL);
		}
		rig_tx(r, "SIP/2.0 200");
		/* what is no digit is carried as ever */
		rig_a_request(r, &u, "dtm-02", "INFO", 3, "Content-Type: text/plain\n", "hello");
		s = rig_tx(r, "INFO sip:bob@203.0.113.20");
		rig_answer(r, s, "200 OK", "", "", NULL);
		rig_tx(r, "SIP/2.0 200");
		rig_hang_up(r, &u, "dtm-02", 4);
		rig_end(r);
	}
}

/* a digit of the media goes to the leg that wants INFO, and to no other; its answer ends nothing but when the call is gone */
static void test_digits_of_the_media(void **state)
{
	struct rig *r = rig_new();
	struct up u;
	struct call *c;
	struct sent *s;

	(void)state;
	rig_set(r, ITSP, "dtmf", "info");
	rig_compile(r);
	u = rig_call_up(r, "dtm-02");
	c = b2b_call_next(r->b2b, NULL);
	dtmf_digit(c, MEDIA_A, '#', 90);
	s = rig_tx(r, "INFO sip:bob@203.0.113.20");
	assert_string_equal(rig_hdr(r, s, "Content-Type"), "application/dtmf-relay");
	assert_string_equal(rig_body(s), "Signal=#\r\nDuration=90\r\n");
	rig_answer(r, s, "415 Unsupported Media Type", "", "", NULL);
	dtmf_digit(c, MEDIA_B, '1', 90); /* towards the PBX, which has events */
	dtmf_digit(c, MEDIA_A, '2', 0);
	s = rig_tx(r, "INFO sip:bob@203.0.113.20");
	assert_string_equal(rig_body(s), "Signal=2\r\nDuration=160\r\n");
	rig_answer(r, s, "200 OK", "", "", NULL);
	rig_hang_up(r, &u, "dtm-02", 2);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_where_an_info_ends),
		cmocka_unit_test(test_digits_of_the_media),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
