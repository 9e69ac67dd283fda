/* frame.c - finding the end of a message in a stream (RFC 3261 7.5, 18.3; RFC 5626 3.5.1).
 *
 * Happy path: the search for the empty line goes on where it stopped; once it is found the Content-Length of the
 * head is read, and the message is complete when that many bytes have come. Line ends before a start line are
 * keep-alives (two of them: a ping) or padding.
 *
 * What can go wrong: a length that cannot be trusted. Then nobody knows where the next message begins, and the
 * connection is of no more use: SIP_FRAME_BAD, with the head so that it can be answered.
 */
#include "sbc/sip/frame.h"

#include "sbc/sip/chars.h"
#include "sbc/sip/msg.h"

/* Can the line at p be Content-Length or its short form? Where end is too near to say, it can. */
static bool may_be_length(const char *p, const char *end)
{
	char c = chr_lower(*p);

	return c == 'l' || (c == 'c' && (end - p < 9 || chr_lower(p[8]) == 'l'));
}

/* Lines that can say how long a body is. */
struct lengths {
	const char *at; /* the last one */
	unsigned n;
};

/* Where the first "\r\n\r\n" of n bytes stands; NULL: nowhere. A head has few CRs, so one is looked for and then looked at;
 * *ret: of the lines on the way. */
static const char *empty_line(const char *p, size_t n, struct lengths *ret)
{
	const char *end = p + n;

	*ret = (struct lengths){.at = p, .n = may_be_length(p, end)};
	while ((p = memchr(p, '\r', (size_t)(end - p))) && end - p >= 4) {
		if (memcmp(p, "\r\n\r\n", 4) == 0)
			return p;
		if (p[1] == '\n' && may_be_length(p + 2, end)) {
			ret->at = p + 2;
			ret->n++;
		}
		p++;
	}
	return NULL;
}

/* Behind the line, with its folds, that head begins with. */
static size_t line_len(struct str head)
{
	size_t end = 0;

	while (end < head.n) {
		const char *lf = memchr(head.p + end, '\n', head.n - end);

		if (!lf)
			return head.n;
		end = (size_t)(lf - head.p) + 1;
		if (end >= 2 && lf[-1] == '\r' && (end == head.n || !sip_is_ws(head.p[end])))
			break;
	}
	return end;
}

/* 0: found and fine (*ret_len); 1: none; -1: not usable */
static int content_length(struct str head, size_t *ret_len)
{
	bool found = false;
	uint32_t len = 0, n;

	while (head.n) {
		struct str line = str_head(head, line_len(head)), name, value;
		size_t i = 0;

		head = str_from(head, line.n);
		if (!may_be_length(line.p, line.p + line.n))
			continue;
		while (i < line.n && sip_is(line.p[i], SIP_C_TOKEN))
			i++;
		name = str_head(line, i);
		while (i < line.n && sip_is_ws(line.p[i]))
			i++;
		if (i == line.n || line.p[i] != ':' || sip_hdr_parse(name) != SIP_H_CONTENT_LENGTH)
			continue;
		value = str_trim(str_from(line, i + 1));
		if (str_u32(value, UINT32_MAX, &n) < 0 || (found && n != len))
			return -1;
		len = n;
		found = true;
	}
	*ret_len = len;
	return found ? 0 : 1;
}

enum sip_frame_kind sip_frame(struct sip_framer *f, const char *p, size_t n, size_t *ret_len,
    enum reason *ret_reason)
{
	if (f->head_len == 0) {
		static const char ping[] = "\r\n\r\n";
		size_t from = f->scanned > 3 ? f->scanned - 3 : 0;
		struct lengths lengths;
		struct str lines;
		const char *end;

		if (n == 0)
			return SIP_FRAME_MORE;
		if (p[0] == '\r' && (n < 2 || p[1] == '\n')) {
			if (memcmp(p, ping, n < 4 ? n : 4) != 0) {
				*ret_len = 2;
				return SIP_FRAME_SKIP;
			}
			if (n < 4)
				return SIP_FRAME_MORE; /* half a ping, or padding */
			*ret_len = 4;
			return SIP_FRAME_PING;
		}
		end = empty_line(p + from, n - from, &lengths);
		f->scanned = n;
		if (!end && n <= SIP_HEAD_MAX)
			return SIP_FRAME_MORE;
		if (!end || end + 4 - p > SIP_HEAD_MAX) {
			*ret_len = end ? (size_t)(end + 4 - p) : n;
			*ret_reason = REASON_TOO_LARGE;
			return SIP_FRAME_BAD;
		}
		f->head_len = (size_t)(end + 4 - p);
		lines = str_n(p, f->head_len);
		if (from == 0 && lengths.n <= 1) { /* all of it was looked at, and nearly always just one can be it */
			lines = lengths.n ? str_from(lines, (size_t)(lengths.at - p)) : STR_NONE;
			lines = str_head(lines, line_len(lines));
		}
		if (content_length(lines, &f->body_len) != 0) {
			*ret_len = f->head_len;
			*ret_reason = REASON_BAD_LENGTH;
			return SIP_FRAME_BAD;
		}
		if (f->body_len > SIP_MSG_MAX - f->head_len) {
			*ret_len = f->head_len;
			*ret_reason = REASON_TOO_LARGE;
			return SIP_FRAME_BAD;
		}
	}
	if (n - f->head_len < f->body_len)
		return SIP_FRAME_MORE;
	*ret_len = f->head_len + f->body_len;
	return SIP_FRAME_MSG;
}
