/* policy_main.c - what the call path asks of the snapshot, by size. links: sbc_policy
 *
 *     bench_policy
 *
 * Number look-up at 10^2 .. 10^6 blocks (hits and misses at random), identification at 10 .. 5000 trunks, a route
 * walk at 10 .. 1000 routes, one header decision, and how long compiling takes. Nanoseconds each, best of five runs.
 * Targets: number look-up at 10^6 at most 200 ns; none of it grows with the number of calls. */
#include "sbc/policy/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ASKS 200000
#define RUNS 5

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct world {
	struct pol_realm realm;
	struct db_rows rows;
	struct db_trunk *trunks;
	struct db_target *targets;
	struct db_source *sources;
	char (*text)[64];
	struct db_route *routes;
	struct db_route_via via;
	struct db_number *numbers;
	struct policy *p;
	double compile_s;
};

static void *need(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p) {
		fputs("out of memory\n", stderr);
		exit(1);
	}
	return p;
}

static void build(struct world *w, unsigned trunks, unsigned numbers, unsigned routes)
{
	struct policy_input in = {.realms = &w->realm, .n_realms = 1, .rows = &w->rows, .hash_key = {3, 4}};
	struct policy_errors *errs = need(1, sizeof(*errs));
	double t0;

	*w = (struct world){.realm = {.name = S("lan")}, .via = {1, 1, 1}};
	w->trunks = need(trunks, sizeof(*w->trunks));
	w->targets = need(trunks, sizeof(*w->targets));
	w->sources = need(trunks, sizeof(*w->sources));
	w->text = need((size_t)trunks * 3 + routes * 2, sizeof(*w->text));
	w->routes = need(routes, sizeof(*w->routes));
	w->numbers = need(numbers, sizeof(*w->numbers));
	for (unsigned i = 0; i < trunks; i++) {
		char(*text)[64] = &w->text[i * 3];

		snprintf(text[0], sizeof(text[0]), "trunk%u", i);
		snprintf(text[1], sizeof(text[1]), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
		snprintf(text[2], sizeof(text[2]), "172.16.%u.%u", i >> 8 & 255, i & 255);
		w->targets[i] = (struct db_target){.host = str_z(text[1]), .priority = 1, .weight = 1};
		w->sources[i].address = i ? str_z(text[2]) : S("sip.example.net");
		w->trunks[i] = (struct db_trunk){.id = i + 1, .name = str_z(text[0]), .role = S("pbx"), .realm = S("lan"),
		    .targets = &w->targets[i], .n_targets = 1, .sources = &w->sources[i], .n_sources = 1};
	}
	for (unsigned i = 0; i < numbers; i++) {
		snprintf(w->numbers[i].first, sizeof(w->numbers[i].first), "+4930%08u", i * 40);
		snprintf(w->numbers[i].last, sizeof(w->numbers[i].last), "+4930%08u", i * 40 + 19);
		w->numbers[i].trunk_id = i % trunks + 1;
	}
	for (unsigned i = 0; i < routes; i++) {
		char(*text)[64] = &w->text[trunks * 3 + i * 2];

		snprintf(text[0], sizeof(text[0]), "route%u", i);
		snprintf(text[1], sizeof(text[1]), "+44%u*", 1000 + i);
		w->routes[i] = (struct db_route){.id = i + 1, .name = str_z(text[0]), .from = S("*"), .to = str_z(text[1]),
		    .via = &w->via, .n_via = 1};
	}
	w->rows = (struct db_rows){.trunks = w->trunks, .n_trunks = trunks, .numbers = w->numbers, .n_numbers = numbers,
	    .routes = w->routes, .n_routes = routes};
	t0 = now_s();
	if (policy_compile(&in, &w->p, errs) < 0) {
		fprintf(stderr, "%s: %s\n", errs->e[0].object, errs->e[0].text);
		exit(1);
	}
	w->compile_s = now_s() - t0;
	free(errs);
}

static void drop(struct world *w)
{
	policy_unref(w->p);
	free(w->trunks);
	free(w->targets);
	free(w->sources);
	free(w->text);
	free(w->routes);
	free(w->numbers);
}

static double best(double a, double b)
{
	return a == 0 || b < a ? b : a;
}

static void bench_numbers(struct rng *rng)
{
	char(*ask)[20] = need(ASKS, sizeof(*ask));

	for (unsigned n = 100; n <= 1000000; n *= 10) {
		double ns = 0;
		unsigned hits = 0;
		struct world w;

		build(&w, 10, n, 1);
		for (unsigned i = 0; i < ASKS; i++)
			snprintf(ask[i], sizeof(ask[i]), "+4930%08u", rng_below(rng, n * 40));
		for (unsigned run = 0; run < RUNS; run++) {
			double t0 = now_s();

			hits = 0;
			for (unsigned i = 0; i < ASKS; i++)
				hits += policy_number(w.p, str_n(ask[i], 13)) != NULL;
			ns = best(ns, (now_s() - t0) / ASKS * 1e9);
		}
		printf("number look-up    %8u blocks  %7.1f ns   (%u of %u found; compiled in %.0f ms)\n", n, ns, hits, ASKS,
		    w.compile_s * 1e3);
		drop(&w);
	}
	free(ask);
}

/* One name gets another address: what a change of the DNS costs. */
static void bench_addresses(void)
{
	static const struct {
		unsigned trunks, numbers;
	} sizes[] = {{10, 1000}, {10, 1000000}, {5000, 1000000}};
	struct policy_address a = {.left_us = 0};
	struct policy_resolved r = {S("sip.example.net"), &a, 1};

	if (addr_parse(S("203.0.113.5:5060"), 0, &a.addr) < 0)
		exit(1);
	for (unsigned k = 0; k < ARRAY_LEN(sizes); k++) {
		double us = 0;
		struct world w;

		build(&w, sizes[k].trunks, sizes[k].numbers, 1);
		for (unsigned run = 0; run < RUNS; run++) {
			double t0 = now_s();

			for (unsigned i = 0; i < 1000; i++) {
				struct policy *p = policy_with_addresses(w.p, &r, 1, 0);

				if (!p)
					exit(1);
				policy_unref(p);
			}
			us = best(us, (now_s() - t0) / 1000 * 1e6);
		}
		printf("other addresses    %8u blocks  %7.1f us   (%u trunks; a compile takes %.0f us)\n", sizes[k].numbers, us,
		    sizes[k].trunks, w.compile_s * 1e6);
		drop(&w);
	}
}

static void bench_identify(struct rng *rng)
{
	static const unsigned sizes[] = {10, 100, 1000, 5000};
	struct net_path *ask = need(ASKS, sizeof(*ask));

	for (unsigned k = 0; k < ARRAY_LEN(sizes); k++) {
		double ns = 0;
		unsigned hits = 0;
		struct world w;

		build(&w, sizes[k], 1, 1);
		for (unsigned i = 0; i < ASKS; i++) {
			unsigned t = rng_below(rng, sizes[k] * 2); /* every second one is a stranger */

			ask[i].remote.in4.sin_family = AF_INET;
			ask[i].remote.in4.sin_addr.s_addr = htonl(0x0a000000u + t);
		}
		for (unsigned run = 0; run < RUNS; run++) {
			double t0 = now_s();

			hits = 0;
			for (unsigned i = 0; i < ASKS; i++)
				hits += policy_identify(w.p, &ask[i], NULL) != NULL;
			ns = best(ns, (now_s() - t0) / ASKS * 1e9);
		}
		printf("identify a source %8u trunks  %7.1f ns   (%u of %u known; compiled in %.1f ms)\n", sizes[k], ns, hits, ASKS,
		    w.compile_s * 1e3);
		drop(&w);
	}
	free(ask);
}

static void bench_routes(struct rng *rng)
{
	for (unsigned n = 10; n <= 1000; n *= 10) {
		struct pol_route_result r;
		const struct pol_trunk *from;
		double ns = 0;
		unsigned hops = 0;
		struct world w;
		char last[20];

		build(&w, 10, 1000, n);
		from = policy_trunk(w.p, 2);
		snprintf(last, sizeof(last), "+44%u55", 1000 + n - 1); /* the last route */
		for (unsigned run = 0; run < RUNS; run++) {
			double t0 = now_s();

			for (unsigned i = 0; i < ASKS / 10; i++) {
				policy_route(w.p, from, S("+493012345"), str_z(last), 0, rng, &r);
				hops += r.n_hops;
			}
			ns = best(ns, (now_s() - t0) / (ASKS / 10) * 1e9);
		}
		printf("route, the last   %8u routes  %7.1f ns   (%u hops)\n", n, ns, hops / (ASKS / 10) / RUNS);
		drop(&w);
	}
}

static void bench_headers(void)
{
	static const struct {
		enum sip_hdr_id id;
		struct str name;
	} ask[] = {{SIP_H_VIA, {"Via", 3}}, {SIP_H_SUBJECT, {"Subject", 7}}, {SIP_H_P_ASSERTED_IDENTITY, {"P-Asserted-Identity", 19}},
	    {SIP_H_OTHER, {"X-Account", 9}}, {SIP_H_OTHER, {"Feature-Caps", 12}}, {SIP_H_INFO_PACKAGE, {"Info-Package", 12}}};
	double ns = 0;
	unsigned passed = 0;
	struct world w;

	build(&w, 2, 1, 1);
	for (unsigned run = 0; run < RUNS; run++) {
		double t0 = now_s();

		for (unsigned i = 0; i < ASKS; i++)
			passed += policy_header(policy_trunk_at(w.p, 0), policy_trunk_at(w.p, 1), ask[i % ARRAY_LEN(ask)].id,
				      ask[i % ARRAY_LEN(ask)].name) == POL_HDR_PASS;
		ns = best(ns, (now_s() - t0) / ASKS * 1e9);
	}
	printf("one header                         %7.1f ns   (%u passed)\n", ns, passed);
	drop(&w);
}

int main(void)
{
	struct rng rng;

	rng_init_seeded(&rng, 1);
	bench_numbers(&rng);
	bench_identify(&rng);
	bench_addresses();
	bench_routes(&rng);
	bench_headers();
	return 0;
}
