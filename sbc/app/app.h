/* app.h - the whole system put together: the only room that knows all others.
 *
 *   app.c      start, stop, signals, what net and b2b ask of the application
 *   tls.c      certificates: loading, watching, swapping, warning
 *   apply.c    from configuration and rows to the running snapshot: start, CLI changes, names, reload
 *   registrations.c  bindings to the database, and back at start; what happens to registrations, for the history
 *   link.c     registrations at providers that follow those of PBXs
 *   gruu.c     keys of temporary GRUUs
 *   records.c  call records to the database and to those who follow them
 */
#ifndef SBC_APP_APP_H
#define SBC_APP_APP_H

#include "conf/conf.h"
#include "db/db.h"
#include "sbc/app/tls.h"
#include "sbc/b2b/call.h"
#include "sbc/ctl/ctl.h"
#include "sbc/loop/loop.h"
#include "sbc/loop/workers.h"
#include "sbc/net/guard.h"
#include "sbc/net/locate_dns.h"
#include "sbc/net/netio.h"
#include "sbc/net/resolve.h"
#include "sbc/net/tap.h"
#include "sbc/policy/compile.h"
#include "sbc/reg/client.h"
#include "sbc/reg/history.h"
#include "sbc/reg/reg.h"
#include "sbc/reg/regevent.h"
#include "sbc/reg/regwatch.h"

struct app_name {
	struct hnode node;     /* app->names */
	struct app *app;
	struct str host;       /* own */
	struct resolve_name *watch;
	struct addr *addrs;    /* own; as last told */
	unsigned n_addrs;
	unsigned wanted;       /* places of resolve.h, while the snapshot is followed */
};

struct app_link;

struct app {
	struct loop loop;
	struct env env;
	struct rng rng;
	struct logger logger;
	struct metrics metrics;
	struct log log;
	const char *conf_file;
	struct conf *conf;         /* ref: the running one */
	struct pol_realm *realms;  /* own: conf's realms as policy reads them */
	struct app_tls *tls;
	uint64_t legacy_realms;    /* bits: TLS listeners that take the ciphers of tls-legacy=yes too */
	struct netio *net;
	struct guard *guard;
	struct tap *tap;
	struct dns *dns;
	struct locator *locator;   /* of net/locate_dns.h */
	struct htab names;         /* struct app_name: names in the rows that are watched */
	struct media *media;
	struct workers *dtls_workers; /* handshakes of media */
	struct db *db;
	struct db_rows *rows;      /* own: what the running policy was compiled from */
	struct reg *reg;
	struct reg_history *reg_history;
	struct app_link *links;    /* own */
	unsigned n_links;
	bool restored;             /* bindings of before are back */
	struct timer link_timer;
	bool making_key;           /* a key pair of temporary GRUUs is on its way */
	struct reg_clients *clients; /* what we register at providers */
	struct subs *subs;
	struct reg_events *reg_events;   /* tells who is registered here */
	struct reg_watches *reg_watches; /* sees whether we are registered there */
	struct b2b *b2b;
	struct ctl_server *ctl;
	struct timer stop_timer;
	struct timer names_timer;  /* collects news of the DNS; else waits for the end of the first grace */
	bool names_news;
	uv_signal_t sig[3];
	bool stopping;
	int64_t stop_until_us;     /* calls that wait for their BYE's answer are cut then */
	int closing;               /* handles on their way out */
};

struct app_cfg {
	const char *conf_file;
};

/* Starts everything or says why not on stderr: 0, or the exit code (2). The loop does not run yet. */
int app_start(struct app *a, const struct app_cfg *cfg);
/* Runs until stopped. */
void app_run(struct app *a);
/* Gives everything back. */
void app_stop(struct app *a);

/* apply.c */
/* Compiles rows against the running configuration and swaps; rows become the app's. On failure the old snapshot
 * stays, rows are freed, text says why. */
enum reason app_apply_rows(struct app *a, struct db_rows *rows, struct buf *text);
void app_policy_changed(void *ctx, ctl_done_fn *done, void *arg);
void app_reload(void *ctx, ctl_done_fn *done, void *arg);
/* tls may be NULL: what its certificates name is copied. c must outlive the realms; to be given back with free(). */
MUST_USE int app_make_realms(const struct conf *c, const struct tls_store *tls, struct pol_realm **ret);
/* Do realms of the same configuration have the same hosts? */
bool app_same_hosts(const struct pol_realm *a, const struct pol_realm *b, unsigned n);
void app_names_free(struct app *a);
/* Fills cfg with the listeners of c; an advertised host is malloc'ed: app_net_cfg_fini(). A TLS listener that says no
 * host of its own is called what its certificate says first (RFC 5923 9.3, so that a peer finds the name it checks). */
void app_net_cfg(const struct conf *c, struct tls_store *tls, uint64_t legacy_realms, struct netio_cfg *cfg,
    struct net_listener_cfg *listeners, unsigned max);
/* The sockets follow c and tls. 0, or -errno with *err: nothing has changed. */
MUST_USE int app_net_take(struct app *a, const struct conf *c, struct tls_store *tls, struct netio_error *err);
void app_net_cfg_fini(struct net_listener_cfg *listeners, unsigned n);

/* registrations.c */
extern const struct reg_user app_reg_user;
void app_reg_flow_lost(struct app *a, const struct net_path *flow); /* a PBX may have registered by it */
extern const struct reg_client_user app_reg_client_user;
/* Before the loop runs: what was registered when we stopped is registered still. */
enum reason app_restore_registrations(struct app *a);
/* link.c */
void app_link_changed(struct app *a); /* a binding came or went */
void app_link_follow(struct app *a);  /* after each swap of the policy, and once what was registered is back */
void app_link_free(struct app *a);
/* secret.c */
#define APP_SECRET 32
/* That one of the box's own secrets; made now when there is none. On the store's thread, at start: the loop has to wait
 * meanwhile, for its random numbers are taken. */
enum reason app_secret(struct app *a, struct db_handle *h, struct str name, uint8_t ret[APP_SECRET], struct db_err *err);
/* gruu.c */
/* Before anybody registers: keys and secret of temporary GRUUs. */
enum reason app_gruu_load(struct app *a);
/* After each swap of the policy: a first pair of keys when somebody registers. */
void app_gruu_need(struct app *a);
void app_gruu_rotate(void *ctx, uint32_t grace_s, ctl_done_fn *done, void *arg);
/* app.c: is this numeric host:port one of our listeners of that realm? ctx: struct app */
bool app_is_local(void *ctx, unsigned realm, const struct addr *addr);

/* records.c */
void app_on_record(void *ctx, const struct call_record *rec);
void app_on_answered(void *ctx, const struct call_record *rec);
void app_on_ban(void *ctx, const struct guard_ban *ban, bool began);

#endif
