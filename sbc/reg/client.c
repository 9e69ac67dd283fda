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
#include "sbc/reg/client.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/auth/answer.h"
#include "sbc/reg/gin.h"
#include "sbc/sip/header.h"
#include "sbc/sip/print.h"

#define WAYS_MAX 24
#define ROUTE_MAX 1024          /* bytes of Service-Route that are kept; more is not taken */
#define CONTACT_MAX 512
#define START_GAP_US 20000      /* between REGISTERs that begin an attempt: 50 a second over all trunks */
#define NAME_WAIT_US 10000000   /* for the first answer of the DNS */
#define NAME_POLL_MS 250
#define RETRY_BASE_S 30u        /* RFC 5626 4.5: base-time when all flows have failed */
#define RETRY_MAX_S 1800u
#define REJECTED_BASE_S 60u     /* wrong password */
#define FORBIDDEN_BASE_S 300u   /* unknown, locked */
#define RETRY_AFTER_MAX_S 86400u
#define REMOVE_F_MS 2000        /* an un-REGISTER is not worth more */
#define FLOW_STABLE_US (600 * 1000000ll) /* a flow that lasted so long is not one that is lost again and again */
#define EXPIRES_MAX_S 604800u
#define MALFORMED_EXPIRES_S 3600u /* RFC 3261 10.2.4, 20.19 */

const char *const reg_client_state_names[REG_CLIENT_STATES] = {"idle", "waiting", "trying", "challenged", "registered",
    "refreshing", "retry", "rejected", "removing", "stopped"};

struct way {
	struct net_path path;
	struct addr alt;
	uint32_t try_ms;
};

struct client {
	struct hnode by_id, by_cookie;
	struct reg_clients *cs;
	uint32_t id;
	struct policy *policy;      /* ref: the snapshot it registers by */
	const struct pol_trunk *t;  /* borrow: policy */
	enum reg_client_state state;
	enum reason why;
	int64_t since_wall_us;
	bool held;                  /* unregistered by an operator */
	bool plain;                 /* GIN was refused */
	bool leaving;               /* the REGISTER that is out is the last one of this snapshot */
	bool turn;                  /* the timer runs until its turn among all */
	/* what stands in every REGISTER */
	char call_id[27], tag[13], cookie[17];
	uint32_t cseq, ask_s;
	struct auth_credential cred;
	struct auth_session auth;
	/* the attempt */
	struct way ways[WAYS_MAX];
	unsigned n_ways, at_way;
	struct txn_cli *cli;        /* borrow: the REGISTER that is out */
	uint8_t asked[2];           /* challenges answered by this way: 401, 407 */
	uint8_t briefs, redirects;
	int64_t begun_us;
	uint32_t wait_s;            /* longest Retry-After of the attempt */
	struct timer timer;         /* next attempt */
	struct timer over;          /* end of the binding */
	uint32_t fails;             /* in a row */
	/* the binding */
	struct net_path at;
	int64_t expires_us, registered_wall_us;
	int64_t flow_lost_us;       /* when the flow it was made over was last lost, 0: never */
	uint32_t flow_losses;       /* in a row */
	uint32_t granted_s;
	uint16_t status;
	char contact[CONTACT_MAX], route[ROUTE_MAX], aor[CONTACT_MAX], realm[64];
	uint16_t contact_n, route_n, aor_n, realm_n;
	uint64_t sent, accepted;
	bool events;                /* Allow-Events: reg in the newest 200 */
	struct log log;
};

enum { M_SENT, M_CHALLENGED, M_ACCEPTED, M_FAILED, M_REJECTED, M_LOST, M_METRICS };
static const char *const metric_names[M_METRICS] = {
    "sent", "challenged", "accepted", "failed", "rejected", "lost"};

