/* tls.c - certificates while the daemon runs: loaded off the loop, watched, swapped, warned about.
 *
 * One load at a time, in a thread of libuv's pool: files may lie on a slow disk. What asks meanwhile waits for its
 * turn. A load is of the running configuration (files changed, `postern tls reload`) or part of a reload of the
 * configuration file; then the file's other changes take effect together with the certificates or not at all.
 *
 * Files are watched by their directories (a renewal replaces the file or the link, so the file itself would be the
 * wrong thing to watch) and looked at every POLL_MS, for file systems that tell nothing. Changes are collected for
 * SETTLE_MS of rest, since a pair is written one file after the other; files that are the same as at the last load, good or
 * bad, are not loaded again. What is refused is logged once with its reason and stays in `status`.
 */
#include "sbc/app/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbc/app/app.h"

#define POLL_MS   (5 * 60 * 1000)
#define SETTLE_MS 700
#define UNREST_MS 5000 /* files that never rest are looked at all the same */
#define DAY_US    ((int64_t)86400 * 1000000)
#define DIRS_MAX  32
#define PEERS_MAX 32 /* named in one go */

enum job_kind { JOB_FILES /* load if they changed */, JOB_LOAD, JOB_CONF /* with a new configuration */ };

struct job {
	struct list node;
	struct app_tls *t;
	enum job_kind kind;
	uv_work_t work;
	struct conf *conf;           /* ref; JOB_CONF: the new one, from app_tls_begin() on */
	uint64_t was, is;            /* files: as at the last load, now */
	struct tls_store *store;     /* own */
	struct tls_error err;
	ctl_done_fn *done;
	void *arg;
	app_tls_then_fn *then;       /* JOB_CONF */
};

struct dir {
	uv_fs_event_t event;
	struct app_tls *t;
	char *path;   /* own */
	bool wanted, closing;
};

struct app_tls {
	struct app *app;
	struct ctl_tls view;
	char refused_text[sizeof(((struct tls_error *)0)->text)];
	char refused_hint[sizeof(((struct tls_error *)0)->hint)];
	struct list jobs;            /* the first is running */
	bool running, closing;
	uint64_t files;              /* of the last load, good or bad */
	uint64_t loading;            /* of the one that is being taken into force */
	struct timer settle, poll, warn;
	int64_t unrest_us;           /* since when settle runs */
	struct dir *dirs[DIRS_MAX];
	unsigned n_dirs, open_handles;
	loop_fn *closed;
	void *closed_arg;
};

/* -------------------------------------------------------------------- what is to be loaded */

/* Where systems keep the roots they trust. */
static const char *const system_roots[] = {
    "/etc/ssl/certs/ca-certificates.crt", /* Debian, Arch, Alpine */
    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL */
    "/etc/ssl/ca-bundle.pem",             /* SUSE */
};

/* What the file says, else what the system trusts. */
static const char *const *roots_of(const struct conf *c, unsigned *ret_n)
{
	*ret_n = c->tls.n_trust;
	if (c->tls.trust_given)
		return c->tls.trust;
	for (size_t i = 0; i < ARRAY_LEN(system_roots); i++)
		if (access(system_roots[i], R_OK) == 0) {
			*ret_n = 1;
			return &system_roots[i];
		}
	return c->tls.trust; /* none */
}

static void make_cfg(const struct conf *c, struct tls_cfg *cfg, struct tls_cert_cfg *certs)
{
	for (unsigned i = 0; i < c->n_certs; i++)
		certs[i] = (struct tls_cert_cfg){
		    .name = c->certs[i].name, .chain = c->certs[i].chain, .key = c->certs[i].key};
	*cfg = (struct tls_cfg){.certs = certs,
	    .n_certs = c->n_certs,
	    .system_trust = !c->tls.trust_given,
	    .crl = c->tls.crl,
	    .n_crl = c->tls.n_crl,
	    .ocsp_stapling = c->tls.ocsp_stapling,
	    .warn_days = (uint16_t)c->tls.warn_days};
	cfg->trust = roots_of(c, &cfg->n_trust);
}

static struct tls_store *load(const struct conf *c, struct tls_error *err)
{
	struct tls_cert_cfg *certs = calloc(c->n_certs + 1, sizeof(*certs));
	struct tls_store *s;
	struct tls_cfg cfg;

