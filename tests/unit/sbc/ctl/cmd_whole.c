/* Tests of export and apply: what was exported and is applied changes nothing, any other text makes the database equal
 * to it or changes nothing at all. */
#include "world.h"

#define HEAD "{\"postern\": 1, "
#define ACME "\"acme\": {\"role\": \"itsp\", \"realm\": \"wan\", \"target\": [\"192.0.2.1:5060\"]}"
#define PBX "\"pbx\": {\"role\": \"pbx\", \"realm\": \"lan\", \"target\": [\"127.0.0.1:25070\"]"

struct step {
	const char *line, *input, *has;
	int code;
};

static void steps(struct world *w, const struct step *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct answer a;

		w_run_how(w, s[i].line, (struct how){.input = s[i].input}, &a);
		if (a.code != s[i].code || (!strstr(text_z(&a.out), s[i].has) && !strstr(text_z(&a.err), s[i].has)))
			print_error("%zu %s: exit %d\n%s%s", i, s[i].line, a.code, text_z(&a.out), text_z(&a.err));
		assert_int_equal(a.code, s[i].code);
		assert_true(strstr(text_z(&a.out), s[i].has) || strstr(text_z(&a.err), s[i].has));
		answer_fini(&a);
	}
}

static char *export(struct world *w)
{
	struct answer a;
	char *text;

	w_run_how(w, "export", (struct how){0}, &a);
	assert_int_equal(a.code, 0);
	text = strdup(text_z(&a.out));
	assert_non_null(text);
	answer_fini(&a);
	return text;
}

static void furnish(struct world *w)
{
	w_ok(w, "trunk add acme role=itsp realm=wan target=192.0.2.1 address=192.0.2.0/28,192.0.2.77 max-calls=30");
	w_ok(w, "trunk add backup role=itsp realm=wan target=192.0.2.9/tcp,192.0.2.10@2*7");
	w_ok(w, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070");
	w_ok(w, "trunk add gin role=pbx realm=lan auth=gin aor=trunk42");
	w_ok(w, "trunk drain backup");
	w_ok(w, "number add +493012345xx pbx");
	w_ok(w, "number add +4989 gin");
	w_ok(w, "route add night --from pbx --calling +49* --to +* --hours 18:00-08:00 --via acme@2 --via backup@3*4");
	w_ok(w, "route add premium --to +881* --deny");
	w_ok(w, "route add out --to * --via acme");
}

static void what_is_exported_changes_nothing(void **state)
{
	struct world *w = w_new();
	char *before, *after;
	struct answer a;

	(void)state;
	furnish(w);
	before = export(w);
	assert_non_null(strstr(before, "\"max-calls\": \"30\""));
	assert_null(strstr(before, "password"));
	for (int i = 0; i < 2; i++) {
		w_run_how(w, i ? "apply f --keep" : "apply f", (struct how){.input = before}, &a);
		assert_int_equal(a.code, 0);
		assert_string_equal(text_z(&a.out), "nothing changed: it was so already\n");
		answer_fini(&a);
	}
	/* nor is there a revision of it */
	w_run_how(w, "db history", (struct how){0}, &a);
	assert_null(strstr(text_z(&a.out), "apply"));
	answer_fini(&a);
	after = export(w);
	assert_string_equal(before, after);
	free(after);
	free(before);
	w_free(w);
}

/* From nothing, from everything and from something else to the same text. */
static void any_state_becomes_what_the_text_says(void **state)
{
	static const char *const others[][7] = {
	    {0},
	    {"trunk set acme max-calls=5 codecs=PCMA", "trunk disable pbx", "number move +49301234510 gin", "number move +4989 pbx", "route set out --before night",
		"route set night --deny", "trunk unset acme address"},
	    {"route del night", "trunk del backup --with-numbers", "trunk add zed role=itsp realm=wan target=192.0.2.99",
		"route add zz --from zed --to * --via zed", "number add +4970 pbx", "route set premium --via zed"},
	    {"trunk del gin --with-numbers", "trunk del pbx --with-numbers", "trunk rename acme emca", 0},
	};
	struct world *w = w_new();
	char *want;

	(void)state;
	furnish(w);
	want = export(w);
	w_free(w);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct answer a;
		char *got;

		w = w_new();
		if (i)
			furnish(w);
		for (size_t k = 0; i && k < ARRAY_LEN(others[i]) && others[i][k]; k++)
			w_ok(w, others[i][k]);
		/* --dry-run says so and does not */
		got = export(w);
		assert_string_not_equal(got, want);
		w_run_how(w, "apply f --dry-run", (struct how){.input = want}, &a);
		assert_int_equal(a.code, 0);
		assert_non_null(strstr(text_z(&a.out), "that was --dry-run"));
		answer_fini(&a);
		free(got);
		got = export(w);
		assert_string_not_equal(got, want);
		free(got);
		w_run_how(w, "apply f", (struct how){.input = want}, &a);
		if (a.code)
			print_error("%zu: %s", i, text_z(&a.err));
		assert_int_equal(a.code, 0);
		assert_non_null(strstr(text_z(&a.out), "one revision"));
		answer_fini(&a);
		got = export(w);
		assert_string_equal(got, want);
		free(got);
		w_free(w);
	}
	free(want);
}

