/* uri.c - any two lines as URIs: parse, compare, dial.
 *
 * links: sbc_sip
 *
 * Holds: comparing is reflexive and symmetric; equal URIs dial the same number; a number written as a URI and
 * read again is the same number.
 */
#include <stdlib.h>

#include "sbc/sip/print.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static bool number(const struct sip_uri *u, char *space, size_t cap, struct buf *ret)
{
	buf_init(ret, space, cap);
	return sip_uri_number(u, ret) == 0;
}

static void dial_again(struct str digits)
{
	char space[1024], again[256];
	struct buf b, n;
	struct sip_uri u;

	if (digits.n > 64) /* a context and a number together; alone that is too long */
		return;
	buf_init(&b, space, sizeof(space));
	sip_put_uri_number(&b, SIP_SCHEME_SIP, digits, S("h"), 5060, S("tcp"), true);
	CHECK(buf_err(&b) == 0 && sip_uri_parse(buf_text(&b), &u) == 0);
	CHECK(number(&u, again, sizeof(again), &n) && str_eq(buf_text(&n), digits));
	CHECK(u.port == 5060 && str_eq(u.host, S("h")));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str s = str_n((const char *)p, n), first, second = str_cut(s, '\n', &first);
	struct sip_uri a, b;
	char xs[256], ys[256], plain[1024];
	struct buf x, y, d;
	bool ok_a, has_x, has_y;
	struct addr addr;

	if (n == 0 || n > 4096)
		return 0;
	ok_a = sip_uri_parse(first, &a) == 0;
	if (ok_a) {
		CHECK(sip_uri_eq(&a, &a));
		(void)sip_uri_addr(&a, &addr);
		has_x = number(&a, xs, sizeof(xs), &x);
		if (has_x)
			dial_again(buf_text(&x));
	}
	if (ok_a && second.n && sip_uri_parse(second, &b) == 0) {
		CHECK(sip_uri_eq(&a, &b) == sip_uri_eq(&b, &a));
		has_y = number(&b, ys, sizeof(ys), &y);
		if (sip_uri_eq(&a, &b)) {
			CHECK(has_x == has_y);
			CHECK(!has_x || str_eq(buf_text(&x), buf_text(&y)));
		}
	}
	if (n <= 256) {
		buf_init(&d, plain, sizeof(plain));
		sip_put_user(&d, s);
		CHECK(buf_err(&d) == 0);
		buf_init(&x, xs, sizeof(xs));
		sip_unescape(&x, buf_text(&d));
		CHECK(str_eq(buf_text(&x), s));
	}
	return 0;
}
