/* The compiler: every setting arrives in its field, every error is listed, snapshots differ as they should. */
#include "fixture.h"

#include <pthread.h>

static void settings_arrive(void **s)
{
	const struct pol_trunk *t, *d;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "t",
	    "role=itsp realm=dmz target=192.0.2.1 domain=sip.example.net max-calls=30 max-cps=5 t1=200ms t2=2s t4=3s "
	    "ring-timeout=60s max-duration=1h nat=yes udp-only=yes mtu=1400 trusted=yes user-agent=no "
	    "reset-max-forwards=yes contact-user=yes redirect=relay failover-codes=404,480 number-format=national country=49 "
	    "national-prefix=1 international-prefix=011 codecs=PCMA,G722 latch=on media-timeout=off source-port=5070 "
	    "source-transport=udp header.pass=X-A header.drop=X-B try-timeout=2s setup-budget=9s quarantine=30s probe=15s "
	    "probe-down=4 probe-up=2 keepalive=20s keep=yes large=refuse learn-address=yes address-grace=2m");
	fix_trunk(&f, "s",
	    "role=itsp realm=dmz target=sip.example.net,192.0.2.2,192.0.2.3:5070 transport=tls scheme=sips source-transport=tls "
	    "identify=both tls-names=Edge.Example.net,b.example tls-verify=relaxed tls-cert=edge1 tls-legacy=yes "
	    "transport-param=yes probe=off keepalive=off");
	fix_trunk(&f, "d", "role=pbx realm=lan target=10.0.0.1");
	f.trunks[0].admin = DB_DRAINING;
	fix_compile(&f);
	t = policy_trunk_named(f.p, S("T"));
	assert_non_null(t);
	assert_int_equal(t->id, 1);
	assert_int_equal(t->role, POL_ITSP);
	assert_int_equal(t->admin, POL_DRAINING);
	assert_int_equal(t->realm, 2);
	assert_true(str_eq(t->domain, S("sip.example.net")));
	assert_int_equal(t->max_calls, 30);
	assert_int_equal(t->max_cps, 5);
	assert_int_equal(t->sip.t1_ms, 200);
	assert_int_equal(t->sip.t2_ms, 2000);
	assert_int_equal(t->sip.t4_ms, 3000);
	assert_int_equal(t->sip.ring_timeout_s, 60);
	assert_int_equal(t->sip.max_duration_s, 3600);
	assert_true(t->sip.nat && t->sip.udp_only && t->sip.trusted && !t->sip.user_agent);
	assert_true(t->sip.reset_max_forwards && t->sip.contact_user);
	assert_int_equal(t->sip.mtu_limit, 1400);
	assert_int_equal(t->sip.redirect, POL_REDIRECT_RELAY);
	assert_int_equal(t->sip.failover_codes[0], 404);
	assert_int_equal(t->sip.failover_codes[1], 480);
	assert_int_equal(t->sip.failover_codes[2], 0);
	assert_int_equal(t->num.format, POL_NUM_NATIONAL);
	assert_true(str_eq(t->num.country, S("49")));
	assert_true(str_eq(t->num.national_prefix, S("1")));
	assert_true(str_eq(t->num.international_prefix, S("011")));
	assert_true(str_eq(t->media.codecs, S("PCMA G722")));
	assert_int_equal(t->media.latch, MEDIA_LATCH_ON);
	assert_int_equal(t->media.timeout_s, 0);
	assert_int_equal(t->source.port, 5070);
	assert_int_equal(t->source.transport, POL_SOURCE_UDP);
	assert_int_equal(t->source.grace_s, 120);
	assert_int_equal(t->source.identify, POL_BY_ADDRESS);
	assert_int_equal(t->transport, POL_TRANSPORT_AUTO);
	assert_int_equal(t->n_hdr_rules, 2);
	assert_int_equal(t->sip.try_ms, 2000);
	assert_int_equal(t->sip.setup_budget_s, 9);
	assert_int_equal(t->sip.quarantine_s, 30);
	assert_int_equal(t->probe.interval_s, 15);
	assert_int_equal(t->probe.down, 4);
	assert_int_equal(t->probe.up, 2);
	assert_int_equal(t->sip.keepalive_s, 20);
	assert_true(t->sip.keep && t->sip.learn_address && !t->sip.scheme_sips && !t->sip.transport_param);
	assert_int_equal(t->sip.large, POL_LARGE_REFUSE);
	assert_int_equal(t->targets[0].proto, NET_UDP);

	d = policy_trunk_named(f.p, S("s"));
	assert_int_equal(d->transport, POL_TRANSPORT_TLS);
	assert_true(d->sip.scheme_sips && d->sip.transport_param && d->tls.legacy);
	assert_int_equal(d->source.transport, POL_SOURCE_TLS);
	assert_int_equal(d->source.identify, POL_BY_BOTH);
	assert_int_equal(d->tls.n_names, 2);
	assert_true(str_eq(d->tls.names[0], S("edge.example.net")) && str_eq(d->tls.names[1], S("b.example")));
	assert_int_equal(d->tls.verify, NET_VERIFY_RELAXED);
	assert_true(str_eq(d->tls.cert, S("edge1")));
	assert_int_equal(d->probe.interval_s, 0);
	assert_int_equal(d->sip.keepalive_s, 0);
	assert_int_equal(d->targets[0].proto, NET_TLS);
	assert_int_equal(d->targets[0].port, 0); /* SRV says */
	assert_true(addr_none(&d->targets[0].addr));
	assert_int_equal(d->targets[1].port, 5061);
	assert_int_equal(addr_port(&d->targets[1].addr), 5061);
	assert_int_equal(addr_port(&d->targets[2].addr), 5070);

	d = policy_trunk(f.p, 3);
	assert_int_equal(d->transport, POL_TRANSPORT_AUTO);
	assert_int_equal(d->probe.interval_s, 0); /* a pbx */
	assert_int_equal(d->probe.down, 3);
	assert_int_equal(d->probe.up, 1);
	assert_int_equal(d->sip.try_ms, 4000);
	assert_int_equal(d->sip.setup_budget_s, 20);
	assert_int_equal(d->sip.quarantine_s, 60);
	assert_int_equal(d->sip.keepalive_s, 110);
	assert_int_equal(d->sip.large, POL_LARGE_TCP);
	assert_int_equal(d->source.grace_s, 3600);
	assert_int_equal(d->source.identify, POL_BY_ADDRESS);
	assert_int_equal(d->tls.n_names, 0);
	assert_int_equal(d->tls.verify, NET_VERIFY_STRICT);
	assert_int_equal(d->tls.cert.n, 0);
	assert_int_equal(d->targets[0].proto, NET_UDP);
	assert_int_equal(d->role, POL_PBX);
	assert_int_equal(d->admin, POL_ENABLED);
	assert_int_equal(d->max_calls, 0);
	assert_int_equal(d->sip.t1_ms, 500);
	assert_int_equal(d->sip.ring_timeout_s, 180);
	assert_int_equal(d->sip.max_duration_s, 0);
	assert_true(!d->sip.nat && !d->sip.trusted && d->sip.user_agent && !d->sip.udp_only);
	assert_int_equal(d->sip.mtu_limit, 1300);
	assert_int_equal(d->sip.redirect, POL_REDIRECT_FOLLOW);
	assert_int_equal(d->sip.failover_codes[0], 500);
	assert_int_equal(d->sip.failover_codes[3], 0);
	assert_int_equal(d->num.format, POL_NUM_E164);
	assert_true(str_eq(d->num.national_prefix, S("0")));
	assert_int_equal(d->media.codecs.n, 0);
	assert_int_equal(d->media.latch, MEDIA_LATCH_AUTO);
	assert_int_equal(d->media.timeout_s, 60);

	assert_int_equal(policy_revision(f.p), 7);
	assert_int_equal(policy_trunk_count(f.p), 3);
	assert_ptr_equal(policy_trunk_at(f.p, 0), d); /* by name */
	assert_null(policy_trunk_at(f.p, 3));
	assert_null(policy_trunk(f.p, 4));
	assert_null(policy_trunk_named(f.p, S("tt")));
	assert_int_equal(policy_realm_count(f.p), 3);
	assert_true(str_eq(policy_realm(f.p, 1)->name, S("wan")));
	assert_null(policy_realm(f.p, 3));
	fix_fini(&f);
}

