/* numbers.c - whose number is it.
 *
 * Blocks of one length never overlap, so each length is a sorted list of them, searched through a static tree of eight
 * keys a node: one cache line per level. Of 10^6 blocks the keys are 140 KiB and stay in the cache; the blocks themselves
 * are 16 bytes each with all that a look-up asks for, and the 64 among which it ends are fetched at once: one miss. They
 * stand in huge pages (pol_array()), else the miss of the page table would cost as much again. A number is looked up as it
 * is, then as the beginning it has in common with shorter blocks, longest first: +4930123450012 belongs to the block
 * +4930123450..+4930123459 when nobody owns it exactly (extensions behind a block).
 */
#include "sbc/policy/internal.h"

#include <errno.h>
#include <stdlib.h>

#define FAN 8
#define LEAF 64 /* blocks under a key of level 0 */

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

static inline uint32_t rank(const uint64_t *key, uint32_t left, uint64_t x)
{
	uint32_t n = 0;

	if (left >= FAN) {
		for (unsigned i = 0; i < FAN; i++)
			n += key[i] <= x;
	} else {
		for (uint32_t i = 0; i < left; i++)
			n += key[i] <= x;
	}
	return n;
}

/* The last of n blocks, at most LEAF, that does not begin above x; NULL: all do. */
static const struct number_block *leaf_find(const struct number_block *b, uint32_t n, uint64_t x)
{
	uint32_t at = 0, k = 0;

	for (uint32_t i = 8; i < n; i += 8)
		at += (uint32_t)(b[i].first <= x) * 8;
	n -= at;
	if (n > 8)
		n = 8;
	for (uint32_t i = 0; i < n; i++)
		k += b[at + i].first <= x;
	return k ? b + at + k - 1 : NULL;
}

/* The last block that does not begin above x; NULL: all do. */
static const struct number_block *tree_find(const struct number_tree *t, uint64_t x)
{
	const struct number_block *b;
	uint32_t at = 0, n;

	for (unsigned l = t->levels; l-- > 0;) {
		n = rank(t->level[l] + at, t->level_n[l] - at, x);
		if (n == 0)
			return NULL; /* only on the top level: below, the first key is the one that led here */
		at = (at + n - 1) * (l ? FAN : LEAF);
	}
	b = t->block + at;
	n = t->n - at < LEAF ? t->n - at : LEAF;
	for (uint32_t i = 0; i < n; i += 64 / sizeof(*b))
		__builtin_prefetch(b + i);
	return leaf_find(b, n, x);
}

static bool holds(const struct number_tree *t, const struct number_block *b, uint64_t x)
{
	uint64_t last;

	if (b->span != NUMBER_WIDE)
		return x - b->first <= b->span;
	return pol_digits(t->number[b - t->block].last, &last) && x <= last;
}

/* The block a number belongs to, and its tree; NULL: none. */
static const struct number_block *find(const struct policy *p, struct str number, const struct number_tree **ret)
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
		const struct number_block *b = t->n ? tree_find(t, x) : NULL;

		if (!b || !holds(t, b, x))
			continue;
		*ret = t;
		return b;
	}
	return NULL;
}

const struct pol_number *policy_number(const struct policy *p, struct str number)
{
	const struct number_tree *t;
	const struct number_block *b = find(p, number, &t);

	return b ? &t->number[b - t->block] : NULL;
}

uint32_t policy_number_owner(const struct policy *p, struct str number)
{
	const struct number_tree *t;
	const struct number_block *b = find(p, number, &t);

	return b ? b->trunk : 0;
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

static int build_tree(struct policy *p, struct number_tree *t)
{
	uint32_t n = t->n, every = LEAF;

	for (; n > every || (t->levels && n > FAN); every = FAN) {
		uint32_t up = (n + every - 1) / every;
		uint64_t *key = pol_array(p, up, sizeof(*key));

		if (!key)
			return -ENOMEM;
		for (uint32_t i = 0; i < up; i++)
			key[i] = t->levels ? t->level[t->levels - 1][(size_t)i * FAN] : t->block[(size_t)i * LEAF].first;
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
	struct number_block *block[NUMBER_DIGITS + 1] = {NULL};
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
		p->trees[d].block = block[d] = pol_array(p, count[d], sizeof(*block[d]));
		if (!block[d])
			return -ENOMEM;
	}
	for (uint32_t i = 0, in_len = 0; i < n; i++) {
		const struct db_number *row = &rows->numbers[i];
		size_t d = strlen(row->first) - 1;
		struct number_block *b;
		uint64_t last = 0;

		if (i && strlen(rows->numbers[i - 1].first) - 1 != d)
			in_len = 0;
		number[i].trunk_id = row->trunk_id;
		number[i].first = text(&at, row->first);
		number[i].last = strcmp(row->first, row->last) ? text(&at, row->last) : number[i].first;
		b = &block[d][in_len++];
		b->trunk = row->trunk_id;
		(void)pol_digits(number[i].first, &b->first); /* were checked */
		(void)pol_digits(number[i].last, &last);
		b->span = last - b->first < NUMBER_WIDE ? (uint32_t)(last - b->first) : NUMBER_WIDE;
	}
	for (unsigned d = 1; d <= NUMBER_DIGITS; d++)
		if (count[d] && build_tree(p, &p->trees[d]) < 0)
			return -ENOMEM;
	return chain(p, number);
}
