/* netio.c - listeners, reload, the operations of struct net, late delivery of failures.
 *
 * Listeners live in slots, so that the index a path carries stays true over a reload. A reload opens what is new
 * first; only when all of that is open are realms moved and old listeners closed, so a failure changes nothing.
 * The struct net_local that local() hands out is never freed before the netio: a call may hold it over a reload.
 *
 * Failures are collected and told at the end of the turn, because on_failure() may call anything, and nothing is
 * called back from inside send() or close().
 *
 * netio_free() closes every handle; the memory goes when libuv has let go of the last one.
 */
#include "sbc/net/netio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbc/net/internal.h"
#include "sbc/net/tls_internal.h"

#define GATE_QUIET_US 5000000
#define ANY_PORT_TRIES 16
/* what a peer may ask of us */
#define KEEP_MIN_MS 1000
#define KEEP_MAX_MS 3600000

static const char *const count_names[NET_COUNTS] = {
    [NET_UDP_RX] = "udp_rx",
    [NET_UDP_RX_CALLS] = "udp_rx_calls",
    [NET_UDP_TX] = "udp_tx",
    [NET_UDP_TX_CALLS] = "udp_tx_calls",
    [NET_UDP_TX_QUEUED] = "udp_tx_queued",
    [NET_UDP_TX_FAILED] = "udp_tx_failed",
    [NET_UDP_REFUSED] = "udp_refused",
    [NET_UDP_KEEPALIVE] = "udp_keepalive",
    [NET_UDP_ICMP] = "udp_icmp",
    [NET_TCP_RX] = "tcp_rx",
    [NET_TCP_TX] = "tcp_tx",
    [NET_TCP_ACCEPTED] = "tcp_accepted",
    [NET_TCP_REFUSED] = "tcp_refused",
    [NET_TCP_OVER_CAP] = "tcp_over_cap",
    [NET_TCP_OVER_SOURCE_CAP] = "tcp_over_source_cap",
    [NET_TCP_NO_MEMORY] = "tcp_no_memory",
    [NET_TCP_CONNECTS] = "tcp_connects",
    [NET_TCP_CONNECT_FAILED] = "tcp_connect_failed",
    [NET_TCP_PINGS] = "tcp_pings",
    [NET_TCP_FRAMING] = "tcp_framing_lost",
    [NET_TCP_SLOW_FIRST] = "tcp_no_first_message",
    [NET_TCP_SLOW_MESSAGE] = "tcp_slow_message",
    [NET_TCP_IDLE] = "tcp_idle",
    [NET_TCP_STALLED] = "tcp_stalled",
    [NET_TCP_RACED] = "tcp_raced",
    [NET_TCP_RACE_SECOND] = "tcp_race_second",
    [NET_TCP_PINGED] = "tcp_pinged",
    [NET_ALIASES] = "aliases",
    [NET_ALIAS_REFUSED] = "alias_refused",
    [NET_ALIAS_USED] = "alias_used",
    [NET_TCP_NO_PONG] = "tcp_no_pong",
    [NET_TCP_PING_LOST] = "tcp_ping_lost",
    [NET_UDP_STUN] = "udp_stun",
    [NET_UDP_STUN_BAD] = "udp_stun_bad",
    [NET_UDP_STUN_STRAY] = "udp_stun_stray",
    [NET_UDP_KEEP_SENT] = "udp_keep_sent",
    [NET_UDP_KEEP_LOST] = "udp_keep_lost",
    [NET_TCP_QUEUE_FULL] = "tcp_queue_full",
    [NET_TCP_LOST] = "tcp_lost",
    [NET_TCP_OPEN] = "tcp_open",
    [NET_NO_DESCRIPTORS] = "no_descriptors",
    [NET_TLS_ACCEPTED] = "tls_accepted",
    [NET_TLS_CONNECTED] = "tls_connected",
    [NET_TLS_RESUMED] = "tls_resumed",
    [NET_TLS_FAILED] = "tls_failed",
    [NET_TLS_SLOW] = "tls_slow_handshake",
    [NET_TLS_REFUSED] = "tls_refused_certificate",
    [NET_TLS_UNPROVEN] = "tls_unproven_certificate",
};

