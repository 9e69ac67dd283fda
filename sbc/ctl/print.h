/* print.h - JSON values as people read them: tables and blocks of names and values.
 *
 * A handler makes JSON once; what the terminal shows is a view of it. Tables stay within the columns of the
 * terminal by leaving out columns that matter less, then by wrapping the last one; a value is never cut.
 */
#ifndef SBC_CTL_PRINT_H
#define SBC_CTL_PRINT_H

#include <jansson.h>

#include "sbc/ctl/text.h"

enum print_kind {
	PK_TEXT,   /* left */
	PK_NUM,    /* right; integers and reals as they are */
	PK_BYTES,  /* right: 12.4M */
	PK_MS,     /* milliseconds as a duration: 210 ms, 4.2 s, 3:07, 1:02:33 */
	PK_US,     /* microseconds as milliseconds: 2.1 ms */
	PK_PCT,    /* real, percent: 97 %, 0.4 % */
	PK_WHEN,   /* wall clock in microseconds: 12 s ago, or the time itself */
};

struct print_col {
	const char *key, *title;
	enum print_kind kind;
	uint8_t drop; /* 0: never left out; else the highest goes first */
};

struct print_opts {
	unsigned columns; /* of the terminal */
	bool abs;
	int64_t now_us;   /* wall clock */
};

/* Rows with a member "level" (0 ok, 1 warning, 2 error) are sorted by it, worst first. */
void print_table(struct text *t, const json_t *rows, const struct print_col *cols, unsigned n_cols,
    const struct print_opts *o);
/* One line for each column whose key the object has: "title  value". Long text wraps. */
void print_block(struct text *t, const json_t *obj, const struct print_col *cols, unsigned n_cols,
    const struct print_opts *o);
/* One value */
void print_value(struct text *t, const json_t *v, enum print_kind kind, const struct print_opts *o);
/* RFC 4180: quoted when needed; a field that a spreadsheet would run gets a ' before it */
void print_csv_field(struct text *t, struct str s);

/* "2025-11-25 17:23:01" of local time */
void print_time(struct text *t, int64_t wall_us);
void print_ago(struct text *t, int64_t us);
void print_duration_ms(struct text *t, int64_t ms);
/* A JSON text of bytes that may be anything. */
json_t *print_json(struct str s);
static inline json_t *print_jsonz(const char *z)
{
	return print_json(str_z(z));
}

#endif
