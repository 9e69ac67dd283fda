/* convert.c - from the text of values to the fields of struct conf, by the type of their key.
 *
 * Defaults of the table take the same way as values of the file, so a default that is not valid cannot exist (a test
 * loads an empty realm). A refused value is reported at its own place and marks its section, so that check.c does
 * not report what only follows from it.
 */
#include "conf/load.h"

#include <errno.h>
#include <stdio.h>

/* One value to convert. */
struct val {
	struct load *ld;
	const struct conf_key *key;
	struct given_section *gs; /* NULL: section is not in the file */
	struct str text;
	size_t index; /* in load.values; NO_INDEX for defaults */
};
#define NO_INDEX ((size_t)-1)

void issue_value(struct load *ld, enum conf_severity sev, size_t v, size_t off, size_t n, const char *help,
    const char *fmt, ...)
{
	const struct tok *t = &ld->sc.toks[ld->values[v]];
	struct str raw = scan_word(&ld->sc, t);
	unsigned col = t->col, len = t->len;
	char text[400];
	va_list ap;

	/* a part of the value can be shown when no escape moved it */
	if (n && str_eq(raw, ld->texts[v]) && off + n <= raw.n) {
		col += (t->kind == TOK_STRING ? 1u : 0u) + (unsigned)off;
		len = (unsigned)n;
	}
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	issue_add(ld->is, sev, t->line, col, len, help, "%s", text);
}

/* The value, or the part of it, is refused. help NULL: what the key's type expects. */
static void refuse(const struct val *v, struct str part, const char *help, const char *what)
{
	char expected[200];
	struct buf b;

	if (v->gs)
		v->gs->bad = true;
	if (v->index != NO_INDEX && v->ld->sc.toks[v->ld->values[v->index]].bad)
		return;
	if (!help) {
		buf_init(&b, expected, sizeof(expected));
		buf_lit(&b, "expected: ");
		conf_key_put_type(&b, v->key);
		help = buf_z(&b);
	}
	if (v->index == NO_INDEX) {
		issue_add(v->ld->is, CONF_ERROR, 0, 0, 0, help, "default of '%s': %s", v->key->name, what);
		return;
	}
	issue_value(v->ld, CONF_ERROR, v->index,
	    part.p >= v->text.p && part.p <= v->text.p + v->text.n ? (size_t)(part.p - v->text.p) : 0, part.n, help,
	    "'%s': %s", v->key->name, what);
}

static unsigned val_line(const struct val *v)
{
	return v->index == NO_INDEX ? 0 : v->ld->sc.toks[v->ld->values[v->index]].line;
}

/* -------------------------------------------------------------------- scalars */

static bool name_ok(struct str s)
{
	if (s.n == 0 || s.n > CONF_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!chr_digit(c) && !(chr_lower(c) >= 'a' && chr_lower(c) <= 'z') && (i == 0 || !strchr("._-", c)))
			return false;
	}
	return true;
}

static bool path_ok(const struct val *v, size_t max)
{
	if (v->text.n < 2 || v->text.p[0] != '/') {
		refuse(v, v->text, NULL, "not an absolute path");
		return false;
	}
	if (v->text.n > max) {
		refuse(v, v->text, "choose a shorter one", "path is too long");
		return false;
	}
	return true;
}

static bool get_uint(const struct val *v, uint32_t *ret)
{
	uint64_t x;
	int r = str_u64(v->text, v->key->max, &x);

	if (r < 0 || x < v->key->min) {
		refuse(v, v->text, NULL, r == -EINVAL ? "not a whole number" : "number out of range");
		return false;
	}
	*ret = (uint32_t)x;
	return true;
}

static bool get_time(const struct val *v, uint32_t *ret_ms)
{
	static const struct {
		struct str name;
		uint64_t ms;
	} units[] = {
	    {S("ms"), 1},
	    {S("s"), 1000},
	    {S("sec"), 1000},
	    {S("min"), 60000},
	    {S("h"), 3600000},
	};
	size_t n = 0;
	struct str unit;
	uint64_t x, factor = 0;

	while (n < v->text.n && chr_digit(v->text.p[n]))
		n++;
	unit = str_trim(str_from(v->text, n));
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_eq(unit, units[i].name))
			factor = units[i].ms;
	if (n == 0 || !factor) {
		refuse(v, n ? unit : v->text, NULL, n && str_empty(unit) ? "unit is missing" : "not a time");
		return false;
	}
	if (str_u64(str_head(v->text, n), v->key->max, &x) < 0 || x * factor > v->key->max ||
	    x * factor < v->key->min) {
		refuse(v, v->text, NULL, "time out of range");
		return false;
	}
	*ret_ms = (uint32_t)(x * factor);
	return true;
}

