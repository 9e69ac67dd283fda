/* relay_impl.h - what relay.c, ports.c and worker.c share.
 *
 *     relay --- range (realm, family) --- pair --- flow   counters, while the pair is in use
 *       |                                  |------ prog   the published program of what comes in here
 *       |                                  `------ latch  where what comes in here was proved to come from
 *       `-- worker (thread, epoll): both sockets of a pair belong to one worker for good
 *
 * Ranges and pairs live as long as the relay. Flows, programs and latches are replaced by swapping one pointer; the
 * old one goes to relay_retire() and is freed when every worker has been at its quiet point (epoll_wait) since.
 * Signalling stores, workers load, both sequentially consistent: either the worker's load sees the new pointer, or
 * signalling sees that the worker is not in its quiet point and waits for the next one.
 */
#ifndef MEDIA_RELAY_IMPL_H
#define MEDIA_RELAY_IMPL_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "media/capture.h"
#include "media/relay.h"
#include "media/stats.h"

#define RELAY_BATCH 32        /* packets of one recvmmsg */
#define RELAY_EVENTS 64       /* sockets of one epoll_wait */
#define RELAY_PACKET_MAX 9216 /* bytes; a longer datagram is dropped as RELAY_DROP_SHORT */
#define RELAY_TAIL 160        /* more bytes a packet has when it leaves: CRYPT_TAIL, on a line of its own */
#define RELAY_WORKERS_MAX 64
#define RELAY_BLOCKED_US 60000000 /* before a port that somebody else had is tried again */
#define RELAY_BIND_TRIES 64       /* ports that are found taken in one call */
#define RELAY_IDLE_ENOUGH 128 /* bound and free: no other is bound for a call */
#define RELAY_SAY_US 60000000     /* between two lines about the same trouble */
#define RELAY_KEEP_US 15000000    /* without a packet, before a far end with ICE gets an indication (RFC 8445 11) */
#define RELAY_WARN_PERCENT 80
#define RELAY_CALM_PERCENT 70     /* below, the warning may come again */

enum { RELAY_RTP, RELAY_RTCP };

enum relay_kind { RELAY_FLOW, RELAY_PROG, RELAY_LATCH, RELAY_ICE, RELAY_PLAY, RELAY_KINDS };

/* First member of everything that workers may still be looking at when it is replaced. */
struct relay_dead {
	struct relay_dead *next;
	uint8_t kind; /* enum relay_kind */
};

enum relay_seen {
	RELAY_UNSEEN,
	RELAY_SEEN_EXACT, /* came from the address of the SDP */
	RELAY_SEEN_LATCH, /* came from another port of latch_ip: answer to there */
};

/* One source, learnt once: addr is written before seen and never again. */
struct relay_source {
	struct addr addr;
	_Atomic uint8_t seen; /* enum relay_seen */
};

/* Where a pair's packets come from. source[] is written by the worker of the pair and read by all. A program with
 * another source or latch_ip makes a new one. */
struct relay_latch {
	struct relay_dead dead;
	struct addr source_rtp, source_rtcp, latch_ip; /* of the programs it is for */
	struct relay_source source[2];
};

/* The ICE of what comes in at a pair, as long as its names do not change. */
struct relay_ice {
	struct relay_dead dead;
	struct ice *ice; /* own */
	/* signalling */
	struct list node;       /* relay->ices, while it is the pair's */
	struct relay_pair *at;
	uint64_t sent[2];       /* what had left by either socket when it was looked at last */
	int64_t idle_since_us[2];
};

/* Digits that are to be played to the far end of what comes in at a pair, as long as it is in use. One writer (signalling), one
 * reader (the pair's worker), whose the rest is. */
struct relay_play {
	struct relay_dead dead;
	_Atomic uint32_t head; /* played so far */
	_Atomic uint32_t tail; /* put so far */
	struct {
		uint16_t ms;
		uint8_t event;
	} digit[RELAY_DIGITS];
	uint32_t began_ts, ssrc, length_ts;
	unsigned sent, ends, rest; /* packets of this digit, of them with the end bit; packets until the next digit may begin */
	bool on;
};

/* Payload types and clocks as in struct relay_program: most calls have the same ones, and share them. */
struct relay_map {
	struct list node; /* relay->maps, the last used first */
	unsigned refs;    /* programs, published or dead */
	uint8_t pt[128];
	uint8_t clock_khz[128];
};

