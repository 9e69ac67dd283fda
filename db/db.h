/* db.h - what is stored of the customers: trunks, numbers, routes, call records, bans, and who changed what.
 *
 * One SQLite file, one thread that owns it (the store thread), one FIFO of requests. Nothing here blocks the
 * signalling thread, and the call path never comes here: it works on the compiled snapshot (sbc/policy), which
 * is made from db_rows.
 *
 * Happy path of a change (CLI, later REST):
 *     c->apply = my_apply;            calls db_trunk_put(), db_number_add() … on the store thread
 *     c->check = my_check;            looks at all rows as they would be: policy_compile()
 *     db_change_submit_any(db, c);    ... c->done(c) on the signalling thread, after the commit
 * It is one savepoint, recorded as one revision with its author; it is acknowledged only when it is on disk
 * (WAL, synchronous=FULL). What fails leaves nothing behind and takes no other change with it.
 *
 * Call records go another way, because nobody waits for them: db_cdr_write() copies into a bounded queue and the
 * store thread writes what came within a window in one transaction. A kill -9 loses at most the records of that
 * window; answered calls are in the journal (db_call_open) and get a record with REASON_CRASHED at the next start.
 *
 * Errors: every failure is a reason of the catalogue (DB_FULL, DB_LOCKED, DB_DAMAGED, …) with a text that names
 * the thing and, where there is something to do, a hint. While the disk is full or the file locked calls go on,
 * records wait in memory up to a cap, changes are refused.
 */
#ifndef DB_DB_H
#define DB_DB_H

#include "sbc/base/list.h"
#include "sbc/base/log.h"
#include "sbc/base/reason.h"

struct db;        /* the store: thread, queue */
struct db_handle; /* the open file as code on the store thread sees it */

