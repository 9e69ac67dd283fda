/* dns.c - watched record sets on c-ares.
 *
 *   watch -> set -> ask -> tries
 *
 * A set (name and type) has one timer: when it is asked next, or when its records turn stale or are given up. A
 * question under way is an ask: it waits for its turn, then sends tries to one server after the other until one of
 * them gives an answer that counts. A try is one query of c-ares and cannot be taken back: when its ask is over it
 * lives on alone until c-ares lets go, and its late answer still says that the server lives.
 *
 * Each server has a c-ares channel of its own with one try, so c-ares does sockets, timeouts and TCP for truncated
 * answers, and the order of servers is ours. Ids are ours too, from the process's randomness. The sockets of the
 * channels are read by read_socket(): it drops what answers none of our questions before c-ares sees it, counts it,
 * and reads no more than READ_BATCH datagrams in one go, so a flood of forged answers holds up nothing.
 *
 * c-ares is never called from inside one of its own callbacks: what follows from an answer runs at the end of the
 * turn (ask->step, dns->pump). It closes its sockets right after saying so, so the watcher of a socket is closed
 * inside that call and freed when libuv lets go.
 */
#include "sbc/net/dns.h"

#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define NEGATIVE_MAX_S 3600   /* RFC 2308 5: one to three hours work well */
#define READ_BATCH 64
#define PUMP_BATCH 64         /* questions begun in one turn */
#define PUMP_AGAIN_MS 2
#define SILENT_MAX 3          /* in a row: the server is set aside */
#define UNPROVEN_MAX 3        /* empty answers without SOA that empty a set */
#define FOLLOW_MAX 4          /* aliases asked for one after the other */
#define LINGER_MS 60000       /* an unwatched set is kept that long */
#define BACK_SPREAD_MS 1000   /* what failed is asked again over that time when a server is back */

const char *const dns_state_names[] = {"pending", "good", "stale", "empty", "failed"};

enum dns_count {
	DNS_C_ASKED,     /* questions sent */
	DNS_C_ANSWERED,
	DNS_C_SILENT,    /* no answer within the time for the next server */
	DNS_C_REFUSED,
	DNS_C_SERVFAIL,  /* and other failures a server says itself */
	DNS_C_STRAY,     /* answers to no question of ours: forged, or very late */
	DNS_C_MALFORMED,
	DNS_C_ALIAS_LOOP,
	DNS_C_LEFT_OUT,  /* records more than a set takes, or not readable */
	DNS_C_TRUNCATED, /* asked again by TCP */
	DNS_C_FAILED,    /* questions no server had an answer to */
	DNS_C_TURNED_STALE,
	DNS_C_GIVEN_UP,  /* stale sets dropped */
	DNS_C_NO_ROOM,   /* sets refused: too many */
	DNS_COUNTS
};
static const char *const count_names[DNS_COUNTS] = {"questions", "answers", "silent", "refused", "server_failures",
    "strays", "malformed", "alias_loops", "records_left_out", "truncated", "failed", "turned_stale", "given_up",
    "sets_refused"};

struct server {
	struct dns *d;
	struct list node; /* dns->servers */
	struct addr addr;
	ares_channel channel;
	struct htab ids;   /* struct try: what is under way */
	struct list socks;
	struct timer timeout;
	unsigned open_handles;
	unsigned read_left;
	unsigned silent;   /* in a row */
	bool down, probing, no_edns, gone;
	int64_t rest_until_us;
	struct dns_server_view seen;
};

struct sock {
	struct server *s;
	struct list node;
	uv_poll_t poll;
	ares_socket_t fd;
	bool closed;
};

struct try {
	struct hnode by_id; /* server->ids */
	struct list node;   /* ask->tries */
	struct server *s;   /* borrow; NULL: the server is gone, the try is over */
	struct ask *ask;    /* borrow; NULL: nobody waits for it */
	int64_t sent_us;
	uint16_t id, type;
	bool edns, probe, counted, said_no, over;
	char name[];
};

struct ask {
	struct dns_set *set;
	struct list node;  /* dns->waiting[low] or dns->active */
	struct list tries;
	struct timer hedge;
	struct loop_hook step;
	char *name;        /* own: where the aliases led, NULL: the set's name */
	uint32_t alias_ttl_s;
	unsigned follows, sent;
	bool active, low;
	const char *failure;
};

struct dns_set {
	struct hnode node; /* dns->sets */
	struct dns *d;
	char *name;        /* own, lower case */
	enum dns_type type;
	struct list watches;
	unsigned n_watches;
	struct ask *ask;   /* own: question under way */
	struct timer due;
	struct loop_hook tell;
	int64_t linger_until_us; /* unwatched: freed then */
	enum dns_state state;
	struct dns_record *records; /* own: block with the text behind them */
	unsigned n;
	bool no_name;
	const char *failure;
	unsigned failures, unproven; /* in a row */
	int64_t good_until_us, ask_at_us;
	uint32_t ttl_s, revision;
	struct addr server;
};

struct dns_watch {
	struct list node;
	struct dns_set *set;
	dns_fn *fn;
	void *ctx;
};

struct dns {
	struct loop *loop;
	const struct env *env;
	struct dns_cfg cfg;
	struct log log;
	struct htab sets;
	struct list servers;
	unsigned n_servers;
	unsigned open_servers;  /* not freed yet, those that are gone too */
	struct list waiting[2]; /* asks: [1] of sets whose last question failed */
	struct list active;
	unsigned n_active, n_active_low;
	struct loop_hook pump;
	struct timer pump_again;
	struct metric_set metrics;
	uint64_t counts[DNS_COUNTS];
	struct dns_reply *reply; /* own: for reading */
	bool closing;
	loop_fn *closed;
	void *closed_arg;
	struct loop_hook done;
};

static int64_t now_us(const struct dns *d)
{
	return d->env->clock->mono_us;
}

static uint32_t clamp(uint32_t v, uint32_t min, uint32_t max)
{
	return v < min ? min : v > max ? max : v;
}

