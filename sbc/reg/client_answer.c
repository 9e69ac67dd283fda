/* client_answer.c - what the answers to a REGISTER mean (RFC 3261 10.2.4, RFC 3608 5, RFC 6140 5.1).
 *
 * A challenge that follows an answered one ends the attempt unless it says stale: no password is tried again and
 * again (RGC-05). The lifetime is that of our own Contact, never another one's (RGC-02).
 */
#include "sbc/reg/client_internal.h"

#include <errno.h>

#include "sbc/reg/gin.h"
#include "sbc/sip/header.h"

#define REJECTED_BASE_S 60u     /* wrong password */
#define RETRY_AFTER_MAX_S 86400u
#define MALFORMED_EXPIRES_S 3600u /* RFC 3261 10.2.4, 20.19 */

static void note_realm(struct client *c, const struct sip_msg *m)
{
	const struct sip_hdr *h = sip_hdr(m, m->status == 407 ? SIP_H_PROXY_AUTHENTICATE : SIP_H_WWW_AUTHENTICATE);
	struct digest_fields f;
	struct log_quote q;

	if (!h || digest_parse(h->value, &f) < 0)
		return;
	c->realm_n = (uint16_t)str_head(f.realm, sizeof(c->realm)).n;
	memcpy(c->realm, f.realm.p, c->realm_n);
	log_warn(&c->log, "foreign_realm", "realm=%s", log_quoted(&q, f.realm));
}

static void challenged(struct client *c, const struct sip_msg *m, const struct net_path *path)
{
	/* another number was challenged after this REGISTER had gone out */
	bool untried = client_is_number(c) && c->sent_asked != c->account->asked && c->asked[m->status == 407] == 0;
	enum reason why = auth_again(client_auth(c), c->asked, m, client_cred(c), client_cred(c)->username.n ? 1 : 0);

	if (why == REASON_NONE && client_is_number(c))
		c->account->asked++;
	if (why == REASON_AUTH_REJECTED && untried)
		why = REASON_NONE; /* it has the nonce that the other one learned, which was not tried for this one yet */
	c->cs->metrics[M_CHALLENGED]++;
	if (why == REASON_AUTH_REALM)
		note_realm(c, m);
	if (why != REASON_NONE)
		client_rejected(c, why, REJECTED_BASE_S, why == REASON_AUTH_REJECTED ? "wrong_password" : "challenge");
	else
		client_again(c, path, REG_CLIENT_CHALLENGED, m->status == 407 ? "407" : "401");
}

/* Does that Contact of a 2xx stand for ours? Behind NAT its host may have been rewritten, not its cookie. */
static bool is_ours(const struct client *c, const struct sip_uri *u, bool *ret_foreign)
{
	struct sip_uri sent;
	struct str tk;

	if (sip_param_get(u->params, S("tk"), &tk)) {
		*ret_foreign = !str_eq(tk, str_z(c->cookie));
		return !*ret_foreign;
	}
	*ret_foreign = false;
	return sip_uri_parse(str_n(c->contact, c->contact_n), &sent) == 0 && gin_contact_eq(u, &sent);
}

/* Parameters of our own Contact; empty: it is not there. One that says nothing of whose it is counts only when it is the
 * only one. */
static struct str own_params(const struct client *c, const struct sip_msg *m)
{
	struct sip_values w = sip_values(m, SIP_H_CONTACT);
	struct str value, own = STR_NONE;
	bool ours = false, foreign;
	unsigned n = 0;

	while (!ours && sip_values_next(&w, &value)) {
		struct sip_addr a;

		if (sip_addr_parse(value, &a) < 0)
			continue;
		n++;
		ours = is_ours(c, &a.uri, &foreign);
		if (ours || !foreign)
			own = a.params;
		else if (n == 1)
			own = STR_NONE;
	}
	return ours || n == 1 ? own : STR_NONE;
}

/* RGC-02: what our own Contact got; else Expires; else what we asked for. */
static uint32_t granted(const struct client *c, const struct sip_msg *m)
{
	struct str own = own_params(c, m), text;
	uint32_t s;
	int e;

	if (own.p && sip_param_get(own, S("expires"), &text))
		return str_u32(text, UINT32_MAX, &s) == 0 ? s : MALFORMED_EXPIRES_S;
	e = sip_delta_seconds(m, SIP_H_EXPIRES, &s);
	return e == 0 ? s : e == -ENOENT ? c->ask_s : MALFORMED_EXPIRES_S;
}

