/* Record sets against name servers of our own on the same loop: what they say, and how they lie. */
#include "dnsd.h"

struct world_dns {
	struct world w;
	struct dnsd s[2];
	unsigned n_s;
	struct dns *d;
	struct dns_cfg cfg;
	unsigned told;
	bool closed;
};

static void open_dns(struct world_dns *x)
{
	struct addr at_[2] = {x->s[0].at, x->s[1].at};

	if (!x->cfg.servers) {
		x->cfg.servers = at_;
		x->cfg.n_servers = x->n_s;
	}
	assert_int_equal(dns_new(&x->w.loop, &x->w.env, &x->cfg, &x->d), 0);
	x->cfg.servers = NULL;
}

static void init(struct world_dns *x, struct zone *zone, unsigned n)
{
	memset(x, 0, sizeof(*x));
	w_init_bare(&x->w);
	dnsd_init(&x->s[0], &x->w.loop, zone, n);
	x->n_s = 1;
	x->cfg = (struct dns_cfg){.try_ms = 150, .hedge_ms = 60, .tries = 2, .retry_s = 1, .stale_s = 2};
}

static void init_open(struct world_dns *x, struct zone *zone, unsigned n)
{
	init(x, zone, n);
	open_dns(x);
}


static void fini(struct world_dns *x)
{
	dns_free(x->d, w_closed, &x->closed);
	assert_false(x->closed);
	for (int i = 0; i < 100 && !x->closed; i++)
		loop_turn(&x->w.loop, 5);
	assert_true(x->closed);
	for (unsigned i = 0; i < x->n_s; i++)
		dnsd_fini(&x->s[i], &x->w.loop);
	w_fini(&x->w);
}

static void on_news(void *ctx, struct dns_watch *w)
{
	struct world_dns *x = ctx;

	(void)w;
	x->told++;
}

static struct dns_watch *watch(struct world_dns *x, const char *name, enum dns_type type)
{
	struct dns_watch *w;

	assert_int_equal(dns_watch(x->d, str_z(name), type, on_news, x, &w), 0);
	return w;
}

static struct dns_answer of(const struct dns_watch *w)
{
	struct dns_answer a;

	dns_answer(w, &a);
	return a;
}

static bool answered_by(const struct dns_watch *w, const struct dnsd *s)
{
	struct dns_answer a = of(w);

	return addr_eq(&a.server, &s->at);
}

static uint64_t count(const struct world_dns *x, const char *name)
{
	return metrics_get(&x->w.metrics, "dns", name);
}

static void has(const struct dns_watch *w, unsigned n, const char *const *want)
{
	struct dns_answer a = of(w);
	char space[300];

	assert_int_equal(a.n, n);
	for (unsigned i = 0; i < n; i++) {
		struct buf b;

		buf_init(&b, space, sizeof(space));
		dns_put_record(&b, dns_watch_type(w), &a.records[i]);
		assert_string_equal(buf_z(&b), want[i]);
	}
}

