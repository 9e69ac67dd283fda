/* links.c - the DTLS of a session's streams: which link belongs to which view, and what it gives to programs.
 *
 * A view that an answer made (now) and the one that was agreed (base) have references to the links of their streams; other views
 * borrow them. A link is made when both descriptions of a side name it, and stays as long as they mean the same association
 * (dtls_link_fits()). When its keys come, the programs of the view that packets follow are made again.
 */
#include "media/session.h"

static void changed(void *ctx)
{
	struct media_call *mc = ctx;
	struct exchange *x = mc->x;

	if (!x || !x->kept.bytes)
		media_publish_base(mc);
	else if (media_publish(mc, &x->now, &x->now))
		log_error(&mc->log, "media_not_keyed", "why=\"%s\"", "out of memory");
}

/* false: no DTLS on that side */
static bool terms_of(const struct media_call *mc, const struct view *v, const struct stream *st, enum media_side side,
    struct dtls_terms *ret)
{
	const struct sdp_media *told = media_at(v->side[side].told.sdp, st->slot[side]);
	const struct sdp_media *remote = media_at(v->side[side].remote.sdp, st->slot[side]);

	if (!media_secure_by_dtls(mc, side, told, remote) || !media_secure_terms(mc, side, told, remote, ret))
		return false;
	ret->pair = st->pair[side];
	ret->mux = media_is_mux(told, remote);
	ret->ice = st->ice[side].ours[0] != '\0';
	if (ret->ice) /* it is where its checks say */
		return true;
	if (remote->conn == SDP_CONN_IP) {
		ret->to[0] = remote->rtp;
		ret->to[1] = remote->rtcp;
	}
	ret->latch_ip = media_latch_source(&mc->side[side], &st->remote[side]);
	return true;
}

void media_links_drop(struct view *v)
{
	for (unsigned i = 0; i < v->n_streams; i++)
		for (unsigned s = 0; s < 2; s++) {
			dtls_link_unref(v->streams[i].dtls[s]);
			v->streams[i].dtls[s] = NULL;
		}
}

enum reason media_links_agree(struct media_call *mc, struct view *v)
{
	enum reason r = REASON_NONE;

	for (unsigned i = 0; i < v->n_streams; i++)
		for (unsigned s = 0; s < 2; s++) {
			struct stream *st = &v->streams[i];
			struct dtls_link *was = st->dtls[s];
			struct dtls_terms t;

			st->dtls[s] = NULL;
			(void)media_ice_keys(mc, (enum media_side)s, media_at(v->side[s].told.sdp, st->slot[s]),
			    media_at(v->side[s].remote.sdp, st->slot[s]), &st->ice[s]);
			st->events[s] = st->live && mc->side[s].dtmf == MEDIA_DTMF_RTP &&
			                media_has_events(media_at(v->side[s].remote.sdp, st->slot[s]));
			if (r || !st->live || !st->pair[s] || !terms_of(mc, v, st, (enum media_side)s, &t))
				continue;
			if (was && dtls_link_fits(was, &t)) {
				st->dtls[s] = dtls_link_ref(was);
				dtls_link_learn(was, &t);
				continue;
			}
			st->dtls[s] = dtls_link_new(mc->m->dtls, &t, &mc->log, s == MEDIA_A ? "a" : "b", was, changed, mc);
			if (!st->dtls[s])
				r = REASON_NO_MEMORY;
		}
	if (r)
		media_links_drop(v);
	return r;
}

void media_links_confirm(const struct view *v)
{
	for (unsigned i = 0; i < v->n_streams; i++)
		for (unsigned s = 0; s < 2; s++)
			if (v->streams[i].dtls[s])
				dtls_link_confirm(v->streams[i].dtls[s]);
}

bool media_links_keys(const struct media_call *mc, const struct view *v, const struct stream *st, enum media_side side,
    unsigned sock, struct crypt_key *ret_theirs, struct crypt_key *ret_ours)
{
	const struct sdp_media *told = media_at(v->side[side].told.sdp, st->slot[side]);
	const struct sdp_media *remote = media_at(v->side[side].remote.sdp, st->slot[side]);

	memset(ret_theirs, 0, sizeof(*ret_theirs));
	memset(ret_ours, 0, sizeof(*ret_ours));
	if (media_secure_by_dtls(mc, side, told, remote)) {
		if (!st->dtls[side] || !dtls_link_keys(st->dtls[side], sock, ret_theirs, ret_ours))
			return false;
		if (sock && media_is_mux(told, remote)) /* one association, and so one counter of reports */
			ret_theirs->suite = ret_ours->suite = CRYPT_NONE;
		return true;
	}
	/* keys of a description are for reports too */
	return sock ? true : media_secure_keys(mc, side, told, remote, ret_theirs, ret_ours);
}

enum reason media_broken(const struct media_call *mc)
{
	for (unsigned i = 0; i < mc->base.n_streams; i++)
		for (unsigned s = 0; s < 2; s++) {
			const struct dtls_link *l = mc->base.streams[i].dtls[s];

			if (l && dtls_link_why(l))
				return dtls_link_why(l);
		}
	return REASON_NONE;
}