struct reg_clients {
	const struct env *env;
	struct str user_agent;
	const struct reg_client_user *user;
	void *ctx;
	struct net *net;
	struct txn_layer *txn; /* NULL: not started */
	struct targets *targets;
	struct policy *policy; /* ref */
	struct htab by_id, by_cookie;
	int64_t next_turn_us;
	bool stopping;
	uint64_t metrics[M_METRICS];
	struct metric_set metric_set;
};

static void review(struct client *c);
static void attempt(struct client *c);
static void next_way(struct client *c, enum reason why);

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

static bool holds(const struct client *c)
{
	return c->expires_us > c->cs->env->clock->mono_us;
}

static bool runs(const struct client *c)
{
	return c->state != REG_CLIENT_IDLE && c->state != REG_CLIENT_STOPPED;
}

static bool bulk(const struct client *c)
{
	return c->t->reg.auth == POL_AUTH_GIN && !c->plain;
}

static void step(struct client *c, enum reg_client_state next, const char *because)
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

static void tell(struct client *c, enum reason why)
{
	const struct net_path *at = addr_none(&c->at.remote) ? NULL : &c->at;

	c->cs->user->on_event(c->cs->ctx, c->id, at, str_n(c->contact, c->contact_n), why);
}

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

static void wait_us(struct client *c, int64_t us)
{
	c->turn = false;
	timer_start_us(c->cs->env->timers, &c->timer, us, on_timer);
}

/* lo..hi percent of s */
static int64_t part_us(struct client *c, uint32_t s, uint32_t lo, uint32_t hi)
{
	return (int64_t)s * 10000 * (int64_t)(lo + rng_below(c->cs->env->rng, hi - lo + 1));
}

/* base * 2^n, at most half an hour */
static uint32_t doubled(uint32_t base_s, uint32_t n)
{
	uint32_t s = base_s;

	while (n-- > 0 && s < RETRY_MAX_S)
		s *= 2;
	return s < RETRY_MAX_S ? s : RETRY_MAX_S;
}

/* ------------------------------------------------------------------ ends of attempts */

static void forget_binding(struct client *c)
{
	timer_stop(c->cs->env->timers, &c->over);
	c->expires_us = c->registered_wall_us = 0;
	c->granted_s = 0;
	c->route_n = 0;
}

static void on_over(struct timer *tm)
{
	struct client *c = container_of(tm, struct client, over);

	forget_binding(c);
	c->cs->metrics[M_LOST]++;
	log_warn(&c->log, "registration_lost", "aor=%.*s", c->aor_n, c->aor);
	tell(c, REASON_REG_LOST);
}

/* The un-REGISTER has ended, however. */
static void removed(struct client *c)
{
	forget_binding(c);
	c->why = REASON_NONE;
	tell(c, REASON_REG_TAKEN_BACK);
	step(c, REG_CLIENT_STOPPED, "removed");
	review(c);
}

/* What the operator changed while a REGISTER was out is done now. May free c. */
static void settle(struct client *c)
{
	if (!c->leaving || c->cli)
		return;
	c->leaving = false;
	review(c);
}

/* It cannot be done now: later, as RFC 5626 4.5 has it (KA-05). */
static void failed(struct client *c, enum reason why, const char *because)
{
	int64_t us, asked_us = (int64_t)c->wait_s * 1000000;

	if (c->state == REG_CLIENT_REMOVING) {
		removed(c);
		return;
	}
	c->fails++;
	c->why = why;
	c->cs->metrics[M_FAILED]++;
	us = part_us(c, doubled(RETRY_BASE_S, c->fails), 50, 100);
	wait_us(c, us > asked_us ? us : asked_us);
	tell(c, why);
	step(c, REG_CLIENT_RETRY, because);
	settle(c);
}

