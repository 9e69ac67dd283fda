/* msg.c - one pass over a SIP message (RFC 3261 7, 18.3, 25.1; RFC 4475 for the corners).
 *
 * Happy path: the start line is cut at its two spaces; for each header line the name is taken up to the colon and
 * looked up by a perfect hash, the value runs to the next CRLF that does not fold. The line scan looks at 16
 * bytes at a time for anything below SP but HT, so it finds the line end and every byte that has no business in
 * a header section by the same comparison. Headers that each message is judged by are read when they are met.
 *
 * What can go wrong: the first fault is kept (place, reason, text), and the pass goes on, because an answer
 * needs the headers behind the fault too. Only when there is no usable start line or no Via is nothing
 * answered. Strict where two readers could disagree about where a header or a message ends (bare CR, LF, NUL,
 * white space in names, double Content-Length); tolerant about content nobody here depends on.
 *
 * Owner: the message and its header table are in the arena; all text stays in the receive buffer.
 */
#include "sbc/sip/msg.h"

#include <errno.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "sbc/base/arena.h"
#include "sbc/sip/chars.h"
#include "sbc/sip/header.h"

#include "sbc/sip/names.inc"

_Static_assert(ARRAY_LEN(hdr_names) == SIP_H_OTHER, "names.py and enum sip_hdr_id differ");
_Static_assert(ARRAY_LEN(hdr_compact) == SIP_H_OTHER, "names.py and enum sip_hdr_id differ");
_Static_assert(SIP_H_COUNT < 256, "sip_hdr.id is one byte");

#define HDR_FIRST 32 /* fields there is room for at first: doubled when more come */

struct parser {
	struct arena *a;
	struct sip_msg *m;
	struct sip_perr *err;
	char *buf, *end;
	char *p; /* next byte to read */
	unsigned cap; /* of m->hdr */
	bool failed;
	bool request_like; /* has a start line that an answer may be sent to */
	bool head_ended;
	bool has_length;
	uint32_t length;
	struct str cseq_method;
};

static void fail(struct parser *ps, enum reason reason, const char *at, const char *why)
{
	if (ps->failed)
		return;
	ps->failed = true;
	*ps->err = (struct sip_perr){
	    .reason = reason, .status = reason_info(reason)->sip, .at = (size_t)(at - ps->buf), .why = why};
}

static char *scan_ctl(char *p, char *end)
{
	return p + (str_find_ctl(p, end) - p);
}

static bool has_ctl(struct str s)
{
	return str_find_ctl(s.p, s.p + s.n) != s.p + s.n;
}

/* Where the line of a value ends, for the rare value with a control character in it: legal only as quoted-pair
 * in a quoted string. Folds on the way are undone. NULL when there is an illegal one, with *ret_at. */
static char *scan_quoted_pairs(char *p, char *end, char **ret_at)
{
	bool quoted = false;

	for (; p < end; p++) {
		if (quoted && *p == '\\' && p + 1 < end && p[1] != '\r' && p[1] != '\n') {
			p++;
		} else if (*p == '"') {
			quoted = !quoted;
		} else if (*p == '\r' && p + 1 < end && p[1] == '\n') {
			if (p + 2 == end || !sip_is_ws(p[2]))
				return p;
			p[0] = p[1] = ' ';
			p++;
		} else if (chr_ctl(*p)) {
			break;
		}
	}
	*ret_at = p;
	return NULL;
}

/* Behind the CRLF that ends the line (with its folds) that p is in; end when there is none. */
static char *skip_line(char *p, char *end)
{
	while (p < end) {
		char *cr = memchr(p, '\r', (size_t)(end - p));

		if (!cr || cr + 1 == end)
			return end;
		p = cr + 1;
		if (*p == '\n') {
			p++;
			if (p == end || !sip_is_ws(*p))
				return p;
		}
	}
	return end;
}

/* ------------------------------------------------------------------ start line */

