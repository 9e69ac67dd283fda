/* req.c - requests: from a parsed command line to an answer.
 *
 * A request is held by its client, by each question to the store or the application that is under way, and by its
 * handler while that runs. When the client leaves, a change that was handed to the store still ends: after its commit
 * the policy is swapped whoever is listening. When the server goes (shutdown), answers are dropped.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

#include "sbc/ctl/server.h"
#include "sbc/policy/compile.h"

static ctl_handler *const handlers[CTL_CMDS] = {
#define CTL_ENTRY_DAEMON(id) [CTL_CMD_##id] = cmd_##id,
#define CTL_ENTRY_LOCAL(id)
#define COMMAND(id, path, role, where, ...) CTL_ENTRY_##where(id)
#define ARG(...)
#define OPT(...)
#include "sbc/ctl/commands.def"
#undef COMMAND
#undef ARG
#undef OPT
};

void ctl_hold(struct ctl_req *r)
{
	r->holds++;
}

void ctl_release(struct ctl_req *r)
{
	if (--r->holds)
		return;
	list_del(&r->node);
	list_del(&r->follow);
	text_fini(&r->out);
	text_fini(&r->err);
	text_fini(&r->note);
	text_fini(&r->detail);
	json_decref(r->data);
	json_decref(r->messages);
	json_decref(r->made);
	free(r->work);
	free(r);
}

/* Arguments must outlive the client: the request gets its own copies, in one block behind it. */
static struct ctl_req *req_new(struct ctl_client *c)
{
	struct proto_request *q = &c->proto.req;
	size_t n = c->proto.input.n + 1;
	struct ctl_req *r;
	char *at;

	for (int i = 0; i < q->argc; i++)
		n += strlen(q->argv[i]) + 1;
	r = calloc(1, sizeof(*r) + n);
	if (!r)
		return NULL;
	at = (char *)(r + 1);
	for (int i = 0; i < q->argc; i++) {
		size_t len = strlen(q->argv[i]) + 1;

		memcpy(at, q->argv[i], len);
		free(q->argv[i]);
		q->argv[i] = NULL;
		at += len;
	}
	if (c->proto.input.n)
		memcpy(at, c->proto.input.p, c->proto.input.n);
	r->input = str_n(at, c->proto.input.n);
	r->server = c->server;
	r->client = c;
	r->be = &c->server->be;
	r->role = c->role;
	r->uid = c->uid;
	r->json = q->json;
	r->view = (struct print_opts){
	    .columns = q->columns, .abs = q->abs, .now_us = c->server->be.env->clock->wall_us};
	r->data = json_object();
	r->messages = json_array();
	r->holds = 1; /* the client's */
	list_push(&c->server->reqs, &r->node);
	c->req = r;
	return r;
}

static void keep_command(struct ctl_req *r, int argc, char *const *argv)
{
	struct buf b;

	buf_init(&b, r->command, sizeof(r->command) - 1);
	for (int i = 0; i < argc && b.n + 8 < b.cap; i++) {
		if (r->args.global[i])
			continue;
		if (b.n)
			buf_chr(&b, ' ');
		buf_escaped(&b, str_z(argv[i]), (b.cap - b.n) / 4 - 1);
	}
	r->command[b.n < sizeof(r->command) ? b.n : sizeof(r->command) - 1] = '\0';
}

void ctl_req_start(struct ctl_client *c)
{
	struct ctl_req *r = req_new(c);
	char *argv[PROTO_ARGS_MAX];
	struct ctl_global g = {0};
	struct text err = {0};
	int argc = c->proto.req.argc;
	char *at;

	if (!r) {
		ctl_client_send(c, 'e', S("error: out of memory\n"), 0);
		ctl_client_send(c, 'x', STR_NONE, 2);
		ctl_client_finish(c);
		return;
	}
	at = (char *)(r + 1);
	for (int i = 0; i < argc; i++) {
		argv[i] = at;
		at += strlen(at) + 1;
	}
	proto_fini(&c->proto);
	switch (ctl_parse(argc, argv, &r->args, &g, &err)) {
	case CTL_HELP:
		if (r->args.cmd)
			ctl_put_help(&err, r->args.cmd);
		else
			ctl_put_commands(&err, NULL);
		ctl_client_send(c, 'o', text_get(&err), 0);
		ctl_client_send(c, 'x', STR_NONE, 0);
		break;
	case CTL_USAGE:
		ctl_client_send(c, 'e', text_get(&err), 0);
		ctl_client_send(c, 'x', STR_NONE, 64);
		break;
	case CTL_PARSED:
		text_fini(&err);
		keep_command(r, argc, argv);
		r->holds++; /* the handler's */
		if (r->role < r->args.cmd->role)
			ctl_refuse(r, REASON_PERMISSION, "join the group, or use sudo",
			    "postern %s needs the group postern-%s; you have the role %s", r->args.cmd->name,
			    ctl_role_names[r->args.cmd->role], ctl_role_names[r->role]);
		else if (!handlers[r->args.cmd->id])
			ctl_refuse(r, REASON_INTERNAL, "", "postern %s is answered by the client", r->args.cmd->name);
		else
			handlers[r->args.cmd->id](r);
		ctl_release(r);
		return;
	}
	text_fini(&err);
	c->req = NULL;
	r->client = NULL;
	ctl_release(r);
	ctl_client_finish(c);
}

