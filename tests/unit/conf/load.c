/* Tests of conf/load.c: every file of tests/data/conf against what it must say. NAME.in is loaded, the report is
 * compared with NAME.ok; a file without errors must give a configuration, one with errors must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <dirent.h>

#include "conf/conf.h"

#define DATA TEST_SOURCE_DIR "/tests/data/conf"

static char *slurp(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "rb");
	char *p = malloc(1 << 20);
	size_t n;

	if (!f || !p) {
		free(p);
		if (f)
			fclose(f);
		return NULL;
	}
	n = fread(p, 1, (1 << 20) - 1, f);
	fclose(f);
	p[n] = '\0';
	*ret_n = n;
	return p;
}

static struct conf *load_text(const char *text, struct conf_report *r)
{
	return conf_load(str_z(text), "test.conf", r);
}

/* The report as the terminal shows it; the caller frees. */
static char *shown(const struct conf_report *r)
{
	size_t cap = 256 * 1024;
	char *p = malloc(cap);
	struct buf b;

	assert_non_null(p);
	buf_init(&b, p, cap - 1);
	for (unsigned i = 0; i < r->n_issues; i++)
		conf_issue_put(&b, r, &r->issues[i]);
	conf_report_put_count(&b, r);
	buf_chr(&b, '\n');
	assert_int_equal(buf_err(&b), 0);
	p[b.n] = '\0';
	return p;
}

static void goldens(void **state)
{
	DIR *d = opendir(DATA);
	struct dirent *e;
	unsigned seen = 0;

	(void)state;
	assert_non_null(d);
	while ((e = readdir(d))) {
		char in[512], ok[512];
		size_t len = strlen(e->d_name), n, n_ok;
		struct conf_report r;
		struct conf *c;
		char *text, *want, *got;

		if (len < 4 || strcmp(e->d_name + len - 3, ".in"))
			continue;
		snprintf(in, sizeof(in), "%s/%s", DATA, e->d_name);
		snprintf(ok, sizeof(ok), "%s/%.*s.ok", DATA, (int)len - 3, e->d_name);
		text = slurp(in, &n);
		assert_non_null(text);
		c = conf_load(str_n(text, n), e->d_name, &r);
		got = shown(&r);
		if (getenv("WRITE_GOLDEN")) {
			FILE *f = fopen(ok, "wb");

			assert_non_null(f);
			fwrite(got, 1, strlen(got), f);
			fclose(f);
		}
		want = slurp(ok, &n_ok);
		if (!want)
			fail_msg("%s is missing", ok);
		assert_string_equal(got, want);
		assert_int_equal(c != NULL, r.n_errors == 0);
		for (unsigned i = 0; i < r.n_issues; i++) {
			if (!r.issues[i].line)
				continue;
			assert_in_range(r.issues[i].col, 1, r.issues[i].source.n + 1);
			assert_true(r.issues[i].len >= 1);
		}
		conf_unref(c);
		conf_report_fini(&r);
		free(text);
		free(want);
		free(got);
		seen++;
	}
	closedir(d);
	assert_true(seen >= 10);
}

static const char *ip(const struct addr *a, char t[ADDR_TEXT_MAX])
{
	return addr_text(a, t);
}

static void fields(void **state)
{
	struct conf_report r;
	struct conf *c = conf_load_file(DATA "/good.in", &r);
	char t[ADDR_TEXT_MAX];
	const struct conf_realm *lan, *wan;

	(void)state;
	assert_non_null(c);
	assert_int_equal(r.n_issues, 0);
	conf_report_fini(&r);
	assert_string_equal(c->box.p, "edge1");
	assert_string_equal(c->state_dir, "/srv/postern");
	assert_string_equal(c->control, CONF_CONTROL_DEFAULT);
	assert_int_equal(c->n_realms, 2);
	assert_int_equal(conf_realm_find(c, S("wan")), 1);
	assert_int_equal(conf_realm_find(c, S("none")), -1);
	lan = &c->realms[0];
	assert_int_equal(lan->n_listen, 3);
	assert_int_equal(lan->listen[1].proto, CONF_TCP);
	assert_string_equal(ip(&lan->listen[2].bind, t), "[2001:db8::2]:5060");
	assert_true(addr_eq(&lan->listen[2].bind, &lan->listen[2].advertise));
	assert_int_equal(lan->strangers, CONF_STRANGERS_REFUSE);
	assert_int_equal(lan->dscp, 46);
	assert_int_equal(lan->port_min, 16384);
	assert_int_equal(lan->port_max, 20479);
	assert_false(addr_none(&lan->media6.bind));
	assert_int_equal(lan->n_domains, 2);
	assert_string_equal(lan->domains[0].p, "sip.example.net");
	wan = &c->realms[1];
	assert_string_equal(ip(&wan->listen[0].bind, t), "192.168.1.2:5060");
	assert_string_equal(ip(&wan->listen[0].advertise, t), "198.51.100.7:5070");
	assert_int_equal(wan->dscp, 40);
	assert_int_equal(wan->strangers, CONF_STRANGERS_DROP);
	assert_true(addr_none(&wan->media6.bind));
	assert_int_equal(c->log.to, CONF_LOG_JOURNAL);
	assert_int_equal(c->log.level[LOG_SIP], LOG_DEBUG);
	assert_int_equal(c->log.level[LOG_NET], LOG_WARN);
	assert_int_equal(c->limits.max_calls, 500);
	assert_int_equal(c->limits.tcp_connections, 4096);
	assert_int_equal(c->limits.tcp_per_source, 64);
	assert_int_equal(c->limits.tcp_first_message_ms, 20000);
	assert_int_equal(c->limits.cdr_window_ms, 1000);
	assert_int_equal(c->media.workers, 2);
	assert_int_equal(c->media.quarantine_ms, 500);
	assert_int_equal(c->dns.n_servers, 2);
	assert_string_equal(ip(&c->dns.servers[0], t), "192.0.2.53:53");
	assert_string_equal(ip(&c->dns.servers[1], t), "[2001:db8::53]:5353");
	conf_unref(c);
}

