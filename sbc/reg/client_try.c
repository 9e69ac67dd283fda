/* client_try.c - an attempt: when it begins, which ways it walks, and how it ends.
 *
 * Attempts of all trunks take turns, 50 a second at most. One walks the ways of all targets, the one that holds the
 * registration first. After a failure the next one waits as RFC 5626 4.5 has it; after a refusal much longer, since
 * somebody has to look at it.
 */
#include "sbc/reg/client_internal.h"

#include <errno.h>
#include <stdlib.h>

#define START_GAP_US 20000      /* between REGISTERs that begin an attempt: 50 a second over all trunks */
#define NAME_WAIT_US 10000000   /* for the first answer of the DNS */
#define NAME_POLL_MS 250
#define NAME_AGAIN_US 1000000   /* once it is said that the name leads nowhere; nobody is asked but the DNS's memory */
#define RETRY_BASE_S 30u        /* RFC 5626 4.5: base-time when all flows have failed; else flow-retry */
#define RETRY_MAX_S 1800u

static void attempt(struct client *c);

/* ------------------------------------------------------------------ when */

static void on_timer(struct timer *tm)
{
	struct client *c = container_of(tm, struct client, timer);
	struct reg_clients *cs = c->cs;
	int64_t now = cs->env->clock->mono_us, turn = cs->next_turn_us > now ? cs->next_turn_us : now;

	if (!c->turn && turn > now) {
		c->turn = true;
		cs->next_turn_us = turn + START_GAP_US;
		timer_start_us(cs->env->timers, &c->timer, turn - now, on_timer);
		return;
	}
	if (!c->turn)
		cs->next_turn_us = now + START_GAP_US;
	c->turn = false;
	attempt(c);
}

void client_wait_us(struct client *c, int64_t us)
{
	c->turn = false;
	timer_start_us(c->cs->env->timers, &c->timer, us, on_timer);
	client_moves(c);
}

int64_t client_part_us(struct client *c, uint32_t s, uint32_t lo, uint32_t hi)
{
	return (int64_t)s * 10000 * (int64_t)(lo + rng_below(c->cs->env->rng, hi - lo + 1));
}

uint32_t client_doubled(uint32_t base_s, uint32_t n)
{
	uint32_t s = base_s;

	while (n-- > 0 && s < RETRY_MAX_S)
		s *= 2;
	return s < RETRY_MAX_S ? s : RETRY_MAX_S;
}

int64_t client_retry_us(struct client *c, uint32_t failures)
{
	return client_part_us(c, client_doubled(client_other_lives(c) ? c->t->reg.flow_retry_s : RETRY_BASE_S, failures), 50, 100);
}

/* ------------------------------------------------------------------ ends of attempts */

void client_forget(struct client *c)
{
	timer_stop(c->cs->env->timers, &c->over);
	if (c->kept)
		(void)net_keep(c->cs->net, &c->at, 0);
	client_unplace(c);
	c->kept = c->down = c->suspect = c->moving = false;
	c->expires_us = c->registered_wall_us = 0;
	c->granted_s = 0;
	c->route_n = c->gruu_n = c->temp_cookie_n = 0;
}

void client_over(struct timer *tm)
{
	struct client *c = container_of(tm, struct client, over);

	client_forget(c);
	c->cs->metrics[M_LOST]++;
	log_warn(&c->log, "registration_lost", "aor=%.*s", c->aor_n, c->aor);
	client_tell(c, REASON_REG_LOST);
}

/* The un-REGISTER has ended, however. */
void client_removed(struct client *c)
{
	client_forget(c);
	c->leaving = false; /* what the operator changed meanwhile is looked at here, at the end */
	c->why = REASON_NONE;
	client_tell(c, REASON_REG_TAKEN_BACK);
	client_step(c, REG_CLIENT_STOPPED, "removed");
	if (c->unwanted) {
		c->unwanted = false;
		client_rejected(c, REASON_REG_NO_OUTBOUND, FORBIDDEN_BASE_S, "no_outbound");
	}
	client_review(c);
}

