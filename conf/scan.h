/* scan.h - tokens of the configuration file with their places; only for this folder. */
#ifndef CONF_SCAN_H
#define CONF_SCAN_H

#include "conf/conf.h"

enum tok_kind { TOK_END, TOK_WORD, TOK_STRING, TOK_OPEN, TOK_CLOSE, TOK_EQ, TOK_PLUS_EQ, TOK_COMMA, TOK_PAREN };

struct tok {
	uint8_t kind;
	bool bad; /* a string that was already refused: its content is blanked out */
	uint32_t off, len; /* bytes of the text, quotes included */
	uint32_t line, col; /* 1-based */
};

struct scan {
	char *text;        /* own: NUL-terminated copy; comments and what cannot be read blanked out */
	size_t len;
	struct tok *toks;  /* own: the last one is TOK_END */
	size_t n_toks, cap;
};

/* Problems found on the way go to the report. */
struct issues;
void issue_add(struct issues *is, enum conf_severity sev, unsigned line, unsigned col, unsigned len,
    const char *help, const char *fmt, ...) __attribute__((format(printf, 7, 8)));
void issue_tok(struct issues *is, enum conf_severity sev, const struct tok *t, const char *help, const char *fmt,
    ...) __attribute__((format(printf, 5, 6)));

/* 0 or -ENOMEM. Strings end on their line, know the escapes \" and \\ only, and are never expanded: so that what
 * libConfuse reads out of the same text is what stands there. */
MUST_USE int scan_text(struct scan *sc, struct str text, struct issues *is);
void scan_fini(struct scan *sc);
/* Blanks bytes out of the text that libConfuse will read; lines stay. */
void scan_blank(struct scan *sc, size_t from, size_t to);
/* token without its quotes (escapes left as they are) */
struct str scan_word(const struct scan *sc, const struct tok *t);

#endif
