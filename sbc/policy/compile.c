/* compile.c - rows and realms into a snapshot.
 *
 * Goes through everything even after an error, so that one run names all that is wrong; only then decides. Order:
 * realms, trunks (settings through the table of keys, targets, sources), sources of all trunks against each other,
 * numbers, routes, hosts. The database is not trusted to be well-formed: an older program or a hand may have written
 * it.
 *
 * Addresses that came from the DNS never make an error, since nobody could mend one in the database (sources.c).
 */
#include "sbc/policy/internal.h"

#include <errno.h>
#include <stdlib.h>

struct build {
	const struct policy_input *in;
	struct policy *p;
	struct policy_errors *errs;
	bool no_memory;
	struct source_list sources; /* own */
};

/* ---------------------------------------------------------------- errors */

static void bad(struct build *b, const char *kind, struct str name, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

static void bad(struct build *b, const char *kind, struct str name, const char *hint, const char *fmt, ...)
{
	struct policy_error *e;
	struct buf w;
	va_list ap;

	if (b->errs->n++ >= POLICY_ERRORS_MAX)
		return;
	e = &b->errs->e[b->errs->n - 1];
	buf_init(&w, e->object, sizeof(e->object) - 1);
	buf_fmt(&w, "%s %.*s", kind, STR(str_head(name, 32)));
	e->object[w.n] = '\0';
	buf_init(&w, e->text, sizeof(e->text) - 1);
	va_start(ap, fmt);
	buf_vfmt(&w, fmt, ap);
	va_end(ap);
	e->text[w.n] = '\0';
	buf_init(&w, e->hint, sizeof(e->hint) - 1);
	buf_str(&w, str_z(hint ? hint : ""));
	e->hint[w.n] = '\0';
}

static struct str keep(struct build *b, struct str s)
{
	struct str c = s.n ? str_dup(b->p->core->arena, s) : STR_NONE;

	if (s.n && !c.p)
		b->no_memory = true;
	return c;
}

/* A list as media.h wants it: with blanks between. */
static struct str keep_words(struct build *b, struct str list)
{
	struct str rest = list, one;
	char *text = arena_alloc(b->p->core->arena, list.n + 1);
	struct buf w;

	if (!text) {
		b->no_memory = true;
		return STR_NONE;
	}
	buf_init(&w, text, list.n + 1);
	while (trunk_list_next(&rest, &one)) {
		if (w.n)
			buf_chr(&w, ' ');
		buf_str(&w, one);
	}
	return buf_text(&w);
}

/* Names of hosts in lower case, without a final dot. */
static void keep_hosts(struct build *b, struct str list, const struct str **ret, unsigned *ret_n)
{
	struct str rest = list, one, *names;
	unsigned n = 0;

	while (trunk_list_next(&rest, &one))
		n++;
	*ret = names = arena_zalloc(b->p->core->arena, (n + 1) * sizeof(*names));
	if (!names) {
		b->no_memory = true;
		return;
	}
	for (rest = list, n = 0; trunk_list_next(&rest, &one); n++) {
		char *p;

		names[n] = keep(b, pol_host_trim(one));
		p = (char *)(uintptr_t)names[n].p; /* the copy is ours */
		for (size_t i = 0; p && i < names[n].n; i++)
			p[i] = chr_lower(p[i]);
	}
	*ret_n = n;
}

/* Elements as they are. */
static const struct str *keep_list(struct build *b, struct str list, unsigned *ret_n)
{
	struct str rest = list, one, *names;
	unsigned n = 0;

	while (trunk_list_next(&rest, &one))
		n++;
	names = arena_zalloc(b->p->core->arena, (n + 1) * sizeof(*names));
	if (!names) {
		b->no_memory = true;
		return NULL;
	}
	for (rest = list, n = 0; trunk_list_next(&rest, &one); n++)
		names[n] = keep(b, one);
	*ret_n = n;
	return names;
}

static void *array(struct build *b, size_t n, size_t size)
{
	void *a = pol_array(b->p, n, size);

	if (!a)
		b->no_memory = true;
	return a;
}

/* ---------------------------------------------------------------- realms */

static void build_realms(struct build *b)
{
	struct policy *p = b->p;

	p->realms = array(b, b->in->n_realms, sizeof(*p->realms));
	if (!p->realms)
		return;
	p->n_realms = b->in->n_realms;
	for (unsigned i = 0; i < p->n_realms; i++) {
		const struct pol_realm *in = &b->in->realms[i];
		struct str *domains = array(b, in->n_domains, sizeof(*domains));

		p->realms[i] = (struct pol_realm){
		    .name = keep(b, in->name),
		    .strangers = in->strangers,
		    .not_public = in->not_public,
		    .domains = domains};
		for (unsigned k = 0; domains && k < in->n_domains; k++)
			domains[k] = keep(b, in->domains[k]);
		p->realms[i].n_domains = domains ? in->n_domains : 0;
	}
}

static void find_realm(struct build *b, const struct db_trunk *row, struct pol_trunk *t)
{
	const struct pol_realm *near = NULL;
	unsigned best = 3;
	char hint[160];
	struct buf w;

	for (unsigned i = 0; i < b->in->n_realms; i++) {
		unsigned d;

		if (str_eq(b->in->realms[i].name, row->realm)) {
			t->realm = (uint8_t)i;
			return;
		}
		d = str_distance(b->in->realms[i].name, row->realm, 2);
		if (d < best && d < row->realm.n) {
			best = d;
			near = &b->in->realms[i];
		}
	}
	buf_init(&w, hint, sizeof(hint) - 1);
	if (near) {
		buf_fmt(&w, "did you mean '%.*s'?", STR(near->name));
	} else {
		buf_lit(&w, "realms of postern.conf:");
		for (unsigned i = 0; i < b->in->n_realms && w.n < 100; i++)
			buf_fmt(&w, " %.*s", STR(str_head(b->in->realms[i].name, 31)));
	}
	hint[w.n] = '\0';
	bad(b, "trunk", row->name, hint, "realm '%.*s' does not exist", STR(str_head(row->realm, 31)));
}

/* ---------------------------------------------------------------- settings */

_Static_assert(offsetof(struct pol_trunk, reg.n_watchers) ==
                   offsetof(struct pol_trunk, reg.watchers) + sizeof(const struct str *),
    "so is a list of words");
_Static_assert(offsetof(struct pol_trunk, reg.n_numbers) ==
                   offsetof(struct pol_trunk, reg.numbers) + sizeof(const struct str *),
    "so is a list of words");
_Static_assert(offsetof(struct pol_trunk, n_down_words) ==
                   offsetof(struct pol_trunk, down_words) + sizeof(const struct str *),
    "so is a list of words");
_Static_assert(offsetof(struct pol_trunk, n_events) == offsetof(struct pol_trunk, events) + sizeof(const struct str *),
    "so is a list of words");
_Static_assert(sizeof(enum pol_numfmt) == sizeof(uint32_t), "an enum is stored as a uint32_t");
_Static_assert(offsetof(struct pol_trunk, tls.n_names) ==
                   offsetof(struct pol_trunk, tls.names) + sizeof(const struct str *),
    "a list of hosts is a pointer and a count");

static void store(struct build *b, struct pol_trunk *t, const struct trunk_key *k, const struct key_value *v)
{
	char *field = (char *)t + k->offset;
	bool on = v->n != 0;
	uint32_t u32 = (uint32_t)v->n;
	uint16_t u16 = (uint16_t)v->n, *codes;
	const struct str *hosts;
	unsigned n_hosts;
	struct str s;

	switch (k->type) {
	case TKEY_BOOL:
		memcpy(field, &on, sizeof(on));
		break;
	case TKEY_ENUM: /* an enum of C or a uint32_t: four bytes either way */
	case TKEY_U32:
	case TKEY_MS32:
	case TKEY_S32:
		memcpy(field, &u32, sizeof(u32));
		break;
	case TKEY_U16:
	case TKEY_MS16:
		memcpy(field, &u16, sizeof(u16));
		break;
	case TKEY_HOST:
	case TKEY_NAME:
	case TKEY_USER:
	case TKEY_BASE64:
	case TKEY_DIGITS:
		s = keep(b, v->s);
		memcpy(field, &s, sizeof(s));
		break;
	case TKEY_HOSTS:
		n_hosts = 0;
		keep_hosts(b, v->s, &hosts, &n_hosts);
		memcpy(field, &hosts, sizeof(hosts));
		memcpy(field + sizeof(hosts), &n_hosts, sizeof(n_hosts));
		break;
	case TKEY_WORDS:
	case TKEY_DOWNS:
		n_hosts = 0;
		hosts = keep_list(b, v->s, &n_hosts);
		memcpy(field, &hosts, sizeof(hosts));
		memcpy(field + sizeof(hosts), &n_hosts, sizeof(n_hosts));
		break;
	case TKEY_CODECS:
	case TKEY_SUITES:
		s = keep_words(b, v->s);
		memcpy(field, &s, sizeof(s));
		break;
	case TKEY_CODES:
		codes = arena_zalloc(b->p->core->arena, (v->n_codes + 1) * sizeof(*codes));
		if (!codes) {
			b->no_memory = true;
			break;
		}
		memcpy(codes, v->codes, v->n_codes * sizeof(*codes));
		memcpy(field, &codes, sizeof(codes));
		break;
	case TKEY_ROLE:
	case TKEY_REALM:
	case TKEY_TARGETS:
	case TKEY_ADDRESSES:
	case TKEY_HEADERS_PASS:
	case TKEY_HEADERS_DROP:
		break; /* have no field of their own */
	}
}

static bool known_cert(const struct build *b, struct str name)
{
	for (unsigned i = 0; i < b->in->n_certs; i++)
		if (str_eq(b->in->certs[i], name))
			return true;
	return false;
}

static bool by_certificate(const struct pol_trunk *t)
{
	return t->source.identify == POL_BY_TLS_NAME || t->source.identify == POL_BY_BOTH;
}

/* Settings that depend on each other: what "auto" means, and what cannot be at once. */
static void settle(struct build *b, const struct db_trunk *row, struct pol_trunk *t)
{
	if (t->probe.interval_s == KEY_FITTING)
		t->probe.interval_s = t->role == POL_ITSP ? 60 : 0;
	if (t->sip.keepalive_s == KEY_FITTING)
		t->sip.keepalive_s = 110;
	if (t->sip.udp_only && (t->transport == POL_TRANSPORT_TCP || t->transport == POL_TRANSPORT_TLS))
		bad(b, "trunk", row->name, "leave one of them out", "udp-only=yes contradicts transport=%s",
		    t->transport == POL_TRANSPORT_TCP ? "tcp" : "tls");
	if (t->sip.scheme_sips && (t->sip.udp_only || t->transport == POL_TRANSPORT_UDP || t->transport == POL_TRANSPORT_TCP))
		bad(b, "trunk", row->name, "postern trunk set NAME transport=tls", "scheme=sips needs TLS, but %s",
		    t->sip.udp_only                     ? "udp-only=yes"
		    : t->transport == POL_TRANSPORT_UDP ? "transport=udp"
						        : "transport=tcp");
	if (by_certificate(t) &&
	    (t->source.transport == POL_SOURCE_UDP || t->source.transport == POL_SOURCE_TCP))
		bad(b, "trunk", row->name, "postern trunk set NAME source-transport=any",
		    "it is recognised by its certificate, but source-transport=%s carries none",
		    t->source.transport == POL_SOURCE_UDP ? "udp" : "tcp");
	if (by_certificate(t) && t->tls.verify == NET_VERIFY_NONE)
		bad(b, "trunk", row->name, "tls-verify=strict, relaxed or chain",
		    "it is recognised by its certificate, but tls-verify=none trusts none");
	if (t->role == POL_ITSP && t->source.identify == POL_BY_CREDENTIALS)
		bad(b, "trunk", row->name, "identify=address or tls-name",
		    "identify=credentials is for a pbx: a provider does not prove itself by a password");
	if (t->role == POL_ITSP && t->reg.challenge != POL_CHALLENGE_OFF)
		bad(b, "trunk", row->name, "postern trunk set NAME challenge=off",
		    "challenge is for a pbx: a provider is not asked for a password");
	if (t->source.identify == POL_BY_CREDENTIALS && t->reg.challenge == POL_CHALLENGE_OFF)
		t->reg.challenge = POL_CHALLENGE_NEW;
	if (t->tls.cert.n && !known_cert(b, t->tls.cert)) {
		char hint[160];
		struct buf w;

		buf_init(&w, hint, sizeof(hint) - 1);
		buf_str(&w, b->in->n_certs ? S("certs of postern.conf:")
					   : S("add cert \"NAME\" { chain = ... key = ... } to postern.conf"));
		for (unsigned i = 0; i < b->in->n_certs && w.n < 100; i++)
			buf_fmt(&w, " %.*s", STR(str_head(b->in->certs[i], 31)));
		hint[w.n] = '\0';
		bad(b, "trunk", row->name, hint, "cert '%.*s' does not exist", STR(t->tls.cert));
	}
}

static void build_settings(struct build *b, const struct db_trunk *row, struct pol_trunk *t)
{
	struct key_value v;
	struct db_err err;

	for (unsigned i = 0; i < trunk_keys_n; i++) {
		const struct trunk_key *k = &trunk_keys[i];

		if (k->def && k->offset && trunk_key_read(k, str_z(k->def), &v, NULL))
			store(b, t, k, &v);
	}
	for (unsigned i = 0; i < row->n_settings; i++) {
		const struct db_setting *s = &row->settings[i];
		const char *near;
		const struct trunk_key *k = trunk_key_find(s->key, &near);
		char hint[160];
		struct buf w;

		if (!k || !k->offset) {
			buf_init(&w, hint, sizeof(hint) - 1);
			if (trunk_key_renamed(s->key))
				buf_fmt(&w, "it is called '%s' now", trunk_key_renamed(s->key));
			else if (near)
				buf_fmt(&w, "did you mean '%s'?", near);
			hint[w.n] = '\0';
			bad(b, "trunk", row->name, hint, "there is no setting '%.*s'", STR(str_head(s->key, 40)));
		} else if (!trunk_key_read(k, s->value, &v, &err)) {
			bad(b, "trunk", row->name, err.hint, "%s", err.text);
		} else {
			store(b, t, k, &v);
		}
	}
	if (t->num.format == POL_NUM_NATIONAL && !t->num.country.n)
		bad(b, "trunk", row->name, "postern trunk set NAME country=49",
		    "number-format=national needs the country code");
	settle(b, row, t);
}

/* A hash as it must be, or an error. */
static struct str keep_hash(struct build *b, const struct db_trunk *row, struct str hash, size_t n)
{
	if (hash.n && hash.n != n)
		bad(b, "trunk", row->name, "set its password again", "a hash of its credential has %zu characters", hash.n);
	return keep(b, hash);
}

static void build_registration(struct build *b, const struct db_trunk *row, struct pol_trunk *t)
{
	const struct db_credential *c = &row->credential;

	t->reg.auth_user = keep(b, c->user);
	t->reg.realm = keep(b, c->realm);
	t->reg.ha1[0] = keep_hash(b, row, c->md5, 32);
	t->reg.ha1[1] = keep_hash(b, row, c->sha256, 64);
	t->reg.ha1[2] = keep_hash(b, row, c->sha512_256, 64);
	if (!t->reg.user.n)
		t->reg.user = t->reg.auth_user;
	if (t->reg.max_s < t->reg.min_s)
		bad(b, "trunk", row->name, "postern trunk set NAME expires-max=7200s", "expires-max is shorter than expires-min");
}

static void build_registrants(struct build *b)
{
	const struct pol_trunk *one, *two;
	int e = pol_registrants_build(b->p, &one, &two);

	if (e == -ENOMEM)
		b->no_memory = true;
	else if (e < 0)
		bad(b, "trunk", two->name, "give one of them another aor or user name",
		    "it would be known by the same name as trunk %.*s in realm %.*s", STR(one->name),
		    STR(b->p->realms[two->realm].name));
}

/* Who may watch is named, and names must be somebody's. */
static void check_reg_numbers(struct build *b)
{
	for (unsigned i = 0; i < b->p->n_trunks; i++) {
		const struct pol_trunk *t = &b->p->trunks[i];

		if (t->reg.auth == POL_AUTH_NUMBERS && t->role != POL_ITSP)
			bad(b, "trunk", t->name, "auth=register, or auth=gin", "auth=numbers is for a provider we register at");
		else if (t->reg.auth == POL_AUTH_NUMBERS && !t->reg.n_numbers)
			bad(b, "trunk", t->name, "reg-numbers=TRUNK", "auth=numbers needs to know whose numbers");
		for (unsigned k = 0; k < t->reg.n_numbers; k++) {
			const struct pol_trunk *o = policy_trunk_named(b->p, t->reg.numbers[k]);

			if (!o || o->role != POL_PBX)
				bad(b, "trunk", t->name, "postern trunk list; postern trunk set NAME reg-numbers-=TRUNK",
				    "reg-numbers names trunk '%.*s', which %s", STR(t->reg.numbers[k]), o ? "is no PBX" : "does not exist");
		}
	}
}

static void check_watchers(struct build *b)
{
	for (unsigned i = 0; i < b->p->n_trunks; i++) {
		const struct pol_trunk *t = &b->p->trunks[i];

		for (unsigned k = 0; k < t->reg.n_watchers; k++)
			if (!policy_trunk_named(b->p, t->reg.watchers[k]))
				bad(b, "trunk", t->name, "postern trunk list; postern trunk set NAME reg-watchers-=TRUNK",
				    "reg-watchers names trunk '%.*s', which does not exist", STR(t->reg.watchers[k]));
	}
}

static void build_headers(struct build *b, const struct db_trunk *row, struct pol_trunk *t)
{
	struct pol_hdr_rule *rules = array(b, row->n_headers, sizeof(*rules));
	struct db_err err;

	if (!rules)
		return;
	for (unsigned i = 0; i < row->n_headers; i++) {
		if (!trunk_header_check(row->headers[i].name, &err))
			bad(b, "trunk", row->name, err.hint, "%s", err.text);
		rules[i].name = keep(b, row->headers[i].name);
		rules[i].action = row->headers[i].pass ? POL_HDR_PASS : POL_HDR_DROP;
	}
	t->hdr_rules = rules;
	t->n_hdr_rules = row->n_headers;
}

/* ---------------------------------------------------------------- targets */

static uint8_t target_proto(
    struct build *b, const struct db_trunk *row, const struct pol_trunk *t, const struct db_target *in)
{
	static const uint8_t of_trunk[] = {LOCATE_ANY, NET_UDP, NET_TCP, NET_TLS};
	uint8_t proto = of_trunk[t->transport];

	if (str_ieq(in->transport, S("tls")))
		proto = NET_TLS;
	else if (str_ieq(in->transport, S("tcp")))
		proto = NET_TCP;
	else if (str_ieq(in->transport, S("udp")))
		proto = NET_UDP;
	else if (in->transport.n)
		bad(b, "trunk", row->name, "udp, tcp or tls", "target %.*s: transport '%.*s' is not valid",
		    STR(str_head(in->host, 80)), STR(str_head(in->transport, 20)));
	if (t->sip.udp_only && proto == LOCATE_ANY)
		proto = NET_UDP;
	if (t->sip.udp_only && proto != NET_UDP)
		bad(b, "trunk", row->name, "leave one of them out", "udp-only=yes contradicts target %.*s over %s",
		    STR(str_head(in->host, 80)), proto == NET_TCP ? "TCP" : "TLS");
	if (in->transport.n && t->sip.scheme_sips && proto != NET_TLS)
		bad(b, "trunk", row->name, "take /udp or /tcp off the target", "scheme=sips needs TLS, but target %.*s does not use it",
		    STR(str_head(in->host, 80)));
	return proto;
}

static void build_target(struct build *b, const struct db_trunk *row, const struct pol_trunk *t,
    const struct db_target *in, struct pol_target *o)
{
	o->host = keep(b, in->host);
	o->proto = target_proto(b, row, t, in);
	o->port = in->port;
	o->priority = in->priority;
	o->weight = in->weight;
	if (addr_parse_ip(in->host, 0, &o->addr) == 0) {
		if (o->proto == LOCATE_ANY)
			o->proto = t->sip.scheme_sips ? NET_TLS : NET_UDP;
		if (!o->port)
			o->port = o->proto == NET_TLS ? 5061 : 5060;
		addr_set_port(&o->addr, o->port);
	} else if (!trunk_host_is_name(in->host)) {
		bad(b, "trunk", row->name, "an IP address or a DNS name", "target '%.*s' is not valid",
		    STR(str_head(in->host, 80)));
	}
}

static const struct pol_target registered = {.proto = LOCATE_ANY, .registered = true};

static void build_targets(struct build *b, const struct db_trunk *row, struct pol_trunk *t)
{
	unsigned n = row->n_targets < POL_HOPS_MAX ? row->n_targets : POL_HOPS_MAX;
	struct pol_target *targets = array(b, n, sizeof(*targets));
	bool registers = t->role == POL_PBX && t->reg.auth != POL_AUTH_STATIC;

	if (!row->n_targets && !registers)
		bad(b, "trunk", row->name, "postern trunk set NAME target=192.0.2.10:5060", "it has no target");
	if (row->n_targets > POL_HOPS_MAX)
		bad(b, "trunk", row->name, NULL, "it has %u targets, %d are possible", row->n_targets, POL_HOPS_MAX);
	if (registers)
		t->registered = &registered;
	if (!targets)
		return;
	for (unsigned i = 0; i < n; i++) {
		struct pol_target one = {.port = 0};
		unsigned k = i;

		build_target(b, row, t, &row->targets[i], &one);
		/* by priority; those of one priority in the order given */
		for (; k > 0 && targets[k - 1].priority > one.priority; k--)
			targets[k] = targets[k - 1];
		targets[k] = one;
	}
	t->targets = targets;
	t->n_targets = n;
}

/* ---------------------------------------------------------------- sources */

static void check_addresses(struct build *b, const struct db_trunk *row)
{
	struct db_err err;

	for (unsigned i = 0; i < row->n_sources; i++)
		if (!trunk_address_check(row->sources[i].address, &err))
			bad(b, "trunk", row->name, err.hint, "%s", err.text);
}

static void check_names(struct build *b, const struct db_trunk *row, const struct pol_trunk *t)
{
	struct addr a;
	bool named = t->tls.n_names || t->domain.n;

	for (unsigned i = 0; i < row->n_targets; i++)
		named |= addr_parse_ip(row->targets[i].host, 0, &a) < 0;
	if (by_certificate(t) && !named)
		bad(b, "trunk", row->name, "postern trunk set NAME tls-names=sip.example.net",
		    "it is recognised by its certificate, but nothing says which name that has to carry");
}

static void collide(void *ctx, const struct pol_trunk *x, const struct pol_trunk *y, struct str what, bool certificate)
{
	struct build *b = ctx;
	struct str realm = b->p->realms[x->realm].name;

	if (certificate)
		bad(b, "trunk", y->name, "take the name out of tls-names, domain or target of one of them",
		    "a certificate that names %.*s in realm %.*s would belong to trunk %.*s as well", STR(str_head(what, 100)),
		    STR(realm), STR(x->name));
	else
		bad(b, "trunk", y->name,
		    "give one of them source-port or source-transport, or put them into different realms",
		    "requests from %.*s in realm %.*s would belong to trunk %.*s as well", STR(what), STR(realm), STR(x->name));
}

static void build_sources(struct build *b)
{
	if (pol_sources_build(b->p, &b->sources, collide, b) < 0 ||
	    pol_learn(b->p, b->in->resolved, b->in->n_resolved, b->in->now_us) < 0)
		b->no_memory = true;
}

/* ---------------------------------------------------------------- trunks */

static int by_name(const void *a, const void *b)
{
	const struct db_trunk *const *x = a, *const *y = b;
	size_t n = (*x)->name.n < (*y)->name.n ? (*x)->name.n : (*y)->name.n;

	for (size_t i = 0; i < n; i++) {
		unsigned char p = (unsigned char)chr_lower((*x)->name.p[i]), q = (unsigned char)chr_lower((*y)->name.p[i]);

		if (p != q)
			return p < q ? -1 : 1;
	}
	return (*x)->name.n < (*y)->name.n ? -1 : (*x)->name.n > (*y)->name.n;
}

static int by_id(const void *a, const void *b)
{
	const struct pol_trunk *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	struct hash_key key = {h, n};

	return hash_bytes(&key, p, n);
}

static uint64_t mix_str(uint64_t h, struct str s)
{
	return mix(h, s.p, s.n);
}

/* Of everything that makes the trunk what it is. */
static uint64_t print_of(const struct db_trunk *row, const struct pol_trunk *t)
{
	uint64_t h = mix(1, &row->admin, sizeof(row->admin));

	h = mix_str(mix_str(mix_str(h, row->name), row->role), row->realm);
	for (unsigned i = 0; i < row->n_settings; i++)
		h = mix_str(mix_str(h, row->settings[i].key), row->settings[i].value);
	h = mix_str(mix_str(mix_str(h, row->credential.user), row->credential.realm), row->credential.md5);
	h = mix_str(h, row->credential.sha512_256);
	for (unsigned i = 0; i < row->n_sources; i++)
		h = mix_str(h, row->sources[i].address);
	for (unsigned i = 0; i < row->n_headers; i++)
		h = mix(mix_str(h, row->headers[i].name), &row->headers[i].pass, 1);
	for (unsigned i = 0; i < t->n_targets; i++) {
		const struct pol_target *x = &t->targets[i];
		uint16_t fields[] = {x->port, x->proto, x->priority, x->weight, t->realm};

		h = mix(mix_str(h, x->host), fields, sizeof(fields));
		if (!addr_none(&x->addr))
			h = mix_str(h, addr_ip_bytes(&x->addr));
	}
	return h;
}

static void build_trunks(struct build *b)
{
	const struct db_rows *rows = b->in->rows;
	const struct db_trunk **order = malloc((rows->n_trunks + 1) * sizeof(*order));
	struct policy *p = b->p;

	p->trunks = array(b, rows->n_trunks, sizeof(*p->trunks));
	p->prints = array(b, rows->n_trunks, sizeof(*p->prints));
	p->by_id = array(b, rows->n_trunks, sizeof(*p->by_id));
	if (!order || !p->trunks || !p->prints || !p->by_id) {
		free(order);
		b->no_memory = true;
		return;
	}
	p->n_trunks = rows->n_trunks;
	for (unsigned i = 0; i < rows->n_trunks; i++)
		order[i] = &rows->trunks[i];
	qsort(order, rows->n_trunks, sizeof(*order), by_name);
	for (unsigned i = 0; i < rows->n_trunks; i++) {
		const struct db_trunk *row = order[i];
		struct pol_trunk *t = &p->trunks[i];

		p->by_id[i] = t;
		t->id = row->id;
		t->name = keep(b, row->name);
		t->admin = row->admin == DB_DISABLED   ? POL_DISABLED
			   : row->admin == DB_DRAINING ? POL_DRAINING
						       : POL_ENABLED;
		if (str_ieq(row->role, S("itsp")))
			t->role = POL_ITSP;
		else if (!str_ieq(row->role, S("pbx")))
			bad(b, "trunk", row->name, "pbx or itsp", "role '%.*s' is not valid", STR(str_head(row->role, 20)));
		find_realm(b, row, t);
		build_settings(b, row, t);
		build_registration(b, row, t);
		build_headers(b, row, t);
		build_targets(b, row, t);
		check_addresses(b, row);
		check_names(b, row, t);
		if (b->p->n_realms && pol_sources_collect(b->p, &b->sources, row, t) < 0)
			b->no_memory = true;
		p->prints[i] = print_of(row, t);
	}
	qsort(p->by_id, p->n_trunks, sizeof(*p->by_id), by_id);
	free(order);
}

static void bad_link(void *ctx, const struct pol_trunk *x, const char *what, struct str name, const char *why)
{
	bad(ctx, "trunk", x->name, "postern trunk list", "%s: trunk '%.*s' %s", what, STR(name), why);
}

/* ---------------------------------------------------------------- numbers */

static bool number_ok(const struct db_number *n)
{
	size_t len = strnlen(n->first, sizeof(n->first));
	uint64_t first, last;

	return len == strnlen(n->last, sizeof(n->last)) && pol_digits(str_n(n->first, len), &first) &&
	       pol_digits(str_n(n->last, len), &last) && first <= last;
}

static void build_numbers(struct build *b)
{
	const struct db_rows *rows = b->in->rows;
	unsigned before = b->errs->n;

	for (unsigned i = 0; i < rows->n_numbers; i++) {
		const struct db_number *n = &rows->numbers[i], *prev = i ? n - 1 : NULL;
		struct str name = str_n(n->first, strnlen(n->first, sizeof(n->first)));

		if (!number_ok(n)) {
			bad(b, "number", name, "postern db check", "the range ..%.*s is not one of E.164 numbers",
			    (int)sizeof(n->last), n->last);
			continue;
		}
		if (!policy_trunk(b->p, n->trunk_id))
			bad(b, "number", name, "postern db check", "it belongs to trunk %u, which does not exist", n->trunk_id);
		if (prev && number_ok(prev)) {
			size_t len = strlen(n->first), prev_len = strlen(prev->first);

			if (prev_len > len || (prev_len == len && strcmp(prev->last, n->first) >= 0))
				bad(b, "number", name, "postern db check", "it overlaps %s..%s, or is out of order", prev->first,
				    prev->last);
		}
	}
	if (b->errs->n == before && pol_numbers_build(b->p, rows) < 0)
		b->no_memory = true;
}

/* ---------------------------------------------------------------- routes */

static int by_via_priority(const void *a, const void *b)
{
	const struct via *x = a, *y = b;

	return x->priority < y->priority ? -1 : x->priority > y->priority;
}

static void build_vias(struct build *b, const struct db_route *row, struct route *r)
{
	struct via *vias = array(b, row->n_via, sizeof(*vias));
	unsigned n = 0;

	if (row->n_via > POL_HOPS_MAX)
		bad(b, "route", row->name, NULL, "it leads to %u trunks, %d are possible", row->n_via, POL_HOPS_MAX);
	for (unsigned i = 0; vias && i < row->n_via && i < POL_HOPS_MAX; i++) {
		const struct pol_trunk *t = policy_trunk(b->p, row->via[i].trunk_id);

		if (!t)
			bad(b, "route", row->name, "postern db check", "it leads to trunk %u, which does not exist",
			    row->via[i].trunk_id);
		for (unsigned k = 0; t && k < n; k++)
			if (vias[k].trunk == t)
				bad(b, "route", row->name, NULL, "it names trunk %.*s twice", STR(t->name));
		if (t)
			vias[n++] = (struct via){t, row->via[i].priority, row->via[i].weight};
	}
	/* insertion order among equals does not matter: weights shuffle them */
	if (vias && n)
		qsort(vias, n, sizeof(*vias), by_via_priority);
	r->vias = vias;
	r->n_vias = n;
}

static void build_routes(struct build *b)
{
	static const char pattern[] = "digits with '+' in front and '*' at the end: +49*, 0*, 112, *";
	const struct db_rows *rows = b->in->rows;
	struct policy *p = b->p;

	p->routes = array(b, rows->n_routes, sizeof(*p->routes));
	if (!p->routes)
		return;
	p->n_routes = rows->n_routes;
	for (unsigned i = 0; i < rows->n_routes; i++) {
		const struct db_route *row = &rows->routes[i];
		struct route *r = &p->routes[i];

		*r = (struct route){.name = keep(b, row->name), .from = keep(b, row->from), .to = keep(b, row->to),
		    .deny = row->deny, .hours = row->hours};
		if (policy_pattern_check(row->from) < 0)
			bad(b, "route", row->name, pattern, "calling pattern '%.*s' is not valid", STR(str_head(row->from, 40)));
		if (policy_pattern_check(row->to) < 0)
			bad(b, "route", row->name, pattern, "called pattern '%.*s' is not valid", STR(str_head(row->to, 40)));
		if (row->from_trunk && !(r->from_trunk = policy_trunk(p, row->from_trunk)))
			bad(b, "route", row->name, "postern db check", "it is for trunk %u, which does not exist",
			    row->from_trunk);
		if (row->deny == (row->n_via > 0))
			bad(b, "route", row->name, "postern route set NAME --via TRUNK, or --deny",
			    "it must either deny or name at least one trunk");
		if (row->hours.days > 127 || row->hours.from_min > 1439 || row->hours.to_min > 1440)
			bad(b, "route", row->name, "mon-fri 08:00-18:00", "its hours are not valid");
		build_vias(b, row, r);
	}
}

/* ---------------------------------------------------------------- hosts */

static void build_hosts(struct build *b)
{
	struct policy *p = b->p;
	unsigned n = p->n_trunks;

	for (unsigned i = 0; i < p->n_realms; i++)
		n += p->realms[i].n_domains;
	p->hosts = array(b, n, sizeof(*p->hosts));
	if (!p->hosts)
		return;
	for (unsigned i = 0; i < p->n_realms; i++)
		for (unsigned k = 0; k < p->realms[i].n_domains; k++)
			p->hosts[p->n_hosts++] = (struct host){(uint8_t)i, pol_host_trim(p->realms[i].domains[k])};
	for (unsigned i = 0; i < p->n_trunks; i++)
		if (p->trunks[i].domain.n)
			p->hosts[p->n_hosts++] = (struct host){p->trunks[i].realm, pol_host_trim(p->trunks[i].domain)};
	if (p->n_hosts)
		qsort(p->hosts, p->n_hosts, sizeof(*p->hosts), pol_host_cmp);
}

/* ---------------------------------------------------------------- all of it */

static struct policy *policy_new(void)
{
	struct policy *p = calloc(1, sizeof(*p));
	struct core *c = calloc(1, sizeof(*c));

	if (!p || !c) {
		free(p);
		free(c);
		return NULL;
	}
	atomic_init(&p->refs, 1);
	atomic_init(&c->refs, 1);
	p->core = c;
	p->learned.next_us = INT64_MAX;
	arena_pool_init(&c->pool, 16384, 0);
	c->arena = arena_new(&c->pool);
	if (!c->arena) {
		policy_unref(p);
		return NULL;
	}
	return p;
}

int policy_compile(const struct policy_input *in, struct policy **ret, struct policy_errors *errs)
{
	struct build b = {.in = in, .errs = errs};
	struct policy *p = policy_new();

	errs->n = 0;
	if (!p)
		return -ENOMEM;
	b.p = p;
	p->revision = in->rows->revision;
	p->hash_key = in->hash_key;
	if (!b.no_memory)
		build_realms(&b);
	if (!b.no_memory)
		build_trunks(&b);
	if (!b.no_memory)
		build_registrants(&b);
	if (!b.no_memory)
		pol_links_build(p, bad_link, &b);
	if (!b.no_memory && pol_downs_build(p, bad_link, &b) < 0)
		b.no_memory = true;
	if (!b.no_memory) {
		check_watchers(&b);
		check_reg_numbers(&b);
	}
	if (!b.no_memory)
		build_sources(&b);
	if (!b.no_memory)
		build_numbers(&b);
	if (!b.no_memory)
		build_routes(&b);
	if (!b.no_memory)
		build_hosts(&b);
	pol_source_list_fini(&b.sources);
	if (b.no_memory || errs->n) {
		policy_unref(p);
		return b.no_memory ? -ENOMEM : -EINVAL;
	}
	*ret = p;
	return 0;
}

void policy_names(const struct db_rows *rows, void (*fn)(void *ctx, struct str name, bool source), void *ctx)
{
	struct addr_net net;

	for (unsigned i = 0; i < rows->n_trunks; i++) {
		const struct db_trunk *t = &rows->trunks[i];

		for (unsigned k = 0; k < t->n_targets; k++)
			if (addr_net_parse(t->targets[k].host, &net) < 0 && trunk_host_is_name(t->targets[k].host))
				fn(ctx, t->targets[k].host, false);
		for (unsigned k = 0; k < t->n_sources; k++)
			if (addr_net_parse(t->sources[k].address, &net) < 0 && trunk_host_is_name(t->sources[k].address))
				fn(ctx, t->sources[k].address, true);
	}
}
