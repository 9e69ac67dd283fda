/* trial.c - `--confirm 5m`: a change is taken back by itself unless `db confirm` comes before.
 *
 * The store keeps which revisions are on trial and until when (db/trial.c). The server reads that at its start, hears of
 * it after each change, and takes all of them back, in one revision, when the time is over: also what ended while no
 * daemon ran. What was changed on top since may forbid that: then nothing is touched, and `status` says so until
 * somebody decides. A store that cannot write (disk full, locked) is asked again and again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sbc/ctl/server.h"
#include "sbc/ctl/view.h"

#define AGAIN_MS 5000 /* while the store cannot write */

struct ctl_trial_job {
	union {
		struct db_req read;
		struct db_change change;
	};
	struct ctl_server *server; /* NULL: it is gone */
	struct ctl_check check;    /* of a change */
	struct db_trial found;
};

static void on_time(struct timer *t);

/* Does the reason lie in what is stored, so that trying again is no use? */
static bool for_good(enum reason why)
{
	return why == REASON_DB_CONFLICT || why == REASON_BAD_VALUE;
}

static void follow(struct ctl_server *s)
{
	struct ctl_trial *t = &s->trial;
	int64_t left_us = t->now.until_us - s->be.env->clock->wall_us;

	timer_stop(s->be.env->timers, &t->timer);
	if (!t->now.n || t->job || for_good(t->failed))
		return;
	timer_start_ms(s->be.env->timers, &t->timer,
	    t->failed != REASON_NONE ? AGAIN_MS : left_us > 0 ? left_us / 1000 + 1 : 0, on_time);
}

void ctl_trial_news(struct ctl_server *s, const struct db_trial *now)
{
	struct ctl_trial *t = &s->trial;

	/* tried again with what is there now, not every time something else is changed */
	if (now->newest != t->now.newest || now->n != t->now.n || now->until_us != t->now.until_us)
		t->failed = REASON_NONE;
	t->now = *now;
	follow(s);
}

/* -------------------------------------------------------------------- taking back */

static enum reason revert_apply(struct db_handle *h, struct db_change *c, struct db_err *err)
{
	return db_trial_revert(h, &container_of(c, struct ctl_trial_job, change)->found, err);
}

static enum reason revert_check(struct db_change *c, const struct db_rows *rows, struct db_err *err)
{
	return ctl_check_rows(&container_of(c, struct ctl_trial_job, change)->check, rows, err);
}

static void reverted_swapped(void *arg, enum reason why, const char *text)
{
	struct ctl_trial_job *job = arg;

	if (why != REASON_NONE && job->server)
		log_error(&job->server->log, "trial_not_swapped", "reason=%s text=\"%s\"", reason_info(why)->name,
		    text ? text : "");
	db_rows_free(job->change.rows);
	ctl_check_fini(&job->check);
	if (job->server) {
		job->server->trial.job = NULL;
		follow(job->server);
	}
	free(job);
}

static void reverted(struct db_change *c)
{
	struct ctl_trial_job *job = container_of(c, struct ctl_trial_job, change);
	struct ctl_server *s = job->server;
	const struct db_err *err = &c->req.err;

	if (!s) {
		reverted_swapped(job, REASON_NONE, NULL);
		return;
	}
	if (err->reason == REASON_NONE) {
		s->trial.now = c->trial;
		s->trial.failed = REASON_NONE;
		log_warn(&s->log, "trial_over", "changes=%u revision=%llu", job->found.n, (unsigned long long)c->revision);
		s->be.ops->policy_changed(s->be.ctx, reverted_swapped, job);
		return;
	}
	if (err->reason == REASON_NO_SUCH) { /* somebody was faster */
		s->trial.now = (struct db_trial){.n = 0};
	} else {
		s->trial.failed = err->reason;
		snprintf(s->trial.text, sizeof(s->trial.text), "%s", err->text);
		log_error(&s->log, "trial_not_reverted", "reason=%s text=\"%s\"", reason_info(err->reason)->name, err->text);
	}
	reverted_swapped(job, REASON_NONE, NULL);
}

