/* cmd_reg.c - registrations: who registered with us, what happened to it, ending one; passwords of trunks.
 *
 * A password comes with the request's input, never in the command line, and is turned into hashes on the store thread;
 * it is not kept, not shown and not logged.
 */
#include "sbc/auth/password.h"
#include "sbc/ctl/view.h"
#include "sbc/net/net.h"
#include "sbc/reg/history.h"
#include "sbc/reg/reg.h"

#include <stdlib.h>

/* -------------------------------------------------------------------- reg inside */

static json_t *contact_json(struct ctl_req *r, const struct reg_contact *c)
{
	const struct policy *p = b2b_policy(r->be->b2b);
	const struct pol_trunk *t = policy_trunk(p, c->trunk_id);
	json_t *j = json_object();
	char id[20];
	struct buf b;

	buf_init(&b, id, sizeof(id));
	buf_fmt(&b, "%llx", (unsigned long long)c->id);
	json_object_set_new(j, "id", print_json(buf_text(&b)));
	json_object_set_new(j, "trunk", t ? print_json(t->name) : json_null());
	json_object_set_new(j, "aor", c->aor.n ? print_json(c->aor) : t ? print_json(t->reg.user) : json_null());
	json_object_set_new(j, "kind", json_string(c->bulk ? "gin" : c->aor.n ? "number" : "aor"));
	json_object_set_new(j, "contact", print_json(c->uri));
	json_object_set_new(j, "from", view_peer(c->flow.proto, &c->flow.remote));
	json_object_set_new(j, "expires_ms", json_integer((c->expires_us - r->be->env->clock->mono_us) / 1000));
	json_object_set_new(j, "since_us", json_integer(c->since_wall_us));
	json_object_set_new(j, "q", json_real(c->q / 1000.0));
	json_object_set_new(j, "path", print_json(c->path));
	json_object_set_new(j, "instance", print_json(c->instance));
	json_object_set_new(j, "reg_id", json_integer(c->reg_id));
	json_object_set_new(j, "user_agent", print_json(c->user_agent));
	return j;
}

void cmd_reg_inside(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"id", "ID", PK_TEXT, 0},
	    {"trunk", "TRUNK", PK_TEXT, 0},
	    {"aor", "ADDRESS", PK_TEXT, 0},
	    {"kind", "KIND", PK_TEXT, 1},
	    {"contact", "CONTACT", PK_TEXT, 2},
	    {"from", "FROM", PK_TEXT, 0},
	    {"expires_ms", "EXPIRES", PK_MS, 0},
	};
	const char *name = ctl_arg(r, "--trunk");
	const struct pol_trunk *only = name ? ctl_trunk(r, name) : NULL;
	uint32_t max = ctl_uint(r, "--lines", 200);
	unsigned n = 0;
	json_t *rows;

	if (name && !only)
		return;
	rows = json_array();
	for (const struct reg_contact *c = r->be->reg ? bindings_walk(reg_bindings(r->be->reg), NULL) : NULL; c;
	     c = bindings_walk(reg_bindings(r->be->reg), c)) {
		if (only && c->trunk_id != only->id)
			continue;
		if (n++ < max)
			json_array_append_new(rows, contact_json(r, c));
	}
	ctl_set(r, "total", json_integer(n));
	ctl_table(r, "registrations", rows, cols, ARRAY_LEN(cols),
	    "nobody is registered; a trunk registers when it has auth=register or auth=gin, and a password");
	if (n > max)
		ctl_say(r, "%u of %u are shown: --lines N, --trunk TRUNK\n", max, n);
	/* trunks that should be there and are not */
	for (unsigned i = 0; r->be->reg && i < policy_trunk_count(b2b_policy(r->be->b2b)); i++) {
		const struct pol_trunk *t = policy_trunk_at(b2b_policy(r->be->b2b), i);

		if (t->registered && t->admin == POL_ENABLED && (!only || only == t) &&
		    !bindings_next(reg_bindings(r->be->reg), t->id, STR_NONE, NULL))
			ctl_finding(r, 1, "reg", "postern reg history", "trunk %.*s is not registered", STR(t->name));
	}
	ctl_end(r);
}

/* -------------------------------------------------------------------- reg history, reg kick */

void cmd_reg_history(struct ctl_req *r)
{
	static const struct print_col cols[] = {
	    {"at_us", "TIME", PK_WHEN, 0},
	    {"trunk", "TRUNK", PK_TEXT, 0},
	    {"code", "CODE", PK_TEXT, 0},
	    {"what", "WHAT", PK_TEXT, 0},
	    {"from", "FROM", PK_TEXT, 1},
	    {"contact", "CONTACT", PK_TEXT, 2},
	};
	const char *name = ctl_arg(r, "TRUNK");
	const struct pol_trunk *only = name ? ctl_trunk(r, name) : NULL;
	uint32_t max = ctl_uint(r, "--lines", 50);
	const struct reg_event *e;
	json_t *rows;

	if (name && !only)
		return;
	rows = json_array();
	for (unsigned i = 0; r->be->reg_history && i < max &&
	                     (e = reg_history_at(r->be->reg_history, only ? only->id : 0, i)) != NULL;
	     i++) {
		const struct pol_trunk *t = policy_trunk(b2b_policy(r->be->b2b), e->trunk_id);
		char at[ADDR_TEXT_MAX];
		json_t *j = json_object();

		json_object_set_new(j, "at_us", json_integer(e->wall_us));
		json_object_set_new(j, "trunk", t ? print_json(t->name) : json_null());
		json_object_set_new(j, "code", view_code(e->why));
		json_object_set_new(j, "what", json_string(e->why == REASON_NONE ? "registered" : reason_info(e->why)->text));
		json_object_set_new(j, "from", addr_none(&e->from) ? json_null() : json_string(addr_text(&e->from, at)));
		json_object_set_new(j, "contact", print_jsonz(e->contact));
		json_object_set_new(j, "level", json_integer(e->why == REASON_NONE ? 0 : 1));
		json_array_append_new(rows, j);
	}
	ctl_table(r, "events", rows, cols, ARRAY_LEN(cols), "nothing happened since posternd started");
	ctl_end(r);
}

