/* client.c - the postern command.
 *
 * Happy path: parse with the table, answer locally or send one request over the socket and copy what comes back to
 * standard output and standard error. Dangerous verbs ask once when a person sits at a terminal; scripts are never
 * asked. -w repeats the request and redraws.
 * What goes wrong: the daemon is not there (3, with what to look at), goes away in the middle (3), the command line
 * is wrong (64).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sbc/ctl/ctl.h"
#include "sbc/ctl/local.h"
#include "sbc/ctl/proto.h"

#define EXIT_UNREACHABLE 3
#define EXIT_BAD_USAGE   64
#define ANSWER_MS        120000 /* longest silence of the daemon before we give up; streams have none */
#define LINE_MAX_BYTES   ((size_t)64 << 20)

struct client {
	const char *socket;
	unsigned columns;
	bool quiet, json, abs, streaming;
	int out_fd;         /* for binary; -1: standard output */
	struct text *catch; /* not NULL: text goes here instead of standard output */
	bool silent;        /* do not complain when the daemon is not there */
};

static bool write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

/* Standard output that takes nothing (a full disk) is an error; a closed pipe ends us by SIGPIPE. */
static bool say(int fd, struct str s)
{
	if (write_all(fd, s.p, s.n))
		return true;
	if (fd == STDOUT_FILENO)
		fprintf(stderr, "error: cannot write: %s\n", strerror(errno));
	return false;
}

static int unreachable(const struct client *c, int err)
{
	if (c->silent)
		return EXIT_UNREACHABLE;
	fprintf(stderr, "error: posternd cannot be reached on %s: %s\n", c->socket, strerror(err));
	if (err == EACCES || err == EPERM)
		fprintf(stderr, "       use sudo, or join one of the groups postern-view, postern-oper, postern-admin\n");
	else
		fprintf(stderr, "       does it run? systemctl status posternd; another socket: --socket PATH or "
				"POSTERN_SOCKET\n");
	return EXIT_UNREACHABLE;
}

static int dial(const struct client *c, int *ret_fd)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = strlen(c->socket);
	int fd;

	if (n >= sizeof(sa.sun_path))
		return ENAMETOOLONG;
	memcpy(sa.sun_path, c->socket, n + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int err = errno;

		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

/* One line of the daemon. True: that was the end, *code is set. */
static bool on_line(struct client *c, struct str line, int *code)
{
	char *text = NULL;
	size_t n = 0;
	char kind = proto_read_answer(line, &text, &n, code);

	switch (kind) {
	case 'o':
		if (c->catch) {
			text_put(c->catch, text, n);
		} else if (!c->quiet && !say(STDOUT_FILENO, str_n(text, n))) {
			free(text);
			*code = 2;
			return true;
		}
		break;
	case 'e':
		if (!c->quiet && !c->silent)
			(void)say(STDERR_FILENO, str_n(text, n));
		break;
	case 'b':
		if (!write_all(c->out_fd >= 0 ? c->out_fd : STDOUT_FILENO, text, n)) {
			fprintf(stderr, "error: cannot write: %s\n", strerror(errno));
			free(text);
			*code = 2;
			return true;
		}
		break;
	case 'x':
		return true;
	default:
		fprintf(stderr, "error: the daemon says something that this client does not understand\n"
				"       are both of one release? postern version\n");
		*code = EXIT_UNREACHABLE;
		return true;
	}
	free(text);
	return false;
}

static int receive(struct client *c, int fd)
{
	struct text in = {.max = LINE_MAX_BYTES};
	int code = EXIT_UNREACHABLE;
	bool done = false;
	char chunk[65536];

	while (!done) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ready = poll(&p, 1, c->streaming ? -1 : ANSWER_MS);
		ssize_t n;
		char *nl;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready == 0) {
			fprintf(stderr, "error: posternd does not answer\n       postern status; journalctl -u posternd\n");
			break;
		}
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (!c->silent)
				fprintf(stderr, "error: posternd closed the connection\n       journalctl -u posternd\n");
			break;
		}
		text_put(&in, chunk, (size_t)n);
		if (in.failed) {
			fprintf(stderr, "error: answer is too large\n");
			break;
		}
		while (!done && (nl = memchr(in.p, '\n', in.n))) {
			size_t len = (size_t)(nl - in.p);

			done = on_line(c, str_n(in.p, len), &code);
			memmove(in.p, nl + 1, in.n - len - 1);
			in.n -= len + 1;
		}
	}
	text_fini(&in);
	return code;
}

