/* The registrar: rows RGS-01 to -12, GINS-01 to -21, KA-10, GRUU-01, -03, AUT-15. */
#include <errno.h>

#include "rig.h"

#include "sbc/reg/gin.h"

static void ways_are(struct rig *r, uint32_t trunk, const char *number, const char *want)
{
	char space[2048], text[2048];
	struct reg_way ways[REG_WAYS_MAX];
	struct buf s, b;
	unsigned n;

	buf_init(&s, space, sizeof(space));
	buf_init(&b, text, sizeof(text) - 1);
	n = reg_ways(r->reg, trunk, &(struct reg_wish){.number = str_z(number)}, &s, ways);
	for (unsigned i = 0; i < n; i++) {
		if (i)
			buf_chr(&b, ' ');
		buf_str(&b, ways[i].uri);
		if (ways[i].route.n) {
			buf_chr(&b, '|');
			buf_str(&b, ways[i].route);
		}
	}
	assert_string_equal(buf_z(&b), want);
}

static void gins_01_02_22_bulk(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	a = rig_register(r, AOR, BULK ";expires=1800\r\n");
	assert_status(a, 200);
	assert_int_equal(rig_count(a, "Contact: "), 1);
	assert_non_null(strstr(a, "Contact: <sip:192.0.2.10:5060;transport=tcp;tk=c41f;bnc>;expires=1800\r\n"));
	assert_non_null(strstr(a, "Date: "));
	assert_int_equal(r->n_stored, 1);
	assert_string_equal(r->events, "1 ok sip:192.0.2.10:5060;transport=tcp;tk=c41f;bnc\n");
	ways_are(r, 1, "+4930123450", "sip:+4930123450@192.0.2.10:5060;transport=tcp;tk=c41f");
	ways_are(r, 1, "+4930123459", "sip:+4930123459@192.0.2.10:5060;transport=tcp;tk=c41f");
	ways_are(r, 1, "", "sip:192.0.2.10:5060;transport=tcp;tk=c41f;bnc");
	ways_are(r, 2, "+4940777", "");
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 1);
	rig_fini(r);
	free(r);
}

static void gins_04_05_06_bad_contacts(void **s)
{
	static const char *const bad[] = {"<sip:+15550100@h;bnc>", "<sip:h;bnc;user=phone>", "<sip:h;bnc=1>"};
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		char lines[256];

		snprintf(lines, sizeof(lines), "Require: gin\r\nContact: %s\r\n", bad[i]);
		assert_status(rig_register(r, AOR, lines), 400);
		assert_int_equal(r->n_stored, 0);
		assert_non_null(strstr(r->events, "1 GIN_CONTACT"));
	}
	assert_status(rig_register(r, "sip:+4930123450@sbc.example.net", "Require: gin\r\nContact: <sip:h;bnc>\r\n"), 400);
	rig_fini(r);
	free(r);
}

/* expiry, refresh and removal: all numbers together */
static void gins_07_live_and_die(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, BULK ";expires=600\r\n"), 200);
	rig_run(r, 500);
	a = rig_register(r, AOR, BULK ";expires=600\r\n");
	assert_status(a, 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 1);
	rig_run(r, 599);
	ways_are(r, 1, "+4930123450", "sip:+4930123450@192.0.2.10:5060;transport=tcp;tk=c41f");
	r->n_stored = 0;
	rig_run(r, 2);
	ways_are(r, 1, "+4930123450", "");
	assert_int_equal(r->n_stored, 1);
	assert_int_equal(r->stored[0].n_del, 1);
	assert_int_equal(r->stored[0].token, 0);
	assert_non_null(strstr(r->events, "1 REG_OVER"));
	assert_int_equal(reg_metric(r->reg, REG_EXPIRED), 1);
	/* removal */
	memset(&r->session, 0, sizeof(r->session));
	assert_status(rig_register(r, AOR, BULK "\r\n"), 200);
	a = rig_register(r, AOR, BULK ";expires=0\r\n");
	assert_status(a, 200);
	assert_null(strstr(a, "Contact:"));
	assert_non_null(strstr(r->events, "1 REG_REMOVED"));
	ways_are(r, 1, "+4930123450", "");
	rig_fini(r);
	free(r);
}

static void gins_08_09_one_number(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, BULK "\r\n"), 200);
	/* removing one implicit contact changes nothing and tells what there is */
	a = rig_register(r, "sip:+4930123451@sbc.example.net",
	    "Contact: <sip:+4930123451@192.0.2.10:5060;transport=tcp;tk=c41f>;expires=0\r\n");
	assert_status(a, 200);
	assert_non_null(strstr(a, "Contact: <sip:+4930123451@192.0.2.10:5060;transport=tcp;tk=c41f>;expires=3600"));
	assert_int_equal(r->n_stored, 0);
	ways_are(r, 1, "+4930123451", "sip:+4930123451@192.0.2.10:5060;transport=tcp;tk=c41f");
	/* an explicit one beside it comes first, and survives the bulk one */
	a = rig_register(r, "sip:+4930123451@sbc.example.net;user=phone", "Contact: <sip:phone7@192.0.2.55>\r\n");
	assert_status(a, 200);
	assert_int_equal(rig_count(a, "Contact: "), 2);
	ways_are(r, 1, "+4930123451", "sip:phone7@192.0.2.55 sip:+4930123451@192.0.2.10:5060;transport=tcp;tk=c41f");
	ways_are(r, 1, "+4930123452", "sip:+4930123452@192.0.2.10:5060;transport=tcp;tk=c41f");
	assert_status(rig_register(r, AOR, BULK ";expires=0\r\n"), 200);
	ways_are(r, 1, "+4930123451", "sip:phone7@192.0.2.55");
	ways_are(r, 1, "+4930123452", "");
	rig_fini(r);
	free(r);
}

static void gins_10_path(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	a = rig_register(r, AOR, "Path: <sip:edge1.example;lr>,<sip:edge2.example;lr>\r\n" BULK "\r\n");
	assert_status(a, 200);
	assert_non_null(strstr(a, "Path: <sip:edge1.example;lr>, <sip:edge2.example;lr>\r\n"));
	ways_are(r, 1, "+4930123450",
	    "sip:+4930123450@192.0.2.10:5060;transport=tcp;tk=c41f|<sip:edge1.example;lr>, <sip:edge2.example;lr>");
	rig_fini(r);
	free(r);
}

/* RFC 5630 5.3: a binding to sips: is made by what was sips: all the way */
static void sips_contacts_come_by_sips_requests(void **s)
{
	static const struct {
		bool sips;
		const char *lines;
		unsigned status;
	} c[] = {
	    {false, "Contact: <sips:192.0.2.10>\r\n", 400},
	    {true, "Contact: <sips:192.0.2.10>\r\n", 200},
	    {true, "Contact: <sip:192.0.2.10>\r\n", 200},
	    {true, "Path: <sip:edge1.example;lr>\r\nContact: <sips:192.0.2.10>\r\n", 400},
	    {true, "Path: <sips:edge1.example;lr>,<sip:edge2.example;lr>\r\nContact: <sips:192.0.2.10>\r\n", 400},
	    {true, "Path: <sips:edge1.example;lr>,<sips:edge2.example;lr>\r\nContact: <sips:192.0.2.10>\r\n", 200},
	    {false, "Path: <sips:edge1.example;lr>\r\nContact: <sip:192.0.2.10>\r\n", 200},
	};
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	r->from.proto = NET_TLS;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		r->sips = c[i].sips;
		assert_status(rig_register(r, AOR, c[i].lines), c[i].status);
	}
	rig_fini(r);
	free(r);
}

