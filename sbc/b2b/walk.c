/* walk.c - from one place to the next while an INVITE looks for somebody who takes the call.
 *
 * Two loops. The outer one walks the targets of the route: each gets a leg of its own, with its own Call-ID and tag, so
 * that late answers cannot mix (FOV-02). The inner one walks the addresses behind one target (sbc/target): the same
 * leg, Call-ID, tag and CSeq, another branch (RFC 3263 4.3; DNS-05), on transport error, silence and 503 only. The
 * INVITE that is left is cancelled; a 2xx that comes late for it is acknowledged and ended (b2b_orphan_ops).
 *
 * Times: an address that answers nothing is left after try-timeout when there is another place to go; once it has
 * answered anything the call stays there. All tries together may take setup-budget; what is answering by then is not
 * cut. A call with a single place to go waits for timer B.
 *
 * A trunk that sticks to the server which holds its registration (reg-sticky) has one way, there. When nothing comes back
 * by it the registration moves to another server, and the call waits for that (b2b_on_registrar()) and is sent there.
 *
 * Everything down: one of the places is tried all the same, once a second for each target (targets_last_resort).
 * sips: calls use ways over TLS only, and sip: calls never become sips: (RFC 5630 4; SIPS-01).
 */
#include "sbc/b2b/internal.h"

#include <errno.h>
#include <stdlib.h>

#define REGISTRAR_WAIT_US 8000000 /* for a registration that moves to another server */
#define LOOK_MS 150      /* how often an address where nobody was ever heard is looked at */
#define UNHEARD_MS 1000  /* how long it is stayed with when the other family is not heard either */

/* ------------------------------------------------------------------ the record */

static struct try *try_new(struct call *c, const struct pol_hop *hop, const struct target_way *w)
{
	struct try *t = arena_new_obj(c->arena, struct try);

	if (!t)
		return NULL;
	t->trunk = hop->trunk->name;
	t->addr = w ? w->path.remote : hop->target->addr;
	t->proto = w ? w->path.proto : hop->target->proto < NET_PROTOS ? hop->target->proto : NET_UDP;
	t->after_ms = (uint32_t)((c->b2b->env->clock->mono_us - c->start_us) / 1000);
	if (c->last_try)
		c->last_try->next = t;
	else
		c->tries = t;
	c->last_try = t;
	return t;
}

/* FOV-04: 6xx first, then the lowest class; within 4xx those that tell the caller what to change. What we made up
 * ourselves (silence, no connection, limits) comes after what a far end said. */
static unsigned rank(uint16_t status)
{
	if (status == 0)
		return 9;
	if (status >= 600)
		return 0;
	if (status == 401 || status == 407 || status == 415 || status == 420 || status == 484)
		return 1;
	return status / 100u;
}

bool walk_note_failure(struct call *c, enum reason why, uint16_t status, uint16_t shown)
{
	struct setup *s = c->setup;

	if (s->best_reason != REASON_NONE && rank(status) > s->best_rank)
		return false;
	s->best_rank = rank(status);
	s->best_status = shown ? shown : reason_info(why)->sip;
	s->best_reason = why;
	return true;
}

/* ------------------------------------------------------------------ times */

static void on_no_response(struct timer *t);

uint32_t walk_try_ms(const struct pol_trunk *t, const struct target_way *w)
{
	uint32_t least = t->sip.try_ms < UNHEARD_MS ? t->sip.try_ms : UNHEARD_MS;

	return !w->try_ms ? t->sip.try_ms : w->try_ms > least ? w->try_ms : least;
}

static bool heard_by_options(const struct leg *l, const struct net_path *path)
{
	enum reason why;

	return targets_state(l->call->b2b->targets, l->trunk->id, path, &why) == TARGET_UP;
}

/* The next way is the other family of the same server, and somebody was heard there. */
static bool other_family_heard(const struct leg *l)
{
	const struct setup *s = l->call->setup;
	const struct target_way *next = s->at_way < s->n_ways ? &s->ways[s->at_way] : NULL;

	return next && next->path.proto == l->dlg.path.proto && str_eq(next->server, s->ways[s->at_way - 1].server) &&
	       heard_by_options(l, &next->path);
}

