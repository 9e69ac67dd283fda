/* subscription.c - the layer of subscriptions: who there is, the machines' table, limits, the end.
 *
 *   notifier     INIT --grant--> ACTIVE --end--> ENDING --last NOTIFY answered--> GONE
 *                  `---hold--> PENDING --grant--^
 *   subscriber   INIT --SUBSCRIBE sent--> WAIT --NOTIFY--> PENDING, ACTIVE --leave--> ENDING --last NOTIFY--> GONE
 *
 * One that is gone stays in memory until the next turn: its owner is told then, with nothing of ours on the stack.
 * Found by our own tag, which is random, so that the table cannot be aimed at.
 */
#include "sbc/dialog/sub_internal.h"

const char *const sub_state_names[SUB_STATES] = {"init", "wait", "pending", "active", "ending", "gone"};
const char *const sub_over_names[SUB_OVERS] = {
    "asked", "left", "expired", "notified", "refused", "silent", "unreached", "mute", "closed"};
static const char *const event_names[SUBE_EVENTS] = {"hold", "grant", "sent", "end", "over"};
static const char *const metric_names[SUBS_METRICS] = {"in", "out", "refused", "refreshed", "notify_out", "notify_in",
    "notify_failed", "notify_refused", "ended", "lost", "forked", "unexpected"};

/* Zero is no edge: nothing leads to INIT. */
static const uint8_t edges[SUB_ROLES][SUB_STATES][SUBE_EVENTS] = {
    [SUB_NOTIFIER] = {
        [SUB_INIT] = {[SUBE_HOLD] = SUB_PENDING, [SUBE_GRANT] = SUB_ACTIVE},
        [SUB_PENDING] = {[SUBE_GRANT] = SUB_ACTIVE, [SUBE_END] = SUB_ENDING, [SUBE_OVER] = SUB_GONE},
        [SUB_ACTIVE] = {[SUBE_END] = SUB_ENDING, [SUBE_OVER] = SUB_GONE},
        [SUB_ENDING] = {[SUBE_OVER] = SUB_GONE},
    },
    [SUB_SUBSCRIBER] = {
        [SUB_INIT] = {[SUBE_SENT] = SUB_WAIT, /* a fork is born with its NOTIFY */
            [SUBE_HOLD] = SUB_PENDING, [SUBE_GRANT] = SUB_ACTIVE, [SUBE_OVER] = SUB_GONE},
        [SUB_WAIT] = {[SUBE_HOLD] = SUB_PENDING, [SUBE_GRANT] = SUB_ACTIVE, [SUBE_OVER] = SUB_GONE},
        [SUB_PENDING] = {[SUBE_HOLD] = SUB_PENDING, [SUBE_GRANT] = SUB_ACTIVE, [SUBE_END] = SUB_ENDING,
            [SUBE_OVER] = SUB_GONE},
        [SUB_ACTIVE] = {[SUBE_HOLD] = SUB_PENDING, [SUBE_GRANT] = SUB_ACTIVE, [SUBE_END] = SUB_ENDING,
            [SUBE_OVER] = SUB_GONE},
        [SUB_ENDING] = {[SUBE_HOLD] = SUB_ENDING, [SUBE_GRANT] = SUB_ENDING, [SUBE_OVER] = SUB_GONE},
    },
};

/* ------------------------------------------------------------------ states */

static void reap(struct timer *t)
{
	struct subs *ss = container_of(t, struct subs, reaper);
	struct list *n;

	while ((n = list_pop(&ss->dead))) {
		struct sub *s = container_of(n, struct sub, node);

		if (s->ops)
			s->ops->over(s->owner, s, &s->end);
		arena_free(s->arena);
	}
}

static struct count *count_of(const struct subs *ss, uint32_t trunk_id)
{
	for (struct hnode *n = htab_first(&ss->counts, trunk_id); n; n = htab_next(n))
		if (container_of(n, struct count, node)->trunk_id == trunk_id)
			return container_of(n, struct count, node);
	return NULL;
}

static bool count_up(struct subs *ss, uint32_t trunk_id)
{
	struct count *c = count_of(ss, trunk_id);

	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return false;
		c->trunk_id = trunk_id;
		htab_add(&ss->counts, &c->node, trunk_id);
	}
	c->n++;
	ss->n++;
	return true;
}

static void count_down(struct subs *ss, uint32_t trunk_id)
{
	struct count *c = count_of(ss, trunk_id);

	ss->n--;
	if (--c->n)
		return;
	htab_del(&ss->counts, &c->node);
	free(c);
}

