/* probe.c - one connection made to look at the far end (probe.h).
 *
 *   CONNECT --(TCP up)--> TLS --(handshake done)--> ASK --(answer whole)--> DONE
 *
 * TLS runs between two memory BIOs, so libuv owns the socket. The certificate check runs with a
 * callback that notes the first thing that is wrong and goes on. Each step may be the last: time is
 * up, the far end closes, resets, sends an alert or nonsense; what was learned before stays in the
 * result. The probe is freed when its owner said so and the socket is closed.
 */
#include "sbc/net/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "sbc/net/tls_internal.h"

#define QUESTION_MAX 4096

struct net_probe {
	uv_tcp_t tcp;
	uv_connect_t connect;
	struct loop *loop;
	const struct env *env;
	struct net_probe_cfg cfg;
	struct tls_store *store; /* ref */
	struct net_peer *peer;   /* own; TLS only */
	struct timer timer;
	int64_t begun_us, step_us;
	SSL_CTX *ctx; /* own */
	SSL *ssl;     /* own, with its BIOs */
	struct net_probe_result r;
	char *answer;                   /* own: NET_PROBE_ANSWER_MAX */
	int verify_error, verify_depth; /* X509_V_...; first one found */
	bool over, freed;
	char read_buf[16384];
};

struct write {
	uv_write_t req;
	struct net_probe *probe;
	char bytes[];
};

/* -------------------------------------------------------------------- the end */

static void probe_gone(uv_handle_t *h)
{
	struct net_probe *p = container_of((uv_tcp_t *)h, struct net_probe, tcp);

	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
	tls_store_unref(p->store);
	free(p->peer);
	free(p->answer);
	free(p);
}

void net_probe_free(struct net_probe *p)
{
	if (!p || p->freed)
		return;
	p->freed = p->over = true;
	timer_stop(p->env->timers, &p->timer);
	uv_close((uv_handle_t *)&p->tcp, probe_gone);
}

static void end(struct net_probe *p, enum reason why, const char *text)
{
	if (p->over)
		return;
	p->over = true;
	timer_stop(p->env->timers, &p->timer);
	uv_read_stop((uv_stream_t *)&p->tcp);
	p->r.reason = why;
	if (text)
		snprintf(p->r.error, sizeof(p->r.error), "%s", text);
	if (why == REASON_NONE)
		p->r.step = NET_PROBE_DONE;
	p->cfg.done(p->cfg.ctx, &p->r);
}

static void end_uv(struct net_probe *p, int err)
{
	char text[128];

	end(p, REASON_TRANSPORT, uv_strerror_r(err, text, sizeof(text)));
}

static void on_time(struct timer *t)
{
	struct net_probe *p = container_of(t, struct net_probe, timer);
	static const char *const what[] = {"the connection did not come up in time",
	    "TLS did not come up in time", "no answer in time", ""};

	end(p, p->r.step == NET_PROBE_ASK ? REASON_PEER_SILENT : REASON_TRANSPORT, what[p->r.step]);
}

static int64_t since(struct net_probe *p, int64_t us)
{
	return p->env->clock->mono_us - us;
}

/* -------------------------------------------------------------------- bytes out */

static void on_written(uv_write_t *req, int status)
{
	struct write *w = container_of(req, struct write, req);
	struct net_probe *p = w->probe;

	loop_enter(p->loop, "probe_written");
	if (status < 0 && status != UV_ECANCELED)
		end_uv(p, status);
	free(w);
	loop_leave(p->loop);
}

static bool write_raw(struct net_probe *p, const void *bytes, size_t n)
{
	struct write *w = malloc(sizeof(*w) + n);
	uv_buf_t b;
	int r;

	if (!w) {
		end(p, REASON_NO_MEMORY, "out of memory");
		return false;
	}
	w->probe = p;
	memcpy(w->bytes, bytes, n);
	b = uv_buf_init(w->bytes, (unsigned)n);
	r = uv_write(&w->req, (uv_stream_t *)&p->tcp, &b, 1, on_written);
	if (r < 0) {
		free(w);
		end_uv(p, r);
	}
	return r == 0;
}

