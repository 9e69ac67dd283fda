/* certname.c - whom a certificate speaks for (RFC 5922 7.1, 7.2; RFC 5924 4).
 *
 * Everything here is bytes that a peer chose: names are taken by length, one with a NUL condemns the certificate
 * (what a CA checked and what a C string shows may be two names), and what is no host name is no identity.
 */
#include "sbc/net/certname.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#define NAME_MAX_LEN 253
#define SAY_MAX 4

/* id-kp-sipDomain, 1.3.6.1.5.5.7.3.20 */
static const unsigned char sip_domain[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x14};

/* what was found so far */
struct found {
	struct str names[CERTNAME_MAX]; /* in the certificate's own bytes */
	unsigned n;
	bool cut;
};

static struct str asn1_text(const ASN1_STRING *a)
{
	int n = ASN1_STRING_length(a);

	return str_n((const char *)ASN1_STRING_get0_data(a), n > 0 ? (size_t)n : 0);
}

static bool is_ip(struct str s)
{
	struct addr a;

	return addr_parse_ip(s, 0, &a) == 0;
}

/* letters, digits, hyphens, underscores; labels not empty; "*" as the whole first label */
static bool is_name(struct str s)
{
	size_t label = 0;

	if (s.n == 0 || s.n > NAME_MAX_LEN || is_ip(s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = chr_lower(s.p[i]);

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (c == '*' && (i != 0 || s.n < 3 || s.p[1] != '.'))
			return false;
		if (!((c >= 'a' && c <= 'z') || chr_digit(c) || c == '-' || c == '_' || c == '*') || ++label > 63)
			return false;
	}
	return label > 0;
}

static struct str without_dot(struct str s)
{
	return s.n > 1 && s.p[s.n - 1] == '.' ? str_head(s, s.n - 1) : s;
}

static void take(struct found *f, struct str s)
{
	s = without_dot(s);
	if (!is_name(s))
		return;
	for (unsigned i = 0; i < f->n; i++)
		if (str_ieq(f->names[i], s))
			return;
	if (f->n < CERTNAME_MAX)
		f->names[f->n++] = s;
	else
		f->cut = true;
}

/* sip:host, and what may follow a host; STR_NONE: speaks for a user or for nobody */
static struct str sip_host(struct str uri)
{
	size_t n = 0;

	uri = str_from(uri, 4);
	if (str_chr(uri, '@') >= 0)
		return STR_NONE;
	while (n < uri.n && uri.p[n] != ':' && uri.p[n] != ';' && uri.p[n] != '?')
		n++;
	return str_head(uri, n);
}

/* 0, or -EBADMSG */
static int from_san(const GENERAL_NAMES *san, struct found *f)
{
	int n = sk_GENERAL_NAME_num(san);
	bool sip_uri = false;

	for (int i = 0; i < n; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);
		struct str s;

		if (g->type != GEN_URI && g->type != GEN_DNS && g->type != GEN_EMAIL)
			continue;
		s = asn1_text(g->d.ia5);
		if (str_chr(s, '\0') >= 0)
			return -EBADMSG;
		if (g->type == GEN_URI && str_iprefix(s, S("sip:"))) {
			sip_uri = true;
			take(f, sip_host(s));
		}
	}
	for (int i = 0; i < n && !sip_uri; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);

		if (g->type == GEN_DNS)
			take(f, asn1_text(g->d.ia5));
	}
	return 0;
}

/* The last common name, which is the most specific; *ret_utf8 is OpenSSL's to free. 0, -EBADMSG. */
static int from_cn(const X509 *x, struct found *f, unsigned char **ret_utf8)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	int at = -1, last = -1, n;
	struct str s;

	while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0)
		last = at;
	if (last < 0)
		return 0;
	n = ASN1_STRING_to_UTF8(ret_utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
	if (n < 0)
		return 0; /* no text, no name */
	s = str_n((const char *)*ret_utf8, (size_t)n);
	if (str_chr(s, '\0') >= 0)
		return -EBADMSG;
	take(f, s);
	return 0;
}

static int keep(const struct found *f, struct certname *ret)
{
	size_t bytes = f->n * sizeof(struct str);
	struct str *names;
	char *p;

	*ret = (struct certname){.cut = f->cut};
	if (f->n == 0)
		return 0;
	for (unsigned i = 0; i < f->n; i++)
		bytes += f->names[i].n + 1;
	names = malloc(bytes);
	if (!names)
		return -ENOMEM;
	p = (char *)(names + f->n);
	for (unsigned i = 0; i < f->n; i++) {
		for (size_t j = 0; j < f->names[i].n; j++)
			p[j] = chr_lower(f->names[i].p[j]);
		p[f->names[i].n] = '\0';
		names[i] = str_n(p, f->names[i].n);
		p += f->names[i].n + 1;
	}
	ret->names = names;
	ret->n = f->n;
	return 0;
}