static void let_go(struct sub *s)
{
	struct timers *tw = s->ss->env->timers;

	timer_stop(tw, &s->over);
	timer_stop(tw, &s->next);
	timer_stop(tw, &s->n);
	if (s->cli) {
		txn_cli_detach(s->cli);
		s->cli = NULL;
		s->ss->busy--;
	}
	if (s->by_tag.hash)
		htab_del(&s->ss->tags, &s->by_tag);
	s->by_tag.hash = 0;
	list_del(&s->node);
	count_down(s->ss, s->trunk_id);
}

static void gone(struct sub *s)
{
	bool lost = s->end.over == SUB_OVER_EXPIRED || s->end.over == SUB_OVER_SILENT || s->end.over == SUB_OVER_UNREACHED;

	sub_count(s->ss, lost ? SUBS_LOST : SUBS_ENDED);
	let_go(s);
	list_push(&s->ss->dead, &s->node);
	timer_start_us(s->ss->env->timers, &s->ss->reaper, 0, reap);
}

bool sub_step(struct sub *s, enum sub_event ev, const char *because)
{
	enum sub_state was = s->state, next = (enum sub_state)edges[s->role][was][ev];

	if (!next) {
		sub_count(s->ss, SUBS_UNEXPECTED);
		log_debug(&s->log, "sub_unexpected", "state=%s event=%s because=%s", sub_state_names[was], event_names[ev], because);
		return false;
	}
	if (was == next)
		return true;
	s->state = next;
	log_debug(&s->log, "sub_state", "from=%s to=%s because=%s", sub_state_names[was], sub_state_names[next], because);
	if (next == SUB_GONE)
		gone(s);
	return true;
}

void sub_finish(struct sub *s, const struct sub_end *e, const char *because)
{
	if (s->state == SUB_GONE)
		return;
	s->end = *e;
	(void)sub_step(s, SUBE_OVER, because);
}

int64_t sub_again_s(const struct sub_end *e, uint32_t usual_s)
{
	uint32_t later = e->has_retry && e->retry_s > usual_s ? e->retry_s : usual_s;

	switch (e->over) {
	case SUB_OVER_NOTIFIED:
		switch (e->why) {
		case SIP_SUBWHY_DEACTIVATED:
		case SIP_SUBWHY_TIMEOUT:
			return 0;
		case SIP_SUBWHY_PROBATION:
		case SIP_SUBWHY_GIVEUP:
			return e->has_retry ? e->retry_s : usual_s;
		case SIP_SUBWHY_REJECTED:
		case SIP_SUBWHY_NORESOURCE:
		case SIP_SUBWHY_INVARIANT:
			return -1;
		default: /* none given, or unknown: may try again at any time, after retry-after if there is one */
			return later;
		}
	case SUB_OVER_REFUSED:
		/* 481: it forgot us, a restart most likely; 5xx and what comes and goes; the rest is a decision */
		if (e->status == 481)
			return 0;
		return e->status >= 500 && e->status < 600 && e->status != 501 ? (int64_t)later
		       : e->status == 408 || e->status == 480 || e->status == 486 || e->status == 491 || e->has_retry
		           ? (int64_t)later
		           : -1;
	case SUB_OVER_EXPIRED:
	case SUB_OVER_SILENT:
	case SUB_OVER_UNREACHED:
		return later;
	default:
		return -1;
	}
}

bool sub_fatal(uint16_t status)
{
	static const uint16_t codes[] = {404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604};

	for (unsigned i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i] == status)
			return true;
	return false;
}

/* ------------------------------------------------------------------ one subscription */

static int keep(struct sub *s, struct str *slot, struct str from)
{
	*slot = from.n ? str_dup(s->arena, from) : STR_NONE;
	return from.n && !slot->p ? -ENOMEM : 0;
}

