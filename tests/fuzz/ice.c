/* ice.c - any datagrams as checks of ICE: who does not know the password gets nothing, and no place.
 *
 * links: media
 */
#include <stdlib.h>
#include <string.h>

#include "media/ice.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct ice_keys keys = {.ours = "evtj", .pwd = "VOkJxbRl1RmTxUk/WvJxBt", .theirs = "h6vY"};
	struct addr from = {.in4 = {.sin_family = AF_INET, .sin_port = 0x1234, .sin_addr = {0x01020304}}};
	struct ice *i = ice_new(&keys, NULL);
	char out[STUN_OUT_MAX];
	uint8_t *copy = malloc(n ? n : 1); /* so that reading too far is seen */
	enum ice_result r;
	size_t len = 0;

	CHECK(i && copy);
	memcpy(copy, p, n);
	r = ice_check(i, n & 1, copy, n, &from, 1000000, out, &len);
	/* the corpus has a message with the right password; all else is refused */
	CHECK(r == ICE_REFUSED || r == ICE_IGNORED || (len > 0 && len <= sizeof(out) && len <= n + 44));
	CHECK(r == ICE_ANSWERED || r == ICE_NOMINATED || len == 0);
	CHECK(r == ICE_NOMINATED || !ice_where(i, n & 1, 1000000));
	ice_free(i);
	free(copy);
	return 0;
}
