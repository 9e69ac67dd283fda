/* setup.c - the way of an INVITE through the box, until it is answered or refused.
 *
 * Happy path: setup_invite() makes the call and leg A, screens the request, asks the policy for the route and the
 * media for an offer; setup_next() makes leg B for the next target and sends its INVITE; provisional answers cross
 * with their early media; the 2xx crosses, leg B is acknowledged, leg A repeats its 2xx until ACK.
 * Late offer: INVITE without SDP crosses without one, B's 2xx brings the offer, A's ACK the answer, and B's ACK
 * waits for it (change.c).
 * Failure: walk.c goes on to another address or target, unless A already hears early media. When none is left A gets
 * the best answer (FOV-04), never a 503 of somebody else (FOV-03).
 * Redirection: 3xx is followed, as a new call of who redirected, to trunks and numbers we route (UAS-08, SUP-02).
 */
#include "sbc/b2b/internal.h"

#include <errno.h>
#include <stdlib.h>

#define REDIRECTS_MAX 5
#define SUPERVISE_MS 5000
#define PROVISIONAL_MS 60000

static void on_expires(struct timer *t);
static void on_provisional(struct timer *t);
static void on_supervise(struct timer *t);
static void on_ring_timeout(struct timer *t);

void setup_free(struct call *c)
{
	struct setup *s = c->setup;

	if (!s)
		return;
	timer_stop(c->b2b->env->timers, &s->expires);
	timer_stop(c->b2b->env->timers, &s->provisional);
	timer_stop(c->b2b->env->timers, &s->budget);
	timer_stop(c->b2b->env->timers, &s->silence);
	list_del(&s->waiting);
	walk_forget_ways(s);
	free(s->invite);
	block_put(&c->b2b->blocks, s, sizeof(*s));
	c->setup = NULL;
}

/* ------------------------------------------------------------------ server transactions of both legs */

static void srv_cancel(void *owner, struct txn_srv *t, const struct sip_msg *cancel)
{
	struct leg *l = owner;
	struct call *c = l->call;
	char text[1024];
	struct buf h;

	buf_init(&h, text, sizeof(text));
	if (leg_peer(l))
		leg_pass_reason(l, leg_peer(l), cancel, &h); /* HDR-01 */
	if (buf_err(&h))
		h.n = 0;
	if (c->change && c->change->kind == CHANGE_PEER && c->change->srv == t)
		change_cancel(c, buf_text(&h));
	else if (l->state == LEG_INVITED)
		call_release(c, l, REASON_CANCELLED, 487, buf_text(&h));
}

static void srv_end(void *owner, struct txn_srv *t, int err)
{
	struct leg *l = owner;

	(void)err;
	if (l->srv == t)
		l->srv = NULL;
	if (l->twoxx && l->twoxx->x.srv == t)
		l->twoxx->x.srv = NULL;
	if (l->call->change && l->call->change->srv == t)
		l->call->change->srv = NULL;
}

const struct txn_srv_ops leg_srv_ops = {srv_cancel, srv_end};

void setup_no_ack(struct dlg_2xx *x)
{
	struct leg *l = container_of(x, struct leg_2xx, x)->leg;

	leg_2xx_end(l);
	if (l->call->released)
		leg_bye(l, l->end_reason, STR_NONE);
	else
		call_release(l->call, NULL, REASON_NO_ACK, 0, STR_NONE);
}

/* ------------------------------------------------------------------ a new call */

static struct call *call_new(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from, bool *ret_dialog)
{
	struct arena *a = arena_new(&b->pool);
	struct call *c;
	struct buf h;
	char tag[12];

	if (!a)
		return NULL;
	c = arena_new_obj(a, struct call);
	if (!c)
		goto fail;
	c->b2b = b;
	c->setup = block_get(&b->blocks, sizeof(*c->setup));
	if (!c->setup)
		goto fail;
	memset(c->setup, 0, sizeof(*c->setup));
	c->setup->call = c;
	list_init(&c->setup->forks);
	c->arena = a;
	c->id = b->next_id;
	c->start_us = b->env->clock->mono_us;
	c->start_wall_us = b->env->clock->wall_us;
	c->trunk_a = t;
	c->peer_a = from->remote;
	c->proto_a = from->proto;
	list_init(&c->legs);
	list_init(&c->carried);
	c->log = (struct log){.to = b->env->logger, .area = LOG_CALL};
	buf_init(&h, c->log.ctx, sizeof(c->log.ctx));
	buf_lit(&h, "call=");
	buf_hex64(&h, c->id);
	buf_z(&h);

