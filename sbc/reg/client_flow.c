/* client_flow.c - flows of our registrations (RFC 5626 4).
 *
 * The first registration asks for outbound. When the registrar accepts it there is a second one, by another server of
 * the trunk, with its own reg-id; both are pinged. A flow that is lost takes its registration's place in calls at
 * once, and the registration is made anew at once: by the same server when it answers, else by one that no other flow
 * has. Only when that fails it waits (RFC 5626 4.5), and likewise when a new flow is lost again soon, so that a server
 * which accepts and falls does not see us every second.
 */
#include "sbc/reg/client_internal.h"

#define STABLE_US 120000000ll /* a flow that was up so long has proved itself (RFC 5626 4.5) */
#define PING_STREAM_MS 120000 /* 95 to 120 s (RFC 5626 4.4.1) */
#define PING_UDP_MS 29000     /* 24 to 29 s (4.4.2) */
#define FLOW_TIMER_MAX_S 86400u

static bool same_place(const struct net_path *a, const struct net_path *b)
{
	return a->proto == b->proto && addr_eq(&a->remote, &b->remote);
}

bool client_taken(const struct client *c, const struct net_path *p)
{
	for (unsigned i = 0; i < REG_FLOWS_MAX; i++) {
		const struct client *o = c->account->flow[i];

		if (o && o != c && (client_holds(o) || o->cli) && same_place(&o->at, p))
			return true;
	}
	return false;
}