static int word_index(const char *values, struct str s)
{
	struct str rest = str_z(values), word;

	for (int i = 0; !str_empty(rest); i++) {
		rest = str_cut(rest, ' ', &word);
		if (str_ieq(word, s))
			return i;
	}
	return -1;
}

static bool get_enum(const struct val *v, uint8_t *ret)
{
	int i = word_index(v->key->values, v->text);

	if (i < 0) {
		refuse(v, v->text, NULL, "no such value");
		return false;
	}
	*ret = (uint8_t)i;
	return true;
}

static bool get_dscp(const struct val *v, uint8_t *ret)
{
	struct str s = v->text;
	uint32_t x;

	if (str_ieq(s, S("ef")))
		x = 46;
	else if (s.n == 3 && str_iprefix(s, S("cs")) && s.p[2] >= '0' && s.p[2] <= '7')
		x = (uint32_t)(s.p[2] - '0') * 8;
	else if (s.n == 4 && str_iprefix(s, S("af")) && s.p[2] >= '1' && s.p[2] <= '4' && s.p[3] >= '1' &&
	    s.p[3] <= '3')
		x = (uint32_t)(s.p[2] - '0') * 8 + (uint32_t)(s.p[3] - '0') * 2;
	else if (str_u32(s, 63, &x) < 0) {
		refuse(v, s, NULL, "no such class of service");
		return false;
	}
	*ret = (uint8_t)x;
	return true;
}

static bool get_log_to(const struct val *v, struct conf *c)
{
	if (str_ieq(v->text, S("stderr")) || str_ieq(v->text, S("journal"))) {
		c->log.to = str_ieq(v->text, S("stderr")) ? CONF_LOG_STDERR : CONF_LOG_JOURNAL;
		c->log.path = "";
		return true;
	}
	if (v->text.n < 2 || v->text.p[0] != '/' || v->text.n > 4000) {
		refuse(v, v->text, NULL, "no such place");
		return false;
	}
	c->log.to = CONF_LOG_FILE;
	c->log.path = v->text.p;
	return true;
}

/* -------------------------------------------------------------------- items of lists */

/* An address at the head of s, "ADDRESS:PORT" when with_port. */
static bool get_addr(const struct val *v, struct str s, bool port_needed, struct addr *ret)
{
	struct addr a;

	if (addr_parse_ip(s, 0, &a) == 0) {
		if (port_needed) {
			refuse(v, s, addr_is6(&a) ? "write [ADDRESS]:PORT, for example [2001:db8::1]:5060"
						  : "write ADDRESS:PORT, for example 192.0.2.1:5060",
			    "port is missing");
			return false;
		}
	} else if (addr_parse(s, 0, &a) < 0) {
		refuse(v, s, "192.0.2.1:5060 or [2001:db8::1]:5060; names are not looked up here",
		    "not an IP address");
		return false;
	} else if (addr_port(&a) == 0) {
		refuse(v, s, "1..65535", "port 0 cannot be used");
		return false;
	}
	*ret = a;
	return true;
}

static bool get_ip(const struct val *v, struct str s, struct addr *ret)
{
	if (addr_parse_ip(s, 0, ret) < 0) {
		refuse(v, s, "an address without port, for example 192.0.2.1 or 2001:db8::1", "not an IP address");
		return false;
	}
	return true;
}

