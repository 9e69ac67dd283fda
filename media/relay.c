/* relay.c - pairs, programs and counters on the signalling side (relay.h).
 *
 * Happy path: relay_pair_get() draws a pair and gives it a block of counters; relay_program_set() builds a record,
 * swaps one pointer and leaves; the worker sees it at its next packet. relay_pair_put() takes the pointers away and
 * lets the ports rest.
 *
 * What can go wrong: no port, no descriptor, no memory; each has its reason and a line in the log at most once a
 * minute. A realm whose address this machine does not have stops the start.
 *
 * Freeing: what a worker may still look at waits in two lists. The waiting list was closed at a moment when each
 * worker's epoch was noted; it is freed when every worker has been in epoll_wait since (its epoch is even, or another
 * one). Then the fresh list takes its place. Nobody waits and nobody is woken for this; a timer of a second looks
 * after what is left when no call comes.
 */
#include "media/relay_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#define HOUSEKEEPING_US 1000000
#define MAPS_LOOKED_AT 8
#ifdef __SANITIZE_ADDRESS__
#define SPARE_MAX 0u /* what is used after it was freed is seen */
#else
#define SPARE_MAX 4096u /* of each kind */
#endif

const char *const relay_drop_names[RELAY_DROPS] = {
    [RELAY_DROP_NO_STREAM] = "no_stream",
    [RELAY_DROP_SOURCE] = "source",
    [RELAY_DROP_SHORT] = "short",
    [RELAY_DROP_VERSION] = "version",
    [RELAY_DROP_PT] = "payload_type",
    [RELAY_DROP_RTCP_BAD] = "rtcp_bad",
    [RELAY_DROP_HELD] = "held",
    [RELAY_DROP_NO_DEST] = "no_destination",
    [RELAY_DROP_SEND] = "send_failed",
    [RELAY_DROP_NOT_RTP] = "not_rtp",
    [RELAY_DROP_AUTH] = "srtp_auth",
    [RELAY_DROP_REPLAY] = "srtp_replay",
    [RELAY_DROP_CRYPT] = "srtp_unusable",
    [RELAY_DROP_STUN] = "stun",
    [RELAY_DROP_NO_KEY] = "srtp_no_key",
};

static const char *const metric_names[RELAY_METRICS] = {
    [RELAY_M_PORT_USE] = "port_use",
    [RELAY_M_PAIRS_USED] = "pairs_used",
    [RELAY_M_PAIRS_QUARANTINED] = "pairs_quarantined",
    [RELAY_M_PAIRS_BLOCKED] = "pairs_blocked",
    [RELAY_M_PAIRS_BOUND] = "pairs_bound",
    [RELAY_M_EXHAUSTED] = "exhausted",
    [RELAY_M_NO_DESCRIPTORS] = "no_descriptors",
    [RELAY_M_RX_PACKETS] = "rx_packets",
    [RELAY_M_TX_PACKETS] = "tx_packets",
    [RELAY_M_WAKEUPS] = "wakeups",
    [RELAY_M_DROP + RELAY_DROP_NO_STREAM] = "drop_no_stream",
    [RELAY_M_DROP + RELAY_DROP_SOURCE] = "drop_source",
    [RELAY_M_DROP + RELAY_DROP_SHORT] = "drop_short",
    [RELAY_M_DROP + RELAY_DROP_VERSION] = "drop_version",
    [RELAY_M_DROP + RELAY_DROP_PT] = "drop_payload_type",
    [RELAY_M_DROP + RELAY_DROP_RTCP_BAD] = "drop_rtcp_bad",
    [RELAY_M_DROP + RELAY_DROP_HELD] = "drop_held",
    [RELAY_M_DROP + RELAY_DROP_NO_DEST] = "drop_no_destination",
    [RELAY_M_DROP + RELAY_DROP_SEND] = "drop_send_failed",
    [RELAY_M_DROP + RELAY_DROP_NOT_RTP] = "drop_not_rtp",
    [RELAY_M_DROP + RELAY_DROP_AUTH] = "drop_srtp_auth",
    [RELAY_M_DROP + RELAY_DROP_REPLAY] = "drop_srtp_replay",
    [RELAY_M_DROP + RELAY_DROP_CRYPT] = "drop_srtp_unusable",
    [RELAY_M_DROP + RELAY_DROP_STUN] = "drop_stun",
    [RELAY_M_DROP + RELAY_DROP_NO_KEY] = "drop_srtp_no_key",
};

const char *relay_range_name(const struct relay_range *g)
{
	return g->relay->name[g->realm];
}

/* --- payload types that programs share --- */

