/* registrar.c - what a REGISTER asks for, and what it gets.
 *
 *   reg_request: checks that need no bindings -> struct work in the queue of its address of record
 *   work_begin:  first of its queue: compares with the bindings, makes the change -> store
 *   reg_stored:  changes the bindings, answers, begins the next of the queue
 *
 * A work holds copies of what it needs, for the message is gone when its turn comes; it lives until it is answered.
 * Its transaction may end before (the client gave up): the change is then made all the same, as it was asked for.
 *
 * Identity: the account is found by the user name of the credentials, the address of record by To. An account may
 * register its trunk's own address, and each number of the trunk (GINS-09). Who it is is decided before what exists
 * is told (RGS-01).
 */
#include "sbc/reg/reg.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "sbc/base/arena.h"
#include "sbc/base/list.h"
#include "sbc/reg/gin.h"
#include "sbc/sip/header.h"
#include "sbc/sip/print.h"

#define CONTACTS_MAX 16   /* in one REGISTER */
#define QUEUE_MAX 8       /* REGISTERs of one address that wait for the store */
#define ANSWER_MAX 49152  /* bytes of headers of a 200 */
#define TEXT_MAX 512      /* bytes of a Contact's URI, of its parameters, of a Call-ID */
#define PATH_MAX_BYTES 2048
#define INSTANCE_MAX 128
#define FLOW_TIMER_S 120

static const char *const metric_names[REG_METRICS] = {
    "requests", "challenged", "accepted", "queries", "refused", "failed", "expired", "bindings"};

struct asked {
	struct str uri, params, instance;
	uint32_t reg_id, expires_s;
	uint16_t q;
	bool bulk;
};

/* Those who wait for one address of record; the first is being stored. */
struct turn {
	struct hnode node;
	struct list works;
	unsigned n;
	uint32_t trunk_id;
	struct str aor; /* in the arena of the first work: moved on with it */
};

struct work {
	struct list node;
	struct hnode by_token;
	struct reg *r;
	struct turn *turn;
	uint64_t token;
	struct txn_srv *t;     /* borrow; NULL: ended */
	struct arena *arena;   /* own; the work lives in it */
	struct policy *policy; /* ref */
	const struct pol_trunk *trunk; /* borrow: policy */
	struct str aor;        /* number, or empty */
	struct str domain;     /* of To, for GRUUs */
	struct str call_id, path, user_agent;
	uint32_t cseq;
	struct net_path flow;
	struct asked c[CONTACTS_MAX];
	unsigned n;
	bool star, gruu, outbound;
	bool lost; /* no memory for a copy */
	bool over; /* while the refresh of a binding was stored, its time ended */
	/* the change, while it is stored */
	struct reg_contact put[CONTACTS_MAX];
	uint64_t del[CONTACTS_MAX + 100];
	unsigned n_put, n_del;
};

struct reg {
	const struct env *env;
	const struct reg_user *user;
	void *ctx;
	struct reg_cfg cfg;
	struct log log;
	struct policy *policy; /* ref */
	struct bindings *bindings;
	struct auth *auth;
	struct arena_pool pool;
	struct htab turns, tokens;
	uint64_t next_id, next_token;
	struct gin_secret secret; /* of temp-gruu-cookies */
	uint64_t metrics[REG_METRICS];
	struct metric_set set;
};

static void work_begin(struct work *w);
static struct work *storing(const struct reg *r, const struct reg_contact *c, unsigned *ret_put);

/* ------------------------------------------------------------------ life */

static void on_over(void *ctx, const struct reg_contact *c)
{
	struct reg *r = ctx;
	const struct reg_change ch = {.del = &c->id, .n_del = 1};
	char at[ADDR_TEXT_MAX];

	struct work *w = storing(r, c, NULL);

	r->metrics[REG_BINDINGS] = bindings_count(r->bindings);
	if (w) { /* its refresh came in time: the row that is being written stays */
		w->over = true;
		return;
	}
	r->metrics[REG_EXPIRED]++;
	log_warn(&r->log, "registration_over", "trunk=%u from=%s", c->trunk_id, addr_text(&c->flow.remote, at));
	(void)r->user->store(r->ctx, &ch, 0);
	r->user->on_event(r->ctx, c->trunk_id, c, REASON_REG_OVER);
}

struct reg *reg_new(const struct env *env, const struct reg_cfg *cfg, const struct reg_user *user, void *ctx)
{
	struct reg *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->env = env;
	r->cfg = *cfg;
	r->user = user;
	r->ctx = ctx;
	r->log = (struct log){.to = env->logger, .area = LOG_SIP};
	arena_pool_init(&r->pool, 8192, 64);
	rng_bytes(env->rng, r->secret.key, sizeof(r->secret.key));
	r->next_token = 1;
	/* ids go on where an earlier run cannot have been, whatever it left in the database */
	r->next_id = ((uint64_t)(env->clock->wall_us / 1000000) << 24) + 1;
	r->bindings = bindings_new(env, on_over, r);
	r->auth = auth_new(env, &cfg->auth);
	if (!r->bindings || !r->auth || htab_init(&r->turns, 64) < 0 || htab_init(&r->tokens, 64) < 0) {
		reg_free(r);
		return NULL;
	}
	r->set = (struct metric_set){.area = "reg", .names = metric_names, .values = r->metrics, .n = REG_METRICS};
	if (env->metrics)
		metrics_add(env->metrics, &r->set);
	return r;
}

static const struct txn_srv_ops work_ops;

static void work_free(struct work *w)
{
	if (w->t)
		txn_srv_bind(w->t, NULL, NULL);
	policy_unref(w->policy);
	arena_free(w->arena);
}

static void turn_free(struct reg *r, struct turn *u)
{
	htab_del(&r->turns, &u->node);
	free(u);
}

