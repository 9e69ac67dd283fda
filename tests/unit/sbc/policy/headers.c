/* Which headers cross: row B2B-03 as a golden matrix, HDR-01, -03, -07, -15, -18, -19, -20, and a trunk's own rules. */
#include "fixture.h"

#include <stdio.h>

static enum pol_hdr_action ask(const struct pol_trunk *from, const struct pol_trunk *to, const char *name)
{
	return policy_header(from, to, sip_hdr_parse(str_z(name)), str_z(name));
}

/* tokens separated by blanks */
static bool token(struct str *rest, struct str *ret)
{
	*rest = str_trim(*rest);
	*rest = str_cut(*rest, ' ', ret);
	return ret->n > 0;
}

static void b2b_03_golden_matrix(void **s)
{
	const struct pol_trunk *pbx[3], *itsp[3];
	unsigned lines = 0;
	char path[256], line[256];
	struct fix f;
	FILE *in;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "pbx-t", "role=pbx realm=lan target=10.0.0.1 trusted=yes");
	fix_trunk(&f, "pbx-u", "role=pbx realm=lan target=10.0.0.2");
	fix_trunk(&f, "itsp-t", "role=itsp realm=wan target=192.0.2.1 trusted=yes");
	fix_trunk(&f, "itsp-u", "role=itsp realm=wan target=192.0.2.2");
	fix_compile(&f);
	pbx[0] = pbx[1] = policy_trunk(f.p, 1);
	pbx[2] = policy_trunk(f.p, 2);
	itsp[0] = itsp[2] = policy_trunk(f.p, 4);
	itsp[1] = policy_trunk(f.p, 3);
	snprintf(path, sizeof(path), "%s/tests/unit/sbc/policy/headers.golden", TEST_SOURCE_DIR);
	in = fopen(path, "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		struct str rest = str_trim(str_z(line)), name, want;
		char z[64];

		if (rest.n == 0 || rest.p[0] == '#')
			continue;
		assert_true(token(&rest, &name) && name.n < sizeof(z));
		memcpy(z, name.p, name.n);
		z[name.n] = '\0';
		for (unsigned i = 0; i < 6; i++) {
			const struct pol_trunk *a = i % 2 ? itsp[i / 2] : pbx[i / 2], *b = i % 2 ? pbx[i / 2] : itsp[i / 2];

			assert_true(token(&rest, &want) && want.n == 1);
			if ((ask(a, b, z) == POL_HDR_PASS) != (want.p[0] == '+'))
				fail_msg("%s, column %u: %s", z, i + 1, want.p[0] == '+' ? "dropped" : "passed");
		}
		assert_int_equal(str_trim(rest).n, 0);
		lines++;
	}
	fclose(in);
	assert_true(lines >= 70);
	print_message("%u headers, 3 x 2 directions\n", lines);
	fix_fini(&f);
}

/* Every name the parser knows has a line in the matrix, so that a new one is thought about. */
static void every_known_header_is_in_the_matrix(void **s)
{
	char path[256], line[256], all[16384] = "\n";
	FILE *in;

	(void)s;
	snprintf(path, sizeof(path), "%s/tests/unit/sbc/policy/headers.golden", TEST_SOURCE_DIR);
	in = fopen(path, "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		char *end = strchr(line, ' ');

		if (line[0] == '#' || !end)
			continue;
		end[0] = '\n';
		end[1] = '\0';
		strncat(all, line, sizeof(all) - strlen(all) - 1);
	}
	fclose(in);
	for (unsigned id = 0; id < SIP_H_OTHER; id++) {
		struct str name = sip_hdr_name((enum sip_hdr_id)id);
		char want[64];

		snprintf(want, sizeof(want), "\n%.*s\n", STR(name));
		if (!strstr(all, want))
			fail_msg("%.*s", STR(name));
	}
}