static void on_time(struct timer *timer)
{
	struct ctl_server *s = container_of(timer, struct ctl_server, trial.timer);
	struct ctl_trial_job *job = calloc(1, sizeof(*job));

	if (!job) {
		timer_start_ms(s->be.env->timers, &s->trial.timer, 1000, on_time);
		return;
	}
	job->server = s;
	ctl_check_init(&job->check, &s->be);
	job->change.who = (struct db_who){.user = "posternd", .why = "not confirmed in time"};
	job->change.apply = revert_apply;
	job->change.check = revert_check;
	job->change.done = reverted;
	s->trial.job = job;
	db_change_submit_any(s->be.db, &job->change);
}

/* -------------------------------------------------------------------- start and end */

static enum reason read_run(struct db_handle *h, struct db_req *q, struct db_err *err)
{
	return db_trial_get(h, &container_of(q, struct ctl_trial_job, read)->found, err);
}

static void read_done(struct db_req *q)
{
	struct ctl_trial_job *job = container_of(q, struct ctl_trial_job, read);
	struct ctl_server *s = job->server;

	if (s) {
		s->trial.job = NULL;
		if (q->err.reason == REASON_NONE)
			ctl_trial_news(s, &job->found);
		else
			log_error(&s->log, "trial_not_read", "text=\"%s\"", q->err.text);
	}
	free(job);
}

void ctl_trial_start(struct ctl_server *s)
{
	struct ctl_trial_job *job = calloc(1, sizeof(*job));

	if (!job) {
		log_error(&s->log, "trial_not_read", "text=\"out of memory\"");
		return;
	}
	job->server = s;
	job->read = (struct db_req){.kind = DB_READ, .run = read_run, .done = read_done};
	s->trial.job = job;
	db_submit_any(s->be.db, &job->read);
}

void ctl_trial_stop(struct ctl_server *s)
{
	timer_stop(s->be.env->timers, &s->trial.timer);
	if (s->trial.job)
		s->trial.job->server = NULL;
	s->trial.job = NULL;
}

/* -------------------------------------------------------------------- what is said of it, and commands */

static void put_left(struct text *t, const struct ctl_server *s)
{
	int64_t left_us = s->trial.now.until_us - s->be.env->clock->wall_us;

	print_duration_ms(t, left_us > 0 ? left_us / 1000 : 0);
}

void ctl_trial_say(struct ctl_req *r)
{
	struct text left = {0};

	put_left(&left, r->server);
	ctl_set(r, "trial_until_us", json_integer(r->server->trial.now.until_us));
	ctl_say(r, "on trial: taken back in %s unless: postern db confirm\n", text_z(&left));
	text_fini(&left);
}

void view_trial_finding(struct ctl_req *r)
{
	const struct ctl_trial *t = &r->server->trial;
	struct text left = {0};

	if (!t->now.n)
		return;
	if (t->failed != REASON_NONE) {
		ctl_finding(r, 2, "trial", "postern db confirm keeps it; or undo the later revisions, then postern db revert",
		    "%u change%s not confirmed in time, and could not be taken back: %s", t->now.n,
		    t->now.n == 1 ? " was" : "s were", t->text);
		return;
	}
	put_left(&left, r->server);
	ctl_finding(r, 1, "trial", "postern db confirm, or postern db revert", "%u change%s taken back in %s", t->now.n,
	    t->now.n == 1 ? " is" : "s are", text_z(&left));
	text_fini(&left);
}

static enum reason keep(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_trial t;
	enum reason why = db_trial_keep(h, &t, err);

	if (why == REASON_NONE)
		text_fmt(&r->note, "kept: %u change%s\n", t.n, t.n == 1 ? "" : "s");
	return why;
}

void cmd_db_confirm(struct ctl_req *r)
{
	ctl_change(r, false, keep, ctl_said);
}

static enum reason revert(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct db_trial t;
	enum reason why = db_trial_revert(h, &t, err);

	if (why == REASON_NONE)
		text_fmt(&r->note, "taken back: %u change%s\n", t.n, t.n == 1 ? "" : "s");
	return why;
}

void cmd_db_revert(struct ctl_req *r)
{
	ctl_change(r, false, revert, ctl_said);
}
