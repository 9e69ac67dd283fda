/* Tests of sbc/ctl/table.c: the table is whole (every command has help, an example that parses to it, and somebody
 * who answers it), the parser, and what is made from the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sbc/ctl/ctl.h"
#include "sbc/ctl/local.h"
#include "sbc/ctl/req.h"
#include "sbc/ctl/table.h"

/* As a shell splits: quotes keep words together, a > ends the command. */
static int split(char *line, char **argv, int max)
{
	int n = 0;
	char *in = line, *out = line;

	while (n < max) {
		while (*in == ' ')
			in++;
		if (!*in || *in == '>')
			break;
		argv[n++] = out;
		while (*in && *in != ' ') {
			if (*in == '\'' || *in == '"') {
				char q = *in++;

				while (*in && *in != q)
					*out++ = *in++;
				if (*in)
					in++;
			} else {
				*out++ = *in++;
			}
		}
		if (*in)
			in++;
		*out++ = '\0';
	}
	return n;
}

static enum ctl_parse_result parse(const char *line, struct ctl_args *a, struct ctl_global *g, struct text *err)
{
	static char copy[2048];
	char *argv[CTL_WORDS_MAX];
	int n;

	snprintf(copy, sizeof(copy), "%s", line);
	*g = (struct ctl_global){0};
	n = split(copy, argv, CTL_WORDS_MAX);
	return ctl_parse(n, argv, a, g, err);
}

static void whole(void **state)
{
	unsigned n;
	const struct ctl_row *rows = ctl_rows(&n);
	struct ctl_args *a = calloc(1, sizeof(*a));
	struct ctl_global g;

	(void)state;
	assert_non_null(a);
	assert_int_equal(rows[0].kind, CTL_ROW_CMD);
	for (unsigned i = 0; i < n; i++) {
		const struct ctl_row *c = &rows[i];
		struct text err = {0}, help = {0};
		bool optional = false, repeat = false;
		struct str rest, line;

		if (c->kind != CTL_ROW_CMD)
			continue;
		assert_true(strlen(c->help) > 5);
		assert_true(str_prefix(str_z(c->example), S("postern ")));
		if (parse(c->example + 8, a, &g, &err) != CTL_PARSED)
			print_error("%s\n%s", c->example, text_z(&err));
		assert_ptr_equal(a->cmd, c);
		assert_int_equal(local_find((enum ctl_cmd_id)c->id) != NULL, c->where == CTL_LOCAL);
		for (const struct ctl_row *s = NULL; (s = ctl_sub_next(c, s));) {
			assert_true(strlen(s->help) > 1);
			if (s->kind == CTL_ROW_ARG) {
				/* nothing that must be given behind what need not be, nothing behind a repeated one */
				assert_false(repeat);
				assert_false(optional && !(s->flags & CTL_OPTIONAL));
				optional |= (s->flags & CTL_OPTIONAL) != 0;
				repeat |= (s->flags & CTL_REPEAT) != 0;
			} else {
				assert_true(str_prefix(str_z(s->name), S("--")));
				assert_int_equal(s->value[0] == '\0', s->type == CT_FLAG);
				/* letters that every command has */
				if (s->letter)
					assert_null(strchr("jqTywsh", s->letter));
			}
			for (const struct ctl_row *o = NULL; (o = ctl_sub_next(c, o)) != s;) {
				assert_string_not_equal(o->name, s->name);
				assert_false(s->letter && o->letter == s->letter);
			}
		}
		for (unsigned k = 0; k < i; k++)
			if (rows[k].kind == CTL_ROW_CMD)
				assert_string_not_equal(rows[k].name, c->name);
		ctl_put_help(&help, c);
		for (rest = text_get(&help); !str_empty(rest);) {
			rest = str_cut(rest, '\n', &line);
			assert_true(line.n <= 104); /* a … is three bytes and one column */
		}
		assert_non_null(strstr(text_z(&help), c->example));
		text_fini(&err);
		text_fini(&help);
	}
	for (int id = 0; id < CTL_CMDS; id++)
		assert_int_equal(ctl_command((enum ctl_cmd_id)id)->id, id);
	free(a);
}

