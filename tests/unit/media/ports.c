/* Port pairs: even and odd, random, both or none, rested, refused by name (RTP-13). */
#include "relay_world.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "media/relay_impl.h"

/* a range of n pairs in one realm of IPv4 alone */
static void small(struct world *w, unsigned workers, unsigned n)
{
	world_init(w, workers);
	w->realm[0].ip6 = (struct addr){0};
	w->realm[0].port_max = (uint16_t)(w->realm[0].port_min + 2 * n - 1);
	w->cfg.n_realms = 1;
	world_start(w);
}

static unsigned port_of(const struct relay_pair *p)
{
	return addr_port(relay_pair_local(p));
}

static void pairs_are_even_and_in_range(void **state)
{
	struct relay_pair *p[20], *more;
	struct media_port_use use;
	bool seen[65536] = {0};
	struct world w;

	(void)state;
	world_init(&w, 0);
	w.realm[0].port_min = 20001; /* odd: begins at the next even one */
	w.realm[0].port_max = 20020; /* and 20020 has no odd one: 9 pairs */
	w.cfg.n_realms = 1;
	world_start(&w);
	for (unsigned i = 0; i < 9; i++) {
		p[i] = take(&w, 0, AF_INET);
		assert_int_equal(port_of(p[i]) % 2, 0);
		assert_in_range(port_of(p[i]), 20002, 20018);
		assert_false(seen[port_of(p[i])]);
		seen[port_of(p[i])] = true;
	}
	assert_int_equal(relay_pair_get(w.relay, 0, AF_INET, &more), REASON_PORTS_EXHAUSTED);
	more = take(&w, 0, AF_INET6); /* a range of its own */
	relay_pair_put(more);
	assert_true(relay_port_use(w.relay, 0, &use));
	assert_int_equal(use.total, 18);
	assert_int_equal(use.used, 9);
	assert_int_equal(use.quarantined, 1);
	assert_false(relay_port_use(w.relay, 1, &use));
	assert_int_equal(relay_pairs_in_use(w.relay), 9);
	for (unsigned i = 0; i < 9; i++)
		relay_pair_put(p[i]);
	world_fini(&w);
}

static void order_is_random(void **state)
{
	unsigned first[40] = {0}, ascending = 0;

	(void)state;
	for (unsigned seed = 0; seed < 400; seed++) {
		struct relay_pair *p[20];
		struct world w;
		bool sorted = true;

		world_init(&w, 0);
		w.cfg.n_realms = 1;
		rng_init_seeded(&w.rng, seed + 1);
		world_start(&w);
		for (unsigned i = 0; i < 20; i++) {
			p[i] = take(&w, 0, AF_INET);
			sorted = sorted && (i == 0 || port_of(p[i]) > port_of(p[i - 1]));
		}
		first[port_of(p[0]) - w.realm[0].port_min]++;
		ascending += sorted;
		for (unsigned i = 0; i < 20; i++)
			relay_pair_put(p[i]);
		world_fini(&w);
	}
	assert_int_equal(ascending, 0);
	for (unsigned i = 0; i < 40; i += 2) /* 20 expected each */
		assert_in_range(first[i], 4, 60);
}

static void four_ports_serve_two(void **state)
{
	struct relay_pair *a, *b, *c = NULL;
	struct world w;

	(void)state;
	small(&w, 1, 2);
	a = take(&w, 0, AF_INET);
	b = take(&w, 0, AF_INET);
	assert_int_equal(relay_pair_get(w.relay, 0, AF_INET, &c), REASON_PORTS_EXHAUSTED);
	assert_null(c);
	assert_int_equal(reason_info(REASON_PORTS_EXHAUSTED)->sip, 503);
	assert_true(world_logged(&w, "ports_refused"));
	assert_int_equal(metric(&w, "exhausted"), 1);
	assert_int_equal(metric(&w, "port_use"), 100);
	/* what is given back rests, by the clock of the loop */
	relay_pair_put(a);
	assert_int_equal(relay_pair_get(w.relay, 0, AF_INET, &c), REASON_PORTS_EXHAUSTED);
	w.clock.mono_us += 4999999 - 2 * 1100000;
	w.clock.mono_us += 2 * 1100000;
	assert_int_equal(relay_pair_get(w.relay, 0, AF_INET, &c), REASON_PORTS_EXHAUSTED);
	w.clock.mono_us += 1;
	c = take(&w, 0, AF_INET);
	assert_ptr_equal(c, a); /* the same sockets, never closed */
	relay_pair_put(b);
	relay_pair_put(c);
	world_fini(&w);
}

