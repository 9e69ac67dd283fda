/* table.h - the command table and all that is made from it: parser, help, manual page, completion.
 *
 * Pure. Both the client and the daemon parse with it: the client to know what it may answer itself and to refuse
 * nonsense early, the daemon because it believes nobody.
 */
#ifndef SBC_CTL_TABLE_H
#define SBC_CTL_TABLE_H

#include "sbc/ctl/text.h"

enum ctl_role { CTL_NOBODY, CTL_VIEW, CTL_OPER, CTL_ADMIN };
extern const char *const ctl_role_names[4];
enum ctl_where { CTL_DAEMON, CTL_LOCAL };

enum ctl_type {
	CT_FLAG,    /* a switch */
	CT_TEXT,
	CT_COUNT,   /* whole number */
	CT_DURATION, /* 90s, 10m, 2h, 7d */
	CT_NUMBER,  /* telephone number or range */
	CT_CALL,    /* hex id */
	CT_NET,     /* address or network */
	CT_CODE,    /* reason code */
	CT_AREA, CT_LEVEL, /* of the log */
	CT_NEW,     /* name to be given */
	CT_SETTING, /* KEY=VALUE of a trunk */
	CT_KEY,     /* name of a trunk's setting */
	CT_VIA,     /* TRUNK[@PRIO[*WEIGHT]] */
	CT_SOURCE,  /* trunk or address */
	CT_FILE,    /* read by the client and sent along */
	CT_OUTPUT,  /* written by the client */
	CT_PATH,    /* of a file the client looks at */
	CT_SHELL, CT_COMMAND,
	/* live objects */
	CT_TRUNK, CT_ROUTE, CT_REALM, CT_BAN, CT_FLOW, CT_NAME, CT_CERT,
};

enum ctl_cmd_id {
#define COMMAND(id, ...) CTL_CMD_##id,
#define ARG(...)
#define OPT(...)
#include "sbc/ctl/commands.def"
#undef COMMAND
#undef ARG
#undef OPT
	CTL_CMDS
};

enum ctl_row_kind { CTL_ROW_CMD, CTL_ROW_ARG, CTL_ROW_OPT };
#define CTL_OPTIONAL 1
#define CTL_REPEAT   2

struct ctl_row {
	uint8_t kind;
	uint8_t type;       /* enum ctl_type; ARG, OPT */
	uint8_t flags;
	uint8_t role, where; /* CMD */
	uint8_t id;         /* CMD: enum ctl_cmd_id */
	char letter;        /* OPT: 'f' for -f, 0 none */
	const char *name;   /* path, name of the argument, "--option" */
	const char *value;  /* OPT: what the value is called; "" switch */
	const char *help;
	const char *example; /* CMD */
};

/* Rows of the command follow it, up to the next CTL_ROW_CMD. */
const struct ctl_row *ctl_rows(unsigned *ret_n);
const struct ctl_row *ctl_command(enum ctl_cmd_id id);
/* The rows below a command: NULL first; NULL at the end. */
const struct ctl_row *ctl_sub_next(const struct ctl_row *cmd, const struct ctl_row *after);
bool ctl_hidden(const struct ctl_row *cmd);

/* -------------------------------------------------------------------- parsing */

#define CTL_WORDS_MAX  128 /* of a command line */
#define CTL_VALUES_MAX 128

struct ctl_value {
	const struct ctl_row *row;
	const char *text; /* borrow: argv; "" for a switch */
};

struct ctl_args {
	const struct ctl_row *cmd;
	unsigned n;
	struct ctl_value v[CTL_VALUES_MAX];
	bool global[CTL_WORDS_MAX]; /* words of argv that belong to struct ctl_global, not to the command */
};

/* What every command takes, before, among or behind its words. */
struct ctl_global {
	bool json, quiet, abs, yes, help;
	unsigned watch_s;     /* 0: no -w */
	const char *socket;   /* NULL: default */
};

enum ctl_parse_result {
	CTL_PARSED,
	CTL_HELP,  /* -h, or nothing at all: args->cmd is the command or NULL */
	CTL_USAGE, /* err says what is wrong and what to type */
};
/* argv without the name of the program. args->cmd is set as soon as the command is known. */
enum ctl_parse_result ctl_parse(
    int argc, char *const *argv, struct ctl_args *args, struct ctl_global *g, struct text *err);

/* First value of that argument or option, NULL when not given. name must be one of the command's. */
const char *ctl_value(const struct ctl_args *a, const char *name);
/* i-th value of a repeated one, NULL behind the last */
const char *ctl_value_at(const struct ctl_args *a, const char *name, unsigned i);

/* "90s", "10m", "2h", "7d" in seconds; false when it is none, or more than ten years */
bool ctl_duration(struct str s, uint32_t *ret_s);

/* -------------------------------------------------------------------- made from the table */

/* "postern trunk add NAME KEY=VALUE..." */
void ctl_put_usage(struct text *t, const struct ctl_row *cmd);
void ctl_put_help(struct text *t, const struct ctl_row *cmd);
/* all commands; group NULL or "trunk" */
void ctl_put_commands(struct text *t, const char *group);
void ctl_put_man(struct text *t);
/* false when the shell is not known */
bool ctl_put_completion(struct text *t, struct str shell);
/* Candidates for the last word of words, one a line. What the daemon knows is not among them: then *ret_kind is the
 * word for `__list` ("trunk"), and the prefix each of its lines gets; else "". */
void ctl_complete(struct text *t, int n, char *const *words, const char **ret_kind);

#endif