void reg_free(struct reg *r)
{
	struct hnode *n, *next;

	if (!r)
		return;
	for (n = r->turns.bucket ? htab_walk(&r->turns, NULL) : NULL; n; n = next) {
		struct turn *u = container_of(n, struct turn, node);

		next = htab_walk(&r->turns, n);
		list_each(l, &u->works)
		{
			struct work *w = container_of(l, struct work, node);

			list_del(&w->node);
			work_free(w);
		}
		turn_free(r, u);
	}
	if (r->turns.bucket)
		htab_fini(&r->turns);
	if (r->tokens.bucket)
		htab_fini(&r->tokens);
	bindings_free(r->bindings);
	auth_free(r->auth);
	metrics_del(&r->set);
	policy_unref(r->policy);
	arena_pool_fini(&r->pool);
	free(r);
}

static bool registers(const struct pol_trunk *t)
{
	return t && t->role == POL_PBX && t->reg.auth != POL_AUTH_STATIC;
}

/* The binding ends from outside, and its row is deleted: a refresh under way does not bring it back. */
static void strike(struct reg *r, const struct reg_contact *c)
{
	unsigned put;
	struct work *w = storing(r, c, &put);

	if (w)
		w->put[put].id = 0;
}

/* May the address have bindings, by the policy of now? */
static bool fits(const struct reg *r, uint32_t trunk_id, unsigned realm, struct str aor)
{
	const struct pol_trunk *t = r->policy ? policy_trunk(r->policy, trunk_id) : NULL;
	const struct pol_number *n;

	if (!registers(t) || t->realm != realm)
		return false;
	n = aor.n ? policy_number(r->policy, aor) : NULL;
	return aor.n == 0 || (n && n->trunk_id == trunk_id);
}

void reg_set_policy(struct reg *r, struct policy *p)
{
	const struct reg_contact *c, *next;
	struct policy *old = r->policy;

	r->policy = policy_ref(p);
	policy_unref(old);
	for (c = bindings_walk(r->bindings, NULL); c; c = next) {
		const struct reg_change ch = {.del = &c->id, .n_del = 1};

		next = bindings_walk(r->bindings, c);
		if (fits(r, c->trunk_id, c->flow.realm, c->aor))
			continue;
		strike(r, c);
		(void)r->user->store(r->ctx, &ch, 0);
		(void)bindings_del(r->bindings, c->id);
	}
	r->metrics[REG_BINDINGS] = bindings_count(r->bindings);
}

int reg_restore(struct reg *r, struct reg_contact *c)
{
	const struct reg_change gone = {.del = &c->id, .n_del = 1};
	int64_t left_us = c->expires_wall_us - r->env->clock->wall_us, max_us;
	const struct pol_trunk *t;
	int e;

	if (c->id >= r->next_id)
		r->next_id = c->id + 1;
	if (!fits(r, c->trunk_id, c->flow.realm, c->aor)) {
		(void)r->user->store(r->ctx, &gone, 0);
		return -ENOENT;
	}
	/* a wall clock that was set back makes nobody's registration longer than it may be */
	t = policy_trunk(r->policy, c->trunk_id);
	max_us = (int64_t)t->reg.max_s * 1000000;
	c->expires_us = r->env->clock->mono_us + (left_us < max_us ? left_us : max_us);
	e = bindings_put(r->bindings, c);
	auth_prove(r->auth, &c->flow.remote, t->reg.auth_user);
	r->metrics[REG_BINDINGS] = bindings_count(r->bindings);
	return e;
}

struct bindings *reg_bindings(struct reg *r)
{
	return r->bindings;
}

struct auth *reg_auth(struct reg *r)
{
	return r->auth;
}

uint64_t reg_metric(const struct reg *r, enum reg_metric m)
{
	return r->metrics[m];
}

bool reg_kick(struct reg *r, uint64_t id)
{
	const struct reg_contact *c = bindings_find(r->bindings, id);
	const struct reg_change ch = {.del = &id, .n_del = 1};

	if (!c)
		return false;
	strike(r, c);
	(void)r->user->store(r->ctx, &ch, 0);
	r->user->on_event(r->ctx, c->trunk_id, c, REASON_REG_KICKED);
	(void)bindings_del(r->bindings, id);
	r->metrics[REG_BINDINGS] = bindings_count(r->bindings);
	return true;
}

/* ------------------------------------------------------------------ answers */

static void refuse(struct reg *r, struct txn_srv *t, const struct pol_trunk *trunk, enum reason why, struct str headers)
{
	r->metrics[REG_REFUSED]++;
	if (trunk)
		r->user->on_event(r->ctx, trunk->id, NULL, why);
	if (t && txn_srv_refuse(t, why, trunk && trunk->sip.trusted, headers) < 0)
		txn_srv_detach(t);
}

/* The digest realm of accounts that are not known: the one that those here are given by default. */
static struct str usual_realm(const struct reg *r, unsigned realm)
{
	const struct pol_realm *p = policy_realm(r->policy, realm);

	return p && p->n_domains ? p->domains[0] : r->cfg.realm;
}

static void challenge(struct reg *r, struct txn_srv *t, const struct pol_trunk *trunk, const struct net_path *from,
    bool stale)
{
	struct auth_ask ask = {.realm = trunk ? trunk->reg.realm : usual_realm(r, from->realm), .source = &from->remote, .stale = stale};
	char text[2048];
	struct buf h;

	for (unsigned i = 0; i < DIGEST_ALGS; i++)
		if (!trunk || (trunk->reg.ha1[i].n && i <= trunk->reg.digest))
			ask.algs |= AUTH_ALG(i);
	r->metrics[REG_CHALLENGED]++;
	buf_init(&h, text, sizeof(text));
	auth_challenge(r->auth, &ask, &h);
	if (buf_err(&h) || txn_srv_reply(t, &(struct txn_reply){.status = 401, .headers = buf_text(&h)}) < 0)
		txn_srv_detach(t);
}

