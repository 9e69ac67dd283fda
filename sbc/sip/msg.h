/* msg.h - one SIP message as slices into its receive buffer (RFC 3261 7, 20, 25.1).
 *
 * sip_parse() makes one pass over the buffer: start line, a table of header fields, and the few headers that
 * every message is judged by (top Via, From, To, Call-ID, CSeq, Max-Forwards, Content-Length), which it also
 * checks. What it returns with 0 is a *checked* message: code behind it need not ask whether To exists.
 * All other headers stay raw until somebody asks (sip/header.h).
 */
#ifndef SBC_SIP_MSG_H
#define SBC_SIP_MSG_H

#include "sbc/base/reason.h"
#include "sbc/sip/uri.h"

#define SIP_MSG_MAX 65535   /* bytes of a message  */
#define SIP_HDR_MAX 256     /* header fields       */
#define SIP_HDR_LEN_MAX 8192 /* bytes of one value  */
#define SIP_URI_LEN_MAX 2048 /* bytes of the request URI: longer is 414 */
#define SIP_VIA_MAX 80

enum sip_method {
	SIP_INVITE,
	SIP_ACK,
	SIP_BYE,
	SIP_CANCEL,
	SIP_OPTIONS,
	SIP_REGISTER,
	SIP_PRACK,
	SIP_UPDATE,
	SIP_INFO,
	SIP_SUBSCRIBE,
	SIP_NOTIFY,
	SIP_REFER,
	SIP_MESSAGE,
	SIP_PUBLISH,
	SIP_UNKNOWN, /* method_name has it */
};

/* Known header fields; the compact form is folded in. Order is free, SIP_H_OTHER is last. */
enum sip_hdr_id {
	SIP_H_VIA,
	SIP_H_FROM,
	SIP_H_TO,
	SIP_H_CALL_ID,
	SIP_H_CSEQ,
	SIP_H_MAX_FORWARDS,
	SIP_H_CONTACT,
	SIP_H_CONTENT_LENGTH,
	SIP_H_CONTENT_TYPE,
	SIP_H_CONTENT_DISPOSITION,
	SIP_H_CONTENT_ENCODING,
	SIP_H_ROUTE,
	SIP_H_RECORD_ROUTE,
	SIP_H_REQUIRE,
	SIP_H_PROXY_REQUIRE,
	SIP_H_SUPPORTED,
	SIP_H_UNSUPPORTED,
	SIP_H_ALLOW,
	SIP_H_ALLOW_EVENTS,
	SIP_H_ACCEPT,
	SIP_H_ACCEPT_ENCODING,
	SIP_H_ACCEPT_LANGUAGE,
	SIP_H_EXPIRES,
	SIP_H_MIN_EXPIRES,
	SIP_H_MAX_BREADTH,
	SIP_H_TIMESTAMP,
	SIP_H_RETRY_AFTER,
	SIP_H_WARNING,
	SIP_H_REASON,
	SIP_H_USER_AGENT,
	SIP_H_SERVER,
	SIP_H_DATE,
	SIP_H_AUTHORIZATION,
	SIP_H_PROXY_AUTHORIZATION,
	SIP_H_WWW_AUTHENTICATE,
	SIP_H_PROXY_AUTHENTICATE,
	SIP_H_P_ASSERTED_IDENTITY,
	SIP_H_P_PREFERRED_IDENTITY,
	SIP_H_PRIVACY,
	SIP_H_DIVERSION,
	SIP_H_HISTORY_INFO,
	SIP_H_REFER_TO,
	SIP_H_REFERRED_BY,
	SIP_H_REPLACES,
	SIP_H_SESSION_EXPIRES,
	SIP_H_MIN_SE,
	SIP_H_RSEQ,
	SIP_H_RACK,
	SIP_H_EVENT,
	SIP_H_SUBSCRIPTION_STATE,
	SIP_H_PATH,
	SIP_H_SERVICE_ROUTE,
	SIP_H_INFO_PACKAGE,
	SIP_H_RECV_INFO,
	SIP_H_IDENTITY,
	SIP_H_SESSION_ID,
	SIP_H_SUBJECT,
	SIP_H_ORGANIZATION,
	SIP_H_PRIORITY,
	SIP_H_ALERT_INFO,
	SIP_H_CALL_INFO,
	SIP_H_USER_TO_USER,
	SIP_H_GEOLOCATION,
	SIP_H_RESOURCE_PRIORITY,
	SIP_H_MIME_VERSION,
	SIP_H_P_EARLY_MEDIA,
	SIP_H_OTHER,
	SIP_H_COUNT
};

