/* resolve.c - see resolve.h
 *
 * One destination of the locator for each place: the host with a port (its own A and AAAA), without one (NAPTR, SRV,
 * and what stands behind them), or with a transport. Their addresses together, without ports and twins, are the set.
 * It is made anew whenever one of the plans changed. Addresses leave it only when every place has answered.
 */
#include "sbc/net/resolve.h"

#include <errno.h>
#include <stdlib.h>

const char *const resolve_state_names[] = {"pending", "good", "stale", "empty", "failed"};

#define PLACES 5

/* By bit of what, from RESOLVE_OWN on. */
static const struct {
	uint16_t port;
	uint8_t proto;
} places[PLACES] = {{5060, LOCATE_ANY}, {0, LOCATE_ANY}, {0, NET_UDP}, {0, NET_TCP}, {0, NET_TLS}};

struct former {
	struct addr addr;
	int64_t left_us;
};

struct resolve_name {
	struct locator *lr;
	const struct clock *clock;
	unsigned what;
	struct location *at[PLACES]; /* own; NULL: not wanted */
	char *host;                  /* own */
	enum resolve_state state;
	struct addr *addr;              /* own: n of them */
	unsigned n;
	struct former former[RESOLVE_FORMER_MAX]; /* the last that left first */
	unsigned n_former;
	resolve_fn *fn;
	void *ctx;
};

static int by_address(const void *a, const void *b)
{
	const struct addr *x = a, *y = b;

	if (x->sa.sa_family != y->sa.sa_family)
		return x->sa.sa_family == AF_INET ? -1 : 1;
	return addr_is6(x) ? memcmp(&x->in6.sin6_addr, &y->in6.sin6_addr, 16)
	                   : memcmp(&x->in4.sin_addr, &y->in4.sin_addr, 4);
}

static bool has(const struct addr *all, unsigned n, const struct addr *a)
{
	return n && bsearch(a, all, n, sizeof(*all), by_address);
}

static unsigned add_plan(const struct locate_plan *p, struct addr *all, unsigned n)
{
	for (unsigned i = 0; i < p->n_addrs && n < RESOLVE_ADDRS_MAX; i++) {
		struct addr a = p->addrs[i];

		addr_set_port(&a, 0);
		all[n++] = a;
	}
	return n;
}

static unsigned sort(struct addr *all, unsigned n)
{
	unsigned k = 0;

	qsort(all, n, sizeof(*all), by_address);
	for (unsigned i = 0; i < n; i++)
		if (k == 0 || by_address(&all[k - 1], &all[i]) != 0)
			all[k++] = all[i];
	return k;
}

/* states: bits of those the plans have; n: addresses */
static enum resolve_state state_of(unsigned states, unsigned n)
{
	if (n)
		return states & 1u << LOCATE_STALE ? RESOLVE_STALE : RESOLVE_GOOD;
	if (states & 1u << LOCATE_PENDING)
		return RESOLVE_PENDING;
	return states & 1u << LOCATE_FAILED ? RESOLVE_FAILED : RESOLVE_EMPTY;
}

static void former_add(struct resolve_name *n, const struct addr *a)
{
	unsigned keep = n->n_former < RESOLVE_FORMER_MAX ? n->n_former : RESOLVE_FORMER_MAX - 1;

	memmove(n->former + 1, n->former, keep * sizeof(n->former[0]));
	n->former[0] = (struct former){*a, n->clock->mono_us};
	n->n_former = keep + 1;
}

static void former_clean(struct resolve_name *n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n->n_former; i++)
		if (!has(n->addr, n->n, &n->former[i].addr) &&
		    n->clock->mono_us - n->former[i].left_us < RESOLVE_FORMER_S * (int64_t)1000000)
			n->former[k++] = n->former[i];
	n->n_former = k;
}

/* True: state or addresses changed. */
static bool update(struct resolve_name *n)
{
	struct addr all[RESOLVE_ADDRS_MAX], *copy = NULL;
	enum resolve_state state;
	unsigned k = 0, states = 0;
	bool news;

	for (unsigned i = 0; i < PLACES; i++) {
		const struct locate_plan *p = n->at[i] ? locate_plan(n->lr, n->at[i]) : NULL;

		if (!p)
			continue;
		states |= 1u << p->state;
		k = add_plan(p, all, k);
	}
	for (unsigned i = 0; (states & 1u << LOCATE_PENDING) && i < n->n && k < RESOLVE_ADDRS_MAX; i++)
		all[k++] = n->addr[i]; /* may be among what is still to come */
	k = sort(all, k);
	state = state_of(states, k);
	news = k != n->n;
	for (unsigned i = 0; !news && i < k; i++)
		news = by_address(&all[i], &n->addr[i]) != 0;
	if (news && k) {
		copy = malloc(k * sizeof(*copy));
		if (!copy)
			return false; /* the old ones stay until there is news again */
		memcpy(copy, all, k * sizeof(*copy));
	}
	if (news) {
		for (unsigned i = 0; i < n->n; i++)
			if (!has(copy, k, &n->addr[i]))
				former_add(n, &n->addr[i]);
		free(n->addr);
		n->addr = copy;
		n->n = k;
	}
	former_clean(n);
	news |= state != n->state;
	n->state = state;
	return news;
}

