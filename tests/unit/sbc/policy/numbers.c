/* Whose number is it: rows PAR-22, PAR-23 from the URI to the block, and the tree against a plain search. */
#include "fixture.h"

static void assert_block(const struct policy *p, const char *number, const char *first)
{
	const struct pol_number *n = policy_number(p, str_z(number));

	if (!first) {
		assert_null(n);
		return;
	}
	if (!n || !str_eq(n->first, str_z(first)))
		fail_msg("%s: '%.*s' instead of %s", number, STR(n ? n->first : STR_NONE), first);
}

static void ranges_and_longest_match(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(&f, "b", "role=pbx realm=lan target=10.0.0.2");
	fix_number(&f, "+4930123", 1);
	fix_number(&f, "+4930200..+4930299", 1);
	fix_number(&f, "+4930301", 2);
	fix_number(&f, "+49301234500..+49301234599", 2);
	fix_number(&f, "+493012345012", 1);
	fix_number(&f, "+123456789012345", 1);
	fix_compile(&f);
	assert_block(f.p, "+4930123", "+4930123");
	assert_block(f.p, "+4930200", "+4930200");
	assert_block(f.p, "+4930299", "+4930200");
	assert_block(f.p, "+4930300", NULL);
	assert_block(f.p, "+4930199", NULL);
	assert_block(f.p, "+4930301", "+4930301");
	/* exact length first, then the longest beginning */
	assert_block(f.p, "+49301234550", "+49301234500");
	assert_block(f.p, "+493012345012", "+493012345012");
	assert_block(f.p, "+493012345013", "+49301234500");
	assert_block(f.p, "+49301234600", "+4930123"); /* beside the block, behind the shorter one */
	assert_block(f.p, "+493012", NULL);
	assert_block(f.p, "+493030155555555", "+4930301");
	assert_block(f.p, "+1234567890123456", "+123456789012345"); /* an extension behind 15 digits */
	assert_block(f.p, "+123456789012345a", NULL);
	/* not a number in canonical form */
	assert_block(f.p, "", NULL);
	assert_block(f.p, "+", NULL);
	assert_block(f.p, "4930123", NULL);
	assert_block(f.p, "+4930123a", NULL);
	assert_block(f.p, "*21", NULL);
	fix_fini(&f);
}

/* A block of more numbers than fit into 32 bits ends where it says, and so does the one that just fits. */
static void wide_blocks(void **s)
{
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1");
	fix_number(&f, "+490000000000..+494294967294", 1); /* 2^32 - 1 numbers */
	fix_number(&f, "+500000000000..+504294967295", 1);
	fix_number(&f, "+600000000000..+698765432101", 1);
	fix_number(&f, "+700000000000", 1);
	fix_compile(&f);
	assert_block(f.p, "+489999999999", NULL);
	assert_block(f.p, "+494294967294", "+490000000000");
	assert_block(f.p, "+494294967295", NULL);
	assert_block(f.p, "+504294967295", "+500000000000");
	assert_block(f.p, "+504294967296", NULL);
	assert_block(f.p, "+600000000000", "+600000000000");
	assert_block(f.p, "+698765432101", "+600000000000");
	assert_block(f.p, "+698765432102", NULL);
	assert_block(f.p, "+700000000000", "+700000000000");
	assert_int_equal(policy_number_owner(f.p, S("+698765432101")), 1);
	assert_int_equal(policy_number_owner(f.p, S("+698765432102")), 0);
	fix_fini(&f);
}

/* All ranges of one trunk, and how many numbers that makes. */
static void of_one_trunk(void **s)
{
	const struct pol_number *n = NULL;
	const struct pol_trunk *t;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(&f, "b", "role=pbx realm=lan target=10.0.0.2");
	fix_trunk(&f, "c", "role=pbx realm=lan target=10.0.0.3");
	fix_number(&f, "+4930123", 1);
	fix_number(&f, "+4930200..+4930299", 1);
	fix_number(&f, "+4930301", 2);
	fix_number(&f, "+49301234500..+49301234599", 2);
	fix_number(&f, "+493012345012", 1);
	fix_compile(&f);
	t = policy_trunk(f.p, 1);
	assert_int_equal(t->n_numbers, 102);
	n = policy_numbers_next(f.p, t, NULL);
	assert_true(n && str_eq(n->first, S("+4930123")));
	n = policy_numbers_next(f.p, t, n);
	assert_true(n && str_eq(n->first, S("+4930200")) && str_eq(n->last, S("+4930299")));
	n = policy_numbers_next(f.p, t, n);
	assert_true(n && str_eq(n->first, S("+493012345012")));
	assert_null(policy_numbers_next(f.p, t, n));
	t = policy_trunk(f.p, 2);
	assert_int_equal(t->n_numbers, 101);
	n = policy_numbers_next(f.p, t, NULL);
	assert_true(n && str_eq(n->first, S("+4930301")));
	n = policy_numbers_next(f.p, t, n);
	assert_true(n && str_eq(n->first, S("+49301234500")));
	assert_null(policy_numbers_next(f.p, t, n));
	t = policy_trunk(f.p, 3);
	assert_int_equal(t->n_numbers, 0);
	assert_null(policy_numbers_next(f.p, t, NULL));
	fix_fini(&f);
}

/* From the text of a URI to the block. */
static const char *dial(const struct policy *p, const struct pol_trunk *t, const char *uri)
{
	static const char *const none = "404";
	char number[64], canonical[64];
	const struct pol_number *n;
	struct sip_uri u;
	struct buf b, c;

	assert_int_equal(sip_uri_parse(str_z(uri), &u), 0);
	buf_init(&b, number, sizeof(number));
	if (sip_uri_number(&u, &b) < 0)
		return none;
	buf_init(&c, canonical, sizeof(canonical));
	policy_number_in(t, buf_text(&b), &c);
	n = policy_number(p, buf_text(&c));
	return n ? policy_trunk(p, n->trunk_id)->name.p : none;
}

