/* locate_rules.h - the choices of RFC 3263 and RFC 6724 as functions of what the DNS said (locate.c). Pure.
 *
 * A draft collects servers and their addresses in order and becomes a plan.
 */
#ifndef SBC_NET_LOCATE_RULES_H
#define SBC_NET_LOCATE_RULES_H

#include "sbc/net/dns_msg.h"
#include "sbc/net/locate.h"

#define LOCATE_SERVICES_MAX 8  /* SRV names behind one destination */
#define LOCATE_SERVERS_MAX 64
#define LOCATE_ADDRS_MAX 256

enum locate_step {
	LOCATE_ASK_NAPTR,   /* then SRV, then addresses */
	LOCATE_ASK_SRV,
	LOCATE_ASK_ADDRESS,
};

/* A SRV name and the transport it stands for. */
struct locate_service {
	char name[DNS_NAME_MAX + 16];
	uint8_t proto;
};

/* Where RFC 3263 4.1 and 4.2 begin for a host name. */
enum locate_step locate_first(const struct locate_dest *d);
/* Transport and port when NAPTR and SRV say nothing: UDP and 5060, with sips TLS and 5061. A realm without UDP gets
 * what it has. */
uint8_t locate_default_proto(const struct locate_dest *d);
uint16_t locate_default_port(const struct locate_dest *d, uint8_t proto);
/* Services of NAPTR records that the realm can speak, by order and preference; "s" records only (RFC 3263 4.1). */
unsigned locate_services_naptr(
    const struct locate_dest *d, const struct dns_record *r, unsigned n, struct locate_service ret[LOCATE_SERVICES_MAX]);
/* Services to ask for without NAPTR: of each transport that will do. */
unsigned locate_services_srv(const struct locate_dest *d, struct locate_service ret[LOCATE_SERVICES_MAX]);
/* Priorities ascending, otherwise as they came. */
void locate_sort_srv(struct dns_record *r, unsigned n);
/* As RFC 6724 6 orders destinations as far as that depends on them alone: rule 6 (precedence of its table 2.1), rule 8
 * (smaller scope), otherwise as they came. */
void locate_sort_addrs(struct addr *a, unsigned n);

struct locate_draft {
	const char *how;
	struct locate_server servers[LOCATE_SERVERS_MAX]; /* names borrowed until locate_draft_plan() */
	unsigned n_servers;
	struct addr addrs[LOCATE_ADDRS_MAX];
	unsigned n_addrs;
	unsigned left_out; /* what did not fit */
};
/* Starts the next server. False: there are too many. */
bool locate_draft_server(struct locate_draft *f, const struct locate_server *s);
/* Adds addresses to the server begun last, then orders them; families of d only. */
void locate_draft_addrs(struct locate_draft *f, const struct locate_dest *d, const struct addr *a, unsigned n, uint16_t port);
/* NULL: out of memory. refs 1, times INT64_MAX. */
struct locate_plan *locate_draft_plan(const struct locate_draft *f, enum locate_state state, enum reason reason);
/* Equal but for their times? */
bool locate_plan_same(const struct locate_plan *a, const struct locate_plan *b);

#endif