void client_settle(struct client *c)
{
	if (!c->leaving || c->cli)
		return;
	c->leaving = false;
	client_review(c);
}

/* It cannot be done now: later, as RFC 5626 4.5 has it (KA-05). */
static void to_retry(struct client *c, enum reason why, const char *because)
{
	int64_t us, asked_us = (int64_t)c->wait_s * 1000000;

	c->fails++;
	c->why = why;
	c->cs->metrics[M_FAILED]++;
	us = client_retry_us(c, c->fails);
	client_wait_us(c, us > asked_us ? us : asked_us);
	client_tell(c, why);
	client_step(c, REG_CLIENT_RETRY, because);
}

void client_failed(struct client *c, enum reason why, const char *because)
{
	if (c->state == REG_CLIENT_REMOVING) {
		client_removed(c);
		return;
	}
	to_retry(c, why, because);
	client_settle(c);
}

/* Somebody has to look at it: a long wait, so that no account is locked (RGC-05, -06). */
void client_rejected(struct client *c, enum reason why, uint32_t base_s, const char *because)
{
	int64_t us, asked_us = (int64_t)c->wait_s * 1000000;

	if (c->state == REG_CLIENT_REMOVING) {
		client_removed(c);
		return;
	}
	memset(client_auth(c), 0, sizeof(struct auth_session));
	c->why = why;
	c->cs->metrics[M_REJECTED]++;
	us = client_part_us(c, client_doubled(base_s, c->fails), 100, 110);
	c->fails++;
	client_wait_us(c, us > asked_us ? us : asked_us);
	if (why == REASON_AUTH_REJECTED)
		numbers_bar(c);
	client_tell(c, why);
	client_step(c, REG_CLIENT_REJECTED, because);
	client_settle(c);
}

/* ------------------------------------------------------------------ attempts */

static bool has_way(const struct client *c, const struct net_path *p)
{
	for (unsigned i = 0; i < c->n_ways; i++)
		if (c->ways[i].path.proto == p->proto && addr_eq(&c->ways[i].path.remote, &p->remote))
			return true;
	return false;
}

void client_add_way(struct client *c, const struct target_way *w)
{
	if (!c->ways)
		c->ways = calloc(WAYS_MAX, sizeof(*c->ways));
	if (c->ways && c->n_ways < WAYS_MAX && !has_way(c, &w->path))
		c->ways[c->n_ways++] = (struct way){.path = w->path, .alt = w->alt, .try_ms = w->try_ms};
}

static void add_held(struct client *c)
{
	client_add_way(c, &(struct target_way){.path = c->at, .try_ms = c->t->sip.try_ms});
}

/* Where it is held is tried last. */
static void to_the_end(struct client *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_ways; i++)
		if (c->ways[i].path.proto != c->at.proto || !addr_eq(&c->ways[i].path.remote, &c->at.remote))
			c->ways[n++] = c->ways[i];
	c->n_ways = n;
}

/* All ways in the order to try, but for those that another flow has; why: when there is none. */
static enum reason find_ways(struct client *c)
{
	struct target_way ways[TARGET_WAYS_MAX];
	enum reason why = REASON_NAME_UNRESOLVED;
	bool taken = false;
	unsigned n;

	c->n_ways = c->at_way = 0;
	if (client_holds(c) && !c->suspect)
		add_held(c);
	for (unsigned i = 0; i < c->t->n_targets; i++) {
		n = targets_ways(c->cs->targets, &(struct pol_hop){c->t, &c->t->targets[i]}, ways, &why);
		for (unsigned k = 0; k < n; k++) {
			if (client_taken(c, &ways[k].path))
				taken = true;
			else
				client_add_way(c, &ways[k]);
		}
	}
	if (client_holds(c) && c->suspect) { /* once more, when there is nobody else */
		to_the_end(c);
		add_held(c);
	}
	for (unsigned i = 0; i < c->t->n_targets && c->n_ways == 0; i++)
		if (targets_last_resort(c->cs->targets, &(struct pol_hop){c->t, &c->t->targets[i]}, ways) &&
		    !client_taken(c, &ways[0].path))
			client_add_way(c, ways);
	return c->n_ways ? REASON_NONE : taken ? REASON_REG_ONE_SERVER : why;
}

