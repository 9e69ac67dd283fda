/* tls_link.c - one connection's encryption, and what its peer proved (RFC 5922, RFC 5923 8, RFC 8446, RFC 5246).
 *
 * OpenSSL reads and writes the connection's non-blocking socket through two methods of ours. conn.c drives it:
 * tls_handshake() until it is over, then the link's read and write. What OpenSSL has read ahead is never left behind:
 * conn_read() reads until there is no whole record any more, and only c->fetches bounds how much the socket gives.
 *
 * Who must prove what is decided inside the handshake, in tls_verify(), so that a peer that fails is told by an alert
 * and nothing of ours was sent:
 *   - towards a server, by the peer the connection is made for (struct net_peer): chain, purpose, and its name or one
 *     of its further names; without a peer, the address that was connected to;
 *   - towards a client, by its listener: a chain and a purpose. Which names may call is policy's matter.
 * A resumed session was proved when it began; its certificate's end is looked at again.
 *
 * Going wrong: the text of what failed names both what the certificate says and what was expected. It is logged once
 * per quiet time, kept for the CLI with the peer, and the error tells the owners of what was queued.
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
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "sbc/net/internal.h"
#include "sbc/net/tls_internal.h"

#define HANDSHAKE_FETCHES 16
#define OCSP_SKEW_S 300
/* RFC 3261 26.2.1 and what old boxes speak; only towards whom the configuration says so */
static const char legacy_ciphers[] =
    "ECDHE+AESGCM:ECDHE+CHACHA20:AES256-GCM-SHA384:AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:AES256-SHA:AES128-SHA";

/* ---- bytes between OpenSSL and the socket ---- */

static int bio_read(BIO *b, char *p, int n)
{
	struct conn *c = BIO_get_data(b);
	ssize_t r;

	BIO_clear_retry_flags(b);
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
		c->tls->eof = true;
	else if (errno == EAGAIN || errno == EWOULDBLOCK)
		BIO_set_retry_read(b);
	else
		c->tls->sys_err = errno;
	return (int)r;
}

static int bio_write(BIO *b, const char *p, int n)
{
	struct conn *c = BIO_get_data(b);
	ssize_t r;

	BIO_clear_retry_flags(b);
	do
		r = send(c->fd, p, (size_t)n, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r >= 0) {
		c->tls->wire += (uint64_t)r;
		return (int)r;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		BIO_set_retry_write(b);
	else
		c->tls->sys_err = errno;
	return -1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	const struct conn *c = BIO_get_data(b);

	(void)num;
	(void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return c->tls->eof;
	default:
		return 0;
	}
}

bool tls_bio_init(BIO_METHOD *m)
{
	return BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) && BIO_meth_set_ctrl(m, bio_ctrl);
}

/* ---- saying what is wrong ---- */

__attribute__((format(printf, 3, 4))) static void note(struct tls_conn *t, int err, const char *fmt, ...)
{
	va_list ap;

	if (!t->hs || t->hs->err)
		return; /* the first cause is the one */
	t->hs->err = -err;
	va_start(ap, fmt);
	vsnprintf(t->hs->text, sizeof(t->hs->text), fmt, ap);
	va_end(ap);
	for (char *p = t->hs->text; *p; p++)
		if (*p == '"' || (unsigned char)*p < ' ')
			*p = '\''; /* it stands between quotes in the log */
}

static void say(struct conn *c, struct log_gate *gate, bool unproven, int err, const char *text)
{
	char at[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	enum reason r = net_error_reason(err);
	unsigned unsaid;

	if (!log_gate_open(c->io, gate, &unsaid))
		return;
	reason_code(r, code);
	addr_text(&c->path.remote, at);
	if (unproven)
		log_warn(&c->io->log, "tls_unproven", "code=%s peer=%s because=\"%s\" unsaid=%u", code, at, text, unsaid);
	else
		log_warn(&c->io->log, "tls_failed", "code=%s peer=%s side=%s because=\"%s\" unsaid=%u", code, at,
		    c->inbound ? "server" : "client", text, unsaid);
}

/* err as OpenSSL left it, in words of ours */
static const char *openssl_text(char *text, size_t n)
{
	unsigned long e = ERR_peek_last_error();
	const char *why = ERR_reason_error_string(e);

	/* an alert that came: 1000 and its number */
	if (ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) > SSL_AD_REASON_OFFSET)
		snprintf(text, n, "the far end refused: %s", why ? why : "alert");
	else
		snprintf(text, n, "%s", why ? why : "the far end ended the connection");
	return text;
}