struct sub *sub_new(struct subs *ss, enum sub_role role, const struct sub_peer *peer, const struct sip_event *event,
    const struct sub_ops *ops, void *owner, enum reason *ret_why)
{
	struct arena *arena;
	struct sub *s;
	struct buf ctx;

	if (ss->stopping) {
		*ret_why = REASON_SHUTDOWN;
		return NULL;
	}
	if ((ss->cfg.max && ss->n >= ss->cfg.max) || (peer->max && subs_count_of(ss, peer->trunk_id) >= peer->max)) {
		*ret_why = REASON_SUB_FULL;
		return NULL;
	}
	*ret_why = REASON_NO_MEMORY;
	arena = arena_new(&ss->pool);
	s = arena ? arena_zalloc(arena, sizeof(*s)) : NULL;
	if (!s) {
		arena_free(arena);
		return NULL;
	}
	*s = (struct sub){.ss = ss,
	    .arena = arena,
	    .role = role,
	    .trunk_id = peer->trunk_id,
	    .timers = peer->timers,
	    .mtu_limit = peer->mtu_limit,
	    .udp_only = peer->udp_only,
	    .ops = ops,
	    .owner = owner,
	    .since_wall_us = ss->env->clock->wall_us,
	    .log = {.to = ss->env->logger, .area = LOG_SIP}};
	if (keep(s, &s->contact, peer->contact) < 0 || keep(s, &s->lines, peer->lines) < 0 ||
	    keep(s, &s->event.package, event->package) < 0 || keep(s, &s->event.id, event->id) < 0 ||
	    !count_up(ss, s->trunk_id)) {
		arena_free(arena);
		return NULL;
	}
	buf_init(&ctx, s->log.ctx, sizeof(s->log.ctx) - 1);
	buf_fmt(&ctx, "trunk=%u %s=%.*s", s->trunk_id, role == SUB_NOTIFIER ? "watched" : "watches",
	    STR(str_head(s->event.package, 12)));
	(void)buf_z(&ctx);
	list_push(&ss->all, &s->node);
	*ret_why = REASON_NONE;
	return s;
}

void sub_index(struct sub *s)
{
	uint64_t h = hash_str(&s->ss->env->hash_key, s->dlg.local_tag);

	htab_add(&s->ss->tags, &s->by_tag, h ? h : 1);
}

void sub_drop(struct sub *s)
{
	let_go(s);
	arena_free(s->arena);
}

void sub_set_over(struct sub *s, uint32_t expires_s)
{
	s->expires_us = sub_now(s) + (int64_t)expires_s * 1000000;
	timer_start_us(s->ss->env->timers, &s->over, (int64_t)expires_s * 1000000,
	    s->role == SUB_NOTIFIER ? notifier_over : subscriber_over);
}

int sub_send(struct sub *s, struct txn_req *r, struct buf *h, struct str method, const struct txn_cli_ops *ops)
{
	int e = 0;

	buf_lit(h, "Event: ");
	sip_put_event(h, &s->event);
	buf_lit(h, "\r\nContact: ");
	buf_str(h, s->contact);
	buf_lit(h, "\r\n");
	buf_str(h, s->lines);
	if (s->ops && s->ops->credentials)
		e = s->ops->credentials(s->owner, s, method, r->ruri, r->body, h);
	if (e == 0 && buf_err(h))
		e = -ENOSPC;
	if (e < 0)
		return e;
	r->headers = buf_text(h);
	r->timers = &s->timers;
	r->local = s->ops && s->ops->local ? s->ops->local(s->owner, s, &r->path) : NULL;
	r->mtu_limit = s->mtu_limit;
	r->udp_only = s->udp_only;
	s->cli = txn_request(s->ss->txn, r, ops, s);
	if (!s->cli)
		return -ENOMEM;
	s->ss->busy++;
	return 0;
}

bool sub_challenged(struct sub *s, const struct sip_msg *m)
{
	return s->ops && s->ops->challenged && s->ops->challenged(s->owner, s, s->asked, m);
}

int sub_reply(struct txn_srv *t, uint16_t status, struct str headers)
{
	int e = txn_srv_reply(t, &(struct txn_reply){.status = status, .headers = headers});

	if (e < 0) /* no memory to keep it; over a stream there is no second copy of the request */
		(void)txn_srv_reply_once(t, &(struct txn_reply){.status = status, .headers = headers});
	return e;
}

void sub_refuse(struct sub *s, struct txn_srv *t, enum reason why, struct str headers)
{
	(void)s;
	if (txn_srv_refuse(t, why, false, headers) < 0)
		txn_srv_drop(t);
}

void sub_forget(struct sub *s)
{
	s->ops = NULL;
	s->owner = NULL;
	if (s->role == SUB_NOTIFIER)
		sub_end(s, SIP_SUBWHY_DEACTIVATED, 0);
	else
		sub_leave(s);
}

/* ------------------------------------------------------------------ requests in dialogs */

/* Event of a message about s. One without Event is about "refer" or an old "PINT" only, so nobody's here. */
static bool same_event(const struct sub *s, const struct sip_msg *m)
{
	struct sip_event e;

	return sip_event(m, &e) == 0 && sip_event_eq(&e, &s->event);
}

struct sub *subs_find(struct subs *ss, const struct sip_msg *m)
{
	uint64_t h = hash_str(&ss->env->hash_key, m->to.tag);
	struct sub *first = NULL;

