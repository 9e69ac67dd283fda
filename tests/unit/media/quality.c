/* E-model against figures of G.107 and G.113, and its edges. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "media/quality.h"

static void near(double got, double want, double by)
{
	if (fabs(got - want) > by)
		fail_msg("%f is not %f", got, want);
}

static struct quality of(const char *codec, double loss, int64_t one_way_us)
{
	struct quality q = {-1, -1};

	assert_true(quality_of(str_z(codec), loss, one_way_us, &q));
	return q;
}

/* QOS-02 */
static void qos_02_default_values(void **state)
{
	(void)state;
	near(of("PCMA/8000", 0, 0).r, 93.2, 0.01);
	near(of("PCMA/8000", 0, 0).mos, 4.41, 0.005);
	near(of("G729/8000", 0, 0).r, 82.2, 0.01);
	near(of("g729", 0, 0).mos, 4.10, 0.01);
	/* 2 % with Bpl 25.1: 95 * 2 / 27.1 = 7.01 */
	near(of("PCMU/8000", 0.02, 0).r, 86.19, 0.01);
	near(of("G729/8000", 0.02, 0).r, 93.2 - 11 - 84.0 * 2 / 21, 0.01);
	/* delay: 100 ms cost 2.4, 300 ms 7.2 + 13.5 */
	near(of("PCMA/8000", 0, 100000).r, 90.8, 0.01);
	near(of("PCMA/8000", 0, 300000).r, 93.2 - 7.2 - 0.11 * 122.7, 0.01);
}

static void never_better_with_more_loss_or_delay(void **state)
{
	static const char *const codecs[] = {"PCMA", "PCMU", "G729", "G723", "GSM-EFR", "AMR"};

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(codecs); c++) {
		for (int i = 0; i < 100; i++) {
			struct quality a = of(codecs[c], i / 100.0, i * 10000), b = of(codecs[c], (i + 1) / 100.0, i * 10000),
				       d = of(codecs[c], i / 100.0, (i + 1) * 10000);

			assert_true(b.r <= a.r && d.r <= a.r && b.mos <= a.mos && d.mos <= a.mos);
			assert_true(a.mos >= 1 && a.mos <= 4.5 && a.r >= 0 && a.r <= 93.2);
		}
		near(of(codecs[c], 7, INT64_MAX / 2).mos, 1, 0);
		near(of(codecs[c], -1, -5).r, of(codecs[c], 0, 0).r, 0);
	}
}

static void what_has_no_figures_gets_none(void **state)
{
	struct quality q;

	(void)state;
	assert_false(quality_of(S("opus/48000"), 0, 0, &q));
	assert_false(quality_of(S(""), 0, 0, &q));
	assert_false(quality_of(S("PCM"), 0, 0, &q));
	assert_false(quality_of_stream(S("PCMA/8000"), 0, 0, 0, &q));
}

static void counters(void **state)
{
	struct quality q;

	(void)state;
	assert_true(quality_of_stream(S("PCMA/8000"), 98, 2, 200000, &q));
	near(q.r, of("PCMA", 0.02, 100000).r, 1e-9);
	assert_true(quality_of_stream(S("PCMA/8000"), 98, -2, 0, &q)); /* doubled packets are no gain */
	near(q.r, 93.2, 1e-9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qos_02_default_values),
		cmocka_unit_test(never_better_with_more_loss_or_delay),
		cmocka_unit_test(what_has_no_figures_gets_none),
		cmocka_unit_test(counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
