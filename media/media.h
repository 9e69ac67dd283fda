/* media.h - the media session of one call, as the B2BUA sees it.
 *
 * A media_call stands between two sides, A and B. Each side has its own session description, its own ports,
 * payload types and direction; the B2BUA hands in what the far ends sent and asks for what to send, and never
 * looks inside. Offer/answer (RFC 3264) is one exchange at a time:
 *
 *     media_remote_offer(mc, A, sdp)         A's INVITE (or B's 200 to an INVITE without offer: then side B)
 *     media_local_offer(mc, B, &buf)         what to offer B
 *     media_remote_answer(mc, B, sdp)        B's 183 or 200; again for another fork or a changed 200
 *     media_local_answer(mc, A, &buf)        what to answer A: same bytes each time in one exchange (OFA-04)
 *     media_commit(mc)                       the exchange is over
 * or  media_rollback(mc)                     it failed: everything as before (DLG-09)
 *
 * Packets flow as soon as addresses are known: early media needs no commit. One thread (signalling); workers are
 * behind it and share nothing but published programs and counters (relay.h).
 */
#ifndef MEDIA_MEDIA_H
#define MEDIA_MEDIA_H

#include "media/crypt.h"
#include "sbc/base/addr.h"
#include "sbc/base/reason.h"
#include "sbc/loop/env.h"

struct loop;
struct media;
struct media_call;
struct workers;

enum media_side { MEDIA_A, MEDIA_B };
static inline enum media_side media_other(enum media_side s)
{
	return s == MEDIA_A ? MEDIA_B : MEDIA_A;
}

/* Media addresses and port range of one realm; index = realm index. */
struct media_realm_cfg {
	struct str name;
	struct addr ip4, ip6;               /* where to bind; addr_none(): realm has none of that family */
	struct addr advertise4, advertise6; /* what SDP says; none: same as bound */
	uint16_t port_min, port_max;        /* even .. odd */
	uint8_t dscp;                       /* 46 = EF */
};

struct media_cfg {
	const struct media_realm_cfg *realms; /* copied */
	unsigned n_realms;
	unsigned workers;        /* threads; 0: none, for simulation (no sockets are opened, ports are numbers) */
	uint32_t quarantine_ms;  /* before a port is used again; 0: 5000 */
	unsigned max_streams;    /* m= lines of one session; 0: 16 */
	struct loop *loop;       /* borrow: of the signalling thread, for DTLS; NULL: its handshakes are not made */
	struct workers *dtls_workers; /* borrow: make its arithmetic; NULL: the signalling thread does */
	unsigned gather_us;      /* busy workers wait so long for more packets before each look; 0: never */
	size_t capture_bytes;    /* memory for packets of calls that are captured, taken when the first one is; 0: none is */
};

/* NULL with *ret_reason (ADDRESS_MISSING, NO_MEMORY …) and a log line. env lives longer. */
struct media *media_new(const struct env *env, const struct media_cfg *cfg, enum reason *ret_reason);
void media_free(struct media *m);

/* The address session descriptions of that realm show in that family; false: it has none. */
bool media_shown(const struct media *m, unsigned realm, int family, struct addr *ret);

enum media_latch { MEDIA_LATCH_OFF, MEDIA_LATCH_AUTO, MEDIA_LATCH_ON }; /* LAT-01, -02 */

enum media_srtp {
	MEDIA_SRTP_OFF,       /* in clear; RTP/SAVP is refused */
	MEDIA_SRTP_PREFERRED, /* offered as RTP/AVP with keys (RFC 8643), taken when offered */
	MEDIA_SRTP_REQUIRED,  /* RTP/SAVP or no call */
	MEDIA_SRTP_DTLS,      /* keys by DTLS or no call */
};

/* How the streams of a side are encrypted (secure.c). */
struct media_srtp_cfg {
	enum media_srtp mode;
	bool private;          /* keys may stand in its session descriptions: signalling is TLS, or the trunk says so */
	bool lifetime;         /* our keys say that they are good for 2^31 packets */
	enum crypt_roc roc;
	struct str suites;     /* names, in the order of offers to it; also what may be taken. Empty: all (sdes_suites()) */
};