/* "udp 10.1.0.2:5060" */
static bool get_listen(const struct val *v, struct conf_listen *ret)
{
	struct str proto, rest = str_trim(str_cut(str_trim(v->text), ' ', &proto));
	struct conf_listen l = {.line = val_line(v)};

	if (str_ieq(proto, S("udp"))) {
		l.proto = CONF_UDP;
	} else if (str_ieq(proto, S("tcp"))) {
		l.proto = CONF_TCP;
	} else if (str_ieq(proto, S("tls"))) {
		l.proto = CONF_TLS;
	} else {
		refuse(v, proto, "write \"udp ADDRESS:PORT\", \"tcp ADDRESS:PORT\" or \"tls ADDRESS:PORT\"",
		    str_ieq(proto, S("ws")) || str_ieq(proto, S("wss")) ? "protocol is not available in this version"
									: "unknown protocol");
		return false;
	}
	if (!get_addr(v, rest, l.proto != CONF_TLS, &l.bind))
		return false;
	if (addr_port(&l.bind) == 0)
		addr_set_port(&l.bind, 5061);
	l.advertise = l.bind;
	*ret = l;
	return true;
}

/* "10.1.0.2 16384-20479" */
static bool get_media(const struct val *v, struct conf_media *ret, uint16_t *ret_min, uint16_t *ret_max)
{
	struct str ip, range = str_trim(str_cut(str_trim(v->text), ' ', &ip)), first,
		       last = str_trim(str_cut(range, '-', &first));
	struct conf_media m = {.line = val_line(v)};
	uint32_t lo, hi;

	if (!get_ip(v, ip, &m.bind))
		return false;
	if (addr_is_any(&m.bind)) {
		refuse(v, ip, "name the address that packets shall come from", "address must be one of this machine");
		return false;
	}
	first = str_trim(first);
	if (str_empty(range) || str_u32(first, 65535, &lo) < 0 || str_u32(last, 65535, &hi) < 0) {
		refuse(v, str_empty(range) ? v->text : range, "write \"ADDRESS FIRST-LAST\", for example \"10.1.0.2 "
							      "16384-20479\"",
		    "not a range of ports");
		return false;
	}
	if (lo < 1024 || lo % 2 || hi % 2 == 0 || lo > hi) {
		char help[120];
		struct buf b;
		uint32_t want_lo = (lo < 1024 ? 1024 : lo) & ~1u, want_hi = hi | 1u;

		buf_init(&b, help, sizeof(help));
		if (want_lo < want_hi)
			buf_fmt(&b, "for example %u-%u: it starts even, from 1024 on, and ends odd", want_lo, want_hi);
		else
			buf_lit(&b, "it starts even, from 1024 on, and ends odd");
		refuse(v, range, buf_z(&b), lo > hi ? "range is empty" : "range must hold whole pairs of ports");
		return false;
	}
	m.advertise = m.bind;
	*ret = m;
	*ret_min = (uint16_t)lo;
	*ret_max = (uint16_t)hi;
	return true;
}

static bool host_ok(struct str s)
{
	struct addr a;

	if (addr_parse_ip(s, 0, &a) == 0)
		return true;
	if (s.n == 0 || s.n > 253)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = chr_lower(s.p[i]);

		if (!(c >= 'a' && c <= 'z') && !chr_digit(c) && c != '-' && (c != '.' || i == 0 || s.p[i - 1] == '.'))
			return false;
	}
	return s.p[0] != '-';
}

/* "sip debug" */
static bool get_area(const struct val *v, struct conf *c)
{
	struct str area, level = str_trim(str_cut(str_trim(v->text), ' ', &area));
	int a = log_area_parse(area), l = log_level_parse(level);

	if (a < 0) {
		refuse(v, area, "areas: app net sip call media db ctl policy", "no such area");
		return false;
	}
	if (l < 0) {
		refuse(v, str_empty(level) ? v->text : level, "write \"AREA LEVEL\"; levels: error warn info debug",
		    "no such level");
		return false;
	}
	c->log.level[a] = (uint8_t)l;
	return true;
}

/* -------------------------------------------------------------------- sections */

static const struct given_key *given(const struct load *ld, const struct given_section *gs, const struct conf_key *key)
{
	if (!gs)
		return NULL;
	for (size_t i = 0; i < ld->n_keys; i++)
		if (ld->keys[i].section == (size_t)(gs - ld->sections) && ld->keys[i].key == key)
			return &ld->keys[i];
	return NULL;
}