/* What OpenSSL wants on the wire. */
static void flush(struct net_probe *p)
{
	char out[4096];
	int n;

	while (!p->over && (n = BIO_read(SSL_get_wbio(p->ssl), out, sizeof(out))) > 0)
		if (!write_raw(p, out, (size_t)n))
			return;
}

/* -------------------------------------------------------------------- what the certificate says */

static void one_line(const X509_NAME *name, char *ret, size_t max)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n = 0;
	struct buf b;

	/* control and non-ASCII bytes come escaped from there */
	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) >= 0)
		n = BIO_get_mem_data(bio, &text);
	buf_init(&b, ret, max - 1);
	buf_escaped(&b, str_n(text, n > 0 ? (size_t)n : 0), (max - 5) / 4);
	ret[b.n] = '\0';
	BIO_free(bio);
}

static int64_t wall_us(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * 1000000 : 0;
}

static void key_type(X509 *x, char *ret, size_t max)
{
	EVP_PKEY *k = X509_get0_pubkey(x);
	char group[32];
	size_t n;

	if (!k)
		snprintf(ret, max, "unknown key");
	else if (EVP_PKEY_is_a(k, "EC") &&
	         EVP_PKEY_get_group_name(k, group, sizeof(group), &n) == 1)
		snprintf(ret, max, "EC %s", !strcmp(group, "prime256v1") ? "P-256" : group);
	else
		snprintf(ret, max, "%s %d", EVP_PKEY_get0_type_name(k), EVP_PKEY_get_bits(k));
}

static void read_chain(struct net_probe *p)
{
	const STACK_OF(X509) *chain = SSL_get0_verified_chain(p->ssl);
	struct net_probe_result *r = &p->r;

	if (!chain || sk_X509_num(chain) == 0)
		chain = SSL_get_peer_cert_chain(p->ssl);
	for (int i = 0; chain && i < sk_X509_num(chain) && r->n_chain < NET_PROBE_CHAIN_MAX; i++) {
		X509 *x = sk_X509_value(chain, i);
		struct net_probe_cert *c = &r->chain[r->n_chain++];

		one_line(X509_get_subject_name(x), c->subject, sizeof(c->subject));
		one_line(X509_get_issuer_name(x), c->issuer, sizeof(c->issuer));
		key_type(x, c->key_type, sizeof(c->key_type));
		c->not_before_us = wall_us(X509_get0_notBefore(x));
		c->not_after_us = wall_us(X509_get0_notAfter(x));
	}
}

/* -------------------------------------------------------------------- would we believe it? */

/* Notes the first thing that is wrong and goes on. */
static int on_chain_error(int ok, X509_STORE_CTX *x)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct net_probe *p = SSL_get_app_data(ssl);

	/* an issuer without a revocation list is not checked */
	if (!ok && p->verify_error == X509_V_OK && X509_STORE_CTX_get_error(x) != X509_V_ERR_UNABLE_TO_GET_CRL) {
		p->verify_error = X509_STORE_CTX_get_error(x);
		p->verify_depth = X509_STORE_CTX_get_error_depth(x);
	}
	return 1;
}

/* As for a call (tls_hs.c), but that the end is always well. */
static int verify(X509_STORE_CTX *x, void *arg)
{
	struct net_probe *p = arg;
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(x);

	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_ANY);
	X509_VERIFY_PARAM_set_time(param, (time_t)(p->env->clock->wall_us / 1000000));
	X509_STORE_CTX_set_verify_cb(x, on_chain_error);
	(void)X509_verify_cert(x);
	return 1;
}

static bool named(const struct net_probe *p, const X509 *x, const struct certname *c)
{
	bool relaxed = p->peer->verify == NET_VERIFY_RELAXED;

	if (tls_name_is(x, c, p->peer->name, relaxed))
		return true;
	for (unsigned i = 0; i < p->peer->n_names; i++)
		if (tls_name_is(x, c, p->peer->names[i], relaxed))
			return true;
	return false;
}

