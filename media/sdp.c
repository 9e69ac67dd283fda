/* sdp.c - reading and writing session descriptions (RFC 8866).
 *
 * Reading is one pass over the lines. A line belongs to the session until the first m= line and to the last m= line
 * afterwards. Formats stand in an array per stream, and a table number -> index lives as long as the stream is the
 * current one, so that rtpmap and fmtp lines cost no search. Each stream inherits what it did not say itself: c= and the
 * direction when it ends, keys after the pass.
 *
 * What is refused: what cannot be understood without guessing (an m= line without port, a NUL, a bare CR, a line
 * that is not x=...), and what is larger than the limits. What is bent: see sdp.h. An odd format, rtpmap or rtcp line
 * costs that format, not the call.
 *
 * Nothing recurses, nothing is copied: slices point into the text.
 */
#include "media/sdp.h"

#include "media/codec.h"

const char *const sdp_dir_names[4] = {"inactive", "sendonly", "recvonly", "sendrecv"};

#define NO_FORMAT 0xff
#define SHARED_MAX 4 /* lines of a name that stand for all streams */
#define DIR_UNSAID 0xff

struct reader {
	struct arena *a;
	struct sdp *sdp;
	struct sdp_error *err;
	struct sdp_media *m;          /* current stream; NULL: session level */
	struct sdp_attr **tail;       /* where the current level's next attribute goes */
	struct str rtcp;              /* value of a=rtcp of the current stream */
	struct addr conn;             /* of the session */
	uint8_t conn_kind;
	uint8_t dir;                  /* of the session */
	bool version;
	uint8_t index[SDP_PT_MAX + 1]; /* number -> format of the current stream */
};

static enum reason fail(struct reader *r, enum reason reason, const char *why)
{
	r->err->reason = reason;
	r->err->why = why;
	return reason;
}

/* next run of non-blanks, cut off the front of *s */
static struct str word(struct str *s)
{
	const char *p = s->p, *end = p + s->n, *from;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	for (from = p; p < end && *p != ' ' && *p != '\t';)
		p++;
	*s = str_n(p, (size_t)(end - p));
	return str_n(from, (size_t)(p - from));
}

/* visible ASCII only: fit to be printed to the other side */
static bool visible(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 33 || s.p[i] > 126)
			return false;
	return s.n > 0;
}

static enum sdp_profile profile_of(struct str proto)
{
	static const struct {
		const char *name;
		enum sdp_profile profile;
	} known[] = {
		{"RTP/AVP", SDP_PROFILE_AVP},
		{"RTP/AVPF", SDP_PROFILE_AVPF},
		{"RTP/SAVP", SDP_PROFILE_SAVP},
		{"RTP/SAVPF", SDP_PROFILE_SAVPF},
		{"UDP/TLS/RTP/SAVP", SDP_PROFILE_DTLS},
		{"UDP/TLS/RTP/SAVPF", SDP_PROFILE_DTLSF},
		{"udptl", SDP_PROFILE_UDPTL},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_ieq(proto, str_z(known[i].name)))
			return known[i].profile;
	return SDP_PROFILE_OTHER;
}

static bool is_group_address(const struct addr *a)
{
	struct str b = addr_ip_bytes(a);
	uint8_t first = (uint8_t)b.p[0];

	/* 224/4 and 240/4 with the broadcast address; ff00::/8 */
	return b.n == 4 ? first >= 224 : first == 0xff;
}

/* "IN IP4 192.0.2.1[/ttl[/n]]": the address part */
static enum sdp_conn conn_of(struct str net, struct str text, struct addr *ret)
{
	struct str host, dot = S(".invalid");
	struct addr a;

	str_cut(text, '/', &host);
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (str_ieq(host, S("invalid")) ||
	    (host.n > dot.n && str_ieq(str_from(host, host.n - dot.n), dot)))
		return SDP_CONN_HOLD;
	if (!str_ieq(net, S("IN")) || addr_parse_ip(host, 0, &a) < 0 || is_group_address(&a))
		return SDP_CONN_BAD;
	if (addr_is_any(&a))
		return SDP_CONN_HOLD;
	*ret = a;
	return SDP_CONN_IP;
}

