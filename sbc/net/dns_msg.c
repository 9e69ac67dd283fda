/* dns_msg.c - see dns_msg.h
 *
 * An answer is walked twice: once for the aliases (CNAME may stand anywhere in the section) and the SOA, once for the
 * records of the name that the aliases lead to. The additional section is not looked at: what it says was not asked.
 */
#include "sbc/net/dns_msg.h"

#include <errno.h>

#include "sbc/base/be.h"

#define HEADER 12
#define WALK_MAX 1024 /* records looked at in one message */

struct name {
	char p[256];
	size_t n;
	bool host; /* only characters of host names */
};

/* One record of a message. */
struct rr {
	struct name owner;
	unsigned type, class;
	uint32_t ttl_s;
	size_t data, end; /* of its RDATA */
};

const char *dns_type_name(enum dns_type t)
{
	switch (t) {
	case DNS_A:
		return "A";
	case DNS_AAAA:
		return "AAAA";
	case DNS_SRV:
		return "SRV";
	case DNS_NAPTR:
		return "NAPTR";
	case DNS_CNAME:
		return "CNAME";
	case DNS_SOA:
		return "SOA";
	case DNS_OPT:
		return "OPT";
	}
	return "?";
}

static bool host_chr(char c)
{
	c = chr_lower(c);
	return chr_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

bool dns_name_ok(struct str s)
{
	size_t label = 0;
	bool number = true;

	if (s.n == 0 || s.n > DNS_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			number = true;
			continue;
		}
		if (!host_chr(c))
			return false;
		number &= chr_digit(c);
		if (++label > 63)
			return false;
	}
	return label > 0 && !number;
}

/* ---- names ---- */

/* The name at *at; *at moves behind it. Pointers lead to what stands before them only, so this ends (RFC 1035
 * 4.1.4). */
static int read_name(const uint8_t *p, size_t n, size_t *at, struct name *ret)
{
	size_t i = *at, limit = *at;
	bool jumped = false;

	ret->n = 0;
	ret->host = true;
	for (;;) {
		uint8_t c;

		if (i >= n)
			return -EBADMSG;
		c = p[i];
		if ((c & 0xc0) == 0xc0) {
			size_t to;

			if (i + 2 > n)
				return -EBADMSG;
			to = be16(p + i) & 0x3fff;
			if (!jumped)
				*at = i + 2;
			jumped = true;
			if (to >= limit)
				return -EBADMSG;
			i = limit = to;
			continue;
		}
		if (c & 0xc0)
			return -EBADMSG;
		if (c == 0)
			break;
		if (i + 1 + c > n || ret->n + c + 1 > DNS_NAME_MAX + 1)
			return -EBADMSG;
		if (ret->n)
			ret->p[ret->n++] = '.';
		for (size_t k = 1; k <= c; k++) {
			char x = (char)p[i + k];

			ret->host &= host_chr(x);
			ret->p[ret->n++] = chr_lower(x);
		}
		i += 1 + (size_t)c;
	}
	if (!jumped)
		*at = i + 1;
	return ret->n <= DNS_NAME_MAX ? 0 : -EBADMSG;
}

static bool name_is(const struct name *a, struct str b)
{
	return a->host && str_ieq(str_n(a->p, a->n), b);
}

/* Record at *at; *at moves behind it. */
static int read_rr(const uint8_t *p, size_t n, size_t *at, struct rr *ret)
{
	int e = read_name(p, n, at, &ret->owner);

	if (e < 0)
		return e;
	if (*at + 10 > n)
		return -EBADMSG;
	ret->type = be16(p + *at);
	ret->class = be16(p + *at + 2);
	ret->ttl_s = be32(p + *at + 4);
	if (ret->ttl_s > INT32_MAX) /* RFC 2181 8 */
		ret->ttl_s = 0;
	ret->data = *at + 10;
	ret->end = ret->data + be16(p + *at + 8);
	if (ret->end > n)
		return -EBADMSG;
	*at = ret->end;
	return 0;
}

/* ---- a question ---- */