static void put_date(struct buf *h, int64_t wall_us)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;

	if (!gmtime_r(&s, &tm))
		return;
	buf_fmt(h, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n", days + 3 * tm.tm_wday, tm.tm_mday,
	    months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void put_q(struct buf *h, uint16_t q)
{
	if (q == 1000)
		return;
	buf_fmt(h, ";q=0.%03u", q);
	while (h->n && h->p[h->n - 1] == '0' && h->p[h->n - 2] != '.')
		h->n--;
}

/* One Contact of the 200: uri is the binding's, or the implicit one of a number. */
static void put_contact(struct work *w, const struct reg_contact *c, struct str uri, struct buf *h)
{
	int64_t left = (c->expires_us - w->r->env->clock->mono_us + 999999) / 1000000;

	buf_lit(h, "Contact: <");
	buf_str(h, uri);
	buf_chr(h, '>');
	put_q(h, c->q);
	buf_lit(h, ";expires=");
	buf_u64(h, left > 0 ? (uint64_t)left : 0);
	if (c->instance.n) {
		buf_lit(h, ";+sip.instance=\"");
		buf_str(h, c->instance);
		buf_chr(h, '"');
	}
	if (c->reg_id) {
		buf_lit(h, ";reg-id=");
		buf_u64(h, c->reg_id);
	}
	if (c->params.n) {
		buf_chr(h, ';');
		buf_str(h, c->params);
	}
	if (w->gruu && c->instance.n) {
		char cookie[GIN_COOKIE_TEXT];

		buf_lit(h, ";pub-gruu=\"");
		if (c->bulk) {
			gin_put_pub_gruu(h, w->domain, c->instance);
		} else {
			buf_lit(h, "sip:");
			sip_put_user(h, w->aor.n ? w->aor : w->trunk->reg.user);
			buf_chr(h, '@');
			buf_str(h, w->domain);
			buf_lit(h, ";gr=");
			buf_str(h, str_n(c->instance.p + 1, c->instance.n - 2));
		}
		buf_chr(h, '"');
		if (c->bulk && gin_cookie(&w->r->secret, c->id, cookie) == 0) {
			buf_lit(h, ";temp-gruu-cookie=");
			buf_put(h, cookie, sizeof(cookie));
		}
	}
	buf_lit(h, "\r\n");
}

static void answer(struct work *w)
{
	struct reg *r = w->r;
	const struct reg_contact *c;
	struct sip_uri bulk;
	char text[ANSWER_MAX], uri[1024];
	struct buf h, u;

	if (!w->t)
		return;
	buf_init(&h, text, sizeof(text));
	for (c = bindings_next(r->bindings, w->trunk->id, w->aor, NULL); c;
	     c = bindings_next(r->bindings, w->trunk->id, w->aor, c))
		put_contact(w, c, c->uri, &h);
	/* of a number: the contacts it has through the trunk's bulk registrations (GINS-08) */
	for (c = w->aor.n ? bindings_next(r->bindings, w->trunk->id, STR_NONE, NULL) : NULL; c;
	     c = bindings_next(r->bindings, w->trunk->id, STR_NONE, c)) {
		buf_init(&u, uri, sizeof(uri));
		if (c->bulk && sip_uri_parse(c->uri, &bulk) == 0 && gin_expand(&bulk, w->aor, STR_NONE, &u) == 0)
			put_contact(w, c, buf_text(&u), &h);
	}
	if (w->path.n) {
		buf_lit(&h, "Path: ");
		buf_str(&h, w->path);
		buf_lit(&h, "\r\n");
	}
	if (w->outbound)
		buf_fmt(&h, "Require: outbound\r\nFlow-Timer: %d\r\n", FLOW_TIMER_S);
	put_date(&h, r->env->clock->wall_us);
	if (buf_err(&h)) {
		refuse(r, w->t, w->trunk, REASON_TOO_LARGE, STR_NONE);
		return;
	}
	if (txn_srv_reply(w->t, &(struct txn_reply){.status = 200, .headers = buf_text(&h)}) < 0)
		txn_srv_detach(w->t);
}

/* ------------------------------------------------------------------ queues */

static uint64_t turn_hash(const struct reg *r, uint32_t trunk_id, struct str aor)
{
	return hash_str(&r->env->hash_key, aor) ^ hash_bytes(&r->env->hash_key, &trunk_id, sizeof(trunk_id));
}

static struct turn *turn_find(const struct reg *r, uint32_t trunk_id, struct str aor)
{
	for (struct hnode *n = htab_first(&r->turns, turn_hash(r, trunk_id, aor)); n; n = htab_next(n)) {
		struct turn *u = container_of(n, struct turn, node);

		if (u->trunk_id == trunk_id && str_eq(u->aor, aor))
			return u;
	}
	return NULL;
}

static uint64_t token_hash(const struct reg *r, uint64_t token)
{
	return hash_bytes(&r->env->hash_key, &token, sizeof(token));
}

/* w is done: the next of its queue begins. */
static void work_end(struct work *w)
{
	struct turn *u = w->turn;
	struct reg *r = w->r;

	list_del(&w->node);
	u->n--;
	if (list_empty(&u->works)) {
		turn_free(r, u);
		work_free(w);
		return;
	}
	u->aor = container_of(u->works.next, struct work, node)->aor; /* equal bytes, longer life */
	work_free(w);
	work_begin(container_of(u->works.next, struct work, node));
}

static void work_queue(struct work *w)
{
	struct reg *r = w->r;
	struct turn *u = turn_find(r, w->trunk->id, w->aor);

	if (!u) {
		u = calloc(1, sizeof(*u));
		if (!u) {
			refuse(r, w->t, w->trunk, REASON_NO_MEMORY, STR_NONE);
			work_free(w);
			return;
		}
		list_init(&u->works);
		u->trunk_id = w->trunk->id;
		u->aor = w->aor;
		htab_add(&r->turns, &u->node, turn_hash(r, u->trunk_id, u->aor));
	} else if (u->n >= QUEUE_MAX) {
		refuse(r, w->t, w->trunk, REASON_REG_BUSY, S("Retry-After: 5\r\n"));
		work_free(w);
		return;
	}
	w->turn = u;
	list_push(&u->works, &w->node);
	if (u->n++ == 0)
		work_begin(w);
}

static void on_end(void *owner, struct txn_srv *t, int err)
{
	struct work *w = owner;

	(void)t;
	(void)err;
	w->t = NULL;
}

static void on_cancel(void *owner, struct txn_srv *t, const struct sip_msg *cancel)
{
	(void)owner;
	(void)t;
	(void)cancel; /* a REGISTER cannot be cancelled (RFC 3261 9.1) */
}

static const struct txn_srv_ops work_ops = {.on_cancel = on_cancel, .on_end = on_end};

/* ------------------------------------------------------------------ the change */

/* The work that is storing a new version of the binding; NULL: none. */
static struct work *storing(const struct reg *r, const struct reg_contact *c, unsigned *ret_put)
{
	struct turn *u = turn_find(r, c->trunk_id, c->aor);
	struct work *w = u && !list_empty(&u->works) ? container_of(u->works.next, struct work, node) : NULL;

	for (unsigned i = 0; w && w->token && i < w->n_put; i++) {
		if (w->put[i].id != c->id)
			continue;
		if (ret_put)
			*ret_put = i;
		return w;
	}
	return NULL;
}

/* The binding that this contact speaks of (RGS-10, KA-10, GINS-19); NULL: a new one. */
static const struct reg_contact *same(const struct work *w, const struct asked *a)
{
	struct sip_uri x, y;

	if (sip_uri_parse(a->uri, &x) < 0)
		return NULL;
	for (const struct reg_contact *c = bindings_next(w->r->bindings, w->trunk->id, w->aor, NULL); c;
	     c = bindings_next(w->r->bindings, w->trunk->id, w->aor, c)) {
		if (a->reg_id && c->reg_id) {
			if (a->reg_id == c->reg_id && str_eq(a->instance, c->instance))
				return c;
			continue;
		}
		if (a->reg_id || c->reg_id)
			continue;
		if (sip_uri_parse(c->uri, &y) == 0 && gin_contact_eq(&x, &y))
			return c;
	}
	return NULL;
}

/* Do both speak of one binding? */
static bool same_asked(const struct asked *a, const struct asked *b)
{
	struct sip_uri x, y;

	if (a->reg_id || b->reg_id)
		return a->reg_id == b->reg_id && str_eq(a->instance, b->instance);
	return sip_uri_parse(a->uri, &x) == 0 && sip_uri_parse(b->uri, &y) == 0 && gin_contact_eq(&x, &y);
}

static bool said_before(const struct work *w, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (same_asked(&w->c[k], &w->c[i]))
			return true;
	return false;
}

static bool is_deleted(const struct work *w, uint64_t id)
{
	for (unsigned i = 0; i < w->n_del; i++)
		if (w->del[i] == id)
			return true;
	return false;
}

static bool is_put(const struct work *w, uint64_t id)
{
	for (unsigned i = 0; i < w->n_put; i++)
		if (w->put[i].id == id)
			return true;
	return false;
}

static bool is_old(const struct work *w, const struct reg_contact *c)
{
	return str_eq(c->call_id, w->call_id) && w->cseq <= c->cseq;
}

static enum reason add_del(struct work *w, const struct reg_contact *c)
{
	if (is_old(w, c))
		return REASON_REG_ORDER;
	if (is_deleted(w, c->id))
		return REASON_NONE;
	if (w->n_del == ARRAY_LEN(w->del))
		return REASON_REG_FULL;
	w->del[w->n_del++] = c->id;
	return REASON_NONE;
}

static void add_put(struct work *w, const struct asked *a, const struct reg_contact *old)
{
	const struct clock *clock = w->r->env->clock;

	w->put[w->n_put++] = (struct reg_contact){.id = old ? old->id : w->r->next_id++,
	    .trunk_id = w->trunk->id,
	    .aor = w->aor,
	    .bulk = a->bulk,
	    .q = a->q,
	    .reg_id = a->reg_id,
	    .cseq = w->cseq,
	    .uri = a->uri,
	    .params = a->params,
	    .instance = a->instance,
	    .call_id = w->call_id,
	    .path = w->path,
	    .user_agent = w->user_agent,
	    .flow = w->flow,
	    .since_wall_us = old ? old->since_wall_us : clock->wall_us,
	    .expires_wall_us = clock->wall_us + (int64_t)a->expires_s * 1000000,
	    .expires_us = clock->mono_us + (int64_t)a->expires_s * 1000000};
}

/* Room for what is put: the number of bindings there will be stays within the limit (RGS-11). */
static enum reason make_room(struct work *w)
{
	const struct reg_contact *c, *oldest;
	unsigned n = w->n_put, added = 0;

	for (unsigned i = 0; i < w->n_put; i++)
		added += !bindings_find(w->r->bindings, w->put[i].id);
	if (!added)
		return REASON_NONE; /* a limit that was lowered does not take what there is */
	for (c = bindings_next(w->r->bindings, w->trunk->id, w->aor, NULL); c;
	     c = bindings_next(w->r->bindings, w->trunk->id, w->aor, c))
		n += !is_put(w, c->id) && !is_deleted(w, c->id);
	for (; n > w->trunk->reg.max_contacts; n--) {
		oldest = NULL;
		for (c = bindings_next(w->r->bindings, w->trunk->id, w->aor, NULL); c;
		     c = bindings_next(w->r->bindings, w->trunk->id, w->aor, c))
			if (!is_put(w, c->id) && !is_deleted(w, c->id) &&
			    (!oldest || c->since_wall_us < oldest->since_wall_us ||
			        (c->since_wall_us == oldest->since_wall_us && c->id < oldest->id)))
				oldest = c;
		if (!w->trunk->reg.replace || !oldest || w->n_del == ARRAY_LEN(w->del))
			return REASON_REG_FULL;
		w->del[w->n_del++] = oldest->id;
	}
	return REASON_NONE;
}

static enum reason make_change(struct work *w)
{
	enum reason why = REASON_NONE;

	w->n_put = w->n_del = 0;
	if (w->star) {
		for (const struct reg_contact *c = bindings_next(w->r->bindings, w->trunk->id, w->aor, NULL); c && !why;
		     c = bindings_next(w->r->bindings, w->trunk->id, w->aor, c))
			why = add_del(w, c);
		return why;
	}
	for (unsigned i = 0; i < w->n && !why; i++) {
		const struct asked *a = &w->c[i];
		const struct reg_contact *old = same(w, a);

		if (said_before(w, i))
			continue;
		if (old && is_old(w, old))
			return REASON_REG_ORDER;
		if (a->expires_s == 0) {
			if (old)
				why = add_del(w, old);
		} else if (!old || !is_put(w, old->id)) { /* the same contact twice in one REGISTER: once */
			add_put(w, a, old);
		}
	}
	return why ? why : make_room(w);
}

static void not_stored(struct work *w, enum reason why)
{
	struct reg *r = w->r;

	r->metrics[REG_FAILED]++;
	if (w->t && txn_srv_reply(w->t, &(struct txn_reply){.status = 500, .headers = S("Retry-After: 10\r\n")}) < 0)
		txn_srv_detach(w->t);
	r->user->on_event(r->ctx, w->trunk->id, NULL, why);
}

static void work_begin(struct work *w)
{
	struct reg *r = w->r;
	enum reason why = fits(r, w->trunk->id, w->flow.realm, w->aor) ? make_change(w) : REASON_REG_UNKNOWN;
	const struct reg_change ch = {w->put, w->n_put, w->del, w->n_del};

	if (why != REASON_NONE) {
		refuse(r, w->t, w->trunk, why, STR_NONE);
		work_end(w);
		return;
	}
	if (!w->n_put && !w->n_del) {
		r->metrics[REG_QUERIES]++;
		answer(w);
		work_end(w);
		return;
	}
	w->token = r->next_token++;
	htab_add(&r->tokens, &w->by_token, token_hash(r, w->token));
	if (r->user->store(r->ctx, &ch, w->token) < 0) {
		htab_del(&r->tokens, &w->by_token);
		w->token = 0;
		not_stored(w, REASON_NO_MEMORY);
		work_end(w);
	}
}

static struct work *work_find(const struct reg *r, uint64_t token)
{
	for (struct hnode *n = htab_first(&r->tokens, token_hash(r, token)); n; n = htab_next(n)) {
		struct work *w = container_of(n, struct work, by_token);

		if (w->token == token)
			return w;
	}
	return NULL;
}

static enum reason apply(struct work *w)
{
	struct reg *r = w->r;
	enum reason why = REASON_NONE;

	for (unsigned i = 0; i < w->n_del; i++) {
		const struct reg_contact *c = bindings_find(r->bindings, w->del[i]);

		if (!c)
			continue;
		r->user->on_event(r->ctx, w->trunk->id, c, REASON_REG_REMOVED);
		(void)bindings_del(r->bindings, w->del[i]);
	}
	for (unsigned i = 0; i < w->n_put; i++) {
		if (!w->put[i].id)
			continue;
		if (bindings_put(r->bindings, &w->put[i]) < 0)
			why = REASON_NO_MEMORY;
		else
			r->user->on_event(r->ctx, w->trunk->id, &w->put[i], REASON_NONE);
	}
	r->metrics[REG_BINDINGS] = bindings_count(r->bindings);
	return why;
}

/* Rows of bindings that are not, or no longer, in force. */
static void unstore(struct work *w)
{
	struct reg *r = w->r;

	for (unsigned i = 0; i < w->n_put; i++) {
		const struct reg_change ch = {.del = &w->put[i].id, .n_del = 1};

		if (w->put[i].id && !bindings_find(r->bindings, w->put[i].id))
			(void)r->user->store(r->ctx, &ch, 0);
	}
}

void reg_stored(struct reg *r, uint64_t token, enum reason why)
{
	struct work *w = work_find(r, token);

	if (!w)
		return;
	htab_del(&r->tokens, &w->by_token);
	w->token = 0;
	if (why == REASON_NONE && !fits(r, w->trunk->id, w->flow.realm, w->aor)) {
		unstore(w); /* the trunk or its number went while it was written */
		refuse(r, w->t, w->trunk, REASON_REG_UNKNOWN, STR_NONE);
		work_end(w);
		return;
	}
	if (why == REASON_NONE) {
		why = apply(w);
		unstore(w); /* no memory for it, or its time ended before it was stored */
	} else if (w->over) {
		unstore(w);
	}
	if (why == REASON_NONE) {
		r->metrics[REG_ACCEPTED]++;
		answer(w);
	} else {
		not_stored(w, why);
	}
	work_end(w);
}

/* ------------------------------------------------------------------ reading */

/* Everything of the parameters but what has a field of its own. */
static struct str other_params(struct arena *arena, struct str params)
{
	char *p = arena_alloc(arena, params.n + 1);
	struct str rest = params, name, value;
	struct buf b;

	if (!p)
		return STR_NONE;
	buf_init(&b, p, params.n + 1);
	while (sip_param_next(&rest, &name, &value)) {
		if (str_ieq(name, S("q")) || str_ieq(name, S("expires")) || str_ieq(name, S("+sip.instance")) ||
		    str_ieq(name, S("reg-id")) || str_ieq(name, S("pub-gruu")) || str_ieq(name, S("temp-gruu")) ||
		    str_ieq(name, S("temp-gruu-cookie")))
			continue;
		if (b.n)
			buf_chr(&b, ';');
		buf_str(&b, name);
		if (value.p) {
			buf_chr(&b, '=');
			buf_str(&b, value);
		}
	}
	return buf_err(&b) ? STR_NONE : buf_text(&b);
}

/* "1", "0.5", "1.000"; what is not one counts as 1 */
static uint16_t read_q(struct str s)
{
	struct str whole, frac = str_cut(s, '.', &whole);
	uint32_t n = 1;

	if (str_u32(whole, 1, &n) < 0 || frac.n > 3 || n == 1)
		return 1000;
	n = 0;
	for (size_t i = 0; i < 3; i++) {
		if (i < frac.n && !chr_digit(frac.p[i]))
			return 1000;
		n = n * 10 + (i < frac.n ? (uint32_t)(frac.p[i] - '0') : 0);
	}
	return (uint16_t)n;
}

/* seconds; malformed: 3600 (RFC 3261 10.3, 20.19) */
static uint32_t read_expires(struct str s)
{
	uint64_t v;
	int e = str_u64(s, UINT32_MAX, &v);

	return e == -ERANGE ? UINT32_MAX : e < 0 ? 3600 : (uint32_t)v;
}

static struct str copy(struct work *w, struct str s)
{
	struct str c = str_dup(w->arena, s);

	w->lost = w->lost || !c.p;
	return c;
}

/* Between the quotes and brackets of +sip.instance: a URN, which goes into URIs as it is. */
static bool instance_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= 'A' && s.p[i] <= 'Z') && !chr_digit(s.p[i]) &&
		    (!s.p[i] || !strchr("-_.!~*'():@=+$,%/", s.p[i])))
			return false;
	return s.n > 0 && s.n <= INSTANCE_MAX;
}