void ctl_req_client_gone(struct ctl_req *r)
{
	void (*leave)(struct ctl_req *r) = r->leave;

	if (r->server)
		timer_stop(&r->be->loop->timers, &r->timer);
	list_del(&r->follow);
	r->leave = NULL;
	if (leave)
		leave(r);
	ctl_release(r);
}

/* -------------------------------------------------------------------- arguments */

uint32_t ctl_uint(const struct ctl_req *r, const char *name, uint32_t def)
{
	const char *v = ctl_arg(r, name);
	uint32_t n;

	return v && str_u32(str_z(v), INT32_MAX, &n) == 0 ? n : def;
}

uint32_t ctl_seconds(const struct ctl_req *r, const char *name, uint32_t def)
{
	const char *v = ctl_arg(r, name);
	uint32_t s;

	return v && ctl_duration(str_z(v), &s) ? s : def;
}

/* -------------------------------------------------------------------- answering */

void ctl_set(struct ctl_req *r, const char *key, json_t *value)
{
	if (json_object_set_new(r->data, key, value) < 0)
		r->out.failed = true;
}

void ctl_say(struct ctl_req *r, const char *fmt, ...)
{
	va_list ap;

	if (r->json)
		return;
	va_start(ap, fmt);
	text_vfmt(&r->out, fmt, ap);
	va_end(ap);
}

void ctl_say_wrapped(struct ctl_req *r, const char *label, const char *text)
{
	if (r->json)
		return;
	text_fmt(&r->out, "%-9s", label);
	text_wrap(&r->out, str_z(text), 9, 9, r->view.columns);
}

void ctl_table(struct ctl_req *r, const char *key, json_t *rows, const struct print_col *cols, unsigned n_cols,
    const char *empty)
{
	if (!rows) {
		r->out.failed = true;
		return;
	}
	if (!r->json && json_array_size(rows))
		print_table(&r->out, rows, cols, n_cols, &r->view);
	else if (!r->json && empty)
		text_fmt(&r->out, "%s\n", empty);
	ctl_set(r, key, rows);
}

void ctl_block(struct ctl_req *r, const char *key, const struct print_col *cols, unsigned n_cols)
{
	if (!r->json)
		print_block(&r->out, key ? json_object_get(r->data, key) : r->data, cols, n_cols, &r->view);
}

static void message(struct ctl_req *r, const char *level, const char *area, enum reason why, const char *text,
    const char *todo)
{
	char code[REASON_CODE_MAX];
	json_t *m = json_object();

	json_object_set_new(m, "level", json_string(level));
	if (area)
		json_object_set_new(m, "area", json_string(area));
	if (why != REASON_NONE)
		json_object_set_new(m, "code", json_string(reason_code(why, code)));
	json_object_set_new(m, "text", print_jsonz(text));
	if (todo && todo[0])
		json_object_set_new(m, "todo", print_jsonz(todo));
	if (json_array_append_new(r->messages, m) < 0)
		r->out.failed = true;
}

void ctl_finding(struct ctl_req *r, int level, const char *area, const char *todo, const char *fmt, ...)
{
	static const char *const words[3] = {"ok", "warning", "error"}, *const shown[3] = {"ok", "WARN", "ERROR"};
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	if (level > r->code)
		r->code = level;
	message(r, words[level], area, REASON_NONE, text, todo);
	if (r->json)
		return;
	text_fmt(&r->out, "%-5s %-6s ", shown[level], area);
	text_wrap(&r->out, str_z(text), 13, 13, r->view.columns);
	if (todo && todo[0]) {
		text_fill(&r->out, ' ', 13);
		text_lit(&r->out, "-> ");
		text_wrap(&r->out, str_z(todo), 16, 16, r->view.columns);
	}
}

