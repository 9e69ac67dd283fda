/* guard.h - who gets an ear: bans, budgets of strangers, buckets per source.
 *
 * Asked for each datagram before it is parsed and for each connection before it is kept. The cost is one table
 * look-up; a known source without a limit of its own costs nothing but the look-up for bans. The table of sources
 * is bounded: when it is full the source heard least recently is forgotten, and what many made-up sources can get
 * together is bounded by the budget that all strangers share.
 *
 * A source is an IPv4 address or an IPv6 /64. Sources that the policy knows are never banned by the guard itself,
 * because UDP sources can be forged; a ban by the operator counts for everybody.
 */
#ifndef SBC_NET_GUARD_H
#define SBC_NET_GUARD_H

#include "sbc/base/addr.h"
#include "sbc/base/reason.h"
#include "sbc/loop/env.h"

struct guard_rate {
	uint32_t per_s; /* 0: no limit */
	uint32_t burst; /* at least 1 */
};

struct guard_cfg {
	unsigned max_sources;        /* entries of the table */
	unsigned max_bans;
	struct guard_rate known;     /* per known source */
	struct guard_rate stranger;  /* per unknown source */
	struct guard_rate strangers; /* all unknown sources together */
	struct guard_rate strikes;   /* an unknown source that gets more strikes than this is banned; 0: never */
	uint32_t ban_s;              /* how long */
};

void guard_cfg_defaults(struct guard_cfg *cfg);

enum guard_verdict {
	GUARD_PASS,
	GUARD_BANNED,
	GUARD_KNOWN_RATE,    /* known source over its bucket */
	GUARD_STRANGER_RATE, /* unknown source over its bucket (counts as a strike) */
	GUARD_STRANGERS,     /* all strangers together are over their budget */
	GUARD_VERDICTS
};

struct guard_ban {
	struct addr_net net;
	int64_t until_wall_us; /* INT64_MAX: until lifted */
	bool by_guard;         /* false: by the operator */
	uint64_t hits;         /* messages refused */
};

/* Who was turned away for what it proved or did not prove. */
struct guard_event {
	struct addr from;      /* of the last time */
	enum reason why;
	uint64_t n;            /* times, of this source for this reason */
	int64_t first_us, last_us; /* wall */
	char text[200];        /* of the last time: what it showed, what was expected */
};
#define GUARD_EVENTS 64

struct guard;

/* A ban began or ended by the guard's own doing (began: false when it expired), so that it can be kept. Called
 * from inside guard_check() or guard_strike(); may not call the guard. */
typedef void guard_ban_fn(void *ctx, const struct guard_ban *ban, bool began);

/* 0 or -ENOMEM; on_ban may be NULL. */
MUST_USE int guard_new(const struct env *env, const struct guard_cfg *cfg, guard_ban_fn *on_ban, void *ctx,
    struct guard **ret);
void guard_free(struct guard *g);
/* New limits; bans and the table stay (max_sources only takes effect at guard_new). */
void guard_reconfigure(struct guard *g, const struct guard_cfg *cfg);

/* One message or connection from this source. known: the policy has it. */
enum guard_verdict guard_check(struct guard *g, const struct addr *from, bool known);
/* The same source did something bad (wrong credentials, no trunk, garbage). True: this banned it. */
bool guard_strike(struct guard *g, const struct addr *from, bool known);

/* Remembered for people: the last GUARD_EVENTS; counted for good by reason, in the metrics area "refused". text may be
 * empty. */
void guard_event(struct guard *g, const struct addr *from, enum reason why, struct str text);
/* Walks the events, latest first: start with 0; false at the end. */
bool guard_event_next(const struct guard *g, unsigned *at, struct guard_event *ret);

/* seconds 0: until lifted. Replaces a ban of the same range. 0, -ENOSPC (max_bans), -ENOMEM. */
MUST_USE int guard_ban(struct guard *g, const struct addr_net *net, uint32_t seconds);
/* As read back after a restart. -ETIME when it has expired. */
MUST_USE int guard_ban_restore(struct guard *g, const struct guard_ban *ban);
/* true: there was such a ban. Only the operator's business: no callback. */
bool guard_unban(struct guard *g, const struct addr_net *net);
/* The ban that covers this address, or NULL. Valid until the next call. */
const struct guard_ban *guard_banned(struct guard *g, const struct addr *from);
/* Walks the bans, oldest first: index in *at from 0; false at the end. */
bool guard_ban_next(struct guard *g, unsigned *at, struct guard_ban *ret);

/* Messages by verdict. Also as metrics area "guard". */
uint64_t guard_count(const struct guard *g, enum guard_verdict v);
/* sources in the table now */
unsigned guard_sources(const struct guard *g);

#endif