/* One that says the same as p, with a reference; NULL: out of memory. Only the few that were used last are looked at:
 * a peer that offers other numbers each time makes maps, no work. */
static struct relay_map *map_of(struct relay *r, const struct relay_program *p)
{
	struct relay_map *m;
	unsigned looked = 0;

	for (struct list *n = r->maps.next; n != &r->maps && looked < MAPS_LOOKED_AT; n = n->next, looked++) {
		m = container_of(n, struct relay_map, node);
		if (memcmp(m->pt, p->pt_map, sizeof(m->pt)) == 0 &&
		    memcmp(m->clock_khz, p->clock_khz, sizeof(m->clock_khz)) == 0) {
			list_del(&m->node);
			goto found;
		}
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	memcpy(m->pt, p->pt_map, sizeof(m->pt));
	memcpy(m->clock_khz, p->clock_khz, sizeof(m->clock_khz));
found:
	list_push_front(&r->maps, &m->node);
	m->refs++;
	return m;
}

static void map_unref(struct relay_map *m)
{
	if (!m || --m->refs)
		return;
	list_del(&m->node);
	free(m);
}

/* --- freeing --- */

static const size_t kind_size[RELAY_KINDS] = {
    [RELAY_FLOW] = sizeof(struct relay_flow),
    [RELAY_PROG] = sizeof(struct relay_prog),
    [RELAY_LATCH] = sizeof(struct relay_latch),
    [RELAY_ICE] = sizeof(struct relay_ice),
    [RELAY_PLAY] = sizeof(struct relay_play),
};

/* Zeroed; NULL: out of memory. */
static void *thing_new(struct relay *r, enum relay_kind kind)
{
	struct relay_dead *d = r->spare[kind];

	if (d) {
		r->spare[kind] = d->next;
		r->n_spare[kind]--;
		memset(d, 0, kind_size[kind]);
	} else {
		d = calloc(1, kind_size[kind]);
	}
	if (d)
		d->kind = (uint8_t)kind;
	return d;
}

static void thing_free(struct relay *r, void *p)
{
	struct relay_dead *d = p;
	enum relay_kind kind = (enum relay_kind)d->kind;

	if (kind == RELAY_PROG) {
		map_unref(((struct relay_prog *)p)->map);
		relay_keys_free(((struct relay_prog *)p)->keys);
	} else if (kind == RELAY_ICE) {
		ice_free(((struct relay_ice *)p)->ice);
	}
	if (r->n_spare[kind] + 1 > SPARE_MAX) {
		free(d);
		return;
	}
	d->next = r->spare[kind];
	r->spare[kind] = d;
	r->n_spare[kind]++;
}

static void free_list(struct relay *r, struct relay_dead *d)
{
	while (d) {
		struct relay_dead *next = d->next;

		thing_free(r, d);
		d = next;
	}
}

static void reclaim(struct relay *r)
{
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; r->waiting && i < r->n_workers; i++) {
			struct relay_worker *w = &r->worker[i];

			if ((w->quiet_seen & 1) && atomic_load(&w->epoch) == w->quiet_seen)
				return;
		}
		free_list(r, r->waiting);
		r->waiting = r->fresh;
		r->fresh = NULL;
		if (!r->waiting)
			return;
		for (unsigned i = 0; i < r->n_workers; i++)
			r->worker[i].quiet_seen = atomic_load(&r->worker[i].epoch);
	}
}

/* d is no longer published; NULL is fine */
static void retire(struct relay *r, void *p)
{
	struct relay_dead *d = p;

	if (!d)
		return;
	d->next = r->fresh;
	r->fresh = d;
}

/* --- ICE --- */

static void ice_set(struct relay_pair *p, struct relay_ice *ice)
{
	struct relay *r = p->range->relay;
	struct relay_ice *was = atomic_exchange(&p->ice, ice);

	if (was)
		list_del(&was->node);
	retire(r, was);
	if (!ice)
		return;
	ice->at = p;
	ice->idle_since_us[0] = ice->idle_since_us[1] = r->env->clock->mono_us;
	list_push(&r->ices, &ice->node);
}

/* Where nothing has left for a while, an indication keeps the way open (RFC 8445 11). */
static void keep_ways(struct relay *r)
{
	int64_t now_us = r->env->clock->mono_us;
	uint8_t tid[STUN_TID];
	char d[STUN_OUT_MAX];

	list_each(n, &r->ices) {
		struct relay_ice *i = container_of(n, struct relay_ice, node);
		const struct relay_flow *f = atomic_load(&i->at->flow);

		for (unsigned s = 0; f && s < 2; s++) {
			uint64_t sent = atomic_load_explicit(s ? &f->rtcp_tx : &f->tx_packets, memory_order_relaxed);
			const struct addr *to = ice_where(i->ice, s, now_us);

			if (sent != i->sent[s] || !to)
				i->idle_since_us[s] = now_us;
			i->sent[s] = sent;
			if (now_us - i->idle_since_us[s] < RELAY_KEEP_US)
				continue;
			i->idle_since_us[s] = now_us;
			rng_bytes(r->env->rng, tid, sizeof(tid));
			relay_pair_send(i->at, s, to, (const uint8_t *)d, stun_put_indication(d, tid));
		}
	}
}

