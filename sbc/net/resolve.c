/* resolve.c - watched names on c-ares.
 *
 * Each name asks for A and AAAA (as wanted), keeps for each family the last answer and how the last question ended,
 * and asks again when the shorter of the two lifetimes is over. The questions go out raw, because a negative answer
 * is to live as long as its SOA says (RFC 2308 5) and c-ares's own address calls hide that.
 *
 * Going wrong: no server answers, or they answer SERVFAIL. The family keeps its addresses while they are younger
 * than stale_s beyond their TTL; "no such name" is an answer and empties it.
 *
 * c-ares owns its sockets and tells which to watch; it closes them right after saying so, so the watcher is closed
 * inside that call and freed when libuv lets go. A question cannot be taken back: a name that is unwatched while it
 * is asked lives on, dead, until the answer comes.
 */
#include "sbc/net/resolve.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAMILY_MAX (RESOLVE_ADDRS_MAX / 2)
#define ANSWER_MAX 64
#define NEGATIVE_MAX_S 3600 /* RFC 2308 5: one to three hours work well */

enum outcome { OUT_NONE, OUT_GOOD, OUT_EMPTY, OUT_FAILED };

struct family {
	struct resolve_name *name;
	bool v6;
	bool wanted;
	enum outcome out;     /* of the last question */
	uint32_t life_s;      /* until the next question */
	int64_t good_until_us; /* when the addresses' TTL ends */
	unsigned n;
	struct addr addr[FAMILY_MAX];
};

struct resolve_name {
	struct resolver *r;
	struct list node;
	char *host; /* own */
	struct family fam[2];
	unsigned asking; /* questions under way */
	bool dead;       /* unwatched */
	enum resolve_state state;
	unsigned n;
	struct addr addr[RESOLVE_ADDRS_MAX];
	struct timer again;
	struct loop_hook tell;
	resolve_fn *fn;
	void *ctx;
};

struct sock {
	struct resolver *r;
	struct list node;
	uv_poll_t poll;
	ares_socket_t fd;
	bool closed;
};

struct resolver {
	struct loop *loop;
	const struct env *env;
	struct resolver_cfg cfg;
	struct log log;
	ares_channel channel;
	struct list names, socks;
	struct timer timeout;
	unsigned open_handles;
	bool closing;
	loop_fn *closed;
	void *closed_arg;
	struct loop_hook done;
};

static const char *const state_names[] = {"pending", "good", "stale", "empty", "failed"};

/* ---- reading an answer ---- */

