/* dtmf.c - digits: how a side has them, in its session and on its way (RFC 4733, RFC 6086).
 *
 * A side's mode says how digits reach it, and how it sends them:
 *     pass  as the other side sends them: events as events, INFO as INFO
 *     rtp   as events of its RTP, whatever the other one does
 *     info  as INFO requests; its session has no events
 * So an `info` side is offered no telephone-event and told none; an `rtp` side is offered one when the other side has none; and
 * who offers events to us while the other side is `info` keeps them: they end here and go on as INFO. Between two `pass` sides
 * nothing is changed.
 *
 * Events that end here go up from the worker (relay.h), once for each digit, when it is over. Digits for an `rtp` side travel in
 * the place of packets of the stream that goes there.
 */
#include "media/session.h"

#include "media/codec.h"

static bool is_event(const struct sdp_format *f)
{
	return str_ieq(f->name, S("telephone-event"));
}

static const struct sdp_format *first_event(const struct sdp_media *m)
{
	for (unsigned i = 0; i < m->n_formats; i++)
		if (is_event(&m->formats[i]))
			return &m->formats[i];
	return NULL;
}

bool media_has_events(const struct sdp_media *m)
{
	return m && first_event(m);
}

static void remove_events(struct sdp_media *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->n_formats; i++)
		if (!is_event(&m->formats[i]))
			m->formats[n++] = m->formats[i];
	m->n_formats = n;
}

static enum reason add_format(struct arena *a, struct sdp_media *m, const struct sdp_format *f)
{
	struct sdp_format *v = arena_alloc(a, (m->n_formats + 1u) * sizeof(*v));

	if (!v)
		return REASON_NO_MEMORY;
	memcpy(v, m->formats, m->n_formats * sizeof(*v));
	v[m->n_formats++] = *f;
	m->formats = v;
	return REASON_NONE;
}

static bool is_audio(const struct sdp_media *m)
{
	return sdp_is_rtp(m) && str_ieq(m->kind, S("audio")) && neg_main_codec(m);
}

enum reason media_dtmf_offer(const struct media_call *mc, enum media_side to, const struct neg_hist *hist, uint8_t slot,
    struct arena *a, struct sdp_media *m)
{
	struct sdp_format f = {.name = S("telephone-event"), .fmtp = S("0-15"), .channels = 1};

	if (!is_audio(m))
		return REASON_NONE;
	if (mc->side[to].dtmf == MEDIA_DTMF_INFO)
		remove_events(m);
	if (mc->side[to].dtmf != MEDIA_DTMF_RTP || first_event(m))
		return REASON_NONE;
	f.clock_hz = neg_main_codec(m)->clock_hz; /* RFC 4733 2.1: that of the audio beside */
	f.pt = neg_free_number(m, hist, slot, &f);
	return f.pt == NEG_PT_NONE || m->n_formats == SDP_FORMATS_MAX ? REASON_NONE : add_format(a, m, &f);
}

enum reason media_dtmf_answer(const struct media_call *mc, enum media_side to, const struct sdp_media *offer, struct arena *a,
    struct sdp_media *m)
{
	const struct sdp_format *f;

	if (!is_audio(m))
		return REASON_NONE;
	if (mc->side[to].dtmf == MEDIA_DTMF_INFO) {
		remove_events(m);
		return REASON_NONE;
	}
	f = first_event(offer);
	if (mc->side[media_other(to)].dtmf != MEDIA_DTMF_INFO || !f || first_event(m) || codec_rank(mc->side[to].codecs, f) < 0)
		return REASON_NONE;
	return add_format(a, m, f);
}

/* does told have something else by the number of f? */
static bool another(const struct sdp_media *told, const struct sdp_format *f)
{
	for (unsigned i = 0; i < told->n_formats; i++)
		if (told->formats[i].pt == f->pt)
			return !is_event(&told->formats[i]);
	return false;
}

void media_dtmf_program(const struct media_call *mc, enum media_side from, const struct sdp_media *told,
    const struct sdp_media *remote, const struct sdp_media *dest, struct relay_program *p)
{
	enum media_side to = media_other(from);
	const struct sdp_format *codec = neg_main_codec(dest);

	p->event_pt = RELAY_PT_DROP;
	if (!is_audio(remote) || !codec)
		return;
	if (mc->side[to].dtmf == MEDIA_DTMF_INFO && told && first_event(told))
		for (unsigned k = 0; k < 2; k++) {
			const struct sdp_media *m = k ? remote : told;

			for (unsigned i = 0; i < m->n_formats; i++)
				if (is_event(&m->formats[i]) && (!k || !another(told, &m->formats[i])))
					p->pt_map[m->formats[i].pt] = RELAY_PT_EVENT;
		}
	for (unsigned i = 0; mc->side[to].dtmf == MEDIA_DTMF_RTP && i < dest->n_formats; i++)
		if (is_event(&dest->formats[i]) && (p->event_pt == RELAY_PT_DROP || dest->formats[i].clock_hz == codec->clock_hz))
			p->event_pt = dest->formats[i].pt;
}

static const char digits[] = "0123456789*#ABCD"; /* by event (RFC 4733 3.2) */

void media_on_digit(struct media_call *mc, media_digit_fn *fn, void *ctx)
{
	mc->digit = fn;
	mc->digit_ctx = ctx;
}

void media_event(void *ctx, const struct relay_pair *at, uint8_t event, uint16_t ms)
{
	struct media_call *mc = ctx;
	const struct view *v = media_view(mc);

	if (!mc->digit || event >= sizeof(digits) - 1)
		return;
	for (unsigned i = 0; i < v->n_streams; i++)
		for (unsigned s = 0; s < 2; s++)
			if (v->streams[i].pair[s] == at) {
				mc->digit(mc->digit_ctx, (enum media_side)s, digits[event], ms);
				return;
			}
}

bool media_send_digit(struct media_call *mc, enum media_side to, char digit, unsigned ms)
{
	const struct view *v = media_view(mc);
	const char *at = digit ? strchr(digits, digit >= 'a' && digit <= 'd' ? digit - 'a' + 'A' : digit) : NULL;

	for (unsigned i = 0; at && i < v->n_streams; i++) {
		const struct stream *st = &v->streams[i];

		if (st->live && st->events[to] && st->pair[media_other(to)])
			return relay_pair_digit(st->pair[media_other(to)], (uint8_t)(at - digits), (uint16_t)(ms > 60000 ? 60000 : ms));
	}
	return false;
}