/* The i-th value of a key, false when there is no more. */
static bool value_at(struct load *ld, struct given_section *gs, const struct conf_key *key, unsigned i, struct val *ret)
{
	const struct given_key *gk = given(ld, gs, key);

	*ret = (struct val){.ld = ld, .key = key, .gs = gs, .index = NO_INDEX};
	if (gk) {
		if (i >= gk->n_values)
			return false;
		ret->index = gk->first_value + i;
		ret->text = ld->texts[ret->index];
		return true;
	}
	if (i > 0 || !key->def || !key->def[0])
		return false;
	ret->text = str_dup(ld->arena, str_z(key->def));
	return ret->text.p != NULL;
}

static const struct conf_key *key_of(const char *section, const char *name)
{
	unsigned n;
	const struct conf_key *k = conf_keys(&n);

	for (unsigned i = 0; i < n; i++)
		if (!strcmp(k[i].section, section) && !strcmp(k[i].name, name))
			return &k[i];
	return NULL; /* not reached: a test asks for every key that is asked for here */
}

static void too_many(const struct val *v, const char *what)
{
	refuse(v, v->text, "take some out", what);
}

/* Puts one advertised address where its family is wanted. */
static bool family_slot(const struct val *v, const struct addr *a, struct addr *v4, struct addr *v6)
{
	struct addr *slot = addr_is6(a) ? v6 : v4;

	if (addr_is_any(a)) {
		refuse(v, v->text, "name the address that the outside sees", "address cannot be advertised");
		return false;
	}
	if (!addr_none(slot)) {
		refuse(v, v->text, "one address per family", "second address of this family");
		return false;
	}
	*slot = *a;
	return true;
}

/* "sip.example.net", "sip.example.net:5061": what TLS listeners say of themselves. */
static void advertise_host(const struct val *v, struct conf_listen *l, unsigned n)
{
	struct str name, port = str_cut(v->text, ':', &name);
	struct str *first = NULL;
	uint32_t p = 0;

	if (!host_ok(name)) {
		refuse(v, v->text, "192.0.2.1, 192.0.2.1:5060, [2001:db8::1]:5060, or for tls listeners sip.example.net",
		    "not an address and not a host name");
		return;
	}
	if (name.n < v->text.n && (str_u32(port, 65535, &p) < 0 || p == 0)) {
		refuse(v, v->text, "1..65535", "port cannot be used");
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		if (l[i].proto != CONF_TLS)
			continue;
		if (l[i].host.n) {
			refuse(v, v->text, "one host name for all tls listeners of a realm", "second host name");
			return;
		}
		l[i].host = str_dup(v->ld->arena, name);
		if (p)
			addr_set_port(&l[i].advertise, (uint16_t)p);
		first = &l[i].host;
	}
	if (!first && !v->gs->bad)
		refuse(v, v->text, "udp and tcp listeners say an address", "host name, but realm has no tls listener");
}

static int realm_listen(struct load *ld, struct given_section *gs, struct conf_realm *r)
{
	const struct conf_key *key = key_of("realm", "listen"), *adv_key = key_of("realm", "advertise");
	struct addr adv4 = {0}, adv6 = {0}, a;
	struct conf_listen *l = arena_alloc(ld->arena, CONF_LISTENERS_MAX * sizeof(*l));
	struct val v;
	unsigned n = 0;

	if (!l)
		return -ENOMEM;
	for (unsigned i = 0; value_at(ld, gs, key, i, &v); i++) {
		if (n == CONF_LISTENERS_MAX) {
			too_many(&v, "more than 32 listeners in a realm");
			break;
		}
		if (get_listen(&v, &l[n]))
			n++;
	}
	for (unsigned i = 0; value_at(ld, gs, adv_key, i, &v); i++) {
		bool used = false;

		if (addr_parse_ip(v.text, 0, &a) < 0 && addr_parse(v.text, 0, &a) < 0) {
			advertise_host(&v, l, n);
			continue;
		}
		if (!get_addr(&v, v.text, false, &a) || !family_slot(&v, &a, &adv4, &adv6))
			continue;
		for (unsigned k = 0; k < n; k++) {
			if (addr_is6(&l[k].bind) != addr_is6(&a))
				continue;
			uint16_t port = addr_port(&l[k].advertise);

			/* a translated port is that of udp and tcp: TLS has another one */
			l[k].advertise = a;
			if (addr_port(&a) == 0 || (l[k].proto == CONF_TLS && port != addr_port(&a)))
				addr_set_port(&l[k].advertise, port);
			used = true;
		}
		if (!used && !gs->bad)
			refuse(&v, v.text, "add a listener of that family, or take it out",
			    "realm has no listener of this address family");
	}
	r->listen = l;
	r->n_listen = n;
	return 0;
}

