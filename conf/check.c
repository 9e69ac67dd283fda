/* check.c - values of the configuration held against each other.
 *
 * What each value alone cannot know: two listeners at one address, two media ranges that share ports, a listener
 * of a family in which the realm can relay no media, a private address where the public would see it. Everything is looked at in the order of the file, and the
 * later of two that do not fit gets the blame, naming the line of the earlier.
 */
#include "conf/load.h"
#include "sbc/base/reason.h"

#define AT(a) addr_text((a), (char[ADDR_TEXT_MAX]){0})

/* The section of the file that became r. */
static const struct given_section *section_of(const struct load *ld, const struct conf_realm *r)
{
	ptrdiff_t left = r - ld->conf->realms;

	for (size_t s = 0;; s++)
		if (!strcmp(ld->sections[s].section->name, "realm") && left-- == 0)
			return &ld->sections[s];
}

/* Place of the value of a key of r that names address a and stands on that line (0: on any). */
static const struct tok *place(const struct load *ld, const struct conf_realm *r, const char *key, unsigned line,
    const struct addr *a)
{
	size_t section = (size_t)(section_of(ld, r) - ld->sections);
	const struct tok *first = NULL;
	char ip[ADDR_TEXT_MAX];
	struct buf b;

	buf_init(&b, ip, sizeof(ip));
	addr_put_ip(&b, a);
	for (size_t k = 0; k < ld->n_keys; k++) {
		const struct given_key *gk = &ld->keys[k];

		if (gk->section != section || strcmp(gk->key->name, key))
			continue;
		for (unsigned i = 0; i < gk->n_values; i++) {
			const struct tok *t = &ld->sc.toks[ld->values[gk->first_value + i]];

			if (line && t->line != line)
				continue;
			if (!first)
				first = t;
			if (str_find(ld->texts[gk->first_value + i], buf_text(&b)) >= 0)
				return t;
		}
	}
	return first ? first : &ld->sc.toks[0];
}

static bool same_place(const struct addr *a, const struct addr *b)
{
	if (addr_is6(a) != addr_is6(b) || addr_port(a) != addr_port(b))
		return false;
	return addr_eq_ip(a, b) || addr_is_any(a) || addr_is_any(b);
}

/* Listeners so far: realms before r, and of r those before n. */
static void check_listener(struct load *ld, const struct conf_realm *r, unsigned n)
{
	const struct conf_listen *l = &r->listen[n];
	const struct conf *c = ld->conf;

	for (const struct conf_realm *o = c->realms; o <= r; o++)
		for (unsigned i = 0; i < (o == r ? n : o->n_listen); i++) {
			const struct conf_listen *other = &o->listen[i];
			const struct tok *t;

			/* udp and tcp go together; tls is another kind of tcp, and udp brings tcp with it */
			bool mixed = l->proto != other->proto && l->proto != CONF_TLS && other->proto != CONF_TLS;

			if (!same_place(&l->bind, &other->bind) || (o == r && mixed))
				continue;
			t = place(ld, r, "listen", l->line, &l->bind);
			if (o == r)
				issue_tok(ld->is, CONF_ERROR, t, "take one of them out",
				    "%s is listened on twice, see line %u", AT(&l->bind), other->line);
			else
				issue_tok(ld->is, CONF_ERROR, t,
				    "a realm is recognised by its address: give each its own address or port",
				    "%s already belongs to realm '%.*s', line %u", AT(&l->bind), STR(o->name),
				    other->line);
			return;
		}
}

static bool is_inner(const struct addr *a)
{
	return addr_is_private(a) || addr_is_loopback(a);
}

static bool shows_public(const struct addr *a, bool six)
{
	return !addr_none(a) && addr_is6(a) == six && !addr_is_any(a) && !is_inner(a);
}

/* Others than our own network see what the realm says in this family. */
static bool seen_by_others(const struct conf_realm *r, bool six)
{
	if (r->public_ != CONF_PUBLIC_AUTO)
		return r->public_ == CONF_PUBLIC_YES;
	for (unsigned i = 0; i < r->n_listen; i++)
		if (shows_public(&r->listen[i].bind, six) || shows_public(&r->listen[i].advertise, six))
			return true;
	return shows_public(six ? &r->media6.advertise : &r->media4.advertise, six);
}

/* key says where we listen, said_by what others are told. */
static void refuse_private(struct load *ld, const struct conf_realm *r, const char *key, const char *said_by,
    unsigned line, const struct addr *bind, const struct addr *said)
{
	char code[REASON_CODE_MAX], help[160], ip[ADDR_TEXT_MAX];
	bool configured = !addr_eq_ip(bind, said);
	struct buf b, w;

	if (addr_none(said) || !is_inner(said) || !seen_by_others(r, addr_is6(said)))
		return;
	buf_init(&b, help, sizeof(help));
	if (configured)
		buf_lit(&b, "write the address that others see, or say public = no");
	else
		buf_fmt(&b, "add %s with the address that others see, or say public = no", said_by);
	buf_init(&w, ip, sizeof(ip));
	addr_put_ip(&w, said);
	issue_tok(ld->is, CONF_ERROR, place(ld, r, configured ? said_by : key, configured ? 0 : line, configured ? said : bind),
	    buf_z(&b), "private address %s would be shown on public realm '%.*s' (%s)", buf_z(&w), STR(r->name),
	    reason_code(REASON_PRIVATE_ADDRESS, code));
}