/* Every further finding of a refused change. */
static void put_detail(struct ctl_req *r)
{
	struct str rest = text_get(&r->detail), line;
	json_t *all = json_array();

	if (!r->json)
		text_str(&r->err, rest);
	while (!str_empty(rest)) {
		rest = str_cut(rest, '\n', &line);
		json_array_append_new(all, print_json(line));
	}
	ctl_set(r, "errors", all);
}

__attribute__((format(printf, 4, 0))) static void vfail(
    struct ctl_req *r, enum reason why, const char *hint, const char *fmt, va_list ap)
{
	char text[1200], code[REASON_CODE_MAX];
	const char *todo = hint ? hint : why == REASON_NONE ? "" : reason_info(why)->remedy;

	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	r->code = 2;
	message(r, "error", NULL, why, text, todo);
	if (r->json)
		return;
	text_fmt(&r->err, "error: %s", text);
	if (why != REASON_NONE)
		text_fmt(&r->err, "  [%s]", reason_code(why, code));
	text_lit(&r->err, "\n");
	if (todo[0]) {
		text_fill(&r->err, ' ', 7);
		text_wrap(&r->err, str_z(todo), 7, 7, r->view.columns);
	}
}

void ctl_fail(struct ctl_req *r, enum reason why, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfail(r, why, hint, fmt, ap);
	va_end(ap);
}

void ctl_refuse(struct ctl_req *r, enum reason why, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfail(r, why, hint, fmt, ap);
	va_end(ap);
	ctl_end(r);
}

/* The JSON as text; on the store thread for what comes from there. */
static void render(struct ctl_req *r)
{
	json_t *env;
	char *p;

	if (r->rendered || !r->json || r->out.failed)
		return;
	r->rendered = true;
	env = json_object();
	json_object_set_new(env, "postern", json_integer(PROTO_VERSION));
	json_object_set_new(env, "command", json_string(r->args.cmd ? r->args.cmd->name : ""));
	json_object_set_new(env, "code", json_integer(r->code));
	json_object_set(env, "data", r->data);
	json_object_set(env, "messages", r->messages);
	p = json_dumps(env, JSON_INDENT(2));
	json_decref(env);
	if (p)
		text_fmt(&r->out, "%s\n", p);
	else
		r->out.failed = true;
	free(p);
}

void ctl_end(struct ctl_req *r)
{
	struct ctl_client *c = r->client;

	if (r->ended)
		return;
	r->ended = true;
	if (r->leave) {
		r->leave = NULL;
		timer_stop(&r->be->loop->timers, &r->timer);
	}
	if (!c)
		return;
	if (r->on_trial && r->server)
		ctl_trial_say(r);
	render(r);
	if (r->out.failed || r->err.failed) {
		text_fini(&r->out);
		text_fini(&r->err);
		text_lit(&r->err, "error: answer is too large, or out of memory\n"
				  "       ask for less: --lines, --trunk, --since\n");
		r->code = 2;
	}
	r->client = NULL;
	ctl_client_answer(c, &r->out, &r->err, r->code);
	ctl_release(r);
}

/* -------------------------------------------------------------------- streams */

void ctl_flush(struct ctl_req *r)
{
	if (r->client && r->out.n)
		ctl_client_send(r->client, 'o', text_get(&r->out), 0);
	r->out.n = 0;
}

void ctl_stream(struct ctl_req *r, int64_t ms, timer_fn *fn)
{
	r->streaming = true;
	ctl_flush(r);
	if (r->client && fn)
		timer_start_ms(&r->be->loop->timers, &r->timer, ms, fn);
}

void ctl_wait(struct ctl_req *r, int64_t ms, timer_fn *late, ctl_then_fn *leave)
{
	if (!r->client) {
		leave(r);
		return;
	}
	r->streaming = true; /* its end of file is noticed at once */
	r->leave = leave;
	timer_start_ms(&r->be->loop->timers, &r->timer, ms, late);
}

void ctl_follow_cdrs(struct ctl_req *r)
{
	r->streaming = true;
	ctl_flush(r);
	if (r->client)
		list_push(&r->server->followers, &r->follow);
}