static void fields_of_tls(void **state)
{
	struct conf_report r;
	struct conf *c = conf_load_file(DATA "/tls.in", &r);
	const struct conf_realm *wan, *lan;
	char t[ADDR_TEXT_MAX];

	(void)state;
	assert_non_null(c);
	assert_int_equal(r.n_issues, 0);
	conf_report_fini(&r);
	assert_int_equal(c->n_certs, 2);
	assert_string_equal(c->certs[0].name.p, "edge1");
	assert_string_equal(c->certs[0].chain, "/etc/postern/tls/edge1.pem");
	assert_string_equal(c->certs[1].key, "/etc/postern/tls/inside.key");
	assert_int_equal(c->tls.n_trust, 2);
	assert_string_equal(c->tls.trust[1], "/etc/postern/tls/roots");
	assert_int_equal(c->tls.n_crl, 1);
	assert_int_equal(c->tls.ocsp_stapling, 1);
	assert_int_equal(c->tls.warn_days, 14);
	wan = &c->realms[0];
	assert_int_equal(wan->listen[1].proto, CONF_TLS);
	assert_string_equal(ip(&wan->listen[1].bind, t), "198.51.100.7:5061"); /* the port that needs no writing */
	assert_string_equal(ip(&wan->listen[0].advertise, t), "198.51.100.8:5080");
	assert_string_equal(ip(&wan->listen[1].advertise, t), "198.51.100.8:5062"); /* of the name */
	assert_string_equal(ip(&wan->listen[2].advertise, t), "[2001:db8::7]:5062");
	assert_int_equal(wan->listen[0].host.n, 0);
	assert_string_equal(wan->listen[1].host.p, "edge.example.net");
	assert_string_equal(wan->listen[2].host.p, "edge.example.net");
	assert_true(str_eq(wan->cert, S("edge1")));
	assert_int_equal(wan->client_cert, CONF_CLIENT_CERT_REQUIRE);
	assert_int_equal(wan->public_, CONF_PUBLIC_YES);
	lan = &c->realms[1];
	assert_int_equal(lan->client_cert, CONF_CLIENT_CERT_NONE);
	assert_int_equal(lan->public_, CONF_PUBLIC_AUTO);
	assert_int_equal(lan->listen[0].host.n, 0);
	conf_unref(c);
}

/* Every key appears once per section in the settings, with its source, and the values load again. */
static void settings(void **state)
{
	struct conf_report r;
	struct conf *c = conf_load_file(DATA "/good.in", &r), *c2;
	unsigned nk, per_realm = 0, per_cert = 0;
	const struct conf_key *k = conf_keys(&nk);
	const char *section = "", *title = "";
	char text[8192];
	struct buf b;
	unsigned set = 0;

	(void)state;
	assert_non_null(c);
	conf_report_fini(&r);
	for (unsigned i = 0; i < nk; i++) {
		per_realm += !strcmp(k[i].section, "realm");
		per_cert += !strcmp(k[i].section, "cert"); /* there is none */
	}
	assert_int_equal(c->n_settings, nk + per_realm - per_cert);
	buf_init(&b, text, sizeof(text));
	for (unsigned i = 0; i < c->n_settings; i++) {
		const struct conf_setting *s = &c->settings[i];

		set += s->line != 0;
		if (strcmp(section, s->key->section) || strcmp(title, s->title)) {
			if (section[0])
				buf_lit(&b, "}\n");
			section = s->key->section;
			title = s->title;
			buf_fmt(&b, "%s%s%s {\n", section, title[0] ? " " : "", title);
		}
		buf_fmt(&b, "%s = %s\n", s->key->name, s->value);
	}
	buf_lit(&b, "}\n");
	assert_int_equal(buf_err(&b), 0);
	assert_int_equal(set, 19);
	c2 = conf_load(buf_text(&b), "again", &r);
	assert_int_equal(r.n_issues, 0);
	assert_non_null(c2);
	assert_int_equal(c2->n_settings, c->n_settings);
	for (unsigned i = 0; i < c->n_settings; i++)
		assert_string_equal(c2->settings[i].value, c->settings[i].value);
	conf_report_fini(&r);
	conf_unref(c2);
	conf_unref(c);
}