static void transports_of_targets(void **s)
{
	const struct pol_trunk *t;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "auto", "role=itsp realm=wan target=a.example,b.example:5080,c.example/tls@2,192.0.2.1/tls@3,192.0.2.2@4");
	fix_trunk(&f, "udp", "role=itsp realm=wan target=a.example udp-only=yes");
	fix_trunk(&f, "sips", "role=itsp realm=wan target=192.0.2.3,a.example@2 scheme=sips");
	fix_compile(&f);
	t = policy_trunk(f.p, 1);
	assert_int_equal(t->n_targets, 5);
	assert_int_equal(t->targets[0].proto, LOCATE_ANY);
	assert_int_equal(t->targets[0].port, 0);
	assert_int_equal(t->targets[1].proto, LOCATE_ANY);
	assert_int_equal(t->targets[1].port, 5080);
	assert_int_equal(t->targets[2].proto, NET_TLS);
	assert_int_equal(t->targets[2].port, 0);
	assert_int_equal(t->targets[3].proto, NET_TLS);
	assert_int_equal(addr_port(&t->targets[3].addr), 5061);
	assert_int_equal(t->targets[4].proto, NET_UDP);
	assert_int_equal(t->targets[4].port, 5060);
	assert_int_equal(policy_trunk(f.p, 2)->targets[0].proto, NET_UDP);
	t = policy_trunk(f.p, 3);
	assert_int_equal(t->targets[0].proto, NET_TLS); /* sips over UDP is none */
	assert_int_equal(t->targets[0].port, 5061);
	assert_int_equal(t->targets[1].proto, LOCATE_ANY); /* SIPS+ records only */
	fix_fini(&f);
}

