/* table.c - the command table, its parser, and everything printed from it.
 *
 * commands.def becomes one flat list of rows; a command's arguments and options are the rows behind it. The parser
 * knows no command by name. Whatever is typed wrong is answered with what was expected, the nearest right word and
 * the usage line; nothing is guessed and run.
 */
#include "sbc/ctl/table.h"

#include "sbc/base/addr.h"
#include "sbc/base/log.h"
#include "sbc/base/reason.h"
#include "sbc/ctl/ctl.h"
#include "sbc/policy/trunk_keys.h"

const char *const ctl_role_names[4] = {"nobody", "view", "oper", "admin"};

enum { OPTIONAL = CTL_OPTIONAL, REPEAT = CTL_REPEAT };

static const struct ctl_row rows[] = {
#define COMMAND(cid, path, crole, cwhere, chelp, cexample)                                                             \
	{.kind = CTL_ROW_CMD,                                                                                          \
	    .role = CTL_##crole,                                                                                       \
	    .where = CTL_##cwhere,                                                                                     \
	    .id = CTL_CMD_##cid,                                                                                       \
	    .name = path,                                                                                              \
	    .help = chelp,                                                                                             \
	    .example = cexample},
#define ARG(aname, atype, aflags, ahelp)                                                                               \
	{.kind = CTL_ROW_ARG, .type = CT_##atype, .flags = (aflags), .name = aname, .value = aname, .help = ahelp},
#define OPT(oname, oshort, ovalue, otype, oflags, ohelp)                                                               \
	{.kind = CTL_ROW_OPT,                                                                                          \
	    .type = CT_##otype,                                                                                        \
	    .flags = (oflags),                                                                                         \
	    .letter = oshort,                                                                                          \
	    .name = oname,                                                                                             \
	    .value = ovalue,                                                                                           \
	    .help = ohelp},
#include "sbc/ctl/commands.def"
#undef COMMAND
#undef ARG
#undef OPT
};

_Static_assert(CTL_CMDS <= 255, "ids fit a byte");

const struct ctl_row *ctl_rows(unsigned *ret_n)
{
	*ret_n = ARRAY_LEN(rows);
	return rows;
}

const struct ctl_row *ctl_command(enum ctl_cmd_id id)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].kind == CTL_ROW_CMD && rows[i].id == id)
			return &rows[i];
	return NULL;
}

const struct ctl_row *ctl_sub_next(const struct ctl_row *cmd, const struct ctl_row *after)
{
	const struct ctl_row *r = (after ? after : cmd) + 1;

	return r < rows + ARRAY_LEN(rows) && r->kind != CTL_ROW_CMD ? r : NULL;
}

bool ctl_hidden(const struct ctl_row *cmd)
{
	return cmd->name[0] == '_';
}

/* -------------------------------------------------------------------- options that all commands have */

static const struct {
	const char *name, *value, *help;
	char letter;
} globals[] = {
    {"--json", "", "JSON instead of text", 'j'},
    {"--quiet", "", "print nothing, only the exit code: 0 ok, 1 warning, 2 error, 3 not reachable, 64 usage", 'q'},
    {"--watch", "SECONDS", "again and again; 2 seconds when no number is given as --watch=N", 'w'},
    {"--absolute", "", "times of the clock instead of how long ago", 'T'},
    {"--yes", "", "do not ask before something dangerous", 'y'},
    {"--socket", "PATH", "control socket; " CONF_CONTROL_DEFAULT ", or POSTERN_SOCKET of the environment", 's'},
    {"--help", "", "help of this command", 'h'},
};
enum { G_JSON, G_QUIET, G_WATCH, G_ABS, G_YES, G_SOCKET, G_HELP, G_N };
_Static_assert(ARRAY_LEN(globals) == G_N, "one name for each");

/* -------------------------------------------------------------------- parsing */

struct parser {
	int argc;
	char *const *argv;
	struct ctl_args *args;
	struct ctl_global *g;
	struct text *err;
	bool used[CTL_WORDS_MAX]; /* words that are options, or values of options */
};

static void put_escaped(struct text *t, struct str s)
{
	char q[200];
	struct buf b;

	buf_init(&b, q, sizeof(q));
	buf_escaped(&b, s, 40);
	text_str(t, buf_text(&b));
}

/* First word of a path, and the rest. */
static struct str path_head(const char *path, struct str *ret_rest)
{
	struct str head;

