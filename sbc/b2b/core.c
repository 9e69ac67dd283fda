/* core.c - the root of the B2BUA: which call, which leg, or what answer.
 *
 * A request with a To tag belongs to a leg, found by our own tag (random, so the table cannot be aimed at), and
 * must match Call-ID and their tag as well, and come from the trunk of that leg (ACC-03). One without is new: its
 * source must be a trunk, then its method decides. What the transaction layer could answer by itself never comes
 * here.
 */
#include "sbc/b2b/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "sbc/auth/challenge.h"
#include "sbc/b2b/outside.h"
#include "sbc/reg/client.h"
#include "sbc/reg/reg.h"

const char *const b2b_metric_names[B2B_METRICS] = {"calls_in", "calls_answered", "calls_refused", "calls_failed",
    "tries", "failovers", "strangers", "glare", "late_2xx", "no_dialog", "reinvites", "next_ways", "trimmed",
    "fragmented", "outside", "outside_failed", "challenged", "proof_failed"};

const char *const call_phase_names[4] = {"setup", "ringing", "up", "ending"};

static const struct txn_user user;

void b2b_count(struct b2b *b, enum b2b_metric m)
{
	b->metrics[m]++;
}

uint64_t b2b_metric(const struct b2b *b, enum b2b_metric m)
{
	return b->metrics[m];
}

struct b2b *b2b_new(const struct env *env, struct net *net, struct media *media, const struct b2b_cfg *cfg,
    const struct b2b_user *b2b_user, void *ctx)
{
	struct b2b *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->env = env;
	b->net = net;
	b->media = media;
	b->cfg = *cfg;
	b->user = b2b_user;
	b->ctx = ctx;
	b->log = (struct log){.to = env->logger, .area = LOG_CALL};
	list_init(&b->calls);
	list_init(&b->dead);
	list_init(&b->outside);
	list_init(&b->relays);
	list_init(&b->waiting);
	/* the call and its leg A with their texts; then the other leg (larger than `more`) and whatever comes */
	arena_pool_init_more(&b->pool, 1712, 304, 1024);
	block_pool_init(&b->blocks, BLOCKS_KEPT);
	rng_bytes(env->rng, &b->loop_key, sizeof(b->loop_key));
	/* ids go on where an earlier run cannot have been: seconds since 1970, then a count */
	b->next_id = ((uint64_t)(env->clock->wall_us / 1000000) << 24) + 1;
	b->ended = calloc(ENDED_KEPT, sizeof(*b->ended));
	if (!b->ended || htab_init(&b->ids, 1024) < 0 || htab_init(&b->dialogs, 2048) < 0 ||
	    htab_init(&b->trunks, 64) < 0 || htab_init(&b->strays, 16) < 0)
		goto fail;
	b->txn = txn_new(env, net, &user, b);
	if (!b->txn)
		goto fail;
	b->targets = targets_new(env, net, b->txn, cfg->locator);
	if (!b->targets)
		goto fail;
	b->metric_set = (struct metric_set){
	    .area = "b2b", .names = b2b_metric_names, .values = b->metrics, .n = B2B_METRICS};
	if (env->metrics)
		metrics_add(env->metrics, &b->metric_set);
	return b;
fail:
	if (b->txn)
		txn_free(b->txn);
	if (b->strays.bucket)
		htab_fini(&b->strays);
	if (b->trunks.bucket)
		htab_fini(&b->trunks);
	if (b->dialogs.bucket)
		htab_fini(&b->dialogs);
	if (b->ids.bucket)
		htab_fini(&b->ids);
	free(b->ended);
	free(b);
	return NULL;
}

void b2b_free(struct b2b *b)
{
	if (!b)
		return;
	while (!list_empty(&b->calls)) {
		struct call *c = container_of(b->calls.next, struct call, node);

		call_clear(c, REASON_SHUTDOWN, true);
	}
	if (timer_running(&b->reaper)) {
		timer_fn *reap = b->reaper.fn;

		timer_stop(b->env->timers, &b->reaper);
		reap(&b->reaper);
	}
	outsides_free(b);
	targets_free(b->targets); /* its probes are transactions */
	txn_free(b->txn);
	metrics_del(&b->metric_set);
	strays_free(b);
	trunks_free(b);
	htab_fini(&b->dialogs);
	htab_fini(&b->ids);
	policy_unref(b->policy);
	arena_pool_fini(&b->pool);
	block_pool_fini(&b->blocks);
	free(b->ended);
	free(b);
}

