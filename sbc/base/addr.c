/* addr.c - numeric addresses. */
#include "sbc/base/addr.h"

#include <arpa/inet.h>
#include <errno.h>

socklen_t addr_len(const struct addr *a)
{
	return addr_is6(a) ? sizeof(a->in6) : sizeof(a->in4);
}

uint16_t addr_port(const struct addr *a)
{
	return ntohs(addr_is6(a) ? a->in6.sin6_port : a->in4.sin_port);
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (addr_is6(a))
		a->in6.sin6_port = htons(port);
	else
		a->in4.sin_port = htons(port);
}

struct str addr_ip_bytes(const struct addr *a)
{
	if (!addr_is6(a))
		return str_n((const char *)&a->in4.sin_addr, 4);
	if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return str_n((const char *)&a->in6.sin6_addr + 12, 4);
	return str_n((const char *)&a->in6.sin6_addr, 16);
}

bool addr_eq_ip(const struct addr *a, const struct addr *b)
{
	if (addr_none(a) || addr_none(b))
		return addr_none(a) && addr_none(b);
	if (!addr_is6(a) && !addr_is6(b))
		return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	return str_eq(addr_ip_bytes(a), addr_ip_bytes(b));
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return addr_eq_ip(a, b) && (addr_none(a) || addr_port(a) == addr_port(b));
}

/* "192.0.2.1", as inet_pton() reads it (no leading zeros), without its copy */
static bool parse_ip4(struct str s, struct in_addr *ret)
{
	uint8_t octet[4];
	size_t i = 0;

	if (s.n < 7 || s.n > 15)
		return false;
	for (unsigned k = 0; k < 4; k++) {
		size_t from = i;
		unsigned n = 0;

		for (; i < s.n && chr_digit(s.p[i]); i++)
			n = n * 10 + (unsigned)(s.p[i] - '0');
		if (i == from || i - from > 3 || n > 255 || (i - from > 1 && s.p[from] == '0'))
			return false;
		octet[k] = (uint8_t)n;
		if (k < 3 && (i == s.n || s.p[i++] != '.'))
			return false;
	}
	memcpy(ret, octet, sizeof(octet));
	return i == s.n;
}

int addr_parse_ip(struct str s, uint16_t port, struct addr *ret)
{
	char z[INET6_ADDRSTRLEN + 1];
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (parse_ip4(s, &a.in4.sin_addr)) {
		a.sa.sa_family = AF_INET;
		addr_set_port(&a, port);
		*ret = a;
		return 0;
	}
	if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']') {
		s = str_n(s.p + 1, s.n - 2);
		if (str_chr(s, ':') < 0)
			return -EINVAL;
	}
	if (s.n == 0 || s.n >= sizeof(z) || str_chr(s, ':') < 0 || memchr(s.p, '\0', s.n))
		return -EINVAL; /* names are asked for as well, and are none */
	memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	memset(&a, 0, sizeof(a));
	if (inet_pton(AF_INET6, z, &a.in6.sin6_addr) != 1)
		return -EINVAL;
	a.sa.sa_family = AF_INET6;
	addr_set_port(&a, port);
	*ret = a;
	return 0;
}

int addr_parse(struct str s, uint16_t default_port, struct addr *ret)
{
	struct str host = s, port = STR_NONE;
	uint32_t n = default_port;
	ptrdiff_t at;

	if (s.n && s.p[0] == '[') {
		at = str_chr(s, ']');
		if (at < 0)
			return -EINVAL;
		host = str_head(s, (size_t)at + 1);
		port = str_from(s, (size_t)at + 1);
		if (port.n && port.p[0] != ':')
			return -EINVAL;
	} else {
		at = str_chr(s, ':');
		/* a second colon: a bare IPv6 address, which has no port */
		if (at >= 0 && str_chr(str_from(s, (size_t)at + 1), ':') < 0) {
			host = str_head(s, (size_t)at);
			port = str_from(s, (size_t)at);
		}
	}
	if (port.n && (str_u32(str_from(port, 1), 65535, &n) < 0))
		return -EINVAL;
	return addr_parse_ip(host, (uint16_t)n, ret);
}

