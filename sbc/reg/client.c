/* client.c - the machine of one registration at a provider.
 *
 *   IDLE/STOPPED --policy--> WAITING --turn--> TRYING --2xx--> REGISTERED --timer--> REFRESHING --2xx--> REGISTERED
 *                                                 | 401, 407          | 401, 407
 *                                             CHALLENGED <------------+
 *   no way left, 5xx, silence --> RETRY --(RFC 5626 4.5)--> TRYING
 *   403, 404, wrong password  --> REJECTED --(a minute, doubling to half an hour)--> TRYING
 *   disabled, changed, gone   --> REMOVING --any end--> STOPPED, WAITING anew, or nothing
 *
 * One REGISTER at a time (RFC 3261 10.2): a new one begins after the final answer or the end of the one before, with
 * the same Call-ID and the next CSeq. One that is out when the operator changes his mind is waited for, so that what
 * it binds can be taken back. Until then the machine keeps the snapshot it began with, and so its address and
 * credential.
 *
 * An attempt walks the ways of all targets; silence, no connection and 5xx lead to the next. The way that holds the
 * registration comes first. What may not happen: a password tried again and again (RGC-05), so a challenge that
 * follows an answered one ends the attempt unless it says stale.
 */
#include "sbc/reg/client_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/reg/account.h"

const char *const reg_client_state_names[REG_CLIENT_STATES] = {"idle", "waiting", "trying", "challenged", "registered",
    "refreshing", "retry", "rejected", "removing", "stopped"};

static const char *const metric_names[M_METRICS] = {
    "sent", "challenged", "accepted", "failed", "rejected", "lost", "flows_lost"};

/* ------------------------------------------------------------------ small things */

struct account *account_find(const struct reg_clients *cs, uint32_t id)
{
	for (struct hnode *n = htab_first(&cs->by_id, id); n; n = htab_next(n)) {
		struct account *a = container_of(n, struct account, by_id);

		if (a->id == id)
			return a;
	}
	return NULL;
}

void client_moves(const struct client *c)
{
	if (c->cs->user->on_moved)
		c->cs->user->on_moved(c->cs->ctx, c->id);
}

void client_step(struct client *c, enum reg_client_state next, const char *because)
{
	enum reg_client_state was = c->state;
	char code[REASON_CODE_MAX];

	if (next == REG_CLIENT_REGISTERED || next == REG_CLIENT_RETRY || next == REG_CLIENT_REJECTED || next == REG_CLIENT_STOPPED ||
	    next == REG_CLIENT_IDLE) { /* the attempt is over */
		free(c->ways);
		c->ways = NULL;
		c->n_ways = c->at_way = 0;
	}
	client_moves(c);
	if (was == next)
		return;
	c->state = next;
	c->since_wall_us = c->cs->env->clock->wall_us;
	log_info(&c->log, "reg_state", "from=%s to=%s because=%s reason=%s", reg_client_state_names[was],
	    reg_client_state_names[next], because, reason_code(c->why, code));
}

void client_tell(struct client *c, enum reason why)
{
	const struct net_path *at = addr_none(&c->at.remote) ? NULL : &c->at;

	if (client_is_number(c) && !number_news(c, why))
		return;
	c->cs->user->on_event(c->cs->ctx, c->id, at, str_n(c->contact, c->contact_n), why);
}

/* ------------------------------------------------------------------ what the operator wants */

static bool registers(const struct pol_trunk *t)
{
	return t && t->role == POL_ITSP && t->reg.auth != POL_AUTH_STATIC;
}

static bool same_targets(const struct pol_trunk *a, const struct pol_trunk *b)
{
	if (a->n_targets != b->n_targets)
		return false;
	for (unsigned i = 0; i < a->n_targets; i++) {
		const struct pol_target *x = &a->targets[i], *y = &b->targets[i];

		if (x->port != y->port || x->proto != y->proto || x->priority != y->priority || !str_eq(x->host, y->host))
			return false;
	}
	return true;
}