	c->a = leg_new(c, MEDIA_A, t);
	if (!c->a)
		goto fail;
	buf_init(&h, tag, sizeof(tag));
	rng_put_token(b->env->rng, &h, sizeof(tag));
	*ret_dialog = true;
	switch (dlg_init_uas(&c->a->dlg, a, m, from, buf_text(&h))) {
	case -ENOMEM:
		b->n_legs--;
		goto fail;
	case -EBADMSG: /* no Contact, a broken Record-Route: it lives just long enough to be refused on record */
		*ret_dialog = false;
		c->a->dlg.path = *from;
		c->a->dlg.local_tag = str_dup(a, buf_text(&h));
		c->a->dlg.call_id = str_dup(a, m->call_id);
		break;
	default:
		break;
	}
	c->a->flow = t->registered ? registered_flow(b, a, from) : NULL;
	c->a->dlg.nat = t->sip.nat || c->a->flow;
	c->a->dlg.path.peer = targets_peer(b->targets, t->id);
	c->sips = m->is_request && m->ruri.scheme == SIP_SCHEME_SIPS;
	c->a->sips = c->sips || str_iprefix(dlg_first_route(&c->a->dlg), S("sips:"));
	c->sip_call_id_a = c->a->dlg.call_id;
	c->policy = policy_ref(b->policy);
	c->a->srv = srv;
	txn_srv_bind(srv, &leg_srv_ops, c->a);
	b2b_leg_index(c->a);
	b->next_id++;
	b->n_calls++;
	htab_add(&b->ids, &c->by_id, c->id);
	list_push(&b->calls, &c->node);
	return c;
fail:
	if (c)
		block_put(&b->blocks, c->setup, sizeof(*c->setup));
	arena_free(a);
	return NULL;
}

static bool looped(const struct call *c, const struct sip_msg *m)
{
	const struct sip_hdr *h = sip_hdr(m, SIP_H_VIA);
	char text[20];
	struct buf mark;

	buf_init(&mark, text, sizeof(text));
	buf_chr(&mark, '.');
	rewrite_loop_mark(c->b2b, c->trunk_a->id, c->calling, c->called, &mark);
	for (; h; h = sip_hdr_next(m, h))
		if (str_find(h->value, buf_text(&mark)) >= 0)
			return true;
	return false;
}

static enum reason open_media(struct call *c, struct str sdp)
{
	struct b2b *b = c->b2b;
	const struct pol_trunk *t = c->trunk_a;
	char id[CALL_ID_TEXT];
	enum reason why;

	call_id_text(c->id, id);
	c->media = media_call_new(b->media, str_z(id));
	if (!c->media)
		return REASON_NO_MEMORY;
	trunk_capture(c, t->id);
	why = media_side_open(c->media, MEDIA_A,
	    &(struct media_side_cfg){.realm = t->realm,
	        .family = c->peer_a.sa.sa_family,
	        .latch = t->media.latch,
	        .signalling = c->peer_a,
	        .codecs = t->media.codecs,
	        .timeout_s = t->media.timeout_s,
	        .fax = t->media.fax,
	        .dscp = policy_dscp(t->media.dscp),
	        .srtp = b2b_srtp(t, (enum net_proto)c->proto_a),
	        .dtmf = t->media.dtmf,
	        .ice = t->media.ice});
	media_on_digit(c->media, dtmf_digit, c);
	if (why == REASON_NONE && sdp.n)
		why = media_remote_offer(c->media, MEDIA_A, sdp);
	return why;
}

