/* reason.h - the catalogue of reasons.
 *
 * Every refusal and failure has one code (PSN-E2107), one text and one remedy. The same code stands in SIP
 * (Reason and Warning, to trusted sides), the CDR, the log and `postern why`. The catalogue is reason.def;
 * a reason is named in code as REASON_<NAME>, never by number.
 */
#ifndef SBC_BASE_REASON_H
#define SBC_BASE_REASON_H

#include "sbc/base/str.h"

enum reason {
	REASON_NONE = 0, /* no failure */
#define REASON(name, number, sip, q850, text, remedy) REASON_##name,
#include "sbc/base/reason.def"
#undef REASON
	REASON_COUNT
};

struct reason_info {
	const char *name;   /* "NO_ROUTE" */
	uint16_t number;    /* 2104: shown as PSN-E2104 */
	uint16_t sip;       /* status we answer with when this is why; 0: none of its own */
	uint8_t q850;       /* Q.850 cause for Reason and CDR; 0: none */
	const char *text;   /* lower case, no full stop, fit for a header */
	const char *remedy; /* what to do or type */
};

#define REASON_CODE_MAX 12
/* REASON_NONE gives an entry with number 0 and text "ok" */
const struct reason_info *reason_info(enum reason r);
/* "PSN-E2104"; "-" for REASON_NONE */
const char *reason_code(enum reason r, char text[REASON_CODE_MAX]);
/* "PSN-E2104", "E2104" or "2104" to the reason; REASON_NONE when there is none */
enum reason reason_parse(struct str s);

#endif