static enum reason read_contact(struct work *w, struct str value, const struct sip_msg *m, struct buf *h)
{
	const struct pol_trunk *t = w->trunk;
	struct asked *a = &w->c[w->n];
	enum gin_kind kind;
	struct sip_addr addr;
	struct str v;
	uint32_t s;
	enum reason why;

	if (sip_addr_parse(value, &addr) < 0 ||
	    (addr.uri.scheme != SIP_SCHEME_SIP && addr.uri.scheme != SIP_SCHEME_SIPS && addr.uri.scheme != SIP_SCHEME_TEL))
		return REASON_MALFORMED;
	why = gin_kind_of(&addr.uri, &kind);
	if (why != REASON_NONE)
		return why;
	if (w->n == CONTACTS_MAX)
		return REASON_REG_FULL;
	if (addr.uri.raw.n > TEXT_MAX || addr.params.n > TEXT_MAX)
		return REASON_MALFORMED;
	*a = (struct asked){.bulk = kind == GIN_BULK, .q = 1000, .expires_s = t->reg.expires_s};
	if (a->bulk && w->aor.n)
		return REASON_GIN_CONTACT; /* of one number there is nothing in bulk */
	if (a->bulk && !sip_has_token(m, SIP_H_REQUIRE, S("gin")) && (t->reg.auth != POL_AUTH_GIN || t->reg.gin_strict)) {
		buf_lit(h, "Require: gin\r\n");
		return REASON_GIN_REQUIRED;
	}
	if (sip_param_get(addr.params, S("expires"), &v))
		a->expires_s = read_expires(v);
	else if (sip_hdr(m, SIP_H_EXPIRES))
		a->expires_s = read_expires(str_trim(sip_hdr_value(m, SIP_H_EXPIRES)));
	if (a->expires_s > 0 && a->expires_s < t->reg.min_s && a->expires_s < 3600) {
		buf_fmt(h, "Min-Expires: %u\r\n", t->reg.min_s);
		return REASON_REG_BRIEF;
	}
	if (a->expires_s > t->reg.max_s)
		a->expires_s = t->reg.max_s;
	if (sip_param_get(addr.params, S("q"), &v))
		a->q = read_q(v);
	if (sip_param_get(addr.params, S("+sip.instance"), &v) && v.n > 4 && v.p[0] == '"' && v.p[1] == '<' &&
	    v.p[v.n - 2] == '>') {
		if (!instance_ok(str_n(v.p + 2, v.n - 4)))
			return REASON_MALFORMED;
		a->instance = copy(w, str_n(v.p + 1, v.n - 2));
	}
	if (a->instance.n && sip_param_get(addr.params, S("reg-id"), &v) && str_u32(v, INT32_MAX, &s) == 0)
		a->reg_id = s;
	a->uri = copy(w, addr.uri.raw);
	a->params = other_params(w->arena, addr.params);
	w->lost = w->lost || !a->params.p;
	if (w->lost)
		return REASON_NO_MEMORY;
	w->n++;
	return REASON_NONE;
}

