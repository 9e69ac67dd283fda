/* tls_hs.c - the handshake of a TLS connection: arithmetic, and what the peer must prove (RFC 5922, RFC 8446, RFC 5246).
 *
 * Runs on the loop's thread or on a worker's, whichever the connection's struct tls_conn belongs to while the step is made;
 * so it looks at that, at its store, which does not change, and at nothing else. Bytes come and go by way of buffers.
 *
 * Who must prove what is decided inside the handshake, in tls_verify(), so that a peer that fails is told by an alert
 * and nothing of ours was sent:
 *   - towards a server, by the peer the connection is made for (struct net_peer): chain, purpose, and its name or one
 *     of its further names; without a peer, the address that was connected to;
 *   - towards a client, by its listener: a chain and a purpose. Which names may call is policy's matter.
 * A resumed session was proved when it began; its certificate's end is looked at again.
 *
 * Going wrong: the text of what failed names both what the certificate says and what was expected.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "sbc/net/tls_internal.h"

#define OCSP_SKEW_S 300
/* RFC 3261 26.2.1 and what old boxes speak; only towards whom the configuration says so */
static const char legacy_ciphers[] =
    "ECDHE+AESGCM:ECDHE+CHACHA20:AES256-GCM-SHA384:AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:AES256-SHA:AES128-SHA";

/* ---- saying what is wrong ---- */

__attribute__((format(printf, 3, 4))) static void note(struct tls_conn *t, int err, const char *fmt, ...)
{
	va_list ap;

	if (t->hs->err)
		return; /* the first cause is the one */
	t->hs->err = -err;
	va_start(ap, fmt);
	vsnprintf(t->hs->text, sizeof(t->hs->text), fmt, ap);
	va_end(ap);
	for (char *p = t->hs->text; *p; p++)
		if (*p == '"' || (unsigned char)*p < ' ')
			*p = '\''; /* it stands between quotes in the log */
}

const char *tls_openssl_text(char *text, size_t n)
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

int tls_chain_error(int x509)
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

static void note_chain(struct tls_conn *t, X509_STORE_CTX *x)
{
	int e = X509_STORE_CTX_get_error(x);
	const X509 *at = X509_STORE_CTX_get_current_cert(x);
	char subject[120] = "?", issuer[120] = "?", peer[ADDR_TEXT_MAX];

	if (at) {
		X509_NAME_oneline(X509_get_subject_name(at), subject, sizeof(subject));
		X509_NAME_oneline(X509_get_issuer_name(at), issuer, sizeof(issuer));
	}
	note(t, tls_chain_error(e), "certificate of %s: %s (%.80s, issued by %.80s)", addr_text(&t->hs->remote, peer),
	    X509_verify_cert_error_string(e), subject, issuer);
}

/* of the leaf and of each issuer below the root (as TLS libraries have it, beyond RFC 5280) */
bool tls_purpose_ok(const STACK_OF(X509) *chain)
{
	int n = sk_X509_num(chain);

	for (int i = 0; i < n; i++)
		if ((i == 0 || i + 1 < n) && !certname_for_sip(sk_X509_value(chain, i), i == 0))
			return false;
	return true;
}

bool tls_name_is(const X509 *x, const struct certname *names, struct str want, bool relaxed)
{
	struct addr a;

	if (want.n > 2 && want.p[0] == '[' && want.p[want.n - 1] == ']')
		want = str_n(want.p + 1, want.n - 2);
	if (addr_parse_ip(want, 0, &a) == 0)
		return certname_has_ip(x, &a);
	return certname_match(names->names, names->n, want, relaxed);
}

