/* fixture.h - rows typed by hand, compiled. */
#ifndef TESTS_UNIT_POLICY_FIXTURE_H
#define TESTS_UNIT_POLICY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sbc/policy/internal.h"

#define FIX_TRUNKS 8

struct fix {
	struct pol_realm realms[3];
	struct str domains[1], certs[1];
	struct trunk_draft *draft[FIX_TRUNKS];
	struct db_trunk trunks[FIX_TRUNKS];
	struct db_number numbers[32];
	struct db_route routes[32];
	struct db_route_via vias[64];
	unsigned n_vias;
	struct policy_resolved resolved[8];
	struct policy_address addrs[16];
	struct db_rows rows;
	struct policy_input in;
	struct policy *p;
	struct policy_errors errs;
	struct rng rng;
};

/* Realms lan (drops strangers), wan (refuses them), dmz. */
static inline void fix_init(struct fix *f)
{
	memset(f, 0, sizeof(*f));
	f->domains[0] = S("sbc.example.net");
	f->certs[0] = S("edge1");
	f->realms[0] = (struct pol_realm){.name = S("lan"), .strangers = POL_STRANGER_DROP};
	f->realms[1] = (struct pol_realm){
	    .name = S("wan"), .strangers = POL_STRANGER_REFUSE, .domains = f->domains, .n_domains = 1};
	f->realms[2] = (struct pol_realm){.name = S("dmz"), .strangers = POL_STRANGER_DROP};
	f->rows.trunks = f->trunks;
	f->rows.numbers = f->numbers;
	f->rows.routes = f->routes;
	f->rows.revision = 7;
	f->in = (struct policy_input){.realms = f->realms, .n_realms = 3, .rows = &f->rows, .resolved = f->resolved,
	    .certs = f->certs, .n_certs = 1, .hash_key = {1, 2}};
	rng_init_seeded(&f->rng, 1);
}

static inline void fix_fini(struct fix *f)
{
	policy_unref(f->p);
	for (unsigned i = 0; i < FIX_TRUNKS; i++)
		trunk_draft_free(f->draft[i]);
}

/* Settings as one would type them, separated by blanks; returns the id (1..). */
static inline uint32_t fix_trunk(struct fix *f, const char *name, const char *settings)
{
	unsigned i = f->rows.n_trunks++;
	struct str rest = str_z(settings), one;
	struct db_err err;

	assert_true(i < FIX_TRUNKS);
	f->draft[i] = trunk_draft_new(NULL, str_z(name));
	assert_non_null(f->draft[i]);
	while (rest.n) {
		rest = str_cut(rest, ' ', &one);
		if (one.n && trunk_draft_assign(f->draft[i], one, &err))
			fail_msg("%s: %.*s: %s (%s)", name, STR(one), err.text, err.hint);
	}
	f->trunks[i] = *trunk_draft_row(f->draft[i]);
	f->trunks[i].id = i + 1;
	return i + 1;
}

/* One more setting of a trunk that is there; its credential stays. */
static inline void fix_set(struct fix *f, uint32_t id, const char *setting)
{
	struct db_trunk *t = &f->trunks[id - 1];
	struct db_credential credential = t->credential;
	uint32_t admin = (uint32_t)t->admin;
	struct db_err err;

	if (trunk_draft_assign(f->draft[id - 1], str_z(setting), &err))
		fail_msg("%s: %s (%s)", setting, err.text, err.hint);
	*t = *trunk_draft_row(f->draft[id - 1]);
	t->id = id;
	t->credential = credential;
	t->admin = (__typeof__(t->admin))admin;
}

static inline void fix_number(struct fix *f, const char *range, uint32_t trunk)
{
	struct db_number *n = &f->numbers[f->rows.n_numbers++];
	struct db_err err;

	if (db_number_parse(str_z(range), n, &err))
		fail_msg("%s: %s", range, err.text);
	n->trunk_id = trunk;
}

/* via: trunk ids with priority and weight, ended by id 0 */
static inline struct db_route *fix_route(struct fix *f, const char *name, uint32_t from_trunk, const char *from,
    const char *to, const struct db_route_via *via)
{
	struct db_route *r = &f->routes[f->rows.n_routes++];

	*r = (struct db_route){.id = f->rows.n_routes, .position = f->rows.n_routes, .name = str_z(name),
	    .from_trunk = from_trunk, .from = str_z(from), .to = str_z(to), .via = &f->vias[f->n_vias]};
	for (; via && via->trunk_id; via++) {
		f->vias[f->n_vias++] = *via;
		r->n_via++;
	}
	r->deny = r->n_via == 0;
	return r;
}

#define VIA(...) ((const struct db_route_via[]){__VA_ARGS__, {0, 0, 0}})

static inline void fix_resolved(struct fix *f, const char *name, const char *ip)
{
	unsigned n = f->in.n_resolved;
	struct policy_address *a = NULL;

	if (n && str_eq(f->resolved[n - 1].name, str_z(name))) {
		a = (struct policy_address *)(uintptr_t)&f->resolved[n - 1].addrs[f->resolved[n - 1].n_addrs++];
	} else {
		for (unsigned i = 0, used = 0; i <= n; used += f->resolved[i++].n_addrs)
			a = &f->addrs[used];
		f->resolved[n] = (struct policy_resolved){str_z(name), a, 1};
		f->in.n_resolved++;
	}
	assert_int_equal(addr_parse(str_z(ip), 0, &a->addr), 0);
}

static inline int fix_try(struct fix *f)
{
	policy_unref(f->p);
	f->p = NULL;
	return policy_compile(&f->in, &f->p, &f->errs);
}

static inline struct policy *fix_compile(struct fix *f)
{
	if (fix_try(f))
		fail_msg("%s: %s (%s)", f->errs.e[0].object, f->errs.e[0].text, f->errs.e[0].hint);
	return f->p;
}

/* true when one of the errors is "object: text"; hint too unless NULL */
static inline bool fix_error(const struct fix *f, const char *object, const char *text, const char *hint)
{
	for (unsigned i = 0; i < f->errs.n && i < POLICY_ERRORS_MAX; i++)
		if (!strcmp(f->errs.e[i].object, object) && strstr(f->errs.e[i].text, text) &&
		    (!hint || strstr(f->errs.e[i].hint, hint)))
			return true;
	for (unsigned i = 0; i < f->errs.n && i < POLICY_ERRORS_MAX; i++)
		print_message("%s: %s (%s)\n", f->errs.e[i].object, f->errs.e[i].text, f->errs.e[i].hint);
	return false;
}

static inline struct net_path fix_path(unsigned realm, enum net_proto proto, const char *from)
{
	struct net_path path = {.realm = (uint8_t)realm, .proto = (uint8_t)proto};

	assert_int_equal(addr_parse(str_z(from), 5060, &path.remote), 0);
	return path;
}

/* name of the trunk, "-" for a stranger */
static inline const char *fix_who(const struct fix *f, unsigned realm, enum net_proto proto, const char *from)
{
	struct net_path path = fix_path(realm, proto, from);
	const struct pol_trunk *t = policy_identify(f->p, &path, NULL);

	return t ? t->name.p : "-"; /* arena copies end in a NUL */
}

#endif
