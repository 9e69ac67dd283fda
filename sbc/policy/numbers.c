/* numbers.c - whose number is it.
 *
 * Blocks of one length never overlap, so each length is a sorted list of first numbers, searched through a static
 * tree of eight keys a node: one cache line per level, 10^6 blocks in seven levels of which the upper five stay in
 * the cache. A number is looked up as it is, then as the beginning it has in common with shorter blocks, longest
 * first: +4930123450012 belongs to the block +4930123450..+4930123459 when nobody owns it exactly (extensions
 * behind a block).
 */
#include "sbc/policy/internal.h"

#include <errno.h>
#include <stdlib.h>

#define FAN 8

bool pol_digits(struct str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n < 2 || s.n > NUMBER_DIGITS + 1 || s.p[0] != '+')
		return false;
	for (size_t i = 1; i < s.n; i++) {
		unsigned d = (unsigned)(unsigned char)s.p[i] - '0';

		if (d > 9)
			return false;
		v = v * 10 + d;
	}
	*ret = v;
	return true;
}

/* Index of the last key <= x in level 0, or UINT32_MAX. What is read behind it is fetched while the last level is
 * searched: with a million blocks each of these is a miss of the cache. */
static uint32_t tree_find(const struct number_tree *t, uint64_t x)
{
	uint32_t at = 0;

	for (unsigned l = t->levels; l-- > 0;) {
		const uint64_t *key = t->level[l] + at;
		uint32_t left = t->level_n[l] - at, n = 0;

		if (l == 0) {
			__builtin_prefetch(t->trunk + at);
			__builtin_prefetch(t->last + at);
		}
		if (left >= FAN) {
			for (unsigned i = 0; i < FAN; i++)
				n += key[i] <= x;
		} else {
			for (uint32_t i = 0; i < left; i++)
				n += key[i] <= x;
		}
		if (n == 0)
			return UINT32_MAX; /* only on the top level: below, the first key is the one that led here */
		at = at + n - 1;
		if (l)
			at *= FAN;
	}
	return at;
}

/* The block a number belongs to: its tree, and its place there; NULL: none. */
static const struct number_tree *find(const struct policy *p, struct str number, uint32_t *ret)
{
	uint64_t x;
	unsigned digits;

	/* longer than any number: what stands behind 15 digits can only be an extension */
	if (number.n > NUMBER_DIGITS + 1) {
		for (size_t i = NUMBER_DIGITS + 1; i < number.n; i++)
			if (!chr_digit(number.p[i]))
				return NULL;
		number = str_head(number, NUMBER_DIGITS + 1);
	}
	if (!pol_digits(number, &x))
		return NULL;
	for (digits = (unsigned)number.n - 1; digits > 0; digits--, x /= 10) {
		const struct number_tree *t = &p->trees[digits];
		uint32_t i;

		if (!t->n)
			continue;
		i = tree_find(t, x);
		if (i == UINT32_MAX || (x != t->level[0][i] && x > t->last[i]))
			continue;
		*ret = i;
		return t;
	}
	return NULL;
}

const struct pol_number *policy_number(const struct policy *p, struct str number)
{
	const struct number_tree *t;
	uint32_t i;

	t = find(p, number, &i);
	return t ? &t->number[i] : NULL;
}

uint32_t policy_number_owner(const struct policy *p, struct str number)
{
	const struct number_tree *t;
	uint32_t i;

	t = find(p, number, &i);
	return t ? t->trunk[i] : 0;
}

const struct pol_number *policy_numbers_next(
    const struct policy *p, const struct pol_trunk *t, const struct pol_number *after)
{
	uint32_t i = after ? p->next_number[after - p->numbers] : t->first_number;

	return i ? &p->numbers[i - 1] : NULL;
}

