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

#define FLOW_STABLE_US (600 * 1000000ll) /* a flow that lasted so long is not one that is lost again and again */

const char *const reg_client_state_names[REG_CLIENT_STATES] = {"idle", "waiting", "trying", "challenged", "registered",
    "refreshing", "retry", "rejected", "removing", "stopped"};

static const char *const metric_names[M_METRICS] = {
    "sent", "challenged", "accepted", "failed", "rejected", "lost"};

/* ------------------------------------------------------------------ small things */

static struct client *find(const struct reg_clients *cs, uint32_t id)
{
	for (struct hnode *n = htab_first(&cs->by_id, id); n; n = htab_next(n)) {
		struct client *c = container_of(n, struct client, by_id);

		if (c->id == id)
			return c;
	}
	return NULL;
}

static bool runs(const struct client *c)
{
	return c->state != REG_CLIENT_IDLE && c->state != REG_CLIENT_STOPPED;
}

void client_step(struct client *c, enum reg_client_state next, const char *because)
{
	enum reg_client_state was = c->state;
	char code[REASON_CODE_MAX];

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
	return a->realm == b->realm && a->reg.auth == b->reg.auth && str_eq(a->reg.user, b->reg.user) &&
	       str_eq(a->reg.auth_user, b->reg.auth_user) && str_eq(a->reg.realm, b->reg.realm) &&
	       a->reg.expires_s == b->reg.expires_s && str_eq(a->domain, b->domain) &&
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
	c->cred = (struct auth_credential){.realm = t->reg.realm,
	    .username = t->reg.auth_user,
	    .integrity = (enum auth_int)t->reg.integrity};
	for (int i = 0; i < DIGEST_ALGS; i++) {
		struct str x = t->reg.ha1[i];

		if (x.n > DIGEST_HEX_MAX)
			continue;
		if (x.n)
			memcpy(c->cred.ha1[i].hex, x.p, x.n);
		c->cred.ha1[i].n = (uint8_t)x.n;
	}
	buf_init(&ctx, c->log.ctx, sizeof(c->log.ctx) - 1);
	buf_fmt(&ctx, "trunk=%.*s", STR(str_head(t->name, 30)));
	(void)buf_z(&ctx);
}

static void put_text(struct client *c, char *to, size_t n)
{
	struct buf b;

	buf_init(&b, to, n);
	rng_put_token(c->cs->env->rng, &b, n);
	to[n] = '\0';
}

/* A registration of its own: nothing of what was before it. */
static void begin(struct client *c, const char *because)
{
	put_text(c, c->call_id, sizeof(c->call_id) - 1);
	put_text(c, c->tag, sizeof(c->tag) - 1);
	memset(&c->auth, 0, sizeof(c->auth));
	c->cseq = 0;
	c->fails = 0;
	c->plain = false;
	c->ask_s = c->t->reg.expires_s;
	c->begun_us = 0;
	c->why = REASON_NONE;
	client_step(c, REG_CLIENT_WAITING, because);
	client_wait_us(c, 0);
}

static void client_free(struct client *c)
{
	struct reg_clients *cs = c->cs;

	timer_stop(cs->env->timers, &c->timer);
	timer_stop(cs->env->timers, &c->over);
	if (c->cli)
		txn_cli_detach(c->cli);
	htab_del(&cs->by_id, &c->by_id);
	htab_del(&cs->by_cookie, &c->by_cookie);
	policy_unref(c->policy);
	explicit_bzero(&c->cred, sizeof(c->cred));
	free(c);
}

/* true: it is under way, and client_review() is called again at its end */
static bool take_back(struct client *c)
{
	struct way w = {.path = c->at};

	timer_stop(c->cs->env->timers, &c->timer);
	if (!client_holds(c))
		return false;
	c->asked[0] = c->asked[1] = 0;
	client_step(c, REG_CLIENT_REMOVING, "policy");
	if (client_send(c, &w, 0) == 0)
		return true;
	client_forget(c);
	return false;
}