/* Somebody has to look at it: a long wait, so that no account is locked (RGC-05, -06). */
static void rejected(struct client *c, enum reason why, uint32_t base_s, const char *because)
{
	int64_t us, asked_us = (int64_t)c->wait_s * 1000000;

	if (c->state == REG_CLIENT_REMOVING) {
		removed(c);
		return;
	}
	memset(&c->auth, 0, sizeof(c->auth));
	c->why = why;
	c->cs->metrics[M_REJECTED]++;
	us = part_us(c, doubled(base_s, c->fails), 100, 110);
	c->fails++;
	wait_us(c, us > asked_us ? us : asked_us);
	tell(c, why);
	step(c, REG_CLIENT_REJECTED, because);
	settle(c);
}

/* ------------------------------------------------------------------ what a REGISTER says */

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

static void put_contact(const struct client *c, const struct net_path *path, const struct net_local *us, struct buf *b)
{
	bool sips = c->t->sip.scheme_sips;
	bool tls = path->proto == NET_TLS && c->t->sip.transport_param && !sips; /* RFC 5630 5.1.1 */
	struct str transport = path->proto == NET_TCP ? S("tcp") : tls ? S("tls") : STR_NONE;

	if (bulk(c)) {
		gin_put_bulk(b, sips, us->host, us->port, transport, str_z(c->cookie));
		return;
	}
	sip_put_uri_number(
	    b, sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP, c->t->reg.user, us->host, us->port, transport, false);
	buf_lit(b, ";tk=");
	buf_str(b, str_z(c->cookie));
}

static const struct txn_cli_ops client_ops;

/* 0, or -errno: this way cannot be used. */
static int send_register(struct client *c, const struct way *w, uint32_t expires_s)
{
	struct reg_clients *cs = c->cs;
	const struct pol_trunk *t = c->t;
	struct net_path path = w->path;
	char text[8192], ruri[512], host[ADDR_TEXT_MAX], uri[CONTACT_MAX], aor[CONTACT_MAX];
	struct txn_timers timers = {.t1_ms = t->sip.t1_ms, .t2_ms = t->sip.t2_ms, .t4_ms = t->sip.t4_ms};
	enum sip_scheme scheme = t->sip.scheme_sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP;
	const struct net_local *us;
	struct buf h, u, k, a;
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
	buf_init(&a, aor, sizeof(aor));
	sip_put_uri_number(&a, scheme, t->reg.user, domain_of(c, host), 0, STR_NONE, false);
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
	buf_lit(&h, ">;expires=");
	buf_u64(&h, expires_s);
	buf_lit(&h, "\r\nExpires: ");
	buf_u64(&h, expires_s);
	if (bulk(c))
		buf_lit(&h, "\r\nRequire: gin\r\nProxy-Require: gin");
	buf_lit(&h, "\r\nSupported: path\r\n");
	if (t->sip.user_agent && cs->user_agent.n)
		sip_put_hdr(&h, SIP_H_USER_AGENT, cs->user_agent);
	e = auth_put(&c->auth, cs->env->rng, S("REGISTER"), buf_text(&u), STR_NONE, &h);
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
	    &client_ops, c);
	if (!c->cli)
		return -ENOMEM;
	c->cseq++;
	c->sent++;
	cs->metrics[M_SENT]++;
	memcpy(c->contact, uri, k.n);
	c->contact_n = (uint16_t)k.n;
	memcpy(c->aor, aor, a.n);
	c->aor_n = (uint16_t)a.n;
	if (!holds(c))
		c->at = path;
	return 0;
}

/* ------------------------------------------------------------------ attempts */

static bool has_way(const struct client *c, const struct net_path *p)
{
	for (unsigned i = 0; i < c->n_ways; i++)
		if (c->ways[i].path.proto == p->proto && addr_eq(&c->ways[i].path.remote, &p->remote))
			return true;
	return false;
}

static void add_way(struct client *c, const struct target_way *w)
{
	if (c->n_ways < WAYS_MAX && !has_way(c, &w->path))
		c->ways[c->n_ways++] = (struct way){.path = w->path, .alt = w->alt, .try_ms = w->try_ms};
}

/* All ways in the order to try; why: when there is none. */
static enum reason find_ways(struct client *c)
{
	struct target_way ways[TARGET_WAYS_MAX];
	enum reason why = REASON_NAME_UNRESOLVED;
	unsigned n;

