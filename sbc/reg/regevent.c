/* regevent.c - watches on registrations, and the documents they are sent.
 *
 *   note:  a binding changed -> the watches of its trunk get to know which numbers are news -> sub_changed()
 *   say:   the NOTIFY leaves -> the document is made from the bindings as they are then
 *
 * A watch remembers what it has to tell (struct news): everything, or a few numbers. Everything is a walk over the
 * numbers of the trunk that goes on from NOTIFY to NOTIFY until all were told; a change of the numbers begins it anew.
 * Each NOTIFY has the next version; one that did not get through is said again with the version it had.
 *
 * Contacts that ended are told as terminated, with why, to those who have not heard of them yet: the last few of a trunk
 * are kept for that.
 */
#include "sbc/reg/regevent.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/reg/gin.h"
#include "sbc/reg/reginfo.h"
#include "sbc/sip/print.h"

#define USUAL_S 3761u  /* RFC 3680 4.4 */
#define MIN_S 60u
#define MAX_S 86400u
#define GAP_MS 5000u   /* RFC 3680 4.10 */
#define ENDED_MAX 8    /* contacts that ended, kept for those who have not heard */
#define DIRTY_MAX 8
#define REFRESH_NUMBERS_MAX 100 /* a trunk of more numbers: that its one contact lives longer is not told of each */
#define TAIL 16        /* "</reginfo>\n" */
#define HEAD_ROOM 900  /* of a datagram, for what is no body */
#define NUMBER 20

struct ended {
	uint64_t at;       /* generation */
	uint64_t id;
	enum reginfo_event event;
	bool bulk;
	char aor[NUMBER], uri[REGINFO_TEXT_MAX];
	uint16_t n_aor, n_uri;
};

/* What there is to tell. */
struct news {
	bool all;          /* begin a walk */
	bool walking;      /* in the middle of one: the next number is `range`, `in_range` */
	bool refresh;      /* nothing but times has changed */
	uint32_t range;
	uint64_t in_range;
	uint32_t version;  /* of the next document */
	uint64_t heard;    /* generation of ended contacts that was told */
	unsigned n;
	char dirty[DIRTY_MAX][NUMBER];
};

struct watched {
	struct hnode node; /* reg_events->owners */
	struct list watches;
	uint32_t trunk_id;
	uint64_t print;    /* of its numbers */
	uint64_t generation;
	struct ended ended[ENDED_MAX]; /* ring by generation */
};

struct watch {
	struct list node;  /* watched->watches */
	struct reg_events *re;
	struct watched *of;
	struct sub *sub;   /* borrow: until over() */
	uint32_t watcher_id;
	bool only_until;
	struct str number, host, mask; /* behind it */
	struct news now, was;
	char text[];
};

struct reg_events {
	const struct env *env;
	struct subs *subs;
	struct reg *reg;
	struct targets *targets;
	struct policy *policy; /* ref */
	struct htab owners;
	struct log log;
};

static struct watched *find(const struct reg_events *re, uint32_t trunk_id)
{
	for (struct hnode *n = htab_first(&re->owners, trunk_id); n; n = htab_next(n))
		if (container_of(n, struct watched, node)->trunk_id == trunk_id)
			return container_of(n, struct watched, node);
	return NULL;
}

static void number_put(struct buf *b, uint64_t v, size_t digits)
{
	char text[NUMBER];

	for (size_t i = digits; i-- > 0; v /= 10)
		text[i] = (char)('0' + v % 10);
	buf_chr(b, '+');
	buf_put(b, text, digits);
}

static uint64_t digits_of(struct str number)
{
	uint64_t v = 0;

	for (size_t i = 1; i < number.n; i++)
		v = v * 10 + (uint64_t)(number.p[i] - '0');
	return v;
}

/* ------------------------------------------------------------------ one registration element */

static void put_aor(const struct watch *w, const struct pol_trunk *t, struct str number, struct buf *b)
{
	sip_put_uri_number(b, SIP_SCHEME_SIP, number.n ? number : t->reg.user, w->host, 0, STR_NONE, false);
}