	*ret_rest = str_cut(str_z(path), ' ', &head);
	return head;
}

static bool is_option(const char *w)
{
	return w[0] == '-' && w[1] != '\0' && !chr_digit(w[1]);
}

/* 0: not one of the global options; else how many words it takes; -1: refused. Switches may stand together: -jT */
static int global_option(struct parser *p, int i)
{
	const char *w = p->argv[i];
	struct str name, value = str_cut(str_z(w), '=', &name);
	bool has_value = name.n < strlen(w);
	int which = -1;

	for (int k = 0; k < G_N; k++)
		if (str_eq(name, str_z(globals[k].name)) ||
		    (w[0] == '-' && w[1] == globals[k].letter && (w[2] == '\0' || w[2] == '=')))
			which = k;
	if (which < 0 && w[1] != '-' && w[1] && w[2]) {
		for (const char *c = w + 1; *c; c++)
			if (!strchr("jqTyh", *c))
				return 0;
		p->g->json |= strchr(w, 'j') != NULL;
		p->g->quiet |= strchr(w, 'q') != NULL;
		p->g->abs |= strchr(w, 'T') != NULL;
		p->g->yes |= strchr(w, 'y') != NULL;
		p->g->help |= strchr(w, 'h') != NULL;
		return 1;
	}
	switch (which) {
	case G_JSON:
		p->g->json = true;
		return 1;
	case G_QUIET:
		p->g->quiet = true;
		return 1;
	case G_ABS:
		p->g->abs = true;
		return 1;
	case G_YES:
		p->g->yes = true;
		return 1;
	case G_HELP:
		p->g->help = true;
		return 1;
	case G_WATCH:
		p->g->watch_s = 2;
		if (has_value && (str_u32(value, 3600, &p->g->watch_s) < 0 || p->g->watch_s == 0)) {
			text_lit(p->err, "--watch wants seconds, 1..3600\n");
			return -1;
		}
		return 1;
	case G_SOCKET:
		if (has_value) {
			p->g->socket = w + name.n + 1;
			return 1;
		}
		if (i + 1 >= p->argc) {
			text_lit(p->err, "--socket wants a path\n");
			return -1;
		}
		p->g->socket = p->argv[i + 1];
		return 2;
	default:
		return 0;
	}
}

static const struct ctl_row *option_named(const struct ctl_row *cmd, struct str name)
{
	const struct ctl_row *r = NULL;

	while ((r = ctl_sub_next(cmd, r)))
		if (r->kind == CTL_ROW_OPT && (str_eq(name, str_z(r->name)) ||
						  (r->letter && name.n == 2 && name.p[0] == '-' && name.p[1] == r->letter)))
			return r;
	return NULL;
}

static bool add_value(struct parser *p, const struct ctl_row *row, const char *text)
{
	struct ctl_args *a = p->args;

	if (a->n == CTL_VALUES_MAX) {
		text_lit(p->err, "too many arguments\n");
		return false;
	}
	a->v[a->n++] = (struct ctl_value){row, text};
	return true;
}

static void usage_line(struct parser *p)
{
	struct text line = {0};

	text_lit(p->err, "usage: ");
	ctl_put_usage(&line, p->args->cmd);
	text_wrap(p->err, text_get(&line), 7, 7, 100);
	text_fini(&line);
	text_fmt(p->err, "       for example: %s\n", p->args->cmd->example);
}

/* -------------------------------------------------------------------- checking values */

bool ctl_duration(struct str s, uint32_t *ret_s)
{
	static const struct {
		char unit;
		uint32_t s;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	const uint64_t max = (uint64_t)3653 * 86400;
	uint64_t n;

	if (s.n < 2)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (s.p[s.n - 1] != units[i].unit)
			continue;
		if (str_u64(str_head(s, s.n - 1), max, &n) < 0 || n * units[i].s > max)
			return false;
		*ret_s = (uint32_t)(n * units[i].s);
		return true;
	}
	return false;
}

static bool hex_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chr_digit(s.p[i]) && !(chr_lower(s.p[i]) >= 'a' && chr_lower(s.p[i]) <= 'f'))
			return false;
	return s.n > 0 && s.n <= 16;
}