	memset(err, 0, sizeof(*err));
	if (!certs) {
		err->reason = REASON_NO_MEMORY;
		return NULL;
	}
	make_cfg(c, &cfg, certs);
	s = tls_store_load(&cfg, err);
	free(certs);
	return s;
}

static void each_file(const struct conf *c, void (*fn)(void *ctx, const char *path), void *ctx)
{
	const char *const *roots;
	unsigned n_roots;

	for (unsigned i = 0; i < c->n_certs; i++) {
		fn(ctx, c->certs[i].chain);
		fn(ctx, c->certs[i].key);
	}
	roots = roots_of(c, &n_roots);
	for (unsigned i = 0; i < n_roots; i++)
		fn(ctx, roots[i]);
	for (unsigned i = 0; i < c->tls.n_crl; i++)
		fn(ctx, c->tls.crl[i]);
}

struct look {
	struct hash_key key;
	uint64_t sum;
};

static void look_at(void *ctx, const char *path)
{
	struct look *l = ctx;
	struct {
		uint64_t before, path, dev, ino, size, s, ns;
	} all = {.before = l->sum, .path = hash_str(&l->key, str_z(path))};
	struct stat st;

	if (stat(path, &st) == 0) {
		all.dev = (uint64_t)st.st_dev;
		all.ino = (uint64_t)st.st_ino;
		all.size = (uint64_t)st.st_size;
		all.s = (uint64_t)st.st_mtim.tv_sec ^ ((uint64_t)st.st_ctim.tv_sec << 32);
		all.ns = (uint64_t)st.st_mtim.tv_nsec ^ ((uint64_t)st.st_ctim.tv_nsec << 32);
	}
	l->sum = hash_bytes(&l->key, &all, sizeof(all));
}

/* Changes when one of the files does. */
static uint64_t look_at_files(const struct conf *c, struct hash_key key)
{
	struct look l = {.key = key};

	each_file(c, look_at, &l);
	return l.sum;
}

/* -------------------------------------------------------------------- warnings */

static void warn_about(struct app *a, const char *what, struct str name, int64_t not_after_us)
{
	int64_t left = not_after_us - a->loop.clock.wall_us;
	struct log_quote q;

	if (left < 0)
		log_error(&a->log, "cert_expired", "%s=%s days=%lld", what, log_quoted(&q, name),
		    (long long)(-left / DAY_US));
	else if (left < 7 * DAY_US)
		log_error(&a->log, "cert_expires", "%s=%s days=%lld", what, log_quoted(&q, name),
		    (long long)(left / DAY_US));
	else if (left < (int64_t)a->conf->tls.warn_days * DAY_US)
		log_warn(&a->log, "cert_expires", "%s=%s days=%lld", what, log_quoted(&q, name),
		    (long long)(left / DAY_US));
}

/* What peers showed: each name once. */
static void warn_about_peers(struct app *a)
{
	struct str said[PEERS_MAX];
	struct netio_conn_info ci;
	unsigned n = 0;
	uint32_t at = 0;

	while (a->net && n < PEERS_MAX && netio_conn_next(a->net, &at, &ci)) {
		struct str name = ci.identity && ci.identity->n_names ? ci.identity->names[0] : STR_NONE;
		bool known = false;

		if (!ci.tls_peer_expires_us || str_empty(name))
			continue;
		for (unsigned i = 0; i < n; i++)
			known |= str_eq(said[i], name);
		if (known || ci.tls_peer_expires_us - a->loop.clock.wall_us >= (int64_t)a->conf->tls.warn_days * DAY_US)
			continue;
		said[n++] = name;
		warn_about(a, "peer", name, ci.tls_peer_expires_us);
	}
}

/* Once a day, and after each load. */
static void warn_all(struct timer *timer)
{
	struct app_tls *t = container_of(timer, struct app_tls, warn);
	struct app *a = t->app;
	struct tls_cert_view v;

	for (unsigned i = 0; i < tls_store_cert_count(t->view.store); i++) {
		tls_store_cert(t->view.store, i, &v);
		warn_about(a, "cert", v.name, v.not_after_us);
	}
	for (unsigned i = 0; tls_store_root(t->view.store, a->loop.clock.wall_us, i, &v); i++)
		warn_about(a, "root", v.subject, v.not_after_us);
	warn_about_peers(a);
	timer_start_us(&a->loop.timers, &t->warn, DAY_US, warn_all);
}

