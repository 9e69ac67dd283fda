/* read.c - what a REGISTER says, as copies that outlive the message.
 *
 * Values that cannot be read count as what the RFC says of them (Expires: an hour, q: 1); contacts, instances and Paths
 * go into URIs and headers of others later, so what is no clean one is refused here (MALFORMED).
 */
#include "sbc/reg/internal.h"

#include <errno.h>

#include "sbc/sip/header.h"

#define PATH_MAX_BYTES 2048
#define INSTANCE_MAX 128

/* Everything of the parameters but what has a field of its own. */
static struct str other_params(struct arena *arena, struct str params)
{
	char *p = arena_alloc(arena, params.n + 1);
	struct str rest = params, name, value;
	struct buf b;

	if (!p)
		return STR_NONE;
	buf_init(&b, p, params.n + 1);
	while (sip_param_next(&rest, &name, &value)) {
		if (str_ieq(name, S("q")) || str_ieq(name, S("expires")) || str_ieq(name, S("+sip.instance")) ||
		    str_ieq(name, S("reg-id")) || str_ieq(name, S("pub-gruu")) || str_ieq(name, S("temp-gruu")) ||
		    str_ieq(name, S("temp-gruu-cookie")))
			continue;
		if (b.n)
			buf_chr(&b, ';');
		buf_str(&b, name);
		if (value.p) {
			buf_chr(&b, '=');
			buf_str(&b, value);
		}
	}
	return buf_err(&b) ? STR_NONE : buf_text(&b);
}

/* "1", "0.5", "1.000"; what is not one counts as 1 */
static uint16_t read_q(struct str s)
{
	struct str whole, frac = str_cut(s, '.', &whole);
	uint32_t n = 1;

	if (str_u32(whole, 1, &n) < 0 || frac.n > 3 || n == 1)
		return 1000;
	n = 0;
	for (size_t i = 0; i < 3; i++) {
		if (i < frac.n && !chr_digit(frac.p[i]))
			return 1000;
		n = n * 10 + (i < frac.n ? (uint32_t)(frac.p[i] - '0') : 0);
	}
	return (uint16_t)n;
}

/* seconds; malformed: 3600 (RFC 3261 10.3, 20.19) */
static uint32_t read_expires(struct str s)
{
	uint64_t v;
	int e = str_u64(s, UINT32_MAX, &v);

	return e == -ERANGE ? UINT32_MAX : e < 0 ? 3600 : (uint32_t)v;
}

static struct str copy(struct work *w, struct str s)
{
	struct str c = str_dup(w->arena, s);

	w->lost = w->lost || !c.p;
	return c;
}

/* Between the quotes and brackets of +sip.instance: a URN, which goes into URIs as it is. */
static bool instance_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= 'A' && s.p[i] <= 'Z') && !chr_digit(s.p[i]) &&
		    (!s.p[i] || !strchr("-_.!~*'():@=+$,%/", s.p[i])))
			return false;
	return s.n > 0 && s.n <= INSTANCE_MAX;
}

/* What is secure all the way stays apart from what is not (RFC 5630 5.3): a sips: contact comes by a sips: request, and all of its
 * Path is sips:. */
static bool sips_all_the_way(const struct sip_msg *m)
{
	struct sip_values values = sip_values(m, SIP_H_PATH);
	struct sip_addr a;
	struct str v;

	if (m->ruri.scheme != SIP_SCHEME_SIPS)
		return false;
	while (sip_values_next(&values, &v))
		if (sip_addr_parse(v, &a) < 0 || a.uri.scheme != SIP_SCHEME_SIPS)
			return false;
	return true;
}

static enum reason read_contact(struct work *w, struct str value, const struct sip_msg *m, struct buf *h)
{
	const struct pol_trunk *t = w->trunk;
	struct asked *a = &w->c[w->n];
	enum gin_kind kind;
	struct sip_addr addr;
	struct str v;
	uint32_t s;
	enum reason why;