static bool name_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chr_digit(s.p[i]) && !(chr_lower(s.p[i]) >= 'a' && chr_lower(s.p[i]) <= 'z') &&
		    (i == 0 || !strchr("-_.", s.p[i])))
			return false;
	return s.n > 0 && s.n <= DB_NAME_MAX;
}

/* What a value of that type looks like, when this one does not; NULL: it does, or only the handler can tell. */
static const char *not_a(enum ctl_type type, const char *text)
{
	struct str s = str_z(text);
	struct addr_net net;
	uint64_t n;
	uint32_t sec;

	switch (type) {
	case CT_COUNT:
		return str_u64(s, INT32_MAX, &n) < 0 ? "a whole number" : NULL;
	case CT_DURATION:
		return ctl_duration(s, &sec) ? NULL : "a time as 90s, 10m, 2h, 7d";
	case CT_CALL:
		return hex_ok(s) ? NULL : "the id of a call as postern call list shows it";
	case CT_FLOW:
		return hex_ok(s) ? NULL : "the id of a flow as postern flow list shows it";
	case CT_NET:
		return addr_net_parse(s, &net) < 0
			   ? "an address or a network: 203.0.113.9, 203.0.113.0/24, 2001:db8::/64"
			   : NULL;
	case CT_AREA:
		return log_area_parse(s) < 0 && !str_eq(s, S("all")) ? "app net sip call media db ctl policy" : NULL;
	case CT_LEVEL:
		return log_level_parse(s) < 0 ? "error warn info debug" : NULL;
	case CT_NEW:
		return name_ok(s) ? NULL
				  : "letters, digits, '-', '_' and '.', at most 31, the first one a letter or digit";
	case CT_SHELL:
		return str_eq(s, S("bash")) || str_eq(s, S("zsh")) || str_eq(s, S("fish")) ? NULL : "bash, zsh or fish";
	default:
		return s.n == 0 && type != CT_TEXT ? "something that is not empty" : NULL;
	}
}

static bool check_value(struct parser *p, const struct ctl_row *row, const char *text)
{
	const char *want = row->value[0] ? not_a((enum ctl_type)row->type, text) : NULL;

	if (!want)
		return true;
	text_fmt(p->err, "%s '", row->kind == CTL_ROW_OPT ? row->name : row->value);
	put_escaped(p->err, str_z(text));
	text_fmt(p->err, "' is not %s%s\n", row->type == CT_AREA || row->type == CT_LEVEL ? "one of " : "", want);
	usage_line(p);
	return false;
}

/* -------------------------------------------------------------------- the words */

/* Nearest first or second word of a command; NULL when none is near. head empty: first words. */
static struct str nearest_word(struct str head, struct str typed)
{
	struct str best = STR_NONE;
	unsigned best_d = 3;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str rest, first, w;
		unsigned d;

		if (rows[i].kind != CTL_ROW_CMD || ctl_hidden(&rows[i]))
			continue;
		first = path_head(rows[i].name, &rest);
		w = str_empty(head) ? first : rest;
		if (!str_empty(head) && !str_eq(first, head))
			continue;
		d = str_distance(typed, w, 2);
		if (typed.n >= 2 && d > 1 && str_prefix(w, typed))
			d = 1;
		if (d < best_d && d < typed.n) {
			best_d = d;
			best = w;
		}
	}
	return best;
}

/* A second word that belongs to this group, typed alone: "list" of what? Fills in the groups that have it. */
static void groups_with(struct text *t, struct str word)
{
	const char *sep = "";

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str rest, first;

		if (rows[i].kind != CTL_ROW_CMD)
			continue;
		first = path_head(rows[i].name, &rest);
		if (!str_eq(rest, word))
			continue;
		text_fmt(t, "%spostern %.*s %.*s", sep, STR(first), STR(rest));
		sep = ", ";
	}
}

