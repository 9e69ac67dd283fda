/* negotiate.h - offer and answer between two sides as arithmetic on stream descriptions (RFC 3264). Pure.
 *
 * Four descriptions of one stream meet: what X told us (remote), what we told X (local), the same of Y. An offer of X
 * becomes an offer to Y, the answer of Y becomes an answer to X, and the four together give the payload type maps
 * of both directions. Ports and addresses are the session's; here they are not touched.
 *
 * Directions. The offer d goes through as it is; the answer e is cut to what the offer left open:
 *     to Y: d      to X: e & reverse(d)      X -> Y flows when d sends and e receives
 *
 * What passes of a stream: formats both trunks allow, their fmtp byte by byte, b= (AS, TIAS, RR, RS, CT), and the
 * attributes of a fixed list (neg_attr_passes). Everything that names a host, an address, a key or a transport of the
 * other side is not in the list: candidate, ice-*, rtcp, rtcp-mux, group, crypto, fingerprint, setup, msid,
 * preconditions, capability sets, and all unknown ones (B2B-07, SDP-16).
 */
#ifndef MEDIA_NEGOTIATE_H
#define MEDIA_NEGOTIATE_H

#include "media/sdp.h"

static inline enum sdp_dir neg_reverse(enum sdp_dir d)
{
	return (enum sdp_dir)(((unsigned)d & 1) << 1 | (unsigned)d >> 1);
}
/* direction of an answer e that fits the offer d */
static inline enum sdp_dir neg_answer_dir(enum sdp_dir d, enum sdp_dir e)
{
	return (enum sdp_dir)(e & neg_reverse(d));
}

/* Which codec a side called by which dynamic number in a slot (m= line) during its session: a number never gets a
 * second meaning, a codec keeps its number (RFC 3264 8.3.2). Newest meaning first. */
struct neg_seen {
	uint32_t key; /* codec_key() */
	uint8_t slot, pt;
};
struct neg_hist {
	struct neg_seen *v; /* in the arena that neg_hist_add() was given */
	unsigned n;
};
#define NEG_HIST_MAX 128

/* Adds the dynamic numbers of m. @alias: numbers that the answer used beside ours: remembered, not preferred.
 * REASON_NONE or NO_MEMORY (unchanged then). */
enum reason neg_hist_add(struct arena *a, struct neg_hist *h, uint8_t slot, const struct sdp_media *m, bool alias);

/* What X offered, as an offer to Y.
 *
 * @from      X's description; its session-level attributes count too
 * @allow_x, @allow_y  codec lists of the trunks (codec_rank()); Y's also orders
 * @hist_y    numbers of Y's side in slot_y
 * *ret: kind, proto, formats, attributes, direction; slices of from and memory of a.
 * REASON_NONE, NO_COMMON_CODEC, NO_MEMORY. */
enum reason neg_offer(struct arena *a, const struct sdp *from, const struct sdp_media *m, struct str allow_x,
    struct str allow_y, const struct neg_hist *hist_y, uint8_t slot_y, struct sdp_media *ret);

/* What Y answered, as an answer to X: codecs of Y's answer (in its order: what Y wants first, X shall send) that are
 * in X's offer and allowed at X, under X's numbers.
 *
 * @rem_x  X's offer    @loc_y  what we offered Y    @from, @rem_y  Y's answer
 * A format of Y's that was not offered is left out. REASON_NONE, NO_COMMON_CODEC, NO_MEMORY. */
enum reason neg_answer(struct arena *a, const struct sdp_media *rem_x, const struct sdp_media *loc_y,
    const struct sdp *from, const struct sdp_media *rem_y, struct str allow_x, struct sdp_media *ret);

/* A dynamic number for one more format of m, which is for Y: that it had before, or one that nothing else has. NEG_PT_NONE: there is
 * none. */
uint8_t neg_free_number(const struct sdp_media *m, const struct neg_hist *hist_y, uint8_t slot_y, const struct sdp_format *f);

/* b= lines that may pass at session level. REASON_NONE or NO_MEMORY. */
enum reason neg_session_attrs(struct arena *a, const struct sdp *from, struct sdp_attr **ret);

#define NEG_PT_NONE 0xff
/* Payload types of packets from X to those towards Y: every number we ever told X in this description is taken
 * (SDP-08), and X's own number of the same codec where that is not one of ours with another meaning (answers that
 * renumber). map and clock_khz are filled whole: NEG_PT_NONE: not negotiated; clock in 1000 Hz, 0 unknown. */
void neg_pt_map(const struct sdp_media *loc_x, const struct sdp_media *rem_x, const struct sdp_media *rem_y,
    uint8_t map[128], uint8_t clock_khz[128]);

/* Does the side that described itself as rem and was told `told` have to hear of `want`? Only what has an effect
 * with its own description counts: alive, direction, formats, fmtp of codecs; not order, not other attributes. Any may be
 * NULL or have port 0: no stream. */
bool neg_differs(const struct sdp_media *told, const struct sdp_media *want, const struct sdp_media *rem);

/* first format that is a codec of its own; NULL: none */
const struct sdp_format *neg_main_codec(const struct sdp_media *m);
bool neg_attr_passes(const struct sdp_media *m, const struct sdp_attr *at);

#endif