void netio_cfg_defaults(struct netio_cfg *cfg)
{
	*cfg = (struct netio_cfg){
	    .socket_buffer = 4 << 20,
	    .udp_queue_bytes = 4 << 20,
	    .max_conns = 8192,
	    .max_conns_source = 64,
	    .first_message_ms = 30000,
	    .message_ms = 10000,
	    .idle_ms = 3600000,
	    .connect_ms = 4000,
	    .handshake_ms = 10000,
	    .stall_ms = 15000,
	    .conn_queue_bytes = 256 * 1024,
	    .message_max = 80 * 1024,
	};
}

static bool limits_ok(const struct netio_cfg *c)
{
	return c->socket_buffer > 0 && c->max_conns >= 1 && c->max_conns <= 65000 && c->max_conns_source >= 1 &&
	       c->first_message_ms >= 1 && c->first_message_ms <= 60000 && c->message_ms >= 1 && c->idle_ms >= 1 &&
	       c->connect_ms >= 1 && c->handshake_ms >= 1 && c->stall_ms >= 1 && c->conn_queue_bytes >= 1024 && c->message_max >= 1024;
}

/* ---- small things the other files use ---- */

bool netio_may_say(struct netio *io, struct log_gate *g, unsigned *ret_unsaid)
{
	return log_gate_open(g, io->env->clock->mono_us, GATE_QUIET_US, ret_unsaid);
}

bool turn_share_take(struct netio *io, struct turn_share *s, unsigned per_turn)
{
	uint64_t now = io->loop->counts[LOOP_TURNS];

	if (s->turn != now)
		*s = (struct turn_share){now, per_turn};
	if (!s->left)
		return false;
	s->left--;
	return true;
}

void netio_no_descriptors(struct netio *io, const char *what)
{
	char code[REASON_CODE_MAX];
	unsigned unsaid;

	io->counts[NET_NO_DESCRIPTORS]++;
	if (netio_may_say(io, &io->no_fd_gate, &unsaid))
		log_error(&io->log, "no_descriptors", "code=%s for=%s unsaid=%u remedy=\"%s\"",
		    reason_code(REASON_NO_DESCRIPTORS, code), what, unsaid,
		    reason_info(REASON_NO_DESCRIPTORS)->remedy);
}

void netio_handle_opened(struct netio *io)
{
	io->open_handles++;
}

static void finish_free(struct netio *io)
{
	loop_fn *closed = io->closed;
	void *arg = io->closed_arg;

	for (unsigned i = 0; i < io->n_locals; i++)
		free(io->locals[i]);
	free(io->locals);
	free(io->listener);
	free(io->slot);
	free(io->stream_buf);
	peers_free(io);
	htab_fini(&io->by_remote);
	htab_fini(&io->by_peer);
	htab_fini(&io->keeps);
	htab_fini(&io->aliases);
	htab_fini(&io->sources);
	tls_store_unref(io->tls);
	udp_rx_free(io->rx);
	if (io->spare_fd >= 0)
		close(io->spare_fd);
	metrics_del(&io->metrics);
	free(io);
	if (closed)
		closed(arg);
}

static void workers_gone(void *arg)
{
	finish_free(arg);
}

void netio_handle_closed(struct netio *io)
{
	if (--io->open_handles || !io->closing)
		return;
	if (io->workers)
		workers_free(io->workers, workers_gone, io);
	else
		finish_free(io);
}

/* ---- failures ---- */