static void quarantine_is_as_configured(void **state)
{
	struct relay_pair *a, *b = NULL;
	struct world w;

	(void)state;
	world_init(&w, 0);
	w.realm[0].port_max = (uint16_t)(w.realm[0].port_min + 1);
	w.cfg.n_realms = 1;
	w.cfg.quarantine_ms = 30000;
	world_start(&w);
	a = take(&w, 0, AF_INET);
	relay_pair_put(a);
	w.clock.mono_us += 29999999;
	assert_int_equal(relay_pair_get(w.relay, 0, AF_INET, &b), REASON_PORTS_EXHAUSTED);
	w.clock.mono_us += 1;
	b = take(&w, 0, AF_INET);
	relay_pair_put(b);
	world_fini(&w);
}

static void nearly_full_is_said_once(void **state)
{
	struct relay_pair *p[10];
	struct log_line lines[64];
	unsigned said = 0, n;
	struct world w;

	(void)state;
	small(&w, 0, 10);
	for (unsigned i = 0; i < 7; i++)
		p[i] = take(&w, 0, AF_INET);
	assert_false(world_logged(&w, "ports_nearly_full"));
	p[7] = take(&w, 0, AF_INET);
	assert_true(world_logged(&w, "ports_nearly_full realm=wan family=ip4 use=80%"));
	p[8] = take(&w, 0, AF_INET);
	for (unsigned i = 0; i < 9; i++)
		relay_pair_put(p[i]);
	w.clock.mono_us += 10000000; /* all free: it may be said again */
	for (unsigned i = 0; i < 9; i++)
		p[i] = take(&w, 0, AF_INET);
	n = logger_read_any(&w.logger, 0, lines, ARRAY_LEN(lines));
	for (unsigned i = 0; i < n; i++)
		said += strstr(lines[i].text, "ports_nearly_full") != NULL;
	assert_int_equal(said, 2);
	for (unsigned i = 0; i < 9; i++)
		relay_pair_put(p[i]);
	world_fini(&w);
}

static void taken_ports_are_skipped_and_remembered(void **state)
{
	struct relay_pair *p[4], *more = NULL;
	struct media_port_use use;
	struct addr other[3];
	int fd[3];
	struct world w;

	(void)state;
	small(&w, 1, 4);
	other[0] = w.realm[0].ip4; /* RTP port of the first, RTCP port of the second */
	addr_set_port(&other[0], w.realm[0].port_min);
	other[1] = w.realm[0].ip4;
	addr_set_port(&other[1], (uint16_t)(w.realm[0].port_min + 3));
	fd[0] = peer_open(&other[0]);
	fd[1] = peer_open(&other[1]);
	for (unsigned i = 0; i < 2; i++) {
		p[i] = take(&w, 0, AF_INET);
		assert_in_range(port_of(p[i]), w.realm[0].port_min + 4, w.realm[0].port_min + 6);
	}
	assert_int_equal(relay_pair_get(w.relay, 0, AF_INET, &more), REASON_PORTS_EXHAUSTED);
	assert_true(world_logged(&w, "port_taken"));
	assert_true(relay_port_use(w.relay, 0, &use));
	assert_int_equal(use.total, 2);
	assert_int_equal(use.used, 2);
	assert_int_equal(metric(&w, "pairs_blocked"), 2);
	/* both or none: the RTP port of the half that failed is free for others */
	other[2] = w.realm[0].ip4;
	addr_set_port(&other[2], (uint16_t)(w.realm[0].port_min + 2));
	fd[2] = peer_open(&other[2]);
	close(fd[2]);
	/* the others go away: tried again a minute later, not before */
	close(fd[0]);
	close(fd[1]);
	w.clock.mono_us += 50000000;
	assert_int_equal(relay_pair_get(w.relay, 0, AF_INET, &more), REASON_PORTS_EXHAUSTED);
	w.clock.mono_us += 10000000;
	p[2] = take(&w, 0, AF_INET);
	p[3] = take(&w, 0, AF_INET);
	for (unsigned i = 0; i < 4; i++)
		relay_pair_put(p[i]);
	world_fini(&w);
}

/* in a child: 0 when all was as it should be, else the line */
#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			_exit(1 + __LINE__ % 250);                                                 \
	} while (0)