void client_review(struct client *c)
{
	struct reg_clients *cs = c->cs;
	const struct pol_trunk *t = cs->policy ? policy_trunk(cs->policy, c->id) : NULL;
	bool kept = registers(t), account = kept && t->reg.user.n > 0;
	bool wanted = account && !cs->stopping && !c->held && t->admin != POL_DISABLED;

	if (c->state == REG_CLIENT_REMOVING && c->cli)
		return; /* comes back here at its end */
	if (wanted && runs(c) && same(c->t, t)) {
		adopt(c, t);
		c->leaving = false;
		return;
	}
	if (runs(c)) {
		if (c->cli) {
			c->leaving = true;
			return;
		}
		if (take_back(c))
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

static int client_new(struct reg_clients *cs, const struct pol_trunk *t)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->cs = cs;
	c->id = t->id;
	c->since_wall_us = cs->env->clock->wall_us;
	c->log = (struct log){.to = cs->env->logger, .area = LOG_SIP};
	put_text(c, c->cookie, sizeof(c->cookie) - 1);
	htab_add(&cs->by_id, &c->by_id, c->id);
	htab_add(&cs->by_cookie, &c->by_cookie, hash_str(&cs->env->hash_key, str_z(c->cookie)));
	adopt(c, t);
	client_review(c);
	return 0;
}

static void review_all(struct reg_clients *cs)
{
	struct hnode *n = htab_walk(&cs->by_id, NULL), *next;

	for (; n; n = next) {
		next = htab_walk(&cs->by_id, n);
		client_review(container_of(n, struct client, by_id));
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

		if (registers(t) && !find(cs, t->id) && client_new(cs, t) < 0)
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
	if (htab_init(&cs->by_id, 16) < 0 || htab_init(&cs->by_cookie, 16) < 0) {
		htab_fini(&cs->by_id);
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
	while ((n = htab_walk(&cs->by_id, NULL)))
		client_free(container_of(n, struct client, by_id));
	htab_fini(&cs->by_id);
	htab_fini(&cs->by_cookie);
	policy_unref(cs->policy);
	metrics_del(&cs->metric_set);
	free(cs);
}

void reg_clients_start(struct reg_clients *cs, struct net *net, struct txn_layer *txn, struct targets *targets)
{
	cs->net = net;
	cs->txn = txn;
	cs->targets = targets;
	follow(cs);
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

	for (struct hnode *h = htab_walk(&cs->by_id, NULL); h; h = htab_walk(&cs->by_id, h)) {
		const struct client *c = container_of(h, struct client, by_id);

		n += c->cli && (c->state == REG_CLIENT_REMOVING || c->leaving);
	}
	return n;
}

bool reg_client_register(struct reg_clients *cs, uint32_t trunk_id)
{
	struct client *c = find(cs, trunk_id);

	if (!c || cs->stopping)
		return false;
	c->held = false;
	if (!runs(c)) {
		client_review(c);
		return true;
	}
	if (c->cli)
		return true; /* one is out already */
	c->plain = false;
	c->fails = 0;
	client_wait_us(c, 0);
	return true;
}

bool reg_client_unregister(struct reg_clients *cs, uint32_t trunk_id)
{
	struct client *c = find(cs, trunk_id);

	if (!c)
		return false;
	c->held = true;
	client_review(c);
	return true;
}

void reg_clients_on_flow_lost(struct reg_clients *cs, const struct net_path *flow)
{
	struct client *c = cs->targets ? find(cs, targets_trunk_of(cs->targets, flow)) : NULL;
	int64_t now = cs->env->clock->mono_us;

	if (!c || c->state != REG_CLIENT_REGISTERED || c->at.proto != flow->proto ||
	    (flow->conn ? c->at.conn != flow->conn : !addr_eq(&c->at.remote, &flow->remote)))
		return;
	c->flow_losses = c->flow_lost_us && now - c->flow_lost_us < FLOW_STABLE_US ? c->flow_losses + 1 : 0;
	c->flow_lost_us = now;
	c->at.conn = 0;
	log_info(&c->log, "reg_flow_lost", "losses=%u", c->flow_losses + 1);
	client_wait_us(c, client_part_us(c, client_doubled(1, c->flow_losses), 0, 100));
}

bool reg_client_again(struct reg_clients *cs, uint32_t trunk_id, enum reason why, bool lost)
{
	struct client *c = find(cs, trunk_id);

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

bool reg_client_holds(const struct reg_clients *cs, uint32_t trunk_id)
{
	const struct client *c = find(cs, trunk_id);

	return c && client_holds(c);
}

bool reg_client_way(const struct reg_clients *cs, uint32_t trunk_id, struct net_path *ret, struct str *ret_route)
{
	const struct client *c = find(cs, trunk_id);

	if (!c || !client_holds(c))
		return false;
	*ret = c->at;
	*ret_route = str_n(c->route, c->route_n);
	return true;
}

uint32_t reg_client_of_cookie(const struct reg_clients *cs, struct str cookie)
{
	struct hnode *n = htab_first(&cs->by_cookie, hash_str(&cs->env->hash_key, cookie));

	for (; n; n = htab_next(n)) {
		const struct client *c = container_of(n, struct client, by_cookie);

		if (str_eq(str_z(c->cookie), cookie))
			return c->id;
	}
	return 0;
}

bool reg_client_view(const struct reg_clients *cs, uint32_t trunk_id, struct reg_client_view *ret)
{
	const struct client *c = find(cs, trunk_id);

	if (!c)
		return false;
	*ret = (struct reg_client_view){.state = c->state,
	    .why = c->why,
	    .bulk = client_bulk(c),
	    .fallback = c->plain,
	    .at = c->at,
	    .holds = client_holds(c),
	    .expires_us = c->expires_us,
	    .next_us = timer_running(&c->timer) ? c->timer.due_us : 0,
	    .since_wall_us = c->since_wall_us,
	    .registered_wall_us = c->registered_wall_us,
	    .asked_s = c->ask_s,
	    .granted_s = c->granted_s,
	    .status = c->status,
	    .failures = c->fails,
	    .sent = c->sent,
	    .accepted = c->accepted,
	    .events = c->events,
	    .aor = str_n(c->aor, c->aor_n),
	    .contact = str_n(c->contact, c->contact_n),
	    .route = str_n(c->route, c->route_n),
	    .call_id = str_z(c->call_id),
	    .realm = str_n(c->realm, c->realm_n)};
	return true;
}
