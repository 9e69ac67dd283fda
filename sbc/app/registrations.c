/* registrations.c - the registrar's store: changes of bindings to the database, and back at start.
 *
 * A change is copied into one request of the store thread; many requests share one commit (db/store.c), so an answer
 * that waits for the disk costs no more than its share. At start all bindings in force are read before the loop runs.
 */
#include "sbc/app/app.h"

#include <errno.h>
#include <stdlib.h>

struct store_req {
	struct db_req req;
	struct app *app;
	uint64_t token;
	unsigned n_put, n_del;
	struct db_binding *put; /* behind it in the same block, and then the texts */
	uint64_t *del;
};

static enum reason store_run(struct db_handle *h, struct db_req *req, struct db_err *err)
{
	const struct store_req *s = container_of(req, struct store_req, req);
	enum reason why = REASON_NONE;

	for (unsigned i = 0; i < s->n_del && !why; i++)
		why = db_binding_del(h, s->del[i], err);
	for (unsigned i = 0; i < s->n_put && !why; i++)
		why = db_binding_put(h, &s->put[i], err);
	return why;
}

static void store_done(struct db_req *req)
{
	struct store_req *s = container_of(req, struct store_req, req);
	struct app *a = s->app;
	char code[REASON_CODE_MAX];
	struct log_quote q;

	if (req->err.reason != REASON_NONE)
		log_error(&a->log, "registration_not_stored", "reason=%s text=%s", reason_code(req->err.reason, code),
		    log_quoted(&q, str_z(req->err.text)));
	if (a->reg && s->token)
		reg_stored(a->reg, s->token, req->err.reason);
	free(s);
}

static size_t text_bytes(const struct reg_contact *c)
{
	return c->aor.n + c->uri.n + c->params.n + c->instance.n + c->call_id.n + c->path.n + c->user_agent.n +
	       ADDR_TEXT_MAX + 8 + CONF_NAME_MAX;
}

static struct str keep(struct buf *b, struct str s)
{
	struct str copy = {b->p + b->n, s.n};

	buf_str(b, s);
	return copy;
}

static int on_store(void *ctx, const struct reg_change *ch, uint64_t token)
{
	struct app *a = ctx;
	size_t bytes = 0;
	struct store_req *s;
	struct buf b;

	if (!a->b2b)
		return 0; /* stopping: the store is closed, and who asked is gone */
	for (unsigned i = 0; i < ch->n_put; i++)
		bytes += sizeof(*s->put) + text_bytes(&ch->put[i]);
	s = malloc(sizeof(*s) + bytes + ch->n_del * sizeof(*s->del));
	if (!s) {
		log_error(&a->log, "no_memory", "for=registration token=%llu", (unsigned long long)token);
		return -ENOMEM;
	}
	*s = (struct store_req){.req = {.kind = DB_WRITE, .run = store_run, .done = store_done},
	    .app = a,
	    .token = token,
	    .n_put = ch->n_put,
	    .n_del = ch->n_del};
	s->put = (struct db_binding *)(s + 1);
	s->del = (uint64_t *)(s->put + ch->n_put);
	buf_init(&b, s->del + ch->n_del, bytes);
	if (ch->n_del)
		memcpy(s->del, ch->del, ch->n_del * sizeof(*s->del));
	for (unsigned i = 0; i < ch->n_put; i++) {
		const struct reg_contact *c = &ch->put[i];
		struct str realm = c->flow.realm < a->conf->n_realms ? a->conf->realms[c->flow.realm].name : STR_NONE;
		char at[ADDR_TEXT_MAX];

		s->put[i] = (struct db_binding){.id = c->id,
		    .trunk_id = c->trunk_id,
		    .reg_id = c->reg_id,
		    .cseq = c->cseq,
		    .q = c->q,
		    .bulk = c->bulk,
		    .aor = keep(&b, c->aor),
		    .uri = keep(&b, c->uri),
		    .params = keep(&b, c->params),
		    .instance = keep(&b, c->instance),
		    .call_id = keep(&b, c->call_id),
		    .path = keep(&b, c->path),
		    .user_agent = keep(&b, c->user_agent),
		    .realm = keep(&b, realm),
		    .transport = net_proto_name((enum net_proto)c->flow.proto),
		    .received = keep(&b, str_z(addr_text(&c->flow.remote, at))),
		    .since_us = c->since_wall_us,
		    .expires_us = c->expires_wall_us};
	}
	db_submit_any(a->db, &s->req);
	return 0;
}