/* ---- sets ---- */

static int64_t stale_until(const struct dns_set *s)
{
	return s->good_until_us + (int64_t)s->d->cfg.stale_s * 1000000;
}

static void on_due(struct timer *t);
static void ask_start(struct dns_set *s);
static void ask_end(struct ask *a);
static void set_free(struct dns_set *s);

static void on_tell(struct loop_hook *h)
{
	struct dns_set *s = container_of(h, struct dns_set, tell);
	struct list todo, *n;

	list_init(&todo);
	list_splice(&todo, &s->watches);
	while ((n = list_pop(&todo))) {
		struct dns_watch *w = container_of(n, struct dns_watch, node);

		list_push(&s->watches, &w->node);
		w->fn(w->ctx, w); /* w may be gone, and others */
	}
}

/* When the next thing happens to this set by itself. */
static void arm_set(struct dns_set *s)
{
	struct dns *d = s->d;
	int64_t at = s->ask || s->n_watches == 0 ? INT64_MAX : s->ask_at_us;

	if (s->failures && (s->n || s->state == DNS_EMPTY)) {
		int64_t turn = s->state == DNS_GOOD ? s->good_until_us : stale_until(s);

		if (turn < at)
			at = turn;
	}
	if (s->n_watches == 0)
		at = s->linger_until_us;
	if (at == INT64_MAX)
		timer_stop(d->env->timers, &s->due);
	else
		timer_start_us(d->env->timers, &s->due, at - now_us(d), on_due);
}

static void turn_to(struct dns_set *s, enum dns_state state)
{
	struct dns *d = s->d;

	if (state == s->state)
		return;
	if (state == DNS_STALE) {
		d->counts[DNS_C_TURNED_STALE]++;
		log_warn(&d->log, "dns_stale", "name=%s type=%s because=\"%s\" keeps_s=%lld", s->name,
		    dns_type_name(s->type), s->failure, (long long)((stale_until(s) - now_us(d)) / 1000000));
	} else {
		log_info(&d->log, "dns_set", "name=%s type=%s from=%s to=%s records=%u", s->name, dns_type_name(s->type),
		    dns_state_names[s->state], dns_state_names[state], s->n);
	}
	s->state = state;
	s->revision++;
	loop_at_turn_end(d->loop, &s->tell);
}

/* The last question failed: what are the records worth now? */
static void judge(struct dns_set *s)
{
	struct dns *d = s->d;
	int64_t now = now_us(d);

	if ((s->n || s->state == DNS_EMPTY) && now >= stale_until(s)) {
		d->counts[DNS_C_GIVEN_UP]++;
		log_warn(&d->log, "dns_given_up", "name=%s type=%s records=%u", s->name, dns_type_name(s->type), s->n);
		free(s->records);
		s->records = NULL;
		s->n = 0;
		turn_to(s, DNS_FAILED);
	} else if (s->n && now >= s->good_until_us) {
		turn_to(s, DNS_STALE);
	} else if (s->n == 0 && s->state != DNS_EMPTY) { /* that there is nothing is knowledge too */
		turn_to(s, DNS_FAILED);
	}
}

static void on_due(struct timer *t)
{
	struct dns_set *s = container_of(t, struct dns_set, due);

	if (s->n_watches == 0) {
		set_free(s);
		return;
	}
	if (s->failures)
		judge(s);
	if (!s->ask && now_us(s->d) >= s->ask_at_us)
		ask_start(s);
	arm_set(s);
}

static void set_free(struct dns_set *s)
{
	struct dns *d = s->d;

	if (s->ask)
		ask_end(s->ask);
	timer_stop(d->env->timers, &s->due);
	loop_hook_cancel(&s->tell);
	htab_del(&d->sets, &s->node);
	free(s->records);
	free(s->name);
	free(s);
}

/* ---- what an answer does to a set ---- */

static bool same_record(enum dns_type type, const struct dns_record *x, const struct dns_record *y)
{
	switch (type) {
	case DNS_SRV:
		return x->srv.priority == y->srv.priority && x->srv.weight == y->srv.weight && x->srv.port == y->srv.port &&
		       str_eq(x->srv.target, y->srv.target);
	case DNS_NAPTR:
		return x->naptr.order == y->naptr.order && x->naptr.preference == y->naptr.preference &&
		       x->naptr.regexp == y->naptr.regexp && str_eq(x->naptr.flags, y->naptr.flags) &&
		       str_eq(x->naptr.service, y->naptr.service) && str_eq(x->naptr.replacement, y->naptr.replacement);
	default:
		return addr_eq_ip(&x->addr, &y->addr);
	}
}

static bool has_record(enum dns_type type, const struct dns_record *all, unsigned n, const struct dns_record *r)
{
	for (unsigned i = 0; i < n; i++)
		if (same_record(type, &all[i], r))
			return true;
	return false;
}

static unsigned drop_twins(enum dns_type type, struct dns_record *r, unsigned n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++)
		if (!has_record(type, r, k, &r[i]))
			r[k++] = r[i];
	return k;
}

static void move_text(struct str *s, const char *from, char *to)
{
	if (s->n)
		s->p = to + (s->p - from);
}

/* Copies the reply's records into a block of the set's. 0 or -ENOMEM. */
static int take_records(struct dns_set *s, const struct dns_reply *r)
{
	struct dns_record *copy = malloc(r->n * sizeof(*copy) + r->text_n);
	char *text;

	if (!copy)
		return -ENOMEM;
	text = (char *)(copy + r->n);
	memcpy(copy, r->records, r->n * sizeof(*copy));
	memcpy(text, r->text, r->text_n);
	for (unsigned i = 0; i < r->n; i++) {
		if (s->type == DNS_SRV)
			move_text(&copy[i].srv.target, r->text, text);
		if (s->type == DNS_NAPTR) {
			move_text(&copy[i].naptr.flags, r->text, text);
			move_text(&copy[i].naptr.service, r->text, text);
			move_text(&copy[i].naptr.replacement, r->text, text);
		}
	}
	free(s->records);
	s->records = copy;
	s->n = r->n;
	return 0;
}