/* Nobody had ever been heard there, so it is looked at sooner than after try-timeout. It is left as soon as the other family
 * has answered OPTIONS and this one has not. As long as neither has, both may be slow, and an INVITE on each would ring
 * twice (HE-03): UNHEARD_MS then, in which it was said twice and so was OPTIONS. */
static bool stays(struct leg *l)
{
	struct setup *s = l->call->setup;
	const struct env *env = l->call->b2b->env;

	if (!s->short_try || l->connecting)
		return false;
	if (heard_by_options(l, &l->dlg.path)) {
		s->short_try = false;
		timer_start_ms(env->timers, &s->silence, l->trunk->sip.try_ms, on_no_response);
		return true;
	}
	if (env->clock->mono_us >= s->short_until_us || other_family_heard(l))
		return false;
	timer_start_ms(env->timers, &s->silence, LOOK_MS, on_no_response);
	return true;
}

static void on_no_response(struct timer *t)
{
	struct leg *l = container_of(t, struct setup, silence)->call->b;

	if (!stays(l))
		setup_failed(l, -ETIMEDOUT);
}

static bool other_way(const struct setup *s)
{
	return s->at_way < s->n_ways && !s->budget_over && s->n_tries < TRIES_MAX;
}

static bool other_hop(const struct setup *s)
{
	return s->next_hop < s->route.n_hops && !s->budget_over && s->n_tries < TRIES_MAX;
}

bool walk_can_go_on(const struct call *c)
{
	return !c->setup->sdp_sent && other_hop(c->setup);
}

static void on_waited(struct timer *t);

static void on_budget(struct timer *t)
{
	struct setup *s = container_of(t, struct setup, budget);
	struct call *c = s->call;

	s->budget_over = true;
	if (s->waits) {
		on_waited(&s->silence);
		return;
	}
	if (s->heard || s->n_tries < 2 || !c->b)
		return; /* it answers, or there was nobody else: its own timers decide */
	call_try_end(c->b, REASON_PEER_SILENT, 0);
	targets_report(c->b2b->targets, c->b->trunk->id, &c->b->dlg.path, TARGET_SILENT, REASON_PEER_SILENT, 0);
	(void)walk_note_failure(c, REASON_SETUP_BUDGET, 0, 0);
	call_release(c, NULL, s->best_reason, s->best_status, STR_NONE);
}

/* The clock of all tries, by the trunk that is tried now. */
static void start_budget(struct call *c, const struct pol_trunk *t)
{
	struct setup *s = c->setup;
	int64_t now = c->b2b->env->clock->mono_us, left;

	if (!s->first_us)
		s->first_us = now;
	if (!t->sip.setup_budget_s)
		return;
	left = s->first_us + (int64_t)t->sip.setup_budget_s * 1000000 - now;
	timer_start_us(c->b2b->env->timers, &s->budget, left, on_budget);
}

/* How long the way may be silent before the next one is tried, 0: its transaction decides. */
static uint32_t patience_ms(const struct setup *s, const struct pol_trunk *t, const struct target_way *w)
{
	if (other_way(s))
		return w->try_ms;
	return other_hop(s) || t->reg.sticky ? t->sip.try_ms : 0; /* (it may be registered elsewhere by then) */
}

/* ------------------------------------------------------------------ one INVITE */

/* An address of ours that nobody out there can reach, shown to somebody out there. */
static bool leaks(struct str host, const struct addr *remote)
{
	struct addr us;

	return !addr_is_private(remote) && addr_parse_ip(host, 0, &us) == 0 && addr_is_private(&us);
}

bool walk_leaks(const struct policy *p, const struct net_local *us, const struct net_path *path)
{
	const struct pol_realm *realm = policy_realm(p, path->realm);

	return !(realm && realm->not_public) && leaks(us->host, &path->remote);
}

static enum reason check_addresses(const struct leg *l, const struct net_path *path)
{
	const struct net_local *us = leg_local(l, path);
	const struct pol_realm *realm = policy_realm(l->call->policy, path->realm);
	struct addr media;