static enum reason read_contacts(struct work *w, const struct sip_msg *m, struct buf *h)
{
	struct sip_values values = sip_values(m, SIP_H_CONTACT);
	enum reason why = REASON_NONE;
	struct str v;
	unsigned n = 0;

	while (why == REASON_NONE && sip_values_next(&values, &v)) {
		n++;
		if (str_eq(v, S("*")))
			w->star = true;
		else
			why = read_contact(w, v, m, h);
	}
	if (why == REASON_NONE && w->star &&
	    (n > 1 || !sip_hdr(m, SIP_H_EXPIRES) || read_expires(str_trim(sip_hdr_value(m, SIP_H_EXPIRES))) != 0))
		why = REASON_REG_STAR;
	return why;
}

/* Path, as it will be the Route of calls (RFC 3327 5.3): every value a name-addr with a SIP URI. */
static enum reason read_path(struct work *w, const struct sip_msg *m)
{
	struct sip_values values = sip_values(m, SIP_H_PATH);
	struct sip_addr a;
	struct buf b;
	size_t n = 0;
	struct str v;
	char *p;

	while (sip_values_next(&values, &v)) {
		if (str_chr(v, '<') < 0 || sip_addr_parse(v, &a) < 0 ||
		    (a.uri.scheme != SIP_SCHEME_SIP && a.uri.scheme != SIP_SCHEME_SIPS))
			return REASON_MALFORMED;
		n += v.n + 2;
	}
	if (n > PATH_MAX_BYTES)
		return REASON_MALFORMED;
	if (!n)
		return REASON_NONE;
	p = arena_alloc(w->arena, n);
	if (!p)
		return REASON_NO_MEMORY;
	buf_init(&b, p, n);
	values = sip_values(m, SIP_H_PATH);
	while (sip_values_next(&values, &v)) {
		if (b.n)
			buf_lit(&b, ", ");
		buf_str(&b, v);
	}
	w->path = buf_text(&b);
	return REASON_NONE;
}

