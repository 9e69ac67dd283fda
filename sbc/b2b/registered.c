/* registered.c - calls to those who registered with us, and to providers we registered at (sbc/reg).
 *
 * Each registration is a way: explicit ones of the called number first, then those of the trunk, by q. The request URI
 * is the contact made for the number (RFC 6140 5.2), the Route is the Path it registered with (RFC 3327 5.3), and it
 * goes where the registration came from: to the contact's own address when that is where it came from, by the
 * transport it names; else, behind NAT or a proxy, back along the flow. A connection that is gone is not missed when
 * the contact, or the proxy of the Path, can be connected to.
 *
 * A flow of RFC 5626 (reg-id) is what it is: another connection to that address would be another flow. One that does
 * not stand any more is passed over, and so the call goes by the next flow of the same instance (5626 7). That goes for
 * requests in the dialogs of its calls too: they change over to a flow that stands.
 *
 * A request to a GRUU goes to the one that registered it, not to another place of its trunk (RFC 5627 5.1), and so does
 * one whose first Route names a flow of ours (RFC 5626 5.3).
 *
 * Calls to a provider go first where the registration is held: that one knows us. Its Service-Route is their Route
 * (RFC 3608 6.1), whichever of its addresses takes them.
 */
#include "sbc/b2b/internal.h"

#include <errno.h>

#include "sbc/reg/client.h"
#include "sbc/reg/reg.h"

static enum net_proto proto_of(const struct sip_uri *u, enum net_proto flow)
{
	struct str transport;

	if (u->scheme == SIP_SCHEME_SIPS)
		return NET_TLS;
	if (!sip_param_get(u->params, S("transport"), &transport))
		return flow;
	if (str_ieq(transport, S("udp")))
		return NET_UDP;
	if (str_ieq(transport, S("tcp"))) /* over TLS it says nothing else (RFC 5630 5.1.1.1) */
		return flow == NET_TLS ? NET_TLS : NET_TCP;
	return str_ieq(transport, S("tls")) ? NET_TLS : flow;
}

/* It registered by a flow that leads here, not to a proxy that has it (RFC 5626 6). */
static bool own_flow(const struct reg_contact *c)
{
	return c->reg_id && !c->path.n;
}

/* Whom a request for the contact is handed to: the first of its Path, else itself. */
static bool next_hop(const struct reg_contact *c, struct sip_uri *ret)
{
	struct sip_addr first;
	ptrdiff_t end = str_chr(c->path, '>');

	if (!c->path.n)
		return sip_uri_parse(c->uri, ret) == 0;
	if (end < 0 || sip_addr_parse(str_head(c->path, (size_t)end + 1), &first) < 0)
		return false;
	*ret = first.uri;
	return true;
}

/* Where a contact is reached, best first: the connection it registered on while it lasts, then its own address. One
 * behind NAT, or with a flow of its own (RFC 5626 5.3), only where it came from: 0 when that connection is gone, for
 * nobody listens at the other end of it. */
static unsigned paths_of(const struct b2b *b, const struct reg_contact *c, struct net_path paths[2])
{
	bool stands = !net_reliable((enum net_proto)c->flow.proto) || (c->flow.conn && net_alive(b->net, &c->flow));
	struct net_path p = {.realm = c->flow.realm, .proto = c->flow.proto, .remote = c->flow.remote, .conn = c->flow.conn};
	struct sip_uri u;
	struct addr a;
	enum net_proto proto;
	unsigned n = 0;

	paths[0] = p;
	if (own_flow(c) || !next_hop(c, &u))
		return stands;
	proto = proto_of(&u, (enum net_proto)p.proto);
	if (!sip_uri_addr(&u, &a)) { /* names are not looked up; over TLS whoever answers has to prove who it is */
		if (proto != NET_TLS || p.proto != NET_TLS)
			return stands;
		a = p.remote;
		addr_set_port(&a, u.port);
	} else if (!addr_eq_ip(&a, &p.remote)) {
		return stands;
	}
	if (addr_port(&a) == 0)
		addr_set_port(&a, proto == NET_TLS ? 5061 : 5060);
	if (proto == p.proto && net_reliable(proto)) {
		if (addr_eq(&a, &p.remote))
			return 1;
		n = stands;
	}
	p.proto = (uint8_t)proto;
	p.remote = a;
	p.conn = 0;
	paths[n] = p;
	return n + 1;
}

