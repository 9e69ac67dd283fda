/* fake_relay.h - a relay for tests of the session: ports are numbers, programs are kept to be looked at, every call
 * can be made to fail. Included by one .c of a test program, whose definitions then stand for those of relay.c. */
#ifndef TESTS_FAKE_RELAY_H
#define TESTS_FAKE_RELAY_H

#include <stdlib.h>

#include "media/relay.h"

struct relay_pair {
	struct relay *r;
	struct addr local;
	bool used, has_program, expects;
	relay_listen_fn *listen;
	relay_event_fn *on_event;
	void *event_ctx;
	uint8_t digit;
	uint16_t digit_ms;
	unsigned digits;
	void *listen_ctx;
	struct relay_pair *out;
	struct relay_program prog;
	struct media_stats stats;
	enum media_capture capture;
	uint8_t dscp;
	uint64_t capture_key;
	struct relay_pair *next;
};

struct relay {
	struct relay_pair *pairs; /* all ever made */
	const struct media_realm_cfg *realms;
	unsigned n_realms, in_use;
	uint16_t next_port;
	bool no_capture;
	unsigned pairs_left; /* until PORTS_EXHAUSTED */
	int fail_program;    /* counts down: the call at 0 fails with NO_MEMORY; -1: never */
	unsigned programs;   /* relay_program_set() calls */
	void (*on_send)(struct relay_pair *p, unsigned sock, const struct addr *to, const uint8_t *d, size_t n);
};

const char *const relay_drop_names[RELAY_DROPS] = {0};

struct relay *relay_new(const struct env *env, const struct media_cfg *cfg, enum reason *ret_reason)
{
	struct relay *r = calloc(1, sizeof(*r));

	(void)env;
	if (!r) {
		*ret_reason = REASON_NO_MEMORY;
		return NULL;
	}
	r->realms = cfg->realms;
	r->n_realms = cfg->n_realms;
	r->next_port = 20000;
	r->pairs_left = 1000;
	r->fail_program = -1;
	return r;
}

void relay_free(struct relay *r)
{
	struct relay_pair *p = r ? r->pairs : NULL, *next;

	for (; p; p = next) {
		next = p->next;
		free(p);
	}
	free(r);
}

enum reason relay_pair_get(struct relay *r, unsigned realm, int family, struct relay_pair **ret)
{
	const struct media_realm_cfg *c = &r->realms[realm];
	const struct addr *a = family == AF_INET6 ? &c->ip6 : &c->ip4;
	struct relay_pair *p;

	if (addr_none(a))
		return REASON_MEDIA_UNREACHABLE;
	if (r->in_use >= r->pairs_left)
		return REASON_PORTS_EXHAUSTED;
	p = calloc(1, sizeof(*p));
	if (!p)
		return REASON_NO_MEMORY;
	p->r = r;
	p->local = *a;
	if (!addr_none(family == AF_INET6 ? &c->advertise6 : &c->advertise4))
		p->local = family == AF_INET6 ? c->advertise6 : c->advertise4;
	p->used = true;
	addr_set_port(&p->local, r->next_port);
	r->next_port = (uint16_t)(r->next_port + 2);
	p->next = r->pairs;
	r->pairs = p;
	r->in_use++;
	*ret = p;
	return REASON_NONE;
}

void relay_pair_put(struct relay_pair *p)
{
	if (!p)
		return;
	if (!p->used)
		abort(); /* given back twice */
	p->used = false;
	p->has_program = false;
	p->r->in_use--;
	for (struct relay_pair *q = p->r->pairs; q; q = q->next)
		if (q->out == p)
			q->has_program = false;
}

void relay_pair_dscp(struct relay_pair *p, uint8_t dscp)
{
	p->dscp = dscp;
}

const struct addr *relay_pair_local(const struct relay_pair *p)
{
	if (!p->used)
		abort(); /* used after it was given back */
	return &p->local;
}

enum reason relay_program_set(struct relay_pair *in, struct relay_pair *out, const struct relay_program *prog)
{
	if (!in->used || (prog && !out->used))
		abort();
	in->r->programs++;
	if (in->r->fail_program >= 0 && in->r->fail_program-- == 0)
		return REASON_NO_MEMORY;
	in->has_program = prog != NULL;
	in->out = prog ? out : NULL;
	if (prog)
		in->prog = *prog;
	return REASON_NONE;
}

void relay_pair_listen(struct relay_pair *p, relay_listen_fn *fn, void *ctx)
{
	p->listen = fn;
	p->listen_ctx = ctx;
}

void relay_pair_unlisten(struct relay_pair *p, const void *ctx)
{
	if (p->listen_ctx == ctx)
		relay_pair_listen(p, NULL, NULL);
}

void relay_pair_on_event(struct relay_pair *p, relay_event_fn *fn, void *ctx)
{
	p->on_event = fn;
	p->event_ctx = ctx;
}

bool relay_pair_digit(struct relay_pair *in, uint8_t event, uint16_t ms)
{
	if (!in->has_program || in->prog.event_pt == RELAY_PT_DROP)
		return false;
	in->digit = event;
	in->digit_ms = ms;
	in->digits++;
	return true;
}

void relay_pair_expect(struct relay_pair *p)
{
	p->expects = true;
}

void relay_pair_send(struct relay_pair *p, unsigned sock, const struct addr *to, const uint8_t *d, size_t n)
{
	if (p->r->on_send)
		p->r->on_send(p, sock, to, d, n);
}

void relay_pair_stats(const struct relay_pair *p, struct media_stats *ret)
{
	*ret = p->stats;
}

void relay_pair_stats_reset(struct relay_pair *p)
{
	memset(&p->stats, 0, sizeof(p->stats));
}

enum reason relay_capture_start(struct relay *r)
{
	return r->no_capture ? REASON_CAPTURE_OFF : REASON_NONE;
}

void relay_pair_capture(struct relay_pair *p, enum media_capture mode, uint64_t key)
{
	p->capture = mode;
	p->capture_key = key;
}

void relay_captured(const struct relay *r, uint64_t key, bool (*fn)(void *ctx, const struct capture_packet *p), void *ctx)
{
	(void)r, (void)key, (void)fn, (void)ctx;
}

bool relay_port_use(const struct relay *r, unsigned realm, struct media_port_use *ret)
{
	if (realm >= r->n_realms)
		return false;
	*ret = (struct media_port_use){.total = r->pairs_left, .used = r->in_use,
	    .percent = r->pairs_left ? r->in_use * 100 / r->pairs_left : 100};
	return true;
}

unsigned relay_pairs_in_use(const struct relay *r)
{
	return r->in_use;
}

#endif
