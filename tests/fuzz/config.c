/* config.c - any bytes as a configuration file.
 *
 * links: conf
 *
 * Holds: no crash and no leak; a configuration or at least one error; every issue points inside the file; our
 * tokens are libConfuse's; what
 * loads has the settings of every section, and loads to the same when it is written down from them.
 */
#include <stdlib.h>

#include "conf/conf.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static unsigned lines_of(struct str text)
{
	unsigned n = 1;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

static void again(const struct conf *c)
{
	size_t cap = 4u << 20;
	char *p = malloc(cap);
	const char *section = "", *title = "";
	struct conf_report r;
	struct conf *d;
	struct buf b;

	CHECK(p);
	buf_init(&b, p, cap);
	buf_fmt(&b, "box \"%.*s\" {\n", STR(c->box));
	for (unsigned i = 0; i < c->n_settings; i++) {
		const struct conf_setting *s = &c->settings[i];

		if (i && (strcmp(section, s->key->section) || strcmp(title, s->title)))
			buf_fmt(&b, "}\n%s%s%s%s {\n", s->key->section, s->title[0] ? " \"" : "", s->title,
			    s->title[0] ? "\"" : "");
		section = s->key->section;
		title = s->title;
		buf_fmt(&b, "%s = %s\n", s->key->name, s->value);
	}
	buf_lit(&b, "}\n");
	CHECK(!buf_err(&b));
	d = conf_load(buf_text(&b), "again", &r);
	CHECK(d && r.n_errors == 0);
	CHECK(d->n_settings == c->n_settings);
	for (unsigned i = 0; i < c->n_settings; i++)
		CHECK(!strcmp(c->settings[i].value, d->settings[i].value));
	conf_report_fini(&r);
	conf_unref(d);
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str text = str_n((const char *)p, n);
	char out[4096];
	struct conf_report r;
	struct conf *c = conf_load(text, "fuzz.conf", &r);

	CHECK((c == NULL) == (r.n_errors > 0));
	for (unsigned i = 0; i < r.n_issues; i++) {
		const struct conf_issue *is = &r.issues[i];
		struct buf b;

		CHECK(is->text[0]);
		/* our tokens and libConfuse's are the same ones */
		CHECK(strcmp(is->text, "file is understood in two ways"));
		CHECK(strcmp(is->text, "file cannot be read from here on"));
		if (is->line) {
			CHECK(is->line <= lines_of(text));
			CHECK(is->col >= 1 && is->col <= is->source.n + 1);
			CHECK(is->len >= 1 && is->col - 1 + is->len <= is->source.n + 1);
		}
		buf_init(&b, out, sizeof(out));
		conf_issue_put(&b, &r, is);
		CHECK(!buf_err(&b));
		for (size_t k = 0; k < b.n; k++)
			CHECK(out[k] == '\n' || (out[k] >= 0x20 && out[k] < 0x7f));
	}
	if (c)
		again(c);
	conf_report_fini(&r);
	conf_unref(c);
	return 0;
}