static void gins_14_15_16_codes(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	/* bnc without Require: by the trunk's setting */
	assert_status(rig_register(r, AOR, "Contact: <sip:h;bnc>\r\n"), 200);
	trunk_draft_assign(r->fix.draft[0], S("gin-strict=yes"), NULL);
	{
		struct db_credential c = r->fix.trunks[0].credential;

		r->fix.trunks[0] = *trunk_draft_row(r->fix.draft[0]);
		r->fix.trunks[0].id = 1;
		r->fix.trunks[0].credential = c;
	}
	rig_compile(r);
	a = rig_register(r, AOR, "Contact: <sip:h2;bnc>\r\n");
	assert_status(a, 421);
	assert_non_null(strstr(a, "Require: gin\r\n"));
	/* GIN on a trunk without it */
	rig_pbx(r, "user300", "a long secret", "192.0.2.20");
	a = rig_register(r, "sip:300@sbc.example.net", BULK "\r\n");
	assert_status(a, 420);
	assert_non_null(strstr(a, "Unsupported: gin, gin\r\n"));
	a = rig_register(r, "sip:300@sbc.example.net", "Contact: <sip:h;bnc>\r\n");
	assert_status(a, 421);
	a = rig_register(r, "sip:300@sbc.example.net", "Require: path, sunshine\r\nContact: <sip:h>\r\n");
	assert_status(a, 420);
	assert_non_null(strstr(a, "Unsupported: sunshine\r\n"));
	/* good credentials, another's address; an address that is nobody's */
	assert_status(rig_register(r, AOR, "Contact: <sip:h>\r\n"), 403);
	assert_non_null(strstr(r->events, "2 REG_OTHER"));
	assert_status(rig_register(r, "sip:+4930123450@sbc.example.net", "Contact: <sip:h>\r\n"), 403);
	assert_status(rig_register(r, "sip:+4999@sbc.example.net", "Contact: <sip:h>\r\n"), 404);
	assert_status(rig_register(r, "sip:nobody@sbc.example.net", "Contact: <sip:h>\r\n"), 404);
	/* its own number, written as a phone writes it */
	assert_status(rig_register(r, "sip:+49-40-777@sbc.example.net;user=phone", "Contact: <sip:300@192.0.2.20;rinstance=7>\r\n"), 200);
	ways_are(r, 2, "+4940777", "sip:300@192.0.2.20;rinstance=7");
	rig_fini(r);
	free(r);
}

static void gins_19_bulk_beside_plain(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, "Require: gin\r\nContact: <sip:192.0.2.10;bnc>\r\n"), 200);
	a = rig_register(r, AOR, "Contact: <sip:192.0.2.10>\r\n");
	assert_status(a, 200);
	assert_int_equal(rig_count(a, "Contact: "), 2);
	a = rig_register(r, AOR, "Contact: <sip:192.0.2.10>;expires=0\r\n");
	assert_int_equal(rig_count(a, "Contact: "), 1);
	assert_non_null(strstr(a, ";bnc>"));
	rig_fini(r);
	free(r);
}

static void gins_21_two_nodes_by_q(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	a = rig_register(r, AOR, "Require: gin\r\nContact: <sip:192.0.2.11;bnc>;q=0.5, <sip:192.0.2.12;bnc>;q=1\r\n");
	assert_status(a, 200);
	assert_non_null(strstr(a, "<sip:192.0.2.11;bnc>;q=0.5;expires=3600\r\n"));
	ways_are(r, 1, "+4930123450", "sip:+4930123450@192.0.2.12 sip:+4930123450@192.0.2.11");
	rig_fini(r);
	free(r);
}

static void rgs_03_star(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, "Contact: <sip:a@192.0.2.1>, <sip:b@192.0.2.1>\r\n"), 200);
	assert_status(rig_register(r, AOR, "Contact: *\r\nExpires: 3600\r\n"), 400);
	assert_status(rig_register(r, AOR, "Contact: *\r\n"), 400);
	assert_status(rig_register(r, AOR, "Contact: *, <sip:a@192.0.2.1>\r\nExpires: 0\r\n"), 400);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 2);
	a = rig_register(r, AOR, "Contact: *\r\nExpires: 0\r\n");
	assert_status(a, 200);
	assert_null(strstr(a, "Contact:"));
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);
	rig_fini(r);
	free(r);
}

static void rgs_04_05_expiry(void **s)
{
	static const struct {
		const char *lines, *want;
	} t[] = {
	    {"Expires: 3600\r\nContact: <sip:h>;expires=120\r\n", ";expires=120\r\n"},
	    {"Expires: 300\r\nContact: <sip:h>\r\n", ";expires=300\r\n"},
	    {"Contact: <sip:h>\r\n", ";expires=3600\r\n"},
	    {"Contact: <sip:h>;expires=999999999999\r\n", ";expires=7200\r\n"},
	    {"Contact: <sip:h>;expires=soon\r\n", ";expires=3600\r\n"},
	    {"Contact: <sip:h>;expires=60\r\n", ";expires=60\r\n"},
	};
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		a = rig_register(r, AOR, t[i].lines);
		assert_status(a, 200);
		if (!strstr(a, t[i].want))
			fail_msg("%s -> %s", t[i].lines, a);
	}
	a = rig_register(r, AOR, "Contact: <sip:h>;expires=10\r\n");
	assert_status(a, 423);
	assert_non_null(strstr(a, "Min-Expires: 60\r\n"));
	rig_fini(r);
	free(r);
}

static void rgs_06_order(void **s)
{
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	r->cseq = 100;
	assert_status(rig_register(r, AOR, "Contact: <sip:h>\r\n"), 200);
	r->cseq = 50;
	assert_status(rig_register(r, AOR, "Contact: <sip:h>;expires=0\r\n"), 500);
	assert_non_null(strstr(r->events, "REG_ORDER"));
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 1);
	r->call_id = "another@pbx"; /* a device that was restarted */
	assert_status(rig_register(r, AOR, "Contact: <sip:h>;expires=120\r\n"), 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 1);
	rig_fini(r);
	free(r);
}

static void rgs_07_08_lists(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, "Contact: <sip:a@192.0.2.1>;+sip.fax;x=\"1;2\";expires=600\r\n"), 200);
	assert_status(rig_register(r, AOR, "Contact: <sip:b@192.0.2.1>;expires=1200\r\n"), 200);
	rig_run(r, 100);
	a = rig_register(r, AOR, "");
	assert_status(a, 200);
	assert_non_null(strstr(a, "<sip:a@192.0.2.1>;expires=500;+sip.fax;x=\"1;2\"\r\n"));
	assert_non_null(strstr(a, "<sip:b@192.0.2.1>;expires=1100\r\n"));
	assert_int_equal(r->n_stored, 0);
	rig_run(r, 100);
	a = rig_register(r, AOR, "");
	assert_non_null(strstr(a, "<sip:a@192.0.2.1>;expires=400;")); /* asking does not refresh */
	rig_fini(r);
	free(r);
}

static void rgs_09_record_route(void **s)
{
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	assert_null(strstr(rig_register(r, AOR, "Record-Route: <sip:p;lr>\r\nContact: <sip:h>\r\n"), "Record-Route"));
	rig_fini(r);
	free(r);
}

static void rgs_10_same_contact(void **s)
{
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, "Contact: <sip:a@h>\r\n"), 200);
	assert_status(rig_register(r, AOR, "Contact: <sip:a@h:5060>\r\n"), 200);
	assert_status(rig_register(r, AOR, "Contact: <sip:a@h;transport=tcp>\r\n"), 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 3);
	assert_status(rig_register(r, AOR, "Contact: <sip:a@h;line=1>\r\n"), 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 3);
	rig_fini(r);
	free(r);
}

static void rgs_11_limit(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	struct db_credential c;

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, "Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>\r\n"), 200);
	assert_status(rig_register(r, AOR, "Contact: <sip:d@h>\r\n"), 403);
	assert_non_null(strstr(r->events, "REG_FULL"));
	/* one out, one in is within the limit */
	assert_status(rig_register(r, AOR, "Contact: <sip:d@h>, <sip:a@h>;expires=0\r\n"), 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 3);
	c = r->fix.trunks[0].credential;
	trunk_draft_assign(r->fix.draft[0], S("contacts-full=replace"), NULL);
	r->fix.trunks[0] = *trunk_draft_row(r->fix.draft[0]);
	r->fix.trunks[0].id = 1;
	r->fix.trunks[0].credential = c;
	rig_compile(r);
	rig_run(r, 1);
	assert_status(rig_register(r, AOR, "Contact: <sip:e@h>\r\n"), 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 3);
	ways_are(r, 1, "", "sip:e@h sip:d@h sip:c@h");
	rig_fini(r);
	free(r);
}

