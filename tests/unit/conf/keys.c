/* Tests of conf/keys.c: the table is whole, and what is printed from it can be loaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "conf/conf.h"

static void whole(void **state)
{
	unsigned nk, ns;
	const struct conf_key *k = conf_keys(&nk);
	const struct conf_section *s = conf_sections(&ns);

	(void)state;
	for (unsigned i = 0; i < nk; i++) {
		char type[200];
		struct buf b;
		unsigned found = 0;

		for (unsigned j = 0; j < ns; j++)
			found += !strcmp(k[i].section, s[j].name);
		assert_int_equal(found, 1);
		for (unsigned j = 0; j < i; j++)
			assert_false(!strcmp(k[i].section, k[j].section) && !strcmp(k[i].name, k[j].name));
		assert_true(strlen(k[i].help) > 10);
		assert_true(strlen(k[i].example) > 0);
		buf_init(&b, type, sizeof(type));
		conf_key_put_type(&b, &k[i]);
		assert_int_equal(buf_err(&b), 0);
		assert_true(b.n > 3);
		assert_int_equal(conf_key_is_list(&k[i]), k[i].example[0] == '{');
	}
}

/* Each example is a value its key takes: put into a file of its own. */
static void examples(void **state)
{
	unsigned nk;
	const struct conf_key *k = conf_keys(&nk);

	(void)state;
	for (unsigned i = 0; i < nk; i++) {
		char text[1024];
		struct conf_report r;
		struct conf *c;
		bool realm = !strcmp(k[i].section, "realm");
		bool listen = realm && !strcmp(k[i].name, "listen"), media = realm && !strcmp(k[i].name, "media");
		struct buf b;

		buf_init(&b, text, sizeof(text));
		buf_fmt(&b, "realm lan {\n%s\n%s\n", listen ? "" : "listen = \"udp 10.1.0.2:5060\"",
		    media ? "" : "media = \"10.1.0.2 16384-20479\"");
		bool cert = !strcmp(k[i].section, "cert");
		if (realm) {
			/* the public address of one example beside the private one of another */
			buf_fmt(&b, "%s\n%s\n", !strcmp(k[i].name, "cert") ? "" : "cert = edge1",
			    strcmp(k[i].name, "public") ? "public = no" : "media-advertise = 198.51.100.7\nadvertise = 198.51.100.7");
		} else {
			buf_fmt(&b, "}\n%s %s {\n", k[i].section, cert || !strcmp(k[i].section, "box") ? "edge1" : "");
			if (cert && strcmp(k[i].name, "key"))
				buf_lit(&b, "key = /k\n");
			else if (cert)
				buf_lit(&b, "chain = /c\n");
		}
		buf_fmt(&b, "%s = %s\n}\n", k[i].name, k[i].example);
		if (realm)
			buf_lit(&b, "cert edge1 { chain = /c key = /k }\n");
		c = conf_load(buf_text(&b), "example", &r);
		if (!c)
			print_error("%s.%s: %s\n", k[i].section, k[i].name, r.n_issues ? r.issues[0].text : "?");
		assert_non_null(c);
		conf_unref(c);
		conf_report_fini(&r);
	}
}

static void default_file_loads(void **state)
{
	char text[CONF_DEFAULT_MAX], all[CONF_DEFAULT_MAX];
	struct conf_report r;
	struct buf b, a;
	struct conf *c;
	struct str rest, line;
	unsigned nk, commented = 0;

	(void)state;
	conf_keys(&nk);
	buf_init(&b, text, sizeof(text));
	conf_put_default(&b);
	assert_int_equal(buf_err(&b), 0);
	c = conf_load(buf_text(&b), "default", &r);
	assert_non_null(c);
	assert_int_equal(r.n_issues, 0);
	conf_unref(c);
	conf_report_fini(&r);
	/* and with every key taken out of its comment, and no line is wider than a screen */
	buf_init(&a, all, sizeof(all));
	for (rest = buf_text(&b); !str_empty(rest);) {
		rest = str_cut(rest, '\n', &line);
		assert_true(line.n <= 100);
		if (line.n > 2 && line.p[0] == '\t' && line.p[1] == '#' && line.p[2] != ' ') {
			buf_fmt(&a, "\t%.*s\n", STR(str_from(line, 2)));
			commented++;
		} else if (line.n > 1 && line.p[0] == '#' && line.p[1] != ' ') {
			buf_fmt(&a, "%.*s\n", STR(str_from(line, 1))); /* the head or the end of a section */
		} else {
			buf_fmt(&a, "%.*s\n", STR(line));
		}
	}
	assert_int_equal(commented, nk - 2);
	c = conf_load(buf_text(&a), "default", &r);
	assert_non_null(c);
	conf_unref(c);
	conf_report_fini(&r);
}

/* The defaults of the table are what an empty file gives. */
static void defaults(void **state)
{
	struct conf_report r;
	struct conf *c = conf_load(S("realm lan { listen = \"udp 10.1.0.2:5060\" media = \"10.1.0.2 16384-20479\" }"),
	    "x", &r);
	unsigned given = 0;

	(void)state;
	assert_non_null(c);
	for (unsigned i = 0; i < c->n_settings; i++)
		given += c->settings[i].line != 0;
	assert_int_equal(given, 2);
	assert_int_equal(c->limits.max_calls, 10000);
	assert_int_equal(c->limits.tcp_first_message_ms, 30000);
	assert_int_equal(c->limits.cdr_window_ms, 200);
	assert_int_equal(c->tls.warn_days, 30);
	assert_int_equal(c->tls.ocsp_stapling, 0);
	assert_int_equal(c->tls.n_trust + c->tls.n_crl + c->n_certs, 0);
	assert_false(c->tls.trust_given); /* the system's */
	assert_int_equal(c->realms[0].client_cert, CONF_CLIENT_CERT_REQUEST);
	assert_int_equal(c->realms[0].public_, CONF_PUBLIC_AUTO);
	assert_int_equal(c->realms[0].cert.n, 0);
	assert_int_equal(c->media.quarantine_ms, 5000);
	assert_int_equal(c->log.level[LOG_CTL], LOG_INFO);
	assert_int_equal(c->realms[0].dscp, 46);
	assert_string_equal(c->state_dir, "/var/lib/postern");
	conf_unref(c);
	conf_report_fini(&r);
}

static void nearest(void **state)
{
	const struct {
		const char *typed, *section, *want;
	} cases[] = {
	    {"stranger", "realm", "strangers"},
	    {"media_advertise", "realm", "media-advertise"},
	    {"maxcalls", "limits", "max-calls"},
	    {"max-calls", "realm", "max-calls"},
	    {"limits.max-cals", NULL, "max-calls"},
	    {"listeners", "realm", "listen"},
	    {"colour", "realm", NULL},
	    {"", "realm", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct conf_key *k = conf_key_nearest(str_z(cases[i].typed), cases[i].section);

		if (cases[i].want) {
			assert_non_null(k);
			assert_string_equal(k->name, cases[i].want);
		} else {
			assert_null(k);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole),
	    cmocka_unit_test(examples),
	    cmocka_unit_test(default_file_loads),
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