static void set_failed(struct dns_set *s, const char *failure)
{
	struct dns *d = s->d;
	int64_t wait_us = s->failures < 16 ? (int64_t)1000000 << s->failures : INT64_MAX;
	int64_t max_us = (int64_t)d->cfg.retry_s * 1000000;

	d->counts[DNS_C_FAILED]++;
	if (s->failures == 0)
		log_warn(&d->log, "dns_failed", "name=%s type=%s because=\"%s\"", s->name, dns_type_name(s->type), failure);
	s->failures++;
	s->failure = failure;
	if (wait_us > max_us)
		wait_us = max_us;
	s->ask_at_us = now_us(d) + wait_us - rng_below(d->env->rng, (uint32_t)(wait_us / 10 + 1));
	judge(s);
	arm_set(s);
}

static void answered(struct dns_set *s, const struct server *from)
{
	if (s->failures)
		log_info(&s->d->log, "dns_back", "name=%s type=%s failures=%u", s->name, dns_type_name(s->type), s->failures);
	s->failures = 0;
	s->unproven = 0;
	s->failure = NULL;
	s->server = from->addr;
	loop_at_turn_end(s->d->loop, &s->tell);
}

static void set_good(struct dns_set *s, struct dns_reply *r, uint32_t ttl_s, const struct server *from)
{
	struct dns *d = s->d;
	bool news;
	int64_t ttl_us;

	r->n = drop_twins(s->type, r->records, r->n);
	news = r->n != s->n;
	for (unsigned i = 0; !news && i < r->n; i++)
		news = !has_record(s->type, s->records, s->n, &r->records[i]);
	/* the same in another order keeps the old order: servers rotate what they say */
	if (news && take_records(s, r) < 0) {
		set_failed(s, "out of memory");
		return;
	}
	s->ttl_s = clamp(ttl_s, d->cfg.min_ttl_s, d->cfg.max_ttl_s);
	s->no_name = false;
	ttl_us = (int64_t)s->ttl_s * 1000000;
	s->good_until_us = now_us(d) + ttl_us;
	s->ask_at_us = s->good_until_us - ttl_us / 10 - (int64_t)rng_below(d->env->rng, 1024) * (ttl_us / 20) / 1024;
	answered(s, from);
	if (s->state != DNS_GOOD) {
		turn_to(s, DNS_GOOD);
	} else if (news) {
		s->revision++;
		log_info(&d->log, "dns_changed", "name=%s type=%s records=%u ttl_s=%u", s->name, dns_type_name(s->type), s->n,
		    s->ttl_s);
	}
	arm_set(s);
}

static void set_empty(struct dns_set *s, const struct dns_reply *r, const struct server *from)
{
	struct dns *d = s->d;
	uint32_t ttl_s = r->soa ? r->negative_ttl_s : d->cfg.retry_s; /* RFC 2308 5: without SOA not to be kept */

	if (s->n && !r->soa && ++s->unproven < UNPROVEN_MAX) {
		set_failed(s, "empty answer without SOA");
		return;
	}
	free(s->records);
	s->records = NULL;
	s->n = 0;
	s->ttl_s = clamp(ttl_s, d->cfg.min_ttl_s, NEGATIVE_MAX_S);
	s->good_until_us = s->ask_at_us = now_us(d) + (int64_t)s->ttl_s * 1000000;
	if (s->no_name != (r->rcode == DNS_NXDOMAIN)) {
		s->no_name = r->rcode == DNS_NXDOMAIN;
		s->revision++;
	}
	answered(s, from);
	turn_to(s, DNS_EMPTY);
	arm_set(s);
}

/* ---- servers ---- */

static void kick_failed(struct dns *d)
{
	for (struct hnode *n = htab_walk(&d->sets, NULL); n; n = htab_walk(&d->sets, n)) {
		struct dns_set *s = container_of(n, struct dns_set, node);
		int64_t soon = now_us(d) + (int64_t)rng_below(d->env->rng, BACK_SPREAD_MS) * 1000;

		if (s->failures && !s->ask && s->ask_at_us > soon) {
			s->ask_at_us = soon;
			arm_set(s);
		}
	}
}

static void server_lives(struct server *s)
{
	struct dns *d = s->d;
	char text[ADDR_TEXT_MAX];

	s->silent = 0;
	if (!s->down)
		return;
	s->down = false;
	log_info(&d->log, "dns_server_up", "server=%s", addr_text(&s->addr, text));
	kick_failed(d);
}

static void server_silent(struct server *s, const char *why)
{
	struct dns *d = s->d;
	char text[ADDR_TEXT_MAX];

	if (++s->silent < SILENT_MAX)
		return;
	s->rest_until_us = now_us(d) + (int64_t)d->cfg.rest_s * 1000000;
	if (s->down)
		return;
	s->down = true;
	log_warn(&d->log, "dns_server_down", "server=%s because=\"%s\"", addr_text(&s->addr, text), why);
}

/* ---- asks and tries ---- */

static struct str ask_name(const struct ask *a)
{
	return str_z(a->name ? a->name : a->set->name);
}

static void drop_tries(struct ask *a)
{
	list_each(n, &a->tries)
	{
		struct try *t = container_of(n, struct try, node);

		list_del(&t->node);
		t->ask = NULL;
		if (t->over)
			free(t);
	}
}

static void ask_end(struct ask *a)
{
	struct dns *d = a->set->d;

	drop_tries(a);
	timer_stop(d->env->timers, &a->hedge);
	loop_hook_cancel(&a->step);
	list_del(&a->node);
	if (a->active) {
		d->n_active--;
		d->n_active_low -= a->low;
		if (!d->closing)
			loop_at_turn_end(d->loop, &d->pump);
	}
	a->set->ask = NULL;
	free(a->name);
	free(a);
}

