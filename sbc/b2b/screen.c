/* screen.c - may a request go on at all? The checks of RFC 3261 8.2 that need no call, in the order of the RFC:
 * method (core.c), request URI, Require, content. Nothing here changes anything.
 */
#include "sbc/b2b/internal.h"

#include <errno.h>

#include "sbc/reg/gin.h"
#include "sbc/reg/reg.h"

/* Option tags we understand as a UAS. 100rel, timer and replaces come with their parts of the product. */
static bool supported(struct str tag)
{
	(void)tag;
	return false;
}

static bool require_ok(const struct sip_msg *m, enum sip_hdr_id id, struct buf *h, bool *started)
{
	struct sip_values w = sip_values(m, id);
	struct str tag;
	bool ok = true;

	while (sip_values_next(&w, &tag)) {
		if (supported(tag))
			continue;
		if (*started) {
			buf_lit(h, ", ");
		} else {
			buf_lit(h, "Unsupported: ");
			*started = true;
		}
		buf_str(h, tag);
		ok = false;
	}
	return ok;
}

enum reason screen_request(struct b2b *b, const struct policy *p, const struct pol_trunk *t,
    const struct sip_msg *m, const struct net_path *from, struct buf *h)
{
	bool started = false, ok;
	uint32_t breadth;

	(void)b;
	(void)p;
	(void)t;
	/* sips: over anything but TLS is no sips: (RFC 5630 3.1) */
	if (m->ruri.scheme != SIP_SCHEME_SIP && m->ruri.scheme != SIP_SCHEME_TEL &&
	    (m->ruri.scheme != SIP_SCHEME_SIPS || (from->proto != NET_TLS && from->proto != NET_WSS)))
		return REASON_SCHEME;
	if (m->has_max_forwards && m->max_forwards == 0 && m->method != SIP_OPTIONS)
		return REASON_TOO_MANY_HOPS;
	if (sip_delta_seconds(m, SIP_H_MAX_BREADTH, &breadth) == 0 && breadth == 0 && m->method == SIP_INVITE)
		return REASON_BREADTH;
	ok = require_ok(m, SIP_H_REQUIRE, h, &started);
	ok = require_ok(m, SIP_H_PROXY_REQUIRE, h, &started) && ok;
	if (started)
		buf_lit(h, "\r\n");
	return ok ? REASON_NONE : REASON_OPTION_TAG;
}

enum reason screen_no_session(const struct sip_msg *m)
{
	struct str sdp;
	int e = sip_body_sdp(m, &sdp);

	if (e == -EBADMSG)
		return REASON_MALFORMED;
	return sip_body_is(m, S("application/sdp")) || (e == 0 && sdp.n) ? REASON_CONTENT_TYPE : REASON_NONE;
}

/* Accept that leaves no room for a session description (PAR-35). */
static bool accepts_sdp(const struct sip_msg *m)
{
	struct sip_values w = sip_values(m, SIP_H_ACCEPT);
	struct str v, type;

	if (!sip_hdr(m, SIP_H_ACCEPT))
		return true;
	while (sip_values_next(&w, &v)) {
		str_cut(v, ';', &type);
		type = str_trim(type);
		if (str_ieq(type, S("application/sdp")) || str_ieq(type, S("application/*")) ||
		    str_eq(type, S("*/*")))
			return true;
	}
	return false;
}

enum reason screen_invite(struct b2b *b, const struct sip_msg *m, struct str *ret_sdp, struct buf *h)
{
	struct str encoding = sip_hdr_value(m, SIP_H_CONTENT_ENCODING);
	int e;

	(void)b;
	*ret_sdp = STR_NONE;
	if (!accepts_sdp(m)) {
		buf_lit(h, "Accept: application/sdp\r\n");
		return REASON_NOT_ACCEPTABLE;
	}
	if (m->body.n && encoding.n && !str_ieq(encoding, S("identity"))) {
		struct str disposition = sip_hdr_value(m, SIP_H_CONTENT_DISPOSITION);

		if (str_find(disposition, S("handling=optional")) >= 0)
			return REASON_NONE;
		buf_lit(h, "Accept-Encoding: identity\r\n");
		return REASON_CONTENT_TYPE;
	}
	e = sip_body_sdp(m, ret_sdp);
	if (e == -ENOTSUP && sip_body_is(m, S("application/pkcs7-mime")))
		return REASON_SESSION_SEALED; /* for nobody's key that we have (RFC 3261 21.4.28, EVT-06) */
	if (e == -ENOTSUP) {
		buf_lit(h, "Accept: application/sdp, multipart/mixed, multipart/alternative\r\n");
		return REASON_CONTENT_TYPE;
	}
	return e < 0 ? REASON_MALFORMED : REASON_NONE;
}

