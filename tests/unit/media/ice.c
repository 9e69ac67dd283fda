/* Checks of ICE for a lite agent: whose are answered and with what, where the far end is after them, what a stranger gets. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "check_make.h"
#include "media/ice.h"

#define PWD "0123456789abcdefghijklmn"

static const struct ice_keys keys = {.ours = "ourourur", .pwd = PWD, .theirs = "them"};
#define NAMES "ourourur:them"
#define S1 1000000

static struct addr at(unsigned port)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(S("192.0.2.7"), (uint16_t)port, &a), 0);
	return a;
}

/* what a check from that port comes to; an answer is judged as its far end would */
static enum ice_result check(struct ice *i, unsigned component, unsigned port, const char *user, const char *pwd, uint32_t priority,
    unsigned how, int64_t now_us, unsigned *ret_code)
{
	uint8_t d[400], mac[EVP_MAX_MD_SIZE];
	size_t n = check_make(d, user, pwd, priority, how), len = 0;
	struct addr from = at(port);
	char out[STUN_OUT_MAX];
	struct stun_msg m;
	enum ice_result r;
	unsigned got;

	memset(out, 0, sizeof(out));
	r = ice_check(i, component, d, n, &from, now_us, out, &len);
	if (r != ICE_ANSWERED && r != ICE_NOMINATED) {
		assert_int_equal(len, 0);
		return r;
	}
	assert_in_range(len, 1, STUN_OUT_MAX);
	assert_int_equal(stun_parse(out, len, &m), 0);
	assert_true(m.fingerprint);
	assert_memory_equal(m.tid, d + 8, 12);
	/* the integrity by OpenSSL's HMAC: the length counts up to its end */
	assert_int_not_equal(m.integrity_at, 0);
	be16_put((uint8_t *)out + 2, (unsigned)(m.integrity_at - 20 + 24));
	HMAC(EVP_sha1(), PWD, 24, (uint8_t *)out, m.integrity_at, mac, &got);
	assert_memory_equal(out + m.integrity_at + 4, mac, 20);
	if (ret_code)
		*ret_code = m.kind == STUN_SUCCESS ? 0 : (unsigned)(out[26] * 100 + out[27]);
	if (m.kind == STUN_SUCCESS)
		assert_true(addr_eq(&m.mapped, &from));
	return r;
}

static bool is_at(const struct ice *i, unsigned component, unsigned port, int64_t now_us)
{
	const struct addr *a = ice_where(i, component, now_us);

	return port ? a && addr_port(a) == port : !a;
}

/* RFC 5769 2.1: a request of a far end that takes itself for the controlled one */
static void test_vector(void **state)
{
	static const uint8_t request[108] =
	    "\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\x80\x22\x00\x10"
	    "\x53\x54\x55\x4e\x20\x74\x65\x73\x74\x20\x63\x6c\x69\x65\x6e\x74\x00\x24\x00\x04\x6e\x00\x01\xff"
	    "\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76"
	    "\x59\x20\x20\x20\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49"
	    "\xc1\xb5\x71\xa2\x80\x28\x00\x04\xe5\x7a\x3b\xcf";
	struct ice_keys k = {.ours = "evtj", .pwd = "VOkJxbRl1RmTxUk/WvJxBt", .theirs = "h6vY"};
	struct ice *i = ice_new(&k, NULL);
	struct addr from = at(5000);
	char out[STUN_OUT_MAX];
	uint8_t d[108];
	size_t len = 0;

	(void)state;
	assert_int_equal(ice_check(i, 0, request, sizeof(request), &from, S1, out, &len), ICE_ANSWERED);
	assert_int_equal((unsigned char)out[26] * 100 + out[27], 487);
	/* each bit counts */
	for (size_t b = 0; b < sizeof(d) * 8; b++) {
		memcpy(d, request, sizeof(d));
		d[b / 8] ^= (uint8_t)(1 << b % 8);
		assert_int_equal(ice_check(i, 0, d, sizeof(d), &from, S1, out, &len), ICE_REFUSED);
	}
	ice_free(i);
}