/* Finds the command of the first one or two words that are no options. */
static enum ctl_parse_result find_command(struct parser *p, int w1, int w2)
{
	struct str first, rest, near, typed1 = str_z(p->argv[w1]), typed2 = w2 < 0 ? STR_NONE : str_z(p->argv[w2]);
	bool group = false;
	struct text more = {0};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].kind != CTL_ROW_CMD)
			continue;
		first = path_head(rows[i].name, &rest);
		if (!str_eq(first, typed1))
			continue;
		if (str_empty(rest)) {
			p->args->cmd = &rows[i];
			p->used[w1] = true;
			return CTL_PARSED;
		}
		group = true;
		if (w2 >= 0 && str_eq(rest, typed2)) {
			p->args->cmd = &rows[i];
			p->used[w1] = p->used[w2] = true;
			return CTL_PARSED;
		}
	}
	if (group && w2 < 0) {
		if (p->g->help)
			return CTL_HELP;
		text_fmt(p->err, "postern %.*s wants one of these:\n", STR(typed1));
		ctl_put_commands(p->err, p->argv[w1]);
		return CTL_USAGE;
	}
	text_lit(p->err, "unknown command '");
	put_escaped(p->err, typed1);
	if (group) {
		text_lit(p->err, " ");
		put_escaped(p->err, typed2);
	}
	text_lit(p->err, "'\n");
	near = group ? nearest_word(typed1, typed2) : nearest_word(STR_NONE, typed1);
	groups_with(&more, typed1);
	if (!str_empty(near) && group)
		text_fmt(p->err, "did you mean: postern %.*s %.*s?\n", STR(typed1), STR(near));
	else if (!str_empty(near))
		text_fmt(p->err, "did you mean: postern %.*s?\n", STR(near));
	else if (!group && more.n) {
		text_lit(p->err, "did you mean one of: ");
		text_wrap(p->err, text_get(&more), 21, 21, 100);
	} else if (group)
		ctl_put_commands(p->err, p->argv[w1]);
	else
		text_lit(p->err, "postern help lists all commands\n");
	text_fini(&more);
	return CTL_USAGE;
}

static bool parse_option(struct parser *p, int *at)
{
	const char *w = p->argv[*at];
	struct str name, value = str_cut(str_z(w), '=', &name);
	const struct ctl_row *r = option_named(p->args->cmd, name), *best = NULL;
	bool has_value = name.n < strlen(w);

	if (!r) {
		unsigned best_d = 3, d;

		text_fmt(p->err, "postern %s has no option '", p->args->cmd->name);
		put_escaped(p->err, name);
		text_lit(p->err, "'");
		for (const struct ctl_row *o = NULL; (o = ctl_sub_next(p->args->cmd, o));) {
			if (o->kind != CTL_ROW_OPT)
				continue;
			d = str_distance(name, str_z(o->name), 2);
			if (d < best_d) {
				best_d = d;
				best = o;
			}
		}
		if (best)
			text_fmt(p->err, ": did you mean %s?", best->name);
		text_lit(p->err, "\n");
		usage_line(p);
		return false;
	}
	if (!(r->flags & CTL_REPEAT) && ctl_value(p->args, r->name)) {
		text_fmt(p->err, "%s is given twice\n", r->name);
		usage_line(p);
		return false;
	}
	if (!r->value[0]) {
		if (has_value) {
			text_fmt(p->err, "%s takes no value\n", r->name);
			usage_line(p);
			return false;
		}
		return add_value(p, r, "");
	}
	if (!has_value && *at + 1 >= p->argc) {
		text_fmt(p->err, "%s wants a value: %s %s, %s\n", r->name, r->name, r->value, r->help);
		usage_line(p);
		return false;
	}
	if (has_value)
		return check_value(p, r, value.p) && add_value(p, r, value.p);
	++*at;
	return check_value(p, r, p->argv[*at]) && add_value(p, r, p->argv[*at]);
}

static bool parse_arg(struct parser *p, const struct ctl_row **arg, const char *w)
{
	const struct ctl_row *r = *arg;

	while (r && r->kind != CTL_ROW_ARG)
		r = ctl_sub_next(p->args->cmd, r);
	if (!r) {
		text_lit(p->err, "'");
		put_escaped(p->err, str_z(w));
		text_fmt(p->err, "' is one too many for postern %s\n", p->args->cmd->name);
		usage_line(p);
		return false;
	}
	*arg = r->flags & CTL_REPEAT ? r : ctl_sub_next(p->args->cmd, r);
	return check_value(p, r, w) && add_value(p, r, w);
}

static bool nothing_missing(struct parser *p)
{
	for (const struct ctl_row *r = NULL; (r = ctl_sub_next(p->args->cmd, r));) {
		if (r->kind != CTL_ROW_ARG || (r->flags & CTL_OPTIONAL) || ctl_value(p->args, r->name))
			continue;
		text_fmt(p->err, "%s is missing: %s\n", r->name, r->help);
		usage_line(p);
		return false;
	}
	return true;
}

