/* regwatch.c - one watch per trunk that registers at a provider.
 *
 *   registered --> a moment later: SUBSCRIBE --> NOTIFY --> our contact active: SEES
 *                                                   `--> terminated, or not in a full document: MISSES, register anew
 *   ended by them --> again after what RFC 6665 4.1.3 says, later and later when it repeats
 *   refused for good (489, 403, 405, 501 and their like) --> REFUSED until the next registration
 *
 * Our contact is known by its cookie (tk), which stays whatever else is rewritten on the way. Where a provider shows
 * contacts of its own making instead, nothing can be told from them, and nothing follows. A provider that says "not
 * registered" again and again, while it answers 200 to each REGISTER, is believed less and less often.
 */
#include "sbc/reg/regwatch.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/auth/answer.h"
#include "sbc/reg/account.h"
#include "sbc/reg/reginfo.h"
#include "sbc/sip/print.h"

#define EXPIRES_S 3761u      /* RFC 3680 4.4 */
#define FIRST_MS 500         /* after the registration, and up to as much again and a second: not all at once */
#define AGAIN_S 30u          /* after a failure, doubled each time */
#define AGAIN_MAX_S 1800u
#define LIVED_US 60000000    /* a subscription that lived so long was none that failed */
#define LATER_MS 5000
#define LOSS_BASE_S 30u      /* between registrations made anew for what it says */
#define NUMBERS_MAX 20000u   /* confirmed, remembered of each trunk */

const char *const reg_watch_state_names[REG_WATCH_STATES] = {
    "off", "not-offered", "waiting", "asking", "pending", "sees", "misses", "blind", "refused"};

struct confirmed {
	struct hnode node;
	uint32_t round;      /* full document it was last seen in */
	uint32_t n;
	char number[];
};

struct watch {
	struct hnode node;
	struct reg_watches *ws;
	uint32_t id;         /* of the trunk */
	struct sub *sub;     /* borrow: until over(); NULL: none */
	struct timer timer;  /* to subscribe */
	struct timer later;  /* to register anew */
	bool registered;
	enum reg_watch_state state;
	uint16_t status;
	uint32_t fails;      /* in a row */
	int64_t begun_us;    /* the subscription */
	uint32_t losses, losses_in_row;
	int64_t loss_us;     /* when the last one was acted upon */
	int64_t heard_wall_us;
	uint32_t notifies;
	bool has_version;
	bool known;          /* our contact was in a document of this subscription */
	uint32_t version;
	uint32_t round;
	struct htab numbers; /* struct confirmed */
	struct auth_credential cred;
	struct auth_session auth;
	struct log log;
};

struct reg_watches {
	const struct env *env;
	struct subs *subs;
	struct reg_clients *clients;
	struct targets *targets;
	struct str user_agent;
	const struct reg_client_user *user;
	void *ctx;
	struct policy *policy; /* ref */
	struct htab by_id;
};

static struct watch *find(const struct reg_watches *ws, uint32_t id)
{
	for (struct hnode *n = htab_first(&ws->by_id, id); n; n = htab_next(n))
		if (container_of(n, struct watch, node)->id == id)
			return container_of(n, struct watch, node);
	return NULL;
}

static const struct pol_trunk *trunk_of(const struct watch *w)
{
	const struct pol_trunk *t = w->ws->policy ? policy_trunk(w->ws->policy, w->id) : NULL;

	return t && t->role == POL_ITSP && t->reg.auth != POL_AUTH_STATIC && t->reg.auth != POL_AUTH_NUMBERS ? t : NULL;
}

static void become(struct watch *w, enum reg_watch_state state)
{
	if (w->state != state)
		log_info(&w->log, "reg_watch", "from=%s to=%s", reg_watch_state_names[w->state], reg_watch_state_names[state]);
	w->state = state;
}

static void tell(struct watch *w, enum reason why)
{
	struct reg_client_view v;
	const struct net_path *at = NULL;
	struct str contact = STR_NONE;

	if (reg_client_view(w->ws->clients, w->id, 1, &v)) {
		at = addr_none(&v.at.remote) ? NULL : &v.at;
		contact = v.contact;
	}
	w->ws->user->on_event(w->ws->ctx, w->id, at, contact, why);
}

