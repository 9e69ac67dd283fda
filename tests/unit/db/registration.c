/* Credentials and bindings: kept over a restart, cleared when over, never part of a revision. */
#include "fixture.h"

#define MD5 "939e7578ed9e3c518a452acee763bce9"

static enum reason put_credential(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_credential_put(h, 1, arg, err);
}

static enum reason put_foreign(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_credential_put(h, 9, arg, err);
}

static enum reason del_credential(struct db_handle *h, void *arg, struct db_err *err)
{
	(void)arg;
	return db_credential_del(h, 1, err);
}

static void credentials(void **s)
{
	struct db_credential c = {.user = S("trunk42"), .realm = S("example.net"), .md5 = S(MD5)};
	struct db_rows *rows;
	uint64_t revision;
	struct fix f;

	(void)s;
	fix_init(&f);
	assert_int_equal(fix_trunk(&f, "acme"), REASON_NONE);
	rows = fix_load(&f);
	revision = rows->revision;
	db_rows_free(rows);
	assert_int_equal(fix_edit(&f, put_credential, &c, NULL), REASON_NONE);
	fix_close(&f);
	fix_open(&f);
	rows = fix_load(&f);
	assert_str(rows->trunks[0].credential.user, "trunk42");
	assert_str(rows->trunks[0].credential.realm, "example.net");
	assert_str(rows->trunks[0].credential.md5, MD5);
	assert_int_equal(rows->trunks[0].credential.sha256.n, 0);
	assert_int_equal(rows->revision, revision); /* a secret leaves no trace in the history */
	db_rows_free(rows);

	c.md5 = S("nothex");
	assert_int_equal(fix_edit(&f, put_credential, &c, NULL), REASON_BAD_VALUE);
	c.md5 = S(MD5);
	c.user = STR_NONE;
	assert_int_equal(fix_edit(&f, put_credential, &c, NULL), REASON_BAD_VALUE);
	c.user = S("u");
	assert_int_equal(fix_edit(&f, put_foreign, &c, NULL), REASON_NO_SUCH);
	assert_int_equal(fix_edit(&f, del_credential, NULL, NULL), REASON_NONE);
	assert_int_equal(fix_edit(&f, del_credential, NULL, NULL), REASON_NONE);
	rows = fix_load(&f);
	assert_int_equal(rows->trunks[0].credential.user.n, 0);
	db_rows_free(rows);
	fix_fini(&f);
}

static enum reason put_binding(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_binding_put(h, arg, err);
}

static enum reason del_binding(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_binding_del(h, *(uint64_t *)arg, err);
}

struct seen {
	unsigned n;
	uint64_t id;
	uint32_t cseq, trunk_id;
	char text[512];
	int64_t expires_us;
};

static void on_binding(void *ctx, const struct db_binding *b)
{
	struct seen *s = ctx;

	s->n++;
	s->id = b->id;
	s->cseq = b->cseq;
	s->trunk_id = b->trunk_id;
	s->expires_us = b->expires_us;
	snprintf(s->text, sizeof(s->text), "%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%u|%u|%d", STR(b->aor),
	    STR(b->uri), STR(b->params), STR(b->instance), STR(b->call_id), STR(b->path), STR(b->user_agent),
	    STR(b->realm), STR(b->transport), STR(b->received), b->q, b->reg_id, b->bulk);
}

static enum reason all_bindings(struct db_handle *h, void *arg, struct db_err *err)
{
	return db_binding_all(h, on_binding, arg, err);
}

static void bindings(void **s)
{
	struct db_binding b = {.id = 0x8000000000000001ull,
	    .trunk_id = 1,
	    .reg_id = 2,
	    .cseq = 12,
	    .q = 500,
	    .bulk = true,
	    .aor = S("+49301"),
	    .uri = S("sip:h;bnc"),
	    .params = S("+sip.fax"),
	    .instance = S("<urn:uuid:1>"),
	    .call_id = S("c@h"),
	    .path = S("<sip:p;lr>"),
	    .user_agent = S("PBX 1"),
	    .realm = S("lan"),
	    .transport = S("tcp"),
	    .received = S("192.0.2.7:5060")};
	struct seen seen = {.n = 0};
	uint64_t id;
	struct fix f;

	(void)s;
	fix_init(&f);
	assert_int_equal(fix_trunk(&f, "acme"), REASON_NONE);
	b.since_us = db_wall_us();
	b.expires_us = b.since_us + 3600000000;
	assert_int_equal(fix_call(&f, DB_WRITE, put_binding, &b), REASON_NONE);
	b.cseq = 13; /* a refresh overwrites it */
	assert_int_equal(fix_call(&f, DB_WRITE, put_binding, &b), REASON_NONE);
	b.id = 7; /* one that is over */
	b.expires_us = db_wall_us() - 1;
	assert_int_equal(fix_call(&f, DB_WRITE, put_binding, &b), REASON_NONE);
	b.id = 8; /* one of a trunk that is gone */
	b.trunk_id = 99;
	b.expires_us = db_wall_us() + 3600000000;
	assert_int_equal(fix_call(&f, DB_WRITE, put_binding, &b), REASON_NONE);
	fix_close(&f);
	fix_open(&f);
	assert_int_equal(fix_call(&f, DB_WRITE, all_bindings, &seen), REASON_NONE);
	assert_int_equal(seen.n, 1);
	assert_true(seen.id == 0x8000000000000001ull);
	assert_int_equal(seen.cseq, 13);
	assert_int_equal(seen.trunk_id, 1);
	assert_true(seen.expires_us == b.since_us + 3600000000);
	assert_string_equal(seen.text,
	    "+49301|sip:h;bnc|+sip.fax|<urn:uuid:1>|c@h|<sip:p;lr>|PBX 1|lan|tcp|192.0.2.7:5060|500|2|1");
	id = seen.id;
	assert_int_equal(fix_call(&f, DB_WRITE, del_binding, &id), REASON_NONE);
	assert_int_equal(fix_call(&f, DB_WRITE, del_binding, &id), REASON_NONE);
	seen.n = 0;
	assert_int_equal(fix_call(&f, DB_WRITE, all_bindings, &seen), REASON_NONE);
	assert_int_equal(seen.n, 0);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(credentials),
	    cmocka_unit_test(bindings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
