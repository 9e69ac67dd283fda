/* req.h - one request in progress: what a handler gets, and what it may do.
 *
 * A handler reads its arguments, looks at the system through r->be, makes JSON and text, and calls ctl_end() once.
 * What needs the store goes through ctl_read() or ctl_change() and ends in their `then`. The client may leave at any
 * time: the request lives on until what it waits for has come back, and what it prints then goes nowhere.
 */
#ifndef SBC_CTL_REQ_H
#define SBC_CTL_REQ_H

#include "db/db.h"
#include "sbc/ctl/ctl.h"
#include "sbc/ctl/print.h"
#include "sbc/ctl/table.h"

struct ctl_client;
struct ctl_req;

typedef void ctl_then_fn(struct ctl_req *r);
/* On the store thread: may use r->args, r->input, r->work, r->made, r->note and r->detail, nothing else of r. */
typedef enum reason ctl_store_fn(struct db_handle *h, struct ctl_req *r, struct db_err *err);

struct ctl_req {
	struct list node;             /* server's */
	struct ctl_server *server;    /* NULL: the server is gone */
	struct ctl_client *client;    /* NULL: the client is gone */
	const struct ctl_backend *be; /* valid while server is not NULL */
	struct ctl_args args;
	struct str input;             /* what came along: a CSV file */
	struct print_opts view;
	bool json;
	enum ctl_role role;
	uint32_t uid;
	char command[161];            /* the command line, for revisions and the log */
	unsigned holds;               /* the server's, and one for each thing that is waited for */
	bool ended, streaming, rendered;
	bool on_trial;                /* the change is taken back unless somebody keeps it */
	int code;
	struct text out, err;
	json_t *data;                 /* own: object; what -j shows */
	json_t *messages;             /* own: array */
	/* for the handler and what it runs on the store thread */
	json_t *made;                 /* own */
	struct text note;
	struct text detail;           /* when it fails: more lines for the error */
	void *work;                   /* freed with free() */
	uint64_t after;               /* streams: last one seen */
	struct timer timer;           /* streams, and what is waited for */
	void (*leave)(struct ctl_req *r); /* the client left while something was under way: give it back */
	struct list follow;           /* `cdr tail -f` */
};

/* Shortcuts for arguments and options. */
static inline const char *ctl_arg(const struct ctl_req *r, const char *name)
{
	return ctl_value(&r->args, name);
}
static inline struct str ctl_arg_str(const struct ctl_req *r, const char *name)
{
	return str_z(ctl_value(&r->args, name));
}
static inline bool ctl_flag(const struct ctl_req *r, const char *name)
{
	return ctl_value(&r->args, name) != NULL;
}
uint32_t ctl_uint(const struct ctl_req *r, const char *name, uint32_t def);
/* seconds; def when not given */
uint32_t ctl_seconds(const struct ctl_req *r, const char *name, uint32_t def);