void cmd_reg_kick(struct ctl_req *r)
{
	const char *text = ctl_arg(r, "ID");
	uint64_t id;

	if (!r->be->reg || !call_id_parse(str_z(text), &id) || !reg_kick(r->be->reg, id)) {
		ctl_refuse(r, REASON_NO_SUCH, "postern reg inside shows them", "no registration '%s'", text);
		return;
	}
	ctl_say(r, "registration %s ended; the PBX may register again\n", text);
	ctl_end(r);
}

/* -------------------------------------------------------------------- trunk password */

struct password_work {
	bool theirs; /* an ITSP's: it says which, we only keep it */
	char generated[32];
	char realm[256];
	unsigned n_names;
};

static enum reason put_password(struct db_handle *h, struct ctl_req *r, struct db_err *err)
{
	struct password_work *w = r->work;
	struct str name = ctl_arg_str(r, "TRUNK"), user = ctl_arg_str(r, "--user"), realm = ctl_arg_str(r, "--realm"), rest;
	struct digest_hex ha1[DIGEST_ALGS];
	struct db_credential c = {0};
	struct db_rows *rows = NULL;
	const struct db_trunk *t;
	struct str password;
	const char *weak;
	enum reason why = db_load(h, &rows, err);

	if (why != REASON_NONE)
		return why;
	t = db_rows_trunk_named(rows, name);
	if (!t) {
		why = db_fail(err, REASON_NO_SUCH, "postern trunk list", "there is no trunk '%.*s'", STR(str_head(name, 64)));
		goto out;
	}
	if (!user.n)
		user = t->credential.user;
	for (unsigned i = 0; i < t->n_settings && !user.n; i++)
		if (str_eq(t->settings[i].key, S("aor")))
			user = t->settings[i].value;
	if (!user.n) {
		why = db_fail(err, REASON_BAD_VALUE, "postern trunk password TRUNK --user NAME", "it has no user name yet");
		goto out;
	}
	if (!realm.n)
		realm = t->credential.user.n ? t->credential.realm : str_z(w->realm);
	if (w->generated[0]) {
		password = str_z(w->generated);
	} else {
		rest = str_cut(r->input, '\n', &password);
		if (password.n && password.p[password.n - 1] == '\r')
			password.n--;
		weak = !w->theirs ? password_weak(password, user, &t->name, 1) : password.n ? NULL : "it is empty";
		if (weak || str_trim(rest).n) {
			why = db_fail(err, REASON_BAD_VALUE, "postern trunk password TRUNK --generate makes a good one",
			    "this password is refused: %s", weak ? weak : "more than one line was given");
			goto out;
		}
	}
	for (unsigned i = 0; i < DIGEST_ALGS && !why; i++)
		if (digest_ha1((enum digest_alg)i, user, realm, password, &ha1[i]) < 0)
			ha1[i].n = 0; /* MD5 where it is not allowed */
	c = (struct db_credential){.user = user, .realm = realm, .md5 = digest_str(&ha1[DIGEST_MD5]),
	    .sha256 = digest_str(&ha1[DIGEST_SHA256]), .sha512_256 = digest_str(&ha1[DIGEST_SHA512_256])};
	why = db_credential_put(h, t->id, &c, err);
	if (why == REASON_NONE) {
		text_fmt(&r->note, "trunk %.*s: user %.*s, realm %.*s, password set\n", STR(t->name), STR(user), STR(realm));
		if (w->generated[0])
			text_fmt(&r->note, "password %s   (shown this once)\n", w->generated);
	}
	explicit_bzero(ha1, sizeof(ha1));
out:
	db_rows_free(rows);
	return why;
}

void cmd_trunk_password(struct ctl_req *r)
{
	const struct pol_trunk *t = ctl_trunk(r, ctl_arg(r, "TRUNK"));
	const struct pol_realm *realm;
	struct password_work *w;
	struct buf b;

	if (!t)
		return;
	w = calloc(1, sizeof(*w));
	if (!w) {
		ctl_refuse(r, REASON_NO_MEMORY, NULL, "out of memory");
		return;
	}
	r->work = w;
	w->theirs = t->role == POL_ITSP;
	if (w->theirs && ctl_flag(r, "--generate")) {
		ctl_refuse(r, REASON_BAD_VALUE, "postern trunk password TRUNK --user NAME, and the password is asked for",
		    "the provider says which password it is");
		return;
	}
	realm = policy_realm(b2b_policy(r->be->b2b), t->realm);
	buf_init(&b, w->realm, sizeof(w->realm) - 1);
	if (w->theirs)
		buf_str(&b, t->domain.n ? t->domain : t->n_targets ? t->targets[0].host : S("postern"));
	else
		buf_str(&b, realm && realm->n_domains ? realm->domains[0] : S("postern"));
	if (buf_err(&b)) {
		ctl_refuse(r, REASON_BAD_VALUE, "postern trunk password TRUNK --realm REALM", "its domain is too long for a realm");
		return;
	}
	if (ctl_flag(r, "--generate")) {
		buf_init(&b, w->generated, sizeof(w->generated) - 1);
		password_make(r->be->env->rng, &b);
	}
	ctl_change(r, false, put_password, ctl_said);
}
