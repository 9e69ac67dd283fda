/* Address sets on a locator of tables: no DNS in here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sbc/net/locate_rules.h"
#include "sbc/net/resolve.h"

struct location {
	struct locate_dest d;
	locate_fn *fn;
	void *ctx;
	struct locate_plan *plan;
};

struct table {
	struct locator base;
	struct location *own, *servers; /* of the one name that is watched */
	struct clock clock;
	int fail_at;                    /* the n-th watch fails with -ENOMEM; 0: none */
	unsigned told;
	struct resolve_name *n;
};

static struct locate_plan *plan(enum locate_state state, const char *const *addrs)
{
	static const struct locate_dest d = {.families = RESOLVE_V4 | RESOLVE_V6};
	struct locate_draft *f = calloc(1, sizeof(*f));
	struct locate_plan *p;

	f->how = "srv";
	locate_draft_server(f, &(struct locate_server){.name = S("x")});
	for (; addrs && *addrs; addrs++) {
		struct addr a;

		assert_int_equal(addr_parse(str_z(*addrs), 0, &a), 0);
		locate_draft_addrs(f, &d, &a, 1, 5060);
	}
	p = locate_draft_plan(f, state, REASON_NONE);
	free(f);
	return p;
}

static int t_watch(struct locator *lr, const struct locate_dest *d, locate_fn *fn, void *ctx, struct location **ret)
{
	struct table *t = container_of(lr, struct table, base);
	struct location *l;

	if (t->fail_at && --t->fail_at == 0)
		return -ENOMEM;
	if (str_chr(d->host, ' ') >= 0)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	l->d = *d;
	l->fn = fn;
	l->ctx = ctx;
	l->plan = plan(LOCATE_PENDING, NULL);
	*(d->port ? &t->own : &t->servers) = l;
	*ret = l;
	return 0;
}

static struct table *the_table(void **state)
{
	return *state;
}

static const struct locate_plan *t_plan(const struct location *l)
{
	return l->plan;
}

static void t_unwatch(struct location *l)
{
	locate_plan_unref(l->plan);
	free(l);
}

static const struct locator_ops ops = {t_watch, t_unwatch, t_plan};

static void says(struct location *l, enum locate_state state, const char *const *addrs)
{
	locate_plan_unref(l->plan);
	l->plan = plan(state, addrs);
	l->fn(l->ctx, l);
}

static void on_news(void *ctx, struct resolve_name *n)
{
	struct table *t = ctx;

	t->told++;
	t->n = n;
}

