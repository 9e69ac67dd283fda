/* locate.c - see locate.h and locate_rules.h
 *
 * A plan is one block: the plan, its servers, its addresses, the names of the servers.
 */
#include "sbc/net/locate_rules.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/base/rng.h"
#include "sbc/net/resolve.h"

const char *const locate_state_names[] = {"pending", "good", "stale", "empty", "failed"};

/* ---- where to begin ---- */

static bool has_proto(const struct locate_dest *d, uint8_t proto)
{
	return d->protos == 0 || (d->protos & 1u << proto);
}

enum locate_step locate_first(const struct locate_dest *d)
{
	if (d->port)
		return LOCATE_ASK_ADDRESS;
	if (d->proto == LOCATE_ANY)
		return LOCATE_ASK_NAPTR;
	return d->proto == NET_WS || d->proto == NET_WSS ? LOCATE_ASK_ADDRESS : LOCATE_ASK_SRV;
}

uint8_t locate_default_proto(const struct locate_dest *d)
{
	if (d->sips && d->proto != NET_WSS)
		return NET_TLS;
	if (d->proto != LOCATE_ANY)
		return d->proto;
	return has_proto(d, NET_UDP) ? NET_UDP : has_proto(d, NET_TCP) ? NET_TCP : NET_TLS;
}

uint16_t locate_default_port(const struct locate_dest *d, uint8_t proto)
{
	static const uint16_t port[NET_PROTOS] = {5060, 5060, 5061, 80, 443};

	return d->port ? d->port : port[proto];
}

/* ---- NAPTR and SRV ---- */

static int naptr_proto(struct str service, const struct locate_dest *d)
{
	static const struct {
		struct str service;
		uint8_t proto;
	} known[] = {{S("SIP+D2U"), NET_UDP}, {S("SIP+D2T"), NET_TCP}, {S("SIPS+D2T"), NET_TLS}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_ieq(service, known[i].service))
			return has_proto(d, known[i].proto) && (!d->sips || known[i].proto == NET_TLS)
			           ? known[i].proto
			           : -ENOENT;
	return -ENOENT; /* D2W and D2S are not ours */
}

unsigned locate_services_naptr(
    const struct locate_dest *d, const struct dns_record *r, unsigned n, struct locate_service ret[LOCATE_SERVICES_MAX])
{
	const struct dns_record *use[DNS_RECORDS_MAX];
	unsigned k = 0;

	for (unsigned i = 0; i < n && k < DNS_RECORDS_MAX; i++) {
		unsigned at = k;

		if (!str_ieq(r[i].naptr.flags, S("s")) || r[i].naptr.regexp || r[i].naptr.replacement.n == 0 ||
		    naptr_proto(r[i].naptr.service, d) < 0)
			continue;
		while (at > 0 && (r[i].naptr.order < use[at - 1]->naptr.order ||
		                     (r[i].naptr.order == use[at - 1]->naptr.order &&
		                         r[i].naptr.preference < use[at - 1]->naptr.preference))) {
			use[at] = use[at - 1];
			at--;
		}
		use[at] = &r[i];
		k++;
	}
	if (k > LOCATE_SERVICES_MAX)
		k = LOCATE_SERVICES_MAX;
	for (unsigned i = 0; i < k; i++) {
		struct str to = str_head(use[i]->naptr.replacement, DNS_NAME_MAX);

		memcpy(ret[i].name, to.p, to.n);
		ret[i].name[to.n] = 0;
		ret[i].proto = (uint8_t)naptr_proto(use[i]->naptr.service, d);
	}
	return k;
}

unsigned locate_services_srv(const struct locate_dest *d, struct locate_service ret[LOCATE_SERVICES_MAX])
{
	static const struct {
		const char *prefix;
		uint8_t proto;
	} all[] = {{"_sip._udp.", NET_UDP}, {"_sip._tcp.", NET_TCP}, {"_sips._tcp.", NET_TLS}};
	uint8_t only = d->sips ? NET_TLS : d->proto;
	unsigned k = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct buf b;

		if (only == LOCATE_ANY ? !has_proto(d, all[i].proto) : only != all[i].proto)
			continue;
		buf_init(&b, ret[k].name, sizeof(ret[k].name));
		buf_str(&b, str_z(all[i].prefix));
		buf_str(&b, d->host);
		buf_z(&b);
		ret[k].proto = all[i].proto;
		if (buf_err(&b) == 0)
			k++;
	}
	return k;
}