/* RGS-02: nothing is changed, nothing is answered before it is stored; what cannot be stored changes nothing */
static void rgs_02_stored_first(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, "Contact: <sip:a@h>\r\n"), 200);
	r->hold = true;
	a = rig_register(r, AOR, "Contact: <sip:a@h>;expires=0, <sip:b@h>\r\n");
	assert_string_equal(a, "");
	ways_are(r, 1, "", "sip:a@h");
	/* another one of the same address waits for its turn, one of another does not */
	(void)rig_register(r, AOR, "Contact: <sip:b@h>;expires=0\r\n");
	assert_int_equal(r->n_stored, 0);
	assert_int_equal(r->n_waiting, 1);
	rig_pbx(r, "user300", "a long secret", "192.0.2.20");
	(void)rig_register(r, "sip:300@sbc.example.net", "Contact: <sip:300@h>\r\n");
	assert_int_equal(r->n_waiting, 2);
	r->n_sent = 0;
	rig_release(r);
	assert_int_equal(r->n_sent, 3);
	assert_non_null(strstr(r->sent[0], "<sip:b@h>"));
	ways_are(r, 1, "", "");
	ways_are(r, 2, "", "sip:300@h");
	/* the disk is full */
	r->hold = false;
	r->store_says = REASON_DB_FULL;
	assert_status(rig_register(r, "sip:300@sbc.example.net", "Contact: <sip:301@h>, <sip:300@h>;expires=0\r\n"), 500);
	assert_non_null(strstr(r->events, "2 DB_FULL"));
	ways_are(r, 2, "", "sip:300@h");
	assert_int_equal(reg_metric(r->reg, REG_FAILED), 1);
	/* no memory to ask the store: answered at once, and the next of the address goes on */
	r->store_says = REASON_NONE;
	r->hold = r->store_full = true;
	assert_status(rig_register(r, "sip:300@sbc.example.net", "Contact: <sip:301@h>\r\n"), 500);
	r->hold = r->store_full = false;
	assert_status(rig_register(r, "sip:300@sbc.example.net", "Contact: <sip:301@h>\r\n"), 200);
	rig_fini(r);
	free(r);
}

static void rgs_02_queue_is_bounded(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a = "";

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, ""), 200);
	r->hold = true;
	for (int i = 0; i < 9; i++)
		a = rig_register(r, AOR, "Contact: <sip:a@h>\r\n");
	assert_status(a, 500);
	assert_non_null(strstr(a, "Retry-After: "));
	assert_non_null(strstr(r->events, "REG_BUSY"));
	/* the clients give up, the registrar goes away: nothing hangs */
	rig_run(r, 40);
	rig_fini(r);
	free(r);
}

static void rgs_01_identity(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a;

	(void)s;
	rig_init(r);
	/* known and unknown look the same without credentials */
	a = rig_send_register(r, AOR, "Contact: <sip:h>\r\n", "");
	assert_status(a, 401);
	assert_int_equal(rig_count(a, "WWW-Authenticate: Digest realm=\"sbc.example.net\""), 3);
	a = rig_send_register(r, "sip:nobody@sbc.example.net", "Contact: <sip:h>\r\n", "");
	assert_status(a, 401);
	assert_int_equal(rig_count(a, "WWW-Authenticate: Digest realm=\"sbc.example.net\""), 3);
	/* a wrong password, a user there is not */
	rig_pbx(r, "trunk42", "wrong", "192.0.2.10");
	assert_status(rig_register(r, AOR, "Contact: <sip:h>\r\n"), 403);
	assert_non_null(strstr(r->events, "REG_REJECTED"));
	rig_pbx(r, "trunk43", "wrong", "192.0.2.10");
	assert_status(rig_register(r, AOR, "Contact: <sip:h>\r\n"), 403);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);
	/* a domain that is not ours: no challenge at all */
	{
		char text[1024];
		int n = snprintf(text, sizeof(text),
		    "REGISTER sip:elsewhere.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKx\r\n"
		    "From: <" AOR ">;tag=1\r\nTo: <" AOR ">\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n");

		txn_on_message(r->txn, &r->from, text, (size_t)n, REASON_NONE);
		assert_status(r->sent[r->n_sent - 1], 403);
	}
	rig_fini(r);
	free(r);
}

/* RGS-12: what was stored comes back with the time that is left */
static void rgs_12_restart(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	struct reg_contact c = {.id = (uint64_t)1 << 60,
	    .trunk_id = 1,
	    .bulk = true,
	    .q = 1000,
	    .cseq = 5,
	    .uri = S("sip:192.0.2.10;bnc"),
	    .call_id = S("old"),
	    .flow = {.realm = 1, .proto = NET_UDP}};
	const char *a;

	(void)s;
	rig_init(r);
	c.expires_wall_us = r->clock.wall_us + 300000000;
	assert_int_equal(addr_parse(S("198.51.100.7:41000"), 5060, &c.flow.remote), 0);
	assert_int_equal(reg_restore(r->reg, &c), 0);
	ways_are(r, 1, "+4930123450", "sip:+4930123450@192.0.2.10");
	assert_int_equal(bindings_trunk_at(reg_bindings(r->reg), &c.flow), 1);
	a = rig_register(r, AOR, "");
	assert_non_null(strstr(a, "<sip:192.0.2.10;bnc>;expires=300\r\n"));
	/* ids go on behind it */
	assert_status(rig_register(r, AOR, "Contact: <sip:new@h>\r\n"), 200);
	assert_true(bindings_last_id(reg_bindings(r->reg)) > c.id);
	rig_run(r, 301);
	ways_are(r, 1, "", "sip:new@h");
	/* one that ran out while we were away is not taken */
	c.id = 7;
	c.expires_wall_us = r->clock.wall_us - 1;
	assert_int_equal(reg_restore(r->reg, &c), 0);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 1);
	rig_fini(r);
	free(r);
}

static const char *rig_routed(char *text, size_t cap, const char *token, const char *host)
{
	snprintf(text, cap,
	    "OPTIONS sip:+4930123450@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKr\r\nRoute: <sip:%s@%s:5060;lr>, <sip:next;lr>\r\n"
	    "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: r\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
	    token, host);
	return text;
}

#define FLOW "Supported: path, outbound\r\nContact: <sip:a@192.0.2.10:%d>;reg-id=%d;+sip.instance=\"<urn:uuid:1>\"\r\n"