static void settings_that_contradict(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	f.in.n_certs = 0;
	fix_trunk(&f, "a", "role=itsp realm=wan target=192.0.2.1 scheme=sips transport=udp");
	fix_trunk(&f, "b", "role=itsp realm=wan target=192.0.2.2/tcp scheme=sips");
	fix_trunk(&f, "c", "role=itsp realm=wan target=192.0.2.3 transport=tls udp-only=yes");
	fix_trunk(&f, "d", "role=itsp realm=wan target=192.0.2.4 identify=tls-name tls-verify=none");
	fix_trunk(&f, "e", "role=itsp realm=wan target=192.0.2.5 identify=both source-transport=udp");
	fix_trunk(&f, "f", "role=itsp realm=wan target=192.0.2.6 tls-cert=edge1");
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_true(fix_error(&f, "trunk a", "scheme=sips needs TLS, but transport=udp", "transport=tls"));
	assert_true(fix_error(&f, "trunk b", "scheme=sips needs TLS, but target 192.0.2.2", NULL));
	assert_true(fix_error(&f, "trunk c", "udp-only=yes contradicts transport=tls", NULL));
	assert_true(fix_error(&f, "trunk d", "tls-verify=none trusts none", "strict"));
	assert_true(fix_error(&f, "trunk e", "source-transport=udp carries none", NULL));
	assert_true(fix_error(&f, "trunk f", "cert 'edge1' does not exist", "add cert"));
	fix_fini(&f);
}

