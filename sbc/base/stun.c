/* stun.c - STUN Binding (RFC 8489). See stun.h.
 *
 * A message is a head of 20 bytes (type, length, cookie, transaction) and attributes (type, length, value padded to
 * four bytes). Every length is checked before what it speaks of is read. On a SIP port nobody is asked for credentials: the
 * answer says nothing but where the question came from, so what stands in USERNAME or MESSAGE-INTEGRITY does not matter there.
 */
#include "sbc/base/stun.h"

#include <errno.h>
#include <string.h>

#include "sbc/base/be.h"

#define HEAD 20
#define COOKIE 0x2112a442u
#define FINGERPRINT_XOR 0x5354554eu
#define TYPE_REQUEST 0x0001
#define TYPE_INDICATION 0x0011
#define TYPE_SUCCESS 0x0101
#define TYPE_ERROR 0x0111

enum {
	ATTR_MAPPED = 0x0001,
	ATTR_USERNAME = 0x0006,
	ATTR_INTEGRITY = 0x0008,
	ATTR_ERROR_CODE = 0x0009,
	ATTR_UNKNOWN = 0x000a,
	ATTR_REALM = 0x0014,
	ATTR_NONCE = 0x0015,
	ATTR_INTEGRITY_SHA256 = 0x001c,
	ATTR_USERHASH = 0x001e,
	ATTR_XOR_MAPPED = 0x0020,
	ATTR_PRIORITY = 0x0024,
	ATTR_USE_CANDIDATE = 0x0025,
	ATTR_OPTIONAL = 0x8000, /* and above: may be passed over */
	ATTR_FINGERPRINT = 0x8028,
	ATTR_CONTROLLED = 0x8029,
	ATTR_CONTROLLING = 0x802a,
};

/* CRC-32 of ITU V.42, as RFC 8489 14.7 asks */
static uint32_t crc32(const uint8_t *p, size_t n)
{
	uint32_t c = 0xffffffffu;

	for (size_t i = 0; i < n; i++) {
		c ^= p[i];
		for (int k = 0; k < 8; k++)
			c = (c & 1) ? c >> 1 ^ 0xedb88320u : c >> 1;
	}
	return ~c;
}

/* XOR with cookie and transaction (14.2); tid NULL: as it stands (14.1). */
static int get_mapped(const uint8_t *v, size_t n, const uint8_t *tid, struct addr *ret)
{
	uint8_t mask[16], ip[16];
	struct addr a;
	size_t len;

	if (n < 4 || (v[1] != 1 && v[1] != 2))
		return -EBADMSG;
	len = v[1] == 1 ? 4 : 16;
	if (n != 4 + len)
		return -EBADMSG;
	memset(mask, 0, sizeof(mask));
	if (tid) {
		be32_put(mask, COOKIE);
		memcpy(mask + 4, tid, STUN_TID);
	}
	for (size_t i = 0; i < len; i++)
		ip[i] = v[4 + i] ^ mask[i];
	memset(&a, 0, sizeof(a));
	if (len == 4) {
		a.in4.sin_family = AF_INET;
		memcpy(&a.in4.sin_addr, ip, len);
	} else {
		a.in6.sin6_family = AF_INET6;
		memcpy(&a.in6.sin6_addr, ip, len);
	}
	addr_set_port(&a, (uint16_t)(be16(v + 2) ^ (tid ? COOKIE >> 16 : 0)));
	*ret = a;
	return 0;
}

static bool is_known(unsigned type)
{
	switch (type) {
	case ATTR_MAPPED:
	case ATTR_USERNAME:
	case ATTR_INTEGRITY:
	case ATTR_ERROR_CODE:
	case ATTR_UNKNOWN:
	case ATTR_REALM:
	case ATTR_NONCE:
	case ATTR_INTEGRITY_SHA256:
	case ATTR_USERHASH:
	case ATTR_XOR_MAPPED:
	case ATTR_PRIORITY:
	case ATTR_USE_CANDIDATE:
		return true;
	default:
		return type >= ATTR_OPTIONAL;
	}
}

