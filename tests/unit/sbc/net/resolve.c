/* Watched names against a name server of our own on the same loop. */
#include "world.h"

#include "sbc/net/resolve.h"

/* What the server says about one name and type. */
struct zone {
	const char *name;
	bool v6;
	int rcode;         /* 0, 2 SERVFAIL, 3 NXDOMAIN; -1: says nothing */
	const char *addrs[40];
	uint32_t ttl;
	const char *cname; /* the answer begins with a CNAME to this */
	uint32_t cname_ttl;
	bool soa;
	uint32_t soa_ttl, soa_min;
	bool truncated; /* by UDP: ask by TCP */
};

struct server {
	int fd;
	struct addr at;
	struct zone *zone;
	unsigned n_zone;
	unsigned asked, asked_other, asked_tcp;
	uv_poll_t poll;
	int tcp, conn; /* -1: none */
	uv_poll_t tcp_poll, conn_poll;
};

static void put16(struct buf *b, unsigned v)
{
	buf_chr(b, (char)(v >> 8));
	buf_chr(b, (char)v);
}

static void put32(struct buf *b, uint32_t v)
{
	put16(b, v >> 16);
	put16(b, v & 0xffff);
}

static void put_name(struct buf *b, struct str s)
{
	while (s.n) {
		struct str label;

		s = str_cut(s, '.', &label);
		buf_chr(b, (char)label.n);
		buf_str(b, label);
	}
	buf_chr(b, 0);
}

/* to NULL: by this TCP connection */
static void answer(struct server *s, const uint8_t *q, size_t n, const struct addr *to, int conn)
{
	char name[256], out[4096];
	struct buf nb, b;
	const struct zone *z = NULL;
	size_t i = 12;
	unsigned type, count = 0;

	buf_init(&nb, name, sizeof(name));
	while (i < n && q[i]) {
		if (nb.n)
			buf_chr(&nb, '.');
		buf_put(&nb, q + i + 1, q[i]);
		i += 1 + q[i];
	}
	type = (unsigned)q[i + 1] << 8 | q[i + 2];
	for (unsigned k = 0; k < s->n_zone; k++)
		if (str_ieq(buf_text(&nb), str_z(s->zone[k].name)) && type == (s->zone[k].v6 ? 28u : 1u))
			z = &s->zone[k];
	if (!z) {
		s->asked_other++;
		return;
	}
	s->asked++;
	if (z->rcode < 0)
		return;
	while (count < ARRAY_LEN(z->addrs) && z->addrs[count] && !(z->truncated && to))
		count++;
	buf_init(&b, out, sizeof(out));
	buf_put(&b, q, 2);
	put16(&b, 0x8180u | (z->truncated && to ? 0x200u : 0) | (unsigned)z->rcode);
	put16(&b, 1);
	put16(&b, count + (z->cname != NULL));
	put16(&b, z->soa);
	put16(&b, 0);
	buf_put(&b, q + 12, i + 5 - 12);
	if (z->cname) {
		put16(&b, 0xc00c);
		put16(&b, 5);
		put16(&b, 1);
		put32(&b, z->cname_ttl);
		put16(&b, (unsigned)strlen(z->cname) + 2);
		put_name(&b, str_z(z->cname));
	}
	for (unsigned k = 0; k < count; k++) {
		struct addr a = at(z->addrs[k]);

		if (z->cname)
			put_name(&b, str_z(z->cname));
		else
			put16(&b, 0xc00c);
		put16(&b, type);
		put16(&b, 1);
		put32(&b, z->ttl);
		put16(&b, z->v6 ? 16 : 4);
		if (z->v6)
			buf_put(&b, &a.in6.sin6_addr, 16);
		else
			buf_put(&b, &a.in4.sin_addr, 4);
	}
	if (z->soa) {
		put16(&b, 0xc00c);
		put16(&b, 6);
		put16(&b, 1);
		put32(&b, z->soa_ttl);
		put16(&b, 4 + 20);
		put16(&b, 0xc00c);
		put16(&b, 0xc00c);
		put32(&b, 1);
		put32(&b, 2);
		put32(&b, 3);
		put32(&b, 4);
		put32(&b, z->soa_min);
	}
	assert_int_equal(buf_err(&b), 0);
	if (to) {
		assert_int_equal(sendto(s->fd, b.p, b.n, 0, &to->sa, addr_len(to)), b.n);
	} else {
		uint8_t len[2] = {(uint8_t)(b.n >> 8), (uint8_t)b.n};

		assert_int_equal(send(conn, len, 2, 0), 2);
		assert_int_equal(send(conn, b.p, b.n, 0), b.n);
	}
}