/* "SIP/" digits "." digits: 0 for 2.0, -ENOTSUP for another version, -EBADMSG */
static int parse_version(struct str s)
{
	struct str major, minor;
	uint32_t n;

	if (s.n == 7 && memcmp(s.p, "SIP/2.0", 7) == 0)
		return 0;
	if (!str_iprefix(s, S("SIP/")))
		return -EBADMSG;
	minor = str_cut(str_from(s, 4), '.', &major);
	if (str_u32(major, UINT32_MAX, &n) == -EINVAL || str_u32(minor, UINT32_MAX, &n) == -EINVAL)
		return -EBADMSG;
	return str_eq(str_from(s, 4), S("2.0")) ? 0 : -ENOTSUP;
}

static void parse_status_line(struct parser *ps, struct str line)
{
	struct sip_msg *m = ps->m;
	struct str version, code, rest = str_cut(line, ' ', &version);
	int e = parse_version(version);
	uint32_t status;

	m->reason_phrase = str_cut(rest, ' ', &code);
	if (e == -ENOTSUP)
		fail(ps, REASON_VERSION, line.p, "SIP version not supported");
	else if (e < 0)
		fail(ps, REASON_MALFORMED, line.p, "malformed status line");
	else if (code.n != 3 || str_u32(code, 699, &status) < 0 || status < 100)
		fail(ps, REASON_BAD_NUMBER, line.p, "status code out of range");
	else
		m->status = (uint16_t)status;
}

static void parse_request_line(struct parser *ps, struct str line)
{
	struct sip_msg *m = ps->m;
	struct str rest, version, tail = line;
	ptrdiff_t at;
	size_t n = 0;
	int e;

	m->is_request = true;
	while (n < line.n && sip_is(line.p[n], SIP_C_TOKEN))
		n++;
	/* whatever stands between: what ends in a version wants to be a request */
	while (tail.n && sip_is_ws(tail.p[tail.n - 1]))
		tail.n--;
	ps->request_like = n > 0 && tail.n > n + 7 && str_ieq(str_head(str_from(tail, tail.n - 7), 4), S("SIP/"));
	if (n == 0 || n == line.n || line.p[n] != ' ') {
		ps->request_like = false;
		fail(ps, REASON_MALFORMED, line.p + n, "malformed start line");
		return;
	}
	m->method_name = str_head(line, n);
	m->method = sip_method_parse(m->method_name);
	rest = str_from(line, n + 1);
	at = str_chr(rest, ' ');
	if (at <= 0) {
		fail(ps, REASON_MALFORMED, rest.p, "malformed start line");
		return;
	}
	m->ruri_raw = str_head(rest, (size_t)at);
	version = str_from(rest, (size_t)at + 1);
	e = parse_version(version);
	if (e == -ENOTSUP) {
		ps->request_like = true;
		fail(ps, REASON_VERSION, version.p, "SIP version not supported");
	} else if (e < 0) {
		fail(ps, REASON_MALFORMED, version.p, "malformed start line");
	} else if (m->ruri_raw.n > SIP_URI_LEN_MAX) {
		fail(ps, REASON_URI_TOO_LONG, rest.p, "request URI too long");
	} else if (sip_uri_parse(m->ruri_raw, &m->ruri) < 0) {
		fail(ps, REASON_MALFORMED, rest.p, "malformed request URI");
	} else if (m->ruri.headers.p) {
		fail(ps, REASON_MALFORMED, m->ruri.headers.p, "headers in the request URI");
	}
}

/* true: there is a line behind it */
static bool parse_start_line(struct parser *ps)
{
	char *start = ps->p, *eol = scan_ctl(start, ps->end);
	struct str line = str_n(start, (size_t)(eol - start));

	if (ps->end - eol < 2 || eol[0] != '\r' || eol[1] != '\n') {
		fail(ps, REASON_MALFORMED, eol,
		    eol == ps->end ? "start line does not end" : "control character in the start line");
		if (eol == ps->end)
			return false;
		eol = memmem(eol, (size_t)(ps->end - eol), "\r\n", 2);
		if (!eol)
			return false;
	}
	ps->p = eol + 2;
	if (line.n >= 4 && str_iprefix(line, S("SIP/")))
		parse_status_line(ps, line);
	else
		parse_request_line(ps, line);
	return true;
}