/* --- metrics --- */

static unsigned range_percent(const struct relay_range *g)
{
	unsigned usable = g->n - g->blocked.n;

	return usable ? (g->used + g->resting.n) * 100 / usable : 100;
}

static void watch_use(struct relay_range *g)
{
	unsigned percent = range_percent(g);

	if (percent < RELAY_CALM_PERCENT)
		g->warned = false;
	if (percent < RELAY_WARN_PERCENT || g->warned)
		return;
	g->warned = true;
	log_warn(&g->relay->log, "ports_nearly_full",
	    "realm=%s family=%s use=%u%% pairs=%u used=%u quarantined=%u fix=\"widen 'media' of the realm\"",
	    relay_range_name(g), addr_is6(&g->bind) ? "ip6" : "ip4", percent, g->n - g->blocked.n, g->used,
	    g->resting.n);
}

static void refresh_metrics(struct relay *r)
{
	uint64_t v[RELAY_METRICS] = {0};

	for (unsigned i = 0; i < 2 * r->n_realms; i++) {
		struct relay_range *g = &r->range[i];

		if (!g->n)
			continue;
		relay_range_refresh(g);
		watch_use(g);
		if (range_percent(g) > v[RELAY_M_PORT_USE])
			v[RELAY_M_PORT_USE] = range_percent(g);
		v[RELAY_M_PAIRS_USED] += g->used;
		v[RELAY_M_PAIRS_QUARANTINED] += g->resting.n;
		v[RELAY_M_PAIRS_BLOCKED] += g->blocked.n;
		v[RELAY_M_PAIRS_BOUND] += g->n - g->unbound.n - g->blocked.n;
	}
	for (unsigned i = 0; i < r->n_workers; i++) {
		struct relay_worker *w = &r->worker[i];

		v[RELAY_M_RX_PACKETS] += atomic_load_explicit(&w->rx_packets, memory_order_relaxed);
		v[RELAY_M_WAKEUPS] += atomic_load_explicit(&w->epoch, memory_order_relaxed) / 2;
		v[RELAY_M_TX_PACKETS] += atomic_load_explicit(&w->tx_packets, memory_order_relaxed);
		for (unsigned d = 0; d < RELAY_DROPS; d++)
			v[RELAY_M_DROP + d] += atomic_load_explicit(&w->drops[d], memory_order_relaxed);
	}
	v[RELAY_M_EXHAUSTED] = r->values[RELAY_M_EXHAUSTED];
	v[RELAY_M_NO_DESCRIPTORS] = r->values[RELAY_M_NO_DESCRIPTORS];
	memcpy(r->values, v, sizeof(v));
}

static void housekeeping(struct timer *t)
{
	struct relay *r = container_of(t, struct relay, housekeeping);

	reclaim(r);
	keep_ways(r);
	refresh_metrics(r);
	timer_start_us(r->env->timers, t, HOUSEKEEPING_US, housekeeping);
}

/* --- start and end --- */

static void warn_ephemeral(const struct relay *r)
{
	struct media_kernel_ports k;

	media_kernel_ports_read(&k);
	/* the realms of both families share their range and the kernel its sysctl: one line per realm */
	for (unsigned i = 0; i < r->n_realms; i++) {
		const struct relay_range *g = r->range[2 * i].n ? &r->range[2 * i] : &r->range[2 * i + 1];
		uint16_t last = (uint16_t)(g->first_port + 2 * g->n - 1);
		struct str fix = g->n ? media_kernel_ports_fix(&k, g->first_port, last) : STR_NONE;

		if (str_empty(fix))
			continue;
		log_warn(&r->log, "ports_ephemeral",
		    "realm=%s ports=%u-%u overlap=\"net.ipv4.ip_local_port_range %.*s\" "
		    "fix=\"sysctl -w net.ipv4.ip_local_reserved_ports=%.*s\"",
		    r->name[i], g->first_port, last, STR(k.ephemeral), STR(fix));
	}
}