/* Which ranges are whose: a chain through the array, made from its end. */
static int chain(struct policy *p, const struct pol_number *number)
{
	struct pol_trunk *t = NULL;

	p->numbers = number;
	p->next_number = pol_array(p, p->n_numbers, sizeof(*p->next_number));
	if (!p->next_number)
		return -ENOMEM;
	for (uint32_t i = p->n_numbers; i-- > 0;) {
		uint64_t first, last;

		const struct pol_trunk *owner;

		if (!t || t->id != number[i].trunk_id) { /* rows of one trunk mostly follow each other */
			owner = policy_trunk(p, number[i].trunk_id);
			t = owner ? &p->trunks[owner - p->trunks] : NULL;
		}
		if (!t || !pol_digits(number[i].first, &first) || !pol_digits(number[i].last, &last))
			continue;
		p->next_number[i] = t->first_number;
		t->first_number = i + 1;
		t->n_numbers += last - first + 1;
	}
	return 0;
}

static int build_tree(struct policy *p, struct number_tree *t, uint64_t *first)
{
	uint32_t n = t->n;

	t->level[0] = first;
	t->level_n[0] = n;
	t->levels = 1;
	while (n > FAN) {
		const uint64_t *below = t->level[t->levels - 1];
		uint32_t up = (n + FAN - 1) / FAN;
		uint64_t *key = pol_array(p, up, sizeof(*key));

		if (!key)
			return -ENOMEM;
		for (uint32_t i = 0; i < up; i++)
			key[i] = below[(size_t)i * FAN];
		t->level[t->levels] = key;
		t->level_n[t->levels++] = n = up;
	}
	return 0;
}

static struct str text(char **at, const char *s)
{
	size_t n = strlen(s);
	struct str copy = {*at, n};

	memcpy(*at, s, n);
	*at += n;
	return copy;
}

int pol_numbers_build(struct policy *p, const struct db_rows *rows)
{
	uint32_t n = rows->n_numbers, count[NUMBER_DIGITS + 1] = {0};
	struct pol_number *number = pol_array(p, n, sizeof(*number));
	uint64_t *first[NUMBER_DIGITS + 1] = {NULL}, *last[NUMBER_DIGITS + 1] = {NULL};
	uint32_t *trunk[NUMBER_DIGITS + 1] = {NULL};
	size_t bytes = 0;
	char *at;

	p->n_numbers = n;
	if (!n)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct db_number *row = &rows->numbers[i];
		size_t len = strlen(row->first);

		count[len - 1]++;
		bytes += strcmp(row->first, row->last) ? len * 2 : len;
	}
	if (!number || !(at = pol_array(p, bytes, 1)))
		return -ENOMEM;
	for (unsigned d = 1, base = 0; d <= NUMBER_DIGITS; base += count[d++]) {
		p->trees[d].n = count[d];
		p->trees[d].number = number + base;
		if (!count[d])
			continue;
		first[d] = pol_array(p, count[d], sizeof(uint64_t));
		p->trees[d].last = last[d] = pol_array(p, count[d], sizeof(uint64_t));
		p->trees[d].trunk = trunk[d] = pol_array(p, count[d], sizeof(uint32_t));
		if (!first[d] || !last[d] || !trunk[d])
			return -ENOMEM;
	}
	for (uint32_t i = 0, in_len = 0; i < n; i++) {
		const struct db_number *row = &rows->numbers[i];
		size_t d = strlen(row->first) - 1;

		if (i && strlen(rows->numbers[i - 1].first) - 1 != d)
			in_len = 0;
		number[i].trunk_id = trunk[d][in_len] = row->trunk_id;
		number[i].first = text(&at, row->first);
		number[i].last = strcmp(row->first, row->last) ? text(&at, row->last) : number[i].first;
		(void)pol_digits(number[i].first, &first[d][in_len]); /* were checked */
		(void)pol_digits(number[i].last, &last[d][in_len]);
		in_len++;
	}
	for (unsigned d = 1; d <= NUMBER_DIGITS; d++)
		if (count[d] && build_tree(p, &p->trees[d], first[d]) < 0)
			return -ENOMEM;
	return chain(p, number);
}
