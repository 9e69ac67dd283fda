/* verdict.c - what a person should know of one direction, out of its counters.
 *
 * The first rule that holds speaks. Nothing comes: what is dropped says why, the most telling first, since a wrong source
 * or payload type is the cause and silence only the effect. A few packets of a stranger are no cause: the noise of the
 * Internet arrives at every port. Something comes: is it good.
 *
 * Silence in a call that was fine is a fault only when nothing explains it. The last packet was comfort noise (a payload of
 * a few bytes): silence suppression. Reports go on and count no more packets: the sender pauses (mute). Reports go on and
 * count: packets are lost on the way, whoever sends them.
 *
 * What a far end hears is known by its own reports, and by ICMP. One report without news may be older than the packets, so
 * three in a row are asked for; ICMP has to last, because the last packets of every call find the port closed.
 */
#include "media/verdict.h"

#include "media/codec.h"
#include "media/crypt.h"
#include "media/quality.h"
#include "media/session.h"

#define START_US 3000000  /* a far end may take this long to begin */
#define STOPPED_US 5000000
#define TURN_US 30000000  /* a fax waits for an answer tone of the other, and gives up after 35 s */
#define QUIET_US 60000000 /* silence suppression that lasts longer explains nothing */
#define REPORTS_US 20000000 /* reports are not older than that */
#define JITTER_BAD_US 60000
#define UNREADABLE_US 1000000
#define FAR_LOST_BAD 13 /* of 256 */
#define ENOUGH 10       /* packets that are no stray ones */
#define SID_BYTES 11    /* payload of comfort noise and silence descriptors, at most (RFC 3389, 4867 ...) */
#define DEAF_REPORTS 3
#define ICMP_US 2000000

static const struct media_verdict_info infos[] = {
#define VERDICT(name, is_bad, t, r) [MEDIA_VERDICT_##name] = {.word = #name, .text = t, .remedy = r, .bad = is_bad},
#include "media/verdict.def"
#undef VERDICT
};

const struct media_verdict_info *media_verdict_info(enum media_verdict v)
{
	return &infos[(size_t)v < ARRAY_LEN(infos) ? v : MEDIA_VERDICT_NO_STREAM];
}

/* Why nothing is accepted that came after `after_us` (0: ever); OK: the drops do not say. */
static enum media_verdict why_dropped(const struct media_stats *st, int64_t after_us)
{
	bool ever = after_us == 0;

	if (st->drops[RELAY_DROP_SOURCE] >= ENOUGH && st->refused.source_us > after_us)
		return ever ? MEDIA_VERDICT_SOURCE : MEDIA_VERDICT_SOURCE_MOVED;
	if (st->drops[RELAY_DROP_PT] >= ENOUGH && st->refused.pt_us > after_us)
		return MEDIA_VERDICT_CODEC;
	if (!ever)
		return MEDIA_VERDICT_OK;
	if (st->drops[RELAY_DROP_AUTH] >= ENOUGH)
		return MEDIA_VERDICT_UNREADABLE;
	if (st->drops[RELAY_DROP_CRYPT] >= ENOUGH)
		return MEDIA_VERDICT_KEY_UNUSABLE;
	if (st->drops[RELAY_DROP_NOT_RTP] >= ENOUGH)
		return MEDIA_VERDICT_NOT_RTP;
	if (st->drops[RELAY_DROP_VERSION] + st->drops[RELAY_DROP_SHORT] >= ENOUGH)
		return MEDIA_VERDICT_DAMAGED;
	return MEDIA_VERDICT_OK;
}

static enum media_verdict why_nothing(const struct media_stats *st, const struct verdict_case *c, int64_t *ret_since_us)
{
	enum media_verdict why = why_dropped(st, 0);
	int64_t open_us = c->on_us > c->up_us ? c->on_us : c->up_us;