static void one_undo_takes_it_back(void **state)
{
	struct world *w = w_new();
	char *before, *after;
	struct answer a;
	char undo[64], *at;

	(void)state;
	furnish(w);
	before = export(w);
	w_run_how(w, "apply f", (struct how){.input = HEAD "\"trunks\": {}, \"routes\": []}"}, &a);
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(text_z(&a.out), "- trunk acme"));
	answer_fini(&a);
	assert_int_equal(policy_trunk_count(b2b_policy(w->b2b)), 0);
	w_run_how(w, "db history", (struct how){.json = true}, &a);
	at = strstr(text_z(&a.out), "\"revision\":");
	if (!at)
		print_error("%s", text_z(&a.out));
	assert_non_null(at);
	snprintf(undo, sizeof(undo), "db undo %ld", strtol(strchr(at, ':') + 1, NULL, 10));
	answer_fini(&a);
	w_ok(w, undo);
	after = export(w);
	assert_string_equal(before, after);
	free(before);
	free(after);
	w_free(w);
}

static void only_what_is_named_with_keep(void **state)
{
	static const struct step s[] = {
	    {"apply f --keep", HEAD "\"trunks\": {\"acme\": {\"max-calls\": 7}}}", "~ trunk acme max-calls: 30 -> 7", 0},
	    {"apply f --keep", HEAD "\"trunks\": {\"backup\": {\"state\": \"enabled\"}}}", "~ trunk backup: draining -> enabled", 0},
	    {"apply f --keep", HEAD "\"trunks\": {\"pbx\": {\"numbers\": [\"+49301234500\"]}}}", "- numbers +49301234500..+49301234599 of pbx", 0},
	    {"number find +49301234500", NULL, "belongs to trunk pbx", 0},
	    {"number find +49301234501", NULL, "no trunk", 1},
	    {"number find +4989", NULL, "belongs to trunk gin", 0},
	    {"apply f --keep", HEAD "\"routes\": [{\"name\": \"out\", \"to\": \"+49*\"}]}", "~ route out", 0},
	    {"apply f --keep", HEAD "\"routes\": [{\"name\": \"out\"}, {\"name\": \"night\"}]}", "another order", 0},
	    {"apply f --keep", HEAD "\"routes\": [{\"name\": \"out\"}, {\"name\": \"night\"}]}", "nothing changed", 0},
	    {"trunk list", NULL, "gin", 0},
	};
	struct world *w = w_new();
	struct policy_route_view v;

	(void)state;
	furnish(w);
	steps(w, s, ARRAY_LEN(s));
	assert_int_equal(policy_route_count(b2b_policy(w->b2b)), 3);
	policy_route_view(b2b_policy(w->b2b), 0, NULL, STR_NONE, STR_NONE, 0, &v);
	assert_true(str_eq(v.name, S("out")));
	w_free(w);
}

