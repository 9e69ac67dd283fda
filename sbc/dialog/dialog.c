/* dialog.c - dialog state and the requests made from it (RFC 3261 12.1, 12.2).
 *
 * Text that may change as often as the far end likes (remote target, route set) is written over its old place in
 * the call's arena when it fits; a place that is too small is left for one of twice the size. So a session refresh
 * costs no memory, and a far end that says another Contact each time cannot make the arena grow. Names in Contact or Record-Route are never resolved
 * (field rule: only configured names are): such a hop is reached where the dialog's messages come from.
 */
#include "sbc/dialog/dialog.h"

#include <errno.h>

#include "sbc/base/arena.h"
#include "sbc/base/buf.h"

#define ROUTES_MAX 4096

static int keep(struct arena *a, struct str *slot, struct str s)
{
	struct str copy;

	if (str_eq(*slot, s))
		return 0;
	copy = str_dup(a, s);
	if (s.n && !copy.p)
		return -ENOMEM;
	*slot = copy;
	return 0;
}

/* keep() for what may change again and again: most never does, so room for more is made with the first change */
static int keep_over(struct arena *a, struct str *slot, uint16_t *cap, struct str s)
{
	size_t want = !*cap ? s.n : s.n < 32 ? 64 : s.n * 2;
	char *p;

	if (want > UINT16_MAX)
		want = s.n;
	if (s.n <= *cap) {
		if (s.n)
			memmove((char *)slot->p, s.p, s.n);
		slot->n = s.n;
		return 0;
	}
	p = arena_bytes_alloc(a, want);
	if (!p)
		return -ENOMEM;
	memcpy(p, s.p, s.n);
	*slot = str_n(p, s.n);
	*cap = want > UINT16_MAX ? UINT16_MAX : (uint16_t)want;
	return 0;
}

/* Without "?header=value", which may not stand in a request URI (19.1.5). */
static int keep_target(struct dlg *d, const struct sip_uri *uri)
{
	struct str s = uri->raw;

	if (uri->headers.n)
		s = str_head(s, (size_t)(uri->headers.p - s.p) - 1);
	return keep_over(d->arena, &d->target, &d->target_cap, s);
}

/* name-addr without header parameters, in brackets, as From and To of later requests want it */
static int keep_name_addr(struct arena *a, struct str *slot, const struct sip_addr *addr)
{
	char text[4096];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	if (addr->display.n) {
		buf_str(&b, addr->display);
		buf_chr(&b, ' ');
	}
	buf_chr(&b, '<');
	buf_str(&b, addr->uri.raw);
	buf_chr(&b, '>');
	if (buf_err(&b))
		return -EBADMSG;
	return keep(a, slot, buf_text(&b));
}

/* A Record-Route value as the Route of a sips: dialog: every URI of it is sips: (RFC 5630 5.1.1; SIPS-05). */
static void put_sips(struct buf *b, struct str value)
{
	struct sip_addr a;

	if (sip_addr_parse(value, &a) < 0 || a.uri.scheme != SIP_SCHEME_SIP || a.uri.raw.p < value.p) {
		buf_str(b, value);
		return;
	}
	buf_str(b, str_n(value.p, (size_t)(a.uri.raw.p - value.p)));
	buf_lit(b, "sips");
	buf_str(b, str_from(value, (size_t)(a.uri.raw.p - value.p) + 3));
}

/* Record-Route of m as Route lines; in order for a UAS, reversed for a UAC (12.1.1, 12.1.2). */
static int take_routes(struct dlg *d, const struct sip_msg *m, bool reverse)
{
	struct sip_values w = sip_values(m, SIP_H_RECORD_ROUTE);
	struct str value[SIP_VIA_MAX];
	struct sip_addr first;
	struct str front;
	char text[ROUTES_MAX];
	unsigned n = 0;
	struct buf b;

	while (n < ARRAY_LEN(value) && sip_values_next(&w, &value[n]))
		n++;
	if (n == 0) {
		d->routes.n = 0; /* its place stays */
		d->strict = false;
		return 0;
	}
	buf_init(&b, text, sizeof(text));
	for (unsigned i = 0; i < n; i++) {
		buf_lit(&b, "Route: ");
		if (d->sips)
			put_sips(&b, value[reverse ? n - 1 - i : i]);
		else
			buf_str(&b, value[reverse ? n - 1 - i : i]);
		buf_lit(&b, "\r\n");
	}
	front = value[reverse ? n - 1 : 0];
	if (buf_err(&b) || sip_addr_parse(front, &first) < 0)
		return -EBADMSG;
	d->strict = !sip_param_get(first.uri.params, S("lr"), NULL);
	if (keep_over(d->arena, &d->routes, &d->routes_cap, buf_text(&b)) < 0)
		return -ENOMEM;
	d->first_at = (uint16_t)(sizeof("Route: ") - 1 + (size_t)(first.uri.raw.p - front.p));
	d->first_n = (uint16_t)(first.uri.raw.n + (d->sips && first.uri.scheme == SIP_SCHEME_SIP));
	return 0;
}

