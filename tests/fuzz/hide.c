/* hide.c - any bytes as a message whose credentials are to be covered.
 *
 * links: sbc_sip
 *
 * Holds: only '*' is written, line ends, quotes and blanks stay, and doing it again changes nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "sbc/sip/hide.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *one = malloc(n + 1), *two = malloc(n + 1); /* exactly as long: a byte too far is seen */

	CHECK(one && two);
	one = realloc(one, n ? n : 1);
	two = realloc(two, n ? n : 1);
	CHECK(one && two);
	memcpy(one, p, n);
	sip_hide_credentials(one, n);
	for (size_t i = 0; i < n; i++)
		CHECK(one[i] == (char)p[i] || (one[i] == '*' && !strchr("\"\r\n\t ", p[i] ? p[i] : 'x')));
	memcpy(two, one, n);
	sip_hide_credentials(two, n);
	CHECK(memcmp(one, two, n) == 0);
	free(one);
	free(two);
	return 0;
}