/* data.key = value (stolen); value NULL means out of memory and fails the request at its end */
void ctl_set(struct ctl_req *r, const char *key, json_t *value);
/* For people only: not in the JSON. */
void ctl_say(struct ctl_req *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "label    text", the text wrapped behind nine columns; for people only. */
void ctl_say_wrapped(struct ctl_req *r, const char *label, const char *text);
/* Stores rows under key and shows them; empty is said when there are none. rows is stolen. */
void ctl_table(struct ctl_req *r, const char *key, json_t *rows, const struct print_col *cols, unsigned n_cols,
    const char *empty);
/* Shows what data.key (key NULL: data) has of these. */
void ctl_block(struct ctl_req *r, const char *key, const struct print_col *cols, unsigned n_cols);
/* A finding: exit code at least 1 or 2, a line WARN or ERROR with what to type. */
void ctl_finding(struct ctl_req *r, int level, const char *area, const char *todo, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The request failed: exit code 2. hint may be NULL: the remedy of the reason. Does not end it. */
void ctl_fail(struct ctl_req *r, enum reason why, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* ctl_fail() and ctl_end() */
void ctl_refuse(struct ctl_req *r, enum reason why, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void ctl_end(struct ctl_req *r);
/* Around what comes back on a later turn (ctl_read() and ctl_change() do it themselves): r stays. */
void ctl_hold(struct ctl_req *r);
void ctl_release(struct ctl_req *r);

/* Reading from the store: run there, then `then` here; a failure ends the request by itself. */
void ctl_read(struct ctl_req *r, ctl_store_fn *run, ctl_then_fn *then);
/* The same for answers that may be long: show makes text and JSON (ctl_table(), ctl_say(), ctl_set(), ctl_finding(),
 * ctl_fail()) on the store thread too, so that a hundred thousand rows hold up no call. It may not use r->be, and
 * does not end the request. */
void ctl_read_and_show(struct ctl_req *r, ctl_store_fn *run, ctl_then_fn *show);
/* What rows are compiled with before they are stored: taken on the loop, used on the store thread. */
struct ctl_check {
	struct policy *policy; /* ref: whose realms are used */
	struct conf *conf;     /* ref: whose certificates they may name */
	struct hash_key key;
};
void ctl_check_init(struct ctl_check *c, const struct ctl_backend *be);
void ctl_check_fini(struct ctl_check *c);
/* What cannot be run is not stored. */
enum reason ctl_check_rows(const struct ctl_check *c, const struct db_rows *rows, struct db_err *err);
/* A change: apply on the store thread (again from the start if it is told so), checked by compiling all rows,
 * committed, policy swapped, then `then`, which ends it. r->note is what apply wrote; empty: nothing changed. */
void ctl_change(struct ctl_req *r, bool dry_run, ctl_store_fn *apply, ctl_then_fn *then);
/* Usual `then`: says what apply wrote into r->note, and ends. */
void ctl_said(struct ctl_req *r);

/* Streams: sends what r->out has so far. */
void ctl_flush(struct ctl_req *r);
/* The request goes on until the client leaves. fn runs every ms. */
void ctl_stream(struct ctl_req *r, int64_t ms, timer_fn *fn);
/* For what takes a while on the loop itself (a probe, a name): the handler goes on in callbacks of its own and ends
 * with ctl_end(). late runs once when ms are over before that. leave runs when the client left or the server goes,
 * instead of the end: it stops what is under way; r->be is still there, r may be gone when it returns. */
void ctl_wait(struct ctl_req *r, int64_t ms, timer_fn *late, ctl_then_fn *leave);
/* Adds r to those who get every call record. */
void ctl_follow_cdrs(struct ctl_req *r);
/* One JSON object as one line of a stream; stolen. */
void ctl_json_line(struct ctl_req *r, json_t *j);
/* Binary for the client's file. */
void ctl_binary(struct ctl_req *r, struct str bytes);

/* handlers, one for each DAEMON row of commands.def */
typedef void ctl_handler(struct ctl_req *r);
#define CTL_HANDLER_DAEMON(id) void cmd_##id(struct ctl_req *r);
#define CTL_HANDLER_LOCAL(id)
#define COMMAND(id, path, role, where, ...) CTL_HANDLER_##where(id)
#define ARG(...)
#define OPT(...)
#include "sbc/ctl/commands.def"
#undef COMMAND
#undef ARG
#undef OPT

/* ---- shared by handlers ---- */

/* Trunk of the running policy, or NULL after ctl_refuse() with the nearest name. */
const struct pol_trunk *ctl_trunk(struct ctl_req *r, const char *name);
/* A line of `cdr tail -f`. */
void ctl_show_cdr(struct ctl_req *r, const struct call_record *rec);
/* Puts back what `log level --for` changed, now. */
struct ctl_log_revert {
	struct timer timer;
	struct logger *logger;
	struct ctl_server *server;
	uint8_t area, level;
};
struct ctl_log_revert *ctl_log_reverts(struct ctl_server *s); /* LOG_AREAS of them */

#endif
