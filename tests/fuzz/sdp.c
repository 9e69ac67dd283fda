/* sdp.c - any bytes as the descriptions of a call: parse, memo, negotiate over a simulated relay.
 *
 * links: media
 *
 * The input is one byte of configuration, then steps separated by 0x1e. The first byte of a step says what it is:
 *     a b  an offer from that side, its text follows; the other side's offer is made
 *     r    an answer to it, its text follows; the offerer's answer is made
 *     = y  an answer made of our own offer; y: without its last line
 *     c x  commit, rollback      o p  our own offer to A, to B      s  side B starts again
 *
 * Holds: what parses has a memo that parses to the same memo; what we print parses; an answer has as many lines as its
 * offer; a stream that must be encrypted has keys, one that must not has none; a refusal changes neither state nor ports; an answer repeated is the same bytes; at the end nothing is left.
 */
#include <stdlib.h>

#include "media/session.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define OUT_MAX (4 * SDP_TEXT_MAX)

struct world {
	struct clock clock;
	struct timers timers;
	struct rng rng;
	struct env env;
	struct media *m;
	struct media_call *mc;
	struct media_side_cfg side[2];
	unsigned offered; /* m= lines of the open offer */
	char *out[2];     /* last description made for that side */
	size_t n_out[2];
	char *again;
};

static struct addr ip(const char *z)
{
	struct addr a;

	CHECK(addr_parse_ip(str_z(z), 0, &a) == 0);
	return a;
}

static void world_make(struct world *w)
{
	struct media_realm_cfg realms[2] = {
		{.name = S("a"), .ip4 = ip("127.0.0.1"), .ip6 = ip("::1"), .port_min = 20000, .port_max = 20199},
		{.name = S("b"), .ip4 = ip("127.0.0.2"), .port_min = 20000, .port_max = 20199},
	};
	struct media_cfg cfg = {.realms = realms, .n_realms = 2, .quarantine_ms = 1};
	enum reason why = REASON_NONE;

	timers_init(&w->timers, &w->clock);
	w->env = (struct env){.clock = &w->clock, .timers = &w->timers, .rng = &w->rng};
	w->m = media_new(&w->env, &cfg, &why);
	for (unsigned s = 0; s < 2; s++)
		w->out[s] = malloc(OUT_MAX);
	w->again = malloc(OUT_MAX);
	CHECK(w->m && w->out[0] && w->out[1] && w->again);
}

/* what we printed is understood; returns its m= lines */
static unsigned check_printed(struct world *w, enum media_side s)
{
	struct arena *a = arena_new(&w->m->exchanges);
	struct sdp_error err;
	struct sdp *sdp;
	unsigned n;

	CHECK(a);
	/* filling in rtpmap lines may make a description larger than what is taken */
	if (w->n_out[s] > SDP_TEXT_MAX) {
		arena_free(a);
		return UINT8_MAX;
	}
	CHECK(sdp_parse(a, str_n(w->out[s], w->n_out[s]), UINT8_MAX, &sdp, &err) == REASON_NONE);
	n = sdp->n_media;
	for (unsigned i = 0; i < n; i++) {
		const struct sdp_media *m = &sdp->media[i];

		if (m->port == 0)
			continue;
		CHECK(m->conn == SDP_CONN_IP && addr_is_loopback(&m->rtp) && m->port >= 20000 && m->port < 20200);
		CHECK(m->profile != SDP_PROFILE_OTHER);
		CHECK(!sdp_is_dtls(m) || (sdp_attr(m->attrs, S("fingerprint")) && sdp_attr(m->attrs, S("setup"))));
		CHECK(!sdp_is_rtp(m) || neg_main_codec(m));
		CHECK(!sdp_is_secure(m) || sdp_attr(m->attrs, S("crypto")));
		CHECK((w->side[s].srtp.mode != MEDIA_SRTP_REQUIRED && w->side[s].srtp.mode != MEDIA_SRTP_DTLS) || !sdp_is_rtp(m) ||
		      sdp_attr(m->attrs, S("crypto")) || sdp_attr(m->attrs, S("fingerprint")));
		CHECK(w->side[s].srtp.mode != MEDIA_SRTP_OFF || (!sdp_attr(m->attrs, S("crypto")) && !sdp_attr(m->attrs, S("fingerprint"))));
		for (unsigned k = 0; k < m->n_formats; k++)
			CHECK(w->side[s].dtmf != MEDIA_DTMF_INFO || !str_ieq(m->kind, S("audio")) ||
			      !str_ieq(m->formats[k].name, S("telephone-event")));
		CHECK(w->side[s].ice || (!sdp_attr(m->attrs, S("candidate")) && !m->ice));
		/* lite is of the session and counts for all, those without ICE too */
		CHECK(m->ice == !!sdp_attr(m->attrs, S("candidate")) && (!m->ice || sdp_attr(m->attrs, S("ice-lite"))));
		CHECK(w->side[s].srtp.mode != MEDIA_SRTP_DTLS || !sdp_attr(m->attrs, S("crypto")));
	}
	arena_free(a);
	return n;
}