static enum reason read_connection(struct reader *r, struct str v)
{
	struct str net = word(&v), type = word(&v), host = word(&v);
	struct addr a = {0};
	uint8_t kind;

	if (host.n == 0)
		return fail(r, REASON_SDP_MALFORMED, "c= line without an address");
	(void)type; /* the address itself says its family */
	kind = (uint8_t)conn_of(net, host, &a);
	if (!r->m) {
		r->conn = a;
		r->conn_kind = kind;
	} else if (r->m->conn == SDP_CONN_NONE) { /* several: a layered group, the first counts */
		r->m->rtp = a;
		r->m->conn = kind;
	}
	return REASON_NONE;
}

/* a=rtcp:53020 [IN IP4 192.0.2.1] (RFC 3605); without it: RTP's port + 1 */
static void set_rtcp(struct sdp_media *m, struct str v)
{
	struct str port = word(&v), net = word(&v), type = word(&v), host = word(&v);
	struct addr a = m->rtp;
	uint32_t n;

	(void)type;
	memset(&m->rtcp, 0, sizeof(m->rtcp));
	if (port.n && str_u32(port, 65535, &n) == 0 && n > 0) {
		if (host.n && conn_of(net, host, &a) != SDP_CONN_IP)
			return;
	} else if (m->port < 65535) {
		n = m->port + 1u;
	} else {
		return;
	}
	m->rtcp = a;
	addr_set_port(&m->rtcp, (uint16_t)n);
}

/* the current stream has all its lines: inherit */
static enum reason end_stream(struct reader *r)
{
	struct sdp_media *m = r->m;

	if (!m)
		return REASON_NONE;
	if (m->conn == SDP_CONN_NONE) {
		m->conn = r->conn_kind;
		m->rtp = r->conn;
	}
	if (m->dir == DIR_UNSAID)
		m->dir = r->dir == DIR_UNSAID ? SDP_SENDRECV : r->dir;
	if (m->port && m->conn == SDP_CONN_NONE)
		return fail(r, REASON_SDP_MALFORMED, "stream without a c= line");
	if (m->conn == SDP_CONN_IP) {
		addr_set_port(&m->rtp, m->port);
		if (m->port)
			set_rtcp(m, r->rtcp);
	}
	r->rtcp = STR_NONE;
	return REASON_NONE;
}

static enum reason read_formats(struct reader *r, struct sdp_media *m)
{
	struct str v = m->fmts, w;
	uint8_t pts[SDP_FORMATS_MAX];
	unsigned n = 0, words = 0;
	uint32_t pt;

	memset(r->index, NO_FORMAT, sizeof(r->index));
	for (w = word(&v); w.n; w = word(&v)) {
		if (++words > SDP_FORMATS_MAX)
			return fail(r, REASON_SDP_TOO_LARGE, "more than 64 formats in one m= line");
		if (!sdp_is_rtp(m) || str_u32(w, SDP_PT_MAX, &pt) < 0 || r->index[pt] != NO_FORMAT)
			continue;
		r->index[pt] = (uint8_t)n;
		pts[n++] = (uint8_t)pt;
	}
	if (n == 0)
		return REASON_NONE;
	m->formats = arena_alloc(r->a, n * sizeof(*m->formats));
	if (!m->formats)
		return fail(r, REASON_NO_MEMORY, "out of memory");
	for (unsigned i = 0; i < n; i++) {
		m->formats[i] = (struct sdp_format){.pt = pts[i], .channels = 1};
		codec_static(pts[i], &m->formats[i]);
	}
	m->n_formats = n;
	return REASON_NONE;
}

static enum reason read_media(struct reader *r, struct str v)
{
	struct str kind = word(&v), port_text = word(&v), proto = word(&v), port;
	enum reason reason = end_stream(r);
	struct sdp_media *m;
	uint32_t n;

