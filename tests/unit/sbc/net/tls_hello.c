/* What is seen of a handshake before OpenSSL sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "sbc/net/tls_hello.h"

static void whole_records_are_counted(void **state)
{
	unsigned char b[40] = {22, 3, 1, 0, 4, 'a', 'b', 'c', 'd', 20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 9};

	(void)state;
	assert_int_equal(tls_whole_records(b, 0), 0);
	for (size_t n = 1; n < 9; n++)
		assert_int_equal(tls_whole_records(b, n), 0);
	for (size_t n = 9; n < 15; n++)
		assert_int_equal(tls_whole_records(b, n), 9);
	for (size_t n = 15; n < 29; n++)
		assert_int_equal(tls_whole_records(b, n), 15);
	assert_int_equal(tls_whole_records(b, 29), 29);
}

/* so that OpenSSL says what is wrong with it */
static void what_is_no_record_is_handed_on_at_once(void **state)
{
	static const unsigned char sip[] = "OPTIONS sip:x SIP/2.0\r\n", large[] = {22, 3, 3, 0x48, 1, 0}, most[] = {22, 3, 3, 0x48, 0, 0};

	(void)state;
	assert_int_equal(tls_whole_records(sip, 1), 1);
	assert_int_equal(tls_whole_records(sip, sizeof(sip)), sizeof(sip));
	assert_int_equal(tls_whole_records(large, sizeof(large)), sizeof(large));
	assert_int_equal(tls_whole_records(most, sizeof(most)), 0);
}

/* OpenSSL's own hello; ticket NULL: none */
static size_t hello(int version, const char *ticket, unsigned char *to, size_t cap)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *s = SSL_new(ctx);
	int n;

	assert_int_equal(SSL_set_max_proto_version(s, version), 1);
	SSL_set_bio(s, in, out);
	SSL_set_connect_state(s);
	if (ticket) {
		char copy[64];

		snprintf(copy, sizeof(copy), "%s", ticket);
		assert_int_equal(SSL_set_session_ticket_ext(s, copy, (int)strlen(copy)), 1);
	}
	assert_int_equal(SSL_do_handshake(s), -1);
	n = BIO_read(out, to, (int)cap);
	assert_true(n > 50);
	SSL_free(s);
	SSL_CTX_free(ctx);
	return (size_t)n;
}

static void a_ticket_of_tls_1_2_is_seen(void **state)
{
	unsigned char b[2048], *tight, *ems;
	size_t n;

	(void)state;
	n = hello(TLS1_2_VERSION, NULL, b, sizeof(b));
	assert_false(tls_hello_has_ticket(b, n)); /* the extension is there, empty */
	n = hello(TLS1_3_VERSION, NULL, b, sizeof(b));
	assert_false(tls_hello_has_ticket(b, n));
	n = hello(TLS1_2_VERSION, "ticket", b, sizeof(b));
	assert_true(tls_hello_has_ticket(b, n));
	/* with TLS 1.3 a key exchange comes all the same: extended_master_secret becomes supported_versions */
	ems = memmem(b, n, "\0\x17\0\0", 4);
	assert_non_null(ems);
	ems[1] = 43;
	assert_false(tls_hello_has_ticket(b, n));
	ems[1] = 0x17;
	assert_true(tls_hello_has_ticket(b, n));
	/* cut anywhere: not understood, and nothing is read behind its end */
	for (size_t cut = 0; cut < n; cut++) {
		tight = malloc(cut ? cut : 1);
		assert_non_null(tight);
		memcpy(tight, b, cut);
		assert_false(tls_hello_has_ticket(tight, cut));
		free(tight);
	}
	/* lengths inside that do not fit */
	for (size_t at = 5; at < n; at++) {
		unsigned char was = b[at];

		b[at] = 0xff;
		(void)tls_hello_has_ticket(b, n);
		b[at] = was;
	}
	b[5] = 2; /* a ServerHello */
	assert_false(tls_hello_has_ticket(b, n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole_records_are_counted),
	    cmocka_unit_test(what_is_no_record_is_handed_on_at_once),
	    cmocka_unit_test(a_ticket_of_tls_1_2_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
