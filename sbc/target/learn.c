/* learn.c - our own address as the far end sees it (trunk setting learn-address).
 *
 * Behind a NAT what we are bound to means nothing to the far end. When the trunk asks for it, the received and rport
 * that its answers bring back in our Via (RFC 3261 18.2.1, RFC 3581 4) become what later Via and Contact lines
 * towards it say. Only values that are an address are taken, from answers to requests of our own; a trunk can
 * mislead itself that way, and nobody else.
 */
#include "sbc/target/internal.h"

#include <stdlib.h>

static struct learned *learned_find(struct trunk_state *t, uint8_t proto, int family)
{
	for (unsigned i = 0; t->learned && i < LEARNED_MAX; i++)
		if (t->learned[i].family == family && t->learned[i].proto == proto)
			return &t->learned[i];
	return NULL;
}

const struct net_local *targets_local(struct targets *ts, uint32_t trunk_id, const struct net_path *path)
{
	const struct net_local *us =
	    net_local(ts->net, path->realm, (enum net_proto)path->proto, path->remote.sa.sa_family);
	struct trunk_state *t = us ? trunk_state_of(ts, trunk_id) : NULL;
	struct learned *l = t && t->learned ? learned_find(t, path->proto, path->remote.sa.sa_family) : NULL;

	if (!l || !target_cfg_of(t->pol).learn)
		return us;
	l->local.bound = us->bound;
	return &l->local;
}

void targets_learn(struct targets *ts, uint32_t trunk_id, const struct net_path *path, const struct sip_msg *answer)
{
	struct trunk_state *t = trunk_state_of(ts, trunk_id);
	const struct sip_via *v = &answer->via;
	const struct net_local *us;
	struct learned *l;
	struct addr a;
	struct buf b;
	uint16_t port;

	if (!t || !target_cfg_of(t->pol).learn || !v->received.n)
		return;
	us = net_local(ts->net, path->realm, (enum net_proto)path->proto, path->remote.sa.sa_family);
	if (!us || addr_parse_ip(v->received, 0, &a) < 0 || a.sa.sa_family != path->remote.sa.sa_family)
		return;
	/* the source port of a connection is not where we listen */
	port = net_reliable((enum net_proto)path->proto) || v->rport == 0 ? us->port : v->rport;
	if (!t->learned)
		t->learned = calloc(LEARNED_MAX, sizeof(*t->learned));
	if (!t->learned)
		return;
	l = learned_find(t, path->proto, a.sa.sa_family);
	for (unsigned i = 0; !l && i < LEARNED_MAX; i++)
		if (t->learned[i].family == 0)
			l = &t->learned[i];
	if (!l)
		return;
	l->proto = path->proto;
	l->family = a.sa.sa_family;
	buf_init(&b, l->host, sizeof(l->host));
	addr_put_host(&b, &a);
	if (str_eq(buf_text(&b), l->local.host) && l->local.port == port)
		return;
	l->local = (struct net_local){.bound = us->bound, .host = buf_text(&b), .port = port};
	log_info(&t->log, "address_learned", "address=%.*s:%u proto=%.*s", STR(l->local.host), port,
	    STR(net_proto_name((enum net_proto)path->proto)));
	if (ts->user)
		ts->user->on_address(ts->user_ctx, trunk_id);
}
