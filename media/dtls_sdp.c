/* dtls_sdp.c - reading and writing what is said of DTLS. See dtls_sdp.h.
 *
 * A far end may name one certificate by several hashes, and several certificates by one hash (RFC 8122 5): the strongest hash
 * that is understood counts, and of it every line.
 */
#include "media/dtls_sdp.h"

static const struct {
	const char *name;
	uint8_t len;
} hashes[] = {
	[DTLS_SHA256] = {"sha-256", 32},
	[DTLS_SHA384] = {"sha-384", 48},
	[DTLS_SHA512] = {"sha-512", 64},
};

size_t dtls_hash_len(uint8_t hash)
{
	return hash < ARRAY_LEN(hashes) ? hashes[hash].len : 0;
}

static int hex_digit(char c)
{
	if (chr_digit(c))
		return c - '0';
	c = chr_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "AA:BB:..." of just so many bytes, in either case (RFC 8122 5 asks for upper) */
static bool read_digest(struct str s, size_t len, uint8_t *ret)
{
	if (s.n != 3 * len - 1)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(s.p[3 * i]), low = hex_digit(s.p[3 * i + 1]);

		if (high < 0 || low < 0 || (i + 1 < len && s.p[3 * i + 2] != ':'))
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static const char *read_print(struct str value, struct dtls_print *ret)
{
	struct str name, digest = str_trim(str_cut(str_trim(value), ' ', &name));

	memset(ret, 0, sizeof(*ret));
	for (uint8_t h = DTLS_SHA256; h < ARRAY_LEN(hashes); h++) {
		if (!str_ieq(name, str_z(hashes[h].name)))
			continue;
		ret->hash = h;
		return read_digest(digest, hashes[h].len, ret->digest) ? NULL : "fingerprint is not of the length of its hash";
	}
	return "fingerprint by no hash that is taken (sha-256, sha-384, sha-512)";
}

static const char *read_prints(const struct sdp_attr *at, struct dtls_said *ret)
{
	const char *why = "no fingerprint";

	for (; at; at = at->next) {
		struct dtls_print p;
		const char *bad;

		if (at->type != 'a' || !str_ieq(at->name, S("fingerprint")))
			continue;
		bad = read_print(at->value, &p);
		if (bad) {
			why = bad;
			if (p.hash) /* a certificate that was meant is not known: better no stream than another one's */
				return bad;
			continue;
		}
		if (ret->n && p.hash < ret->print[0].hash)
			continue;
		if (ret->n && p.hash > ret->print[0].hash) {
			memset(ret->print, 0, sizeof(ret->print));
			ret->n = 0;
		}
		if (ret->n == DTLS_PRINTS_MAX)
			return "too many fingerprints";
		ret->print[ret->n++] = p;
	}
	return ret->n ? NULL : why;
}

static uint8_t read_setup(const struct sdp_attr *at)
{
	struct str v = at ? str_trim(at->value) : S("active");

	if (str_ieq(v, S("actpass")))
		return DTLS_ACTPASS;
	if (str_ieq(v, S("active")))
		return DTLS_ACTIVE;
	return str_ieq(v, S("passive")) ? DTLS_PASSIVE : DTLS_SETUP_NONE;
}

const char *dtls_read(const struct sdp_media *m, struct dtls_said *ret)
{
	const struct sdp_attr *id = sdp_attr(m->attrs, S("tls-id"));
	const char *why;

	memset(ret, 0, sizeof(*ret));
	why = read_prints(m->attrs, ret);
	if (why)
		return why;
	ret->setup = read_setup(sdp_attr(m->attrs, S("setup")));
	if (!ret->setup)
		return "setup is none of active, passive and actpass";
	if (id && id->value.n > DTLS_ID_MAX)
		return "tls-id is too long";
	if (id && id->value.n) {
		ret->id = 14695981039346656037u; /* compared with what the same far end said before, nothing else */
		for (size_t i = 0; i < id->value.n; i++)
			ret->id = (ret->id ^ (uint8_t)id->value.p[i]) * 1099511628211u;
	}
	return NULL;
}

void dtls_print_put(struct buf *b, const struct dtls_print *p)
{
	static const char hex[] = "0123456789ABCDEF";

	buf_str(b, str_z(hashes[p->hash].name));
	for (size_t i = 0; i < hashes[p->hash].len; i++) {
		buf_chr(b, i ? ':' : ' ');
		buf_chr(b, hex[p->digest[i] >> 4]);
		buf_chr(b, hex[p->digest[i] & 15]);
	}
}

enum dtls_setup dtls_role(uint8_t mine, uint8_t theirs)
{
	if ((mine == DTLS_ACTIVE || mine == DTLS_ACTPASS) && theirs == DTLS_PASSIVE)
		return DTLS_ACTIVE;
	if ((mine == DTLS_PASSIVE || mine == DTLS_ACTPASS) && theirs == DTLS_ACTIVE)
		return DTLS_PASSIVE;
	if (mine == DTLS_ACTIVE && theirs == DTLS_ACTPASS)
		return DTLS_ACTIVE;
	return mine == DTLS_PASSIVE && theirs == DTLS_ACTPASS ? DTLS_PASSIVE : DTLS_SETUP_NONE;
}
