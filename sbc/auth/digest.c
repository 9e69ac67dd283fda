/* digest.c - Digest arithmetic on libcrypto, and the reader of its headers.
 *
 * The three algorithms are fetched once per process and kept: a fetch costs more than the hash. One context per
 * thread is used again and again.
 *
 * Reading: `Digest` SP, then name=value separated by commas; a value is a token or a quoted string. Unknown names
 * are skipped, known ones may stand once: what could be read in two ways is refused.
 */
#include "sbc/auth/digest.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdatomic.h>

static const struct {
	const char *name, *openssl;
	uint8_t bytes;
} algs[DIGEST_ALGS] = {
    [DIGEST_MD5] = {"MD5", "MD5", 16},
    [DIGEST_SHA256] = {"SHA-256", "SHA256", 32},
    [DIGEST_SHA512_256] = {"SHA-512-256", "SHA512-256", 32},
};

struct str digest_alg_name(enum digest_alg alg)
{
	return str_z(algs[alg].name);
}

int digest_alg_parse(struct str name, enum digest_alg *ret)
{
	if (name.n == 0) {
		*ret = DIGEST_MD5;
		return 0;
	}
	for (unsigned i = 0; i < DIGEST_ALGS; i++) {
		if (str_ieq(name, str_z(algs[i].name))) {
			*ret = (enum digest_alg)i;
			return 0;
		}
	}
	return -ENOTSUP;
}

/* ------------------------------------------------------------------ hashing */

struct hasher {
	EVP_MD_CTX *ctx;
	const EVP_MD *md;
	uint8_t bytes;
	bool bad;
};

/* Both live as long as the process: libcrypto's own clean-up does not know them, and needs not. */
static const EVP_MD *fetched(enum digest_alg alg)
{
	static _Atomic(EVP_MD *) kept[DIGEST_ALGS];
	EVP_MD *md = atomic_load_explicit(&kept[alg], memory_order_acquire), *none = NULL;

	if (md)
		return md;
	md = EVP_MD_fetch(NULL, algs[alg].openssl, NULL);
	if (md && !atomic_compare_exchange_strong(&kept[alg], &none, md)) {
		EVP_MD_free(md);
		md = none;
	}
	return md;
}

static void begin(struct hasher *h, enum digest_alg alg)
{
	h->md = fetched(alg);
	h->bytes = algs[alg].bytes;
	h->ctx = EVP_MD_CTX_new();
	h->bad = !h->md || !h->ctx;
}

static void start(struct hasher *h)
{
	h->bad = h->bad || EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1;
}

static void add(struct hasher *h, struct str s)
{
	if (s.n)
		h->bad = h->bad || EVP_DigestUpdate(h->ctx, s.p, s.n) != 1;
}

static void colon(struct hasher *h)
{
	add(h, S(":"));
}

static void stop(struct hasher *h, struct digest_hex *ret)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	struct buf b;

	buf_init(&b, ret->hex, sizeof(ret->hex));
	if (h->bad || EVP_DigestFinal_ex(h->ctx, raw, NULL) != 1) {
		h->bad = true;
		ret->n = 0;
		return;
	}
	buf_hex(&b, raw, h->bytes);
	ret->n = (uint8_t)b.n;
	OPENSSL_cleanse(raw, sizeof(raw));
}

static int end(struct hasher *h)
{
	EVP_MD_CTX_free(h->ctx);
	return h->bad ? -EIO : 0;
}

int digest_ha1(enum digest_alg alg, struct str user, struct str realm, struct str password, struct digest_hex *ret)
{
	struct digest_hex out;
	struct hasher h;
	int e;

	begin(&h, alg);
	start(&h);
	add(&h, user);
	colon(&h);
	add(&h, realm);
	colon(&h);
	add(&h, password);
	stop(&h, &out);
	e = end(&h);
	if (!e)
		*ret = out;
	return e;
}