static void every_error_is_listed(void **s)
{
	static const struct db_setting wrong[] = {{{"max-callz", 9}, {"1", 1}}, {{"t1", 2}, {"fast", 4}}};
	static const struct db_source net[] = {{{"10.0.0.1/8", 10}}};
	struct db_route *r;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=wam target=10.0.0.1");
	fix_trunk(&f, "b", "role=pbx realm=lan");
	fix_trunk(&f, "c", "role=pbx realm=lan target=10.0.0.3 number-format=national");
	fix_trunk(&f, "d", "role=pbx realm=lan target=10.0.0.4/tcp udp-only=yes");
	fix_trunk(&f, "e", "role=pbx realm=lan target=10.0.0.5");
	f.trunks[4].settings = wrong;
	f.trunks[4].n_settings = 2;
	f.trunks[4].sources = net;
	f.trunks[4].n_sources = 1;
	f.trunks[4].role = S("phone");
	fix_number(&f, "+4930100..+4930199", 1);
	fix_number(&f, "+4930150", 1);
	fix_number(&f, "+4931", 42);
	fix_route(&f, "r1", 9, "49*0", "+49*", VIA({1, 1, 1}));
	r = fix_route(&f, "r2", 1, "*", "abc", VIA({1, 1, 1}, {8, 1, 1}, {1, 2, 1}));
	r->hours.days = 200;
	r = fix_route(&f, "r3", 1, "*", "*", NULL);
	r->deny = false;
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_null(f.p);
	assert_true(fix_error(&f, "trunk a", "realm 'wam' does not exist", "did you mean 'wan'?"));
	assert_true(fix_error(&f, "trunk b", "it has no target", "target="));
	assert_true(fix_error(&f, "trunk c", "needs the country code", "country=49"));
	assert_true(fix_error(&f, "trunk d", "udp-only=yes contradicts", NULL));
	assert_true(fix_error(&f, "trunk e", "there is no setting 'max-callz'", "did you mean 'max-calls'?"));
	assert_true(fix_error(&f, "trunk e", "t1: 'fast' is not valid", NULL));
	assert_true(fix_error(&f, "trunk e", "address: '10.0.0.1/8' is not valid", "10.0.0.0/8"));
	assert_true(fix_error(&f, "trunk e", "role 'phone' is not valid", NULL));
	assert_true(fix_error(&f, "number +4930150", "it overlaps +4930100..+4930199", NULL));
	assert_true(fix_error(&f, "number +4931", "belongs to trunk 42, which does not exist", NULL));
	assert_true(fix_error(&f, "route r1", "is for trunk 9, which does not exist", NULL));
	assert_true(fix_error(&f, "route r2", "called pattern 'abc' is not valid", "+49*"));
	assert_true(fix_error(&f, "route r2", "leads to trunk 8, which does not exist", NULL));
	assert_true(fix_error(&f, "route r2", "names trunk a twice", NULL));
	assert_true(fix_error(&f, "route r2", "hours are not valid", NULL));
	assert_true(fix_error(&f, "route r3", "must either deny or name at least one trunk", NULL));
	fix_fini(&f);
}

/* More errors than are kept: counted, not written past the end. */
static void errors_are_bounded(void **s)
{
	struct db_trunk many[200];
	char names[200][8];
	struct fix f;

	(void)s;
	fix_init(&f);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(names[i], sizeof(names[i]), "t%u", i);
		many[i] = (struct db_trunk){.id = i + 1, .name = str_z(names[i]), .role = S("pbx"), .realm = S("nowhere")};
	}
	f.rows.trunks = many;
	f.rows.n_trunks = 200;
	assert_int_equal(fix_try(&f), -EINVAL);
	assert_int_equal(f.errs.n, 400);
	assert_true(strlen(f.errs.e[POLICY_ERRORS_MAX - 1].text) > 0);
	fix_fini(&f);
}

