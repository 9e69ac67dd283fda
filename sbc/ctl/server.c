/* server.c - the control socket on the signalling loop.
 *
 * Happy path: accept, look who it is, read one request, parse it, run its handler, write the answer, close. A handler
 * may end later (the store answers on a later turn) or go on until the client leaves (streams).
 * What goes wrong: a malformed or endless request is answered and closed; too many clients are told so; a client that
 * does not read is closed when CTL_OUTPUT_MAX is queued or nothing was taken for CTL_STALL_MS; a client that leaves
 * takes nothing with it: its request lives until what it waits for has come.
 * Owner: the server owns clients and lists requests; a request is freed when nobody holds it (req.c).
 */
#include "sbc/ctl/server.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* -------------------------------------------------------------------- clients */

static void server_gone(struct ctl_server *s)
{
	loop_fn *closed = s->closed;
	void *arg = s->closed_arg;

	if (!s->closing || s->n_clients || !s->pipe_closed)
		return;
	free(s);
	if (closed)
		closed(arg);
}

static void on_client_closed(uv_handle_t *h)
{
	struct ctl_client *c = container_of((uv_pipe_t *)h, struct ctl_client, pipe);
	struct ctl_server *s = c->server;

	loop_enter(s->be.loop, "ctl_closed");
	list_del(&c->node);
	s->n_clients--;
	proto_fini(&c->proto);
	text_fini(&c->out);
	text_fini(&c->err);
	free(c);
	loop_leave(s->be.loop); /* not behind server_gone(): the loop may end with it */
	server_gone(s);
}

void ctl_client_close(struct ctl_client *c)
{
	struct ctl_server *s = c->server;

	if (c->closing)
		return;
	c->closing = true;
	timer_stop(&s->be.loop->timers, &c->timer);
	if (c->req) {
		c->req->client = NULL;
		ctl_req_client_gone(c->req);
		c->req = NULL;
	}
	uv_close((uv_handle_t *)&c->pipe, on_client_closed);
}

struct write {
	uv_write_t req;
	struct ctl_client *client;
	char *p; /* own */
};

static void on_stalled(struct timer *t)
{
	struct ctl_client *c = container_of(t, struct ctl_client, timer);

	c->server->counts[CTL_STALLED]++;
	ctl_client_close(c);
}

/* What the client must do next, and by when. took: it took something just now. */
static void watch(struct ctl_client *c, bool took)
{
	struct timers *w = &c->server->be.loop->timers;

	if (c->closing)
		return;
	if (uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe)) {
		/* more for one that reads nothing gives it no more time */
		if (took || !c->waiting)
			timer_start_ms(w, &c->timer, CTL_STALL_MS, on_stalled);
		c->waiting = true;
		return;
	}
	c->waiting = false;
	if (!c->req)
		timer_start_ms(w, &c->timer, CTL_REQUEST_MS, on_stalled);
	else
		timer_stop(w, &c->timer);
}

static void pump(struct ctl_client *c);

static void on_shutdown(uv_shutdown_t *req, int status)
{
	struct ctl_client *c = container_of(req, struct ctl_client, shutdown);
	struct loop *l = c->server->be.loop;

	(void)status;
	loop_enter(l, "ctl_shutdown");
	if (!c->closing)
		ctl_client_close(c);
	loop_leave(l);
}

static void on_written(uv_write_t *req, int status)
{
	struct write *w = container_of(req, struct write, req);
	struct ctl_client *c = w->client;
	struct loop *l = c->server->be.loop;

	loop_enter(l, "ctl_written");
	free(w->p);
	free(w);
	if (status < 0 && !c->closing)
		ctl_client_close(c);
	watch(c, true);
	pump(c);
	loop_leave(l);
}

