/* worker.c - the packet path: one thread, one epoll, no lock.
 *
 * Happy path of a wake-up: epoll_wait names the sockets that have something; each gives one batch (recvmmsg), each
 * packet of it is judged by the pair's program and rewritten in place, and what passes leaves in one sendmmsg (one
 * packet: sendmsg). A socket that has more is named again by the next epoll_wait, so a flood at one port costs the
 * others one batch of waiting. Nothing is allocated.
 *
 * Encrypted streams (relay_keys.c): a packet is opened in place when its source and its header are right, and judged like
 * any other then; what leaves is sealed in place, in room that was left behind it. Only what is authentic teaches a
 * source (LAT-03).
 *
 * Judging (first no wins, each has its counter): kind by the first byte (RFC 7983; DTLS from the right source goes up to the
 * signalling thread where a stream has it, relay_up.c; the rest is never answered), header bounds (RTP-09), source (LAT-01, -02), payload type, direction, destination. A source is learnt
 * only from a packet that has passed all checks but direction (LAT-05), once, and never from anywhere but latch_ip.
 * Packets leave for the address of the SDP before anything came (LAT-04) and for a learnt source after.
 *
 * RTCP at the RTP port (a far end that multiplexes, negotiated or not) goes out by the RTCP socket, unless the other side
 * multiplexes too; it must
 * come from where RTP comes from and teaches nothing. A payload type 64..95 that was negotiated is RTP all the same:
 * without multiplexing the two are told apart by their port.
 *
 * What can go wrong: a socket reports an error (ICMP of an earlier packet): it is noted for the verdict on what the far end
 * hears, and changes nothing else, since anybody can send one. A packet that cannot be sent is counted and skipped; the next
 * is tried.
 *
 * Owner: the worker owns its batch and the counters it writes. Programs, latches and flows belong to signalling and
 * are valid between the two stores to epoch (relay_impl.h).
 */
#include "media/relay_impl.h"

#include "media/dtls.h"
#include "media/rtcp.h"
#include "sbc/base/be.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct relay_batch {
	struct mmsghdr in[RELAY_BATCH], out[RELAY_BATCH];
	struct iovec in_iov[RELAY_BATCH], out_iov[RELAY_BATCH];
	struct addr from[RELAY_BATCH];
	unsigned n_out;
	/* what is received leaves room for what sealing adds; libsrtp reads words */
	alignas(16) uint8_t data[RELAY_BATCH][RELAY_PACKET_MAX + RELAY_TAIL];
};

static int64_t now_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts); /* as the loop's (sbc/loop/clock.h) */
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Both of the family of one socket, or one of none. */
static bool same_ip(const struct addr *a, const struct addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0;
}

static bool same(const struct addr *a, const struct addr *b)
{
	/* the port is at the same place in both */
	return a->in4.sin_port == b->in4.sin_port && same_ip(a, b);
}

/* --- judging --- */

/* May a packet come from there to that socket? *ret_learn: how its source is to be remembered, RELAY_UNSEEN: not at all. */
static bool source_ok(const struct relay_prog *g, unsigned sock, const struct addr *from, int64_t now_us, enum relay_seen *ret_learn)
{
	const struct relay_source *src = &g->latch->source[sock];
	const struct addr *sdp = sock == RELAY_RTCP ? &g->latch->source_rtcp : &g->latch->source_rtp;

	*ret_learn = RELAY_UNSEEN;
	if (g->ice) /* in the place of all that follows (LAT-07) */
		return ice_heard(g->ice, sock, from, now_us);
	/* written by this thread alone */
	if (atomic_load_explicit(&src->seen, memory_order_relaxed) != RELAY_UNSEEN)
		return same(&src->addr, from);
	if (same(sdp, from)) {
		*ret_learn = RELAY_SEEN_EXACT;
		return true;
	}
	if (!addr_none(&g->latch->latch_ip) && same_ip(&g->latch->latch_ip, from)) {
		*ret_learn = RELAY_SEEN_LATCH;
		return true;
	}
	return false;
}

static void learn(struct relay_source *src, const struct addr *from, enum relay_seen how)
{
	if (how == RELAY_UNSEEN)
		return;
	src->addr = *from;
	atomic_store_explicit(&src->seen, (uint8_t)how, memory_order_release);
}

static void note_time(struct relay_flow *f, int64_t now_us)
{
	if (atomic_load_explicit(&f->first_rx_us, memory_order_relaxed) == 0)
		atomic_store_explicit(&f->first_rx_us, now_us, memory_order_relaxed);
	atomic_store_explicit(&f->last_rx_us, now_us, memory_order_relaxed);
}

static void note_packet(struct relay_flow *f, size_t n, size_t payload, int64_t now_us)
{
	relay_bump(&f->rx_packets, 1);
	relay_bump(&f->rx_bytes, n);
	note_time(f, now_us);
	atomic_store_explicit(&f->last_rtp_us, now_us, memory_order_relaxed);
	atomic_store_explicit(&f->last_payload, (uint32_t)payload, memory_order_relaxed);
}

