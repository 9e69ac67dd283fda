/* trunk_keys.h - the settings of a trunk, in one table.
 *
 * `trunk add`, `trunk set`, `trunk show`, completion, the check before anything is stored, the compiler and the
 * manual all read this table; adding a setting is one line in trunk_keys.c (and a field in struct pol_trunk). In
 * the database a setting that differs from its default is one row (trunk_setting).
 */
#ifndef SBC_POLICY_TRUNK_KEYS_H
#define SBC_POLICY_TRUNK_KEYS_H

#include "db/db.h"
#include "sbc/policy/policy.h"

enum trunk_key_type {
	/* stored in columns or tables of their own */
	TKEY_ROLE,      /* pbx | itsp */
	TKEY_REALM,     /* name */
	TKEY_TARGETS,   /* list of HOST[:PORT][/udp|/tcp|/tls][@PRIORITY[*WEIGHT]] */
	TKEY_ADDRESSES, /* list of address, net or DNS name */
	TKEY_HEADERS_PASS, TKEY_HEADERS_DROP, /* list of header names */
	/* stored as settings */
	TKEY_BOOL,      /* yes | no, or the two of words: "no-word|yes-word" */
	TKEY_U32, TKEY_U16,
	TKEY_MS32, TKEY_MS16, TKEY_S32, /* durations, by the unit and width they are compiled to */
	TKEY_ENUM,      /* one of words */
	TKEY_HOST,      /* domain name or IP */
	TKEY_HOSTS,     /* list of them, two fields: const struct str *, unsigned */
	TKEY_WORDS,     /* list of words as `words` describes them, the same two fields */
	TKEY_DOWNS,     /* list of RANGE:STATUS or RANGE:TRUNK, the same two fields */
	TKEY_NAME,      /* of something in postern.conf */
	TKEY_USER,      /* user part of a SIP URI, without escapes */
	TKEY_BASE64,    /* at most max characters */
	TKEY_DIGITS,    /* dial prefix */
	TKEY_CODES,     /* list of SIP statuses */
	TKEY_CODECS,    /* list of codec names */
	TKEY_SUITES,    /* list of some of words */
};

struct trunk_key {
	const char *name;
	enum trunk_key_type type;
	uint16_t offset;      /* of the field in struct pol_trunk; 0 for the first group */
	const char *def;      /* default as text; "" means empty or not set; NULL: must be given */
	uint64_t min, max;    /* numbers and durations in the unit of the type; TKEY_DIGITS: length */
	const char *zero;     /* word for 0 ("off", "none", "unlimited"); NULL: 0 is not special */
	const char *words;    /* TKEY_ENUM: "a|b|c", index = value; TKEY_ROLE too; times: word for "as fits the trunk" */
	const char *help;     /* one line */
	const char *example;  /* a value */
};
extern const struct trunk_key trunk_keys[];
extern const unsigned trunk_keys_n;

/* NULL when there is no such key: then *ret_near is the closest one ("did you mean"), or NULL. ret_near may be
 * NULL. Case-blind; '_' counts as '-'. */
const struct trunk_key *trunk_key_find(struct str name, const char **ret_near);
/* What a setting of an older version is called now; NULL: there was none of that name. */
const char *trunk_key_renamed(struct str name);
bool trunk_key_is_list(const struct trunk_key *k);

/* Checks value and writes its canonical text ("120s" for "2m", "PCMA,PCMU" for "pcma pcmu"). false with err (BAD_VALUE: what was
 * given, what is expected, what may have been meant). */
bool trunk_key_check(const struct trunk_key *k, struct str value, struct buf *ret, struct db_err *err);

/* Value as text of trunk t: what is set, or the default. *ret_is_default may be NULL. Lists are joined by ",". */
void trunk_key_value(const struct db_trunk *t, const struct trunk_key *k, struct buf *ret, bool *ret_is_default);

/* A trunk with its own copy of everything, so that it can be edited and handed to db_trunk_put(). */
struct trunk_draft;
/* t NULL: a new trunk of that name with all defaults. NULL: out of memory. */
struct trunk_draft *trunk_draft_new(const struct db_trunk *t, struct str name);
void trunk_draft_free(struct trunk_draft *d);
/* op: '=' set (an empty value or "default": back to the default), '+' add to a list, '-' take out of a list.
 * BAD_VALUE, NO_SUCH (taking out what is not there), NO_MEMORY. */
enum reason trunk_draft_edit(struct trunk_draft *d, struct str key, char op, struct str value, struct db_err *err);
/* "key=value", "key+=value", "key-=value" */
enum reason trunk_draft_assign(struct trunk_draft *d, struct str assignment, struct db_err *err);
/* What must be given is there (role, realm, a target). */
enum reason trunk_draft_complete(const struct trunk_draft *d, struct db_err *err);
/* Lives until the next edit. */
const struct db_trunk *trunk_draft_row(struct trunk_draft *d);

#endif