static void what_cannot_be_read_is_refused_whole(void **state)
{
#define TRUNKS(x) HEAD "\"routes\": [], \"trunks\": {" x "}}"
#define ROUTES(x) HEAD "\"trunks\": {" ACME "}, \"routes\": [" x "]}"
	static const struct step s[] = {
	    {"apply f", "", "line 1, column 0", 2},
	    {"apply f", "{\n  \"postern\": 1,\n  \"trunks\": {\n", "line 4", 2},
	    {"apply f", "[]", "no export of postern", 2},
	    {"apply f", "{\"trunks\": {}, \"routes\": []}", "format is not named", 2},
	    {"apply f", "{\"postern\": 2, \"trunks\": {}, \"routes\": []}", "format is not named", 2},
	    {"apply f", "{\"postern\": 1, \"trunks\": {}, \"trunks\": {}}", "duplicate", 2},
	    {"apply f", HEAD "\"trunk\": {}}", "unknown word 'trunk'", 2},
	    {"apply f", HEAD "\"trunks\": {}}", "routes is missing", 2},
	    {"apply f", HEAD "\"routes\": []}", "trunks is missing", 2},
	    {"apply f", HEAD "\"routes\": {}}", "routes is no list", 2},
	    {"apply f", TRUNKS("\"a\": 1"), "trunk a: this is no object", 2},
	    {"apply f", TRUNKS("\"a\": {\"role\": \"itsp\", \"realm\": \"wan\"}"), "trunk a: trunk 'a' needs target", 2},
	    {"apply f", TRUNKS("\"a\": {\"rloe\": \"itsp\"}"), "did you mean 'role'", 2},
	    {"apply f", TRUNKS("\"a\": {\"role\": null}"), "the value of role cannot be read", 2},
	    {"apply f", TRUNKS("\"a\": {\"role\": [\"itsp\"]}"), "the value of role cannot be read", 2},
	    {"apply f", TRUNKS("\"a\": {\"max-calls\": \"many\"}"), "trunk a: ", 2},
	    {"apply f", TRUNKS("\"a\": {\"state\": \"on\"}"), "state cannot be read", 2},
	    {"apply f", TRUNKS("\"a b\": {\"role\": \"itsp\", \"realm\": \"wan\", \"target\": \"192.0.2.1\"}"), "a b", 2},
	    {"apply f", TRUNKS(PBX ", \"numbers\": {}}"), "numbers is no list", 2},
	    {"apply f", TRUNKS(PBX ", \"numbers\": [49]}"), "a range of numbers is a string", 2},
	    {"apply f", TRUNKS(PBX ", \"numbers\": [\"030\"]}"), "trunk pbx: ", 2},
	    {"apply f", TRUNKS(PBX ", \"numbers\": [\"+493\", \"+493x\", \"+4930..+4935\"]}"), "overlap", 2},
	    {"apply f", TRUNKS(ACME ", \"b\": {\"numbers\": [\"+4911\"]}, \"c\": {\"numbers\": [\"+4911\"]}"), "+4911 stands at trunk b and at c", 2},
	    {"apply f", TRUNKS("\"acme\": {\"role\": \"itsp\", \"realm\": \"nowhere\", \"target\": \"192.0.2.1\"}"), "nowhere", 2},
	    {"apply f", ROUTES("1"), "a route has no name", 2},
	    {"apply f", ROUTES("{\"name\": \"o\"}"), "route o: the route leads nowhere", 2},
	    /* not "from anywhere", not "always" */
	    {"apply f", ROUTES("{\"name\": \"o\", \"from\": [\"acme\"], \"deny\": true}"), "the value of from cannot be read", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"from\": null, \"deny\": true}"), "the value of from cannot be read", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"from\": \"\", \"deny\": true}"), "route o: ", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"hours\": 8, \"deny\": true}"), "the value of hours cannot be read", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"via\": \"acme\"}"), "via is no list", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"via\": [\"gone\"]}"), "route o: ", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"via\": [\"pbx\"]}"), "route o: ", 2}, /* it is there, but not in the text */
	    {"apply f", ROUTES("{\"name\": \"o\", \"via\": [\"acme@0\"]}"), "via 'acme@0' cannot be read", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"via\": [\"acme\"], \"deny\": true}"), "exclude each other", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"via\": [\"acme\"], \"deny\": 1}"), "deny cannot be read", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"via\": [\"acme\"], \"to\": \"4 9\"}"), "no pattern of numbers", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"via\": [\"acme\"], \"hours\": \"noon\"}"), "hours 'noon'", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"via\": [\"acme\"], \"vai\": 1}"), "unknown word 'vai'", 2},
	    {"apply f", ROUTES("{\"name\": \"o\", \"via\": [\"acme\"]}, {\"name\": \"o\", \"deny\": true}"), "two routes are called o", 2},
	};
	struct world *w = w_new();
	char *before, *after;

	(void)state;
	furnish(w);
	before = export(w);
	steps(w, s, ARRAY_LEN(s));
	after = export(w);
	assert_string_equal(before, after);
	free(before);
	free(after);
	w_free(w);
}

