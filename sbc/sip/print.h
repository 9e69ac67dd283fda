/* print.h - pieces of outgoing messages, written once into one buffer (RFC 3261 8.2.6, 18.2.1, 25.1).
 *
 * All functions append to a struct buf and leave errors to it: one look at buf_err() at the end. None of them
 * writes a line end unless it says so. Text that comes from outside is made fit for its place here: a display
 * name is quoted again, a phrase loses its control characters, a number is escaped; a slice named raw is
 * written as it is and must come from a parsed message.
 */
#ifndef SBC_SIP_PRINT_H
#define SBC_SIP_PRINT_H

#include "sbc/sip/header.h"

/* display "Mr. \"J\"" or Bob as it stood in a message (struct sip_addr.display), or plain text: written as one
 * quoted string and a space, with what must be escaped escaped and control characters dropped. Empty: nothing.
 * RFC 3261 25.1. */
void sip_put_display(struct buf *b, struct str display);
/* display plus <uri>; always in brackets (PAR-08). uri is raw. */
void sip_put_name_addr(struct buf *b, struct str display, struct str uri);
/* A user part from plain text: every octet that the grammar of `user` does not allow becomes %HH. */
void sip_put_user(struct buf *b, struct str user);
/* "sip:+15550100@host:port;transport=tcp;user=phone" without <>. host is raw (IPv6 with brackets), port 0: none,
 * transport empty: none; user empty: no "user@"; phone adds ;user=phone. */
void sip_put_uri_number(struct buf *b, enum sip_scheme scheme, struct str number, struct str host,
    uint16_t port, struct str transport, bool phone);

/* The value of a Via as we keep and echo it: as received, then received and rport set from the source of the
 * packet. received is added when sent-by is a name or another address than the source, and whenever rport is
 * there; rport without a value gets the source port; a received or rport value the sender made up is replaced.
 * *ret_changed (may be NULL) is whether anything differs from via->raw. No line end, no "Via: ".
 * RFC 3261 18.2.1, RFC 3581 4; LOOP-05. */
void sip_put_via_fixed(struct buf *b, const struct sip_via *via, const struct addr *source,
    bool *ret_changed);
/* All Via fields of m in their order, each with its line end. top_via, when not empty, replaces the first
 * value: the text that sip_put_via_fixed() wrote. */
void sip_put_vias(struct buf *b, const struct sip_msg *m, struct str top_via);

/* Status line, all Vias, From, To, Call-ID, CSeq, each with its line end; no Content-Length, no empty line.
 * phrase empty: that of the status. to_tag is added to To unless To has a tag or to_tag is empty. req may be a
 * message that sip_parse() refused with err->status != 0: what is there is echoed. RFC 3261 8.2.6.2. */
void sip_put_response_head(struct buf *b, const struct sip_msg *req, unsigned status, struct str phrase,
    struct str to_tag);
/* The same with the top Via replaced, as every answer over the network wants it. */
void sip_put_response_head_via(struct buf *b, const struct sip_msg *req, struct str top_via,
    unsigned status, struct str phrase, struct str to_tag);

/* "Name: value" and a line end; value raw. */
void sip_put_hdr(struct buf *b, enum sip_hdr_id id, struct str value);
/* The end of every message: Content-Type when body is not empty, Content-Length, the empty line, the body. */
void sip_put_body(struct buf *b, struct str type, struct str body);

#endif