static void without_descriptors_body(void)
{
	struct relay_pair *p[10], *more = NULL;
	struct rlimit lim;
	struct world w;
	unsigned n = 0, keep;
	enum reason why;
	int probe;

	small(&w, 1, 10);
	probe = open("/dev/null", O_RDONLY);
	MUST(probe >= 0);
	MUST(close_range((unsigned)probe, ~0u, 0) == 0); /* what was inherited */
	lim = (struct rlimit){(rlim_t)probe + 7, (rlim_t)probe + 7}; /* room for 3 pairs and a half */
	MUST(setrlimit(RLIMIT_NOFILE, &lim) == 0);
	while ((why = relay_pair_get(w.relay, 0, AF_INET, &p[n])) == REASON_NONE)
		n++;
	MUST(n == 3);
	MUST(why == REASON_NO_DESCRIPTORS);
	MUST(reason_info(why)->sip == 503);
	MUST(metric(&w, "no_descriptors") == 1);
	MUST(world_logged(&w, "out of file descriptors"));
	/* the socket of the half that was opened is closed again */
	MUST((probe = open("/dev/null", O_RDONLY)) >= 0);
	close(probe);
	/* pairs that are bound serve on */
	keep = port_of(p[0]);
	for (int i = 0; i < 20; i++) { /* whichever is drawn first */
		relay_pair_put(p[0]);
		w.clock.mono_us += 6000000;
		MUST(relay_pair_get(w.relay, 0, AF_INET, &p[0]) == REASON_NONE);
		MUST(port_of(p[0]) == keep);
	}
	MUST(relay_pair_get(w.relay, 0, AF_INET, &more) == REASON_NO_DESCRIPTORS);
	for (unsigned i = 0; i < n; i++)
		relay_pair_put(p[i]);
	world_fini(&w);
	_exit(0);
}