enum ctl_parse_result ctl_parse(
    int argc, char *const *argv, struct ctl_args *args, struct ctl_global *g, struct text *err)
{
	struct parser p = {.argc = argc, .argv = argv, .args = args, .g = g, .err = err};
	const struct ctl_row *arg;
	enum ctl_parse_result r;
	int words[2] = {-1, -1}, n_words = 0;
	bool only_words = false;

	args->cmd = NULL;
	args->n = 0;
	memset(args->global, 0, sizeof(args->global));
	if (argc > CTL_WORDS_MAX) {
		text_lit(err, "too many arguments\n");
		return CTL_USAGE;
	}
	for (int i = 0; i < argc;) {
		int n = 0;

		if (!strcmp(argv[i], "--"))
			break;
		if (is_option(argv[i])) {
			/* a letter that the command uses itself is the command's: found out below */
			if (n_words == 0 || argv[i][1] == '-' || strchr("jqTywsh", argv[i][1]))
				n = global_option(&p, i);
			if (n < 0)
				return CTL_USAGE;
			for (int k = 0; k < n; k++)
				p.used[i + k] = args->global[i + k] = true;
			i += n ? n : 1;
			if (n == 0 && n_words == 0) {
				text_lit(err, "unknown option '");
				put_escaped(err, str_z(argv[i - 1]));
				text_lit(err, "' before the command; postern help lists what there is\n");
				return CTL_USAGE;
			}
			continue;
		}
		if (n_words < 2)
			words[n_words++] = i;
		i++;
	}
	if (n_words == 0)
		return CTL_HELP;
	r = find_command(&p, words[0], words[1]);
	if (r != CTL_PARSED)
		return r;
	if (g->help)
		return CTL_HELP;
	arg = ctl_sub_next(args->cmd, NULL);
	for (int i = 0; i < argc; i++) {
		if (p.used[i])
			continue;
		if (!only_words && !strcmp(argv[i], "--")) {
			only_words = true;
			continue;
		}
		if (!only_words && is_option(argv[i])) {
			if (!parse_option(&p, &i))
				return CTL_USAGE;
		} else if (!parse_arg(&p, &arg, argv[i])) {
			return CTL_USAGE;
		}
	}
	return nothing_missing(&p) ? CTL_PARSED : CTL_USAGE;
}

const char *ctl_value_at(const struct ctl_args *a, const char *name, unsigned i)
{
	for (unsigned k = 0; k < a->n; k++)
		if (!strcmp(a->v[k].row->name, name) && i-- == 0)
			return a->v[k].text;
	return NULL;
}

const char *ctl_value(const struct ctl_args *a, const char *name)
{
	return ctl_value_at(a, name, 0);
}

/* -------------------------------------------------------------------- help */

void ctl_put_usage(struct text *t, const struct ctl_row *cmd)
{
	text_fmt(t, "postern %s", cmd->name);
	for (const struct ctl_row *r = NULL; (r = ctl_sub_next(cmd, r));)
		if (r->kind == CTL_ROW_ARG)
			text_fmt(t, " %s%s%s%s", r->flags & CTL_OPTIONAL ? "[" : "", r->value,
			    r->flags & CTL_REPEAT ? "..." : "", r->flags & CTL_OPTIONAL ? "]" : "");
	for (const struct ctl_row *r = NULL; (r = ctl_sub_next(cmd, r));)
		if (r->kind == CTL_ROW_OPT)
			text_fmt(t, " [%s%s%s]%s", r->name, r->value[0] ? " " : "", r->value,
			    r->flags & CTL_REPEAT ? "..." : "");
}

static void put_option_name(struct text *t, char letter, const char *name, const char *value)
{
	if (letter)
		text_fmt(t, "-%c, ", letter);
	text_fmt(t, "%s%s%s", name, value[0] ? " " : "", value);
}

static void put_help_line(struct text *t, struct str name, const char *help)
{
	size_t before = t->n;

	text_fmt(t, "  %.*s", STR(name));
	if (t->n - before > 24) {
		text_lit(t, "\n");
		before = t->n;
	}
	text_fill(t, ' ', 26 - (t->n - before));
	text_wrap(t, str_z(help), 26, 26, 100);
}

static const char *role_text(uint8_t role)
{
	return role == CTL_ADMIN ? "administrators (group postern-admin)"
	     : role == CTL_OPER  ? "operators (group postern-oper)"
				 : "everybody who may look (group postern-view)";
}