static void remember_unknown(struct stun_msg *m, unsigned type)
{
	for (unsigned i = 0; i < m->n_unknown; i++)
		if (m->unknown[i] == type)
			return;
	if (m->n_unknown < STUN_UNKNOWN_MAX)
		m->unknown[m->n_unknown++] = (uint16_t)type;
}

/* what checks of ICE say, and the credentials; 0 or -EBADMSG */
static int get_ice(struct stun_msg *m, unsigned type, const uint8_t *v, size_t n)
{
	switch (type) {
	case ATTR_USERNAME:
		if (!m->username.p)
			m->username = str_n((const char *)v, n);
		return 0;
	case ATTR_INTEGRITY:
		return n == STUN_MAC ? 0 : -EBADMSG;
	case ATTR_PRIORITY:
		m->priority = n == 4 ? be32(v) : 0;
		return n == 4 ? 0 : -EBADMSG;
	case ATTR_USE_CANDIDATE:
		m->use_candidate = true;
		return 0;
	case ATTR_CONTROLLED:
		m->controlled = true;
		return n == 8 ? 0 : -EBADMSG;
	case ATTR_CONTROLLING:
		m->controlling = true;
		return n == 8 ? 0 : -EBADMSG;
	default:
		return 0;
	}
}

int stun_parse(const char *text, size_t n, struct stun_msg *ret)
{
	const uint8_t *p = (const uint8_t *)text;
	struct stun_msg m = {.mapped.sa.sa_family = AF_UNSPEC};
	size_t at = HEAD;
	bool xored = false;

	if (n < HEAD || p[0] > 3 || be32(p + 4) != COOKIE || be16(p + 2) != n - HEAD || n % 4)
		return -EBADMSG;
	switch (be16(p)) {
	case TYPE_REQUEST:
		m.kind = STUN_REQUEST;
		break;
	case TYPE_SUCCESS:
		m.kind = STUN_SUCCESS;
		break;
	case TYPE_ERROR:
		m.kind = STUN_ERROR;
		break;
	default:
		m.kind = STUN_OTHER;
		break;
	}
	memcpy(m.tid, p + 8, STUN_TID);
	while (at < n) {
		unsigned type, len;

		if (n - at < 4 || m.fingerprint) /* FINGERPRINT is the last one */
			return -EBADMSG;
		type = be16(p + at);
		len = be16(p + at + 2);
		if (len > n - at - 4)
			return -EBADMSG;
		if (type == ATTR_FINGERPRINT) {
			if (len != 4 || be32(p + at + 4) != (crc32(p, at) ^ FINGERPRINT_XOR))
				return -EBADMSG;
			m.fingerprint = true;
		} else if (type == ATTR_XOR_MAPPED || (type == ATTR_MAPPED && !xored)) {
			if (get_mapped(p + at + 4, len, type == ATTR_XOR_MAPPED ? p + 8 : NULL, &m.mapped))
				return -EBADMSG;
			xored = type == ATTR_XOR_MAPPED;
		} else if (m.integrity_at) {
			; /* what is not covered by it is not read (14.5) */
		} else if (get_ice(&m, type, p + at + 4, len)) {
			return -EBADMSG;
		} else if (type == ATTR_INTEGRITY) {
			m.integrity_at = at;
		} else if (!is_known(type)) {
			remember_unknown(&m, type);
		}
		at += 4 + (len + 3) / 4 * 4; /* n is a multiple of four, so the padding is inside */
	}
	*ret = m;
	return 0;
}

static size_t begin(uint8_t *p, unsigned type, const uint8_t tid[STUN_TID])
{
	be16_put(p, type);
	be32_put(p + 4, COOKIE);
	memcpy(p + 8, tid, STUN_TID);
	return HEAD;
}

/* the length counts the fingerprint when its sum is taken (14.7) */
static size_t finish(uint8_t *p, size_t n, bool fingerprint)
{
	be16_put(p + 2, (unsigned)(n - HEAD + (fingerprint ? 8 : 0)));
	if (!fingerprint)
		return n;
	be16_put(p + n, ATTR_FINGERPRINT);
	be16_put(p + n + 2, 4);
	be32_put(p + n + 4, crc32(p, n) ^ FINGERPRINT_XOR);
	return n + 8;
}