static void note_stream(struct relay_flow *f, const struct rtp_head *h, uint8_t khz, int64_t now_us, int64_t since_us)
{
	rtp_rx_packet(&f->rx, h, khz, now_us, since_us);
	atomic_store_explicit(&f->lost, rtp_rx_lost(&f->rx), memory_order_relaxed);
	atomic_store_explicit(&f->jitter_us, rtp_rx_jitter_us(&f->rx), memory_order_relaxed);
	atomic_store_explicit(&f->reordered, f->rx.reordered, memory_order_relaxed);
	atomic_store_explicit(&f->doubled, f->rx.doubled, memory_order_relaxed);
	atomic_store_explicit(&f->gap_us, f->rx.gap_us, memory_order_relaxed);
	atomic_store_explicit(&f->drift_ppm, rtp_rx_drift_ppm(&f->rx), memory_order_relaxed);
}

#define PASS (-1)
#define TAKEN (-2) /* by the signalling thread: no media */
#define GATHERED 32             /* sockets that had something: no need to wait for more */
#define GATHER_WINDOW_US 10000
#define GATHER_MIN 2            /* packets that would come while it waits, or it does not pay */
#define HEARD_PACKETS 100 /* that left since a report, before the next has to know of one */
#define UNREACHABLE_PAUSE_US 5000000

/* Is this key ours to use? One that was handed over is when the worker before has been at its quiet point since. */
static bool key_is_ours(const struct relay *r, struct relay_key *k)
{
	uint64_t after = atomic_load(&k->after), epoch;

	if (!after)
		return true;
	epoch = atomic_load(&r->worker[(after & 0xff) - 1].epoch);
	if ((after >> 8 & 1) && epoch == after >> 8)
		return false;
	/* when signalling has handed it on by now, it stays handed over */
	return atomic_compare_exchange_strong(&k->after, &after, 0);
}

static int drop_of(enum crypt_result r)
{
	switch (r) {
	case CRYPT_OK:
		return PASS;
	case CRYPT_AUTH:
		return RELAY_DROP_AUTH;
	case CRYPT_REPLAY:
		return RELAY_DROP_REPLAY;
	default:
		return RELAY_DROP_CRYPT;
	}
}

/* Opens a packet whose source and header are right. PASS or enum relay_drop. */
static int open_packet(const struct relay_prog *g, struct relay_flow *f, bool rtcp, uint8_t *d, size_t *n, int64_t now_us)
{
	const struct relay *relay = g->out->range->relay;
	struct relay_key *k = !g->keys ? NULL : rtcp && g->keys->open_rtcp ? g->keys->open_rtcp : g->keys->open, *before;
	struct crypt *old;
	enum crypt_result r;

	if (!k)
		return PASS;
	if (!key_is_ours(relay, k))
		return RELAY_DROP_CRYPT;
	before = k == g->keys->open ? g->keys->open_before : NULL;
	old = before && key_is_ours(relay, before) ? before->c : NULL;
	r = rtcp ? crypt_open_rtcp(k->c, old, d, n) : crypt_open_rtp(k->c, old, d, n);
	if (r == CRYPT_BAD) /* too short to be anything of this key */
		r = CRYPT_AUTH;
	if (rtcp)
		return drop_of(r);
	if (r == CRYPT_AUTH && atomic_load_explicit(&f->unreadable_us, memory_order_relaxed) == 0)
		atomic_store_explicit(&f->unreadable_us, now_us, memory_order_relaxed);
	else if (r == CRYPT_OK && atomic_load_explicit(&f->unreadable_us, memory_order_relaxed) != 0)
		atomic_store_explicit(&f->unreadable_us, 0, memory_order_relaxed);
	return drop_of(r);
}

static int seal_packet(const struct relay_prog *g, bool rtcp, uint8_t *d, size_t *n, size_t cap)
{
	const struct relay *relay = g->out->range->relay;
	struct relay_key *k = !g->keys ? NULL : rtcp && g->keys->seal_rtcp ? g->keys->seal_rtcp : g->keys->seal, *before;

	if (!k)
		return PASS;
	if (!key_is_ours(relay, k))
		return RELAY_DROP_CRYPT;
	before = k->key.roc == CRYPT_ROC_KEEP ? g->keys->seal_before : NULL;
	return drop_of(rtcp ? crypt_seal_rtcp(k->c, d, n, cap)
	                    : crypt_seal_rtp(k->c, before && key_is_ours(relay, before) ? before->c : NULL, d, n, cap));
}

