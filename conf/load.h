/* load.h - what the passes of loading hand to each other; only for this folder. */
#ifndef CONF_LOAD_H
#define CONF_LOAD_H

#include "conf/report.h"

#define LOAD_KINDS_MAX    12 /* kinds of sections */
#define LOAD_SECTIONS_MAX (CONF_REALMS_MAX + CONF_CERTS_MAX + LOAD_KINDS_MAX)

struct cfg_t;

/* A section that stands in the file. */
struct given_section {
	const struct conf_section *section;
	const struct tok *tok, *title; /* title NULL: none */
	struct str name;               /* title as text, in the arena */
	struct cfg_t *cfg;             /* while libConfuse's tree lives */
	bool bad;                      /* some value of it was refused: not checked any further */
};

/* A key that is set in the file. */
struct given_key {
	size_t section; /* index of its given_section */
	const struct conf_key *key;
	const struct tok *tok;
	size_t first_value; /* index in load.values and load.texts */
	unsigned n_values;
};

struct load {
	struct issues *is;
	struct arena *arena; /* of the struct conf */
	struct conf *conf;
	struct scan sc;
	struct given_section sections[LOAD_SECTIONS_MAX];
	size_t n_sections;
	struct given_key *keys; /* own */
	size_t n_keys, cap_keys;
	size_t *values;         /* own: token indexes */
	struct str *texts;      /* own: what libConfuse says these tokens mean */
	size_t n_values, cap_values;
	bool broken, oom;
};

struct conf_own {
	struct conf pub;
	struct arena_pool pool;
	struct arena *arena;
	unsigned refs;
};

/* 0 or -ENOMEM; refused values are issues */
MUST_USE int convert_all(struct load *ld);
void check_all(struct load *ld);

/* Points at n bytes from off of the value (as text) with index v. */
void issue_value(struct load *ld, enum conf_severity sev, size_t v, size_t off, size_t n, const char *help,
    const char *fmt, ...) __attribute__((format(printf, 7, 8)));

#endif
