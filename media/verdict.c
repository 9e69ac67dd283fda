/* verdict.c - what a person should know of one incoming direction, in words.
 *
 * The first rule that holds speaks. Nothing came: the drops say why, the most telling first, since a stranger's packet
 * or a wrong payload type is the cause and silence only the effect. Something came: did it stop, is it good.
 */
#include "media/session.h"

#include "media/crypt.h"
#include "media/quality.h"

#define START_US 3000000  /* a far end may take this long to begin */
#define STOPPED_US 5000000
#define JITTER_BAD_US 60000
#define UNREADABLE_US 1000000
#define FAR_LOST_BAD 13 /* of 256 */

static const char *why_nothing(const struct media_stats *st, int64_t open_us, bool *ret_bad)
{
	*ret_bad = true;
	if (st->ice == MEDIA_ICE_WAITS) {
		*ret_bad = open_us >= START_US;
		return st->drops[RELAY_DROP_STUN] ? "no check of ICE has the names and the password that were agreed"
		                                  : "no check of ICE came: the far end cannot reach our address, or does not try";
	}
	if (st->drops[RELAY_DROP_SOURCE])
		return st->ice ? "packets come from an address without a check of ICE (dropped)"
		               : "packets come from an address that is not in the SDP (dropped)";
	if (st->dtls == MEDIA_DTLS_WAITS) {
		*ret_bad = open_us >= START_US;
		return "no media before the handshake of DTLS is done: the far end does not answer it, or does not begin it";
	}
	if (st->drops[RELAY_DROP_AUTH])
		return "packets cannot be decrypted: not the key of the SDP, or in clear (dropped)";
	if (st->drops[RELAY_DROP_CRYPT])
		return "packets come, but the key cannot be used for them (SRTP; dropped)";
	if (st->drops[RELAY_DROP_PT])
		return "packets carry a payload type that was not negotiated (dropped)";
	if (st->drops[RELAY_DROP_NOT_RTP])
		return "what comes is not RTP (STUN, DTLS or encrypted media; dropped)";
	if (st->drops[RELAY_DROP_VERSION] || st->drops[RELAY_DROP_SHORT])
		return "packets are damaged (dropped)";
	if (st->drops[RELAY_DROP_NO_DEST])
		return "packets come, but the other side has no address yet (dropped)";
	if (st->drops[RELAY_DROP_SEND])
		return "packets come, but the system refuses to send them on";
	if (open_us < START_US) {
		*ret_bad = false;
		return "waiting: nothing came yet";
	}
	if (st->rtcp_rx)
		return "silent: only RTCP comes";
	return "silent: nothing ever came";
}

const char *media_verdict_of(const struct media_stats *st, bool active, int64_t on_us, int64_t now_us, bool *ret_bad)
{
	uint64_t refused;

	*ret_bad = false;
	if (!active)
		return "no stream";
	if (st->dtls_why) {
		*ret_bad = true;
		return st->dtls_why == REASON_DTLS_FINGERPRINT
		           ? "no media: the certificate of the far end is not the one it announced (DTLS)"
		           : "no media: the handshake of DTLS failed";
	}
	if (on_us == 0)
		return "held";
	if (st->rx_packets == 0)
		return why_nothing(st, now_us - on_us, ret_bad);
	refused = st->drops[RELAY_DROP_SOURCE] + st->drops[RELAY_DROP_PT] + st->drops[RELAY_DROP_SEND] +
	          st->drops[RELAY_DROP_AUTH] + st->drops[RELAY_DROP_CRYPT];
	*ret_bad = true;
	if (st->unreadable_us && now_us - st->unreadable_us > UNREADABLE_US)
		return "packets cannot be decrypted any more: key or rollover counter changed (dropped)";
	if (st->last_rx_us && now_us - st->last_rx_us > STOPPED_US && now_us - on_us > STOPPED_US)
		return st->drops[RELAY_DROP_SOURCE] ? "stopped: packets now come from another address (dropped)"
		                                    : "stopped: no packet for more than 5 s";
	if (st->drops[RELAY_DROP_SEND] > st->rx_packets / 20)
		return "the system refuses to send packets on";
	if (refused > st->rx_packets)
		return st->drops[RELAY_DROP_AUTH] * 2 > refused ? "most packets cannot be decrypted (dropped)"
		                                                : "most packets are dropped (wrong source or payload type)";
	if (st->lost > 0 && (uint64_t)st->lost > (st->rx_packets + (uint64_t)st->lost) / 20)
		return "more than 5 % of the packets are lost on the way here";
	if (st->jitter_us > JITTER_BAD_US)
		return "packets come unevenly (jitter above 60 ms)";
	if (st->far_lost > FAR_LOST_BAD)
		return "the far end misses more than 5 % of what is sent to it";
	*ret_bad = false;
	switch (st->rx_guess) {
	case CRYPT_GUESS_RESTARTED:
		return "ok, far end restarted its rollover counter at a re-INVITE (found out; srtp-roc=reset)";
	case CRYPT_GUESS_KEPT:
		return "ok, far end kept its rollover counter with a new key (found out; srtp-roc=keep)";
	case CRYPT_GUESS_AHEAD:
		return "ok, after many lost packets (rollover counter found again)";
	default:
		break;
	}
	return st->latched ? "ok, far end is behind NAT (source learnt)" : "ok";
}

double media_mos(const struct media_stream_info *info, const struct media_stats *stats)
{
	struct quality q;

	return quality_of_stream(str_z(info->codec), stats->rx_packets, stats->lost, stats->round_trip_us, &q) ? q.mos : 0;
}
