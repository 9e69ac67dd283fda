/* cmd_db.c - care of the database: check, backup, figures, history, undo.
 *
 * A backup goes into the state directory only: the control socket takes no paths, so that nobody who may talk to it
 * writes elsewhere with the daemon's rights.
 */
#include <stdlib.h>
#include <time.h>

#include "sbc/ctl/view.h"

static void check_line(void *ctx, const char *line)
{
	struct ctl_req *r = ctx;

	json_array_append_new(r->made, print_jsonz(line));
}

static enum reason check_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	r->made = json_array();
	return db_check(h, check_line, r, err);
}

static void check_loaded(struct ctl_req *r)
{
	size_t i;
	json_t *e;

	json_array_foreach(r->made, i, e)
		ctl_finding(r, 2, "db", NULL, "%s", json_string_value(e));
	if (r->code == 0)
		ctl_say(r, "the database is well\n");
	else
		ctl_say(r, "%s\n", reason_info(REASON_DB_DAMAGED)->remedy);
}

void cmd_db_check(struct ctl_req *r)
{
	ctl_read_and_show(r, check_load, check_loaded);
}

/* -------------------------------------------------------------------- backup */

static enum reason backup_run(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	return db_backup(h, r->work, err);
}

static void backup_done(struct ctl_req *r)
{
	ctl_set(r, "file", print_jsonz(r->work));
	ctl_say(r, "copied to %s\n", (const char *)r->work);
	ctl_end(r);
}

static bool file_name_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chr_digit(s.p[i]) && !(chr_lower(s.p[i]) >= 'a' && chr_lower(s.p[i]) <= 'z') &&
		    (i == 0 || !strchr("-_.", s.p[i])))
			return false;
	return s.n > 0 && s.n <= 100;
}

void cmd_db_backup(struct ctl_req *r)
{
	const struct conf *c = r->be->ops->conf(r->be->ctx);
	struct str dir = str_z(c->state_dir), name = ctl_arg_str(r, "NAME");
	time_t now = (time_t)(r->view.now_us / 1000000);
	struct text path = {0};
	struct tm tm;

	/* the whole path of a file right there is as good as its name */
	if (str_prefix(name, dir) && name.n > dir.n && name.p[dir.n] == '/')
		name = str_from(name, dir.n + 1);
	text_fmt(&path, "%.*s/", STR(dir));
	if (name.n)
		text_str(&path, name);
	else if (localtime_r(&now, &tm))
		text_fmt(&path, "postern-%04d%02d%02d-%02d%02d%02d.db", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		    tm.tm_hour, tm.tm_min, tm.tm_sec);
	else
		text_lit(&path, "postern-backup.db");
	if (path.failed || (name.n && (!file_name_ok(name) || str_prefix(name, S("postern.db"))))) {
		text_fini(&path);
		ctl_refuse(r, REASON_BAD_VALUE, "a name of letters, digits, '-', '_' and '.', not postern.db; it is written "
					       "into the state directory",
		    "'%s' is no name for a backup", ctl_arg(r, "NAME"));
		return;
	}
	r->work = path.p; /* malloc'ed: goes with the request */
	ctl_read(r, backup_run, backup_done);
}

/* -------------------------------------------------------------------- figures */

