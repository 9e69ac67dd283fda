/* session.h - inside of a media_call, for the files of the session (see session.c), look.c, verdict.c and their tests.
 * Nobody else includes it.
 *
 * The four descriptions. For each side: remote (what the far end said), local (what it should be told now) and told
 * (what it was told last; the same as local nearly always). A view is all six, the streams between them and the numbers
 * used; a call has one view that was agreed (base) and, while an exchange runs, one that may become it.
 *
 * Memory. During an exchange descriptions are parsed structs in the exchange's arenas; what stays afterwards are memo
 * texts in one block (sdp_memo()), read again when the next exchange comes.
 */
#ifndef MEDIA_SESSION_H
#define MEDIA_SESSION_H

#include "media/dtls_link.h"
#include "media/ice.h"
#include "media/media.h"
#include "media/negotiate.h"
#include "media/relay.h"

#define SLOT_NONE 0xff

/* One description: parsed, as a memo, or neither (there is none). */
struct desc {
	const struct sdp *sdp;
	struct str memo;
};

struct side_view {
	struct desc remote, local, told;
	struct neg_hist hist;
	uint32_t version; /* o= version of told */
	uint8_t n_slots;  /* m= lines this side's session ever had (RFC 3264 8: never fewer) */
	bool stale;       /* told has to be replaced by local: media_needs_reoffer() */
	bool refused;     /* after told an offer was refused: saying told again takes another version */
};

/* A stream joins one m= line of each side. */
struct stream {
	struct relay_pair *pair[2]; /* own: given back by the call, see session.c */
	bool events[2];             /* digits can be sent to that side as events of RTP */
	struct ice_keys ice[2];     /* agreed; ours "": none */
	struct dtls_link *dtls[2];  /* ref of base and of now, borrowed by other views; NULL: no DTLS on that side */
	struct addr remote[2];      /* last real RTP address of the far end */
	int64_t on_us[2];           /* mono_us since which packets from that side pass, 0: they do not */
	char kind[12], codec[24];
	uint8_t pt[2];
	uint8_t slot[2];            /* index of its m= line, SLOT_NONE */
	uint8_t dir;                /* agreed, as A's far end sees it; B's is the reverse */
	bool live;
};

struct view {
	struct side_view side[2];
	struct stream *streams;
	uint8_t n_streams;
	/* A view of memos has all it points to in one block of that many bytes, which streams begins: media_view_compact().
	 * Of copies and of views in an exchange's arenas nobody reads it. */
	uint32_t bytes;
};

struct exchange {
	struct arena *a;      /* own: this, the offer and what was made of it */
	struct arena *answer; /* own: the last answer and what was made of it */
	struct arena *told;   /* own: the answer that the offerer was told, when a later one replaced it */
	struct view offer;    /* as of the offer, before any answer */
	struct view now;      /* with the last answer, parsed */
	struct view kept;     /* own: the same with memos, what a commit makes the base; bytes 0: no answer yet */
	struct str answer_text;
};

struct side {
	struct addr signalling;
	struct str codecs;   /* borrow: see struct media_side_cfg */
	uint64_t session;    /* of o= */
	uint32_t version;    /* highest o= version ever used */
	uint32_t timeout_s;
	struct {
		uint8_t mode;  /* enum media_srtp */
		uint8_t roc;   /* enum crypt_roc */
		uint8_t n_suites, suites[CRYPT_SUITES];
		uint8_t n_dtls, dtls[CRYPT_SUITES]; /* those of them that DTLS knows */
		struct dtls_cert *cert;             /* ref: what this side is told; NULL: no DTLS */
		bool private, lifetime; /* see struct media_srtp_cfg */
	} srtp;
	uint8_t realm, family /* AF_ */, latch, fax, dscp;
	uint8_t dtmf; /* enum media_dtmf */
	bool open, ice;
};

struct media_call {
	struct media *m; /* borrow: longer life */
	struct log log;
	struct side side[2];
	struct view base;     /* own; bytes 0: nothing was agreed yet */
	struct exchange *x;   /* own: NULL when idle */
	int64_t up_us;        /* mono_us of the first commit, 0: not yet */
	int64_t changed_us;   /* of the last one after it */
	uint16_t changes;     /* commits after the first */
	struct hash_key cname; /* names in RTCP, for this call */
	uint64_t capture_key;
	uint8_t capture;       /* enum media_capture */
	uint8_t state, offerer;
	bool reoffer;  /* the offerer is not waiting for an answer */
	bool answered; /* the offerer was told an answer in this exchange */
	media_digit_fn *digit; /* NULL: nobody asks */
	void *digit_ctx;
};

struct realm_addr {
	struct addr v4, v6; /* as SDP says it; none: the realm has none */
};