	if (sip_addr_parse(value, &addr) < 0 ||
	    (addr.uri.scheme != SIP_SCHEME_SIP && addr.uri.scheme != SIP_SCHEME_SIPS && addr.uri.scheme != SIP_SCHEME_TEL))
		return REASON_MALFORMED;
	why = gin_kind_of(&addr.uri, &kind);
	if (why != REASON_NONE)
		return why;
	if (addr.uri.scheme == SIP_SCHEME_SIPS && !sips_all_the_way(m))
		return REASON_REG_SIPS;
	if (w->n == REG_CONTACTS_MAX)
		return REASON_REG_FULL;
	if (addr.uri.raw.n > REG_TEXT_MAX || addr.params.n > REG_TEXT_MAX)
		return REASON_MALFORMED;
	*a = (struct asked){.bulk = kind == GIN_BULK, .q = 1000, .expires_s = t->reg.expires_s};
	if (a->bulk && w->aor.n)
		return REASON_GIN_CONTACT; /* of one number there is nothing in bulk */
	if (a->bulk && !sip_has_token(m, SIP_H_REQUIRE, S("gin")) && (t->reg.auth != POL_AUTH_GIN || t->reg.gin_strict)) {
		buf_lit(h, "Require: gin\r\n");
		return REASON_GIN_REQUIRED;
	}
	if (sip_param_get(addr.params, S("expires"), &v))
		a->expires_s = read_expires(v);
	else if (sip_hdr(m, SIP_H_EXPIRES))
		a->expires_s = read_expires(str_trim(sip_hdr_value(m, SIP_H_EXPIRES)));
	if (a->expires_s > 0 && a->expires_s < t->reg.min_s && a->expires_s < 3600) {
		buf_fmt(h, "Min-Expires: %u\r\n", t->reg.min_s);
		return REASON_REG_BRIEF;
	}
	if (a->expires_s > t->reg.max_s)
		a->expires_s = t->reg.max_s;
	if (sip_param_get(addr.params, S("q"), &v))
		a->q = read_q(v);
	if (sip_param_get(addr.params, S("+sip.instance"), &v) && v.n > 4 && v.p[0] == '"' && v.p[1] == '<' &&
	    v.p[v.n - 2] == '>') {
		if (!instance_ok(str_n(v.p + 2, v.n - 4)))
			return REASON_MALFORMED;
		a->instance = copy(w, str_n(v.p + 1, v.n - 2));
	}
	if (a->instance.n && sip_param_get(addr.params, S("reg-id"), &v) && str_u32(v, INT32_MAX, &s) == 0)
		a->reg_id = s;
	a->uri = copy(w, addr.uri.raw);
	a->params = other_params(w->arena, addr.params);
	w->lost = w->lost || !a->params.p;
	if (w->lost)
		return REASON_NO_MEMORY;
	w->n++;
	return REASON_NONE;
}

static enum reason read_contacts(struct work *w, const struct sip_msg *m, struct buf *h)
{
	struct sip_values values = sip_values(m, SIP_H_CONTACT);
	enum reason why = REASON_NONE;
	struct str v;
	unsigned n = 0;

	while (why == REASON_NONE && sip_values_next(&values, &v)) {
		n++;
		if (str_eq(v, S("*")))
			w->star = true;
		else
			why = read_contact(w, v, m, h);
	}
	if (why == REASON_NONE && w->star &&
	    (n > 1 || !sip_hdr(m, SIP_H_EXPIRES) || read_expires(str_trim(sip_hdr_value(m, SIP_H_EXPIRES))) != 0))
		why = REASON_REG_STAR;
	return why;
}

/* Path, as it will be the Route of calls (RFC 3327 5.3): every value a name-addr with a SIP URI. */
static enum reason read_path(struct work *w, const struct sip_msg *m)
{
	struct sip_values values = sip_values(m, SIP_H_PATH);
	struct sip_addr a;
	struct buf b;
	size_t n = 0;
	struct str v;
	char *p;