/* one word, so that it can be taken back by whoever has seen just this one */
#define RELAY_AFTER(worker, epoch) ((uint64_t)(epoch) << 8 | ((uint64_t)(worker) + 1))

/* A key at work. Programs, published or dead, hold it; one worker uses it: that of the pair its packets come in at. */
struct relay_key {
	struct crypt *c; /* own */
	struct crypt_key key;
	unsigned refs;               /* signalling */
	struct relay_worker *worker; /* signalling: who uses it, or will */
	/* Handed over: not before the worker named here has been at its quiet point since the epoch named here. 0: it is
	 * the user's. RELAY_AFTER(index, epoch) */
	_Atomic uint64_t after;
};

/* The keys of one direction; in most calls there are none, and no program has this. */
struct relay_keys {
	struct relay_key *open, *open_before; /* ref; NULL: in clear; none, or over */
	struct relay_key *seal, *seal_before; /* the one before is used for its counter only (CRYPT_ROC_KEEP) */
	struct relay_key *open_rtcp, *seal_rtcp; /* ref; NULL: reports have the keys of RTP */
};

/* A program as it is published: where its packets come from stands in the latch. */
struct relay_prog {
	struct relay_dead dead;
	uint8_t event_pt;
	bool rtp_on, raw, wait_rtp, wait_rtcp, mux, dtls; /* as in struct relay_program */
	int64_t on_us;
	struct relay_keys *keys;   /* own; NULL: nothing is encrypted */
	struct hash_key cname;
	struct addr dest_rtp, dest_rtcp;
	struct relay_map *map;     /* ref */
	struct relay_pair *out;
	struct relay_latch *latch; /* borrow: the in pair, at least as long as this program is published */
	struct ice *ice;           /* borrow: the same; NULL: no ICE */
};

/* An address that the worker of a pair writes now and then and signalling reads whole: odd while it is written. */
struct relay_addr {
	_Atomic uint32_t turn;
	_Atomic uint32_t word[sizeof(struct addr) / 4];
};
_Static_assert(sizeof(struct addr) % 4 == 0, "in words");
void relay_addr_set(struct relay_addr *a, const struct addr *v);
/* none: there is none, or it is written all the time */
struct addr relay_addr_get(const struct relay_addr *a);

struct relay_flow {
	struct relay_dead dead;
	/* added to by the workers that send by this pair */
	_Atomic uint64_t tx_packets, tx_bytes, rtcp_tx;
	/* Written by the worker of the pair; first what is seldom written and keeps the others off the line of the cache
	 * that other workers write to. Drops stay at their highest value. */
	_Atomic uint32_t drops[RELAY_DROPS];
	_Atomic int64_t first_rx_us;
	_Atomic int64_t unreadable_us; /* see struct media_stats */
	_Atomic uint64_t capture_key;
	_Atomic uint8_t capture; /* enum media_capture; after capture_key */
	_Atomic int64_t refused_source_us, refused_pt_us;
	struct relay_addr refused_source;
	_Atomic uint8_t refused_pt;
	struct relay_addr unreachable;  /* destination of a packet of ours that came back as ICMP */
	_Atomic int64_t unreachable_since_us, unreachable_us;
	_Atomic uint8_t unreachable_why;
	struct rtp_rx rx;
	/* the event that came last (worker) */
	uint32_t event_ts;
	uint16_t event_ms;
	uint8_t event;
	bool event_on; /* not told yet */
	bool event_any;
	_Atomic uint64_t rx_packets, rx_bytes, rtcp_rx;
	_Atomic int64_t last_rx_us, last_rtp_us, lost;
	_Atomic uint32_t jitter_us, last_payload, reordered, doubled, gap_us;
	_Atomic int32_t drift_ppm;
	/* the sender report that left by this pair last, written by the worker of the pair it came in at */
	_Atomic uint32_t sr_ntp;     /* after sr_left_us */
	_Atomic int64_t sr_left_us;
	/* what reports that came in say, see struct media_stats */
	_Atomic uint32_t round_trip_us;
	_Atomic uint32_t far_lost;
	_Atomic int64_t far_sends_us, deaf_us;
	_Atomic uint32_t deaf_reports;
	/* of the last report, for the next */
	uint32_t far_packets;          /* what it says it has sent */
	uint32_t heard_ssrc, heard_to; /* highest number it knows of what we send */
	uint64_t heard_tx;             /* tx_packets then */
};
_Static_assert(offsetof(struct relay_flow, rx) - offsetof(struct relay_flow, drops) >= 64, "a line apart");

