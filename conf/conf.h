/* conf.h - the box's configuration file: what this machine is.
 *
 * The file holds realms, listeners, media ranges, paths, logging and limits; trunks, numbers and routes live in
 * the database. It is read by libConfuse and typed by one key table (keys.c), which also prints the commented
 * default file, the schema and the reference, and drives "did you mean". A load either gives an immutable struct
 * conf or a report with every error of the file; nothing is half loaded.
 *
 * Pure but for conf_load_file(). Not for several threads at once (the scanner of libConfuse is one per process).
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "sbc/base/addr.h"
#include "sbc/base/log.h"

#define CONF_FILE_DEFAULT    "/etc/postern/postern.conf"
#define CONF_CONTROL_DEFAULT "/run/postern/ctl"
#define CONF_FILE_MAX        ((size_t)1 << 20) /* bytes */
#define CONF_REALMS_MAX      64
#define CONF_LISTENERS_MAX   32 /* of one realm */
#define CONF_DOMAINS_MAX     64 /* of one realm */
#define CONF_DNS_MAX         64
#define CONF_CERTS_MAX       256
#define CONF_TLS_FILES_MAX   64 /* of trust, of crl */
#define CONF_NAME_MAX        31 /* bytes of a box, realm or cert name */

enum conf_proto { CONF_UDP, CONF_TCP, CONF_TLS }; /* same values as NET_UDP, NET_TCP, NET_TLS */
enum conf_strangers { CONF_STRANGERS_DROP, CONF_STRANGERS_REFUSE }; /* same values as enum pol_stranger */
enum conf_client_cert { CONF_CLIENT_CERT_REQUEST, CONF_CLIENT_CERT_REQUIRE, CONF_CLIENT_CERT_NONE };
enum conf_public { CONF_PUBLIC_AUTO, CONF_PUBLIC_YES, CONF_PUBLIC_NO };
enum conf_log_to { CONF_LOG_STDERR, CONF_LOG_JOURNAL, CONF_LOG_FILE };

struct conf_listen {
	uint8_t proto;         /* enum conf_proto */
	struct addr bind;      /* with port; may be the unspecified address only with an advertised one */
	struct addr advertise; /* what Via and Contact say; with port; equals bind unless configured */
	struct str host;       /* CONF_TLS: host name they say instead, with the port of advertise; empty: not
	                          configured, so the first name of the realm's certificate (TLS-13) */
	unsigned line;         /* in the file, for errors at bind time */
};

/* A certificate of ours with its key. */
struct conf_cert {
	struct str name;
	const char *chain, *key; /* paths */
	unsigned line;
};

struct conf_media {
	struct addr bind;      /* none: the realm has no media of that family */
	struct addr advertise; /* what SDP says; equals bind unless configured */
	unsigned line;
};

struct conf_realm {
	struct str name;       /* NUL-terminated, as are all texts of the configuration */
	const struct conf_listen *listen;
	unsigned n_listen;     /* 1.. */
	struct conf_media media4, media6;
	uint16_t port_min, port_max; /* even .. odd, both families; 0 .. 0 without media */
	uint8_t dscp;          /* of RTP and RTCP, 0..63 */
	uint8_t sip_dscp;      /* of signalling */
	uint8_t strangers;     /* enum conf_strangers */
	uint8_t client_cert;   /* enum conf_client_cert: what TLS listeners want of who connects */
	uint8_t public_;       /* enum conf_public */
	struct str cert;       /* of a conf_cert; empty only without TLS listener */
	const struct str *domains;
	unsigned n_domains;
	unsigned line;
};

/* One value as loaded, for `config show` and diffs. */
struct conf_setting {
	const struct conf_key *key;
	const char *title;     /* realm's name, "" for sections without title */
	const char *value;     /* as the file would say it: ef, { "udp 10.1.0.2:5060" } */
	unsigned line;         /* 0: default */
};

struct conf {
	const char *file;      /* where it came from */
	struct str box;        /* name of this box */
	const char *state_dir;
	const char *control;   /* path of the control socket */
	const struct conf_realm *realms; /* in the order of the file: the index is the realm's index everywhere */
	unsigned n_realms;     /* 1.. */
	const struct conf_cert *certs;
	unsigned n_certs;
	struct {
		const char *const *trust; /* files or hashed directories of roots */
		unsigned n_trust;
		bool trust_given;         /* false: the roots of the system */
		const char *const *crl;   /* files */
		unsigned n_crl;
		uint8_t ocsp_stapling;    /* bool */
		uint32_t warn_days;       /* before something expires */
	} tls;
	struct {
		uint8_t to;        /* enum conf_log_to */
		const char *path;  /* CONF_LOG_FILE, else "" */
		uint8_t level[LOG_AREAS]; /* enum log_level */
	} log;
	struct {
		uint32_t max_calls;           /* 0: no limit */
		uint32_t tcp_connections;     /* accepted ones, all realms */
		uint32_t tcp_per_source;      /* accepted ones, of one IP */
		uint32_t tcp_first_message_ms; /* an accepted connection must have sent a whole message by then */
		uint32_t cdr_window_ms;       /* longest time a CDR waits for its batch */
	} limits;
	struct {
		uint32_t workers;       /* 0: one per core */
		uint32_t quarantine_ms; /* before a port is used again */
		uint32_t gather_us;     /* longest wait of a busy worker for more packets */
		uint32_t capture_mib;   /* for captured packets; 0: none */
	} media;
	struct {
		struct addr servers[CONF_DNS_MAX]; /* with port */
		unsigned n_servers;                /* 0: what resolv.conf says */
	} dns;
	const struct conf_setting *settings; /* every key of every section, in the order of the table */
	unsigned n_settings;
};