/* -------------------------------------------------------------------- in force */

static void take(struct app_tls *t, struct tls_store *s, uint64_t files)
{
	struct tls_store *old = t->view.store;

	t->view.store = s;
	t->view.loaded_us = t->app->loop.clock.wall_us;
	t->view.refused = REASON_NONE;
	t->view.warn_days = t->app->conf->tls.warn_days;
	t->files = files;
	tls_store_unref(old);
	warn_all(&t->warn);
}

static void refuse(struct app_tls *t, const struct tls_error *err, uint64_t files)
{
	char code[REASON_CODE_MAX];
	struct log_quote q;

	t->view.refused = err->reason;
	t->view.refused_us = t->app->loop.clock.wall_us;
	memcpy(t->refused_text, err->text, sizeof(t->refused_text));
	memcpy(t->refused_hint, err->hint, sizeof(t->refused_hint));
	t->files = files;
	log_error(&t->app->log, "tls_refused", "reason=%s text=%s", reason_code(err->reason, code),
	    log_quoted(&q, str_z(err->text)));
}

const struct ctl_tls *app_tls_view(void *ctx)
{
	const struct app *a = ctx;

	return &a->tls->view;
}

/* -------------------------------------------------------------------- watching */

static void look_soon(struct app_tls *t);

static void on_settled(struct timer *timer)
{
	struct app_tls *t = container_of(timer, struct app_tls, settle);

	look_soon(t);
}

static void on_poll(struct timer *timer)
{
	struct app_tls *t = container_of(timer, struct app_tls, poll);

	timer_start_ms(&t->app->loop.timers, &t->poll, POLL_MS, on_poll);
	look_soon(t);
}

static void on_dir(uv_fs_event_t *h, const char *file, int events, int status)
{
	struct dir *d = container_of(h, struct dir, event);
	struct app_tls *t = d->t;
	int64_t now;

	(void)file;
	(void)events;
	(void)status;
	loop_enter(&t->app->loop, "tls_dir");
	now = t->app->loop.clock.mono_us;
	if (!timer_running(&t->settle))
		t->unrest_us = now;
	if (!t->closing && now - t->unrest_us < UNREST_MS * 1000)
		timer_start_ms(&t->app->loop.timers, &t->settle, SETTLE_MS, on_settled);
	loop_leave(&t->app->loop);
}

static void tls_gone(struct app_tls *t)
{
	loop_fn *closed = t->closed;
	void *arg = t->closed_arg;

	if (!t->closing || t->open_handles || t->running)
		return;
	tls_store_unref(t->view.store);
	t->app->tls = NULL;
	free(t);
	if (closed)
		closed(arg);
}

static void dir_gone(uv_handle_t *h)
{
	struct dir *d = container_of((uv_fs_event_t *)h, struct dir, event);
	struct app_tls *t = d->t;

	t->open_handles--;
	free(d->path);
	free(d);
	tls_gone(t);
}

static void want_dir(void *ctx, const char *path)
{
	struct app_tls *t = ctx;
	const char *slash = strrchr(path, '/');
	struct str name = slash && slash > path ? str_n(path, (size_t)(slash - path)) : S("/");
	struct stat st;
	struct dir *d;
	int e;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		name = str_z(path);
	for (unsigned i = 0; i < t->n_dirs; i++)
		if (str_eq(name, str_z(t->dirs[i]->path))) {
			t->dirs[i]->wanted = true;
			return;
		}
	if (t->n_dirs == DIRS_MAX)
		return; /* looked at every POLL_MS all the same */
	d = calloc(1, sizeof(*d));
	if (d)
		d->path = str_strdup(name);
	if (!d || !d->path) {
		free(d);
		return;
	}
	d->t = t;
	d->wanted = true;
	uv_fs_event_init(&t->app->loop.uv, &d->event);
	t->open_handles++;
	e = uv_fs_event_start(&d->event, on_dir, d->path, 0);
	if (e < 0) {
		log_warn(&t->app->log, "tls_not_watched", "path=%s error=%s seconds=%d", d->path, uv_err_name(e),
		    POLL_MS / 1000);
		uv_close((uv_handle_t *)&d->event, dir_gone);
		return;
	}
	t->dirs[t->n_dirs++] = d;
}

