/* header.h - the values of single header fields, read when somebody asks. Pure; slices into the message. */
#ifndef SBC_SIP_HEADER_H
#define SBC_SIP_HEADER_H

#include "sbc/sip/msg.h"

/* Next value of a comma list (quotes and <> respected, empty ones skipped), trimmed. false at the end. */
bool sip_value_next(struct str *rest, struct str *ret_value);

/* Walks all values of all fields of one kind in order: "Require: a, b" and two lines are the same list.
 * Zero-initialise the walk with sip_values(). RFC 3261 7.3.1. */
struct sip_values {
	const struct sip_msg *m;
	const struct sip_hdr *h;
	struct str rest;
};
struct sip_values sip_values(const struct sip_msg *m, enum sip_hdr_id id);
bool sip_values_next(struct sip_values *w, struct str *ret_value);
/* true when token (case-blind) is one of the values: option tags, methods */
bool sip_has_token(const struct sip_msg *m, enum sip_hdr_id id, struct str token);

MUST_USE int sip_addr_parse(struct str value, struct sip_addr *ret); /* 0 or -EBADMSG */
MUST_USE int sip_via_parse(struct str value, struct sip_via *ret);   /* 0 or -EBADMSG */
MUST_USE int sip_contact(const struct sip_msg *m, struct sip_addr *ret); /* first Contact; -ENOENT, -EBADMSG */
/* delta-seconds, saturating at 2^32-1 (RFC 3261 20.19); -ENOENT, -EBADMSG */
MUST_USE int sip_delta_seconds(const struct sip_msg *m, enum sip_hdr_id id, uint32_t *ret);
/* Retry-After without its comment and parameters; -ENOENT, -EBADMSG */
MUST_USE int sip_retry_after(const struct sip_msg *m, uint32_t *ret_s);

/* Content-Type without parameters equals type ("application/sdp"), case-blind; true also when the body is
 * empty is NOT assumed: an empty body is false. */
bool sip_body_is(const struct sip_msg *m, struct str type);

/* Finds the session description: the body itself, or that part of multipart/mixed, /alternative or /related
 * (nested up to depth 2). *ret_sdp is empty when the message has no body of that kind.
 * 0; -EBADMSG (multipart without a usable boundary or part); -ENOTSUP (a body that must be understood and is
 * not: 415, unless handling=optional; with Content-Encoding set, Accept-Encoding goes into the answer instead of
 * Accept). A body without Content-Type is -EBADMSG. Parts beside a session description are not judged: they are
 * relayed or dropped. PAR-25, -26. */
MUST_USE int sip_body_sdp(const struct sip_msg *m, struct str *ret_sdp);
/* Writes the body again with its session description replaced by sdp (may be empty: part dropped); other parts
 * are kept byte for byte and *ret_type gets the Content-Type value to send: the message's own, "application/sdp",
 * or empty when nothing is left. A multipart body without a session description gets it as its first part.
 * Without a multipart body it writes sdp alone. */
void sip_body_put_sdp(const struct sip_msg *m, struct str sdp, struct buf *b, struct str *ret_type);

#endif
