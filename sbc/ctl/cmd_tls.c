/* cmd_tls.c - certificates of ours, roots we trust, and changing them while calls are up.
 *
 * What is shown is what new handshakes get. A pair of files that was refused is told about wherever somebody looks,
 * because the old pair that stays in force will expire one day.
 */
#include <stdlib.h>

#include "sbc/ctl/view.h"
#include "sbc/net/netio.h"
#include "sbc/net/tls.h"

#define DAY_US ((int64_t)86400 * 1000000)

const struct ctl_tls *view_tls(const struct ctl_backend *be)
{
	return be->ops->tls ? be->ops->tls(be->ctx) : NULL;
}

/* 0 well, 1 within the days the file names, 2 within a week, or over */
int view_expiry_level(int64_t not_after_us, int64_t now_us, unsigned warn_days)
{
	if (not_after_us < now_us + 7 * DAY_US)
		return 2;
	return not_after_us < now_us + (int64_t)warn_days * DAY_US;
}

void view_expiry(struct text *t, int64_t not_after_us, int64_t now_us)
{
	if (not_after_us >= now_us) {
		text_lit(t, "in ");
		print_ago(t, not_after_us - now_us);
	} else {
		print_ago(t, now_us - not_after_us);
		text_lit(t, " ago");
	}
}

/* "realm wan", "trunk acme", ... who shows that certificate */
static json_t *users(const struct ctl_backend *be, struct str cert)
{
	const struct conf *c = be->ops->conf(be->ctx);
	const struct policy *p = b2b_policy(be->b2b);
	json_t *a = json_array();
	char text[80];
	struct buf b;

	for (unsigned i = 0; i < c->n_realms; i++) {
		if (!str_eq(c->realms[i].cert, cert))
			continue;
		buf_init(&b, text, sizeof(text));
		buf_fmt(&b, "realm %.*s", STR(c->realms[i].name));
		json_array_append_new(a, print_json(buf_text(&b)));
	}
	for (unsigned i = 0; i < policy_trunk_count(p); i++) {
		const struct pol_trunk *t = policy_trunk_at(p, i);

		if (!str_eq(t->tls.cert, cert) || json_array_size(a) >= 20)
			continue;
		buf_init(&b, text, sizeof(text));
		buf_fmt(&b, "trunk %.*s", STR(t->name));
		json_array_append_new(a, print_json(buf_text(&b)));
	}
	return a;
}

static json_t *cert_json(struct ctl_req *r, const struct ctl_tls *tls, const struct tls_cert_view *v, bool root)
{
	int level = view_expiry_level(v->not_after_us, r->view.now_us, tls->warn_days);
	json_t *j = json_object(), *domains = json_array();
	struct text t = {0};

	for (unsigned i = 0; i < v->n_domains; i++)
		json_array_append_new(domains, print_json(v->domains[i]));
	view_expiry(&t, v->not_after_us, r->view.now_us);
	json_object_set_new(j, "name", print_json(v->name));
	json_object_set_new(j, "subject", print_json(v->subject));
	json_object_set_new(j, "issuer", print_json(v->issuer));
	json_object_set_new(j, "serial", print_json(v->serial));
	json_object_set_new(j, "key", print_json(v->key_type));
	json_object_set_new(j, "domains", domains);
	json_object_set_new(j, "not_before_us", json_integer(v->not_before_us));
	json_object_set_new(j, "not_after_us", json_integer(v->not_after_us));
	json_object_set_new(j, "expires", print_json(text_get(&t)));
	json_object_set_new(j, "file", print_jsonz(v->chain ? v->chain : ""));
	json_object_set_new(j, "level", json_integer(level));
	if (!root)
		json_object_set_new(j, "used_by", users(r->be, v->name));
	text_fini(&t);
	return j;
}

#define PEERS_MAX 16 /* named in one go */

