/* Destinations against a name server of our own: which questions are asked, and what plan comes of the answers. */
#include "dnsd.h"

#include "sbc/net/locate_dns.h"
#include "sbc/net/resolve.h"

#define ALL (1u << NET_UDP | 1u << NET_TCP | 1u << NET_TLS)
#define BOTH (RESOLVE_V4 | RESOLVE_V6)

struct world_loc {
	struct world w;
	struct dnsd s;
	struct dns *d;
	struct locator *lr;
	unsigned told;
	bool closed;
};

static void init(struct world_loc *x, struct zone *zone, unsigned n)
{
	memset(x, 0, sizeof(*x));
	w_init_bare(&x->w);
	dnsd_init(&x->s, &x->w.loop, zone, n);
	assert_int_equal(dns_new(&x->w.loop, &x->w.env,
	                     &(struct dns_cfg){.servers = &x->s.at,
	                         .n_servers = 1,
	                         .try_ms = 150,
	                         .hedge_ms = 60,
	                         .tries = 2,
	                         .retry_s = 1,
	                         .stale_s = 2},
	                     &x->d),
	    0);
	assert_int_equal(locator_dns_new(&x->w.loop, &x->w.env, x->d, &x->lr), 0);
}

static void fini(struct world_loc *x)
{
	locator_dns_free(x->lr);
	dns_free(x->d, w_closed, &x->closed);
	W_UNTIL(&x->w, x->closed);
	dnsd_fini(&x->s, &x->w.loop);
	w_fini(&x->w);
}

static void on_plan(void *ctx, struct location *l)
{
	struct world_loc *x = ctx;

	(void)l;
	x->told++;
}

static struct location *watch(struct world_loc *x, struct locate_dest d)
{
	struct location *l;

	if (!d.protos)
		d.protos = ALL;
	if (!d.families)
		d.families = BOTH;
	assert_int_equal(locate_watch(x->lr, &d, on_plan, x, &l), 0);
	return l;
}

static enum locate_state state_of(const struct world_loc *x, const struct location *l)
{
	return locate_plan(x->lr, l)->state;
}

/* "10/70 UDP sip1.example.com 192.0.2.1:5060 [2001:db8::1]:5060; ..." */
static void plan_is(const struct world_loc *x, const struct location *l, const char *how, const char *want)
{
	const struct locate_plan *p = locate_plan(x->lr, l);
	char space[2000];
	struct buf b;

	buf_init(&b, space, sizeof(space));
	for (unsigned i = 0; i < p->n_servers; i++) {
		const struct locate_server *s = &p->servers[i];

		buf_fmt(&b, "%s%u/%u %.*s %.*s", i ? "; " : "", s->priority, s->weight, STR(net_proto_name(s->proto)),
		    STR(s->name));
		for (unsigned k = 0; k < s->n; k++) {
			buf_chr(&b, ' ');
			addr_put(&b, &p->addrs[s->first + k]);
		}
	}
	assert_string_equal(p->how, how);
	assert_string_equal(buf_z(&b), want);
}