/* ------------------------------------------------------------------ headers */

/* memcmp() of two names of n bytes, without the call: by their first and last four or eight bytes, which may overlap */
static inline bool same_name(const char *a, const char *b, size_t n)
{
	uint64_t w[4] = {0};

	if (n > 16)
		return memcmp(a, b, n) == 0;
	if (n >= 8) {
		memcpy(&w[0], a, 8);
		memcpy(&w[1], b, 8);
		memcpy(&w[2], a + n - 8, 8);
		memcpy(&w[3], b + n - 8, 8);
	} else if (n >= 4) {
		memcpy(&w[0], a, 4);
		memcpy(&w[1], b, 4);
		memcpy(&w[2], a + n - 4, 4);
		memcpy(&w[3], b + n - 4, 4);
	} else {
		for (size_t i = 0; i < n; i++)
			if (a[i] != b[i])
				return false;
		return true;
	}
	return ((w[0] ^ w[1]) | (w[2] ^ w[3])) == 0;
}

static inline enum sip_hdr_id name_id(struct str name)
{
	unsigned h, id;

	/* 0x20 makes a letter small and leaves '-' alone */
	h = NAME_HASH((unsigned)name.n, (unsigned char)name.p[0] | 0x20u,
	    (unsigned char)name.p[name.n - 1] | 0x20u, (unsigned char)name.p[name.n / 2] | 0x20u);
	id = name_slots[h];
	if (id == 0)
		return SIP_H_OTHER;
	id--;
	if (name.n == 1)
		return chr_lower(name.p[0]) == hdr_compact[id] ? (enum sip_hdr_id)id : SIP_H_OTHER;
	if (name.n == hdr_names[id].n && (same_name(name.p, hdr_names[id].p, name.n) || str_ieq(name, hdr_names[id])))
		return (enum sip_hdr_id)id;
	return SIP_H_OTHER;
}

enum sip_hdr_id sip_hdr_parse(struct str name)
{
	return name.n ? name_id(name) : SIP_H_OTHER;
}

char sip_hdr_compact(enum sip_hdr_id id)
{
	return id < SIP_H_OTHER ? hdr_compact[id] : 0;
}

struct str sip_hdr_name(enum sip_hdr_id id)
{
	return (unsigned)id < SIP_H_OTHER ? hdr_names[id] : STR_NONE;
}

static void take_via(struct parser *ps, struct str value)
{
	struct sip_msg *m = ps->m;
	struct str rest = value, v = value;

	if (value.n && !memchr(value.p, ',', value.n))
		rest = STR_NONE; /* the usual: one value a line */
	else if (!sip_value_next(&rest, &v)) {
		fail(ps, REASON_MALFORMED, value.p, "empty Via");
		return;
	}
	if (m->n_via++ == 0) {
		m->via.raw = v;
		if (sip_via_parse(v, &m->via) < 0)
			fail(ps, REASON_MALFORMED, v.p, "malformed Via");
		else if (m->is_request && str_eq(m->via.branch, S("z9hG4bK")))
			fail(ps, REASON_MALFORMED, v.p, "branch of Via is empty");
	}
	while (sip_value_next(&rest, &v))
		m->n_via++;
	if (m->n_via > SIP_VIA_MAX)
		fail(ps, REASON_TOO_MANY_HEADERS, value.p, "too many Vias");
}

static void take_addr(struct parser *ps, struct str value, struct sip_addr *addr, const char *why)
{
	if (sip_addr_parse(value, addr) < 0)
		fail(ps, REASON_MALFORMED, value.p, why);
}

static void take_call_id(struct parser *ps, struct str value)
{
	if (value.n == 0)
		fail(ps, REASON_MALFORMED, value.p, "empty Call-ID");
	else if (memchr(value.p, ' ', value.n) || memchr(value.p, '\t', value.n) || has_ctl(value))
		fail(ps, REASON_MALFORMED, value.p, "malformed Call-ID");
	ps->m->call_id = value;
}