static int ask(struct client *c, int argc, char *const *argv, struct str input)
{
	size_t n = 0;
	char *p;
	int fd = -1, err = dial(c, &fd), code;

	if (err)
		return unreachable(c, err);
	p = proto_write_request(argc, argv, c->columns, c->json, c->abs, input, &n);
	if (!p) {
		fprintf(stderr, "error: out of memory\n");
		close(fd);
		return 2;
	}
	/* a daemon that refuses at once may have closed its end already: its words are still there to read */
	if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t)n) {
		size_t sent = 0;

		while (sent < n) {
			ssize_t w = send(fd, p + sent, n - sent, MSG_NOSIGNAL);

			if (w < 0 && errno == EINTR)
				continue;
			if (w <= 0)
				break;
			sent += (size_t)w;
		}
	}
	free(p);
	code = receive(c, fd);
	close(fd);
	return code;
}

/* -------------------------------------------------------------------- before asking */

static const char *dangerous(const struct ctl_args *a)
{
	switch ((enum ctl_cmd_id)a->cmd->id) {
	case CTL_CMD_trunk_del:
		return "delete this trunk";
	case CTL_CMD_trunk_disable:
		return "refuse all new calls of this trunk";
	case CTL_CMD_number_del:
		return "take these numbers away";
	case CTL_CMD_number_import:
		return ctl_value(a, "--replace") && !ctl_value(a, "--dry-run") ? "replace the numbers of these trunks" : NULL;
	case CTL_CMD_apply:
		return ctl_value(a, "--keep") || ctl_value(a, "--dry-run")
			   ? NULL
			   : "delete the trunks, numbers and routes that the file does not name";
	case CTL_CMD_route_del:
		return "delete this route";
	case CTL_CMD_call_clear:
		return "end calls";
	case CTL_CMD_db_undo:
		return "undo this revision";
	case CTL_CMD_db_revert:
		return "take back what is on trial";
	default:
		return NULL;
	}
}

