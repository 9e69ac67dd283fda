/* chars.h - which byte may stand where (RFC 3261 25.1). Private to sbc/sip. */
#ifndef SBC_SIP_CHARS_H
#define SBC_SIP_CHARS_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "sbc/base/str.h"

enum {
	SIP_C_TOKEN = 1, /* token: names of headers, methods, parameters                      */
	SIP_C_HOST = 2,  /* host names and IPv4; '_' is no letter of one but is met in the wild */
	SIP_C_USER = 4,  /* user part of a URI, ':' and '@' not; '#', '[', ']' and the like are
	                  * wrong there but cannot be mistaken for anything, so they pass       */
	SIP_C_PARAM = 8, /* URI parameters and headers: visible and no bracket or quote        */
	SIP_C_PLAIN = 16, /* user part that needs no %HH and is no parameter: not ';' and '?'  */
	SIP_C_SCHEME = 32,
	SIP_C_VALUE = 64, /* of a header parameter, without quotes: SIP_C_PARAM but ';' and ',' */
};

extern const uint8_t sip_chars[256];

static inline bool sip_is(char c, unsigned mask)
{
	return (sip_chars[(unsigned char)c] & mask) != 0;
}

static inline bool sip_is_ws(char c)
{
	return c == ' ' || c == '\t';
}

#ifdef __SSE2__
/* Of the 16 bytes at p those that are no letter, digit, '-' or '.', which are in every class. */
static inline unsigned sip_odd16(const char *p)
{
	__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i letter = _mm_sub_epi8(_mm_or_si128(x, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
	__m128i sign = _mm_sub_epi8(x, _mm_set1_epi8('-')); /* - . / 0..9 */
	__m128i plain = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8('z' - 'a')), letter),
	    _mm_andnot_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('/')),
	        _mm_cmpeq_epi8(_mm_min_epu8(sign, _mm_set1_epi8('9' - '-')), sign)));

	return ~(unsigned)_mm_movemask_epi8(plain) & 0xffffu;
}
#endif

/* Behind the bytes of a class that [p, end) begins with. What stands in [base, p) may be read too: the last 16 bytes of a
 * text are looked at as the 16 that end there. */
static inline const char *sip_span(const char *base, const char *p, const char *end, unsigned mask)
{
#ifdef __SSE2__
	while (end - base >= 16) {
		size_t left = (size_t)(end - p);
		unsigned odd = left >= 16 ? sip_odd16(p) : sip_odd16(end - 16) >> (16 - left);

		if (!odd) {
			if (left <= 16)
				return end;
			p += 16;
			continue;
		}
		p += __builtin_ctz(odd);
		if (!sip_is(*p, mask))
			return p;
		p++;
	}
#else
	(void)base;
#endif
	while (p < end && sip_is(*p, mask))
		p++;
	return p;
}

static inline bool sip_all(struct str s, unsigned mask)
{
	for (size_t i = 0; i < s.n; i++)
		if (!sip_is(s.p[i], mask))
			return false;
	return true;
}

static inline struct str sip_trim(struct str s)
{
	while (s.n && sip_is_ws(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && sip_is_ws(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Case-blind, quick where the case is the usual one; lit is a literal, so that its length is known. */
#define sip_name_is(name, lit)                                                                     \
	((name).n == sizeof(lit) - 1 &&                                                            \
	    (memcmp((name).p, "" lit, sizeof(lit) - 1) == 0 || str_ieq((name), S(lit))))

/* p at a '"': one behind the closing one, or NULL when there is none before end */
static inline const char *sip_skip_quoted(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		if (*p == '"')
			return p + 1;
		if (*p == '\\')
			p++;
	}
	return NULL;
}

/* Value of one hex digit, -1 for another byte. */
static inline int sip_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = chr_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Next octet of a text with %HH, *ret_escaped when it was written so; s must not be empty. */
static inline unsigned char sip_unescape_next(struct str *s, bool *ret_escaped)
{
	if (s->n >= 3 && s->p[0] == '%') {
		int hi = sip_hex(s->p[1]), lo = sip_hex(s->p[2]);

		if (hi >= 0 && lo >= 0) {
			*s = str_from(*s, 3);
			*ret_escaped = true;
			return (unsigned char)(hi << 4 | lo);
		}
	}
	*ret_escaped = false;
	*s = str_from(*s, 1);
	return (unsigned char)s->p[-1];
}

/* host [":" port] of a URI or a Via at p, in a text that begins at base. Returns where it stops, NULL when there is none;
 * *ret_port is left alone without a port. lws: white space around the colon and behind is skipped. */
const char *sip_hostport(const char *base, const char *p, const char *end, bool lws, struct str *ret_host,
    uint16_t *ret_port);
/* "[...]" as 16 bytes; with the stray third colon that the grammar of RFC 3261 allows (RFC 5118 4.10). */
bool sip_ipv6(struct str bracketed, uint8_t ret[16]);

#endif
