/* bench_srtp - what SRTP costs per packet: libsrtp with the ciphers it is built with here, and with ours, in one run.
 * links: media
 *
 *     bench_srtp [SESSIONS...]        default: 1 1000 4000
 *
 * Each session seals and opens packets of 172 bytes (12 of header, 20 ms of G.711) in turn with all others, as a relay
 * does: neighbours in time are of different calls, so their keys and states are not in the cache. Nanoseconds of CPU time
 * per packet; the copy that gives the opener its packet (about 5 ns) is in both columns.
 */
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "media/crypt.h"
#include "media/crypt_types.h"

#define PAYLOAD 160
#define PACKET (12 + PAYLOAD)

static const struct {
	const char *name;
	void (*policy)(srtp_crypto_policy_t *p);
	uint8_t suite;
} suites[] = {
    {"AES_CM_128_HMAC_SHA1_80", srtp_crypto_policy_set_rtp_default, CRYPT_CM128_80},
    {"AES_256_CM_HMAC_SHA1_80", srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80, CRYPT_CM256_80},
    {"AEAD_AES_128_GCM", srtp_crypto_policy_set_aes_gcm_128_16_auth, CRYPT_GCM128},
    {"AEAD_AES_256_GCM", srtp_crypto_policy_set_aes_gcm_256_16_auth, CRYPT_GCM256},
};

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void packet(uint8_t *d, unsigned session, unsigned seq)
{
	memset(d, 0x5a, PACKET);
	d[0] = 0x80;
	d[1] = 8;
	d[2] = (uint8_t)(seq >> 8);
	d[3] = (uint8_t)seq;
	memcpy(d + 8, &session, 4);
}

static void fail(const char *what)
{
	fprintf(stderr, "bench_srtp: %s\n", what);
	exit(2);
}

static srtp_t stock_new(const uint8_t *key, void (*set)(srtp_crypto_policy_t *), bool seals)
{
	srtp_policy_t p;
	srtp_t s;

	memset(&p, 0, sizeof(p));
	set(&p.rtp);
	set(&p.rtcp);
	p.ssrc.type = seals ? ssrc_any_outbound : ssrc_any_inbound;
	p.key = (unsigned char *)(uintptr_t)key;
	p.window_size = 128;
	if (srtp_create(&s, &p))
		fail("srtp_create");
	return s;
}

/* library: libsrtp called directly (what its types are was decided before) or by crypt.h */
static void run(unsigned which, unsigned n, bool ours, double *ret_seal, double *ret_open)
{
	unsigned rounds = 200000 / n, total = 0;
	uint8_t key[CRYPT_KEY_MAX], (*wire)[PACKET + CRYPT_TAIL], work[PACKET + CRYPT_TAIL];
	void **seal = calloc(n, sizeof(*seal)), **open = calloc(n, sizeof(*open));
	double t, sealed = 0, opened = 0;

	if (rounds < 3)
		rounds = 3;
	if (!ours && n > 1)
		rounds = rounds > 10 ? 10 : rounds;
	wire = calloc(n, sizeof(*wire));
	if (!seal || !open || !wire)
		fail("out of memory");
	for (unsigned i = 0; i < n; i++) {
		struct crypt_key k = {.suite = suites[which].suite};

		for (unsigned b = 0; b < sizeof(key); b++)
			key[b] = (uint8_t)(b * 7 + i * 13 + (i >> 8));
		memcpy(k.key, key, sizeof(key));
		seal[i] = ours ? (void *)crypt_new(&k, true) : (void *)stock_new(key, suites[which].policy, true);
		open[i] = ours ? (void *)crypt_new(&k, false) : (void *)stock_new(key, suites[which].policy, false);
		if (!seal[i] || !open[i])
			fail("no context");
	}
	for (unsigned r = 0; r <= rounds; r++) {
		size_t len = 0;
		bool ok = true;

		for (unsigned i = 0; i < n; i++)
			packet(wire[i], i, r + 1);
		t = cpu_ns();
		for (unsigned i = 0; i < n; i++) {
			if (ours) {
				len = PACKET;
				ok &= crypt_seal_rtp(seal[i], NULL, wire[i], &len, sizeof(wire[i])) == CRYPT_OK;
			} else {
				int l = PACKET;

				ok &= srtp_protect(seal[i], wire[i], &l) == srtp_err_status_ok;
				len = (size_t)l;
			}
		}
		sealed += r ? cpu_ns() - t : 0; /* the first packet of each makes its stream */
		t = cpu_ns();
		for (unsigned i = 0; i < n; i++) {
			memcpy(work, wire[i], sizeof(work));
			if (ours) {
				size_t l = len;

				ok &= crypt_open_rtp(open[i], NULL, work, &l) == CRYPT_OK && l == PACKET;
			} else {
				int l = (int)len;

				ok &= srtp_unprotect(open[i], work, &l) == srtp_err_status_ok && l == PACKET;
			}
		}
		opened += r ? cpu_ns() - t : 0;
		total += r ? n : 0;
		if (!ok)
			fail("a packet was refused");
	}
	for (unsigned i = 0; i < n; i++) {
		if (ours) {
			crypt_free(seal[i]);
			crypt_free(open[i]);
		} else {
			srtp_dealloc(seal[i]);
			srtp_dealloc(open[i]);
		}
	}
	free(seal);
	free(open);
	free(wire);
	*ret_seal = sealed / total;
	*ret_open = opened / total;
}

int main(int argc, char **argv)
{
	static const unsigned usual[] = {1, 1000, 4000};
	unsigned sessions[8], n = 0;
	double stock[8][4][2];

	for (int i = 1; i < argc && n < 8; i++) {
		long v = strtol(argv[i], NULL, 10);

		if (v < 1 || v > 1000000) {
			fprintf(stderr, "usage: bench_srtp [SESSIONS...]\n");
			return 64;
		}
		sessions[n++] = (unsigned)v;
	}
	for (; argc < 2 && n < 3; n++)
		sessions[n] = usual[n];
	if (srtp_init())
		fail("srtp_init");
	for (unsigned i = 0; i < n; i++)
		for (unsigned w = 0; w < 4; w++)
			run(w, sessions[i], false, &stock[i][w][0], &stock[i][w][1]);
	if (!crypt_types_install())
		fail("our types were refused");
	printf("%-26s %8s %12s %12s %12s %12s\n", "ns per packet of 172 bytes", "sessions", "seal stock", "seal ours",
	    "open stock", "open ours");
	for (unsigned w = 0; w < 4; w++)
		for (unsigned i = 0; i < n; i++) {
			double seal, open;

			run(w, sessions[i], true, &seal, &open);
			printf("%-26s %8u %12.0f %12.0f %12.0f %12.0f\n", suites[w].name, sessions[i], stock[i][w][0],
			    seal, stock[i][w][1], open);
		}
	return 0;
}
