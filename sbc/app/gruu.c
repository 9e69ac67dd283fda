/* gruu.c - keys of temporary GRUUs (RFC 6140 7.1.2): read at start, made when somebody first needs them, replaced by an
 * operator.
 *
 * The secret of cookies is made once and stays, or registrations would get other cookies at a restart. A key pair takes
 * a tenth of a second to make, so a thread of the pool does it; it is in force when it is on disk. All of it stands in
 * the database, which is readable for its owner only.
 */
#include "sbc/app/app.h"

#include <stdlib.h>

#include "sbc/net/tls.h"
#include "sbc/reg/gin.h"

#define BITS 2048
#define PEM_MAX 4096
#define COOKIE S("gruu-cookie")
#define RSA_KEY S("gruu-rsa")

/* What the store thread found, as text: it does no arithmetic. */
struct keys {
	struct {
		int64_t since_us, until_us;
		size_t n;
		char pem[PEM_MAX];
	} key[8];
	unsigned n;
};

static void one(void *ctx, const struct db_secret *s)
{
	struct keys *k = ctx;

	if (!str_eq(s->name, RSA_KEY) || k->n == ARRAY_LEN(k->key) || s->value.n > PEM_MAX)
		return;
	k->key[k->n].since_us = s->since_us;
	k->key[k->n].until_us = s->until_us;
	k->key[k->n].n = s->value.n;
	memcpy(k->key[k->n++].pem, s->value.p, s->value.n);
}

/* The registrar takes them; what is no key is left out, and told. */
static void take(struct app *a, struct keys *k)
{
	struct reg_key keys[ARRAY_LEN(k->key)];
	unsigned n = 0;

	for (unsigned i = 0; i < k->n; i++) {
		keys[n] = (struct reg_key){
		    gin_rsa_from_pem(str_n(k->key[i].pem, k->key[i].n)), k->key[i].since_us, k->key[i].until_us};
		if (keys[n].rsa)
			n++;
		else
			log_error(&a->log, "gruu_key_damaged", "since_us=%lld", (long long)k->key[i].since_us);
	}
	reg_set_keys(a->reg, keys, n);
}

/* ------------------------------------------------------------------ a new pair */

struct job {
	uv_work_t work;
	struct db_req req;
	struct app *app;
	int64_t grace_us;
	ctl_done_fn *done; /* NULL: nobody asked */
	void *arg;
	char pem[PEM_MAX];
	size_t n; /* 0: it could not be made */
	struct keys keys;
};

static void job_end(struct job *j, enum reason why, const char *text)
{
	struct app *a = j->app;
	char code[REASON_CODE_MAX];

	if (why == REASON_NONE)
		log_info(&a->log, "gruu_key", "keys=%u grace_s=%lld", j->keys.n, (long long)(j->grace_us / 1000000));
	else
		log_error(&a->log, "gruu_key_failed", "reason=%s text=%s", reason_code(why, code), text ? text : "");
	a->making_key = false;
	if (j->done)
		j->done(j->arg, why, text);
	explicit_bzero(j, sizeof(*j));
	free(j);
}

static enum reason job_store(struct db_handle *h, struct db_req *r, struct db_err *err)
{
	struct job *j = container_of(r, struct job, req);
	enum reason why = db_secret_put(h, RSA_KEY, str_n(j->pem, j->n), j->grace_us, err);

	j->keys.n = 0; /* of a run that was rolled back */
	return why ? why : db_secret_all(h, one, &j->keys, err);
}

static void job_stored(struct db_req *r)
{
	struct job *j = container_of(r, struct job, req);
	struct app *a = j->app;
	enum reason why = r->err.reason;

	if (why == REASON_NONE && a->b2b)
		take(a, &j->keys);
	else if (why == REASON_NONE)
		why = REASON_SHUTDOWN;
	job_end(j, why, why == REASON_NONE ? NULL : r->err.text);
}

static void job_work(uv_work_t *w)
{
	struct job *j = container_of(w, struct job, work);
	struct gin_rsa *k = gin_rsa_new(BITS);
	struct buf b;

	buf_init(&b, j->pem, sizeof(j->pem));
	if (k && gin_rsa_put_pem(k, true, &b) == 0)
		j->n = b.n;
	gin_rsa_free(k);
	tls_thread_done();
}

static void job_made(uv_work_t *w, int status)
{
	struct job *j = container_of(w, struct job, work);
	struct app *a = j->app;

	a->closing--;
	if (!a->b2b) { /* stopping: the store is closed */
		job_end(j, REASON_SHUTDOWN, NULL);
		return;
	}
	if (status < 0 || !j->n) {
		job_end(j, REASON_INTERNAL, "no key pair could be made");
		return;
	}
	j->req = (struct db_req){.kind = DB_WRITE, .run = job_store, .done = job_stored};
	db_submit_any(a->db, &j->req);
}

static enum reason make(struct app *a, int64_t grace_us, ctl_done_fn *done, void *arg)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return REASON_NO_MEMORY;
	*j = (struct job){.app = a, .grace_us = grace_us, .done = done, .arg = arg};
	if (uv_queue_work(&a->loop.uv, &j->work, job_work, job_made) < 0) {
		free(j);
		return REASON_NO_MEMORY;
	}
	a->closing++; /* app_stop() waits for it */
	a->making_key = true;
	return REASON_NONE;
}

void app_gruu_rotate(void *ctx, uint32_t grace_s, ctl_done_fn *done, void *arg)
{
	struct app *a = ctx;
	enum reason why = a->making_key ? REASON_PENDING : make(a, (int64_t)grace_s * 1000000, done, arg);

	if (why != REASON_NONE)
		done(arg, why, why == REASON_PENDING ? "a key pair is being made already" : NULL);
}

void app_gruu_need(struct app *a)
{
	const struct policy *p = b2b_policy(a->b2b);
	struct reg_key k;
	bool wanted = false;

	for (unsigned i = 0; !wanted && i < policy_trunk_count(p); i++)
		wanted = policy_trunk_at(p, i)->registered != NULL;
	if (wanted && !a->making_key && !reg_key_at(a->reg, 0, &k))
		(void)make(a, 0, NULL, NULL);
}

/* ------------------------------------------------------------------ start */

struct load {
	struct db_req req;
	struct app *app;
	struct keys keys;
	struct gin_secret cookie;
};

static enum reason load_run(struct db_handle *h, struct db_req *req, struct db_err *err)
{
	struct load *l = container_of(req, struct load, req);
	enum reason why;

	l->keys.n = 0;
	why = db_secret_all(h, one, &l->keys, err);
	return why ? why : app_secret(l->app, h, COOKIE, l->cookie.key, err);
}

enum reason app_gruu_load(struct app *a)
{
	struct load *l = calloc(1, sizeof(*l));
	enum reason why;

	if (!l)
		return REASON_NO_MEMORY;
	l->req = (struct db_req){.kind = DB_WRITE, .run = load_run};
	l->app = a;
	why = db_call(a->db, &l->req);
	if (why == REASON_NONE) {
		reg_set_cookie_secret(a->reg, l->cookie.key);
		take(a, &l->keys);
	}
	explicit_bzero(l, sizeof(*l));
	free(l);
	return why;
}