/* RFC 5922 7.3, RFC 5924: as a connection of a call is judged. */
static void judge(struct net_probe *p)
{
	X509 *x = SSL_get0_peer_certificate(p->ssl);
	struct net_probe_result *r = &p->r;
	struct certname c = {0};
	const char *staple = NULL;
	char says[300];
	struct buf b;
	int e, err;

	buf_init(&b, says, sizeof(says) - 1);
	if (!x) {
		r->verdict = REASON_TLS_NO_CERT;
		snprintf(r->verdict_text, sizeof(r->verdict_text), "it shows no certificate");
		return;
	}
	e = certname_read(x, &c);
	for (unsigned i = 0; i < c.n && r->n_names < NET_PROBE_NAMES_MAX; i++)
		if (c.names[i].n < sizeof(r->names[0]))
			memcpy(r->names[r->n_names++], c.names[i].p,
			    c.names[i].n); /* the rest is zero */
	certname_say(&b, x);
	if (p->peer->verify == NET_VERIFY_NONE)
		goto out;
	if (p->verify_error != X509_V_OK) {
		r->verdict = net_error_reason(-tls_chain_error(p->verify_error));
		snprintf(r->verdict_text, sizeof(r->verdict_text),
		    "certificate %d of the chain: %s", p->verify_depth + 1,
		    X509_verify_cert_error_string(p->verify_error));
	} else if (!certname_for_sip(x, true)) {
		r->verdict = REASON_TLS_PURPOSE;
		snprintf(r->verdict_text, sizeof(r->verdict_text),
		    "its extended key usage allows neither SIP nor TLS servers");
	} else if (!tls_purpose_ok(SSL_get0_verified_chain(p->ssl))) {
		r->verdict = REASON_TLS_PURPOSE;
		snprintf(r->verdict_text, sizeof(r->verdict_text),
		    "the extended key usage of an issuer of it allows neither SIP nor TLS servers");
	} else if (p->peer->verify != NET_VERIFY_CHAIN && e < 0) {
		r->verdict = REASON_TLS_NAME_MISMATCH;
		snprintf(r->verdict_text, sizeof(r->verdict_text), "its names cannot be read");
	} else if (p->peer->verify != NET_VERIFY_CHAIN && !named(p, x, &c)) {
		r->verdict = REASON_TLS_NAME_MISMATCH;
		snprintf(r->verdict_text, sizeof(r->verdict_text),
		    "it names %.*s, expected was %.*s", STR(buf_text(&b)),
		    STR(str_head(p->peer->name, 120)));
	} else if (p->store && p->store->ocsp && (err = tls_staple_error(p->ssl, p->store->trust, &staple))) {
		r->verdict = net_error_reason(-err);
		snprintf(r->verdict_text, sizeof(r->verdict_text), "%s", staple);
	}
out:
	certname_free(&c);
}

/* -------------------------------------------------------------------- question and answer */

static void ask(struct net_probe *p)
{
	char text[QUESTION_MAX];
	struct buf b;

	p->r.step = NET_PROBE_ASK;
	p->step_us = p->env->clock->mono_us;
	buf_init(&b, text, sizeof(text));
	if (p->cfg.question)
		p->cfg.question(p->cfg.ctx, &p->r, &b);
	if (buf_err(&b) < 0) {
		end(p, REASON_INTERNAL, "the question is too long");
	} else if (b.n == 0) {
		end(p, REASON_NONE, NULL);
	} else if (!p->ssl) {
		(void)write_raw(p, text, b.n);
	} else if (SSL_write(p->ssl, text, (int)b.n) != (int)b.n) {
		end(p, REASON_TLS_HANDSHAKE, "TLS takes nothing to send");
	} else {
		flush(p);
	}
}

static void heard(struct net_probe *p, const char *bytes, size_t n)
{
	enum reason why = REASON_NONE;

	if (p->r.step != NET_PROBE_ASK) /* it speaks first: not expected, not forbidden */
		return;
	if (n > NET_PROBE_ANSWER_MAX - p->r.n_answer) {
		end(p, REASON_TOO_LARGE, "its answer is too long");
		return;
	}
	memcpy(p->answer + p->r.n_answer, bytes, n);
	p->r.n_answer += n;
	if (p->cfg.answered(p->cfg.ctx, p->answer, p->r.n_answer, &why)) {
		p->r.answer_us = since(p, p->step_us);
		end(p, REASON_NONE, NULL);
	} else if (why != REASON_NONE) {
		end(p, why, "what it answers cannot be read");
	}
}

/* -------------------------------------------------------------------- TLS */