static void realm_media(struct load *ld, struct given_section *gs, struct conf_realm *r)
{
	const struct conf_key *key = key_of("realm", "media"), *adv_key = key_of("realm", "media-advertise");
	struct addr adv4 = {0}, adv6 = {0}, a;
	struct val v;

	for (unsigned i = 0; value_at(ld, gs, key, i, &v); i++) {
		struct conf_media m, *slot;
		uint16_t lo, hi;

		if (!get_media(&v, &m, &lo, &hi))
			continue;
		slot = addr_is6(&m.bind) ? &r->media6 : &r->media4;
		if (!addr_none(&slot->bind)) {
			refuse(&v, v.text, "one range per family; make it wider instead",
			    "second media address of this family");
			continue;
		}
		if (r->port_max && (r->port_min != lo || r->port_max != hi)) {
			char help[80];
			struct buf b;

			buf_init(&b, help, sizeof(help));
			buf_fmt(&b, "write %u-%u here too", r->port_min, r->port_max);
			refuse(&v, v.text, buf_z(&b), "both families must use the same range of ports");
			continue;
		}
		*slot = m;
		r->port_min = lo;
		r->port_max = hi;
	}
	for (unsigned i = 0; value_at(ld, gs, adv_key, i, &v); i++) {
		struct conf_media *m;

		if (!get_ip(&v, v.text, &a) || !family_slot(&v, &a, &adv4, &adv6))
			continue;
		m = addr_is6(&a) ? &r->media6 : &r->media4;
		if (!addr_none(&m->bind))
			m->advertise = a;
		else if (!gs->bad)
			refuse(&v, v.text, "add it to 'media', or take it out",
			    "realm has no media address of this family");
	}
}

static int realm_domains(struct load *ld, struct given_section *gs, struct conf_realm *r)
{
	const struct conf_key *key = key_of("realm", "domains");
	struct str *d = arena_alloc(ld->arena, CONF_DOMAINS_MAX * sizeof(*d));
	struct val v;

	if (!d)
		return -ENOMEM;
	for (unsigned i = 0; value_at(ld, gs, key, i, &v); i++) {
		if (r->n_domains == CONF_DOMAINS_MAX) {
			too_many(&v, "more than 64 domains in a realm");
			break;
		}
		if (!host_ok(v.text))
			refuse(&v, v.text, "for example sip.example.net", "not a host name");
		else
			d[r->n_domains++] = v.text;
	}
	r->domains = d;
	return 0;
}

/* The cert of a realm, once all certs are known; a name that is none is the realm's error. */
static void realm_cert(struct load *ld, struct given_section *gs, struct conf_realm *r)
{
	const struct conf_cert *near = NULL;
	unsigned best = 3;
	char help[200];
	struct buf b;
	struct val v;
	bool any = value_at(ld, gs, key_of("realm", "cert"), 0, &v) && v.text.n;

	for (unsigned i = 0; i < r->n_listen && !gs->bad && !any; i++) {
		if (r->listen[i].proto != CONF_TLS)
			continue;
		gs->bad = true;
		issue_tok(ld->is, CONF_ERROR, gs->title ? gs->title : gs->tok,
		    "add: cert = NAME, and a section cert \"NAME\" { chain = ... key = ... }",
		    "'cert' is missing: realm '%.*s' has a tls listener", STR(gs->name));
	}
	if (!any)
		return;
	r->cert = v.text;
	for (unsigned i = 0; i < ld->conf->n_certs; i++) {
		unsigned d = str_distance(ld->conf->certs[i].name, v.text, 2);

		if (str_eq(ld->conf->certs[i].name, v.text))
			return;
		if (d < best) {
			best = d;
			near = &ld->conf->certs[i];
		}
	}
	buf_init(&b, help, sizeof(help));
	if (near)
		buf_fmt(&b, "did you mean '%.*s'?", STR(near->name));
	else
		buf_lit(&b, "add a section: cert \"NAME\" { chain = ... key = ... }");
	refuse(&v, v.text, buf_z(&b), "there is no such cert");
}