static void on_event(void *ctx, uint32_t trunk_id, const struct reg_contact *c, enum reason why)
{
	struct app *a = ctx;
	const struct policy *p = a->b2b ? b2b_policy(a->b2b) : NULL; /* stopping: what was being stored ends */
	const struct pol_trunk *t = p ? policy_trunk(p, trunk_id) : NULL;
	char code[REASON_CODE_MAX], at[ADDR_TEXT_MAX] = "-";
	struct str name = t ? t->name : S("-");
	bool news;

	app_link_changed(a);
	news = reg_history_note(a->reg_history, a->loop.clock.wall_us, trunk_id, c, why);

	if (c)
		addr_text(&c->flow.remote, at);
	if (why == REASON_NONE)
		log_debug(&a->log, "registered", "trunk=%.*s from=%s", STR(name), at);
	else if (news) /* anybody can send what is refused: a line a minute of each kind */
		log_warn(&a->log, "registration", "trunk=%.*s reason=%s from=%s", STR(name), reason_code(why, code), at);
}

static void on_reg_event(void *ctx, uint32_t trunk_id, const struct reg_contact *c, enum reason why)
{
	struct app *a = ctx;

	on_event(ctx, trunk_id, c, why);
	if (a->reg_events)
		reg_events_note(a->reg_events, trunk_id, c, why);
}

void app_reg_flow_lost(struct app *a, const struct net_path *flow)
{
	const struct reg_contact *c = a->reg ? bindings_at(reg_bindings(a->reg), flow) : NULL;

	if (c && c->reg_id && !c->path.n)
		on_event(a, c->trunk_id, c, REASON_FLOW_FAILED);
}

const struct reg_user app_reg_user = {on_store, app_is_local, on_reg_event};

/* The same of what we register ourselves. */
static void on_client_event(
    void *ctx, uint32_t trunk_id, const struct net_path *at, struct str contact, enum reason why)
{
	struct app *a = ctx;
	struct reg_contact c = {.uri = contact, .since_wall_us = a->loop.clock.wall_us};

	if (at)
		c.flow = *at;
	on_event(ctx, trunk_id, &c, why);
	if (a->reg_watches)
		reg_watches_note(a->reg_watches, trunk_id, why);
}

static void on_client_moved(void *ctx, uint32_t trunk_id)
{
	struct app *a = ctx;

	if (a->b2b)
		b2b_on_registrar(a->b2b, trunk_id);
}

const struct reg_client_user app_reg_client_user = {on_client_event, on_client_moved};

/* ------------------------------------------------------------------ start */

struct restore {
	struct db_req req;
	struct app *app;
	unsigned n, lost;
};

static void one(void *ctx, const struct db_binding *b)
{
	struct restore *s = ctx;
	const struct conf *conf = s->app->conf;
	int realm = conf_realm_find(conf, b->realm), proto = -1;
	struct reg_contact c = {.id = b->id,
	    .trunk_id = b->trunk_id,
	    .aor = b->aor,
	    .bulk = b->bulk,
	    .q = b->q,
	    .reg_id = b->reg_id,
	    .cseq = b->cseq,
	    .uri = b->uri,
	    .params = b->params,
	    .instance = b->instance,
	    .call_id = b->call_id,
	    .path = b->path,
	    .user_agent = b->user_agent,
	    .since_wall_us = b->since_us,
	    .expires_wall_us = b->expires_us};

	for (int p = 0; p < NET_PROTOS; p++)
		if (str_eq(b->transport, net_proto_name((enum net_proto)p)))
			proto = p;
	if (realm < 0 || proto < 0 || addr_parse(b->received, 5060, &c.flow.remote) < 0) {
		s->lost++;
		return;
	}
	c.flow.realm = (uint8_t)realm;
	c.flow.proto = (uint8_t)proto;
	if (reg_restore(s->app->reg, &c) < 0)
		s->lost++;
	else
		s->n++;
}

static enum reason restore_run(struct db_handle *h, struct db_req *req, struct db_err *err)
{
	struct restore *s = container_of(req, struct restore, req);

	s->n = s->lost = 0;
	return db_binding_all(h, one, s, err);
}

enum reason app_restore_registrations(struct app *a)
{
	struct restore s = {.req = {.kind = DB_WRITE, .run = restore_run}, .app = a};
	enum reason why = db_call(a->db, &s.req); /* waits: the loop does not run yet */

	if (s.n || s.lost)
		log_info(&a->log, "registrations_restored", "bindings=%u lost=%u", s.n, s.lost);
	return why;
}