/* RFC 5922 7.3: the domain that was to be reached, whatever server the DNS named for it (TLS-10) */
static bool server_name_ok(struct tls_conn *t, const X509 *x)
{
	const struct net_peer *peer = t->hs->peer;
	bool relaxed = peer && peer->verify == NET_VERIFY_RELAXED, ok;
	char at[ADDR_TEXT_MAX], says[200], want[ADDR_TEXT_MAX + 200];
	struct certname names;
	struct buf b;

	buf_init(&b, want, sizeof(want) - 1);
	if (certname_read(x, &names) < 0) {
		note(t, NET_ERR_TLS_NAME, "certificate of %s: its names cannot be read", addr_text(&t->hs->remote, at));
		return false;
	}
	if (!peer || str_empty(peer->name)) {
		addr_put_ip(&b, &t->hs->remote);
		ok = certname_has_ip(x, &t->hs->remote);
	} else {
		buf_str(&b, str_head(peer->name, 128));
		ok = tls_name_is(x, &names, peer->name, relaxed);
	}
	for (unsigned i = 0; peer && !ok && i < peer->n_names; i++) {
		if (b.n + peer->names[i].n + 4 < b.cap) {
			buf_lit(&b, " or ");
			buf_str(&b, peer->names[i]);
		}
		ok = tls_name_is(x, &names, peer->names[i], relaxed);
	}
	certname_free(&names);
	if (ok)
		return true;
	buf_z(&b);
	buf_init(&b, says, sizeof(says) - 1);
	certname_say(&b, x);
	buf_z(&b);
	note(t, NET_ERR_TLS_NAME, "certificate of %s names %s, expected %s", addr_text(&t->hs->remote, at), says, want);
	return false;
}

static int verify_mode(const struct tls_conn *t)
{
	return t->hs->peer ? t->hs->peer->verify : NET_VERIFY_STRICT;
}

int tls_verify(X509_STORE_CTX *x, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_conn *t = SSL_get_app_data(ssl);
	X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(x);
	char at[ADDR_TEXT_MAX];
	bool ok;

	(void)arg;
	/* the purpose is ours to judge: OpenSSL does not know id-kp-sipDomain */
	X509_VERIFY_PARAM_set_purpose(p, X509_PURPOSE_ANY);
	X509_VERIFY_PARAM_set_time(p, (time_t)(t->hs->wall_us / 1000000));
	X509_STORE_CTX_set_verify_cb(x, on_chain_error);
	ok = X509_verify_cert(x) == 1;
	if (!ok) {
		note_chain(t, x);
	} else if (!tls_purpose_ok(X509_STORE_CTX_get0_chain(x))) {
		ok = false;
		X509_STORE_CTX_set_error(x, X509_V_ERR_INVALID_PURPOSE);
		note(t, NET_ERR_TLS_PURPOSE, "certificate of %s is not meant for SIP, TLS servers or TLS clients",
		    addr_text(&t->hs->remote, at));
	}
	if (t->hs->inbound) {
		/* nobody in particular, as if it had shown none */
		if (!ok && t->client_cert == NET_CERT_REQUEST)
			return 1;
		return ok;
	}
	if (verify_mode(t) == NET_VERIFY_NONE)
		return 1;
	if (ok && verify_mode(t) != NET_VERIFY_CHAIN && !server_name_ok(t, X509_STORE_CTX_get0_cert(x))) {
		ok = false;
		X509_STORE_CTX_set_error(x, X509_V_ERR_HOSTNAME_MISMATCH);
	}
	return ok;
}

/* What a usable staple says of the far end's certificate (V_OCSP_CERTSTATUS_...); -1: there is none. */
static int staple_says(SSL *ssl, X509_STORE *trust)
{
	const unsigned char *der = NULL;
	long n = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	OCSP_RESPONSE *r = n > 0 && der ? d2i_OCSP_RESPONSE(NULL, &der, n) : NULL;
	OCSP_BASICRESP *basic = r ? OCSP_response_get1_basic(r) : NULL;
	int says = -1;

	if (basic && chain && sk_X509_num(chain) > 1 && OCSP_basic_verify(basic, chain, trust, OCSP_PARTIAL_CHAIN) > 0) {
		OCSP_CERTID *id = OCSP_cert_to_id(NULL, sk_X509_value(chain, 0), sk_X509_value(chain, 1));
		ASN1_GENERALIZEDTIME *when, *this_update, *next;
		int status, why;

		if (id && OCSP_resp_find_status(basic, id, &status, &why, &when, &this_update, &next) == 1 &&
		    OCSP_check_validity(this_update, next, OCSP_SKEW_S, -1) == 1)
			says = status;
		OCSP_CERTID_free(id);
	}
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(r);
	return says;
}

