/* flow_token.c - HMAC-SHA-256 over what is named, with a word before it so that one kind of name never stands for
 * another. */
#include "sbc/reg/flow_token.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define BODY 12 /* registration, flow: big-endian */
#define MAC 16
#define RAW (BODY + MAC)
#define PREFIX "fl."

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int mac(const struct reg_secret *s, const char *what, const uint8_t *p, size_t n, uint8_t ret[32])
{
	uint8_t in[64];
	struct buf b;
	unsigned len = 32;

	buf_init(&b, in, sizeof(in));
	buf_str(&b, str_z(what));
	buf_put(&b, p, n);
	if (buf_err(&b) || !HMAC(EVP_sha256(), s->key, sizeof(s->key), in, b.n, ret, &len))
		return -EIO;
	return 0;
}

static void put_be(uint8_t *p, uint64_t v, unsigned n)
{
	while (n-- > 0) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t get_be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool reg_secret_read(struct reg_secret *s, struct str hex)
{
	struct reg_secret r;

	if (hex.n != 2 * sizeof(r.key))
		return false;
	for (size_t i = 0; i < sizeof(r.key); i++) {
		int hi = digit(hex.p[2 * i]), lo = digit(hex.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		r.key[i] = (uint8_t)(hi << 4 | lo);
	}
	*s = r;
	return true;
}

uint32_t flow_token_flow(const struct net_path *flow)
{
	struct str ip = addr_ip_bytes(&flow->remote);
	uint32_t h = 2166136261u; /* FNV-1a: it only has to differ, the MAC protects it */
	uint8_t rest[8];

	put_be(rest, net_reliable((enum net_proto)flow->proto) ? flow->conn : 0, 4);
	put_be(rest + 4, addr_port(&flow->remote), 2);
	rest[6] = flow->proto;
	rest[7] = flow->realm;
	for (size_t i = 0; i < ip.n; i++)
		h = (h ^ (uint8_t)ip.p[i]) * 16777619u;
	for (size_t i = 0; i < sizeof(rest); i++)
		h = (h ^ rest[i]) * 16777619u;
	return h;
}

int flow_token_put(const struct reg_secret *s, uint64_t registration, const struct net_path *flow, struct buf *b)
{
	uint8_t raw[RAW + 2] = {0}, m[32];

	put_be(raw, registration, 8);
	put_be(raw + 8, flow_token_flow(flow), 4);
	if (mac(s, "flow", raw, BODY, m) < 0)
		return -EIO;
	memcpy(raw + BODY, m, MAC);
	buf_lit(b, PREFIX);
	for (size_t i = 0; i < RAW * 8; i += 6) {
		uint32_t two = (uint32_t)raw[i / 8] << 8 | raw[i / 8 + 1];

		buf_chr(b, digits[two >> (10 - i % 8) & 63]);
	}
	return 0;
}

bool flow_token_is(struct str user)
{
	return str_prefix(user, S(PREFIX));
}

int flow_token_open(const struct reg_secret *s, struct str user, uint64_t *ret_registration, uint32_t *ret_flow)
{
	uint8_t raw[RAW + 2] = {0}, m[32];
	size_t bit = 0;

	if (!flow_token_is(user) || user.n != FLOW_TOKEN_TEXT)
		return -EPERM;
	for (size_t i = sizeof(PREFIX) - 1; i < user.n; i++, bit += 6) {
		const char *d = user.p[i] ? strchr(digits, user.p[i]) : NULL;
		uint32_t v;

		if (!d)
			return -EPERM;
		v = (uint32_t)(d - digits) << (10 - bit % 8);
		raw[bit / 8] |= (uint8_t)(v >> 8);
		raw[bit / 8 + 1] |= (uint8_t)v;
	}
	/* the bits behind the last byte say nothing: only one text stands for one token */
	if (raw[RAW] || mac(s, "flow", raw, BODY, m) < 0 || CRYPTO_memcmp(raw + BODY, m, MAC) != 0)
		return -EPERM;
	*ret_registration = get_be(raw, 8);
	*ret_flow = (uint32_t)get_be(raw + 8, 4);
	return 0;
}

int instance_put(const struct reg_secret *s, uint32_t trunk_id, struct buf *b)
{
	uint8_t id[4], m[32];

	put_be(id, trunk_id, 4);
	if (mac(s, "instance", id, sizeof(id), m) < 0)
		return -EIO;
	m[6] = (uint8_t)((m[6] & 0x0f) | 0x80);
	m[8] = (uint8_t)((m[8] & 0x3f) | 0x80);
	buf_lit(b, "urn:uuid:");
	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			buf_chr(b, '-');
		buf_hex(b, &m[i], 1);
	}
	return 0;
}
