/* tls_hello.c - any bytes as the beginning of a TLS connection: whole records end inside, and more bytes never make less of
 * them whole; what a hello says does not depend on what comes behind it, and half of one says nothing.
 *
 * links: sbc_net
 */
#include <stdint.h>
#include <stdlib.h>

#include "sbc/net/tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	size_t whole = tls_whole_records(p, n), before = n ? tls_whole_records(p, n - 1) : 0;

	if (whole > n || before > whole)
		abort();
	if (whole && whole < n && tls_whole_records(p, whole) != whole)
		abort();
	if (tls_hello_has_ticket(p, n)) {
		size_t end = TLS_RECORD_HEAD + 4 + ((size_t)p[6] << 16 | (size_t)p[7] << 8 | p[8]);

		if (end > n || !tls_hello_has_ticket(p, end) || tls_hello_has_ticket(p, end - 1))
			abort();
	}
	return 0;
}
