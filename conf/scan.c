/* scan.c - cuts the configuration file into tokens and remembers where they stand.
 *
 * libConfuse stops at its first error and knows lines only. So the file is first cut here, which gives every token
 * its line and column, and the structure is checked on the tokens (load.c) with every error found in one run. What
 * is then handed to libConfuse is the same text with comments and refused statements blanked out: its values are
 * the ones that count, these places are where errors point.
 */
#include "conf/scan.h"

#include <errno.h>
#include <stdlib.h>

void scan_fini(struct scan *sc)
{
	free(sc->text);
	free(sc->toks);
	*sc = (struct scan){0};
}

void scan_blank(struct scan *sc, size_t from, size_t to)
{
	for (size_t i = from; i < to && i < sc->len; i++)
		if (sc->text[i] != '\n')
			sc->text[i] = ' ';
}

struct str scan_word(const struct scan *sc, const struct tok *t)
{
	if (t->kind == TOK_STRING && t->len >= 2)
		return str_n(sc->text + t->off + 1, t->len - 2);
	return str_n(sc->text + t->off, t->len);
}

static int push(struct scan *sc, struct tok t)
{
	if (sc->n_toks == sc->cap) {
		size_t cap = sc->cap ? sc->cap * 2 : 256;
		struct tok *p = realloc(sc->toks, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		sc->toks = p;
		sc->cap = cap;
	}
	sc->toks[sc->n_toks++] = t;
	return 0;
}

static bool ends_word(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0' || strchr("#\"'={}()+,*", c);
}

/* End of the word at i; a slash that begins a comment ends it. */
static size_t word_end(const char *p, size_t len, size_t i)
{
	while (i < len && !ends_word(p[i])) {
		if (p[i] == '/' && (i + 1 == len || p[i + 1] == '/' || ends_word(p[i + 1])))
			break;
		i++;
	}
	return i;
}

/* Reads the string that begins at i; *ret_end is behind its closing quote. False: it has to be left out. */
static bool string_end(struct scan *sc, struct issues *is, struct tok at, size_t i, size_t *ret_end)
{
	const char *p = sc->text;
	char quote = p[i];
	size_t k = i + 1;
	bool ok = true;

	for (; k < sc->len && p[k] != quote && p[k] != '\n'; k++) {
		unsigned char c = (unsigned char)p[k];
		unsigned col = at.col + (unsigned)(k - i);

		if (c == '\\') {
			if (k + 1 < sc->len && (p[k + 1] == quote || p[k + 1] == '\\')) {
				k++;
				continue;
			}
			issue_add(is, CONF_ERROR, at.line, col, 1, "write \\\\ for a backslash",
			    "only \\%c and \\\\ may follow a backslash in a string", quote);
			ok = false;
		} else if (c == '$' && k + 1 < sc->len && p[k + 1] == '{') {
			issue_add(is, CONF_ERROR, at.line, col, 2, "write the value itself",
			    "environment variables are not expanded");
			ok = false;
		} else if ((c < 0x20 && c != '\t') || c == 0x7f) {
			issue_add(is, CONF_ERROR, at.line, col, 1, "take it out",
			    "control byte 0x%02x in a string", c);
			ok = false;
		}
	}
	if (k == sc->len || p[k] != quote) {
		issue_add(is, CONF_ERROR, at.line, at.col, (unsigned)(k - i), "strings end on their line",
		    "closing %c is missing", quote);
		*ret_end = k;
		return false;
	}
	*ret_end = k + 1;
	return ok;
}

int scan_text(struct scan *sc, struct str text, struct issues *is)
{
	unsigned line = 1;
	size_t bol = 0, i = 0;
	int r = 0;

	*sc = (struct scan){0};
	sc->text = malloc(text.n + 1);
	if (!sc->text)
		return -ENOMEM;
	if (text.n)
		memcpy(sc->text, text.p, text.n);
	sc->text[text.n] = '\0';
	sc->len = text.n;
	while (i < sc->len && r == 0) {
		char *p = sc->text, c = p[i];
		struct tok t = {.off = (uint32_t)i, .len = 1, .line = line, .col = (uint32_t)(i - bol) + 1};

		if (c == '\n') {
			line++;
			bol = ++i;
		} else if (c == ' ' || c == '\t' || c == '\r') {
			p[i++] = ' ';
		} else if (c == '#' || (c == '/' && p[i + 1] == '/')) {
			size_t from = i;

			while (i < sc->len && p[i] != '\n')
				i++;
			scan_blank(sc, from, i);
		} else if (c == '/' && p[i + 1] == '*') {
			size_t from = i;

			for (i += 2; i < sc->len && !(p[i] == '*' && p[i + 1] == '/'); i++)
				if (p[i] == '\n') {
					line++;
					bol = i + 1;
				}
			if (i >= sc->len)
				issue_add(is, CONF_ERROR, t.line, t.col, 2, "close it with */",
				    "comment never ends");
			else
				i += 2;
			scan_blank(sc, from, i < sc->len ? i : sc->len);
		} else if (c == '"' || c == '\'') {
			size_t end;

			t.bad = !string_end(sc, is, t, i, &end);
			if (t.bad)
				scan_blank(sc, i, end);
			if (end - i >= 2) {
				/* stays a string, so that the structure around it can still be read */
				p[i] = p[end - 1] = c;
				t.kind = TOK_STRING;
				t.len = (uint32_t)(end - i);
				r = push(sc, t);
			}
			i = end;
		} else if (c == '+' && p[i + 1] == '=') {
			t.kind = TOK_PLUS_EQ;
			t.len = 2;
			r = push(sc, t);
			i += 2;
		} else if (c == '$' && p[i + 1] == '{') {
			issue_add(is, CONF_ERROR, line, t.col, 2, "write the value itself",
			    "environment variables are not expanded");
			scan_blank(sc, i, i + 2);
			i += 2;
		} else if (c && strchr("{}=,()", c)) {
			t.kind = c == '{' ? TOK_OPEN
			    : c == '}'    ? TOK_CLOSE
			    : c == '='    ? TOK_EQ
			    : c == ','    ? TOK_COMMA
					  : TOK_PAREN;
			r = push(sc, t);
			i++;
		} else {
			size_t end = (unsigned char)c < 0x20 || c == 0x7f ? i : word_end(p, sc->len, i);

			for (size_t k = i; k < end; k++)
				if ((unsigned char)p[k] < 0x20 || p[k] == 0x7f ||
				    (p[k] == '$' && k + 1 < sc->len && p[k + 1] == '{'))
					end = k;
			if (end > i) {
				t.kind = TOK_WORD;
				t.len = (uint32_t)(end - i);
				r = push(sc, t);
				i = end;
			} else {
				if ((unsigned char)c < 0x20 || c == 0x7f)
					issue_add(is, CONF_ERROR, line, t.col, 1, "take it out",
					    "control byte 0x%02x", (unsigned char)c);
				else
					issue_add(is, CONF_ERROR, line, t.col, 1,
					    "put values with blanks or signs in quotes", "'%c' cannot stand here",
					    c);
				scan_blank(sc, i, i + 1);
				i++;
			}
		}
	}
	if (r == 0)
		r = push(sc, (struct tok){.kind = TOK_END, .off = (uint32_t)sc->len, .line = line,
		    .col = (uint32_t)(sc->len - bol) + 1});
	return r;
}
