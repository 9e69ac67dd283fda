/* str.h - a slice of bytes that somebody else owns.
 *
 * All text from the network is handled as (pointer, length); nothing in Postern relies on a NUL. A slice
 * never owns: whoever made it says what it points into. The empty slice may have p == NULL.
 */
#ifndef SBC_BASE_STR_H
#define SBC_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_USE __attribute__((warn_unused_result))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

struct arena;

struct str {
	const char *p;
	size_t n;
};

/* for "%.*s" */
#define STR(s) (int)(s).n, (s).p ? (s).p : ""
/* from a literal */
#define S(lit) ((struct str){"" lit, sizeof(lit) - 1})
#define STR_NONE ((struct str){NULL, 0})

static inline struct str str_n(const char *p, size_t n)
{
	return (struct str){p, n};
}

static inline struct str str_z(const char *z)
{
	return (struct str){z, z ? strlen(z) : 0};
}

static inline bool str_empty(struct str s)
{
	return s.n == 0;
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline struct str str_from(struct str s, size_t off)
{
	return off >= s.n ? (struct str){s.p + s.n, 0} : (struct str){s.p + off, s.n - off};
}

static inline struct str str_head(struct str s, size_t n)
{
	return (struct str){s.p, n < s.n ? n : s.n};
}

/* ASCII only, locale never matters */
static inline char chr_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool chr_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* but HT, which may stand in any text */
static inline bool chr_ctl(char c)
{
	return (unsigned char)c < 0x20 && c != '\t';
}

/* the first control character but HT, or end */
const char *str_find_ctl(const char *p, const char *end);

/* of the same length, not empty */
bool str_ieq_bytes(const char *a, const char *b, size_t n);

static inline bool str_ieq(struct str a, struct str b)
{
	/* most that differ do so in length, in the first byte or in the last (PCMA, PCMU) */
	return a.n == b.n && (a.n == 0 || (chr_lower(a.p[0]) == chr_lower(b.p[0]) &&
	                                      chr_lower(a.p[a.n - 1]) == chr_lower(b.p[a.n - 1]) &&
	                                      str_ieq_bytes(a.p, b.p, a.n)));
}

bool str_prefix(struct str s, struct str prefix);
bool str_iprefix(struct str s, struct str prefix);
int str_cmp(struct str a, struct str b);
/* index of the first c, or -1 */
ptrdiff_t str_chr(struct str s, char c);
ptrdiff_t str_find(struct str s, struct str needle);
/* without SP, HT, CR and LF at both ends */
struct str str_trim(struct str s);
/* Cuts at the first c: *ret_head gets what stands before, the result is what stands after. Without c all
 * of s becomes the head and the result is empty. */
struct str str_cut(struct str s, char c, struct str *ret_head);

/* The one integer reader. Whole of s must be digits. 0, -EINVAL (empty or a non-digit), -ERANGE (> max). */
MUST_USE int str_u64(struct str s, uint64_t max, uint64_t *ret);
MUST_USE int str_u32(struct str s, uint32_t max, uint32_t *ret);

/* Copies into the arena; the copy is followed by a NUL that is not counted. {NULL,0} when out of memory. */
struct str str_dup(struct arena *dst, struct str s);
/* malloc'ed, NUL-terminated; NULL when out of memory */
char *str_strdup(struct str s);

/* Edit distance up to limit, for "did you mean"; limit + 1 when farther. Strings are clipped to 63 bytes. */
unsigned str_distance(struct str a, struct str b, unsigned limit);

#endif