void ctl_client_send(struct ctl_client *c, char kind, struct str text, int code)
{
	struct write *w;
	uv_buf_t b;
	size_t n;

	if (c->closing)
		return;
	w = calloc(1, sizeof(*w));
	if (w)
		w->p = proto_write_answer(kind, text, code, &n);
	if (!w || !w->p || uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) + n > CTL_OUTPUT_MAX) {
		if (w)
			free(w->p);
		free(w);
		c->server->counts[CTL_OVERRUN]++;
		ctl_client_close(c);
		return;
	}
	w->client = c;
	b = uv_buf_init(w->p, (unsigned)n);
	if (uv_write(&w->req, (uv_stream_t *)&c->pipe, &b, 1, on_written) < 0) {
		free(w->p);
		free(w);
		ctl_client_close(c);
		return;
	}
	watch(c, false);
}

#define SLICE ((size_t)64 * 1024) /* bytes made into JSON in one go */

/* The next slices of the answer, when the client took the last ones; the end of it when there is no more. A few in one
 * turn and no more, however fast the client is: on_written() calls again. */
static void pump(struct ctl_client *c)
{
	for (int i = 0; i < 2; i++) {
		size_t n = c->out.n - c->out_at;

		if (!c->answering || c->closing ||
		    uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) >= 4 * SLICE)
			return;
		if (n == 0) {
			c->answering = false;
			if (c->err.n)
				ctl_client_send(c, 'e', text_get(&c->err), 0);
			ctl_client_send(c, 'x', STR_NONE, c->code);
			ctl_client_finish(c);
			return;
		}
		if (n > SLICE) {
			n = SLICE;
			/* not through the middle of a character */
			while (n > SLICE - 4 && ((unsigned char)c->out.p[c->out_at + n] & 0xc0) == 0x80)
				n--;
		}
		ctl_client_send(c, 'o', str_n(c->out.p + c->out_at, n), 0);
		c->out_at += n;
	}
}

void ctl_client_answer(struct ctl_client *c, struct text *out, struct text *err, int code)
{
	c->req = NULL;
	c->out = *out;
	c->err = *err;
	*out = *err = (struct text){0};
	c->code = code;
	c->answering = true;
	pump(c);
}

/* No more answers: closed when all is written. */
void ctl_client_finish(struct ctl_client *c)
{
	if (c->closing || c->finished)
		return;
	c->finished = true;
	c->req = NULL;
	if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->pipe, on_shutdown) < 0)
		ctl_client_close(c);
	else
		watch(c, false);
}

static void refuse(struct ctl_client *c, int code, const char *why)
{
	char text[200];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	buf_fmt(&b, "error: %s\n", why);
	ctl_client_send(c, 'e', buf_text(&b), 0);
	ctl_client_send(c, 'x', STR_NONE, code);
	ctl_client_finish(c);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
	struct ctl_client *c = container_of((uv_pipe_t *)h, struct ctl_client, pipe);

	(void)suggested;
	*ret = uv_buf_init(c->server->read_buf, sizeof(c->server->read_buf));
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
	struct ctl_client *c = container_of((uv_pipe_t *)h, struct ctl_client, pipe);
	struct ctl_server *s = c->server;
	int r;

	if (n == 0)
		return;
	loop_enter(s->be.loop, "ctl_read");
	if (n < 0) {
		/* the end of what it says; one that waits for its answer keeps the other half open */
		if ((!c->req && !c->answering) || (c->req && c->req->streaming) || n != UV_EOF)
			ctl_client_close(c);
		else
			uv_read_stop(h);
	} else if (!c->req && !c->finished && !c->answering) {
		r = proto_feed(&c->proto, b->base, (size_t)n);
		if (r < 0) {
			s->counts[CTL_MALFORMED]++;
			refuse(c, 64, c->proto.why);
		} else if (r == 1) {
			s->counts[CTL_REQUESTS]++;
			ctl_req_start(c);
			watch(c, false);
		}
	}
	loop_leave(s->be.loop);
}

/* -------------------------------------------------------------------- who is it */

static bool in_group(const gid_t *groups, size_t n, gid_t g)
{
	for (size_t i = 0; i < n; i++)
		if (groups[i] == g)
			return true;
	return false;
}