static void watch_dirs(struct app_tls *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_dirs; i++)
		t->dirs[i]->wanted = false;
	if (!t->closing)
		each_file(t->app->conf, want_dir, t);
	for (unsigned i = 0; i < t->n_dirs; i++) {
		if (t->dirs[i]->wanted)
			t->dirs[n++] = t->dirs[i];
		else
			uv_close((uv_handle_t *)&t->dirs[i]->event, dir_gone);
	}
	t->n_dirs = n;
}

/* -------------------------------------------------------------------- jobs */

static void begin(struct app_tls *t);

static void job_end(struct job *j, enum reason why, const char *text)
{
	if (j->done)
		j->done(j->arg, why, text);
	conf_unref(j->conf);
	tls_store_unref(j->store);
	free(j);
}

static void job_work(uv_work_t *w)
{
	struct job *j = container_of(w, struct job, work);

	j->is = look_at_files(j->conf, j->t->app->env.hash_key);
	if (j->kind != JOB_FILES || j->is != j->was)
		j->store = load(j->conf, &j->err);
	tls_thread_done();
}

static void say_loaded(struct app_tls *t, struct buf *b)
{
	unsigned n = tls_store_cert_count(t->view.store), roots = tls_store_root_count(t->view.store);

	buf_fmt(b, "%u certificate%s and %u root%s in force; connections that are up keep theirs\n", n, n == 1 ? "" : "s",
	    roots, roots == 1 ? "" : "s");
}

/* What the certificates of a new store name are hosts of their realms at once. realms become the app's. */
static void take_hosts(struct app *a, struct pol_realm *realms)
{
	struct pol_realm *old = a->realms;
	char text[512];
	struct buf b;

	if (app_same_hosts(old, realms, a->conf->n_realms)) {
		free(realms);
		return;
	}
	buf_init(&b, text, sizeof(text) - 1);
	a->realms = realms;
	if (app_apply_rows(a, NULL, &b) != REASON_NONE) {
		/* as at a reload: the next change tries again */
		log_error(&a->log, "hosts_not_changed", "%s", "why=\"out of memory\"");
	}
	free(old); /* a snapshot has copies */
}

static void job_over(uv_work_t *w, int status)
{
	struct job *j = container_of(w, struct job, work);
	struct app_tls *t = j->t;
	struct app *a = t->app;
	struct pol_realm *realms = NULL;
	struct netio_error nerr;
	enum reason why;
	char text[400];
	struct buf b;

	loop_enter(&a->loop, "tls_loaded");
	buf_init(&b, text, sizeof(text) - 1);
	t->running = false;
	list_del(&j->node);
	if (t->closing || a->stopping || status < 0) {
		job_end(j, REASON_SHUTDOWN, NULL);
	} else if (j->kind == JOB_CONF) {
		if (!j->store)
			refuse(t, &j->err, t->files); /* of the old file's, which go on */
		t->loading = j->is;
		j->then(a, j->conf, j->store, j->store ? NULL : &j->err, j->done, j->arg);
		j->done = NULL;
		job_end(j, REASON_NONE, NULL);
	} else if (j->kind == JOB_FILES && j->is == j->was) {
		job_end(j, REASON_NONE, NULL);
	} else if (!j->store) {
		why = j->err.reason;
		refuse(t, &j->err, j->is);
		buf_fmt(&b, "%s", j->err.text);
		job_end(j, why, buf_z(&b));
	} else if (app_make_realms(a->conf, j->store, &realms) < 0) {
		j->err = (struct tls_error){.reason = REASON_NO_MEMORY, .text = "no memory for realms"};
		refuse(t, &j->err, j->is);
		job_end(j, REASON_NO_MEMORY, j->err.text);
	} else if (app_net_take(a, a->conf, j->store, &nerr) < 0) {
		free(realms);
		/* it was so before, so this is memory or descriptors */
		j->err.reason = nerr.reason;
		memcpy(j->err.text, nerr.text, sizeof(nerr.text));
		refuse(t, &j->err, j->is);
		job_end(j, nerr.reason, nerr.text);
	} else {
		take(t, j->store, j->is);
		j->store = NULL;
		take_hosts(a, realms);
		log_info(&a->log, "tls_loaded", "certs=%u roots=%u", tls_store_cert_count(t->view.store),
		    tls_store_root_count(t->view.store));
		say_loaded(t, &b);
		job_end(j, REASON_NONE, buf_z(&b));
	}
	if (!t->closing)
		begin(t);
	loop_leave(&a->loop); /* not behind tls_gone(): the loop may end with it */
	tls_gone(t);
}