void dlg_note_allow(struct dlg *d, const struct sip_msg *m)
{
	if (sip_hdr(m, SIP_H_ALLOW))
		d->update_ok = sip_has_token(m, SIP_H_ALLOW, S("UPDATE"));
}

int dlg_init_uas(struct dlg *d, struct arena *a, const struct sip_msg *invite, const struct net_path *from,
    struct str local_tag)
{
	struct sip_addr contact;
	int e;

	memset(d, 0, sizeof(*d));
	d->arena = a;
	d->path = *from;
	if (sip_contact(invite, &contact) < 0)
		return -EBADMSG;
	d->remote_cseq = invite->cseq;
	d->has_remote_cseq = true;
	dlg_note_allow(d, invite);
	if (keep(a, &d->call_id, invite->call_id) < 0 || keep(a, &d->remote_tag, invite->from.tag) < 0 ||
	    keep(a, &d->local_tag, local_tag) < 0 || keep_target(d, &contact.uri) < 0)
		return -ENOMEM;
	e = keep_name_addr(a, &d->remote, &invite->from);
	if (e == 0)
		e = keep_name_addr(a, &d->local, &invite->to);
	if (e == 0)
		e = take_routes(d, invite, false);
	return e;
}

void dlg_init_uac(struct dlg *d, struct arena *a, struct str call_id, struct str local_tag, struct str local,
    struct str remote, const struct net_path *path)
{
	memset(d, 0, sizeof(*d));
	d->arena = a;
	d->call_id = call_id;
	d->local_tag = local_tag;
	d->local = local;
	d->remote = remote;
	d->path = *path;
}

int dlg_learn(struct dlg *d, const struct sip_msg *response, const struct net_path *from)
{
	struct sip_addr contact;
	bool final = response->status >= 200;
	int e;

	if (keep(d->arena, &d->remote_tag, response->to.tag) < 0)
		return -ENOMEM;
	d->path.conn = from->conn;
	if (net_reliable((enum net_proto)from->proto) && from->proto == d->path.proto)
		d->path.remote = from->remote; /* of two that were raced, the one that was up first */
	dlg_note_allow(d, response);
	e = take_routes(d, response, true);
	if (e < 0)
		return e;
	if (sip_contact(response, &contact) == 0) {
		if (keep_target(d, &contact.uri) < 0)
			return -ENOMEM;
	} else if (final) {
		return -EBADMSG;
	}
	if (final)
		d->confirmed = true;
	return 0;
}

int dlg_learn_notify(struct dlg *d, const struct sip_msg *notify, const struct net_path *from)
{
	struct sip_addr contact;
	int e;

	if (sip_contact(notify, &contact) < 0)
		return -EBADMSG;
	if (keep(d->arena, &d->remote_tag, notify->from.tag) < 0 || keep_target(d, &contact.uri) < 0)
		return -ENOMEM;
	e = take_routes(d, notify, false);
	if (e < 0)
		return e;
	d->path = *from;
	d->confirmed = true;
	return 0;
}

void dlg_fork(struct dlg *to, const struct dlg *from)
{
	*to = *from;
	to->remote_tag = to->target = to->routes = STR_NONE;
	to->target_cap = to->routes_cap = 0;
	to->strict = to->confirmed = to->has_remote_cseq = false;
}

bool dlg_match(const struct dlg *d, const struct sip_msg *request)
{
	return str_eq(d->local_tag, request->to.tag) && str_eq(d->call_id, request->call_id) &&
	       str_eq(d->remote_tag, request->from.tag);
}

int dlg_take_cseq(struct dlg *d, const struct sip_msg *request)
{
	if (d->has_remote_cseq && request->cseq < d->remote_cseq)
		return -ESTALE;
	d->remote_cseq = request->cseq;
	d->has_remote_cseq = true;
	return 0;
}

void dlg_refresh(struct dlg *d, const struct sip_msg *m)
{
	struct sip_addr contact;

	dlg_note_allow(d, m);
	if (sip_contact(m, &contact) == 0)
		(void)keep_target(d, &contact.uri); /* out of memory: the old one still works */
}

void dlg_set_target(struct dlg *d, struct str target)
{
	struct sip_uri uri = {.raw = target};

	if (target.n && sip_uri_parse(target, &uri) < 0)
		uri = (struct sip_uri){.raw = target}; /* as it is */
	if (target.n)
		(void)keep_target(d, &uri);
}