void locate_sort_srv(struct dns_record *r, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		struct dns_record x = r[i];
		unsigned at = i;

		for (; at > 0 && x.srv.priority < r[at - 1].srv.priority; at--)
			r[at] = r[at - 1];
		r[at] = x;
	}
}

/* ---- RFC 6724 ---- */

static unsigned precedence(const struct addr *a)
{
	static const struct {
		uint8_t prefix[16];
		unsigned bits, precedence;
	} table[] = {
	    {{[15] = 1}, 128, 50},
	    {{[10] = 0xff, [11] = 0xff}, 96, 35},
	    {{0}, 96, 1},
	    {{0x20, 0x01, 0, 0}, 32, 5},
	    {{0x20, 0x02}, 16, 30},
	    {{0x3f, 0xfe}, 16, 1},
	    {{0xfe, 0xc0}, 10, 1},
	    {{0xfc}, 7, 3},
	};

	if (!addr_is6(a))
		return 35;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const uint8_t *p = a->in6.sin6_addr.s6_addr;
		unsigned whole = table[i].bits / 8, rest = table[i].bits % 8;

		if (memcmp(p, table[i].prefix, whole) == 0 &&
		    (rest == 0 || ((p[whole] ^ table[i].prefix[whole]) & (0xff00 >> rest & 0xff)) == 0))
			return table[i].precedence;
	}
	return 40;
}

/* RFC 6724 3.1 and 3.2: link-local 2, global 14 */
static unsigned scope(const struct addr *a)
{
	uint32_t v4;

	if (addr_is_loopback(a))
		return 2;
	if (addr_is6(a))
		return IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr) ? 2 : IN6_IS_ADDR_SITELOCAL(&a->in6.sin6_addr) ? 5 : 14;
	v4 = ntohl(a->in4.sin_addr.s_addr);
	return v4 >> 16 == 0xa9fe ? 2 : 14;
}

void locate_sort_addrs(struct addr *a, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		struct addr x = a[i];
		unsigned at = i, p = precedence(&x), s = scope(&x);

		for (; at > 0; at--) {
			unsigned q = precedence(&a[at - 1]);

			if (p < q || (p == q && s >= scope(&a[at - 1])))
				break;
			a[at] = a[at - 1];
		}
		a[at] = x;
	}
}

/* ---- drafts and plans ---- */

bool locate_draft_server(struct locate_draft *f, const struct locate_server *s)
{
	if (f->n_servers == LOCATE_SERVERS_MAX) {
		f->left_out++;
		return false;
	}
	f->servers[f->n_servers] = *s;
	f->servers[f->n_servers].first = f->n_addrs;
	f->servers[f->n_servers++].n = 0;
	return true;
}

void locate_draft_addrs(
    struct locate_draft *f, const struct locate_dest *d, const struct addr *a, unsigned n, uint16_t port)
{
	struct locate_server *s = &f->servers[f->n_servers - 1];

	for (unsigned i = 0; i < n; i++) {
		unsigned family = addr_is6(&a[i]) ? RESOLVE_V6 : RESOLVE_V4;

		if (d->families && !(d->families & family))
			continue;
		if (f->n_addrs == LOCATE_ADDRS_MAX) {
			f->left_out++;
			continue;
		}
		f->addrs[f->n_addrs] = a[i];
		addr_set_port(&f->addrs[f->n_addrs++], port);
		s->n++;
	}
	locate_sort_addrs(f->addrs + s->first, s->n);
}

struct locate_plan *locate_draft_plan(const struct locate_draft *f, enum locate_state state, enum reason reason)
{
	size_t servers = f->n_servers * sizeof(f->servers[0]), addrs = f->n_addrs * sizeof(f->addrs[0]), names = 0;
	struct locate_server *s;
	struct locate_plan *p;
	struct addr *a;
	char *text;

