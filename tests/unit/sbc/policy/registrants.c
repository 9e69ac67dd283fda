/* Who registers with us under which name. */
#include "fixture.h"

#define MD5 "939e7578ed9e3c518a452acee763bce9"

static void by_name_and_realm(void **s)
{
	const struct pol_trunk *t;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme", "role=pbx realm=lan target=10.0.0.1 auth=gin aor=trunk42 expires=600s contacts-full=replace");
	f.trunks[0].credential = (struct db_credential){.user = S("acme-user"), .realm = S("example.net"), .md5 = S(MD5)};
	fix_trunk(&f, "other", "role=pbx realm=wan target=10.0.0.2 auth=register");
	f.trunks[1].credential = (struct db_credential){.user = S("trunk42"), .realm = S("example.net")};
	fix_trunk(&f, "still", "role=pbx realm=lan target=10.0.0.3 aor=still");
	fix_trunk(&f, "up", "role=itsp realm=wan target=192.0.2.1 auth=gin aor=up");
	fix_compile(&f);
	t = policy_registrant(f.p, 0, S("trunk42"));
	assert_non_null(t);
	assert_true(str_eq(t->name, S("acme")));
	assert_ptr_equal(policy_registrant(f.p, 0, S("acme-user")), t);
	assert_int_equal(t->reg.auth, POL_AUTH_GIN);
	assert_int_equal(t->reg.expires_s, 600);
	assert_int_equal(t->reg.min_s, 60);
	assert_int_equal(t->reg.max_contacts, 10);
	assert_true(t->reg.replace);
	assert_true(str_eq(t->reg.realm, S("example.net")));
	assert_true(str_eq(t->reg.ha1[0], S(MD5)));
	/* the same name in another realm is another trunk; a name is compared as bytes */
	t = policy_registrant(f.p, 1, S("trunk42"));
	assert_non_null(t);
	assert_true(str_eq(t->name, S("other")));
	assert_true(str_eq(t->reg.user, S("trunk42"))); /* the credential's, as no aor is set */
	assert_null(policy_registrant(f.p, 0, S("TRUNK42")));
	assert_null(policy_registrant(f.p, 0, S("still"))); /* static */
	assert_null(policy_registrant(f.p, 1, S("up")));    /* we register there */
	assert_null(policy_registrant(f.p, 0, STR_NONE));
	assert_null(policy_registrant(f.p, 9, S("trunk42")));
	assert_true(policy_has_registrants(f.p, 0));
	assert_true(policy_has_registrants(f.p, 1));
	assert_false(policy_has_registrants(f.p, 2));
	fix_fini(&f);
}

/* Recognised by their credentials: found by user name or address of record, from any address; not by REGISTER. */
static void accounts(void **s)
{
	struct net_path from = {.realm = 0};
	const struct pol_trunk *t;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "roams", "role=pbx realm=lan target=10.0.0.1 identify=credentials aor=r1");
	f.trunks[0].credential = (struct db_credential){.user = S("roamer"), .realm = S("example.net"), .md5 = S(MD5)};
	fix_trunk(&f, "both", "role=pbx realm=lan auth=register identify=credentials challenge=all challenge-code=407");
	f.trunks[1].credential = (struct db_credential){.user = S("both"), .realm = S("example.net")};
	fix_trunk(&f, "still", "role=pbx realm=wan target=10.0.0.3 aor=still challenge=new");
	/* the same address as roams: it is this one's alone */
	fix_trunk(&f, "there", "role=pbx realm=lan target=10.0.0.1");
	fix_compile(&f);
	t = policy_account(f.p, 0, S("roamer"));
	assert_non_null(t);
	assert_true(str_eq(t->name, S("roams")));
	assert_ptr_equal(policy_account(f.p, 0, S("r1")), t);
	assert_int_equal(t->reg.challenge, POL_CHALLENGE_NEW); /* as good as set */
	assert_false(t->reg.proxy);
	assert_null(policy_registrant(f.p, 0, S("roamer"))); /* it is static */
	t = policy_account(f.p, 0, S("both"));
	assert_non_null(t);
	assert_ptr_equal(policy_registrant(f.p, 0, S("both")), t);
	assert_int_equal(t->reg.challenge, POL_CHALLENGE_ALL);
	assert_true(t->reg.proxy);
	assert_null(policy_account(f.p, 1, S("still"))); /* asked, but known by its address */
	assert_null(policy_account(f.p, 1, S("roamer")));
	assert_null(policy_account(f.p, 0, STR_NONE));
	assert_true(policy_has_accounts(f.p, 0));
	assert_false(policy_has_accounts(f.p, 1));
	assert_false(policy_has_accounts(f.p, 7));
	assert_true(policy_has_registrants(f.p, 0));
	assert_false(policy_has_registrants(f.p, 1));
	assert_int_equal(addr_parse(S("10.0.0.1:5060"), 0, &from.remote), 0);
	t = policy_identify(f.p, &from, NULL);
	assert_non_null(t);
	assert_true(str_eq(t->name, S("there")));
	/* from anywhere it may be roams: nobody is known, though */
	assert_int_equal(addr_parse(S("192.0.2.99:5060"), 0, &from.remote), 0);
	assert_null(policy_identify(f.p, &from, NULL));
	fix_fini(&f);

	/* heard in a realm that drops strangers, when there is such a trunk and nobody registers */
	from.realm = 2;
	fix_init(&f);
	fix_trunk(&f, "roams", "role=pbx realm=dmz target=10.0.0.1 identify=credentials");
	fix_compile(&f);
	assert_false(policy_admit(f.p, &from)); /* not before it has a user name */
	fix_fini(&f);
	fix_init(&f);
	fix_trunk(&f, "roams", "role=pbx realm=dmz target=10.0.0.1 identify=credentials");
	f.trunks[0].credential = (struct db_credential){.user = S("roamer"), .realm = S("example.net"), .md5 = S(MD5)};
	fix_compile(&f);
	assert_true(policy_admit(f.p, &from));
	assert_false(policy_has_registrants(f.p, 2));
	fix_fini(&f);

	/* a provider does not prove itself so */
	fix_init(&f);
	fix_trunk(&f, "up", "role=itsp realm=wan target=192.0.2.1 identify=credentials");
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_non_null(strstr(f.errs.e[0].text, "identify=credentials is for a pbx"));
	fix_fini(&f);
	fix_init(&f);
	fix_trunk(&f, "up", "role=itsp realm=wan target=192.0.2.1 challenge=new");
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_non_null(strstr(f.errs.e[0].text, "challenge is for a pbx"));
	fix_fini(&f);
}