static void records_of_all_types(void **state)
{
	struct zone z[] = {
	    {.name = "peer.example.com", .type = DNS_A, .data = {"192.0.2.9", "192.0.2.1", "192.0.2.9"}, .ttl = 300},
	    {.name = "peer.example.com", .type = DNS_AAAA, .data = {"2001:db8::1"}, .ttl = 600},
	    {.name = "_sip._udp.example.com", .type = DNS_SRV,
	        .data = {"20 0 5060 Peer2.example.com", "10 70 5062 peer.example.com", "30 1 0 ."}, .ttl = 200},
	    {.name = "example.com", .type = DNS_NAPTR,
	        .data = {"50 50 s SIPS+D2T _sips._tcp.example.com", "90 50 u E2U+sip ."}, .ttl = 100},
	};
	static const char *const a[] = {"192.0.2.9", "192.0.2.1"}, *const aaaa[] = {"2001:db8::1"};
	static const char *const srv[] = {"20 0 5060 peer2.example.com", "10 70 5062 peer.example.com", "30 1 0 ."};
	static const char *const naptr[] = {
	    "50 50 \"s\" \"SIPS+D2T\" \"\" _sips._tcp.example.com", "90 50 \"u\" \"E2U+sip\" \"\" ."};
	struct dns_watch *w[4], *again;
	struct world_dns x;
	int64_t left;

	(void)state;
	init_open(&x, z, 4);
	w[0] = watch(&x, "peer.example.com", DNS_A);
	w[1] = watch(&x, "peer.example.com", DNS_AAAA);
	w[2] = watch(&x, "_sip._udp.example.com", DNS_SRV);
	w[3] = watch(&x, "example.com", DNS_NAPTR);
	again = watch(&x, "Peer.Example.COM.", DNS_A); /* shares the question */
	assert_true(str_eq(dns_watch_name(again), S("peer.example.com")));
	assert_int_equal(of(w[0]).state, DNS_PENDING);
	assert_int_equal(x.told, 0);
	W_UNTIL(&x.w, x.told == 5);
	has(w[0], 2, a);
	has(again, 2, a);
	has(w[1], 1, aaaa);
	has(w[2], 3, srv);
	has(w[3], 2, naptr);
	assert_int_equal(x.s[0].asked, 4);
	assert_int_equal(x.s[0].asked_other, 0); /* no search list, no other type */
	for (int i = 0; i < 4; i++) {
		struct dns_answer r = of(w[i]);

		assert_int_equal(r.state, DNS_GOOD);
		assert_int_equal(r.ttl_s, z[i].ttl);
		assert_true(addr_eq(&r.server, &x.s[0].at));
		left = r.good_until_us - x.w.loop.clock.mono_us;
		assert_true(left > (z[i].ttl - 1) * (int64_t)1000000 && left <= z[i].ttl * (int64_t)1000000);
		/* asked again at about 90 % of it */
		left = r.next_us - x.w.loop.clock.mono_us;
		assert_true(left > z[i].ttl * (int64_t)830000 && left <= z[i].ttl * (int64_t)900000);
	}
	fini(&x);
}

/* DNS-07: renewed before the TTL ends, so that there is no moment without; equal answers are no news */
static void renewed_before_the_ttl_is_over(void **state)
{
	struct zone z[] = {{.name = "a.example", .type = DNS_A, .data = {"192.0.2.1", "192.0.2.2"}, .ttl = 1}};
	static const char *const before[] = {"192.0.2.1", "192.0.2.2"}, *const later[] = {"192.0.2.3"};
	struct dns_watch *w;
	struct world_dns x;
	int64_t began, until;
	uint32_t revision;

	(void)state;
	init_open(&x, z, 1);
	w = watch(&x, "a.example", DNS_A);
	W_UNTIL(&x.w, x.told == 1);
	has(w, 2, before);
	began = x.w.loop.clock.mono_us;
	until = of(w).good_until_us;
	revision = of(w).revision;
	z[0].data[0] = "192.0.2.2"; /* the same in another order */
	z[0].data[1] = "192.0.2.1";
	W_UNTIL(&x.w, x.told == 2);
	assert_true(x.w.loop.clock.mono_us < until);
	assert_true(x.w.loop.clock.mono_us - began >= 830000);
	assert_true(of(w).good_until_us > until);
	assert_int_equal(of(w).revision, revision);
	has(w, 2, before);
	z[0].data[0] = "192.0.2.3";
	z[0].data[1] = NULL;
	W_UNTIL(&x.w, x.told == 3);
	assert_int_equal(of(w).revision, revision + 1);
	has(w, 1, later);
	fini(&x);
}

/* DNS-07: a CNAME's shorter TTL counts; negative answers live as long as the SOA says */
static void lifetimes_of_aliases_and_of_nothing(void **state)
{
	struct zone z[] = {
	    {.name = "alias.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 600, .cname = "real.example",
	        .cname_ttl = 30},
	    {.name = "gone.example", .type = DNS_A, .rcode = 3, .soa = true, .soa_ttl = 900, .soa_min = 120},
	    {.name = "none.example", .type = DNS_A, .soa = true, .soa_ttl = 40, .soa_min = 3600},
	    {.name = "long.example", .type = DNS_A, .soa = true, .soa_ttl = 90000, .soa_min = 90000},
	    {.name = "nosoa.example", .type = DNS_A, .rcode = 3},
	};
	static const struct {
		const char *name;
		uint32_t life_s;
		enum dns_state state;
		bool no_name;
	} want[] = {{"alias.example", 30, DNS_GOOD, false}, {"gone.example", 120, DNS_EMPTY, true},
	    {"none.example", 40, DNS_EMPTY, false}, {"long.example", 3600, DNS_EMPTY, false},
	    {"nosoa.example", 1, DNS_EMPTY, true}};
	struct dns_watch *w[5];
	struct world_dns x;

	(void)state;
	init_open(&x, z, 5);
	for (int i = 0; i < 5; i++)
		w[i] = watch(&x, want[i].name, DNS_A);
	W_UNTIL(&x.w, x.told == 5);
	for (int i = 0; i < 5; i++) {
		struct dns_answer a = of(w[i]);

		assert_int_equal(a.state, want[i].state);
		assert_int_equal(a.ttl_s, want[i].life_s);
		assert_int_equal(a.no_name, want[i].no_name);
		if (a.state == DNS_EMPTY) /* not asked before the SOA says so */
			assert_true(a.next_us == a.good_until_us);
	}
	fini(&x);
}