/* Does the far end hear us, by its report? Blocks of streams that change are taken for a yes. */
static void note_hearing(struct relay_flow *f, const struct rtcp_report *r, int64_t now_us)
{
	uint64_t tx = atomic_load_explicit(&f->tx_packets, memory_order_relaxed);
	uint32_t deaf = atomic_load_explicit(&f->deaf_reports, memory_order_relaxed);
	bool news = false;

	for (unsigned i = 0; i < r->n; i++) {
		news = news || r->block[i].ssrc != f->heard_ssrc || r->block[i].highest != f->heard_to;
		f->heard_ssrc = r->block[i].ssrc;
		f->heard_to = r->block[i].highest;
	}
	if (!news && tx - f->heard_tx < HEARD_PACKETS)
		return;
	f->heard_tx = tx;
	if (news || deaf == 0)
		atomic_store_explicit(&f->deaf_us, news ? 0 : now_us, memory_order_relaxed);
	atomic_store_explicit(&f->deaf_reports, news ? 0 : deaf + (deaf < UINT32_MAX), memory_order_relaxed);
}

/* Reports pass on unchanged. What they say of the way to this far end, and of what it missed, is kept (rtcp.h). */
static void note_reports(const struct relay_prog *g, struct relay_flow *f, const uint8_t *d, size_t n, int64_t now_us)
{
	uint32_t left = atomic_load_explicit(&f->sr_ntp, memory_order_acquire), missed = 0;
	struct relay_flow *out = atomic_load(&g->out->flow);
	struct rtcp_report r;

	rtcp_read(d, n, &r);
	for (unsigned i = 0; i < r.n; i++) {
		uint32_t trip = left ? rtcp_round_trip_us(&r.block[i], left,
					       atomic_load_explicit(&f->sr_left_us, memory_order_relaxed), now_us)
				     : 0;

		if (trip)
			atomic_store_explicit(&f->round_trip_us, trip, memory_order_relaxed);
		if (missed < r.block[i].fraction_lost + 1u)
			missed = r.block[i].fraction_lost + 1u;
	}
	if (missed)
		atomic_store_explicit(&f->far_lost, missed, memory_order_relaxed);
	if (r.reports)
		note_hearing(f, &r, now_us);
	if (r.sent && r.sent != f->far_packets) {
		f->far_packets = r.sent;
		atomic_store_explicit(&f->far_sends_us, now_us, memory_order_relaxed);
	}
	if (out && r.sr_ntp) {
		atomic_store_explicit(&out->sr_left_us, now_us, memory_order_relaxed);
		atomic_store_explicit(&out->sr_ntp, r.sr_ntp, memory_order_release);
	}
}

/* What the far end says, in the words of the one that will read it. */
static void rewrite_reports(const struct relay_prog *g, uint8_t *d, size_t n)
{
	const struct relay_prog *back = atomic_load(&g->out->prog);
	uint16_t shift;
	uint32_t ssrc;

	if (g->cname.k0 | g->cname.k1)
		rtcp_hide(d, n, &g->cname);
	/* the key that seals what goes to this far end is at work in the program of the other direction */
	if (back && back->keys && back->keys->seal && crypt_shift_any(back->keys->seal->c, &ssrc, &shift))
		rtcp_unshift(d, n, ssrc, shift);
}

/* RTCP, at either socket */
static int judge_rtcp(const struct relay_prog *g, struct relay_flow *f, unsigned sock, uint8_t *d, size_t *n,
    const struct addr *from, int64_t now_us)
{
	struct relay_source *src = &g->latch->source[sock];
	bool sealed = g->keys && (g->keys->open || g->keys->open_rtcp);
	enum relay_seen how;
	int why;

	if (!sealed && rtcp_check(d, *n) < 0)
		return RELAY_DROP_RTCP_BAD;
	if (!source_ok(g, sock, from, now_us, &how))
		return RELAY_DROP_SOURCE;
	if (sock == RELAY_RTP && how == RELAY_SEEN_LATCH)
		return RELAY_DROP_SOURCE;
	if (g->wait_rtcp)
		return RELAY_DROP_NO_KEY;
	if (sealed) {
		why = open_packet(g, f, true, d, n, now_us);
		if (why != PASS)
			return why;
		if (rtcp_check(d, *n) < 0)
			return RELAY_DROP_RTCP_BAD;
	}
	if (sock == RELAY_RTCP)
		learn(src, from, how);
	relay_bump(&f->rtcp_rx, 1);
	note_time(f, now_us);
	note_reports(g, f, d, *n, now_us);
	rewrite_reports(g, d, *n);
	return PASS;
}

/* --- digits (RFC 4733) --- */

#define EVENT_END 0x80
#define EVENT_VOLUME 10
#define PLAY_STEP_MS 20 /* what a packet is taken to be as long as, before the next one says it */
#define PLAY_LEAST_MS 40
#define PLAY_MOST_MS 6000
#define PLAY_REST 3    /* packets between two digits */

static void event_over(struct relay_worker *w, struct relay_pair *p, struct relay_flow *f)
{
	if (!f->event_on)
		return;
	f->event_on = false;
	(void)relay_up_event(w, p, f->event, f->event_ms);
}