static void put_id(struct buf *b, uint64_t id, struct str number)
{
	buf_hex64(b, id);
	if (number.n) {
		buf_chr(b, '-');
		buf_str(b, str_from(number, 1));
	}
}

static void put_masked(const struct watch *w, const struct pol_trunk *t, struct str number, struct buf *b)
{
	sip_put_uri_number(b, SIP_SCHEME_SIP, number.n ? number : t->reg.user, w->mask, 0, STR_NONE, false);
}

static void put_active(struct watch *w, const struct pol_trunk *t, const struct reg_way *way, struct str number, struct buf *b)
{
	const struct clock *clock = w->re->env->clock;
	const struct reg_contact *c = way->contact;
	int64_t left = (c->expires_us - clock->mono_us) / 1000000, since = (clock->wall_us - c->since_wall_us) / 1000000;
	struct reginfo_contact o = {.active = true,
	    .event = w->now.refresh ? REGINFO_REFRESHED : REGINFO_REGISTERED,
	    .has_expires = true,
	    .expires_s = left > 0 ? (uint32_t)left : 0,
	    .has_since = true,
	    .since_s = since > 0 ? (uint32_t)since : 0,
	    .q = c->q};
	char id[64], uri[1024], gruu[1024];
	struct buf i, u, g;

	buf_init(&i, id, sizeof(id));
	put_id(&i, w->mask.n ? 0 : c->id, number);
	o.id = buf_text(&i);
	if (w->mask.n) {
		buf_init(&u, uri, sizeof(uri));
		put_masked(w, t, number, &u);
		o.uri = buf_text(&u);
	} else {
		bool own = str_eq(c->aor, number); /* not made for the number from the trunk's */

		o.uri = way->uri;
		o.call_id = c->call_id;
		o.cseq = c->cseq;
		if (own && !c->bulk) {
			o.instance = c->instance;
			o.params = c->params;
		}
		if (own && !c->bulk && c->instance.n > 2) {
			buf_init(&g, gruu, sizeof(gruu));
			put_aor(w, t, number, &g);
			buf_lit(&g, ";gr=");
			buf_str(&g, str_n(c->instance.p + 1, c->instance.n - 2));
			o.pub_gruu = buf_err(&g) ? STR_NONE : buf_text(&g);
		}
	}
	reginfo_put_contact(b, &o);
}

/* Did it stand for that number? */
static bool ended_for(const struct ended *e, struct str number)
{
	struct str aor = str_n(e->aor, e->n_aor);

	return str_eq(aor, number) || (aor.n == 0 && number.n);
}

static bool put_ended(struct watch *w, const struct pol_trunk *t, const struct ended *e, struct str number, struct buf *b)
{
	struct reginfo_contact o = {.event = e->event, .q = 1000, .has_expires = true}; /* some watchers want one */
	char id[64], uri[1024];
	struct sip_uri bulk;
	struct buf i, u;

	buf_init(&i, id, sizeof(id));
	put_id(&i, w->mask.n ? 0 : e->id, number);
	o.id = buf_text(&i);
	buf_init(&u, uri, sizeof(uri));
	if (w->mask.n)
		put_masked(w, t, number, &u);
	else if (number.n && e->n_aor == 0) {
		if (sip_uri_parse(str_n(e->uri, e->n_uri), &bulk) < 0 || gin_expand(&bulk, number, STR_NONE, &u) < 0)
			return false;
	} else {
		buf_put(&u, e->uri, e->n_uri);
	}
	if (buf_err(&u))
		return false;
	o.uri = buf_text(&u);
	reginfo_put_contact(b, &o);
	return true;
}

