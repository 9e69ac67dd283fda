/* publish.c - from agreed streams to the programs that packets follow (relay.h).
 *
 * Both directions of every stream are published as often as an answer comes; a rollback publishes what was agreed
 * before. What goes wrong: no memory for a program; then the caller has the old view published again.
 */
#include "media/session.h"

struct addr media_latch_source(const struct side *sd, const struct addr *media)
{
	bool nat = addr_none(media) || addr_is_private(media) || !addr_eq_ip(media, &sd->signalling);

	if (addr_none(&sd->signalling) || sd->latch == MEDIA_LATCH_OFF || (sd->latch == MEDIA_LATCH_AUTO && !nat))
		return (struct addr){0};
	return sd->signalling;
}

/* The keys of both sides, and whether packets have to wait for them. false: one side has to be encrypted and cannot be. */
static bool put_keys(const struct media_call *mc, const struct view *v, const struct stream *st, enum media_side from,
    struct relay_program *p)
{
	enum media_side to = media_other(from);
	struct crypt_key *open[2] = {&p->open, &p->open_rtcp}, *seal[2] = {&p->seal, &p->seal_rtcp}, unused;
	bool *wait[2] = {&p->wait_rtp, &p->wait_rtcp};

	for (unsigned i = 0; i < 2; i++) {
		bool in = media_links_keys(mc, v, st, from, i, open[i], &unused);
		bool out = media_links_keys(mc, v, st, to, i, &unused, seal[i]);

		*wait[i] = !in || !out;
		if ((!in && !st->dtls[from]) || (!out && !st->dtls[to]))
			return false;
	}
	explicit_bzero(&unused, sizeof(unused));
	/* a description that was agreed before is known by its memo */
	p->renew = mc->side[from].srtp.roc == CRYPT_ROC_RESET &&
	           !(v->side[from].remote.memo.p && v->side[from].remote.memo.p == mc->base.side[from].remote.memo.p);
	return true;
}

/* Packets from the far end `from` to the other one. false: there can be no program. */
static bool make_program(const struct media_call *mc, const struct view *v, const struct stream *st,
    enum media_side from, struct relay_program *p)
{
	enum media_side to = media_other(from);
	const struct sdp_media *rem = media_at(v->side[from].remote.sdp, st->slot[from]);
	const struct sdp_media *loc = media_at(v->side[from].told.sdp, st->slot[from]);
	const struct sdp_media *dest = media_at(v->side[to].remote.sdp, st->slot[to]);

	memset(p, 0, sizeof(*p));
	p->source_rtp = st->remote[from];
	if (rem->conn == SDP_CONN_IP) {
		p->source_rtcp = rem->rtcp;
	} else if (!addr_none(&p->source_rtp) && addr_port(&p->source_rtp) < 65535) {
		p->source_rtcp = p->source_rtp;
		addr_set_port(&p->source_rtcp, (uint16_t)(addr_port(&p->source_rtp) + 1));
	}
	p->latch_ip = media_latch_source(&mc->side[from], &p->source_rtp);
	if (dest->conn == SDP_CONN_IP) {
		p->dest_rtp = dest->rtp;
		p->dest_rtcp = dest->rtcp;
	}
	p->mux = media_is_mux(media_at(v->side[to].told.sdp, st->slot[to]), dest);
	p->rtp_on = st->on_us[from] != 0;
	p->on_us = st->on_us[from];
	p->cname = mc->cname;
	p->raw = !sdp_is_rtp(rem);
	neg_pt_map(loc ? loc : rem, rem, dest, p->pt_map, p->clock_khz);
	media_dtmf_program(mc, from, loc, rem, dest, p);
	p->dtls = st->dtls[from] != NULL;
	p->ice = st->ice[from];
	return put_keys(mc, v, st, from, p);
}

static struct relay_pair *pair_before(const struct view *before, unsigned stream, unsigned side, const struct relay_pair *now)
{
	struct relay_pair *p = stream < before->n_streams ? before->streams[stream].pair[side] : NULL;

	return p == now ? NULL : p;
}

/* Publishes both directions of all streams. On failure some are new and some old. */
enum reason media_publish(const struct media_call *mc, const struct view *v, const struct view *before)
{
	for (unsigned i = 0; i < v->n_streams; i++) {
		const struct stream *st = &v->streams[i];

		for (unsigned s = 0; s < 2; s++) {
			struct relay_program p;
			enum reason r;

			if (!st->pair[s])
				continue;
			if (st->dtls[s])
				dtls_link_listen(st->dtls[s]);
			if (mc->side[!s].dtmf == MEDIA_DTMF_INFO)
				relay_pair_on_event(st->pair[s], media_event, (void *)(uintptr_t)mc);
			if (mc->capture)
				relay_pair_capture(st->pair[s], (enum media_capture)mc->capture, mc->capture_key);
			if (!st->live || !st->pair[!s] || !make_program(mc, v, st, (enum media_side)s, &p)) {
				r = relay_program_set(st->pair[s], NULL, NULL);
			} else {
				p.in_before = pair_before(before, i, s, st->pair[s]);
				p.out_before = pair_before(before, i, !s, st->pair[!s]);
				r = relay_program_set(st->pair[s], st->pair[!s], &p);
				explicit_bzero(&p, sizeof(p));
			}
			if (r)
				return r;
		}
	}
	return REASON_NONE;
}

/* the programs as base has them; what cannot be restored for want of memory stays as it is and is logged */
void media_publish_base(struct media_call *mc)
{
	struct arena *a = arena_new(&mc->m->exchanges);
	struct view v = mc->base;
	bool oom = !a;

	for (unsigned s = 0; s < 2 && !oom; s++) {
		media_desc_open(&v.side[s].remote, a, &oom);
		if (!oom)
			media_desc_open(&v.side[s].told, a, &oom);
	}
	if (oom || media_publish(mc, &v, mc->x && mc->x->kept.bytes ? &mc->x->now : &mc->base))
		log_error(&mc->log, "media_not_restored", "why=%s", "\"out of memory\"");
	arena_free(a);
}