/* ICE-02, ICE-10 */
static void test_who_is_answered(void **state)
{
	struct ice *i = ice_new(&keys, NULL);
	struct addr from = at(1);
	unsigned code;

	(void)state;
	assert_int_equal(check(i, 0, 5000, NAMES, PWD, 1, 0, S1, &code), ICE_ANSWERED);
	assert_int_equal(code, 0);
	assert_true(is_at(i, 0, 0, S1)); /* it is known, and nowhere yet */
	assert_int_equal(check(i, 0, 1, NAMES, "1123456789abcdefghijklmn", 1, CHECK_USE, S1, NULL), ICE_REFUSED);
	assert_int_equal(check(i, 0, 1, "ourourur:thex", PWD, 1, CHECK_USE, S1, NULL), ICE_REFUSED);
	assert_int_equal(check(i, 0, 1, "them:ourourur", PWD, 1, CHECK_USE, S1, NULL), ICE_REFUSED);
	assert_int_equal(check(i, 0, 1, "ourourur", PWD, 1, CHECK_USE, S1, NULL), ICE_REFUSED);
	assert_int_equal(check(i, 0, 1, NULL, PWD, 1, CHECK_USE, S1, NULL), ICE_REFUSED);
	assert_int_equal(check(i, 0, 1, NAMES, PWD, 1, CHECK_USE | CHECK_NO_MAC, S1, NULL), ICE_REFUSED);
	assert_int_equal(check(i, 0, 1, NAMES, PWD, 1, CHECK_USE | CHECK_NO_PRINT, S1, NULL), ICE_REFUSED);
	assert_int_equal(check(i, 0, 1, NAMES, PWD, 1, CHECK_USE | CHECK_CONTROLLED, S1, &code), ICE_ANSWERED);
	assert_int_equal(code, 487);
	assert_int_equal(check(i, 0, 1, NAMES, PWD, 1, CHECK_USE | CHECK_UNKNOWN, S1, &code), ICE_ANSWERED);
	assert_int_equal(code, 420);
	assert_int_equal(check(i, 0, 1, NAMES, PWD, 1, CHECK_INDICATION, S1, NULL), ICE_IGNORED);
	/* none of them has passed */
	assert_false(ice_heard(i, 0, &from, S1));
	from = at(5000);
	assert_true(ice_heard(i, 0, &from, S1));
	assert_false(ice_heard(i, 1, &from, S1)); /* the other component is another port */
	ice_free(i);
}

/* USE-CANDIDATE decides; who nominates everything gets the best that works */
static void test_nomination(void **state)
{
	struct ice *i = ice_new(&keys, NULL);

	(void)state;
	assert_int_equal(check(i, 0, 5000, NAMES, PWD, 100, CHECK_USE, S1, NULL), ICE_NOMINATED);
	assert_true(is_at(i, 0, 5000, S1));
	assert_true(is_at(i, 1, 0, S1));
	assert_int_equal(check(i, 0, 5000, NAMES, PWD, 100, CHECK_USE, S1, NULL), ICE_ANSWERED); /* no news */
	assert_int_equal(check(i, 0, 6000, NAMES, PWD, 50, CHECK_USE, S1, NULL), ICE_ANSWERED);
	assert_true(is_at(i, 0, 5000, S1));
	assert_int_equal(check(i, 0, 7000, NAMES, PWD, 200, CHECK_USE, S1, NULL), ICE_NOMINATED);
	assert_true(is_at(i, 0, 7000, S1));
	assert_int_equal(check(i, 0, 5000, NAMES, PWD, 100, CHECK_USE, 2 * S1, NULL), ICE_ANSWERED);
	/* the better one is gone */
	assert_int_equal(check(i, 0, 5000, NAMES, PWD, 100, CHECK_USE, 12 * S1, NULL), ICE_NOMINATED);
	assert_true(is_at(i, 0, 5000, 12 * S1));
	assert_int_equal(check(i, 1, 5001, NAMES, PWD, 100, CHECK_USE, 12 * S1, NULL), ICE_NOMINATED);
	assert_true(is_at(i, 1, 5001, 12 * S1));
	ice_free(i);
}