struct diffs {
	unsigned n;
	char text[1024];
};

static void on_diff(void *ctx, const struct conf_setting *o, const struct conf_setting *n)
{
	struct diffs *d = ctx;
	size_t at = strlen(d->text);

	d->n++;
	snprintf(d->text + at, sizeof(d->text) - at, "%s.%s:%s->%s;", (o ? o : n)->key->section,
	    (o ? o : n)->key->name, o ? o->value : "-", n ? n->value : "-");
}

static void diff(void **state)
{
	static const char a_text[] = "box a { }\nrealm lan { listen = \"udp 10.0.0.1:5060\" media = \"10.0.0.1 "
				     "2000-2999\" }\nrealm old { listen = \"udp 10.0.0.1:5070\" media = \"10.0.0.1 "
				     "3000-3999\" }\n";
	static const char b_text[] = "realm lan { listen = \"udp 10.0.0.1:5060\" media = \"10.0.0.1 2000-2999\" dscp "
				     "= af41 }\ncert c { chain = /c key = /k }\nlog { level = debug }\nrealm new { listen = \"udp 10.0.0.1:5080\" "
				     "media = \"10.0.0.1 3000-3999\" }\n";
	struct conf_report ra, rb;
	struct conf *a = load_text(a_text, &ra), *b = load_text(b_text, &rb);
	struct diffs d = {0};

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	conf_diff(a, a, on_diff, &d);
	assert_int_equal(d.n, 0);
	conf_diff(a, b, on_diff, &d);
	assert_string_equal(d.text,
	    "realm.dscp:ef->af41;realm.listen:{ \"udp 10.0.0.1:5070\" }->-;log.level:info->debug;"
	    "realm.listen:-->{ \"udp 10.0.0.1:5080\" };cert.chain:-->/c;");
	conf_unref(conf_ref(a));
	conf_unref(a);
	conf_unref(b);
	conf_report_fini(&ra);
	conf_report_fini(&rb);
}

static void not_a_file(void **state)
{
	struct conf_report r;
	char *s;

	(void)state;
	assert_null(conf_load_file("/nonexistent/postern.conf", &r));
	s = shown(&r);
	assert_string_equal(s, "/nonexistent/postern.conf: error: No such file or directory\n"
			       "      = help: print one to begin with: postern config default\n1 error\n");
	free(s);
	conf_report_fini(&r);
	assert_null(conf_load_file("/", &r));
	assert_int_equal(r.n_errors, 1);
	conf_report_fini(&r);
}

/* The sample that is installed. */
static void sample(void **state)
{
	struct conf_report r;
	struct conf *c = conf_load_file(TEST_SOURCE_DIR "/conf/postern.conf", &r);

	(void)state;
	assert_non_null(c);
	assert_int_equal(r.n_issues, 0);
	assert_int_equal(c->n_realms, 2);
	assert_string_equal(c->state_dir, "/var/lib/postern");
	conf_report_fini(&r);
	conf_unref(c);
}

static void too_large(void **state)
{
	char *p = malloc(CONF_FILE_MAX + 1);
	struct conf_report r;

	(void)state;
	assert_non_null(p);
	memset(p, '\n', CONF_FILE_MAX + 1);
	assert_null(conf_load(str_n(p, CONF_FILE_MAX + 1), "big", &r));
	assert_string_equal(r.issues[0].text, "file is larger than 1024 KiB");
	conf_report_fini(&r);
	/* a great many errors: the first hundred are kept, all are counted */
	for (size_t i = 0; i < CONF_FILE_MAX; i++)
		p[i] = i % 2 ? '\n' : '}';
	assert_null(conf_load(str_n(p, 20000), "many", &r));
	assert_int_equal(r.n_issues, CONF_ISSUES_MAX);
	assert_int_equal(r.n_errors, 10000);
	conf_report_fini(&r);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(goldens),
	    cmocka_unit_test(fields),
	    cmocka_unit_test(fields_of_tls),
	    cmocka_unit_test(settings),
	    cmocka_unit_test(diff),
	    cmocka_unit_test(not_a_file),
	    cmocka_unit_test(sample),
	    cmocka_unit_test(too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
