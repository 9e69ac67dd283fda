/* client_numbers.c - registrations of single numbers (auth=numbers, or auth=gin with reg-numbers where GIN was refused): for a
 * provider that knows neither GIN nor a pilot.
 *
 * Each number of the PBXs that reg-numbers names is a client like any other, with its own address of record, Call-ID and
 * Contact; they take turns with all others (50 a second), share what the registrar's challenges said, and the connection
 * to it. At most NUMBERS_MAX of a trunk. One password stands for all: when it is refused, one number tries again at a
 * time, not a thousand.
 */
#include "sbc/reg/client_internal.h"

#include <string.h>

#define TOLD_MAX 20u         /* numbers whose trouble is told one by one */
#define BAR_AFTER_US 5000000 /* the others follow that much later than the one which tries again */

struct client *number_find(const struct reg_clients *cs, uint32_t trunk_id, struct str number)
{
	struct hnode *n = htab_first(&cs->by_number, hash_str(&cs->env->hash_key, number));

	for (; n; n = htab_next(n)) {
		struct client *c = container_of(n, struct client, by_number);

		if (c->id == trunk_id && str_eq(str_z(c->number), number))
			return c;
	}
	return NULL;
}

bool number_wanted(const struct account *a, const struct pol_trunk *t, struct str number)
{
	const struct reg_clients *cs = a->cs;
	uint32_t id = policy_number_owner(cs->policy, number);
	const struct pol_trunk *owner = id ? policy_trunk(cs->policy, id) : NULL;

	return numbers_meant(a, t) && owner && policy_registers_for(t, owner);
}

bool numbers_any(const struct reg_clients *cs, const struct pol_trunk *t)
{
	for (unsigned i = 0; i < t->reg.n_numbers; i++) {
		const struct pol_trunk *owner = policy_trunk_named(cs->policy, t->reg.numbers[i]);

		if (owner && owner->n_numbers)
			return true;
	}
	return false;
}

/* "+49301234599" -> "+49301234600" */
static void next_number(char *s)
{
	for (size_t i = strlen(s); i-- > 1;) {
		if (s[i] != '9') {
			s[i]++;
			return;
		}
		s[i] = '0';
	}
}

/* false: there is no room, or no memory, for more */
static bool add_range(struct account *a, const struct pol_trunk *t, const struct pol_number *r)
{
	struct reg_clients *cs = a->cs;
	struct log l = {.to = cs->env->logger, .area = LOG_SIP};
	char s[NUMBER_TEXT];
	struct buf b;

	buf_init(&b, s, sizeof(s) - 1);
	buf_str(&b, r->first);
	(void)buf_z(&b);
	for (;; next_number(s)) {
		/* a more specific range may be somebody else's */
		if (!number_find(cs, a->id, str_z(s)) && number_wanted(a, t, str_z(s))) {
			if (a->n_numbers >= NUMBERS_MAX) {
				a->too_many = true;
				return false;
			}
			if (client_new(a, t, 1, str_z(s)) < 0) {
				log_error(&l, "no_memory", "for=registration trunk=%.*s", STR(t->name));
				return false;
			}
		}
		if (str_eq(str_z(s), r->last))
			return true;
	}
}

void numbers_review(struct account *a, const struct pol_trunk *t)
{
	bool was = a->too_many;
	struct log l = {.to = a->cs->env->logger, .area = LOG_SIP};

	a->too_many = false;
	for (unsigned i = 0; i < t->reg.n_numbers; i++) {
		const struct pol_trunk *owner = policy_trunk_named(a->cs->policy, t->reg.numbers[i]);

		for (const struct pol_number *r = owner ? policy_numbers_next(a->cs->policy, owner, NULL) : NULL; r;
		     r = policy_numbers_next(a->cs->policy, owner, r))
			if (!add_range(a, t, r))
				i = t->reg.n_numbers - 1;
	}
	if (a->too_many && !was)
		log_warn(&l, "too_many_numbers", "trunk=%.*s registered=%u", STR(t->name), a->n_numbers);
}

static int64_t barred_for_us(const struct client *c)
{
	return c->account->barred_us - c->cs->env->clock->mono_us;
}

static void wait_longer(struct client *c)
{
	client_wait_us(c, barred_for_us(c) + client_part_us(c, BAR_AFTER_US / 1000000, 0, 100));
}

void numbers_bar(struct client *c)
{
	if (!client_is_number(c))
		return;
	if (barred_for_us(c) > BAR_AFTER_US)
		wait_longer(c); /* another one was refused a moment ago, and tries for all */
	else
		c->account->barred_us = c->timer.due_us + BAR_AFTER_US;
}

bool number_barred(struct client *c)
{
	if (!client_is_number(c) || c->state == REG_CLIENT_REJECTED || barred_for_us(c) <= 0)
		return false;
	if (!client_holds(c)) {
		c->why = REASON_AUTH_REJECTED;
		client_step(c, REG_CLIENT_RETRY, "barred");
	}
	wait_longer(c);
	return true;
}

/* ------------------------------------------------------------------ how they stand */

static bool any_holds(const struct account *a)
{
	list_each(n, &a->numbers)
		if (client_holds(container_of(n, struct client, node)))
			return true;
	return false;
}

bool number_news(struct client *c, enum reason why)
{
	struct account *a = c->account;
	enum reason was = c->told;

	if (why == REASON_REG_TAKEN_BACK) {
		c->told = REASON_NONE;
		a->n_bad -= was != REASON_NONE;
		if (any_holds(a))
			return false;
		a->told = false;
		return true; /* the last one */
	}
	c->told = why;
	a->n_bad += why != REASON_NONE;
	a->n_bad -= was != REASON_NONE;
	if (why == REASON_NONE && was == REASON_NONE && a->told)
		return false;
	if (why == REASON_NONE)
		a->told = true;
	return was != why || why == REASON_NONE ? a->n_bad <= TOLD_MAX : false;
}

/* The one that most needs looking at. */
static unsigned trouble(const struct client *c)
{
	return (c->why != REASON_NONE ? 4u : 0u) + (client_holds(c) ? 0u : 2u) + (c->state == REG_CLIENT_REJECTED ? 1u : 0u);
}

void numbers_view(const struct account *a, struct reg_client_view *ret, const struct client **ret_worst)
{
	const struct client *worst = NULL;

	*ret = (struct reg_client_view){.more_numbers = a->too_many};
	list_each(n, &a->numbers) {
		const struct client *c = container_of(n, struct client, node);

		ret->numbers++;
		ret->numbers_held += client_holds(c);
		ret->sent += c->sent;
		ret->accepted += c->accepted;
		if (!worst || trouble(c) > trouble(worst))
			worst = c;
	}
	*ret_worst = worst;
}

bool reg_client_number_next(
    const struct reg_clients *cs, uint32_t trunk_id, const void **at, struct str *ret_number, struct reg_client_view *ret)
{
	const struct account *a = account_find(cs, trunk_id);
	const struct client *c = *at;
	const struct list *n = c ? c->node.next : a ? a->numbers.next : NULL;

	if (!a || n == &a->numbers)
		return false;
	c = container_of(n, struct client, node);
	*at = c;
	*ret_number = str_z(c->number);
	client_view(c, ret);
	return true;
}