enum media_dtmf { MEDIA_DTMF_PASS, MEDIA_DTMF_RTP, MEDIA_DTMF_INFO };
/* T.38 (UDPTL) at a side. Refused, the fax goes on as G.711 audio, which nothing here touches. A side that requires SRTP
 * takes none: it is not encrypted. */
enum media_fax {
	MEDIA_FAX_PASS,
	MEDIA_FAX_REFUSE,
	MEDIA_FAX_AUDIO_FIRST, /* only once the call is up */
};

/* What a trunk wants of the media of its side. Strings are copied. */
struct media_side_cfg {
	uint8_t realm;
	int family;              /* AF_INET, AF_INET6: that of the signalling address of the far end */
	enum media_latch latch;
	struct addr signalling;  /* far end's signalling address: only source a latch may take */
	struct str codecs;       /* "PCMA PCMU telephone-event": order of offers to it and allow-list for formats of
	                          * any RTP stream; fax (udptl) is not touched; empty: all pass as offered.
	                          * borrow: until the media_call is freed or the side opened again */
	uint32_t timeout_s;      /* without RTP and RTCP; 0: no supervision */
	enum media_fax fax;
	uint8_t dscp;            /* 1 + class of service of what we send; 0: that of the realm */
	struct media_srtp_cfg srtp;
	enum media_dtmf dtmf;    /* how it has digits (dtmf.c) */
	bool ice;                /* we are a lite agent of ICE towards it, when it has ICE */
};

struct media_call *media_call_new(struct media *m, struct str id);
/* Gives back ports and memory. */
void media_call_free(struct media_call *mc);

/* Opens a side, or starts it afresh for another try of the route: its ports are new, what it had negotiated is
 * forgotten, its o= line starts again. REASON_NONE, MEDIA_UNREACHABLE, NO_MEMORY. */
enum reason media_side_open(struct media_call *mc, enum media_side side, const struct media_side_cfg *cfg);

/* All return REASON_NONE or why not (SDP_MALFORMED, NO_COMMON_CODEC, PORTS_EXHAUSTED, ANSWER_BAD …); after a
 * refusal the session is as it was before the call. GLARE: an exchange is open. INTERNAL: the wrong side was asked, or
 * an answer in an exchange of media_reoffer(), where nobody waits for one. ANSWER_MISSING: no answer to tell yet.
 * A first answer that refuses every stream is MEDIA_REFUSED or NO_COMMON_CODEC; in a running call it passes. An answer
 * with fewer lines than its offer refuses the missing ones. A commit without an answer is a rollback. */
enum reason media_remote_offer(struct media_call *mc, enum media_side side, struct str sdp);
enum reason media_local_offer(struct media_call *mc, enum media_side side, struct buf *out);
enum reason media_remote_answer(struct media_call *mc, enum media_side side, struct str sdp);
enum reason media_local_answer(struct media_call *mc, enum media_side side, struct buf *out);
/* Writes the answer that refuses every stream of an offer (RFC 3264 6): what the ACK of an INVITE without an offer must
 * carry when the 2xx brought one that cannot be taken (RFC 3261 13.2.2.4). text: the offer, as media_remote_offer()
 * refused it; empty: the offer of that side whose exchange is open, which the caller ends. SDP_MALFORMED, SDP_TOO_LARGE:
 * cannot be read, so not answered either; NO_MEMORY; INTERNAL: no such exchange. */
enum reason media_refuse_offer(struct media_call *mc, enum media_side side, struct str text, struct buf *out);
/* The same for a far end without a call any more, in the name of a realm. MEDIA_UNREACHABLE: no address of family. */
enum reason media_refuse_stray(struct media *m, unsigned realm, int family, struct str text, struct buf *out);
void media_commit(struct media_call *mc);
void media_rollback(struct media_call *mc);

enum media_state {
	MEDIA_IDLE,         /* no exchange open */
	MEDIA_OFFERED,      /* remote offer taken */
	MEDIA_OFFER_SENT,   /* local offer made for the other side */
	MEDIA_ANSWERED,     /* remote answer taken */
	MEDIA_ANSWER_SENT,  /* local answer made */
};
enum media_state media_state(const struct media_call *mc);
enum media_side media_offerer(const struct media_call *mc); /* meaningful unless idle */
/* The last answer changed something (codec, direction, streams) that side, already answered, was not told: it
 * needs a new offer (OFA-04, OFA-06). */
bool media_needs_reoffer(const struct media_call *mc, enum media_side side);

