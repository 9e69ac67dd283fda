/* Tests of sbc/ctl/client.c and local.c: the command as a person runs it, in a process of its own, against a whole
 * system (world.h) or against nothing. */
#include "world.h"

struct ran {
	int code;
	char out[65536], err[16384];
};

/* Reads what is there. */
static void take(int fd, char *buf, size_t cap, size_t *n)
{
	ssize_t r;

	while (*n + 1 < cap && (r = read(fd, buf + *n, cap - 1 - *n)) > 0)
		*n += (size_t)r;
	buf[*n] = '\0';
}

/* w NULL: there is no daemon. input: standard input. */
static void run(struct world *w, const char *line, const char *input, struct ran *ret)
{
	int out[2], err[2], in[2], status = 0;
	size_t n_out = 0, n_err = 0;
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(err, O_CLOEXEC), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char copy[1024] = "postern ", *argv[64];
		int argc;

		signal(SIGPIPE, SIG_DFL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		close(in[1]); /* the parent's end is the only one */
		setenv("POSTERN_SOCKET", w ? w->path : "/nonexistent/ctl", 1);
		setenv("COLUMNS", "100", 1);
		snprintf(copy + 8, sizeof(copy) - 8, "%s", line);
		argc = w_split(copy, argv);
		argv[argc] = NULL;
		argc = ctl_client_run(argc, argv);
		fflush(NULL);
		_exit(argc);
	}
	close(out[1]);
	close(err[1]);
	close(in[0]);
	if (input)
		assert_int_equal(write(in[1], input, strlen(input)), strlen(input));
	close(in[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	for (int i = 0;; i++) {
		bool ended = waitpid(pid, &status, WNOHANG) == pid;

		take(out[0], ret->out, sizeof(ret->out), &n_out);
		take(err[0], ret->err, sizeof(ret->err), &n_err);
		if (ended)
			break;
		if (w)
			loop_turn(&w->loop, 2);
		else
			usleep(2000);
		assert_true(i < 10000);
	}
	close(out[0]);
	close(err[0]);
	assert_true(WIFEXITED(status));
	ret->code = WEXITSTATUS(status);
}

static void expect(struct world *w, const char *line, const char *input, int code, const char *out, const char *err)
{
	struct ran *r = malloc(sizeof(*r));

	assert_non_null(r);
	run(w, line, input, r);
	if (r->code != code || !strstr(r->out, out) || !strstr(r->err, err))
		print_error("%s: exit %d\n%s%s", line, r->code, r->out, r->err);
	assert_int_equal(r->code, code);
	assert_non_null(strstr(r->out, out));
	assert_non_null(strstr(r->err, err));
	free(r);
}

static void exit_codes(void **state)
{
	struct world *w = w_new();
	struct ran *r = malloc(sizeof(*r));

	(void)state;
	assert_non_null(r);
	expect(w, "status", NULL, 0, "edge1", "");
	expect(w, "trunk add acme role=itsp realm=wan target=192.0.2.1", NULL, 0, "added", "");
	expect(w, "trunk drain acme", NULL, 0, "draining", "");
	expect(w, "status", NULL, 1, "WARN", "");
	expect(w, "trunk show nobody", NULL, 2, "", "error: no trunk 'nobody'");
	expect(w, "trunk shw", NULL, 64, "", "did you mean: postern trunk show?");
	expect(NULL, "status", NULL, 3, "", "posternd cannot be reached on /nonexistent/ctl");
	expect(w, "status --socket /nonexistent/other", NULL, 3, "", "/nonexistent/other");
	run(w, "status -q", NULL, r);
	assert_int_equal(r->code, 1);
	assert_string_equal(r->out, "");
	run(w, "trunk show nobody -q", NULL, r);
	assert_int_equal(r->code, 2);
	assert_string_equal(r->err, "");
	/* options of the client are not part of what was changed */
	run(w, "db history", NULL, r);
	assert_null(strstr(r->out, "socket"));
	assert_non_null(strstr(r->out, "trunk drain acme"));
	free(r);
	w_free(w);
}

static void locals(void **state)
{
	(void)state;
	expect(NULL, "config default", NULL, 0, "realm \"lan\" {", "");
	expect(NULL, "config schema realm", NULL, 0, "media-advertise", "");
	expect(NULL, "config schema nix", NULL, 2, "", "no section 'nix'");
	expect(NULL, "config check " TEST_SOURCE_DIR "/conf/postern.conf", NULL, 0, "is well: 2 realms", "");
	expect(NULL, "config check " TEST_SOURCE_DIR "/tests/data/conf/warning.in", NULL, 1, "1 warning", "");
	expect(NULL, "config check " TEST_SOURCE_DIR "/tests/data/conf/unknown.in", NULL, 2, "did you mean 'strangers'", "");
	expect(NULL, "config check /nonexistent", NULL, 2, "postern config default", "");
	expect(NULL, "config check -j " TEST_SOURCE_DIR "/tests/data/conf/unknown.in", NULL, 2, "\"line\": 5", "");
	expect(NULL, "error list", NULL, 0, "PSN-E2104", "");
	expect(NULL, "error list 99", NULL, 2, "", "no code that begins with '99'");
	expect(NULL, "error show no_route", NULL, 0, "PSN-E2104", "");
	expect(NULL, "error show E2104", NULL, 0, "remedy", "");
	expect(NULL, "error show 1", NULL, 2, "", "no reason '1'");
	expect(NULL, "why code PSN-E2104 -j", NULL, 0, "\"remedy\"", "");
	expect(NULL, "completion zsh", NULL, 0, "#compdef postern", "");
	expect(NULL, "help", NULL, 0, "trunk list", "");
	expect(NULL, "help trunk", NULL, 0, "trunk rename", "");
	expect(NULL, "help trunk add", NULL, 0, "max-calls", "");
	expect(NULL, "help nonsense", NULL, 2, "", "no command 'nonsense'");
	expect(NULL, "help --man", NULL, 0, ".TH POSTERN 1", "");
	expect(NULL, "--help", NULL, 0, "trunk list", "");
	expect(NULL, "", NULL, 64, "", "trunk list");
	expect(NULL, "version", NULL, 0, "postern " POSTERN_VERSION, "");
	expect(NULL, "--version", NULL, 0, "postern " POSTERN_VERSION, "");
}

/* A full disk behind standard output is told, not swallowed. */
static void full_disk(void **state)
{
	pid_t pid = fork();
	int status = 0;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		char name[] = "postern", help[] = "help", *argv[] = {name, help, NULL};
		int full = open("/dev/full", O_WRONLY), null = open("/dev/null", O_WRONLY);

		dup2(full, 1);
		dup2(null, 2);
		_exit(ctl_client_run(2, argv));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 2);
}

static void with_daemon(void **state)
{
	struct world *w = w_new();
	char line[256], path[128];
	struct ran *r = malloc(sizeof(*r));
	FILE *f;

	(void)state;
	assert_non_null(r);
	w_provision(w);
	expect(w, "version", NULL, 0, "posternd " POSTERN_VERSION, "");
	expect(w, "__complete trunk show a", NULL, 0, "acme\n", "");
	expect(w, "__complete trunk set acme realm=w", NULL, 0, "realm=wan\n", "");
	expect(NULL, "__complete trunk show a", NULL, 0, "", "");
	/* a file, and standard input */
	expect(w, "number import -", "+4989100xx,pbx\n", 0, "1 range added", "");
	snprintf(path, sizeof(path), "%s/cli.csv", w->dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("+4989200xx,pbx\nrubbish\n", f);
	fclose(f);
	snprintf(line, sizeof(line), "number import %s", path);
	expect(w, line, NULL, 2, "", "line 2, column 1");
	expect(w, "number import /nonexistent.csv", NULL, 2, "", "/nonexistent.csv: No such file");
	/* no terminal: nobody is asked */
	expect(w, "number del +4989100xx", NULL, 0, "100 numbers taken away", "");
	w_invite(w, "0815", "x");
	run(w, "__list call", NULL, r);
	snprintf(line, sizeof(line), "call pcap %.*s -o %s", (int)strcspn(r->out, "\n"), r->out, path);
	expect(w, line, NULL, 0, "", "");
	f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fread(r->out, 1, 4, f), 4);
	fclose(f);
	assert_memory_equal(r->out, "\xd4\xc3\xb2\xa1", 4);
	free(r);
	w_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exit_codes),
	    cmocka_unit_test(locals),
	    cmocka_unit_test(full_disk),
	    cmocka_unit_test(with_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
