/* client_send.c - what a REGISTER says (RFC 3261 10.2, RFC 6140 5.1). */
#include "sbc/reg/client_internal.h"

#include <errno.h>

#include "sbc/reg/gin.h"
#include "sbc/sip/print.h"

#define REMOVE_F_MS 2000        /* an un-REGISTER is not worth more */

static struct str domain_of(const struct client *c, char text[ADDR_TEXT_MAX])
{
	const struct pol_trunk *t = c->t;
	struct buf b;

	if (t->domain.n || t->n_targets == 0)
		return t->domain.n ? t->domain : S("invalid");
	if (addr_none(&t->targets[0].addr))
		return t->targets[0].host;
	buf_init(&b, text, ADDR_TEXT_MAX);
	addr_put_host(&b, &t->targets[0].addr);
	return buf_text(&b);
}

void client_put_user(const struct client *c, struct buf *b)
{
	if (client_is_number(c))
		policy_number_out(c->t, str_z(c->number), b);
	else
		buf_str(b, c->t->reg.user);
}

static void put_contact(const struct client *c, const struct net_path *path, const struct net_local *us, struct buf *b)
{
	bool sips = c->t->sip.scheme_sips;
	bool tls = path->proto == NET_TLS && c->t->sip.transport_param && !sips; /* RFC 5630 5.1.1 */
	struct str transport = path->proto == NET_TCP ? S("tcp") : tls ? S("tls") : STR_NONE;
	char user[CONTACT_MAX];
	struct buf u;

	if (client_bulk(c) && c->t->reg.contact_host.n) {
		gin_put_bulk(b, sips, c->t->reg.contact_host, 0, STR_NONE, str_z(c->cookie));
		return;
	}
	if (client_bulk(c)) {
		gin_put_bulk(b, sips, us->host, us->port, transport, str_z(c->cookie));
		return;
	}
	buf_init(&u, user, sizeof(user));
	client_put_user(c, &u);
	sip_put_uri_number(b, sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP, buf_text(&u), us->host, us->port, transport, false);
	buf_lit(b, ";tk=");
	buf_str(b, str_z(c->cookie));
}

/* RFC 6140 8.2: the Contact is a name of the inside, and this is the way to it. */
static void put_path(const struct client *c, const struct net_path *path, const struct net_local *us, struct buf *h)
{
	if (!client_bulk(c) || !c->t->reg.contact_host.n)
		return;
	buf_lit(h, "\r\nPath: <");
	sip_put_uri_number(h, c->t->sip.scheme_sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP, STR_NONE, us->host, us->port,
	    path->proto == NET_TCP ? S("tcp") : STR_NONE, false);
	buf_lit(h, ";lr>");
}

bool client_moved(const struct client *c)
{
	char text[CONTACT_MAX];
	const struct net_local *us = targets_local(c->cs->targets, c->id, &c->at);
	struct buf k;

	buf_init(&k, text, sizeof(text));
	if (us)
		put_contact(c, &c->at, us, &k);
	return us && !buf_err(&k) && !str_eq(buf_text(&k), str_n(c->contact, c->contact_n));
}