/* An event that ends here. It is told once: with its end, or when something else comes after it (its end was lost). */
static void take_event(struct relay_worker *w, struct relay_pair *p, struct relay_flow *f, const struct rtp_head *h,
    const uint8_t *d, uint8_t khz)
{
	const uint8_t *e = d + h->header_len;
	unsigned length;

	if (h->payload_len < 4)
		return;
	if (!f->event_any || h->timestamp != f->event_ts) {
		event_over(w, p, f);
		if (f->event_any && (int32_t)(h->timestamp - f->event_ts) < 0)
			return; /* one that was overtaken by the next */
		f->event_any = f->event_on = true;
		f->event_ts = h->timestamp;
		f->event = e[0];
	}
	length = be16(e + 2) / (khz ? khz : 8);
	if (f->event_on && e[0] == f->event)
		f->event_ms = (uint16_t)length;
	if (e[1] & EVENT_END)
		event_over(w, p, f);
}

/* A packet that is about to pass becomes one of the digit that is being played, if one is. true: it did. */
static bool play(struct relay_play *y, const struct rtp_head *h, uint8_t khz, uint8_t pt, uint8_t *d, size_t *n)
{
	uint32_t head = atomic_load_explicit(&y->head, memory_order_relaxed), ms, length;
	bool first, end;

	if (!khz)
		khz = 8;
	if (!y->on) {
		if (y->rest) {
			y->rest--;
			return false;
		}
		if (head == atomic_load_explicit(&y->tail, memory_order_acquire))
			return false;
		y->on = true;
		y->began_ts = h->timestamp;
		y->ssrc = h->ssrc;
		y->sent = y->ends = 0;
		y->length_ts = 0;
	}
	ms = y->digit[head % RELAY_DIGITS].ms;
	ms = ms < PLAY_LEAST_MS ? PLAY_LEAST_MS : ms > PLAY_MOST_MS ? PLAY_MOST_MS : ms;
	length = h->timestamp - y->began_ts + (uint32_t)khz * PLAY_STEP_MS;
	first = y->sent++ == 0;
	end = y->ends || length >= ms * khz || h->ssrc != y->ssrc;
	if (!y->ends && length < (uint32_t)khz * (PLAY_MOST_MS + 1000)) /* else its source jumped: it ends as it was */
		y->length_ts = length > 0xffff ? 0xffff : length;
	d[0] = 0x80;
	d[1] = (uint8_t)((first ? 0x80 : 0) | pt);
	be32_put(d + 4, y->began_ts);
	d[12] = y->digit[head % RELAY_DIGITS].event;
	d[13] = (uint8_t)((end ? EVENT_END : 0) | EVENT_VOLUME);
	be16_put(d + 14, y->length_ts);
	*n = 16;
	if (end && ++y->ends == 3) { /* 2.5.1.4 */
		y->on = false;
		y->rest = PLAY_REST;
		atomic_store_explicit(&y->head, head + 1, memory_order_release);
	}
	return true;
}

/* One packet that came in at socket `sock` of a pair. Returns PASS (*ret_out: socket of the out pair by which it
 * leaves; d and *n are rewritten) or enum relay_drop. */
static int judge(struct relay_worker *w, struct relay_pair *p, const struct relay_prog *g, struct relay_flow *f, unsigned sock,
    uint8_t *d, size_t *n, const struct addr *from, int64_t now_us, unsigned *ret_out)
{
	struct relay_source *src = &g->latch->source[sock];
	bool sealed = g->keys && g->keys->open;
	enum relay_seen how;
	struct rtp_head h;
	size_t head;
	uint8_t pt;
	int why;

	*ret_out = sock;
	if (g->raw) {
		if (sock != RELAY_RTP || *n == 0)
			return RELAY_DROP_NOT_RTP;
		if (!source_ok(g, RELAY_RTP, from, now_us, &how))
			return RELAY_DROP_SOURCE;
		if (how == RELAY_SEEN_LATCH && !udptl_plausible(d, *n))
			return RELAY_DROP_NOT_RTP;
		learn(src, from, how);
		note_packet(f, *n, *n, now_us);
		return g->rtp_on ? PASS : RELAY_DROP_HELD;
	}
	switch (rtp_kind(d, *n)) {
	case RTP_KIND_AV:
		break;
	case RTP_KIND_VERSION:
		return RELAY_DROP_VERSION;
	default:
		return RELAY_DROP_NOT_RTP;
	}
	if (sock == RELAY_RTCP && !rtp_looks_rtcp(d, *n))
		return RELAY_DROP_RTCP_BAD;
	if (sock == RELAY_RTCP || (rtp_looks_rtcp(d, *n) && g->map->pt[d[1] & 0x7f] == RELAY_PT_DROP)) {
		*ret_out = RELAY_RTCP;
		return judge_rtcp(g, f, sock, d, n, from, now_us);
	}
	if (sealed ? rtp_header(d, *n, &head) < 0 : rtp_parse(d, *n, &h) < 0)
		return RELAY_DROP_SHORT;
	if (!source_ok(g, RELAY_RTP, from, now_us, &how))
		return RELAY_DROP_SOURCE;
	pt = g->map->pt[d[1] & 0x7f];
	if (pt == RELAY_PT_DROP)
		return RELAY_DROP_PT;
	if (g->wait_rtp)
		return RELAY_DROP_NO_KEY;
	if (sealed) {
		why = open_packet(g, f, false, d, n, now_us);
		if (why != PASS)
			return why;
		if (rtp_parse(d, *n, &h) < 0)
			return RELAY_DROP_SHORT;
	}
	learn(src, from, how);
	note_packet(f, *n, h.payload_len, now_us);
	note_stream(f, &h, g->map->clock_khz[h.pt], now_us, g->on_us);
	if (pt == RELAY_PT_EVENT) {
		if (g->rtp_on)
			take_event(w, p, f, &h, d, g->map->clock_khz[h.pt]);
		return g->rtp_on ? TAKEN : RELAY_DROP_HELD;
	}
	if (f->event_on && (int32_t)(h.timestamp - f->event_ts) > 0)
		event_over(w, p, f);
	if (!g->rtp_on)
		return RELAY_DROP_HELD;
	if (g->event_pt != RELAY_PT_DROP && pt != g->event_pt) {
		struct relay_play *y = atomic_load(&p->play);

		if (y && play(y, &h, g->map->clock_khz[h.pt], g->event_pt, d, n))
			return PASS;
	}
	d[1] = (uint8_t)((d[1] & 0x80) | (pt & 0x7f));
	return PASS;
}

