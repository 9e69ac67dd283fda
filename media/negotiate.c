/* negotiate.c - offers and answers from one side to the other. See negotiate.h for the rules.
 *
 * The work on formats is the same in both directions: choose formats of the incoming description, give each the number
 * it has on the outgoing side, and remember incoming number -> outgoing number for the lines that speak of numbers
 * (rtcp-fb, imageattr, apt= of retransmission, the list of red). Where no number changed, those lines pass byte by
 * byte.
 */
#include "media/negotiate.h"

#include "media/codec.h"

enum {
	PASS = 1,
	INHERIT = 2, /* counts for streams when it stands at session level */
	BY_PT = 4,   /* value starts with a payload type or '*' */
	T38 = 8,     /* of fax streams only; a prefix */
};

static const struct {
	const char *name;
	unsigned how;
} passing[] = {
	{"ptime", PASS | INHERIT},
	{"maxptime", PASS | INHERIT},
	{"label", PASS},
	{"content", PASS},
	{"mid", PASS},
	{"lang", PASS | INHERIT},
	{"sdplang", PASS},
	{"framerate", PASS},
	{"quality", PASS},
	{"orient", PASS},
	{"silenceSupp", PASS}, /* this and the next are how gateways say that the audio is a fax or a modem */
	{"ecan", PASS},
	{"gpmd", PASS | BY_PT},
	{"rtcp-fb", PASS | BY_PT},
	{"rtcp-xr", PASS | INHERIT},
	{"rtcp-rsize", PASS},
	{"imageattr", PASS | BY_PT},
	{"framesize", PASS | BY_PT},
	{"ssrc", PASS},
	{"ssrc-group", PASS},
	{"extmap", PASS | INHERIT},
	{"extmap-allow-mixed", PASS | INHERIT},
	{"T38", PASS | INHERIT | T38},
};

static unsigned how_passes(const struct sdp_media *m, const struct sdp_attr *at)
{
	size_t colons = 0;

	if (at->type != 'a')
		return 0;
	for (size_t i = 0; i < at->value.n; i++) {
		/* a user@host has no business in any of them */
		if (at->value.p[i] == '@' || (at->value.p[i] > 0 && at->value.p[i] < 32 && at->value.p[i] != '\t'))
			return 0;
		colons += at->value.p[i] == ':';
	}
	/* a CNAME that looks like a host or an address */
	if (str_ieq(at->name, S("ssrc")) && (colons > 1 || str_chr(at->value, '.') >= 0))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
		struct str name = str_z(passing[i].name);

		if (passing[i].how & T38) {
			if (str_iprefix(at->name, name))
				return m->profile == SDP_PROFILE_UDPTL ? passing[i].how : 0;
		} else if (str_ieq(at->name, name)) {
			/* what the session says of its RTP is nothing to a fax */
			return m->profile == SDP_PROFILE_UDPTL ? passing[i].how & ~(unsigned)INHERIT
			                                       : passing[i].how;
		}
	}
	return 0;
}

bool neg_attr_passes(const struct sdp_media *m, const struct sdp_attr *at)
{
	return how_passes(m, at) != 0;
}

static bool bandwidth_passes(const struct sdp_attr *at)
{
	static const char *const names[] = {"AS", "TIAS", "RR", "RS", "CT"};
	uint64_t n;

	if (at->type != 'b' || str_u64(str_trim(at->value), UINT64_MAX, &n) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(at->name, str_z(names[i])))
			return true;
	return false;
}

/* --- numbers a side has used --- */

enum reason neg_hist_add(struct arena *a, struct neg_hist *h, uint8_t slot, const struct sdp_media *m, bool alias)
{
	uint64_t fresh[2] = {0, 0};
	unsigned n = 0, kept = 0;
	struct neg_seen *v;