void setup_invite(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv, const struct sip_msg *m,
    const struct net_path *from)
{
	char headers[2048], called[256], calling[256];
	struct buf h, to, who;
	struct sip_addr contact;
	enum reason why;
	struct call *c;
	struct str sdp = STR_NONE;
	uint32_t expires;
	bool dialog;

	b2b_count(b, B2B_CALLS_IN);
	c = call_new(b, t, srv, m, from, &dialog);
	if (!c) {
		b2b_refuse(b, srv, t, REASON_NO_MEMORY, S("Retry-After: 5\r\n"));
		return;
	}
	buf_init(&h, headers, sizeof(headers));
	buf_init(&to, called, sizeof(called));
	buf_init(&who, calling, sizeof(calling));
	why = screen_request(b, c->policy, t, m, from, &h);
	if (why == REASON_NONE && !dialog) /* it has read the Contact already */
		why = sip_contact(m, &contact) < 0 ? REASON_HEADER_MISSING : REASON_MALFORMED;
	if (why == REASON_NONE)
		why = screen_invite(b, m, &sdp, &h);
	screen_calling(t, m, &who);
	c->calling = str_dup(c->arena, buf_err(&who) ? S("unknown") : buf_text(&who));
	if (why == REASON_NONE)
		why = screen_called(b, c->policy, t, m, from, &to);
	c->called = str_dup(c->arena, to.n ? buf_text(&to) : str_head(m->ruri.user, 200));
	if (why == REASON_NONE && (!c->calling.p || !c->called.p))
		why = REASON_NO_MEMORY; /* an empty number would be routed like any other */
	if (why == REASON_NONE && t->admin == POL_DISABLED)
		why = REASON_TRUNK_DISABLED;
	if (why == REASON_NONE && t->admin == POL_DRAINING)
		why = REASON_TRUNK_DRAINING;
	if (why == REASON_NONE && (b->shutdown || b->drain))
		why = REASON_SHUTDOWN;
	if (why == REASON_NONE && b->cfg.max_calls && b->n_calls > b->cfg.max_calls)
		why = REASON_LIMIT_BOX;
	if (why == REASON_NONE && looped(c, m))
		why = REASON_LOOP;
	if (why == REASON_NONE) {
		why = trunk_take(b, t, true);
		c->counted_a = why == REASON_NONE;
	}
	if (why == REASON_NONE) {
		why = registered_route(b, c->policy, t, m, c->calling, c->called, &c->setup->route);
		c->route = c->setup->route.route;
	}
	if (why == REASON_NONE)
		why = open_media(c, sdp);
	if (why != REASON_NONE) {
		call_release(c, NULL, why, 0, buf_err(&h) ? STR_NONE : buf_text(&h));
		return;
	}
	c->setup->invite = malloc(m->head.n + m->body.n);
	if (c->setup->invite) { /* without it there is no second target, but the first is tried */
		memcpy(c->setup->invite, m->head.p, m->head.n);
		if (m->body.n)
			memcpy(c->setup->invite + m->head.n, m->body.p, m->body.n);
		c->setup->invite_len = m->head.n + m->body.n;
	}
	leg_note_contact(c->a, m);
	if (!change_begin(c, CHANGE_SETUP, c->a, SIP_INVITE)) {
		call_release(c, NULL, REASON_NO_MEMORY, 0, STR_NONE);
		return;
	}
	c->change->srv = srv;
	c->change->late = sdp.n == 0;
	if (sip_delta_seconds(m, SIP_H_EXPIRES, &expires) == 0 && expires > 0)
		timer_start_ms(b->env->timers, &c->setup->expires, (int64_t)expires * 1000, on_expires);
	setup_next(c, m);
}

/* ------------------------------------------------------------------ the far end answers */

static enum reason reason_of(uint16_t status)
{
	switch (status) {
	case 401:
	case 407:
		return REASON_DIGEST_AUTH;
	case 404:
	case 410:
	case 604:
		return REASON_PEER_NOT_FOUND;
	case 408:
		return REASON_PEER_SILENT;
	case 430:
		return REASON_FLOW_FAILED;
	case 480:
		return REASON_PEER_UNAVAILABLE;
	case 486:
	case 600:
		return REASON_PEER_BUSY;
	case 487:
		return REASON_CANCELLED;
	case 488:
	case 606:
		return REASON_NO_COMMON_CODEC;
	case 603:
	case 607:
	case 608:
		return REASON_PEER_DECLINED;
	default:
		return status >= 500 && status < 600 ? REASON_PEER_ERROR : REASON_PEER_REFUSED;
	}
}

/* What leg A is told for a final answer of leg B. */
uint16_t setup_status_towards(uint16_t status)
{
	if (status == 503)
		return 500; /* FOV-03 */
	if (status == 401 || status == 407)
		return 403; /* a challenge to us is not one to them */
	if (status == 487)
		return 480; /* nobody of ours cancelled */
	if (status == 430)
		return 480; /* a flow of theirs is none of the caller's (RFC 5626 11.5) */
	return status;
}

static bool may_fail_over(const struct call *c, const struct leg *l, uint16_t status)
{
	const uint16_t *code = l->trunk->sip.failover_codes;

	if (!walk_can_go_on(c))
		return false;
	if (status >= 600 || status == 486)
		return false;
	if (status == 503 || status == 408 || status == 430 || status == 0)
		return true;
	for (; code && *code; code++)
		if (*code == status)
			return true;
	return false;
}

/* Leg B is over without an answer: keeps the figures, lets the leg go. */
static void drop_try(struct leg *l, enum reason why, uint16_t status)
{
	struct call *c = l->call;

	call_try_end(l, why, status);
	/* a redirection that is followed is no failure: those it leads to decide */
	if (status == 0 || status >= 400)
		(void)walk_note_failure(c, why, status, status ? setup_status_towards(status) : 0);
	c->change->to = NULL;
	leg_give_up(l, why, STR_NONE);
}