void dlg_next_hop(const struct dlg *d, struct net_path *ret)
{
	struct str first = dlg_first_route(d), raw = first.n ? first : d->target, transport;
	struct net_path p = d->path;
	struct sip_uri uri;
	struct addr a;

	*ret = p;
	if (d->nat || sip_uri_parse(raw, &uri) < 0 || !sip_uri_addr(&uri, &a))
		return;
	if (sip_param_get(uri.params, S("transport"), &transport)) {
		if (str_ieq(transport, S("udp")))
			p.proto = NET_UDP;
		else if (str_ieq(transport, S("tcp")))
			p.proto = NET_TCP;
		else if (str_ieq(transport, S("tls")))
			p.proto = NET_TLS;
	}
	if (uri.scheme == SIP_SCHEME_SIPS)
		p.proto = NET_TLS;
	if (addr_port(&a) == 0)
		addr_set_port(&a, p.proto == NET_TLS ? 5061 : 5060);
	if (p.proto != d->path.proto || !addr_eq_ip(&a, &d->path.remote))
		p.conn = 0;
	if (addr_is6(&a) != addr_is6(&d->path.remote))
		memset(&p.local, 0, sizeof(p.local));
	p.remote = a;
	*ret = p;
}

void dlg_request(struct dlg *d, enum sip_method method, struct str method_name, uint32_t cseq,
    struct buf *headers, struct txn_req *r)
{
	struct str name = method == SIP_UNKNOWN ? method_name : sip_method_name(method);

	if (cseq == 0)
		cseq = ++d->local_cseq;
	r->method = method;
	r->method_name = method_name;
	r->cseq = cseq;
	r->call_id = d->call_id;
	r->ruri = d->strict ? dlg_first_route(d) : d->target;
	if (r->ruri.n == 0) /* early, no Contact seen: the URI of To stands in */
		r->ruri = d->target;
	dlg_next_hop(d, &r->path);
	buf_lit(headers, "Max-Forwards: ");
	buf_u64(headers, d->hops && !d->confirmed ? d->hops - 1u : 70);
	buf_lit(headers, "\r\n");
	if (d->strict) {
		/* the first route is the request URI; the target becomes the last route */
		ptrdiff_t end = str_find(d->routes, S("\r\n"));

		buf_str(headers, str_from(d->routes, (size_t)end + 2));
		buf_lit(headers, "Route: <");
		buf_str(headers, d->target);
		buf_lit(headers, ">\r\n");
	} else {
		buf_str(headers, d->routes);
	}
	buf_lit(headers, "From: ");
	buf_str(headers, d->local);
	buf_lit(headers, ";tag=");
	buf_str(headers, d->local_tag);
	buf_lit(headers, "\r\nTo: ");
	buf_str(headers, d->remote);
	if (d->remote_tag.n) {
		buf_lit(headers, ";tag=");
		buf_str(headers, d->remote_tag);
	}
	buf_lit(headers, "\r\nCall-ID: ");
	buf_str(headers, d->call_id);
	buf_lit(headers, "\r\nCSeq: ");
	buf_u64(headers, cseq);
	buf_chr(headers, ' ');
	buf_str(headers, name);
	buf_lit(headers, "\r\n");
}

static void on_2xx_timer(struct timer *t)
{
	struct dlg_2xx *x = container_of(t, struct dlg_2xx, timer);
	int64_t passed_ms = (x->env->clock->mono_us - x->started_us) / 1000;
	int64_t end_ms = 64 * (int64_t)x->t1_ms, next;

	if (passed_ms >= end_ms) {
		x->on_no_ack(x); /* x may be gone: last line */
		return;
	}
	if (x->srv)
		txn_srv_resend(x->srv);
	x->interval_ms = x->interval_ms * 2 < x->t2_ms ? x->interval_ms * 2 : x->t2_ms;
	next = x->interval_ms;
	if (passed_ms + next > end_ms)
		next = end_ms - passed_ms;
	timer_start_ms(x->env->timers, &x->timer, next, on_2xx_timer);
}

void dlg_2xx_start(struct dlg_2xx *x, const struct env *env, struct txn_srv *srv, const struct txn_timers *t,
    dlg_no_ack_fn *on_no_ack)
{
	x->env = env;
	x->srv = srv;
	x->on_no_ack = on_no_ack;
	x->cseq = srv->cseq;
	x->t1_ms = t && t->t1_ms ? t->t1_ms : 500;
	x->t2_ms = t && t->t2_ms ? t->t2_ms : 4000;
	x->interval_ms = x->t1_ms;
	x->started_us = env->clock->mono_us;
	timer_start_ms(env->timers, &x->timer, x->interval_ms, on_2xx_timer);
}

void dlg_2xx_stop(struct dlg_2xx *x)
{
	if (x->env)
		timer_stop(x->env->timers, &x->timer);
	x->srv = NULL;
}

uint32_t dlg_glare_wait_ms(struct rng *rng, bool we_own_call_id)
{
	return we_own_call_id ? 2100 + 10 * rng_below(rng, 191) : 10 * rng_below(rng, 201);
}