static void good(void **state)
{
	struct ctl_args *a = calloc(1, sizeof(*a));
	struct ctl_global g;
	struct text err = {0};

	(void)state;
	assert_non_null(a);
	assert_int_equal(parse("-j trunk show acme", a, &g, &err), CTL_PARSED);
	assert_true(g.json);
	assert_true(a->global[0] && !a->global[1]);
	assert_string_equal(ctl_value(a, "TRUNK"), "acme");
	assert_null(ctl_value(a, "--all"));
	assert_int_equal(parse("trunk show --all acme -jT", a, &g, &err), CTL_PARSED);
	assert_true(g.json && g.abs && !g.quiet);
	assert_string_equal(ctl_value(a, "--all"), "");
	assert_int_equal(parse("trunk set acme a=1 b+=2 header.drop-=X", a, &g, &err), CTL_PARSED);
	assert_string_equal(ctl_value_at(a, "KEY=VALUE", 2), "header.drop-=X");
	assert_null(ctl_value_at(a, "KEY=VALUE", 3));
	assert_int_equal(parse("route add out --to=+49* --via a --via b@2", a, &g, &err), CTL_PARSED);
	assert_string_equal(ctl_value(a, "--to"), "+49*");
	assert_string_equal(ctl_value_at(a, "--via", 1), "b@2");
	assert_int_equal(parse("log tail -f -n 5 --watch=3 -s /tmp/x", a, &g, &err), CTL_PARSED);
	assert_string_equal(ctl_value(a, "--lines"), "5");
	assert_int_equal(g.watch_s, 3);
	assert_string_equal(g.socket, "/tmp/x");
	assert_int_equal(parse("status -w", a, &g, &err), CTL_PARSED);
	assert_int_equal(g.watch_s, 2);
	assert_int_equal(parse("number import -", a, &g, &err), CTL_PARSED);
	assert_int_equal(parse("number find -- -x", a, &g, &err), CTL_PARSED);
	assert_string_equal(ctl_value(a, "NUMBER"), "-x");
	assert_int_equal(parse("trunk add -h", a, &g, &err), CTL_HELP);
	assert_string_equal(a->cmd->name, "trunk add");
	assert_int_equal(parse("trunk --help", a, &g, &err), CTL_HELP);
	assert_int_equal(parse("", a, &g, &err), CTL_HELP);
	assert_int_equal(err.n, 0);
	free(a);
}

static void bad(void **state)
{
	static const struct {
		const char *line, *has;
	} cases[] = {
	    {"trnk list", "did you mean: postern trunk?"},
	    {"trunk lst", "did you mean: postern trunk list?"},
	    {"trunk", "postern trunk wants one of these"},
	    {"list", "did you mean one of: postern trunk list"},
	    {"qqqqq", "postern help lists all"},
	    {"trunk qqqqq", "trunk list"},
	    {"trunk show", "TRUNK is missing"},
	    {"trunk show a b", "'b' is one too many"},
	    {"trunk show a --al", "did you mean --all"},
	    {"trunk show a --all=5", "--all takes no value"},
	    {"trunk show a --all --all", "given twice"},
	    {"trunk list --realm", "--realm wants a value"},
	    {"trunk add -x role=pbx", "no option '-x'"},
	    {"trunk add _x role=pbx", "NAME '_x' is not letters"},
	    {"trunk add aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa role=pbx", "at most 31"},
	    {"call show xyz", "is not the id of a call"},
	    {"call show 12345678901234567", "is not the id of a call"},
	    {"guard ban 1.2.3", "not an address or a network"},
	    {"guard ban 1.2.3.4 5", "a time as 90s"},
	    {"guard ban 1.2.3.4 99999999d", "a time as 90s"},
	    {"log tail -n x", "--lines 'x' is not a whole number"},
	    {"log level sip loud", "is not one of error warn info debug"},
	    {"completion csh", "bash, zsh or fish"},
	    {"--nope status", "unknown option '--nope' before the command"},
	    {"status --watch=0", "--watch wants seconds"},
	    {"status -s", "--socket wants a path"},
	    {"trunk show ''", "is not something that is not empty"},
	};
	struct ctl_args *a = calloc(1, sizeof(*a));
	struct ctl_global g;

	(void)state;
	assert_non_null(a);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct text err = {0};

		if (parse(cases[i].line, a, &g, &err) != CTL_USAGE || !strstr(text_z(&err), cases[i].has))
			print_error("%s:\n%s", cases[i].line, text_z(&err));
		assert_int_equal(parse(cases[i].line, a, &g, &err), CTL_USAGE);
		assert_non_null(strstr(text_z(&err), cases[i].has));
		assert_int_equal(err.p[err.n - 1], '\n');
		text_fini(&err);
	}
	free(a);
}