/* ------------------------------------------------------------------ numbers that were confirmed */

static struct confirmed *number_find(const struct watch *w, struct str number)
{
	struct hnode *n = htab_first(&w->numbers, hash_str(&w->ws->env->hash_key, number));

	for (; n; n = htab_next(n)) {
		struct confirmed *c = container_of(n, struct confirmed, node);

		if (str_eq(str_n(c->number, c->n), number))
			return c;
	}
	return NULL;
}

static void number_drop(struct watch *w, struct confirmed *c)
{
	htab_del(&w->numbers, &c->node);
	free(c);
}

static void numbers_sweep(struct watch *w, bool all)
{
	struct hnode *n = htab_walk(&w->numbers, NULL), *next;

	for (; n; n = next) {
		struct confirmed *c = container_of(n, struct confirmed, node);

		next = htab_walk(&w->numbers, n);
		if (all || c->round != w->round)
			number_drop(w, c);
	}
}

static void number_note(struct watch *w, struct str aor, bool ours)
{
	const struct pol_trunk *t = trunk_of(w);
	char digits_text[80], text[80];
	struct sip_uri u;
	struct confirmed *c;
	struct buf d, b;

	buf_init(&d, digits_text, sizeof(digits_text));
	buf_init(&b, text, sizeof(text));
	if (!t || sip_uri_parse(aor, &u) < 0)
		return;
	if (sip_uri_number(&u, &d) == 0)
		policy_number_in(t, buf_text(&d), &b);
	else
		buf_str(&b, u.user);
	if (buf_err(&b) || !b.n)
		return;
	c = number_find(w, buf_text(&b));
	if (c && ours)
		c->round = w->round;
	if (c && !ours)
		number_drop(w, c);
	if (c || !ours || w->numbers.n >= NUMBERS_MAX)
		return;
	c = malloc(sizeof(*c) + b.n);
	if (!c)
		return;
	c->round = w->round;
	c->n = (uint32_t)b.n;
	memcpy(c->number, b.p, b.n);
	htab_add(&w->numbers, &c->node, hash_str(&w->ws->env->hash_key, buf_text(&b)));
}

/* ------------------------------------------------------------------ what a document says of us */

struct look {
	struct watch *w;
	struct sip_uri mine;
	struct str cookie;
	bool full, known;    /* known: mine was read */
	uint32_t version;
	/* of us in it */
	bool active, terminated;
	bool others;         /* somebody else's is active */
	enum reginfo_event event; /* of what was terminated */
	bool has_expires;
	uint32_t expires_s;  /* shortest of what is active */
	bool has_retry;
	uint32_t retry_s;
	/* of the registration that is read */
	char aor[REGINFO_TEXT_MAX];
	size_t aor_n;
	bool aor_ours;
	bool apply;          /* second reading: remember the numbers */
};

static bool is_mine(const struct look *l, struct str uri)
{
	struct sip_uri u;
	struct str tk;

	if (!l->known || sip_uri_parse(uri, &u) < 0)
		return false;
	if (l->cookie.n && sip_param_get(u.params, S("tk"), &tk))
		return str_eq(tk, l->cookie);
	return str_ieq(u.host, l->mine.host) && u.port == l->mine.port;
}

static void flush_aor(struct look *l)
{
	if (l->apply && l->aor_n)
		number_note(l->w, str_n(l->aor, l->aor_n), l->aor_ours);
	l->aor_n = 0;
	l->aor_ours = false;
}

static void on_begin(void *ctx, uint32_t version, bool full)
{
	struct look *l = ctx;

	l->version = version;
	l->full = full;
}

static void on_registration(void *ctx, struct str aor, struct str id, enum reginfo_state state)
{
	struct look *l = ctx;

	(void)id;
	(void)state;
	flush_aor(l);
	memcpy(l->aor, aor.p, aor.n);
	l->aor_n = aor.n;
}

static void on_contact(void *ctx, struct str aor, const struct reginfo_contact *c)
{
	struct look *l = ctx;

	(void)aor;
	if (!is_mine(l, c->uri)) {
		l->others = l->others || c->active;
		return;
	}
	if (c->active) {
		l->active = l->aor_ours = true;
		if (c->has_expires && (!l->has_expires || c->expires_s < l->expires_s)) {
			l->has_expires = true;
			l->expires_s = c->expires_s;
		}
		return;
	}
	l->terminated = true;
	l->event = c->event;
	if (c->has_retry) {
		l->has_retry = true;
		l->retry_s = c->retry_s;
	}
}

