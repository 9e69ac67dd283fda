/* trunk_draft.c - a trunk while it is being edited.
 *
 * Everything lives in the draft's arena; an edit makes a new small array and lets the old one lie. What is
 * stored is canonical text, and a setting that equals its default is taken out, so that the database holds only
 * what somebody decided.
 */
#include "sbc/policy/internal.h"

#include <stdlib.h>

struct trunk_draft {
	struct arena_pool pool;
	struct arena *arena; /* own */
	struct db_trunk t;
	bool no_memory;
};

static struct str copy(struct trunk_draft *d, struct str s)
{
	struct str c = s.n ? str_dup(d->arena, s) : STR_NONE;

	if (s.n && !c.p)
		d->no_memory = true;
	return c;
}

static void *array(struct trunk_draft *d, size_t n, size_t size)
{
	void *p;

	if (n > ARENA_MAX / 2 / size || !(p = arena_zalloc(d->arena, (n ? n : 1) * size))) {
		d->no_memory = true;
		return NULL;
	}
	return p;
}

static void copy_parts(struct trunk_draft *d, const struct db_trunk *t)
{
	struct db_setting *settings = array(d, t->n_settings, sizeof(*settings));
	struct db_target *targets = array(d, t->n_targets, sizeof(*targets));
	struct db_source *sources = array(d, t->n_sources, sizeof(*sources));
	struct db_header *headers = array(d, t->n_headers, sizeof(*headers));

	if (d->no_memory)
		return;
	for (unsigned i = 0; i < t->n_settings; i++)
		settings[i] = (struct db_setting){copy(d, t->settings[i].key), copy(d, t->settings[i].value)};
	for (unsigned i = 0; i < t->n_targets; i++) {
		targets[i] = t->targets[i];
		targets[i].host = copy(d, t->targets[i].host);
		targets[i].transport = copy(d, t->targets[i].transport);
	}
	for (unsigned i = 0; i < t->n_sources; i++)
		sources[i].address = copy(d, t->sources[i].address);
	for (unsigned i = 0; i < t->n_headers; i++)
		headers[i] = (struct db_header){copy(d, t->headers[i].name), t->headers[i].pass};
	d->t.settings = settings;
	d->t.targets = targets;
	d->t.sources = sources;
	d->t.headers = headers;
}

struct trunk_draft *trunk_draft_new(const struct db_trunk *t, struct str name)
{
	struct trunk_draft *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	arena_pool_init(&d->pool, 4096, 0);
	if (!(d->arena = arena_new(&d->pool))) {
		free(d);
		return NULL;
	}
	if (t) {
		d->t = *t;
		d->t.name = copy(d, t->name);
		d->t.role = copy(d, t->role);
		d->t.realm = copy(d, t->realm);
		copy_parts(d, t);
	} else {
		d->t.name = copy(d, name);
	}
	if (d->no_memory) {
		trunk_draft_free(d);
		return NULL;
	}
	return d;
}

void trunk_draft_free(struct trunk_draft *d)
{
	if (!d)
		return;
	arena_free(d->arena);
	arena_pool_fini(&d->pool);
	free(d);
}

const struct db_trunk *trunk_draft_row(struct trunk_draft *d)
{
	return &d->t;
}

/* Sets or (value NULL) takes out one setting. */
static void put_setting(struct trunk_draft *d, const char *key, const struct str *value)
{
	struct db_setting *s = array(d, (size_t)d->t.n_settings + 1, sizeof(*s));
	unsigned n = 0;

	if (!s)
		return;
	for (unsigned i = 0; i < d->t.n_settings; i++)
		if (!str_eq(d->t.settings[i].key, str_z(key)))
			s[n++] = d->t.settings[i];
	if (value)
		s[n++] = (struct db_setting){str_z(key), copy(d, *value)};
	d->t.settings = s;
	d->t.n_settings = n;
}

/* Two elements are the same: targets by where they lead, the rest by their text. */
static bool same(const struct trunk_key *k, struct str a, struct str b)
{
	struct db_target x, y;

	if (k->type == TKEY_HEADERS_PASS || k->type == TKEY_HEADERS_DROP)
		return str_ieq(trunk_header_long(a), trunk_header_long(b));
	if (k->type != TKEY_TARGETS || !trunk_target_read(a, &x, NULL) || !trunk_target_read(b, &y, NULL))
		return str_ieq(a, b);
	return str_ieq(x.host, y.host) && x.port == y.port && str_eq(x.transport, y.transport);
}

