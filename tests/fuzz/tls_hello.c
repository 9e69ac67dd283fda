/* tls_hello.c - any bytes as the beginning of a TLS connection: whole records end inside, and more bytes never make less of
 * them whole.
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
	/* a hello that is not whole is not understood */
	if (tls_hello_has_ticket(p, n) && n < TLS_RECORD_HEAD + 4)
		abort();
	return 0;
}
