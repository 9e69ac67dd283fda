/* uri.h - SIP, SIPS and TEL URIs as slices (RFC 3261 19.1, RFC 3966), and their parameters.
 *
 * Parsing cuts, it does not decode: every slice points into the text that was given. Comparison and number
 * look-up decode on the way.
 */
#ifndef SBC_SIP_URI_H
#define SBC_SIP_URI_H

#include "sbc/base/addr.h"

enum sip_scheme { SIP_SCHEME_SIP, SIP_SCHEME_SIPS, SIP_SCHEME_TEL, SIP_SCHEME_OTHER };

struct sip_uri {
	enum sip_scheme scheme;
	struct str raw;      /* whole URI */
	struct str user;     /* raw, with its ;parameters and escapes, without password; tel: the number part */
	struct str password; /* raw */
	struct str host;     /* IPv6 with its brackets; empty for tel: and others */
	uint16_t port;       /* 0: none written */
	struct str params;   /* behind the host (tel: behind the number), without the first ';' */
	struct str headers;  /* behind '?' */
};

/* 0 or -EBADMSG. A scheme we do not know is no error: SIP_SCHEME_OTHER with only raw set. */
MUST_USE int sip_uri_parse(struct str s, struct sip_uri *ret);

/* Next parameter of "a=1;b;c=\"x;y\"": false at the end. *rest is moved on; value is STR_NONE when there is no
 * '='; a quoted value keeps its quotes. */
bool sip_param_next(struct str *rest, struct str *ret_name, struct str *ret_value);
/* Names compare case-blind. true when present; ret_value may be NULL. */
bool sip_param_get(struct str params, struct str name, struct str *ret_value);

/* RFC 3261 19.1.4 with RFC 5954 (IPv6 as binary); tel: RFC 3966 4. With more than 32 parameters or headers the
 * URIs are compared byte by byte. */
bool sip_uri_eq(const struct sip_uri *a, const struct sip_uri *b);

/* The host as an address, when it is one. false for a name. port 0 is kept as 0. */
bool sip_uri_addr(const struct sip_uri *u, struct addr *ret);

/* The number that a URI dials, canonical: optional '+', then digits (also *, #, a-d lower case); separators
 * - . ( ) gone, escapes decoded, ;parameters of the user cut off, a tel: or user phone-context of the form
 * "+digits" put in front of a local number. Letters are digits in tel: and with user=phone only: elsewhere they
 * make a name. RFC 3966 4, PAR-05/-06/-22/-23.
 * 0, -ENOENT (no number: a name, empty, or local without a global context and tel: scheme), -ENOSPC (also over 64
 * characters). */
MUST_USE int sip_uri_number(const struct sip_uri *u, struct buf *ret);

/* Decodes %HH; a '%' without two hex digits is literal. %00 stays a NUL byte inside the length. */
void sip_unescape(struct buf *b, struct str s);

#endif
