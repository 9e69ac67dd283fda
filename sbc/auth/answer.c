/* answer.c - choosing a challenge, computing its answer, knowing when to stop. */
#include "sbc/auth/answer.h"

#include <errno.h>

#include "sbc/sip/header.h"

static struct str realm_of(const struct auth_answered *a)
{
	return str_n(a->realm, a->realm_n);
}

static struct auth_answered *session_find(struct auth_session *s, bool proxy, struct str realm)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->realm[i].proxy == proxy && str_eq(realm_of(&s->realm[i]), realm))
			return &s->realm[i];
	return NULL;
}

/* One made for that realm comes before one for any. */
static const struct auth_credential *credential_for(
    const struct auth_credential *creds, unsigned n, struct str realm)
{
	const struct auth_credential *any = NULL;

	for (unsigned i = 0; i < n; i++) {
		if (str_ieq(creds[i].realm, realm))
			return &creds[i];
		if (creds[i].realm.n == 0 && creds[i].password.n && !any)
			any = &creds[i];
	}
	return any;
}

static bool can(const struct auth_credential *c, enum digest_alg alg)
{
	return c->password.n || c->ha1[alg].n;
}

/* qop is a list, empty for a server of RFC 2069; false: none in it that will do */
static bool choose_qop(struct str list, enum auth_int integrity, enum digest_qop *ret)
{
	bool none = list.n == 0, plain = false, whole = false;
	struct str v;

	while (list.n) {
		list = str_cut(list, ',', &v);
		v = str_trim(v);
		plain = plain || str_ieq(v, S("auth"));
		whole = whole || str_ieq(v, S("auth-int"));
	}
	if (integrity == AUTH_INT_REQUIRE || (integrity == AUTH_INT_PREFER && whole))
		plain = none = false;
	*ret = plain ? DIGEST_QOP_AUTH : whole ? DIGEST_QOP_AUTH_INT : DIGEST_QOP_NONE;
	return plain || whole || none;
}

struct pick {
	struct digest_fields f;
	enum digest_alg alg;
	enum digest_qop qop;
	const struct auth_credential *credential;
};

static void keep(struct auth_answered *a, bool proxy, const struct pick *p)
{
	*a = (struct auth_answered){.proxy = proxy, .alg = p->alg, .qop = p->qop, .credential = p->credential};
	a->realm_n = (uint16_t)p->f.realm.n;
	a->nonce_n = (uint16_t)p->f.nonce.n;
	a->opaque_n = (uint16_t)p->f.opaque.n;
	memcpy(a->realm, p->f.realm.p, p->f.realm.n);
	memcpy(a->nonce, p->f.nonce.p, p->f.nonce.n);
	if (p->f.opaque.n)
		memcpy(a->opaque, p->f.opaque.p, p->f.opaque.n);
}

/* What goes back between quotes must not end them. */
static bool quotable(struct str s, size_t max)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n <= max;
}