void b2b_set_policy(struct b2b *b, struct policy *p)
{
	struct policy *old = b->policy;

	b->policy = policy_ref(p);
	targets_set_policy(b->targets, p);
	policy_unref(old);
	relays_review(b);
	strays_find(b);
}

unsigned b2b_end_trunkless(struct b2b *b)
{
	struct call *c = b2b_call_next(b, NULL), *next;
	unsigned n = 0;

	for (; c; c = next) {
		next = b2b_call_next(b, c);
		if (c->released || (policy_trunk(b->policy, c->trunk_a->id) &&
		                       (!c->trunk_b || policy_trunk(b->policy, c->trunk_b->id))))
			continue;
		call_clear(c, REASON_TRUNK_DELETED, false);
		n++;
	}
	return n;
}

struct policy *b2b_policy(const struct b2b *b)
{
	return b->policy;
}

struct targets *b2b_targets(const struct b2b *b)
{
	return b->targets;
}

void b2b_shutdown(struct b2b *b)
{
	b->shutdown = true;
	list_each(n, &b->calls) {
		struct call *c = container_of(n, struct call, node);

		call_release(c, NULL, REASON_SHUTDOWN, 0, STR_NONE);
	}
}

void b2b_set_drain(struct b2b *b, bool on)
{
	b->drain = on;
}

void b2b_on_message(struct b2b *b, const struct net_path *from, char *buf, size_t len, enum reason bad)
{
	txn_on_message(b->txn, from, buf, len, bad);
}

void b2b_on_failure(struct b2b *b, const struct net_path *to, uint64_t owner, int err, struct str sent)
{
	txn_on_failure(b->txn, to, owner, err, sent);
}

void b2b_on_flow_up(struct b2b *b, const struct net_path *flow)
{
	targets_on_flow_up(b->targets, flow);
}

void b2b_on_flow_lost(struct b2b *b, const struct net_path *flow, int err)
{
	/* first what is known of the far end, then who goes on to another one */
	targets_on_flow_lost(b->targets, flow, err);
	txn_on_flow_lost(b->txn, flow, err);
}

struct txn_layer *b2b_txn(const struct b2b *b)
{
	return b->txn;
}

unsigned b2b_leg_count(const struct b2b *b)
{
	return b->n_legs;
}

unsigned b2b_call_count(const struct b2b *b)
{
	return b->n_calls;
}

size_t b2b_call_bytes(const struct b2b *b)
{
	return b->pool.live_bytes;
}

const struct pol_trunk *b2b_trunk_of(const struct b2b *b, const struct policy *p, const struct net_path *from)
{
	uint32_t id = b->cfg.reg ? bindings_trunk_at(reg_bindings(b->cfg.reg), from) : 0;
	const struct pol_trunk *t = id ? policy_trunk(p, id) : NULL;

	return t ? t : policy_identify(p, from, net_identity(b->net, from));
}

/* Do we hold a registration of that trunk there? */
static bool held_at(const struct b2b *b, uint32_t trunk_id, const struct net_path *from)
{
	struct reg_client_way held[REG_FLOWS_MAX];
	unsigned n = reg_client_ways(b->cfg.clients, trunk_id, STR_NONE, held);

	while (n-- > 0)
		if (addr_eq_ip(&held[n].path.remote, &from->remote))
			return true;
	return false;
}

/* What we registered at a provider stands in its request URI (GINP-05): that tells its trunks apart. The cookie of a
 * trunk counts when it comes from one of the trunk's own places, or from who holds the registration. */
const struct pol_trunk *b2b_trunk_asked(
    const struct b2b *b, const struct policy *p, const struct sip_msg *m, const struct net_path *from)
{
	const struct pol_trunk *t;
	struct str tk;
	uint32_t id = 0;

	if (b->cfg.clients && m->is_request && sip_param_get(m->ruri.params, S("tk"), &tk))
		id = reg_client_of_cookie(b->cfg.clients, tk);
	t = id ? policy_trunk(p, id) : NULL;
	if (t && t->realm == from->realm && (policy_may_come_from(p, t, from) || held_at(b, id, from)))
		return t;
	return b2b_trunk_of(b, p, from);
}

/* ------------------------------------------------------------------ dialogs */

