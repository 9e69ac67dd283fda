/* text.c - growing text. Doubles; over its limit or out of memory it stops taking and says so at the end. */
#include "sbc/ctl/text.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX ((size_t)32 << 20)

void text_fini(struct text *t)
{
	free(t->p);
	*t = (struct text){.max = t->max};
}

/* room for n more bytes and a NUL */
static bool room(struct text *t, size_t n)
{
	size_t max = t->max ? t->max : TEXT_MAX, cap = t->cap;
	char *p;

	if (t->failed)
		return false;
	if (n > max || t->n + n > max) {
		t->failed = true;
		return false;
	}
	if (t->n + n + 1 <= t->cap)
		return true;
	while (cap < t->n + n + 1)
		cap = cap ? cap * 2 : 256;
	p = realloc(t->p, cap);
	if (!p) {
		t->failed = true;
		return false;
	}
	t->p = p;
	t->cap = cap;
	return true;
}

void text_put(struct text *t, const void *p, size_t n)
{
	if (!room(t, n))
		return;
	if (n)
		memcpy(t->p + t->n, p, n);
	t->n += n;
	t->p[t->n] = '\0';
}

void text_vfmt(struct text *t, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || !room(t, (size_t)n))
		return;
	vsnprintf(t->p + t->n, (size_t)n + 1, fmt, ap);
	t->n += (size_t)n;
}

void text_fmt(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_vfmt(t, fmt, ap);
	va_end(ap);
}

void text_fill(struct text *t, char c, size_t n)
{
	if (!room(t, n))
		return;
	memset(t->p + t->n, c, n);
	t->n += n;
	t->p[t->n] = '\0';
}

void text_wrap(struct text *t, struct str s, size_t at, size_t rest, size_t width)
{
	size_t col = at;
	bool any = false;
	struct str word;

	while (!str_empty(s)) {
		s = str_cut(s, ' ', &word);
		if (str_empty(word))
			continue;
		if (any && col + 1 + word.n > width) {
			text_lit(t, "\n");
			text_fill(t, ' ', rest);
			col = rest;
			any = false;
		}
		if (any) {
			text_lit(t, " ");
			col++;
		}
		text_str(t, word);
		col += word.n;
		any = true;
	}
	text_lit(t, "\n");
}