static void on_plan(void *ctx, struct location *l)
{
	struct resolve_name *n = ctx;

	(void)l;
	if (update(n))
		n->fn(n->ctx, n); /* n may be gone */
}

/* Begins and ends the places that what asks for; all or none. */
static int follow(struct resolve_name *n, unsigned what)
{
	struct location *fresh[PLACES] = {NULL};
	struct locate_dest d = {.host = str_z(n->host), .families = what & (RESOLVE_V4 | RESOLVE_V6)};
	int e = 0;

	for (unsigned i = 0; i < PLACES && e == 0; i++) {
		if (n->at[i] || !(what & (unsigned)RESOLVE_OWN << i))
			continue;
		d.port = places[i].port;
		d.proto = places[i].proto;
		e = locate_watch(n->lr, &d, on_plan, n, &fresh[i]);
	}
	for (unsigned i = 0; i < PLACES; i++) {
		if (e < 0) {
			locate_unwatch(n->lr, fresh[i]);
		} else if (!(what & (unsigned)RESOLVE_OWN << i)) {
			locate_unwatch(n->lr, n->at[i]);
			n->at[i] = NULL;
		} else if (fresh[i]) {
			n->at[i] = fresh[i];
		}
	}
	if (e == 0)
		n->what = what;
	return e;
}

#define PLACE_BITS (RESOLVE_OWN | RESOLVE_ANY | RESOLVE_UDP | RESOLVE_TCP | RESOLVE_TLS)

int resolve_watch(struct locator *lr, const struct clock *clock, struct str host, unsigned what, resolve_fn *fn,
    void *ctx, struct resolve_name **ret)
{
	struct resolve_name *n;
	struct addr numeric;
	int e;

	if (!(what & (RESOLVE_V4 | RESOLVE_V6)) || !(what & PLACE_BITS) || addr_parse_ip(host, 0, &numeric) == 0)
		return -EINVAL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->lr = lr;
	n->clock = clock;
	n->fn = fn;
	n->ctx = ctx;
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	n->host = str_strdup(host);
	e = n->host ? follow(n, what) : -ENOMEM;
	if (e < 0) {
		resolve_unwatch(n);
		return e;
	}
	(void)update(n);
	*ret = n;
	return 0;
}

int resolve_change(struct resolve_name *n, unsigned what)
{
	int e;

	what = (what & PLACE_BITS) | (n->what & (RESOLVE_V4 | RESOLVE_V6));
	if (!(what & PLACE_BITS))
		return -EINVAL;
	e = follow(n, what);
	if (e == 0)
		(void)update(n);
	return e;
}

unsigned resolve_what(const struct resolve_name *n)
{
	return n->what;
}

void resolve_unwatch(struct resolve_name *n)
{
	if (!n)
		return;
	for (unsigned i = 0; i < PLACES; i++)
		locate_unwatch(n->lr, n->at[i]);
	free(n->addr);
	free(n->host);
	free(n);
}

const struct addr *resolve_addrs(const struct resolve_name *n, unsigned *ret_count)
{
	*ret_count = n->n;
	return n->addr;
}

bool resolve_former(const struct resolve_name *n, unsigned i, struct addr *ret, int64_t *ret_left_us)
{
	if (i >= n->n_former || n->clock->mono_us - n->former[i].left_us >= RESOLVE_FORMER_S * (int64_t)1000000)
		return false;
	*ret = n->former[i].addr;
	*ret_left_us = n->former[i].left_us;
	return true;
}

enum resolve_state resolve_state(const struct resolve_name *n)
{
	return n->state;
}

struct str resolve_host(const struct resolve_name *n)
{
	return str_z(n->host);
}

int64_t resolve_next_us(const struct resolve_name *n)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; i < PLACES; i++) {
		const struct locate_plan *p = n->at[i] ? locate_plan(n->lr, n->at[i]) : NULL;

		if (p && p->fresh_until_us < next)
			next = p->fresh_until_us;
	}
	return next;
}
