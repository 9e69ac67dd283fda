/* digest.c - any text as a Digest challenge or credentials.
 *
 * links: sbc_auth
 *
 * Holds: every field is a slice of the input; what was read and is written again in the plain form reads the same.
 */
#include <stdlib.h>

#include "sbc/auth/digest.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str in = str_n((const char *)p, n);
	struct digest_fields f, g;
	char text[16384];
	struct buf b;

	if (n > 4096 || digest_parse(in, &f) != 0)
		return 0;
	const struct {
		const char *name;
		struct str value, *again;
	} all[] = {{"realm", f.realm, &g.realm}, {"nonce", f.nonce, &g.nonce}, {"uri", f.uri, &g.uri},
	    {"username", f.username, &g.username}, {"response", f.response, &g.response}, {"qop", f.qop, &g.qop},
	    {"algorithm", f.algorithm, &g.algorithm}, {"cnonce", f.cnonce, &g.cnonce}, {"nc", f.nc, &g.nc},
	    {"opaque", f.opaque, &g.opaque}, {"domain", f.domain, &g.domain}, {"stale", f.stale, &g.stale}};

	buf_init(&b, text, sizeof(text));
	buf_lit(&b, "Digest userhash=");
	buf_str(&b, f.userhash ? S("true") : S("false"));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct str v = all[i].value;

		if (!v.p)
			continue;
		CHECK(v.p >= in.p && v.p + v.n <= in.p + in.n);
		if (v.n && v.p[v.n - 1] == '\\' && str_chr(v, '"') < 0)
			return 0; /* a bare word that ends in a backslash has no quoted form */
		buf_fmt(&b, ", %s=\"", all[i].name);
		buf_str(&b, v);
		buf_chr(&b, '"');
	}
	CHECK(buf_err(&b) == 0 && digest_parse(buf_text(&b), &g) == 0 && g.userhash == f.userhash);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		CHECK(!all[i].value.p || str_eq(*all[i].again, all[i].value));
	return 0;
}