/* Copies what a way keeps of its contact. false: no memory */
static bool keep_flow(struct arena *arena, const struct reg_contact *c, struct target_way *w)
{
	if (!c->reg_id)
		return true;
	w->instance = str_dup(arena, c->instance);
	w->aor = str_dup(arena, c->aor);
	return w->instance.p && w->aor.p;
}

unsigned registered_ways(struct b2b *b, struct arena *arena, const struct pol_trunk *t, struct str called,
    const struct sip_msg *m, struct target_way *ways, enum reason *ret_why)
{
	struct reg_way found[REG_WAYS_MAX];
	const struct reg_contact *only = NULL;
	struct sip_uri phone;
	char space[8192];
	struct buf s;
	unsigned n, kept = 0;
	int meant;

	*ret_why = REASON_NOT_REGISTERED;
	if (!b->cfg.reg)
		return 0;
	meant = m ? gruu_meant(b, arena, t, m, &called, &phone) : 0;
	if (meant < 0)
		return 0;
	buf_init(&s, space, sizeof(space));
	if (m && (reg_find_flow(b->cfg.reg, 0, m, &only) != REASON_NONE || (only && only->trunk_id != t->id)))
		only = NULL;
	n = reg_ways(b->cfg.reg, t->id,
	    &(struct reg_wish){.number = called.n && called.p[0] == '+' ? called : STR_NONE, /* else its own address */
	        .uri = meant ? &phone : m ? &m->ruri : NULL,
	        .msg = m,
	        .from_trunk = t->id,
	        .only = only},
	    &s, found);
	for (unsigned i = 0; i < n && kept < TARGET_WAYS_MAX; i++) {
		struct net_path paths[2];
		unsigned n_paths = paths_of(b, found[i].contact, paths);
		struct target_way w = {.uri = str_dup(arena, found[i].uri),
		    .route = found[i].route.n ? str_dup(arena, found[i].route) : STR_NONE,
		    .try_ms = t->sip.try_ms};

		if (n_paths == 0) {
			*ret_why = REASON_FLOW_FAILED;
			continue;
		}
		if (!w.uri.p || (found[i].route.n && !w.route.p) || !keep_flow(arena, found[i].contact, &w))
			break;
		w.server = w.uri;
		for (unsigned k = 0; k < n_paths && kept < TARGET_WAYS_MAX; k++) {
			w.path = paths[k];
			w.path.peer = targets_peer(b->targets, t->id);
			ways[kept++] = w;
		}
	}
	return kept;
}

uint16_t registered_status(const struct pol_trunk *t, struct str called, enum reason why)
{
	return why == REASON_NOT_REGISTERED || why == REASON_FLOW_FAILED ? policy_down_code(t, called) : 0;
}

/* ------------------------------------------------------------------ flows of one instance */

unsigned registered_left(const struct target_way *tried, uint16_t status, struct target_way *ways, unsigned n)
{
	struct str instance = tried->instance; /* it may be one of them */
	const char *uri = tried->uri.p;        /* each contact has its own copy */
	unsigned kept = 0;

	if (!instance.n || status == 0 || status == 408)
		return n;
	for (unsigned i = 0; i < n; i++)
		if (status == 430 ? ways[i].uri.p != uri : !str_eq(ways[i].instance, instance))
			ways[kept++] = ways[i];
	return kept;
}

struct leg_flow *registered_flow(const struct b2b *b, struct arena *arena, const struct net_path *from)
{
	const struct reg_contact *c = b->cfg.reg ? bindings_at(reg_bindings(b->cfg.reg), from) : NULL;
	struct leg_flow *f = c && own_flow(c) ? arena_new_obj(arena, struct leg_flow) : NULL;

	if (!f)
		return NULL;
	f->instance = str_dup(arena, c->instance);
	f->aor = str_dup(arena, c->aor);
	return f->instance.p && f->aor.p ? f : NULL;
}

bool registered_other_flow(const struct b2b *b, uint32_t trunk_id, const struct leg_flow *f, struct net_path *path)
{
	const struct bindings *bs = reg_bindings(b->cfg.reg);

	for (const struct reg_contact *c = bindings_next(bs, trunk_id, f->aor, NULL); c; c = bindings_next(bs, trunk_id, f->aor, c)) {
		if (!own_flow(c) || !str_eq(c->instance, f->instance) || !net_alive(b->net, &c->flow) ||
		    (c->flow.proto == path->proto && c->flow.conn == path->conn && addr_eq(&c->flow.remote, &path->remote)))
			continue;
		*path = (struct net_path){.realm = c->flow.realm, .proto = c->flow.proto, .remote = c->flow.remote,
		    .conn = c->flow.conn, .peer = path->peer};
		return true;
	}
	return false;
}