/* RFC 7633: its issuer wrote into it that it is not to be believed without a staple. */
static bool must_staple(const X509 *x)
{
	TLS_FEATURE *features = x ? X509_get_ext_d2i(x, NID_tlsfeature, NULL, NULL) : NULL;
	bool must = false;

	for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
		must |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == TLSEXT_TYPE_status_request;
	sk_ASN1_INTEGER_pop_free(features, ASN1_INTEGER_free);
	return must;
}

int tls_staple_error(SSL *ssl, X509_STORE *trust, const char **ret_text)
{
	int says = staple_says(ssl, trust), err = 0;
	const unsigned char *der;

	if (says == V_OCSP_CERTSTATUS_REVOKED) {
		err = NET_ERR_TLS_REVOKED;
		*ret_text = "its own OCSP answer says it was revoked";
	} else if (says != V_OCSP_CERTSTATUS_GOOD && must_staple(SSL_get0_peer_certificate(ssl))) {
		err = NET_ERR_TLS_NO_STAPLE;
		*ret_text = SSL_get_tlsext_status_ocsp_resp(ssl, &der) > 0
		                ? "it says that an OCSP answer must come with it, and the one that came is not a good one"
		                : "it says that an OCSP answer must come with it, and none came";
	}
	ERR_clear_error();
	return err;
}

int tls_staple(SSL *ssl, void *arg)
{
	const struct tls_store *s = arg;
	struct tls_conn *t = SSL_get_app_data(ssl);
	char at[ADDR_TEXT_MAX];
	const char *text;
	int err = verify_mode(t) == NET_VERIFY_NONE ? 0 : tls_staple_error(ssl, s->trust, &text);

	if (!err)
		return 1;
	note(t, err, "certificate of %s: %s", addr_text(&t->hs->remote, at), text);
	return 0;
}

/* ---- which of ours ---- */

int tls_choose(SSL *ssl, int *alert, void *arg)
{
	const struct tls_store *s = arg;
	struct tls_conn *t = SSL_get_app_data(ssl);
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls_cert *found = NULL;
	struct str name = str_z(sni);

	(void)alert;
	if (!sni)
		return SSL_TLSEXT_ERR_NOACK;
	if (certname_match(t->cert->id.names, t->cert->id.n, name, false))
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
	t->cert = found;
	return SSL_TLSEXT_ERR_OK;
}

bool tls_expired(int64_t wall_us, const X509 *x)
{
	time_t now = (time_t)(wall_us / 1000000);

	return X509_cmp_time(X509_get0_notAfter(x), &now) < 0;
}

int tls_whole_handshake(SSL *ssl, void *arg)
{
	const struct tls_conn *t = SSL_get_app_data(ssl);

	(void)arg;
	return t->hs->on_loop ? -1 : 1; /* -1: asked again when the next step begins */
}

/* ---- the beginning ---- */

