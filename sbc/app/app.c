/* app.c - start, stop, and what net and b2b ask of the application.
 *
 * Start order is the order of the layers: log, loop, configuration, database, media, sockets, B2BUA, policy,
 * control socket; the reverse on the way out. What cannot start says which file, address or line is to blame and
 * what to do, on stderr, and the exit code is 2.
 */
#include "sbc/app/app.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "media/dtls.h"
#include "sbc/base/thread.h"
#include "sbc/sip/frame.h"
#include "sbc/sip/hide.h"

#define STOP_WAIT_MS 3000
#define SUBSCRIPTIONS_MAX 10000 /* on the box: a few KiB each */

/* ------------------------------------------------------------------ net and b2b ask */

static bool on_admit(void *ctx, const struct net_path *from)
{
	struct app *a = ctx;
	const struct policy *p = b2b_policy(a->b2b);
	const struct net_identity *who = from->conn ? net_identity(netio_net(a->net), from) : NULL;
	bool known = p && (policy_address_known(p, from) || (who && policy_identify(p, from, who)) ||
	                      bindings_trunk_at(reg_bindings(a->reg), from) || auth_knows(reg_auth(a->reg), &from->remote) ||
	                      b2b_awaits(a->b2b, from)),
	     heard;
	const struct pol_realm *realm;

	if (guard_check(a->guard, &from->remote, known) != GUARD_PASS)
		return false;
	if (known)
		return true;
	realm = p ? policy_realm(p, from->realm) : NULL;
	heard = p && policy_admit(p, from);
	/* let in for its certificate, which turned out to be nobody's: b2b says why, and does not answer */
	if (!heard || (who && realm && realm->strangers == POL_STRANGER_DROP))
		(void)guard_strike(a->guard, &from->remote, false);
	return heard;
}

static void on_message(void *ctx, const struct net_path *from, char *buf, size_t len, enum reason bad)
{
	struct app *a = ctx;

	b2b_on_message(a->b2b, from, buf, len, bad);
}

static void on_failure(void *ctx, const struct net_path *to, uint64_t owner, int err, struct str sent)
{
	struct app *a = ctx;

	b2b_on_failure(a->b2b, to, owner, err, sent);
}

static void on_flow_up(void *ctx, const struct net_path *flow)
{
	struct app *a = ctx;

	b2b_on_flow_up(a->b2b, flow);
}

static void on_flow_lost(void *ctx, const struct net_path *flow, int err)
{
	struct app *a = ctx;

	b2b_on_flow_lost(a->b2b, flow, err);
	reg_clients_on_flow_lost(a->clients, flow, err);
	app_reg_flow_lost(a, flow);
}

static void on_unproven(void *ctx, const struct net_path *from, int err, struct str text)
{
	struct app *a = ctx;

	guard_event(a->guard, &from->remote, net_error_reason(err), text);
}

static const struct net_user net_user = {.admit = on_admit,
    .on_message = on_message,
    .on_failure = on_failure,
    .on_flow_up = on_flow_up,
    .on_flow_lost = on_flow_lost,
    .on_unproven = on_unproven};

bool app_is_local(void *ctx, unsigned realm, const struct addr *addr)
{
	const struct app *a = ctx;
	const struct conf_realm *r = realm < a->conf->n_realms ? &a->conf->realms[realm] : NULL;

	for (unsigned i = 0; r && i < r->n_listen; i++) {
		const struct addr *own[2] = {&r->listen[i].bind, &r->listen[i].advertise};

		for (int k = 0; k < 2; k++)
			if (addr_eq_ip(own[k], addr) && (addr_port(addr) == 0 || addr_port(addr) == addr_port(own[k])))
				return true;
	}
	return false;
}

static void on_wire(void *ctx, bool out, const struct net_path *path, struct str call_id, struct str bytes)
{
	struct app *a = ctx;

	tap_add(a->tap, &a->loop.clock, out, path, b2b_wire_key(&a->env, call_id), bytes);
}

