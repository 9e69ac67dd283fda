/* print.c - writing the pieces that every outgoing message has (RFC 3261 8.2.6.2, 18.2.1, RFC 3581).
 *
 * What is echoed (Via, From, To, Call-ID, CSeq) is written from the raw values of the request, which hold no CR,
 * LF or stray control characters: sip_parse() puts no header with one into its table, whatever it returns. So a
 * request can be answered without being understood, and an answer cannot be split by what is echoed.
 */
#include "sbc/sip/print.h"

#include "sbc/sip/chars.h"

static bool printable(char c)
{
	return (unsigned char)c >= 0x20 && c != 0x7f;
}

static void put_quoted_char(struct buf *b, char c)
{
	if (!printable(c))
		return;
	if (c == '"' || c == '\\')
		buf_chr(b, '\\');
	buf_chr(b, c);
}

void sip_put_display(struct buf *b, struct str display)
{
	bool quoted;

	display = sip_trim(display);
	if (display.n == 0)
		return;
	quoted = display.n >= 2 && display.p[0] == '"' &&
	         sip_skip_quoted(display.p, display.p + display.n) == display.p + display.n;
	if (quoted)
		display = str_n(display.p + 1, display.n - 2);
	if (display.n == 0)
		return;
	buf_chr(b, '"');
	for (size_t i = 0; i < display.n; i++) {
		if (quoted && display.p[i] == '\\' && i + 1 < display.n)
			i++;
		put_quoted_char(b, display.p[i]);
	}
	buf_lit(b, "\" ");
}

void sip_put_name_addr(struct buf *b, struct str display, struct str uri)
{
	sip_put_display(b, display);
	buf_chr(b, '<');
	buf_str(b, uri);
	buf_chr(b, '>');
}

void sip_put_user(struct buf *b, struct str user)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < user.n; i++) {
		unsigned char c = (unsigned char)user.p[i];

		if (sip_is(user.p[i], SIP_C_PLAIN)) {
			buf_chr(b, user.p[i]);
		} else {
			char t[3] = {'%', digits[c >> 4], digits[c & 15]};

			buf_put(b, t, sizeof(t));
		}
	}
}

void sip_put_uri_number(struct buf *b, enum sip_scheme scheme, struct str number, struct str host,
    uint16_t port, struct str transport, bool phone)
{
	if (scheme == SIP_SCHEME_TEL) {
		buf_lit(b, "tel:");
		sip_put_user(b, number);
		if (number.n && number.p[0] != '+' && host.n) {
			buf_lit(b, ";phone-context=");
			buf_str(b, host);
		}
		return;
	}
	buf_str(b, scheme == SIP_SCHEME_SIPS ? S("sips:") : S("sip:"));
	if (number.n) {
		sip_put_user(b, number);
		buf_chr(b, '@');
	}
	buf_str(b, host);
	if (port) {
		buf_chr(b, ':');
		buf_u64(b, port);
	}
	if (transport.n) {
		buf_lit(b, ";transport=");
		buf_str(b, transport);
	}
	if (phone)
		buf_lit(b, ";user=phone");
}

/* "received=192.0.2.1": without brackets, which is what everybody reads (RFC 5118 4.5) */
static void put_received(struct buf *b, const struct addr *source)
{
	struct str ip = addr_ip_bytes(source);

	buf_lit(b, "received=");
	if (addr_is6(source) && ip.n == 4) {
		for (size_t i = 0; i < 4; i++) { /* a mapped address is an IPv4 one on a dual socket */
			if (i)
				buf_chr(b, '.');
			buf_u64(b, (unsigned char)ip.p[i]);
		}
	} else {
		addr_put_ip(b, source);
	}
}

static bool sent_by_is(const struct sip_via *via, const struct addr *source)
{
	struct sip_uri u = {.host = via->host};
	struct addr a;

	return sip_uri_addr(&u, &a) && addr_eq_ip(&a, source);
}