static const struct reginfo_reader reader = {on_begin, on_registration, on_contact};

/* ------------------------------------------------------------------ what follows from it */

static void on_later(struct timer *t);

/* It does not hold our registration: anew, but not faster than it makes sense. */
static void missed(struct watch *w, int64_t wait_us)
{
	int64_t now = w->ws->env->clock->mono_us, s = 0;

	become(w, REG_WATCH_MISSES);
	if (timer_running(&w->later))
		return;
	if (w->losses_in_row) {
		s = LOSS_BASE_S;
		for (uint32_t i = 1; i < w->losses_in_row && s < AGAIN_MAX_S; i++)
			s *= 2;
		s = s < AGAIN_MAX_S ? s : AGAIN_MAX_S;
		s = w->loss_us + s * 1000000 - now;
		wait_us = s > wait_us ? s : wait_us;
	}
	timer_start_us(w->ws->env->timers, &w->later, wait_us, on_later);
}

static void on_later(struct timer *t)
{
	struct watch *w = container_of(t, struct watch, later);

	if (w->state != REG_WATCH_MISSES || !reg_client_holds(w->ws->clients, w->id))
		return;
	if (!reg_client_again(w->ws->clients, w->id, REASON_REG_EVENT_LOST, true)) {
		/* a REGISTER is out: what comes of it may be told, or not */
		timer_start_ms(w->ws->env->timers, &w->later, LATER_MS, on_later);
		return;
	}
	w->losses++;
	w->losses_in_row++;
	w->loss_us = w->ws->env->clock->mono_us;
}

static void consider(struct watch *w, const struct look *l)
{
	struct reg_client_view v;
	int64_t now = w->ws->env->clock->mono_us;

	w->known = w->known || l->active || l->terminated;
	if (l->active) {
		become(w, REG_WATCH_SEES);
		timer_stop(w->ws->env->timers, &w->later);
		if (now - w->loss_us > (int64_t)AGAIN_MAX_S * 1000000)
			w->losses_in_row = 0;
		if (l->has_expires && reg_client_view(w->ws->clients, w->id, 1, &v) && v.next_us &&
		    now + (int64_t)l->expires_s * 1000000 < v.next_us)
			(void)reg_client_again(w->ws->clients, w->id, REASON_REG_EVENT_SHORT, false);
	} else if (l->terminated) {
		missed(w, l->event == REGINFO_PROBATION && l->has_retry ? (int64_t)l->retry_s * 1000000 : 0);
	} else if (l->full && l->others && !w->known) {
		become(w, REG_WATCH_BLIND);
	} else if (l->full) {
		missed(w, 0);
	}
}

static enum reason heard(void *owner, struct sub *s, const struct sip_msg *m, const struct sip_substate_value *v)
{
	struct watch *w = owner;
	struct look l = {.w = w};
	struct reg_client_view mine;

	w->notifies++;
	w->heard_wall_us = w->ws->env->clock->wall_us;
	if (v->state == SIP_SUB_PENDING && w->state == REG_WATCH_ASKING)
		become(w, REG_WATCH_PENDING);
	if (!m->body.n)
		return REASON_NONE;
	if (!sip_body_is(m, REGINFO_TYPE))
		return REASON_CONTENT_TYPE;
	if (!reg_client_view(w->ws->clients, w->id, 1, &mine))
		return REASON_NONE;
	l.known = sip_uri_parse(mine.contact, &l.mine) == 0;
	if (!l.known || !sip_param_get(l.mine.params, S("tk"), &l.cookie))
		l.cookie = STR_NONE;
	if (reginfo_read(m->body, &reader, &l) < 0)
		return REASON_REG_EVENT_BAD;
	/* an old one that came late says nothing new (RFC 3680 5.1) */
	if (w->has_version && !l.full && l.version <= w->version)
		return REASON_NONE;
	if (w->has_version && !l.full && l.version > w->version + 1) {
		log_info(&w->log, "reg_watch_gap", "version=%u last=%u", l.version, w->version);
		sub_refresh(s); /* the whole of it */
	}
	w->has_version = true;
	w->version = l.version;
	if (v->state == SIP_SUB_PENDING)
		return REASON_NONE; /* of no worth while we may not see it */
	if (l.full)
		w->round++;
	l.apply = true;
	if (reginfo_read(m->body, &reader, &l) == 0)
		flush_aor(&l);
	if (l.full)
		numbers_sweep(w, false);
	if (w->registered)
		consider(w, &l);
	return REASON_NONE;
}

