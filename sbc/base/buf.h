/* buf.h - a writer into a fixed piece of memory that remembers its first error.
 *
 * Building a message is a list of buf_* calls and one look at buf_err() at the end. After an error nothing
 * more is written, so the content is never a message with a hole.
 */
#ifndef SBC_BASE_BUF_H
#define SBC_BASE_BUF_H

#include <stdarg.h>

#include "sbc/base/str.h"

struct buf {
	char *p;    /* borrow: the caller's memory */
	size_t n;   /* written                     */
	size_t cap;
	int err;    /* 0, or -ENOSPC               */
};

static inline void buf_init(struct buf *b, void *p, size_t cap)
{
	*b = (struct buf){.p = p, .cap = cap};
}

static inline int buf_err(const struct buf *b)
{
	return b->err;
}

static inline struct str buf_text(const struct buf *b)
{
	return (struct str){b->p, b->n};
}

void buf_fail(struct buf *b);

static inline void buf_put(struct buf *b, const void *p, size_t n)
{
	if (b->cap - b->n < n) {
		buf_fail(b);
		return;
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

static inline void buf_str(struct buf *b, struct str s)
{
	buf_put(b, s.p, s.n);
}

static inline void buf_chr(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}

#define buf_lit(b, lit) buf_put((b), "" lit, sizeof(lit) - 1)

/* of two digits or more */
void buf_u64_long(struct buf *b, uint64_t v);

static inline void buf_u64(struct buf *b, uint64_t v)
{
	if (v < 10)
		buf_chr(b, (char)('0' + v));
	else
		buf_u64_long(b, v);
}

void buf_hex(struct buf *b, const void *p, size_t n);
/* as "%llx" */
void buf_hex64(struct buf *b, uint64_t v);
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vfmt(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Bytes of a peer for a log line or a terminal: controls, quotes, backslash and non-ASCII as \xNN, at most
 * max bytes of s, then "...". */
void buf_escaped(struct buf *b, struct str s, size_t max);
/* At the end of a text that must be a C string: adds a NUL that is not counted. */
const char *buf_z(struct buf *b);

#endif