/* Where PBXs may register from anywhere, a stranger is heard; what is no registration counts against it. */
static void on_stranger(void *ctx, const struct net_path *from, enum reason why, struct str name)
{
	struct app *a = ctx;
	char text[300];
	struct buf b;

	buf_init(&b, text, sizeof(text) - 1);
	if (!str_empty(name)) /* it proved something, but nothing that a trunk has */
		buf_fmt(&b, "its certificate names %.*s", STR(str_head(name, 200)));
	if (from->proto == NET_TLS)
		guard_event(a->guard, &from->remote, why, buf_text(&b));
	if (policy_has_registrants(b2b_policy(a->b2b), from->realm) || policy_has_accounts(b2b_policy(a->b2b), from->realm))
		(void)guard_strike(a->guard, &from->remote, false);
}

static const struct b2b_user b2b_user = {app_on_record, app_on_answered, app_is_local, on_wire, on_stranger};

_Static_assert(sizeof(struct sip_framer) <= sizeof(struct net_framer), "the framer must fit");
_Static_assert((int)SIP_FRAME_BAD == (int)NET_FRAME_BAD && (int)SIP_FRAME_PING == (int)NET_FRAME_PING,
    "same order of frame kinds");

static enum net_frame_kind frame(
    struct net_framer *f, const char *p, size_t n, size_t *ret_len, enum reason *ret_reason)
{
	struct sip_framer s = {.scanned = f->state[0], .head_len = f->state[1], .body_len = f->state[2]};
	enum sip_frame_kind k = sip_frame(&s, p, n, ret_len, ret_reason);

	f->state[0] = s.scanned;
	f->state[1] = s.head_len;
	f->state[2] = s.body_len;
	return (enum net_frame_kind)k;
}

static const struct conf *ctl_conf(void *ctx)
{
	const struct app *a = ctx;

	return a->conf;
}

static const struct ctl_ops ctl_ops = {
    ctl_conf, app_policy_changed, app_reload, app_tls_view, app_tls_reload, app_gruu_rotate};

/* ------------------------------------------------------------------ signals and the end */

static void stop_when_idle(struct timer *t)
{
	struct app *a = container_of(t, struct app, stop_timer);

	(void)t;
	if (b2b_call_count(a->b2b))
		log_warn(&a->log, "stop_cut", "calls=%u", b2b_call_count(a->b2b));
	loop_stop(&a->loop);
}

static void poll_idle(struct timer *t)
{
	struct app *a = container_of(t, struct app, stop_timer);

	if ((b2b_call_count(a->b2b) == 0 && reg_clients_busy(a->clients) == 0 && subs_busy(a->subs) == 0) || a->loop.clock.mono_us >= a->stop_until_us) {
		stop_when_idle(t);
		return;
	}
	timer_start_ms(&a->loop.timers, &a->stop_timer, 20, poll_idle);
}

static void reload_done(void *arg, enum reason why, const char *text)
{
	struct app *a = arg;
	char code[REASON_CODE_MAX];
	struct log_quote q;

	if (why != REASON_NONE)
		log_error(&a->log, "reload_refused", "reason=%s text=%s", reason_code(why, code),
		    log_quoted(&q, str_z(text)));
}

static void begin_stop(struct app *a)
{
	if (a->stopping) {
		loop_stop(&a->loop); /* asked twice: at once */
		return;
	}
	a->stopping = true;
	log_info(&a->log, "stopping", "calls=%u", b2b_call_count(a->b2b));
	a->stop_until_us = a->loop.clock.mono_us + STOP_WAIT_MS * 1000;
	b2b_shutdown(a->b2b);
	subs_stop(a->subs); /* before the registrations: what ends with them is watched no more */
	reg_clients_stop(a->clients);
	timer_start_ms(&a->loop.timers, &a->stop_timer, b2b_call_count(a->b2b) ? 200 : 0, poll_idle);
}

static void on_signal(uv_signal_t *s, int number)
{
	struct app *a = s->data;

	loop_enter(&a->loop, "signal");
	if (number == SIGHUP)
		app_reload(a, reload_done, a);
	else
		begin_stop(a);
	loop_leave(&a->loop);
}

/* ------------------------------------------------------------------ start */