/* DTLS: TAKEN when its source is right and somebody listens. It teaches no source: only keys do. */
static int judge_dtls(struct relay_worker *w, struct relay_pair *p, const struct relay_prog *g, unsigned sock, const uint8_t *d,
    size_t n, const struct addr *from, int64_t now_us)
{
	enum relay_seen how;

	if (!g->dtls)
		return RELAY_DROP_NOT_RTP;
	if (!source_ok(g, sock, from, now_us, &how))
		return RELAY_DROP_SOURCE;
	return relay_up_put(w, p, sock, d, n, from) ? TAKEN : RELAY_DROP_NOT_RTP;
}

/* A check of ICE: answered on the spot. Where the far end wants to be is told to who makes its DTLS. */
static int judge_check(struct relay_worker *w, struct relay_pair *p, const struct relay_prog *g, unsigned sock, const uint8_t *d,
    size_t n, const struct addr *from, int64_t now_us)
{
	char out[STUN_OUT_MAX];
	size_t len = 0;

	switch (ice_check(g->ice, sock, d, n, from, now_us, out, &len)) {
	case ICE_NOMINATED:
		if (g->dtls)
			(void)relay_up_put(w, p, sock, d, 0, from);
		break;
	case ICE_ANSWERED:
		break;
	default:
		return RELAY_DROP_STUN;
	}
	/* what is lost is asked again */
	(void)!sendto(p->fd[sock], out, len, 0, &from->sa, addr_len(from));
	return TAKEN;
}

/* Hellos of DTLS among n packets that came before there is a program: the first is kept. */
static void keep_hello(struct relay_worker *w, struct relay_pair *p, unsigned sock, unsigned n)
{
	const struct relay_batch *b = w->batch;

	for (unsigned i = 0; i < n; i++)
		if (dtls_is_hello(b->data[i], b->in[i].msg_len) && !(b->in[i].msg_hdr.msg_flags & MSG_TRUNC) &&
		    relay_up_put(w, p, sock, b->data[i], b->in[i].msg_len, &b->from[i]))
			return;
}

/* Where packets to the out pair's far end go now: to its proved source, else as the SDP says; NULL: nowhere. */
static const struct addr *destination(const struct relay_prog *g, unsigned sock, int64_t now_us)
{
	const struct relay_ice *ice = atomic_load(&g->out->ice);
	const struct relay_latch *l = atomic_load(&g->out->latch);
	const struct addr *sdp = sock == RELAY_RTP ? &g->dest_rtp : &g->dest_rtcp;

	if (ice)
		return ice_where(ice->ice, sock, now_us);
	if (l && atomic_load_explicit(&l->source[sock].seen, memory_order_acquire) == RELAY_SEEN_LATCH)
		return &l->source[sock].addr;
	return addr_none(sdp) ? NULL : sdp;
}

/* --- sending --- */

static void drop(struct relay_worker *w, struct relay_flow *f, int why, unsigned n)
{
	relay_bump(&w->drops[why], n);
	if (f)
		relay_bump32(&f->drops[why], n);
}

/* What was refused last, so that a person can be told. */
static void note_refused(struct relay_flow *f, int why, const uint8_t *d, const struct addr *from, int64_t now_us)
{
	if (why == RELAY_DROP_SOURCE) {
		relay_addr_set(&f->refused_source, from);
		atomic_store_explicit(&f->refused_source_us, now_us, memory_order_relaxed);
	} else if (why == RELAY_DROP_PT) {
		atomic_store_explicit(&f->refused_pt, (uint8_t)(d[1] & 0x7f), memory_order_relaxed);
		atomic_store_explicit(&f->refused_pt_us, now_us, memory_order_relaxed);
	}
}