/* Writes the current session of that side as an offer again (unchanged: same o= version): for a refresh and for
 * the re-offer above. Opens an exchange whose offerer is the other side. */
enum reason media_reoffer(struct media_call *mc, enum media_side side, struct buf *out);

enum media_dtls { MEDIA_DTLS_NONE, MEDIA_DTLS_WAITS, MEDIA_DTLS_UP, MEDIA_DTLS_FAILED };
enum media_ice { MEDIA_ICE_NONE, MEDIA_ICE_WAITS, MEDIA_ICE_UP }; /* waits: the far end has not said where it wants to be */
extern const char *const media_dtls_names[4]; /* "none", "waits", "up", "failed" */
/* What an ICMP error says of an address. */
enum media_icmp { MEDIA_ICMP_PORT, MEDIA_ICMP_HOST, MEDIA_ICMP_FILTER };

struct media_stats {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t rtcp_rx, rtcp_tx;
	uint64_t drops[16];     /* by enum relay_drop */
	int64_t lost;           /* RFC 3550 A.3: expected - received */
	uint32_t reordered, doubled; /* came after a later one; came again */
	uint32_t gap_us;        /* longest time without a packet that the sender did not pause itself */
	int32_t drift_ppm;      /* sender's clock against ours, + fast; 0: not seen to be off */
	uint32_t jitter_us;
	uint32_t round_trip_us; /* from here to that far end and back, by its reports (RTCP); 0: they do not say */
	int16_t far_lost;       /* what that far end missed lately of what we send it, in 1/256; -1: it does not say */
	uint32_t deaf_reports;  /* its last reports in a row that know nothing new of what we sent meanwhile */
	int64_t deaf_us;        /* the first of them */
	int64_t far_sends_us;   /* when its reports said last that it has sent more; 0: never */
	int64_t first_rx_us, last_rx_us; /* mono_us, 0: never */
	int64_t last_rtp_us;    /* last_rx_us without RTCP */
	uint32_t last_payload;  /* bytes of that packet's payload */
	struct {
		struct addr source; /* of the last packet that was dropped for it */
		int64_t source_us;  /* when; 0: never */
		int64_t pt_us;      /* the same for a payload type */
		uint8_t pt;
	} refused;
	struct {
		int64_t since_us, last_us; /* ICMP about what we send to remote, without a pause of 5 s; 0: none */
		uint8_t why;               /* enum media_icmp, of the last */
	} unreachable;
	struct addr remote;     /* where we send RTP of this stream */
	struct addr source;     /* where RTP comes from; none: nothing came */
	struct addr local;      /* our RTP port */
	int64_t unreadable_us;  /* since when nothing that came could be decrypted; 0: it can be, or nothing came */
	uint8_t rx_suite, tx_suite; /* enum crypt_suite */
	uint8_t rx_guess;       /* enum crypt_guess: what the far end does against the rules of SRTP */
	uint8_t dtls;           /* enum media_dtls */
	uint8_t ice;            /* enum media_ice */
	uint16_t dtls_why;      /* enum reason, when it failed */
	bool latched;
};

struct media_stream_info {
	char kind[12];          /* "audio" */
	char codec[24];         /* "PCMA/8000" of that side; "-" */
	uint8_t pt;
	char direction[9];      /* as the far end of that side sees it: sendrecv, sendonly, recvonly, inactive */
	bool active;            /* port is not 0 */
};
/* How what comes from there sounds (ITU-T G.107): 1.0 .. 4.5; 0: nothing came, or no figures for that codec. */
double media_mos(const struct media_stream_info *info, const struct media_stats *stats);
unsigned media_stream_count(const struct media_call *mc);
/* false when there is no such stream */
bool media_stream(const struct media_call *mc, enum media_side side, unsigned stream,
    struct media_stream_info *ret_info, struct media_stats *ret_stats);

/* What can be said of a direction (verdict.def). */
enum media_verdict {
#define VERDICT(name, bad, text, remedy) MEDIA_VERDICT_##name,
#include "media/verdict.def"
#undef VERDICT
	MEDIA_VERDICTS
};
struct media_verdict_info {
	const char *word; /* "SOURCE" */
	const char *text, *remedy;
	bool bad;
};
const struct media_verdict_info *media_verdict_info(enum media_verdict v);

