/* What PBXs of all makes send in a REGISTER, and what nobody should: restarts, several contacts at once, forms without
 * brackets, and contacts meant to break who uses them (RFC 4475, RFC 5118; field: 3CX, Asterisk, FreeSWITCH). */
#include "rig.h"

static void ways_are(struct rig *r, const char *number, const char *want)
{
	char space[4096], text[4096];
	struct reg_way ways[REG_WAYS_MAX];
	struct buf s, b;
	unsigned n;

	buf_init(&s, space, sizeof(space));
	buf_init(&b, text, sizeof(text) - 1);
	n = reg_ways(r->reg, 1, &(struct reg_wish){.number = str_z(number)}, &s, ways);
	for (unsigned i = 0; i < n; i++)
		buf_fmt(&b, "%s%.*s", i ? " " : "", STR(ways[i].uri));
	assert_string_equal(buf_z(&b), want);
}

#define NUMBER "+4930123450"
#define NUMBER_AOR "sip:" NUMBER "@sbc.example.net"

/* It is taken and calls to NUMBER go there; way NULL: 400, and nowhere. */
static void contact_leads_to(struct rig *r, const char *aor, const char *require, const char *contact, const char *way)
{
	char lines[512];
	const char *a;

	snprintf(lines, sizeof(lines), "%sContact: %s\r\n", require, contact);
	a = rig_register(r, aor, lines);
	if (rig_status(a) != (way ? 200u : 400u))
		fail_msg("%s: %.*s", contact, (int)strcspn(a, "\r"), a);
	ways_are(r, NUMBER, way ? way : "");
}

/* 3CX makes a new rinstance when it starts, and so do others with line= or ob: its calls go to the newest, with that in the
 * request URI; what is left of the one before runs out, or makes room. */
static void restarts_with_another_rinstance(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	char lines[256], id[32];

	(void)s;
	rig_init(r);
	fix_set(&r->fix, 1, "contacts-full=replace");
	rig_compile(r);
	for (int i = 0; i < 6; i++) {
		r->cseq = 0; /* begins anew, with another Call-ID */
		snprintf(id, sizeof(id), "start%d@pbx", i);
		r->call_id = id;
		snprintf(lines, sizeof(lines), "Contact: <sip:trunk42@192.0.2.10:5060;rinstance=%x>;expires=600\r\n", 0xabc0 + i);
		assert_status(rig_register(r, AOR, lines), 200);
		rig_run(r, 1);
		/* refreshed with the same */
		assert_status(rig_register(r, AOR, lines), 200);
		assert_int_equal(bindings_count(reg_bindings(r->reg)), i < 3 ? i + 1 : 3); /* max-contacts=3 */
	}
	ways_are(r, NUMBER,
	    "sip:" NUMBER "@192.0.2.10:5060;rinstance=abc5 sip:" NUMBER "@192.0.2.10:5060;rinstance=abc4 "
	    "sip:" NUMBER "@192.0.2.10:5060;rinstance=abc3");
	rig_fini(r);
	free(r);
}

/* Each contact of one REGISTER has its own time and q; one of them goes, the header says the time of those that do not. */
static void several_contacts_at_once(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	a = rig_register(r, AOR,
	    "Expires: 300\r\nContact: <sip:a@192.0.2.10>;expires=100;q=0.5, \"B, or \\\"c\\\"\" <sip:b@192.0.2.11>;q=0.7\r\n"
	    "m: <sip:c@192.0.2.12>;expires=0;q=1.0\r\n");
	assert_status(a, 200);
	assert_int_equal(rig_count(a, "Contact: "), 2);
	assert_non_null(strstr(a, "Contact: <sip:b@192.0.2.11>;q=0.7;expires=300\r\n"));
	assert_non_null(strstr(a, "Contact: <sip:a@192.0.2.10>;q=0.5;expires=100\r\n"));
	/* one of them is taken away, another one comes, in one step */
	a = rig_register(r, AOR, "Contact: <sip:b@192.0.2.11>;expires=0\r\nContact: <sip:d@192.0.2.13>;q=0.25;expires=90\r\n");
	assert_status(a, 200);
	assert_int_equal(r->n_stored, 1);
	assert_int_equal(r->stored[0].n_put, 1);
	assert_int_equal(r->stored[0].n_del, 1);
	assert_int_equal(rig_count(a, "Contact: "), 2);
	/* one that is too short: none of them counts */
	a = rig_register(r, AOR, "Contact: <sip:e@192.0.2.14>;expires=600\r\nContact: <sip:f@192.0.2.15>;expires=5\r\n");
	assert_status(a, 423);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 2);
	/* the same twice: the first one counts */
	a = rig_register(r, AOR, "Contact: <sip:a@192.0.2.10>;expires=200, <sip:a@192.0.2.10>;expires=700\r\n");
	assert_status(a, 200);
	assert_non_null(strstr(a, "<sip:a@192.0.2.10>;expires=200"));
	/* a wish to be gone altogether */
	a = rig_register(r, AOR, "Contact: *\r\nExpires: 0\r\n");
	assert_status(a, 200);
	assert_null(strstr(a, "Contact:"));
	rig_fini(r);
	free(r);
}