	for (unsigned i = 0; i < m->n_formats; i++) {
		const struct sdp_format *f = &m->formats[i];
		bool known = false;

		if (f->pt < 35 || f->name.n == 0)
			continue;
		for (unsigned k = 0; k < h->n && !known; k++)
			known = h->v[k].slot == slot && h->v[k].pt == f->pt &&
			        (alias || h->v[k].key == codec_key(f));
		if (!known) {
			fresh[f->pt / 64] |= (uint64_t)1 << f->pt % 64;
			n++;
		}
	}
	if (n == 0)
		return REASON_NONE;
	v = arena_alloc(a, (n + h->n) * sizeof(*v));
	if (!v)
		return REASON_NO_MEMORY;
	if (alias) {
		if (h->n)
			memcpy(v, h->v, h->n * sizeof(*v));
		kept = h->n;
	}
	for (unsigned i = 0; i < m->n_formats; i++) {
		const struct sdp_format *f = &m->formats[i];

		if (f->pt < 128 && (fresh[f->pt / 64] >> f->pt % 64 & 1))
			v[kept++] = (struct neg_seen){.key = codec_key(f), .slot = slot, .pt = f->pt};
	}
	for (unsigned i = 0; !alias && i < h->n; i++) {
		uint8_t pt = h->v[i].pt;

		if (h->v[i].slot != slot || !(fresh[pt / 64] >> pt % 64 & 1))
			v[kept++] = h->v[i];
	}
	h->v = v;
	h->n = kept < NEG_HIST_MAX ? kept : NEG_HIST_MAX;
	return REASON_NONE;
}

static const struct neg_seen *seen_number(const struct neg_hist *h, uint8_t slot, uint8_t pt)
{
	for (unsigned i = 0; i < h->n; i++)
		if (h->v[i].slot == slot && h->v[i].pt == pt)
			return &h->v[i];
	return NULL;
}

/* the number this codec has or can keep; NEG_PT_NONE: it needs a new one */
static uint8_t keep_number(const struct neg_hist *h, uint8_t slot, const struct sdp_format *f, const bool taken[128])
{
	const struct neg_seen *s = seen_number(h, slot, f->pt);
	uint32_t key = codec_key(f);

	if (s && s->key == key && !taken[f->pt])
		return f->pt;
	for (unsigned i = 0; i < h->n; i++)
		if (h->v[i].slot == slot && h->v[i].key == key && !taken[h->v[i].pt])
			return h->v[i].pt;
	return !s && !taken[f->pt] ? f->pt : NEG_PT_NONE;
}

static uint8_t new_number(const struct neg_hist *h, uint8_t slot, const bool taken[128])
{
	/* 64..95 would look like RTCP on a shared port (RFC 5761 4) */
	for (unsigned pt = 96; pt < 128; pt++)
		if (!taken[pt] && !seen_number(h, slot, (uint8_t)pt))
			return (uint8_t)pt;
	for (unsigned pt = 35; pt < 64; pt++)
		if (!taken[pt] && !seen_number(h, slot, (uint8_t)pt))
			return (uint8_t)pt;
	return NEG_PT_NONE;
}

uint8_t neg_free_number(const struct sdp_media *m, const struct neg_hist *hist_y, uint8_t slot_y, const struct sdp_format *f)
{
	struct sdp_format want = *f;
	bool taken[128] = {false};
	uint8_t pt;

	for (unsigned i = 0; i < m->n_formats; i++)
		taken[m->formats[i].pt & 127] = true;
	want.pt = 101; /* what everybody has */
	pt = keep_number(hist_y, slot_y, &want, taken);
	return pt != NEG_PT_NONE ? pt : new_number(hist_y, slot_y, taken);
}

/* --- lines that speak of numbers --- */

/* "96 ..." with the number as the other side calls it. false: that format does not pass. */
static bool renumber_value(struct arena *a, struct str v, const uint8_t map[128], struct str *ret, bool *ret_oom)
{
	struct str rest = v, head;
	struct buf b;
	uint32_t pt;
	char *p;

	rest = str_cut(v, ' ', &head);
	if (str_eq(head, S("*"))) {
		*ret = v;
		return true;
	}
	if (str_u32(head, SDP_PT_MAX, &pt) < 0 || map[pt] == NEG_PT_NONE)
		return false;
	if (map[pt] == pt) {
		*ret = v;
		return true;
	}
	p = arena_alloc(a, v.n + 4);
	if (!p) {
		*ret_oom = true;
		return false;
	}
	buf_init(&b, p, v.n + 4);
	buf_u64(&b, map[pt]);
	if (head.n < v.n) {
		buf_chr(&b, ' ');
		buf_str(&b, rest);
	}
	*ret = buf_text(&b);
	return true;
}

