/* Tests of `dns plan` with a locator that answers from a table: at once, later, never, or after the client left; and of
 * what can be typed as a destination. */
#include "world.h"

#include "sbc/ctl/view.h"
#include "sbc/net/resolve.h"

/* -------------------------------------------------------------------- a locator of one name */

struct location {
	struct table *t;
	struct locate_dest dest;
	char host[128];
	locate_fn *fn;
	void *ctx;
};

struct table {
	struct locator lr;
	struct world *w;
	struct locate_plan plan, pending;
	struct location *one; /* being watched */
	bool slow;            /* answers by table_answer() */
	unsigned watched, unwatched;
};

static int t_watch(struct locator *lr, const struct locate_dest *d, locate_fn *fn, void *ctx, struct location **ret)
{
	struct table *t = container_of(lr, struct table, lr);

	if (str_find(d->host, S("..")) >= 0)
		return -EINVAL;
	t->one = calloc(1, sizeof(*t->one));
	assert_non_null(t->one);
	*t->one = (struct location){.t = t, .dest = *d, .fn = fn, .ctx = ctx};
	snprintf(t->one->host, sizeof(t->one->host), "%.*s", STR(d->host));
	t->one->dest.host = str_z(t->one->host);
	t->watched++;
	*ret = t->one;
	return 0;
}

static void t_unwatch(struct location *l)
{
	l->t->unwatched++;
	l->t->one = NULL;
	free(l);
}

static const struct locate_plan *t_plan(const struct location *l)
{
	return l->t->slow ? &l->t->pending : &l->t->plan;
}

static const struct locator_ops table_ops = {t_watch, t_unwatch, t_plan};

static void table_answer(struct table *t)
{
	t->slow = false;
	assert_non_null(t->one);
	t->one->fn(t->one->ctx, t->one);
}

static struct table *table_new(struct world *w)
{
	static struct addr addrs[3];
	static const struct locate_server servers[2] = {
	    {.name = {"a.itsp.example", 14}, .priority = 10, .weight = 70, .proto = NET_TLS, .first = 0, .n = 2},
	    {.name = {"b.itsp.example", 14}, .priority = 20, .weight = 0, .proto = NET_UDP, .first = 2, .n = 1},
	};
	struct table *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	assert_int_equal(addr_parse(S("[2001:db8::7]:5061"), 0, &addrs[0]), 0);
	assert_int_equal(addr_parse(S("192.0.2.7:5061"), 0, &addrs[1]), 0);
	assert_int_equal(addr_parse(S("192.0.2.8:5060"), 0, &addrs[2]), 0);
	t->lr.ops = &table_ops;
	t->w = w;
	t->plan = (struct locate_plan){.refs = 1,
	    .state = LOCATE_GOOD,
	    .how = "naptr",
	    .fresh_until_us = w->clock.mono_us + 300000000,
	    .servers = servers,
	    .n_servers = 2,
	    .addrs = addrs,
	    .n_addrs = 3};
	t->pending = (struct locate_plan){.refs = 1, .state = LOCATE_PENDING, .how = ""};
	w->ctl->be.locator = &t->lr;
	return t;
}

/* -------------------------------------------------------------------- tests */

static void at_once(void **state)
{
	struct world *w = w_new();
	struct table *t = table_new(w);
	struct answer a;

	(void)state;
	w_run_how(w, "dns plan sip:itsp.example", (struct how){0}, &a);
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(text_z(&a.out), "itsp.example in realm lan: naptr, 2 servers, 3 addresses, asked again in 5 min"));
	assert_non_null(strstr(text_z(&a.out), "[2001:db8::7]:5061"));
	assert_non_null(strstr(text_z(&a.out), "b.itsp.example"));
	answer_fini(&a);
	t->plan.state = LOCATE_STALE;
	t->plan.stale_until_us = w->clock.mono_us + (int64_t)3600 * 1000000;
	w_run_how(w, "dns plan itsp.example --realm wan", (struct how){0}, &a);
	assert_int_equal(a.code, 1);
	assert_non_null(strstr(text_z(&a.out), "the DNS fails: kept for 60 min"));
	answer_fini(&a);
	t->plan = (struct locate_plan){.refs = 1, .state = LOCATE_EMPTY, .reason = REASON_DNS_NO_NAME, .how = "naptr"};
	w_run_how(w, "dns plan itsp.example", (struct how){0}, &a);
	assert_int_equal(a.code, 2);
	assert_non_null(strstr(text_z(&a.err), "PSN-E1032"));
	answer_fini(&a);
	assert_int_equal(t->watched, 3);
	assert_int_equal(t->unwatched, 3);
	w_free(w);
	free(t);
}