static int setup(void **state)
{
	struct table *t = calloc(1, sizeof(*t));

	t->base.ops = &ops;
	t->clock.mono_us = 1000000;
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static struct resolve_name *watch(struct table *t, unsigned what)
{
	struct resolve_name *n;

	assert_int_equal(resolve_watch(&t->base, &t->clock, S("peer.example."), what, on_news, t, &n), 0);
	assert_int_equal(t->told, 0);
	return n;
}

static void has(const struct resolve_name *n, const char *const *want)
{
	unsigned count, i;
	const struct addr *a = resolve_addrs(n, &count);

	for (i = 0; want && want[i]; i++) {
		struct addr x;

		assert_int_equal(addr_parse(str_z(want[i]), 0, &x), 0);
		assert_true(i < count && addr_eq(&a[i], &x));
	}
	assert_int_equal(i, count);
}

static void own_addresses_and_those_of_its_servers(void **state)
{
	static const char *const own[] = {"192.0.2.9", "2001:db8::1", NULL};
	static const char *const servers[] = {"2001:db8::0", "192.0.2.1", "192.0.2.9", NULL};
	static const char *const all[] = {"192.0.2.1", "192.0.2.9", "2001:db8::0", "2001:db8::1", NULL};
	static const char *const own_sorted[] = {"192.0.2.9", "2001:db8::1", NULL};
	struct table *t = the_table(state);
	struct resolve_name *n = watch(t, RESOLVE_V4 | RESOLVE_V6 | RESOLVE_OWN | RESOLVE_ANY);

	assert_true(str_eq(resolve_host(n), S("peer.example")));
	assert_int_equal(t->own->d.families, RESOLVE_V4 | RESOLVE_V6);
	assert_int_equal(resolve_state(n), RESOLVE_PENDING);
	says(t->own, LOCATE_GOOD, own);
	assert_int_equal(t->told, 1);
	assert_int_equal(resolve_state(n), RESOLVE_GOOD);
	has(n, own_sorted);
	says(t->servers, LOCATE_GOOD, servers);
	assert_int_equal(t->told, 2);
	has(n, all);
	says(t->servers, LOCATE_GOOD, servers);
	assert_int_equal(t->told, 2); /* no news */
	says(t->servers, LOCATE_STALE, servers);
	assert_int_equal(t->told, 3);
	assert_int_equal(resolve_state(n), RESOLVE_STALE);
	t->own->plan->fresh_until_us = 77;
	assert_int_equal(resolve_next_us(n), 77);
	resolve_unwatch(n);
	resolve_unwatch(NULL);
}

/* who left the set is remembered with the time, and forgotten after a day or when back */
static void former_addresses(void **state)
{
	static const char *const before[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3", NULL};
	static const char *const after[] = {"192.0.2.3", "192.0.2.4", NULL};
	static const char *const back[] = {"192.0.2.1", "192.0.2.4", NULL};
	struct table *t = the_table(state);
	struct resolve_name *n = watch(t, RESOLVE_V4 | RESOLVE_OWN);
	struct addr a;
	int64_t left;

	says(t->own, LOCATE_GOOD, before);
	assert_false(resolve_former(n, 0, &a, &left));
	t->clock.mono_us = 5000000;
	says(t->own, LOCATE_GOOD, after);
	has(n, after);
	assert_true(resolve_former(n, 0, &a, &left));
	assert_true(left == 5000000);
	assert_true(resolve_former(n, 1, &a, &left));
	assert_false(resolve_former(n, 2, &a, &left));
	t->clock.mono_us = 6000000;
	says(t->own, LOCATE_GOOD, back);
	assert_true(resolve_former(n, 0, &a, &left)); /* the one that left last first */
	assert_true(left == 6000000);
	assert_int_equal(ntohl(a.in4.sin_addr.s_addr) & 0xff, 3);
	assert_true(resolve_former(n, 1, &a, &left));
	assert_int_equal(ntohl(a.in4.sin_addr.s_addr) & 0xff, 2);
	assert_false(resolve_former(n, 2, &a, &left)); /* .1 is back */
	t->clock.mono_us = 5000000 + RESOLVE_FORMER_S * (int64_t)1000000;
	assert_true(resolve_former(n, 0, &a, &left));
	assert_false(resolve_former(n, 1, &a, &left));
	/* the DNS is gone for good: all of them are former ones */
	says(t->own, LOCATE_FAILED, NULL);
	assert_int_equal(resolve_state(n), RESOLVE_FAILED);
	has(n, NULL);
	assert_true(resolve_former(n, 2, &a, &left));
	assert_false(resolve_former(n, 3, &a, &left));
	resolve_unwatch(n);
}

static void former_addresses_are_bounded(void **state)
{
	struct table *t = the_table(state);
	struct resolve_name *n = watch(t, RESOLVE_V4 | RESOLVE_OWN);
	char text[20];
	struct addr a;
	int64_t left;

	for (int i = 0; i < 200; i++) {
		const char *one[] = {text, NULL};

		snprintf(text, sizeof(text), "192.0.2.%d", i + 1);
		t->clock.mono_us++;
		says(t->own, LOCATE_GOOD, one);
	}
	assert_true(resolve_former(n, RESOLVE_FORMER_MAX - 1, &a, &left));
	assert_int_equal(ntohl(a.in4.sin_addr.s_addr) & 0xff, 200 - RESOLVE_FORMER_MAX);
	assert_false(resolve_former(n, RESOLVE_FORMER_MAX, &a, &left));
	resolve_unwatch(n);
}

/* a target of the trunk was changed: what left is a former address, and none leaves before the new place answered */
static void other_places(void **state)
{
	static const char *const own[] = {"192.0.2.1", "192.0.2.2", NULL}, *const servers[] = {"192.0.2.2", NULL};
	struct table *t = the_table(state);
	struct resolve_name *n = watch(t, RESOLVE_V4 | RESOLVE_OWN);
	struct addr a;
	int64_t left;

	says(t->own, LOCATE_GOOD, own);
	assert_int_equal(resolve_change(n, 0), -EINVAL);
	t->fail_at = 1;
	assert_int_equal(resolve_change(n, RESOLVE_ANY), -ENOMEM);
	assert_int_equal(resolve_what(n), RESOLVE_V4 | RESOLVE_OWN);
	has(n, own);
	assert_int_equal(resolve_change(n, RESOLVE_ANY), 0);
	assert_int_equal(resolve_what(n), RESOLVE_V4 | RESOLVE_ANY);
	has(n, own);
	assert_false(resolve_former(n, 0, &a, &left));
	says(t->servers, LOCATE_GOOD, servers);
	has(n, servers);
	assert_true(resolve_former(n, 0, &a, &left));
	assert_int_equal(ntohl(a.in4.sin_addr.s_addr) & 0xff, 1);
	resolve_unwatch(n);
}

static void states(void **state)
{
	static const struct {
		enum locate_state own, servers;
		enum resolve_state want;
	} t[] = {
	    {LOCATE_PENDING, LOCATE_EMPTY, RESOLVE_PENDING},
	    {LOCATE_EMPTY, LOCATE_PENDING, RESOLVE_PENDING},
	    {LOCATE_EMPTY, LOCATE_EMPTY, RESOLVE_EMPTY},
	    {LOCATE_FAILED, LOCATE_EMPTY, RESOLVE_FAILED},
	    {LOCATE_EMPTY, LOCATE_FAILED, RESOLVE_FAILED},
	};
	struct table *x = the_table(state);
	struct resolve_name *n = watch(x, RESOLVE_V4 | RESOLVE_OWN | RESOLVE_ANY);

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		says(x->own, t[i].own, NULL);
		says(x->servers, t[i].servers, NULL);
		assert_int_equal(resolve_state(n), t[i].want);
	}
	resolve_unwatch(n);
}

static void unwatch_in_news(void *ctx, struct resolve_name *n)
{
	struct table *t = ctx;

	t->told++;
	resolve_unwatch(n);
}

static void names_may_go_in_their_news_and_watches_may_fail(void **state)
{
	static const char *const a[] = {"192.0.2.1", NULL};
	struct table *t = the_table(state);
	struct resolve_name *n;
	struct location *own;

	assert_int_equal(
	    resolve_watch(&t->base, &t->clock, S("192.0.2.1"), RESOLVE_V4 | RESOLVE_OWN, on_news, t, &n), -EINVAL);
	assert_int_equal(resolve_watch(&t->base, &t->clock, S("a b"), RESOLVE_V4 | RESOLVE_OWN, on_news, t, &n), -EINVAL);
	assert_int_equal(resolve_watch(&t->base, &t->clock, S("a.example"), RESOLVE_OWN, on_news, t, &n), -EINVAL);
	assert_int_equal(resolve_watch(&t->base, &t->clock, S("a.example"), RESOLVE_V4, on_news, t, &n), -EINVAL);
	t->fail_at = 2;
	assert_int_equal(resolve_watch(
	                     &t->base, &t->clock, S("a.example"), RESOLVE_V4 | RESOLVE_OWN | RESOLVE_ANY, on_news, t, &n),
	    -ENOMEM);
	assert_int_equal(resolve_watch(&t->base, &t->clock, S("a.example"), RESOLVE_V4 | RESOLVE_OWN, unwatch_in_news, t, &n), 0);
	own = t->own;
	locate_plan_unref(own->plan);
	own->plan = plan(LOCATE_GOOD, a);
	own->fn(own->ctx, own);
	assert_int_equal(t->told, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(own_addresses_and_those_of_its_servers, setup, teardown),
	    cmocka_unit_test_setup_teardown(former_addresses, setup, teardown),
	    cmocka_unit_test_setup_teardown(former_addresses_are_bounded, setup, teardown),
	    cmocka_unit_test_setup_teardown(other_places, setup, teardown),
	    cmocka_unit_test_setup_teardown(states, setup, teardown),
	    cmocka_unit_test_setup_teardown(names_may_go_in_their_news_and_watches_may_fail, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
