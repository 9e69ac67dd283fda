/* local.c - commands that need no daemon: configuration file, reason catalogue, help, completion. */
#include "sbc/ctl/local.h"

#include <stdlib.h>

#include "conf/conf.h"
#include "sbc/base/reason.h"

#define CTL_HANDLER_LOCAL(id) static void local_##id(struct local *l);
#define CTL_HANDLER_DAEMON(id)
#define COMMAND(id, path, role, where, ...) CTL_HANDLER_##where(id)
#define ARG(...)
#define OPT(...)
#include "sbc/ctl/commands.def"
#undef COMMAND

local_handler *local_find(enum ctl_cmd_id id)
{
	static local_handler *const handlers[CTL_CMDS] = {
#define CTL_ENTRY_LOCAL(id) [CTL_CMD_##id] = local_##id,
#define CTL_ENTRY_DAEMON(id)
#define COMMAND(id, path, role, where, ...) CTL_ENTRY_##where(id)
#include "sbc/ctl/commands.def"
#undef COMMAND
#undef ARG
#undef OPT
	};

	return handlers[id];
}

static void fail(struct local *l, const char *hint, const char *what, const char *typed)
{
	l->code = 2;
	text_fmt(&l->err, "error: no %s '%s'\n       %s\n", what, typed, hint);
}

/* -------------------------------------------------------------------- configuration */

static void local_config_check(struct local *l)
{
	const char *file = ctl_value(&l->args, "FILE");
	struct conf_report rep;
	struct conf *c = conf_load_file(file ? file : CONF_FILE_DEFAULT, &rep);
	json_t *issues = json_array();
	char text[4096];
	struct buf b;

	for (unsigned i = 0; i < rep.n_issues; i++) {
		const struct conf_issue *is = &rep.issues[i];
		json_t *j = json_object();

		buf_init(&b, text, sizeof(text));
		conf_issue_put(&b, &rep, is);
		text_str(&l->out, buf_text(&b));
		json_object_set_new(j, "level", json_string(is->severity == CONF_ERROR ? "error" : "warning"));
		json_object_set_new(j, "line", json_integer(is->line));
		json_object_set_new(j, "col", json_integer(is->col));
		json_object_set_new(j, "text", print_jsonz(is->text));
		json_object_set_new(j, "help", print_jsonz(is->help));
		json_array_append_new(issues, j);
	}
	buf_init(&b, text, sizeof(text));
	conf_report_put_count(&b, &rep);
	if (rep.n_issues < rep.n_errors + rep.n_warnings)
		text_fmt(&l->out, "only the first %u are shown\n", rep.n_issues);
	if (rep.n_errors)
		text_fmt(&l->out, "%.*s. The file cannot be used.\n", STR(buf_text(&b)));
	else if (rep.n_warnings)
		text_fmt(&l->out, "%.*s. The file can be used: postern reload\n", STR(buf_text(&b)));
	else
		text_fmt(&l->out, "%s is well: %u realm%s. Apply it with: postern reload\n", rep.file, c->n_realms,
		    c->n_realms == 1 ? "" : "s");
	json_object_set_new(l->data, "file", print_jsonz(rep.file));
	json_object_set_new(l->data, "errors", json_integer(rep.n_errors));
	json_object_set_new(l->data, "warnings", json_integer(rep.n_warnings));
	json_object_set_new(l->data, "issues", issues);
	l->code = rep.n_errors ? 2 : rep.n_warnings ? 1 : 0;
	conf_report_fini(&rep);
	conf_unref(c);
}

