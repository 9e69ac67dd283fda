/* What a stream says of DTLS: fingerprints of all kinds, setup, who begins; what a session says for all its streams. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "media/dtls_sdp.h"

#define B8 "11:22:33:44:55:66:77:88"
#define B16 B8 ":" B8
#define B32 B16 ":" B16
#define B64 B32 ":" B32
#define LOW "aa:bb:cc:dd:ee:ff:00:99:aa:bb:cc:dd:ee:ff:00:99:aa:bb:cc:dd:ee:ff:00:99:aa:bb:cc:dd:ee:ff:00:98"
#define P256 "a=fingerprint:sha-256 " B32 "\r\n"
#define P512 "a=fingerprint:SHA-512 " B64 "\r\n"

static struct arena_pool pool;

static struct sdp *parse(struct arena *a, const char *session, const char *stream)
{
	static char text[20000];
	struct sdp_error err;
	struct sdp *s;

	snprintf(text, sizeof(text), "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n%s"
	                             "m=audio 4000 UDP/TLS/RTP/SAVP 8\r\n%s", session, stream);
	assert_int_equal(sdp_parse(a, str_z(text), 8, &s, &err), REASON_NONE);
	return s;
}

/* NULL or why; of the first stream */
static const char *read(const char *session, const char *stream, struct dtls_said *ret)
{
	struct arena *a = arena_new(&pool);
	const char *why = dtls_read(&parse(a, session, stream)->media[0], ret);

	arena_free(a);
	return why;
}

static void test_fingerprints(void **state)
{
	struct dtls_said s;
	char text[DTLS_PRINT_TEXT + 1];
	struct buf b;

	(void)state;
	assert_null(read("", P256 "a=setup:actpass\r\n", &s));
	assert_int_equal(s.n, 1);
	assert_int_equal(s.print[0].hash, DTLS_SHA256);
	assert_int_equal(s.print[0].digest[31], 0x88);
	assert_int_equal(s.setup, DTLS_ACTPASS);
	assert_int_equal(s.id, 0);
	/* either case in, upper out */
	assert_null(read("", "a=fingerprint:Sha-256 " LOW "\r\n", &s));
	buf_init(&b, text, sizeof(text));
	dtls_print_put(&b, &s.print[0]);
	assert_string_equal(buf_z(&b), "sha-256 AA:BB:CC:DD:EE:FF:00:99:AA:BB:CC:DD:EE:FF:00:99:AA:BB:CC:DD:EE:FF:00:99:AA:BB:CC:DD:EE:FF:00:98");
	/* the strongest of several hashes counts, and of it every line; what is too weak is passed over */
	assert_null(read("", "a=fingerprint:md5 " B16 "\r\n" P256 P512 P256 "a=fingerprint:sha-512 " B64 "\r\n", &s));
	assert_int_equal(s.n, 2);
	assert_int_equal(s.print[0].hash, DTLS_SHA512);
	assert_int_equal(s.print[1].hash, DTLS_SHA512);
	/* the longest fits where it is written */
	buf_init(&b, text, DTLS_PRINT_TEXT);
	dtls_print_put(&b, &s.print[0]);
	assert_int_equal(buf_err(&b), 0);
}

static void test_what_cannot_be_used(void **state)
{
	static const char *const bad[] = {
	    "",
	    "a=fingerprint:sha-1 11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44\r\n",
	    "a=fingerprint:md5 " B16 "\r\n",
	    "a=fingerprint:sha-256\r\n",
	    "a=fingerprint\r\n",
	    "a=fingerprint:sha-256 " B16 "\r\n",
	    "a=fingerprint:sha-256 " B32 ":11\r\n",
	    "a=fingerprint:sha-256 " B32 ":\r\n",
	    "a=fingerprint:sha-384 " B32 "\r\n",
	    "a=fingerprint:sha-256 11-22:33:44:55:66:77:88:" B8 ":" B16 "\r\n",
	    "a=fingerprint:sha-256 1G:22:33:44:55:66:77:88:" B8 ":" B16 "\r\n",
	    P256 "a=fingerprint:sha-256 00\r\n", /* one that was meant cannot be read */
	    P256 P256 P256 P256 P256,            /* DTLS_PRINTS_MAX */
	    P256 "a=setup:holdconn\r\n",
	    P256 "a=setup:\r\n",
	};
	struct dtls_said s;
	char long_id[400] = P256 "a=tls-id:";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_non_null(read("", bad[i], &s));
	memset(long_id + strlen(long_id), 'x', DTLS_ID_MAX + 1);
	assert_non_null(read("", long_id, &s));
}

