/* clock.h - time as an argument.
 *
 * Two readings, refreshed by whoever drives the loop (libuv loop: once a turn; simulation: as the script
 * says). Timers and deadlines use mono_us only, so a jump of the wall clock ends no call. It counts while the machine
 * sleeps (CLOCK_BOOTTIME): what was agreed with others runs out meanwhile, a registration above all.
 */
#ifndef SBC_LOOP_CLOCK_H
#define SBC_LOOP_CLOCK_H

#include <stdint.h>

struct clock {
	int64_t mono_us; /* never goes back */
	int64_t wall_us; /* since 1970, for records people read */
};

/* from CLOCK_BOOTTIME and CLOCK_REALTIME */
void clock_refresh(struct clock *c);

#endif
