/* relay.c - a subscription carried to who can tell: two subscriptions, one on each side, that do not see each other's
 * messages (RFC 6140 7.2.2: the registration of one number is the PBX's to tell).
 *
 *   watcher --SUBSCRIBE--> us --SUBSCRIBE--> each contact of the number (up to BRANCHES_MAX)
 *   watcher <----200------ us <----NOTIFY---- the first that tells: the watcher is accepted, and told
 *   watcher <---NOTIFY---- us <----NOTIFY---- every further one is a dialog of its own with the watcher (a fork)
 *
 * While nobody has told, the watcher's SUBSCRIBE waits; when all have refused, it gets the best of their answers. What was
 * heard waits in a short queue until the watcher has taken what was before it, so nothing is told out of order; a full
 * queue is answered 503. A refresh of the watcher's refreshes the other side, which then tells everything. The end of one
 * side ends the other with the same reason.
 *
 * Bodies pass as they are (EVT-04), but for documents of registrations: their addresses are the PBX's, and the watcher
 * gets its own domain and an address of ours instead.
 */
#include "sbc/b2b/outside.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/dialog/subscription.h"
#include "sbc/reg/account.h"
#include "sbc/reg/reginfo.h"

#define BRANCHES_MAX 4
#define QUEUE_MAX 8
#define RELAYS_MAX 4096  /* on the box */
#define USUAL_S 3761u
#define MIN_S 60u
#define MAX_S 86400u
#define BODY_MAX 49152

struct note {
	struct list node; /* branch->queue */
	size_t n_type, n_body;
	char bytes[];     /* type, then body */
};

struct branch {
	struct list node; /* relay->branches */
	struct relay *relay;
	struct sub *down; /* borrow: until over(); towards who tells */
	struct sub *up;   /* the same, towards the watcher; NULL: not told yet */
	struct list queue;
	unsigned n_queue;
	struct note *last; /* own: what was said, in case it has to be said again */
	bool over;         /* the watcher has gone: nothing is told any more */
	struct policy *policy;     /* ref: what auth was made from */
	struct outside_auth *auth; /* own; NULL: nobody asked who we are */
};

struct relay {
	struct list node;      /* b2b->relays */
	struct b2b *b2b;
	struct outside *k;     /* own: the way of the SUBSCRIBE; NULL once it was answered */
	struct txn_srv *srv;   /* borrow: of the SUBSCRIBE, until it was answered */
	struct list branches;
	unsigned n_branches;
	uint32_t from_id, to_id;
	bool reg;              /* documents of registrations are written anew */
	char package[64];
	bool answered;
	uint16_t status;       /* best refusal so far */
	enum reason why;       /* when nobody answered at all */
	char host[256], mask[300];
	size_t n_host, n_mask;
};

/* ------------------------------------------------------------------ life */

static void branch_free(struct branch *br)
{
	struct list *n;

	while ((n = list_pop(&br->queue)))
		free(container_of(n, struct note, node));
	free(br->last);
	free(br->auth);
	policy_unref(br->policy);
	list_del(&br->node);
	br->relay->n_branches--;
	free(br);
}

static void relay_free(struct relay *r)
{
	if (r->srv) {
		txn_srv_bind(r->srv, NULL, NULL);
		txn_srv_detach(r->srv);
	}
	outside_free(r->k);
	list_del(&r->node);
	r->b2b->n_relays--;
	free(r);
}

static void refuse(struct relay *r, uint16_t status, enum reason why)
{
	struct txn_srv *srv = r->srv;
	const struct pol_trunk *t = policy_trunk(r->b2b->policy, r->from_id);

	if (!srv)
		return;
	r->srv = NULL;
	txn_srv_bind(srv, NULL, NULL);
	if (!status)
		b2b_refuse(r->b2b, srv, t, why, STR_NONE);
	else if (txn_srv_reply(srv, &(struct txn_reply){.status = setup_status_towards(status)}) < 0)
		txn_srv_detach(srv);
}

/* Something has ended: is there anything left to wait for? */
static void settle(struct relay *r)
{
	if (r->n_branches)
		return;
	if (!r->answered)
		refuse(r, r->status, r->why ? r->why : REASON_PEER_UNAVAILABLE);
	relay_free(r);
}