/* ------------------------------------------------------------------ who, and for what */

struct check {
	const struct reg *r;
	unsigned realm;
	const struct pol_trunk *account; /* found by lookup */
	struct str auth_realm;
};

static bool host_ours(const struct reg *r, unsigned realm, const struct sip_uri *u)
{
	struct addr a;

	return (sip_uri_addr(u, &a) && r->user->is_local(r->ctx, realm, &a)) || policy_host_is_ours(r->policy, realm, u->host);
}

static bool uri_ok(void *ctx, struct str host)
{
	const struct check *c = ctx;
	struct sip_uri u = {.scheme = SIP_SCHEME_SIP, .host = host};
	struct addr a;

	if (sip_uri_addr(&u, &a))
		addr_set_port(&a, 0);
	return (sip_uri_addr(&u, &a) && c->r->user->is_local(c->r->ctx, c->realm, &a)) ||
	       policy_host_is_ours(c->r->policy, c->realm, host);
}

static bool lookup(void *ctx, struct str user, struct auth_account *ret)
{
	struct check *c = ctx;
	const struct pol_trunk *t = policy_registrant(c->r->policy, c->realm, user);

	if (!t || !str_eq(t->reg.auth_user, user) || !str_eq(t->reg.realm, c->auth_realm))
		return false;
	for (unsigned i = 0; i < DIGEST_ALGS; i++) {
		ret->ha1[i].n = (uint8_t)t->reg.ha1[i].n;
		if (t->reg.ha1[i].n)
			memcpy(ret->ha1[i].hex, t->reg.ha1[i].p, t->reg.ha1[i].n);
	}
	c->account = t;
	return true;
}

