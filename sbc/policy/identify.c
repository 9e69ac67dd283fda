/* identify.c - which trunk does a source belong to (ACC-01, TLS-11).
 *
 * First what a verified certificate names: trunks that are recognised by it alone are in a hash keyed by realm and
 * name. Then where it comes from: exact addresses are in hashes keyed by realm and address, one of what was
 * configured and one of what the DNS says; networks in a list, longest first, because there are few. Among the entries
 * that fit, an address beats a network, a longer network a shorter one, then the entry with more restrictions: port,
 * then transport; configured beats resolved. That order is total: the compiler refuses two trunks with entries that
 * are equal in all of it. The best entry decides: when its trunk wants a certificate too and there is none, nobody
 * else gets the request.
 */
#include "sbc/policy/internal.h"

static bool fits(uint16_t port, uint32_t transport, const struct net_path *from)
{
	if (port && port != addr_port(&from->remote))
		return false;
	switch ((enum pol_source_transport)transport) {
	case POL_SOURCE_ANY:
		return true;
	case POL_SOURCE_UDP:
		return from->proto == NET_UDP;
	case POL_SOURCE_TCP:
		return from->proto == NET_TCP;
	case POL_SOURCE_TLS:
		return from->proto == NET_TLS;
	}
	return false;
}

static const struct source *best_exact(const struct htab *t, uint64_t hash, const struct net_path *from)
{
	const struct source *best = NULL;

	for (struct hnode *n = htab_first(t, hash); n; n = htab_next(n)) {
		const struct source *s = container_of(n, struct source, node);

		if (s->realm == from->realm && fits(s->port, s->transport, from) &&
		    addr_eq_ip(&s->net.base, &from->remote) && (!best || pol_source_rank(s) > pol_source_rank(best)))
			best = s;
	}
	return best;
}

static const struct source *best_source(const struct policy *p, const struct net_path *from)
{
	const struct source *best, *learned = NULL;
	uint64_t hash;

	if (addr_none(&from->remote))
		return NULL;
	hash = pol_source_hash(p, from->realm, &from->remote);
	best = best_exact(&p->core->exact, hash, from);
	if (p->learned.n_sources)
		learned = best_exact(&p->learned.exact, hash, from);
	if (learned && (!best || pol_source_rank(learned) > pol_source_rank(best)))
		best = learned;
	/* nets are in order of preference: the first that fits is the best */
	for (unsigned i = 0; i < p->n_nets && !best; i++)
		if (p->nets[i]->realm == from->realm && fits(p->nets[i]->port, p->nets[i]->transport, from) &&
		    addr_in_net(&from->remote, &p->nets[i]->net))
			best = p->nets[i];
	return best;
}

/* The trunk one of the names belongs to; only: this one, or NULL: any that needs nothing else. */
static const struct pol_trunk *named_trunk(const struct policy *p, const struct net_path *from,
    const struct net_identity *who, const struct pol_trunk *only)
{
	if (!who || !who->verified || !p->n_tls_names)
		return NULL;
	for (unsigned i = 0; i < who->n_names; i++) {
		uint64_t hash = pol_tls_name_hash(p, from->realm, who->names[i]);

		for (struct hnode *n = htab_first(&p->core->tls_names, hash); n; n = htab_next(n)) {
			const struct tls_name *x = container_of(n, struct tls_name, node);
			const struct pol_trunk *t = x->trunk;

			if (t->realm != from->realm || !str_eq(x->name, who->names[i]) ||
			    !fits(t->source.port, t->source.transport, from))
				continue;
			if (only ? t == only : t->source.identify == POL_BY_TLS_NAME)
				return t;
		}
	}
	return NULL;
}

const struct pol_trunk *policy_identify(
    const struct policy *p, const struct net_path *from, const struct net_identity *who)
{
	const struct pol_trunk *t = named_trunk(p, from, who, NULL);
	const struct source *s;

	if (t || !(s = best_source(p, from)))
		return t;
	return s->trunk->source.identify == POL_BY_ADDRESS ? s->trunk : named_trunk(p, from, who, s->trunk);
}

/* Anybody may turn out to be a trunk once the handshake is over. */
static bool by_certificate(const struct policy *p, const struct net_path *from)
{
	return from->proto == NET_TLS && from->realm < p->n_realms && p->realm_names[from->realm] > 0;
}

enum reason policy_stranger(const struct policy *p, const struct net_path *from, const struct net_identity *who)
{
	if (!by_certificate(p, from) && !best_source(p, from))
		return REASON_NO_TRUNK;
	return who && who->verified && who->n_names ? REASON_TLS_NAME_MISMATCH : REASON_TLS_NO_CERT;
}

bool policy_address_known(const struct policy *p, const struct net_path *from)
{
	return best_source(p, from) != NULL;
}

bool policy_may_come_from(const struct policy *p, const struct pol_trunk *t, const struct net_path *from)
{
	if (t->realm != from->realm || addr_none(&from->remote))
		return false;
	for (unsigned i = 0; i < p->n_sources + p->learned.n_sources; i++) {
		const struct source *s = i < p->n_sources ? &p->sources[i] : &p->learned.sources[i - p->n_sources];

		if (s->trunk == t && fits(s->port, s->transport, from) && addr_in_net(&from->remote, &s->net))
			return true;
	}
	return false;
}

bool policy_admit(const struct policy *p, const struct net_path *from)
{
	if (from->realm < p->n_realms && p->realms[from->realm].strangers == POL_STRANGER_REFUSE)
		return true;
	return policy_address_known(p, from) || by_certificate(p, from) || policy_has_registrants(p, from->realm) ||
	       policy_has_accounts(p, from->realm);
}
