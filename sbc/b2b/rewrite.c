/* rewrite.c - what the INVITE of leg B says.
 *
 * It is written anew: nothing of leg A's identifiers, addresses or software reaches it (B2B-02, -07, -10). Numbers
 * are put in the form the trunk wants; names of callers keep their display text; headers of A pass only where the
 * policy's table says so.
 */
#include "sbc/b2b/internal.h"

#include <errno.h>

/* us: the host of somebody who registered is ours */
static struct str host_of(const struct pol_hop *hop, const struct net_local *us, char text[ADDR_TEXT_MAX])
{
	struct buf b;

	if (hop->trunk->domain.n)
		return hop->trunk->domain;
	if (hop->target->registered)
		return us ? us->host : S("invalid");
	buf_init(&b, text, ADDR_TEXT_MAX);
	if (addr_none(&hop->target->addr))
		return hop->target->host;
	addr_put_host(&b, &hop->target->addr);
	return buf_text(&b);
}

static enum sip_scheme scheme_of(bool sips)
{
	return sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP;
}

void rewrite_ruri(const struct pol_hop *hop, bool sips, struct str called, struct buf *b)
{
	const struct pol_target *t = hop->target;
	uint16_t usual = t->proto == NET_TLS || sips ? 5061 : 5060;
	char host[ADDR_TEXT_MAX], number[256];
	struct buf n;

	buf_init(&n, number, sizeof(number));
	policy_number_out(hop->trunk, called, &n);
	/* a domain is looked up by its own rules at the far end; an address is written with its port */
	sip_put_uri_number(b, scheme_of(sips), buf_text(&n), host_of(hop, NULL, host),
	    hop->trunk->domain.n || t->port == usual ? 0 : t->port,
	    t->proto == NET_TCP && hop->trunk->domain.n == 0 ? S("tcp") : STR_NONE, false);
}

void rewrite_loop_mark(const struct b2b *b, uint32_t trunk_a, struct str calling, struct str called, struct buf *t)
{
	char text[512];
	struct buf in;
	uint64_t h;

	buf_init(&in, text, sizeof(text));
	buf_put(&in, &trunk_a, sizeof(trunk_a));
	buf_str(&in, str_head(calling, 200));
	buf_chr(&in, 0);
	buf_str(&in, str_head(called, 200));
	h = hash_bytes(&b->loop_key, in.p, in.n);
	buf_hex(t, &h, sizeof(h));
}

void rewrite_from_to(struct b2b *b, const struct pol_hop *hop, bool sips, const struct net_local *us, struct str display,
    struct str calling, struct str called, struct buf *from, struct buf *to)
{
	char host[ADDR_TEXT_MAX], number[256];
	struct buf n;

	(void)b;
	buf_init(&n, number, sizeof(number));
	policy_number_out(hop->trunk, calling, &n);
	sip_put_display(from, display);
	buf_chr(from, '<');
	if (str_ieq(calling, S("anonymous")))
		buf_str(from, sips ? S("sips:anonymous@anonymous.invalid") : S("sip:anonymous@anonymous.invalid"));
	else
		sip_put_uri_number(from, scheme_of(sips), buf_text(&n),
		    hop->trunk->domain.n ? hop->trunk->domain : us->host, 0, STR_NONE, false);
	buf_chr(from, '>');
	buf_init(&n, number, sizeof(number));
	policy_number_out(hop->trunk, called, &n);
	buf_chr(to, '<');
	sip_put_uri_number(to, scheme_of(sips), buf_text(&n), host_of(hop, us, host), 0, STR_NONE, false);
	buf_chr(to, '>');
}

struct str rewrite_to_of(const struct pol_trunk *from, const struct pol_trunk *to, const struct sip_msg *m,
    struct str called, struct buf *space)
{
	char text[256], canon[256];
	struct buf n, k;

	if (!m || to->role != POL_PBX || m->to.uri.user.n == 0)
		return called;
	buf_init(&n, text, sizeof(text));
	buf_init(&k, canon, sizeof(canon));
	if (sip_uri_number(&m->to.uri, &n) == 0)
		policy_number_in(from, buf_text(&n), &k);
	if (!buf_err(&k) && str_eq(buf_text(&k), called))
		return called;
	sip_unescape(space, m->to.uri.user);
	return buf_err(space) || space->n == 0 ? called : buf_text(space);
}

struct str rewrite_token(struct b2b *b, struct arena *a, size_t n)
{
	char *p = arena_bytes_alloc(a, n + 1);
	struct buf t;

