/* dns_ask.c - a question under way.
 *
 *   waiting for its turn -> active: tries to one server after the other -> an answer that counts, or none
 *
 * A try is one query of c-ares and cannot be taken back: when its ask is over it lives on alone until c-ares lets go, and
 * its late answer still says that the server lives. Where a name is an alias the ask goes on with the other name.
 *
 * c-ares is never called from inside one of its own callbacks: what follows from an answer runs at the end of the turn
 * (ask->step, dns->pump). Sets whose last question failed take at most half of the questions under way.
 */
#include "sbc/net/dns_internal.h"

#include <errno.h>
#include <stdlib.h>

#define PUMP_BATCH 64         /* questions begun in one turn */
#define PUMP_AGAIN_MS 2
#define FOLLOW_MAX 4          /* aliases asked for one after the other */

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

void dns_ask_end(struct ask *a)
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

	dns_ask_end(a);
	dns_set_failed(s, failure);
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
		dns_server_silent(from, "refuses");
		return false;
	default:
		d->counts[DNS_C_SERVFAIL]++;
		from->seen.failed++;
		a->failure = r->rcode == DNS_SERVFAIL ? "server failure" : r->rcode == DNS_FORMERR ? "format error"
		             : r->rcode == DNS_NOTIMP ? "not implemented" : "unknown failure";
		return false;
	}
	ttl_s = r->ttl_s < a->alias_ttl_s ? r->ttl_s : a->alias_ttl_s;
	dns_ask_end(a); /* t has no ask now and stays the caller's */
	if (r->n && r->rcode == DNS_NOERROR)
		dns_set_good(s, r, ttl_s, from);
	else
		dns_set_empty(s, r, from);
	return true;
}

/* c-ares is done with a try. */
static void on_try(void *arg, int status, int timeouts, unsigned char *p, int len)
{
	struct try *t = arg;
	struct server *s = t->s;
	struct dns *d = s->d;
	int64_t rtt_us = dns_now_us(d) - t->sent_us;

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
			dns_server_lives(s);
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
			dns_server_silent(s, status == ARES_ETIMEOUT ? "silent" : "unreachable");
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

struct try *dns_try_by_id(const struct server *s, uint16_t id)
{
	struct hnode *n = htab_first(&s->ids, id);

	return n ? container_of(n, struct try, by_id) : NULL;
}

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
	while (dns_try_by_id(s, t->id));
	t->s = s;
	t->ask = a;
	t->type = (uint16_t)a->set->type;
	t->edns = !s->no_edns;
	t->probe = probe;
	t->sent_us = dns_now_us(d);
	list_push(&a->tries, &t->node);
	htab_add(&s->ids, &t->by_id, t->id);
	n = dns_write_question(q, sizeof(q), t->id, name, a->set->type, t->edns);
	d->counts[DNS_C_ASKED]++;
	s->seen.asked++;
	ares_send(s->channel, q, (int)n, on_try, t); /* t may be over */
	dns_server_arm(s);
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

		if (s->down && !s->probing && dns_now_us(d) >= s->rest_until_us) {
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
		dns_server_silent(t->s, "silent");
	}
	ask_next(a);
}

static void on_pump_again(struct timer *t);

void dns_pump(struct loop_hook *h)
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

	dns_pump(&d->pump);
}

void dns_ask_start(struct dns_set *s)
{
	struct dns *d = s->d;
	struct ask *a = calloc(1, sizeof(*a));

	if (!a) {
		dns_set_failed(s, "out of memory");
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