static void ka_10_instance_and_reg_id(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	char text[256];
	const char *a;

	(void)s;
	rig_init(r);
	snprintf(text, sizeof(text), FLOW, 5060, 1);
	a = rig_register(r, AOR, text);
	assert_status(a, 200);
	assert_non_null(strstr(a, "Require: outbound\r\n"));
	assert_non_null(strstr(a, "Flow-Timer: 120\r\n"));
	assert_non_null(strstr(a, ";+sip.instance=\"<urn:uuid:1>\";reg-id=1"));
	snprintf(text, sizeof(text), FLOW, 7777, 1); /* from a new port: the same flow */
	r->call_id = "second@pbx";
	assert_status(rig_register(r, AOR, text), 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 1);
	ways_are(r, 1, "", "sip:a@192.0.2.10:7777");
	snprintf(text, sizeof(text), FLOW, 7777, 2);
	assert_status(rig_register(r, AOR, text), 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 2);
	/* without outbound reg-id means nothing */
	a = rig_register(r, AOR, "Contact: <sip:a@192.0.2.10:9>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"\r\n");
	assert_status(a, 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 3);
	assert_null(strstr(a, "Require:"));
	/* over a proxy that does not keep flows */
	a = rig_register(r, AOR,
	    "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKp\r\nSupported: outbound\r\n"
	    "Contact: <sip:z@h>;reg-id=1;+sip.instance=\"<urn:uuid:2>\"\r\n");
	assert_status(a, 439);
	rig_fini(r);
	free(r);
}

/* Who registers by a flow is told its name, which is no more once it registered by another one (KA-11). */
static void ka_11_path_of_a_flow(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const struct reg_contact *c;
	struct sip_msg *m;
	char text[256], first[64];
	const char *a;

	(void)s;
	rig_init(r);
	snprintf(text, sizeof(text), FLOW, 5060, 1);
	a = rig_register(r, AOR, text);
	assert_status(a, 200);
	a = strstr(a, "\r\nPath: <sip:fl.");
	assert_non_null(a);
	assert_memory_equal(a + 54, "@10.0.0.9:5060;lr;ob>\r\n", 23);
	snprintf(first, sizeof(first), "%.41s", a + 13);
#define ROUTED(token, host) rig_parse(r, rig_routed(text, sizeof(text), token, host))
	m = (struct sip_msg *)ROUTED(first, "10.0.0.9");
	assert_int_equal(reg_find_flow(r->reg, 2, m, &c), REASON_NONE);
	assert_non_null(c);
	assert_int_equal(c->trunk_id, 1);
	assert_int_equal(reg_find_flow(r->reg, 1, m, &c), REASON_NONE); /* its own: it sends by it */
	assert_null(c);
	/* nobody's host of ours: none of our business */
	assert_int_equal(reg_find_flow(r->reg, 2, ROUTED(first, "192.0.2.77"), &c), REASON_NONE);
	assert_null(c);
	for (unsigned i = 3; i < strlen(first); i += 7) {
		char bad[64];

		snprintf(bad, sizeof(bad), "%s", first);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		assert_int_equal(reg_find_flow(r->reg, 2, ROUTED(bad, "10.0.0.9"), &c), REASON_FLOW_FORGED);
	}
	assert_int_equal(reg_find_flow(r->reg, 2, ROUTED("fl.", "10.0.0.9"), &c), REASON_FLOW_FORGED);
	/* from another port: another flow, with another name */
	addr_set_port(&r->from.remote, 7777);
	snprintf(text, sizeof(text), FLOW, 5060, 1);
	a = rig_register(r, AOR, text);
	assert_status(a, 200);
	assert_null(strstr(a, first));
	assert_int_equal(reg_find_flow(r->reg, 2, ROUTED(first, "10.0.0.9"), &c), REASON_FLOW_FAILED);
	assert_int_equal(reg_find_flow(r->reg, 2, ROUTED("trunk42", "10.0.0.9"), &c), REASON_NONE);
	r->from.proto = NET_TCP;
	r->from.conn = 5;
	snprintf(text, sizeof(text), FLOW, 5060, 1);
	assert_non_null(strstr(rig_register(r, AOR, text), "@10.0.0.9:5060;transport=tcp;lr;ob>\r\n"));
	r->from.proto = NET_TLS;
	a = rig_register(r, AOR, text);
	assert_non_null(strstr(a, "\r\nPath: <sips:fl."));
	assert_non_null(strstr(a, "@10.0.0.9:5060;lr;ob>\r\n"));
	snprintf(first, sizeof(first), "%.41s", strstr(a, "<sips:") + 6);
	r->from.proto = NET_UDP;
	r->from.conn = 0;
	assert_int_equal(reg_find_flow(r->reg, 2, ROUTED(first, "10.0.0.9"), &c), REASON_NONE);
	assert_non_null(c);
	/* who does not say that it knows Path, or registers by no flow, gets none */
	a = rig_register(r, AOR,
	    "Supported: outbound\r\nContact: <sip:a@192.0.2.10>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"\r\n");
	assert_status(a, 200);
	assert_null(strstr(a, "\r\nPath:"));
	a = rig_register(r, AOR, "Supported: path, outbound\r\nContact: <sip:b@192.0.2.10>\r\n");
	assert_status(a, 200);
	assert_null(strstr(a, "\r\nPath:"));
	/* behind a proxy it is the proxy's Path */
	a = rig_register(r, AOR,
	    "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKp\r\nSupported: path, outbound\r\nPath: <sip:x@192.0.2.99;lr;ob>\r\n"
	    "Contact: <sip:z@h>;reg-id=1;+sip.instance=\"<urn:uuid:2>\"\r\n");
	assert_status(a, 200);
	assert_non_null(strstr(a, "\r\nPath: <sip:x@192.0.2.99;lr;ob>\r\n"));
	assert_int_equal(rig_count(a, "\r\nPath: "), 1);
	rig_fini(r);
	free(r);
}

static void gruu_01_03_answers(void **s)
{
	const char *lines = "Supported: gruu, path\r\n" BULK ";+sip.instance=\"<urn:uuid:f81d>\"\r\n";
	struct rig *r = malloc(sizeof(*r));
	char first[33], second[33], third[33];
	const char *a;

	(void)s;
	rig_init(r);
	a = rig_register(r, AOR, lines);
	assert_status(a, 200);
	assert_non_null(strstr(a, ";pub-gruu=\"sip:sbc.example.net;bnc;gr=urn:uuid:f81d\""));
	snprintf(first, sizeof(first), "%.32s", strstr(a, "temp-gruu-cookie=") + 17);
	assert_null(strchr(first, '='));
	a = rig_register(r, AOR, lines);
	snprintf(second, sizeof(second), "%.32s", strstr(a, "temp-gruu-cookie=") + 17);
	assert_string_equal(first, second);
	assert_status(rig_register(r, AOR, "Contact: *\r\nExpires: 0\r\n"), 200);
	a = rig_register(r, AOR, lines);
	snprintf(third, sizeof(third), "%.32s", strstr(a, "temp-gruu-cookie=") + 17);
	assert_string_not_equal(first, third);
	/* of one number: its own */
	a = rig_register(r, "sip:+4930123450@sbc.example.net",
	    "Supported: gruu\r\nContact: <sip:p@h>;+sip.instance=\"<urn:uuid:77>\"\r\n");
	assert_non_null(strstr(a, "pub-gruu=\"sip:+4930123450@sbc.example.net;gr=urn:uuid:77\""));
	rig_fini(r);
	free(r);
}

/* what a way is for that request URI; "" for none */
static const char *way_for(struct rig *r, uint32_t trunk, const char *number, const char *ruri)
{
	static char text[2048];
	struct reg_way ways[REG_WAYS_MAX];
	struct sip_uri u;
	struct buf s;
	unsigned n;

	assert_int_equal(sip_uri_parse(str_z(ruri), &u), 0);
	buf_init(&s, text, sizeof(text) - 1);
	n = reg_ways(r->reg, trunk, &(struct reg_wish){.number = str_z(number), .uri = &u}, &s, ways);
	text[s.n] = '\0';
	return n ? text : "";
}

/* a public GRUU reaches the instance it names, with sg for the phone behind it (GRUU-01, -02) */
static void gruu_02_public_ways(void **s)
{
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, BULK ";+sip.instance=\"<urn:uuid:a>\"\r\n"), 200);
	r->call_id = "reg2@pbx";
	assert_status(rig_register(r, AOR,
	                  "Require: gin\r\nContact: <sip:192.0.2.11:5060;bnc>;+sip.instance=\"<urn:uuid:b>\"\r\n"),
	    200);
	assert_string_equal(way_for(r, 1, "+4930123450", "sip:+4930123450@sbc.example.net;gr=urn:uuid:b;sg=ph7"),
	    "sip:+4930123450@192.0.2.11:5060;sg=ph7");
	assert_string_equal(way_for(r, 1, "+4930123450", "sip:+4930123450@sbc.example.net;gr=urn:uuid:a;sg=ph8"),
	    "sip:+4930123450@192.0.2.10:5060;transport=tcp;tk=c41f;sg=ph8");
	assert_string_equal(way_for(r, 1, "+4930123450", "sip:+4930123450@sbc.example.net;gr=urn:uuid:c;sg=ph8"), "");
	assert_string_equal(way_for(r, 1, "+4930123450", "sip:+4930123450@sbc.example.net;gr=urn:uuid:"), "");
	rig_fini(r);
	free(r);
}