void b2b_leg_index(struct leg *l)
{
	struct b2b *b = l->call->b2b;

	htab_add(&b->dialogs, &l->by_tag, hash_str(&b->env->hash_key, l->dlg.local_tag));
}

void b2b_leg_unindex(struct leg *l)
{
	htab_del(&l->call->b2b->dialogs, &l->by_tag);
}

struct leg *b2b_leg_by_tag(const struct b2b *b, const struct sip_msg *m, struct dlg **ret_dlg)
{
	struct hnode *n = htab_first(&b->dialogs, hash_str(&b->env->hash_key, m->to.tag));

	for (; n; n = htab_next(n)) {
		struct leg *l = container_of(n, struct leg, by_tag);

		if (dlg_match(&l->dlg, m)) {
			*ret_dlg = &l->dlg;
			return l;
		}
		if (!l->call->setup || l->call->b != l)
			continue;
		list_each(f, &l->call->setup->forks) {
			struct fork *fork = container_of(f, struct fork, node);

			if (dlg_match(&fork->dlg, m)) {
				*ret_dlg = &fork->dlg;
				return l;
			}
		}
	}
	return NULL;
}

/* ------------------------------------------------------------------ what we say of ourselves */

void b2b_put_agent(const struct b2b *b, const struct pol_trunk *t, bool request, struct buf *h)
{
	if (!t || !t->sip.user_agent || b->cfg.user_agent.n == 0)
		return;
	if (request)
		buf_lit(h, "User-Agent: ");
	else
		buf_lit(h, "Server: ");
	buf_str(h, b->cfg.user_agent);
	buf_lit(h, "\r\n");
}