/* false: there is no room, and nothing was written */
static bool put_registration(struct watch *w, const struct pol_trunk *t, struct str number, struct buf *b)
{
	struct reg_way ways[REG_WAYS_MAX];
	char space[8192], aor[1024];
	size_t before = b->n;
	unsigned n, ended = 0;
	struct buf s, a;

	buf_init(&s, space, sizeof(space));
	n = reg_ways(w->re->reg, t->id, &(struct reg_wish){.number = number}, &s, ways);
	for (unsigned i = 0; i < ENDED_MAX; i++)
		ended += w->of->ended[i].at > w->now.heard && ended_for(&w->of->ended[i], number);
	buf_init(&a, aor, sizeof(aor));
	put_aor(w, t, number, &a);
	reginfo_put_registration(b, buf_text(&a), number.n ? str_from(number, 1) : S("trunk"),
	    n ? REGINFO_ACTIVE : ended ? REGINFO_TERMINATED : REGINFO_INIT);
	/* our address stands for all of them: there is one, or there was */
	if (w->mask.n && n)
		ended = 0;
	for (unsigned i = 0; i < n && (i == 0 || !w->mask.n); i++)
		put_active(w, t, &ways[i], number, b);
	for (unsigned i = 0; ended && i < ENDED_MAX; i++)
		if (w->of->ended[i].at > w->now.heard && ended_for(&w->of->ended[i], number))
			ended -= put_ended(w, t, &w->of->ended[i], number, b) && w->mask.n ? ended : 0;
	reginfo_end_registration(b);
	if (!buf_err(b))
		return true;
	b->n = before;
	b->err = 0;
	return false;
}

/* ------------------------------------------------------------------ documents */

/* A trunk is told as its numbers, when it registers them all at once. */
static bool by_numbers(const struct watch *w, const struct pol_trunk *t)
{
	return !w->number.n && t->reg.auth == POL_AUTH_GIN;
}

/* Goes on with the walk. true: it is over; *ret_n: elements written */
static bool walk(struct watch *w, const struct pol_trunk *t, struct buf *b, unsigned *ret_n)
{
	const struct pol_number *range = policy_numbers_next(w->re->policy, t, NULL);
	struct news *now = &w->now;

	*ret_n = 0;
	if (!by_numbers(w, t)) {
		*ret_n = put_registration(w, t, w->number, b);
		return *ret_n == 1;
	}
	for (uint32_t i = 0; range && i < now->range; i++)
		range = policy_numbers_next(w->re->policy, t, range);
	for (; range; range = policy_numbers_next(w->re->policy, t, range), now->range++, now->in_range = 0) {
		uint64_t first = digits_of(range->first), n = digits_of(range->last) - first + 1;

		for (; now->in_range < n; now->in_range++) {
			char text[NUMBER + 1];
			struct buf number;

			buf_init(&number, text, sizeof(text));
			number_put(&number, first + now->in_range, range->first.n - 1);
			if (!put_registration(w, t, buf_text(&number), b))
				return false;
			(*ret_n)++;
		}
	}
	return true;
}

/* What a watch has to say, and what it had to when the same is to be said again. */
static void say_again(struct watch *w)
{
	struct news lost = w->was;

	lost.all = lost.all || w->now.all;
	for (unsigned i = 0; i < w->now.n && !lost.all; i++) {
		bool known = false;

		for (unsigned k = 0; k < lost.n; k++)
			known = known || strcmp(lost.dirty[k], w->now.dirty[i]) == 0;
		if (!known && lost.n == DIRTY_MAX)
			lost.all = true;
		else if (!known)
			memcpy(lost.dirty[lost.n++], w->now.dirty[i], NUMBER);
	}
	lost.refresh = lost.refresh && w->now.refresh;
	w->now = lost;
}

static bool say_all(struct watch *w, const struct pol_trunk *t, struct sub_notify *n)
{
	unsigned told;
	bool done;

	if (w->now.all) {
		w->now.all = false;
		w->now.walking = true;
		w->now.range = 0;
		w->now.in_range = 0;
		w->now.n = 0; /* they come with all the others */
	}
	done = walk(w, t, &n->body, &told);
	if (!done && told == 0)
		return false; /* not even one fits */
	w->now.walking = !done;
	n->more = !done || w->now.n; /* what has changed meanwhile of those that were told */
	return true;
}