/* Sends what is in the batch, RTP or reports, by the socket that out has for it. */
static void flush(struct relay_worker *w, const struct relay_prog *g, unsigned sock, struct relay_flow *in_flow)
{
	struct relay_pair *out = g->out;
	int fd = out->fd[g->mux ? RELAY_RTP : sock];
	struct relay_batch *b = w->batch;
	struct relay_flow *f = atomic_load(&out->flow);
	unsigned at = 0, sent = 0, errors = 0;
	uint64_t bytes = 0;

	while (at < b->n_out) {
		int k;

		if (b->n_out - at == 1)
			k = sendmsg(fd, &b->out[at].msg_hdr, 0) < 0 ? -1 : 1;
		else
			k = sendmmsg(fd, b->out + at, b->n_out - at, 0);
		if (k > 0) {
			for (int i = 0; i < k; i++)
				bytes += b->out[at + (unsigned)i].msg_hdr.msg_iov->iov_len;
			at += (unsigned)k;
			sent += (unsigned)k;
			errors = 0;
			continue;
		}
		/* An ICMP error of an earlier packet is reported once, for a packet that is not guilty. */
		if (errno != EAGAIN && errno != EWOULDBLOCK && errors++ < 3)
			continue;
		drop(w, in_flow, RELAY_DROP_SEND, 1);
		errors = 0;
		at++;
	}
	b->n_out = 0;
	relay_bump(&w->tx_packets, sent);
	if (!f || !sent)
		return;
	if (sock == RELAY_RTP) {
		atomic_fetch_add_explicit(&f->tx_packets, sent, memory_order_relaxed);
		atomic_fetch_add_explicit(&f->tx_bytes, bytes, memory_order_relaxed);
	} else {
		atomic_fetch_add_explicit(&f->rtcp_tx, sent, memory_order_relaxed);
	}
}

/* --- capture --- */

static void capture(struct relay_worker *w, uint64_t key, const struct relay_pair *p, unsigned sock, bool out,
    const struct addr *remote, const uint8_t *d, size_t n, int64_t now_us)
{
	struct capture *c = atomic_load_explicit(&w->capture, memory_order_acquire);
	struct capture_packet k = {.key = key, .mono_us = now_us, .local = p->local, .remote = *remote, .out = out, .len = n,
	    .bytes = str_n((const char *)d, n)};

	addr_set_port(&k.local, (uint16_t)(addr_port(&k.local) + sock));
	if (c)
		capture_put(c, &k);
}

/* judge() and what of it is to be seen */
static int judge_captured(struct relay_worker *w, struct relay_pair *p, const struct relay_prog *g, struct relay_flow *f,
    unsigned sock, uint8_t *d, size_t *n, const struct addr *from, int64_t now_us, unsigned *ret_out)
{
	uint8_t mode = atomic_load_explicit(&f->capture, memory_order_acquire), type = *n > 1 ? d[1] : 0, after;
	uint64_t key = atomic_load_explicit(&f->capture_key, memory_order_relaxed);
	bool opened = mode == MEDIA_CAPTURE_CLEAR && g->keys && g->keys->open;
	int why;

	if (mode == MEDIA_CAPTURE_OFF)
		return judge(w, p, g, f, sock, d, n, from, now_us, ret_out);
	if (!opened)
		capture(w, key, p, sock, false, from, d, *n, now_us);
	why = judge(w, p, g, f, sock, d, n, from, now_us, ret_out);
	if (opened && *n > 1) { /* as it came, but for the encryption */
		after = d[1];
		d[1] = type;
		capture(w, key, p, sock, false, from, d, *n, now_us);
		d[1] = after;
	}
	return why;
}

static int seal_captured(struct relay_worker *w, const struct relay_prog *g, struct relay_flow *f, unsigned sock, uint8_t *d,
    size_t *n, size_t cap, const struct addr *dest, int64_t now_us)
{
	uint8_t mode = atomic_load_explicit(&f->capture, memory_order_acquire);
	uint64_t key = atomic_load_explicit(&f->capture_key, memory_order_relaxed);
	int why;

	if (mode == MEDIA_CAPTURE_CLEAR)
		capture(w, key, g->out, sock, true, dest, d, *n, now_us);
	why = seal_packet(g, sock == RELAY_RTCP, d, n, cap);
	if (mode == MEDIA_CAPTURE_WIRE && why == PASS)
		capture(w, key, g->out, sock, true, dest, d, *n, now_us);
	return why;
}

/* --- receiving --- */

static unsigned receive(struct relay_batch *b, int fd)
{
	/* an error that is pending is cleared by being reported; there is at most one at a time */
	for (int tries = 0; tries < 4; tries++) {
		int n = recvmmsg(fd, b->in, RELAY_BATCH, MSG_DONTWAIT, NULL);

		if (n >= 0)
			return (unsigned)n;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
	}
	return 0;
}