static void asked(const struct world_loc *x, unsigned n, const char *const *want)
{
	assert_int_equal(x->s.n_log, n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(dnsd_asked(&x->s, want[i]), 1);
}

static struct zone full[] = {
    {.name = "example.com", .type = DNS_NAPTR,
        .data = {"90 50 s SIP+D2U _sip._udp.example.com", "50 50 s SIPS+D2T _sips._tcp.example.com",
            "60 50 s SIP+D2W _sip._ws.example.com", "100 50 s SIP+D2T _sip._tcp.example.com"},
        .ttl = 300},
    {.name = "_sip._udp.example.com", .type = DNS_SRV, .data = {"20 0 5060 sip2.example.com", "10 70 5062 sip1.example.com"},
        .ttl = 200},
    {.name = "_sips._tcp.example.com", .type = DNS_SRV, .data = {"10 0 5061 sip1.example.com"}, .ttl = 200},
    {.name = "_sip._tcp.example.com", .type = DNS_SRV, .data = {"10 0 5060 sip3.example.com"}, .ttl = 200},
    {.name = "sip1.example.com", .type = DNS_A, .data = {"192.0.2.1", "192.0.2.11"}, .ttl = 100},
    {.name = "sip1.example.com", .type = DNS_AAAA, .data = {"2001:db8::1"}, .ttl = 90},
    {.name = "sip2.example.com", .type = DNS_A, .data = {"192.0.2.2"}, .ttl = 100},
    {.name = "sip2.example.com", .type = DNS_AAAA, .soa = true, .soa_ttl = 60, .soa_min = 60},
    {.name = "sip3.example.com", .type = DNS_A, .data = {"192.0.2.3"}, .ttl = 100},
    {.name = "sip3.example.com", .type = DNS_AAAA, .data = {"2001:db8::3"}, .ttl = 100},
    {.name = "example.com", .type = DNS_A, .data = {"192.0.2.80"}, .ttl = 100},
    {.name = "example.com", .type = DNS_AAAA, .data = {"2001:db8::80"}, .ttl = 100},
};

/* DNS-02, DNS-03, HE-01, HE-02: nothing said but the name */
static void name_alone(void **state)
{
	static const char *const questions[] = {"NAPTR example.com", "SRV _sips._tcp.example.com", "SRV _sip._udp.example.com",
	    "SRV _sip._tcp.example.com", "A sip1.example.com", "AAAA sip1.example.com", "A sip2.example.com",
	    "AAAA sip2.example.com", "A sip3.example.com", "AAAA sip3.example.com"};
	struct location_view v;
	struct dns_set_view set;
	struct world_loc x;
	struct location *l;
	int64_t left;

	(void)state;
	init(&x, full, ARRAY_LEN(full));
	l = watch(&x, (struct locate_dest){.host = S("Example.com."), .proto = LOCATE_ANY});
	assert_int_equal(state_of(&x, l), LOCATE_PENDING);
	assert_int_equal(locate_plan(x.lr, l)->n_servers, 0);
	W_UNTIL(&x.w, x.told == 1);
	assert_int_equal(state_of(&x, l), LOCATE_GOOD);
	plan_is(&x, l, "naptr",
	    "10/0 TLS sip1.example.com [2001:db8::1]:5061 192.0.2.1:5061 192.0.2.11:5061; "
	    "10/70 UDP sip1.example.com [2001:db8::1]:5062 192.0.2.1:5062 192.0.2.11:5062; "
	    "20/0 UDP sip2.example.com 192.0.2.2:5060; "
	    "10/0 TCP sip3.example.com [2001:db8::3]:5060 192.0.2.3:5060");
	asked(&x, ARRAY_LEN(questions), questions);
	left = locate_plan(x.lr, l)->fresh_until_us - x.w.loop.clock.mono_us;
	assert_true(left > 59000000 && left <= 60000000); /* the least, a negative answer's */
	assert_ptr_equal(locator_dns_walk(x.lr, NULL), l);
	assert_null(locator_dns_walk(x.lr, l));
	location_view(l, &v);
	assert_int_equal(v.sets, 10);
	assert_false(v.settling);
	assert_true(location_set(l, 0, &set) && set.type == DNS_NAPTR && set.answer.n == 4);
	assert_true(location_set(l, 1, &set) && set.type == DNS_SRV);
	assert_true(location_set(l, 9, &set) && set.type == DNS_AAAA);
	assert_false(location_set(l, 10, &set));
	fini(&x);
}

/* DNS-02: the other shapes */
static void name_with_port_or_transport(void **state)
{
	static const char *const port[] = {"A example.com", "AAAA example.com"};
	static const char *const tcp[] = {"SRV _sip._tcp.example.com", "A sip3.example.com", "AAAA sip3.example.com"};
	static const char *const sips[] = {
	    "NAPTR example.com", "SRV _sips._tcp.example.com", "A sip1.example.com", "AAAA sip1.example.com"};
	struct world_loc x;
	struct location *l;

	(void)state;
	init(&x, full, ARRAY_LEN(full));
	l = watch(&x, (struct locate_dest){.host = S("example.com"), .port = 5070, .proto = LOCATE_ANY});
	W_UNTIL(&x.w, x.told == 1);
	plan_is(&x, l, "address", "0/0 UDP example.com [2001:db8::80]:5070 192.0.2.80:5070");
	asked(&x, ARRAY_LEN(port), port);
	fini(&x);

	init(&x, full, ARRAY_LEN(full));
	l = watch(&x, (struct locate_dest){.host = S("example.com"), .proto = NET_TCP});
	W_UNTIL(&x.w, x.told == 1);
	plan_is(&x, l, "srv", "10/0 TCP sip3.example.com [2001:db8::3]:5060 192.0.2.3:5060");
	asked(&x, ARRAY_LEN(tcp), tcp);
	fini(&x);

	init(&x, full, ARRAY_LEN(full));
	l = watch(&x, (struct locate_dest){.host = S("example.com"), .proto = LOCATE_ANY, .sips = true});
	W_UNTIL(&x.w, x.told == 1);
	plan_is(&x, l, "naptr", "10/0 TLS sip1.example.com [2001:db8::1]:5061 192.0.2.1:5061 192.0.2.11:5061");
	asked(&x, ARRAY_LEN(sips), sips);
	fini(&x);
}

/* DNS-01: no question for a numeric host */
static void numeric_asks_nothing(void **state)
{
	struct world_loc x;
	struct location *a, *b, *bad;

	(void)state;
	init(&x, NULL, 0);
	a = watch(&x, (struct locate_dest){.host = S("192.0.2.1"), .proto = LOCATE_ANY});
	b = watch(&x, (struct locate_dest){.host = S("[2001:db8::1]"), .proto = NET_TLS, .port = 5071});
	plan_is(&x, a, "numeric", "0/0 UDP 192.0.2.1 192.0.2.1:5060");
	plan_is(&x, b, "numeric", "0/0 TLS [2001:db8::1] [2001:db8::1]:5071");
	assert_int_equal(locate_watch(x.lr, &(struct locate_dest){.host = S("not a name")}, on_plan, &x, &bad), -EINVAL);
	assert_int_equal(locate_watch(x.lr, &(struct locate_dest){.host = S("")}, on_plan, &x, &bad), -EINVAL);
	w_spin(&x.w, 30);
	assert_int_equal(x.s.n_log, 0);
	assert_int_equal(x.told, 0);
	fini(&x);
}

/* without NAPTR the SRV names of what the realm speaks; without SRV the addresses; NAPTR that fails is no obstacle */
static void steps_that_have_nothing(void **state)
{
	struct zone z[] = {
	    {.name = "srv.example", .type = DNS_NAPTR, .soa = true, .soa_ttl = 60, .soa_min = 60},
	    {.name = "_sip._tcp.srv.example", .type = DNS_SRV, .data = {"1 1 5080 h.example"}, .ttl = 60},
	    {.name = "h.example", .type = DNS_A, .data = {"192.0.2.5"}, .ttl = 60},
	    {.name = "plain.example", .type = DNS_A, .data = {"192.0.2.6"}, .ttl = 60},
	    {.name = "broken.example", .type = DNS_NAPTR, .rcode = DNS_SERVFAIL},
	    {.name = "_sip._udp.broken.example", .type = DNS_SRV, .data = {"1 1 5081 h.example"}, .ttl = 60},
	    {.name = "enum.example", .type = DNS_NAPTR, .data = {"1 1 u E2U+sip ."}, .ttl = 60},
	    {.name = "_sip._udp.enum.example", .type = DNS_SRV, .data = {"1 1 5082 h.example"}, .ttl = 60},
	};
	struct world_loc x;
	struct location *srv, *plain, *broken, *enum_, *tls;

	(void)state;
	init(&x, z, ARRAY_LEN(z));
	srv = watch(&x, (struct locate_dest){.host = S("srv.example"), .proto = LOCATE_ANY});
	plain = watch(&x, (struct locate_dest){.host = S("plain.example"), .proto = LOCATE_ANY});
	broken = watch(&x, (struct locate_dest){.host = S("broken.example"), .proto = LOCATE_ANY});
	enum_ = watch(&x, (struct locate_dest){.host = S("enum.example"), .proto = LOCATE_ANY});
	tls = watch(&x, (struct locate_dest){.host = S("plain.example"), .proto = LOCATE_ANY, .sips = true});
	W_UNTIL(&x.w, x.told == 5);
	plan_is(&x, srv, "srv", "1/1 TCP h.example 192.0.2.5:5080");
	plan_is(&x, plain, "address", "0/0 UDP plain.example 192.0.2.6:5060");
	plan_is(&x, broken, "srv", "1/1 UDP h.example 192.0.2.5:5081");
	plan_is(&x, enum_, "srv", "1/1 UDP h.example 192.0.2.5:5082");
	plan_is(&x, tls, "address", "0/0 TLS plain.example 192.0.2.6:5061");
	assert_int_equal(dnsd_asked(&x.s, "SRV _sip._udp.srv.example"), 1);
	assert_int_equal(dnsd_asked(&x.s, "SRV _sips._tcp.srv.example"), 1);
	assert_int_equal(dnsd_asked(&x.s, "A h.example"), 1); /* shared by three */
	fini(&x);
}

/* why there is no way: each has its reason */
static void reasons_for_nothing(void **state)
{
	struct zone z[] = {
	    {.name = "noaddr.example", .type = DNS_A, .soa = true, .soa_ttl = 60, .soa_min = 60},
	    {.name = "_sip._udp.closed.example", .type = DNS_SRV, .data = {"0 0 0 ."}, .ttl = 60},
	    {.name = "closed.example", .type = DNS_A, .data = {"192.0.2.80"}, .ttl = 60},
	    {.name = "dead.example", .type = DNS_A, .rcode = DNS_SERVFAIL},
	    {.name = "dead.example", .type = DNS_AAAA, .rcode = DNS_SERVFAIL},
	    {.name = "_sip._udp.badsrv.example", .type = DNS_SRV, .rcode = DNS_SERVFAIL},
	    {.name = "badsrv.example", .type = DNS_A, .data = {"192.0.2.80"}, .ttl = 60},
	    {.name = "v6only.example", .type = DNS_A, .soa = true, .soa_ttl = 60, .soa_min = 60},
	    {.name = "v6only.example", .type = DNS_AAAA, .data = {"2001:db8::1"}, .ttl = 60},
	    {.name = "_sip._udp.ghost.example", .type = DNS_SRV, .data = {"0 0 5060 nowhere.example"}, .ttl = 60},
	};
	static const struct {
		struct locate_dest d;
		enum locate_state state;
		enum reason reason;
	} t[] = {
	    {{.host = S("nothing.example"), .proto = LOCATE_ANY}, LOCATE_EMPTY, REASON_DNS_NO_NAME},
	    {{.host = S("noaddr.example"), .proto = LOCATE_ANY}, LOCATE_EMPTY, REASON_DNS_NO_ADDRESS},
	    {{.host = S("closed.example"), .proto = NET_UDP}, LOCATE_EMPTY, REASON_DNS_REFUSED_SERVICE},
	    {{.host = S("dead.example"), .proto = LOCATE_ANY, .port = 5060}, LOCATE_FAILED, REASON_DNS_FAILED},
	    {{.host = S("badsrv.example"), .proto = NET_UDP}, LOCATE_FAILED, REASON_DNS_FAILED},
	    {{.host = S("v6only.example"), .port = 5060, .families = RESOLVE_V4}, LOCATE_EMPTY, REASON_DNS_NO_ADDRESS},
	    {{.host = S("ghost.example"), .proto = NET_UDP}, LOCATE_EMPTY, REASON_DNS_NO_NAME},
	};
	struct location *l[ARRAY_LEN(t)];
	struct world_loc x;

	(void)state;
	init(&x, z, ARRAY_LEN(z));
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		l[i] = watch(&x, t[i].d);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		W_UNTIL(&x.w, state_of(&x, l[i]) != LOCATE_PENDING);
		assert_int_equal(state_of(&x, l[i]), t[i].state);
		assert_int_equal(locate_plan(x.lr, l[i])->reason, t[i].reason);
		assert_int_equal(locate_plan(x.lr, l[i])->n_addrs, 0);
	}
	assert_int_equal(dnsd_asked(&x.s, "A closed.example"), 0); /* RFC 2782: decidedly not there */
	assert_int_equal(dnsd_asked(&x.s, "A badsrv.example"), 0);
	fini(&x);
}