/* The trunk that To speaks of, and the number of it; false: nobody's. t: whose number rules apply, NULL: none known. */
static bool find_aor(const struct reg *r, unsigned realm, const struct sip_msg *m, const struct pol_trunk *t,
    const struct pol_trunk **ret_trunk, struct buf *ret_number)
{
	const struct pol_number *n;
	char user[256], number[256];
	struct buf u, d;

	buf_init(&u, user, sizeof(user));
	sip_unescape(&u, m->to.uri.user);
	*ret_trunk = buf_err(&u) ? NULL : policy_registrant(r->policy, realm, buf_text(&u));
	if (*ret_trunk && str_eq((*ret_trunk)->reg.user, buf_text(&u)))
		return true;
	*ret_trunk = NULL;
	buf_init(&d, number, sizeof(number));
	if (sip_uri_number(&m->to.uri, &d) < 0)
		return false;
	if (t)
		policy_number_in(t, buf_text(&d), ret_number);
	else
		buf_str(ret_number, buf_text(&d));
	n = buf_err(ret_number) ? NULL : policy_number(r->policy, buf_text(ret_number));
	*ret_trunk = n ? policy_trunk(r->policy, n->trunk_id) : NULL;
	if (registers(*ret_trunk) && (*ret_trunk)->realm == realm)
		return true;
	*ret_trunk = NULL;
	return false;
}

/* Option tags that we cannot do for this trunk; false with the Unsupported line (RGS-01, GINS-15). */
static bool require_ok(const struct sip_msg *m, const struct pol_trunk *t, struct buf *h)
{
	static const enum sip_hdr_id where[] = {SIP_H_REQUIRE, SIP_H_PROXY_REQUIRE};
	bool bad = false;

	for (unsigned i = 0; i < ARRAY_LEN(where); i++) {
		struct sip_values values = sip_values(m, where[i]);
		struct str tag;

		while (sip_values_next(&values, &tag)) {
			/* of a trunk that is not known yet nothing is told: GIN may well be on */
			bool gin = str_ieq(tag, S("gin")) && (!t || t->reg.auth == POL_AUTH_GIN);

			if (gin || str_ieq(tag, S("path")) || str_ieq(tag, S("outbound")) || str_ieq(tag, S("gruu")))
				continue;
			buf_str(h, bad ? S(", ") : S("Unsupported: "));
			buf_str(h, tag);
			bad = true;
		}
	}
	if (bad)
		buf_lit(h, "\r\n");
	return !bad;
}

/* Did the first proxy promise to keep the flow (RFC 5626 5.1)? With a single Via there is none. */
static bool first_hop_ok(const struct sip_msg *m)
{
	struct sip_values values = sip_values(m, SIP_H_PATH);
	struct str v, last = STR_NONE;
	struct sip_addr a;

	if (m->n_via <= 1)
		return true;
	while (sip_values_next(&values, &v))
		last = v; /* the first hop's is the last */
	return last.n && sip_addr_parse(last, &a) == 0 && sip_param_get(a.uri.params, S("ob"), NULL);
}

static enum reason wants_outbound(struct work *w, const struct sip_msg *m)
{
	bool flows = false;

	for (unsigned i = 0; i < w->n; i++)
		flows = flows || (w->c[i].reg_id && w->c[i].expires_s);
	if (!flows)
		return REASON_NONE;
	if (sip_has_token(m, SIP_H_SUPPORTED, S("outbound")) || sip_has_token(m, SIP_H_REQUIRE, S("outbound"))) {
		if (!first_hop_ok(m))
			return REASON_REG_OUTBOUND;
		w->outbound = true;
		return REASON_NONE;
	}
	for (unsigned i = 0; i < w->n; i++)
		w->c[i].reg_id = 0; /* without outbound it means nothing */
	return REASON_NONE;
}

static struct work *work_new(struct reg *r, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from,
    const struct pol_trunk *trunk, struct str aor)
{
	struct arena *arena = arena_new(&r->pool);
	struct work *w = arena ? arena_zalloc(arena, sizeof(*w)) : NULL;

	if (!w) {
		arena_free(arena);
		return NULL;
	}
	w->arena = arena;
	w->r = r;
	w->t = t;
	w->policy = policy_ref(r->policy);
	w->trunk = trunk;
	w->aor = copy(w, aor);
	w->domain = copy(w, m->to.uri.host);
	w->call_id = copy(w, m->call_id);
	w->cseq = m->cseq;
	w->flow = *from;
	w->flow.local = (struct addr){.sa = {.sa_family = AF_UNSPEC}};
	w->user_agent = copy(w, str_head(sip_hdr_value(m, SIP_H_USER_AGENT), 128));
	w->gruu = sip_has_token(m, SIP_H_SUPPORTED, S("gruu")) || sip_has_token(m, SIP_H_REQUIRE, S("gruu"));
	return w;
}