/* Past one name of the message; -1: the message ends first. */
static int skip_name(const uint8_t *p, int len, int at)
{
	while (at < len) {
		uint8_t c = p[at];

		if (c == 0)
			return at + 1;
		if ((c & 0xc0) == 0xc0)
			return at + 2 <= len ? at + 2 : -1;
		at += 1 + c;
	}
	return -1;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* How long this negative answer may be kept: the lesser of the SOA's TTL and its minimum. False: it does not say. */
static bool negative_ttl(const uint8_t *p, int len, uint32_t *ret_s)
{
	unsigned questions, answers, authority;
	int at = NS_HFIXEDSZ;

	if (len < NS_HFIXEDSZ)
		return false;
	questions = be16(p + 4);
	answers = be16(p + 6);
	authority = be16(p + 8);
	for (; questions; questions--) {
		at = skip_name(p, len, at);
		if (at < 0 || at + NS_QFIXEDSZ > len)
			return false;
		at += NS_QFIXEDSZ;
	}
	for (unsigned i = 0; i < answers + authority; i++) {
		unsigned type, size;
		uint32_t ttl, minimum;

		at = skip_name(p, len, at);
		if (at < 0 || at + NS_RRFIXEDSZ > len)
			return false;
		type = be16(p + at);
		ttl = be32(p + at + 4);
		size = be16(p + at + 8);
		at += NS_RRFIXEDSZ;
		if (at + (int)size > len)
			return false;
		if (type == ns_t_soa && size >= 22) {
			minimum = be32(p + at + (int)size - 4);
			*ret_s = ttl < minimum ? ttl : minimum;
			return true;
		}
		at += (int)size;
	}
	return false;
}

static int by_bytes(const void *a, const void *b)
{
	const struct addr *x = a, *y = b;

	if (addr_is6(x))
		return memcmp(&x->in6.sin6_addr, &y->in6.sin6_addr, 16);
	return memcmp(&x->in4.sin_addr, &y->in4.sin_addr, 4);
}

/* The addresses of an answer into f, sorted, each once. False: there are none, or the answer cannot be read
 * (*ret_bad). */
static bool read_addrs(struct family *f, const unsigned char *p, int len, uint32_t *ret_ttl, bool *ret_bad)
{
	struct addr all[ANSWER_MAX];
	uint32_t ttl = UINT32_MAX;
	int n = ANSWER_MAX, e;

	memset(all, 0, sizeof(all));
	if (f->v6) {
		struct ares_addr6ttl got[ANSWER_MAX];

		e = ares_parse_aaaa_reply(p, len, NULL, got, &n);
		for (int i = 0; e == ARES_SUCCESS && i < n; i++) {
			all[i].sa.sa_family = AF_INET6;
			memcpy(&all[i].in6.sin6_addr, &got[i].ip6addr, 16);
			if (got[i].ttl >= 0 && (uint32_t)got[i].ttl < ttl)
				ttl = (uint32_t)got[i].ttl;
		}
	} else {
		struct ares_addrttl got[ANSWER_MAX];

		e = ares_parse_a_reply(p, len, NULL, got, &n);
		for (int i = 0; e == ARES_SUCCESS && i < n; i++) {
			all[i].sa.sa_family = AF_INET;
			all[i].in4.sin_addr = got[i].ipaddr;
			if (got[i].ttl >= 0 && (uint32_t)got[i].ttl < ttl)
				ttl = (uint32_t)got[i].ttl;
		}
	}
	*ret_bad = e != ARES_SUCCESS && e != ARES_ENODATA;
	if (e != ARES_SUCCESS || n <= 0)
		return false;
	qsort(all, (size_t)n, sizeof(all[0]), by_bytes);
	f->n = 0;
	for (int i = 0; i < n && f->n < FAMILY_MAX; i++)
		if (i == 0 || by_bytes(&all[i - 1], &all[i]) != 0)
			f->addr[f->n++] = all[i];
	*ret_ttl = ttl;
	return true;
}

/* ---- a name ---- */

static void name_free(struct resolve_name *n)
{
	free(n->host);
	free(n);
}

static void on_tell(struct loop_hook *h)
{
	struct resolve_name *n = container_of(h, struct resolve_name, tell);

	n->fn(n->ctx, n); /* n may be gone */
}

static uint32_t clamp(uint32_t v, uint32_t min, uint32_t max)
{
	return v < min ? min : v > max ? max : v;
}

static enum resolve_state state_of(const struct resolve_name *n)
{
	bool good = false, failed = false;

	for (int i = 0; i < 2; i++) {
		good |= n->fam[i].wanted && n->fam[i].out == OUT_GOOD;
		failed |= n->fam[i].wanted && n->fam[i].out == OUT_FAILED;
	}
	if (good)
		return RESOLVE_GOOD;
	if (failed)
		return n->n ? RESOLVE_STALE : RESOLVE_FAILED;
	return RESOLVE_EMPTY;
}

static void on_again(struct timer *t);

/* All questions have ended: what is known now, and is it news? */
static void settle(struct resolve_name *n)
{
	struct resolver *r = n->r;
	int64_t now = r->env->clock->mono_us;
	struct addr before[RESOLVE_ADDRS_MAX];
	unsigned n_before = n->n;
	enum resolve_state state_before = n->state;
	uint32_t life_s = UINT32_MAX;

	memcpy(before, n->addr, sizeof(before));
	n->n = 0;
	for (int i = 0; i < 2; i++) {
		struct family *f = &n->fam[i];

		if (!f->wanted)
			continue;
		if (f->out == OUT_FAILED && f->n && now - f->good_until_us > (int64_t)r->cfg.stale_s * 1000000)
			f->n = 0;
		memcpy(&n->addr[n->n], f->addr, f->n * sizeof(f->addr[0]));
		n->n += f->n;
		if (f->life_s < life_s)
			life_s = f->life_s;
	}
	n->state = state_of(n);
	timer_start_us(r->env->timers, &n->again, (int64_t)life_s * 1000000, on_again);
	if (n->state == state_before && n->n == n_before && memcmp(before, n->addr, n->n * sizeof(before[0])) == 0)
		return;
	log_info(&r->log, "resolved", "name=%s state=%s addresses=%u next_s=%u", n->host, state_names[n->state], n->n,
	    life_s);
	loop_at_turn_end(r->loop, &n->tell);
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *p, int len)
{
	struct family *f = arg;
	struct resolve_name *n = f->name;
	const struct resolver_cfg *cfg = &n->r->cfg;
	bool bad = false;
	uint32_t ttl = 0;

	(void)timeouts;
	if (n->dead) {
		if (--n->asking == 0)
			name_free(n);
		return;
	}
	if (status == ARES_SUCCESS && read_addrs(f, p, len, &ttl, &bad)) {
		f->out = OUT_GOOD;
		f->life_s = clamp(ttl, cfg->min_ttl_s, cfg->max_ttl_s);
		f->good_until_us = n->r->env->clock->mono_us + (int64_t)f->life_s * 1000000;
	} else if ((status == ARES_SUCCESS && !bad) || status == ARES_ENODATA || status == ARES_ENOTFOUND) {
		f->out = OUT_EMPTY;
		f->n = 0;
		if (!p || !negative_ttl(p, len, &ttl))
			ttl = cfg->retry_s; /* RFC 2308 5: not to be kept */
		f->life_s = clamp(ttl, cfg->min_ttl_s, NEGATIVE_MAX_S);
	} else {
		f->out = OUT_FAILED;
		f->life_s = cfg->retry_s;
		log_warn(&n->r->log, "resolve_failed", "name=%s type=%s because=\"%s\"", n->host, f->v6 ? "AAAA" : "A",
		    ares_strerror(status));
	}
	if (--n->asking == 0)
		settle(n);
}

/* ---- c-ares on the loop ---- */

static void on_timeout(struct timer *t);

static void arm(struct resolver *r)
{
	struct timeval tv;

	if (ares_timeout(r->channel, NULL, &tv))
		timer_start_us(r->env->timers, &r->timeout, (int64_t)tv.tv_sec * 1000000 + tv.tv_usec, on_timeout);
	else
		timer_stop(r->env->timers, &r->timeout);
}

static void on_timeout(struct timer *t)
{
	struct resolver *r = container_of(t, struct resolver, timeout);

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(r);
}

static void finish(struct resolver *r)
{
	loop_fn *closed = r->closed;
	void *arg = r->closed_arg;

	free(r);
	ares_library_cleanup();
	if (closed)
		closed(arg);
}

static void on_done(struct loop_hook *h)
{
	finish(container_of(h, struct resolver, done));
}

static void on_sock_closed(uv_handle_t *h)
{
	struct sock *s = container_of(h, struct sock, poll);
	struct resolver *r = s->r;

	free(s);
	if (--r->open_handles == 0 && r->closing)
		finish(r);
}

static void sock_close(struct sock *s)
{
	if (s->closed)
		return;
	s->closed = true;
	list_del(&s->node);
	uv_close((uv_handle_t *)&s->poll, on_sock_closed);
}

static void on_sock_ready(uv_poll_t *h, int status, int events)
{
	struct sock *s = container_of(h, struct sock, poll);
	struct resolver *r = s->r;
	ares_socket_t fd = s->fd;
	bool read = status < 0 || (events & UV_READABLE), write = status < 0 || (events & UV_WRITABLE);

	loop_enter(r->loop, "dns");
	ares_process_fd(r->channel, read ? fd : ARES_SOCKET_BAD, write ? fd : ARES_SOCKET_BAD); /* s may be gone */
	arm(r);
	loop_leave(r->loop);
}

static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = arg;
	struct sock *s = NULL;

	list_each(l, &r->socks)
		if (container_of(l, struct sock, node)->fd == fd)
			s = container_of(l, struct sock, node);
	if (!readable && !writable) {
		if (s)
			sock_close(s);
		return;
	}
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s || uv_poll_init_socket(&r->loop->uv, &s->poll, fd) < 0) {
			free(s);
			return; /* the question runs into its timeout */
		}
		s->r = r;
		s->fd = fd;
		r->open_handles++;
		list_push(&r->socks, &s->node);
	}
	uv_poll_start(&s->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_sock_ready);
}

