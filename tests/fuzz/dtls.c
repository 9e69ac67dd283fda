/* dtls.c - any datagrams into a handshake of DTLS, as the one who begins and as the one who waits: it says no more than it is
 * asked, never ends with keys, and a stream's words about DTLS are read or refused.
 *
 * First byte: bit 0 we begin. Then datagrams, each behind a length of two bytes.
 *
 * links: media
 */
#include <stdlib.h>
#include <string.h>

#include "media/dtls.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void words(const uint8_t *p, size_t n)
{
	static const char *const names[] = {"fingerprint", "setup", "tls-id"};
	struct sdp_attr at[3];
	struct sdp_media m = {.attrs = at};
	char *copy = malloc(n ? n : 1);
	struct dtls_said said;
	size_t from = 0;

	CHECK(copy);
	memcpy(copy, p, n);
	for (unsigned i = 0; i < 3; i++) { /* three lines of the input */
		size_t len = 0;

		while (from + len < n && copy[from + len] != '\n')
			len++;
		at[i] = (struct sdp_attr){.next = i < 2 ? &at[i + 1] : NULL, .name = str_z(names[i]), .value = str_n(copy + from, len), .type = 'a'};
		from += len + (from + len < n);
	}
	if (!dtls_read(&m, &said)) {
		char text[DTLS_PRINT_TEXT];
		struct buf b;

		CHECK(said.n > 0 && said.n <= DTLS_PRINTS_MAX && said.setup);
		buf_init(&b, text, sizeof(text));
		dtls_print_put(&b, &said.print[0]);
		CHECK(!buf_err(&b));
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t suites[] = {CRYPT_CM128_80, CRYPT_GCM128};
	static struct dtls_cert *cert;
	struct dtls_said far = {.n = 1};
	struct addr peer = {.in4 = {.sin_family = AF_INET, .sin_port = 0x1234, .sin_addr = {0x01020304}}};
	struct dtls *d;
	bool client;

	words(p, n);
	if (!cert)
		cert = dtls_cert_new(1700000000000000);
	far.print[0].hash = DTLS_SHA256;
	CHECK(cert);
	client = n && (p[0] & 1);
	d = dtls_new(cert, client, &far, suites, 2, &peer);
	CHECK(d);
	if (client)
		dtls_step(d);
	for (size_t at = 1; at + 2 <= n && d->state == DTLS_RUNNING;) {
		size_t len = (size_t)p[at] << 8 | p[at + 1], sent = 0;

		at += 2;
		if (len > n - at)
			len = n - at;
		(void)dtls_batch_put(&d->in, p + at, len);
		dtls_step(d);
		CHECK(d->in.n == 0 && d->out.n <= DTLS_BATCH_MAX);
		for (unsigned i = 0; i < d->out.n; i++)
			sent += d->out.len[i];
		/* nobody here can bring a cookie back: no flight goes out */
		CHECK(client || sent <= len + 64);
		at += len;
	}
	CHECK(d->state != DTLS_UP && d->ours.suite == CRYPT_NONE);
	dtls_free(d);
	return 0;
}