static void nothing_is_valid(void **s)
{
	struct pol_route_result r;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_compile(&f);
	assert_int_equal(policy_trunk_count(f.p), 0);
	assert_null(policy_trunk_named(f.p, S("x")));
	assert_null(policy_number(f.p, S("+4930")));
	assert_string_equal(fix_who(&f, 0, NET_UDP, "10.0.0.1"), "-");
	policy_route(f.p, NULL, S("+1"), S("+2"), 0, &f.rng, &r);
	assert_int_equal(r.reason, REASON_NO_ROUTE);
	f.in.n_realms = 0;
	fix_compile(&f);
	fix_fini(&f);
}

struct diff {
	char text[256];
};

static void on_diff(void *ctx, enum policy_change what, const struct pol_trunk *t)
{
	struct diff *d = ctx;
	size_t n = strlen(d->text);

	snprintf(d->text + n, sizeof(d->text) - n, "%c%.*s ", "+-~"[what], STR(t->name));
}

static const char *diff(const struct policy *a, const struct policy *b, struct diff *d)
{
	d->text[0] = '\0';
	policy_diff(a, b, on_diff, d);
	return d->text;
}

static void differences(void **s)
{
	struct policy *before;
	struct db_err err;
	struct diff d;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(&f, "b", "role=pbx realm=lan target=10.0.0.2");
	fix_trunk(&f, "c", "role=pbx realm=lan target=pbx.example.net");
	before = policy_ref(fix_compile(&f));
	assert_string_equal(diff(NULL, before, &d), "+a +b +c ");
	fix_compile(&f);
	assert_string_equal(diff(before, f.p, &d), "");
	/* one setting of b, c by name, the resolver's answer for d which replaces c */
	assert_int_equal(trunk_draft_assign(f.draft[1], S("max-calls=3"), &err), REASON_NONE);
	f.trunks[1] = *trunk_draft_row(f.draft[1]);
	f.trunks[1].id = 2;
	f.trunks[2].id = 4;
	f.trunks[2].name = S("d");
	fix_compile(&f);
	assert_string_equal(diff(before, f.p, &d), "~b +d -c ");
	policy_unref(before);
	before = policy_ref(f.p);
	fix_resolved(&f, "pbx.example.net", "10.0.0.99");
	fix_compile(&f);
	assert_string_equal(diff(before, f.p, &d), "~d ");
	policy_unref(before);
	before = policy_ref(f.p);
	f.trunks[0].admin = DB_DISABLED;
	fix_compile(&f);
	assert_string_equal(diff(before, f.p, &d), "~a ");
	policy_unref(before);
	fix_fini(&f);
}

/* A name is one target whatever the DNS says of it: its servers are found when a call needs them (locate.h). */
static void names_stay_one_target(void **s)
{
	const struct pol_trunk *t;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=itsp realm=wan target=one.example@5,192.0.2.99@6,two.example@1*7,three.example@5");
	fix_resolved(&f, "one.example", "192.0.2.1");
	fix_resolved(&f, "one.example", "192.0.2.2:5066");
	fix_resolved(&f, "two.example", "2001:db8::1");
	t = policy_trunk(fix_compile(&f), 1);
	assert_int_equal(t->n_targets, 4);
	assert_true(str_eq(t->targets[0].host, S("two.example")));
	assert_int_equal(t->targets[0].priority, 1);
	assert_int_equal(t->targets[0].weight, 7);
	assert_true(addr_none(&t->targets[0].addr));
	assert_true(str_eq(t->targets[1].host, S("one.example")));
	assert_int_equal(t->targets[1].port, 0);
	assert_int_equal(t->targets[1].proto, LOCATE_ANY);
	assert_true(str_eq(t->targets[2].host, S("three.example"))); /* equals in the order given */
	assert_true(str_eq(t->targets[3].host, S("192.0.2.99")));
	assert_int_equal(t->targets[3].priority, 6);
	fix_fini(&f);
}