static enum reason make(struct world *w, enum media_side s, char what)
{
	enum reason r;
	struct buf b;

	buf_init(&b, w->out[s], OUT_MAX);
	r = what == 'o'   ? media_local_offer(w->mc, s, &b)
	    : what == 'a' ? media_local_answer(w->mc, s, &b)
	                  : media_reoffer(w->mc, s, &b);
	if (r) {
		CHECK(b.n == 0);
		return r;
	}
	w->n_out[s] = b.n;
	if (what == 'r')
		return r;
	buf_init(&b, w->again, OUT_MAX);
	CHECK((what == 'o' ? media_local_offer(w->mc, s, &b) : media_local_answer(w->mc, s, &b)) == REASON_NONE);
	CHECK(b.n == w->n_out[s] && memcmp(w->again, w->out[s], b.n) == 0);
	return r;
}

static void check_memo(struct world *w, struct str text)
{
	struct arena *a = arena_new(&w->m->exchanges);
	struct sdp_error err;
	struct sdp *s;
	struct buf b, c;
	enum reason r;

	CHECK(a);
	r = sdp_parse(a, text, 16, &s, &err);
	CHECK(r == err.reason && err.why);
	if (!r) {
		buf_init(&b, w->out[0], OUT_MAX);
		sdp_memo(&b, s);
		CHECK(buf_err(&b) == 0);
		/* a memo may not be larger than what may be read */
		if (b.n <= SDP_TEXT_MAX) {
			CHECK(sdp_parse(a, buf_text(&b), 16, &s, &err) == REASON_NONE);
			buf_init(&c, w->again, OUT_MAX);
			sdp_memo(&c, s);
			CHECK(str_eq(buf_text(&b), buf_text(&c)));
		}
	}
	arena_free(a);
}

static void offer(struct world *w, enum media_side x, struct str text)
{
	enum media_state was = media_state(w->mc);
	unsigned pairs = media_pairs_in_use(w->m);
	const char *p = text.p;

	check_memo(w, text);
	if (media_remote_offer(w->mc, x, text)) {
		CHECK(media_state(w->mc) == was && media_pairs_in_use(w->m) == pairs);
		return;
	}
	w->offered = 0;
	for (size_t i = 0; i < text.n; i++)
		w->offered += (i == 0 || p[i - 1] == '\n') && i + 1 < text.n && p[i] == 'm' && p[i + 1] == '=';
	pairs = media_pairs_in_use(w->m);
	if (make(w, media_other(x), 'o'))
		CHECK(media_state(w->mc) == MEDIA_OFFERED && media_pairs_in_use(w->m) == pairs);
	else
		check_printed(w, media_other(x));
}

static void answer(struct world *w, struct str text)
{
	enum media_state was = media_state(w->mc);
	unsigned pairs = media_pairs_in_use(w->m);
	enum media_side x = media_offerer(w->mc);

	if (was == MEDIA_IDLE)
		return;
	if (media_remote_answer(w->mc, media_other(x), text)) {
		CHECK(media_state(w->mc) == was && media_pairs_in_use(w->m) == pairs);
		return;
	}
	if (make(w, x, 'a') == REASON_NONE) {
		unsigned n = check_printed(w, x);

		CHECK(n == w->offered || n == UINT8_MAX);
	}
}

/* our offer as its own answer */
static void echo(struct world *w, bool cut)
{
	enum media_side y = media_other(media_offerer(w->mc));
	struct str text;
	char *copy;

	if (media_state(w->mc) < MEDIA_OFFER_SENT || w->n_out[y] == 0 || w->n_out[y] > SDP_TEXT_MAX)
		return;
	copy = malloc(w->n_out[y]);
	CHECK(copy);
	memcpy(copy, w->out[y], w->n_out[y]);
	text = str_n(copy, w->n_out[y]);
	while (cut && text.n > 2 && text.p[text.n - 3] != '\n')
		text.n--;
	answer(w, cut && text.n > 2 ? str_head(text, text.n - 2) : text);
	free(copy);
}

