/* stream.c - any bytes as a stream, cut at random: the same frames as when it comes whole.
 *
 * links: sbc_sip
 *
 * The first byte seeds the cuts.
 */
#include <stdlib.h>

#include "sbc/sip/frame.h"
#include "sbc/sip/msg.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define FRAMES_MAX 256

struct frame {
	enum sip_frame_kind kind;
	size_t from, len;
};

/* Reads p in steps of 1..step bytes. Line ends and pings before a message depend on where the stream was cut only
 * when they are the last thing in it, so they are kept as one frame. */
static unsigned cut(const char *p, size_t n, uint32_t seed, size_t step, struct frame *out)
{
	struct sip_framer f = {0};
	size_t at = 0, have = 0, len = 0;
	unsigned count = 0;
	enum reason why = REASON_NONE;

	while (have < n) {
		seed = seed * 1664525u + 1013904223u;
		have += step == n ? n : 1 + (seed >> 16) % step;
		if (have > n)
			have = n;
		for (;;) {
			/* an own block, so that reading too far is seen */
			char *copy = malloc(have - at ? have - at : 1);
			enum sip_frame_kind k;

			CHECK(copy);
			memcpy(copy, p + at, have - at);
			k = sip_frame(&f, copy, have - at, &len, &why);
			free(copy);
			if (k == SIP_FRAME_MORE)
				break;
			CHECK(k == SIP_FRAME_BAD || (len > 0 && len <= have - at));
			if (count < FRAMES_MAX)
				out[count++] = (struct frame){k, at, k == SIP_FRAME_BAD ? 0 : len};
			if (k == SIP_FRAME_BAD)
				return count;
			at += len;
			f = (struct sip_framer){0};
		}
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct frame whole[FRAMES_MAX], parts[FRAMES_MAX];
	unsigned a, b;
	size_t step;

	if (n < 2 || n > 20000)
		return 0;
	step = 1 + p[0] % 64;
	a = cut((const char *)p + 1, n - 1, p[0], n - 1, whole);
	b = cut((const char *)p + 1, n - 1, p[0], step, parts);
	CHECK(a == b);
	for (unsigned i = 0; i < a; i++) {
		CHECK(whole[i].kind == parts[i].kind && whole[i].from == parts[i].from);
		CHECK(whole[i].len == parts[i].len && whole[i].len <= SIP_MSG_MAX);
	}
	return 0;
}