/* fmtp of rtx ("apt=96;rtx-time=200") and red ("96/96"): numbers inside. false: it refers to what does not pass. */
static bool renumber_fmtp(struct arena *a, struct sdp_format *f, const uint8_t map[128], bool *ret_oom)
{
	bool rtx = str_ieq(f->name, S("rtx"));
	size_t i = 0, at, cap = f->fmtp.n * 3 + 4;
	bool changed = false;
	struct buf b;
	char *p;

	if ((!rtx && !str_ieq(f->name, S("red"))) || f->fmtp.n == 0)
		return true;
	p = arena_alloc(a, cap);
	if (!p) {
		*ret_oom = true;
		return false;
	}
	buf_init(&b, p, cap);
	while (i < f->fmtp.n) {
		bool number = chr_digit(f->fmtp.p[i]) &&
		              (rtx ? i >= 4 && memcmp(f->fmtp.p + i - 4, "apt=", 4) == 0
		                   : i == 0 || f->fmtp.p[i - 1] == '/');
		uint32_t pt;

		if (!number) {
			buf_chr(&b, f->fmtp.p[i++]);
			continue;
		}
		for (at = i; i < f->fmtp.n && chr_digit(f->fmtp.p[i]);)
			i++;
		if (str_u32(str_n(f->fmtp.p + at, i - at), SDP_PT_MAX, &pt) < 0 || map[pt] == NEG_PT_NONE)
			return false;
		changed |= map[pt] != pt;
		buf_u64(&b, map[pt]);
	}
	if (changed)
		f->fmtp = buf_text(&b);
	return true;
}

/* formats whose fmtp refers to a format that was left out go too */
static enum reason fix_fmtp(struct arena *a, struct sdp_media *m, const uint8_t map[128])
{
	bool oom = false;
	unsigned n = 0;

	for (unsigned i = 0; i < m->n_formats; i++)
		if (renumber_fmtp(a, &m->formats[i], map, &oom))
			m->formats[n++] = m->formats[i];
	m->n_formats = n;
	return oom ? REASON_NO_MEMORY : REASON_NONE;
}

static struct sdp_attr **append(struct arena *a, struct sdp_attr **tail, const struct sdp_attr *at)
{
	struct sdp_attr *copy = arena_alloc(a, sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *at;
	copy->next = NULL;
	*tail = copy;
	return &copy->next;
}

static enum reason pass_attrs(struct arena *a, const struct sdp *from, const struct sdp_media *m,
    const uint8_t map[128], struct sdp_media *ret)
{
	struct sdp_attr **tail = &ret->attrs;
	bool oom = false;

	ret->attrs = NULL;
	for (const struct sdp_attr *at = m->attrs; at && tail; at = at->next) {
		struct sdp_attr copy = *at;
		unsigned how = how_passes(m, at);

		if (!how && !bandwidth_passes(at))
			continue;
		if ((how & BY_PT) && !renumber_value(a, at->value, map, &copy.value, &oom)) {
			if (oom)
				return REASON_NO_MEMORY;
			continue;
		}
		tail = append(a, tail, &copy);
	}
	for (const struct sdp_attr *at = from->attrs; at && tail; at = at->next)
		if ((how_passes(m, at) & INHERIT) && (str_eq(at->name, S("extmap")) || !sdp_attr(m->attrs, at->name)))
			tail = append(a, tail, at);
	return tail ? REASON_NONE : REASON_NO_MEMORY;
}

enum reason neg_session_attrs(struct arena *a, const struct sdp *from, struct sdp_attr **ret)
{
	struct sdp_attr **tail = ret;

