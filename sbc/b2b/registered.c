/* registered.c - calls to those who registered with us (sbc/reg).
 *
 * Each registration is a way: explicit ones of the called number first, then those of the trunk, by q. The request URI
 * is the contact made for the number (RFC 6140 5.2), the Route is the Path it registered with (RFC 3327 5.3), and it
 * goes where the registration came from: to the contact's own address when that is where it came from, by the
 * transport it names; else, behind NAT or a proxy, back along the flow.
 */
#include "sbc/b2b/internal.h"
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

static struct net_path path_of(const struct reg_contact *c)
{
	struct net_path p = {.realm = c->flow.realm, .proto = c->flow.proto, .remote = c->flow.remote, .conn = c->flow.conn};
	struct sip_uri u;
	struct addr a;
	enum net_proto proto;

	if (c->path.n || sip_uri_parse(c->uri, &u) < 0 || !sip_uri_addr(&u, &a) || !addr_eq_ip(&a, &c->flow.remote))
		return p;
	proto = proto_of(&u, (enum net_proto)p.proto);
	if (proto == p.proto && net_reliable(proto))
		return p; /* the connection it registered on */
	if (addr_port(&a) == 0)
		addr_set_port(&a, proto == NET_TLS ? 5061 : 5060);
	p.proto = (uint8_t)proto;
	p.remote = a;
	p.conn = 0;
	return p;
}

unsigned registered_ways(struct b2b *b, struct arena *arena, const struct pol_trunk *t, struct str called, struct str sg,
    struct target_way *ways)
{
	struct reg_way found[REG_WAYS_MAX];
	char space[8192];
	struct buf s;
	unsigned n, kept = 0;

	if (!b->cfg.reg)
		return 0;
	buf_init(&s, space, sizeof(space));
	n = reg_ways(b->cfg.reg, t->id, called, sg, &s, found);
	for (unsigned i = 0; i < n && kept < TARGET_WAYS_MAX; i++) {
		struct target_way w = {.path = path_of(found[i].contact),
		    .uri = str_dup(arena, found[i].uri),
		    .route = found[i].route.n ? str_dup(arena, found[i].route) : STR_NONE,
		    .try_ms = t->sip.try_ms};

		if (!w.uri.p || (found[i].route.n && !w.route.p))
			break;
		w.server = w.uri;
		w.path.peer = targets_peer(b->targets, t->id);
		ways[kept++] = w;
	}
	return kept;
}