static void local_config_schema(struct local *l)
{
	const char *want = ctl_value(&l->args, "SECTION");
	unsigned ns, nk, shown = 0;
	const struct conf_section *s = conf_sections(&ns);
	const struct conf_key *k = conf_keys(&nk);
	json_t *rows = json_array();

	for (unsigned i = 0; i < ns; i++) {
		if (want && strcmp(want, s[i].name))
			continue;
		text_fmt(&l->out, "%s%s%s%s\n", shown++ ? "\n" : "", s[i].name, s[i].title ? " NAME" : "",
		    s[i].multi ? "   (may stand several times)" : "");
		text_lit(&l->out, "    ");
		text_wrap(&l->out, str_z(s[i].help), 4, 4, l->view.columns);
		for (unsigned j = 0; j < nk; j++) {
			char type[200];
			struct buf b;
			json_t *e;

			if (strcmp(k[j].section, s[i].name))
				continue;
			buf_init(&b, type, sizeof(type));
			conf_key_put_type(&b, &k[j]);
			text_fmt(&l->out, "  %s = %.*s\n      ", k[j].name, STR(buf_text(&b)));
			text_wrap(&l->out, str_z(k[j].help), 6, 6, l->view.columns);
			text_fmt(&l->out, "      %s%s%s; for example %s\n",
			    !k[j].def ? "must be given" : k[j].def[0] ? "default " : "not set by default",
			    k[j].def ? k[j].def : "", k[j].live ? "" : "; a change needs a restart", k[j].example);
			e = json_object();
			json_object_set_new(e, "section", json_string(k[j].section));
			json_object_set_new(e, "key", json_string(k[j].name));
			json_object_set_new(e, "type", print_json(buf_text(&b)));
			json_object_set_new(e, "default", k[j].def ? json_string(k[j].def) : json_null());
			json_object_set_new(e, "required", json_boolean(!k[j].def));
			json_object_set_new(e, "live", json_boolean(k[j].live));
			json_object_set_new(e, "help", json_string(k[j].help));
			json_object_set_new(e, "example", json_string(k[j].example));
			json_array_append_new(rows, e);
		}
	}
	json_object_set_new(l->data, "keys", rows);
	if (!shown)
		fail(l, "sections: box realm log limits media dns", "section", want);
}

static void local_config_default(struct local *l)
{
	char *text = malloc(CONF_DEFAULT_MAX);
	struct buf b;

	if (!text) {
		l->out.failed = true;
		return;
	}
	buf_init(&b, text, CONF_DEFAULT_MAX);
	conf_put_default(&b);
	text_str(&l->out, buf_text(&b));
	json_object_set_new(l->data, "text", print_json(buf_text(&b)));
	free(text);
}

/* -------------------------------------------------------------------- reasons */

static json_t *reason_json(enum reason r)
{
	const struct reason_info *i = reason_info(r);
	char code[REASON_CODE_MAX];
	json_t *j = json_object();

	json_object_set_new(j, "code", json_string(reason_code(r, code)));
	json_object_set_new(j, "name", json_string(i->name));
	json_object_set_new(j, "sip", i->sip ? json_integer(i->sip) : json_null());
	json_object_set_new(j, "q850", i->q850 ? json_integer(i->q850) : json_null());
	json_object_set_new(j, "text", json_string(i->text));
	json_object_set_new(j, "remedy", json_string(i->remedy));
	return j;
}

static void local_error_list(struct local *l)
{
	static const struct print_col cols[] = {
	    {"code", "CODE", PK_TEXT, 0},
	    {"sip", "SIP", PK_NUM, 0},
	    {"q850", "Q.850", PK_NUM, 1},
	    {"text", "REASON", PK_TEXT, 0},
	};
	const char *prefix = ctl_value(&l->args, "PREFIX");
	struct str p = str_z(prefix);
	json_t *rows = json_array();

	if (str_iprefix(p, S("PSN-E")))
		p = str_from(p, 5);
	else if (str_iprefix(p, S("E")))
		p = str_from(p, 1);
	for (int r = 1; r < REASON_COUNT; r++) {
		char n[8];
		struct buf b;

		buf_init(&b, n, sizeof(n));
		buf_u64(&b, reason_info((enum reason)r)->number);
		if (str_prefix(buf_text(&b), p))
			json_array_append_new(rows, reason_json((enum reason)r));
	}
	if (json_array_size(rows))
		print_table(&l->out, rows, cols, ARRAY_LEN(cols), &l->view);
	else
		fail(l, "postern error list shows all", "code that begins with", prefix);
	json_object_set_new(l->data, "reasons", rows);
}

