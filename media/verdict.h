/* verdict.h - what a person should know of a direction of a stream, as a value: a word, a sentence, a remedy. Pure.
 *
 * A stream has two directions at each side: what comes from the far end (in), and what the far end gets from us (out). One
 * cause has one verdict: when A's packets cannot be decrypted, that stands at A, and B's out only says that nothing is sent.
 * A good call has none that is bad: hold, early media, mute, silence suppression and music on hold are no faults.
 */
#ifndef MEDIA_VERDICT_H
#define MEDIA_VERDICT_H

#include "media/media.h"

/* What there is to know beside the counters. Times are mono_us, 0: never. */
struct verdict_case {
	int64_t now_us;
	int64_t up_us;      /* the first exchange was over: the call is answered */
	int64_t on_us;      /* this direction is open; 0: held */
	int64_t changed_us; /* the last exchange after the first */
	uint16_t changes;   /* exchanges after the first */
	bool active;        /* the stream has a port */
	bool by_turns;      /* a fax: one side sends for a minute and the other is silent */
};

/* @st  counters of the side that the packets come from
 * *ret_since_us  when it began, 0: not known; *ret_change: the exchange it began at, 0: none. */
enum media_verdict verdict_in(const struct media_stats *st, const struct verdict_case *c, int64_t *ret_since_us,
    uint16_t *ret_change);
/* @st  counters of the side that the packets are sent to; on_us is that of the other side */
enum media_verdict verdict_out(const struct media_stats *st, const struct verdict_case *c, int64_t *ret_since_us);

#endif