/* Static memory for one of the newest four texts; and what was written there, "" after an error. */
static struct buf said_begin(void)
{
	static char text[4][300];
	static unsigned at;
	struct buf b;

	at = (at + 1) % 4;
	buf_init(&b, text[at], sizeof(text[at]) - 1);
	return b;
}

static const char *said_end(struct buf *b, int e)
{
	b->p[e < 0 ? 0 : b->n] = '\0';
	return b->p;
}

/* What a provider calls the phone of that Contact ("": nothing). */
static const char *token_of(struct rig *r, uint32_t trunk, const char *number, const char *contact)
{
	struct buf b = said_begin();
	struct sip_uri u;

	assert_int_equal(sip_uri_parse(str_z(contact), &u), 0);
	return said_end(&b, reg_phone_token(r->reg, trunk, str_z(number), &u, &b));
}

static const char *phone_way(struct rig *r, uint32_t trunk, const char *number, const char *token)
{
	char uri[300];
	struct buf b;

	buf_init(&b, uri, sizeof(uri) - 1);
	if (reg_phone_of(r->reg, trunk, str_z(number), str_z(token), &b) < 0)
		return "nobody";
	return way_for(r, trunk, number, buf_z(&b));
}

/* GRUU-01 as a PBX: a token for each phone, the same each time, which leads back to it; it says nothing of the instance */
static void gruu_01_phones_of_ours(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	const char *a, *b, *one;
	char other[300];

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, BULK ";+sip.instance=\"<urn:uuid:a>\"\r\n"), 200);
	r->call_id = "reg2@pbx";
	assert_status(rig_register(r, AOR,
	                  "Require: gin\r\nContact: <sip:192.0.2.11:5060;bnc>;+sip.instance=\"<urn:uuid:b>\"\r\n"),
	    200);
	a = token_of(r, 1, "+4930123450", "sip:+4930123450@sbc.example.net;gr=urn:uuid:a;sg=ph7");
	b = token_of(r, 1, "+4930123450", "sip:+4930123450@sbc.example.net;gr=urn:uuid:b");
	assert_int_equal(strlen(a), 16);
	assert_string_equal(a + 12, ".ph7"); /* the PBX's own word for its phone goes along */
	assert_int_equal(strlen(b), 12);
	assert_memory_not_equal(a, b, 12);
	assert_null(strstr(a, "urn"));
	assert_string_equal(token_of(r, 1, "+4930123450", "sip:x@y;sg=ph7;gr=urn:uuid:a"), a);
	one = token_of(r, 1, "+4930123451", "sip:+4930123451@sbc.example.net;gr=urn:uuid:b");
	assert_memory_not_equal(one, b, 12); /* of another number */
	assert_string_equal(phone_way(r, 1, "+4930123450", a), "sip:+4930123450@192.0.2.10:5060;transport=tcp;tk=c41f;sg=ph7");
	assert_string_equal(phone_way(r, 1, "+4930123450", b), "sip:+4930123450@192.0.2.11:5060");
	/* what is none */
	assert_string_equal(token_of(r, 1, "+4930123450", "sip:x@y;gr=urn:uuid:c"), "");
	assert_string_equal(token_of(r, 2, "+4930123450", "sip:x@y;gr=urn:uuid:a"), "");
	assert_string_equal(token_of(r, 1, "+4930123450", "sip:x@y;gr"), "");
	assert_string_equal(token_of(r, 1, "+4930123450", "sip:x@y"), "");
	assert_string_equal(phone_way(r, 1, "+4930123451", b), "nobody");
	assert_string_equal(phone_way(r, 2, "+4930123450", b), "nobody");
	assert_string_equal(phone_way(r, 1, "+4930123450", ""), "nobody");
	assert_string_equal(phone_way(r, 1, "+4930123450", "."), "nobody");
	snprintf(other, sizeof(other), "%s", b);
	other[3] ^= 1;
	assert_string_equal(phone_way(r, 1, "+4930123450", other), "nobody");
	rig_fini(r);
	free(r);
}

static struct gin_rsa *key_new(void)
{
	struct gin_rsa *k = gin_rsa_new(2048);

	assert_non_null(k);
	return k;
}

/* what a PBX makes of a cookie */
static const char *temp_gruu(struct rig *r, const struct gin_rsa *key, const char *answer)
{
	static char text[4][1024];
	static unsigned at;
	const struct gin_secret pbx = {{9}};
	const char *cookie = strstr(answer, "temp-gruu-cookie=");
	struct buf b;

	assert_non_null(cookie);
	at = (at + 1) % 4;
	buf_init(&b, text[at], sizeof(text[at]) - 1);
	buf_lit(&b, "sip:");
	assert_int_equal(gin_temp_gruu(key, &pbx, str_n(cookie + 17, 32), &r->rng, &b), 0);
	buf_lit(&b, "@sbc.example.net;gr=ph9");
	text[at][b.n] = '\0';
	return text[at];
}

static enum reason found(struct rig *r, uint32_t from, const char *uri, uint32_t *ret_trunk)
{
	const struct reg_contact *c;
	struct sip_uri u;
	enum reason why;

	assert_int_equal(sip_uri_parse(str_z(uri), &u), 0);
	why = reg_find_gruu(r->reg, from, &u, &c);
	*ret_trunk = c ? c->trunk_id : 0;
	return why;
}

/* temporary GRUUs lead to the registration whose cookie is in them, while it lives (GRUU-03, -05) */
static void gruu_05_temporary_ways(void **s)
{
	const char *lines = "Supported: gruu, path\r\n" BULK ";+sip.instance=\"<urn:uuid:a>\"\r\n";
	struct rig *r = malloc(sizeof(*r));
	struct gin_rsa *key = key_new();
	char gruu[1024], bad[1024], want[1200];
	uint32_t trunk;

	(void)s;
	rig_init(r);
	reg_set_keys(r->reg, &(struct reg_key){.rsa = key}, 1);
	snprintf(gruu, sizeof(gruu), "%s", temp_gruu(r, key, rig_register(r, AOR, lines)));
	assert_int_equal(found(r, 2, gruu, &trunk), REASON_NONE);
	assert_int_equal(trunk, 1);
	snprintf(want, sizeof(want), "sip:%.*s@192.0.2.10:5060;transport=tcp;tk=c41f;gr=ph9", (int)strcspn(gruu + 4, "@"), gruu + 4);
	assert_string_equal(way_for(r, 1, "", gruu), want);
	assert_string_equal(way_for(r, 2, "", gruu), ""); /* another trunk's */
	/* another one of the same registration, after a refresh */
	assert_int_equal(found(r, 2, temp_gruu(r, key, rig_register(r, AOR, lines)), &trunk), REASON_NONE);
	assert_int_equal(trunk, 1);
	/* one bit of E */
	snprintf(bad, sizeof(bad), "%s", gruu);
	bad[40] = bad[40] == 'A' ? 'B' : 'A';
	assert_int_equal(found(r, 2, bad, &trunk), REASON_GRUU_UNKNOWN);
	/* no GRUU at all */
	assert_int_equal(found(r, 2, "sip:+4930123450@sbc.example.net", &trunk), REASON_NONE);
	assert_int_equal(trunk, 0);
	/* a new Call-ID is a new cookie, and what was made of the old one is over */
	r->call_id = "other@pbx";
	assert_int_equal(found(r, 2, temp_gruu(r, key, rig_register(r, AOR, lines)), &trunk), REASON_NONE);
	assert_int_equal(found(r, 2, gruu, &trunk), REASON_GRUU_UNKNOWN);
	/* and so it is when the registration is over */
	snprintf(gruu, sizeof(gruu), "%s", temp_gruu(r, key, rig_register(r, AOR, lines)));
	assert_status(rig_register(r, AOR, "Contact: *\r\nExpires: 0\r\n"), 200);
	assert_int_equal(found(r, 2, gruu, &trunk), REASON_GRUU_UNKNOWN);
	rig_fini(r);
	free(r);
}

