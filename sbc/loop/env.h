/* env.h - what protocol code gets instead of a clock, a socket and a dice of its own. */
#ifndef SBC_LOOP_ENV_H
#define SBC_LOOP_ENV_H

#include "sbc/base/hash.h"
#include "sbc/base/log.h"
#include "sbc/base/metric.h"
#include "sbc/base/rng.h"
#include "sbc/loop/timers.h"

/* One per signalling thread; everything in it lives as long as the process (or the simulated world). */
struct env {
	const struct clock *clock;
	struct timers *timers;
	struct rng *rng;
	struct logger *logger;
	struct metrics *metrics;
	struct hash_key hash_key; /* secret of this process, for tables keyed by the network */
};

#endif
