/* Tests of sbc/ctl/server.c and req.c: the socket itself, roles, clients that misbehave or leave, streams, and what
 * happens to what was asked when nobody listens any more. */
#include "world.h"

#include <grp.h>

static void socket_file(void **state)
{
	struct world *w = w_new();
	struct ctl_backend be = w_backend(w);
	struct ctl_server *second = NULL;
	struct ctl_error err;
	struct stat st;
	char path[160];
	int fd;

	(void)state;
	assert_int_equal(stat(w->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	/* 0660 only where one of the groups exists */
	assert_int_equal(st.st_mode & 0777, getgrnam("postern-view") || getgrnam("postern-oper") ||
		getgrnam("postern-admin") ? 0660 : 0600);
	assert_int_equal(ctl_server_new(&be, w->path, &second, &err), -EADDRINUSE);
	assert_int_equal(err.reason, REASON_ADDRESS_IN_USE);
	assert_non_null(strstr(err.text, "another posternd"));
	snprintf(path, sizeof(path), "%s/none/ctl", w->dir);
	assert_true(ctl_server_new(&be, path, &second, &err) < 0);
	assert_int_equal(err.reason, REASON_CONFIG_INVALID);
	/* a file that is no socket is nobody's to remove */
	snprintf(path, sizeof(path), "%s/backup.db", w->dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(ctl_server_new(&be, path, &second, &err), -EEXIST);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	/* what a killed daemon left behind is replaced */
	snprintf(path, sizeof(path), "%s/old", w->dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	{
		struct sockaddr_un sa = {.sun_family = AF_UNIX};

		memcpy(sa.sun_path, path, strlen(path) + 1);
		assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	}
	close(fd);
	assert_int_equal(ctl_server_new(&be, path, &second, &err), 0);
	w->gone = false;
	ctl_server_free(second, w_closed, w);
	for (int i = 0; i < 100 && !w->gone; i++)
		loop_turn(&w->loop, 5);
	assert_true(w->gone);
	assert_int_equal(stat(path, &st), -1);
	w->gone = false;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(ctl_server_new(&be, path, &second, &err), -EINVAL);
	w_free(w);
}

static void malformed_is_answered_and_closed(void **state)
{
	static const char *const lines[] = {"GET / HTTP/1.0\r\n\r\n", "\n", "{\"v\":1}\n", "{\"v\":9,\"argv\":[]}\n",
	    "{\"v\":1,\"argv\":[[[[[[[[[[[[]]]]]]]]]]]]}\n"};
	struct world *w = w_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct answer a = {.code = -1};
		int fd = w_dial(w);

		w_write(fd, lines[i], strlen(lines[i]));
		w_listen(w, fd, &a, 200);
		assert_true(a.closed);
		assert_int_equal(a.code, 64);
		assert_true(str_prefix(text_get(&a.err), S("error: ")));
		close(fd);
		answer_fini(&a);
	}
	assert_int_equal(w->ctl->counts[CTL_MALFORMED], ARRAY_LEN(lines));
	loop_turn(&w->loop, 5);
	assert_int_equal(ctl_server_clients(w->ctl), 0);
	w_free(w);
}

static void endless_line(void **state)
{
	struct world *w = w_new();
	struct answer a = {.code = -1};
	char junk[65536];
	int fd = w_dial(w);

	(void)state;
	memset(junk, '{', sizeof(junk));
	for (int i = 0; i < 40 && !a.closed; i++) {
		w_write(fd, junk, sizeof(junk));
		w_listen(w, fd, &a, 2);
	}
	w_listen(w, fd, &a, 100);
	assert_true(a.closed);
	assert_int_equal(a.code, 64);
	assert_non_null(strstr(text_z(&a.err), "1 MiB"));
	close(fd);
	answer_fini(&a);
	w_free(w);
}

static void usage_and_help(void **state)
{
	struct world *w = w_new();
	struct answer a;

	(void)state;
	w_run_how(w, "trunk lst", (struct how){0}, &a);
	assert_int_equal(a.code, 64);
	assert_non_null(strstr(text_z(&a.err), "did you mean: postern trunk list?"));
	answer_fini(&a);
	w_run_how(w, "trunk add -h", (struct how){0}, &a);
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(text_z(&a.out), "usage: postern trunk add"));
	answer_fini(&a);
	/* what belongs to the client is not run here */
	w_run_how(w, "config check /etc/shadow", (struct how){0}, &a);
	assert_int_equal(a.code, 2);
	assert_non_null(strstr(text_z(&a.err), "answered by the client"));
	answer_fini(&a);
	w_free(w);
}

static void too_many_clients(void **state)
{
	struct world *w = w_new();
	int fds[CTL_CLIENTS_MAX + 8];
	unsigned refused = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = w_dial(w);
		loop_turn(&w->loop, 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		struct answer a = {.code = -1};

		w_listen(w, fds[i], &a, 2);
		if (a.closed) {
			refused++;
			assert_int_equal(a.code, 2);
			assert_non_null(strstr(text_z(&a.err), "too many clients"));
		}
		answer_fini(&a);
	}
	assert_int_equal(refused, 8);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	for (int i = 0; i < 50 && ctl_server_clients(w->ctl); i++)
		loop_turn(&w->loop, 1);
	assert_int_equal(ctl_server_clients(w->ctl), 0);
	w_ok(w, "status");
	w_free(w);
}

/* Says nothing; begins and does not finish; asks and does not read. */
static void slow_clients(void **state)
{
	struct world *w = w_new();
	int silent = w_dial(w), half = w_dial(w), deaf, small = 4096;
	struct answer a = {.code = -1};

	(void)state;
	loop_turn(&w->loop, 5);
	w_write(half, "{\"v\":1,", 7);
	loop_turn(&w->loop, 5);
	w_advance(w, (int64_t)(CTL_REQUEST_MS - 100) * 1000);
	assert_int_equal(ctl_server_clients(w->ctl), 2);
	w_advance(w, 200 * 1000);
	w_listen(w, silent, &a, 10);
	assert_true(a.closed);
	answer_fini(&a);
	w_listen(w, half, &a, 10);
	assert_true(a.closed);
	answer_fini(&a);
	close(silent);
	close(half);
	/* an answer larger than what the kernel takes */
	w_ok(w, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070");
	{
		struct text csv = {0};

		for (int i = 0; i < 6000; i++)
			text_fmt(&csv, "+4770%05d,pbx\n", i * 2);
		w_run_how(w, "number import f", (struct how){.input = text_z(&csv)}, &a);
		assert_int_equal(a.code, 0);
		answer_fini(&a);
		text_fini(&csv);
	}
	deaf = w_dial(w);
	setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	w_request(w, deaf, "number list", (struct how){.json = true});
	for (int i = 0; i < 200; i++)
		loop_turn(&w->loop, 5);
	assert_int_equal(ctl_server_clients(w->ctl), 1);
	w_advance(w, (int64_t)(CTL_STALL_MS + 1000) * 1000);
	for (int i = 0; i < 10; i++)
		loop_turn(&w->loop, 1);
	assert_int_equal(ctl_server_clients(w->ctl), 0);
	assert_int_equal(w->ctl->counts[CTL_STALLED], 3);
	close(deaf);
	/* and one that reads slowly but does read gets it whole */
	w_run_how(w, "number list", (struct how){.json = true}, &a);
	assert_int_equal(a.code, 0);
	assert_true(a.out.n > 500000);
	answer_fini(&a);
	w_free(w);
}

/* The client leaves while the store works: the change is made, and the policy swapped. */
static void leaving_client(void **state)
{
	struct world *w = w_new();
	unsigned swaps = w->policy_swaps;
	int fd;

	(void)state;
	fd = w_dial(w);
	w_request(w, fd, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070", (struct how){0});
	for (int i = 0; i < 20 && w->ctl->counts[CTL_REQUESTS] == 0; i++)
		loop_turn(&w->loop, 1);
	close(fd);
	for (int i = 0; i < 200 && w->policy_swaps == swaps; i++)
		loop_turn(&w->loop, 5);
	assert_int_equal(w->policy_swaps, swaps + 1);
	assert_non_null(policy_trunk_named(b2b_policy(w->b2b), S("pbx")));
	w_ok(w, "trunk show pbx");
	/* and one that leaves while it reads */
	fd = w_dial(w);
	w_request(w, fd, "db check", (struct how){0});
	loop_turn(&w->loop, 1);
	close(fd);
	for (int i = 0; i < 50; i++)
		loop_turn(&w->loop, 1);
	assert_true(list_empty(&w->ctl->reqs));
	w_free(w);
}

/* The server ends with requests under way everywhere: nothing is lost, nothing is touched after. */
static void shutdown_with_requests(void **state)
{
	struct world *w = w_new();
	int fds[4];

	(void)state;
	w->hold_changes = true;
	fds[0] = w_dial(w);
	w_request(w, fds[0], "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070", (struct how){0});
	for (int i = 0; i < 200 && !w->held; i++)
		loop_turn(&w->loop, 5);
	assert_non_null(w->held);
	fds[1] = w_dial(w);
	w_request(w, fds[1], "db check", (struct how){0});
	fds[2] = w_dial(w);
	w_request(w, fds[2], "log tail -f", (struct how){0});
	fds[3] = w_dial(w);
	w_write(fds[3], "{", 1);
	loop_turn(&w->loop, 1);
	loop_turn(&w->loop, 1);
	ctl_server_free(w->ctl, w_closed, w);
	w->ctl = NULL;
	for (int i = 0; i < 100 && !w->gone; i++)
		loop_turn(&w->loop, 5);
	assert_true(w->gone);
	w->held(w->held_arg, REASON_NONE, NULL); /* the application answers late */
	for (int i = 0; i < 20; i++)
		loop_turn(&w->loop, 5);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	w_free(w);
}

static void failing_swap(void **state)
{
	struct world *w = w_new();
	struct answer a = {.code = -1};
	int fd;

	(void)state;
	w->hold_changes = true;
	fd = w_dial(w);
	w_request(w, fd, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070", (struct how){0});
	for (int i = 0; i < 200 && !w->held; i++)
		loop_turn(&w->loop, 5);
	assert_non_null(w->held);
	w->held(w->held_arg, REASON_NO_MEMORY, "no room");
	w->hold_changes = false;
	w_listen(w, fd, &a, 100);
	assert_int_equal(a.code, 2);
	assert_non_null(strstr(text_z(&a.err), "stored, but the running policy could not be changed: no room"));
	answer_fini(&a);
	close(fd);
	w_free(w);
}

static void log_follower(void **state)
{
	struct world *w = w_new();
	const struct log lg = {.to = &w->logger, .area = LOG_SIP, .ctx = "call=7f3a"};
	const struct log other = {.to = &w->logger, .area = LOG_SIP, .ctx = "call=7f3abc"};
	struct answer a = {.code = -1};
	int fd = w_dial(w);

	(void)state;
	log_info(&lg, "before", "n=%d", 1);
	w_request(w, fd, "log tail -f -n 1 --call 7f3a", (struct how){0});
	w_listen(w, fd, &a, 20);
	assert_non_null(strstr(text_z(&a.out), "before"));
	a.out.n = 0;
	log_info(&other, "not_mine", "n=%d", 2);
	for (int i = 0; i < 200; i++)
		log_info(&lg, "after", "n=%d", i);
	w_advance(w, 300000);
	w_listen(w, fd, &a, 5);
	assert_null(strstr(text_z(&a.out), "not_mine"));
	assert_non_null(strstr(text_z(&a.out), "n=0\n"));
	assert_non_null(strstr(text_z(&a.out), "n=199\n"));
	assert_false(a.closed);
	close(fd);
	for (int i = 0; i < 20 && ctl_server_clients(w->ctl); i++)
		loop_turn(&w->loop, 1);
	assert_int_equal(ctl_server_clients(w->ctl), 0);
	assert_true(list_empty(&w->ctl->reqs));
	answer_fini(&a);
	w_free(w);
}

static void cdr_follower(void **state)
{
	struct world *w = w_new();
	struct answer a = {.code = -1}, j = {.code = -1};
	int text, json;
	json_t *o;

	(void)state;
	w_provision(w);
	text = w_dial(w);
	json = w_dial(w);
	w_request(w, text, "cdr tail -f", (struct how){0});
	w_request(w, json, "cdr tail -f -n 0", (struct how){.json = true});
	w_listen(w, text, &a, 20);
	w_listen(w, json, &j, 20);
	assert_int_equal(a.out.n, 0);
	w_invite(w, "0815", "gone");
	w_listen(w, text, &a, 5);
	w_listen(w, json, &j, 5);
	assert_non_null(strstr(text_z(&a.out), "PSN-E2104"));
	o = json_loads(text_z(&j.out), 0, NULL);
	assert_string_equal(json_string_value(json_object_get(o, "called")), "0815");
	json_decref(o);
	close(text);
	/* one that left is no longer told */
	for (int i = 0; i < 20 && ctl_server_clients(w->ctl) > 1; i++)
		loop_turn(&w->loop, 1);
	w_invite(w, "0816", "gone2");
	w_listen(w, json, &j, 5);
	assert_non_null(strstr(text_z(&j.out), "0816"));
	close(json);
	answer_fini(&a);
	answer_fini(&j);
	w_free(w);
}

/* -------------------------------------------------------------------- roles */

/* Runs the command as somebody else, in a process of its own; the answer's code, or 100 + errno of connect(). */
static int as(struct world *w, gid_t group, const char *line)
{
	pid_t pid;
	int status = 0;
	int pipe_fd[2];

	assert_int_equal(pipe(pipe_fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct sockaddr_un sa = {.sun_family = AF_UNIX};
		char copy[256], *argv[32], *p, buf[65536];
		int fd = socket(AF_UNIX, SOCK_STREAM, 0), code = -1;
		size_t n, have = 0;
		ssize_t r;

		if (setgroups(group ? 1 : 0, &group) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
			_exit(99);
		memcpy(sa.sun_path, w->path, strlen(w->path) + 1);
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			_exit(100 + errno);
		snprintf(copy, sizeof(copy), "%s", line);
		p = proto_write_request(w_split(copy, argv), argv, 100, false, false, STR_NONE, &n);
		if (send(fd, p, n, MSG_NOSIGNAL) < 0 && errno != EPIPE)
			_exit(98);
		while ((r = read(fd, buf + have, sizeof(buf) - have)) > 0)
			have += (size_t)r;
		for (struct str rest = str_n(buf, have), l; !str_empty(rest);) {
			char *text = NULL;
			size_t m;

			rest = str_cut(rest, '\n', &l);
			(void)proto_read_answer(l, &text, &m, &code);
			free(text);
		}
		_exit(code < 0 ? 97 : code);
	}
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	for (int i = 0; i < 2000; i++) {
		loop_turn(&w->loop, 5);
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WEXITSTATUS(status);
	}
	fail_msg("no answer");
	return -1;
}

static void roles(void **state)
{
	struct world *w;

	(void)state;
	if (geteuid() != 0) {
		skip(); /* becoming somebody else needs root */
		return;
	}
	w = w_new();
	assert_int_equal(chmod(w->dir, 0755), 0);
	assert_int_equal(chmod(w->path, 0600), 0);
	assert_int_equal(as(w, 0, "status"), 100 + EACCES);
	/* from here on the file lets everybody in, the server does not */
	assert_int_equal(chmod(w->path, 0666), 0);
	assert_int_equal(as(w, 0, "status"), 2);
	assert_int_equal(w->ctl->counts[CTL_DENIED], 1);
	w->ctl->group[CTL_VIEW] = 50001;
	w->ctl->group[CTL_OPER] = 50002;
	w->ctl->group[CTL_ADMIN] = 50003;
	assert_int_equal(as(w, 50001, "status"), 0);
	assert_int_equal(as(w, 50001, "guard ban 203.0.113.9"), 2);
	assert_int_equal(as(w, 50001, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070"), 2);
	assert_int_equal(as(w, 50002, "guard ban 203.0.113.9"), 0);
	assert_int_equal(as(w, 50002, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070"), 2);
	assert_int_equal(policy_trunk_count(b2b_policy(w->b2b)), 0);
	assert_int_equal(as(w, 50003, "trunk add pbx role=pbx realm=lan target=127.0.0.1:25070"), 0);
	assert_int_equal(policy_trunk_count(b2b_policy(w->b2b)), 1);
	assert_int_equal(as(w, 50004, "status"), 2);
	w_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(socket_file),
	    cmocka_unit_test(malformed_is_answered_and_closed),
	    cmocka_unit_test(endless_line),
	    cmocka_unit_test(usage_and_help),
	    cmocka_unit_test(too_many_clients),
	    cmocka_unit_test(slow_clients),
	    cmocka_unit_test(leaving_client),
	    cmocka_unit_test(shutdown_with_requests),
	    cmocka_unit_test(failing_swap),
	    cmocka_unit_test(log_follower),
	    cmocka_unit_test(cdr_follower),
	    cmocka_unit_test(roles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
