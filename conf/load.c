/* load.c - text to struct conf.
 *
 * Four passes, each with its own kind of error, all of them into one report:
 *   1. scan.c cuts the text into tokens (strings that do not end, control bytes);
 *   2. walk() checks the structure against the key table (unknown or repeated sections and keys, missing braces
 *      and values) and blanks out what it refused;
 *   3. libConfuse reads what is left; its values are converted by the type of their key (convert.c);
 *   4. check.c holds the values against each other (two listeners at one address, media without ports …).
 * Passes 3 and 4 run after errors too, so that one run shows everything; check.c is only asked about realms whose
 * own values were right. Any error: no configuration.
 *
 * Owner: the struct conf and all it points to live in one arena, counted.
 */
#include "conf/load.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* -------------------------------------------------------------------- the structure */

static bool is_text(const struct tok *t)
{
	return t->kind == TOK_WORD || t->kind == TOK_STRING;
}

/* Index behind the statement that begins at i: to the end of its braces, or of its line. */
static size_t statement_end(const struct load *ld, size_t i)
{
	const struct tok *t = ld->sc.toks;
	unsigned depth = 0;
	size_t from = i;

	for (; t[i].kind != TOK_END; i++) {
		if (t[i].kind == TOK_OPEN) {
			depth++;
		} else if (t[i].kind == TOK_CLOSE) {
			if (depth == 0)
				break;
			if (--depth == 0)
				return i + 1;
		} else if (depth == 0 && i > from && t[i].line > t[i - 1].line && is_text(&t[i])) {
			break;
		}
	}
	return i > from ? i : from + 1;
}

/* Leaves the statement out of what libConfuse reads. */
static size_t skip(struct load *ld, size_t i)
{
	size_t end = statement_end(ld, i);
	const struct tok *last = &ld->sc.toks[end - 1];

	scan_blank(&ld->sc, ld->sc.toks[i].off, last->off + last->len);
	return end;
}

static const struct conf_section *section_find(struct str name)
{
	unsigned n;
	const struct conf_section *s = conf_sections(&n);

	for (unsigned i = 0; i < n; i++)
		if (str_eq(name, str_z(s[i].name)))
			return &s[i];
	return NULL;
}

static const struct conf_key *key_find(const char *section, struct str name)
{
	unsigned n;
	const struct conf_key *k = conf_keys(&n);

	for (unsigned i = 0; i < n; i++)
		if (!strcmp(k[i].section, section) && str_eq(name, str_z(k[i].name)))
			return &k[i];
	return NULL;
}

static const struct conf_section *section_nearest(struct str name)
{
	unsigned n, best_d = 3;
	const struct conf_section *s = conf_sections(&n), *best = NULL;

	for (unsigned i = 0; i < n; i++) {
		unsigned d = str_distance(name, str_z(s[i].name), 2);

		if (d < best_d) {
			best_d = d;
			best = &s[i];
		}
	}
	return best;
}

#define SHOW(s) STR(str_head((s), 60))

static void unknown_section(struct load *ld, size_t i)
{
	const struct tok *t = &ld->sc.toks[i];
	struct str name = scan_word(&ld->sc, t);
	const struct conf_section *near = section_nearest(name);
	const struct conf_key *key = conf_key_nearest(name, NULL);
	char help[200];
	struct buf b;

	buf_init(&b, help, sizeof(help));
	if (t[1].kind == TOK_EQ || t[1].kind == TOK_PLUS_EQ) {
		if (key)
			buf_fmt(&b, "'%s' belongs into section '%s'", key->name, key->section);
		else
			buf_lit(&b, "keys stand inside a section");
		issue_tok(ld->is, CONF_ERROR, t, buf_z(&b), "key '%.*s' outside of a section", SHOW(name));
		return;
	}
	if (near)
		buf_fmt(&b, "did you mean '%s'?", near->name);
	else
		buf_lit(&b, "sections: box realm cert tls log limits media dns");
	issue_tok(ld->is, CONF_ERROR, t, buf_z(&b), "unknown section '%.*s'", SHOW(name));
}