static void warn_descriptors(const struct relay *r)
{
	uint64_t need = 0;
	struct rlimit lim;

	for (unsigned i = 0; i < 2 * r->n_realms; i++)
		need += 2 * (uint64_t)r->range[i].n;
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < need)
		log_warn(&r->log, "descriptors_few", "limit=%llu media_ports=%llu fix=\"LimitNOFILE of the service\"",
		    (unsigned long long)lim.rlim_cur, (unsigned long long)need);
}

static enum reason range_setup(struct relay *r, unsigned realm, bool v6, const struct media_realm_cfg *c)
{
	struct relay_range *g = &r->range[2 * realm + v6];
	const struct addr *advertise = v6 ? &c->advertise6 : &c->advertise4;
	uint32_t first = c->port_min + (c->port_min & 1u);
	char text[ADDR_TEXT_MAX];
	enum reason why;

	g->relay = r;
	g->realm = (uint8_t)realm;
	g->bind = v6 ? c->ip6 : c->ip4;
	if (addr_none(&g->bind))
		return REASON_NONE;
	g->advertise = addr_none(advertise) ? g->bind : *advertise;
	g->dscp = c->dscp & 0x3f;
	if (first == 0)
		first = 2;
	if (c->port_max < first + 1) {
		log_error(&r->log, "ports_none", "realm=%s ports=%u-%u: no even port with its odd one",
		    r->name[realm], c->port_min, c->port_max);
		return REASON_CONFIG_INVALID;
	}
	g->first_port = (uint16_t)first;
	g->n = (c->port_max - first + 1) / 2;
	if (relay_range_init(g) < 0)
		return REASON_NO_MEMORY;
	if (!r->n_workers)
		return REASON_NONE;
	why = relay_range_try(g);
	if (why != REASON_NONE) {
		struct addr a = g->bind;

		addr_set_port(&a, g->first_port);
		log_error(&r->log, "media_address", "realm=%s address=%s why=\"%s\" fix=\"%s\"", r->name[realm],
		    addr_text(&a, text), reason_info(why)->text, reason_info(why)->remedy);
	}
	return why;
}

struct relay *relay_new(const struct env *env, const struct media_cfg *cfg, enum reason *ret_reason)
{
	struct relay *r = calloc(1, sizeof(*r));
	enum reason why = REASON_NO_MEMORY;

	if (!r) {
		*ret_reason = why;
		return NULL;
	}
	r->env = env;
	list_init(&r->maps);
	list_init(&r->ices);
	r->log = (struct log){.to = env->logger, .area = LOG_MEDIA};
	/* the tests of the ciphers take some milliseconds; a simulation has thousands of relays, and no packets */
	if (cfg->workers && !crypt_start()) {
		log_error(&r->log, "srtp_selftest", "why=\"%s\" fix=\"%s\"", reason_info(REASON_SRTP_LIBRARY)->text,
		    reason_info(REASON_SRTP_LIBRARY)->remedy);
		free(r);
		*ret_reason = REASON_SRTP_LIBRARY;
		return NULL;
	}
	r->capture_bytes = cfg->capture_bytes;
	r->gather_us = cfg->gather_us;
	r->quarantine_us = (int64_t)(cfg->quarantine_ms ? cfg->quarantine_ms : 5000) * 1000;
	r->metrics = (struct metric_set){.area = "relay", .names = metric_names, .values = r->values,
	    .n = RELAY_METRICS};
	if (cfg->workers > RELAY_WORKERS_MAX || cfg->n_realms == 0 || cfg->n_realms > 256) {
		log_error(&r->log, "media_config", "workers=%u realms=%u: at most %d workers, 1 to 256 realms",
		    cfg->workers, cfg->n_realms, RELAY_WORKERS_MAX);
		why = REASON_CONFIG_INVALID;
		goto fail;
	}
	r->range = calloc(2 * (size_t)cfg->n_realms, sizeof(*r->range));
	r->name = calloc(cfg->n_realms, sizeof(*r->name));
	if (cfg->workers)
		r->worker = aligned_alloc(alignof(struct relay_worker), cfg->workers * sizeof(*r->worker));
	if (!r->range || !r->name || (cfg->workers && !r->worker))
		goto fail;
	if (cfg->workers)
		memset(r->worker, 0, cfg->workers * sizeof(*r->worker));
	r->n_realms = cfg->n_realms;
	r->n_workers = cfg->workers;
	for (unsigned i = 0; i < cfg->n_realms; i++) {
		const struct media_realm_cfg *c = &cfg->realms[i];
		struct str name = str_head(c->name, sizeof(r->name[i]) - 1);

		if (name.n)
			memcpy(r->name[i], name.p, name.n);
		for (int v6 = 0; v6 < 2; v6++) {
			why = range_setup(r, i, v6, c);
			if (why != REASON_NONE)
				goto fail;
		}
	}
	if (r->n_workers && cfg->loop && relay_up_init(r, cfg->loop) < 0) {
		why = REASON_NO_MEMORY;
		goto fail;
	}
	if (r->n_workers) {
		warn_ephemeral(r);
		warn_descriptors(r);
	}
	for (unsigned i = 0; i < r->n_workers; i++) {
		int err = relay_worker_start(&r->worker[i], r, i);

		if (err < 0) {
			why = err == -EMFILE || err == -ENFILE ? REASON_NO_DESCRIPTORS : REASON_NO_MEMORY;
			log_error(&r->log, "media_worker", "worker=%u errno=%d why=\"%s\"", i, -err,
			    reason_info(why)->text);
			goto fail;
		}
	}
	if (env->metrics)
		metrics_add(env->metrics, &r->metrics);
	/* a simulated relay has nothing that happens by itself */
	if (r->n_workers && env->timers)
		timer_start_us(env->timers, &r->housekeeping, HOUSEKEEPING_US, housekeeping);
	*ret_reason = REASON_NONE;
	return r;
fail:
	relay_free(r);
	*ret_reason = why;
	return NULL;
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	if (timer_running(&r->housekeeping))
		timer_stop(r->env->timers, &r->housekeeping);
	metrics_del(&r->metrics);
	for (unsigned i = 0; i < r->n_workers; i++) {
		relay_worker_stop(&r->worker[i]);
		capture_free(r->worker[i].capture);
	}
	relay_up_fini(r);
	for (unsigned i = 0; r->range && i < 2 * r->n_realms; i++)
		relay_range_fini(&r->range[i]);
	free_list(r, r->fresh);
	free_list(r, r->waiting);
	for (unsigned i = 0; i < RELAY_KINDS; i++)
		for (struct relay_dead *d = r->spare[i], *next; d; d = next) {
			next = d->next;
			free(d);
		}
	free(r->worker);
	free(r->range);
	free(r->name);
	free(r);
}