/* its place among the hops, n_hops when it is none of them */
static unsigned hop_find(const struct setup *s, const struct pol_hop *hop, struct str called, struct str first)
{
	unsigned i;

	for (i = 0; i < s->route.n_hops; i++) {
		struct str other = s->hop_called[i].n ? s->hop_called[i] : first;

		if (s->route.hops[i].trunk->id == hop->trunk->id && s->route.hops[i].target == hop->target &&
		    str_eq(other, called))
			break;
	}
	return i;
}

/* Makes the hop the next one at *at. One that was tried is not tried again (UAS-08); one that waits for its turn is
 * moved forward. */
static void insert_hop(struct call *c, unsigned *at, const struct pol_hop *hop, struct str called)
{
	struct setup *s = c->setup;
	unsigned was = hop_find(s, hop, called, c->called);

	if (was < *at || was >= POL_HOPS_MAX)
		return;
	if (was == s->route.n_hops)
		s->route.n_hops++;
	for (unsigned i = was; i > *at; i--) {
		s->route.hops[i] = s->route.hops[i - 1];
		s->hop_called[i] = s->hop_called[i - 1];
	}
	s->route.hops[*at] = *hop;
	s->hop_called[*at] = called;
	(*at)++;
}

struct redirect {
	struct sip_addr addr;
	unsigned q; /* thousandths */
};

static unsigned q_of(struct str params)
{
	struct str v, whole, part;
	uint32_t w = 1, f = 0;

	if (!sip_param_get(params, S("q"), &v))
		return 1000;
	part = str_cut(v, '.', &whole);
	if (str_u32(whole, 1, &w) < 0)
		return 0;
	part = str_head(part, 3);
	if (part.n && str_u32(part, 999, &f) < 0)
		f = 0;
	for (size_t i = part.n; i < 3; i++)
		f *= 10;
	return w ? 1000 : f;
}

/* Is that one of the addresses of the target? */
static bool stands_behind(const struct b2b *b, const struct pol_hop *hop, const struct addr *a)
{
	struct target_way ways[TARGET_WAYS_MAX];
	enum reason why;
	unsigned n = hop->target->registered ? 0 : targets_ways_seen(b->targets, hop, ways, &why);

	for (unsigned i = 0; i < n; i++)
		if (addr_eq(&ways[i].path.remote, a) || addr_eq(&ways[i].alt, a))
			return true;
	return false;
}

/* Adds the contacts of a 3xx as next hops, best q first. true when there is at least one not tried yet. A contact
 * that names a target of the redirecting trunk itself is taken at its word; any other goes where the routes send a
 * call of that trunk, whatever address it names (ACC-02). */
static bool follow(struct call *c, const struct leg *l, const struct sip_msg *m)
{
	struct sip_values w = sip_values(m, SIP_H_CONTACT);
	struct redirect list[8];
	unsigned n = 0, at = c->setup->next_hop;
	struct str v;

	if (++c->setup->redirects > REDIRECTS_MAX)
		return false;
	while (n < ARRAY_LEN(list) && sip_values_next(&w, &v)) {
		struct redirect r;
		unsigned i = n;

		if (sip_addr_parse(v, &r.addr) < 0)
			continue;
		r.q = q_of(r.addr.params);
		for (; i > 0 && list[i - 1].q < r.q; i--)
			list[i] = list[i - 1];
		list[i] = r;
		n++;
	}
	for (unsigned i = 0; i < n; i++) {
		struct net_path path = {.realm = l->trunk->realm, .proto = l->dlg.path.proto};
		struct target_way named[TARGET_WAYS_MAX];
		const struct pol_trunk *t = NULL;
		struct pol_route_result res;
		char number[128], canon[128];
		struct buf b, k;
		struct str called;

		buf_init(&b, number, sizeof(number));
		buf_init(&k, canon, sizeof(canon));
		if (sip_uri_number(&list[i].addr.uri, &b) == 0)
			policy_number_in(l->trunk, buf_text(&b), &k);
		else
			sip_unescape(&k, list[i].addr.uri.user);
		if (buf_err(&k) || k.n == 0)
			continue;
		called = str_dup(c->arena, buf_text(&k));
		if (!called.p)
			return false;
		if (sip_uri_addr(&list[i].addr.uri, &path.remote)) {
			if (addr_port(&path.remote) == 0)
				addr_set_port(&path.remote, 5060);
			t = policy_identify(c->policy, &path, NULL);
		} else if (targets_named(c->b2b->targets, l->trunk, list[i].addr.uri.host, list[i].addr.uri.port, LOCATE_ANY,
		               named)) { /* a name of its own; others are never looked up */
			path.remote = named[0].path.remote;
			t = l->trunk;
		}
		if (t == l->trunk) {
			for (unsigned k2 = 0; k2 < t->n_targets; k2++) {
				struct pol_hop hop = {t, &t->targets[k2]};

				if (stands_behind(c->b2b, &hop, &path.remote))
					insert_hop(c, &at, &hop, called);
			}
			continue;
		}
		policy_route(c->policy, l->trunk, c->calling, called, c->b2b->env->clock->wall_us,
		    c->b2b->env->rng, &res);
		registrar_hops(c->b2b, c->calling, &res);
		for (unsigned k2 = 0; k2 < res.n_hops; k2++)
			insert_hop(c, &at, &res.hops[k2], called);
	}
	return at > c->setup->next_hop;
}