/* RFC 8122 5, RFC 4145 4: once for all streams, unless one says it itself */
static void test_session_level(void **state)
{
	struct arena *a = arena_new(&pool);
	struct dtls_said s;
	struct sdp *d;

	(void)state;
	assert_null(read(P256 "a=setup:passive\r\na=tls-id:abc\r\n", "", &s));
	assert_int_equal(s.setup, DTLS_PASSIVE);
	assert_int_not_equal(s.id, 0);
	assert_null(read(P256 "a=setup:passive\r\n", P512 "a=setup:active\r\n", &s));
	assert_int_equal(s.print[0].hash, DTLS_SHA512);
	assert_int_equal(s.setup, DTLS_ACTIVE);
	d = parse(a, P256 "a=x:1\r\n" P512, "m=audio 5000 UDP/TLS/RTP/SAVP 8\r\n" P256 "m=audio 6000 UDP/TLS/RTP/SAVPF 8\r\n");
	assert_int_equal(d->n_media, 3);
	assert_null(dtls_read(&d->media[0], &s));
	assert_int_equal(s.print[0].hash, DTLS_SHA512);
	assert_null(dtls_read(&d->media[1], &s));
	assert_int_equal(s.print[0].hash, DTLS_SHA256);
	assert_null(dtls_read(&d->media[2], &s));
	assert_int_equal(s.print[0].hash, DTLS_SHA512);
	/* moved, not copied: the rest of the session stays as it was */
	assert_null(sdp_attr(d->attrs, S("fingerprint")));
	assert_non_null(sdp_attr(d->attrs, S("x")));
	arena_free(a);
}

/* a thousand lines for all streams are no thousand lines of each */
static void test_session_level_is_bounded(void **state)
{
	static char many[16 * 1000 + 1];
	struct arena *a = arena_new(&pool);
	unsigned n = 0;
	struct sdp *d;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		strcat(many, "a=setup:active\r\n");
	d = parse(a, many, "");
	for (const struct sdp_attr *at = d->media[0].attrs; at; at = at->next)
		n++;
	assert_in_range(n, 1, 4);
	arena_free(a);
}

static void test_ids(void **state)
{
	struct dtls_said s, t;

	(void)state;
	assert_null(read("", P256 "a=tls-id:abc3de65cddef001be82\r\n", &s));
	assert_null(read("", P256 "a=tls-id:abc3de65cddef001be82\r\n", &t));
	assert_memory_equal(&s, &t, sizeof(s));
	assert_null(read("", P256 "a=tls-id:abc3de65cddef001be83\r\n", &t));
	assert_int_not_equal(s.id, t.id);
}

static void test_roles(void **state)
{
	(void)state;
	assert_int_equal(dtls_role(DTLS_ACTPASS, DTLS_ACTIVE), DTLS_PASSIVE);
	assert_int_equal(dtls_role(DTLS_ACTPASS, DTLS_PASSIVE), DTLS_ACTIVE);
	assert_int_equal(dtls_role(DTLS_ACTIVE, DTLS_ACTPASS), DTLS_ACTIVE);
	assert_int_equal(dtls_role(DTLS_PASSIVE, DTLS_ACTPASS), DTLS_PASSIVE);
	assert_int_equal(dtls_role(DTLS_ACTIVE, DTLS_PASSIVE), DTLS_ACTIVE);
	assert_int_equal(dtls_role(DTLS_PASSIVE, DTLS_ACTIVE), DTLS_PASSIVE);
	/* do not fit */
	assert_int_equal(dtls_role(DTLS_ACTPASS, DTLS_ACTPASS), DTLS_SETUP_NONE);
	assert_int_equal(dtls_role(DTLS_ACTIVE, DTLS_ACTIVE), DTLS_SETUP_NONE);
	assert_int_equal(dtls_role(DTLS_PASSIVE, DTLS_PASSIVE), DTLS_SETUP_NONE);
	assert_int_equal(dtls_role(DTLS_SETUP_NONE, DTLS_ACTIVE), DTLS_SETUP_NONE);
}

static int setup(void **state)
{
	(void)state;
	arena_pool_init(&pool, 4096, 4);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(pool.live_bytes, 0);
	arena_pool_fini(&pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fingerprints),
		cmocka_unit_test(test_what_cannot_be_used),
		cmocka_unit_test(test_session_level),
		cmocka_unit_test(test_session_level_is_bounded),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_roles),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