static void deliver(struct loop_hook *h)
{
	struct netio *io = container_of(h, struct netio, deliver);
	struct list due, *n;

	list_init(&due);
	list_splice(&due, &io->failures);
	while ((n = list_pop(&due))) {
		struct failure *f = container_of(n, struct failure, node);

		if (io->closing)
			; /* nobody is told any more */
		else if (f->what == TELL_FAILURE)
			io->user->on_failure(io->ctx, &f->path, f->owner, f->err, str_n(f->sent, f->n));
		else if (f->what == TELL_FLOW_UP && io->user->on_flow_up)
			io->user->on_flow_up(io->ctx, &f->path);
		else if (f->what == TELL_FLOW_LOST && io->user->on_flow_lost)
			io->user->on_flow_lost(io->ctx, &f->path, f->err);
		free(f);
	}
}

void netio_fail_later(
    struct netio *io, const struct net_path *path, uint64_t owner, int err, const void *sent, size_t n)
{
	struct failure *f;

	if (io->closing || (owner == 0 && n == 0))
		return;
	f = malloc(sizeof(*f) + n);
	if (!f)
		return; /* then the transaction's own timer finds out */
	*f = (struct failure){.path = *path, .owner = owner, .err = err, .n = n};
	if (n)
		memcpy(f->sent, sent, n);
	list_push(&io->failures, &f->node);
	loop_at_turn_end(io->loop, &io->deliver);
}

static void flow_later(struct netio *io, const struct net_path *flow, enum tell what, int err)
{
	struct failure *f = io->closing ? NULL : calloc(1, sizeof(*f));

	if (!f)
		return; /* who waits for it has a timer */
	*f = (struct failure){.path = *flow, .err = err, .what = what};
	list_push(&io->failures, &f->node);
	loop_at_turn_end(io->loop, &io->deliver);
}

void netio_flow_up_later(struct netio *io, const struct net_path *flow)
{
	flow_later(io, flow, TELL_FLOW_UP, 0);
}

void netio_flow_lost_later(struct netio *io, const struct net_path *flow, int err)
{
	flow_later(io, flow, TELL_FLOW_LOST, err);
}

/* ---- listeners ---- */

static int family_index(const struct addr *a)
{
	return addr_is6(a) ? 1 : 0;
}

static struct listener **chain_of(struct netio *io, const struct listener *l)
{
	return &io->by[l->realm][l->proto][family_index(&l->asked)];
}

/* At the end, so that the first of a realm stays the first. */
static void chain(struct listener *l)
{
	struct listener **p = chain_of(l->io, l);

	while (*p)
		p = &(*p)->next;
	l->next = NULL;
	*p = l;
}

static void unchain(struct listener *l)
{
	struct listener **p = chain_of(l->io, l);

	while (*p && *p != l)
		p = &(*p)->next;
	if (*p)
		*p = l->next;
}

struct listener *netio_listener(const struct netio *io, const struct net_path *path)
{
	struct listener *first, *l;

	if (path->proto > NET_TLS || addr_none(&path->remote))
		return NULL;
	first = io->by[path->realm][path->proto][family_index(&path->remote)];
	if (!first || !first->next || addr_none(&path->local))
		return first;
	for (l = first; l; l = l->next)
		if (addr_eq(&l->bound, &path->local))
			return l;
	for (l = first; l; l = l->next)
		if (addr_eq_ip(&l->bound, &path->local) ||
		    (addr_is_any(&l->bound) && addr_port(&l->bound) == addr_port(&path->local)))
			return l;
	return first;
}

void netio_listener_free(struct listener *l)
{
	udp_free(l->udp);
	free(l->cert);
	free(l);
}

static bool keep_local(struct netio *io, struct net_local *local)
{
	struct net_local **p = realloc(io->locals, (io->n_locals + 1) * sizeof(*p));

	if (!p)
		return false;
	io->locals = p;
	io->locals[io->n_locals++] = local;
	return true;
}

/* one allocation: the struct and its host text behind it */
static struct net_local *local_new(const struct listener *l, const struct net_listener_cfg *c)
{
	char text[ADDR_TEXT_MAX];
	struct str host = c->host;
	struct net_local *local;
	struct buf b;
	char *p;