void ctl_json_line(struct ctl_req *r, json_t *j)
{
	char *p = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	if (p)
		text_fmt(&r->out, "%s\n", p);
	free(p);
}

void ctl_binary(struct ctl_req *r, struct str bytes)
{
	if (r->client)
		ctl_client_send(r->client, 'b', bytes, 0);
}

/* -------------------------------------------------------------------- the store */

struct ask {
	struct db_req req;
	struct ctl_req *r;
	ctl_store_fn *run;
	ctl_then_fn *show; /* on the store thread */
	ctl_then_fn *then;
};

static enum reason ask_run(struct db_handle *h, struct db_req *q, struct db_err *err)
{
	struct ask *a = container_of(q, struct ask, req);
	enum reason why;

	a->r->note.n = a->r->detail.n = 0;
	json_decref(a->r->made);
	a->r->made = NULL;
	if (a->show) {
		a->r->out.n = a->r->err.n = 0;
		json_object_clear(a->r->data);
		json_array_clear(a->r->messages);
		a->r->code = 0;
		a->r->rendered = false;
	}
	why = a->run(h, a->r, err);
	if (why == REASON_NONE && a->show) {
		a->show(a->r);
		render(a->r);
		/* all is in the text now; giving back a hundred thousand values takes its time too */
		json_decref(a->r->made);
		a->r->made = NULL;
		json_object_clear(a->r->data);
	}
	return why;
}

static void ask_done(struct db_req *q)
{
	struct ask *a = container_of(q, struct ask, req);
	struct ctl_req *r = a->r;

	if (r->server && r->client) {
		if (q->err.reason != REASON_NONE)
			ctl_refuse(r, q->err.reason, q->err.hint[0] ? q->err.hint : NULL, "%s", q->err.text);
		else
			a->then(r);
	}
	free(a);
	ctl_release(r);
}

static void ask_store(struct ctl_req *r, ctl_store_fn *run, ctl_then_fn *show, ctl_then_fn *then)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (!a) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	a->req.kind = DB_READ;
	a->req.run = ask_run;
	a->req.done = ask_done;
	a->r = r;
	a->run = run;
	a->show = show;
	a->then = then;
	r->holds++;
	db_submit_any(r->be->db, &a->req);
}

void ctl_read(struct ctl_req *r, ctl_store_fn *run, ctl_then_fn *then)
{
	ask_store(r, run, NULL, then);
}

void ctl_read_and_show(struct ctl_req *r, ctl_store_fn *run, ctl_then_fn *show)
{
	ask_store(r, run, show, ctl_end);
}

struct change {
	struct db_change change;
	struct ctl_req *r;
	ctl_store_fn *apply;
	ctl_then_fn *then;
	struct ctl_check check;
};

void ctl_check_init(struct ctl_check *c, const struct ctl_backend *be)
{
	c->policy = policy_ref(b2b_policy(be->b2b));
	c->conf = conf_ref((struct conf *)be->ops->conf(be->ctx));
	c->key = be->env->hash_key;
}

void ctl_check_fini(struct ctl_check *c)
{
	policy_unref(c->policy);
	conf_unref(c->conf);
}

static enum reason change_apply(struct db_handle *h, struct db_change *ch, struct db_err *err)
{
	struct change *c = container_of(ch, struct change, change);
	char space[1024];
	struct passwd pw, *found = NULL;

	/* a name for the history; looked up here, because it may ask a directory server */
	if (!ch->who.user[0] && getpwuid_r(ch->who.uid, &pw, space, sizeof(space), &found) == 0 && found)
		snprintf(ch->who.user, sizeof(ch->who.user), "%s", found->pw_name);
	c->r->note.n = c->r->detail.n = 0;
	json_decref(c->r->made);
	c->r->made = NULL;
	return c->apply(h, c->r, err);
}

enum reason ctl_check_rows(const struct ctl_check *c, const struct db_rows *rows, struct db_err *err)
{
	unsigned n = policy_realm_count(c->policy);
	struct pol_realm *realms = calloc(n ? n : 1, sizeof(*realms));
	struct str *certs = calloc(c->conf->n_certs + 1, sizeof(*certs));
	struct policy_errors *errs = calloc(1, sizeof(*errs));
	struct policy *p = NULL;
	enum reason why = REASON_NO_MEMORY;
	int r;