static void check_private(struct load *ld, const struct conf_realm *r)
{
	for (unsigned i = 0; i < r->n_listen; i++)
		refuse_private(ld, r, "listen", "advertise", r->listen[i].line, &r->listen[i].bind, &r->listen[i].advertise);
	refuse_private(ld, r, "media", "media-advertise", r->media4.line, &r->media4.bind, &r->media4.advertise);
	refuse_private(ld, r, "media", "media-advertise", r->media6.line, &r->media6.bind, &r->media6.advertise);
}

/* A TLS listener that trusts nobody takes no certificate for good: meant with client-cert = none only. */
static void check_trust(struct load *ld, const struct conf_realm *r)
{
	for (unsigned i = 0; i < r->n_listen; i++) {
		const struct conf_listen *l = &r->listen[i];

		if (l->proto != CONF_TLS || ld->conf->tls.n_trust || !ld->conf->tls.trust_given)
			continue;
		issue_tok(ld->is, CONF_WARNING, place(ld, r, "listen", l->line, &l->bind),
		    "name roots, or leave trust out: then the system's are trusted",
		    "tls listener, but no root is trusted: no certificate of a peer can be checked");
		return;
	}
}

static void check_family(struct load *ld, const struct conf_realm *r, const struct conf_listen *l)
{
	bool six = addr_is6(&l->bind);
	const struct conf_media *m = six ? &r->media6 : &r->media4;

	if (addr_is_any(&l->bind) && addr_is_any(&l->advertise))
		issue_tok(ld->is, CONF_ERROR, place(ld, r, "listen", l->line, &l->bind),
		    "name the address, or add 'advertise' with the one that others see",
		    "Via and Contact cannot say %s", AT(&l->bind));
	if (addr_none(&m->bind))
		issue_tok(ld->is, CONF_ERROR, place(ld, r, "listen", l->line, &l->bind),
		    six ? "add to media: \"2001:db8::1 FIRST-LAST\"" : "add to media: \"192.0.2.1 FIRST-LAST\"",
		    "realm '%.*s' listens on IPv%d but has no IPv%d media address", STR(r->name), six ? 6 : 4,
		    six ? 6 : 4);
	else if (addr_eq_ip(&m->bind, &l->bind) && !addr_eq_ip(&l->bind, &l->advertise) &&
	    addr_eq_ip(&m->bind, &m->advertise) && !seen_by_others(r, six))
		issue_tok(ld->is, CONF_WARNING, place(ld, r, "media", m->line, &m->bind),
		    "add media-advertise, or the far end sends audio to this address",
		    "signalling advertises another address than media");
}

static bool overlap(uint16_t a1, uint16_t a2, uint16_t b1, uint16_t b2)
{
	return a1 <= b2 && b1 <= a2;
}

static void check_media(struct load *ld, const struct conf_realm *r, const struct conf_media *m)
{
	const struct conf *c = ld->conf;
	bool six = addr_is6(&m->bind);

	for (const struct conf_realm *o = c->realms; o < r; o++) {
		const struct conf_media *om = six ? &o->media6 : &o->media4;

		if (addr_none(&om->bind) || !addr_eq_ip(&om->bind, &m->bind) ||
		    !overlap(r->port_min, r->port_max, o->port_min, o->port_max))
			continue;
		issue_tok(ld->is, CONF_ERROR, place(ld, r, "media", m->line, &m->bind),
		    "give each realm its own ports or address",
		    "ports %u-%u overlap those of realm '%.*s' (%u-%u, line %u)", r->port_min, r->port_max,
		    STR(o->name), o->port_min, o->port_max, om->line);
		return;
	}
	for (const struct conf_realm *o = c->realms; o < c->realms + c->n_realms; o++)
		for (unsigned i = 0; i < o->n_listen; i++) {
			const struct conf_listen *l = &o->listen[i];
			uint16_t p = addr_port(&l->bind);

			if (addr_is6(&l->bind) != six || p < r->port_min || p > r->port_max ||
			    (!addr_eq_ip(&l->bind, &m->bind) && !addr_is_any(&l->bind)))
				continue;
			issue_tok(ld->is, CONF_ERROR, place(ld, r, "media", m->line, &m->bind),
			    "move the range", "ports %u-%u hold port %u, listened on in line %u", r->port_min,
			    r->port_max, p, l->line);
			return;
		}
}

void check_all(struct load *ld)
{
	const struct conf *c = ld->conf;

	for (const struct conf_realm *r = c->realms; r < c->realms + c->n_realms; r++) {
		bool seen4 = false, seen6 = false;

		for (unsigned i = 0; i < r->n_listen; i++)
			check_listener(ld, r, i);
		if (!addr_none(&r->media4.bind))
			check_media(ld, r, &r->media4);
		if (!addr_none(&r->media6.bind))
			check_media(ld, r, &r->media6);
		if (section_of(ld, r)->bad)
			continue;
		for (unsigned i = 0; i < r->n_listen; i++) {
			bool *seen = addr_is6(&r->listen[i].bind) ? &seen6 : &seen4;

			if (!*seen)
				check_family(ld, r, &r->listen[i]);
			*seen = true;
		}
		check_private(ld, r);
		check_trust(ld, r);
	}
}