static void par_22_tel_uri(void **s)
{
	const struct pol_trunk *t;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "pbx", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(&f, "itsp", "role=itsp realm=wan target=192.0.2.1");
	fix_number(&f, "+15550100", 1);
	fix_compile(&f);
	t = policy_trunk(f.p, 2);
	assert_string_equal(dial(f.p, t, "tel:+1-555-0100"), "pbx");
	assert_string_equal(dial(f.p, t, "tel:0100;phone-context=+1555"), "pbx");
	assert_string_equal(dial(f.p, t, "tel:0100"), "404");
	fix_fini(&f);
}

static void par_23_canonical_before_look_up(void **s)
{
	static const char *const same[] = {"sip:+15550100@sbc", "sip:+1.555.0100@sbc", "sip:+1-555-0100@sbc",
	    "sip:%2B15550100@sbc", "sip:%2b1(555)0100@sbc;user=phone", "sip:+15550100;tgrp=a;trunk-context=b@sbc"};
	const struct pol_trunk *plain, *digits;
	struct fix f;

	(void)s;
	fix_init(&f);
	fix_trunk(&f, "pbx", "role=pbx realm=lan target=10.0.0.1");
	fix_trunk(&f, "itsp", "role=itsp realm=wan target=192.0.2.1");
	fix_trunk(&f, "old", "role=itsp realm=wan target=192.0.2.2 number-format=digits");
	fix_number(&f, "+15550100", 1);
	fix_compile(&f);
	plain = policy_trunk(f.p, 2);
	digits = policy_trunk(f.p, 3);
	for (unsigned i = 0; i < ARRAY_LEN(same); i++)
		if (strcmp(dial(f.p, plain, same[i]), "pbx"))
			fail_msg("%s", same[i]);
	/* without "+" it is another number, unless the trunk's rule says so */
	assert_string_equal(dial(f.p, plain, "sip:15550100@sbc"), "404");
	assert_string_equal(dial(f.p, digits, "sip:15550100@sbc"), "pbx");
	fix_fini(&f);
}

static int by_first(const void *a, const void *b)
{
	const struct db_number *x = a, *y = b;
	size_t n = strlen(x->first), m = strlen(y->first);

	return n != m ? (n < m ? -1 : 1) : strcmp(x->first, y->first);
}

/* Many random blocks of several lengths, every answer against a search through all of them. */
static void tree_against_plain_search(void **s)
{
	static const unsigned sizes[] = {1, 7, 8, 9, 63, 64, 65, 95, 96, 97, 192, 195, 511, 513, 768, 771, 5000, 13000};

	(void)s;
	for (unsigned k = 0; k < ARRAY_LEN(sizes); k++) {
		struct db_number *rows = calloc(sizes[k], sizeof(*rows));
		unsigned n = 0;
		struct fix f;

		assert_non_null(rows);
		fix_init(&f);
		fix_trunk(&f, "a", "role=pbx realm=lan target=10.0.0.1");
		for (unsigned i = 0; i < sizes[k]; i++) {
			unsigned block = i * 20 + rng_below(&f.rng, 10), size = rng_below(&f.rng, 10);

			rows[i].trunk_id = 1;
			if (i % 3 == 0) {
				snprintf(rows[i].first, sizeof(rows[i].first), "+4930%06u", block);
				snprintf(rows[i].last, sizeof(rows[i].last), "+4930%06u", block + size);
			} else {
				snprintf(rows[i].first, sizeof(rows[i].first), "+4930%08u", block * 90);
				snprintf(rows[i].last, sizeof(rows[i].last), "+4930%08u", block * 90 + size * 50);
			}
		}
		qsort(rows, sizes[k], sizeof(*rows), by_first);
		f.rows.numbers = rows;
		f.rows.n_numbers = sizes[k];
		fix_compile(&f);
		for (unsigned i = 0; i < (sizes[k] > 5000 ? 500 : 4000); i++) {
			const struct db_number *best = NULL;
			const struct pol_number *got;
			char number[24];
			size_t len;

			if (i % 2)
				snprintf(number, sizeof(number), "+4930%06u", rng_below(&f.rng, sizes[k] * 20 + 40));
			else
				snprintf(number, sizeof(number), "+4930%08u", rng_below(&f.rng, (sizes[k] * 20 + 40) * 90));
			len = strlen(number);
			for (unsigned r = 0; r < sizes[k]; r++) {
				size_t m = strlen(rows[r].first);

				if (m <= len && strncmp(number, rows[r].first, m) >= 0 && strncmp(number, rows[r].last, m) <= 0 &&
				    (!best || m > strlen(best->first)))
					best = &rows[r];
			}
			got = policy_number(f.p, str_z(number));
			assert_int_equal(policy_number_owner(f.p, str_z(number)), got ? got->trunk_id : 0);
			if (!best != !got || (best && !str_eq(got->first, str_z(best->first))))
				fail_msg("%u blocks: %s", sizes[k], number);
			n += got != NULL;
		}
		assert_true(n > 20);
		fix_fini(&f);
		free(rows);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ranges_and_longest_match),
	    cmocka_unit_test(wide_blocks),
	    cmocka_unit_test(of_one_trunk),
	    cmocka_unit_test(par_22_tel_uri),
	    cmocka_unit_test(par_23_canonical_before_look_up),
	    cmocka_unit_test(tree_against_plain_search),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