void b2b_put_caps(const struct b2b *b, const struct pol_trunk *t, struct buf *h)
{
	(void)b;
	(void)t;
	buf_lit(h, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE\r\n");
}

static void put_reason_text(enum reason why, struct buf *h)
{
	char code[REASON_CODE_MAX];

	buf_chr(h, '"');
	buf_str(h, str_z(reason_code(why, code)));
	buf_chr(h, ' ');
	buf_str(h, str_z(reason_info(why)->text)); /* catalogue texts hold no quotes: tested */
	buf_chr(h, '"');
}

void b2b_put_reason(const struct pol_trunk *t, enum reason why, struct buf *h)
{
	const struct reason_info *i = reason_info(why);

	if (!t || !t->sip.trusted || why == REASON_NONE || why == REASON_NORMAL)
		return;
	if (i->q850) {
		buf_lit(h, "Reason: Q.850;cause=");
		buf_u64(h, i->q850);
	} else {
		buf_lit(h, "Reason: SIP;cause=");
		buf_u64(h, i->sip ? i->sip : 500);
	}
	buf_lit(h, ";text=");
	put_reason_text(why, h);
	buf_lit(h, "\r\n");
}

/* RFC 3261 20.43, 302: encrypted or in clear, one wants what the other does not */
static bool is_transport_of_media(enum reason why)
{
	return why == REASON_SRTP_OFF || why == REASON_SRTP_NEEDED || why == REASON_SRTP_NO_LINE ||
	       why == REASON_SRTP_IN_CLEAR || why == REASON_SRTP_ANSWER || why == REASON_SRTP_DTLS || why == REASON_SRTP_NOT_DTLS;
}

void b2b_put_warning(const struct pol_trunk *t, enum reason why, struct buf *h)
{
	bool sips = why == REASON_SIPS_DOWNGRADE || why == REASON_SIPS_UPGRADE; /* RFC 5630 4: whoever asks */

	if (!t || (!t->sip.trusted && !sips) || why == REASON_NONE || why == REASON_NORMAL || why == REASON_CANCELLED)
		return;
	buf_lit(h, "Warning: ");
	buf_u64(h, why == REASON_NO_COMMON_CODEC   ? 305
	           : why == REASON_MEDIA_REFUSED   ? 304
	           : is_transport_of_media(why)    ? 302
	           : why == REASON_SIPS_DOWNGRADE  ? 380
	           : why == REASON_SIPS_UPGRADE    ? 381
	                                           : 399);
	buf_lit(h, " postern ");
	put_reason_text(why, h);
	buf_lit(h, "\r\n");
}

void b2b_refuse(struct b2b *b, struct txn_srv *t, const struct pol_trunk *trunk, enum reason why,
    struct str headers)
{
	b2b_refuse_as(b, t, trunk, why, reason_info(why)->sip, headers);
}

void b2b_refuse_as(struct b2b *b, struct txn_srv *t, const struct pol_trunk *trunk, enum reason why, uint16_t status,
    struct str headers)
{
	char text[2048];
	struct buf h;

	buf_init(&h, text, sizeof(text));
	buf_str(&h, headers);
	if (status == 405 || status == 501)
		b2b_put_caps(b, trunk, &h);
	b2b_put_agent(b, trunk, false, &h);
	b2b_put_reason(trunk, why, &h);
	b2b_put_warning(trunk, why, &h);
	if (txn_srv_reply(t, &(struct txn_reply){.status = status ? status : 500,
	                         .headers = buf_err(&h) ? STR_NONE : buf_text(&h)}) < 0)
		txn_srv_detach(t); /* no memory to refuse: the transaction must not wait for us */
}

/* ------------------------------------------------------------------ requests */

static void answer_options(struct b2b *b, const struct pol_trunk *t, struct txn_srv *srv)
{
	char text[1024];
	struct buf h;

	buf_init(&h, text, sizeof(text));
	if (b->drain || b->shutdown) {
		b2b_refuse(b, srv, t, REASON_SHUTDOWN, S("Retry-After: 30\r\n"));
		return;
	}
	if (t->admin == POL_DRAINING) {
		b2b_refuse(b, srv, t, REASON_TRUNK_DRAINING, STR_NONE);
		return;
	}
	b2b_put_caps(b, t, &h);
	buf_lit(&h, "Accept: application/sdp\r\nAccept-Encoding: identity\r\nAccept-Language: en\r\n"
	            "Supported: \r\n");
	b2b_put_agent(b, t, false, &h);
	(void)txn_srv_reply(srv, &(struct txn_reply){.status = 200, .headers = buf_text(&h)});
}

/* Nobody of ours: silence or 403, as the realm says. A certificate that was shown in vain is worth a line, since
 * somebody with a right to be here may have the wrong one. */
static void stranger(struct b2b *b, struct txn_srv *srv, const struct net_path *from)
{
	const struct pol_realm *realm = policy_realm(b->policy, from->realm);
	const struct net_identity *who = net_identity(b->net, from);
	enum reason why = policy_stranger(b->policy, from, who);
	char at[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	struct log_quote q;
	unsigned unsaid;

	b2b_count(b, B2B_STRANGERS);
	if (b->user->on_stranger)
		b->user->on_stranger(b->ctx, from, why, who && who->n_names ? who->names[0] : STR_NONE);
	if (why != REASON_NO_TRUNK && log_gate_open(&b->stranger_gate, b->env->clock->mono_us, B2B_QUIET_US, &unsaid))
		log_info(&b->log, "stranger", "reason=%s peer=%s names=%s unsaid=%u", reason_code(why, code),
		    addr_text(&from->remote, at), log_quoted(&q, who && who->n_names ? who->names[0] : STR_NONE), unsaid);
	if (!realm || realm->strangers == POL_STRANGER_DROP)
		txn_srv_drop(srv);
	else
		b2b_refuse(b, srv, NULL, why, STR_NONE);
}

static void new_request(struct b2b *b, struct txn_srv *srv, const struct sip_msg *m, const struct net_path *from)
{
	const struct pol_trunk *t;
	enum reason why;
	char text[2048];
	struct buf h;

	if (m->method == SIP_REGISTER && b->cfg.reg && policy_has_registrants(b->policy, from->realm)) {
		reg_request(b->cfg.reg, srv, m, from);
		return;
	}
	t = b2b_trunk_asked(b, b->policy, m, from);
	if (!proof_begin(b, &t, srv, m, from))
		return;
	if (!t) {
		stranger(b, srv, from);
		return;
	}
	if (t->sip.nat)
		txn_srv_set_symmetric(srv);
	txn_srv_known(srv, m, from, t->sip.keep && m->method == SIP_INVITE);
	if (t->admin == POL_DISABLED && m->method != SIP_INVITE) {
		b2b_refuse(b, srv, t, REASON_TRUNK_DISABLED, STR_NONE);
		return;
	}
	if (m->method == SIP_INVITE) {
		setup_invite(b, t, srv, m, from);
		return;
	}
	buf_init(&h, text, sizeof(text));
	why = screen_request(b, b->policy, t, m, from, &h);
	if (why != REASON_NONE) {
		b2b_refuse(b, srv, t, why, buf_err(&h) ? STR_NONE : buf_text(&h));
		return;
	}
	switch (m->method) {
	case SIP_OPTIONS:
		if (!outside_request(b, t, srv, m, from))
			answer_options(b, t, srv);
		break;
	case SIP_BYE:
	case SIP_PRACK:
	case SIP_UPDATE:
	case SIP_INFO:
		b2b_count(b, B2B_NO_DIALOG);
		b2b_refuse(b, srv, t, REASON_NO_DIALOG, STR_NONE);
		break;
	case SIP_NOTIFY:
		if (events_unsolicited(b, t, srv, m, from))
			break;
		b2b_count(b, B2B_NO_DIALOG);
		b2b_refuse(b, srv, t, REASON_NO_DIALOG, STR_NONE);
		break;
	case SIP_SUBSCRIBE:
		events_subscribe(b, t, srv, m, from);
		break;
	case SIP_UNKNOWN:
		if (!outside_request(b, t, srv, m, from))
			b2b_refuse(b, srv, t, REASON_METHOD_UNKNOWN, STR_NONE);
		break;
	case SIP_MESSAGE:
		if (outside_request(b, t, srv, m, from))
			break;
		/* fallthrough */
	default:
		b2b_refuse(b, srv, t, REASON_METHOD_NOT_ALLOWED, STR_NONE);
		break;
	}
}

bool b2b_may_be_of(const struct b2b *b, const struct policy *p, const struct pol_trunk *t, const struct net_path *known,
    const struct net_path *from)
{
	const struct pol_trunk *sender;

	if (from->realm == known->realm && addr_eq_ip(&from->remote, &known->remote))
		return true;
	sender = b2b_trunk_of(b, p, from);
	if (sender && sender->id == t->id)
		return true;
	/* a place that several trunks of one provider have */
	return t->role == POL_ITSP && t->reg.auth != POL_AUTH_STATIC && t->source.identify == POL_BY_ADDRESS &&
	       policy_may_come_from(p, t, from);
}

/* The trunk of the leg, or the very address its dialog came from (a trunk changed meanwhile). */
static bool source_fits(const struct b2b *b, const struct leg *l, const struct dlg *d, const struct net_path *from)
{
	const struct pol_trunk *t;

	if (b2b_may_be_of(b, l->call->policy, l->trunk, &d->path, from))
		return true;
	t = b2b_trunk_of(b, b->policy, from);
	return t && t->id == l->trunk->id;
}

static void on_request(void *ctx, struct txn_srv *srv, const struct sip_msg *m, const struct net_path *from)
{
	struct b2b *b = ctx;
	struct dlg *d;
	struct leg *l;
	bool moved;

	if (m->to.tag.n == 0) {
		if (srv)
			new_request(b, srv, m, from);
		return;
	}
	if (srv && events_in_dialog(b, srv, m, from))
		return;
	l = b2b_leg_by_tag(b, m, &d);
	moved = l && !source_fits(b, l, d, from);
	if (moved && !(srv && from->realm == d->path.realm && proof_may_move(l))) {
		b2b_count(b, B2B_STRANGERS);
		log_warn(&l->call->log, "source_mismatch", "leg=%c method=%.*s", "ab"[l->side],
		    STR(m->method_name));
		if (srv && b2b_trunk_of(b, b->policy, from))
			b2b_refuse(b, srv, NULL, REASON_SOURCE_MISMATCH, STR_NONE);
		else if (srv)
			txn_srv_drop(srv);
		return;
	}
	if (!srv) { /* ACK to a 2xx */
		if (l)
			change_ack(l, m);
		return;
	}
	if (l) {
		if (l->trunk->sip.nat)
			txn_srv_set_symmetric(srv);
		if (!proof_inside(b, l->trunk, srv, m, from, moved))
			return;
		if (moved) {
			uint32_t peer = d->path.peer;

			d->path = *from;
			d->path.peer = peer;
		}
		txn_srv_known(srv, m, from, false);
		indialog_request(l, d, srv, m, from);
		return;
	}
	b2b_count(b, B2B_NO_DIALOG);
	if (b2b_trunk_of(b, b->policy, from) || (b->cfg.auth && auth_knows(b->cfg.auth, &from->remote)))
		b2b_refuse(b, srv, b2b_trunk_of(b, b->policy, from), REASON_NO_DIALOG, STR_NONE);
	else if (policy_realm(b->policy, from->realm) &&
	         policy_realm(b->policy, from->realm)->strangers == POL_STRANGER_REFUSE)
		b2b_refuse(b, srv, NULL, REASON_NO_DIALOG, STR_NONE);
	else
		txn_srv_drop(srv);
}

static bool may_answer(void *ctx, const struct net_path *from)
{
	const struct b2b *b = ctx;
	const struct pol_realm *realm;

	if (b2b_trunk_of(b, b->policy, from))
		return true;
	realm = policy_realm(b->policy, from->realm);
	return realm && realm->strangers == POL_STRANGER_REFUSE;
}

static void on_wire(void *ctx, bool out, const struct net_path *path, struct str bytes, struct str call_id)
{
	struct b2b *b = ctx;
	struct str rest;
	ptrdiff_t at;

	if (!b->user->on_wire)
		return;
	if (call_id.n == 0) {
		at = str_find(bytes, S("\r\nCall-ID: "));
		if (at >= 0) {
			rest = str_from(bytes, (size_t)at + 11);
			str_cut(rest, '\r', &call_id);
		}
	}
	b->user->on_wire(b->ctx, out, path, call_id, bytes);
}

static const struct txn_user user = {on_request, on_wire, may_answer};

/* ------------------------------------------------------------------ late answers of legs that were given up */

/* A 2xx that nobody waits for: acknowledged, then ended, from what it says itself (13.2.2.4; TXN-08, -15). */
static void orphan_response(void *owner, struct txn_cli *t, const struct sip_msg *m)
{
	struct b2b *b = owner;
	const struct pol_trunk *trunk;
	struct txn_req r;
	struct arena *a;
	struct dlg d;
	char text[B2B_HEADERS_MAX], refusal[B2B_SDP_MAX];
	struct str sdp;
	struct buf h, s;

	if (t->method != SIP_INVITE || m->status < 200 || m->status >= 300)
		return;
	buf_init(&s, refusal, sizeof(refusal));
	if (!t->with_body && sip_body_sdp(m, &sdp) == 0 && sdp.n &&
	    (media_refuse_stray(b->media, t->path.realm, t->path.remote.sa.sa_family, sdp, &s) != REASON_NONE ||
	        buf_err(&s)))
		buf_init(&s, refusal, sizeof(refusal)); /* an offer that cannot be read */
	a = arena_new(&b->pool);
	if (!a)
		return;
	b2b_count(b, B2B_LATE_2XX);
	buf_init(&h, text, sizeof(text));
	dlg_init_uac(&d, a, m->call_id, m->from.tag, STR_NONE, STR_NONE, &t->path);
	sip_put_name_addr(&h, m->from.display, m->from.uri.raw);
	d.local = str_dup(a, buf_text(&h));
	buf_init(&h, text, sizeof(text));
	sip_put_name_addr(&h, m->to.display, m->to.uri.raw);
	d.remote = str_dup(a, buf_text(&h));
	d.local_cseq = m->cseq;
	d.target = m->to.uri.raw;
	trunk = b2b_trunk_of(b, b->policy, &t->path);
	d.nat = trunk && trunk->sip.nat;
	if (dlg_learn(&d, m, &t->path) != -ENOMEM) {
		r = (struct txn_req){0};
		buf_init(&h, text, sizeof(text));
		dlg_request(&d, SIP_ACK, STR_NONE, m->cseq, &h, &r);
		r.headers = buf_text(&h);
		r.body = buf_text(&s);
		txn_ack_free(txn_ack_new(b->txn, &r));
		r = (struct txn_req){0};
		buf_init(&h, text, sizeof(text));
		dlg_request(&d, SIP_BYE, STR_NONE, 0, &h, &r);
		r.headers = buf_text(&h);
		t = txn_request(b->txn, &r, &b2b_orphan_ops, b);
		if (t)
			txn_cli_detach(t);
	}
	arena_free(a);
}

static void orphan_failed(void *owner, struct txn_cli *t, int err)
{
	(void)owner;
	(void)t;
	(void)err;
}

static void orphan_gone(void *owner, struct txn_cli *t)
{
	(void)owner;
	(void)t;
}

const struct txn_cli_ops b2b_orphan_ops = {orphan_response, orphan_failed, orphan_gone};