/* HE-01: a realm of one family asks for both and uses its own */
static void a_family_we_have_not_is_no_obstacle(void **state)
{
	struct zone z[] = {
	    {.name = "h.example", .type = DNS_A, .data = {"192.0.2.5"}, .ttl = 60},
	    {.name = "h.example", .type = DNS_AAAA, .rcode = -1}, /* and this one never comes */
	};
	struct world_loc x;
	struct location *l, *both;
	int64_t began;

	(void)state;
	init(&x, z, 2);
	began = x.w.loop.clock.mono_us;
	l = watch(&x, (struct locate_dest){.host = S("h.example"), .port = 5060, .proto = NET_UDP, .families = RESOLVE_V4});
	W_UNTIL(&x.w, state_of(&x, l) == LOCATE_GOOD);
	assert_true(x.w.loop.clock.mono_us - began < 100000); /* not waited for */
	plan_is(&x, l, "address", "0/0 UDP h.example 192.0.2.5:5060");
	assert_true(dnsd_asked(&x.s, "AAAA h.example") >= 1);
	both = watch(&x, (struct locate_dest){.host = S("h.example"), .port = 5060, .proto = NET_UDP});
	W_UNTIL(&x.w, state_of(&x, both) == LOCATE_GOOD); /* a family that fails does not hide the other */
	plan_is(&x, both, "address", "0/0 UDP h.example 192.0.2.5:5060");
	fini(&x);
}