/* RFC 3608 5: the newest answer decides, one without takes it away. */
static void take_route(struct client *c, const struct sip_msg *m)
{
	struct sip_values w = sip_values(m, SIP_H_SERVICE_ROUTE);
	struct sip_addr a;
	struct str v;
	struct buf b;

	buf_init(&b, c->route, sizeof(c->route));
	while (sip_values_next(&w, &v)) {
		if (sip_addr_parse(v, &a) < 0 || (a.uri.scheme != SIP_SCHEME_SIP && a.uri.scheme != SIP_SCHEME_SIPS)) {
			buf_fail(&b);
			break;
		}
		if (b.n)
			buf_lit(&b, ", ");
		buf_str(&b, v);
	}
	if (buf_err(&b))
		log_warn(&c->log, "service_route_bad", "bytes=%zu", b.n);
	c->route_n = buf_err(&b) ? 0 : (uint16_t)b.n;
}

/* GRUU-01: what a phone's is made from: bnc, no user part, an instance. */
static void take_gruu(struct client *c, const struct sip_msg *m)
{
	struct str own = own_params(c, m), text, gr;
	enum gin_kind kind;
	struct sip_uri u;

	c->gruu_n = c->temp_cookie_n = 0;
	if (!client_wants_gruu(c) || !own.p || !sip_param_get(own, S("pub-gruu"), &text))
		return;
	if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
		text = str_n(text.p + 1, text.n - 2);
	if (text.n > sizeof(c->gruu) || sip_uri_parse(text, &u) < 0 || gin_kind_of(&u, &kind) != REASON_NONE || kind != GIN_BULK ||
	    !sip_param_get(u.params, S("gr"), &gr) || !gr.n) {
		struct log_quote q;

		log_warn(&c->log, "gruu_bad", "pub_gruu=%s", log_quoted(&q, text));
		return;
	}
	memcpy(c->gruu, text.p, text.n);
	c->gruu_n = (uint16_t)text.n;
	c->account->gruus = true;
	if (!sip_param_get(own, S("temp-gruu-cookie"), &text))
		return;
	if (text.n >= 2 && text.p[0] == '"')
		text = str_n(text.p + 1, text.n - 2);
	if (text.n > sizeof(c->temp_cookie))
		return;
	memcpy(c->temp_cookie, text.p, text.n);
	c->temp_cookie_n = (uint16_t)text.n;
}

/* RGC-03: at 50 to 90 % of it, and early enough for a try that is not answered. */
static int64_t refresh_us(struct client *c, uint32_t s)
{
	if (s >= 120) {
		int64_t us = client_part_us(c, s, 50, 90), late = ((int64_t)s - 40) * 1000000;

		return us < late ? us : late;
	}
	return client_part_us(c, s, 50, 60);
}

/* Flow-Timer (RFC 5626 4.4), 0: none. */
static uint32_t flow_timer(const struct sip_msg *m)
{
	uint32_t s = 0;

	for (unsigned i = 0; i < m->n_hdr; i++)
		if (m->hdr[i].id == SIP_H_OTHER && str_ieq(m->hdr[i].name, S("Flow-Timer")))
			return str_u32(m->hdr[i].value, UINT32_MAX, &s) == 0 ? s : 0;
	return 0;
}

static bool same_flow(const struct net_path *a, const struct net_path *b)
{
	return a->proto == b->proto && a->conn == b->conn && addr_eq(&a->remote, &b->remote);
}