static void ask_failed(struct ask *a)
{
	struct dns_set *s = a->set;
	const char *failure = a->failure ? a->failure : "no answer";

	ask_end(a);
	set_failed(s, failure);
}

/* Goes on with where the aliases ended. */
static int ask_follow(struct ask *a, const struct dns_reply *r)
{
	char *to;

	if (++a->follows > FOLLOW_MAX)
		return -ELOOP;
	to = str_strdup(r->alias);
	if (!to)
		return -ENOMEM;
	free(a->name);
	a->name = to;
	if (r->ttl_s < a->alias_ttl_s)
		a->alias_ttl_s = r->ttl_s;
	drop_tries(a);
	a->sent = 0;
	a->failure = NULL;
	timer_stop(a->set->d->env->timers, &a->hedge);
	loop_at_turn_end(a->set->d->loop, &a->step);
	return 0;
}

/* Reads an answer for its ask. True: the ask is over, or goes on with another name. */
static bool ask_answer(struct try *t, const uint8_t *p, size_t n)
{
	struct ask *a = t->ask;
	struct dns_set *s = a->set;
	struct dns *d = s->d;
	struct server *from = t->s;
	struct dns_reply *r = d->reply;
	uint32_t ttl_s;
	int e = dns_read(p, n, ask_name(a), s->type, r);

	if (e == 0 && (r->rcode == DNS_NOERROR || r->rcode == DNS_NXDOMAIN)) {
		d->counts[DNS_C_LEFT_OUT] += r->left_out;
		if (r->rcode == DNS_NOERROR && r->n == 0 && r->alias.n && !r->soa) {
			e = ask_follow(a, r);
			if (e == 0)
				return true;
		}
	}
	if (e < 0) {
		d->counts[e == -ELOOP ? DNS_C_ALIAS_LOOP : DNS_C_MALFORMED]++;
		from->seen.lied++;
		a->failure = e == -ELOOP ? "aliases in a circle" : e == -ENOMEM ? "out of memory" : "malformed answer";
		return false;
	}
	switch (r->rcode) {
	case DNS_NOERROR:
	case DNS_NXDOMAIN:
		break;
	case DNS_REFUSED:
		d->counts[DNS_C_REFUSED]++;
		from->seen.refused++;
		a->failure = "refused";
		server_silent(from, "refuses");
		return false;
	default:
		d->counts[DNS_C_SERVFAIL]++;
		from->seen.failed++;
		a->failure = r->rcode == DNS_SERVFAIL ? "server failure" : r->rcode == DNS_FORMERR ? "format error"
		             : r->rcode == DNS_NOTIMP ? "not implemented" : "unknown failure";
		return false;
	}
	ttl_s = r->ttl_s < a->alias_ttl_s ? r->ttl_s : a->alias_ttl_s;
	ask_end(a); /* t has no ask now and stays the caller's */
	if (r->n && r->rcode == DNS_NOERROR)
		set_good(s, r, ttl_s, from);
	else
		set_empty(s, r, from);
	return true;
}

/* c-ares is done with a try. */
static void on_try(void *arg, int status, int timeouts, unsigned char *p, int len)
{
	struct try *t = arg;
	struct server *s = t->s;
	struct dns *d = s->d;
	int64_t rtt_us = now_us(d) - t->sent_us;

	(void)timeouts;
	htab_del(&s->ids, &t->by_id);
	if (t->probe)
		s->probing = false;
	if (status == ARES_SUCCESS && len >= 4) {
		unsigned rcode = p[3] & 0x0f;

		d->counts[DNS_C_ANSWERED]++;
		s->seen.answered++;
		s->seen.rtt_us = s->seen.rtt_us ? (uint32_t)((s->seen.rtt_us * (int64_t)7 + rtt_us) / 8) : (uint32_t)rtt_us;
		if (rcode != DNS_REFUSED)
			server_lives(s);
		if (t->ask && rcode == DNS_FORMERR && t->edns && s->no_edns) {
			loop_at_turn_end(d->loop, &t->ask->step); /* once more, the old way */
		} else if (t->ask && !ask_answer(t, p, (size_t)len)) {
			t->said_no = true;
			loop_at_turn_end(d->loop, &t->ask->step);
		}
	} else if (status != ARES_EDESTRUCTION) {
		if (!t->counted) {
			d->counts[DNS_C_SILENT]++;
			s->seen.silent++;
			server_silent(s, status == ARES_ETIMEOUT ? "silent" : "unreachable");
		}
		if (t->ask) {
			if (status != ARES_ETIMEOUT) {
				t->said_no = true;
				t->ask->failure = status == ARES_ENOMEM ? "out of memory" : "server unreachable";
			}
			loop_at_turn_end(d->loop, &t->ask->step);
		}
	} else if (t->ask) {
		loop_at_turn_end(d->loop, &t->ask->step);
	}
	t->over = true; /* not before: an ask that ends takes along what is over */
	if (!t->ask)
		free(t);
}

static struct try *try_by_id(const struct server *s, uint16_t id)
{
	struct hnode *n = htab_first(&s->ids, id);

	return n ? container_of(n, struct try, by_id) : NULL;
}

static void arm_server(struct server *s);

/* Sends the question of a to s. 0 or -ENOMEM. */
static int try_send(struct ask *a, struct server *s, bool probe)
{
	struct dns *d = s->d;
	struct str name = ask_name(a);
	struct try *t = calloc(1, sizeof(*t) + name.n + 1);
	uint8_t q[DNS_QUESTION_MAX];
	size_t n;

	if (!t)
		return -ENOMEM;
	memcpy(t->name, name.p, name.n);
	do
		t->id = (uint16_t)rng_u32(d->env->rng);
	while (try_by_id(s, t->id));
	t->s = s;
	t->ask = a;
	t->type = (uint16_t)a->set->type;
	t->edns = !s->no_edns;
	t->probe = probe;
	t->sent_us = now_us(d);
	list_push(&a->tries, &t->node);
	htab_add(&s->ids, &t->by_id, t->id);
	n = dns_write_question(q, sizeof(q), t->id, name, a->set->type, t->edns);
	d->counts[DNS_C_ASKED]++;
	s->seen.asked++;
	ares_send(s->channel, q, (int)n, on_try, t); /* t may be over */
	arm_server(s);
	return 0;
}