	if (!us)
		return REASON_NO_LISTENER;
	if (realm && realm->not_public)
		return REASON_NONE; /* somebody behind us puts it right, says the operator */
	if (leaks(us->host, &path->remote))
		return REASON_PRIVATE_ADDRESS;
	if (!addr_is_private(&path->remote) &&
	    media_shown(l->call->b2b->media, path->realm, path->remote.sa.sa_family, &media) && addr_is_private(&media))
		return REASON_PRIVATE_ADDRESS;
	return REASON_NONE;
}

/* What stands in the setup while l's INVITE, or the connection for it, is on its way by w. */
static void begin_try(struct leg *l, const struct target_way *w)
{
	struct call *c = l->call;
	struct setup *s = c->setup;
	uint32_t wait_ms = patience_ms(s, l->trunk, w);

	s->alt = w->alt;
	s->heard = false;
	s->short_try = wait_ms && wait_ms < l->trunk->sip.try_ms;
	s->short_until_us = c->b2b->env->clock->mono_us + walk_try_ms(l->trunk, w) * 1000ll;
	c->change->to = l;
	if (wait_ms && !(l->connecting && w->path.proto == NET_UDP)) /* that has its own end */
		timer_start_ms(c->b2b->env->timers, &c->setup->silence, wait_ms, on_no_response);
	start_budget(c, l->trunk);
	setup_ring_timer(c, l->trunk);
}

/* The INVITE of leg l by that way; path: as it is known now. */
static enum reason write_invite(
    struct leg *l, const struct target_way *w, const struct net_path *path, const struct sip_msg *m)
{
	struct call *c = l->call;
	struct b2b *b = c->b2b;
	struct setup *s = c->setup;
	const struct pol_trunk *t = l->trunk;
	char headers[B2B_HEADERS_MAX], small[B2B_HEADERS_MAX], ruri[512], sdp[B2B_SDP_MAX], body[B2B_SDP_MAX * 2],
	    mark[24];
	struct txn_req r = {.method = SIP_INVITE};
	struct txn_timers timers;
	struct buf h, u, d, o, k, sm;
	bool fragmented;
	enum reason why;
	int e;

	why = check_addresses(l, path);
	if (why != REASON_NONE)
		return why;
	buf_init(&h, headers, sizeof(headers));
	buf_init(&u, ruri, sizeof(ruri));
	buf_init(&d, sdp, sizeof(sdp));
	e = rewrite_invite(l, m, path, w, &u, &h);
	if (e < 0)
		return e == -ENETUNREACH ? REASON_NO_LISTENER : e == -ENOSPC ? REASON_TOO_LARGE : REASON_NO_MEMORY;
	trunk_capture(c, t->id);
	why = media_side_open(c->media, MEDIA_B,
	    &(struct media_side_cfg){.realm = t->realm,
	        .family = path->remote.sa.sa_family,
	        .latch = t->media.latch,
	        .signalling = path->remote,
	        .codecs = t->media.codecs,
	        .timeout_s = t->media.timeout_s,
	        .fax = t->media.fax,
	        .dscp = policy_dscp(t->media.dscp),
	        .srtp = b2b_srtp(t, (enum net_proto)path->proto),
	        .dtmf = t->media.dtmf,
	        .ice = t->media.ice});
	if (why == REASON_NONE && !c->change->late)
		why = media_local_offer(c->media, MEDIA_B, &d);
	if (why == REASON_NONE && buf_err(&d))
		why = REASON_TOO_LARGE;
	if (why != REASON_NONE)
		return why;
	r.body = buf_text(&d);
	if (m->body.n && !sip_body_is(m, S("application/sdp"))) {
		buf_init(&o, body, sizeof(body));
		sip_body_put_sdp(m, buf_text(&d), &o, &r.content_type);
		if (buf_err(&o))
			return REASON_TOO_LARGE;
		r.body = buf_text(&o);
	}
	e = leg_put_credentials(l, SIP_INVITE, STR_NONE, l->dlg.local_cseq, buf_text(&u), r.body, &h);
	if (e < 0)
		return e == -ENOSPC ? REASON_TOO_LARGE : REASON_DIGEST_AUTH;
	buf_init(&k, mark, sizeof(mark));
	rewrite_loop_mark(b, c->trunk_a->id, c->calling, c->called, &k);
	r.branch_tail = buf_text(&k);
	r.ruri = buf_text(&u);
	r.path = *path;
	r.headers = buf_text(&h);
	r.cseq = l->dlg.local_cseq;
	r.call_id = l->dlg.call_id;
	timers = leg_timers(l);
	r.timers = &timers;
	r.keep = l->trunk->sip.keep;
	r.one_flow = registered_by_flow(w);
	buf_init(&sm, small, sizeof(small));
	why = large_fit(l, &r, &sm, &fragmented);
	if (why != REASON_NONE)
		return why;
	l->cli = l->inv_cli = txn_request(b->txn, &r, &leg_invite_ops, l);
	if (!l->cli)
		return REASON_NO_MEMORY;
	leg_set_flow(l, w);
	l->try->sip_call_id = l->dlg.call_id;
	l->try->fragmented = fragmented;
	b2b_count(b, B2B_TRIES);
	begin_try(l, w);
	log_debug(&c->log, "try", "trunk=%.*s n=%u server=%.*s", STR(t->name), s->n_tries + 1, STR(w->server));
	return REASON_NONE;
}