	while (sip_values_next(&values, &v)) {
		if (str_chr(v, '<') < 0 || sip_addr_parse(v, &a) < 0 ||
		    (a.uri.scheme != SIP_SCHEME_SIP && a.uri.scheme != SIP_SCHEME_SIPS))
			return REASON_MALFORMED;
		n += v.n + 2;
	}
	if (n > PATH_MAX_BYTES)
		return REASON_MALFORMED;
	if (!n)
		return REASON_NONE;
	p = arena_alloc(w->arena, n);
	if (!p)
		return REASON_NO_MEMORY;
	buf_init(&b, p, n);
	values = sip_values(m, SIP_H_PATH);
	while (sip_values_next(&values, &v)) {
		if (b.n)
			buf_lit(&b, ", ");
		buf_str(&b, v);
	}
	w->path = buf_text(&b);
	return REASON_NONE;
}

/* Did the first proxy promise to keep the flow (RFC 5626 5.1)? With a single Via there is none. */
static bool first_hop_ok(const struct sip_msg *m)
{
	struct sip_values values = sip_values(m, SIP_H_PATH);
	struct str v, last = STR_NONE;
	struct sip_addr a;

	if (m->n_via <= 1)
		return true;
	while (sip_values_next(&values, &v))
		last = v; /* the first hop's is the last */
	return last.n && sip_addr_parse(last, &a) == 0 && sip_param_get(a.uri.params, S("ob"), NULL);
}

static enum reason wants_outbound(struct work *w, const struct sip_msg *m)
{
	bool flows = false;

	for (unsigned i = 0; i < w->n; i++)
		flows = flows || (w->c[i].reg_id && w->c[i].expires_s);
	if (!flows)
		return REASON_NONE;
	if (sip_has_token(m, SIP_H_SUPPORTED, S("outbound")) || sip_has_token(m, SIP_H_REQUIRE, S("outbound"))) {
		if (!first_hop_ok(m))
			return REASON_REG_OUTBOUND;
		w->outbound = true;
		return REASON_NONE;
	}
	for (unsigned i = 0; i < w->n; i++)
		w->c[i].reg_id = 0; /* without outbound it means nothing */
	return REASON_NONE;
}

struct work *work_new(struct reg *r, struct txn_srv *t, const struct sip_msg *m, const struct net_path *from,
    const struct pol_trunk *trunk, struct str aor)
{
	struct arena *arena = arena_new(&r->pool);
	struct work *w = arena ? arena_zalloc(arena, sizeof(*w)) : NULL;

	if (!w) {
		arena_free(arena);
		return NULL;
	}
	w->arena = arena;
	w->r = r;
	w->t = t;
	w->policy = policy_ref(r->policy);
	w->trunk = trunk;
	w->aor = copy(w, aor);
	w->domain = copy(w, m->to.uri.host);
	w->call_id = copy(w, m->call_id);
	w->cseq = m->cseq;
	w->flow = *from;
	w->flow.local = (struct addr){.sa = {.sa_family = AF_UNSPEC}};
	w->user_agent = copy(w, str_head(sip_hdr_value(m, SIP_H_USER_AGENT), 128));
	w->knows_path = sip_has_token(m, SIP_H_SUPPORTED, S("path")) || sip_has_token(m, SIP_H_REQUIRE, S("path"));
	w->gruu = sip_has_token(m, SIP_H_SUPPORTED, S("gruu")) || sip_has_token(m, SIP_H_REQUIRE, S("gruu"));
	return w;
}

enum reason work_read(struct work *w, const struct sip_msg *m, struct buf *h)
{
	/* for nobody's key: there is none of ours (RFC 3261 21.4.28) */
	bool sealed = m->body.n && sip_body_is(m, S("application/pkcs7-mime")) &&
	              str_find(sip_hdr_value(m, SIP_H_CONTENT_DISPOSITION), S("handling=optional")) < 0;
	enum reason why = sealed ? REASON_REG_SMIME : w->lost ? REASON_NO_MEMORY : m->call_id.n > REG_TEXT_MAX ? REASON_MALFORMED : read_path(w, m);

	if (why == REASON_NONE)
		why = read_contacts(w, m, h);
	return why == REASON_NONE ? wants_outbound(w, m) : why;
}