void ctl_put_help(struct text *t, const struct ctl_row *cmd)
{
	struct text name = {0};
	bool any = false;

	text_wrap(t, str_z(cmd->help), 0, 0, 100);
	text_lit(t, "\nusage: ");
	ctl_put_usage(&name, cmd);
	text_wrap(t, text_get(&name), 7, 7, 100);
	text_fmt(t, "       for example: %s\n", cmd->example);
	for (const struct ctl_row *r = NULL; (r = ctl_sub_next(cmd, r));) {
		if (!any)
			text_lit(t, "\n");
		any = true;
		name.n = 0;
		if (r->kind == CTL_ROW_ARG)
			text_fmt(&name, "%s", r->value);
		else
			put_option_name(&name, r->letter, r->name, r->value);
		put_help_line(t, text_get(&name), r->help);
	}
	if (cmd->id == CTL_CMD_trunk_add || cmd->id == CTL_CMD_trunk_set || cmd->id == CTL_CMD_trunk_unset) {
		text_lit(t, "\nsettings of a trunk:\n");
		for (unsigned i = 0; i < trunk_keys_n; i++)
			put_help_line(t, str_z(trunk_keys[i].name), trunk_keys[i].help);
	}
	text_fmt(t, "\nFor %s.\n", cmd->where == CTL_LOCAL ? "everybody: the daemon is not asked" : role_text(cmd->role));
	text_lit(t, "Options of every command:\n");
	for (int i = 0; i < G_N; i++) {
		name.n = 0;
		put_option_name(&name, globals[i].letter, globals[i].name, i == G_WATCH ? "" : globals[i].value);
		put_help_line(t, text_get(&name), globals[i].help);
	}
	text_fini(&name);
}

void ctl_put_commands(struct text *t, const char *group)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str rest, first;

		if (rows[i].kind != CTL_ROW_CMD || ctl_hidden(&rows[i]))
			continue;
		first = path_head(rows[i].name, &rest);
		if (group && !str_eq(first, str_z(group)))
			continue;
		put_help_line(t, str_z(rows[i].name), rows[i].help);
	}
}

/* Text for troff: a leading dot and backslashes would be read as commands. */
static void man_str(struct text *t, const char *s)
{
	if (*s == '.' || *s == '\'')
		text_lit(t, "\\&");
	for (; *s; s++) {
		if (*s == '\\')
			text_lit(t, "\\e");
		else if (*s == '-')
			text_lit(t, "\\-");
		else
			text_put(t, s, 1);
	}
}

void ctl_put_man(struct text *t)
{
	struct text name = {0};

	text_lit(t, ".TH POSTERN 1 \"\" \"Postern " POSTERN_VERSION "\" \"Postern\"\n"
		    ".SH NAME\npostern \\- look at and manage a Postern SIP trunk border controller\n"
		    ".SH SYNOPSIS\n.B postern\n.I COMMAND\n.RI [ ARGUMENT ...]\n.RI [ OPTION ...]\n"
		    ".SH DESCRIPTION\nAsks the running\n.BR posternd (8)\n"
		    "over its control socket. What a command may do depends on who runs it: root and the user of the "
		    "daemon may everything, members of the groups postern\\-view, postern\\-oper and postern\\-admin "
		    "what their role allows.\n.SH OPTIONS\n");
	for (int i = 0; i < G_N; i++) {
		name.n = 0;
		put_option_name(&name, globals[i].letter, globals[i].name, i == G_WATCH ? "" : globals[i].value);
		text_lit(t, ".TP\n");
		man_str(t, text_z(&name));
		text_lit(t, "\n");
		man_str(t, globals[i].help);
		text_lit(t, "\n");
	}
	text_lit(t, ".SH COMMANDS\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct ctl_row *r = &rows[i];

		if (r->kind != CTL_ROW_CMD || ctl_hidden(r))
			continue;
		name.n = 0;
		ctl_put_usage(&name, r);
		text_lit(t, ".SS ");
		man_str(t, text_z(&name));
		text_lit(t, "\n");
		man_str(t, r->help);
		text_fmt(t, ".\nRole: %s.\n", r->where == CTL_LOCAL ? "none, the daemon is not asked"
								   : ctl_role_names[r->role]);
		for (const struct ctl_row *s = NULL; (s = ctl_sub_next(r, s));) {
			name.n = 0;
			if (s->kind == CTL_ROW_ARG)
				text_fmt(&name, "%s", s->value);
			else
				put_option_name(&name, s->letter, s->name, s->value);
			text_lit(t, ".TP\n");
			man_str(t, text_z(&name));
			text_lit(t, "\n");
			man_str(t, s->help);
			text_lit(t, "\n");
		}
		text_lit(t, ".PP\nExample:\n.B ");
		man_str(t, r->example);
		text_lit(t, "\n");
	}
	text_lit(t, ".SH TRUNK SETTINGS\n");
	for (unsigned i = 0; i < trunk_keys_n; i++) {
		text_lit(t, ".TP\n");
		man_str(t, trunk_keys[i].name);
		text_lit(t, "\n");
		man_str(t, trunk_keys[i].help);
		text_lit(t, "\n");
	}
	text_lit(t, ".SH EXIT STATUS\n0 ok, 1 a warning was found, 2 an error, 3 the daemon cannot be reached, 64 the "
		    "command line is wrong.\n.SH FILES\n" CONF_FILE_DEFAULT ", " CONF_CONTROL_DEFAULT "\n");
	text_fini(&name);
}