static void on_hedge(struct timer *t);

/* Servers this ask may still go to: fewest tries first, then the living, then in their order. */
static struct server *pick(const struct ask *a)
{
	struct server *best = NULL;
	unsigned best_sent = 0;

	list_each(n, &a->set->d->servers)
	{
		struct server *s = container_of(n, struct server, node);
		unsigned sent = 0;
		bool no = false;

		list_each(m, &((struct ask *)a)->tries)
		{
			const struct try *t = container_of(m, struct try, node);

			sent += t->s == s;
			no |= t->s == s && t->said_no;
		}
		if (!no && (!best || sent < best_sent || (sent == best_sent && best->down && !s->down))) {
			best = s;
			best_sent = sent;
		}
	}
	return best;
}

static void probe_one(struct ask *a, const struct server *asked)
{
	struct dns *d = a->set->d;

	if (asked->down)
		return;
	list_each(n, &d->servers)
	{
		struct server *s = container_of(n, struct server, node);

		if (s->down && !s->probing && now_us(d) >= s->rest_until_us) {
			s->probing = true;
			if (try_send(a, s, true) < 0)
				s->probing = false;
			return;
		}
	}
}

/* Sends to the next server, or waits for those that were asked, or gives up. */
static void ask_next(struct ask *a)
{
	struct dns *d = a->set->d;
	unsigned most = d->cfg.tries > d->n_servers ? d->cfg.tries : d->n_servers, waiting = 0, round;
	struct server *s = a->sent < most ? pick(a) : NULL;

	if (s) {
		round = a->sent / d->n_servers;
		a->sent++;
		if (try_send(a, s, false) < 0) {
			a->failure = "out of memory";
			ask_failed(a);
			return;
		}
		timer_start_ms(d->env->timers, &a->hedge, (int64_t)d->cfg.hedge_ms << (round < 2 ? round : 2), on_hedge);
		if (a->sent == 1)
			probe_one(a, s);
		return;
	}
	timer_stop(d->env->timers, &a->hedge);
	list_each(n, &a->tries)
	{
		waiting += !container_of(n, struct try, node)->over;
	}
	if (waiting == 0)
		ask_failed(a);
}

static void on_step(struct loop_hook *h)
{
	struct ask *a = container_of(h, struct ask, step);
	bool waiting = false;

	/* an answer that was no use starts the next try at once; an end of a try that was given up long ago does not */
	list_each(n, &a->tries)
	{
		const struct try *t = container_of(n, struct try, node);

		waiting |= !t->over && !t->counted && !t->probe;
	}
	if (!waiting)
		ask_next(a);
}

static void on_hedge(struct timer *timer)
{
	struct ask *a = container_of(timer, struct ask, hedge);
	struct dns *d = a->set->d;

	list_each(n, &a->tries)
	{
		struct try *t = container_of(n, struct try, node);

		if (t->over || t->counted)
			continue;
		t->counted = true;
		d->counts[DNS_C_SILENT]++;
		t->s->seen.silent++;
		server_silent(t->s, "silent");
	}
	ask_next(a);
}

static void on_pump_again(struct timer *t);

static void on_pump(struct loop_hook *h)
{
	struct dns *d = container_of(h, struct dns, pump);
	unsigned begun = 0;

	for (int low = 0; low < 2; low++) {
		unsigned most = low ? d->cfg.max_asking / 2 : d->cfg.max_asking;

		while (!list_empty(&d->waiting[low]) && d->n_active < d->cfg.max_asking &&
		       (!low || d->n_active_low < most)) {
			struct ask *a;

			if (begun++ == PUMP_BATCH) {
				timer_start_ms(d->env->timers, &d->pump_again, PUMP_AGAIN_MS, on_pump_again);
				return;
			}
			a = container_of(list_pop(&d->waiting[low]), struct ask, node);
			list_push(&d->active, &a->node);
			a->active = true;
			d->n_active++;
			d->n_active_low += a->low;
			ask_next(a);
		}
	}
}

static void on_pump_again(struct timer *t)
{
	struct dns *d = container_of(t, struct dns, pump_again);

	on_pump(&d->pump);
}

static void ask_start(struct dns_set *s)
{
	struct dns *d = s->d;
	struct ask *a = calloc(1, sizeof(*a));

	if (!a) {
		set_failed(s, "out of memory");
		return;
	}
	a->set = s;
	a->alias_ttl_s = UINT32_MAX;
	a->low = s->failures > 0;
	a->step.fn = on_step;
	list_init(&a->tries);
	list_push(&d->waiting[a->low], &a->node);
	s->ask = a;
	loop_at_turn_end(d->loop, &d->pump);
}

/* ---- c-ares on the loop ---- */