/* What the terminal is told of what was typed has no control bytes in it. */
static void hostile(void **state)
{
	struct ctl_args *a = calloc(1, sizeof(*a));
	struct ctl_global g = {0};
	struct text err = {0};
	char esc[] = "\x1b[2J\xff", trunk[] = "trunk", show[] = "show", x[] = "x";
	char *one[] = {esc}, *two[] = {trunk, esc}, *three[] = {trunk, show, x, esc};
	char *many[CTL_WORDS_MAX + 1];

	(void)state;
	assert_non_null(a);
	assert_int_equal(ctl_parse(1, one, a, &g, &err), CTL_USAGE);
	assert_int_equal(ctl_parse(2, two, a, &g, &err), CTL_USAGE);
	assert_int_equal(ctl_parse(4, three, a, &g, &err), CTL_USAGE);
	assert_null(memchr(err.p, 0x1b, err.n));
	assert_null(memchr(err.p, 0xff, err.n));
	for (int i = 0; i <= CTL_WORDS_MAX; i++)
		many[i] = x;
	assert_int_equal(ctl_parse(CTL_WORDS_MAX + 1, many, a, &g, &err), CTL_USAGE);
	text_fini(&err);
	free(a);
}

static void duration(void **state)
{
	uint32_t s;

	(void)state;
	assert_true(ctl_duration(S("90s"), &s) && s == 90);
	assert_true(ctl_duration(S("10m"), &s) && s == 600);
	assert_true(ctl_duration(S("2h"), &s) && s == 7200);
	assert_true(ctl_duration(S("7d"), &s) && s == 604800);
	assert_true(ctl_duration(S("1w"), &s) && s == 604800);
	assert_false(ctl_duration(S("5"), &s));
	assert_false(ctl_duration(S("s"), &s));
	assert_false(ctl_duration(S(""), &s));
	assert_false(ctl_duration(S("-5s"), &s));
	assert_false(ctl_duration(S("1.5h"), &s));
	assert_false(ctl_duration(S("18446744073709551615d"), &s));
}

static void complete_is(const char *line, const char *want, const char *want_kind)
{
	static char copy[512];
	char *words[64];
	const char *kind = "";
	struct text t = {0};
	int n;

	snprintf(copy, sizeof(copy), "%s", line);
	n = split(copy, words, 63);
	if (line[0] == '\0' || line[strlen(line) - 1] == ' ')
		words[n++] = copy + strlen(line) + 1; /* an empty last word */
	copy[strlen(line) + 1] = '\0';
	ctl_complete(&t, n, words, &kind);
	if (strcmp(text_z(&t), want) || strcmp(kind, want_kind))
		print_error("'%s': kind '%s'\n%s", line, kind, text_z(&t));
	assert_string_equal(text_z(&t), want);
	assert_string_equal(kind, want_kind);
	text_fini(&t);
}

