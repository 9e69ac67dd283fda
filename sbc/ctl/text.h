/* text.h - text that grows, up to a limit, and remembers when it could not. */
#ifndef SBC_CTL_TEXT_H
#define SBC_CTL_TEXT_H

#include "sbc/base/buf.h"

struct text {
	char *p;     /* own: NUL-terminated once something was put */
	size_t n, cap;
	size_t max;  /* bytes; 0: CTL_OUTPUT_MAX */
	bool failed; /* no memory, or over max: nothing more is taken */
};

void text_fini(struct text *t);
void text_put(struct text *t, const void *p, size_t n);
void text_fmt(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_vfmt(struct text *t, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void text_fill(struct text *t, char c, size_t n);
static inline void text_str(struct text *t, struct str s)
{
	text_put(t, s.p, s.n);
}
#define text_lit(t, lit) text_put((t), "" lit, sizeof(lit) - 1)
static inline const char *text_z(const struct text *t)
{
	return t->p ? t->p : "";
}
static inline struct str text_get(const struct text *t)
{
	return str_n(t->p, t->n);
}
/* Words of s from column `at`, where t stands, following lines indented by `rest`, no line wider than width columns
 * (a word that is longer stays whole), and a newline. */
void text_wrap(struct text *t, struct str s, size_t at, size_t rest, size_t width);

#endif