/* -------------------------------------------------------------------- completion */

bool ctl_put_completion(struct text *t, struct str shell)
{
	if (str_eq(shell, S("bash"))) {
		text_lit(t, "# bash completion of postern\n"
			    "_postern() {\n"
			    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} IFS=$'\\n'\n"
			    "\tCOMPREPLY=($(postern __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
			    "\tif [ ${#COMPREPLY[@]} -eq 0 ]; then\n"
			    "\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n"
			    "\telif [ \"${COMPREPLY[0]%=}\" != \"${COMPREPLY[0]}\" ]; then\n"
			    "\t\tcompopt -o nospace\n"
			    "\tfi\n"
			    "}\n"
			    "complete -F _postern postern\n");
		return true;
	}
	if (str_eq(shell, S("zsh"))) {
		text_lit(t, "#compdef postern\n"
			    "_postern() {\n"
			    "\tlocal -a found\n"
			    "\tfound=(${(f)\"$(postern __complete \"${words[@]:1:$((CURRENT-1))}\" 2>/dev/null)\"})\n"
			    "\tif (( $#found )); then compadd -- $found; else _files; fi\n"
			    "}\n"
			    "compdef _postern postern\n");
		return true;
	}
	if (str_eq(shell, S("fish"))) {
		text_lit(t, "# fish completion of postern\n"
			    "function __postern_complete\n"
			    "\tset -l words (commandline -opc) (commandline -ct)\n"
			    "\tpostern __complete $words[2..-1] 2>/dev/null\n"
			    "end\n"
			    "complete -c postern -f -a '(__postern_complete)'\n");
		return true;
	}
	return false;
}

static void offer(struct text *t, struct str candidate, struct str prefix)
{
	if (str_prefix(candidate, prefix))
		text_fmt(t, "%.*s\n", STR(candidate));
}

static void offer_words(struct text *t, const char *words, char sep, struct str prefix)
{
	struct str rest = str_z(words), w;

	while (!str_empty(rest)) {
		rest = str_cut(rest, sep, &w);
		offer(t, w, prefix);
	}
}

/* "key=" of the trunk table, or the words an enum takes behind it */
static void offer_setting(struct text *t, struct str prefix, bool with_equals, const char **ret_kind)
{
	ptrdiff_t eq = str_chr(prefix, '=');

	if (eq >= 0 && with_equals) {
		struct str name = str_head(prefix, (size_t)eq), value = str_from(prefix, (size_t)eq + 1);
		const struct trunk_key *k;
		struct str rest, w;

		if (name.n && (name.p[name.n - 1] == '+' || name.p[name.n - 1] == '-'))
			name.n--;
		k = trunk_key_find(name, NULL);
		if (!k)
			return;
		if (k->type == TKEY_REALM)
			*ret_kind = "realm";
		if (!strcmp(k->name, "tls-cert"))
			*ret_kind = "cert";
		rest = str_z(k->type == TKEY_BOOL ? "yes|no" : k->words ? k->words : "");
		while (!str_empty(rest)) {
			rest = str_cut(rest, '|', &w);
			if (str_prefix(w, value))
				text_fmt(t, "%.*s=%.*s\n", STR(name), STR(w));
		}
		return;
	}
	for (unsigned i = 0; i < trunk_keys_n; i++)
		if (str_prefix(str_z(trunk_keys[i].name), prefix))
			text_fmt(t, "%s%s\n", trunk_keys[i].name, with_equals ? "=" : "");
}