/* a new server in SRV is used once its addresses are there; until then the old plan stays whole */
static void changes_leave_no_gap(void **state)
{
	struct zone z[] = {
	    {.name = "_sip._udp.e.example", .type = DNS_SRV, .data = {"1 1 5060 old.example"}, .ttl = 1},
	    {.name = "old.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 60},
	    {.name = "old.example", .type = DNS_AAAA, .soa = true, .soa_ttl = 60, .soa_min = 60},
	    {.name = "new.example", .type = DNS_A, .rcode = -1},
	    {.name = "new.example", .type = DNS_AAAA, .soa = true, .soa_ttl = 60, .soa_min = 60},
	};
	const struct locate_plan *held;
	struct world_loc x;
	struct location *l;

	(void)state;
	init(&x, z, ARRAY_LEN(z));
	l = watch(&x, (struct locate_dest){.host = S("e.example"), .proto = NET_UDP});
	W_UNTIL(&x.w, x.told == 1);
	held = locate_plan_ref(locate_plan(x.lr, l));
	z[0].data[0] = "1 1 5060 new.example";
	W_UNTIL(&x.w, dnsd_asked(&x.s, "A new.example") >= 1);
	z[3].rcode = 0;
	z[3].data[0] = "192.0.2.2";
	z[3].ttl = 60;
	plan_is(&x, l, "srv", "1/1 UDP old.example 192.0.2.1:5060");
	assert_ptr_equal(locate_plan(x.lr, l), held);
	W_UNTIL(&x.w, x.told == 2);
	plan_is(&x, l, "srv", "1/1 UDP new.example 192.0.2.2:5060");
	assert_int_equal(held->refs, 1);
	assert_int_equal(held->n_addrs, 1); /* who holds a plan may go on reading it */
	locate_plan_unref(held);
	/* renewed without news: the same plan, known for longer */
	held = locate_plan(x.lr, l);
	z[0].ttl = 2;
	W_UNTIL(&x.w, held->fresh_until_us - x.w.loop.clock.mono_us > 1500000);
	assert_int_equal(x.told, 2);
	assert_ptr_equal(locate_plan(x.lr, l), held);
	fini(&x);
}

/* an answer that does not come does not keep the others back for longer than a second */
static void settles_without_the_slow_one(void **state)
{
	struct zone z[] = {
	    {.name = "_sip._udp.e.example", .type = DNS_SRV, .data = {"1 1 5060 fast.example", "2 1 5060 slow.example"},
	        .ttl = 60},
	    {.name = "fast.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 60},
	    {.name = "slow.example", .type = DNS_A, .rcode = -1},
	};
	struct world_loc x;
	struct location *l;
	int64_t began;

	(void)state;
	init(&x, z, ARRAY_LEN(z));
	locator_dns_free(x.lr);
	dns_free(x.d, w_closed, &x.closed);
	W_UNTIL(&x.w, x.closed);
	x.closed = false;
	assert_int_equal(dns_new(&x.w.loop, &x.w.env,
	                     &(struct dns_cfg){.servers = &x.s.at, .n_servers = 1, .try_ms = 9000, .hedge_ms = 9000}, &x.d),
	    0);
	assert_int_equal(locator_dns_new(&x.w.loop, &x.w.env, x.d, &x.lr), 0);
	began = x.w.loop.clock.mono_us;
	l = watch(&x, (struct locate_dest){.host = S("e.example"), .proto = NET_UDP});
	W_UNTIL(&x.w, x.told == 1);
	assert_true(x.w.loop.clock.mono_us - began < 1500000);
	plan_is(&x, l, "srv", "1/1 UDP fast.example 192.0.2.1:5060; 2/1 UDP slow.example");
	fini(&x);
}

/* DNS-07: the last good plan stays, is marked, and ends */
static void stale_plans(void **state)
{
	struct zone z[] = {
	    {.name = "_sip._udp.e.example", .type = DNS_SRV, .data = {"1 1 5060 h.example"}, .ttl = 1},
	    {.name = "h.example", .type = DNS_A, .data = {"192.0.2.1"}, .ttl = 60},
	};
	struct world_loc x;
	struct location *l;
	int64_t left;

	(void)state;
	init(&x, z, 2);
	l = watch(&x, (struct locate_dest){.host = S("e.example"), .proto = NET_UDP});
	W_UNTIL(&x.w, state_of(&x, l) == LOCATE_GOOD);
	assert_true(locate_plan(x.lr, l)->stale_until_us == INT64_MAX);
	x.s.rcode = DNS_REFUSED;
	W_UNTIL(&x.w, state_of(&x, l) == LOCATE_STALE);
	plan_is(&x, l, "srv", "1/1 UDP h.example 192.0.2.1:5060");
	left = locate_plan(x.lr, l)->stale_until_us - x.w.loop.clock.mono_us;
	assert_true(left > 1500000 && left <= 2000000);
	W_UNTIL(&x.w, state_of(&x, l) == LOCATE_FAILED);
	assert_int_equal(locate_plan(x.lr, l)->reason, REASON_DNS_FAILED);
	x.s.rcode = 0;
	W_UNTIL(&x.w, state_of(&x, l) == LOCATE_GOOD);
	fini(&x);
}

static void unwatch_in_news(void *ctx, struct location *l)
{
	struct world_loc *x = ctx;

	x->told++;
	locate_unwatch(x->lr, l);
}

static void destinations_may_go_at_any_time(void **state)
{
	struct locate_dest d = {.host = S("example.com"), .proto = LOCATE_ANY, .protos = ALL, .families = BOTH};
	struct location *l;
	struct world_loc x;

	(void)state;
	init(&x, full, ARRAY_LEN(full));
	assert_int_equal(locate_watch(x.lr, &d, unwatch_in_news, &x, &l), 0);
	W_UNTIL(&x.w, x.told == 1);
	assert_null(locator_dns_walk(x.lr, NULL));
	l = watch(&x, d); /* all is known still: a plan at once */
	assert_int_equal(state_of(&x, l), LOCATE_GOOD);
	locate_unwatch(x.lr, l);
	locate_unwatch(x.lr, NULL);
	watch(&x, (struct locate_dest){.host = S("other.example"), .proto = LOCATE_ANY});
	loop_turn(&x.w.loop, 1);
	fini(&x);
}

/* a zone that wants more than we keep */
static void hostile_zones_are_bounded(void **state)
{
	static char srv[40][40], addr[30][20];
	static struct zone z[42];
	struct world_loc x;
	struct location *l;

	(void)state;
	memset(z, 0, sizeof(z));
	z[0] = (struct zone){.name = "_sip._udp.e.example", .type = DNS_SRV, .ttl = 60, .fault = F_TRUNCATED}; /* too long for UDP */
	for (unsigned i = 0; i < 30; i++)
		snprintf(addr[i], sizeof(addr[i]), "192.0.2.%u", i + 1);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(srv[i], sizeof(srv[i]), "%u 1 5060 h%u.example", i, i);
		z[0].data[i] = srv[i];
		z[i + 1] = (struct zone){.name = strchr(srv[i], 'h'), .type = DNS_A, .ttl = 60};
		for (unsigned k = 0; k < 30; k++)
			z[i + 1].data[k] = addr[k];
	}
	init(&x, z, 41);
	l = watch(&x, (struct locate_dest){.host = S("e.example"), .proto = NET_UDP, .families = RESOLVE_V4});
	W_UNTIL(&x.w, state_of(&x, l) == LOCATE_GOOD);
	assert_int_equal(locate_plan(x.lr, l)->n_servers, 40);
	assert_int_equal(locate_plan(x.lr, l)->n_addrs, 256);
	fini(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(name_alone),
	    cmocka_unit_test(name_with_port_or_transport),
	    cmocka_unit_test(numeric_asks_nothing),
	    cmocka_unit_test(steps_that_have_nothing),
	    cmocka_unit_test(reasons_for_nothing),
	    cmocka_unit_test(a_family_we_have_not_is_no_obstacle),
	    cmocka_unit_test(changes_leave_no_gap),
	    cmocka_unit_test(settles_without_the_slow_one),
	    cmocka_unit_test(stale_plans),
	    cmocka_unit_test(destinations_may_go_at_any_time),
	    cmocka_unit_test(hostile_zones_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
