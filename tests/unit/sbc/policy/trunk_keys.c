/* The settings of a trunk: the table itself, good and bad values, drafts. */
#include "fixture.h"

/* each line of the table is usable: its default and its example are valid, and its help says something */
static void the_table_is_sound(void **s)
{
	(void)s;
	for (unsigned i = 0; i < trunk_keys_n; i++) {
		const struct trunk_key *k = &trunk_keys[i];
		char text[256], again[256];
		struct db_err err;
		struct buf a, b;

		buf_init(&a, text, sizeof(text));
		buf_init(&b, again, sizeof(again));
		if (!trunk_key_check(k, str_z(k->example), &a, &err))
			fail_msg("example of %s: %s", k->name, err.text);
		assert_true(trunk_key_check(k, buf_text(&a), &b, &err)); /* canonical stays canonical */
		assert_true(str_eq(buf_text(&a), buf_text(&b)));
		a.n = 0;
		if (k->def && !trunk_key_check(k, str_z(k->def), &a, &err))
			fail_msg("default of %s: %s", k->name, err.text);
		assert_true(strlen(k->help) > 9);
		assert_true((k->offset != 0) == (k->type >= TKEY_BOOL));
		assert_ptr_equal(trunk_key_find(str_z(k->name), NULL), k);
		for (unsigned j = 0; j < i; j++) {
			assert_string_not_equal(trunk_keys[j].name, k->name);
			assert_true(!k->offset || trunk_keys[j].offset != k->offset);
		}
	}
}

static void values_good(void **s)
{
	static const struct {
		const char *key, *value, *canonical;
	} good[] = {
	    {"t1", "500ms", "500ms"}, {"t1", "2s", "2s"}, {"t2", "4000ms", "4s"}, {"ring-timeout", "2m", "120s"},
	    {"max-duration", "4h", "4h"}, {"max-duration", "off", "off"}, {"max-duration", "0", "off"},
	    {"max-duration", "90m", "90m"}, {"max-calls", "30", "30"}, {"max-calls", "unlimited", "unlimited"},
	    {"max-calls", "none", "unlimited"}, {"nat", "YES", "yes"}, {"nat", "off", "no"}, {"transport", "TCP", "tcp"},
	    {"number-format", "National", "national"}, {"country", "49", "49"}, {"national-prefix", "none", "none"},
	    {"codecs", "pcma pcmu, TELEPHONE-EVENT", "PCMA,PCMU,telephone-event"}, {"failover-codes", "480 503,500", "480,503,500"},
	    {"failover-codes", "none", "none"}, {"domain", "sip.example.net", "sip.example.net"}, {"domain", "192.0.2.1", "192.0.2.1"},
	    {"target", "192.0.2.1", "192.0.2.1"}, {"target", "192.0.2.1:5060/TCP", "192.0.2.1:5060/tcp"},
	    {"target", "sip.example.net@2*50", "sip.example.net@2*50"}, {"target", "[2001:db8::1]:5070", "[2001:db8::1]:5070"},
	    {"target", "2001:db8::1", "2001:db8::1"}, {"target", "[2001:db8::1]/udp@1*0", "2001:db8::1/udp@1*0"},
	    {"target", "10.0.0.1@1*1", "10.0.0.1"}, {"address", "10.0.0.0/8 host.example", "10.0.0.0/8,host.example"},
	    {"source-port", "any", "any"}, {"source-port", "5070", "5070"}, {"header.pass", "X-Foo s subject", "X-Foo,Subject"},
	    {"address", "10.0.0.1,10.0.0.1 10.0.0.2", "10.0.0.1,10.0.0.2"},
	    {"target", "sip.example.net:5061/TLS@2", "sip.example.net:5061/tls@2"}, {"transport", "TLS", "tls"},
	    {"identify", "TLS-Name", "tls-name"}, {"tls-names", "SIP.Example.net. edge.example,sip.example.net", "sip.example.net,edge.example"},
	    {"tls-names", "", ""}, {"tls-verify", "chain", "chain"}, {"tls-cert", "edge-1", "edge-1"}, {"tls-cert", "", ""},
	    {"scheme", "SIPS", "sips"}, {"probe", "Auto", "auto"}, {"probe", "off", "off"}, {"probe", "1m", "60s"},
	    {"keepalive", "auto", "auto"}, {"keepalive", "30s", "30s"}, {"try-timeout", "1500ms", "1500ms"},
	    {"address-grace", "24h", "24h"}, {"address-grace", "off", "off"}, {"large", "Fragment", "fragment"},
	    {"learn-address", "on", "yes"}, {"source-transport", "tls", "tls"},
	};

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
		const struct trunk_key *k = trunk_key_find(str_z(good[i].key), NULL);
		char text[256];
		struct db_err err;
		struct buf b;

		assert_non_null(k);
		buf_init(&b, text, sizeof(text));
		if (!trunk_key_check(k, str_z(good[i].value), &b, &err))
			fail_msg("%s=%s: %s", good[i].key, good[i].value, err.text);
		if (!str_eq(buf_text(&b), str_z(good[i].canonical)))
			fail_msg("%s=%s became '%.*s'", good[i].key, good[i].value, STR(buf_text(&b)));
	}
}

