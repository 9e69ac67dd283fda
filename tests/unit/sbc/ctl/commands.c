/* Tests of the commands against a whole system (world.h): what is shown at 80, 100 and 140 columns is compared with
 * tests/data/ctl/NAME.COLUMNS.ok, JSON is held against its envelope, changes against what they changed. */
#include "world.h"

#define DATA TEST_SOURCE_DIR "/tests/data/ctl"

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *p;
	size_t n;

	if (!f)
		return NULL;
	p = malloc(1 << 18);
	assert_non_null(p);
	n = fread(p, 1, (1 << 18) - 1, f);
	p[n] = '\0';
	fclose(f);
	return p;
}

static void golden(const char *name, unsigned columns, const struct answer *a)
{
	struct text got = {0};
	char path[256], *want;
	const char *version = strstr(text_z(&a->out), "posternd " POSTERN_VERSION);

	/* goldens outlive releases */
	if (version)
		text_fmt(&got, "%.*sposternd VERSION%s", (int)(version - text_z(&a->out)), text_z(&a->out),
		    version + sizeof("posternd " POSTERN_VERSION) - 1);
	else
		text_fmt(&got, "%s", text_z(&a->out));
	text_fmt(&got, "%s(exit %d)\n", text_z(&a->err), a->code);
	snprintf(path, sizeof(path), "%s/%s.%u.ok", DATA, name, columns);
	if (getenv("WRITE_GOLDEN")) {
		FILE *f = fopen(path, "wb");

		assert_non_null(f);
		fwrite(got.p, 1, got.n, f);
		fclose(f);
	}
	want = slurp(path);
	if (!want)
		fail_msg("%s is missing", path);
	assert_string_equal(text_z(&got), want);
	free(want);
	text_fini(&got);
}

/* Lines that are no wider than the terminal, where a word alone is not. */
static void fits(const char *text, unsigned columns)
{
	struct str rest = str_z(text), line;

	while (!str_empty(rest)) {
		rest = str_cut(rest, '\n', &line);
		if (line.n > columns)
			print_error("%zu columns: %.*s\n", line.n, STR(line));
		assert_true(line.n <= columns);
	}
}

static void show(struct world *w, const char *name, const char *line)
{
	static const unsigned columns[3] = {80, 100, 140};

	for (int i = 0; i < 3; i++) {
		struct answer a;

		w_run_how(w, line, (struct how){.columns = columns[i]}, &a);
		fits(text_z(&a.out), columns[i]);
		golden(name, columns[i], &a);
		answer_fini(&a);
	}
}