	if (realms && certs && errs) {
		for (unsigned i = 0; i < c->conf->n_certs; i++)
			certs[i] = c->conf->certs[i].name;
		for (unsigned i = 0; i < n; i++)
			realms[i] = *policy_realm(c->policy, i);
		r = policy_compile(&(struct policy_input){.realms = realms,
				       .n_realms = n,
				       .rows = rows,
				       .certs = certs,
				       .n_certs = c->conf->n_certs,
				       .hash_key = c->key},
		    &p, errs);
		why = r == 0 ? REASON_NONE : r == -EINVAL ? REASON_BAD_VALUE : REASON_NO_MEMORY;
		if (why == REASON_BAD_VALUE)
			db_fail(err, why, errs->e[0].hint, "%s: %s", errs->e[0].object, errs->e[0].text);
	}
	if (why == REASON_NO_MEMORY)
		db_fail(err, why, "", "out of memory");
	policy_unref(p);
	free(realms);
	free(certs);
	free(errs);
	return why;
}

static enum reason change_check(struct db_change *ch, const struct db_rows *rows, struct db_err *err)
{
	return ctl_check_rows(&container_of(ch, struct change, change)->check, rows, err);
}

static void change_free(struct change *c)
{
	struct ctl_req *r = c->r;

	ctl_check_fini(&c->check);
	db_rows_free(c->change.rows);
	free(c);
	ctl_release(r);
}

static void change_swapped(void *arg, enum reason why, const char *text)
{
	struct change *c = arg;
	struct ctl_req *r = c->r;

	if (r->server && r->client) {
		if (why != REASON_NONE)
			ctl_refuse(r, why, "it is stored: postern reload tries again",
			    "stored, but the running policy could not be changed: %s", text ? text : "");
		else
			c->then(r);
	}
	change_free(c);
}

static void change_done(struct db_change *ch)
{
	struct change *c = container_of(ch, struct change, change);
	struct ctl_req *r = c->r;
	const struct db_err *err = &ch->req.err;

	if (!r->server) {
		change_free(c);
		return;
	}
	if (err->reason != REASON_NONE) {
		log_info(&r->server->log, "change_refused", "uid=%u command=\"%s\" reason=%s", r->uid, r->command,
		    reason_info(err->reason)->name);
		if (r->client && r->detail.n)
			put_detail(r);
		if (r->client)
			ctl_refuse(r, err->reason, err->hint[0] ? err->hint : NULL, "%s", err->text);
		change_free(c);
		return;
	}
	ctl_set(r, "revision", json_integer((json_int_t)ch->revision));
	ctl_set(r, "changed", json_boolean(ch->changed));
	if (!ch->dry_run)
		ctl_trial_news(r->server, &ch->trial);
	r->on_trial = ch->changed && ch->trial_until_us && !ch->dry_run;
	if (!ch->changed || ch->dry_run) {
		if (r->client)
			c->then(r);
		change_free(c);
		return;
	}
	log_info(&r->server->log, "change", "uid=%u user=%s revision=%llu command=\"%s\"", r->uid,
	    ch->who.user[0] ? ch->who.user : "-", (unsigned long long)ch->revision, r->command);
	r->be->ops->policy_changed(r->be->ctx, change_swapped, c);
}

void ctl_change(struct ctl_req *r, bool dry_run, ctl_store_fn *apply, ctl_then_fn *then)
{
	uint32_t trial_s = ctl_seconds(r, "--confirm", 0);
	struct change *c;

	if (ctl_flag(r, "--confirm") && (trial_s < 10 || trial_s > CTL_TRIAL_MAX_S)) {
		ctl_refuse(r, REASON_BAD_VALUE, "--confirm 5m", "--confirm wants 10 seconds to a day");
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	c->r = r;
	c->apply = apply;
	c->then = then;
	ctl_check_init(&c->check, r->be);
	if (trial_s)
		c->change.trial_until_us = r->be->env->clock->wall_us + (int64_t)trial_s * 1000000;
	c->change.who.uid = r->uid;
	snprintf(c->change.who.why, sizeof(c->change.who.why), "%s", r->command);
	c->change.dry_run = dry_run;
	c->change.apply = change_apply;
	c->change.check = change_check;
	c->change.done = change_done;
	r->holds++;
	db_change_submit_any(r->be->db, &c->change);
}

void ctl_said(struct ctl_req *r)
{
	if (r->note.n) {
		ctl_say(r, "%s", text_z(&r->note));
		ctl_set(r, "text", print_json(text_get(&r->note)));
	}
	ctl_end(r);
}