/* q as it stands in the field; what is none counts as 1 */
static void q_values(void **s)
{
	static const struct {
		const char *q;
		uint16_t want;
	} t[] = {{"1", 1000}, {"1.0", 1000}, {"1.000", 1000}, {"0", 0}, {"0.0", 0}, {"0.5", 500}, {"0.75", 750}, {"0.001", 1},
	    {"0.", 0}, {"2", 1000}, {"0.5000", 1000}, {"-1", 1000}, {"high", 1000}, {"", 1000}, {"0.5x", 1000}};
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		const struct reg_contact *c;
		char lines[128];

		snprintf(lines, sizeof(lines), "Contact: <sip:a@192.0.2.10>;q=%s\r\n", t[i].q);
		assert_status(rig_register(r, AOR, lines), 200);
		c = bindings_next(reg_bindings(r->reg), 1, STR_NONE, NULL);
		assert_non_null(c);
		if (c->q != t[i].want)
			fail_msg("q=%s: %u", t[i].q, c->q);
	}
	rig_fini(r);
	free(r);
}

/* Forms of a contact, and the request URI of a call to it; NULL: refused with 400. */
static void forms_of_a_contact(void **s)
{
	static const struct {
		const char *contact, *way;
	} t[] = {
	    /* without brackets all parameters are the header's (RFC 3261 20.10; RFC 4475 3.1.1.11 on) */
	    {"sip:p@192.0.2.10:5066;expires=100;transport=tcp", "sip:p@192.0.2.10:5066"},
	    {"<sip:p@192.0.2.10;unknownparam>", "sip:p@192.0.2.10;unknownparam"},
	    {"sip:p@192.0.2.10?Route=%3Csip:sip.example.com%3E", NULL},
	    /* header fields of a URI are nobody's Route (RFC 4475 regescrt) */
	    {"<sip:p@192.0.2.10;a=b?Route=%3Csip:evil.example%3E>", "sip:p@192.0.2.10;a=b"},
	    {"\"<sip:other@h>\" <sip:p@192.0.2.10>", "sip:p@192.0.2.10"},
	    {"<sip:p%40q@192.0.2.10>", "sip:p%40q@192.0.2.10"},
	    {"<sip:%00@192.0.2.10>", "sip:%00@192.0.2.10"},
	    {"<sip:p@[2001:db8::10]:5061>", "sip:p@[2001:db8::10]:5061"},
	    {"<sip:p@[::ffff:192.0.2.10]>", "sip:p@[::ffff:192.0.2.10]"},
	    {"<sip:p@2001:db8::10>", NULL},
	    {"<sip:p@[2001:db8::10>", NULL},
	    {"<sip:p@192.0.2.10:99999>", NULL},
	    {"<sip:p@192.0.2.10:>", NULL},
	    {"<sip:p@>", NULL},
	    {"<sip:>", NULL},
	    {"<>", NULL},
	    {"<sip:p@192.0.2.10", NULL},
	    {"<sip:p q@192.0.2.10>", NULL},
	    {"<sip:p@192.0.2.10;a=\"b c\">", NULL},
	    {"<sip:p@192.0.2.10>x", NULL},
	    {"<http://192.0.2.10/>", NULL},
	    {"<mailto:p@h>", NULL},
	    {"*;expires=0", NULL},
	    {"<sip:p@192.0.2.10;lr;maddr=203.0.113.9>", "sip:p@192.0.2.10;lr;maddr=203.0.113.9"},
	};
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		rig_init(r);
		contact_leads_to(r, NUMBER_AOR, "", t[i].contact, t[i].way);
		rig_fini(r);
	}
	free(r);
}

