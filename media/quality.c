/* quality.c - E-model (G.107) with default values: R = 93.2 - Id - Ie,eff.
 *
 * Ie,eff = Ie + (95 - Ie) * Ppl / (Ppl + Bpl) for loss that comes singly (BurstR = 1). Id is the usual two-line fit of
 * G.107's delay impairment: 0.024 a millisecond, and 0.11 more beyond 177.3 ms. Figures of codecs: G.113 Appendix I. For
 * G.711 those with concealment are taken (Bpl 25.1, not 4.3), since every far end of today conceals.
 */
#include "media/quality.h"

#define R0 93.2

static const struct {
	struct str name;
	double ie, bpl;
} codecs[] = {
#define CODEC(n, ie, bpl) {{n, sizeof(n) - 1}, ie, bpl}
	CODEC("PCMA", 0, 25.1),
	CODEC("PCMU", 0, 25.1),
	CODEC("G729", 11, 19.0),  /* Annex A with voice activity detection: the one in use */
	CODEC("G723", 15, 16.1),  /* 6.3 kbit/s */
	CODEC("GSM-EFR", 5, 10.0),
	CODEC("AMR", 5, 10.0),    /* its 12.2 kbit/s mode is GSM-EFR */
#undef CODEC
};

static double clip(double v, double low, double high)
{
	return v < low ? low : v > high ? high : v;
}

static double mos(double r)
{
	return r <= 0 ? 1.0 : clip(1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6, 1.0, 4.5);
}

bool quality_of(struct str codec, double loss, int64_t one_way_us, struct quality *ret)
{
	double percent = 100 * clip(loss, 0, 1), ms = (double)one_way_us / 1000, delay;
	struct str name;

	(void)str_cut(codec, '/', &name);
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		if (!str_ieq(name, codecs[i].name))
			continue;
		delay = ms <= 0 ? 0 : 0.024 * ms + (ms > 177.3 ? 0.11 * (ms - 177.3) : 0);
		ret->r = clip(R0 - delay - codecs[i].ie - (95 - codecs[i].ie) * percent / (percent + codecs[i].bpl), 0, R0);
		ret->mos = mos(ret->r);
		return true;
	}
	return false;
}

bool quality_of_stream(struct str codec, uint64_t received, int64_t lost, uint32_t round_trip_us, struct quality *ret)
{
	double gone = lost > 0 ? (double)lost : 0;

	if (received == 0)
		return false;
	return quality_of(codec, gone / ((double)received + gone), round_trip_us / 2, ret);
}