static void on_connected(void *arg, const struct net_path *path, bool proven, int err);

/* Nobody knows yet which of two families it will be, and the INVITE has to say one (c= of the session, Contact): it is
 * written when that is known. */
static enum reason connect_first(
    struct leg *l, const struct target_way *w, const struct net_path *path, const struct sip_msg *m)
{
	struct setup *s = l->call->setup;
	int e;

	l->connecting = true;
	s->way = *w;
	s->way.path.conn = path->conn;
	s->way.server = STR_NONE;
	l->dlg.path = *path;
	if (l->dlg.local.n == 0) {
		e = rewrite_identity(l, m, path);
		if (e < 0)
			return e == -ENETUNREACH ? REASON_NO_LISTENER : e == -ENOSPC ? REASON_TOO_LARGE : REASON_NO_MEMORY;
	}
	begin_try(l, w);
	return REASON_NONE;
}

static enum reason send_invite(struct leg *l, const struct target_way *w, const struct sip_msg *m)
{
	struct targets *ts = l->call->b2b->targets;
	struct net_path path = w->path;
	struct target_way now;
	enum reason why;
	int e;

	if (addr_none(&w->alt))
		return write_invite(l, w, &path, m);
	e = targets_connect(ts, l->trunk, &path, &w->alt, on_connected, l);
	if (e < 0)
		return e == -EMFILE ? REASON_NO_DESCRIPTORS : e == -ENOMEM ? REASON_NO_MEMORY : net_error_reason(e);
	if (e == 0) {
		why = connect_first(l, w, &path, m);
		if (why != REASON_NONE) {
			targets_forget(ts, l);
			l->connecting = false;
		}
		return why;
	}
	now = *w;
	now.alt = (struct addr){0};
	return write_invite(l, &now, &path, m);
}

/* ------------------------------------------------------------------ the ways of one target */

/* They are in the call's arena. */
void walk_forget_forks(struct setup *s)
{
	list_init(&s->forks);
	s->n_forks = 0;
}

void walk_forget_ways(struct setup *s)
{
	free(s->ways);
	s->ways = NULL;
	s->n_ways = s->at_way = 0;
}

/* Tries the ways from *at on until one INVITE is out. */
static bool try_ways(struct leg *l, const struct target_way *ways, unsigned n, unsigned *at, const struct sip_msg *m)
{
	struct call *c = l->call;

	while (*at < n && c->setup->n_tries < TRIES_MAX) {
		const struct target_way *w = &ways[(*at)++];
		enum reason why;

		l->try = try_new(c, &c->setup->hop, w);
		why = l->try ? send_invite(l, w, m) : REASON_NO_MEMORY;
		if (why == REASON_NONE) {
			c->setup->n_tries++;
			return true;
		}
		if (l->try)
			l->try->reason = why;
		(void)walk_note_failure(c, why, 0, 0);
	}
	return false;
}

/* The kept INVITE of leg A, parsed anew. NULL: no memory. */
struct again {
	struct arena *a;
	char *copy;
};

static const struct sip_msg *parse_again(struct call *c, struct again *g)
{
	struct setup *s = c->setup;
	struct sip_perr perr;
	struct sip_msg *m;

	g->a = arena_new(&c->b2b->pool);
	g->copy = s->invite ? malloc(s->invite_len) : NULL;
	if (!g->a || !g->copy)
		return NULL;
	memcpy(g->copy, s->invite, s->invite_len);
	return sip_parse(g->a, g->copy, s->invite_len, &m, &perr) == 0 ? m : NULL;
}