static void take_cseq(struct parser *ps, struct str value)
{
	size_t n = 0;
	struct str method;
	int e;

	while (n < value.n && chr_digit(value.p[n]))
		n++;
	method = sip_trim(str_from(value, n));
	e = str_u32(str_head(value, n), INT32_MAX, &ps->m->cseq);
	if (e == -ERANGE)
		fail(ps, REASON_BAD_NUMBER, value.p, "CSeq out of range");
	else if (e < 0 || n == value.n || !sip_is_ws(value.p[n]) || method.n == 0 ||
	         !sip_all(method, SIP_C_TOKEN))
		fail(ps, REASON_MALFORMED, value.p, "malformed CSeq");
	else
		ps->cseq_method = method;
}

static void take_length(struct parser *ps, struct str value)
{
	uint32_t n;

	if (str_u32(value, UINT32_MAX, &n) < 0) {
		fail(ps, REASON_BAD_LENGTH, value.p, "Content-Length is no number");
		ps->err->close = true;
	} else if (ps->has_length && n != ps->length) {
		fail(ps, REASON_BAD_LENGTH, value.p, "two Content-Lengths that differ");
		ps->err->close = true;
	} else {
		ps->has_length = true;
		ps->length = n;
	}
}

static void take_max_forwards(struct parser *ps, struct str value)
{
	int e = str_u32(value, 255, &ps->m->max_forwards);

	if (e == -ERANGE)
		fail(ps, REASON_BAD_NUMBER, value.p, "Max-Forwards out of range");
	else if (e < 0)
		fail(ps, REASON_MALFORMED, value.p, "malformed Max-Forwards");
	ps->m->has_max_forwards = e == 0;
}

/* The headers that the message is judged by. */
static void take(struct parser *ps, enum sip_hdr_id id, bool again, struct str value)
{
	switch (id) {
	case SIP_H_VIA:
		take_via(ps, value);
		return;
	case SIP_H_CONTENT_LENGTH:
		take_length(ps, value);
		return;
	case SIP_H_FROM:
	case SIP_H_TO:
	case SIP_H_CALL_ID:
	case SIP_H_CSEQ:
	case SIP_H_MAX_FORWARDS:
	case SIP_H_CONTENT_TYPE:
		if (again) {
			fail(ps, REASON_HEADER_TWICE, value.p, "header that may stand once stands twice");
			return;
		}
		break;
	default:
		return;
	}
	if (id == SIP_H_FROM)
		take_addr(ps, value, &ps->m->from, "malformed From");
	else if (id == SIP_H_TO)
		take_addr(ps, value, &ps->m->to, "malformed To");
	else if (id == SIP_H_CALL_ID)
		take_call_id(ps, value);
	else if (id == SIP_H_CSEQ)
		take_cseq(ps, value);
	else if (id == SIP_H_MAX_FORWARDS)
		take_max_forwards(ps, value);
}

/* Room for one more field. 0; -EMSGSIZE over SIP_HDR_MAX; -ENOMEM. */
static int reserve(struct parser *ps)
{
	struct sip_msg *m = ps->m;
	struct sip_hdr *more;

	if (m->n_hdr < ps->cap)
		return 0;
	if (ps->cap == SIP_HDR_MAX)
		return -EMSGSIZE;
	more = arena_alloc(ps->a, 2 * ps->cap * sizeof(*more));
	if (!more)
		return -ENOMEM;
	memcpy(more, m->hdr, m->n_hdr * sizeof(*more));
	m->hdr = more;
	ps->cap *= 2;
	return 0;
}

_Static_assert(SIP_HDR_MAX % HDR_FIRST == 0 && ((SIP_HDR_MAX / HDR_FIRST) & (SIP_HDR_MAX / HDR_FIRST - 1)) == 0,
    "the table doubles until it has SIP_HDR_MAX entries");

/* The usual name: known, shorter than 16 and with the colon right behind it. It is compared with the table, so its
 * bytes need no look of their own. Behind the name, or NULL when it takes the long way. */