/* Both directions of a stream at one side. Plain values. */
struct media_judged {
	int64_t at_us;                     /* when it was judged */
	int64_t in_since_us, out_since_us; /* since when it is so; 0: not known */
	uint16_t change;                   /* in is bad since that re-INVITE or UPDATE of the call; 0: not since one */
	uint8_t in, out;                   /* enum media_verdict: what comes from that far end, what it gets from us */
};
/* Judges what media_stream() has just said of that stream. */
void media_judge(const struct media_call *mc, enum media_side side, unsigned stream, const struct media_stream_info *info,
    const struct media_stats *stats, struct media_judged *ret);
bool media_judged_bad(const struct media_judged *j);
/* "packets come from an address that is not in the SDP (dropped), last from 192.0.2.1:4000": with the stats it was made of */
void media_put_in(struct buf *b, const struct media_judged *j, const struct media_stats *stats);
void media_put_out(struct buf *b, const struct media_judged *j, const struct media_stats *stats);

/* Packets of a call are kept in a ring of all captured calls, under the key, from now on and in streams to come. */
enum media_capture {
	MEDIA_CAPTURE_OFF,
	MEDIA_CAPTURE_WIRE,  /* as they are on the wire: what is encrypted stays so */
	MEDIA_CAPTURE_CLEAR, /* decrypted, and before they are encrypted */
};
/* Takes the memory for it. REASON_NONE, CAPTURE_OFF (none is set aside), NO_MEMORY. */
enum reason media_capture_start(struct media *m);
/* REASON_NONE, CAPTURE_OFF, NO_MEMORY. */
enum reason media_capture(struct media_call *mc, enum media_capture mode, uint64_t key);
enum media_capture media_captures(const struct media_call *mc);
struct capture_packet;
/* What is there of a key, whether the call is up or not; of each worker oldest first. */
void media_captured(const struct media *m, uint64_t key, bool (*fn)(void *ctx, const struct capture_packet *p), void *ctx);

/* Microseconds since anything valid came on any stream that is not held; 0 when all are held or supervision is
 * off. The B2BUA compares with timeout_s (RTP-12). */
int64_t media_silent_us(const struct media_call *mc, enum media_side side);

/* A digit came from that side by RTP and has to go on as INFO; ms: how long it was pressed. */
typedef void media_digit_fn(void *ctx, enum media_side from, char digit, unsigned ms);
void media_on_digit(struct media_call *mc, media_digit_fn *fn, void *ctx);
/* Sends a digit to that side as events of its RTP, after those that wait. They travel in the place of packets that go there.
 * false: it has no such events, or too many digits wait. */
bool media_send_digit(struct media_call *mc, enum media_side to, char digit, unsigned ms);

/* Why a stream of the agreed session can have no media any more: DTLS_FINGERPRINT, DTLS_HANDSHAKE, DTLS_TIMEOUT; REASON_NONE:
 * nothing of that kind. The B2BUA ends the call. */
enum reason media_broken(const struct media_call *mc);

/* Does the kernel hand out ports of [min, max] to others by itself? ephemeral and reserved are the texts of
 * net.ipv4.ip_local_port_range and ip_local_reserved_ports. true: fix gets the value that the latter should have. */
bool media_ports_clash(uint16_t min, uint16_t max, struct str ephemeral, struct str reserved, struct buf *fix);

/* The two texts as this machine has them, for one range after the other. */
struct media_kernel_ports {
	struct str ephemeral, reserved; /* in the texts below */
	char ephemeral_text[64], reserved_text[4096], fix[4096];
};
void media_kernel_ports_read(struct media_kernel_ports *k);
/* The value that reserved should have for this range and those that were asked about before; empty: all is well. A list
 * too long for us is kept by a program, which will know where to add to it: then "...,MIN-MAX". Until the next call. */
struct str media_kernel_ports_fix(struct media_kernel_ports *k, uint16_t min, uint16_t max);

struct media_port_use {
	unsigned total, used, quarantined; /* pairs, of both families */
	unsigned percent;                  /* of the fuller family, taken or resting */
};
bool media_port_use(const struct media *m, unsigned realm, struct media_port_use *ret);
/* live calls and pairs in use, for the leak checks of the simulation */
unsigned media_call_count(const struct media *m);
unsigned media_pairs_in_use(const struct media *m);

#endif
