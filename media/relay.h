/* relay.h - ports, programs and workers: the packet path, seen from the signalling thread.
 *
 * A pair is an RTP and an RTCP socket of one realm and family, bound for good and kept open between calls, so
 * that a call pays for no socket. A direction of a stream is one program: a plain record that says which
 * packets may come in at one pair, what is changed, and where the other pair sends them. The signalling thread
 * writes a new record and publishes its pointer; the worker reads it per packet; the old record is freed when
 * the worker has passed a quiet point. No queue, no lock, no wake-up on the way of a call. Counters belong to
 * the worker and are read relaxed.
 */
#ifndef MEDIA_RELAY_H
#define MEDIA_RELAY_H

#include "media/crypt.h"
#include "media/ice.h"
#include "media/media.h"

struct relay;
struct relay_pair;

enum relay_drop {
	RELAY_DROP_NO_STREAM,  /* no program: port not in use, or not yet answered */
	RELAY_DROP_SOURCE,     /* not from where it may come (RTP bleed) */
	RELAY_DROP_SHORT,      /* truncated, CSRC or extension overrun */
	RELAY_DROP_VERSION,
	RELAY_DROP_PT,         /* payload type that was not negotiated */
	RELAY_DROP_RTCP_BAD,
	RELAY_DROP_HELD,       /* direction says no */
	RELAY_DROP_NO_DEST,    /* far end's address is not known yet */
	RELAY_DROP_SEND,       /* sendmmsg failed */
	RELAY_DROP_NOT_RTP,    /* STUN, DTLS, junk */
	RELAY_DROP_AUTH,       /* not encrypted with the key that was agreed, or changed on the way */
	RELAY_DROP_REPLAY,     /* came before, or much too late */
	RELAY_DROP_CRYPT,      /* cannot be opened or sealed: too many SSRCs, key used up, no memory */
	RELAY_DROP_STUN,       /* STUN that is no check for us, or nothing to answer */
	RELAY_DROP_NO_KEY,     /* to be encrypted, and the keys are not agreed yet (DTLS) */
	RELAY_DROPS
};
extern const char *const relay_drop_names[RELAY_DROPS];

#define RELAY_PT_DROP 0xff
#define RELAY_PT_EVENT 0xfe /* events of RFC 4733 that end here: told once, when it is over */

/* One direction. Plain values only (design 1.4): a kernel fast path can execute the same record. */
struct relay_program {
	struct addr source_rtp, source_rtcp; /* where packets come from, by SDP */
	struct addr latch_ip;                /* only this IP may latch; none: no latching */
	struct addr dest_rtp, dest_rtcp;     /* where the out pair sends; none: drop */
	uint8_t pt_map[128];                 /* incoming PT -> outgoing PT, RELAY_PT_DROP: drop */
	uint8_t clock_khz[128];              /* RTP clock of the incoming PT for jitter, in units of 1000 Hz; 0: 8 */
	uint8_t event_pt;                    /* outgoing PT of relay_pair_digit(); RELAY_PT_DROP: none */
	bool rtp_on;                         /* false: held, RTP is dropped (RTCP passes) */
	int64_t on_us;                       /* mono_us since when rtp_on; 0: not known */
	bool raw;                            /* not RTP (UDPTL …): pass datagrams of the first socket as they are */
	bool renew;                          /* open begins at index 0, also when it is the key that was there before */
	struct hash_key cname;               /* names in RTCP become others by it (rtcp_hide()); 0: they pass */
	struct crypt_key open;               /* of the far end that sends them; CRYPT_NONE: they come in clear */
	struct crypt_key seal;               /* ours towards the far end they go to */
	struct crypt_key open_rtcp, seal_rtcp; /* the same for reports; CRYPT_NONE: those of RTP */
	bool wait_rtp, wait_rtcp;            /* keys of a side are not there yet: nothing passes */
	struct ice_keys ice;                 /* of the far end that sends them: it comes from where it passed a check, and is
	                                      * sent to where it wants to be, whatever the addresses above say; ours "": no ICE */
	bool mux;                            /* reports leave by the socket of RTP, and for its address */
	bool dtls;                           /* DTLS from the source goes to whoever listens (relay_pair_listen()) */
	/* Pairs that in and out took the place of in this stream: a key that is the same goes on counting. NULL: none.
	 * Only looked at by relay_program_set(). */
	struct relay_pair *in_before, *out_before;
};

