/* sdp.h - session descriptions: text to structs and back (RFC 8866, 4566). Pure: knows no call, no port, no clock.
 *
 * Reading is lenient, because the field is: any order of lines, LF or CRLF, unknown lines and attributes, missing
 * s= and t=, session-level values that count for every stream. Writing is strict. What is inherited (c=, direction,
 * fingerprint, setup) is resolved by the reader, so that a stream stands for itself.
 */
#ifndef MEDIA_SDP_H
#define MEDIA_SDP_H

#include "sbc/base/addr.h"
#include "sbc/base/arena.h"
#include "sbc/base/reason.h"

#define SDP_TEXT_MAX 65536   /* bytes */
#define SDP_LINES_MAX 2000
#define SDP_FORMATS_MAX 64   /* formats of one m= line */
#define SDP_PT_MAX 127

/* Two bits, as the one who describes itself sees it: I send, I receive. */
enum sdp_dir {
	SDP_INACTIVE = 0,
	SDP_SENDONLY = 1,
	SDP_RECVONLY = 2,
	SDP_SENDRECV = 3,
};
extern const char *const sdp_dir_names[4];

enum sdp_profile {
	SDP_PROFILE_OTHER,  /* not known here */
	SDP_PROFILE_AVP,    /* RTP/AVP */
	SDP_PROFILE_AVPF,   /* RTP/AVPF */
	SDP_PROFILE_SAVP,   /* RTP/SAVP: encrypted, keys in a=crypto */
	SDP_PROFILE_SAVPF,  /* RTP/SAVPF */
	SDP_PROFILE_DTLS,   /* UDP/TLS/RTP/SAVP: encrypted, keys by DTLS */
	SDP_PROFILE_DTLSF,  /* UDP/TLS/RTP/SAVPF */
	SDP_PROFILE_UDPTL,  /* T.38 */
};

/* What c= says of a stream. */
enum sdp_conn {
	SDP_CONN_NONE, /* no c= line counts for it */
	SDP_CONN_IP,   /* rtp and rtcp are set */
	SDP_CONN_HOLD, /* 0.0.0.0, ::, a name in .invalid: "send me nothing" (RFC 3264 8.4, 6157) */
	SDP_CONN_BAD,  /* a host name, a group address, another network */
};

struct sdp_format {
	struct str name; /* encoding name: "PCMA"; empty: a dynamic number without a=rtpmap */
	struct str fmtp; /* what follows "a=fmtp:101 ", byte by byte; empty: none */
	uint32_t clock_hz;
	uint8_t pt;
	uint8_t channels; /* 1.. */
};

/* One a= or b= line that is kept. */
struct sdp_attr {
	struct sdp_attr *next;
	struct str name;  /* "ptime"; of b=: "AS" */
	struct str value; /* after the colon; p NULL: there was no colon */
	char type;        /* 'a', 'b' */
};

struct sdp_media {
	struct str kind;  /* "audio" */
	struct str proto; /* "RTP/AVP" as written */
	struct str fmts;  /* the list of formats as written; what is printed when the stream is not RTP */
	struct sdp_format *formats; /* RTP only, in order, each number once */
	unsigned n_formats;
	struct sdp_attr *attrs; /* without rtpmap, fmtp, rtcp and direction, which have their own fields */
	struct addr rtp, rtcp;  /* conn is SDP_CONN_IP: with ports; rtcp none: nowhere to send it */
	uint16_t port;          /* 0: refused or removed */
	uint8_t dir;            /* enum sdp_dir as written or inherited; a hold address does not change it */
	uint8_t profile;        /* enum sdp_profile */
	uint8_t conn;           /* enum sdp_conn */
	bool ice;               /* a=ice-ufrag counts for it */
};

struct sdp {
	struct sdp_media *media;
	unsigned n_media;
	struct sdp_attr *attrs; /* session level: b= and a= that are not inherited by the reader */
	struct addr conn;       /* printing: session-level c=; a stream with another IP gets its own */
};

struct sdp_error {
	enum reason reason; /* SDP_MALFORMED, SDP_TOO_LARGE, TOO_MANY_STREAMS, NO_MEMORY */
	unsigned line;      /* 1.., 0: the whole */
	const char *why;    /* static, for the log: "m= line without a port" */
};

/* Reads a description.
 *
 * @text       borrowed: every slice of the result points into it
 * @max_media  more m= lines are an error
 * Memory in a is bounded by SDP_LINES_MAX and SDP_FORMATS_MAX. REASON_NONE or err->reason, err filled. */
enum reason sdp_parse(struct arena *a, struct str text, unsigned max_media, struct sdp **ret_sdp,
    struct sdp_error *err);

/* What stands in the o= line besides "-". */
struct sdp_origin {
	uint64_t session;
	uint64_t version;
	struct addr addr;
};

/* Writes v, o, s, c, b, t, streams with CRLF (RFC 8866 5); every format with its rtpmap, every live RTP stream with
 * its direction. A stream with port 0 is its m= line with one format. Look at buf_err(). */
void sdp_print(struct buf *b, const struct sdp *s, const struct sdp_origin *o);

/* The shortest text from which sdp_parse() makes the same description again (not the o= line). Equal descriptions
 * give equal bytes. */
void sdp_memo(struct buf *b, const struct sdp *s);

/* First attribute of that name, NULL when there is none. */
const struct sdp_attr *sdp_attr(const struct sdp_attr *list, struct str name);

/* How the direction counts: an address that means "send me nothing" takes the receiving away (RFC 3264 8.4). */
static inline enum sdp_dir sdp_dir(const struct sdp_media *m)
{
	/* 0.0.0.0:9 of a far end with ICE says that its addresses come later (RFC 8840 4.1.1) */
	return (enum sdp_dir)(m->conn == SDP_CONN_HOLD && !(m->ice && m->port == 9) ? m->dir & SDP_SENDONLY : m->dir);
}

static inline bool sdp_is_rtp(const struct sdp_media *m)
{
	return m->profile >= SDP_PROFILE_AVP && m->profile <= SDP_PROFILE_DTLSF;
}

static inline bool sdp_is_secure(const struct sdp_media *m)
{
	return m->profile == SDP_PROFILE_SAVP || m->profile == SDP_PROFILE_SAVPF;
}

static inline bool sdp_is_dtls(const struct sdp_media *m)
{
	return m->profile == SDP_PROFILE_DTLS || m->profile == SDP_PROFILE_DTLSF;
}

#endif