/* Takes the first challenge of each realm that can be answered. *ret_new: how many. */
static enum reason take_lines(struct auth_session *s, const struct sip_msg *m, bool proxy,
    const struct auth_credential *creds, unsigned n_creds, unsigned *ret_new)
{
	enum sip_hdr_id id = proxy ? SIP_H_PROXY_AUTHENTICATE : SIP_H_WWW_AUTHENTICATE;
	struct auth_session fresh = {.n = 0};
	enum reason why = REASON_NONE;

	for (const struct sip_hdr *h = sip_hdr(m, id); h; h = sip_hdr_next(m, h)) {
		struct auth_answered *old;
		struct pick p;
		int e = digest_parse(h->value, &p.f);

		if (e == -EBADMSG || (e == 0 && (!p.f.nonce.n || !p.f.realm.p || !quotable(p.f.nonce, AUTH_NONCE_MAX) ||
		                                    !quotable(p.f.opaque, AUTH_OPAQUE_MAX) ||
		                                    !quotable(p.f.realm, AUTH_REALM_MAX)))) {
			why = why ? why : REASON_MALFORMED;
			continue;
		}
		if (e < 0 || digest_alg_parse(p.f.algorithm, &p.alg) < 0) {
			why = why ? why : REASON_AUTH_SCHEME;
			continue;
		}
		if (session_find(&fresh, proxy, p.f.realm))
			continue; /* a weaker one of a realm that has its answer */
		p.credential = credential_for(creds, n_creds, p.f.realm);
		if (!p.credential) {
			why = REASON_AUTH_REALM;
			continue;
		}
		if (!can(p.credential, p.alg) || !choose_qop(p.f.qop, p.credential->integrity, &p.qop)) {
			why = why ? why : REASON_AUTH_SCHEME;
			continue;
		}
		old = session_find(s, proxy, p.f.realm);
		if (old && old->used && old->alg == p.alg && str_eq(str_n(old->nonce, old->nonce_n), p.f.nonce) &&
		    !str_ieq(p.f.stale, S("true")))
			return REASON_AUTH_REJECTED;
		if (fresh.n == AUTH_REALMS_MAX)
			continue;
		keep(&fresh.realm[fresh.n++], proxy, &p);
	}
	for (unsigned i = 0; i < fresh.n; i++) {
		struct auth_answered *old = session_find(s, proxy, realm_of(&fresh.realm[i]));

		if (!old && s->n == AUTH_REALMS_MAX)
			return REASON_AUTH_REALM;
		if (!old)
			old = &s->realm[s->n++];
		*old = fresh.realm[i];
	}
	*ret_new += fresh.n;
	return fresh.n && why != REASON_AUTH_REALM ? REASON_NONE : why;
}

enum reason auth_take(struct auth_session *s, const struct sip_msg *m, const struct auth_credential *creds,
    unsigned n_creds)
{
	unsigned fresh = 0;
	enum reason why = take_lines(s, m, false, creds, n_creds, &fresh);

	if (why == REASON_NONE)
		why = take_lines(s, m, true, creds, n_creds, &fresh);
	if (why != REASON_NONE)
		return why;
	return fresh ? REASON_NONE : REASON_MALFORMED; /* a 401 without a challenge */
}

static bool is_stale(const struct sip_msg *m, bool proxy)
{
	enum sip_hdr_id id = proxy ? SIP_H_PROXY_AUTHENTICATE : SIP_H_WWW_AUTHENTICATE;
	struct digest_fields f;

	for (const struct sip_hdr *h = sip_hdr(m, id); h; h = sip_hdr_next(m, h))
		if (digest_parse(h->value, &f) == 0 && str_ieq(f.stale, S("true")))
			return true;
	return false;
}

enum reason auth_again(struct auth_session *s, uint8_t asked[2], const struct sip_msg *m,
    const struct auth_credential *creds, unsigned n_creds)
{
	bool proxy = m->status == 407;
	enum reason why = auth_take(s, m, creds, n_creds);

	if (why == REASON_NONE && asked[proxy] >= (is_stale(m, proxy) ? 2 : 1))
		why = REASON_AUTH_REJECTED;
	if (asked[proxy] < UINT8_MAX)
		asked[proxy]++;
	return why;
}

static int ha1_of(const struct auth_answered *a, struct digest_hex *ret)
{
	const struct auth_credential *c = a->credential;

	if (c->ha1[a->alg].n && (!c->password.n || str_eq(c->realm, realm_of(a)))) {
		*ret = c->ha1[a->alg];
		return 0;
	}
	return digest_ha1(a->alg, c->username, realm_of(a), c->password, ret);
}

/* the server's quoted text comes back as it was, ours gets its escapes */
static void put_quoted(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_chr(b, '\\');
		buf_chr(b, s.p[i]);
	}
}