/* 3xx to leg A, contacts made ours (pol_redirect relay). */
static void relay_redirect(const struct call *c, const struct sip_msg *m, struct buf *h)
{
	const struct leg *a = c->a;
	const struct net_local *us = leg_local(a, &a->dlg.path);
	struct sip_values w = sip_values(m, SIP_H_CONTACT);
	struct str v;

	while (us && sip_values_next(&w, &v)) {
		struct sip_addr addr;
		char number[128], canon[128];
		struct buf b, k;

		buf_init(&b, number, sizeof(number));
		buf_init(&k, canon, sizeof(canon));
		if (sip_addr_parse(v, &addr) < 0)
			continue;
		if (sip_uri_number(&addr.uri, &b) == 0)
			policy_number_in(c->trunk_b, buf_text(&b), &k);
		else
			sip_unescape(&k, addr.uri.user);
		if (buf_err(&k))
			continue;
		buf_init(&b, number, sizeof(number));
		policy_number_out(c->trunk_a, buf_text(&k), &b);
		buf_lit(h, "Contact: <");
		sip_put_uri_number(h, c->sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP, buf_text(&b), us->host, us->port, STR_NONE, false);
		buf_fmt(h, ">;q=%u.%03u\r\n", q_of(addr.params) / 1000, q_of(addr.params) % 1000);
	}
}

void setup_keep_reason(struct call *c, const struct sip_msg *m)
{
	char text[96];
	struct buf b;

	if (!sip_hdr(m, SIP_H_REASON))
		return;
	buf_init(&b, text, sizeof(text));
	buf_escaped(&b, str_head(sip_hdr_value(m, SIP_H_REASON), 80), 80);
	if (!buf_err(&b))
		c->peer_reason = str_dup(c->arena, buf_text(&b));
}

/* What the final answer says of the address it came from. */
static void report(struct leg *l, const struct sip_msg *m)
{
	const struct setup *s = l->call->setup;
	struct targets *ts = l->call->b2b->targets;
	uint32_t wait_s = 0;

	if (m->status == 503) {
		if (sip_retry_after(m, &wait_s) < 0)
			wait_s = 0;
		targets_report(ts, l->trunk->id, &l->dlg.path, TARGET_503, REASON_PEER_ERROR, wait_s);
	} else if (m->status == 408 && !s->heard) {
		targets_report(ts, l->trunk->id, &l->dlg.path, TARGET_SILENT, REASON_PEER_SILENT, 0);
	}
}

static void final_failure(struct leg *l, const struct sip_msg *m)
{
	struct call *c = l->call;
	uint16_t status = m->status, towards;
	enum reason why = reason_of(status);
	char text[4096];
	struct buf h;

	if (status == 401 || status == 407) {
		why = leg_challenged(l, m);
		if (why == REASON_NONE && walk_same_way(l, &l->dlg.path))
			return;
		if (why == REASON_NONE)
			why = REASON_DIGEST_AUTH;
	}
	c->peer_status = status;
	setup_keep_reason(c, m);
	report(l, m);
	if ((status == 503 || status == 430 || (status == 408 && walk_other_flow(c->setup))) && walk_next_way(l, why, status))
		return;
	if (status < 400) {
		why = REASON_REDIRECTED;
		if (l->trunk->sip.redirect == POL_REDIRECT_FOLLOW && !c->setup->sdp_sent && follow(c, l, m)) {
			drop_try(l, why, status);
			b2b_count(c->b2b, B2B_FAILOVERS);
			setup_next(c, NULL);
			return;
		}
	} else if (may_fail_over(c, l, status)) {
		drop_try(l, why, status);
		b2b_count(c->b2b, B2B_FAILOVERS);
		setup_next(c, NULL);
		return;
	}
	towards = setup_status_towards(status);
	buf_init(&h, text, sizeof(text));
	if (status < 400) {
		if (l->trunk->sip.redirect == POL_REDIRECT_RELAY)
			relay_redirect(c, m, &h);
		if (h.n == 0)
			towards = 480;
	}
	/* a better failure of an earlier target decides, when there was one */
	if (!walk_note_failure(c, why, status, towards)) {
		towards = c->setup->best_status;
		why = c->setup->best_reason;
	} else if (c->a) {
		leg_pass_headers(l, c->a, m, &h);
	}
	call_try_end(l, why, status);
	call_release(c, l, why, towards, buf_err(&h) ? STR_NONE : buf_text(&h));
}