static void on_tcp_question(uv_poll_t *h, int status, int events)
{
	struct server *s = container_of(h, struct server, conn_poll);
	uint8_t q[512];
	ssize_t n = recv(s->conn, q, sizeof(q), 0);

	(void)status;
	(void)events;
	if (n <= 0) {
		uv_poll_stop(h);
		return;
	}
	assert_true(n > 18); /* a question is short enough to come in one piece */
	s->asked_tcp++;
	answer(s, q + 2, (size_t)n - 2, NULL, s->conn);
}

static void on_tcp_connection(uv_poll_t *h, int status, int events)
{
	struct server *s = container_of(h, struct server, tcp_poll);

	(void)status;
	(void)events;
	assert_int_equal(s->conn, -1);
	s->conn = accept4(s->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(s->conn >= 0);
	assert_int_equal(uv_poll_init(h->loop, &s->conn_poll, s->conn), 0);
	uv_poll_start(&s->conn_poll, UV_READABLE, on_tcp_question);
}

static void on_question(uv_poll_t *h, int status, int events)
{
	struct server *s = container_of(h, struct server, poll);
	uint8_t q[512];
	struct addr from;
	socklen_t len = sizeof(from);
	ssize_t n;

	(void)status;
	(void)events;
	n = recvfrom(s->fd, q, sizeof(q), 0, &from.sa, &len);
	if (n > 16)
		answer(s, q, (size_t)n, &from, -1);
}

struct dns {
	struct world w;
	struct server s;
	struct resolver *r;
	struct resolver_cfg cfg;
	unsigned told;
	bool closed;
};

static void init(struct dns *d, struct zone *zone, unsigned n)
{
	memset(d, 0, sizeof(*d));
	w_init_bare(&d->w);
	d->s.zone = zone;
	d->s.n_zone = n;
	d->s.fd = peer(SOCK_DGRAM, "127.0.0.1:0", &d->s.at);
	assert_int_equal(uv_poll_init(&d->w.loop.uv, &d->s.poll, d->s.fd), 0);
	uv_poll_start(&d->s.poll, UV_READABLE, on_question);
	d->s.tcp = d->s.conn = -1;
	d->cfg = (struct resolver_cfg){
	    .servers = &d->s.at, .n_servers = 1, .timeout_ms = 60, .tries = 1, .retry_s = 1, .stale_s = 2};
	assert_int_equal(resolver_new(&d->w.loop, &d->w.env, &d->cfg, &d->r), 0);
}

static void fini(struct dns *d)
{
	resolver_free(d->r, w_closed, &d->closed);
	assert_false(d->closed);
	for (int i = 0; i < 100 && !d->closed; i++)
		loop_turn(&d->w.loop, 5);
	assert_true(d->closed);
	uv_close((uv_handle_t *)&d->s.poll, NULL);
	if (d->s.conn >= 0)
		uv_close((uv_handle_t *)&d->s.conn_poll, NULL);
	if (d->s.tcp >= 0)
		uv_close((uv_handle_t *)&d->s.tcp_poll, NULL);
	loop_turn(&d->w.loop, 0);
	close(d->s.fd);
	if (d->s.tcp >= 0)
		close(d->s.tcp);
	if (d->s.conn >= 0)
		close(d->s.conn);
	w_fini(&d->w);
}

static void on_news(void *ctx, struct resolve_name *n)
{
	struct dns *d = ctx;

	(void)n;
	d->told++;
}

static struct resolve_name *watch(struct dns *d, const char *host, unsigned families)
{
	struct resolve_name *n;

	assert_int_equal(resolve_watch(d->r, str_z(host), families, on_news, d, &n), 0);
	return n;
}

static void has(struct resolve_name *n, unsigned count, const char *const *want)
{
	unsigned k;
	const struct addr *a = resolve_addrs(n, &k);

	assert_int_equal(k, count);
	for (unsigned i = 0; i < count; i++) {
		struct addr x = at(want[i]);

		assert_true(addr_eq(&a[i], &x));
	}
}

static void both_families_come_sorted(void **state)
{
	struct zone z[] = {
	    {.name = "peer.example.com", .addrs = {"192.0.2.9", "192.0.2.1", "192.0.2.9"}, .ttl = 300},
	    {.name = "peer.example.com", .v6 = true, .addrs = {"2001:db8::1"}, .ttl = 600},
	};
	static const char *const all[] = {"192.0.2.1", "192.0.2.9", "2001:db8::1"};
	struct resolve_name *n, *four;
	struct dns d;
	int64_t left;

	(void)state;
	init(&d, z, 2);
	n = watch(&d, "peer.example.com", RESOLVE_V4 | RESOLVE_V6);
	assert_int_equal(resolve_state(n), RESOLVE_PENDING);
	four = watch(&d, "Peer.Example.COM.", RESOLVE_V4);
	assert_true(str_eq(resolve_host(four), S("Peer.Example.COM")));
	assert_int_equal(d.told, 0);
	W_UNTIL(&d.w, d.told == 2);
	assert_int_equal(resolve_state(n), RESOLVE_GOOD);
	has(n, 3, all);
	has(four, 2, all);
	assert_int_equal(d.s.asked, 3);
	assert_int_equal(d.s.asked_other, 0); /* no search list, no other type */
	left = resolve_next_us(n) - d.w.loop.clock.mono_us;
	assert_true(left > 298000000 && left <= 300000000); /* the shorter TTL */
	fini(&d);
}

/* DNS-07: the TTL is honoured; equal answers are no news */
static void asked_again_when_the_ttl_is_over(void **state)
{
	struct zone z[] = {{.name = "a.example", .addrs = {"192.0.2.1", "192.0.2.2"}, .ttl = 1}};
	static const char *const before[] = {"192.0.2.1", "192.0.2.2"}, *const later[] = {"192.0.2.3"};
	struct resolve_name *n;
	struct dns d;
	int64_t began;

	(void)state;
	init(&d, z, 1);
	n = watch(&d, "a.example", RESOLVE_V4);
	W_UNTIL(&d.w, d.told == 1);
	has(n, 2, before);
	began = d.w.loop.clock.mono_us;
	z[0].addrs[0] = "192.0.2.2"; /* the same in another order */
	z[0].addrs[1] = "192.0.2.1";
	W_UNTIL(&d.w, d.s.asked == 2);
	assert_true(d.w.loop.clock.mono_us - began >= 950000);
	w_spin(&d.w, 20);
	assert_int_equal(d.told, 1);
	z[0].addrs[0] = "192.0.2.3";
	z[0].addrs[1] = NULL;
	W_UNTIL(&d.w, d.told == 2);
	has(n, 1, later);
	fini(&d);
}

/* DNS-07: a CNAME's shorter TTL counts; negative answers live as long as the SOA says */
static void lifetimes_of_aliases_and_of_nothing(void **state)
{
	struct zone z[] = {
	    {.name = "alias.example", .addrs = {"192.0.2.1"}, .ttl = 600, .cname = "real.example", .cname_ttl = 30},
	    {.name = "gone.example", .rcode = 3, .soa = true, .soa_ttl = 900, .soa_min = 120},
	    {.name = "none.example", .soa = true, .soa_ttl = 40, .soa_min = 3600},
	    {.name = "long.example", .soa = true, .soa_ttl = 90000, .soa_min = 90000},
	    {.name = "nosoa.example", .rcode = 3},
	};
	static const struct {
		const char *name;
		int life_s;
		enum resolve_state state;
	} want[] = {{"alias.example", 30, RESOLVE_GOOD}, {"gone.example", 120, RESOLVE_EMPTY},
	    {"none.example", 40, RESOLVE_EMPTY}, {"long.example", 3600, RESOLVE_EMPTY},
	    {"nosoa.example", 1, RESOLVE_EMPTY}};
	struct resolve_name *n[5];
	struct dns d;

	(void)state;
	init(&d, z, 5);
	for (int i = 0; i < 5; i++)
		n[i] = watch(&d, want[i].name, RESOLVE_V4);
	W_UNTIL(&d.w, d.told == 5);
	for (int i = 0; i < 5; i++) {
		int64_t left = resolve_next_us(n[i]) - d.w.loop.clock.mono_us;

		assert_int_equal(resolve_state(n[i]), want[i].state);
		assert_true(left <= want[i].life_s * (int64_t)1000000);
		assert_true(left > want[i].life_s * (int64_t)1000000 - 900000);
	}
	fini(&d);
}

/* DNS-07: with the servers down the last good answer stays, for a bounded time */
static void stale_answers_while_the_servers_are_down(void **state)
{
	struct zone z[] = {{.name = "a.example", .addrs = {"192.0.2.1"}, .ttl = 1}};
	static const char *const old[] = {"192.0.2.1"}, *const back[] = {"192.0.2.7"};
	struct resolve_name *n;
	struct dns d;
	int64_t began;

	(void)state;
	init(&d, z, 1);
	n = watch(&d, "a.example", RESOLVE_V4);
	W_UNTIL(&d.w, resolve_state(n) == RESOLVE_GOOD);
	began = d.w.loop.clock.mono_us;
	z[0].rcode = -1; /* silence */
	W_UNTIL(&d.w, resolve_state(n) == RESOLVE_STALE);
	has(n, 1, old);
	z[0].rcode = 2; /* SERVFAIL is no better */
	w_spin(&d.w, 1200);
	assert_int_equal(resolve_state(n), RESOLVE_STALE);
	has(n, 1, old);
	W_UNTIL(&d.w, resolve_state(n) == RESOLVE_FAILED);
	has(n, 0, NULL);
	assert_true(d.w.loop.clock.mono_us - began > 3000000); /* TTL and stale_s */
	z[0].rcode = 0;
	z[0].addrs[0] = "192.0.2.7";
	W_UNTIL(&d.w, resolve_state(n) == RESOLVE_GOOD);
	has(n, 1, back);
	/* "no such name" is an answer: nothing stale then */
	z[0].rcode = 3;
	z[0].addrs[0] = NULL;
	W_UNTIL(&d.w, resolve_state(n) == RESOLVE_EMPTY);
	has(n, 0, NULL);
	fini(&d);
}

/* DNS-07: a resolver that says nothing holds nothing up */
static void a_silent_resolver_blocks_nobody(void **state)
{
	struct zone z[] = {{.name = "slow.example", .rcode = -1}};
	struct resolve_name *n;
	struct dns d;

	(void)state;
	init(&d, z, 1);
	n = watch(&d, "slow.example", RESOLVE_V4);
	W_UNTIL(&d.w, resolve_state(n) == RESOLVE_FAILED);
	/* no callback of the loop took anything like the resolver's timeout */
	assert_true(d.w.loop.counts[LOOP_LONGEST_US] < 30000);
	assert_true(d.told == 1);
	fini(&d);
}

static void one_family_failing_does_not_hide_the_other(void **state)
{
	struct zone z[] = {
	    {.name = "a.example", .addrs = {"192.0.2.1"}, .ttl = 300},
	    {.name = "a.example", .v6 = true, .rcode = 2},
	};
	static const char *const want[] = {"192.0.2.1"};
	struct resolve_name *n;
	struct dns d;

	(void)state;
	init(&d, z, 2);
	n = watch(&d, "a.example", RESOLVE_V4 | RESOLVE_V6);
	W_UNTIL(&d.w, d.told == 1);
	assert_int_equal(resolve_state(n), RESOLVE_GOOD);
	has(n, 1, want);
	assert_true(resolve_next_us(n) - d.w.loop.clock.mono_us <= 1000000); /* and is asked soon */
	fini(&d);
}

static void dead_server(void **state)
{
	struct zone z[] = {{.name = "a.example", .addrs = {"192.0.2.1"}, .ttl = 300}};
	struct addr servers[2];
	struct resolver *r;
	struct resolve_name *n;
	bool closed = false;
	struct dns d;
	int fd;

	(void)state;
	init(&d, z, 1);
	fd = peer(SOCK_DGRAM, "127.0.0.1:0", &servers[0]);
	close(fd); /* nobody there */
	servers[1] = d.s.at;
	d.cfg.servers = servers;
	d.cfg.n_servers = 2;
	assert_int_equal(resolver_new(&d.w.loop, &d.w.env, &d.cfg, &r), 0);
	assert_int_equal(resolve_watch(r, S("a.example"), RESOLVE_V4, on_news, &d, &n), 0);
	W_UNTIL(&d.w, d.told == 1);
	assert_int_equal(resolve_state(n), RESOLVE_GOOD); /* the second one answered */
	resolver_free(r, w_closed, &closed);
	W_UNTIL(&d.w, closed);
	fini(&d);
}

static void unwatch_in_news(void *ctx, struct resolve_name *n)
{
	struct dns *d = ctx;

	d->told++;
	resolve_unwatch(n);
}

static void names_may_go_at_any_time(void **state)
{
	struct zone z[] = {{.name = "a.example", .addrs = {"192.0.2.1"}, .ttl = 1}, {.name = "b.example", .rcode = -1}};
	struct resolve_name *n;
	struct dns d;

	(void)state;
	init(&d, z, 2);
	assert_int_equal(resolve_watch(d.r, S("a.example"), RESOLVE_V4, unwatch_in_news, &d, &n), 0);
	W_UNTIL(&d.w, d.told == 1);
	n = watch(&d, "a.example", RESOLVE_V4); /* while it is asked */
	resolve_unwatch(n);
	n = watch(&d, "b.example", RESOLVE_V4);
	resolve_unwatch(n);
	resolve_unwatch(NULL);
	w_spin(&d.w, 150);
	assert_int_equal(d.told, 1);
	watch(&d, "b.example", RESOLVE_V4); /* asked while all ends */
	watch(&d, "a.example", RESOLVE_V4);
	fini(&d);
}

static void only_host_names_are_asked(void **state)
{
	static const char *const bad[] = {"", ".", "192.0.2.1", "a..b", ".a", "a b", "a/b", "[::1]", "a.1", "x;y",
	    "a.example..", "sip:a.example"};
	struct resolve_name *n;
	char label[80];
	struct dns d;

	(void)state;
	init(&d, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(resolve_watch(d.r, str_z(bad[i]), RESOLVE_V4, on_news, &d, &n), -EINVAL);
	memset(label, 'a', sizeof(label));
	assert_int_equal(resolve_watch(d.r, str_n(label, 64), RESOLVE_V4, on_news, &d, &n), -EINVAL);
	assert_int_equal(resolve_watch(d.r, S("a.example"), 0, on_news, &d, &n), -EINVAL);
	assert_int_equal(resolve_watch(d.r, str_n(label, 63), RESOLVE_V4, on_news, &d, &n), 0);
	fini(&d);
}

/* more addresses than are kept: the same ones each time */
static void more_addresses_than_are_kept(void **state)
{
	static char text[40][16];
	struct zone z[] = {{.name = "many.example", .ttl = 300}};
	struct resolve_name *n;
	struct dns d;
	unsigned k;

	(void)state;
	for (int i = 0; i < 40; i++) {
		snprintf(text[i], sizeof(text[i]), "192.0.2.%d", 200 - i);
		z[0].addrs[i] = text[i];
	}
	init(&d, z, 1);
	n = watch(&d, "many.example", RESOLVE_V4);
	W_UNTIL(&d.w, d.told == 1);
	resolve_addrs(n, &k);
	assert_int_equal(k, RESOLVE_ADDRS_MAX / 2);
	assert_int_equal(((const uint8_t *)&resolve_addrs(n, &k)[0].in4.sin_addr)[3], 161);
	fini(&d);
}

/* an answer too long for a datagram is fetched by TCP */
static void a_truncated_answer_comes_by_tcp(void **state)
{
	struct zone z[] = {{.name = "big.example", .addrs = {"192.0.2.1"}, .ttl = 300, .truncated = true}};
	static const char *const want[] = {"192.0.2.1"};
	struct resolve_name *n;
	struct dns d;
	char text[ADDR_TEXT_MAX];

	(void)state;
	init(&d, z, 1);
	d.s.tcp = peer(SOCK_STREAM, addr_text(&d.s.at, text), NULL);
	assert_int_equal(uv_poll_init(&d.w.loop.uv, &d.s.tcp_poll, d.s.tcp), 0);
	uv_poll_start(&d.s.tcp_poll, UV_READABLE, on_tcp_connection);
	n = watch(&d, "big.example", RESOLVE_V4);
	W_UNTIL(&d.w, d.told == 1);
	has(n, 1, want);
	assert_int_equal(d.s.asked_tcp, 1);
	fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_families_come_sorted),
	    cmocka_unit_test(asked_again_when_the_ttl_is_over),
	    cmocka_unit_test(lifetimes_of_aliases_and_of_nothing),
	    cmocka_unit_test(stale_answers_while_the_servers_are_down),
	    cmocka_unit_test(a_silent_resolver_blocks_nobody),
	    cmocka_unit_test(one_family_failing_does_not_hide_the_other),
	    cmocka_unit_test(dead_server),
	    cmocka_unit_test(names_may_go_at_any_time),
	    cmocka_unit_test(only_host_names_are_asked),
	    cmocka_unit_test(more_addresses_than_are_kept),
	    cmocka_unit_test(a_truncated_answer_comes_by_tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
