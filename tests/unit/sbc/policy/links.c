/* Trunks that name other trunks: what fits is found whatever its case, what does not is refused with its reason. */
#include "fixture.h"

static void found(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "pbx", "role=pbx realm=wan auth=gin aor=a alternative=other");
	fix_trunk(&f, "acme", "role=itsp realm=wan target=192.0.2.1 auth=register aor=x reg-link=PBX");
	fix_trunk(&f, "other", "role=pbx realm=lan target=10.0.0.9");
	fix_compile(&f);
	assert_ptr_equal(policy_trunk(f.p, 1)->alternative, policy_trunk(f.p, 3));
	assert_ptr_equal(policy_trunk(f.p, 2)->link, policy_trunk(f.p, 1));
	assert_null(policy_trunk(f.p, 3)->alternative);
	assert_null(policy_trunk(f.p, 3)->link);
	fix_fini(&f);
}

static void refused(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "one", "role=pbx realm=lan target=10.0.0.1 alternative=one");
	fix_trunk(&f, "two", "role=pbx realm=lan target=10.0.0.2 alternative=gone");
	fix_trunk(&f, "three", "role=itsp realm=wan target=192.0.2.1 reg-link=gone");
	fix_trunk(&f, "four", "role=itsp realm=wan target=192.0.2.2 reg-link=one");
	fix_trunk(&f, "five", "role=pbx realm=lan target=10.0.0.5 reg-link=six");
	fix_trunk(&f, "six", "role=pbx realm=lan auth=register aor=six");
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_int_equal(f.errs.n, 5);
	assert_true(fix_error(&f, "trunk one", "alternative: trunk 'one' is the trunk itself", "postern trunk list"));
	assert_true(fix_error(&f, "trunk two", "alternative: trunk 'gone' does not exist", NULL));
	assert_true(fix_error(&f, "trunk three", "reg-link: trunk 'gone' does not exist", NULL));
	assert_true(fix_error(&f, "trunk four", "reg-link: trunk 'one' is no PBX that registers with us", NULL));
	assert_true(fix_error(&f, "trunk five", "cannot be followed: this trunk is no ITSP", NULL));
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(found), cmocka_unit_test(refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
