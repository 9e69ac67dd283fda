/* world.h - a clock that is moved by hand, seeded randomness, and SIP messages out of a few lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "sbc/base/arena.h"
#include "sbc/loop/env.h"
#include "sbc/sip/msg.h"

#define UNUSED __attribute__((unused))

struct world {
	struct clock clock;
	struct rng rng;
	struct env env;
	struct arena_pool pool;
	struct arena *arena;
};

static UNUSED void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->clock.mono_us = 1000000000;
	rng_init_seeded(&w->rng, 7);
	w->env = (struct env){.clock = &w->clock, .rng = &w->rng, .hash_key = {1, 2}};
	arena_pool_init(&w->pool, 4096, 16);
	w->arena = arena_new(&w->pool);
}

static UNUSED void world_fini(struct world *w)
{
	arena_free(w->arena);
	arena_pool_fini(&w->pool);
}

/* extra: complete header lines */
static UNUSED const struct sip_msg *world_msg(struct world *w, const char *start, const char *cseq, const char *extra)
{
	struct sip_perr err;
	struct sip_msg *m;
	char *p = arena_alloc(w->arena, 8192);
	int n = snprintf(p, 8192,
	    "%s\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nFrom: <sip:u@example.net>;tag=1\r\n"
	    "To: <sip:u@example.net>\r\nCall-ID: 1\r\nCSeq: %s\r\nMax-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n",
	    start, cseq, extra);

	assert_int_equal(sip_parse(w->arena, p, (size_t)n, &m, &err), 0);
	return m;
}

static UNUSED const struct sip_msg *world_register(struct world *w, const char *extra)
{
	return world_msg(w, "REGISTER sip:example.net SIP/2.0", "1 REGISTER", extra);
}

static UNUSED const struct sip_msg *world_401(struct world *w, const char *extra)
{
	return world_msg(w, "SIP/2.0 401 Unauthorized", "1 REGISTER", extra);
}