	if (reason)
		return reason;
	str_cut(port_text, '/', &port); /* "49170/2": ports of layers */
	if (!visible(kind))
		return fail(r, REASON_SDP_MALFORMED, "m= line without a kind");
	if (str_u32(port, 65535, &n) < 0)
		return fail(r, REASON_SDP_MALFORMED, "m= line without a usable port");
	if (!visible(proto))
		return fail(r, REASON_SDP_MALFORMED, "m= line without a protocol");
	m = &r->sdp->media[r->sdp->n_media++];
	*m = (struct sdp_media){
		.kind = kind,
		.proto = proto,
		.fmts = str_trim(v),
		.port = (uint16_t)n,
		.dir = DIR_UNSAID,
		.profile = (uint8_t)profile_of(proto),
	};
	r->m = m;
	r->tail = &m->attrs;
	return read_formats(r, m);
}

/* the format a "101 ..." value speaks of; NULL: none of this stream */
static struct sdp_format *format_of(struct reader *r, struct str *v)
{
	struct str w = word(v);
	uint32_t pt;

	if (!r->m || str_u32(w, SDP_PT_MAX, &pt) < 0 || r->index[pt] == NO_FORMAT)
		return NULL;
	return &r->m->formats[r->index[pt]];
}

/* "101 telephone-event/8000[/1]"; an odd one makes the format unknown, unless its number is static */
static void read_rtpmap(struct reader *r, struct str v)
{
	struct sdp_format *f = format_of(r, &v);
	struct str enc = word(&v), name, clock, channels;
	uint32_t hz, ch = 1;

	channels = str_cut(str_cut(enc, '/', &name), '/', &clock);
	if (!f || !visible(name) || str_u32(clock, UINT32_MAX, &hz) < 0 || hz == 0)
		return;
	if (channels.n && (str_u32(channels, 255, &ch) < 0 || ch == 0))
		return;
	if (f->name.n && !codec_is_static(f))
		return; /* a second rtpmap of one number */
	f->name = name;
	f->clock_hz = hz;
	f->channels = (uint8_t)ch;
}

static void read_fmtp(struct reader *r, struct str v)
{
	struct sdp_format *f = format_of(r, &v);

	while (v.n && (*v.p == ' ' || *v.p == '\t'))
		v = str_from(v, 1);
	if (f && f->fmtp.n == 0)
		f->fmtp = v;
}

static enum reason keep(struct reader *r, char type, struct str name, struct str value)
{
	struct sdp_attr *a = arena_alloc(r->a, sizeof(*a));

	if (!a)
		return fail(r, REASON_NO_MEMORY, "out of memory");
	*a = (struct sdp_attr){.name = name, .value = value, .type = type};
	*r->tail = a;
	r->tail = &a->next;
	return REASON_NONE;
}

static enum reason read_attribute(struct reader *r, struct str v)
{
	struct str name, value = str_cut(v, ':', &name);

	if (name.n == v.n)
		value = STR_NONE;
	switch (name.n) {
	case 4:
		if (r->m && str_eq(name, S("fmtp")) && sdp_is_rtp(r->m)) {
			read_fmtp(r, value);
			return REASON_NONE;
		}
		if (str_eq(name, S("rtcp"))) {
			if (r->m)
				r->rtcp = value;
			return REASON_NONE;
		}
		break;
	case 6:
		if (r->m && str_eq(name, S("rtpmap"))) {
			read_rtpmap(r, value);
			return REASON_NONE;
		}
		break;
	case 8:
		for (uint8_t d = 0; d < 4; d++) {
			if (!str_ieq(name, str_z(sdp_dir_names[d])))
				continue;
			if (r->m)
				r->m->dir = d;
			else
				r->dir = d;
			return REASON_NONE;
		}
		break;
	default:
		break;
	}
	return keep(r, 'a', name, value);
}

static enum reason read_line(struct reader *r, char type, struct str v)
{
	struct str name, value;