struct db_err {
	enum reason reason; /* REASON_NONE: no error */
	char text[320];     /* "+49301000..+49301999 overlaps +493015..+493015 of trunk acme" */
	char hint[160];     /* what to type or do; may be "" */
};
/* Fills err (may be NULL) and returns reason. */
enum reason db_fail(struct db_err *err, enum reason reason, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ---------------------------------------------------------------- rows */

enum db_admin { DB_ENABLED, DB_DISABLED, DB_DRAINING };
extern const char *const db_admin_names[3]; /* "enabled" … */

#define DB_NAME_MAX 31  /* bytes of a trunk's or route's name: letters, digits, - _ . ; first a letter or digit */
#define DB_NUMBER_MAX 17 /* "+", 15 digits, NUL */

/* One setting that is not the default; which keys there are is policy's business (sbc/policy/trunk_keys.h). */
struct db_setting {
	struct str key, value;
};
struct db_target {
	struct str host;      /* name or IP (IPv6 without brackets) */
	uint16_t port;        /* 0: by transport */
	struct str transport; /* "udp", "tcp"; empty: the trunk's */
	uint16_t priority;    /* lower first; 1 if nothing was said */
	uint16_t weight;      /* share among equals; 1 if nothing was said */
};
/* Who may send in its name, besides the targets: "192.0.2.0/24", "2001:db8::5" or a DNS name. */
struct db_source {
	struct str address;
};
struct db_header {
	struct str name;
	bool pass; /* false: drop */
};
/* How a trunk proves who it is (or we do, to it). Hashes: H(A1) as hex, empty: none. Never part of a revision. */
struct db_credential {
	struct str user, realm;
	struct str md5, sha256, sha512_256;
};
struct db_trunk {
	uint32_t id;          /* 0 when new */
	struct str name;
	struct str role;      /* "pbx", "itsp" */
	struct str realm;     /* name of a realm of the configuration */
	enum db_admin admin;
	const struct db_setting *settings; /* by key */
	unsigned n_settings;
	const struct db_target *targets;   /* as given */
	unsigned n_targets;
	const struct db_source *sources;
	unsigned n_sources;
	const struct db_header *headers;
	unsigned n_headers;
	struct db_credential credential; /* read only: db_credential_put(); user empty: none */
};

/* A block of numbers: first and last have the same length, nothing of that length overlaps. */
struct db_number {
	uint32_t trunk_id;
	char first[DB_NUMBER_MAX], last[DB_NUMBER_MAX]; /* "+49301234500", "+49301234599" */
};

struct db_route_via {
	uint32_t trunk_id;
	uint16_t priority, weight;
};
/* Days and minutes of local time; days 0: always. */
struct db_hours {
	uint8_t days;         /* bit 0 = Monday … bit 6 = Sunday */
	uint16_t from_min;    /* 0..1439, of the day */
	uint16_t to_min;      /* 1..1440, exclusive; <= from_min: past midnight */
};
struct db_route {
	uint32_t id;          /* 0 when new */
	struct str name;
	uint32_t position;    /* order, ascending; given by db_route_put() */
	uint32_t from_trunk;  /* id, 0: any */
	struct str from, to;  /* number patterns: "+49*", "*", "112" */
	bool deny;
	const struct db_route_via *via; /* empty when deny */
	unsigned n_via;
	struct db_hours hours;
};

struct db_ban {
	struct str address;   /* address or net */
	int64_t since_us, until_us; /* wall clock; until 0: until lifted */
	enum reason reason;
	struct str why;       /* free text */
};

/* Everything the policy compiler needs, as of one revision. Owned by whoever gets it; any thread. */
struct db_rows {
	uint64_t revision;
	struct db_trunk *trunks;   /* by id */
	struct db_number *numbers; /* by length, then first */
	struct db_route *routes;   /* by position */
	struct db_ban *bans;       /* those still in force */
	unsigned n_trunks, n_numbers, n_routes, n_bans;
	struct db_rows_mem *mem;   /* own: what the strings point into */
};
void db_rows_free(struct db_rows *rows); /* NULL is fine */
const struct db_trunk *db_rows_trunk(const struct db_rows *rows, uint32_t id);
const struct db_trunk *db_rows_trunk_named(const struct db_rows *rows, struct str name);
const struct db_route *db_rows_route_named(const struct db_rows *rows, struct str name);

/* ---------------------------------------------------------------- opening */

/* How results come back: must run fn(arg) soon on the signalling thread; may be called from the store thread at
 * any time until db_close() has returned. NULL: done functions run on the store thread (tests, tools). */
typedef void db_post_fn(void *ctx, void (*fn)(void *arg), void *arg);

struct db_cfg {
	const char *path;        /* file; its directory must exist */
	db_post_fn *post;
	void *post_ctx;
	struct logger *logger;   /* may be NULL */
	uint32_t window_ms;      /* records wait so long for company; 0: 200 */
	uint32_t batch_max;      /* but not more of them; 0: 10000 */
	uint32_t queue_max;      /* records kept while nothing can be written; 0: 100000 */
	uint32_t busy_ms;        /* patience with another program's lock; 0: 2000 */
	bool read_only;          /* tools: no migration, no recovery; a file that is missing is an error */
};

/* Opens or creates (mode 0600), migrates, writes the records of calls cut by a crash, starts the thread. Blocks:
 * call it before the loop runs. DB_NO_DIRECTORY, PERMISSION, DB_READ_ONLY, DB_LOCKED, DB_DAMAGED, DB_VERSION,
 * DB_FULL, DB_FAILED, NO_MEMORY. */
MUST_USE enum reason db_open(const struct db_cfg *cfg, struct db **ret, struct db_err *err);
/* Runs all that is queued, writes the records, closes. Blocks. Results posted by then still have to be run by the
 * loop. NULL is fine. */
void db_close(struct db *db);

struct db_stats {
	uint64_t requests, commits, rollbacks;
	uint64_t cdr_written, cdr_lost;   /* lost: counted here and logged; REASON_CDR_LOST */
	uint64_t recovered;               /* records written for calls a crash cut, at open */
	uint32_t waiting;                 /* requests and records not yet handled */
	enum reason trouble;              /* why records cannot be written right now */
	uint32_t commit_max_us;           /* slowest so far */
	uint32_t schema;                  /* user_version */
};
void db_stats_any(struct db *db, struct db_stats *ret);

/* ---------------------------------------------------------------- requests */

enum db_req_kind { DB_READ, DB_WRITE };
/* Embedded in its owner; belongs to the store from submit to done. run() may be called again after the
 * transaction was rolled back through somebody else's fault: it starts from nothing each time. */
struct db_req {
	struct list node;
	enum db_req_kind kind;
	enum reason (*run)(struct db_handle *h, struct db_req *r, struct db_err *err); /* store thread */
	void (*done)(struct db_req *r);                            /* signalling thread; may free r */
	struct db_err err;                                         /* result */
	struct db *db;                                             /* set by submit */
	bool answered;                                             /* db_call() only */
};
void db_submit_any(struct db *db, struct db_req *r);
/* Submits and waits: not on the signalling thread's loop. done is not called. Returns r->err.reason. */
enum reason db_call(struct db *db, struct db_req *r);

/* ---------------------------------------------------------------- changes by people */

struct db_who {
	uint32_t uid;
	char user[33];  /* unix user */
	char why[161];  /* the command line, or -m text */
};

/* Revisions that are taken back at a certain time unless somebody keeps them: db_trial_keep(). */
struct db_trial {
	uint32_t n;       /* how many; 0: none */
	uint64_t newest;
	int64_t until_us; /* wall clock */
};

struct db_change {
	struct db_req req; /* used by the store */
	struct db_who who;
	int64_t trial_until_us; /* wall clock: on trial until then, with all that are already; 0: for good */
	uint64_t base_revision; /* refuse with DB_CONFLICT when the database moved on since; 0: do not care */
	bool dry_run;           /* everything but the commit; rows are as they would be */
	enum reason (*apply)(struct db_handle *h, struct db_change *c, struct db_err *err);
	/* may be NULL; sees the rows as they would be. A reason refuses the change. */
	enum reason (*check)(struct db_change *c, const struct db_rows *rows, struct db_err *err);
	void (*done)(struct db_change *c); /* signalling thread; result in c->req.err */
	/* results */
	uint64_t revision;      /* after the change; the old one when nothing changed or dry_run */
	bool changed;
	struct db_rows *rows;   /* own by receiver; NULL when refused */
	struct db_trial trial;  /* as it is now */
};
void db_change_submit_any(struct db *db, struct db_change *c);
enum reason db_change_call(struct db *db, struct db_change *c); /* waits; like db_call() */

/* ---- used inside apply() and run(), on the store thread. Return REASON_NONE or fill err. ---- */

/* Insert (id 0) or replace as a whole (id as loaded). *ret_id may be NULL. NAME_TAKEN, BAD_VALUE, NO_SUCH. */
enum reason db_trunk_put(struct db_handle *h, const struct db_trunk *t, uint32_t *ret_id, struct db_err *err);
/* with_numbers: its numbers and its places in routes go with it; else IN_USE when there are any. */
enum reason db_trunk_del(struct db_handle *h, struct str name, bool with_numbers, struct db_err *err);
enum reason db_trunk_admin(struct db_handle *h, struct str name, enum db_admin admin, struct db_err *err);
enum reason db_trunk_id(struct db_handle *h, struct str name, uint32_t *ret_id, struct db_err *err); /* NO_SUCH */

/* Reads "+49301234500", "+49301234500..+49301234599", "+493012345xx" (trailing x: all digits) into *ret, with
 * visual separators ignored. BAD_VALUE. Pure. */
enum reason db_number_parse(struct str text, struct db_number *ret, struct db_err *err);
/* how many numbers the block has */
uint64_t db_number_count(const struct db_number *n);
/* NUMBER_TAKEN names the other block and its trunk. */
enum reason db_number_add(struct db_handle *h, const struct db_number *n, struct db_err *err);
/* Takes these numbers out of whatever blocks hold them (blocks are cut); trunk_id 0: any trunk's.
 * *ret_removed: how many numbers; NO_SUCH when none. */
enum reason db_number_del(struct db_handle *h, const struct db_number *n, uint32_t trunk_id,
    uint64_t *ret_removed, struct db_err *err);

/* Rows of a file, collected while they stream in, applied all or nothing. */
struct db_import;
struct db_import *db_import_new(void); /* NULL: out of memory */
void db_import_free(struct db_import *im);
/* text as for db_number_parse(); trunk: name. A row that cannot be read is remembered with its line number and
 * refuses the import as a whole. NO_MEMORY, or LIMIT: DB_FAILED beyond 2,000,000 rows. */
enum reason db_import_row(struct db_import *im, unsigned line, struct str text, struct str trunk);
/* Inside apply(). err gets the first error; all of them (up to 50) are read with db_import_error(). A block that
 * is already there with the same trunk is counted as present, not an error. replace: blocks of the trunks named
 * in the file that the file does not name are removed. */
enum reason db_import_apply(struct db_handle *h, struct db_import *im, bool replace, struct db_err *err);
struct db_import_stats {
	unsigned rows, added, present, removed, errors; /* blocks; removed only with replace */
	uint64_t numbers_added;
};
const struct db_import_stats *db_import_stats(const struct db_import *im);
/* i from 0; NULL at the end */
const char *db_import_error(const struct db_import *im, unsigned i, unsigned *ret_line);

/* Insert (id 0) at the end, or before the route named `before` (may be empty); replace keeps the place unless
 * before is given. NAME_TAKEN, NO_SUCH, BAD_VALUE. */
enum reason db_route_put(struct db_handle *h, const struct db_route *r, struct str before, struct db_err *err);
enum reason db_route_del(struct db_handle *h, struct str name, struct db_err *err);

enum reason db_ban_put(struct db_handle *h, const struct db_ban *b, struct db_err *err);
enum reason db_ban_del(struct db_handle *h, struct str address, struct db_err *err); /* NO_SUCH */

/* user empty, or a hash that is no hex: BAD_VALUE; NO_SUCH: no such trunk */
enum reason db_credential_put(struct db_handle *h, uint32_t trunk_id, const struct db_credential *c, struct db_err *err);
enum reason db_credential_del(struct db_handle *h, uint32_t trunk_id, struct db_err *err); /* none is fine */

/* A registration with us. Slices are borrowed for the duration of the call. */
struct db_binding {
	uint64_t id;
	uint32_t trunk_id, reg_id, cseq;
	uint16_t q;
	bool bulk;
	struct str aor, uri, params, instance, call_id, path, user_agent;
	struct str realm, transport, received; /* "wan", "udp", "192.0.2.7:5060" */
	int64_t since_us, expires_us;          /* wall clock */
};
enum reason db_binding_put(struct db_handle *h, const struct db_binding *b, struct db_err *err);
enum reason db_binding_del(struct db_handle *h, uint64_t id, struct db_err *err); /* none is fine */
/* Those in force; what is over, or belongs to a trunk that is gone, is deleted first. */
enum reason db_binding_all(
    struct db_handle *h, void (*fn)(void *ctx, const struct db_binding *b), void *ctx, struct db_err *err);

/* A secret of the box itself. The file is mode 0600; a secret is part of no revision. */
struct db_secret {
	struct str name;          /* "gruu-cookie", "gruu-rsa" */
	uint32_t n;               /* 1, 2, … of that name */
	struct str value;
	int64_t since_us, until_us; /* wall clock; until 0: in force, else replaced, and kept until then */
};
/* In force from now on; the one before it is kept for grace_us more. */
enum reason db_secret_put(struct db_handle *h, struct str name, struct str value, int64_t grace_us, struct db_err *err);
/* By name, the newest first; what is kept no longer is deleted first. Slices are borrowed for the call of fn. */
enum reason db_secret_all(
    struct db_handle *h, void (*fn)(void *ctx, const struct db_secret *s), void *ctx, struct db_err *err);

/* All rows as they are now, uncommitted ones of this change included. */
enum reason db_load(struct db_handle *h, struct db_rows **ret, struct db_err *err);

/* ---------------------------------------------------------------- revisions */

struct db_revision {
	uint64_t id;
	int64_t at_us;
	struct db_who who;
	uint32_t n_changes; /* rows touched */
};
/* Newest first, below `before` (0: from the newest). fn returns false to stop. */
enum reason db_revision_list(struct db_handle *h, uint64_t before, unsigned max,
    bool (*fn)(void *ctx, const struct db_revision *r), void *ctx, struct db_err *err);
/* What it changed, a line each: "~ trunk_setting trunk_id=3 key=max-calls value=30 -> 60". NO_SUCH. */
enum reason db_revision_show(struct db_handle *h, uint64_t id, bool (*fn)(void *ctx, const char *line), void *ctx,
    struct db_err *err);
/* Inside apply(): undoes what that revision changed, as a change of its own. DB_CONFLICT when rows it touched
 * were changed again since. */
enum reason db_revision_undo(struct db_handle *h, uint64_t id, struct db_err *err);
/* Inside apply(): ends the trial for good, or takes all of it back (DB_CONFLICT as above: then all of it stays, on trial
 * still). NO_SUCH when nothing is on trial. *ret: what was. */
enum reason db_trial_keep(struct db_handle *h, struct db_trial *ret, struct db_err *err);
enum reason db_trial_revert(struct db_handle *h, struct db_trial *ret, struct db_err *err);
/* As it is now; n 0: there is none. */
enum reason db_trial_get(struct db_handle *h, struct db_trial *ret, struct db_err *err);

/* ---------------------------------------------------------------- call records */

struct db_cdr_side {
	struct str codec;
	uint64_t rx_packets, tx_packets;
	int64_t lost;
	uint32_t jitter_us;
};
/* Slices are borrowed for the duration of the call that takes or gives the struct. */
struct db_cdr {
	uint64_t seq;                  /* read only: order of writing, never reused */
	uint64_t id;                   /* call id */
	int64_t start_us, answer_us, end_us; /* wall clock; answer 0: never */
	uint32_t ring_ms;              /* start to first 18x; 0: never rang */
	uint32_t setup_ms;             /* start to answer or end (monotonic) */
	uint32_t talk_ms;              /* answer to end (monotonic) */
	uint32_t trunk_a, trunk_b;     /* ids */
	struct str trunk_a_name, trunk_b_name, calling, called, route;
	struct str peer_a;             /* "udp 192.0.2.1:5060" */
	struct str sip_call_id_a, sip_call_id_b;
	uint16_t status, peer_status;
	enum reason reason;
	char released_by;              /* 'a', 'b', 's'; 0: none */
	struct str peer_reason;
	struct str tries;              /* JSON array, one object per attempt; or empty */
	struct str media;              /* JSON array, one object per stream and side; or empty */
	struct db_cdr_side side[2];    /* sums over all streams */
	bool media_bad;
	bool never_open;               /* db_cdr_write(): there was no db_call_open() for it */
};

/* How long after its answer a call is to be given to db_call_open(). What ends earlier needs no journal entry, and one
 * that does not is on disk within the window, as if it had been given at once. */
static inline uint32_t db_open_after_ms(uint32_t window_ms)
{
	return window_ms / 2;
}

/* Both copy what they need and never block. false: the queue is full and the record is lost (counted). */
bool db_call_open(struct db *db, const struct db_cdr *c); /* was answered; end fields are ignored */
bool db_cdr_write(struct db *db, const struct db_cdr *c); /* is over; closes the journal entry too */

struct db_cdr_query {
	uint64_t call_id;       /* 0: any */
	uint64_t before_seq;    /* 0: from the newest; for paging */
	uint64_t after_seq;     /* for tail -f: only later ones, oldest first */
	struct str number;      /* calling or called, exact; a trailing '*' makes it a prefix; empty: any */
	struct str sip_call_id; /* of either leg; empty: any */
	struct str trunk;       /* name, either side; empty: any */
	enum reason reason;     /* REASON_NONE: any */
	bool failed_only;       /* never answered */
	int64_t since_us, until_us; /* start of call; 0: no bound */
	unsigned max;           /* 0: 100 */
};
/* Newest first (after_seq: oldest first). fn returns false to stop; called on the store thread. Records still in
 * the window are written first, so what ended is found. */
enum reason db_cdr_find(struct db_handle *h, const struct db_cdr_query *q,
    bool (*fn)(void *ctx, const struct db_cdr *c), void *ctx, struct db_err *err);
/* Deletes at most max records of calls that started before that moment. */
enum reason db_cdr_purge(struct db_handle *h, int64_t before_us, unsigned max, unsigned *ret_deleted,
    struct db_err *err);

/* ---------------------------------------------------------------- care */

/* SQLite's integrity and foreign key checks, then ours: overlapping numbers, malformed rows, routes that lead
 * nowhere. One line per finding; none: healthy. The result is a reason only when the check itself failed. */
enum reason db_check(struct db_handle *h, void (*fn)(void *ctx, const char *line), void *ctx, struct db_err *err);
/* Consistent copy while running, written beside, verified, then renamed to path; refuses when path exists. The
 * store does nothing else meanwhile: calls go on, records and changes wait. */
enum reason db_backup(struct db_handle *h, const char *path, struct db_err *err);

#endif