enum relay_pair_state { RELAY_PAIR_IDLE, RELAY_PAIR_USED, RELAY_PAIR_QUARANTINED };

/* An idle pair is this and two kernel sockets. */
struct relay_pair {
	struct relay_range *range;
	_Atomic(struct relay_flow *) flow;   /* own */
	_Atomic(struct relay_prog *) prog;   /* own */
	_Atomic(struct relay_latch *) latch; /* own; that of prog */
	_Atomic(struct relay_ice *) ice;     /* own; that of prog; NULL: none */
	_Atomic(struct relay_play *) play;   /* own; NULL: no digit was ever played */
	/* signalling only */
	struct relay_keys *rest; /* own: keys of a program that was taken away, should it come back; NULL: none */
	struct relay_ear *ear;   /* own: who listens; NULL: nobody ever did */
	struct list feeders; /* pairs whose program leaves here, by feeds */
	struct list feeds;
	int64_t released_us;
	/* worker only: its wake-up at which a socket was read last, by socket */
	uint32_t read_at[2];
	struct addr local;
	int fd[2]; /* -1 in simulation */
	uint16_t index;
	uint8_t worker;
	uint8_t state; /* enum relay_pair_state */
	_Atomic bool expects;    /* a hello of DTLS, though there is no program */
	_Atomic uint8_t up;      /* datagrams of it that wait for the signalling thread */
	uint8_t dscp;  /* its sockets have */
};
_Static_assert(RELAY_TAIL >= CRYPT_TAIL, "a packet of any length can be sealed");
_Static_assert(sizeof(struct relay_pair) <= 208, "an idle pair is small");

/* Indices of pairs, as a bag or as a ring. */
struct relay_set {
	uint16_t *v; /* own: as many as the range has pairs */
	unsigned n, head;
};

/* All pairs of a realm and family. Each index is in one of the sets, or its pair is in use. */
struct relay_range {
	struct relay *relay;
	struct addr bind, advertise;
	struct relay_pair **pair; /* own: n of them; NULL: never bound */
	struct relay_set unbound; /* bag */
	struct relay_set idle;    /* bag: bound, free to take */
	struct relay_set resting; /* ring, oldest first: in quarantine */
	struct relay_set blocked; /* bag: somebody else has one of the ports */
	int64_t blocked_until_us; /* then all of blocked are tried again */
	int64_t quiet_until_us;   /* no line about a refusal before */
	unsigned n, used;
	uint16_t first_port;
	uint8_t dscp, realm;
	bool warned; /* that it is nearly full */
};

enum relay_metric {
	RELAY_M_PORT_USE, /* per cent of the fullest range, quarantine included */
	RELAY_M_PAIRS_USED,
	RELAY_M_PAIRS_QUARANTINED,
	RELAY_M_PAIRS_BLOCKED,
	RELAY_M_PAIRS_BOUND,
	RELAY_M_EXHAUSTED,
	RELAY_M_NO_DESCRIPTORS,
	RELAY_M_RX_PACKETS,
	RELAY_M_TX_PACKETS,
	RELAY_M_WAKEUPS,
	RELAY_M_DROP, /* RELAY_DROPS of them */
	RELAY_METRICS = RELAY_M_DROP + RELAY_DROPS
};

struct relay_batch;

struct relay_worker {
	struct relay *relay;
	struct relay_batch *batch; /* own */
	struct relay_up *up;       /* own: what waits for the signalling thread; NULL: nobody would take it */
	pthread_t thread;
	int ep, stop;
	bool running;
	uint32_t wakeups;    /* of the thread itself */
	int64_t window_us;   /* the same: since when seen counts */
	unsigned seen;       /* packets */
	bool busy;           /* so many that it pays to gather them */
	uint64_t quiet_seen; /* signalling: epoch when the waiting list was closed */
	_Atomic(struct capture *) capture; /* own; NULL: nothing was ever captured */
	alignas(64) _Atomic uint64_t epoch; /* even: in its quiet point */
	/* totals of this worker */
	alignas(64) _Atomic uint64_t rx_packets;
	_Atomic uint64_t tx_packets;
	_Atomic uint64_t drops[RELAY_DROPS];
};

