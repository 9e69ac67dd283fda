/* formats.c - numbers as a trunk dials them and as it wants to see them (IDN-01..03, PAR-22, -23).
 *
 * Inside there is one form: '+', country code, number. Coming in, what the trunk dials is brought there by its own
 * rules: international prefix, national prefix, or plain digits where number-format says so. What fits no rule
 * (112, 0, *21, a name) stays as it was dialled, and never gets a '+'. Going out, the canonical form is turned into
 * the format of the trunk; whatever has no '+' goes out unchanged. Visual separators never leave.
 */
#include "sbc/policy/internal.h"

#define NATIONAL_MIN 7 /* digits with the national prefix: what is shorter is a code (0, 112, 116117) */
#define FULL_MIN 7     /* digits of a number that is taken for a whole one without any prefix */
#define WORK_MAX 64

/* Copies s without - . ( ) and blanks; false: something else than a number, taken as it is. */
static bool strip(struct str s, struct buf *b)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '-' || c == '.' || c == '(' || c == ')' || c == ' ')
			continue;
		if (!(chr_digit(c) || (c == '+' && b->n == 0) || c == '*' || c == '#'))
			return false;
		buf_chr(b, c);
	}
	return buf_err(b) == 0 && b->n > 0;
}

static bool all_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chr_digit(s.p[i]))
			return false;
	return s.n > 0;
}

void policy_number_in(const struct pol_trunk *t, struct str number, struct buf *ret)
{
	char text[WORK_MAX];
	struct buf b;
	struct str n, inter = t->num.international_prefix, nat = t->num.national_prefix, country = t->num.country;

	buf_init(&b, text, sizeof(text));
	if (!strip(number, &b)) {
		buf_str(ret, number);
		return;
	}
	n = buf_text(&b);
	if (t->num.format == POL_NUM_PASS || !all_digits(n)) { /* "+…" is canonical, "*21" is a code */
		buf_str(ret, n);
		return;
	}
	if (inter.n && str_prefix(n, inter) && n.n >= inter.n + NATIONAL_MIN) {
		buf_chr(ret, '+');
		buf_str(ret, str_from(n, inter.n));
		return;
	}
	if (country.n && nat.n && str_prefix(n, nat) && n.n >= NATIONAL_MIN) {
		buf_chr(ret, '+');
		buf_str(ret, country);
		buf_str(ret, str_from(n, nat.n));
		return;
	}
	if (t->num.format == POL_NUM_DIGITS && n.n >= FULL_MIN && n.p[0] != '0') {
		buf_chr(ret, '+');
		buf_str(ret, n);
		return;
	}
	/* a country that dials national numbers without a prefix */
	if (country.n && !nat.n && n.n >= FULL_MIN) {
		buf_chr(ret, '+');
		buf_str(ret, country);
		buf_str(ret, n);
		return;
	}
	buf_str(ret, n);
}

void policy_number_out(const struct pol_trunk *t, struct str number, struct buf *ret)
{
	char text[WORK_MAX];
	struct str n, digits, country = t->num.country;
	struct buf b;

	buf_init(&b, text, sizeof(text));
	if (!strip(number, &b)) {
		buf_str(ret, number);
		return;
	}
	n = buf_text(&b);
	digits = str_from(n, 1);
	if (n.p[0] != '+' || !all_digits(digits)) {
		buf_str(ret, n);
		return;
	}
	switch (t->num.format) {
	case POL_NUM_E164:
	case POL_NUM_PASS:
		buf_str(ret, n);
		return;
	case POL_NUM_DIGITS:
		buf_str(ret, digits);
		return;
	case POL_NUM_NATIONAL:
		if (country.n && str_prefix(digits, country)) {
			buf_str(ret, t->num.national_prefix);
			buf_str(ret, str_from(digits, country.n));
		} else if (t->num.international_prefix.n) {
			buf_str(ret, t->num.international_prefix);
			buf_str(ret, digits);
		} else {
			buf_str(ret, n);
		}
		return;
	}
}