static void relay_one_batch(struct relay_worker *w, struct relay_pair *p, unsigned sock)
{
	struct relay_batch *b = w->batch;
	const struct relay_prog *g;
	struct relay_flow *f;
	unsigned n = receive(b, p->fd[sock]), by = RELAY_RTP;
	int64_t now_us;

	if (n == 0)
		return;
	relay_bump(&w->rx_packets, n);
	w->seen += n;
	g = atomic_load(&p->prog);
	f = atomic_load(&p->flow);
	if (!g || !f) {
		if (atomic_load_explicit(&p->expects, memory_order_relaxed))
			keep_hello(w, p, sock, n);
		drop(w, f, RELAY_DROP_NO_STREAM, n);
		n = 0;
	}
	now_us = n ? now_mono_us() : 0;
	for (unsigned i = 0; i < n; i++) {
		struct mmsghdr *m = &b->in[i];
		const struct addr *dest = NULL;
		size_t len = m->msg_len;
		unsigned out = sock;
		int why;

		if (m->msg_hdr.msg_flags & MSG_TRUNC)
			why = RELAY_DROP_SHORT;
		else if (!g->raw && rtp_kind(b->data[i], len) == RTP_KIND_DTLS)
			why = judge_dtls(w, p, g, sock, b->data[i], len, &b->from[i], now_us);
		else if (g->ice && rtp_kind(b->data[i], len) == RTP_KIND_STUN)
			why = judge_check(w, p, g, sock, b->data[i], len, &b->from[i], now_us);
		else
			why = judge_captured(w, p, g, f, sock, b->data[i], &len, &b->from[i], now_us, &out);
		if (why == PASS) {
			dest = destination(g, g->mux ? RELAY_RTP : out, now_us);
			why = dest ? seal_captured(w, g, f, out, b->data[i], &len, sizeof(b->data[i]), dest, now_us)
			           : RELAY_DROP_NO_DEST;
		}
		if (why == TAKEN)
			continue;
		if (why != PASS) {
			drop(w, f, why, 1);
			note_refused(f, why, b->data[i], &b->from[i], now_us);
			continue;
		}
		if (b->n_out && out != by)
			flush(w, g, by, f);
		by = out;
		b->out_iov[b->n_out] = (struct iovec){b->data[i], len};
		b->out[b->n_out].msg_hdr.msg_name = (void *)(uintptr_t)dest;
		b->out[b->n_out].msg_hdr.msg_namelen = addr_len(dest);
		b->n_out++;
	}
	if (b->n_out)
		flush(w, g, by, f);
	for (unsigned i = 0; i < RELAY_BATCH && b->in[i].msg_hdr.msg_namelen != sizeof(struct addr); i++)
		b->in[i].msg_hdr.msg_namelen = sizeof(struct addr);
}

/* --- ICMP --- */

static uint8_t icmp_why(const struct sock_extended_err *e)
{
	if (e->ee_origin == SO_EE_ORIGIN_ICMP6) {
		if (e->ee_type == 1 && e->ee_code == 4)
			return MEDIA_ICMP_PORT;
		return e->ee_type == 1 && (e->ee_code == 1 || e->ee_code >= 5) ? MEDIA_ICMP_FILTER : MEDIA_ICMP_HOST;
	}
	if (e->ee_type == 3 && (e->ee_code == 2 || e->ee_code == 3))
		return MEDIA_ICMP_PORT;
	return e->ee_type == 3 && (e->ee_code == 9 || e->ee_code == 10 || e->ee_code == 13) ? MEDIA_ICMP_FILTER
	                                                                                  : MEDIA_ICMP_HOST;
}

static void note_unreachable(struct relay_flow *f, const struct addr *dest, uint8_t why, int64_t now_us)
{
	int64_t last_us = atomic_load_explicit(&f->unreachable_us, memory_order_relaxed);
	struct addr before = relay_addr_get(&f->unreachable);

	if (!last_us || now_us - last_us > UNREACHABLE_PAUSE_US || !same(&before, dest)) {
		relay_addr_set(&f->unreachable, dest);
		atomic_store_explicit(&f->unreachable_since_us, now_us, memory_order_relaxed);
	}
	atomic_store_explicit(&f->unreachable_why, why, memory_order_relaxed);
	atomic_store_explicit(&f->unreachable_us, now_us, memory_order_relaxed);
}