struct relay {
	const struct env *env;
	struct log log;
	struct relay_range *range; /* own: [realm][family], 2 * n_realms */
	char (*name)[24];          /* own: of the realms, for the log */
	unsigned n_realms;
	struct relay_worker *worker; /* own */
	unsigned n_workers, next_worker;
	int64_t quarantine_us;
	size_t capture_bytes;
	unsigned gather_us;
	struct relay_dead *fresh;   /* retired since the waiting list was closed */
	struct relay_dead *waiting; /* retired before: waits for quiet_seen to pass in all workers */
	struct relay_dead *spare[RELAY_KINDS]; /* own: freed, for the next call */
	unsigned n_spare[RELAY_KINDS];
	struct list maps; /* struct relay_map */
	struct list ices; /* struct relay_ice */
	unsigned pairs_used;
	struct timer housekeeping;
	struct relay_post *post; /* own, or the loop's when it comes late; NULL: no loop */
	struct metric_set metrics;
	uint64_t values[RELAY_METRICS];
};

/* ports.c */

/* Memory for the pairs of one range; g is filled but for the sets. 0 or -ENOMEM. */
MUST_USE int relay_range_init(struct relay_range *g);
/* Closes all sockets: the workers have ended. */
void relay_range_fini(struct relay_range *g);
/* Takes a pair out, bound. Reasons as relay_pair_get(). */
enum reason relay_range_take(struct relay_range *g, struct relay_pair **ret);
void relay_range_give(struct relay_pair *p);
/* Moves what has rested long enough; called before anybody looks at the sets. */
void relay_range_refresh(struct relay_range *g);
/* Can sockets be bound to the address of g at all? REASON_NONE, ADDRESS_MISSING, NO_DESCRIPTORS, PERMISSION. */
enum reason relay_range_try(const struct relay_range *g);

/* relay.c */
const char *relay_range_name(const struct relay_range *g);

/* relay_keys.c */

/* The keys for a program of packets from in to out. *ret: NULL when nothing is encrypted. REASON_NONE or NO_MEMORY. */
enum reason relay_keys_make(struct relay_pair *in, struct relay_pair *out, const struct relay_program *prog,
    struct relay_keys **ret);
/* Programs of other pairs that use these keys are stopped, and the keys handed over to in's worker: before the program
 * is published. */
void relay_keys_take(struct relay_pair *in, struct relay_pair *out, const struct relay_program *prog, struct relay_keys *k);
void relay_keys_free(struct relay_keys *k);
/* The program of in is about to be taken away, and the pair stays: its keys are kept. A key that comes back with another
 * index would be used twice for one. */
void relay_keys_rest(struct relay_pair *in);
/* suites and guesses of the direction that comes in at p and of the one that leaves by it */
void relay_keys_stats(const struct relay_pair *p, struct media_stats *ret);
/* NULL: none feeds it */
struct relay_pair *relay_feeder(const struct relay_pair *out);

/* relay_up.c */

/* 0 or -ENOMEM; before the workers start */
MUST_USE int relay_up_init(struct relay *r, struct loop *loop);
/* after they have ended */
void relay_up_fini(struct relay *r);
/* p is given back: nobody listens */
void relay_up_forget(struct relay_pair *p);
/* Hands a datagram up. false: nobody takes it, or too much waits. Worker of p only. */
bool relay_up_put(struct relay_worker *w, struct relay_pair *p, unsigned sock, const uint8_t *d, size_t n, const struct addr *from);
bool relay_up_event(struct relay_worker *w, struct relay_pair *p, uint8_t event, uint16_t ms);

/* relay.c */
void relay_program_clear(struct relay_pair *in);

/* worker.c */

/* 0 or -errno; w is zeroed memory of relay's array */
MUST_USE int relay_worker_start(struct relay_worker *w, struct relay *r, unsigned index);
void relay_worker_stop(struct relay_worker *w);
/* Hands both sockets of a new pair to the worker p->worker. 0 or -errno (then neither is registered). */
MUST_USE int relay_worker_add(struct relay_pair *p);

/* one writer; stops at the highest value */
static inline void relay_bump32(_Atomic uint32_t *v, uint32_t n)
{
	uint32_t was = atomic_load_explicit(v, memory_order_relaxed);

	atomic_store_explicit(v, was > UINT32_MAX - n ? UINT32_MAX : was + n, memory_order_relaxed);
}

static inline void relay_bump(_Atomic uint64_t *v, uint64_t n)
{
	/* one writer: no need for a locked instruction */
	atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + n, memory_order_relaxed);
}

#endif