/* --- pairs --- */

static enum reason refuse(struct relay_range *g, enum reason why)
{
	struct relay *r = g->relay;
	int64_t now_us = r->env->clock->mono_us;

	if (why == REASON_PORTS_EXHAUSTED)
		r->values[RELAY_M_EXHAUSTED]++;
	else if (why == REASON_NO_DESCRIPTORS)
		r->values[RELAY_M_NO_DESCRIPTORS]++;
	if (now_us >= g->quiet_until_us) {
		g->quiet_until_us = now_us + RELAY_SAY_US;
		log_error(&r->log, "ports_refused",
		    "realm=%s family=%s why=\"%s\" pairs=%u used=%u quarantined=%u taken_by_others=%u fix=\"%s\"",
		    relay_range_name(g), addr_is6(&g->bind) ? "ip6" : "ip4", reason_info(why)->text, g->n, g->used,
		    g->resting.n, g->blocked.n, reason_info(why)->remedy);
	}
	/* an address that went away at run time: for the call it is a realm without one */
	return why == REASON_ADDRESS_MISSING ? REASON_MEDIA_UNREACHABLE : why;
}

enum reason relay_pair_get(struct relay *r, unsigned realm, int family, struct relay_pair **ret)
{
	struct relay_range *g;
	struct relay_flow *f;
	struct relay_pair *p;
	enum reason why;

	if (realm >= r->n_realms)
		return REASON_MEDIA_UNREACHABLE;
	g = &r->range[2 * realm + (family == AF_INET6)];
	if (!g->n)
		return REASON_MEDIA_UNREACHABLE;
	f = thing_new(r, RELAY_FLOW);
	if (!f)
		return REASON_NO_MEMORY;
	why = relay_range_take(g, &p);
	if (why != REASON_NONE) {
		thing_free(r, f);
		return refuse(g, why);
	}
	atomic_store(&p->flow, f);
	r->pairs_used++;
	watch_use(g);
	reclaim(r);
	*ret = p;
	return REASON_NONE;
}

void relay_program_clear(struct relay_pair *in)
{
	list_del(&in->feeds);
	retire(in->range->relay, atomic_exchange(&in->prog, NULL));
}

void relay_pair_put(struct relay_pair *p)
{
	struct relay *r;

	if (!p)
		return;
	r = p->range->relay;
	relay_program_clear(p);
	relay_keys_free(p->rest);
	p->rest = NULL;
	relay_up_forget(p);
	list_each(n, &p->feeders)
		relay_program_clear(container_of(n, struct relay_pair, feeds));
	retire(r, atomic_exchange(&p->latch, NULL));
	ice_set(p, NULL);
	retire(r, atomic_exchange(&p->play, NULL));
	retire(r, atomic_exchange(&p->flow, NULL));
	relay_range_give(p);
	r->pairs_used--;
	reclaim(r);
}