static void goldens(void **state)
{
	struct world *w = w_new();
	const char *id;
	struct answer a;
	char line[128];

	(void)state;
	show(w, "status-empty", "status");
	w_provision(w);
	w_invite(w, "+4989998877", "one");
	w_answer(w, "180 Ringing", false);
	w_advance(w, 2000000);
	w_answer(w, "200 OK", true);
	w_ack(w, "one");
	w_advance(w, 40000000);
	w_invite(w, "+4989111111", "two");
	w_answer(w, "486 Busy Here", false);
	w_invite(w, "0815", "three");
	w_ok(w, "trunk drain acme");
	show(w, "status", "status");
	show(w, "trunk-list", "trunk list");
	show(w, "trunk-show", "trunk show acme");
	/* every setting: must fit, but grows with the table of settings */
	for (unsigned columns = 80; columns <= 140; columns += 20) {
		w_run_how(w, "trunk show pbx --all", (struct how){.columns = columns}, &a);
		assert_int_equal(a.code, 0);
		fits(text_z(&a.out), columns);
		answer_fini(&a);
	}
	show(w, "trunk-missing", "trunk show amce");
	show(w, "number-list", "number list");
	show(w, "number-find", "number find +49301234517");
	show(w, "number-check", "number check");
	show(w, "route-list", "route list");
	show(w, "route-test", "route test pbx 17 +4930999");
	show(w, "explain-denied", "explain out 127.0.0.1:25070 17 0815");
	show(w, "call-list", "call list --ended");
	show(w, "realm-list", "realm list");
	show(w, "realm-show", "realm show wan");
	show(w, "config-show", "config show --set");
	show(w, "why-trunk", "why trunk acme");
	show(w, "guard-list", "guard list");
	show(w, "log-level", "log level");
	w_run_how(w, "__list call", (struct how){0}, &a);
	id = strtok(a.out.p, "\n");
	assert_non_null(id);
	snprintf(line, sizeof(line), "call show %s", id);
	show(w, "call-show", line);
	snprintf(line, sizeof(line), "call media %s", id);
	show(w, "call-media", line);
	snprintf(line, sizeof(line), "call ladder %s", id);
	show(w, "call-ladder", line);
	snprintf(line, sizeof(line), "why call %s", id);
	show(w, "why-up", line);
	id = strtok(NULL, "\n");
	assert_non_null(id);
	snprintf(line, sizeof(line), "why call %s", id);
	show(w, "why-noroute", line);
	id = strtok(NULL, "\n");
	assert_non_null(id);
	snprintf(line, sizeof(line), "why call %s", id);
	show(w, "why-busy", line);
	answer_fini(&a);
	show(w, "cdr-tail", "cdr tail");
	show(w, "cdr-stats", "cdr stats");
	w_free(w);
}

/* Every command of the daemon with -j: one object with the envelope, and the exit code of its text. */
static void json_envelope(void **state)
{
	static const char *const lines[] = {"status", "trunk list", "trunk show acme", "number list", "number export",
	    "number check", "number find +49301234517", "number find +4799", "route list", "route show out",
	    "route test pbx 17 +49301", "explain in acme +49170 +49301234517", "explain out pbx 17 0815", "call list",
	    "why trunk acme", "cdr tail", "cdr find +49", "cdr export", "cdr stats", "log tail", "log level",
	    "config show", "db check", "db stats", "db history", "guard list", "guard events", "realm list",
	    "realm show lan", "metrics", "flow list", "flow show 1", "trunk show nobody", "call show 1", "reload", "trunk set acme max-calls=x"};
	struct world *w = w_new();

	(void)state;
	w_provision(w);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct answer a, t;
		json_t *j, *m;
		size_t k;

		w_run_how(w, lines[i], (struct how){.json = true}, &a);
		w_run_how(w, lines[i], (struct how){0}, &t);
		j = json_loads(text_z(&a.out), JSON_REJECT_DUPLICATES, NULL);
		if (!j)
			print_error("%s: %s\n", lines[i], text_z(&a.out));
		assert_non_null(j);
		assert_int_equal(json_integer_value(json_object_get(j, "postern")), 1);
		assert_true(str_prefix(str_z(lines[i]), str_z(json_string_value(json_object_get(j, "command")))));
		assert_int_equal(json_integer_value(json_object_get(j, "code")), a.code);
		assert_true(json_is_object(json_object_get(j, "data")));
		assert_true(json_is_array(json_object_get(j, "messages")));
		assert_int_equal(a.code, t.code);
		assert_int_equal(a.err.n, 0);
		if (a.code == 2) {
			assert_true(json_array_size(json_object_get(j, "messages")) > 0);
			json_array_foreach(json_object_get(j, "messages"), k, m)
				assert_true(json_is_string(json_object_get(m, "text")));
		}
		json_decref(j);
		answer_fini(&a);
		answer_fini(&t);
	}
	w_free(w);
}

struct step {
	const char *line, *has; /* in out or err */
	int code;
};

