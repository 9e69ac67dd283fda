/* events.c - SUBSCRIBE and NOTIFY: which packages there are, whose state it is, who may watch it.
 *
 * A package that nobody offers is 489 with the list of those that are (EVT-01). Registrations (reg) are told by
 * sbc/reg/regevent.c: of a trunk to the trunk itself and to the trunks it names (reg-watchers), of one of its numbers as
 * reg-answer says. Other packages are carried between trunks that both name them (events). In a dialog the request has to come from the trunk that began it (ACC-03).
 */
#include <errno.h>

#include "sbc/b2b/outside.h"
#include "sbc/dialog/subscription.h"
#include "sbc/reg/reg.h"
#include "sbc/reg/regevent.h"
#include "sbc/reg/reginfo.h"

static bool offers_reg(const struct b2b *b)
{
	return b->cfg.subs && b->cfg.events;
}

void events_put_allowed(const struct b2b *b, const struct pol_trunk *t, struct buf *h)
{
	buf_lit(h, "Allow-Events: ");
	if (offers_reg(b))
		buf_lit(h, "reg");
	for (unsigned i = 0; b->cfg.subs && t && i < t->n_events; i++) {
		if (i || offers_reg(b))
			buf_lit(h, ", ");
		buf_str(h, t->events[i]);
	}
	buf_lit(h, "\r\n");
}

static void refuse_package(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv)
{
	char text[2048];
	struct buf h;

	buf_init(&h, text, sizeof(text));
	events_put_allowed(b, t, &h);
	b2b_refuse(b, srv, t, REASON_EVENT_PACKAGE, buf_text(&h));
}

/* ------------------------------------------------------------------ registrations */

/* Whose address of record the request URI is: the trunk, and one of its numbers or nothing. */
static enum reason find_owner(struct b2b *b, const struct pol_trunk *t, const struct sip_msg *m, const struct net_path *from,
    const struct pol_trunk **ret, struct buf *number)
{
	const struct pol_number *n;
	char text[256], called[256];
	struct buf user, c;
	enum reason why;

	buf_init(&c, called, sizeof(called));
	why = screen_called(b, b->policy, t, m, from, &c); /* the host is ours, and there is a user */
	if (why != REASON_NONE)
		return why == REASON_NUMBER_UNKNOWN ? REASON_REG_UNKNOWN : why;
	buf_init(&user, text, sizeof(text));
	sip_unescape(&user, m->ruri.user);
	*ret = buf_err(&user) ? NULL : policy_registrant(b->policy, from->realm, buf_text(&user));
	if (*ret && str_eq((*ret)->reg.user, buf_text(&user)))
		return REASON_NONE;
	n = policy_number(b->policy, buf_text(&c));
	*ret = n ? policy_trunk(b->policy, n->trunk_id) : NULL;
	if (!*ret)
		return REASON_REG_UNKNOWN;
	buf_str(number, buf_text(&c));
	return buf_err(number) ? REASON_REG_UNKNOWN : REASON_NONE;
}

bool events_tells(const struct pol_trunk *owner)
{
	return owner->role == POL_PBX && owner->reg.auth != POL_AUTH_STATIC && owner->reg.event != POL_REG_EVENT_OFF;
}

static bool accepts_reginfo(const struct sip_msg *m)
{
	struct sip_values w = sip_values(m, SIP_H_ACCEPT);
	struct str v, type;

	if (!sip_hdr(m, SIP_H_ACCEPT))
		return true;
	while (sip_values_next(&w, &v)) {
		str_cut(v, ';', &type);
		type = str_trim(type);
		if (str_ieq(type, REGINFO_TYPE) || str_ieq(type, S("application/*")) || str_eq(type, S("*/*")))
			return true;
	}
	return false;
}

/* The domain of the addresses that a watcher is told of: the one it asked by; a provider's own (REV-04). */
static struct str domain_for(const struct b2b *b, const struct pol_trunk *t, const struct sip_msg *m)
{
	const struct pol_realm *realm = policy_realm(b->policy, t->realm);
	struct addr a;

	if (t->role == POL_ITSP && t->domain.n)
		return t->domain;
	if (t->role == POL_ITSP && t->n_targets && addr_none(&t->targets[0].addr))
		return t->targets[0].host;
	if (sip_uri_addr(&m->ruri, &a) && realm && realm->n_domains)
		return realm->domains[0];
	return m->ruri.host;
}

static void put_host(const struct net_local *us, struct buf *b)
{
	buf_str(b, us->host);
	if (us->port) {
		buf_chr(b, ':');
		buf_u64(b, us->port);
	}
}

static void put_contact(const struct pol_trunk *t, const struct net_local *us, const struct net_path *path, struct buf *b)
{
	struct str transport = path->proto == NET_TCP                                ? S("tcp")
	                       : path->proto == NET_TLS && t->sip.transport_param    ? S("tls")
	                                                                             : STR_NONE;

	buf_chr(b, '<');
	sip_put_uri_number(b, t->sip.scheme_sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP, STR_NONE, us->host, us->port, transport, false);
	buf_chr(b, '>');
}

enum reason events_peer(const struct b2b *b, const struct pol_trunk *t, const struct net_path *path, struct buf *contact,
    struct buf *lines, struct sub_peer *ret)
{
	const struct net_local *us = b2b_local(b, t, path);