static void again_free(struct again *g)
{
	free(g->copy);
	arena_free(g->a);
}

/* UDP: the other family took the place of the way that is being tried; that one comes in its place. */
static void change_places(struct setup *s, const struct net_path *path)
{
	struct target_way *next = s->at_way < s->n_ways ? &s->ways[s->at_way] : NULL;

	if (next && next->path.proto == path->proto && addr_eq(&next->path.remote, &path->remote))
		next->path.remote = s->way.path.remote;
}

static void on_connected(void *arg, const struct net_path *path, bool proven, int err)
{
	struct leg *l = arg;
	struct call *c = l->call;
	struct target_way w = c->setup->way;
	const struct sip_msg *m;
	enum reason why = REASON_NO_MEMORY;
	struct again g;

	l->connecting = false;
	timer_stop(c->b2b->env->timers, &c->setup->silence);
	if (err) {
		setup_failed(l, err);
		return;
	}
	w.path = *path;
	w.alt = (struct addr){0};
	if (proven)
		w.try_ms = l->trunk->sip.try_ms;
	if (l->try)
		l->try->addr = path->remote;
	change_places(c->setup, path);
	m = parse_again(c, &g);
	if (m)
		why = write_invite(l, &w, &w.path, m);
	again_free(&g);
	if (why != REASON_NONE)
		setup_leave(l, why);
}

bool walk_other_flow(const struct setup *s)
{
	return s->at_way && other_way(s) && s->ways[s->at_way - 1].instance.n &&
	       str_eq(s->ways[s->at_way - 1].instance, s->ways[s->at_way].instance);
}

bool walk_next_way(struct leg *l, enum reason why, uint16_t status)
{
	struct call *c = l->call;
	struct setup *s = c->setup;
	const struct sip_msg *m;
	struct again g;
	bool went;

	if (s->at_way)
		s->n_ways = s->at_way + registered_left(&s->ways[s->at_way - 1], status, &s->ways[s->at_way], s->n_ways - s->at_way);
	if (s->sdp_sent || !other_way(s))
		return false;
	m = parse_again(c, &g);
	if (!m) {
		again_free(&g);
		return false;
	}
	call_try_end(l, why, status);
	(void)walk_note_failure(c, why, status, status ? setup_status_towards(status) : 0);
	timer_stop(c->b2b->env->timers, &c->setup->silence);
	if (l->connecting)
		targets_forget(c->b2b->targets, l);
	l->connecting = false;
	if (l->inv_cli) { /* what still comes for it is nobody's: ACK and BYE */
		txn_cli_bind(l->inv_cli, &b2b_orphan_ops, c->b2b);
		txn_cli_cancel(l->inv_cli, STR_NONE);
	}
	l->cli = l->inv_cli = NULL;
	walk_forget_forks(s);
	l->early_sdp = false;
	leg_set_state(l, LEG_CALLING, "next_way");
	went = try_ways(l, s->ways, s->n_ways, &s->at_way, m);
	again_free(&g);
	if (went)
		b2b_count(c->b2b, B2B_NEXT_WAYS);
	else
		l->try = NULL; /* each has its reason already */
	return went;
}

bool walk_same_way(struct leg *l, const struct net_path *path)
{
	struct call *c = l->call;
	struct target_way w = {.path = *path, .try_ms = l->trunk->sip.try_ms, .server = c->setup->hop.target->host};
	const struct sip_msg *m;
	enum reason why = REASON_NO_MEMORY;
	struct again g;

	if (c->setup->sdp_sent || registrar_first(c->b2b, c->arena, l->trunk, c->calling, &w, 1) < 0)
		return false;
	m = parse_again(c, &g);
	if (m) {
		timer_stop(c->b2b->env->timers, &c->setup->silence);
		if (l->inv_cli) /* has its final answer */
			txn_cli_detach(l->inv_cli);
		l->cli = l->inv_cli = NULL;
		walk_forget_forks(c->setup);
		l->early_sdp = false;
		c->setup->invite_cseq = l->dlg.local_cseq + 1;
		leg_set_state(l, LEG_CALLING, "challenged");
		why = send_invite(l, &w, m);
		if (why == REASON_NONE)
			c->setup->n_tries--; /* it is the same try */
	}
	again_free(&g);
	return why == REASON_NONE;
}

