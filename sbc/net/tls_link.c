/* tls_link.c - one connection's encryption: its bytes, its handshake as the loop sees it, its end (RFC 5923 8, RFC 8446).
 *
 * Handshake: tls_handshake() takes what the socket has, and when whole records are there a step is made (tls_hs.c): on
 * a worker's thread, since certificates cost a hundred times what a message costs, or on this one where the step is
 * known to be cheap. While it runs the connection can be read, be late and be dropped; only the step's own part of it
 * (struct tls_conn) waits for the step. When it is over, conn_handshake() goes on here: what it left is sent, and so on.
 * A peer that dribbles holds a buffer and no thread.
 *
 * Up: OpenSSL reads and writes the connection's non-blocking socket through two methods of ours. What OpenSSL has read
 * ahead is never left behind: conn_read() reads until there is no whole record any more, and only c->fetches bounds how
 * much the socket gives.
 *
 * Going wrong: the text of what failed is logged once per quiet time, kept for the CLI with the peer, and the error
 * tells the owners of what was queued.
 *
 * Memory: once it is up, the peer's issuers are let go, OpenSSL gives its record buffers back whenever they are empty,
 * and what is known of the peer is a few names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "sbc/net/internal.h"
#include "sbc/net/tls_hello.h"
#include "sbc/net/tls_internal.h"

#define CHEAP_PER_TURN 4           /* steps that the loop's thread makes itself */
#define MORE_MAX ((size_t)64 << 10) /* read while a step runs; TCP holds the rest back */

/* ---- bytes ---- */