uint64_t client_places(const struct client *c)
{
	struct target_way ways[TARGET_WAYS_MAX];
	uint64_t sum = 0;
	enum reason why;

	for (unsigned i = 0; i < c->t->n_targets; i++) {
		unsigned n = targets_ways_seen(c->cs->targets, &(struct pol_hop){c->t, &c->t->targets[i]}, ways, &why);

		for (unsigned k = 0; k < n; k++) {
			sum += client_place_hash(c->cs, &ways[k].path.remote) + ways[k].path.proto;
			if (!addr_none(&ways[k].alt))
				sum += client_place_hash(c->cs, &ways[k].alt);
		}
	}
	return sum;
}

/* There is no address to send to. No registrar would be hammered, so the pause after a failure is not for this: it is
 * said once, and then looked at often. */
static void no_address(struct client *c, enum reason why)
{
	if (c->state != REG_CLIENT_RETRY || c->why != why)
		to_retry(c, why, "no_way");
	client_wait_us(c, client_part_us(c, NAME_AGAIN_US / 1000000, 80, 120));
}

static void attempt(struct client *c)
{
	int64_t now = c->cs->env->clock->mono_us;
	enum reason why;

	if (c->queued) {
		client_take_back_now(c);
		return;
	}
	if (number_barred(c))
		return;
	why = find_ways(c);
	c->places = client_places(c);
	if (c->state != REG_CLIENT_WAITING || c->begun_us == 0)
		c->begun_us = now;
	if (why == REASON_NAME_UNRESOLVED && c->state != REG_CLIENT_RETRY && now - c->begun_us < NAME_WAIT_US) {
		client_step(c, REG_CLIENT_WAITING, "names");
		timer_start_ms(c->cs->env->timers, &c->timer, NAME_POLL_MS, on_timer);
		return;
	}
	c->asked[0] = c->asked[1] = c->briefs = c->redirects = 0;
	c->wait_s = 0;
	if (why != REASON_NONE && why != REASON_TARGET_DOWN && why != REASON_NO_LISTENER && why != REASON_REG_ONE_SERVER) {
		no_address(c, why);
		return;
	}
	if (why != REASON_NONE) {
		client_failed(c, why, "no_way");
		return;
	}
	client_next_way(c, REASON_NONE);
}

void client_next_way(struct client *c, enum reason why)
{
	while (c->at_way < c->n_ways) {
		const struct way *w = &c->ways[c->at_way++];
		int e = client_send(c, w, c->ask_s);

		c->asked[0] = c->asked[1] = 0;
		if (e == 0) {
			client_step(c, client_holds(c) ? REG_CLIENT_REFRESHING : REG_CLIENT_TRYING, "sent");
			return;
		}
		why = e == -ENOMEM || e == -ENOSPC ? REASON_NO_MEMORY : e == -ENETUNREACH ? REASON_NO_LISTENER : net_error_reason(e);
	}
	client_failed(c, why, "no_way_left");
}

void client_again(struct client *c, const struct net_path *path, enum reg_client_state state, const char *because)
{
	struct way w = {.path = *path, .try_ms = c->t->sip.try_ms};
	bool leaving = c->state == REG_CLIENT_REMOVING;
	int e;

	w.path.conn = net_reliable((enum net_proto)path->proto) ? path->conn : 0;
	e = client_send(c, &w, leaving ? 0 : c->ask_s);
	if (e < 0)
		client_next_way(c, net_error_reason(e));
	else if (!leaving)
		client_step(c, state, because);
}