	if (st->ice == MEDIA_ICE_WAITS && c->up_us && c->now_us - open_us >= START_US)
		return st->drops[RELAY_DROP_STUN] ? MEDIA_VERDICT_ICE_NAMES : MEDIA_VERDICT_ICE_SILENT;
	if (st->ice && why == MEDIA_VERDICT_SOURCE)
		return MEDIA_VERDICT_ICE_SOURCE;
	if (st->dtls == MEDIA_DTLS_WAITS && why != MEDIA_VERDICT_SOURCE && c->up_us && c->now_us - open_us >= START_US)
		return MEDIA_VERDICT_DTLS_WAITS;
	if (why != MEDIA_VERDICT_OK)
		return why;
	if (!c->up_us)
		return MEDIA_VERDICT_EARLY;
	if (c->now_us - open_us < (c->by_turns ? TURN_US : START_US))
		return MEDIA_VERDICT_WAITING;
	*ret_since_us = open_us;
	if (st->far_sends_us > open_us && c->now_us - open_us > STOPPED_US)
		return MEDIA_VERDICT_LOST_ON_WAY;
	return st->rtcp_rx ? MEDIA_VERDICT_SILENT_RTCP : MEDIA_VERDICT_SILENT;
}

static enum media_verdict why_stopped(const struct media_stats *st, const struct verdict_case *c)
{
	enum media_verdict why = why_dropped(st, st->last_rtp_us);

	if (why != MEDIA_VERDICT_OK)
		return why;
	/* a report comes every five seconds or so: one may have been on its way with the last packets */
	if (st->far_sends_us - st->last_rtp_us > STOPPED_US)
		return MEDIA_VERDICT_LOST_ON_WAY;
	if (st->last_rx_us > st->last_rtp_us && c->now_us - st->last_rx_us < REPORTS_US)
		return MEDIA_VERDICT_PAUSED;
	if (st->last_payload <= SID_BYTES && c->now_us - st->last_rtp_us < QUIET_US)
		return MEDIA_VERDICT_QUIET;
	return MEDIA_VERDICT_STOPPED;
}

/* Packets come: are they good? */
static enum media_verdict how_good(const struct media_stats *st)
{
	uint64_t refused = st->drops[RELAY_DROP_SOURCE] + st->drops[RELAY_DROP_PT] + st->drops[RELAY_DROP_AUTH] +
	                   st->drops[RELAY_DROP_CRYPT];

	if (st->drops[RELAY_DROP_SEND] > st->rx_packets / 20)
		return MEDIA_VERDICT_SEND;
	if (st->drops[RELAY_DROP_NO_DEST] > st->rx_packets / 2 && st->rx_packets > ENOUGH)
		return MEDIA_VERDICT_NO_DEST;
	if (refused > st->rx_packets) {
		if (st->drops[RELAY_DROP_AUTH] * 2 > refused)
			return MEDIA_VERDICT_UNREADABLE_MOST;
		return st->drops[RELAY_DROP_PT] * 2 > refused ? MEDIA_VERDICT_CODEC : MEDIA_VERDICT_REFUSED_MOST;
	}
	if (st->lost > 0 && (uint64_t)st->lost > (st->rx_packets + (uint64_t)st->lost) / 20)
		return MEDIA_VERDICT_LOSS;
	if (st->jitter_us > JITTER_BAD_US)
		return MEDIA_VERDICT_JITTER;
	if (st->drift_ppm)
		return MEDIA_VERDICT_DRIFT;
	switch (st->rx_guess) {
	case CRYPT_GUESS_RESTARTED:
		return MEDIA_VERDICT_OK_ROC_RESTARTED;
	case CRYPT_GUESS_KEPT:
		return MEDIA_VERDICT_OK_ROC_KEPT;
	case CRYPT_GUESS_AHEAD:
		return MEDIA_VERDICT_OK_ROC_AHEAD;
	default:
		return st->latched ? MEDIA_VERDICT_OK_NAT : MEDIA_VERDICT_OK;
	}
}