/* -------------------------------------------------------------------- loading */

enum conf_severity { CONF_ERROR, CONF_WARNING };

struct conf_issue {
	uint8_t severity;
	unsigned line, col, len; /* 1-based; col and len in bytes, inside the line; line 0: the file as a whole */
	const char *text;        /* what is wrong, one line */
	const char *help;        /* what to write instead; "" when text says it */
	struct str source;       /* the offending line */
};

#define CONF_ISSUES_MAX 100 /* more are counted only */

struct conf_report {
	const char *file;
	const struct conf_issue *issues; /* by line, then column */
	unsigned n_issues, n_errors, n_warnings; /* n_errors + n_warnings may be more than n_issues */
	struct conf_report_own *own;     /* memory of all this */
};

/* NULL when there is an error (or no memory: then the report may be empty). *ret_report is always filled and
 * always to be given back with conf_report_fini(). text may hold anything. */
struct conf *conf_load(struct str text, const char *file, struct conf_report *ret_report);
/* Reads the file first; a missing or unreadable file is an issue at line 0. */
struct conf *conf_load_file(const char *file, struct conf_report *ret_report);
void conf_report_fini(struct conf_report *r);
/* One issue as the terminal shows it, several lines: file:line:col: error: text, the line, the caret. Control
 * bytes of the file are escaped. */
void conf_issue_put(struct buf *b, const struct conf_report *r, const struct conf_issue *i);
/* "2 errors, 1 warning" */
void conf_report_put_count(struct buf *b, const struct conf_report *r);

struct conf *conf_ref(struct conf *c);
void conf_unref(struct conf *c); /* NULL is fine */

/* Index of the realm of that name, or -1. */
int conf_realm_find(const struct conf *c, struct str name);

/* -------------------------------------------------------------------- the key table */

enum conf_type {
	CONF_T_NAME,     /* letters, digits, . _ - */
	CONF_T_PATH,     /* absolute */
	CONF_T_UINT,     /* min..max */
	CONF_T_TIME,     /* "200 ms", "5 s", "1 min", "1 h"; min..max in ms */
	CONF_T_ENUM,     /* one of values */
	CONF_T_DSCP,     /* ef, cs0..cs7, af11..af43, 0..63 */
	CONF_T_LOG_TO,   /* stderr, journal or an absolute path */
	CONF_T_LISTENS,  /* list of "udp|tcp|tls ADDRESS:PORT" */
	CONF_T_ADDRS,    /* list of ADDRESS[:PORT] */
	CONF_T_HOSTS,    /* list of ADDRESS[:PORT] or NAME[:PORT] */
	CONF_T_PATHS,    /* list of absolute paths */
	CONF_T_IPS,      /* list of ADDRESS */
	CONF_T_MEDIAS,   /* list of "ADDRESS FIRST-LAST" */
	CONF_T_DOMAINS,  /* list of host names or addresses */
	CONF_T_AREAS,    /* list of "AREA LEVEL" */
};

struct conf_section {
	const char *name;
	const char *title;   /* what the title is, "name of the realm"; NULL: has none */
	bool multi;          /* may stand several times */
	bool optional;       /* has keys that must be given, but need not be there at all */
	const char *help;    /* one sentence */
};

struct conf_key {
	const char *section; /* "realm" */
	const char *name;    /* "listen" */
	enum conf_type type;
	const char *def;     /* as the file would say it; NULL: must be given; "" : not set, or empty list */
	uint64_t min, max;   /* CONF_T_UINT, CONF_T_TIME (ms) */
	const char *values;  /* CONF_T_ENUM: "drop refuse" */
	bool live;           /* a reload applies it; else it needs a restart */
	const char *help;    /* one or two sentences */
	const char *example; /* as the file would say it */
};

const struct conf_section *conf_sections(unsigned *ret_n);
const struct conf_key *conf_keys(unsigned *ret_n);
/* The value is a list in braces. */
bool conf_key_is_list(const struct conf_key *k);
/* "whole number 0..1000000", for schema and errors */
void conf_key_put_type(struct buf *b, const struct conf_key *k);
/* The key whose name or "section.name" comes nearest to s, NULL when none is near. section may be NULL. */
const struct conf_key *conf_key_nearest(struct str s, const char *section);
/* the commented default file */
void conf_put_default(struct buf *b);
#define CONF_DEFAULT_MAX 16384 /* bytes conf_put_default() needs at most */

/* Calls fn for each setting that differs; a is the running configuration. Realms and certs that come or go: one
 * call each with old or new NULL and the setting "listen" or "chain" of it. */
typedef void conf_diff_fn(void *ctx, const struct conf_setting *old, const struct conf_setting *new_);
void conf_diff(const struct conf *a, const struct conf *b, conf_diff_fn *fn, void *ctx);

#endif