static int say(enum reason why, const char *text)
{
	char code[REASON_CODE_MAX];

	fprintf(stderr, "posternd: %s\nposternd: %s %s -> %s\n", text, reason_code(why, code),
	    reason_info(why)->text, reason_info(why)->remedy);
	return 2;
}

static void db_post(void *ctx, void (*fn)(void *arg), void *arg)
{
	struct app *a = ctx;

	/* fails only while the loop is being taken down; the request's memory goes with the process then */
	if (loop_post_any(&a->loop, fn, arg) < 0)
		log_error(&a->log, "db_post_lost", "%s", "");
}

static int open_log(struct app *a)
{
	int fd = STDERR_FILENO;

	if (a->conf->log.to == CONF_LOG_FILE) {
		fd = open(a->conf->log.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
		if (fd < 0) {
			fprintf(stderr, "posternd: cannot open log file %s: %s\n", a->conf->log.path, strerrordesc_np(errno));
			return 2;
		}
	}
	a->logger.fd = fd;
	a->logger.stamp = a->conf->log.to != CONF_LOG_JOURNAL;
	for (int i = 0; i < LOG_AREAS; i++)
		a->logger.level[i] = a->conf->log.level[i];
	return 0;
}

static int load_conf(struct app *a)
{
	struct conf_report report;
	char text[4096];
	struct buf b;

	a->conf = conf_load_file(a->conf_file, &report);
	for (unsigned i = 0; i < report.n_issues; i++) {
		buf_init(&b, text, sizeof(text) - 1);
		conf_issue_put(&b, &report, &report.issues[i]);
		fputs(buf_z(&b), stderr);
	}
	if (!a->conf)
		fprintf(stderr, "posternd: %s: not usable, not started\n", a->conf_file);
	conf_report_fini(&report);
	return a->conf ? 0 : 2;
}

static int open_db(struct app *a)
{
	char path[4096], text[1024];
	struct db_err err = {0};
	struct db_cfg cfg;
	struct buf b;

	buf_init(&b, path, sizeof(path) - 1);
	buf_fmt(&b, "%s/postern.db", a->conf->state_dir);
	cfg = (struct db_cfg){.path = buf_z(&b),
	    .post = db_post,
	    .post_ctx = a,
	    .logger = &a->logger,
	    .window_ms = a->conf->limits.cdr_window_ms};
	if (db_open(&cfg, &a->db, &err) == REASON_NONE)
		return 0;
	buf_init(&b, text, sizeof(text) - 1);
	buf_fmt(&b, "database %s: %s%s%s", path, err.text, err.hint[0] ? "; " : "", err.hint);
	return say(err.reason, buf_z(&b));
}

static int open_media(struct app *a)
{
	static const struct workers_cfg dtls = {.name = "postern-dtls", .thread_end = dtls_thread_done};
	struct media_realm_cfg realms[CONF_REALMS_MAX];
	unsigned workers = a->conf->media.workers;
	enum reason why = REASON_NONE;
	struct media_cfg cfg;

	memset(realms, 0, sizeof(realms));
	for (unsigned i = 0; i < a->conf->n_realms; i++) {
		const struct conf_realm *r = &a->conf->realms[i];

		realms[i] = (struct media_realm_cfg){.name = r->name,
		    .ip4 = r->media4.bind,
		    .ip6 = r->media6.bind,
		    .advertise4 = r->media4.advertise,
		    .advertise6 = r->media6.advertise,
		    .port_min = r->port_min,
		    .port_max = r->port_max,
		    .dscp = r->dscp};
	}
	if (workers == 0) {
		long n = sysconf(_SC_NPROCESSORS_ONLN);

		workers = n > 0 ? (unsigned)n : 1;
	}
	cfg = (struct media_cfg){.realms = realms,
	    .n_realms = a->conf->n_realms,
	    .workers = workers,
	    /* 0 would mean its default there, not none */
	    .gather_us = a->conf->media.gather_us,
	    .capture_bytes = (size_t)a->conf->media.capture_mib << 20,
	    .quarantine_ms = a->conf->media.quarantine_ms ? a->conf->media.quarantine_ms : 1,
	    .loop = &a->loop};
	if (workers_new(&a->loop, &dtls, &a->dtls_workers) < 0) /* then calls wait for handshakes */
		log_error(&a->log, "dtls_threads", "why=%s", "\"no thread\"");
	cfg.dtls_workers = a->dtls_workers;
	a->media = media_new(&a->env, &cfg, &why);
	return a->media ? 0 : say(why, "media could not start; the log line above names the realm");
}

static int open_tls(struct app *a)
{
	struct tls_error err;
	char text[600];
	struct buf b;

	a->tls = app_tls_new(a, &err);
	if (a->tls)
		return 0;
	buf_init(&b, text, sizeof(text) - 1);
	buf_fmt(&b, "%s%s%s", err.text, err.hint[0] ? "; " : "", err.hint);
	return say(err.reason, buf_z(&b));
}

static int open_net(struct app *a)
{
	struct net_listener_cfg listeners[256];
	struct netio_error err;
	struct netio_cfg cfg;
	int e;

	app_net_cfg(a->conf, app_tls_store(a), a->legacy_realms, &cfg, listeners, ARRAY_LEN(listeners));
	e = netio_new(&a->loop, &a->env, &cfg, &net_user, a, frame, &a->net, &err);
	app_net_cfg_fini(listeners, cfg.n_listeners);
	return e < 0 ? say(err.reason, err.text) : 0;
}

static enum reason change_nothing(struct db_handle *h, struct db_change *c, struct db_err *err)
{
	(void)h;
	(void)c;
	(void)err;
	return REASON_NONE;
}

static int load_policy(struct app *a)
{
	struct db_change c = {0};
	char text[8192];
	enum reason why;
	struct buf b;

	/* a change that changes nothing: gives the rows without a turn of the loop */
	c.dry_run = true;
	c.apply = change_nothing;
	why = db_change_call(a->db, &c);
	if (why != REASON_NONE)
		return say(why, c.req.err.text);
	buf_init(&b, text, sizeof(text) - 1);
	why = app_apply_rows(a, c.rows, &b);
	if (why != REASON_NONE)
		return say(why, buf_z(&b));
	return 0;
}

struct instance_load {
	struct db_req req;
	struct app *app;
	struct reg_secret secret;
};

static enum reason instance_run(struct db_handle *h, struct db_req *req, struct db_err *err)
{
	struct instance_load *l = container_of(req, struct instance_load, req);

	return app_secret(l->app, h, S("instance"), l->secret.key, err);
}

/* What names this box to others: the same as before the restart. */
static int load_instance(struct app *a)
{
	struct instance_load l = {.req = {.kind = DB_WRITE, .run = instance_run}, .app = a};
	enum reason why = db_call(a->db, &l.req);

	if (why != REASON_NONE)
		return say(why, l.req.err.text);
	reg_clients_set_secret(a->clients, &l.secret);
	explicit_bzero(&l.secret, sizeof(l.secret));
	return 0;
}

static void restore_bans(struct app *a)
{
	for (unsigned i = 0; a->rows && i < a->rows->n_bans; i++) {
		const struct db_ban *d = &a->rows->bans[i];
		struct guard_ban ban = {.until_wall_us = d->until_us ? d->until_us : INT64_MAX};

		if (addr_net_parse(d->address, &ban.net) == 0 && guard_ban_restore(a->guard, &ban) < 0)
			log_warn(&a->log, "ban_not_restored", "address=%.*s", STR(d->address));
	}
}

int app_start(struct app *a, const struct app_cfg *cfg)
{
	struct guard_cfg gcfg;
	struct ctl_error cerr;
	struct rlimit rl;
	bool keys_hidden;
	int rc;

	memset(a, 0, sizeof(*a));
	keys_hidden = tls_process_init(); /* before there are threads */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	/* every socket of every pooled port costs a descriptor: take what the hard limit gives */
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	a->conf_file = cfg->conf_file;
	rc = load_conf(a);
	if (rc)
		return rc;
	if (logger_init(&a->logger, STDERR_FILENO, LOG_INFO) < 0)
		return say(REASON_NO_MEMORY, "no memory for the log");
	a->log = (struct log){.to = &a->logger, .area = LOG_APP};
	rc = open_log(a);
	if (rc)
		return rc;
	if (!keys_hidden)
		log_warn(&a->log, "keys_swappable", "%s", "private keys may be swapped: give the service LimitMEMLOCK");
	metrics_init(&a->metrics);
	if (loop_init(&a->loop, &(struct loop_cfg){.logger = &a->logger, .metrics = &a->metrics}) < 0)
		return say(REASON_NO_MEMORY, "the event loop could not start");
	rng_init_system(&a->rng);
	a->env = (struct env){.clock = &a->loop.clock,
	    .timers = &a->loop.timers,
	    .rng = &a->rng,
	    .logger = &a->logger,
	    .metrics = &a->metrics};
	rng_bytes(&a->rng, &a->env.hash_key, sizeof(a->env.hash_key));
	if (htab_init(&a->names, 64) < 0)
		return say(REASON_NO_MEMORY, "no memory for names");
	rc = open_db(a);
	if (rc)
		return rc;
	rc = open_media(a);
	if (rc)
		return rc;
	guard_cfg_defaults(&gcfg);
	if (guard_new(&a->env, &gcfg, app_on_ban, a, &a->guard) < 0 || tap_new(0, 0, &a->tap) < 0)
		return say(REASON_NO_MEMORY, "no memory for guard and message ring");
	tap_set_hide(a->tap, sip_hide_credentials);
	rc = open_tls(a);
	if (rc)
		return rc;
	if (app_make_realms(a->conf, app_tls_store(a), &a->realms) < 0)
		return say(REASON_NO_MEMORY, "no memory for realms");
	if (dns_new(&a->loop, &a->env,
	        &(struct dns_cfg){.servers = a->conf->dns.servers, .n_servers = a->conf->dns.n_servers}, &a->dns) < 0 ||
	    locator_dns_new(&a->loop, &a->env, a->dns, &a->locator) < 0)
		return say(REASON_INTERNAL, "server location could not start");
	rc = open_net(a);
	if (rc)
		return rc;
	a->reg_history = reg_history_new(2048);
	a->reg = reg_new(&a->env, &(struct reg_cfg){.realm = S("postern"), .net = netio_net(a->net)}, &app_reg_user, a);
	if (!a->reg || !a->reg_history)
		return say(REASON_NO_MEMORY, "no memory for the registrar");
	if (app_gruu_load(a) != REASON_NONE)
		log_error(&a->log, "gruu_keys_not_loaded", "%s", "temporary GRUUs of before this start are not read");
	a->clients = reg_clients_new(&a->env, S("Postern/" POSTERN_VERSION), &app_reg_client_user, a);
	if (!a->clients)
		return say(REASON_NO_MEMORY, "no memory for registrations");
	rc = load_instance(a);
	if (rc)
		return rc;
	a->subs = subs_new(&a->env, &(struct subs_cfg){.max = SUBSCRIPTIONS_MAX});
	a->reg_events = a->subs ? reg_events_new(&a->env, a->subs, a->reg) : NULL;
	a->reg_watches = a->subs ? reg_watches_new(&a->env, a->subs, a->clients, S("Postern/" POSTERN_VERSION),
	                               &app_reg_client_user, a)
	                         : NULL;
	if (!a->reg_events || !a->reg_watches)
		return say(REASON_NO_MEMORY, "no memory for subscriptions");
	a->b2b = b2b_new(&a->env, netio_net(a->net), a->media,
	    &(struct b2b_cfg){.reg = a->reg,
	        .auth = reg_auth(a->reg),
	        .digest_realm = S("postern"),
	        .subs = a->subs,
	        .events = a->reg_events,
	        .clients = a->clients,
	        .max_calls = a->conf->limits.max_calls,
	        .note_ms = db_open_after_ms(a->conf->limits.cdr_window_ms),
	        .user_agent = S("Postern/" POSTERN_VERSION),
	        .locator = a->locator},
	    &b2b_user, a);
	if (!a->b2b)
		return say(REASON_NO_MEMORY, "no memory for the B2BUA");
	subs_start(a->subs, b2b_txn(a->b2b));
	reg_events_start(a->reg_events, b2b_targets(a->b2b));
	reg_watches_start(a->reg_watches, b2b_targets(a->b2b));
	rc = load_policy(a);
	if (rc)
		return rc;
	reg_clients_start(a->clients, netio_net(a->net), b2b_txn(a->b2b), b2b_targets(a->b2b));
	restore_bans(a);
	if (app_restore_registrations(a) != REASON_NONE)
		log_error(&a->log, "registrations_not_restored", "%s", "");
	a->restored = true;
	app_link_follow(a);
	if (ctl_server_new(&(struct ctl_backend){.ops = &ctl_ops,
	                       .ctx = a,
	                       .env = &a->env,
	                       .loop = &a->loop,
	                       .b2b = a->b2b,
	                       .reg = a->reg,
	                       .reg_history = a->reg_history,
	                       .clients = a->clients,
	                       .subs = a->subs,
	                       .reg_events = a->reg_events,
	                       .reg_watches = a->reg_watches,
	                       .media = a->media,
	                       .db = a->db,
	                       .guard = a->guard,
	                       .net = a->net,
	                       .tap = a->tap,
	                       .dns = a->dns,
	                       .locator = a->locator,
	                       .conf_file = a->conf_file,
	                       .start_us = a->loop.clock.mono_us,
	                       .start_wall_us = a->loop.clock.wall_us},
	        a->conf->control, &a->ctl, &cerr) < 0)
		return say(cerr.reason, cerr.text);
	for (int i = 0; i < 3; i++) {
		static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};

		uv_signal_init(&a->loop.uv, &a->sig[i]);
		a->sig[i].data = a;
		uv_signal_start(&a->sig[i], on_signal, numbers[i]);
	}
	log_info(&a->log, "started", "version=%s box=%.*s realms=%u trunks=%u", POSTERN_VERSION, STR(a->conf->box),
	    a->conf->n_realms, policy_trunk_count(b2b_policy(a->b2b)));
	return 0;
}