static void show_reason(struct local *l)
{
	static const struct print_col cols[] = {
	    {"code", "code", PK_TEXT, 0},
	    {"name", "name", PK_TEXT, 0},
	    {"text", "means", PK_TEXT, 0},
	    {"sip", "SIP answer", PK_NUM, 0},
	    {"q850", "Q.850 cause", PK_NUM, 0},
	    {"remedy", "remedy", PK_TEXT, 0},
	};
	const char *typed = ctl_value(&l->args, "CODE");
	enum reason r = reason_parse(str_z(typed));

	for (int i = 1; r == REASON_NONE && i < REASON_COUNT; i++)
		if (str_ieq(str_z(typed), str_z(reason_info((enum reason)i)->name)))
			r = (enum reason)i;
	if (r == REASON_NONE) {
		fail(l, "postern error list shows all", "reason", typed);
		return;
	}
	json_object_set_new(l->data, "reason", reason_json(r));
	print_block(&l->out, json_object_get(l->data, "reason"), cols, ARRAY_LEN(cols), &l->view);
}

static void local_error_show(struct local *l)
{
	show_reason(l);
}

static void local_why_code(struct local *l)
{
	show_reason(l);
}

/* -------------------------------------------------------------------- help */

static void local_completion(struct local *l)
{
	(void)ctl_put_completion(&l->out, str_z(ctl_value(&l->args, "SHELL"))); /* the parser knows the shells */
	json_object_set_new(l->data, "text", print_json(text_get(&l->out)));
}

static void put_topic(struct local *l, const char *one, const char *two)
{
	unsigned n;
	const struct ctl_row *rows = ctl_rows(&n);
	struct text path = {0};
	size_t before = l->out.n;

	text_fmt(&path, "%s%s%s", one, two ? " " : "", two ? two : "");
	for (unsigned i = 0; i < n; i++)
		if (rows[i].kind == CTL_ROW_CMD && str_eq(str_z(rows[i].name), text_get(&path))) {
			ctl_put_help(&l->out, &rows[i]);
			text_fini(&path);
			return;
		}
	if (!two)
		ctl_put_commands(&l->out, one);
	if (l->out.n == before)
		fail(l, "postern help lists all commands", "command", text_z(&path));
	text_fini(&path);
}

static void local_help(struct local *l)
{
	const char *one = ctl_value_at(&l->args, "COMMAND", 0), *two = ctl_value_at(&l->args, "COMMAND", 1);

	if (ctl_value(&l->args, "--man")) {
		ctl_put_man(&l->out);
	} else if (one) {
		put_topic(l, one, two);
	} else {
		text_lit(&l->out, "postern COMMAND [ARGUMENT...] [OPTION...]\n\n");
		ctl_put_commands(&l->out, NULL);
		text_lit(&l->out, "\nMore on one: postern help COMMAND. Manual page: postern help --man | man -l -\n");
	}
	json_object_set_new(l->data, "text", print_json(text_get(&l->out)));
}

static void local_version(struct local *l)
{
	char daemon[64] = "";

	text_lit(&l->out, "postern " POSTERN_VERSION "\n");
	json_object_set_new(l->data, "postern", json_string(POSTERN_VERSION));
	if (l->daemon_version)
		l->daemon_version(l, daemon, sizeof(daemon));
	if (!daemon[0])
		return;
	text_fmt(&l->out, "posternd %s\n", daemon);
	json_object_set_new(l->data, "posternd", print_jsonz(daemon));
	if (strcmp(daemon, POSTERN_VERSION)) {
		text_lit(&l->out, "they differ: restart posternd, or install the other client\n");
		l->code = 1;
	}
}