static void branch_settle(struct branch *br)
{
	struct relay *r = br->relay;

	if (br->up || br->down)
		return;
	branch_free(br);
	settle(r);
}

static struct branch *branch_new(struct relay *r)
{
	struct branch *br = r->n_branches < BRANCHES_MAX ? calloc(1, sizeof(*br)) : NULL;

	if (!br)
		return NULL;
	br->relay = r;
	list_init(&br->queue);
	list_push(&r->branches, &br->node);
	r->n_branches++;
	return br;
}

/* ------------------------------------------------------------------ documents of registrations */

struct rewrite {
	const struct relay *r;
	struct buf out;
	bool open;
	/* of the registration that is read */
	char user[256], id[REGINFO_TEXT_MAX];
	size_t n_user, n_id;
	enum reginfo_state state;
	bool any, active;
	struct reginfo_contact best;
};

static void put_uri(const struct rewrite *w, struct str host, struct buf *b)
{
	buf_lit(b, "sip:");
	if (w->n_user) {
		buf_put(b, w->user, w->n_user);
		buf_chr(b, '@');
	}
	buf_str(b, host);
}

/* Our address stands for all contacts: there is one, or there was. */
static void flush(struct rewrite *w)
{
	char aor[600], uri[600];
	struct buf a, u;

	if (!w->open)
		return;
	w->open = false;
	buf_init(&a, aor, sizeof(aor));
	put_uri(w, str_n(w->r->host, w->r->n_host), &a);
	buf_init(&u, uri, sizeof(uri));
	put_uri(w, str_n(w->r->mask, w->r->n_mask), &u);
	reginfo_put_registration(&w->out, buf_text(&a), str_n(w->id, w->n_id), w->state);
	if (w->any) {
		w->best.id = str_n(w->id, w->n_id);
		w->best.uri = buf_text(&u);
		w->best.q = 1000;
		reginfo_put_contact(&w->out, &w->best);
	}
	reginfo_end_registration(&w->out);
}

static void on_begin(void *ctx, uint32_t version, bool full)
{
	struct rewrite *w = ctx;

	reginfo_begin(&w->out, version, full);
}

static void on_registration(void *ctx, struct str aor, struct str id, enum reginfo_state state)
{
	struct rewrite *w = ctx;
	struct sip_uri u;

	flush(w);
	w->open = true;
	w->any = w->active = false;
	w->state = state;
	memcpy(w->id, id.p, id.n);
	w->n_id = id.n;
	w->n_user = 0;
	if (sip_uri_parse(aor, &u) == 0 && u.user.n <= sizeof(w->user)) {
		memcpy(w->user, u.user.p, u.user.n);
		w->n_user = u.user.n;
	}
}

static void on_contact(void *ctx, struct str aor, const struct reginfo_contact *c)
{
	struct rewrite *w = ctx;

	(void)aor;
	if (w->any && (w->active || !c->active) && !(c->active && c->expires_s > w->best.expires_s))
		return;
	w->any = true;
	w->active = c->active;
	w->best = *c;
}

static const struct reginfo_reader reader = {on_begin, on_registration, on_contact};

/* ------------------------------------------------------------------ what was heard */

static struct note *note_new(const struct relay *r, const struct sip_msg *m, enum reason *ret_why)
{
	struct str type = sip_hdr_value(m, SIP_H_CONTENT_TYPE), body = m->body;
	struct rewrite *w = NULL;
	struct note *n = NULL;

	*ret_why = REASON_NO_MEMORY;
	if (r->reg && body.n) {
		if (!sip_body_is(m, REGINFO_TYPE)) {
			*ret_why = REASON_CONTENT_TYPE;
			return NULL;
		}
		w = malloc(sizeof(*w) + BODY_MAX);
		if (!w)
			return NULL;
		memset(w, 0, sizeof(*w));
		w->r = r;
		buf_init(&w->out, w + 1, BODY_MAX);
		*ret_why = REASON_REG_EVENT_BAD;
		if (reginfo_read(body, &reader, w) < 0)
			goto out;
		flush(w);
		reginfo_end(&w->out);
		if (buf_err(&w->out))
			goto out;
		body = buf_text(&w->out);
		type = REGINFO_TYPE;
		*ret_why = REASON_NO_MEMORY;
	}
	n = malloc(sizeof(*n) + type.n + body.n);
	if (!n)
		goto out;
	n->node = (struct list){NULL, NULL};
	n->n_type = body.n ? type.n : 0;
	n->n_body = body.n;
	if (n->n_type)
		memcpy(n->bytes, type.p, type.n);
	if (body.n)
		memcpy(n->bytes + n->n_type, body.p, body.n);
	*ret_why = REASON_NONE;
out:
	free(w);
	return n;
}