int digest_response(const struct digest_in *in, struct digest_hex *ret)
{
	struct digest_hex ha2, body, out;
	struct hasher h;
	int e;

	begin(&h, in->alg);
	if (in->qop == DIGEST_QOP_AUTH_INT) {
		start(&h);
		add(&h, in->body);
		stop(&h, &body);
	}
	start(&h);
	add(&h, in->method);
	colon(&h);
	add(&h, in->uri);
	if (in->qop == DIGEST_QOP_AUTH_INT) {
		colon(&h);
		add(&h, digest_str(&body));
	}
	stop(&h, &ha2);
	start(&h);
	add(&h, digest_str(&in->ha1));
	colon(&h);
	add(&h, in->nonce);
	colon(&h);
	if (in->qop != DIGEST_QOP_NONE) {
		add(&h, in->nc);
		colon(&h);
		add(&h, in->cnonce);
		colon(&h);
		add(&h, in->qop == DIGEST_QOP_AUTH ? S("auth") : S("auth-int"));
		colon(&h);
	}
	add(&h, digest_str(&ha2));
	stop(&h, &out);
	e = end(&h);
	if (!e)
		*ret = out;
	return e;
}

bool digest_eq(struct str a, const struct digest_hex *b)
{
	char low[DIGEST_HEX_MAX];

	if (b->n == 0 || a.n != b->n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		low[i] = chr_lower(a.p[i]);
	return CRYPTO_memcmp(low, b->hex, b->n) == 0;
}

/* ------------------------------------------------------------------ reading */

static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || chr_digit(c) || (c && strchr("-.!%*_+`'~", c));
}

static struct str skip_blank(struct str s)
{
	size_t i = 0;

	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t'))
		i++;
	return str_from(s, i);
}

static struct str take_token(struct str *s)
{
	size_t i = 0;
	struct str t;

	while (i < s->n && is_token(s->p[i]))
		i++;
	t = str_head(*s, i);
	*s = str_from(*s, i);
	return t;
}

/* false: no end of the quotes. Peers write what should be a token with other characters in it (algorithm=md5;…
 * aside): up to the comma it is theirs. */
static bool take_value(struct str *s, struct str *ret)
{
	size_t i = 0;

	if (s->n && s->p[0] == '"') {
		for (i = 1; i < s->n && s->p[i] != '"'; i++)
			if (s->p[i] == '\\')
				i++;
		if (i >= s->n)
			return false;
		*ret = str_n(s->p + 1, i - 1);
		*s = str_from(*s, i + 1);
		return true;
	}
	while (i < s->n && s->p[i] != ',')
		i++;
	*ret = str_trim(str_head(*s, i));
	*s = str_from(*s, i);
	return ret->n > 0 && str_chr(*ret, '"') < 0;
}

int digest_parse(struct str value, struct digest_fields *ret)
{
	struct digest_fields f = {.userhash = false};
	const struct {
		struct str name;
		struct str *to;
	} known[] = {{S("realm"), &f.realm}, {S("nonce"), &f.nonce}, {S("uri"), &f.uri}, {S("username"), &f.username},
	    {S("response"), &f.response}, {S("algorithm"), &f.algorithm}, {S("qop"), &f.qop}, {S("cnonce"), &f.cnonce},
	    {S("nc"), &f.nc}, {S("opaque"), &f.opaque}, {S("domain"), &f.domain}, {S("stale"), &f.stale}};
	struct str rest = skip_blank(value), scheme = take_token(&rest), userhash = STR_NONE;

	if (!str_ieq(scheme, S("Digest")))
		return -ENOTSUP;
	if (rest.n == 0 || (rest.p[0] != ' ' && rest.p[0] != '\t'))
		return -EBADMSG;
	for (;;) {
		struct str name, v;
		bool found = false;

		rest = skip_blank(rest);
		while (rest.n && rest.p[0] == ',') /* empty elements of a list are allowed */
			rest = skip_blank(str_from(rest, 1));
		if (rest.n == 0)
			break;
		name = take_token(&rest);
		rest = skip_blank(rest);
		if (name.n == 0 || rest.n == 0 || rest.p[0] != '=')
			return -EBADMSG;
		rest = skip_blank(str_from(rest, 1));
		if (!take_value(&rest, &v))
			return -EBADMSG;
		rest = skip_blank(rest);
		if (rest.n && rest.p[0] != ',')
			return -EBADMSG;
		for (unsigned i = 0; i < ARRAY_LEN(known) && !found; i++) {
			if (!str_ieq(name, known[i].name))
				continue;
			if (known[i].to->p)
				return -EBADMSG;
			*known[i].to = v;
			found = true;
		}
		if (!found && str_ieq(name, S("userhash")))
			userhash = v;
	}
	f.userhash = str_ieq(userhash, S("true"));
	*ret = f;
	return 0;
}