void setup_failed(struct leg *l, int err)
{
	struct call *c = l->call;
	enum reason why = err == -ETIMEDOUT  ? REASON_PEER_SILENT
	                  : err == -EMFILE   ? REASON_NO_DESCRIPTORS
	                                     : net_error_reason(err);

	if (l->state != LEG_CALLING && l->state != LEG_EARLY)
		return;
	timer_stop(c->b2b->env->timers, &c->setup->silence);
	if (err == -ETIMEDOUT ? !c->setup->heard : err != -EMFILE && err != -ENOMEM) {
		enum target_outcome what = err == -ETIMEDOUT ? TARGET_SILENT : TARGET_UNREACHED;
		struct net_path alt = l->dlg.path;

		targets_report(c->b2b->targets, l->trunk->id, &l->dlg.path, what, why, 0);
		alt.remote = c->setup->alt;
		if (!addr_none(&alt.remote)) /* the race had no winner */
			targets_report(c->b2b->targets, l->trunk->id, &alt, what, why, 0);
	}
	setup_leave(l, why);
}

void setup_leave(struct leg *l, enum reason why)
{
	struct call *c = l->call;

	if (walk_next_way(l, why, 0))
		return;
	if (walk_back(c, l) || may_fail_over(c, l, 0)) {
		drop_try(l, why, 0);
		b2b_count(c->b2b, B2B_FAILOVERS);
		setup_next(c, NULL);
		return;
	}
	(void)walk_note_failure(c, why, 0, 0);
	call_try_end(l, why, 0);
	why = c->setup->best_reason;
	call_release(c, l, why, c->setup->best_status, STR_NONE);
}

/* The early dialog that this answer belongs to becomes leg B's dialog (DLG-04). */
static int choose_dialog(struct leg *l, const struct sip_msg *m, const struct net_path *path)
{
	struct setup *s = l->call->setup;
	struct fork *f;
	struct dlg other;

	if (m->to.tag.n == 0)
		return m->status < 200 ? 0 : dlg_learn(&l->dlg, m, path);
	if (l->dlg.remote_tag.n == 0 || str_eq(l->dlg.remote_tag, m->to.tag))
		return dlg_learn(&l->dlg, m, path);
	list_each(n, &s->forks) {
		f = container_of(n, struct fork, node);
		if (!str_eq(f->dlg.remote_tag, m->to.tag))
			continue;
		other = l->dlg;
		l->dlg = f->dlg;
		f->dlg = other;
		return dlg_learn(&l->dlg, m, path);
	}
	other = l->dlg;
	if (m->status < 200) { /* a 2xx decides: the others are not needed any more */
		if (s->n_forks >= FORKS_MAX)
			return -ENOSPC;
		f = arena_new_obj(l->call->arena, struct fork);
		if (!f)
			return -ENOMEM;
		f->dlg = other;
		list_push(&s->forks, &f->node);
		s->n_forks++;
	}
	dlg_fork(&l->dlg, &other);
	dlg_set_target(&l->dlg, other.target); /* until it says its own */
	return dlg_learn(&l->dlg, m, path);
}

static void progress(struct leg *l, struct txn_cli *t, const struct sip_msg *m)
{
	struct call *c = l->call;
	struct b2b *b = c->b2b;
	uint16_t status = m->status;
	char text[B2B_SDP_MAX], headers[4096];
	struct str sdp = STR_NONE;
	struct buf s, h;

	timer_stop(b->env->timers, &c->setup->silence);
	if (status == 100)
		return;
	if (choose_dialog(l, m, &t->path) < 0)
		return;
	leg_set_state(l, LEG_EARLY, "rx_1xx");
	timer_stop(b->env->timers, &c->setup->budget);
	if (!c->ring_us)
		c->ring_us = b->env->clock->mono_us;
	if (status == 199)
		return;
	if (status != 180 && status != 181 && status != 182)
		status = 183; /* UAS-11 */
	buf_init(&s, text, sizeof(text));
	if (!c->change->late && sip_body_sdp(m, &sdp) == 0 && sdp.n &&
	    media_remote_answer(c->media, MEDIA_B, sdp) == REASON_NONE &&
	    media_local_answer(c->media, MEDIA_A, &s) == REASON_NONE && !buf_err(&s)) {
		l->early_sdp = true;
		c->setup->sdp_sent = true;
	} else {
		buf_init(&s, text, sizeof(text));
	}
	if (!c->a || !c->a->srv)
		return;
	buf_init(&h, headers, sizeof(headers));
	leg_pass_headers(l, c->a, m, &h);
	(void)leg_reply(c->a, c->a->srv, status, STR_NONE, buf_err(&h) ? STR_NONE : buf_text(&h), buf_text(&s));
	c->setup->last_18x = status;
	timer_start_ms(b->env->timers, &c->setup->provisional, PROVISIONAL_MS, on_provisional);
}