	buf_init(&b, text, sizeof(text));
	if (str_empty(host)) {
		addr_put_host(&b, &l->bound);
		host = buf_text(&b);
	}
	local = malloc(sizeof(*local) + host.n + 1);
	if (!local)
		return NULL;
	p = (char *)(local + 1);
	memcpy(p, host.p, host.n);
	p[host.n] = '\0';
	*local = (struct net_local){
	    .bound = l->bound, .host = str_n(p, host.n), .port = c->port ? c->port : addr_port(&l->bound)};
	return local;
}

static void close_listener(struct listener *l)
{
	l->io->listener[l->index] = NULL;
	if (l->proto == NET_UDP)
		udp_close(l);
	else
		tcp_listener_close(l);
}

static enum reason reason_of(int err)
{
	switch (err) {
	case -EADDRINUSE:
		return REASON_ADDRESS_IN_USE;
	case -EADDRNOTAVAIL:
	case -EAFNOSUPPORT:
	case -ENODEV:
		return REASON_ADDRESS_MISSING;
	case -EACCES:
	case -EPERM:
		return REASON_PERMISSION;
	case -EMFILE:
	case -ENFILE:
		return REASON_NO_DESCRIPTORS;
	case -ENOMEM:
	case -ENOBUFS:
		return REASON_NO_MEMORY;
	case -EINVAL:
	case -ENOENT:
		return REASON_CONFIG_INVALID;
	default:
		return REASON_INTERNAL;
	}
}

static const char *proto_word(uint8_t proto)
{
	return proto == NET_UDP ? "udp" : proto == NET_TCP ? "tcp" : "tls";
}

static int say_error(struct netio *io, int err, const struct net_listener_cfg *c, struct netio_error *ret)
{
	char at[ADDR_TEXT_MAX], code[REASON_CODE_MAX];
	enum reason r = reason_of(err);

	*ret = (struct netio_error){.reason = r, .err = err};
	if (c) {
		ret->proto = c->proto;
		ret->bound = c->bound;
		addr_text(&c->bound, at);
		if (err == -ENOENT)
			snprintf(ret->text, sizeof(ret->text), "tls %s: there is no certificate \"%.*s\"", at, STR(c->cert));
		else
			snprintf(ret->text, sizeof(ret->text), "%s %s: %s", proto_word(c->proto), at, reason_info(r)->text);
		log_error(&io->log, "listen_failed", "code=%s proto=%s address=%s errno=%s remedy=\"%s\"",
		    reason_code(r, code), proto_word(c->proto), at, uv_err_name(err), reason_info(r)->remedy);
	} else {
		snprintf(ret->text, sizeof(ret->text), "%s", reason_info(r)->text);
		log_error(&io->log, "net_failed", "code=%s errno=%s", reason_code(r, code), uv_err_name(err));
	}
	return err;
}

/* What of c is no socket's: 0, or -ENOMEM. */
static int take_tls(struct listener *l, const struct net_listener_cfg *c)
{
	char *cert;

	if (c->proto != NET_TLS)
		return 0;
	cert = str_strdup(c->cert);
	if (!cert)
		return -ENOMEM;
	free(l->cert);
	l->cert = cert;
	l->client_cert = c->client_cert;
	l->legacy_ciphers = c->legacy_ciphers;
	return 0;
}