static void completion(void **state)
{
	struct text t = {0};

	(void)state;
	complete_is("tr", "trunk\n", "");
	complete_is("trunk d", "disable\ndrain\ndel\n", "");
	complete_is("trunk show ", "", "trunk");
	complete_is("trunk show ac", "", "trunk");
	complete_is("trunk set acme max-c", "max-calls=\nmax-cps=\nmax-contacts=\n", "");
	complete_is("trunk set acme max-calls=30 redirect=", "redirect=follow\nredirect=relay\n", "");
	complete_is("trunk add x realm=", "", "realm");
	complete_is("trunk unset acme udp", "udp-only\n", "");
	complete_is("trunk show acme --a", "--all\n--absolute\n", "");
	complete_is("route add out --via ", "", "trunk");
	complete_is("route add out --via acme --be", "--before\n", "");
	complete_is("log level sip ", "error\nwarn\ninfo\ndebug\n", "");
	complete_is("completion ", "bash\nzsh\nfish\n", "");
	complete_is("help help trunk ren", "rename\n", "");
	complete_is("guard allow ", "", "ban");
	complete_is("call pcap ", "", "call");
	complete_is("flow close ", "", "flow");
	complete_is("tls show ", "", "cert");
	complete_is("tls probe x:5061 --cert ", "", "cert");
	complete_is("tls probe x:5061 --realm ", "", "realm");
	complete_is("trunk test ", "", "trunk");
	complete_is("trunk add x tls-cert=", "", "cert");
	complete_is("dns pl", "plan\n", "");
	complete_is("nothing like this ", "", "");
	assert_true(ctl_put_completion(&t, S("bash")));
	assert_non_null(strstr(text_z(&t), "complete -F _postern postern"));
	assert_true(ctl_put_completion(&t, S("zsh")));
	assert_true(ctl_put_completion(&t, S("fish")));
	assert_false(ctl_put_completion(&t, S("csh")));
	text_fini(&t);
}

static void manual(void **state)
{
	unsigned n;
	const struct ctl_row *rows = ctl_rows(&n);
	struct text t = {0}, all = {0};
	struct str rest, line;

	(void)state;
	ctl_put_man(&t);
	ctl_put_commands(&all, NULL);
	assert_true(str_prefix(text_get(&t), S(".TH POSTERN 1")));
	for (unsigned i = 0; i < n; i++) {
		if (rows[i].kind != CTL_ROW_CMD)
			continue;
		assert_int_equal(strstr(text_z(&all), rows[i].name) != NULL, !ctl_hidden(&rows[i]));
	}
	/* no line begins with a dot that is no request of ours */
	for (rest = text_get(&t); !str_empty(rest);) {
		rest = str_cut(rest, '\n', &line);
		if (line.n && line.p[0] == '.')
			assert_true(str_prefix(line, S(".TH ")) || str_prefix(line, S(".SH ")) ||
			    str_prefix(line, S(".SS ")) || str_eq(line, S(".TP")) || str_eq(line, S(".PP")) ||
			    str_prefix(line, S(".B ")) || str_prefix(line, S(".BR ")) || str_prefix(line, S(".I ")) ||
			    str_prefix(line, S(".RI ")));
	}
	text_fini(&t);
	text_fini(&all);
}

/* What a remedy tells to type is a command that there is. */
static void remedies(void **state)
{
	unsigned n, seen = 0;
	const struct ctl_row *rows = ctl_rows(&n);

	(void)state;
	for (int r = 1; r < REASON_COUNT; r++) {
		struct str rest = str_z(reason_info((enum reason)r)->remedy);
		ptrdiff_t at;

		while ((at = str_find(rest, S("postern "))) >= 0) {
			struct str one, two, tail;
			bool found = false;

			rest = str_from(rest, (size_t)at + 8);
			tail = str_cut(rest, ' ', &one);
			str_cut(tail, ' ', &two);
			for (unsigned i = 0; i < n && !found; i++) {
				struct str head, second = str_cut(str_z(rows[i].name), ' ', &head);

				/* the words may be followed by a quote, a colon, a semicolon */
				found = rows[i].kind == CTL_ROW_CMD && str_prefix(one, head) &&
				    (str_empty(second) || str_prefix(two, second));
			}
			if (!found)
				print_error("%s: postern %.*s %.*s\n", reason_info((enum reason)r)->name, STR(one),
				    STR(two));
			assert_true(found);
			seen++;
		}
	}
	assert_true(seen > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole),
	    cmocka_unit_test(good),
	    cmocka_unit_test(bad),
	    cmocka_unit_test(hostile),
	    cmocka_unit_test(duration),
	    cmocka_unit_test(completion),
	    cmocka_unit_test(manual),
	    cmocka_unit_test(remedies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