static void on_name(void *ctx, struct str name, bool source)
{
	struct diff *d = ctx;
	size_t n = strlen(d->text);

	snprintf(d->text + n, sizeof(d->text) - n, "%.*s%s ", STR(name), source ? "!" : "");
}

static void names_to_resolve(void **s)
{
	struct diff d = {""};
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=itsp realm=wan target=sip.example.net,192.0.2.1,2001:db8::1 address=10.0.0.0/8,out.example.net");
	policy_names(&f.rows, on_name, &d);
	assert_string_equal(d.text, "sip.example.net out.example.net! ");
	fix_fini(&f);
}

static void *hold(void *arg)
{
	for (unsigned i = 0; i < 20000; i++)
		policy_unref(policy_ref(arg));
	policy_unref(arg);
	return NULL;
}

/* Whoever drops the last reference frees it, from whatever thread (checked by the sanitizers). */
static void references(void **s)
{
	struct policy *p;
	pthread_t t[2];
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1");
	p = fix_compile(&f);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, hold, policy_ref(p)), 0);
	policy_unref(p);
	f.p = NULL;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	policy_unref(NULL);
	fix_fini(&f);
}

static void patterns_and_hours(void **s)
{
	static const char *const good[] = {"*", "+49*", "112", "0*", "*21#", "+", "**"};
	static const char *const bad[] = {"", "49+", "abc", "+49 30*", "012345678901234567890123456789012"};
	static const struct {
		const char *in, *out;
	} hours[] = {{"always", "always"}, {"mon-fri 08:00-18:00", "mon-fri 08:00-18:00"}, {"sun,sat", "sat,sun"},
	    {"MON,WED,fri", "mon,wed,fri"}, {"22:00-06:00", "mon-sun 22:00-06:00"}, {"fri-mon", "mon,fri-sun"},
	    {"8:00-24:00", "mon-sun 08:00-24:00"}};
	static const char *const wrong[] = {"", "noon", "mon-", "mon 8-18", "mon 08:60-09:00", "25:00-26:00", "mon 08:00",
	    "08:00-18:00 mon", "mon 24:00-08:00", "mon 08:00-00:00"};
	struct db_hours h;
	const char *why;

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(good); i++)
		if (policy_pattern_check(str_z(good[i])))
			fail_msg("%s", good[i]);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		if (!policy_pattern_check(str_z(bad[i])))
			fail_msg("%s", bad[i]);
	assert_true(policy_pattern_match(S("+49*"), S("+4930")));
	assert_true(policy_pattern_match(S("+49*"), S("+49")));
	assert_false(policy_pattern_match(S("+49*"), S("+4")));
	assert_false(policy_pattern_match(S("112"), S("1123")));
	assert_true(policy_pattern_match(S("*21#"), S("*21#")));
	for (unsigned i = 0; i < ARRAY_LEN(hours); i++) {
		char text[64];
		struct buf b;

		buf_init(&b, text, sizeof(text));
		if (policy_hours_parse(str_z(hours[i].in), &h, &why))
			fail_msg("%s: %s", hours[i].in, why);
		policy_hours_put(&b, &h);
		if (!str_eq(buf_text(&b), str_z(hours[i].out)))
			fail_msg("%s became %.*s", hours[i].in, STR(buf_text(&b)));
	}
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		why = NULL;
		if (!policy_hours_parse(str_z(wrong[i]), &h, &why))
			fail_msg("'%s' was taken", wrong[i]);
		assert_non_null(why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(settings_arrive),
	    cmocka_unit_test(transports_of_targets),
	    cmocka_unit_test(settings_that_contradict),
	    cmocka_unit_test(every_error_is_listed),
	    cmocka_unit_test(errors_are_bounded),
	    cmocka_unit_test(nothing_is_valid),
	    cmocka_unit_test(differences),
	    cmocka_unit_test(names_stay_one_target),
	    cmocka_unit_test(names_to_resolve),
	    cmocka_unit_test(references),
	    cmocka_unit_test(patterns_and_hours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