	switch (type) {
	case 'v':
		if (!str_eq(str_trim(v), S("0")))
			return fail(r, REASON_SDP_MALFORMED, "version is not 0");
		r->version = true;
		return REASON_NONE;
	case 'm':
		return read_media(r, v);
	case 'c':
		return read_connection(r, v);
	case 'a':
		return read_attribute(r, v);
	case 'b':
		value = str_cut(v, ':', &name);
		return keep(r, 'b', name, value);
	default: /* o s i u e p t r z k and whatever comes: nothing of it is ours or passes */
		return REASON_NONE;
	}
}

/* What a session says once and means for every stream that does not say it itself (RFC 8122 5, RFC 4145 4,
 * RFC 8839 4.2). */
static const char *const shared_names[] = {"fingerprint", "setup", "tls-id", "ice-ufrag", "ice-pwd", "ice-lite"};

static struct sdp_attr **end_of(struct sdp_attr **list)
{
	while (*list)
		list = &(*list)->next;
	return list;
}

/* moves the attributes of one name from the session to its streams, at the most SHARED_MAX of them */
static enum reason share(struct reader *r, struct str name)
{
	struct sdp_attr **at = &r->sdp->attrs;
	struct str values[SHARED_MAX];
	enum reason reason = REASON_NONE;
	unsigned n = 0;

	while (*at) {
		if ((*at)->type != 'a' || !str_ieq((*at)->name, name)) {
			at = &(*at)->next;
			continue;
		}
		if (n < SHARED_MAX)
			values[n++] = (*at)->value;
		*at = (*at)->next;
	}
	for (unsigned i = 0; n && i < r->sdp->n_media; i++) {
		struct sdp_media *m = &r->sdp->media[i];

		if (sdp_attr(m->attrs, name))
			continue;
		r->tail = end_of(&m->attrs);
		for (unsigned k = 0; k < n && !reason; k++)
			reason = keep(r, 'a', name, values[k]);
	}
	return reason;
}

static enum reason share_all(struct reader *r)
{
	enum reason reason = REASON_NONE;

	for (size_t i = 0; i < ARRAY_LEN(shared_names) && !reason; i++)
		reason = share(r, str_z(shared_names[i]));
	for (unsigned i = 0; i < r->sdp->n_media; i++)
		r->sdp->media[i].ice = sdp_attr(r->sdp->media[i].attrs, S("ice-ufrag")) != NULL;
	return reason;
}

/* how many m= lines there may be: the size of the array */
static unsigned count_media(struct str t)
{
	const char *p = t.p, *end = p + t.n;
	unsigned n = 0;

	while ((p = memchr(p, '=', (size_t)(end - p)))) {
		n += p > t.p && p[-1] == 'm' && (p - 1 == t.p || p[-2] == '\n');
		p++;
	}
	return n;
}

/* Cuts the next line off *text, without its LF or CRLF. false: there is a bare CR in it. */
static bool next_line(struct str *text, struct str *ret)
{
	const char *p = text->p, *end = p + text->n, *eol = p;

	while ((eol = str_find_ctl(eol, end)) < end && *eol != '\n' && *eol != '\r')
		eol++;
	*ret = str_n(p, (size_t)(eol - p));
	if (eol < end && *eol == '\r' && ++eol < end && *eol != '\n')
		return false;
	*text = str_from(*text, (size_t)(eol - p) + 1);
	return true;
}

enum reason sdp_parse(struct arena *a, struct str text, unsigned max_media, struct sdp **ret_sdp,
    struct sdp_error *err)
{
	struct reader r = {.a = a, .err = err, .dir = DIR_UNSAID};
	struct str line, rest = text;
	enum reason reason;
	unsigned n_media;

