/* history.h - what happened to registrations lately: a ring of plain entries for `reg history` and alarms. */
#ifndef SBC_REG_HISTORY_H
#define SBC_REG_HISTORY_H

#include "sbc/reg/binding.h"

struct reg_event {
	int64_t wall_us;
	uint32_t trunk_id;
	enum reason why;      /* REASON_NONE: registered; refreshes are not kept */
	struct addr from;     /* none: not known */
	char contact[96];     /* cut */
};

struct reg_history;
struct reg_history *reg_history_new(unsigned max); /* NULL: no memory */
void reg_history_free(struct reg_history *h);
/* c may be NULL. The same refusal of the same trunk again within a minute is not kept, nor is a refresh: false. */
bool reg_history_note(struct reg_history *h, int64_t wall_us, uint32_t trunk_id, const struct reg_contact *c, enum reason why);
/* Newest first, i from 0; trunk_id 0: of all. NULL at the end. */
const struct reg_event *reg_history_at(const struct reg_history *h, uint32_t trunk_id, unsigned i);

#endif