static inline char *known_name(char *p, char *end, enum sip_hdr_id *ret_id)
{
#ifdef __SSE2__
	if (end - p >= 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
		int colon = _mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8(':')));

		if (colon > 1 && !(colon & 1)) {
			size_t n = (size_t)__builtin_ctz((unsigned)colon);

			*ret_id = name_id(str_n(p, n));
			if (*ret_id != SIP_H_OTHER)
				return p + n;
		}
	}
#else
	(void)p;
	(void)end;
	(void)ret_id;
#endif
	return NULL;
}

/* One header line with its folds, from ps->p to behind it. 0 or -ENOMEM. */
static int parse_header(struct parser *ps)
{
	struct sip_msg *m = ps->m;
	char *start = ps->p, *end = ps->end, *p, *eol, *stop;
	enum sip_hdr_id id = SIP_H_OTHER;
	struct sip_hdr *h;
	struct str name;
	int e;

	p = known_name(start, end, &id);
	if (p) {
		name = str_n(start, (size_t)(p - start));
	} else {
		for (p = start; p < end && sip_is(*p, SIP_C_TOKEN); p++)
			;
		name = str_n(start, (size_t)(p - start));
		while (p < end && sip_is_ws(*p))
			p++;
		if (name.n == 0 || p == end || *p != ':') {
			fail(ps, REASON_MALFORMED, p, "malformed header name");
			ps->p = skip_line(start, end);
			return 0;
		}
		id = name_id(name);
	}
	p++;
	for (eol = p;;) {
		eol = scan_ctl(eol, end);
		if (end - eol < 2) { /* the head does not end: reported by the caller */
			ps->p = end;
			return 0;
		}
		if (eol[0] == '\r' && eol[1] == '\n') {
			if (end - eol == 2 || !sip_is_ws(eol[2]))
				break;
			eol[0] = eol[1] = ' ';
			eol += 2;
			continue;
		}
		eol = scan_quoted_pairs(p, end, &stop);
		if (!eol) {
			if (stop < end)
				fail(ps, REASON_MALFORMED, stop, "control character in a header");
			ps->p = skip_line(stop, end);
			return 0;
		}
		break;
	}
	ps->p = eol + 2;
	while (p < eol && sip_is_ws(*p))
		p++;
	while (eol > p && sip_is_ws(eol[-1]))
		eol--;
	e = reserve(ps);
	if (e == -EMSGSIZE) {
		fail(ps, REASON_TOO_MANY_HEADERS, start, "too many header fields");
		return 0;
	}
	if (e < 0)
		return e;
	if (eol - p > SIP_HDR_LEN_MAX)
		fail(ps, REASON_MALFORMED, start, "header field too long");
	h = &m->hdr[m->n_hdr++];
	h->name = name;
	h->value = str_n(p, (size_t)(eol - p));
	h->id = (uint8_t)id;
	take(ps, id, m->first[id] != 0, h->value);
	if (m->first[id] == 0)
		m->first[id] = (uint16_t)m->n_hdr;
	return 0;
}

/* ------------------------------------------------------------------ the whole */

static void check_present(struct parser *ps)
{
	static const struct {
		uint8_t id;
		const char *why;
	} needed[] = {
	    {SIP_H_VIA, "Via is missing"},
	    {SIP_H_FROM, "From is missing"},
	    {SIP_H_TO, "To is missing"},
	    {SIP_H_CALL_ID, "Call-ID is missing"},
	    {SIP_H_CSEQ, "CSeq is missing"},
	};

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (ps->m->first[needed[i].id] == 0)
			fail(ps, REASON_HEADER_MISSING, ps->p, needed[i].why);
}

static void check_method(struct parser *ps)
{
	struct sip_msg *m = ps->m;

	if (!m->is_request) {
		m->method_name = ps->cseq_method;
		m->method = sip_method_parse(m->method_name);
	} else if (ps->cseq_method.n && !str_eq(ps->cseq_method, m->method_name)) {
		if (m->method == SIP_UNKNOWN)
			fail(ps, REASON_METHOD_UNKNOWN, ps->cseq_method.p, "method not implemented");
		else
			fail(ps, REASON_CSEQ_METHOD, ps->cseq_method.p, "CSeq method differs from the request's");
	}
}