/* ICE-06: a far end that says nothing for 30 s is sent nothing; whatever it says counts */
static void test_consent(void **state)
{
	struct ice *i = ice_new(&keys, NULL);
	struct addr from = at(5000);

	(void)state;
	check(i, 0, 5000, NAMES, PWD, 1, CHECK_USE, S1, NULL);
	assert_true(is_at(i, 0, 5000, 31 * S1));
	assert_true(is_at(i, 0, 0, 31 * S1 + 1));
	assert_true(ice_heard(i, 0, &from, 40 * S1)); /* media */
	assert_true(is_at(i, 0, 5000, 70 * S1));
	assert_int_equal(check(i, 0, 5000, NAMES, PWD, 1, CHECK_INDICATION, 70 * S1, NULL), ICE_IGNORED);
	assert_true(is_at(i, 0, 5000, 100 * S1));
	assert_true(is_at(i, 0, 0, 101 * S1));
	check(i, 0, 5000, NAMES, PWD, 1, 0, 102 * S1, NULL);
	assert_true(is_at(i, 0, 5000, 102 * S1));
	ice_free(i);
}

/* ICE-05: new names; media goes on as before until the far end has said where it is now */
static void test_restart(void **state)
{
	struct ice_keys fresh = keys;
	struct ice *i = ice_new(&keys, NULL), *j;
	struct addr from = at(5000);

	(void)state;
	check(i, 0, 5000, NAMES, PWD, 200, CHECK_USE, S1, NULL);
	memcpy(fresh.theirs, "hers", 5);
	j = ice_new(&fresh, i);
	ice_free(i);
	assert_true(is_at(j, 0, 5000, S1));
	assert_true(ice_heard(j, 0, &from, 2 * S1));
	assert_int_equal(check(j, 0, 5000, NAMES, PWD, 200, CHECK_USE, S1, NULL), ICE_REFUSED);
	/* of a lower priority than the one before had: it counts all the same */
	assert_int_equal(check(j, 0, 6000, "ourourur:hers", PWD, 100, CHECK_USE, 2 * S1, NULL), ICE_NOMINATED);
	assert_true(is_at(j, 0, 6000, 2 * S1));
	ice_free(j);
}

/* even a far end with the password cannot have places without end */
static void test_bounded(void **state)
{
	struct ice *i = ice_new(&keys, NULL);
	uint8_t d[ICE_CHECK_MAX + 4];
	struct addr from = at(1);
	char out[STUN_OUT_MAX];
	size_t len = 0;

	(void)state;
	for (unsigned k = 0; k < ICE_SOURCES; k++)
		assert_int_equal(check(i, 0, 5000 + k, NAMES, PWD, 1, 0, S1, NULL), ICE_ANSWERED);
	assert_int_equal(check(i, 0, 6000, NAMES, PWD, 1, CHECK_USE, S1, NULL), ICE_REFUSED);
	assert_int_equal(check(i, 0, 5003, NAMES, PWD, 1, CHECK_USE, S1, NULL), ICE_NOMINATED);
	memset(d, 0, sizeof(d));
	be16_put(d, 1);
	be16_put(d + 2, sizeof(d) - 20);
	be32_put(d + 4, 0x2112a442u);
	assert_int_equal(ice_check(i, 0, d, sizeof(d), &from, S1, out, &len), ICE_REFUSED);
	assert_int_equal(ice_check(i, 0, d, 1, &from, S1, out, &len), ICE_REFUSED);
	ice_free(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_who_is_answered),
		cmocka_unit_test(test_nomination),
		cmocka_unit_test(test_consent),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