/* Would it register in the same way? */
static bool same(const struct pol_trunk *a, const struct pol_trunk *b)
{
	for (int i = 0; i < 3; i++)
		if (!str_eq(a->reg.ha1[i], b->reg.ha1[i]))
			return false;
	if (a->reg.n_numbers && (a->num.format != b->num.format || !str_eq(a->num.country, b->num.country) ||
	                            !str_eq(a->num.national_prefix, b->num.national_prefix)))
		return false;
	return a->realm == b->realm && a->reg.auth == b->reg.auth && str_eq(a->reg.user, b->reg.user) &&
	       str_eq(a->reg.auth_user, b->reg.auth_user) && str_eq(a->reg.realm, b->reg.realm) &&
	       a->reg.expires_s == b->reg.expires_s && a->reg.outbound == b->reg.outbound && str_eq(a->domain, b->domain) &&
	       str_eq(a->reg.contact_host, b->reg.contact_host) && a->reg.gruu == b->reg.gruu &&
	       a->sip.scheme_sips == b->sip.scheme_sips && a->sip.transport_param == b->sip.transport_param &&
	       a->sip.learn_address == b->sip.learn_address && same_targets(a, b);
}

static void adopt(struct client *c, const struct pol_trunk *t)
{
	struct policy *old = c->policy;
	struct buf ctx;

	c->policy = policy_ref(c->cs->policy);
	policy_unref(old);
	c->t = t;
	if (client_is_number(c) && c->account->policy != c->policy) {
		policy_unref(c->account->policy);
		c->account->policy = policy_ref(c->policy);
	}
	account_credential(t, client_cred(c));
	buf_init(&ctx, c->log.ctx, sizeof(c->log.ctx) - 1);
	if (client_is_number(c))
		buf_fmt(&ctx, "trunk=%.*s number=%s", STR(str_head(t->name, 20)), c->number);
	else
		buf_fmt(&ctx, "trunk=%.*s flow=%u", STR(str_head(t->name, 30)), c->reg_id);
	(void)buf_z(&ctx);
}

static void put_text(struct client *c, char *to, size_t n)
{
	struct buf b;

	buf_init(&b, to, n);
	rng_put_token(c->cs->env->rng, &b, n);
	to[n] = '\0';
}

/* What the registrar named is that account's, and of registrations of this kind. */
static void account_forget_uris(struct account *a)
{
	free(a->uris);
	a->uris = NULL;
}

/* A registration of its own: nothing of what was before it. */
static void begin(struct client *c, const char *because)
{
	put_text(c, c->call_id, sizeof(c->call_id) - 1);
	put_text(c, c->tag, sizeof(c->tag) - 1);
	if (!client_is_number(c))
		memset(client_auth(c), 0, sizeof(struct auth_session));
	c->cseq = 0;
	c->fails = 0;
	c->flaps = 0;
	c->account->barred_us = 0;
	if (c->reg_id == 1 && !client_is_number(c)) {
		account_forget_uris(c->account);
		c->account->plain = false;
		c->account->outbound = OUTBOUND_UNKNOWN;
	}
	c->ask_s = c->t->reg.expires_s;
	c->begun_us = 0;
	c->why = REASON_NONE;
	client_step(c, REG_CLIENT_WAITING, because);
	client_wait_us(c, 0);
}

/* With its last registration, unless somebody looks at it. */
static void account_release(struct account *a)
{
	if (a->looked_at || account_next(a, NULL))
		return;
	htab_del(&a->cs->by_id, &a->by_id);
	explicit_bzero(a->auth, sizeof(a->auth));
	explicit_bzero(&a->cred, sizeof(a->cred));
	policy_unref(a->policy);
	free(a->uris);
	free(a);
}

static void client_free(struct client *c)
{
	struct reg_clients *cs = c->cs;
	struct account *a = c->account;

	timer_stop(cs->env->timers, &c->timer);
	timer_stop(cs->env->timers, &c->over);
	if (c->cli)
		txn_cli_detach(c->cli);
	client_moves(c);
	htab_del(&cs->by_cookie, &c->by_cookie);
	client_unplace(c);
	policy_unref(c->policy);
	explicit_bzero(&c->cred, sizeof(c->cred));
	if (client_is_number(c)) {
		htab_del(&cs->by_number, &c->by_number);
		list_del(&c->node);
		a->n_numbers--;
		a->n_bad -= c->told != REASON_NONE;
	} else {
		memset(client_auth(c), 0, sizeof(struct auth_session)); /* it points to what goes now */
		a->flow[c->reg_id - 1] = NULL;
		if (c->reg_id == 1)
			account_forget_uris(a);
	}
	free(c->ways);
	free(c);
	account_release(a);
}

