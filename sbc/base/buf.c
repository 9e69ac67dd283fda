/* buf.c - the sticky-error writer. */
#include "sbc/base/buf.h"

#include <errno.h>
#include <stdio.h>

void buf_fail(struct buf *b)
{
	if (!b->err)
		b->err = -ENOSPC;
	b->cap = b->n; /* later writes fail at once */
}

void buf_u64_long(struct buf *b, uint64_t v)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
	                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
	                            "8081828384858687888990919293949596979899";
	size_t n;
	char *p;

	if (v < 100000) { /* nearly always */
		n = 2u + (v >= 100) + (v >= 1000) + (v >= 10000);
	} else {
		n = 5;
		for (uint64_t t = v / 100000; t; t /= 10)
			n++;
	}
	if (b->cap - b->n < n) {
		buf_fail(b);
		return;
	}
	b->n += n;
	p = b->p + b->n;
	for (; v >= 100; v /= 100) {
		p -= 2;
		memcpy(p, pairs + v % 100 * 2, 2);
	}
	if (v >= 10)
		memcpy(p - 2, pairs + v * 2, 2);
	else
		p[-1] = (char)('0' + v);
}

void buf_hex(struct buf *b, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *u = p;

	for (size_t i = 0; i < n; i++) {
		buf_chr(b, digits[u[i] >> 4]);
		buf_chr(b, digits[u[i] & 15]);
	}
}

void buf_hex64(struct buf *b, uint64_t v)
{
	static const char digits[] = "0123456789abcdef";
	char t[16];
	size_t i = sizeof(t);

	do
		t[--i] = digits[v & 15];
	while (v >>= 4);
	buf_put(b, t + i, sizeof(t) - i);
}

void buf_vfmt(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->cap - b->n;
	int n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, ap);

	if (n < 0 || (size_t)n >= room) { /* vsnprintf wants a byte more for its NUL */
		buf_fail(b);
		return;
	}
	b->n += (size_t)n;
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vfmt(b, fmt, ap);
	va_end(ap);
}

void buf_escaped(struct buf *b, struct str s, size_t max)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = s.n < max ? s.n : max;

	for (size_t i = 0; i < n;) {
		size_t from = i;
		unsigned char c = 0;

		for (; i < n; i++) {
			c = (unsigned char)s.p[i];
			if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
				break;
		}
		buf_put(b, s.p + from, i - from);
		if (i < n) {
			char t[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};

			buf_put(b, t, sizeof(t));
			i++;
		}
	}
	if (n < s.n)
		buf_lit(b, "...");
}

const char *buf_z(struct buf *b)
{
	if (b->n == b->cap) {
		if (b->cap == 0)
			return "";
		b->n--;
		b->err = b->err ? b->err : -ENOSPC;
	}
	b->p[b->n] = '\0';
	return b->p;
}