static void cut_body(struct parser *ps)
{
	size_t rest = (size_t)(ps->end - ps->p);

	if (ps->has_length && ps->length > rest) {
		fail(ps, REASON_BODY_SHORT, ps->end, "body shorter than Content-Length");
		ps->err->close = true;
	} else if (ps->has_length) {
		rest = ps->length;
	}
	ps->m->body = str_n(ps->p, rest);
}

int sip_parse(struct arena *a, char *buf, size_t len, struct sip_msg **ret_msg, struct sip_perr *err)
{
	struct parser ps = {.a = a, .err = err, .buf = buf, .end = buf + len, .p = buf, .cap = HDR_FIRST};
	struct sip_msg *m = arena_new_obj(a, struct sip_msg);
	const char *start;

	if (!m)
		return -ENOMEM;
	m->hdr = arena_alloc(a, HDR_FIRST * sizeof(*m->hdr));
	if (!m->hdr)
		return -ENOMEM;
	*err = (struct sip_perr){.reason = REASON_NONE};
	ps.m = m;
	m->max_forwards = 70;
	while (ps.end - ps.p >= 2 && ps.p[0] == '\r' && ps.p[1] == '\n')
		ps.p += 2;
	start = ps.p;
	if (len > SIP_MSG_MAX)
		fail(&ps, REASON_TOO_LARGE, ps.p, "message too large");
	if (parse_start_line(&ps)) {
		while (ps.p < ps.end) {
			if (*ps.p == '\r' && ps.end - ps.p >= 2 && ps.p[1] == '\n') {
				ps.p += 2;
				ps.head_ended = true;
				break;
			}
			if (parse_header(&ps) < 0)
				return -ENOMEM;
		}
	}
	m->head = str_n(start, (size_t)(ps.p - start));
	if (!ps.head_ended)
		fail(&ps, REASON_MALFORMED, ps.end, "header section does not end");
	check_present(&ps);
	check_method(&ps);
	cut_body(&ps);
	*ret_msg = m;
	if (!ps.failed)
		return 0;
	if (!ps.head_ended || err->reason == REASON_TOO_LARGE)
		err->close = true;
	if (!m->is_request || !ps.request_like || m->n_via == 0 || m->method == SIP_ACK)
		err->status = 0;
	return -EBADMSG;
}

const struct sip_hdr *sip_hdr(const struct sip_msg *m, enum sip_hdr_id id)
{
	return m->first[id] ? &m->hdr[m->first[id] - 1] : NULL;
}

const struct sip_hdr *sip_hdr_next(const struct sip_msg *m, const struct sip_hdr *h)
{
	for (const struct sip_hdr *next = h + 1; next < m->hdr + m->n_hdr; next++)
		if (next->id == h->id)
			return next;
	return NULL;
}

struct str sip_hdr_value(const struct sip_msg *m, enum sip_hdr_id id)
{
	const struct sip_hdr *h = sip_hdr(m, id);

	return h ? h->value : STR_NONE;
}

/* ------------------------------------------------------------------ methods and statuses */

static const struct str methods[] = {
    [SIP_INVITE] = {"INVITE", 6},
    [SIP_ACK] = {"ACK", 3},
    [SIP_BYE] = {"BYE", 3},
    [SIP_CANCEL] = {"CANCEL", 6},
    [SIP_OPTIONS] = {"OPTIONS", 7},
    [SIP_REGISTER] = {"REGISTER", 8},
    [SIP_PRACK] = {"PRACK", 5},
    [SIP_UPDATE] = {"UPDATE", 6},
    [SIP_INFO] = {"INFO", 4},
    [SIP_SUBSCRIBE] = {"SUBSCRIBE", 9},
    [SIP_NOTIFY] = {"NOTIFY", 6},
    [SIP_REFER] = {"REFER", 5},
    [SIP_MESSAGE] = {"MESSAGE", 7},
    [SIP_PUBLISH] = {"PUBLISH", 7},
};