static bool say_some(struct watch *w, const struct pol_trunk *t, struct sub_notify *n)
{
	unsigned i = 0;

	while (i < w->now.n && put_registration(w, t, str_z(w->now.dirty[i]), &n->body))
		i++;
	if (i == 0 && w->now.n)
		return false;
	w->now.n -= i;
	memmove(w->now.dirty, w->now.dirty + i, w->now.n * NUMBER);
	n->more = w->now.n > 0;
	return true;
}

static bool say(void *owner, struct sub *s, struct sub_notify *n)
{
	struct watch *w = owner;
	const struct pol_trunk *t = policy_trunk(w->re->policy, w->of->trunk_id);
	const struct pol_trunk *to = policy_trunk(w->re->policy, w->watcher_id);
	bool begins, ok;

	(void)s;
	if (n->again)
		say_again(w);
	if (n->full)
		w->now.all = true;
	if (!t)
		return n->last; /* nothing is left to be told, but that */
	if (n->last && !w->now.all && !w->now.walking && !w->now.n)
		return true;
	w->was = w->now;
	begins = w->now.all;
	if (to && to->sip.udp_only && n->body.cap > HEAD_ROOM) {
		size_t mtu = to->sip.mtu_limit ? to->sip.mtu_limit : 1300;

		mtu = mtu > 2 * HEAD_ROOM ? mtu - HEAD_ROOM : HEAD_ROOM;
		n->body.cap = mtu < n->body.cap ? mtu : n->body.cap;
	}
	n->body.cap -= TAIL;
	reginfo_begin(&n->body, w->now.version, begins);
	ok = begins || w->now.walking ? say_all(w, t, n) : say_some(w, t, n);
	n->body.cap += TAIL;
	reginfo_end(&n->body);
	if (!ok || buf_err(&n->body))
		return false;
	n->type = REGINFO_TYPE;
	w->now.version++;
	if (!n->more) {
		w->now.heard = w->of->generation;
		w->now.refresh = false;
	}
	return true;
}

/* ------------------------------------------------------------------ watches */

static void watch_free(struct watch *w)
{
	struct watched *of = w->of;

	list_del(&w->node);
	if (list_empty(&of->watches)) {
		htab_del(&w->re->owners, &of->node);
		free(of);
	}
	free(w);
}

static void over(void *owner, struct sub *s, const struct sub_end *e)
{
	struct watch *w = owner;

	(void)s;
	log_info(&w->re->log, "watch_over", "trunk=%u watcher=%u number=%.*s how=%s status=%u", w->of->trunk_id, w->watcher_id,
	    STR(w->number), sub_over_names[e->over], e->status);
	watch_free(w);
}

static const struct net_local *local(void *owner, struct sub *s, const struct net_path *path)
{
	const struct watch *w = owner;

	(void)s;
	return w->re->targets ? targets_local(w->re->targets, w->watcher_id, path) : NULL;
}

static const struct sub_ops ops = {.say = say, .local = local, .over = over};

static struct str keep(char **at, struct str s)
{
	struct str copy = {*at, s.n};

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

/* Of everything that makes the numbers of a trunk what they are. */
static uint64_t print_of(const struct reg_events *re, const struct pol_trunk *t)
{
	const struct pol_number *n = NULL;
	uint64_t print = t->reg.auth;

	while ((n = policy_numbers_next(re->policy, t, n)))
		print = print * 0x100000001b3u ^ digits_of(n->first) ^ digits_of(n->last) << 20 ^ n->first.n;
	return print;
}

static struct watched *get(struct reg_events *re, const struct pol_trunk *t)
{
	struct watched *of = find(re, t->id);