static void steps(struct world *w, const struct step *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct answer a;

		w_run_how(w, s[i].line, (struct how){0}, &a);
		if (a.code != s[i].code || (!strstr(text_z(&a.out), s[i].has) && !strstr(text_z(&a.err), s[i].has)))
			print_error("%s: exit %d\n%s%s", s[i].line, a.code, text_z(&a.out), text_z(&a.err));
		assert_int_equal(a.code, s[i].code);
		assert_true(strstr(text_z(&a.out), s[i].has) || strstr(text_z(&a.err), s[i].has));
		/* nothing may end without a newline: the prompt would stand behind it */
		assert_true(!a.out.n || a.out.p[a.out.n - 1] == '\n');
		assert_true(!a.err.n || a.err.p[a.err.n - 1] == '\n');
		answer_fini(&a);
	}
}

static void trunks(void **state)
{
	static const struct step s[] = {
	    {"trunk add acme role=itsp realm=wan", "target", 2},
	    {"trunk add acme role=itsp realm=wann target=192.0.2.1", "did you mean 'wan'", 2},
	    {"trunk add acme role=itsp realm=wan target=192.0.2.1 max-cals=3", "did you mean 'max-calls'", 2},
	    {"trunk list", "no trunks yet", 0},
	    {"trunk add acme role=itsp realm=wan target=192.0.2.1", "trunk acme added", 0},
	    {"trunk add acme role=itsp realm=wan target=192.0.2.2", "PSN-E5011", 2},
	    {"trunk set acme max-calls=30 nat=yes", "max-calls: unlimited -> 30", 0},
	    {"trunk set acme max-calls 40", "max-calls: 30 -> 40", 0},
	    {"trunk set acme max-calls=40", "nothing changed", 0},
	    {"trunk set acme max-calls=many", "PSN-E5014", 2},
	    {"trunk unset acme max-calls nat", "nat: yes -> no", 0},
	    {"trunk unset acme role", "role", 2},
	    {"trunk set amce nat=yes", "did you mean 'acme'", 2},
	    {"trunk disable acme", "enabled -> disabled", 0},
	    {"trunk list", "DISABLED", 1},
	    {"status", "acme is DISABLED", 1},
	    {"trunk enable acme", "disabled -> enabled", 0},
	    {"trunk enable acme", "nothing changed", 0},
	    {"trunk drain nobody", "no trunk 'nobody'", 2},
	    {"trunk rename acme provider", "now called provider", 0},
	    {"trunk rename acme x", "no trunk 'acme'", 2},
	    {"number add +4930123 provider", "1 number given to provider", 0},
	    {"trunk del provider", "PSN-E5013", 2},
	    {"trunk del provider --with-numbers", "deleted", 0},
	    {"number list", "no numbers", 0},
	    {"db history", "trunk del provider --with-numbers", 0},
	    {"db history 1", "name=acme", 0},
	    {"db history 999", "999", 2},
	};
	struct world *w = w_new();

	(void)state;
	steps(w, s, ARRAY_LEN(s));
	assert_int_equal(policy_trunk_count(b2b_policy(w->b2b)), 0);
	w_free(w);
}