struct client *account_next(const struct account *a, const struct client *after)
{
	unsigned i = !after ? 0 : client_is_number(after) ? REG_FLOWS_MAX : after->reg_id;
	const struct list *n = after && client_is_number(after) ? after->node.next : a->numbers.next;

	for (; i < REG_FLOWS_MAX; i++)
		if (a->flow[i])
			return a->flow[i];
	return n == &a->numbers ? NULL : container_of(n, struct client, node);
}

/* true: it is under way, and client_removed() comes at its end */
static bool take_back(struct client *c, const char *because)
{
	struct way w = {.path = c->at};

	timer_stop(c->cs->env->timers, &c->timer);
	if (!client_holds(c))
		return false;
	c->asked[0] = c->asked[1] = 0;
	client_step(c, REG_CLIENT_REMOVING, because);
	if (client_is_number(c) && !c->cs->stopping) { /* a thousand of them have turns, too */
		c->queued = true;
		client_wait_us(c, 0);
		return true;
	}
	if (client_send(c, &w, 0) == 0)
		return true;
	client_forget(c);
	return false;
}

void client_take_back_now(struct client *c)
{
	struct way w = {.path = c->at};

	c->queued = false;
	if (client_send(c, &w, 0) == 0)
		return;
	client_forget(c);
	client_removed(c);
}

void client_take_back(struct client *c)
{
	if (!take_back(c, "unwanted"))
		client_removed(c);
}

/* Is a registration of that flow part of what the trunk wants? The second one when the first has shown that it is. */
static bool has_flow(const struct account *a, const struct pol_trunk *t, unsigned reg_id)
{
	return registers(t) && !numbers_meant(a, t) && (reg_id == 1 || (t->reg.outbound != POL_OUTBOUND_OFF && reg_id <= t->reg.flows &&
	                                           a->outbound == OUTBOUND_ACCEPTED));
}

void client_review(struct client *c)
{
	struct reg_clients *cs = c->cs;
	const struct pol_trunk *t = cs->policy ? policy_trunk(cs->policy, c->id) : NULL;
	bool number = client_is_number(c);
	bool kept = number ? registers(t) && number_wanted(c->account, t, str_z(c->number)) : has_flow(c->account, t, c->reg_id);
	bool account = kept && (number || t->reg.user.n > 0);
	bool wanted = account && !cs->stopping && !c->account->held && t->admin != POL_DISABLED;

	if (c->queued && cs->stopping) {
		timer_stop(cs->env->timers, &c->timer);
		client_take_back_now(c);
		return;
	}
	if (c->state == REG_CLIENT_REMOVING && (c->cli || c->queued))
		return; /* comes back here at its end */
	if (wanted && client_runs(c) && same(c->t, t)) {
		adopt(c, t);
		c->leaving = false;
		client_readdress(c);
		if (c->state == REG_CLIENT_RETRY && !c->cli && client_places(c) != c->places) {
			log_info(&c->log, "reg_places_changed", "%s", "");
			client_wait_us(c, 0); /* those that failed are not all there is */
		}
		return;
	}
	if (client_runs(c)) {
		if (c->cli) {
			c->leaving = true;
			return;
		}
		if (take_back(c, "policy"))
			return;
	}
	if (!kept) {
		client_free(c);
		return;
	}
	adopt(c, t);
	if (wanted) {
		begin(c, "policy");
		return;
	}
	c->why = account ? REASON_NONE : REASON_REG_ACCOUNT;
	client_step(c, account ? REG_CLIENT_STOPPED : REG_CLIENT_IDLE, account ? "not_wanted" : "no_account");
}