static void unknown_key(struct load *ld, const struct given_section *gs, const struct tok *t)
{
	struct str name = scan_word(&ld->sc, t);
	const struct conf_key *near = conf_key_nearest(name, gs->section->name);
	char help[300];
	struct buf b;

	buf_init(&b, help, sizeof(help));
	if (near && strcmp(near->section, gs->section->name)) {
		buf_fmt(&b, "'%s' belongs into section '%s'", near->name, near->section);
	} else if (near) {
		buf_fmt(&b, "did you mean '%s'?  value: ", near->name);
		conf_key_put_type(&b, near);
	} else {
		unsigned n;
		const struct conf_key *k = conf_keys(&n);

		buf_lit(&b, "keys:");
		for (unsigned i = 0; i < n; i++)
			if (!strcmp(k[i].section, gs->section->name))
				buf_fmt(&b, " %s", k[i].name);
	}
	if (gs->title)
		issue_tok(ld->is, CONF_ERROR, t, buf_z(&b), "unknown key '%.*s' in %s '%.*s'", SHOW(name),
		    gs->section->name, SHOW(scan_word(&ld->sc, gs->title)));
	else
		issue_tok(ld->is, CONF_ERROR, t, buf_z(&b), "unknown key '%.*s' in section '%s'", SHOW(name),
		    gs->section->name);
}