/* "" or what leads back to the phone that has that temporary GRUU */
static const char *handle_of(struct rig *r, uint32_t trunk, const char *gruu)
{
	struct buf b = said_begin();
	struct sip_uri u;

	assert_int_equal(sip_uri_parse(str_z(gruu), &u), 0);
	return said_end(&b, reg_phone_handle(r->reg, trunk, &u, &b));
}

/* GRUU-04 as a PBX: handles of one phone cannot be told to be of one, each leads back to it while it is registered */
static void handles(struct rig *r, const char *gruu)
{
	const char *a = handle_of(r, 1, gruu), *b = handle_of(r, 1, gruu);
	char number[32], uri[200], other[64];
	uint32_t trunk = 0;
	struct buf n, u;

	assert_int_equal(strlen(a), 32);
	for (int i = 0; i < 32; i += 8)
		assert_memory_not_equal(a + i, b + i, 8);
	assert_string_equal(handle_of(r, 2, gruu), "");
	assert_string_equal(handle_of(r, 1, "sip:tgruu.x.y@sbc.example.net;gr"), "");
	assert_string_equal(handle_of(r, 1, "sip:+4930123450@sbc.example.net;gr=urn:uuid:77"), "");
	for (int i = -1; i < 32; i++) {
		buf_init(&n, number, sizeof(number));
		buf_init(&u, uri, sizeof(uri));
		snprintf(other, sizeof(other), "%s", b);
		if (i >= 0)
			other[i] = other[i] == 'A' ? 'B' : 'A';
		if (reg_phone_by_handle(r->reg, str_z(other), &trunk, &n, &u) == 0) {
			assert_int_equal(i, -1);
			assert_int_equal(trunk, 1);
			assert_true(str_eq(buf_text(&n), S("+4930123450")));
			assert_true(str_eq(buf_text(&u), S("sip:+4930123450@phone.invalid;gr=urn:uuid:77")));
		} else {
			assert_int_not_equal(i, -1);
		}
	}
	assert_int_equal(reg_phone_by_handle(r->reg, STR_NONE, &trunk, &n, &u), -ENOENT);
	snprintf(other, sizeof(other), "%s", b);
	assert_status(rig_register(r, "sip:+4930123450@sbc.example.net", "Contact: *\r\nExpires: 0\r\n"), 200);
	assert_int_equal(reg_phone_by_handle(r->reg, str_z(other), &trunk, &n, &u), -ENOENT);
}

/* a contact that is no bulk one gets a temporary GRUU from us, another one each time, both leading there */
static void gruu_of_a_plain_contact(void **s)
{
	const char *lines = "Supported: gruu\r\nContact: <sip:p@192.0.2.55>;+sip.instance=\"<urn:uuid:77>\"\r\n";
	struct rig *r = malloc(sizeof(*r));
	char gruu[2][1024];
	const char *a;

	(void)s;
	rig_init(r);
	a = rig_register(r, "sip:+4930123450@sbc.example.net", lines);
	assert_null(strstr(a, "temp-gruu")); /* no key yet */
	reg_set_keys(r->reg, &(struct reg_key){.rsa = key_new()}, 1);
	for (int i = 0; i < 2; i++) {
		a = rig_register(r, "sip:+4930123450@sbc.example.net", lines);
		assert_non_null(strstr(a, ";gr\""));
		a = strstr(a, "temp-gruu=\"");
		assert_non_null(a);
		snprintf(gruu[i], sizeof(gruu[i]), "%.*s", (int)strcspn(a + 11, "\""), a + 11);
		assert_string_equal(way_for(r, 1, "", gruu[i]), "sip:p@192.0.2.55");
	}
	assert_string_not_equal(gruu[0], gruu[1]);
	assert_string_equal(way_for(r, 1, "", gruu[0]), "sip:p@192.0.2.55");
	handles(r, gruu[0]);
	rig_fini(r);
	free(r);
}

/* the key is replaced; guessing is slowed down, for each trunk and for all (GRUU-06) */
static void gruu_06_keys_and_shares(void **s)
{
	const char *lines = "Supported: gruu, path\r\n" BULK ";+sip.instance=\"<urn:uuid:a>\"\r\n";
	struct rig *r = malloc(sizeof(*r));
	struct gin_rsa *old = key_new(), *now = key_new(), *old_pub;
	struct reg_key keys[2], k;
	char gruu[1024], pem[2048], text[600];
	unsigned good = 0, all = 0;
	const char *a;
	uint32_t trunk;
	struct buf b;

	(void)s;
	rig_init(r);
	buf_init(&b, pem, sizeof(pem));
	assert_int_equal(gin_rsa_put_pem(old, false, &b), 0);
	old_pub = gin_rsa_from_pem(buf_text(&b));
	a = rig_register(r, AOR, lines);
	reg_set_keys(r->reg, &(struct reg_key){.rsa = old}, 1);
	snprintf(gruu, sizeof(gruu), "%s", temp_gruu(r, old_pub, a));
	assert_int_equal(found(r, 2, gruu, &trunk), REASON_NONE);
	/* rotated: the set has the old one (read anew, as after a restart) for an hour */
	keys[0] = (struct reg_key){.rsa = now, .since_wall_us = r->clock.wall_us};
	keys[1] = (struct reg_key){.rsa = key_new(), .until_wall_us = r->clock.wall_us + 3600000000};
	reg_set_keys(r->reg, keys, 2);
	assert_true(reg_key_at(r->reg, 1, &k) && k.until_wall_us == keys[1].until_wall_us);
	assert_false(reg_key_at(r->reg, 2, &k));
	assert_int_equal(found(r, 2, gruu, &trunk), REASON_GRUU_UNKNOWN); /* not that old one */
	snprintf(gruu, sizeof(gruu), "%s", temp_gruu(r, k.rsa, a));
	assert_int_equal(found(r, 2, gruu, &trunk), REASON_NONE);
	rig_run(r, 3500);
	a = rig_register(r, AOR, lines);
	assert_int_equal(found(r, 2, gruu, &trunk), REASON_NONE);
	rig_run(r, 101); /* its grace is over, though it was read before */
	assert_int_equal(found(r, 2, gruu, &trunk), REASON_GRUU_UNKNOWN);
	assert_false(reg_key_at(r->reg, 1, &k));
	snprintf(gruu, sizeof(gruu), "%s", temp_gruu(r, now, a));
	assert_int_equal(found(r, 2, gruu, &trunk), REASON_NONE);
	/* one trunk guesses: ten at once; the good one is still known, others still ask */
	rig_run(r, 5);
	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof(text), "sip:tgruu.%0340d.AAAA@sbc.example.net", i);
		good += found(r, 3, text, &trunk) == REASON_GRUU_UNKNOWN;
		assert_true(found(r, 3, text, &trunk) == REASON_GRUU_UNKNOWN || found(r, 3, text, &trunk) == REASON_GRUU_RATE);
	}
	assert_int_equal(good, 10);
	assert_int_equal(found(r, 3, gruu, &trunk), REASON_NONE);
	assert_int_equal(found(r, 4, temp_gruu(r, now, a), &trunk), REASON_NONE);
	/* and all together */
	for (uint32_t t = 5; t < 40; t++)
		for (int i = 0; i < 5; i++) {
			snprintf(text, sizeof(text), "sip:tgruu.%0336u%04d.AAAA@sbc.example.net", t, i);
			all += found(r, t, text, &trunk) == REASON_GRUU_UNKNOWN;
		}
	assert_int_equal(all, 50 - 11);
	rig_run(r, 2);
	assert_int_equal(found(r, 3, temp_gruu(r, now, a), &trunk), REASON_NONE);
	gin_rsa_free(old_pub);
	rig_fini(r);
	free(r);
}

/* feature tags of the bulk contact hold for every number (GINS-11) */
/* A Path is taken and given back whatever Supported says: a proxy that put it there has reasons of its own, and a PBX that
 * does not know the header passes over it. 421 would only keep the PBXs behind it out (RFC 3327 5.3 leaves it to us). */
