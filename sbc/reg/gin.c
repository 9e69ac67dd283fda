/* gin.c - bulk contacts and GRUUs of RFC 6140.
 *
 * Base64 here is the standard alphabet without padding, as 7.1.2 of the RFC has it; in a user part '+' and '/' may
 * stand as they are (RFC 3261 25.1: user-unreserved), and nobody may change their case.
 */
#include "sbc/reg/gin.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "sbc/base/base64.h"

#define E_MAX 1024 /* bytes of a ciphertext: RSA 8192 */
#define D_BYTES 10 /* 80 bits */

/* ------------------------------------------------------------------ contacts */

enum reason gin_kind_of(const struct sip_uri *c, enum gin_kind *ret)
{
	struct str rest = c->params, name, value;
	bool bnc = false, user_param = false;

	while (sip_param_next(&rest, &name, &value)) {
		if (str_ieq(name, S("bnc"))) {
			if (bnc || value.p)
				return REASON_GIN_CONTACT;
			bnc = true;
		} else if (str_ieq(name, S("user"))) {
			user_param = true;
		}
	}
	if (bnc && (user_param || c->user.n || c->password.p || str_chr(c->raw, '@') >= 0 ||
	               (c->scheme != SIP_SCHEME_SIP && c->scheme != SIP_SCHEME_SIPS)))
		return REASON_GIN_CONTACT;
	*ret = bnc ? GIN_BULK : GIN_PLAIN;
	return REASON_NONE;
}

static bool is_global(struct str number)
{
	if (number.n < 2 || number.n > 16 || number.p[0] != '+')
		return false;
	for (size_t i = 1; i < number.n; i++)
		if (!chr_digit(number.p[i]))
			return false;
	return true;
}

static void put_port(struct buf *b, uint16_t port)
{
	if (port) {
		buf_chr(b, ':');
		buf_u64(b, port);
	}
}

int gin_expand(const struct sip_uri *bulk, struct str number, struct str sg, struct buf *b)
{
	return is_global(number) ? gin_expand_user(bulk, number, sg, b) : -EINVAL;
}

int gin_expand_half(const struct sip_uri *bulk, struct buf *b)
{
	return gin_expand_user(bulk, STR_NONE, STR_NONE, b);
}

int gin_expand_with(struct str half, struct str number, struct buf *b)
{
	size_t at = half.n > 4 && half.p[4] == '@' ? 4 : 5; /* sip: or sips: */

	if (half.n <= at || !is_global(number))
		return -EINVAL;
	buf_str(b, str_head(half, at));
	buf_str(b, number);
	buf_str(b, str_from(half, at));
	return buf_err(b);
}

int gin_expand_user(const struct sip_uri *bulk, struct str user, struct str sg, struct buf *b)
{
	struct str rest = bulk->params, name, value;

	if (!bulk->host.n)
		return -EINVAL;
	buf_str(b, bulk->scheme == SIP_SCHEME_SIPS ? S("sips:") : S("sip:"));
	buf_str(b, user);
	buf_chr(b, '@');
	buf_str(b, bulk->host);
	put_port(b, bulk->port);
	while (sip_param_next(&rest, &name, &value)) {
		if (str_ieq(name, S("bnc")) || (sg.n && str_ieq(name, S("sg"))))
			continue;
		buf_chr(b, ';');
		buf_str(b, name);
		if (value.p) {
			buf_chr(b, '=');
			buf_str(b, value);
		}
	}
	if (sg.n) {
		buf_lit(b, ";sg=");
		buf_str(b, sg);
	}
	return buf_err(b);
}

void gin_put_bulk(struct buf *b, bool sips, struct str host, uint16_t port, struct str transport, struct str cookie)
{
	buf_str(b, sips ? S("sips:") : S("sip:"));
	buf_str(b, host);
	put_port(b, port);
	if (transport.n) {
		buf_lit(b, ";transport=");
		buf_str(b, transport);
	}
	if (cookie.n) {
		buf_lit(b, ";tk=");
		buf_str(b, cookie);
	}
	buf_lit(b, ";bnc");
}

