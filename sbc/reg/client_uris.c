/* client_uris.c - what the registrar says is ours: P-Associated-URI in its 200 (RFC 7315 4.1; PTH-04).
 *
 * Numbers are kept in canonical form, sorted, for the question whether one is among them; other addresses (names, the
 * pilot) say nothing here. The newest 200 that has the field decides, until the account is another one. What is longer than URIS_MAX, or names a range by a
 * wildcard, does not say that a number is missing.
 */
#include "sbc/reg/client_internal.h"

#include <stdlib.h>

#include "sbc/sip/header.h"

#define URIS_MAX 1000

struct client_uris {
	unsigned n;
	bool more;
	char number[URIS_MAX][NUMBER_TEXT];
};

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void take_value(const struct client *c, struct client_uris *u, struct str value)
{
	char raw[128], canon[128];
	struct sip_addr a;
	struct buf b, k;

	buf_init(&b, raw, sizeof(raw));
	buf_init(&k, canon, sizeof(canon));
	if (sip_addr_parse(value, &a) < 0)
		return;
	if (str_chr(a.uri.user, '!') >= 0 || str_chr(a.uri.user, '*') >= 0) {
		u->more = true;
		return;
	}
	if (sip_uri_number(&a.uri, &b) < 0)
		return;
	policy_number_in(c->t, buf_text(&b), &k);
	if (buf_err(&k) || k.n < 2 || k.n >= NUMBER_TEXT || canon[0] != '+')
		return;
	if (u->n == URIS_MAX) {
		u->more = true;
		return;
	}
	memcpy(u->number[u->n], canon, k.n);
	u->number[u->n++][k.n] = '\0';
}

void client_take_uris(struct client *c, const struct sip_msg *m)
{
	struct client_uris *u = NULL;
	struct str rest, value;

	if (client_is_number(c))
		return; /* what it is asked about is all there is to say */
	for (unsigned i = 0; i < m->n_hdr; i++) {
		if (m->hdr[i].id != SIP_H_OTHER || !str_ieq(m->hdr[i].name, S("P-Associated-URI")))
			continue;
		if (!u)
			u = calloc(1, sizeof(*u));
		if (!u)
			return; /* what was there before stays */
		for (rest = m->hdr[i].value; sip_value_next(&rest, &value);)
			take_value(c, u, value);
	}
	if (!u)
		return;
	qsort(u->number, u->n, sizeof(u->number[0]), by_text);
	if (u->n < URIS_MAX) {
		struct client_uris *less = realloc(u, offsetof(struct client_uris, number) + (u->n + 1) * sizeof(u->number[0]));

		u = less ? less : u;
	}
	free(c->account->uris);
	c->account->uris = u;
}

enum reg_confirmed reg_client_confirms(const struct reg_clients *cs, uint32_t trunk_id, struct str number)
{
	const struct account *a = account_find(cs, trunk_id);
	const struct client_uris *u = a ? a->uris : NULL;
	char key[NUMBER_TEXT];

	if (!u || !u->n || number.n >= NUMBER_TEXT)
		return REG_CONFIRMED_UNKNOWN;
	memcpy(key, number.p, number.n);
	key[number.n] = '\0';
	if (bsearch(key, u->number, u->n, sizeof(u->number[0]), by_text))
		return REG_CONFIRMED_YES;
	return u->more ? REG_CONFIRMED_UNKNOWN : REG_CONFIRMED_NO;
}

bool reg_client_uri(const struct reg_clients *cs, uint32_t trunk_id, unsigned i, struct str *ret_number)
{
	const struct account *a = account_find(cs, trunk_id);

	if (!a || !a->uris || i >= a->uris->n)
		return false;
	*ret_number = str_z(a->uris->number[i]);
	return true;
}