/* The answer comes while the client waits; no answer; the client leaves. Each time the watch is given back. */
static void later(void **state)
{
	struct world *w = w_new();
	struct table *t = table_new(w);
	struct answer a = {.code = -1};
	int fd;

	(void)state;
	t->slow = true;
	fd = w_dial(w);
	w_request(w, fd, "dns plan itsp.example", (struct how){0});
	w_listen(w, fd, &a, 10);
	assert_false(a.closed);
	table_answer(t);
	w_listen(w, fd, &a, 100);
	assert_true(a.closed);
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(text_z(&a.out), "192.0.2.7:5061"));
	answer_fini(&a);
	close(fd);
	assert_int_equal(t->unwatched, 1);

	t->slow = true;
	fd = w_dial(w);
	w_request(w, fd, "dns plan itsp.example", (struct how){0});
	w_listen(w, fd, &a, 10);
	w_advance(w, (int64_t)20 * 1000000);
	w_listen(w, fd, &a, 100);
	assert_true(a.closed);
	assert_int_equal(a.code, 2);
	assert_non_null(strstr(text_z(&a.err), "PSN-E1035"));
	answer_fini(&a);
	close(fd);
	assert_int_equal(t->unwatched, 2);

	a = (struct answer){.code = -1};
	fd = w_dial(w);
	w_request(w, fd, "dns plan itsp.example", (struct how){0});
	w_listen(w, fd, &a, 10);
	assert_non_null(t->one);
	close(fd);
	for (int i = 0; i < 10; i++)
		loop_turn(&w->loop, 2);
	assert_null(t->one);
	assert_int_equal(t->unwatched, 3);
	answer_fini(&a);

	/* the daemon stops while a client waits */
	a = (struct answer){.code = -1};
	fd = w_dial(w);
	w_request(w, fd, "dns plan itsp.example", (struct how){0});
	w_listen(w, fd, &a, 10);
	w_free(w);
	assert_int_equal(t->unwatched, 4);
	answer_fini(&a);
	close(fd);
	free(t);
}

static void destinations(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port, proto;
		bool sips;
		const char *wrong;
	} cases[] = {
	    {"itsp.example", "itsp.example", 0, LOCATE_ANY, false, NULL},
	    {"itsp.example:5070", "itsp.example", 5070, LOCATE_ANY, false, NULL},
	    {"sip:17@itsp.example:5070;transport=TCP", "itsp.example", 5070, NET_TCP, false, NULL},
	    {"sips:itsp.example", "itsp.example", 0, LOCATE_ANY, true, NULL},
	    {"sips:itsp.example;transport=tcp", "itsp.example", 0, NET_TLS, true, NULL},
	    {"sip:[2001:db8::7]:5061;lr;transport=tls", "2001:db8::7", 5061, NET_TLS, false, NULL},
	    {"2001:db8::7", "2001:db8::7", 0, LOCATE_ANY, false, NULL},
	    {"192.0.2.7", "192.0.2.7", 0, LOCATE_ANY, false, NULL},
	    {"tel:+49", NULL, 0, 0, false, "tel:"},
	    {"sip:", NULL, 0, 0, false, "host is missing"},
	    {"sip:[2001:db8::7", NULL, 0, 0, false, "']' is missing"},
	    {"sip:[2001:db8::7]x", NULL, 0, 0, false, "no port"},
	    {"itsp.example:0", NULL, 0, 0, false, "port"},
	    {"itsp.example:65536", NULL, 0, 0, false, "port"},
	    {"sips:itsp.example;transport=udp", NULL, 0, 0, false, "UDP"},
	    {"sip:itsp.example;transport=sctp", NULL, 0, 0, false, "transport"},
	};
	struct world *w = w_new();
	struct table *t = table_new(w);
	struct answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct locate_dest d = {0};
		const char *wrong = view_dest(str_z(cases[i].text), &d);

		if (cases[i].wrong) {
			assert_non_null(wrong);
			assert_non_null(strstr(wrong, cases[i].wrong));
			continue;
		}
		if (wrong)
			print_error("%s: %s\n", cases[i].text, wrong);
		assert_null(wrong);
		assert_true(str_eq(d.host, str_z(cases[i].host)));
		assert_int_equal(d.port, cases[i].port);
		assert_int_equal(d.proto, cases[i].proto);
		assert_int_equal(d.sips, cases[i].sips);
	}
	w_run_how(w, "dns plan tel:+49", (struct how){0}, &a);
	assert_int_equal(a.code, 2);
	answer_fini(&a);
	w_run_how(w, "dns plan a..b", (struct how){0}, &a);
	assert_int_equal(a.code, 2);
	answer_fini(&a);
	w_run_how(w, "dns plan itsp.example --realm nowhere", (struct how){0}, &a);
	assert_int_equal(a.code, 2);
	assert_non_null(strstr(text_z(&a.err), "no realm 'nowhere'"));
	answer_fini(&a);
	w_ok(w, "trunk add acme role=itsp realm=wan target=127.0.0.2:25080");
	w_run_how(w, "dns plan acme", (struct how){0}, &a);
	assert_int_equal(a.code, 0);
	assert_non_null(strstr(text_z(&a.out), "127.0.0.2:25080"));
	answer_fini(&a);
	assert_int_equal(t->watched, t->unwatched);
	w_free(w);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(at_once),
	    cmocka_unit_test(later),
	    cmocka_unit_test(destinations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