size_t dns_write_question(
    uint8_t *p, size_t cap, uint16_t id, struct str name, enum dns_type type, bool edns)
{
	static const uint8_t opt[11] = {0, 0, DNS_OPT, DNS_EDNS_SIZE >> 8, DNS_EDNS_SIZE & 0xff};
	const uint8_t head[HEADER] = {
	    (uint8_t)(id >> 8), (uint8_t)id, 1 /* RD */, 0, 0, 1, 0, 0, 0, 0, 0, edns};
	const uint8_t tail[5] = {0, (uint8_t)(type >> 8), (uint8_t)type, 0, 1};
	struct buf b;

	buf_init(&b, p, cap);
	buf_put(&b, head, sizeof(head));
	while (name.n) {
		struct str label;

		name = str_cut(name, '.', &label);
		buf_chr(&b, (char)label.n);
		buf_str(&b, label);
	}
	buf_put(&b, tail, sizeof(tail));
	if (edns)
		buf_put(&b, opt, sizeof(opt));
	return buf_err(&b) ? 0 : b.n;
}

/* Behind the question; 0: it is not that one. */
static size_t match_question(const uint8_t *p, size_t n, struct str name, enum dns_type type)
{
	struct name q;
	size_t at = HEADER;

	if (n < HEADER || !(p[2] & 0x80) || (p[2] & 0x78) || be16(p + 4) != 1)
		return 0;
	if (read_name(p, n, &at, &q) < 0 || at + 4 > n || !name_is(&q, name))
		return 0;
	if (be16(p + at) != type || be16(p + at + 2) != 1)
		return 0;
	return at + 4;
}

bool dns_answers(const uint8_t *p, size_t n, struct str name, enum dns_type type)
{
	return match_question(p, n, name, type) != 0;
}

/* ---- records ---- */

/* Copies into the reply; {NULL,0} with *room false when it does not fit any more. */
static struct str keep(struct dns_reply *r, const char *p, size_t n, bool *room)
{
	char *to = r->text + r->text_n;

	if (n > sizeof(r->text) - r->text_n) {
		*room = false;
		return STR_NONE;
	}
	memcpy(to, p, n);
	r->text_n += n;
	return str_n(to, n);
}

/* A character-string (RFC 1035 3.3) inside a record. */
static int read_chars(const uint8_t *p, size_t end, size_t *at, struct str *ret)
{
	if (*at >= end || *at + 1 + p[*at] > end)
		return -EBADMSG;
	*ret = str_n((const char *)p + *at + 1, p[*at]);
	*at += 1 + (size_t)p[*at];
	return 0;
}

/* Of a server or a rule: host name or nothing. */
static int read_target(const uint8_t *p, size_t n, size_t at, size_t end, struct name *ret)
{
	if (read_name(p, n, &at, ret) < 0 || at != end)
		return -EBADMSG;
	return ret->n == 0 || (ret->host && dns_name_ok(str_n(ret->p, ret->n))) ? 0 : -EBADMSG;
}

/* One record of the type asked for; < 0: left out. */
static int read_record(const uint8_t *p, size_t n, const struct rr *rr, struct dns_reply *r)
{
	struct dns_record *o = &r->records[r->n];
	size_t len = rr->end - rr->data, at = rr->data, text_n = r->text_n;
	struct str flags, service, regexp;
	bool room = true;
	struct name t;

	if (r->n == DNS_RECORDS_MAX)
		return -ENOSPC;
	memset(o, 0, sizeof(*o));
	switch (rr->type) {
	case DNS_A:
		if (len != 4)
			return -EBADMSG;
		o->addr.sa.sa_family = AF_INET;
		memcpy(&o->addr.in4.sin_addr, p + at, 4);
		break;
	case DNS_AAAA:
		if (len != 16)
			return -EBADMSG;
		o->addr.sa.sa_family = AF_INET6;
		memcpy(&o->addr.in6.sin6_addr, p + at, 16);
		break;
	case DNS_SRV:
		if (len < 7 || read_target(p, n, at + 6, rr->end, &t) < 0)
			return -EBADMSG;
		o->srv.priority = (uint16_t)be16(p + at);
		o->srv.weight = (uint16_t)be16(p + at + 2);
		o->srv.port = (uint16_t)be16(p + at + 4);
		o->srv.target = keep(r, t.p, t.n, &room);
		break;
	case DNS_NAPTR:
		if (len < 8)
			return -EBADMSG;
		o->naptr.order = (uint16_t)be16(p + at);
		o->naptr.preference = (uint16_t)be16(p + at + 2);
		at += 4;
		if (read_chars(p, rr->end, &at, &flags) < 0 || read_chars(p, rr->end, &at, &service) < 0 ||
		    read_chars(p, rr->end, &at, &regexp) < 0 || read_target(p, n, at, rr->end, &t) < 0)
			return -EBADMSG;
		o->naptr.flags = keep(r, flags.p, flags.n, &room);
		o->naptr.service = keep(r, service.p, service.n, &room);
		o->naptr.replacement = keep(r, t.p, t.n, &room);
		o->naptr.regexp = regexp.n > 0;
		break;
	default:
		return -EBADMSG;
	}
	if (!room) {
		r->text_n = text_n;
		return -ENOSPC;
	}
	if (rr->ttl_s < r->ttl_s)
		r->ttl_s = rr->ttl_s;
	r->n++;
	return 0;
}