/* The header that a provider may say the called number in; false: it is not there. */
static bool named_in(const struct sip_msg *m, enum pol_did where, struct sip_uri *ret)
{
	struct str value = STR_NONE, first, rest;
	struct sip_addr a;

	switch (where) {
	case POL_DID_TO:
		*ret = m->to.uri;
		return m->to.uri.user.n > 0 || m->to.uri.scheme == SIP_SCHEME_TEL;
	case POL_DID_DIVERSION:
		value = sip_hdr_value(m, SIP_H_DIVERSION);
		break;
	case POL_DID_CALLED_PARTY:
		for (unsigned i = 0; i < m->n_hdr && !value.p; i++)
			if (m->hdr[i].id == SIP_H_OTHER && str_ieq(m->hdr[i].name, S("P-Called-Party-ID")))
				value = m->hdr[i].value;
		break;
	default:
		return false;
	}
	rest = value;
	if (!sip_value_next(&rest, &first) || sip_addr_parse(first, &a) < 0)
		return false;
	*ret = a.uri;
	return a.uri.user.n > 0;
}

/* Whom a call is for. A provider at which we registered one address calls that address, for every number of it. */
static void called_uri(const struct pol_trunk *t, const struct sip_msg *m, struct sip_uri *ret)
{
	*ret = m->ruri;
	if (t->role != POL_ITSP || t->did_source == POL_DID_RURI)
		return;
	if (t->did_source != POL_DID_AUTO) {
		(void)named_in(m, (enum pol_did)t->did_source, ret);
		return;
	}
	if (t->reg.auth == POL_AUTH_STATIC || !t->reg.user.n || !str_eq(m->ruri.user, t->reg.user))
		return;
	if (!named_in(m, POL_DID_CALLED_PARTY, ret) || str_eq(ret->user, t->reg.user))
		(void)named_in(m, POL_DID_TO, ret);
}

enum reason screen_called(struct b2b *b, const struct policy *p, const struct pol_trunk *t,
    const struct sip_msg *m, const struct net_path *from, struct buf *ret)
{
	char text[256];
	struct sip_uri uri;
	struct buf number;
	struct addr a;
	int e;

	if (m->ruri.scheme != SIP_SCHEME_TEL) {
		bool ours = sip_uri_addr(&m->ruri, &a) && b->user->is_local(b->ctx, from->realm, &a);
		const struct reg_contact *by_flow = NULL;
		enum reason why = b->cfg.reg ? reg_find_flow(b->cfg.reg, t->id, m, &by_flow) : REASON_NONE;

		if (why != REASON_NONE)
			return why;
		if (by_flow) /* whoever has the Path has the contact too, and may call it so (RFC 3327 5.3) */
			ours = true;
		/* what we registered there may have become another address on its way (NAT, learn-address) */
		if (!ours && !b2b_ruri_registered(b, t, m) && !policy_host_is_ours(p, from->realm, m->ruri.host))
			return REASON_RELAY_DENIED;
	}
	if (gin_temp_gruu_is(m->ruri.user)) { /* hundreds of characters of which the first tell it apart */
		buf_str(ret, str_head(m->ruri.user, 22));
		return REASON_NONE;
	}
	called_uri(t, m, &uri);
	buf_init(&number, text, sizeof(text));
	e = sip_uri_number(&uri, &number);
	if (e == 0) {
		policy_number_in(t, buf_text(&number), ret);
	} else if (uri.scheme == SIP_SCHEME_TEL) {
		return REASON_NUMBER_INCOMPLETE;
	} else {
		buf_init(&number, text, sizeof(text));
		sip_unescape(&number, uri.user);
		if (buf_err(&number))
			return REASON_URI_TOO_LONG;
		buf_str(ret, buf_text(&number));
	}
	if (buf_err(ret))
		return REASON_URI_TOO_LONG;
	return ret->n ? REASON_NONE : REASON_NUMBER_UNKNOWN;
}

void screen_calling(const struct pol_trunk *t, const struct sip_msg *m, struct buf *ret)
{
	char text[256];
	struct buf number;

	buf_init(&number, text, sizeof(text));
	if (sip_uri_number(&m->from.uri, &number) == 0) {
		policy_number_in(t, buf_text(&number), ret);
		return;
	}
	buf_init(&number, text, sizeof(text));
	sip_unescape(&number, m->from.uri.user);
	if (!buf_err(&number) && number.n)
		buf_str(ret, buf_text(&number));
	else
		buf_lit(ret, "anonymous");
}
