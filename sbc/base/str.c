/* str.c - slices: comparing, cutting, reading numbers. Pure, no allocation but str_dup/str_strdup. */
#include "sbc/base/str.h"

#include <errno.h>
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "sbc/base/arena.h"

const char *str_find_ctl(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i limit = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t');

	while (end - p >= 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, limit), x);
		int found = _mm_movemask_epi8(_mm_andnot_si128(_mm_cmpeq_epi8(x, tab), low));

		if (found)
			return p + __builtin_ctz((unsigned)found);
		p += 16;
	}
#endif
	while (end - p >= 8) {
		uint64_t v;

		memcpy(&v, p, sizeof(v));
		if ((v - 0x2020202020202020u) & ~v & 0x8080808080808080u)
			for (int i = 0; i < 8; i++)
				if (chr_ctl(p[i]))
					return p + i;
		p += 8;
	}
	while (p < end && !chr_ctl(*p))
		p++;
	return p;
}

bool str_ieq_bytes(const char *a, const char *b, size_t n)
{
	if (memcmp(a, b, n) == 0)
		return true;
	for (size_t i = 0; i < n; i++)
		if (chr_lower(a[i]) != chr_lower(b[i]))
			return false;
	return true;
}

bool str_prefix(struct str s, struct str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_iprefix(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_ieq(str_head(s, prefix.n), prefix);
}

int str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

ptrdiff_t str_chr(struct str s, char c)
{
	const char *p = s.n ? memchr(s.p, c, s.n) : NULL;

	return p ? p - s.p : -1;
}

ptrdiff_t str_find(struct str s, struct str needle)
{
	const char *p;

	if (needle.n == 0)
		return 0;
	p = s.n >= needle.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return p ? p - s.p : -1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.n && is_space(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct str str_cut(struct str s, char c, struct str *ret_head)
{
	ptrdiff_t i = str_chr(s, c);

	if (i < 0) {
		*ret_head = s;
		return STR_NONE;
	}
	*ret_head = str_head(s, (size_t)i);
	return str_from(s, (size_t)i + 1);
}

int str_u64(struct str s, uint64_t max, uint64_t *ret)
{
	const uint64_t last = UINT64_MAX / 10; /* what takes one digit more, when that is not above 5 */
	uint64_t v = 0;
	bool over = false;

	if (s.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)s.p[i] - '0';

		if (d > 9)
			return -EINVAL;
		if (v >= last)
			over |= v > last || d > 5;
		v = v * 10 + d;
	}
	if (over || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int str_u32(struct str s, uint32_t max, uint32_t *ret)
{
	uint64_t v;
	int e = str_u64(s, max, &v);

	if (e == 0)
		*ret = (uint32_t)v;
	return e;
}

struct str str_dup(struct arena *dst, struct str s)
{
	char *p = arena_bytes_alloc(dst, s.n + 1);

	if (!p)
		return STR_NONE;
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct str){p, s.n};
}

char *str_strdup(struct str s)
{
	char *p = malloc(s.n + 1);

	if (!p)
		return NULL;
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

unsigned str_distance(struct str a, struct str b, unsigned limit)
{
	unsigned row[64];

	a = str_head(a, 63);
	b = str_head(b, 63);
	for (size_t j = 0; j <= b.n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a.n; i++) {
		unsigned diag = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.n; j++) {
			unsigned up = row[j];
			unsigned best = diag + (chr_lower(a.p[i - 1]) != chr_lower(b.p[j - 1]));

			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diag = up;
		}
	}
	return row[b.n] > limit ? limit + 1 : row[b.n];
}