struct media {
	const struct env *env; /* borrow: process */
	struct log log;
	struct relay *relay;       /* own */
	struct dtls_room *dtls;    /* own */
	struct realm_addr *realms; /* own */
	unsigned n_realms;
	unsigned max_streams;
	unsigned n_calls;
	struct arena_pool exchanges;
	size_t view_bytes; /* in blocks of views */
	char *text; /* own: where memos are written, MEDIA_TEXT bytes */
};
#define MEDIA_TEXT (8 * SDP_TEXT_MAX) /* the six memos of a view, and room to spare; touched only as far as used */

/* The view that packets follow now. */
const struct view *media_view(const struct media_call *mc);
/* bytes of an idle call in our structs and arenas, without relay and malloc overhead */
size_t media_call_bytes(const struct media_call *mc);

static inline const struct sdp_media *media_at(const struct sdp *s, uint8_t slot)
{
	return s && slot < s->n_media ? &s->media[slot] : NULL;
}

static inline bool live_at(const struct sdp *s, uint8_t slot)
{
	const struct sdp_media *m = media_at(s, slot);

	return m && m->port != 0;
}

static inline bool desc_same(const struct desc *d, const struct desc *e)
{
	return d->sdp == e->sdp && d->memo.p == e->memo.p;
}

static inline bool desc_none(const struct desc *d)
{
	return !d->sdp && !d->memo.p;
}

static inline int pair_family(const struct relay_pair *p)
{
	return relay_pair_local(p)->sa.sa_family;
}

static inline struct stream *stream_of(struct view *v, enum media_side side, unsigned slot)
{
	for (unsigned i = 0; i < v->n_streams; i++)
		if (v->streams[i].slot[side] == slot)
			return &v->streams[i];
	return NULL;
}

/* room.c: what session descriptions of that realm show; of no family when it has none */
const struct addr *media_realm_addr(const struct media *m, unsigned realm, int family);

/* session.c */
struct exchange *media_exchange_new(struct media_call *mc); /* NULL: no memory */
void media_exchange_free(struct media_call *mc);
/* Can this stream of the far end be relayed? MEDIA_REFUSED for port 0 too. */
enum reason media_usable(const struct media_call *mc, enum media_side side, const struct sdp_media *m);
/* May T.38 be offered to that side, or be taken from it? */
enum reason media_fax(const struct media_call *mc, enum media_side side);
/* the reason that tells most, of several streams */
enum reason media_worse(enum reason had, enum reason r);
/* gives back what is in have and not in keep; index by index */
void media_pairs_drop(const struct view *have, const struct view *keep);
/* a pair of the family the far end is reached by (0: that of the side); one that fits is kept */
enum reason media_pair_need(struct media_call *mc, struct stream *st, enum media_side side, int family);
/* the streams of v with memory for `room` more; NULL: no memory */
struct stream *media_streams_copy(struct arena *a, const struct view *v, unsigned room);

/* desc.c */

/* the parsed form, read from the memo when there is none; NULL: no such description, or (ret_oom) no memory */
const struct sdp *media_desc_open(struct desc *d, struct arena *a, bool *ret_oom);
/* the memo of a description, copied into a. false: no memory */
bool media_desc_memo(struct media *m, struct arena *a, const struct desc *d, struct str *ret);
/* out with exactly the o= line of this side; out untouched when it does not fit */
enum reason media_desc_print(struct media_call *mc, enum media_side side, const struct sdp *s, uint32_t version,
    struct buf *out);
/* what a far end sent, copied into a; a refusal is logged */
enum reason media_desc_parse(struct media_call *mc, enum media_side side, struct arena *a, struct str text,
    struct str *ret_text, struct sdp **ret);
/* copies a view with all it points to, as memos, in one block of just that size. false: no memory */
bool media_view_compact(struct media *m, const struct view *v, struct view *ret);
/* frees the block of such a view, if it has one */
void media_view_drop(struct media *m, struct view *v);
/* a refused line, as the side knows it from earlier */
void media_dead_line(struct sdp_media *m, const struct sdp *before, uint8_t slot);
void media_line_address(struct sdp_media *m, const struct relay_pair *p);
/* the session-level c=: that of the first live stream */
void media_session_address(struct media_call *mc, enum media_side side, struct sdp *s);
/* for an o= line: a number others can hold in a signed one */
uint64_t media_new_session(const struct media *m);

/* answer.c */

/* the version of the answer that is about to be told */
uint32_t media_answer_version(const struct media_call *mc, enum media_side side);
void media_told_answer(struct media_call *mc, enum media_side side, uint32_t version);

/* publish.c */

/* Publishes both directions of all streams. On failure some are new and some old.
 * @before  the view whose programs stand: pairs that were replaced hand their keys on */
enum reason media_publish(const struct media_call *mc, const struct view *v, const struct view *before);
/* the programs as base has them; what cannot be restored for want of memory stays as it is and is logged */
void media_publish_base(struct media_call *mc);
/* LAT-01, -02: who may take the source of a side over, whose media is at that address by its SDP */
struct addr media_latch_source(const struct side *sd, const struct addr *media);

/* secure.c */