int certname_read(const X509 *x, struct certname *ret)
{
	struct found f = {.n = 0};
	unsigned char *utf8 = NULL;
	int critical = 0, e;
	GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL);

	if (san)
		e = from_san(san, &f);
	else if (critical != -1) /* there is one, and it cannot be read or stands there twice */
		e = -EBADMSG;
	else
		e = from_cn(x, &f, &utf8);
	if (!e)
		e = keep(&f, ret);
	GENERAL_NAMES_free(san);
	OPENSSL_free(utf8);
	return e;
}

void certname_free(struct certname *c)
{
	free(c->names);
	*c = (struct certname){.n = 0};
}

static bool wildcard_match(struct str pattern, struct str want)
{
	ptrdiff_t dot = str_chr(want, '.');
	struct str rest;

	if (!str_prefix(pattern, S("*.")) || dot <= 0)
		return false;
	rest = str_from(pattern, 1);
	/* a public suffix as a whole is nobody's: at least two labels behind the wildcard */
	return str_chr(str_from(rest, 1), '.') > 0 && str_ieq(rest, str_from(want, (size_t)dot));
}

bool certname_match(const struct str *names, unsigned n, struct str want, bool relaxed)
{
	want = without_dot(want);
	if (str_empty(want))
		return false;
	for (unsigned i = 0; i < n; i++)
		if (str_ieq(names[i], want) || (relaxed && wildcard_match(names[i], want)))
			return true;
	return false;
}

bool certname_has_ip(const X509 *x, const struct addr *a)
{
	struct str ip = addr_ip_bytes(a);

	return ip.n && X509_check_ip((X509 *)(uintptr_t)x, (const unsigned char *)ip.p, ip.n, 0) == 1;
}

static bool usage_ok(const ASN1_OBJECT *o)
{
	switch (OBJ_obj2nid(o)) {
	case NID_server_auth:
	case NID_client_auth:
	case NID_anyExtendedKeyUsage:
		return true;
	default:
		return OBJ_length(o) == sizeof(sip_domain) &&
		       memcmp(OBJ_get0_data(o), sip_domain, sizeof(sip_domain)) == 0;
	}
}

bool certname_for_sip(const X509 *x, bool leaf)
{
	int critical = 0;
	EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(x, NID_ext_key_usage, &critical, NULL);
	bool ok = !eku && critical == -1;
	uint32_t usage = X509_get_key_usage((X509 *)(uintptr_t)x); /* all bits when there is none */

	for (int i = 0; eku && !ok && i < sk_ASN1_OBJECT_num(eku); i++)
		ok = usage_ok(sk_ASN1_OBJECT_value(eku, i));
	EXTENDED_KEY_USAGE_free(eku);
	return ok && (!leaf || (usage & (KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT)));
}

static void say_ip(struct buf *b, const X509 *x)
{
	GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; san && i < sk_GENERAL_NAME_num(san); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);
		struct addr a = {.sa.sa_family = AF_UNSPEC};
		struct str s;

		if (g->type != GEN_IPADD)
			continue;
		s = asn1_text(g->d.iPAddress);
		if (s.n == 4) {
			a.in4.sin_family = AF_INET;
			memcpy(&a.in4.sin_addr, s.p, 4);
		} else if (s.n == 16) {
			a.in6.sin6_family = AF_INET6;
			memcpy(&a.in6.sin6_addr, s.p, 16);
		} else {
			continue;
		}
		addr_put_ip(b, &a);
		GENERAL_NAMES_free(san);
		return;
	}
	GENERAL_NAMES_free(san);
	buf_lit(b, "nobody");
}

void certname_say(struct buf *b, const X509 *x)
{
	struct certname c;

	if (certname_read(x, &c) < 0) {
		buf_lit(b, "what cannot be read");
		return;
	}
	for (unsigned i = 0; i < c.n && i < SAY_MAX; i++) {
		if (i)
			buf_lit(b, ", ");
		buf_str(b, str_head(c.names[i], 64));
	}
	if (c.n > SAY_MAX)
		buf_fmt(b, " (%u more)", c.n - SAY_MAX);
	if (c.n == 0)
		say_ip(b, x);
	certname_free(&c);
}