static void numbers(void **state)
{
	static const struct step s[] = {
	    {"number add +493012345xx pbx", "100 numbers given to pbx", 0},
	    {"number add +49301234510 acme", "overlaps", 2},
	    {"number add 030 pbx", "not an E.164 number", 2},
	    {"number add +4930 nobody", "nobody", 2},
	    {"number move +49301234510..+49301234519 acme", "10 numbers moved to acme", 0},
	    {"number move +49301234590..+49301234609 acme", "only 10 of these 20", 2},
	    {"number find +49301234515", "belongs to trunk acme", 0},
	    {"number find +49301234520", "belongs to trunk pbx", 0},
	    {"number find +4799", "belongs to no trunk", 1},
	    {"number del +49301234510", "1 number taken away", 0},
	    {"number del +49301234510", "PSN-E5012", 2},
	    {"number del +4930123451x --trunk pbx", "PSN-E5012", 2},
	    {"number list --trunk acme", "9 numbers in 1 range", 0},
	    {"number list --trunk nobody", "no trunk 'nobody'", 2},
	    {"number export", "+49301234511..+49301234519,acme\n", 0},
	    {"number check", "acme is a provider and has numbers", 1},
	};
	struct world *w = w_new();

	(void)state;
	w_ok(w, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070");
	w_ok(w, "trunk add acme role=itsp realm=wan target=127.0.0.2:25080");
	steps(w, s, ARRAY_LEN(s));
	w_free(w);
}

static void import(void **state)
{
	static const struct {
		const char *line, *input, *has;
		int code;
	} s[] = {
	    {"number import f", "", "the file is empty", 2},
	    {"number import f", "range,trunk\n", "0 rows", 0},
	    {"number import f", "range,trunk\n+4989100xx,pbx\n", "1 range added (100 numbers)", 0},
	    {"number import f", "+4989100xx,pbx\n", "1 already there", 0},
	    {"number import f", "+4989200..,pbx\n", "line 1, column 1:", 2},
	    {"number import f", "# note\n\n  \n\"+4989200\",\"nobody\"\n", "line 4: there is no trunk 'nobody'", 2},
	    {"number import f", "+4989200\n", "line 1, column 9: trunk is missing", 2},
	    {"number import f --trunk pbx", "+4989200\r\n", "1 range added", 0},
	    {"number import f", "+4989201,pbx,x\n", "line 1, column 14: more than two columns", 2},
	    {"number import f", "\"+4989201,pbx\n", "line 1, column 1: closing \" is missing", 2},
	    {"number import f", "\"+4989201\"x,pbx\n", "line 1, column 11: a comma", 2},
	    {"number import f", ",pbx\n", "line 1, column 1: range is empty", 2},
	    {"number import f --dry-run", "+4989300xx,pbx\n", "would be added", 0},
	    {"number import f", "+49893000,pbx\n+49893000,acme\n", "line 2", 2},
	    {"number import f --replace", "+4989400xx,pbx\n", "2 removed", 0},
	    {"number import f", "\xef\xbb\xbfrange;trunk\n+49895;pbx\n", "1 range added", 0},
	};
	struct world *w = w_new();
	struct answer a;
	char *big;

	(void)state;
	w_ok(w, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070");
	w_ok(w, "trunk add acme role=itsp realm=wan target=127.0.0.2:25080");
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		w_run_how(w, s[i].line, (struct how){.input = s[i].input}, &a);
		if (a.code != s[i].code || (!strstr(text_z(&a.out), s[i].has) && !strstr(text_z(&a.err), s[i].has)))
			print_error("%zu: exit %d\n%s%s", i, a.code, text_z(&a.out), text_z(&a.err));
		assert_int_equal(a.code, s[i].code);
		assert_true(strstr(text_z(&a.out), s[i].has) || strstr(text_z(&a.err), s[i].has));
		answer_fini(&a);
	}
	/* nothing of a refused file stays, and what --dry-run would do is not done */
	w_run_how(w, "number list", (struct how){0}, &a);
	assert_non_null(strstr(text_z(&a.out), "101 numbers in 2 ranges"));
	answer_fini(&a);
	/* ten thousand rows */
	big = malloc(10000 * 32);
	assert_non_null(big);
	for (size_t i = 0, n = 0; i < 10000; i++)
		n += (size_t)snprintf(big + n, 32, "+4770%05zu,pbx\n", i * 2);
	w_run_how(w, "number import f", (struct how){.input = big}, &a);
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(text_z(&a.out), "10000 rows: 10000 ranges added"));
	answer_fini(&a);
	free(big);
	w_free(w);
}