/* Bulk contacts with the same in mind: what a call makes of them, or 400. */
static void forms_of_a_bulk_contact(void **s)
{
	static const struct {
		const char *contact, *way;
	} t[] = {
	    {"<sip:192.0.2.10;BNC>", "sip:" NUMBER "@192.0.2.10"},
	    {"<sip:192.0.2.10;bnc;transport=tcp;tk=1>", "sip:" NUMBER "@192.0.2.10;transport=tcp;tk=1"},
	    {"<sip:[2001:db8::10]:5071;bnc>", "sip:" NUMBER "@[2001:db8::10]:5071"},
	    {"<sips:[2001:db8::10]:5071;bnc>", NULL}, /* by a request that was not sips: */
	    {"<sip:192.0.2.10;bnc?Route=%3Csip:evil.example%3E>", "sip:" NUMBER "@192.0.2.10"},
	    {"<sip:192.0.2.10;x=%3Bbnc;bnc>", "sip:" NUMBER "@192.0.2.10;x=%3Bbnc"},
	    {"<sip:192.0.2.10;bnc;bnc>", NULL},
	    {"<sip:192.0.2.10;bnc=>", NULL},
	    {"<sip:@192.0.2.10;bnc>", NULL},
	    {"<sip::secret@192.0.2.10;bnc>", NULL},
	    {"<sip:;bnc>", NULL},
	    {"<tel:+4930123450;bnc>", NULL},
	    {"<sip:192.0.2.10;bnc;user=ip>", NULL},
	    {"<sip:192.0.2.10;bnc;x=a@b>", "sip:" NUMBER "@b"}, /* all of that is a user part: no bulk contact */
	};
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		rig_init(r);
		contact_leads_to(r, AOR, "Require: gin\r\n", t[i].contact, t[i].way);
		if (t[i].way) { /* and as it came back from the database */
			struct reg_contact c = *bindings_next(reg_bindings(r->reg), 1, STR_NONE, NULL);
			char uri[256], call_id[64];

			snprintf(uri, sizeof(uri), "%.*s", STR(c.uri));
			snprintf(call_id, sizeof(call_id), "%.*s", STR(c.call_id));
			c.uri = str_z(uri);
			c.call_id = str_z(call_id);
			c.expand = c.params = c.instance = c.path = c.user_agent = STR_NONE;
			assert_true(bindings_del(reg_bindings(r->reg), c.id));
			assert_int_equal(reg_restore(r->reg, &c), 0);
			ways_are(r, NUMBER, t[i].way);
		}
		rig_fini(r);
	}
	free(r);
}

/* More than a REGISTER may hold, each in its way: refused, and nothing is kept. */
static void too_much(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	char lines[6000];
	struct buf b;

	(void)s;
	rig_init(r);
	buf_init(&b, lines, sizeof(lines) - 1);
	for (int i = 0; i < 17; i++)
		buf_fmt(&b, "Contact: <sip:c%d@192.0.2.10>;expires=0\r\n", i);
	assert_status(rig_register(r, AOR, buf_z(&b)), 403);
	buf_init(&b, lines, sizeof(lines) - 1);
	buf_fmt(&b, "Contact: <sip:a@192.0.2.10;x=%0600d>\r\n", 1);
	assert_status(rig_register(r, AOR, buf_z(&b)), 400);
	buf_init(&b, lines, sizeof(lines) - 1);
	buf_fmt(&b, "Contact: <sip:a@192.0.2.10>;x=%0600d\r\n", 1);
	assert_status(rig_register(r, AOR, buf_z(&b)), 400);
	buf_init(&b, lines, sizeof(lines) - 1);
	buf_fmt(&b, "Contact: <sip:a@192.0.2.10>;+sip.instance=\"<urn:x:%0200d>\"\r\n", 1);
	assert_status(rig_register(r, AOR, buf_z(&b)), 400);
	buf_init(&b, lines, sizeof(lines) - 1);
	for (int i = 0; i < 80; i++)
		buf_fmt(&b, "Path: <sip:edge%02d.example.net;lr>\r\n", i);
	buf_lit(&b, BULK "\r\n");
	assert_status(rig_register(r, AOR, buf_z(&b)), 400);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);
	assert_int_equal(r->n_stored, 0);
	rig_fini(r);
	free(r);
}

/* A trunk's numbers register one by one up to a limit; those that are there are refreshed, and one that goes makes room. */
static void too_many_numbers(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	char to[64];

	(void)s;
	rig_init(r);
	reg_free(r->reg);
	r->reg = reg_new(&r->env, &(struct reg_cfg){.realm = S("sbc.example.net"), .numbers_max = 3}, &rig_user, r);
	rig_compile(r);
	for (int i = 0; i < 5; i++) {
		snprintf(to, sizeof(to), "sip:+493012345%d@sbc.example.net", i);
		assert_status(rig_register(r, to, "Contact: <sip:p@192.0.2.10>\r\n"), i < 3 ? 200 : 403);
	}
	assert_status(rig_register(r, "sip:+4930123450@sbc.example.net", "Contact: <sip:p@192.0.2.10>\r\n"), 200);
	assert_status(rig_register(r, "sip:+4930123450@sbc.example.net", "Contact: <sip:q@192.0.2.10>\r\n"), 200);
	assert_status(rig_register(r, AOR, BULK "\r\n"), 200); /* its own address is none of them */
	assert_status(rig_register(r, "sip:+4930123451@sbc.example.net", "Contact: *\r\nExpires: 0\r\n"), 200);
	assert_status(rig_register(r, "sip:+4930123454@sbc.example.net", "Contact: <sip:p@192.0.2.10>\r\n"), 200);
	assert_status(rig_register(r, "sip:+4930123455@sbc.example.net", "Contact: <sip:p@192.0.2.10>\r\n"), 403);
	rig_fini(r);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(restarts_with_another_rinstance),
	    cmocka_unit_test(several_contacts_at_once),
	    cmocka_unit_test(q_values),
	    cmocka_unit_test(forms_of_a_contact),
	    cmocka_unit_test(forms_of_a_bulk_contact),
	    cmocka_unit_test(too_much),
	    cmocka_unit_test(too_many_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
