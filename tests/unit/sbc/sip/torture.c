/* torture.c - the messages of RFC 4475 and RFC 5118, each with the verdict the RFC wishes.
 *
 * Where an RFC leaves the choice between refusing and inferring, the table says what we do. What a later layer
 * refuses (method, scheme, option, body type, hops) parses here, and the table holds the fact that layer
 * decides by.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>

#include "sbc/base/arena.h"
#include "sbc/sip/header.h"

static struct arena_pool pool;
static struct arena *a;

static char *load(const char *path, size_t *ret_n)
{
	char name[256];
	FILE *f;
	long n;
	char *p;

	snprintf(name, sizeof(name), "%s/tests/data/%s.dat", TEST_SOURCE_DIR, path);
	f = fopen(name, "rb");
	if (!f)
		fail_msg("cannot open %s", name);
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	p = malloc((size_t)n);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)n, f), n);
	fclose(f);
	*ret_n = (size_t)n;
	return p;
}

static const struct {
	const char *file;
	enum reason reason; /* REASON_NONE: parses */
	uint16_t status;    /* what is answered; 0: dropped */
} table[] = {
    /* 3.1.1 valid */
    {"rfc4475/wsinv", REASON_NONE, 0},
    {"rfc4475/intmeth", REASON_NONE, 0},
    {"rfc4475/esc01", REASON_NONE, 0},
    {"rfc4475/escnull", REASON_NONE, 0},
    {"rfc4475/esc02", REASON_NONE, 0},
    {"rfc4475/lwsdisp", REASON_NONE, 0},
    {"rfc4475/longreq", REASON_NONE, 0},
    {"rfc4475/dblreq", REASON_NONE, 0},
    {"rfc4475/semiuri", REASON_NONE, 0},
    {"rfc4475/transports", REASON_NONE, 0},
    {"rfc4475/mpart01", REASON_NONE, 0},
    {"rfc4475/unreason", REASON_NONE, 0},
    {"rfc4475/noreason", REASON_NONE, 0},
    /* 3.1.2 invalid */
    {"rfc4475/badinv01", REASON_MALFORMED, 400},
    {"rfc4475/clerr", REASON_BODY_SHORT, 400},
    {"rfc4475/ncl", REASON_BAD_LENGTH, 400},
    {"rfc4475/scalar02", REASON_BAD_NUMBER, 400},
    {"rfc4475/scalarlg", REASON_BAD_NUMBER, 0},
    {"rfc4475/quotbal", REASON_MALFORMED, 400},
    {"rfc4475/ltgtruri", REASON_MALFORMED, 400},
    {"rfc4475/lwsruri", REASON_MALFORMED, 400},
    {"rfc4475/lwsstart", REASON_MALFORMED, 400},
    {"rfc4475/trws", REASON_MALFORMED, 400},
    {"rfc4475/escruri", REASON_MALFORMED, 400},
    {"rfc4475/baddate", REASON_NONE, 0}, /* tolerated: nobody needs Date */
    {"rfc4475/regbadct", REASON_NONE, 0}, /* its Contact is refused by whoever reads it */
    {"rfc4475/badaspec", REASON_MALFORMED, 400},
    {"rfc4475/baddn", REASON_MALFORMED, 400},
    {"rfc4475/badvers", REASON_VERSION, 505},
    {"rfc4475/mismatch01", REASON_CSEQ_METHOD, 400},
    {"rfc4475/mismatch02", REASON_METHOD_UNKNOWN, 501},
    {"rfc4475/bigcode", REASON_BAD_NUMBER, 0},
    /* 3.2 transaction layer */
    {"rfc4475/badbranch", REASON_MALFORMED, 400},
    /* 3.3 application layer */
    {"rfc4475/insuf", REASON_HEADER_MISSING, 400},
    {"rfc4475/unkscm", REASON_NONE, 0},
    {"rfc4475/novelsc", REASON_NONE, 0},
    {"rfc4475/unksm2", REASON_NONE, 0},
    {"rfc4475/bext01", REASON_NONE, 0},
    {"rfc4475/invut", REASON_NONE, 0},
    {"rfc4475/regaut01", REASON_NONE, 0},
    {"rfc4475/multi01", REASON_HEADER_TWICE, 400},
    {"rfc4475/mcl01", REASON_BAD_LENGTH, 400},
    {"rfc4475/bcast", REASON_NONE, 0},
    {"rfc4475/zeromf", REASON_NONE, 0},
    {"rfc4475/cparam01", REASON_NONE, 0},
    {"rfc4475/cparam02", REASON_NONE, 0},
    {"rfc4475/regescrt", REASON_NONE, 0},
    {"rfc4475/sdp01", REASON_NONE, 0},
    /* 3.4 backward compatibility */
    {"rfc4475/inv2543", REASON_NONE, 0},

    {"rfc5118/ipv6-good", REASON_NONE, 0},
    {"rfc5118/ipv6-bad", REASON_MALFORMED, 400},
    {"rfc5118/port-ambiguous", REASON_NONE, 0},
    {"rfc5118/port-unambiguous", REASON_NONE, 0},
    {"rfc5118/via-received-param-with-delim", REASON_NONE, 0},
    {"rfc5118/via-received-param-no-delim", REASON_NONE, 0},
    {"rfc5118/ipv6-in-sdp", REASON_NONE, 0},
    {"rfc5118/mult-ip-in-header", REASON_NONE, 0},
    {"rfc5118/mult-ip-in-sdp", REASON_NONE, 0},
    {"rfc5118/ipv4-mapped-ipv6", REASON_NONE, 0},
    {"rfc5118/ipv6-correct-abnf-2-colons", REASON_NONE, 0},
    {"rfc5118/ipv6-bug-abnf-3-colons", REASON_NONE, 0},
};

static void every_message(void **state)
{
	unsigned wrong = 0;

	(void)state;
	assert_int_equal(ARRAY_LEN(table), 49 + 12);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct sip_msg *m = NULL;
		struct sip_perr err;
		size_t n;
		char *p = load(table[i].file, &n);
		int e;

		arena_reset(a);
		e = sip_parse(a, p, n, &m, &err);
		assert_non_null(m);
		if (e != (table[i].reason ? -EBADMSG : 0) || err.reason != table[i].reason ||
		    err.status != table[i].status) {
			print_error("%s: %d %s %u at %zu: %s\n", table[i].file, e,
			    reason_info(err.reason)->name, err.status, err.at, err.why ? err.why : "");
			wrong++;
		}
		free(p);
	}
	assert_int_equal(wrong, 0);
}

static int setup(void **state)
{
	(void)state;
	arena_pool_init(&pool, 8192, 4);
	a = arena_new(&pool);
	return a ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(a);
	arena_pool_fini(&pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_message),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
