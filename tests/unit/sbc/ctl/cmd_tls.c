/* Tests of the tls commands against stores loaded from files that the test makes: what is shown of certificates and
 * roots, what expires, what was refused, and that nothing of a key is ever shown. */
#include "world.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "sbc/net/tls.h"

struct files {
	char dir[64], root[96], pem[96], key[96];
	EVP_PKEY *ca_key;
	X509 *ca;
};

static void extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

static X509 *make(const char *cn, const char *san, X509 *issuer, EVP_PKEY *issuer_key, EVP_PKEY *key, long days)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 0x4711);
	/* the store reads the clock of the machine, the commands that of the test */
	X509_gmtime_adj(X509_getm_notBefore(x), -86400);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400 * days);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : name);
	X509_set_pubkey(x, key);
	if (!issuer)
		extension(x, x, NID_basic_constraints, "critical,CA:TRUE");
	if (san)
		extension(x, issuer, NID_subject_alt_name, san);
	assert_true(X509_sign(x, issuer_key, EVP_sha256()) > 0);
	return x;
}

static void write_x(const char *path, X509 *x, EVP_PKEY *key)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fchmod(fileno(f), 0600), 0);
	assert_int_equal(x ? PEM_write_X509(f, x) : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
}

static void files_new(struct files *f)
{
	snprintf(f->dir, sizeof(f->dir), "/tmp/postern-tls-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->root, sizeof(f->root), "%s/root.pem", f->dir);
	snprintf(f->pem, sizeof(f->pem), "%s/edge.pem", f->dir);
	snprintf(f->key, sizeof(f->key), "%s/edge.key", f->dir);
	f->ca_key = EVP_EC_gen("P-256");
	f->ca = make("Postern test root", NULL, NULL, f->ca_key, f->ca_key, 3000);
	write_x(f->root, f->ca, NULL);
}

static void files_free(struct files *f)
{
	X509_free(f->ca);
	EVP_PKEY_free(f->ca_key);
	unlink(f->root);
	unlink(f->pem);
	unlink(f->key);
	rmdir(f->dir);
}

/* The world gets a store with one certificate that lives for so many days more. */
static void use_cert(struct world *w, struct files *f, const char *san, long days)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = make("edge.example", san, f->ca, f->ca_key, key, days);
	struct tls_cert_cfg cert = {.name = S("edge1"), .chain = f->pem, .key = f->key};
	const char *trust[1] = {f->root};
	struct tls_error err;

	write_x(f->pem, x, NULL);
	write_x(f->key, NULL, key);
	X509_free(x);
	EVP_PKEY_free(key);
	tls_store_unref(w->tls.store);
	w->tls.store = tls_store_load(
	    &(struct tls_cfg){.certs = &cert, .n_certs = 1, .trust = trust, .n_trust = 1, .warn_days = 30}, &err);
	if (!w->tls.store)
		fail_msg("%s", err.text);
	w->tls.warn_days = 30;
}

/* the test's clock at the time of the machine */
static void now(struct world *w)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	w->clock.wall_us = ((int64_t)ts.tv_sec + 3600) * 1000000; /* so that no day is just over, or not */
	w_advance(w, 0);
}

static void expect(struct world *w, const char *line, int code, const char *has)
{
	struct answer a;

	w_run_how(w, line, (struct how){0}, &a);
	if (a.code != code || !(strstr(text_z(&a.out), has) || strstr(text_z(&a.err), has)))
		print_error("%s: exit %d, not %d with '%s'\n%s%s", line, a.code, code, has, text_z(&a.out), text_z(&a.err));
	assert_int_equal(a.code, code);
	assert_true(strstr(text_z(&a.out), has) || strstr(text_z(&a.err), has));
	assert_null(strstr(text_z(&a.out), "PRIVATE"));
	answer_fini(&a);
}

static void shows(void **state)
{
	struct world *w = w_new();
	struct files f;

	(void)state;
	expect(w, "tls list", 0, "no certificate of ours");
	expect(w, "tls show edge1", 2, "no cert section");
	files_new(&f);
	use_cert(w, &f, "URI:sip:edge.example,DNS:other.example", 90);
	now(w);
	expect(w, "tls list", 0, "edge1");
	expect(w, "tls list", 0, "edge.example");
	expect(w, "tls list", 0, "1 root trusted");
	expect(w, "tls list --roots", 0, "Postern test root");
	expect(w, "tls show edge1", 0, "EC P-256");
	expect(w, "tls show edge1", 0, "4711");
	expect(w, "tls show edge1", 0, "in 89 d");
	expect(w, "tls show egde1", 2, "certificates: edge1");
	expect(w, "__list cert", 0, "edge1");
	use_cert(w, &f, NULL, 90);
	expect(w, "tls show edge1", 0, "edge.example"); /* by its common name, there being nothing else */
	use_cert(w, &f, "email:a@b.example", 90);
	expect(w, "tls show edge1", 1, "names no SIP domain");
	tls_store_unref(w->tls.store);
	w->tls.store = NULL;
	files_free(&f);
	w_free(w);
}

static void warns(void **state)
{
	struct world *w = w_new();
	struct files f;

	(void)state;
	files_new(&f);
	use_cert(w, &f, "URI:sip:edge.example", 20);
	now(w);
	expect(w, "tls list", 1, "WARN  tls    certificate edge1 expires in 19 d");
	expect(w, "status", 1, "certificate edge1 expires in 19 d");
	w_advance(w, (int64_t)14 * 86400 * 1000000);
	expect(w, "status", 2, "ERROR tls    certificate edge1 expires in 5 d");
	w_advance(w, (int64_t)7 * 86400 * 1000000);
	expect(w, "tls show edge1", 2, "ago");
	expect(w, "status", 2, "certificate edge1 expired");
	/* the root is due ten years later */
	w_advance(w, (int64_t)2970 * 86400 * 1000000);
	expect(w, "tls list", 2, "root CN=Postern test root expire");
	tls_store_unref(w->tls.store);
	w->tls.store = NULL;
	files_free(&f);
	w_free(w);
}

static void refused(void **state)
{
	struct world *w = w_new();
	struct files f;

	(void)state;
	files_new(&f);
	use_cert(w, &f, "URI:sip:edge.example", 90);
	now(w);
	w->tls.refused = REASON_TLS_KEY_MISMATCH;
	w->tls.refused_text = "cert edge1: the key belongs to another certificate";
	w->tls.refused_hint = "write both files";
	w->tls.refused_us = w->clock.wall_us - 5000000;
	expect(w, "status", 2, "refused 5 s ago, the old ones stay");
	expect(w, "tls list", 2, "write both files");
	expect(w, "tls show edge1", 2, "another certificate");
	w->tls_why = REASON_TLS_KEY_MISMATCH;
	w->reload_text = "cert edge1: the key belongs to another certificate";
	expect(w, "tls reload", 2, "PSN-E1045");
	w->tls.refused = w->tls_why = REASON_NONE;
	w->reload_text = "1 certificate and 1 root in force\n";
	expect(w, "tls reload", 0, "in force");
	tls_store_unref(w->tls.store);
	w->tls.store = NULL;
	files_free(&f);
	w_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(shows),
	    cmocka_unit_test(warns),
	    cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