int client_new(struct account *a, const struct pol_trunk *t, unsigned reg_id, struct str number)
{
	struct reg_clients *cs = a->cs;
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	if (number.n) {
		memcpy(c->number, number.p, number.n); /* of the policy: they fit */
		htab_add(&cs->by_number, &c->by_number, hash_str(&cs->env->hash_key, number));
		list_push(&a->numbers, &c->node);
		a->n_numbers++;
	} else {
		a->flow[reg_id - 1] = c;
	}
	c->account = a;
	c->cs = cs;
	c->id = t->id;
	c->reg_id = (uint8_t)reg_id;
	c->since_wall_us = cs->env->clock->wall_us;
	c->log = (struct log){.to = cs->env->logger, .area = LOG_SIP};
	put_text(c, c->cookie, sizeof(c->cookie) - 1);
	htab_add(&cs->by_cookie, &c->by_cookie, hash_str(&cs->env->hash_key, str_z(c->cookie)));
	adopt(c, t);
	client_review(c);
	return 0;
}

void account_review(struct account *a, const struct client *except)
{
	struct reg_clients *cs = a->cs;
	const struct pol_trunk *t = cs->policy ? policy_trunk(cs->policy, a->id) : NULL;
	struct log l = {.to = cs->env->logger, .area = LOG_SIP};

	a->looked_at = true;
	for (unsigned i = 0; i < REG_FLOWS_MAX; i++)
		if (a->flow[i] && a->flow[i] != except)
			client_review(a->flow[i]);
	list_each(n, &a->numbers)
		client_review(container_of(n, struct client, node));
	if (!cs->stopping && registers(t) && numbers_meant(a, t))
		numbers_review(a, t);
	for (unsigned i = 0; i < REG_FLOWS_MAX && !cs->stopping; i++)
		if (!a->flow[i] && has_flow(a, t, i + 1) && client_new(a, t, i + 1, STR_NONE) < 0)
			log_error(&l, "no_memory", "for=registration trunk=%.*s", STR(t->name));
	a->looked_at = false;
	account_release(a);
}

static int first_of(struct account *a, const struct pol_trunk *t)
{
	if (!numbers_meant(a, t))
		return client_new(a, t, 1, STR_NONE);
	numbers_review(a, t);
	return account_next(a, NULL) ? 0 : -ENOMEM;
}

static int account_new(struct reg_clients *cs, const struct pol_trunk *t)
{
	struct account *a = calloc(1, sizeof(*a));
	struct buf b;

	if (!a)
		return -ENOMEM;
	a->cs = cs;
	a->id = t->id;
	list_init(&a->numbers);
	buf_init(&b, a->instance, sizeof(a->instance) - 1);
	htab_add(&cs->by_id, &a->by_id, a->id);
	if (instance_put(&cs->secret, t->id, &b) < 0 || buf_err(&b) || first_of(a, t) < 0) {
		htab_del(&cs->by_id, &a->by_id);
		free(a);
		return -ENOMEM;
	}
	return 0;
}

static void review_all(struct reg_clients *cs)
{
	struct hnode *n = htab_walk(&cs->by_id, NULL), *next;

	for (; n; n = next) {
		next = htab_walk(&cs->by_id, n);
		account_review(container_of(n, struct account, by_id), NULL);
	}
}

static void follow(struct reg_clients *cs)
{
	if (!cs->txn || !cs->policy)
		return;
	review_all(cs);
	for (unsigned i = 0; i < policy_trunk_count(cs->policy); i++) {
		const struct pol_trunk *t = policy_trunk_at(cs->policy, i);
		struct log l = {.to = cs->env->logger, .area = LOG_SIP};

		if (registers(t) && (t->reg.auth != POL_AUTH_NUMBERS || numbers_any(cs, t)) && !account_find(cs, t->id) && account_new(cs, t) < 0)
			log_error(&l, "no_memory", "for=registration trunk=%.*s", STR(t->name));
	}
}

/* ------------------------------------------------------------------ the door */

