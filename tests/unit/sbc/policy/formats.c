/* Number formats in both directions: rows IDN-01, IDN-02, IDN-03. */
#include "fixture.h"

struct pair {
	const char *in, *out;
};

static void table(const char *settings, bool in, const struct pair *pair, unsigned n)
{
	const struct pol_trunk *t;
	char all[160];
	struct fix f;

	fix_init(&f);
	snprintf(all, sizeof(all), "role=pbx realm=lan target=10.0.0.1 %s", settings);
	fix_trunk(&f, "t", all);
	t = policy_trunk(fix_compile(&f), 1);
	for (unsigned i = 0; i < n; i++) {
		char text[64];
		struct buf b;

		buf_init(&b, text, sizeof(text));
		if (in)
			policy_number_in(t, str_z(pair[i].in), &b);
		else
			policy_number_out(t, str_z(pair[i].in), &b);
		if (buf_err(&b) || !str_eq(buf_text(&b), str_z(pair[i].out)))
			fail_msg("%s %s: '%s' became '%.*s', not '%s'", settings, in ? "in" : "out", pair[i].in, STR(buf_text(&b)),
			    pair[i].out);
	}
	fix_fini(&f);
}

#define IN(settings, ...) \
	table(settings, true, (const struct pair[]){__VA_ARGS__}, ARRAY_LEN(((const struct pair[]){__VA_ARGS__})))
#define OUT(settings, ...) \
	table(settings, false, (const struct pair[]){__VA_ARGS__}, ARRAY_LEN(((const struct pair[]){__VA_ARGS__})))

static void idn_01_formats_towards_a_trunk(void **s)
{
	(void)s;
	OUT("", {"+4930123456", "+4930123456"}, {"+15550100", "+15550100"});
	OUT("number-format=digits", {"+4930123456", "4930123456"}, {"+15550100", "15550100"});
	OUT("number-format=national country=49", {"+4930123456", "030123456"}, {"+15550100", "0015550100"});
	OUT("number-format=national country=1 national-prefix=1 international-prefix=011", {"+15550100", "15550100"},
	    {"+4930123456", "0114930123456"});
	OUT("number-format=national country=47 national-prefix=none", {"+4722334455", "22334455"}, {"+4930123456", "004930123456"});
	OUT("number-format=national country=47 international-prefix=none", {"+4930123456", "+4930123456"});
	OUT("number-format=pass", {"+4930123456", "+4930123456"}, {"030123456", "030123456"});
}

static void idn_01_formats_from_a_trunk(void **s)
{
	(void)s;
	IN("", {"+4930123456", "+4930123456"}, {"030123456", "030123456"}, {"004930123456", "+4930123456"});
	IN("country=49", {"+4930123456", "+4930123456"}, {"030123456", "+4930123456"}, {"004930123456", "+4930123456"},
	    {"4930123456", "4930123456"});
	IN("number-format=digits country=49", {"4930123456", "+4930123456"}, {"030123456", "+4930123456"},
	    {"0015550100", "+15550100"}, {"15550100", "+15550100"});
	IN("number-format=national country=1 national-prefix=1 international-prefix=011", {"15550100", "+15550100"},
	    {"0114930123456", "+4930123456"});
	IN("number-format=national country=47 national-prefix=none", {"22334455", "+4722334455"}, {"004930123456", "+4930123456"});
	IN("number-format=pass country=49", {"030123456", "030123456"}, {"+4930123456", "+4930123456"});
}

static void idn_02_short_codes_stay(void **s)
{
	/* never a "+", in any format, in any direction */
	static const char *const settings[] = {"", "country=49", "number-format=digits country=49",
	    "number-format=national country=49", "number-format=national country=1 national-prefix=1",
	    "number-format=national country=47 national-prefix=none", "number-format=pass"};
	static const char *const codes[] = {"112", "110", "911", "999", "0", "00", "011", "115", "116117", "*21", "*21#", "#31#",
	    "*97", "100", "4711", "alice", "anonymous"};

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(settings); i++) {
		for (unsigned k = 0; k < ARRAY_LEN(codes); k++) {
			IN(settings[i], {codes[k], codes[k]});
			OUT(settings[i], {codes[k], codes[k]});
		}
	}
	/* but national numbers become global by rule */
	IN("country=1 national-prefix=0", {"05550100", "+15550100"});
}

static void idn_03_no_visual_separators(void **s)
{
	(void)s;
	IN("", {"+1 (555) 010-0", "+15550100"}, {"+1.555.0100", "+15550100"});
	IN("country=49", {"(030) 123-456", "+4930123456"});
	OUT("", {"+1 (555) 010-0", "+15550100"}, {"555-01", "55501"});
	OUT("number-format=digits", {"+1-555-0100", "15550100"});
	OUT("number-format=pass", {"+1-555-0100", "+15550100"});
	/* a name is no number: its dots and dashes are part of it */
	IN("country=49", {"john.doe-1", "john.doe-1"});
	OUT("", {"john.doe-1", "john.doe-1"});
}

static void round_trip(void **s)
{
	static const char *const settings[] = {"", "country=49", "number-format=digits", "number-format=national country=49",
	    "number-format=national country=1 national-prefix=1 international-prefix=011"};
	static const char *const numbers[] = {"+4930123456", "+15550100200", "+390612345678", "+998712345678"};

	(void)s;
	for (unsigned i = 0; i < ARRAY_LEN(settings); i++) {
		const struct pol_trunk *t;
		char all[160];
		struct fix f;

		fix_init(&f);
		snprintf(all, sizeof(all), "role=pbx realm=lan target=10.0.0.1 %s", settings[i]);
		fix_trunk(&f, "t", all);
		t = policy_trunk(fix_compile(&f), 1);
		for (unsigned k = 0; k < ARRAY_LEN(numbers); k++) {
			char there[64], back[64];
			struct buf a, b;

			buf_init(&a, there, sizeof(there));
			buf_init(&b, back, sizeof(back));
			policy_number_out(t, str_z(numbers[k]), &a);
			policy_number_in(t, buf_text(&a), &b);
			if (!str_eq(buf_text(&b), str_z(numbers[k])))
				fail_msg("%s: %s -> %.*s -> %.*s", settings[i], numbers[k], STR(buf_text(&a)), STR(buf_text(&b)));
		}
		fix_fini(&f);
	}
}

static void no_room_is_an_error_of_the_buffer(void **s)
{
	const struct pol_trunk *t;
	char text[4];
	struct buf b;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "t", "role=pbx realm=lan target=10.0.0.1");
	t = policy_trunk(fix_compile(&f), 1);
	buf_init(&b, text, sizeof(text));
	policy_number_out(t, S("+4930123456"), &b);
	assert_int_equal(buf_err(&b), -ENOSPC);
	fix_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(idn_01_formats_towards_a_trunk),
	    cmocka_unit_test(idn_01_formats_from_a_trunk),
	    cmocka_unit_test(idn_02_short_codes_stay),
	    cmocka_unit_test(idn_03_no_visual_separators),
	    cmocka_unit_test(round_trip),
	    cmocka_unit_test(no_room_is_an_error_of_the_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