static void need_keys(struct load *ld, struct given_section *gs)
{
	unsigned n;
	const struct conf_key *k = conf_keys(&n);

	for (unsigned i = 0; i < n; i++) {
		char help[200];
		struct buf b;

		if (strcmp(k[i].section, gs->section->name) || k[i].def || given(ld, gs, &k[i]))
			continue;
		gs->bad = true;
		buf_init(&b, help, sizeof(help));
		buf_fmt(&b, "add: %s = %s", k[i].name, k[i].example);
		issue_tok(ld->is, CONF_ERROR, gs->title ? gs->title : gs->tok, buf_z(&b), "'%s' is missing", k[i].name);
	}
}

static void check_title(struct load *ld, struct given_section *gs)
{
	if (gs->title && !name_ok(gs->name)) {
		gs->bad = true;
		if (gs->title->bad)
			return;
		issue_tok(ld->is, CONF_ERROR, gs->title, "letters, digits, '.', '_' and '-', at most 31",
		    "not usable as %s", gs->section->title);
	}
}

static int convert_realms(struct load *ld)
{
	struct conf_realm *r = arena_zalloc(ld->arena, CONF_REALMS_MAX * sizeof(*r));
	unsigned n = 0;
	struct val v;
	int err = r ? 0 : -ENOMEM;

	for (size_t s = 0; s < ld->n_sections && err == 0; s++) {
		struct given_section *gs = &ld->sections[s];

		if (strcmp(gs->section->name, "realm"))
			continue;
		if (n == CONF_REALMS_MAX) {
			issue_tok(ld->is, CONF_ERROR, gs->tok, "take some out", "more than %d realms", CONF_REALMS_MAX);
			break;
		}
		check_title(ld, gs);
		need_keys(ld, gs);
		r[n].name = gs->name;
		r[n].line = gs->tok->line;
		if (value_at(ld, gs, key_of("realm", "dscp"), 0, &v))
			get_dscp(&v, &r[n].dscp);
		if (value_at(ld, gs, key_of("realm", "sip-dscp"), 0, &v))
			get_dscp(&v, &r[n].sip_dscp);
		if (value_at(ld, gs, key_of("realm", "strangers"), 0, &v))
			get_enum(&v, &r[n].strangers);
		realm_media(ld, gs, &r[n]);
		if (value_at(ld, gs, key_of("realm", "client-cert"), 0, &v))
			get_enum(&v, &r[n].client_cert);
		if (value_at(ld, gs, key_of("realm", "public"), 0, &v))
			get_enum(&v, &r[n].public_);
		err = realm_listen(ld, gs, &r[n]);
		if (err == 0)
			err = realm_domains(ld, gs, &r[n]);
		realm_cert(ld, gs, &r[n]);
		n++;
	}
	ld->conf->realms = r;
	ld->conf->n_realms = n;
	if (err == 0 && n == 0 && !ld->is->errors)
		issue_add(ld->is, CONF_ERROR, 0, 0, 0, "add: realm \"lan\" { listen = ... media = ... }, see postern config "
						      "default",
		    "there is no realm: nothing to listen on");
	return err;
}

static int convert_certs(struct load *ld)
{
	struct conf_cert *c = arena_zalloc(ld->arena, CONF_CERTS_MAX * sizeof(*c));
	unsigned n = 0;
	struct val v;

	if (!c)
		return -ENOMEM;
	for (size_t s = 0; s < ld->n_sections; s++) {
		struct given_section *gs = &ld->sections[s];

		if (strcmp(gs->section->name, "cert"))
			continue;
		if (n == CONF_CERTS_MAX) {
			issue_tok(ld->is, CONF_ERROR, gs->tok, "take some out", "more than %d certs", CONF_CERTS_MAX);
			break;
		}
		check_title(ld, gs);
		need_keys(ld, gs);
		c[n] = (struct conf_cert){.name = gs->name, .chain = "", .key = "", .line = gs->tok->line};
		if (value_at(ld, gs, key_of("cert", "chain"), 0, &v) && path_ok(&v, 3000))
			c[n].chain = v.text.p;
		if (value_at(ld, gs, key_of("cert", "key"), 0, &v) && path_ok(&v, 3000))
			c[n].key = v.text.p;
		n++;
	}
	ld->conf->certs = c;
	ld->conf->n_certs = n;
	return 0;
}