const struct addr *relay_pair_local(const struct relay_pair *p)
{
	return &p->local;
}

bool relay_pair_program(const struct relay_pair *p, struct relay_program *ret, struct relay_pair **ret_out)
{
	const struct relay_prog *g = p->prog;

	if (!g)
		return false;
	if (ret_out)
		*ret_out = g->out;
	memset(ret, 0, sizeof(*ret));
	ret->source_rtp = g->latch->source_rtp;
	ret->source_rtcp = g->latch->source_rtcp;
	ret->latch_ip = g->latch->latch_ip;
	ret->dest_rtp = g->dest_rtp;
	ret->dest_rtcp = g->dest_rtcp;
	memcpy(ret->pt_map, g->map->pt, sizeof(ret->pt_map));
	memcpy(ret->clock_khz, g->map->clock_khz, sizeof(ret->clock_khz));
	ret->rtp_on = g->rtp_on;
	ret->on_us = g->on_us;
	ret->cname = g->cname;
	ret->raw = g->raw;
	ret->wait_rtp = g->wait_rtp;
	ret->wait_rtcp = g->wait_rtcp;
	ret->event_pt = g->event_pt;
	ret->mux = g->mux;
	ret->dtls = g->dtls;
	return true;
}

/* What ICE a program needs: that of before when its names are the same. false: no memory. *ret NULL: none. */
static bool ice_of(struct relay_pair *in, const struct ice_keys *keys, struct relay_ice **ret)
{
	struct relay *r = in->range->relay;
	struct relay_ice *had = atomic_load_explicit(&in->ice, memory_order_relaxed), *i;

	*ret = NULL;
	if (!keys->ours[0])
		return true;
	*ret = had;
	if (had && memcmp(ice_keys(had->ice), keys, sizeof(*keys)) == 0)
		return true;
	i = thing_new(r, RELAY_ICE);
	if (!i)
		return false;
	i->ice = ice_new(keys, had ? had->ice : NULL);
	if (!i->ice) {
		thing_free(r, i);
		return false;
	}
	*ret = i;
	return true;
}

enum reason relay_program_set(struct relay_pair *in, struct relay_pair *out, const struct relay_program *prog)
{
	struct relay_ice *ice = NULL;
	struct relay *r = in->range->relay;
	struct relay_latch *latch = in->latch, *fresh = NULL;
	struct relay_prog *g;

	if (!prog) {
		relay_keys_rest(in);
		relay_program_clear(in);
		reclaim(r);
		return REASON_NONE;
	}
	g = thing_new(r, RELAY_PROG);
	if (!g)
		return REASON_NO_MEMORY;
	g->map = map_of(r, prog);
	if (!g->map) {
		thing_free(r, g);
		return REASON_NO_MEMORY;
	}
	if (!latch || !addr_eq(&latch->source_rtp, &prog->source_rtp) ||
	    !addr_eq(&latch->source_rtcp, &prog->source_rtcp) || !addr_eq_ip(&latch->latch_ip, &prog->latch_ip)) {
		fresh = thing_new(r, RELAY_LATCH);
		if (!fresh) {
			thing_free(r, g);
			return REASON_NO_MEMORY;
		}
		fresh->source_rtp = prog->source_rtp;
		fresh->source_rtcp = prog->source_rtcp;
		fresh->latch_ip = prog->latch_ip;
		latch = fresh;
	}
	if (!ice_of(in, &prog->ice, &ice) || relay_keys_make(in, out, prog, &g->keys)) {
		if (fresh)
			thing_free(r, fresh);
		if (ice && ice != atomic_load_explicit(&in->ice, memory_order_relaxed))
			thing_free(r, ice);
		thing_free(r, g);
		return REASON_NO_MEMORY;
	}
	if (g->keys)
		relay_keys_take(in, out, prog, g->keys);
	relay_keys_free(in->rest);
	in->rest = NULL;
	g->dest_rtp = prog->dest_rtp;
	g->dest_rtcp = prog->dest_rtcp;
	g->rtp_on = prog->rtp_on;
	g->on_us = prog->on_us;
	g->cname = prog->cname;
	g->raw = prog->raw;
	g->wait_rtp = prog->wait_rtp;
	g->wait_rtcp = prog->wait_rtcp;
	g->event_pt = prog->event_pt;
	g->mux = prog->mux;
	g->dtls = prog->dtls;
	g->out = out;
	g->latch = latch;
	g->ice = ice ? ice->ice : NULL;
	list_del(&in->feeds);
	list_push(&out->feeders, &in->feeds);
	if (fresh)
		retire(r, atomic_exchange(&in->latch, fresh));
	if (ice != atomic_load_explicit(&in->ice, memory_order_relaxed))
		ice_set(in, ice);
	retire(r, atomic_exchange(&in->prog, g));
	reclaim(r);
	return REASON_NONE;
}