/* ------------------------------------------------------------------ the targets of the route */

static unsigned keep_secure(struct target_way *ways, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++)
		if (ways[i].path.proto == NET_TLS || ways[i].path.proto == NET_WSS)
			ways[kept++] = ways[i];
	return kept;
}

/* Makes leg B for the hop and sends its INVITE by the first of the ways that can be used. */
static bool try_hop(struct call *c, const struct pol_hop *hop, struct str called, const struct target_way *ways,
    unsigned n, const struct sip_msg *m)
{
	struct setup *s = c->setup;
	struct leg *l = leg_new(c, MEDIA_B, hop->trunk);
	unsigned at = 0;

	if (!l) {
		(void)walk_note_failure(c, REASON_NO_MEMORY, 0, 0);
		return false;
	}
	s->hop = *hop;
	s->called = called;
	s->invite_cseq = 0;
	walk_forget_forks(s);
	l->sips = c->sips;
	c->b = l;
	c->trunk_b = hop->trunk;
	walk_forget_ways(s);
	if (n > 1) { /* without memory the first is all there is */
		s->ways = malloc(n * sizeof(*ways));
		if (s->ways) {
			memcpy(s->ways, ways, n * sizeof(*ways));
			s->n_ways = n;
			s->at_way = 1;
		} else {
			n = 1;
		}
	}
	if (try_ways(l, ways, 1, &at, m) || (s->ways && try_ways(l, s->ways, n, &s->at_way, m))) {
		b2b_leg_index(l);
		return true;
	}
	c->b = NULL;
	list_del(&l->node);
	c->b2b->n_legs--;
	l->state = LEG_GONE;
	return false;
}

enum reason walk_ways(struct b2b *b, struct arena *arena, const struct pol_hop *hop, bool sips, struct str calling, struct str called,
    const struct sip_msg *m, struct target_way *ways, unsigned *ret_n)
{
	const struct pol_trunk *now = policy_trunk(b->policy, hop->trunk->id);
	enum reason why = REASON_NONE;
	unsigned n = *ret_n;

	if (!now)
		return REASON_TRUNK_DELETED;
	if (now->admin == POL_DISABLED)
		return REASON_TRUNK_DISABLED;
	if (now->admin == POL_DRAINING)
		return REASON_TRUNK_DRAINING;
	if (hop->trunk->sip.scheme_sips && !sips)
		return REASON_SIPS_UPGRADE;
	why = registrar_asks(b, hop->trunk);
	if (why != REASON_NONE)
		return why;
	if (n == 0 && hop->target->registered) {
		n = registered_ways(b, arena, hop->trunk, called, m, ways, &why);
		if (n == 0)
			return why;
	} else if (registrar_sticks(b, hop->trunk)) {
		n = registrar_only(b, hop->trunk, calling, ways);
	} else if (n == 0) {
		n = targets_ways(b->targets, hop, ways, &why);
		if (n == 0)
			return why;
	}
	if (registrar_first(b, arena, hop->trunk, calling, ways, n) < 0)
		return REASON_NO_MEMORY;
	if (sips) {
		n = keep_secure(ways, n);
		if (n == 0)
			return REASON_SIPS_DOWNGRADE;
	}
	*ret_n = n;
	return REASON_NONE;
}

/* May a call be placed on the trunk at all, and where to? */
static enum reason open_hop(struct call *c, const struct pol_hop *hop, struct str called, const struct sip_msg *m,
    struct target_way *ways, unsigned *ret_n)
{
	enum reason why =
	    walk_ways(c->b2b, c->arena, hop, c->sips, c->calling, called, called.p == c->called.p ? m : NULL, ways, ret_n);

	return why ? why : trunk_take(c->b2b, hop->trunk, false);
}

/* ------------------------------------------------------------------ a registration that moves */