/* ---- what the peer must prove ---- */

/* NULL: for nobody in particular, or gone */
static const struct net_peer *made_for(const struct conn *c)
{
	const struct peer *p = peer_find(c->io, c->path.peer);

	return p ? &p->cfg : NULL;
}

static int error_of(int x509)
{
	switch (x509) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
	case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
		return NET_ERR_TLS_EXPIRED;
	case X509_V_ERR_CERT_REVOKED:
		return NET_ERR_TLS_REVOKED;
	case X509_V_ERR_INVALID_PURPOSE:
		return NET_ERR_TLS_PURPOSE;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return NET_ERR_TLS_NAME;
	default:
		return NET_ERR_TLS_UNTRUSTED;
	}
}

/* an issuer that no revocation list speaks for is not checked */
static int on_chain_error(int ok, X509_STORE_CTX *x)
{
	if (!ok && X509_STORE_CTX_get_error(x) == X509_V_ERR_UNABLE_TO_GET_CRL) {
		X509_STORE_CTX_set_error(x, X509_V_OK);
		return 1;
	}
	return ok;
}

static void note_chain(struct conn *c, X509_STORE_CTX *x)
{
	int e = X509_STORE_CTX_get_error(x);
	const X509 *at = X509_STORE_CTX_get_current_cert(x);
	char subject[120] = "?", issuer[120] = "?", peer[ADDR_TEXT_MAX];

	if (at) {
		X509_NAME_oneline(X509_get_subject_name(at), subject, sizeof(subject));
		X509_NAME_oneline(X509_get_issuer_name(at), issuer, sizeof(issuer));
	}
	note(c->tls, error_of(e), "certificate of %s: %s (%.80s, issued by %.80s)", addr_text(&c->path.remote, peer),
	    X509_verify_cert_error_string(e), subject, issuer);
}

/* of the leaf and of each issuer below the root (as TLS libraries have it, beyond RFC 5280) */
static bool purpose_ok(X509_STORE_CTX *x)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(x);
	int n = sk_X509_num(chain);

	for (int i = 0; i < n; i++)
		if ((i == 0 || i + 1 < n) && !certname_for_sip(sk_X509_value(chain, i), i == 0))
			return false;
	return true;
}

static bool name_is(const X509 *x, const struct certname *names, struct str want, bool relaxed)
{
	struct addr a;

	if (want.n > 2 && want.p[0] == '[' && want.p[want.n - 1] == ']')
		want = str_n(want.p + 1, want.n - 2);
	if (addr_parse_ip(want, 0, &a) == 0)
		return certname_has_ip(x, &a);
	return certname_match(names->names, names->n, want, relaxed);
}

/* RFC 5922 7.3: the domain that was to be reached, whatever server the DNS named for it (TLS-10) */
static bool server_name_ok(struct conn *c, const X509 *x)
{
	const struct net_peer *peer = made_for(c);
	bool relaxed = peer && peer->verify == NET_VERIFY_RELAXED, ok;
	char at[ADDR_TEXT_MAX], says[200], want[ADDR_TEXT_MAX + 200];
	struct certname names;
	struct buf b;

	buf_init(&b, want, sizeof(want) - 1);
	if (certname_read(x, &names) < 0) {
		note(c->tls, NET_ERR_TLS_NAME, "certificate of %s: its names cannot be read", addr_text(&c->path.remote, at));
		return false;
	}
	if (!peer || str_empty(peer->name)) {
		addr_put_ip(&b, &c->path.remote);
		ok = certname_has_ip(x, &c->path.remote);
	} else {
		buf_str(&b, str_head(peer->name, 128));
		ok = name_is(x, &names, peer->name, relaxed);
	}
	for (unsigned i = 0; peer && !ok && i < peer->n_names; i++) {
		if (b.n + peer->names[i].n + 4 < b.cap) {
			buf_lit(&b, " or ");
			buf_str(&b, peer->names[i]);
		}
		ok = name_is(x, &names, peer->names[i], relaxed);
	}
	certname_free(&names);
	if (ok)
		return true;
	buf_z(&b);
	buf_init(&b, says, sizeof(says) - 1);
	certname_say(&b, x);
	buf_z(&b);
	note(c->tls, NET_ERR_TLS_NAME, "certificate of %s names %s, expected %s", addr_text(&c->path.remote, at), says, want);
	return false;
}

static int verify_mode(const struct conn *c)
{
	const struct net_peer *peer = made_for(c);

	return peer ? peer->verify : NET_VERIFY_STRICT;
}