static struct given_section *section_given(struct load *ld, const char *name)
{
	for (size_t s = 0; s < ld->n_sections; s++)
		if (!strcmp(ld->sections[s].section->name, name))
			return &ld->sections[s];
	return NULL;
}

static void convert_box(struct load *ld, struct conf *c)
{
	struct given_section *gs = section_given(ld, "box");
	struct val v;

	c->box = S("postern");
	c->state_dir = c->control = "";
	if (gs) {
		check_title(ld, gs);
		c->box = gs->name;
	}
	if (value_at(ld, gs, key_of("box", "state-dir"), 0, &v) && path_ok(&v, 3000))
		c->state_dir = v.text.p;
	if (value_at(ld, gs, key_of("box", "control"), 0, &v) && path_ok(&v, 100)) /* sun_path is short */
		c->control = v.text.p;
}

static int convert_paths(struct load *ld, const char *name, const char *const **ret, unsigned *ret_n)
{
	const char **list = arena_zalloc(ld->arena, CONF_TLS_FILES_MAX * sizeof(*list));
	struct val v;

	if (!list)
		return -ENOMEM;
	*ret = list;
	for (unsigned i = 0; value_at(ld, section_given(ld, "tls"), key_of("tls", name), i, &v); i++) {
		if (*ret_n == CONF_TLS_FILES_MAX) {
			too_many(&v, "more than 64 files");
			break;
		}
		if (path_ok(&v, 3000))
			list[(*ret_n)++] = v.text.p;
	}
	return 0;
}

static int convert_tls(struct load *ld, struct conf *c)
{
	struct val v;

	if (value_at(ld, section_given(ld, "tls"), key_of("tls", "ocsp-stapling"), 0, &v))
		get_enum(&v, &c->tls.ocsp_stapling);
	c->tls.trust_given = given(ld, section_given(ld, "tls"), key_of("tls", "trust")) != NULL;
	return convert_paths(ld, "trust", &c->tls.trust, &c->tls.n_trust) < 0 ||
	               convert_paths(ld, "crl", &c->tls.crl, &c->tls.n_crl) < 0
	           ? -ENOMEM
	           : 0;
}

static void convert_log(struct load *ld, struct conf *c)
{
	struct given_section *gs = section_given(ld, "log");
	uint8_t level = LOG_INFO;
	struct val v;

	c->log.path = "";
	if (value_at(ld, gs, key_of("log", "to"), 0, &v))
		get_log_to(&v, c);
	if (value_at(ld, gs, key_of("log", "level"), 0, &v))
		get_enum(&v, &level);
	memset(c->log.level, level, sizeof(c->log.level));
	for (unsigned i = 0; value_at(ld, gs, key_of("log", "areas"), i, &v); i++)
		get_area(&v, c);
}

static void convert_numbers(struct load *ld, struct conf *c)
{
	const struct {
		const char *section, *name;
		uint32_t *to;
	} fields[] = {
	    {"limits", "max-calls", &c->limits.max_calls},
	    {"limits", "tcp-connections", &c->limits.tcp_connections},
	    {"limits", "tcp-per-source", &c->limits.tcp_per_source},
	    {"limits", "tcp-first-message", &c->limits.tcp_first_message_ms},
	    {"limits", "cdr-window", &c->limits.cdr_window_ms},
	    {"tls", "warn-days", &c->tls.warn_days},
	    {"media", "workers", &c->media.workers},
	    {"media", "quarantine", &c->media.quarantine_ms},
	    {"media", "capture", &c->media.capture_mib},
	    {"media", "gather", &c->media.gather_us},
	};
	struct val v;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct conf_key *key = key_of(fields[i].section, fields[i].name);

		if (!value_at(ld, section_given(ld, fields[i].section), key, 0, &v))
			continue;
		if (key->type == CONF_T_TIME)
			get_time(&v, fields[i].to);
		else
			get_uint(&v, fields[i].to);
	}
}

