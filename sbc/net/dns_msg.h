/* dns_msg.h - questions and answers of the DNS as bytes (RFC 1035 4). Pure.
 *
 * Written for answers that lie: names are unpacked backwards only and end at 255 bytes, an alias leads through at
 * most DNS_ALIASES_MAX steps, more than DNS_RECORDS_MAX records are counted and left out. Names in records are lower
 * case host names without the dot at the end; a record with another name in it is left out.
 */
#ifndef SBC_NET_DNS_MSG_H
#define SBC_NET_DNS_MSG_H

#include "sbc/base/addr.h"

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_SOA = 6, DNS_AAAA = 28, DNS_SRV = 33, DNS_NAPTR = 35, DNS_OPT = 41 };
enum dns_rcode { DNS_NOERROR, DNS_FORMERR, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_NOTIMP, DNS_REFUSED };

#define DNS_NAME_MAX 253
#define DNS_RECORDS_MAX 64  /* of one set */
#define DNS_ALIASES_MAX 16  /* CNAMEs from the name that was asked to the one that has the records */
#define DNS_EDNS_SIZE 1232  /* fits any path unfragmented; longer answers come by TCP */
#define DNS_QUESTION_MAX (12 + 255 + 4 + 11)

struct dns_record {
	union {
		struct addr addr; /* A, AAAA; port 0 */
		struct {
			uint16_t priority, weight, port;
			struct str target; /* empty: ".", the service is not there (RFC 2782) */
		} srv;
		struct {
			uint16_t order, preference;
			struct str flags, service; /* as they came */
			struct str replacement;    /* empty: "." */
			bool regexp;
		} naptr;
	};
};

struct dns_reply {
	uint8_t rcode; /* enum dns_rcode, or another */
	unsigned n;
	struct dns_record records[DNS_RECORDS_MAX];
	unsigned left_out;     /* records of the type that were too many or not readable */
	uint32_t ttl_s;        /* the least of the records and of the aliases before them */
	bool soa;              /* a negative answer that says how long it lives: */
	uint32_t negative_ttl_s; /* the lesser of the SOA's TTL and its minimum (RFC 2308 5) */
	struct str alias;      /* n 0: the name the aliases end at, when they do and it says nothing of that one */
	char text[16384];      /* what the slices point into */
	size_t text_n;
};

const char *dns_type_name(enum dns_type t);
/* Letters, digits, hyphens, underscores in labels of 1 to 63, at most 253; the last label not a number (that is an
 * address). */
bool dns_name_ok(struct str name);

/* The question with RD set, and with EDNS (RFC 6891) when asked; name must be dns_name_ok(). Its length. */
size_t dns_write_question(
    uint8_t *p, size_t cap, uint16_t id, struct str name, enum dns_type type, bool edns);

/* Does this message answer that question at all (QR set, one question, that name and type)? */
bool dns_answers(const uint8_t *p, size_t n, struct str name, enum dns_type type);

/* Reads an answer to the question name, type; p is borrowed, ret stands for itself.
 * 0, -ENOMSG (answers something else), -EBADMSG (cut off, or a name that cannot be), -ELOOP (aliases in a circle, or
 * too many). */
MUST_USE int dns_read(
    const uint8_t *p, size_t n, struct str name, enum dns_type type, struct dns_reply *ret);

#endif