void reg_request(struct reg *r, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	const struct pol_trunk *guess, *trunk;
	struct check check = {.r = r, .realm = from->realm};
	char text[1024], number[64];
	enum auth_verdict verdict;
	enum reason why;
	struct buf h, n;
	struct str user;
	struct work *w;

	r->metrics[REG_REQUESTS]++;
	buf_init(&h, text, sizeof(text));
	buf_init(&n, number, sizeof(number));
	if (m->ruri.scheme != SIP_SCHEME_SIP && m->ruri.scheme != SIP_SCHEME_SIPS) {
		refuse(r, t, NULL, REASON_SCHEME, STR_NONE);
		return;
	}
	if (!host_ours(r, from->realm, &m->ruri)) {
		refuse(r, t, NULL, REASON_RELAY_DENIED, STR_NONE);
		return;
	}
	(void)find_aor(r, from->realm, m, NULL, &guess, &n);
	if (guess && guess->sip.nat)
		txn_srv_set_symmetric(t);
	/* what none of our trunks can do; whether this one does GIN is told to those who may register it */
	if (!require_ok(m, NULL, &h)) {
		refuse(r, t, guess, REASON_OPTION_TAG, buf_err(&h) ? STR_NONE : buf_text(&h));
		return;
	}
	check.auth_realm = guess && guess->reg.realm.n ? guess->reg.realm : usual_realm(r, from->realm);
	verdict = auth_check(r->auth,
	    &(struct auth_check){.msg = m,
	        .realm = check.auth_realm,
	        .source = &from->remote,
	        .algs = AUTH_ALG(DIGEST_MD5) | AUTH_ALG(DIGEST_SHA256) | AUTH_ALG(DIGEST_SHA512_256),
	        .allow_no_qop = guess && guess->reg.no_qop,
	        .uri_ok = uri_ok,
	        .lookup = lookup,
	        .ctx = &check},
	    &user);
	switch (verdict) {
	case AUTH_ABSENT:
	case AUTH_STALE:
		challenge(r, t, guess && guess->reg.realm.n ? guess : NULL, from, verdict == AUTH_STALE);
		return;
	case AUTH_MALFORMED:
		refuse(r, t, guess, REASON_MALFORMED, STR_NONE);
		return;
	case AUTH_WRONG:
	case AUTH_SLOWED:
		refuse(r, t, guess, REASON_REG_REJECTED, STR_NONE);
		return;
	case AUTH_OK:
		break;
	}
	buf_init(&n, number, sizeof(number));
	if (!uri_ok(&check, m->to.uri.host) || !find_aor(r, from->realm, m, check.account, &trunk, &n)) {
		refuse(r, t, check.account, REASON_REG_UNKNOWN, STR_NONE);
		return;
	}
	if (trunk != check.account) {
		refuse(r, t, check.account, REASON_REG_OTHER, STR_NONE);
		return;
	}
	if (trunk->admin == POL_DISABLED) {
		refuse(r, t, trunk, REASON_TRUNK_DISABLED, STR_NONE);
		return;
	}
	if (!require_ok(m, trunk, &h)) {
		refuse(r, t, trunk, REASON_OPTION_TAG, buf_err(&h) ? STR_NONE : buf_text(&h));
		return;
	}
	w = work_new(r, t, m, from, trunk, buf_text(&n));
	if (!w) {
		refuse(r, t, trunk, REASON_NO_MEMORY, STR_NONE);
		return;
	}
	why = w->lost ? REASON_NO_MEMORY : m->call_id.n > TEXT_MAX ? REASON_MALFORMED : read_path(w, m);
	if (why == REASON_NONE)
		why = read_contacts(w, m, &h);
	if (why == REASON_NONE)
		why = wants_outbound(w, m);
	if (why != REASON_NONE) {
		refuse(r, t, trunk, why, buf_err(&h) ? STR_NONE : buf_text(&h));
		w->t = NULL;
		work_free(w);
		return;
	}
	txn_srv_bind(t, &work_ops, w);
	work_queue(w);
}

/* ------------------------------------------------------------------ ways */

static unsigned add_ways(struct reg *r, uint32_t trunk_id, struct str aor, struct str number, struct str sg,
    struct buf *space, struct reg_way *ways, unsigned n)
{
	for (const struct reg_contact *c = bindings_next(r->bindings, trunk_id, aor, NULL); c && n < REG_WAYS_MAX;
	     c = bindings_next(r->bindings, trunk_id, aor, c)) {
		struct sip_uri bulk;
		struct buf one;

		buf_init(&one, space->p + space->n, space->cap - space->n);
		if (number.n && !aor.n) {
			/* without GIN the number takes the place of the pilot's user (3CX's rinstance and its like stay) */
			if (sip_uri_parse(c->uri, &bulk) < 0 || gin_expand(&bulk, number, c->bulk ? sg : STR_NONE, &one) < 0)
				continue;
		} else {
			/* a request URI has no header fields (RFC 3261 19.1.1) */
			if (sip_uri_parse(c->uri, &bulk) < 0)
				continue;
			buf_str(&one, str_head(c->uri, c->uri.n - (bulk.headers.p ? bulk.headers.n + 1 : 0)));
		}
		if (buf_err(&one))
			break;
		space->n += one.n;
		ways[n++] = (struct reg_way){.contact = c, .uri = buf_text(&one), .route = c->path};
	}
	return n;
}

unsigned reg_ways(struct reg *r, uint32_t trunk_id, struct str number, struct str sg, struct buf *space,
    struct reg_way ways[REG_WAYS_MAX])
{
	unsigned n = number.n ? add_ways(r, trunk_id, number, number, sg, space, ways, 0) : 0;

	return add_ways(r, trunk_id, STR_NONE, number, sg, space, ways, n);
}