void cmd_db_stats(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"requests", "requests", PK_NUM, 0},
	    {"commits", "commits", PK_NUM, 0},
	    {"rollbacks", "rolled back", PK_NUM, 0},
	    {"commit_max_us", "slowest commit", PK_US, 0},
	    {"cdr_written", "call records written", PK_NUM, 0},
	    {"cdr_lost", "call records lost", PK_NUM, 0},
	    {"recovered", "recovered at start", PK_NUM, 0},
	    {"waiting", "waiting", PK_NUM, 0},
	    {"schema", "schema", PK_NUM, 0},
	    {"revision", "revision", PK_NUM, 0},
	    {"trouble", "trouble", PK_TEXT, 0},
	};
	struct db_stats s;

	db_stats_any(r->be->db, &s);
	ctl_set(r, "requests", json_integer((json_int_t)s.requests));
	ctl_set(r, "commits", json_integer((json_int_t)s.commits));
	ctl_set(r, "rollbacks", json_integer((json_int_t)s.rollbacks));
	ctl_set(r, "commit_max_us", json_integer(s.commit_max_us));
	ctl_set(r, "cdr_written", json_integer((json_int_t)s.cdr_written));
	ctl_set(r, "cdr_lost", json_integer((json_int_t)s.cdr_lost));
	ctl_set(r, "recovered", json_integer((json_int_t)s.recovered));
	ctl_set(r, "waiting", json_integer(s.waiting));
	ctl_set(r, "schema", json_integer(s.schema));
	ctl_set(r, "revision", json_integer((json_int_t)policy_revision(b2b_policy(r->be->b2b))));
	ctl_set(r, "trouble", json_string(s.trouble == REASON_NONE ? "none" : reason_info(s.trouble)->text));
	ctl_block(r, NULL, cols, ARRAY_LEN(cols));
	if (s.trouble != REASON_NONE)
		ctl_finding(r, 2, "db", reason_info(s.trouble)->remedy, "%s", reason_info(s.trouble)->text);
	ctl_end(r);
}

/* -------------------------------------------------------------------- history */

static bool history_row(void *ctx, const struct db_revision *v)
{
	struct ctl_req *r = ctx;
	json_t *j = json_object();
	struct text who = {0};

	if (v->who.user[0])
		text_fmt(&who, "%s", v->who.user);
	else
		text_fmt(&who, "uid %u", v->who.uid);
	json_object_set_new(j, "revision", json_integer((json_int_t)v->id));
	json_object_set_new(j, "at_us", json_integer(v->at_us));
	json_object_set_new(j, "who", print_json(text_get(&who)));
	json_object_set_new(j, "changes", json_integer(v->n_changes));
	json_object_set_new(j, "what", print_jsonz(v->who.why));
	json_array_append_new(r->made, j);
	text_fini(&who);
	return true;
}

static bool history_line(void *ctx, const char *line)
{
	struct ctl_req *r = ctx;

	json_array_append_new(r->made, print_jsonz(line));
	return json_array_size(r->made) < 10000;
}

static enum reason history_load(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	r->made = json_array();
	if (ctl_arg(r, "REVISION"))
		return db_revision_show(h, ctl_uint(r, "REVISION", 0), history_line, r, err);
	return db_revision_list(h, 0, ctl_uint(r, "--lines", 20), history_row, r, err);
}

static void history_loaded(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"revision", "REV", PK_NUM, 0},
	    {"at_us", "WHEN", PK_WHEN, 0},
	    {"who", "WHO", PK_TEXT, 0},
	    {"changes", "ROWS", PK_NUM, 1},
	    {"what", "WHAT", PK_TEXT, 0},
	};
	size_t i;
	json_t *e;

	if (ctl_arg(r, "REVISION")) {
		json_array_foreach(r->made, i, e)
			ctl_say(r, "%s\n", json_string_value(e));
		ctl_set(r, "lines", json_incref(r->made));
	} else {
		ctl_table(r, "revisions", json_incref(r->made), cols, ARRAY_LEN(cols), "nothing was changed yet");
	}
}

void cmd_db_history(struct ctl_req *r)
{
	ctl_read_and_show(r, history_load, history_loaded);
}

static enum reason undo(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	enum reason why = db_revision_undo(h, ctl_uint(r, "REVISION", 0), err);

	if (why == REASON_NONE)
		text_fmt(&r->note, "revision %s undone\n", ctl_arg(r, "REVISION"));
	return why;
}

void cmd_db_undo(struct ctl_req *r)
{
	ctl_change(r, false, undo, ctl_said);
}
