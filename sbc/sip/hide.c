/* hide.c - credentials and digits in messages, made unreadable in place.
 *
 * Works on bytes that need not be a message: a header field is found by its name at the beginning of a line and
 * reaches, folded lines included, to the next line that does not begin with a blank. In doubt more is hidden: a value
 * ends at a comma or the end of the field, whatever quotes say.
 */
#include "sbc/sip/hide.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool token_char(char c)
{
	return chr_digit(c) || (chr_lower(c) >= 'a' && chr_lower(c) <= 'z') || str_chr(S("-.!%*_+`'~"), c) >= 0;
}

/* end of the field whose value begins at `at` */
static size_t field_end(const char *p, size_t n, size_t at)
{
	while (at < n && !(p[at] == '\n' && (at + 1 == n || !blank(p[at + 1]))))
		at++;
	return at;
}

static void cover(char *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (p[i] != '"' && p[i] != '\r' && p[i] != '\n' && !blank(p[i]))
			p[i] = '*';
}

/* values of parameters called name in [from, to) */
static void cover_param(char *p, size_t from, size_t to, struct str name)
{
	for (size_t i = from; i + name.n < to; i++) {
		size_t k = i + name.n, end;

		if (!str_ieq(str_n(p + i, name.n), name) || (i > from && token_char(p[i - 1])))
			continue;
		while (k < to && (blank(p[k]) || p[k] == '\r' || p[k] == '\n'))
			k++;
		if (k == to || p[k] != '=')
			continue;
		for (end = ++k; end < to && p[end] != ','; end++)
			;
		cover(p, k, end);
		i = end - 1;
	}
}

/* one field's value */
static void hide_value(char *p, size_t from, size_t to, bool info)
{
	size_t scheme;

	if (info) {
		cover_param(p, from, to, S("rspauth"));
		return;
	}
	while (from < to && !token_char(p[from]))
		from++;
	for (scheme = from; scheme < to && token_char(p[scheme]); scheme++)
		;
	if (str_ieq(str_n(p + from, scheme - from), S("Digest")))
		cover_param(p, scheme, to, S("response"));
	else
		cover(p, scheme, to);
}

/* does the value in [from, to) say that the body is a digit? */
static bool is_digits(const char *p, size_t from, size_t to)
{
	while (from < to && (blank(p[from]) || p[from] == '\r' || p[from] == '\n'))
		from++;
	return str_iprefix(str_n(p + from, to - from), S("application/dtmf"));
}

/* "Signal=5", or a line of nothing but the digit: both are read in either type (b2b/dtmf.c) */
static void hide_digits(char *p, size_t at, size_t n)
{
	for (size_t end; at < n; at = end + 1) {
		struct str line, name;
		ptrdiff_t eq;

		for (end = at; end < n && p[end] != '\n'; end++)
			;
		line = str_n(p + at, end - at);
		eq = str_chr(line, '=');
		name = str_trim(eq < 0 ? line : str_n(line.p, (size_t)eq));
		if (eq >= 0 && str_ieq(name, S("Signal")))
			cover(p, at + (size_t)eq + 1, end);
		else if (eq < 0 && (name.n == 1 || (name.n == 2 && chr_digit(name.p[1]))) &&
		         str_chr(S("0123456789*#ABCDabcd"), name.p[0]) >= 0)
			cover(p, at, end);
	}
}

void sip_hide_credentials(char *p, size_t n)
{
	bool digits = false;

	static const struct {
		struct str name;
		bool info;
	} fields[] = {{{"Authorization", 13}, false}, {{"Proxy-Authorization", 19}, false}, {{"Authentication-Info", 19}, true},
	    {{"Proxy-Authentication-Info", 25}, true}};

	for (size_t at = 0; at < n;) {
		size_t end, empty = p[at] == '\r' ? at + 1 : at;

		if (empty == n || p[empty] == '\n') { /* the body, whatever it begins with */
			if (digits)
				hide_digits(p, empty + 1, n);
			return;
		}
		end = field_end(p, n, at);
		for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
			size_t k = at + fields[i].name.n;

			if (k >= end || !str_ieq(str_n(p + at, fields[i].name.n), fields[i].name))
				continue;
			while (k < end && blank(p[k]))
				k++;
			if (k < end && p[k] == ':')
				hide_value(p, k + 1, end, fields[i].info);
		}
		if (p[at] == 'C' || p[at] == 'c') {
			ptrdiff_t colon = str_chr(str_n(p + at, end - at), ':');
			struct str name = str_trim(str_n(p + at, colon > 0 ? (size_t)colon : 0));

			if (str_ieq(name, S("Content-Type")) || str_ieq(name, S("c")))
				digits = is_digits(p, at + (size_t)colon + 1, end);
		}
		at = end + 1;
	}
}