	if (!p)
		return STR_NONE;
	buf_init(&t, p, n);
	rng_put_token(b->env->rng, &t, n);
	return buf_text(&t);
}

int rewrite_identity(struct leg *l, const struct sip_msg *m, const struct net_path *path)
{
	const struct net_local *us = leg_local(l, path);
	struct call *c = l->call;
	char from_text[1024], to_text[1024], named[256];
	struct buf from, to, space;
	struct str who;

	if (!us)
		return -ENETUNREACH;
	buf_init(&from, from_text, sizeof(from_text));
	buf_init(&to, to_text, sizeof(to_text));
	buf_init(&space, named, sizeof(named));
	who = rewrite_to_of(c->trunk_a, l->trunk, m, c->setup->called, &space);
	rewrite_from_to(c->b2b, &c->setup->hop, l->sips, us, m ? m->from.display : STR_NONE, c->calling, who, &from, &to);
	if (buf_err(&from) || buf_err(&to))
		return -ENOSPC;
	l->dlg.call_id = rewrite_token(c->b2b, c->arena, 26);
	l->dlg.local_tag = rewrite_token(c->b2b, c->arena, 12);
	l->dlg.local = str_dup(c->arena, buf_text(&from));
	l->dlg.remote = str_dup(c->arena, buf_text(&to));
	return l->dlg.call_id.p && l->dlg.local_tag.p && l->dlg.local.p && l->dlg.remote.p ? 0 : -ENOMEM;
}

int rewrite_invite(struct leg *l, const struct sip_msg *m, const struct net_path *path, const struct target_way *w,
    struct buf *ruri, struct buf *headers)
{
	struct call *c = l->call;
	struct b2b *b = c->b2b;
	struct str target = l->dlg.target;
	uint32_t breadth, mf;
	int e;

	if (!leg_local(l, path))
		return -ENETUNREACH;
	if (w->uri.n)
		buf_str(ruri, w->uri);
	else
		rewrite_ruri(&c->setup->hop, l->sips, c->setup->called, ruri);
	if (buf_err(ruri))
		return -ENOSPC;
	if (l->dlg.local.n == 0) {
		e = rewrite_identity(l, m, path);
		if (e < 0)
			return e;
	}
	if (!str_eq(target, buf_text(ruri)))
		target = str_dup(c->arena, buf_text(ruri));
	if (!target.p)
		return -ENOMEM;
	dlg_init_uac(&l->dlg, c->arena, l->dlg.call_id, l->dlg.local_tag, l->dlg.local, l->dlg.remote, path);
	l->dlg.target = target;
	l->dlg.nat = l->trunk->sip.nat || registered_by_flow(w); /* by its flow, whatever Contact says (RFC 5626 5.3) */
	l->dlg.sips = l->sips;
	l->dlg.local_cseq = c->setup->invite_cseq ? c->setup->invite_cseq : 1;

	/* LOOP-01, -02: one less, unless the trunk is told to start afresh */
	mf = l->trunk->sip.reset_max_forwards || !m || !m->has_max_forwards ? 70 : m->max_forwards - 1;
	buf_lit(headers, "Max-Forwards: ");
	buf_u64(headers, mf);
	if (m && sip_delta_seconds(m, SIP_H_MAX_BREADTH, &breadth) == 0) {
		buf_lit(headers, "\r\nMax-Breadth: ");
		buf_u64(headers, breadth > 60 ? 60 : breadth); /* LOOP-03 */
	} else {
		buf_lit(headers, "\r\nMax-Breadth: 60");
	}
	if (w->route.n) {
		buf_lit(headers, "\r\nRoute: ");
		buf_str(headers, w->route);
	}
	buf_lit(headers, "\r\nFrom: ");
	buf_str(headers, l->dlg.local);
	buf_lit(headers, ";tag=");
	buf_str(headers, l->dlg.local_tag);
	buf_lit(headers, "\r\nTo: ");
	buf_str(headers, l->dlg.remote);
	buf_lit(headers, "\r\nCall-ID: ");
	buf_str(headers, l->dlg.call_id);
	buf_lit(headers, "\r\nCSeq: ");
	buf_u64(headers, l->dlg.local_cseq);
	buf_lit(headers, " INVITE\r\n");
	leg_put_contact(l, headers);
	b2b_put_caps(b, l->trunk, headers);
	b2b_put_agent(b, l->trunk, true, headers);
	if (m)
		leg_pass_headers(c->a, l, m, headers);
	return buf_err(headers);
}
