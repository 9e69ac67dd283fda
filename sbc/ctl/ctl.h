/* ctl.h - the control socket: how an administrator reaches the running system.
 *
 * The server listens on a unix socket on the signalling loop, checks who calls (SO_PEERCRED), parses the command
 * line against the command table (commands.def), runs the handler and sends back text or JSON. It reaches the
 * running system only through struct ctl_backend. Nothing here blocks: what needs the database is answered when
 * the store thread has answered, `log tail -f` and `cdr tail -f` go on until the client leaves.
 *
 * Roles: root and the daemon's own user are admin; others by membership in the groups postern-view, postern-oper
 * and postern-admin (looked up once, when the server starts). The socket belongs to the first of these groups
 * that exists and has mode 0660, or 0600 when there is none.
 */
#ifndef SBC_CTL_CTL_H
#define SBC_CTL_CTL_H

#include "conf/conf.h"
#include "sbc/b2b/call.h"
#include "sbc/loop/env.h"
#include "sbc/loop/loop.h"
#include "sbc/policy/policy.h"

struct ctl_server;
struct db;
struct dns;
struct guard;
struct locator;
struct netio;
struct reg;
struct reg_clients;
struct reg_events;
struct reg_history;
struct reg_watches;
struct subs;
struct tap;
struct tls_store;

/* Certificates in force, and what became of the newest try to load others. */
struct ctl_tls {
	struct tls_store *store;  /* borrow: until the next turn */
	int64_t loaded_us;        /* wall */
	unsigned warn_days;       /* before expiry */
	enum reason refused;      /* the newest load: why it was refused; REASON_NONE: it is in force */
	const char *refused_text, *refused_hint;
	int64_t refused_us;       /* wall */
};

/* Result of something the application was asked to do. why REASON_NONE: done. text: one or more lines for the
 * administrator, what changed and what it touched or what is wrong; may be NULL; lives until return. Called on
 * the loop's thread, on a later turn or from inside the request. */
typedef void ctl_done_fn(void *arg, enum reason why, const char *text);

/* What the application does for the commands. All on the loop's thread. */
struct ctl_ops {
	/* The running configuration: borrow, until the next turn. */
	const struct conf *(*conf)(void *ctx);
	/* A write to the database was committed: read the rows, compile, swap. done(arg) is called once. */
	void (*policy_changed)(void *ctx, ctl_done_fn *done, void *arg);
	/* `postern reload`: read the file, check, apply or refuse as a whole. */
	void (*reload)(void *ctx, ctl_done_fn *done, void *arg);
	/* What new TLS handshakes use; NULL: there is no TLS (simulations). */
	const struct ctl_tls *(*tls)(void *ctx);
	/* `postern tls reload`: reads the files of certificates again, takes all or nothing. */
	void (*tls_reload)(void *ctx, ctl_done_fn *done, void *arg);
	/* `postern gruu rotate`: a new pair of keys, the one before counts for grace_s more. NULL: not here. */
	void (*gruu_rotate)(void *ctx, uint32_t grace_s, ctl_done_fn *done, void *arg);
};

struct ctl_backend {
	const struct ctl_ops *ops;
	void *ctx;
	const struct env *env;
	struct loop *loop;
	struct reg *reg;       /* NULL in simulations */
	struct reg_history *reg_history;
	struct reg_clients *clients; /* NULL in simulations */
	struct subs *subs;           /* NULL in simulations, like the next two */
	struct reg_events *reg_events;
	struct reg_watches *reg_watches;
	struct b2b *b2b;       /* also the running policy: b2b_policy() */
	struct media *media;
	struct db *db;
	struct guard *guard;
	struct netio *net;     /* NULL in simulations */
	struct dns *dns;         /* NULL in simulations */
	struct locator *locator; /* of net/locate_dns.h; NULL in simulations */
	struct tap *tap;
	const char *conf_file; /* what `config check` reads when none is named */
	int64_t start_us, start_wall_us;
};

/* Why the socket could not be opened. */
struct ctl_error {
	enum reason reason; /* ADDRESS_IN_USE, PERMISSION, CONFIG_INVALID, NO_MEMORY … */
	char text[200];
};

#define CTL_CLIENTS_MAX   32              /* more are told so and closed                       */
#define CTL_REQUEST_MAX   ((size_t)1 << 20) /* bytes of one line from a client                 */
#define CTL_STDIN_MAX     ((size_t)8 << 20) /* bytes of all data lines of one request          */
#define CTL_OUTPUT_MAX    ((size_t)32 << 20) /* bytes queued for one client                    */
#define CTL_STALL_MS      30000           /* a client that takes none of its answer is closed  */
#define CTL_REQUEST_MS    30000           /* and one that does not finish its request          */

/* Opens path (a socket left behind by a dead process is replaced; a living one is ADDRESS_IN_USE). be is copied,
 * what it points to must outlive the server. 0 or -errno with *ret_err filled in. */
MUST_USE int ctl_server_new(
    const struct ctl_backend *be, const char *path, struct ctl_server **ret, struct ctl_error *ret_err);
/* Closes the socket and all clients, removes the path; closed(arg) (may be NULL) on a later turn, when the server
 * has been freed. Answers of the database and the application that come later are dropped. */
void ctl_server_free(struct ctl_server *s, loop_fn *closed, void *arg);
/* A CDR was written: shown to those who follow `cdr tail -f`. rec lives until return. */
void ctl_server_cdr(struct ctl_server *s, const struct call_record *rec);
/* for checks */
unsigned ctl_server_clients(const struct ctl_server *s);

/* The postern client: argv as given to main. Returns the exit code: 0 ok, 1 warning found, 2 error found,
 * 3 daemon not reachable, 64 usage. */
int ctl_client_run(int argc, char **argv);

#endif