static void read_soa(const uint8_t *p, size_t n, const struct rr *rr, struct dns_reply *r)
{
	size_t at = rr->data;
	struct name skip;
	uint32_t minimum;

	if (read_name(p, n, &at, &skip) < 0 || read_name(p, n, &at, &skip) < 0 || at + 20 > rr->end)
		return;
	minimum = be32(p + at + 16);
	r->soa = true;
	r->negative_ttl_s = rr->ttl_s < minimum ? rr->ttl_s : minimum;
}

struct aliases {
	struct name from[DNS_ALIASES_MAX], to[DNS_ALIASES_MAX];
	uint32_t ttl_s[DNS_ALIASES_MAX];
	unsigned n;
	bool more;
};

/* First walk. *ret_answers: records of the answer section that the second walk needs to see. */
static int walk(const uint8_t *p, size_t n, size_t at, struct aliases *al, struct dns_reply *r, unsigned *ret_answers)
{
	unsigned answers = be16(p + 6), authority = be16(p + 8);
	struct rr rr;

	for (unsigned i = 0; i < answers + authority && i < WALK_MAX; i++) {
		int e = read_rr(p, n, &at, &rr);

		if (e < 0)
			return e;
		if (rr.class != 1)
			continue;
		if (i >= answers && rr.type == DNS_SOA && !r->soa) {
			read_soa(p, n, &rr, r);
		} else if (i < answers && rr.type == DNS_CNAME) {
			size_t to = rr.data;

			if (al->n == DNS_ALIASES_MAX) {
				al->more = true;
				continue;
			}
			if (read_name(p, n, &to, &al->to[al->n]) < 0 || to != rr.end)
				return -EBADMSG;
			al->from[al->n] = rr.owner;
			al->ttl_s[al->n++] = rr.ttl_s;
		}
	}
	*ret_answers = answers < WALK_MAX ? answers : WALK_MAX;
	return 0;
}

int dns_read(const uint8_t *p, size_t n, struct str name, enum dns_type type, struct dns_reply *ret)
{
	struct aliases al;
	struct str last = name;
	struct rr rr;
	unsigned answers, steps = 0;
	size_t begin = match_question(p, n, name, type), at;
	int e;

	if (begin == 0)
		return -ENOMSG;
	al.n = 0;
	al.more = false;
	ret->rcode = p[3] & 0x0f;
	ret->n = ret->left_out = 0;
	ret->ttl_s = UINT32_MAX;
	ret->soa = false;
	ret->negative_ttl_s = 0;
	ret->alias = STR_NONE;
	ret->text_n = 0;
	e = walk(p, n, begin, &al, ret, &answers);
	if (e < 0)
		return e;
	for (unsigned i = 0; i < al.n;) {
		if (!name_is(&al.from[i], last)) {
			i++;
			continue;
		}
		if (++steps > al.n)
			return -ELOOP;
		if (!al.to[i].host || !dns_name_ok(str_n(al.to[i].p, al.to[i].n)))
			return -EBADMSG;
		last = str_n(al.to[i].p, al.to[i].n);
		if (al.ttl_s[i] < ret->ttl_s)
			ret->ttl_s = al.ttl_s[i];
		i = 0;
	}
	at = begin;
	for (unsigned i = 0; i < answers; i++) {
		e = read_rr(p, n, &at, &rr);
		if (e < 0)
			return e;
		if (rr.class == 1 && rr.type == type && name_is(&rr.owner, last) && read_record(p, n, &rr, ret) < 0)
			ret->left_out++;
	}
	ret->left_out += be16(p + 6) - answers;
	if (ret->n == 0 && al.more)
		return -ELOOP;
	if (ret->n == 0 && steps) {
		bool room = true;

		ret->alias = keep(ret, last.p, last.n, &room);
	}
	return 0;
}