int tls_verify(X509_STORE_CTX *x, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct conn *c = SSL_get_app_data(ssl);
	X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(x);
	char at[ADDR_TEXT_MAX];
	bool ok;

	(void)arg;
	/* the purpose is ours to judge: OpenSSL does not know id-kp-sipDomain */
	X509_VERIFY_PARAM_set_purpose(p, X509_PURPOSE_ANY);
	X509_VERIFY_PARAM_set_time(p, (time_t)(c->io->env->clock->wall_us / 1000000));
	X509_STORE_CTX_set_verify_cb(x, on_chain_error);
	ok = X509_verify_cert(x) == 1;
	if (!ok) {
		note_chain(c, x);
	} else if (!purpose_ok(x)) {
		ok = false;
		X509_STORE_CTX_set_error(x, X509_V_ERR_INVALID_PURPOSE);
		note(c->tls, NET_ERR_TLS_PURPOSE, "certificate of %s is not meant for SIP, TLS servers or TLS clients",
		    addr_text(&c->path.remote, at));
	}
	if (c->inbound) {
		/* nobody in particular, as if it had shown none */
		if (!ok && c->tls->client_cert == NET_CERT_REQUEST)
			return 1;
		return ok;
	}
	if (verify_mode(c) == NET_VERIFY_NONE)
		return 1;
	if (ok && verify_mode(c) != NET_VERIFY_CHAIN && !server_name_ok(c, X509_STORE_CTX_get0_cert(x))) {
		ok = false;
		X509_STORE_CTX_set_error(x, X509_V_ERR_HOSTNAME_MISMATCH);
	}
	return ok;
}

/* The staple: absent or unusable is no proof of anything, one that says revoked is. */
int tls_staple(SSL *ssl, void *arg)
{
	struct tls_store *s = arg;
	struct conn *c = SSL_get_app_data(ssl);
	const unsigned char *der = NULL;
	long n = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	OCSP_RESPONSE *r = n > 0 && der ? d2i_OCSP_RESPONSE(NULL, &der, n) : NULL;
	OCSP_BASICRESP *basic = r ? OCSP_response_get1_basic(r) : NULL;
	bool revoked = false;
	char at[ADDR_TEXT_MAX];

	if (basic && chain && sk_X509_num(chain) > 1 && OCSP_basic_verify(basic, chain, s->trust, OCSP_PARTIAL_CHAIN) > 0) {
		OCSP_CERTID *id = OCSP_cert_to_id(NULL, sk_X509_value(chain, 0), sk_X509_value(chain, 1));
		ASN1_GENERALIZEDTIME *when, *this_update, *next;
		int status, why;

		revoked = id && OCSP_resp_find_status(basic, id, &status, &why, &when, &this_update, &next) == 1 &&
		          status == V_OCSP_CERTSTATUS_REVOKED && OCSP_check_validity(this_update, next, OCSP_SKEW_S, -1) == 1;
		OCSP_CERTID_free(id);
	}
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(r);
	ERR_clear_error();
	if (!revoked || verify_mode(c) == NET_VERIFY_NONE)
		return 1;
	note(c->tls, NET_ERR_TLS_REVOKED, "certificate of %s: its own OCSP answer says it was revoked",
	    addr_text(&c->path.remote, at));
	return 0;
}

/* ---- which of ours, which session ---- */

int tls_choose(SSL *ssl, int *alert, void *arg)
{
	const struct tls_store *s = arg;
	struct conn *c = SSL_get_app_data(ssl);
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls_cert *found = NULL;
	struct str name = str_z(sni);

	(void)alert;
	if (!sni)
		return SSL_TLSEXT_ERR_NOACK;
	if (certname_match(c->tls->cert->id.names, c->tls->cert->id.n, name, false))
		return SSL_TLSEXT_ERR_OK;
	for (unsigned i = 0; i < s->n_certs && !found; i++)
		if (certname_match(s->certs[i].id.names, s->certs[i].id.n, name, false))
			found = &s->certs[i];
	for (unsigned i = 0; i < s->n_certs && !found; i++)
		if (certname_match(s->certs[i].id.names, s->certs[i].id.n, name, true))
			found = &s->certs[i];
	/* RFC 6066 3: a name we do not know gets the certificate of the listener, and judges for itself */
	if (!found || !SSL_set_SSL_CTX(ssl, found->server))
		return SSL_TLSEXT_ERR_NOACK;
	c->tls->cert = found;
	return SSL_TLSEXT_ERR_OK;
}