/* DSCP of what leaves by the socket. A kernel that does not want it sends all the same. */
void netio_set_dscp(int fd, bool v6, uint8_t dscp)
{
	int tos = dscp << 2;

	if (v6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	else
		(void)setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
}

static int slot_for(struct netio *io, uint16_t *ret)
{
	struct listener **p;

	for (unsigned i = 0; i < io->n_listeners; i++)
		if (!io->listener[i]) {
			*ret = (uint16_t)i;
			return 0;
		}
	if (io->n_listeners >= UINT16_MAX)
		return -EINVAL;
	p = realloc(io->listener, (io->n_listeners + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	p[io->n_listeners] = NULL;
	io->listener = p;
	*ret = (uint16_t)io->n_listeners++;
	return 0;
}

/* Opens one socket in a slot of its own; not yet chained into its realm. */
static int open_one(struct netio *io, const struct net_listener_cfg *c, bool implied, struct listener **ret)
{
	struct listener *l = calloc(1, sizeof(*l));
	int e;

	if (!l)
		return -ENOMEM;
	*l = (struct listener){
	    .io = io, .realm = c->realm, .proto = c->proto, .implied = implied, .asked = c->bound, .fd = -1,
	    .dscp = c->dscp};
	e = slot_for(io, &l->index);
	if (!e)
		e = take_tls(l, c);
	if (!e)
		e = c->proto == NET_UDP ? udp_open(l) : tcp_listen(l);
	if (e) {
		free(l->cert);
		free(l);
		return e;
	}
	io->listener[l->index] = l;
	l->local = local_new(l, c);
	if (!l->local || !keep_local(io, l->local)) {
		free(l->local);
		close_listener(l);
		return -ENOMEM;
	}
	*ret = l;
	return 0;
}

static bool same_bound(const struct addr *a, const struct addr *b)
{
	return a->sa.sa_family == b->sa.sa_family && addr_eq(a, b) &&
	       (!addr_is6(a) || a->in6.sin6_scope_id == b->in6.sin6_scope_id);
}

/* the configuration's own line for TCP at this address */
static bool has_tcp_line(const struct netio_cfg *cfg, const struct addr *bound)
{
	for (unsigned i = 0; i < cfg->n_listeners; i++)
		if (cfg->listeners[i].proto == NET_TCP && same_bound(&cfg->listeners[i].bound, bound))
			return true;
	return false;
}

/* What a reload found to do. */
struct plan {
	struct listener **keep; /* in the new configuration, already open or just opened */
	struct net_listener_cfg *as;
	bool *opened;
	unsigned n, cap;
};

static int plan_add(struct plan *p, struct listener *l, const struct net_listener_cfg *as, bool opened)
{
	if (p->n == p->cap)
		return -EINVAL; /* more lines than counted: cannot happen */
	p->keep[p->n] = l;
	p->as[p->n] = *as;
	p->opened[p->n] = opened;
	p->n++;
	return 0;
}

static bool planned(const struct plan *p, const struct listener *l)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->keep[i] == l)
			return true;
	return false;
}

/* Keeps the listener that serves this line already, or opens one. -EINVAL: the same address stands there twice
 * (lines with port 0 each get a socket of their own). */
static int plan_line(struct netio *io, struct plan *p, const struct net_listener_cfg *c, bool implied)
{
	struct listener *l;
	int e;

	for (unsigned i = 0; i < io->n_listeners; i++) {
		l = io->listener[i];
		if (!l || l->proto != c->proto || !same_bound(&l->asked, &c->bound))
			continue;
		if (!planned(p, l))
			return plan_add(p, l, c, false);
		if (addr_port(&c->bound))
			return -EINVAL;
	}
	e = open_one(io, c, implied, &l);
	return e ? e : plan_add(p, l, c, true);
}

/* A UDP line and, when the configuration has no line for it, its TCP (RFC 3261 18.2.1). */
static int plan_udp(struct netio *io, struct plan *p, const struct netio_cfg *cfg,
    const struct net_listener_cfg *c, struct net_listener_cfg *at)
{
	struct net_listener_cfg tcp = *c;
	int tries = addr_port(&c->bound) == 0 ? ANY_PORT_TRIES : 1;

	for (;;) {
		struct listener *udp;
		unsigned before = p->n;
		int e = plan_line(io, p, c, false);

		if (e || (addr_port(&c->bound) && has_tcp_line(cfg, &c->bound)))
			return e;
		udp = p->keep[before];
		tcp.proto = NET_TCP;
		tcp.bound = udp->bound;
		if (addr_port(&c->bound) == 0) /* asked with the port that UDP was given */
			tcp.port = c->port;
		*at = tcp;
		e = plan_line(io, p, &tcp, true);
		if (!e)
			return 0;
		if (e != -EADDRINUSE || --tries == 0 || !p->opened[before])
			return e;
		/* somebody has that port on TCP: take another one for both */
		p->n = before;
		close_listener(udp);
	}
}

static void plan_free(struct plan *p)
{
	free(p->keep);
	free(p->as);
	free(p->opened);
}

static int plan_make(struct netio *io, const struct netio_cfg *cfg, struct plan *p, struct netio_error *ret_err)
{
	unsigned cap = cfg->n_listeners * 2 + 1;

	*p = (struct plan){.keep = calloc(cap, sizeof(*p->keep)), .as = calloc(cap, sizeof(*p->as)),
	    .opened = calloc(cap, sizeof(*p->opened)), .cap = cap};
	if (!p->keep || !p->as || !p->opened)
		return say_error(io, -ENOMEM, NULL, ret_err);
	for (unsigned i = 0; i < cfg->n_listeners; i++) {
		struct net_listener_cfg at = cfg->listeners[i];
		int e;

		if (at.proto > NET_TLS || addr_none(&at.bound) || at.client_cert > NET_CERT_NONE)
			e = -EINVAL;
		else if (at.proto == NET_TLS && !tls_store_find(cfg->tls, at.cert))
			e = -ENOENT;
		else if (at.proto == NET_UDP)
			e = plan_udp(io, p, cfg, &cfg->listeners[i], &at);
		else
			e = plan_line(io, p, &cfg->listeners[i], false);
		if (!e)
			continue;
		say_error(io, e, &at, ret_err);
		for (unsigned j = 0; j < p->n; j++)
			if (p->opened[j])
				close_listener(p->keep[j]);
		return e;
	}
	return 0;
}

/* What local() says, from now on. */
static void readvertise(struct listener *l, const struct net_listener_cfg *as)
{
	struct net_local *now = local_new(l, as);

	if (!now)
		return;
	if ((str_eq(now->host, l->local->host) && now->port == l->local->port) || !keep_local(l->io, now)) {
		free(now);
		return;
	}
	l->local = now;
}

static void plan_apply(struct netio *io, const struct plan *p)
{
	for (unsigned i = 0; i < io->n_listeners; i++) {
		struct listener *l = io->listener[i];
		char at[ADDR_TEXT_MAX];

		if (!l || planned(p, l))
			continue;
		log_info(&io->log, "listen_end", "proto=%s address=%s", proto_word(l->proto), addr_text(&l->bound, at));
		unchain(l);
		close_listener(l);
	}
	for (unsigned i = 0; i < p->n; i++) {
		struct listener *l = p->keep[i];
		char at[ADDR_TEXT_MAX];

		if (p->opened[i]) {
			chain(l);
			log_info(&io->log, "listen", "proto=%s address=%s realm=%u%s", proto_word(l->proto),
			    addr_text(&l->bound, at), l->realm, l->implied ? " implied=yes" : "");
			continue;
		}
		readvertise(l, &p->as[i]);
		/* out of memory: the listener goes on with what it has */
		(void)take_tls(l, &p->as[i]);
		if (l->realm == p->as[i].realm)
			continue;
		unchain(l);
		l->realm = p->as[i].realm;
		chain(l);
		if (l->proto == NET_UDP)
			udp_set_realm(l);
		else
			tcp_move_realm(io, l->index, l->realm);
	}
}

static void swap_store(struct netio *io, struct tls_store *store)
{
	if (io->tls == store)
		return;
	tls_store_ref(store);
	tls_store_unref(io->tls);
	io->tls = store;
	peer_forget_sessions(io);
}

int netio_set_tls(struct netio *io, struct tls_store *store)
{
	if (!peer_certs_exist(io, store))
		return -ENOENT;
	for (unsigned i = 0; i < io->n_listeners; i++) {
		const struct listener *l = io->listener[i];

		if (l && l->proto == NET_TLS && !tls_store_find(store, str_z(l->cert)))
			return -ENOENT;
	}
	swap_store(io, store);
	return 0;
}

int netio_reload(struct netio *io, const struct netio_cfg *cfg, struct netio_error *ret_err)
{
	struct plan p;
	int e;

	if (!limits_ok(cfg))
		return say_error(io, -EINVAL, NULL, ret_err);
	e = plan_make(io, cfg, &p, ret_err);
	if (!e) {
		plan_apply(io, &p);
		swap_store(io, cfg->tls);
		io->cfg = *cfg;
		io->cfg.listeners = NULL;
		io->cfg.n_listeners = 0;
		io->cfg.tls = NULL;
		tcp_limits_changed(io);
	}
	plan_free(&p);
	return e;
}

/* ---- struct net ---- */

static int op_send(struct net *n, struct net_path *path, const void *p, size_t len, uint64_t owner)
{
	struct netio *io = container_of(n, struct netio, net);
	struct listener *l;

	if (path->proto == NET_TCP || path->proto == NET_TLS)
		return tcp_send(io, path, p, len, owner);
	l = netio_listener(io, path);
	return l ? udp_send(l, path, p, len, owner) : -ENETUNREACH;
}

static const struct net_local *op_local(struct net *n, uint8_t realm, enum net_proto proto, int family)
{
	struct netio *io = container_of(n, struct netio, net);
	const struct listener *l;

	if ((unsigned)proto > NET_TLS)
		return NULL;
	l = io->by[realm][proto][family == AF_INET6 ? 1 : 0];
	return l ? l->local : NULL;
}

static void op_close(struct net *n, const struct net_path *path, bool now)
{
	if (path->proto == NET_TCP || path->proto == NET_TLS)
		tcp_close_path(container_of(n, struct netio, net), path, now);
}

static int op_peer_set(struct net *n, uint32_t *id, const struct net_peer *cfg)
{
	return peer_set(container_of(n, struct netio, net), id, cfg);
}

static void op_peer_del(struct net *n, uint32_t id)
{
	peer_del(container_of(n, struct netio, net), id);
}

static int op_prepare(struct net *n, struct net_path *path, const struct addr *alt)
{
	/* datagrams need no connection */
	return path->proto == NET_UDP ? 1 : tcp_prepare(container_of(n, struct netio, net), path, alt);
}

static int op_alias(struct net *n, const struct net_path *path, uint16_t sent_by_port)
{
	return alias_add(container_of(n, struct netio, net), path, sent_by_port);
}

static int op_keep(struct net *n, const struct net_path *path, uint32_t interval_ms)
{
	struct netio *io = container_of(n, struct netio, net);

	if (interval_ms)
		interval_ms = interval_ms < KEEP_MIN_MS ? KEEP_MIN_MS : interval_ms > KEEP_MAX_MS ? KEEP_MAX_MS : interval_ms;
	return path->proto == NET_UDP ? keep_set(io, path, interval_ms) : tcp_keep(io, path, interval_ms);
}

static bool op_alive(struct net *n, const struct net_path *path)
{
	const struct conn *c = tcp_conn(container_of(n, struct netio, net), path);

	return c && c->state <= CONN_UP;
}

static const struct net_identity *op_identity(struct net *n, const struct net_path *path)
{
	const struct conn *c = tcp_conn(container_of(n, struct netio, net), path);

	return c ? tls_identity(c) : NULL;
}

static const struct net_ops ops = {
    .send = op_send,
    .local = op_local,
    .close = op_close,
    .peer_set = op_peer_set,
    .peer_del = op_peer_del,
    .prepare = op_prepare,
    .identity = op_identity,
    .keep = op_keep,
    .alive = op_alive,
    .alias = op_alias,
};

/* ---- life ---- */

struct net *netio_net(struct netio *io)
{
	return &io->net;
}

int netio_new(struct loop *loop, const struct env *env, const struct netio_cfg *cfg, const struct net_user *user,
    void *ctx, net_frame_fn *frame, struct netio **ret_io, struct netio_error *ret_err)
{
	struct netio *io = calloc(1, sizeof(*io));
	int e;

	if (!io) {
		*ret_err = (struct netio_error){.reason = REASON_NO_MEMORY, .err = -ENOMEM};
		return -ENOMEM;
	}
	io->net.ops = &ops;
	io->loop = loop;
	io->env = env;
	io->user = user;
	io->ctx = ctx;
	io->frame = frame;
	io->cfg = *cfg;
	io->cfg.tls = NULL;
	io->log = (struct log){.to = env->logger, .area = LOG_NET};
	io->deliver.fn = deliver;
	list_init(&io->failures);
	io->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	io->stream_buf = malloc(STREAM_BUF);
	io->metrics = (struct metric_set){
	    .area = "net", .names = count_names, .values = io->counts, .n = NET_COUNTS};
	if (env->metrics)
		metrics_add(env->metrics, &io->metrics);
	e = io->spare_fd < 0 ? -errno : 0;
	if (!e && (!io->stream_buf || htab_init(&io->by_remote, 64) < 0 || htab_init(&io->by_peer, 64) < 0 ||
	              htab_init(&io->keeps, 16) < 0 || htab_init(&io->aliases, 16) < 0 || htab_init(&io->sources, 64) < 0))
		e = -ENOMEM;
	if (!e)
		e = udp_rx_new(&io->rx);
	if (e)
		say_error(io, e, NULL, ret_err);
	else
		e = netio_reload(io, cfg, ret_err);
	if (e) {
		netio_free(io, NULL, NULL);
		return e;
	}
	*ret_io = io;
	return 0;
}

static void finish_later(struct loop_hook *h)
{
	netio_handle_closed(container_of(h, struct netio, deliver));
}

void netio_free(struct netio *io, loop_fn *closed, void *arg)
{
	struct list *n;

	io->closed = closed;
	io->closed_arg = arg;
	io->closing = true;
	netio_handle_opened(io); /* so that nothing ends it while this runs */
	keeps_free(io);
	tcp_close_all(io);
	for (unsigned i = 0; i < io->n_listeners; i++)
		if (io->listener[i])
			close_listener(io->listener[i]);
	loop_hook_cancel(&io->deliver);
	while ((n = list_pop(&io->failures)))
		free(container_of(n, struct failure, node));
	if (io->open_handles > 1) {
		netio_handle_closed(io);
	} else { /* nothing to wait for, but closed() is for a later turn */
		io->deliver.fn = finish_later;
		loop_at_turn_end(io->loop, &io->deliver);
	}
}

/* ---- looking ---- */

uint64_t netio_count(const struct netio *io, enum net_count c)
{
	return (unsigned)c < NET_COUNTS ? io->counts[c] : 0;
}

bool netio_conn_next(const struct netio *io, uint32_t *at, struct netio_conn_info *ret)
{
	while (*at < io->n_slots) {
		const struct conn *c = io->slot[(*at)++].conn;

		if (!c || c->follower)
			continue;
		*ret = (struct netio_conn_info){.path = c->path, .inbound = c->inbound, .up = c->state == CONN_UP,
		    .race = c->race ? c->race->result : RACE_NONE, .ping_every_ms = c->ping_every_ms,
		    .pings = c->pings, .pongs = c->pongs, .pong_awaited = c->pong_us != 0,
		    .pings_unknown = c->pings_unknown,
		    .queued = c->tx_n - c->tx_at, .opened_us = c->opened_us, .last_us = c->last_us, .heard_us = c->heard_us,
		    .rx_msgs = c->rx_msgs, .tx_msgs = c->tx_msgs};
		tls_info(c, ret);
		return true;
	}
	return false;
}

bool netio_listener_next(const struct netio *io, unsigned *at, struct net_listener_cfg *ret)
{
	while (*at < io->n_listeners) {
		const struct listener *l = io->listener[(*at)++];

		if (!l)
			continue;
		*ret = (struct net_listener_cfg){.realm = l->realm, .proto = l->proto, .bound = l->bound,
		    .host = l->local->host, .port = l->local->port, .client_cert = l->client_cert,
		    .legacy_ciphers = l->legacy_ciphers, .cert = str_z(l->cert)};
		return true;
	}
	return false;
}