	*ret = NULL;
	for (const struct sdp_attr *at = from->attrs; at && tail; at = at->next)
		if (bandwidth_passes(at))
			tail = append(a, tail, at);
	return tail ? REASON_NONE : REASON_NO_MEMORY;
}

/* --- formats --- */

const struct sdp_format *neg_main_codec(const struct sdp_media *m)
{
	for (unsigned i = 0; i < m->n_formats; i++)
		if (m->formats[i].name.n && !codec_is_aux(&m->formats[i]))
			return &m->formats[i];
	return NULL;
}

static void start(const struct sdp_media *like, struct sdp_media *ret)
{
	*ret = (struct sdp_media){
		.kind = like->kind, .proto = like->proto, .fmts = like->fmts, .profile = like->profile,
	};
}

static enum reason finish(struct arena *a, const struct sdp *from, const struct sdp_media *m,
    const uint8_t map[128], struct sdp_media *ret)
{
	enum reason reason = fix_fmtp(a, ret, map);

	if (!reason && !neg_main_codec(ret))
		return REASON_NO_COMMON_CODEC;
	return reason ? reason : pass_attrs(a, from, m, map, ret);
}

enum reason neg_offer(struct arena *a, const struct sdp *from, const struct sdp_media *m, struct str allow_x,
    struct str allow_y, const struct neg_hist *hist_y, uint8_t slot_y, struct sdp_media *ret)
{
	bool taken[128] = {false};
	uint8_t map[128];
	int rank[SDP_FORMATS_MAX];
	uint8_t in_pt[SDP_FORMATS_MAX];
	unsigned n = 0, k = 0;

