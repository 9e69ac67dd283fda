/* dns.c - any bytes as the answer to a question of ours.
 *
 * links: sbc_net
 *
 * The first byte picks the type that was asked; the name is the one the message's own question holds, so that the
 * reader goes on, or else a fixed one. Holds: bounds are kept; names in records are host names or empty; what a
 * set of NAPTR or SRV leads to stays within the locator's limits.
 */
#include <errno.h>
#include <stdlib.h>

#include "sbc/net/locate_rules.h"

#define CHECK(x) \
	do { \
		if (!(x)) \
			abort(); \
	} while (0)

static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_SRV, DNS_NAPTR};

/* The name of the question when it is a plain one. */
static struct str asked(const uint8_t *p, size_t n, char *space)
{
	struct buf b;
	size_t at = 12;

	buf_init(&b, space, 255);
	while (at < n && p[at] && p[at] < 64 && at + 1 + p[at] <= n) {
		if (b.n)
			buf_chr(&b, '.');
		buf_put(&b, p + at + 1, p[at]);
		at += 1 + (size_t)p[at];
	}
	return buf_err(&b) == 0 && dns_name_ok(buf_text(&b)) ? buf_text(&b) : S("sip.example.com");
}

static bool inside(struct str s, const struct dns_reply *r)
{
	return s.n == 0 || (s.p >= r->text && s.p + s.n <= r->text + r->text_n);
}

static void look(enum dns_type type, struct dns_reply *r)
{
	static struct locate_service s[LOCATE_SERVICES_MAX];
	static const struct locate_dest d = {.host = S("example.com"), .proto = LOCATE_ANY};
	unsigned n;

	for (unsigned i = 0; i < r->n; i++) {
		const struct dns_record *x = &r->records[i];

		switch (type) {
		case DNS_SRV:
			CHECK(inside(x->srv.target, r) && (x->srv.target.n == 0 || dns_name_ok(x->srv.target)));
			break;
		case DNS_NAPTR:
			CHECK(inside(x->naptr.flags, r) && inside(x->naptr.service, r) && inside(x->naptr.replacement, r));
			CHECK(x->naptr.replacement.n == 0 || dns_name_ok(x->naptr.replacement));
			break;
		default:
			CHECK(addr_is6(&x->addr) == (type == DNS_AAAA) && addr_port(&x->addr) == 0);
		}
	}
	if (type == DNS_NAPTR) {
		n = locate_services_naptr(&d, r->records, r->n, s);
		CHECK(n <= LOCATE_SERVICES_MAX && n <= r->n);
		for (unsigned i = 0; i < n; i++)
			CHECK(dns_name_ok(str_z(s[i].name)) && s[i].proto <= NET_TLS);
	}
	if (type == DNS_SRV) {
		locate_sort_srv(r->records, r->n);
		for (unsigned i = 1; i < r->n; i++)
			CHECK(r->records[i - 1].srv.priority <= r->records[i].srv.priority);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct dns_reply r;
	char space[256];
	enum dns_type type;
	struct str name;
	int e;

	if (n < 1)
		return 0;
	type = types[p[0] % ARRAY_LEN(types)];
	p++;
	n--;
	name = asked(p, n, space);
	e = dns_read(p, n, name, type, &r);
	CHECK(e == 0 || e == -ENOMSG || e == -EBADMSG || e == -ELOOP);
	CHECK((e == -ENOMSG) == !dns_answers(p, n, name, type));
	if (e != 0)
		return 0;
	CHECK(r.n <= DNS_RECORDS_MAX && r.text_n <= sizeof(r.text));
	CHECK(r.alias.n == 0 || (r.n == 0 && dns_name_ok(r.alias)));
	CHECK(r.n == 0 || r.ttl_s <= INT32_MAX);
	look(type, &r);
	return 0;
}