static void on_timeout(struct timer *t)
{
	struct server *s = container_of(t, struct server, timeout);

	s->read_left = READ_BATCH;
	ares_process_fd(s->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_server(s);
}

static void arm_server(struct server *s)
{
	struct timeval tv;

	if (ares_timeout(s->channel, NULL, &tv))
		timer_start_us(s->d->env->timers, &s->timeout, (int64_t)tv.tv_sec * 1000000 + tv.tv_usec, on_timeout);
	else
		timer_stop(s->d->env->timers, &s->timeout);
}

static void finish(struct dns *d)
{
	loop_fn *closed = d->closed;
	void *arg = d->closed_arg;

	free(d);
	ares_library_cleanup();
	if (closed)
		closed(arg);
}

static void on_done(struct loop_hook *h)
{
	finish(container_of(h, struct dns, done));
}

static void server_free(struct server *s)
{
	struct dns *d = s->d;

	htab_fini(&s->ids);
	free(s);
	if (--d->open_servers == 0 && d->closing)
		loop_at_turn_end(d->loop, &d->done);
}

static void on_sock_closed(uv_handle_t *h)
{
	struct sock *k = container_of(h, struct sock, poll);
	struct server *s = k->s;

	free(k);
	if (--s->open_handles == 0 && s->gone)
		server_free(s);
}

static void sock_close(struct sock *k)
{
	if (k->closed)
		return;
	k->closed = true;
	list_del(&k->node);
	uv_close((uv_handle_t *)&k->poll, on_sock_closed);
}

static void on_sock_ready(uv_poll_t *h, int status, int events)
{
	struct sock *k = container_of(h, struct sock, poll);
	struct server *s = k->s;
	ares_socket_t fd = k->fd;
	bool read = status < 0 || (events & UV_READABLE), write = status < 0 || (events & UV_WRITABLE);

	loop_enter(s->d->loop, "dns");
	s->read_left = READ_BATCH;
	ares_process_fd(s->channel, read ? fd : ARES_SOCKET_BAD, write ? fd : ARES_SOCKET_BAD); /* k may be gone */
	arm_server(s);
	loop_leave(s->d->loop);
}

static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct server *s = arg;
	struct sock *k = NULL;

	list_each(n, &s->socks)
	{
		if (container_of(n, struct sock, node)->fd == fd)
			k = container_of(n, struct sock, node);
	}
	if (!readable && !writable) {
		if (k)
			sock_close(k);
		return;
	}
	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k || uv_poll_init_socket(&s->d->loop->uv, &k->poll, fd) < 0) {
			free(k);
			return; /* the question runs into its timeout */
		}
		k->s = s;
		k->fd = fd;
		s->open_handles++;
		list_push(&s->socks, &k->node);
	}
	uv_poll_start(&k->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_sock_ready);
}

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
	(void)arg;
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static int close_socket(ares_socket_t fd, void *arg)
{
	(void)arg;
	return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t n, void *arg)
{
	(void)arg;
	return connect(fd, to, n);
}

static ares_ssize_t send_socket(ares_socket_t fd, const struct iovec *v, int n, void *arg)
{
	struct msghdr m = {.msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)n};

	(void)arg;
	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

/* Is this datagram the answer to something we asked this server? */
static bool is_answer(struct server *s, const uint8_t *p, size_t n)
{
	struct try *t = n >= 12 ? try_by_id(s, (uint16_t)(p[0] << 8 | p[1])) : NULL;

	if (!t || !dns_answers(p, n, str_z(t->name), (enum dns_type)t->type))
		return false;
	if (p[2] & 0x02)
		s->d->counts[DNS_C_TRUNCATED]++;
	if ((p[3] & 0x0f) == DNS_FORMERR && t->edns && p[10] == 0 && p[11] == 0)
		s->no_edns = true; /* RFC 6891 7: it does not know EDNS; c-ares comes to the same end */
	return true;
}

static ares_ssize_t read_socket(
    ares_socket_t fd, void *p, size_t n, int flags, struct sockaddr *from, ares_socklen_t *from_n, void *arg)
{
	struct server *s = arg;
	socklen_t room = from_n ? *from_n : 0;

	if (!from) /* TCP: framed and matched by c-ares */
		return recv(fd, p, n, flags);
	while (s->read_left) {
		ssize_t got;

		s->read_left--;
		*from_n = room;
		got = recvfrom(fd, p, n, flags, from, from_n);
		if (got < 0 || (got > 0 && is_answer(s, p, (size_t)got)))
			return got;
		s->d->counts[DNS_C_STRAY]++;
		s->seen.lied++;
	}
	errno = EAGAIN;
	return -1;
}

static const struct ares_socket_functions socket_functions = {
    open_socket, close_socket, connect_socket, read_socket, send_socket};