	*err = (struct sdp_error){.reason = REASON_NONE, .why = "ok"};
	if (text.n > SDP_TEXT_MAX)
		return fail(&r, REASON_SDP_TOO_LARGE, "larger than 64 KiB");
	if (text.n == 0)
		return fail(&r, REASON_SDP_MALFORMED, "empty");
	if (memchr(text.p, '\0', text.n))
		return fail(&r, REASON_SDP_MALFORMED, "a NUL in the text");
	n_media = count_media(text);
	if (n_media > max_media)
		return fail(&r, REASON_TOO_MANY_STREAMS, "more m= lines than the limit");
	r.sdp = arena_zalloc(a, sizeof(*r.sdp));
	if (!r.sdp)
		return fail(&r, REASON_NO_MEMORY, "out of memory");
	if (n_media) {
		r.sdp->media = arena_alloc(a, n_media * sizeof(*r.sdp->media));
		if (!r.sdp->media)
			return fail(&r, REASON_NO_MEMORY, "out of memory");
	}
	r.tail = &r.sdp->attrs;
	while (rest.n) {
		if (++err->line > SDP_LINES_MAX)
			return fail(&r, REASON_SDP_TOO_LARGE, "more than 2000 lines");
		if (!next_line(&rest, &line))
			return fail(&r, REASON_SDP_MALFORMED, "a bare CR in a line");
		if (line.n == 0)
			continue;
		if (line.n < 2 || line.p[1] != '=')
			return fail(&r, REASON_SDP_MALFORMED, "a line that is not x=...");
		reason = read_line(&r, line.p[0], str_from(line, 2));
		if (reason)
			return reason;
	}
	reason = end_stream(&r);
	if (!reason)
		reason = share_all(&r);
	if (reason)
		return reason;
	err->line = 0;
	if (!r.version)
		return fail(&r, REASON_SDP_MALFORMED, "no v= line");
	r.sdp->conn = r.conn;
	*ret_sdp = r.sdp;
	return REASON_NONE;
}

const struct sdp_attr *sdp_attr(const struct sdp_attr *list, struct str name)
{
	for (; list; list = list->next)
		if (list->type == 'a' && str_ieq(list->name, name))
			return list;
	return NULL;
}

/* What is written: the memo leaves out what is known without it, and the CR of line ends. */
enum style { WIRE, MEMO };

static void put_eol(struct buf *b, enum style st)
{
	if (st == WIRE)
		buf_chr(b, '\r');
	buf_chr(b, '\n');
}

static void put_conn(struct buf *b, const struct addr *a, enum style st)
{
	buf_lit(b, "c=IN IP");
	buf_chr(b, addr_is6(a) ? '6' : '4');
	buf_chr(b, ' ');
	addr_put_ip(b, a);
	put_eol(b, st);
}

static bool is_lite(const struct sdp_attr *at)
{
	return at->type == 'a' && str_eq(at->name, S("ice-lite"));
}

static void put_attrs(struct buf *b, const struct sdp_attr *list, char type, enum style st)
{
	for (; list; list = list->next) {
		if (list->type != type || (st == WIRE && is_lite(list))) /* that is for the session */
			continue;
		buf_chr(b, type);
		buf_chr(b, '=');
		buf_str(b, list->name);
		if (list->value.p) {
			buf_chr(b, ':');
			buf_str(b, list->value);
		}
		put_eol(b, st);
	}
}

/* a stream that is there and can be reached; anything else is written as refused */
static bool is_live(const struct sdp_media *m)
{
	return m->port != 0 && m->conn != SDP_CONN_BAD;
}

static void put_m(struct buf *b, const struct sdp_media *m, enum style st)
{
	struct str fmts = m->fmts, w;
	bool live = is_live(m);
	unsigned n = 0;

	buf_lit(b, "m=");
	buf_str(b, m->kind);
	buf_chr(b, ' ');
	buf_u64(b, live ? m->port : 0);
	buf_chr(b, ' ');
	buf_str(b, m->proto);
	if (live)
		for (; n < m->n_formats; n++) {
			buf_chr(b, ' ');
			buf_u64(b, m->formats[n].pt);
		}
	while ((n == 0 || (live && !sdp_is_rtp(m))) && (w = word(&fmts)).n) {
		if (!visible(w))
			continue;
		buf_chr(b, ' ');
		buf_str(b, w);
		n++;
	}
	if (n == 0) /* the grammar asks for one, also of a stream that is refused */
		buf_lit(b, " 0");
	put_eol(b, st);
}

