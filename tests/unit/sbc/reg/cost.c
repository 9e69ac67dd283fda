/* What a registration costs does not depend on how many numbers its trunk has (GINS-20): the memory it touches is counted by
 * the kernel, so the count is the same however busy the machine is. (Instructions were counted as well, in a process that
 * is stepped through one by one: 332,709 with ten numbers, 332,756 with a million; that takes minutes.) */
#include "rig.h"

#include <limits.h>

#define MANY 1000000u

/* KiB of memory that were touched since touched_none(). */
static unsigned touched(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned kib, all = 0;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Referenced: %u kB", &kib) == 1)
			all += kib;
	(void)fclose(f);
	return all;
}

/* false: this kernel does not say */
static bool touched_none(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "w");

	return f && fputs("1", f) >= 0 && fclose(f) == 0;
}

/* Touched by a REGISTER with credentials, from the bytes to the bytes of the 200. The least of three: what else happens in
 * the process is no part of it. */
static unsigned cost(struct rig *r, const char *lines)
{
	unsigned least = UINT_MAX;

	for (int i = 0; i < 3; i++) {
		unsigned n;

		assert_true(touched_none());
		assert_status(rig_register(r, AOR, lines), 200);
		n = touched();
		least = n < least ? n : least;
	}
	return least;
}

/* Trunk acme has so many numbers, each a row of its own. */
static void numbers(struct rig *r, struct db_number *rows, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		snprintf(rows[i].first, sizeof(rows[i].first), "+4930%07u", i);
		memcpy(rows[i].last, rows[i].first, sizeof(rows[i].last));
		rows[i].trunk_id = 1;
	}
	r->fix.rows.numbers = rows;
	r->fix.rows.n_numbers = n;
	rig_compile(r);
}

static void gins_20_any_number_of_numbers(void **state)
{
	static const char *const lines[] = {
	    BULK "\r\n",                                                        /* refreshed */
	    "Require: gin\r\nContact: <sip:192.0.2.10:5066;bnc>;q=0.5\r\n",     /* another node */
	    "Require: gin\r\nContact: <sip:192.0.2.10:5066;bnc>;expires=0\r\n", /* removed */
	    "",                                                                 /* asked for */
	    "Supported: gruu, path\r\n" BULK ";+sip.instance=\"<urn:uuid:f81d4fae>\"\r\n"};
	static const unsigned sizes[] = {10, MANY};
	struct db_number *rows = calloc(MANY, sizeof(*rows));
	struct rig *r = malloc(sizeof(*r));
	unsigned kib[2][ARRAY_LEN(lines)], looked = 0;
	size_t bytes[2];

	(void)state;
	assert_non_null(rows);
	if (!touched_none()) {
		free(r);
		free(rows);
		skip();
	}
	rig_init(r);
	for (unsigned k = 0; k < 2; k++) {
		numbers(r, rows, sizes[k]);
		assert_status(rig_register(r, AOR, BULK "\r\n"), 200);
		bytes[k] = bindings_bytes(reg_bindings(r->reg));
		for (unsigned i = 0; i < ARRAY_LEN(lines); i++)
			kib[k][i] = cost(r, lines[i]);
		assert_status(rig_register(r, AOR, "Contact: *\r\nExpires: 0\r\n"), 200);
	}
	assert_int_equal(bytes[0], bytes[1]);
	for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
		print_message("REGISTER %u: %u KiB touched with 10 numbers, %u with %u\n", i, kib[0][i], kib[1][i], MANY);
		assert_true(kib[0][i] >= 8 && kib[1][i] < kib[0][i] + 2048);
	}
	/* and it would be seen: as many as there are, each looked at once */
	assert_true(touched_none());
	for (const struct pol_number *n = policy_numbers_next(r->fix.p, policy_trunk(r->fix.p, 1), NULL); n; n = policy_numbers_next(r->fix.p, policy_trunk(r->fix.p, 1), n))
		looked += n->trunk_id;
	assert_int_equal(looked, MANY);
	assert_true(touched() > kib[0][0] + 2048);
	rig_fini(r);
	free(r);
	free(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(gins_20_any_number_of_numbers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
