/* stun.c - any datagram as STUN: what is accepted can be answered, and the answer be read.
 *
 * links: sbc_base
 */
#include <stdlib.h>
#include <string.h>

#include "sbc/base/stun.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct addr from = {.in4 = {.sin_family = AF_INET, .sin_port = 0x1234, .sin_addr = {0x01020304}}};
	struct stun_msg m, back;
	char out[STUN_OUT_MAX];
	char *copy = malloc(n ? n : 1); /* so that reading too far is seen */
	size_t len;

	CHECK(copy);
	memcpy(copy, p, n);
	if (stun_parse(copy, n, &m) == 0) {
		CHECK(stun_is(copy, n) && n >= 20 && m.n_unknown <= STUN_UNKNOWN_MAX);
		len = stun_put_answer(out, &m, &from);
		CHECK(len <= sizeof(out) && stun_parse(out, len, &back) == 0);
		CHECK(back.kind == (m.n_unknown ? STUN_ERROR : STUN_SUCCESS));
		CHECK(back.fingerprint == m.fingerprint && memcmp(back.tid, m.tid, STUN_TID) == 0);
		CHECK(m.n_unknown || addr_eq(&back.mapped, &from));
		if (!addr_none(&m.mapped) && !m.n_unknown) {
			len = stun_put_answer(out, &m, &m.mapped);
			CHECK(stun_parse(out, len, &back) == 0 && addr_eq(&back.mapped, &m.mapped));
		}
	}
	free(copy);
	return 0;
}