static bool in_list(const struct trunk_key *k, struct str list, struct str element)
{
	struct str one;

	while (trunk_list_next(&list, &one))
		if (same(k, one, element))
			return true;
	return false;
}

/* The whole list of that kind becomes what text says. */
static void put_list(struct trunk_draft *d, const struct trunk_key *k, struct str text)
{
	struct str rest = text, one;
	unsigned n = 0, kept = 0;

	while (trunk_list_next(&rest, &one))
		n++;
	rest = text;
	if (k->type == TKEY_TARGETS) {
		struct db_target *t = array(d, n, sizeof(*t));

		for (n = 0; t && trunk_list_next(&rest, &one); n++) {
			(void)trunk_target_read(one, &t[n], NULL); /* was checked */
			t[n].host = copy(d, t[n].host);
		}
		d->t.targets = t;
		d->t.n_targets = t ? n : 0;
	} else if (k->type == TKEY_ADDRESSES) {
		struct db_source *s = array(d, n, sizeof(*s));

		for (n = 0; s && trunk_list_next(&rest, &one); n++)
			s[n].address = copy(d, one);
		d->t.sources = s;
		d->t.n_sources = s ? n : 0;
	} else {
		bool pass = k->type == TKEY_HEADERS_PASS;
		struct db_header *h = array(d, (size_t)n + d->t.n_headers, sizeof(*h));

		for (unsigned i = 0; h && i < d->t.n_headers; i++)
			if (d->t.headers[i].pass != pass && !in_list(k, text, d->t.headers[i].name))
				h[kept++] = d->t.headers[i]; /* a name is in one of the two lists: the last word counts */
		while (h && trunk_list_next(&rest, &one))
			h[kept++] = (struct db_header){copy(d, one), pass};
		d->t.headers = h;
		d->t.n_headers = h ? kept : 0;
	}
}

/* now, with `value` added or taken out, into b */
static enum reason edit_list(const struct trunk_key *k, struct str now, char op, struct str value, struct buf *b,
    struct db_err *err)
{
	struct str rest, one;
	bool first = true;

	if (str_ieq(now, S("none")))
		now = STR_NONE;
	for (rest = value; op == '-' && trunk_list_next(&rest, &one);)
		if (!in_list(k, now, one))
			return db_fail(err, REASON_NO_SUCH, "postern trunk show NAME", "%s has no '%.*s'; it is: %.*s", k->name,
			    STR(str_head(one, 64)), STR(str_head(now, 120)));
	for (rest = now; trunk_list_next(&rest, &one);) {
		if (in_list(k, value, one))
			continue; /* taken out, or written anew below */
		buf_str(b, str_z(first ? "" : ","));
		buf_str(b, one);
		first = false;
	}
	for (rest = value; op == '+' && trunk_list_next(&rest, &one); first = false) {
		buf_str(b, str_z(first ? "" : ","));
		buf_str(b, one);
	}
	if (b->n == 0 && k->type == TKEY_CODES)
		buf_lit(b, "none");
	return REASON_NONE;
}

static enum reason unknown(struct str key, const char *near, struct db_err *err)
{
	const char *now = trunk_key_renamed(str_trim(key));
	char hint[160];
	struct buf b;

	buf_init(&b, hint, sizeof(hint) - 1);
	if (now)
		buf_fmt(&b, "it is called '%s' now", now);
	else if (near)
		buf_fmt(&b, "did you mean '%s'?", near);
	else
		buf_lit(&b, "postern trunk set --help lists all settings");
	hint[b.n] = '\0';
	return db_fail(err, REASON_BAD_VALUE, hint, "a trunk has no setting '%.*s'", STR(str_head(key, 64)));
}

enum reason trunk_draft_edit(struct trunk_draft *d, struct str key, char op, struct str value, struct db_err *err)
{
	const char *near;
	const struct trunk_key *k = trunk_key_find(str_trim(key), &near);
	struct buf now, edited, canonical, def;
	char text[4][4096];
	bool to_default;
	enum reason r;