static void without_descriptors(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		without_descriptors_body();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void address_that_is_not_ours_stops_the_start(void **state)
{
	enum reason why = REASON_NONE;
	struct world w;

	(void)state;
	world_init(&w, 1);
	w.realm[1].ip4 = ip("192.0.2.77", 0);
	w.relay = relay_new(&w.env, &w.cfg, &why);
	assert_null(w.relay);
	assert_int_equal(why, REASON_ADDRESS_MISSING);
	assert_true(world_logged(&w, "media_address realm=lan address=192.0.2.77"));
	world_fini(&w);
}

static void bad_configurations(void **state)
{
	enum reason why = REASON_NONE;
	struct world w;

	(void)state;
	world_init(&w, 0);
	w.realm[0].port_min = w.realm[0].port_max = 20001; /* an odd port alone */
	assert_null(relay_new(&w.env, &w.cfg, &why));
	assert_int_equal(why, REASON_CONFIG_INVALID);
	assert_true(world_logged(&w, "ports_none realm=wan"));
	w.realm[0].port_max = 20003;
	w.cfg.workers = 1000;
	assert_null(relay_new(&w.env, &w.cfg, &why));
	assert_int_equal(why, REASON_CONFIG_INVALID);
	world_fini(&w);
}

static void realm_without_the_family(void **state)
{
	struct relay_pair *p = NULL;
	struct world w;

	(void)state;
	world_init(&w, 0);
	world_start(&w);
	assert_int_equal(relay_pair_get(w.relay, 1, AF_INET6, &p), REASON_MEDIA_UNREACHABLE);
	assert_int_equal(relay_pair_get(w.relay, 2, AF_INET, &p), REASON_MEDIA_UNREACHABLE);
	assert_null(p);
	world_fini(&w);
}

static void whole_port_space(void **state)
{
	struct relay_pair *p;
	struct media_port_use use;
	struct world w;

	(void)state;
	world_init(&w, 0);
	w.realm[0].port_min = 0; /* 0 is no port */
	w.realm[0].port_max = 65535;
	w.cfg.n_realms = 1;
	w.realm[0].ip6 = (struct addr){0};
	world_start(&w);
	for (unsigned i = 0; i < 40000; i++) { /* more than there are: each goes through quarantine */
		p = take(&w, 0, AF_INET);
		assert_true(port_of(p) >= 2);
		relay_pair_put(p);
		w.clock.mono_us += 1000;
	}
	assert_true(relay_port_use(w.relay, 0, &use));
	assert_int_equal(use.total, 32767);
	assert_in_range(use.quarantined, 4990, 5001);
	world_fini(&w);
}

static const char *clash(unsigned min, unsigned max, const char *ephemeral, const char *reserved)
{
	static char text[256];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	if (!media_ports_clash((uint16_t)min, (uint16_t)max, str_z(ephemeral), str_z(reserved), &b))
		return NULL;
	return buf_z(&b);
}

static void ports_that_the_kernel_gives_to_others(void **state)
{
	(void)state;
	assert_null(clash(20000, 29999, "32768\t60999\n", "\n"));
	assert_string_equal(clash(20000, 39999, "32768\t60999\n", "\n"), "20000-39999");
	assert_string_equal(clash(50000, 65535, "32768 60999", ""), "50000-65535");
	assert_null(clash(61000, 65535, "32768\t60999\n", "\n"));
	assert_null(clash(20000, 32767, "32768\t60999\n", "\n"));
	assert_non_null(clash(20000, 32768, "32768\t60999\n", "\n"));
	/* reserved: whole, in part, elsewhere */
	assert_null(clash(40000, 41999, "32768\t60999\n", "8080,40000-41999\n"));
	assert_null(clash(20000, 39999, "32768\t60999\n", "32768-39999\n")); /* what overlaps is what counts */
	assert_string_equal(clash(40000, 41999, "32768\t60999\n", "8080,40000-40999\n"),
	    "8080,40000-40999,40000-41999");
	assert_string_equal(clash(40000, 41999, "32768\t60999\n", "40000\n"), "40000,40000-41999");
	assert_null(clash(40000, 40001, "nonsense", ""));
	assert_null(clash(40000, 40001, "", ""));
}

/* One range after the other: each adds to what those before it need, also when the list is too long for us. */
static void ports_of_several_ranges(void **state)
{
	struct media_kernel_ports k = {.ephemeral = S("32768 60999"), .reserved = S("8080")};
	struct str fix;

	(void)state;
	fix = media_kernel_ports_fix(&k, 40000, 40999);
	assert_true(str_eq(fix, S("8080,40000-40999")));
	assert_true(str_empty(media_kernel_ports_fix(&k, 40000, 40999)));
	fix = media_kernel_ports_fix(&k, 50000, 50999);
	assert_true(str_eq(fix, S("8080,40000-40999,50000-50999")));
	memset(k.reserved_text, '1', sizeof(k.reserved_text));
	memcpy(k.reserved_text, "40000-40999,", 12);
	k.reserved = str_n(k.reserved_text, sizeof(k.reserved_text) - 2);
	fix = media_kernel_ports_fix(&k, 50000, 50999);
	assert_true(str_eq(fix, S("...,50000-50999")));
	assert_true(str_empty(media_kernel_ports_fix(&k, 40000, 40999)));
	media_kernel_ports_read(&k);
	assert_false(str_empty(k.ephemeral));
}

static void overlap_is_said_at_start(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 1);
	w.realm[0].port_min = 2;
	w.realm[0].port_max = 65535;
	world_start(&w);
	/* whatever the range of this machine is, it is not all reserved */
	assert_true(world_logged(&w, "ports_ephemeral realm=wan ports=2-65535"));
	assert_true(world_logged(&w, "sysctl -w net.ipv4.ip_local_reserved_ports="));
	world_fini(&w);
}

/* Memory of idle pairs: the struct, two indices of each set, a pointer. */
static void idle_pairs_are_small(void **state)
{
	(void)state;
	assert_true(sizeof(struct relay_pair) + sizeof(void *) + 4 * sizeof(uint16_t) <= 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pairs_are_even_and_in_range),
	    cmocka_unit_test(order_is_random),
	    cmocka_unit_test(four_ports_serve_two),
	    cmocka_unit_test(quarantine_is_as_configured),
	    cmocka_unit_test(nearly_full_is_said_once),
	    cmocka_unit_test(taken_ports_are_skipped_and_remembered),
	    cmocka_unit_test(without_descriptors),
	    cmocka_unit_test(address_that_is_not_ours_stops_the_start),
	    cmocka_unit_test(bad_configurations),
	    cmocka_unit_test(realm_without_the_family),
	    cmocka_unit_test(whole_port_space),
	    cmocka_unit_test(ports_that_the_kernel_gives_to_others),
	    cmocka_unit_test(ports_of_several_ranges),
	    cmocka_unit_test(overlap_is_said_at_start),
	    cmocka_unit_test(idle_pairs_are_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