	for (unsigned i = 0; i < f->n_servers; i++)
		names += f->servers[i].name.n;
	p = calloc(1, sizeof(*p) + servers + addrs + names);
	if (!p)
		return NULL;
	s = (struct locate_server *)(p + 1);
	a = (struct addr *)(void *)((char *)s + servers);
	text = (char *)a + addrs;
	if (servers)
		memcpy(s, f->servers, servers);
	if (addrs)
		memcpy(a, f->addrs, addrs);
	for (unsigned i = 0; i < f->n_servers; i++) {
		if (s[i].name.n)
			memcpy(text, s[i].name.p, s[i].name.n);
		s[i].name.p = text;
		text += s[i].name.n;
	}
	*p = (struct locate_plan){
	    .refs = 1,
	    .state = state,
	    .reason = reason,
	    .fresh_until_us = INT64_MAX,
	    .stale_until_us = INT64_MAX,
	    .how = f->how,
	    .servers = s,
	    .n_servers = f->n_servers,
	    .addrs = a,
	    .n_addrs = f->n_addrs,
	};
	return p;
}

bool locate_plan_same(const struct locate_plan *a, const struct locate_plan *b)
{
	if (a->state != b->state || a->reason != b->reason || strcmp(a->how, b->how) != 0 ||
	    a->n_servers != b->n_servers || a->n_addrs != b->n_addrs)
		return false;
	for (unsigned i = 0; i < a->n_servers; i++) {
		const struct locate_server *x = &a->servers[i], *y = &b->servers[i];

		if (!str_eq(x->name, y->name) || x->priority != y->priority || x->weight != y->weight ||
		    x->proto != y->proto || x->rank != y->rank || x->first != y->first || x->n != y->n)
			return false;
	}
	for (unsigned i = 0; i < a->n_addrs; i++)
		if (!addr_eq(&a->addrs[i], &b->addrs[i]))
			return false;
	return true;
}

struct locate_plan *locate_plan_ref(const struct locate_plan *p)
{
	struct locate_plan *own = (struct locate_plan *)p;

	own->refs++;
	return own;
}

void locate_plan_unref(const struct locate_plan *p)
{
	struct locate_plan *own = (struct locate_plan *)p;

	if (own && --own->refs == 0)
		free(own);
}

struct locate_plan *locate_plan_numeric(const struct addr *a, const struct locate_dest *d)
{
	struct locate_draft *f = calloc(1, sizeof(*f));
	uint8_t proto = locate_default_proto(d);
	struct locate_plan *p = NULL;

	if (!f)
		return NULL;
	f->how = "numeric";
	locate_draft_server(f, &(struct locate_server){.name = d->host, .proto = proto});
	locate_draft_addrs(
	    f, d, a, 1, d->port || addr_port(a) == 0 ? locate_default_port(d, proto) : addr_port(a));
	if (f->n_addrs)
		p = locate_draft_plan(f, LOCATE_GOOD, REASON_NONE);
	else /* of a family that the realm has not */
		p = locate_draft_plan(f, LOCATE_EMPTY, REASON_DNS_NO_ADDRESS);
	free(f);
	return p;
}

/* ---- RFC 2782: the order of tries ---- */

/* Puts the chosen one of order[0..n-1] first. Those without weight stand first when the sum runs, so that they have
 * a small chance beside others; where nobody has a weight all are equal. */
static void draw(const struct locate_plan *p, struct rng *rng, unsigned *order, unsigned n)
{
	uint32_t sum = 0, run = 0, at;
	unsigned pick = n, x;

	for (unsigned i = 0; i < n; i++)
		sum += p->servers[order[i]].weight;
	if (sum == 0) {
		pick = rng_below(rng, n);
	} else {
		at = rng_below(rng, sum + 1);
		for (int weighted = 0; weighted < 2 && pick == n; weighted++) {
			for (unsigned i = 0; i < n && pick == n; i++) {
				uint16_t w = p->servers[order[i]].weight;

				if ((w > 0) != weighted)
					continue;
				run += w;
				if (run >= at)
					pick = i;
			}
		}
	}
	x = order[pick];
	memmove(order + 1, order, pick * sizeof(*order));
	order[0] = x;
}

unsigned locate_order(const struct locate_plan *p, struct rng *rng, unsigned *order)
{
	unsigned n = 0, end;

	for (unsigned i = 0; i < p->n_servers; i++)
		if (p->servers[i].n)
			order[n++] = i;
	for (unsigned i = 0; i < n; i = end) {
		const struct locate_server *s = &p->servers[order[i]];

		for (end = i + 1; end < n && p->servers[order[end]].rank == s->rank &&
		                  p->servers[order[end]].priority == s->priority;)
			end++;
		for (unsigned k = i; k + 1 < end; k++)
			draw(p, rng, order + k, end - k);
	}
	return n;
}
