/* identify.c - which trunk does a source belong to (ACC-01).
 *
 * Exact addresses are in a hash keyed by realm and address; networks in a list, longest first, because there are
 * few. Among the entries that fit, an address beats a network, a longer network a shorter one, and then the entry
 * with more restrictions: port, then transport. That order is total: the compiler refuses two trunks with entries
 * that are equal in all of it.
 */
#include "sbc/policy/internal.h"

uint64_t pol_source_hash(const struct policy *p, uint8_t realm, const struct addr *a)
{
	struct str ip = addr_ip_bytes(a);
	char key[17];

	key[0] = (char)realm;
	memcpy(key + 1, ip.p, ip.n);
	return hash_bytes(&p->hash_key, key, ip.n + 1);
}

unsigned pol_source_rank(const struct source *s)
{
	return (s->port ? 2u : 0u) + (s->transport != POL_SOURCE_ANY ? 1u : 0u);
}

static bool fits(const struct source *s, const struct net_path *from, uint16_t port)
{
	if (s->realm != from->realm || (s->port && s->port != port))
		return false;
	switch ((enum pol_source_transport)s->transport) {
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

const struct pol_trunk *policy_identify(const struct policy *p, const struct net_path *from)
{
	const struct source *best = NULL;
	uint16_t port;
	uint64_t hash;

	if (addr_none(&from->remote))
		return NULL;
	port = addr_port(&from->remote);
	hash = pol_source_hash(p, from->realm, &from->remote);
	for (struct hnode *n = htab_first(&p->exact, hash); n; n = htab_next(n)) {
		const struct source *s = container_of(n, struct source, node);

		if (fits(s, from, port) && addr_eq_ip(&s->net.base, &from->remote) &&
		    (!best || pol_source_rank(s) > pol_source_rank(best)))
			best = s;
	}
	/* nets are in order of preference: the first that fits is the best */
	for (unsigned i = 0; i < p->n_nets && !best; i++)
		if (fits(p->nets[i], from, port) && addr_in_net(&from->remote, &p->nets[i]->net))
			best = p->nets[i];
	return best ? best->trunk : NULL;
}

bool policy_admit(const struct policy *p, const struct net_path *from)
{
	if (from->realm < p->n_realms && p->realms[from->realm].strangers == POL_STRANGER_REFUSE)
		return true;
	return policy_identify(p, from) != NULL;
}
