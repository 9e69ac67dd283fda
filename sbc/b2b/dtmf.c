/* dtmf.c - digits in INFO requests, and what a trunk wants of them (RFC 6086; dtmf= of the trunk).
 *
 * Toward each leg there is one way: a trunk with dtmf=rtp gets events of its media, one with dtmf=info gets INFO, any other what
 * the far side has. What comes the other way than the trunk was said to have is a second telling of the same digit, and ends
 * here. An INFO for an rtp leg is answered by us and its digit handed to the media session; a digit of the media that ended
 * there, because its other leg wants INFO, becomes one (indialog.c).
 *
 * Digits may be a PIN: none of them is logged.
 */
#include "sbc/b2b/internal.h"

#include "sbc/sip/header.h"

#define DURATION_MS 160 /* of a digit that does not say */

/* "5", "*", "10" (star), "11" (hash); NUL: none */
static char digit_of(struct str s)
{
	uint32_t n;

	s = str_trim(s);
	if (s.n == 1 && (chr_digit(s.p[0]) || str_chr(S("*#ABCDabcd"), s.p[0]) >= 0))
		return s.p[0];
	if (s.n == 2 && str_u32(s, 15, &n) == 0 && n >= 10)
		return "*#ABCD"[n - 10];
	return '\0';
}

bool dtmf_read(const struct sip_msg *m, char *ret_digit, unsigned *ret_ms)
{
	bool relay = sip_body_is(m, S("application/dtmf-relay"));
	struct str rest = m->body, line, name;
	char digit = '\0';
	uint32_t ms = DURATION_MS, n;

	if (!relay && !sip_body_is(m, S("application/dtmf")))
		return false;
	while (rest.n) {
		rest = str_cut(rest, '\n', &line);
		if (str_chr(line, '=') < 0) { /* application/dtmf: nothing but the digit */
			if (!digit)
				digit = digit_of(line);
			continue;
		}
		line = str_cut(line, '=', &name);
		if (str_ieq(str_trim(name), S("Signal")))
			digit = digit_of(line);
		else if (str_ieq(str_trim(name), S("Duration")) && str_u32(str_trim(line), 60000, &n) == 0)
			ms = n;
	}
	if (!digit)
		return false;
	*ret_digit = digit;
	*ret_ms = ms;
	return true;
}

bool dtmf_info(struct leg *l, struct txn_srv *srv, const struct sip_msg *m)
{
	struct leg *peer = leg_peer(l);
	unsigned ms;
	char digit;

	if (!dtmf_read(m, &digit, &ms))
		return false;
	/* it has events, and has sent them (DTM-02: never twice) */
	if (l->trunk->media.dtmf != MEDIA_DTMF_RTP) {
		if (!peer || peer->trunk->media.dtmf != MEDIA_DTMF_RTP ||
		    !media_send_digit(l->call->media, peer->side, digit, ms))
			return false;
	}
	(void)leg_reply(l, srv, 200, STR_NONE, STR_NONE, STR_NONE);
	return true;
}

void dtmf_digit(void *ctx, enum media_side from, char digit, unsigned ms)
{
	struct call *c = ctx;
	struct leg *to = from == MEDIA_A ? c->b : c->a;
	char text[64];
	struct buf b;

	if (c->released || !to || to->state != LEG_UP || to->trunk->media.dtmf != MEDIA_DTMF_INFO)
		return;
	buf_init(&b, text, sizeof(text));
	buf_lit(&b, "Signal=");
	buf_chr(&b, digit);
	buf_fmt(&b, "\r\nDuration=%u\r\n", ms ? ms : DURATION_MS);
	indialog_info(to, S("application/dtmf-relay"), buf_text(&b));
}