/* ------------------------------------------------------------------ subscribing */

static void on_timer(struct timer *t);
static void begin(struct watch *w);

static uint32_t backoff_s(const struct watch *w)
{
	uint32_t s = AGAIN_S;

	for (uint32_t i = 1; i < w->fails && s < AGAIN_MAX_S; i++)
		s *= 2;
	return s < AGAIN_MAX_S ? s : AGAIN_MAX_S;
}

static void subscribe_in(struct watch *w, int64_t us)
{
	become(w, REG_WATCH_WAITING);
	timer_start_us(w->ws->env->timers, &w->timer, us, on_timer);
}

static void over(void *owner, struct sub *s, const struct sub_end *e)
{
	struct watch *w = owner;
	int64_t again_s;

	(void)s;
	w->sub = NULL;
	w->has_version = false;
	numbers_sweep(w, true);
	become(w, REG_WATCH_OFF);
	if (!w->registered || e->over == SUB_OVER_CLOSED)
		return;
	if (e->over == SUB_OVER_ASKED) { /* and registered again meanwhile */
		begin(w);
		return;
	}
	w->fails = w->ws->env->clock->mono_us - w->begun_us < LIVED_US ? w->fails + 1 : 1;
	again_s = sub_again_s(e, backoff_s(w));
	if (again_s < 0) {
		w->status = e->over == SUB_OVER_REFUSED ? e->status : 0;
		become(w, REG_WATCH_REFUSED);
		tell(w, REASON_REG_EVENT_OFF);
		return;
	}
	/* at once only once: what is said again and again is not obeyed so fast */
	if (w->fails > 1 && again_s < backoff_s(w))
		again_s = backoff_s(w);
	subscribe_in(w, again_s * 1000000);
}

static bool challenged(void *owner, struct sub *s, uint8_t asked[2], const struct sip_msg *m)
{
	struct watch *w = owner;

	(void)s;
	return w->cred.username.n && auth_again(&w->auth, asked, m, &w->cred, 1) == REASON_NONE;
}

static int credentials(void *owner, struct sub *s, struct str method, struct str ruri, struct str body, struct buf *h)
{
	struct watch *w = owner;

	(void)s;
	return auth_put(&w->auth, w->ws->env->rng, method, ruri, body, h);
}

static const struct net_local *local(void *owner, struct sub *s, const struct net_path *path)
{
	const struct watch *w = owner;

	(void)s;
	return targets_local(w->ws->targets, w->id, path);
}

static const struct sub_ops ops = {
    .heard = heard, .challenged = challenged, .credentials = credentials, .local = local, .over = over};

/* The contact we registered, without what makes it stand for all numbers. */
static void put_contact(struct str contact, struct buf *b)
{
	struct sip_uri u;
	struct str rest, name, value;

	buf_chr(b, '<');
	if (sip_uri_parse(contact, &u) < 0 || u.params.p < contact.p) {
		buf_str(b, contact);
	} else {
		buf_str(b, u.params.n ? str_head(contact, (size_t)(u.params.p - contact.p) - 1) : contact);
		rest = u.params;
		while (sip_param_next(&rest, &name, &value)) {
			if (str_ieq(name, S("bnc")))
				continue;
			buf_chr(b, ';');
			buf_str(b, name);
			if (value.p) {
				buf_chr(b, '=');
				buf_str(b, value);
			}
		}
	}
	buf_chr(b, '>');
}

