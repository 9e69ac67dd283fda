/* sdes.c - a=crypto, read and written (sdes.h).
 *
 * The line is "tag suite key-params [session-params]", words apart by blanks; key-params is "inline:KEY[|LIFETIME]
 * [|MKI:LENGTH]", and more of them behind ';' would be more keys. Nothing is guessed: a line that is not understood to its
 * end is not used, and says why.
 */
#include "media/sdes.h"

#include "sbc/base/base64.h"

static struct str word(struct str *s)
{
	size_t i = 0, from;

	while (i < s->n && (s->p[i] == ' ' || s->p[i] == '\t'))
		i++;
	for (from = i; i < s->n && s->p[i] != ' ' && s->p[i] != '\t';)
		i++;
	struct str w = str_n(s->p + from, i - from);
	*s = str_from(*s, i);
	return w;
}

enum crypt_suite sdes_suite(struct str name)
{
	for (unsigned i = CRYPT_NONE + 1; i < CRYPT_SUITES; i++)
		if (str_ieq(name, str_z(crypt_suites[i].name)) ||
		    (crypt_suites[i].alias && str_ieq(name, str_z(crypt_suites[i].alias))))
			return (enum crypt_suite)i;
	return CRYPT_NONE;
}

unsigned sdes_suites(struct str names, uint8_t ret[CRYPT_SUITES])
{
	static const uint8_t all[] = {CRYPT_CM128_80, CRYPT_GCM128, CRYPT_GCM256, CRYPT_CM256_80, CRYPT_CM128_32,
	    CRYPT_CM256_32};
	unsigned n = 0;

	while (names.n) {
		enum crypt_suite s;
		size_t end = 0;

		while (end < names.n && names.p[end] != ',' && names.p[end] != ' ')
			end++;
		s = sdes_suite(str_head(names, end));
		names = str_from(names, end < names.n ? end + 1 : end);
		for (unsigned i = 0; i < n; i++)
			if (ret[i] == s)
				s = CRYPT_NONE;
		if (s != CRYPT_NONE)
			ret[n++] = (uint8_t)s;
	}
	if (n)
		return n;
	memcpy(ret, all, sizeof(all));
	return ARRAY_LEN(all);
}

static const char *read_key(struct str text, struct crypt_key *k)
{
	size_t n;

	text = base64_unpad(text);
	if (!base64_get(text, k->key, sizeof(k->key), &n))
		return text.n > sizeof(k->key) * 4 / 3 + 1 ? "key is too long for its suite" : "key is not base64";
	return n == crypt_suites[k->suite].key_len ? NULL : "key has the wrong length for its suite";
}

static const char *read_lifetime(struct str text, uint64_t *ret)
{
	uint32_t power;

	if (str_iprefix(text, S("2^"))) {
		if (str_u32(str_from(text, 2), 48, &power) < 0)
			return "lifetime is more than 2^48 packets, or no number";
		*ret = (uint64_t)1 << power;
		return NULL;
	}
	if (str_u64(text, (uint64_t)1 << 48, ret) < 0 || *ret == 0)
		return "lifetime is no number of packets up to 2^48";
	return NULL;
}

static const char *read_mki(struct str text, struct crypt_key *k)
{
	struct str value, len = str_cut(text, ':', &value);
	uint32_t n;

	if (str_u32(len, CRYPT_MKI_MAX, &n) < 0 || n == 0)
		return "MKI length is not 1 to 128";
	if (str_u64(value, UINT64_MAX, &k->mki) < 0)
		return "MKI is no number that fits 64 bits";
	if (n < 8 && k->mki >> (8 * n) != 0)
		return "MKI does not fit its length";
	k->mki_len = (uint8_t)n;
	return NULL;
}

static const char *read_params(struct str text, struct sdes_line *l)
{
	struct str key, part, rest;
	const char *why;
	bool lifetime = false;

	if (!str_iprefix(text, S("inline:")))
		return "key method is not inline";
	if (str_chr(text, ';') >= 0)
		return "several keys in one line";
	rest = str_cut(str_from(text, 7), '|', &key);
	why = read_key(key, &l->key);
	for (unsigned i = 0; !why && (rest.n || (i == 0 && str_chr(text, '|') >= 0)); i++) {
		rest = str_cut(rest, '|', &part);
		if (str_chr(part, ':') >= 0)
			why = l->key.mki_len ? "more than one MKI" : read_mki(part, &l->key);
		else if (lifetime || l->key.mki_len)
			why = "key is followed by what is neither lifetime nor MKI";
		else
			why = read_lifetime(part, &l->lifetime);
		lifetime = true;
	}
	return why;
}

static const char *read_session_param(struct str p)
{
	uint32_t n;

	if (p.p[0] == '-')
		return NULL; /* may be ignored by whoever does not know it */
	if (str_iprefix(p, S("WSH=")))
		return str_u32(str_from(p, 4), 32767, &n) < 0 || n < 64 ? "window size is not 64 to 32767" : NULL;
	if (str_iprefix(p, S("KDR=")))
		return "keys derived anew during the call (KDR) are not supported";
	if (str_ieq(p, S("UNENCRYPTED_SRTP")) || str_ieq(p, S("UNENCRYPTED_SRTCP")) ||
	    str_ieq(p, S("UNAUTHENTICATED_SRTP")))
		return "session parameter would weaken the stream";
	if (str_iprefix(p, S("FEC_ORDER=")) || str_iprefix(p, S("FEC_KEY=")))
		return "error correction beside SRTP (FEC) is not supported";
	return "session parameter is not known";
}

const char *sdes_parse(struct str value, struct sdes_line *ret)
{
	struct str tag = word(&value), suite = word(&value), params = word(&value), p;
	struct sdes_line l = {0};
	const char *why;

	if (tag.n > 9 || str_u32(tag, 999999999, &l.tag) < 0)
		return "tag is no number of up to nine digits";
	l.key.suite = (uint8_t)sdes_suite(suite);
	if (l.key.suite == CRYPT_NONE)
		return "suite is not known";
	why = read_params(params, &l);
	for (p = word(&value); !why && p.n; p = word(&value))
		why = read_session_param(p);
	if (!why)
		*ret = l;
	explicit_bzero(&l, sizeof(l));
	return why;
}

void sdes_print(struct buf *b, const struct sdes_line *l)
{
	unsigned power = 0;

	buf_u64(b, l->tag);
	buf_chr(b, ' ');
	buf_str(b, str_z(crypt_suites[l->key.suite].name));
	buf_lit(b, " inline:");
	base64_put_padded(b, l->key.key, crypt_suites[l->key.suite].key_len);
	if (l->lifetime) {
		while ((uint64_t)1 << power < l->lifetime)
			power++;
		if ((uint64_t)1 << power == l->lifetime)
			buf_fmt(b, "|2^%u", power);
		else
			buf_fmt(b, "|%llu", (unsigned long long)l->lifetime);
	}
	if (l->key.mki_len)
		buf_fmt(b, "|%llu:%u", (unsigned long long)l->key.mki, l->key.mki_len);
}
