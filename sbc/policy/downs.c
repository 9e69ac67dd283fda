/* downs.c - what becomes of calls to single numbers while their trunk is not registered (trunk setting down-numbers).
 *
 * "RANGE:STATUS" is the answer, and nobody stands in; "RANGE:TRUNK" is who gets the call. What stands first in the list
 * counts where ranges overlap. Numbers without a line have the trunk's own down-code and alternative.
 */
#include "sbc/policy/internal.h"

#include <errno.h>

bool pol_down_read(struct str word, struct db_number *ret_range, uint16_t *ret_code, struct str *ret_trunk)
{
	struct db_err err;
	ptrdiff_t colon = str_chr(word, ':');
	struct str what;
	uint32_t code;

	if (colon < 0 || db_number_parse(str_head(word, (size_t)colon), ret_range, &err) != REASON_NONE)
		return false;
	what = str_from(word, (size_t)colon + 1);
	*ret_code = 0;
	*ret_trunk = STR_NONE;
	if (what.n == 0 || what.n > DB_NAME_MAX)
		return false;
	if (!chr_digit(what.p[0])) {
		*ret_trunk = what;
		return true;
	}
	if (str_u32(what, 699, &code) < 0 || code < 400)
		return false;
	*ret_code = (uint16_t)code;
	return true;
}

int pol_downs_build(struct policy *p, pol_link_fn *fn, void *ctx)
{
	for (unsigned i = 0; i < p->n_trunks; i++) {
		struct pol_trunk *t = &p->trunks[i];
		struct pol_down *d;

		if (!t->n_down_words)
			continue;
		d = pol_array(p, t->n_down_words, sizeof(*d));
		if (!d)
			return -ENOMEM;
		t->downs = d;
		for (unsigned k = 0; k < t->n_down_words; k++, d++) {
			struct db_number range;
			struct str to = STR_NONE;

			if (!pol_down_read(t->down_words[k], &range, &d->code, &to))
				continue; /* refused when it was read */
			memcpy(d->first, range.first, sizeof(d->first));
			memcpy(d->last, range.last, sizeof(d->last));
			if (to.n)
				d->to = policy_trunk_named(p, to);
			if (to.n && (!d->to || d->to == t))
				fn(ctx, t, "down-numbers", to, d->to ? "is the trunk itself" : "does not exist");
		}
	}
	return 0;
}

const struct pol_down *policy_down(const struct pol_trunk *owner, struct str number)
{
	for (unsigned i = 0; i < owner->n_down_words && owner->downs; i++) {
		const struct pol_down *d = &owner->downs[i];

		if (strlen(d->first) == number.n && memcmp(d->first, number.p, number.n) <= 0 &&
		    memcmp(number.p, d->last, number.n) <= 0)
			return d;
	}
	return NULL;
}

uint16_t policy_down_code(const struct pol_trunk *owner, struct str number)
{
	const struct pol_down *d = policy_down(owner, number);

	return d && d->code ? d->code : owner->down_code;
}