enum media_verdict verdict_in(const struct media_stats *st, const struct verdict_case *c, int64_t *ret_since_us,
    uint16_t *ret_change)
{
	enum media_verdict v;

	*ret_since_us = 0;
	*ret_change = 0;
	if (!c->active)
		return MEDIA_VERDICT_NO_STREAM;
	if (st->dtls_why)
		return st->dtls_why == REASON_DTLS_FINGERPRINT ? MEDIA_VERDICT_DTLS_CERTIFICATE : MEDIA_VERDICT_DTLS_FAILED;
	if (c->on_us == 0)
		return MEDIA_VERDICT_HELD;
	if (st->rx_packets == 0) {
		v = why_nothing(st, c, ret_since_us);
	} else if (st->unreadable_us && c->now_us - st->unreadable_us > UNREADABLE_US) {
		*ret_since_us = st->unreadable_us;
		v = MEDIA_VERDICT_UNREADABLE_NOW;
	} else if (!c->by_turns && c->now_us - st->last_rtp_us > STOPPED_US && c->now_us - c->on_us > STOPPED_US &&
	           (!c->up_us || c->now_us - c->up_us > STOPPED_US)) {
		*ret_since_us = st->last_rtp_us > c->on_us ? st->last_rtp_us : c->on_us;
		v = c->up_us ? why_stopped(st, c) : MEDIA_VERDICT_OK; /* early media has an end */
	} else {
		v = how_good(st);
	}
	/* The packets of before may come for a moment after the exchange that ended them. */
	if (infos[v].bad && *ret_since_us && c->changes && *ret_since_us >= c->changed_us - START_US &&
	    *ret_since_us <= c->changed_us + START_US)
		*ret_change = c->changes;
	return v;
}

enum media_verdict verdict_out(const struct media_stats *st, const struct verdict_case *c, int64_t *ret_since_us)
{
	*ret_since_us = 0;
	if (!c->active)
		return MEDIA_VERDICT_NO_STREAM;
	if (c->on_us == 0)
		return MEDIA_VERDICT_HELD;
	if (st->tx_packets == 0)
		return MEDIA_VERDICT_NOTHING_SENT;
	if (st->unreachable.last_us - st->unreachable.since_us >= ICMP_US &&
	    c->now_us - st->unreachable.last_us < STOPPED_US) {
		*ret_since_us = st->unreachable.since_us;
		return MEDIA_VERDICT_UNREACHABLE;
	}
	if (st->deaf_reports >= DEAF_REPORTS) {
		*ret_since_us = st->deaf_us;
		return MEDIA_VERDICT_DEAF;
	}
	return st->far_lost > FAR_LOST_BAD ? MEDIA_VERDICT_FAR_LOSS : MEDIA_VERDICT_OK;
}

/* --- in words --- */

static void put_since(struct buf *b, const struct media_judged *j, int64_t since_us)
{
	if (since_us && j->at_us > since_us)
		buf_fmt(b, ", for %llu s", (unsigned long long)((j->at_us - since_us) / 1000000));
}

void media_put_in(struct buf *b, const struct media_judged *j, const struct media_stats *st)
{
	struct sdp_format f;

	buf_str(b, str_z(infos[j->in].text));
	switch (j->in) {
	case MEDIA_VERDICT_SOURCE:
	case MEDIA_VERDICT_SOURCE_MOVED:
		buf_lit(b, ", last from ");
		addr_put(b, &st->refused.source);
		break;
	case MEDIA_VERDICT_CODEC:
		buf_fmt(b, ", last one %u", st->refused.pt);
		if (codec_static(st->refused.pt, &f))
			buf_fmt(b, " (%.*s)", STR(f.name));
		break;
	case MEDIA_VERDICT_DRIFT:
		buf_fmt(b, ", %d ppm", st->drift_ppm);
		break;
	default:
		break;
	}
	if (infos[j->in].bad)
		put_since(b, j, j->in_since_us);
	if (j->change)
		buf_fmt(b, ", since re-INVITE %u of the call", j->change);
}

void media_put_out(struct buf *b, const struct media_judged *j, const struct media_stats *st)
{
	static const char *const icmp[] = {
		[MEDIA_ICMP_PORT] = "nothing listens there", [MEDIA_ICMP_HOST] = "no way to there",
		[MEDIA_ICMP_FILTER] = "a firewall forbids it",
	};

	buf_str(b, str_z(infos[j->out].text));
	if (j->out == MEDIA_VERDICT_UNREACHABLE) {
		buf_fmt(b, ": %s, ", icmp[st->unreachable.why < ARRAY_LEN(icmp) ? st->unreachable.why : 0]);
		addr_put(b, &st->remote);
	}
	if (infos[j->out].bad)
		put_since(b, j, j->out_since_us);
}

double media_mos(const struct media_stream_info *info, const struct media_stats *stats)
{
	struct quality q;

	return quality_of_stream(str_z(info->codec), stats->rx_packets, stats->lost, stats->round_trip_us, &q) ? q.mos : 0;
}