static void ask(struct resolve_name *n)
{
	struct resolver *r = n->r;

	n->asking = (unsigned)n->fam[0].wanted + n->fam[1].wanted;
	n->asking++; /* an answer may come from inside: not to settle before both are asked */
	for (int i = 0; i < 2; i++)
		if (n->fam[i].wanted)
			ares_query(r->channel, n->host, ns_c_in, n->fam[i].v6 ? ns_t_aaaa : ns_t_a, on_answer,
			    &n->fam[i]);
	if (--n->asking == 0)
		settle(n);
	arm(r);
}

static void on_again(struct timer *t)
{
	ask(container_of(t, struct resolve_name, again));
}

/* ---- interface ---- */

/* Letters, digits, hyphens, underscores in labels of 1 to 63; the last one not a number (that is an address). */
static bool is_host_name(struct str s)
{
	size_t label = 0;
	bool number = true;

	if (s.n == 0 || s.n > 253)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			number = true;
			continue;
		}
		if (!chr_digit(c) && !(chr_lower(c) >= 'a' && chr_lower(c) <= 'z') && c != '-' && c != '_')
			return false;
		number &= chr_digit(c);
		if (++label > 63)
			return false;
	}
	return label > 0 && !number;
}

int resolve_watch(struct resolver *r, struct str host, unsigned families, resolve_fn *fn, void *ctx,
    struct resolve_name **ret)
{
	struct resolve_name *n;

	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (!is_host_name(host) || !(families & (RESOLVE_V4 | RESOLVE_V6)))
		return -EINVAL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->host = str_strdup(host);
	if (!n->host) {
		free(n);
		return -ENOMEM;
	}
	n->r = r;
	n->fn = fn;
	n->ctx = ctx;
	n->tell.fn = on_tell;
	for (int i = 0; i < 2; i++)
		n->fam[i] = (struct family){
		    .name = n, .v6 = i == 1, .wanted = families & (i == 1 ? RESOLVE_V6 : RESOLVE_V4)};
	list_push(&r->names, &n->node);
	ask(n);
	*ret = n;
	return 0;
}