	if (of)
		return of;
	of = calloc(1, sizeof(*of));
	if (!of)
		return NULL;
	list_init(&of->watches);
	of->trunk_id = t->id;
	of->print = print_of(re, t);
	htab_add(&re->owners, &of->node, t->id);
	return of;
}

enum reason reg_events_subscribe(struct reg_events *re, const struct reg_events_ask *a, struct txn_srv *t,
    const struct sip_msg *m, const struct net_path *from, struct buf *h)
{
	struct sub_accept accept = {.peer = *a->peer, .usual_s = USUAL_S, .min_s = MIN_S, .max_s = MAX_S, .gap_ms = GAP_MS};
	enum reason why = REASON_NO_MEMORY;
	struct watched *of;
	struct watch *w;
	char *at;

	if (a->number.n >= NUMBER)
		return REASON_REG_UNKNOWN;
	if (!a->number.n && a->owner->reg.auth == POL_AUTH_GIN && a->owner->n_numbers > REG_EVENT_NUMBERS_MAX)
		return REASON_REG_EVENT_LARGE;
	of = get(re, a->owner);
	w = of ? calloc(1, sizeof(*w) + a->number.n + a->host.n + a->mask.n) : NULL;
	if (!w) {
		if (of && list_empty(&of->watches)) {
			htab_del(&re->owners, &of->node);
			free(of);
		}
		return REASON_NO_MEMORY;
	}
	w->re = re;
	w->of = of;
	w->watcher_id = a->peer->trunk_id;
	w->only_until = a->only_until;
	at = w->text;
	w->number = keep(&at, a->number);
	w->host = keep(&at, a->host);
	w->mask = keep(&at, a->mask);
	w->now.heard = of->generation;
	list_push(&of->watches, &w->node);
	w->sub = sub_accept(re->subs, t, m, from, &accept, &ops, w, &why, h);
	if (w->sub) {
		log_info(&re->log, "watch", "trunk=%.*s watcher=%u number=%.*s", STR(a->owner->name), w->watcher_id, STR(w->number));
		return REASON_NONE;
	}
	watch_free(w);
	return why;
}

bool reg_events_view(const struct reg_events *re, const struct sub_view *v, uint32_t *ret_owner_id, struct str *ret_number)
{
	const struct watch *w = v->owner;

	if (v->role != SUB_NOTIFIER || !w || !str_eq(v->event.package, S("reg")) || !re)
		return false;
	*ret_owner_id = w->of->trunk_id;
	*ret_number = w->number;
	return true;
}

/* ------------------------------------------------------------------ news */

static void news(struct watch *w, struct str number, bool refresh)
{
	struct news *now = &w->now;
	bool other = (now->all || now->walking || now->n) && !now->refresh;

	now->refresh = refresh && !other;
	if (number.n == 0 || w->number.n || !w->re->policy) {
		now->all = true;
	} else {
		for (unsigned i = 0; i < now->n; i++)
			if (str_eq(str_z(now->dirty[i]), number))
				number = STR_NONE;
		if (number.n && now->n == DIRTY_MAX) {
			now->all = true;
		} else if (number.n) {
			memcpy(now->dirty[now->n], number.p, number.n);
			now->dirty[now->n++][number.n] = '\0';
		}
	}
	sub_changed(w->sub, false);
}

static void note_ended(struct watched *of, const struct reg_contact *c, enum reginfo_event event)
{
	struct ended *e = &of->ended[++of->generation % ENDED_MAX];

	*e = (struct ended){.at = of->generation, .id = c->id, .event = event, .bulk = c->bulk};
	if (c->aor.n < sizeof(e->aor) && c->uri.n <= sizeof(e->uri)) {
		e->n_aor = (uint16_t)c->aor.n;
		e->n_uri = (uint16_t)c->uri.n;
		if (c->aor.n)
			memcpy(e->aor, c->aor.p, c->aor.n);
		memcpy(e->uri, c->uri.p, c->uri.n);
	} else {
		e->at = 0; /* only missed */
	}
}

void reg_events_note(struct reg_events *re, uint32_t trunk_id, const struct reg_contact *c, enum reason why)
{
	struct watched *of = c ? find(re, trunk_id) : NULL;
	const struct pol_trunk *t = of && re->policy ? policy_trunk(re->policy, trunk_id) : NULL;
	bool refresh = why == REASON_NONE && re->env->clock->wall_us - c->since_wall_us > 1000000;

	if (!t)
		return;
	switch (why) {
	case REASON_NONE:
		break;
	case REASON_REG_OVER:
		note_ended(of, c, REGINFO_EXPIRED);
		break;
	case REASON_REG_REMOVED:
		note_ended(of, c, REGINFO_UNREGISTERED);
		break;
	case REASON_REG_KICKED:
		note_ended(of, c, REGINFO_DEACTIVATED);
		break;
	default:
		return;
	}
	list_each(n, &of->watches)
	{
		struct watch *w = container_of(n, struct watch, node);

		if (w->only_until && why == REASON_NONE && (!c->aor.n || str_eq(c->aor, w->number))) {
			sub_end(w->sub, SIP_SUBWHY_DEACTIVATED, 0);
			continue;
		}
		if (refresh && by_numbers(w, t) && !c->aor.n && t->n_numbers > REFRESH_NUMBERS_MAX)
			continue;
		if (w->number.n && c->aor.n && !str_eq(c->aor, w->number))
			continue;
		if (!w->number.n && c->aor.n && !by_numbers(w, t))
			continue; /* a number of a trunk that is told as its own address */
		news(w, c->aor, refresh);
	}
}

/* ------------------------------------------------------------------ life */

static bool registers(const struct pol_trunk *t)
{
	return t && t->role == POL_PBX && t->reg.auth != POL_AUTH_STATIC && t->reg.event != POL_REG_EVENT_OFF;
}

static void review(struct watch *w, const struct pol_trunk *t, bool renumbered)
{
	const struct pol_trunk *watcher = policy_trunk(w->re->policy, w->watcher_id);
	const struct pol_number *n = w->number.n ? policy_number(w->re->policy, w->number) : NULL;

	if (!registers(t) || (w->number.n && (!n || n->trunk_id != t->id)))
		sub_end(w->sub, SIP_SUBWHY_NORESOURCE, 0);
	else if (!watcher || watcher->admin == POL_DISABLED || !policy_may_watch(t, watcher))
		sub_end(w->sub, SIP_SUBWHY_REJECTED, 0);
	else if (renumbered && !w->number.n)
		news(w, STR_NONE, false);
}

void reg_events_set_policy(struct reg_events *re, struct policy *p)
{
	struct policy *old = re->policy;
	struct hnode *n, *next;

	re->policy = policy_ref(p);
	policy_unref(old);
	for (n = htab_walk(&re->owners, NULL); n; n = next) {
		struct watched *of = container_of(n, struct watched, node);
		const struct pol_trunk *t = policy_trunk(p, of->trunk_id);
		uint64_t print = t ? print_of(re, t) : 0;
		bool renumbered = print != of->print;

		next = htab_walk(&re->owners, n);
		of->print = print;
		list_each(l, &of->watches)
			review(container_of(l, struct watch, node), t, renumbered);
	}
}

struct reg_events *reg_events_new(const struct env *env, struct subs *subs, struct reg *r)
{
	struct reg_events *re = calloc(1, sizeof(*re));

	if (!re)
		return NULL;
	*re = (struct reg_events){.env = env, .subs = subs, .reg = r, .log = {.to = env->logger, .area = LOG_SIP}};
	if (htab_init(&re->owners, 16) == 0)
		return re;
	free(re);
	return NULL;
}

void reg_events_start(struct reg_events *re, struct targets *targets)
{
	re->targets = targets;
}

void reg_events_free(struct reg_events *re)
{
	struct hnode *n;

	if (!re)
		return;
	while ((n = htab_walk(&re->owners, NULL))) {
		struct watched *of = container_of(n, struct watched, node);
		struct watch *w = container_of(of->watches.next, struct watch, node);

		sub_forget(w->sub);
		watch_free(w); /* the last one takes of with it */
	}
	htab_fini(&re->owners);
	policy_unref(re->policy);
	free(re);
}
