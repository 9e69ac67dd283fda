/* reason.c - the catalogue as a table. */
#include "sbc/base/reason.h"

#include <stdio.h>

static const struct reason_info table[REASON_COUNT] = {
    [REASON_NONE] = {"NONE", 0, 0, 0, "ok", "nothing to do"},
#define REASON(name, number, sip, q850, text, remedy) \
	[REASON_##name] = {#name, number, sip, q850, text, remedy},
#include "sbc/base/reason.def"
#undef REASON
};

const struct reason_info *reason_info(enum reason r)
{
	return &table[(unsigned)r < REASON_COUNT ? r : REASON_NONE];
}

const char *reason_code(enum reason r, char text[REASON_CODE_MAX])
{
	if (r == REASON_NONE)
		return "-";
	snprintf(text, REASON_CODE_MAX, "PSN-E%04u", reason_info(r)->number);
	return text;
}

enum reason reason_parse(struct str s)
{
	uint32_t n;

	if (str_iprefix(s, S("PSN-")))
		s = str_from(s, 4);
	if (str_iprefix(s, S("E")))
		s = str_from(s, 1);
	if (str_u32(s, 9999, &n) < 0)
		return REASON_NONE;
	for (unsigned i = 1; i < REASON_COUNT; i++)
		if (table[i].number == n)
			return (enum reason)i;
	return REASON_NONE;
}