/* What OpenSSL has to say, and the alert if there was one. */
static void end_tls(struct net_probe *p, const char *what)
{
	unsigned long e = ERR_peek_last_error();
	char text[256];

	if (e)
		snprintf(text, sizeof(text), "%s: %s", what,
		    ERR_reason_error_string(e) ? ERR_reason_error_string(e) : "");
	else
		snprintf(text, sizeof(text), "%s", what);
	ERR_clear_error();
	end(p, REASON_TLS_HANDSHAKE, text);
}

static void read_plain(struct net_probe *p)
{
	char bytes[4096];

	while (!p->over) {
		int n = SSL_read(p->ssl, bytes, sizeof(bytes)), e;

		if (n > 0) {
			heard(p, bytes, (size_t)n);
			continue;
		}
		e = SSL_get_error(p->ssl, n);
		flush(p);
		if (e == SSL_ERROR_ZERO_RETURN)
			end(p, REASON_TRANSPORT,
			    "the far end closed the connection (close_notify)");
		else if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
			end_tls(p, "the far end ended TLS");
		return;
	}
}

static void handshake(struct net_probe *p)
{
	int r = SSL_do_handshake(p->ssl), e;

	if (r != 1) {
		e = SSL_get_error(p->ssl, r);
		flush(p); /* our alert too */
		if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
			end_tls(p, "TLS handshake failed");
		return;
	}
	flush(p);
	if (p->over)
		return;
	p->r.tls_us = since(p, p->step_us);
	snprintf(p->r.version, sizeof(p->r.version), "%s", SSL_get_version(p->ssl));
	snprintf(p->r.cipher, sizeof(p->r.cipher), "%s", SSL_get_cipher_name(p->ssl));
	read_chain(p);
	judge(p);
	ask(p);
	if (!p->over)
		read_plain(p);
}

/* -------------------------------------------------------------------- the socket */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
	struct net_probe *p = container_of((uv_tcp_t *)h, struct net_probe, tcp);

	(void)suggested;
	*ret = uv_buf_init(p->read_buf, sizeof(p->read_buf));
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
	struct net_probe *p = container_of((uv_tcp_t *)h, struct net_probe, tcp);

	if (n == 0 || p->over)
		return;
	loop_enter(p->loop, "probe_read");
	ERR_clear_error();
	if (n == UV_EOF)
		end(p, p->r.step == NET_PROBE_TLS ? REASON_TLS_HANDSHAKE : REASON_TRANSPORT,
		    p->r.step == NET_PROBE_TLS
		        ? "the far end closed the connection in the middle of the TLS handshake"
		        : "the far end closed the connection");
	else if (n < 0)
		end_uv(p, (int)n);
	else if (!p->ssl)
		heard(p, b->base, (size_t)n);
	else if (BIO_write(SSL_get_rbio(p->ssl), b->base, (int)n) != n)
		end(p, REASON_NO_MEMORY, "out of memory");
	else if (p->r.step == NET_PROBE_TLS)
		handshake(p);
	else
		read_plain(p);
	loop_leave(p->loop);
}

static void on_connected(uv_connect_t *req, int status)
{
	struct net_probe *p = container_of(req, struct net_probe, connect);
	int n = sizeof(p->r.local);

	if (p->freed)
		return;
	loop_enter(p->loop, "probe_connected");
	if (p->over)
		goto out;
	if (status < 0) {
		end_uv(p, status);
		goto out;
	}
	p->r.tcp_us = since(p, p->begun_us);
	p->step_us = p->env->clock->mono_us;
	(void)uv_tcp_getsockname(&p->tcp, &p->r.local.sa, &n);
	(void)uv_tcp_nodelay(&p->tcp, 1);
	status = uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read);
	if (status < 0) {
		end_uv(p, status);
	} else if (p->ssl) {
		p->r.step = NET_PROBE_TLS;
		ERR_clear_error();
		handshake(p);
	} else {
		ask(p);
	}
out:
	loop_leave(p->loop);
}

/* -------------------------------------------------------------------- the beginning */

/* It asked for a certificate: whatever we have is in place already. */
static int on_asked(SSL *ssl, void *arg)
{
	struct net_probe *p = arg;

	p->r.asked = true;
	if (SSL_get_certificate(ssl))
		snprintf(p->r.shown, sizeof(p->r.shown), "%.*s", STR(p->peer->certificate));
	return 1;
}