/* May this line of a far end's offer be taken as it is? REASON_NONE, SRTP_OFF, _NEEDED, _NO_LINE, _IN_CLEAR. */
enum reason media_secure_offered(const struct media_call *mc, enum media_side side, const struct sdp_media *m);
/* Is line i the worse one of two that mean the same stream, once encrypted and once not? It is refused then. */
bool media_secure_alternative(const struct media_call *mc, enum media_side side, const struct sdp *s, unsigned i);
/* Profile and keys of a line that is offered; before: what that side was told of the line last, NULL: nothing. */
enum reason media_secure_offer(const struct media_call *mc, enum media_side to, const struct sdp_media *before,
    struct arena *a, struct sdp_media *m);
/* Does an answer fit what we offered? REASON_NONE or SRTP_ANSWER. */
enum reason media_secure_answered(const struct media_call *mc, enum media_side side, const struct sdp_media *our,
    const struct sdp_media *answer);
/* Keys of a line that is answered.
 * @was  the DTLS that the stream has; NULL: none */
enum reason media_secure_answer(const struct media_call *mc, enum media_side to, const struct sdp_media *offer,
    const struct sdp_media *before, const struct dtls_link *was, struct arena *a, struct sdp_media *m);
/* Are a side's keys agreed by DTLS? */
bool media_secure_by_dtls(const struct media_call *mc, enum media_side side, const struct sdp_media *told,
    const struct sdp_media *remote);
/* Then: who the far end is and which part is ours. false: what was said does not fit together. */
bool media_secure_terms(const struct media_call *mc, enum media_side side, const struct sdp_media *told,
    const struct sdp_media *remote, struct dtls_terms *ret);
/* The keys in the descriptions of a side's stream; both CRYPT_NONE: in clear, or by DTLS. false: it has to be encrypted and has
 * none. */
bool media_secure_keys(const struct media_call *mc, enum media_side side, const struct sdp_media *told,
    const struct sdp_media *remote, struct crypt_key *ret_theirs, struct crypt_key *ret_ours);

/* transport.c */

/* behind the attributes that are there. REASON_NONE or NO_MEMORY */
enum reason media_attr_add(struct arena *a, struct sdp_media *m, struct str name, struct str value);
/* What a line says of how it travels.
 * @at      our RTP address
 * @before  what that side was told of the line last; NULL: nothing
 * @had     the ICE that the stream has (ours "": none) */
enum reason media_transport_offer(const struct media_call *mc, enum media_side to, const struct addr *at,
    const struct sdp_media *before, struct arena *a, struct sdp_media *m);
enum reason media_transport_answer(const struct media_call *mc, enum media_side to, const struct addr *at,
    const struct sdp_media *offer, const struct sdp_media *before, const struct ice_keys *had, struct arena *a, struct sdp_media *m);
/* Will an answer to that offer have ICE? */
bool media_ice_offered(const struct media_call *mc, enum media_side side, const struct sdp_media *offer);
/* The ICE that both have said; false: none */
bool media_ice_keys(const struct media_call *mc, enum media_side side, const struct sdp_media *told, const struct sdp_media *remote,
    struct ice_keys *ret);
/* Do a side's reports share the port of its RTP? */
bool media_is_mux(const struct sdp_media *told, const struct sdp_media *remote);

/* dtmf.c */

/* Events in a line that is offered or answered, as the mode of that side says. REASON_NONE or NO_MEMORY. */
enum reason media_dtmf_offer(const struct media_call *mc, enum media_side to, const struct neg_hist *hist, uint8_t slot,
    struct arena *a, struct sdp_media *m);
enum reason media_dtmf_answer(const struct media_call *mc, enum media_side to, const struct sdp_media *offer, struct arena *a,
    struct sdp_media *m);
bool media_has_events(const struct sdp_media *m);
/* What becomes of events in packets from that side, whose pt_map is filled. */
void media_dtmf_program(const struct media_call *mc, enum media_side from, const struct sdp_media *told,
    const struct sdp_media *remote, const struct sdp_media *dest, struct relay_program *p);
/* An event that ended here (relay_event_fn); ctx: the call. */
void media_event(void *ctx, const struct relay_pair *at, uint8_t event, uint16_t ms);

/* links.c */

/* The DTLS of each stream of a view that an answer made: a link that fits stays, else there is a new one. The view has its
 * references then; on failure (NO_MEMORY) it has none. */
enum reason media_links_agree(struct media_call *mc, struct view *v);
/* gives the references of a view back */
void media_links_drop(struct view *v);
/* the view is agreed: handshakes have to come to an end */
void media_links_confirm(const struct view *v);
/* The keys of a stream's side, from the descriptions or its link. false: there have to be some, and there are none (yet). */
bool media_links_keys(const struct media_call *mc, const struct view *v, const struct stream *st, enum media_side side,
    unsigned sock, struct crypt_key *ret_theirs, struct crypt_key *ret_ours);

#endif