static void accepted(struct client *c, const struct sip_msg *m, const struct net_path *path)
{
	uint32_t s = granted(c, m);
	const struct env *env = c->cs->env;
	bool fresh = !client_holds(c) || c->down, asked = client_outbound(c);
	bool outbound = asked && sip_has_token(m, SIP_H_REQUIRE, S("outbound"));

	auth_info(client_auth(c), m);
	if (s == 0) {
		client_failed(c, REASON_REG_FAILED, "nothing_granted");
		return;
	}
	s = s < EXPIRES_MAX_S ? s : EXPIRES_MAX_S;
	c->accepted++;
	c->cs->metrics[M_ACCEPTED]++;
	take_route(c, m);
	client_take_uris(c, m);
	take_gruu(c, m);
	c->events = sip_has_token(m, SIP_H_ALLOW_EVENTS, S("reg"));
	if (!fresh && !(c->at.proto == path->proto && addr_eq(&c->at.remote, &path->remote)))
		fresh = true; /* another registrar holds it now */
	if (fresh || !same_flow(&c->at, path))
		c->up_us = env->clock->mono_us;
	client_place(c, path);
	c->down = c->suspect = false;
	c->granted_s = s;
	c->expires_us = env->clock->mono_us + (int64_t)s * 1000000;
	timer_start_us(env->timers, &c->over, (int64_t)s * 1000000, client_over);
	c->fails = 0;
	c->realm_n = 0;
	c->why = REASON_NONE;
	client_wait_us(c, refresh_us(c, s));
	if (fresh) {
		c->registered_wall_us = env->clock->wall_us;
		client_tell(c, REASON_NONE);
		if (c->account->plain && !client_is_number(c))
			client_tell(c, REASON_REG_NO_GIN);
	}
	client_step(c, REG_CLIENT_REGISTERED, "200");
	c->moving = false; /* the time above is that of a refresh */
	client_readdress(c);
	if (asked)
		client_outbound_is(c, outbound ? OUTBOUND_ACCEPTED : OUTBOUND_IGNORED, flow_timer(m));
	if (asked && !outbound && c->t->reg.outbound == POL_OUTBOUND_REQUIRED) {
		c->unwanted = true;
		client_take_back(c);
		return;
	}
	if (c->reg_id > 1 && c->account->outbound != OUTBOUND_ACCEPTED) {
		client_review(c); /* where outbound means nothing a second registration is a second phone */
		return;
	}
	client_settle(c);
}

static void too_brief(struct client *c, const struct sip_msg *m, const struct net_path *path)
{
	uint32_t s;

	if (c->briefs++ == 0 && sip_delta_seconds(m, SIP_H_MIN_EXPIRES, &s) == 0 && s > c->ask_s && s <= EXPIRES_MAX_S) {
		c->ask_s = s;
		client_again(c, path, c->state, "423");
		return;
	}
	client_rejected(c, REASON_REG_FORBIDDEN, FORBIDDEN_BASE_S, "423");
}

static void bad_extension(struct client *c, const struct sip_msg *m, const struct net_path *path)
{
	struct log_quote q;

	log_warn(&c->log, "reg_unsupported", "tags=%s", log_quoted(&q, sip_hdr_value(m, SIP_H_UNSUPPORTED)));
	if (client_bulk(c) && sip_has_token(m, SIP_H_UNSUPPORTED, S("gin"))) {
		c->account->plain = true;
		if (numbers_meant(c->account, c->t)) {
			client_tell(c, REASON_REG_NO_GIN);
			account_review(c->account, NULL);
			return;
		}
		client_again(c, path, client_holds(c) ? REG_CLIENT_REFRESHING : REG_CLIENT_TRYING, "420");
		return;
	}
	client_rejected(c, REASON_REG_FORBIDDEN, FORBIDDEN_BASE_S, "420");
}

/* To a place of the trunk's own, and to no other. */
static void redirected(struct client *c, const struct sip_msg *m)
{
	struct target_way ways[TARGET_WAYS_MAX];
	struct net_path p = {.realm = c->t->realm, .proto = c->ways[0].path.proto};
	struct sip_addr a;
	struct str transport;
	unsigned n = 0;

	if (c->redirects++ < 3 && sip_contact(m, &a) == 0) {
		if (sip_param_get(a.uri.params, S("transport"), &transport))
			p.proto = str_ieq(transport, S("tcp")) ? NET_TCP : str_ieq(transport, S("tls")) ? NET_TLS : NET_UDP;
		if (a.uri.scheme == SIP_SCHEME_SIPS)
			p.proto = NET_TLS;
		if (sip_uri_addr(&a.uri, &p.remote)) {
			if (addr_port(&p.remote) == 0)
				addr_set_port(&p.remote, p.proto == NET_TLS ? 5061 : 5060);
			if (policy_may_come_from(c->policy, c->t, &p)) {
				p.peer = targets_peer(c->cs->targets, c->id);
				ways[n++] = (struct target_way){.path = p, .try_ms = c->t->sip.try_ms};
			}
		} else {
			n = targets_named(c->cs->targets, c->t, a.uri.host, a.uri.port, LOCATE_ANY, ways);
		}
	}
	if (n == 0) {
		client_rejected(c, REASON_REG_ELSEWHERE, FORBIDDEN_BASE_S, "redirected");
		return;
	}
	c->n_ways = c->at_way = 0;
	for (unsigned i = 0; i < n; i++)
		client_add_way(c, &ways[i]);
	client_next_way(c, REASON_REG_FAILED);
}