static void values_bad_say_what_was_expected(void **s)
{
	static const struct {
		const char *key, *value, *text, *hint;
	} bad[] = {
	    {"t1", "500", "a time from 100ms to 10s such as 500ms or 4s", ""},
	    {"t1", "50ms", "a time from 100ms to 10s", ""},
	    {"t1", "-1s", "a time", ""},
	    {"t1", "off", "a time from 100ms", ""},
	    {"ring-timeout", "1500ms", "a time from 5s to 60m such as 90s, 2m or 1h", ""},
	    {"ring-timeout", "99999999999s", "a time", ""},
	    {"max-duration", "1y", ", or 'off'", ""},
	    {"max-calls", "-1", "a number from 1 to 1000000, or 'unlimited'", ""},
	    {"max-calls", "1000001", "a number from 1 to 1000000", ""},
	    {"max-calls", "many", "a number", ""},
	    {"mtu", "100", "a number from 576 to 65000", ""},
	    {"nat", "maybe", "yes or no", ""},
	    {"transport", "tpc", "auto, udp, tcp, tls", "did you mean 'tcp'?"},
	    {"number-format", "e146", "e164, digits, national, pass", "did you mean 'e164'?"},
	    {"redirect", "", "follow, relay", ""},
	    {"country", "+49", "up to 3 digits without '+'", ""},
	    {"national-prefix", "0a", "or 'none'", ""},
	    {"codecs", "PCMA,G72", "codec names as in SDP", "did you mean 'G722'?"},
	    {"codecs", "PCMA,pcma", "each codec once", ""},
	    {"failover-codes", "603", "end the search", ""},
	    {"failover-codes", "486", "end the search", ""},
	    {"failover-codes", "401", "ask for credentials", ""},
	    {"failover-codes", "200", "from 400 to 599", ""},
	    {"failover-codes", "480,480", "each status once", ""},
	    {"domain", "a b", "a domain name or an IP address", ""},
	    {"domain", "192.0.2.300", "a domain name or an IP address", ""},
	    {"target", "192.0.2.300", "is not valid", "HOST[:PORT]"},
	    {"target", "192.0.2.1:0", "is not valid", ""},
	    {"target", "192.0.2.1:65536", "is not valid", ""},
	    {"target", "192.0.2.1/sctp", "is not valid", "/udp|/tcp|/tls"},
	    {"identify", "tls", "address, tls-name, both", ""},
	    {"tls-names", "sip.example.net,*.example.net", "a domain name or an IP address", ""},
	    {"tls-names", "a b c d e f g h i j k l m n o p q r s t u v w x y z aa bb cc dd ee ff gg", "at most 32 names", ""},
	    {"tls-cert", "a/b", "a name of postern.conf", ""},
	    {"tls-cert", "-edge", "a name of postern.conf", ""},
	    {"tls-cert", "abcdefghijklmnopqrstuvwxyz0123456789", "a name of postern.conf", ""},
	    {"scheme", "sisp", "sip, sips", "did you mean"},
	    {"scheme", "yes", "sip, sips", ""},
	    {"probe", "5s", "a time from 10s to 60m such as 90s, 2m or 1h, 'auto', or 'off'", ""},
	    {"try-timeout", "100ms", "a time from 500ms to 60s", ""},
	    {"try-timeout", "auto", "a time from 500ms to 60s such as 500ms or 4s", ""},
	    {"probe-down", "0", "a number from 1 to 20", ""},
	    {"large", "big", "tcp, fragment, refuse", ""},
	    {"target", "192.0.2.1@x", "is not valid", ""},
	    {"target", "192.0.2.1@1*99999", "is not valid", ""},
	    {"target", "0.0.0.0", "is not valid", ""},
	    {"target", "[2001:db8::1", "is not valid", ""},
	    {"target", "-x.example", "is not valid", ""},
	    {"target", "a..b", "is not valid", ""},
	    {"address", "10.0.0.1/8", "expected an address, a network", "did you mean '10.0.0.0/8'?"},
	    {"address", "2001:db8::1/32", "expected an address, a network", "did you mean '2001:db8::/32'?"},
	    {"address", "0.0.0.0/0", "would let everybody in", ""},
	    {"address", "::/0", "would let everybody in", ""},
	    {"address", "10.0.0.0/33", "expected an address", ""},
	    {"header.pass", "Via", "never passes", ""},
	    {"header.drop", "XFoo:", "is no header name", ""},
	    {"realm", "", "the name of a realm", ""},
	};

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		const struct trunk_key *k = trunk_key_find(str_z(bad[i].key), NULL);
		char text[256];
		struct db_err err = {.reason = REASON_NONE};
		struct buf b;

		assert_non_null(k);
		buf_init(&b, text, sizeof(text));
		if (trunk_key_check(k, str_z(bad[i].value), &b, &err))
			fail_msg("%s=%s was taken", bad[i].key, bad[i].value);
		assert_int_equal(err.reason, REASON_BAD_VALUE);
		if (!strstr(err.text, bad[i].text) || !strstr(err.hint, bad[i].hint))
			fail_msg("%s=%s: %s (%s)", bad[i].key, bad[i].value, err.text, err.hint);
	}
}