int client_send(struct client *c, const struct way *w, uint32_t expires_s)
{
	struct reg_clients *cs = c->cs;
	const struct pol_trunk *t = c->t;
	struct net_path path = w->path;
	char text[8192], ruri[512], host[ADDR_TEXT_MAX], uri[CONTACT_MAX], aor[CONTACT_MAX], user[CONTACT_MAX];
	struct txn_timers timers = {.t1_ms = t->sip.t1_ms, .t2_ms = t->sip.t2_ms, .t4_ms = t->sip.t4_ms};
	enum sip_scheme scheme = t->sip.scheme_sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP;
	const struct net_local *us;
	struct buf h, u, k, a, us_user;
	int e;

	if (!addr_none(&w->alt)) {
		e = net_prepare(cs->net, &path, &w->alt);
		if (e < 0)
			return e;
	}
	us = targets_local(cs->targets, c->id, &path);
	if (!us)
		return -ENETUNREACH;
	buf_init(&u, ruri, sizeof(ruri));
	sip_put_uri_number(&u, scheme, STR_NONE, domain_of(c, host), 0, STR_NONE, false);
	buf_init(&us_user, user, sizeof(user));
	client_put_user(c, &us_user);
	buf_init(&a, aor, sizeof(aor));
	sip_put_uri_number(&a, scheme, buf_text(&us_user), domain_of(c, host), 0, STR_NONE, false);
	buf_init(&k, uri, sizeof(uri));
	put_contact(c, &path, us, &k);
	if (buf_err(&u) || buf_err(&a) || buf_err(&k))
		return -ENOSPC;
	buf_init(&h, text, sizeof(text));
	buf_lit(&h, "Max-Forwards: 70\r\nFrom: <");
	buf_str(&h, buf_text(&a));
	buf_lit(&h, ">;tag=");
	buf_str(&h, str_z(c->tag));
	buf_lit(&h, "\r\nTo: <");
	buf_str(&h, buf_text(&a));
	buf_lit(&h, ">\r\nCall-ID: ");
	buf_str(&h, str_z(c->call_id));
	buf_lit(&h, "\r\nCSeq: ");
	buf_u64(&h, c->cseq + 1);
	buf_lit(&h, " REGISTER\r\nContact: <");
	buf_str(&h, buf_text(&k));
	buf_chr(&h, '>');
	if (client_outbound(c)) {
		buf_lit(&h, ";reg-id=");
		buf_u64(&h, c->reg_id);
	}
	if (client_outbound(c) || client_wants_gruu(c)) {
		buf_lit(&h, ";+sip.instance=\"<");
		buf_str(&h, str_z(c->account->instance));
		buf_lit(&h, ">\"");
	}
	buf_lit(&h, ";expires=");
	buf_u64(&h, expires_s);
	buf_lit(&h, "\r\nExpires: ");
	buf_u64(&h, expires_s);
	put_path(c, &path, us, &h);
	if (client_bulk(c))
		buf_lit(&h, "\r\nRequire: gin\r\nProxy-Require: gin");
	buf_lit(&h, "\r\nSupported: path");
	buf_str(&h, client_outbound(c) ? S(", outbound") : STR_NONE);
	buf_str(&h, client_wants_gruu(c) ? S(", gruu\r\n") : S("\r\n"));
	if (t->sip.user_agent && cs->user_agent.n)
		sip_put_hdr(&h, SIP_H_USER_AGENT, cs->user_agent);
	e = auth_put(client_auth(c), cs->env->rng, S("REGISTER"), buf_text(&u), STR_NONE, &h);
	if (e < 0)
		return e;
	if (buf_err(&h))
		return -ENOSPC;
	if (c->state == REG_CLIENT_REMOVING)
		timers.f_ms = REMOVE_F_MS;
	else if (c->at_way < c->n_ways)
		timers.f_ms = w->try_ms;
	c->cli = txn_request(cs->txn,
	    &(struct txn_req){.method = SIP_REGISTER,
	        .ruri = buf_text(&u),
	        .path = path,
	        .headers = buf_text(&h),
	        .cseq = c->cseq + 1,
	        .call_id = str_z(c->call_id),
	        .timers = &timers,
	        .keep = t->sip.keep,
	        .udp_only = t->sip.udp_only,
	        .mtu_limit = t->sip.mtu_limit,
	        .local = us},
	    &client_txn_ops, c);
	if (!c->cli)
		return -ENOMEM;
	c->sent_asked = c->account->asked;
	c->cseq++;
	c->sent++;
	cs->metrics[M_SENT]++;
	memcpy(c->contact, uri, k.n);
	c->contact_n = (uint16_t)k.n;
	c->moving = false;
	memcpy(c->aor, aor, a.n);
	c->aor_n = (uint16_t)a.n;
	if (!client_holds(c))
		c->at = path;
	return 0;
}