int addr_net_parse(struct str s, struct addr_net *ret)
{
	struct str ip, bits = str_cut(s, '/', &ip);
	struct addr_net net;
	struct str bytes;
	uint32_t n, max;

	if (addr_parse_ip(ip, 0, &net.base) < 0)
		return -EINVAL;
	max = addr_is6(&net.base) ? 128 : 32;
	n = max;
	if (ip.n < s.n && str_u32(bits, max, &n) < 0)
		return -EINVAL;
	net.bits = (uint8_t)n;
	bytes = max == 32 ? str_n((const char *)&net.base.in4.sin_addr, 4)
	                  : str_n((const char *)&net.base.in6.sin6_addr, 16);
	for (uint32_t i = n; i < max; i++)
		if ((unsigned char)bytes.p[i / 8] & (0x80u >> (i % 8)))
			return -EINVAL;
	*ret = net;
	return 0;
}

bool addr_in_net(const struct addr *a, const struct addr_net *net)
{
	struct str x = addr_ip_bytes(a), y = addr_ip_bytes(&net->base);
	unsigned bits = net->bits, whole = bits / 8, rest = bits % 8;

	if (addr_none(a) || x.n != y.n || whole > x.n)
		return false;
	if (memcmp(x.p, y.p, whole) != 0)
		return false;
	return rest == 0 || (((unsigned char)x.p[whole] ^ (unsigned char)y.p[whole]) >> (8 - rest)) == 0;
}

bool addr_is_any(const struct addr *a)
{
	struct str b = addr_ip_bytes(a);

	for (size_t i = 0; i < b.n; i++)
		if (b.p[i])
			return false;
	return true;
}

bool addr_is_loopback(const struct addr *a)
{
	struct str b = addr_ip_bytes(a);

	if (b.n == 4)
		return b.p[0] == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

bool addr_is_private(const struct addr *a)
{
	struct str b = addr_ip_bytes(a);
	unsigned char c0 = (unsigned char)b.p[0], c1 = (unsigned char)b.p[1];

	if (b.n == 4)
		return c0 == 10 || (c0 == 172 && (c1 & 0xf0) == 16) || (c0 == 192 && c1 == 168) ||
		       (c0 == 169 && c1 == 254) || (c0 == 100 && (c1 & 0xc0) == 64);
	return (c0 & 0xfe) == 0xfc || (c0 == 0xfe && (c1 & 0xc0) == 0x80);
}

void addr_put_ip(struct buf *b, const struct addr *a)
{
	char t[INET6_ADDRSTRLEN] = "-";

	if (addr_is6(a)) {
		inet_ntop(AF_INET6, &a->in6.sin6_addr, t, sizeof(t));
	} else if (!addr_none(a)) {
		const uint8_t *u = (const uint8_t *)&a->in4.sin_addr;
		size_t n = 0;

		for (int i = 0; i < 4; i++) {
			unsigned v = u[i];

			if (v >= 100)
				t[n++] = (char)('0' + v / 100);
			if (v >= 10)
				t[n++] = (char)('0' + v / 10 % 10);
			t[n++] = (char)('0' + v % 10);
			t[n++] = '.';
		}
		buf_put(b, t, n - 1);
		return;
	}
	buf_str(b, str_z(t));
}

void addr_put_host(struct buf *b, const struct addr *a)
{
	if (addr_is6(a))
		buf_chr(b, '[');
	addr_put_ip(b, a);
	if (addr_is6(a))
		buf_chr(b, ']');
}

void addr_put(struct buf *b, const struct addr *a)
{
	addr_put_host(b, a);
	if (!addr_none(a)) {
		buf_chr(b, ':');
		buf_u64(b, addr_port(a));
	}
}

const char *addr_text(const struct addr *a, char text[ADDR_TEXT_MAX])
{
	struct buf b;

	buf_init(&b, text, ADDR_TEXT_MAX);
	addr_put(&b, a);
	return buf_z(&b);
}
