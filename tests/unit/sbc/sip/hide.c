/* hide.c - what proves a password is covered, everything else stays (AUT-15). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "sbc/sip/hide.h"

/* with every length: a message that was cut must not show what a whole one hides; the D of a Duration that was cut looks like a
 * digit */
static void hides(const char *in, const char *out)
{
	size_t n = strlen(in);

	assert_int_equal(strlen(out), n);
	for (size_t cut = 0; cut <= n; cut++) {
		char *copy = malloc(cut + 1);

		memcpy(copy, in, cut);
		sip_hide_credentials(copy, cut);
		if (cut && cut < n && in[cut - 1] == 'D' && copy[cut - 1] == '*')
			copy[cut - 1] = 'D';
		if (memcmp(copy, out, cut) != 0) {
			copy[cut] = '\0';
			fail_msg("cut at %zu:\n%s\nwanted\n%.*s", cut, copy, (int)cut, out);
		}
		if (cut == n) { /* again: nothing more happens */
			sip_hide_credentials(copy, cut);
			assert_memory_equal(copy, out, cut);
		}
		free(copy);
	}
}

static void digest(void **s)
{
	(void)s;
	hides("INVITE sip:a SIP/2.0\r\nAuthorization: Digest username=\"u\", response=\"0123abcd\", nc=00000001\r\nTo: <sip:response=1>\r\n\r\n",
	    "INVITE sip:a SIP/2.0\r\nAuthorization: Digest username=\"u\", response=\"********\", nc=00000001\r\nTo: <sip:response=1>\r\n\r\n");
	hides("X\nproxy-AUTHORIZATION\t:\r\n digest a=b,\r\n\tRESPONSE \r\n = \r\n 12,34\r\nY: 1\r\n",
	    "X\nproxy-AUTHORIZATION\t:\r\n digest a=b,\r\n\tRESPONSE \r\n = \r\n **,34\r\nY: 1\r\n");
	/* a name that only ends so, quotes that lie, the field twice */
	hides("X\r\nAuthorization: Digest myresponse=1, username=\"a,response=2\", response=3\r\nAuthorization: Digest response=\"4\r\n\r\n",
	    "X\r\nAuthorization: Digest myresponse=1, username=\"a,response=*\", response=*\r\nAuthorization: Digest response=\"*\r\n\r\n");
}

static void other_fields(void **s)
{
	(void)s;
	hides("SIP/2.0 200 OK\r\nAuthentication-Info: rspauth=\"ff00\", nextnonce=\"n\", qop=auth\r\n\r\n",
	    "SIP/2.0 200 OK\r\nAuthentication-Info: rspauth=\"****\", nextnonce=\"n\", qop=auth\r\n\r\n");
	/* a challenge shows nothing; a body is not a head */
	hides("X\r\nWWW-Authenticate: Digest response=\"ff\"\r\nX-Authorization: Basic a\r\n\r\nAuthorization: Digest response=5\r\n",
	    "X\r\nWWW-Authenticate: Digest response=\"ff\"\r\nX-Authorization: Basic a\r\n\r\nAuthorization: Digest response=5\r\n");
}

/* of schemes we do not know everything is covered; cut in the scheme's name, what there is may be covered early */
static void other_schemes(void **s)
{
	char basic[] = "X\r\nAuthorization: Basic dTpw cA==\r\nProxy-Authorization: Bearer abc.def\r\n\r\n";

	(void)s;
	sip_hide_credentials(basic, sizeof(basic) - 1);
	assert_string_equal(basic, "X\r\nAuthorization: Basic **** ****\r\nProxy-Authorization: Bearer *******\r\n\r\n");
}

/* digits may be a PIN (DTM-06); what else a body says, and bodies of other types, are not touched */
static void digits(void **s)
{
	(void)s;
	hides("INFO sip:a SIP/2.0\r\nContent-Type: application/dtmf-relay\r\nContent-Length: 24\r\n\r\nSignal=5\r\nDuration=160\r\n",
	    "INFO sip:a SIP/2.0\r\nContent-Type: application/dtmf-relay\r\nContent-Length: 24\r\n\r\nSignal=*\r\nDuration=160\r\n");
	hides("INFO sip:a SIP/2.0\r\nc:\r\n Application/DTMF\r\n\r\n 7\r\n", "INFO sip:a SIP/2.0\r\nc:\r\n Application/DTMF\r\n\r\n *\r\n");
	hides("X\r\nContent-type : application/dtmf-relay;x=y\r\n\r\nDuration = 9\r\nsignal = 11", "X\r\nContent-type : application/dtmf-relay;x=y\r\n\r\nDuration = 9\r\nsignal = **");
	hides("X\r\nc: application/dtmf-relay\r\n\r\n#\r\nDuration=1\r\n", "X\r\nc: application/dtmf-relay\r\n\r\n*\r\nDuration=1\r\n");
	hides("X\r\nContent-Type: text/plain\r\n\r\nSignal=5\r\n", "X\r\nContent-Type: text/plain\r\n\r\nSignal=5\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(digest),
	    cmocka_unit_test(other_fields),
	    cmocka_unit_test(other_schemes),
	    cmocka_unit_test(digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
