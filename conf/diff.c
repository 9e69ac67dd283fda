/* diff.c - what a reload would change, setting by setting. */
#include "conf/conf.h"

static const struct conf_setting *find(const struct conf *c, const struct conf_setting *s)
{
	for (unsigned i = 0; i < c->n_settings; i++)
		if (c->settings[i].key == s->key && !strcmp(c->settings[i].title, s->title))
			return &c->settings[i];
	return NULL;
}

static bool box_title(const struct conf_setting *s)
{
	return !strcmp(s->key->section, "box");
}

/* Same section; the box is one whatever its name. */
static const struct conf_setting *counterpart(const struct conf *c, const struct conf_setting *s)
{
	if (!box_title(s))
		return find(c, s);
	for (unsigned i = 0; i < c->n_settings; i++)
		if (c->settings[i].key == s->key)
			return &c->settings[i];
	return NULL;
}

/* What stands for its section when that comes or goes. */
static bool first_key(const struct conf_setting *s)
{
	return !strcmp(s->key->name, "listen") || (!strcmp(s->key->section, "cert") && !strcmp(s->key->name, "chain"));
}

void conf_diff(const struct conf *a, const struct conf *b, conf_diff_fn *fn, void *ctx)
{
	for (unsigned i = 0; i < a->n_settings; i++) {
		const struct conf_setting *s = &a->settings[i], *o = counterpart(b, s);

		if (!o) {
			if (first_key(s))
				fn(ctx, s, NULL);
		} else if (strcmp(s->value, o->value)) {
			fn(ctx, s, o);
		}
	}
	for (unsigned i = 0; i < b->n_settings; i++) {
		const struct conf_setting *s = &b->settings[i];

		if (first_key(s) && !counterpart(a, s))
			fn(ctx, NULL, s);
	}
}