static int add_value(struct load *ld, struct given_key *gk, size_t tok)
{
	if (ld->n_values == ld->cap_values) {
		size_t cap = ld->cap_values ? ld->cap_values * 2 : 128;
		size_t *p = realloc(ld->values, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		ld->values = p;
		ld->cap_values = cap;
	}
	ld->values[ld->n_values++] = tok;
	gk->n_values++;
	return 0;
}

/* Items of a list up to its closing brace. Index behind it, or 0: not a list, already reported. */
static size_t walk_list(struct load *ld, struct given_key *gk, size_t i)
{
	const struct tok *t = ld->sc.toks;
	bool want_item = true;

	for (;; i++) {
		if (t[i].kind == TOK_CLOSE)
			return i + 1;
		if (want_item && is_text(&t[i])) {
			if (add_value(ld, gk, i) < 0)
				return 0;
			want_item = false;
		} else if (!want_item && t[i].kind == TOK_COMMA) {
			want_item = true;
		} else {
			if (t[i].kind == TOK_END)
				issue_tok(ld->is, CONF_ERROR, gk->tok, "close it with }",
				    "list of '%s' never ends", gk->key->name);
			else if (!want_item)
				issue_tok(ld->is, CONF_ERROR, &t[i],
				    "items of a list are separated by ',' and it ends with '}'",
				    "',' or '}' expected in the list of '%s'", gk->key->name);
			else
				issue_tok(ld->is, CONF_ERROR, &t[i], "an item with blanks stands in quotes",
				    "item of the list of '%s' expected", gk->key->name);
			return 0;
		}
	}
}

/* "name = value" or "name = { value, … }" at i. Index behind it. */
static size_t walk_key(struct load *ld, struct given_section *gs, size_t i)
{
	const struct tok *t = &ld->sc.toks[i];
	const struct conf_key *key = key_find(gs->section->name, scan_word(&ld->sc, t));
	size_t values_before = ld->n_values, end;
	struct given_key *gk;
	char help[300];
	struct buf b;

	if (!key) {
		unknown_key(ld, gs, t);
		return skip(ld, i);
	}
	buf_init(&b, help, sizeof(help));
	buf_fmt(&b, "write: %s = %s", key->name, key->example);
	if (t[1].kind != TOK_EQ && t[1].kind != TOK_PLUS_EQ) {
		issue_add(ld->is, CONF_ERROR, t->line, t->col + t->len, 1, buf_z(&b), "'=' expected after '%s'",
		    key->name);
		return skip(ld, i);
	}
	for (size_t k = 0; k < ld->n_keys; k++) {
		gk = &ld->keys[k];
		if (gk->section != (size_t)(gs - ld->sections) || gk->key != key)
			continue;
		issue_tok(ld->is, CONF_ERROR, t,
		    conf_key_is_list(key) ? "put all items into one list" : "keep one of the two",
		    "'%s' is already set on line %u", key->name, gk->tok->line);
		return skip(ld, i);
	}
	if (t[1].kind == TOK_PLUS_EQ) {
		issue_tok(ld->is, CONF_ERROR, &t[1], buf_z(&b), "'+=' is not used here");
		return skip(ld, i);
	}
	if (t[2].kind == TOK_OPEN ? !conf_key_is_list(key) : !is_text(&t[2]) || t[2].line > t[1].line) {
		issue_add(ld->is, CONF_ERROR, t[1].line, t[1].col + 1, 1, buf_z(&b), "%s expected after '%s ='",
		    t[2].kind == TOK_OPEN ? "one value, not a list," : "value", key->name);
		return t[2].kind == TOK_OPEN ? skip(ld, i) : (scan_blank(&ld->sc, t->off, t[1].off + 1), i + 2);
	}
	if (ld->n_keys == ld->cap_keys) {
		size_t cap = ld->cap_keys ? ld->cap_keys * 2 : 64;
		struct given_key *p = realloc(ld->keys, cap * sizeof(*p));

		if (!p) {
			ld->oom = true;
			return skip(ld, i);
		}
		ld->keys = p;
		ld->cap_keys = cap;
	}
	gk = &ld->keys[ld->n_keys++];
	*gk = (struct given_key){.section = (size_t)(gs - ld->sections), .key = key, .tok = t,
	    .first_value = values_before};
	if (t[2].kind == TOK_OPEN) {
		end = walk_list(ld, gk, i + 3);
	} else {
		end = i + 3;
		if (add_value(ld, gk, i + 2) < 0)
			ld->oom = true;
	}
	if (end == 0) {
		ld->n_keys--;
		ld->n_values = values_before;
		return skip(ld, i);
	}
	return end;
}

/* A section from its name at i. Index behind it. */
static size_t walk_section(struct load *ld, size_t i)
{
	const struct tok *t = ld->sc.toks, *name = &t[i], *title = NULL;
	const struct conf_section *sec = section_find(scan_word(&ld->sc, name));
	struct given_section *gs;
	size_t at = i + 1;

	if (!sec) {
		unknown_section(ld, i);
		return skip(ld, i);
	}
	if (is_text(&t[at]) && t[at].line == name->line) {
		title = &t[at++];
		if (!sec->title) {
			issue_tok(ld->is, CONF_ERROR, title, "take it out", "section '%s' has no name", sec->name);
			scan_blank(&ld->sc, title->off, title->off + title->len);
			title = NULL;
		}
	}
	if (sec->title && !title) {
		char help[100];
		struct buf b;

		buf_init(&b, help, sizeof(help));
		buf_fmt(&b, "write: %s \"NAME\" {", sec->name);
		issue_add(ld->is, CONF_ERROR, name->line, name->col + name->len, 1, buf_z(&b), "%s expected after '%s'",
		    sec->title, sec->name);
		return skip(ld, i);
	}
	if (t[at].kind != TOK_OPEN) {
		issue_add(ld->is, CONF_ERROR, t[at - 1].line, t[at - 1].col + t[at - 1].len, 1,
		    "a section is: name { key = value ... }", "'{' expected after '%s'", sec->name);
		return skip(ld, i);
	}
	for (size_t k = 0; k < ld->n_sections; k++) {
		const struct given_section *o = &ld->sections[k];

		if (o->section != sec)
			continue;
		if (sec->multi && !str_eq(scan_word(&ld->sc, o->title), scan_word(&ld->sc, title)))
			continue;
		if (title)
			issue_tok(ld->is, CONF_ERROR, title, "give it another name",
			    "%s '%.*s' is already defined on line %u", sec->name, SHOW(scan_word(&ld->sc, title)),
			    o->tok->line);
		else
			issue_tok(ld->is, CONF_ERROR, name, "put its keys together",
			    "section '%s' is already defined on line %u", sec->name, o->tok->line);
		return skip(ld, i);
	}
	if (ld->n_sections == LOAD_SECTIONS_MAX) {
		issue_tok(ld->is, CONF_ERROR, name, "", "more than %d sections", LOAD_SECTIONS_MAX);
		return skip(ld, i);
	}
	gs = &ld->sections[ld->n_sections++];
	*gs = (struct given_section){.section = sec, .tok = name, .title = title};
	for (at++; t[at].kind != TOK_CLOSE;) {
		if (t[at].kind == TOK_END) {
			issue_tok(ld->is, CONF_ERROR, name, "close it with }", "section '%s' never ends", sec->name);
			ld->broken = true;
			return at;
		}
		if (is_text(&t[at])) {
			at = walk_key(ld, gs, at);
		} else {
			issue_tok(ld->is, CONF_ERROR, &t[at], "", "key of section '%s' or '}' expected", sec->name);
			at = skip(ld, at);
		}
	}
	return at + 1;
}

static void walk(struct load *ld)
{
	size_t i = 0;

	while (ld->sc.toks[i].kind != TOK_END) {
		if (is_text(&ld->sc.toks[i])) {
			i = walk_section(ld, i);
		} else {
			issue_tok(ld->is, CONF_ERROR, &ld->sc.toks[i],
			    ld->sc.toks[i].kind == TOK_CLOSE ? "one '}' too many above or here" : "",
			    "name of a section expected");
			i = skip(ld, i);
		}
	}
}

/* -------------------------------------------------------------------- libConfuse */

static void be_quiet(cfg_t *cfg, const char *fmt, va_list ap)
{
	(void)cfg;
	(void)fmt;
	(void)ap;
}

#define KEYS_MAX 48

/* The key table as libConfuse wants it: everything is text, types are ours. */
static void make_opts(cfg_opt_t *root, cfg_opt_t (*subs)[KEYS_MAX])
{
	unsigned ns, nk;
	const struct conf_section *s = conf_sections(&ns);
	const struct conf_key *k = conf_keys(&nk);
	unsigned i;

	for (i = 0; i < ns; i++) {
		unsigned n = 0;

		for (unsigned j = 0; j < nk; j++)
			if (!strcmp(k[j].section, s[i].name))
				subs[i][n++] = (cfg_opt_t){.name = k[j].name,
				    .type = CFGT_STR,
				    .flags = conf_key_is_list(&k[j]) ? CFGF_LIST | CFGF_NODEFAULT : CFGF_NODEFAULT};
		subs[i][n] = (cfg_opt_t)CFG_END();
		root[i] = (cfg_opt_t){.name = s[i].name,
		    .type = CFGT_SEC,
		    .flags = (s[i].title ? CFGF_TITLE : 0) | CFGF_MULTI,
		    .subopts = subs[i]};
	}
	root[i] = (cfg_opt_t)CFG_END();
}

/* The last line any section got to: where libConfuse gave up. */
static unsigned stopped_at(cfg_t *cfg)
{
	int line = cfg->line;
	unsigned ns;
	const struct conf_section *s = conf_sections(&ns);

	for (unsigned i = 0; i < ns; i++)
		for (unsigned k = 0; k < cfg_size(cfg, s[i].name); k++) {
			cfg_t *sec = cfg_getnsec(cfg, s[i].name, k);

			if (sec && sec->line > line)
				line = sec->line;
		}
	return line > 0 ? (unsigned)line : 1;
}

/* Values of all keys, as libConfuse read them, into the arena. */
static int take_values(struct load *ld, cfg_t *cfg)
{
	unsigned seen[LOAD_KINDS_MAX] = {0}, ns;
	const struct conf_section *secs = conf_sections(&ns);

	for (size_t s = 0; s < ld->n_sections; s++) {
		struct given_section *gs = &ld->sections[s];
		unsigned kind = (unsigned)(gs->section - secs);

		gs->cfg = cfg_getnsec(cfg, gs->section->name, seen[kind]++);
		if (!gs->cfg)
			return -EBADMSG;
		if (gs->title)
			gs->name = str_dup(ld->arena, str_z(cfg_title(gs->cfg)));
	}
	ld->texts = calloc(ld->n_values + 1, sizeof(*ld->texts));
	if (!ld->texts)
		return -ENOMEM;
	for (size_t k = 0; k < ld->n_keys; k++) {
		struct given_key *gk = &ld->keys[k];
		cfg_t *sec = ld->sections[gk->section].cfg;

		if (cfg_size(sec, gk->key->name) != gk->n_values)
			return -EBADMSG;
		for (unsigned i = 0; i < gk->n_values; i++) {
			struct str v = str_z(cfg_getnstr(sec, gk->key->name, i));

			v = str_dup(ld->arena, v);
			if (!v.p)
				return -ENOMEM;
			ld->texts[gk->first_value + i] = v;
		}
	}
	return 0;
}

static int read_values(struct load *ld)
{
	cfg_opt_t subs[LOAD_KINDS_MAX][KEYS_MAX], root[LOAD_KINDS_MAX + 1];
	cfg_t *cfg;
	int r;

	make_opts(root, subs);
	cfg = cfg_init(root, CFGF_NONE);
	if (!cfg)
		return -ENOMEM;
	cfg_set_error_function(cfg, be_quiet);
	r = cfg_parse_buf(cfg, ld->sc.text);
	if (r != CFG_SUCCESS) {
		issue_add(ld->is, CONF_ERROR, stopped_at(cfg), 1, 1, "look for a brace, quote or '=' too many or too few",
		    "file cannot be read from here on");
		r = -EBADMSG;
	} else {
		r = take_values(ld, cfg);
		if (r == -EBADMSG)
			issue_add(ld->is, CONF_ERROR, 0, 0, 0, "please report this file", "file is understood in two ways");
	}
	cfg_free(cfg);
	return r;
}

/* -------------------------------------------------------------------- all of it */

static void load_fini(struct load *ld)
{
	scan_fini(&ld->sc);
	free(ld->keys);
	free(ld->values);
	free(ld->texts);
}

struct conf *conf_load(struct str text, const char *file, struct conf_report *ret_report)
{
	struct issues is;
	struct load ld = {.is = &is};
	struct conf_own *own = NULL;
	int r;

	if (text.n > CONF_FILE_MAX) {
		issues_init(&is, STR_NONE, file);
		issue_add(&is, CONF_ERROR, 0, 0, 0, "", "file is larger than %zu KiB", CONF_FILE_MAX / 1024);
		issues_finish(&is, ret_report);
		return NULL;
	}
	issues_init(&is, text, file);
	own = calloc(1, sizeof(*own));
	r = own && is.list && is.text.p ? 0 : -ENOMEM;
	if (r == 0) {
		own->refs = 1;
		arena_pool_init(&own->pool, 16384, 0);
		own->arena = arena_new(&own->pool);
		r = own->arena ? scan_text(&ld.sc, text, &is) : -ENOMEM;
	}
	if (r == 0) {
		ld.arena = own->arena;
		ld.conf = &own->pub;
		own->pub.file = str_dup(own->arena, str_z(file)).p;
		walk(&ld);
		/* an open end cannot be blanked out: libConfuse would stop there */
		r = ld.oom ? -ENOMEM : ld.broken ? -EBADMSG : read_values(&ld);
	}
	if (r == 0)
		r = convert_all(&ld);
	if (r == 0)
		check_all(&ld);
	load_fini(&ld);
	if (r == -ENOMEM)
		issue_add(&is, CONF_ERROR, 0, 0, 0, "", "out of memory");
	r = is.errors || r < 0;
	issues_finish(&is, ret_report);
	if (r) {
		if (own)
			conf_unref(&own->pub);
		return NULL;
	}
	return &own->pub;
}

struct conf *conf_load_file(const char *file, struct conf_report *ret_report)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	struct conf *c = NULL;
	char *p = NULL;
	size_t n = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err = errno;
	} else if (!S_ISREG(st.st_mode)) {
		err = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	} else {
		p = malloc(CONF_FILE_MAX + 1);
		if (!p)
			err = ENOMEM;
	}
	while (!err && n <= CONF_FILE_MAX) {
		ssize_t r = read(fd, p + n, CONF_FILE_MAX + 1 - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			err = errno;
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	if (fd >= 0)
		close(fd);
	if (err) {
		struct issues is;

		issues_init(&is, STR_NONE, file);
		errno = err;
		issue_add(&is, CONF_ERROR, 0, 0, 0,
		    err == ENOENT ? "print one to begin with: postern config default" : "",
		    err == EINVAL ? "not a regular file" : "%m");
		issues_finish(&is, ret_report);
	} else {
		c = conf_load(str_n(p, n), file, ret_report);
	}
	free(p);
	return c;
}

struct conf *conf_ref(struct conf *c)
{
	container_of(c, struct conf_own, pub)->refs++;
	return c;
}

void conf_unref(struct conf *c)
{
	struct conf_own *own;

	if (!c)
		return;
	own = container_of(c, struct conf_own, pub);
	if (--own->refs)
		return;
	arena_free(own->arena);
	arena_pool_fini(&own->pool);
	free(own);
}

int conf_realm_find(const struct conf *c, struct str name)
{
	for (unsigned i = 0; i < c->n_realms; i++)
		if (str_eq(c->realms[i].name, name))
			return (int)i;
	return -1;
}