bool gin_contact_eq(const struct sip_uri *a, const struct sip_uri *b)
{
	return sip_param_get(a->params, S("bnc"), NULL) == sip_param_get(b->params, S("bnc"), NULL) && sip_uri_eq(a, b);
}

/* ------------------------------------------------------------------ GRUU */

void gin_put_pub_gruu(struct buf *b, struct str domain, struct str instance)
{
	if (instance.n >= 2 && instance.p[0] == '<' && instance.p[instance.n - 1] == '>')
		instance = str_n(instance.p + 1, instance.n - 2);
	buf_lit(b, "sip:");
	buf_str(b, domain);
	buf_lit(b, ";bnc;gr=");
	buf_str(b, instance);
}

struct str gin_sg(const struct sip_uri *ruri)
{
	struct str v = STR_NONE;

	(void)sip_param_get(ruri->params, S("sg"), &v);
	return v;
}

static bool mac16(const struct gin_secret *s, const uint8_t *p, size_t n, uint8_t ret[16])
{
	uint8_t full[32];
	size_t got;

	if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, s->key, sizeof(s->key), p, n, full, sizeof(full), &got))
		return false;
	memcpy(ret, full, 16);
	return true;
}

/* MAC over a cookie's first eight bytes and the Call-ID behind them */
static bool cookie_mac(const struct gin_secret *s, const uint8_t raw[8], struct str call_id, uint8_t ret[16])
{
	uint8_t text[8 + 512];

	if (call_id.n > sizeof(text) - 8)
		return false;
	memcpy(text, raw, 8);
	if (call_id.n)
		memcpy(text + 8, call_id.p, call_id.n);
	return mac16(s, text, 8 + call_id.n, ret);
}

int gin_cookie(const struct gin_secret *s, uint64_t registration, struct str call_id, char ret[GIN_COOKIE_TEXT])
{
	uint8_t raw[GIN_COOKIE_RAW];
	struct buf b;

	for (int i = 0; i < 8; i++)
		raw[i] = (uint8_t)(registration >> (56 - 8 * i));
	if (!cookie_mac(s, raw, call_id, raw + 8))
		return -EIO;
	buf_init(&b, ret, GIN_COOKIE_TEXT);
	base64_put(&b, raw, sizeof(raw));
	return 0;
}

uint64_t gin_cookie_of(const uint8_t raw[GIN_COOKIE_RAW])
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | raw[i];
	return v;
}

int gin_cookie_check(const struct gin_secret *s, const uint8_t raw[GIN_COOKIE_RAW], struct str call_id)
{
	uint8_t mac[16];

	return cookie_mac(s, raw, call_id, mac) && CRYPTO_memcmp(mac, raw + 8, 16) == 0 ? 0 : -EPERM;
}

struct gin_rsa {
	EVP_PKEY *key;
	bool private;
};

static struct gin_rsa *wrap(EVP_PKEY *key, bool private)
{
	struct gin_rsa *k = key ? calloc(1, sizeof(*k)) : NULL;

	if (!k || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) < 2048 ||
	    EVP_PKEY_get_size(key) > E_MAX) {
		free(k);
		EVP_PKEY_free(key);
		return NULL;
	}
	k->key = key;
	k->private = private;
	return k;
}

struct gin_rsa *gin_rsa_new(unsigned bits)
{
	return wrap(EVP_RSA_gen((size_t)bits), true);
}

struct gin_rsa *gin_rsa_from_pem(struct str pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, "") : NULL;
	bool private = key != NULL;

	BIO_free(bio);
	if (!key) {
		bio = BIO_new_mem_buf(pem.p, (int)pem.n);
		key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, "") : NULL;
		BIO_free(bio);
	}
	return wrap(key, private);
}

struct gin_rsa *gin_rsa_from_line(struct str base64)
{
	char text[2048];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	buf_lit(&b, "-----BEGIN PUBLIC KEY-----\n");
	for (; base64.n; base64 = str_from(base64, base64.n < 64 ? base64.n : 64)) {
		buf_str(&b, str_head(base64, 64));
		buf_chr(&b, '\n');
	}
	buf_lit(&b, "-----END PUBLIC KEY-----\n");
	return buf_err(&b) ? NULL : gin_rsa_from_pem(buf_text(&b));
}

