/* flow_token.c - HMAC-SHA-256, cut to 16 bytes, over the word "flow", the registration and the flow. (The same secret makes
 * cookies of GRUUs: those begin with the eight bytes of a number below 2^56, never with that word.) */
#include "sbc/reg/flow_token.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "sbc/base/base64.h"

#define BODY 12
#define MAC 16
#define PREFIX "fl."
_Static_assert(sizeof(PREFIX) - 1 + ((BODY + MAC) * 4 + 2) / 3 == FLOW_TOKEN_TEXT, "its length");

static int mac(const struct gin_secret *s, const uint8_t body[BODY], uint8_t ret[32])
{
	uint8_t in[4 + BODY] = {'f', 'l', 'o', 'w'};
	unsigned len = 32;

	memcpy(in + 4, body, BODY);
	return HMAC(EVP_sha256(), s->key, sizeof(s->key), in, sizeof(in), ret, &len) ? 0 : -EIO;
}

uint32_t flow_token_flow(const struct net_path *flow)
{
	struct str ip = addr_ip_bytes(&flow->remote);
	uint32_t conn = net_reliable((enum net_proto)flow->proto) ? flow->conn : 0;
	uint8_t rest[] = {(uint8_t)(conn >> 24), (uint8_t)(conn >> 16), (uint8_t)(conn >> 8), (uint8_t)conn,
	    (uint8_t)(addr_port(&flow->remote) >> 8), (uint8_t)addr_port(&flow->remote), flow->proto, flow->realm};
	uint32_t h = 2166136261u; /* FNV-1a: it only has to differ, the MAC protects it */

	for (size_t i = 0; i < ip.n; i++)
		h = (h ^ (uint8_t)ip.p[i]) * 16777619u;
	for (size_t i = 0; i < sizeof(rest); i++)
		h = (h ^ rest[i]) * 16777619u;
	return h;
}

int flow_token_put(const struct gin_secret *s, uint64_t registration, const struct net_path *flow, struct buf *b)
{
	uint8_t raw[BODY + 32]; /* the whole MAC, of which a part is used */
	uint32_t f = flow_token_flow(flow);

	for (int i = 0; i < 8; i++)
		raw[i] = (uint8_t)(registration >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		raw[8 + i] = (uint8_t)(f >> (24 - 8 * i));
	if (mac(s, raw, raw + BODY) < 0)
		return -EIO;
	buf_lit(b, PREFIX);
	base64_put(b, raw, BODY + MAC);
	return 0;
}

bool flow_token_is(struct str user)
{
	return str_prefix(user, S(PREFIX));
}

int flow_token_open(const struct gin_secret *s, struct str user, uint64_t *ret_registration, uint32_t *ret_flow)
{
	uint8_t raw[BODY + MAC], m[32];
	uint64_t registration = 0;
	uint32_t flow = 0;
	size_t n;

	if (!flow_token_is(user) || user.n != FLOW_TOKEN_TEXT ||
	    !base64_get(str_from(user, sizeof(PREFIX) - 1), raw, sizeof(raw), &n) || n != sizeof(raw) || mac(s, raw, m) < 0 ||
	    CRYPTO_memcmp(raw + BODY, m, MAC) != 0)
		return -EPERM;
	for (int i = 0; i < 8; i++)
		registration = registration << 8 | raw[i];
	for (int i = 8; i < BODY; i++)
		flow = flow << 8 | raw[i];
	*ret_registration = registration;
	*ret_flow = flow;
	return 0;
}
