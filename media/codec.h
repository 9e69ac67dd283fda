/* codec.h - what is known of codecs: static payload types, which names mean the same, which are no codec of their own. */
#ifndef MEDIA_CODEC_H
#define MEDIA_CODEC_H

#include "media/sdp.h"

/* RFC 3551 6: name, clock and channels of a static payload type. false: it is not one. */
bool codec_static(uint8_t pt, struct sdp_format *ret);
/* Is f what its number says without any a=rtpmap? */
bool codec_is_static(const struct sdp_format *f);
/* Same codec, whatever its number: name (any case; G729A is G729), clock, channels. telephone-event at 8000 and at
 * 48000 Hz are two. An empty name is the same as nothing. */
bool codec_same(const struct sdp_format *f, const struct sdp_format *g);
/* Equal for formats that are codec_same(); a short fingerprint to remember a codec by. */
uint32_t codec_key(const struct sdp_format *f);
/* Something that only goes with a codec: events, comfort noise, redundancy, retransmission (SDP-07). */
bool codec_is_aux(const struct sdp_format *f);

/* Place of f in a list as "PCMA PCMU opus/48000 telephone-event" (blanks or commas, any case), counted from 0; -1: not
 * in it. Empty list: 0 for all. */
int codec_rank(struct str list, const struct sdp_format *f);

/* Same codec in a list, the best when there are several (H264 in three packings): equal fmtp counts, then the equal
 * number (cross side), or the number first (same_side: answer against its offer). -1: none.
 * @used  bit i: formats[i] is taken; may be NULL */
int codec_match(const struct sdp_media *in, const struct sdp_format *f, bool same_side, const uint64_t *used);

#endif
