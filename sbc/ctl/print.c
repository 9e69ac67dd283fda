/* print.c - tables and blocks out of JSON values.
 *
 * Widths are counted in characters (UTF-8 continuation bytes take no column). The order of work for a table: format
 * every cell, take widths, leave out the droppable column with the highest number until the rest fits, wrap the last
 * column when that is not enough and it is text.
 */
#include "sbc/ctl/print.h"

#include <stdlib.h>
#include <time.h>

#define COLS_MAX 24
#define WRAP_MIN 20 /* columns: below this wrapping makes no text one could read */

static size_t width_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

json_t *print_json(struct str s)
{
	json_t *j = json_stringn(s.p ? s.p : "", s.n);
	char *copy;

	if (j)
		return j;
	copy = str_strdup(s);
	if (!copy)
		return NULL;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)copy[i] >= 0x80)
			copy[i] = '?';
	j = json_stringn(copy, s.n);
	free(copy);
	return j;
}

void print_time(struct text *t, int64_t wall_us)
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;

	if (!localtime_r(&s, &tm)) {
		text_lit(t, "-");
		return;
	}
	text_fmt(t, "%04d-%02d-%02d %02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec);
}

void print_ago(struct text *t, int64_t us)
{
	int64_t s = us < 0 ? 0 : us / 1000000;

	if (s < 120)
		text_fmt(t, "%lld s", (long long)s);
	else if (s < 7200)
		text_fmt(t, "%lld min", (long long)(s / 60));
	else if (s < 172800)
		text_fmt(t, "%lld h", (long long)(s / 3600));
	else
		text_fmt(t, "%lld d", (long long)(s / 86400));
}

void print_duration_ms(struct text *t, int64_t ms)
{
	int64_t s = ms / 1000;

	if (ms < 1000)
		text_fmt(t, "%lld ms", (long long)ms);
	else if (ms < 60000)
		text_fmt(t, "%lld.%lld s", (long long)s, (long long)(ms % 1000 / 100));
	else if (s < 3600)
		text_fmt(t, "%lld:%02lld", (long long)(s / 60), (long long)(s % 60));
	else if (s < 172800)
		text_fmt(t, "%lld:%02lld:%02lld", (long long)(s / 3600), (long long)(s / 60 % 60), (long long)(s % 60));
	else
		text_fmt(t, "%lldd %02lld:%02lld", (long long)(s / 86400), (long long)(s / 3600 % 24),
		    (long long)(s / 60 % 60));
}

static void put_bytes(struct text *t, double v)
{
	static const char units[] = " KMGT";
	int i = 0;

	while (v >= 10240 && i < 4) {
		v /= 1024;
		i++;
	}
	if (i == 0)
		text_fmt(t, "%.0f", v);
	else
		text_fmt(t, "%.1f%c", v, units[i]);
}

void print_value(struct text *t, const json_t *v, enum print_kind kind, const struct print_opts *o)
{
	const char *sep = "";
	size_t i;
	json_t *e;

	switch (json_typeof(v)) {
	case JSON_STRING:
		text_str(t, str_n(json_string_value(v), json_string_length(v)));
		return;
	case JSON_TRUE:
		text_lit(t, "yes");
		return;
	case JSON_FALSE:
		text_lit(t, "no");
		return;
	case JSON_NULL:
		text_lit(t, "-");
		return;
	case JSON_ARRAY:
		json_array_foreach(v, i, e) {
			text_fmt(t, "%s", sep);
			if (!json_is_array(e) && !json_is_object(e))
				print_value(t, e, kind, o);
			sep = ", ";
		}
		if (i == 0)
			text_lit(t, "-");
		return;
	case JSON_OBJECT:
		return;
	case JSON_INTEGER:
	case JSON_REAL:
		break;
	}
	switch (kind) {
	case PK_BYTES:
		put_bytes(t, json_number_value(v));
		break;
	case PK_MS:
		print_duration_ms(t, (int64_t)json_number_value(v));
		break;
	case PK_US:
		text_fmt(t, "%.1f ms", json_number_value(v) / 1000);
		break;
	case PK_PCT:
		text_fmt(t, json_number_value(v) > 0 && json_number_value(v) < 10 ? "%.1f %%" : "%.0f %%",
		    json_number_value(v));
		break;
	case PK_WHEN:
		if (o->abs) {
			print_time(t, (int64_t)json_integer_value(v));
		} else {
			print_ago(t, o->now_us - (int64_t)json_integer_value(v));
			text_lit(t, " ago");
		}
		break;
	default:
		if (json_is_integer(v))
			text_fmt(t, "%lld", (long long)json_integer_value(v));
		else
			text_fmt(t, "%.1f", json_real_value(v));
	}
}