static void unknown_keys_get_a_suggestion(void **s)
{
	static const struct {
		const char *name, *near;
	} cases[] = {{"max-call", "max-calls"}, {"maxcalls", "max-calls"}, {"ring_timout", "ring-timeout"}, {"adress", "address"},
	    {"number", "number-format"}, {"qqqqqqq", NULL}, {"", NULL}};
	const char *near;

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		assert_null(trunk_key_find(str_z(cases[i].name), &near));
		if (!cases[i].near)
			assert_null(near);
		else
			assert_string_equal(near, cases[i].near);
	}
	assert_non_null(trunk_key_find(S("MAX_CALLS"), NULL));
}

static void a_name_of_old_says_what_it_is_called_now(void **s)
{
	struct trunk_draft *d = trunk_draft_new(NULL, S("acme"));
	struct db_err err;

	(void)s;
	assert_string_equal(trunk_key_renamed(S("No_Response")), "try-timeout");
	assert_null(trunk_key_renamed(S("try-timeout")));
	assert_null(trunk_key_renamed(S("no-respons")));
	assert_int_equal(trunk_draft_edit(d, S("no-response"), '=', S("3s"), &err), REASON_BAD_VALUE);
	assert_string_equal(err.text, "a trunk has no setting 'no-response'");
	assert_string_equal(err.hint, "it is called 'try-timeout' now");
	trunk_draft_free(d);
}

static const char *show(struct trunk_draft *d, const char *key, char text[256], bool *ret_default)
{
	struct buf b;

	buf_init(&b, text, 255);
	trunk_key_value(trunk_draft_row(d), trunk_key_find(str_z(key), NULL), &b, ret_default);
	text[b.n] = '\0';
	return text;
}