bool relay_pair_digit(struct relay_pair *in, uint8_t event, uint16_t ms)
{
	const struct relay_prog *g = in->prog;
	struct relay_play *y = in->play;
	uint32_t tail;

	if (!g || g->event_pt == RELAY_PT_DROP)
		return false;
	if (!y) {
		y = thing_new(in->range->relay, RELAY_PLAY);
		if (!y)
			return false;
		atomic_store(&in->play, y);
	}
	tail = atomic_load_explicit(&y->tail, memory_order_relaxed);
	if (tail - atomic_load_explicit(&y->head, memory_order_acquire) == RELAY_DIGITS)
		return false;
	y->digit[tail % RELAY_DIGITS].event = event;
	y->digit[tail % RELAY_DIGITS].ms = ms;
	atomic_store_explicit(&y->tail, tail + 1, memory_order_release);
	return true;
}

/* --- counters --- */

void relay_addr_set(struct relay_addr *a, const struct addr *v)
{
	uint32_t turn = atomic_load_explicit(&a->turn, memory_order_relaxed), word[sizeof(*v) / 4];

	memcpy(word, v, sizeof(word));
	atomic_store(&a->turn, turn + 1);
	for (unsigned i = 0; i < ARRAY_LEN(word); i++)
		atomic_store_explicit(&a->word[i], word[i], memory_order_release);
	atomic_store(&a->turn, turn + 2);
}

struct addr relay_addr_get(const struct relay_addr *a)
{
	uint32_t word[sizeof(struct addr) / 4];
	struct addr v = {0};

	for (int tries = 0; tries < 3; tries++) {
		uint32_t turn = atomic_load(&a->turn);

		for (unsigned i = 0; i < ARRAY_LEN(word); i++)
			word[i] = atomic_load_explicit(&a->word[i], memory_order_acquire);
		if (turn % 2 == 0 && turn == atomic_load(&a->turn)) {
			memcpy(&v, word, sizeof(v));
			break;
		}
	}
	return v;
}