/* Roots and the pair of ours that is to be shown. */
static int equip(struct net_probe *p)
{
	const struct tls_cert *c;
	STACK_OF(X509) *chain = NULL;

	if (!p->store)
		return p->peer->certificate.n ? -ENOENT : 0;
	SSL_CTX_set1_cert_store(p->ctx, p->store->trust);
	if (p->peer->certificate.n == 0)
		return 0;
	c = tls_store_find(p->store, p->peer->certificate);
	if (!c)
		return -ENOENT;
	SSL_CTX_get0_chain_certs(c->client, &chain);
	if (SSL_CTX_use_certificate(p->ctx, SSL_CTX_get0_certificate(c->client)) != 1 ||
	    SSL_CTX_use_PrivateKey(p->ctx, SSL_CTX_get0_privatekey(c->client)) != 1 ||
	    (chain && SSL_CTX_set1_chain(p->ctx, chain) != 1))
		return -ENOMEM;
	return 0;
}

static int open_tls(struct net_probe *p)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	char host[256];
	struct addr a;
	int e;

	p->ctx = SSL_CTX_new(TLS_client_method());
	if (p->ctx)
		SSL_CTX_set_cert_verify_callback(p->ctx, verify, p);
	e = p->ctx ? equip(p) : -ENOMEM;
	if (e < 0) {
		BIO_free(in);
		BIO_free(out);
		return e;
	}
	p->ssl = in && out ? SSL_new(p->ctx) : NULL;
	if (!p->ssl) {
		BIO_free(in);
		BIO_free(out);
		return -ENOMEM;
	}
	SSL_set_bio(p->ssl, in, out);
	SSL_set_connect_state(p->ssl);
	SSL_set_app_data(p->ssl, p);
	SSL_set_verify(p->ssl, SSL_VERIFY_PEER, NULL);
	SSL_set_cert_cb(p->ssl, on_asked, p);
	if (p->store && p->store->ocsp && SSL_set_tlsext_status_type(p->ssl, TLSEXT_STATUSTYPE_ocsp) != 1)
		return -ENOMEM;
	if (!SSL_set_min_proto_version(p->ssl, TLS1_2_VERSION))
		return -ENOMEM;
	if (p->peer->name.n && p->peer->name.n < sizeof(host) &&
	    addr_parse_ip(p->peer->name, 0, &a) < 0) {
		memcpy(host, p->peer->name.p, p->peer->name.n);
		host[p->peer->name.n] = '\0';
		if (SSL_set_tlsext_host_name(p->ssl, host) != 1)
			return -ENOMEM;
	}
	return 0;
}

int net_probe_start(struct loop *loop, const struct env *env, const struct net_probe_cfg *cfg,
    struct net_probe **ret)
{
	struct net_probe *p = calloc(1, sizeof(*p));
	int e = 0;

	if (!p)
		return -ENOMEM;
	p->loop = loop;
	p->env = env;
	p->cfg = *cfg;
	p->r.tcp_us = p->r.tls_us = p->r.answer_us = -1;
	uv_tcp_init(&loop->uv, &p->tcp);
	p->r.answer = p->answer = malloc(NET_PROBE_ANSWER_MAX);
	if (!p->answer)
		e = -ENOMEM;
	if (!e && cfg->proto == NET_TLS) {
		p->store = cfg->store ? tls_store_ref(cfg->store) : NULL;
		p->peer = peer_copy(cfg->peer);
		e = p->peer ? 0 : -ENOMEM;
	}
	if (!e && cfg->proto == NET_TLS)
		e = open_tls(p);
	if (!e && !addr_none(&cfg->from))
		e = uv_tcp_bind(&p->tcp, &cfg->from.sa, 0);
	p->begun_us = env->clock->mono_us;
	if (!e)
		e = uv_tcp_connect(&p->connect, &p->tcp, &cfg->to.sa, on_connected);
	if (e) {
		net_probe_free(p);
		return e;
	}
	timer_start_ms(env->timers, &p->timer, cfg->timeout_ms, on_time);
	*ret = p;
	return 0;
}
