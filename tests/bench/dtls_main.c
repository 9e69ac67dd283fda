/* dtls_main.c - what a handshake of DTLS-SRTP costs: CPU of our side as the one who begins and as the one who waits, and memory
 * while it is open, while it lingers, and when it was let go.
 *
 *     bench_dtls [HANDSHAKES]
 *
 * links: media
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "media/dtls.h"

static int64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void carry(struct dtls *from, struct dtls *to)
{
	size_t at = 0;

	for (unsigned i = 0; i < from->out.n; at += from->out.len[i++])
		(void)dtls_batch_put(&to->in, from->out.d + at, from->out.len[i]);
	from->out.n = 0;
}

static size_t in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2000, done = 0, bytes = 0;
	static const uint8_t suites[] = {CRYPT_GCM128};
	struct dtls_cert *cert[2];
	struct dtls_said said[2] = {{.n = 1}, {.n = 1}};
	struct addr at = {.in4 = {.sin_family = AF_INET}};
	int64_t ns[2] = {0, 0}, longest[2] = {0, 0};
	enum { OPEN = 200 };
	struct dtls *d[2], *open[OPEN];
	size_t before;

	for (unsigned i = 0; i < 2; i++) {
		cert[i] = dtls_cert_new((int64_t)time(NULL) * 1000000);
		if (!cert[i])
			return 1;
	}
	for (unsigned i = 0; i < 2; i++)
		said[i].print[0] = *dtls_cert_print(cert[!i]);
	for (unsigned k = 0; k < n; k++) {
		for (unsigned i = 0; i < 2; i++)
			d[i] = dtls_new(cert[i], i == 0, &said[i], suites, 1, &at);
		if (!d[0] || !d[1])
			return 1;
		for (unsigned turn = 0; turn < 20 && (d[0]->state == DTLS_RUNNING || d[1]->state == DTLS_RUNNING); turn++) {
			struct dtls *me = d[turn % 2];
			int64_t t = cpu_ns();

			dtls_step(me);
			t = cpu_ns() - t;
			ns[turn % 2] += t;
			if (t > longest[turn % 2])
				longest[turn % 2] = t;
			if (k == 0)
				for (unsigned i = 0; i < me->out.n; i++)
					bytes += me->out.len[i];
			carry(me, d[!(turn % 2)]);
		}
		done += d[0]->state == DTLS_UP && d[1]->state == DTLS_UP;
		dtls_free(d[0]);
		dtls_free(d[1]);
	}
	printf("%u handshakes, %u done, %u bytes in both directions\n", n, done, bytes);
	printf("begins: %.0f us of CPU, longest step %.0f us\n", (double)ns[0] / n / 1000, (double)longest[0] / 1000);
	printf("waits:  %.0f us of CPU, longest step %.0f us\n", (double)ns[1] / n / 1000, (double)longest[1] / 1000);
	before = in_use();
	for (unsigned k = 0; k < OPEN; k++) {
		open[k] = dtls_new(cert[0], true, &said[0], suites, 1, &at);
		dtls_step(open[k]);
	}
	printf("open, hello sent: %zu bytes\n", (in_use() - before) / OPEN);
	for (unsigned k = 0; k < OPEN; k++) {
		d[1] = dtls_new(cert[1], false, &said[1], suites, 1, &at);
		for (unsigned turn = 0; turn < 20 && open[k]->state == DTLS_RUNNING; turn++) {
			struct dtls *me = turn % 2 ? open[k] : d[1];

			carry(turn % 2 ? d[1] : open[k], me);
			dtls_step(me);
		}
		dtls_free(d[1]);
	}
	printf("done, kept for repetitions: %zu bytes\n", (in_use() - before) / OPEN);
	for (unsigned k = 0; k < OPEN; k++)
		dtls_free(open[k]);
	dtls_cert_unref(cert[0]);
	dtls_cert_unref(cert[1]);
	return done == n ? 0 : 1;
}