/* ------------------------------------------------------------------ GRUUs */

/* The trunk that registers under that name, in whichever realm: a GRUU is called from anywhere. */
static const struct pol_trunk *registrant(const struct policy *p, const struct sip_uri *u)
{
	char text[128];
	struct buf user;

	buf_init(&user, text, sizeof(text));
	sip_unescape(&user, u->user);
	for (unsigned i = 0; !buf_err(&user) && i < policy_realm_count(p); i++) {
		const struct pol_trunk *t = policy_registrant(p, i, buf_text(&user));

		if (t && t->registered && str_eq(t->reg.user, buf_text(&user)))
			return t;
	}
	return NULL;
}

static void only(struct pol_route_result *route, const struct pol_trunk *t)
{
	*route = (struct pol_route_result){.route = S("gruu")};
	if (t->admin == POL_DISABLED)
		route->reason = REASON_TRUNK_DISABLED;
	else if (t->admin == POL_DRAINING)
		route->reason = REASON_TRUNK_DRAINING;
	else
		route->hops[route->n_hops++] = (struct pol_hop){t, t->registered};
}

enum reason registered_route(struct b2b *b, struct policy *p, const struct pol_trunk *from, const struct sip_msg *m,
    struct str calling, struct str called, struct pol_route_result *ret)
{
	const struct reg_contact *c = NULL;
	const struct pol_trunk *t = NULL;
	bool gruu = b->cfg.reg && reg_is_gruu(&m->ruri), one;
	enum reason why = REASON_NONE;
	char number[32], uri[512];
	struct buf nb, ub;
	unsigned kept = 0;
	uint32_t owner = 0;
	int temp;

	*ret = (struct pol_route_result){.n_hops = 0};
	buf_init(&nb, number, sizeof(number));
	buf_init(&ub, uri, sizeof(uri));
	temp = gruu_temp(b, m, &owner, &nb, &ub);
	if (temp < 0)
		return REASON_GRUU_UNKNOWN;
	if (temp > 0) {
		t = policy_trunk(p, owner);
		if (!t || !t->registered)
			return REASON_GRUU_UNKNOWN;
		gruu = false;
	}
	if (b->cfg.reg && !t)
		why = reg_find_flow(b->cfg.reg, from->id, m, &c);
	one = gruu || c;
	if (gruu && !c && why == REASON_NONE)
		why = reg_find_gruu(b->cfg.reg, from->id, &m->ruri, &c);
	if (why != REASON_NONE)
		return why;
	if (c) {
		t = policy_trunk(p, c->trunk_id);
		if (!t || !t->registered)
			return REASON_GRUU_UNKNOWN; /* the trunk went with this snapshot */
	} else if (gruu) {
		t = registrant(p, &m->ruri);
	}
	if (t)
		only(ret, t);
	else
		policy_route(p, from, calling, called, b->env->clock->wall_us, b->env->rng, ret);
	registrar_hops(b, calling, ret);
	if ((one || gruu_asked(b, m)) && ret->n_hops && ret->hops[0].trunk->registered) {
		/* one contact is meant, and nothing that stands in for it */
		for (unsigned i = 0; i < ret->n_hops; i++)
			if (ret->hops[i].target->registered)
				ret->hops[kept++] = ret->hops[i];
		ret->n_hops = kept;
	}
	if (ret->n_hops == 0)
		return ret->reason ? ret->reason : REASON_NO_ROUTE;
	return REASON_NONE;
}

/* ------------------------------------------------------------------ where we are registered */

bool b2b_ruri_registered(const struct b2b *b, const struct pol_trunk *t, const struct sip_msg *m)
{
	struct str tk;

	return b->cfg.clients && t->role == POL_ITSP && sip_param_get(m->ruri.params, S("tk"), &tk) &&
	       reg_client_of_cookie(b->cfg.clients, tk) == t->id;
}

enum reason registrar_asks(const struct b2b *b, const struct pol_trunk *t)
{
	bool needed = (t->reg.needed || t->reg.sticky) && t->role == POL_ITSP && t->reg.auth != POL_AUTH_STATIC;

	return needed && b->cfg.clients && !reg_client_holds(b->cfg.clients, t->id) ? REASON_REG_NEEDED : REASON_NONE;
}

