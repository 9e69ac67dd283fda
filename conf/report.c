/* report.c - every error of a file in one run, and how it is shown.
 *
 * Issues are added as they are found, with a place in the file, and sorted by place at the end. The report owns a
 * copy of the text, so that the offending line can be shown after the text itself is gone. The first
 * CONF_ISSUES_MAX are kept, the rest is counted.
 */
#include "conf/report.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 400 /* bytes of one message */

void issues_init(struct issues *is, struct str text, const char *file)
{
	struct conf_report_own *own = calloc(1, sizeof(*own));

	*is = (struct issues){0};
	if (!own)
		return;
	arena_pool_init(&own->pool, 8192, 0);
	own->arena = arena_new(&own->pool);
	own->text = str_strdup(text);
	if (own->arena) {
		is->file = str_dup(own->arena, str_z(file)).p;
		is->list = arena_alloc(own->arena, CONF_ISSUES_MAX * sizeof(*is->list));
	}
	is->own = own;
	if (own->text)
		is->text = str_n(own->text, text.n);
}

static struct str line_of(struct str text, unsigned line)
{
	struct str rest = text, head = STR_NONE;

	for (unsigned i = 0; i < line; i++) {
		if (i && str_empty(rest))
			return STR_NONE;
		rest = str_cut(rest, '\n', &head);
	}
	return head;
}

__attribute__((format(printf, 7, 0))) static void add(struct issues *is, enum conf_severity sev, unsigned line,
    unsigned col, unsigned len, const char *help, const char *fmt, va_list ap)
{
	char text[TEXT_MAX];
	struct conf_issue *i;
	struct str s;
	int n;

	if (sev == CONF_ERROR)
		is->errors++;
	else
		is->warnings++;
	if (!is->list || is->n == CONF_ISSUES_MAX)
		return;
	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0)
		n = 0;
	s = str_dup(is->own->arena, str_n(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
	i = &is->list[is->n];
	*i = (struct conf_issue){.severity = (uint8_t)sev, .line = line, .col = col, .len = len ? len : 1};
	i->text = s.p;
	i->help = help && help[0] ? str_dup(is->own->arena, str_z(help)).p : "";
	if (!i->text || !i->help) {
		is->oom++;
		return;
	}
	if (line) {
		struct str src = line_of(is->text, line);

		/* the place stays inside the line whatever was said */
		if (i->col > src.n + 1)
			i->col = (unsigned)src.n + 1;
		if (i->col + i->len > src.n + 1)
			i->len = src.n + 1 > i->col ? (unsigned)src.n + 1 - i->col : 1;
		i->source = src;
	}
	is->n++;
}

void issue_add(struct issues *is, enum conf_severity sev, unsigned line, unsigned col, unsigned len,
    const char *help, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(is, sev, line, col, len, help, fmt, ap);
	va_end(ap);
}

void issue_tok(struct issues *is, enum conf_severity sev, const struct tok *t, const char *help, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(is, sev, t->line, t->col, t->len, help, fmt, ap);
	va_end(ap);
}

static int by_place(const void *pa, const void *pb)
{
	const struct conf_issue *a = pa, *b = pb;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->col != b->col)
		return a->col < b->col ? -1 : 1;
	return a->severity - b->severity;
}

void issues_finish(struct issues *is, struct conf_report *ret)
{
	if (is->list)
		qsort(is->list, is->n, sizeof(*is->list), by_place);
	*ret = (struct conf_report){.file = is->file ? is->file : "",
	    .issues = is->list,
	    .n_issues = is->n,
	    .n_errors = is->errors,
	    .n_warnings = is->warnings,
	    .own = is->own};
}

void conf_report_fini(struct conf_report *r)
{
	if (r->own) {
		arena_free(r->own->arena);
		arena_pool_fini(&r->own->pool);
		free(r->own->text);
		free(r->own);
	}
	*r = (struct conf_report){0};
}

/* One byte of the file for a terminal: always one column. */
static char shown(char c)
{
	if (c == '\t')
		return ' ';
	return (unsigned char)c < 0x20 || (unsigned char)c >= 0x7f ? '?' : c;
}

#define BEFORE 60 /* columns shown before the place when the line is long */
#define AFTER  50

void conf_issue_put(struct buf *b, const struct conf_report *r, const struct conf_issue *i)
{
	char text[TEXT_MAX * 2];
	struct buf t;
	size_t from, to, caret;

	buf_init(&t, text, sizeof(text));
	buf_str(&t, str_z(i->text));
	buf_str(b, str_z(r->file));
	if (i->line)
		buf_fmt(b, ":%u:%u", i->line, i->col);
	buf_fmt(b, ": %s: ", i->severity == CONF_ERROR ? "error" : "warning");
	for (size_t k = 0; k < t.n; k++)
		buf_chr(b, shown(t.p[k]));
	buf_chr(b, '\n');
	if (!i->line) {
		if (i->help[0])
			buf_fmt(b, "      = help: %s\n", i->help);
		return;
	}
	caret = i->col - 1;
	from = caret > BEFORE + AFTER ? caret - BEFORE : 0;
	to = caret + i->len + AFTER;
	if (to > i->source.n)
		to = i->source.n;
	if (to - from > BEFORE + AFTER + AFTER)
		to = from + BEFORE + AFTER + AFTER;
	buf_fmt(b, "%5u | ", i->line);
	for (size_t k = from; k < to; k++)
		buf_chr(b, shown(i->source.p[k]));
	buf_lit(b, "\n      | ");
	for (size_t k = from; k < caret; k++)
		buf_chr(b, ' ');
	buf_chr(b, '^');
	for (size_t k = 1; k < i->len && caret + k < to; k++)
		buf_chr(b, '~');
	if (i->help[0]) {
		buf_chr(b, ' ');
		for (const char *h = i->help; *h; h++)
			buf_chr(b, shown(*h));
	}
	buf_chr(b, '\n');
}

void conf_report_put_count(struct buf *b, const struct conf_report *r)
{
	if (r->n_errors || !r->n_warnings)
		buf_fmt(b, "%u error%s", r->n_errors, r->n_errors == 1 ? "" : "s");
	if (r->n_errors && r->n_warnings)
		buf_lit(b, ", ");
	if (r->n_warnings)
		buf_fmt(b, "%u warning%s", r->n_warnings, r->n_warnings == 1 ? "" : "s");
}