/* Reads realms and ranges; binds nothing yet. workers 0: simulation, no sockets, no threads. */
struct relay *relay_new(const struct env *env, const struct media_cfg *cfg, enum reason *ret_reason);
void relay_free(struct relay *r);

/* An idle pair out of quarantine, in random order, bound on first use; both ports or none (RTP-13).
 * REASON_NONE, PORTS_EXHAUSTED, NO_DESCRIPTORS, MEDIA_UNREACHABLE, NO_MEMORY. */
enum reason relay_pair_get(struct relay *r, unsigned realm, int family, struct relay_pair **ret);
/* Stops both directions that touch it, starts quarantine. NULL is fine. */
void relay_pair_put(struct relay_pair *p);
/* Class of service of what leaves by it, while it is taken: 1 + DSCP; 0: that of the realm. */
void relay_pair_dscp(struct relay_pair *p, uint8_t dscp);
const struct addr *relay_pair_local(const struct relay_pair *p); /* RTP; RTCP is port + 1; advertised address */
/* Packets that arrive at in are handled by prog and leave by out. NULL prog: nothing passes (NO_STREAM).
 * prog is copied. A source that has latched stays latched when source_* and latch_ip did not change. A key that did not
 * change keeps its indices; the key before a new one still opens packets for a while (crypt.h).
 * REASON_NONE or NO_MEMORY (then the old program stays). */
enum reason relay_program_set(struct relay_pair *in, struct relay_pair *out, const struct relay_program *prog);
/* What p's program is, but its keys, and where its packets leave (ret_out may be NULL); false: it has none. */
bool relay_pair_program(const struct relay_pair *p, struct relay_program *ret, struct relay_pair **ret_out);

/* What came at a socket of a pair (0: RTP, 1: RTCP) and is DTLS, from where the program allows. Signalling thread. */
typedef void relay_listen_fn(void *ctx, unsigned sock, const struct addr *from, const uint8_t *d, size_t n);
/* With ICE, n is 0 when the far end has said that it wants to be at from. */
/* One listens at a pair; fn NULL: nobody. Ends with relay_pair_put(). A hello that came before (relay_pair_expect()) is told
 * on the spot. */
void relay_pair_listen(struct relay_pair *p, relay_listen_fn *fn, void *ctx);
/* ends it, when it is still this one who listens */
void relay_pair_unlisten(struct relay_pair *p, const void *ctx);
/* A far end may begin DTLS before the answer that names it: the first hello that comes while there is no program is kept for
 * who will listen (RFC 5763 5). */
void relay_pair_expect(struct relay_pair *p);
/* An event that came in at a pair and ended here, and how long it was. Signalling thread. */
typedef void relay_event_fn(void *ctx, const struct relay_pair *at, uint8_t event, uint16_t ms);
void relay_pair_on_event(struct relay_pair *p, relay_event_fn *fn, void *ctx);
/* A digit for the far end of in's program, played in the place of RTP packets that pass (RFC 4733 2.5): at least 40 ms, at most
 * 6 s, 60 ms apart. false: the program has no event_pt, RELAY_DIGITS wait already, or no memory. */
#define RELAY_DIGITS 32
bool relay_pair_digit(struct relay_pair *in, uint8_t event, uint16_t ms);
/* One datagram, now, from a socket of the pair; what the system refuses is lost. Signalling thread. */
void relay_pair_send(struct relay_pair *p, unsigned sock, const struct addr *to, const uint8_t *d, size_t n);
/* Counters of packets that came in at p (rx, drops, loss, jitter) and that left by p (tx) since it was taken or
 * reset. rx counts what was valid, from where it may come and of a negotiated type, also when the direction is held;
 * first_rx_us and last_rx_us count RTCP as well (RTP-12). */
void relay_pair_stats(const struct relay_pair *p, struct media_stats *ret);
/* Without memory the counters go on as they were. A source that has latched stays latched. */
void relay_pair_stats_reset(struct relay_pair *p);

/* Makes the rings, if they are not there. REASON_NONE, CAPTURE_OFF, NO_MEMORY. */
enum reason relay_capture_start(struct relay *r);
/* What comes in at p, and what leaves because of it, is kept from now on (enum media_capture). */
void relay_pair_capture(struct relay_pair *p, enum media_capture mode, uint64_t key);
void relay_captured(const struct relay *r, uint64_t key, bool (*fn)(void *ctx, const struct capture_packet *p), void *ctx);

bool relay_port_use(const struct relay *r, unsigned realm, struct media_port_use *ret);
unsigned relay_pairs_in_use(const struct relay *r);

#endif