	c->n_ways = c->at_way = 0;
	if (holds(c))
		c->ways[c->n_ways++] = (struct way){.path = c->at, .try_ms = c->t->sip.try_ms};
	for (unsigned i = 0; i < c->t->n_targets; i++) {
		n = targets_ways(c->cs->targets, &(struct pol_hop){c->t, &c->t->targets[i]}, ways, &why);
		for (unsigned k = 0; k < n; k++)
			add_way(c, &ways[k]);
	}
	for (unsigned i = 0; i < c->t->n_targets && c->n_ways == 0; i++)
		if (targets_last_resort(c->cs->targets, &(struct pol_hop){c->t, &c->t->targets[i]}, ways))
			add_way(c, ways);
	return c->n_ways ? REASON_NONE : why;
}

static void attempt(struct client *c)
{
	int64_t now = c->cs->env->clock->mono_us;
	enum reason why = find_ways(c);

	if (c->state != REG_CLIENT_WAITING || c->begun_us == 0)
		c->begun_us = now;
	if (why == REASON_NAME_UNRESOLVED && now - c->begun_us < NAME_WAIT_US) {
		step(c, REG_CLIENT_WAITING, "names");
		timer_start_ms(c->cs->env->timers, &c->timer, NAME_POLL_MS, on_timer);
		return;
	}
	c->asked[0] = c->asked[1] = c->briefs = c->redirects = 0;
	c->wait_s = 0;
	if (why != REASON_NONE) {
		failed(c, why, "no_way");
		return;
	}
	next_way(c, REASON_NONE);
}

/* The ways from at_way on; why: what is said when there is none left. */
static void next_way(struct client *c, enum reason why)
{
	while (c->at_way < c->n_ways) {
		const struct way *w = &c->ways[c->at_way++];
		int e = send_register(c, w, c->ask_s);

		c->asked[0] = c->asked[1] = 0;
		if (e == 0) {
			step(c, holds(c) ? REG_CLIENT_REFRESHING : REG_CLIENT_TRYING, "sent");
			return;
		}
		why = e == -ENOMEM || e == -ENOSPC ? REASON_NO_MEMORY : e == -ENETUNREACH ? REASON_NO_LISTENER : net_error_reason(e);
	}
	failed(c, why, "no_way_left");
}

/* The same way once more; state says what for. */
static void again(struct client *c, const struct net_path *path, enum reg_client_state state, const char *because)
{
	struct way w = {.path = *path, .try_ms = c->t->sip.try_ms};
	bool leaving = c->state == REG_CLIENT_REMOVING;
	int e;

	w.path.conn = net_reliable((enum net_proto)path->proto) ? path->conn : 0;
	e = send_register(c, &w, leaving ? 0 : c->ask_s);
	if (e < 0)
		next_way(c, net_error_reason(e));
	else if (!leaving)
		step(c, state, because);
}

/* ------------------------------------------------------------------ answers */

static bool stale(const struct sip_msg *m)
{
	static const enum sip_hdr_id ids[] = {SIP_H_WWW_AUTHENTICATE, SIP_H_PROXY_AUTHENTICATE};
	struct digest_fields f;

	for (unsigned i = 0; i < ARRAY_LEN(ids); i++)
		for (const struct sip_hdr *h = sip_hdr(m, ids[i]); h; h = sip_hdr_next(m, h))
			if (digest_parse(h->value, &f) == 0 && str_ieq(f.stale, S("true")))
				return true;
	return false;
}

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
	unsigned which = m->status == 407;
	bool old = stale(m);
	enum reason why = auth_take(&c->auth, m, &c->cred, c->cred.username.n ? 1 : 0);

	c->cs->metrics[M_CHALLENGED]++;
	if (why == REASON_NONE && c->asked[which] >= (old ? 2 : 1))
		why = REASON_AUTH_REJECTED;
	c->asked[which]++;
	if (why == REASON_AUTH_REALM)
		note_realm(c, m);
	if (why != REASON_NONE)
		rejected(c, why, REJECTED_BASE_S, why == REASON_AUTH_REJECTED ? "wrong_password" : "challenge");
	else
		again(c, path, REG_CLIENT_CHALLENGED, which ? "407" : "401");
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