/* Certificates that peers showed on connections that are up: each name once. */
static void find_peers(struct ctl_req *r, unsigned warn_days)
{
	struct str said[PEERS_MAX];
	struct netio_conn_info ci;
	unsigned n = 0;
	uint32_t at = 0;

	while (r->be->net && n < PEERS_MAX && netio_conn_next(r->be->net, &at, &ci)) {
		struct str name = ci.identity && ci.identity->n_names ? ci.identity->names[0] : STR_NONE;
		struct text t = {0};
		bool known = false;
		char todo[80];
		struct buf b;

		if (!ci.tls_peer_expires_us || str_empty(name) ||
		    !view_expiry_level(ci.tls_peer_expires_us, r->view.now_us, warn_days))
			continue;
		for (unsigned i = 0; i < n; i++)
			known |= str_eq(said[i], name);
		if (known)
			continue;
		said[n++] = name;
		view_expiry(&t, ci.tls_peer_expires_us, r->view.now_us);
		buf_init(&b, todo, sizeof(todo));
		buf_fmt(&b, "tell its owner; postern flow show %08x", ci.path.conn);
		ctl_finding(r, 1, "tls", buf_z(&b), "certificate of peer %.*s expires %s", STR(str_head(name, 120)), text_z(&t));
		text_fini(&t);
	}
}

void view_tls_findings(struct ctl_req *r)
{
	const struct ctl_tls *tls = view_tls(r->be);
	struct tls_cert_view v;
	int64_t now = r->view.now_us;
	struct text t = {0};
	char todo[120];
	struct buf b;

	if (!tls)
		return;
	if (tls->refused != REASON_NONE) {
		print_ago(&t, now - tls->refused_us);
		ctl_finding(r, 2, "tls", tls->refused_hint, "certificates were refused %s ago, the old ones stay: %s",
		    text_z(&t), tls->refused_text);
	}
	for (unsigned i = 0; tls->store && i < tls_store_cert_count(tls->store); i++) {
		int level;

		tls_store_cert(tls->store, i, &v);
		level = view_expiry_level(v.not_after_us, now, tls->warn_days);
		if (!level)
			continue;
		t.n = 0;
		view_expiry(&t, v.not_after_us, now);
		buf_init(&b, todo, sizeof(todo));
		buf_fmt(&b, "renew it, replace the files, then: postern tls reload");
		ctl_finding(r, level, "tls", buf_z(&b), "certificate %.*s expire%s %s", STR(v.name),
		    v.not_after_us < now ? "d" : "s", text_z(&t));
	}
	for (unsigned i = 0; tls->store && tls_store_root(tls->store, now, i, &v); i++) {
		t.n = 0;
		view_expiry(&t, v.not_after_us, now);
		/* a root that is over does no harm by itself: what leads to it is refused with its own reason */
		ctl_finding(r, 1, "tls", "add its successor to tls.trust in postern.conf", "root %.*s expire%s %s",
		    STR(str_head(v.subject, 120)), v.not_after_us < now ? "d" : "s", text_z(&t));
	}
	text_fini(&t);
	find_peers(r, tls->warn_days);
}

void cmd_tls_list(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"name", "CERT", PK_TEXT, 0},
	    {"expires", "EXPIRES", PK_TEXT, 0},
	    {"key", "KEY", PK_TEXT, 2},
	    {"domains", "SIP DOMAINS", PK_TEXT, 0},
	    {"file", "FILE", PK_TEXT, 3},
	    {"used_by", "USED BY", PK_TEXT, 1},
	};
	static const struct print_col root_cols[] = {
	    {"subject", "ROOT", PK_TEXT, 0},
	    {"expires", "EXPIRES", PK_TEXT, 0},
	    {"key", "KEY", PK_TEXT, 2},
	};
	const struct ctl_tls *tls = view_tls(r->be);
	json_t *certs = json_array(), *roots = json_array();
	struct tls_cert_view v;

	for (unsigned i = 0; tls && tls->store && i < tls_store_cert_count(tls->store); i++) {
		tls_store_cert(tls->store, i, &v);
		json_array_append_new(certs, cert_json(r, tls, &v, false));
	}
	for (unsigned i = 0; tls && tls->store && tls_store_root(tls->store, ctl_flag(r, "--roots") ? 0 : r->view.now_us, i, &v);
	     i++)
		json_array_append_new(roots, cert_json(r, tls, &v, true));
	ctl_table(r, "certs", certs, cols, ARRAY_LEN(cols),
	    "no certificate of ours: a section  cert \"NAME\" { chain = ...  key = ... }  in postern.conf");
	ctl_set(r, "roots_trusted", json_integer(tls && tls->store ? tls_store_root_count(tls->store) : 0));
	if (json_array_size(roots))
		ctl_say(r, "\n");
	ctl_table(r, "roots", roots, root_cols, ARRAY_LEN(root_cols), NULL);
	ctl_say(r, "%u root%s trusted%s\n", tls && tls->store ? tls_store_root_count(tls->store) : 0,
	    tls && tls->store && tls_store_root_count(tls->store) == 1 ? "" : "s",
	    ctl_flag(r, "--roots") ? "" : " (--roots shows all of them)");
	view_tls_findings(r);
	ctl_end(r);
}