	if (!us)
		return REASON_NO_LISTENER;
	put_contact(t, us, path, contact);
	b2b_put_agent(b, t, true, lines);
	if (buf_err(contact) || buf_err(lines))
		return REASON_TOO_LARGE;
	*ret = (struct sub_peer){.trunk_id = t->id,
	    .contact = buf_text(contact),
	    .lines = buf_text(lines),
	    .nat = t->sip.nat,
	    .udp_only = t->sip.udp_only,
	    .mtu_limit = t->sip.mtu_limit,
	    .timers = {.t1_ms = t->sip.t1_ms, .t2_ms = t->sip.t2_ms, .t4_ms = t->sip.t4_ms},
	    .max = t->max_subscriptions};
	return REASON_NONE;
}

/* Is somebody there who could tell of it? */
static bool registered_now(const struct b2b *b, const struct pol_trunk *owner, struct str number)
{
	struct reg_way ways[REG_WAYS_MAX];
	char space[8192];
	struct buf s;

	buf_init(&s, space, sizeof(space));
	return b->cfg.reg && reg_ways(b->cfg.reg, owner->id, &(struct reg_wish){.number = number}, &s, ways) > 0;
}

static enum reason watch_registration(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from, struct buf *h)
{
	char number_text[64], contact_text[512], agent_text[256], mask_text[300];
	const struct net_local *us = b2b_local(b, t, from);
	struct reg_events_ask ask = {.host = domain_for(b, t, m)};
	struct buf number, contact, agent, mask;
	const struct pol_trunk *owner;
	struct sub_peer peer;
	enum reason why;

	buf_init(&number, number_text, sizeof(number_text));
	why = find_owner(b, t, m, from, &owner, &number);
	if (why != REASON_NONE)
		return why;
	if (!policy_may_watch(owner, t))
		return REASON_SUB_DENIED;
	if (!events_tells(owner)) {
		events_put_allowed(b, t, h);
		return REASON_EVENT_PACKAGE;
	}
	if (!accepts_reginfo(m)) {
		buf_lit(h, "Accept: application/reginfo+xml\r\n");
		return REASON_NOT_ACCEPTABLE;
	}
	if (!us)
		return REASON_NO_LISTENER;
	buf_init(&mask, mask_text, sizeof(mask_text));
	if (owner != t)
		put_host(us, &mask);
	if (buf_err(&mask))
		return REASON_TOO_LARGE;
	/* of one number the PBX tells, when it is there; until then it is "not registered", and that is told from here
	 * (RFC 6140 7.2.2). To the PBX itself there is nobody else to ask */
	if (number.n && owner != t && owner->reg.answer == POL_REG_ANSWER_PBX) {
		if (registered_now(b, owner, buf_text(&number)))
			return relay_subscribe(b, t, srv, m, from, ask.host, buf_text(&mask), h);
		ask.only_until = true;
	}
	buf_init(&contact, contact_text, sizeof(contact_text));
	buf_init(&agent, agent_text, sizeof(agent_text));
	why = events_peer(b, t, from, &contact, &agent, &peer);
	if (why != REASON_NONE)
		return why;
	ask.owner = owner;
	ask.number = buf_text(&number);
	ask.mask = buf_text(&mask);
	ask.peer = &peer;
	return reg_events_subscribe(b->cfg.events, &ask, srv, m, from, h);
}

/* ------------------------------------------------------------------ the door */

void events_subscribe(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from)
{
	struct sip_event event;
	bool known = sip_event(m, &event) == 0 && b->cfg.subs, reg = known && str_eq(event.package, S("reg"));
	char text[2048];
	enum reason why;
	struct buf h;

	if (!(reg && offers_reg(b)) && !(known && !reg && policy_event_carried(t, event.package))) {
		refuse_package(b, t, srv);
		return;
	}
	if (b->drain || b->shutdown) {
		b2b_refuse(b, srv, t, REASON_SHUTDOWN, S("Retry-After: 30\r\n"));
		return;
	}
	buf_init(&h, text, sizeof(text));
	why = reg ? watch_registration(b, t, srv, m, from, &h) : relay_subscribe(b, t, srv, m, from, STR_NONE, STR_NONE, &h);
	if (why != REASON_NONE)
		b2b_refuse(b, srv, t, why, buf_err(&h) ? STR_NONE : buf_text(&h));
}

bool events_in_dialog(struct b2b *b, struct txn_srv *srv, const struct sip_msg *m, const struct net_path *from)
{
	struct sub *s = b->cfg.subs ? subs_find(b->cfg.subs, m) : NULL;
	const struct pol_trunk *t;
	struct sub_view v;

	if (!s)
		return false;
	sub_view(s, &v);
	t = policy_trunk(b->policy, v.trunk_id);
	if (t ? !b2b_may_be_of(b, b->policy, t, &v.path, from) : from->realm != v.path.realm || !addr_eq_ip(&from->remote, &v.path.remote)) {
		b2b_count(b, B2B_STRANGERS);
		if (b2b_trunk_of(b, b->policy, from))
			b2b_refuse(b, srv, NULL, REASON_SOURCE_MISMATCH, STR_NONE);
		else
			txn_srv_drop(srv);
		return true;
	}
	if (t && t->sip.nat)
		txn_srv_set_symmetric(srv);
	if (t && !proof_inside(b, t, srv, m, from, false))
		return true;
	txn_srv_known(srv, m, from, false);
	subs_request(b->cfg.subs, s, srv, m, from);
	return true;
}

/* A NOTIFY that nobody subscribed to: waiting messages, as some providers tell them. */
bool events_unsolicited(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from)
{
	struct sip_event event;

	return b->cfg.subs && sip_event(m, &event) == 0 && policy_event_carried(t, event.package) &&
	       sip_hdr(m, SIP_H_SUBSCRIPTION_STATE) && outside_request(b, t, srv, m, from);
}