struct sip_hdr {
	struct str name;  /* as written */
	struct str value; /* trimmed; folds already replaced by spaces */
	uint8_t id;       /* enum sip_hdr_id */
};

/* name-addr or addr-spec with header parameters: From, To, Contact, Route … */
struct sip_addr {
	struct str display; /* raw: tokens, or a quoted string with its quotes; may be empty */
	struct sip_uri uri;
	struct str params;  /* header parameters, without the first ';' */
	struct str tag;     /* of From and To */
};

struct sip_via {
	struct str raw;       /* the whole value, without a following comma */
	struct str transport; /* "UDP" */
	struct str host;      /* IPv6 with brackets */
	uint16_t port;        /* 0: none written */
	struct str branch, received, maddr;
	bool has_rport;
	uint16_t rport; /* 0: no value */
	struct str params;
};

struct sip_msg {
	bool is_request;
	enum sip_method method;   /* of the request; of a response: that of its CSeq */
	struct str method_name;
	struct str ruri_raw;      /* request */
	struct sip_uri ruri;      /* request */
	uint16_t status;          /* response: 100..699 */
	struct str reason_phrase; /* response */

	struct sip_hdr *hdr;      /* in order, in the arena */
	unsigned n_hdr;
	uint16_t first[SIP_H_COUNT]; /* 1 + index of the first field of that kind, 0: none */

	struct sip_via via;       /* top one */
	unsigned n_via;           /* all values, not lines */
	struct sip_addr from, to;
	struct str call_id;
	uint32_t cseq;
	uint32_t max_forwards;    /* 70 when absent */
	bool has_max_forwards;
	struct str body;          /* Content-Length bytes (datagram without one: the rest) */

	struct str head;          /* start line and headers, up to and with the empty line */
};

/* Why a message was not accepted. */
struct sip_perr {
	enum reason reason; /* REASON_MALFORMED … */
	uint16_t status;    /* what to answer a request with; 0: drop in silence (response, ACK, no Via …) */
	size_t at;          /* byte offset */
	const char *why;    /* text fit for a reason phrase or a log line; static */
	bool close;         /* framing is lost: close a stream after the answer */
};

/* Parse one datagram (leading CRLF skipped) or one framed stream message.
 *
 * @a      message arena; nothing else is allocated
 * @buf    borrowed and changed in place where a header is folded (CR, LF become SP); every slice of *ret_msg
 *         points into it
 * @len    bytes, 1..65535
 * Returns 0; -EBADMSG with *err filled: then *ret_msg is still set (never NULL) and, when err->status is not 0,
 * holds enough (all Vias, From, To, Call-ID, CSeq raw headers) to build that answer; -ENOMEM (arena full;
 * *ret_msg untouched).
 * RFC 3261 7, 18.3, 25.1; 4475; rows PAR-01..21, -28..33. */
MUST_USE int sip_parse(struct arena *a, char *buf, size_t len, struct sip_msg **ret_msg,
    struct sip_perr *err);

/* First field of that kind, and the next one; NULL at the end. */
const struct sip_hdr *sip_hdr(const struct sip_msg *m, enum sip_hdr_id id);
const struct sip_hdr *sip_hdr_next(const struct sip_msg *m, const struct sip_hdr *h);
/* the value of the first, or STR_NONE */
struct str sip_hdr_value(const struct sip_msg *m, enum sip_hdr_id id);

enum sip_method sip_method_parse(struct str name); /* case-sensitive; SIP_UNKNOWN */
struct str sip_method_name(enum sip_method method);
enum sip_hdr_id sip_hdr_parse(struct str name);    /* case-blind, long or compact; SIP_H_OTHER */
struct str sip_hdr_name(enum sip_hdr_id id);       /* long form */
char sip_hdr_compact(enum sip_hdr_id id);          /* 0: there is none */
struct str sip_status_text(unsigned status);       /* "Busy Here"; of an unknown one that of its class */

#endif