static void on_timer(struct timer *timer)
{
	struct watch *w = container_of(timer, struct watch, timer);
	const struct pol_trunk *t = trunk_of(w);
	char addr_text[600], contact_text[600], agent[256], route_text[1100];
	struct sub_ask a = {.event = {S("reg"), STR_NONE}, .accept = REGINFO_TYPE, .expires_s = EXPIRES_S};
	struct buf addr, contact, lines, routes;
	struct reg_client_view v;
	struct reg_client_way ways[REG_FLOWS_MAX];
	enum reason why;

	if (!t || w->sub || !w->registered || !reg_client_view(w->ws->clients, w->id, 1, &v) ||
	    !reg_client_ways(w->ws->clients, w->id, STR_NONE, ways))
		return;
	a.path = ways[0].path;
	account_credential(t, &w->cred);
	memset(&w->auth, 0, sizeof(w->auth));
	buf_init(&addr, addr_text, sizeof(addr_text));
	buf_fmt(&addr, "<%.*s>", STR(v.aor));
	buf_init(&contact, contact_text, sizeof(contact_text));
	put_contact(v.contact, &contact);
	buf_init(&lines, agent, sizeof(agent));
	if (t->sip.user_agent && w->ws->user_agent.n)
		sip_put_hdr(&lines, SIP_H_USER_AGENT, w->ws->user_agent);
	buf_init(&routes, route_text, sizeof(route_text));
	if (ways[0].route.n)
		sip_put_hdr(&routes, SIP_H_ROUTE, ways[0].route);
	if (buf_err(&addr) || buf_err(&contact) || buf_err(&lines) || buf_err(&routes))
		return;
	a.peer = (struct sub_peer){.trunk_id = t->id,
	    .contact = buf_text(&contact),
	    .lines = buf_text(&lines),
	    .nat = t->sip.nat,
	    .udp_only = t->sip.udp_only,
	    .mtu_limit = t->sip.mtu_limit,
	    .timers = {.t1_ms = t->sip.t1_ms, .t2_ms = t->sip.t2_ms, .t4_ms = t->sip.t4_ms},
	    .max = t->max_subscriptions};
	a.ruri = v.aor;
	a.from = a.to = buf_text(&addr);
	a.routes = buf_text(&routes);
	w->sub = sub_subscribe(w->ws->subs, &a, &ops, w, &why);
	if (w->sub) {
		w->status = 0;
		w->known = false;
		w->begun_us = w->ws->env->clock->mono_us;
		become(w, REG_WATCH_ASKING);
		return;
	}
	w->fails++;
	subscribe_in(w, (int64_t)backoff_s(w) * 1000000);
}

static void stop(struct watch *w)
{
	timer_stop(w->ws->env->timers, &w->timer);
	timer_stop(w->ws->env->timers, &w->later);
	if (w->sub)
		sub_leave(w->sub);
	else
		become(w, REG_WATCH_OFF);
}

/* Registered: now, or anew. */
static void begin(struct watch *w)
{
	const struct pol_trunk *t = trunk_of(w);
	struct reg_client_view v;

	if (!t || !reg_client_view(w->ws->clients, w->id, 1, &v))
		return;
	if (t->reg.event == POL_REG_EVENT_OFF) {
		stop(w);
		return;
	}
	if (w->sub) {
		if (w->state == REG_WATCH_MISSES)
			become(w, REG_WATCH_ASKING); /* it will tell */
		return;
	}
	if (t->reg.event == POL_REG_EVENT_AUTO && !v.events) {
		become(w, REG_WATCH_NOT_SAID);
		return;
	}
	w->fails = 0;
	subscribe_in(w, (FIRST_MS + (int64_t)rng_below(w->ws->env->rng, 1000 + FIRST_MS)) * 1000);
}

/* ------------------------------------------------------------------ the door */

void reg_watches_note(struct reg_watches *ws, uint32_t trunk_id, enum reason why)
{
	struct watch *w = find(ws, trunk_id);

	if (!w)
		return;
	switch (why) {
	case REASON_NONE:
		w->registered = true;
		begin(w);
		break;
	case REASON_REG_LOST:
	case REASON_REG_TAKEN_BACK:
		w->registered = false;
		stop(w);
		break;
	default: /* a failure: what is held is held still, and what is watched too */
		break;
	}
}

static void watch_free(struct watch *w)
{
	timer_stop(w->ws->env->timers, &w->timer);
	timer_stop(w->ws->env->timers, &w->later);
	if (w->sub)
		sub_forget(w->sub);
	numbers_sweep(w, true);
	htab_fini(&w->numbers);
	htab_del(&w->ws->by_id, &w->node);
	explicit_bzero(&w->cred, sizeof(w->cred));
	free(w);
}