static void identify(struct ctl_client *c)
{
	struct ctl_server *s = c->server;
	struct ucred who;
	socklen_t n = sizeof(who);
	gid_t groups[256];
	uv_os_fd_t fd;

	c->role = CTL_NOBODY;
	c->uid = (uint32_t)-1;
	if (uv_fileno((uv_handle_t *)&c->pipe, &fd) < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
		return;
	c->uid = who.uid;
	if (who.uid == 0 || who.uid == geteuid()) {
		c->role = CTL_ADMIN;
		return;
	}
	n = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) < 0)
		n = 0;
	for (int role = CTL_VIEW; role <= CTL_ADMIN; role++)
		if (s->group[role] != (gid_t)-1 &&
		    (who.gid == s->group[role] || in_group(groups, n / sizeof(gid_t), s->group[role])))
			c->role = (enum ctl_role)role;
}

static void on_connection(uv_stream_t *h, int status)
{
	struct ctl_server *s = container_of((uv_pipe_t *)h, struct ctl_server, pipe);
	struct ctl_client *c;

	loop_enter(s->be.loop, "ctl_accept");
	c = status < 0 ? NULL : calloc(1, sizeof(*c));
	if (!c)
		goto out;
	c->server = s;
	uv_pipe_init(&s->be.loop->uv, &c->pipe, 0);
	list_push(&s->clients, &c->node);
	s->n_clients++;
	if (uv_accept(h, (uv_stream_t *)&c->pipe) < 0) {
		ctl_client_close(c);
		goto out;
	}
	identify(c);
	if (s->n_clients > CTL_CLIENTS_MAX) {
		s->counts[CTL_TOO_MANY]++;
		refuse(c, 2, "too many clients on the control socket: try again later");
	} else if (c->role == CTL_NOBODY) {
		s->counts[CTL_DENIED]++;
		refuse(c, 2, "you are neither root nor in group postern-view, postern-oper or postern-admin");
	} else if (uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0) {
		ctl_client_close(c);
	} else {
		watch(c, false);
	}
out:
	loop_leave(s->be.loop);
}

/* -------------------------------------------------------------------- the socket */

static int fail(struct ctl_error *e, int err, enum reason why, const char *fmt, const char *a)
{
	struct buf b;

	e->reason = why;
	buf_init(&b, e->text, sizeof(e->text));
	buf_fmt(&b, "control socket %s: ", a);
	buf_str(&b, str_z(fmt));
	if (b.err)
		b.n = sizeof(e->text) - 1;
	e->text[b.n] = '\0';
	return err;
}

/* Is somebody listening there? */
static bool somebody_listens(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool alive;

	if (fd < 0)
		return false;
	alive = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0;
	close(fd);
	return alive;
}

static int bind_socket(struct ctl_server *s, const char *path, int *ret_fd, struct ctl_error *e)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = strlen(path);
	gid_t owner = (gid_t)-1;
	mode_t mask;
	struct stat st;
	int fd, r;

	if (n == 0 || n >= sizeof(sa.sun_path))
		return fail(e, -EINVAL, REASON_CONFIG_INVALID, "path is empty or longer than 107 bytes", path);
	memcpy(sa.sun_path, path, n + 1);
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return fail(e, -EEXIST, REASON_CONFIG_INVALID, "path exists and is no socket", path);
		if (somebody_listens(&sa))
			return fail(e, -EADDRINUSE, REASON_ADDRESS_IN_USE, "another posternd listens there", path);
		if (unlink(path) < 0)
			return fail(e, -errno, REASON_PERMISSION, "old socket cannot be removed", path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(e, -errno, REASON_NO_DESCRIPTORS, "cannot be made", path);
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0) {
		close(fd);
		if (r == -ENOENT)
			return fail(e, r, REASON_CONFIG_INVALID,
			    "its directory does not exist (RuntimeDirectory=postern of the service makes it)", path);
		return fail(e, r, REASON_PERMISSION, r == -EACCES ? "permission denied" : "cannot be bound", path);
	}
	for (int role = CTL_ADMIN; role >= CTL_VIEW; role--)
		if (s->group[role] != (gid_t)-1)
			owner = s->group[role];
	/* without the right to give it to the group it stays with the owner alone */
	if (owner != (gid_t)-1 && chown(path, (uid_t)-1, owner) == 0 && chmod(path, 0660) < 0)
		owner = (gid_t)-1;
	*ret_fd = fd;
	return 0;
}