	if (m->method != SIP_SUBSCRIBE && m->method != SIP_NOTIFY)
		return NULL;
	for (struct hnode *n = htab_first(&ss->tags, h ? h : 1); n; n = htab_next(n)) {
		struct sub *s = container_of(n, struct sub, by_tag);

		if (!str_eq(s->dlg.local_tag, m->to.tag) || !str_eq(s->dlg.call_id, m->call_id) ||
		    (s->role == SUB_NOTIFIER) != (m->method == SIP_SUBSCRIBE) || !same_event(s, m))
			continue;
		if (str_eq(s->dlg.remote_tag, m->from.tag))
			return s;
		if (s->role == SUB_SUBSCRIBER && (!s->dialog || (s->ops && s->ops->forked && sub_now(s) < s->fork_until_us)))
			first = first && !first->dialog ? first : s;
	}
	return first;
}

void subs_request(struct subs *ss, struct sub *s, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	(void)ss;
	if (s->role == SUB_NOTIFIER)
		notifier_request(s, t, m, from);
	else
		subscriber_request(s, t, m, from);
}

/* ------------------------------------------------------------------ looking at them */

void sub_view(const struct sub *s, struct sub_view *ret)
{
	*ret = (struct sub_view){.role = s->role,
	    .state = s->state,
	    .trunk_id = s->trunk_id,
	    .event = s->event,
	    .call_id = s->dlg.call_id,
	    .target = s->dlg.target,
	    .local_tag = s->dlg.local_tag,
	    .remote_tag = s->dlg.remote_tag,
	    .path = s->dlg.path,
	    .since_wall_us = s->since_wall_us,
	    .expires_us = timer_running(&s->over) ? s->expires_us : 0,
	    .notifies = s->notifies,
	    .owner = s->owner};
}

struct sub *subs_walk(const struct subs *ss, const struct sub *after)
{
	struct list *n = after ? after->node.next : ss->all.next;

	return n == &ss->all ? NULL : container_of(n, struct sub, node);
}

unsigned subs_count(const struct subs *ss)
{
	return ss->n;
}

unsigned subs_count_of(const struct subs *ss, uint32_t trunk_id)
{
	const struct count *c = count_of(ss, trunk_id);

	return c ? c->n : 0;
}

unsigned subs_busy(const struct subs *ss)
{
	return ss->busy;
}

uint64_t subs_metric(const struct subs *ss, enum sub_metric m)
{
	return ss->metrics[m];
}

/* ------------------------------------------------------------------ life */

struct subs *subs_new(const struct env *env, const struct subs_cfg *cfg)
{
	struct subs *ss = calloc(1, sizeof(*ss));

	if (!ss)
		return NULL;
	ss->env = env;
	ss->cfg = *cfg;
	if (!ss->cfg.body_max)
		ss->cfg.body_max = SUB_BODY_MAX;
	list_init(&ss->all);
	list_init(&ss->dead);
	arena_pool_init_more(&ss->pool, 2048, 1024, 1024);
	ss->body = malloc(ss->cfg.body_max);
	if (!ss->body || htab_init(&ss->tags, 64) < 0 || htab_init(&ss->counts, 16) < 0) {
		subs_free(ss);
		return NULL;
	}
	ss->metric_set =
	    (struct metric_set){.area = "subscription", .names = metric_names, .values = ss->metrics, .n = SUBS_METRICS};
	if (env->metrics)
		metrics_add(env->metrics, &ss->metric_set);
	return ss;
}

void subs_start(struct subs *ss, struct txn_layer *txn)
{
	ss->txn = txn;
}

void subs_stop(struct subs *ss)
{
	struct sub *s = subs_walk(ss, NULL), *next;

	ss->stopping = true;
	for (; s; s = next) {
		next = subs_walk(ss, s);
		if (s->role == SUB_NOTIFIER)
			sub_end(s, SIP_SUBWHY_DEACTIVATED, 0);
		else
			sub_leave(s);
	}
}

void subs_free(struct subs *ss)
{
	struct sub *s;

	if (!ss)
		return;
	ss->stopping = true;
	while (ss->all.next && (s = subs_walk(ss, NULL)))
		sub_finish(s, &(struct sub_end){.over = SUB_OVER_CLOSED}, "closed");
	timer_stop(ss->env->timers, &ss->reaper);
	reap(&ss->reaper);
	if (ss->tags.bucket)
		htab_fini(&ss->tags);
	if (ss->counts.bucket)
		htab_fini(&ss->counts);
	metrics_del(&ss->metric_set);
	arena_pool_fini(&ss->pool);
	free(ss->body);
	free(ss);
}