static void drafts_hold_only_what_differs(void **s)
{
	struct trunk_draft *d = trunk_draft_new(NULL, S("acme")), *e;
	struct db_err err;
	char text[256];
	bool def;

	(void)s;
	assert_non_null(d);
	assert_int_equal(trunk_draft_complete(d, &err), REASON_BAD_VALUE);
	assert_non_null(strstr(err.text, "needs role"));
	assert_int_equal(trunk_draft_assign(d, S("role=pbx"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_assign(d, S("realm=lan"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_complete(d, &err), REASON_BAD_VALUE);
	assert_non_null(strstr(err.text, "needs target"));
	assert_int_equal(trunk_draft_assign(d, S("target=10.0.0.1"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_complete(d, &err), REASON_NONE);
	assert_int_equal(trunk_draft_row(d)->n_settings, 0);
	assert_string_equal(show(d, "t1", text, &def), "500ms");
	assert_true(def);
	assert_int_equal(trunk_draft_assign(d, S("T1=200ms"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_assign(d, S("max-calls=30"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_row(d)->n_settings, 2);
	assert_string_equal(show(d, "t1", text, &def), "200ms");
	assert_false(def);
	assert_int_equal(trunk_draft_assign(d, S("max-calls=40"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_row(d)->n_settings, 2);
	/* the default, however written, takes the row away */
	assert_int_equal(trunk_draft_assign(d, S("t1=500ms"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_assign(d, S("max-calls="), &err), REASON_NONE);
	assert_int_equal(trunk_draft_row(d)->n_settings, 0);
	assert_int_equal(trunk_draft_assign(d, S("ring-timeout=3m"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_row(d)->n_settings, 0);
	assert_int_equal(trunk_draft_assign(d, S("nat=default"), &err), REASON_NONE);
	assert_int_equal(trunk_draft_assign(d, S("role="), &err), REASON_BAD_VALUE);
	assert_non_null(strstr(err.text, "role must be given"));
	/* a copy is its own */
	e = trunk_draft_new(trunk_draft_row(d), STR_NONE);
	assert_non_null(e);
	assert_int_equal(trunk_draft_assign(e, S("target=10.0.0.2"), &err), REASON_NONE);
	trunk_draft_free(d);
	assert_string_equal(show(e, "target", text, &def), "10.0.0.2");
	assert_string_equal(show(e, "role", text, &def), "pbx");
	trunk_draft_free(e);
}

static void lists_grow_and_shrink(void **s)
{
	static const struct {
		const char *assign, *key, *value;
		enum reason reason;
	} steps[] = {
	    {"target=10.0.0.1,10.0.0.2@2", "target", "10.0.0.1,10.0.0.2@2", REASON_NONE},
	    {"target+=sip.example.net/tcp@3", "target", "10.0.0.1,10.0.0.2@2,sip.example.net/tcp@3", REASON_NONE},
	    {"target+=10.0.0.1@9", "target", "10.0.0.2@2,sip.example.net/tcp@3,10.0.0.1@9", REASON_NONE}, /* another place */
	    {"target-=10.0.0.2", "target", "sip.example.net/tcp@3,10.0.0.1@9", REASON_NONE},
	    {"target-=10.0.0.7", "target", "sip.example.net/tcp@3,10.0.0.1@9", REASON_NO_SUCH},
	    {"target-=10.0.0.1,sip.example.net/tcp", "target", "sip.example.net/tcp@3,10.0.0.1@9", REASON_BAD_VALUE}, /* none left */
	    {"address+=192.0.2.0/24", "address", "192.0.2.0/24", REASON_NONE},
	    {"address+=2001:db8::1 HOST.example", "address", "192.0.2.0/24,2001:db8::1,HOST.example", REASON_NONE},
	    {"address-=host.EXAMPLE", "address", "192.0.2.0/24,2001:db8::1", REASON_NONE},
	    {"address=", "address", "", REASON_NONE},
	    {"header.pass+=X-A", "header.pass", "X-A", REASON_NONE},
	    {"header.drop+=X-B,Subject", "header.drop", "X-B,Subject", REASON_NONE},
	    {"header.pass-=x-a", "header.pass", "", REASON_NONE},
	    {"header.drop-=s", "header.drop", "X-B", REASON_NONE},
	    {"header.pass+=x-b", "header.drop", "", REASON_NONE}, /* in one list only */
	    {"header.drop=X-B,x-b", "header.drop", "X-B", REASON_NONE},
	    {"header.drop+=X-C", "header.pass", "", REASON_NONE},
	    {"failover-codes+=480", "failover-codes", "500,502,504,480", REASON_NONE},
	    {"failover-codes-=500,502,504,480", "failover-codes", "none", REASON_NONE},
	    {"failover-codes+=404", "failover-codes", "404", REASON_NONE},
	    {"codecs+=PCMA", "codecs", "PCMA", REASON_NONE},
	    {"max-calls+=1", "max-calls", "unlimited", REASON_BAD_VALUE},
	    {"address+=", "address", "", REASON_BAD_VALUE},
	    {"nonsense", "address", "", REASON_BAD_VALUE},
	    {"=1", "address", "", REASON_BAD_VALUE},
	};
	struct trunk_draft *d = trunk_draft_new(NULL, S("acme"));
	char text[256];

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		struct db_err err = {.text = ""};

		if (trunk_draft_assign(d, str_z(steps[i].assign), &err) != steps[i].reason)
			fail_msg("%s: %s %s", steps[i].assign, reason_info(err.reason)->name, err.text);
		assert_true(!steps[i].reason || strlen(err.text) > 10);
		if (strcmp(show(d, steps[i].key, text, NULL), steps[i].value))
			fail_msg("%s: %s", steps[i].assign, text);
	}
	trunk_draft_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_table_is_sound),
	    cmocka_unit_test(values_good),
	    cmocka_unit_test(values_bad_say_what_was_expected),
	    cmocka_unit_test(unknown_keys_get_a_suggestion),
	    cmocka_unit_test(a_name_of_old_says_what_it_is_called_now),
	    cmocka_unit_test(drafts_hold_only_what_differs),
	    cmocka_unit_test(lists_grow_and_shrink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