/* DNS-07: with the servers down the last good answer stays, for a bounded time, and one sees it */
static void stale_answers_while_the_servers_are_down(void **state)
{
	struct zone z[] = {{.name = "a.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 1}};
	static const char *const old[] = {"192.0.2.1"}, *const back[] = {"192.0.2.7"};
	struct dns_watch *w;
	struct world_dns x;
	int64_t began;

	(void)state;
	init_open(&x, z, 1);
	w = watch(&x, "a.example", DNS_A);
	W_UNTIL(&x.w, of(w).state == DNS_GOOD);
	began = x.w.loop.clock.mono_us;
	x.s[0].rcode = -1; /* silence */
	W_UNTIL(&x.w, of(w).state == DNS_STALE);
	assert_true(x.w.loop.clock.mono_us - began >= 990000); /* not before its TTL was over */
	assert_string_equal(of(w).failure, "no answer");
	has(w, 1, old);
	x.s[0].rcode = DNS_SERVFAIL; /* is no better */
	w_spin(&x.w, 1200);
	assert_int_equal(of(w).state, DNS_STALE);
	assert_string_equal(of(w).failure, "server failure");
	has(w, 1, old);
	W_UNTIL(&x.w, of(w).state == DNS_FAILED);
	has(w, 0, NULL);
	assert_true(x.w.loop.clock.mono_us - began >= 2990000); /* TTL and stale_s */
	assert_int_equal(count(&x, "turned_stale"), 1);
	assert_int_equal(count(&x, "given_up"), 1);
	x.s[0].rcode = 0;
	z[0].data[0] = "192.0.2.7";
	W_UNTIL(&x.w, of(w).state == DNS_GOOD);
	has(w, 1, back);
	/* "no such name" with a SOA is an answer: nothing stale then */
	z[0].rcode = DNS_NXDOMAIN;
	z[0].soa = true;
	z[0].soa_ttl = z[0].soa_min = 1;
	W_UNTIL(&x.w, of(w).state == DNS_EMPTY);
	has(w, 0, NULL);
	/* and that there is nothing is known while the servers fail, too */
	x.s[0].rcode = DNS_REFUSED;
	W_UNTIL(&x.w, of(w).failure != NULL);
	assert_int_equal(of(w).state, DNS_EMPTY);
	W_UNTIL(&x.w, of(w).state == DNS_FAILED);
	fini(&x);
}

/* an empty answer that nothing stands behind does not take a trunk down at once */
static void empty_without_soa_is_asked_again(void **state)
{
	struct zone z[] = {{.name = "a.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 1}};
	static const char *const old[] = {"192.0.2.1"};
	struct dns_watch *w;
	struct world_dns x;

	(void)state;
	init_open(&x, z, 1);
	w = watch(&x, "a.example", DNS_A);
	W_UNTIL(&x.w, of(w).state == DNS_GOOD);
	z[0].data[0] = NULL;
	W_UNTIL(&x.w, x.s[0].asked == 3); /* empty for the second time */
	w_spin(&x.w, 20);
	has(w, 1, old);
	assert_string_equal(of(w).failure, "empty answer without SOA");
	W_UNTIL(&x.w, of(w).state == DNS_EMPTY);
	assert_int_equal(x.s[0].asked, 4);
	fini(&x);
}

/* each way to fail of an only server: a reason, a counter, and an end */
static void failures_have_names(void **state)
{
	struct zone z[] = {
	    {.name = "f0.example", .type = DNS_A, .rcode = DNS_REFUSED},
	    {.name = "f1.example", .type = DNS_A, .rcode = DNS_SERVFAIL},
	    {.name = "f2.example", .type = DNS_A, .rcode = -1},
	    {.name = "f3.example", .type = DNS_A, .data = {"192.0.2.66"}, .ttl = 60, .fault = F_WRONG_ID},
	    {.name = "f4.example", .type = DNS_A, .data = {"192.0.2.66"}, .ttl = 60, .fault = F_WRONG_QUESTION},
	    {.name = "f5.example", .type = DNS_A, .data = {"192.0.2.66"}, .ttl = 60, .fault = F_POINTER_LOOP},
	    {.name = "f6.example", .type = DNS_A, .data = {"192.0.2.66"}, .ttl = 60, .fault = F_CUT},
	    {.name = "f7.example", .type = DNS_A, .fault = F_CNAME_LOOP},
	    {.name = "f8.example", .type = DNS_A, .fault = F_CNAME_LONG},
	    {.name = "f9.example", .type = DNS_A, .rcode = DNS_NOTIMP},
	    {.name = "f10.example", .type = DNS_A, .rcode = 9},
	    {.name = "f11.example", .type = DNS_A, .data = {"192.0.2.66"}, .ttl = 60, .fault = F_TCP_REFUSED},
	};
	static const struct {
		const char *failure, *counter;
	} want[] = {{"refused", "refused"}, {"server failure", "server_failures"}, {"no answer", "silent"},
	    {"no answer", "strays"}, {"no answer", "strays"}, {"malformed answer", "malformed"},
	    {"malformed answer", "malformed"}, {"aliases in a circle", "alias_loops"}, {"aliases in a circle", "alias_loops"},
	    {"not implemented", "server_failures"}, {"unknown failure", "server_failures"}, {"server unreachable", "silent"}};
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(z); i++) {
		struct dns_watch *w;
		struct world_dns x;

		init_open(&x, &z[i], 1);
		w = watch(&x, z[i].name, DNS_A);
		W_UNTIL(&x.w, of(w).state == DNS_FAILED);
		assert_string_equal(of(w).failure, want[i].failure);
		assert_true(count(&x, want[i].counter) >= 1);
		assert_int_equal(count(&x, "failed"), 1);
		has(w, 0, NULL);
		fini(&x);
	}
}

/* answers somebody else sends do not keep the true one away */
static void forged_answers_are_counted_and_passed_over(void **state)
{
	struct zone z[] = {
	    {.name = "a.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 60, .fault = F_FORGED_FIRST},
	    {.name = "b.example", .type = DNS_A, .data = {"192.0.2.2"}, .ttl = 60, .fault = F_EMPTY_DATAGRAM}};
	static const char *const a[] = {"192.0.2.1"}, *const b[] = {"192.0.2.2"};
	struct dns_watch *w, *v;
	struct dns_server_view sv;
	struct world_dns x;

	(void)state;
	init_open(&x, z, 2);
	w = watch(&x, "a.example", DNS_A);
	W_UNTIL(&x.w, of(w).state != DNS_PENDING);
	has(w, 1, a);
	assert_int_equal(count(&x, "strays"), 101);
	v = watch(&x, "b.example", DNS_A);
	W_UNTIL(&x.w, of(v).state != DNS_PENDING);
	has(v, 1, b);
	assert_int_equal(count(&x, "strays"), 102);
	assert_true(dns_server_view(x.d, 0, &sv));
	assert_int_equal(sv.lied, 102);
	assert_int_equal(sv.asked, 2);
	assert_int_equal(sv.answered, 2);
	assert_true(sv.rtt_us > 0);
	assert_false(dns_server_view(x.d, 1, &sv));
	fini(&x);
}

/* an answer too long for a datagram is fetched by TCP; of a thousand records 64 are taken */
static void long_answers_come_by_tcp_and_are_cut(void **state)
{
	struct zone z[] = {
	    {.name = "big.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300, .fault = F_TRUNCATED}};
	struct zone many[] = {{.name = "many.example", .type = DNS_A, .ttl = 300, .fault = F_MANY}};
	static const char *const want[] = {"192.0.2.1"};
	struct dns_watch *w;
	struct world_dns x;

	(void)state;
	init_open(&x, z, 1);
	w = watch(&x, "big.example", DNS_A);
	W_UNTIL(&x.w, of(w).state != DNS_PENDING);
	has(w, 1, want);
	assert_int_equal(x.s[0].asked_tcp, 1);
	assert_int_equal(count(&x, "truncated"), 1);
	fini(&x);

	init_open(&x, many, 1);
	w = watch(&x, "many.example", DNS_A);
	W_UNTIL(&x.w, of(w).state != DNS_PENDING);
	assert_int_equal(of(w).state, DNS_GOOD);
	assert_int_equal(of(w).n, DNS_RECORDS_MAX);
	assert_int_equal(count(&x, "records_left_out"), 1000 - DNS_RECORDS_MAX);
	fini(&x);
}

/* a server that does not chase aliases: we do, to the end, with the shortest TTL on the way */
static void aliases_are_followed(void **state)
{
	struct zone z[] = {
	    {.name = "a.example", .type = DNS_A, .cname = "b.example", .cname_ttl = 50, .bare_cname = true},
	    {.name = "b.example", .type = DNS_A, .cname = "c.example", .cname_ttl = 20, .bare_cname = true},
	    {.name = "c.example", .type = DNS_A, .data = {"192.0.2.3"}, .ttl = 90},
	    {.name = "l.example", .type = DNS_A, .cname = "m.example", .cname_ttl = 50, .bare_cname = true},
	    {.name = "m.example", .type = DNS_A, .cname = "l.example", .cname_ttl = 50, .bare_cname = true},
	};
	static const char *const want[] = {"192.0.2.3"};
	struct dns_watch *w, *loop;
	struct world_dns x;

	(void)state;
	init_open(&x, z, 5);
	w = watch(&x, "a.example", DNS_A);
	loop = watch(&x, "l.example", DNS_A);
	W_UNTIL(&x.w, of(w).state != DNS_PENDING && of(loop).state != DNS_PENDING);
	has(w, 1, want);
	assert_int_equal(of(w).ttl_s, 20);
	assert_int_equal(of(loop).state, DNS_FAILED);
	assert_string_equal(of(loop).failure, "aliases in a circle");
	fini(&x);
}

static void servers_without_edns(void **state)
{
	struct zone z[] = {
	    {.name = "a.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300, .fault = F_NO_EDNS},
	    {.name = "b.example", .type = DNS_A, .data = {"192.0.2.2"}, .ttl = 300, .fault = F_NO_EDNS},
	    {.name = "c.example", .type = DNS_A, .data = {"192.0.2.3"}, .ttl = 300, .fault = F_NO_EDNS},
	};
	struct dns_watch *w[3];
	struct world_dns x;

	(void)state;
	init_open(&x, z, 3);
	w[0] = watch(&x, "a.example", DNS_A); /* both under way when it is found out */
	w[1] = watch(&x, "b.example", DNS_A);
	W_UNTIL(&x.w, of(w[0]).state == DNS_GOOD && of(w[1]).state == DNS_GOOD);
	assert_int_equal(x.s[0].asked, 4);
	w[2] = watch(&x, "c.example", DNS_A);
	W_UNTIL(&x.w, of(w[2]).state == DNS_GOOD);
	assert_int_equal(x.s[0].asked, 5); /* known by now */
	fini(&x);
}

/* a refusal or a failure sends us to the next server at once, a lie too */
static void the_next_server_at_once(void **state)
{
	struct zone first[] = {
	    {.name = "a.example", .type = DNS_A, .rcode = DNS_REFUSED},
	    {.name = "b.example", .type = DNS_A, .rcode = DNS_SERVFAIL},
	    {.name = "c.example", .type = DNS_A, .data = {"192.0.2.66"}, .ttl = 300, .fault = F_CUT},
	};
	struct zone second[] = {
	    {.name = "a.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300},
	    {.name = "b.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300},
	    {.name = "c.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300},
	};
	static const char *const names[] = {"a.example", "b.example", "c.example"}, *const want[] = {"192.0.2.1"};
	struct world_dns x;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct dns_watch *w;
		int64_t began;

		init(&x, first, 3);
		dnsd_init(&x.s[1], &x.w.loop, second, 3);
		x.n_s = 2;
		x.cfg.hedge_ms = 3000;
		x.cfg.try_ms = 4000;
		open_dns(&x);
		w = watch(&x, names[i], DNS_A);
		began = x.w.loop.clock.mono_us;
		W_UNTIL(&x.w, of(w).state != DNS_PENDING);
		has(w, 1, want);
		assert_true(answered_by(w, &x.s[1]));
		assert_true(x.w.loop.clock.mono_us - began < 500000);
		fini(&x);
	}
}

/* a dead server costs the first questions a moment and then nothing; when it is back it is used again */
static void a_dead_server_is_set_aside(void **state)
{
	static char names[12][16];
	struct zone z[12] = {0};
	struct dns_watch *w[12];
	struct dns_server_view v;
	struct world_dns x;
	int64_t began;

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		snprintf(names[i], sizeof(names[i]), "n%u.example", i);
		z[i] = (struct zone){.name = names[i], .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300};
	}
	init(&x, z, 12);
	dnsd_init(&x.s[1], &x.w.loop, z, 12);
	x.n_s = 2;
	x.cfg.rest_s = 1;
	x.cfg.hedge_ms = 400;
	x.cfg.try_ms = 600;
	open_dns(&x);
	x.s[0].rcode = -1;
	for (unsigned i = 0; i < 3; i++) {
		w[i] = watch(&x, names[i], DNS_A);
		W_UNTIL(&x.w, of(w[i]).state == DNS_GOOD);
	}
	assert_true(dns_server_view(x.d, 0, &v));
	assert_true(v.down);
	assert_int_equal(v.silent, 3);
	for (unsigned i = 3; i < 8; i++) {
		began = x.w.loop.clock.mono_us;
		w[i] = watch(&x, names[i], DNS_A);
		W_UNTIL(&x.w, of(w[i]).state == DNS_GOOD);
		assert_true(x.w.loop.clock.mono_us - began < 300000); /* less than the hedge */
	}
	assert_int_equal(x.s[0].asked, 3);
	x.s[0].rcode = 0;
	w_spin(&x.w, 1100);
	w[8] = watch(&x, names[8], DNS_A); /* its copy goes to the first one */
	W_UNTIL(&x.w, dns_server_view(x.d, 0, &v) && !v.down);
	w[9] = watch(&x, names[9], DNS_A);
	W_UNTIL(&x.w, of(w[9]).state == DNS_GOOD);
	assert_true(answered_by(w[9], &x.s[0]));
	fini(&x);
}

static void nobody_listens(void **state)
{
	struct zone z[] = {{.name = "a.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300}};
	struct addr servers[3];
	struct dns_watch *w;
	struct world_dns x;
	int fd;

	(void)state;
	init(&x, z, 1);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &servers[0]);
	close(fd);
	servers[1] = at("[2001:db8:ffff::1]:53"); /* no way there */
	servers[2] = x.s[0].at;
	x.cfg.servers = servers;
	x.cfg.n_servers = 3;
	x.cfg.hedge_ms = 1000;
	open_dns(&x);
	w = watch(&x, "a.example", DNS_A);
	W_UNTIL(&x.w, of(w).state != DNS_PENDING);
	assert_int_equal(of(w).state, DNS_GOOD);
	assert_true(answered_by(w, &x.s[0]));
	fini(&x);
}

/* DNS-07: a server that says nothing holds nothing up */
static void a_silent_server_blocks_nobody(void **state)
{
	struct zone z[] = {{.name = "slow.example", .type = DNS_A, .rcode = -1}};
	struct dns_watch *w;
	struct world_dns x;

	(void)state;
	init(&x, z, 1);
	x.cfg.try_ms = 400;
	open_dns(&x);
	w = watch(&x, "slow.example", DNS_A);
	W_UNTIL(&x.w, of(w).state == DNS_FAILED);
	/* no callback of the loop took anything like the server's timeout */
	assert_true(x.w.loop.counts[LOOP_LONGEST_US] < 100000);
	fini(&x);
}

/* names whose questions fail wait behind those that may succeed */
static void failing_names_hold_up_nobody(void **state)
{
	static char names[40][16];
	struct zone z[41] = {0};
	struct dns_watch *w, *bad[40];
	struct world_dns x;
	int64_t began;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		snprintf(names[i], sizeof(names[i]), "bad%u.example", i);
		z[i] = (struct zone){.name = names[i], .type = DNS_A, .rcode = DNS_SERVFAIL};
	}
	z[40] = (struct zone){.name = "good.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300};
	init(&x, z, 41);
	x.cfg.max_asking = 4;
	x.cfg.hedge_ms = 400;
	x.cfg.try_ms = 1000;
	open_dns(&x);
	for (unsigned i = 0; i < 40; i++)
		bad[i] = watch(&x, names[i], DNS_A);
	for (unsigned i = 0; i < 40; i++)
		W_UNTIL(&x.w, of(bad[i]).state == DNS_FAILED);
	for (unsigned i = 0; i < 40; i++)
		z[i].rcode = -1; /* now each of them keeps its place for seconds */
	x.s[0].n_log = 0;
	W_UNTIL(&x.w, x.s[0].n_log >= 2);
	w_spin(&x.w, 100);
	assert_int_equal(x.s[0].n_log, 2); /* half of the places */
	began = x.w.loop.clock.mono_us;
	w = watch(&x, "good.example", DNS_A);
	W_UNTIL(&x.w, of(w).state == DNS_GOOD);
	assert_true(x.w.loop.clock.mono_us - began < 350000); /* less than the hedge */
	fini(&x);
}

/* all dead, then back: what failed is asked again soon, not when its retry would have been due */
static void servers_that_come_back_are_asked_soon(void **state)
{
	struct zone z[] = {{.name = "a.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300},
	    {.name = "b.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300}};
	struct dns_watch *a, *b;
	struct world_dns x;
	int64_t began;

	(void)state;
	init(&x, z, 2);
	x.cfg.retry_s = 3600;
	x.cfg.rest_s = 1;
	open_dns(&x);
	x.s[0].rcode = -1;
	a = watch(&x, "a.example", DNS_A);
	W_UNTIL(&x.w, of(a).failure && of(a).next_us > x.w.loop.clock.mono_us + 3000000); /* third failure and more */
	b = watch(&x, "b.example", DNS_A);
	W_UNTIL(&x.w, of(b).state == DNS_FAILED);
	x.s[0].rcode = 0;
	began = x.w.loop.clock.mono_us;
	W_UNTIL(&x.w, of(a).state == DNS_GOOD && of(b).state == DNS_GOOD);
	assert_true(x.w.loop.clock.mono_us - began < 2500000);
	fini(&x);
}

/* postern dns flush: asked at once, the old answer stays until then */
static void flushing_asks_again(void **state)
{
	struct zone z[] = {{.name = "a.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300},
	    {.name = "b.example", .type = DNS_A, .data = {"192.0.2.2"}, .ttl = 300}};
	static const char *const old[] = {"192.0.2.1"}, *const later[] = {"192.0.2.9"};
	struct dns_watch *a, *b;
	struct world_dns x;

	(void)state;
	init_open(&x, z, 2);
	a = watch(&x, "a.example", DNS_A);
	b = watch(&x, "b.example", DNS_A);
	W_UNTIL(&x.w, x.told == 2);
	z[0].data[0] = "192.0.2.9";
	assert_int_equal(dns_flush(x.d, S("A.example.")), 1);
	has(a, 1, old);
	W_UNTIL(&x.w, x.told == 3);
	has(a, 1, later);
	assert_int_equal(dnsd_asked(&x.s[0], "A b.example"), 1);
	assert_int_equal(dns_flush(x.d, STR_NONE), 2);
	W_UNTIL(&x.w, x.told == 5);
	assert_int_equal(dnsd_asked(&x.s[0], "A b.example"), 2);
	assert_int_equal(dns_flush(x.d, S("other.example")), 0);
	x.s[0].rcode = -1;
	dns_flush(x.d, STR_NONE);
	W_UNTIL(&x.w, of(b).failure);
	assert_int_equal(of(b).state, DNS_GOOD); /* its TTL is not over */
	has(a, 1, later);
	fini(&x);
}

/* a reload names other servers: questions under way go on there */
static void other_servers(void **state)
{
	struct zone z[] = {{.name = "a.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300}};
	struct dns_server_view v;
	struct dns_watch *w;
	struct world_dns x;
	struct addr both[2];

	(void)state;
	init(&x, z, 1);
	dnsd_init(&x.s[1], &x.w.loop, z, 1);
	x.n_s = 1;
	x.cfg.try_ms = x.cfg.hedge_ms = 4000;
	open_dns(&x);
	x.n_s = 2;
	x.s[0].rcode = -1;
	w = watch(&x, "a.example", DNS_A);
	W_UNTIL(&x.w, x.s[0].asked == 1);
	assert_int_equal(dns_set_servers(x.d, &x.s[1].at, 1), 0);
	assert_true(dns_server_view(x.d, 0, &v) && addr_eq(&v.addr, &x.s[1].at));
	assert_false(dns_server_view(x.d, 1, &v));
	W_UNTIL(&x.w, of(w).state == DNS_GOOD);
	assert_true(answered_by(w, &x.s[1]));
	both[0] = x.s[0].at;
	both[1] = x.s[1].at;
	assert_int_equal(dns_set_servers(x.d, both, 2), 0);
	assert_true(dns_server_view(x.d, 1, &v) && v.answered == 1); /* the one that stays keeps what is known of it */
	both[0] = both[1];
	assert_int_equal(dns_set_servers(x.d, both, 2), 0); /* named twice */
	assert_false(dns_server_view(x.d, 1, &v));
	fini(&x);
}

static void unwatch_in_news(void *ctx, struct dns_watch *w)
{
	struct world_dns *x = ctx;

	x->told++;
	dns_unwatch(w);
}

static void watches_may_go_at_any_time(void **state)
{
	struct zone z[] = {{.name = "a.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 300},
	    {.name = "b.example", .type = DNS_A, .rcode = -1}};
	struct dns_watch *w[3];
	struct dns_set_view v;
	const struct dns_set *s = NULL;
	struct world_dns x;
	unsigned sets = 0;

	(void)state;
	init_open(&x, z, 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(dns_watch(x.d, S("a.example"), DNS_A, unwatch_in_news, &x, &w[i]), 0);
	W_UNTIL(&x.w, x.told == 3);
	w[0] = watch(&x, "a.example", DNS_A); /* kept a moment: known at once, and not asked again */
	assert_int_equal(of(w[0]).state, DNS_GOOD);
	w_spin(&x.w, 30);
	assert_int_equal(dnsd_asked(&x.s[0], "A a.example"), 1);
	dns_unwatch(w[0]);
	w[1] = watch(&x, "b.example", DNS_A); /* while it is asked */
	dns_unwatch(w[1]);
	dns_unwatch(NULL);
	w_spin(&x.w, 250);
	while ((s = dns_walk(x.d, s))) {
		dns_set_view(s, &v);
		assert_int_equal(v.watchers, 0);
		sets++;
	}
	assert_int_equal(sets, 2);
	assert_int_equal(x.told, 3);
	watch(&x, "b.example", DNS_A); /* asked while all ends */
	watch(&x, "a.example", DNS_AAAA);
	loop_turn(&x.w.loop, 1);
	fini(&x);
}

static void only_host_names_are_asked(void **state)
{
	static const char *const bad[] = {"", ".", "192.0.2.1", "a..b", ".a", "a b", "a/b", "[::1]", "a.1", "x;y",
	    "a.example..", "sip:a.example"};
	struct dns_watch *w;
	char label[80];
	struct world_dns x;

	(void)state;
	init_open(&x, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(dns_watch(x.d, str_z(bad[i]), DNS_A, on_news, &x, &w), -EINVAL);
	memset(label, 'a', sizeof(label));
	assert_int_equal(dns_watch(x.d, str_n(label, 64), DNS_A, on_news, &x, &w), -EINVAL);
	assert_int_equal(dns_watch(x.d, str_n(label, 63), DNS_A, on_news, &x, &w), 0);
	fini(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_of_all_types),
	    cmocka_unit_test(renewed_before_the_ttl_is_over),
	    cmocka_unit_test(lifetimes_of_aliases_and_of_nothing),
	    cmocka_unit_test(stale_answers_while_the_servers_are_down),
	    cmocka_unit_test(empty_without_soa_is_asked_again),
	    cmocka_unit_test(failures_have_names),
	    cmocka_unit_test(forged_answers_are_counted_and_passed_over),
	    cmocka_unit_test(long_answers_come_by_tcp_and_are_cut),
	    cmocka_unit_test(aliases_are_followed),
	    cmocka_unit_test(servers_without_edns),
	    cmocka_unit_test(the_next_server_at_once),
	    cmocka_unit_test(a_dead_server_is_set_aside),
	    cmocka_unit_test(nobody_listens),
	    cmocka_unit_test(a_silent_server_blocks_nobody),
	    cmocka_unit_test(failing_names_hold_up_nobody),
	    cmocka_unit_test(servers_that_come_back_are_asked_soon),
	    cmocka_unit_test(flushing_asks_again),
	    cmocka_unit_test(other_servers),
	    cmocka_unit_test(watches_may_go_at_any_time),
	    cmocka_unit_test(only_host_names_are_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