static void convert_dns(struct load *ld, struct conf *c)
{
	struct given_section *gs = section_given(ld, "dns");
	struct addr a;
	struct val v;

	for (unsigned i = 0; value_at(ld, gs, key_of("dns", "servers"), i, &v); i++) {
		if (c->dns.n_servers == CONF_DNS_MAX) {
			too_many(&v, "more than 64 name servers");
			break;
		}
		if (!get_addr(&v, v.text, false, &a))
			continue;
		if (addr_port(&a) == 0)
			addr_set_port(&a, 53);
		c->dns.servers[c->dns.n_servers++] = a;
	}
}

/* -------------------------------------------------------------------- settings */

static bool is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!chr_digit(s.p[i]) && !(chr_lower(s.p[i]) >= 'a' && chr_lower(s.p[i]) <= 'z') &&
		    !strchr("._-/", s.p[i]))
			return false;
	return s.n > 0;
}

static void put_value(struct buf *b, struct str s, bool quote)
{
	if (!quote && is_word(s)) {
		buf_str(b, s);
		return;
	}
	buf_chr(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_chr(b, '\\');
		buf_chr(b, s.p[i]);
	}
	buf_chr(b, '"');
}

static int add_setting(struct load *ld, struct conf_setting *ret, struct given_section *gs, const struct conf_key *key)
{
	const struct given_key *gk = given(ld, gs, key);
	bool list = conf_key_is_list(key);
	size_t cap = 8;
	struct buf b;
	struct val v;
	char *p;

	for (unsigned i = 0; value_at(ld, gs, key, i, &v); i++)
		cap += v.text.n * 2 + 4;
	p = arena_alloc(ld->arena, cap);
	if (!p)
		return -ENOMEM;
	buf_init(&b, p, cap);
	if (list)
		buf_chr(&b, '{');
	for (unsigned i = 0; value_at(ld, gs, key, i, &v); i++) {
		if (list)
			buf_str(&b, i ? S(", ") : S(" "));
		put_value(&b, v.text, list);
	}
	if (list)
		buf_lit(&b, " }");
	else if (!b.n)
		buf_lit(&b, "\"\"");
	*ret = (struct conf_setting){.key = key,
	    .title = gs && gs->title ? gs->name.p : "",
	    .value = buf_z(&b),
	    .line = gk ? gk->tok->line : 0};
	return 0;
}

static int add_settings(struct load *ld)
{
	unsigned ns, nk, n = 0;
	const struct conf_section *secs = conf_sections(&ns);
	const struct conf_key *keys = conf_keys(&nk);
	struct conf_setting *list =
	    arena_alloc(ld->arena, (size_t)nk * (ld->conf->n_realms + ld->conf->n_certs + 1) * sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (unsigned s = 0; s < ns; s++) {
		unsigned before = n;

		for (size_t at = 0; at <= ld->n_sections; at++) {
			struct given_section *gs = at < ld->n_sections ? &ld->sections[at] : NULL;

			/* a section that is not in the file has its defaults */
			if (gs ? gs->section != &secs[s] : secs[s].multi || n > before)
				continue;
			for (unsigned k = 0; k < nk; k++) {
				if (strcmp(keys[k].section, secs[s].name))
					continue;
				if (add_setting(ld, &list[n], gs, &keys[k]) < 0)
					return -ENOMEM;
				n++;
			}
		}
	}
	ld->conf->settings = list;
	ld->conf->n_settings = n;
	return 0;
}

int convert_all(struct load *ld)
{
	int r;

	convert_box(ld, ld->conf);
	convert_log(ld, ld->conf);
	convert_numbers(ld, ld->conf);
	convert_dns(ld, ld->conf);
	r = convert_certs(ld);
	if (r == 0)
		r = convert_tls(ld, ld->conf);
	if (r == 0)
		r = convert_realms(ld);
	if (r == 0 && !ld->is->errors)
		r = add_settings(ld);
	return r;
}
