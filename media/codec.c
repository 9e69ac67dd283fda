/* codec.c - static payload types (RFC 3551 6) and what makes two formats the same codec.
 *
 * A codec is its name, clock and channel count; the number is only how one side calls it. Names that differ by
 * habit (G729A for G729, G7231 for G723) are one. What a=fmtp says is not part of it: the relay passes packets as they
 * are, so fmtp only helps to choose among several formats of one codec.
 */
#include "media/codec.h"

#define STATIC(pt, text, clock, ch) [pt] = {{text, sizeof(text) - 1}, clock, ch}

/* by number; without a name: not assigned */
static const struct {
	struct str name;
	uint32_t clock_hz;
	uint8_t channels;
} statics[] = {
	STATIC(0, "PCMU", 8000, 1),   STATIC(3, "GSM", 8000, 1),    STATIC(4, "G723", 8000, 1),
	STATIC(5, "DVI4", 8000, 1),   STATIC(6, "DVI4", 16000, 1),  STATIC(7, "LPC", 8000, 1),
	STATIC(8, "PCMA", 8000, 1),   STATIC(9, "G722", 8000, 1),   STATIC(10, "L16", 44100, 2),
	STATIC(11, "L16", 44100, 1),  STATIC(12, "QCELP", 8000, 1), STATIC(13, "CN", 8000, 1),
	STATIC(14, "MPA", 90000, 1),  STATIC(15, "G728", 8000, 1),  STATIC(16, "DVI4", 11025, 1),
	STATIC(17, "DVI4", 22050, 1), STATIC(18, "G729", 8000, 1),  STATIC(19, "CN", 8000, 1),
	STATIC(25, "CelB", 90000, 1), STATIC(26, "JPEG", 90000, 1), STATIC(28, "nv", 90000, 1),
	STATIC(31, "H261", 90000, 1), STATIC(32, "MPV", 90000, 1),  STATIC(33, "MP2T", 90000, 1),
	STATIC(34, "H263", 90000, 1),
};

bool codec_static(uint8_t pt, struct sdp_format *ret)
{
	if (pt >= ARRAY_LEN(statics) || statics[pt].name.n == 0)
		return false;
	ret->name = statics[pt].name;
	ret->clock_hz = statics[pt].clock_hz;
	ret->channels = statics[pt].channels;
	return true;
}

bool codec_is_static(const struct sdp_format *f)
{
	struct sdp_format s;

	return codec_static(f->pt, &s) && str_eq(s.name, f->name) && s.clock_hz == f->clock_hz &&
	       s.channels == f->channels;
}

/* the name all its spellings share */
static struct str plain_name(struct str n)
{
	if (n.n < 4 || chr_lower(n.p[0]) != 'g' || (n.p[1] != '7' && n.p[1] != '.'))
		return n; /* nearly always */
	if (str_ieq(n, S("G729A")) || str_ieq(n, S("G.729")) || str_ieq(n, S("G.729A")))
		return S("G729");
	if (str_ieq(n, S("G7231")) || str_ieq(n, S("G723.1")))
		return S("G723");
	return n;
}

bool codec_same(const struct sdp_format *f, const struct sdp_format *g)
{
	if (f->clock_hz != g->clock_hz || f->channels != g->channels || f->name.n == 0)
		return false;
	return str_ieq(f->name, g->name) ||
	       (chr_lower(f->name.p[0]) == 'g' && str_ieq(plain_name(f->name), plain_name(g->name)));
}

uint32_t codec_key(const struct sdp_format *f)
{
	struct str n = plain_name(f->name);
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n.n; i++)
		h = (h ^ (uint8_t)chr_lower(n.p[i])) * 16777619u;
	h = (h ^ f->clock_hz) * 16777619u;
	return (h ^ f->channels) * 16777619u;
}

bool codec_is_aux(const struct sdp_format *f)
{
#define NAME(text) {text, sizeof(text) - 1}
	static const struct str names[] = {
		NAME("telephone-event"), NAME("CN"), NAME("tone"), NAME("red"), NAME("rtx"), NAME("ulpfec"),
		NAME("flexfec"), NAME("flexfec-03"), NAME("parityfec"), NAME("X-NSE"),
	};
#undef NAME

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieq(f->name, names[i]))
			return true;
	return false;
}

/* "opus", "opus/48000" or "opus/48000/2" against f */
static bool entry_fits(struct str entry, const struct sdp_format *f)
{
	struct str name, clock, channels = str_cut(str_cut(entry, '/', &name), '/', &clock);
	uint32_t n;

	if (f->name.n == 0 || !str_ieq(plain_name(name), plain_name(f->name)))
		return false;
	if (clock.n && (str_u32(clock, UINT32_MAX, &n) < 0 || n != f->clock_hz))
		return false;
	return channels.n == 0 || (str_u32(channels, 255, &n) == 0 && n == f->channels);
}

int codec_rank(struct str list, const struct sdp_format *f)
{
	size_t i = 0;
	int rank = 0;

	if (str_empty(str_trim(list)))
		return 0;
	while (i < list.n) {
		size_t from;

		while (i < list.n && (list.p[i] == ' ' || list.p[i] == ',' || list.p[i] == '\t'))
			i++;
		for (from = i; i < list.n && list.p[i] != ' ' && list.p[i] != ',' && list.p[i] != '\t';)
			i++;
		if (i == from)
			break;
		if (entry_fits(str_n(list.p + from, i - from), f))
			return rank;
		rank++;
	}
	return -1;
}

int codec_match(const struct sdp_media *in, const struct sdp_format *f, bool same_side, const uint64_t *used)
{
	int best = -1, best_score = -1;

	for (unsigned i = 0; i < in->n_formats; i++) {
		const struct sdp_format *g = &in->formats[i];
		int score;

		if ((used && (*used >> i & 1)) || !codec_same(f, g))
			continue;
		score = str_eq(f->fmtp, g->fmtp) ? (same_side ? 1 : 2) : 0;
		score += f->pt == g->pt ? (same_side ? 2 : 1) : 0;
		if (score > best_score) {
			best = (int)i;
			best_score = score;
		}
	}
	return best;
}