static int server_new(struct dns *d, const struct addr *a, struct server **ret)
{
	char lookups[] = "b", no_file[] = "/dev/null"; /* nothing is read from files */
	struct ares_addr_port_node at = {.family = a->sa.sa_family};
	struct ares_options opt = {0};
	struct server *s = calloc(1, sizeof(*s));
	int e;

	if (!s)
		return -ENOMEM;
	s->d = d;
	s->addr = *a;
	if (addr_port(a) == 0)
		addr_set_port(&s->addr, 53);
	list_init(&s->socks);
	if (htab_init(&s->ids, 64) < 0) {
		free(s);
		return -ENOMEM;
	}
	opt.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP | ARES_FLAG_EDNS;
	opt.ednspsz = DNS_EDNS_SIZE;
	opt.timeout = (int)d->cfg.try_ms;
	opt.tries = 1;
	opt.lookups = lookups;
	opt.resolvconf_path = no_file;
	opt.sock_state_cb = on_sock_state;
	opt.sock_state_cb_data = s;
	e = ares_init_options(&s->channel, &opt,
	    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ |
	        ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF);
	if (e == ARES_SUCCESS) {
		ares_set_socket_functions(s->channel, &socket_functions, s);
		at.udp_port = at.tcp_port = addr_port(&s->addr);
		if (addr_is6(a))
			memcpy(&at.addr.addr6, &a->in6.sin6_addr, 16);
		else
			at.addr.addr4 = a->in4.sin_addr;
		e = ares_set_servers_ports(s->channel, &at);
		if (e != ARES_SUCCESS)
			ares_destroy(s->channel);
	}
	if (e != ARES_SUCCESS) {
		htab_fini(&s->ids);
		free(s);
		return e == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	d->open_servers++;
	*ret = s;
	return 0;
}

static void server_close(struct server *s)
{
	struct dns *d = s->d;

	list_del(&s->node);
	s->gone = true;
	timer_stop(d->env->timers, &s->timeout);
	ares_destroy(s->channel); /* tries end in on_try(), sockets in on_sock_state() */
	list_each(n, &d->active)
	{
		struct ask *a = container_of(n, struct ask, node);

		list_each(m, &a->tries)
		{
			struct try *t = container_of(m, struct try, node);

			if (t->s == s)
				t->s = NULL;
		}
	}
	if (s->open_handles == 0)
		server_free(s);
}

/* The servers resolv.conf names, malloc'ed. */
static int read_resolv_conf(struct addr **ret, unsigned *ret_n)
{
	char lookups[] = "b";
	struct ares_options opt = {.lookups = lookups};
	struct ares_addr_port_node *all = NULL, *i;
	ares_channel c;
	struct addr *a;
	unsigned n = 0;

	if (ares_init_options(&c, &opt, ARES_OPT_LOOKUPS) != ARES_SUCCESS)
		return -ENOMEM;
	if (ares_get_servers_ports(c, &all) != ARES_SUCCESS) {
		ares_destroy(c);
		return -ENOMEM;
	}
	for (i = all; i; i = i->next)
		n++;
	a = calloc(n ? n : 1, sizeof(*a));
	n = 0;
	for (i = all; a && i; i = i->next, n++) {
		a[n].sa.sa_family = (sa_family_t)i->family;
		if (i->family == AF_INET6)
			memcpy(&a[n].in6.sin6_addr, &i->addr.addr6, 16);
		else
			a[n].in4.sin_addr = i->addr.addr4;
		addr_set_port(&a[n], (uint16_t)i->udp_port);
	}
	ares_free_data(all);
	ares_destroy(c);
	if (!a)
		return -ENOMEM;
	*ret = a;
	*ret_n = n;
	return 0;
}

static struct server *server_at(const struct list *l, const struct addr *a)
{
	struct addr full = *a;

	if (addr_port(&full) == 0)
		addr_set_port(&full, 53);
	list_each(n, (struct list *)l)
	{
		struct server *s = container_of(n, struct server, node);

		if (addr_eq(&s->addr, &full))
			return s;
	}
	return NULL;
}

int dns_set_servers(struct dns *d, const struct addr *servers, unsigned n)
{
	struct addr *own = NULL;
	struct list fresh, old;
	int e = 0;

	if (n == 0) {
		e = read_resolv_conf(&own, &n);
		if (e < 0)
			return e;
		servers = own;
	}
	list_init(&fresh);
	for (unsigned i = 0; i < n && e == 0; i++) {
		struct server *s = NULL;

		if (server_at(&d->servers, &servers[i]) || server_at(&fresh, &servers[i]))
			continue;
		e = server_new(d, &servers[i], &s);
		if (e == 0)
			list_push(&fresh, &s->node);
	}
	if (e < 0 || n == 0) {
		list_each(m, &fresh)
		{
			server_close(container_of(m, struct server, node));
		}
		free(own);
		return e < 0 ? e : -EINVAL;
	}
	list_init(&old);
	list_splice(&old, &d->servers);
	d->n_servers = 0;
	for (unsigned i = 0; i < n; i++) { /* in the order given, those that stay with all they know */
		struct server *s = server_at(&old, &servers[i]);

		if (!s)
			s = server_at(&fresh, &servers[i]);
		if (!s)
			continue; /* named twice */
		list_del(&s->node);
		list_push(&d->servers, &s->node);
		d->n_servers++;
	}
	list_each(m, &old)
	{
		server_close(container_of(m, struct server, node));
	}
	free(own);
	kick_failed(d);
	return 0;
}

/* ---- interface ---- */

int dns_new(struct loop *loop, const struct env *env, const struct dns_cfg *cfg, struct dns **ret)
{
	struct dns *d;
	int e = -ENOMEM;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -ENOMEM;
	d = calloc(1, sizeof(*d));
	if (!d)
		goto fail;
	d->loop = loop;
	d->env = env;
	d->cfg = *cfg;
	d->cfg.servers = NULL;
	d->cfg.try_ms = cfg->try_ms ? cfg->try_ms : 3000;
	d->cfg.hedge_ms = cfg->hedge_ms ? cfg->hedge_ms : 500;
	d->cfg.tries = cfg->tries ? cfg->tries : 3;
	d->cfg.min_ttl_s = cfg->min_ttl_s ? cfg->min_ttl_s : 1;
	d->cfg.max_ttl_s = cfg->max_ttl_s ? cfg->max_ttl_s : 86400;
	d->cfg.retry_s = cfg->retry_s ? cfg->retry_s : 10;
	d->cfg.stale_s = cfg->stale_s ? cfg->stale_s : 86400;
	d->cfg.rest_s = cfg->rest_s ? cfg->rest_s : 10;
	d->cfg.max_asking = cfg->max_asking ? cfg->max_asking : 256;
	d->log = (struct log){.to = env->logger, .area = LOG_NET};
	d->pump.fn = on_pump;
	d->done.fn = on_done;
	list_init(&d->servers);
	list_init(&d->waiting[0]);
	list_init(&d->waiting[1]);
	list_init(&d->active);
	d->reply = malloc(sizeof(*d->reply));
	if (!d->reply || htab_init(&d->sets, 64) < 0)
		goto fail;
	e = dns_set_servers(d, cfg->servers, cfg->n_servers);
	if (e < 0)
		goto fail;
	d->metrics = (struct metric_set){.area = "dns", .names = count_names, .values = d->counts, .n = DNS_COUNTS};
	if (env->metrics)
		metrics_add(env->metrics, &d->metrics);
	*ret = d;
	return 0;
fail:
	if (d) {
		htab_fini(&d->sets);
		free(d->reply);
		free(d);
	}
	ares_library_cleanup();
	return e;
}

void dns_free(struct dns *d, loop_fn *closed, void *arg)
{
	struct hnode *n;

	if (!d)
		return;
	d->closing = true;
	d->closed = closed;
	d->closed_arg = arg;
	metrics_del(&d->metrics);
	while ((n = htab_walk(&d->sets, NULL))) {
		struct dns_set *s = container_of(n, struct dns_set, node);

		list_each(m, &s->watches)
		{
			free(container_of(m, struct dns_watch, node));
		}
		set_free(s);
	}
	loop_hook_cancel(&d->pump);
	timer_stop(d->env->timers, &d->pump_again);
	htab_fini(&d->sets);
	free(d->reply);
	d->reply = NULL;
	list_each(m, &d->servers)
	{
		server_close(container_of(m, struct server, node));
	}
}

static uint64_t set_hash(const struct dns *d, struct str name, enum dns_type type)
{
	return hash_str(&d->env->hash_key, name) + (uint64_t)type * 0x9e3779b97f4a7c15u;
}

static int set_get(struct dns *d, struct str name, enum dns_type type, struct dns_set **ret)
{
	char lower[DNS_NAME_MAX + 1];
	struct dns_set *s;
	uint64_t hash;

	for (size_t i = 0; i < name.n; i++)
		lower[i] = chr_lower(name.p[i]);
	name.p = lower;
	hash = set_hash(d, name, type);
	for (struct hnode *n = htab_first(&d->sets, hash); n; n = htab_next(n)) {
		s = container_of(n, struct dns_set, node);
		if (s->type == type && str_eq(str_z(s->name), name)) {
			*ret = s;
			return 0;
		}
	}
	if (d->sets.n >= DNS_SETS_MAX) {
		d->counts[DNS_C_NO_ROOM]++;
		return -ENFILE;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->d = d;
	s->type = type;
	s->tell.fn = on_tell;
	s->name = str_strdup(name);
	if (!s->name) {
		free(s);
		return -ENOMEM;
	}
	list_init(&s->watches);
	htab_add(&d->sets, &s->node, hash);
	*ret = s;
	return 0;
}

int dns_watch(struct dns *d, struct str name, enum dns_type type, dns_fn *fn, void *ctx, struct dns_watch **ret)
{
	struct dns_watch *w;
	struct dns_set *s;
	int e;

	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (!dns_name_ok(name))
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	e = set_get(d, name, type, &s);
	if (e < 0) {
		free(w);
		return e;
	}
	w->set = s;
	w->fn = fn;
	w->ctx = ctx;
	list_push(&s->watches, &w->node);
	if (s->n_watches++ == 0) {
		if (!s->ask && now_us(d) >= s->ask_at_us)
			ask_start(s);
		arm_set(s);
	}
	*ret = w;
	return 0;
}

void dns_unwatch(struct dns_watch *w)
{
	struct dns_set *s;

	if (!w)
		return;
	s = w->set;
	list_del(&w->node);
	free(w);
	if (--s->n_watches)
		return;
	/* kept a moment: plans that change often name the same servers again */
	s->linger_until_us = now_us(s->d) + (s->d->sets.n < DNS_SETS_MAX / 2 ? (int64_t)LINGER_MS * 1000 : 0);
	arm_set(s);
}

static void answer_of(const struct dns_set *s, struct dns_answer *ret)
{
	*ret = (struct dns_answer){
	    .state = s->state,
	    .records = s->records,
	    .n = s->n,
	    .no_name = s->no_name && s->state == DNS_EMPTY,
	    .failure = s->failure,
	    .good_until_us = s->good_until_us,
	    .stale_until_us = stale_until(s),
	    .next_us = s->ask ? 0 : s->ask_at_us,
	    .ttl_s = s->ttl_s,
	    .server = s->server,
	    .revision = s->revision,
	};
}

void dns_answer(const struct dns_watch *w, struct dns_answer *ret)
{
	answer_of(w->set, ret);
}

struct str dns_watch_name(const struct dns_watch *w)
{
	return str_z(w->set->name);
}

enum dns_type dns_watch_type(const struct dns_watch *w)
{
	return w->set->type;
}

unsigned dns_flush(struct dns *d, struct str name)
{
	unsigned n = 0;

	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	for (struct hnode *h = htab_walk(&d->sets, NULL); h; h = htab_walk(&d->sets, h)) {
		struct dns_set *s = container_of(h, struct dns_set, node);

		if (s->n_watches == 0 || (name.n && !str_ieq(str_z(s->name), name)))
			continue;
		n++;
		if (s->ask)
			continue;
		ask_start(s);
		arm_set(s);
	}
	return n;
}

const struct dns_set *dns_walk(const struct dns *d, const struct dns_set *after)
{
	struct hnode *n = htab_walk(&d->sets, after ? &after->node : NULL);

	return n ? container_of(n, struct dns_set, node) : NULL;
}

void dns_set_view(const struct dns_set *s, struct dns_set_view *ret)
{
	*ret = (struct dns_set_view){.name = str_z(s->name), .type = s->type, .watchers = s->n_watches};
	answer_of(s, &ret->answer);
}

void dns_put_record(struct buf *b, enum dns_type type, const struct dns_record *r)
{
	switch (type) {
	case DNS_SRV:
		buf_fmt(b, "%u %u %u %.*s", r->srv.priority, r->srv.weight, r->srv.port,
		    STR(r->srv.target.n ? r->srv.target : S(".")));
		break;
	case DNS_NAPTR:
		buf_fmt(b, "%u %u \"", r->naptr.order, r->naptr.preference);
		buf_escaped(b, r->naptr.flags, 16);
		buf_lit(b, "\" \"");
		buf_escaped(b, r->naptr.service, 40);
		buf_fmt(b, "\" %s %.*s", r->naptr.regexp ? "(regexp)" : "\"\"",
		    STR(r->naptr.replacement.n ? r->naptr.replacement : S(".")));
		break;
	default:
		addr_put_ip(b, &r->addr);
		break;
	}
}

bool dns_server_view(const struct dns *d, unsigned i, struct dns_server_view *ret)
{
	list_each(n, &((struct dns *)d)->servers)
	{
		const struct server *s = container_of(n, struct server, node);

		if (i-- > 0)
			continue;
		*ret = s->seen;
		ret->addr = s->addr;
		ret->down = s->down;
		return true;
	}
	return false;
}