static void watch_new(struct reg_watches *ws, const struct pol_trunk *t)
{
	struct watch *w = calloc(1, sizeof(*w));
	struct log l = {.to = ws->env->logger, .area = LOG_SIP};
	struct buf ctx;

	if (!w || htab_init(&w->numbers, 16) < 0) {
		log_error(&l, "no_memory", "for=reg_watch trunk=%.*s", STR(t->name));
		free(w);
		return;
	}
	w->ws = ws;
	w->id = t->id;
	w->log = l;
	buf_init(&ctx, w->log.ctx, sizeof(w->log.ctx) - 1);
	buf_fmt(&ctx, "trunk=%.*s", STR(str_head(t->name, 30)));
	(void)buf_z(&ctx);
	w->registered = reg_client_holds(ws->clients, t->id);
	htab_add(&ws->by_id, &w->node, w->id);
	if (w->registered)
		begin(w);
}

void reg_watches_set_policy(struct reg_watches *ws, struct policy *p)
{
	struct policy *old = ws->policy;
	struct hnode *n, *next;

	ws->policy = policy_ref(p);
	for (n = htab_walk(&ws->by_id, NULL); n; n = next) {
		struct watch *w = container_of(n, struct watch, node);
		const struct pol_trunk *t = trunk_of(w);

		next = htab_walk(&ws->by_id, n);
		if (!t) {
			watch_free(w);
			continue;
		}
		account_credential(t, &w->cred); /* the old one's texts go with the old snapshot */
		if (t->reg.event == POL_REG_EVENT_OFF)
			stop(w);
		else if (w->registered && (w->state == REG_WATCH_OFF || w->state == REG_WATCH_NOT_SAID))
			begin(w);
	}
	policy_unref(old);
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);

		if (t->role == POL_ITSP && t->reg.auth != POL_AUTH_STATIC && t->reg.auth != POL_AUTH_NUMBERS && !find(ws, t->id))
			watch_new(ws, t);
	}
}

struct reg_watches *reg_watches_new(const struct env *env, struct subs *subs, struct reg_clients *clients,
    struct str user_agent, const struct reg_client_user *user, void *ctx)
{
	struct reg_watches *ws = calloc(1, sizeof(*ws));

	if (!ws)
		return NULL;
	*ws = (struct reg_watches){
	    .env = env, .subs = subs, .clients = clients, .user_agent = user_agent, .user = user, .ctx = ctx};
	if (htab_init(&ws->by_id, 16) == 0)
		return ws;
	free(ws);
	return NULL;
}

void reg_watches_start(struct reg_watches *ws, struct targets *targets)
{
	ws->targets = targets;
}

void reg_watches_free(struct reg_watches *ws)
{
	struct hnode *n;

	if (!ws)
		return;
	while ((n = htab_walk(&ws->by_id, NULL)))
		watch_free(container_of(n, struct watch, node));
	htab_fini(&ws->by_id);
	policy_unref(ws->policy);
	free(ws);
}

bool reg_watch_view(const struct reg_watches *ws, uint32_t trunk_id, struct reg_watch_view *ret)
{
	const struct watch *w = find(ws, trunk_id);

	if (!w)
		return false;
	*ret = (struct reg_watch_view){.state = w->state,
	    .status = w->status,
	    .heard_wall_us = w->heard_wall_us,
	    .notifies = w->notifies,
	    .losses = w->losses,
	    .confirmed = (unsigned)w->numbers.n};
	return true;
}

bool reg_watch_confirms(const struct reg_watches *ws, uint32_t trunk_id, struct str number)
{
	const struct watch *w = find(ws, trunk_id);

	return w && number_find(w, number);
}

bool reg_watch_number(const struct reg_watches *ws, uint32_t trunk_id, const void **at, struct str *ret)
{
	const struct watch *w = find(ws, trunk_id);
	struct hnode *n = w ? htab_walk(&w->numbers, *at) : NULL;

	*at = n;
	if (n)
		*ret = str_n(container_of(n, struct confirmed, node)->number, container_of(n, struct confirmed, node)->n);
	return n != NULL;
}