static uint64_t read_u64(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

/* what a verdict needs beside the plain counters */
static void read_findings(const struct relay_flow *f, struct media_stats *ret)
{
	ret->reordered = atomic_load_explicit(&f->reordered, memory_order_relaxed);
	ret->doubled = atomic_load_explicit(&f->doubled, memory_order_relaxed);
	ret->gap_us = atomic_load_explicit(&f->gap_us, memory_order_relaxed);
	ret->drift_ppm = atomic_load_explicit(&f->drift_ppm, memory_order_relaxed);
	ret->last_rtp_us = atomic_load_explicit(&f->last_rtp_us, memory_order_relaxed);
	ret->last_payload = atomic_load_explicit(&f->last_payload, memory_order_relaxed);
	ret->deaf_reports = atomic_load_explicit(&f->deaf_reports, memory_order_relaxed);
	ret->deaf_us = atomic_load_explicit(&f->deaf_us, memory_order_relaxed);
	ret->far_sends_us = atomic_load_explicit(&f->far_sends_us, memory_order_relaxed);
	ret->refused.source = relay_addr_get(&f->refused_source);
	ret->refused.source_us = atomic_load_explicit(&f->refused_source_us, memory_order_relaxed);
	ret->refused.pt_us = atomic_load_explicit(&f->refused_pt_us, memory_order_relaxed);
	ret->refused.pt = atomic_load_explicit(&f->refused_pt, memory_order_relaxed);
	ret->unreachable.since_us = atomic_load_explicit(&f->unreachable_since_us, memory_order_relaxed);
	ret->unreachable.last_us = atomic_load_explicit(&f->unreachable_us, memory_order_relaxed);
	ret->unreachable.why = atomic_load_explicit(&f->unreachable_why, memory_order_relaxed);
}

void relay_pair_stats(const struct relay_pair *p, struct media_stats *ret)
{
	const struct relay_flow *f = p->flow;
	const struct relay_latch *l = p->latch;
	const struct relay_ice *ice = p->ice;

	memset(ret, 0, sizeof(*ret));
	ret->far_lost = -1;
	ret->local = p->local;
	if (f) {
		ret->rx_packets = read_u64(&f->rx_packets);
		ret->rx_bytes = read_u64(&f->rx_bytes);
		ret->rtcp_rx = read_u64(&f->rtcp_rx);
		ret->tx_packets = read_u64(&f->tx_packets);
		ret->tx_bytes = read_u64(&f->tx_bytes);
		ret->rtcp_tx = read_u64(&f->rtcp_tx);
		for (unsigned i = 0; i < RELAY_DROPS; i++)
			ret->drops[i] = atomic_load_explicit(&f->drops[i], memory_order_relaxed);
		ret->lost = atomic_load_explicit(&f->lost, memory_order_relaxed);
		ret->jitter_us = atomic_load_explicit(&f->jitter_us, memory_order_relaxed);
		ret->first_rx_us = atomic_load_explicit(&f->first_rx_us, memory_order_relaxed);
		ret->last_rx_us = atomic_load_explicit(&f->last_rx_us, memory_order_relaxed);
		ret->unreadable_us = atomic_load_explicit(&f->unreadable_us, memory_order_relaxed);
		ret->round_trip_us = atomic_load_explicit(&f->round_trip_us, memory_order_relaxed);
		ret->far_lost = (int16_t)((int)atomic_load_explicit(&f->far_lost, memory_order_relaxed) - 1);
		read_findings(f, ret);
	}
	if (relay_feeder(p))
		ret->remote = relay_feeder(p)->prog->dest_rtp;
	relay_keys_stats(p, ret);
	if (ice) {
		const struct addr *at = ice_where(ice->ice, RELAY_RTP, 0); /* however long it is silent */

		ret->ice = at ? MEDIA_ICE_UP : MEDIA_ICE_WAITS;
		ret->source = ret->remote = at ? *at : (struct addr){0};
	} else if (l) {
		uint8_t seen = l->source[RELAY_RTP].seen;

		if (seen != RELAY_UNSEEN)
			ret->source = l->source[RELAY_RTP].addr;
		if (seen == RELAY_SEEN_LATCH) {
			ret->latched = true;
			ret->remote = ret->source;
		}
	}
	/* of an address that counts no more, or of the call before */
	if (f && ret->unreachable.last_us) {
		struct addr a = relay_addr_get(&f->unreachable);

		if (!addr_eq(&a, &ret->remote))
			ret->unreachable.since_us = ret->unreachable.last_us = 0;
	}
}

void relay_pair_stats_reset(struct relay_pair *p)
{
	struct relay_flow *f;

	if (p->state != RELAY_PAIR_USED)
		return;
	f = thing_new(p->range->relay, RELAY_FLOW);
	if (!f)
		return;
	f->capture_key = p->flow->capture_key;
	f->capture = p->flow->capture;
	retire(p->range->relay, atomic_exchange(&p->flow, f));
	reclaim(p->range->relay);
}

/* --- capture --- */

enum reason relay_capture_start(struct relay *r)
{
	if (!r->capture_bytes)
		return REASON_CAPTURE_OFF;
	for (unsigned i = 0; i < r->n_workers; i++) {
		struct relay_worker *w = &r->worker[i];
		struct capture *c = w->capture ? NULL : capture_new(r->capture_bytes / r->n_workers);

		if (!w->capture && !c)
			return REASON_NO_MEMORY;
		if (c)
			atomic_store(&w->capture, c);
	}
	return REASON_NONE;
}

void relay_pair_capture(struct relay_pair *p, enum media_capture mode, uint64_t key)
{
	struct relay_flow *f = p->flow;

	if (!f)
		return;
	atomic_store(&f->capture_key, key);
	atomic_store(&f->capture, (uint8_t)mode);
}

void relay_captured(const struct relay *r, uint64_t key, bool (*fn)(void *ctx, const struct capture_packet *p), void *ctx)
{
	for (unsigned i = 0; i < r->n_workers; i++)
		if (r->worker[i].capture)
			capture_each(r->worker[i].capture, key, fn, ctx);
}

bool relay_port_use(const struct relay *r, unsigned realm, struct media_port_use *ret)
{
	struct media_port_use use = {0};

	if (realm >= r->n_realms)
		return false;
	for (unsigned i = 2 * realm; i < 2 * realm + 2; i++) {
		struct relay_range *g = &r->range[i];

		if (!g->n)
			continue;
		relay_range_refresh(g);
		use.total += g->n - g->blocked.n;
		use.used += g->used;
		use.quarantined += g->resting.n;
		if (range_percent(g) > use.percent)
			use.percent = range_percent(g);
	}
	*ret = use;
	return true;
}

unsigned relay_pairs_in_use(const struct relay *r)
{
	return r->pairs_used;
}