void cmd_tls_show(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"name", "cert", PK_TEXT, 0},
	    {"subject", "subject", PK_TEXT, 0},
	    {"domains", "SIP domains", PK_TEXT, 0},
	    {"issuer", "issuer", PK_TEXT, 0},
	    {"serial", "serial", PK_TEXT, 0},
	    {"key", "key", PK_TEXT, 0},
	    {"not_before", "valid from", PK_TEXT, 0},
	    {"not_after", "valid until", PK_TEXT, 0},
	    {"expires", "expires", PK_TEXT, 0},
	    {"file", "file", PK_TEXT, 0},
	    {"used_by", "used by", PK_TEXT, 0},
	};
	const struct ctl_tls *tls = view_tls(r->be);
	unsigned n = tls && tls->store ? tls_store_cert_count(tls->store) : 0;
	struct text names = {0}, from = {0}, until = {0};
	struct tls_cert_view v;
	json_t *j;

	for (unsigned i = 0; i < n; i++) {
		tls_store_cert(tls->store, i, &v);
		text_fmt(&names, "%s%.*s", i ? " " : "certificates: ", STR(v.name));
		if (!str_eq(v.name, ctl_arg_str(r, "CERT")))
			continue;
		j = cert_json(r, tls, &v, false);
		print_time(&from, v.not_before_us);
		print_time(&until, v.not_after_us);
		json_object_set_new(j, "not_before", print_json(text_get(&from)));
		json_object_set_new(j, "not_after", print_json(text_get(&until)));
		r->code = (int)json_integer_value(json_object_get(j, "level"));
		ctl_set(r, "cert", j);
		ctl_block(r, "cert", cols, ARRAY_LEN(cols));
		if (v.n_domains == 0)
			ctl_finding(r, 1, "tls", "have it issued with subjectAltName URI:sip:DOMAIN or DNS:DOMAIN",
			    "it names no SIP domain: peers that check names refuse it");
		if (tls->refused != REASON_NONE)
			view_tls_findings(r);
		ctl_end(r);
		goto out;
	}
	ctl_refuse(r, REASON_NO_SUCH, n ? text_z(&names) : "postern.conf has no cert section", "no certificate '%s'",
	    ctl_arg(r, "CERT"));
out:
	text_fini(&names);
	text_fini(&from);
	text_fini(&until);
}

static void tls_reloaded(void *arg, enum reason why, const char *text)
{
	struct ctl_req *r = arg;

	if (r->server && why != REASON_NONE) {
		const struct ctl_tls *tls = view_tls(r->be);

		ctl_fail(r, why, tls && tls->refused == why ? tls->refused_hint : NULL, "refused, the old ones stay: %s",
		    text ? text : reason_info(why)->text);
	} else if (r->server) {
		ctl_say(r, "%s", text ? text : "");
		ctl_set(r, "text", print_jsonz(text ? text : ""));
		view_tls_findings(r);
	}
	ctl_end(r);
	ctl_release(r);
}

void cmd_tls_reload(struct ctl_req *r)
{
	if (!r->be->ops->tls_reload) {
		ctl_refuse(r, REASON_INTERNAL, "", "this daemon runs without TLS");
		return;
	}
	ctl_hold(r);
	r->be->ops->tls_reload(r->be->ctx, tls_reloaded, r);
}