size_t stun_put_request(char *out, const uint8_t tid[STUN_TID])
{
	uint8_t *p = (uint8_t *)out;

	return finish(p, begin(p, TYPE_REQUEST, tid), true);
}

size_t stun_put_indication(char *out, const uint8_t tid[STUN_TID])
{
	uint8_t *p = (uint8_t *)out;

	return finish(p, begin(p, TYPE_INDICATION, tid), true);
}

/* text: at most 20 bytes */
static size_t put_error(uint8_t *p, const struct stun_msg *req, unsigned code, struct str text)
{
	size_t n = begin(p, TYPE_ERROR, req->tid);

	be16_put(p + n, ATTR_ERROR_CODE);
	be16_put(p + n + 2, (unsigned)(4 + text.n));
	be32_put(p + n + 4, code / 100 << 8 | code % 100);
	memset(p + n + 8, 0, 20);
	memcpy(p + n + 8, text.p, text.n);
	return n + 8 + (text.n + 3) / 4 * 4;
}

static size_t put_420(uint8_t *p, const struct stun_msg *req)
{
	size_t n = put_error(p, req, 420, S("Unknown Attribute"));

	be16_put(p + n, ATTR_UNKNOWN);
	be16_put(p + n + 2, 2 * req->n_unknown);
	n += 4;
	for (unsigned i = 0; i < req->n_unknown; i++, n += 2)
		be16_put(p + n, req->unknown[i]);
	if (req->n_unknown % 2) {
		be16_put(p + n, 0);
		n += 2;
	}
	return n;
}

static size_t put_success(uint8_t *p, const struct stun_msg *req, const struct addr *source)
{
	struct str ip = addr_ip_bytes(source);
	uint8_t mask[16];
	size_t n = begin(p, TYPE_SUCCESS, req->tid);
	be32_put(mask, COOKIE);
	memcpy(mask + 4, req->tid, STUN_TID);
	be16_put(p + n, ATTR_XOR_MAPPED);
	be16_put(p + n + 2, (unsigned)(4 + ip.n));
	be16_put(p + n + 4, ip.n == 4 ? 1 : 2);
	be16_put(p + n + 6, addr_port(source) ^ (COOKIE >> 16));
	for (size_t i = 0; i < ip.n; i++)
		p[n + 8 + i] = (uint8_t)ip.p[i] ^ mask[i];
	return n + 8 + ip.n;
}

size_t stun_put_answer(char *out, const struct stun_msg *req, const struct addr *source)
{
	uint8_t *p = (uint8_t *)out;

	return finish(p, req->n_unknown ? put_420(p, req) : put_success(p, req, source), req->fingerprint);
}

/* --- integrity: the length in the head counts up to its end, whatever follows (14.5) --- */

static void mac_of(const uint8_t *p, size_t at, stun_mac_fn *mac, void *ctx, uint8_t ret[STUN_MAC])
{
	uint8_t head[HEAD];

	memcpy(head, p, HEAD);
	be16_put(head + 2, (unsigned)(at - HEAD + 4 + STUN_MAC));
	mac(ctx, head, HEAD, p + HEAD, at - HEAD, ret);
}

bool stun_integrity_ok(const char *text, const struct stun_msg *m, stun_mac_fn *mac, void *ctx)
{
	const uint8_t *p = (const uint8_t *)text;
	uint8_t want[STUN_MAC], differ = 0;

	if (!m->integrity_at)
		return false;
	mac_of(p, m->integrity_at, mac, ctx, want);
	for (size_t i = 0; i < STUN_MAC; i++) /* in the same time wherever it differs */
		differ |= want[i] ^ p[m->integrity_at + 4 + i];
	return differ == 0;
}

size_t stun_put_checked(char *out, const struct stun_msg *req, const struct addr *source, unsigned code, struct str text,
    stun_mac_fn *mac, void *ctx)
{
	uint8_t *p = (uint8_t *)out;
	size_t n = req->n_unknown ? put_420(p, req) : code ? put_error(p, req, code, text) : put_success(p, req, source);

	mac_of(p, n, mac, ctx, p + n + 4);
	be16_put(p + n, ATTR_INTEGRITY);
	be16_put(p + n + 2, STUN_MAC);
	return finish(p, n + 4 + STUN_MAC, true);
}