int auth_put(struct auth_session *s, struct rng *rng, struct str method, struct str uri, struct str body,
    struct buf *headers)
{
	for (unsigned i = 0; i < s->n; i++) {
		struct auth_answered *a = &s->realm[i];
		char nc[9], cnonce[24];
		struct digest_hex response;
		struct digest_in in = {.alg = a->alg,
		    .method = method,
		    .uri = uri,
		    .nonce = str_n(a->nonce, a->nonce_n),
		    .qop = a->qop,
		    .body = body};
		struct buf n, c;
		uint8_t count[4];
		int e;

		a->nc++;
		for (int k = 0; k < 4; k++)
			count[k] = (uint8_t)(a->nc >> (24 - 8 * k));
		buf_init(&n, nc, sizeof(nc));
		buf_hex(&n, count, sizeof(count));
		buf_init(&c, cnonce, sizeof(cnonce));
		rng_put_token(rng, &c, 20);
		in.nc = buf_text(&n);
		in.cnonce = buf_text(&c);
		e = ha1_of(a, &in.ha1);
		if (!e)
			e = digest_response(&in, &response);
		if (e)
			return e;
		a->used = true;
		buf_str(headers, a->proxy ? S("Proxy-Authorization: Digest username=\"") : S("Authorization: Digest username=\""));
		put_quoted(headers, a->credential->username);
		buf_lit(headers, "\", realm=\"");
		buf_str(headers, realm_of(a));
		buf_lit(headers, "\", nonce=\"");
		buf_str(headers, in.nonce);
		buf_lit(headers, "\", uri=\"");
		buf_str(headers, uri);
		buf_lit(headers, "\", response=\"");
		buf_str(headers, digest_str(&response));
		buf_lit(headers, "\", algorithm=");
		buf_str(headers, digest_alg_name(a->alg));
		if (a->qop != DIGEST_QOP_NONE) {
			buf_str(headers, a->qop == DIGEST_QOP_AUTH ? S(", qop=auth, nc=") : S(", qop=auth-int, nc="));
			buf_str(headers, in.nc);
			buf_lit(headers, ", cnonce=\"");
			buf_str(headers, in.cnonce);
			buf_chr(headers, '"');
		}
		if (a->opaque_n) {
			buf_lit(headers, ", opaque=\"");
			buf_str(headers, str_n(a->opaque, a->opaque_n));
			buf_chr(headers, '"');
		}
		buf_lit(headers, "\r\n");
	}
	return 0;
}

static const struct sip_hdr *other_header(const struct sip_msg *m, struct str name)
{
	for (const struct sip_hdr *h = sip_hdr(m, SIP_H_OTHER); h; h = sip_hdr_next(m, h))
		if (str_ieq(h->name, name))
			return h;
	return NULL;
}

void auth_info(struct auth_session *s, const struct sip_msg *m)
{
	for (int proxy = 0; proxy < 2; proxy++) {
		const struct sip_hdr *h =
		    other_header(m, proxy ? S("Proxy-Authentication-Info") : S("Authentication-Info"));
		struct str rest = h ? h->value : STR_NONE, v;

		while (sip_value_next(&rest, &v)) {
			struct str name;
			struct str value = str_trim(str_cut(v, '=', &name));

			if (!str_ieq(str_trim(name), S("nextnonce")))
				continue;
			if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
				value = str_n(value.p + 1, value.n - 2);
			if (!value.n || !quotable(value, AUTH_NONCE_MAX) || str_chr(value, '"') >= 0)
				continue;
			/* it does not say for which realm: with several nobody knows */
			for (unsigned i = 0, hits = 0; i < s->n; i++) {
				hits += s->realm[i].proxy == (proxy == 1);
				if (s->realm[i].proxy != (proxy == 1) || hits > 1)
					continue;
				memcpy(s->realm[i].nonce, value.p, value.n);
				s->realm[i].nonce_n = (uint16_t)value.n;
				s->realm[i].nc = 0;
				s->realm[i].used = false;
			}
		}
	}
}