bool registrar_sticks(const struct b2b *b, const struct pol_trunk *t)
{
	return b->cfg.clients && t->reg.sticky && t->role == POL_ITSP && t->reg.auth != POL_AUTH_STATIC;
}

bool registrar_moves(const struct b2b *b, const struct pol_trunk *t, struct str calling)
{
	return registrar_sticks(b, t) && reg_client_moves(b->cfg.clients, t->id, calling);
}

unsigned registrar_only(const struct b2b *b, const struct pol_trunk *t, struct str calling, struct target_way *ways)
{
	struct reg_client_way held[REG_FLOWS_MAX];
	unsigned k = reg_client_ways(b->cfg.clients, t->id, calling, held), n = 0;

	for (unsigned h = 0; h < k; h++) /* those that are not up only when there are no others */
		if (held[h].up || n == 0)
			ways[n++] = (struct target_way){.path = held[h].path, .try_ms = t->sip.try_ms};
	for (unsigned i = 0; i < n; i++)
		ways[i].path.conn = 0;
	return n;
}

static bool is_at(const struct net_path *at, const struct target_way *w)
{
	return at->proto == w->path.proto && (addr_eq(&w->path.remote, &at->remote) || addr_eq(&w->alt, &at->remote));
}

bool registrar_left(const struct b2b *b, const struct pol_trunk *t, struct str calling, const struct net_path *at)
{
	struct target_way ways[REG_FLOWS_MAX];

	return registrar_moves(b, t, calling) || (registrar_sticks(b, t) && registrar_only(b, t, calling, ways) && !is_at(at, &ways[0]));
}

/* The way that leads there goes to the front, if there is one. */
static void to_front(const struct net_path *at, struct target_way *ways, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct target_way w = ways[i];

		if (!is_at(at, &w))
			continue;
		for (; i > 0; i--)
			ways[i] = ways[i - 1];
		ways[0] = w;
		return;
	}
}

int registrar_first(const struct b2b *b, struct arena *arena, const struct pol_trunk *t, struct str calling,
    struct target_way *ways, unsigned n)
{
	struct reg_client_way held[REG_FLOWS_MAX];
	unsigned k = b->cfg.clients && t->role == POL_ITSP ? reg_client_ways(b->cfg.clients, t->id, calling, held) : 0;

	for (unsigned h = 0; h < k; h++) {
		if (!held[h].route.n)
			continue;
		held[h].route = str_dup(arena, held[h].route);
		if (!held[h].route.p)
			return -ENOMEM;
	}
	for (unsigned i = 0; k && i < n; i++) {
		unsigned h = k - 1;

		while (h > 0 && !is_at(&held[h].path, &ways[i]))
			h--; /* where none is held it is that of the best */
		ways[i].route = held[h].route;
	}
	while (k-- > 0)
		to_front(&held[k].path, ways, n);
	return 0;
}

/* Does the hop lead to where its trunk is registered? */
static bool leads_there(const struct b2b *b, const struct pol_hop *hop, struct str calling)
{
	struct target_way ways[TARGET_WAYS_MAX];
	struct reg_client_way held[REG_FLOWS_MAX];
	enum reason why;
	unsigned n;

	if (hop->trunk->role != POL_ITSP || !reg_client_ways(b->cfg.clients, hop->trunk->id, calling, held))
		return false;
	n = targets_ways_seen(b->targets, hop, ways, &why);
	for (unsigned i = 0; i < n; i++)
		if (is_at(&held[0].path, &ways[i]))
			return true;
	return false;
}

void registrar_hops(const struct b2b *b, struct str calling, struct pol_route_result *route)
{
	for (unsigned i = 0; b->cfg.clients && i < route->n_hops; i++) {
		struct pol_hop hop = route->hops[i];
		unsigned first = i, k;

		while (first > 0 && route->hops[first - 1].trunk == hop.trunk)
			first--;
		if (first < i && registrar_sticks(b, hop.trunk)) {
			/* whichever of its targets it is, where it is registered is one place */
			for (k = i--; k + 1 < route->n_hops; k++)
				route->hops[k] = route->hops[k + 1];
			route->n_hops--;
			continue;
		}
		if (first == i || leads_there(b, &route->hops[first], calling) || !leads_there(b, &hop, calling))
			continue;
		for (k = i; k > first; k--)
			route->hops[k] = route->hops[k - 1];
		route->hops[first] = hop;
	}
}