/* KA-09: RFC 5626 11.6 */
static void no_first_hop(struct client *c, const struct net_path *path)
{
	if (!client_outbound(c) || c->t->reg.outbound == POL_OUTBOUND_REQUIRED) {
		client_rejected(c, client_outbound(c) ? REASON_REG_NO_OUTBOUND : REASON_REG_FORBIDDEN, FORBIDDEN_BASE_S, "439");
		return;
	}
	client_outbound_is(c, OUTBOUND_REFUSED, 0);
	if (c->reg_id > 1)
		client_failed(c, REASON_REG_NO_OUTBOUND, "439");
	else
		client_again(c, path, client_holds(c) ? REG_CLIENT_REFRESHING : REG_CLIENT_TRYING, "439");
}

/* A registrar that asks for patience, and its flow is up: it is not left for another one while there is time (KA-06). */
static bool stays(const struct client *c, const struct net_path *path)
{
	int64_t left_us = c->expires_us - c->cs->env->clock->mono_us;

	return c->wait_s && c->account->outbound == OUTBOUND_ACCEPTED && client_holds(c) && !c->down &&
	       same_flow(&c->at, path) && left_us > ((int64_t)c->wait_s + 60) * 1000000;
}

/* 430: what is behind the first hop is not there any more. The same flow does not lead there again (KA-09). */
static void next_hop_lost(struct client *c, const struct net_path *path)
{
	if (client_holds(c) && same_flow(&c->at, path))
		c->down = true;
	if (net_reliable((enum net_proto)path->proto))
		c->cs->net->ops->close(c->cs->net, path, false);
	client_next_way(c, REASON_FLOW_FAILED);
}

static bool for_good(uint16_t status)
{
	return status >= 600 || (status >= 400 && status < 500 && status != 408 && status != 429 && status != 480 &&
	                            status != 486 && status != 487 && status != 491);
}

static void on_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct client *c = owner;
	struct reg_clients *cs = c->cs;
	struct net_path path = t->path;
	uint32_t wait_s = 0;

	targets_learn(cs->targets, c->id, &path, m);
	if (m->status < 200)
		return;
	txn_cli_detach(t);
	c->cli = NULL;
	c->status = m->status;
	if (m->status >= 300 && sip_retry_after(m, &wait_s) == 0) {
		wait_s = wait_s < RETRY_AFTER_MAX_S ? wait_s : RETRY_AFTER_MAX_S;
		c->wait_s = wait_s > c->wait_s ? wait_s : c->wait_s;
	}
	if (m->status == 503)
		targets_report(cs->targets, c->id, &path, TARGET_503, REASON_PEER_ERROR, wait_s);
	else
		targets_report(cs->targets, c->id, &path, m->status == 408 ? TARGET_SILENT : TARGET_ANSWERED,
		    m->status == 408 ? REASON_PEER_SILENT : REASON_NONE, 0);
	if (m->status == 401 || m->status == 407)
		challenged(c, m, &path);
	else if (c->state == REG_CLIENT_REMOVING)
		client_removed(c);
	else if (m->status < 300)
		accepted(c, m, &path);
	else if (m->status < 400)
		redirected(c, m);
	else if (m->status == 420)
		bad_extension(c, m, &path);
	else if (m->status == 423)
		too_brief(c, m, &path);
	else if (m->status == 439)
		no_first_hop(c, &path);
	else if (m->status == 430)
		next_hop_lost(c, &path);
	else if (m->status == 503 && stays(c, &path))
		client_failed(c, REASON_REG_FAILED, "503");
	else if (for_good(m->status))
		client_rejected(c, REASON_REG_FORBIDDEN, FORBIDDEN_BASE_S, "refused");
	else if (m->status == 408 || m->status >= 500)
		client_next_way(c, REASON_REG_FAILED);
	else
		client_failed(c, REASON_REG_FAILED, "refused");
}

static void on_failed(void *owner, struct txn_cli *t, int err)
{
	struct client *c = owner;
	struct net_path path = t->path;
	enum reason why = err == -ETIMEDOUT ? REASON_PEER_SILENT : net_error_reason(err);

	txn_cli_detach(t);
	c->cli = NULL;
	c->status = 0;
	targets_report(
	    c->cs->targets, c->id, &path, err == -ETIMEDOUT ? TARGET_SILENT : TARGET_UNREACHED, why, 0);
	if (c->state == REG_CLIENT_REMOVING)
		client_removed(c);
	else
		client_next_way(c, why);
}

/* without an end of its own: the layer goes */
static void on_gone(void *owner, struct txn_cli *t)
{
	struct client *c = owner;

	(void)t;
	c->cli = NULL;
}

const struct txn_cli_ops client_txn_ops = {on_response, on_failed, on_gone};
