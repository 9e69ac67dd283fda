/* tap.h - the last messages, for ladders and captures.
 *
 * A ring of bytes of fixed size: a message is appended with its path, its times and a key (a hash of the call
 * says which call), the oldest are overwritten. Appending is one copy; looking up walks the ring and is for
 * people. One thread. The memory is kept out of core dumps.
 */
#ifndef SBC_NET_TAP_H
#define SBC_NET_TAP_H

#include "sbc/base/buf.h"
#include "sbc/loop/clock.h"
#include "sbc/net/net.h"

struct tap;

struct tap_msg {
	uint64_t seq; /* 1.. */
	uint64_t key;
	int64_t wall_us, mono_us;
	bool out;
	struct net_path path;
	struct str bytes; /* the first bytes; borrow: valid until the next tap_add() */
	size_t len;       /* on the wire */
};

#define TAP_BYTES_DEFAULT ((size_t)16 << 20)
#define TAP_CLIP_DEFAULT 4096

/* bytes: of the ring, at least 64 KiB; clip: bytes kept of a message, at most 16 KiB. 0 for the defaults.
 * 0, -EINVAL or -ENOMEM. */
MUST_USE int tap_new(size_t bytes, size_t clip, struct tap **ret);
void tap_free(struct tap *t);
/* Called for the kept bytes of a message before they are shown to anybody, to make unreadable in place what is nobody's
 * business; may be called again for the same bytes. */
typedef void tap_hide_fn(char *p, size_t n);
void tap_set_hide(struct tap *t, tap_hide_fn *fn);

void tap_add(struct tap *t, const struct clock *now, bool out, const struct net_path *path, uint64_t key,
    struct str bytes);

/* false stops the walk */
typedef bool tap_fn(void *ctx, const struct tap_msg *m);
/* Oldest first: messages after seq (0: all that are there) whose key is among the n_keys (0: every key). Returns
 * how many were shown. */
unsigned tap_each(const struct tap *t, const uint64_t *keys, unsigned n_keys, uint64_t after_seq, tap_fn *fn,
    void *ctx);
uint64_t tap_last_seq(const struct tap *t);

/* A capture file (pcap, microseconds, link type 101 "raw IP"): each message as one UDP datagram between its true
 * addresses, whatever carried it. */
#define TAP_PCAP_HEAD 24
#define TAP_PCAP_MSG_MAX(clip) (16 + 48 + (clip))
void tap_pcap_head(struct buf *b);
void tap_pcap_msg(struct buf *b, const struct tap_msg *m);

#endif