static void note(struct call *c)
{
	struct b2b *b = c->b2b;
	struct call_record rec;

	c->noted = true;
	if (!b->user->on_answered)
		return;
	call_facts(c, &rec);
	b->user->on_answered(b->ctx, &rec);
}

static void supervise_from_answer(struct call *c)
{
	uint32_t note_ms = c->b2b->cfg.note_ms;

	if (!note_ms)
		note(c);
	timer_start_ms(c->b2b->env->timers, &c->timer, c->noted ? SUPERVISE_MS : note_ms, on_supervise);
}

/* What leg A is told when the far end's 2xx cannot be used. */
static uint16_t unusable_status(enum reason why)
{
	switch (why) {
	case REASON_NO_MEMORY:
	case REASON_PORTS_EXHAUSTED:
		return 503;
	case REASON_HEADER_MISSING:
	case REASON_MALFORMED:
		return 502;
	case REASON_INTERNAL:
		return 500;
	default:
		return 488; /* of the session description */
	}
}

static void answered(struct leg *l, struct txn_cli *t, const struct sip_msg *m)
{
	struct call *c = l->call;
	struct b2b *b = c->b2b;
	char text[B2B_SDP_MAX], headers[4096];
	enum reason why = REASON_NONE;
	struct str sdp = STR_NONE;
	struct buf s, h;
	int e, body = sip_body_sdp(m, &sdp);

	timer_stop(b->env->timers, &c->setup->silence);
	timer_stop(b->env->timers, &c->timer);
	e = choose_dialog(l, m, &t->path);
	walk_forget_forks(c->setup); /* the others get ACK and BYE as they answer */
	l->cli = NULL;
	leg_set_state(l, LEG_ANSWERED, "rx_2xx");
	call_try_end(l, REASON_NONE, m->status);
	buf_init(&s, text, sizeof(text));
	if (e == -ENOMEM)
		why = REASON_NO_MEMORY;
	else if (e < 0)
		why = REASON_HEADER_MISSING;
	else if (body < 0)
		why = REASON_ANSWER_BAD;
	else if (c->change->late)
		why = sdp.n == 0 ? REASON_ANSWER_MISSING : media_remote_offer(c->media, MEDIA_B, sdp);
	else if (sdp.n)
		why = media_remote_answer(c->media, MEDIA_B, sdp);
	else if (!l->early_sdp)
		why = REASON_ANSWER_MISSING;
	if (why == REASON_NONE)
		why = c->change->late ? media_local_offer(c->media, MEDIA_A, &s)
		                     : media_local_answer(c->media, MEDIA_A, &s);
	if (why == REASON_NONE && buf_err(&s))
		why = REASON_TOO_LARGE;
	if (why == REASON_NONE && (!c->a || !c->a->srv))
		why = REASON_INTERNAL;
	if (why == REASON_NONE && leg_2xx_new(c->a) < 0)
		why = REASON_NO_MEMORY;
	if (why == REASON_NONE) {
		buf_init(&h, headers, sizeof(headers));
		leg_pass_headers(l, c->a, m, &h);
		if (leg_reply(c->a, c->a->srv, 200, STR_NONE, buf_err(&h) ? STR_NONE : buf_text(&h),
		        buf_text(&s)) < 0)
			why = REASON_NO_MEMORY;
	}
	if (why != REASON_NONE) {
		if (c->change->late && body == 0 && sdp.n)
			leg_ack_refusing(l, m->cseq, sdp); /* OFA-07 */
		else
			leg_ack(l, m->cseq, STR_NONE);
		leg_set_state(l, LEG_UP, "answer_unusable");
		call_try_end(l, why, m->status);
		call_release(c, NULL, why, unusable_status(why), STR_NONE);
		return;
	}
	leg_set_state(c->a, LEG_ANSWERED, "tx_2xx");
	leg_2xx_start(c->a, c->a->srv);
	c->answered = true;
	c->status = 200;
	c->answer_us = b->env->clock->mono_us;
	if (!c->ring_us)
		c->ring_us = c->answer_us;
	b2b_count(b, B2B_CALLS_ANSWERED);
	log_debug(&c->log, "call_answered", "trunk=%.*s after_ms=%lld", STR(l->trunk->name),
	    (long long)(c->answer_us - c->start_us) / 1000);
	if (c->change->late) {
		c->change->ack_held = true;
		c->change->ack_cseq = m->cseq;
		c->change->srv = NULL;
	} else {
		leg_ack(l, m->cseq, STR_NONE);
		leg_set_state(l, LEG_UP, "tx_ack");
		c->reoffer_a = media_needs_reoffer(c->media, MEDIA_A);
		media_commit(c->media);
		change_end(c);
	}
	setup_free(c);
	supervise_from_answer(c);
}