/* RGC-02: what our own Contact got; else Expires; else what we asked for. */
static uint32_t granted(const struct client *c, const struct sip_msg *m)
{
	struct sip_values w = sip_values(m, SIP_H_CONTACT);
	struct str value, own = STR_NONE, text;
	bool ours = false, foreign;
	unsigned n = 0;
	uint32_t s;
	int e;

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
	/* one that says nothing of whose it is: only when it is the only one */
	if ((ours || n == 1) && own.p && sip_param_get(own, S("expires"), &text))
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

/* RGC-03: at 50 to 90 % of it, and early enough for a try that is not answered. */
static int64_t refresh_us(struct client *c, uint32_t s)
{
	if (s >= 120) {
		int64_t us = part_us(c, s, 50, 90), late = ((int64_t)s - 40) * 1000000;

		return us < late ? us : late;
	}
	return part_us(c, s, 50, 60);
}

static void accepted(struct client *c, const struct sip_msg *m, const struct net_path *path)
{
	uint32_t s = granted(c, m);
	const struct env *env = c->cs->env;
	bool fresh = !holds(c);

	auth_info(&c->auth, m);
	if (s == 0) {
		failed(c, REASON_REG_FAILED, "nothing_granted");
		return;
	}
	s = s < EXPIRES_MAX_S ? s : EXPIRES_MAX_S;
	c->accepted++;
	c->cs->metrics[M_ACCEPTED]++;
	take_route(c, m);
	c->events = sip_has_token(m, SIP_H_ALLOW_EVENTS, S("reg"));
	if (!fresh && !(c->at.proto == path->proto && addr_eq(&c->at.remote, &path->remote)))
		fresh = true; /* another registrar holds it now */
	c->at = *path;
	c->granted_s = s;
	c->expires_us = env->clock->mono_us + (int64_t)s * 1000000;
	timer_start_us(env->timers, &c->over, (int64_t)s * 1000000, on_over);
	c->fails = 0;
	c->realm_n = 0;
	c->why = REASON_NONE;
	wait_us(c, refresh_us(c, s));
	if (fresh) {
		c->registered_wall_us = env->clock->wall_us;
		tell(c, REASON_NONE);
		if (c->plain)
			tell(c, REASON_REG_NO_GIN);
	}
	step(c, REG_CLIENT_REGISTERED, "200");
	settle(c);
}

static void too_brief(struct client *c, const struct sip_msg *m, const struct net_path *path)
{
	uint32_t s;

	if (c->briefs++ == 0 && sip_delta_seconds(m, SIP_H_MIN_EXPIRES, &s) == 0 && s > c->ask_s && s <= EXPIRES_MAX_S) {
		c->ask_s = s;
		again(c, path, c->state, "423");
		return;
	}
	rejected(c, REASON_REG_FORBIDDEN, FORBIDDEN_BASE_S, "423");
}

static void bad_extension(struct client *c, const struct sip_msg *m, const struct net_path *path)
{
	struct log_quote q;

	log_warn(&c->log, "reg_unsupported", "tags=%s", log_quoted(&q, sip_hdr_value(m, SIP_H_UNSUPPORTED)));
	if (bulk(c) && sip_has_token(m, SIP_H_UNSUPPORTED, S("gin"))) {
		c->plain = true;
		again(c, path, holds(c) ? REG_CLIENT_REFRESHING : REG_CLIENT_TRYING, "420");
		return;
	}
	rejected(c, REASON_REG_FORBIDDEN, FORBIDDEN_BASE_S, "420");
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
		rejected(c, REASON_REG_ELSEWHERE, FORBIDDEN_BASE_S, "redirected");
		return;
	}
	c->n_ways = c->at_way = 0;
	for (unsigned i = 0; i < n; i++)
		add_way(c, &ways[i]);
	next_way(c, REASON_REG_FAILED);
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
		removed(c);
	else if (m->status < 300)
		accepted(c, m, &path);
	else if (m->status < 400)
		redirected(c, m);
	else if (m->status == 420)
		bad_extension(c, m, &path);
	else if (m->status == 423)
		too_brief(c, m, &path);
	else if (for_good(m->status))
		rejected(c, REASON_REG_FORBIDDEN, FORBIDDEN_BASE_S, "refused");
	else if (m->status == 408 || m->status >= 500)
		next_way(c, REASON_REG_FAILED);
	else
		failed(c, REASON_REG_FAILED, "refused");
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
		removed(c);
	else
		next_way(c, why);
}

