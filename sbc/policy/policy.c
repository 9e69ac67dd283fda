/* policy.c - life of a snapshot and the plain look-ups.
 *
 * References are counted atomically: the snapshot is made on the store thread, used and dropped on the signalling
 * thread. Nothing in it is written after policy_compile(). What does not follow the DNS lives in the core, which
 * snapshots of one configuration share.
 */
#include "sbc/policy/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FROM (2 * HUGE_PAGE) /* bytes of an array for which they pay */

struct block {
	struct block *next;
	size_t mapped; /* bytes of a mapping of its own, 0: of malloc */
	_Alignas(64) char data[];
};

/* Large arrays in huge pages: a look-up in them misses the cache, and would miss the page table as well. They are made on
 * the store thread, where nobody waits while a page is found and cleared. NULL: out of memory */
static struct block *map(size_t bytes)
{
	size_t more = bytes + HUGE_PAGE, lead;
	char *p = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct block *b;

	if (p == MAP_FAILED)
		return NULL;
	lead = -(uintptr_t)p & (HUGE_PAGE - 1);
	if (lead)
		(void)munmap(p, lead);
	b = (void *)(p + lead);
	(void)munmap(p + lead + bytes, HUGE_PAGE - lead);
	(void)madvise(b, bytes, MADV_HUGEPAGE);
	b->mapped = bytes;
	return b;
}

static void block_free(struct block *b)
{
	if (b->mapped)
		(void)munmap(b, b->mapped);
	else
		free(b);
}

void *pol_array(struct policy *p, size_t n, size_t size)
{
	struct block *b;
	size_t bytes;

	if (size && n > (SIZE_MAX - 4 * HUGE_PAGE) / size)
		return NULL;
	bytes = (sizeof(*b) + n * size + 4095) & ~(size_t)4095;
	if (bytes >= HUGE_FROM) {
		b = map(bytes);
	} else {
		bytes = (sizeof(*b) + n * size + 63) & ~(size_t)63;
		b = aligned_alloc(64, bytes);
		if (b)
			memset(b, 0, bytes);
	}
	if (!b)
		return NULL;
	b->next = p->core->blocks;
	p->core->blocks = b;
	return b->data;
}

struct policy *policy_ref(struct policy *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

static void core_unref(struct core *c)
{
	struct block *b, *next;

	if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (b = c->blocks; b; b = next) {
		next = b->next;
		block_free(b);
	}
	htab_fini(&c->exact);
	htab_fini(&c->tls_names);
	if (c->arena)
		arena_free(c->arena);
	arena_pool_fini(&c->pool);
	free(c);
}

void policy_unref(struct policy *p)
{
	unsigned before;

	if (!p)
		return;
	before = atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before > 1)
		return;
	pol_learned_fini(&p->learned);
	core_unref(p->core);
	free(p);
}

uint64_t policy_revision(const struct policy *p)
{
	return p->revision;
}

const struct pol_trunk *policy_trunk(const struct policy *p, uint32_t id)
{
	size_t lo = 0, hi = p->n_trunks;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->by_id[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < p->n_trunks && p->by_id[lo]->id == id ? p->by_id[lo] : NULL;
}

static int icmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		unsigned char x = (unsigned char)chr_lower(a.p[i]), y = (unsigned char)chr_lower(b.p[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

static int by_name(const void *a, const void *b)
{
	return icmp(((const struct pol_trunk *)a)->name, ((const struct pol_trunk *)b)->name);
}

const struct pol_trunk *policy_trunk_named(const struct policy *p, struct str name)
{
	struct pol_trunk key = {.name = name};

	return p->n_trunks ? bsearch(&key, p->trunks, p->n_trunks, sizeof(key), by_name) : NULL;
}

unsigned policy_trunk_count(const struct policy *p)
{
	return p->n_trunks;
}

const struct pol_trunk *policy_trunk_at(const struct policy *p, unsigned i)
{
	return i < p->n_trunks ? &p->trunks[i] : NULL;
}

const struct pol_realm *policy_realm(const struct policy *p, unsigned realm)
{
	return realm < p->n_realms ? &p->realms[realm] : NULL;
}

unsigned policy_realm_count(const struct policy *p)
{
	return p->n_realms;
}

/* ---------------------------------------------------------------- hosts */

struct str pol_host_trim(struct str host)
{
	return host.n && host.p[host.n - 1] == '.' ? str_head(host, host.n - 1) : host;
}

int pol_host_cmp(const void *a, const void *b)
{
	const struct host *x = a, *y = b;

	if (x->realm != y->realm)
		return x->realm < y->realm ? -1 : 1;
	return icmp(x->name, y->name);
}

bool policy_host_is_ours(const struct policy *p, unsigned realm, struct str host)
{
	struct host key = {.realm = (uint8_t)realm, .name = pol_host_trim(host)};

	if (realm >= p->n_realms || !p->n_hosts || key.name.n == 0)
		return false;
	return bsearch(&key, p->hosts, p->n_hosts, sizeof(key), pol_host_cmp) != NULL;
}

/* ---------------------------------------------------------------- differences */

/* Same settings and same addresses behind its names. */
static bool same(const struct policy *a, const struct policy *b, size_t i, size_t k)
{
	return a->prints[i] == b->prints[k] && a->learned.prints[i] == b->learned.prints[k];
}

void policy_diff(const struct policy *from, const struct policy *to,
    void (*fn)(void *ctx, enum policy_change what, const struct pol_trunk *trunk), void *ctx)
{
	bool one_core = from && from->core == to->core;

	for (unsigned i = 0; i < to->n_trunks; i++) {
		const struct pol_trunk *t = &to->trunks[i];
		const struct pol_trunk *before = one_core ? t : from ? policy_trunk(from, t->id) : NULL;

		if (!before)
			fn(ctx, POLICY_ADDED, t);
		else if (!same(from, to, (size_t)(before - from->trunks), i))
			fn(ctx, POLICY_CHANGED, t);
	}
	for (unsigned i = 0; from && !one_core && i < from->n_trunks; i++)
		if (!policy_trunk(to, from->trunks[i].id))
			fn(ctx, POLICY_REMOVED, &from->trunks[i]);
}

uint8_t policy_dscp(enum pol_dscp d)
{
	static const uint8_t codes[] = {POL_DSCP_CODES};

	_Static_assert(ARRAY_LEN(codes) == POL_DSCPS - 1, "a code for each word");
	return d == POL_DSCP_REALM || d >= POL_DSCPS ? 0 : (uint8_t)(codes[d - 1] + 1);
}