static enum reason accept_watcher(struct branch *br, bool pending);

static enum reason heard(void *owner, struct sub *s, const struct sip_msg *m, const struct sip_substate_value *v)
{
	struct branch *br = owner;
	enum reason why;
	struct note *n;

	(void)s;
	if (br->over)
		return REASON_NONE;
	if (br->n_queue >= QUEUE_MAX)
		return REASON_SUB_SLOW;
	n = note_new(br->relay, m, &why);
	if (!n)
		return why;
	list_push(&br->queue, &n->node);
	br->n_queue++;
	if (!br->up)
		return accept_watcher(br, v->state == SIP_SUB_PENDING);
	if (v->state != SIP_SUB_PENDING)
		sub_grant(br->up);
	sub_changed(br->up, false);
	return REASON_NONE;
}

static bool forked(void *owner, struct sub *first, struct sub *s, void **ret_owner)
{
	struct branch *br = owner, *other = branch_new(br->relay);

	(void)first;
	if (!other)
		return false;
	other->down = s;
	*ret_owner = other;
	return true;
}

static void down_over(void *owner, struct sub *s, const struct sub_end *e)
{
	struct branch *br = owner;
	struct relay *r = br->relay;
	enum sip_subwhy why = e->over == SUB_OVER_NOTIFIED ? e->why : SIP_SUBWHY_DEACTIVATED;

	(void)s;
	br->down = NULL;
	if (e->over == SUB_OVER_REFUSED && (!r->status || e->status < r->status))
		r->status = e->status;
	if (e->over == SUB_OVER_SILENT)
		r->why = REASON_PEER_SILENT;
	else if (e->over == SUB_OVER_UNREACHED)
		r->why = REASON_TRANSPORT;
	if (br->up) {
		sub_end(br->up, why, e->has_retry ? e->retry_s : 0);
		return;
	}
	branch_settle(br);
}

static const struct net_local *local_of(const struct b2b *b, uint32_t id, const struct net_path *path)
{
	const struct pol_trunk *t = policy_trunk(b->policy, id);

	return t ? b2b_local(b, t, path) : NULL;
}

static const struct net_local *down_local(void *owner, struct sub *s, const struct net_path *path)
{
	const struct branch *br = owner;

	(void)s;
	return local_of(br->relay->b2b, br->relay->to_id, path);
}

/* A provider asks who we are (AUT-13): the PBX sees nothing of it. */
static bool challenged(void *owner, struct sub *s, uint8_t asked[2], const struct sip_msg *m)
{
	struct branch *br = owner;
	const struct pol_trunk *t;

	(void)s;
	if (!br->auth) {
		t = policy_trunk(br->relay->b2b->policy, br->relay->to_id);
		br->auth = t && t->role == POL_ITSP && t->reg.auth_user.n ? calloc(1, sizeof(*br->auth)) : NULL;
		if (!br->auth)
			return false;
		br->policy = policy_ref(br->relay->b2b->policy);
		account_credential(t, &br->auth->credential);
	}
	return auth_again(&br->auth->session, asked, m, &br->auth->credential, 1) == REASON_NONE;
}

static int credentials(void *owner, struct sub *s, struct str method, struct str ruri, struct str body, struct buf *h)
{
	struct branch *br = owner;

	(void)s;
	return br->auth ? auth_put(&br->auth->session, br->relay->b2b->env->rng, method, ruri, body, h) : 0;
}

static const struct sub_ops down_ops = {.heard = heard,
    .forked = forked,
    .challenged = challenged,
    .credentials = credentials,
    .local = down_local,
    .over = down_over};