static void what_cannot_be(void **s)
{
	struct db_err err;
	struct trunk_draft *d;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme", "role=pbx realm=lan target=10.0.0.1 auth=gin aor=trunk42");
	fix_trunk(&f, "beta", "role=pbx realm=lan target=10.0.0.2 auth=register aor=b");
	f.trunks[1].credential = (struct db_credential){.user = S("trunk42"), .realm = S("r")};
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_int_equal(f.errs.n, 1);
	assert_non_null(strstr(f.errs.e[0].text, "same name as trunk acme in realm lan"));
	f.trunks[1].credential.user = S("b2");
	f.trunks[1].credential.md5 = S("short");
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_non_null(strstr(f.errs.e[0].text, "hash of its credential has 5 characters"));
	fix_fini(&f);

	d = trunk_draft_new(NULL, S("x"));
	assert_int_equal(trunk_draft_assign(d, S("aor=a@b"), &err), REASON_BAD_VALUE);
	assert_int_equal(trunk_draft_assign(d, S("aor=a%20b"), &err), REASON_BAD_VALUE);
	assert_int_equal(trunk_draft_assign(d, S("aor=+49301234500"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_assign(d, S("auth=digest"), &err), REASON_BAD_VALUE);
	assert_int_equal(trunk_draft_assign(d, S("max-contacts=0"), &err), REASON_BAD_VALUE);
	trunk_draft_free(d);
}

static void watchers(void **s)
{
	struct trunk_draft *d;
	const struct pol_trunk *t;
	struct db_err err;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "acme", "role=pbx realm=lan target=10.0.0.1 auth=gin aor=trunk42 reg-watchers=itsp,Beta reg-event=off");
	fix_trunk(&f, "beta", "role=pbx realm=lan target=10.0.0.2 auth=register aor=b reg-answer=own max-subscriptions=unlimited");
	fix_trunk(&f, "itsp", "role=itsp realm=wan target=192.0.2.1 reg-event=on events=message-summary,dialog");
	fix_compile(&f);
	t = policy_trunk(f.p, 1);
	assert_int_equal(t->reg.event, POL_REG_EVENT_OFF);
	assert_int_equal(t->reg.answer, POL_REG_ANSWER_PBX);
	assert_int_equal(t->max_subscriptions, 20);
	assert_int_equal(policy_trunk(f.p, 2)->reg.answer, POL_REG_ANSWER_OWN);
	assert_int_equal(policy_trunk(f.p, 2)->reg.event, POL_REG_EVENT_AUTO);
	assert_int_equal(policy_trunk(f.p, 2)->max_subscriptions, 0);
	assert_int_equal(policy_trunk(f.p, 3)->reg.event, POL_REG_EVENT_ON);
	assert_true(policy_may_watch(t, t));
	assert_true(policy_event_carried(policy_trunk(f.p, 3), S("dialog")));
	assert_false(policy_event_carried(policy_trunk(f.p, 3), S("Dialog")));
	assert_false(policy_event_carried(t, S("dialog")));
	assert_true(policy_may_watch(t, policy_trunk(f.p, 2)));
	assert_true(policy_may_watch(t, policy_trunk(f.p, 3)));
	assert_false(policy_may_watch(policy_trunk(f.p, 2), t));
	assert_true(policy_may_watch(policy_trunk(f.p, 2), policy_trunk(f.p, 2)));
	fix_fini(&f);

	fix_init(&f);
	fix_trunk(&f, "acme", "role=pbx realm=lan target=10.0.0.1 auth=gin aor=trunk42 reg-watchers=itps");
	fix_trunk(&f, "itsp", "role=itsp realm=wan target=192.0.2.1");
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_true(fix_error(&f, "trunk acme", "reg-watchers names trunk 'itps', which does not exist", "postern trunk list"));
	fix_fini(&f);

	d = trunk_draft_new(NULL, S("x"));
	assert_int_equal(trunk_draft_assign(d, S("reg-event=maybe"), &err), REASON_BAD_VALUE);
	assert_int_equal(trunk_draft_assign(d, S("reg-answer=itsp"), &err), REASON_BAD_VALUE);
	assert_int_equal(trunk_draft_assign(d, S("reg-watchers=a b,c@d"), &err), REASON_BAD_VALUE);
	assert_int_equal(trunk_draft_assign(d, S("reg-watchers=itsp"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_assign(d, S("reg-watchers+=other"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_assign(d, S("reg-watchers-=itsp"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_assign(d, S("max-subscriptions=100001"), &err), REASON_BAD_VALUE);
	trunk_draft_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(by_name_and_realm),
	    cmocka_unit_test(accounts),
	    cmocka_unit_test(what_cannot_be),
	    cmocka_unit_test(watchers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