int gin_rsa_put_pem(const struct gin_rsa *k, bool private, struct buf *ret)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long n;
	int ok;

	if (!bio)
		return -ENOMEM;
	if (private && !k->private) {
		BIO_free(bio);
		return -EINVAL;
	}
	ok = private ? PEM_write_bio_PrivateKey(bio, k->key, NULL, NULL, 0, NULL, NULL) : PEM_write_bio_PUBKEY(bio, k->key);
	n = BIO_get_mem_data(bio, &p);
	if (ok == 1 && n > 0) {
		buf_put(ret, p, (size_t)n);
		if (private)
			OPENSSL_cleanse(p, (size_t)n);
	}
	BIO_free(bio);
	return ok == 1 && n > 0 ? buf_err(ret) : -EIO;
}

void gin_rsa_free(struct gin_rsa *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->key);
	free(k);
}

/* a context with our padding; NULL on failure */
static EVP_PKEY_CTX *oaep(const struct gin_rsa *k, bool encrypt)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k->key, NULL);

	if (!c || (encrypt ? EVP_PKEY_encrypt_init(c) : EVP_PKEY_decrypt_init(c)) != 1 ||
	    EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()) != 1) {
		EVP_PKEY_CTX_free(c);
		return NULL;
	}
	return c;
}

int gin_temp_gruu(const struct gin_rsa *public, const struct gin_secret *pbx, struct str cookie, struct rng *rng,
    struct buf *ret)
{
	uint8_t m[GIN_COOKIE_RAW + D_BYTES], e[E_MAX], pa[16];
	size_t n, en = sizeof(e);
	EVP_PKEY_CTX *c;
	int ok;

	/* a cookie of another service provider may be longer than ours: it is opaque to a PBX */
	if (!base64_get(cookie, m, GIN_COOKIE_RAW, &n) || n == 0)
		return -EINVAL;
	rng_bytes(rng, m + n, D_BYTES);
	c = oaep(public, true);
	ok = c ? EVP_PKEY_encrypt(c, e, &en, m, n + D_BYTES) : 0;
	EVP_PKEY_CTX_free(c);
	if (ok != 1 || !mac16(pbx, e, en, pa))
		return -EIO;
	buf_lit(ret, "tgruu.");
	base64_put(ret, e, en);
	buf_chr(ret, '.');
	base64_put(ret, pa, sizeof(pa));
	return buf_err(ret);
}

/* "tgruu." E "." PA; false: something else */
static bool split(struct str user, uint8_t e[E_MAX], size_t *ret_en, struct str *ret_pa)
{
	struct str left;

	if (!gin_temp_gruu_is(user))
		return false;
	*ret_pa = str_cut(str_from(user, 6), '.', &left);
	return base64_get(left, e, E_MAX, ret_en) && *ret_en > 0;
}

bool gin_temp_gruu_is(struct str user)
{
	return str_prefix(user, S("tgruu."));
}

int gin_temp_gruu_open(struct gin_rsa *const *keys, unsigned n_keys, struct str user, uint8_t ret[GIN_COOKIE_RAW])
{
	uint8_t e[E_MAX], m[E_MAX];
	struct str pa;
	size_t en;

	if (!split(user, e, &en, &pa))
		return -EPERM;
	for (unsigned i = 0; i < n_keys; i++) {
		EVP_PKEY_CTX *c = oaep(keys[i], false);
		size_t n = sizeof(m);
		int ok = c ? EVP_PKEY_decrypt(c, m, &n, e, en) : 0;

		EVP_PKEY_CTX_free(c);
		if (ok != 1 || n < GIN_COOKIE_RAW)
			continue;
		memcpy(ret, m, GIN_COOKIE_RAW);
		return 0;
	}
	return -EPERM;
}

bool gin_temp_gruu_mine(const struct gin_secret *pbx, struct str user)
{
	uint8_t e[E_MAX], pa[64], want[16];
	struct str text;
	size_t en, n;

	return split(user, e, &en, &text) && base64_get(text, pa, sizeof(pa), &n) && n == sizeof(want) &&
	       mac16(pbx, e, en, want) && CRYPTO_memcmp(pa, want, sizeof(want)) == 0;
}