enum sip_method sip_method_parse(struct str name)
{
	for (unsigned i = 0; i < ARRAY_LEN(methods); i++)
		if (str_eq(name, methods[i]))
			return (enum sip_method)i;
	return SIP_UNKNOWN;
}

struct str sip_method_name(enum sip_method method)
{
	return (unsigned)method < SIP_UNKNOWN ? methods[method] : STR_NONE;
}

struct str sip_status_text(unsigned status)
{
	static const struct {
		uint16_t status;
		const char *text;
	} texts[] = {
	    {100, "Trying"},
	    {180, "Ringing"},
	    {181, "Call Is Being Forwarded"},
	    {182, "Queued"},
	    {183, "Session Progress"},
	    {199, "Early Dialog Terminated"},
	    {200, "OK"},
	    {202, "Accepted"},
	    {204, "No Notification"},
	    {300, "Multiple Choices"},
	    {301, "Moved Permanently"},
	    {302, "Moved Temporarily"},
	    {305, "Use Proxy"},
	    {380, "Alternative Service"},
	    {400, "Bad Request"},
	    {401, "Unauthorized"},
	    {402, "Payment Required"},
	    {403, "Forbidden"},
	    {404, "Not Found"},
	    {405, "Method Not Allowed"},
	    {406, "Not Acceptable"},
	    {407, "Proxy Authentication Required"},
	    {408, "Request Timeout"},
	    {410, "Gone"},
	    {412, "Conditional Request Failed"},
	    {413, "Request Entity Too Large"},
	    {414, "Request-URI Too Long"},
	    {415, "Unsupported Media Type"},
	    {416, "Unsupported URI Scheme"},
	    {417, "Unknown Resource-Priority"},
	    {420, "Bad Extension"},
	    {421, "Extension Required"},
	    {422, "Session Interval Too Small"},
	    {423, "Interval Too Brief"},
	    {424, "Bad Location Information"},
	    {428, "Use Identity Header"},
	    {429, "Provide Referrer Identity"},
	    {430, "Flow Failed"},
	    {433, "Anonymity Disallowed"},
	    {436, "Bad Identity Info"},
	    {437, "Unsupported Credential"},
	    {438, "Invalid Identity Header"},
	    {439, "First Hop Lacks Outbound Support"},
	    {440, "Max-Breadth Exceeded"},
	    {469, "Bad Info Package"},
	    {470, "Consent Needed"},
	    {480, "Temporarily Unavailable"},
	    {481, "Call/Transaction Does Not Exist"},
	    {482, "Loop Detected"},
	    {483, "Too Many Hops"},
	    {484, "Address Incomplete"},
	    {485, "Ambiguous"},
	    {486, "Busy Here"},
	    {487, "Request Terminated"},
	    {488, "Not Acceptable Here"},
	    {489, "Bad Event"},
	    {491, "Request Pending"},
	    {493, "Undecipherable"},
	    {494, "Security Agreement Required"},
	    {500, "Server Internal Error"},
	    {501, "Not Implemented"},
	    {502, "Bad Gateway"},
	    {503, "Service Unavailable"},
	    {504, "Server Time-out"},
	    {505, "Version Not Supported"},
	    {513, "Message Too Large"},
	    {555, "Push Notification Service Not Supported"},
	    {580, "Precondition Failure"},
	    {600, "Busy Everywhere"},
	    {603, "Decline"},
	    {604, "Does Not Exist Anywhere"},
	    {606, "Not Acceptable"},
	    {607, "Unwanted"},
	    {608, "Rejected"},
	};
	static const char *const classes[] = {"Progress", "Success", "Redirection", "Request Failure",
	    "Server Failure", "Global Failure"};
	size_t lo = 0, hi = ARRAY_LEN(texts);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (texts[mid].status == status)
			return str_z(texts[mid].text);
		if (texts[mid].status < status)
			lo = mid + 1;
		else
			hi = mid;
	}
	return status >= 100 && status <= 699 ? str_z(classes[status / 100 - 1]) : str_z("Unknown");
}