static void compact_forms_are_the_same(void **s)
{
	static const char *const pairs[][2] = {{"v", "Via"}, {"y", "Identity"}, {"b", "Referred-By"}, {"s", "Subject"},
	    {"r", "Refer-To"}, {"x", "Session-Expires"}};
	const struct pol_trunk *a, *b;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1 trusted=yes");
	fix_trunk(&f, "b", "role=itsp realm=wan target=192.0.2.2 header.drop=Subject,Identity");
	fix_compile(&f);
	a = policy_trunk(f.p, 1);
	b = policy_trunk(f.p, 2);
	for (unsigned i = 0; i < ARRAY_LEN(pairs); i++)
		assert_int_equal(ask(a, b, pairs[i][0]), ask(a, b, pairs[i][1]));
	assert_int_equal(ask(a, b, "s"), POL_HDR_DROP);
	fix_fini(&f);
}

static void own_rules_come_first(void **s)
{
	const struct pol_trunk *pbx, *itsp;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "pbx", "role=pbx realm=lan target=10.0.0.1 header.pass=Diversion header.drop=Alert-Info");
	fix_trunk(&f, "itsp", "role=itsp realm=wan target=192.0.2.2 header.pass=diversion,X-Account header.drop=Subject");
	fix_compile(&f);
	pbx = policy_trunk(f.p, 1);
	itsp = policy_trunk(f.p, 2);
	assert_int_equal(ask(pbx, itsp, "Diversion"), POL_HDR_PASS);
	assert_int_equal(ask(itsp, pbx, "Diversion"), POL_HDR_PASS);
	assert_int_equal(ask(pbx, itsp, "X-Account"), POL_HDR_PASS);
	assert_int_equal(ask(itsp, pbx, "X-Account"), POL_HDR_DROP);
	assert_int_equal(ask(pbx, itsp, "P-Asserted-Identity"), POL_HDR_DROP); /* not named */
	assert_int_equal(ask(pbx, itsp, "Subject"), POL_HDR_DROP);
	assert_int_equal(ask(itsp, pbx, "Subject"), POL_HDR_DROP); /* neither to it nor from it */
	assert_int_equal(ask(pbx, itsp, "Alert-Info"), POL_HDR_DROP);
	assert_int_equal(ask(pbx, itsp, "Call-Info"), POL_HDR_PASS);
	fix_fini(&f);
}

/* HDR-07: a claim of identity from an untrusted source does not pass, however much the other side is trusted. */
static void hdr_07_identity_needs_both(void **s)
{
	const struct pol_trunk *from, *to;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "from", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(&f, "to", "role=itsp realm=wan target=192.0.2.2 trusted=yes header.pass=P-Asserted-Identity");
	fix_compile(&f);
	from = policy_trunk(f.p, 1);
	to = policy_trunk(f.p, 2);
	assert_int_equal(ask(from, to, "P-Asserted-Identity"), POL_HDR_DROP);
	assert_int_equal(ask(NULL, to, "P-Asserted-Identity"), POL_HDR_DROP);
	assert_int_equal(ask(to, NULL, "X-Foo"), POL_HDR_DROP);
	fix_fini(&f);
}

/* No rule moves what belongs to a leg: neither when typed nor when it stands in the database all the same. */
static void leg_headers_never_pass(void **s)
{
	static const char *const leg[] = {"Via", "call-id", "Contact", "Record-Route", "Authorization", "Content-Length", "Replaces",
	    "Target-Dialog"};
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1");
	for (unsigned i = 0; i < ARRAY_LEN(leg); i++) {
		struct db_err err;

		assert_int_equal(trunk_draft_edit(f.draft[0], S("header.pass"), '+', str_z(leg[i]), &err), REASON_BAD_VALUE);
		assert_non_null(strstr(err.text, "never passes"));
	}
	f.trunks[0].headers = &(struct db_header){S("Contact"), true};
	f.trunks[0].n_headers = 1;
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_true(fix_error(&f, "trunk a", "Contact belongs to one leg", NULL));
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(b2b_03_golden_matrix),
	    cmocka_unit_test(every_known_header_is_in_the_matrix),
	    cmocka_unit_test(compact_forms_are_the_same),
	    cmocka_unit_test(own_rules_come_first),
	    cmocka_unit_test(hdr_07_identity_needs_both),
	    cmocka_unit_test(leg_headers_never_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
