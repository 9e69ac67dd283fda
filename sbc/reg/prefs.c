/* prefs.c - caller preferences (RFC 3841 7.2).
 *
 * A header value is a list of feature tags that belong together. A contact matches a tag when it has it with a value
 * that overlaps; one that it does not have says nothing, unless the caller wrote explicit. A contact that says nothing
 * of its features at all is not excluded by any of it (7.2.1), but with require it comes last.
 *
 *   Reject-Contact: one value that the contact has all tags of, matching: not to be used.
 *   Accept-Contact: the share of tags that match is its score; no match and require: not to be used.
 */
#include "sbc/reg/prefs.h"

/* Those that RFC 3840 has without '+' */
static bool is_base(struct str name)
{
	static const char *const names[] = {"audio", "automata", "class", "duplex", "data", "control", "mobility",
	    "description", "events", "priority", "methods", "schemes", "application", "video", "language", "type", "isfocus",
	    "actor", "text", "extensions"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieq(name, str_z(names[i])))
			return true;
	return false;
}

static bool is_feature(struct str name)
{
	return (name.n > 1 && name.p[0] == '+') || is_base(name);
}

static struct str unquote(struct str s)
{
	return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? str_n(s.p + 1, s.n - 2) : s;
}

/* a decimal of RFC 3840 9, times 1000; false: none */
static bool decimal(struct str s, int64_t *ret)
{
	int64_t sign = 1, v = 0;
	unsigned digits = 0, frac = 0;
	bool point = false;

	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
		sign = s.p[0] == '-' ? -1 : 1;
		s = str_from(s, 1);
	}
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.' && !point) {
			point = true;
			continue;
		}
		if (!chr_digit(s.p[i]) || ++digits > 12)
			return false;
		if (point && ++frac > 3)
			continue;
		v = v * 10 + (s.p[i] - '0');
	}
	for (; frac < 3; frac++)
		v *= 10;
	*ret = sign * v;
	return digits > 0;
}

/* "#=1", "#>=2", "#<=3", "#1:4": lowest and highest, times 1000 */
static bool range(struct str s, int64_t *ret_lo, int64_t *ret_hi)
{
	struct str lo, hi;

	if (s.n < 2 || s.p[0] != '#')
		return false;
	s = str_from(s, 1);
	*ret_lo = INT64_MIN;
	*ret_hi = INT64_MAX;
	if (str_prefix(s, S(">=")))
		return decimal(str_from(s, 2), ret_lo);
	if (str_prefix(s, S("<=")))
		return decimal(str_from(s, 2), ret_hi);
	if (s.p[0] == '=') {
		if (!decimal(str_from(s, 1), ret_lo))
			return false;
		*ret_hi = *ret_lo;
		return true;
	}
	hi = str_cut(s, ':', &lo);
	return hi.n && decimal(lo, ret_lo) && decimal(hi, ret_hi);
}

/* one value of a list against another */
static bool value_fits(struct str a, struct str b)
{
	int64_t al, ah, bl, bh;

	if (a.n && a.p[0] == '<') /* a string: as it is */
		return str_eq(a, b);
	if (range(a, &al, &ah))
		return range(b, &bl, &bh) && al <= bh && bl <= ah;
	return str_ieq(a, b);
}

static bool negated(struct str *s)
{
	if (!s->n || s->p[0] != '!')
		return false;
	*s = str_from(*s, 1);
	return true;
}

/* does any value of one list stand in the other? A negated one stands for all but itself. */
static bool lists_fit(struct str want, struct str has)
{
	struct str w = want, wv;

	while (w.n) {
		struct str h = has, hv;
		bool wn;

		w = str_cut(w, ',', &wv);
		wv = str_trim(wv);
		wn = negated(&wv);
		while (h.n) {
			bool hn;

			h = str_cut(h, ',', &hv);
			hv = str_trim(hv);
			hn = negated(&hv);
			if (wn == hn ? wn || value_fits(wv, hv) : !value_fits(wv, hv))
				return true;
		}
	}
	return false;
}

/* What the contact says of the tag; false: nothing. */
static bool feature(struct str params, struct str instance, struct str name, struct str *ret)
{
	if (str_ieq(name, S("+sip.instance"))) {
		*ret = instance;
		return instance.n > 0;
	}
	return sip_param_get(params, name, ret);
}

static struct str truth(struct str v)
{
	return v.p ? unquote(v) : S("TRUE");
}

struct count {
	unsigned tags, there, fit;
};

static struct count compare(struct str value, struct str params, struct str instance)
{
	struct count c = {0, 0, 0};
	struct str rest = value, name, v, has;

	while (sip_param_next(&rest, &name, &v)) {
		if (!is_feature(name))
			continue;
		c.tags++;
		if (!feature(params, instance, name, &has))
			continue;
		c.there++;
		c.fit += lists_fit(truth(v), truth(has));
	}
	return c;
}

static bool says_anything(struct str params, struct str instance)
{
	struct str rest = params, name, v;

	while (sip_param_next(&rest, &name, &v))
		if (is_feature(name))
			return true;
	return instance.n > 0;
}

/* What stands behind "*": the parameters of a header value; false: it is no such value. */
static bool params_of(struct str v, struct str *ret)
{
	v = str_trim(v);
	if (!v.n || v.p[0] != '*')
		return false;
	v = str_trim(str_from(v, 1));
	*ret = v.n && v.p[0] == ';' ? str_from(v, 1) : STR_NONE;
	return true;
}

/* The fields that the parser does not know by number, and their compact forms. */
static bool is_field(const struct sip_hdr *h, struct str name, char compact)
{
	return h->id == SIP_H_OTHER && (str_ieq(h->name, name) || (h->name.n == 1 && chr_lower(h->name.p[0]) == compact));
}

int prefs_score(const struct sip_msg *m, struct str params, struct str instance)
{
	bool immune = !says_anything(params, instance);
	unsigned n = 0, sum = 0;

	for (unsigned i = 0; i < m->n_hdr; i++) {
		bool accept = is_field(&m->hdr[i], S("Accept-Contact"), 'a');
		struct str rest = m->hdr[i].value, v, p;

		if (!accept && !is_field(&m->hdr[i], S("Reject-Contact"), 'j'))
			continue;
		while (sip_value_next(&rest, &v)) {
			bool require, explicit;
			struct count c;

			if (!params_of(v, &p))
				continue;
			c = compare(p, params, instance);
			if (!accept) {
				if (c.tags && c.fit == c.tags && !immune)
					return -1;
				continue;
			}
			require = sip_param_get(p, S("require"), NULL);
			explicit = sip_param_get(p, S("explicit"), NULL);
			if (!c.tags)
				continue;
			n++;
			if (immune)
				continue; /* scores nothing, is not dropped */
			/* a tag it has and that does not fit; or, with explicit, one it does not have */
			if (c.fit < c.there || (explicit && c.there < c.tags)) {
				if (require)
					return -1;
				continue;
			}
			sum += c.fit * 1000u / c.tags;
		}
	}
	return n ? (int)(sum / n) : 1000;
}