void resolve_unwatch(struct resolve_name *n)
{
	if (!n)
		return;
	list_del(&n->node);
	loop_hook_cancel(&n->tell);
	timer_stop(n->r->env->timers, &n->again);
	n->dead = true;
	if (n->asking == 0)
		name_free(n);
}

const struct addr *resolve_addrs(const struct resolve_name *n, unsigned *ret_count)
{
	*ret_count = n->n;
	return n->addr;
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
	return timer_running(&n->again) ? n->again.due_us : n->r->env->clock->mono_us;
}

static int set_servers(struct resolver *r, const struct resolver_cfg *cfg)
{
	struct ares_addr_port_node *all;
	int e;

	if (cfg->n_servers == 0)
		return 0;
	all = calloc(cfg->n_servers, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (unsigned i = 0; i < cfg->n_servers; i++) {
		const struct addr *a = &cfg->servers[i];

		all[i].next = i + 1 < cfg->n_servers ? &all[i + 1] : NULL;
		all[i].family = a->sa.sa_family;
		all[i].udp_port = all[i].tcp_port = addr_port(a) ? addr_port(a) : 53;
		if (addr_is6(a))
			memcpy(&all[i].addr.addr6, &a->in6.sin6_addr, 16);
		else
			all[i].addr.addr4 = a->in4.sin_addr;
	}
	e = ares_set_servers_ports(r->channel, all);
	free(all);
	return e == ARES_SUCCESS ? 0 : e == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

int resolver_new(struct loop *loop, const struct env *env, const struct resolver_cfg *cfg, struct resolver **ret)
{
	char lookups[] = "b"; /* DNS only: no file is read while we run */
	struct ares_options opt = {0};
	struct resolver *r;
	int e;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -ENOMEM;
	r = calloc(1, sizeof(*r));
	if (!r) {
		ares_library_cleanup();
		return -ENOMEM;
	}
	r->loop = loop;
	r->env = env;
	r->cfg = *cfg;
	r->cfg.servers = NULL;
	r->cfg.min_ttl_s = cfg->min_ttl_s ? cfg->min_ttl_s : 1;
	r->cfg.max_ttl_s = cfg->max_ttl_s ? cfg->max_ttl_s : 86400;
	r->cfg.retry_s = cfg->retry_s ? cfg->retry_s : 10;
	r->cfg.stale_s = cfg->stale_s ? cfg->stale_s : 86400;
	r->log = (struct log){.to = env->logger, .area = LOG_NET};
	r->done.fn = on_done;
	list_init(&r->names);
	list_init(&r->socks);
	opt.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS;
	opt.ednspsz = 1232; /* fits any path unfragmented; longer answers come by TCP */
	opt.timeout = cfg->timeout_ms ? cfg->timeout_ms : 2000;
	opt.tries = cfg->tries ? cfg->tries : 2;
	opt.lookups = lookups;
	opt.sock_state_cb = on_sock_state;
	opt.sock_state_cb_data = r;
	e = ares_init_options(&r->channel, &opt,
	    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ |
	        ARES_OPT_SOCK_STATE_CB);
	if (e != ARES_SUCCESS) {
		free(r);
		ares_library_cleanup();
		return e == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	e = set_servers(r, cfg);
	if (e) {
		ares_destroy(r->channel);
		free(r);
		ares_library_cleanup();
		return e;
	}
	*ret = r;
	return 0;
}

void resolver_free(struct resolver *r, loop_fn *closed, void *arg)
{
	if (!r)
		return;
	r->closed = closed;
	r->closed_arg = arg;
	timer_stop(r->env->timers, &r->timeout);
	while (!list_empty(&r->names))
		resolve_unwatch(container_of(r->names.next, struct resolve_name, node));
	ares_destroy(r->channel); /* questions under way end in on_answer(), sockets in on_sock_state() */
	r->closing = true;
	if (r->open_handles == 0)
		loop_at_turn_end(r->loop, &r->done);
}