static void pth_01_without_supported(void **s)
{
	static const char *const supported[] = {"", "Supported: gruu\r\n", "Supported: path\r\n", "Require: path\r\n"};
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	for (unsigned i = 0; i < ARRAY_LEN(supported); i++) {
		char lines[256];
		const char *a;

		snprintf(lines, sizeof(lines), "%sPath: <sip:edge%u.example;lr>\r\n" BULK "\r\n", supported[i], i);
		a = rig_register(r, AOR, lines);
		assert_status(a, 200);
		snprintf(lines, sizeof(lines), "\r\nPath: <sip:edge%u.example;lr>\r\n", i);
		assert_non_null(strstr(a, lines));
		snprintf(lines, sizeof(lines), "sip:+4930123450@192.0.2.10:5060;transport=tcp;tk=c41f|<sip:edge%u.example;lr>", i);
		ways_are(r, 1, "+4930123450", lines);
	}
	/* the refresh that comes without one is by no proxy any more */
	assert_null(strstr(rig_register(r, AOR, BULK "\r\n"), "Path:"));
	ways_are(r, 1, "+4930123450", "sip:+4930123450@192.0.2.10:5060;transport=tcp;tk=c41f");
	rig_fini(r);
	free(r);
}

static void gins_11_preferences(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	struct reg_way ways[REG_WAYS_MAX];
	const struct sip_msg *m;
	char space[2048];
	struct buf b;

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, "Require: gin\r\nContact: <sip:192.0.2.10;bnc>;audio\r\n"), 200);
	r->call_id = "second@pbx";
	assert_status(rig_register(r, AOR, "Require: gin\r\nContact: <sip:192.0.2.11;bnc>;audio;+sip.fax=\"t38\"\r\n"), 200);
	for (int i = 0; i < 2; i++) {
		char text[512];

		snprintf(text, sizeof(text),
		    "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
		    "Call-ID: c\r\nCSeq: 1 INVITE\r\nAccept-Contact: *;+sip.fax=\"t38\"%s\r\nContent-Length: 0\r\n\r\n",
		    i ? ";require;explicit" : "");
		m = rig_parse(r, text);
		for (char d = '0'; d <= '9'; d++) {
			char number[] = "+493012345x";

			number[10] = d;
			buf_init(&b, space, sizeof(space));
			assert_int_equal(
			    reg_ways(r->reg, 1, &(struct reg_wish){.number = str_z(number), .msg = m}, &b, ways), i ? 1 : 2);
			assert_non_null(memmem(ways[0].uri.p, ways[0].uri.n, "192.0.2.11", 10));
		}
	}
	rig_fini(r);
	free(r);
}

/* a body for a key that we do not have (GINS-16) */
static void gins_16_sealed_body(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	char text[1024];
	const char *a;

	(void)s;
	rig_init(r);
	for (int i = 0; i < 2; i++) {
		const char *credentials;
		int n;

		assert_status(rig_register(r, AOR, BULK "\r\n"), 200);
		credentials = rig_credentials(r);
		n = snprintf(text, sizeof(text),
		    "REGISTER sip:sbc.example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKs%d;rport\r\n"
		    "Max-Forwards: 70\r\nFrom: <" AOR ">;tag=p\r\nTo: <" AOR ">\r\nCall-ID: %s\r\nCSeq: %u REGISTER\r\n" BULK
		    "\r\nContent-Type: application/pkcs7-mime;smime-type=enveloped-data\r\n%s%sContent-Length: 3\r\n\r\nabc",
		    i, r->call_id, ++r->cseq, i ? "Content-Disposition: attachment;handling=optional\r\n" : "", credentials);
		r->n_sent = 0;
		txn_on_message(r->txn, &r->from, text, (size_t)n, REASON_NONE);
		rig_release(r);
		a = r->sent[0];
		assert_status(a, i ? 200 : 493);
	}
	rig_fini(r);
	free(r);
}

static void gins_17_policy_moves(void **s)
{
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, BULK "\r\n"), 200);
	r->n_stored = 0;
	rig_compile(r); /* the same again: nothing is lost */
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 1);
	assert_int_equal(r->n_stored, 0);
	assert_true(reg_kick(r->reg, bindings_last_id(reg_bindings(r->reg))));
	assert_non_null(strstr(r->events, "REG_KICKED"));
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);
	assert_status(rig_register(r, AOR, BULK "\r\n"), 200);
	/* the trunk registers no more */
	trunk_draft_assign(r->fix.draft[0], S("auth=static"), NULL);
	r->fix.trunks[0] = *trunk_draft_row(r->fix.draft[0]);
	r->fix.trunks[0].id = 1;
	r->n_stored = 0;
	rig_compile(r);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);
	assert_int_equal(r->stored[0].n_del, 1);
	rig_fini(r);
	free(r);
}

static void set_trunk(struct rig *r, unsigned i, const char *setting)
{
	struct db_credential c = r->fix.trunks[i].credential;

	trunk_draft_assign(r->fix.draft[i], str_z(setting), NULL);
	r->fix.trunks[i] = *trunk_draft_row(r->fix.draft[i]);
	r->fix.trunks[i].id = i + 1;
	r->fix.trunks[i].credential = c;
	rig_compile(r);
}

/* what happens while a REGISTER is being stored: the trunk stops registering, an operator ends the binding, its time ends */
static void rgs_02_world_moves_while_stored(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	uint64_t id;

	(void)s;
	rig_init(r);
	r->hold = true;
	assert_string_equal(rig_register(r, AOR, BULK "\r\n"), "");
	(void)rig_register(r, AOR, BULK ";q=0.5\r\n"); /* waits behind it */
	set_trunk(r, 0, "auth=static");
	r->n_sent = r->n_stored = 0;
	rig_release(r);
	assert_int_equal(r->n_sent, 2);
	assert_status(r->sent[0], 404);
	assert_status(r->sent[1], 404);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);
	assert_int_equal(r->n_stored, 1); /* the row goes again */
	assert_int_equal(r->stored[0].n_del, 1);
	assert_int_equal(r->stored[0].token, 0);

	set_trunk(r, 0, "auth=gin");
	r->hold = false;
	memset(&r->session, 0, sizeof(r->session));
	assert_status(rig_register(r, AOR, BULK ";expires=60\r\n"), 200);
	r->hold = true;
	(void)rig_register(r, AOR, BULK ";expires=60\r\n");
	id = bindings_last_id(reg_bindings(r->reg));
	assert_true(reg_kick(r->reg, id));
	r->n_sent = 0;
	rig_release(r);
	assert_status(r->sent[0], 200);
	assert_null(strstr(r->sent[0], "Contact:"));
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);

	/* the trunk stops and begins again while a refresh is stored: its row went behind it, so it is not in force */
	r->hold = false;
	assert_status(rig_register(r, AOR, BULK ";expires=60\r\n"), 200);
	r->hold = true;
	(void)rig_register(r, AOR, BULK ";expires=60\r\n");
	set_trunk(r, 0, "auth=static");
	set_trunk(r, 0, "auth=gin");
	rig_release(r);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);

	/* a refresh that is stored when the time is over: registered, and its row is not deleted */
	r->hold = false;
	assert_status(rig_register(r, AOR, BULK ";expires=60\r\n"), 200);
	rig_run(r, 59);
	r->hold = true;
	(void)rig_register(r, AOR, BULK ";expires=60\r\n");
	rig_run(r, 2);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);
	assert_int_equal(r->n_stored, 1);
	rig_release(r);
	assert_int_equal(r->n_stored, 1);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 1);
	/* the same, but it cannot be stored: what is left of it goes */
	rig_run(r, 57);
	(void)rig_register(r, AOR, BULK ";expires=60\r\n");
	rig_run(r, 5);
	r->store_says = REASON_DB_FULL;
	rig_release(r);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);
	assert_int_equal(r->n_stored, 2);
	assert_int_equal(r->stored[1].n_del, 1);
	rig_fini(r);
	free(r);
}