/* True: go on. */
static bool confirm(const struct ctl_args *a, const struct ctl_global *g)
{
	const char *what = dangerous(a);
	char line[16];

	if (!what || g->yes || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return true;
	fprintf(stderr, "postern %s: %s? [y/N] ", a->cmd->name, what);
	if (fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y'))
		return true;
	fprintf(stderr, "nothing was changed\n");
	return false;
}

static bool read_input(const char *path, struct text *ret)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	char chunk[65536];
	ssize_t n = 0;

	ret->max = CTL_STDIN_MAX;
	text_put(ret, "", 0); /* an empty file is an input too */
	while (fd >= 0 && !ret->failed && (n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		text_put(ret, chunk, (size_t)n);
	}
	if (fd < 0 || n < 0) {
		fprintf(stderr, "error: %s: %s\n", path, strerror(errno));
		if (fd > 0)
			close(fd);
		return false;
	}
	if (fd != STDIN_FILENO)
		close(fd);
	if (ret->failed)
		fprintf(stderr, "error: %s is larger than 8 MiB: split it\n", path);
	return !ret->failed;
}

/* One line; on a terminal it is asked for and not echoed. */
static bool read_secret(const char *path, struct text *ret)
{
	struct termios was, quiet;
	char line[512];
	bool ok;

	if ((path && strcmp(path, "-") != 0) || !isatty(STDIN_FILENO))
		return read_input(path ? path : "-", ret);
	if (tcgetattr(STDIN_FILENO, &was) < 0)
		return false;
	quiet = was;
	quiet.c_lflag &= (tcflag_t)~ECHO;
	fprintf(stderr, "password (not echoed): ");
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	ok = fgets(line, sizeof(line), stdin) != NULL;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	fprintf(stderr, "\n");
	if (ok)
		text_put(ret, line, strlen(line));
	explicit_bzero(line, sizeof(line));
	return ok;
}

static unsigned terminal_columns(void)
{
	const char *env = getenv("COLUMNS");
	struct winsize w;
	uint32_t n;

	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20)
		return w.ws_col;
	if (env && str_u32(str_z(env), 500, &n) == 0 && n >= 20)
		return n;
	return 100;
}

/* -------------------------------------------------------------------- the kinds of commands */

static int run_daemon(struct client *c, const struct ctl_args *a, const struct ctl_global *g, int argc, char *const *argv)
{
	struct text input = {0}, screen = {0};
	struct str in = STR_NONE;
	char *words[CTL_WORDS_MAX];
	int code = 2, n = 0;

	for (int i = 0; i < argc; i++) /* the parser took no more than that */
		if (!a->global[i])
			words[n++] = argv[i];

	c->streaming = a->cmd->id == CTL_CMD_log_tail || a->cmd->id == CTL_CMD_cdr_tail
			   ? ctl_value(a, "--follow") != NULL
			   : false;
	if (a->cmd->id == CTL_CMD_number_import || a->cmd->id == CTL_CMD_apply) {
		if (!read_input(ctl_value(a, "FILE"), &input))
			return 2;
		in = text_get(&input);
	}
	if (a->cmd->id == CTL_CMD_trunk_password && !ctl_value(a, "--generate")) {
		if (!read_secret(ctl_value(a, "FILE"), &input))
			return 2;
		in = text_get(&input);
	}
	if (a->cmd->id == CTL_CMD_call_pcap) {
		const char *file = ctl_value(a, "--output");

		if (!file && isatty(STDOUT_FILENO)) {
			fprintf(stderr, "error: a capture is no text for a terminal\n       postern call pcap %s -o FILE\n",
			    ctl_value(a, "CALL"));
			return EXIT_BAD_USAGE;
		}
		if (file) {
			c->out_fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
			if (c->out_fd < 0) {
				fprintf(stderr, "error: %s: %s\n", file, strerror(errno));
				return 2;
			}
		}
	}
	if (!g->watch_s || c->streaming) {
		code = ask(c, n, words, in);
	} else {
		c->catch = &screen;
		for (;;) {
			screen.n = 0;
			code = ask(c, n, words, in);
			if (isatty(STDOUT_FILENO))
				(void)say(STDOUT_FILENO, S("\033[H\033[2J"));
			if (!say(STDOUT_FILENO, text_get(&screen))) {
				code = 2;
				break;
			}
			if (code == EXIT_BAD_USAGE || code == EXIT_UNREACHABLE)
				break;
			sleep(g->watch_s);
		}
	}
	if (c->out_fd >= 0 && close(c->out_fd) < 0) {
		fprintf(stderr, "error: %s: %s\n", ctl_value(a, "--output"), strerror(errno));
		code = 2;
	}
	text_fini(&input);
	text_fini(&screen);
	return code;
}

struct version_ask {
	struct local local;
	struct client client;
};

static void daemon_version(struct local *l, char *ret, size_t cap)
{
	struct version_ask *v = container_of(l, struct version_ask, local);
	struct text answer = {0};
	char word[] = "status", *argv[] = {word};
	struct buf b;
	json_t *j;

	v->client.catch = &answer;
	v->client.json = true;
	v->client.silent = true;
	if (ask(&v->client, 1, argv, STR_NONE) != EXIT_UNREACHABLE) {
		const char *s;

		j = json_loads(text_z(&answer), 0, NULL);
		s = json_string_value(json_object_get(json_object_get(j, "data"), "version"));
		buf_init(&b, ret, cap - 1);
		if (s)
			buf_escaped(&b, str_z(s), cap / 4 - 4);
		ret[b.n] = '\0';
		json_decref(j);
	}
	text_fini(&answer);
}

static int run_local(const struct client *c, const struct ctl_args *a, const struct ctl_global *g)
{
	struct version_ask v = {.client = *c};
	struct local *l = &v.local;
	char *p;

	l->args = *a;
	l->global = *g;
	l->view = (struct print_opts){.columns = c->columns, .abs = g->abs};
	l->data = json_object();
	l->daemon_version = daemon_version;
	local_find((enum ctl_cmd_id)a->cmd->id)(l);
	if (g->json) {
		json_t *env = json_object();

		json_object_set_new(env, "postern", json_integer(PROTO_VERSION));
		json_object_set_new(env, "command", json_string(a->cmd->name));
		json_object_set_new(env, "code", json_integer(l->code));
		json_object_set(env, "data", l->data);
		p = json_dumps(env, JSON_INDENT(2));
		l->out.n = 0;
		text_fmt(&l->out, "%s\n", p ? p : "");
		free(p);
		json_decref(env);
	}
	if (!g->quiet) {
		(void)say(STDERR_FILENO, text_get(&l->err));
		if (!say(STDOUT_FILENO, text_get(&l->out)))
			l->code = 2;
	}
	if (l->out.failed) {
		fprintf(stderr, "error: out of memory\n");
		l->code = 2;
	}
	json_decref(l->data);
	text_fini(&l->out);
	text_fini(&l->err);
	return l->code;
}

/* Candidates for the shell: from the table, and names of live objects from the daemon. */
static int run_complete(struct client *c, int argc, char *const *argv)
{
	struct text out = {0}, live = {0};
	const char *kind = "";

	ctl_complete(&out, argc, argv, &kind);
	if (kind[0] && argc > 0) {
		char word[] = "__list", *ask_argv[] = {word, str_strdup(str_z(kind))};
		struct str last = str_z(argv[argc - 1]), rest, line, head = STR_NONE;
		ptrdiff_t eq = str_chr(last, '=');

		/* behind "realm=", "tls-cert=" */
		if (eq >= 0 && (!strcmp(kind, "realm") || !strcmp(kind, "cert"))) {
			head = str_head(last, (size_t)eq + 1);
			last = str_from(last, (size_t)eq + 1);
		}
		c->catch = &live;
		c->silent = true;
		if (ask_argv[1])
			(void)ask(c, 2, ask_argv, STR_NONE);
		free(ask_argv[1]);
		for (rest = text_get(&live); !str_empty(rest);) {
			rest = str_cut(rest, '\n', &line);
			if (!str_empty(line) && str_prefix(line, last))
				text_fmt(&out, "%.*s%.*s\n", STR(head), STR(line));
		}
	}
	(void)say(STDOUT_FILENO, text_get(&out));
	text_fini(&out);
	text_fini(&live);
	return 0;
}

int ctl_client_run(int argc, char **argv)
{
	const char *env_socket = getenv("POSTERN_SOCKET");
	struct client c = {.socket = env_socket && env_socket[0] ? env_socket : CONF_CONTROL_DEFAULT,
	    .columns = terminal_columns(),
	    .out_fd = -1};
	struct ctl_args *args;
	struct ctl_global g = {0};
	struct text err = {0};
	char version[] = "version";
	int code;

	if (argc == 2 && !strcmp(argv[1], "--version"))
		argv[1] = version;
	if (argc > 1 && !strcmp(argv[1], "__complete"))
		return run_complete(&c, argc - 2, argv + 2);
	if (argc == 2 && !strcmp(argv[1], "--version")) { /* what people try first */
		printf("postern %s\n", POSTERN_VERSION);
		return 0;
	}
	args = calloc(1, sizeof(*args));
	if (!args)
		return 2;
	switch (ctl_parse(argc - 1, argv + 1, args, &g, &err)) {
	case CTL_HELP:
		if (args->cmd) {
			ctl_put_help(&err, args->cmd);
		} else {
			const char *group = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;

			text_lit(&err, "postern COMMAND [ARGUMENT...] [OPTION...]\n\n");
			ctl_put_commands(&err, group);
			text_lit(&err, "\nMore on one: postern help COMMAND\n");
		}
		(void)say(g.help ? STDOUT_FILENO : STDERR_FILENO, text_get(&err));
		code = g.help ? 0 : EXIT_BAD_USAGE;
		break;
	case CTL_USAGE:
		(void)say(STDERR_FILENO, text_get(&err));
		code = EXIT_BAD_USAGE;
		break;
	default:
		if (g.socket)
			c.socket = g.socket;
		c.quiet = g.quiet;
		c.json = g.json;
		c.abs = g.abs;
		if (args->cmd->where == CTL_LOCAL)
			code = run_local(&c, args, &g);
		else if (!confirm(args, &g))
			code = 2;
		else
			code = run_daemon(&c, args, &g, argc - 1, argv + 1);
	}
	text_fini(&err);
	free(args);
	return code;
}
