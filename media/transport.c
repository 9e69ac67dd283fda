/* transport.c - how the streams of a side travel: reports on a port of their own or on that of RTP (RFC 5761), ICE (RFC 8839).
 *
 * Each side by itself: what is said here names our own ports and never crosses. An offer of rtcp-mux is taken when no payload
 * type of it would look like a report there (64..95); we ask for it together with ICE, whose speakers are browsers. Bundles are
 * not taken: each stream has its own port, and an answer without the group says so (RFC 9143 7.3).
 *
 * ICE, where the trunk has it: we are lite, with one candidate for each port, its address in the description. Offers say so, and
 * a far end that says nothing of ICE gets a stream without. So does one that is lite itself (nobody would check), and one whose
 * default address is none of its candidates: somebody in between has changed the one and not the others (RFC 8839 4.2.5).
 * Names and passwords of ours stay as long as the far end's do; when it has new ones it begins anew, and so do we (4.4.1).
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

/* a payload type that would look like a report at a shared port (RFC 5761 4) */
static bool clashes(const struct sdp_media *m)
{
	for (unsigned i = 0; i < m->n_formats; i++)
		if (m->formats[i].pt >= 64 && m->formats[i].pt < 96)
			return true;
	return false;
}

/* --- ICE --- */

/* Is the address of the description one of the candidates? A far end that names none of them yet cannot be wrong. */
static bool default_is_candidate(const struct sdp_media *m)
{
	bool any = false;

	for (const struct sdp_attr *at = m->attrs; at; at = at->next) {
		struct str rest = at->value, w[6];
		struct addr a;
		uint32_t port;

		if (at->type != 'a' || !str_ieq(at->name, S("candidate")))
			continue;
		for (unsigned i = 0; i < ARRAY_LEN(w); i++) /* foundation, component, transport, priority, address, port */
			rest = str_cut(rest, ' ', &w[i]);
		if (!str_eq(w[1], S("1")) || str_u32(w[5], 65535, &port) < 0 || addr_parse_ip(w[4], (uint16_t)port, &a) < 0)
			continue;
		any = true;
		if (addr_eq(&a, &m->rtp))
			return true;
	}
	return !any;
}

static struct str attr_value(const struct sdp_media *m, struct str name)
{
	const struct sdp_attr *at = sdp_attr(m->attrs, name);

	return at ? str_trim(at->value) : STR_NONE;
}

/* Does a far end's line speak ICE with us? *ret_ufrag: its name */
static bool speaks_ice(const struct sdp_media *m, struct str *ret_ufrag)
{
	struct str pwd = attr_value(m, S("ice-pwd"));

	*ret_ufrag = attr_value(m, S("ice-ufrag"));
	return sdp_is_rtp(m) && ret_ufrag->n >= 4 && ret_ufrag->n <= ICE_UFRAG_MAX && pwd.n >= 22 && pwd.n <= 256 &&
	       !sdp_attr(m->attrs, S("ice-lite")) && (m->conn != SDP_CONN_IP || default_is_candidate(m));
}

bool media_ice_keys(const struct media_call *mc, enum media_side side, const struct sdp_media *told, const struct sdp_media *remote,
    struct ice_keys *ret)
{
	struct str theirs, ours, pwd;

	memset(ret, 0, sizeof(*ret));
	if (!mc->side[side].ice || !told || !remote || !speaks_ice(remote, &theirs))
		return false;
	ours = attr_value(told, S("ice-ufrag"));
	pwd = attr_value(told, S("ice-pwd"));
	if (ours.n != ICE_UFRAG || pwd.n != ICE_PWD)
		return false;
	memcpy(ret->ours, ours.p, ours.n);
	memcpy(ret->pwd, pwd.p, pwd.n);
	memcpy(ret->theirs, theirs.p, theirs.n);
	return true;
}

bool media_ice_offered(const struct media_call *mc, enum media_side side, const struct sdp_media *offer)
{
	struct str ufrag;

	return mc->side[side].ice && speaks_ice(offer, &ufrag);
}

static enum reason add_token(const struct media_call *mc, struct arena *a, struct sdp_media *m, struct str name, size_t n,
    struct str again)
{
	char *p;
	struct buf b;

	if (again.n == n)
		return media_attr_add(a, m, name, again);
	p = arena_alloc(a, n);
	if (!p)
		return REASON_NO_MEMORY;
	buf_init(&b, p, n);
	rng_put_token(mc->m->env->rng, &b, n);
	return media_attr_add(a, m, name, buf_text(&b));
}

static enum reason add_candidate(struct arena *a, struct sdp_media *m, unsigned component, const struct addr *at)
{
	char *p = arena_alloc(a, 100);
	struct buf b;

	if (!p)
		return REASON_NO_MEMORY;
	buf_init(&b, p, 100);
	/* RFC 8445 5.1.2.1: host, the only one */
	buf_fmt(&b, "1 %u UDP %u ", component, (126u << 24) + (65535u << 8) + 256 - component);
	addr_put_ip(&b, at);
	buf_fmt(&b, " %u typ host", addr_port(at) + component - 1);
	return media_attr_add(a, m, S("candidate"), buf_text(&b));
}

/* before: what that side was told last, when its names stay */
static enum reason add_ice(const struct media_call *mc, const struct addr *at, const struct sdp_media *before, bool mux,
    struct arena *a, struct sdp_media *m)
{
	enum reason r = media_attr_add(a, m, S("ice-lite"), STR_NONE);

	if (!r)
		r = add_token(mc, a, m, S("ice-ufrag"), ICE_UFRAG, before ? attr_value(before, S("ice-ufrag")) : STR_NONE);
	if (!r)
		r = add_token(mc, a, m, S("ice-pwd"), ICE_PWD, before ? attr_value(before, S("ice-pwd")) : STR_NONE);
	if (!r)
		r = add_candidate(a, m, 1, at);
	return r || mux ? r : add_candidate(a, m, 2, at);
}

enum reason media_transport_offer(const struct media_call *mc, enum media_side to, const struct addr *at,
    const struct sdp_media *before, struct arena *a, struct sdp_media *m)
{
	enum reason r;

	if (!mc->side[to].ice || !sdp_is_rtp(m))
		return REASON_NONE;
	r = clashes(m) ? REASON_NONE : media_attr_add(a, m, S("rtcp-mux"), STR_NONE);
	return r ? r : add_ice(mc, at, before && before->port ? before : NULL, false, a, m);
}

enum reason media_transport_answer(const struct media_call *mc, enum media_side to, const struct addr *at,
    const struct sdp_media *offer, const struct sdp_media *before, const struct ice_keys *had, struct arena *a, struct sdp_media *m)
{
	bool mux = says_mux(offer) && !clashes(offer);
	enum reason r = mux ? media_attr_add(a, m, S("rtcp-mux"), STR_NONE) : REASON_NONE;
	bool stays;

	if (r || !media_ice_offered(mc, to, offer))
		return r;
	stays = before && before->port && (!had->ours[0] || str_eq(str_z(had->theirs), attr_value(offer, S("ice-ufrag"))));
	return add_ice(mc, at, stays ? before : NULL, mux, a, m);
}