void app_run(struct app *a)
{
	thread_prompt();
	loop_run(&a->loop);
}

static void one_closed(void *arg)
{
	struct app *a = arg;

	a->closing--;
}

void app_stop(struct app *a)
{
	if (!a->conf)
		return;
	if (a->ctl) {
		a->closing++;
		ctl_server_free(a->ctl, one_closed, a);
		a->ctl = NULL;
	}
	timer_stop(&a->loop.timers, &a->names_timer);
	timer_stop(&a->loop.timers, &a->stop_timer);
	reg_watches_free(a->reg_watches);
	a->reg_watches = NULL;
	subs_free(a->subs);
	a->subs = NULL;
	reg_events_free(a->reg_events);
	a->reg_events = NULL;
	app_link_free(a);
	reg_clients_free(a->clients);
	a->clients = NULL;
	b2b_free(a->b2b);
	a->b2b = NULL;
	media_free(a->media);
	if (a->dtls_workers) {
		a->closing++;
		workers_free(a->dtls_workers, one_closed, a);
	}
	db_close(a->db);
	app_names_free(a);
	if (a->net) {
		a->closing++;
		netio_free(a->net, one_closed, a);
		a->net = NULL;
	}
	if (a->tls) {
		a->closing++;
		app_tls_free(a->tls, one_closed, a);
	}
	locator_dns_free(a->locator);
	if (a->dns) {
		a->closing++;
		dns_free(a->dns, one_closed, a);
	}
	for (int i = 0; i < 3; i++)
		if (a->sig[i].data)
			uv_close((uv_handle_t *)&a->sig[i], NULL);
	for (int i = 0; a->closing > 0 && i < 1000; i++)
		loop_turn(&a->loop, 10);
	if (a->env.clock)
		(void)loop_fini(&a->loop);
	reg_free(a->reg);
	a->reg = NULL;
	reg_history_free(a->reg_history);
	guard_free(a->guard);
	tap_free(a->tap);
	db_rows_free(a->rows);
	free(a->realms);
	conf_unref(a->conf);
	if (a->logger.ring) {
		if (a->logger.fd > STDERR_FILENO)
			close(a->logger.fd);
		logger_fini(&a->logger);
	}
}