/* The trunk sticks to the server that holds its registration, and that is changing: a moment, and then the same hop. */
static bool may_wait(struct setup *s, const struct pol_hop *hop)
{
	struct b2b *b = s->call->b2b;
	int64_t now = b->env->clock->mono_us;

	if (!registrar_moves(b, hop->trunk, s->call->calling) || s->budget_over)
		return false;
	if (!s->waits_until_us)
		s->waits_until_us = now + REGISTRAR_WAIT_US;
	if (now >= s->waits_until_us)
		return false;
	timer_start_us(b->env->timers, &s->silence, s->waits_until_us - now, on_waited);
	return true;
}

/* Its time is over, or something is new. */
static void on_waited(struct timer *t)
{
	struct setup *s = container_of(t, struct setup, silence);

	timer_stop(s->call->b2b->env->timers, t);
	if (may_wait(s, &s->route.hops[s->next_hop]))
		return;
	s->waits = false;
	list_del(&s->waiting);
	setup_next(s->call, NULL);
}

static bool wait_for_registrar(struct call *c, const struct pol_hop *hop)
{
	struct setup *s = c->setup;

	if (!may_wait(s, hop))
		return false;
	s->waits = true;
	s->next_hop--;
	list_push(&c->b2b->waiting, &s->waiting);
	return true;
}

void b2b_on_registrar(struct b2b *b, uint32_t trunk_id)
{
	list_each(n, &b->waiting) {
		struct setup *s = container_of(n, struct setup, waiting);

		if (s->route.hops[s->next_hop].trunk->id == trunk_id)
			timer_start_us(b->env->timers, &s->silence, 0, on_waited);
	}
}

bool walk_back(struct call *c, const struct leg *l)
{
	struct setup *s = c->setup;

	if (s->sdp_sent || s->heard || s->budget_over || s->n_tries >= TRIES_MAX || s->next_hop == 0 ||
	    !registrar_left(c->b2b, l->trunk, c->calling, &l->dlg.path))
		return false;
	s->next_hop--;
	return true;
}

static bool walk_hop(struct call *c, unsigned i, const struct target_way *resort, const struct sip_msg *m)
{
	struct setup *s = c->setup;
	const struct pol_hop *hop = &s->route.hops[i];
	struct str called = s->hop_called[i].n ? s->hop_called[i] : c->called;
	struct target_way ways[TARGET_WAYS_MAX];
	unsigned n = resort ? 1 : 0;
	enum reason why;
	struct try *t;

	if (resort)
		ways[0] = *resort;
	else if (wait_for_registrar(c, hop))
		return false;
	why = open_hop(c, hop, called, m, ways, &n);
	if (why == REASON_NONE) {
		c->counted_b = true;
		if (try_hop(c, hop, called, ways, n, m))
			return true;
		c->counted_b = false;
		trunk_put(c->b2b, hop->trunk->id);
		return false;
	}
	t = try_new(c, hop, NULL);
	if (t)
		t->reason = why;
	(void)walk_note_failure(c, why, 0, registered_status(hop->trunk, called, why));
	return false;
}

/* Nobody of the route could be asked: one of those that rest. */
static void last_resort(struct call *c, const struct sip_msg *m)
{
	struct setup *s = c->setup;
	struct target_way w;

	for (unsigned i = 0; i < s->route.n_hops && !c->b && !s->resorted; i++) {
		if (s->route.hops[i].target->registered || !targets_last_resort(c->b2b->targets, &s->route.hops[i], &w))
			continue;
		s->resorted = true;
		(void)walk_hop(c, i, &w, m);
	}
}

void setup_next(struct call *c, const struct sip_msg *m)
{
	struct setup *s = c->setup;
	struct again g = {NULL, NULL};

	walk_forget_ways(s);
	if (!m && other_hop(s))
		m = parse_again(c, &g);
	while (m && other_hop(s) && !c->b && !s->waits) {
		unsigned at = s->next_hop++;

		(void)walk_hop(c, at, NULL, m);
	}
	if (m && !c->b && !s->waits && s->n_tries == 0)
		last_resort(c, m);
	again_free(&g);
	if (!c->b && !s->waits)
		call_release(c, NULL, s->best_reason ? s->best_reason : REASON_ALL_TARGETS_FAILED,
		    s->best_status == 503 && c->peer_status ? 500 : s->best_status, STR_NONE);
}