/* without an end of its own: the layer goes */
static void on_gone(void *owner, struct txn_cli *t)
{
	struct client *c = owner;

	(void)t;
	c->cli = NULL;
}

static const struct txn_cli_ops client_ops = {on_response, on_failed, on_gone};

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
	step(c, REG_CLIENT_WAITING, because);
	wait_us(c, 0);
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

/* true: it is under way, and review() is called again at its end */
static bool take_back(struct client *c)
{
	struct way w = {.path = c->at};

	timer_stop(c->cs->env->timers, &c->timer);
	if (!holds(c))
		return false;
	c->asked[0] = c->asked[1] = 0;
	step(c, REG_CLIENT_REMOVING, "policy");
	if (send_register(c, &w, 0) == 0)
		return true;
	forget_binding(c);
	return false;
}

/* What does the newest snapshot want of it? May free c. */
static void review(struct client *c)
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
	step(c, account ? REG_CLIENT_STOPPED : REG_CLIENT_IDLE, account ? "not_wanted" : "no_account");
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
	review(c);
	return 0;
}

static void review_all(struct reg_clients *cs)
{
	struct hnode *n = htab_walk(&cs->by_id, NULL), *next;

	for (; n; n = next) {
		next = htab_walk(&cs->by_id, n);
		review(container_of(n, struct client, by_id));
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
		review(c);
		return true;
	}
	if (c->cli)
		return true; /* one is out already */
	c->plain = false;
	c->fails = 0;
	wait_us(c, 0);
	return true;
}

bool reg_client_unregister(struct reg_clients *cs, uint32_t trunk_id)
{
	struct client *c = find(cs, trunk_id);

	if (!c)
		return false;
	c->held = true;
	review(c);
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
	wait_us(c, part_us(c, doubled(1, c->flow_losses), 0, 100));
}

bool reg_client_again(struct reg_clients *cs, uint32_t trunk_id, enum reason why, bool lost)
{
	struct client *c = find(cs, trunk_id);

	if (!c || cs->stopping || c->state != REG_CLIENT_REGISTERED || c->cli)
		return false;
	log_warn(&c->log, "registration_again", "lost=%s aor=%.*s", lost ? "yes" : "no", c->aor_n, c->aor);
	tell(c, why);
	if (lost) {
		forget_binding(c);
		cs->metrics[M_LOST]++;
		c->why = why;
		c->begun_us = 0;
		step(c, REG_CLIENT_WAITING, "told");
	}
	wait_us(c, 0);
	return true;
}

bool reg_client_holds(const struct reg_clients *cs, uint32_t trunk_id)
{
	const struct client *c = find(cs, trunk_id);

	return c && holds(c);
}

bool reg_client_way(const struct reg_clients *cs, uint32_t trunk_id, struct net_path *ret, struct str *ret_route)
{
	const struct client *c = find(cs, trunk_id);

	if (!c || !holds(c))
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
	    .bulk = bulk(c),
	    .fallback = c->plain,
	    .at = c->at,
	    .holds = holds(c),
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