static void put_format(struct buf *b, const struct sdp_format *f, enum style st)
{
	if (f->name.n && !(st == MEMO && codec_is_static(f))) {
		buf_lit(b, "a=rtpmap:");
		buf_u64(b, f->pt);
		buf_chr(b, ' ');
		buf_str(b, f->name);
		buf_chr(b, '/');
		buf_u64(b, f->clock_hz);
		if (f->channels > 1) {
			buf_chr(b, '/');
			buf_u64(b, f->channels);
		}
		put_eol(b, st);
	}
	if (f->fmtp.n) {
		buf_lit(b, "a=fmtp:");
		buf_u64(b, f->pt);
		buf_chr(b, ' ');
		buf_str(b, f->fmtp);
		put_eol(b, st);
	}
}

/* RTCP is where nobody would look for it without being told */
static bool rtcp_is_odd(const struct sdp_media *m)
{
	return !addr_none(&m->rtcp) && (!addr_eq_ip(&m->rtcp, &m->rtp) || addr_port(&m->rtcp) != m->port + 1u);
}

static void put_media(struct buf *b, const struct sdp *s, const struct sdp_media *m, enum style st)
{
	put_m(b, m, st);
	if (!is_live(m))
		return;
	if (m->conn == SDP_CONN_IP && !addr_eq_ip(&m->rtp, &s->conn)) {
		put_conn(b, &m->rtp, st);
	} else if (m->conn == SDP_CONN_HOLD) {
		buf_lit(b, "c=IN IP4 0.0.0.0");
		put_eol(b, st);
	}
	put_attrs(b, m->attrs, 'b', st);
	for (unsigned i = 0; i < m->n_formats; i++)
		put_format(b, &m->formats[i], st);
	put_attrs(b, m->attrs, 'a', st);
	if (m->conn == SDP_CONN_IP && rtcp_is_odd(m)) {
		buf_fmt(b, "a=rtcp:%u IN IP%c ", addr_port(&m->rtcp), addr_is6(&m->rtcp) ? '6' : '4');
		addr_put_ip(b, &m->rtcp);
		put_eol(b, st);
	}
	if (m->dir != SDP_SENDRECV || (st == WIRE && sdp_is_rtp(m))) {
		buf_lit(b, "a=");
		buf_str(b, str_z(sdp_dir_names[m->dir]));
		put_eol(b, st);
	}
}

void sdp_print(struct buf *b, const struct sdp *s, const struct sdp_origin *o)
{
	buf_lit(b, "v=0\r\no=- ");
	buf_u64(b, o->session);
	buf_chr(b, ' ');
	buf_u64(b, o->version);
	buf_str(b, addr_is6(&o->addr) ? S(" IN IP6 ") : S(" IN IP4 "));
	addr_put_ip(b, &o->addr);
	buf_lit(b, "\r\ns=-\r\n");
	put_conn(b, addr_none(&s->conn) ? &o->addr : &s->conn, WIRE);
	put_attrs(b, s->attrs, 'b', WIRE);
	buf_lit(b, "t=0 0\r\n");
	put_attrs(b, s->attrs, 'a', WIRE);
	for (unsigned i = 0; i < s->n_media; i++)
		if (is_live(&s->media[i]) && sdp_attr(s->media[i].attrs, S("ice-lite"))) {
			buf_lit(b, "a=ice-lite\r\n");
			break;
		}
	for (unsigned i = 0; i < s->n_media; i++)
		put_media(b, s, &s->media[i], WIRE);
}

void sdp_memo(struct buf *b, const struct sdp *s)
{
	buf_lit(b, "v=0\n");
	if (!addr_none(&s->conn))
		put_conn(b, &s->conn, MEMO);
	put_attrs(b, s->attrs, 'b', MEMO);
	put_attrs(b, s->attrs, 'a', MEMO);
	for (unsigned i = 0; i < s->n_media; i++)
		put_media(b, s, &s->media[i], MEMO);
}
