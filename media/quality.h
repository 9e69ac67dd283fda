/* quality.h - how a direction of speech sounds, by the E-model (ITU-T G.107) with its default values. Pure. */
#ifndef MEDIA_QUALITY_H
#define MEDIA_QUALITY_H

#include "sbc/base/str.h"

struct quality {
	double r;   /* transmission rating factor, 0 .. 93.2 */
	double mos; /* listening quality 1.0 .. 4.5 (G.107 Annex B) */
};

/* @codec       "PCMA/8000", "G729/8000": name as in a=rtpmap, with or without clock
 * @loss        0.0 .. 1.0, of the packets that should have come
 * @one_way_us  delay mouth to ear as far as it is known; 0: not known, and left out
 * false: G.113 gives no figures for that codec (wideband ones are on another scale). */
bool quality_of(struct str codec, double loss, int64_t one_way_us, struct quality *ret);

/* quality_of() for counters: received packets, lost ones (negative: came twice) */
bool quality_of_stream(struct str codec, uint64_t received, int64_t lost, uint32_t round_trip_us, struct quality *ret);

#endif
