/* capture.h - packets of calls that somebody wants to see, kept in a ring of fixed size.
 *
 * One thread writes, another reads while it does: what was overwritten meanwhile is left out, never half shown. Nothing is
 * allocated per packet, and nobody waits. The memory is kept out of core dumps.
 */
#ifndef MEDIA_CAPTURE_H
#define MEDIA_CAPTURE_H

#include "sbc/base/addr.h"

struct capture;

#define CAPTURE_BYTES_MIN ((size_t)64 << 10)
#define CAPTURE_KEPT_MAX 2048 /* bytes of a packet; of a longer one the beginning is kept */

struct capture_packet {
	uint64_t key;  /* of the call */
	int64_t mono_us;
	struct addr local, remote;
	bool out;      /* sent by us */
	size_t len;    /* on the wire */
	struct str bytes;
};

/* bytes: of the ring, at least CAPTURE_BYTES_MIN. NULL: no memory. */
struct capture *capture_new(size_t bytes);
void capture_free(struct capture *c);
/* The writer's thread only. */
void capture_put(struct capture *c, const struct capture_packet *p);
/* Oldest first, those of that key; false ends it. p lives until fn returns. Any one thread. */
void capture_each(const struct capture *c, uint64_t key, bool (*fn)(void *ctx, const struct capture_packet *p), void *ctx);

#endif
