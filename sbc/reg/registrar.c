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
#include "sbc/reg/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/sip/header.h"

#define QUEUE_MAX 8 /* REGISTERs of one address that wait for the store */

static const char *const metric_names[REG_METRICS] = {
    "requests", "challenged", "accepted", "queries", "refused", "failed", "expired", "bindings"};

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
	r->cfg.numbers_max = cfg->numbers_max ? cfg->numbers_max : 100000;
	r->user = user;
	r->ctx = ctx;
	r->log = (struct log){.to = env->logger, .area = LOG_SIP};
	arena_pool_init(&r->pool, 8192, 64);
	gruu_init(&r->gruu, env);
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
	gruu_fini(&r->gruu);
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

	if (!registers(t) || t->realm != realm)
		return false;
	return aor.n == 0 || policy_number_owner(r->policy, aor) == trunk_id;
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

/* What calls to numbers need of the contact, made once; without memory it is made for each of them. */
static struct str expand_half(struct str uri, char *p, size_t cap)
{
	struct sip_uri u;
	struct buf b;

	buf_init(&b, p, cap);
	return sip_uri_parse(uri, &u) < 0 || gin_expand_half(&u, &b) < 0 ? STR_NONE : buf_text(&b);
}

int reg_restore(struct reg *r, struct reg_contact *c)
{
	const struct reg_change gone = {.del = &c->id, .n_del = 1};
	int64_t left_us = c->expires_wall_us - r->env->clock->wall_us, max_us;
	const struct pol_trunk *t;
	char half[REG_TEXT_MAX + 16];
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
	if (!c->aor.n)
		c->expand = expand_half(c->uri, half, sizeof(half));
	e = bindings_put(r->bindings, c);
	c->expand = STR_NONE;
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

void reg_set_cookie_secret(struct reg *r, const uint8_t key[32])
{
	memcpy(r->gruu.secret.key, key, sizeof(r->gruu.secret.key));
}

void reg_set_keys(struct reg *r, const struct reg_key *keys, unsigned n)
{
	gruu_set_keys(&r->gruu, keys, n);
}

bool reg_key_at(const struct reg *r, unsigned i, struct reg_key *ret)
{
	if (i >= r->gruu.n)
		return false;
	*ret = (struct reg_key){r->gruu.key[i], r->gruu.since_wall_us[i], r->gruu.until_wall_us[i]};
	return true;
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
			answer_refuse(r, w->t, w->trunk, REASON_NO_MEMORY, STR_NONE);
			work_free(w);
			return;
		}
		list_init(&u->works);
		u->trunk_id = w->trunk->id;
		u->aor = w->aor;
		htab_add(&r->turns, &u->node, turn_hash(r, u->trunk_id, u->aor));
	} else if (u->n >= QUEUE_MAX) {
		answer_refuse(r, w->t, w->trunk, REASON_REG_BUSY, S("Retry-After: 5\r\n"));
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
	size_t cap = a->uri.n + 16;
	char *half = w->aor.n ? NULL : arena_alloc(w->arena, cap);

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
	    .expand = half ? expand_half(a->uri, half, cap) : STR_NONE,
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
	if (w->aor.n && !bindings_next(w->r->bindings, w->trunk->id, w->aor, NULL) &&
	    bindings_numbers(w->r->bindings, w->trunk->id) >= w->r->cfg.numbers_max)
		return REASON_REG_FULL; /* a million numbers are a row of the database, and would be as many bindings here */
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

static void work_begin(struct work *w)
{
	struct reg *r = w->r;
	enum reason why = fits(r, w->trunk->id, w->flow.realm, w->aor) ? make_change(w) : REASON_REG_UNKNOWN;
	const struct reg_change ch = {w->put, w->n_put, w->del, w->n_del};

	if (why != REASON_NONE) {
		answer_refuse(r, w->t, w->trunk, why, STR_NONE);
		work_end(w);
		return;
	}
	if (!w->n_put && !w->n_del) {
		r->metrics[REG_QUERIES]++;
		answer_ok(w);
		work_end(w);
		return;
	}
	w->token = r->next_token++;
	htab_add(&r->tokens, &w->by_token, token_hash(r, w->token));
	if (r->user->store(r->ctx, &ch, w->token) < 0) {
		htab_del(&r->tokens, &w->by_token);
		w->token = 0;
		answer_not_stored(w, REASON_NO_MEMORY);
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
		answer_refuse(r, w->t, w->trunk, REASON_REG_UNKNOWN, STR_NONE);
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
		answer_ok(w);
	} else {
		answer_not_stored(w, why);
	}
	work_end(w);
}

/* ------------------------------------------------------------------ who, and for what */

bool reg_host_ours(const struct reg *r, unsigned realm, const struct sip_uri *u)
{
	struct addr a;

	return (sip_uri_addr(u, &a) && r->user->is_local(r->ctx, realm, &a)) || policy_host_is_ours(r->policy, realm, u->host);
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

void reg_request(struct reg *r, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from)
{
	struct account_ask ask = {
	    .auth = r->auth, .policy = r->policy, .realm = r->cfg.realm, .from = from, .bindings = r->bindings};
	struct account_home home = {.policy = r->policy, .realm = from->realm, .is_local = r->user->is_local, .ctx = r->ctx};
	const struct pol_trunk *guess, *trunk, *account;
	char text[1024], number[64];
	enum reason why;
	struct buf h, n;
	struct str user;
	struct work *w;

	r->metrics[REG_REQUESTS]++;
	buf_init(&h, text, sizeof(text));
	buf_init(&n, number, sizeof(number));
	if (m->ruri.scheme != SIP_SCHEME_SIP && m->ruri.scheme != SIP_SCHEME_SIPS) {
		answer_refuse(r, t, NULL, REASON_SCHEME, STR_NONE);
		return;
	}
	if (!reg_host_ours(r, from->realm, &m->ruri)) {
		answer_refuse(r, t, NULL, REASON_RELAY_DENIED, STR_NONE);
		return;
	}
	(void)find_aor(r, from->realm, m, NULL, &guess, &n);
	if (guess && guess->sip.nat)
		txn_srv_set_symmetric(t);
	/* what none of our trunks can do; whether this one does GIN is told to those who may register it */
	if (!require_ok(m, NULL, &h)) {
		answer_refuse(r, t, guess, REASON_OPTION_TAG, buf_err(&h) ? STR_NONE : buf_text(&h));
		return;
	}
	ask.trunk = guess;
	switch (account_judge(&ask,
	    &(struct account_claim){.msg = m, .find = policy_registrant, .uri_ok = account_uri_ok, .ctx = &home}, &user, &account)) {
	case AUTH_STALE:
		ask.stale = true;
		/* fallthrough */
	case AUTH_ABSENT:
		answer_challenge(r, t, &ask);
		return;
	case AUTH_MALFORMED:
		answer_refuse(r, t, guess, REASON_MALFORMED, STR_NONE);
		return;
	case AUTH_WRONG:
	case AUTH_SLOWED:
		answer_refuse(r, t, guess, REASON_REG_REJECTED, STR_NONE);
		return;
	case AUTH_WAIT:
		buf_fmt(&h, "Retry-After: %d\r\n", AUTH_WAIT_S);
		answer_refuse(r, t, guess, REASON_AUTH_WAIT, buf_text(&h));
		return;
	case AUTH_OK:
		break;
	}
	buf_init(&n, number, sizeof(number));
	if (!account_uri_ok(&home, m->to.uri.host) || !find_aor(r, from->realm, m, account, &trunk, &n)) {
		answer_refuse(r, t, account, REASON_REG_UNKNOWN, STR_NONE);
		return;
	}
	if (trunk != account) {
		answer_refuse(r, t, account, REASON_REG_OTHER, STR_NONE);
		return;
	}
	if (trunk->admin == POL_DISABLED) {
		answer_refuse(r, t, trunk, REASON_TRUNK_DISABLED, STR_NONE);
		return;
	}
	if (!require_ok(m, trunk, &h)) {
		answer_refuse(r, t, trunk, REASON_OPTION_TAG, buf_err(&h) ? STR_NONE : buf_text(&h));
		return;
	}
	w = work_new(r, t, m, from, trunk, buf_text(&n));
	if (!w) {
		answer_refuse(r, t, trunk, REASON_NO_MEMORY, STR_NONE);
		return;
	}
	why = work_read(w, m, &h);
	if (why != REASON_NONE) {
		answer_refuse(r, t, trunk, why, buf_err(&h) ? STR_NONE : buf_text(&h));
		w->t = NULL;
		work_free(w);
		return;
	}
	txn_srv_bind(t, &work_ops, w);
	work_queue(w);
}
