/* addr.h - an IP address with a port, and address ranges. Numeric only: nothing here resolves a name. */
#ifndef SBC_BASE_ADDR_H
#define SBC_BASE_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "sbc/base/buf.h"

struct addr {
	union {
		struct sockaddr sa; /* sa_family 0: no address */
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
};

struct addr_net {
	struct addr base;
	uint8_t bits; /* 0..32 or 0..128 */
};

#define ADDR_TEXT_MAX 56 /* "[v6]:65535" and a NUL */

static inline bool addr_none(const struct addr *a)
{
	return a->sa.sa_family == AF_UNSPEC;
}

static inline bool addr_is6(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6;
}

socklen_t addr_len(const struct addr *a);
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
bool addr_eq(const struct addr *a, const struct addr *b);    /* with port    */
bool addr_eq_ip(const struct addr *a, const struct addr *b); /* without port */
/* Hashable bytes of the IP (4 or 16); IPv4-mapped IPv6 gives the IPv4 bytes. */
struct str addr_ip_bytes(const struct addr *a);

/* "192.0.2.1", "2001:db8::1" or "[2001:db8::1]"; 0 or -EINVAL */
MUST_USE int addr_parse_ip(struct str s, uint16_t port, struct addr *ret);
/* "192.0.2.1:5060", "[2001:db8::1]:5060"; without a port: default_port */
MUST_USE int addr_parse(struct str s, uint16_t default_port, struct addr *ret);
/* "192.0.2.0/24", "2001:db8::/32", or one address; host bits must be 0 */
MUST_USE int addr_net_parse(struct str s, struct addr_net *ret);
bool addr_in_net(const struct addr *a, const struct addr_net *net);
/* unspecified, loopback, private (RFC 1918, ULA), link-local */
bool addr_is_any(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
bool addr_is_private(const struct addr *a);

void addr_put_ip(struct buf *b, const struct addr *a);   /* 2001:db8::1, as SDP and received= want it */
void addr_put_host(struct buf *b, const struct addr *a); /* [2001:db8::1], as a URI and Via want it   */
void addr_put(struct buf *b, const struct addr *a);      /* host:port */
/* into text, returns text; for logs */
const char *addr_text(const struct addr *a, char text[ADDR_TEXT_MAX]);

#endif
