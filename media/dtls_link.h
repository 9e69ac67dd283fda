/* dtls_link.h - the DTLS of one side of a stream: a handshake for RTP and one for RTCP, each with its port, timers and keys.
 *
 * A link is made when an offer and its answer agree on it, counted by the views of the session that have the stream, and made
 * anew when fingerprints, parts, tls-id or transport change (RFC 8842 4). Until a new one has keys, those of the link before go
 * on. Signalling thread; the arithmetic is done by workers.
 */
#ifndef MEDIA_DTLS_LINK_H
#define MEDIA_DTLS_LINK_H

#include "media/dtls.h"
#include "media/relay.h"

struct dtls_link;

/* What all links share. */
struct dtls_room;
/* NULL: no memory. env and workers live longer; workers NULL: steps are made on the loop. runs false: a simulation, handshakes
 * neither begin nor end. */
struct dtls_room *dtls_room_new(const struct env *env, struct workers *workers, bool runs);
/* Every link has been given back; steps that still run end by themselves. */
void dtls_room_free(struct dtls_room *r);
/* The box's certificate of today, with a reference; NULL: there can be none. */
struct dtls_cert *dtls_room_cert(struct dtls_room *r);

/* Plain values. */
struct dtls_terms {
	struct dtls_cert *cert;  /* that was told; the link takes a reference */
	struct dtls_said far;
	struct relay_pair *pair; /* its packets come in at */
	struct addr to[2];       /* the far end's RTP and RTCP address; none: not known */
	struct addr latch_ip;    /* where it may come from besides; none: from nowhere else */
	uint8_t role;            /* ours: DTLS_ACTIVE, DTLS_PASSIVE */
	uint8_t n_suites, suites[CRYPT_SUITES]; /* as dtls_suites() */
	bool mux;                /* RTCP at the RTP port: no handshake of its own */
	bool ice;                /* to is not known: the relay says where the far end is, and lets nobody else in */
};

typedef void dtls_changed_fn(void *ctx);

/* before: the link it takes the place of, whose keys go on meanwhile; NULL: none. changed(ctx) is called on a later turn, when
 * keys came or will not come. NULL: no memory. */
struct dtls_link *dtls_link_new(struct dtls_room *r, const struct dtls_terms *t, const struct log *log, const char *side,
    const struct dtls_link *before, dtls_changed_fn *changed, void *ctx);
struct dtls_link *dtls_link_ref(struct dtls_link *l);
void dtls_link_unref(struct dtls_link *l); /* NULL is fine */
/* Would a new one for these terms be the same? */
bool dtls_link_fits(const struct dtls_link *l, const struct dtls_terms *t);
/* Addresses that were not known when the link was made. */
void dtls_link_learn(struct dtls_link *l, const struct dtls_terms *t);
/* This link is the one that its pair's DTLS goes to now. */
void dtls_link_listen(struct dtls_link *l);
/* The exchange that made it is through: from now on the far end has so much time and no more. */
void dtls_link_confirm(struct dtls_link *l);
enum dtls_setup dtls_link_role(const struct dtls_link *l);
/* Is it with the far end that says this? */
bool dtls_link_is_of(const struct dtls_link *l, const struct dtls_said *far);
/* Keys of RTP (sock 0) or RTCP (1); false: there are none yet, or will be none. */
bool dtls_link_keys(const struct dtls_link *l, unsigned sock, struct crypt_key *ret_theirs, struct crypt_key *ret_ours);
/* REASON_NONE: it runs or is up; else why there will be no media. */
enum reason dtls_link_why(const struct dtls_link *l);
enum dtls_state dtls_link_state(const struct dtls_link *l);

#endif
