/* srtp.c - any bytes as SRTP and SRTCP, and any packet through sealing and opening.
 *
 * links: media
 *
 * The first byte chooses suite and MKI, the second what is done. Holds: bytes that are not of the key are refused and left
 * as they were, within the bytes given; an RTP or RTCP packet that our own checks take is sealed, is longer by no more than
 * CRYPT_TAIL, opens to the same bytes (but for a sequence number that was shifted) and does not open twice.
 */
#include <stdlib.h>

#include "media/crypt.h"
#include "media/rtp.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define PACKET_MAX 2000

static struct crypt_key key_of(uint8_t how)
{
	struct crypt_key k = {.suite = (uint8_t)(CRYPT_NONE + 1 + how % (CRYPT_SUITES - 1))};

	for (unsigned i = 0; i < crypt_suites[k.suite].key_len; i++)
		k.key[i] = (uint8_t)(i * 7 + 1);
	k.mki_len = how & 0x80 ? 4 : 0;
	k.mki = how & 0x80 ? 0x01020304 : 0;
	return k;
}

static void foreign(struct crypt *open, const uint8_t *p, size_t n, bool rtcp)
{
	uint8_t *d = malloc(n ? n : 1); /* of just that size: a byte too far is seen */
	size_t len = n;
	enum crypt_result r;

	CHECK(d);
	memcpy(d, p, n);
	r = rtcp ? crypt_open_rtcp(open, NULL, d, &len) : crypt_open_rtp(open, NULL, d, &len);
	CHECK(len <= n);
	if (r != CRYPT_OK)
		CHECK(len == n && memcmp(d, p, n) == 0);
	free(d);
}

static void ours(struct crypt *seal, struct crypt *open, const uint8_t *p, size_t n, bool rtcp)
{
	static uint8_t d[PACKET_MAX + CRYPT_TAIL], copy[PACKET_MAX + CRYPT_TAIL];
	struct rtp_head h;
	size_t len = n;

	if (n > PACKET_MAX || rtp_kind(p, n) != RTP_KIND_AV || (rtcp ? rtcp_check(p, n) < 0 || n < 8 : rtp_parse(p, n, &h) < 0))
		return;
	memcpy(d, p, n);
	if ((rtcp ? crypt_seal_rtcp(seal, d, &len, sizeof(d)) : crypt_seal_rtp(seal, NULL, d, &len, sizeof(d))) != CRYPT_OK)
		return;
	CHECK(len > n && len <= n + CRYPT_TAIL);
	memcpy(copy, d, len);
	n = len;
	CHECK((rtcp ? crypt_open_rtcp(open, NULL, d, &n) : crypt_open_rtp(open, NULL, d, &n)) == CRYPT_OK);
	if (!rtcp) {
		d[2] = p[2];
		d[3] = p[3];
	}
	CHECK(memcmp(d, p, n) == 0);
	CHECK((rtcp ? crypt_open_rtcp(open, NULL, copy, &len) : crypt_open_rtp(open, NULL, copy, &len)) == CRYPT_REPLAY);
}

/* The input is two bytes of choice, then packets that each say their length in two bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static bool started;
	struct crypt *seal, *open;
	struct crypt_key k;
	bool rtcp;

	if (n < 2)
		return 0;
	if (!started)
		CHECK(crypt_start());
	started = true;
	k = key_of(p[0]);
	rtcp = p[1] & 1;
	seal = crypt_new(&k, true);
	open = crypt_new(&k, false);
	CHECK(seal && open);
	for (p += 2, n -= 2; n >= 2;) {
		size_t len = (size_t)p[0] << 8 | p[1];

		p += 2;
		n -= 2;
		len = len < n ? len : n;
		foreign(open, p, len, rtcp);
		ours(seal, open, p, len, rtcp);
		p += len;
		n -= len;
	}
	crypt_free(seal);
	crypt_free(open);
	return 0;
}