/* A trunk with calls goes only when told so; then its calls end. */
static void calls_are_not_cut_unasked(void **state)
{
	static const char text[] = TRUNKS(ACME);
	struct world *w = w_new();
	struct answer a;

	(void)state;
	w_provision(w);
	w_invite(w, "+4989123456", "c1");
	assert_int_equal(b2b_call_count(w->b2b), 1);
	for (int i = 0; i < 2; i++) {
		w_run_how(w, i ? "apply f --dry-run" : "apply f", (struct how){.input = text}, &a);
		assert_int_equal(a.code, 2);
		assert_non_null(strstr(text_z(&a.err), "trunk pbx would go and has calls"));
		answer_fini(&a);
	}
	assert_int_equal(b2b_call_count(w->b2b), 1);
	w_run_how(w, "apply f --force", (struct how){.input = text}, &a);
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(text_z(&a.out), "- trunk pbx"));
	answer_fini(&a);
	w_free(w);
}

/* More changes than anybody reads are counted. */
static void many_numbers(void **state)
{
	enum { N = 5000 };
	struct world *w = w_new();
	char *text = malloc(N * 24 + 512), *got;
	struct answer a;
	size_t n;

	(void)state;
	assert_non_null(text);
	n = (size_t)sprintf(text, HEAD "\"routes\": [], \"trunks\": {" PBX ", \"numbers\": [");
	for (int i = 0; i < N; i++)
		n += (size_t)sprintf(text + n, "%s\"+4970%05d\"", i ? "," : "", i * 2);
	sprintf(text + n, "]}}}");
	w_run_how(w, "apply f", (struct how){.input = text}, &a);
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(text_z(&a.out), "more\n5001 changes, one revision"));
	answer_fini(&a);
	w_run_how(w, "apply f", (struct how){.input = text}, &a);
	assert_string_equal(text_z(&a.out), "nothing changed: it was so already\n");
	answer_fini(&a);
	got = export(w);
	assert_non_null(strstr(got, "+497009998"));
	free(got);
	free(text);
	w_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_exported_changes_nothing),
		cmocka_unit_test(any_state_becomes_what_the_text_says),
		cmocka_unit_test(one_undo_takes_it_back),
		cmocka_unit_test(only_what_is_named_with_keep),
		cmocka_unit_test(what_cannot_be_read_is_refused_whole),
		cmocka_unit_test(calls_are_not_cut_unasked),
		cmocka_unit_test(many_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