static void begin(struct app_tls *t)
{
	struct job *j;
	int e;

	while (!t->running && !list_empty(&t->jobs)) {
		j = container_of(t->jobs.next, struct job, node);
		j->was = t->files;
		if (!j->conf)
			j->conf = conf_ref(t->app->conf);
		e = uv_queue_work(&t->app->loop.uv, &j->work, job_work, job_over);
		if (e == 0) {
			t->running = true;
			return;
		}
		list_del(&j->node);
		job_end(j, REASON_NO_MEMORY, NULL);
	}
}

static void submit(struct app_tls *t, enum job_kind kind, struct conf *c, app_tls_then_fn *then, ctl_done_fn *done, void *arg)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j || t->closing) {
		free(j);
		if (done)
			done(arg, t->closing ? REASON_SHUTDOWN : REASON_NO_MEMORY, NULL);
		return;
	}
	j->t = t;
	j->kind = kind;
	j->conf = c ? conf_ref(c) : NULL;
	j->then = then;
	j->done = done;
	j->arg = arg;
	list_push(&t->jobs, &j->node);
	begin(t);
}

static void look_soon(struct app_tls *t)
{
	/* one that waits already will see the same files */
	list_each(n, &t->jobs)
		if (container_of(n, struct job, node)->kind == JOB_FILES && !(t->running && n == t->jobs.next))
			return;
	submit(t, JOB_FILES, NULL, NULL, NULL, NULL);
}

void app_tls_reload(void *ctx, ctl_done_fn *done, void *arg)
{
	struct app *a = ctx;

	submit(a->tls, JOB_LOAD, NULL, NULL, done, arg);
}

void app_tls_load_conf(struct app *a, struct conf *c, app_tls_then_fn *then, ctl_done_fn *done, void *arg)
{
	submit(a->tls, JOB_CONF, c, then, done, arg);
}

void app_tls_conf_taken(struct app *a, struct tls_store *s)
{
	take(a->tls, tls_store_ref(s), a->tls->loading);
	watch_dirs(a->tls);
}

/* -------------------------------------------------------------------- start and end */

struct tls_store *app_tls_store(const struct app *a)
{
	return a->tls ? a->tls->view.store : NULL;
}

struct app_tls *app_tls_new(struct app *a, struct tls_error *err)
{
	struct app_tls *t = calloc(1, sizeof(*t));
	struct tls_store *s;
	uint64_t files;

	if (!t) {
		*err = (struct tls_error){.reason = REASON_NO_MEMORY, .text = "no memory for certificates"};
		return NULL;
	}
	t->app = a;
	list_init(&t->jobs);
	t->view.refused_text = t->refused_text;
	t->view.refused_hint = t->refused_hint;
	files = look_at_files(a->conf, a->env.hash_key);
	s = load(a->conf, err);
	if (!s) {
		free(t);
		return NULL;
	}
	take(t, s, files);
	watch_dirs(t);
	timer_start_ms(&a->loop.timers, &t->poll, POLL_MS, on_poll);
	return t;
}

void app_tls_free(struct app_tls *t, loop_fn *closed, void *arg)
{
	struct timers *w = &t->app->loop.timers;
	struct list *first;

	t->closing = true;
	t->closed = closed;
	t->closed_arg = arg;
	timer_stop(w, &t->settle);
	timer_stop(w, &t->poll);
	timer_stop(w, &t->warn);
	watch_dirs(t);
	first = t->running ? t->jobs.next : NULL;
	list_each(n, &t->jobs)
		if (n != first) {
			list_del(n);
			job_end(container_of(n, struct job, node), REASON_SHUTDOWN, NULL);
		}
	if (first)
		(void)uv_cancel((uv_req_t *)&container_of(first, struct job, node)->work);
	else if (!t->open_handles)
		tls_gone(t);
}
