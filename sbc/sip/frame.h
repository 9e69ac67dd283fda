/* frame.h - where one message ends in a stream (RFC 3261 7.5, 18.3; TCP-01, KA-01, PAR-12, PAR-34). */
#ifndef SBC_SIP_FRAME_H
#define SBC_SIP_FRAME_H

#include "sbc/base/reason.h"

#define SIP_HEAD_MAX 16384 /* bytes of start line and headers in a stream */

enum sip_frame_kind {
	SIP_FRAME_MORE, /* not complete yet                                                  */
	SIP_FRAME_MSG,  /* *ret_len bytes are one message                                    */
	SIP_FRAME_SKIP, /* *ret_len bytes are line ends before a message: throw away         */
	SIP_FRAME_PING, /* *ret_len (4) bytes are CRLFCRLF: answer with CRLF and throw away  */
	SIP_FRAME_BAD,  /* framing lost: *ret_len bytes of head may be parsed for an answer  */
};

/* Remembers how far the search for the empty line went, so that one byte a read stays linear. Zero it for
 * each new message, and after SKIP and PING. */
struct sip_framer {
	size_t scanned;
	size_t head_len; /* 0: end of head not seen yet */
	size_t body_len;
};

/* Looks at the n bytes received so far. *ret_reason is set for SIP_FRAME_BAD: REASON_BAD_LENGTH (negative,
 * not a number, two that differ, missing), REASON_TOO_LARGE (head over SIP_HEAD_MAX, message over SIP_MSG_MAX).
 * The answer to a bad frame has the status of *ret_reason, whatever sip_parse() finds in the head. A lone CRLF
 * (the answer to a ping of ours) stays MORE until the next byte shows that it is no ping. */
enum sip_frame_kind sip_frame(struct sip_framer *f, const char *p, size_t n, size_t *ret_len,
    enum reason *ret_reason);

#endif