static const char *const count_names[CTL_COUNTS] = {
    "requests", "malformed", "denied", "too_many", "stalled", "overrun"};

int ctl_server_new(
    const struct ctl_backend *be, const char *path, struct ctl_server **ret, struct ctl_error *ret_err)
{
	static const char *const groups[4] = {NULL, "postern-view", "postern-oper", "postern-admin"};
	struct ctl_server *s = calloc(1, sizeof(*s));
	int r, fd = -1;

	if (!s)
		return fail(ret_err, -ENOMEM, REASON_NO_MEMORY, "out of memory", path);
	s->be = *be;
	s->log = (struct log){.to = be->env->logger, .area = LOG_CTL};
	list_init(&s->clients);
	list_init(&s->reqs);
	list_init(&s->followers);
	s->group[CTL_NOBODY] = (gid_t)-1;
	for (int role = CTL_VIEW; role <= CTL_ADMIN; role++) {
		const struct group *g = getgrnam(groups[role]);

		s->group[role] = g ? g->gr_gid : (gid_t)-1;
	}
	r = bind_socket(s, path, &fd, ret_err);
	if (r < 0) {
		free(s);
		return r;
	}
	uv_pipe_init(&be->loop->uv, &s->pipe, 0);
	s->path = str_strdup(str_z(path));
	r = s->path ? uv_pipe_open(&s->pipe, fd) : -ENOMEM;
	if (r < 0)
		close(fd);
	else
		r = uv_listen((uv_stream_t *)&s->pipe, 64, on_connection);
	s->metrics =
	    (struct metric_set){.area = "ctl", .names = count_names, .values = s->counts, .n = CTL_COUNTS};
	if (be->env->metrics)
		metrics_add(be->env->metrics, &s->metrics);
	if (r < 0) {
		fail(ret_err, r, r == -ENOMEM ? REASON_NO_MEMORY : REASON_NO_DESCRIPTORS, "cannot listen", path);
		ctl_server_free(s, NULL, NULL);
		return r;
	}
	log_info(&s->log, "ctl_listen", "path=%s", path);
	ctl_trial_start(s);
	*ret = s;
	return 0;
}

static void on_server_closed(uv_handle_t *h)
{
	struct ctl_server *s = container_of((uv_pipe_t *)h, struct ctl_server, pipe);

	s->pipe_closed = true;
	server_gone(s);
}

void ctl_server_free(struct ctl_server *s, loop_fn *closed, void *arg)
{
	if (!s)
		return;
	s->closing = true;
	s->closed = closed;
	s->closed_arg = arg;
	ctl_trial_stop(s);
	for (int i = 0; i < LOG_AREAS; i++)
		if (timer_running(&s->reverts[i].timer)) {
			timer_stop(&s->be.loop->timers, &s->reverts[i].timer);
			s->be.env->logger->level[i] = s->reverts[i].level;
		}
	if (s->be.env->metrics)
		metrics_del(&s->metrics);
	if (s->path) {
		unlink(s->path);
		free(s->path);
		s->path = NULL;
	}
	list_each(n, &s->clients)
		ctl_client_close(list_entry(n, struct ctl_client, node));
	/* requests that still wait for the store or the application */
	list_each(q, &s->reqs) {
		struct ctl_req *r = list_entry(q, struct ctl_req, node);

		list_del(q);
		r->server = NULL;
		r->be = NULL;
	}
	uv_close((uv_handle_t *)&s->pipe, on_server_closed);
}

unsigned ctl_server_clients(const struct ctl_server *s)
{
	return s->n_clients;
}

void ctl_server_cdr(struct ctl_server *s, const struct call_record *rec)
{
	list_each(n, &s->followers)
		ctl_show_cdr(list_entry(n, struct ctl_req, follow), rec);
}

struct ctl_log_revert *ctl_log_reverts(struct ctl_server *s)
{
	return s->reverts;
}
