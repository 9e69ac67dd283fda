/* transport.c - how the streams of a side travel: reports on a port of their own or on that of RTP (RFC 5761).
 *
 * Each side by itself: what is said here names our own ports and never crosses. An offer of rtcp-mux is taken when no payload
 * type of it would look like a report there (64..95); we do not ask for it ourselves. Bundles are not taken: each stream has its
 * own port, and an answer without the group says so (RFC 9143 7.3).
 */
#include "media/session.h"

enum reason media_attr_add(struct arena *a, struct sdp_media *m, struct str name, struct str value)
{
	struct sdp_attr *at = arena_zalloc(a, sizeof(*at)), **tail = &m->attrs;

	if (!at)
		return REASON_NO_MEMORY;
	*at = (struct sdp_attr){.type = 'a', .name = name, .value = value};
	while (*tail)
		tail = &(*tail)->next;
	*tail = at;
	return REASON_NONE;
}

static bool says_mux(const struct sdp_media *m)
{
	return m && sdp_is_rtp(m) && sdp_attr(m->attrs, S("rtcp-mux"));
}

bool media_is_mux(const struct sdp_media *told, const struct sdp_media *remote)
{
	return says_mux(told) && says_mux(remote);
}

enum reason media_transport_answer(const struct sdp_media *offer, struct arena *a, struct sdp_media *m)
{
	bool clash = false;

	for (unsigned i = 0; i < offer->n_formats; i++)
		clash |= offer->formats[i].pt >= 64 && offer->formats[i].pt < 96;
	return says_mux(offer) && !clash ? media_attr_add(a, m, S("rtcp-mux"), STR_NONE) : REASON_NONE;
}