static size_t longest_word(struct str s)
{
	size_t longest = 0;
	struct str word;

	while (!str_empty(s)) {
		s = str_cut(s, ' ', &word);
		if (word.n > longest)
			longest = word.n;
	}
	return longest;
}

struct cells {
	struct text *cell; /* own: [row * n_cols + col] */
	const json_t **row; /* own: in the order to print */
	unsigned n_rows, n_cols;
	size_t width[COLS_MAX], word[COLS_MAX]; /* of the longest cell, of the longest word */
	bool hidden[COLS_MAX];
};

static void cells_fini(struct cells *c)
{
	for (size_t i = 0; c->cell && i < (size_t)c->n_rows * c->n_cols; i++)
		text_fini(&c->cell[i]);
	free(c->cell);
	free(c->row);
}

/* Rows by level, the worst first, otherwise as they came. */
static unsigned order_rows(const json_t *rows, const json_t **ret)
{
	unsigned n = 0;
	size_t i;
	json_t *r;

	for (int level = 2; level >= 0; level--)
		json_array_foreach(rows, i, r) {
			json_int_t l = json_integer_value(json_object_get(r, "level"));

			if ((l > 2 ? 2 : l < 0 ? 0 : l) == level)
				ret[n++] = r;
		}
	return n;
}

static size_t total(const struct cells *c)
{
	size_t sum = 0;
	bool any = false;

	for (unsigned k = 0; k < c->n_cols; k++) {
		if (c->hidden[k])
			continue;
		sum += c->width[k] + (any ? 2 : 0);
		any = true;
	}
	return sum;
}

static int last_column(const struct cells *c)
{
	int last = -1;

	for (unsigned k = 0; k < c->n_cols; k++)
		if (!c->hidden[k])
			last = (int)k;
	return last;
}

/* The last column is text and would have room enough to be read when wrapped. */
static bool can_wrap(const struct cells *c, const struct print_col *cols, int last, unsigned columns)
{
	size_t least = c->word[last] > WRAP_MIN ? c->word[last] : WRAP_MIN;

	return last > 0 && cols[last].kind == PK_TEXT && total(c) - c->width[last] + least <= columns;
}

static void fit(struct cells *c, const struct print_col *cols, unsigned columns)
{
	while (total(c) > columns) {
		int worst = -1, last = last_column(c);

		for (unsigned k = 0; k < c->n_cols; k++)
			if (!c->hidden[k] && cols[k].drop && (worst < 0 || cols[k].drop >= cols[worst].drop))
				worst = (int)k;
		if (worst < 0 || (worst == last && can_wrap(c, cols, last, columns)))
			break;
		c->hidden[worst] = true;
	}
}

static void put_cell(struct text *t, const char *s, size_t width, bool right, bool last)
{
	size_t w = width_of(s), pad = width > w ? width - w : 0;

	if (right)
		text_fill(t, ' ', pad);
	text_fmt(t, "%s", s);
	if (!right && !last)
		text_fill(t, ' ', pad);
}

static void trim_line(struct text *t)
{
	while (t->n && t->p[t->n - 1] == ' ')
		t->p[--t->n] = '\0';
	text_lit(t, "\n");
}