static void routes(void **state)
{
	static const struct step s[] = {
	    {"route add out", "the route leads nowhere", 2},
	    {"route add out --to +* --via nobody", "nobody", 2},
	    {"route add out --to +*x --via acme", "no pattern of numbers", 2},
	    {"route add out --via acme@x", "TRUNK@PRIORITY*WEIGHT", 2},
	    {"route add out --via acme --deny", "exclude each other", 2},
	    {"route add out --from pbx --to +* --via acme@1*10,second@2 --via third", "route out added", 0},
	    {"route add out --via acme", "PSN-E5011", 2},
	    {"route add premium --to +49900* --deny --before out --hours always", "added", 0},
	    {"route add night --to 112 --via acme --hours mon-fri", "added", 0},
	    {"route add bad --to 112 --via acme --hours noonish", "--hours", 2},
	    {"route list", "acme@1*10, second@2, third", 0},
	    {"route show out", "from trunk  pbx", 0},
	    {"route show nix", "no route 'nix'", 2},
	    {"route test pbx 17 +49900123", "denies the call", 2},
	    {"route test pbx 17 +4930", "taken: out", 0},
	    {"explain out pbx 17 +49900123", "PSN-E4006", 2},
	    {"explain out pbx 17 +4930", "udp 127.0.0.2:25080 (unknown)", 0},
	    {"explain out pbx 17 +4930 --message", "INVITE sip:+4930@", 0},
	    {"explain in pbx 17 +4930", "it is a pbx trunk", 0},
	    {"explain out 127.0.0.1:25070 17 +4930", "realm lan", 0},
	    {"explain out 127.0.0.1:25070 17 +4930 --realm wan", "is no trunk in realm wan", 2},
	    {"explain out 9.9.9.9 17 +4930", "PSN-E2101", 2},
	    {"explain out nobody 17 +4930", "no trunk 'nobody'", 2},
	    {"route set out --from any --calling 17* --name outbound", "changed", 0},
	    {"route show outbound", "calling     17*", 0},
	    {"route set nix --deny", "no route 'nix'", 2},
	    {"route del outbound", "deleted", 0},
	    {"route del outbound", "PSN-E5012", 2},
	    {"db undo 1", "PSN-E5009", 2},
	    {"db undo 77", "77", 2},
	};
	struct world *w = w_new();

	(void)state;
	w_ok(w, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070");
	w_ok(w, "trunk add acme role=itsp realm=wan target=127.0.0.2:25080");
	w_ok(w, "trunk add second role=itsp realm=wan target=127.0.0.3:25080");
	w_ok(w, "trunk add third role=itsp realm=wan target=127.0.0.4:25080");
	steps(w, s, ARRAY_LEN(s));
	w_free(w);
}

static void calls(void **state)
{
	static const struct step none[] = {
	    {"call list", "no calls", 0},
	    {"call clear", "which call", 2},
	    {"call clear 1234", "not in progress", 2},
	    {"call clear --trunk nobody", "no trunk 'nobody'", 2},
	    {"call show 1234", "no call '1234'", 2},
	    {"call ladder 1234", "no call '1234'", 2},
	    {"why call 1234", "no call '1234'", 2},
	    {"cdr show 1234", "no record of call", 2},
	    {"cdr find +49 --reason 9999", "no reason '9999'", 2},
	};
	struct world *w = w_new();
	struct answer a;
	char id[32], line[64];

	(void)state;
	w_provision(w);
	steps(w, none, ARRAY_LEN(none));
	w_invite(w, "+4989998877", "one");
	w_answer(w, "200 OK", true);
	w_ack(w, "one");
	assert_int_equal(b2b_call_count(w->b2b), 1);
	w_run_how(w, "__list call", (struct how){0}, &a);
	snprintf(id, sizeof(id), "%.*s", (int)strcspn(text_z(&a.out), "\n"), text_z(&a.out));
	answer_fini(&a);
	/* the capture file begins as one, and holds the messages */
	snprintf(line, sizeof(line), "call pcap %s", id);
	w_run_how(w, line, (struct how){0}, &a);
	assert_int_equal(a.code, 0);
	assert_true(a.bin.n > TAP_PCAP_HEAD + 1000);
	assert_true(!memcmp(a.bin.p, "\xd4\xc3\xb2\xa1", 4));
	answer_fini(&a);
	snprintf(line, sizeof(line), "call ladder %s --full", id);
	w_run_how(w, line, (struct how){0}, &a);
	assert_non_null(strstr(text_z(&a.out), "m=audio 31000 RTP/AVP 8"));
	answer_fini(&a);
	steps(w, (const struct step[]){{"call clear --over 1h", "0 calls cleared", 0},
		     {"call clear --trunk acme", "1 call cleared", 0}},
	    2);
	/* its BYEs are on the way; force ends it at once */
	snprintf(line, sizeof(line), "call clear %s --force", id);
	w_run_how(w, line, (struct how){0}, &a);
	answer_fini(&a);
	w_advance(w, 1000);
	assert_int_equal(b2b_call_count(w->b2b), 0);
	assert_int_equal(w->n_records, 1);
	snprintf(line, sizeof(line), "cdr show %s", id);
	steps(w, (const struct step[]){{line, "PSN-E2119", 0}, {"cdr find +4989998877", id, 0}, {"cdr find 17", id, 0},
		     {"cdr find +498999*", id, 0}, {"cdr find +4700", "no call record", 0},
		     {"cdr find --reason PSN-E2119", id, 0}, {"cdr find --failed", "no call record", 0},
		     {"cdr find --trunk acme --since 1h", id, 0}, {"cdr export", "PSN-E2119", 0}},
	    9);
	w_free(w);
}

static void guard_bans(void **state)
{
	static const struct step s[] = {
	    {"guard ban 203.0.113.9 1h --why scanner", "banned for 1h", 0},
	    {"guard ban 127.0.0.0/8", "also turns away trunk", 1},
	    {"guard ban 0.0.0.0/0", "would ban everybody", 2},
	    {"guard ban 203.0.113.9/24", "not an address or a network", 64},
	    {"guard list", "203.0.113.9", 0},
	    {"guard allow 127.0.0.1", "covered by 127.0.0.0/8", 2},
	    {"guard allow 127.0.0.0/8", "no longer banned", 0},
	    {"guard allow 203.0.113.9", "no longer banned", 0},
	    {"guard allow 203.0.113.9", "is not banned", 2},
	    {"guard list", "no bans", 0},
	};
	struct world *w = w_new();
	struct addr bad;

	(void)state;
	w_provision(w);
	steps(w, s, 1);
	assert_int_equal(addr_parse_ip(S("203.0.113.9"), 5060, &bad), 0);
	assert_int_equal(guard_check(w->guard, &bad, true), GUARD_BANNED);
	steps(w, s + 1, ARRAY_LEN(s) - 1);
	assert_int_equal(guard_check(w->guard, &bad, true), GUARD_PASS);
	w_free(w);
}

static void log_levels(void **state)
{
	struct world *w = w_new();

	(void)state;
	w_ok(w, "log level sip debug --for 10m");
	assert_int_equal(w->logger.level[LOG_SIP], LOG_DEBUG);
	/* a second --for does not forget what was there before the first */
	w_ok(w, "log level sip error --for 20m");
	w_advance(w, (int64_t)19 * 60 * 1000000);
	assert_int_equal(w->logger.level[LOG_SIP], LOG_ERROR);
	w_advance(w, (int64_t)2 * 60 * 1000000);
	assert_int_equal(w->logger.level[LOG_SIP], LOG_INFO);
	w_ok(w, "log level all warn");
	assert_int_equal(w->logger.level[LOG_MEDIA], LOG_WARN);
	steps(w, (const struct step[]){{"log level debug", "not one of", 64}, {"log level nix debug", "not one of", 64}},
	    2);
	w_free(w);
}

static void care(void **state)
{
	static const struct step s[] = {
	    {"db check", "the database is well", 0},
	    {"db backup ../x", "no name for a backup", 2},
	    {"db backup /etc/passwd", "no name for a backup", 2},
	    {"db backup postern.db", "no name for a backup", 2},
	    {"db backup postern.db-wal", "no name for a backup", 2},
	    {"db stats", "call records written", 0},
	    {"reload", "realm lan.dscp: ef -> cs5\nreloaded", 0},
	    {"config show limits", "limits.max-calls", 0},
	    {"config show max-calls", "line 5", 0},
	    {"config show maxcalls", "did you mean limits.max-calls", 2},
	    {"metrics guard", "guard.", 0},
	    {"metrics nix", "no counters of area 'nix'", 2},
	    {"realm show nix", "realms: lan wan", 2},
	};
	struct world *w = w_new();
	struct answer a;

	(void)state;
	w->reload_text = "realm lan.dscp: ef -> cs5\n";
	steps(w, s, ARRAY_LEN(s));
	w->reload_why = REASON_CONFIG_INVALID;
	w->reload_text = "postern.conf:1:1: error: unknown section 'x'\n";
	w_run_how(w, "reload", (struct how){0}, &a);
	assert_int_equal(a.code, 2);
	assert_non_null(strstr(text_z(&a.err), "unknown section 'x'"));
	assert_non_null(strstr(text_z(&a.err), "not reloaded  [PSN-E6005]"));
	answer_fini(&a);
	w_free(w);
}

static void gruu_keys(void **state)
{
	static const struct step s[] = {
	    {"gruu show", "no key yet", 0}, /* nobody registers in this world */
	    {"gruu show --pem", "there is no key yet", 2},
	    {"gruu rotate", "a new key is in force", 0},
	    {"gruu rotate --grace 7d", "a new key is in force", 0},
	    {"gruu rotate --grace soon", "soon", 64},
	};
	struct world *w = w_new();
	struct answer a;

	(void)state;
	steps(w, s, 3);
	assert_int_equal(w->grace_s, 86400);
	steps(w, s + 3, 2);
	assert_int_equal(w->grace_s, 7 * 86400);
	w->reload_why = REASON_PENDING;
	w->reload_text = "a key pair is being made already";
	w_run_how(w, "gruu rotate", (struct how){0}, &a);
	assert_int_equal(a.code, 2);
	assert_non_null(strstr(text_z(&a.err), "a key pair is being made already"));
	answer_fini(&a);
	w_free(w);
}

/* What a handler builds by hand is well-formed for peers' bytes that are not. */
static void hostile_text(void **state)
{
	struct world *w = w_new();
	const struct log lg = {.to = &w->logger, .area = LOG_SIP};
	struct answer a;

	(void)state;
	log_info(&lg, "raw", "bytes=%s", "\xff\xfe\x1b[2J\x07");
	w_run_how(w, "log tail", (struct how){0}, &a);
	assert_int_equal(a.code, 0);
	assert_null(memchr(a.out.p, 0x1b, a.out.n));
	assert_null(memchr(a.out.p, 0x07, a.out.n));
	answer_fini(&a);
	w_run_how(w, "log tail", (struct how){.json = true}, &a);
	assert_int_equal(a.code, 0);
	answer_fini(&a);
	w_run_how(w, "trunk show \x1b[2J'\"; --all", (struct how){0}, &a);
	assert_int_equal(a.code, 2);
	answer_fini(&a);
	w_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(goldens),
	    cmocka_unit_test(json_envelope),
	    cmocka_unit_test(trunks),
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(import),
	    cmocka_unit_test(routes),
	    cmocka_unit_test(calls),
	    cmocka_unit_test(guard_bans),
	    cmocka_unit_test(log_levels),
	    cmocka_unit_test(care),
	    cmocka_unit_test(gruu_keys),
	    cmocka_unit_test(hostile_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