	if (!k)
		return unknown(key, near, err);
	value = str_trim(value);
	buf_init(&now, text[0], sizeof(text[0]));
	buf_init(&edited, text[1], sizeof(text[1]));
	buf_init(&canonical, text[2], sizeof(text[2]));
	buf_init(&def, text[3], sizeof(text[3]));
	if (op != '=') {
		if (!trunk_key_is_list(k))
			return db_fail(err, REASON_BAD_VALUE, "use '=' to set it", "%s is not a list: '%c=' does not apply",
			    k->name, op);
		if (value.n == 0)
			return db_fail(err, REASON_BAD_VALUE, NULL, "%s%c= needs a value", k->name, op);
		trunk_key_value(&d->t, k, &now, NULL);
		if (op == '+' && !trunk_key_check(k, value, &canonical, err))
			return REASON_BAD_VALUE;
		canonical.n = 0;
		if ((r = edit_list(k, buf_text(&now), op, value, &edited, err)))
			return r;
		value = buf_text(&edited);
	}
	to_default = op == '=' && (value.n == 0 || str_ieq(value, S("default")));
	if (!k->def && value.n == 0)
		return db_fail(err, REASON_BAD_VALUE, NULL, "%s must be given, for example %s=%s", k->name, k->name, k->example);
	if (to_default)
		value = str_z(k->def ? k->def : "");
	if (!trunk_key_check(k, value, &canonical, err))
		return REASON_BAD_VALUE;
	if (buf_err(&canonical) || buf_err(&edited) || buf_err(&now))
		return db_fail(err, REASON_BAD_VALUE, NULL, "%s: the value is too long", k->name);
	switch (k->type) {
	case TKEY_ROLE:
		d->t.role = copy(d, buf_text(&canonical));
		break;
	case TKEY_REALM:
		d->t.realm = copy(d, buf_text(&canonical));
		break;
	case TKEY_TARGETS:
	case TKEY_ADDRESSES:
	case TKEY_HEADERS_PASS:
	case TKEY_HEADERS_DROP:
		put_list(d, k, buf_text(&canonical));
		break;
	default:
		(void)trunk_key_check(k, str_z(k->def), &def, NULL);
		if (str_eq(buf_text(&def), buf_text(&canonical))) {
			put_setting(d, k->name, NULL);
		} else {
			struct str v = buf_text(&canonical);

			put_setting(d, k->name, &v);
		}
		break;
	}
	return d->no_memory ? db_fail(err, REASON_NO_MEMORY, NULL, "out of memory") : REASON_NONE;
}

enum reason trunk_draft_assign(struct trunk_draft *d, struct str assignment, struct db_err *err)
{
	struct str key, value = str_cut(assignment, '=', &key);
	char op = '=';

	if (key.n == assignment.n)
		return db_fail(err, REASON_BAD_VALUE, "max-calls=30, address+=192.0.2.1, address-=192.0.2.1",
		    "'%.*s' is not KEY=VALUE", STR(str_head(assignment, 64)));
	if (key.n && (key.p[key.n - 1] == '+' || key.p[key.n - 1] == '-')) {
		op = key.p[key.n - 1];
		key.n--;
	}
	return trunk_draft_edit(d, key, op, value, err);
}

/* A PBX that registers is found where it registered from: it needs no target. */
static bool registers_here(const struct trunk_draft *d)
{
	for (unsigned i = 0; i < d->t.n_settings; i++)
		if (str_eq(d->t.settings[i].key, S("auth")) && !str_ieq(d->t.settings[i].value, S("static")))
			return str_ieq(d->t.role, S("pbx"));
	return false;
}

enum reason trunk_draft_complete(const struct trunk_draft *d, struct db_err *err)
{
	for (unsigned i = 0; i < trunk_keys_n; i++) {
		const struct trunk_key *k = &trunk_keys[i];
		char text[64], hint[160];
		struct buf b;

		if (k->def)
			continue;
		buf_init(&b, text, sizeof(text));
		trunk_key_value(&d->t, k, &b, NULL);
		if (b.n || buf_err(&b) || (k->type == TKEY_TARGETS && registers_here(d)))
			continue;
		buf_init(&b, hint, sizeof(hint) - 1);
		buf_fmt(&b, "%s=%s", k->name, k->example);
		hint[b.n] = '\0';
		return db_fail(err, REASON_BAD_VALUE, hint, "trunk '%.*s' needs %s: %s", STR(d->t.name), k->name, k->help);
	}
	return REASON_NONE;
}