/* ------------------------------------------------------------------ what the watcher is told */

static bool say(void *owner, struct sub *s, struct sub_notify *n)
{
	struct branch *br = owner;
	struct list *first;

	(void)s;
	if (!n->again || !br->last) {
		first = list_pop(&br->queue);
		if (first) {
			free(br->last);
			br->last = container_of(first, struct note, node);
			br->n_queue--;
		} else { /* a refresh: what there is to tell comes from the other side */
			free(br->last);
			br->last = NULL;
		}
	}
	n->more = br->n_queue > 0;
	if (!br->last)
		return true;
	n->type = str_n(br->last->bytes, br->last->n_type);
	buf_put(&n->body, br->last->bytes + br->last->n_type, br->last->n_body);
	return !buf_err(&n->body);
}

static void refreshed(void *owner, struct sub *s)
{
	struct branch *br = owner;

	(void)s;
	if (br->down)
		sub_refresh(br->down);
}

static void up_over(void *owner, struct sub *s, const struct sub_end *e)
{
	struct branch *br = owner;

	(void)s;
	(void)e;
	br->up = NULL;
	br->over = true;
	if (br->down)
		sub_leave(br->down);
	branch_settle(br);
}

static const struct net_local *up_local(void *owner, struct sub *s, const struct net_path *path)
{
	const struct branch *br = owner;

	(void)s;
	return local_of(br->relay->b2b, br->relay->from_id, path);
}

static const struct sub_ops up_ops = {
    .say = say, .refreshed = refreshed, .local = up_local, .over = up_over};

/* The dialog of another branch with the watcher; NULL: all have ended. */
static struct sub *told_before(const struct relay *r)
{
	list_each(n, &r->branches)
	{
		const struct branch *br = container_of(n, struct branch, node);

		if (br->up)
			return br->up;
	}
	return NULL;
}

static enum reason first_accept(struct branch *br, bool pending)
{
	struct relay *r = br->relay;
	struct sub_accept a = {.usual_s = USUAL_S, .min_s = MIN_S, .max_s = MAX_S, .pending = pending};
	const struct pol_trunk *t = policy_trunk(r->b2b->policy, r->from_id);
	char contact_text[512], lines_text[256], refusal[256];
	struct outside_text g = {NULL, NULL};
	struct buf contact, lines, h;
	const struct sip_msg *m;
	struct net_path from;
	enum reason why = REASON_NO_MEMORY;

	br->over = true; /* unless it is accepted */
	if (!r->srv || !t) { /* the watcher is gone */
		sub_leave(br->down);
		return REASON_NO_DIALOG;
	}
	from = r->srv->path;
	m = outside_parse(r->k, &g);
	buf_init(&contact, contact_text, sizeof(contact_text));
	buf_init(&lines, lines_text, sizeof(lines_text));
	buf_init(&h, refusal, sizeof(refusal));
	if (m)
		why = events_peer(r->b2b, t, &from, &contact, &lines, &a.peer);
	if (why == REASON_NONE)
		br->up = sub_accept(r->b2b->cfg.subs, r->srv, m, &from, &a, &up_ops, br, &why, &h);
	outside_text_free(&g);
	r->answered = br->up != NULL;
	if (br->up) {
		br->over = false;
		txn_srv_bind(r->srv, NULL, NULL);
		r->srv = NULL;
	} else {
		refuse(r, 0, why);
		r->answered = true;
		sub_leave(br->down);
	}
	outside_free(r->k);
	r->k = NULL;
	return br->up ? REASON_NONE : REASON_NO_DIALOG;
}

/* The first word of a branch. What is refused here ends it at the other side. */
static enum reason accept_watcher(struct branch *br, bool pending)
{
	struct sub *first = told_before(br->relay);
	enum reason why;

	if (!br->relay->answered)
		return first_accept(br, pending);
	if (first)
		br->up = sub_accept_fork(first, &up_ops, br, pending, &why);
	if (br->up)
		return REASON_NONE;
	br->over = true;
	sub_leave(br->down);
	return REASON_NO_DIALOG;
}

/* ------------------------------------------------------------------ the way there */