static int set_server(struct tls_conn *t)
{
	static const int modes[] = {[NET_CERT_NONE] = SSL_VERIFY_NONE, [NET_CERT_REQUEST] = SSL_VERIFY_PEER,
	    [NET_CERT_REQUIRE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT};
	/* a session is resumed only where as much was asked of it */
	unsigned char where[2] = {t->hs->realm, t->client_cert};
	SSL *ssl = t->ssl;

	SSL_set_verify(ssl, modes[t->client_cert], NULL);
	SSL_set_accept_state(ssl);
	if (!SSL_set_session_id_context(ssl, where, sizeof(where)))
		return -ENOMEM;
	if (t->hs->legacy_ciphers && !SSL_set_cipher_list(ssl, legacy_ciphers))
		return -ENOMEM;
	return 0;
}

static int set_client(struct tls_conn *t)
{
	const struct net_peer *peer = t->hs->peer;
	SSL *ssl = t->ssl;
	struct addr numeric;
	char sni[256];

	SSL_set_connect_state(ssl);
	SSL_set_verify(ssl, peer && peer->verify == NET_VERIFY_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (t->hs->legacy_ciphers && !SSL_set_cipher_list(ssl, legacy_ciphers))
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
	if (t->hs->offer)
		(void)SSL_set_session(ssl, t->hs->offer); /* if not, a full handshake */
	return 0;
}

/* Made when the first bytes are there: who connects and says nothing costs no more than its socket. */
static int begin(struct tls_conn *t)
{
	SSL_CTX *ctx = !t->cert ? t->store->anonymous : t->hs->inbound ? t->cert->server : t->cert->client;
	BIO *b = BIO_new(t->store->bio);

	t->ssl = SSL_new(ctx);
	if (!t->ssl || !b) {
		BIO_free(b);
		return -ENOMEM;
	}
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	SSL_set_app_data(t->ssl, t);
	return t->hs->inbound ? set_server(t) : set_client(t);
}

/* ---- the end ---- */

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

/* A client's certificate stays with OpenSSL's session for as long as the connection does, though its ticket is written and
 * nobody looks at it again: what can be taken out of it is. */
static void empty(X509 *x)
{
	X509_NAME *names[] = {X509_get_subject_name(x), X509_get_issuer_name(x)};

	while (X509_get_ext_count(x) > 0)
		X509_EXTENSION_free(X509_delete_ext(x, 0));
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		while (X509_NAME_entry_count(names[i]) > 0)
			X509_NAME_ENTRY_free(X509_NAME_delete_entry(names[i], 0));
}

/* What the peer showed becomes its identity; the rest of it is let go. */
static bool take_identity(struct tls_conn *t)
{
	X509 *x = SSL_get0_peer_certificate(t->ssl);
	bool proved = x && SSL_get_verify_result(t->ssl) == X509_V_OK;
	char at[ADDR_TEXT_MAX];

	if (proved && SSL_session_reused(t->ssl) && tls_expired(t->hs->wall_us, x)) {
		proved = false;
		note(t, NET_ERR_TLS_EXPIRED, "certificate of %s has expired since the session began", addr_text(&t->hs->remote, at));
		if (!t->hs->inbound || t->client_cert == NET_CERT_REQUIRE)
			return false;
	}
	if (x)
		t->peer_not_after_us = tls_not_after_us(x);
	if (proved && certname_read(x, &t->names) < 0)
		proved = false;
	t->identity = (struct net_identity){.verified = proved,
	    .names = t->names.names,
	    .n_names = t->names.n,
	    .local = local_name(t, t->hs->inbound ? SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name) : NULL)};
	let_go(SSL_get_peer_cert_chain(t->ssl));
	let_go(SSL_get0_verified_chain(t->ssl));
	if (x && t->hs->inbound)
		empty(x);
	return true;
}

static void handshake_failed(struct tls_conn *t)
{
	char text[200];
	bool none = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;

	note(t, none ? NET_ERR_TLS_NO_CERT : NET_ERR_TLS_HANDSHAKE, "%s",
	    none ? "it showed no certificate" : tls_openssl_text(text, sizeof(text)));
}

static enum tls_step step(struct tls_conn *t)
{
	int r;

	if (!t->ssl && begin(t) < 0) {
		note(t, ENOMEM, "out of memory");
		return TLS_STEP_FAILED;
	}
	r = SSL_do_handshake(t->ssl);
	if (r == 1)
		return take_identity(t) ? TLS_STEP_DONE : TLS_STEP_FAILED;
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return TLS_STEP_MORE;
	case SSL_ERROR_WANT_X509_LOOKUP:
		return TLS_STEP_WORKER;
	default:
		handshake_failed(t);
		return TLS_STEP_FAILED;
	}
}

void tls_step(struct tls_conn *t)
{
	tls_forget_errors();
	t->hs->result = step(t);
	tls_forget_errors();
}