static void look(struct world *w)
{
	for (unsigned i = 0; i <= media_stream_count(w->mc); i++)
		for (unsigned s = 0; s < 2; s++) {
			struct media_stream_info info;
			struct media_stats stats;
			struct media_judged judged;

			if (media_stream(w->mc, s, i, &info, &stats)) {
				CHECK(memchr(info.kind, 0, sizeof(info.kind)) && memchr(info.codec, 0, sizeof(info.codec)));
				media_judge(w->mc, s, i, &info, &stats, &judged);
				CHECK(judged.in < MEDIA_VERDICTS && judged.out < MEDIA_VERDICTS);
			}
			CHECK(media_silent_us(w->mc, s) >= 0);
		}
}

static void step(struct world *w, struct str s)
{
	struct str text = str_from(s, 1);
	unsigned pairs = media_pairs_in_use(w->m);

	switch (s.p[0]) {
	case 'a':
	case 'b':
		offer(w, s.p[0] == 'a' ? MEDIA_A : MEDIA_B, text);
		break;
	case 'r':
		answer(w, text);
		break;
	case '=':
	case 'y':
		echo(w, s.p[0] == 'y');
		break;
	case 'c':
		media_commit(w->mc);
		CHECK(media_state(w->mc) == MEDIA_IDLE && w->m->exchanges.live_bytes == 0);
		break;
	case 'x':
		media_rollback(w->mc);
		CHECK(media_state(w->mc) == MEDIA_IDLE && w->m->exchanges.live_bytes == 0);
		break;
	case 'o':
	case 'p':
		if (make(w, s.p[0] == 'p', 'r'))
			CHECK(media_pairs_in_use(w->m) == pairs);
		else
			check_printed(w, s.p[0] == 'p');
		break;
	case 's':
		w->n_out[MEDIA_B] = 0;
		CHECK(media_side_open(w->mc, MEDIA_B, &w->side[MEDIA_B]) == REASON_NONE);
		break;
	default:
		break;
	}
	w->clock.mono_us += 2000;
	look(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const lists[4] = {"", "PCMA PCMU telephone-event", "opus/48000/2 PCMU", "PCMA G729 H264 VP8 rtx"};
	static struct world *w; /* one for all inputs: a relay is costly to make */
	struct str rest = str_n((const char *)p, n), s;

	if (n == 0)
		return 0;
	if (!w) {
		w = calloc(1, sizeof(*w));
		CHECK(w);
		world_make(w);
	}
	rng_init_seeded(&w->rng, p[0]);
	w->n_out[0] = w->n_out[1] = 0;
	for (unsigned i = 0; i < 2; i++)
		w->side[i] = (struct media_side_cfg){
			.realm = (uint8_t)i,
			.family = i == 0 && (p[0] & 0x80) ? AF_INET6 : AF_INET,
			.latch = p[0] & 0x40 ? MEDIA_LATCH_AUTO : MEDIA_LATCH_OFF,
			.signalling = p[0] & 0x20 ? ip("127.0.0.9") : ip("192.0.2.9"),
			.codecs = str_z(lists[p[0] >> (2 * i) & 3]),
			.timeout_s = 60,
			.srtp = {.mode = (enum media_srtp)rng_below(&w->rng, 4), .private = rng_below(&w->rng, 8) != 0},
			.ice = rng_below(&w->rng, 2) != 0,
			.dtmf = (enum media_dtmf)rng_below(&w->rng, 3),
		};
	w->mc = media_call_new(w->m, S("fuzz"));
	CHECK(w->mc);
	CHECK(media_side_open(w->mc, MEDIA_A, &w->side[0]) == REASON_NONE);
	CHECK(media_side_open(w->mc, MEDIA_B, &w->side[1]) == REASON_NONE);
	for (rest = str_from(rest, 1); rest.n;) {
		rest = str_cut(rest, 0x1e, &s);
		if (s.n)
			step(w, s);
	}
	media_call_free(w->mc);
	CHECK(media_pairs_in_use(w->m) == 0 && media_call_count(w->m) == 0);
	CHECK(w->m->exchanges.live_bytes == 0 && w->m->view_bytes == 0);
	return 0;
}