struct reg_clients *reg_clients_new(
    const struct env *env, struct str user_agent, const struct reg_client_user *user, void *ctx)
{
	struct reg_clients *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return NULL;
	*cs = (struct reg_clients){.env = env, .user_agent = user_agent, .user = user, .ctx = ctx};
	rng_bytes(env->rng, cs->secret.key, sizeof(cs->secret.key));
	if (htab_init(&cs->by_id, 16) < 0 || htab_init(&cs->by_cookie, 16) < 0 || htab_init(&cs->by_place, 16) < 0 ||
	    htab_init(&cs->by_number, 16) < 0) {
		htab_fini(&cs->by_id);
		htab_fini(&cs->by_cookie);
		htab_fini(&cs->by_place);
		free(cs);
		return NULL;
	}
	cs->metric_set =
	    (struct metric_set){.area = "regclient", .names = metric_names, .values = cs->metrics, .n = M_METRICS};
	if (env->metrics)
		metrics_add(env->metrics, &cs->metric_set);
	return cs;
}

void reg_clients_free(struct reg_clients *cs)
{
	struct hnode *n;

	if (!cs)
		return;
	if (cs->targets)
		targets_set_user(cs->targets, NULL, NULL);
	while ((n = htab_walk(&cs->by_cookie, NULL)))
		client_free(container_of(n, struct client, by_cookie));
	htab_fini(&cs->by_id);
	htab_fini(&cs->by_cookie);
	htab_fini(&cs->by_place);
	htab_fini(&cs->by_number);
	explicit_bzero(&cs->secret, sizeof(cs->secret));
	policy_unref(cs->policy);
	metrics_del(&cs->metric_set);
	free(cs);
}

void reg_clients_start(struct reg_clients *cs, struct net *net, struct txn_layer *txn, struct targets *targets)
{
	cs->net = net;
	cs->txn = txn;
	cs->targets = targets;
	targets_set_user(targets, &client_targets_user, cs);
	follow(cs);
}

void reg_clients_set_secret(struct reg_clients *cs, const struct reg_secret *s)
{
	cs->secret = *s;
}

void reg_clients_set_policy(struct reg_clients *cs, struct policy *p)
{
	struct policy *old = cs->policy;

	cs->policy = policy_ref(p);
	policy_unref(old);
	follow(cs);
}

void reg_clients_stop(struct reg_clients *cs)
{
	cs->stopping = true;
	if (cs->txn)
		review_all(cs);
}

unsigned reg_clients_busy(const struct reg_clients *cs)
{
	unsigned n = 0;

	for (struct hnode *h = htab_walk(&cs->by_cookie, NULL); h; h = htab_walk(&cs->by_cookie, h)) {
		const struct client *c = container_of(h, struct client, by_cookie);

		n += c->cli && (c->state == REG_CLIENT_REMOVING || c->leaving);
	}
	return n;
}

/* Now, unless one is out already. */
static void register_now(struct client *c)
{
	if (c->cli)
		return;
	c->fails = 0;
	client_wait_us(c, 0);
}

bool reg_client_register(struct reg_clients *cs, uint32_t trunk_id)
{
	struct account *a = account_find(cs, trunk_id);

	if (!a || cs->stopping)
		return false;
	a->held = false;
	a->plain = false;
	if (a->outbound != OUTBOUND_ACCEPTED)
		a->outbound = OUTBOUND_UNKNOWN;
	a->barred_us = 0;
	for (struct client *c = account_next(a, NULL); c; c = account_next(a, c))
		if (client_runs(c))
			register_now(c);
	account_review(a, NULL);
	return true;
}

bool reg_client_unregister(struct reg_clients *cs, uint32_t trunk_id)
{
	struct account *a = account_find(cs, trunk_id);

	if (!a)
		return false;
	a->held = true;
	account_review(a, NULL);
	return true;
}

bool reg_client_again(struct reg_clients *cs, uint32_t trunk_id, enum reason why, bool lost)
{
	struct account *a = account_find(cs, trunk_id);
	struct client *c = a ? a->flow[0] : NULL;

	if (!c || cs->stopping || c->state != REG_CLIENT_REGISTERED || c->cli)
		return false;
	log_warn(&c->log, "registration_again", "lost=%s aor=%.*s", lost ? "yes" : "no", c->aor_n, c->aor);
	client_tell(c, why);
	if (lost) {
		client_forget(c);
		cs->metrics[M_LOST]++;
		c->why = why;
		c->begun_us = 0;
		client_step(c, REG_CLIENT_WAITING, "told");
	}
	client_wait_us(c, 0);
	return true;
}