	start(m, ret);
	ret->dir = (uint8_t)sdp_dir(m);
	memset(map, NEG_PT_NONE, sizeof(map));
	if (!sdp_is_rtp(m))
		return pass_attrs(a, from, m, map, ret);
	ret->formats = arena_alloc(a, (m->n_formats ? m->n_formats : 1) * sizeof(*ret->formats));
	if (!ret->formats)
		return REASON_NO_MEMORY;
	for (unsigned i = 0; i < m->n_formats; i++) {
		const struct sdp_format *f = &m->formats[i];
		int r = codec_rank(allow_y, f);
		unsigned at = n;

		if (f->name.n == 0 || r < 0 || codec_rank(allow_x, f) < 0)
			continue;
		for (; at > 0 && rank[at - 1] > r; at--) {
			rank[at] = rank[at - 1];
			ret->formats[at] = ret->formats[at - 1];
		}
		rank[at] = r;
		ret->formats[at] = *f;
		n++;
	}
	/* first those that have a number, so that nobody takes it from them */
	for (unsigned i = 0; i < n; i++) {
		uint8_t pt = keep_number(hist_y, slot_y, &ret->formats[i], taken);

		in_pt[i] = ret->formats[i].pt;
		map[in_pt[i]] = pt;
		if (pt != NEG_PT_NONE)
			taken[pt] = true;
	}
	for (unsigned i = 0; i < n; i++) {
		uint8_t pt = map[in_pt[i]];

		if (pt == NEG_PT_NONE)
			pt = new_number(hist_y, slot_y, taken);
		if (pt == NEG_PT_NONE)
			continue; /* 60 dynamic numbers in use: the format is left out */
		map[in_pt[i]] = pt;
		taken[pt] = true;
		ret->formats[k] = ret->formats[i];
		ret->formats[k++].pt = pt;
	}
	ret->n_formats = k;
	return finish(a, from, m, map, ret);
}

enum reason neg_answer(struct arena *a, const struct sdp_media *rem_x, const struct sdp_media *loc_y,
    const struct sdp *from, const struct sdp_media *rem_y, struct str allow_x, struct sdp_media *ret)
{
	uint64_t used_y = 0, used_x = 0;
	uint8_t map[128];
	unsigned n = 0;

	start(rem_x, ret);
	ret->dir = (uint8_t)neg_answer_dir(sdp_dir(rem_x), sdp_dir(rem_y));
	memset(map, NEG_PT_NONE, sizeof(map));
	if (!sdp_is_rtp(rem_x)) {
		ret->fmts = rem_y->fmts;
		return pass_attrs(a, from, rem_y, map, ret);
	}
	ret->formats = arena_alloc(a, (rem_y->n_formats ? rem_y->n_formats : 1) * sizeof(*ret->formats));
	if (!ret->formats)
		return REASON_NO_MEMORY;
	for (unsigned i = 0; i < rem_y->n_formats; i++) {
		const struct sdp_format *f = &rem_y->formats[i];
		int y = codec_match(loc_y, f, true, &used_y), x;

		if (y < 0 || codec_rank(allow_x, f) < 0)
			continue;
		x = codec_match(rem_x, &loc_y->formats[y], false, &used_x);
		if (x < 0)
			continue;
		used_y |= (uint64_t)1 << y;
		used_x |= (uint64_t)1 << x;
		map[f->pt] = rem_x->formats[x].pt;
		ret->formats[n] = rem_x->formats[x];
		ret->formats[n++].fmtp = f->fmtp;
	}
	ret->n_formats = n;
	return finish(a, from, rem_y, map, ret);
}

static uint8_t khz(const struct sdp_format *f)
{
	uint32_t k = f->clock_hz / 1000;

	return k > 255 ? 0 : (uint8_t)k;
}

void neg_pt_map(const struct sdp_media *loc_x, const struct sdp_media *rem_x, const struct sdp_media *rem_y,
    uint8_t map[128], uint8_t clock_khz[128])
{
	uint64_t by_own_name = 0; /* formats that X calls by our number: no second one is looked for */

	memset(map, NEG_PT_NONE, 128);
	memset(clock_khz, 0, 128);
	for (unsigned i = 0; i < loc_x->n_formats; i++) {
		const struct sdp_format *f = &loc_x->formats[i];
		int y = codec_match(rem_y, f, false, NULL);

		for (unsigned k = 0; k < rem_x->n_formats; k++)
			if (rem_x->formats[k].pt == f->pt)
				by_own_name |= (uint64_t)1 << i;
		clock_khz[f->pt] = khz(f);
		if (y >= 0)
			map[f->pt] = rem_y->formats[y].pt;
	}
	for (unsigned i = 0; i < rem_x->n_formats; i++) {
		const struct sdp_format *f = &rem_x->formats[i];
		bool ours = false;
		int own;

		for (unsigned k = 0; k < loc_x->n_formats; k++)
			ours |= loc_x->formats[k].pt == f->pt;
		own = ours ? -1 : codec_match(loc_x, f, true, &by_own_name);
		if (own < 0)
			continue;
		clock_khz[f->pt] = khz(f);
		map[f->pt] = map[loc_x->formats[own].pt];
	}
}

static bool is_there(const struct sdp_media *m)
{
	return m && m->port != 0;
}

/* each format of one that rem has too is in the other; codecs with the same fmtp (events, CN and the like do not
 * differ by it in a way that a relay's side must hear of) */
static bool covers(const struct sdp_media *one, const struct sdp_media *other, const struct sdp_media *rem)
{
	for (unsigned i = 0; i < one->n_formats; i++) {
		const struct sdp_format *f = &one->formats[i];
		int k;

		if (codec_match(rem, f, true, NULL) < 0)
			continue;
		k = codec_match(other, f, true, NULL);
		if (k < 0 || (!codec_is_aux(f) && !str_eq(other->formats[k].fmtp, f->fmtp)))
			return false;
	}
	return true;
}

bool neg_differs(const struct sdp_media *told, const struct sdp_media *want, const struct sdp_media *rem)
{
	bool was = is_there(told) && is_there(rem), will = is_there(want) && is_there(rem);
	enum sdp_dir room;

	if (was != will)
		return true;
	if (!was)
		return false;
	room = neg_reverse(sdp_dir(rem));
	if ((told->dir & room) != (want->dir & room) || told->profile != want->profile)
		return true;
	return !covers(told, want, rem) || !covers(want, told, rem);
}
