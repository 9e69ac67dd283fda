/* hours.c - number patterns and times of day, as routes use them. */
#include "sbc/policy/internal.h"

#include <errno.h>

int policy_pattern_check(struct str pattern)
{
	if (pattern.n == 0 || pattern.n > 32)
		return -EINVAL;
	for (size_t i = 0; i < pattern.n; i++) {
		char c = pattern.p[i];

		if (!(chr_digit(c) || (c == '+' && i == 0) || c == '*' || c == '#'))
			return -EINVAL;
	}
	return 0;
}

bool policy_pattern_match(struct str pattern, struct str number)
{
	if (pattern.n && pattern.p[pattern.n - 1] == '*')
		return str_prefix(number, str_head(pattern, pattern.n - 1));
	return str_eq(pattern, number);
}

static const char *const day_names[7] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

static int day(struct str s)
{
	for (int i = 0; i < 7; i++)
		if (str_ieq(s, str_z(day_names[i])))
			return i;
	return -1;
}

/* "mon-fri,sun" */
static bool days(struct str s, uint8_t *ret)
{
	struct str part, first, last;
	unsigned set = 0;

	while (s.n) {
		int a, b;

		s = str_cut(s, ',', &part);
		last = str_cut(part, '-', &first);
		a = day(first);
		b = first.n < part.n ? day(last) : a;
		if (a < 0 || b < 0)
			return false;
		for (int i = a;; i = (i + 1) % 7) {
			set |= 1u << i;
			if (i == b)
				break;
		}
	}
	*ret = (uint8_t)set;
	return set != 0;
}

/* "08:00" */
static bool clock_time(struct str s, uint16_t max, uint16_t *ret)
{
	struct str hour, minute = str_cut(s, ':', &hour);
	uint32_t h, m;

	if (minute.n != 2 || hour.n < 1 || hour.n > 2 || str_u32(hour, 24, &h) < 0 || str_u32(minute, 59, &m) < 0 ||
	    h * 60 + m > max)
		return false;
	*ret = (uint16_t)(h * 60 + m);
	return true;
}

int policy_hours_parse(struct str text, struct db_hours *ret, const char **ret_why)
{
	struct db_hours h = {.days = 127, .from_min = 0, .to_min = 1440};
	struct str word, rest, from, to;

	text = str_trim(text);
	if (str_ieq(text, S("always"))) {
		*ret = (struct db_hours){.to_min = 1440};
		return 0;
	}
	rest = str_trim(str_cut(text, ' ', &word));
	if (word.n && !chr_digit(word.p[0])) {
		if (!days(word, &h.days)) {
			*ret_why = "days are mon tue wed thu fri sat sun, as a list (sat,sun) or from-to (mon-fri)";
			return -EINVAL;
		}
		word = rest;
	} else if (rest.n) {
		word = STR_NONE;
		text = STR_NONE;
	}
	if (text.n == 0) {
		*ret_why = "expected days and hours such as 'mon-fri 08:00-18:00', 'sat,sun' or 'always'";
		return -EINVAL;
	}
	if (word.n) {
		to = str_cut(word, '-', &from);
		if (!clock_time(from, 1439, &h.from_min) || !clock_time(to, 1440, &h.to_min) || h.to_min == 0) {
			*ret_why = "hours are from-to such as 08:00-18:00 or 22:00-06:00; midnight as an end is 24:00";
			return -EINVAL;
		}
	}
	*ret = h;
	return 0;
}

void policy_hours_put(struct buf *b, const struct db_hours *h)
{
	bool first = true;

	if (!h->days) {
		buf_lit(b, "always");
		return;
	}
	for (int i = 0; i < 7; i++) {
		int end = i;

		if (!(h->days & 1u << i))
			continue;
		while (end < 6 && h->days & 1u << (end + 1))
			end++;
		buf_fmt(b, "%s%s", first ? "" : ",", day_names[i]);
		if (end > i)
			buf_fmt(b, "%s%s", end > i + 1 ? "-" : ",", day_names[end]);
		first = false;
		i = end;
	}
	if (h->from_min != 0 || h->to_min != 1440)
		buf_fmt(b, " %02u:%02u-%02u:%02u", h->from_min / 60, h->from_min % 60, h->to_min / 60, h->to_min % 60);
}