/* The first answer of any kind: somebody is there. */
static void hear(struct leg *l, const struct txn_cli *t, const struct sip_msg *m)
{
	struct b2b *b = l->call->b2b;
	struct net_path path = l->dlg.path;

	large_heard(l, t);
	targets_learn(b->targets, l->trunk->id, &path, m);
	if (net_reliable((enum net_proto)path.proto)) { /* of two that were raced, the one that was up first */
		if (!addr_eq(&path.remote, &t->path.remote)) /* the other was not up in time */
			targets_report(b->targets, l->trunk->id, &path, TARGET_UNREACHED, REASON_TRANSPORT, 0);
		path.remote = t->path.remote;
		if (l->try)
			l->try->addr = path.remote;
	}
	if (m->status == 503 || m->status == 408)
		return; /* what that says is judged as a final answer */
	l->call->setup->heard = true;
	targets_report(b->targets, l->trunk->id, &path, TARGET_ANSWERED, REASON_NONE, 0);
}

void setup_response(struct leg *l, struct txn_cli *t, const struct sip_msg *m)
{
	if (l->call->setup && !l->call->setup->heard)
		hear(l, t, m);
	if (l->state != LEG_CALLING && l->state != LEG_EARLY) {
		/* late offer: the 2xx again while its ACK waits for A's answer, or another fork's */
		if (m->status >= 200 && m->status < 300 && !str_eq(m->to.tag, l->dlg.remote_tag))
			b2b_orphan_ops.on_response(l->call->b2b, t, m);
		return;
	}
	leg_content(l, m);
	if (m->status < 200)
		progress(l, t, m);
	else if (m->status < 300)
		answered(l, t, m);
	else
		final_failure(l, m);
}

/* ------------------------------------------------------------------ time passes */

static void on_expires(struct timer *t)
{
	struct setup *s = container_of(t, struct setup, expires);

	call_release(s->call, NULL, REASON_EXPIRED, 487, STR_NONE); /* UAS-10 */
}

static void on_provisional(struct timer *t)
{
	struct setup *s = container_of(t, struct setup, provisional);
	struct call *c = s->call;

	if (c->a && c->a->srv)
		txn_srv_resend(c->a->srv);
	timer_start_ms(c->b2b->env->timers, &s->provisional, PROVISIONAL_MS, on_provisional);
}

void setup_ring_timer(struct call *c, const struct pol_trunk *t)
{
	timer_start_ms(c->b2b->env->timers, &c->timer, (t->sip.ring_timeout_s ? (int64_t)t->sip.ring_timeout_s : 180) * 1000,
	    on_ring_timeout);
}

static void on_ring_timeout(struct timer *t)
{
	struct call *c = container_of(t, struct call, timer);

	call_release(c, NULL, REASON_NO_ANSWER, 480, STR_NONE);
}

/* Every few seconds while the call is up: media alive, not too long. At first: it is no short one. */
static void on_supervise(struct timer *t)
{
	struct call *c = container_of(t, struct call, timer);
	int64_t now = c->b2b->env->clock->mono_us;
	const struct pol_trunk *trunk[2] = {c->trunk_a, c->trunk_b};
	enum reason broken = media_broken(c->media);

	if (!c->noted)
		note(c);
	if (broken) { /* RFC 5763 5: no media with somebody else, and none in clear */
		call_release(c, NULL, broken, 0, STR_NONE);
		return;
	}
	for (int side = 0; side < 2; side++) {
		uint32_t max_s = trunk[side]->sip.max_duration_s, silent_s = trunk[side]->media.timeout_s;

		if (max_s && now - c->answer_us >= (int64_t)max_s * 1000000) {
			call_release(c, NULL, REASON_CALL_TOO_LONG, 0, STR_NONE);
			return;
		}
		if (silent_s && media_silent_us(c->media, (enum media_side)side) >= (int64_t)silent_s * 1000000) {
			call_release(c, NULL, REASON_MEDIA_TIMEOUT, 0, STR_NONE); /* RTP-12 */
			return;
		}
	}
	timer_start_ms(c->b2b->env->timers, &c->timer, SUPERVISE_MS, on_supervise);
}