static void offer_type(struct text *t, enum ctl_type type, struct str prefix, const char **ret_kind)
{
	char code[REASON_CODE_MAX];

	switch (type) {
	case CT_TRUNK:
	case CT_VIA:
	case CT_SOURCE:
		*ret_kind = "trunk";
		break;
	case CT_ROUTE:
		*ret_kind = "route";
		break;
	case CT_REALM:
		*ret_kind = "realm";
		break;
	case CT_CALL:
		*ret_kind = "call";
		break;
	case CT_BAN:
		*ret_kind = "ban";
		break;
	case CT_FLOW:
		*ret_kind = "flow";
		break;
	case CT_CERT:
		*ret_kind = "cert";
		break;
	case CT_NAME:
		*ret_kind = "name";
		break;
	case CT_SETTING:
		offer_setting(t, prefix, true, ret_kind);
		break;
	case CT_KEY:
		offer_setting(t, prefix, false, ret_kind);
		break;
	case CT_AREA:
		offer_words(t, "app net sip call media db ctl policy all", ' ', prefix);
		break;
	case CT_LEVEL:
		offer_words(t, "error warn info debug", ' ', prefix);
		break;
	case CT_SHELL:
		offer_words(t, "bash zsh fish", ' ', prefix);
		break;
	case CT_CODE:
		for (int r = 1; r < REASON_COUNT; r++)
			offer(t, str_z(reason_code((enum reason)r, code)), prefix);
		break;
	default:
		break;
	}
}

void ctl_complete(struct text *t, int n, char *const *words, const char **ret_kind)
{
	struct str last = n > 0 ? str_z(words[n - 1]) : STR_NONE, first, rest, w1 = STR_NONE, seen = STR_NONE;
	const struct ctl_row *cmd = NULL, *r = NULL, *want = NULL;
	int at = 0;

	*ret_kind = "";
	while (n > 1 && !strcmp(words[0], "help")) { /* its arguments are commands */
		words++;
		n--;
	}
	while (at < n - 1 && words[at][0] == '-')
		at++;
	if (at >= n - 1) { /* the first word */
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			if (rows[i].kind != CTL_ROW_CMD || ctl_hidden(&rows[i]))
				continue;
			first = path_head(rows[i].name, &rest);
			if (!str_eq(first, seen))
				offer(t, first, last);
			seen = first;
		}
		return;
	}
	w1 = str_z(words[at++]);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].kind != CTL_ROW_CMD)
			continue;
		first = path_head(rows[i].name, &rest);
		if (!str_eq(first, w1))
			continue;
		if (str_empty(rest)) {
			cmd = &rows[i];
		} else if (at == n - 1) {
			offer(t, rest, last);
		} else if (str_eq(rest, str_z(words[at]))) {
			cmd = &rows[i];
			at++;
			break;
		}
	}
	if (!cmd)
		return;
	/* walk over what is there already */
	r = ctl_sub_next(cmd, NULL);
	for (; at < n - 1; at++) {
		if (is_option(words[at])) {
			const struct ctl_row *o = option_named(cmd, str_z(words[at]));

			if (o && o->value[0] && ++at == n - 1)
				want = o;
			continue;
		}
		while (r && r->kind != CTL_ROW_ARG)
			r = ctl_sub_next(cmd, r);
		if (r && !(r->flags & CTL_REPEAT))
			r = ctl_sub_next(cmd, r);
	}
	if (!want && last.n && last.p[0] == '-') {
		for (const struct ctl_row *o = NULL; (o = ctl_sub_next(cmd, o));)
			if (o->kind == CTL_ROW_OPT)
				offer(t, str_z(o->name), last);
		for (int i = 0; i < G_N; i++)
			offer(t, str_z(globals[i].name), last);
		return;
	}
	while (!want && r && r->kind != CTL_ROW_ARG)
		r = ctl_sub_next(cmd, r);
	if (!want)
		want = r;
	if (want)
		offer_type(t, (enum ctl_type)want->type, last, ret_kind);
}