/* Some of what came back of the packets that left by this socket; the rest is told by the next epoll_wait. */
static void read_errors(struct relay_pair *p, unsigned sock)
{
	struct relay_flow *f = atomic_load(&p->flow);
	int64_t now_us = now_mono_us();
	alignas(struct cmsghdr) char control[512];
	socklen_t len = sizeof(int);
	int err;

	for (int i = 0; i < 8; i++) {
		struct addr dest = {0};
		struct msghdr m = {.msg_name = &dest, .msg_namelen = sizeof(dest), .msg_control = control,
		    .msg_controllen = sizeof(control)};

		if (recvmsg(p->fd[sock], &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
			/* one that found no room in the queue is only a mark at the socket, and would be told for ever */
			(void)getsockopt(p->fd[sock], SOL_SOCKET, SO_ERROR, &err, &len);
			return;
		}
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); f && c; c = CMSG_NXTHDR(&m, c)) {
			struct sock_extended_err e;

			if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
			    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
				continue;
			memcpy(&e, CMSG_DATA(c), sizeof(e));
			if (e.ee_origin == SO_EE_ORIGIN_ICMP || e.ee_origin == SO_EE_ORIGIN_ICMP6)
				note_unreachable(f, &dest, icmp_why(&e), now_us);
		}
	}
}

/* --- the thread --- */

/* Waking up for each packet costs more than relaying it. When many come, the next ones are gathered for a moment: each waits
 * a little, and all of them are handled in one go. With few calls nothing waits; under full load there is always something. */
static void gather(struct relay_worker *w, int events)
{
	unsigned us = w->relay->gather_us;
	int64_t now_us;

	if (!us || events >= GATHERED)
		return;
	now_us = now_mono_us();
	if (now_us - w->window_us >= GATHER_WINDOW_US) {
		w->busy = (int64_t)w->seen * us >= GATHER_MIN * (now_us - w->window_us);
		w->window_us = now_us;
		w->seen = 0;
	}
	if (w->busy)
		nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

static void *run(void *arg)
{
	struct relay_worker *w = arg;
	struct epoll_event ev[RELAY_EVENTS];

	for (int n = 0;;) {
		bool stop = false;

		gather(w, n); /* at its quiet point */
		n = epoll_wait(w->ep, ev, RELAY_EVENTS, -1);

		atomic_fetch_add(&w->epoch, 1);
		for (int i = 0; i < n; i++) {
			uintptr_t tag = ev[i].data.u64;
			struct relay_pair *p = (struct relay_pair *)(tag & ~(uintptr_t)1);

			if (tag == 0) {
				stop = true;
				continue;
			}
			if (ev[i].events & EPOLLERR)
				read_errors(p, tag & 1);
			if (ev[i].events & EPOLLIN)
				relay_one_batch(w, p, tag & 1);
		}
		atomic_fetch_add(&w->epoch, 1);
		if (stop)
			return NULL;
	}
}

int relay_worker_add(struct relay_pair *p)
{
	int ep = p->range->relay->worker[p->worker].ep;

	for (unsigned i = 0; i < 2; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uintptr_t)p | i};

		if (epoll_ctl(ep, EPOLL_CTL_ADD, p->fd[i], &ev) < 0) {
			int err = -errno;

			if (i)
				epoll_ctl(ep, EPOLL_CTL_DEL, p->fd[0], NULL);
			return err;
		}
	}
	return 0;
}

static void batch_init(struct relay_batch *b)
{
	for (unsigned i = 0; i < RELAY_BATCH; i++) {
		b->in_iov[i] = (struct iovec){b->data[i], RELAY_PACKET_MAX};
		b->in[i].msg_hdr = (struct msghdr){
		    .msg_name = &b->from[i],
		    .msg_namelen = sizeof(struct addr),
		    .msg_iov = &b->in_iov[i],
		    .msg_iovlen = 1,
		};
		b->out[i].msg_hdr = (struct msghdr){.msg_iov = &b->out_iov[i], .msg_iovlen = 1};
	}
}

int relay_worker_start(struct relay_worker *w, struct relay *r, unsigned index)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 0};
	char name[16] = "media-";
	sigset_t all, old;
	struct buf b;
	int err;

	w->relay = r;
	w->ep = w->stop = -1;
	w->batch = calloc(1, sizeof(*w->batch));
	if (!w->batch)
		return -ENOMEM;
	batch_init(w->batch);
	w->ep = epoll_create1(EPOLL_CLOEXEC);
	w->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->ep < 0 || w->stop < 0 || epoll_ctl(w->ep, EPOLL_CTL_ADD, w->stop, &ev) < 0)
		return -errno; /* relay_worker_stop() takes the rest */
	/* signals are the signalling thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	w->running = true;
	buf_init(&b, name, sizeof(name) - 1);
	b.n = 6;
	buf_u64(&b, index);
	name[b.n] = '\0';
	pthread_setname_np(w->thread, name);
	return 0;
}

void relay_worker_stop(struct relay_worker *w)
{
	uint64_t one = 1;

	if (w->running) {
		/* an eventfd that nobody reads takes 2^64 - 2 of these */
		if (write(w->stop, &one, sizeof(one)) == sizeof(one))
			pthread_join(w->thread, NULL);
		w->running = false;
	}
	/* a worker that was never started is zeroed memory, and its descriptors are not 0 */
	if (w->batch) {
		if (w->ep >= 0)
			close(w->ep);
		if (w->stop >= 0)
			close(w->stop);
	}
	free(w->batch);
	w->batch = NULL;
}