bool client_other_lives(const struct client *c)
{
	for (unsigned i = 0; i < REG_FLOWS_MAX; i++) {
		const struct client *o = c->account->flow[i];

		if (o && o != c && client_holds(o) && !o->down)
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------ where it is */

uint64_t client_place_hash(const struct reg_clients *cs, const struct addr *a)
{
	uint16_t port = addr_port(a);

	return hash_str(&cs->env->hash_key, addr_ip_bytes(a)) ^ hash_bytes(&cs->env->hash_key, &port, sizeof(port));
}

void client_unplace(struct client *c)
{
	if (c->placed)
		htab_del(&c->cs->by_place, &c->by_place);
	c->placed = false;
}

void client_place(struct client *c, const struct net_path *at)
{
	client_unplace(c);
	c->at = *at;
	htab_add(&c->cs->by_place, &c->by_place, client_place_hash(c->cs, &at->remote));
	c->placed = true;
}

/* ------------------------------------------------------------------ outbound, and pings */

void client_outbound_is(struct client *c, enum outbound what, uint32_t flow_timer_s)
{
	struct account *a = c->account;
	bool stream = net_reliable((enum net_proto)c->at.proto);
	uint32_t ms = stream ? PING_STREAM_MS : PING_UDP_MS;

	if (what == OUTBOUND_ACCEPTED) {
		if (flow_timer_s)
			ms = (flow_timer_s < FLOW_TIMER_MAX_S ? flow_timer_s : FLOW_TIMER_MAX_S) * 1000;
		c->kept = net_keep(c->cs->net, &c->at, ms) == 0;
		if (!c->kept)
			log_warn(&c->log, "flow_not_pinged", "%s", "");
	}
	if (a->outbound == what)
		return;
	a->outbound = (uint8_t)what;
	if (what != OUTBOUND_ACCEPTED)
		client_tell(c, REASON_REG_NO_OUTBOUND);
	account_review(a, c);
}

/* ------------------------------------------------------------------ lost */

static bool is_on(const struct client *c, const struct net_path *flow)
{
	if (!client_holds(c) || c->at.realm != flow->realm || !same_place(&c->at, flow))
		return false;
	return !net_reliable((enum net_proto)flow->proto) || !flow->conn || c->at.conn == flow->conn;
}

/* Is it one that goes again and again? */
static void count_loss(struct client *c)
{
	int64_t now = c->cs->env->clock->mono_us, since = c->up_us > c->lost_us ? c->up_us : c->lost_us;

	if (now - since >= STABLE_US)
		c->flaps = 0;
	else if (c->flaps < UINT8_MAX)
		c->flaps++;
	c->lost_us = now;
}

/* Something that was sent to where it is registered got no answer, or nobody is there: is the registrar gone? REGISTER
 * finds out, by the other servers first, since they are known for nothing bad. Calls would go on to them by themselves,
 * but the provider's own calls come by the one that holds the registration. */
static void on_bad(void *ctx, uint32_t trunk_id, const struct net_path *path)
{
	const struct reg_clients *cs = ctx;
	struct account *a = account_find(cs, trunk_id);

	for (struct client *c = a ? account_next(a, NULL) : NULL; c; c = account_next(a, c)) {
		if (c->state != REG_CLIENT_REGISTERED || c->suspect || !client_holds(c) || !same_place(&c->at, path))
			continue;
		c->suspect = true;
		log_info(&c->log, "registrar_suspect", "%s", "");
		client_wait_us(c, 0);
	}
}

/* At once, and later and later for an address that changes with each REGISTER. */
void client_readdress(struct client *c)
{
	if (c->state != REG_CLIENT_REGISTERED || !client_holds(c))
		return;
	if (!client_moved(c)) {
		c->moves = 0;
		return;
	}
	if (c->moving)
		return; /* that REGISTER is on its way, whatever else changes meanwhile */
	c->moving = true;
	log_info(&c->log, "reg_address_changed", "in_a_row=%u", c->moves);
	client_wait_us(c, c->moves ? client_part_us(c, client_doubled(1, c->moves), 50, 100) : 0);
	if (c->moves < UINT8_MAX)
		c->moves++;
}

static void on_address(void *ctx, uint32_t trunk_id)
{
	const struct reg_clients *cs = ctx;
	struct account *a = account_find(cs, trunk_id);

	for (struct client *c = a ? account_next(a, NULL) : NULL; c; c = account_next(a, c))
		client_readdress(c);
}

static bool may_probe(void *ctx, uint32_t trunk_id, const struct net_path *path)
{
	const struct reg_clients *cs = ctx;
	const struct account *a = account_find(cs, trunk_id);
	bool sticky = false, held = false;

	for (const struct client *c = a ? account_next(a, NULL) : NULL; c && !held; c = account_next(a, c)) {
		sticky = c->t->reg.sticky;
		held = client_holds(c) && same_place(&c->at, path);
	}
	return held || !sticky;
}

const struct targets_user client_targets_user = {on_bad, on_address, may_probe};

/* Without outbound a registration is more than its flow: calls go on as before, only the registrar may need a new one
 * to reach us. */
static void plain_lost(struct client *c)
{
	if (c->state != REG_CLIENT_REGISTERED)
		return;
	count_loss(c);
	c->at.conn = 0;
	log_info(&c->log, "reg_flow_lost", "in_a_row=%u", c->flaps);
	client_wait_us(c, client_part_us(c, client_doubled(1, c->flaps ? c->flaps - 1u : 0), 0, 100));
}

static void lost(struct client *c, int err)
{
	if (c->down)
		return;
	count_loss(c);
	c->down = true;
	c->kept = false;
	c->why = err ? net_error_reason(err) : REASON_FLOW_CLOSED;
	c->cs->metrics[M_FLOW_LOST]++;
	client_tell(c, c->why);
	if (c->cli || c->state == REG_CLIENT_REJECTED)
		return; /* what is out finds out by itself; who was refused is not heard sooner for it */
	client_wait_us(c, c->flaps > 1 ? client_retry_us(c, c->flaps - 1u) : 0);
	client_step(c, REG_CLIENT_RETRY, "flow_lost");
}

void reg_clients_on_flow_lost(struct reg_clients *cs, const struct net_path *flow, int err)
{
	struct hnode *n = htab_first(&cs->by_place, client_place_hash(cs, &flow->remote));

	for (; n; n = htab_next(n)) {
		struct client *c = container_of(n, struct client, by_place);

		if (!is_on(c, flow))
			continue;
		if (c->account->outbound == OUTBOUND_ACCEPTED)
			lost(c, err);
		else
			plain_lost(c);
	}
}