/* a contact said twice is one; a limit that was lowered does not end what there is */
static void rgs_10_11_twice_and_lowered(void **s)
{
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, AOR, "Contact: <sip:a@h>, <sip:a@h;line=2>, <sip:b@h>\r\n"), 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 2);
	set_trunk(r, 0, "max-contacts=1");
	assert_status(rig_register(r, AOR, "Contact: <sip:a@h>\r\n"), 200);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 2);
	assert_status(rig_register(r, AOR, "Contact: <sip:c@h>\r\n"), 403);
	rig_fini(r);
	free(r);
}

/* what goes into a 200 or a call is checked before it is kept */
static void bad_pieces(void **s)
{
	static const char *const bad[] = {
	    "Path: nonsense\r\nContact: <sip:a@h>\r\n",
	    "Path: sip:edge.example;lr\r\nContact: <sip:a@h>\r\n",
	    "Path: <tel:+1>\r\nContact: <sip:a@h>\r\n",
	    "Path: <sip:e;lr>, <http://x>\r\nContact: <sip:a@h>\r\n",
	    "Contact: <sip:a@h>;+sip.instance=\"<a\\\"b>\"\r\n",
	    "Contact: <sip:a@h>;+sip.instance=\"<urn:x y>\"\r\n",
	    "Contact: <sip:a@h>;+sip.instance=\"<urn:x>;gr\\\"<>\"\r\n",
	};
	struct rig *r = malloc(sizeof(*r));
	char text[4096], more[1200];

	(void)s;
	rig_init(r);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		assert_status(rig_register(r, AOR, bad[i]), 400);
	memset(more, 'x', sizeof(more) - 1);
	more[sizeof(more) - 1] = '\0';
	snprintf(text, sizeof(text), "Contact: <sip:a@h;p=%s>\r\n", more);
	assert_status(rig_register(r, AOR, text), 400);
	snprintf(text, sizeof(text), "Contact: <sip:a@h>;p=%s\r\n", more);
	assert_status(rig_register(r, AOR, text), 400);
	snprintf(text, sizeof(text), "Path: <sip:%s;lr>, <sip:%s;lr>\r\nContact: <sip:a@h>\r\n", more, more);
	assert_status(rig_register(r, AOR, text), 400);
	assert_int_equal(bindings_count(reg_bindings(r->reg)), 0);
	/* header fields of a contact are none of the request URI; without a host there is none to put a number at */
	assert_status(rig_register(r, AOR, "Contact: <sip:a?b@h?Route=%3csip:evil%3e>\r\n"), 200);
	ways_are(r, 1, "", "sip:a?b@h");
	assert_status(rig_register(r, AOR, "Contact: *\r\nExpires: 0\r\n"), 200);
	assert_status(rig_register(r, AOR, "Contact: <tel:+4930123450>\r\n"), 200);
	ways_are(r, 1, "+4930123450", "");
	rig_fini(r);
	free(r);
}

/* To is of a domain of ours; whether a trunk does GIN is told to nobody who cannot register it */
static void rgs_01_domain_and_options(void **s)
{
	struct rig *r = malloc(sizeof(*r));

	(void)s;
	rig_init(r);
	assert_status(rig_register(r, "sip:trunk42@evil.example", "Contact: <sip:h>\r\n"), 404);
	assert_status(rig_register(r, "sip:trunk42@10.0.0.9", "Contact: <sip:h>\r\n"), 200);
	assert_status(rig_send_register(r, "sip:300@sbc.example.net", BULK "\r\n", ""), 401);
	assert_status(rig_send_register(r, "sip:nobody@sbc.example.net", BULK "\r\n", ""), 401);
	rig_fini(r);
	free(r);
}

/* a stream's flow is the connection: the next one from the same address is somebody else's until it registers */
static void flow_of_a_stream(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	struct net_path p;

	(void)s;
	rig_init(r);
	r->from.proto = NET_TCP;
	r->from.conn = 17;
	assert_status(rig_register(r, AOR, BULK "\r\n"), 200);
	p = r->from;
	assert_int_equal(bindings_trunk_at(reg_bindings(r->reg), &p), 1);
	p.conn = 18;
	assert_int_equal(bindings_trunk_at(reg_bindings(r->reg), &p), 0);
	p.conn = 0;
	assert_int_equal(bindings_trunk_at(reg_bindings(r->reg), &p), 0);
	r->from.conn = 18;
	assert_status(rig_register(r, AOR, BULK "\r\n"), 200);
	assert_int_equal(bindings_trunk_at(reg_bindings(r->reg), &r->from), 1);
	p.conn = 17;
	assert_int_equal(bindings_trunk_at(reg_bindings(r->reg), &p), 0);
	rig_fini(r);
	free(r);
}

/* after a restart: of a trunk that registers no more, in another realm, of a number it lost; with a clock set back */
static void rgs_12_restore_checks(void **s)
{
	struct rig *r = malloc(sizeof(*r));
	struct reg_contact c = {.id = 9, .trunk_id = 3, .q = 1000, .uri = S("sip:x@h"), .call_id = S("old"), .flow = {.realm = 1}};

	(void)s;
	rig_init(r);
	c.expires_wall_us = r->clock.wall_us + (int64_t)400 * 86400 * 1000000;
	assert_int_equal(addr_parse(S("198.51.100.7:41000"), 5060, &c.flow.remote), 0);
	assert_int_equal(reg_restore(r->reg, &c), -ENOENT);
	c.trunk_id = 1;
	c.flow.realm = 0;
	assert_int_equal(reg_restore(r->reg, &c), -ENOENT);
	c.flow.realm = 1;
	c.aor = S("+4940777");
	assert_int_equal(reg_restore(r->reg, &c), -ENOENT);
	assert_int_equal(r->n_stored, 3);
	c.aor = STR_NONE;
	assert_int_equal(reg_restore(r->reg, &c), 0);
	assert_non_null(strstr(rig_register(r, AOR, ""), ";expires=7200\r\n"));
	rig_fini(r);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gins_01_02_22_bulk),
	    cmocka_unit_test(gins_04_05_06_bad_contacts),
	    cmocka_unit_test(gins_07_live_and_die),
	    cmocka_unit_test(gins_08_09_one_number),
	    cmocka_unit_test(gins_10_path),
	    cmocka_unit_test(sips_contacts_come_by_sips_requests),
	    cmocka_unit_test(gins_14_15_16_codes),
	    cmocka_unit_test(gins_19_bulk_beside_plain),
	    cmocka_unit_test(gins_21_two_nodes_by_q),
	    cmocka_unit_test(rgs_03_star),
	    cmocka_unit_test(rgs_04_05_expiry),
	    cmocka_unit_test(rgs_06_order),
	    cmocka_unit_test(rgs_07_08_lists),
	    cmocka_unit_test(rgs_09_record_route),
	    cmocka_unit_test(rgs_10_same_contact),
	    cmocka_unit_test(rgs_11_limit),
	    cmocka_unit_test(rgs_02_stored_first),
	    cmocka_unit_test(rgs_02_queue_is_bounded),
	    cmocka_unit_test(rgs_01_identity),
	    cmocka_unit_test(rgs_12_restart),
	    cmocka_unit_test(ka_10_instance_and_reg_id),
	    cmocka_unit_test(ka_11_path_of_a_flow),
	    cmocka_unit_test(gruu_01_03_answers),
	    cmocka_unit_test(gins_16_sealed_body),
	    cmocka_unit_test(gruu_02_public_ways),
	    cmocka_unit_test(gruu_01_phones_of_ours),
	    cmocka_unit_test(gruu_05_temporary_ways),
	    cmocka_unit_test(gruu_of_a_plain_contact),
	    cmocka_unit_test(gruu_06_keys_and_shares),
	    cmocka_unit_test(pth_01_without_supported),
	    cmocka_unit_test(gins_11_preferences),
	    cmocka_unit_test(gins_17_policy_moves),
	    cmocka_unit_test(rgs_02_world_moves_while_stored),
	    cmocka_unit_test(rgs_10_11_twice_and_lowered),
	    cmocka_unit_test(bad_pieces),
	    cmocka_unit_test(rgs_01_domain_and_options),
	    cmocka_unit_test(flow_of_a_stream),
	    cmocka_unit_test(rgs_12_restore_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