int tls_keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct conn *c = SSL_get_app_data(ssl);

	/* a session of before a change of certificates or roots proves nothing now */
	if (c->inbound || !c->path.peer || c->tls->store != c->io->tls || !c->in_table || !SSL_SESSION_is_resumable(session))
		return 0;
	peer_keep_session(c->io, c->path.peer, session);
	return 1; /* ours now */
}

static bool expired(const struct conn *c, const X509 *x)
{
	time_t now = (time_t)(c->io->env->clock->wall_us / 1000000);

	return X509_cmp_time(X509_get0_notAfter(x), &now) < 0;
}

/* ---- life ---- */

static int set_server(struct conn *c, const struct listener *l)
{
	static const int modes[] = {[NET_CERT_NONE] = SSL_VERIFY_NONE, [NET_CERT_REQUEST] = SSL_VERIFY_PEER,
	    [NET_CERT_REQUIRE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT};
	/* a session is resumed only where as much was asked of it */
	unsigned char where[2] = {l->realm, l->client_cert};
	SSL *ssl = c->tls->ssl;

	c->tls->client_cert = l->client_cert;
	SSL_set_verify(ssl, modes[l->client_cert], NULL);
	SSL_set_accept_state(ssl);
	if (!SSL_set_session_id_context(ssl, where, sizeof(where)))
		return -ENOMEM;
	if (l->legacy_ciphers && !SSL_set_cipher_list(ssl, legacy_ciphers))
		return -ENOMEM;
	return 0;
}

static int set_client(struct conn *c)
{
	const struct net_peer *peer = made_for(c);
	const struct peer *known = peer_find(c->io, c->path.peer);
	SSL_SESSION *session = known ? known->session : NULL;
	SSL *ssl = c->tls->ssl;
	struct addr numeric;
	char sni[256];

	SSL_set_connect_state(ssl);
	SSL_set_verify(ssl, peer && peer->verify == NET_VERIFY_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (peer && peer->legacy_ciphers && !SSL_set_cipher_list(ssl, legacy_ciphers))
		return -ENOMEM;
	/* RFC 6066 3: host names only, without a final dot */
	if (peer && peer->name.n && peer->name.n < sizeof(sni) && peer->name.p[0] != '[' &&
	    addr_parse_ip(peer->name, 0, &numeric) < 0) {
		size_t n = peer->name.n - (peer->name.p[peer->name.n - 1] == '.');

		memcpy(sni, peer->name.p, n);
		sni[n] = '\0';
		if (!SSL_set_tlsext_host_name(ssl, sni))
			return -ENOMEM;
	}
	if (session) {
		const X509 *x = SSL_SESSION_get0_peer(session);

		if (!x || expired(c, x))
			peer_keep_session(c->io, c->path.peer, NULL);
		else
			(void)SSL_set_session(ssl, session); /* if not, a full handshake */
	}
	return 0;
}

int tls_attach(struct conn *c, const struct listener *l)
{
	struct tls_store *s = c->io->tls;
	const struct net_peer *peer = c->inbound ? NULL : made_for(c);
	struct str name = peer && !str_empty(peer->certificate) ? peer->certificate : str_z(l->cert);
	const struct tls_cert *cert = tls_store_find(s, name);
	struct tls_conn *t;
	SSL_CTX *ctx;
	BIO *b;
	int e;

	if (!s || (!cert && (c->inbound || !str_empty(name))) || (c->path.peer && !c->inbound && !peer))
		return -ENOENT;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	c->tls = t;
	ctx = !cert ? s->anonymous : c->inbound ? cert->server : cert->client;
	t->cert = cert;
	t->store = tls_store_ref(s);
	t->hs = calloc(1, sizeof(*t->hs));
	t->ssl = SSL_new(ctx);
	b = BIO_new(s->bio);
	e = t->hs && t->ssl && b ? 0 : -ENOMEM;
	if (e) {
		BIO_free(b);
	} else {
		BIO_set_data(b, c);
		BIO_set_init(b, 1);
		SSL_set_bio(t->ssl, b, b);
		SSL_set_app_data(t->ssl, c);
		e = c->inbound ? set_server(c, l) : set_client(c);
	}
	if (e) {
		ERR_clear_error();
		tls_detach(c);
	}
	return e;
}

void tls_detach(struct conn *c)
{
	struct tls_conn *t = c->tls;

	if (!t)
		return;
	if (t->ssl) {
		/* a connection that broke leaves its session good (RFC 8446 has no such rule as TLS 1.0 had) */
		if (!t->broken)
			SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(t->ssl);
	}
	tls_store_unref(t->store);
	certname_free(&t->names);
	free(t->hs);
	free(t);
	c->tls = NULL;
}

/* ---- the handshake ---- */

/* SNI's word for us, or the first name of our certificate */
static struct str local_name(const struct tls_conn *t, const char *sni)
{
	if (!t->cert || !t->cert->id.n)
		return STR_NONE;
	for (unsigned i = 0; sni && i < t->cert->id.n; i++)
		if (str_ieq(t->cert->id.names[i], str_z(sni)))
			return t->cert->id.names[i];
	return t->cert->id.names[0];
}

/* The connection's own list of certificates, which nobody asks for any more: 4 to 6 KiB each. */
static void let_go(STACK_OF(X509) *chain)
{
	while (chain && sk_X509_num(chain) > 0)
		X509_free(sk_X509_pop(chain));
}

/* What the peer showed becomes its identity; the rest of it is let go. */
static int take_identity(struct conn *c)
{
	struct tls_conn *t = c->tls;
	const X509 *x = SSL_get0_peer_certificate(t->ssl);
	bool proved = x && SSL_get_verify_result(t->ssl) == X509_V_OK;
	char at[ADDR_TEXT_MAX];

	if (proved && SSL_session_reused(t->ssl) && expired(c, x)) {
		proved = false;
		note(t, NET_ERR_TLS_EXPIRED, "certificate of %s has expired since the session began", addr_text(&c->path.remote, at));
		if (!c->inbound || t->client_cert == NET_CERT_REQUIRE)
			return -NET_ERR_TLS_EXPIRED;
	}
	if (x)
		t->peer_not_after_us = tls_not_after_us(x);
	if (proved && certname_read(x, &t->names) < 0)
		proved = false;
	t->identity = (struct net_identity){.verified = proved,
	    .names = t->names.names,
	    .n_names = t->names.n,
	    .local = local_name(t, c->inbound ? SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name) : NULL)};
	let_go(SSL_get_peer_cert_chain(t->ssl));
	let_go(SSL_get0_verified_chain(t->ssl));
	return 0;
}

static void failed(struct conn *c, int err, const char *text)
{
	c->tls->broken = true;
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

static int handshake_failed(struct conn *c)
{
	struct tls_conn *t = c->tls;
	char text[200];
	int err;

	if (!t->hs->err) {
		bool none = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;

		note(t, none ? NET_ERR_TLS_NO_CERT : NET_ERR_TLS_HANDSHAKE, "%s",
		    none ? "it showed no certificate" : openssl_text(text, sizeof(text)));
	}
	err = t->hs->err;
	if (err != -NET_ERR_TLS_HANDSHAKE)
		c->io->counts[NET_TLS_REFUSED]++;
	failed(c, err, t->hs->text);
	return err;
}

int tls_handshake(struct conn *c)
{
	struct tls_conn *t = c->tls;
	int r;

	ERR_clear_error();
	c->fetches = HANDSHAKE_FETCHES;
	t->want_write = false;
	r = SSL_do_handshake(t->ssl);
	if (r != 1) {
		switch (SSL_get_error(t->ssl, r)) {
		case SSL_ERROR_WANT_READ:
			return -EAGAIN;
		case SSL_ERROR_WANT_WRITE:
			t->want_write = true;
			return -EAGAIN;
		default:
			r = handshake_failed(c);
			ERR_clear_error();
			return r;
		}
	}
	r = take_identity(c);
	if (r) {
		failed(c, r, t->hs->text);
		return r;
	}
	if (c->inbound && t->hs->err) {
		c->io->counts[NET_TLS_UNPROVEN]++;
		say(c, &c->io->unproven_gate, true, t->hs->err, t->hs->text);
	}
	free(t->hs);
	t->hs = NULL;
	c->io->counts[c->inbound ? NET_TLS_ACCEPTED : NET_TLS_CONNECTED]++;
	if (SSL_session_reused(t->ssl))
		c->io->counts[NET_TLS_RESUMED]++;
	return 0;
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
		failed(c, -NET_ERR_TLS_HANDSHAKE, openssl_text(text, sizeof(text)));
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

	ERR_clear_error();
	c->tls->want_write = false;
	r = SSL_read(c->tls->ssl, p, clip(n));
	return r > 0 ? r : result(c, r);
}

static ssize_t link_write(struct conn *c, const char *p, size_t n)
{
	ssize_t e;
	int r;

	ERR_clear_error();
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
	ERR_clear_error();
	r = SSL_shutdown(c->tls->ssl);
	if (r < 0 && SSL_get_error(c->tls->ssl, r) == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	ERR_clear_error();
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