void sip_put_via_fixed(struct buf *b, const struct sip_via *via, const struct addr *source,
    bool *ret_changed)
{
	size_t start = b->n;
	bool want_received, has_received = false, changed = false;
	struct str rest = via->params, name, value;
	const char *written; /* all of raw before it is in b */

	if (via->host.n && !addr_none(source)) {
		want_received = via->has_rport || via->received.n || !sent_by_is(via, source);
		written = via->raw.p;
		while (sip_param_next(&rest, &name, &value)) {
			const char *end = value.p ? value.p + value.n : name.p + name.n;
			bool rport = str_ieq(name, S("rport"));

			if (!rport && !str_ieq(name, S("received")))
				continue;
			buf_put(b, written, (size_t)(name.p - written));
			written = end;
			if (rport) {
				buf_lit(b, "rport=");
				buf_u64(b, addr_port(source));
			} else {
				put_received(b, source);
				has_received = true;
			}
		}
		buf_put(b, written, (size_t)(via->raw.p + via->raw.n - written));
		if (want_received && !has_received) {
			buf_chr(b, ';');
			put_received(b, source);
		}
		if (!buf_err(b))
			changed = !str_eq(str_n(b->p + start, b->n - start), via->raw);
	} else {
		buf_str(b, via->raw);
	}
	if (ret_changed)
		*ret_changed = changed;
}

static void put_line(struct buf *b, struct str name, struct str value)
{
	buf_str(b, name);
	buf_lit(b, ": ");
	buf_str(b, value);
	buf_lit(b, "\r\n");
}

void sip_put_hdr(struct buf *b, enum sip_hdr_id id, struct str value)
{
	put_line(b, sip_hdr_name(id), value);
}

void sip_put_vias(struct buf *b, const struct sip_msg *m, struct str top_via)
{
	for (const struct sip_hdr *h = sip_hdr(m, SIP_H_VIA); h; h = sip_hdr_next(m, h)) {
		struct str value = h->value;

		buf_lit(b, "Via: ");
		if (top_via.n && m->via.raw.p) {
			const char *after = m->via.raw.p + m->via.raw.n;

			/* the first value may stand behind empty ones, in a later line than the first */
			if (value.p <= m->via.raw.p && after <= value.p + value.n) {
				buf_str(b, top_via);
				value = str_n(after, (size_t)(value.p + value.n - after));
				top_via = STR_NONE;
			}
		}
		buf_str(b, value);
		buf_lit(b, "\r\n");
	}
}

static void put_first(struct buf *b, const struct sip_msg *m, enum sip_hdr_id id)
{
	const struct sip_hdr *h = sip_hdr(m, id);

	if (h)
		sip_put_hdr(b, id, h->value);
}

void sip_put_response_head_via(struct buf *b, const struct sip_msg *req, struct str top_via,
    unsigned status, struct str phrase, struct str to_tag)
{
	const struct sip_hdr *to = sip_hdr(req, SIP_H_TO);

	if (phrase.n == 0)
		phrase = sip_status_text(status);
	buf_lit(b, "SIP/2.0 ");
	buf_u64(b, status);
	buf_chr(b, ' ');
	for (size_t i = 0; i < phrase.n; i++)
		if (printable(phrase.p[i]))
			buf_chr(b, phrase.p[i]);
	buf_lit(b, "\r\n");
	sip_put_vias(b, req, top_via);
	put_first(b, req, SIP_H_FROM);
	if (to) {
		buf_lit(b, "To: ");
		buf_str(b, to->value);
		if (to_tag.n && req->to.tag.n == 0) {
			buf_lit(b, ";tag=");
			buf_str(b, to_tag);
		}
		buf_lit(b, "\r\n");
	}
	put_first(b, req, SIP_H_CALL_ID);
	put_first(b, req, SIP_H_CSEQ);
}

void sip_put_response_head(struct buf *b, const struct sip_msg *req, unsigned status, struct str phrase,
    struct str to_tag)
{
	sip_put_response_head_via(b, req, STR_NONE, status, phrase, to_tag);
}

void sip_put_body(struct buf *b, struct str type, struct str body)
{
	if (body.n && type.n)
		sip_put_hdr(b, SIP_H_CONTENT_TYPE, type);
	buf_lit(b, "Content-Length: ");
	buf_u64(b, body.n);
	buf_lit(b, "\r\n\r\n");
	buf_str(b, body);
}