static void on_srv_end(void *owner, struct txn_srv *t, int err)
{
	struct relay *r = owner;

	(void)t;
	(void)err;
	r->srv = NULL;
	if (r->answered)
		return;
	r->answered = true; /* nobody waits any more */
	list_each(n, &r->branches)
	{
		struct branch *br = container_of(n, struct branch, node);

		if (br->down)
			sub_leave(br->down);
	}
}

static const struct txn_srv_ops srv_ops = {.on_end = on_srv_end};

static enum reason begin_branch(struct relay *r, const struct sip_msg *m, const struct target_way *w, struct str ruri)
{
	struct outside *k = r->k;
	struct b2b *b = r->b2b;
	const struct pol_trunk *t = k->hop.trunk;
	const struct net_local *us = b2b_local(b, t, &w->path);
	char contact_text[512], lines_text[4096], from_text[1024], to_text[1024], named[256], route_text[1100], mark_text[24];
	struct sub_ask a = {.path = w->path, .expires_s = USUAL_S, .ruri = ruri};
	struct buf contact, lines, from, to, space, routes, mark;
	bool sips = m->ruri.scheme == SIP_SCHEME_SIPS;
	struct branch *br;
	enum reason why;
	int e = 0;

	if (!r->reg && !policy_event_carried(t, str_z(r->package)))
		return REASON_EVENT_PACKAGE;
	if (!us)
		return REASON_NO_LISTENER;
	if (walk_leaks(k->policy, us, &w->path))
		return REASON_PRIVATE_ADDRESS;
	buf_init(&contact, contact_text, sizeof(contact_text));
	buf_init(&lines, lines_text, sizeof(lines_text));
	buf_init(&from, from_text, sizeof(from_text));
	buf_init(&to, to_text, sizeof(to_text));
	buf_init(&space, named, sizeof(named));
	buf_init(&routes, route_text, sizeof(route_text));
	b2b_pass_headers(k->from, t, m, &lines);
	why = events_peer(b, t, &w->path, &contact, &lines, &a.peer);
	if (why != REASON_NONE)
		return why;
	rewrite_from_to(b, &k->hop, sips, us, m->from.display, k->calling, rewrite_to_of(k->from, t, m, k->called, &space), &from, &to);
	if (w->route.n)
		sip_put_hdr(&routes, SIP_H_ROUTE, w->route);
	if (buf_err(&from) || buf_err(&to) || buf_err(&routes))
		return REASON_TOO_LARGE;
	if (!addr_none(&w->alt))
		e = net_prepare(b->net, &a.path, &w->alt);
	if (e < 0)
		return net_error_reason(e);
	if (sip_event(m, &a.event) < 0)
		return REASON_EVENT_PACKAGE;
	a.event.id = STR_NONE; /* the watcher's own */
	(void)(sip_delta_seconds(m, SIP_H_EXPIRES, &a.expires_s) < 0);
	a.expires_s = a.expires_s < MAX_S ? a.expires_s : MAX_S;
	a.accept = r->reg ? REGINFO_TYPE : sip_hdr_value(m, SIP_H_ACCEPT);
	buf_init(&mark, mark_text, sizeof(mark_text)); /* so that it is known when it comes back (LOOP-04) */
	rewrite_loop_mark(b, k->from->id, k->calling, k->called, &mark);
	a.branch_tail = buf_text(&mark);
	a.hops = t->sip.reset_max_forwards || !m->has_max_forwards ? 0 : (uint8_t)(m->max_forwards < 255 ? m->max_forwards : 255);
	a.from = buf_text(&from);
	a.to = buf_text(&to);
	a.routes = buf_text(&routes);
	br = branch_new(r);
	if (!br)
		return REASON_NO_MEMORY;
	br->down = sub_subscribe(b->cfg.subs, &a, &down_ops, br, &why);
	if (!br->down)
		branch_free(br);
	return why;
}

/* To every contact of the one hop that has any; a contact that stands for two flows of one device is asked once. */
static enum reason begin(struct relay *r, const struct sip_msg *m)
{
	char asked[BRANCHES_MAX][SIP_URI_LEN_MAX], text[SIP_URI_LEN_MAX];
	enum reason why = REASON_NONE, last = REASON_PEER_UNAVAILABLE;
	const struct pol_target *target = NULL;
	const struct target_way *w;
	size_t n_asked[BRANCHES_MAX];
	unsigned n = 0;