int tls_bytes_put(struct tls_bytes *b, const void *p, size_t n)
{
	size_t have = b->n - b->at, cap = b->cap ? b->cap : 1024;
	unsigned char *to;

	if (!n)
		return 0;
	if (b->cap - b->n < n) {
		while (cap < have + n)
			cap *= 2;
		to = malloc(cap);
		if (!to)
			return -ENOMEM;
		if (have)
			memcpy(to, b->p + b->at, have);
		free(b->p);
		*b = (struct tls_bytes){.p = to, .n = have, .cap = cap};
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

void tls_bytes_free(struct tls_bytes *b)
{
	free(b->p);
	*b = (struct tls_bytes){.p = NULL};
}

void tls_bytes_took(struct tls_bytes *b, size_t n)
{
	b->at += n;
	if (b->at == b->n)
		tls_bytes_free(b);
}

/* ---- between OpenSSL and the socket ---- */

static int socket_read(struct tls_conn *t, BIO *b, char *p, int n)
{
	struct conn *c = t->c;
	ssize_t r;

	if (!c->fetches) {
		BIO_set_retry_read(b);
		return -1;
	}
	c->fetches--;
	do
		r = recv(c->fd, p, (size_t)n, 0);
	while (r < 0 && errno == EINTR);
	if (r > 0) {
		if (r < n)
			c->fetches = 0; /* there was no more */
		return (int)r;
	}
	c->fetches = 0;
	if (r == 0)
		t->eof = true;
	else if (errno == EAGAIN || errno == EWOULDBLOCK)
		BIO_set_retry_read(b);
	else
		t->sys_err = errno;
	return (int)r;
}

static int bio_read(BIO *b, char *p, int n)
{
	struct tls_conn *t = BIO_get_data(b);
	size_t have = t->in.n - t->in.at;

	BIO_clear_retry_flags(b);
	if (have) {
		if (have > (size_t)n)
			have = (size_t)n;
		memcpy(p, t->in.p + t->in.at, have);
		tls_bytes_took(&t->in, have);
		return (int)have;
	}
	if (!t->hs)
		return socket_read(t, b, p, n);
	if (t->hs->eof) {
		t->eof = true;
		return 0;
	}
	BIO_set_retry_read(b);
	return -1;
}

static int bio_write(BIO *b, const char *p, int n)
{
	struct tls_conn *t = BIO_get_data(b);
	ssize_t r;

	BIO_clear_retry_flags(b);
	if (t->hs) {
		if (tls_bytes_put(&t->out, p, (size_t)n) == 0)
			return n;
		t->sys_err = ENOMEM;
		return -1;
	}
	do
		r = send(t->c->fd, p, (size_t)n, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r >= 0) {
		t->wire += (uint64_t)r;
		return (int)r;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		BIO_set_retry_write(b);
	else
		t->sys_err = errno;
	return -1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	const struct tls_conn *t = BIO_get_data(b);

	(void)num;
	(void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return t->eof;
	default:
		return 0;
	}
}

bool tls_bio_init(BIO_METHOD *m)
{
	return BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) && BIO_meth_set_ctrl(m, bio_ctrl);
}

/* ---- saying what is wrong ---- */

static void say(struct conn *c, struct log_gate *gate, bool unproven, int err, const char *text)
{
	char at[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	enum reason r = net_error_reason(err);
	unsigned unsaid;

	if (!netio_may_say(c->io, gate, &unsaid))
		return;
	reason_code(r, code);
	addr_text(&c->path.remote, at);
	if (unproven)
		log_warn(&c->io->log, "tls_unproven", "code=%s peer=%s because=\"%s\" unsaid=%u", code, at, text, unsaid);
	else
		log_warn(&c->io->log, "tls_failed", "code=%s peer=%s side=%s because=\"%s\" unsaid=%u", code, at,
		    c->inbound ? "server" : "client", text, unsaid);
}

/* ---- life ---- */

static void take_session(struct conn *c, SSL_SESSION *session)
{
	/* a session of before a change of certificates or roots proves nothing now */
	if (c->path.peer && c->tls->store == c->io->tls && c->in_table)
		peer_keep_session(c->io, c->path.peer, session);
	else
		SSL_SESSION_free(session);
}

int tls_keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_conn *t = SSL_get_app_data(ssl);

	if (!SSL_SESSION_is_resumable(session) || (t->hs && t->hs->inbound) || (!t->hs && t->c->inbound))
		return 0;
	if (t->hs) { /* maybe on another thread: kept when the handshake is over */
		SSL_SESSION_free(t->hs->session);
		t->hs->session = session;
	} else {
		take_session(t->c, session);
	}
	return 1; /* ours now */
}

static void run_step(struct work *w)
{
	const struct tls_try *hs = container_of(w, struct tls_try, work);

	tls_step(hs->of);
}

static void try_free(struct tls_try *hs)
{
	if (!hs)
		return;
	SSL_SESSION_free(hs->offer);
	SSL_SESSION_free(hs->session);
	free(hs->peer);
	free(hs);
}

static void conn_free(struct tls_conn *t)
{
	if (t->ssl) {
		/* a connection that broke leaves its session good (RFC 8446 has no such rule as TLS 1.0 had) */
		if (!t->broken)
			SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(t->ssl);
	}
	tls_store_unref(t->store);
	certname_free(&t->names);
	try_free(t->hs);
	tls_bytes_free(&t->in);
	tls_bytes_free(&t->out);
	tls_bytes_free(&t->more);
	free(t);
}

static void step_over(struct work *w)
{
	struct tls_conn *t = container_of(w, struct tls_try, work)->of;

	t->busy = false;
	if (t->c)
		conn_handshake(t->c);
	else
		conn_free(t);
}

/* what the session proved must still hold */
static SSL_SESSION *session_for(struct conn *c)
{
	const struct peer *known = peer_find(c->io, c->path.peer);
	SSL_SESSION *s = known ? known->session : NULL;
	const X509 *x = s ? SSL_SESSION_get0_peer(s) : NULL;

	if (s && (!x || tls_expired(c->io->env->clock->wall_us, x))) {
		peer_keep_session(c->io, c->path.peer, NULL);
		return NULL;
	}
	return s && SSL_SESSION_up_ref(s) ? s : NULL;
}

static int try_new(struct conn *c, const struct listener *l, const struct net_peer *peer, struct tls_try **ret)
{
	struct tls_try *hs = calloc(1, sizeof(*hs));

	if (!hs)
		return -ENOMEM;
	hs->work.run = run_step;
	hs->work.done = step_over;
	hs->of = c->tls;
	hs->inbound = c->inbound;
	hs->remote = c->path.remote;
	hs->realm = l->realm;
	hs->legacy_ciphers = peer ? peer->legacy_ciphers : c->inbound && l->legacy_ciphers;
	hs->peer = peer ? peer_copy(peer) : NULL;
	if (peer && !hs->peer) {
		free(hs);
		return -ENOMEM;
	}
	hs->offer = c->inbound ? NULL : session_for(c);
	*ret = hs;
	return 0;
}

int tls_attach(struct conn *c, const struct listener *l)
{
	struct tls_store *s = c->io->tls;
	const struct peer *known = c->inbound ? NULL : peer_find(c->io, c->path.peer);
	const struct net_peer *peer = known ? &known->cfg : NULL;
	struct str name = peer && !str_empty(peer->certificate) ? peer->certificate : str_z(l->cert);
	const struct tls_cert *cert = tls_store_find(s, name);
	struct tls_conn *t;

	if (!s || (!cert && (c->inbound || !str_empty(name))) || (c->path.peer && !c->inbound && !peer))
		return -ENOENT;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	c->tls = t;
	t->c = c;
	t->cert = cert;
	t->client_cert = l->client_cert;
	t->store = tls_store_ref(s);
	if (try_new(c, l, peer, &t->hs) < 0) {
		tls_detach(c);
		return -ENOMEM;
	}
	return 0;
}

void tls_detach(struct conn *c)
{
	struct tls_conn *t = c->tls;

	if (!t)
		return;
	c->tls = NULL;
	t->c = NULL;
	/* a step that runs right now frees it when it is over */
	if (!t->busy || workers_cancel(c->io->workers, &t->hs->work))
		conn_free(t);
}

/* ---- the handshake ---- */

/* its own log line may be left out for quiet's sake, this is not */
static void tell(struct conn *c, int err, const char *text)
{
	if (c->inbound && c->io->user->on_unproven)
		c->io->user->on_unproven(c->io->ctx, &c->path, err, str_z(text));
}

static void failed(struct conn *c, int err, const char *text)
{
	c->tls->broken = true;
	tell(c, err, text);
	c->io->counts[NET_TLS_FAILED]++;
	say(c, &c->io->tls_gate, false, err, text);
	if (!c->inbound)
		peer_failed(c->io, c->path.peer, text);
}

void tls_too_slow(struct conn *c)
{
	char text[80];

	snprintf(text, sizeof(text), "the handshake was not over after %d ms", c->io->cfg.handshake_ms);
	failed(c, -NET_ERR_TLS_HANDSHAKE, text);
}

static int step_failed(struct conn *c)
{
	const struct tls_try *hs = c->tls->hs;

	if (hs->err != -NET_ERR_TLS_HANDSHAKE && hs->err != -ENOMEM)
		c->io->counts[NET_TLS_REFUSED]++;
	failed(c, hs->err, hs->text);
	return hs->err;
}

static int step_done(struct conn *c)
{
	struct tls_conn *t = c->tls;
	int e;

	/* what came behind the handshake is for OpenSSL to read first */
	e = tls_bytes_put(&t->in, t->more.p ? t->more.p + t->more.at : NULL, t->more.n - t->more.at);
	if (e) {
		failed(c, e, "out of memory");
		return e;
	}
	tls_bytes_free(&t->more);
	if (c->inbound && t->hs->err) {
		c->io->counts[NET_TLS_UNPROVEN]++;
		say(c, &c->io->unproven_gate, true, t->hs->err, t->hs->text);
		tell(c, t->hs->err, t->hs->text);
	}
	if (t->hs->session) {
		take_session(c, t->hs->session);
		t->hs->session = NULL;
	}
	try_free(t->hs);
	t->hs = NULL;
	c->io->counts[c->inbound ? NET_TLS_ACCEPTED : NET_TLS_CONNECTED]++;
	if (SSL_session_reused(t->ssl))
		c->io->counts[NET_TLS_RESUMED]++;
	return 0;
}

/* what the socket has */
static void fetch(struct conn *c)
{
	struct tls_conn *t = c->tls;

	while (!t->more_end && t->more.n - t->more.at < MORE_MAX) {
		ssize_t r;

		do
			r = recv(c->fd, c->io->stream_buf, STREAM_BUF / 4, 0);
		while (r < 0 && errno == EINTR);
		if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (r <= 0 || tls_bytes_put(&t->more, c->io->stream_buf, (size_t)r) < 0)
			t->more_end = true;
		else if (r < STREAM_BUF / 4)
			return;
	}
}

/* What steps left goes to the socket: 0, or -EAGAIN. Who takes nothing any more is noticed by who reads. */
static int flush(struct conn *c)
{
	struct tls_conn *t = c->tls;

	t->want_write = false;
	while (t->out.at < t->out.n) {
		ssize_t r = send(c->fd, t->out.p + t->out.at, t->out.n - t->out.at, MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			t->want_write = true;
			return -EAGAIN;
		}
		if (r < 0) {
			tls_bytes_free(&t->out);
			break;
		}
		t->wire += (uint64_t)r;
		tls_bytes_took(&t->out, (size_t)r);
	}
	return 0;
}

/* Bytes for one more step, put where it reads them. False: there are none, or no memory (*ret_err). */
static bool step_feed(struct tls_conn *t, int *ret_err)
{
	const unsigned char *p = t->more.p ? t->more.p + t->more.at : NULL;
	size_t have = t->more.n - t->more.at;
	size_t n = t->more_end ? have : tls_whole_records(p, have);
	bool first = !t->ssl && !t->hs->inbound; /* a client begins */

	if (!n && !t->more_end && !first && t->hs->result != TLS_STEP_WORKER)
		return false;
	*ret_err = tls_bytes_put(&t->in, p, n);
	if (*ret_err)
		return false;
	if (n)
		tls_bytes_took(&t->more, n);
	t->hs->eof = t->more_end;
	return true;
}

/* Will it be symmetric arithmetic only? A server's guess: tls_whole_handshake() stops what turns out to be more. */
static bool is_cheap(const struct tls_conn *t)
{
	if (!t->hs->inbound || t->hs->result == TLS_STEP_WORKER)
		return false;
	if (!t->ssl)
		return t->in.p && tls_hello_has_ticket(t->in.p + t->in.at, t->in.n - t->in.at);
	/* in TLS 1.2 the client's key comes in the second flight */
	return SSL_session_reused(t->ssl) || (SSL_version(t->ssl) == TLS1_3_VERSION && t->client_cert == NET_CERT_NONE);
}

static bool have_workers(struct netio *io)
{
	static const struct workers_cfg cfg = {.name = "postern-tls", .thread_end = tls_thread_done};
	int e;

	if (io->workers || io->no_workers)
		return io->workers != NULL;
	e = workers_new(io->loop, &cfg, &io->workers);
	if (e) { /* then calls wait for handshakes, as they would on one thread */
		io->no_workers = true;
		log_error(&io->log, "tls_threads", "errno=%s", uv_err_name(e));
	}
	return !e;
}

int tls_handshake(struct conn *c)
{
	struct tls_conn *t = c->tls;
	int e = 0;

	fetch(c);
	for (;;) {
		if (t->busy || flush(c))
			return -EAGAIN;
		if (t->hs->result == TLS_STEP_FAILED)
			return step_failed(c);
		if (t->hs->result == TLS_STEP_DONE)
			return step_done(c);
		if (!step_feed(t, &e)) {
			if (e)
				failed(c, e, "out of memory");
			return e ? e : -EAGAIN;
		}
		t->hs->wall_us = c->io->env->clock->wall_us;
		t->hs->on_loop = is_cheap(t) && turn_share_take(c->io, &c->io->cheap_steps, CHEAP_PER_TURN);
		if (!t->hs->on_loop && have_workers(c->io)) {
			t->busy = true;
			workers_submit(c->io->workers, &t->hs->work, !c->inbound);
		} else {
			tls_step(t);
		}
	}
}

bool tls_wants_read(const struct conn *c)
{
	const struct tls_conn *t = c->tls;

	return !t || !t->hs || (!t->more_end && t->more.n - t->more.at < MORE_MAX);
}

bool tls_wants_write(const struct conn *c)
{
	return c->tls && c->tls->want_write;
}

bool tls_closed_by_peer(const struct conn *c)
{
	return c->tls && c->tls->closed_by_peer;
}

uint64_t tls_wire(const struct conn *c)
{
	return c->tls->wire;
}

/* ---- the link ---- */

/* what is wrong, after an operation that got nowhere */
static ssize_t result(struct conn *c, int r)
{
	struct tls_conn *t = c->tls;
	char text[200];

	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		t->want_write = true;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		if (t->eof)
			return -ECONNRESET; /* its TCP ended without a close_notify */
		t->closed_by_peer = true;
		return 0;
	case SSL_ERROR_SYSCALL:
		return t->sys_err ? -t->sys_err : -ECONNRESET;
	default:
		t->broken = true;
		/* in TLS 1.3 a server judges our certificate after we are up (RFC 8446 4.4.2.4) */
		failed(c, -NET_ERR_TLS_HANDSHAKE, tls_openssl_text(text, sizeof(text)));
		ERR_clear_error();
		return -NET_ERR_TLS_HANDSHAKE;
	}
}

static int clip(size_t n)
{
	return n > INT32_MAX ? INT32_MAX : (int)n;
}

static ssize_t link_read(struct conn *c, char *p, size_t n)
{
	int r;

	tls_forget_errors();
	c->tls->want_write = false;
	r = SSL_read(c->tls->ssl, p, clip(n));
	return r > 0 ? r : result(c, r);
}

static ssize_t link_write(struct conn *c, const char *p, size_t n)
{
	ssize_t e;
	int r;

	tls_forget_errors();
	r = SSL_write(c->tls->ssl, p, clip(n));
	if (r > 0)
		return r;
	e = result(c, r);
	return e == 0 ? -EPIPE : e;
}

static int link_finish(struct conn *c)
{
	int r;

	if (c->tls->broken)
		return 0;
	tls_forget_errors();
	r = SSL_shutdown(c->tls->ssl);
	if (r < 0 && SSL_get_error(c->tls->ssl, r) == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	tls_forget_errors();
	return 0;
}

const struct link tls_link = {link_read, link_write, link_finish};

void tls_farewell(struct conn *c)
{
	if (c->tls && !c->tls->hs)
		(void)link_finish(c);
}

/* ---- looking at it ---- */

const struct net_identity *tls_identity(const struct conn *c)
{
	return c->tls && !c->tls->hs ? &c->tls->identity : NULL;
}

void tls_info(const struct conn *c, struct netio_conn_info *ret)
{
	const struct tls_conn *t = c->tls;

	if (!t || t->hs)
		return;
	ret->identity = &t->identity;
	ret->tls_version = SSL_get_version(t->ssl);
	ret->tls_cipher = SSL_get_cipher_name(t->ssl);
	ret->tls_cert = t->cert ? t->cert->view.name : STR_NONE;
	ret->tls_resumed = SSL_session_reused(t->ssl);
	ret->tls_peer_expires_us = t->peer_not_after_us;
}
