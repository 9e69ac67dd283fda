/* large.c - requests that are too big for a datagram (RFC 3261 18.1.1; LOOP-09; trunk settings mtu and large).
 *
 * A request over the trunk's mtu is first made smaller: compact names, and without the lines nobody needs, but for
 * those that a header rule of the trunk passes by name. What is still too big goes over TCP, whole, when the realm has
 * it and the far end did not refuse it lately (transaction layer; target room remembers), else as one datagram that IP
 * has to cut, which is counted, logged and kept in the record; or it is not sent at all (large=refuse).
 */
#include "sbc/b2b/internal.h"

#define MTU_USUAL 1300
#define VIA_ROOM 100 /* "Via: SIP/2.0/UDP host:port;branch=...;rport" without the host */
#define BODY_ROOM 64 /* Content-Type, Content-Length, empty line */

/* Lines that say nothing the call needs. */
static bool optional(enum sip_hdr_id id)
{
	switch (id) {
	case SIP_H_USER_AGENT:
	case SIP_H_SERVER:
	case SIP_H_ORGANIZATION:
	case SIP_H_ALLOW_EVENTS:
	case SIP_H_ACCEPT_LANGUAGE:
	case SIP_H_TIMESTAMP:
		return true;
	default:
		return false;
	}
}

static bool wanted(const struct pol_trunk *t, struct str name)
{
	for (unsigned i = 0; i < t->n_hdr_rules; i++)
		if (t->hdr_rules[i].action == POL_HDR_PASS && str_ieq(t->hdr_rules[i].name, name))
			return true;
	return false;
}

static void trim(const struct pol_trunk *t, struct str headers, struct buf *b)
{
	struct str line, name, value;

	while (headers.n) {
		enum sip_hdr_id id;
		char compact;

		headers = str_cut(headers, '\n', &line);
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0)
			continue;
		value = str_trim(str_cut(line, ':', &name));
		id = sip_hdr_parse(str_trim(name));
		if (optional(id) && !wanted(t, sip_hdr_name(id)))
			continue;
		compact = id == SIP_H_OTHER ? 0 : sip_hdr_compact(id);
		if (compact)
			buf_chr(b, compact);
		else
			buf_str(b, str_trim(name));
		buf_lit(b, ": ");
		buf_str(b, value);
		buf_lit(b, "\r\n");
	}
}

static size_t size_of(const struct txn_req *r)
{
	return 24 + r->ruri.n + (r->local ? r->local->host.n : 40) + VIA_ROOM + r->headers.n + BODY_ROOM +
	       r->content_type.n + r->body.n;
}

static void fragmented(
    struct b2b *b, const struct pol_trunk *t, const struct log *log, size_t bytes, const char *to)
{
	b2b_count(b, B2B_FRAGMENTED);
	log_info(log, "request_fragmented", "trunk=%.*s to=%s bytes=%zu mtu=%u", STR(t->name), to, bytes, t->sip.mtu_limit);
}

enum reason large_fit_trunk(struct b2b *b, const struct pol_trunk *t, const struct log *log, struct txn_req *r,
    struct buf *small, bool *ret_fragmented)
{
	char text[ADDR_TEXT_MAX];
	size_t limit = t->sip.mtu_limit ? t->sip.mtu_limit : MTU_USUAL;
	struct str whole;

	*ret_fragmented = false;
	r->udp_only = t->sip.udp_only;
	r->mtu_limit = t->sip.mtu_limit;
	r->local = b2b_local(b, t, &r->path);
	if (r->path.proto != NET_UDP || size_of(r) <= limit)
		return REASON_NONE;
	whole = r->headers;
	trim(t, r->headers, small);
	if (!buf_err(small) && small->n < r->headers.n) {
		r->headers = buf_text(small);
		r->compact = true;
	}
	if (size_of(r) > limit) {
		if (t->sip.large == POL_LARGE_REFUSE && r->method != SIP_ACK)
			return REASON_OVER_MTU;
		if (t->sip.large == POL_LARGE_TCP && !t->sip.udp_only &&
		    net_local(b->net, r->path.realm, NET_TCP, r->path.remote.sa.sa_family) &&
		    !targets_tcp_refused(b->targets, t->id, &r->path)) {
			r->headers = whole; /* a stream has room */
			r->compact = false;
			return REASON_NONE;
		}
		*ret_fragmented = true;
		fragmented(b, t, log, size_of(r), addr_text(&r->path.remote, text));
	}
	r->udp_only = true;
	if (r->compact)
		b2b_count(b, B2B_TRIMMED);
	return REASON_NONE;
}

enum reason large_fit(const struct leg *l, struct txn_req *r, struct buf *small, bool *ret_fragmented)
{
	return large_fit_trunk(l->call->b2b, l->trunk, &l->call->log, r, small, ret_fragmented);
}

void large_fragmented(const struct leg *l, size_t bytes, const char *to)
{
	fragmented(l->call->b2b, l->trunk, &l->call->log, bytes, to);
}

void large_heard(struct leg *l, const struct txn_cli *t)
{
	char text[ADDR_TEXT_MAX];

	if (l->dlg.path.proto != NET_UDP || (t->path.proto != NET_TCP && !t->tcp_refused))
		return;
	targets_note_tcp(l->call->b2b->targets, l->trunk->id, &t->path, t->tcp_refused);
	if (!t->tcp_refused)
		return;
	if (l->try)
		l->try->fragmented = true;
	large_fragmented(l, 0, addr_text(&t->path.remote, text));
}