	while (n < BRANCHES_MAX && (w = outside_next_way(r->k, m)) != NULL) {
		struct buf ruri;
		bool known = false;

		if (n && r->k->hop.target != target)
			break; /* they have registered: the trunk's configured targets are for when nobody has */
		buf_init(&ruri, text, sizeof(text));
		if (w->uri.n)
			buf_str(&ruri, w->uri);
		else
			rewrite_ruri(&r->k->hop, m->ruri.scheme == SIP_SCHEME_SIPS, r->k->called, &ruri);
		if (buf_err(&ruri))
			continue;
		for (unsigned i = 0; i < n; i++)
			known = known || str_eq(str_n(asked[i], n_asked[i]), buf_text(&ruri));
		if (known)
			continue;
		why = begin_branch(r, m, w, buf_text(&ruri));
		if (why != REASON_NONE) {
			last = why;
			continue;
		}
		target = r->k->hop.target;
		r->to_id = r->k->hop.trunk->id;
		memcpy(asked[n], text, ruri.n);
		n_asked[n++] = ruri.n;
		if (!r->k->hop.target->registered)
			break; /* one of its addresses, not all */
	}
	if (n)
		return REASON_NONE;
	return r->k->best ? r->k->best : last;
}

enum reason relay_subscribe(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from, struct str host, struct str mask, struct buf *h)
{
	struct relay *r;
	struct sip_event event;
	uint32_t expires_s;
	enum reason why;

	if (sip_event(m, &event) < 0)
		return REASON_EVENT_PACKAGE;
	if (m->has_max_forwards && m->max_forwards == 0)
		return REASON_TOO_MANY_HOPS;
	if (sip_delta_seconds(m, SIP_H_EXPIRES, &expires_s) == 0 && expires_s > 0 && expires_s < MIN_S) {
		buf_fmt(h, "Min-Expires: %u\r\n", MIN_S);
		return REASON_SUB_BRIEF;
	}
	if (b->n_relays >= RELAYS_MAX ||
	    (t->max_subscriptions && subs_count_of(b->cfg.subs, t->id) >= t->max_subscriptions))
		return REASON_SUB_FULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return REASON_NO_MEMORY;
	r->b2b = b;
	list_init(&r->branches);
	r->from_id = t->id;
	r->reg = str_eq(event.package, S("reg"));
	list_push(&b->relays, &r->node);
	b->n_relays++;
	if (event.package.n >= sizeof(r->package) || host.n > sizeof(r->host) || mask.n > sizeof(r->mask)) {
		relay_free(r);
		return REASON_TOO_LARGE;
	}
	memcpy(r->package, event.package.p, event.package.n);
	r->n_host = host.n;
	r->n_mask = mask.n;
	if (host.n)
		memcpy(r->host, host.p, host.n);
	if (mask.n)
		memcpy(r->mask, mask.p, mask.n);
	why = outside_open(b, t, m, from, &r->k);
	if (why == REASON_NONE)
		why = begin(r, m);
	if (why != REASON_NONE) {
		relay_free(r);
		return why;
	}
	r->srv = srv;
	txn_srv_bind(srv, &srv_ops, r);
	return REASON_NONE;
}

void relays_review(struct b2b *b)
{
	list_each(n, &b->relays)
	{
		struct relay *r = container_of(n, struct relay, node);
		const struct pol_trunk *from = policy_trunk(b->policy, r->from_id), *to = policy_trunk(b->policy, r->to_id);
		bool may = from && to && from->admin != POL_DISABLED &&
		           (r->reg ? policy_may_watch(to, from) && events_tells(to)
		                   : policy_event_carried(from, str_z(r->package)) && policy_event_carried(to, str_z(r->package)));

		list_each(l, &r->branches)
		{
			struct branch *br = container_of(l, struct branch, node);

			if (!may && br->up)
				sub_end(br->up, to ? SIP_SUBWHY_REJECTED : SIP_SUBWHY_NORESOURCE, 0);
			else if (!may && br->down)
				sub_leave(br->down);
		}
	}
}