void print_table(struct text *t, const json_t *rows, const struct print_col *cols, unsigned n_cols,
    const struct print_opts *o)
{
	struct cells c = {.n_cols = n_cols < COLS_MAX ? n_cols : COLS_MAX};
	size_t before;
	int last;
	bool wrap;

	c.row = calloc(json_array_size(rows) + 1, sizeof(*c.row));
	c.cell = calloc(json_array_size(rows) * c.n_cols + 1, sizeof(*c.cell));
	if (!c.row || !c.cell) {
		t->failed = true;
		c.n_rows = 0;
		cells_fini(&c);
		return;
	}
	c.n_rows = order_rows(rows, c.row);
	for (unsigned k = 0; k < c.n_cols; k++) {
		c.width[k] = width_of(cols[k].title);
		for (unsigned i = 0; i < c.n_rows; i++) {
			struct text *cell = &c.cell[i * c.n_cols + k];
			const json_t *v = json_object_get(c.row[i], cols[k].key);
			size_t w;

			if (v)
				print_value(cell, v, cols[k].kind, o);
			w = width_of(text_z(cell));
			if (w > c.width[k])
				c.width[k] = w;
			w = longest_word(text_get(cell));
			if (w > c.word[k])
				c.word[k] = w;
		}
	}
	fit(&c, cols, o->columns);
	last = last_column(&c);
	if (last < 0) {
		cells_fini(&c);
		return;
	}
	before = total(&c) - c.width[last];
	wrap = total(&c) > o->columns && can_wrap(&c, cols, last, o->columns);
	for (unsigned i = 0; i <= c.n_rows; i++) { /* 0: titles */
		for (int k = 0; k <= last; k++) {
			const char *s = i == 0 ? cols[k].title : text_z(&c.cell[(i - 1) * c.n_cols + (unsigned)k]);

			if (c.hidden[k])
				continue;
			if (k == last && wrap) {
				text_wrap(t, str_z(s), before, before, o->columns);
				t->p[--t->n] = '\0'; /* its newline: trim_line() puts it */
			} else {
				put_cell(t, s, c.width[k], cols[k].kind != PK_TEXT, k == last);
			}
			if (k != last)
				text_lit(t, "  ");
			if (t->failed)
				break;
		}
		if (t->failed)
			break;
		trim_line(t);
	}
	cells_fini(&c);
}

void print_block(struct text *t, const json_t *obj, const struct print_col *cols, unsigned n_cols,
    const struct print_opts *o)
{
	size_t width = 0;

	for (unsigned k = 0; k < n_cols; k++)
		if (json_object_get(obj, cols[k].key) && width_of(cols[k].title) > width)
			width = width_of(cols[k].title);
	for (unsigned k = 0; k < n_cols; k++) {
		const json_t *v = json_object_get(obj, cols[k].key);
		struct text cell = {0};

		if (!v || (json_is_string(v) && json_string_length(v) == 0))
			continue;
		print_value(&cell, v, cols[k].kind, o);
		put_cell(t, cols[k].title, width, false, false);
		text_lit(t, "  ");
		text_wrap(t, text_get(&cell), width + 2, width + 2, o->columns);
		text_fini(&cell);
	}
}

void print_csv_field(struct text *t, struct str s)
{
	bool quote = false, formula = s.n && strchr("=@\t\r", s.p[0]);

	/* "+49…" is a number here, and so is "-5"; anything else behind a sign could be run by a spreadsheet */
	if (s.n > 1 && (s.p[0] == '+' || s.p[0] == '-'))
		for (size_t i = 1; i < s.n; i++)
			formula |= !chr_digit(s.p[i]) && !strchr(".x", s.p[i]);
	for (size_t i = 0; i < s.n; i++)
		quote |= strchr(",\"\r\n", s.p[i]) != NULL;
	if (formula)
		quote = true;
	if (quote)
		text_lit(t, "\"");
	if (formula)
		text_lit(t, "'");
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			text_lit(t, "\"");
		text_put(t, &s.p[i], 1);
	}
	if (quote)
		text_lit(t, "\"");
}
